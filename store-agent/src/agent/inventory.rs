//! What the core keeps in memory: every item's cell, what of it the hub has not confirmed yet, and the digests.
//!
//! It mirrors the database: after a failed commit it is thrown away and loaded again. One transaction's changes are collected
//! (`touched`) and written once at its end, so fifty sales of one item in one commit are one row and one record.
//!
//! **Invariant:** `pending` holds exactly the records whose `change_seq` is above the hub's mark, each under its latest one.

use super::document::Counted;
use crate::store::ledger::{self, StockRow};
use crate::store::notes::{self, Writer};
use crate::store::orders::{self, Doubt, OrderRow};
use rusqlite::{Connection, Result};
use std::collections::{BTreeMap, HashMap};
use sync_protocol::digest::{Digest, note_bucket, order_bucket};
use sync_protocol::order::OrderId;
use sync_protocol::record::{CursorRecord, HubStock, ItemRecord, Note, StoreStock, Topic};
use sync_protocol::stock::{
    Cell, HubHalf, ReservePolicy, SalesRate, StoreHalf, target_claim, walk_in_reserve,
};
use sync_protocol::{Epoch, Gtin, ItemNo, Position, Quantity, Seq, Sku, SourceId, UnixMillis};

/// What a pending record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Item(ItemNo),
    Stock(ItemNo),
    Cursor(i64),
    Order(OrderId),
    Note(Topic, u32),
}

/// One item in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) cell: Cell,
    doubt: Doubt,
    rate: SalesRate,
    stock_seq: Seq,
    item_seq: Seq,
}

impl Slot {
    fn new(epoch: Epoch) -> Slot {
        let mut slot = Slot::default();
        slot.cell.store.epoch = epoch;
        slot
    }
}

/// A POS source and how far it has been read.
#[derive(Debug, Clone)]
struct Source {
    name: SourceId,
    cursor: Option<(Vec<u8>, Seq)>,
}

/// Halves as they were before the current transaction touched them.
#[derive(Debug, Clone, Copy)]
struct Before {
    store: StoreHalf,
    hub: HubHalf,
    rate: SalesRate,
}

#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// Every cell is of this epoch.
    epoch: Epoch,
    /// Slot of item `n` at `n − 1`; numbers are given out without gaps.
    slots: Vec<Option<Slot>>,
    by_sku: HashMap<Sku, ItemNo>,
    by_gtin: HashMap<Gtin, ItemNo>,
    sources: BTreeMap<i64, Source>,
    source_rows: HashMap<SourceId, i64>,
    pub(super) change_seq: Seq,
    pending: BTreeMap<Seq, Key>,
    touched: BTreeMap<ItemNo, Before>,
    pub(super) up: Digest,
    pub(super) down: Digest,
    /// Raised with every order that is saved.
    pub(super) orders_changed: u64,
}

impl Inventory {
    /// Reads everything from the database.
    pub(super) fn load(db: &Connection, epoch: Epoch, change_seq: Seq, acked: Seq) -> Result<Inventory> {
        let mut inventory =
            Inventory { epoch, change_seq, orders_changed: change_seq.0, ..Inventory::default() };
        ledger::each_item(db, |record, seq| inventory.place_item(&record, seq))?;
        ledger::each_stock(db, epoch, |row| inventory.place_stock(&row))?;
        for (row, name) in ledger::sources(db)? {
            inventory.place_source(row, &name);
        }
        for (row, value, seq) in ledger::cursors(db)? {
            inventory.place_cursor(row, value, seq);
        }
        orders::each_order(db, epoch, |row| inventory.place_order(&row))?;
        notes::each_note(db, |writer, note, _| inventory.place_note(writer, &note))?;
        for (item, doubt) in orders::doubts(db)? {
            inventory.slot_mut(item).doubt = doubt;
        }
        inventory.collect_pending(db, acked)?;
        Ok(inventory)
    }

    fn place_item(&mut self, record: &ItemRecord, seq: Seq) {
        let item = record.item;
        self.by_sku.insert(record.sku.clone(), item);
        for gtin in &record.gtins {
            self.by_gtin.insert(*gtin, item);
        }
        self.up.add(record);
        self.slot_mut(item).item_seq = seq;
    }

    fn place_stock(&mut self, row: &StockRow) {
        self.up.add(&StoreStock { item: row.item, half: row.cell.store });
        self.down.add(&HubStock { item: row.item, half: row.cell.hub });
        let slot = self.slot_mut(row.item);
        slot.cell = row.cell;
        slot.rate = row.rate;
        slot.stock_seq = row.seq;
    }

    fn place_source(&mut self, row: i64, name: &str) {
        if let Ok(name) = name.parse::<SourceId>() {
            self.source_rows.insert(name.clone(), row);
            self.sources.insert(row, Source { name, cursor: None });
        }
    }

    fn place_cursor(&mut self, row: i64, value: Vec<u8>, seq: Seq) {
        if let Some(source) = self.sources.get_mut(&row) {
            self.up.add(&CursorRecord { source: source.name.clone(), value: value.clone() });
            source.cursor = Some((value, seq));
        }
    }

    fn place_order(&mut self, row: &OrderRow) {
        self.up.add(&row.store_record());
        if let Some(record) = row.hub_record() {
            self.down.add(&record);
        }
    }

    fn place_note(&mut self, writer: Writer, note: &Note) {
        match writer {
            Writer::Store => self.up.add(note),
            Writer::Hub => self.down.add(note),
        }
    }

    fn slot_mut(&mut self, item: ItemNo) -> &mut Slot {
        let at = index(item);
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
        }
        let epoch = self.epoch;
        self.slots[at].get_or_insert_with(|| Slot::new(epoch))
    }

    pub(super) fn slot(&self, item: ItemNo) -> Option<&Slot> {
        self.slots.get(index(item))?.as_ref()
    }

    fn slots(&self) -> impl Iterator<Item = (ItemNo, &Slot)> {
        (1u32..).map(ItemNo).zip(&self.slots).filter_map(|(item, slot)| Some((item, slot.as_ref()?)))
    }

    pub(super) fn items(&self) -> usize {
        self.by_sku.len()
    }

    // Finding items and sources.

    pub(super) fn by_sku(&self, sku: &Sku) -> Option<ItemNo> {
        self.by_sku.get(sku).copied()
    }

    pub(super) fn by_gtin(&self, gtin: Gtin) -> Option<ItemNo> {
        self.by_gtin.get(&gtin).copied()
    }

    /// The row of a source, made when it is new.
    pub(super) fn source_row(&mut self, db: &Connection, name: &SourceId) -> Result<i64> {
        if let Some(row) = self.source_rows.get(name) {
            return Ok(*row);
        }
        let row = ledger::add_source(db, name.as_str())?;
        self.place_source(row, name.as_str());
        Ok(row)
    }

    // Changing, within one transaction.

    fn next_seq(&mut self) -> Seq {
        self.change_seq = self.change_seq.next();
        self.change_seq
    }

    /// Writes an item record over the one it had before, and makes it known to the hub.
    pub(super) fn save_item(
        &mut self,
        db: &Connection,
        before: &ItemRecord,
        record: &ItemRecord,
    ) -> Result<()> {
        let seq = self.next_seq();
        ledger::save_item(db, record, seq)?;
        self.up.remove(before);
        for gtin in &before.gtins {
            self.by_gtin.remove(gtin);
        }
        let item_seq = self.slot_mut(record.item).item_seq;
        self.pending.remove(&item_seq);
        self.place_item(record, seq);
        self.pending.insert(seq, Key::Item(record.item));
        Ok(())
    }

    /// Writes the record of a new item.
    pub(super) fn add_item(&mut self, db: &Connection, record: &ItemRecord) -> Result<()> {
        let seq = self.next_seq();
        ledger::save_item(db, record, seq)?;
        self.place_item(record, seq);
        self.touch(record.item);
        self.pending.insert(seq, Key::Item(record.item));
        Ok(())
    }

    /// The cell of `item`, to be changed; it is settled and written at the end of the transaction.
    pub(super) fn touch(&mut self, item: ItemNo) -> &mut Slot {
        let slot = self.slot_mut(item);
        let before = Before { store: slot.cell.store, hub: slot.cell.hub, rate: slot.rate };
        self.touched.entry(item).or_insert(before);
        self.slot_mut(item)
    }

    pub(super) fn observe_sale(&mut self, item: ItemNo, quantity: Quantity, now: UnixMillis) {
        self.slot_mut(item).rate.observe(quantity, now);
    }

    pub(super) fn save_cursor(&mut self, db: &Connection, source: i64, value: &[u8]) -> Result<()> {
        let seq = self.next_seq();
        ledger::save_cursor(db, source, value, seq)?;
        let Some(held) = self.sources.get_mut(&source) else { return Ok(()) };
        let name = held.name.clone();
        if let Some((before, before_seq)) = held.cursor.replace((value.to_vec(), seq)) {
            self.up.remove(&CursorRecord { source: name.clone(), value: before });
            self.pending.remove(&before_seq);
        }
        self.up.add(&CursorRecord { source: name, value: value.to_vec() });
        self.pending.insert(seq, Key::Cursor(source));
        Ok(())
    }

    /// Writes an order over the one there was before. Where the store's half has changed, the hub hears of it.
    pub(super) fn save_order(
        &mut self,
        db: &Connection,
        before: Option<&OrderRow>,
        mut order: OrderRow,
    ) -> Result<()> {
        if before.is_none_or(|before| before.store != order.store) {
            order.seq = self.next_seq();
            self.pending.insert(order.seq, Key::Order(order.order));
        }
        if let Some(before) = before {
            self.up.remove(&before.store_record());
            if let Some(record) = before.hub_record() {
                self.down.remove(&record);
            }
            if before.seq != order.seq {
                self.pending.remove(&before.seq);
            }
        }
        if before.is_none_or(|before| before.store.stage != order.store.stage) {
            orders::save_step(db, &order)?;
        }
        self.place_order(&order);
        self.orders_changed += 1;
        orders::save_order(db, &order)
    }

    /// Writes a note of the store's, and makes it known to the hub.
    pub(super) fn put_note(&mut self, db: &Connection, note: &Note) -> Result<()> {
        if let Some((text, seq)) = notes::text(db, Writer::Store, note.topic, note.key)? {
            if text == note.text {
                return Ok(());
            }
            self.up.remove(&Note { text, ..note.clone() });
            self.pending.remove(&seq);
        }
        self.up.add(note);
        let seq = self.next_seq();
        self.pending.insert(seq, Key::Note(note.topic, note.key));
        notes::save(db, Writer::Store, note, seq)
    }

    /// Takes a note of the hub's. False where it says what was known.
    pub(super) fn take_hub_note(&mut self, db: &Connection, note: &Note) -> Result<bool> {
        if let Some((text, _)) = notes::text(db, Writer::Hub, note.topic, note.key)? {
            if text == note.text {
                return Ok(false);
            }
            self.down.remove(&Note { text, ..note.clone() });
        }
        self.down.add(note);
        notes::save(db, Writer::Hub, note, Seq(0))?;
        Ok(true)
    }

    /// A restored hub may not know what it wrote: it tells all its notes again.
    pub(super) fn forget_hub_notes(&mut self, db: &Connection) -> Result<()> {
        let down = &mut self.down;
        notes::each_note(db, |writer, note, _| {
            if writer == Writer::Hub {
                down.remove(&note);
            }
        })?;
        notes::forget(db, Writer::Hub)
    }

    /// Joins the hub's half of a cell. What the hub has released need not be held back as given up any more.
    pub(super) fn join_hub_half(&mut self, db: &Connection, stock: &HubStock) -> Result<()> {
        let slot = self.touch(stock.item);
        let before = slot.cell.hub.released;
        slot.cell.hub.join(&stock.half);
        // Says nothing but of a hub that was restored to a copy from before this epoch and used other rights then.
        slot.cell.cover_uses();
        let released = slot.cell.hub.released.saturating_sub(before);
        if released == 0 || slot.doubt.given_up == 0 {
            return Ok(());
        }
        slot.doubt.given_up = slot.doubt.given_up.saturating_sub(released);
        orders::save_doubt(db, stock.item, slot.doubt)
    }

    /// The store will not hand this over of an order; `lost`: nor does anybody know where it is, from that moment and position on.
    pub(super) fn give_up(
        &mut self,
        db: &Connection,
        item: ItemNo,
        quantity: Quantity,
        lost: Option<(UnixMillis, Position)>,
    ) -> Result<()> {
        let size = quantity.thousandths().unsigned_abs();
        let slot = self.touch(item);
        slot.doubt.given_up = slot.doubt.given_up.saturating_add(size);
        if let Some((since, position)) = lost {
            let in_doubt = slot.doubt.in_doubt.saturating_add(size);
            slot.doubt = Doubt { in_doubt, since, position, ..slot.doubt };
        }
        orders::save_doubt(db, item, slot.doubt)
    }

    /// Somebody has counted the item: what is there is known again. A count from before it was missed does not say so.
    pub(super) fn counted(&mut self, db: &Connection, item: ItemNo, counted: Counted) -> Result<()> {
        let slot = self.touch(item);
        let is_later = match counted {
            Counted::At(at) => at >= slot.doubt.since,
            Counted::Position(position) => position >= slot.doubt.position,
        };
        if slot.doubt.in_doubt == 0 || !is_later {
            return Ok(());
        }
        slot.doubt.in_doubt = 0;
        orders::save_doubt(db, item, slot.doubt)
    }

    /// The end of a transaction: sets aside or recalls for the web (S1, S2), and writes each touched cell once. Gives the items of
    /// which orders were promised no more than there was before, and are promised more now.
    pub(super) fn flush(
        &mut self,
        db: &Connection,
        policy: &ReservePolicy,
        now: UnixMillis,
    ) -> Result<Vec<ItemNo>> {
        let mut breached = Vec::new();
        for (item, before) in std::mem::take(&mut self.touched) {
            let seq = self.change_seq.next();
            let Some(slot) = self.slots.get_mut(index(item)).and_then(Option::as_mut) else { continue };
            slot.cell.settle(target(policy, slot, now));
            let first = slot.stock_seq == Seq(0);
            let changed = slot.cell.store != before.store || first;
            if !changed && slot.cell.hub == before.hub && slot.rate == before.rate {
                continue;
            }
            let was = Cell { store: before.store, hub: before.hub };
            if !is_lacking(&was, slot.doubt) && is_lacking(&slot.cell, slot.doubt) {
                breached.push(item);
            }
            if changed {
                self.change_seq = seq;
                if !first {
                    self.up.remove(&StoreStock { item, half: before.store });
                    self.pending.remove(&slot.stock_seq);
                }
                self.up.add(&StoreStock { item, half: slot.cell.store });
                slot.stock_seq = seq;
                self.pending.insert(seq, Key::Stock(item));
            }
            self.down.remove(&HubStock { item, half: before.hub });
            self.down.add(&HubStock { item, half: slot.cell.hub });
            ledger::save_stock(
                db,
                &StockRow { item, cell: slot.cell, rate: slot.rate, seq: slot.stock_seq },
            )?;
        }
        Ok(breached)
    }

    /// Touches the items whose set-aside amount no longer fits their recent sales by at least one unit.
    pub(super) fn touch_stale_reserves(&mut self, policy: &ReservePolicy, now: UnixMillis) {
        let one = Quantity::from_units(1).thousandths();
        let stale: Vec<ItemNo> = self
            .slots()
            .filter(|(_, slot)| {
                let store = &slot.cell.store;
                let net = store
                    .granted
                    .saturating_sub(store.recalled)
                    .saturating_sub(store.fulfilled)
                    .cast_signed();
                (target(policy, slot, now).thousandths() - net).abs() >= one
            })
            .map(|(item, _)| item)
            .collect();
        for item in stale {
            self.touch(item);
        }
    }

    /// Gives the records of these digest buckets a new `change_seq`, so that they are sent again.
    pub(super) fn restamp(&mut self, db: &Connection, buckets: &[u8]) -> Result<()> {
        let wanted =
            |bucket: usize| u8::try_from(bucket).is_ok_and(|bucket| buckets.binary_search(&bucket).is_ok());
        let items: Vec<ItemNo> = self
            .slots()
            .map(|(item, _)| item)
            .filter(|item| wanted(sync_protocol::digest::item_bucket(*item)))
            .collect();
        for item in items {
            self.restamp_item(db, item)?;
        }
        let cursors: Vec<(i64, Vec<u8>)> = self
            .sources
            .iter()
            .filter(|(_, source)| wanted(sync_protocol::digest::source_bucket(&source.name)))
            .filter_map(|(row, source)| Some((*row, source.cursor.as_ref()?.0.clone())))
            .collect();
        for (row, value) in cursors {
            self.save_cursor(db, row, &value)?;
        }
        for order in orders::order_ids(db)?.into_iter().filter(|order| wanted(order_bucket(*order))) {
            let Some(mut row) = orders::order(db, self.epoch, order)? else { continue };
            self.pending.remove(&row.seq);
            row.seq = self.next_seq();
            self.pending.insert(row.seq, Key::Order(order));
            orders::save_order(db, &row)?;
        }
        let mut own = Vec::new();
        notes::each_note(db, |writer, note, seq| {
            if writer == Writer::Store && wanted(note_bucket(note.key)) {
                own.push((note, seq));
            }
        })?;
        for (note, before) in own {
            let seq = self.next_seq();
            self.pending.remove(&before);
            self.pending.insert(seq, Key::Note(note.topic, note.key));
            notes::save(db, Writer::Store, &note, seq)?;
        }
        Ok(())
    }

    fn restamp_item(&mut self, db: &Connection, item: ItemNo) -> Result<()> {
        let (item_seq, stock_seq) = (self.next_seq(), self.next_seq());
        let Some(slot) = self.slots.get_mut(index(item)).and_then(Option::as_mut) else { return Ok(()) };
        self.pending.remove(&slot.item_seq);
        self.pending.remove(&slot.stock_seq);
        (slot.item_seq, slot.stock_seq) = (item_seq, stock_seq);
        self.pending.insert(item_seq, Key::Item(item));
        self.pending.insert(stock_seq, Key::Stock(item));
        ledger::save_stock(db, &StockRow { item, cell: slot.cell, rate: slot.rate, seq: stock_seq })?;
        ledger::save_item(db, &ledger::item(db, item)?, item_seq)
    }

    // What the hub has and has not.

    /// The hub holds everything up to `mark`.
    pub(super) fn confirmed(&mut self, mark: Seq) {
        self.pending = self.pending.split_off(&mark.next());
    }

    /// Starts over from what the hub says it holds, which may be less than it once confirmed.
    pub(super) fn collect_pending(&mut self, db: &Connection, mark: Seq) -> Result<()> {
        let mut pending = BTreeMap::new();
        for (item, slot) in self.slots() {
            pending.insert(slot.item_seq, Key::Item(item));
            pending.insert(slot.stock_seq, Key::Stock(item));
        }
        for (row, source) in &self.sources {
            if let Some((_, seq)) = &source.cursor {
                pending.insert(*seq, Key::Cursor(*row));
            }
        }
        self.pending = pending.split_off(&mark.next());
        let changed = orders::changed_after(db, mark)?;
        self.pending.extend(changed.into_iter().map(|(seq, order)| (seq, Key::Order(order))));
        let changed = notes::changed_after(db, mark)?;
        self.pending.extend(changed.into_iter().map(|(seq, topic, key)| (seq, Key::Note(topic, key))));
        Ok(())
    }

    pub(super) fn pending_records(&self) -> usize {
        self.pending.len()
    }

    /// Pending records after `base` in order.
    pub(super) fn pending_after(&self, base: Seq) -> impl Iterator<Item = (Seq, Key)> {
        self.pending.range(base.next()..).map(|(seq, key)| (*seq, *key))
    }

    /// Whether the hub may not know this item yet.
    pub(super) fn is_item_pending(&self, item: ItemNo) -> bool {
        self.slot(item).is_some_and(|slot| self.pending.contains_key(&slot.item_seq))
    }

    pub(super) fn store_stock(&self, item: ItemNo) -> Option<StoreStock> {
        self.slot(item).map(|slot| StoreStock { item, half: slot.cell.store })
    }

    pub(super) fn cursor(&self, row: i64) -> Option<CursorRecord> {
        let source = self.sources.get(&row)?;
        Some(CursorRecord { source: source.name.clone(), value: source.cursor.as_ref()?.0.clone() })
    }

    /// The hub's halves that are not all zeros, of items above `after`.
    pub(super) fn hub_halves(&self, after: ItemNo) -> impl Iterator<Item = HubStock> {
        self.slots()
            .filter(move |(item, slot)| *item > after && slot.cell.hub != HubHalf::default())
            .map(|(item, slot)| HubStock { item, half: slot.cell.hub })
    }
}

/// How much of this item should be set aside for the web now. Where the item goes by the piece, the walk-in reserve is rounded up to
/// whole pieces: a third of a tin can't be promised.
fn target(policy: &ReservePolicy, slot: &Slot, now: UnixMillis) -> Quantity {
    let cell = &slot.cell;
    let mut reserve = walk_in_reserve(policy, slot.rate.per_second(now));
    if cell.store.in_.is_multiple_of(1000) && cell.store.out.is_multiple_of(1000) {
        reserve = reserve.up_to_whole_units();
    }
    // What the store has given up is still promised until the hub has released it, and nobody shall be promised it anew.
    let open = reduced(cell.open(), slot.doubt.given_up).max(Quantity::ZERO);
    target_claim(open, reduced(cell.on_hand(), slot.doubt.in_doubt), reserve)
}

/// Whether orders are promised more than is there. What the store has said it will not hand over, it lacks for nobody.
fn is_lacking(cell: &Cell, doubt: Doubt) -> bool {
    reduced(cell.open(), doubt.given_up) > cell.on_hand().max(Quantity::ZERO)
}

fn reduced(quantity: Quantity, thousandths: u64) -> Quantity {
    let by = i64::try_from(thousandths).unwrap_or(i64::MAX);
    Quantity::from_thousandths(quantity.thousandths().saturating_sub(by))
}

fn index(item: ItemNo) -> usize {
    usize::try_from(item.0).unwrap_or(usize::MAX).wrapping_sub(1)
}
