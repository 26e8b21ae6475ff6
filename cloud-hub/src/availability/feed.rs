//! The change feed: the last change of each cell, by growing number, as far back as memory allows.
//!
//! A cell that changes again leaves its old place, so a reader who comes late gets each cell once, as it is now. The
//! numbers come from the hub's core, which keeps them over restarts; published again at start, they rebuild the feed.

use super::index::ItemIx;
use super::stores::StoreIx;
use std::collections::BTreeSet;

/// A place in the change feed: everything up to it has been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// Changes after the cursor have been dropped, or the cursor is not of this feed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the change feed does not reach back to this cursor")]
pub struct CursorTooOld;

/// A cell's name in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CellKey {
    pub(super) item: ItemIx,
    pub(super) store: StoreIx,
}

/// Invariant: `kept` has no cell twice, nothing at or below `floor` is missed by a reader that is not told so, and at most
/// `kept_max` entries.
#[derive(Debug)]
pub(super) struct Feed {
    kept: BTreeSet<(u64, CellKey)>,
    kept_max: usize,
    /// The highest number that was dropped for lack of room.
    floor: u64,
    /// The highest number seen.
    highest: u64,
    /// Where readers stop: everything up to here has been published whole.
    settled: u64,
}

impl Feed {
    pub(super) fn new(kept_max: usize) -> Feed {
        Feed { kept: BTreeSet::new(), kept_max, floor: 0, highest: 0, settled: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn settled(&self) -> Cursor {
        Cursor(self.settled)
    }

    pub(super) fn highest(&self) -> Cursor {
        Cursor(self.highest)
    }

    /// Opens what was published so far to readers.
    pub(super) fn settle(&mut self) -> Cursor {
        self.settled = self.highest;
        Cursor(self.settled)
    }

    /// Takes down that a cell has changed; `before` is the low half of the number of its last change.
    pub(super) fn record(&mut self, cell: CellKey, before: Option<u32>, feed: u64) {
        if let Some(low) = before {
            self.forget(cell, low);
        }
        self.highest = self.highest.max(feed);
        if feed > self.floor {
            self.kept.insert((feed, cell));
        }
        if self.kept.len() > self.kept_max
            && let Some((dropped, _)) = self.kept.pop_first()
        {
            self.floor = dropped;
        }
    }

    pub(super) fn forget(&mut self, cell: CellKey, low: u32) {
        // Of all numbers that end in `low` only the last one can still be here: the feed keeps far fewer than 2³² of them.
        self.kept.remove(&(last_number_ending_in(low, self.highest), cell));
    }

    /// Up to `limit` cells that changed after the cursor (more where several share a number), each with where a reader
    /// stands who has taken everything up to and with it; and where to go on.
    pub(super) fn after(
        &self,
        cursor: Cursor,
        limit: usize,
    ) -> Result<(Vec<(Cursor, CellKey)>, Cursor), CursorTooOld> {
        // A cursor from the future was given out before the hub went back to an older copy of itself.
        if cursor.0 < self.floor || cursor.0 > self.settled {
            return Err(CursorTooOld);
        }
        let mut cells: Vec<(Cursor, CellKey)> = Vec::new();
        let (mut before, mut reached) = (cursor, cursor);
        for &(feed, cell) in self.kept.range((cursor.0 + 1, CellKey::FIRST)..) {
            if feed > self.settled {
                break;
            }
            if feed != reached.0 {
                if cells.len() >= limit {
                    return Ok((cells, reached));
                }
                (before, reached) = (reached, Cursor(feed));
            } else if let Some((stands, _)) = cells.last_mut() {
                // Changes that share a number are taken together or not at all.
                *stands = before;
            }
            cells.push((reached, cell));
        }
        Ok((cells, Cursor(self.settled)))
    }
}

impl CellKey {
    const FIRST: CellKey = CellKey { item: ItemIx::FIRST, store: StoreIx(0) };
}

/// The low half of a feed number.
#[expect(clippy::cast_possible_truncation, reason = "cutting off the high half is the purpose")]
pub(super) fn low_half(feed: u64) -> u32 {
    feed as u32
}

/// The highest number up to `highest` whose low half is `low`.
fn last_number_ending_in(low: u32, highest: u64) -> u64 {
    let candidate = (highest >> 32 << 32) | u64::from(low);
    if candidate <= highest { candidate } else { candidate.saturating_sub(1 << 32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(item: u32) -> CellKey {
        CellKey { item: ItemIx::new(item), store: StoreIx(0) }
    }

    fn feed_of(changes: &[(u32, Option<u32>, u64)]) -> Feed {
        let mut feed = Feed::new(4);
        for &(item, before, number) in changes {
            feed.record(cell(item), before, number);
        }
        feed.settle();
        feed
    }

    fn read(feed: &Feed, after: u64, limit: usize) -> (Vec<CellKey>, u64) {
        let (cells, next) = feed.after(Cursor(after), limit).unwrap();
        (cells.into_iter().map(|(_, cell)| cell).collect(), next.0)
    }

    #[test]
    fn a_cell_that_changed_again_is_read_once() {
        let feed = feed_of(&[(1, None, 1), (2, None, 2), (1, Some(1), 3)]);
        assert_eq!(read(&feed, 0, 10), (vec![cell(2), cell(1)], 3));
        assert_eq!(read(&feed, 2, 10), (vec![cell(1)], 3));
        assert_eq!(read(&feed, 3, 10), (vec![], 3));
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let feed = feed_of(&[(1, None, 10), (2, None, 20), (3, None, 30)]);
        assert_eq!(read(&feed, 0, 2), (vec![cell(1), cell(2)], 20));
        assert_eq!(read(&feed, 20, 2), (vec![cell(3)], 30));
    }

    #[test]
    fn changes_that_share_a_number_are_never_parted() {
        let feed = feed_of(&[(1, None, 10), (2, None, 10), (3, None, 11)]);
        assert_eq!(read(&feed, 0, 1), (vec![cell(1), cell(2)], 10));
        let stands: Vec<u64> =
            feed.after(Cursor(3), 9).unwrap().0.iter().map(|(stands, _)| stands.0).collect();
        assert_eq!(stands, [3, 10, 11]);
    }

    #[test]
    fn a_reader_behind_what_is_kept_is_told_so() {
        let feed = feed_of(&[(1, None, 1), (2, None, 2), (3, None, 3), (4, None, 4), (5, None, 5)]);
        assert_eq!(feed.after(Cursor(0), 10), Err(CursorTooOld));
        assert_eq!(read(&feed, 1, 10).0.len(), 4);
    }

    #[test]
    fn a_cursor_from_the_future_is_not_of_this_feed() {
        assert_eq!(feed_of(&[(1, None, 5)]).after(Cursor(6), 10), Err(CursorTooOld));
    }

    #[test]
    fn nothing_is_read_before_it_is_published_whole() {
        let mut feed = feed_of(&[(1, None, 5)]);
        feed.record(cell(2), None, 9);
        assert_eq!(read(&feed, 0, 10), (vec![cell(1)], 5));
        feed.record(cell(3), None, 8);
        feed.settle();
        assert_eq!(read(&feed, 5, 10), (vec![cell(3), cell(2)], 9));
    }

    #[test]
    fn what_comes_in_any_order_at_the_start_keeps_the_newest() {
        let feed =
            feed_of(&[(1, None, 6), (2, None, 1), (3, None, 5), (4, None, 2), (5, None, 4), (6, None, 3)]);
        assert_eq!(feed.floor, 2);
        assert_eq!(read(&feed, 2, 10).0, [cell(6), cell(5), cell(3), cell(1)]);
    }

    #[test]
    fn halves_of_numbers_are_made_whole_again() {
        let big = 5 << 32;
        assert_eq!(last_number_ending_in(7, big + 9), big + 7);
        assert_eq!(last_number_ending_in(10, big + 9), (4 << 32) + 10);
        assert_eq!(last_number_ending_in(0, 0), 0);
        assert_eq!(low_half(big + 7), 7);
    }

    #[test]
    fn coalescing_holds_across_the_low_halfs_end() {
        let before = u64::from(u32::MAX);
        let feed = feed_of(&[(1, None, before), (2, None, before + 1), (1, Some(u32::MAX), before + 2)]);
        assert_eq!(read(&feed, 0, 10).0, [cell(2), cell(1)]);
    }
}
