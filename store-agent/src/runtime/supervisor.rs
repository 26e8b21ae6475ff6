//! Starts everything in order and stops it in order; every thread and task is owned here and awaited.
//!
//! Start: lock the data folder, read the tokens, open the database, bind the address, start the driver and the readers of POS systems,
//! serve, dial the hub, publish the addresses. Stop: no new requests, requests in flight finish, the link closes, the readers end, the
//! driver works off what is left and closes the database.

use super::clock::{self, Clock};
use super::driver::Driver;
use super::page::Page;
use super::readers::Readers;
use crate::agent::{Agent, CanarySettings, Settings};
use crate::api::{self, StoreDesk};
use crate::config::Config;
use crate::config::pickup_key::PickupKey;
use crate::counter::Counter;
use crate::http::body::BodyLimits;
use crate::http::guard::{Guard, guarded};
use crate::http::listener::{self, Patience};
use crate::http::tokens::Tokens;
use crate::inbox::sources::SourceBoard;
use crate::inbox::{Bulletin, Crossing, Inbox};
use crate::pos;
use crate::store::{self, reader::Reader};
use crate::telemetry::Metrics;
use crate::transport::choice::{self, Line};
use crate::transport::rules::Pace;
use crate::version::version;
use anyhow::{Context, bail};
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use sync_protocol::Boot;
use sync_protocol::link::Timing;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

/// How often the token file is looked at.
const TOKENS_EVERY: Duration = Duration::from_secs(2);

/// A running agent.
#[derive(Debug)]
pub struct Running {
    http: SocketAddr,
    page: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    driver: JoinHandle<anyhow::Result<()>>,
    driver_ended: oneshot::Receiver<()>,
    readers: Readers,
    tokens: Arc<Tokens>,
    bulletin: watch::Receiver<Bulletin>,
    /// Held for as long as the agent runs.
    _lock: File,
}

impl Running {
    /// Starts an agent. Comes back once it listens.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        Self::start_with(config, Patience::default()).await
    }

    /// As `start`, with another patience for slow clients.
    pub async fn start_with(config: Config, patience: Patience) -> anyhow::Result<Running> {
        let lock = lock(&config)?;
        let tokens = Arc::new(Tokens::load(&config.http.tokens_file)?);
        let counter = Arc::new(Counter::new(pickup_key(&config)?));
        let metrics = Arc::new(Metrics::new(config.store.as_str()));
        let boot = new_boot()?;
        let agent = open(&config, boot)?;
        let reader = Arc::new(Reader::open(&config.database())?);
        let listener = TcpListener::bind(config.http.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.http.listen))?;
        let http = listener.local_addr()?;
        let (inbox, work) = Inbox::new();
        let (driver, bulletin) = Driver::new(agent, Clock::start(), Arc::clone(&metrics), work);
        let (driver, driver_ended) = start_driver(driver)?;
        let (stop, stopping) = watch::channel(false);
        let (crossing, crossed) = watch::channel(Crossing::default());
        let sources = super::readers::board(&config);
        let store = desk(&config, &inbox, &reader, &metrics, &bulletin, crossed, patience);
        let store = StoreDesk { counter, sources: sources.clone(), boot, ..store };
        let page = Page::open(&config, &store, patience, &stopping).await;
        let webhooks = webhooks(&config, &store, &sources).await;
        let readers = Readers::start(&config, &inbox, &reader, &sources, &bulletin)?;
        let router = router(&config, store, &tokens);
        let mut tasks = JoinSet::new();
        let span = tracing::Span::current();
        tasks.spawn(listener::serve(listener, router, patience, stopping.clone()).instrument(span.clone()));
        tasks.spawn(watch_tokens(Arc::clone(&tokens), stopping.clone()).instrument(span.clone()));
        if let Some(hub) = config.hub.clone() {
            let (store, clocks, pace) = (config.store.clone(), clock::clocks(), Pace::default());
            let line = Line { store, hub, inbox, metrics, crossing, clocks, pace };
            tasks.spawn(choice::run(line, stopping).instrument(span));
        }
        let page = page.map(|page| page.serve(&mut tasks));
        let sending = webhooks.as_ref().and_then(|(listener, _)| listener.local_addr().ok());
        if let Some((listener, router)) = webhooks {
            let stopping = stop.subscribe();
            let span = tracing::Span::current();
            tasks.spawn(listener::serve(listener, router, patience, stopping).instrument(span));
        }
        publish_addresses(&config.addresses_file(), http, page, sending)?;
        log_start(&config, http);
        Ok(Running { http, page, stop, tasks, driver, driver_ended, readers, tokens, bulletin, _lock: lock })
    }

    /// Where tills reach it.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where browsers reach the page. `None`: it is switched off, or could not be opened.
    #[must_use]
    pub fn page(&self) -> Option<SocketAddr> {
        self.page
    }

    /// How it is, as it changes.
    #[must_use]
    pub fn bulletin(&self) -> watch::Receiver<Bulletin> {
        self.bulletin.clone()
    }

    /// Runs until a signal asks it to stop or the driver ends by itself, which it must not.
    pub async fn until_signalled(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => reload(&self.tokens),
                _ = &mut self.driver_ended => {
                    tracing::error!("the core has stopped by itself");
                    break;
                }
            }
        }
        tracing::info!("stopping");
        self.stop().await
    }

    /// Stops in order. Fails if something inside had failed, or the database could not be closed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let _ = self.stop.send(true);
        let mut failed = None;
        while let Some(ended) = self.tasks.join_next().await {
            failed = ended.err().or(failed);
        }
        let readers = self.readers;
        tokio::task::spawn_blocking(move || readers.stop()).await?;
        // With tasks and readers went the last inbox, so the driver sees the end once it has worked off what is left.
        let driver = self.driver;
        let closed = tokio::task::spawn_blocking(move || driver.join()).await?;
        match closed {
            Ok(closed) => closed.context("the database could not be closed in good order")?,
            Err(_) => bail!("the core failed; what was answered is on disk"),
        }
        failed.map_or(Ok(()), |error| Err(error).context("a task of the agent failed"))?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Two agents on one folder would each take the other's numbers for its own.
fn lock(config: &Config) -> anyhow::Result<File> {
    let folder = &config.data_dir;
    make_private(folder).with_context(|| format!("cannot make the data folder {}", folder.display()))?;
    let path = config.lock_file();
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another store-agent is running on {}", folder.display()),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// A new data folder is for the agent alone; one that is there already stays as its owner set it up.
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}

fn new_boot() -> anyhow::Result<Boot> {
    let mut boot = [0; 8];
    getrandom::fill(&mut boot).context("the system gives no random numbers")?;
    Ok(Boot(u64::from_le_bytes(boot)))
}

fn open(config: &Config, boot: Boot) -> anyhow::Result<Agent> {
    let db = store::open(&config.database())?;
    let settings = Settings {
        store: config.store.clone(),
        reserve: config.reserve,
        timing: Timing::default(),
        canary: canary(config),
    };
    Ok(Agent::open(db, settings, boot, Clock::start().now())?)
}

/// Without a hub there is no way to follow anything on.
fn canary(config: &Config) -> Option<CanarySettings> {
    config.hub.as_ref()?;
    let sending = config.webhooks.iter().flat_map(|webhooks| &webhooks.pos).map(|pos| &pos.source);
    Some(CanarySettings {
        expected: config.pos.iter().map(|pos| &pos.source).chain(sending).cloned().collect(),
        items: config.canary.items.clone(),
        follow_every_ms: config.canary.follow_every_ms,
        overdue_after_ms: config.canary.overdue_after_ms,
    })
}

/// The driver on a thread of its own; the receiver hears of its end, even by panic.
fn start_driver(driver: Driver) -> anyhow::Result<(JoinHandle<anyhow::Result<()>>, oneshot::Receiver<()>)> {
    let (ending, ended) = oneshot::channel::<()>();
    let runtime = Handle::current();
    let span = tracing::Span::current();
    let thread = std::thread::Builder::new().name("driver".to_owned()).spawn(move || {
        let _ending = ending;
        span.in_scope(|| driver.run(&runtime))
    })?;
    Ok((thread, ended))
}

fn desk(
    config: &Config,
    inbox: &Inbox,
    reader: &Arc<Reader>,
    metrics: &Arc<Metrics>,
    bulletin: &watch::Receiver<Bulletin>,
    crossing: watch::Receiver<Crossing>,
    patience: Patience,
) -> StoreDesk {
    StoreDesk {
        store: config.store.clone(),
        inbox: inbox.clone(),
        reader: Arc::clone(reader),
        limits: BodyLimits::new(config.http.body_bytes_max, patience.body_pause),
        reserve: config.reserve,
        has_hub: config.hub.is_some(),
        hub_certificate: config.hub.as_ref().map(|hub| hub.certificate_file.clone()),
        bulletin: bulletin.clone(),
        crossing,
        metrics: Arc::clone(metrics),
        clocks: clock::clocks(),
        counter: Arc::default(),
        boot: Boot(0),
        sources: SourceBoard::default(),
    }
}

fn pickup_key(config: &Config) -> anyhow::Result<Option<PickupKey>> {
    let file = config.hub.as_ref().and_then(|hub| hub.pickup_key_file.as_ref());
    Ok(file.map(|file| PickupKey::load(file)).transpose()?)
}

fn router(config: &Config, store: StoreDesk, tokens: &Arc<Tokens>) -> axum::Router {
    let tills = pos::http::TillDesk {
        inbox: store.inbox.clone(),
        reader: Arc::clone(&store.reader),
        limits: store.limits.clone(),
    };
    let guard = Guard {
        tokens: Arc::clone(tokens),
        hosts: config.http.hosts.clone(),
        metrics: Arc::clone(&store.metrics),
        clocks: store.clocks,
    };
    guarded(pos::http::routes(tills).merge(api::routes(store)), Arc::new(guard))
}

/// Where POS systems that send reach the agent; on an address of its own, for a tunnel leads there. One that can't be opened is no reason
/// to keep the tills waiting.
async fn webhooks(
    config: &Config,
    store: &StoreDesk,
    sources: &SourceBoard,
) -> Option<(TcpListener, axum::Router)> {
    let webhooks = config.webhooks.as_ref()?;
    let opened = TcpListener::bind(webhooks.listen).await;
    let listener = opened
        .inspect_err(
            |error| tracing::error!(listen = %webhooks.listen, %error, "cannot listen for webhooks; nothing that is sent arrives"),
        )
        .ok()?;
    let desk = pos::webhooks::WebhookDesk {
        inbox: store.inbox.clone(),
        reader: Arc::clone(&store.reader),
        board: sources.clone(),
        bulletin: store.bulletin.clone(),
        has_hub: store.has_hub,
        limits: store.limits.clone(),
        clocks: store.clocks,
    };
    Some((listener, pos::webhooks::routes(webhooks, config.pos.len(), desk)))
}

/// Written whole or not at all: whoever waits for the file may read it at once.
fn publish_addresses(
    path: &Path,
    http: SocketAddr,
    page: Option<SocketAddr>,
    webhooks: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let page = page.map(|page| format!(",\"page\":\"{page}\"")).unwrap_or_default();
    let webhooks = webhooks.map(|at| format!(",\"webhooks\":\"{at}\"")).unwrap_or_default();
    let text = format!("{{\"http\":\"{http}\"{page}{webhooks}}}\n");
    let draft = path.with_extension("json.new");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn log_start(config: &Config, http: SocketAddr) {
    let hub = config.hub.as_ref().map_or("none", |hub| hub.address.as_str());
    tracing::info!(version = version(), %http, hub, data = %config.data_dir.display(), "listening");
    if !http.ip().is_loopback() {
        tracing::warn!(%http, "tokens cross the network unencrypted here; keep this address inside the store's own network");
    }
}

/// Reads the token file again whenever it has changed.
async fn watch_tokens(tokens: Arc<Tokens>, mut stop: watch::Receiver<bool>) {
    let mut seen = changed_at(tokens.path());
    loop {
        tokio::select! {
            () = tokio::time::sleep(TOKENS_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let now = changed_at(tokens.path());
        if now != seen {
            seen = now;
            reload(&tokens);
        }
    }
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn reload(tokens: &Tokens) {
    match tokens.reload() {
        Ok(count) => tracing::info!(count, "read the tokens again"),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "the tokens of before stay in force");
        }
    }
}
