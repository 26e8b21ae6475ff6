//! What the hub keeps, behind a narrow seam: load everything once, then commit whole groups of changes.
//!
//! A commit is atomic and durable when it returns: nothing is acknowledged to a store before. The hub works from memory;
//! storage is read again only at the start, after a failed commit, and for what memory does not hold (item records, history).

#[cfg(test)]
pub mod conformance;
pub mod sqlite;

use crate::availability::StoreInfo;
use crate::orders::pickup_settings::Revised;
use crate::orders::placement::Reroute;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::frame::BootMark;
use sync_protocol::order::{self, HubOrder, OrderId, Status, StoreOrder};
use sync_protocol::record::{HistoryDocument, HubOrderRecord, ItemRecord, Note, StoreOrderRecord};
use sync_protocol::stock::Cell;
use sync_protocol::{Boot, Epoch, ItemNo, Position, Quantity, Seq, Sku, SourceId, StoreId, UnixMillis};

/// Storage's own short name for a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey(pub i64);

/// Why storage did not do what was asked. Nothing of the commit has happened.
#[derive(Debug, thiserror::Error)]
#[error("{act} failed")]
pub struct StorageError {
    pub act: &'static str,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Facts about the hub itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubFacts {
    /// Names this life of the database; a restored one gets a new name.
    pub life: u64,
    /// The last number given out in the change feed.
    pub feed: u64,
}

/// What is remembered of a store beside its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreFacts {
    pub epoch: Epoch,
    pub boots: Vec<BootMark>,
    pub boot_head: Seq,
    pub granted_to: Option<Boot>,
    pub state_mark: Seq,
    pub history_mark: Position,
    pub down_head: Seq,
    /// The last consistent cut: everything up to this position of this epoch is in the figures, and nothing beyond.
    pub cut: (Epoch, Position),
    /// The highest ledger position the store has spoken of, in any epoch.
    pub position_seen: Position,
    pub last_contact: UnixMillis,
    pub as_of: UnixMillis,
    /// Whether promises may be made from this store; false after a restore until its hello has been joined.
    pub trusted: bool,
    /// The life of the hub in which an agent of the store was last welcomed or granted an epoch.
    pub heard_life: u64,
}

/// A cell and its places in the sequences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredCell {
    pub cell: Cell,
    pub down_seq: Seq,
    pub feed: u64,
    /// Promised without an order, in thousandths: reservations, and what a restored hub has forgotten the orders of.
    pub held: u64,
}

/// An order at a store, as the hub has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    pub order: OrderId,
    /// The shopper's order that this is part of.
    pub part_of: OrderId,
    /// `None`: a restored hub has forgotten it.
    pub hub: Option<HubOrder>,
    /// `None`: the store has not said anything yet.
    pub store: Option<StoreOrder>,
    pub down_seq: Seq,
}

impl StoredOrder {
    #[must_use]
    pub fn hub_record(&self) -> Option<HubOrderRecord> {
        self.hub.clone().map(|half| HubOrderRecord { order: self.order, half })
    }

    #[must_use]
    pub fn store_record(&self) -> Option<StoreOrderRecord> {
        self.store.clone().map(|half| StoreOrderRecord { order: self.order, half })
    }

    /// What of each line the hub's promises stand for, in thousandths.
    #[must_use]
    pub fn backed(&self) -> Vec<(ItemNo, u64)> {
        match (&self.store, &self.hub) {
            (Some(store), _) => store.backed().collect(),
            (None, Some(hub)) => hub.backed().collect(),
            (None, None) => Vec::new(),
        }
    }

    #[must_use]
    pub fn status(&self) -> Status {
        order::status(self.hub.as_ref(), self.store.as_ref())
    }
}

/// A note of a store's or of the hub's to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNote {
    pub note: Note,
    pub from_hub: bool,
    /// Of the hub's: its place in what goes down to the store.
    pub down_seq: Seq,
}

/// An order as a shopper placed it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShopOrder {
    pub order: OrderId,
    pub content: ShopOrderContent,
    /// Name, telephone and mail, sealed. Empty once removed.
    pub customer: Vec<u8>,
}

/// What is not personal of a shopper's order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShopOrderContent {
    pub placed_at: i64,
    /// The caller's idempotency key with the caller's name before it, and a fingerprint of the body it came with.
    pub key: String,
    pub fingerprint: String,
    pub payment_reference: Option<String>,
    /// In the order they came to be.
    pub parts: Vec<ShopPart>,
    pub timeline: Vec<Happening>,
    #[serde(default)]
    pub told: Told,
    /// `None`: a restored hub has been told of it by a store, and knows no more.
    #[serde(default)]
    pub wish: Option<ShopWish>,
    /// Since when another store is looked for, for what the stores that had it can't hand over.
    #[serde(default)]
    pub owed_since: Option<i64>,
    /// No other store is looked for any more.
    #[serde(default)]
    pub is_given_up: bool,
    /// Since when nothing more is expected of anybody.
    #[serde(default)]
    pub ended_at: Option<i64>,
    /// When the customer's data was removed.
    #[serde(default)]
    pub erased_at: Option<i64>,
    /// The stores that have confirmed that it is gone there, too.
    #[serde(default)]
    pub receipts: Vec<Receipt>,
}

/// A store's word that it holds nothing of a customer any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub store: String,
    pub order: u64,
    pub at: i64,
}

/// What events have said of an order that its halves alone don't show to have been said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When it came to its end for the first time: unlike `ended_at`, it stays when a handover is taken back.
    pub closed_at: Option<i64>,
    /// By part: how much in all will not be handed over, in thousandths.
    pub short: BTreeMap<u64, i64>,
    /// Parts that their stores did not take on in time.
    #[serde(default)]
    pub not_accepted: BTreeSet<u64>,
    /// Parts that lack goods, and parts whose goods are back on their shelf.
    #[serde(default)]
    pub at_risk: BTreeSet<u64>,
    #[serde(default)]
    pub put_back: BTreeSet<u64>,
}

/// What the shopper ordered, and what may be done when a store can't have it ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShopWish {
    pub lines: Vec<(Sku, Quantity)>,
    pub reroute: Reroute,
    pub may_split: bool,
    /// How far around the first store another one may be; `None` where the shopper named a store.
    pub radius_km: Option<f64>,
}

/// Units kept for a shopper who has not ordered yet. They are promised like an order's, and no store hears of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The caller's idempotency key with the caller's name before it, and a fingerprint of the body it came with.
    pub key: String,
    pub fingerprint: String,
    pub store: StoreId,
    pub made_at: i64,
    pub until: i64,
    pub lines: Vec<ReservedLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedLine {
    pub item: u32,
    pub sku: Sku,
    pub quantity: Quantity,
}

/// A part of a shopper's order: what one store does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShopPart {
    pub store: String,
    pub order: u64,
    /// The store's item numbers, and what they mean.
    pub items: Vec<(u32, String)>,
}

/// One line of an order's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// Milliseconds since 1970, on the clock of whoever did it.
    pub at: i64,
    pub store: String,
    pub order: u64,
    /// How the order stood then.
    pub status: String,
    /// Who at the store; empty for the hub.
    pub by: String,
}

/// Something that has happened to an order, for others to hear of: kept in the commit in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvent {
    /// Given once, also by a hub that was restored.
    pub id: String,
    /// On the clock of whoever did it.
    pub at: UnixMillis,
    /// On the hub's clock.
    pub recorded_at: UnixMillis,
    /// Such as `order.ready`.
    pub kind: String,
    pub order: OrderId,
    /// For the payment service alone, and so not in the body.
    pub payment_reference: Option<String>,
    /// A JSON object. Nothing personal of the shopper is in it.
    pub body: String,
}

/// How long events are kept, in milliseconds: 30 days.
pub const EVENTS_KEPT: u64 = 30 * 24 * 3600 * 1000;
/// Most old events that one commit removes. Only commits with new ones remove any.
pub const EVENTS_PRUNED_MAX: usize = 100;

/// The physical part of a cell as at the cut, where it has moved on since. In thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtCut {
    pub in_: u64,
    pub out: u64,
}

/// A POS cursor, and what it was at the cut where it has moved on since (`Some(None)`: there was none).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredCursor {
    pub value: Vec<u8>,
    pub at_cut: Option<Option<Vec<u8>>>,
}

/// Everything of one store that the hub keeps in memory.
#[derive(Debug, Clone, Default)]
pub struct StoredStore {
    pub facts: StoreFacts,
    pub cells: Vec<(ItemNo, StoredCell)>,
    pub at_cut: BTreeMap<ItemNo, AtCut>,
    pub cursors: BTreeMap<SourceId, StoredCursor>,
    /// By order.
    pub orders: Vec<StoredOrder>,
    pub notes: Vec<StoredNote>,
}

/// A history batch, kept as the frame it came in. One that was sent again may overlap the one before; reading skips what
/// was read already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryChunk {
    pub epoch: Epoch,
    pub upto: Position,
    pub frame: Vec<u8>,
}

/// Most quarantined records kept for one store; beyond it the oldest go.
pub const QUARANTINE_MAX: usize = 10_000;

/// Something that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub at: UnixMillis,
    pub what: String,
    pub reason: String,
    pub bytes: Vec<u8>,
}

/// How long decisions are kept, in milliseconds, and most old ones that are removed with one commit.
pub const DECISIONS_KEPT: u64 = 90 * 24 * 3600 * 1000;
pub const DECISIONS_PRUNED_MAX: u32 = 100;

/// Why an order went where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDecision {
    pub order: OrderId,
    pub at: UnixMillis,
    /// JSON.
    pub record: String,
}

/// One store's part of a commit.
#[derive(Debug, Clone, Default)]
pub struct StoreChanges {
    pub facts: Option<StoreFacts>,
    pub items: Vec<ItemRecord>,
    pub cells: Vec<(ItemNo, StoredCell)>,
    pub cursors: Vec<(SourceId, StoredCursor)>,
    pub forget_cursors: bool,
    /// Forget all earlier values as at the cut (a new cut has been made) before adding these.
    pub forget_at_cut: bool,
    pub at_cut: Vec<(ItemNo, AtCut)>,
    pub history: Vec<HistoryChunk>,
    pub quarantine: Vec<Quarantined>,
    pub orders: Vec<StoredOrder>,
    /// A store's own with an empty text is gone.
    pub notes: Vec<StoredNote>,
}

/// One atomic commit.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub hub: Option<HubFacts>,
    pub stores: BTreeMap<StoreKey, StoreChanges>,
    pub shop_orders: Vec<ShopOrder>,
    /// In the order in which they happened.
    pub events: Vec<OrderEvent>,
    /// No store twice. Each must be the revision after the one that is there, or the whole commit fails: somebody else has
    /// changed it meanwhile.
    pub pickup_settings: Vec<(StoreKey, Revised)>,
    /// Why orders went where they went, as JSON.
    pub decisions: Vec<KeptDecision>,
    /// `None`: it has ended.
    pub reservations: Vec<(OrderId, Option<Reservation>)>,
}

impl Changes {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hub.is_none()
            && self.stores.is_empty()
            && self.shop_orders.is_empty()
            && self.pickup_settings.is_empty()
            && self.reservations.is_empty()
            && self.events.is_empty()
            && self.decisions.is_empty()
    }
}

/// Where the hub keeps things.
pub trait Storage: Send {
    /// The hub's own facts; `fresh_life` is taken where there are none yet.
    ///
    /// # Errors
    /// Storage can't be read or written.
    fn hub(&mut self, fresh_life: u64) -> Result<HubFacts, StorageError>;

    /// Every store that has been added.
    ///
    /// # Errors
    /// Storage can't be read.
    fn stores(&mut self) -> Result<Vec<(StoreKey, StoreInfo)>, StorageError>;

    /// Adds a store, or changes what is said of it.
    ///
    /// # Errors
    /// Storage can't be written.
    fn put_store(&mut self, store: &StoreInfo) -> Result<StoreKey, StorageError>;

    /// What memory holds of one store.
    ///
    /// # Errors
    /// Storage can't be read.
    fn load(&mut self, store: StoreKey) -> Result<StoredStore, StorageError>;

    /// Every item record of one store, by item.
    ///
    /// # Errors
    /// Storage can't be read.
    fn items(&mut self, store: StoreKey) -> Result<Vec<ItemRecord>, StorageError>;

    /// One item record.
    ///
    /// # Errors
    /// Storage can't be read.
    fn item(&mut self, store: StoreKey, item: ItemNo) -> Result<Option<ItemRecord>, StorageError>;

    /// The item of a store with this sku.
    ///
    /// # Errors
    /// Storage can't be read.
    fn item_of_sku(&mut self, store: StoreKey, sku: &Sku) -> Result<Option<ItemNo>, StorageError>;

    /// Every document of one store's history, epoch by epoch, in order.
    ///
    /// # Errors
    /// Storage can't be read.
    fn history(
        &mut self,
        store: StoreKey,
        each: &mut dyn FnMut(Epoch, HistoryDocument),
    ) -> Result<(), StorageError>;

    /// Makes all of it durable, or none.
    ///
    /// # Errors
    /// Storage did not take it; nothing of it has happened.
    fn commit(&mut self, changes: &Changes) -> Result<(), StorageError>;

    /// Every order as shoppers placed them.
    ///
    /// # Errors
    /// Storage can't be read.
    fn shop_orders(&mut self) -> Result<Vec<ShopOrder>, StorageError>;

    /// The pickup settings of every store that somebody has entered any for.
    ///
    /// # Errors
    /// Storage can't be read.
    fn pickup_settings(&mut self) -> Result<Vec<(StoreKey, Revised)>, StorageError>;
    /// Every reservation that has not ended.
    ///
    /// # Errors
    /// Storage can't be read.
    fn reservations(&mut self) -> Result<Vec<(OrderId, Reservation)>, StorageError>;

    /// How many records are quarantined, and since when the oldest.
    ///
    /// # Errors
    /// Storage can't be read.
    fn quarantined(&mut self) -> Result<(u64, Option<UnixMillis>), StorageError>;
}
