//! Taking over pickup orders with an epoch: the hub's copy of both halves, and what only this disk knows of them.
//!
//! An order that was handed over counts as handed over, whoever knows it: the hub's copy by its half, this disk by its own. A
//! handover whose document went down with the old disk is booked again, so that the figures don't show goods that have left.

use super::adopt::empty;
use super::{Mind, pickup};
use crate::store::ledger;
use crate::store::orders::{self, OrderRow};
use rusqlite::{Connection, Result};
use std::collections::{BTreeMap, HashMap};
use sync_protocol::frame::Handover;
use sync_protocol::order::{Act, OrderId, Proof, Stage, StoreOrder};
use sync_protocol::record::{HistoryDocument, HistoryLine, Kind};
use sync_protocol::stock::Cell;
use sync_protocol::{Epoch, ItemNo, Position, Quantity, Reference, Seq, UnixMillis};

/// All orders of the new epoch.
pub(super) struct Book {
    granted: Epoch,
    now: UnixMillis,
    rows: BTreeMap<OrderId, OrderRow>,
}

impl Book {
    /// As the hub has them.
    pub(super) fn handed_over(parts: &[Handover], granted: Epoch, now: UnixMillis) -> Book {
        let mut rows = BTreeMap::new();
        for record in parts.iter().flat_map(|part| &part.hub_orders) {
            let store = StoreOrder::received(granted, &record.half.lines, now);
            let row = OrderRow { order: record.order, hub: Some(record.half.clone()), store, seq: Seq(0) };
            rows.insert(record.order, row);
        }
        for record in parts.iter().flat_map(|part| &part.store_orders) {
            let store = StoreOrder { epoch: granted, ..record.half.clone() };
            match rows.get_mut(&record.order) {
                Some(row) => row.store = store,
                None => {
                    let row = OrderRow { order: record.order, hub: None, store, seq: Seq(0) };
                    rows.insert(record.order, row);
                }
            }
        }
        Book { granted, now, rows }
    }

    /// Adds what only this disk knows. `is_restored`: the hub may have forgotten halves of its own.
    pub(super) fn take_own(
        &mut self,
        db: &Connection,
        mind: &Mind,
        numbers: &HashMap<ItemNo, ItemNo>,
        is_restored: bool,
    ) -> Result<()> {
        orders::each_order(db, mind.epoch, |own| {
            let Some(own) = renumbered(own, numbers, self.granted) else { return };
            match self.rows.get_mut(&own.order) {
                None => drop(self.rows.insert(own.order, own)),
                Some(row) => {
                    if let Some(hub) = own.hub.as_ref().filter(|_| is_restored) {
                        match &mut row.hub {
                            Some(known) => drop(known.join(hub)),
                            None => row.hub = Some(hub.clone()),
                        }
                    }
                    if progress(&own.store) > progress(&row.store) {
                        let revision = own.store.revision.max(row.store.revision);
                        row.store = StoreOrder { revision, ..own.store };
                    }
                }
            }
        })
    }

    /// Documents of handovers that neither the hub's history nor this disk has. One that was taken back since may leave its goods out of
    /// the figures until somebody counts: which of the two documents was lost, nobody knows.
    pub(super) fn missing_pickups(
        &self,
        db: &Connection,
        mind: &mut Mind,
        is_known: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<HistoryDocument>> {
        let source = mind.inventory.source_row(db, &pickup::source())?;
        let mut missing = Vec::new();
        for row in self.rows.values() {
            // What a till rang up, the till will tell again.
            if row.store.stage != Stage::HandedOver || row.store.proof == Some(Proof::Till) {
                continue;
            }
            let act = Act::HandOver { proof: Proof::Code };
            let reference = pickup::reference(row.order, &act, &row.store, row.store.since);
            let is_there = is_known(pickup::SOURCE, reference.as_str())
                || ledger::find_document(db, source, reference.as_str())?.is_some();
            if !is_there {
                missing.push(self.document(row, reference));
            }
        }
        Ok(missing)
    }

    fn document(&self, row: &OrderRow, reference: Reference) -> HistoryDocument {
        let picked = row.store.progress.iter().filter(|line| line.picked > Quantity::ZERO);
        let line = |item, picked: Quantity| HistoryLine {
            item,
            quantity: picked,
            effect: Quantity::from_thousandths(-picked.thousandths()),
        };
        HistoryDocument {
            first_position: Position(0),
            source: pickup::source(),
            reference,
            kind: Kind::Pickup,
            reason: None,
            occurred_at: row.store.since,
            recorded_at: self.now,
            content: 0,
            lines: picked.map(|progress| line(progress.item, progress.picked)).collect(),
        }
    }

    /// What the orders say was handed over, the cells say too.
    pub(super) fn raise_fulfilled(&self, cells: &mut HashMap<ItemNo, Cell>, granted: Epoch) {
        let mut fulfilled: HashMap<ItemNo, u64> = HashMap::new();
        for line in self.rows.values().flat_map(|row| &row.store.progress) {
            let total = fulfilled.entry(line.item).or_default();
            *total = total.saturating_add(line.fulfilled);
        }
        for (item, total) in fulfilled {
            let cell = cells.entry(item).or_insert_with(|| empty(granted));
            let lacking = total.saturating_sub(cell.store.fulfilled);
            if lacking == 0 {
                continue;
            }
            let lacking = Quantity::from_thousandths(i64::try_from(lacking).unwrap_or(i64::MAX));
            if let Err(error) = cell.hand_over_promised(lacking) {
                tracing::error!(%item, %error, "a handover could not be booked again while taking over");
            }
        }
    }

    /// Replaces the orders by these, numbered after `seq`.
    pub(super) fn write(self, db: &Connection, mut seq: Seq) -> Result<Seq> {
        orders::forget_orders(db)?;
        for mut row in self.rows.into_values() {
            seq = seq.next();
            row.seq = seq;
            orders::save_order(db, &row)?;
        }
        Ok(seq)
    }
}

/// Of two copies of a store's half the one that has handed over more is right; then the later one.
fn progress(half: &StoreOrder) -> (u64, u32) {
    let fulfilled = half.progress.iter().fold(0_u64, |sum, line| sum.saturating_add(line.fulfilled));
    (fulfilled, half.revision)
}

/// `None`: it names an item that is not there any more.
fn renumbered(mut row: OrderRow, numbers: &HashMap<ItemNo, ItemNo>, granted: Epoch) -> Option<OrderRow> {
    row.store.epoch = granted;
    for line in &mut row.store.progress {
        line.item = *numbers.get(&line.item)?;
    }
    row.store.progress.sort_unstable_by_key(|line| line.item);
    if let Some(hub) = &mut row.hub {
        for line in &mut hub.lines {
            line.item = *numbers.get(&line.item)?;
        }
        hub.lines.sort_unstable_by_key(|line| line.item);
    }
    Some(row)
}
