//! Pickup orders from the web shop to the handover, with lines cut, hubs killed and codes that are not what they seem.

use crate::harness::{Hub, Store, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::thread;

#[test]
fn an_order_is_handed_over_with_the_line_down() {
    let scene = super::scene("orders-offline");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("apples", "10");
    hub.shows("S0001", "apples", "10");

    let order = placed(&hub, "one", &wish("S0001", &[("apples", 3)]));
    let number = text(&order, "order");
    hub.shows("S0001", "apples", "7");
    let seen = listed(&store, &number);
    assert_eq!((&seen["status"], &seen["display_name"]), (&json!("sent"), &json!("Asha K.")));
    act(&store, &number, "accept", &json!({ "by": "Noor" }), 200);
    act(&store, &number, "pick", &json!({ "by": "Noor", "sku": "apples", "quantity": 3 }), 200);
    act(&store, &number, "ready", &json!({ "by": "Noor" }), 200);
    stands(&hub, &number, "ready");

    store.line.cut();
    let part = &order["parts"][0];
    let wrong = json!({ "by": "Noor", "short_code": "0000-0000" });
    act(&store, &number, "hand-over", &wrong, 403);
    let code = json!({ "by": "Noor", "short_code": part["short_code"] });
    act(&store, &number, "hand-over", &code, 200);
    store.has("apples", "7");
    act(&store, &number, "hand-over", &code, 409);
    store.sell("apples", "2");
    assert_eq!(status(&hub, &number), "ready", "the hub can't know yet");

    store.line.mend();
    stands(&hub, &number, "collected");
    hub.shows("S0001", "apples", "5");
    let view = shown(&hub, &number);
    let timeline: Vec<&str> = view["timeline"]
        .as_array()
        .expect("a timeline")
        .iter()
        .filter_map(|line| line["status"].as_str())
        .collect();
    assert_eq!((timeline.first(), timeline.last()), (Some(&"placed"), Some(&"collected")), "{view}");
}

#[test]
fn a_store_that_never_heard_of_an_order_hands_it_over_on_its_signed_code_once() {
    let scene = super::scene("orders-code");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    let other = Store::open(&scene, &hub, "S0002");
    for store in [&store, &other] {
        store.receive("apples", "10");
        hub.shows(store.id(), "apples", "10");
    }
    store.line.cut();
    let order = placed(&hub, "one", &wish("S0001", &[("apples", 4)]));
    let number = text(&order, "order");
    let code = text(&order["parts"][0], "pickup_code");

    let forged = flipped(&code);
    pick_up(&store, &forged, 403);
    let elsewhere = pick_up(&other, &code, 409);
    assert!(elsewhere["detail"].as_str().is_some_and(|detail| detail.contains("S0001")), "{elsewhere}");
    pick_up(&store, &code, 200);
    store.has("apples", "6");
    pick_up(&store, &code, 409);
    store.has("apples", "6");

    store.line.mend();
    stands(&hub, &number, "collected");
    hub.shows("S0001", "apples", "6");
    hub.shows("S0002", "apples", "10");
}

#[test]
fn shoppers_who_race_for_the_last_units_get_no_more_than_there_are() {
    const SHOPPERS: usize = 1_000;
    const UNITS: usize = 10;
    const AT_ONCE: usize = 25;
    let scene = super::scene("orders-race");
    let mut hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("apples", &UNITS.to_string());
    hub.shows("S0001", "apples", &UNITS.to_string());
    // Only what stands at the hub counts while it is killed and started again.
    let client = hub.client();
    let racing: Vec<_> = (0..AT_ONCE)
        .map(|thread| {
            let client = client.clone();
            thread::spawn(move || {
                let keys = (0..SHOPPERS).filter(|shopper| shopper % AT_ONCE == thread);
                let tried = keys.map(|shopper| {
                    let key = format!("shopper-{shopper}");
                    (key.clone(), try_to_place(&client, &key, &wish("S0001", &[("apples", 1)])))
                });
                tried.collect::<Vec<_>>()
            })
        })
        .collect();
    let killer = thread::spawn(move || {
        hub.kill();
        hub.start();
        hub
    });
    let tried: Vec<_> = racing.into_iter().flat_map(|racing| racing.join().expect("a shopper")).collect();
    let hub = killer.join().expect("the hub is back");
    // Who got no answer asks again with the same key, as a shop does.
    let mut orders = BTreeSet::new();
    for (key, first) in tried {
        let again = eventually("the hub to answer a shopper", || {
            match try_to_place(&hub.client(), &key, &wish("S0001", &[("apples", 1)])) {
                Some((status @ (201 | 409), body)) => Ok((status, body)),
                other => Err(other),
            }
        });
        if let Some((201, body)) = &first {
            assert_eq!(
                (again.0, &again.1["order"]),
                (201, &body["order"]),
                "what was promised stays promised"
            );
        }
        if again.0 == 201 {
            orders.insert(text(&again.1, "order"));
        }
    }
    assert_eq!(orders.len(), UNITS);
    hub.shows("S0001", "apples", "0");
    for order in &orders {
        listed(&store, order);
    }
}

#[test]
fn a_cancel_is_a_request_that_an_offline_handover_beats() {
    let scene = super::scene("orders-cancel");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("apples", "10");
    hub.shows("S0001", "apples", "10");
    let order = placed(&hub, "one", &wish("S0001", &[("apples", 4)]));
    let number = text(&order, "order");
    listed(&store, &number);
    store.line.cut();
    let cancel = |number: &str| hub.client().post(&format!("/v1/orders/{number}/cancel"), &json!({}));
    assert_eq!(
        cancel(&number).expect("the hub answers").expect(200).json()["parts"][0]["status"],
        "cancelling"
    );
    act(&store, &number, "hand-over", &json!({ "by": "Noor", "person": true }), 200);
    store.line.mend();
    stands(&hub, &number, "collected");
    cancel(&number).expect("the hub answers").expect(409);
    hub.shows("S0001", "apples", "6");

    // Nobody has begun with this one: the store lets go by itself.
    let order = placed(&hub, "two", &wish("S0001", &[("apples", 5)]));
    let number = text(&order, "order");
    hub.shows("S0001", "apples", "1");
    listed(&store, &number);
    cancel(&number).expect("the hub answers").expect(200);
    stands(&hub, &number, "cancelled");
    hub.shows("S0001", "apples", "6");
}

#[test]
fn what_is_not_there_is_not_promised_and_a_key_is_for_one_order() {
    let scene = super::scene("orders-refused");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    let other = Store::open(&scene, &hub, "S0002");
    store.receive("apples", "2");
    store.receive("bread", "5");
    other.receive("apples", "9");
    other.receive("bread", "9");
    hub.shows("S0001", "bread", "5");
    hub.shows("S0002", "bread", "9");
    let both = wish("S0001", &[("bread", 1), ("apples", 3)]);
    let (status, refused) = try_to_place(&hub.client(), "one", &both).expect("the hub answers");
    assert_eq!((status, &refused["type"]), (409, &json!("urn:shopsmart:problem:insufficient-availability")));
    assert_eq!(refused["lines"], json!([{ "sku": "apples", "asked": 3, "available": 2 }]));
    assert_eq!(refused["alternatives"][0]["store"], "S0002", "{refused}");
    hub.shows("S0001", "bread", "5");

    let wanted = wish("S0001", &[("apples", 2)]);
    let order = placed(&hub, "two", &wanted);
    assert_eq!(placed(&hub, "two", &wanted)["order"], order["order"]);
    let (status, _) =
        try_to_place(&hub.client(), "two", &wish("S0001", &[("bread", 1)])).expect("the hub answers");
    assert_eq!(status, 422);
    hub.shows("S0001", "apples", "0");
    hub.shows("S0001", "bread", "5");
}

#[test]
fn a_store_that_can_not_have_an_order_ready_passes_it_on_as_the_shopper_allowed() {
    let scene = super::scene("orders-rerouted");
    let hub = Hub::open(&scene);
    let (first, second) = (Store::open(&scene, &hub, "S0001"), Store::open(&scene, &hub, "S0002"));
    for store in [&first, &second] {
        store.receive("apples", "10");
        hub.shows(store.id(), "apples", "10");
    }
    let refuse = json!({ "by": "Noor", "reason": "the fridge is broken" });
    let by_itself = with("reroute", json!("auto"), wish("S0001", &[("apples", 4)]));
    let order = text(&placed(&hub, "one", &by_itself), "order");
    listed(&first, &order);
    act(&first, &order, "refuse", &refuse, 200);
    let part = eventually("the other store to get it", || {
        let view = shown(&hub, &order);
        view["parts"].as_array().and_then(|parts| parts.get(1).cloned()).ok_or(view)
    });
    assert_eq!((&part["store"], &shown(&hub, &order)["owed"]), (&json!("S0002"), &json!([])));
    let number = text(&part, "order");
    listed(&second, &number);
    let code = json!({ "by": "Sam", "short_code": part["short_code"] });
    act(&second, &number, "hand-over", &code, 200);
    second.has("apples", "6");
    hub.shows("S0001", "apples", "10");
    eventually("the hub to hear of it", || {
        let view = shown(&hub, &order);
        if view["parts"][1]["status"] == "collected" { Ok(()) } else { Err(view) }
    });
    assert_eq!(status(&hub, &order), "rerouted");
    why_is_told(&hub, &order);

    let asked_first = with("reroute", json!("offer"), wish("S0001", &[("apples", 2)]));
    let order = text(&placed(&hub, "two", &asked_first), "order");
    let consent = |store: &str| {
        let path = format!("/v1/orders/{order}/reroute");
        hub.client().post(&path, &json!({ "store": store })).expect("the hub answers")
    };
    consent("S0002").expect(409);
    listed(&first, &order);
    act(&first, &order, "refuse", &refuse, 200);
    stands(&hub, &order, "refused");
    assert_eq!(shown(&hub, &order)["rerouting"], "offered");
    let others = hub.client().get(&format!("/v1/orders/{order}/alternatives")).expect("the hub answers");
    assert_eq!(others.expect(200).json()["stores"][0]["store"], "S0002");
    consent("S0001").expect(400);
    consent("S0009").expect(404);
    let view = consent("S0002").expect(200).json();
    listed(&second, &text(&view["parts"][1], "order"));
    hub.shows("S0002", "apples", "4");
}

/// An order that S0001 had first, and then S0002.
fn why_is_told(hub: &Hub, order: &str) {
    let routing = hub.client().get(&format!("/v1/orders/{order}/routing")).expect("the hub answers");
    let routing = routing.expect(200).json();
    let stores: Vec<&Value> = routing["decisions"]
        .as_array()
        .expect("decisions")
        .iter()
        .map(|it| &it["legs"][0]["store"])
        .collect();
    assert_eq!(stores, ["S0001", "S0002"], "{routing}");
    assert_eq!(routing["decisions"][1]["considered"][0]["ranked"]["place"], 1, "{routing}");
    let others = json!({ "settings": { "protected": 1000 } });
    let simulated =
        hub.client().post("/v1/routing:simulate", &others).expect("the hub answers").expect(200).json();
    assert_eq!((&simulated["decisions"], &simulated["unroutable"]), (&json!(2), &json!(2)), "{simulated}");
    hub.client()
        .post("/v1/routing:simulate", &json!({ "limit": 0, "settings": {} }))
        .expect("an answer")
        .expect(400);
}

#[test]
fn a_checkout_keeps_its_units_until_it_orders_or_gives_them_up() {
    let scene = super::scene("orders-reserved");
    let mut hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("apples", "10");
    hub.shows("S0001", "apples", "10");
    let basket = json!({ "lines": [{ "sku": "apples", "quantity": 8 }], "pickup": { "store": "S0001" } });
    let reserve = |hub: &Hub, key: &str| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        hub.client().send("POST", "/v1/reservations", &basket.to_string(), &headers).expect("the hub answers")
    };
    let reserved = reserve(&hub, "one").expect(201).json();
    let number = text(&reserved, "reservation");
    hub.shows("S0001", "apples", "2");
    reserve(&hub, "two").expect(409);
    hub.kill();
    hub.start();
    assert_eq!(reserve(&hub, "one").expect(201).json()["reservation"], reserved["reservation"]);
    let path = format!("/v1/reservations/{number}");
    let extend = |seconds: u32| hub.client().post(&format!("{path}/extend"), &json!({ "seconds": seconds }));
    extend(900).expect("the hub answers").expect(200);
    extend(901).expect("the hub answers").expect(400);
    let order = json!({ "customer": { "name": "Asha Kulkarni" }, "reservation": number });
    eventually("the store to be trusted again", || match try_to_place(&hub.client(), "three", &order) {
        Some((201, _)) => Ok(()),
        other => Err(other),
    });
    assert_eq!(placed(&hub, "three", &order)["parts"][0]["lines"][0]["ordered"], 8);
    hub.client().get(&path).expect("the hub answers").expect(404);
    hub.shows("S0001", "apples", "2");

    let little = json!({ "lines": [{ "sku": "apples", "quantity": 2 }], "pickup": { "store": "S0001" } });
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "four")];
    let reply = hub.client().send("POST", "/v1/reservations", &little.to_string(), &headers);
    let reserved = reply.expect("the hub answers").expect(201).json();
    hub.shows("S0001", "apples", "0");
    let path = format!("/v1/reservations/{}", text(&reserved, "reservation"));
    hub.client().send("DELETE", &path, "", &[]).expect("the hub answers").expect(200);
    hub.shows("S0001", "apples", "2");
}

#[test]
fn a_customers_data_goes_everywhere_and_the_store_confirms_when_its_line_is_back() {
    let scene = super::scene("orders-erased");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("apples", "10");
    hub.shows("S0001", "apples", "10");
    let order = text(&placed(&hub, "one", &wish("S0001", &[("apples", 3)])), "order");
    let path = format!("/v1/orders/{order}/customer");
    let erase = || hub.client().send("DELETE", &path, "", &[]).expect("the hub answers");
    assert_eq!(listed(&store, &order)["display_name"], "Asha K.");
    erase().expect(409);
    act(&store, &order, "hand-over", &json!({ "by": "Noor", "person": true }), 200);
    stands(&hub, &order, "collected");
    store.line.cut();
    let erased = erase().expect(200).json();
    assert!(erased["erased_at"].is_string() && erased["stores"][0]["confirmed_at"].is_null(), "{erased}");
    store.line.mend();
    eventually("the store's receipt", || {
        let erasure = hub.client().get(&path).expect("the hub answers").expect(200).json();
        if erasure["stores"][0]["confirmed_at"].is_string() { Ok(()) } else { Err(erasure) }
    });
    let reply = store.client().get(&format!("/v1/orders/{order}")).expect("the agent answers").expect(200);
    assert_eq!((&reply.json()["display_name"], &reply.json()["phone"]), (&json!(""), &json!("")));
}

pub fn with(field: &str, value: Value, mut wish: Value) -> Value {
    wish[field] = value;
    wish
}

pub fn wish(store: &str, lines: &[(&str, u32)]) -> Value {
    let lines: Vec<Value> =
        lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
    json!({
        "customer": { "name": "Asha Kulkarni", "phone": "+91 98200 12345" },
        "lines": lines,
        "pickup": { "store": store },
    })
}

/// `None` where the hub did not answer.
fn try_to_place(client: &crate::harness::Client, key: &str, wish: &Value) -> Option<(u16, Value)> {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    let reply = client.send("POST", "/v1/orders", &wish.to_string(), &headers).ok()?;
    Some((reply.status, reply.json()))
}

#[track_caller]
pub fn placed(hub: &Hub, key: &str, wish: &Value) -> Value {
    let (status, body) = try_to_place(&hub.client(), key, wish).expect("the hub answers");
    assert_eq!(status, 201, "{body}");
    body
}

fn shown(hub: &Hub, order: &str) -> Value {
    hub.client().get(&format!("/v1/orders/{order}")).expect("the hub answers").expect(200).json()
}

fn status(hub: &Hub, order: &str) -> String {
    text(&shown(hub, order)["parts"][0], "status")
}

#[track_caller]
pub fn stands(hub: &Hub, order: &str, wanted: &str) {
    eventually(&format!("order {order} to be {wanted}"), || {
        let found = status(hub, order);
        if found == wanted { Ok(()) } else { Err(found) }
    });
}

/// The order on the store's list, as soon as it is there.
#[track_caller]
pub fn listed(store: &Store, order: &str) -> Value {
    eventually(&format!("order {order} on the list of {}", store.id()), || {
        let reply = store.client().get("/v1/orders").map_err(|error| error.to_string())?;
        let list = reply.json();
        let orders = list["orders"].as_array().cloned().unwrap_or_default();
        orders.into_iter().find(|entry| entry["order"] == order).ok_or_else(|| list.to_string())
    })
}

#[track_caller]
pub fn act(store: &Store, order: &str, act: &str, body: &Value, wanted: u16) -> Value {
    let path = format!("/v1/orders/{order}/{act}");
    store.client().post(&path, body).expect("the agent answers").expect(wanted).json()
}

#[track_caller]
fn pick_up(store: &Store, code: &str, wanted: u16) -> Value {
    let body = json!({ "by": "Noor", "code": code });
    store.client().post("/v1/pickups", &body).expect("the agent answers").expect(wanted).json()
}

/// One digit of the signed part is another.
fn flipped(code: &str) -> String {
    let mut digits: Vec<char> = code.chars().collect();
    let at = digits.len() / 2;
    digits[at] = if digits[at] == '7' { '8' } else { '7' };
    digits.into_iter().collect()
}

#[track_caller]
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no `{field}` in {value}")).to_owned()
}
