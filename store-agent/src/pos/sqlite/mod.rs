//! A POS that keeps its stock in an SQLite database of its own.
//!
//! With `changes` rows are followed by their key, and gaps below the highest key are waited for; with `on_hand` alone the POS's
//! figures are held against the last ones. Where both are given, the first reading takes the figures and the key of one moment,
//! so that nothing between is missed or doubled. `PRAGMA data_version` says whether there is anything to look at.

mod database;

use super::key_cursor::KeyCursor;
use super::mapping::{self, Mapped, Mapper, Row};
use super::sidecar::{Sidecar, Tables};
use super::source::{Checkup, Figure, MovementShown, Notes, PosSource, Reading, SourceError};
use super::times::Clockwork;
use crate::agent::{ItemKey, SetAside, SourceDocument};
use crate::config::pos::{Factor, Mapping, PosConfig};
use crate::http::Clocks;
use database::{Columns, Database, failed};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Instant;
use sync_protocol::{Quantity, Ticks, UnixMillis};

/// Rows of one go: what one look holds the file for, and what one commit holds the tills up for.
const ROWS_MAX: usize = 1_000;
/// How far below the highest key gaps are looked for at the first reading.
const FIRST_LOOK_BACK: i64 = 1_000;
/// The doorbell is trusted no longer than this.
const FULL_LOOK_EVERY_MS: u64 = 30_000;
/// How many of the newest rows a check goes over.
const CHECK_ROWS: i64 = 1_000;
const SHOWN_MAX: usize = 10;

/// A cursor of this kind of source.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cursor {
    /// The first reading is being recorded; the number of the attempt.
    Import(i64),
    Keys(KeyCursor),
    /// So many goes of figures have been taken.
    Figures(i64),
}

impl Cursor {
    fn text(&self) -> String {
        match self {
            Cursor::Import(attempt) => format!("import {attempt}"),
            Cursor::Keys(keys) => keys.text(),
            Cursor::Figures(go) => format!("figures {go}"),
        }
    }

    fn parse(bytes: &[u8], now: Ticks) -> Option<Cursor> {
        let text = std::str::from_utf8(bytes).ok()?;
        match text.split_once(' ') {
            Some(("import", attempt)) => attempt.parse().ok().map(Cursor::Import),
            Some(("figures", go)) => go.parse().ok().map(Cursor::Figures),
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

/// A POS's SQLite database as a source.
#[derive(Debug)]
pub struct SqliteSource {
    config: PosConfig,
    path: PathBuf,
    clocks: Clocks,
    started: Instant,
    sidecar_path: PathBuf,
    sidecar: Option<Sidecar>,
    db: Option<Database>,
    schema_seen: Option<i64>,
    /// The cursor as it will be once the last go is recorded, with how long its gaps have been open.
    at: Option<Cursor>,
    import: Option<Import>,
    /// Figures as the core has them, after so many goes.
    known: Option<(i64, HashMap<String, i64>)>,
    data_seen: Option<i64>,
    looked_at: Ticks,
    clockwork: Clockwork,
}

/// Rows of one moment, and whether there were more.
struct Seen {
    rows: Vec<Row>,
    is_all: bool,
}

impl SqliteSource {
    #[must_use]
    pub fn new(config: PosConfig, path: PathBuf, sidecar_path: PathBuf, clocks: Clocks) -> SqliteSource {
        let clockwork = Clockwork::new(config.mapping.times, config.mapping.time_zone.clone());
        SqliteSource {
            config,
            path,
            clocks,
            started: (clocks.instant)(),
            sidecar_path,
            sidecar: None,
            db: None,
            schema_seen: None,
            at: None,
            import: None,
            known: None,
            data_seen: None,
            looked_at: Ticks(0),
            clockwork,
        }
    }

    fn now(&self) -> Ticks {
        let since = (self.clocks.instant)().saturating_duration_since(self.started);
        Ticks(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn mapping(&self) -> &Mapping {
        &self.config.mapping
    }

    fn selects(&self) -> Vec<&str> {
        [&self.mapping().changes, &self.mapping().on_hand].into_iter().flatten().map(String::as_str).collect()
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

    fn broken(&self) -> impl FnOnce(rusqlite::Error) -> SourceError + use<> {
        let path = self.sidecar_path.clone();
        |source| SourceError::Sidecar { path, source }
    }

    /// The database, opened anew where another file lies there, with the tables that were accepted.
    fn database(&mut self) -> Result<&Database, SourceError> {
        if self.db.as_ref().is_some_and(Database::is_replaced) {
            tracing::info!(source = %self.config.source, "another file has taken the place of the POS database; opening it");
            (self.db, self.schema_seen, self.data_seen) = (None, None, None);
        }
        let db = match self.db.take() {
            Some(db) => db,
            None => Database::open(&self.path)?,
        };
        let schema = db.schema_version()?;
        if self.schema_seen != Some(schema) {
            let tables = db.tables(&self.selects())?;
            self.compare_tables(&tables)?;
            self.schema_seen = Some(schema);
        }
        Ok(self.db.insert(db))
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
            Cursor::Keys(_) => self.mapping().changes.is_some(),
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
        self.data_seen = None;
        Ok(reading)
    }

    fn begin_import(&mut self, attempt: i64) -> Result<Import, SourceError> {
        let (changes, on_hand) = (self.mapping().changes.clone(), self.mapping().on_hand.clone());
        let wants_location = self.mapping().location.is_some();
        let now = self.now();
        let (figures, keys) = self.database()?.at_once(|db| {
            let figures = on_hand.map(|sql| all_figures(db, &sql, wants_location)).transpose()?;
            // Without figures the ledger itself is the beginning: it is read from its first row.
            let keys = match changes.filter(|_| figures.is_some()) {
                Some(sql) => Some(newest_keys(db, &sql, now)?),
                None => None,
            };
            Ok((figures.unwrap_or_default(), keys))
        })?;
        let (figures, set_aside, rounded) = sum_up(self.mapping(), &figures);
        let documents = self.figure_documents(&format!("import-{attempt}"), &figures);
        let end = match (&self.mapping().changes, keys) {
            (Some(_), keys) => Cursor::Keys(keys.unwrap_or_default()),
            (None, _) => {
                let named: Vec<_> =
                    figures.iter().map(|figure| (name_of(&figure.item), figure.thousandths)).collect();
                let broken = self.broken();
                self.sidecar()?.hand_over(1, &named, true).map_err(broken)?;
                self.known = None;
                Cursor::Figures(1)
            }
        };
        Ok(Import { documents: documents.into(), set_aside: set_aside.into(), rounded, end })
    }

    // By keys.

    fn keys(&mut self, mut keys: KeyCursor) -> Result<Reading, SourceError> {
        let Some(sql) = self.mapping().changes.clone() else { return Ok(Reading::default()) };
        let wants_location = self.mapping().location.is_some();
        let before = keys.text();
        let seen = self.database()?.at_once(|db| rows_after(db, &sql, &keys, wants_location))?;
        let now = self.now();
        let mut reading = Reading { is_all: seen.is_all, ..Reading::default() };
        let mut mapper = Mapper {
            source: &self.config.source,
            mapping: &self.config.mapping,
            clock: self.clockwork.clone(),
        };
        for row in &seen.rows {
            keys.see(row.key, now);
            take(mapper.map(row), &mut reading);
        }
        self.clockwork = mapper.clock;
        let patience = u64::try_from(self.config.gap_patience.as_millis()).unwrap_or(u64::MAX);
        // With rows still to come nothing is missing yet.
        let given_up = if seen.is_all { keys.give_up(now, patience) } else { 0 };
        reading.notes.gaps_given_up = given_up + keys.fit();
        reading.notes.gaps_open = keys.waited_for();
        let text = keys.text();
        self.at = Some(Cursor::Keys(keys));
        reading.cursor = (text != before).then(|| text.into_bytes());
        Ok(reading)
    }

    // By figures.

    fn changed_figures(&mut self, go: i64) -> Result<Reading, SourceError> {
        let Some(sql) = self.mapping().on_hand.clone() else { return Ok(Reading::default()) };
        let wants_location = self.mapping().location.is_some();
        let rows = self.database()?.at_once(|db| all_figures(db, &sql, wants_location))?;
        let (figures, set_aside, rounded) = sum_up(self.mapping(), &rows);
        let mut known = match self.known.take() {
            Some((of, known)) if of == go => known,
            _ => {
                let broken = self.broken();
                self.sidecar()?.figures(go).map_err(broken)?
            }
        };
        let differs = |figure: &&Figure| known.get(&name_of(&figure.item)) != Some(&figure.thousandths);
        let mut changed: Vec<Figure> = figures.iter().filter(differs).cloned().collect();
        let is_all = changed.len() <= ROWS_MAX;
        changed.truncate(ROWS_MAX);
        if changed.is_empty() {
            self.known = Some((go, known));
            return Ok(Reading { is_all, ..Reading::default() });
        }
        let named: Vec<_> =
            changed.iter().map(|figure| (name_of(&figure.item), figure.thousandths)).collect();
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

    /// Nobody has committed anything since the last look, and that was not long ago.
    fn is_quiet(&mut self, from: Option<&[u8]>) -> Result<bool, SourceError> {
        let now = self.now();
        let version = self.database()?.data_version()?;
        let is_same = self.data_seen == Some(version)
            && self.at.as_ref().map(Cursor::text).as_deref().map(str::as_bytes) == from;
        if is_same && now.since(self.looked_at) < FULL_LOOK_EVERY_MS {
            return Ok(true);
        }
        (self.data_seen, self.looked_at) = (Some(version), now);
        Ok(false)
    }

    fn gaps_open(&self) -> u64 {
        match &self.at {
            Some(Cursor::Keys(keys)) => keys.waited_for(),
            _ => 0,
        }
    }
}

impl PosSource for SqliteSource {
    fn check(&mut self) -> Result<Checkup, SourceError> {
        let db = Database::open(&self.path)?;
        let mut found = Checkup::default();
        let tables = db.tables(&self.selects())?;
        let accepted =
            self.sidecar_path.exists().then(|| self.accepted_now()).transpose()?.unwrap_or_default();
        if !accepted.is_empty() {
            found.problems.extend(drift(&accepted, &tables));
        }
        found.tables = tables.into_keys().collect();
        let wants_location = self.mapping().location.is_some();
        if let Some(sql) = self.mapping().changes.clone() {
            let rows = db.at_once(|db| newest_rows(db, &sql, wants_location))?;
            self.check_rows(&rows, &mut found);
            let odd = db.at_once(|db| odd_keys(db, &sql))?;
            if odd > 0 {
                found.problems.push(format!("{odd} rows have a `key` that is no whole number above 0; they are never read. Use `rowid AS key`"));
            }
        }
        if let Some(sql) = self.mapping().on_hand.clone() {
            let rows = db.at_once(|db| all_figures(db, &sql, wants_location))?;
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
        let tables = Database::open(&self.path)?.tables(&self.selects())?;
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
        };
        if !read.as_ref().is_ok_and(|reading| reading.is_all) {
            self.data_seen = None;
        }
        read
    }

    fn figures(&mut self, from: &[u8]) -> Result<Option<Vec<Figure>>, SourceError> {
        let Some(Cursor::Keys(keys)) = self.cursor(Some(from))? else { return Ok(None) };
        let (Some(changes), Some(on_hand)) = (self.mapping().changes.clone(), self.mapping().on_hand.clone())
        else {
            return Ok(None);
        };
        let wants_location = self.mapping().location.is_some();
        let rows = self.database()?.at_once(|db| {
            let waiting = rows_after(db, &changes, &keys, wants_location)?;
            if waiting.rows.is_empty() {
                all_figures(db, &on_hand, wants_location).map(Some)
            } else {
                Ok(None)
            }
        })?;
        Ok(rows.map(|rows| sum_up(self.mapping(), &rows).0))
    }

    fn figure_documents(&self, base: &str, figures: &[Figure]) -> Vec<SourceDocument> {
        let now = (self.clocks.wall)();
        let of = |figure: &Figure| {
            let row =
                serde_json::json!({ "item": item_text(&figure.item), "thousandths": figure.thousandths })
                    .to_string();
            let name = format!("{base}/{}", name_of(&figure.item));
            // The name is short and plain: `base` is ours, and the item is valid.
            mapping::figure_documents(&self.config.source, &name, figure, now, true, &row).unwrap_or_default()
        };
        figures.iter().flat_map(of).collect()
    }
}

impl SqliteSource {
    fn accepted_now(&mut self) -> Result<Tables, SourceError> {
        let broken = self.broken();
        self.sidecar()?.accepted().map_err(broken)
    }

    fn check_rows(&self, rows: &[Row], found: &mut Checkup) {
        let clock = Clockwork::new(self.config.mapping.times, self.config.mapping.time_zone.clone());
        let mut mapper = Mapper { source: &self.config.source, mapping: &self.config.mapping, clock };
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

fn movement_shown(of: &SourceDocument) -> MovementShown {
    let document = &of.document;
    let line = document.lines.first();
    MovementShown {
        reference: document.reference.to_string(),
        kind: document.kind.name(),
        item: line.map(|line| item_text(&line.item)).unwrap_or_default(),
        quantity: line.map(|line| line.quantity.to_string()).unwrap_or_default(),
        at: time_text(document.occurred_at),
        reason: document.reason.clone().unwrap_or_default(),
    }
}

fn time_text(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |at| at.to_string())
}

fn take(mapped: Mapped, reading: &mut Reading) {
    match mapped {
        Mapped::Documents { documents, is_rounded } => {
            reading.notes.rounded += u64::from(is_rounded);
            reading.documents.extend(documents);
        }
        Mapped::LeftOut => {}
        Mapped::Aside(aside) => reading.set_aside.push(aside),
        Mapped::CardNumber(aside) => {
            reading.notes.card_numbers += 1;
            reading.set_aside.push(aside);
        }
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
                let sum = sums.entry(name_of(&item)).or_insert(Figure { item, thousandths: 0 });
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

fn name_of(item: &ItemKey) -> String {
    match item {
        ItemKey::Sku(sku) => format!("sku:{sku}"),
        ItemKey::Gtin(gtin) => format!("gtin:{gtin}"),
    }
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

// What is asked of the POS's database.

fn all_figures(db: &Connection, sql: &str, wants_location: bool) -> Result<Vec<Row>, SourceError> {
    let mut statement = db.prepare(&format!("SELECT * FROM ({sql})")).map_err(failed("`on_hand`"))?;
    let columns = Columns::of(&statement, "on_hand", false, wants_location)?;
    let rows = statement.query_map([], |row| columns.row(row)).map_err(failed("`on_hand`"))?;
    rows.collect::<Result<_, _>>().map_err(failed("`on_hand`"))
}

/// Named with its table: SQLite takes a quoted name that it does not find for a text.
const WHOLE_KEYS: &str = "typeof(pos.\"key\") = 'integer' AND pos.\"key\" > 0";

/// The highest key there is, with the gaps right below it.
fn newest_keys(db: &Connection, sql: &str, now: Ticks) -> Result<KeyCursor, SourceError> {
    let newest = format!(
        "SELECT pos.\"key\" FROM ({sql}) AS pos WHERE {WHOLE_KEYS} ORDER BY pos.\"key\" DESC LIMIT ?1"
    );
    let mut statement = db.prepare(&newest).map_err(failed("`changes`"))?;
    let keys = statement.query_map([FIRST_LOOK_BACK], |row| row.get(0)).map_err(failed("`changes`"))?;
    let mut keys: Vec<i64> = keys.collect::<Result<_, _>>().map_err(failed("`changes`"))?;
    keys.reverse();
    let Some(first) = keys.first() else { return Ok(KeyCursor::default()) };
    let mut cursor = KeyCursor::starting_at(first - 1);
    for key in keys {
        cursor.see(key, now);
    }
    cursor.fit();
    Ok(cursor)
}

/// Rows whose keys have not been accounted for, in the order of their keys: those that were missing first.
fn rows_after(
    db: &Connection,
    sql: &str,
    keys: &KeyCursor,
    wants_location: bool,
) -> Result<Seen, SourceError> {
    let text = format!(
        "SELECT * FROM ({sql}) AS pos WHERE pos.\"key\" BETWEEN ?1 AND ?2 AND {WHOLE_KEYS} ORDER BY pos.\"key\" LIMIT ?3"
    );
    let mut statement = db.prepare(&text).map_err(failed("`changes`"))?;
    let columns = Columns::of(&statement, "changes", true, wants_location)?;
    let mut rows = Vec::new();
    let after = keys.high().checked_add(1).map(|next| (next, i64::MAX));
    for (first, last) in keys.gaps().chain(after) {
        let room = ROWS_MAX - rows.len();
        let found = statement
            .query_map(params![first, last, room], |row| columns.row(row))
            .map_err(failed("`changes`"))?;
        for row in found {
            rows.push(row.map_err(failed("`changes`"))?);
        }
        if rows.len() >= ROWS_MAX {
            return Ok(Seen { rows, is_all: false });
        }
    }
    Ok(Seen { rows, is_all: true })
}

fn newest_rows(db: &Connection, sql: &str, wants_location: bool) -> Result<Vec<Row>, SourceError> {
    let text = format!(
        "SELECT * FROM ({sql}) AS pos WHERE {WHOLE_KEYS} ORDER BY pos.\"key\" DESC LIMIT {CHECK_ROWS}"
    );
    let mut statement = db.prepare(&text).map_err(failed("`changes`"))?;
    let columns = Columns::of(&statement, "changes", true, wants_location)?;
    let rows = statement.query_map([], |row| columns.row(row)).map_err(failed("`changes`"))?;
    let mut rows: Vec<Row> = rows.collect::<Result<_, _>>().map_err(failed("`changes`"))?;
    rows.reverse();
    Ok(rows)
}

fn odd_keys(db: &Connection, sql: &str) -> Result<i64, SourceError> {
    let text = format!(
        "SELECT count(*) FROM (SELECT pos.\"key\" FROM ({sql}) AS pos WHERE NOT ({WHOLE_KEYS}) LIMIT {CHECK_ROWS})"
    );
    db.query_row(&text, [], |row| row.get(0)).map_err(failed("`changes`"))
}
