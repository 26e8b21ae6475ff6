//! A day of a real POS's writes, as its program sent them over 63 connections, brought to PostgreSQL and replayed beside an agent that
//! is killed again and again. The writes lie beside the project; without them these tests say so and end.

use super::{Server, references};
use crate::client::Request;
use crate::process::{Daemon, listening};
use crate::shop::{ANY, furnish, until};
use postgres::Client;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SCHEMA: &str = "
    CREATE TABLE ospos_items (item_id serial PRIMARY KEY, name text, category text, supplier_id int, item_number varchar(255),
        description text, cost_price numeric(15,2), unit_price numeric(15,2), reorder_level numeric(15,3), receiving_quantity numeric(15,3),
        allow_alt_description int, is_serialized int, deleted int NOT NULL DEFAULT 0, stock_type int, item_type int, tax_category_id int,
        qty_per_pack numeric(15,3), pack_name text, low_sell_item_id int, hsn_code text);
    CREATE TABLE ospos_item_quantities (item_id int, location_id int, quantity numeric(15,3) NOT NULL DEFAULT 0, PRIMARY KEY (item_id, location_id));
    CREATE TABLE ospos_inventory (trans_id serial PRIMARY KEY, trans_items int NOT NULL, trans_user int, trans_date timestamp NOT NULL DEFAULT now(),
        trans_comment text NOT NULL, trans_location int NOT NULL, trans_inventory numeric(15,3) NOT NULL);
    CREATE INDEX ON ospos_inventory (trans_comment);
    CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;";

const MAPPING: &str = r#"
changes = """
  SELECT l.trans_id AS key, i.item_number AS item, l.trans_inventory AS quantity, l.trans_date AS at, l.trans_comment AS what,
         l.trans_location AS location
    FROM ospos_inventory l JOIN ospos_items i ON i.item_id = l.trans_items"""
on_hand = """
  SELECT i.item_number AS item, q.quantity, q.location_id AS location
    FROM ospos_item_quantities q JOIN ospos_items i USING (item_id)"""
kinds = [
  { starts = "POS ", kind = "sale" },
  { starts = "RECV ", kind = "receipt" },
  { starts = "Quantity Imported from CSV", kind = "count" },
  { starts = "*", kind = "adjustment" },
]
"#;

const PUBLICATION: &str =
    "ALTER ROLE reader REPLICATION; CREATE PUBLICATION shopsmart FOR TABLE ospos_inventory";
const LOG: &str = "[pos.log]\ntable = \"ospos_inventory\"\nkey = \"trans_id\"\n";

/// One statement of one connection.
struct Write {
    connection: String,
    /// `None`: the connection was killed.
    sql: Option<String>,
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/opensourcepos")
}

/// The writes that touch stock, in PostgreSQL's words. `None` where they are not there.
fn writes() -> Option<Vec<Write>> {
    let Ok(packed) = std::fs::File::open(shared().join("scenario_writes.jsonl.gz")) else {
        eprintln!("skipped: {} is not there", shared().display());
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let tables = ["`ospos_items`", "`ospos_item_quantities`", "`ospos_inventory`"];
    let writes = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let connection = line["conn"].as_str().unwrap().to_owned();
        if line["killed"] == true {
            return Some(Write { connection, sql: None });
        }
        let sql = line["sql"].as_str().unwrap();
        let is_ours = tables.iter().any(|table| sql.contains(table))
            || matches!(sql.trim(), "START TRANSACTION" | "COMMIT");
        is_ours.then(|| Write { connection, sql: Some(translated(sql)) })
    });
    Some(writes.collect())
}

fn translated(sql: &str) -> String {
    sql.replace(
        "ON DUPLICATE KEY UPDATE\n`ospos_item_quantities`.`quantity` = quantity",
        "ON CONFLICT (item_id, location_id) DO UPDATE SET quantity = ospos_item_quantities.quantity",
    )
    .replace('`', "\"")
}

/// An agent as a program of its own, killed at will.
struct Killed {
    folder: tempfile::TempDir,
    daemon: Option<Daemon>,
}

impl Killed {
    fn start(&mut self) {
        let _ = std::fs::remove_file(self.folder.path().join("data/addresses.json"));
        self.daemon = Some(Daemon::start(self.folder.path()));
    }

    fn get(&self, path: &str) -> Value {
        Request { method: "GET", path, token: Some(ANY), headers: Vec::new(), body: Vec::new() }
            .send(listening(self.folder.path()))
            .json()
    }
}

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Replays the day while the agent is killed about `kills` times; `pause_ms` is the longest pause between two statements.
fn replay(seed: u64, kills: u64, pause_ms: u64, log: &str) -> Option<()> {
    let writes = writes()?;
    let server = Server::start(super::log::SETTINGS);
    server.pos().batch_execute(SCHEMA).unwrap();
    if !log.is_empty() {
        server.pos().batch_execute(PUBLICATION).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[[pos]]\nsource = \"erp\"\nkind = \"postgres\"\n{}user = \"reader\"\npoll_every_ms = 50\ntime_zone = \"America/New_York\"\nlocation = \"1\"\n{MAPPING}{log}",
        server.by_socket()
    );
    furnish(folder.path(), &config);
    let mut agent = Killed { folder, daemon: None };
    agent.start();
    // What was written before the first reading would be part of its figures.
    until("the empty shop is read", || agent.get("/v1/sources")["sources"][0]["cursor"].is_string());
    let mut chance = Chance(seed);
    let mut connections: HashMap<String, Client> = HashMap::new();
    let every = u64::try_from(writes.len()).unwrap() / (kills + 1);
    let mut next_kill = chance.below(every) + every / 2;
    for (number, write) in (0u64..).zip(&writes) {
        if number == next_kill {
            // SIGKILL: dropping it is enough.
            agent.daemon = None;
            agent.start();
            next_kill += chance.below(every) + every / 2;
        }
        if pause_ms > 0 && chance.below(20) == 0 {
            std::thread::sleep(Duration::from_millis(chance.below(pause_ms)));
        }
        match &write.sql {
            Some(sql) => {
                let connection = connections.entry(write.connection.clone()).or_insert_with(|| server.pos());
                connection.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            }
            None => drop(connections.remove(&write.connection)),
        }
    }
    drop(connections);
    equal(&server, &mut agent, !log.is_empty());
    Some(())
}

/// The agent's on hand is the POS's for every item, and each row of the ledger stands in the agent's once.
fn equal(server: &Server, agent: &mut Killed, has_log: bool) {
    let mut pos = server.pos();
    let expected = std::fs::read_to_string(shared().join("expected_final_stock.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let expected: HashMap<&str, &str> = expected
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| Some((item["gtin"].as_str()?, item["on_hand_item_quantities"].as_str()?)))
        .collect();
    let figures = "SELECT i.item_number, q.quantity::text, q.quantity::float8 FROM ospos_item_quantities q JOIN ospos_items i USING (item_id)";
    let figures = pos.query(figures, &[]).unwrap();
    assert_eq!((figures.len(), expected.len()), (384, 384));
    for row in &figures {
        let (gtin, quantity): (&str, &str) = (row.get(0), row.get(1));
        assert_eq!(expected.get(gtin), Some(&quantity), "the replay itself, {gtin}");
    }
    let newest: i32 = pos.query_one("SELECT max(trans_id) FROM ospos_inventory", &[]).unwrap().get(0);
    until("the newest row is read", || {
        let source = agent.get("/v1/sources")["sources"][0].clone();
        let cursor = source["cursor"].as_str().unwrap_or_default().to_owned();
        source["state"] == "reading" && cursor.starts_with(&format!("{newest};"))
    });
    let mut wrong = Vec::new();
    until("every item's figure is the POS's, or nothing moves any more", || {
        wrong = figures
            .iter()
            .filter_map(|row| {
                let (gtin, quantity): (&str, f64) = (row.get(0), row.get(2));
                let ours = agent.get(&format!("/v1/items/{gtin}"))["on_hand"].clone();
                (ours.as_f64() != Some(quantity)).then(|| format!("{gtin}: POS {quantity}, agent {ours}"))
            })
            .collect();
        wrong.is_empty()
    });
    if has_log {
        until("the log is followed", || agent.get("/v1/sources")["sources"][0]["log"]["followed"] == true);
    }
    assert!(wrong.is_empty(), "{} of 384 differ: {wrong:?}", wrong.len());
    agent.daemon = None;
    let ledger: BTreeSet<String> = pos
        .query("SELECT trans_id::text FROM ospos_inventory", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let ours = references(agent.folder.path());
    let from_rows: BTreeSet<String> = ours
        .iter()
        .filter(|reference| reference.bytes().all(|byte| byte.is_ascii_digit()))
        .cloned()
        .collect();
    let missing: Vec<_> = ledger.difference(&from_rows).collect();
    let invented: Vec<_> = from_rows.difference(&ledger).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:?}, invented {invented:?}");
}

#[test]
fn a_day_at_full_speed_is_read_right_by_an_agent_that_is_killed_again_and_again() {
    replay(0x0511, 8, 0, "");
}

#[test]
fn a_day_with_pauses_is_read_right_by_an_agent_that_is_killed_again_and_again() {
    replay(0x0512, 12, 60, "");
}

#[test]
fn a_day_at_full_speed_is_read_right_by_its_log() {
    replay(0x0513, 8, 0, LOG);
}

#[test]
fn a_day_with_pauses_is_read_right_by_its_log() {
    replay(0x0514, 12, 60, LOG);
}
