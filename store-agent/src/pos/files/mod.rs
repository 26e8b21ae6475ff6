//! A POS that puts files into a folder: CSV and ARTS POSLog.
//!
//! A file is taken by renaming it into the agent's own folder beside it, read piece by piece, and put away once the core has all of
//! it. The cursor says which file is being read and how far. **Invariants:** a file is put away only after the cursor that says that
//! it is done has been committed; what has been taken and not put away is read again, from the cursor on; and should the cursor be lost,
//! references are such that a second reading counts nothing twice.

mod csv;
mod folder;
mod piece;
mod poslog;
mod seen;
mod text;

use super::checkup::{SHOWN_MAX, movement_shown};
use super::source::{Checkup, Figure, MovementShown, Notes, PosSource, Reading, SourceError};
use crate::agent::{SetAside, SourceDocument};
use crate::config::pos::{After, FileFormat, FilesConfig, Holds, PosConfig};
use crate::http::Clocks;
use csv::{CsvFile, CsvReader};
use folder::{Fate, Folder, Found, Opened};
use piece::{Broken, Piece};
use poslog::PoslogReader;
use seen::Seen;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use sync_protocol::Ticks;
use twox_hash::XxHash3_128;

/// Documents and rows set aside of one go, and lines of theirs: what one commit holds the tills up for.
/// Tests come to it often.
const DOCUMENTS_MAX: usize = if cfg!(test) { 50 } else { 2_000 };
const LINES_MAX: usize = 10_000;
/// Pieces of one go, should most of them be left out.
const PIECES_MAX: usize = 50_000;
/// A look at the folder is followed by a pause so many times as long, so that a folder of many files costs little.
const REST: u32 = 50;
const WRITTEN_ON: &str = "it was written to after it had been taken, and its lines have no key to tell which are new. Let the POS write \
                          under another name and rename the file once it is whole, or map `key`";
const CHECK_PIECES: usize = 1_000;

/// How far reading has come; the name of a file is its content.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cursor {
    /// So many pieces of this file have been taken.
    Begun {
        file: String,
        pieces: u64,
    },
    Done {
        file: String,
    },
    /// It could not be read to its end.
    GivenUp {
        file: String,
    },
}

impl Cursor {
    fn text(&self) -> String {
        match self {
            Cursor::Begun { file, pieces } => format!("begun {file} {pieces}"),
            Cursor::Done { file } => format!("done {file}"),
            Cursor::GivenUp { file } => format!("given-up {file}"),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Cursor> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split(' ');
        let (word, file) = (words.next()?, words.next()?.to_owned());
        let is_name = file.len() == 32 && file.bytes().all(|byte| byte.is_ascii_hexdigit());
        let cursor = match (word, words.next()) {
            ("begun", Some(pieces)) => Cursor::Begun { file, pieces: pieces.parse().ok()? },
            ("done", None) => Cursor::Done { file },
            ("given-up", None) => Cursor::GivenUp { file },
            _ => return None,
        };
        (is_name && words.next().is_none()).then_some(cursor)
    }

    /// What is to become of a file with this content; `None`: it has not been read to its end.
    fn fate_of(&self, file: &str) -> Option<Fate> {
        match self {
            Cursor::Done { file: done } if done == file => Some(Fate::Read),
            Cursor::GivenUp { file: broken } if broken == file => Some(Fate::SetAside),
            _ => None,
        }
    }
}

/// Either way of reading.
#[derive(Debug)]
enum Format {
    Csv(Box<CsvReader>),
    Poslog(Box<PoslogReader>),
}

impl Format {
    fn next(&mut self) -> Result<Option<Piece>, Broken> {
        match self {
            Format::Csv(csv) => csv.next(),
            Format::Poslog(poslog) => poslog.next(),
        }
    }

    fn line(&self) -> u64 {
        match self {
            Format::Csv(csv) => csv.line(),
            Format::Poslog(poslog) => poslog.line(),
        }
    }
}

/// The file that is being read.
#[derive(Debug)]
struct Current {
    found: Found,
    identity: String,
    /// A second handle on it, to see whether somebody still writes.
    file: File,
    reader: Format,
    pieces: u64,
    /// The cursor as it will be once the last go is recorded.
    cursor: Cursor,
}

/// A folder as a source.
#[derive(Debug)]
pub struct FileSource {
    config: PosConfig,
    files: FilesConfig,
    folder: Folder,
    clocks: Clocks,
    started: Instant,
    sidecar_path: PathBuf,
    seen: Option<Seen>,
    current: Option<Current>,
    /// When the folder may be looked at again.
    rests_until: Option<Instant>,
}

/// What the next file is.
enum Began {
    Nothing,
    /// It could not be begun; this says why.
    Refused(Found, String, Broken),
    Reading(Current),
}

impl FileSource {
    #[must_use]
    pub fn new(config: PosConfig, files: FilesConfig, sidecar_path: PathBuf, clocks: Clocks) -> FileSource {
        let folder = Folder::new(files.clone(), config.source.as_str());
        let started = (clocks.instant)();
        FileSource {
            config,
            files,
            folder,
            clocks,
            started,
            sidecar_path,
            seen: None,
            current: None,
            rests_until: None,
        }
    }

    fn now(&self) -> Ticks {
        let since = (self.clocks.instant)().saturating_duration_since(self.started);
        Ticks(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn today(&self) -> String {
        let now = jiff::Timestamp::from_millisecond((self.clocks.wall)().0).unwrap_or_default();
        now.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
    }

    fn broken(&self) -> impl FnOnce(rusqlite::Error) -> SourceError + use<> {
        let path = self.sidecar_path.clone();
        |source| SourceError::Sidecar { path, source }
    }

    /// Remembers a file that stays where it is; puts any other away.
    fn finish(&mut self, found: &Found, fate: Fate) -> Result<(), SourceError> {
        if self.files.after != After::Leave {
            return self.folder.put_away(found, fate, &self.today());
        }
        let broken = self.broken();
        self.seen()?.add(found).map_err(broken)
    }

    fn seen(&mut self) -> Result<&mut Seen, SourceError> {
        let broken = self.broken();
        let seen = match self.seen.take() {
            Some(seen) => seen,
            None => Seen::open(&self.sidecar_path).map_err(broken)?,
        };
        Ok(self.seen.insert(seen))
    }

    fn find(&mut self) -> Result<Option<Found>, SourceError> {
        let started = (self.clocks.instant)();
        if self.rests_until.is_some_and(|until| started < until) {
            return Ok(None);
        }
        let (now, wall) = (self.now(), (self.clocks.wall)());
        if self.files.after == After::Leave {
            self.seen()?;
        }
        let seen = self.seen.as_ref();
        let found = self.folder.next(now, wall, |found| seen.is_some_and(|seen| seen.knows(found)))?;
        let ended = (self.clocks.instant)();
        let took = ended.saturating_duration_since(started);
        self.rests_until =
            found.is_none().then(|| ended + took.saturating_mul(REST).min(Duration::from_secs(60)));
        Ok(found)
    }

    /// The next file, read on from where the cursor says. Puts away what the cursor says is done.
    fn begin(&mut self, cursor: Option<&Cursor>) -> Result<Began, SourceError> {
        loop {
            let Some(found) = self.find()? else { return Ok(Began::Nothing) };
            let opened = self.folder.open(&found)?;
            let identity = match &opened {
                Opened::Vanished => continue,
                Opened::File(file) => self.identity(file, &found)?,
                Opened::Denied => identity_without_content(&found),
            };
            if let Some(fate) = cursor.and_then(|cursor| cursor.fate_of(&identity)) {
                self.finish(&found, fate)?;
                continue;
            }
            let Opened::File(file) = opened else {
                let denied =
                    Broken::format("the agent's user may not read it; let the POS write files that it may");
                return Ok(Began::Refused(found, identity, denied));
            };
            let begun = match cursor {
                Some(Cursor::Begun { file, pieces }) if *file == identity => Some(*pieces),
                // It was begun, and is another now.
                Some(Cursor::Begun { .. }) if !self.files.format.has_keys() && !found.is_fresh => {
                    return Ok(Began::Refused(found, identity, Broken::format(WRITTEN_ON)));
                }
                _ => None,
            };
            let reader = match self.reader(&file, &found, &identity) {
                Ok(reader) => reader,
                Err(Broken::Io(source)) => return Err(self.unreadable(source)),
                Err(broken) => return Ok(Began::Refused(found, identity, broken)),
            };
            let mut current = Current {
                found,
                file,
                reader,
                pieces: 0,
                cursor: Cursor::Begun { file: identity.clone(), pieces: 0 },
                identity,
            };
            if let Some(pieces) = begun {
                self.skip(&mut current, pieces)?;
            }
            return Ok(Began::Reading(current));
        }
    }

    /// To where an earlier run of the agent had come. Whatever stops it here will be met again right after.
    fn skip(&self, current: &mut Current, pieces: u64) -> Result<(), SourceError> {
        while current.pieces < pieces {
            match current.reader.next() {
                Ok(Some(_)) => current.pieces += 1,
                Err(Broken::Io(source)) => return Err(self.unreadable(source)),
                Ok(None) | Err(_) => break,
            }
        }
        current.cursor = Cursor::Begun { file: current.identity.clone(), pieces: current.pieces };
        Ok(())
    }

    fn unreadable(&self, source: std::io::Error) -> SourceError {
        SourceError::Folder { path: self.files.folder.clone(), doing: "read: a file in it failed", source }
    }

    /// What a file is known by: its content; where that says nothing of when it was true, also its name and its time.
    fn identity(&self, mut file: &File, found: &Found) -> Result<String, SourceError> {
        let mut hasher = XxHash3_128::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut read = || {
            file.seek(SeekFrom::Start(0))?;
            let mut from = file.take(found.size);
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(bytes) => hasher.write(&buffer[..bytes]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            file.seek(SeekFrom::Start(0))
        };
        read().map_err(|source| self.unreadable(source))?;
        if let FileFormat::Csv(csv) = &self.files.format
            && csv.holds == Holds::Figures
            && csv.columns.at.is_empty()
        {
            hasher.write(found.shown().as_bytes());
            hasher.write(&found.modified.to_le_bytes());
        }
        Ok(format!("{:032x}", hasher.finish_128()))
    }

    fn reader(&self, file: &File, found: &Found, identity: &str) -> Result<Format, Broken> {
        let file = file.try_clone().map_err(Broken::Io)?;
        let (source, mapping, name) = (&self.config.source, &self.config.mapping, found.shown());
        match &self.files.format {
            FileFormat::Csv(csv) => {
                let written = found.written().min((self.clocks.wall)());
                let about = CsvFile { name, identity: identity.to_owned(), written, size: found.size };
                CsvReader::open(file, about, source, csv, mapping).map(|csv| Format::Csv(Box::new(csv)))
            }
            FileFormat::Poslog(poslog) => {
                PoslogReader::open(file, found.size, &name, source, poslog, mapping)
                    .map(|poslog| Format::Poslog(Box::new(poslog)))
            }
        }
    }

    /// One go through the current file.
    fn read_on(&mut self, mut current: Current) -> Result<Reading, SourceError> {
        let mut reading = Reading::default();
        let (mut pieces, mut lines) = (0, 0);
        let end = loop {
            let documents = reading.documents.len() + reading.set_aside.len();
            if documents >= DOCUMENTS_MAX || lines >= LINES_MAX || pieces == PIECES_MAX {
                break None;
            }
            match current.reader.next() {
                Ok(Some(piece)) => {
                    pieces += 1;
                    current.pieces += 1;
                    lines += piece.documents.iter().map(|of| of.document.lines.len()).sum::<usize>();
                    take(piece, &mut reading);
                }
                Ok(None) => break Some(self.end(&current, &mut reading)?),
                Err(Broken::Io(source)) => return Err(self.unreadable(source)),
                Err(broken) => {
                    let line = current.reader.line();
                    reading.set_aside.push(self.given_up(&current.found, Some(line), &broken));
                    break Some(Cursor::GivenUp { file: current.identity.clone() });
                }
            }
        };
        current.cursor =
            end.unwrap_or_else(|| Cursor::Begun { file: current.identity.clone(), pieces: current.pieces });
        reading.cursor = Some(current.cursor.text().into_bytes());
        self.current = Some(current);
        Ok(reading)
    }

    /// The cursor at the end of a file: done, or once more from its beginning if somebody has written on.
    fn end(&self, current: &Current, reading: &mut Reading) -> Result<Cursor, SourceError> {
        let now = current.file.metadata().map_err(|source| self.unreadable(source))?;
        let file = current.identity.clone();
        if now.len() == current.found.size {
            return Ok(Cursor::Done { file });
        }
        if self.files.format.has_keys() {
            tracing::info!(source = %self.config.source, file = current.found.shown(), "a file was written to while it was read; reading it once more");
            return Ok(Cursor::Begun { file, pieces: current.pieces });
        }
        reading.set_aside.push(self.given_up(&current.found, None, &Broken::format(WRITTEN_ON)));
        Ok(Cursor::GivenUp { file })
    }

    /// Somebody has written on. Where lines have keys, all of them are read once more.
    fn begins_anew(&self, current: &Current) -> bool {
        let has_grown = || current.file.metadata().is_ok_and(|now| now.len() != current.found.size);
        self.files.format.has_keys() && has_grown()
    }

    /// A whole file for the quarantine.
    fn given_up(&self, found: &Found, line: Option<u64>, broken: &Broken) -> SetAside {
        let name = found.shown();
        let place = line.map_or_else(|| name.clone(), |line| format!("{name}, line {line}"));
        let fate = match (self.files.after, self.files.format.has_keys()) {
            (After::Leave, _) => "once it is right, touch it, and it is read again",
            (_, true) => "it lies in `set-aside`; once it is right, move it back, and it is read again",
            (_, false) => {
                "it lies in `set-aside`; what is recorded of it would count twice, so move back only what is not"
            }
        };
        let recorded = if line.is_some() { "what came before is recorded, and " } else { "" };
        let row = serde_json::json!({ "file": name, "line": line }).to_string();
        SetAside { reason: format!("{place}: the file can't be read on: {broken}; {recorded}{fate}"), row }
    }

    fn refused(&self, found: &Found, identity: String, broken: &Broken) -> Reading {
        let cursor = Cursor::GivenUp { file: identity };
        Reading {
            set_aside: vec![self.given_up(found, None, broken)],
            cursor: Some(cursor.text().into_bytes()),
            ..Reading::default()
        }
    }
}

/// For a file that can't be opened.
fn identity_without_content(found: &Found) -> String {
    let mut hasher = XxHash3_128::new();
    hasher.write(found.name.as_encoded_bytes());
    hasher.write(&found.modified.to_le_bytes());
    format!("{:032x}", hasher.finish_128())
}

fn take(piece: Piece, reading: &mut Reading) {
    reading.documents.extend(piece.documents);
    reading.set_aside.extend(piece.set_aside);
    reading.notes.rounded += piece.notes.rounded;
    reading.notes.card_numbers += piece.notes.card_numbers;
}

impl PosSource for FileSource {
    fn check(&mut self) -> Result<Checkup, SourceError> {
        let mut found = Checkup::default();
        found.problems.extend(self.folder.obstacle());
        let Some((file, handle)) = self.folder.newest()? else {
            let folder = self.files.folder.display();
            found
                .problems
                .push(format!("no file in {folder} fits `{}`; put one there to look at", self.files.pattern));
            return Ok(found);
        };
        found.tables = vec![file.shown()];
        let identity = self.identity(&handle, &file)?;
        match self.reader(&handle, &file, &identity) {
            Ok(reader) => look(reader, &mut found),
            Err(broken) => found.problems.push(format!("{}: {broken}", file.shown())),
        }
        Ok(found)
    }

    /// A file says itself what its columns are; there is nothing to accept.
    fn accept(&mut self) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn read(&mut self, from: Option<&[u8]>) -> Result<Reading, SourceError> {
        let cursor = match from {
            None => None,
            Some(bytes) => Some(Cursor::parse(bytes).ok_or_else(|| SourceError::Cursor {
                found: String::from_utf8_lossy(bytes).chars().take(40).collect(),
            })?),
        };
        if let Some(current) = self.current.take() {
            let is_here = cursor.as_ref() == Some(&current.cursor);
            match &current.cursor {
                Cursor::Begun { .. } if is_here && !self.begins_anew(&current) => {
                    return self.read_on(current);
                }
                Cursor::Done { .. } if is_here => self.finish(&current.found, Fate::Read)?,
                Cursor::GivenUp { .. } if is_here => self.finish(&current.found, Fate::SetAside)?,
                // The core did not take the last go, or has another cursor: from the cursor on.
                _ => {}
            }
        }
        match self.begin(cursor.as_ref())? {
            Began::Nothing => Ok(Reading { is_all: true, ..Reading::default() }),
            Began::Refused(found, identity, broken) => Ok(self.refused(&found, identity, &broken)),
            Began::Reading(current) => self.read_on(current),
        }
    }

    /// A file says what was there when it was written, never what is there now.
    fn figures(&mut self, _from: &[u8]) -> Result<Option<Vec<Figure>>, SourceError> {
        Ok(None)
    }

    fn figure_documents(&self, _base: &str, _figures: &[Figure]) -> Vec<SourceDocument> {
        Vec::new()
    }
}

/// The first pieces of a file, for a person.
fn look(mut reader: Format, found: &mut Checkup) {
    let mut shown: VecDeque<MovementShown> = VecDeque::new();
    let mut notes = Notes::default();
    let mut wrong = 0;
    while found.rows < CHECK_PIECES {
        let piece = match reader.next() {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(broken) => {
                found.problems.push(format!("line {}: {broken}", reader.line()));
                break;
            }
        };
        found.rows += 1;
        found.left_out += usize::from(piece.is_left_out);
        notes.card_numbers += piece.notes.card_numbers;
        shown.extend(piece.documents.iter().map(movement_shown));
        while shown.len() > SHOWN_MAX {
            shown.pop_front();
        }
        for aside in piece.set_aside {
            wrong += 1;
            if wrong <= SHOWN_MAX {
                found.problems.push(aside.reason);
            }
        }
    }
    if wrong > SHOWN_MAX {
        found.problems.push(format!("{} more like these", wrong - SHOWN_MAX));
    }
    if notes.card_numbers > 0 {
        found.problems.push(format!(
            "{} texts look like card numbers; nothing of them is kept, but the files hold them",
            notes.card_numbers
        ));
    }
    found.movements = shown.into();
}

#[cfg(test)]
mod tests;
