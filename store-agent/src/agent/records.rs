//! The agent's records as the link sees them: batches cut from what is pending, documents read from the ledger.

use super::Mind;
use super::inventory::Key;
use crate::store::ledger;
use rusqlite::Connection;
use std::collections::BTreeSet;
use sync_protocol::frame::{Heartbeat, Hello, HistoryBatch, StateBatch, VERSION_MAX, VERSION_MIN, newest_traces};
use sync_protocol::limits::BATCH_BODY_TARGET;
use sync_protocol::link::store::StoreRecords;
use sync_protocol::record::{HistoryDocument, HubStock, ItemRecord};
use sync_protocol::{ItemNo, Position, Seq, UnixMillis};

/// Roughly what records take in a batch's body, in bytes, on the large side.
const STOCK_BYTES: usize = 8;
const LINE_BYTES: usize = 5;
const DOCUMENT_BYTES: usize = 24;
const ITEM_BYTES: usize = 16;
/// Most stock halves in a state batch, and hub halves in a part of an offer.
const STOCK_MAX: usize = 12_000;

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
            software: concat!("store-agent/", env!("CARGO_PKG_VERSION")).to_owned(),
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
        let mut batch = StateBatch { base, upto: base, head, position: mind.history_head, ..StateBatch::default() };
        let mut bytes = 0;
        let mut is_all = true;
        for (seq, key) in mind.inventory.pending_after(base) {
            if bytes >= BATCH_BODY_TARGET || batch.stock.len() >= STOCK_MAX {
                is_all = false;
                break;
            }
            batch.upto = seq;
            match key {
                Key::Stock(item) => {
                    bytes += STOCK_BYTES;
                    batch.stock.extend(mind.inventory.store_stock(item));
                }
                // An item that can't be read is left out and shows in the digest; the rest must not wait for it.
                Key::Item(item) => match ledger::item(self.db, item) {
                    Ok(record) => {
                        bytes += item_bytes(&record);
                        batch.items.push(record);
                    }
                    Err(error) => tracing::error!(%item, %error, "cannot read an item record that is due to be sent"),
                },
                Key::Cursor(source) => {
                    bytes += 2 * STOCK_BYTES;
                    batch.cursors.extend(mind.inventory.cursor(source));
                }
            }
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
        let mut batch = HistoryBatch { base, upto: base, ..HistoryBatch::default() };
        let mut bytes = 0;
        let mut is_all = true;
        ledger::documents_after(self.db, self.mind.epoch, base, |document| {
            if bytes >= BATCH_BODY_TARGET {
                is_all = false;
                return false;
            }
            bytes += document_bytes(&document);
            batch.upto = document.last_position();
            batch.documents.push(document);
            true
        })?;
        if is_all {
            batch.upto = self.mind.history_head;
        }
        batch.items = self.items_unknown_to_the_hub(&batch.documents)?;
        Ok(batch)
    }

    fn hub_halves(&mut self, after: ItemNo) -> (Vec<HubStock>, bool) {
        let mut halves: Vec<HubStock> = self.mind.inventory.hub_halves(after).take(STOCK_MAX + 1).collect();
        let last = halves.len() <= STOCK_MAX;
        halves.truncate(STOCK_MAX);
        (halves, last)
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
    /// A document must be readable at the hub even when state lags behind history.
    fn items_unknown_to_the_hub(&self, documents: &[HistoryDocument]) -> Result<Vec<ItemRecord>, rusqlite::Error> {
        let named: BTreeSet<ItemNo> = documents.iter().flat_map(|document| &document.lines).map(|line| line.item).collect();
        let unknown = named.into_iter().filter(|item| self.mind.inventory.is_item_pending(*item));
        unknown.map(|item| ledger::item(self.db, item)).collect()
    }
}
