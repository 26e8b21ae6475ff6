//! A real MariaDB beside a running agent: what a POS in trouble did is done again, by as many connections, and the agent is killed
//! while it reads.

use crate::client::Request;
use crate::process::{Daemon, listening};
use crate::shop::{ANY, furnish, until};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const PRESET: &str = include_str!("../../presets/opensourcepos.toml");

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
            .args(["--no-defaults", "--user=root", "--skip-test-db", "--auth-root-authentication-method=socket"])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let child = Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--skip-networking", "--innodb-buffer-pool-size=32M"])
            .args(["--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=8M"])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.path().join("sock").display()))
            .arg(format!("--pid-file={}", folder.path().join("pid").display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { folder, child };
        until("the server takes connections", || server.try_connect("", "root").is_ok());
        server
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
    fn reader(&self, database: &str, password: &str) {
        let mut root = self.connect("");
        root.query_drop(format!("CREATE OR REPLACE USER 'shopsmart'@'localhost' IDENTIFIED BY '{password}'"))
            .unwrap();
        root.query_drop(format!("GRANT SELECT ON {database}.* TO 'shopsmart'@'localhost'")).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    println!("skipped: {} is not there", folder.display());
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
        if let Some(dice) = &mut dice {
            if dice.below(40) == 0 {
                std::thread::sleep(Duration::from_millis(dice.below(60)));
            }
        }
    }
}

fn config(server: &Server, database: &str, more: &str) -> String {
    PRESET
        .replace("address = \"localhost:3306\"", &format!("socket = \"{}\"", server.socket().display()))
        .replace("database = \"ospos\"", &format!("database = \"{database}\"\n{more}"))
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

/// What the POS has in the end.
fn expected(folder: &Path) -> BTreeMap<u64, i64> {
    let text = std::fs::read_to_string(folder.join("expected_final_stock.json")).unwrap();
    let items: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let figure = |of: &serde_json::Value| {
        let figure = of["on_hand_item_quantities"].as_str().unwrap().replace('.', "");
        (of["gtin"].as_str().unwrap().parse().unwrap(), figure.parse().unwrap())
    };
    items.iter().map(figure).collect()
}

fn differing(folder: &Path, wanted: &BTreeMap<u64, i64>) -> usize {
    let found = on_hand(folder);
    wanted.iter().filter(|(code, figure)| found.get(code).copied().unwrap_or(0) != **figure).count()
}

#[test]
fn a_pos_in_trouble_is_read_row_by_row_while_the_agent_is_killed() {
    let Some(data) = recorded() else { return };
    let text = String::from_utf8(unzipped(&data.join("scenario_writes.jsonl.gz"))).unwrap();
    let writes: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted = expected(&data);
    let server = Server::start();
    for (database, seed) in [("at_full_speed", None), ("with_pauses", Some(7))] {
        server.load(database, &data.join("initial_full_schema_and_seed.sql.gz"));
        server.reader(database, "only-for-reading");
        let folder = tempfile::tempdir().unwrap();
        let more = "poll_every_ms = 50\nreconcile_every_s = 1\n";
        furnish(folder.path(), &config(&server, database, more));
        std::fs::write(folder.path().join("ospos.password"), "only-for-reading\n").unwrap();
        let is_over = AtomicBool::new(false);
        let mut daemon = Daemon::start(folder.path());
        listening(folder.path());
        let mut kills = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                replay(&server, database, &writes, seed.map(Dice));
                is_over.store(true, Ordering::Relaxed);
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
        until(&format!("{database}: every figure is the POS's"), || differing(folder.path(), &wanted) == 0);
        let (kept, rows) = (references(folder.path()), ledger(&server, database));
        let counted = |key: &str| kept.iter().filter(|reference| *reference == key).count();
        let missing: Vec<_> = rows.iter().filter(|key| counted(key) != 1).collect();
        assert!(missing.is_empty(), "{database}: not recorded once: {missing:?}");
        let source = &ask(folder.path(), "/v1/sources")["sources"][0];
        assert_eq!(source["state"], "reading", "{source}");
        println!(
            "{database}: {} items agree, {} rows of the ledger each recorded once, the agent killed {kills} times",
            wanted.len(),
            rows.len()
        );
    }
}

fn ledger(server: &Server, database: &str) -> Vec<String> {
    let keys: Vec<i64> = server.connect(database).query("SELECT trans_id FROM ospos_inventory").unwrap();
    keys.iter().map(ToString::to_string).collect()
}
