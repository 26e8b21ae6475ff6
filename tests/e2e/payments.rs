//! What leaves the hub because of an order: events to a web shop that checks their signatures, and steps of payment to a service that
//! stumbles. Whatever is killed or cut, what is captured in the end is what was handed over.

use super::orders::{act, listed, placed, stands, text, wish, with};
use crate::harness::Reaction::{Answer, Silence};
use crate::harness::{Ground, Hub, Received, Receiver, Scene, Store, eventually};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

const SECRET: &[u8] = b"the tests of this shop sign this";

/// A hub that tells `shop` what happens and `bank` what to capture.
fn opened(scene: &Scene, shop: &Receiver, bank: &Receiver) -> Hub {
    let secrets = scene.join("secrets");
    std::fs::write(&secrets, format!("whsec_{}\n", STANDARD.encode(SECRET))).expect("a file can be written");
    std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600)).expect("the file is ours");
    let more = format!(
        "[[webhook]]\nname = \"shop\"\nurl = \"{}\"\nsecrets_file = \"{}\"\nallow_private_addresses = true\n\
         [payment]\nurl = \"{}\"\ntimeout_s = 1\nopen_after_failures = 50\nallow_private_addresses = true\n",
        shop.url(),
        secrets.display(),
        bank.url()
    );
    Hub::open_with(scene, Ground::Machine, &more)
}

/// What the service's books say is captured, less what was refunded, by sku; each key counts once.
fn books(bank: &Receiver) -> BTreeMap<String, i64> {
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    let mut sums = BTreeMap::new();
    for request in bank.received() {
        let key = request.header("idempotency-key").to_owned();
        assert!(!key.is_empty(), "{request:?}");
        if let Some(before) = keys.insert(key, request.body.clone()) {
            assert_eq!(before, request.body, "one key stands for one step");
            continue;
        }
        let step: Value = serde_json::from_str(&request.body).expect("a step is JSON");
        let sign = if step["action"] == "refund" { -1 } else { 1 };
        for line in step["lines"].as_array().into_iter().flatten() {
            *sums.entry(text(line, "sku")).or_default() +=
                sign * line["quantity"].as_i64().expect("whole pieces");
        }
    }
    sums
}

/// The steps that were taken, in the order in which they were.
fn taken(bank: &Receiver) -> Vec<String> {
    let steps = bank.received().into_iter().filter(|request| request.was_taken);
    steps.map(|request| text(&serde_json::from_str(&request.body).expect("JSON"), "action")).collect()
}

/// As Standard Webhooks has it: over the id, the time and the bytes of the body.
fn is_signed(request: &Received) -> bool {
    let (id, time) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let tag = hmac::sign(&key, format!("{id}.{time}.{}", request.body).as_bytes());
    let wanted = format!("v1,{}", STANDARD.encode(tag));
    request.header("webhook-signature").split(' ').any(|signature| signature == wanted)
}

/// Kinds of the order's events in the order in which they happened, once those that end it are there.
#[track_caller]
fn told(shop: &Receiver, last: &str) -> Vec<String> {
    eventually(&format!("the shop to be told of `{last}`"), || {
        let mut kinds = BTreeMap::new();
        for request in shop.received().iter().filter(|request| request.was_taken) {
            let event: Value = serde_json::from_str(&request.body).expect("an event is JSON");
            let at: u64 = text(&event, "sequence").parse().expect("a sequence is a number");
            kinds.insert(at, text(&event, "type"));
        }
        let kinds: Vec<String> = kinds.into_values().collect();
        if kinds.iter().any(|kind| kind.ends_with(last)) { Ok(kinds) } else { Err(kinds) }
    })
}

fn of_kind(kinds: &[String], name: &str) -> usize {
    kinds.iter().filter(|kind| kind.ends_with(&format!("order.{name}"))).count()
}

#[test]
fn an_order_is_paid_as_it_was_handed_over_although_the_bank_stumbles_and_the_hub_is_killed() {
    let scene = super::scene("paid");
    let shop = Receiver::open(&[Answer(500)]);
    let bank = Receiver::open(&[]);
    let mut hub = opened(&scene, &shop, &bank);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("apples", "10");
    hub.shows("S0001", "apples", "10");
    let wanted = with("payment_reference", json!("psp-1"), wish("S0001", &[("apples", 3)]));
    let order = text(&placed(&hub, "one", &wanted), "order");
    listed(&store, &order);
    act(&store, &order, "accept", &json!({ "by": "Noor" }), 200);
    act(&store, &order, "pick", &json!({ "by": "Noor", "sku": "apples", "quantity": 2 }), 200);
    let missing = json!({ "by": "Noor", "sku": "apples", "quantity": 1, "reason": "not_found" });
    act(&store, &order, "short", &missing, 200);

    bank.is_away(true);
    act(&store, &order, "ready", &json!({ "by": "Noor" }), 200);
    eventually("the bank to be asked", || if bank.received().is_empty() { Err(()) } else { Ok(()) });
    // Whether the capture was taken nobody can tell now.
    hub.kill();
    let asked = bank.received().len();
    bank.is_away(false);
    hub.start();
    eventually("the same step to be sent again", || {
        if bank.received().len() > asked { Ok(()) } else { Err(asked) }
    });
    stands(&hub, &order, "ready");
    act(&store, &order, "hand-over", &json!({ "by": "Noor", "person": true }), 200);
    stands(&hub, &order, "collected");

    let kinds = told(&shop, "order.closed");
    eventually("everything to be told", || {
        let kinds = told(&shop, "order.closed");
        let all = ["placed", "short", "ready", "collected", "closed"];
        if all.iter().all(|kind| of_kind(&kinds, kind) == 1) { Ok(()) } else { Err(kinds) }
    });
    assert!(of_kind(&kinds, "closed") == 1, "{kinds:?}");
    assert_eq!(
        (taken(&bank), books(&bank)),
        (vec!["capture".to_owned()], BTreeMap::from([("apples".to_owned(), 2)]))
    );
    // Whichever event it was.
    eventually("what was answered 500 to come again under its id", || {
        let heard = shop.received();
        let ids: BTreeSet<&str> = heard.iter().map(|request| request.header("webhook-id")).collect();
        if ids.len() < heard.len() { Ok(()) } else { Err(heard.len()) }
    });
    let heard = shop.received();
    assert!(heard.iter().all(is_signed), "{heard:?}");
}

#[test]
fn a_bank_that_answers_500_then_not_at_all_then_takes_it_is_told_each_step_under_one_key() {
    let scene = super::scene("refunded");
    let shop = Receiver::open(&[]);
    let bank = Receiver::open(&[Answer(500), Silence, Answer(200), Answer(500), Silence]);
    let hub = opened(&scene, &shop, &bank);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("apples", "10");
    hub.shows("S0001", "apples", "10");
    let wanted = with("payment_reference", json!("psp-2"), wish("S0001", &[("apples", 4)]));
    let order = text(&placed(&hub, "one", &wanted), "order");
    listed(&store, &order);
    let noor = json!({ "by": "Noor" });
    act(&store, &order, "accept", &noor, 200);
    act(&store, &order, "pick", &json!({ "by": "Noor", "sku": "apples", "quantity": 4 }), 200);
    act(&store, &order, "ready", &noor, 200);
    eventually("the capture to be taken", || match taken(&bank) {
        steps if steps == ["capture"] => Ok(()),
        steps => Err(steps),
    });

    // The shopper cancels while the store can't hear it, takes the bag all the same, and brings it back at once.
    store.line.cut();
    let cancel = hub.client().post(&format!("/v1/orders/{order}/cancel"), &json!({}));
    assert_eq!(cancel.expect("the hub answers").expect(200).json()["parts"][0]["status"], "cancelling");
    act(&store, &order, "hand-over", &json!({ "by": "Noor", "person": true }), 200);
    act(&store, &order, "undo", &noor, 200);
    store.line.mend();
    eventually("the store to hear of the cancel", || {
        let reply = store.client().post(&format!("/v1/orders/{order}/acknowledge-cancel"), &noor);
        let reply = reply.map_err(|error| error.to_string())?;
        if reply.status == 200 { Ok(()) } else { Err(reply.body) }
    });
    stands(&hub, &order, "cancelled");
    eventually("the refund to be taken", || match taken(&bank) {
        steps if steps == ["capture", "refund"] => Ok(()),
        steps => Err(steps),
    });
    hub.shows("S0001", "apples", "10");
    let kinds = told(&shop, "order.closed");
    assert_eq!((of_kind(&kinds, "cancelled"), of_kind(&kinds, "closed")), (1, 1), "{kinds:?}");
    assert_eq!(books(&bank), BTreeMap::from([("apples".to_owned(), 0)]));
    let keys: BTreeSet<String> =
        bank.received().iter().map(|request| request.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys.len(), 2, "one for each step, however often it was sent");
    assert!(bank.received().len() >= 6, "each step was sent three times");
}

#[test]
fn a_handover_that_beats_the_cancel_stays_paid() {
    let scene = super::scene("beaten");
    let (shop, bank) = (Receiver::open(&[]), Receiver::open(&[]));
    let hub = opened(&scene, &shop, &bank);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("apples", "10");
    hub.shows("S0001", "apples", "10");
    let wanted = with("payment_reference", json!("psp-3"), wish("S0001", &[("apples", 4)]));
    let order = text(&placed(&hub, "one", &wanted), "order");
    listed(&store, &order);
    store.line.cut();
    hub.client()
        .post(&format!("/v1/orders/{order}/cancel"), &json!({}))
        .expect("the hub answers")
        .expect(200);
    act(&store, &order, "hand-over", &json!({ "by": "Noor", "person": true }), 200);
    store.line.mend();
    stands(&hub, &order, "collected");
    told(&shop, "order.closed");
    eventually("the capture to be taken", || match taken(&bank) {
        steps if steps == ["capture"] => Ok(()),
        steps => Err(steps),
    });
    assert_eq!(books(&bank), BTreeMap::from([("apples".to_owned(), 4)]));
}
