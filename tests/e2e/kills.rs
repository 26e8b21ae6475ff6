//! SIGKILL in the middle of the work, again and again, with a witness outside: P2, as hard as we can hit it.

use crate::harness::{Deadline, Hub, Scene, Store, Till, pause, skus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const OPENING: i64 = 100_000;

#[test]
fn nothing_answered_is_lost_when_the_agent_is_killed() {
    let scene = Scene::new("agent-kills");
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
    let scene = Scene::new("hub-kills");
    let mut hub = Hub::open(&scene);
    let mut store = opened_store(&scene, &hub);

    let tills = under_load(&mut store, 2, |store| {
        let enough = Deadline::within(Duration::from_secs(90));
        let mut kills = 0;
        while kills < 20 && (kills < 3 || !enough.has_passed()) {
            // Only a hub that is being talked to can be hit in mid-merge.
            store.is_connected();
            pause(20 + kills * 29 % 150);
            hub.kill();
            hub.start();
            kills += 1;
        }
    });
    settle(&hub, &store, &tills);
}

#[test]
fn nothing_answered_is_lost_when_both_are_killed_and_the_line_is_cut() {
    let scene = Scene::new("all-kills");
    let mut hub = Hub::open(&scene);
    let mut store = opened_store(&scene, &hub);

    let tills = under_load(&mut store, 2, |store| {
        for round in 0..16 {
            store.is_connected();
            pause(20 + round * 41 % 130);
            hub.kill();
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
        at_work
            .into_iter()
            .map(|till| till.join().expect("the till finishes its day"))
            .collect()
    })
}

/// The ledger agrees with every till, on hand with the ledger, and the hub with on hand.
fn settle(hub: &Hub, store: &Store, tills: &[Till]) {
    let answered: usize = tills.iter().map(Till::answered).sum();
    assert!(
        answered > 100,
        "only {answered} baskets were answered: too little load to prove anything"
    );
    let ledger = store.ledger();
    for till in tills {
        ledger.agrees_with(till);
    }
    let sources: Vec<&str> = tills.iter().map(Till::source).collect();
    for sku in skus() {
        let left = (OPENING - ledger.sold(&sku, &sources)).to_string();
        assert_eq!(store.on_hand(&sku).to_string(), left, "{sku} at the store");
        hub.shows("S0001", &sku, &left);
    }
    store.is_synced();
}
