//! A store with a hub, some goods and people, for the browser to look at.

use crate::harness::{Browser, Hub, Scene, Store, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

pub const BOSS: &str = "Meera";
pub const BOSS_PIN: &str = "8305";
pub const ANA: &str = "Ana";
pub const ANA_PIN: &str = "4917";
pub const TEA: &str = "5012345678900";
pub const OATS: &str = "4006381333931";
pub const MILK: &str = "9780201379624";

pub struct Counter {
    pub hub: Hub,
    pub store: Store,
    keys: AtomicU32,
}

impl Counter {
    pub fn open(scene: &Scene) -> Counter {
        let hub = Hub::open(scene);
        let store = Store::open(scene, &hub, "S0001");
        let items = [
            json!({ "sku": "tea", "gtins": [gtin(TEA)], "name": "Green tea, 20 bags" }),
            json!({ "sku": "oats", "gtins": [gtin(OATS)], "name": "Oats, rolled, 1 kg" }),
            json!({ "sku": "milk", "gtins": [gtin(MILK)], "name": "Whole milk" }),
            json!({ "sku": "apples", "name": "Apples, loose", "unit": "kg" }),
        ];
        let lines: Vec<String> = items.iter().map(Value::to_string).collect();
        let reply =
            store.client().send("PUT", "/v1/items", &lines.join("\n"), &[]).expect("the agent answers");
        reply.expect(200);
        for sku in ["tea", "oats", "milk", "apples"] {
            store.receive(sku, "40");
            hub.shows("S0001", sku, "40");
        }
        Counter { hub, store, keys: AtomicU32::new(0) }
    }

    /// The manager's own screen, set up as on the first day.
    pub fn set_up(&self, scene: &Scene) -> Browser {
        self.set_up_at(scene, self.store.page())
    }

    /// The same, by way of whatever stands before the page there.
    pub fn set_up_at(&self, scene: &Scene, at: SocketAddr) -> Browser {
        self.set_up_in(Browser::open(scene, "office", at))
    }

    pub fn set_up_in(&self, office: Browser) -> Browser {
        office.goto("/");
        office.shows("h1", "Set up");
        let code = std::fs::read_to_string(self.store.data().join("setup-code")).expect("the set-up code");
        office.types("#code", code.trim());
        office.types("#name", BOSS);
        office.types("#pin", BOSS_PIN);
        office.types("#pin_again", BOSS_PIN);
        office.types("#device", "Back office");
        office.click("main .primary");
        office.shows("h1", "Today");
        office
    }

    /// A tablet on which an associate is signed in.
    pub fn paired_tablet(&self, scene: &Scene, office: &Browser) -> Browser {
        office.goto("/people");
        office.click("#add-person");
        office.types("#name", ANA);
        office.types("#new_pin", ANA_PIN);
        office.click("form[action='/people/add'] .primary");
        office.shows(".outcome", "Done");
        office.click("#offer-code");
        office.shows(".digits", "");
        let digits: String = eventually("the code", || {
            let digits: String = office.text(".digits").chars().filter(char::is_ascii_digit).collect();
            if digits.len() == 8 { Ok(digits) } else { Err(digits) }
        });
        let tablet = Browser::open(scene, "tablet", self.store.page());
        tablet.goto(&format!("/pair#{digits}"));
        assert_eq!(tablet.run("return location.hash"), json!(""), "the code is out of the address");
        tablet.types("#device", "Tablet 1");
        tablet.click("main .primary");
        tablet.shows("h1", "Who is there?");
        tablet.click(".names li:first-child a");
        tablet.types("#pin", ANA_PIN);
        tablet.click("main .primary");
        tablet.shows("h1", "Today");
        tablet
    }

    /// Places an order at the hub. Gives its number and its short code.
    pub fn places(&self, name: &str, lines: &[(&str, u32)]) -> (String, String) {
        let key = format!("page-{}", self.keys.fetch_add(1, Ordering::Relaxed));
        let lines: Vec<Value> =
            lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
        let wish = json!({
            "customer": { "name": name, "phone": "+91 98200 12345" }, "lines": lines, "pickup": { "store": "S0001" },
        });
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.as_str())];
        let reply = self.hub.client().send("POST", "/v1/orders", &wish.to_string(), &headers);
        let placed = reply.expect("the hub answers").expect(201).json();
        let part = &placed["parts"][0];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{placed}")).to_owned();
        (text(&part["order"]), text(&part["short_code"]))
    }

    /// Cancels an order at the hub.
    pub fn cancels(&self, order: &str) {
        let path = format!("/v1/orders/{order}/cancel");
        self.hub.client().post(&path, &json!({})).expect("the hub answers").expect(200);
    }

    /// Waits until the store has heard of it.
    pub fn arrives(&self, order: &str) {
        eventually("the order at the store", || {
            let reply =
                self.store.client().get(&format!("/v1/orders/{order}")).map_err(|error| error.to_string())?;
            if reply.status == 200 { Ok(()) } else { Err(reply.body) }
        });
    }

    pub fn hub_says(&self, order: &str, status: &str) {
        eventually(&format!("the hub to say {status}"), || {
            let reply =
                self.hub.client().get(&format!("/v1/orders/{order}")).map_err(|error| error.to_string())?;
            let found = reply.json()["parts"][0]["status"].clone();
            if found == status { Ok(()) } else { Err(found) }
        });
    }
}

fn gtin(barcode: &str) -> String {
    format!("{barcode:0>14}")
}
