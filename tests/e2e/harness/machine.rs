//! A whole Debian system with its own systemd in a container, to run packages and units for real. It shares this machine's network.
//!
//! Without root, `systemd-nspawn` or `mmdebstrap` there is none, and whoever asks for one is told so.

use super::daemon::Daemon;
use super::scene::Scene;
use super::wait::eventually;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// Where the container finds the test's own folder.
pub const BROUGHT: &str = "/mnt";

/// A running system.
pub struct Machine {
    root: PathBuf,
    brought: PathBuf,
    log: PathBuf,
    container: Option<Daemon>,
    /// Its systemd, as this machine numbers it.
    leader: u32,
}

impl Machine {
    /// A new system that has been started; `None`, and said, where none can be had. The folder `brought` is shown at [`BROUGHT`].
    pub fn boot(scene: &Scene, name: &str, brought: &Path) -> Option<Machine> {
        let missing = ["/usr/bin/systemd-nspawn", "/usr/bin/mmdebstrap", "/usr/bin/nsenter"]
            .into_iter()
            .find(|tool| !Path::new(tool).exists());
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        if let Some(missing) = missing.or((!is_root).then_some("the right to make containers (root)")) {
            eprintln!("SKIPPED: this machine lacks {missing}");
            return None;
        }
        let root = scene.join(&format!("machine-{name}"));
        fs::create_dir(&root).expect("a folder can be made");
        let unpacked = Command::new("tar").arg("-xf").arg(debian()).arg("-C").arg(&root).status();
        assert!(unpacked.expect("tar is there").success(), "a system can be unpacked");
        let log = scene.join(&format!("machine-{name}.log"));
        let mut machine = Machine { root, brought: brought.to_owned(), log, container: None, leader: 0 };
        machine.start();
        Some(machine)
    }

    /// Switches it on.
    pub fn start(&mut self) {
        let mut command = Command::new("systemd-nspawn");
        command.arg("--quiet").arg("--directory").arg(&self.root);
        command.args(["--register=no", "--keep-unit", "--console=pipe", "--boot"]);
        command.arg(format!("--bind-ro={}:{BROUGHT}", self.brought.display()));
        let container = Daemon::start("the container", command, &self.log);
        let starter = container.id();
        self.container = Some(container);
        eventually("the system to have started", || {
            // Asked anew each time: the first child only makes the one that stays.
            let children = fs::read_to_string(format!("/proc/{starter}/task/{starter}/children"));
            let children = children.map_err(|error| error.to_string())?;
            let first = children.split_whitespace().next().and_then(|id| id.parse().ok());
            self.leader = first.ok_or("the container has no process")?;
            let output = self.run(&["systemctl", "is-system-running"]);
            match String::from_utf8_lossy(&output.stdout).trim() {
                "running" | "degraded" => Ok(()),
                state => Err(format!("{state}{}", String::from_utf8_lossy(&output.stderr))),
            }
        });
    }

    /// The power goes off.
    pub fn cut_power(&mut self) {
        let killed = Command::new("kill").args(["-KILL", &self.leader.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "the container's systemd can be killed");
        if let Some(container) = &mut self.container {
            container.ends();
        }
        self.container = None;
    }

    /// Runs a program inside.
    pub fn run(&self, command: &[&str]) -> Output {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.leader.to_string(), "--all", "--wdns=/"]).args(command);
        enter
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive");
        enter.stdin(Stdio::null()).output().expect("util-linux is there")
    }

    /// Expects success, and gives what was said.
    #[track_caller]
    pub fn does(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
        said
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.container.is_some() && self.leader > 1 {
            // Should it have ended by itself, the container's own end follows; nothing may fail here.
            let _ = Command::new("kill").args(["-KILL", &self.leader.to_string()]).status();
        }
    }
}

/// A small Debian of this machine's release, packed once and kept beside the built binaries.
fn debian() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let about = fs::read_to_string("/etc/os-release").expect("this is a Linux");
    let release = about.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or("stable");
    let packed = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{release}.tar"));
    if packed.exists() {
        return packed;
    }
    let unfinished = packed.with_extension(format!("{}.tar", std::process::id()));
    let output = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,iproute2", release])
        .arg(&unfinished)
        .output()
        .expect("mmdebstrap is there");
    assert!(output.status.success(), "mmdebstrap: {}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&unfinished, &packed).expect("a file can be renamed");
    packed
}
