//! Events to follow, webhooks and dead letters, as those meet them who run the shop.

use super::Shop;
use crate::storage::sqlite::Sqlite;
use crate::storage::{Changes, OrderEvent, Storage};
use serde_json::json;
use sync_protocol::UnixMillis;
use sync_protocol::order::OrderId;

fn happens(shop: &Shop, number: u64) {
    let event = OrderEvent {
        id: format!("event-{number}"),
        at: UnixMillis(super::NOON),
        recorded_at: UnixMillis(super::NOON),
        kind: "order.ready".to_owned(),
        order: OrderId::from_number(number).unwrap(),
        payment_reference: Some("psp-secret".to_owned()),
        body: format!("{{\"order\":\"{number}\",\"status\":\"ready\"}}"),
    };
    let mut storage = Sqlite::open(&shop.folder().join("hub.db")).unwrap();
    storage.commit(&Changes { events: vec![event], ..Changes::default() }).unwrap();
}

#[tokio::test]
async fn events_are_followed_page_by_page() {
    let shop = Shop::open().await;
    let empty = shop.get("/v1/orders/events").await.json();
    assert_eq!((&empty["events"], &empty["more"]), (&json!([]), &json!(false)));
    (1..=3).for_each(|number| happens(&shop, number));
    let first = shop.get("/v1/orders/events?limit=2").await;
    assert!(!first.text().contains("psp-secret"));
    let first = first.json();
    assert_eq!(first["more"], true);
    let event = &first["events"][0];
    assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("order.ready")));
    assert_eq!((&event["id"], &event["data"]["status"]), (&json!("event-1"), &json!("ready")));
    let next = first["next"].as_str().unwrap();
    let second = shop.get(&format!("/v1/orders/events?after={next}")).await.json();
    assert_eq!(second["events"].as_array().unwrap().len(), 1);
    let from_empty = empty["next"].as_str().unwrap();
    assert_eq!(
        shop.get(&format!("/v1/orders/events?after={from_empty}")).await.json()["events"][2]["id"],
        "event-3"
    );
}

#[tokio::test]
async fn a_cursor_that_events_do_not_reach_back_to_is_gone() {
    let shop = Shop::open().await;
    (1..=3).for_each(|number| happens(&shop, number));
    let storage = Sqlite::open(&shop.folder().join("hub.db")).unwrap();
    storage.connection().execute("DELETE FROM order_event WHERE seq < 3", []).unwrap();
    assert_eq!(shop.get("/v1/orders/events?after=e0-2").await.json()["events"][0]["id"], "event-3");
    for gone in ["e0-1", "e0-4", "e1-3"] {
        let reply = shop.get(&format!("/v1/orders/events?after={gone}")).await;
        reply.is_problem(410, "cursor-too-old", Some("after"));
    }
    for wrong in ["f0-1", "e", "e0", "e-1", "e0-ffffffffffffffff"] {
        let reply = shop.get(&format!("/v1/orders/events?after={wrong}")).await;
        reply.is_problem(400, "invalid-parameter", Some("after"));
    }
}

#[tokio::test]
async fn webhooks_are_listed_without_what_is_secret_and_replayed_by_name() {
    let shop = Shop::open().await;
    happens(&shop, 1);
    let listed = shop.get("/v1/webhooks").await;
    assert!(!listed.text().contains("secret") && !listed.text().contains("whsec"));
    let webhook = &listed.json()["webhooks"][0];
    assert_eq!((&webhook["name"], &webhook["host"]), (&json!("shop"), &json!("shop.invalid")));
    assert_eq!((&webhook["state"], &webhook["waiting"]), (&json!("active"), &json!(0)));
    let replay = "/v1/webhooks/shop/replay";
    assert_eq!(shop.post(replay, "{\"from_event\":\"event-1\"}").await.status, 200);
    assert_eq!(shop.post(replay, "{\"from_time\":\"2026-11-01T00:00:00Z\"}").await.status, 200);
    for wrong in ["", "{}", "{\"from\":1}", "{\"from_event\":\"a\",\"from_time\":\"2026-11-01T00:00:00Z\"}"] {
        shop.post(replay, wrong).await.is_problem(400, "invalid-body", None);
    }
    let unknown = shop.post(replay, "{\"from_event\":\"event-9\"}").await;
    unknown.is_problem(400, "invalid-body", Some("from_event"));
    let other = shop.post("/v1/webhooks/other/replay", "{\"from_event\":\"event-1\"}").await;
    other.is_problem(404, "no-such-webhook", Some("name"));
}

#[tokio::test]
async fn a_dead_letter_that_is_not_there_is_said_so() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/v1/dead-letters").await.json(), json!({"dead_letters": []}));
    shop.get("/v1/dead-letters?limit=0").await.is_problem(400, "invalid-parameter", Some("limit"));
    for id in ["7", "x", "-1"] {
        shop.get(&format!("/v1/dead-letters/{id}")).await.is_problem(404, "no-such-dead-letter", Some("id"));
        let reply = shop.post(&format!("/v1/dead-letters/{id}/retry"), "").await;
        reply.is_problem(404, "no-such-dead-letter", Some("id"));
    }
}

#[tokio::test]
async fn dead_letters_are_listed_page_by_page_shown_with_what_was_sent_and_retried() {
    let shop = Shop::open().await;
    let books = rusqlite::Connection::open(shop.folder().join("courier.db")).unwrap();
    for number in 1..=3 {
        let sql = "INSERT INTO delivery (endpoint, task, kind, shop_order, chain, created_at, state, attempts, next_at, ended_at,
                                         last_error, body)
                   VALUES ('payment', ?1, 'capture', 'K7M29-QX4TB', '', 0, 'dead', 2, 0, 60000, '422: no', '{\"step\":1}')";
        books.execute(sql, [format!("task-{number}")]).unwrap();
    }
    let first = shop.get("/v1/dead-letters?limit=2").await.json();
    assert_eq!((first["dead_letters"].as_array().unwrap().len(), &first["next"]), (2, &json!("2")));
    assert_eq!(first["dead_letters"][0]["body"], json!(null), "only where one is asked for");
    let second = shop.get("/v1/dead-letters?limit=2&after=2").await.json();
    assert_eq!((&second["dead_letters"][0]["task"], &second["next"]), (&json!("task-3"), &json!(null)));
    let letter = shop.get("/v1/dead-letters/3").await.json();
    let expected = json!({
        "id": "3", "endpoint": "payment", "task": "task-3", "kind": "capture", "order": "K7M29-QX4TB", "attempts": 2,
        "created_at": "1970-01-01T00:00:00Z", "died_at": "1970-01-01T00:01:00Z", "last_error": "422: no",
        "body": {"step": 1},
    });
    assert_eq!(letter, expected);
    assert_eq!(shop.post("/v1/dead-letters/3/retry", "").await.json(), expected);
    shop.get("/v1/dead-letters/3").await.is_problem(404, "no-such-dead-letter", Some("id"));
    let state: String =
        books.query_row("SELECT state FROM delivery WHERE id = 3", [], |row| row.get(0)).unwrap();
    assert_eq!(state, "waiting");
}
