//! `upgrade` and `rollback`: other programs in the place of those that are there, and back by themselves when they are not well.
//!
//! Everything that can be looked at is looked at before the running agent is touched: signatures, age, files, whether the new program runs,
//! takes the configuration and the databases, and leaves a way back. Then a snapshot of the databases, one rename, a start, a trial.
//!
//! Promises: what is not signed, not newer, damaged or out of date changes nothing; an upgrade that was interrupted anywhere comes to its end when
//! this is run again; what was sold meanwhile stays, whatever becomes of the upgrade: a snapshot is never put back by storectl.

mod change;
pub mod following;

use super::backup::{copy_database, databases};
use super::trial::{self, Starter, Terms};
use super::{Report, Site};
use crate::books::{Books, Ended, Known, Stage, UnderWay};
use crate::clock::{self, rfc3339};
use crate::console;
use crate::fault::{Code, Fault};
use crate::files::{self, Access};
use crate::habits::{Habits, Window};
use crate::plan::Outcome;
use crate::program::{About, Program};
use crate::release::remote::Remote;
use crate::release::source::{self, Source};
use crate::release::{Release, Roots, trusted, verified};
use crate::settings::Settings;
use crate::slots::Slots;
use crate::talk::download::{Downloads, Place, SYSTEM_AUTHORITIES};
use serde_json::json;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Room beside what is written, so that the agent does not meet a full disk because of us.
const ROOM_BYTES: u64 = 64 << 20;

/// What is asked of `upgrade` and `rollback`.
#[derive(Debug, Clone)]
pub struct Asked {
    /// A folder, a bundle, or a folder on a web server.
    pub from: Option<String>,
    /// The number that it has to have.
    pub sequence: Option<u64>,
    /// Only what was begun.
    pub resume: bool,
    /// Also outside of the window, and while somebody is at work.
    pub now: bool,
    /// Although the version that is here could not go on afterwards.
    pub one_way: bool,
    pub ca: Option<PathBuf>,
    pub window: Option<Window>,
    pub restart_with: Option<String>,
    pub terms: Terms,
}

pub fn run(site: &Site, asked: &Asked) -> Result<Report, Fault> {
    let habits = ready(site)?;
    let starter = Starter::of(site, asked.restart_with.as_deref());
    let _alone = if site.dry_run { None } else { Some(site.alone()?) };
    let mut books = Books::read(&site.layout)?;
    let begun = books
        .under_way
        .as_ref()
        .is_some_and(|under_way| asked.resume || under_way.stage != Stage::Inconsistent);
    if begun && site.dry_run {
        return Ok(preview("upgrade", "what was begun is brought to its end".to_owned()));
    }
    let finished = if begun { Some(change::finish(site, &mut books, &starter, &asked.terms)?) } else { None };
    // What head office wishes is not begun in the same breath: it may be what has just failed.
    if asked.resume || asked.sequence.is_some() && finished.is_some() {
        return match finished {
            Some(ended) => report(site, ended),
            None => Ok(Report::done("no upgrade was interrupted", json!({ "resumed": false }))),
        };
    }
    if !site.dry_run {
        change::tidy(site, &books)?;
    }
    let window = asked.window.or(habits.upgrade.window);
    if asked.sequence.is_some() && !asked.now && !site.dry_run {
        // Nobody waits for this one: nothing is downloaded before it can be used.
        is_the_time(site, window)?;
    }
    let mut source = source(site, asked, &habits)?;
    let roots = Roots::of(root_keys(site)?.as_deref())?;
    let keys = trusted(&mut *source, &roots, books.keys_sequence_max, clock::now())?;
    if !site.dry_run && keys.sequence > books.keys_sequence_max {
        // Whatever becomes of the release: an older list may name a key that was lost.
        books.keys_sequence_max = keys.sequence;
        books.write(&site.layout)?;
    }
    let release = verified(&mut *source, &keys, clock::now())?;
    if let Some(wanted) = asked.sequence.filter(|wanted| *wanted != release.sequence) {
        let says = format!("number {} lies there, and number {wanted} is wished", release.sequence);
        return Err(Fault::new(Code::E814, says));
    }
    let current = Slots(&site.layout).current()?;
    if let Some(current) = &current
        && is_in_force(&books, current, &release)
    {
        return match finished {
            Some(ended) => report(site, ended),
            None => Ok(in_force(&release)),
        };
    }
    is_newer(&books, current.as_deref(), &release)?;
    let known = Known { sequence: release.sequence, manifest: release.digest.to_string() };
    if current.as_deref() == Some(release.version.as_str()) && Slots(&site.layout).is_whole(&release)? {
        // Signed anew, with the programs that run: there is nothing to change to, and nothing to go back from.
        if !site.dry_run {
            books.sequence_max = release.sequence;
            books.releases.insert(release.version.as_str().to_owned(), known);
            books.write(&site.layout)?;
        }
        return Ok(in_force(&release));
    }
    if site.dry_run {
        return Ok(preview("upgrade", changes(site, &release)));
    }
    let way = prepare(site, &books, &release, &mut *source, asked.one_way)?;
    if !asked.now {
        is_the_time(site, window)?;
    }
    // Of databases that are in doubt, those from before the doubt are the ones to keep.
    if books.under_way.is_none() || !site.layout.snapshot().exists() {
        snapshot(site)?;
    }
    site.points.reach("snapshot")?;
    books.releases.insert(way.to.clone(), known);
    report(site, change::from_one_to_another(site, &mut books, &starter, &asked.terms, way)?)
}

/// Back to the version before. A person who asks for it does so because something is wrong: it waits for nothing.
pub fn back(site: &Site, asked: &Asked) -> Result<Report, Fault> {
    ready(site)?;
    let starter = Starter::of(site, asked.restart_with.as_deref());
    let _alone = if site.dry_run { None } else { Some(site.alone()?) };
    let mut books = Books::read(&site.layout)?;
    if books.under_way.is_some() {
        if site.dry_run {
            return Ok(preview("rollback", "what was begun is brought to its end".to_owned()));
        }
        return report(site, change::finish(site, &mut books, &starter, &asked.terms)?);
    }
    let slots = Slots(&site.layout);
    let (Some(from), Some(to)) = (slots.current()?, books.previous.clone()) else {
        return Err(Fault::new(Code::E811, "nothing was upgraded here"));
    };
    if from == to {
        return Err(Fault::new(Code::E811, format!("`{from}` is the version before, and in force")));
    }
    let program = change::program(site, &to)?;
    let version = program.about().map_err(|fault| no_way_back(&to, &fault))?.version;
    program.check_config(&site.layout.config()).map_err(|fault| no_way_back(&to, &fault))?;
    program.check_data(&site.layout.config()).map_err(|fault| no_way_back(&to, &fault))?;
    if site.dry_run {
        return Ok(preview(
            "rollback",
            format!("store-agent {version} takes the place of what is in `{from}`"),
        ));
    }
    snapshot(site)?;
    report(site, change::from_one_to_another(site, &mut books, &starter, &asked.terms, Way { from, to })?)
}

/// From one folder of programs to another.
struct Way {
    from: String,
    to: String,
}

fn no_way_back(to: &str, fault: &Fault) -> Fault {
    Fault::new(Code::E811, format!("the programs in `{to}` can't go on here: {}", fault.story()))
}

/// Whether there is anything here that storectl may upgrade.
fn ready(site: &Site) -> Result<Habits, Fault> {
    let layout = &site.layout;
    if layout.packaged_program().exists() {
        return Err(Fault::new(Code::E806, format!("`{}` is there", layout.packaged_program().display())));
    }
    if Settings::read(layout)?.is_none() || !layout.own_program().exists() {
        return Err(Fault::new(Code::E509, format!("there is no `{}`", layout.config().display())));
    }
    Habits::read(layout)
}

fn source(site: &Site, asked: &Asked, habits: &Habits) -> Result<Box<dyn Source>, Fault> {
    let Some(from) = asked.from.as_ref().or(habits.upgrade.from.as_ref()) else {
        return Err(Fault::new(Code::E101, "--from is missing: a folder, a bundle or an address"));
    };
    if !from.contains("://") {
        return source::at(Path::new(from));
    }
    let place: Place = from.parse().map_err(|why: String| Fault::new(Code::E102, why))?;
    let proxy = Settings::read(&site.layout)?.as_ref().and_then(Settings::proxy);
    let authorities =
        asked.ca.as_deref().or(habits.upgrade.ca.as_deref()).unwrap_or(Path::new(SYSTEM_AUTHORITIES));
    Ok(Box::new(Remote::new(Downloads::new(place, proxy, authorities)?, site.layout.downloads())))
}

/// Only root may say whose releases count.
fn root_keys(site: &Site) -> Result<Option<String>, Fault> {
    use std::os::unix::fs::MetadataExt;
    let path = site.layout.release_roots();
    if let Ok(known) = std::fs::metadata(&path) {
        let foreign = site.has_user() && known.uid() != 0;
        if foreign || known.mode() & 0o022 != 0 {
            let says = format!("`{}` has to be root's, and writable by root alone", path.display());
            return Err(Fault::new(Code::E208, says));
        }
    }
    files::read(&path)
}

fn is_in_force(books: &Books, current: &str, release: &Release) -> bool {
    let manifest = release.digest.to_string();
    books.releases.get(current).is_some_and(|known| known.manifest == manifest)
}

fn is_newer(books: &Books, current: Option<&str>, release: &Release) -> Result<(), Fault> {
    let here = current.map_or(0, |current| books.sequence_of(current));
    if release.sequence <= here || release.sequence < books.sequence_max {
        let says = format!(
            "version {} is number {}; number {here} is in force, and number {} has been",
            release.version, release.sequence, books.sequence_max
        );
        return Err(Fault::new(Code::E805, says));
    }
    Ok(())
}

fn is_the_time(site: &Site, window: Option<Window>) -> Result<(), Fault> {
    if let Some(window) = window.filter(|window| !window.holds(clock::minute_of_the_day())) {
        return Err(Fault::new(Code::E807, format!("the agent is started anew in the window {window} only")));
    }
    match trial::at_work_until(site)? {
        Some(until) => Err(Fault::new(
            Code::E807,
            format!("somebody is at work on an order or a count, until {until} at least"),
        )),
        None => Ok(()),
    }
}

/// Everything that can be done without anybody noticing.
fn prepare(
    site: &Site,
    books: &Books,
    release: &Release,
    source: &mut dyn Source,
    one_way: bool,
) -> Result<Way, Fault> {
    let slots = Slots(&site.layout);
    has_room(site, release)?;
    slots.adopt()?;
    site.points.reach("adopted")?;
    let Some(from) = slots.current()? else {
        return Err(Fault::new(Code::E509, format!("there is no `{}`", site.layout.current().display())));
    };
    let kept: Vec<&str> = [Some(from.as_str()), books.previous.as_deref()].into_iter().flatten().collect();
    slots.unpack(release, source, &kept)?;
    site.points.reach("unpacked")?;
    let to = release.version.as_str().to_owned();
    check(site, &from, &to, one_way)?;
    Ok(Way { from, to })
}

/// The new programs run, and can do here what the old ones do.
fn check(site: &Site, from: &str, to: &str, one_way: bool) -> Result<(), Fault> {
    let (old, new) = (change::program(site, from)?, change::program(site, to)?);
    let about = new.about()?;
    if about.version != to {
        let says = format!("the program of version {to} says that it is {}", about.version);
        return Err(Fault::new(Code::E501, says));
    }
    runs(&Slots(&site.layout).program(to, "storectl"))?;
    new.check_config(&site.layout.config())?;
    new.check_data(&site.layout.config())?;
    if !one_way && !leaves_a_way_back(&about, &old) {
        let says = format!(
            "version {to} changes the databases so that the one that is here could not go on with them"
        );
        return Err(Fault::new(Code::E808, says));
    }
    Ok(())
}

/// A program that can't even be asked could not go on.
fn leaves_a_way_back(new: &About, old: &Program) -> bool {
    old.about().is_ok_and(|old| new.leaves_a_way_back_to(&old))
}

fn runs(storectl: &Path) -> Result<(), Fault> {
    let tried = Command::new(storectl).arg("--version").stdin(Stdio::null()).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let says =
                format!("`{} --version` failed: {}", storectl.display(), crate::program::words(&output));
            Err(Fault::new(Code::E501, says))
        }
        Err(error) => Err(Fault::caused(Code::E501, format!("cannot run `{}`", storectl.display()), error)),
    }
}

fn has_room(site: &Site, release: &Release) -> Result<(), Fault> {
    let programs: u64 = release.programs.iter().map(|artefact| artefact.size).sum();
    let data: u64 =
        databases(site).iter().filter_map(|(_, path)| path.metadata().ok()).map(|known| known.len()).sum();
    let needed = programs + data + ROOM_BYTES;
    for folder in [site.layout.own_programs(), site.layout.data()] {
        let Ok(disk) = rustix::fs::statvfs(&folder) else { continue };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < needed {
            let (needed, free) = (needed >> 20, free >> 20);
            let says = format!("{free} MB are free at {}, and {needed} MB are needed", folder.display());
            return Err(Fault::new(Code::E203, says));
        }
    }
    Ok(())
}

/// The databases as they are now, for people: should an upgrade damage them, this is what they were. One is kept.
fn snapshot(site: &Site) -> Result<(), Fault> {
    let place = site.layout.snapshot();
    let unfinished = place.with_extension("new");
    let private = Access { mode: 0o700, owner: None };
    files::make_folder(&site.layout.upgrade_folder(), Access { mode: 0o755, owner: None })?;
    files::remove_folder(&unfinished)?;
    files::make_folder(&unfinished, private)?;
    let copied =
        databases(site).into_iter().filter(|(_, path)| path.exists()).try_for_each(|(name, path)| {
            let copy = unfinished.join(name);
            copy_database(&path, &copy)?;
            File::open(&copy)
                .and_then(|file| file.sync_all())
                .map_err(|error| files::unwritable(&copy, error))
        });
    if copied.is_err() {
        files::remove_folder(&unfinished)?;
    }
    copied?;
    files::remove_folder(&place)?;
    std::fs::rename(&unfinished, &place).map_err(|error| files::unwritable(&place, error))?;
    files::sync_folder_of(&place)
}

fn changes(site: &Site, release: &Release) -> String {
    let here =
        site.program().and_then(|program| program.version()).unwrap_or_else(|_| "what is here".to_owned());
    format!(
        "store-agent {} (number {}) takes the place of {here}, and is started",
        release.version, release.sequence
    )
}

fn preview(step: &'static str, change: String) -> Report {
    Report::preview(&[Outcome { step, changes: vec![change] }])
}

fn in_force(release: &Release) -> Report {
    let text = format!("version {} is in force already; nothing was changed", release.version);
    Report::done(text, json!({ "version": release.version.as_str(), "changed": false }))
}

fn report(site: &Site, ended: Ended) -> Result<Report, Fault> {
    let Ended { from, to, at, when, why } = ended;
    if at != to {
        let why = why.unwrap_or_default();
        return Err(Fault::new(Code::E809, format!("from `{from}` to `{to}`: {why}")));
    }
    let version = site.program()?.version()?;
    let mut text =
        format!("store-agent {version} is in force since {when}; `storectl rollback` leads back to `{from}`");
    if let Some(why) = &why {
        text.push_str(&format!("\n{why}"));
    }
    Ok(Report::done(text, json!({ "version": version, "changed": true, "previous": from, "remark": why })))
}

/// An upgrade that has not come to its end, for `status` and `doctor`.
#[must_use]
pub fn state(books: &Books) -> Option<Fault> {
    let UnderWay { from, to, stage, why, .. } = books.under_way.as_ref()?;
    let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    Some(Fault::new(
        Code::E810,
        match stage {
            Stage::Inconsistent => format!("from `{from}` to `{to}`{why}"),
            _ => format!("from `{from}` to `{to}`: it was interrupted, or is still going on{why}"),
        },
    ))
}

fn ended(under_way: &UnderWay, at: &str, why: Option<String>) -> Ended {
    let UnderWay { from, to, .. } = under_way.clone();
    Ended { from, to, at: at.to_owned(), when: rfc3339(clock::now()), why }
}

fn tell(text: &str) {
    console::say(text);
}
