//! The commands, one file each, and what they share: the place they work on, and how they answer.

pub mod backup;
pub mod diag;
pub mod doctor;
pub mod install;
pub mod renew;
pub mod restore;
pub mod status;
mod steps;
pub mod trial;
pub mod uninstall;
pub mod upgrade;

use crate::fault::{Code, Exit, Fault};
use crate::files::{self, Access, Owner};
use crate::identity::Identity;
use crate::layout::Layout;
use crate::plan::{Outcome, Points};
use crate::program::Program;
use crate::service::{Manager, USER};
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};
use std::fs::{File, TryLockError};
use std::path::Path;

/// The place that a command works on, and how.
#[derive(Debug, Clone)]
pub struct Site {
    pub layout: Layout,
    pub manager: Manager,
    pub points: Points,
    pub dry_run: bool,
    /// Nobody may be asked.
    pub non_interactive: bool,
}

/// What a command answers.
pub struct Report {
    pub exit: Exit,
    pub text: String,
    pub json: Value,
}

impl Site {
    /// Whether files belong to a user of their own here.
    #[must_use]
    pub fn has_user(&self) -> bool {
        self.manager.is_live(&self.layout)
    }

    /// The agent's user, once it is there; `None` where files belong to whoever runs storectl.
    pub fn owner(&self) -> Result<Option<Owner>, Fault> {
        if !self.has_user() {
            return Ok(None);
        }
        let text = files::read(&self.layout.passwd())?.unwrap_or_default();
        Ok(text.lines().find_map(|line| {
            let mut parts = line.split(':');
            let is = parts.next() == Some(USER);
            let (user, group) = (parts.nth(1)?.parse().ok()?, parts.next()?.parse().ok()?);
            is.then_some(Owner { user, group })
        }))
    }

    pub fn identity(&self) -> Result<Identity<'_>, Fault> {
        Ok(Identity { layout: &self.layout, access: Access::secret(self.owner()?) })
    }

    /// The agent's program, run as the agent's user.
    pub fn program(&self) -> Result<Program, Fault> {
        Ok(Program { user: self.owner()?, ..Program::at(&self.layout.program()) })
    }

    /// Keeps a second storectl away for as long as the answer is held.
    pub fn alone(&self) -> Result<File, Fault> {
        let (folder, path) = (self.layout.installer_folder(), self.layout.lock());
        files::make_folder(&folder, Access::folder(self.owner()?))?;
        // The folder is the agent's user's, who could put a link or a pipe there.
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, how, Mode::from_raw_mode(0o640)).map(File::from);
        let file = file.map_err(|error| files::unwritable(&path, error.into()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(Fault::new(Code::E209, format!("`{}` is locked", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(files::unwritable(&path, error)),
        }
    }

    /// Whether an agent runs on this store's data: it holds a lock as long as it does.
    pub fn agent_runs(&self) -> Result<bool, Fault> {
        let path = self.layout.agent_lock();
        match File::open(&path) {
            Ok(file) => Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(files::unreadable(&path, error)),
        }
    }

    /// How a person runs the agent where nobody else does.
    #[must_use]
    pub fn how_to_run(&self) -> String {
        let shown = |path: &Path| path.display().to_string();
        format!("{} run --config {}", shown(&self.layout.program()), shown(&self.layout.config()))
    }
}

impl Report {
    #[must_use]
    pub fn done(text: impl Into<String>, json: Value) -> Report {
        Report { exit: Exit::Done, text: text.into(), json }
    }

    /// What a plan would change.
    #[must_use]
    pub fn preview(outcomes: &[Outcome]) -> Report {
        let changes: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.changes.is_empty()).collect();
        let text = match changes.as_slice() {
            [] => "nothing would change".to_owned(),
            changes => {
                changes.iter().map(|outcome| in_lines("would change", outcome)).collect::<Vec<_>>().join("\n")
            }
        };
        let exit = if changes.is_empty() { Exit::Done } else { Exit::WouldChange };
        Report { exit, text, json: json!({ "would_change": changes }) }
    }
}

/// A step that has run, as it is shown while it goes on.
#[must_use]
pub fn told(outcome: &Outcome) -> String {
    match outcome.changes.as_slice() {
        [] => format!("as it is   {}", outcome.step),
        _ => in_lines("changed", outcome),
    }
}

fn in_lines(what: &str, outcome: &Outcome) -> String {
    let lines: Vec<String> = outcome.changes.iter().map(|change| format!("    {change}")).collect();
    format!("{what:<10} {}\n{}", outcome.step, lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_place_of_the_lock_has_nothing_made_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let site = Site {
            layout: layout.clone(),
            manager: Manager::None,
            points: Points::default(),
            dry_run: false,
            non_interactive: true,
        };
        drop(site.alone().unwrap());
        std::fs::remove_file(layout.lock()).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, layout.lock()).unwrap();
        site.alone().unwrap_err();
        assert!(!elsewhere.exists());
    }
}
