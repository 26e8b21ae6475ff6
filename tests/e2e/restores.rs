//! Disks lost, disks put back as they were, disks copied: P8, and what a restored hub may say.

use crate::harness::{Hub, Store, eventually};

#[test]
fn an_agent_from_an_old_backup_takes_over_what_the_hub_knows() {
    let scene = super::scene("old-agent");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
    store.is_synced();
    // In the backup, but not yet known to the hub when it was made.
    store.line.cut();
    store.sell("4011", "1");
    store.stop();
    store.back_up("backup");
    store.line.mend();
    store.start();
    store.sell("4011", "2");
    hub.shows("S0001", "4011", "7");
    store.is_synced();

    store.stop();
    store.restore("backup");
    store.start();
    store.has("4011", "7");
    for (number, quantity) in [(1, "1"), (2, "2")] {
        let again = store.send_again("sale", number, "4011", quantity).expect(200).json();
        assert_eq!(again["duplicate"], true);
    }
    store.sell("4011", "3");
    hub.shows("S0001", "4011", "4");
    store.has("4011", "4");
}

#[test]
fn what_only_an_old_backup_knows_is_brought_to_the_hub() {
    let scene = super::scene("only-backup");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
    store.is_synced();
    store.line.cut();
    store.sell("4011", "1");
    store.stop();
    store.back_up("backup");
    store.start();
    store.sell("4011", "2");

    store.stop();
    store.restore("backup");
    store.line.mend();
    store.start();
    hub.shows("S0001", "4011", "9");
    // The second sale was lost with the disk; the till still has it.
    store.send_again("sale", 2, "4011", "2").expect(201);
    hub.shows("S0001", "4011", "7");
    store.has("4011", "7");
}

#[test]
fn a_lost_disk_costs_nothing_that_the_hub_knew() {
    let scene = super::scene("lost-disk");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    store.sell("4011", "3");
    hub.shows("S0001", "4011", "7");
    store.is_synced();
    // Never heard of by the hub: only the till can bring it again.
    store.line.cut();
    store.sell("4011", "2");

    store.stop();
    store.lose_disk();
    store.line.mend();
    store.start();
    store.has("4011", "7");
    assert_eq!(store.send_again("sale", 1, "4011", "3").expect(200).json()["duplicate"], true);
    store.send_again("sale", 2, "4011", "2").expect(201);
    store.send_again("sale", 2, "4011", "2").expect(200);
    hub.shows("S0001", "4011", "5");
    store.has("4011", "5");
}

#[test]
fn what_is_sold_before_the_hub_answers_a_new_disk_is_kept() {
    let scene = super::scene("early-sale");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
    store.is_synced();
    store.stop();
    store.lose_disk();
    store.line.cut();
    store.start();

    store.sell("4011", "4");
    // The till did not get its answer in time and sends an old one again, too.
    store.send_again("receipt", 0, "4011", "10").expect(201);
    store.line.mend();
    store.has("4011", "6");
    hub.shows("S0001", "4011", "6");
}

#[test]
fn two_live_copies_of_one_disk_double_nothing() {
    let scene = super::scene("clones");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "100");
    hub.shows("S0001", "4011", "100");
    store.is_synced();
    store.stop();
    let mut clone = store.cloned(&scene, "S0001-clone");
    store.start();

    for _ in 0..5 {
        store.sell("4011", "1");
        clone.sell("4011", "2");
        clone.send_again("receipt", 0, "4011", "100").expect(200);
    }
    store.stop();
    // Where the two have taken turns often enough, the hub has shut both out: one has been switched off now.
    hub.run(&["store", "choose"], &["S0001", "--remaining"]);
    clone.is_synced();
    clone.stop();
    store.start();
    store.is_synced();
    hub.shows("S0001", "4011", "85");
    store.has("4011", "85");
}

#[test]
fn a_hub_from_an_old_backup_offers_nothing_it_has_not_heard_again() {
    let scene = super::scene("old-hub");
    let mut hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
    hub.stop();
    hub.back_up("backup");
    hub.start();
    store.sell("4011", "8");
    hub.shows("S0001", "4011", "2");
    store.is_synced();

    store.stop();
    hub.stop();
    hub.restore("backup");
    hub.start_with(&["--restored"]);
    // The copy says 10. It has heard nothing since, so it offers nothing.
    hub.shows("S0001", "4011", "0");

    store.start();
    hub.shows("S0001", "4011", "2");
    store.sell("4011", "1");
    hub.shows("S0001", "4011", "1");
    store.is_synced();
}

#[test]
fn a_hub_that_does_not_know_it_was_restored_finds_out() {
    let scene = super::scene("old-hub-unsaid");
    let mut hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
    hub.stop();
    hub.back_up("backup");
    hub.start();
    for _ in 0..5 {
        store.sell("4011", "1");
    }
    hub.shows("S0001", "4011", "5");
    store.is_synced();

    hub.stop();
    hub.restore("backup");
    hub.start();
    hub.shows("S0001", "4011", "5");
    let again = store.send_again("sale", 1, "4011", "1").expect(200).json();
    assert_eq!(again["duplicate"], true);
    store.sell("4011", "1");
    hub.shows("S0001", "4011", "4");
    eventually("both to agree", || {
        let place = hub.at("S0001", "4011")?;
        let here = serde_json::json!(store.on_hand("4011"));
        if place["available"] == here { Ok(()) } else { Err(format!("{here} here, {place} there")) }
    });
}
