//! What is replicated: records with one writer each.
//!
//! The store's agent writes items, the store halves of stock cells, POS cursors and the movements of its ledger; the hub
//! writes the hub halves. Order halves stand beside the stock halves: a section of their own in each direction's batches,
//! with the same marks. So do notes, which both ends write to each other.

use crate::ids::{Gtin, ItemNo, Position, Reference, Sku, SourceId};
use crate::numbered::numbered;
use crate::order::{HubOrder, OrderId, StoreOrder};
use crate::quantity::Quantity;
use crate::stock::{HubHalf, StoreHalf};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// What kind of event moved stock. The numbers are the ones on the wire and on disk; they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Kind {
    Sale = 1,
    Return = 2,
    Receipt = 3,
    Adjustment = 4,
    Count = 5,
    Waste = 6,
    TransferOut = 7,
    TransferIn = 8,
    /// Handed over to the shopper of a pickup order; with a negative quantity, taken back.
    Pickup = 9,
}

numbered!(Kind { Sale, Return, Receipt, Adjustment, Count, Waste, TransferOut, TransferIn, Pickup });

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sale => "sale",
            Kind::Return => "return",
            Kind::Receipt => "receipt",
            Kind::Adjustment => "adjustment",
            Kind::Count => "count",
            Kind::Waste => "waste",
            Kind::TransferOut => "transfer_out",
            Kind::TransferIn => "transfer_in",
            Kind::Pickup => "pickup",
        }
    }

    /// What a line of `quantity` does to on hand. `None` for a count: its effect depends on the ledger.
    #[must_use]
    pub fn effect(self, quantity: Quantity) -> Option<Quantity> {
        let thousandths = quantity.thousandths();
        let effect = match self {
            Kind::Sale | Kind::Waste | Kind::TransferOut | Kind::Pickup => -thousandths,
            Kind::Return | Kind::Receipt | Kind::Adjustment | Kind::TransferIn => thousandths,
            Kind::Count => return None,
        };
        Some(Quantity::from_thousandths(effect))
    }
}

/// An item as a store knows it. `unnamed`: first seen at a till, nobody has named it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRecord {
    pub item: ItemNo,
    pub sku: Sku,
    pub gtins: Vec<Gtin>,
    pub name: String,
    pub unit: String,
    pub unnamed: bool,
}

/// How far a POS source has been read; the bytes mean something to that source only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRecord {
    pub source: SourceId,
    pub value: Vec<u8>,
}

/// The store's half of one item's cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStock {
    pub item: ItemNo,
    pub half: StoreHalf,
}

/// The hub's half of one item's cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubStock {
    pub item: ItemNo,
    pub half: HubHalf,
}

/// The store's half of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOrderRecord {
    pub order: OrderId,
    pub half: StoreOrder,
}

/// The hub's half of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOrderRecord {
    pub order: OrderId,
    pub half: HubOrder,
}

/// A text that one side keeps for the other: the latest under its topic and key is the one that counts. An empty text counts as
/// none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub topic: Topic,
    /// Which one of its topic: the item's number where it is about one, otherwise 0.
    pub key: u32,
    pub text: String,
}

/// What a note is about. The numbers are the ones on the wire and on disk; they never change. One that this build does not know is
/// kept all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub u8);

impl Topic {
    /// The hub's: how the store takes part in pickup, and what it is called.
    pub const SETTINGS: Topic = Topic(1);
    /// The hub's, by item: head office wants it counted.
    pub const COUNT_WISH: Topic = Topic(2);
    /// The store's, by item: it is to be counted, or has been.
    pub const COUNT_TASK: Topic = Topic(3);
    /// The store's: it takes no new pickup orders for a while.
    pub const PAUSE: Topic = Topic(4);
    /// The store's, by source: how far the movement that is followed from it has come.
    pub const CANARY: Topic = Topic(5);
}

/// One document of the ledger with its lines, at positions `first_position` and on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryDocument {
    pub first_position: Position,
    pub source: SourceId,
    pub reference: Reference,
    pub kind: Kind,
    pub reason: Option<String>,
    pub occurred_at: UnixMillis,
    pub recorded_at: UnixMillis,
    /// Hash of everything the source sent, so that one reference with two contents is noticed.
    pub content: u32,
    pub lines: Vec<HistoryLine>,
}

impl HistoryDocument {
    /// The position of its last line; a document has at least one.
    #[must_use]
    pub fn last_position(&self) -> Position {
        Position(self.first_position.0 + (self.lines.len() as u64).saturating_sub(1))
    }
}

/// One line: what was reported and what it did to on hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLine {
    pub item: ItemNo,
    pub quantity: Quantity,
    pub effect: Quantity,
}

/// A document somebody else's incarnation recorded: enough to answer a till that sends it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownDocument {
    pub key: [u8; 16],
    pub content: u32,
    pub first_position: Position,
    pub lines: u32,
}

/// The key of "exactly once": XXH3-128 of source, a zero byte and reference. Neither text can hold a zero byte.
#[must_use]
pub fn document_key(source: &SourceId, reference: &Reference) -> [u8; 16] {
    let mut hasher = twox_hash::XxHash3_128::new();
    hasher.write(source.as_str().as_bytes());
    hasher.write(&[0]);
    hasher.write(reference.as_str().as_bytes());
    hasher.finish_128().to_le_bytes()
}

/// Something that arrived and could not be understood; the rest of what came with it went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub what: &'static str,
    pub reason: String,
    pub bytes: Vec<u8>,
}
