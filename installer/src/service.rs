//! Who runs the agent: systemd, or nobody we know of (containers, tests).
//!
//! Below another root systemd's units are written and enabled, and nothing is started.

use crate::fault::{Code, Fault};
use crate::layout::Layout;
use crate::program::words;
use std::path::PathBuf;
use std::process::Command;

pub const AGENT_UNIT: &str = "store-agent.service";
pub const RENEW_UNIT: &str = "shopsmart-renew.service";
pub const UPGRADE_UNIT: &str = "shopsmart-upgrade.service";
pub const RENEW_TIMER: &str = "shopsmart-renew.timer";
pub const UPGRADE_TIMER: &str = "shopsmart-upgrade.timer";

const AGENT_TEXT: &str = include_str!("../units/store-agent.service");
const RENEW_TEXT: &str = include_str!("../units/shopsmart-renew.service");
const UPGRADE_TEXT: &str = include_str!("../units/shopsmart-upgrade.service");
const RENEW_TIMER_TEXT: &str = include_str!("../units/shopsmart-renew.timer");
const UPGRADE_TIMER_TEXT: &str = include_str!("../units/shopsmart-upgrade.timer");

/// Those that start others now and then.
pub const TIMERS: [&str; 2] = [RENEW_TIMER, UPGRADE_TIMER];

/// All of them.
pub const UNITS: [&str; 5] = [AGENT_UNIT, RENEW_UNIT, RENEW_TIMER, UPGRADE_UNIT, UPGRADE_TIMER];
/// Those that start with the machine.
pub const ENABLED: [&str; 4] = [AGENT_UNIT, RENEW_TIMER, UPGRADE_UNIT, UPGRADE_TIMER];

/// The user whom the agent runs as under systemd.
pub const USER: &str = "shopsmart";

/// Who runs the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Manager {
    Systemd,
    /// Nobody: storectl says how to run it.
    None,
}

/// A unit file: where it lies and what is in it.
pub struct Unit {
    pub path: PathBuf,
    pub text: String,
}

impl Manager {
    /// The unit files of this store. A package brings its own.
    #[must_use]
    pub fn units(self, layout: &Layout) -> Vec<Unit> {
        if self == Manager::None || layout.packaged_program().exists() {
            return Vec::new();
        }
        let shown = |path: PathBuf| layout.inside(&path).display().to_string();
        let fill = |text: &str| {
            text.replace("/usr/bin/store-agent", &shown(layout.program()))
                .replace("/usr/bin/storectl", &shown(layout.own_storectl()))
        };
        let texts = [AGENT_TEXT, RENEW_TEXT, RENEW_TIMER_TEXT, UPGRADE_TEXT, UPGRADE_TIMER_TEXT];
        UNITS
            .into_iter()
            .zip(texts)
            .map(|(name, text)| Unit { path: layout.unit(name), text: fill(text) })
            .collect()
    }

    /// What the agent's unit has to allow besides, since it sees the whole system as read-only: folders in which it moves files.
    #[must_use]
    pub fn addition(self, layout: &Layout, folders: &[PathBuf]) -> Option<Unit> {
        let path = layout.unit_addition();
        if self == Manager::None || folders.is_empty() && !path.exists() {
            return None;
        }
        let mut text = "# Written by storectl, by the sources in agent.toml.\n[Service]\n".to_owned();
        for folder in folders.iter().map(|folder| folder.display().to_string()) {
            // A line end would begin another setting.
            if !folder.contains(char::is_control) {
                let quoted = folder.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
                text.push_str(&format!("ReadWritePaths=\"-{quoted}\"\n"));
            }
        }
        Some(Unit { path, text })
    }

    /// Units are there that shall run, and do not yet start by themselves.
    pub fn not_enabled(self, layout: &Layout) -> Result<Vec<&'static str>, Fault> {
        let mut missing = Vec::new();
        if self == Manager::Systemd {
            for unit in ENABLED {
                if !succeeds(layout, &["is-enabled", "--quiet", unit])? {
                    missing.push(unit);
                }
            }
        }
        Ok(missing)
    }

    pub fn enable(self, layout: &Layout, unit: &str) -> Result<(), Fault> {
        self.tell(layout, &["enable", unit])
    }

    pub fn disable(self, layout: &Layout, unit: &str) -> Result<(), Fault> {
        self.tell(layout, &["disable", unit])
    }

    /// Whether storectl can start and stop anything here.
    #[must_use]
    pub fn is_live(self, layout: &Layout) -> bool {
        self == Manager::Systemd && layout.is_real()
    }

    /// Whether a unit is up. Nothing is where nothing can be started.
    pub fn is_active(self, layout: &Layout, unit: &str) -> Result<bool, Fault> {
        if !self.is_live(layout) {
            return Ok(false);
        }
        succeeds(layout, &["is-active", "--quiet", unit])
    }

    /// Whether the machine is being switched off: what fails now says nothing about any program.
    #[must_use]
    pub fn is_going_down(self, layout: &Layout) -> bool {
        if !self.is_live(layout) {
            return false;
        }
        // The rest are `stopping`, and what is said where nobody answers any more.
        let up = ["initializing", "starting", "running", "degraded", "maintenance"];
        let asked = systemctl(layout, &["is-system-running"]).output();
        asked.map_or(true, |output| !up.contains(&String::from_utf8_lossy(&output.stdout).trim()))
    }

    /// Whether somebody has stopped a unit. One that fails, or is started again and again, is not stopped.
    #[must_use]
    pub fn is_stopped(self, layout: &Layout, unit: &str) -> bool {
        let asked = || systemctl(layout, &["is-active", unit]).output();
        self.is_live(layout) && asked().is_ok_and(|output| output.stdout.trim_ascii() == b"inactive")
    }

    /// Has changed unit files read.
    pub fn reload(self, layout: &Layout) -> Result<(), Fault> {
        if self.is_live(layout) { self.tell(layout, &["daemon-reload"]) } else { Ok(()) }
    }

    pub fn restart(self, layout: &Layout, unit: &str) -> Result<(), Fault> {
        if self.is_live(layout) { self.tell(layout, &["restart", unit]) } else { Ok(()) }
    }

    pub fn stop(self, layout: &Layout, unit: &str) -> Result<(), Fault> {
        if self.is_live(layout) { self.tell(layout, &["stop", unit]) } else { Ok(()) }
    }

    fn tell(self, layout: &Layout, args: &[&str]) -> Result<(), Fault> {
        if self == Manager::None {
            return Ok(());
        }
        let output = systemctl(layout, args).output().map_err(no_systemd)?;
        match output.status.success() {
            true => Ok(()),
            false => {
                Err(Fault::new(Code::E503, format!("`systemctl {}`: {}", args.join(" "), words(&output))))
            }
        }
    }
}

fn succeeds(layout: &Layout, args: &[&str]) -> Result<bool, Fault> {
    let output = systemctl(layout, args).output().map_err(no_systemd)?;
    Ok(output.status.success())
}

fn systemctl(layout: &Layout, args: &[&str]) -> Command {
    let mut command = Command::new("systemctl");
    if !layout.is_real() {
        command.arg("--root").arg(layout.root());
    }
    command.args(args);
    command
}

fn no_systemd(error: std::io::Error) -> Fault {
    Fault::caused(Code::E503, "cannot run `systemctl`; without systemd say --service-manager none", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn units_name_the_program_as_it_is_inside_an_image() {
        let folder = tempfile::tempdir().unwrap();
        let units = Manager::Systemd.units(&Layout::at(folder.path()));
        assert_eq!(units.len(), UNITS.len());
        assert!(
            units[0]
                .text
                .contains("ExecStart=/opt/shopsmart/bin/store-agent run --config /etc/shopsmart/agent.toml")
        );
        assert!(units[1].text.contains("ExecStart=/opt/shopsmart/bin/storectl renew"));
        assert!(units.iter().all(|unit| !unit.text.contains(&*folder.path().to_string_lossy())));
    }

    #[test]
    fn the_services_expose_little_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let hub = include_str!("../../cloud-hub/units/cloud-hub.service");
        // Upgrades are root's: they put programs in place and start them as another user.
        for (name, text, most) in [
            (AGENT_UNIT, AGENT_TEXT, 1.5),
            (RENEW_UNIT, RENEW_TEXT, 1.5),
            ("cloud-hub.service", hub, 1.5),
            (UPGRADE_UNIT, UPGRADE_TEXT, 4.0),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            let mut command = Command::new("systemd-analyze");
            let output = command
                .args(["security", "--no-pager", "--offline=true", "--threshold=100"])
                .arg(&file)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let level = said.split("exposure level for").nth(1).and_then(|rest| rest.split(": ").nth(1));
            let level: f64 =
                level.and_then(|rest| rest.split(' ').next()).and_then(|word| word.parse().ok()).unwrap();
            assert!(level <= most, "{name}: {level}\n{said}");
        }
    }

    #[test]
    fn a_folder_whose_files_the_agent_moves_is_opened_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let text = |folders: &[&str]| {
            let folders: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
            Manager::Systemd.addition(&layout, &folders).map(|unit| unit.text)
        };
        assert_eq!(text(&[]), None);
        let said = text(&["/var/lib/pos out/100%", "/odd\nExecStart=/bin/false"]).unwrap();
        assert!(said.ends_with("[Service]\nReadWritePaths=\"-/var/lib/pos out/100%%\"\n"), "{said}");
        // What is no longer named is closed again.
        std::fs::create_dir_all(layout.unit_addition().parent().unwrap()).unwrap();
        std::fs::write(layout.unit_addition(), &said).unwrap();
        assert!(text(&[]).unwrap().ends_with("[Service]\n"));
    }

    #[test]
    fn without_a_manager_there_are_no_units() {
        assert!(Manager::None.units(&Layout::at(Path::new("/nowhere"))).is_empty());
    }
}
