//! How long things take, and what they cost the server; run with `--ignored --nocapture`. Prints, and asserts the outcome alone.

use super::{Server, adapted, patiently, with_password};
use crate::shop::Shop;
use mysql::Conn;
use mysql::prelude::Queryable;
use std::time::{Duration, Instant};
use store_agent::http::listener::Patience;

const SCHEMA: [&str; 6] = [
    "CREATE DATABASE measured",
    "USE measured",
    "CREATE TABLE measured.stock (ID INT PRIMARY KEY, CODE VARCHAR(64), UNITS DECIMAL(15,3) NOT NULL)",
    "CREATE TABLE measured.moves (ID BIGINT AUTO_INCREMENT PRIMARY KEY, CODE VARCHAR(64), UNITS DECIMAL(15,3), AT DATETIME, WHAT VARCHAR(64))",
    "INSERT INTO measured.stock SELECT seq, CONCAT('sku-', seq), 10 FROM seq_1_to_30000",
    "INSERT INTO measured.moves SELECT seq, CONCAT('sku-', 1 + seq % 30000), -1, '2026-10-31 12:00:00', 'POS' FROM seq_1_to_20000",
];
const MAPPING: &str = "[[pos]]\nsource = \"pos\"\nkind = \"mysql\"\naddress = \"x\"\nuser = \"shopsmart\"\npassword_file = \"x\"\ndatabase = \"x\"
changes = \"SELECT ID AS `key`, CODE AS item, UNITS AS quantity, AT AS at, WHAT AS what FROM moves\"
on_hand = \"SELECT CODE AS item, UNITS AS quantity FROM stock\"
kinds = [{ starts = \"*\", kind = \"sale\" }]
";

#[test]
#[ignore = "a measurement"]
fn by_polling() {
    println!("{}", measure(&Server::start(), ""));
}

#[test]
#[ignore = "a measurement"]
fn by_the_log() {
    println!("{}", measure(&Server::logging(), "[pos.log]\ntable = \"moves\"\nkey = \"ID\"\n"));
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn measure(server: &Server, log: &str) -> String {
    let mut root = server.connect("");
    let began = Instant::now();
    for statement in SCHEMA {
        root.query_drop(statement).unwrap();
    }
    server.reader("measured", !log.is_empty());
    let made = began.elapsed();
    let config = adapted(MAPPING, server, "measured", "") + "\n" + log;
    let began = Instant::now();
    let shop = Shop::prepared(&config, Patience::default(), with_password);
    let source = || shop.get("/v1/sources").json()["sources"][0].clone();
    patiently("everything is imported", || source()["cursor"] == "20000;");
    let imported = began.elapsed();
    if !log.is_empty() {
        patiently("the log is followed", || source()["log"]["followed"] == true);
    }
    let waits = latency(&shop, &mut server.connect("measured"));
    patiently("the rounds after the writes are over", || source()["gaps_open"] == 0);
    std::thread::sleep(Duration::from_secs(10));
    let before = cpu_ticks(server);
    std::thread::sleep(Duration::from_secs(30));
    let at_rest = (cpu_ticks(server) - before) / 30.0;
    format!(
        "making the POS's tables: {made:?}
first import of 30,000 items, with the agent's start: {imported:?}
POS commit to recorded: p50 {:?}, p99 {:?}, max {:?}
the server at rest beside an agent that remembers 20,000 rows: {at_rest:.2} % of a core",
        waits[99], waits[197], waits[199]
    )
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn latency(shop: &Shop, pos: &mut Conn) -> Vec<Duration> {
    let mut waits: Vec<Duration> = Vec::new();
    for number in 0..200 {
        std::thread::sleep(Duration::from_millis(37 * (number % 13)));
        pos.query_drop(
            "INSERT INTO moves (CODE, UNITS, AT, WHAT) VALUES ('sku-1', -1, '2026-10-31 12:00:00', 'POS')",
        )
        .unwrap();
        let written = Instant::now();
        let wanted = (9 - i64::try_from(number).unwrap()).to_string();
        while shop.on_hand("sku-1") != wanted {
            std::thread::sleep(Duration::from_millis(2));
        }
        waits.push(written.elapsed());
    }
    waits.sort_unstable();
    waits
}

/// In hundredths of a second, which are what Linux counts in.
fn cpu_ticks(server: &Server) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}
