//! `GET /v1/availability`.

use super::{NOON, Reply, Shop};
use crate::availability::{Freshness, Index};
use crate::storefront::Settings;
use axum::http::{Method, StatusCode};
use serde_json::json;

const MILK: &str = "/v1/availability?sku=milk";

#[tokio::test]
async fn one_item_is_answered_store_by_store_nearest_first() {
    let shop = Shop::with_stores(&["S1", "S2", "S3"]).await;
    shop.stock("S1", "milk", 4);
    shop.stock_thousandths("S3", "milk", 250);
    shop.wait(5);

    let reply = shop.get(&format!("{MILK}&near=2.1,10")).await;

    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.stores(), ["S3", "S2", "S1"]);
    let nearest = &reply.json()["items"][0]["stores"][0];
    let expected = json!({
        "store": "S3", "name": "Store S3", "available": 0.25, "can_fulfil": "some", "state": "live",
        "as_of": "2026-11-01T08:00:00Z", "age_s": 5, "distance_km": 11.12,
    });
    assert_eq!(NOON, 1_793_534_400_000);
    assert_eq!(nearest["distance_km"].as_f64().unwrap().round(), 11.0);
    for field in ["store", "name", "available", "can_fulfil", "state", "age_s"] {
        assert_eq!(nearest[field], expected[field], "{field}");
    }
    assert_eq!(reply.of_stores("available"), [json!(0.25), json!(0), json!(4)]);
    assert_eq!(reply.of_stores("can_fulfil"), ["some", "none", "all"]);
    assert_eq!(reply.json()["next"], json!(null));
}

#[tokio::test]
async fn without_a_place_stores_come_by_id_and_without_distance() {
    let shop = Shop::with_stores(&["S2", "S10", "S1"]).await;
    shop.stock("S2", "milk", 4);
    let reply = shop.get(MILK).await;
    assert_eq!(reply.stores(), ["S1", "S10", "S2"]);
    assert_eq!(reply.of_stores("distance_km"), [json!(null), json!(null), json!(null)]);
}

#[tokio::test]
async fn how_many_are_wanted_decides_what_can_be_fulfilled() {
    let shop = Shop::with_stores(&["S1", "S2", "S3"]).await;
    shop.stock("S1", "milk", 2);
    shop.stock("S2", "milk", 1);
    shop.stock("S3", "milk", 0);
    let reply = shop.get(&format!("{MILK}&quantity=2")).await;
    assert_eq!(reply.of_stores("can_fulfil"), ["all", "some", "none"]);
}

#[tokio::test]
async fn a_radius_of_nothing_finds_the_store_one_stands_in() {
    let shop = Shop::with_stores(&["S1", "S2"]).await;
    shop.stock("S2", "milk", 2);
    assert_eq!(shop.get(&format!("{MILK}&near=1,10&radius_km=0")).await.stores(), ["S2"]);
    assert_eq!(shop.get(&format!("{MILK}&near=0.49,10&radius_km=54")).await.stores(), [""; 0]);
    assert_eq!(shop.get(&format!("{MILK}&near=0.49,10&radius_km=57")).await.stores(), ["S1", "S2"]);
    assert_eq!(shop.get(&format!("{MILK}&near=0,10&radius_km=1e9")).await.stores(), ["S1", "S2"]);
}

#[tokio::test]
async fn the_date_line_and_the_poles_are_places_like_others() {
    let shop = Shop::open().await;
    shop.store("FIJI", -17.0, 179.9);
    shop.store("SAMOA", -17.0, -171.0);
    shop.store("ALERT", 82.5, -62.0);
    shop.stock("FIJI", "milk", 1);
    assert_eq!(shop.get(&format!("{MILK}&near=-17,-179.9")).await.stores(), ["FIJI", "SAMOA", "ALERT"]);
    let polar = shop.get(&format!("{MILK}&near=90,120")).await;
    assert_eq!(polar.stores()[0], "ALERT");
    assert_eq!(polar.of_stores("distance_km")[0].as_f64().unwrap().round(), 834.0);
}

#[tokio::test]
async fn pages_hold_while_stock_changes_underneath() {
    let ids: Vec<String> = (0..45).map(|n| format!("S{n:02}")).collect();
    let shop = Shop::with_stores(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for id in &ids {
        shop.stock(id, "milk", 1);
    }
    for place in ["", "&near=30,10", "&near=30,10&radius_km=3000"] {
        let whole = shop.get(&format!("{MILK}{place}&limit=500")).await.stores();
        let mut pages: Vec<String> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = shop.get(&format!("{MILK}{place}{cursor}")).await;
            pages.extend(page.stores());
            shop.stock(pages.last().unwrap(), "milk", 0);
            shop.stock("S44", "milk", 9);
            let Some(next) = page.json()["next"].as_str().map(str::to_owned) else {
                break;
            };
            assert_eq!(page.stores().len(), 20);
            cursor = format!("&cursor={next}");
        }
        assert_eq!(pages, whole, "{place}");
    }
}

#[tokio::test]
async fn a_page_that_is_just_full_is_the_last_one() {
    let shop = Shop::with_stores(&["S1", "S2", "S3"]).await;
    shop.stock("S1", "milk", 1);
    let reply = shop.get(&format!("{MILK}&limit=3")).await;
    assert_eq!((reply.stores().len(), reply.json()["next"].as_str()), (3, None));
    let first = shop.get(&format!("{MILK}&limit=2")).await;
    let next = first.json()["next"].as_str().unwrap().to_owned();
    assert_eq!(shop.get(&format!("{MILK}&limit=2&cursor={next}")).await.stores(), ["S3"]);
    assert_eq!(shop.get(&format!("{MILK}&limit=1&cursor={next}")).await.stores(), ["S3"]);
}

#[tokio::test]
async fn a_cursor_belongs_to_its_place() {
    let shop = Shop::with_stores(&["S1", "S2", "S3"]).await;
    shop.stock("S1", "milk", 1);
    let first = shop.get(&format!("{MILK}&limit=1&near=0,10")).await;
    let next = first.json()["next"].as_str().unwrap().to_owned();
    shop.get(&format!("{MILK}&near=0,11&cursor={next}")).await.is_problem(
        400,
        "invalid-parameter",
        Some("cursor"),
    );
    shop.get(&format!("{MILK}&cursor={next}")).await.is_problem(400, "invalid-parameter", Some("cursor"));
    shop.get(&format!("/v1/stores?cursor={next}")).await.is_problem(400, "invalid-parameter", Some("cursor"));
}

#[tokio::test]
async fn in_stock_leaves_out_stores_with_nothing_to_hand_over() {
    let ids: Vec<String> = (0..600).map(|n| format!("S{n:03}")).collect();
    let shop = Shop::open().await;
    for (id, at) in ids.iter().zip(0_u32..) {
        shop.store(id, f64::from(at) / 10.0, 10.0);
        shop.heard(id, 0);
    }
    for id in ["S299", "S300", "S599"] {
        shop.stock(id, "milk", 1);
    }
    let asked = format!("{MILK}&in_stock=true&near=0,10");
    assert_eq!(shop.get(&asked).await.stores(), ["S299", "S300", "S599"]);
    let first = shop.get(&format!("{asked}&limit=2")).await;
    let next = first.json()["next"].as_str().unwrap().to_owned();
    assert_eq!(first.stores(), ["S299", "S300"]);
    assert_eq!(shop.get(&format!("{asked}&limit=2&cursor={next}")).await.stores(), ["S599"]);
}

#[tokio::test]
async fn a_sku_nobody_carries_is_said_to_be_unknown() {
    let shop = Shop::with_stores(&["S1"]).await;
    shop.stock("S1", "milk", 1);
    let reply = shop.get("/v1/availability?sku=mlik&sku=milk").await;
    let items = &reply.json()["items"];
    assert_eq!(items[0], json!({"sku": "mlik", "name": null, "known": false, "stores": []}));
    assert_eq!((&items[1]["known"], &items[1]["name"]), (&json!(true), &json!("the milk")));
}

#[tokio::test]
async fn skus_may_hold_any_printable_character_and_keep_their_zeros() {
    let shop = Shop::with_stores(&["S1"]).await;
    shop.stock("S1", "a/b c%é&+#?=,", 7);
    shop.stock("S1", "0042", 4);
    shop.stock("S1", "42", 2);
    let odd = shop.get("/v1/availability?sku=a%2Fb+c%25%C3%A9%26%2B%23%3F%3D,").await;
    assert_eq!(odd.of_stores("available"), [7]);
    assert_eq!(odd.json()["items"][0]["sku"], "a/b c%é&+#?=,");
    assert_eq!(shop.get("/v1/availability?sku=0042").await.of_stores("available"), [4]);
    assert_eq!(shop.get("/v1/availability?sku=42").await.of_stores("available"), [2]);
    shop.get("/v1/availability?sku=%00").await.is_problem(400, "invalid-parameter", Some("sku"));
}

#[tokio::test]
async fn a_hundred_skus_at_once_and_no_more() {
    let shop = Shop::with_stores(&["S1", "S2"]).await;
    for sku in 0..100 {
        shop.stock("S2", &format!("i{sku}"), sku);
    }
    let all: Vec<String> = (0..100).map(|sku| format!("sku=i{sku}")).collect();
    let reply = shop.get(&format!("/v1/availability?{}", all.join("&"))).await;
    let answer = reply.json();
    let items = answer["items"].as_array().unwrap();
    assert_eq!(items.len(), 100);
    for (sku, item) in items.iter().enumerate() {
        assert_eq!(item["sku"], format!("i{sku}"));
        assert_eq!(item["stores"][0]["available"], 0);
        assert_eq!(item["stores"][1]["available"], sku);
    }
    let more = shop.get(&format!("/v1/availability?sku=more&{}", all.join("&"))).await;
    more.is_problem(400, "invalid-parameter", Some("sku"));
    let twice = shop.get("/v1/availability?sku=i1&sku=i2&sku=i1").await;
    assert_eq!(twice.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_question_about_very_many_cells_is_answered_alike() {
    let ids: Vec<String> = (0..60).map(|n| format!("S{n:02}")).collect();
    let shop = Shop::with_stores(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let skus: Vec<String> = (0..100).map(|sku| format!("sku=i{sku}")).collect();
    for sku in 0..100 {
        shop.stock("S59", &format!("i{sku}"), sku);
    }
    let reply = shop.get(&format!("/v1/availability?limit=500&{}", skus.join("&"))).await;
    assert_eq!(reply.json()["items"][99]["stores"][59]["available"], 99);
}

#[tokio::test]
async fn what_is_no_question_is_refused_by_name() {
    let shop = Shop::with_stores(&["S1"]).await;
    let cases = [
        ("", "invalid-parameter", "sku"),
        ("?sku=a&near=NaN,10", "invalid-parameter", "near"),
        ("?sku=a&near=10,NaN", "invalid-parameter", "near"),
        ("?sku=a&near=91,0", "invalid-parameter", "near"),
        ("?sku=a&near=10", "invalid-parameter", "near"),
        ("?sku=a&limit=0", "invalid-parameter", "limit"),
        ("?sku=a&limit=501", "invalid-parameter", "limit"),
        ("?sku=a&limit=x", "invalid-parameter", "limit"),
        ("?sku=a&quantity=1.2345", "invalid-parameter", "quantity"),
        ("?sku=a&quantity=0", "invalid-parameter", "quantity"),
        ("?sku=a&radius=5", "unknown-parameter", "radius"),
        ("?sku=a&api_key=x", "unknown-parameter", "api_key"),
    ];
    for (query, kind, parameter) in cases {
        shop.get(&format!("/v1/availability{query}")).await.is_problem(400, kind, Some(parameter));
    }
    let near = shop.get("/v1/availability?sku=a&radius=5").await.json();
    assert!(near["detail"].as_str().unwrap().contains("did you mean `radius_km`?"), "{near}");
}

#[tokio::test]
async fn only_the_named_stores_are_answered_and_strange_ids_are_listed() {
    let shop = Shop::with_stores(&["S1", "S2", "S3"]).await;
    shop.stock("S1", "milk", 1);
    let reply = shop.get(&format!("{MILK}&stores=S3,S9,S1,S3&near=0,10")).await;
    assert_eq!(reply.stores(), ["S1", "S3"]);
    assert_eq!(reply.json()["unknown_stores"], json!(["S9"]));
    let page = shop.get(&format!("{MILK}&stores=S3,S1&limit=1")).await;
    let next = page.json()["next"].as_str().unwrap().to_owned();
    assert_eq!(shop.get(&format!("{MILK}&stores=S3,S1&cursor={next}")).await.stores(), ["S3"]);
    let many = vec!["S1"; 501].join(",");
    shop.get(&format!("{MILK}&stores={many}")).await.is_problem(400, "invalid-parameter", Some("stores"));
}

#[tokio::test]
async fn every_number_says_how_old_it_is() {
    let shop = Shop::with_stores(&["S1", "S2", "S3", "S4"]).await;
    for id in ["S1", "S2", "S3", "S4"] {
        shop.stock(id, "milk", 5);
    }
    shop.store("S5", 0.0, 0.0);
    shop.heard("S1", 59);
    shop.heard("S2", 61);
    shop.heard("S3", 901);
    shop.heard("S4", 86_400);
    let reply = shop.get(MILK).await;
    assert_eq!(reply.of_stores("state"), ["live", "delayed", "offline", "offline", "never_seen"]);
    assert_eq!(reply.of_stores("age_s"), [json!(59), json!(61), json!(901), json!(86_400), json!(null)]);
    assert_eq!(reply.of_stores("can_fulfil"), ["all", "all", "all", "all", "unknown"]);
    assert_eq!(reply.of_stores("available")[4], json!(null));
    assert_eq!(reply.of_stores("as_of")[4], json!(null));
}

#[tokio::test]
async fn numbers_older_than_the_caller_accepts_are_unknown() {
    let shop = Shop::with_stores(&["S1", "S2"]).await;
    shop.stock("S1", "milk", 5);
    shop.stock("S2", "milk", 5);
    shop.heard("S2", 301);
    let reply = shop.get(&format!("{MILK}&max_age_s=300")).await;
    assert_eq!(reply.of_stores("can_fulfil"), ["all", "unknown"]);
    assert_eq!(reply.of_stores("available"), [json!(5), json!(null)]);
    assert_eq!(reply.of_stores("withheld"), [json!(null), json!("too_old")]);
    let at_once = shop.get(&format!("{MILK}&max_age_s=0")).await;
    assert_eq!(at_once.of_stores("can_fulfil"), ["all", "unknown"]);
}

#[tokio::test]
async fn bands_keep_the_numbers_back() {
    let shop = Shop::with_stores(&["S1", "S2", "S3", "S4"]).await;
    for (id, free) in [("S1", 0), ("S2", 5), ("S3", 6)] {
        shop.stock(id, "milk", free);
    }
    shop.heard("S4", 1000);
    let reply = shop.get(&format!("{MILK}&detail=band&max_age_s=900")).await;
    assert_eq!(reply.of_stores("band"), ["out_of_stock", "low_stock", "in_stock", "unknown"]);
    assert!(reply.of_stores("available").iter().all(serde_json::Value::is_null));
    let both = shop.get(&format!("{MILK}&detail=band&explain=true")).await;
    both.is_problem(400, "invalid-parameter", Some("explain"));
}

fn holding_back() -> Settings {
    let freshness = Freshness { hold_back_share_per_hour: 0.1, stop_after_s: 36_000, ..Freshness::default() };
    Settings { freshness, ..Settings::default() }
}

#[tokio::test]
async fn what_is_held_back_for_age_is_explained() {
    let shop = Shop::open_with(holding_back(), Index::new()).await;
    for (id, heard) in [("S1", 0), ("S2", 7200), ("S3", 36_001)] {
        shop.store(id, 0.0, 0.0);
        shop.heard(id, heard);
        shop.stock(id, "milk", 10);
    }
    shop.store("S4", 0.0, 0.0);
    shop.contact("S4", 0, false);
    shop.stock("S4", "milk", 10);
    let reply = shop.get(&format!("{MILK}&explain=true")).await;
    assert_eq!(reply.of_stores("available"), [10, 8, 0, 0]);
    assert_eq!(
        reply.of_stores("withheld"),
        [json!(null), json!("aged"), json!("silent_too_long"), json!("hub_restored")]
    );
    let explained = reply.of_stores("explain");
    assert_eq!(explained[1]["on_hand"], 12);
    assert_eq!(explained[1]["claim"], 10);
    assert_eq!(explained[1]["open"], 0);
    assert_eq!(explained[1]["free"], 10);
    assert_eq!(explained[1]["held_back"], 2);
    assert!(
        explained[1]["reason"].as_str().unwrap().contains("20.0 % of that is held back"),
        "{}",
        explained[1]
    );
    assert!(explained[3]["reason"].as_str().unwrap().contains("restored from a backup"), "{}", explained[3]);
    assert_eq!(shop.get(MILK).await.of_stores("explain")[0], json!(null));
}

async fn asked_again(shop: &Shop, tag: &str) -> Reply {
    shop.get_with(MILK, "if-none-match", tag).await
}

#[tokio::test]
async fn a_tag_holds_until_stock_or_state_changes() {
    let shop = Shop::with_stores(&["S1", "S2"]).await;
    shop.stock("S1", "milk", 5);
    let first = shop.get(MILK).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!(first.header("vary"), "authorization, x-api-key");
    assert_eq!(
        first.header("cache-control"),
        "public, max-age=1, stale-while-revalidate=10, stale-if-error=60"
    );

    let same = asked_again(&shop, &tag).await;
    assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!((same.header("etag"), same.header("vary")), (&*tag, "authorization, x-api-key"));

    shop.wait(30);
    shop.heard("S1", 0);
    assert_eq!(asked_again(&shop, &tag).await.status, StatusCode::NOT_MODIFIED, "still live, still the same");

    shop.stock("S2", "milk", 1);
    let changed = asked_again(&shop, &tag).await;
    assert_eq!(changed.status, StatusCode::OK);

    let tag = changed.header("etag").to_owned();
    shop.wait(31);
    let delayed = asked_again(&shop, &tag).await;
    assert_eq!(delayed.status, StatusCode::OK, "a store is no longer live");

    let tag = delayed.header("etag").to_owned();
    shop.wait(20);
    assert_eq!(asked_again(&shop, &tag).await.status, StatusCode::NOT_MODIFIED);
    shop.wait(60);
    assert_eq!(asked_again(&shop, &tag).await.status, StatusCode::OK, "a minute older");
}

#[tokio::test]
async fn a_tag_is_of_its_question() {
    let shop = Shop::with_stores(&["S1", "S2"]).await;
    shop.stock("S1", "milk", 7);
    let mut tags = Vec::new();
    for more in
        ["", "&quantity=8", "&detail=band", "&limit=1", "&explain=true", "&stores=S1", "&stores=S1,S9"]
    {
        tags.push(shop.get(&format!("{MILK}{more}")).await.header("etag").to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 7);
    shop.store("S2", 5.0, 5.0);
    let moved = shop.get_with(MILK, "if-none-match", &tags.join(", ")).await;
    assert_eq!(moved.status, StatusCode::OK, "a store has moved");
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    let shop = Shop::with_stores(&["S1"]).await;
    shop.stock("S1", "milk", 7);
    let head = shop.ask(Method::HEAD, MILK, &[("x-api-key", super::KEY)], "").await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("etag"), shop.get(MILK).await.header("etag"));
}
