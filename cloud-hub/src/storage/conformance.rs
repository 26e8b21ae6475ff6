//! What every storage promises, as one suite: run it over a new one before the hub runs on it.
//!
//! `fresh` gives an empty storage each time; `reopen` closes one and opens it again as after a restart (where that loses
//! everything by design, it gives the same one back).

use super::{
    AtCut, Changes, Happening, HistoryChunk, HubFacts, QUARANTINE_MAX, Quarantined, Receipt, Reservation,
    ReservedLine, ShopOrder, ShopOrderContent, ShopPart, ShopWish, Storage, StoreChanges, StoreFacts,
    StoreKey, StoredCell, StoredCursor, StoredNote, StoredOrder, Told,
};
use crate::availability::StoreInfo;
use crate::orders::pickup_settings::{PickupSettings, Revised};
use crate::orders::placement::Reroute;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::frame::{Body, BootMark, Frame, HistoryBatch, encode};
use sync_protocol::order::{Act, Cancel, HubOrder, Line, OrderId, Proof, StoreOrder};
use sync_protocol::record::{HistoryDocument, HistoryLine, ItemRecord, Kind, Note, Topic};
use sync_protocol::stock::{Cell, HubHalf, StoreHalf, TOTAL_MAX};
use sync_protocol::{Boot, Epoch, ItemNo, Position, Quantity, Seq, SourceId, StoreId, UnixMillis};

type Reopen<'a> = &'a dyn Fn(Box<dyn Storage>) -> Box<dyn Storage>;

/// Holds a storage to all of its promises.
///
/// # Panics
/// With the promise it breaks.
pub fn check(fresh: impl Fn() -> Box<dyn Storage>, reopen: impl Fn(Box<dyn Storage>) -> Box<dyn Storage>) {
    let promises: [fn(Box<dyn Storage>, Reopen<'_>); 19] = [
        it_starts_empty,
        its_life_is_given_once,
        a_store_is_added_once_and_may_change,
        a_commit_reads_back_as_it_was,
        the_ends_of_every_range_read_back,
        what_a_commit_does_not_speak_of_stays,
        a_commit_happens_whole_or_not_at_all,
        stores_do_not_mix,
        a_new_cut_forgets_the_one_before,
        a_cut_and_what_has_moved_since_fit_one_commit,
        cursors_can_be_replaced_whole,
        history_comes_back_in_order_and_once,
        history_of_a_later_epoch_counts_anew,
        quarantine_keeps_the_newest,
        orders_are_kept_and_replaced,
        pickup_settings_are_kept_and_replaced,
        of_two_who_change_the_same_settings_one_fails,
        reservations_are_kept_until_they_end,
        notes_are_kept_by_writer_topic_and_key,
    ];
    for promise in promises {
        promise(fresh(), &reopen);
    }
}

fn it_starts_empty(mut storage: Box<dyn Storage>, _: Reopen<'_>) {
    assert!(storage.stores().unwrap().is_empty());
    assert_eq!(storage.quarantined().unwrap(), (0, None));
    let store = added(&mut storage, "S0001");
    let stored = storage.load(store).unwrap();
    // A store that nobody has heard of yet has promised nothing that could have been forgotten.
    assert_eq!(stored.facts, StoreFacts { trusted: true, ..StoreFacts::default() });
    assert!(stored.cells.is_empty() && stored.at_cut.is_empty() && stored.cursors.is_empty());
    assert!(storage.items(store).unwrap().is_empty());
    assert_eq!(storage.item(store, ItemNo(1)).unwrap(), None);
    assert_eq!(history(&mut storage, store), []);
}

fn notes_are_kept_by_writer_topic_and_key(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let (store, other) = (added(&mut storage, "S0001"), added(&mut storage, "S0002"));
    let note = |from_hub, topic, key, text: &str, seq| StoredNote {
        note: Note { topic: Topic(topic), key, text: text.to_owned() },
        from_hub,
        down_seq: Seq(seq),
    };
    let kept = |notes| StoreChanges { notes, ..StoreChanges::default() };
    let first = vec![note(true, 1, 0, "a", 5), note(false, 3, u32::MAX, "b", 0), note(false, 1, 0, "c", 0)];
    storage.commit(&of(store, kept(first))).unwrap();
    storage.commit(&of(other, kept(vec![note(true, 1, 0, "other", 1)]))).unwrap();
    let end = i64::MAX.unsigned_abs();
    storage.commit(&of(store, kept(vec![note(true, 1, 0, "", end), note(false, 1, 0, "", 0)]))).unwrap();
    let mut found = reopen(storage).load(store).unwrap().notes;
    found.sort_by_key(|note| note.from_hub);
    assert_eq!(found, [note(false, 3, u32::MAX, "b", 0), note(true, 1, 0, "", end)]);
}

fn its_life_is_given_once(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    assert_eq!(storage.hub(u64::MAX).unwrap(), HubFacts { life: u64::MAX, feed: 0 });
    assert_eq!(storage.hub(8).unwrap(), HubFacts { life: u64::MAX, feed: 0 });
    let restored = HubFacts { life: 9, feed: 77 };
    storage.commit(&Changes { hub: Some(restored), ..Changes::default() }).unwrap();
    assert_eq!(reopen(storage).hub(10).unwrap(), restored);
}

fn a_store_is_added_once_and_may_change(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let first = added(&mut storage, "S0001");
    let second = added(&mut storage, "S0002");
    assert_ne!(first, second);
    storage.commit(&of(first, full_changes())).unwrap();
    assert_eq!(added(&mut storage, "S0001"), first);
    let moved = StoreInfo { name: "Am Markt".to_owned(), lat: -89.5, ..info("S0001") };
    assert_eq!(storage.put_store(&moved).unwrap(), first);
    let mut storage = reopen(storage);
    assert_eq!(storage.stores().unwrap(), [(first, moved), (second, info("S0002"))]);
    assert_eq!(storage.load(first).unwrap().facts, full_changes().facts.unwrap(), "its sync goes on");
}

fn a_commit_reads_back_as_it_was(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let store = added(&mut storage, "S0001");
    storage.commit(&of(store, full_changes())).unwrap();
    holds(&mut storage, store, &full_changes());
    holds(&mut reopen(storage), store, &full_changes());
}

fn the_ends_of_every_range_read_back(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let end = i64::MAX.unsigned_abs();
    let totals = [TOTAL_MAX; 5];
    let changes = StoreChanges {
        facts: Some(StoreFacts {
            epoch: Epoch(u32::MAX),
            boots: vec![
                BootMark { boot: Boot(u64::MAX), first_seq: Seq(end), first_position: Position(end) },
                BootMark { boot: Boot(0), first_seq: Seq(0), first_position: Position(0) },
            ],
            boot_head: Seq(end),
            granted_to: Some(Boot(u64::MAX)),
            state_mark: Seq(end),
            history_mark: Position(end),
            down_head: Seq(end),
            cut: (Epoch(u32::MAX), Position(end)),
            position_seen: Position(end),
            last_contact: UnixMillis(i64::MAX),
            as_of: UnixMillis(i64::MIN),
            trusted: false,
            heard_life: u64::MAX,
        }),
        cells: vec![(ItemNo(u32::MAX), cell(Epoch(u32::MAX), totals, [TOTAL_MAX; 3], end))],
        at_cut: vec![(ItemNo(u32::MAX), AtCut { in_: TOTAL_MAX, out: TOTAL_MAX })],
        ..StoreChanges::default()
    };
    let store = added(&mut storage, "S0001");
    storage.commit(&of(store, changes.clone())).unwrap();
    holds(&mut reopen(storage), store, &changes);
}

fn what_a_commit_does_not_speak_of_stays(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let store = added(&mut storage, "S0001");
    storage.commit(&of(store, full_changes())).unwrap();
    storage.commit(&of(store, StoreChanges::default())).unwrap();
    holds(&mut storage, store, &full_changes());
    let changed = StoreChanges {
        items: vec![item(2, "butter, salted")],
        cells: vec![(ItemNo(2), cell(EPOCH, [9, 8, 7, 6, 5], [4, 3, 2], 50))],
        cursors: vec![(source("pos-db"), StoredCursor { value: vec![4], at_cut: Some(Some(vec![1])) })],
        ..StoreChanges::default()
    };
    storage.commit(&of(store, changed.clone())).unwrap();
    let mut expected = full_changes();
    expected.items[1] = changed.items[0].clone();
    expected.cells[1] = changed.cells[0];
    expected.cursors[0] = changed.cursors[0].clone();
    holds(&mut reopen(storage), store, &expected);
}

/// The second store's figures can't be held by any storage with signed numbers; the first store's must not happen either.
fn a_commit_happens_whole_or_not_at_all(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let (first, second) = (added(&mut storage, "S0001"), added(&mut storage, "S0002"));
    let impossible =
        StoreChanges { cells: vec![(ItemNo(1), cell(EPOCH, [0; 5], [0; 3], u64::MAX))], ..full_changes() };
    let stores = BTreeMap::from([(first, full_changes()), (second, impossible)]);
    let before = storage.hub(1).unwrap();
    let hub = Some(HubFacts { life: 2, feed: 5 });
    let (shop_orders, reservations) = (vec![shop_order(9)], vec![reserved(9)]);
    let changes = Changes { hub, stores, shop_orders, reservations, ..Changes::default() };
    let failed = storage.commit(&changes).unwrap_err();
    assert_eq!(failed.to_string(), "committing failed");
    nothing_is_there(&mut storage, &[first, second]);
    assert_eq!(storage.hub(1).unwrap(), before);
    let mut storage = reopen(storage);
    nothing_is_there(&mut storage, &[first, second]);
    storage.commit(&of(first, full_changes())).unwrap();
    holds(&mut storage, first, &full_changes());
}

fn nothing_is_there(storage: &mut Box<dyn Storage>, stores: &[StoreKey]) {
    for store in stores {
        let stored = storage.load(*store).unwrap();
        assert_eq!(stored.facts.epoch, Epoch(0));
        assert!(stored.cells.is_empty() && stored.at_cut.is_empty() && stored.cursors.is_empty());
        assert!(storage.items(*store).unwrap().is_empty());
        assert_eq!(history(storage, *store), []);
    }
    assert_eq!(storage.quarantined().unwrap().0, 0);
    assert_eq!((storage.shop_orders().unwrap(), storage.reservations().unwrap()), (vec![], vec![]));
}

fn stores_do_not_mix(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let (first, second) = (added(&mut storage, "S0001"), added(&mut storage, "S0002"));
    let other = StoreChanges {
        facts: Some(StoreFacts { epoch: Epoch(9), ..StoreFacts::default() }),
        items: vec![item(1, "bread")],
        cells: vec![(ItemNo(1), cell(Epoch(9), [1, 0, 0, 0, 0], [0; 3], 1))],
        cursors: vec![(source("pos-db"), StoredCursor { value: vec![7], at_cut: None })],
        history: vec![chunk(9, 0, &[(1, 1)])],
        ..StoreChanges::default()
    };
    let stores = BTreeMap::from([(first, full_changes()), (second, other.clone())]);
    storage.commit(&Changes { stores, ..Changes::default() }).unwrap();
    let forget = StoreChanges { forget_cursors: true, forget_at_cut: true, ..StoreChanges::default() };
    storage.commit(&of(second, forget)).unwrap();
    let mut storage = reopen(storage);
    holds(&mut storage, first, &full_changes());
    holds(&mut storage, second, &StoreChanges { cursors: Vec::new(), ..other });
}

fn a_new_cut_forgets_the_one_before(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let store = added(&mut storage, "S0001");
    storage.commit(&of(store, full_changes())).unwrap();
    storage.commit(&of(store, StoreChanges { forget_at_cut: true, ..StoreChanges::default() })).unwrap();
    let cursors = full_changes().cursors.into_iter();
    let expected = StoreChanges {
        at_cut: Vec::new(),
        cursors: cursors.map(|(source, cursor)| (source, StoredCursor { at_cut: None, ..cursor })).collect(),
        ..full_changes()
    };
    holds(&mut reopen(storage), store, &expected);
}

/// The cut is made before what the same step has moved beyond it: both at once must not forget the latter.
fn a_cut_and_what_has_moved_since_fit_one_commit(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let store = added(&mut storage, "S0001");
    storage.commit(&of(store, full_changes())).unwrap();
    let moved = vec![(ItemNo(2), AtCut { in_: 44, out: 33 })];
    let changes = StoreChanges { forget_at_cut: true, at_cut: moved.clone(), ..StoreChanges::default() };
    storage.commit(&of(store, changes)).unwrap();
    assert_eq!(reopen(storage).load(store).unwrap().at_cut, moved.into_iter().collect());
}

fn cursors_can_be_replaced_whole(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let store = added(&mut storage, "S0001");
    storage.commit(&of(store, full_changes())).unwrap();
    let cursors = vec![(source("csv"), StoredCursor { value: Vec::new(), at_cut: None })];
    let changes = StoreChanges { forget_cursors: true, cursors: cursors.clone(), ..StoreChanges::default() };
    storage.commit(&of(store, changes)).unwrap();
    assert_eq!(reopen(storage).load(store).unwrap().cursors, cursors.into_iter().collect());
}

/// A batch that was sent again may be cut differently: it overlaps the one before, or is that one.
fn history_comes_back_in_order_and_once(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let store = added(&mut storage, "S0001");
    let chunks = [
        chunk(1, 0, &[(1, 2), (3, 1), (4, 3)]),
        chunk(1, 3, &[(4, 3), (7, 1)]),
        chunk(1, 3, &[(4, 3), (7, 1)]),
        chunk(1, 7, &[(8, 1), (9, 2)]),
    ];
    for chunk in chunks {
        storage.commit(&of(store, StoreChanges { history: vec![chunk], ..StoreChanges::default() })).unwrap();
    }
    let expected = [(1, 1), (1, 3), (1, 4), (1, 7), (1, 8), (1, 9)];
    assert_eq!(history(&mut storage, store), expected);
    assert_eq!(history(&mut reopen(storage), store), expected);
}

fn history_of_a_later_epoch_counts_anew(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let store = added(&mut storage, "S0001");
    let chunks = vec![chunk(2, 0, &[(3, 1), (90, 1)]), chunk(1, 0, &[(1, 50)]), chunk(2, 90, &[(91, 1)])];
    storage.commit(&of(store, StoreChanges { history: chunks, ..StoreChanges::default() })).unwrap();
    assert_eq!(history(&mut reopen(storage), store), [(1, 1), (2, 3), (2, 90), (2, 91)]);
}

fn quarantine_keeps_the_newest(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let (store, other) = (added(&mut storage, "S0001"), added(&mut storage, "S0002"));
    let piece = |at: usize| Quarantined {
        at: UnixMillis(i64::try_from(at).unwrap()),
        what: "item".to_owned(),
        reason: "no sku".to_owned(),
        bytes: vec![0xFF],
    };
    let quarantine = |pieces| StoreChanges { quarantine: pieces, ..StoreChanges::default() };
    storage.commit(&of(other, quarantine(vec![piece(5_000_000)]))).unwrap();
    storage.commit(&of(store, quarantine((0..QUARANTINE_MAX).map(piece).collect()))).unwrap();
    let full = QUARANTINE_MAX as u64 + 1;
    assert_eq!(storage.quarantined().unwrap(), (full, Some(UnixMillis(0))));
    storage.commit(&of(store, quarantine((0..7).map(|n| piece(QUARANTINE_MAX + n)).collect()))).unwrap();
    let counted = reopen(storage).quarantined().unwrap();
    assert_eq!(counted, (full, Some(UnixMillis(7))), "the other store's piece is not pushed out");
}

// Things to keep.

const EPOCH: Epoch = Epoch(3);

fn added(storage: &mut Box<dyn Storage>, id: &str) -> StoreKey {
    storage.put_store(&info(id)).unwrap()
}

fn info(id: &str) -> StoreInfo {
    StoreInfo {
        id: id.parse::<StoreId>().unwrap(),
        name: "Höfe & Töchter".to_owned(),
        lat: 52.520_008,
        lon: 13.404_954,
        timezone: "Europe/Berlin".to_owned(),
    }
}

fn of(store: StoreKey, changes: StoreChanges) -> Changes {
    Changes { stores: BTreeMap::from([(store, changes)]), ..Changes::default() }
}

fn source(name: &str) -> SourceId {
    name.parse().unwrap()
}

fn item(n: u32, name: &str) -> ItemRecord {
    ItemRecord {
        item: ItemNo(n),
        sku: format!("sku {n}").parse().unwrap(),
        gtins: vec!["4006381333931".parse().unwrap(), "96385074".parse().unwrap()],
        name: name.to_owned(),
        unit: "each".to_owned(),
        unnamed: n == 1,
    }
}

fn cell(epoch: Epoch, store: [u64; 5], hub: [u64; 3], feed: u64) -> StoredCell {
    let [in_, out, granted, recalled, fulfilled] = store;
    let [promised, released, returned] = hub;
    let store = StoreHalf { epoch, in_, out, granted, recalled, fulfilled };
    StoredCell {
        cell: Cell { store, hub: HubHalf { promised, released, returned } },
        down_seq: Seq(feed / 2),
        feed,
        held: feed / 3,
    }
}

/// Something of everything.
fn full_changes() -> StoreChanges {
    StoreChanges {
        facts: Some(StoreFacts {
            epoch: EPOCH,
            boots: vec![
                BootMark { boot: Boot(5), first_seq: Seq(1), first_position: Position(1) },
                BootMark { boot: Boot(6), first_seq: Seq(40), first_position: Position(40) },
            ],
            boot_head: Seq(80),
            granted_to: None,
            state_mark: Seq(75),
            history_mark: Position(60),
            down_head: Seq(12),
            cut: (EPOCH, Position(55)),
            position_seen: Position(61),
            last_contact: UnixMillis(1_793_480_602_000),
            as_of: UnixMillis(1_793_480_601_000),
            trusted: true,
            heard_life: 7,
        }),
        items: vec![item(1, ""), item(2, "butter"), item(300, "Äpfel")],
        cells: vec![
            (ItemNo(1), cell(EPOCH, [9_000, 1_235, 5_000, 1_000, 0], [2_000, 0, 500], 3)),
            (ItemNo(2), cell(EPOCH, [0; 5], [0; 3], 4)),
            // Written by an incarnation before: figures of a later one replace it whole.
            (ItemNo(300), cell(Epoch(2), [7, 0, 0, 0, 0], [0; 3], 9)),
        ],
        cursors: vec![
            (source("pos-db"), StoredCursor { value: vec![1, 2], at_cut: None }),
            (source("till-1"), StoredCursor { value: vec![], at_cut: Some(None) }),
            (source("till-2"), StoredCursor { value: vec![0, 255], at_cut: Some(Some(vec![0, 254])) }),
        ],
        at_cut: vec![(ItemNo(1), AtCut { in_: 8_000, out: 0 })],
        history: vec![chunk(3, 50, &[(51, 4), (55, 6)])],
        orders: vec![
            order(3, Some(hub_order()), None),
            order(4, None, Some(store_order())),
            order(OrderId::MAX, Some(hub_order()), Some(store_order())),
        ],
        ..StoreChanges::default()
    }
}

fn order(number: u64, hub: Option<HubOrder>, store: Option<StoreOrder>) -> StoredOrder {
    let order = OrderId::from_number(number).unwrap();
    StoredOrder { order, part_of: OrderId::from_number(3).unwrap(), hub, store, down_seq: Seq(number % 7) }
}

fn hub_order() -> HubOrder {
    HubOrder {
        revision: 2,
        placed_at: UnixMillis(1_793_480_602_000),
        ready_by: UnixMillis(1_793_487_802_000),
        hold_until: UnixMillis(1_793_739_802_000),
        lines: vec![Line { item: ItemNo(1), quantity: Quantity::from_thousandths(1_250) }],
        display_name: "Zoë K.".to_owned(),
        phone: "… 123".to_owned(),
        code_hash: [7; 16],
        cancel: Some(Cancel::Shopper),
        closed: false,
    }
}

fn store_order() -> StoreOrder {
    let mut half = StoreOrder::received(EPOCH, &hub_order().lines, UnixMillis(1_793_480_603_000));
    half.act(&Act::HandOver { proof: Proof::Code }, None, "Asha", UnixMillis(1_793_480_604_000)).unwrap();
    half
}

fn shop_order(number: u64) -> ShopOrder {
    let happening = Happening {
        at: 1_793_480_602_000,
        store: "S0001".to_owned(),
        order: number,
        status: "placed".to_owned(),
        by: String::new(),
    };
    let content = ShopOrderContent {
        placed_at: 1_793_480_602_000,
        key: "shop key-1".to_owned(),
        fingerprint: "ab".to_owned(),
        payment_reference: Some("pay \"7\"".to_owned()),
        parts: vec![ShopPart {
            store: "S0001".to_owned(),
            order: number,
            items: vec![(7, "4011".to_owned())],
        }],
        timeline: vec![happening],
        told: Told {
            closed_at: Some(1_793_480_602_001),
            short: BTreeMap::from([(number, 1_500)]),
            not_accepted: BTreeSet::from([number]),
            at_risk: BTreeSet::from([number]),
            put_back: BTreeSet::from([number]),
        },
        wish: Some(ShopWish {
            lines: vec![("4011".parse().unwrap(), Quantity::from_thousandths(1_235))],
            reroute: Reroute::Auto,
            may_split: true,
            radius_km: Some(7.5),
        }),
        owed_since: Some(1_793_480_602_001),
        is_given_up: true,
        ended_at: Some(1_793_480_602_002),
        erased_at: Some(1_793_480_602_003),
        receipts: vec![Receipt { store: "S0001".to_owned(), order: number, at: 1_793_480_602_004 }],
    };
    ShopOrder { order: OrderId::from_number(number).unwrap(), content, customer: vec![0, 255] }
}

fn orders_are_kept_and_replaced(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    assert_eq!(storage.shop_orders().unwrap(), []);
    let changes = |shop_orders| Changes { shop_orders, ..Changes::default() };
    storage.commit(&changes(vec![shop_order(8), shop_order(OrderId::MAX)])).unwrap();
    let removed = ShopOrder { customer: Vec::new(), ..shop_order(8) };
    storage.commit(&changes(vec![removed.clone()])).unwrap();
    assert_eq!(reopen(storage).shop_orders().unwrap(), [removed, shop_order(OrderId::MAX)]);
}

fn pickup_settings(revision: u64, per_hour: u32) -> Revised {
    let text = format!(
        r#"{{"pickup":false,"hours":{{"monday":["09:00-12:00","14:00-24:00"],"tuesday":[],"wednesday":[],"thursday":[],
        "friday":[],"saturday":[],"sunday":["00:00-24:00"]}},"exceptions":{{"2026-12-25":[]}},"capacity":{{"per_hour":{per_hour}}},
        "paused":{{"until":"1999-12-31T23:59:59.999Z","reason":"ä \"quoted\" reason"}}}}"#
    );
    Revised { revision, settings: PickupSettings::read_stored(text.as_bytes()).unwrap() }
}

fn pickup_settings_are_kept_and_replaced(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let (store, other) = (added(&mut storage, "S0001"), added(&mut storage, "S0002"));
    assert_eq!(storage.pickup_settings().unwrap(), []);
    let changes = |pickup_settings| Changes { pickup_settings, ..Changes::default() };
    let first = vec![(store, pickup_settings(1, 10)), (other, pickup_settings(1, 20))];
    storage.commit(&changes(first)).unwrap();
    storage.commit(&changes(vec![(store, pickup_settings(2, 30))])).unwrap();
    let expected = [(store, pickup_settings(2, 30)), (other, pickup_settings(1, 20))];
    assert_eq!(storage.pickup_settings().unwrap(), expected);
    assert_eq!(reopen(storage).pickup_settings().unwrap(), expected);
}

fn of_two_who_change_the_same_settings_one_fails(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    let store = added(&mut storage, "S0001");
    let changes = |pickup_settings| Changes { pickup_settings, ..Changes::default() };
    storage.commit(&changes(vec![(store, pickup_settings(1, 10))])).unwrap();
    for late in [pickup_settings(1, 20), pickup_settings(3, 20)] {
        let mut late = changes(vec![(store, late)]);
        late.shop_orders = vec![shop_order(8)];
        assert!(storage.commit(&late).is_err());
    }
    let mut storage = reopen(storage);
    assert_eq!(storage.pickup_settings().unwrap(), [(store, pickup_settings(1, 10))]);
    assert_eq!(storage.shop_orders().unwrap(), [], "nothing of that commit has happened");
}

fn reserved(number: u64) -> (OrderId, Option<Reservation>) {
    let quantity = Quantity::from_thousandths(2_500);
    let reservation = Reservation {
        key: "shop key-2".to_owned(),
        fingerprint: "cd".to_owned(),
        store: "S0001".parse().unwrap(),
        made_at: 1_793_480_602_000,
        until: 1_793_480_702_000,
        lines: vec![ReservedLine { item: 7, sku: "4011".parse().unwrap(), quantity }],
    };
    (OrderId::from_number(number).unwrap(), Some(reservation))
}

fn reservations_are_kept_until_they_end(mut storage: Box<dyn Storage>, reopen: Reopen<'_>) {
    assert_eq!(storage.reservations().unwrap(), []);
    let changes = |reservations| Changes { reservations, ..Changes::default() };
    let (one, other) = (reserved(8), reserved(OrderId::MAX));
    storage.commit(&changes(vec![one.clone(), other.clone()])).unwrap();
    let mut storage = reopen(storage);
    assert_eq!(storage.reservations().unwrap().len(), 2);
    storage.commit(&changes(vec![(one.0, None)])).unwrap();
    let left: Vec<_> = reopen(storage).reservations().unwrap();
    assert_eq!(left, [(other.0, other.1.unwrap())]);
}

/// Documents at these positions, of so many lines each.
fn chunk(epoch: u32, base: u64, documents: &[(u64, usize)]) -> HistoryChunk {
    let quantity = Quantity::from_units(1);
    let line = HistoryLine { item: ItemNo(1), quantity, effect: Quantity::from_units(-1) };
    let document = |(at, lines): &(u64, usize)| HistoryDocument {
        first_position: Position(*at),
        source: source("till-1"),
        reference: at.to_string().parse().unwrap(),
        kind: Kind::Sale,
        reason: None,
        occurred_at: UnixMillis(1_793_480_602_000),
        recorded_at: UnixMillis(1_793_480_602_000),
        content: 1,
        lines: vec![line; *lines],
    };
    let documents: Vec<HistoryDocument> = documents.iter().map(document).collect();
    let upto = documents.last().map_or(Position(base), HistoryDocument::last_position);
    let batch = HistoryBatch { base: Position(base), upto, documents, ..HistoryBatch::default() };
    let frame = Frame {
        store: "S0001".parse().unwrap(),
        epoch: Epoch(epoch),
        boot: Boot(1),
        body: Body::History(batch),
    };
    HistoryChunk { epoch: Epoch(epoch), upto, frame: encode(&frame) }
}

/// Epoch and first position of everything in a store's history.
fn history(storage: &mut Box<dyn Storage>, store: StoreKey) -> Vec<(u32, u64)> {
    let mut documents = Vec::new();
    storage
        .history(store, &mut |epoch, document| {
            assert_eq!(document.reference.as_str(), document.first_position.to_string());
            documents.push((epoch.0, document.first_position.0));
        })
        .unwrap();
    documents
}

/// The store's records are exactly these.
fn holds(storage: &mut Box<dyn Storage>, store: StoreKey, changes: &StoreChanges) {
    let stored = storage.load(store).unwrap();
    assert_eq!(Some(&stored.facts), changes.facts.as_ref());
    assert_eq!(stored.cells, changes.cells);
    assert_eq!(stored.orders, changes.orders);
    assert_eq!(stored.at_cut, changes.at_cut.iter().copied().collect());
    assert_eq!(stored.cursors, changes.cursors.iter().cloned().collect());
    assert_eq!(storage.items(store).unwrap(), changes.items);
    for item in &changes.items {
        assert_eq!(storage.item(store, item.item).unwrap().as_ref(), Some(item));
        assert_eq!(storage.item_of_sku(store, &item.sku).unwrap(), Some(item.item));
    }
    let positions = history(storage, store);
    let kept = if changes.history.is_empty() { 0 } else { positions.len() };
    assert_eq!(positions.len(), kept);
}
