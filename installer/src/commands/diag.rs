//! `diag`: one file for whoever helps from afar, with what they ask for first and no secret in it.

use super::backup::append;
use super::{Report, Site, doctor, status};
use crate::answers::Answers;
use crate::clock::{self, rfc3339};
use crate::fault::{Code, Fault};
use crate::files;
use crate::service::AGENT_UNIT;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;
use sync_protocol::enrolment::TOKEN_START;

/// Lines of the agent's log that are taken along.
const LOG_LINES: &str = "2000";
const HIDDEN: &str = "[hidden]";

pub fn run(site: &Site, to: &Path) -> Result<Report, Fault> {
    if site.dry_run {
        let change =
            crate::plan::Outcome { step: "diag", changes: vec![format!("{} is written", to.display())] };
        return Ok(Report::preview(&[change]));
    }
    let secrets = Secrets::of(site)?;
    let failed = |error: std::io::Error| files::unwritable(to, error);
    files::remove(to)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let parts = parts(site)?;
    for (name, text) in &parts {
        append(&mut archive, name, secrets.hidden(text).as_bytes()).map_err(failed)?;
    }
    let file = archive.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    let text = format!("written to {}: {}; tokens and keys are not in it", to.display(), names.join(", "));
    Ok(Report::done(text, json!({ "file": to, "parts": names })))
}

fn parts(site: &Site) -> Result<Vec<(&'static str, String)>, Fault> {
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let doctor = doctor::run(site, Answers::default(), false)?;
    let mut parts = vec![
        ("about.txt", about(site)),
        ("doctor.txt", doctor.text),
        ("doctor.json", pretty(&doctor.json)),
        ("files.txt", listing(site)?),
    ];
    if let Ok(status) = status::look(site) {
        parts.push(("status.json", pretty(&status.json)));
    }
    if let Some(config) = files::read(&site.layout.config())? {
        parts.push(("agent.toml", config));
    }
    if site.manager.is_live(&site.layout) {
        parts.push(("agent.log", log()?));
    }
    Ok(parts)
}

fn about(site: &Site) -> String {
    let program = site.program().and_then(|program| program.version()).unwrap_or_else(|fault| fault.story());
    let machine = crate::enrolling::machine(&site.layout);
    format!(
        "made at {}\nstorectl {}\nstore-agent {program}\nmachine {} ({})\n",
        rfc3339(clock::now()),
        env!("CARGO_PKG_VERSION"),
        machine.hostname.as_str(),
        machine.system.as_str()
    )
}

/// Names, modes, owners and sizes; never contents.
fn listing(site: &Site) -> Result<String, Fault> {
    let layout = &site.layout;
    let mut lines = Vec::new();
    for folder in [layout.config_folder(), layout.data(), layout.identity(), layout.installer_folder()] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.map_err(|error| files::unreadable(&folder, error))?;
            let known = entry.metadata().map_err(|error| files::unreadable(&entry.path(), error))?;
            let (mode, owner, size) = (known.mode() & 0o7777, (known.uid(), known.gid()), known.len());
            lines.push(format!("{mode:o} {}:{} {size:>12} {}", owner.0, owner.1, entry.path().display()));
        }
    }
    lines.sort();
    Ok(lines.join("\n"))
}

fn log() -> Result<String, Fault> {
    let output = Command::new("journalctl")
        .args(["-u", AGENT_UNIT, "-n", LOG_LINES, "--no-pager", "-o", "short-iso"])
        .output()
        .map_err(|error| Fault::caused(Code::E503, "cannot run `journalctl`", error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What must not leave the store.
struct Secrets(Vec<String>);

impl Secrets {
    fn of(site: &Site) -> Result<Secrets, Fault> {
        let tokens = files::read(&site.layout.tokens())?.unwrap_or_default();
        let lines = tokens.lines().filter(|line| !line.trim_start().starts_with('#'));
        let secrets = lines.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned);
        Ok(Secrets(secrets.collect()))
    }

    fn hidden(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret, HIDDEN);
        }
        let mut in_key = false;
        let lines: Vec<String> = text
            .lines()
            .filter_map(|line| {
                let begins = line.contains("PRIVATE KEY-----") && line.contains("BEGIN");
                let was = in_key;
                in_key |= begins;
                if line.contains("PRIVATE KEY-----") && line.contains("END") {
                    in_key = false;
                }
                match (begins, was) {
                    (true, _) => Some(HIDDEN.to_owned()),
                    (false, true) => None,
                    (false, false) => Some(without_tokens(line)),
                }
            })
            .collect();
        lines.join("\n") + "\n"
    }
}

/// Hides what looks like an enrolment token, and what stands behind `Bearer`.
fn without_tokens(line: &str) -> String {
    let mut bearer = false;
    let words: Vec<&str> = line
        .split(' ')
        .map(|word| {
            let hide = bearer || word.contains(TOKEN_START);
            bearer = word.ends_with("Bearer");
            if hide { HIDDEN } else { word }
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_what_is_given_away() {
        let secrets = Secrets(vec!["9f2c0d7e8a41b6c5".to_owned()]);
        let text = "token 9f2c0d7e8a41b6c5 sse1.AbCd-_1 Authorization: Bearer abc def\n\
                    -----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\nstore = \"S0042\"";
        let given = secrets.hidden(text);
        assert_eq!(
            given,
            "token [hidden] [hidden] Authorization: Bearer [hidden] def\n[hidden]\nstore = \"S0042\"\n"
        );
    }
}
