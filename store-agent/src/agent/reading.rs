//! What the reader of a POS brings: documents, what it could not map, and how far it has read, all in one transaction.
//!
//! **Invariants:** the cursor moves with the documents or not at all; it moves only from where the reader began, so that a
//! reading that was overtaken (by the hub's hand-over to a new disk, say) counts for nothing; a row that the ledger refuses is
//! set aside and stops nothing.

use super::document::{Document, RecordError, Recorded};
use super::quarantine::POS_ROW;
use super::recording::{self, Stop};
use super::{Answer, Output, Ticket, Work};
use crate::store::ledger;
use sync_protocol::limits::CURSOR_BYTES_MAX;
use sync_protocol::record::Kind;
use sync_protocol::{SourceId, UnixMillis};

/// How many reasons an answer repeats; all of them are in quarantine.
const REASONS_MAX: usize = 10;

/// One piece of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReading {
    pub source: SourceId,
    /// The cursor that the reading began at. `None`: there was none.
    pub from: Option<Vec<u8>>,
    pub read_at: UnixMillis,
    pub documents: Vec<SourceDocument>,
    pub set_aside: Vec<SetAside>,
    pub cursor: Vec<u8>,
}

/// A document and the row it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDocument {
    pub document: Document,
    /// The row as JSON, kept should the ledger refuse the document.
    pub row: String,
    /// The POS's own figure of what is there, which nobody has looked at a shelf for.
    pub is_figure: bool,
}

/// A row that could not be mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    pub reason: String,
    pub row: String,
}

/// What became of a reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadingTaken {
    /// Kind of each document that is new in the ledger.
    pub recorded: Vec<Kind>,
    pub duplicates: u64,
    /// Same reference, other content: the POS has changed a row that was recorded.
    pub conflicts: u64,
    /// Refused by the ledger for another reason.
    pub refused: u64,
    /// Could not be mapped.
    pub set_aside: u64,
    /// Why, for the first of those that are in quarantine now.
    pub reasons: Vec<String>,
}

impl Work<'_> {
    pub(super) fn reading(&mut self, ticket: Ticket, reading: &SourceReading) -> rusqlite::Result<()> {
        let answer = match self.take_reading(reading) {
            Ok(taken) => Ok(taken),
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::Disk(error)) => return Err(error),
        };
        self.outputs.push(Output::Answer { ticket, answer: Answer::Read(answer) });
        Ok(())
    }

    fn take_reading(&mut self, reading: &SourceReading) -> Result<ReadingTaken, Stop> {
        recording::may_report(&reading.source)?;
        if reading.cursor.len() > CURSOR_BYTES_MAX {
            let reason = format!("longer than the {CURSOR_BYTES_MAX} bytes allowed");
            return Err(recording::invalid("cursor", reason));
        }
        let source = self.mind.inventory.source_row(self.db, &reading.source)?;
        let held = self.mind.inventory.cursor(source).map(|record| record.value);
        if held != reading.from {
            return Err(recording::invalid("cursor", "has moved since this was read; read again"));
        }
        let mut taken = ReadingTaken::default();
        for of in &reading.documents {
            self.take_document(of, reading.read_at, &mut taken)?;
        }
        for row in &reading.set_aside {
            taken.set_aside += 1;
            self.set_row_aside(&reading.source, &row.reason, &row.row, &mut taken)?;
        }
        if reading.from.as_deref() != Some(reading.cursor.as_slice()) {
            self.mind.inventory.save_cursor(self.db, source, &reading.cursor)?;
        }
        Ok(taken)
    }

    fn take_document(
        &mut self,
        of: &SourceDocument,
        read_at: UnixMillis,
        taken: &mut ReadingTaken,
    ) -> Result<(), Stop> {
        let Document { source, reference, kind, .. } = &of.document;
        match recording::record_read(self.db, self.mind, &of.document, of.is_figure, read_at, self.now.wall) {
            Ok(Recorded::New { .. }) => taken.recorded.push(*kind),
            Ok(Recorded::Duplicate { .. }) => taken.duplicates += 1,
            Err(Stop::Refused(error @ RecordError::Conflict { .. })) => {
                taken.conflicts += 1;
                let reason = format!(
                    "`{reference}` was recorded before and reads otherwise now: the POS has changed the row; {error}"
                );
                self.set_row_aside(source, &reason, &of.row, taken)?;
            }
            Err(Stop::Refused(error)) => {
                taken.refused += 1;
                self.set_row_aside(source, &format!("`{reference}`: {error}"), &of.row, taken)?;
            }
            Err(disk) => return Err(disk),
        }
        Ok(())
    }

    fn set_row_aside(
        &mut self,
        source: &SourceId,
        reason: &str,
        row: &str,
        taken: &mut ReadingTaken,
    ) -> rusqlite::Result<()> {
        self.counters.quarantined += 1;
        if taken.reasons.len() < REASONS_MAX {
            taken.reasons.push(reason.to_owned());
        }
        let reason = format!("source `{source}`: {reason}");
        ledger::add_quarantine(self.db, self.now.wall, POS_ROW, &reason, row.as_bytes())
    }
}
