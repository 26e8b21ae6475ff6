//! A POS's own SQLite database beside a running agent: another process writes, the agent reads along.

use crate::process::command;
use crate::shop::{Shop, until};
use rusqlite::{Connection, params};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store_agent::http::listener::Patience;

const KINDS: &str = r#"kinds = [
  { starts = "POS ", kind = "sale" },
  { starts = "RECV ", kind = "receipt" },
  { starts = "Counted", kind = "count" },
  { starts = "*", kind = "adjustment" },
]
"#;

const SCHEMA: &str = "
    CREATE TABLE inventory (id INTEGER PRIMARY KEY, item TEXT, place INTEGER, moved REAL, comment TEXT, at TEXT);
    CREATE TABLE quantities (item TEXT, place INTEGER, quantity REAL, PRIMARY KEY (item, place));";

/// A mapping for the tables above; `more` are further keys.
fn mapping(more: &str) -> String {
    format!(
        r#"[[pos]]
source = "till-db"
kind = "sqlite"
path = "pos.db"
poll_every_ms = 50
time_zone = "America/New_York"
location = "1"
{more}
{KINDS}"#
    )
}

const CHANGES: &str = "changes = \"SELECT id AS key, item, moved AS quantity, at, comment AS what, place AS location FROM inventory\"\n";
const ON_HAND: &str = "on_hand = \"SELECT item, quantity, place AS location FROM quantities\"\n";

fn both(more: &str) -> String {
    mapping(&format!("{CHANGES}{ON_HAND}{more}"))
}

/// The POS's own connection, with the patience that such programs have.
fn pos(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db
}

fn opened(path: &Path, journal: &str) -> Connection {
    let db = pos(path);
    let mode: String =
        db.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |row| row.get(0)).unwrap();
    assert_eq!(mode, journal);
    db.execute_batch(SCHEMA).unwrap();
    db
}

/// What a POS does for one line: the ledger and the figure in one transaction.
fn move_stock(db: &Connection, item: &str, moved: f64, comment: &str) {
    let step = db.unchecked_transaction().unwrap();
    let sql = "INSERT INTO inventory (item, place, moved, comment, at) VALUES (?1, 1, ?2, ?3, '2026-10-31 12:00:00')";
    step.execute(sql, params![item, moved, comment]).unwrap();
    let sql = "INSERT INTO quantities VALUES (?1, 1, ?2) ON CONFLICT DO UPDATE SET quantity = quantity + ?2";
    step.execute(sql, params![item, moved]).unwrap();
    step.commit().unwrap();
}

fn with_key(db: &Connection, id: i64, item: &str, moved: f64) {
    let sql = "INSERT INTO inventory VALUES (?1, ?2, 1, ?3, 'POS 1', '2026-10-31 12:00:00')";
    db.execute(sql, params![id, item, moved]).unwrap();
}

fn figure(db: &Connection, item: &str) -> f64 {
    db.query_row("SELECT quantity FROM quantities WHERE item = ?1 AND place = 1", [item], |row| row.get(0))
        .unwrap()
}

fn source(shop: &Shop) -> serde_json::Value {
    shop.get("/v1/sources").json()["sources"][0].clone()
}

fn has(shop: &Shop, sku: &str, on_hand: &str) {
    until(&format!("{sku} to be {on_hand}; it is {}", shop.on_hand(sku)), || shop.on_hand(sku) == on_hand);
}

fn open(config: &str, prepare: impl FnOnce(&Connection)) -> (Shop, Connection) {
    open_journal(config, "wal", prepare)
}

fn open_journal(config: &str, journal: &str, prepare: impl FnOnce(&Connection)) -> (Shop, Connection) {
    let mut kept = None;
    let shop = Shop::prepared(config, Patience::default(), |folder| {
        let db = opened(&folder.join("pos.db"), journal);
        prepare(&db);
        kept = Some(db);
    });
    (shop, kept.unwrap())
}

#[test]
fn what_is_there_is_counted_once_and_then_followed() {
    for journal in ["wal", "delete"] {
        let (mut shop, db) = open_journal(&both(""), journal, |db| {
            move_stock(db, "milk", 12.0, "RECV 1");
            move_stock(db, "milk", -2.0, "POS 1");
            move_stock(db, "ham", -1.25, "POS 1");
            db.execute("INSERT INTO quantities VALUES ('milk', 2, 500)", []).unwrap();
        });
        has(&shop, "milk", "10");
        has(&shop, "ham", "-1.25");
        move_stock(&db, "milk", -1.0, "POS 2");
        move_stock(&db, "ham", 11.079_999_999_999_998, "RECV 2");
        db.execute("INSERT INTO inventory VALUES (NULL, 'milk', 2, -9, 'POS 3', '2026-10-31 12:00:00')", [])
            .unwrap();
        has(&shop, "milk", "9");
        has(&shop, "ham", "9.83");
        shop.stop();
        move_stock(&db, "milk", -4.0, "POS 4");
        db.execute("VACUUM", []).unwrap();
        shop.start();
        has(&shop, "milk", "5");
        assert_eq!(source(&shop)["counts"]["recorded"], 1, "{}", source(&shop));
    }
}

#[test]
fn rows_that_show_up_late_count_and_those_that_never_do_hold_nothing_up() {
    let (shop, db) = open(&mapping(CHANGES), |db| with_key(db, 1, "milk", 100.0));
    has(&shop, "milk", "100");
    with_key(&db, 10, "milk", -1.0);
    has(&shop, "milk", "99");
    for id in [7, 3, 5] {
        with_key(&db, id, "milk", -1.0);
    }
    has(&shop, "milk", "96");
    until("the cursor names the gaps", || source(&shop)["cursor"] == "10;2,4,6,8-9");
    assert_eq!(source(&shop)["gaps_open"], 5);
}

#[test]
fn one_bad_row_is_set_aside_and_the_rest_counts() {
    let (shop, db) = open(&mapping(CHANGES), |db| with_key(db, 1, "milk", 100.0));
    has(&shop, "milk", "100");
    let step = db.unchecked_transaction().unwrap();
    let bad = "INSERT INTO inventory (item, place, moved, comment, at) VALUES";
    for values in [
        "('milk', 1, 9e999, 'POS 2', '2026-10-31 12:00:00')",
        "('milk', 1, 1e300, 'POS 2', '2026-10-31 12:00:00')",
        "('milk', 1, x'00ff', 'POS 2', '2026-10-31 12:00:00')",
        "(cast(x'ff41' AS TEXT), 1, -1, 'POS 2', '2026-10-31 12:00:00')",
        "('milk', 1, -1, cast(zeroblob(10485760) AS TEXT) || 'x', '2026-10-31 12:00:00')",
        "(replace(hex(zeroblob(5242880)), '0', 'x'), 1, -1, 'POS 2', '2026-10-31 12:00:00')",
        "('milk', 1, NULL, 'POS 2', '2026-10-31 12:00:00')",
        "('milk', 1, -1, 'POS 2', NULL)",
        "('milk', 1, -1, 'POS 4111 1111 1111 1111', '2026-10-31 12:00:00')",
    ] {
        step.execute(&format!("{bad} {values}"), []).unwrap();
    }
    step.commit().unwrap();
    with_key(&db, 500, "milk", -1.0);
    has(&shop, "milk", "99");
    let source = source(&shop);
    assert_eq!(source["counts"]["set_aside"], 9, "{source}");
    assert_eq!(source["counts"]["card_numbers"], 1, "{source}");
    let kept = Connection::open(shop.folder.path().join("data/agent.db")).unwrap();
    let mut query = kept.prepare("SELECT reason || ' ' || cast(bytes AS TEXT) FROM quarantine").unwrap();
    let texts: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(texts.len(), 9);
    assert!(
        texts.iter().all(|text| text.contains("source `till-db`: row `") && !text.contains("4111")),
        "{texts:?}"
    );
}

#[test]
fn a_row_that_the_pos_has_changed_is_named_and_not_counted_twice() {
    let (mut shop, db) = open(&mapping(CHANGES), |db| with_key(db, 1, "milk", 100.0));
    has(&shop, "milk", "100");
    shop.stop();
    // As after a takeover from a hub that knows less than this disk.
    let agent = Connection::open(shop.folder.path().join("data/agent.db")).unwrap();
    agent.execute("UPDATE cursor SET value = cast('0;' AS BLOB)", []).unwrap();
    drop(agent);
    std::fs::remove_file(shop.folder.path().join("data/pos-till-db.db")).unwrap();
    db.execute("UPDATE inventory SET at = '2026-10-30 12:00:00'", []).unwrap();
    with_key(&db, 2, "milk", -1.0);
    shop.start();
    has(&shop, "milk", "99");
    let source = source(&shop);
    assert_eq!(
        (&source["counts"]["conflicts"], &source["counts"]["recorded"]),
        (&1.into(), &1.into()),
        "{source}"
    );
    assert!(source["last_set_aside"].as_str().unwrap().contains("the POS has changed the row"), "{source}");
}

#[test]
fn rows_that_the_pos_changes_or_deletes_are_corrected_by_the_difference() {
    let (mut shop, db) = open(&mapping(CHANGES), |db| {
        with_key(db, 1, "milk", 100.0);
        with_key(db, 2, "milk", -3.0);
        db.execute("INSERT INTO inventory VALUES (3, 'milk', 2, -7, 'POS 1', '2026-10-31 12:00:00')", [])
            .unwrap();
    });
    has(&shop, "milk", "97");
    db.execute("UPDATE inventory SET moved = -1.5 WHERE id = 2", []).unwrap();
    has(&shop, "milk", "98.5");
    db.execute("UPDATE inventory SET at = '2026-10-30 09:00:00' WHERE id = 1", []).unwrap();
    until("the new date is noted", || source(&shop)["counts"]["redated"] == 1);
    // It enters the SELECT long after its key was passed.
    db.execute("UPDATE inventory SET place = 1 WHERE id = 3", []).unwrap();
    has(&shop, "milk", "91.5");
    shop.stop();
    db.execute("DELETE FROM inventory WHERE id = 2", []).unwrap();
    db.execute("UPDATE inventory SET item = 'ham' WHERE id = 3", []).unwrap();
    with_key(&db, 4, "milk", -2.0);
    shop.start();
    has(&shop, "milk", "98");
    has(&shop, "ham", "-7");
    let source = source(&shop);
    assert_eq!(
        (&source["counts"]["conflicts"], &source["counts"]["set_aside"]),
        (&0.into(), &0.into()),
        "{source}"
    );
}

#[test]
fn a_key_that_is_given_out_again_is_another_row() {
    let (shop, db) = open(&mapping(CHANGES), |db| {
        with_key(db, 1, "milk", 100.0);
        with_key(db, 2, "milk", -3.0);
    });
    has(&shop, "milk", "97");
    let step = db.unchecked_transaction().unwrap();
    step.execute("DELETE FROM inventory WHERE id = 2", []).unwrap();
    step.execute("INSERT INTO inventory VALUES (NULL, 'ham', 1, -1, 'POS 2', '2026-10-31 12:00:00')", [])
        .unwrap();
    step.commit().unwrap();
    has(&shop, "milk", "100");
    has(&shop, "ham", "-1");
}

#[test]
fn old_rows_that_are_tidied_away_move_nothing() {
    let (shop, db) = open(&mapping(CHANGES), |db| {
        for id in 1..=10 {
            with_key(db, id, "milk", 10.0);
        }
    });
    has(&shop, "milk", "100");
    db.execute("UPDATE inventory SET at = '2020-01-01 12:00:00' WHERE id < 9", []).unwrap();
    until("the new dates are noted", || source(&shop)["counts"]["redated"] == 8);
    db.execute("DELETE FROM inventory WHERE id < 6", []).unwrap();
    until("it is said", || source(&shop)["counts"]["set_aside"] == 1);
    assert!(source(&shop)["last_set_aside"].as_str().unwrap().contains("archived"), "{}", source(&shop));
    assert_eq!(shop.on_hand("milk"), "100");
    // One out of the middle was undone, however old.
    db.execute("DELETE FROM inventory WHERE id = 7", []).unwrap();
    has(&shop, "milk", "90");
}

#[test]
fn changed_tables_stop_this_source_and_no_till_until_somebody_accepts_them() {
    let (shop, db) = open(&mapping(CHANGES), |db| with_key(db, 1, "milk", 100.0));
    has(&shop, "milk", "100");
    db.execute_batch("ALTER TABLE inventory ADD COLUMN unit TEXT").unwrap();
    db.execute(
        "INSERT INTO inventory VALUES (2, 'milk', 1, -12, 'POS 2', '2026-10-31 12:00:00', 'case')",
        [],
    )
    .unwrap();
    until("the change is seen", || source(&shop)["state"] == "schema_changed");
    assert!(source(&shop)["drift"][0].as_str().unwrap().contains("`inventory` was"), "{}", source(&shop));
    assert_eq!(shop.report(crate::shop::SALE).status, 201, "a till goes on");
    assert_eq!(shop.on_hand("milk"), "100");
    assert!(shop.get("/metrics").body.contains("shopsmart_agent_pos_schema_changed{source=\"till-db\"} 1"));
    let accepted = command(&["pos", "accept", "till-db", "--config", "agent.toml"], shop.folder.path());
    assert!(accepted.status.success(), "{accepted:?}");
    has(&shop, "milk", "88");
}

#[test]
fn a_pos_that_is_not_there_yet_keeps_nobody_from_selling() {
    let mut shop = Shop::open_with(&both(""), Patience::default());
    until("the trouble is shown", || source(&shop)["state"] == "failing");
    assert!(source(&shop)["last_error"]["reason"].as_str().unwrap().contains("is the path right"));
    assert_eq!(shop.report(crate::shop::SALE).status, 201);
    let db = opened(&shop.folder.path().join("pos.db"), "wal");
    move_stock(&db, "milk", 3.0, "RECV 1");
    has(&shop, "milk", "3");
    shop.stop();
}

#[test]
fn a_file_that_takes_the_place_of_another_is_read_on() {
    let (shop, db) = open(&mapping(CHANGES), |db| with_key(db, 1, "milk", 100.0));
    has(&shop, "milk", "100");
    let path = shop.folder.path().join("pos.db");
    db.execute("VACUUM INTO ?1", [path.with_extension("new").to_str().unwrap()]).unwrap();
    drop(db);
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    with_key(&pos(&path), 2, "milk", -1.0);
    has(&shop, "milk", "99");
}

#[test]
fn without_keys_the_figures_themselves_are_followed() {
    let (mut shop, db) = open(&mapping(ON_HAND), |db| {
        move_stock(db, "milk", 10.0, "");
        move_stock(db, "ham", -2.0, "");
    });
    has(&shop, "milk", "10");
    has(&shop, "ham", "-2");
    move_stock(&db, "milk", -3.0, "");
    has(&shop, "milk", "7");
    shop.stop();
    move_stock(&db, "milk", -3.0, "");
    move_stock(&db, "ham", 2.5, "");
    shop.start();
    has(&shop, "milk", "4");
    has(&shop, "ham", "0.5");
    assert_eq!(source(&shop)["counts"]["recorded"], 2, "only what differs: {}", source(&shop));
    shop.stop();
    std::fs::remove_file(shop.folder.path().join("data/pos-till-db.db")).unwrap();
    move_stock(&db, "ham", 1.0, "");
    shop.start();
    has(&shop, "ham", "1.5");
    has(&shop, "milk", "4");
}

/// What field IT types, and what is said to it.
fn pos_command(folder: &Path, args: &[&str]) -> (bool, String) {
    let output = command(&[&["pos"], args, &["--config", "agent.toml"]].concat(), folder);
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn a_pos_that_only_overwrites_figures_notes_its_changes_in_an_outbox() {
    let changes = "changes = \"SELECT outbox_seq AS key, item, quantity * outbox_sign AS quantity, outbox_at AS at, place AS location FROM shopsmart_outbox_quantities\"\n";
    let folder = tempfile::tempdir().unwrap();
    crate::shop::furnish(
        folder.path(),
        &mapping(&format!("{changes}{ON_HAND}reconcile_every_s = 1"))
            .replace("time_zone = \"America/New_York\"\n", ""),
    );
    let db = opened(&folder.path().join("pos.db"), "wal");
    let args = ["outbox", "--source", "till-db", "--table", "quantities"];
    let (is_done, said) = pos_command(folder.path(), &args);
    assert!(is_done && said.contains("CREATE TRIGGER") && said.contains("nothing was changed"), "{said}");
    let (is_done, said) = pos_command(folder.path(), &[&args[..], &["--apply"]].concat());
    assert!(is_done && said.contains("notes each change"), "{said}");
    let (is_done, said) = pos_command(folder.path(), &["outbox", "--source", "till-db", "--table", "seen"]);
    assert!(!is_done && said.contains("there is no table `seen`"), "{said}");
    db.execute("INSERT INTO quantities VALUES ('milk', 1, 12), ('milk', 2, 99)", []).unwrap();
    let shop = Shop::in_folder(folder);
    has(&shop, "milk", "12");
    db.execute("UPDATE quantities SET quantity = quantity - 2.5 WHERE place = 1", []).unwrap();
    has(&shop, "milk", "9.5");
    db.execute("INSERT INTO quantities VALUES ('ham', 1, 3)", []).unwrap();
    has(&shop, "ham", "3");
    db.execute("DELETE FROM quantities WHERE item = 'milk'", []).unwrap();
    has(&shop, "milk", "0");
    until("figures are compared", || source(&shop)["differing_items"] == 0);
    let (is_done, said) = pos_command(shop.folder.path(), &["check"]);
    assert!(is_done && said.contains("nothing wrong"), "{said}");
}

#[test]
fn differences_are_proposed_and_applied_only_where_the_pos_is_right() {
    for (truth, applied) in [("", false), ("pos_is_truth = true\n", true)] {
        let more = format!("reconcile_every_s = 1\n{truth}");
        let (shop, db) = open(&both(&more), |db| move_stock(db, "milk", 10.0, "RECV 1"));
        has(&shop, "milk", "10");
        // The POS corrects its figure without a row.
        db.execute("UPDATE quantities SET quantity = 8", []).unwrap();
        let differences = || shop.get("/v1/sources/till-db/differences").json();
        until("the difference is found", || {
            let found = differences();
            found["applied"] == applied
                && found["differences"][0]["pos"] == 8
                && found["differences"][0]["agent"] == 10
                || applied && shop.on_hand("milk") == "8"
        });
        if applied {
            has(&shop, "milk", "8");
        } else {
            assert_eq!(shop.on_hand("milk"), "10");
        }
    }
}

#[test]
fn a_pos_that_writes_at_full_speed_is_never_held_up() {
    let (shop, db) = open(&both(""), |db| move_stock(db, "milk", 1000.0, "RECV 1"));
    has(&shop, "milk", "1000");
    // A program without any patience for locks: each refusal would be an error at the till.
    db.busy_timeout(Duration::ZERO).unwrap();
    for number in 0..3_000 {
        move_stock(&db, "milk", -0.5, &format!("POS {number}"));
    }
    has(&shop, "milk", "-500");
    assert_eq!(source(&shop)["counts"]["errors"], 0, "{}", source(&shop));
}

#[test]
fn a_check_shows_movements_and_names_what_is_wrong() {
    let (mut shop, db) = open(&both(""), |db| {
        move_stock(db, "milk", 10.0, "RECV 1");
        move_stock(db, "milk", -1.5, "POS 1");
    });
    shop.stop();
    let check = || {
        let output = command(&["pos", "check", "--config", "agent.toml"], shop.folder.path());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("till-db") && said.contains("receipt") && said.contains("1.5") && said.contains("8.5"),
        "{said}"
    );
    db.execute("INSERT INTO inventory VALUES (77, 'milk', 1, NULL, 'POS 2', '2026-10-31 12:00:00')", [])
        .unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("row `77`: `quantity` is NULL"), "{said}");
}

/// How long things take; run with `--ignored --nocapture` on a release build. Prints, and asserts the outcome alone.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn figures() {
    let (shop, db) = open(&both("").replace("poll_every_ms = 50\n", ""), |db| {
        let step = db.unchecked_transaction().unwrap();
        for item in 0..30_000 {
            step.execute("INSERT INTO quantities VALUES (?1, 1, 10)", [format!("sku-{item:05}")]).unwrap();
        }
        step.commit().unwrap();
    });
    let started = Instant::now();
    until("everything is imported", || source(&shop)["cursor"] == "0;");
    println!("first import of 30,000 items: {:?} (from the agent's start at most)", started.elapsed());
    let mut waits: Vec<Duration> = Vec::new();
    for number in 0..200 {
        std::thread::sleep(Duration::from_millis(37 * (number % 13)));
        move_stock(&db, "sku-00001", -1.0, "POS 1");
        let written = Instant::now();
        let wanted = (10 - 1 - i64::try_from(number).unwrap()).to_string();
        while shop.on_hand("sku-00001") != wanted {
            std::thread::sleep(Duration::from_millis(2));
        }
        waits.push(written.elapsed());
    }
    waits.sort_unstable();
    println!(
        "POS write to recorded, polled every 500 ms: median {:?}, p99 {:?}, max {:?}",
        waits[99], waits[197], waits[199]
    );
    let step = db.unchecked_transaction().unwrap();
    for _ in 0..100_000 {
        step.execute(
            "INSERT INTO inventory VALUES (NULL, 'sku-00002', 1, -1, 'POS 2', '2026-10-31 12:00:00')",
            [],
        )
        .unwrap();
    }
    step.commit().unwrap();
    let started = Instant::now();
    has(&shop, "sku-00002", "-99990");
    println!("catch-up: {:.0} rows/s", 100_000.0 / started.elapsed().as_secs_f64());
    let cpu = || {
        let text = shop.get("/metrics").body;
        let line =
            text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total ")).unwrap().to_owned();
        line.parse::<f64>().unwrap()
    };
    let before = cpu();
    std::thread::sleep(Duration::from_secs(30));
    println!("at rest, agent and test in one process: {:.2} % of a core", (cpu() - before) / 30.0 * 100.0);
}

/// Kept here for its neighbours: a POS of its own thread that writes until it is told to stop.
pub fn writing(path: &Path, stop: &AtomicBool, items: i64) -> i64 {
    let db = pos(path);
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        let moved = [-1.0, -0.25, 3.0, -2.5, 0.0][usize::try_from(written % 5).unwrap()];
        move_stock(&db, &format!("item-{}", written % items), moved, "POS 1");
        written += 1;
    }
    written
}

/// The agent's on hand of each item is the POS's.
pub fn agree(path: &Path, on_hand: impl Fn(&str) -> String, items: i64) {
    let db = pos(path);
    for item in 0..items {
        let name = format!("item-{item}");
        let wanted = figure(&db, &name).to_string();
        until(&format!("{name} to be {wanted}; it is {}", on_hand(&name)), || on_hand(&name) == wanted);
    }
}

pub fn config() -> String {
    both("")
}

pub fn prepared(path: &Path) {
    let db = opened(path, "wal");
    for item in 0..20 {
        move_stock(&db, &format!("item-{item}"), 100.0, "RECV 1");
    }
}
