//! One store of a fleet: its agent's folder, configuration and process, and its line to the hub.

use super::daemon::Daemon;
use super::hub::{Hub, SERVER_NAME, write_secret};
use super::link::{HubEnds, Link};
use super::{binaries, store_id};
use crate::http::Client;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use tokio::sync::{Mutex, watch};

/// The right to report as any source and to change items. Everything here is on loopback and gone afterwards.
const TOKEN: &str = "a-token-for-all-of-a-simulated-store";

/// What an agent may speak with its hub over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Transport {
    /// QUIC, and MQTT where UDP does not get through
    #[default]
    Auto,
    Quic,
    Mqtt,
}

impl Transport {
    /// As the agent's configuration says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Quic => "quic",
            Self::Mqtt => "mqtt",
        }
    }
}

/// How one store's agent is set up.
pub struct StoreSettings {
    place: usize,
    folder: PathBuf,
    /// None: it works without a hub.
    hub: Option<HubSide>,
    link: Option<Link>,
    extra: String,
    /// Its page is open, on a port of its own.
    has_page: bool,
}

struct HubSide {
    ends: HubEnds,
    transport: Transport,
    certificates: PathBuf,
}

impl StoreSettings {
    pub fn new(
        fleet: &Path,
        place: usize,
        hub: &Hub,
        link: Option<Link>,
        transport: Transport,
        extra: &str,
    ) -> Result<Self> {
        let ends = link.as_ref().map_or_else(|| hub.ends(), |link| Ok(link.ends()))?;
        let hub = Some(HubSide { ends, transport, certificates: hub.certificates(place) });
        Ok(Self { hub, link, ..Self::alone(fleet, place, extra) })
    }

    /// A store without a hub.
    #[must_use]
    pub fn alone(fleet: &Path, place: usize, extra: &str) -> Self {
        let folder = fleet.join("stores").join(store_id(place));
        Self { place, folder, hub: None, link: None, extra: extra.to_owned(), has_page: false }
    }

    #[must_use]
    pub fn with_page(self, has_page: bool) -> Self {
        Self { has_page, ..self }
    }
}

/// A store whose agent can be started, killed and started again.
pub struct Store {
    place: usize,
    folder: PathBuf,
    program: PathBuf,
    link: Option<Link>,
    running: Mutex<Option<Daemon>>,
    pid: AtomicU32,
    disturbances: AtomicU64,
    address: watch::Sender<Option<SocketAddr>>,
}

impl Store {
    /// Writes its configuration; starts nothing yet.
    pub fn prepare(settings: StoreSettings) -> Result<Self> {
        let program = binaries::beside_this_one("store-agent")?;
        let folder = &settings.folder;
        fs::create_dir_all(folder).with_context(|| format!("creating `{}`", folder.display()))?;
        fs::write(folder.join("agent.toml"), configuration(&settings))
            .context("writing an agent's configuration")?;
        write_secret(&folder.join("tokens"), &format!("* {TOKEN}\n"))?;
        Ok(Self {
            place: settings.place,
            folder: settings.folder,
            program,
            link: settings.link,
            running: Mutex::new(None),
            pid: AtomicU32::new(0),
            disturbances: AtomicU64::new(0),
            address: watch::Sender::new(None),
        })
    }

    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    #[must_use]
    pub fn id(&self) -> String {
        store_id(self.place)
    }

    #[must_use]
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// The line, where it can be cut.
    #[must_use]
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_cut)
    }

    /// Pulls the plug of its line, where it has one that can be cut.
    pub fn cut(&self) {
        self.disturbances.fetch_add(1, Relaxed);
        if let Some(link) = &self.link {
            link.cut();
        }
    }

    pub fn mend(&self) {
        self.disturbances.fetch_add(1, Relaxed);
        if let Some(link) = &self.link {
            link.mend();
        }
    }

    /// How often the line was cut or mended and the agent ended or started: the same before and after means a quiet time between.
    #[must_use]
    pub fn disturbances(&self) -> u64 {
        self.disturbances.load(Relaxed)
    }

    #[must_use]
    pub fn is_up(&self) -> bool {
        self.address.borrow().is_some()
    }

    /// Where the agent answers, as it comes and goes.
    #[must_use]
    pub fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.address.subscribe()
    }

    pub fn client(&self) -> Result<Client> {
        let address = (*self.address.borrow()).with_context(|| format!("{} is down", self.id()))?;
        Ok(Client::new(address, TOKEN))
    }

    /// The agent's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Relaxed)).filter(|pid| *pid != 0)
    }

    pub async fn start(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        let file = self.folder.join("data/addresses.json");
        // One of an earlier run would name a port that nobody listens on.
        let _ = fs::remove_file(&file);
        let config = self.folder.join("agent.toml");
        let arguments = ["run", "--config", &config.to_string_lossy()];
        let name = format!("the agent of {}", self.id());
        let mut daemon = Daemon::spawn(&name, &self.program, &arguments, &self.log())?;
        let addresses = daemon.addresses(&file).await?;
        self.pid.store(daemon.pid(), Relaxed);
        self.disturbances.fetch_add(1, Relaxed);
        *running = Some(daemon);
        self.address.send_replace(Some(addresses.http));
        Ok(())
    }

    /// Ends the agent as a power cut would.
    pub async fn kill(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        // Nobody is warned: requests under way lose their answer.
        let killed = match running.take() {
            Some(daemon) => daemon.kill().await,
            None => Ok(()),
        };
        self.gone();
        killed
    }

    pub async fn stop(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        self.gone();
        match running.take() {
            Some(daemon) => daemon.stop().await,
            None => Ok(()),
        }
    }

    /// Says how the agent ended, if it did so by itself.
    pub async fn ended(&self) -> Option<String> {
        self.running.lock().await.as_mut()?.ended()
    }

    fn gone(&self) {
        self.disturbances.fetch_add(1, Relaxed);
        self.pid.store(0, Relaxed);
        self.address.send_replace(None);
    }
}

fn configuration(settings: &StoreSettings) -> String {
    let hub = settings.hub.as_ref().map(hub_table).unwrap_or_default();
    format!(
        "store = \"{id}\"\ndata_dir = \"data\"\n\n\
        [http]\nlisten = \"127.0.0.1:0\"\ntokens_file = \"tokens\"\n\n[page]\nenabled = {page}\nlisten = \"127.0.0.1:0\"\n\n\
        {hub}[log]\nlevel = \"info\"\n{extra}",
        id = store_id(settings.place),
        extra = settings.extra,
        page = settings.has_page,
    )
}

fn hub_table(hub: &HubSide) -> String {
    let certificates = hub.certificates.display();
    format!(
        "[hub]\naddress = \"{quic}\"\nmqtt_address = \"{mqtt}\"\ntransport = \"{transport}\"\nserver_name = \"{SERVER_NAME}\"\n\
        ca_file = \"{certificates}/ca.pem\"\ncertificate_file = \"{certificates}/store.pem\"\n\
        key_file = \"{certificates}/store.key\"\n\n",
        quic = hub.ends.quic,
        mqtt = hub.ends.mqtt,
        transport = hub.transport.name(),
    )
}
