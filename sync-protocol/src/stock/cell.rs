//! The two halves of a stock cell, how they join, and the figures derived from them.
//!
//! Every field is a cumulative count in thousandths that only grows and has one writer. Joining takes the larger value of
//! each field, so that halves may be lost, doubled and reordered on their way without harm. A store half also carries the
//! epoch of the agent incarnation that wrote it: of two epochs the higher one wins *whole*, because what two incarnations
//! counted independently must never be mixed.
//!
//! Joining and deriving allocate nothing and can't overflow or panic, whatever the fields hold.

use crate::ids::Epoch;
use crate::quantity::Quantity;
use crdts::{CmRDT, CvRDT};
use std::cmp::Ordering;

/// The largest value of a field, in thousandths: nine million million units. Derived figures add up at most four fields.
pub const TOTAL_MAX: u64 = 1 << 53;

// Four fields at their bound still fit an `i64`.
const _: () = assert!(TOTAL_MAX <= i64::MAX as u64 / 4);

/// The store's half of a cell, written by the store's agent in its current epoch. All fields but `epoch` in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct StoreHalf {
    /// The agent incarnation that wrote this half.
    pub epoch: Epoch,
    /// Everything that ever came in: receipts, returns, counts above the book.
    pub in_: u64,
    /// Everything that ever went out: sales, waste, pickups, counts below the book.
    pub out: u64,
    /// Everything ever set aside for the web.
    pub granted: u64,
    /// Everything the store ever asked to have back. The hub answers by raising `returned`.
    pub recalled: u64,
    /// Everything ever handed over to pickup customers.
    pub fulfilled: u64,
}

/// The hub's half of a cell. All fields in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct HubHalf {
    /// Everything ever promised to orders.
    pub promised: u64,
    /// Promises that ended without a handover.
    pub released: u64,
    /// Everything given back to the store's walk-in customers.
    pub returned: u64,
}

/// What is known of one item in one store. Each side writes its own half and keeps the newest it has seen of the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Cell {
    pub store: StoreHalf,
    pub hub: HubHalf,
}

/// A half that no honest writer produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stock field `{field}` is {found} thousandths, more than the {max} allowed", max = TOTAL_MAX)]
pub struct InvalidHalf {
    pub field: &'static str,
    pub found: u64,
}

impl StoreHalf {
    /// Takes over what `other` knows more; true if that changed anything. The higher epoch wins whole; within one epoch,
    /// the larger value of each field.
    pub fn join(&mut self, other: &StoreHalf) -> bool {
        let joined = match self.epoch.cmp(&other.epoch) {
            Ordering::Greater => return false,
            Ordering::Less => *other,
            Ordering::Equal => self.larger_fields(other),
        };
        let changed = joined != *self;
        *self = joined;
        changed
    }

    /// To be asked of every half that comes from outside.
    ///
    /// # Errors
    /// A field above [`TOTAL_MAX`].
    pub fn validate(&self) -> Result<(), InvalidHalf> {
        within_total("in", self.in_)?;
        within_total("out", self.out)?;
        within_total("granted", self.granted)?;
        within_total("recalled", self.recalled)?;
        within_total("fulfilled", self.fulfilled)
    }

    fn larger_fields(&self, other: &StoreHalf) -> StoreHalf {
        StoreHalf {
            epoch: self.epoch,
            in_: self.in_.max(other.in_),
            out: self.out.max(other.out),
            granted: self.granted.max(other.granted),
            recalled: self.recalled.max(other.recalled),
            fulfilled: self.fulfilled.max(other.fulfilled),
        }
    }
}

impl HubHalf {
    /// Takes over what `other` knows more; true if that changed anything.
    pub fn join(&mut self, other: &HubHalf) -> bool {
        let joined = HubHalf {
            promised: self.promised.max(other.promised),
            released: self.released.max(other.released),
            returned: self.returned.max(other.returned),
        };
        let changed = joined != *self;
        *self = joined;
        changed
    }

    /// To be asked of every half that comes from outside.
    ///
    /// # Errors
    /// A field above [`TOTAL_MAX`].
    pub fn validate(&self) -> Result<(), InvalidHalf> {
        within_total("promised", self.promised)?;
        within_total("released", self.released)?;
        within_total("returned", self.returned)
    }
}

impl Cell {
    /// Joins both halves; true if that changed anything.
    pub fn join(&mut self, other: &Cell) -> bool {
        let store_changed = self.store.join(&other.store);
        let hub_changed = self.hub.join(&other.hub);
        store_changed || hub_changed
    }

    /// # Errors
    /// A field above [`TOTAL_MAX`].
    pub fn validate(&self) -> Result<(), InvalidHalf> {
        self.store.validate()?;
        self.hub.validate()
    }

    /// `in − out`: what the books say is in the store. Below zero when a till sold what the books don't know.
    #[must_use]
    pub fn on_hand(&self) -> Quantity {
        quantity(term(self.store.in_) - term(self.store.out))
    }

    /// `granted − returned − fulfilled`: set aside for the web, seen from the store. Always [`free`](Self::free) +
    /// [`open`](Self::open).
    #[must_use]
    pub fn claim(&self) -> Quantity {
        quantity(term(self.store.granted) - term(self.hub.returned) - term(self.store.fulfilled))
    }

    /// `promised − released − fulfilled`: promised to orders that are not yet handed over. Below zero for a while at a
    /// store that handed over an order whose promise has not reached it yet.
    #[must_use]
    pub fn open(&self) -> Quantity {
        quantity(term(self.hub.promised) - term(self.hub.released) - term(self.store.fulfilled))
    }

    /// `granted − returned − promised + released`: what the hub may still promise. Never below zero at the hub; a store
    /// that lags behind the hub's promises, or has returned to an old disk, may see it so.
    #[must_use]
    pub fn free(&self) -> Quantity {
        let promised = term(self.hub.promised) - term(self.hub.released);
        quantity(term(self.store.granted) - term(self.hub.returned) - promised)
    }

    /// `max(0, open − max(0, on hand))`: how much more is promised to orders than there is.
    #[must_use]
    pub fn lacking(&self) -> Quantity {
        let there = self.on_hand().max(Quantity::ZERO);
        quantity(self.open().thousandths() - there.thousandths()).max(Quantity::ZERO)
    }

    /// `max(0, claim − max(0, on hand))`: by how much the store can't honour its claim. Above zero is a breach.
    #[must_use]
    pub fn shortfall(&self) -> Quantity {
        let there = self.on_hand().max(Quantity::ZERO);
        quantity(self.claim().thousandths() - there.thousandths()).max(Quantity::ZERO)
    }
}

fn within_total(field: &'static str, found: u64) -> Result<(), InvalidHalf> {
    if found > TOTAL_MAX { Err(InvalidHalf { field, found }) } else { Ok(()) }
}

/// A field as a term of a derived figure. A half that was never validated counts as full rather than overflowing.
pub(super) fn term(total: u64) -> i64 {
    total.min(TOTAL_MAX).cast_signed()
}

pub(super) fn quantity(thousandths: i64) -> Quantity {
    Quantity::from_thousandths(thousandths)
}

/// The counts of a store half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreField {
    In,
    Out,
    Granted,
    Recalled,
    Fulfilled,
}

/// "In `epoch`, `field` has reached `to` thousandths." A half is the join of its operations: in a new epoch every field
/// starts at zero until an operation of that epoch raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreOp {
    pub epoch: Epoch,
    pub field: StoreField,
    pub to: u64,
}

impl StoreOp {
    /// The smallest half that knows of this operation.
    fn as_half(self) -> StoreHalf {
        let mut half = StoreHalf { epoch: self.epoch, ..StoreHalf::default() };
        match self.field {
            StoreField::In => half.in_ = self.to,
            StoreField::Out => half.out = self.to,
            StoreField::Granted => half.granted = self.to,
            StoreField::Recalled => half.recalled = self.to,
            StoreField::Fulfilled => half.fulfilled = self.to,
        }
        half
    }
}

/// The counts of a hub half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HubField {
    Promised,
    Released,
    Returned,
}

/// "`field` has reached `to` thousandths."
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HubOp {
    pub field: HubField,
    pub to: u64,
}

impl HubOp {
    fn as_half(self) -> HubHalf {
        let mut half = HubHalf::default();
        match self.field {
            HubField::Promised => half.promised = self.to,
            HubField::Released => half.released = self.to,
            HubField::Returned => half.returned = self.to,
        }
        half
    }
}

impl CvRDT for StoreHalf {
    type Validation = InvalidHalf;

    fn validate_merge(&self, other: &Self) -> Result<(), InvalidHalf> {
        other.validate()
    }

    fn merge(&mut self, other: Self) {
        self.join(&other);
    }
}

impl CmRDT for StoreHalf {
    type Op = StoreOp;
    type Validation = InvalidHalf;

    fn validate_op(&self, op: &StoreOp) -> Result<(), InvalidHalf> {
        op.as_half().validate()
    }

    fn apply(&mut self, op: StoreOp) {
        self.join(&op.as_half());
    }
}

impl CvRDT for HubHalf {
    type Validation = InvalidHalf;

    fn validate_merge(&self, other: &Self) -> Result<(), InvalidHalf> {
        other.validate()
    }

    fn merge(&mut self, other: Self) {
        self.join(&other);
    }
}

impl CmRDT for HubHalf {
    type Op = HubOp;
    type Validation = InvalidHalf;

    fn validate_op(&self, op: &HubOp) -> Result<(), InvalidHalf> {
        op.as_half().validate()
    }

    fn apply(&mut self, op: HubOp) {
        self.join(&op.as_half());
    }
}

impl CvRDT for Cell {
    type Validation = InvalidHalf;

    fn validate_merge(&self, other: &Self) -> Result<(), InvalidHalf> {
        other.validate()
    }

    fn merge(&mut self, other: Self) {
        self.join(&other);
    }
}
