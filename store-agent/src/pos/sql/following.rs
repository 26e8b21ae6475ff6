//! Following a ledger by its growing key: what is new, and what has become of rows that were read before.
//!
//! New rows are looked for at every look. Of those that are remembered the newest are gone over again every other second, and all of
//! them in rounds; a look at old rows is followed by a rest of a hundred times its length, so that the rounds never cost the POS more
//! than a hundredth. A row that enters the SELECT long after its key was passed is found the same way.
//!
//! Old rows that the database's log has named are gone over at once. The rounds stay the net beneath: they find what no log has said.

use super::correction::{Weighing, is_same, known};
use super::database::{Look, PosDatabase};
use super::{REST_TIMES, REST_TIMES_BESIDE_LOG, REST_TIMES_IN_HASTE, ROWS_MAX, SqlSource};
use crate::pos::key_cursor::KeyCursor;
use crate::pos::mapping::{Key, Mapped, Mapper, Row};
use crate::pos::sidecar::Sidecar;
use crate::pos::sidecar::memory::{Remembered, Step};
use crate::pos::source::{Notes, Reading, SourceError};
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::{Ticks, UnixMillis};

/// Remembered rows that one look goes over again.
const CHUNK_ROWS: usize = 500;
const AGAIN_EVERY_MS: u64 = 1_000;
/// Rows that leave the beginning of a ledger when they are older than this were tidied away, not undone.
pub const ARCHIVED_AFTER_MS: u64 = 3 * 24 * 3_600 * 1_000;
/// So many rows that are gone with all others were not undone one by one.
pub const CLEARED_ROWS: usize = 20;

/// Rows of one moment, and whether there were more.
pub struct Seen {
    pub rows: Vec<Row>,
    pub is_all: bool,
}

/// Where the rounds over what is remembered are.
#[derive(Debug)]
pub struct Rounds {
    /// This round has been up to this key.
    after: i64,
    is_newest_next: bool,
    /// This round has begun and not ended.
    is_under_way: bool,
    due: Ticks,
    /// There is something to go over: somebody has committed since the round before began.
    is_owed: bool,
    has_rung: bool,
    /// So many ends of a round are to be reached without long rests.
    hurried: u8,
    /// Not even in haste before this.
    haste_due: Ticks,
}

impl Rounds {
    /// After a start everything is gone over.
    #[must_use]
    pub fn new() -> Rounds {
        Rounds {
            after: 0,
            is_newest_next: true,
            is_under_way: false,
            due: Ticks(0),
            is_owed: true,
            has_rung: false,
            hurried: 0,
            haste_due: Ticks(0),
        }
    }

    /// Somebody has committed something.
    pub fn ring(&mut self) {
        (self.is_owed, self.has_rung) = (true, true);
    }

    #[must_use]
    pub fn is_due(&self, now: Ticks) -> bool {
        self.is_owed && now.0 >= self.due.0
    }

    /// Something differs, and it is not known where: short rests until all of it has been gone over.
    pub fn hurry(&mut self) {
        (self.is_owed, self.due) = (true, self.haste_due);
        // What this round has passed already is the next one's.
        self.hurried = if self.is_under_way { 2 } else { 1 };
    }

    pub fn has_nothing(&mut self) {
        (self.is_owed, self.has_rung, self.hurried) = (false, false, 0);
    }

    /// Whether it is the newest rows' turn.
    #[must_use]
    pub fn is_newest_next(&self) -> bool {
        self.is_newest_next
    }

    /// A look at old rows has taken so long.
    pub fn rest(&mut self, was_newest: bool, now: Ticks, took_ms: u64, has_log: bool) {
        self.haste_due = Ticks(now.0.saturating_add(took_ms.saturating_mul(REST_TIMES_IN_HASTE)));
        self.due = match self.hurried {
            0 => {
                let times = if has_log { REST_TIMES_BESIDE_LOG } else { REST_TIMES };
                Ticks(now.0.saturating_add(AGAIN_EVERY_MS.max(took_ms.saturating_mul(times))))
            }
            _ => self.haste_due,
        };
        self.is_newest_next = !was_newest && self.hurried == 0;
        self.is_under_way |= !was_newest;
    }

    /// The round has gone over everything.
    pub fn end(&mut self) {
        self.hurried = self.hurried.saturating_sub(1);
        (self.is_owed, self.has_rung) = (self.has_rung || self.hurried > 0, false);
        self.is_under_way = false;
    }

    fn went(&mut self, chunk: &Chunk, last: i64, now: Ticks, took_ms: u64, has_log: bool) {
        self.rest(chunk.is_newest, now, took_ms, has_log);
        if chunk.is_newest {
            return;
        }
        self.after = last;
        if chunk.is_end && last == chunk.last {
            self.after = 0;
            self.end();
        }
    }
}

/// Remembered rows that are gone over in one look.
struct Chunk {
    first: i64,
    last: i64,
    is_newest: bool,
    /// The log has named them; they are part of no round.
    is_named: bool,
    /// The round ends with it.
    is_end: bool,
    held: BTreeMap<i64, Remembered>,
}

/// What a look at a chunk found.
struct Again {
    rows: Vec<(i64, Row)>,
    /// How far the look got.
    last: i64,
    /// The ledger has rows before the first that is gone.
    has_older: bool,
    is_ledger_empty: bool,
}

impl Chunk {
    fn look(&self, look: &mut dyn Look) -> Result<Again, SourceError> {
        let most = 2 * CHUNK_ROWS;
        let rows = numbered(look.rows_between(self.first, self.last, most)?);
        let reached = rows.last().filter(|_| rows.len() >= most).map_or(self.last, |(key, _)| *key);
        let mut again = Again { rows, last: reached, has_older: true, is_ledger_empty: false };
        if let Some(first) = self.gone(&again).first().map(|row| row.key) {
            again.has_older = first > 1 && !look.rows_between(1, first - 1, 1)?.is_empty();
            again.is_ledger_empty = again.rows.is_empty() && look.newest_keys(1)?.is_empty();
        }
        Ok(again)
    }

    fn gone(&self, again: &Again) -> Vec<&Remembered> {
        let there: BTreeSet<i64> = again.rows.iter().map(|(key, _)| *key).collect();
        let looked_at = self.held.values().filter(|row| row.is_there && row.key <= again.last);
        looked_at.filter(|row| !there.contains(&row.key)).collect()
    }
}

impl Again {
    /// Of the rows that are gone, those that were tidied away.
    fn archived<'a>(&self, gone: &[&'a Remembered], now: UnixMillis) -> Vec<&'a Remembered> {
        let is_cleared = self.is_ledger_empty && gone.len() >= CLEARED_ROWS;
        let is_old = |row: &Remembered| row.at.is_some_and(|at| now.since(at) > ARCHIVED_AFTER_MS);
        let first_left = self.rows.first().map_or(i64::MAX, |(key, _)| *key);
        let is_archived =
            |row: &&&Remembered| !self.has_older && row.key < first_left && (is_cleared || is_old(row));
        gone.iter().filter(is_archived).copied().collect()
    }
}

/// Rows whose keys have not been accounted for, in the order of their keys: those that were missing first.
pub fn rows_after(look: &mut dyn Look, keys: &KeyCursor) -> Result<Seen, SourceError> {
    let mut rows = Vec::new();
    let after = keys.high().checked_add(1).map(|next| (next, i64::MAX));
    for (first, last) in keys.gaps().chain(after) {
        rows.extend(look.rows_between(first, last, ROWS_MAX - rows.len())?);
        if rows.len() >= ROWS_MAX {
            return Ok(Seen { rows, is_all: false });
        }
    }
    Ok(Seen { rows, is_all: true })
}

/// Every row that is remembered is there as it was, and none has come between them.
pub fn is_as_remembered(look: &mut dyn Look, sidecar: &Sidecar) -> Result<bool, SourceError> {
    let broken = |source| SourceError::Memory { source };
    let Some(lowest) = sidecar.lowest_key(None).map_err(broken)? else { return Ok(true) };
    let mut after = lowest - 1;
    while let Some((last, _)) = sidecar.chunk_after(after, CHUNK_ROWS).map_err(broken)? {
        let held = sidecar.remembered(after + 1, last).map_err(broken)?;
        let rows = numbered(look.rows_between(after + 1, last, 2 * CHUNK_ROWS)?);
        let there = held.values().filter(|row| row.is_there).count();
        let is_known = |(key, row): &(i64, Row)| held.get(key).is_some_and(|before| is_same(before, row));
        if rows.len() != there || !rows.iter().all(is_known) {
            return Ok(false);
        }
        after = last;
    }
    Ok(true)
}

fn numbered(rows: Vec<Row>) -> Vec<(i64, Row)> {
    let number = |row: Row| match row.key {
        Key::Number(key) => Some((key, row)),
        Key::Text(_) => None,
    };
    rows.into_iter().filter_map(number).collect()
}

impl<D: PosDatabase> SqlSource<D> {
    pub(super) fn keys(&mut self, mut keys: KeyCursor) -> Result<Reading, SourceError> {
        self.database()?;
        if let Some(reading) = self.waiting()? {
            return Ok(reading);
        }
        let (before, now) = (keys.text(), self.now());
        let (named, chunk) = if self.is_first_look { (Vec::new(), None) } else { self.old_rows(&keys, now)? };
        let rows_max = self.config.remember_rows;
        let broken = self.broken();
        let is_begun = self.sidecar()?.memory_name().map_err(broken)?.is_some();
        let (seen, known_rows, again) = self.db.at_once(|look| {
            let seen = rows_after(look, &keys)?;
            let known = if is_begun { Vec::new() } else { look.newest_rows(rows_max)? };
            let chunks = named.iter().chain(&chunk).filter(|_| seen.is_all);
            let again = chunks.map(|chunk| chunk.look(look)).collect::<Result<Vec<_>, _>>()?;
            Ok((seen, known, again))
        })?;
        let took = self.now().since(now);
        let has_log = self.has_log();
        if !is_begun {
            // This file is new, or another was lost: what the core has been given is taken for what is there.
            let given = |(key, _): &(i64, Row)| !keys.is_waited_for(*key);
            let known = numbered(known_rows).into_iter().filter(given).collect();
            self.begin_memory(known)?;
        }
        let is_all = seen.is_all;
        let mut gone_over: Vec<(Chunk, Again)> = named.into_iter().chain(chunk).zip(again).collect();
        for (chunk, again) in &gone_over {
            match chunk.is_named {
                true => self.named.looked_at(chunk.first, chunk.last),
                false => self.rounds.went(chunk, again.last, now, took, has_log),
            }
        }
        // Whether a ledger was tidied away shows in its rows taken together, not in those that the log happens to name.
        let is_cleared = gone_over.iter().any(|(_, again)| again.is_ledger_empty);
        if is_cleared && gone_over.iter().any(|(chunk, _)| chunk.is_named) {
            gone_over.retain(|(chunk, _)| !chunk.is_named);
            self.rounds.hurry();
        }
        // As little as it does in a part of a ledger that is being cleared from its beginning.
        gone_over.retain(|(chunk, again)| {
            !chunk.is_named || again.has_older || chunk.gone(again).len() < CLEARED_ROWS
        });
        let (step, notes) = self.weigh(&mut keys, seen, gone_over, now)?;
        let broken = self.broken();
        self.sidecar()?.take_step(&step, Some(rows_max)).map_err(broken)?;
        self.has_waiting |= !step.documents.is_empty() || !step.set_aside.is_empty();
        let mut reading = Reading {
            documents: step.documents,
            set_aside: step.set_aside,
            is_all,
            notes,
            ..Reading::default()
        };
        let patience = u64::try_from(self.config.gap_patience.as_millis()).unwrap_or(u64::MAX);
        // With rows still to come nothing is missing yet.
        let given_up = if is_all { keys.give_up(now, patience) } else { 0 };
        reading.notes.gaps_given_up = given_up + keys.fit();
        reading.notes.gaps_open = keys.waited_for();
        let text = keys.text();
        self.at = Some(super::Cursor::Keys(keys));
        reading.cursor = (text != before).then(|| text.into_bytes());
        Ok(reading)
    }

    /// Rows that were read before and are gone over in this look: those that the log names, and the next of the round.
    fn old_rows(&mut self, keys: &KeyCursor, now: Ticks) -> Result<(Vec<Chunk>, Option<Chunk>), SourceError> {
        self.hear(keys)?;
        let named = self.named_chunks()?;
        if !self.rounds.is_due(now) {
            return Ok((named, None));
        }
        let chunk = self.chunk(keys)?;
        if chunk.is_none() {
            self.rounds.has_nothing();
        }
        Ok((named, chunk))
    }

    fn weigh(
        &mut self,
        keys: &mut KeyCursor,
        seen: Seen,
        gone_over: Vec<(Chunk, Again)>,
        now: Ticks,
    ) -> Result<(Step, Notes), SourceError> {
        let broken = self.broken();
        let wall = (self.clocks.wall)();
        let clock = self.clockwork.clone();
        let sidecar = self.sidecar()?;
        let name = sidecar.memory_name().map_err(broken)?.unwrap_or_default();
        let mut weighing = Weighing {
            source: &self.config.source,
            name: &name,
            now: wall,
            step: Step::default(),
            notes: Notes::default(),
        };
        let mut mapper = Mapper { source: &self.config.source, mapping: &self.config.mapping, clock };
        let mut done = BTreeSet::new();
        let broken = |source| SourceError::Memory { source };
        for (key, row) in numbered(seen.rows) {
            keys.see(key, now);
            done.insert(key);
            let before = match &self.sidecar {
                Some(sidecar) => sidecar.remembered(key, key).map_err(broken)?.remove(&key),
                None => None,
            };
            if !before.as_ref().is_some_and(|before| is_same(before, &row)) {
                weighing.seen(key, None, &row, mapper.map(&row), before.as_ref());
            }
        }
        self.clockwork = mapper.clock.clone();
        for (chunk, again) in gone_over {
            // Old rows say nothing about what the clock showed at the newest.
            mapper.forget_times();
            let weighed = weighing.step.rows.len();
            for (key, row) in again.rows.iter().filter(|(key, _)| !done.contains(key)) {
                let before = chunk.held.get(key);
                if !before.is_some_and(|before| is_same(before, row)) {
                    keys.see(*key, now);
                    weighing.seen(*key, None, row, mapper.map(row), before);
                }
            }
            let gone: Vec<_> =
                chunk.gone(&again).into_iter().filter(|row| !done.contains(&row.key)).collect();
            let archived = again.archived(&gone, wall);
            weighing.archived(&archived);
            for row in gone.iter().filter(|row| !archived.contains(row)) {
                weighing.gone(row);
            }
            let weighed = &weighing.step.rows[weighed..];
            done.extend(weighed.iter().map(|row| row.key));
            weighing.notes.by_log += if chunk.is_named { weighed.len() as u64 } else { 0 };
        }
        Ok((weighing.step, weighing.notes))
    }

    /// The next rows to go over again.
    fn chunk(&mut self, keys: &KeyCursor) -> Result<Option<Chunk>, SourceError> {
        let (after, is_newest) = (self.rounds.after, self.rounds.is_newest_next);
        let broken = self.broken();
        let sidecar = self.sidecar()?;
        let plan = || -> rusqlite::Result<Option<Chunk>> {
            let lowest = sidecar.lowest_key(is_newest.then_some(CHUNK_ROWS))?;
            let Some(lowest) = lowest else { return Ok(None) };
            let first = lowest.max(after.saturating_add(1));
            let (first, last, is_end) = if is_newest {
                (lowest, keys.high(), false)
            } else {
                match sidecar.chunk_after(first - 1, CHUNK_ROWS)? {
                    Some((last, true)) => (first, last, false),
                    // Up to the highest key, should a row have entered behind the last that is remembered.
                    Some((last, false)) => (first, last.max(keys.high()), true),
                    None => (first, keys.high(), true),
                }
            };
            let held = sidecar.remembered(first, last)?;
            Ok(Some(Chunk { first, last, is_newest, is_named: false, is_end, held }))
        };
        plan().map_err(broken)
    }

    /// Takes what the log has said. Rows that are waited for are looked for anyway, and what is not remembered is not gone over.
    fn hear(&mut self, keys: &KeyCursor) -> Result<(), SourceError> {
        let heard = self.db.heard();
        let has_room = self.named.add(&heard.keys);
        if heard.is_more || !has_room {
            self.rounds.hurry();
        }
        if self.named.is_empty() {
            return Ok(());
        }
        let broken = self.broken();
        let lowest = self.sidecar()?.lowest_key(None).map_err(broken)?.unwrap_or(i64::MAX);
        self.named.keep(|key| key >= lowest && !keys.is_waited_for(key));
        Ok(())
    }

    /// The rows that the log has named, as far as one look goes.
    fn named_chunks(&mut self) -> Result<Vec<Chunk>, SourceError> {
        let ranges = self.named.ranges();
        let broken = self.broken();
        let sidecar = self.sidecar()?;
        let chunk = |(first, last)| {
            let held = sidecar.remembered(first, last)?;
            Ok(Chunk { first, last, is_newest: false, is_named: true, is_end: false, held })
        };
        ranges.into_iter().map(chunk).collect::<rusqlite::Result<_>>().map_err(broken)
    }

    /// What was handed over before and may not have been taken, to be handed over again.
    pub(super) fn waiting(&mut self) -> Result<Option<Reading>, SourceError> {
        if !self.has_waiting {
            return Ok(None);
        }
        let source = self.config.source.clone();
        let broken = self.broken();
        let (documents, set_aside) = self.sidecar()?.waiting(&source).map_err(broken)?;
        if documents.is_empty() && set_aside.is_empty() {
            self.has_waiting = false;
            return Ok(None);
        }
        Ok(Some(Reading { documents, set_aside, ..Reading::default() }))
    }

    /// Begins to remember, with rows of which the core has all it needs.
    pub(super) fn begin_memory(&mut self, rows: Vec<(i64, Row)>) -> Result<(), SourceError> {
        let mut mapper = Mapper::of(&self.config.source, &self.config.mapping);
        let known: Vec<Remembered> = rows
            .iter()
            .map(|(key, row)| {
                let mapped: Mapped = mapper.map(row);
                known(*key, None, row, &mapped)
            })
            .collect();
        self.begin_with(&known)
    }

    pub(super) fn begin_with(&mut self, known: &[Remembered]) -> Result<(), SourceError> {
        let mut bytes = [0; 3];
        // Without random numbers two memories may have one name; the ledger then says that a reference was used before.
        let _ = getrandom::fill(&mut bytes);
        let name = bytes.iter().fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        let broken = self.broken();
        self.sidecar()?.begin_memory(&name, known).map_err(broken)
    }

    /// The same for the rows of a first reading.
    pub(super) fn begin_memory_with(&mut self, rows: Vec<Row>) -> Result<(), SourceError> {
        self.begin_memory(numbered(rows))
    }
}
