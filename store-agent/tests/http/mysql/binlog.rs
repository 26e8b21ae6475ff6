//! The binary log of a real MariaDB: followed from the moment it may be, and nothing lost where it may not.

use super::{Go, Server, adapted, has, in_trouble, patiently, with_password};
use crate::process::command;
use crate::shop::Shop;
use mysql::prelude::Queryable;
use mysql::{BinlogRequest, Conn, Row};
use store_agent::http::listener::Patience;

pub const MOVES: &str = "[[pos]]\nsource = \"pos\"\nkind = \"mysql\"\naddress = \"x\"\nuser = \"shopsmart\"\npassword_file = \"x\"\ndatabase = \"x\"
changes = \"SELECT ID AS `key`, CODE AS item, UNITS AS quantity, AT AS at, WHAT AS what FROM moves\"
kinds = [{ starts = \"*\", kind = \"adjustment\" }]
[pos.log]
table = \"moves\"
key = \"ID\"
";
/// Twenty rows of each of a hundred items.
const SHOP: [&str; 5] = [
    "CREATE DATABASE shop",
    "USE shop",
    "CREATE TABLE shop.moves (ID INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, CODE VARCHAR(64), UNITS DECIMAL(15,3), AT DATETIME, WHAT VARCHAR(64))",
    "INSERT INTO shop.moves SELECT seq, CONCAT('sku-', 1 + seq % 100), 1, '2026-10-31 12:00:00', 'counted in' FROM seq_1_to_2000",
    "CREATE TABLE shop.talk (ID INT AUTO_INCREMENT PRIMARY KEY, TEXT LONGTEXT)",
];

fn source(shop: &Shop) -> serde_json::Value {
    shop.get("/v1/sources").json()["sources"][0].clone()
}

fn is_followed(shop: &Shop) -> bool {
    source(shop)["log"]["followed"] == true
}

fn reason(shop: &Shop) -> String {
    source(shop)["log"]["reason"].as_str().unwrap_or_default().to_owned()
}

fn by_log(shop: &Shop) -> u64 {
    source(shop)["counts"]["by_log"].as_u64().unwrap()
}

/// An agent beside a shop that has been read.
fn beside(server: &Server, may_log: bool) -> (Shop, Conn) {
    let mut root = server.connect("");
    for statement in SHOP {
        root.query_drop(statement).unwrap();
    }
    server.reader("shop", may_log);
    let config = adapted(MOVES, server, "shop", "");
    let shop = Shop::prepared(&config, Patience::default(), with_password);
    patiently("the shop is read", || source(&shop)["cursor"] == "2000;");
    (shop, server.connect("shop"))
}

/// An agent that follows the log, and has nothing left to go over.
fn listening(server: &Server) -> (Shop, Conn) {
    let (shop, pos) = beside(server, true);
    at_rest(server, &shop);
    (shop, pos)
}

/// The log is followed, and for a second the POS is asked for nothing at all.
fn at_rest(server: &Server, shop: &Shop) {
    patiently("the log is followed", || is_followed(shop));
    let mut root = server.connect("");
    let mut asked = || -> Vec<String> {
        let sql = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_select', 'Com_begin')";
        root.query_map(sql, |(_, count): (String, String)| count).unwrap()
    };
    patiently("at rest nothing is asked of the POS", || {
        let before = asked();
        std::thread::sleep(std::time::Duration::from_secs(1));
        asked() == before
    });
}

#[test]
fn a_pos_in_trouble_is_followed_by_its_log_while_the_agent_is_killed() {
    let server = Server::logging();
    let log = "\n[pos.log]\ntable = \"ospos_inventory\"\nkey = \"trans_id\"\n";
    let more = "reconcile_every_s = 1\n";
    for (database, seed) in [("at_full_speed", None), ("with_pauses", Some(7))] {
        println!(
            "{}",
            in_trouble(&server, &Go { database, seed, is_truth: true, has_texts: false, more, log })
        );
    }
}

#[test]
fn old_rows_are_corrected_as_soon_as_the_log_names_them() {
    let server = Server::logging();
    let (shop, mut pos) = listening(&server);
    let mut named = by_log(&shop);
    for (sql, wanted) in [
        ("UPDATE moves SET UNITS = 5 WHERE ID = 100", "24"),
        ("DELETE FROM moves WHERE ID = 200", "23"),
        // Only the key and what was changed stand in the log now.
        ("SET SESSION binlog_row_image = MINIMAL", "23"),
        ("UPDATE moves SET UNITS = 6 WHERE ID = 100", "24"),
        ("DELETE FROM moves WHERE ID = 300", "23"),
        ("UPDATE moves SET ID = 3000 WHERE ID = 400", "23"),
    ] {
        pos.query_drop(sql).unwrap();
        if !sql.starts_with("SET") {
            patiently(&format!("named by the log: {sql}"), || by_log(&shop) > named);
            named = by_log(&shop);
        }
        has(&shop, "sku-1", wanted);
    }
    assert_eq!(source(&shop)["cursor"].as_str().unwrap().split(';').next(), Some("3000"));
    pos.query_drop(
        "INSERT INTO moves SELECT NULL, 'sku-2', 1, '2026-10-31 12:00:00', 'in' FROM seq_1_to_3000",
    )
    .unwrap();
    has(&shop, "sku-2", "3020");
    pos.query_drop("UPDATE moves SET UNITS = 2 WHERE CODE = 'sku-2'").unwrap();
    has(&shop, "sku-2", "6040");
    assert!(is_followed(&shop));
}

#[test]
fn what_the_log_does_not_name_is_gone_over() {
    let server = Server::logging();
    let (shop, mut pos) = listening(&server);
    pos.query_drop("SET SESSION binlog_format = STATEMENT").unwrap();
    pos.query_drop("UPDATE moves SET UNITS = 5 WHERE ID = 100").unwrap();
    has(&shop, "sku-1", "24");
    pos.query_drop("SET SESSION binlog_format = ROW").unwrap();
    // A transaction with more keys than are kept, and an event as long as the server allows.
    let named = by_log(&shop);
    pos.query_drop("INSERT INTO talk (TEXT) VALUES (REPEAT('x', 15000000))").unwrap();
    pos.query_drop("UPDATE moves SET UNITS = UNITS + 1").unwrap();
    has(&shop, "sku-1", "44");
    has(&shop, "sku-7", "40");
    assert!(by_log(&shop) > named, "{}", source(&shop));
    assert!(is_followed(&shop));
    pos.query_drop("TRUNCATE moves").unwrap();
    patiently("the emptied ledger is taken for archived", || {
        source(&shop)["last_set_aside"].as_str().unwrap_or_default().contains("archived")
    });
    assert_eq!(shop.on_hand("sku-1"), "44");
}

#[test]
fn a_column_before_the_key_moves_it_and_rows_are_named_all_the_same() {
    let server = Server::logging();
    let (shop, mut pos) = listening(&server);
    pos.query_drop("ALTER TABLE moves ADD COLUMN TILL INT NOT NULL DEFAULT 77 FIRST, ADD COLUMN NOTE VARCHAR(300) AFTER TILL").unwrap();
    patiently("the change is seen", || source(&shop)["state"] == "schema_changed");
    let accepted = command(&["pos", "accept", "pos", "--config", "agent.toml"], shop.folder.path());
    assert!(accepted.status.success(), "{accepted:?}");
    patiently("it is read again", || source(&shop)["state"] == "reading");
    at_rest(&server, &shop);
    let named = by_log(&shop);
    pos.query_drop("UPDATE moves SET UNITS = 5, NOTE = 'x' WHERE ID = 100").unwrap();
    patiently("the row is named", || by_log(&shop) == named + 1);
    has(&shop, "sku-1", "24");
}

#[test]
fn a_log_that_is_rotated_purged_or_gone_for_a_while_is_followed_again() {
    let mut server = Server::logging();
    let (shop, mut pos) = listening(&server);
    pos.query_drop("FLUSH BINARY LOGS").unwrap();
    let newest: Row = pos.query_first("SHOW MASTER STATUS").unwrap().unwrap();
    let newest: String = newest.get(0).unwrap();
    pos.query_drop("FLUSH BINARY LOGS").unwrap();
    // The server keeps a file that somebody still reads, or that it may need itself until the next commit is on the disk.
    patiently("the old files are gone", || {
        pos.query_drop("INSERT INTO talk (TEXT) VALUES ('x')").unwrap();
        pos.query_drop(format!("PURGE BINARY LOGS TO '{newest}'")).unwrap();
        let files: Vec<Row> = pos.query("SHOW BINARY LOGS").unwrap();
        files.iter().all(|file| file.get::<String, _>(0).unwrap() >= newest)
    });
    let named = by_log(&shop);
    pos.query_drop("UPDATE moves SET UNITS = 5 WHERE ID = 100").unwrap();
    patiently("the row is named", || by_log(&shop) > named);
    has(&shop, "sku-1", "24");
    drop(pos);
    server.stop();
    patiently("the trouble is shown", || source(&shop)["state"] == "failing");
    server.restart();
    let mut pos = server.connect("shop");
    pos.query_drop("UPDATE moves SET UNITS = 6 WHERE ID = 100").unwrap();
    has(&shop, "sku-1", "25");
    at_rest(&server, &shop);
    let named = by_log(&shop);
    pos.query_drop("DELETE FROM moves WHERE ID = 100").unwrap();
    patiently("the row is named", || by_log(&shop) > named);
    has(&shop, "sku-1", "19");
}

#[test]
fn without_the_log_it_is_polled_and_said_what_is_missing() {
    let server = Server::logging();
    let (shop, mut pos) = beside(&server, false);
    patiently("the right is missed", || reason(&shop).contains("GRANT REPLICATION SLAVE"));
    pos.query_drop("INSERT INTO moves VALUES (NULL, 'sku-1', 1, '2026-10-31 12:00:00', 'in')").unwrap();
    has(&shop, "sku-1", "21");
    let check = || {
        let said = command(&["pos", "check", "--config", "agent.toml"], shop.folder.path());
        String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
    };
    assert!(check().contains("GRANT REPLICATION SLAVE"), "{}", check());
    server.grant_log();
    patiently("it is followed once it may be", || is_followed(&shop));
    assert!(!check().contains("GRANT"), "{}", check());
    assert_eq!(source(&shop)["state"], "reading");
    let mut root = server.connect("");
    root.query_drop("SET GLOBAL binlog_format = MIXED").unwrap();
    assert!(check().contains("binlog_format = ROW"), "{}", check());
    drop(shop);
    let server = Server::start();
    let (shop, _pos) = beside(&server, true);
    patiently("the log is missed", || reason(&shop).contains("log_bin"));
    assert_eq!(source(&shop)["state"], "reading");
}

#[test]
fn another_reader_by_our_number_makes_us_take_another() {
    let server = Server::logging();
    let (shop, mut pos) = listening(&server);
    let mut root = server.connect("");
    let mut numbers = || -> Vec<u32> {
        let hosts: Vec<Row> = root.query("SHOW SLAVE HOSTS").unwrap();
        hosts.iter().map(|row| row.get(0).unwrap()).collect()
    };
    let ours = numbers()[0];
    assert!(ours > 1 << 31);
    // A replica of the POS that is thrown out comes back at once, and must not be thrown out again.
    let mut replica = server
        .connect("")
        .get_binlog_stream(BinlogRequest::new(ours).with_filename(&b""[..]).with_pos(4_u64))
        .unwrap();
    assert!(replica.next().unwrap().is_ok());
    patiently("we come by another number", || numbers().iter().any(|number| *number != ours));
    patiently("the log is followed again", || is_followed(&shop));
    pos.query_drop("UPDATE moves SET UNITS = 5 WHERE ID = 100").unwrap();
    has(&shop, "sku-1", "24");
    let is_there = replica
        .by_ref()
        .take(10_000)
        .map(|event| event.unwrap())
        .any(|event| event.data().windows(5).any(|at| at == b"moves"));
    assert!(is_there, "the replica reads on");
}
