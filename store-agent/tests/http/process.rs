//! The program itself: its commands, its signals, its files.

use crate::client::Request;
use crate::files;
use crate::reading;
use crate::shop::{ANY, SALE, TILL_3, furnish, until};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_store-agent");

/// The program, called in this folder.
pub fn command(arguments: &[&str], folder: &Path) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running program; killed if a test fails.
pub struct Daemon(Child);

impl Daemon {
    pub fn start(folder: &Path) -> Daemon {
        let child = Command::new(PROGRAM)
            .args(["run", "--config", "agent.toml"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Daemon(child)
    }

    pub fn wait(&mut self) {
        self.0.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address(folder: &Path) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(folder.join("data/addresses.json")).ok()?;
    let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
    Some(addresses["http"].as_str().unwrap().parse().unwrap())
}

pub fn listening(folder: &Path) -> SocketAddr {
    until("the agent listens", || {
        address(folder).is_some_and(|address| std::net::TcpStream::connect(address).is_ok())
    });
    address(folder).unwrap()
}

fn report(to: SocketAddr) -> u16 {
    let body = SALE.as_bytes().to_vec();
    Request { method: "POST", path: "/v1/movements", token: Some(TILL_3), headers: Vec::new(), body }
        .send(to)
        .status
}

#[test]
fn a_terminated_agent_stops_cleanly_and_starts_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path(), "");
    for (signal, status) in [("-TERM", 201), ("-INT", 200)] {
        let mut daemon = Daemon::start(folder.path());
        assert_eq!(report(listening(folder.path())), status);
        daemon.signal(signal);
        assert!(daemon.0.wait().unwrap().success(), "{signal}");
        std::fs::remove_file(folder.path().join("data/addresses.json")).unwrap();
    }
    assert!(!folder.path().join("data/agent.db-wal").exists(), "the log was folded in");
    let db = rusqlite::Connection::open(folder.path().join("data/agent.db")).unwrap();
    let clean: bool = db.query_row("SELECT stopped_cleanly FROM agent", [], |row| row.get(0)).unwrap();
    assert!(clean);
}

#[test]
fn a_killed_agent_has_everything_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path(), "");
    {
        let daemon = Daemon::start(folder.path());
        assert_eq!(report(listening(folder.path())), 201);
        daemon.signal("-KILL");
    }
    std::fs::remove_file(folder.path().join("data/addresses.json")).unwrap();
    let _daemon = Daemon::start(folder.path());
    assert_eq!(report(listening(folder.path())), 200, "it is there already");
}

#[test]
fn an_agent_killed_while_the_pos_writes_misses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path(), &reading::config());
    let pos = folder.path().join("pos.db");
    reading::prepared(&pos);
    let stop = AtomicBool::new(false);
    let mut daemon = Daemon::start(folder.path());
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| reading::writing(&pos, &stop, 20));
        for round in 0..15u64 {
            // From before the first import to well after it.
            std::thread::sleep(Duration::from_millis(30 + round * 67 % 400));
            daemon.signal("-KILL");
            daemon.0.wait().unwrap();
            let _ = std::fs::remove_file(folder.path().join("data/addresses.json"));
            daemon = Daemon::start(folder.path());
        }
        listening(folder.path());
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(written > 0);
    let to = listening(folder.path());
    let get = |path: &str| {
        Request { method: "GET", path, token: Some(ANY), headers: Vec::new(), body: Vec::new() }
            .send(to)
            .json()
    };
    reading::agree(&pos, |item| get(&format!("/v1/items/{item}"))["on_hand"].to_string(), 20);
    let source = &get("/v1/sources")["sources"][0];
    assert_eq!(
        (&source["counts"]["set_aside"], &source["counts"]["conflicts"]),
        (&0.into(), &0.into()),
        "{source}"
    );
}

#[test]
fn an_agent_killed_while_files_arrive_misses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path(), &files::config());
    files::prepared(folder.path());
    let stop = AtomicBool::new(false);
    let mut daemon = Daemon::start(folder.path());
    let sold = std::thread::scope(|scope| {
        let writer = scope.spawn(|| files::arriving(folder.path(), &stop, 20));
        for round in 0..15u64 {
            std::thread::sleep(Duration::from_millis(30 + round * 67 % 400));
            daemon.signal("-KILL");
            daemon.0.wait().unwrap();
            let _ = std::fs::remove_file(folder.path().join("data/addresses.json"));
            daemon = Daemon::start(folder.path());
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let to = listening(folder.path());
    let get = |path: &str| {
        Request { method: "GET", path, token: Some(ANY), headers: Vec::new(), body: Vec::new() }
            .send(to)
            .json()
    };
    files::agree(&sold, |item| get(&format!("/v1/items/{item}"))["on_hand"].to_string());
    for source in get("/v1/sources")["sources"].as_array().unwrap() {
        let counts = (&source["counts"]["set_aside"], &source["counts"]["conflicts"]);
        assert_eq!(counts, (&0.into(), &0.into()), "{source}");
    }
    let left = |name: &str| {
        let entries = std::fs::read_dir(folder.path().join(name)).unwrap();
        entries
            .filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
            .count()
    };
    until("every file has been taken", || left("csv") + left("poslog") == 0);
}

#[test]
fn hang_up_reads_the_tokens_again_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path(), "");
    let daemon = Daemon::start(folder.path());
    let to = listening(folder.path());
    daemon.signal("-HUP");
    let request =
        Request { method: "GET", path: "/v1/sync", token: Some(ANY), headers: Vec::new(), body: Vec::new() };
    assert_eq!(request.send(to).status, 200);
}

#[test]
fn check_config_says_yes_or_where_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    furnish(folder.path(), "");
    let good = command(&["check-config", "--config", "agent.toml"], folder.path());
    assert!(good.status.success() && text(&good.stdout).contains("S0001"), "{good:?}");
    furnish(folder.path(), "lissten = 3");
    let bad = command(&["check-config", "--config", "agent.toml"], folder.path());
    assert!(!bad.status.success());
    let said = text(&bad.stderr);
    assert!(said.contains("agent.toml, line 5, key `http.lissten`") && said.contains("`listen`"), "{said}");
}

#[test]
fn a_hub_without_its_certificates_shows_in_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let hub = "[hub]\naddress = \"localhost:1\"\nca_file = \"ca.pem\"\ncertificate_file = \"store.pem\"\nkey_file = \"store.key\"";
    furnish(folder.path(), hub);
    let bad = command(&["check-config", "--config", "agent.toml"], folder.path());
    assert!(!bad.status.success() && text(&bad.stderr).contains("ca.pem"), "{}", text(&bad.stderr));
    // The tills come first: the agent runs all the same, and says what is wrong.
    let _daemon = Daemon::start(folder.path());
    let to = listening(folder.path());
    assert_eq!(report(to), 201);
    until("the link's trouble is shown", || {
        let request = Request {
            method: "GET",
            path: "/v1/sync",
            token: Some(ANY),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let reason =
            request.send(to).json()["last_link_error"]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("ca.pem")
    });
}

#[test]
fn version_goes_to_standard_output() {
    let said = command(&["version"], Path::new("/"));
    assert_eq!(text(&said.stdout), format!("store-agent {}\n", env!("CARGO_PKG_VERSION")));
}
