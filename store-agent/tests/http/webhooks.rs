//! POS systems that send what happens: signatures, replays, order, and what stays behind the door.

use crate::client::{Reply, Request};
use crate::process::command;
use crate::shop::{Shop, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const URL: &str = "https://shop.example/webhooks/square";
const OLD: &str = "the-old-secret-of-square";
const NEW: &str = "the-new-secret-of-square";
const SHOP_SECRET: &str = "the-secret-of-shopify-00";
const CONFIG: &str = "[webhooks]\nlisten = \"127.0.0.1:0\"
[[webhooks.pos]]\nsource = \"square\"\nkind = \"square\"\nsecrets_file = \"square.key\"\nlocation = \"L1\"\nnotification_url = \"https://shop.example/webhooks/square\"\nitems_file = \"square.csv\"
[[webhooks.pos]]\nsource = \"levels\"\nkind = \"shopify\"\nsecrets_file = \"shopify.key\"\nlocation = \"24826418\"
[[webhooks.pos]]\nsource = \"orders\"\nkind = \"shopify\"\nsecrets_file = \"shopify.key\"\nlocation = \"24826418\"\ntakes = \"orders\"\n";

fn secret(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn open() -> Shop {
    Shop::prepared(CONFIG, Default::default(), |folder| {
        secret(folder, "square.key", &format!("{OLD}\n"));
        secret(folder, "shopify.key", &format!("{SHOP_SECRET}\n"));
        std::fs::write(folder.join("square.csv"), "V1,4011\n").unwrap();
    })
}

fn door(shop: &Shop) -> SocketAddr {
    let text = std::fs::read_to_string(shop.folder.path().join("data/addresses.json")).unwrap();
    let addresses: Value = serde_json::from_str(&text).unwrap();
    addresses["webhooks"].as_str().unwrap().parse().unwrap()
}

fn signature(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

fn post(shop: &Shop, path: &str, headers: Vec<(&str, String)>, body: &str) -> Reply {
    let request = Request { method: "POST", path, token: None, headers, body: body.as_bytes().to_vec() };
    request.send(door(shop))
}

fn square(shop: &Shop, secret: &str, body: &str) -> Reply {
    let signed = signature(secret, &format!("{URL}{body}"));
    post(shop, "/webhooks/square", vec![("x-square-hmacsha256-signature", signed)], body)
}

fn shopify(shop: &Shop, source: &str, topic: &str, id: &str, body: &str) -> Reply {
    let headers = vec![
        ("x-shopify-hmac-sha256", signature(SHOP_SECRET, body)),
        ("x-shopify-topic", topic.to_owned()),
        ("x-shopify-webhook-id", id.to_owned()),
    ];
    post(shop, &format!("/webhooks/{source}"), headers, body)
}

fn counted(event: &str, item: &str, quantity: &str, at: &str) -> String {
    json!({
        "merchant_id": "M", "type": "inventory.count.updated", "event_id": event,
        "data": { "object": { "inventory_counts": [{
            "calculated_at": at, "catalog_object_id": item, "catalog_object_type": "ITEM_VARIATION",
            "location_id": "L1", "quantity": quantity, "state": "IN_STOCK" }] } },
    })
    .to_string()
}

fn level(available: i64, at: &str) -> String {
    format!(
        r#"{{"inventory_item_id":271878346596884015,"location_id":24826418,"available":{available},"updated_at":"{at}"}}"#
    )
}

fn source(shop: &Shop, name: &str) -> Value {
    let sources = shop.get("/v1/sources").json()["sources"].clone();
    sources.as_array().unwrap().iter().find(|of| of["source"] == name).unwrap().clone()
}

#[test]
fn a_count_is_taken_once_and_an_older_one_never_overwrites_a_younger() {
    let mut shop = open();
    let second = counted("e-2", "V1", "7", "2026-10-31T12:00:00Z");
    let reply = square(&shop, OLD, &second);
    assert_eq!((reply.status, reply.json()["recorded"].clone()), (200, json!(1)), "{reply:?}");
    assert_eq!(shop.on_hand("4011"), "7");
    let again = square(&shop, OLD, &second).json();
    assert_eq!((&again["recorded"], &again["duplicates"]), (&json!(0), &json!(1)));
    // What is sold at a till after the shelf was as Square says stays sold, whatever arrives late.
    let sale = r#"{"source":"till-3","reference":"1","kind":"sale","occurred_at":"2026-10-31T12:30:00Z","lines":[{"sku":"4011","quantity":2}]}"#;
    assert_eq!(shop.report(sale).status, 201);
    shop.stop();
    shop.start();
    let late = square(&shop, OLD, &counted("e-1", "V1", "50", "2026-10-31T11:00:00Z")).json();
    assert_eq!((&late["recorded"], &late["stale"]), (&json!(0), &json!(1)));
    assert_eq!(shop.on_hand("4011"), "5");
    square(&shop, OLD, &counted("e-3", "V1", "-1.5", "2026-10-31T13:00:00Z"));
    assert_eq!(shop.on_hand("4011"), "-1.5", "a figure below nothing is one");
    square(&shop, OLD, &counted("e-4", "V1", "4", "2026-10-31T14:00:00Z"));
    assert_eq!(shop.on_hand("4011"), "4");
    let health = source(&shop, "square");
    assert_eq!((&health["state"], &health["counts"]["stale"]), (&json!("reading"), &json!(1)), "{health}");
}

#[test]
fn nothing_is_looked_at_whose_signature_does_not_fit_and_nothing_else_is_behind_the_door() {
    let shop = open();
    let body = counted("e-1", "V1", "7", "2026-10-31T12:00:00Z");
    let wrong = [
        square(&shop, NEW, &body),
        post(&shop, "/webhooks/square", Vec::new(), &body),
        post(
            &shop,
            "/webhooks/square",
            vec![("x-square-hmacsha256-signature", signature(OLD, &body))],
            &body,
        ),
        post(&shop, "/webhooks/levels", vec![("x-shopify-hmac-sha256", "x".to_owned())], "{"),
    ];
    assert!(wrong.iter().all(|reply| reply.status == 401), "{wrong:?}");
    for path in ["/webhooks/nobody", "/v1/movements", "/healthz", "/metrics", "/"] {
        assert_eq!(post(&shop, path, Vec::new(), "{}").status, 404, "{path}");
    }
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(square(&shop, OLD, &large).status, 413);
    let health = source(&shop, "square");
    assert_eq!((&health["state"], &health["counts"]["refused_signatures"]), (&json!("starting"), &json!(3)));
    assert_eq!(shop.get("/v1/items/4011").status, 404);
}

#[test]
fn a_secret_is_replaced_without_a_restart() {
    let shop = open();
    secret(shop.folder.path(), "square.key", &format!("{NEW}\n{OLD}\n"));
    let at = |minute: u32| format!("2026-10-31T12:{minute:02}:00Z");
    let mut minute = 0;
    // Files are told apart by the time of their last change, which may be the same for a moment.
    until("the new secret counts", || {
        minute += 1;
        square(&shop, NEW, &counted(&format!("n-{minute}"), "V1", "7", &at(minute % 60))).status == 200
    });
    assert_eq!(square(&shop, OLD, &counted("old", "V1", "8", "2026-10-31T13:00:00Z")).status, 200);
    assert_eq!(shop.on_hand("4011"), "8");
}

#[test]
fn what_cannot_be_understood_is_set_aside_and_answered_so_that_it_is_not_sent_for_ever() {
    let shop = open();
    let unknown = square(&shop, OLD, r#"{"type":"order.created","event_id":"e","data":7}"#);
    assert_eq!((unknown.status, unknown.json()), (200, json!({ "not_taken": "order.created" })));
    let broken = square(&shop, OLD, r#"{"type":"inventory.count.updated","event_id":7}"#);
    assert_eq!((broken.status, broken.json()["set_aside"].clone()), (200, json!(1)), "{broken:?}");
    assert_eq!(square(&shop, OLD, "{").json()["set_aside"], 1);
    let stranger = square(&shop, OLD, &counted("e-1", "V9", "7", "2026-10-31T12:00:00Z"));
    assert_eq!(stranger.json()["set_aside"], 1);
    let health = source(&shop, "square");
    let why = health["last_set_aside"].as_str().unwrap();
    assert!(why.contains("V9,SKU"), "{why}");
    assert_eq!((&health["counts"]["not_taken"], &health["counts"]["set_aside"]), (&json!(1), &json!(3)));
    // Once the file knows it, the same event is taken.
    std::fs::write(shop.folder.path().join("square.csv"), "V1,4011\nV9,4012\n").unwrap();
    until("the new item is known", || {
        square(&shop, OLD, &counted("e-1", "V9", "7", "2026-10-31T12:00:00Z"));
        shop.get("/v1/items/4012").status == 200
    });
    assert_eq!(shop.on_hand("4012"), "7");
}

#[test]
fn shopifys_levels_are_figures_and_its_orders_are_sales_and_never_both() {
    let shop = open();
    let topic = "inventory_levels/update";
    let body = level(6, "2026-10-31T12:00:00-04:00");
    assert_eq!(shopify(&shop, "levels", topic, "w-2", &body).json()["recorded"], 1);
    assert_eq!(shopify(&shop, "levels", topic, "w-2", &body).json()["duplicates"], 1);
    let late = shopify(&shop, "levels", topic, "w-1", &level(99, "2026-10-31T11:00:00-04:00"));
    assert_eq!(late.json()["stale"], 1);
    // In the same second: the one that comes later is the later.
    assert_eq!(shopify(&shop, "levels", topic, "w-3", &level(5, "2026-10-31T12:00:00-04:00")).status, 200);
    assert_eq!(shop.on_hand("271878346596884015"), "5");

    let order = r#"{"id":820982911946154508,"location_id":24826418,"processed_at":"2026-10-31T12:30:00-04:00","line_items":[
        {"id":1,"variant_id":7,"sku":"4011","quantity":3},{"id":2,"variant_id":8,"sku":"4012","quantity":1}]}"#;
    assert_eq!(shopify(&shop, "orders", "orders/paid", "a", order).json()["recorded"], 2);
    assert_eq!(shopify(&shop, "orders", "orders/paid", "b", order).json()["duplicates"], 2);
    assert_eq!((shop.on_hand("4011"), shop.on_hand("4012")), ("-3".to_owned(), "-1".to_owned()));
    let both =
        [shopify(&shop, "levels", "orders/paid", "c", order), shopify(&shop, "orders", topic, "d", &body)];
    assert!(
        both.iter().all(|reply| reply.status == 200 && reply.json()["not_taken"].is_string()),
        "{both:?}"
    );
    assert_eq!(shop.on_hand("4011"), "-3");
}

#[test]
fn a_source_whose_files_are_no_use_says_so_and_stops_nothing_else() {
    let shop = Shop::prepared(CONFIG, Default::default(), |folder| {
        secret(folder, "shopify.key", &format!("{SHOP_SECRET}\n"));
        std::fs::write(folder.join("square.csv"), "V1,4011\n").unwrap();
    });
    let health = source(&shop, "square");
    assert_eq!(health["state"], "failing");
    assert!(health["last_error"]["reason"].as_str().unwrap().contains("square.key"), "{health}");
    assert_eq!(square(&shop, OLD, "{}").status, 404);
    let body = level(6, "2026-10-31T12:00:00-04:00");
    assert_eq!(shopify(&shop, "levels", "inventory_levels/update", "w", &body).status, 200);
}

/// `pos check` beside the running agent, with a body in a file.
fn checked(shop: &Shop, source: &str, body: &str) -> (bool, String) {
    std::fs::write(shop.folder.path().join("delivery.json"), body).unwrap();
    let args = ["pos", "check", "--source", source, "--config", "agent.toml", "--delivery", "delivery.json"];
    let output = command(&args, shop.folder.path());
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_check_shows_what_a_delivery_would_become_and_records_nothing() {
    let shop = open();
    let order = r#"{"id":820982911946154508,"location_id":24826418,"processed_at":"2026-10-31T12:00:00-04:00","line_items":[{"id":866550311766439020,"sku":"4011","quantity":2,"variant_id":808950810}]}"#;
    let (is_well, said) = checked(&shop, "orders", order);
    assert!(
        is_well && said.contains("sale") && said.contains("4011") && said.contains("nothing wrong"),
        "{said}"
    );
    let (is_well, said) = checked(&shop, "orders", "{\"id\":");
    assert!(!is_well && said.contains("WRONG") && said.contains("can't be understood"), "{said}");
    let (is_well, said) = checked(&shop, "square", r#"{"type":"catalog.version.updated","event_id":"e"}"#);
    assert!(!is_well && said.contains("does not take"), "{said}");
    let (is_well, said) = checked(&shop, "nobody", order);
    assert!(!is_well && said.contains("no such POS"), "{said}");
    std::fs::remove_file(shop.folder.path().join("square.csv")).unwrap();
    let (is_well, said) = checked(&shop, "square", order);
    assert!(!is_well && said.contains("square.csv"), "{said}");
    assert_eq!(shop.get("/v1/items/4011").status, 404, "nothing was recorded");
}
