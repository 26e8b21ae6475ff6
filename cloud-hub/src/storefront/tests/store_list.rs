//! `GET /v1/stores` and `GET /v1/stores/{id}`.

use super::Shop;
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn stores_come_page_by_page_with_their_state() {
    let shop = Shop::with_stores(&["S3", "S1", "S2"]).await;
    shop.store("S4", 0.0, 0.0);
    let first = shop.get("/v1/stores?limit=3").await;
    assert_eq!(first.stores(), ["S1", "S2", "S3"]);
    let next = first.json()["next"].as_str().unwrap().to_owned();
    let second = shop.get(&format!("/v1/stores?cursor={next}")).await;
    assert_eq!((second.stores(), &second.json()["next"]), (vec!["S4".to_owned()], &Value::Null));
    let expected = json!({
        "store": "S4", "name": "Store S4", "lat": 0.0, "lon": 0.0, "timezone": "Europe/Berlin",
        "state": "never_seen", "as_of": null, "age_s": null, "withheld": "never_seen",
    });
    assert_eq!(second.json()["stores"][0], expected);
    shop.get("/v1/stores?limit=501").await.is_problem(400, "invalid-parameter", Some("limit"));
    shop.get("/v1/stores?near=1,1").await.is_problem(400, "unknown-parameter", Some("near"));
}

#[tokio::test]
async fn one_store_is_found_by_its_id_or_said_not_to_exist() {
    let shop = Shop::with_stores(&["S1"]).await;
    let one = shop.get("/v1/stores/S1").await;
    assert_eq!((one.status, &one.json()["state"]), (StatusCode::OK, &json!("live")));
    let again = shop.get_with("/v1/stores/S1", "if-none-match", one.header("etag")).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    for id in ["S9", "s1", "%2e%2e", "%ff", "S1%2F"] {
        shop.get(&format!("/v1/stores/{id}")).await.is_problem(404, "unknown-store", Some("id"));
    }
}

#[tokio::test]
async fn the_list_s_tag_follows_states_and_stores() {
    let shop = Shop::with_stores(&["S1"]).await;
    let tag = shop.get("/v1/stores").await.header("etag").to_owned();
    assert_eq!(shop.get_with("/v1/stores", "if-none-match", &tag).await.status, StatusCode::NOT_MODIFIED);
    shop.wait(61);
    let delayed = shop.get_with("/v1/stores", "if-none-match", &tag).await;
    assert_eq!(delayed.status, StatusCode::OK);
    shop.store("S2", 0.0, 0.0);
    let more = shop.get_with("/v1/stores", "if-none-match", delayed.header("etag")).await;
    assert_eq!(more.status, StatusCode::OK);
}
