//! An agent that may use both transports: it finds a way out, comes back, and loses nothing on the way.

use crate::harness::{
    Hub, Scene, Store, Transport, eventually, opened_store, pause, rounds, settle, under_load,
};
use serde_json::Value;

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
    let mut store = opened_store(&scene, &hub);
    let tills = under_load(&mut store, 2, |store| {
        for round in 0..rounds(2) {
            store.line.cut_udp();
            store.speaks_over(Transport::Mqtt);
            pause(50 + round * 37 % 500);
            store.line.cut();
            pause(200);
            store.line.mend();
            store.speaks_over(Transport::Quic);
        }
    });
    settle(&hub, &store, &tills);
}

/// A router on the way forgets which port was whose, as they do: the hub is spoken to from a new one. The link goes on.
#[test]
fn a_link_over_quic_outlives_a_change_of_its_port() {
    let scene = Scene::over(Transport::Auto, "rebinding");
    let hub = Hub::open(&scene);
    let mut store = opened_store(&scene, &hub);
    store.speaks_over(Transport::Quic);
    let before = Dialled::by(&hub, &store);
    let tills = under_load(&mut store, 2, |store| {
        for _ in 0..rounds(20) {
            let ports = store.line.ports();
            store.line.rebind();
            eventually("the hub to be spoken to from another port", || {
                let now = store.line.ports();
                if now > ports { Ok(()) } else { Err(now) }
            });
            store.is_heard_beyond(store.confirmed());
        }
    });
    settle(&hub, &store, &tills);
    assert_eq!(Dialled::by(&hub, &store), before, "it was not the same link");
}

/// What changes when an agent and its hub connect anew.
#[derive(Debug, PartialEq)]
struct Dialled {
    by_agent: f64,
    at_hub: f64,
    ended: f64,
    since: Value,
    switches: Value,
}

impl Dialled {
    fn by(hub: &Hub, store: &Store) -> Dialled {
        let sync = store.sync();
        Dialled {
            by_agent: store.client().metric("shopsmart_agent_link_dials_total"),
            at_hub: hub.client().metric("shopsmart_hub_links_up_total"),
            ended: store.client().metric("shopsmart_agent_link_ends_total"),
            since: sync["transport_since"]["at"].clone(),
            switches: sync["switches"].clone(),
        }
    }
}
