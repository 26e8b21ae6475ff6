//! The orders of one store, and how the hub's promises follow them.
//!
//! **Invariant** per item, once all that the store has said is taken: `promised − released` = what orders stand for (handed over
//! and still due) + what is held without an order. Placing an order raises both sides at once. Where an order's store half
//! says that less will be handed over, the difference is released (H3), but only when the store's figures are complete:
//! until then a recall of units that nobody found may still be on its way. Where a handover was taken back, the units are promised
//! anew for the same order as soon as they are free, before anybody else can have them.

use super::{Down, StoreLedger};
use crate::orders::workload::{Share, Workload};
use crate::storage::StoredOrder;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::digest::order_bucket;
use sync_protocol::order::{HubOrder, Line, OrderId, ShortReason, StoreOrder};
use sync_protocol::record::{HubOrderRecord, StoreOrderRecord};
use sync_protocol::stock::{Cell, EscrowError};
use sync_protocol::{ItemNo, Quantity, Seq};

#[derive(Debug, Default)]
pub(super) struct Book {
    orders: BTreeMap<OrderId, StoredOrder>,
    /// What the orders of an item stand for together, in thousandths.
    backed: BTreeMap<ItemNo, u64>,
    /// Items whose promises may not fit what they stand for.
    unsettled: BTreeSet<ItemNo>,
    workload: Workload,
    workload_moved: bool,
}

impl Book {
    pub(super) fn of(&self, orders: &BTreeSet<OrderId>) -> Vec<StoredOrder> {
        orders.iter().filter_map(|order| self.orders.get(order).cloned()).collect()
    }

    pub(super) fn hub_record(&self, order: OrderId) -> Option<HubOrderRecord> {
        self.orders.get(&order)?.hub_record()
    }

    /// Puts an order in the place of the one there was.
    fn put(&mut self, order: StoredOrder) {
        let was = self.orders.get(&order.order).map(share);
        self.workload.change(was, share(&order));
        self.workload_moved = true;
        let before = self.orders.get(&order.order).map(StoredOrder::backed).unwrap_or_default();
        for (item, units) in before {
            let backed = self.backed.entry(item).or_default();
            *backed = backed.saturating_sub(units);
            self.unsettled.insert(item);
        }
        for (item, units) in order.backed() {
            let backed = self.backed.entry(item).or_default();
            *backed = backed.saturating_add(units);
            self.unsettled.insert(item);
        }
        self.orders.insert(order.order, order);
    }
}

impl StoreLedger {
    /// At the start: everything storage has.
    pub(super) fn take_stored(&mut self, orders: Vec<StoredOrder>) {
        for order in orders {
            if let Some(record) = order.store_record() {
                self.up.add(&record);
            }
            if let Some(record) = order.hub_record() {
                self.down.add(&record);
            }
            if order.down_seq > Seq(0) {
                self.down_pending.insert(order.down_seq, Down::Order(order.order));
            }
            self.book.put(order);
        }
        let unsettled: Vec<ItemNo> =
            self.cells().map(|(item, _)| item).filter(|item| self.is_unsettled(*item)).collect();
        self.book.unsettled = unsettled.into_iter().collect();
    }

    pub(in crate::hub) fn order(&self, order: OrderId) -> Option<&StoredOrder> {
        self.book.orders.get(&order)
    }

    pub(in crate::hub) fn orders(&self) -> impl Iterator<Item = &StoredOrder> {
        self.book.orders.values()
    }

    /// What the store has to do for its orders.
    pub(in crate::hub) fn workload(&self) -> &Workload {
        &self.book.workload
    }

    /// Whether it has more or less to do since this was asked last.
    pub(in crate::hub) fn take_workload_moved(&mut self) -> bool {
        std::mem::take(&mut self.book.workload_moved)
    }

    // What the hub does.

    /// Why an order can't be promised here; `Ok` where all its lines are free.
    pub(in crate::hub) fn can_promise(&self, lines: &[Line]) -> Result<(), EscrowError> {
        for Line { item, quantity: asked } in lines {
            let free = self.cell(*item).map_or(Quantity::ZERO, |stored| stored.cell.free());
            if *asked > free {
                return Err(EscrowError::NotFree { asked: *asked, free });
            }
        }
        Ok(())
    }

    /// H1 for all lines, or for none.
    pub(in crate::hub) fn place_order(
        &mut self,
        order: OrderId,
        part_of: OrderId,
        half: HubOrder,
    ) -> Result<(), EscrowError> {
        self.can_promise(&half.lines)?;
        for Line { item, quantity } in half.lines.clone() {
            self.raise_hub_half(item, |cell| cell.promise(quantity))?;
        }
        self.put_order(StoredOrder { order, part_of, hub: Some(half), store: None, down_seq: Seq(0) }, true);
        Ok(())
    }

    /// Changes the hub's half of an order; false where there is none.
    pub(in crate::hub) fn change_order(
        &mut self,
        order: OrderId,
        change: impl FnOnce(&mut HubOrder),
    ) -> bool {
        let Some(mut changed) = self.book.orders.get(&order).cloned() else { return false };
        let Some(hub) = &mut changed.hub else { return false };
        change(hub);
        hub.revision += 1;
        self.put_order(changed, true);
        true
    }

    /// A restored hub is told what it had written of an order.
    pub(in crate::hub) fn join_hub_order(&mut self, record: &HubOrderRecord) {
        let mut joined =
            self.book.orders.get(&record.order).cloned().unwrap_or_else(|| forgotten(record.order));
        let changed = match &mut joined.hub {
            Some(hub) if hub.revision == record.half.revision && *hub != record.half => {
                // Before it was found out, the hub went on from an older copy and gave the same number out again. Both wishes stand, under
                // a number of their own.
                hub.cancel = hub.cancel.or(record.half.cancel);
                hub.closed |= record.half.closed;
                hub.revision += 1;
                true
            }
            Some(hub) => hub.join(&record.half),
            None => {
                joined.hub = Some(record.half.clone());
                true
            }
        };
        if changed {
            self.put_order(joined, true);
        }
    }

    /// Takes what the store says of an order; gives it out where that is news.
    pub(in crate::hub) fn join_store_order(&mut self, record: &StoreOrderRecord) -> Option<&StoredOrder> {
        let mut joined =
            self.book.orders.get(&record.order).cloned().unwrap_or_else(|| forgotten(record.order));
        let changed = match &mut joined.store {
            Some(store) => store.join(&record.half),
            None => {
                joined.store = Some(record.half.clone());
                true
            }
        };
        if !changed {
            return None;
        }
        self.put_order(joined, false);
        self.book.orders.get(&record.order)
    }

    /// `for_store`: the hub's half has changed, so the store is to hear of it.
    fn put_order(&mut self, mut order: StoredOrder, for_store: bool) {
        if let Some(before) = self.book.orders.get(&order.order) {
            if let Some(record) = before.store_record() {
                self.up.remove(&record);
            }
            if let Some(record) = before.hub_record() {
                self.down.remove(&record);
            }
        }
        if for_store {
            self.down_pending.remove(&order.down_seq);
            self.facts.down_head = self.facts.down_head.next();
            self.changed.facts = true;
            order.down_seq = self.facts.down_head;
            self.down_pending.insert(order.down_seq, Down::Order(order.order));
        }
        if let Some(record) = order.store_record() {
            self.up.add(&record);
        }
        if let Some(record) = order.hub_record() {
            self.down.add(&record);
        }
        self.changed.orders.insert(order.order);
        self.book.put(order);
    }

    /// Numbers the hub's halves of the orders in these digest buckets anew, so that they are sent again.
    pub(super) fn restamp_orders(&mut self, buckets: &[u8]) {
        let wanted = |order: &OrderId| {
            u8::try_from(order_bucket(*order)).is_ok_and(|bucket| buckets.binary_search(&bucket).is_ok())
        };
        let orders: Vec<OrderId> = self.book.orders.keys().copied().filter(wanted).collect();
        for order in orders {
            if let Some(order) = self.book.orders.get(&order).filter(|order| order.hub.is_some()).cloned() {
                self.put_order(order, true);
            }
        }
    }

    // What promises stand for.

    /// Holds units without an order, or gives them up again.
    pub(in crate::hub) fn hold(&mut self, item: ItemNo, change: impl FnOnce(u64) -> u64) {
        if let Some(stored) = self.cells.get_mut(super::index(item)).and_then(Option::as_mut) {
            stored.held = change(stored.held);
            self.book.unsettled.insert(item);
            self.touch(item);
        }
    }

    /// What was held is free for whoever is served in this same step, and for no recall.
    pub(in crate::hub) fn lend(&mut self, item: ItemNo, quantity: Quantity) -> Result<(), EscrowError> {
        self.raise_without_recalls(item, |cell| cell.release(quantity))?;
        self.hold(item, |held| held.saturating_sub(quantity.thousandths().unsigned_abs()));
        Ok(())
    }

    /// Gives the store back what it recalls, as far as that is free.
    pub(in crate::hub) fn honour_recall(&mut self, item: ItemNo) {
        let honoured = self.raise_hub_half(item, |_| Ok::<_, EscrowError>(()));
        debug_assert!(honoured.is_ok(), "nothing was asked for");
    }

    /// A hub that was restored has forgotten the orders behind some promises, and that others were given up. What is promised beyond
    /// the orders it knows by now is held without one: that offers less, never too much.
    pub(super) fn hold_forgotten(&mut self) {
        let held: Vec<(ItemNo, u64)> = self
            .cells()
            .map(|(item, stored)| {
                let backed = self.book.backed.get(&item).copied().unwrap_or(0);
                (item, used(&stored.cell).saturating_sub(backed), stored.held)
            })
            .filter(|(_, now, before)| now != before)
            .map(|(item, now, _)| (item, now))
            .collect();
        for (item, held) in held {
            self.hold(item, |_| held);
        }
    }

    /// What the promises of an item should come to.
    pub(super) fn meant(&self, item: ItemNo) -> u64 {
        let held = self.cell(item).map_or(0, |stored| stored.held);
        self.book.backed.get(&item).copied().unwrap_or(0).saturating_add(held)
    }

    fn is_unsettled(&self, item: ItemNo) -> bool {
        self.cell(item).is_some_and(|stored| used(&stored.cell) != self.meant(item))
    }

    /// Makes promises fit what they stand for, as far as that can be done now. Says whether the hub's halves have moved.
    pub(in crate::hub) fn settle(&mut self) -> bool {
        let before = self.facts.down_head;
        if self.facts.trusted {
            for item in std::mem::take(&mut self.book.unsettled) {
                self.settle_item(item);
                if self.is_unsettled(item) {
                    self.book.unsettled.insert(item);
                }
            }
        }
        self.facts.down_head > before
    }

    fn settle_item(&mut self, item: ItemNo) {
        let Some(stored) = self.cell(item) else { return };
        let (used, meant) = (used(&stored.cell), self.meant(item));
        let change = |cell: &mut Cell| {
            if used > meant {
                let q = quantity(used - meant).min(cell.open());
                if q > Quantity::ZERO { cell.release(q) } else { Ok(()) }
            } else {
                promise_lacking(cell, meant);
                Ok(())
            }
        };
        if used == meant || (used > meant && !self.is_complete()) {
            return;
        }
        let settled = self.raise_hub_half(item, change);
        debug_assert!(settled.is_ok(), "bounded by what is there: {settled:?}");
    }
}

/// Promises what is lacking of what is meant, as far as it is free.
pub(super) fn promise_lacking(cell: &mut Cell, meant: u64) {
    let q = quantity(meant.saturating_sub(used(cell))).min(cell.free());
    if q > Quantity::ZERO {
        let promised = cell.promise(q);
        debug_assert!(promised.is_ok(), "bounded by what is free: {promised:?}");
    }
}

fn forgotten(order: OrderId) -> StoredOrder {
    StoredOrder { order, part_of: order, hub: None, store: None::<StoreOrder>, down_seq: Seq(0) }
}

fn share(order: &StoredOrder) -> Share {
    let progress = order.store.iter().flat_map(|store| &store.progress);
    let (mut lines, mut not_found) = (0, 0);
    for line in progress {
        lines += 1;
        not_found += u32::from(line.why == Some(ShortReason::NotFound));
    }
    let placed_at = order.hub.as_ref().map(|hub| hub.placed_at);
    Share { placed_at, is_open: !order.status().is_final(), lines, not_found }
}

/// What promises of a cell come to, in thousandths.
fn used(cell: &Cell) -> u64 {
    cell.hub.promised.saturating_sub(cell.hub.released)
}

fn quantity(thousandths: u64) -> Quantity {
    Quantity::from_thousandths(i64::try_from(thousandths).unwrap_or(i64::MAX))
}
