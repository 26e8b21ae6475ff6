//! The main road: from the till through the agent and the hub to the storefront.

use crate::harness::{Hub, Store, eventually};
use serde_json::{Value, json};

#[test]
fn a_sale_made_offline_reaches_the_hub_once() {
    let scene = super::scene("offline");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");

    store.line.cut();
    store.sell("4011", "3");
    store.sell("4011", "1.235");
    assert_eq!(store.on_hand("4011").to_string(), "5.765");

    store.line.mend();
    hub.shows("S0001", "4011", "5.765");
}

#[test]
fn a_till_is_served_although_the_hub_was_never_seen() {
    let scene = super::scene("alone");
    let mut hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.stop();
    hub.stop();
    store.lose_disk();
    store.start();

    store.sell("never heard of", "2");
    assert_eq!(store.on_hand("never%20heard%20of").to_string(), "-2");
    store.sell("never heard of", "-1");
    store.sell("never heard of", "0");
    assert_eq!(store.on_hand("never%20heard%20of").to_string(), "-1");

    hub.start();
    store.receive("never heard of", "5");
    hub.shows("S0001", "never%20heard%20of", "4");
}

#[test]
fn the_same_document_again_is_answered_and_not_counted() {
    let scene = super::scene("again");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    let first = store.send_again("receipt", 0, "4011", "10").expect(200).json();
    assert_eq!(first["duplicate"], true);

    store.kill();
    store.start();
    let second = store.send_again("receipt", 0, "4011", "10").expect(200).json();
    assert_eq!(second["positions"], first["positions"]);
    store.send_again("receipt", 0, "4011", "11").expect(409);
    assert_eq!(store.on_hand("4011").to_string(), "10");
}

#[test]
fn ten_thousand_lines_in_one_batch_are_answered_one_by_one() {
    const DOCUMENTS: usize = 10_000;
    let scene = super::scene("batch");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");

    let mut batch: Vec<String> = (0..DOCUMENTS).map(receipt_of_one).collect();
    batch[17] = "{ this is not JSON".to_owned();
    batch[4711] = batch[4711].replace("\"quantity\":1", "\"quantity\":0.0001");
    let reply = send_batch(&store, &batch);
    let bad: Vec<usize> = answers(&reply, DOCUMENTS)
        .iter()
        .enumerate()
        .filter(|(_, a)| !is_recorded(a))
        .map(|(n, _)| n)
        .collect();
    assert_eq!(bad, [17, 4711]);
    store.has("bulk-0", "1000");
    store.has("bulk-1", "999");
    hub.shows("S0001", "bulk-7", "999");

    let again = send_batch(&store, &batch);
    let doubled = answers(&again, DOCUMENTS).iter().filter(|answer| answer["duplicate"] == true).count();
    assert_eq!(doubled, DOCUMENTS - 2);
    store.has("bulk-7", "999");
}

#[test]
fn a_count_keeps_what_was_sold_between_counting_and_typing() {
    let scene = super::scene("count");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    let sheet = store.client().get("/v1/items/4011").unwrap().expect(200).json();
    store.sell("4011", "2");
    let count = json!({
        "source": "handheld-1", "reference": "count/1", "kind": "count", "occurred_at": "2026-10-31T17:10:00-04:00",
        "counted_position": sheet["position"], "lines": [{ "sku": "4011", "quantity": 9 }],
    });
    store.client().post("/v1/movements", &count).unwrap().expect(201);
    assert_eq!(store.on_hand("4011").to_string(), "7");
    hub.shows("S0001", "4011", "7");
}

#[test]
fn a_number_says_how_old_it_is() {
    let scene = super::scene("age");
    let hub =
        Hub::open_with(&scene, crate::harness::Ground::Machine, "[freshness]\nlive_s = 2\noffline_s = 5\n");
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
    let state = |wanted: &str| {
        eventually(&format!("S0001 to be {wanted}"), || {
            let place = hub.at("S0001", "4011")?;
            if place["state"] == wanted { Ok(place) } else { Err(place.to_string()) }
        })
    };
    let live = state("live");
    assert!(live["as_of"].is_string() && live["age_s"].is_number(), "{live}");

    store.line.cut();
    state("delayed");
    let offline = state("offline");
    assert_eq!(offline["available"], 10, "what was granted stays granted: {offline}");
    assert!(offline["age_s"].as_f64().is_some_and(|age| age >= 5.0), "{offline}");
    let reply = hub
        .client()
        .get("/v1/availability?sku=4011&stores=S0001&max_age_s=3&detail=exact")
        .unwrap()
        .expect(200);
    assert!(reply.body.contains("\"can_fulfil\":\"unknown\""), "{reply:?}");

    store.line.mend();
    state("live");
}

#[test]
fn one_trace_leads_from_the_till_to_the_hub() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let scene = super::scene("trace");
    let mut hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    let body = json!({
        "source": "till-1", "reference": "1", "kind": "receipt", "occurred_at": "2026-10-31T17:03:22-04:00",
        "lines": [{ "sku": "4011", "quantity": 10 }],
    });
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [("Content-Type", "application/json"), ("traceparent", parent.as_str())];
    store.client().send("POST", "/v1/movements", &body.to_string(), &headers).unwrap().expect(201);
    hub.shows("S0001", "4011", "10");

    let line = eventually("the hub's log to tell of the trace", || {
        let log = hub.log();
        log.lines().find(|line| line.contains(TRACE)).map(str::to_owned).ok_or(log.len())
    });
    let entry: Value = serde_json::from_str(&line).expect("the log is JSON");
    assert!(line.contains("S0001"), "the line says which store: {entry}");
}

fn receipt_of_one(n: usize) -> String {
    let sku = format!("bulk-{}", n % 10);
    json!({
        "source": "back-office", "reference": format!("delivery/{n}"), "kind": "receipt",
        "occurred_at": "2026-10-31T06:00:00-04:00", "lines": [{ "sku": sku, "quantity": 1 }],
    })
    .to_string()
}

fn send_batch(store: &Store, batch: &[String]) -> Vec<Value> {
    let headers = [("Content-Type", "application/x-ndjson")];
    store
        .client()
        .send("POST", "/v1/movements:batch", &batch.join("\n"), &headers)
        .expect("the agent answers")
        .expect(200)
        .lines()
}

fn answers(lines: &[Value], documents: usize) -> &[Value] {
    assert_eq!(lines.len(), documents, "one answer per line");
    lines
}

fn is_recorded(answer: &Value) -> bool {
    answer["positions"].is_array()
}
