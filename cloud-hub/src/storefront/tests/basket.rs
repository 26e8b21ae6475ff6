//! `POST /v1/availability:query`.

use super::{KEY, Reply, Shop};
use crate::availability::Index;
use crate::storefront::Settings;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const QUERY: &str = "/v1/availability:query";

async fn ask(shop: &Shop, body: Value) -> Reply {
    shop.post(QUERY, &body.to_string()).await
}

#[tokio::test]
async fn a_basket_is_answered_store_by_store_and_line_by_line() {
    let shop = Shop::with_stores(&["S1", "S2", "S3", "S4"]).await;
    for (store, milk, tea) in [("S1", 2, 1), ("S2", 2, 0), ("S3", 0, 0), ("S4", 1, 1)] {
        shop.stock(store, "milk", milk);
        shop.stock(store, "tea", tea);
    }
    shop.store("S5", 0.0, 0.0);
    let wanted = json!([{"sku": "milk", "quantity": 2}, {"sku": "tea", "quantity": 1}]);
    let reply = ask(
        &shop,
        json!({"items": wanted, "near": {"lat": 0, "lon": 10}, "stores": ["S1", "S2", "S3", "S4", "S5"]}),
    )
    .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.stores(), ["S1", "S2", "S3", "S4", "S5"]);
    let answer = reply.json();
    let can: Vec<&Value> = (0..5).map(|at| &answer["stores"][at]["can_fulfil"]).collect();
    assert_eq!(can, ["all", "some", "none", "some", "unknown"]);
    assert_eq!(
        answer["stores"][1]["lines"],
        json!([
            {"sku": "milk", "quantity": 2, "available": 2, "can_fulfil": "all"},
            {"sku": "tea", "quantity": 1, "available": 0, "can_fulfil": "none"},
        ])
    );
    assert_eq!(answer["stores"][4]["lines"][0]["available"], json!(null));
}

#[tokio::test]
async fn lines_of_one_sku_are_added_up() {
    let shop = Shop::with_stores(&["S1"]).await;
    shop.stock("S1", "milk", 3);
    let twice = json!({"items": [{"sku": "milk", "quantity": 2}, {"sku": "milk", "quantity": "1.5"}]});
    let answer = ask(&shop, twice).await.json();
    assert_eq!(answer["stores"][0]["can_fulfil"], "some");
    assert_eq!(answer["stores"][0]["lines"].as_array().unwrap().len(), 1);
    assert_eq!(answer["stores"][0]["lines"][0]["quantity"], 3.5);
}

#[tokio::test]
async fn skus_nobody_carries_are_listed() {
    let shop = Shop::with_stores(&["S1"]).await;
    shop.stock("S1", "milk", 3);
    let answer =
        ask(&shop, json!({"items": [{"sku": "milk", "quantity": 1}, {"sku": "mlik", "quantity": 1}]}))
            .await
            .json();
    assert_eq!(answer["unknown_skus"], json!(["mlik"]));
    assert_eq!(answer["stores"][0]["can_fulfil"], "some");
    assert_eq!(answer["stores"][0]["lines"][1]["available"], 0);
}

#[tokio::test]
async fn a_hundred_items_over_two_hundred_stores_come_in_one_answer() {
    let ids: Vec<String> = (0..200).map(|n| format!("S{n:03}")).collect();
    let shop = Shop::open().await;
    for (id, at) in ids.iter().zip(0_u32..) {
        shop.store(id, f64::from(at) / 10.0, 10.0);
        shop.heard(id, 0);
    }
    let items: Vec<Value> = (0..100).map(|sku| json!({"sku": format!("i{sku}"), "quantity": 1})).collect();
    for sku in 0..100 {
        shop.stock("S150", &format!("i{sku}"), 1);
    }
    let all = ask(&shop, json!({"items": items, "limit": 500})).await.json();
    assert_eq!(all["stores"].as_array().unwrap().len(), 200);
    assert_eq!(all["stores"][150]["can_fulfil"], "all");
    assert_eq!(all["stores"][151]["can_fulfil"], "none");
    let able = ask(&shop, json!({"items": items, "in_stock": true})).await;
    assert_eq!(able.stores(), ["S150"]);
}

#[tokio::test]
async fn pages_and_views_work_as_for_single_items() {
    let shop = Shop::with_stores(&["S1", "S2", "S3"]).await;
    shop.stock("S2", "milk", 3);
    let items = json!([{"sku": "milk", "quantity": 1}]);
    let first = ask(&shop, json!({"items": items, "limit": 2, "near": {"lat": 0, "lon": 10}})).await;
    let next = first.json()["next"].clone();
    let second =
        ask(&shop, json!({"items": items, "limit": 2, "near": {"lat": 0, "lon": 10}, "cursor": next})).await;
    assert_eq!(
        (first.stores(), second.stores()),
        (vec!["S1".to_owned(), "S2".to_owned()], vec!["S3".to_owned()])
    );
    let band = ask(&shop, json!({"items": items, "detail": "band", "stores": ["S2"]})).await.json();
    assert_eq!(band["stores"][0]["lines"][0]["band"], "low_stock");
    let explained = ask(&shop, json!({"items": items, "explain": true, "stores": ["S2"]})).await.json();
    assert_eq!(explained["stores"][0]["lines"][0]["explain"]["on_hand"], 5);
    shop.heard("S2", 100);
    let old = ask(&shop, json!({"items": items, "max_age_s": 99, "stores": ["S2"]})).await.json();
    assert_eq!(
        (&old["stores"][0]["can_fulfil"], &old["stores"][0]["withheld"]),
        (&json!("unknown"), &json!("too_old"))
    );
}

#[tokio::test]
async fn a_basket_that_is_none_is_refused_by_field() {
    let shop = Shop::with_stores(&["S1"]).await;
    let cases = [
        (r#"{"items":[]}"#, "invalid-parameter", Some("items")),
        (r#"{"items":[{"sku":"a","quantity":0}]}"#, "invalid-parameter", Some("items[0].quantity")),
        (r#"{"items":[{"sku":"a","quantity":-1}]}"#, "invalid-parameter", Some("items[0].quantity")),
        (r#"{"items":[{"sku":"a","quantity":1.0001}]}"#, "invalid-body", Some("items[0].quantity")),
        (
            r#"{"items":[{"sku":"a","quantity":1}],"near":{"lat":100,"lon":0}}"#,
            "invalid-parameter",
            Some("near"),
        ),
        (r#"{"items":[{"sku":"a","quantity":1,"gift":true}]}"#, "invalid-body", Some("items[0].gift")),
        ("nonsense", "invalid-body", None),
    ];
    for (body, kind, parameter) in cases {
        shop.post(QUERY, body).await.is_problem(400, kind, parameter);
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let settings = Settings { request_time_max: Duration::from_millis(20), ..Settings::default() };
    let shop = Shop::open_with(settings, Index::new()).await;
    let mut stream = TcpStream::connect(shop.address).await.unwrap();
    let head =
        format!("POST {QUERY} HTTP/1.1\r\nhost: hub\r\nx-api-key: {KEY}\r\ncontent-length: 9\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let shop = Shop::with_stores(&["S1"]).await;
    let body = format!("{{\"items\":[{}]}}", " ".repeat(200_000));
    shop.post(QUERY, &body).await.is_problem(413, "body-too-large", None);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_told_so_wherever_it_is_sent() {
    let shop = Shop::with_stores(&["S1"]).await;
    let body = " ".repeat(200_000);
    let paths = [
        "/v1/orders/K7M29-QX4TB/reroute",
        "/v1/reservations/K7M29-QX4TB/extend",
        "/v1/routing:simulate",
        "/v1/webhooks/shop/replay",
    ];
    for path in paths {
        shop.post(path, &body).await.is_problem(413, "body-too-large", None);
    }
}
