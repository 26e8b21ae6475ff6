//! A real MariaDB beside a running agent: what a POS in trouble did is done again, by as many connections, and the agent is killed
//! while it reads.

mod binlog;
mod figures;
mod server;
mod tls;

use crate::client::Request;
use crate::process::{Daemon, listening};
use crate::shop::{ANY, Shop, furnish};
use mysql::Conn;
use mysql::prelude::Queryable;
use server::{PASSWORD, Server, unzipped};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store_agent::http::listener::Patience;

const OPENSOURCEPOS: &str = include_str!("../../../presets/opensourcepos.toml");
const UNICENTA: &str = include_str!("../../../presets/unicenta.toml");
const NEXOPOS: &str = include_str!("../../../presets/nexopos.toml");
const ERPNEXT: &str = include_str!("../../../presets/erpnext.toml");

/// The recorded shop; `None`, and said so, where it is not at hand.
fn recorded() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/opensourcepos");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: {} is not there", folder.display());
    None
}

/// Small, seeded, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Does all that was done, each statement on the connection that did it. With dice there are pauses.
fn replay(server: &Server, database: &str, writes: &[serde_json::Value], mut dice: Option<Dice>) {
    let mut conns: HashMap<&str, Conn> = HashMap::new();
    for write in writes {
        let name = write["conn"].as_str().unwrap();
        if write["killed"] == true {
            conns.remove(name);
            continue;
        }
        let conn = conns.entry(name).or_insert_with(|| {
            let mut conn = server.connect(database);
            conn.query_drop("SET time_zone = '+00:00', sql_mode = ''").unwrap();
            conn
        });
        let at = write["t"].as_str().unwrap().trim_end_matches('Z').replace('T', " ");
        conn.query_drop(format!("SET timestamp = UNIX_TIMESTAMP('{at}')")).unwrap();
        let sql = write["sql"].as_str().unwrap();
        conn.query_drop(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        if let Some(dice) = &mut dice
            && dice.below(40) == 0
        {
            std::thread::sleep(Duration::from_millis(dice.below(60)));
        }
    }
}

/// A preset as somebody adapts it.
fn adapted(preset: &str, server: &Server, database: &str, more: &str) -> String {
    let adapt = |line: &str| match line.split(" = ").next() {
        Some("address") => format!("socket = \"{}\"", server.socket().display()),
        Some("database") => format!("database = \"{database}\"\n{more}"),
        Some("password_file") => "password_file = \"pos.password\"".to_owned(),
        _ => line.to_owned(),
    };
    preset.lines().map(adapt).collect::<Vec<_>>().join("\n")
}

fn with_password(folder: &Path) {
    let file = folder.join("pos.password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn ask(folder: &Path, path: &str) -> serde_json::Value {
    let to = listening(folder);
    Request { method: "GET", path, token: Some(ANY), headers: Vec::new(), body: Vec::new() }.send(to).json()
}

/// On hand in thousandths by the number of the code, as the agent's own file has it.
fn on_hand(folder: &Path) -> BTreeMap<u64, i64> {
    let db = rusqlite::Connection::open(folder.join("data/agent.db")).unwrap();
    let sql = "SELECT sku, ifnull(total_in, 0) - ifnull(total_out, 0) FROM item LEFT JOIN stock USING (item)";
    let mut query = db.prepare(sql).unwrap();
    let rows = query
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .unwrap()
        .map(Result::unwrap);
    rows.filter_map(|(sku, on_hand)| Some((sku.parse().ok()?, on_hand))).collect()
}

fn references(folder: &Path) -> Vec<String> {
    let db = rusqlite::Connection::open(folder.join("data/agent.db")).unwrap();
    let mut query = db.prepare("SELECT reference FROM document").unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// What the POS has in the end, of everything that it keeps stock of.
fn expected(folder: &Path) -> BTreeMap<u64, i64> {
    let text = std::fs::read_to_string(folder.join("expected_final_stock.json")).unwrap();
    let items: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let figure = |of: &serde_json::Value| {
        let figure = of["on_hand_item_quantities"].as_str()?.replace('.', "");
        Some((of["gtin"].as_str().unwrap().parse().unwrap(), figure.parse().unwrap()))
    };
    items.iter().filter_map(figure).collect()
}

fn differing(folder: &Path, wanted: &BTreeMap<u64, i64>) -> usize {
    let found = on_hand(folder);
    wanted.iter().filter(|(code, figure)| found.get(code).copied().unwrap_or(0) != **figure).count()
}

/// Says that it is over, also where something went wrong.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How one go over the recorded shop differs from another.
struct Go {
    database: &'static str,
    seed: Option<u64>,
    is_truth: bool,
    /// Keys are made texts, as others have them.
    has_texts: bool,
    /// What is said beside the preset; and behind it, of the log.
    more: &'static str,
    log: &'static str,
}

#[test]
fn a_pos_in_trouble_is_read_row_by_row_while_the_agent_is_killed() {
    let server = Server::start();
    let more = "poll_every_ms = 50\nreconcile_every_s = 1\n";
    for (database, seed, is_truth) in
        [("at_full_speed", None, true), ("with_pauses", Some(7), true), ("by_its_ledger_alone", None, false)]
    {
        let go = Go { database, seed, is_truth, has_texts: false, more, log: "" };
        println!("{}", in_trouble(&server, &go));
    }
}

#[test]
fn the_same_pos_with_texts_for_keys_is_read_row_by_row_while_the_agent_is_killed() {
    let server = Server::start();
    let more = "poll_every_ms = 50\nreconcile_every_s = 1\nkey_is = \"text\"\n";
    for (database, seed, is_truth) in [
        ("with_texts", None, true),
        ("with_texts_and_pauses", Some(11), true),
        ("texts_alone", Some(3), false),
    ] {
        let go = Go { database, seed, is_truth, has_texts: true, more, log: "" };
        println!("{}", in_trouble(&server, &go));
    }
}

/// Gives how it came out.
fn in_trouble(server: &Server, go: &Go) -> String {
    let Some(data) = recorded() else { return String::new() };
    let text = String::from_utf8(unzipped(&data.join("scenario_writes.jsonl.gz"))).unwrap();
    let writes: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted = expected(&data);
    let Go { database, seed, is_truth, has_texts, more, log } = *go;
    server.load(database, &data.join("initial_full_schema_and_seed.sql.gz"));
    server.reader(database, !log.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let mut config = adapted(OPENSOURCEPOS, server, database, more) + log;
    if has_texts {
        // What it sets by a count is set by its own figures then.
        config = config
            .replace("SELECT l.trans_id AS", "SELECT SHA1(l.trans_id) AS")
            .replace("kind = \"count\"", "kind = \"adjustment\"");
    }
    furnish(folder.path(), &config.replace("pos_is_truth = true", &format!("pos_is_truth = {is_truth}")));
    with_password(folder.path());
    let is_over = AtomicBool::new(false);
    let mut daemon = Daemon::start(folder.path());
    listening(folder.path());
    // What was written before the first reading would be part of its figures.
    patiently("the empty shop is read", || {
        ask(folder.path(), "/v1/sources")["sources"][0]["cursor"].is_string()
    });
    let mut kills = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _end = End(&is_over);
            replay(server, database, &writes, seed.map(Dice));
        });
        let mut dice = Dice(0x5eed + seed.unwrap_or(0));
        while !is_over.load(Ordering::Relaxed) || kills < 3 {
            std::thread::sleep(Duration::from_millis(300 + dice.below(1_500)));
            daemon.signal("-KILL");
            daemon.wait();
            kills += 1;
            let _ = std::fs::remove_file(folder.path().join("data/addresses.json"));
            daemon = Daemon::start(folder.path());
        }
    });
    listening(folder.path());
    let rows = ledger(server, database, if has_texts { "SHA1(trans_id)" } else { "trans_id" });
    let missing = || {
        let kept = references(folder.path());
        let counted = |key: &str| kept.iter().filter(|reference| *reference == key).count();
        rows.iter().filter(|key| counted(key) != 1).cloned().collect::<Vec<_>>()
    };
    patiently(&format!("{database}: every row is recorded once"), || missing().is_empty());
    if is_truth {
        patiently(&format!("{database}: every figure is the POS's"), || {
            differing(folder.path(), &wanted) == 0
        });
        assert!(missing().is_empty(), "{database}: {:?}", missing());
    }
    patiently(&format!("{database}: it is read, by its log where there is one"), || {
        let source = &ask(folder.path(), "/v1/sources")["sources"][0];
        source["state"] == "reading" && (source["log"]["followed"] == true) != log.is_empty()
    });
    format!(
        "{database}: {} of {} items agree, {} rows of the ledger each recorded once, the agent killed {kills} times",
        wanted.len() - differing(folder.path(), &wanted),
        wanted.len(),
        rows.len()
    )
}

/// Several rounds over all that is remembered, on a busy machine.
fn patiently(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("never happened: {what}");
}

/// A running agent beside a database of our own making, read by a preset.
fn beside(server: &Server, database: &str, preset: &str, schema: &str) -> (Shop, Conn) {
    server.connect("").query_drop(format!("CREATE DATABASE {database}")).unwrap();
    let mut pos = server.connect(database);
    for statement in schema.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        pos.query_drop(statement).unwrap();
    }
    server.reader(database, false);
    let config = adapted(preset, server, database, "poll_every_ms = 50\n");
    (Shop::prepared(&config, Patience::default(), with_password), pos)
}

fn has(shop: &Shop, sku: &str, on_hand: &str) {
    patiently(&format!("{sku} is {on_hand}"), || shop.on_hand(sku) == on_hand);
}

/// UUIDs for keys; an edited ticket is deleted and written again.
fn unicenta(server: &Server) {
    let (mut shop, mut pos) = beside(
        server,
        "unicenta",
        &UNICENTA.replace("America/New_York", "UTC"),
        "CREATE TABLE products (ID VARCHAR(255) PRIMARY KEY, REFERENCE VARCHAR(255), CODE VARCHAR(255));
         CREATE TABLE stockcurrent (LOCATION VARCHAR(255), PRODUCT VARCHAR(255), ATTRIBUTESETINSTANCE_ID VARCHAR(255), UNITS DOUBLE NOT NULL);
         CREATE TABLE stockdiary (ID VARCHAR(255) PRIMARY KEY, DATENEW DATETIME NOT NULL, REASON INTEGER NOT NULL, LOCATION VARCHAR(255) NOT NULL,
             PRODUCT VARCHAR(255) NOT NULL, UNITS DOUBLE NOT NULL, PRICE DOUBLE NOT NULL, KEY STOCKDIARY_INX_1 (DATENEW));
         INSERT INTO products VALUES ('7d0e', 'm', 'milk'), ('8a11', 'h', 'ham');
         INSERT INTO stockdiary VALUES ('old', UTC_TIMESTAMP() - INTERVAL 1 DAY, -1, '0', '7d0e', -4, 1);
         INSERT INTO stockcurrent VALUES ('0', '7d0e', NULL, 10), ('0', '8a11', NULL, 11.079999999999998), ('1', '7d0e', NULL, 99)",
    );
    has(&shop, "milk", "10");
    has(&shop, "ham", "11.08");
    let mut moved = |key: &str, reason: i32, place: &str, units: f64| {
        let mut step = pos.start_transaction(mysql::TxOpts::default()).unwrap();
        let diary = "INSERT INTO stockdiary VALUES (?, UTC_TIMESTAMP(), ?, ?, '7d0e', ?, 1)";
        step.exec_drop(diary, (key, reason, place, units)).unwrap();
        let figure = "UPDATE stockcurrent SET UNITS = UNITS + ? WHERE PRODUCT = '7d0e' AND LOCATION = ?";
        step.exec_drop(figure, (units, place)).unwrap();
        step.commit().unwrap();
    };
    moved("3f1c-0001", -1, "0", -3.0);
    moved("3f1c-0002", -1, "1", -9.0);
    has(&shop, "milk", "7");
    moved("3f1c-0003", 2, "0", 1.0);
    moved("3f1c-0004", -3, "0", -2.0);
    has(&shop, "milk", "6");
    // The ticket is edited: its line is gone, and another stands for it.
    pos.query_drop(
        "START TRANSACTION; DELETE FROM stockdiary WHERE ID = '3f1c-0001';
         INSERT INTO stockdiary VALUES ('3f1c-0005', UTC_TIMESTAMP(), -1, '0', '7d0e', -1, 1);
         UPDATE stockcurrent SET UNITS = UNITS + 2 WHERE PRODUCT = '7d0e' AND LOCATION = '0'; COMMIT",
    )
    .unwrap();
    has(&shop, "milk", "8");
    // Somebody empties the drawer of the past; what is older than some days was put away.
    pos.query_drop("UPDATE stockdiary SET UNITS = UNITS - 1 WHERE ID = 'old'").unwrap();
    has(&shop, "milk", "7");
    let source = || shop.get("/v1/sources").json()["sources"][0].clone();
    assert_eq!(source()["counts"]["corrected"], 2, "{}", source());
    assert_eq!(source()["counts"]["set_aside"], 0, "{}", source());
    shop.stop();
    let kept = references(shop.folder.path());
    let of_rows: Vec<_> = kept.iter().filter(|reference| reference.starts_with("3f1c-")).collect();
    assert_eq!(of_rows.len(), 5, "{kept:?}");
}

#[test]
fn presets_read_what_their_systems_write() {
    let server = Server::start();
    unicenta(&server);
    // The sign is in a word.
    let (shop, mut pos) = beside(
        &server,
        "nexopos",
        NEXOPOS,
        "CREATE TABLE nexopos_products (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, barcode VARCHAR(255), sku VARCHAR(255));
         CREATE TABLE nexopos_products_unit_quantities (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, product_id INT, unit_id INT, quantity DOUBLE(18,5));
         CREATE TABLE nexopos_products_histories (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, product_id INT, operation_type VARCHAR(255),
             unit_id INT, quantity DOUBLE(18,5), before_quantity DOUBLE(18,5), after_quantity DOUBLE(18,5), created_at TIMESTAMP NULL, updated_at TIMESTAMP NULL);
         INSERT INTO nexopos_products VALUES (1, 'tea', 't');
         INSERT INTO nexopos_products_unit_quantities VALUES (1, 1, 1, 20)",
    );
    has(&shop, "tea", "20");
    for (what, quantity, after, wanted) in [
        ("sold", 2.5, 17.5, "17.5"),
        ("returned", 1.0, 18.5, "18.5"),
        ("set", 12.0, 12.0, "12"),
        ("lost", 2.0, 10.0, "10"),
    ] {
        let sql = format!(
            "INSERT INTO nexopos_products_histories (product_id, operation_type, unit_id, quantity, after_quantity, created_at)
             VALUES (1, '{what}', 1, {quantity}, {after}, '2026-10-31 12:00:00')"
        );
        pos.query_drop(sql).unwrap();
        pos.query_drop(format!("UPDATE nexopos_products_unit_quantities SET quantity = {after}")).unwrap();
        has(&shop, "tea", wanted);
    }
    drop(shop);
    // What was sold comes in one lump, dated back.
    let (shop, mut pos) = beside(
        &server,
        "erpnext",
        ERPNEXT,
        "CREATE TABLE `tabBin` (name VARCHAR(140) PRIMARY KEY, item_code VARCHAR(140), warehouse VARCHAR(140), actual_qty DECIMAL(21,9) NOT NULL);
         INSERT INTO `tabBin` VALUES ('a1', 'rice', 'Stores - S', 50.000000000), ('a2', 'rice', 'Transit - S', 7)",
    );
    has(&shop, "rice", "50");
    pos.query_drop("UPDATE `tabBin` SET actual_qty = actual_qty - 12.125 WHERE name = 'a1'").unwrap();
    has(&shop, "rice", "37.875");
}

#[test]
fn a_server_that_goes_away_is_found_again_and_no_password_is_told() {
    let mut server = Server::start();
    let schema = "CREATE TABLE `tabBin` (name VARCHAR(140) PRIMARY KEY, item_code VARCHAR(140), warehouse VARCHAR(140), actual_qty DECIMAL(21,9));
                  INSERT INTO `tabBin` VALUES ('a1', 'rice', 'Stores - S', 50)";
    let (shop, pos) = beside(&server, "erpnext", ERPNEXT, schema);
    has(&shop, "rice", "50");
    drop(pos);
    server.stop();
    let source = || shop.get("/v1/sources").json()["sources"][0].clone();
    patiently("the trouble is shown", || source()["state"] == "failing");
    assert!(!source().to_string().contains(PASSWORD), "{}", source());
    assert_eq!(shop.report(crate::shop::SALE).status, 201, "a till goes on");
    server.restart();
    server.connect("erpnext").query_drop("UPDATE `tabBin` SET actual_qty = 49").unwrap();
    has(&shop, "rice", "49");
    let file = shop.folder.path().join("pos.password");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    server.restart();
    patiently("a password that everybody may read is not used", || {
        source()["last_error"]["reason"].as_str().unwrap_or_default().contains("chmod 600")
    });
    let mut reader = server.connect("");
    let rights: Vec<String> = reader.query("SHOW GRANTS FOR 'shopsmart'@'localhost'").unwrap();
    assert!(
        rights.iter().all(|right| right.contains("USAGE") || right.starts_with("GRANT SELECT ON")),
        "{rights:?}"
    );
}

fn ledger(server: &Server, database: &str, key: &str) -> Vec<String> {
    server.connect(database).query(format!("SELECT CAST({key} AS CHAR) FROM ospos_inventory")).unwrap()
}
