//! The customer's broker dies, hangs and lies, with a witness outside: whatever it does costs time and nothing else.

use crate::harness::{
    Hub, Scene, Transport, eventually, opened, opened_store, pause, rounds, settle, under_long_load,
};

/// So many changes the hub hears of before each blow, some forty baskets: else there would be nothing to lose.
const CHANGES: u64 = 150;

#[test]
fn nothing_answered_is_lost_when_the_broker_is_killed() {
    let scene = Scene::over(Transport::Broker, "broker-kills");
    let mut hub = Hub::open(&scene);
    let mut stores = [opened_store(&scene, &hub)];

    let tills = under_long_load(&mut stores, |stores| {
        let store = &mut stores[0];
        let mut confirmed = 0;
        for round in 0..rounds(3) {
            store.is_heard_beyond(confirmed + CHANGES);
            pause(20 + round * 53 % 250);
            hub.broker().kill();
            confirmed = store.confirmed();
            hub.broker().start();
        }
        store.is_heard_beyond(confirmed + CHANGES);
    });
    settle(&hub, &stores[0], &tills[0]);
}

#[test]
fn nothing_answered_is_lost_when_the_broker_hangs_and_then_dies() {
    let scene = Scene::over(Transport::Broker, "broker-hangs");
    let mut hub = Hub::open(&scene);
    let mut stores = [opened_store(&scene, &hub)];

    let tills = under_long_load(&mut stores, |stores| {
        let store = &mut stores[0];
        for round in 0..rounds(1) {
            store.is_heard_beyond(store.confirmed() + 2 * CHANGES);
            hub.broker().freeze();
            pause(500 + round * 700);
            hub.broker().thaw();
            store.is_heard_beyond(store.confirmed() + CHANGES);
            // The second time for so long that the hub gives its connection up.
            hub.broker().freeze();
            eventually("the hub to notice that the broker hangs", || {
                let connected = hub.client().metric("shopsmart_hub_broker_connected");
                if connected == 0.0 { Ok(()) } else { Err(connected) }
            });
            let confirmed = store.confirmed();
            hub.broker().kill();
            hub.broker().start();
            store.is_heard_beyond(confirmed + CHANGES);
        }
    });
    settle(&hub, &stores[0], &tills[0]);
}

#[test]
fn nothing_answered_is_lost_when_broker_hub_and_agent_are_killed_in_turns() {
    let scene = Scene::over(Transport::Broker, "all-in-turns");
    let mut hub = Hub::open(&scene);
    let mut stores = [opened_store(&scene, &hub)];

    let tills = under_long_load(&mut stores, |stores| {
        let store = &mut stores[0];
        let mut confirmed = 0;
        for round in 0..rounds(4) {
            store.is_heard_beyond(confirmed + CHANGES);
            pause(20 + round * 41 % 130);
            match round % 3 {
                0 => hub.kill(),
                1 => store.kill(),
                _ => hub.broker().kill(),
            }
            pause(round * 67 % 200);
            match round % 3 {
                0 => hub.start(),
                1 => store.start(),
                _ => hub.broker().start(),
            }
            confirmed = store.confirmed();
        }
    });
    settle(&hub, &stores[0], &tills[0]);
}

/// The proxy before this broker throws half of all frames away and acknowledges them, as a broker may.
#[test]
fn a_broker_that_loses_half_of_all_frames_costs_time_only() {
    const LOST_MIN: u64 = 100;
    let scene = Scene::over(Transport::Chaos, "chaos");
    let mut hub = Hub::open(&scene);
    let mut stores = ["S0001", "S0002", "S0003", "S0004"].map(|id| opened(&scene, &hub, id));

    let tills = under_long_load(&mut stores, |stores| {
        let chaos = hub.broker().chaos();
        chaos.begin();
        eventually("the broker to have thrown enough away", || {
            let (up, down) = chaos.lost();
            if up + down >= LOST_MIN && down > 0 { Ok(()) } else { Err((up, down)) }
        });
        chaos.end();
        stores.iter().for_each(|store| store.is_heard_beyond(4 * CHANGES));
    });
    for (store, tills) in stores.iter().zip(&tills) {
        settle(&hub, store, tills);
    }
}
