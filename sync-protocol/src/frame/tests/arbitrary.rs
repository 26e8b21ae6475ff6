//! Frames of every kind with any content a sender may put in them, extremes included.

use super::*;
use crate::limits::{
    CURSOR_BYTES_MAX, ITEMS_MAX, LINES_MAX, NAME_BYTES_MAX, NOTE_BYTES_MAX, REASON_BYTES_MAX,
    REFERENCE_BYTES_MAX, SKU_BYTES_MAX, SOURCE_BYTES_MAX, STORE_ID_BYTES_MAX, UNIT_BYTES_MAX,
};
use crate::order::lifecycle::{
    Progress, Proof, REFUSAL_BYTES_MAX, ShortReason, Stage, StoreOrder, WHO_BYTES_MAX,
};
use crate::order::lines::{Cancel, DISPLAY_NAME_BYTES_MAX, HubOrder, Line, OrderId, PHONE_BYTES_MAX};
use crate::record::{HistoryLine, Kind, Topic};
use crate::stock::TOTAL_MAX;
use crate::{Gtin, Quantity, Reference, Sku, SourceId};
use proptest::collection::{btree_map, vec};
use proptest::strategy::Union;
use std::collections::BTreeMap;

const MARK_MAX: u64 = i64::MAX.unsigned_abs();

pub(super) fn frame() -> impl Strategy<Value = Frame> {
    let store = "[A-Za-z0-9_-]{1,32}".prop_map(|store| store.parse().unwrap());
    (store, epoch(), any::<u64>()).prop_flat_map(|(store, epoch, boot)| {
        body(epoch).prop_map(move |body| Frame { store: store_id(&store), epoch, boot: Boot(boot), body })
    })
}

fn store_id(store: &StoreId) -> StoreId {
    assert!(store.as_str().len() <= STORE_ID_BYTES_MAX);
    store.clone()
}

fn body(epoch: Epoch) -> impl Strategy<Value = Body> {
    let kinds: [BoxedStrategy<Body>; 14] = [
        hello().prop_map(Body::Hello).boxed(),
        welcome().prop_map(Body::Welcome).boxed(),
        handover().prop_map(Body::Handover).boxed(),
        (any::<u32>(), any::<bool>(), hub_halves(), hub_orders())
            .prop_map(|(part, last, halves, orders)| {
                Body::Offer(Offer { part, last, halves, orders, unreadable: Vec::new() })
            })
            .boxed(),
        state_batch(epoch).prop_map(Body::State).boxed(),
        history_batch().prop_map(Body::History).boxed(),
        (marks::<2>(), hub_halves(), hub_orders(), notes())
            .prop_map(|([base, upto], halves, orders, notes)| {
                let (base, upto) = (Seq(base), Seq(upto));
                Body::Down(DownBatch { base, upto, halves, orders, notes, unreadable: Vec::new() })
            })
            .boxed(),
        (any::<bool>(), mark()).prop_map(|(state, upto)| ack(state, upto)).boxed(),
        heartbeat().prop_map(Body::Heartbeat).boxed(),
        (mark(), mark(), mark(), any::<i64>())
            .prop_map(|(state, history, down, clock)| pulse(state, history, down, clock))
            .boxed(),
        (direction(), mark(), vec(any::<u128>(), DIGEST_BUCKETS))
            .prop_map(|(direction, head, sums)| Body::Buckets(Buckets { direction, head: Seq(head), sums }))
            .boxed(),
        (direction(), mark(), proptest::collection::btree_set(any::<u8>(), 0..=256))
            .prop_map(|(direction, head, buckets)| {
                Body::Resend(Resend { direction, head: Seq(head), buckets: buckets.into_iter().collect() })
            })
            .boxed(),
        (proptest::sample::select(Refusal::ALL.to_vec()), text(DETAIL_BYTES_MAX))
            .prop_map(|(why, detail)| Body::Refused(Refused { why, detail }))
            .boxed(),
        (proptest::option::of(mark()), proptest::option::of(mark()))
            .prop_filter_map("no marks", marks_of)
            .boxed(),
    ];
    Union::new(kinds)
}

fn ack(state: bool, upto: u64) -> Body {
    Body::Ack(Ack { stream: if state { Stream::State } else { Stream::History }, upto })
}

fn marks_of((state, history): (Option<u64>, Option<u64>)) -> Option<Body> {
    let marks = Marks { state: state.map(Seq), history: history.map(Position) };
    (marks != Marks::default()).then_some(Body::Marks(marks))
}

fn pulse(state: u64, history: u64, down: u64, clock: i64) -> Body {
    Body::Pulse(Pulse {
        state_mark: Seq(state),
        history_mark: Position(history),
        down_head: Seq(down),
        clock: UnixMillis(clock),
    })
}

// Greetings.

pub(super) fn plain_hello() -> Hello {
    Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        boots: vec![BootMark { boot: Boot(1), first_seq: Seq(1), first_position: Position(1) }],
        state_head: Seq(5),
        history_head: Position(5),
        state_acked: Seq(0),
        history_acked: Position(0),
        down_mark: Seq(0),
        hub_life: 0,
        clock: UnixMillis(0),
        software: "store-agent/0.1.0".to_owned(),
    }
}

fn hello() -> impl Strategy<Value = Hello> {
    let boots = vec(
        (any::<u64>(), mark(), mark()).prop_map(|(boot, seq, position)| BootMark {
            boot: Boot(boot),
            first_seq: Seq(seq),
            first_position: Position(position),
        }),
        0..=BOOTS_MAX,
    );
    let marks = [mark(), mark(), mark(), mark(), mark()];
    (any::<[u8; 2]>(), boots, marks, any::<u64>(), any::<i64>(), text(SOFTWARE_BYTES_MAX)).prop_map(
        |([version_min, version_max], boots, marks, hub_life, clock, software)| Hello {
            version_min,
            version_max,
            boots,
            state_head: Seq(marks[0]),
            history_head: Position(marks[1]),
            state_acked: Seq(marks[2]),
            history_acked: Position(marks[3]),
            down_mark: Seq(marks[4]),
            hub_life,
            clock: UnixMillis(clock),
            software,
        },
    )
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let marks = [mark(), mark(), mark()];
    (any::<u8>(), marks, any::<u64>(), any::<bool>(), any::<i64>()).prop_map(
        |(version, marks, hub_life, wants_offer, clock)| Welcome {
            version,
            state_mark: Seq(marks[0]),
            history_mark: Position(marks[1]),
            down_head: Seq(marks[2]),
            hub_life,
            wants_offer,
            clock: UnixMillis(clock),
        },
    )
}

fn heartbeat() -> impl Strategy<Value = Heartbeat> {
    ([mark(), mark(), mark()], any::<u128>(), any::<u128>()).prop_map(|(marks, up_root, down_root)| {
        Heartbeat {
            state_head: Seq(marks[0]),
            history_head: Position(marks[1]),
            down_mark: Seq(marks[2]),
            up_root,
            down_root,
        }
    })
}

// Batches.

fn handover() -> impl Strategy<Value = Handover> {
    let known = (any::<[u8; 16]>(), any::<u32>(), mark(), 0..=u32::try_from(LINES_MAX).unwrap())
        .prop_map(|(key, content, position, lines)| known(key, content, position, lines));
    let outline = (any::<u32>(), any::<bool>(), any::<u64>(), [mark(), mark()]);
    (epoch(), outline).prop_flat_map(move |(granted, outline)| {
        let records = (
            items(),
            store_halves(granted),
            hub_halves(),
            cursors(),
            vec(known.clone(), 0..8),
            vec((position(), document()), 0..6),
            (hub_orders(), store_orders(granted), notes(), notes()),
        );
        records.prop_map(move |(items, stock, halves, cursors, known, documents, orders)| Handover {
            granted,
            part: outline.0,
            last: outline.1,
            hub_life: outline.2,
            down_head: Seq(outline.3[0]),
            next_position: Position(outline.3[1]),
            items,
            stock,
            halves,
            cursors,
            known,
            documents: documents.into_iter().map(|(at, document)| placed(document, at)).collect(),
            hub_orders: orders.0,
            store_orders: orders.1,
            hub_notes: orders.2,
            store_notes: orders.3,
            unreadable: Vec::new(),
        })
    })
}

fn known(key: [u8; 16], content: u32, position: u64, lines: u32) -> KnownDocument {
    KnownDocument { key, content, first_position: Position(position), lines }
}

fn state_batch(epoch: Epoch) -> impl Strategy<Value = StateBatch> {
    let traces = vec(any::<[u8; 16]>().prop_map(TraceId), 0..=TRACES_MAX);
    let history = proptest::option::of(history_batch());
    let orders = (store_orders(epoch), notes());
    (marks::<3>(), mark(), items(), store_halves(epoch), cursors(), traces, orders, history).prop_map(
        |([base, upto, head], position, items, stock, cursors, traces, orders, history)| StateBatch {
            base: Seq(base),
            upto: Seq(upto),
            head: Seq(head),
            position: Position(position),
            items,
            stock,
            cursors,
            traces,
            orders: orders.0,
            notes: orders.1,
            history,
            unreadable: Vec::new(),
        },
    )
}

fn notes() -> impl Strategy<Value = Vec<Note>> {
    let note = (any::<u8>(), any::<u32>(), prop_oneof![text(200), Just("n".repeat(NOTE_BYTES_MAX))]);
    vec(note.prop_map(|(topic, key, text)| Note { topic: Topic(topic), key, text }), 0..3)
}

/// Documents follow each other from `base` on, with gaps.
fn history_batch() -> impl Strategy<Value = HistoryBatch> {
    let documents = vec((0..40_u64, document()), 0..8);
    let base = prop_oneof![0..1_000_u64, 0..=MARK_MAX - 10_000];
    (base, documents, 0..40_u64, items()).prop_map(|(base, documents, rest, items)| {
        let mut upto = base;
        let placed = documents.into_iter().map(|(gap, document)| {
            let document = placed(document, upto + gap + 1);
            upto = document.last_position().0;
            document
        });
        let documents = placed.collect();
        HistoryBatch {
            base: Position(base),
            upto: Position(upto + rest),
            documents,
            items,
            unreadable: Vec::new(),
        }
    })
}

fn placed(document: HistoryDocument, at: u64) -> HistoryDocument {
    HistoryDocument { first_position: Position(at), ..document }
}

fn position() -> impl Strategy<Value = u64> {
    0..=MARK_MAX - 100
}

fn document() -> impl Strategy<Value = HistoryDocument> {
    let times = (any::<i64>(), any::<i64>());
    let reason = proptest::option::of(
        text(REASON_BYTES_MAX).prop_filter("none is written as an empty one", |text| !text.is_empty()),
    );
    let kind = proptest::sample::select(Kind::ALL.to_vec());
    (source(), id::<Reference>(REFERENCE_BYTES_MAX), reason, times, any::<u32>(), kind).prop_flat_map(
        |(source, reference, reason, (occurred_at, recorded_at), content, kind)| {
            vec(line(kind), 1..20).prop_map(move |lines| HistoryDocument {
                first_position: Position(0),
                source: source.clone(),
                reference: reference.clone(),
                kind,
                reason: reason.clone(),
                occurred_at: UnixMillis(occurred_at),
                recorded_at: UnixMillis(recorded_at),
                content,
                lines,
            })
        },
    )
}

fn line(kind: Kind) -> impl Strategy<Value = HistoryLine> {
    (item_no(), quantity(), quantity()).prop_map(move |(item, quantity, counted_effect)| HistoryLine {
        item,
        quantity,
        effect: kind.effect(quantity).unwrap_or(counted_effect),
    })
}

fn quantity() -> impl Strategy<Value = Quantity> {
    let bound = TOTAL_MAX.cast_signed();
    prop_oneof![
        (-5_i64..20).prop_map(Quantity::from_units),
        (-5_000_i64..20_000).prop_map(Quantity::from_thousandths),
        (-bound..=bound).prop_map(Quantity::from_thousandths),
        Just(Quantity::from_thousandths(bound)),
        Just(Quantity::from_thousandths(-bound)),
    ]
}

// Records.

fn items() -> impl Strategy<Value = Vec<ItemRecord>> {
    let gtins = vec((0..=Gtin::MAX).prop_map(|number| Gtin::from_number(number).unwrap()), 0..=4);
    let content =
        (id::<Sku>(SKU_BYTES_MAX), gtins, text(NAME_BYTES_MAX), text(UNIT_BYTES_MAX), any::<bool>());
    btree_map(item_no(), content, 0..6).prop_map(|items| {
        let record =
            |(item, (sku, gtins, name, unit, unnamed))| ItemRecord { item, sku, gtins, name, unit, unnamed };
        items.into_iter().map(record).collect()
    })
}

fn store_halves(epoch: Epoch) -> impl Strategy<Value = Vec<StoreStock>> {
    let half = [total(), total(), total(), total(), total()].prop_map(
        move |[in_, out, granted, recalled, fulfilled]| StoreHalf {
            epoch,
            in_,
            out,
            granted,
            recalled,
            fulfilled,
        },
    );
    btree_map(item_no(), half, 0..40).prop_map(|halves: BTreeMap<_, _>| {
        halves.into_iter().map(|(item, half)| StoreStock { item, half }).collect()
    })
}

fn hub_halves() -> impl Strategy<Value = Vec<HubStock>> {
    let half = [total(), total(), total()].prop_map(|[promised, released, returned]| HubHalf {
        promised,
        released,
        returned,
    });
    btree_map(item_no(), half, 0..40).prop_map(|halves: BTreeMap<_, _>| {
        halves.into_iter().map(|(item, half)| HubStock { item, half }).collect()
    })
}

fn hub_orders() -> impl Strategy<Value = Vec<HubOrderRecord>> {
    let times = [any::<i64>(), any::<i64>(), any::<i64>()].prop_map(|times| times.map(UnixMillis));
    let cancel = (0..6_u8).prop_map(Cancel::from_code);
    let who = (text(DISPLAY_NAME_BYTES_MAX), text(PHONE_BYTES_MAX));
    let half = (any::<u32>(), times, order_lines(), who, any::<[u8; 16]>(), cancel, any::<bool>()).prop_map(
        |(
            revision,
            [placed_at, ready_by, hold_until],
            lines,
            (display_name, phone),
            code_hash,
            cancel,
            closed,
        )| {
            HubOrder {
                revision,
                placed_at,
                ready_by,
                hold_until,
                lines,
                display_name,
                phone,
                code_hash,
                cancel,
                closed,
            }
        },
    );
    vec((any::<u64>(), half), 0..4).prop_map(|orders| {
        let record = |(bits, half)| HubOrderRecord { order: OrderId::from_random(bits), half };
        orders.into_iter().map(record).collect()
    })
}

fn store_orders(epoch: Epoch) -> impl Strategy<Value = Vec<StoreOrderRecord>> {
    let stage = (1..=6_u8).prop_map(|code| Stage::from_code(code).unwrap());
    let progress =
        order_lines().prop_flat_map(|lines| lines.into_iter().map(progress_of).collect::<Vec<_>>());
    let words = (text(WHO_BYTES_MAX), text(REFUSAL_BYTES_MAX));
    let end = ((0..6_u8).prop_map(Proof::from_code), any::<bool>());
    let half = (any::<u32>(), stage, any::<i64>(), words, end, progress).prop_map(
        move |(revision, stage, since, (by, reason), (proof, put_back), progress)| {
            let since = UnixMillis(since);
            StoreOrder { epoch, revision, stage, since, by, reason, proof, put_back, progress }
        },
    );
    vec((any::<u64>(), half), 0..4).prop_map(|orders| {
        let record = |(bits, half)| StoreOrderRecord { order: OrderId::from_random(bits), half };
        orders.into_iter().map(record).collect()
    })
}

fn progress_of(line: Line) -> impl Strategy<Value = Progress> {
    let ordered = line.quantity.thousandths();
    let why = (0..4_u8).prop_map(ShortReason::from_code);
    (0..=ordered, 0..=ordered, why, total()).prop_map(move |(picked, short, why, fulfilled)| Progress {
        item: line.item,
        ordered: line.quantity,
        picked: Quantity::from_thousandths(picked),
        short: Quantity::from_thousandths(short.min(ordered - picked)),
        why,
        fulfilled,
    })
}

fn order_lines() -> impl Strategy<Value = Vec<Line>> {
    let quantity = prop_oneof![1..5_000_i64, 1..=Quantity::MAX.thousandths()];
    btree_map(item_no(), quantity, 1..6).prop_map(|lines| {
        let line = |(item, thousandths)| Line { item, quantity: Quantity::from_thousandths(thousandths) };
        lines.into_iter().map(line).collect()
    })
}

fn cursors() -> impl Strategy<Value = Vec<CursorRecord>> {
    let cursor = (source(), vec(any::<u8>(), 0..=CURSOR_BYTES_MAX))
        .prop_map(|(source, value)| CursorRecord { source, value });
    vec(cursor, 0..4)
}

/// Mostly whole units, sometimes weighed, sometimes at the end of the range.
fn total() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => (0..300_u64).prop_map(|units| units * 1_000),
        1 => 0..3_000_000_u64,
        1 => 0..=TOTAL_MAX,
        1 => Just(TOTAL_MAX),
        2 => Just(0),
    ]
}

fn item_no() -> impl Strategy<Value = ItemNo> {
    prop_oneof![1..2_000_u32, 1..=ITEMS_MAX, Just(ITEMS_MAX)].prop_map(ItemNo)
}

// Words.

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![0..5_u32, any::<u32>()].prop_map(Epoch)
}

fn mark() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0..1_000_u64, 0..=MARK_MAX, Just(MARK_MAX)]
}

/// In growing order.
fn marks<const N: usize>() -> impl Strategy<Value = [u64; N]> {
    vec(mark(), N).prop_map(|mut marks| {
        marks.sort_unstable();
        marks.try_into().unwrap()
    })
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Up), Just(Direction::Down)]
}

fn source() -> impl Strategy<Value = SourceId> {
    prop_oneof![
        proptest::sample::select(vec!["till-1", "till-2", "back-office"])
            .prop_map(|name| name.parse().unwrap()),
        id::<SourceId>(SOURCE_BYTES_MAX),
    ]
}

fn text(bytes_max: usize) -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[a-zA-Z ]{0,12}", "\\PC{0,80}", proptest::string::string_regex("[ -~]{0,300}").unwrap()]
        .prop_map(move |text| clipped(&text, bytes_max).to_owned())
}

fn id<T>(bytes_max: usize) -> impl Strategy<Value = T>
where
    T: std::str::FromStr + std::fmt::Debug,
{
    text(bytes_max).prop_filter_map("no id", |text| text.trim().parse().ok())
}
