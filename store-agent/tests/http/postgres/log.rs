//! The log of a POS's PostgreSQL: it makes haste, it is refused with a reason, and it never costs the POS its disk.

use super::server::Server;
use super::{CHANGES, ON_HAND, SCHEMA, both, has, mapping, move_stock, sold, source};
use crate::client::Request;
use crate::process::{Daemon, command, listening};
use crate::shop::{ANY, Shop, furnish, until};
use postgres::Client;
use serde_json::Value;
use std::path::Path;
use store_agent::http::listener::Patience;

/// Lines of postgresql.conf.
pub const SETTINGS: &str = "wal_level = logical";
const PUBLICATION: &str =
    "ALTER ROLE reader REPLICATION; CREATE PUBLICATION shopsmart FOR TABLE inventory, quantities";
const LOG: &str = "[pos.log]\ntable = \"inventory\"\nkey = \"id\"\n";

fn opened_with_log() -> (Server, Client) {
    let server = Server::start(SETTINGS);
    let mut pos = server.pos();
    pos.batch_execute(SCHEMA).unwrap();
    pos.batch_execute(PUBLICATION).unwrap();
    (server, pos)
}

fn followed(shop: &Shop) {
    until("the log is followed", || source(shop)["log"]["followed"] == true);
}

/// Opens an agent for the ledger alone, with so many sales of which it has read every one.
fn shop_with_sales(server: &Server, pos: &mut Client, sales: u32) -> Shop {
    let shop = Shop::open_with(&(mapping(server, CHANGES) + LOG), Patience::default());
    // What was written before the first reading is read all the same: there are no figures.
    let sql = format!(
        "INSERT INTO inventory (item, moved, comment) SELECT 'milk', -1, 'POS 1' FROM generate_series(1, {sales})"
    );
    pos.batch_execute(&sql).unwrap();
    has(&shop, "milk", &format!("-{sales}"));
    followed(&shop);
    shop
}

#[test]
fn old_rows_that_the_pos_changes_or_deletes_are_corrected_because_the_log_names_them() {
    let (server, mut pos) = opened_with_log();
    let shop = shop_with_sales(&server, &mut pos, 6_000);
    // A round has these rows' turn once in half a minute.
    for (number, key) in (1..=8).zip([100, 700, 1_300, 1_900, 2_500, 3_100, 3_700, 4_300]) {
        let sql = match number % 2 {
            0 => format!("DELETE FROM inventory WHERE id = {key}"),
            _ => format!("UPDATE inventory SET moved = moved + 1 WHERE id = {key}"),
        };
        pos.batch_execute(&sql).unwrap();
        has(&shop, "milk", &format!("{}", number - 6_000));
    }
    let counts = &source(&shop)["counts"];
    assert_eq!(counts["corrected"], 8, "{counts}");
    // A round may come to one or the other first.
    assert!(counts["by_log"].as_u64() >= Some(6), "{counts}");
}

#[test]
fn rows_of_partitions_are_named_too() {
    let (server, mut pos) = opened_with_log();
    pos.batch_execute(
        "CREATE TABLE parted (id bigint PRIMARY KEY, item text, moved numeric(15,3), comment text, at timestamptz DEFAULT now())
         PARTITION BY RANGE (id);
         CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (3000);
         CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (3000) TO (9000);
         GRANT SELECT ON parted TO reader; ALTER PUBLICATION shopsmart ADD TABLE parted;",
    )
    .unwrap();
    let changes = "changes = \"SELECT id AS key, item, moved AS quantity, at, comment AS what, 1 AS location FROM parted\"\n";
    let config = mapping(&server, changes) + &LOG.replace("inventory", "public.parted");
    let shop = Shop::open_with(&config, Patience::default());
    pos.batch_execute(
        "INSERT INTO parted (id, item, moved, comment) SELECT n, 'milk', -1, 'POS 1' FROM generate_series(1, 5000) n",
    )
    .unwrap();
    has(&shop, "milk", "-5000");
    followed(&shop);
    for (number, key) in (1..=4).zip([100, 1_700, 3_100, 4_100]) {
        pos.batch_execute(&format!("DELETE FROM parted WHERE id = {key}")).unwrap();
        has(&shop, "milk", &format!("{}", number - 5_000));
    }
    assert!(source(&shop)["counts"]["by_log"].as_u64() >= Some(2), "{}", source(&shop));
}

#[test]
fn a_ledger_that_is_emptied_at_once_is_noticed_at_once_and_moves_nothing() {
    let (server, mut pos) = opened_with_log();
    // A round at leisure takes longer than a test waits.
    let shop = shop_with_sales(&server, &mut pos, 18_000);
    pos.batch_execute("TRUNCATE inventory").unwrap();
    // One line for each five hundred rows.
    until("all of it is taken for tidied away", || source(&shop)["counts"]["set_aside"] == 36);
    assert_eq!(shop.on_hand("milk"), "-18000");
    assert!(
        source(&shop)["last_set_aside"].as_str().unwrap().contains("taken for archived"),
        "{}",
        source(&shop)
    );
    sold(&mut pos, "milk", "-2");
    has(&shop, "milk", "-18002");
}

#[test]
fn a_log_that_cannot_be_followed_says_why_and_the_source_is_read_all_the_same() {
    let mut server = Server::start("");
    let mut pos = server.pos();
    pos.batch_execute(SCHEMA).unwrap();
    let shop = Shop::open_with(&(both(&server, "") + LOG), Patience::default());
    let refused = |said: &str| {
        until(&format!("it says {said}: {}", source(&shop)), || {
            let log = &source(&shop)["log"];
            log["followed"] == false && log["reason"].as_str().unwrap_or_default().contains(said)
        });
    };
    refused("wal_level");
    move_stock(&mut pos, "milk", "5", "RECV 1");
    has(&shop, "milk", "5");
    pos.batch_execute("ALTER SYSTEM SET wal_level = logical").unwrap();
    server.crash();
    server.run();
    let mut pos = server.pos();
    refused("no publication `shopsmart`");
    pos.batch_execute("CREATE TABLE notes (text text); CREATE PUBLICATION shopsmart FOR TABLE notes")
        .unwrap();
    refused("does not have the table `inventory`");
    pos.batch_execute("ALTER PUBLICATION shopsmart ADD TABLE inventory").unwrap();
    refused("THE POS CAN'T UPDATE OR DELETE rows of `public.notes`");
    let update = "INSERT INTO notes VALUES ('a'); UPDATE notes SET text = 'b'";
    assert!(pos.batch_execute(update).is_err(), "the alarm is true");
    pos.batch_execute("ALTER TABLE notes REPLICA IDENTITY FULL").unwrap();
    refused("ALTER ROLE … REPLICATION");
    let checked = command(&["pos", "check", "--config", "agent.toml"], shop.folder.path());
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.code() == Some(1) && said.contains("WRONG: `[pos.log]`: the role"), "{checked:?}");
    pos.batch_execute("ALTER ROLE reader REPLICATION").unwrap();
    followed(&shop);
    move_stock(&mut pos, "milk", "-1", "POS 1");
    has(&shop, "milk", "4");
    assert!(shop.get("/metrics").body.contains("shopsmart_agent_pos_log_followed{source=\"erp\"} 1"));
    // What is harmed later is noticed while the POS writes.
    pos.batch_execute("ALTER TABLE notes REPLICA IDENTITY NOTHING").unwrap();
    until("the alarm is raised", || {
        move_stock(&mut pos, "ham", "1", "RECV 2");
        source(&shop)["log"]["reason"].as_str().unwrap_or_default().contains("THE POS CAN'T UPDATE")
    });
}

#[test]
fn a_transaction_that_stays_open_does_not_fill_the_servers_disk_because_of_us() {
    let (server, mut pos) = opened_with_log();
    let shop = Shop::open_with(&(mapping(&server, CHANGES) + LOG), Patience::default());
    followed(&shop);
    let mut slow = server.pos();
    let mut open = slow.transaction().unwrap();
    sold(&mut open, "milk", "-1");
    pos.batch_execute(
        "SELECT pg_logical_emit_message(false, 'bulk', repeat('x', 1000000)) FROM generate_series(1, 40)",
    )
    .unwrap();
    let mut number = 0;
    until("the slot is given up", || {
        number += 1;
        sold(&mut pos, "milk", "-2");
        source(&shop)["log"]["reason"].as_str().unwrap_or_default().contains("open for long")
    });
    has(&shop, "milk", &format!("-{}", 2 * number));
    open.commit().unwrap();
    has(&shop, "milk", &format!("-{}", 2 * number + 1));
    followed(&shop);
}

#[test]
fn a_log_that_cannot_be_joined_yet_holds_nothing_up() {
    let (server, mut pos) = opened_with_log();
    let mut slow = server.pos();
    let mut open = slow.transaction().unwrap();
    sold(&mut open, "milk", "-1");
    let shop = Shop::open_with(&(mapping(&server, CHANGES) + LOG), Patience::default());
    for number in 1..=3 {
        sold(&mut pos, "milk", "-2");
        has(&shop, "milk", &format!("-{}", 2 * number));
    }
    until("it says what it waits for", || {
        source(&shop)["log"]["reason"].as_str().unwrap_or_default().contains("has been open")
    });
    open.commit().unwrap();
    has(&shop, "milk", "-7");
    followed(&shop);
}

#[test]
fn figures_alone_need_no_slot() {
    let (server, mut pos) = opened_with_log();
    move_stock(&mut pos, "milk", "5", "RECV 1");
    let shop = Shop::open_with(&(mapping(&server, ON_HAND) + "[pos.log]\n"), Patience::default());
    has(&shop, "milk", "5");
    followed(&shop);
    move_stock(&mut pos, "milk", "-1", "POS 1");
    has(&shop, "milk", "4");
    assert_eq!(slots(&mut pos), 0);
}

fn slots(pos: &mut Client) -> i64 {
    pos.query_one("SELECT count(*) FROM pg_replication_slots", &[]).unwrap().get(0)
}

/// An agent as a program of its own, whose log is followed.
fn daemon(server: &Server, folder: &Path) -> Daemon {
    furnish(folder, &(both(server, "") + LOG));
    let daemon = Daemon::start(folder);
    until("the log is followed", || seen(folder)["log"]["followed"] == true);
    daemon
}

fn seen(folder: &Path) -> Value {
    Request { method: "GET", path: "/v1/sources", token: Some(ANY), headers: Vec::new(), body: Vec::new() }
        .send(listening(folder))
        .json()["sources"][0]
        .clone()
}

#[test]
fn an_agent_that_is_killed_leaves_nothing_in_the_server() {
    let (server, mut pos) = opened_with_log();
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(&server, folder.path());
    assert_eq!(slots(&mut pos), 1);
    // SIGKILL.
    drop(daemon);
    until("its slot is gone", || slots(&mut pos) == 0);
}

#[test]
fn an_agent_that_hangs_is_shut_out_by_the_server_and_comes_back() {
    let (server, mut pos) = opened_with_log();
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(&server, folder.path());
    daemon.signal("-STOP");
    let mut goes = 0;
    // It takes the server a minute, longer than one wait.
    for _ in 0..3 {
        until("its slot is gone, or not yet", || {
            goes += 1;
            slots(&mut pos) == 0 || goes % 500 == 0
        });
    }
    assert_eq!(slots(&mut pos), 0, "{}", server.log());
    daemon.signal("-CONT");
    move_stock(&mut pos, "milk", "-1", "POS 1");
    until("the log is followed again", || {
        seen(folder.path())["log"]["followed"] == true && slots(&mut pos) == 1
    });
    until("what was sold is recorded", || seen(folder.path())["counts"]["recorded"] == 1);
}

/// The same as without a log; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn figures_by_log() {
    let (server, mut pos) = opened_with_log();
    super::measure(&mut pos, &(both(&server, "") + LOG));
}
