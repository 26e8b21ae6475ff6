//! What SQL databases of a POS have in common: rows followed by their key, figures, and a first reading of one moment.
//!
//! With `changes` rows are followed by their key, and gaps below the highest key are waited for; with `on_hand` alone the POS's
//! figures are held against the last ones; keys that are texts are followed by time. Where both are given, the first reading takes the figures and the key of one moment,
//! so that nothing between is missed or doubled. What one make of database does its own way stands behind the seam `PosDatabase`.

pub mod columns;
mod correction;
pub mod database;
mod following;
mod named;
mod texts;

use super::checkup::{SHOWN_MAX, movement_shown};
use super::key_cursor::KeyCursor;
use super::mapping::{self, Key, Mapped, Mapper, Row};
use super::sidecar::memory::item_name;
use super::sidecar::{Sidecar, Tables};
use super::source::{Checkup, Figure, MovementShown, Notes, PosSource, Reading, SourceError};
use super::times::Clockwork;
use crate::agent::{ItemKey, SetAside, SourceDocument};
use crate::config::pos::{Factor, KeyIs, Mapping, PosConfig};
use crate::http::Clocks;
use crate::inbox::sources::LogStanding;
use database::{Look, Met, PosDatabase};
use following::{Rounds, is_as_remembered, rows_after};
use named::Named;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use sync_protocol::{Quantity, Ticks};
use texts::Place;

/// Rows of one go: what one look holds the file for, and what one commit holds the tills up for.
const ROWS_MAX: usize = 1_000;
/// How far below the highest key gaps are looked for at the first reading.
const FIRST_LOOK_BACK: usize = 1_000;
/// The doorbell is trusted no longer than this.
const FULL_LOOK_EVERY_MS: u64 = 30_000;
/// How many of the newest rows a check goes over.
const CHECK_ROWS: usize = 1_000;
/// Everything that is compared where keys are texts is read in one moment, which the POS's database keeps for no longer than this.
const COMPARED_WITHIN: Duration = Duration::from_secs(2);
/// Looks that answer one ring of a log: it may ring a moment before a look can see why. The first is for new rows alone, since a sale
/// waits for it; whatever else there is to go over comes with the second.
const LOOKS_PER_RING: u8 = 2;
/// What a log has not said is looked for by a round, this often.
const UNSAID_EVERY_MS: u64 = 600_000;
/// A look that nothing called for is followed by a rest of so many times its length: a hundredth of the time is what it costs the POS.
const REST_TIMES: u64 = 100;
/// Beside a log it has less to find, and takes less.
const REST_TIMES_BESIDE_LOG: u64 = 500;
/// After one that a log has called for it is a tenth.
const REST_TIMES_IN_HASTE: u64 = 9;

/// A cursor of this kind of source.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cursor {
    /// The first reading is being recorded; the number of the attempt.
    Import(i64),
    Keys(KeyCursor),
    /// So many goes of figures have been taken.
    Figures(i64),
    /// Rows are followed by keys that are texts, since the first reading of this number.
    Texts(i64),
}

impl Cursor {
    fn text(&self) -> String {
        match self {
            Cursor::Import(attempt) => format!("import {attempt}"),
            Cursor::Keys(keys) => keys.text(),
            Cursor::Figures(go) => format!("figures {go}"),
            Cursor::Texts(attempt) => format!("texts {attempt}"),
        }
    }

    fn parse(bytes: &[u8], now: Ticks) -> Option<Cursor> {
        let text = std::str::from_utf8(bytes).ok()?;
        match text.split_once(' ') {
            Some(("import", attempt)) => attempt.parse().ok().map(Cursor::Import),
            Some(("figures", go)) => go.parse().ok().map(Cursor::Figures),
            Some(("texts", attempt)) => attempt.parse().ok().map(Cursor::Texts),
            _ => KeyCursor::parse(text, now).map(Cursor::Keys),
        }
    }
}

/// The first reading, handed over piece by piece.
#[derive(Debug)]
struct Import {
    documents: VecDeque<SourceDocument>,
    set_aside: VecDeque<SetAside>,
    rounded: u64,
    end: Cursor,
}

/// A POS's database as a source.
#[derive(Debug)]
pub struct SqlSource<D> {
    config: PosConfig,
    clocks: Clocks,
    started: Instant,
    sidecar_path: PathBuf,
    sidecar: Option<Sidecar>,
    db: D,
    schema_seen: Option<i64>,
    /// The cursor as it will be once the last go is recorded, with how long its gaps have been open.
    at: Option<Cursor>,
    import: Option<Import>,
    /// Figures as the core has them, after so many goes.
    known: Option<(i64, HashMap<String, i64>)>,
    bell_heard: Option<i64>,
    looked_at: Ticks,
    clockwork: Clockwork,
    rounds: Rounds,
    /// Where the rounds are where keys are texts.
    place: Place,
    /// How the log was at the last go, what it has named, and how many looks its last ring still calls for.
    log: Option<LogStanding>,
    named: Named,
    looks_owed: u8,
    /// The next look is the first that answers a ring.
    is_first_look: bool,
    rung_at: Ticks,
    /// Without a bell, or with a log that rings often, figures are not looked at before this; nor rows whose keys are texts.
    figures_due: Ticks,
    /// Something was handed over that the core may not have taken.
    has_waiting: bool,
}

impl<D: PosDatabase> SqlSource<D> {
    #[must_use]
    pub fn over(db: D, config: PosConfig, sidecar_path: PathBuf, clocks: Clocks) -> SqlSource<D> {
        let clockwork = Clockwork::new(config.mapping.times, config.mapping.time_zone.clone());
        SqlSource {
            config,
            clocks,
            started: (clocks.instant)(),
            sidecar_path,
            sidecar: None,
            db,
            schema_seen: None,
            at: None,
            import: None,
            known: None,
            bell_heard: None,
            looked_at: Ticks(0),
            clockwork,
            rounds: Rounds::new(),
            place: Place::default(),
            log: None,
            named: Named::default(),
            looks_owed: 0,
            is_first_look: false,
            rung_at: Ticks(0),
            figures_due: Ticks(0),
            has_waiting: true,
        }
    }

    fn now(&self) -> Ticks {
        let since = (self.clocks.instant)().saturating_duration_since(self.started);
        Ticks(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn mapping(&self) -> &Mapping {
        &self.config.mapping
    }

    fn sidecar(&mut self) -> Result<&mut Sidecar, SourceError> {
        let path = &self.sidecar_path;
        let opened = match self.sidecar.take() {
            Some(open) => open,
            None => {
                Sidecar::open(path).map_err(|source| SourceError::Sidecar { path: path.clone(), source })?
            }
        };
        Ok(self.sidecar.insert(opened))
    }

    fn broken(&self) -> impl FnOnce(rusqlite::Error) -> SourceError + use<D> {
        let path = self.sidecar_path.clone();
        |source| SourceError::Sidecar { path, source }
    }

    fn connect(&mut self) -> Result<(), SourceError> {
        if self.db.connect()? == Met::Anew {
            (self.schema_seen, self.bell_heard) = (None, None);
        }
        Ok(())
    }

    /// Whatever was not followed has to be looked for, so a log that begins or breaks is as good as a ring.
    fn tend_log(&mut self, now: Ticks) {
        let log = self.db.tend_log(now);
        let is_followed = |log: &Option<LogStanding>| *log == Some(LogStanding::Followed);
        if is_followed(&log) != is_followed(&self.log) {
            self.bell_heard = None;
            self.rounds.hurry();
        }
        self.log = log;
    }

    fn has_log(&self) -> bool {
        self.log == Some(LogStanding::Followed)
    }

    /// The database, with the tables that were accepted.
    fn database(&mut self) -> Result<&mut D, SourceError> {
        self.connect()?;
        let schema = self.db.schema_mark()?;
        if self.schema_seen != Some(schema) {
            let tables = self.db.tables()?;
            self.compare_tables(&tables)?;
            self.schema_seen = Some(schema);
        }
        Ok(&mut self.db)
    }

    fn compare_tables(&mut self, tables: &Tables) -> Result<(), SourceError> {
        let broken = self.broken();
        let accepted = self.sidecar()?.accepted().map_err(broken)?;
        if accepted.is_empty() {
            let broken = self.broken();
            return self.sidecar()?.accept(tables).map_err(broken);
        }
        let changes = drift(&accepted, tables);
        if changes.is_empty() { Ok(()) } else { Err(SourceError::Schema { changes }) }
    }

    fn cursor(&self, from: Option<&[u8]>) -> Result<Option<Cursor>, SourceError> {
        let Some(from) = from else { return Ok(None) };
        if let Some(at) = self.at.as_ref().filter(|at| at.text().as_bytes() == from) {
            return Ok(Some(at.clone()));
        }
        let found =
            || SourceError::Cursor { found: String::from_utf8_lossy(from).chars().take(40).collect() };
        let cursor = Cursor::parse(from, self.now()).ok_or_else(found)?;
        let fits = match &cursor {
            Cursor::Import(_) => true,
            Cursor::Keys(_) => self.mapping().changes.is_some() && self.mapping().key_is == KeyIs::Number,
            Cursor::Texts(_) => self.mapping().changes.is_some() && self.mapping().key_is == KeyIs::Text,
            Cursor::Figures(_) => self.mapping().changes.is_none(),
        };
        if fits { Ok(Some(cursor)) } else { Err(found()) }
    }

    // The first reading.

    fn first(&mut self, before: Option<i64>) -> Result<Reading, SourceError> {
        let is_going_on = before.is_some() && self.import.is_some() && self.at == before.map(Cursor::Import);
        let attempt = if is_going_on { before.unwrap_or(1) } else { before.map_or(1, |attempt| attempt + 1) };
        if !is_going_on {
            self.import = Some(self.begin_import(attempt)?);
        }
        let Some(import) = &mut self.import else { return Ok(Reading::default()) };
        let mut reading = Reading::default();
        // A figure below nothing is two documents, which stay together.
        while reading.documents.len() + reading.set_aside.len() < ROWS_MAX {
            match import.documents.pop_front() {
                Some(document) => reading.documents.push(document),
                None => break,
            }
        }
        while reading.documents.len() + reading.set_aside.len() < ROWS_MAX {
            match import.set_aside.pop_front() {
                Some(aside) => reading.set_aside.push(aside),
                None => break,
            }
        }
        let is_end = import.documents.is_empty() && import.set_aside.is_empty();
        reading.notes.rounded = std::mem::take(&mut import.rounded);
        let cursor = if is_end { import.end.clone() } else { Cursor::Import(attempt) };
        if is_end {
            self.import = None;
        }
        reading.cursor = Some(cursor.text().into_bytes());
        self.at = Some(cursor);
        // The rows since then wait.
        self.bell_heard = None;
        Ok(reading)
    }

    fn begin_import(&mut self, attempt: i64) -> Result<Import, SourceError> {
        let (has_ledger, has_figures) = (self.mapping().changes.is_some(), self.mapping().on_hand.is_some());
        let has_texts = self.mapping().key_is == KeyIs::Text;
        let now = self.now();
        let rows_max = self.config.remember_rows;
        let (figures, keys, rows) = self.database()?.at_once(|look| {
            let figures = if has_figures { look.figures()? } else { Vec::new() };
            // Without figures the ledger itself is the beginning: it is read from its first row.
            let is_middle = has_ledger && has_figures;
            let keys = if is_middle && !has_texts { Some(newest_keys(look, now)?) } else { None };
            let rows = match is_middle {
                true if has_texts => look.last_rows(rows_max)?,
                true => look.newest_rows(rows_max)?,
                false => Vec::new(),
            };
            Ok((figures, keys, rows))
        })?;
        let (figures, set_aside, rounded) = sum_up(self.mapping(), &figures);
        let documents = self.figure_documents(&format!("import-{attempt}"), &figures);
        let end = match (&self.mapping().changes, keys) {
            (Some(_), _) if has_texts => {
                let is_all = rows.len() < rows_max;
                self.begin_memory_of_texts(rows, is_all, attempt)?;
                Cursor::Texts(attempt)
            }
            (Some(_), keys) => {
                // Before the core is told: what is not remembered would be taken for new.
                self.begin_memory_with(rows)?;
                Cursor::Keys(keys.unwrap_or_default())
            }
            (None, _) => {
                let named: Vec<_> =
                    figures.iter().map(|figure| (item_name(&figure.item), figure.thousandths)).collect();
                let broken = self.broken();
                self.sidecar()?.hand_over(1, &named, true).map_err(broken)?;
                self.known = None;
                Cursor::Figures(1)
            }
        };
        Ok(Import { documents: documents.into(), set_aside: set_aside.into(), rounded, end })
    }

    // By figures.

    fn changed_figures(&mut self, go: i64) -> Result<Reading, SourceError> {
        let began = self.now();
        let rows = self.database()?.at_once(|look| look.figures())?;
        let took_ms = self.now().since(began);
        let has_log = self.has_log();
        let times = if has_log { REST_TIMES_IN_HASTE } else { REST_TIMES };
        self.figures_due = Ticks(began.0.saturating_add(took_ms.saturating_mul(times)));
        let (figures, set_aside, rounded) = sum_up(self.mapping(), &rows);
        let mut known = match self.known.take() {
            Some((of, known)) if of == go => known,
            _ => {
                let broken = self.broken();
                self.sidecar()?.figures(go).map_err(broken)?
            }
        };
        let differs = |figure: &&Figure| known.get(&item_name(&figure.item)) != Some(&figure.thousandths);
        let mut changed: Vec<Figure> = figures.iter().filter(differs).cloned().collect();
        let is_all = changed.len() <= ROWS_MAX;
        changed.truncate(ROWS_MAX);
        if !is_all {
            self.figures_due = Ticks(0);
        }
        if changed.is_empty() {
            self.known = Some((go, known));
            return Ok(Reading { is_all, ..Reading::default() });
        }
        let named: Vec<_> =
            changed.iter().map(|figure| (item_name(&figure.item), figure.thousandths)).collect();
        let broken = self.broken();
        let starts_over = known.is_empty();
        self.sidecar()?.hand_over(go + 1, &named, starts_over).map_err(broken)?;
        known.extend(named);
        self.known = Some((go + 1, known));
        let cursor = Cursor::Figures(go + 1);
        let notes = Notes { rounded, ..Notes::default() };
        let documents = self.figure_documents(&format!("figures-{}", go + 1), &changed);
        let text = cursor.text().into_bytes();
        self.at = Some(cursor);
        // A row that can't be read is said at the import; at each change it would fill the quarantine.
        drop(set_aside);
        Ok(Reading { documents, set_aside: Vec::new(), cursor: Some(text), is_all, notes })
    }

    /// Nobody has committed anything since the last look, and that was not long ago; or, without a bell, it is too soon for another.
    fn is_quiet(&mut self, from: Option<&[u8]>) -> Result<bool, SourceError> {
        let now = self.now();
        self.connect()?;
        self.tend_log(now);
        let has_log = self.has_log();
        let bell = self.db.bell()?;
        let is_rung = bell.is_none() || self.bell_heard != bell;
        if is_rung {
            self.looks_owed = if has_log { LOOKS_PER_RING } else { 0 };
        }
        if is_rung || now.since(self.rung_at) >= UNSAID_EVERY_MS {
            self.rounds.ring();
            self.rung_at = now;
        }
        // Never two in a row: with a log that rings all the time the rest would never come.
        self.is_first_look = is_rung && has_log && !self.is_first_look;
        let is_answered = self.bell_heard == bell && self.looks_owed == 0 && self.named.is_empty();
        let is_here = self.at.as_ref().map(Cursor::text).as_deref().map(str::as_bytes) == from;
        let is_rest = match (&self.at, bell) {
            (Some(Cursor::Texts(_)), _) if now.0 < self.figures_due.0 => true,
            (Some(Cursor::Figures(_)), bell) if bell.is_none() || has_log && now.0 < self.figures_due.0 => {
                now.0 < self.figures_due.0
            }
            (_, None) => false,
            (at, Some(_)) => {
                let has_round =
                    matches!(at, Some(Cursor::Keys(_) | Cursor::Texts(_))) && self.rounds.is_due(now);
                is_answered
                    && !has_round
                    && !self.has_waiting
                    && now.since(self.looked_at) < FULL_LOOK_EVERY_MS
            }
        };
        if is_here && is_rest {
            return Ok(true);
        }
        (self.bell_heard, self.looked_at) = (bell, now);
        self.looks_owed = self.looks_owed.saturating_sub(1);
        Ok(false)
    }

    fn gaps_open(&self) -> u64 {
        match &self.at {
            Some(Cursor::Keys(keys)) => keys.waited_for(),
            _ => 0,
        }
    }
}

impl<D: PosDatabase> PosSource for SqlSource<D> {
    fn check(&mut self) -> Result<Checkup, SourceError> {
        self.db.connect()?;
        let mut found = Checkup::default();
        let tables = self.db.tables()?;
        let accepted =
            self.sidecar_path.exists().then(|| self.accepted_now()).transpose()?.unwrap_or_default();
        if !accepted.is_empty() {
            found.problems.extend(drift(&accepted, &tables));
        }
        found.tables = tables.into_keys().collect();
        found.problems.extend(self.db.check_log());
        if self.mapping().changes.is_some() {
            let has_texts = self.mapping().key_is == KeyIs::Text;
            let (rows, odd) = self.db.at_once(|look| {
                Ok(match has_texts {
                    true => (look.last_rows(CHECK_ROWS)?, look.odd_texts(CHECK_ROWS)?),
                    false => (look.newest_rows(CHECK_ROWS)?, look.odd_keys(CHECK_ROWS)?),
                })
            })?;
            self.check_rows(&rows, &mut found);
            if has_texts && rows.iter().any(|row| row.key == Key::Number(0)) {
                found.problems.push("rows have a `key` that is NULL, longer than 512 bytes or no text; they are never read. Give a text, such as `HEX(id) AS key`".to_owned());
            }
            if odd > 0 && has_texts {
                found.problems.push(format!("{odd} rows have a `key` that is no text; they are never read. Use `CAST(… AS TEXT) AS key`, and give that an index"));
            } else if odd > 0 {
                found.problems.push(format!("{odd} rows have a `key` that is no whole number above 0; they are never read. Use `rowid AS key`, or say `key_is = \"text\"`"));
            }
        }
        if self.mapping().on_hand.is_some() {
            let rows = self.db.at_once(|look| look.figures())?;
            let (figures, asides, _) = sum_up(self.mapping(), &rows);
            let shown = figures.iter().take(SHOWN_MAX);
            found.on_hand = shown
                .map(|of| (item_text(&of.item), Quantity::from_thousandths(of.thousandths).to_string()))
                .collect();
            found.problems.extend(asides.into_iter().take(SHOWN_MAX).map(|aside| aside.reason));
        }
        Ok(found)
    }

    fn accept(&mut self) -> Result<Vec<String>, SourceError> {
        self.db.connect()?;
        let tables = self.db.tables()?;
        let path = self.sidecar_path.clone();
        self.sidecar()?.accept(&tables).map_err(|source| SourceError::Sidecar { path, source })?;
        Ok(tables.into_keys().collect())
    }

    fn read(&mut self, from: Option<&[u8]>) -> Result<Reading, SourceError> {
        let cursor = self.cursor(from)?;
        if self.is_quiet(from)? {
            let notes = Notes { gaps_open: self.gaps_open(), ..Notes::default() };
            return Ok(Reading { is_all: true, notes, ..Reading::default() });
        }
        let read = match cursor {
            None => self.first(None),
            Some(Cursor::Import(attempt)) => self.first(Some(attempt)),
            Some(Cursor::Keys(keys)) => self.keys(keys),
            Some(Cursor::Figures(go)) => self.changed_figures(go),
            Some(Cursor::Texts(attempt)) => self.texts(attempt),
        };
        if !read.as_ref().is_ok_and(|reading| reading.is_all) {
            self.bell_heard = None;
        }
        read
    }

    fn log(&self) -> Option<LogStanding> {
        self.log.clone()
    }

    fn taken(&mut self) -> Result<(), SourceError> {
        if self.has_waiting {
            let broken = self.broken();
            self.sidecar()?.taken().map_err(broken)?;
            self.has_waiting = false;
        }
        Ok(())
    }

    fn figures(&mut self, from: &[u8]) -> Result<Option<Vec<Figure>>, SourceError> {
        let cursor = self.cursor(Some(from))?;
        if !matches!(cursor, Some(Cursor::Keys(_) | Cursor::Texts(_))) {
            return Ok(None);
        }
        if self.mapping().changes.is_none() || self.mapping().on_hand.is_none() {
            return Ok(None);
        }
        // Something is on its way: that takes a while, and rows come first.
        if self.has_waiting || self.looks_owed > 0 || !self.named.is_empty() {
            return Ok(None);
        }
        self.database()?;
        let Some(sidecar) = self.sidecar.as_ref() else { return Ok(None) };
        let mut mapper = Mapper::of(&self.config.source, &self.config.mapping);
        let (instant, began) = (self.clocks.instant, (self.clocks.instant)());
        let is_late = || instant().saturating_duration_since(began) > COMPARED_WITHIN;
        let has_texts = matches!(cursor, Some(Cursor::Texts(_)));
        let (is_read, rows) = self.db.at_once(|look| {
            let (is_read, is_known) = match &cursor {
                Some(Cursor::Keys(keys)) => {
                    let is_read = rows_after(look, keys)?.rows.is_empty();
                    (is_read, is_read && is_as_remembered(look, sidecar)?)
                }
                _ => (true, texts::is_as_remembered(look, sidecar, &mut mapper, is_late)?),
            };
            let rows = if is_known { Some(look.figures()?) } else { None };
            Ok((is_read, rows))
        })?;
        // With texts it may be that there is too much to compare, or that a row has left the SELECT: no reason for haste.
        if is_read && rows.is_none() && !has_texts {
            self.rounds.hurry();
        }
        Ok(rows.map(|rows| sum_up(self.mapping(), &rows).0))
    }

    fn figure_documents(&self, base: &str, figures: &[Figure]) -> Vec<SourceDocument> {
        let now = (self.clocks.wall)();
        let of = |figure: &Figure| {
            let row =
                serde_json::json!({ "item": item_text(&figure.item), "thousandths": figure.thousandths })
                    .to_string();
            let name = format!("{base}/{}", item_name(&figure.item));
            // The name is short and plain: `base` is ours, and the item is valid.
            mapping::figure_documents(&self.config.source, &name, figure, now, true, &row).unwrap_or_default()
        };
        figures.iter().flat_map(of).collect()
    }
}

impl<D: PosDatabase> SqlSource<D> {
    fn accepted_now(&mut self) -> Result<Tables, SourceError> {
        let broken = self.broken();
        self.sidecar()?.accepted().map_err(broken)
    }

    fn check_rows(&self, rows: &[Row], found: &mut Checkup) {
        let mut mapper = Mapper::of(&self.config.source, &self.config.mapping);
        found.rows = rows.len();
        let mut shown: VecDeque<MovementShown> = VecDeque::new();
        let mut wrong = 0;
        for row in rows {
            match mapper.map(row) {
                Mapped::Documents { documents, .. } => shown.extend(documents.iter().map(movement_shown)),
                Mapped::LeftOut => found.left_out += 1,
                Mapped::Aside(aside) | Mapped::CardNumber(aside) => {
                    wrong += 1;
                    if wrong <= SHOWN_MAX {
                        found.problems.push(aside.reason);
                    }
                }
            }
            while shown.len() > SHOWN_MAX {
                shown.pop_front();
            }
        }
        if wrong > SHOWN_MAX {
            found.problems.push(format!("{} more rows like these", wrong - SHOWN_MAX));
        }
        found.movements = shown.into();
    }
}

/// One figure for each item: what stands in several rows (batches, places) is added up.
fn sum_up(mapping: &Mapping, rows: &[Row]) -> (Vec<Figure>, Vec<SetAside>, u64) {
    let mut sums: BTreeMap<String, Figure> = BTreeMap::new();
    let (mut asides, mut rounded) = (Vec::new(), 0);
    for row in rows.iter().filter(|row| !mapping::is_elsewhere(mapping, &row.location)) {
        let read = || {
            Ok((mapping::item(mapping.item_is, &row.item)?, mapping::quantity(&row.quantity, Factor::ONE)?))
        };
        match read() {
            Ok((item, quantity)) => {
                rounded += u64::from(quantity.is_off);
                let sum = sums.entry(item_name(&item)).or_insert(Figure { item, thousandths: 0 });
                sum.thousandths = sum.thousandths.saturating_add(quantity.thousandths);
            }
            Err(reason) => {
                let reason: String = reason;
                asides
                    .push(SetAside { reason: format!("a row of `on_hand`: {reason}"), row: "{}".to_owned() });
            }
        }
    }
    (sums.into_values().collect(), asides, rounded)
}

/// An item as a person names it.
#[must_use]
pub fn item_text(item: &ItemKey) -> String {
    match item {
        ItemKey::Sku(sku) => sku.to_string(),
        ItemKey::Gtin(gtin) => gtin.to_string(),
    }
}

fn drift(accepted: &Tables, now: &Tables) -> Vec<String> {
    let gone = accepted
        .keys()
        .filter(|name| !now.contains_key(*name))
        .map(|name| format!("`{name}` is not used any more"));
    let changed = now.iter().filter_map(|(name, sql)| match accepted.get(name) {
        None => Some(format!("`{name}` is new: {sql}")),
        Some(before) if before != sql => Some(format!("`{name}` was {before} and is {sql}")),
        Some(_) => None,
    });
    gone.chain(changed).collect()
}

/// The highest key there is, with the gaps right below it.
fn newest_keys(look: &mut dyn Look, now: Ticks) -> Result<KeyCursor, SourceError> {
    let keys = look.newest_keys(FIRST_LOOK_BACK)?;
    let Some(first) = keys.first() else { return Ok(KeyCursor::default()) };
    let mut cursor = KeyCursor::starting_at(first - 1);
    for key in keys {
        cursor.see(key, now);
    }
    cursor.fit();
    Ok(cursor)
}
