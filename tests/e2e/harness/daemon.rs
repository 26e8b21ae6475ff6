//! One real process: started from the binary beside this test, its talk in a log file, ended with the test.

use super::wait::{Deadline, eventually, pause};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A running process of ours.
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` with both its outputs appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Daemon {
        let open = || OpenOptions::new().create(true).append(true).open(log).expect("the log can be opened");
        command.stdin(Stdio::null()).stdout(open()).stderr(open());
        let child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        Daemon { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process of ours can be killed");
        self.child.wait().expect("a killed process ends");
    }

    /// SIGTERM; it must end by itself, in good time and in good order.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        let status = self.ended();
        assert!(status.success(), "{} ended with {status}; its log ends in\n{}", self.name, self.tail());
    }

    /// SIGSTOP: it keeps its connections and does nothing.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it goes on where it was.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "can't signal {}", self.name);
    }

    /// It ends, and it does not matter how.
    pub fn ends(&mut self) {
        self.ended();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Deadline::within(STOP_WITHIN);
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(
                !deadline.has_passed(),
                "{} did not end within {STOP_WITHIN:?}; its log ends in\n{}",
                self.name,
                self.tail()
            );
            pause(10);
        }
    }

    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a process of ours can be asked")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log can be read")
    }

    /// The last lines of the log.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Waits for the file in which a daemon says where it listens, and reads one address from it.
    pub fn address(&mut self, file: &Path, key: &str) -> SocketAddr {
        eventually(&format!("{} to say where it listens", self.name), || {
            if let Some(status) = self.exited() {
                panic!(
                    "{} ended with {status} instead of starting; its log ends in\n{}",
                    self.name,
                    self.tail()
                );
            }
            let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
            let addresses: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            addresses[key].as_str().and_then(|text| text.parse().ok()).ok_or_else(|| addresses.to_string())
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.exited().is_none() {
            self.kill();
        }
    }
}

/// A binary of the workspace, built beside this test.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own file");
    let profile = own.ancestors().nth(2).expect("tests run from `<profile>/deps`");
    let binary = profile.join(name);
    assert!(
        binary.exists(),
        "`{}` is not built; run `cargo xtask test`, which builds it first",
        binary.display()
    );
    binary
}

/// A file with this text, for its owner's eyes only: the daemons refuse secrets that others can read.
pub fn write(path: &Path, text: &str) {
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    let mut file = options.create_new(true).write(true).mode(0o600).open(path).expect("a file can be made");
    file.write_all(text.as_bytes()).expect("a file can be written");
}
