//! A POS's own PostgreSQL beside a running agent: a real server, real sessions that write, and the agent that reads along.

mod log;
mod odoo;
mod opensourcepos;
mod server;
mod tls;

use crate::process::command;
use crate::shop::{Shop, until};
use postgres::Client;
use rusqlite::Connection;
use server::Server;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use store_agent::http::listener::Patience;

const KINDS: &str = r#"kinds = [
  { starts = "POS ", kind = "sale" },
  { starts = "RECV ", kind = "receipt" },
  { starts = "Counted", kind = "count" },
  { starts = "*", kind = "adjustment" },
]
"#;

const SCHEMA: &str = "
    CREATE TABLE inventory (id bigserial PRIMARY KEY, item text, place int NOT NULL DEFAULT 1, moved numeric(15,3), comment text,
                            at timestamptz DEFAULT now());
    CREATE TABLE quantities (item text, place int, quantity numeric(15,3), PRIMARY KEY (item, place));
    CREATE ROLE reader LOGIN;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;";

const CHANGES: &str = "changes = \"SELECT id AS key, item, moved AS quantity, at, comment AS what, place AS location FROM inventory\"\n";
const ON_HAND: &str = "on_hand = \"SELECT item, quantity, place AS location FROM quantities\"\n";

/// A mapping for the tables above; `more` are further keys.
fn mapping(server: &Server, more: &str) -> String {
    format!(
        "[[pos]]\nsource = \"erp\"\nkind = \"postgres\"\n{}user = \"reader\"\npoll_every_ms = 50\n\
         time_zone = \"America/New_York\"\nlocation = \"1\"\n{more}\n{KINDS}",
        server.by_socket()
    )
}

fn both(server: &Server, more: &str) -> String {
    mapping(server, &format!("{CHANGES}{ON_HAND}{more}"))
}

fn opened() -> (Server, Client) {
    let server = Server::start("");
    let mut pos = server.pos();
    pos.batch_execute(SCHEMA).unwrap();
    (server, pos)
}

/// What a POS does for one line: the ledger and the figure in one transaction.
fn move_stock(pos: &mut Client, item: &str, moved: &str, comment: &str) {
    let mut step = pos.transaction().unwrap();
    let ledger = "INSERT INTO inventory (item, moved, comment) VALUES ($1, $2::text::numeric, $3)";
    step.execute(ledger, &[&item, &moved, &comment]).unwrap();
    let figure = "INSERT INTO quantities VALUES ($1, 1, $2::text::numeric)
                  ON CONFLICT (item, place) DO UPDATE SET quantity = quantities.quantity + excluded.quantity";
    step.execute(figure, &[&item, &moved]).unwrap();
    step.commit().unwrap();
}

fn sold(client: &mut impl postgres::GenericClient, item: &str, moved: &str) {
    let sql = "INSERT INTO inventory (item, moved, comment) VALUES ($1, $2::text::numeric, 'POS 1')";
    client.execute(sql, &[&item, &moved]).unwrap();
}

fn source(shop: &Shop) -> serde_json::Value {
    shop.get("/v1/sources").json()["sources"][0].clone()
}

fn has(shop: &Shop, sku: &str, on_hand: &str) {
    until(&format!("{sku} to be {on_hand}; it is {}; {}", shop.on_hand(sku), source(shop)), || {
        shop.on_hand(sku) == on_hand
    });
}

/// References of the documents in a stopped or killed agent's ledger.
fn references(folder: &Path) -> BTreeSet<String> {
    let db = Connection::open(folder.join("data/agent.db")).unwrap();
    let mut query = db.prepare("SELECT reference FROM document").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn keys_that_are_uuids_are_followed_by_time_and_a_commit_rings() {
    let server = Server::start("");
    let mut pos = server.pos();
    pos.batch_execute(
        &SCHEMA.replace("id bigserial PRIMARY KEY", "id uuid PRIMARY KEY DEFAULT gen_random_uuid()"),
    )
    .unwrap();
    pos.batch_execute("CREATE INDEX ON inventory (at)").unwrap();
    move_stock(&mut pos, "milk", "12", "RECV 1");
    let config = both(&server, "key_is = \"text\"\nreconcile_every_s = 1\n") + "[pos.log]\n";
    let config = config.replace("  { starts = \"Counted\", kind = \"count\" },\n", "");
    let mut shop = Shop::open_with(&config, Patience::default());
    has(&shop, "milk", "12");
    until("the log is followed", || source(&shop)["log"]["followed"] == true);
    for number in 0..700 {
        sold(&mut pos, "tea", if number % 2 == 0 { "-1" } else { "-2" });
    }
    has(&shop, "tea", "-1050");
    // A basket that was opened before another one was written, and committed after it; dated back by two days.
    let mut late = server.pos();
    let mut step = late.transaction().unwrap();
    step.batch_execute(
        "INSERT INTO inventory (item, moved, comment, at) SELECT 'milk', -1, 'POS 9', now() - interval '2 days' FROM generate_series(1, 3)",
    )
    .unwrap();
    move_stock(&mut pos, "milk", "-1", "POS 1");
    has(&shop, "milk", "11");
    step.commit().unwrap();
    has(&shop, "milk", "8");
    pos.batch_execute("UPDATE inventory SET moved = -2 WHERE comment = 'POS 9'").unwrap();
    has(&shop, "milk", "5");
    pos.batch_execute("DELETE FROM inventory WHERE comment = 'POS 9'").unwrap();
    has(&shop, "milk", "11");
    until("figures are compared", || source(&shop)["differing_items"] == 0);
    shop.stop();
    let rows: Vec<String> =
        pos.query("SELECT id::text FROM inventory", &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let kept = references(shop.folder.path());
    assert_eq!(rows.iter().filter(|row| !kept.contains(*row)).count(), 1, "the row of the first reading");
}

#[test]
fn what_is_there_is_counted_once_and_then_followed() {
    let (server, mut pos) = opened();
    move_stock(&mut pos, "milk", "12", "RECV 1");
    move_stock(&mut pos, "milk", "-2", "POS 1");
    move_stock(&mut pos, "ham", "-1.25", "POS 1");
    pos.batch_execute("INSERT INTO quantities VALUES ('milk', 2, 500)").unwrap();
    let mut shop = Shop::open_with(&both(&server, ""), Patience::default());
    has(&shop, "milk", "10");
    has(&shop, "ham", "-1.25");
    move_stock(&mut pos, "milk", "-1", "POS 2");
    move_stock(&mut pos, "ham", "11.08", "RECV 2");
    pos.batch_execute("INSERT INTO inventory (item, place, moved, comment) VALUES ('milk', 2, -9, 'POS 3')")
        .unwrap();
    has(&shop, "milk", "9");
    has(&shop, "ham", "9.83");
    shop.stop();
    move_stock(&mut pos, "milk", "-4", "POS 4");
    shop.start();
    has(&shop, "milk", "5");
    assert_eq!(source(&shop)["counts"]["recorded"], 1, "{}", source(&shop));
    assert_eq!(source(&shop)["kind"], "postgres");
}

#[test]
fn a_sale_that_commits_late_counts_and_one_that_was_rolled_back_holds_nothing_up() {
    let (server, mut pos) = opened();
    let shop = Shop::open_with(&mapping(&server, CHANGES), Patience::default());
    sold(&mut pos, "milk", "100");
    has(&shop, "milk", "100");
    let mut slow = server.pos();
    let mut late = slow.transaction().unwrap();
    sold(&mut late, "milk", "-1");
    let mut other = server.pos();
    let mut never = other.transaction().unwrap();
    sold(&mut never, "milk", "-50");
    sold(&mut pos, "milk", "-2");
    has(&shop, "milk", "98");
    until("the cursor names the gap", || source(&shop)["cursor"] == "4;2-3");
    never.rollback().unwrap();
    late.commit().unwrap();
    has(&shop, "milk", "97");
    until("the cursor names what never came", || source(&shop)["cursor"] == "4;3");
}

#[test]
fn rows_that_the_pos_changes_or_deletes_are_corrected_by_the_difference() {
    let (server, mut pos) = opened();
    let mut shop = Shop::open_with(&mapping(&server, CHANGES), Patience::default());
    for moved in ["100", "-1", "-2", "-4"] {
        sold(&mut pos, "milk", moved);
    }
    has(&shop, "milk", "93");
    pos.batch_execute("UPDATE inventory SET moved = -1.5 WHERE id = 2; DELETE FROM inventory WHERE id = 3")
        .unwrap();
    has(&shop, "milk", "94.5");
    shop.stop();
    pos.batch_execute("UPDATE inventory SET item = 'ham' WHERE id = 4").unwrap();
    shop.start();
    has(&shop, "milk", "98.5");
    has(&shop, "ham", "-4");
}

#[test]
fn the_reader_cannot_write_and_waits_for_no_lock() {
    let (server, mut pos) = opened();
    move_stock(&mut pos, "milk", "3", "RECV 1");
    pos.batch_execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO reader;
        CREATE FUNCTION sell() RETURNS text LANGUAGE sql VOLATILE AS $$ UPDATE quantities SET quantity = 0 RETURNING 'x' $$").unwrap();
    let writing =
        "on_hand = \"SELECT item, quantity, place AS location, sell() AS document FROM quantities\"\n";
    let shop = Shop::open_with(&mapping(&server, writing), Patience::default());
    until("it is refused", || {
        source(&shop)["last_error"]["reason"].as_str().unwrap_or_default().contains("read-only transaction")
    });
    drop(shop);
    let shop = Shop::open_with(&both(&server, ""), Patience::default());
    has(&shop, "milk", "3");
    let mut alter = server.pos();
    let mut locked = alter.transaction().unwrap();
    locked.batch_execute("LOCK TABLE quantities, inventory IN ACCESS EXCLUSIVE MODE").unwrap();
    move_nothing(&mut pos);
    until("it gives up waiting", || {
        source(&shop)["last_error"]["reason"].as_str().unwrap_or_default().contains("lock timeout")
    });
    locked.rollback().unwrap();
    move_stock(&mut pos, "milk", "-1", "POS 1");
    has(&shop, "milk", "2");
}

/// Something that rings the bell.
fn move_nothing(pos: &mut Client) {
    pos.batch_execute("CREATE TABLE IF NOT EXISTS bell (); DROP TABLE bell").unwrap();
}

#[test]
fn values_of_every_type_are_exact_or_set_aside() {
    let (server, mut pos) = opened();
    pos.batch_execute(
        "CREATE TABLE odd (id numeric, item text, moved float8, at timestamp, what text, note bytea);
         GRANT SELECT ON odd TO reader;
         INSERT INTO odd VALUES
           (1, '0042', 11.079999999999998, '2026-10-31 12:00:00', 'RECV 1', NULL),
           (2, '9007199254740993', 1, '2026-10-31 12:00:00', 'RECV 1', NULL),
           (3, '0042', 'NaN', '2026-10-31 12:00:00', 'RECV 1', NULL),
           (4, '0042', 1e300, '2026-10-31 12:00:00', 'RECV 1', NULL),
           (5, repeat('x', 10485760), 1, '2026-10-31 12:00:00', 'RECV 1', NULL),
           (6, '0042', 1, 'infinity', 'RECV 1', NULL),
           (7, '0042', 1, '2026-10-31 12:00:00', 'RECV 1', '\\x00ff'),
           (8, '0042', 1, '2026-10-31 12:00:00', 'POS 4111 1111 1111 1111', NULL),
           (9, NULL, 1, '2026-10-31 12:00:00', 'RECV 1', NULL),
           (10, '0042', 1, NULL, 'RECV 1', NULL),
           (10.5, '0042', 1000, '2026-10-31 12:00:00', 'RECV 1', NULL),
           (11, '0042', -0.08, '2026-11-01 01:30:00', 'RECV 1', NULL);",
    )
    .unwrap();
    let changes = "changes = \"SELECT id AS key, item, moved AS quantity, at, what, note AS reason, 1 AS location FROM odd\"\n";
    let mut shop = Shop::open_with(&mapping(&server, changes), Patience::default());
    has(&shop, "0042", "11");
    has(&shop, "9007199254740993", "1");
    let found = source(&shop);
    assert_eq!(
        (&found["counts"]["set_aside"], &found["counts"]["card_numbers"]),
        (&8.into(), &1.into()),
        "{found}"
    );
    shop.stop();
    let db = Connection::open(shop.folder.path().join("data/agent.db")).unwrap();
    let at = |reference: &str| -> i64 {
        let sql = "SELECT occurred_at FROM document WHERE reference = ?1";
        db.query_row(sql, [reference], |row| row.get(0)).unwrap()
    };
    assert_eq!(
        (at("1"), at("11")),
        (1_793_462_400_000, 1_793_511_000_000),
        "the shop's clock, before it is set back"
    );
}

#[test]
fn changed_tables_and_views_stop_this_source_until_somebody_accepts_them() {
    let (server, mut pos) = opened();
    pos.batch_execute("CREATE VIEW moves AS SELECT * FROM inventory; GRANT SELECT ON moves TO reader")
        .unwrap();
    let shop = Shop::open_with(
        &mapping(&server, &CHANGES.replace("FROM inventory", "FROM moves")),
        Patience::default(),
    );
    sold(&mut pos, "milk", "5");
    has(&shop, "milk", "5");
    // A row in the same commit: nothing of it may be read before somebody has looked.
    pos.batch_execute(
        "BEGIN; ALTER TABLE inventory ADD COLUMN unit text; INSERT INTO inventory (item, moved, comment) VALUES ('milk', -1, 'POS 2'); COMMIT",
    )
    .unwrap();
    until("the change is seen", || source(&shop)["state"] == "schema_changed");
    assert!(
        source(&shop)["drift"][0].as_str().unwrap().contains("`public.inventory` was"),
        "{}",
        source(&shop)
    );
    assert_eq!(shop.on_hand("milk"), "5");
    accept(&shop);
    has(&shop, "milk", "4");
    pos.batch_execute(
        "CREATE OR REPLACE VIEW moves AS SELECT id, item, place, (moved * 2)::numeric(15,3) AS moved, comment, at FROM inventory",
    )
    .unwrap();
    until("the change of the view is seen", || {
        source(&shop)["state"] == "schema_changed"
            && source(&shop)["drift"][0].as_str().unwrap().contains("`public.moves`")
    });
}

fn accept(shop: &Shop) {
    let accepted = command(&["pos", "accept", "erp", "--config", "agent.toml"], shop.folder.path());
    assert!(accepted.status.success(), "{accepted:?}");
}

#[test]
fn a_server_that_crashes_is_read_on_when_it_is_back() {
    let (mut server, mut pos) = opened();
    let shop = Shop::open_with(&both(&server, ""), Patience::default());
    move_stock(&mut pos, "milk", "5", "RECV 1");
    has(&shop, "milk", "5");
    server.crash();
    until("the trouble is shown", || source(&shop)["state"] == "failing");
    assert_eq!(shop.report(crate::shop::SALE).status, 201, "a till goes on");
    server.run();
    move_stock(&mut server.pos(), "milk", "-1", "POS 1");
    has(&shop, "milk", "4");
}

#[test]
fn the_first_reading_misses_and_doubles_nothing_while_the_pos_writes() {
    let (server, mut pos) = opened();
    for item in 0..20 {
        move_stock(&mut pos, &format!("item-{item}"), "100", "RECV 1");
    }
    let stop = AtomicBool::new(false);
    let shop = std::thread::scope(|scope| {
        for till in 0..3usize {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                let mut pos = server.pos();
                let mut sold = till;
                while !stop.load(Ordering::Relaxed) {
                    let moved = ["-1", "-0.25", "3", "-2.5", "0"][sold % 5];
                    move_stock(&mut pos, &format!("item-{}", sold % 20), moved, "POS 1");
                    sold += 3;
                }
            });
        }
        let shop = Shop::open_with(&both(&server, ""), Patience::default());
        until("rows are followed", || source(&shop)["counts"]["recorded"].as_u64() > Some(200));
        stop.store(true, Ordering::Relaxed);
        shop
    });
    for row in pos.query("SELECT item, trim_scale(quantity)::text FROM quantities", &[]).unwrap() {
        has(&shop, row.get(0), row.get(1));
    }
    let found = source(&shop);
    assert_eq!(
        (&found["counts"]["conflicts"], &found["counts"]["errors"]),
        (&0.into(), &0.into()),
        "{found}"
    );
}

#[test]
fn a_check_shows_movements_and_what_is_wrong() {
    let (server, mut pos) = opened();
    move_stock(&mut pos, "milk", "10", "RECV 1");
    move_stock(&mut pos, "milk", "-1.5", "POS 1");
    let mut shop = Shop::open_with(&both(&server, ""), Patience::default());
    shop.stop();
    let check = || {
        let output = command(&["pos", "check", "--config", "agent.toml"], shop.folder.path());
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("receipt") && said.contains("1.5") && said.contains("8.5"), "{said}");
    pos.batch_execute("INSERT INTO inventory (id, item, comment) VALUES (77, 'milk', 'POS 2')").unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("row `77`: `quantity` is NULL"), "{said}");
}

/// How long things take, and what they cost the server; run with `--ignored --nocapture`. Prints, and asserts the outcome alone.
#[test]
#[ignore = "a measurement"]
fn figures() {
    let (server, mut pos) = opened();
    measure(&mut pos, &both(&server, ""));
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
#[expect(clippy::print_stdout, reason = "it measures, for a person")]
fn measure(pos: &mut Client, config: &str) {
    use std::time::{Duration, Instant};
    pos.batch_execute(
        "INSERT INTO quantities SELECT 'sku-' || n, 1, 10 FROM generate_series(1, 30000) AS n; ANALYZE",
    )
    .unwrap();
    let started = Instant::now();
    let shop = Shop::open_with(&config.replace("poll_every_ms = 50\n", ""), Patience::default());
    until("everything is imported", || source(&shop)["cursor"] == "0;");
    println!("first import of 30,000 items: {:?} (from the agent's start at most)", started.elapsed());
    let mut waits: Vec<Duration> = Vec::new();
    for number in 0..200 {
        std::thread::sleep(Duration::from_millis(37 * (number % 13)));
        move_stock(pos, "sku-1", "-1", "POS 1");
        let written = Instant::now();
        let wanted = (10 - 1 - i64::try_from(number).unwrap()).to_string();
        while shop.on_hand("sku-1") != wanted {
            std::thread::sleep(Duration::from_millis(2));
        }
        waits.push(written.elapsed());
    }
    waits.sort_unstable();
    println!("POS write to recorded: median {:?}, p99 {:?}, max {:?}", waits[99], waits[197], waits[199]);
    pos.batch_execute("INSERT INTO inventory (item, moved, comment) SELECT 'sku-2', -1, 'POS 2' FROM generate_series(1, 100000)").unwrap();
    let started = Instant::now();
    has(&shop, "sku-2", "-99990");
    println!("catch-up: {:.0} rows/s", 100_000.0 / started.elapsed().as_secs_f64());
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'shopsmart store-agent%'";
    let sessions: Vec<i32> = pos.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let spent = || -> u32 {
        let of = |session: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{session}/stat")).unwrap();
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            let ticks = |at: usize| fields[at].parse::<u32>().unwrap();
            ticks(11) + ticks(12)
        };
        sessions.iter().map(of).sum()
    };
    // Until the last round over what was written has ended it is no rest.
    for minute in 1..=4 {
        let (before, started) = (spent(), Instant::now());
        std::thread::sleep(Duration::from_secs(60));
        // A hundred ticks a second.
        let load = f64::from(spent() - before) / started.elapsed().as_secs_f64();
        println!("the server in minute {minute} of rest, for this reader: {load:.2} % of a core");
    }
}
