//! One valid frame of each kind: where damage starts from, and what is kept of the released protocol.

use sync_protocol::frame::{
    Ack, Body, BootMark, Buckets, Direction, DownBatch, Frame, Handover, Heartbeat, Hello, HistoryBatch,
    Marks, Offer, Pulse, Refusal, Refused, Resend, StateBatch, Stream, Welcome, encode,
};
use sync_protocol::limits::DIGEST_BUCKETS;
use sync_protocol::record::{
    CursorRecord, HistoryDocument, HistoryLine, HubStock, ItemRecord, Kind, KnownDocument, StoreStock,
};
use sync_protocol::stock::{HubHalf, StoreHalf};
use sync_protocol::{Boot, Epoch, ItemNo, Position, Quantity, Seq, TraceId, UnixMillis};

/// The frames as bytes.
pub fn frames() -> Vec<Vec<u8>> {
    let bodies = [greetings(), handing_over(), batches(), control()].concat();
    bodies.into_iter().map(|body| encode(&framed(body))).collect()
}

fn framed(body: Body) -> Frame {
    Frame {
        store: "S0042".parse().expect("a store id"),
        epoch: Epoch(3),
        boot: Boot(0x1122_3344_5566_7788),
        body,
    }
}

fn greetings() -> Vec<Body> {
    let mark =
        |n: u64| BootMark { boot: Boot(n << 40), first_seq: Seq(n * 100), first_position: Position(n * 40) };
    let boots = (1..=3).map(mark).collect();
    vec![
        Body::Hello(Hello {
            version_min: 1,
            version_max: 1,
            boots,
            state_head: Seq(512),
            history_head: Position(9_000),
            state_acked: Seq(500),
            history_acked: Position(8_999),
            down_mark: Seq(77),
            hub_life: 12_345,
            clock: UnixMillis(1_793_480_602_000),
            software: "store-agent 0.1.0".to_owned(),
        }),
        Body::Welcome(Welcome {
            version: 1,
            state_mark: Seq(500),
            history_mark: Position(8_999),
            down_head: Seq(77),
            hub_life: 12_345,
            wants_offer: true,
            clock: UnixMillis(1_793_480_602_100),
        }),
        Body::Refused(Refused {
            why: Refusal::WrongStore,
            detail: "the certificate speaks for `S0001`".to_owned(),
        }),
    ]
}

fn handing_over() -> Vec<Body> {
    let known = KnownDocument { key: [7; 16], content: 99, first_position: Position(12), lines: 2 };
    vec![
        Body::Handover(Handover {
            granted: Epoch(4),
            part: 0,
            last: true,
            hub_life: 12_345,
            down_head: Seq(77),
            next_position: Position(9_001),
            items: items(),
            stock: stock(),
            halves: halves(),
            cursors: cursors(),
            known: vec![known],
            documents: documents(),
            ..Handover::default()
        }),
        Body::Offer(Offer { last: true, halves: halves(), ..Offer::default() }),
    ]
}

fn batches() -> Vec<Body> {
    vec![
        Body::State(StateBatch {
            base: Seq(500),
            upto: Seq(512),
            head: Seq(512),
            position: Position(9_000),
            items: items(),
            stock: stock(),
            cursors: cursors(),
            traces: vec![TraceId([0xAB; 16])],
            history: Some(history()),
            ..StateBatch::default()
        }),
        Body::History(history()),
        Body::Down(DownBatch { base: Seq(70), upto: Seq(77), halves: halves(), ..DownBatch::default() }),
    ]
}

fn history() -> HistoryBatch {
    let (base, upto) = (Position(8_990), Position(9_000));
    HistoryBatch { base, upto, documents: documents(), items: items(), unreadable: Vec::new() }
}

fn control() -> Vec<Body> {
    vec![
        Body::Ack(Ack { stream: Stream::State, upto: 77 }),
        Body::Marks(Marks { state: Some(Seq(512)), history: Some(Position(9_000)) }),
        Body::Heartbeat(Heartbeat {
            state_head: Seq(512),
            history_head: Position(9_000),
            down_mark: Seq(77),
            up_root: u128::MAX / 3,
            down_root: 0,
        }),
        Body::Pulse(Pulse {
            state_mark: Seq(512),
            history_mark: Position(9_000),
            down_head: Seq(77),
            clock: UnixMillis(1_793_480_602_200),
        }),
        Body::Buckets(Buckets { direction: Direction::Up, head: Seq(512), sums: sums() }),
        Body::Resend(Resend { direction: Direction::Down, head: Seq(77), buckets: vec![0, 7, 255] }),
    ]
}

fn items() -> Vec<ItemRecord> {
    let item = |n: u32, sku: &str, unnamed| ItemRecord {
        item: ItemNo(n),
        sku: sku.parse().expect("a sku"),
        gtins: vec!["4006381333931".parse().expect("a gtin")],
        name: if unnamed { String::new() } else { "Bananas, loose".to_owned() },
        unit: "kg".to_owned(),
        unnamed,
    };
    vec![item(1, "4011", false), item(70_000, "0042-x", true)]
}

fn stock() -> Vec<StoreStock> {
    let half = |n: u64| StoreHalf {
        epoch: Epoch(3),
        in_: 100_000 + n * 1_000,
        out: 23_000 + n * 765,
        granted: 60_000,
        recalled: 4_000,
        fulfilled: if n.is_multiple_of(3) { 1_000 } else { 0 },
    };
    (1..=40).map(|n| StoreStock { item: ItemNo(n * 3), half: half(n.into()) }).collect()
}

fn halves() -> Vec<HubStock> {
    let half = |n: u64| HubHalf {
        promised: 2_000 * (n % 4),
        released: if n.is_multiple_of(4) { 0 } else { 500 * (n % 2) },
        returned: 3_000 + n,
    };
    (1..=20).map(|n| HubStock { item: ItemNo(n * 2), half: half(n.into()) }).collect()
}

fn cursors() -> Vec<CursorRecord> {
    vec![CursorRecord { source: "pos-db".parse().expect("a source"), value: vec![0, 1, 2, 255] }]
}

fn documents() -> Vec<HistoryDocument> {
    let line = |item, thousandths| {
        let quantity = Quantity::from_thousandths(thousandths);
        HistoryLine { item: ItemNo(item), quantity, effect: Quantity::from_thousandths(-thousandths) }
    };
    let sale = |n: u64, lines: Vec<HistoryLine>| HistoryDocument {
        first_position: Position(8_990 + n),
        source: "till-3".parse().expect("a source"),
        reference: format!("2026-10-31/3/{n:04}").parse().expect("a reference"),
        kind: Kind::Sale,
        reason: None,
        occurred_at: UnixMillis(1_793_480_602_000),
        recorded_at: UnixMillis(1_793_480_602_350),
        content: 77,
        lines,
    };
    let mut waste = sale(4, vec![line(1, 2_000)]);
    waste.kind = Kind::Waste;
    waste.reason = Some("damaged".to_owned());
    vec![sale(1, vec![line(1, 1_235), line(9, 2_000)]), sale(3, vec![line(70_000, -1_000)]), waste]
}

fn sums() -> Vec<u128> {
    (1..=DIGEST_BUCKETS as u128).map(|n| n * 0x0101_0101_0101_0101_0101).collect()
}
