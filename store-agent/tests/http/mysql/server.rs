//! A real MariaDB for one test.

use crate::shop::until;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub const PASSWORD: &str = "only-for-reading";

/// A server of its own in a folder of its own, without a port; it ends with the test.
pub struct Server {
    pub folder: TempDir,
    pub child: Child,
    settings: Vec<String>,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(&["--skip-networking"])
    }

    /// One that keeps a log of rows.
    pub fn logging() -> Server {
        Server::start_with(&["--skip-networking", "--log-bin", "--server-id=1", "--binlog-format=ROW"])
    }

    pub fn start_with(settings: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        // In a folder that they share, servers remove each other's temporary tables when they start.
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        let made = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--user=root",
                "--skip-test-db",
                "--auth-root-authentication-method=socket",
            ])
            .arg(format!("--datadir={}", data.display()))
            .env("TMPDIR", &temporary)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let child = Server::spawn(folder.path(), &settings);
        let server = Server { folder, child, settings };
        until("the server takes connections", || server.try_connect("", "root").is_ok());
        server
    }

    fn spawn(folder: &Path, settings: &[String]) -> Child {
        Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--innodb-buffer-pool-size=32M"])
            .args(settings)
            .args(["--innodb-flush-log-at-trx-commit=2", "--innodb-log-file-size=8M"])
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--tmpdir={}", folder.join("tmp").display()))
            .arg(format!("--socket={}", folder.join("sock").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// It is killed, and comes back as it was.
    pub fn restart(&mut self) {
        self.stop();
        self.child = Server::spawn(self.folder.path(), &self.settings);
        until("the server is back", || self.try_connect("", "root").is_ok());
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    pub fn try_connect(&self, database: &str, user: &str) -> mysql::Result<Conn> {
        let opts = OptsBuilder::new()
            .socket(Some(self.socket().to_string_lossy().into_owned()))
            .user(Some(user))
            .db_name((!database.is_empty()).then_some(database));
        Conn::new(opts)
    }

    pub fn connect(&self, database: &str) -> Conn {
        self.try_connect(database, "root").unwrap()
    }

    /// A database with what a dump says.
    pub fn load(&self, database: &str, dump: &Path) {
        self.connect("").query_drop(format!("CREATE DATABASE {database}")).unwrap();
        let text = unzipped(dump);
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "--user=root"])
            .arg(format!("--socket={}", self.socket().display()))
            .arg(database)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut client.stdin.take().unwrap(), &text).unwrap();
        assert!(client.wait().unwrap().success());
    }

    /// Who may read that database and nothing else, or the log too.
    pub fn reader(&self, database: &str, and_log: bool) {
        let mut root = self.connect("");
        root.query_drop(format!("CREATE OR REPLACE USER 'shopsmart'@'localhost' IDENTIFIED BY '{PASSWORD}'"))
            .unwrap();
        root.query_drop(format!("GRANT SELECT ON {database}.* TO 'shopsmart'@'localhost'")).unwrap();
        if and_log {
            self.grant_log();
        }
    }

    pub fn grant_log(&self) {
        let grant = "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'shopsmart'@'localhost'";
        self.connect("").query_drop(grant).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn unzipped(file: &Path) -> Vec<u8> {
    let read = Command::new("gzip").arg("-dc").arg(file).output().unwrap();
    assert!(read.status.success(), "{read:?}");
    read.stdout
}
