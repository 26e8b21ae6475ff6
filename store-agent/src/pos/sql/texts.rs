//! Following a ledger whose keys are texts (UUIDs, numbers of tickets), which do not say what is new.
//!
//! Every look reads the rows that happened last. Rounds find the rest: what is new or changed anywhere by going through all keys in the
//! database's own order, what is gone by asking for the keys that are remembered, those that happened first before the others. A look is
//! followed by a rest of a hundred times its length, so a ledger without an index costs the POS haste, not work.
//!
//! All rows of the SELECT are weighed against what is remembered, and what is forgotten lies behind the horizon: **invariant:** a row that is
//! not remembered is new if it happened after the horizon, and none of ours otherwise.

use super::correction::{Weighing, is_same, known};
use super::database::{Look, PosDatabase};
use super::following::{ARCHIVED_AFTER_MS, CLEARED_ROWS};
use super::{Cursor, REST_TIMES, REST_TIMES_IN_HASTE, ROWS_MAX, SqlSource};
use crate::agent::SetAside;
use crate::pos::mapping::{Key, Mapped, Mapper, Row};
use crate::pos::sidecar::Sidecar;
use crate::pos::sidecar::memory::{Remembered, Step};
use crate::pos::source::{Notes, Reading, SourceError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use sync_protocol::{Ticks, UnixMillis};
use twox_hash::XxHash3_64;

/// Of the rows that happened last, how many every look reads; and how many once all of those were new.
const LAST_ROWS: usize = 200;
const LAST_ROWS_MAX: usize = ROWS_MAX / 2;
/// Rows that one look goes over in its round.
const PART_ROWS: usize = 500;
/// Of the rows that happened first, how many are asked for: some may have a time that is none.
const FIRST_ROWS: usize = 20;

/// Where the rounds are.
#[derive(Debug, Default)]
pub struct Place {
    stage: Stage,
    is_wide: bool,
    /// It was said that keys stand for several rows.
    has_warned: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Going through all keys, up to this one.
    Keys(Option<String>),
    /// Going through what is remembered, in the order of time, up to this place.
    Held((i64, i64)),
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::Keys(None)
    }
}

/// What a look goes over beside the rows that happened last.
enum Part {
    Keys { after: Option<String> },
    Held { rows: Vec<Remembered>, up_to: Option<(i64, i64)>, is_newest: bool },
}

impl Part {
    fn look(&self, look: &mut dyn Look) -> Result<Vec<Row>, SourceError> {
        match self {
            Part::Keys { after } => look.rows_after(after.as_deref(), PART_ROWS),
            Part::Held { rows, .. } if rows.is_empty() => Ok(Vec::new()),
            Part::Held { rows, .. } => look.rows_of(&rows.iter().map(Remembered::name).collect::<Vec<_>>()),
        }
    }

    /// Whether a row that is remembered is not among these.
    fn misses<'a>(&self, there: impl Iterator<Item = &'a Row>) -> bool {
        let Part::Held { rows, .. } = self else { return false };
        let there: BTreeSet<String> = there.filter_map(text_of).collect();
        rows.iter().any(|row| !there.contains(&row.name()))
    }
}

/// The key as a text; `None` for what is none.
fn text_of(row: &Row) -> Option<String> {
    match &row.key {
        Key::Text(text) => Some(text.clone()),
        Key::Number(0) => None,
        Key::Number(number) => Some(number.to_string()),
    }
}

/// Whether a row that is not remembered is one of ours.
fn is_new(mapped: &Mapped, at: Option<UnixMillis>, horizon: Option<UnixMillis>) -> bool {
    // What moves nothing need not be remembered: once it does move something, it is new.
    *mapped != Mapped::LeftOut && !matches!((at, horizon), (Some(at), Some(horizon)) if at <= horizon)
}

/// Every row that is remembered is there as it was, and there is no other; also "no" where that takes too long to be seen.
pub fn is_as_remembered(
    look: &mut dyn Look,
    sidecar: &Sidecar,
    mapper: &mut Mapper<'_>,
    is_late: impl Fn() -> bool,
) -> Result<bool, SourceError> {
    let broken = |source| SourceError::Memory { source };
    let horizon = sidecar.horizon().map_err(broken)?;
    let (mut after, mut there) = (None, 0);
    while !is_late() {
        let rows = look.rows_after(after.as_deref(), PART_ROWS)?;
        let keys: Vec<String> = rows.iter().filter_map(text_of).collect();
        let held = sidecar.by_text(keys.iter().map(String::as_str)).map_err(broken)?;
        for row in &rows {
            match text_of(row).and_then(|key| held.get(&key)) {
                Some(before) if is_same(before, row) => there += 1,
                Some(_) => return Ok(false),
                None => {
                    let (mapped, at) = alone(mapper, row);
                    if is_new(&mapped, at, horizon) {
                        return Ok(false);
                    }
                }
            }
        }
        match keys.into_iter().next_back() {
            Some(last) if rows.len() >= PART_ROWS => after = Some(last),
            _ => return Ok(there == sidecar.there_count().map_err(broken)?),
        }
    }
    Ok(false)
}

/// A row taken by itself: rows come in no order, so none says anything about the clock at another.
fn alone(mapper: &mut Mapper<'_>, row: &Row) -> (Mapped, Option<UnixMillis>) {
    mapper.forget_times();
    let mapped = mapper.map(row);
    mapper.forget_times();
    (mapped, mapper.time(row))
}

/// What a look has seen.
struct Seen {
    /// What happened last, and what is in the part.
    rows: Vec<Row>,
    is_empty: bool,
    /// What happened first, where something of the part is gone.
    first: Vec<Row>,
}

impl<D: PosDatabase> SqlSource<D> {
    /// `attempt`: which first reading the memory began with.
    pub(super) fn texts(&mut self, attempt: i64) -> Result<Reading, SourceError> {
        self.database()?;
        let begun = Some((attempt, self.mark_of_changes()));
        let broken = self.broken();
        if self.sidecar()?.text_memory().map_err(broken)? != begun {
            // What was read is not known any more, or goes by other keys: the POS's figures are the beginning, once more.
            return self.first(Some(attempt));
        }
        if let Some(reading) = self.waiting()? {
            return Ok(reading);
        }
        if self.db.heard().is_more {
            self.rounds.hurry();
        }
        let now = self.now();
        let part = if self.is_first_look || !self.rounds.is_due(now) { None } else { Some(self.part()?) };
        let most = if self.place.is_wide { LAST_ROWS_MAX } else { LAST_ROWS };
        let (last, rows, first) = self.db.at_once(|look| {
            let last = look.last_rows(most)?;
            let rows = part.as_ref().map_or(Ok(Vec::new()), |part| part.look(look))?;
            let is_gone = part.as_ref().is_some_and(|part| part.misses(last.iter().chain(&rows)));
            let first = if is_gone { look.first_rows(FIRST_ROWS)? } else { Vec::new() };
            Ok((last, rows, first))
        })?;
        let took = self.now().since(now);
        let times = if self.has_log() { REST_TIMES_IN_HASTE } else { REST_TIMES };
        self.figures_due = Ticks(now.0.saturating_add(took.saturating_mul(times)));
        let is_all = self.widen(&last, most)?;
        let is_end = part.as_ref().is_some_and(|part| self.went(part, &rows, now, took));
        let is_empty = last.is_empty();
        let seen = Seen { rows: last.into_iter().chain(rows).collect(), is_empty, first };
        let (step, notes, is_cleared) = self.weigh_texts(seen, part.as_ref())?;
        let rows_max = self.config.remember_rows;
        let broken = self.broken();
        let sidecar = self.sidecar()?;
        let mut keep = || {
            sidecar.take_step(&step, None)?;
            if is_cleared {
                sidecar.archive_all()?;
            }
            // Not before everything has been seen: what is new may be older than what is known.
            if is_end { sidecar.forget_first(rows_max) } else { Ok(()) }
        };
        keep().map_err(broken)?;
        self.has_waiting |= !step.documents.is_empty() || !step.set_aside.is_empty();
        self.at = Some(Cursor::Texts(attempt));
        Ok(Reading {
            documents: step.documents,
            set_aside: step.set_aside,
            is_all,
            notes,
            ..Reading::default()
        })
    }

    /// Tells the SELECT whose keys are remembered from another.
    fn mark_of_changes(&self) -> i64 {
        XxHash3_64::oneshot(self.mapping().changes.as_deref().unwrap_or_default().as_bytes()).cast_signed()
    }

    /// Where the first of the last rows is new there are more behind it. Gives whether that was all.
    fn widen(&mut self, last: &[Row], most: usize) -> Result<bool, SourceError> {
        let has_more = last.len() >= most && self.begins_with_news(last)?;
        if has_more && self.place.is_wide {
            self.rounds.hurry();
        }
        self.place.is_wide = has_more && !self.place.is_wide;
        if self.place.is_wide {
            self.figures_due = Ticks(0);
        }
        Ok(!self.place.is_wide)
    }

    /// Whether of these rows, the last before the others, the first that moves something is new.
    fn begins_with_news(&mut self, last: &[Row]) -> Result<bool, SourceError> {
        let mut mapper = Mapper::of(&self.config.source, &self.config.mapping);
        let first = last.iter().rev().find_map(|row| {
            let (mapped, at) = alone(&mut mapper, row);
            (mapped != Mapped::LeftOut).then_some((row, mapped, at))
        });
        let Some((row, mapped, at)) = first else { return Ok(false) };
        let broken = self.broken();
        let sidecar = self.sidecar()?;
        let look_up = || Ok((sidecar.by_text(text_of(row).as_deref())?.is_empty(), sidecar.horizon()?));
        let (is_unknown, horizon) = look_up().map_err(broken)?;
        Ok(is_unknown && is_new(&mapped, at, horizon))
    }

    fn part(&mut self) -> Result<Part, SourceError> {
        let (is_newest, stage) = (self.rounds.is_newest_next(), self.place.stage.clone());
        let broken = self.broken();
        let sidecar = self.sidecar()?;
        let part = match stage {
            _ if is_newest => {
                sidecar.there_last(PART_ROWS).map(|rows| Part::Held { rows, up_to: None, is_newest: true })
            }
            Stage::Keys(after) => Ok(Part::Keys { after }),
            Stage::Held(after) => sidecar.there_after(after, PART_ROWS).map(|rows| {
                let up_to = rows.last().filter(|_| rows.len() >= PART_ROWS).map(|(place, _)| *place);
                Part::Held { rows: rows.into_iter().map(|(_, row)| row).collect(), up_to, is_newest: false }
            }),
        };
        part.map_err(broken)
    }

    /// Moves the place on behind a part that has been looked at. Gives whether a round has ended.
    fn went(&mut self, part: &Part, rows: &[Row], now: Ticks, took_ms: u64) -> bool {
        let is_newest = matches!(part, Part::Held { is_newest: true, .. });
        // A log names no row here, so there is as much to find as without.
        self.rounds.rest(is_newest, now, took_ms, false);
        match part {
            Part::Held { is_newest: true, .. } => {}
            Part::Keys { .. } => {
                let last = rows.iter().rev().find_map(text_of).filter(|_| rows.len() >= PART_ROWS);
                self.place.stage = match last {
                    Some(last) => Stage::Keys(Some(last)),
                    None => Stage::Held((i64::MIN, i64::MIN)),
                };
            }
            Part::Held { up_to: Some(up_to), .. } => self.place.stage = Stage::Held(*up_to),
            Part::Held { up_to: None, .. } => {
                self.place.stage = Stage::default();
                self.rounds.end();
                return true;
            }
        }
        false
    }

    /// What has to be recorded; and whether the whole ledger was cleared.
    fn weigh_texts(&mut self, seen: Seen, part: Option<&Part>) -> Result<(Step, Notes, bool), SourceError> {
        let (there, twice) = by_key(seen.rows);
        if !twice.is_empty() && !self.place.has_warned {
            self.place.has_warned = true;
            tracing::error!(source = %self.config.source, keys = twice.len(), first = twice.first(), "rows of the POS have the same `key` and differ; they are left alone until `changes` gives each its own");
        }
        let wall = (self.clocks.wall)();
        let broken = self.broken();
        let sidecar = self.sidecar()?;
        let plan = || {
            let name = sidecar.memory_name()?.unwrap_or_default();
            let known = sidecar.by_text(there.keys().map(String::as_str))?;
            let count = if seen.is_empty { sidecar.there_count()? } else { 0 };
            Ok((name, known, sidecar.next_number()?, sidecar.horizon()?, count))
        };
        let (name, known, mut number, horizon, count) = plan().map_err(broken)?;
        let mut weighing = Weighing {
            source: &self.config.source,
            name: &name,
            now: wall,
            step: Step::default(),
            notes: Notes::default(),
        };
        if count >= CLEARED_ROWS {
            let reason = format!(
                "the ledger is empty, and its {count} rows were taken for archived; nothing was moved"
            );
            weighing.step.set_aside.push(SetAside { reason, row: "{}".to_owned() });
            return Ok((weighing.step, weighing.notes, true));
        }
        let mut mapper = Mapper::of(&self.config.source, &self.config.mapping);
        let mut differing: Vec<(Option<UnixMillis>, &String, &Row, Mapped)> = Vec::new();
        for (key, row) in there.iter().filter(|(key, _)| !twice.contains(*key)) {
            let before = known.get(key);
            if before.is_some_and(|before| is_same(before, row)) {
                continue;
            }
            let (mapped, at) = alone(&mut mapper, row);
            if before.is_some() || is_new(&mapped, at, horizon) {
                differing.push((at, key, row, mapped));
            }
        }
        differing.sort_by_key(|(at, ..)| *at);
        for (at, key, row, mapped) in differing {
            let before = known.get(key);
            let as_number = before.map_or(number, |before| before.key);
            number += i64::from(before.is_none());
            weighing.seen(as_number, Some(key.clone()), row, mapped, before);
            // Rows that hold nothing, or whose time can't be read, grow old like others, or they would be told of for ever.
            if let Some(weighed) = weighing.step.rows.last_mut() {
                weighed.at = weighed.at.or(at).or(Some(wall));
            }
        }
        if let Some(Part::Held { rows, .. }) = part {
            let gone: Vec<&Remembered> = rows.iter().filter(|row| !there.contains_key(&row.name())).collect();
            let first_left = seen.first.iter().find_map(|row| alone(&mut mapper, row).1);
            let (archived, undone): (Vec<&Remembered>, Vec<&Remembered>) =
                gone.into_iter().partition(|row| {
                    let is_old = row.at.is_some_and(|at| wall.since(at) > ARCHIVED_AFTER_MS);
                    // The ledger itself says whether it has anything from before: others may be gone that were not noticed yet.
                    let is_first = first_left.is_none_or(|left| row.at.is_some_and(|at| at <= left));
                    is_old && is_first
                });
            weighing.put_away(&archived, CLEARED_ROWS);
            undone.into_iter().for_each(|row| weighing.gone(row));
        }
        Ok((weighing.step, weighing.notes, false))
    }

    /// Begins to remember, with the rows that happened last; the core has all it needs of them.
    pub(super) fn begin_memory_of_texts(
        &mut self,
        rows: Vec<Row>,
        is_all: bool,
        attempt: i64,
    ) -> Result<(), SourceError> {
        let wall = (self.clocks.wall)();
        let mut mapper = Mapper::of(&self.config.source, &self.config.mapping);
        let mut first: Option<UnixMillis> = None;
        let mut begun: HashMap<String, Remembered> = HashMap::new();
        for row in &rows {
            let Some(text) = text_of(row) else { continue };
            let (mapped, at) = alone(&mut mapper, row);
            first = [first, at].into_iter().flatten().min();
            let number = i64::try_from(begun.len()).unwrap_or(i64::MAX) + 1;
            let mut held = known(number, Some(text.clone()), row, &mapped);
            held.at = held.at.or(at).or(Some(wall));
            if mapped != Mapped::LeftOut {
                begun.entry(text).or_insert(held);
            }
        }
        let begun: Vec<Remembered> = begun.into_values().collect();
        self.begin_with(&begun)?;
        let changes = self.mark_of_changes();
        let broken = self.broken();
        let sidecar = self.sidecar()?;
        let note = || {
            if let Some(first) = first.filter(|_| !is_all) {
                sidecar.move_horizon(first)?;
            }
            // Last of all: before that nothing has begun.
            sidecar.note_text_memory(attempt, changes)
        };
        note().map_err(broken)
    }
}

/// Rows by their keys; and which keys stand for rows that differ.
fn by_key(rows: Vec<Row>) -> (BTreeMap<String, Row>, BTreeSet<String>) {
    let (mut there, mut twice): (BTreeMap<String, Row>, BTreeSet<String>) = Default::default();
    for row in rows {
        let Some(key) = text_of(&row) else { continue };
        match there.get(&key) {
            Some(other) if *other != row => drop(twice.insert(key)),
            Some(_) => {}
            None => drop(there.insert(key, row)),
        }
    }
    (there, twice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{ItemKey, SourceDocument};
    use crate::config::Config;
    use crate::http::Clocks;
    use crate::pos::source::PosSource;
    use crate::pos::sqlite::SqliteSource;
    use proptest::prelude::*;
    use rusqlite::Connection;
    use std::cell::Cell;
    use std::path::Path;
    use std::time::{Duration, Instant};
    use sync_protocol::record::Kind;

    /// 2026-10-31 12:00:00 UTC.
    const NOON: i64 = 1_793_448_000_000;

    thread_local! {
        static AHEAD_MS: Cell<u64> = const { Cell::new(0) };
    }

    fn clocks() -> Clocks {
        let wall = || UnixMillis(NOON + AHEAD_MS.get().cast_signed());
        #[expect(clippy::disallowed_methods, reason = "a clock that is moved has to begin somewhere")]
        let instant = || {
            thread_local! { static BEGAN: Instant = Instant::now(); }
            BEGAN.with(|began| *began + Duration::from_millis(AHEAD_MS.get()))
        };
        Clocks { wall, instant }
    }

    fn later(ms: u64) {
        AHEAD_MS.set(AHEAD_MS.get() + ms);
    }

    /// A POS, its reader, and what the reader has made of it.
    struct Pair {
        folder: tempfile::TempDir,
        pos: Connection,
        source: SqliteSource,
        cursor: Option<Vec<u8>>,
        documents: Vec<SourceDocument>,
        set_aside: u64,
    }

    fn reader(folder: &Path, more: &str) -> SqliteSource {
        reader_of(folder, &config_text(more))
    }

    fn reader_of(folder: &Path, text: &str) -> SqliteSource {
        let config = Config::parse(text, &folder.join("agent.toml")).unwrap().pos.remove(0);
        SqliteSource::new(config, folder.join("pos.db"), folder.join("pos-till.db"), clocks())
    }

    fn config_text(more: &str) -> String {
        format!(
            "store = \"S0001\"\ndata_dir = \"data\"\n[[pos]]\nsource = \"till\"\nkind = \"sqlite\"\npath = \"pos.db\"\nkey_is = \"text\"\n\
             changes = \"SELECT id AS key, item, moved AS quantity, at, what FROM ledger\"\n\
             on_hand = \"SELECT item, quantity FROM figures\"\n\
             kinds = [{{ starts = \"draft\", kind = \"ignore\" }}, {{ starts = \"*\", kind = \"adjustment\" }}]\n{more}"
        )
    }

    impl Pair {
        fn begun(more: &str) -> Pair {
            let folder = tempfile::tempdir().unwrap();
            let pos = Connection::open(folder.path().join("pos.db")).unwrap();
            pos.execute_batch(
                "PRAGMA journal_mode = wal; PRAGMA synchronous = off;
                 CREATE TABLE ledger (id TEXT PRIMARY KEY COLLATE NOCASE, item TEXT, moved REAL, at TEXT, what TEXT);
                 CREATE TABLE figures (item TEXT PRIMARY KEY, quantity REAL)",
            )
            .unwrap();
            let source = reader(folder.path(), more);
            Pair { folder, pos, source, cursor: None, documents: Vec::new(), set_aside: 0 }
        }

        /// Writes a row, or another in its place; `age_s` before now.
        fn write(&self, id: &str, item: &str, moved: f64, what: &str, age_s: i64) {
            let at = NOON + AHEAD_MS.get().cast_signed() - age_s * 1_000;
            let sql = "INSERT OR REPLACE INTO ledger VALUES (?1, ?2, ?3, strftime('%Y-%m-%d %H:%M:%S', ?4 / 1000, 'unixepoch'), ?5)";
            self.pos.execute(sql, rusqlite::params![id, item, moved, at, what]).unwrap();
        }

        fn delete(&self, id: &str) {
            self.pos.execute("DELETE FROM ledger WHERE id = ?1", [id]).unwrap();
        }

        fn look(&mut self) {
            later(60_000);
            let reading = self.source.read(self.cursor.as_deref()).unwrap();
            self.cursor = reading.cursor.or_else(|| self.cursor.take());
            self.documents.extend(reading.documents);
            self.set_aside += reading.set_aside.len() as u64;
            self.source.taken().unwrap();
        }

        /// Long enough for whole rounds.
        fn look_about(&mut self) {
            for _ in 0..16 {
                self.look();
            }
        }

        fn starts_again(&mut self, more: &str) {
            self.source = reader(self.folder.path(), more);
        }

        fn on_hand(&self, item: &str) -> i64 {
            let mut sum = 0;
            for SourceDocument { document, .. } in &self.documents {
                for line in &document.lines {
                    match (line.item == ItemKey::Sku(item.parse().unwrap()), document.kind) {
                        (true, Kind::Count) => sum = line.quantity.thousandths(),
                        (true, _) => sum += line.quantity.thousandths(),
                        (false, _) => {}
                    }
                }
            }
            sum
        }

        /// The name of what is remembered.
        fn memory(&self) -> String {
            let sidecar = Sidecar::open(&self.folder.path().join("pos-till.db")).unwrap();
            sidecar.memory_name().unwrap().unwrap()
        }

        fn references(&self) -> Vec<&str> {
            self.documents.iter().map(|of| of.document.reference.as_str()).collect()
        }
    }

    #[test]
    fn a_ticket_that_is_deleted_and_written_again_counts_once() {
        let mut pair = Pair::begun("");
        pair.pos.execute("INSERT INTO figures VALUES ('milk', 12)", []).unwrap();
        pair.write("0f3a", "milk", -3.0, "old", 90_000);
        pair.look();
        assert_eq!((pair.on_hand("milk"), pair.cursor.as_deref()), (12_000, Some(b"texts 1".as_slice())));
        pair.write("c0de", "milk", -2.0, "sale", 5);
        pair.write("beef", "ham", -1.0, "draft", 5);
        pair.look();
        assert_eq!(pair.on_hand("milk"), 10_000);
        pair.delete("c0de");
        pair.write("a11e", "milk", -5.0, "sale", 5);
        pair.write("beef", "ham", -1.0, "sale", 5);
        pair.look_about();
        assert_eq!((pair.on_hand("milk"), pair.on_hand("ham")), (7_000, -1_000));
        pair.starts_again("");
        pair.look_about();
        assert_eq!(pair.on_hand("milk"), 7_000, "{:?}", pair.references());
        assert_eq!(
            pair.references()[1..],
            ["c0de", "a11e", "beef", format!("c0de/r1-{}", pair.memory()).as_str()]
        );
    }

    #[test]
    fn rows_that_leave_the_window_of_the_select_move_nothing_and_one_in_its_middle_does() {
        let day = 24 * 3_600;
        let mut pair = Pair::begun("");
        for age in 2..=7 {
            pair.write(&format!("row-{age}"), "milk", -1.0, "sale", age * day);
        }
        pair.pos.execute("INSERT INTO figures VALUES ('milk', 50)", []).unwrap();
        pair.look_about();
        for gone in ["row-7", "row-6", "row-4"] {
            pair.delete(gone);
        }
        pair.look_about();
        // Those of the sixth and seventh day were tidied away, the fourth was undone.
        assert_eq!((pair.on_hand("milk"), pair.set_aside), (51_000, 0), "{:?}", pair.references());
        pair.pos.execute("DELETE FROM ledger", []).unwrap();
        pair.look_about();
        assert_eq!(pair.on_hand("milk"), 52_000, "only what is younger than three days was undone");
    }

    #[test]
    fn however_many_rows_are_archived_at_once_nothing_moves_and_what_comes_back_is_known() {
        let day = 24 * 3_600;
        let mut pair = Pair::begun("");
        // Less than a part of it is younger than a week, so the part of the newest rows reaches far back.
        for number in 0..1_400 {
            pair.write(&format!("row-{number}"), "milk", -1.0, "sale", 1_000 + number * day * 40 / 1_400);
        }
        pair.pos.execute("INSERT INTO figures VALUES ('milk', 50)", []).unwrap();
        pair.look();
        let week = "at < strftime('%Y-%m-%d %H:%M:%S', ?1 / 1000, 'unixepoch', '-7 days')";
        let now = NOON + AHEAD_MS.get().cast_signed();
        pair.pos.execute("CREATE TABLE away AS SELECT * FROM ledger", []).unwrap();
        pair.pos.execute(&format!("DELETE FROM ledger WHERE {week}"), [now]).unwrap();
        pair.look_about();
        assert_eq!(pair.on_hand("milk"), 50_000, "{:?}", pair.references());
        pair.pos
            .execute("INSERT INTO ledger SELECT * FROM away WHERE id NOT IN (SELECT id FROM ledger)", [])
            .unwrap();
        pair.look_about();
        assert_eq!(pair.on_hand("milk"), 50_000, "{:?}", pair.references());
        // All at once, and back: somebody reads in a dump.
        pair.pos.execute("DELETE FROM ledger", []).unwrap();
        pair.look();
        pair.pos.execute("INSERT INTO ledger SELECT * FROM away", []).unwrap();
        pair.look_about();
        assert_eq!(pair.on_hand("milk"), 50_000, "{:?}", pair.references());
    }

    #[test]
    fn a_ledger_that_is_emptied_every_night_moves_nothing_whatever_its_length() {
        let mut pair = Pair::begun("");
        pair.look();
        for number in 0..505 {
            pair.write(&format!("row-{number}"), "milk", -1.0, "sale", 1_000 + number);
        }
        pair.look_about();
        assert_eq!(pair.on_hand("milk"), -505_000);
        pair.pos.execute("DELETE FROM ledger", []).unwrap();
        pair.look();
        pair.write("next", "milk", -1.0, "sale", 5);
        pair.look_about();
        assert_eq!((pair.on_hand("milk"), pair.set_aside), (-506_000, 1), "{:?}", pair.references());
    }

    #[test]
    fn an_import_that_the_core_never_took_is_begun_again() {
        let mut pair = Pair::begun("");
        pair.pos.execute("INSERT INTO figures VALUES ('milk', 12)", []).unwrap();
        pair.look();
        let _ = std::fs::remove_file(pair.folder.path().join("pos-till.db"));
        pair.starts_again("");
        pair.write("c0de", "milk", -2.0, "sale", 5);
        pair.pos.execute("UPDATE figures SET quantity = 10", []).unwrap();
        later(60_000);
        assert!(!pair.source.read(pair.cursor.as_deref()).unwrap().documents.is_empty());
        // Killed before the core has answered.
        pair.starts_again("");
        pair.look_about();
        assert_eq!(pair.on_hand("milk"), 10_000, "{:?}", pair.references());
    }

    #[test]
    fn another_select_for_the_same_rows_begins_with_the_figures() {
        let mut pair = Pair::begun("");
        pair.pos.execute("INSERT INTO figures VALUES ('milk', 12)", []).unwrap();
        pair.look();
        pair.write("c0de", "milk", -2.0, "sale", 5);
        pair.look_about();
        pair.pos.execute("UPDATE figures SET quantity = 10", []).unwrap();
        let text = config_text("").replace("SELECT id AS key", "SELECT hex(id) AS key");
        pair.source = reader_of(pair.folder.path(), &text);
        pair.look_about();
        assert_eq!((pair.on_hand("milk"), pair.cursor.as_deref()), (10_000, Some(b"texts 2".as_slice())));
    }

    #[test]
    fn a_row_without_a_time_is_told_of_once_and_keys_that_are_no_texts_or_come_twice_move_nothing() {
        let mut pair = Pair::begun("remember_rows = 10\n");
        pair.look();
        pair.pos.execute("INSERT INTO ledger VALUES ('bad', 'milk', -1, NULL, 'sale')", []).unwrap();
        for number in 0..15 {
            pair.write(&format!("row-{number}"), "milk", -1.0, "sale", 100 - number);
        }
        for _ in 0..4 {
            pair.look_about();
        }
        assert_eq!((pair.on_hand("milk"), pair.set_aside), (-15_000, 1), "{:?}", pair.references());
        pair.pos
            .execute_batch(
                "DROP TABLE ledger; CREATE TABLE ledger (id, item TEXT, moved REAL, at TEXT, what TEXT)",
            )
            .unwrap();
        pair.source.accept().unwrap();
        let text = config_text("");
        pair.source = reader_of(pair.folder.path(), &text);
        pair.cursor = None;
        pair.look_about();
        let before = pair.documents.len();
        pair.pos
            .execute("INSERT INTO ledger VALUES (7, 'milk', -1, '2026-10-31 11:00:00', 'sale')", [])
            .unwrap();
        for item in ["milk", "ham"] {
            pair.write("twice", item, -1.0, "sale", 5);
        }
        pair.look_about();
        assert_eq!(pair.documents.len(), before, "{:?}", pair.references());
        let found = pair.source.check().unwrap();
        assert!(
            found.problems.iter().any(|problem| problem.contains("1 rows have a `key` that is no text")),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_forgotten_is_not_taken_for_new() {
        let more = "remember_rows = 10\n";
        let mut pair = Pair::begun(more);
        for number in 0..30 {
            pair.write(&format!("old-{number}"), "milk", -1.0, "sale", 10_000 - number);
        }
        pair.look_about();
        assert!(pair.references().is_empty(), "{:?}", pair.references());
        // Half a day passes, so that time itself tells old from new.
        later(43_200_000);
        for number in 0..1_500 {
            pair.write(&format!("new-{number}"), "milk", -1.0, "sale", 1_000);
        }
        pair.look();
        assert!(!pair.documents.is_empty());
        pair.look_about();
        assert_eq!((pair.on_hand("milk"), pair.documents.len()), (-1_500_000, 1_500));
        pair.starts_again(more);
        pair.look_about();
        assert_eq!(pair.documents.len(), 1_500);
        pair.write("old-3", "milk", -7.0, "sale", 60_000);
        pair.look_about();
        assert_eq!(pair.documents.len(), 1_500, "nobody knows any more what it was");
    }

    #[test]
    fn a_memory_that_is_lost_costs_another_reading_of_the_figures() {
        let mut pair = Pair::begun("");
        pair.pos.execute("INSERT INTO figures VALUES ('milk', 12)", []).unwrap();
        pair.look();
        for file in ["pos-till.db", "pos-till.db-wal", "pos-till.db-shm"] {
            let _ = std::fs::remove_file(pair.folder.path().join(file));
        }
        pair.starts_again("");
        pair.write("c0de", "milk", -2.0, "sale", 5);
        pair.pos.execute("UPDATE figures SET quantity = 10", []).unwrap();
        pair.look_about();
        assert_eq!((pair.on_hand("milk"), pair.cursor.as_deref()), (10_000, Some(b"texts 2".as_slice())));
        assert_eq!(pair.references(), ["import-1/sku:milk", "import-2/sku:milk"]);
    }

    #[test]
    fn figures_are_compared_only_when_all_rows_are_as_remembered() {
        let mut pair = Pair::begun("");
        pair.write("a", "milk", -1.0, "sale", 100);
        pair.pos.execute("INSERT INTO figures VALUES ('milk', 12)", []).unwrap();
        pair.look_about();
        let compared = |pair: &mut Pair| {
            later(60_000);
            let cursor = pair.cursor.clone().unwrap();
            pair.source.figures(&cursor).unwrap().is_some()
        };
        assert!(compared(&mut pair));
        pair.write("b", "milk", -1.0, "draft", 100);
        assert!(compared(&mut pair), "a draft moves nothing");
        for change in [
            "UPDATE ledger SET moved = -2 WHERE id = 'a'",
            "INSERT INTO ledger VALUES ('c', 'milk', -1, '2026-10-31 11:00:00', 'sale')",
            "DELETE FROM ledger WHERE id = 'a'",
        ] {
            pair.pos.execute(change, []).unwrap();
            assert!(!compared(&mut pair), "{change}");
            pair.look_about();
            assert!(compared(&mut pair), "{change}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever a POS does to its rows, in whatever order they come to light, what was recorded adds up to what is there.
        #[test]
        fn whatever_becomes_of_rows_adds_up(
            acts in prop::collection::vec((0u8..12, 0usize..3, -4i32..5, 0u8..8, 0i64..200_000), 1..60),
        ) {
            let mut pair = Pair::begun("");
            let items = ["milk", "ham", "tea"];
            pair.write("first", "milk", -9.0, "sale", 250_000);
            pair.look();
            for (id, item, moved, act, age) in acts {
                // A key of the two spellings that this POS takes for one is the same row.
                let id = format!("{}{id}", if act % 2 == 0 { "K" } else { "k" });
                match act {
                    0 | 1 => pair.delete(&id),
                    2 => pair.write(&id, items[item], f64::from(moved), "draft", age),
                    7 => pair.starts_again(""),
                    _ => pair.write(&id, items[item], f64::from(moved), "sale", age),
                }
                if age % 3 == 0 {
                    pair.look();
                }
            }
            pair.look_about();
            for item in items {
                let sql = "SELECT CAST(coalesce(sum(moved), 0) * 1000 AS INTEGER) FROM ledger WHERE item = ?1 AND what = 'sale' AND id <> 'first'";
                let wanted: i64 = pair.pos.query_row(sql, [item], |row| row.get(0)).unwrap();
                prop_assert_eq!(pair.on_hand(item), wanted, "{}: {:?}", item, pair.references());
            }
            let mut references = pair.references();
            references.sort_unstable();
            references.dedup();
            prop_assert_eq!(references.len(), pair.documents.len());
        }
    }
}
