//! A day at a store whose tills never rest: opened, worked through while something goes wrong, and settled to the last unit.

use super::hub::Hub;
use super::scene::Scene;
use super::store::Store;
use super::till::{Till, skus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// More than tills can sell in the longest of tests.
const OPENING: i64 = 100_000_000;

/// A store with enough of everything for a day, and the hub knows of it.
pub fn opened_store(scene: &Scene, hub: &Hub) -> Store {
    opened(scene, hub, "S0001")
}

/// The same under another name.
pub fn opened(scene: &Scene, hub: &Hub, id: &str) -> Store {
    let store = Store::open(scene, hub, id);
    for sku in skus() {
        store.receive(&sku, &OPENING.to_string());
    }
    store.is_synced();
    store
}

/// Lets `tills` work as fast as they can while `disaster` strikes.
pub fn under_load(store: &mut Store, tills: u32, disaster: impl FnOnce(&mut Store)) -> Vec<Till> {
    let till = |store: &Store, n: u32| store.till(&format!("till-{n}"));
    let starting = (1..=tills).map(|n| till(store, n)).collect();
    let [tills] = at_work([starting], || disaster(store));
    tills
}

/// Lets one till work in each store while `disaster` strikes, at a pace that leaves something to check after minutes of it.
pub fn under_long_load<const STORES: usize>(
    stores: &mut [Store; STORES],
    disaster: impl FnOnce(&mut [Store; STORES]),
) -> [Vec<Till>; STORES] {
    let starting = stores.each_ref().map(|store| vec![store.till("till-1").unhurried()]);
    at_work(starting, || disaster(stores))
}

/// Lets the tills work until `disaster` is over.
pub fn at_work<const STORES: usize>(
    tills: [Vec<Till>; STORES],
    disaster: impl FnOnce(),
) -> [Vec<Till>; STORES] {
    let closing = AtomicBool::new(false);
    thread::scope(|scope| {
        // A test that fails here sends its tills home, too; else it would wait for them for ever.
        let close = Closing(&closing);
        let start = |till: Till| scope.spawn(|| till.work(&closing));
        let at_work = tills.map(|tills| tills.into_iter().map(start).collect::<Vec<_>>());
        disaster();
        drop(close);
        at_work.map(|tills| {
            tills.into_iter().map(|till| till.join().expect("the till finishes its day")).collect()
        })
    })
}

struct Closing<'a>(&'a AtomicBool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The ledger agrees with every till, on hand with the ledger, and the hub with on hand. Gives what is left of each item.
pub fn settle(hub: &Hub, store: &Store, tills: &[Till]) -> Vec<(String, String)> {
    let answered: usize = tills.iter().map(Till::answered).sum();
    assert!(answered > 100, "only {answered} baskets were answered: too little load to prove anything");
    let ledger = store.ledger();
    for till in tills {
        ledger.agrees_with(till);
    }
    let sources: Vec<&str> = tills.iter().map(Till::source).collect();
    let left = |sku: String| {
        let units = OPENING - ledger.sold(&sku, &sources);
        (sku, units.to_string())
    };
    let left: Vec<(String, String)> = skus().map(left).collect();
    for (sku, units) in &left {
        assert_eq!(&store.on_hand(sku).to_string(), units, "{sku} at the store");
        hub.shows(store.id(), sku, units);
    }
    store.is_synced();
    left
}
