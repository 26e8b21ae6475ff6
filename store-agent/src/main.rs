//! The program: `store-agent run`, `check-config`, `check-data`, `backlog`, `page setup-code`, `pos check`, `pos accept`,
//! `pos outbox`, `version`.

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store_agent::config::Config;
use store_agent::config::pickup_key::PickupKey;
use store_agent::config::pos::{PosConfig, PosKind};
use store_agent::http::tokens::Tokens;
use store_agent::pos::source::{Checkup, PosSource};
use store_agent::pos::sqlite::outbox::Outbox;
use store_agent::pos::{self, checkup};
use store_agent::runtime::clock;
use store_agent::runtime::supervisor::Running;
use store_agent::store;
use store_agent::store::backlog::Backlog;
use store_agent::telemetry;
use store_agent::transport::choice;
use store_agent::ui::people;
use store_agent::version::version;
use tracing::Instrument;

/// Requests are short and the core has a thread of its own.
const WORKERS: usize = 2;
/// Threads that wait for the database or for a name to be looked up.
const BLOCKING_MAX: usize = 4;

#[derive(Parser)]
#[command(
    name = "store-agent",
    about = "Keeps a store's inventory, takes stock changes from its tills, and syncs with the hub."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs until SIGTERM or SIGINT; SIGHUP reads the tokens again.
    Run(Given),
    /// Says whether the configuration and the files it names can be used.
    CheckConfig(Given),
    /// Says as JSON whether this agent can work on the databases that are there, also while another runs on them.
    CheckData(Given),
    /// Says as JSON what the hub has not confirmed of this store, by the database of an agent that is not running.
    Backlog(Given),
    /// Looks at the POS systems of the configuration.
    #[command(subcommand)]
    Pos(PosCommand),
    /// The store's page.
    #[command(subcommand)]
    Page(PageCommand),
    /// Prints the version.
    Version {
        /// As one JSON object, with the schemas of the databases.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum PosCommand {
    /// Connects, shows the last movements as the mapping makes them, and names what it can't map. Records nothing.
    Check {
        #[command(flatten)]
        given: Given,
        /// One source only.
        #[arg(long)]
        source: Option<String>,
        /// A body that the vendor of that source has sent: shows what it would become.
        #[arg(long, value_name = "FILE", requires = "source")]
        delivery: Option<PathBuf>,
    },
    /// Takes the POS's tables as they are now for the ones the mapping is made for. Look with `pos check` before.
    Accept {
        #[command(flatten)]
        given: Given,
        source: String,
    },
    /// Shows the SQL that has an SQLite POS itself note each change of a table, for one whose rows tell too little. `--apply` runs it:
    /// the only command that changes a POS's database.
    Outbox {
        #[command(flatten)]
        given: Given,
        #[arg(long)]
        source: String,
        /// The table whose changes are to be noted.
        #[arg(long)]
        table: String,
        /// Takes it away again.
        #[arg(long)]
        remove: bool,
        /// Runs the SQL, as a user who may write there.
        #[arg(long)]
        apply: bool,
    },
}

#[derive(Subcommand)]
enum PageCommand {
    /// Shows the code that the first manager is set up with. Run it as the agent's own user, on the store server.
    SetupCode(Given),
}

#[derive(Args)]
struct Given {
    /// The configuration file; agent.example.toml shows every key.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nothing was installed before");
    let done = match Cli::parse().command {
        Command::Run(given) => run(&given),
        Command::CheckConfig(given) => check_config(&given),
        Command::CheckData(given) => check_data(&given),
        Command::Backlog(given) => backlog(&given),
        Command::Pos(PosCommand::Check { given, source, delivery }) => {
            check_pos(&given, source.as_deref(), delivery.as_deref())
        }
        Command::Pos(PosCommand::Accept { given, source }) => accept_pos(&given, &source),
        Command::Pos(PosCommand::Outbox { given, source, table, remove, apply }) => {
            outbox(&given, &source, &table, remove, apply)
        }
        Command::Page(PageCommand::SetupCode(given)) => setup_code(&given),
        Command::Version { json: false } => say(&format!("store-agent {}", version())),
        Command::Version { json: true } => about(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without stderr there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "store-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(given: &Given) -> anyhow::Result<()> {
    let config = Config::load(&given.config)?;
    telemetry::start_logging(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MAX)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let span = tracing::info_span!("agent", store = %config.store);
    runtime.block_on(async { Running::start(config).await?.until_signalled().await }.instrument(span))
}

fn check_config(given: &Given) -> anyhow::Result<()> {
    let config = Config::load(&given.config)?;
    Tokens::load(&config.http.tokens_file)?;
    if let Some(tls) = config.page.as_ref().and_then(|page| page.tls.as_ref()) {
        store_agent::http::tls::acceptor(&tls.certificate_file, &tls.key_file)?;
    }
    for pos in config.webhooks.iter().flat_map(|webhooks| &webhooks.pos) {
        store_agent::pos::webhooks::check(pos).with_context(|| format!("source {}", pos.source))?;
    }
    if let Some(hub) = &config.hub {
        choice::check(hub)?;
        if let Some(file) = &hub.pickup_key_file {
            PickupKey::load(file)?;
        }
    }
    say(&format!(
        "{} can be used: store {}, tills at {}",
        given.config.display(),
        config.store,
        config.http.listen
    ))
}

fn check_data(given: &Given) -> anyhow::Result<()> {
    let config = Config::load(&given.config)?;
    let agent = store::check(&config.database())?;
    let people = people::check(&config.people_database())?;
    say(&serde_json::json!({ "agent": agent, "people": people }).to_string())
}

fn about() -> anyhow::Result<()> {
    let schemas = serde_json::json!({ "agent": store::own_schema()?, "people": people::own_schema()? });
    say(&serde_json::json!({ "version": version(), "schemas": schemas }).to_string())
}

fn backlog(given: &Given) -> anyhow::Result<()> {
    let config = Config::load(&given.config)?;
    let backlog = Backlog::of(&config.database())
        .with_context(|| format!("cannot read {}", config.database().display()))?;
    say(&serde_json::to_string(&backlog)?)
}

fn check_pos(given: &Given, only: Option<&str>, delivery: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(&given.config)?;
    let read = sources(&config, only);
    let senders = config.webhooks.iter().flat_map(|webhooks| &webhooks.pos);
    let senders: Vec<_> = senders.filter(|pos| only.is_none_or(|only| only == pos.source.as_str())).collect();
    anyhow::ensure!(!read.is_empty() || !senders.is_empty(), "{} names no such POS", given.config.display());
    anyhow::ensure!(
        delivery.is_none() || read.is_empty(),
        "`--delivery` is for a POS of [webhooks], which sends"
    );
    let body = delivery.map(bounded_file).transpose()?;
    let mut wrong = 0;
    let mut told = |name: &str, look: Checkup| {
        wrong += look.problems.len();
        say(checkup::text(name, &look).trim_end())
    };
    for mut source in read {
        let look = source.reader.check().with_context(|| format!("source {}", source.name))?;
        told(&source.name, look)?;
    }
    for pos in senders {
        let look = pos::webhooks::checkup(pos, body.as_deref());
        told(pos.source.as_str(), look.with_context(|| format!("source {}", pos.source))?)?;
    }
    anyhow::ensure!(
        wrong == 0,
        "{wrong} things are wrong with the mapping or the rows; they are named above"
    );
    Ok(())
}

/// A body, no longer than the agent takes one.
fn bounded_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(pos::webhooks::BODY_BYTES_MAX as u64 + 1).read_to_end(&mut body));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(body.len() <= pos::webhooks::BODY_BYTES_MAX, "{} is longer than 1 MiB", path.display());
    Ok(body)
}

fn accept_pos(given: &Given, name: &str) -> anyhow::Result<()> {
    let config = Config::load(&given.config)?;
    let mut found = sources(&config, Some(name));
    anyhow::ensure!(!found.is_empty(), "{} names no such [[pos]]", given.config.display());
    for source in &mut found {
        let tables = source.reader.accept().with_context(|| format!("source {}", source.name))?;
        say(&format!("source {}: the tables {} are accepted as they are", source.name, tables.join(", ")))?;
    }
    Ok(())
}

fn outbox(given: &Given, name: &str, table: &str, is_removed: bool, is_applied: bool) -> anyhow::Result<()> {
    let config = Config::load(&given.config)?;
    let pos = config.pos.iter().find(|pos| pos.source.as_str() == name);
    let pos = pos.with_context(|| format!("{} names no such [[pos]]", given.config.display()))?;
    let PosKind::Sqlite { path } = &pos.kind else {
        anyhow::bail!("source {name} is no SQLite database; only those can note their changes this way");
    };
    let outbox = Outbox::of(path, table, pos.remember_rows)?;
    let statements = if is_removed { outbox.removed() } else { outbox.added() };
    if !is_applied {
        say(&statements.join("\n"))?;
        return say(&format!("-- nothing was changed; `--apply` runs this on {}", path.display()));
    }
    outbox.run(path, &statements)?;
    match is_removed {
        true => say(&format!("{} is gone, with its triggers", outbox.name())),
        false => say(&format!(
            "{} notes each change; its mapping could begin with\n{}",
            outbox.name(),
            outbox.select()
        )),
    }
}

/// A source of the configuration, not yet opened.
struct Source {
    name: String,
    reader: Box<dyn PosSource>,
}

fn sources(config: &Config, only: Option<&str>) -> Vec<Source> {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let of = |of: &PosConfig| Source {
        name: of.source.to_string(),
        reader: pos::open(of.clone(), &config.data_dir, clock::clocks()),
    };
    config.pos.iter().filter(|pos| wanted(pos.source.as_str())).map(of).collect()
}

fn setup_code(given: &Given) -> anyhow::Result<()> {
    let file = Config::load(&given.config)?.setup_code_file();
    let code = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "cannot read {}; it is there from the agent's first start until the first manager was set up",
            file.display()
        )
    })?;
    say(code.trim())
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
