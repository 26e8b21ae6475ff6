//! The rules by which store and hub raise the fields of a cell (S1–S3 at the store, H1–H3 at the hub).
//!
//! Together they promise: whatever is lost, doubled or reordered between the two, the hub never promises more than the
//! store has granted (`free ≥ 0` at the hub), and what the store has granted is on its shelf as long as its tills sell only
//! the walk-in part, `on hand − claim`.
//!
//! The store's view of the hub half lags, and so does the hub's of the store half. Both lags err on the safe side: a
//! store that has not heard of a return holds its claim for larger than it is, a hub that has not heard of a grant
//! promises less than it could.
//!
//! A refused call changes nothing.

use super::cell::{Cell, StoreHalf, TOTAL_MAX, quantity, term};
use crate::quantity::Quantity;

/// [`TOTAL_MAX`] as people read it.
const TOTAL_BOUND: Quantity = Quantity::from_thousandths(TOTAL_MAX.cast_signed());

/// A count has reached its end: nine million million units through one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stock field `{field}` can't grow by {by}: it would pass its bound of {max}", max = TOTAL_BOUND)]
pub struct TotalExceeded {
    pub field: &'static str,
    pub by: Quantity,
}

/// Why a right was not given or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EscrowError {
    #[error("quantity {asked} is not above zero")]
    NotPositive { asked: Quantity },
    #[error("can't promise {asked}: {free} is free")]
    NotFree { asked: Quantity, free: Quantity },
    #[error("can't release {asked}: {open} is promised and not handed over")]
    NotOpen { asked: Quantity, open: Quantity },
    #[error("can't hand over {asked}: {claim} is set aside for the web")]
    NotClaimed { asked: Quantity, claim: Quantity },
    #[error(transparent)]
    Total(#[from] TotalExceeded),
}

/// What [`Cell::settle`] did; at most one of the two is above zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    pub granted: Quantity,
    pub recalled: Quantity,
}

impl Settled {
    #[must_use]
    pub fn changed(&self) -> bool {
        *self != Settled::default()
    }
}

impl StoreHalf {
    /// Goods come in: `in` grows by `thousandths`.
    ///
    /// # Errors
    /// The total would pass [`TOTAL_MAX`].
    pub fn receive(&mut self, thousandths: u64) -> Result<(), TotalExceeded> {
        raise("in", &mut self.in_, thousandths)
    }

    /// Goods go out: `out` grows by `thousandths`. Never refused for lack of stock: the till has already sold.
    ///
    /// # Errors
    /// The total would pass [`TOTAL_MAX`].
    pub fn issue(&mut self, thousandths: u64) -> Result<(), TotalExceeded> {
        raise("out", &mut self.out, thousandths)
    }
}

/// What the store does.
impl Cell {
    /// A movement of the ledger: a positive `delta` comes in, a negative one goes out.
    ///
    /// # Errors
    /// The total would pass [`TOTAL_MAX`].
    pub fn move_stock(&mut self, delta: Quantity) -> Result<(), TotalExceeded> {
        let size = delta.thousandths().unsigned_abs();
        if delta.is_negative() { self.store.issue(size) } else { self.store.receive(size) }
    }

    /// S1 and S2: grants or recalls so that the claim comes to `target` (see [`target_claim`](super::target_claim)).
    ///
    /// Grants no more than the shelf can honour beside the claim there is. Recalls only ask: the claim goes down once
    /// the hub has returned, so that walk-in customers get nothing the hub may still promise. Below zero, `target`
    /// counts as zero; a count at its bound grants nothing more.
    pub fn settle(&mut self, target: Quantity) -> Settled {
        let target = target.max(Quantity::ZERO).thousandths();
        let store = &self.store;
        let net = term(store.granted) - term(store.recalled) - term(store.fulfilled);
        if net < target {
            let honourable = (self.on_hand().thousandths() - self.claim().thousandths()).max(0);
            let granted = grow(&mut self.store.granted, target.saturating_sub(net).min(honourable));
            return Settled { granted, recalled: Quantity::ZERO };
        }
        let recalled = grow(&mut self.store.recalled, net - target);
        Settled { granted: Quantity::ZERO, recalled }
    }

    /// What the hub has promised or returned had been granted once, so `granted` covers it. Moves nothing while both sides remember
    /// all; a half that starts over from an older copy, or meets a hub that did, has to catch up with what was used. It gives the hub
    /// nothing new to promise: nothing is free afterwards.
    pub fn cover_uses(&mut self) {
        let used = term(self.hub.promised) + term(self.hub.returned) - term(self.hub.released);
        let used = used.clamp(0, TOTAL_MAX.cast_signed());
        self.store.granted = self.store.granted.max(used.unsigned_abs());
    }

    /// S3: `q` of an order goes to its customer. The goods leave the shelf by a movement of their own
    /// ([`move_stock`](Self::move_stock)), in the same transaction.
    ///
    /// The order's promise may not have reached this store yet (a signed pickup code is enough), so the measure is the
    /// claim, which covers every promise the hub can have made.
    ///
    /// # Errors
    /// `q` is not above zero, or above the claim; or the total would pass [`TOTAL_MAX`].
    pub fn hand_over(&mut self, q: Quantity) -> Result<(), EscrowError> {
        let claim = self.claim();
        let size = positive(q)?;
        if q > claim {
            return Err(EscrowError::NotClaimed { asked: q, claim });
        }
        Ok(raise("fulfilled", &mut self.store.fulfilled, size)?)
    }

    /// S3 for an order that the hub has promised: its half or its signature says so. The claim covers it, unless this store runs on
    /// an older copy of itself; then what was granted catches up with what was promised.
    ///
    /// # Errors
    /// `q` is not above zero; or a total would pass [`TOTAL_MAX`].
    pub fn hand_over_promised(&mut self, q: Quantity) -> Result<(), EscrowError> {
        positive(q)?;
        let lacking = (q.thousandths() - self.claim().thousandths()).max(0).unsigned_abs();
        let mut caught_up = *self;
        raise("granted", &mut caught_up.store.granted, lacking)?;
        caught_up.hand_over(q)?;
        *self = caught_up;
        Ok(())
    }

    /// `q` of an order has come back from its shopper, and is granted anew for the same order. The goods return to the shelf by a
    /// movement of their own, in the same transaction.
    ///
    /// # Errors
    /// `q` is not above zero; or the total would pass [`TOTAL_MAX`].
    pub fn take_back(&mut self, q: Quantity) -> Result<(), EscrowError> {
        let size = positive(q)?;
        Ok(raise("granted", &mut self.store.granted, size)?)
    }
}

/// What the hub does.
impl Cell {
    /// H1: promises `q` to an order. Atomic; to be durable before the shopper is told.
    ///
    /// # Errors
    /// `q` is not above zero, or above what is free; or the total would pass [`TOTAL_MAX`].
    pub fn promise(&mut self, q: Quantity) -> Result<(), EscrowError> {
        let free = self.free();
        let size = positive(q)?;
        if q > free {
            return Err(EscrowError::NotFree { asked: q, free });
        }
        Ok(raise("promised", &mut self.hub.promised, size)?)
    }

    /// H2: gives back what the store has recalled, as far as it is not promised; says how much that was. To be called
    /// after every merge and every release.
    pub fn honour_recalls(&mut self) -> Quantity {
        let asked_back = term(self.store.recalled) - term(self.hub.returned);
        let back = asked_back.min(self.free().thousandths());
        grow(&mut self.hub.returned, back.max(0))
    }

    /// H3: a promise of `q` ended without a handover. Only once the store's half of the order says that it will not be
    /// handed over, and that half has been merged: a cell alone can't tell.
    ///
    /// # Errors
    /// `q` is not above zero, or above what is open; or the total would pass [`TOTAL_MAX`].
    pub fn release(&mut self, q: Quantity) -> Result<(), EscrowError> {
        let open = self.open();
        let size = positive(q)?;
        if q > open {
            return Err(EscrowError::NotOpen { asked: q, open });
        }
        Ok(raise("released", &mut self.hub.released, size)?)
    }
}

fn positive(q: Quantity) -> Result<u64, EscrowError> {
    match u64::try_from(q.thousandths()) {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(EscrowError::NotPositive { asked: q }),
    }
}

fn raise(field: &'static str, total: &mut u64, by: u64) -> Result<(), TotalExceeded> {
    match total.checked_add(by).filter(|sum| *sum <= TOTAL_MAX) {
        Some(sum) => *total = sum,
        None => {
            return Err(TotalExceeded { field, by: quantity(i64::try_from(by).unwrap_or(i64::MAX)) });
        }
    }
    Ok(())
}

/// Raises `total` by `by`, or as far as its bound allows, and says by how much.
fn grow(total: &mut u64, by: i64) -> Quantity {
    let room = TOTAL_MAX.saturating_sub(*total).cast_signed();
    let by = by.clamp(0, room);
    *total += by.unsigned_abs();
    quantity(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(units: i64) -> Quantity {
        Quantity::from_units(units)
    }

    /// A cell both sides agree on: so much on the shelf, so much granted, so much promised.
    fn cell(on_hand: i64, granted: i64, promised: i64) -> Cell {
        let mut cell = Cell::default();
        cell.move_stock(q(on_hand)).unwrap();
        assert_eq!(cell.settle(q(granted)).granted, q(granted));
        if promised > 0 {
            cell.promise(q(promised)).unwrap();
        }
        cell
    }

    #[test]
    fn a_sale_below_zero_is_booked_and_shows_as_a_shortfall() {
        let mut cell = cell(5, 4, 3);
        cell.move_stock(q(-7)).unwrap();
        assert_eq!((cell.on_hand(), cell.claim(), cell.shortfall()), (q(-2), q(4), q(4)));
    }

    #[test]
    fn a_store_grants_only_what_its_shelf_can_honour() {
        let mut cell = cell(5, 4, 0);
        assert_eq!(cell.settle(q(9)).granted, q(1));
        assert_eq!(cell.settle(q(9)), Settled::default());
        cell.move_stock(q(-3)).unwrap();
        assert_eq!(cell.settle(q(9)), Settled::default());
        assert_eq!(cell.claim(), q(5), "what is granted stays so until the hub has returned it");
    }

    #[test]
    fn a_recall_frees_nothing_until_the_hub_has_returned_it() {
        let mut store = cell(5, 5, 0);
        let mut hub = store;
        assert_eq!(store.settle(q(2)), Settled { granted: q(0), recalled: q(3) });
        assert_eq!(store.claim(), q(5));
        assert_eq!(store.settle(q(2)), Settled::default(), "asking once is enough");
        hub.join(&store);
        assert_eq!(hub.honour_recalls(), q(3));
        assert_eq!(hub.honour_recalls(), q(0));
        store.join(&hub);
        assert_eq!((store.claim(), hub.free()), (q(2), q(2)));
    }

    #[test]
    fn a_recall_waits_for_what_is_promised() {
        let mut hub = cell(5, 5, 4);
        assert_eq!(hub.settle(q(0)).recalled, q(5));
        assert_eq!((hub.honour_recalls(), hub.free()), (q(1), q(0)));
        hub.release(q(3)).unwrap();
        assert_eq!((hub.honour_recalls(), hub.free(), hub.claim()), (q(3), q(0), q(1)));
        hub.hand_over(q(1)).unwrap();
        assert_eq!((hub.honour_recalls(), hub.claim(), hub.open()), (q(0), q(0), q(0)));
    }

    #[test]
    fn a_target_below_zero_recalls_everything_and_no_more() {
        let mut cell = cell(5, 4, 0);
        assert_eq!(cell.settle(q(-3)).recalled, q(4));
        assert_eq!(cell.settle(Quantity::from_thousandths(i64::MIN)), Settled::default());
        assert_eq!(cell.store.recalled, cell.store.granted);
    }

    #[test]
    fn a_refused_call_says_why_and_changes_nothing() {
        let mut cell = cell(5, 4, 3);
        let before = cell;
        let refusals = [
            cell.promise(q(2)).unwrap_err().to_string(),
            cell.promise(q(0)).unwrap_err().to_string(),
            cell.promise(q(-1)).unwrap_err().to_string(),
            cell.release(q(4)).unwrap_err().to_string(),
            cell.hand_over(q(5)).unwrap_err().to_string(),
        ];
        assert_eq!(
            refusals,
            [
                "can't promise 2: 1 is free",
                "quantity 0 is not above zero",
                "quantity -1 is not above zero",
                "can't release 4: 3 is promised and not handed over",
                "can't hand over 5: 4 is set aside for the web",
            ]
        );
        assert_eq!(cell, before);
    }

    #[test]
    fn an_order_can_be_handed_over_before_its_promise_has_arrived() {
        let mut store = cell(5, 4, 0);
        let mut hub = store;
        hub.promise(q(2)).unwrap();
        store.hand_over(q(2)).unwrap();
        assert_eq!(store.open(), q(-2));
        hub.join(&store);
        assert_eq!((hub.open(), hub.free(), hub.claim()), (q(0), q(2), q(2)));
    }

    #[test]
    fn counts_stop_at_their_bound_and_say_so() {
        let mut cell = Cell::default();
        cell.store.out = TOTAL_MAX - 1000;
        cell.move_stock(q(-1)).unwrap();
        let error = cell.move_stock(Quantity::from_thousandths(-1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stock field `out` can't grow by 0.001: it would pass its bound of 9007199254740.992"
        );
        assert!(cell.move_stock(Quantity::from_thousandths(i64::MIN)).is_err());
        cell.store = StoreHalf {
            in_: TOTAL_MAX,
            granted: TOTAL_MAX - 5,
            recalled: TOTAL_MAX - 5,
            ..StoreHalf::default()
        };
        cell.hub.returned = TOTAL_MAX - 5;
        assert_eq!(cell.settle(q(1)).granted, Quantity::from_thousandths(5));
        assert_eq!(cell.settle(q(1)), Settled::default());
    }
}
