//! A store for a test: a folder, a configuration, an agent that runs in this process.

use crate::client::{Reply, Request};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use store_agent::config::Config;
use store_agent::http::listener::Patience;
use store_agent::runtime::supervisor::Running;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub const TILL_3: &str = "token-of-till-3-0000";
pub const TILL_4: &str = "token-of-till-4-0000";
pub const OFFICE: &str = "token-of-the-office-";
pub const ANY: &str = "token-of-anybody-000";

pub const SALE: &str = r#"{"source":"till-3","reference":"2026-10-31/3/0042","kind":"sale","occurred_at":"2026-10-31T17:03:22-04:00","lines":[{"sku":"4011","quantity":1.235},{"gtin":"00012345678905","quantity":2}]}"#;

/// An impatient listener, so that a test of slowness is short.
pub const IMPATIENT: Patience =
    Patience { header: Duration::from_millis(300), body_pause: Duration::from_millis(300) };

pub struct Shop {
    pub folder: TempDir,
    runtime: Runtime,
    running: Option<Running>,
    patience: Patience,
}

/// Writes a configuration that listens on a free port, and its tokens.
pub fn furnish(folder: &Path, more: &str) {
    let tokens = format!("till-3 {TILL_3}\ntill-4 {TILL_4}\noffice {OFFICE} items\n* {ANY}\n");
    write_tokens(folder, &tokens);
    let config =
        format!("store = \"S0001\"\ndata_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n{more}\n");
    // A page of its own for each, unless the test speaks of the page itself.
    let page = if more.contains("[page]") { "" } else { "[page]\nlisten = \"127.0.0.1:0\"\n" };
    let config = config + page;
    std::fs::write(folder.join("agent.toml"), config).unwrap();
}

pub fn write_tokens(folder: &Path, text: &str) {
    let path = folder.join("tokens");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl Shop {
    pub fn open() -> Shop {
        Shop::open_with("", Patience::default())
    }

    pub fn open_with(config: &str, patience: Patience) -> Shop {
        Shop::prepared(config, patience, |_| {})
    }

    /// `prepare` puts further files into the folder before the agent starts.
    pub fn prepared(config: &str, patience: Patience, prepare: impl FnOnce(&Path)) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        furnish(folder.path(), config);
        prepare(folder.path());
        Shop::begun(folder, patience)
    }

    /// In a folder that has been furnished.
    pub fn in_folder(folder: TempDir) -> Shop {
        Shop::begun(folder, Patience::default())
    }

    fn begun(folder: TempDir, patience: Patience) -> Shop {
        let runtime = Runtime::new().unwrap();
        let mut shop = Shop { folder, runtime, running: None, patience };
        shop.start();
        shop
    }

    pub fn start(&mut self) {
        let config = Config::load(&self.folder.path().join("agent.toml")).unwrap();
        let running = self.runtime.block_on(Running::start_with(config, self.patience)).unwrap();
        self.running = Some(running);
    }

    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop()).unwrap();
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.running().http()
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Reply {
        Request { method, path, token, headers: Vec::new(), body: body.to_vec() }.send(self.address())
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, Some(ANY), b"")
    }

    /// What till 3 reports.
    pub fn report(&self, document: &str) -> Reply {
        self.ask("POST", "/v1/movements", Some(TILL_3), document.as_bytes())
    }

    pub fn batch(&self, lines: &str) -> Reply {
        self.ask("POST", "/v1/movements:batch", Some(ANY), lines.as_bytes())
    }

    pub fn put_items(&self, lines: &str) -> Reply {
        self.ask("PUT", "/v1/items", Some(OFFICE), lines.as_bytes())
    }

    pub fn on_hand(&self, sku: &str) -> String {
        self.get(&format!("/v1/items/{sku}")).json()["on_hand"].to_string()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Waits for a state, never for a time; gives up only where it would never come.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never happened: {what}");
}
