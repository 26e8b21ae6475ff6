//! One daemon as a child process: its output in a file, its addresses once it listens, its end by its own id.

use crate::clock;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// How long a daemon may take until it listens. Two hundred of them share two processors.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a daemon may take to stop when asked.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const POLL_EVERY: Duration = Duration::from_millis(10);
/// How much of a log an error shows.
const LOG_TAIL_BYTES: usize = 1500;

/// What a daemon writes once it listens.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Addresses {
    pub http: SocketAddr,
    /// Only the hub has these.
    pub quic: Option<SocketAddr>,
    pub mqtt: Option<SocketAddr>,
}

/// A running child process.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    log: PathBuf,
    child: Child,
    pid: u32,
}

impl Daemon {
    /// Starts a program; what it says goes to the end of `log`. It dies with this process's end.
    pub fn spawn(name: &str, program: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.with_context(|| format!("opening the log `{}`", log.display()))?;
        let errors = output.try_clone().context("sharing the log")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting `{}`", program.display()))?;
        let pid = child.id().context("a process that was just started has an id")?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child, pid })
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the daemon has written where it listens.
    pub async fn addresses(&mut self, file: &Path) -> Result<Addresses> {
        let start = clock::now();
        loop {
            if let Ok(text) = fs::read_to_string(file) {
                return serde_json::from_str(&text)
                    .with_context(|| format!("understanding `{}`: {text}", file.display()));
            }
            if let Some(status) = self.child.try_wait().context("asking after the process")? {
                bail!(
                    "{} ended ({status}) before it listened; its log ends:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            if start.elapsed() > START_PATIENCE {
                let waited = START_PATIENCE.as_secs();
                bail!("{} did not listen within {waited} s; its log ends:\n{}", self.name, self.log_tail());
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// Asks it to stop and waits for that; kills it when it does not.
    pub async fn stop(mut self) -> Result<()> {
        if self.child.try_wait().context("asking after the process")?.is_some() {
            return Ok(());
        }
        terminate(self.pid).await?;
        if timeout(STOP_PATIENCE, self.child.wait()).await.is_ok() {
            return Ok(());
        }
        self.child.kill().await.with_context(|| format!("ending {}", self.name))?;
        bail!("{} did not stop within {} s when asked, and was killed", self.name, STOP_PATIENCE.as_secs())
    }

    /// Ends it at once, as a power cut would (SIGKILL), and waits until it is gone.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("{} ended by itself ({status}); its log ends:\n{}", self.name, self.log_tail()))
    }

    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let tail = &text[text.len().saturating_sub(LOG_TAIL_BYTES)..];
        String::from_utf8_lossy(tail).into_owned()
    }
}

/// SIGTERM. The standard library sends only SIGKILL, and any shell can.
async fn terminate(pid: u32) -> Result<()> {
    let sent = Command::new("/bin/sh").args(["-c", &format!("kill -TERM {pid}")]).status().await;
    sent.context("running `kill`")?;
    Ok(())
}

/// Returns once this program itself is told to stop (SIGINT or SIGTERM). Whoever waits then drops its daemons, which ends them.
pub async fn told_to_stop() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = ctrl_c() => {}
            }
        }
        Err(_) => drop(ctrl_c().await),
    }
}

/// Runs a program to its end; an error carries what it said.
pub async fn run_to_end(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("running `{}`", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{} {}` failed ({}): {said}", program.display(), arguments.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Daemon {
        Daemon::spawn("the shell", Path::new("/bin/sh"), &["-c", script], &folder.join("log")).unwrap()
    }

    #[tokio::test]
    async fn a_daemon_says_where_it_listens() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("addresses.json");
        let script = format!(
            r#"sleep 0.1; echo '{{"http":"127.0.0.1:80","quic":"127.0.0.1:81"}}' > {0}.new; mv {0}.new {0}; sleep 60"#,
            file.display()
        );
        let mut daemon = shell(folder.path(), &script);
        let addresses = daemon.addresses(&file).await.unwrap();
        assert_eq!((addresses.http.port(), addresses.quic.unwrap().port()), (80, 81));
        daemon.kill().await.unwrap();
    }

    #[tokio::test]
    async fn a_daemon_that_ends_early_shows_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = shell(folder.path(), "echo the disk is gone >&2; exit 3");
        let error = daemon.addresses(&folder.path().join("never")).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("the disk is gone"), "{error}");
    }

    #[tokio::test]
    async fn a_daemon_stops_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let daemon =
            shell(folder.path(), "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        let log = folder.path().join("log");
        while !fs::read_to_string(&log).unwrap().contains("up") {
            sleep(POLL_EVERY).await;
        }
        daemon.stop().await.unwrap();
        assert!(fs::read_to_string(&log).unwrap().contains("bye"));
    }
}
