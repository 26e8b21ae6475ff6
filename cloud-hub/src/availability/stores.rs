//! The list of stores: rarely changed, read by every request, so it is shared whole.

use super::geo::{Place, Point, chord_squared_of_km};
use super::update::StoreInfo;
use std::collections::HashMap;
use std::hash::Hasher;
use sync_protocol::StoreId;
use twox_hash::XxHash3_64;

/// A store's place in the index; small, and never reused while the hub runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreIx(pub(super) u16);

impl StoreIx {
    #[must_use]
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// A store with what is worked out about it once.
#[derive(Debug, Clone)]
pub struct Listed {
    pub info: StoreInfo,
    /// `None` when what was entered is no place on earth; such a store is near to nothing.
    pub point: Option<Point>,
    /// Changes with anything in `info`.
    pub fingerprint: u64,
}

/// All stores, by index and in the order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    listed: Vec<Listed>,
    by_id: HashMap<StoreId, StoreIx>,
    /// Invariant: every store once, in the order of ids.
    in_order: Vec<StoreIx>,
}

impl Directory {
    /// Adds or replaces a store. `None` when there is no room for another one.
    pub(super) fn put(&mut self, info: StoreInfo) -> Option<StoreIx> {
        if let Some(&ix) = self.by_id.get(&info.id) {
            self.listed[ix.at()] = Listed::from(info);
            return Some(ix);
        }
        let ix = StoreIx(u16::try_from(self.listed.len()).ok()?);
        let at = self.in_order.partition_point(|other| self.listed[other.at()].info.id < info.id);
        self.in_order.insert(at, ix);
        self.by_id.insert(info.id.clone(), ix);
        self.listed.push(Listed::from(info));
        Some(ix)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    #[must_use]
    pub fn find(&self, id: &str) -> Option<StoreIx> {
        self.by_id.get(id).copied()
    }

    #[must_use]
    pub fn get(&self, ix: StoreIx) -> &Listed {
        &self.listed[ix.at()]
    }

    /// Every store, in the order of ids.
    #[must_use]
    pub fn in_order(&self) -> &[StoreIx] {
        &self.in_order
    }

    /// Every store, by index.
    pub fn all(&self) -> impl Iterator<Item = StoreIx> + use<> {
        (0..self.listed.len()).filter_map(|at| u16::try_from(at).ok()).map(StoreIx)
    }

    /// How many ids come before `id`, or up to and with it.
    #[must_use]
    pub fn rank_after(&self, id: &str) -> usize {
        self.in_order.partition_point(|ix| self.get(*ix).info.id.as_str() <= id)
    }

    /// The squared chord from `from` to a store; infinite for a store without a place.
    #[must_use]
    pub fn chord_squared(&self, from: Point, ix: StoreIx) -> f64 {
        self.get(ix).point.map_or(f64::INFINITY, |point| point.chord_squared(from))
    }
}

/// The squared chord within which a store lies within `km`, never reaching stores without a place.
#[must_use]
pub(crate) fn reach_of_km(km: f64) -> f64 {
    chord_squared_of_km(km).min(f64::MAX)
}

impl From<StoreInfo> for Listed {
    fn from(info: StoreInfo) -> Listed {
        let point = Place::new(info.lat, info.lon).ok().map(Point::from);
        let fingerprint = fingerprint(&info);
        Listed { info, point, fingerprint }
    }
}

fn fingerprint(info: &StoreInfo) -> u64 {
    let mut hasher = XxHash3_64::with_seed(0);
    for text in [info.id.as_str(), &info.name, &info.timezone] {
        hasher.write(text.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.write_u64(info.lat.to_bits());
    hasher.write_u64(info.lon.to_bits());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: &str) -> StoreInfo {
        StoreInfo {
            id: id.parse().unwrap(),
            name: id.to_owned(),
            lat: 1.0,
            lon: 2.0,
            timezone: "UTC".to_owned(),
        }
    }

    #[test]
    fn stores_come_in_the_order_of_their_ids_however_they_were_added() {
        let mut directory = Directory::default();
        for id in ["S3", "S1", "S2"] {
            directory.put(info(id));
        }
        let ids: Vec<&str> =
            directory.in_order().iter().map(|ix| directory.get(*ix).info.id.as_str()).collect();
        assert_eq!(ids, ["S1", "S2", "S3"]);
        assert_eq!(directory.rank_after("S2"), 2);
        assert_eq!(directory.rank_after("S2a"), 2);
        assert_eq!(directory.rank_after(""), 0);
    }

    #[test]
    fn a_changed_store_keeps_its_place_and_changes_its_fingerprint() {
        let mut directory = Directory::default();
        let ix = directory.put(info("S1")).unwrap();
        let before = directory.get(ix).fingerprint;
        assert_eq!(directory.put(StoreInfo { name: "new".to_owned(), ..info("S1") }), Some(ix));
        assert_ne!(directory.get(ix).fingerprint, before);
        assert_eq!(directory.len(), 1);
    }

    #[test]
    fn a_store_without_a_place_is_near_to_nothing() {
        let mut directory = Directory::default();
        let ix = directory.put(StoreInfo { lat: f64::NAN, ..info("S1") }).unwrap();
        let here = Point::from(Place::new(0.0, 0.0).unwrap());
        assert!(directory.chord_squared(here, ix) > reach_of_km(1e9));
    }
}
