//! Taking over pickup orders with an epoch: the hub's copy of both halves, and what only this disk knows of them.
//!
//! An order that was handed over counts as handed over, whoever knows it: the hub's copy by its half, this disk by its own. A
//! handover whose document went down with the old disk is booked again, so that the figures don't show goods that have left.

use super::adopt::empty;
use super::{Mind, pickup};
use crate::store::ledger;
use crate::store::orders::{self, OrderRow};
use rusqlite::{Connection, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use sync_protocol::frame::Handover;
use sync_protocol::order::{OrderId, Proof, Stage, StoreOrder};
use sync_protocol::record::{HistoryDocument, HistoryLine, Kind};
use sync_protocol::stock::Cell;
use sync_protocol::{Epoch, ItemNo, Position, Quantity, Reference, Seq, UnixMillis};

/// How many changes of an order are looked back on for its documents; honest stores make a few dozen.
const REVISIONS_MAX: u32 = 1_000;

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

    /// Documents of handovers, and of handovers taken back, that neither the hub's history nor this disk has.
    ///
    /// An order's documents bring its goods out and back in turn, and history keeps their order: how many are there says
    /// whether the goods are out by the figures. `foreign` are those that come with the hand-over.
    pub(super) fn missing_pickups(
        &self,
        db: &Connection,
        mind: &mut Mind,
        foreign: &[&HistoryDocument],
        is_known: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<HistoryDocument>> {
        let source = mind.inventory.source_row(db, &pickup::source())?;
        let ours = foreign.iter().filter(|document| document.source.as_str() == pickup::SOURCE);
        let in_history: HashSet<&str> = ours.map(|document| document.reference.as_str()).collect();
        let is_there = |reference: &Reference| -> Result<bool> {
            Ok(in_history.contains(reference.as_str())
                || is_known(pickup::SOURCE, reference.as_str())
                || ledger::find_document(db, source, reference.as_str())?.is_some())
        };
        let mut missing = Vec::new();
        for row in self.rows.values().filter(|row| row.store.progress.iter().any(|line| line.fulfilled > 0)) {
            let last = row.store.revision;
            let mut turns = 0;
            for revision in last.saturating_sub(REVISIONS_MAX)..last {
                turns += u32::from(is_there(&pickup::reference(row.order, revision, Kind::Pickup))?);
            }
            let reference = pickup::reference(row.order, last, Kind::Pickup);
            let is_last_there = is_there(&reference)?;
            turns += u32::from(is_last_there);
            // What a till rang up, the till will tell again.
            let is_gone = row.store.stage == Stage::HandedOver && row.store.proof != Some(Proof::Till);
            if is_last_there || is_gone != turns.is_multiple_of(2) {
                continue;
            }
            missing.push(self.document(row, reference, is_gone));
        }
        Ok(missing)
    }

    fn document(&self, row: &OrderRow, reference: Reference, is_gone: bool) -> HistoryDocument {
        let picked = row.store.progress.iter().filter(|line| line.picked > Quantity::ZERO);
        let line = |item, picked: Quantity| {
            let out = if is_gone { picked.thousandths() } else { -picked.thousandths() };
            let (quantity, effect) = (Quantity::from_thousandths(out), Quantity::from_thousandths(-out));
            HistoryLine { item, quantity, effect }
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
