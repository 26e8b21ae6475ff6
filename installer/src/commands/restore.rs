//! `restore`: puts a backup in place on a machine that has lost its data, or, when told so, beside what is there.
//!
//! Nothing that is there is removed: data is moved aside, and configuration, tokens and keys are only put where there are none. The
//! agent tells the hub by itself that its disk is an old one, and takes over what the hub knows better.

use super::backup::{LABEL, Label, databases, places};
use super::{Report, Site};
use crate::checks::agent::look_at_database;
use crate::clock;
use crate::fault::{Code, Fault};
use crate::files::{self, Access};
use crate::service::AGENT_UNIT;
use crate::settings::Settings;
use flate2::read::GzDecoder;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest small file in a backup.
const FILE_BYTES_MAX: u64 = 16 << 20;

pub fn run(site: &Site, from: &Path, replace: bool) -> Result<Report, Fault> {
    let layout = &site.layout;
    let here = Settings::read(layout)?.as_ref().and_then(Settings::store);
    let label = label(from)?;
    if let Some(here) = here.filter(|here| here.as_str() != label.store) {
        return Err(Fault::new(Code::E702, format!("the backup is of {}, and this is {here}", label.store)));
    }
    if layout.database().exists() && !replace {
        return Err(Fault::new(Code::E703, format!("`{}` is there", layout.database().display())));
    }
    if site.dry_run {
        let change = format!("{} is put back as of {}", layout.data().display(), label.made_at);
        return Ok(Report::preview(&[crate::plan::Outcome { step: "restore", changes: vec![change] }]));
    }
    let _alone = site.alone()?;
    site.manager.stop(layout, AGENT_UNIT)?;
    if site.agent_runs()? {
        return Err(Fault::new(Code::E505, "the agent holds its data"));
    }
    let data = layout.data();
    let fresh = data.with_file_name("agent.restoring");
    files::remove_folder(&fresh)?;
    let owner = site.owner()?;
    files::make_folder(&fresh, Access { mode: 0o700, owner })?;
    let small = unpack(site, from, &fresh)?;
    check(site, &fresh)?;
    site.points.reach("unpacked")?;
    let aside = data.with_file_name(format!("agent.before-{}", clock::now().0));
    if data.exists() {
        std::fs::rename(&data, &aside).map_err(|error| files::unwritable(&aside, error))?;
    }
    site.points.reach("moved-aside")?;
    std::fs::rename(&fresh, &data).map_err(|error| files::unwritable(&data, error))?;
    files::sync_folder_of(&data)?;
    put_where_there_is_none(site, small)?;
    let moved = aside.exists().then_some(aside);
    let mut text = format!("store {}: its data is as of {}", label.store, label.made_at);
    if let Some(aside) = &moved {
        text.push_str(&format!("\nwhat was there lies in {}", aside.display()));
    }
    text.push_str("\nrun `storectl install` now: it mends owners and starts the agent");
    Ok(Report::done(text, json!({ "store": label.store, "as_of": label.made_at, "moved_aside": moved })))
}

fn open(from: &Path) -> Result<tar::Archive<GzDecoder<File>>, Fault> {
    let file = File::open(from).map_err(|error| files::unreadable(from, error))?;
    Ok(tar::Archive::new(GzDecoder::new(file)))
}

fn no_backup(from: &Path) -> impl Fn(std::io::Error) -> Fault {
    let from = from.display().to_string();
    move |error| Fault::caused(Code::E701, format!("`{from}` can't be unpacked"), error)
}

/// The first file of a backup says what it is.
fn label(from: &Path) -> Result<Label, Fault> {
    let bad = no_backup(from);
    let mut archive = open(from)?;
    let mut entries = archive.entries().map_err(&bad)?;
    let first = entries.next().ok_or_else(|| Fault::new(Code::E701, "it is empty"))?.map_err(&bad)?;
    if first.path().map_err(&bad)?.to_str() != Some(LABEL) {
        return Err(Fault::new(Code::E701, format!("`{}` does not begin with `{LABEL}`", from.display())));
    }
    let mut text = String::new();
    first.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(&bad)?;
    serde_json::from_str(&text).map_err(|error| Fault::caused(Code::E701, "its label can't be read", error))
}

/// Databases go to `folder`; the small files are handed back. Names that a backup never has are left out.
fn unpack(site: &Site, from: &Path, folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Fault> {
    let bad = no_backup(from);
    let (small_places, large) = (places(site), databases(site));
    let mut small = BTreeMap::new();
    let mut archive = open(from)?;
    for entry in archive.entries().map_err(&bad)? {
        let mut entry = entry.map_err(&bad)?;
        let name = entry.path().map_err(&bad)?.to_string_lossy().into_owned();
        if large.iter().any(|(known, _)| *known == name) {
            let path = folder.join(&name);
            files::replace(&path, b"", Access::secret(site.owner()?))?;
            let mut file =
                File::options().write(true).open(&path).map_err(|error| files::unwritable(&path, error))?;
            std::io::copy(&mut entry, &mut file).map_err(&bad)?;
            file.sync_all().map_err(|error| files::unwritable(&path, error))?;
        } else if let Some((_, place)) = small_places.iter().find(|(known, _)| *known == name) {
            let mut bytes = Vec::new();
            entry.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(&bad)?;
            small.insert(place.clone(), bytes);
        }
    }
    Ok(small)
}

/// A database that is not sound is not put in place of anything.
fn check(site: &Site, folder: &Path) -> Result<(), Fault> {
    for (name, _) in databases(site) {
        match look_at_database(&folder.join(name)) {
            None => {}
            Some(Ok(word)) if word == "ok" => {}
            Some(Ok(finding) | Err(finding)) => {
                return Err(Fault::new(Code::E701, format!("`{name}` in it is damaged: {finding}")));
            }
        }
    }
    Ok(())
}

fn put_where_there_is_none(site: &Site, small: BTreeMap<PathBuf, Vec<u8>>) -> Result<(), Fault> {
    for (path, bytes) in small {
        if path.exists() {
            continue;
        }
        if let Some(folder) = path.parent() {
            files::make_folder(folder, Access { mode: 0o700, owner: site.owner()? })?;
        }
        files::replace(&path, &bytes, Access::secret(site.owner()?))?;
    }
    Ok(())
}
