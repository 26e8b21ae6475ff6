//! SIGKILL in the middle of the work, again and again, with a witness outside: P2, as hard as we can hit it.

use crate::harness::{Hub, Scene, Store, Till, pause, skus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const OPENING: i64 = 100_000;

#[test]
fn nothing_answered_is_lost_when_the_agent_is_killed() {
    let scene = super::scene("agent-kills");
    let hub = Hub::open(&scene);
    let mut store = opened_store(&scene, &hub);

    let tills = under_load(&mut store, 3, |store| {
        for round in 0..30 {
            pause(40 + round * 13 % 120);
            store.kill();
            store.start();
        }
    });
    settle(&hub, &store, &tills);
}

#[test]
fn nothing_answered_is_lost_when_the_hub_is_killed() {
    let scene = super::scene("hub-kills");
    let mut hub = Hub::open(&scene);
    let mut store = opened_store(&scene, &hub);

    let tills = under_load(&mut store, 2, |store| {
        let mut confirmed = 0;
        for round in 0..30 {
            // Only a hub that is being talked to can be hit in mid-merge.
            store.is_heard_beyond(confirmed);
            pause(20 + round * 29 % 150);
            hub.kill();
            confirmed = store.confirmed();
            hub.start();
        }
    });
    let left = settle(&hub, &store, &tills);

    // What the hub itself remembers of it all: the tills send everything again to a new disk.
    store.stop();
    store.lose_disk();
    store.start();
    for (sku, units) in &left {
        store.has(sku, units);
    }
    for till in &tills {
        till.is_remembered();
    }
    for (sku, units) in &left {
        assert_eq!(&store.on_hand(sku).to_string(), units, "{sku} after everything was sent again");
    }
}

#[test]
fn nothing_answered_is_lost_when_both_are_killed_and_the_line_is_cut() {
    let scene = super::scene("all-kills");
    let mut hub = Hub::open(&scene);
    let mut store = opened_store(&scene, &hub);

    let tills = under_load(&mut store, 2, |store| {
        let mut confirmed = 0;
        for round in 0..16 {
            store.is_heard_beyond(confirmed);
            pause(20 + round * 41 % 130);
            hub.kill();
            confirmed = store.confirmed();
            store.kill();
            store.line.cut();
            store.start();
            hub.start();
            pause(50);
            store.line.mend();
        }
    });
    settle(&hub, &store, &tills);
}

fn opened_store(scene: &Scene, hub: &Hub) -> Store {
    let store = Store::open(scene, hub, "S0001");
    for sku in skus() {
        store.receive(&sku, &OPENING.to_string());
    }
    store.is_synced();
    store
}

/// Lets `tills` work while `disaster` strikes.
fn under_load(store: &mut Store, tills: u32, disaster: impl FnOnce(&mut Store)) -> Vec<Till> {
    let closing = AtomicBool::new(false);
    thread::scope(|scope| {
        let start = |n| {
            let till = store.till(&format!("till-{n}"));
            scope.spawn(|| till.work(&closing))
        };
        let at_work: Vec<_> = (1..=tills).map(start).collect();
        disaster(store);
        closing.store(true, Ordering::Relaxed);
        at_work.into_iter().map(|till| till.join().expect("the till finishes its day")).collect()
    })
}

/// The ledger agrees with every till, on hand with the ledger, and the hub with on hand. Gives what is left of each item.
fn settle(hub: &Hub, store: &Store, tills: &[Till]) -> Vec<(String, String)> {
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
        hub.shows("S0001", sku, units);
    }
    store.is_synced();
    left
}
