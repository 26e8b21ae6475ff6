//! Starts the hub's parts in order, watches them, and stops them in the reverse order. Every thread and task is owned
//! here and awaited.
//!
//! The hub counts as started once everything listens; then, and not before, `addresses.json` appears in the data
//! folder. When any part ends by itself, all of them are stopped and the cause is returned.

use crate::availability::{self, Index};
use crate::config::{Broker, Config, Freshness, Quic};
use crate::courier::{Courier, CourierError, CourierMetrics};
use crate::desk::{Desk, Request};
use crate::enrol::ca::{Pki, PkiError, Renewal};
use crate::enrol::order_keys::OrderKeyError;
use crate::health::Health;
use crate::hub::{Hub, Settings};
use crate::ingest::{self, Arrival, Certificates, Inbox, Links, broker, mqtt, quic};
use crate::orders::board::Board;
use crate::orders::codes::PickupKey;
use crate::orders::vault::Vault;
use crate::runtime::broker::credentials;
use crate::runtime::clock::Clock;
use crate::runtime::driver::{self, Driver, Panicked};
use crate::runtime::enrolment::{self, Enrolling};
use crate::runtime::metered::Metered;
use crate::standing::Standings;
use crate::storage::sqlite::Sqlite;
use crate::storage::sqlite::decisions::Decisions;
use crate::storage::{Storage, StorageError};
use crate::storefront::{self, KeyRing, KeysError, OrderKeys, StorefrontMetrics, StorefrontState};
use crate::telemetry;
use axum::Router;
use axum::serve::ListenerExt;
use prometheus_client::registry::Registry;
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};
use std::error::Error;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sync_protocol::link::Timing;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, info, warn};

/// Connections that wait to be accepted. A shop's front comes back all at once after a deploy.
const BACKLOG: i32 = 4096;
/// How long requests in flight get when the hub stops; change feeds never end by themselves.
const LAST_REQUESTS_MAX: Duration = Duration::from_secs(2);
/// How often the file of API keys is looked at.
const KEYS_LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the parts get to end.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A hub with all its parts at work.
pub struct Running {
    addresses: Addresses,
    addresses_file: PathBuf,
    stop: watch::Sender<bool>,
    parts: JoinSet<Ended>,
    _lock: File,
}

/// The name of a part and how it ended.
type Ended = (&'static str, Result<(), PartFailed>);

/// Where the hub listens, as `addresses.json` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Addresses {
    pub http: SocketAddr,
    pub quic: SocketAddr,
    /// Absent when switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<SocketAddr>,
    /// Absent when switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<SocketAddr>,
}

/// Why the hub did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("can't use the data folder `{path}`", path = path.display())]
    DataFolder { path: PathBuf, source: io::Error },
    #[error("another hub is running on `{path}`; stop it first", path = path.display())]
    Locked { path: PathBuf },
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error(transparent)]
    OrderKeys(#[from] OrderKeyError),
    #[error("can't open the hub's storage")]
    Storage(#[from] StorageError),
    #[error("can't let the web shop in")]
    Keys(#[from] KeysError),
    #[error("opening the hub's storage failed")]
    Opening(#[source] JoinError),
    #[error(transparent)]
    Quic(#[from] quic::ListenError),
    #[error(transparent)]
    Mqtt(#[from] mqtt::ListenError),
    #[error("can't enrol stores")]
    Enrolment(#[from] enrolment::EnrolmentError),
    #[error("can't be a client of the broker")]
    Broker(#[from] broker::NoCertificates),
    #[error("can't send out what happens to orders")]
    Courier(#[from] CourierError),
    #[error("can't listen on TCP {address}")]
    Http { address: SocketAddr, source: io::Error },
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
    #[error("the driver's thread can't be started")]
    Thread(#[source] io::Error),
}

/// Why a running hub came to its end.
#[derive(Debug, thiserror::Error)]
pub enum PartFailed {
    #[error(transparent)]
    Driver(#[from] Panicked),
    #[error("the storefront's listener failed")]
    Storefront(#[source] io::Error),
    #[error("a part of the hub panicked")]
    Panicked(#[from] JoinError),
    #[error("{part} ended without being told to")]
    Ended { part: &'static str },
    #[error("the hub did not stop within {} s", STOP_MAX.as_secs())]
    TooSlow,
}

impl Running {
    /// Starts everything. Must be called inside a tokio runtime with several threads.
    ///
    /// # Errors
    /// When a part can't start; then none is left running.
    pub async fn start(config: &Config, restored: bool) -> Result<Running, StartError> {
        let lock = lock(config)?;
        let shared = Shared::new();
        let mut registry = telemetry::registry();
        let certificates = certificates(&config.pki_folder(), shared.clock)?;
        let keys = Arc::new(KeyRing::load(&config.storefront.keys_file)?);
        let core = shared.open_core(config, restored, &mut registry).await?;
        let listener = http_listener(config.storefront.listen)?;
        let http = address_of(&listener, config)?;
        let (inbox, arrivals) = ingest::inbox();
        let (desk, requests) = Desk::new();
        let metrics = ingest::Metrics::register(&mut registry, &shared.links);
        let quic = shared.listen_quic(config, certificates.clone(), inbox.clone(), metrics.clone())?;
        let mqtt = shared.listen_mqtt(config, certificates, inbox.clone(), metrics.clone())?;
        let broker = shared.join_broker(config, inbox, metrics)?;
        let enrolling = shared.enrolling(config, &mut registry)?;
        let mqtt_address = mqtt.as_ref().map(mqtt::Ingest::address);
        let enrolment = enrolling.address();
        let addresses = Addresses { http, quic: quic.address(), mqtt: mqtt_address, enrolment };
        let lineage = core.life;
        let driver = shared.driver(core, (arrivals, requests), &mut registry);
        let courier = shared.courier(config, &mut registry)?;
        let (stop, stopped) = watch::channel(false);
        let decisions = Decisions::open(&config.database_file())?;
        let orders = (desk, courier.clone(), decisions, order_keys(&config.pki_folder())?);
        let state = shared.storefront(config, orders, Arc::clone(&keys), lineage, stopped.clone(), registry);
        let driving = driver.start(Handle::current()).map_err(StartError::Thread)?;
        let mut parts = JoinSet::new();
        parts.spawn(async { ("driver", driving.ended().await.map_err(PartFailed::from)) });
        parts.spawn(serve_quic(quic, stopped.clone()));
        if let Some(mqtt) = mqtt {
            parts.spawn(serve_mqtt(mqtt, stopped.clone()));
        }
        if let Some(broker) = broker {
            parts.spawn(serve_broker(broker, stopped.clone()));
        }
        parts.spawn(keep_standings(enrolling, stopped.clone()));
        parts.spawn(reroute(state.clone()));
        parts.spawn(serve_http(listener, storefront::router(state), stopped.clone()));
        parts.spawn(run_courier(courier, stopped.clone()));
        parts.spawn(watch_keys(keys, stopped));
        let running =
            Running { addresses, addresses_file: config.addresses_file(), stop, parts, _lock: lock };
        running.publish_addresses().map_err(|source| data_folder(config, source))?;
        info!(http = %addresses.http, quic = %addresses.quic, mqtt = ?addresses.mqtt, enrolment = ?addresses.enrolment, "the hub is listening");
        Ok(running)
    }

    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Waits until a part ends by itself, which none should, and says why.
    pub async fn ended(&mut self) -> PartFailed {
        match self.parts.join_next().await {
            Some(Ok((_, Err(failed)))) => failed,
            Some(Ok((part, Ok(())))) => PartFailed::Ended { part },
            Some(Err(panic)) => PartFailed::Panicked(panic),
            None => PartFailed::Ended { part: "everything" },
        }
    }

    /// Stops all parts: stores are told, what has arrived is committed, requests in flight are answered.
    ///
    /// # Errors
    /// The first failure of a part on its way out, or that they took too long.
    pub async fn stop(mut self) -> Result<(), PartFailed> {
        info!("the hub is stopping");
        self.stop.send_replace(true);
        let last_parts = async {
            let mut outcome = Ok(());
            while let Some(ended) = self.parts.join_next().await {
                let ended = ended.map_err(PartFailed::from).and_then(|(_, ended)| ended);
                outcome = outcome.and(ended);
            }
            outcome
        };
        let outcome = tokio::time::timeout(STOP_MAX, last_parts).await.unwrap_or(Err(PartFailed::TooSlow));
        // Left behind, it would only point at nothing.
        drop(std::fs::remove_file(&self.addresses_file));
        outcome
    }

    fn publish_addresses(&self) -> io::Result<()> {
        let text = serde_json::to_string(&self.addresses)?;
        let unnamed = self.addresses_file.with_extension("json.new");
        File::create(&unnamed)?.write_all(format!("{text}\n").as_bytes())?;
        std::fs::rename(&unnamed, &self.addresses_file)
    }
}

/// What the parts have in common.
struct Shared {
    clock: Clock,
    health: Arc<Health>,
    index: Arc<Index>,
    board: Arc<Board>,
    links: Arc<Links>,
    standings: Arc<Standings>,
}

/// The core as it was loaded, and the name of this life of its database.
struct Core {
    hub: Hub,
    life: u64,
}

impl Shared {
    fn new() -> Shared {
        let standings = Arc::<Standings>::default();
        Shared {
            clock: Clock::start(),
            health: Arc::default(),
            index: Arc::default(),
            board: Arc::default(),
            links: Arc::new(Links::of(Arc::clone(&standings))),
            standings,
        }
    }

    /// Reads every cell into memory and makes it visible, which takes a moment, before anybody can ask.
    async fn open_core(
        &self,
        config: &Config,
        restored: bool,
        registry: &mut Registry,
    ) -> Result<Core, StartError> {
        let sqlite = Sqlite::open(&config.database_file())?;
        let mut storage = Metered::new(sqlite, self.clock, Arc::clone(&self.health), registry);
        let (index, board) = (Arc::clone(&self.index), Arc::clone(&self.board));
        let customers_kept_ms = i64::from(config.orders.customers_kept_days) * 24 * 3_600_000;
        let opening = move || {
            let fresh_life = random_life()?;
            let known_life = storage.hub(fresh_life)?.life;
            let settings = Settings { timing: Timing::default(), fresh_life, restored, customers_kept_ms };
            let mut hub = Hub::open(Box::new(storage), settings)?;
            hub.each_initial_update(|updates| index.publish(updates))?;
            board.publish(hub.take_posts());
            Ok(Core { hub, life: if restored { fresh_life } else { known_life } })
        };
        tokio::task::spawn_blocking(opening).await.map_err(StartError::Opening)?
    }

    fn listen_quic(
        &self,
        config: &Config,
        certificates: Certificates,
        inbox: Inbox,
        metrics: ingest::Metrics,
    ) -> Result<quic::Ingest, quic::ListenError> {
        let Quic { listen, mtu_max, segmentation_offload } = config.quic;
        let settings = quic::Settings { listen, mtu_max, segmentation_offload };
        quic::Ingest::listen(&settings, certificates, inbox, Arc::clone(&self.links), metrics)
    }

    fn listen_mqtt(
        &self,
        config: &Config,
        certificates: Certificates,
        inbox: Inbox,
        metrics: ingest::Metrics,
    ) -> Result<Option<mqtt::Ingest>, mqtt::ListenError> {
        if !config.mqtt.enabled {
            return Ok(None);
        }
        let settings = mqtt::Settings { listen: config.mqtt.listen };
        mqtt::Ingest::listen(&settings, certificates, inbox, Arc::clone(&self.links), metrics).map(Some)
    }

    fn join_broker(
        &self,
        config: &Config,
        inbox: Inbox,
        metrics: ingest::Metrics,
    ) -> Result<Option<broker::Ingest>, broker::NoCertificates> {
        let Some(config_of_broker) = &config.broker else { return Ok(None) };
        let credentials = credentials(config_of_broker, config.pki_folder(), self.clock);
        let Broker { address, share, .. } = config_of_broker.clone();
        let settings = broker::Settings { address, share };
        broker::Ingest::new(settings, credentials, inbox, Arc::clone(&self.links), metrics).map(Some)
    }

    fn enrolling(
        &self,
        config: &Config,
        registry: &mut Registry,
    ) -> Result<Enrolling, enrolment::EnrolmentError> {
        let links = Arc::clone(&self.links);
        Enrolling::open(config, &self.standings, Box::new(move || links.sweep()), self.clock, registry)
    }

    fn driver(
        &self,
        core: Core,
        (arrivals, requests): (mpsc::Receiver<Arrival>, mpsc::Receiver<Request>),
        registry: &mut Registry,
    ) -> Driver {
        self.health.beat(self.clock.wall());
        Driver {
            hub: core.hub,
            index: Arc::clone(&self.index),
            board: Arc::clone(&self.board),
            arrivals,
            requests,
            clock: self.clock,
            health: Arc::clone(&self.health),
            standings: Arc::clone(&self.standings),
            metrics: driver::Metrics::register(registry),
        }
    }

    fn courier(&self, config: &Config, registry: &mut Registry) -> Result<Courier, CourierError> {
        let clock = self.clock;
        Courier::open(config, Arc::new(move || clock.wall()), CourierMetrics::register(registry))
    }

    fn storefront(
        &self,
        config: &Config,
        (desk, courier, decisions, order_keys): (Desk, Courier, Decisions, OrderKeys),
        keys: Arc<KeyRing>,
        lineage: u64,
        closing: watch::Receiver<bool>,
        mut registry: Registry,
    ) -> StorefrontState {
        let metrics = StorefrontMetrics::register(&mut registry, Arc::clone(&self.index));
        let (health, clock) = (Arc::clone(&self.health), self.clock);
        storefront::register_canaries(&mut registry, Arc::clone(&self.board), Arc::new(clock));
        StorefrontState {
            index: Arc::clone(&self.index),
            board: Arc::clone(&self.board),
            desk,
            courier,
            decisions: Arc::new(Mutex::new(decisions)),
            order_keys: Arc::new(order_keys),
            settings: storefront_settings(config, lineage),
            keys,
            clock: Arc::new(clock),
            metrics,
            metrics_text: Arc::new(move || telemetry::scrape(&registry)),
            health: Arc::new(move || health.report(clock.wall()).map_err(|faults| faults.to_string())),
            closing,
        }
    }
}

fn order_keys(pki_folder: &Path) -> Result<OrderKeys, OrderKeyError> {
    Ok(OrderKeys {
        pickup: PickupKey::open_or_create(pki_folder)?,
        vault: Vault::open_or_create(pki_folder)?,
    })
}

fn storefront_settings(config: &Config, lineage: u64) -> storefront::Settings {
    let Freshness { live_s, offline_s, hold_back_share_per_hour, stop_after_s } = config.freshness;
    storefront::Settings {
        freshness: availability::Freshness { live_s, offline_s, hold_back_share_per_hour, stop_after_s },
        requests_per_second: config.storefront.requests_per_second,
        lineage,
        order_ready: Duration::from_secs(60 * u64::from(config.orders.ready_minutes)),
        order_hold: Duration::from_secs(3600 * u64::from(config.orders.hold_hours)),
        reroute_km: f64::from(config.orders.reroute_km),
        ..storefront::Settings::default()
    }
}

fn random_life() -> Result<u64, StartError> {
    let mut life = [0; 8];
    getrandom::fill(&mut life).map_err(StartError::Random)?;
    Ok(u64::from_le_bytes(life))
}

/// Keeps the data folder to this process, and takes an earlier one's addresses away.
fn lock(config: &Config) -> Result<File, StartError> {
    let failed = |source| data_folder(config, source);
    std::fs::create_dir_all(&config.data_dir).map_err(failed)?;
    let lock = File::create(config.lock_file()).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StartError::Locked { path: config.data_dir.clone() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    match std::fs::remove_file(config.addresses_file()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(lock),
    }
}

fn data_folder(config: &Config, source: io::Error) -> StartError {
    StartError::DataFolder { path: config.data_dir.clone(), source }
}

/// The hub's certificates, renewed where that is due.
fn certificates(folder: &Path, clock: Clock) -> Result<Certificates, PkiError> {
    let pki = Pki::open(folder)?;
    if let Renewal::Renewed { ends_at } = pki.renew_server_when_due(clock.wall())? {
        info!(ends_at_ms = ends_at.0, "the hub's certificate has been renewed");
    }
    let server = pki.server()?;
    if server.ends_at <= clock.wall() {
        warn!("the hub's certificate has ended; stores will refuse it");
    }
    Ok(Certificates { ca: server.ca, chain: server.chain, key: server.key })
}

fn http_listener(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    listen().map_err(|source| StartError::Http { address, source })
}

fn address_of(listener: &TcpListener, config: &Config) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Http { address: config.storefront.listen, source })
}

async fn serve_quic(ingest: quic::Ingest, stopped: watch::Receiver<bool>) -> Ended {
    ingest.serve(stopped).await;
    ("quic ingest", Ok(()))
}

async fn serve_mqtt(ingest: mqtt::Ingest, stopped: watch::Receiver<bool>) -> Ended {
    ingest.serve(stopped).await;
    ("mqtt ingest", Ok(()))
}

async fn serve_broker(ingest: broker::Ingest, stopped: watch::Receiver<bool>) -> Ended {
    ingest.serve(stopped).await;
    ("broker ingest", Ok(()))
}

async fn keep_standings(enrolling: Enrolling, stopped: watch::Receiver<bool>) -> Ended {
    enrolling.run(stopped).await;
    ("enrolment", Ok(()))
}

async fn run_courier(courier: Courier, stopped: watch::Receiver<bool>) -> Ended {
    courier.run(stopped).await;
    ("courier", Ok(()))
}

/// Keys can be added and withdrawn while the hub runs.
async fn watch_keys(keys: Arc<KeyRing>, mut stopped: watch::Receiver<bool>) -> Ended {
    while tokio::time::timeout(KEYS_LOOK_EVERY, stopped.wait_for(|stopped| *stopped)).await.is_err() {
        match keys.reload_if_changed() {
            Ok(true) => info!(keys = keys.len(), "the storefront's keys have been read again"),
            Ok(false) => {}
            Err(error) => {
                warn!(error = &error as &dyn Error, "the storefront's keys stay as they were");
            }
        }
    }
    ("keys", Ok(()))
}

async fn reroute(state: StorefrontState) -> (&'static str, Result<(), PartFailed>) {
    storefront::keep_rerouting(state).await;
    ("re-routing", Ok(()))
}

async fn serve_http(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) -> Ended {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY was not taken");
        }
    });
    let mut asked_to_stop = stopped.clone();
    let asked = async move { drop(asked_to_stop.wait_for(|stopped| *stopped).await) };
    let serving = axum::serve(listener, router).with_graceful_shutdown(asked).into_future();
    let late = async {
        drop(stopped.wait_for(|stopped| *stopped).await);
        tokio::time::sleep(LAST_REQUESTS_MAX).await;
    };
    let outcome = tokio::select! {
        outcome = serving => outcome.map_err(PartFailed::Storefront),
        () = late => Ok(()),
    };
    ("storefront", outcome)
}
