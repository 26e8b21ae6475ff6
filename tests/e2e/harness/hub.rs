//! The hub of a scene: a real `cloud-hub` process, and questions to its storefront API.

use super::broker::Broker;
use super::daemon::{Daemon, binary, write};
use super::disk::Ground;
use super::http::Client;
use super::relay::{Addresses, HubAddress, nowhere};
use super::scene::{Scene, copy_folder, replace_folder};
use super::wait::{eventually, seconds_ahead};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, PoisonError};
use sync_protocol::Quantity;
use sync_protocol::enrolment::Token;

const KEY: &str = "shop-key-of-the-tests";

/// One hub. It listens elsewhere after each start; the stores' lines follow it.
pub struct Hub {
    folder: PathBuf,
    ground: Ground,
    daemon: Option<Daemon>,
    /// Between the stores and the hub; the hub does not speak MQTT itself then.
    broker: Option<Broker>,
    addresses: HubAddress,
    /// By so much its machine's clock is ahead.
    days_ahead: u32,
}

impl Hub {
    /// A new hub with its own authority, running.
    pub fn open(scene: &Scene) -> Hub {
        Hub::open_with(scene, Ground::Machine, "")
    }

    /// The same, living elsewhere or with more lines in its configuration.
    pub fn open_with(scene: &Scene, ground: Ground, more: &str) -> Hub {
        let folder = scene.join("hub");
        fs::create_dir_all(&folder).expect("a folder can be made");
        let broker = Broker::for_scene(scene);
        let mqtt = match &broker {
            Some(broker) => {
                format!("[mqtt]\nenabled = false\n[broker]\naddress = \"{}\"\n", broker.address())
            }
            None => "[mqtt]\nlisten = \"127.0.0.1:0\"\n".to_owned(),
        };
        let config = format!(
            "data_dir = \"data\"\n[quic]\nlisten = \"127.0.0.1:0\"\n{mqtt}[storefront]\nlisten = \"127.0.0.1:0\"\nkeys_file = \"keys\"\n\
             [log]\nformat = \"json\"\nlevel = \"info\"\n{more}"
        );
        write(&folder.join("hub.toml"), &config);
        write(&folder.join("keys"), &format!("shop {KEY}\n"));
        let mut hub = Hub { folder, ground, daemon: None, broker, addresses: nowhere(), days_ahead: 0 };
        hub.run(&["init"], &["--name", "localhost", "--name", "127.0.0.1"]);
        hub.open_broker();
        hub.start();
        hub
    }

    /// Gives the broker of the scene its certificate and starts it.
    fn open_broker(&mut self) {
        let Some(mut broker) = self.broker.take() else { return };
        let (host, out) = (broker.address().ip().to_string(), broker.folder().display().to_string());
        self.run(&["broker", "issue"], &["--name", "localhost", "--name", &host, "--out", &out]);
        broker.open();
        self.broker = Some(broker);
    }

    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts with more arguments, such as `--restored`.
    pub fn start_with(&mut self, more: &[&str]) {
        let addresses = self.ground.seen(&self.data().join("addresses.json"));
        let _ = fs::remove_file(&addresses);
        let mut command = self.command(&["run"], more);
        command.env_remove("RUST_BACKTRACE");
        let mut daemon = Daemon::start("the hub", command, &self.folder.join("hub.log"));
        let mqtt = match &self.broker {
            Some(broker) => broker.address(),
            None => daemon.address(&addresses, "mqtt"),
        };
        let now = Addresses { quic: daemon.address(&addresses, "quic"), mqtt };
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = now;
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

    /// Copies the data of a stopped hub.
    pub fn back_up(&self, name: &str) {
        assert!(self.daemon.is_none(), "only a stopped hub is backed up by copying");
        copy_folder(&self.data(), &self.folder.join(name));
    }

    /// Puts a copy in the place of a stopped hub's data.
    pub fn restore(&self, name: &str) {
        assert!(self.daemon.is_none(), "only a stopped hub is restored");
        replace_folder(&self.folder.join(name), &self.data());
    }

    /// Runs a subcommand of `cloud-hub` on this hub and expects success.
    pub fn run(&self, subcommand: &[&str], more: &[&str]) -> Output {
        let output = self.try_run(subcommand, more);
        assert!(
            output.status.success(),
            "`cloud-hub {}` ended with {}:\n{}",
            subcommand.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    pub fn try_run(&self, subcommand: &[&str], more: &[&str]) -> Output {
        self.command(subcommand, more).output().expect("a built binary starts")
    }

    /// What the storefront shows as available at a store, as soon as it shows exactly that.
    #[track_caller]
    pub fn shows(&self, store: &str, sku: &str, wanted: &str) {
        let wanted: Quantity = wanted.parse().expect("a quantity");
        eventually(&format!("the hub to show {wanted} of {sku} at {store}"), || {
            let place = self.at(store, sku)?;
            let available = quantity(&place["available"]).ok_or_else(|| place.to_string())?;
            if available == wanted { Ok(()) } else { Err(place.to_string()) }
        });
    }

    /// The storefront's line about one item at one store, with its explanation.
    pub fn at(&self, store: &str, sku: &str) -> Result<Value, String> {
        let path = format!("/v1/availability?sku={sku}&stores={store}&detail=exact&explain=true");
        let reply = self.client().get(&path).map_err(|error| error.to_string())?;
        if reply.status != 200 {
            return Err(format!("{reply:?}"));
        }
        let answer = reply.json();
        find_store(&answer, store).cloned().ok_or_else(|| answer.to_string())
    }

    /// Waits until the hub calls itself healthy, or ill.
    #[track_caller]
    pub fn is_healthy(&self, wanted: bool) {
        eventually(&format!("the hub's health to be {wanted}"), || {
            let reply = self.client().get("/healthz").map_err(|error| error.to_string())?;
            if (reply.status == 200) == wanted { Ok(()) } else { Err(reply.body) }
        });
    }

    pub fn client(&self) -> Client {
        let file = self.ground.seen(&self.data().join("addresses.json"));
        let text = fs::read_to_string(file).expect("a running hub has said where it listens");
        let addresses: Value = serde_json::from_str(&text).expect("addresses are JSON");
        let http = addresses["http"].as_str().and_then(|text| text.parse().ok());
        Client::new(http.expect("an address of the storefront API"), KEY)
    }

    /// Where the stores' lines lead.
    pub fn addresses(&self) -> HubAddress {
        Arc::clone(&self.addresses)
    }

    pub fn log(&mut self) -> String {
        self.process().log()
    }

    /// Only in scenes with one.
    pub fn broker(&mut self) -> &mut Broker {
        self.broker.as_mut().expect("this scene has a broker")
    }

    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn process(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("the hub runs")
    }

    fn command(&self, subcommand: &[&str], more: &[&str]) -> Command {
        let mut command = self.ground.command(&binary("cloud-hub"));
        command.args(subcommand).arg("--config").arg(self.folder.join("hub.toml")).args(more);
        seconds_ahead(&mut command, i64::from(self.days_ahead) * 86_400);
        command
    }

    /// From its next start on its machine's clock is so many days ahead.
    pub fn live_days_later(&mut self, days: u32) {
        self.days_ahead = days;
    }

    /// Where stores enrol; only with a door for that.
    pub fn enrolment_address(&self) -> SocketAddr {
        let file = self.ground.seen(&self.data().join("addresses.json"));
        let text = fs::read_to_string(file).expect("a running hub has said where it listens");
        let addresses: Value = serde_json::from_str(&text).expect("addresses are JSON");
        addresses["enrolment"].as_str().and_then(|text| text.parse().ok()).expect("a door for enrolments")
    }

    /// A token for a store.
    pub fn token(&self, store: &str) -> Token {
        let output = self.run(&["token", "create"], &["--store", store]);
        let text = String::from_utf8(output.stdout).expect("a token is text");
        text.parse().expect("a token is printed, and nothing else")
    }

    /// Where the hub takes MQTT itself, for callers without a line of their own.
    pub fn mqtt_address(&self) -> SocketAddr {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).mqtt
    }

    /// Where the hub itself listens, for callers without a line of their own.
    pub fn quic_address(&self) -> SocketAddr {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).quic
    }
}

/// An exact quantity out of a JSON number.
pub fn quantity(value: &Value) -> Option<Quantity> {
    value.as_number()?.to_string().parse().ok()
}

/// The object that speaks of a store, wherever the answer keeps it.
fn find_store<'a>(answer: &'a Value, store: &str) -> Option<&'a Value> {
    match answer {
        Value::Object(fields)
            if fields.get("store").and_then(Value::as_str) == Some(store)
                && fields.contains_key("available") =>
        {
            Some(answer)
        }
        Value::Object(fields) => fields.values().find_map(|field| find_store(field, store)),
        Value::Array(entries) => entries.iter().find_map(|entry| find_store(entry, store)),
        _ => None,
    }
}
