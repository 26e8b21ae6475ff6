//! SIGKILL in the middle of the work, again and again, with a witness outside: P2, as hard as we can hit it.

use crate::harness::{Hub, opened_store, pause, settle, under_load};

/// So many changes the hub hears of after the last blow: more than a hundred baskets.
const CHANGES: u64 = 600;

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
        for round in 0..super::HUB_KILLS {
            // Only a hub that is being talked to can be hit in mid-merge.
            store.is_heard_beyond(confirmed);
            pause(20 + round * 29 % 150);
            hub.kill();
            confirmed = store.confirmed();
            hub.start();
        }
        store.is_heard_beyond(confirmed + CHANGES);
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
        store.is_heard_beyond(confirmed + CHANGES);
    });
    settle(&hub, &store, &tills);
}
