//! The seam under [`SqlSource`](super::SqlSource): what each make of database does its own way.
//!
//! **Invariants:** nothing behind it writes to the POS's database or keeps a transaction open between two looks; a row is bounded as
//! it is read, whatever it holds; an error leaves it so that [`PosDatabase::connect`] mends what can be mended.

use crate::config::pos::Mapping;
use crate::inbox::sources::LogStanding;
use crate::pos::mapping::Row;
use crate::pos::sidecar::Tables;
use crate::pos::source::SourceError;
use std::error::Error;
use sync_protocol::Ticks;

/// The SELECTs of a mapping, and what their rows must have.
#[derive(Debug, Clone)]
pub struct Selects {
    pub changes: Option<String>,
    pub on_hand: Option<String>,
    pub wants_location: bool,
}

impl Selects {
    #[must_use]
    pub fn of(mapping: &Mapping) -> Selects {
        Selects {
            changes: mapping.changes.clone(),
            on_hand: mapping.on_hand.clone(),
            wants_location: mapping.location.is_some(),
        }
    }

    /// All that there are.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        [&self.changes, &self.on_hand].into_iter().flatten().map(String::as_str)
    }
}

/// Whether a database is the one that was open before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    Again,
    /// For the first time, or after it was replaced or lost: what was known of its bell and its tables is void.
    Anew,
}

/// What a database's log has said since it was last asked. It only makes haste: what it does not say is found by the rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Rows of the ledger that were written, changed or deleted. A row may be named a moment before a look can see what became of it.
    pub keys: Vec<i64>,
    /// Rows of the ledger have changed that are not named.
    pub is_more: bool,
}

/// A database of a POS, opened when it is needed.
pub trait PosDatabase: Send {
    /// Makes sure that it is open, anew where it was replaced or lost.
    fn connect(&mut self) -> Result<Met, SourceError>;

    /// Looks after the log: opens it, or opens it again some time after it broke, without waiting for it. Asked at every go, so it
    /// costs nothing while all is well. `None`: the settings ask for no log, or there is none.
    fn tend_log(&mut self, _now: Ticks) -> Option<LogStanding> {
        None
    }

    /// What the log has said. It can't fail: a log that breaks says nothing more, and `tend_log` why.
    fn heard(&mut self) -> Heard {
        Heard::default()
    }

    /// Tries the log, for somebody who waits for the answer: why it can't be followed, where the settings ask for it.
    fn check_log(&mut self) -> Option<String> {
        None
    }

    /// Asked at every go, before anything else is.
    ///
    /// A number that changes whenever somebody else may have committed something. `None`: it has no such bell, so look.
    fn bell(&mut self) -> Result<Option<i64>, SourceError>;

    /// A number that changes with the tables; cheap, as it is asked for at every go.
    fn schema_mark(&mut self) -> Result<i64, SourceError>;

    /// The tables and views that the SELECTs use, each with a text that says how it is made.
    fn tables(&mut self) -> Result<Tables, SourceError>;

    /// Whatever `look` asks is answered of one moment; nothing is held afterwards.
    fn at_once<T>(
        &mut self,
        look: impl FnOnce(&mut dyn Look) -> Result<T, SourceError>,
    ) -> Result<T, SourceError>
    where
        Self: Sized;
}

/// What can be asked of one moment. Only rows whose key is a whole number above 0 count as rows of a growing key.
pub trait Look {
    /// All rows of `on_hand`; none where the mapping has no such SELECT.
    fn figures(&mut self) -> Result<Vec<Row>, SourceError>;

    /// The highest keys, `most` of them, in ascending order.
    fn newest_keys(&mut self, most: usize) -> Result<Vec<i64>, SourceError>;

    /// The first `most` rows from key `first` to key `last`, both included, in ascending order.
    fn rows_between(&mut self, first: i64, last: i64, most: usize) -> Result<Vec<Row>, SourceError>;

    /// The rows with the highest keys, `most` of them, in ascending order.
    fn newest_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError>;

    /// How many rows have a key that can't be followed; counts to `most`.
    fn odd_keys(&mut self, most: usize) -> Result<u64, SourceError>;

    // Where keys are texts.

    /// How many rows have a key that is no text; counts to `most`. A database that takes any key for a text has none.
    fn odd_texts(&mut self, _most: usize) -> Result<u64, SourceError> {
        Ok(0)
    }

    /// The rows that happened first, `most` of them, the first before the others; of those that have a time.
    fn first_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError>;

    /// The rows that happened last, `most` of them, the last before the others.
    fn last_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError>;

    /// The first `most` rows behind this key, or from the first key, in the database's own order of keys.
    fn rows_after(&mut self, after: Option<&str>, most: usize) -> Result<Vec<Row>, SourceError>;

    /// The rows that have these keys.
    fn rows_of(&mut self, keys: &[String]) -> Result<Vec<Row>, SourceError>;
}

/// An error of the database's client while it did `what`.
pub fn failed<E: Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> SourceError {
    move |source| SourceError::Database { what, source: Box::new(source) }
}
