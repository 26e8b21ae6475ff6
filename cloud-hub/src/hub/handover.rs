//! What a new incarnation of a store starts from, cut into frames: see the agent's `adopt`.

use super::ledger::StoreLedger;
use crate::storage::{Storage, StorageError};
use sync_protocol::frame::Handover;
use sync_protocol::limits::{BATCH_BODY_TARGET, RECORDS_MAX};
use sync_protocol::record::{HistoryDocument, HubStock, ItemRecord, KnownDocument, StoreStock, document_key};
use sync_protocol::stock::HubHalf;

/// Roughly what one record takes in a part, in bytes, on the large side.
const ITEM_BYTES: usize = 300;
const CELL_BYTES: usize = 16;
const KNOWN_BYTES: usize = 32;
const DOCUMENT_BYTES: usize = 64;
const LINE_BYTES: usize = 8;

/// All parts, in order; at least one, the last marked as such.
pub(super) fn parts(
    storage: &mut dyn Storage,
    store: &StoreLedger,
    hub_life: u64,
) -> Result<Vec<Handover>, StorageError> {
    let mut cutter = Cutter::new(store, hub_life);
    storage.items(store.key)?.into_iter().for_each(|item| cutter.item(item));
    for (item, stored) in store.cells() {
        let half = (stored.cell.hub != HubHalf::default()).then_some(HubStock { item, half: stored.cell.hub });
        cutter.cell(StoreStock { item, half: stored.cell.store }, half);
    }
    store.cursors().for_each(|cursor| cutter.part().cursors.push(cursor));
    let cut = store.facts.cut;
    storage.history(store.key, &mut |epoch, document| {
        cutter.known(&document);
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
            part: 0,
            last: false,
            hub_life,
            down_head: facts.down_head,
            next_position: facts.position_seen.next(),
            items: Vec::new(),
            stock: Vec::new(),
            halves: Vec::new(),
            cursors: Vec::new(),
            known: Vec::new(),
            documents: Vec::new(),
            unreadable: Vec::new(),
        };
        Cutter { parts: vec![first], bytes: 0 }
    }

    fn part(&mut self) -> &mut Handover {
        self.parts.last_mut().expect("there is always a part: `new` makes the first")
    }

    /// The part to put a record of `bytes` into: a new one once this one is full.
    fn room(&mut self, bytes: usize) -> &mut Handover {
        self.bytes += bytes;
        let records = self.part().stock.len().max(self.part().known.len()).max(self.part().items.len());
        if self.bytes > BATCH_BODY_TARGET || records >= RECORDS_MAX / 2 {
            self.bytes = bytes;
            let last = self.part();
            let next = Handover {
                part: last.part + 1,
                items: Vec::new(),
                stock: Vec::new(),
                halves: Vec::new(),
                cursors: Vec::new(),
                known: Vec::new(),
                documents: Vec::new(),
                ..last.clone()
            };
            self.parts.push(next);
        }
        self.part()
    }

    fn item(&mut self, item: ItemRecord) {
        self.room(ITEM_BYTES).items.push(item);
    }

    fn cell(&mut self, stock: StoreStock, half: Option<HubStock>) {
        let part = self.room(CELL_BYTES);
        part.stock.push(stock);
        part.halves.extend(half);
    }

    fn known(&mut self, document: &HistoryDocument) {
        let known = KnownDocument {
            key: document_key(&document.source, &document.reference),
            content: document.content,
            first_position: document.first_position,
            lines: u32::try_from(document.lines.len()).unwrap_or(u32::MAX),
        };
        self.room(KNOWN_BYTES).known.push(known);
    }

    fn document(&mut self, document: HistoryDocument) {
        let bytes = DOCUMENT_BYTES + document.reference.as_str().len() + LINE_BYTES * document.lines.len();
        self.room(bytes).documents.push(document);
    }

    fn finish(mut self) -> Vec<Handover> {
        self.part().last = true;
        self.parts
    }
}
