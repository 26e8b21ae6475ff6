//! What others hear of orders: each thing once, in the commit in which it happened.

use super::headquarters::{Caller, Headquarters, MILK, id, info, units};
use super::orders::{does, open_shop, open_shop_at, place, received, says, wanted};
use super::*;
use crate::orders::board::zone_of;
use crate::orders::pickup_settings::PickupSettings;
use crate::storage::sqlite::events::{Outbox, Sequenced};
use serde_json::{Value, json};
use sync_protocol::order::{Act, Proof, ShortReason};

struct Told {
    folder: tempfile::TempDir,
    seen: u64,
}

impl Told {
    /// Kinds of what was told since the last time.
    fn kinds(&mut self) -> Vec<String> {
        self.events().into_iter().map(|found| found.event.kind).collect()
    }

    fn events(&mut self) -> Vec<Sequenced> {
        let outbox = Outbox::open(&self.folder.path().join("hub.db")).unwrap();
        let events = outbox.after(self.seen, 100).unwrap();
        self.seen = events.last().map_or(self.seen, |last| last.seq);
        events
    }
}

fn opened() -> (Headquarters, Caller, Told) {
    let folder = tempfile::tempdir().unwrap();
    let (hq, caller) = open_shop_at(folder.path());
    (hq, caller, Told { folder, seen: 0 })
}

#[test]
fn each_line_of_the_timeline_is_told_once_and_the_end_once() {
    let (mut hq, mut caller, mut told) = opened();
    let mut order = wanted(&hq, 1, "a", &[(MILK, 5)]);
    order.payment_reference = Some("psp-1".to_owned());
    let number = order.order;
    let view = place(&mut hq, order.clone()).unwrap();
    place(&mut hq, order).unwrap();
    let placed = told.events();
    assert_eq!(placed.len(), 1, "a replay is no news");
    assert_eq!(placed[0].event.kind, "order.placed");
    assert_eq!((placed[0].event.order, placed[0].event.recorded_at), (number, hq.now.wall));
    assert_eq!(placed[0].event.payment_reference.as_deref(), Some("psp-1"));
    let body: Value = serde_json::from_str(&placed[0].event.body).unwrap();
    let line = json!({"sku": "sku-1", "ordered": 5, "picked": 0, "short": 0, "handed_over": 0});
    let id = number.to_string();
    let expected = json!({"order": id, "part": id, "store": "S0001", "status": "placed", "lines": [line]});
    assert_eq!(body, expected, "nothing personal, and no payment reference");

    let mut half = received(&caller, &view);
    does(&mut half, Act::Short { item: MILK, quantity: units(2), why: ShortReason::NotFound });
    says(&mut hq, &mut caller, number, &half, 0);
    assert_eq!(told.kinds(), ["order.short", "order.picking"]);
    does(&mut half, Act::Pick { item: MILK, quantity: units(2) });
    says(&mut hq, &mut caller, number, &half, 0);
    assert_eq!(told.kinds(), [""; 0], "still picking, and no shorter");
    does(&mut half, Act::Short { item: MILK, quantity: units(1), why: ShortReason::Damaged });
    says(&mut hq, &mut caller, number, &half, 0);
    assert_eq!(told.kinds(), ["order.short"]);
    does(&mut half, Act::Ready);
    does(&mut half, Act::HandOver { proof: Proof::Code });
    says(&mut hq, &mut caller, number, &half, 0);
    let ended = told.events();
    let kinds: Vec<&str> = ended.iter().map(|found| found.event.kind.as_str()).collect();
    assert_eq!(kinds, ["order.collected", "order.closed"]);
    let body: Value = serde_json::from_str(&ended[0].event.body).unwrap();
    assert_eq!((&body["by"], &body["lines"][0]["handed_over"]), (&json!("Noor"), &json!(2)));
    let body: Value = serde_json::from_str(&ended[1].event.body).unwrap();
    assert_eq!((&body["status"], &body["parts"][0]["status"]), (&json!("closed"), &json!("collected")));
}

/// Once, after fifteen minutes in which the store was open, and not where somebody has taken it on.
#[test]
fn an_order_that_nobody_takes_on_is_told_of_once() {
    const WITHIN_MS: u64 = 15 * 60_000;
    let (mut hq, mut caller, mut told) = opened();
    let [left_alone, taken_on] =
        [(1, "a"), (2, "b")].map(|(number, key)| wanted(&hq, number, key, &[(MILK, 1)]));
    let number = taken_on.order;
    place(&mut hq, left_alone).unwrap();
    let view = place(&mut hq, taken_on).unwrap();
    let mut half = received(&caller, &view);
    does(&mut half, Act::Accept);
    says(&mut hq, &mut caller, number, &half, 0);
    told.kinds();
    hq.pass(WITHIN_MS - 1);
    hq.tick();
    assert_eq!(told.kinds(), [""; 0]);
    hq.pass(1);
    hq.tick();
    assert_eq!(told.kinds(), ["order.not_accepted"]);
    hq.tick();
    drop(hq);
    let mut hq = Headquarters::open_at(told.folder.path());
    hq.pass(2 * WITHIN_MS);
    hq.tick();
    assert_eq!(told.kinds(), [""; 0], "a restart does not begin anew");
}

#[test]
fn the_time_to_take_an_order_on_counts_while_the_store_is_open() {
    let (mut hq, _caller, mut told) = opened();
    let noon = |day: &str| format!("\"{day}\": [\"12:00-13:00\"]");
    let days =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"].map(noon).join(",");
    let text = format!("{{\"pickup\": true, \"hours\": {{{days}}}}}");
    let settings = PickupSettings::read(text.as_bytes(), hq.now.wall).unwrap();
    let (store, info) = (id("S0001"), info("S0001"));
    let due = settings.hours.after_open(hq.now.wall, 15 * 60_000, &zone_of(&info.timezone)).unwrap();
    let change = Box::new(SettingsChange::Replace { settings, seen: None });
    let ticket = hq.ticket();
    hq.drain(vec![Input::Settings { ticket, store, change }]);
    let order = wanted(&hq, 1, "a", &[(MILK, 1)]);
    place(&mut hq, order).unwrap();
    told.kinds();
    let closed_for = (due.0 - hq.now.wall.0).unsigned_abs();
    assert!(closed_for > 15 * 60_000, "the store is closed at first, else this tests nothing");
    hq.pass(closed_for - 1);
    hq.tick();
    assert_eq!(told.kinds(), [""; 0]);
    hq.pass(1);
    hq.tick();
    assert_eq!(told.kinds(), ["order.not_accepted"]);
}

#[test]
fn an_order_closes_once_although_its_handover_is_undone_and_the_hub_restarts() {
    let (mut hq, mut caller, mut told) = opened();
    let order = wanted(&hq, 1, "a", &[(MILK, 5)]);
    let number = order.order;
    let view = place(&mut hq, order).unwrap();
    let mut half = received(&caller, &view);
    does(&mut half, Act::HandOver { proof: Proof::Code });
    says(&mut hq, &mut caller, number, &half, 0);
    assert_eq!(told.kinds(), ["order.placed", "order.collected", "order.closed"]);
    does(&mut half, Act::Undo);
    says(&mut hq, &mut caller, number, &half, 0);
    assert_eq!(told.kinds(), ["order.ready"]);
    drop(hq);
    let mut hq = Headquarters::open_at(told.folder.path());
    caller.connect(&mut hq);
    caller.welcome(&mut hq);
    does(&mut half, Act::HandOver { proof: Proof::Person });
    says(&mut hq, &mut caller, number, &half, 0);
    assert_eq!(told.kinds(), ["order.collected"]);
}

#[test]
fn what_was_not_committed_is_not_told() {
    let (mut hq, _, mut told) = opened();
    hq.fail_next_commit();
    let order = wanted(&hq, 1, "a", &[(MILK, 2)]);
    place(&mut hq, order.clone()).unwrap_err();
    assert_eq!(told.kinds(), [""; 0]);
    place(&mut hq, order).unwrap();
    assert_eq!(told.kinds(), ["order.placed"]);
}

#[test]
fn a_split_order_closes_with_its_last_part() {
    let (mut hq, mut caller) = open_shop();
    let mut other = Caller::greeted(&mut hq, "S0002", 2);
    let stock = vec![other.stock(MILK, 5, 0, 5)];
    other.reports(&mut hq, stock);
    let mut order = wanted(&hq, 1, "a", &[(MILK, 2)]);
    let mut part = order.choices[0].parts[0].clone();
    (part.store, part.order) = (super::headquarters::id("S0002"), OrderId::from_number(2).unwrap());
    order.choices[0].parts.push(part);
    let view = place(&mut hq, order).unwrap();
    let told =
        |hq: &Headquarters| hq.hub.view(view.shop.order).unwrap().shop.content.told.closed_at.is_some();
    for (place, caller) in [&mut caller, &mut other].into_iter().enumerate() {
        assert!(!told(&hq));
        let lines = &view.parts[place].hub.as_ref().unwrap().lines;
        let mut half = sync_protocol::order::StoreOrder::received(caller.epoch, lines, UnixMillis(1));
        does(&mut half, Act::Refuse { reason: "closed".to_owned() });
        says(&mut hq, caller, view.parts[place].order, &half, 0);
    }
    assert!(told(&hq));
}

#[test]
fn every_start_gives_ids_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for life in [5, 6] {
        let backup = tempfile::tempdir().unwrap();
        std::fs::copy(folder.path().join("hub.db"), backup.path().join("hub.db")).ok();
        let mut hq = Headquarters::open_in_life(backup.path(), life);
        let mut caller = Caller::greeted(&mut hq, "S0001", life);
        let stock = vec![caller.stock(MILK, 20, 0, 10)];
        caller.reports(&mut hq, stock);
        let order = wanted(&hq, life, "a", &[(MILK, 2)]);
        place(&mut hq, order).unwrap();
        let outbox = Outbox::open(&backup.path().join("hub.db")).unwrap();
        ids.insert(outbox.after(0, 9).unwrap().pop().unwrap().event.id);
    }
    assert_eq!(ids.len(), 2);
}

#[test]
fn an_order_that_another_store_is_looked_for_is_not_closed_before_that_has_ended() {
    let (mut hq, mut caller, mut told) = opened();
    let mut order = wanted(&hq, 1, "a", &[(MILK, 5)]);
    order.reroute = crate::orders::placement::Reroute::Auto;
    let number = order.order;
    let view = place(&mut hq, order).unwrap();
    let mut half = received(&caller, &view);
    does(&mut half, Act::Refuse { reason: "flooded".to_owned() });
    says(&mut hq, &mut caller, number, &half, 0);
    assert_eq!(told.kinds(), ["order.placed", "order.refused"]);
    hq.pass(31 * 60 * 1000);
    hq.tick();
    assert_eq!(told.kinds(), ["order.closed"]);
    hq.tick();
    assert_eq!(told.kinds(), [""; 0]);
}
