//! The agent's records as the link sees them: batches cut from what is pending, documents read from the ledger.

use super::Mind;
use super::inventory::Key;
use crate::store::notes::{self, Writer};
use crate::store::{ledger, orders};
use crate::version::version;
use rusqlite::Connection;
use std::collections::BTreeMap;
use sync_protocol::frame::{
    Heartbeat, Hello, HistoryBatch, StateBatch, VERSION_MAX, VERSION_MIN, measure, newest_traces,
};
use sync_protocol::limits::BATCH_BODY_TARGET;
use sync_protocol::link::store::StoreRecords;
use sync_protocol::order::OrderId;
use sync_protocol::record::{HistoryDocument, HubOrderRecord, HubStock, ItemRecord, Note};
use sync_protocol::{ItemNo, Position, Seq, UnixMillis};

/// Roughly what records take in a batch's body, in bytes, on the large side.
const STOCK_BYTES: usize = 8;
const LINE_BYTES: usize = 5;
const DOCUMENT_BYTES: usize = 24;
const ITEM_BYTES: usize = 16;
/// Most stock halves in a state batch, and hub halves in a part of an offer.
const STOCK_MAX: usize = 12_000;
const HALVES_MAX: usize = 8_000;
/// Most orders in a state batch, and in a part of an offer: each with all lines it may have, they fit a frame.
const ORDERS_MAX: usize = 100;

/// The memory and the database together, for the time of one call into the link.
pub(super) struct Records<'a> {
    pub(super) db: &'a Connection,
    pub(super) mind: &'a mut Mind,
    pub(super) now: UnixMillis,
}

fn item_bytes(item: &ItemRecord) -> usize {
    ITEM_BYTES + item.sku.as_str().len() + item.name.len() + item.unit.len() + 8 * item.gtins.len()
}

fn document_bytes(document: &HistoryDocument) -> usize {
    DOCUMENT_BYTES + document.reference.as_str().len() + LINE_BYTES * document.lines.len()
}

/// How full a batch is: as it will be, and as it can be at most.
#[derive(Default)]
struct Fill {
    likely: usize,
    at_most: usize,
}

impl Fill {
    /// Whether one more record fits. The first one always does.
    fn takes(&mut self, likely: usize, at_most: usize) -> bool {
        let is_first = self.at_most == 0;
        let fits = self.likely < BATCH_BODY_TARGET && self.at_most + at_most <= measure::ROOM;
        if is_first || fits {
            self.likely += likely;
            self.at_most += at_most;
        }
        is_first || fits
    }
}

impl StoreRecords for Records<'_> {
    type Error = rusqlite::Error;

    fn hello(&mut self) -> Hello {
        let mind = &*self.mind;
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            boots: mind.boots.clone(),
            state_head: mind.inventory.change_seq,
            history_head: mind.history_head,
            state_acked: mind.state_acked,
            history_acked: mind.history_acked,
            down_mark: mind.down_mark,
            hub_life: mind.hub_life,
            clock: self.now,
            software: format!("store-agent/{}", version()),
        }
    }

    fn state_head(&self) -> Seq {
        self.mind.inventory.change_seq
    }

    fn history_head(&self) -> Position {
        self.mind.history_head
    }

    fn state_batch(&mut self, base: Seq) -> StateBatch {
        let mind = &mut *self.mind;
        let head = mind.inventory.change_seq;
        let mut batch =
            StateBatch { base, upto: base, head, position: mind.history_head, ..StateBatch::default() };
        let mut fill = Fill::default();
        let mut is_all = true;
        for (seq, key) in mind.inventory.pending_after(base) {
            is_all = match key {
                Key::Stock(item) => {
                    let stock = mind.inventory.store_stock(item);
                    let at_most = stock.as_ref().map_or(0, measure::store_stock);
                    let fits = batch.stock.len() < STOCK_MAX && fill.takes(STOCK_BYTES, at_most);
                    batch.stock.extend(stock.filter(|_| fits));
                    fits
                }
                Key::Item(item) => match ledger::item(self.db, item) {
                    Ok(record) => {
                        let fits = fill.takes(item_bytes(&record), measure::item(&record));
                        batch.items.extend(fits.then_some(record));
                        fits
                    }
                    // Left out, it shows in the digest; the rest must not wait for it.
                    Err(error) => {
                        tracing::error!(%item, %error, "cannot read an item record that is due to be sent");
                        true
                    }
                },
                Key::Order(order) => match orders::order(self.db, mind.epoch, order) {
                    Ok(row) => {
                        let record = row.map(|row| row.store_record());
                        let at_most = record.as_ref().map_or(0, measure::store_order);
                        let fits = batch.orders.len() < ORDERS_MAX && fill.takes(at_most, at_most);
                        batch.orders.extend(record.filter(|_| fits));
                        fits
                    }
                    Err(error) => {
                        tracing::error!(%order, %error, "cannot read an order that is due to be sent");
                        true
                    }
                },
                Key::Note(topic, key) => match notes::text(self.db, Writer::Store, topic, key) {
                    Ok(text) => {
                        let note = text.map(|(text, _)| Note { topic, key, text });
                        let at_most = note.as_ref().map_or(0, measure::note);
                        let fits = fill.takes(at_most, at_most);
                        batch.notes.extend(note.filter(|_| fits));
                        fits
                    }
                    Err(error) => {
                        tracing::error!(topic = topic.0, key, %error, "cannot read a note that is due to be sent");
                        true
                    }
                },
                Key::Cursor(source) => {
                    let cursor = mind.inventory.cursor(source);
                    let fits = fill.takes(2 * STOCK_BYTES, cursor.as_ref().map_or(0, measure::cursor));
                    batch.cursors.extend(cursor.filter(|_| fits));
                    fits
                }
            };
            if !is_all {
                break;
            }
            batch.upto = seq;
        }
        if is_all {
            batch.upto = head;
            batch.traces = newest_traces(&mind.traces);
            mind.traces.clear();
        }
        batch.stock.sort_unstable_by_key(|stock| stock.item);
        batch.items.sort_unstable_by_key(|item| item.item);
        batch
    }

    fn history_batch(&mut self, base: Position) -> Result<HistoryBatch, rusqlite::Error> {
        let records = &*self;
        let mut batch = HistoryBatch { base, upto: base, ..HistoryBatch::default() };
        let mut items: BTreeMap<ItemNo, ItemRecord> = BTreeMap::new();
        let mut fill = Fill::default();
        let mut is_all = true;
        let mut unreadable = None;
        ledger::documents_after(records.db, records.mind.epoch, base, |document| {
            is_all = match records.unknown_items(&document, &items) {
                Ok(unknown) => {
                    let likely = document_bytes(&document) + unknown.iter().map(item_bytes).sum::<usize>();
                    let at_most =
                        measure::document(&document) + unknown.iter().map(measure::item).sum::<usize>();
                    let fits = fill.takes(likely, at_most);
                    if fits {
                        batch.upto = document.last_position();
                        batch.documents.push(document);
                        items.extend(unknown.into_iter().map(|record| (record.item, record)));
                    }
                    fits
                }
                Err(error) => {
                    unreadable = Some(error);
                    false
                }
            };
            is_all
        })?;
        if let Some(error) = unreadable {
            return Err(error);
        }
        if is_all {
            batch.upto = self.mind.history_head;
        }
        batch.items = items.into_values().collect();
        Ok(batch)
    }

    fn hub_halves(&mut self, after: ItemNo) -> (Vec<HubStock>, bool) {
        let mut halves: Vec<HubStock> = self.mind.inventory.hub_halves(after).take(HALVES_MAX + 1).collect();
        let last = halves.len() <= HALVES_MAX;
        halves.truncate(HALVES_MAX);
        (halves, last)
    }

    fn hub_orders(&mut self, after: Option<OrderId>) -> Result<(Vec<HubOrderRecord>, bool), rusqlite::Error> {
        let mut records = orders::hub_orders_after(self.db, self.mind.epoch, after, ORDERS_MAX + 1)?;
        let is_all = records.len() <= ORDERS_MAX;
        records.truncate(ORDERS_MAX);
        Ok((records, is_all))
    }

    fn heartbeat(&self) -> Heartbeat {
        let mind = &*self.mind;
        Heartbeat {
            state_head: mind.inventory.change_seq,
            history_head: mind.history_head,
            down_mark: mind.down_mark,
            up_root: mind.inventory.up.root(),
            down_root: mind.inventory.down.root(),
        }
    }
}

impl Records<'_> {
    /// What a document names and the hub may not know, beside `told`: history must be readable where it runs ahead of state. What one
    /// document names beyond the room of a frame comes with the state.
    fn unknown_items(
        &self,
        document: &HistoryDocument,
        told: &BTreeMap<ItemNo, ItemRecord>,
    ) -> Result<Vec<ItemRecord>, rusqlite::Error> {
        let mut room = measure::ROOM.saturating_sub(measure::document(document));
        let mut unknown: BTreeMap<ItemNo, ItemRecord> = BTreeMap::new();
        for item in document.lines.iter().map(|line| line.item) {
            let known = told.contains_key(&item)
                || unknown.contains_key(&item)
                || !self.mind.inventory.is_item_pending(item);
            if known {
                continue;
            }
            let record = ledger::item(self.db, item)?;
            let Some(left) = room.checked_sub(measure::item(&record)) else { break };
            room = left;
            unknown.insert(item, record);
        }
        Ok(unknown.into_values().collect())
    }
}
