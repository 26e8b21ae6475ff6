//! What reaches the agent from a source and what it answers: already parsed, not yet judged against the ledger.

use sync_protocol::order::OrderId;
use sync_protocol::record::Kind;
use sync_protocol::{Gtin, Position, Quantity, Reference, Sku, SourceId, TraceId, UnixMillis};

/// Names an item the way a till does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ItemKey {
    Sku(Sku),
    Gtin(Gtin),
}

/// One line of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub item: ItemKey,
    pub quantity: Quantity,
}

/// When the shelf was counted: the moment on the counter's clock, or the ledger position shown to the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    At(UnixMillis),
    Position(Position),
}

/// What a source reports in one piece: a basket, a delivery note, a count sheet. Recorded whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub source: SourceId,
    pub reference: Reference,
    pub kind: Kind,
    pub reason: Option<String>,
    pub occurred_at: UnixMillis,
    /// Only for `Kind::Count`, and required there.
    pub counted: Option<Counted>,
    /// How far the source has been read with this document; committed with it.
    pub cursor: Option<Vec<u8>>,
    pub lines: Vec<Line>,
    /// The pickup order that this sale hands over.
    pub order: Option<OrderId>,
    /// Set when the till's request carried a sampled `traceparent`.
    pub trace: Option<TraceId>,
}

/// A document is in the ledger, durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    New { positions: Vec<Position> },
    Duplicate { positions: Vec<Position> },
}

/// Why a document or item was not taken. Nothing of it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error(
        "source `{source_id}` already reported `{reference}` with other content; give the new document a reference of its own"
    )]
    Conflict { source_id: String, reference: String },
    #[error("{field}: {reason}")]
    Invalid { field: String, reason: String },
    #[error("the store's disk did not take the change ({reason}); nothing was recorded, send it again")]
    Storage { reason: String, disk_full: bool },
}

/// An item as the shop's master data names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemEntry {
    pub sku: Sku,
    pub gtins: Vec<Gtin>,
    pub name: String,
    pub unit: String,
}

/// What became of an item entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemPut {
    Created,
    Changed,
    Unchanged,
}
