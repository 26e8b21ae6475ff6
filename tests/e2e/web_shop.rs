//! The web shop's side: what a program sees that keeps its own copy of all availability.

use crate::harness::{Hub, Store, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn a_copy_made_from_snapshot_and_changes_stays_right_when_the_hub_is_killed() {
    let scene = super::scene("web-shop");
    let mut hub = Hub::open(&scene);
    let north = Store::open(&scene, &hub, "S0001");
    let south = Store::open(&scene, &hub, "S0002");
    for sku in ["apples", "bread", "cheese"] {
        north.receive(sku, "10");
        south.receive(sku, "20");
    }
    north.is_synced();
    south.is_synced();
    hub.shows("S0002", "cheese", "20");
    let mut shop = WebShop::from_snapshot(&hub);
    assert_eq!(shop.available("S0001", "bread"), json!(10));

    north.sell("bread", "1.5");
    hub.shows("S0001", "bread", "8.5");
    shop.follow(&hub);
    assert_eq!(shop.available("S0001", "bread"), json!(8.5));

    south.sell("cheese", "20");
    hub.shows("S0002", "cheese", "0");
    hub.kill();
    north.sell("apples", "4");
    hub.start();
    hub.shows("S0001", "apples", "6");
    shop.follow(&hub);
    for (store, sku, left) in
        [("S0001", "apples", json!(6)), ("S0001", "bread", json!(8.5)), ("S0002", "cheese", json!(0))]
    {
        assert_eq!(shop.available(store, sku), left, "{sku} at {store}");
    }
}

#[test]
fn a_basket_is_answered_store_by_store() {
    let scene = super::scene("basket");
    let hub = Hub::open(&scene);
    let whole = Store::open(&scene, &hub, "S0001");
    let part = Store::open(&scene, &hub, "S0002");
    whole.receive("apples", "2");
    whole.receive("bread", "1");
    part.receive("apples", "2");
    hub.shows("S0001", "bread", "1");
    hub.shows("S0002", "apples", "2");

    let basket =
        json!({ "items": [{ "sku": "apples", "quantity": 1.5 }, { "sku": "bread", "quantity": 1 }] });
    let answer = hub.client().post("/v1/availability:query", &basket).unwrap().expect(200).json();
    let said = |store: &str| {
        let stores = answer["stores"].as_array().expect("stores");
        stores.iter().find(|entry| entry["store"] == store).expect("every store is listed")["can_fulfil"]
            .clone()
    };
    assert_eq!((said("S0001"), said("S0002")), (json!("all"), json!("some")));
}

/// Keeps a copy, as a shop's search index would.
struct WebShop {
    levels: BTreeMap<(String, String), Value>,
    cursor: String,
}

impl WebShop {
    fn from_snapshot(hub: &Hub) -> WebShop {
        let lines = hub.client().get("/v1/snapshot").expect("the hub answers").expect(200).lines();
        let end = lines.last().expect("a snapshot has an end");
        assert_eq!(end["type"], "end", "{end}");
        let mut shop = WebShop { levels: BTreeMap::new(), cursor: text(end, "cursor") };
        lines.iter().filter(|line| line["type"] == "level").for_each(|level| shop.take(level));
        shop
    }

    /// Reads on to the end of the feed.
    fn follow(&mut self, hub: &Hub) {
        eventually("the end of the change feed", || {
            let path = format!("/v1/changes?after={}", self.cursor);
            let page = hub.client().get(&path).expect("the hub answers").expect(200).json();
            page["changes"].as_array().expect("changes").iter().for_each(|change| self.take(change));
            self.cursor = text(&page, "next");
            if page["more"] == false { Ok(()) } else { Err(page["more"].clone()) }
        });
    }

    fn take(&mut self, level: &Value) {
        self.levels.insert((text(level, "store"), text(level, "sku")), level["available"].clone());
    }

    fn available(&self, store: &str, sku: &str) -> Value {
        self.levels.get(&(store.to_owned(), sku.to_owned())).cloned().unwrap_or_default()
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}
