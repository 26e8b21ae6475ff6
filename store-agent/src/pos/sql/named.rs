//! Keys of rows that a database's log has named, until they have been looked at.
//!
//! A log may name a row a moment before a look can see what became of it, so each is looked at twice. What is too much to be kept is left
//! to a round over everything.

use std::collections::BTreeMap;

/// Most keys that are kept.
const KEYS_MAX: usize = 5_000;
const LOOKS: u8 = 2;
/// Keys that are no further apart are read as one range.
const NEAR: i64 = 16;
/// What one look goes over, in keys and in ranges, each of which is a question of its own.
const SPAN_MAX: i64 = 500;
const RANGES_MAX: usize = 20;

/// With how many looks each has still to come.
#[derive(Debug, Default)]
pub struct Named {
    looks: BTreeMap<i64, u8>,
}

impl Named {
    /// Gives whether there was room for all.
    #[must_use]
    pub fn add(&mut self, keys: &[i64]) -> bool {
        for key in keys {
            if self.looks.len() >= KEYS_MAX && !self.looks.contains_key(key) {
                return false;
            }
            self.looks.insert(*key, LOOKS);
        }
        true
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.looks.is_empty()
    }

    pub fn keep(&mut self, mut is_wanted: impl FnMut(i64) -> bool) {
        self.looks.retain(|key, _| is_wanted(*key));
    }

    /// What the next look is to go over: ranges with both ends, in ascending order, that don't overlap.
    #[must_use]
    pub fn ranges(&self) -> Vec<(i64, i64)> {
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        let mut span = 0;
        for key in self.looks.keys() {
            let has_room = ranges.len() < RANGES_MAX;
            let near = ranges.last_mut().filter(|(_, last)| key - *last <= NEAR);
            span += near.as_ref().map_or(1, |(_, last)| key - last);
            match near {
                _ if span > SPAN_MAX => break,
                Some((_, last)) => *last = *key,
                None if has_room => ranges.push((*key, *key)),
                None => break,
            }
        }
        ranges
    }

    /// A look has gone over these.
    pub fn looked_at(&mut self, first: i64, last: i64) {
        for (_, looks) in self.looks.range_mut(first..=last) {
            *looks -= 1;
        }
        self.looks.retain(|_, looks| *looks > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_near_is_one_range_and_each_key_is_looked_at_twice() {
        let mut named = Named::default();
        assert!(named.add(&[7, 3, 5, 900, 3]));
        assert_eq!(named.ranges(), [(3, 7), (900, 900)]);
        named.looked_at(3, 7);
        assert_eq!(named.ranges(), [(3, 7), (900, 900)]);
        named.looked_at(3, 7);
        assert_eq!(named.ranges(), [(900, 900)]);
        named.keep(|key| key < 900);
        assert!(named.is_empty());
    }

    #[test]
    fn more_than_can_be_kept_is_said() {
        let keys: Vec<i64> = (1..=5_000).collect();
        let mut named = Named::default();
        assert!(named.add(&keys) && named.add(&[17]));
        assert!(!named.add(&[5_001]));
    }

    proptest! {
        /// Whatever is named is looked at, and no look is longer than it may be.
        #[test]
        fn every_key_has_its_turn(keys in prop::collection::btree_set(1..5_000i64, 1..800)) {
            let keys: Vec<i64> = keys.into_iter().collect();
            let mut named = Named::default();
            prop_assert!(named.add(&keys));
            let mut seen: BTreeMap<i64, u8> = BTreeMap::new();
            while !named.is_empty() {
                let ranges = named.ranges();
                prop_assert!(!ranges.is_empty() && ranges.len() <= RANGES_MAX);
                prop_assert!(ranges.windows(2).all(|two| two[0].1 < two[1].0));
                prop_assert!(ranges.iter().map(|(first, last)| last - first + 1).sum::<i64>() <= SPAN_MAX);
                for (first, last) in ranges {
                    keys.iter().filter(|key| (first..=last).contains(key)).for_each(|key| *seen.entry(*key).or_default() += 1);
                    named.looked_at(first, last);
                }
            }
            prop_assert!(keys.iter().all(|key| seen.get(key) == Some(&LOOKS)));
        }
    }
}
