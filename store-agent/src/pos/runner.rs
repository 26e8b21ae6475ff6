//! One thread for each POS source: reads, hands over, waits, and keeps its health. What fails here fails here alone.

use super::source::{Figure, PosSource, Reading, SourceError, chain};
use super::sql::item_text;
use crate::agent::{ItemKey, ReadingTaken, RecordError, SourceReading};
use crate::config::pos::PosConfig;
use crate::http::Clocks;
use crate::inbox::sources::{Difference, Differences, LogStanding, SourceBoard, SourceState};
use crate::inbox::{Bulletin, Inbox, NoAnswer};
use crate::store::reader::{OnHand, Reader};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use sync_protocol::Epoch;
use tokio::sync::watch;

/// Longest pause between two attempts at a source that fails.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// The figures are not compared again sooner than this after a moment in which they could not be.
const RECONCILE_AGAIN: Duration = Duration::from_secs(1);
/// A comparison reads everything that is remembered and all figures, so it is followed by a rest of so many times its length.
const RECONCILE_REST_TIMES: u32 = 100;
/// Where a log is followed somebody wants to know of sales at once, so a comparison waits for a moment in which nothing is sold ...
const LULL: Duration = Duration::from_secs(2);
/// ... but not for ever.
const LULL_WITHIN: Duration = Duration::from_secs(900);
/// Most differences that are kept for people to look at.
const DIFFERENCES_MAX: usize = 1_000;

/// What a runner works with.
#[derive(Debug)]
pub struct Desk {
    pub inbox: Inbox,
    pub reader: Arc<Reader>,
    pub board: SourceBoard,
    /// Its place on the board.
    pub place: usize,
    pub bulletin: watch::Receiver<Bulletin>,
    pub has_hub: bool,
    pub clocks: Clocks,
}

/// Reads one source until it is told to stop.
pub struct Runner {
    source: Box<dyn PosSource>,
    config: PosConfig,
    desk: Desk,
    failures: u32,
    reconciled_at: Option<Instant>,
    reconcile_after: Option<Instant>,
    /// When something was last read, and since when a comparison has been due.
    moved_at: Option<Instant>,
    reconcile_due: Option<Instant>,
    log: Option<LogStanding>,
}

/// How a go ended.
enum Went {
    /// There may be more at once.
    On,
    /// That was all for now.
    Quiet,
    Stopping,
}

/// What stood in the way of a go.
enum Trouble {
    Source(SourceError),
    Agent(String),
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Trouble {
        Trouble::Source(error)
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Agent(format!("the agent's own database could not be read: {error}"))
    }
}

impl Runner {
    #[must_use]
    pub fn new(source: Box<dyn PosSource>, config: PosConfig, desk: Desk) -> Runner {
        Runner {
            source,
            config,
            desk,
            failures: 0,
            reconciled_at: None,
            reconcile_after: None,
            moved_at: None,
            reconcile_due: None,
            log: None,
        }
    }

    /// Runs until the other end of `stop` is dropped.
    pub fn run(mut self, stop: &Receiver<()>) {
        loop {
            let pause = match self.go() {
                Ok(Went::On) => Duration::ZERO,
                Ok(Went::Quiet) => self.pause(),
                Ok(Went::Stopping) => return,
                Err(trouble) => self.failed(trouble),
            };
            match stop.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Until the next go, when there is nothing more to read.
    fn pause(&self) -> Duration {
        let log = self.config.log.as_ref().filter(|_| self.log == Some(LogStanding::Followed));
        log.map_or(self.config.poll_every, |log| log.poll_every)
    }

    fn go(&mut self) -> Result<Went, Trouble> {
        let from = self.desk.reader.cursor(&self.config.source)?;
        // A new disk takes over what the hub knows, cursors and all. Counting everything before that would count it twice.
        if from.is_none() && self.desk.has_hub && self.desk.bulletin.borrow().sync.epoch == Epoch(0) {
            self.note_state(SourceState::WaitingForHub);
            return Ok(Went::Quiet);
        }
        let read = self.source.read(from.as_deref());
        // A server that is gone takes its log along.
        self.note_log();
        let reading = read?;
        let is_all = reading.is_all;
        let was_moved = reading.cursor.is_some() || !reading.documents.is_empty();
        let Some(cursor) = self.hand_over(from, reading)? else { return Ok(Went::Stopping) };
        self.failures = 0;
        if was_moved {
            self.moved_at = Some((self.desk.clocks.instant)());
        } else if is_all {
            self.reconcile(cursor)?;
        }
        Ok(if is_all { Went::Quiet } else { Went::On })
    }

    /// Gives the cursor as it is now; `None` when the agent is stopping.
    fn hand_over(
        &mut self,
        from: Option<Vec<u8>>,
        reading: Reading,
    ) -> Result<Option<Option<Vec<u8>>>, Trouble> {
        let newest = reading.documents.iter().map(|of| of.document.occurred_at).max();
        let (is_all, notes) = (reading.is_all, reading.notes);
        let has_rows = !reading.documents.is_empty();
        let (taken, cursor) = match reading.cursor {
            None if reading.documents.is_empty() && reading.set_aside.is_empty() => {
                (ReadingTaken::default(), from)
            }
            moved => {
                let Some(cursor) = moved.or_else(|| from.clone()) else { return Ok(Some(from)) };
                let (documents, set_aside) = (reading.documents, reading.set_aside);
                let source = self.config.source.clone();
                let read_at = (self.desk.clocks.wall)();
                let whole =
                    SourceReading { source, from, read_at, documents, set_aside, cursor: cursor.clone() };
                match self.desk.inbox.read(whole) {
                    Ok(Ok(taken)) => {
                        self.source.taken()?;
                        (taken, Some(cursor))
                    }
                    Ok(Err(error)) => return Err(refused(&error)),
                    Err(NoAnswer::Stopping | NoAnswer::Busy | NoAnswer::Late) => return Ok(None),
                }
            }
        };
        if taken.reasons.len() + usize::from(notes.card_numbers > 0) > 0 {
            tracing::warn!(
                source = %self.config.source, set_aside = taken.set_aside, refused = taken.refused,
                conflicts = taken.conflicts, card_numbers = notes.card_numbers, first = taken.reasons.first(),
                "rows of the POS are in quarantine"
            );
        }
        if notes.gaps_given_up > 0 {
            tracing::warn!(source = %self.config.source, keys = notes.gaps_given_up, "keys that never showed up are waited for no longer");
        }
        let now = (self.desk.clocks.wall)();
        let shown = cursor.as_deref().map(|cursor| String::from_utf8_lossy(cursor).into_owned());
        self.desk.board.change(self.desk.place, |health| {
            health.state = SourceState::Reading;
            health.last_read = Some(now);
            health.last_row = newest.max(health.last_row);
            health.last_recorded = if has_rows { Some(now) } else { health.last_recorded };
            health.is_behind = !is_all;
            health.drift.clear();
            health.recorded += taken.recorded.len() as u64;
            health.duplicates += taken.duplicates;
            health.conflicts += taken.conflicts;
            health.set_aside += taken.set_aside + taken.refused;
            health.last_set_aside = taken.reasons.last().cloned().or_else(|| health.last_set_aside.take());
            health.card_numbers += notes.card_numbers;
            health.rounded += notes.rounded;
            health.gaps_given_up += notes.gaps_given_up;
            health.gaps_open = notes.gaps_open;
            health.corrected += notes.corrected;
            health.redated += notes.redated;
            health.by_log += notes.by_log;
            health.cursor = shown;
        });
        Ok(Some(cursor))
    }

    /// Holds the POS's own figures against ours, in a moment in which nothing was on its way.
    fn reconcile(&mut self, cursor: Option<Vec<u8>>) -> Result<(), Trouble> {
        let (Some(every), Some(cursor)) = (self.config.reconcile_every, cursor) else { return Ok(()) };
        let now = (self.desk.clocks.instant)();
        if self.reconciled_at.is_some_and(|at| now.saturating_duration_since(at) < every) {
            return Ok(());
        }
        if self.reconcile_after.is_some_and(|after| now < after) || !self.is_lull(now) {
            return Ok(());
        }
        let compared = self.figures_of_a_moment(&cursor);
        let took = (self.desk.clocks.instant)().saturating_duration_since(now);
        self.reconcile_after =
            now.checked_add(RECONCILE_AGAIN.max(took.saturating_mul(RECONCILE_REST_TIMES)));
        let Some((figures, on_hand)) = compared? else { return Ok(()) };
        (self.reconciled_at, self.reconcile_due) = (Some(now), None);
        let at = (self.desk.clocks.wall)();
        let (different, differing) = compare(&figures, &on_hand);
        let mut applied = false;
        if self.config.pos_is_truth && !different.is_empty() {
            let documents = self.source.figure_documents(&format!("truth-{at}"), &different);
            let reading = Reading { documents, is_all: true, ..Reading::default() };
            applied = self.hand_over(Some(cursor), reading)?.is_some();
        }
        if !differing.is_empty() {
            tracing::warn!(source = %self.config.source, items = differing.len(), applied, "the POS and this agent differ on what is there");
        }
        let items = figures.len() as u64;
        self.desk.board.change(self.desk.place, |health| {
            health.differences = Some(Differences { compared_at: at, items, differing, applied });
        });
        Ok(())
    }

    /// A comparison that is due may begin.
    fn is_lull(&mut self, now: Instant) -> bool {
        let due = *self.reconcile_due.get_or_insert(now);
        let is_still = self.moved_at.is_none_or(|at| now.saturating_duration_since(at) >= LULL);
        self.log != Some(LogStanding::Followed)
            || is_still
            || now.saturating_duration_since(due) >= LULL_WITHIN
    }

    /// The POS's figures and ours; `None` when something was on its way.
    fn figures_of_a_moment(&mut self, cursor: &[u8]) -> Result<Option<(Vec<Figure>, OnHand)>, Trouble> {
        let Some(figures) = self.source.figures(cursor)? else { return Ok(None) };
        let on_hand = self.desk.reader.on_hand()?;
        let is_still = self.source.figures(cursor)?.as_ref() == Some(&figures);
        Ok(is_still.then_some((figures, on_hand)))
    }

    /// Says it when the database's log begins or ceases to be followed.
    fn note_log(&mut self) {
        let log = self.source.log();
        if log == self.log {
            return;
        }
        match &log {
            Some(LogStanding::Refused(reason)) => {
                tracing::error!(source = %self.config.source, reason, "the log of the POS's database can't be followed; changes are polled for");
            }
            Some(LogStanding::Followed) => {
                tracing::info!(source = %self.config.source, "the log of the POS's database is followed");
            }
            Some(LogStanding::Opening) | None => {}
        }
        self.log.clone_from(&log);
        self.desk.board.change(self.desk.place, |health| health.log = log);
    }

    fn note_state(&self, state: SourceState) {
        self.desk.board.change(self.desk.place, |health| health.state = state);
    }

    /// Notes what went wrong. Gives the pause until the next attempt.
    fn failed(&mut self, trouble: Trouble) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let (text, drift) = match trouble {
            Trouble::Source(SourceError::Schema { changes }) => {
                (SourceError::Schema { changes: changes.clone() }.to_string(), changes)
            }
            Trouble::Source(error) => (chain(&error), Vec::new()),
            Trouble::Agent(text) => (text, Vec::new()),
        };
        let is_news = self.failures == 1 || self.failures.is_power_of_two();
        if is_news {
            tracing::error!(source = %self.config.source, error = text, attempts = self.failures, "the POS could not be read");
        }
        let now = (self.desk.clocks.wall)();
        self.desk.board.change(self.desk.place, |health| {
            health.state = if drift.is_empty() { SourceState::Failing } else { SourceState::SchemaChanged };
            health.errors += 1;
            health.last_error = Some((now, text));
            health.drift = drift;
        });
        let doubled = self.config.poll_every.saturating_mul(1 << self.failures.min(10));
        jittered(doubled.min(BACK_OFF_MAX))
    }
}

fn refused(error: &RecordError) -> Trouble {
    Trouble::Agent(format!("what was read was not recorded: {error}"))
}

/// Between half of it and all of it, so that many sources of one server don't knock together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random numbers the pause is merely regular.
    let _ = getrandom::fill(&mut byte);
    pause.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
}

/// All that differ, for recording; and the first of them, for people.
fn compare(figures: &[Figure], on_hand: &OnHand) -> (Vec<Figure>, Vec<Difference>) {
    let ours = |item: &ItemKey| match item {
        ItemKey::Sku(sku) => on_hand.by_sku.get(sku.as_str()).copied(),
        ItemKey::Gtin(gtin) => {
            let by_sku = || on_hand.by_sku.get(gtin.to_string().as_str()).copied();
            on_hand.by_gtin.get(&gtin.number()).copied().or_else(by_sku)
        }
    };
    let different: Vec<Figure> = figures
        .iter()
        .filter(|figure| ours(&figure.item).unwrap_or(0) != figure.thousandths)
        .cloned()
        .collect();
    let shown = different.iter().take(DIFFERENCES_MAX).map(|figure| Difference {
        item: item_text(&figure.item),
        pos: figure.thousandths,
        agent: ours(&figure.item).unwrap_or(0),
    });
    let shown = shown.collect();
    (different, shown)
}
