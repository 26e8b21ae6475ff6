//! The stock cell is a CRDT, equal to a composition of well-known counters, and its rules keep their promises.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use crdts::{CmRDT, CvRDT, GCounter, PNCounter};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use std::collections::BTreeMap;
use std::fmt::Debug;
use sync_protocol::stock::{
    Cell, HubField, HubHalf, HubOp, StoreField, StoreHalf, StoreOp, TOTAL_MAX, target_claim,
};
use sync_protocol::{Epoch, Quantity};

/// Small values collide often, large ones look for overflow.
fn total() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..6_u64, 1 => 0..=TOTAL_MAX, 1 => Just(TOTAL_MAX)]
}

fn store_half() -> impl Strategy<Value = StoreHalf> {
    (0..4_u32, total(), total(), total(), total(), total()).prop_map(
        |(epoch, in_, out, granted, recalled, fulfilled)| StoreHalf {
            epoch: Epoch(epoch),
            in_,
            out,
            granted,
            recalled,
            fulfilled,
        },
    )
}

fn hub_half() -> impl Strategy<Value = HubHalf> {
    (total(), total(), total()).prop_map(|(promised, released, returned)| HubHalf {
        promised,
        released,
        returned,
    })
}

fn cell() -> impl Strategy<Value = Cell> {
    (store_half(), hub_half()).prop_map(|(store, hub)| Cell { store, hub })
}

fn merged<T: CvRDT + Copy>(a: T, b: T) -> T {
    let mut joined = a;
    joined.merge(b);
    joined
}

/// The laws of a join semilattice; they are what makes loss, doubling and reordering harmless.
fn obeys_the_laws<T: CvRDT + Copy + PartialEq + Debug>(a: T, b: T, c: T) -> Result<(), TestCaseError> {
    prop_assert_eq!(merged(a, b), merged(b, a), "commutative");
    prop_assert_eq!(merged(merged(a, b), c), merged(a, merged(b, c)), "associative");
    prop_assert_eq!(merged(a, a), a, "idempotent");
    prop_assert_eq!(merged(merged(a, b), b), merged(a, b), "a second delivery changes nothing");
    prop_assert!(a.validate_merge(&merged(a, b)).is_ok(), "a join of valid states is valid");
    Ok(())
}

proptest! {
    #[test]
    fn store_halves_obey_the_laws_across_epochs(a in store_half(), b in store_half(), c in store_half()) {
        obeys_the_laws(a, b, c)?;
    }

    #[test]
    fn hub_halves_obey_the_laws(a in hub_half(), b in hub_half(), c in hub_half()) {
        obeys_the_laws(a, b, c)?;
    }

    #[test]
    fn cells_obey_the_laws(a in cell(), b in cell(), c in cell()) {
        obeys_the_laws(a, b, c)?;
    }

    #[test]
    fn a_join_says_whether_it_changed_anything(a in cell(), b in cell()) {
        let mut joined = a;
        prop_assert_eq!(joined.join(&b), joined != a);
        prop_assert!(!joined.join(&b));
        prop_assert!(!joined.join(&a));
    }

    #[test]
    fn the_higher_epoch_wins_whole(a in store_half(), b in store_half()) {
        let joined = merged(a, b);
        if a.epoch == b.epoch {
            prop_assert_eq!(joined.in_, a.in_.max(b.in_));
            prop_assert_eq!(joined.fulfilled, a.fulfilled.max(b.fulfilled));
        } else {
            prop_assert_eq!(joined, if a.epoch > b.epoch { a } else { b });
        }
    }

    #[test]
    fn figures_agree_with_their_definitions(cell in cell()) {
        let Cell { store, hub } = cell;
        let figure = |plus: &[u64], minus: &[u64]| {
            let sum = |terms: &[u64]| terms.iter().map(|t| i128::from(*t)).sum::<i128>();
            sum(plus) - sum(minus)
        };
        let read = |q: Quantity| i128::from(q.thousandths());
        prop_assert_eq!(read(cell.on_hand()), figure(&[store.in_], &[store.out]));
        prop_assert_eq!(read(cell.claim()), figure(&[store.granted], &[hub.returned, store.fulfilled]));
        prop_assert_eq!(read(cell.open()), figure(&[hub.promised], &[hub.released, store.fulfilled]));
        prop_assert_eq!(read(cell.free()), figure(&[store.granted, hub.released], &[hub.returned, hub.promised]));
        prop_assert_eq!(read(cell.claim()), read(cell.free()) + read(cell.open()));
        prop_assert_eq!(read(cell.shortfall()), (read(cell.claim()) - read(cell.on_hand()).max(0)).max(0));
    }

    #[test]
    fn no_field_however_wild_makes_anything_overflow(
        fields in any::<[u64; 8]>(), epoch: u32, by: i64, target: i64,
    ) {
        let [in_, out, granted, recalled, fulfilled, promised, released, returned] = fields;
        let store = StoreHalf { epoch: Epoch(epoch), in_, out, granted, recalled, fulfilled };
        let mut cell = Cell { store, hub: HubHalf { promised, released, returned } };
        prop_assert_eq!(cell.validate().is_ok(), fields.iter().all(|f| *f <= TOTAL_MAX));
        let (by, target) = (Quantity::from_thousandths(by), Quantity::from_thousandths(target));
        let _ = (cell.on_hand(), cell.claim(), cell.open(), cell.free(), cell.shortfall());
        let _ = (cell.move_stock(by), cell.promise(by), cell.release(by), cell.hand_over(by));
        let _ = (cell.honour_recalls(), cell.settle(target));
        let _ = target_claim(by, target, by);
    }

    #[test]
    fn valid_cells_stay_valid_whatever_is_done_to_them(start in cell(), by in any::<[i64; 4]>()) {
        let mut cell = start;
        let [moved, asked, released, target] = by.map(Quantity::from_thousandths);
        let _ = (cell.move_stock(moved), cell.promise(asked), cell.settle(target));
        let _ = (cell.honour_recalls(), cell.hand_over(asked), cell.release(released));
        prop_assert!(cell.validate().is_ok());
        prop_assert!(!cell.clone().join(&start), "fields only grow");
    }
}

fn store_op() -> impl Strategy<Value = StoreOp> {
    use StoreField::{Fulfilled, Granted, In, Out, Recalled};
    let field = prop_oneof![Just(In), Just(Out), Just(Granted), Just(Recalled), Just(Fulfilled)];
    (0..3_u32, field, total()).prop_map(|(epoch, field, to)| StoreOp { epoch: Epoch(epoch), field, to })
}

fn hub_op() -> impl Strategy<Value = HubOp> {
    use HubField::{Promised, Released, Returned};
    let field = prop_oneof![Just(Promised), Just(Released), Just(Returned)];
    (field, total()).prop_map(|(field, to)| HubOp { field, to })
}

fn applied<T: CmRDT + Default>(ops: impl IntoIterator<Item = T::Op>) -> T {
    let mut half = T::default();
    ops.into_iter().for_each(|op| half.apply(op));
    half
}

proptest! {
    #[test]
    fn operations_commute_and_may_be_doubled(
        store in vec(store_op(), 0..12).prop_flat_map(|ops| (Just(ops.clone()), Just(ops).prop_shuffle())),
        hub in vec(hub_op(), 0..12).prop_flat_map(|ops| (Just(ops.clone()), Just(ops).prop_shuffle())),
    ) {
        let twice = |ops: &[StoreOp]| ops.iter().chain(ops).copied().collect::<Vec<_>>();
        prop_assert_eq!(applied::<StoreHalf>(store.0.clone()), applied(twice(&store.1)));
        prop_assert_eq!(applied::<HubHalf>(hub.0), applied(hub.1));
    }

    #[test]
    fn joining_states_equals_applying_the_operations_of_both(
        (all, some, others) in vec(store_op(), 0..12).prop_flat_map(|ops| {
            let any = 0..=ops.len();
            (Just(ops.clone()), subsequence(ops.clone(), any.clone()), subsequence(ops, any))
        }),
    ) {
        let heard = applied::<StoreHalf>(some.iter().chain(&others).copied());
        prop_assert_eq!(merged(applied::<StoreHalf>(some), applied(others)), heard);
        let whole = applied::<StoreHalf>(all);
        prop_assert_eq!(merged(whole, heard), whole, "what was heard of is part of the whole");
    }
}

#[test]
fn every_field_beyond_the_bound_is_named() {
    use StoreField::{Fulfilled, Granted, In, Out, Recalled};
    let to = TOTAL_MAX + 1;
    for (field, name) in
        [(In, "in"), (Out, "out"), (Granted, "granted"), (Recalled, "recalled"), (Fulfilled, "fulfilled")]
    {
        let op = StoreOp { epoch: Epoch(1), field, to };
        let mut cell = Cell::default();
        assert_eq!(cell.store.validate_op(&op).unwrap_err().field, name);
        cell.store.apply(op);
        assert_eq!(StoreHalf::default().validate_merge(&cell.store).unwrap_err().field, name);
        assert_eq!(Cell::default().validate_merge(&cell).unwrap_err().found, to);
    }
    for (field, name) in
        [(HubField::Promised, "promised"), (HubField::Released, "released"), (HubField::Returned, "returned")]
    {
        let op = HubOp { field, to };
        let mut cell = Cell::default();
        assert_eq!(cell.hub.validate_op(&op).unwrap_err().field, name);
        cell.hub.apply(op);
        assert_eq!(HubHalf::default().validate_merge(&cell.hub).unwrap_err().field, name);
        assert_eq!(Cell::default().validate_merge(&cell).unwrap_err().found, to);
    }
}

/// One writer, as the reference counters want an actor.
const WRITER: u8 = 1;

/// A store half of one epoch, made of the reference's counters: on hand is what goes up and down, the rest only grows.
#[derive(Debug, Clone, Default)]
struct StoreCounters {
    on_hand: PNCounter<u8>,
    granted: GCounter<u8>,
    recalled: GCounter<u8>,
    fulfilled: GCounter<u8>,
}

#[derive(Debug, Clone, Default)]
struct HubCounters {
    promised: GCounter<u8>,
    released: GCounter<u8>,
    returned: GCounter<u8>,
}

/// What one replica knows: every epoch it has heard of, read at the highest. A new epoch starts from a copy of the totals.
#[derive(Debug, Clone, Default)]
struct Reference {
    epochs: BTreeMap<Epoch, (StoreHalf, StoreCounters)>,
    hub: HubCounters,
}

impl StoreCounters {
    fn raise(&mut self, field: StoreField, by: u64) {
        match field {
            StoreField::In => self.on_hand.apply(self.on_hand.inc_many(WRITER, by)),
            StoreField::Out => self.on_hand.apply(self.on_hand.dec_many(WRITER, by)),
            StoreField::Granted => self.granted.apply(self.granted.inc_many(WRITER, by)),
            StoreField::Recalled => self.recalled.apply(self.recalled.inc_many(WRITER, by)),
            StoreField::Fulfilled => self.fulfilled.apply(self.fulfilled.inc_many(WRITER, by)),
        }
    }

    fn merge(&mut self, other: StoreCounters) {
        self.on_hand.merge(other.on_hand);
        self.granted.merge(other.granted);
        self.recalled.merge(other.recalled);
        self.fulfilled.merge(other.fulfilled);
    }
}

impl HubCounters {
    fn raise(&mut self, field: HubField, by: u64) {
        let counter = match field {
            HubField::Promised => &mut self.promised,
            HubField::Released => &mut self.released,
            HubField::Returned => &mut self.returned,
        };
        counter.apply(counter.inc_many(WRITER, by));
    }
}

impl Reference {
    fn newest(&mut self) -> &mut StoreCounters {
        let epoch = self.epochs.keys().next_back().copied().unwrap_or_default();
        &mut self.epochs.entry(epoch).or_default().1
    }

    fn merge(&mut self, other: Reference) {
        for (epoch, (start, counters)) in other.epochs {
            self.epochs.entry(epoch).or_insert((start, StoreCounters::default())).1.merge(counters);
        }
        self.hub.promised.merge(other.hub.promised);
        self.hub.released.merge(other.hub.released);
        self.hub.returned.merge(other.hub.returned);
    }

    /// `[on hand, granted, recalled, fulfilled, promised, released, returned]`
    fn read(&mut self) -> [String; 7] {
        let store = self.newest().clone();
        let hub = &self.hub;
        let growing =
            [&store.granted, &store.recalled, &store.fulfilled, &hub.promised, &hub.released, &hub.returned];
        let [granted, recalled, fulfilled, promised, released, returned] =
            growing.map(|c| c.read().to_string());
        [store.on_hand.read().to_string(), granted, recalled, fulfilled, promised, released, returned]
    }
}

fn read(cell: &Cell) -> [String; 7] {
    let Cell { store, hub } = cell;
    let growing = [store.granted, store.recalled, store.fulfilled, hub.promised, hub.released, hub.returned];
    let [granted, recalled, fulfilled, promised, released, returned] = growing.map(|total| total.to_string());
    [cell.on_hand().thousandths().to_string(), granted, recalled, fulfilled, promised, released, returned]
}

#[derive(Debug, Clone)]
enum Act {
    Store {
        field: StoreField,
        by: u64,
    },
    Hub {
        field: HubField,
        by: u64,
    },
    Send {
        from: usize,
        to: usize,
    },
    /// The store is lost; its next incarnation starts from what another replica knows.
    NextEpoch {
        copy_of: usize,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (store_op(), 0..1_000_000_u64).prop_map(|(op, by)| Act::Store { field: op.field, by }),
        2 => (hub_op(), 0..1_000_000_u64).prop_map(|(op, by)| Act::Hub { field: op.field, by }),
        4 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, to)| Act::Send { from, to }),
        1 => (0..REPLICAS).prop_map(|copy_of| Act::NextEpoch { copy_of }),
    ]
}

/// Replica 0 is where the store writes, replica 1 where the hub does, the others only listen.
const REPLICAS: usize = 4;
const STORE: usize = 0;
const HUB: usize = 1;

fn raise_store(half: &mut StoreHalf, field: StoreField, by: u64) {
    let at = match field {
        StoreField::In => half.in_,
        StoreField::Out => half.out,
        StoreField::Granted => half.granted,
        StoreField::Recalled => half.recalled,
        StoreField::Fulfilled => half.fulfilled,
    };
    half.apply(StoreOp { epoch: half.epoch, field, to: at + by });
}

fn raise_hub(half: &mut HubHalf, field: HubField, by: u64) {
    let at = match field {
        HubField::Promised => half.promised,
        HubField::Released => half.released,
        HubField::Returned => half.returned,
    };
    half.apply(HubOp { field, to: at + by });
}

fn start_epoch(cell: &mut Cell, reference: &mut Reference, from: StoreHalf, epoch: Epoch) {
    cell.store = StoreHalf { epoch, ..from };
    let mut counters = StoreCounters::default();
    counters.raise(StoreField::In, from.in_);
    counters.raise(StoreField::Out, from.out);
    counters.raise(StoreField::Granted, from.granted);
    counters.raise(StoreField::Recalled, from.recalled);
    counters.raise(StoreField::Fulfilled, from.fulfilled);
    reference.epochs.insert(epoch, (cell.store, counters));
}

proptest! {
    #[test]
    fn cells_equal_a_composition_of_reference_counters(acts in vec(act(), 0..80)) {
        let mut cells = [Cell::default(); REPLICAS];
        let mut references: [Reference; REPLICAS] = Default::default();
        let mut epoch = Epoch(0);
        for act in acts {
            match act {
                Act::Store { field, by } => {
                    raise_store(&mut cells[STORE].store, field, by);
                    references[STORE].newest().raise(field, by);
                }
                Act::Hub { field, by } => {
                    raise_hub(&mut cells[HUB].hub, field, by);
                    references[HUB].hub.raise(field, by);
                }
                Act::Send { from, to } => {
                    let (cell, reference) = (cells[from], references[from].clone());
                    cells[to].merge(cell);
                    references[to].merge(reference);
                }
                Act::NextEpoch { copy_of } => {
                    epoch = epoch.next();
                    let from = cells[copy_of].store;
                    start_epoch(&mut cells[STORE], &mut references[STORE], from, epoch);
                }
            }
            for (cell, reference) in cells.iter().zip(&mut references) {
                prop_assert_eq!(read(cell), reference.read());
            }
        }
    }
}

/// What may happen between one store and the hub while its line is good for nothing but late copies.
#[derive(Debug, Clone, Copy)]
enum Step {
    Receive(i64),
    SellWalkIn(i64),
    Settle { reserve: i64 },
    HandOver(i64),
    Promise(i64),
    Release(i64),
    StoreHears,
    HubHears,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..9_i64).prop_map(Step::Receive),
        (1..5_i64).prop_map(Step::SellWalkIn),
        (0..4_i64).prop_map(|reserve| Step::Settle { reserve }),
        (1..4_i64).prop_map(Step::HandOver),
        (1..6_i64).prop_map(Step::Promise),
        (1..4_i64).prop_map(Step::Release),
        Just(Step::StoreHears),
        Just(Step::HubHears),
    ]
}

fn walk_in_part(store: &Cell) -> i64 {
    store.on_hand().thousandths() - store.claim().thousandths()
}

fn take(step: Step, store: &mut Cell, hub: &mut Cell) {
    let q = Quantity::from_thousandths;
    match step {
        Step::Receive(n) => store.move_stock(q(n)).unwrap(),
        Step::SellWalkIn(n) if n <= walk_in_part(store) => store.move_stock(q(-n)).unwrap(),
        Step::Settle { reserve } => {
            store.settle(target_claim(store.open(), store.on_hand(), q(reserve)));
        }
        // Handed over is what both sides know to be promised: an order, seen whole.
        Step::HandOver(n) if q(n) <= store.open() => {
            store.hand_over(q(n)).unwrap();
            store.move_stock(q(-n)).unwrap();
        }
        Step::Promise(n) if q(n) <= hub.free() => hub.promise(q(n)).unwrap(),
        // The store agrees to a release only by the newest of both sides.
        Step::Release(n) if store.store == hub.store && q(n) <= hub.open() => {
            hub.release(q(n)).unwrap();
            hub.honour_recalls();
            store.join(hub);
        }
        Step::StoreHears => drop(store.hub.join(&hub.hub)),
        Step::HubHears => {
            hub.store.join(&store.store);
            hub.honour_recalls();
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn the_hub_never_promises_more_than_was_granted_and_the_shelf_honours_it(steps in vec(step(), 0..200)) {
        let (mut store, mut hub) = (Cell::default(), Cell::default());
        for step in steps {
            take(step, &mut store, &mut hub);
            let half = hub.hub;
            prop_assert!(half.promised + half.returned - half.released <= hub.store.granted, "{step:?}: {hub:?}");
            prop_assert!(hub.free() >= Quantity::ZERO, "{step:?}: {hub:?}");
            prop_assert!(hub.open() >= Quantity::ZERO, "{step:?}: {hub:?}");
            prop_assert!(store.claim() <= store.on_hand(), "{step:?}: {store:?}");
            prop_assert_eq!(store.shortfall(), Quantity::ZERO);
            prop_assert!(store.store.recalled <= store.store.granted, "{step:?}: {store:?}");
        }
        store.join(&hub);
        hub.join(&store);
        hub.honour_recalls();
        store.join(&hub);
        prop_assert_eq!(store, hub);
    }
}
