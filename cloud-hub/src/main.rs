//! `cloud-hub`: makes a hub (`init`), tells it about stores (`store …`), lets their servers in (`token …`, `registration …`), says which
//! release they shall have (`rollout …`), tells it about a broker between them and it (`broker issue`), and runs it (`run`).
//!
//! What a command found out goes to standard output, everything else to standard error. The exit code is 0 when the
//! command did what it was asked, 1 when it could not (with the chain of causes), 2 when it was not understood.

mod commands;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use cloud_hub::availability::StoreInfo;
use cloud_hub::config::Config;
use cloud_hub::enrol::ca::{BROKER_DAYS, PAGE_DAYS, Pki, ServerName};
use cloud_hub::enrol::key;
use cloud_hub::orders::pickup_settings::Revised;
use cloud_hub::orders::settings_file::{BadLine, Change, SettingsFile};
use cloud_hub::runtime::clock::Clock;
use cloud_hub::runtime::supervisor::Running;
use cloud_hub::storage::sqlite::Sqlite;
use cloud_hub::storage::{Changes, Storage, StoreKey};
use cloud_hub::telemetry;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use sync_protocol::StoreId;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Merges every store's stock and answers the storefront.
#[derive(Parser)]
#[command(name = "cloud-hub")]
enum Command {
    /// Make the hub's certificate authority, its own certificate and a first API key
    Init(Init),
    /// Run the hub until it is told to stop (SIGTERM or SIGINT)
    Run(Run),
    /// Stores the hub knows
    #[command(subcommand)]
    Store(Store),
    /// Enrolment tokens: who has one becomes a store
    #[command(subcommand)]
    Token(commands::token::Token),
    /// Machines that wait for head office to let them in
    #[command(subcommand)]
    Registration(commands::registration::Registration),
    /// Which release the stores shall have, ring after ring
    #[command(subcommand)]
    Rollout(commands::rollout::Rollout),
    /// An MQTT broker between stores and hub; none is needed
    #[command(subcommand)]
    Broker(Broker),
    /// Print the version
    Version,
}

#[derive(Args)]
struct Init {
    #[command(flatten)]
    configured: Configured,
    /// A DNS name or IP address under which stores reach the hub; may be given several times
    #[arg(long = "name", value_name = "DNS-OR-IP", default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<ServerName>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    configured: Configured,
    /// The database was restored from a backup: offer nothing from a store until it has told what it knows
    #[arg(long)]
    restored: bool,
}

#[derive(Subcommand)]
enum Store {
    /// Add a store, or change what is known of it; a running hub takes notice within seconds
    Add(Add),
    /// List the stores, and since when each has been heard
    List(commands::identity::Listing),
    /// Show who holds a store's identity
    Show(commands::identity::Show),
    /// Shut a store out: its links end at once, and its certificates and tokens are good for nothing
    Revoke(commands::identity::Revoke),
    /// Say which of two machines with one identity is the store
    Choose(commands::identity::Choose),
    /// Issue a store's certificate by hand: writes ca.pem, store.pem, store.key and pickup.pub. Stores with a line enrol instead
    Certificate(commands::identity::Certificate),
    /// Issue the certificate of a store's page, for tablets: writes ca.pem, page.pem and page.key
    PageCertificate(PageCertificate),
    /// How stores take part in pickup
    #[command(subcommand)]
    Settings(StoreSettings),
}

#[derive(Subcommand)]
enum StoreSettings {
    /// Take the pickup settings of many stores from a CSV file; a running hub takes notice within seconds
    Import(ImportSettings),
}

#[derive(Args)]
struct ImportSettings {
    #[command(flatten)]
    configured: Configured,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With the columns store, pickup, monday to sunday, exceptions, per_hour and per_day; what has no column stays
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
}

#[derive(Args)]
struct Add {
    #[command(flatten)]
    configured: Configured,
    /// Letters, digits, `-` and `_`, at most 32: S0042
    #[arg(long)]
    id: StoreId,
    /// As shoppers know it
    #[arg(long)]
    name: String,
    /// Degrees north, -90 to 90
    #[arg(long, allow_negative_numbers = true, value_parser = latitude)]
    lat: f64,
    /// Degrees east, -180 to 180
    #[arg(long, allow_negative_numbers = true, value_parser = longitude)]
    lon: f64,
    /// IANA name: America/New_York
    #[arg(long, value_parser = timezone)]
    timezone: String,
}

#[derive(Args)]
struct PageCertificate {
    #[command(flatten)]
    configured: Configured,
    /// A store the hub knows
    #[arg(long)]
    id: StoreId,
    /// A DNS name or IP address under which browsers reach the store's server; may be given several times
    #[arg(long = "host", value_name = "DNS-OR-IP", required = true)]
    hosts: Vec<ServerName>,
    /// The folder to write to; it is made when missing, and nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Subcommand)]
enum Broker {
    /// Issue the broker's certificate: writes ca.pem, broker.pem and broker.key
    Issue(IssueBroker),
}

#[derive(Args)]
struct IssueBroker {
    #[command(flatten)]
    configured: Configured,
    /// A DNS name or IP address under which stores and hub reach the broker; may be given several times
    #[arg(long = "name", value_name = "DNS-OR-IP", required = true)]
    names: Vec<ServerName>,
    /// The folder to write to; it is made when missing, and nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Args)]
struct Configured {
    /// The hub's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    // Only the first call in a process can fail, and this is it.
    drop(rustls::crypto::ring::default_provider().install_default());
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloud-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(init) => init.run(),
        Command::Run(run) => run.run(),
        Command::Store(Store::Add(add)) => add.run(),
        Command::Store(Store::List(listing)) => listing.run(),
        Command::Store(Store::Show(show)) => show.run(),
        Command::Store(Store::Revoke(revoke)) => revoke.run(),
        Command::Store(Store::Choose(choose)) => choose.run(),
        Command::Store(Store::Certificate(certificate)) => certificate.run(),
        Command::Token(token) => token.run(),
        Command::Registration(registration) => registration.run(),
        Command::Rollout(rollout) => rollout.run(),
        Command::Store(Store::PageCertificate(page)) => page.run(),
        Command::Store(Store::Settings(StoreSettings::Import(import))) => import.run(),
        Command::Broker(Broker::Issue(issue)) => issue.run(),
        Command::Version => say(&format!("cloud-hub {}", env!("CARGO_PKG_VERSION"))),
    }
}

impl Init {
    fn run(self) -> anyhow::Result<()> {
        let config = self.configured.load()?;
        let (folder, keys) = (config.pki_folder(), &config.storefront.keys_file);
        Pki::create(&folder, &self.names, Clock::start().wall())?;
        say(&format!("certificate authority and server certificate written to {}", folder.display()))?;
        if key::write_first(keys)? {
            say(&format!("a first API key for the web shop written to {}", keys.display()))?;
        }
        Ok(())
    }
}

impl Run {
    fn run(self) -> anyhow::Result<()> {
        let config = self.configured.load()?;
        telemetry::start_logging(&config.log)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.context("can't start the async runtime")?.block_on(run_hub(&config, self.restored))
    }
}

async fn run_hub(config: &Config, restored: bool) -> anyhow::Result<()> {
    let mut told_to_stop = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("can't listen for SIGINT")?;
    let mut hub = Running::start(config, restored).await?;
    let failed = tokio::select! {
        failed = hub.ended() => Some(failed),
        _ = told_to_stop.recv() => None,
        _ = interrupted.recv() => None,
    };
    let stopped = tokio::select! {
        stopped = hub.stop() => stopped,
        _ = interrupted.recv() => bail!("interrupted again before everything had stopped"),
    };
    if let Some(failed) = failed {
        return Err(failed.into());
    }
    stopped?;
    info!("stopped");
    Ok(())
}

impl Add {
    fn run(self) -> anyhow::Result<()> {
        let config = self.configured.load()?;
        let Add { id, name, lat, lon, timezone, .. } = self;
        let name = checked_name(&name)?;
        let said = format!("store {id} is known to the hub");
        open_storage(&config)?.put_store(&StoreInfo { id, name, lat, lon, timezone })?;
        say(&said)
    }
}

impl PageCertificate {
    fn run(self) -> anyhow::Result<()> {
        let config = self.configured.load()?;
        let pki = Pki::open(&config.pki_folder())?;
        expect_known(&config, &self.id)?;
        pki.issue_page(&self.id, &self.hosts, PAGE_DAYS, Clock::start().wall())?.write_to(&self.out)?;
        say(&format!(
            "ca.pem, page.pem and page.key for the page of store {} written to {}",
            self.id,
            self.out.display()
        ))
    }
}

fn expect_known(config: &Config, store: &StoreId) -> anyhow::Result<()> {
    let known = open_storage(config)?.stores()?;
    if !known.iter().any(|(_, known)| known.id == *store) {
        bail!("the hub knows no store `{store}`; add it first with `cloud-hub store add`");
    }
    Ok(())
}

/// Most bad lines of a file that are shown.
const BAD_LINES_SHOWN: usize = 50;

impl ImportSettings {
    /// All of the file in one commit, or nothing.
    fn run(self) -> anyhow::Result<()> {
        let config = self.configured.load()?;
        let shown = self.file.display();
        let bytes = std::fs::read(&self.file).with_context(|| format!("can't read {shown}"))?;
        let refused = |faults: Vec<BadLine>| anyhow!("nothing was changed; {shown}:{}", listed(&faults));
        let file = SettingsFile::read(&bytes).map_err(refused)?;
        let mut storage = open_storage(&config)?;
        let (keys, stores) = stores_and_settings(&mut storage)?;
        let changes = file.changes(&stores).map_err(refused)?;
        for line in changes.iter().flat_map(Change::lines) {
            say(&line)?;
        }
        let (changed, all) = (changes.len(), file.stores());
        if self.dry_run {
            return say(&format!("a dry run: {changed} of {all} stores would change, none has"));
        }
        let revised = changes.into_iter().filter_map(|change| {
            let revision = change.before.revision + 1;
            Some((*keys.get(&change.store)?, Revised { revision, settings: change.after }))
        });
        let changes = Changes { pickup_settings: revised.collect(), ..Changes::default() };
        if !changes.is_empty() {
            let failed =
                "nothing was changed; somebody may have changed settings at the same moment, try again";
            storage.commit(&changes).context(failed)?;
        }
        say(&format!("{changed} of {all} stores changed"))
    }
}

fn listed(faults: &[BadLine]) -> String {
    let mut text: String = faults.iter().take(BAD_LINES_SHOWN).map(|fault| format!("\n  {fault}")).collect();
    if faults.len() > BAD_LINES_SHOWN {
        text += &format!("\n  and {} more lines", faults.len() - BAD_LINES_SHOWN);
    }
    text
}

type StoresAndSettings = (HashMap<StoreId, StoreKey>, HashMap<StoreId, Revised>);

fn stores_and_settings(storage: &mut Sqlite) -> anyhow::Result<StoresAndSettings> {
    let keys: HashMap<StoreId, StoreKey> =
        storage.stores()?.into_iter().map(|(key, info)| (info.id, key)).collect();
    let settings: HashMap<StoreKey, Revised> = storage.pickup_settings()?.into_iter().collect();
    let of = |key: &StoreKey| settings.get(key).cloned().unwrap_or_default();
    let stores = keys.iter().map(|(id, key)| (id.clone(), of(key))).collect();
    Ok((keys, stores))
}

impl IssueBroker {
    fn run(self) -> anyhow::Result<()> {
        let pki = Pki::open(&self.configured.load()?.pki_folder())?;
        pki.issue_broker(&self.names, BROKER_DAYS, Clock::start().wall())?.write_to(&self.out)?;
        say(&format!("ca.pem, broker.pem and broker.key written to {}", self.out.display()))
    }
}

impl Configured {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }
}

fn open_storage(config: &Config) -> anyhow::Result<Sqlite> {
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("can't make the data folder `{}`", config.data_dir.display()))?;
    Ok(Sqlite::open(&config.database_file())?)
}

fn say(what: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{what}").context("can't write to standard output")
}

const NAME_CHARS_MAX: usize = 100;

fn checked_name(name: &str) -> anyhow::Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        bail!("the name of a store has 1 to {NAME_CHARS_MAX} characters, none of them a control character");
    }
    Ok(name.to_owned())
}

fn latitude(text: &str) -> Result<f64, String> {
    degrees(text, 90.0)
}

fn longitude(text: &str) -> Result<f64, String> {
    degrees(text, 180.0)
}

fn degrees(text: &str, max: f64) -> Result<f64, String> {
    let degrees: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if degrees.abs() <= max { Ok(degrees) } else { Err(format!("not between -{max} and {max}")) }
}

fn timezone(text: &str) -> Result<String, String> {
    jiff::tz::TimeZone::get(text)
        .map_err(|_| "no such time zone; write an IANA name like America/New_York")?;
    Ok(text.to_owned())
}
