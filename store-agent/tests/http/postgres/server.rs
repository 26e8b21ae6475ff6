//! A real PostgreSQL in a folder of its own: started by the test, ended with it, also when the test fails.

use crate::shop::until;
use postgres::{Client, Config, NoTls};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const VERSIONS: &str = "/usr/lib/postgresql";
/// The account that Debian makes for it; the server refuses root.
const ACCOUNT: &str = "postgres";

pub struct Server {
    pub folder: PathBuf,
    programs: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// `settings` are lines of postgresql.conf.
    pub fn start(settings: &str) -> Server {
        let programs = programs();
        let made = as_account("mktemp").args(["-d", "-t", "shop-postgresql.XXXXXX"]).output().unwrap();
        let folder = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
        let new = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
        let made = as_account(programs.join("initdb")).args(new).arg(folder.join("data")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let plain = format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nfsync = off\n{settings}\n",
            folder.display()
        );
        let conf = folder.join("data/postgresql.conf");
        let text = std::fs::read_to_string(&conf).unwrap();
        std::fs::write(&conf, text + &plain).unwrap();
        let mut server = Server { folder, programs, port, process: None };
        // The agent's own account has to reach the socket.
        std::fs::set_permissions(&server.folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        server.run();
        server.sql("postgres").batch_execute("CREATE DATABASE pos").unwrap();
        server
    }

    pub fn run(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("server.log"))
            .unwrap();
        let process = as_account(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.folder.join("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        until("PostgreSQL answers", || {
            let exited = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
            assert!(exited.is_none(), "PostgreSQL ended: {}", self.log());
            self.settings("postgres").connect(NoTls).is_ok()
        });
    }

    /// SIGQUIT: at once, and without order; the log is worked through at the next start.
    pub fn crash(&mut self) {
        let mut process = self.process.take().unwrap();
        let _ = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
        process.wait().unwrap();
    }

    /// A connection as the POS has.
    pub fn sql(&self, database: &str) -> Client {
        self.settings(database).connect(NoTls).unwrap()
    }

    pub fn pos(&self) -> Client {
        self.sql("pos")
    }

    fn settings(&self, database: &str) -> Config {
        let mut settings = Config::new();
        settings.host_path(&self.folder).port(self.port).user("postgres").dbname(database);
        // A test that waits for itself fails instead.
        settings.options("-c lock_timeout=20s");
        settings
    }

    /// How a `[[pos]]` names this server by its socket.
    pub fn by_socket(&self) -> String {
        format!("socket = \"{}/.s.PGSQL.{}\"\ndatabase = \"pos\"\n", self.folder.display(), self.port)
    }

    /// How a `[[pos]]` names this server by a name.
    pub fn by_name(&self, host: &str) -> String {
        format!("address = \"{host}:{}\"\ndatabase = \"pos\"\n", self.port)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
            let _ = process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn programs() -> PathBuf {
    let versions =
        std::fs::read_dir(VERSIONS).expect("there is no PostgreSQL: install the package postgresql");
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    versions.map(|entry| entry.unwrap().path()).max_by_key(number).unwrap().join("bin")
}

/// A command in the server's account where we are root; it ends with this thread.
fn as_account(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.args([
            &format!("--reuid={ACCOUNT}"),
            &format!("--regid={ACCOUNT}"),
            "--init-groups",
            "--pdeathsig=QUIT",
        ]);
    } else {
        command.arg("--pdeathsig=QUIT");
    }
    command.arg(program).current_dir(Path::new("/"));
    command
}
