//! One item over all stores: the cells of a chain, packed.
//!
//! The question is nearly always "this item, in these stores", so the cells of one item lie together, sorted by store. A
//! cell takes 20 bytes: figures beyond ±2.1 million units, which no shelf holds, are kept beside the column in full.

use super::stores::StoreIx;
use super::update::Level;
use sync_protocol::Quantity;

/// Invariant: `cells` is sorted by store, no store twice; `wide` has an entry for each cell marked `wide`, and no other.
#[derive(Debug, Default)]
pub(super) struct Column {
    cells: Vec<Cell>,
    wide: Vec<(StoreIx, Level)>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    on_hand: i32,
    open: i32,
    free: i32,
    /// The low half of the feed number of the last change.
    feed_low: u32,
    store: StoreIx,
    wide: bool,
}

// Ten million of these are a hub's largest piece of memory.
const _: () = assert!(size_of::<Cell>() == 20);

impl Column {
    pub(super) fn get(&self, store: StoreIx) -> Option<Level> {
        let at = self.position(store).ok()?;
        Some(self.level(&self.cells[at]))
    }

    pub(super) fn feed_low(&self, store: StoreIx) -> Option<u32> {
        self.position(store).ok().map(|at| self.cells[at].feed_low)
    }

    pub(super) fn levels(&self) -> impl Iterator<Item = (StoreIx, Level)> {
        self.cells.iter().map(|cell| (cell.store, self.level(cell)))
    }

    /// Puts a cell in its place. Returns the low half of the feed number it had before, if it was there.
    pub(super) fn put(&mut self, store: StoreIx, level: Level, feed_low: u32) -> Option<u32> {
        self.wide.retain(|(other, _)| *other != store);
        let cell = match Cell::narrow(store, level, feed_low) {
            Some(cell) => cell,
            None => {
                self.wide.push((store, level));
                Cell { on_hand: 0, open: 0, free: 0, feed_low, store, wide: true }
            }
        };
        match self.position(store) {
            Ok(at) => Some(std::mem::replace(&mut self.cells[at], cell).feed_low),
            Err(at) => {
                self.make_room();
                self.cells.insert(at, cell);
                None
            }
        }
    }

    pub(super) fn remove(&mut self, store: StoreIx) {
        if let Ok(at) = self.position(store) {
            self.cells.remove(at);
            self.wide.retain(|(other, _)| *other != store);
        }
    }

    /// Grows by an eighth where `Vec` would double: columns fill up store by store, and all of them at once.
    fn make_room(&mut self) {
        if self.cells.len() == self.cells.capacity() {
            self.cells.reserve_exact(self.cells.len() / 8 + 4);
        }
    }

    fn position(&self, store: StoreIx) -> Result<usize, usize> {
        // Where every store carries the item, a cell stands at its store's number.
        if self.cells.get(store.at()).is_some_and(|cell| cell.store == store) {
            return Ok(store.at());
        }
        self.cells.binary_search_by_key(&store, |cell| cell.store)
    }

    fn level(&self, cell: &Cell) -> Level {
        let beside = || self.wide.iter().find(|(store, _)| *store == cell.store).map(|(_, level)| *level);
        if cell.wide { beside().unwrap_or_default() } else { cell.level() }
    }
}

impl Cell {
    fn narrow(store: StoreIx, level: Level, feed_low: u32) -> Option<Cell> {
        let narrow = |quantity: Quantity| i32::try_from(quantity.thousandths()).ok();
        Some(Cell {
            on_hand: narrow(level.on_hand)?,
            open: narrow(level.open)?,
            free: narrow(level.free)?,
            feed_low,
            store,
            wide: false,
        })
    }

    fn level(&self) -> Level {
        let quantity = |thousandths| Quantity::from_thousandths(i64::from(thousandths));
        Level { on_hand: quantity(self.on_hand), open: quantity(self.open), free: quantity(self.free) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(on_hand: i64) -> Level {
        Level { on_hand: Quantity::from_thousandths(on_hand), ..Level::default() }
    }

    #[test]
    fn cells_are_found_whatever_the_order_they_came_in() {
        let mut column = Column::default();
        for store in [7, 0, 3, 65_535, 1] {
            assert_eq!(column.put(StoreIx(store), level(i64::from(store)), 1), None);
        }
        for store in [0, 1, 3, 7, 65_535] {
            assert_eq!(column.get(StoreIx(store)), Some(level(i64::from(store))));
        }
        assert_eq!(column.get(StoreIx(2)), None);
        let stores: Vec<u16> = column.levels().map(|(store, _)| store.0).collect();
        assert_eq!(stores, [0, 1, 3, 7, 65_535]);
    }

    #[test]
    fn figures_of_any_size_come_back_exactly() {
        let mut column = Column::default();
        let figures =
            [0, -1, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::from(i32::MIN) - 1, i64::MAX, 5];
        for (feed, on_hand) in figures.into_iter().enumerate() {
            let low = u32::try_from(feed).unwrap();
            assert_eq!(column.put(StoreIx(4), level(on_hand), low), low.checked_sub(1));
            assert_eq!(column.get(StoreIx(4)), Some(level(on_hand)));
        }
        assert!(column.wide.is_empty());
        assert_eq!(column.cells.len(), 1);
    }

    #[test]
    fn a_removed_cell_is_gone_whole() {
        let mut column = Column::default();
        column.put(StoreIx(1), level(i64::MAX), 1);
        column.remove(StoreIx(1));
        column.remove(StoreIx(2));
        assert_eq!((column.cells.len(), column.wide.len(), column.get(StoreIx(1))), (0, 0, None));
    }
}
