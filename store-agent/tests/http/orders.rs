//! Pickup orders over the local API, without a hub and its line.

use crate::client::Reply;
use crate::shop::{ANY, Shop, TILL_3};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use store_agent::http::listener::Patience;
use store_agent::store;
use store_agent::store::orders::{OrderRow, save_order};
use sync_protocol::order::short_code::code_hash;
use sync_protocol::order::{Cancel, HubOrder, Line, OrderId, ShortCode, StoreOrder};
use sync_protocol::pickup_code::PickupCode;
use sync_protocol::{Epoch, ItemNo, Quantity, Seq, UnixMillis};

const ORDER: &str = "K7M29-QX4TB";
const CODE: &str = "7KQ2-M9XT";
/// Far from now in either direction.
const PAST: UnixMillis = UnixMillis(1_700_000_000_000);
const FUTURE: UnixMillis = UnixMillis(4_000_000_000_000);

fn units(units: i64) -> Quantity {
    Quantity::from_units(units)
}

fn lines() -> Vec<Line> {
    vec![Line { item: ItemNo(1), quantity: units(2) }, Line { item: ItemNo(2), quantity: units(1) }]
}

/// As it comes from the hub.
fn order(text: &str, ready_by: i64, cancel: Option<Cancel>) -> OrderRow {
    let order: OrderId = text.parse().unwrap();
    let code: ShortCode = CODE.parse().unwrap();
    let sha256 = |bytes: &[u8]| <[u8; 32]>::try_from(digest(&SHA256, bytes).as_ref()).unwrap();
    let hub = HubOrder {
        revision: 1,
        placed_at: PAST,
        ready_by: UnixMillis(PAST.0 + ready_by),
        hold_until: FUTURE,
        lines: lines(),
        display_name: "Ana G.".to_owned(),
        phone: "…42".to_owned(),
        code_hash: code_hash(order, code, sha256),
        cancel,
        closed: false,
    };
    let store = StoreOrder::received(Epoch(0), &hub.lines, PAST);
    OrderRow { order, hub: Some(hub), store, seq: Seq(0) }
}

fn signer(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// A shop with ten of tea and salt and these orders, that knows the hub's key for pickup codes and never reaches the hub.
fn shop_with(orders: &[OrderRow]) -> Shop {
    let hub = "[hub]\naddress = \"127.0.0.1:9\"\nca_file = \"ca.pem\"\ncertificate_file = \"store.pem\"\n\
               key_file = \"store.key\"\npickup_key_file = \"pickup.pub\"";
    stocked(hub, orders)
}

fn stocked(config: &str, orders: &[OrderRow]) -> Shop {
    let mut shop = Shop::prepared(config, Patience::default(), |folder| {
        let key: String = signer(1).public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(folder.join("pickup.pub"), key + "\n").unwrap();
    });
    let items = "{\"sku\":\"tea\",\"gtins\":[\"00012345678905\"],\"name\":\"Tea\"}\n{\"sku\":\"salt\",\"name\":\"Salt\"}";
    assert_eq!(shop.put_items(items).status, 200);
    let receipt = r#"{"source":"till-3","reference":"r1","kind":"receipt","occurred_at":"2026-10-31T17:03:22Z",
        "lines":[{"sku":"tea","quantity":10},{"sku":"salt","quantity":10}]}"#;
    assert_eq!(shop.report(receipt).status, 201);
    shop.stop();
    let db = store::open(&shop.folder.path().join("data/agent.db")).unwrap();
    for order in orders {
        save_order(&db, order).unwrap();
        for line in order.hub.iter().flat_map(|hub| &hub.lines) {
            let promised = [i64::from(line.item.0), line.quantity.thousandths()];
            db.execute("UPDATE stock SET promised = promised + ?2 WHERE item = ?1", promised).unwrap();
        }
    }
    drop(db);
    shop.start();
    shop
}

fn one_order() -> Shop {
    shop_with(&[order(ORDER, 0, None)])
}

fn act(shop: &Shop, act: &str, body: &Value) -> Reply {
    let path = format!("/v1/orders/{ORDER}/{act}");
    shop.ask("POST", &path, Some(ANY), body.to_string().as_bytes())
}

fn does(shop: &Shop, name: &str, body: Value) -> Value {
    let reply = act(shop, name, &body);
    assert_eq!(reply.status, 200, "{name} {body}: {}", reply.body);
    reply.json()
}

/// The status, and the last part of the problem's type.
fn refused(reply: &Reply) -> (u16, String) {
    reply.problem_field();
    let kind = reply.json()["type"].as_str().unwrap().to_owned();
    (reply.status, kind.rsplit(':').next().unwrap().to_owned())
}

fn signed(seed: u8, store: &str, valid_until: UnixMillis) -> String {
    let code = PickupCode {
        store: store.parse().unwrap(),
        order: ORDER.parse().unwrap(),
        valid_until,
        lines: lines(),
    };
    code.text(signer(seed).sign(&code.message()).as_ref().try_into().unwrap())
}

fn scan(shop: &Shop, code: &str) -> Reply {
    let body = json!({"code": code, "by": "Ana"}).to_string();
    shop.ask("POST", "/v1/pickups", Some(ANY), body.as_bytes())
}

#[test]
fn an_order_goes_from_the_list_to_the_customer() {
    let shop = one_order();
    let list = shop.get("/v1/orders").json();
    assert_eq!((list["orders"].as_array().unwrap().len(), &list["more"]), (1, &json!(false)));
    let listed = &list["orders"][0];
    assert_eq!((&listed["order"], &listed["status"]), (&json!(ORDER), &json!("sent")));
    assert_eq!((&listed["display_name"], &listed["phone"]), (&json!("Ana G."), &json!("…42")));
    assert_eq!(listed["ready_by"], "2023-11-14T22:13:20Z");
    assert_eq!((&listed["at_risk"], &listed["cancel_wanted"]), (&json!(false), &Value::Null));
    let line = &listed["lines"][0];
    assert_eq!((&line["sku"], &line["gtins"][0]), (&json!("tea"), &json!("00012345678905")));
    assert_eq!((line["ordered"].to_string(), line["picked"].to_string()), ("2".into(), "0".into()));

    does(&shop, "accept", json!({"by": "Ana"}));
    let picked = does(&shop, "pick", json!({"by": "Ana", "gtin": "0012345678905", "quantity": 2}));
    assert_eq!(
        (&picked["status"], picked["lines"][0]["picked"].to_string()),
        (&json!("picking"), "2".into())
    );
    let short = json!({"by": "Ana", "sku": "salt", "quantity": 1, "reason": "not_found"});
    assert_eq!(does(&shop, "short", short)["lines"][1]["why"], "not_found");
    does(&shop, "ready", json!({"by": "Ana"}));
    let done = does(&shop, "hand-over", json!({"by": "Bo", "short_code": "7kq2m9xt"}));
    assert_eq!(
        (&done["status"], &done["by"], &done["proof"]),
        (&json!("collected"), &json!("Bo"), &json!("short_code"))
    );
    assert_eq!((shop.on_hand("tea"), shop.on_hand("salt")), ("8".to_owned(), "10".to_owned()));
    assert_eq!(shop.get("/v1/orders").json()["orders"], json!([]), "nothing left to do");
    assert_eq!(shop.get(&format!("/v1/orders/{ORDER}")).json()["status"], "collected");
    assert_eq!(does(&shop, "undo", json!({"by": "Bo"}))["status"], "ready");
    assert_eq!(shop.on_hand("tea"), "10");
}

#[test]
fn the_most_urgent_come_first_and_the_rest_is_said_to_be_there() {
    let shop = shop_with(&[
        order("00000-00001", 9_000, None),
        order("00000-00002", 0, None),
        order("00000-00003", 5_000, None),
    ]);
    let numbers = |list: &Value| -> Vec<String> {
        list["orders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["order"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = shop.get("/v1/orders").json();
    assert_eq!(numbers(&list), ["00000-00002", "00000-00003", "00000-00001"]);
    let first = shop.get("/v1/orders?limit=1").json();
    assert_eq!((numbers(&first), &first["more"]), (vec!["00000-00002".to_owned()], &json!(true)));
    for wrong in ["?limit=0", "?limit=100000", "?all=true"] {
        assert_eq!(refused(&shop.get(&format!("/v1/orders{wrong}"))).0, 400, "{wrong}");
    }
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_with_what_to_do() {
    let shop = one_order();
    assert_eq!(refused(&shop.get("/v1/orders/00000-00009")), (404, "not-found".to_owned()));
    assert_eq!(refused(&shop.get("/v1/orders/nonsense")), (400, "bad-parameter".to_owned()));
    let unknown = shop.ask("POST", "/v1/orders/00000-00009/accept", Some(ANY), br#"{"by":"Ana"}"#);
    assert_eq!(refused(&unknown), (404, "not-found".to_owned()));
    assert_eq!(refused(&act(&shop, "dance", &json!({"by": "Ana"}))), (404, "not-found".to_owned()));
    assert_eq!(refused(&act(&shop, "ready", &json!({"by": "Ana"}))), (409, "act-refused".to_owned()));
    assert_eq!(
        refused(&act(&shop, "acknowledge-cancel", &json!({"by": "Ana"}))),
        (409, "act-refused".to_owned())
    );
    let other = json!({"by": "Ana", "sku": "bread", "quantity": 1});
    assert_eq!(refused(&act(&shop, "pick", &other)), (409, "not-in-order".to_owned()));
    let much = json!({"by": "Ana", "sku": "tea", "quantity": 3});
    assert_eq!(refused(&act(&shop, "pick", &much)), (409, "act-refused".to_owned()));
    assert_eq!(shop.ask("POST", "/v1/orders/nonsense/accept", Some(ANY), b"{}").status, 400);
    assert_eq!(shop.ask("GET", "/v1/orders", None, b"").status, 401);
    assert_eq!(shop.ask("POST", "/v1/pickups", None, b"{}").status, 401);
    assert_eq!(shop.get(&format!("/v1/orders/{ORDER}")).json()["revision"], 1, "nothing has changed");
}

#[test]
fn two_tablets_on_one_order_do_not_pick_twice() {
    let shop = one_order();
    let pick = json!({"by": "Ana", "sku": "tea", "quantity": 1, "revision": 1});
    assert_eq!(does(&shop, "pick", pick.clone())["revision"], 2);
    let late = act(&shop, "pick", &pick);
    assert_eq!(refused(&late), (409, "moved-on".to_owned()));
    assert!(late.body.contains("picking") && late.body.contains("revision 2"), "{}", late.body);
    let order = shop.get(&format!("/v1/orders/{ORDER}")).json();
    assert_eq!(order["lines"][0]["picked"].to_string(), "1");
}

#[test]
fn wrong_short_codes_are_counted_and_then_none_is_taken() {
    let shop = one_order();
    let code = |text: &str| json!({"by": "Ana", "short_code": text});
    for left in (0..5).rev() {
        let wrong = act(&shop, "hand-over", &code("0000-0000"));
        assert_eq!(refused(&wrong), (403, "wrong-code".to_owned()));
        assert!(wrong.body.contains(&format!("{left} more tries")), "{}", wrong.body);
    }
    let blocked = act(&shop, "hand-over", &code(CODE));
    assert_eq!(refused(&blocked), (429, "too-many-codes".to_owned()));
    assert!(blocked.body.contains("scan the signed code"), "{}", blocked.body);
    assert_eq!(shop.on_hand("tea"), "10");
    let person = does(&shop, "hand-over", json!({"by": "Ana", "person": true}));
    assert_eq!(person["proof"], "person");
}

#[test]
fn a_cancellation_is_shown_acknowledged_and_put_back() {
    let mut wanted = order(ORDER, 0, Some(Cancel::Shopper));
    wanted.store.stage = sync_protocol::order::Stage::Accepted;
    wanted.store.progress[0].picked = units(1);
    let shop = shop_with(&[wanted]);
    let shown = shop.get(&format!("/v1/orders/{ORDER}")).json();
    assert_eq!((&shown["status"], &shown["cancel_wanted"]), (&json!("cancelling"), &json!("shopper")));
    let ended = does(&shop, "acknowledge-cancel", json!({"by": "Ana"}));
    assert_eq!((&ended["status"], &ended["put_back_due"]), (&json!("cancelled"), &json!(true)));
    assert_eq!(shop.get("/v1/orders").json()["orders"].as_array().unwrap().len(), 1, "still to be put back");
    assert_eq!(does(&shop, "put-back", json!({"by": "Ana"}))["put_back_due"], false);
    assert_eq!(shop.get("/v1/orders").json()["orders"], json!([]));
}

#[test]
fn settings_that_no_hub_has_sent_are_not_made_up() {
    let shop = shop_with(&[]);
    let told = shop.get("/v1/pickup-settings").json();
    assert_eq!(told, json!({"received": false, "settings": null, "own_pause": null}));
}

#[test]
fn a_store_pauses_and_resumes_itself() {
    let shop = shop_with(&[]);
    let ask = |path: &str, body: Value| shop.ask("POST", path, Some(ANY), body.to_string().as_bytes());
    let until = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap().to_string();
    let paused = ask("/v1/pause", json!({"by": "Ana", "until": until, "reason": "flooded"}));
    let own = paused.json()["own_pause"].clone();
    assert_eq!(
        (paused.status, &own["by"], &own["reason"]),
        (200, &json!("Ana"), &json!("flooded")),
        "{}",
        paused.body
    );
    for (body, field) in [
        (json!({"by": "Ana", "reason": "flooded"}), "until"),
        (json!({"by": "Ana", "until": "2020-01-01T00:00:00Z", "reason": "flooded"}), "until"),
        (json!({"by": "Ana", "until": "tonight", "reason": "flooded"}), "until"),
        (json!({"by": "Ana", "until": until}), "reason"),
        (json!({"until": until, "reason": "flooded"}), "by"),
    ] {
        let refused = ask("/v1/pause", body);
        assert_eq!((refused.status, refused.problem_field().as_str()), (422, field), "{}", refused.body);
    }
    assert_eq!(ask("/v1/resume", json!({})).json()["own_pause"], Value::Null);
}

#[test]
fn an_order_whose_goods_the_till_sold_is_at_risk() {
    let shop = one_order();
    let sale = r#"{"source":"till-3","reference":"s1","kind":"sale","occurred_at":"2026-10-31T18:03:22Z","lines":[{"sku":"tea","quantity":10}]}"#;
    assert_eq!(shop.report(sale).status, 201);
    let listed = shop.get("/v1/orders").json()["orders"][0].clone();
    assert_eq!((&listed["at_risk"], &listed["lines"][0]["at_risk"]), (&json!(true), &json!(true)));
    assert_eq!(listed["lines"][1]["at_risk"], false);
    assert_eq!(listed["at_risk_because"], "sale");
    let tasks = shop.get("/v1/count-tasks").json();
    let task = &tasks["tasks"][0];
    assert_eq!(
        (&task["sku"], &task["reasons"], &tasks["more"]),
        (&json!("tea"), &json!(["breach_sale"]), &json!(false))
    );
    let count = r#"{"source":"till-3","reference":"c1","kind":"count","occurred_at":"2026-10-31T18:05:00Z","counted_position":1000,"lines":[{"sku":"tea","quantity":1}]}"#;
    assert_eq!(shop.report(count).status, 201);
    assert_eq!(shop.get("/v1/count-tasks").json()["tasks"], json!([]));
    let ended = does(&shop, "refuse", json!({"by": "Ana", "reason": "sold out"}));
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("refused"), &json!("sold out")));
    assert_eq!(ended["at_risk"], false);
}

#[test]
fn a_signed_code_hands_over_what_this_store_never_heard_of_and_only_once() {
    let shop = shop_with(&[]);
    let code = signed(1, "S0001", FUTURE);
    let done = scan(&shop, &code);
    assert_eq!((done.status, done.json()["status"].clone()), (200, json!("collected")), "{}", done.body);
    assert_eq!((done.json()["proof"].clone(), done.json()["ready_by"].clone()), (json!("code"), Value::Null));
    assert_eq!((shop.on_hand("tea"), shop.on_hand("salt")), ("8".to_owned(), "9".to_owned()));
    assert_eq!(refused(&scan(&shop, &code.to_lowercase())), (409, "used-code".to_owned()));
    assert_eq!(shop.on_hand("tea"), "8");
}

#[test]
fn a_code_that_is_not_good_hands_nothing_over() {
    let shop = shop_with(&[]);
    assert_eq!(refused(&scan(&shop, &signed(2, "S0001", FUTURE))), (403, "forged-code".to_owned()));
    assert_eq!(refused(&scan(&shop, &signed(1, "S0002", FUTURE))), (409, "other-store".to_owned()));
    assert_eq!(refused(&scan(&shop, &signed(1, "S0001", PAST))), (410, "expired-code".to_owned()));
    assert_eq!(refused(&scan(&shop, "4011")), (422, "invalid".to_owned()));
    assert_eq!(refused(&scan(&shop, &"0".repeat(3_000))), (422, "invalid".to_owned()));
    assert_eq!(shop.on_hand("tea"), "10");
}

#[test]
fn a_store_without_the_key_says_that_it_can_not_check_codes() {
    let shop = stocked("", &[]);
    let unchecked = scan(&shop, &signed(1, "S0001", FUTURE));
    assert_eq!(refused(&unchecked), (501, "no-pickup-key".to_owned()));
    assert!(unchecked.body.contains("this store can't check signed codes"), "{}", unchecked.body);
}

#[test]
fn a_sale_that_names_the_order_closes_it() {
    let shop = one_order();
    let sale = |reference: &str, more: &str| {
        format!(
            r#"{{"source":"till-3","reference":"{reference}","kind":"sale","occurred_at":"2026-10-31T17:03:22Z",
            "lines":[{{"sku":"tea","quantity":2}},{{"sku":"salt","quantity":1}}],{more}}}"#
        )
    };
    let named = sale("s1", &format!("\"order\":\"{}\"", ORDER.to_lowercase()));
    assert_eq!(shop.report(&named).status, 201);
    let closed = shop.get(&format!("/v1/orders/{ORDER}")).json();
    assert_eq!((&closed["status"], &closed["proof"]), (&json!("collected"), &json!("till")));
    assert_eq!(shop.on_hand("tea"), "8");
    assert_eq!(
        shop.report(&sale("s2", "\"order\":\"00000-00009\"")).status,
        201,
        "the till is never refused"
    );
    assert_eq!(shop.on_hand("tea"), "6");
    let wrong = [
        (sale("s3", "\"order\":\"nonsense\""), "order"),
        (named.replace("\"sale\"", "\"receipt\""), "order"),
        (named.replace("\"sale\"", "\"pickup\""), "kind"),
    ];
    for (text, field) in wrong {
        let reply = shop.report(&text);
        assert_eq!((reply.status, reply.problem_field().as_str()), (422, field), "{text}");
    }
    let own = named.replace("till-3", "pickup").replace("s1", "s4");
    assert_eq!(shop.ask("POST", "/v1/movements", Some(TILL_3), own.as_bytes()).status, 403);
    let reply = shop.ask("POST", "/v1/movements", Some(ANY), own.as_bytes());
    assert_eq!((reply.status, reply.problem_field().as_str()), (422, "source"));
}
