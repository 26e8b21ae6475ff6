//! Frames as bytes: every kind reads back as what was written, and what is wrong takes as little along as it can.

use super::*;
use crate::record::{HistoryLine, Kind};
use crate::stock::{HubHalf, StoreHalf};
use proptest::prelude::*;

mod arbitrary;
mod hostile;
mod partly_unreadable;
mod sizes;

const EPOCH: Epoch = Epoch(3);

fn framed(body: Body) -> Frame {
    Frame { store: "S0042".parse().unwrap(), epoch: EPOCH, boot: Boot(0x1122_3344_5566_7788), body }
}

fn item(n: u32, sku: &str) -> ItemRecord {
    ItemRecord {
        item: ItemNo(n),
        sku: sku.parse().unwrap(),
        gtins: vec!["4006381333931".parse().unwrap()],
        name: "Bananas, loose".to_owned(),
        unit: "kg".to_owned(),
        unnamed: false,
    }
}

fn stock(n: u32, in_: u64, out: u64) -> StoreStock {
    StoreStock { item: ItemNo(n), half: StoreHalf { epoch: EPOCH, in_, out, ..StoreHalf::default() } }
}

fn hub_stock(n: u32, promised: u64) -> HubStock {
    HubStock { item: ItemNo(n), half: HubHalf { promised, ..HubHalf::default() } }
}

fn sale(position: u64, reference: &str, lines: &[(u32, i64)]) -> HistoryDocument {
    let line = |&(item, thousandths): &(u32, i64)| {
        let quantity = crate::Quantity::from_thousandths(thousandths);
        HistoryLine { item: ItemNo(item), quantity, effect: Kind::Sale.effect(quantity).unwrap() }
    };
    HistoryDocument {
        first_position: Position(position),
        source: "till-3".parse().unwrap(),
        reference: reference.parse().unwrap(),
        kind: Kind::Sale,
        reason: None,
        occurred_at: UnixMillis(1_793_480_602_000),
        recorded_at: UnixMillis(1_793_480_602_350),
        content: 77,
        lines: lines.iter().map(line).collect(),
    }
}

fn decoded_state(bytes: &[u8]) -> StateBatch {
    match decode(bytes).unwrap().body {
        Body::State(batch) => batch,
        other => panic!("{} where a state batch was sent", other.kind()),
    }
}

fn decoded_history(bytes: &[u8]) -> HistoryBatch {
    match decode(bytes).unwrap().body {
        Body::History(batch) => batch,
        other => panic!("{} where a history batch was sent", other.kind()),
    }
}

/// The header of [`framed`], up to the body.
fn header(kind: u8) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(VERSION_MAX);
    out.u8(kind);
    out.text("S0042");
    out.varint(EPOCH.0.into());
    out.varint(0x1122_3344_5566_7788);
    out.bytes
}

const STATE: u8 = 5;
const HISTORY: u8 = 6;

/// A state batch whose sections are written by hand.
fn by_hand(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer { bytes: header(STATE) };
    [0, 10, 0, 0].into_iter().for_each(|number| out.varint(number));
    write(&mut out);
    out.bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_frame_reads_back_as_what_was_written(frame in arbitrary::frame()) {
        let bytes = encode(&frame);
        prop_assert_eq!(decode(&bytes), Ok(frame));
    }

    #[test]
    fn no_record_takes_more_than_it_is_measured_as(frame in arbitrary::frame()) {
        let mut body = Writer::default();
        write_body(&mut body, &frame.body);
        let measured = match &frame.body {
            Body::State(batch) => state_measure(batch),
            Body::History(batch) => history_measure(batch),
            Body::Down(batch) => down_measure(&batch.halves, &batch.orders) + notes_measure(&batch.notes),
            Body::Offer(offer) => down_measure(&offer.halves, &offer.orders),
            Body::Handover(handover) => handover_measure(handover),
            _ => return Ok(()),
        };
        // The outline: what comes once, and items far apart.
        prop_assert!(body.bytes.len() <= measured + 400, "{} bytes, measured {measured}", body.bytes.len());
    }

    #[test]
    fn any_frame_cut_short_is_an_error_or_an_earlier_end(frame in arbitrary::frame(), share in 0.0..1.0f64) {
        let bytes = encode(&frame);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a length")]
        let end = (bytes.len() as f64 * share) as usize;
        if let Ok(shorter) = decode(&bytes[..end]) {
            prop_assert_ne!(shorter, frame);
        }
    }
}

fn state_measure(batch: &StateBatch) -> usize {
    let items: usize = batch.items.iter().map(measure::item).sum();
    let stock: usize = batch.stock.iter().map(measure::store_stock).sum();
    let cursors: usize = batch.cursors.iter().map(measure::cursor).sum();
    let orders: usize = batch.orders.iter().map(measure::store_order).sum();
    let notes = notes_measure(&batch.notes);
    items + stock + cursors + orders + notes + batch.history.as_ref().map_or(0, history_measure)
}

fn history_measure(batch: &HistoryBatch) -> usize {
    let documents: usize = batch.documents.iter().map(measure::document).sum();
    documents + batch.items.iter().map(measure::item).sum::<usize>()
}

fn notes_measure(notes: &[Note]) -> usize {
    notes.iter().map(measure::note).sum()
}

fn down_measure(halves: &[HubStock], orders: &[HubOrderRecord]) -> usize {
    let halves: usize = halves.iter().map(measure::hub_stock).sum();
    halves + orders.iter().map(measure::hub_order).sum::<usize>()
}

fn handover_measure(handover: &Handover) -> usize {
    let items: usize = handover.items.iter().map(measure::item).sum();
    let stock: usize = handover.stock.iter().map(measure::store_stock).sum();
    let cursors: usize = handover.cursors.iter().map(measure::cursor).sum();
    let documents: usize = handover.documents.iter().map(measure::document).sum();
    let down = down_measure(&handover.halves, &handover.hub_orders);
    let orders: usize = handover.store_orders.iter().map(measure::store_order).sum();
    let notes = notes_measure(&handover.hub_notes) + notes_measure(&handover.store_notes);
    items + stock + down + orders + notes + cursors + documents + handover.known.len() * measure::KNOWN_BYTES
}

#[test]
fn each_kind_is_drawn_by_the_strategy_and_has_a_name_of_its_own() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        let frame = arbitrary::frame().new_tree(&mut runner).unwrap();
        kinds.insert(proptest::strategy::ValueTree::current(&frame).body.kind());
    }
    assert_eq!(kinds.len(), 14, "{kinds:?}");
}

#[test]
fn history_travels_beside_state() {
    let marks = |state, history| Body::Marks(Marks { state, history }).stream();
    assert_eq!(marks(None, Some(Position(1))), Stream::History);
    assert_eq!(marks(Some(Seq(1)), Some(Position(1))), Stream::State, "of what rode along");
    assert_eq!(Body::History(HistoryBatch::default()).stream(), Stream::History);
    assert_eq!(Body::State(StateBatch::default()).stream(), Stream::State);
    for stream in [Stream::State, Stream::History] {
        assert_eq!(Stream::from_code(stream.code()), Some(stream));
    }
}

#[test]
fn a_text_is_clipped_between_characters() {
    assert_eq!(clipped("Käse", 2), "K");
    assert_eq!(clipped("Käse", 3), "Kä");
    assert_eq!(clipped("Käse", 99), "Käse");
    let detail = "ß".repeat(400);
    let refused = framed(Body::Refused(Refused { why: Refusal::Version, detail: detail.clone() }));
    let Body::Refused(read) = decode(&encode(&refused)).unwrap().body else { panic!("a refusal was sent") };
    assert!(detail.starts_with(&read.detail) && read.detail.len() == 300);
}

#[test]
fn a_hello_keeps_the_newest_boots() {
    let mark = |n| BootMark { boot: Boot(n), first_seq: Seq(n), first_position: Position(n) };
    let boots: Vec<BootMark> = (0..100).map(mark).collect();
    let hello = Hello { boots: boots.clone(), ..arbitrary::plain_hello() };
    let Body::Hello(read) = decode(&encode(&framed(Body::Hello(hello)))).unwrap().body else {
        panic!("a hello was sent")
    };
    assert_eq!(read.boots, boots[100 - BOOTS_MAX..]);
}
