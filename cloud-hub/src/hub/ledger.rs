//! One store as the hub remembers it: cells, marks, digests, and what of it has changed since the last commit.

mod book;
mod notes;

use crate::availability::{Figures, StoreInfo, Update};
use crate::storage::{
    AtCut, HistoryChunk, Quarantined, StoreChanges, StoreFacts, StoreKey, StoredCell, StoredCursor,
    StoredStore,
};
use book::Book;
use notes::Notes;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::digest::{Digest, Digested};
use sync_protocol::frame::{DownBatch, measure};
use sync_protocol::limits::{BATCH_BODY_TARGET, DIGEST_BUCKETS, RECORDS_MAX};
use sync_protocol::link::greeting::Memory;
use sync_protocol::link::hub::HubRecords;
use sync_protocol::order::OrderId;
use sync_protocol::record::{CursorRecord, HubStock, ItemRecord, StoreStock, Topic};
use sync_protocol::stock::{Cell, HubHalf, StoreHalf};
use sync_protocol::{Epoch, ItemNo, Position, Quantity, Seq, SourceId, UnixMillis};

/// Most halves in one down batch.
const HALVES_MAX: usize = 8_000;
const _: () = assert!(HALVES_MAX <= RECORDS_MAX);
/// Most orders in one down batch: with all the lines they may have, they fit a frame beside the halves.
const ORDERS_MAX: usize = 20;

/// A store in memory.
#[derive(Debug)]
pub(super) struct StoreLedger {
    pub(super) key: StoreKey,
    pub(super) info: StoreInfo,
    pub(super) facts: StoreFacts,
    /// The agent the hub goes by has said hello since this start of the hub.
    pub(super) is_greeted: bool,
    /// Parts of the offer under way that have come, and the number of the last one.
    offered: (BTreeSet<u32>, Option<u32>),
    /// Cell of item `n` at `n − 1`.
    cells: Vec<Option<StoredCell>>,
    at_cut: BTreeMap<ItemNo, AtCut>,
    cursors: BTreeMap<SourceId, StoredCursor>,
    pub(super) up: Digest,
    pub(super) down: Digest,
    down_pending: BTreeMap<Seq, Down>,
    book: Book,
    notes: Notes,
    /// Whether item `n` has a record, at `n − 1`.
    named: Vec<bool>,
    /// Cells whose store half is of an earlier epoch: the store has not told them in its own yet.
    untold: BTreeSet<ItemNo>,
    /// The newest batch or heartbeat that said "this is all": its head and ledger position.
    complete_at: Option<(Seq, Position)>,
    changed: Changed,
}

/// What has changed since the last commit.
#[derive(Debug, Default)]
struct Changed {
    facts: bool,
    items: BTreeMap<ItemNo, ItemRecord>,
    cells: BTreeSet<ItemNo>,
    cursors: BTreeSet<SourceId>,
    all_cursors: bool,
    at_cut: BTreeSet<ItemNo>,
    cut_made: bool,
    history: Vec<HistoryChunk>,
    quarantine: Vec<Quarantined>,
    orders: BTreeSet<OrderId>,
}

/// A record of the hub's that goes down to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Down {
    Stock(ItemNo),
    Order(OrderId),
    Note(Topic, u32),
}

impl StoreLedger {
    pub(super) fn new(
        key: StoreKey,
        info: StoreInfo,
        stored: StoredStore,
        items: &[ItemRecord],
    ) -> StoreLedger {
        let mut ledger = StoreLedger {
            key,
            info,
            facts: stored.facts,
            is_greeted: false,
            offered: Default::default(),
            cells: Vec::new(),
            at_cut: stored.at_cut,
            cursors: stored.cursors,
            up: Digest::default(),
            down: Digest::default(),
            down_pending: BTreeMap::new(),
            book: Book::default(),
            notes: Notes::default(),
            named: Vec::new(),
            untold: BTreeSet::new(),
            complete_at: None,
            changed: Changed::default(),
        };
        for record in items {
            ledger.up.add(record);
            ledger.name(record.item);
        }
        for (source, cursor) in &ledger.cursors {
            ledger.up.add(&CursorRecord { source: source.clone(), value: cursor.value.clone() });
        }
        for (item, stored) in stored.cells {
            if stored.cell.store.epoch < ledger.facts.epoch {
                ledger.untold.insert(item);
            }
            ledger.up.add(&StoreStock { item, half: stored.cell.store });
            ledger.down.add(&HubStock { item, half: stored.cell.hub });
            if stored.down_seq > Seq(0) {
                ledger.down_pending.insert(stored.down_seq, Down::Stock(item));
            }
            *ledger.place(item) = Some(stored);
        }
        ledger.take_stored(stored.orders);
        ledger.take_stored_notes(stored.notes);
        ledger
    }

    // Questions.

    pub(super) fn memory(&self, hub_life: u64) -> Memory {
        let facts = &self.facts;
        Memory {
            epoch: facts.epoch,
            boots: facts.boots.clone(),
            boot_head: facts.boot_head,
            granted_to: facts.granted_to,
            state_mark: facts.state_mark,
            history_mark: facts.history_mark,
            down_head: facts.down_head,
            hub_life,
            heard_life: facts.heard_life,
        }
    }

    /// The start of the agent whose frames are taken now.
    pub(super) fn boot(&self) -> Option<sync_protocol::Boot> {
        self.facts.boots.last().map(|mark| mark.boot)
    }

    pub(super) fn cell(&self, item: ItemNo) -> Option<&StoredCell> {
        self.cells.get(index(item))?.as_ref()
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = (ItemNo, &StoredCell)> {
        (1u32..).map(ItemNo).zip(&self.cells).filter_map(|(item, cell)| Some((item, cell.as_ref()?)))
    }

    pub(super) fn cursors(&self) -> impl Iterator<Item = CursorRecord> {
        self.cursors
            .iter()
            .map(|(source, cursor)| CursorRecord { source: source.clone(), value: cursor.value.clone() })
    }

    /// Whether the store has sent everything it had when it last said so, and nothing beyond has been taken.
    pub(super) fn is_complete(&self) -> bool {
        self.complete_at
            .is_some_and(|(head, _)| self.facts.state_mark >= head && self.facts.boot_head == head)
    }

    fn place(&mut self, item: ItemNo) -> &mut Option<StoredCell> {
        let at = index(item);
        if self.cells.len() <= at {
            self.cells.resize(at + 1, None);
        }
        &mut self.cells[at]
    }

    // Taking what the store sends.

    pub(super) fn heard(&mut self, now: UnixMillis) {
        self.facts.last_contact = self.facts.last_contact.max(now);
    }

    /// Joins a store half. Says by how much the hub's own half moved in answer, if it did.
    pub(super) fn join(&mut self, stock: &StoreStock) -> Joined {
        let (epoch, trusted) = (self.facts.epoch, self.facts.trusted);
        self.untold.remove(&stock.item);
        let meant = self.meant(stock.item);
        let stored = self.place(stock.item).get_or_insert_with(|| empty(epoch));
        let before = stored.cell;
        let first = before.store == StoreHalf { epoch, ..StoreHalf::default() };
        let changed = stored.cell.store.join(&stock.half);
        if !changed && !first {
            return Joined::Nothing;
        }
        // A hub that has forgotten promises must not give back what they stand for.
        if trusted {
            // Units of a handover that was taken back are the order's again, also where the store recalls as many in the same breath.
            book::promise_lacking(&mut stored.cell, meant);
            stored.cell.honour_recalls();
        }
        let after = stored.cell;
        if (before.store.in_, before.store.out) != (after.store.in_, after.store.out)
            && !self.at_cut.contains_key(&stock.item)
        {
            let at_cut = AtCut { in_: before.store.in_, out: before.store.out };
            self.at_cut.insert(stock.item, at_cut);
            self.changed.at_cut.insert(stock.item);
        }
        self.refresh_up(stock.item, &before.store, &after.store);
        if after.hub == before.hub {
            self.touch(stock.item);
            return Joined::Yes;
        }
        self.hub_half_moved(stock.item, &before.hub);
        Joined::AndReturned
    }

    fn refresh_up(&mut self, item: ItemNo, before: &StoreHalf, after: &StoreHalf) {
        self.up.remove(&StoreStock { item, half: *before });
        self.up.add(&StoreStock { item, half: *after });
    }

    fn touch(&mut self, item: ItemNo) {
        self.changed.cells.insert(item);
    }

    /// The hub's half of a cell has been raised: number the change for the store.
    fn hub_half_moved(&mut self, item: ItemNo, before: &HubHalf) {
        self.facts.down_head = self.facts.down_head.next();
        self.changed.facts = true;
        let down_head = self.facts.down_head;
        let Some(stored) = self.cells.get_mut(index(item)).and_then(Option::as_mut) else { return };
        self.down_pending.remove(&stored.down_seq);
        stored.down_seq = down_head;
        let after = stored.cell.hub;
        self.down_pending.insert(down_head, Down::Stock(item));
        self.down.remove(&HubStock { item, half: *before });
        self.down.add(&HubStock { item, half: after });
        self.touch(item);
    }

    /// Lets `change` raise the hub's half of a cell; what it refuses has changed nothing.
    pub(super) fn raise_hub_half<E>(
        &mut self,
        item: ItemNo,
        change: impl FnOnce(&mut Cell) -> Result<(), E>,
    ) -> Result<(), E> {
        let honours = self.facts.trusted;
        self.raise(item, honours, change)
    }

    /// The same, without giving back what the store recalls: somebody else is to have it first.
    fn raise_without_recalls<E>(
        &mut self,
        item: ItemNo,
        change: impl FnOnce(&mut Cell) -> Result<(), E>,
    ) -> Result<(), E> {
        self.raise(item, false, change)
    }

    fn raise<E>(
        &mut self,
        item: ItemNo,
        honours: bool,
        change: impl FnOnce(&mut Cell) -> Result<(), E>,
    ) -> Result<(), E> {
        let epoch = self.facts.epoch;
        let stored = self.place(item).get_or_insert_with(|| empty(epoch));
        let before = stored.cell.hub;
        change(&mut stored.cell)?;
        if honours {
            stored.cell.honour_recalls();
        }
        if stored.cell.hub != before {
            self.hub_half_moved(item, &before);
        }
        Ok(())
    }

    /// A store has been asked for its copy of the hub's halves; what came of an earlier one does not count.
    pub(super) fn expect_offer(&mut self) {
        self.offered = Default::default();
    }

    /// A part of an offer has come; true when that makes it whole. Parts may be lost, or overtake each other.
    pub(super) fn take_part(&mut self, part: u32, last: bool) -> bool {
        let (parts, end) = &mut self.offered;
        parts.insert(part);
        if last {
            *end = Some(part);
        }
        end.is_some_and(|end| (0..=end).all(|part| parts.contains(&part)))
    }

    /// The store has told all it knows of the hub's halves: what it recalled meanwhile is given back now.
    pub(super) fn trust(&mut self) {
        self.facts.trusted = true;
        self.changed.facts = true;
        self.hold_forgotten();
        let recalling: Vec<(ItemNo, HubHalf)> = self
            .cells()
            .filter(|(_, stored)| stored.cell.store.recalled > stored.cell.hub.returned)
            .map(|(item, stored)| (item, stored.cell.hub))
            .collect();
        for (item, before) in recalling {
            let Some(stored) = self.cells.get_mut(index(item)).and_then(Option::as_mut) else { continue };
            if stored.cell.honour_recalls() > Quantity::ZERO {
                self.hub_half_moved(item, &before);
            }
        }
    }

    fn name(&mut self, item: ItemNo) {
        let at = index(item);
        if self.named.len() <= at {
            self.named.resize(at + 1, false);
        }
        self.named[at] = true;
    }

    /// Whether the hub has a record of this item.
    pub(super) fn is_named(&self, item: ItemNo) -> bool {
        self.named.get(index(item)).copied().unwrap_or(false)
    }

    /// Takes an item record; `before` is the one storage has.
    pub(super) fn take_item(&mut self, record: ItemRecord, before: Option<&ItemRecord>) {
        let before = self.changed.items.get(&record.item).or(before);
        if before == Some(&record) {
            return;
        }
        if let Some(before) = before {
            self.up.remove(before);
        }
        self.up.add(&record);
        let item = record.item;
        self.name(item);
        self.changed.items.insert(item, record);
        if self.cell(item).is_some() {
            self.touch(item);
        }
    }

    /// The record of an item that has changed since the last commit.
    pub(super) fn changed_item(&self, item: ItemNo) -> Option<&ItemRecord> {
        self.changed.items.get(&item)
    }

    pub(super) fn take_cursor(&mut self, record: &CursorRecord) {
        let held = self.cursors.get(&record.source);
        if held.is_some_and(|held| held.value == record.value) {
            return;
        }
        let before = held.cloned();
        if let Some(before) = &before {
            self.up.remove(&CursorRecord { source: record.source.clone(), value: before.value.clone() });
        }
        self.up.add(record);
        let at_cut = match before {
            Some(StoredCursor { at_cut: Some(at_cut), .. }) => Some(at_cut),
            Some(StoredCursor { value, at_cut: None }) => Some(Some(value)),
            None => Some(None),
        };
        self.cursors.insert(record.source.clone(), StoredCursor { value: record.value.clone(), at_cut });
        self.changed.cursors.insert(record.source.clone());
    }

    /// A state batch up to `upto` has been joined; `head` and `position` are where the store stood when it wrote it.
    pub(super) fn state_taken(&mut self, base: Seq, upto: Seq, head: Seq, position: Position) {
        let facts = &mut self.facts;
        facts.boot_head = facts.boot_head.max(upto);
        facts.position_seen = facts.position_seen.max(position);
        if base <= facts.state_mark {
            facts.state_mark = facts.state_mark.max(upto);
        }
        if upto == head {
            self.complete(head, position);
        }
        self.changed.facts = true;
    }

    /// The store says that `head` and `position` are all it has.
    pub(super) fn complete(&mut self, head: Seq, position: Position) {
        if self.complete_at.is_none_or(|(earlier, _)| earlier <= head) {
            self.complete_at = Some((head, position));
        }
    }

    /// A history batch: kept if it moves the mark.
    pub(super) fn history_taken(&mut self, base: Position, upto: Position, frame: &[u8]) {
        let facts = &mut self.facts;
        if base > facts.history_mark || upto <= facts.history_mark {
            return;
        }
        facts.history_mark = upto;
        facts.position_seen = facts.position_seen.max(upto);
        self.changed.facts = true;
        self.changed.history.push(HistoryChunk { epoch: self.facts.epoch, upto, frame: frame.to_vec() });
    }

    pub(super) fn quarantine(&mut self, record: Quarantined) {
        self.changed.quarantine.push(record);
    }

    /// A consistent cut is there when the hub has all state up to a head the store called complete, nothing beyond it, and all
    /// history up to the position that head stands for.
    fn make_cut(&mut self) {
        if self.is_complete() {
            self.forget_untold();
        }
        let Some((head, position)) = self.complete_at else { return };
        let facts = &mut self.facts;
        let whole = facts.state_mark == head && facts.boot_head == head && facts.history_mark >= position;
        if !whole || facts.cut == (facts.epoch, position) && self.at_cut.is_empty() {
            return;
        }
        facts.cut = (facts.epoch, position);
        self.at_cut.clear();
        self.changed.at_cut.clear();
        for cursor in self.cursors.values_mut() {
            cursor.at_cut = None;
        }
        self.changed.cut_made = true;
        self.changed.facts = true;
    }

    // Epochs.

    /// Grants an epoch to `boot`: the figures go back to the last cut, promises stay.
    pub(super) fn grant(&mut self, epoch: Epoch, boot: sync_protocol::Boot) {
        self.forget_nameless();
        self.cover_uses();
        for (item, at_cut) in std::mem::take(&mut self.at_cut) {
            let Some(stored) = self.cells.get_mut(index(item)).and_then(Option::as_mut) else { continue };
            self.up.remove(&StoreStock { item, half: stored.cell.store });
            (stored.cell.store.in_, stored.cell.store.out) = (at_cut.in_, at_cut.out);
            self.up.add(&StoreStock { item, half: stored.cell.store });
            self.changed.cells.insert(item);
        }
        self.cursors().collect::<Vec<_>>().iter().for_each(|cursor| self.up.remove(cursor));
        self.cursors.retain(|_, cursor| cursor.at_cut != Some(None));
        for cursor in self.cursors.values_mut() {
            if let Some(Some(value)) = cursor.at_cut.take() {
                cursor.value = value;
            }
        }
        self.cursors().collect::<Vec<_>>().iter().for_each(|cursor| self.up.add(cursor));
        self.changed.all_cursors = true;
        self.changed.at_cut.clear();
        self.changed.cut_made = true;
        self.new_epoch(epoch);
        self.facts.granted_to = Some(boot);
    }

    /// A cell can be here before its item, whose record was still on its way. With the incarnation that sent it the number loses its
    /// meaning, and the next one may give it to another item.
    fn forget_nameless(&mut self) {
        let nameless: Vec<ItemNo> = self
            .cells()
            .filter(|(item, stored)| !self.is_named(*item) && stored.cell.hub.promised == 0)
            .map(|(item, _)| item)
            .collect();
        nameless.into_iter().for_each(|item| self.forget_cell(item));
    }

    /// The store lives in a later epoch than the hub remembers: nothing of that epoch has been taken.
    pub(super) fn enter_later_epoch(&mut self, epoch: Epoch) {
        self.new_epoch(epoch);
        self.facts.granted_to = None;
    }

    /// The store has told all it has: a cell that was not among it, it does not have.
    fn forget_untold(&mut self) {
        for item in std::mem::take(&mut self.untold) {
            if self.cell(item).is_some_and(|stored| stored.cell.hub.promised == 0) {
                self.forget_cell(item);
            }
        }
        self.forget_untold_notes();
    }

    /// What the hub has used of its rights had been granted, also where a restored hub has forgotten that.
    fn cover_uses(&mut self) {
        for (item, stored) in (1u32..).map(ItemNo).zip(&mut self.cells) {
            let Some(stored) = stored else { continue };
            let before = stored.cell.store;
            stored.cell.cover_uses();
            if stored.cell.store != before {
                self.up.remove(&StoreStock { item, half: before });
                self.up.add(&StoreStock { item, half: stored.cell.store });
                self.changed.cells.insert(item);
            }
        }
    }

    fn forget_cell(&mut self, item: ItemNo) {
        let epoch = self.facts.epoch;
        let Some(stored) = self.cells.get_mut(index(item)).and_then(Option::as_mut) else { return };
        self.up.remove(&StoreStock { item, half: stored.cell.store });
        self.down.remove(&HubStock { item, half: stored.cell.hub });
        self.down_pending.remove(&stored.down_seq);
        *stored = StoredCell { feed: stored.feed, ..empty(epoch) };
        self.at_cut.remove(&item);
        self.changed.cells.insert(item);
    }

    fn new_epoch(&mut self, epoch: Epoch) {
        let facts = &mut self.facts;
        facts.epoch = epoch;
        facts.boots.clear();
        facts.boot_head = Seq(0);
        facts.state_mark = Seq(0);
        facts.history_mark = Position(0);
        self.complete_at = None;
        self.untold = self.cells().map(|(item, _)| item).collect();
        self.notes.expect_all();
        self.changed.facts = true;
    }

    pub(super) fn facts_changed(&mut self) {
        self.changed.facts = true;
    }

    /// Numbers the hub's halves in these digest buckets anew, so that they are sent again.
    pub(super) fn restamp(&mut self, buckets: &[u8]) {
        let wanted: Vec<(ItemNo, HubHalf)> = self
            .cells()
            .filter(|(item, stored)| {
                let bucket = HubStock { item: *item, half: stored.cell.hub }.bucket() % DIGEST_BUCKETS;
                u8::try_from(bucket).is_ok_and(|bucket| buckets.binary_search(&bucket).is_ok())
            })
            .filter(|(_, stored)| stored.cell.hub != HubHalf::default())
            .map(|(item, stored)| (item, stored.cell.hub))
            .collect();
        for (item, half) in wanted {
            self.hub_half_moved(item, &half);
        }
        self.restamp_orders(buckets);
        self.restamp_notes(buckets);
    }

    // The end of a step.

    /// Makes a cut where one is due, and gives out what is to be committed, numbering figures for the change feed.
    pub(super) fn take_changes(&mut self, feed: &mut u64) -> Option<(StoreChanges, Vec<Update>)> {
        self.make_cut();
        let changed = std::mem::take(&mut self.changed);
        let mut updates = self.item_updates(&changed.items);
        let mut cells = Vec::with_capacity(changed.cells.len());
        for item in &changed.cells {
            let Some(stored) = self.cells.get_mut(index(*item)).and_then(Option::as_mut) else { continue };
            *feed += 1;
            stored.feed = *feed;
            cells.push((*item, *stored));
            updates.push(cell_update(&self.info, *item, stored));
        }
        let sources: Vec<SourceId> = if changed.all_cursors {
            self.cursors.keys().cloned().collect()
        } else {
            changed.cursors.into_iter().collect()
        };
        let cursors = sources
            .into_iter()
            .filter_map(|source| Some((source.clone(), self.cursors.get(&source)?.clone())));
        let changes = StoreChanges {
            facts: changed.facts.then(|| self.facts.clone()),
            items: changed.items.into_values().collect(),
            cells,
            cursors: cursors.collect(),
            forget_cursors: changed.all_cursors,
            forget_at_cut: changed.cut_made,
            at_cut: changed
                .at_cut
                .into_iter()
                .filter_map(|item| Some((item, *self.at_cut.get(&item)?)))
                .collect(),
            history: changed.history,
            quarantine: changed.quarantine,
            orders: self.book.of(&changed.orders),
            notes: self.notes.take_changed(),
        };
        (!is_empty(&changes)).then_some((changes, updates))
    }

    fn item_updates(&self, items: &BTreeMap<ItemNo, ItemRecord>) -> Vec<Update> {
        items.values().map(|record| item_update(&self.info, record)).collect()
    }

    pub(super) fn contact_update(&self, link_up: bool) -> Update {
        Update::Contact {
            store: self.info.id.clone(),
            at: self.facts.last_contact,
            as_of: self.facts.as_of,
            link_up,
            trusted: self.facts.trusted,
        }
    }
}

impl HubRecords for StoreLedger {
    fn down_head(&self) -> Seq {
        self.facts.down_head
    }

    fn down_batch(&mut self, base: Seq) -> DownBatch {
        let mut batch = DownBatch { base, upto: base, ..DownBatch::default() };
        let mut is_all = true;
        let mut notes_bytes = 0;
        for (seq, record) in self.down_pending.range(base.next()..) {
            // One note may take as much as many halves: it goes with other notes only.
            let is_note = matches!(record, Down::Note(..));
            let is_mixed = is_note == batch.notes.is_empty() && batch.upto > base;
            let is_full = batch.halves.len() >= HALVES_MAX || batch.orders.len() >= ORDERS_MAX;
            if is_mixed || is_full || notes_bytes >= BATCH_BODY_TARGET {
                is_all = false;
                break;
            }
            batch.upto = *seq;
            match record {
                Down::Stock(item) => {
                    let half = self.cell(*item).map(|stored| HubStock { item: *item, half: stored.cell.hub });
                    batch.halves.extend(half);
                }
                Down::Order(order) => batch.orders.extend(self.book.hub_record(*order)),
                Down::Note(topic, key) => {
                    let note = self.notes.hubs((*topic, *key));
                    notes_bytes += note.as_ref().map_or(0, measure::note);
                    batch.notes.extend(note);
                }
            }
        }
        if is_all {
            batch.upto = self.facts.down_head;
        }
        batch.halves.sort_unstable_by_key(|stock| stock.item);
        batch
    }
}

/// What joining a store half did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    Nothing,
    Yes,
    /// It also gave back what the store had recalled: the hub's half moved.
    AndReturned,
}

pub(super) fn item_update(info: &StoreInfo, record: &ItemRecord) -> Update {
    Update::Item {
        store: info.id.clone(),
        item: record.item,
        sku: record.sku.clone(),
        gtins: record.gtins.clone(),
        name: record.name.clone(),
    }
}

pub(super) fn cell_update(info: &StoreInfo, item: ItemNo, stored: &StoredCell) -> Update {
    let cell = &stored.cell;
    let figures = Figures {
        on_hand: cell.on_hand(),
        claim: cell.claim(),
        open: cell.open(),
        free: cell.free(),
        shortfall: cell.shortfall(),
    };
    Update::Cell { store: info.id.clone(), item, figures, feed: stored.feed }
}

fn empty(epoch: Epoch) -> StoredCell {
    let mut stored = StoredCell::default();
    stored.cell.store.epoch = epoch;
    stored
}

fn is_empty(changes: &StoreChanges) -> bool {
    changes.facts.is_none()
        && changes.items.is_empty()
        && changes.cells.is_empty()
        && changes.cursors.is_empty()
        && !changes.forget_cursors
        && !changes.forget_at_cut
        && changes.at_cut.is_empty()
        && changes.history.is_empty()
        && changes.quarantine.is_empty()
        && changes.orders.is_empty()
        && changes.notes.is_empty()
}

fn index(item: ItemNo) -> usize {
    usize::try_from(item.0).unwrap_or(usize::MAX).wrapping_sub(1)
}
