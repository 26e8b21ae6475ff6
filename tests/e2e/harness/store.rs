//! A store of a scene: a real `store-agent` process behind a line of its own, and what its people do.

use super::certificates::Identity;
use super::daemon::{Daemon, binary, write};
use super::disk::Ground;
use super::http::Client;
use super::hub::{Hub, quantity};
use super::installer::Installer;
use super::relay::{HubAddress, Relay};
use super::scene::{Scene, Transport, copy_folder, replace_folder};
use super::till::{Ledger, Till};
use super::wait::{eventually, seconds_ahead};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use sync_protocol::Quantity;

pub const TOKEN: &str = "till-token-of-the-tests";

/// One store's agent.
pub struct Store {
    pub line: Relay,
    id: String,
    folder: PathBuf,
    ground: Ground,
    hub: HubAddress,
    daemon: Option<Daemon>,
    http: Arc<Mutex<SocketAddr>>,
    references: AtomicU32,
    /// How far its clock is ahead, in seconds.
    clock_ahead: i64,
}

impl Store {
    /// A store the hub knows, with a certificate, running.
    pub fn open(scene: &Scene, hub: &Hub, id: &str) -> Store {
        Store::open_on(scene, hub, id, Ground::Machine)
    }

    pub fn open_on(scene: &Scene, hub: &Hub, id: &str, ground: Ground) -> Store {
        let place =
            ["--id", id, "--name", id, "--lat", "40.7", "--lon", "-74.0", "--timezone", "America/New_York"];
        hub.run(&["store", "add"], &place);
        let folder = scene.join(id);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let out = folder.to_str().expect("a folder's name is text");
        hub.run(&["store", "certificate"], &["--offline", "--id", id, "--out", out]);
        Store::in_folder(id, folder, ground, hub.addresses(), scene.transport())
    }

    /// A store that has enrolled itself, running, and the installer on its server.
    pub fn enrolled(scene: &Scene, hub: &Hub, id: &str) -> (Store, Installer) {
        let place =
            ["--id", id, "--name", id, "--lat", "40.7", "--lon", "-74.0", "--timezone", "America/New_York"];
        hub.run(&["store", "add"], &place);
        let folder = scene.join(id);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let authority = hub.data().join("pki/ca.pem");
        let installer = Installer::new(hub.enrolment_address(), authority, folder.clone());
        installer.enrol(&hub.token(id));
        let store = Store::in_folder(id, folder, Ground::Machine, hub.addresses(), scene.transport());
        (store, installer)
    }

    fn in_folder(id: &str, folder: PathBuf, ground: Ground, hub: HubAddress, transport: Transport) -> Store {
        let line = Relay::to(Arc::clone(&hub));
        write(&folder.join("agent.toml"), &config(id, &line, transport));
        write(&folder.join("tokens"), &format!("# every till of the tests\n* {TOKEN}\n"));
        let nowhere = Arc::new(Mutex::new(([127, 0, 0, 1], 9).into()));
        let (id, references) = (id.to_owned(), AtomicU32::new(0));
        let mut store =
            Store { line, id, folder, ground, hub, daemon: None, http: nowhere, references, clock_ahead: 0 };
        store.start();
        store
    }

    /// A second machine with a copy of this stopped store's disk and the same certificate, running.
    pub fn cloned(&self, scene: &Scene, name: &str) -> Store {
        assert!(self.daemon.is_none(), "only a stopped agent is copied");
        let folder = scene.join(name);
        copy_folder(&self.folder, &folder);
        let clone =
            Store::in_folder(&self.id, folder, Ground::Machine, Arc::clone(&self.hub), scene.transport());
        // References of the two never meet by accident.
        clone.references.store(1_000_000, Ordering::Relaxed);
        clone
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn start(&mut self) {
        let addresses = self.ground.seen(&self.data().join("addresses.json"));
        let _ = fs::remove_file(&addresses);
        let mut daemon = Daemon::start(&self.id, self.command("run"), &self.folder.join("agent.log"));
        *self.http.lock().unwrap_or_else(PoisonError::into_inner) = daemon.address(&addresses, "http");
        self.daemon = Some(daemon);
    }

    pub fn stop(&mut self) {
        self.process().stop();
        self.daemon = None;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process().kill();
        self.daemon = None;
    }

    /// Runs `store-agent run` in the foreground: for starts that must fail.
    pub fn try_start(&self) -> Output {
        self.command("run").output().expect("a built binary starts")
    }

    pub fn back_up(&self, name: &str) {
        assert!(self.daemon.is_none(), "only a stopped agent is backed up by copying");
        copy_folder(&self.data(), &self.folder.join(name));
    }

    pub fn restore(&self, name: &str) {
        assert!(self.daemon.is_none(), "only a stopped agent is restored");
        replace_folder(&self.folder.join(name), &self.data());
    }

    pub fn lose_disk(&self) {
        assert!(self.daemon.is_none(), "a running agent holds its disk");
        fs::remove_dir_all(self.data()).expect("the data can be removed");
    }

    pub fn receive(&self, sku: &str, quantity: &str) {
        self.record("receipt", sku, quantity);
    }

    pub fn sell(&self, sku: &str, quantity: &str) {
        self.record("sale", sku, quantity);
    }

    /// A document of one line with a fresh reference, which must be taken as new.
    #[track_caller]
    fn record(&self, kind: &str, sku: &str, quantity: &str) {
        let reference = format!("script-{}", self.references.fetch_add(1, Ordering::Relaxed));
        let reply = self.client().post("/v1/movements", &document(kind, &reference, sku, quantity));
        reply.expect("the agent answers").expect(201);
    }

    /// Sends the document of an earlier [`Store::sell`] or [`Store::receive`] again, as a till does that missed the answer.
    pub fn send_again(&self, kind: &str, number: u32, sku: &str, quantity: &str) -> super::http::Reply {
        let body = document(kind, &format!("script-{number}"), sku, quantity);
        self.client().post("/v1/movements", &body).expect("the agent answers")
    }

    pub fn on_hand(&self, sku: &str) -> Quantity {
        self.item(sku).unwrap_or_else(|error| panic!("{}: {error}", self.id))
    }

    #[track_caller]
    pub fn has(&self, sku: &str, wanted: &str) {
        let wanted: Quantity = wanted.parse().expect("a quantity");
        eventually(&format!("{} to have {wanted} of {sku}", self.id), || {
            let found = self.item(sku)?;
            if found == wanted { Ok(()) } else { Err(found.to_string()) }
        });
    }

    fn item(&self, sku: &str) -> Result<Quantity, String> {
        let reply = self.client().get(&format!("/v1/items/{sku}")).map_err(|error| error.to_string())?;
        if reply.status != 200 {
            return Err(format!("{reply:?}"));
        }
        quantity(&reply.json()["on_hand"]).ok_or_else(|| format!("{reply:?}"))
    }

    /// Waits until the hub has everything this store recorded.
    #[track_caller]
    pub fn is_synced(&self) {
        eventually(&format!("the hub to have everything of {}", self.id), || {
            let reply = self.client().get("/v1/sync").map_err(|error| error.to_string())?;
            let sync = reply.json();
            if is_connected(&sync) && sync["caught_up"] == true { Ok(()) } else { Err(sync.to_string()) }
        });
    }

    /// Waits until the agent speaks with the hub over `transport`.
    #[track_caller]
    pub fn speaks_over(&self, transport: Transport) {
        eventually(&format!("{} to speak over {}", self.id, transport.name()), || {
            let sync = self.sync();
            let so = is_connected(&sync) && sync["transport"] == transport.name();
            if so { Ok(()) } else { Err(sync.to_string()) }
        });
    }

    /// What the agent says of its link.
    pub fn sync(&self) -> Value {
        self.client().get("/v1/sync").expect("the agent answers").json()
    }

    /// How far the hub has confirmed this store's changes, as far as the agent has heard.
    pub fn confirmed(&self) -> u64 {
        let sync = self.client().get("/v1/sync").expect("the agent answers").json();
        sync["marks"]["state_acked"].as_u64().expect("a mark is a number")
    }

    /// Waits until the hub has confirmed more than `before`: it is there, and it listens.
    #[track_caller]
    pub fn is_heard_beyond(&self, before: u64) {
        eventually(&format!("the hub to confirm something new of {}", self.id), || {
            let confirmed = self.confirmed();
            if confirmed > before { Ok(()) } else { Err(confirmed) }
        });
    }

    pub fn client(&self) -> Client {
        Client::new(*self.http.lock().unwrap_or_else(PoisonError::into_inner), TOKEN)
    }

    /// Where browsers reach the store's page.
    pub fn page(&self) -> SocketAddr {
        let file = self.ground.seen(&self.data().join("addresses.json"));
        let text = fs::read_to_string(file).expect("a running agent has said where it listens");
        let addresses: Value = serde_json::from_str(&text).expect("addresses are JSON");
        addresses["page"].as_str().and_then(|text| text.parse().ok()).expect("the page is open")
    }

    /// Starts the agent anew with its page on this port, where it will be after each further start.
    pub fn page_stays_on(&mut self, port: u16) {
        self.page_is(&format!("listen = \"127.0.0.1:{port}\""));
    }

    /// Starts the agent anew with these lines about its page.
    pub fn page_is(&mut self, lines: &str) {
        self.stop();
        let file = self.folder.join("agent.toml");
        let text = fs::read_to_string(&file).expect("the configuration can be read");
        write(&file, &text.replace("[page]\nlisten = \"127.0.0.1:0\"", &format!("[page]\n{lines}")));
        self.start();
    }

    /// Starts the agent anew with a clock that is off by so many seconds. What measures spans of time goes right.
    pub fn clock_is_off(&mut self, seconds: i64) {
        self.stop();
        self.clock_ahead = seconds;
        self.start();
    }

    /// Starts the agent anew with these tables in its configuration, too.
    pub fn is_also_told(&mut self, tables: &str) {
        self.stop();
        let file = self.folder.join("agent.toml");
        let text = fs::read_to_string(&file).expect("the configuration can be read");
        write(&file, &format!("{text}{tables}\n"));
        self.start();
    }

    /// A till of this store; it finds the agent wherever it listens at the time.
    pub fn till(&self, source: &str) -> Till {
        Till::new(source, Arc::clone(&self.http))
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::read(&self.client())
    }

    pub fn identity(&self) -> Identity {
        Identity::read(&self.folder)
    }

    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    pub fn process(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("the agent runs")
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = self.ground.command(&binary("store-agent"));
        command
            .arg(subcommand)
            .arg("--config")
            .arg(self.folder.join("agent.toml"))
            .env_remove("RUST_BACKTRACE");
        seconds_ahead(&mut command, self.clock_ahead);
        command
    }
}

/// Nothing is kept back for walk-in customers, so that what the web sees is what is on the shelf.
fn config(id: &str, line: &Relay, transport: Transport) -> String {
    format!(
        "store = \"{id}\"\ndata_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\ntokens_file = \"tokens\"\n[page]\nlisten = \"127.0.0.1:0\"\n\
         [hub]\naddress = \"{}\"\nmqtt_address = \"{}\"\ntransport = \"{}\"\nserver_name = \"localhost\"\nca_file = \"ca.pem\"\ncertificate_file = \"store.pem\"\nkey_file = \"store.key\"\npickup_key_file = \"pickup.pub\"\n\
         [reserve]\nsafety_stock = 0\nexposure_s = 0\nz = 0.0\n[log]\nformat = \"json\"\nlevel = \"info\"\n",
        line.udp(),
        line.tcp(),
        transport.name()
    )
}

fn document(kind: &str, reference: &str, sku: &str, quantity: &str) -> Value {
    let quantity: Value = serde_json::from_str(quantity).expect("a number");
    json!({
        "source": "script", "reference": reference, "kind": kind, "occurred_at": "2026-10-31T17:03:22-04:00",
        "lines": [{ "sku": sku, "quantity": quantity }],
    })
}

fn is_connected(sync: &Value) -> bool {
    sync["link"] == "streaming"
}
