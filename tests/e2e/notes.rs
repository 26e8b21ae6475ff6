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
