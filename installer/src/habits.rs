//! How storectl itself behaves on this machine, where a person has written that into `storectl.toml`.

use crate::fault::{Code, Fault};
use crate::files;
use crate::layout::Layout;
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;

/// `storectl.toml`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Habits {
    pub upgrade: UpgradeHabits,
}

/// `[upgrade]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpgradeHabits {
    /// Where releases come from when `--from` does not say it.
    pub from: Option<String>,
    /// The authorities that count for a web server, in PEM. Without it: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// When the agent may be started anew. Without one: at any time.
    pub window: Option<Window>,
}

impl Habits {
    pub fn read(layout: &Layout) -> Result<Habits, Fault> {
        let path = layout.own_config();
        let Some(text) = files::read(&path)? else { return Ok(Habits::default()) };
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            Fault::caused(Code::E103, format!("cannot read `{}`", path.display()), error)
        })
    }
}

/// From one minute of the day to another, in the machine's own time; over midnight where the second is the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Window {
    from: u16,
    to: u16,
}

impl Window {
    /// Whether this minute of the day is in it.
    #[must_use]
    pub fn holds(self, minute: u16) -> bool {
        match self.from <= self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        let minute = |text: &str| {
            let (hours, minutes) = text.trim().split_once(':')?;
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let parts = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        match parts {
            Some((from, to)) if from != to => Ok(Window { from, to }),
            _ => Err(format!("`{}` is no window; write one like 01:00-05:00", text.escape_debug())),
        }
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Window, String> {
        text.parse()
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Window { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_over_midnight() {
        let night: Window = "23:30-05:00".parse().unwrap();
        let held: Vec<bool> =
            [23 * 60 + 29, 23 * 60 + 30, 0, 299, 300].map(|minute| night.holds(minute)).into();
        assert_eq!(held, [false, true, true, true, false]);
        let morning: Window = "01:00-05:00".parse().unwrap();
        assert!(morning.holds(60) && !morning.holds(300) && !morning.holds(0));
        assert_eq!(morning.to_string(), "01:00-05:00");
        for bad in ["", "1-5", "24:00-05:00", "01:60-05:00", "01:00-01:00", "-"] {
            bad.parse::<Window>().unwrap_err();
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        assert_eq!(Habits::read(&layout).unwrap(), Habits::default());
        std::fs::create_dir_all(layout.config_folder()).unwrap();
        std::fs::write(layout.own_config(), "[upgrade]\nwindow = \"01:00-05:00\"\nform = \"x\"\n").unwrap();
        let fault = Habits::read(&layout).unwrap_err();
        assert!(fault.code == Code::E103 && fault.to_string().contains("form"), "{fault}");
    }
}
