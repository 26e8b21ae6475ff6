//! An agent that may use both transports: it finds a way out, comes back, and loses nothing on the way.

use crate::harness::{Hub, Scene, Store, Till, Transport, pause, skus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const OPENING: i64 = 100_000;

#[test]
fn an_agent_whose_datagrams_go_nowhere_speaks_mqtt_and_comes_back() {
    let scene = Scene::over(Transport::Auto, "way-out");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    store.speaks_over(Transport::Quic);
    hub.shows("S0001", "4011", "10");

    store.line.cut_udp();
    store.sell("4011", "1");
    store.speaks_over(Transport::Mqtt);
    hub.shows("S0001", "4011", "9");
    store.sell("4011", "1");
    hub.shows("S0001", "4011", "8");

    store.line.mend_udp();
    store.speaks_over(Transport::Quic);
    store.sell("4011", "1");
    hub.shows("S0001", "4011", "7");
    assert!(store.sync()["switches"].as_u64() >= Some(2), "{}", store.sync());
}

#[test]
fn an_agent_that_never_gets_a_datagram_through_speaks_mqtt_from_the_start() {
    let scene = Scene::over(Transport::Auto, "no-udp");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.stop();
    store.line.cut_udp();
    store.start();
    store.receive("4011", "10");
    store.speaks_over(Transport::Mqtt);
    hub.shows("S0001", "4011", "10");
}

/// The ways out change all the time while the tills work. Every basket is there in the end, once.
#[test]
fn nothing_is_lost_or_doubled_while_the_ways_change() {
    let scene = Scene::over(Transport::Auto, "to-and-fro");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    for sku in skus() {
        store.receive(&sku, &OPENING.to_string());
    }
    store.is_synced();
    let closing = AtomicBool::new(false);
    let tills: Vec<Till> = thread::scope(|scope| {
        let start = |n| {
            let till = store.till(&format!("till-{n}"));
            scope.spawn(|| till.work(&closing))
        };
        let at_work: Vec<_> = (1..=2).map(start).collect();
        for round in 0..2 {
            store.line.cut_udp();
            store.speaks_over(Transport::Mqtt);
            pause(50 + round * 37);
            store.line.cut();
            pause(200);
            store.line.mend();
            store.speaks_over(Transport::Quic);
        }
        closing.store(true, Ordering::Relaxed);
        at_work.into_iter().map(|till| till.join().expect("the till finishes its day")).collect()
    });
    let ledger = store.ledger();
    let sources: Vec<&str> = tills.iter().map(Till::source).collect();
    for till in &tills {
        assert!(till.answered() > 100, "only {} baskets were answered", till.answered());
        ledger.agrees_with(till);
    }
    for sku in skus() {
        let left = (OPENING - ledger.sold(&sku, &sources)).to_string();
        assert_eq!(store.on_hand(&sku).to_string(), left, "{sku} at the store");
        hub.shows("S0001", &sku, &left);
    }
    store.is_synced();
}
