//! What the hub's core publishes to the index, and the few figures of it that are kept.

use sync_protocol::{Gtin, ItemNo, Quantity, Sku, StoreId, UnixMillis};

/// A store as the operator entered it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreInfo {
    pub id: StoreId,
    pub name: String,
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// An IANA time zone name.
    pub timezone: String,
}

/// All figures of a stock cell, as the escrow derives them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub on_hand: Quantity,
    pub claim: Quantity,
    pub open: Quantity,
    pub free: Quantity,
    pub shortfall: Quantity,
}

/// One committed change.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// A store was added or changed. Comes before anything else about the store.
    Store(StoreInfo),
    /// The store was heard from, or its link came or went.
    Contact {
        store: StoreId,
        /// When the last frame came.
        at: UnixMillis,
        /// The store's numbers were complete as of then; 0 until they have been complete once.
        as_of: UnixMillis,
        link_up: bool,
        /// `false` while the hub itself was restored from a backup and this store has not been joined since: then
        /// nothing of it is offered.
        trusted: bool,
    },
    /// What a store's item number means. A cell that comes before its item waits for it; figures go with the number
    /// should it ever mean another item.
    Item { store: StoreId, item: ItemNo, sku: Sku, gtins: Vec<Gtin>, name: String },
    /// New figures of a cell. `feed` starts at 1 and only grows, from one publishing to the next and over restarts.
    Cell { store: StoreId, item: ItemNo, figures: Figures, feed: u64 },
}

/// What the index keeps of [`Figures`]; the rest follows from these three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    pub on_hand: Quantity,
    /// Promised to orders and not yet handed over.
    pub open: Quantity,
    /// What may still be promised.
    pub free: Quantity,
}

impl Level {
    /// Set aside for the web at the store: `free + open`.
    #[must_use]
    pub fn claim(&self) -> Quantity {
        Quantity::from_thousandths(self.free.thousandths().saturating_add(self.open.thousandths()))
    }

    /// How much of the claim the shelf can't cover.
    #[must_use]
    pub fn shortfall(&self) -> Quantity {
        let on_shelf = self.on_hand.thousandths().max(0);
        Quantity::from_thousandths(self.claim().thousandths().saturating_sub(on_shelf).max(0))
    }
}

impl From<Figures> for Level {
    fn from(figures: Figures) -> Level {
        Level { on_hand: figures.on_hand, open: figures.open, free: figures.free }
    }
}
