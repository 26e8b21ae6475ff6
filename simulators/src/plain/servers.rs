//! Starts Mosquitto and PostgreSQL from their Debian packages, each with a folder of its own that goes afterwards.

use crate::fleet::daemon::{Daemon, run_to_end};
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;

pub const MOSQUITTO: [&str; 2] = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
const POSTGRESQL_VERSIONS: &str = "/usr/lib/postgresql";
/// The account that Debian's package makes; PostgreSQL refuses to run as root.
const POSTGRESQL_ACCOUNT: &str = "postgres";
const POLL_EVERY: Duration = Duration::from_millis(20);
const POLLS_MAX: u32 = 1500;

/// A broker on loopback.
pub struct Broker {
    pub daemon: Daemon,
    pub address: SocketAddr,
}

impl Broker {
    pub async fn start(folder: &Path) -> Result<Self> {
        let program = MOSQUITTO.iter().map(Path::new).find(|program| program.is_file());
        let program = program.context("there is no mosquitto: `apt-get install mosquitto`")?;
        let address = free_port()?;
        let config = folder.join("mosquitto.conf");
        fs::write(&config, broker_configuration(address, folder))
            .context("writing mosquitto's configuration")?;
        let arguments = ["-c", &config.to_string_lossy()];
        let mut daemon = Daemon::spawn("mosquitto", program, &arguments, &folder.join("mosquitto.log"))?;
        wait_until(&mut daemon, || TcpStream::connect(address).is_ok()).await?;
        Ok(Self { daemon, address })
    }
}

/// As a careful team would set it: messages survive a restart, nothing is thrown away, nothing waits for Nagle.
fn broker_configuration(address: SocketAddr, folder: &Path) -> String {
    // As root it would change to an account that can't write here.
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n\
        persistence true\npersistence_location {folder}/\n\
        max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n",
        port = address.port(),
        folder = folder.display(),
    )
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    listener.local_addr().context("asking for the free port")
}

/// A database server that listens on a socket in its own folder only.
pub struct Database {
    pub daemon: Daemon,
    pub folder: PathBuf,
}

impl Database {
    pub async fn start(logs: &Path) -> Result<Self> {
        let programs = postgresql_programs()?;
        let folder =
            PathBuf::from(run_as_account("mktemp", &["-d", "-t", "plain-postgresql.XXXXXX"]).await?.trim());
        let (data, socket) = (folder.join("data"), folder.clone());
        let data = data.to_string_lossy();
        let initdb = programs.join("initdb");
        let new = ["-D", &data, "-A", "trust", "-U", POSTGRESQL_ACCOUNT, "-E", "UTF8", "--locale=C"];
        run_as_account(&initdb.to_string_lossy(), &new).await?;
        let postgres = programs.join("postgres");
        let postgres = postgres.to_string_lossy();
        let listen = ["-D", &data, "-k", &socket.to_string_lossy(), "-c", "listen_addresses="];
        let (program, arguments) = as_account(&postgres, &listen)?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = logs.join("postgresql.log");
        let mut daemon = Daemon::spawn("postgresql", Path::new(&program), &arguments, &log)?;
        let door = folder.join(".s.PGSQL.5432");
        wait_until(&mut daemon, || UnixStream::connect(&door).is_ok()).await?;
        Ok(Self { daemon, folder })
    }

    /// Stops the server and removes its folder.
    pub async fn stop(self) -> Result<()> {
        self.daemon.stop().await?;
        fs::remove_dir_all(&self.folder).with_context(|| format!("removing `{}`", self.folder.display()))
    }
}

/// How to reach the database in this folder.
#[must_use]
pub fn database_settings(folder: &Path) -> tokio_postgres::Config {
    let mut settings = tokio_postgres::Config::new();
    settings.host_path(folder).user(POSTGRESQL_ACCOUNT).dbname("postgres");
    settings
}

fn postgresql_programs() -> Result<PathBuf> {
    let versions = fs::read_dir(POSTGRESQL_VERSIONS).into_iter().flatten().flatten();
    let number = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    let newest = versions.map(|entry| entry.path()).max_by_key(number);
    let programs = newest.map(|version| version.join("bin")).filter(|bin| bin.join("initdb").is_file());
    programs.context("there is no PostgreSQL: `apt-get install postgresql`")
}

/// The same command as the database's account when this is root; as it is otherwise.
fn as_account(program: &str, arguments: &[&str]) -> Result<(String, Vec<String>)> {
    let we = fs::metadata("/proc/self").context("asking who we are")?.uid();
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    if we != 0 {
        return Ok((program.to_owned(), owned(arguments)));
    }
    let account = [
        &format!("--reuid={POSTGRESQL_ACCOUNT}") as &str,
        &format!("--regid={POSTGRESQL_ACCOUNT}"),
        "--init-groups",
        program,
    ];
    Ok(("setpriv".to_owned(), [owned(&account), owned(arguments)].concat()))
}

async fn run_as_account(program: &str, arguments: &[&str]) -> Result<String> {
    let (program, arguments) = as_account(program, arguments)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run_to_end(Path::new(&program), &arguments).await
}

/// Waits until a daemon that was just started is ready.
pub async fn wait_until(daemon: &mut Daemon, mut ready: impl FnMut() -> bool) -> Result<()> {
    for _ in 0..POLLS_MAX {
        if ready() {
            return Ok(());
        }
        if let Some(how) = daemon.ended() {
            bail!(how);
        }
        sleep(POLL_EVERY).await;
    }
    bail!("it did not listen in time; its log ends:\n{}", daemon.log_tail())
}
