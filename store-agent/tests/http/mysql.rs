//! A real MariaDB beside a running agent: what a POS in trouble did is done again, by as many connections, and the agent is killed
//! while it reads.

use crate::client::Request;
use crate::process::{Daemon, listening};
use crate::shop::{ANY, Shop, furnish, until};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use store_agent::http::listener::Patience;
use tempfile::TempDir;

const OPENSOURCEPOS: &str = include_str!("../../presets/opensourcepos.toml");
const UNICENTA: &str = include_str!("../../presets/unicenta.toml");
const NEXOPOS: &str = include_str!("../../presets/nexopos.toml");
const ERPNEXT: &str = include_str!("../../presets/erpnext.toml");
const PASSWORD: &str = "only-for-reading";

/// A server of its own in a folder of its own, without a port; it ends with the test.
struct Server {
    folder: TempDir,
    child: Child,
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let made = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--user=root",
                "--skip-test-db",
                "--auth-root-authentication-method=socket",
            ])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let child = Server::spawn(folder.path());
        let server = Server { folder, child };
        until("the server takes connections", || server.try_connect("", "root").is_ok());
        server
    }

    fn spawn(folder: &Path) -> Child {
        Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--skip-networking", "--innodb-buffer-pool-size=32M"])
            .args(["--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=8M"])
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--socket={}", folder.join("sock").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    fn try_connect(&self, database: &str, user: &str) -> mysql::Result<Conn> {
        let opts = OptsBuilder::new()
            .socket(Some(self.socket().to_string_lossy().into_owned()))
            .user(Some(user))
            .db_name((!database.is_empty()).then_some(database));
        Conn::new(opts)
    }

    fn connect(&self, database: &str) -> Conn {
        self.try_connect(database, "root").unwrap()
    }

    /// A database with what a dump says.
    fn load(&self, database: &str, dump: &Path) {
        self.connect("").query_drop(format!("CREATE DATABASE {database}")).unwrap();
        let text = unzipped(dump);
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "--user=root"])
            .arg(format!("--socket={}", self.socket().display()))
            .arg(database)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut client.stdin.take().unwrap(), &text).unwrap();
        assert!(client.wait().unwrap().success());
    }

    /// Who may read that database and nothing else.
    fn reader(&self, database: &str) {
        let mut root = self.connect("");
        root.query_drop(format!("CREATE OR REPLACE USER 'shopsmart'@'localhost' IDENTIFIED BY '{PASSWORD}'"))
            .unwrap();
        root.query_drop(format!("GRANT SELECT ON {database}.* TO 'shopsmart'@'localhost'")).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn unzipped(file: &Path) -> Vec<u8> {
    let read = Command::new("gzip").arg("-dc").arg(file).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    read.stdout
}

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

#[test]
fn a_pos_in_trouble_is_read_row_by_row_while_the_agent_is_killed() {
    let Some(data) = recorded() else { return };
    let text = String::from_utf8(unzipped(&data.join("scenario_writes.jsonl.gz"))).unwrap();
    let writes: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted = expected(&data);
    let server = Server::start();
    for (database, seed, is_truth) in
        [("at_full_speed", None, true), ("with_pauses", Some(7), true), ("by_its_ledger_alone", None, false)]
    {
        server.load(database, &data.join("initial_full_schema_and_seed.sql.gz"));
        server.reader(database);
        let folder = tempfile::tempdir().unwrap();
        let more = "poll_every_ms = 50\nreconcile_every_s = 1\n";
        let config = adapted(OPENSOURCEPOS, &server, database, more);
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
                replay(&server, database, &writes, seed.map(Dice));
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
        let rows = ledger(&server, database);
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
        let source = &ask(folder.path(), "/v1/sources")["sources"][0];
        assert_eq!(source["state"], "reading", "{source}");
        println!(
            "{database}: {} of {} items agree, {} rows of the ledger each recorded once, the agent killed {kills} times",
            wanted.len() - differing(folder.path(), &wanted),
            wanted.len(),
            rows.len()
        );
    }
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
    beside_polled(server, database, preset, schema, "poll_every_ms = 50\n")
}

fn beside_polled(server: &Server, database: &str, preset: &str, schema: &str, more: &str) -> (Shop, Conn) {
    server.connect("").query_drop(format!("CREATE DATABASE {database}")).unwrap();
    let mut pos = server.connect(database);
    for statement in schema.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        pos.query_drop(statement).unwrap();
    }
    server.reader(database);
    let config = adapted(preset, server, database, more);
    (Shop::prepared(&config, Patience::default(), with_password), pos)
}

fn has(shop: &Shop, sku: &str, on_hand: &str) {
    patiently(&format!("{sku} is {on_hand}"), || shop.on_hand(sku) == on_hand);
}

#[test]
fn presets_read_what_their_systems_write() {
    let server = Server::start();
    // UUIDs for keys; an edited ticket is deleted and written again.
    let (shop, mut pos) = beside(
        &server,
        "unicenta",
        UNICENTA,
        "CREATE TABLE products (ID VARCHAR(255) PRIMARY KEY, REFERENCE VARCHAR(255), CODE VARCHAR(255));
         CREATE TABLE stockcurrent (LOCATION VARCHAR(255), PRODUCT VARCHAR(255), ATTRIBUTESETINSTANCE_ID VARCHAR(255), UNITS DOUBLE NOT NULL);
         INSERT INTO products VALUES ('7d0e', 'm', 'milk'), ('8a11', 'h', 'ham');
         INSERT INTO stockcurrent VALUES ('0', '7d0e', NULL, 10), ('0', '8a11', NULL, 11.079999999999998), ('1', '7d0e', NULL, 99)",
    );
    has(&shop, "milk", "10");
    has(&shop, "ham", "11.08");
    pos.query_drop("UPDATE stockcurrent SET UNITS = UNITS - 3 WHERE PRODUCT = '7d0e' AND LOCATION = '0'")
        .unwrap();
    has(&shop, "milk", "7");
    drop(shop);
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
    server.child = Server::spawn(server.folder.path());
    patiently("the server is back", || server.try_connect("erpnext", "root").is_ok());
    server.connect("erpnext").query_drop("UPDATE `tabBin` SET actual_qty = 49").unwrap();
    has(&shop, "rice", "49");
    let file = shop.folder.path().join("pos.password");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    server.stop();
    server.child = Server::spawn(server.folder.path());
    patiently("a password that everybody may read is not used", || {
        source()["last_error"]["reason"].as_str().unwrap_or_default().contains("chmod 600")
    });
    patiently("the server is back once more", || server.try_connect("erpnext", "root").is_ok());
    let mut reader = server.connect("");
    let rights: Vec<String> = reader.query("SHOW GRANTS FOR 'shopsmart'@'localhost'").unwrap();
    assert!(
        rights.iter().all(|right| right.contains("USAGE") || right.starts_with("GRANT SELECT ON")),
        "{rights:?}"
    );
}

/// How long things take; run with `--ignored --nocapture`. Prints, and asserts the outcome alone.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn figures() {
    let server = Server::start();
    let schema = "CREATE TABLE stock (ID INT PRIMARY KEY, CODE VARCHAR(64), UNITS DECIMAL(15,3) NOT NULL);
        CREATE TABLE moves (ID BIGINT AUTO_INCREMENT PRIMARY KEY, CODE VARCHAR(64), UNITS DECIMAL(15,3), AT DATETIME, WHAT VARCHAR(64));
        INSERT INTO stock SELECT seq, CONCAT('sku-', seq), 10 FROM seq_1_to_30000;
        INSERT INTO moves SELECT seq, CONCAT('sku-', 1 + seq % 30000), -1, '2026-10-31 12:00:00', 'POS' FROM seq_1_to_20000";
    let mapping = "[[pos]]\nsource = \"pos\"\nkind = \"mysql\"\naddress = \"x\"\nuser = \"shopsmart\"\npassword_file = \"x\"\ndatabase = \"x\"
changes = \"SELECT ID AS `key`, CODE AS item, UNITS AS quantity, AT AS at, WHAT AS what FROM moves\"
on_hand = \"SELECT CODE AS item, UNITS AS quantity FROM stock\"
kinds = [{ starts = \"*\", kind = \"sale\" }]";
    let began = Instant::now();
    let (shop, mut pos) = beside_polled(&server, "measured", mapping, schema, "");
    patiently("everything is imported", || {
        shop.get("/v1/sources").json()["sources"][0]["cursor"] == "20000;"
    });
    println!(
        "first import of 30,000 items: {:?} at most, with making the tables and the agent's start",
        began.elapsed()
    );
    let mut waits: Vec<Duration> = Vec::new();
    for number in 0..100 {
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
    println!("POS write to recorded: median {:?}, p99 {:?}, max {:?}", waits[49], waits[98], waits[99]);
    let cpu = || {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", server.child.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    };
    let before = cpu();
    std::thread::sleep(Duration::from_secs(30));
    println!(
        "the server at rest beside an agent that remembers 20,000 rows: {:.2} % of a core",
        (cpu() - before) / 30.0
    );
}

fn ledger(server: &Server, database: &str) -> Vec<String> {
    let keys: Vec<i64> = server.connect(database).query("SELECT trans_id FROM ospos_inventory").unwrap();
    keys.iter().map(ToString::to_string).collect()
}
