//! What a new incarnation of a store starts from, cut into frames: see the agent's `adopt`.

use super::ledger::StoreLedger;
use crate::storage::{Storage, StorageError};
use std::collections::HashSet;
use sync_protocol::frame::{Handover, measure};
use sync_protocol::limits::RECORDS_MAX;
use sync_protocol::record::{
    HistoryDocument, HubOrderRecord, HubStock, ItemRecord, KnownDocument, StoreOrderRecord, StoreStock,
    document_key,
};
use sync_protocol::stock::HubHalf;

/// All parts, in order; at least one, the last marked as such.
pub(super) fn parts(
    storage: &mut dyn Storage,
    store: &StoreLedger,
    hub_life: u64,
) -> Result<Vec<Handover>, StorageError> {
    let mut cutter = Cutter::new(store, hub_life);
    storage.items(store.key)?.into_iter().for_each(|item| cutter.item(item));
    for (item, stored) in store.cells() {
        let half =
            (stored.cell.hub != HubHalf::default()).then_some(HubStock { item, half: stored.cell.hub });
        cutter.cell(StoreStock { item, half: stored.cell.store }, half);
    }
    store.cursors().for_each(|cursor| cutter.room(measure::cursor(&cursor)).cursors.push(cursor));
    for order in store.orders() {
        cutter.order(order.hub_record(), order.store_record());
    }
    let (hub_notes, store_notes) = store.all_notes();
    hub_notes.into_iter().for_each(|note| cutter.room(measure::note(&note)).hub_notes.push(note));
    store_notes.into_iter().for_each(|note| cutter.room(measure::note(&note)).store_notes.push(note));
    let cut = store.facts.cut;
    // After a restore of the hub a store tells its history once more, in a later epoch. The first telling says whether the figures
    // hold a document.
    let mut seen = HashSet::new();
    storage.history(store.key, &mut |epoch, document| {
        let key = document_key(&document.source, &document.reference);
        if !seen.insert(key) {
            return;
        }
        cutter.known(key, &document);
        if (epoch, document.first_position) > cut {
            cutter.document(document);
        }
    })?;
    Ok(cutter.finish())
}

struct Cutter {
    parts: Vec<Handover>,
    bytes: usize,
}

impl Cutter {
    fn new(store: &StoreLedger, hub_life: u64) -> Cutter {
        let facts = &store.facts;
        let first = Handover {
            granted: facts.epoch,
            hub_life,
            down_head: facts.down_head,
            next_position: facts.position_seen.next(),
            ..Handover::default()
        };
        Cutter { parts: vec![first], bytes: 0 }
    }

    fn part(&mut self) -> &mut Handover {
        self.parts.last_mut().expect("there is always a part: `new` makes the first")
    }

    /// The part to put a record into that takes at most `bytes`: a new one where this one might grow past its frame.
    fn room(&mut self, bytes: usize) -> &mut Handover {
        self.bytes += bytes;
        let records = self.part().stock.len().max(self.part().known.len()).max(self.part().items.len());
        if self.bytes > measure::ROOM || records >= RECORDS_MAX / 2 {
            self.bytes = bytes;
            let last = self.part();
            let next = Handover {
                part: last.part + 1,
                granted: last.granted,
                hub_life: last.hub_life,
                down_head: last.down_head,
                next_position: last.next_position,
                ..Handover::default()
            };
            self.parts.push(next);
        }
        self.part()
    }

    fn item(&mut self, item: ItemRecord) {
        self.room(measure::item(&item)).items.push(item);
    }

    fn cell(&mut self, stock: StoreStock, half: Option<HubStock>) {
        let part = self.room(measure::store_stock(&stock) + half.as_ref().map_or(0, measure::hub_stock));
        part.stock.push(stock);
        part.halves.extend(half);
    }

    fn order(&mut self, hub: Option<HubOrderRecord>, store: Option<StoreOrderRecord>) {
        let bytes =
            hub.as_ref().map_or(0, measure::hub_order) + store.as_ref().map_or(0, measure::store_order);
        let part = self.room(bytes);
        part.hub_orders.extend(hub);
        part.store_orders.extend(store);
    }

    fn known(&mut self, key: [u8; 16], document: &HistoryDocument) {
        let known = KnownDocument {
            key,
            content: document.content,
            first_position: document.first_position,
            lines: u32::try_from(document.lines.len()).unwrap_or(u32::MAX),
        };
        self.room(measure::KNOWN_BYTES).known.push(known);
    }

    fn document(&mut self, document: HistoryDocument) {
        self.room(measure::document(&document)).documents.push(document);
    }

    fn finish(mut self) -> Vec<Handover> {
        self.part().last = true;
        self.parts
    }
}
