//! What head office and a store write to each other beside figures and orders, with the line cut and mended.

use crate::harness::{Hub, Store, eventually};
use serde_json::{Value, json};

/// Head office sets a store and wants an item counted while its line is cut; the till sells what an order was promised meanwhile.
#[test]
fn head_office_and_the_store_hear_from_each_other_what_is_to_be_done() {
    let scene = super::scene("notes");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    for (sku, quantity) in [("apples", "10"), ("pears", "4")] {
        store.receive(sku, quantity);
        hub.shows("S0001", sku, quantity);
    }
    let takes_part = || read(&store.client(), "/v1/pickup-settings")["settings"]["pickup"]["pickup"].clone();
    eventually("the store to know how it is set", || is(&takes_part(), &json!(true)));

    store.line.cut();
    let order = ordered(&hub, "apples", 9);
    send(&hub, "PUT", "/v1/stores/S0001/pickup-settings", &json!({"pickup": false}));
    let wish = json!({"blind": true, "remark": "top shelf"});
    let asked = send(&hub, "PUT", "/v1/stores/S0001/count-tasks/pears", &wish);
    assert_eq!(asked["state"], "asked", "{asked}");
    store.sell("apples", "2");

    store.line.mend();
    eventually("the store to know that it is switched off", || is(&takes_part(), &json!(false)));
    let why = || {
        let tasks = read(&store.client(), "/v1/count-tasks")["tasks"].clone();
        tasks.as_array().into_iter().flatten().map(|task| task["reasons"].clone()).collect::<Value>()
    };
    eventually("both tasks on the store's list, the first that came first", || {
        let both = [json!([["breach_sale"], ["head_office"]]), json!([["head_office"], ["breach_sale"]])];
        if both.contains(&why()) { Ok(()) } else { Err(why()) }
    });
    let part = || read(&hub.client(), &format!("/v1/orders/{order}"))["parts"][0].clone();
    eventually("the web shop to hear why", || is(&part()["at_risk_because"], &json!("sale")));
    let states = |filter: &str| {
        let tasks = read(&hub.client(), &format!("/v1/count-tasks{filter}"))["tasks"].clone();
        tasks.as_array().into_iter().flatten().map(|task| task["state"].clone()).collect::<Value>()
    };
    eventually("head office to see both open", || is(&states("?store=S0001"), &json!(["open", "open"])));

    let count = json!({
        "source": "office", "reference": "count-1", "kind": "count", "occurred_at": "2026-10-31T17:03:22-04:00",
        "counted_position": 1_000, "lines": [{ "sku": "pears", "quantity": 3 }],
    });
    store.client().post("/v1/movements", &count).expect("the agent answers").expect(201);
    eventually("the count to end one", || is(&states(""), &json!(["open"])));
    let counted = read(&hub.client(), "/v1/count-tasks?state=counted")["tasks"][0].clone();
    let seen = (&counted["sku"], &counted["variance"], &counted["counted_by"], &counted["blind"]);
    assert_eq!(seen, (&json!("pears"), &json!(-1), &json!("office"), &json!(true)), "{counted}");
}

/// The line is cut while a till sells: what is followed from it stops there, ages, and arrives once the line is mended.
#[test]
fn a_followed_movement_stops_where_the_line_is_cut_and_arrives_when_it_is_mended() {
    let scene = super::scene("canary");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.is_also_told("[canary]\nfollow_every_min = 0");
    // What is under way when the hub grants an epoch is followed no further.
    store.is_synced();
    store.receive("4011", "10");
    let there = || read(&hub.client(), "/v1/stores/S0001/sources")["sources"][0].clone();
    let is_at = |canary: Value, stage: &str, waits_for: Value| {
        let (source, overdue) = (canary["source"] == "script", canary["overdue"] == false);
        let so = source && overdue && canary["stage"] == stage && canary["waits_for"] == waits_for;
        if so { Ok(()) } else { Err(canary) }
    };
    eventually("the hub to hear that it has the first", || is_at(there(), "accepted", Value::Null));
    let first = here(&store);
    is_at(first.clone(), "accepted", Value::Null).expect("the store knew before the hub heard of it");

    store.line.cut();
    store.sell("4011", "1");
    is_at(here(&store), "recorded", json!("hub")).expect("it is recorded, and that is as far as it goes");
    // What is written down is not lost with the agent.
    store.kill();
    store.start();
    let grows = |canary: Value| if canary["age_s"].as_u64() > Some(1) { Ok(()) } else { Err(canary) };
    eventually("its age to grow at the store", || grows(here(&store)));
    eventually("its age to grow at the hub", || grows(there()));
    let cut = here(&store);
    is_at(cut.clone(), "recorded", json!("hub")).expect("it waits");
    assert_eq!(
        cut["accepted"]["at"], first["accepted"]["at"],
        "the last that has come all the way is the first"
    );

    store.line.mend();
    eventually("it to arrive", || is_at(here(&store), "accepted", Value::Null));
    eventually("the hub to hear that it has it", || {
        let canary = there();
        let is_second = canary["recorded_at"] == cut["recorded"]["at"];
        if is_second { is_at(canary, "accepted", Value::Null) } else { Err(canary) }
    });
    let metrics = hub.client().get("/metrics").expect("an answer").expect(200).body;
    assert!(metrics.contains("shopsmart_hub_canaries{state=\"accepted\"} 1\n"), "{metrics}");
    assert!(metrics.contains("shopsmart_hub_stores_canary_overdue 0\n"), "{metrics}");
    let metrics = store.client().get("/metrics").expect("an answer").expect(200).body;
    assert!(metrics.contains("shopsmart_agent_canary_overdue{source=\"script\""), "{metrics}");
}

fn here(store: &Store) -> Value {
    read(&store.client(), "/v1/sources")["canaries"][0].clone()
}

fn is(found: &Value, wanted: &Value) -> Result<(), Value> {
    if found == wanted { Ok(()) } else { Err(found.clone()) }
}

fn read(client: &crate::harness::Client, path: &str) -> Value {
    client.get(path).expect("an answer").expect(200).json()
}

fn send(hub: &Hub, method: &str, path: &str, body: &Value) -> Value {
    let headers = [("Content-Type", "application/json"), ("If-Match", "*")];
    hub.client().send(method, path, &body.to_string(), &headers).expect("an answer").expect(200).json()
}

fn ordered(hub: &Hub, sku: &str, quantity: u32) -> String {
    let wish = json!({
        "customer": { "name": "Asha Kulkarni", "phone": "+91 98200 12345" },
        "lines": [{ "sku": sku, "quantity": quantity }],
        "pickup": { "store": "S0001" },
    });
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "one")];
    let placed = hub.client().send("POST", "/v1/orders", &wish.to_string(), &headers).expect("an answer");
    placed.expect(201).json()["order"].as_str().expect("a number").to_owned()
}
