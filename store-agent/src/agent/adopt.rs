//! Taking over an epoch: a new disk, a restored backup or a fenced copy starts over from the hub's copy.
//!
//! The hub hands over every item, both halves of every cell (the physical part as at its last consistent cut), the POS cursors
//! of that cut, the documents its history has beyond the cut, and the keys of all documents it has. The agent applies those
//! documents, then those of its own ledger that the hub does not have. So nothing the hub knew is lost, nothing is counted
//! twice, and what only this disk knows is kept.

use super::adopt_orders::Book;
use super::{Mind, adopt_notes};
use crate::store::ledger::{self, AgentRow, StockRow};
use crate::store::orders::{self, Doubt};
use rusqlite::{Connection, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use sync_protocol::frame::{BootMark, Handover};
use sync_protocol::limits::GTINS_MAX;
use sync_protocol::record::{HistoryDocument, ItemRecord, document_key};
use sync_protocol::stock::{Cell, SalesRate};
use sync_protocol::{Epoch, ItemNo, Position, Quantity, Reference, Seq, Sku, SourceId, UnixMillis};

/// What came of it, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Adopted {
    pub(super) epoch: Epoch,
    pub(super) items: usize,
    /// Documents of the hub's history applied on top of the cut.
    pub(super) from_hub: usize,
    /// Own documents the hub did not have.
    pub(super) own: usize,
}

/// Rewrites the database for the granted epoch, within the caller's transaction. The memory must be loaded anew afterwards.
pub(super) fn adopt(
    db: &Connection,
    mind: &mut Mind,
    parts: &[Handover],
    now: UnixMillis,
) -> Result<Option<Adopted>> {
    let Some(first) = parts.first().filter(|first| first.granted > mind.epoch) else { return Ok(None) };
    let granted = first.granted;
    let known: HashSet<[u8; 16]> = parts.iter().flat_map(|part| &part.known).map(|known| known.key).collect();
    let is_known = |source: &str, reference: &str| {
        let key = source.parse::<SourceId>().ok().zip(reference.parse::<Reference>().ok());
        key.is_some_and(|(source, reference)| known.contains(&document_key(&source, &reference)))
    };
    let own_items = items_by_sku(db)?;
    let items = merge_items(parts, &own_items);
    let mut cells = cells_of(parts, granted);
    if mind.hub_life != first.hub_life {
        keep_hub_halves(db, &own_items, &items, &mut cells, granted)?;
    }
    renumber(db, &own_items, &items)?;

    let foreign: Vec<&HistoryDocument> = parts.iter().flat_map(|part| &part.documents).collect();
    let own = ledger::move_documents(db, granted, is_known)?;
    let numbers = renumbered(&own_items, &items);
    let mut book = Book::handed_over(parts, granted, now);
    book.take_own(db, mind, &numbers, mind.hub_life != first.hub_life)?;
    let missing = book.missing_pickups(db, mind, is_known)?;
    missing.iter().flat_map(|document| &document.lines).for_each(|line| {
        shift(&mut cells, granted, line.item, line.effect);
    });
    book.raise_fulfilled(&mut cells, granted);
    for document in &foreign {
        document.lines.iter().for_each(|line| shift(&mut cells, granted, line.item, line.effect));
    }
    for document in &own {
        for (item, effect) in ledger::effects_of(db, *document)? {
            shift(&mut cells, granted, item, effect);
        }
    }

    let mut seq = write_inventory(db, &items, cells, granted)?;
    seq = book.write(db, seq)?;
    seq = adopt_notes::adopt(db, parts, &numbers, seq)?;
    keep_doubts(db, &numbers)?;
    for cursor in parts.iter().flat_map(|part| &part.cursors) {
        let source = mind.inventory.source_row(db, &cursor.source)?;
        seq = seq.next();
        ledger::save_cursor(db, source, &cursor.value, seq)?;
    }
    // What an earlier hub knew and this one does not is not in these figures: its source may report it again.
    ledger::forget_known_documents(db)?;
    for part in parts {
        ledger::save_known_documents(db, &part.known)?;
    }
    ledger::forget_boots(db)?;
    mind.next_position = mind.next_position.max(first.next_position);
    let mark = BootMark { boot: mind.boot, first_seq: Seq(1), first_position: mind.next_position };
    ledger::add_boot(db, mark)?;
    copy_foreign_documents(db, mind, &foreign, granted)?;
    for document in &missing {
        append(db, mind, document, granted)?;
    }
    let next_item = items.values().map(|record| record.item).max().unwrap_or_default().next();
    ledger::save_agent_row(
        db,
        &AgentRow {
            store: mind.store.to_string(),
            epoch: granted,
            change_seq: seq,
            next_position: mind.next_position,
            next_item,
            state_acked: Seq(0),
            history_acked: Position(0),
            down_mark: first.down_head,
            hub_life: first.hub_life,
        },
    )?;
    set_aside(db, parts, now)?;
    Ok(Some(Adopted { epoch: granted, items: items.len(), from_hub: foreign.len(), own: own.len() }))
}

/// What of the hand-over could not be read.
fn set_aside(db: &Connection, parts: &[Handover], now: UnixMillis) -> Result<()> {
    for unreadable in parts.iter().flat_map(|part| &part.unreadable) {
        let reason = format!("hand-over: {}: {}", unreadable.what, unreadable.reason);
        ledger::add_quarantine(db, now, super::quarantine::UNREADABLE, &reason, &unreadable.bytes)?;
    }
    Ok(())
}

/// Replaces items and stock by these; says how far that has taken the new epoch's sequence.
fn write_inventory(
    db: &Connection,
    items: &BTreeMap<Sku, ItemRecord>,
    mut cells: HashMap<ItemNo, Cell>,
    granted: Epoch,
) -> Result<Seq> {
    let mut rates = rates_by_item(db)?;
    ledger::clear_items_and_stock(db)?;
    let mut seq = Seq(0);
    for record in items.values() {
        seq = seq.next();
        ledger::save_item(db, record, seq)?;
        let cell = cells.remove(&record.item).unwrap_or_else(|| empty(granted));
        let rate = rates.remove(&record.sku).unwrap_or_default();
        seq = seq.next();
        ledger::save_stock(db, &StockRow { item: record.item, cell, rate, seq })?;
    }
    Ok(seq)
}

/// The hub was restored since this disk last spoke with it: what the disk knows of the hub's promises, the hub may have forgotten.
/// It is kept, and offered to the hub.
fn keep_hub_halves(
    db: &Connection,
    own: &BTreeMap<Sku, ItemRecord>,
    items: &BTreeMap<Sku, ItemRecord>,
    cells: &mut HashMap<ItemNo, Cell>,
    granted: Epoch,
) -> Result<()> {
    let numbers = renumbered(own, items);
    ledger::each_stock(db, Epoch(0), |row| {
        let Some(item) = numbers.get(&row.item) else { return };
        let cell = cells.entry(*item).or_insert_with(|| empty(granted));
        cell.hub.join(&row.cell.hub);
        cell.cover_uses();
    })
}

pub(super) fn empty(epoch: Epoch) -> Cell {
    let mut cell = Cell::default();
    cell.store.epoch = epoch;
    cell
}

fn items_by_sku(db: &Connection) -> Result<BTreeMap<Sku, ItemRecord>> {
    let mut items = BTreeMap::new();
    ledger::each_item(db, |record, _| {
        items.insert(record.sku.clone(), record);
    })?;
    Ok(items)
}

fn rates_by_item(db: &Connection) -> Result<HashMap<Sku, SalesRate>> {
    let mut skus = HashMap::new();
    ledger::each_item(db, |record, _| {
        skus.insert(record.item, record.sku);
    })?;
    let mut rates = HashMap::new();
    ledger::each_stock(db, Epoch(0), |row| {
        if let Some(sku) = skus.remove(&row.item) {
            rates.insert(sku, row.rate);
        }
    })?;
    Ok(rates)
}

/// The hub's items under their numbers, then the store's own under new ones. What the store has named stays named.
fn merge_items(parts: &[Handover], own: &BTreeMap<Sku, ItemRecord>) -> BTreeMap<Sku, ItemRecord> {
    let mut items: BTreeMap<Sku, ItemRecord> = BTreeMap::new();
    for record in parts.iter().flat_map(|part| &part.items) {
        items.insert(record.sku.clone(), record.clone());
    }
    let numbers = parts.iter().flat_map(|part| part.stock.iter().map(|stock| stock.item));
    let mut next = items.values().map(|record| record.item).chain(numbers).max().unwrap_or_default().next();
    let mut taken: HashSet<_> = items.values().flat_map(|record| record.gtins.clone()).collect();
    for (sku, record) in own {
        let merged = items.entry(sku.clone()).or_insert_with(|| {
            let item = next;
            next = next.next();
            ItemRecord { item, gtins: Vec::new(), ..record.clone() }
        });
        if merged.unnamed && !record.unnamed {
            (merged.name, merged.unit, merged.unnamed) = (record.name.clone(), record.unit.clone(), false);
        }
        for gtin in &record.gtins {
            if merged.gtins.len() < GTINS_MAX && taken.insert(*gtin) {
                merged.gtins.push(*gtin);
            }
        }
        merged.gtins.sort_unstable();
    }
    items
}

/// From the store's own numbers to those of the new epoch.
fn renumbered(own: &BTreeMap<Sku, ItemRecord>, items: &BTreeMap<Sku, ItemRecord>) -> HashMap<ItemNo, ItemNo> {
    own.iter().filter_map(|(sku, record)| Some((record.item, items.get(sku)?.item))).collect()
}

/// What staff could not find stays in doubt; what was given up, the hub knows from the orders.
fn keep_doubts(db: &Connection, numbers: &HashMap<ItemNo, ItemNo>) -> Result<()> {
    let doubts = orders::doubts(db)?;
    orders::forget_doubts(db)?;
    for (item, doubt) in doubts {
        if let Some(item) = numbers.get(&item) {
            orders::save_doubt(db, *item, Doubt { given_up: 0, ..doubt })?;
        }
    }
    Ok(())
}

/// The store's own ledger lines follow its items to their new numbers.
fn renumber(
    db: &Connection,
    own: &BTreeMap<Sku, ItemRecord>,
    items: &BTreeMap<Sku, ItemRecord>,
) -> Result<()> {
    let numbers: Vec<(ItemNo, ItemNo)> =
        renumbered(own, items).into_iter().filter(|(old, new)| old != new).collect();
    if numbers.is_empty() { Ok(()) } else { ledger::renumber_movements(db, &numbers) }
}

fn cells_of(parts: &[Handover], granted: Epoch) -> HashMap<ItemNo, Cell> {
    let mut cells: HashMap<ItemNo, Cell> = HashMap::new();
    for stock in parts.iter().flat_map(|part| &part.stock) {
        cells.entry(stock.item).or_insert_with(|| empty(granted)).store.join(&stock.half);
    }
    for stock in parts.iter().flat_map(|part| &part.halves) {
        cells.entry(stock.item).or_insert_with(|| empty(granted)).hub.join(&stock.half);
    }
    cells
}

fn shift(cells: &mut HashMap<ItemNo, Cell>, granted: Epoch, item: ItemNo, effect: Quantity) {
    let cell = cells.entry(item).or_insert_with(|| empty(granted));
    if let Err(error) = cell.move_stock(effect) {
        tracing::error!(%item, %error, "a movement could not be applied again while taking over");
    }
}

/// The hub's documents beyond the cut become part of this ledger, so that counts and questions see them. They belong to the
/// epoch before: the hub has them.
fn copy_foreign_documents(
    db: &Connection,
    mind: &mut Mind,
    documents: &[&HistoryDocument],
    granted: Epoch,
) -> Result<()> {
    for document in documents {
        let source = mind.inventory.source_row(db, &document.source)?;
        if ledger::find_document(db, source, document.reference.as_str())?.is_some() {
            continue;
        }
        append(db, mind, document, Epoch(granted.0.saturating_sub(1)))?;
    }
    Ok(())
}

/// Writes a document at the ledger's next positions.
fn append(db: &Connection, mind: &mut Mind, document: &HistoryDocument, epoch: Epoch) -> Result<()> {
    let source = mind.inventory.source_row(db, &document.source)?;
    let copy = HistoryDocument { first_position: mind.next_position, ..document.clone() };
    ledger::add_document(db, source, epoch, &copy)?;
    for line in &copy.lines {
        ledger::add_movement(db, mind.next_position, copy.first_position, line, None)?;
        mind.next_position = mind.next_position.next();
    }
    Ok(())
}
