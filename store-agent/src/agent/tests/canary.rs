//! Following a movement of each source to the hub.

use super::conversation::{Hub, connect, empty_handover, hello_of};
use super::*;
use shop::{document, settings, units};
use std::collections::BTreeMap;
use std::sync::Arc;
use sync_protocol::SourceId;
use sync_protocol::canary::{Canary, WaitsFor};
use sync_protocol::frame::{Body, Marks};

const HOUR: u64 = 3_600_000;

fn followed() -> Settings {
    let canary = CanarySettings {
        expected: vec![source("till-db")],
        items: BTreeMap::from([(source("till-db"), "milk".to_owned())]),
        follow_every_ms: HOUR,
        overdue_after_ms: (26 * HOUR).cast_signed(),
    };
    Settings { canary: Some(canary), ..settings() }
}

fn canary_of(shop: &Shop, name: &str) -> Option<Canary> {
    let canaries: Arc<Vec<Canary>> = shop.agent.status().canaries;
    canaries.iter().find(|canary| canary.source.as_str() == name).cloned()
}

fn reports(shop: &mut Shop, from: SourceId, reference: &str, item: &str) {
    let sale = document(Kind::Sale, reference, &[(item, units(1))]);
    assert!(shop.record(Document { source: from, ..sale }).is_ok());
}

/// The hub has the history up to its end.
fn accepts(shop: &mut Shop, hub: &Hub) {
    let history = Some(shop.agent.status().history_head);
    hub.says(shop, Body::Marks(Marks { history, ..Marks::default() }));
}

#[test]
fn a_movement_is_under_way_until_the_hub_has_its_history() {
    let mut shop = Shop::with(store::open_in_memory().unwrap(), followed(), 1);
    let hub = Hub::connected(&mut shop);
    assert_eq!(canary_of(&shop, "till-3"), None, "nobody has heard of this till");
    shop.sell("milk", 1);
    let recorded = shop.now.wall;
    let under_way = canary_of(&shop, "till-3").unwrap();
    assert_eq!((under_way.stage(), under_way.waits_for(recorded)), ("recorded", Some(WaitsFor::Hub)));
    shop.pass(5_000);
    shop.sell("milk", 1);
    assert_eq!(canary_of(&shop, "till-3").unwrap(), under_way, "one that is under way is not given up");
    accepts(&mut shop, &hub);
    let arrived = canary_of(&shop, "till-3").unwrap();
    let arrival = arrived.arrived.unwrap();
    assert_eq!((arrived.stage(), arrived.under_way), ("accepted", None));
    assert_eq!((arrival.flight.recorded_at, arrival.accepted_at), (recorded.0, shop.now.wall.0));
    shop.holds_together();

    shop.sell("milk", 1);
    assert_eq!(canary_of(&shop, "till-3").unwrap(), arrived, "the next is due an hour after the last");
    shop.pass(HOUR);
    shop.sell("milk", 1);
    assert_eq!(canary_of(&shop, "till-3").unwrap().stage(), "recorded");
    shop.holds_together();
}

#[test]
fn of_a_source_with_an_item_of_its_own_only_that_one_counts() {
    let mut shop = Shop::with(store::open_in_memory().unwrap(), followed(), 1);
    let awaited = canary_of(&shop, "till-db").expect("it is expected from the start");
    assert_eq!((awaited.stage(), awaited.item.as_str()), ("awaited", "milk"));
    reports(&mut shop, source("till-db"), "1", "salt");
    assert_eq!(canary_of(&shop, "till-db").unwrap().stage(), "awaited");
    reports(&mut shop, source("till-db"), "2", "milk");
    assert_eq!(canary_of(&shop, "till-db").unwrap().stage(), "recorded");
    shop.holds_together();
}

#[test]
fn how_far_it_has_come_survives_a_restart_and_a_changed_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let mut shop = Shop::with(store::open(&path).unwrap(), followed(), 1);
    let hub = Hub::connected(&mut shop);
    shop.sell("milk", 1);
    accepts(&mut shop, &hub);
    reports(&mut shop, source("till-db"), "1", "milk");
    let before = shop.agent.status().canaries;
    drop(shop);
    let mut settings = followed();
    settings.canary.as_mut().unwrap().overdue_after_ms = 7;
    let shop = Shop::with(store::open(&path).unwrap(), settings, 2);
    assert_eq!(canary_of(&shop, "till-3").as_ref(), before.iter().find(|of| of.source == source("till-3")));
    let changed = canary_of(&shop, "till-db").unwrap();
    assert_eq!((changed.overdue_after_ms, changed.stage()), (7, "recorded"));
    shop.holds_together();
}

#[test]
fn in_a_new_epoch_what_was_under_way_is_followed_no_longer_and_what_has_arrived_stays() {
    let mut shop = Shop::with(store::open_in_memory().unwrap(), followed(), 1);
    let mut hub = Hub::connected(&mut shop);
    shop.sell("milk", 1);
    accepts(&mut shop, &hub);
    let arrived = canary_of(&shop, "till-3").unwrap().arrived;
    shop.pass(HOUR);
    shop.sell("milk", 1);
    hello_of(&connect(&mut shop));
    hub.hands_over(&mut shop, empty_handover(Epoch(2)));
    let after = canary_of(&shop, "till-3").unwrap();
    assert_eq!((after.under_way, after.arrived), (None, arrived));
    assert!(canary_of(&shop, "till-db").is_some());
    shop.holds_together();
    shop.sell("milk", 1);
    assert_eq!(canary_of(&shop, "till-3").unwrap().stage(), "recorded");
}

#[test]
fn a_till_that_is_gone_for_good_is_forgotten_and_one_of_the_configuration_never() {
    let mut shop = Shop::with(store::open_in_memory().unwrap(), followed(), 1);
    let hub = Hub::connected(&mut shop);
    shop.sell("milk", 1);
    accepts(&mut shop, &hub);
    shop.pass(14 * 24 * HOUR);
    shop.tick();
    assert!(canary_of(&shop, "till-3").is_some());
    shop.pass(60_000);
    shop.tick();
    assert!(canary_of(&shop, "till-3").is_none());
    assert!(canary_of(&shop, "till-db").unwrap().is_overdue(shop.now.wall));
    shop.holds_together();
}
