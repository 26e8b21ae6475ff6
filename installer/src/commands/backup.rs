//! `backup`: one file with all that makes this machine the store, made while the agent runs.
//!
//! It holds the store's keys, so it is readable by its owner only, and belongs where keys belong.

use super::{Report, Site};
use crate::clock::{self, rfc3339};
use crate::fault::{Code, Fault};
use crate::files::{self, Access};
use crate::settings::Settings;
use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub const LABEL: &str = "backup.json";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub store: String,
    pub made_at: String,
    pub by: String,
}

/// Where the files of a backup belong, by their names in it.
#[must_use]
pub fn places(site: &Site) -> Vec<(&'static str, PathBuf)> {
    let layout = &site.layout;
    vec![
        ("agent.toml", layout.config()),
        ("tokens", layout.tokens()),
        ("identity/ca.pem", layout.authority()),
        ("identity/store.pem", layout.certificate()),
        ("identity/bound.key", layout.bound_key()),
        ("identity/pickup.pub", layout.pickup_key()),
        ("identity/enrolment.json", layout.enrolment()),
    ]
}

/// The databases, which are copied by SQLite itself.
#[must_use]
pub fn databases(site: &Site) -> Vec<(&'static str, PathBuf)> {
    vec![("agent.db", site.layout.database()), ("people.db", site.layout.people_database())]
}

pub fn run(site: &Site, to: &Path) -> Result<Report, Fault> {
    let there = Settings::read(&site.layout)?;
    let store = there.as_ref().and_then(Settings::store);
    let Some(store) = store else {
        return Err(Fault::new(Code::E509, format!("there is no `{}`", site.layout.config().display())));
    };
    if site.dry_run {
        let change =
            crate::plan::Outcome { step: "backup", changes: vec![format!("{} is written", to.display())] };
        return Ok(Report::preview(&[change]));
    }
    let label = Label {
        store: store.to_string(),
        made_at: rfc3339(clock::now()),
        by: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let unnamed = to.with_extension("part");
    files::remove(&unnamed)?;
    let written = write(site, &label, &unnamed);
    let written = written.and_then(|()| {
        std::fs::rename(&unnamed, to).map_err(|error| files::unwritable(to, error))?;
        files::sync_folder_of(to)
    });
    if written.is_err() {
        files::remove(&unnamed)?;
    }
    written?;
    let text = format!("store {store}: backed up to {}; it holds the store's keys", to.display());
    Ok(Report::done(text, json!({ "store": store, "file": to })))
}

fn write(site: &Site, label: &Label, to: &Path) -> Result<(), Fault> {
    let failed = |error: std::io::Error| files::unwritable(to, error);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    let text = serde_json::to_vec(label)
        .map_err(|error| Fault::caused(Code::E901, "a label can't be written", error))?;
    append(&mut archive, LABEL, &text).map_err(failed)?;
    for (name, path) in places(site) {
        if let Some(bytes) = files::bytes(&path)? {
            append(&mut archive, name, &bytes).map_err(failed)?;
        }
    }
    for (name, path) in databases(site) {
        if path.exists() {
            let copy = to.with_extension(name);
            let copied = copy_database(&path, &copy)
                .and_then(|()| archive.append_path_with_name(&copy, name).map_err(failed));
            files::remove(&copy)?;
            copied?;
        }
    }
    let file = archive.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// A small file for a bundle of files.
pub fn append(archive: &mut tar::Builder<GzEncoder<File>>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, name, bytes)
}

/// A copy as of one moment, whatever is written meanwhile.
pub(super) fn copy_database(from: &Path, to: &Path) -> Result<(), Fault> {
    files::remove(to)?;
    // SQLite takes an empty file for the copy, so nobody else ever sees into it.
    files::replace(to, b"", Access::secret(None))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = || {
        let db = Connection::open_with_flags(from, flags)?;
        db.busy_timeout(Duration::from_secs(30))?;
        db.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop)
    };
    copy().map_err(|error: rusqlite::Error| {
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let code = if full { Code::E203 } else { Code::E506 };
        Fault::caused(code, format!("`{}` can't be copied", from.display()), error)
    })
}
