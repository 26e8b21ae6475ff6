//! The seam between a POS of whatever kind and the core: documents plus the cursor that is committed with them.
//!
//! A source does blocking I/O on a thread of its own (`runner`). It remembers nothing that a restart may not cost: where it goes
//! on is told to it each time, as the core has it.

use crate::agent::{ItemKey, SetAside, SourceDocument};
use crate::inbox::sources::LogStanding;
use std::error::Error;
use std::path::PathBuf;

/// A POS that can be read.
pub trait PosSource: Send {
    /// Connects, and shows what the newest rows would become. Records nothing.
    fn check(&mut self) -> Result<Checkup, SourceError>;

    /// Takes the POS's tables as they are now for the ones the mapping was made for. Gives their names.
    fn accept(&mut self) -> Result<Vec<String>, SourceError>;

    /// What has come since `from`, the cursor as the core has it.
    fn read(&mut self, from: Option<&[u8]>) -> Result<Reading, SourceError>;

    /// The core has taken the last reading.
    fn taken(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    /// How the database's log is followed; `None` where the settings ask for none, or there is none.
    fn log(&self) -> Option<LogStanding> {
        None
    }

    /// What the POS itself says is there, if everything up to that moment has been read; `None` while rows wait, or when it
    /// doesn't say.
    fn figures(&mut self, from: &[u8]) -> Result<Option<Vec<Figure>>, SourceError>;

    /// A document for each figure that is to be recorded as it stands.
    fn figure_documents(&self, base: &str, figures: &[Figure]) -> Vec<SourceDocument>;
}

/// One go of reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    pub documents: Vec<SourceDocument>,
    pub set_aside: Vec<SetAside>,
    /// Where the next go begins, once this one is recorded. `None`: nothing has come and nothing has moved.
    pub cursor: Option<Vec<u8>>,
    /// There is nothing more to read now.
    pub is_all: bool,
    pub notes: Notes,
}

/// What is worth knowing about a go beside its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    pub card_numbers: u64,
    pub rounded: u64,
    pub gaps_given_up: u64,
    pub gaps_open: u64,
    /// Rows whose recorded movement was corrected, because the POS has changed or deleted them.
    pub corrected: u64,
    /// Rows that read otherwise now and move the same.
    pub redated: u64,
    /// Rows that had been passed, differed from what was remembered, and were named by the database's log.
    pub by_log: u64,
}

/// How much of an item the POS says is there, in thousandths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    pub item: ItemKey,
    pub thousandths: i64,
}

/// What a look at a source found.
#[derive(Debug, Clone, Default)]
pub struct Checkup {
    /// The newest rows as movements, ten at most.
    pub movements: Vec<MovementShown>,
    /// Items and figures, ten at most.
    pub on_hand: Vec<(String, String)>,
    pub tables: Vec<String>,
    /// What is wrong, each with what to do about it.
    pub problems: Vec<String>,
    /// How many rows the look went over, and how many of them are left out by the mapping.
    pub rows: usize,
    pub left_out: usize,
}

/// A movement as a person reads it.
#[derive(Debug, Clone)]
pub struct MovementShown {
    pub reference: String,
    pub kind: &'static str,
    pub item: String,
    pub quantity: String,
    pub at: String,
    pub reason: String,
}

/// Why a source can't be read now.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot open the POS database {path}; is the path right, and may the agent's user read it?", path = path.display())]
    Open { path: PathBuf, source: std::io::Error },
    #[error("cannot reach the POS database at {to}; is it running, and may this user come in from here?")]
    Connect { to: String, source: Box<dyn Error + Send + Sync> },
    #[error("cannot read the password file {path}; may the agent's user read it?", path = path.display())]
    Password { path: PathBuf, source: std::io::Error },
    #[error("everybody may read the password file {path}; allow it to the agent's user alone (chmod 600)", path = path.display())]
    PasswordShown { path: PathBuf },
    #[error("the connection to the POS database was lost")]
    Lost,
    #[error(
        "the folder {path} could not be {doing}; is the path right, and may the agent's user read and write there?",
        path = path.display()
    )]
    Folder { path: PathBuf, doing: &'static str, source: std::io::Error },
    #[error("the POS database could not be read ({what})")]
    Database { what: &'static str, source: Box<dyn Error + Send + Sync> },
    #[error("`{select}` gives no column `{column}`; name it with `AS {column}`")]
    Column { select: &'static str, column: &'static str },
    #[error("the tables of the POS have changed: {}; look with `store-agent pos check`, then `store-agent pos accept`", changes.join("; "))]
    Schema { changes: Vec<String> },
    #[error("the file {path} of this source can't be used", path = path.display())]
    Sidecar { path: PathBuf, source: rusqlite::Error },
    #[error(
        "what is remembered of the POS's rows could not be read; if its file is damaged, remove it: it is made anew"
    )]
    Memory { source: rusqlite::Error },
    #[error(
        "the cursor `{found}` was not written by this kind of source; has its mapping changed from one way of reading to another? Put that back, or give the source another name"
    )]
    Cursor { found: String },
}

/// An error with everything that caused it, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
