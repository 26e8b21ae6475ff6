//! Disks that are full or damaged: a clear answer, nothing half recorded, and back to work once it is mended.

use crate::harness::{Ground, Hub, SmallDisk, Store};
use serde_json::json;
use std::fs;
use std::path::Path;

/// What a daemon logs when it checks its database at the start.
const UNCLEAN: &str = "the last stop was not clean";
/// Enough for what the tests record, write-ahead logs included.
const SMALL_KB: u32 = 48 * 1024;

#[test]
fn a_full_disk_is_said_and_got_over() {
    let scene = super::scene("full-disk");
    let hub = Hub::open(&scene);
    let Some(disk) = SmallDisk::mount(&scene.join("S0001/data"), SMALL_KB) else {
        return;
    };
    let store = Store::open_on(&scene, &hub, "S0001", Ground::Small(disk));
    store.receive("4011", "100");
    hub.shows("S0001", "4011", "100");

    store.ground().disk().fill();
    let mut recorded = 0;
    let refusal = loop {
        let reply = sell_one(&store, recorded);
        if reply.status != 201 {
            break reply;
        }
        recorded += 1;
        assert!(recorded < 10_000, "the disk never fills");
    };
    assert_eq!(refusal.status, 503, "{refusal:?}");
    assert!(refusal.body.contains("disk is full"), "the answer says what is wrong: {refusal:?}");
    assert_eq!(store.client().get("/healthz").unwrap().status, 503, "a full disk is not healthy");
    store.has("4011", &(100 - recorded).to_string());

    store.ground().disk().free();
    sell_one(&store, recorded).expect(201);
    assert_eq!(sell_one(&store, recorded).expect(200).json()["duplicate"], true);
    hub.shows("S0001", "4011", &(100 - recorded - 1).to_string());
    assert_eq!(store.client().get("/healthz").unwrap().status, 200);
}

#[test]
fn a_full_disk_at_the_hub_costs_time_only() {
    let scene = super::scene("full-hub");
    let Some(disk) = SmallDisk::mount(&scene.join("hub/data"), SMALL_KB) else {
        return;
    };
    let hub = Hub::open_with(&scene, Ground::Small(disk), "");
    let store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "1000");
    hub.shows("S0001", "4011", "1000");

    hub.ground().disk().fill();
    for _ in 0..200 {
        store.sell("4011", "1");
    }
    hub.is_healthy(false);
    hub.ground().disk().free();
    hub.shows("S0001", "4011", "800");
    store.is_synced();
    hub.is_healthy(true);
}

#[test]
fn an_unclean_stop_is_followed_by_a_check() {
    let scene = super::scene("unclean");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.receive("4011", "10");
    store.stop();
    store.start();
    assert!(!store.process().log().contains(UNCLEAN), "a clean stop needs no check");
    store.kill();
    store.start();
    assert!(store.process().log().contains(UNCLEAN), "an unclean stop does:\n{}", store.process().tail());
    store.has("4011", "10");
}

#[test]
fn a_damaged_database_is_refused_with_what_to_do() {
    let scene = super::scene("damaged");
    let mut hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    for n in 0..200 {
        store.receive(&format!("item-{n}"), "10");
    }
    store.is_synced();
    // A clean stop brings everything from the write-ahead log into the file; the kill makes the next start look at it.
    store.stop();
    store.start();
    store.kill();
    damage(&store.data().join("agent.db"));
    let refusal = store.try_start();
    assert!(!refusal.status.success(), "a damaged database was opened");
    says(&refusal.stderr, &["agent.db", "damaged", "move it aside"]);

    hub.stop();
    hub.start();
    hub.kill();
    damage(&hub.data().join("hub.db"));
    let refusal = hub.try_run(&["run"], &[]);
    assert!(!refusal.status.success(), "a damaged database was opened");
    says(&refusal.stderr, &["hub.db", "damaged", "backup"]);
}

/// Overwrites the middle of the file, as a dying disk does.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).expect("the file can be read");
    let length = bytes.len();
    assert!(
        length > 40_000,
        "`{}` is too small ({length} bytes) to be damaged in its middle",
        file.display()
    );
    bytes[8_192..length - 4_096].fill(0xA5);
    fs::write(file, bytes).expect("the file can be written");
}

fn says(stderr: &[u8], words: &[&str]) {
    let text = String::from_utf8_lossy(stderr);
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}

fn sell_one(store: &Store, n: i32) -> crate::harness::Reply {
    let reference = format!("full/{n}");
    let lines: Vec<_> =
        (0..9).map(|line| json!({ "sku": format!("filler-{n}-{line}"), "quantity": 1 })).collect();
    let lines = [vec![json!({ "sku": "4011", "quantity": 1 })], lines].concat();
    let body = json!({
        "source": "till-1", "reference": reference, "kind": "sale", "occurred_at": "2026-10-31T17:03:22-04:00", "lines": lines,
    });
    store.client().post("/v1/movements", &body).expect("the agent answers")
}
