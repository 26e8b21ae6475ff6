//! The agent's own program, asked by running it: storectl knows the agent by its commands only.

use crate::fault::{Code, Fault};
use crate::files::Owner;
use serde::Deserialize;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A `store-agent` on this machine.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    /// Whom it runs as: what root can read says nothing about what the agent can.
    pub user: Option<Owner>,
}

/// What the hub has not confirmed, as a stopped agent's database says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Backlog {
    pub records: u64,
    pub movements: u64,
}

/// `store-agent version --json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct About {
    pub version: String,
    schemas: Schemas,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Schemas {
    agent: Schema,
    people: Schema,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Schema {
    version: u64,
    oldest: u64,
}

impl About {
    /// Whether `older` could go on with databases that this one has brought up to its own.
    #[must_use]
    pub fn leaves_a_way_back_to(&self, older: &About) -> bool {
        let (own, other) = (&self.schemas, &older.schemas);
        let lets_in = |own: Schema, other: Schema| own.oldest <= other.version;
        lets_in(own.agent, other.agent) && lets_in(own.people, other.people)
    }
}

impl Backlog {
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.records == 0 && self.movements == 0
    }
}

impl Program {
    #[must_use]
    pub fn at(path: &Path) -> Program {
        Program { path: path.to_owned(), user: None }
    }

    /// As `store-agent version` says it, without the name.
    pub fn version(&self) -> Result<String, Fault> {
        let said = self.run(&["version"])?;
        match said.strip_prefix("store-agent ") {
            Some(version) => Ok(version.trim().to_owned()),
            None => Err(Fault::new(Code::E501, format!("`{}` is no store-agent", self.path.display()))),
        }
    }

    /// What the program says of itself and of the databases it makes.
    pub fn about(&self) -> Result<About, Fault> {
        let said = self.run(&["version", "--json"])?;
        serde_json::from_str(&said).map_err(|error| {
            Fault::caused(Code::E501, "`store-agent version --json` says something odd", error)
        })
    }

    /// Whether the agent could work on the databases that are there, also while another one runs on them.
    pub fn check_data(&self, config: &Path) -> Result<(), Fault> {
        self.run(&["check-data", "--config", &config.to_string_lossy()]).map(drop)
    }

    /// Whether the agent could use this configuration and the files it names.
    pub fn check_config(&self, config: &Path) -> Result<(), Fault> {
        let output = self.output(&["check-config", "--config", &config.to_string_lossy()])?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Fault::new(Code::E502, words(&output))),
        }
    }

    /// What a stopped agent has not sent.
    pub fn backlog(&self, config: &Path) -> Result<Backlog, Fault> {
        let said = self.run(&["backlog", "--config", &config.to_string_lossy()])?;
        serde_json::from_str(&said)
            .map_err(|error| Fault::caused(Code::E501, "`store-agent backlog` says something odd", error))
    }

    fn run(&self, args: &[&str]) -> Result<String, Fault> {
        let output = self.output(args)?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => {
                let what = args.first().copied().unwrap_or_default();
                Err(Fault::new(Code::E501, format!("`store-agent {what}` failed: {}", words(&output))))
            }
        }
    }

    fn output(&self, args: &[&str]) -> Result<Output, Fault> {
        let mut command = Command::new(&self.path);
        command.args(args).stdin(Stdio::null());
        if let Some(Owner { user, group }) = self.user {
            // Its own folder may be closed to that user.
            command.uid(user).gid(group).current_dir("/");
        }
        let output = command.output();
        output.map_err(|error| {
            Fault::caused(Code::E501, format!("cannot run `{}`", self.path.display()), error)
        })
    }
}

/// What a program said when it failed, on one line.
pub fn words(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().replace('\n', " ");
    if said.is_empty() { output.status.to_string() } else { said }
}
