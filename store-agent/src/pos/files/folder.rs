//! The folder that a POS puts files into: which are ready, taking one, putting it away.
//!
//! **Invariants:** names are looked up in an open folder and never through a symbolic link; a file that is taken stays on its file
//! system (it is renamed, never copied); nothing is removed but what was read, and nothing outside the folder is touched.

use super::piece::shown;
use crate::config::pos::{After, FileFormat, FilesConfig};
use crate::pos::source::SourceError;
use rustix::fs::{self, Access, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;
use sync_protocol::{Ticks, UnixMillis};

/// Names that POS systems and copying programs use while a file is being written.
const TEMPORARY: [&str; 11] = [
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".writing",
    ".lock",
    ".swp",
    ".bak",
    "~",
];
/// Unready files that are remembered from one look to the next.
const WAITING_MAX: usize = 4_096;
/// A file that was written so long before it is seen has been still.
const SURELY_STILL: Duration = Duration::from_secs(10);
/// How much of a file's end is looked at.
const TAIL_BYTES: i64 = 512;
/// Names that are tried for a file whose name is taken.
const NAMES_MAX: u32 = 10_000;
/// Files whose days of keeping are over, removed at a time.
const REMOVED_AT_ONCE: usize = 1_000;
const FOLDER_MODE: u32 = 0o750;

/// A file that is ready, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: OsString,
    pub size: u64,
    /// When it was written, in nanoseconds since 1970.
    pub modified: i64,
    pub is_taken: bool,
    /// It has been taken just now.
    pub is_fresh: bool,
}

impl Found {
    fn of(name: &OsStr, stat: &Stat, is_taken: bool) -> Found {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Found { name: name.to_owned(), size, modified: modified(stat), is_taken, is_fresh: false }
    }

    pub fn written(&self) -> UnixMillis {
        UnixMillis(self.modified / 1_000_000)
    }

    /// As messages name it.
    pub fn shown(&self) -> String {
        shown(&self.name.to_string_lossy())
    }

    fn order(&self) -> (i64, &OsStr) {
        (self.modified, &self.name)
    }
}

fn modified(stat: &Stat) -> i64 {
    stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// What becomes of a file that is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Read,
    /// It could not be read to its end; somebody has to look.
    SetAside,
}

/// A file that was asked for.
#[derive(Debug)]
pub enum Opened {
    File(File),
    /// Or something that is no file has taken its place.
    Vanished,
    /// The agent's user may not read it.
    Denied,
}

/// A file that is not ready, as it was when it was last seen to change.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    size: u64,
    modified: i64,
    since: Ticks,
}

/// The folder of one source.
#[derive(Debug)]
pub struct Folder {
    config: FilesConfig,
    /// The agent's own folder in it.
    work: String,
    waiting: HashMap<OsString, Waiting>,
}

/// The folders, opened for one look.
#[derive(Debug)]
struct Open {
    home: OwnedFd,
    /// `None` where files are left in their place.
    work: Option<Work>,
}

#[derive(Debug)]
struct Work {
    taken: OwnedFd,
    done: OwnedFd,
    aside: OwnedFd,
}

impl Folder {
    pub fn new(config: FilesConfig, source: &str) -> Folder {
        Folder { config, work: format!(".shopsmart-{source}"), waiting: HashMap::new() }
    }

    /// The next file to read: one that has been taken before all others, then the oldest that is ready, which is taken with this.
    /// `knows` says which have been read where they lie.
    pub fn next(
        &mut self,
        now: Ticks,
        wall: UnixMillis,
        knows: impl Fn(&Found) -> bool,
    ) -> Result<Option<Found>, SourceError> {
        let open = self.open_folders()?;
        if let Some(work) = &open.work {
            let taken = self.all(&work.taken, true)?.into_iter().min_by(|a, b| a.order().cmp(&b.order()));
            if taken.is_some() {
                return Ok(taken);
            }
        }
        let mut ready = self.ready(&open, now, wall, knows)?;
        ready.sort_by(|a, b| a.order().cmp(&b.order()));
        for found in ready {
            if !self.is_whole(&open, &found, now)? {
                continue;
            }
            self.waiting.remove(&found.name);
            match &open.work {
                None => return Ok(Some(found)),
                Some(work) => {
                    if let Some(taken) = self.take(&open.home, work, &found)? {
                        return Ok(Some(taken));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The file to read.
    pub fn open(&self, found: &Found) -> Result<Opened, SourceError> {
        let open = self.open_folders()?;
        let place = match &open.work {
            Some(work) if found.is_taken => &work.taken,
            _ => &open.home,
        };
        self.open_in(place, &found.name)
    }

    pub fn put_away(&self, found: &Found, fate: Fate, day: &str) -> Result<(), SourceError> {
        let open = self.open_folders()?;
        let Some(work) = open.work.as_ref().filter(|_| found.is_taken) else { return Ok(()) };
        let went = match (fate, self.config.after) {
            (Fate::SetAside, _) => moved(&work.taken, &found.name, &work.aside).map(drop),
            (Fate::Read, After::Delete) => fs::unlinkat(&work.taken, &found.name, AtFlags::empty()),
            (Fate::Read, _) => self.archive(work, found, day),
        };
        match went {
            // Somebody else has taken it away.
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("emptied of a file that was read", error)),
        }
    }

    fn archive(&self, work: &Work, found: &Found, day: &str) -> Result<(), Errno> {
        let is_new_day = make(&work.done, day)?;
        let into = open_folder(&work.done, day)?;
        moved(&work.taken, &found.name, &into)?;
        if is_new_day && self.config.keep_days > 0 {
            forget_old(&work.done, day, self.config.keep_days)?;
        }
        Ok(())
    }

    /// The newest files, for a look: in the folder, being read, or read before.
    pub fn newest(&self) -> Result<Option<(Found, File)>, SourceError> {
        let home = self.open_home()?;
        let mut places = vec![home];
        if self.config.after != After::Leave
            && let Ok(work) = open_folder(&places[0], &self.work)
        {
            places.extend(open_folder(&work, "taken").ok());
            if let Ok(done) = open_folder(&work, "done") {
                let newest_day = names(&done).ok().and_then(|days| days.into_iter().max());
                places.extend(newest_day.and_then(|day| open_folder(&done, &day).ok()));
            }
        }
        for place in &places {
            let found = self.all(place, false)?.into_iter().max_by(|a, b| a.order().cmp(&b.order()));
            let Some(found) = found else { continue };
            if let Opened::File(file) = self.open_in(place, &found.name)? {
                return Ok(Some((found, file)));
            }
        }
        Ok(None)
    }

    /// What stands in the way of taking files; `None` where nothing does.
    pub fn obstacle(&self) -> Option<String> {
        if self.config.after == After::Leave {
            return None;
        }
        let may = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        let denied = fs::access(&self.config.folder, may).err()?;
        Some(format!(
            "the agent's user may not move files in {} ({denied}); give it write access, or set `after = \"leave\"`",
            self.config.folder.display()
        ))
    }

    fn failed(&self, doing: &'static str, error: Errno) -> SourceError {
        SourceError::Folder { path: self.config.folder.clone(), doing, source: error.into() }
    }

    fn open_home(&self) -> Result<OwnedFd, SourceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::open(&self.config.folder, flags, Mode::empty()).map_err(|error| self.failed("opened", error))
    }

    fn open_folders(&self) -> Result<Open, SourceError> {
        let home = self.open_home()?;
        if self.config.after == After::Leave {
            return Ok(Open { home, work: None });
        }
        let set_up = || {
            make(&home, &self.work)?;
            let work = open_folder(&home, &self.work)?;
            let inner = |name: &str| {
                make(&work, name)?;
                open_folder(&work, name)
            };
            Ok(Work { taken: inner("taken")?, done: inner("done")?, aside: inner("set-aside")? })
        };
        let work = set_up().map_err(|error| self.failed("given a folder for files being read", error))?;
        Ok(Open { home, work: Some(work) })
    }

    /// All files of ours in one folder.
    fn all(&self, place: &OwnedFd, is_taken: bool) -> Result<Vec<Found>, SourceError> {
        let mut found = Vec::new();
        self.each(place, is_taken, |one| found.push(one))?;
        Ok(found)
    }

    fn each(&self, place: &OwnedFd, is_taken: bool, mut each: impl FnMut(Found)) -> Result<(), SourceError> {
        let entries = Dir::read_from(place).map_err(|error| self.failed("listed", error))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.failed("listed", error))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            // What has been taken is ours, whatever the pattern says now.
            if !is_taken && !self.is_wanted(name) {
                continue;
            }
            match fs::statat(place, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if is_file(&stat) => each(Found::of(name, &stat, is_taken)),
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(self.failed("looked through", error)),
            }
        }
        Ok(())
    }

    fn is_wanted(&self, name: &OsStr) -> bool {
        let bytes = name.as_bytes();
        let is_temporary = || {
            let lower = bytes.to_ascii_lowercase();
            TEMPORARY.iter().any(|suffix| lower.ends_with(suffix.as_bytes()))
        };
        !bytes.starts_with(b".") && fits(self.config.pattern.as_bytes(), bytes) && !is_temporary()
    }

    /// Files that have been still for long enough.
    fn ready(
        &mut self,
        open: &Open,
        now: Ticks,
        wall: UnixMillis,
        knows: impl Fn(&Found) -> bool,
    ) -> Result<Vec<Found>, SourceError> {
        let settle = self.config.settle;
        let surely = SURELY_STILL.max(settle);
        let before = std::mem::take(&mut self.waiting);
        let (mut waiting, mut ready) = (HashMap::new(), Vec::new());
        self.each(&open.home, false, |found| {
            if knows(&found) {
                return;
            }
            let seen = before.get(&found.name).copied();
            let same = seen.filter(|seen| seen.size == found.size && seen.modified == found.modified);
            let since = same.map_or(now, |seen| seen.since);
            let was_still = same.is_some() && millis(now.since(since)) >= settle;
            // By the clock that wrote it, for files that were there before this agent: a wrong clock costs one more look.
            let is_old = millis(wall.since(found.written())) >= surely;
            if waiting.len() < WAITING_MAX {
                let (size, modified) = (found.size, found.modified);
                waiting.insert(found.name.clone(), Waiting { size, modified, since });
            }
            if was_still || is_old {
                ready.push(found);
            }
        })?;
        self.waiting = waiting;
        Ok(ready)
    }

    /// Whether a file ends as its format ends, or has been waited for in vain.
    fn is_whole(&self, open: &Open, found: &Found, now: Ticks) -> Result<bool, SourceError> {
        let since = self.waiting.get(&found.name).map_or(now, |waiting| waiting.since);
        if millis(now.since(since)) >= self.config.settle + self.config.patience {
            return Ok(true);
        }
        let mut file = match self.open_in(&open.home, &found.name)? {
            Opened::File(file) => file,
            Opened::Vanished => return Ok(false),
            // Whoever reads it will say so.
            Opened::Denied => return Ok(true),
        };
        let mut tail = Vec::new();
        let read = || {
            let back = TAIL_BYTES.min(i64::try_from(found.size).unwrap_or(0));
            file.seek(SeekFrom::End(-back))?;
            file.take(TAIL_BYTES.unsigned_abs()).read_to_end(&mut tail)
        };
        match read() {
            Ok(_) => Ok(looks_whole(&self.config.format, &tail)),
            // It has just been cut or taken away.
            Err(_) => Ok(false),
        }
    }

    fn take(&self, home: &OwnedFd, work: &Work, found: &Found) -> Result<Option<Found>, SourceError> {
        match moved(home, &found.name, &work.taken) {
            Ok(name) => Ok(Some(Found { name, is_taken: true, is_fresh: true, ..found.clone() })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("emptied of a file that is to be read", error)),
        }
    }

    fn open_in(&self, place: &OwnedFd, name: &OsStr) -> Result<Opened, SourceError> {
        // Without NONBLOCK a pipe that has taken the file's place would hold the reader up for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match fs::openat(place, name, flags, Mode::empty()) {
            Ok(file) => {
                let stat = fs::fstat(&file).map_err(|error| self.failed("read", error))?;
                Ok(if is_file(&stat) { Opened::File(File::from(file)) } else { Opened::Vanished })
            }
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(Opened::Vanished),
            Err(Errno::ACCESS | Errno::PERM) => Ok(Opened::Denied),
            Err(error) => Err(self.failed("read", error)),
        }
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// XML ends with the end of its first element, CSV with the end of a line.
fn looks_whole(format: &FileFormat, tail: &[u8]) -> bool {
    match format {
        FileFormat::Csv(_) => tail.is_empty() || tail.ends_with(b"\n") || tail.ends_with(b"\r"),
        FileFormat::Poslog(_) => {
            let end = tail.trim_ascii_end();
            let last_tag = end.iter().rposition(|byte| *byte == b'<').map(|at| &end[at..]);
            last_tag.is_some_and(|tag| {
                tag.starts_with(b"</") && tag.trim_ascii_end().ends_with(b">") && ends_poslog(tag)
            })
        }
    }
}

fn ends_poslog(tag: &[u8]) -> bool {
    let name = tag[2..].strip_suffix(b">").unwrap_or_default().trim_ascii();
    name.rsplit(|byte| *byte == b':').next() == Some(b"POSLog")
}

/// `*` stands for any text, `?` for one byte.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, star_from)) = star else { return false };
                star = Some((star_at, star_from + 1));
                (at, from) = (star_at + 1, star_from + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether the folder is new.
fn make(place: &OwnedFd, name: &str) -> Result<bool, Errno> {
    match fs::mkdirat(place, name, Mode::from_raw_mode(FOLDER_MODE)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_folder(place: &OwnedFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(place, name, flags, Mode::empty())
}

/// Moves a file under its name, or a like one where that is taken. Gives the name it has now.
fn moved(from: &OwnedFd, name: &OsStr, into: &OwnedFd) -> Result<OsString, Errno> {
    for number in 0..NAMES_MAX {
        let new = if number == 0 { name.to_owned() } else { numbered(name, number) };
        match fs::renameat_with(from, name, into, &new, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(new),
            Err(Errno::EXIST) => {}
            // A file system that can't do it in one step; nobody else writes into this folder.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let is_free = matches!(fs::statat(into, &new, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT));
                if is_free {
                    return fs::renameat(from, name, into, &new).map(|()| new);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST)
}

fn numbered(name: &OsStr, number: u32) -> OsString {
    let mut bytes = name.as_bytes().to_vec();
    // Room for it where the name is as long as names may be.
    bytes.truncate(240);
    bytes.extend(format!(".{number}").bytes());
    OsString::from_vec(bytes)
}

fn names(place: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let entries = Dir::read_from(place)?.filter_map(Result::ok);
    let name = |entry: fs::DirEntry| OsString::from_vec(entry.file_name().to_bytes().to_vec());
    Ok(entries.map(name).filter(|name| !name.as_bytes().starts_with(b".")).collect())
}

/// Removes the days that are no longer kept. Days are named so that their order is that of their names.
fn forget_old(done: &OwnedFd, today: &str, keep_days: u32) -> Result<(), Errno> {
    let Ok(today) = today.parse::<jiff::civil::Date>() else { return Ok(()) };
    let mut removed = 0;
    for name in names(done)? {
        let day = name.to_str().and_then(|name| name.parse::<jiff::civil::Date>().ok());
        let is_over =
            day.is_some_and(|day| (today - day).get_days() > i32::try_from(keep_days).unwrap_or(i32::MAX));
        if !is_over {
            continue;
        }
        let folder = open_folder(done, &name)?;
        for file in names(&folder)? {
            if removed == REMOVED_AT_ONCE {
                return Ok(());
            }
            fs::unlinkat(&folder, &file, AtFlags::empty())?;
            removed += 1;
        }
        fs::unlinkat(done, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name) in
            [("*.csv", "a.csv"), ("s?les-*", "sales-"), ("*", "x"), ("a*b*c", "a1b2b3c"), ("a", "a")]
        {
            assert!(fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.csv", "a.csv.tmp"), ("?", ""), ("a*b", "ac"), ("", "a"), ("*.CSV", "a.csv")]
        {
            assert!(!fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        let long = [b'a'; 255];
        assert!(
            !fits(b"*a*a*a*a*a*a*a*a*b", &long),
            "a pattern costs no more than its length times the name's"
        );
    }
}
