//! `storectl` on real folders, against a real hub, with the real agent: what field IT does, and what goes wrong while they do it.
//!
//! Each store server is a folder of its own (`--root`); nobody but the test runs the agent (`--service-manager none`).

mod enrolling;
mod following;
mod installing;
mod interrupted;
mod leaving;
mod packaged;
mod units;
mod upgrading;

use crate::harness::{Client, Daemon, Ground, Hub, Scene, Transport, binary, eventually, seconds_ahead};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A hub that enrols, stores it expects, and the program that field IT brings.
struct Office {
    scene: Scene,
    hub: Hub,
    agent: PathBuf,
}

impl Office {
    fn open(name: &str) -> Office {
        Office::at(name, "127.0.0.1:0")
    }

    /// Its door for enrolments is here.
    fn at(name: &str, door: &str) -> Office {
        let scene = Scene::over(Transport::Quic, name);
        let hub = Hub::open_with(&scene, Ground::Machine, &format!("[enrolment]\nlisten = \"{door}\"\n"));
        let agent = small_agent(&scene);
        Office { scene, hub, agent }
    }

    /// The hub expects this store from now on.
    fn expect(&self, store: &str) {
        let place = [
            "--id",
            store,
            "--name",
            store,
            "--lat",
            "40.7",
            "--lon",
            "-74.0",
            "--timezone",
            "America/New_York",
        ];
        self.hub.run(&["store", "add"], &place);
    }

    /// A file with a token for a store.
    fn token(&self, store: &str) -> PathBuf {
        let file = self.scene.join(&format!("{store}.token"));
        let _ = fs::remove_file(&file);
        let address = self.hub.enrolment_address().to_string();
        let out = file.to_str().expect("a folder's name is text");
        self.hub.run(&["token", "create"], &["--store", store, "--address", &address, "--out", out]);
        file
    }

    /// An expected store's server with nothing on it, and its token.
    fn bare(&self, store: &str) -> (Server, PathBuf) {
        self.expect(store);
        (self.server(store), self.token(store))
    }

    fn server(&self, name: &str) -> Server {
        let root = self.scene.join(&format!("root-{name}"));
        fs::create_dir_all(root.join("etc")).expect("a folder can be made");
        fs::write(root.join("etc/machine-id"), format!("{:032x}\n", name.len()))
            .expect("a file can be written");
        Server { root, agent: None, references: 0, days_ahead: 0 }
    }

    /// What a person types to install a store.
    fn install(&self, store: &str, token: &Path) -> Vec<String> {
        let (quic, mqtt) = (self.hub.quic_address(), self.hub.mqtt_address());
        let args = ["install", "--store", store, "--listen", "127.0.0.1:0", "--page-listen", "127.0.0.1:0"];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        let more = [
            ("--hub", quic.to_string()),
            ("--mqtt", mqtt.to_string()),
            ("--token-file", token.display().to_string()),
            ("--agent", self.agent.display().to_string()),
        ];
        args.extend(more.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
        args
    }
}

/// The agent without what only debuggers read: it is copied often.
fn small_agent(scene: &Scene) -> PathBuf {
    let small = scene.join("store-agent");
    let stripped = Command::new("strip").arg("-o").arg(&small).arg(binary("store-agent")).status();
    assert!(stripped.expect("binutils are there").success());
    small
}

/// One store's server.
struct Server {
    root: PathBuf,
    agent: Option<Daemon>,
    references: u32,
    days_ahead: i64,
}

impl Server {
    fn command(&self, args: &[impl AsRef<str>]) -> Command {
        let mut command = Command::new(binary("storectl"));
        command.arg("--root").arg(&self.root).args(["--service-manager", "none", "--non-interactive"]);
        command.args(args.iter().map(AsRef::as_ref)).stdin(Stdio::null());
        command.current_dir(self.scene());
        seconds_ahead(&mut command, self.days_ahead * 86_400);
        command
    }

    fn storectl(&self, args: &[impl AsRef<str>]) -> Output {
        self.command(args).output().expect("a built binary starts")
    }

    /// Expects this exit code, and gives what was said.
    #[track_caller]
    fn ends(&self, code: i32, args: &[impl AsRef<str>]) -> String {
        let output = self.storectl(args);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    #[track_caller]
    fn json(&self, args: &[impl AsRef<str>]) -> Value {
        let mut all: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        all.push("--json");
        let output = self.storectl(&all);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in {output:?}"))
    }

    /// Where what a program drops into its working folder is nobody else's litter.
    fn scene(&self) -> &Path {
        self.root.parent().expect("a root lies in its scene")
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    fn text(&self, inside: &str) -> String {
        fs::read_to_string(self.path(inside)).unwrap_or_else(|error| panic!("{inside}: {error}"))
    }

    /// Runs the agent as storectl says.
    fn start(&mut self) -> SocketAddr {
        let config = self.path("etc/shopsmart/agent.toml");
        let text = self.text("etc/shopsmart/agent.toml");
        if !text.contains("[reserve]") {
            // All of the stock is the web's, so that the hub shows what the ledger says.
            fs::write(&config, format!("{text}\n[reserve]\nexposure_s = 0\nz = 0.0\n"))
                .expect("a file can be written");
        }
        let mut command = Command::new(self.path("opt/shopsmart/bin/store-agent"));
        command.arg("run").arg("--config").arg(config).current_dir(self.scene());
        seconds_ahead(&mut command, self.days_ahead * 86_400);
        let addresses = self.path("var/lib/shopsmart/agent/addresses.json");
        let _ = fs::remove_file(&addresses);
        let mut daemon = Daemon::start("the agent", command, &self.path("agent.log"));
        let address = daemon.address(&addresses, "http");
        self.agent = Some(daemon);
        address
    }

    fn stop(&mut self) {
        self.agent.as_mut().expect("the agent runs").stop();
        self.agent = None;
    }

    fn client(&self) -> Client {
        let addresses: Value = serde_json::from_str(&self.text("var/lib/shopsmart/agent/addresses.json"))
            .expect("addresses are JSON");
        let tokens = self.text("etc/shopsmart/tokens");
        let token = tokens.lines().last().and_then(|line| line.split_whitespace().nth(1));
        let http = addresses["http"].as_str().and_then(|text| text.parse().ok());
        Client::new(http.expect("an address for tills"), token.expect("a till has a token"))
    }

    /// A till reports one line.
    #[track_caller]
    fn report(&mut self, kind: &str, sku: &str, quantity: u32) {
        self.references += 1;
        let body = json!({
            "source": "till-1", "reference": format!("r-{}", self.references), "kind": kind,
            "occurred_at": "2026-10-31T17:03:22-04:00", "lines": [{ "sku": sku, "quantity": quantity }],
        });
        self.client().post("/v1/movements", &body).expect("the agent answers").expect(201);
    }

    /// The hub has confirmed everything.
    #[track_caller]
    fn is_synced(&self) {
        eventually("the hub to have confirmed everything", || {
            let reply = self.client().get("/v1/sync").map_err(|error| error.to_string())?;
            if reply.json()["caught_up"] == true { Ok(()) } else { Err(reply.body) }
        });
    }

    /// Every path below the root with its mode, and for a file that never differs its text.
    fn tree(&self) -> Vec<String> {
        use std::os::unix::fs::PermissionsExt;
        let mut open = vec![self.root.clone()];
        let mut lines = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("a folder can be listed") {
                let path = entry.expect("a folder can be listed").path();
                // A running agent removes files of its own while they are looked at.
                let Ok(found) = path.symlink_metadata() else { continue };
                let mode = found.permissions().mode() & 0o7777;
                let name = path.strip_prefix(&self.root).expect("below the root").display().to_string();
                lines.push(format!("{mode:o} {name}"));
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
        lines.sort();
        lines
    }
}
