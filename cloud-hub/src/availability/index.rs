//! The index itself: updates go in by short write locks, questions are asked through a [`Reading`].

use super::column::Column;
use super::feed::{CellKey, Cursor, CursorTooOld, Feed, low_half};
use super::freshness::Contact;
use super::stores::{Directory, StoreIx};
use super::update::{Figures, Level, StoreInfo, Update};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use sync_protocol::limits::ITEMS_MAX;
use sync_protocol::{Gtin, ItemNo, Sku, StoreId};

/// Most updates under one write lock: some tens of microseconds during which readers wait.
const CHUNK: usize = 256;
/// Most cells the change feed keeps.
const FEED_KEPT_MAX: usize = 1_000_000;

type Listener = Box<dyn Fn(Cursor) + Send + Sync>;

/// Every store's figures, as last published. Shared as `Arc<Index>`.
pub struct Index {
    shared: RwLock<Shared>,
    listeners: RwLock<Vec<Listener>>,
}

/// An item's place in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemIx(u32);

/// What an item is called, chain-wide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemNames {
    pub sku: Arc<str>,
    /// Empty where no store has named it yet.
    pub name: Arc<str>,
    pub gtins: Arc<[Gtin]>,
}

/// A cell as a reader of the feed sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Where a reader stands who has taken everything up to and with this change.
    pub cursor: Cursor,
    pub store: StoreIx,
    pub sku: Arc<str>,
    pub level: Level,
}

/// Some changes, oldest first, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesPage {
    pub changes: Vec<Changed>,
    pub next: Cursor,
    /// Whether there was more to read at the time.
    pub more: bool,
}

/// How much the index holds, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub stores: usize,
    pub items: usize,
    pub cells: usize,
    /// Cells that wait for their item to be published.
    pub waiting: usize,
    pub feed: usize,
    /// Updates about stores nobody has published, or with numbers out of bounds.
    pub refused: u64,
}

struct Shared {
    directory: Arc<Directory>,
    /// By store.
    contacts: Vec<Option<Contact>>,
    /// By store and item number, the item's place plus one; 0 where the number means nothing yet.
    numbers: Vec<Vec<u32>>,
    items: Vec<Item>,
    by_sku: HashMap<Arc<str>, ItemIx>,
    waiting: HashMap<(StoreIx, ItemNo), (Level, u64)>,
    /// Cells that could be read only after readers of the feed had passed their numbers.
    late: Vec<CellKey>,
    feed: Feed,
    cells: usize,
    refused: u64,
}

struct Item {
    names: ItemNames,
    column: Column,
}

impl ItemIx {
    pub(super) const FIRST: ItemIx = ItemIx(0);

    #[cfg(test)]
    pub(super) fn new(at: u32) -> ItemIx {
        ItemIx(at)
    }

    fn at(self) -> usize {
        // An index into a `Vec` that holds it.
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    #[must_use]
    pub fn new() -> Index {
        Index::with_feed_of(FEED_KEPT_MAX)
    }

    /// An index whose change feed keeps at most `kept_max` cells.
    #[must_use]
    pub fn with_feed_of(kept_max: usize) -> Index {
        Index { shared: RwLock::new(Shared::new(kept_max)), listeners: RwLock::default() }
    }

    /// Takes in committed changes, in order. Readers get in between every few hundred; followers of the change feed see
    /// them once all are in. Feed numbers must be above those of the publishing before, except while nobody reads yet.
    pub fn publish(&self, updates: impl IntoIterator<Item = Update>) {
        let mut updates = updates.into_iter().peekable();
        while updates.peek().is_some() {
            let mut shared = self.write();
            for update in updates.by_ref().take(CHUNK) {
                shared.apply(update);
            }
        }
        let reached = self.write().settle();
        for listener in &*self.listeners.read().unwrap_or_else(PoisonError::into_inner) {
            listener(reached);
        }
    }

    /// Calls `listener` after each publishing, on the publisher's thread; it must not wait for anything.
    pub fn on_publish(&self, listener: impl Fn(Cursor) + Send + Sync + 'static) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }

    /// Holds the index still for some questions. Keep it short: publishing waits meanwhile.
    #[must_use]
    pub fn read(&self) -> Reading<'_> {
        Reading(self.shared.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment at which the index holds still.
pub struct Reading<'a>(RwLockReadGuard<'a, Shared>);

impl Reading<'_> {
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.0.directory
    }

    #[must_use]
    pub fn contact(&self, store: StoreIx) -> Option<Contact> {
        self.0.contacts[store.at()]
    }

    #[must_use]
    pub fn find(&self, sku: &str) -> Option<ItemIx> {
        self.0.by_sku.get(sku).copied()
    }

    #[must_use]
    pub fn names(&self, item: ItemIx) -> &ItemNames {
        &self.0.items[item.at()].names
    }

    /// `None` where the store does not carry the item.
    #[must_use]
    pub fn level(&self, item: ItemIx, store: StoreIx) -> Option<Level> {
        self.0.items[item.at()].column.get(store)
    }

    /// Every store that carries the item, with its figures.
    pub fn levels(&self, item: ItemIx) -> impl Iterator<Item = (StoreIx, Level)> {
        self.0.items[item.at()].column.levels()
    }

    /// The items from the `from`-th on, at most `limit` of them, in the order in which they became known.
    pub fn items(&self, from: usize, limit: usize) -> impl Iterator<Item = ItemIx> {
        let end = from.saturating_add(limit).min(self.0.items.len());
        (from..end).filter_map(|at| u32::try_from(at).ok()).map(ItemIx)
    }

    /// Where the change feed stands.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.0.feed.settled()
    }

    /// Cells that changed after the cursor, about `limit` of them.
    ///
    /// # Errors
    /// When the feed does not reach back to the cursor.
    pub fn changes(&self, after: Cursor, limit: usize) -> Result<ChangesPage, CursorTooOld> {
        let (cells, next) = self.0.feed.after(after, limit)?;
        let changes = cells.into_iter().filter_map(|(cursor, cell)| self.changed(cursor, cell)).collect();
        Ok(ChangesPage { changes, next, more: next < self.cursor() })
    }

    fn changed(&self, cursor: Cursor, cell: CellKey) -> Option<Changed> {
        let level = self.level(cell.item, cell.store)?;
        Some(Changed { cursor, store: cell.store, sku: Arc::clone(&self.names(cell.item).sku), level })
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            stores: self.0.directory.len(),
            items: self.0.items.len(),
            cells: self.0.cells,
            waiting: self.0.waiting.len(),
            feed: self.0.feed.len(),
            refused: self.0.refused,
        }
    }
}

impl Shared {
    fn new(feed_kept_max: usize) -> Shared {
        Shared {
            directory: Arc::default(),
            contacts: Vec::new(),
            numbers: Vec::new(),
            items: Vec::new(),
            by_sku: HashMap::new(),
            waiting: HashMap::new(),
            late: Vec::new(),
            feed: Feed::new(feed_kept_max),
            cells: 0,
            refused: 0,
        }
    }

    fn apply(&mut self, update: Update) {
        let taken = match update {
            Update::Store(info) => self.put_store(info),
            Update::Contact { store, at, as_of, link_up, trusted } => {
                self.put_contact(&store, Contact { at, as_of, link_up, trusted })
            }
            Update::Item { store, item, sku, gtins, name } => self.put_item(&store, item, &sku, gtins, name),
            Update::Cell { store, item, figures, feed } => self.put_cell(&store, item, figures, feed),
        };
        if taken.is_none() {
            self.refused += 1;
        }
    }

    fn put_store(&mut self, info: StoreInfo) -> Option<()> {
        Arc::make_mut(&mut self.directory).put(info)?;
        self.contacts.resize(self.directory.len(), None);
        self.numbers.resize_with(self.directory.len(), Vec::new);
        Some(())
    }

    fn put_contact(&mut self, store: &StoreId, contact: Contact) -> Option<()> {
        let store = self.directory.find(store.as_str())?;
        self.contacts[store.at()] = Some(contact);
        Some(())
    }

    fn put_item(
        &mut self,
        store: &StoreId,
        no: ItemNo,
        sku: &Sku,
        gtins: Vec<Gtin>,
        name: String,
    ) -> Option<()> {
        let store = self.directory.find(store.as_str())?;
        let slot = usize::try_from(no.0).ok().filter(|_| no.0 <= ITEMS_MAX)?;
        let item = self.named(sku, gtins, name)?;
        let numbers = &mut self.numbers[store.at()];
        if numbers.len() <= slot {
            numbers.resize(slot + 1, 0);
        }
        let before = std::mem::replace(&mut numbers[slot], item.0 + 1);
        if let Some(before) = before.checked_sub(1).map(ItemIx)
            && before != item
        {
            self.move_cell(store, before, item);
        }
        if let Some((level, feed)) = self.waiting.remove(&(store, no)) {
            self.put_late(CellKey { item, store }, level, feed);
        }
        Some(())
    }

    /// The chain-wide item of a sku; whoever named it last has named it.
    fn named(&mut self, sku: &Sku, gtins: Vec<Gtin>, name: String) -> Option<ItemIx> {
        if let Some(&item) = self.by_sku.get(sku.as_str()) {
            let names = &mut self.items[item.at()].names;
            if !name.is_empty() && *names.name != *name {
                names.name = name.into();
            }
            if !gtins.is_empty() && *names.gtins != *gtins {
                names.gtins = gtins.into();
            }
            return Some(item);
        }
        // The place plus one has to fit as well.
        let item = ItemIx(u32::try_from(self.items.len()).ok().filter(|at| *at < u32::MAX)?);
        let sku: Arc<str> = sku.as_str().into();
        let names = ItemNames { sku: Arc::clone(&sku), name: name.into(), gtins: gtins.into() };
        self.items.push(Item { names, column: Column::default() });
        self.by_sku.insert(sku, item);
        Some(item)
    }

    fn put_cell(&mut self, store: &StoreId, no: ItemNo, figures: Figures, feed: u64) -> Option<()> {
        let store = self.directory.find(store.as_str())?;
        let slot = usize::try_from(no.0).ok().filter(|_| no.0 <= ITEMS_MAX)?;
        let known = self.numbers[store.at()].get(slot).and_then(|at| at.checked_sub(1));
        match known.map(ItemIx) {
            Some(item) => self.put_level(CellKey { item, store }, figures.into(), feed),
            None => {
                self.waiting.insert((store, no), (figures.into(), feed));
            }
        }
        Some(())
    }

    fn put_level(&mut self, cell: CellKey, level: Level, feed: u64) {
        let before = self.items[cell.item.at()].column.put(cell.store, level, low_half(feed));
        self.cells += usize::from(before.is_none());
        self.feed.record(cell, before, feed);
    }

    /// A store has given an item number another sku: the figures go with the number.
    fn move_cell(&mut self, store: StoreIx, from: ItemIx, to: ItemIx) {
        let column = &mut self.items[from.at()].column;
        let (Some(level), Some(low)) = (column.get(store), column.feed_low(store)) else {
            return;
        };
        column.remove(store);
        self.cells -= 1;
        self.feed.forget(CellKey { item: from, store }, low);
        self.put_late(CellKey { item: to, store }, level, self.feed.settled().0);
    }

    /// Puts a cell that readers of the feed would miss, for they may be past its number: it comes again with the next
    /// number there is.
    fn put_late(&mut self, cell: CellKey, level: Level, feed: u64) {
        self.put_level(cell, level, feed);
        self.late.push(cell);
    }

    fn settle(&mut self) -> Cursor {
        let next = self.feed.highest();
        if next > self.feed.settled() {
            for cell in std::mem::take(&mut self.late) {
                if let Some(level) = self.items[cell.item.at()].column.get(cell.store) {
                    self.put_level(cell, level, next.0);
                }
            }
        }
        self.feed.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use sync_protocol::{Quantity, UnixMillis};

    fn store(id: &str) -> Update {
        let id = id.parse().unwrap();
        Update::Store(StoreInfo {
            id,
            name: "a store".to_owned(),
            lat: 0.0,
            lon: 0.0,
            timezone: "UTC".to_owned(),
        })
    }

    fn item(store: &str, no: u32, sku: &str) -> Update {
        let (store, sku) = (store.parse().unwrap(), sku.parse().unwrap());
        Update::Item { store, item: ItemNo(no), sku, gtins: Vec::new(), name: format!("the {no}") }
    }

    fn cell(store: &str, no: u32, free: i64, feed: u64) -> Update {
        let figures = Figures { free: Quantity::from_units(free), ..Figures::default() };
        Update::Cell { store: store.parse().unwrap(), item: ItemNo(no), figures, feed }
    }

    fn free(index: &Index, store: &str, sku: &str) -> Option<i64> {
        let reading = index.read();
        let store = reading.directory().find(store)?;
        let level = reading.level(reading.find(sku)?, store)?;
        Some(level.free.thousandths() / 1000)
    }

    fn changes(index: &Index, after: u64) -> Vec<(String, i64)> {
        let page = index.read().changes(Cursor(after), 100).unwrap();
        page.changes.iter().map(|c| (c.sku.to_string(), c.level.free.thousandths() / 1000)).collect()
    }

    #[test]
    fn stores_number_their_items_as_they_like_and_meet_at_the_sku() {
        let index = Index::new();
        index.publish([store("S1"), store("S2"), item("S1", 1, "milk"), item("S2", 9, "milk")]);
        index.publish([cell("S1", 1, 4, 1), cell("S2", 9, 6, 2)]);
        assert_eq!(free(&index, "S1", "milk"), Some(4));
        assert_eq!(free(&index, "S2", "milk"), Some(6));
        assert_eq!(index.read().counts().items, 1);
        assert_eq!(index.read().counts().cells, 2);
    }

    #[test]
    fn a_cell_that_comes_before_its_item_waits_for_it() {
        let index = Index::new();
        index.publish([store("S1"), cell("S1", 3, 5, 1)]);
        assert_eq!(index.read().counts().waiting, 1);
        index.publish([item("S1", 3, "tea")]);
        assert_eq!(free(&index, "S1", "tea"), Some(5));
        assert_eq!(index.read().counts().waiting, 0);
    }

    #[test]
    fn a_cell_that_had_to_wait_still_comes_to_readers_of_the_feed() {
        let index = Index::new();
        index.publish([store("S1"), item("S1", 1, "milk"), cell("S1", 3, 5, 1), cell("S1", 1, 1, 2)]);
        let cursor = index.read().cursor();
        index.publish([item("S1", 3, "tea")]);
        index.publish([cell("S1", 1, 2, 3)]);
        assert_eq!(changes(&index, cursor.0), [("milk".to_owned(), 2), ("tea".to_owned(), 5)]);
        assert_eq!(changes(&index, 3), []);
    }

    #[test]
    fn what_no_store_has_published_is_refused_and_counted() {
        let index = Index::new();
        index.publish([
            store("S1"),
            cell("S9", 1, 5, 1),
            item("S1", ITEMS_MAX + 1, "x"),
            item("S1", u32::MAX, "y"),
        ]);
        let counts = index.read().counts();
        assert_eq!((counts.refused, counts.items, counts.cells), (3, 0, 0));
    }

    #[test]
    fn an_item_that_is_renumbered_takes_its_figures_along() {
        let index = Index::new();
        index.publish([store("S1"), item("S1", 1, "old"), cell("S1", 1, 5, 1), item("S1", 1, "new")]);
        assert_eq!(free(&index, "S1", "old"), None);
        assert_eq!(free(&index, "S1", "new"), Some(5));
        assert_eq!(index.read().counts().cells, 1);
    }

    #[test]
    fn an_unnamed_item_keeps_the_name_another_store_gave_it() {
        let index = Index::new();
        let unnamed = |store: &str| match item(store, 7, "milk") {
            Update::Item { store, item, sku, gtins, .. } => {
                Update::Item { store, item, sku, gtins, name: String::new() }
            }
            other => other,
        };
        index.publish([store("S1"), store("S2"), unnamed("S1"), item("S2", 2, "milk"), unnamed("S1")]);
        let reading = index.read();
        assert_eq!(&*reading.names(reading.find("milk").unwrap()).name, "the 2");
    }

    #[test]
    fn a_rebuilt_index_continues_the_feed_it_had() {
        let index = Index::new();
        let everything =
            [store("S1"), item("S1", 1, "a"), item("S1", 2, "b"), cell("S1", 1, 4, 70), cell("S1", 2, 5, 30)];
        index.publish(everything);
        assert_eq!(changes(&index, 30), [("a".to_owned(), 4)]);
        index.publish([cell("S1", 2, 9, 71)]);
        assert_eq!(changes(&index, 30), [("a".to_owned(), 4), ("b".to_owned(), 9)]);
        assert_eq!(index.read().cursor(), Cursor(71));
    }

    #[test]
    fn the_feed_keeps_to_its_bound_and_says_what_it_lost() {
        let index = Index::with_feed_of(2);
        index.publish([store("S1"), item("S1", 1, "a"), item("S1", 2, "b"), item("S1", 3, "c")]);
        index.publish([cell("S1", 1, 1, 1), cell("S1", 2, 1, 2), cell("S1", 3, 1, 3)]);
        assert_eq!(index.read().changes(Cursor(0), 10), Err(CursorTooOld));
        assert_eq!(changes(&index, 1).len(), 2);
        assert_eq!(index.read().counts().feed, 2);
    }

    #[test]
    fn listeners_hear_of_each_publishing_once_it_can_be_read() {
        let index = Index::new();
        let heard = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&heard);
        index.on_publish(move |cursor| told.store(cursor.0, Ordering::Relaxed));
        index.publish([store("S1"), item("S1", 1, "a")]);
        index.publish((1..=1000).map(|feed| cell("S1", 1, 1, feed)));
        assert_eq!(heard.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_contact_is_remembered_as_it_was() {
        let index = Index::new();
        let (at, as_of) = (UnixMillis(2), UnixMillis(1));
        let id: StoreId = "S1".parse().unwrap();
        index.publish([store("S1"), Update::Contact { store: id, at, as_of, link_up: true, trusted: false }]);
        let reading = index.read();
        let ix = reading.directory().find("S1").unwrap();
        assert_eq!(reading.contact(ix), Some(Contact { at, as_of, link_up: true, trusted: false }));
    }
}
