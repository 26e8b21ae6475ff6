//! How each POS source is, kept by its thread and shown by the API: the core knows nothing of it.

use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use sync_protocol::UnixMillis;

/// Whether a source is being read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Nothing has been read yet.
    #[default]
    Starting,
    /// A first import must not cross the hub's hand-over; the hub has not been heard yet.
    WaitingForHub,
    /// Read up to its end, or on the way there.
    Reading,
    /// The last attempt failed and is being repeated.
    Failing,
    /// The tables of the POS have changed; somebody has to look, then `store-agent pos accept`.
    SchemaChanged,
}

/// How the log of a POS's database is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogStanding {
    /// It is being opened. Until then changes are polled for.
    Opening,
    Followed,
    /// Changes are polled for: why, and what to do about it. It is tried again from time to time.
    Refused(String),
}

/// The health of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceHealth {
    pub name: String,
    pub kind: &'static str,
    pub state: SourceState,
    /// When it was last read without an error.
    pub last_read: Option<UnixMillis>,
    /// When the newest recorded row happened, by the POS's clock, and when it was recorded.
    pub last_row: Option<UnixMillis>,
    pub last_recorded: Option<UnixMillis>,
    /// There is more to read than one go takes.
    pub is_behind: bool,
    pub last_error: Option<(UnixMillis, String)>,
    /// What is different about the tables, while the state is `SchemaChanged`.
    pub drift: Vec<String>,
    // Since the start.
    pub recorded: u64,
    pub duplicates: u64,
    pub conflicts: u64,
    /// In quarantine: could not be mapped, or refused by the ledger. Conflicts are counted apart.
    pub set_aside: u64,
    pub last_set_aside: Option<String>,
    /// Rows with what looks like a card number; of these nothing is kept.
    pub card_numbers: u64,
    /// Quantities that were further than a millionth from a thousandth.
    pub rounded: u64,
    /// Keys that never showed up within the patience.
    pub gaps_given_up: u64,
    /// Rows that the POS has changed or deleted after they were recorded, and whose movement was corrected; and those that merely read
    /// otherwise.
    pub corrected: u64,
    pub redated: u64,
    /// How the database's log is followed, where the settings ask for it; and how many old rows it has named that differed.
    pub log: Option<LogStanding>,
    pub by_log: u64,
    /// Keys that are waited for.
    pub gaps_open: u64,
    pub errors: u64,
    /// Of a POS that sends: deliveries whose signature did not fit, topics that are not taken, figures that were older than what is known.
    pub refused_signatures: u64,
    pub not_taken: u64,
    pub stale: u64,
    pub cursor: Option<String>,
    pub differences: Option<Differences>,
}

/// Where the POS's own figures and the agent's on hand are not the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    pub compared_at: UnixMillis,
    /// Items compared.
    pub items: u64,
    pub differing: Vec<Difference>,
    /// They were recorded as counts, because the settings say that the POS is right.
    pub applied: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub item: String,
    /// In thousandths.
    pub pos: i64,
    pub agent: i64,
}

/// All sources, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct SourceBoard {
    entries: Arc<Mutex<Vec<SourceHealth>>>,
}

impl SourceBoard {
    /// A board with one entry for each (name, kind).
    #[must_use]
    pub fn new(sources: &[(String, &'static str)]) -> SourceBoard {
        let entry = |(name, kind): &(String, &'static str)| SourceHealth {
            name: name.clone(),
            kind,
            ..SourceHealth::default()
        };
        SourceBoard { entries: Arc::new(Mutex::new(sources.iter().map(entry).collect())) }
    }

    /// Changes what is known of the source at `at`.
    pub fn change(&self, at: usize, change: impl FnOnce(&mut SourceHealth)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(at) {
            change(entry);
        }
    }

    #[must_use]
    pub fn all(&self) -> Vec<SourceHealth> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
