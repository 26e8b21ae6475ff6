//! How far a ledger with growing keys has been read, when rows may show up out of order.
//!
//! A POS gives out keys when a row is written and shows the row when its transaction ends, so a lower key may come to light after
//! a higher one, or never. The cursor is therefore the highest key seen and the gaps below it: **invariant:** every key up to
//! `high` that is in no gap has been seen or given up. Gaps are sorted and don't touch.

use std::fmt::Write;
use sync_protocol::Ticks;
use sync_protocol::limits::CURSOR_BYTES_MAX;

/// `1081;1005-1073,1080` as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyCursor {
    high: i64,
    gaps: Vec<Gap>,
}

/// Keys that have been jumped over, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    first: i64,
    last: i64,
    /// When it was noticed; a restart begins anew.
    since: Ticks,
}

impl Gap {
    fn keys(&self) -> u64 {
        self.last.abs_diff(self.first).saturating_add(1)
    }
}

impl KeyCursor {
    /// Reads what [`KeyCursor::text`] wrote; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str, now: Ticks) -> Option<KeyCursor> {
        let (high, rest) = text.split_once(';')?;
        let mut cursor = KeyCursor { high: number(high)?, gaps: Vec::new() };
        for range in rest.split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let gap = Gap { first: number(first)?, last: number(last)?, since: now };
            let after = cursor.gaps.last().map_or(1, |before| before.last + 1);
            if gap.first < after || gap.last < gap.first || gap.last >= cursor.high {
                return None;
            }
            cursor.gaps.push(gap);
        }
        Some(cursor)
    }

    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{};", self.high);
        for (at, Gap { first, last, .. }) in self.gaps.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing into a string can't fail.
            let _ = match first == last {
                true => write!(text, "{comma}{first}"),
                false => write!(text, "{comma}{first}-{last}"),
            };
        }
        text
    }

    /// At `high`, with nothing open below it.
    #[must_use]
    pub fn starting_at(high: i64) -> KeyCursor {
        KeyCursor { high, gaps: Vec::new() }
    }

    #[must_use]
    pub fn high(&self) -> i64 {
        self.high
    }

    /// The keys that are waited for, as ranges with both ends.
    pub fn gaps(&self) -> impl Iterator<Item = (i64, i64)> {
        self.gaps.iter().map(|gap| (gap.first, gap.last))
    }

    /// A row with this key would be new.
    #[must_use]
    pub fn is_waited_for(&self, key: i64) -> bool {
        key > self.high || self.gaps.iter().any(|gap| gap.first <= key && key <= gap.last)
    }

    /// How many keys are waited for.
    #[must_use]
    pub fn waited_for(&self) -> u64 {
        self.gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.keys()))
    }

    /// A row with this key is there. False where it has been accounted for already.
    pub fn see(&mut self, key: i64, now: Ticks) -> bool {
        if key > self.high {
            if key - self.high > 1 {
                self.gaps.push(Gap { first: self.high + 1, last: key - 1, since: now });
            }
            self.high = key;
            return true;
        }
        let Some(at) = self.gaps.iter().position(|gap| gap.first <= key && key <= gap.last) else {
            return false;
        };
        let gap = self.gaps.remove(at);
        if key < gap.last {
            self.gaps.insert(at, Gap { first: key + 1, ..gap });
        }
        if gap.first < key {
            self.gaps.insert(at, Gap { last: key - 1, ..gap });
        }
        true
    }

    /// Stops waiting for what has been missing for `patience_ms`. Gives the number of keys.
    pub fn give_up(&mut self, now: Ticks, patience_ms: u64) -> u64 {
        let before = self.waited_for();
        self.gaps.retain(|gap| now.since(gap.since) < patience_ms);
        before - self.waited_for()
    }

    /// Gives up the oldest gaps until the text fits. Gives the number of keys.
    pub fn fit(&mut self) -> u64 {
        let before = self.waited_for();
        while self.text().len() > CURSOR_BYTES_MAX {
            let oldest = self.gaps.iter().enumerate().min_by_key(|(_, gap)| (gap.since, gap.first));
            let Some((at, _)) = oldest else { break };
            self.gaps.remove(at);
        }
        before - self.waited_for()
    }
}

fn number(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(cursor: &mut KeyCursor, keys: &[i64]) {
        for key in keys {
            assert!(cursor.see(*key, Ticks(0)), "{key}");
        }
    }

    #[test]
    fn a_sale_that_is_committed_late_is_waited_for() {
        // A basket of 69 lines got its keys first and was committed last.
        let mut cursor = KeyCursor::starting_at(1004);
        let quick: Vec<i64> = (1074..=1079).chain([1081]).collect();
        read(&mut cursor, &quick);
        assert_eq!(cursor.text(), "1081;1005-1073,1080");
        let late: Vec<i64> = (1005..=1073).chain([1080]).collect();
        read(&mut cursor, &late);
        assert_eq!(cursor.text(), "1081;");
    }

    #[test]
    fn what_never_comes_is_given_up_in_the_end() {
        let mut cursor = KeyCursor::default();
        assert!(cursor.see(5, Ticks(1_000)));
        assert!(cursor.see(8, Ticks(2_000)));
        assert_eq!(cursor.give_up(Ticks(1_999), 1_000), 0);
        assert_eq!(cursor.give_up(Ticks(2_000), 1_000), 4);
        assert_eq!(cursor.text(), "8;6-7");
        assert!(!cursor.see(3, Ticks(3_000)), "it has been given up");
    }

    #[test]
    fn a_cursor_that_nobody_wrote_is_refused() {
        for text in [
            "",
            "7",
            "7;9",
            "7;3-2",
            "7;3,3",
            "7;5,3",
            "-7;",
            "7;0",
            "x;",
            "7;1-2,",
            "9;1,,",
            "99999999999999999999;",
        ] {
            let read = KeyCursor::parse(text, Ticks(0));
            let empty_ends = matches!(text, "7;1-2," | "9;1,,");
            assert_eq!(read.is_some(), empty_ends, "{text}: {read:?}");
        }
    }

    #[test]
    fn the_last_key_there_is_can_be_seen() {
        let mut cursor = KeyCursor::default();
        assert!(cursor.see(i64::MAX, Ticks(0)));
        assert!(cursor.see(i64::MAX - 1, Ticks(0)));
        assert_eq!(cursor.waited_for(), i64::MAX.unsigned_abs() - 2);
        assert!(!cursor.see(i64::MAX, Ticks(0)));
    }

    #[test]
    fn more_gaps_than_fit_cost_the_oldest() {
        let mut cursor = KeyCursor::default();
        for key in 1..=200 {
            assert!(cursor.see(key * 1_000, Ticks(key.unsigned_abs())));
        }
        assert!(cursor.fit() > 0);
        assert!(cursor.text().len() <= CURSOR_BYTES_MAX);
        assert!(cursor.see(199_500, Ticks(300)), "the newest gap is kept");
        assert!(!cursor.see(1_500, Ticks(300)), "the oldest is not");
    }

    proptest! {
        /// Whatever the order in which rows come to light, and wherever the reader restarts, each is taken exactly once.
        #[test]
        fn each_row_is_taken_once_in_any_order(
            order in Just((1..=40i64).collect::<Vec<_>>()).prop_shuffle(),
            missing in prop::collection::hash_set(1..=40i64, 0..6),
            polls in prop::collection::vec((1usize..8, any::<bool>()), 1..60),
        ) {
            let mut cursor = KeyCursor::default();
            let mut visible: Vec<i64> = Vec::new();
            let mut taken: Vec<i64> = Vec::new();
            let mut coming = order.iter().filter(|key| !missing.contains(key));
            let mut goes = polls.into_iter().chain(std::iter::repeat((40, false)));
            loop {
                let (count, restarts) = goes.next().unwrap_or((40, false));
                let new: Vec<i64> = coming.by_ref().take(count).copied().collect();
                let is_end = new.is_empty();
                visible.extend(new);
                if restarts {
                    cursor = KeyCursor::parse(&cursor.text(), Ticks(0)).unwrap();
                }
                let gaps: Vec<_> = cursor.gaps().collect();
                let due = |key: &i64| *key > cursor.high() || gaps.iter().any(|(a, b)| a <= key && key <= b);
                let mut due: Vec<i64> = visible.iter().copied().filter(due).collect();
                due.sort_unstable();
                for key in due {
                    prop_assert!(cursor.see(key, Ticks(0)));
                    taken.push(key);
                }
                prop_assert_eq!(cursor.fit(), 0);
                if is_end {
                    break;
                }
            }
            visible.sort_unstable();
            taken.sort_unstable();
            prop_assert_eq!(taken, visible);
        }
    }
}
