//! The hub of a fleet: its folder, its configuration, its command line, its process.

use super::daemon::{Addresses, Daemon, run_to_end};
use super::link::HubEnds;
use super::{binaries, store_id};
use crate::http::Client;
use anyhow::{Context, Result};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The key of the fleet's own storefront. Everything here is on loopback and gone afterwards.
const STOREFRONT_KEY: &str = "the-storefront-of-a-simulated-fleet";
/// The name agents know the hub by.
pub const SERVER_NAME: &str = "localhost";

/// A hub that is set up, and running once it was started.
pub struct Hub {
    folder: PathBuf,
    program: PathBuf,
    running: Option<Running>,
}

struct Running {
    /// Locked only to ask whether it still runs.
    daemon: Mutex<Daemon>,
    pid: u32,
    addresses: Addresses,
}

impl Hub {
    /// Writes its configuration and lets it create its authority.
    pub async fn prepare(fleet: &Path, extra: &str) -> Result<Self> {
        let folder = fleet.join("hub");
        fs::create_dir_all(&folder).with_context(|| format!("creating `{}`", folder.display()))?;
        let hub = Self { folder, program: binaries::beside_this_one("cloud-hub")?, running: None };
        fs::write(hub.config(), configuration(extra)).context("writing the hub's configuration")?;
        write_secret(&hub.folder.join("keys"), &format!("storefront {STOREFRONT_KEY}\n"))?;
        hub.command(&["init"], &["--name", SERVER_NAME, "--name", "127.0.0.1"]).await?;
        Ok(hub)
    }

    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("hub.toml")
    }

    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("hub.log")
    }

    #[must_use]
    pub fn key(&self) -> &'static str {
        STOREFRONT_KEY
    }

    pub async fn start(&mut self) -> Result<()> {
        let file = self.folder.join("data/addresses.json");
        // One of an earlier run would name ports that nobody listens on.
        let _ = fs::remove_file(&file);
        let config = self.config();
        let arguments = ["run", "--config", &config.to_string_lossy()];
        let mut daemon = Daemon::spawn("the hub", &self.program, &arguments, &self.log())?;
        let addresses = daemon.addresses(&file).await?;
        self.running = Some(Running { pid: daemon.pid(), daemon: Mutex::new(daemon), addresses });
        Ok(())
    }

    pub async fn stop(&mut self) -> Result<()> {
        match self.running.take() {
            Some(running) => running.daemon.into_inner().unwrap_or_else(PoisonError::into_inner).stop().await,
            None => Ok(()),
        }
    }

    pub fn http(&self) -> Result<SocketAddr> {
        Ok(self.addresses()?.http)
    }

    /// Where agents connect.
    pub fn ends(&self) -> Result<HubEnds> {
        let Addresses { quic, mqtt, .. } = *self.addresses()?;
        let quic = quic.context("the hub said no QUIC address")?;
        Ok(HubEnds { quic, mqtt: mqtt.context("the hub said no MQTT address")? })
    }

    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(self.http()?, STOREFRONT_KEY))
    }

    pub fn pid(&self) -> Result<u32> {
        Ok(self.running()?.pid)
    }

    /// How it ended, if it did so by itself.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        self.running.as_ref()?.daemon.lock().unwrap_or_else(PoisonError::into_inner).ended()
    }

    /// Makes a store known, somewhere in the middle of the country.
    pub async fn add_store(&self, place: usize) -> Result<()> {
        let (id, name) = (store_id(place), format!("Store {}", place + 1));
        let (lat, lon) = position(place);
        let given =
            ["--id", &id, "--name", &name, "--lat", &lat, "--lon", &lon, "--timezone", "America/Chicago"];
        self.command(&["store", "add"], &given).await
    }

    /// What it takes to issue a store's certificate, to be run when it suits.
    #[must_use]
    pub fn issue(&self, place: usize) -> Issue {
        let out = certificates(&self.folder, place);
        Issue { program: self.program.clone(), config: self.config(), id: store_id(place), out }
    }

    /// Issues the certificate of a broker between the stores and this hub, into a folder.
    pub async fn issue_for_broker(&self, out: &Path) -> Result<()> {
        self.command(&["broker", "issue"], &["--name", SERVER_NAME, "--out", &out.to_string_lossy()]).await
    }

    /// The folder with a store's certificate, key and the hub's authority.
    #[must_use]
    pub fn certificates(&self, place: usize) -> PathBuf {
        certificates(&self.folder, place)
    }

    async fn command(&self, words: &[&str], given: &[&str]) -> Result<()> {
        let config = self.config();
        let config = config.to_string_lossy();
        let arguments = [words, &["--config", &config], given].concat();
        run_to_end(&self.program, &arguments).await.map(drop)
    }

    fn addresses(&self) -> Result<&Addresses> {
        Ok(&self.running()?.addresses)
    }

    fn running(&self) -> Result<&Running> {
        self.running.as_ref().context("the hub is not running")
    }
}

/// One certificate to be issued.
pub struct Issue {
    program: PathBuf,
    config: PathBuf,
    id: String,
    out: PathBuf,
}

impl Issue {
    pub async fn run(&self) -> Result<()> {
        let (config, out) = (self.config.to_string_lossy(), self.out.to_string_lossy());
        let arguments =
            ["store", "certificate", "--offline", "--config", &config, "--id", &self.id, "--out", &out];
        run_to_end(&self.program, &arguments).await.map(drop)
    }
}

/// Writes a file that only its owner may read, as the daemons demand for tokens and keys.
pub fn write_secret(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("creating `{}`", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing `{}`", path.display()))
}

fn configuration(extra: &str) -> String {
    format!(
        "data_dir = \"data\"\n\n[quic]\nlisten = \"127.0.0.1:0\"\n\n[mqtt]\nlisten = \"127.0.0.1:0\"\n\n\
        [storefront]\nlisten = \"127.0.0.1:0\"\nkeys_file = \"keys\"\n\n[log]\nlevel = \"info\"\n{extra}"
    )
}

fn certificates(hub: &Path, place: usize) -> PathBuf {
    hub.join("issued").join(store_id(place))
}

/// Where a store is, in degrees north and east.
#[must_use]
pub fn place_of(place: usize) -> (f64, f64) {
    let (lat, lon) = position(place);
    (lat.parse().unwrap_or_default(), lon.parse().unwrap_or_default())
}

/// Stores on a grid, twenty to a row, a tenth of a degree apart.
fn position(place: usize) -> (String, String) {
    let (row, column) = (place / 20, place % 20);
    (format!("{}.{}", 39 + row / 10, row % 10), format!("-{}.{}", 86 - column / 10, column % 10))
}
