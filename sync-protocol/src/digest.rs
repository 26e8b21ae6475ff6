//! Digests: proof that two sides hold the same records.
//!
//! Each record has a 128-bit hash; a bucket is the sum of the hashes of its records, so a change costs one subtraction and one
//! addition and the order of changes does not matter. The root is the sum of all buckets. Where heads are equal and roots
//! differ, comparing buckets finds the records to send again. Hashes are XXH3-128 over the record's fields in a fixed layout:
//! part of the protocol, never changed within a version.

use crate::frame::codec::Writer;
use crate::frame::orders::{write_hub_order, write_store_order};
use crate::frame::sections::write_note;
use crate::ids::{ItemNo, SourceId};
use crate::limits::DIGEST_BUCKETS;
use crate::order::OrderId;
use crate::record::{CursorRecord, HubOrderRecord, HubStock, ItemRecord, Note, StoreOrderRecord, StoreStock};
use twox_hash::XxHash3_128;

/// The sums of one side's records of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    sums: Box<[u128]>,
}

impl Default for Digest {
    fn default() -> Self {
        Self { sums: vec![0; DIGEST_BUCKETS].into_boxed_slice() }
    }
}

impl Digest {
    /// A record has come in, with none before it under its key.
    pub fn add(&mut self, record: &impl Digested) {
        let sum = &mut self.sums[record.bucket()];
        *sum = sum.wrapping_add(record.hash());
    }

    /// A record has gone.
    pub fn remove(&mut self, record: &impl Digested) {
        let sum = &mut self.sums[record.bucket()];
        *sum = sum.wrapping_sub(record.hash());
    }

    #[must_use]
    pub fn root(&self) -> u128 {
        self.sums.iter().fold(0, |root, sum| root.wrapping_add(*sum))
    }

    #[must_use]
    pub fn sums(&self) -> &[u128] {
        &self.sums
    }

    /// The numbers of the buckets that differ, growing. Sides with another number of buckets differ in all of them.
    #[must_use]
    pub fn differing(&self, other: &[u128]) -> Vec<u8> {
        (0..=u8::MAX).filter(|at| other.get(usize::from(*at)) != self.sums.get(usize::from(*at))).collect()
    }
}

/// A record with a place in a digest.
pub trait Digested {
    fn bucket(&self) -> usize;
    fn hash(&self) -> u128;
}

/// The bucket of everything about one item.
#[must_use]
pub fn item_bucket(item: ItemNo) -> usize {
    usize::try_from(item.0).unwrap_or(0) % DIGEST_BUCKETS
}

/// The bucket of a POS source's cursor.
#[must_use]
pub fn source_bucket(source: &SourceId) -> usize {
    let hash = XxHash3_128::oneshot(source.as_str().as_bytes());
    usize::from(hash.to_le_bytes()[0]) % DIGEST_BUCKETS
}

impl Digested for StoreStock {
    fn bucket(&self) -> usize {
        item_bucket(self.item)
    }

    /// A half that is all zeros counts as absent: a cell starts as one.
    fn hash(&self) -> u128 {
        let half = &self.half;
        if [half.in_, half.out, half.granted, half.recalled, half.fulfilled] == [0; 5] {
            return 0;
        }
        hash_numbers::<7>([
            2,
            self.item.0.into(),
            half.in_,
            half.out,
            half.granted,
            half.recalled,
            half.fulfilled,
        ])
    }
}

impl Digested for HubStock {
    fn bucket(&self) -> usize {
        item_bucket(self.item)
    }

    /// A half that is all zeros counts as absent: the hub writes none until something happens.
    fn hash(&self) -> u128 {
        let half = &self.half;
        if half.promised == 0 && half.released == 0 && half.returned == 0 {
            return 0;
        }
        hash_numbers::<5>([3, self.item.0.into(), half.promised, half.released, half.returned])
    }
}

impl Digested for ItemRecord {
    fn bucket(&self) -> usize {
        item_bucket(self.item)
    }

    fn hash(&self) -> u128 {
        let mut hasher = XxHash3_128::new();
        hasher.write(&[1, u8::from(self.unnamed)]);
        hasher.write(&self.item.0.to_le_bytes());
        for text in [self.sku.as_str(), &self.name, &self.unit] {
            hasher.write(&(text.len() as u64).to_le_bytes());
            hasher.write(text.as_bytes());
        }
        for gtin in &self.gtins {
            hasher.write(&gtin.number().to_le_bytes());
        }
        hasher.finish_128()
    }
}

impl Digested for CursorRecord {
    fn bucket(&self) -> usize {
        source_bucket(&self.source)
    }

    fn hash(&self) -> u128 {
        let mut hasher = XxHash3_128::new();
        hasher.write(&[4]);
        hasher.write(self.source.as_str().as_bytes());
        hasher.write(&[0]);
        hasher.write(&self.value);
        hasher.finish_128()
    }
}

/// The bucket of an order. Its number is random in every bit.
#[must_use]
pub fn order_bucket(order: OrderId) -> usize {
    usize::from(order.number().to_le_bytes()[0]) % DIGEST_BUCKETS
}

impl Digested for HubOrderRecord {
    fn bucket(&self) -> usize {
        order_bucket(self.order)
    }

    fn hash(&self) -> u128 {
        hash_written(5, |out| write_hub_order(out, self))
    }
}

impl Digested for StoreOrderRecord {
    fn bucket(&self) -> usize {
        order_bucket(self.order)
    }

    fn hash(&self) -> u128 {
        hash_written(6, |out| write_store_order(out, self))
    }
}

/// The bucket of a note: that of the item where it is about one.
#[must_use]
pub fn note_bucket(key: u32) -> usize {
    item_bucket(ItemNo(key))
}

impl Digested for Note {
    fn bucket(&self) -> usize {
        note_bucket(self.key)
    }

    /// An empty one counts as absent.
    fn hash(&self) -> u128 {
        if self.text.is_empty() { 0 } else { hash_written(7, |out| write_note(out, self)) }
    }
}

/// A record as it is written to frames, behind a number for its kind.
fn hash_written(kind: u8, write: impl FnOnce(&mut Writer)) -> u128 {
    let mut out = Writer::default();
    out.u8(kind);
    write(&mut out);
    XxHash3_128::oneshot(&out.bytes)
}

fn hash_numbers<const N: usize>(numbers: [u64; N]) -> u128 {
    let mut bytes = [[0u8; 8]; N];
    for (place, number) in bytes.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    XxHash3_128::oneshot(bytes.as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;
    use crate::order::{Act, Cancel, HubOrder, Line, Proof, StoreOrder};
    use crate::quantity::Quantity;
    use crate::record::Topic;
    use crate::stock::{HubHalf, StoreHalf};
    use crate::time::UnixMillis;

    fn stock(item: u32, in_: u64) -> StoreStock {
        StoreStock { item: ItemNo(item), half: StoreHalf { in_, ..StoreHalf::default() } }
    }

    #[test]
    fn the_order_of_changes_does_not_matter() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        for item in 1..1000 {
            a.add(&stock(item, 5));
        }
        for item in (1..1000).rev() {
            b.add(&stock(item, 4));
            b.remove(&stock(item, 4));
            b.add(&stock(item, 5));
        }
        assert_eq!(a, b);
        assert_eq!(a.root(), b.root());
    }

    #[test]
    fn one_different_record_shows_in_its_bucket_and_in_the_root() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        a.add(&stock(300, 5));
        b.add(&stock(300, 6));
        assert_ne!(a.root(), b.root());
        assert_eq!(a.differing(b.sums()), vec![44]);
        assert_eq!(a.differing(&[]).len(), 256);
    }

    #[test]
    fn a_half_of_zeros_counts_as_absent() {
        let mut digest = Digest::default();
        digest.add(&stock(7, 0));
        digest.add(&HubStock { item: ItemNo(7), half: HubHalf::default() });
        assert_eq!(digest, Digest::default());
    }

    #[test]
    fn hashes_are_part_of_the_protocol_and_never_change() {
        let half = StoreHalf { in_: 5000, out: 2000, granted: 3000, recalled: 1000, ..StoreHalf::default() };
        let hash = StoreStock { item: ItemNo(9), half }.hash();
        assert_eq!(format!("{hash:032x}"), GOLDEN);
    }

    #[test]
    fn the_layout_of_orders_is_part_of_the_protocol_too() {
        let order = "K7M29-QX4TB".parse().unwrap();
        let lines = vec![Line { item: ItemNo(9), quantity: Quantity::from_thousandths(1_250) }];
        let hub = HubOrder {
            revision: 2,
            placed_at: UnixMillis(1_793_480_602_000),
            ready_by: UnixMillis(1_793_487_802_000),
            hold_until: UnixMillis(1_793_739_802_000),
            lines: lines.clone(),
            display_name: "Meera K.".to_owned(),
            phone: "…42".to_owned(),
            code_hash: [7; 16],
            cancel: Some(Cancel::Shopper),
            closed: false,
        };
        let mut store = StoreOrder::received(Epoch(3), &lines, UnixMillis(1_793_480_603_000));
        store
            .act(&Act::HandOver { proof: Proof::Code }, None, "Asha", UnixMillis(1_793_490_000_000))
            .unwrap();
        let hub = HubOrderRecord { order, half: hub }.hash();
        let store = StoreOrderRecord { order, half: store }.hash();
        assert_eq!([format!("{hub:032x}"), format!("{store:032x}")], GOLDEN_ORDERS);
    }

    #[test]
    fn the_layout_of_notes_is_part_of_the_protocol_too_and_an_empty_one_is_none() {
        let note = |text: &str| Note { topic: Topic::COUNT_TASK, key: 300, text: text.to_owned() };
        assert_eq!(format!("{:032x}", note("{\"state\":\"open\"}").hash()), GOLDEN_NOTE);
        assert_eq!((note("").hash(), note("").bucket()), (0, 44));
    }

    const GOLDEN_NOTE: &str = "57857e10a77fc57b2878a8d0c956759a";
    const GOLDEN_ORDERS: [&str; 2] = ["7a9025f1fee300b91bf246ed3ada778c", "fe1bbaa39e7a4374d69b9342ffff971b"];
    const GOLDEN: &str = "f63b4b9edb00b17a2ed1452dcb918782";
}
