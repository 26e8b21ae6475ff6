//! A record or section that can't be understood is set aside with its reason, and the rest goes on.

use super::*;
use crate::stock::TOTAL_MAX;

fn full_batch() -> StateBatch {
    StateBatch {
        upto: Seq(10),
        head: Seq(10),
        items: vec![item(1, "4011"), item(2, "4012"), item(9, "4013")],
        stock: vec![stock(1, 9_000, 2_000), stock(2, 1_235, 0), stock(9, 0, 5_000)],
        cursors: vec![CursorRecord { source: "pos-db".parse().unwrap(), value: vec![1, 2] }],
        traces: vec![TraceId([0xAB; 16])],
        ..StateBatch::default()
    }
}

/// The frame with `more` after its body, which is short enough not to be deflated.
fn with(batch: &StateBatch, more: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer { bytes: header(STATE) };
    sections::write_state(&mut out, batch);
    more(&mut out);
    out.bytes
}

fn without_unreadable(mut batch: StateBatch) -> StateBatch {
    batch.unreadable.clear();
    batch
}

/// Order halves will come as sections of their own; an older hub keeps the rest. Tags that differ by 64 once passed for one.
#[test]
fn an_unknown_section_is_set_aside_and_the_rest_survives() {
    for tag in [0, 9, 64, 65, 66, 200, 255] {
        let bytes = with(&full_batch(), |out| out.section(tag, |out| out.fixed(b"orders")));
        let batch = decoded_state(&bytes);
        assert_eq!(batch.unreadable.len(), 1);
        assert_eq!(batch.unreadable[0].bytes, b"orders");
        assert!(batch.unreadable[0].reason.contains(&format!("tag {tag} is unknown")));
        assert_eq!(without_unreadable(batch), full_batch());
    }
}

#[test]
fn a_section_sent_twice_is_an_error() {
    for tag in [1, 2, 99] {
        let bytes = by_hand(|out| {
            out.section(tag, |out| out.u8(0));
            out.section(tag, |out| out.u8(0));
        });
        assert!(decode(&bytes).unwrap_err().to_string().contains(&format!("tag {tag} twice")));
    }
}

#[test]
fn a_bad_section_leaves_the_other_sections_alone() {
    let batch = StateBatch { stock: Vec::new(), ..full_batch() };
    let bytes = with(&batch, |out| out.section(2, |out| out.fixed(&[3, 4, 4, 4, 1])));
    let read = decoded_state(&bytes);
    assert_eq!(read.unreadable.len(), 1);
    assert_eq!(without_unreadable(read), batch);
}

#[test]
fn a_bad_item_leaves_its_neighbours_alone() {
    let bad: [&dyn Fn(&mut Writer); 6] = [
        &|out| out.varint(0),
        &|out| {
            out.varint(5);
            out.text("a sku\nof two lines");
        },
        &|out| {
            out.varint(5);
            out.text("sku");
            out.blob(&[0xFF, 0xFE]);
        },
        &|out| {
            out.varint(5);
            out.text("sku");
            out.text(&"n".repeat(201));
        },
        &|out| {
            out.varint(5);
            out.text("sku");
            out.fixed(&[0, 0, 0]);
            out.varint(crate::Gtin::MAX + 1);
        },
        &|out| {
            out.varint(5);
            out.text("sku");
            out.fixed(&[0, 0, 0]);
            (0..17).for_each(|n| out.varint(n));
        },
    ];
    for write in bad {
        let bytes = by_hand(|out| {
            out.section(1, |out| {
                sections::write_item(out, &item(1, "4011"));
                let mut record = Writer::default();
                write(&mut record);
                out.blob(&record.bytes);
                sections::write_item(out, &item(9, "4013"));
            });
        });
        let batch = decoded_state(&bytes);
        assert_eq!(batch.items, [item(1, "4011"), item(9, "4013")]);
        assert_eq!((batch.unreadable.len(), batch.unreadable[0].what), (1, "item"));
    }
}

#[test]
fn items_come_in_order_and_once() {
    let bytes = by_hand(|out| {
        out.section(1, |out| {
            for (n, sku) in [(2, "b"), (1, "a"), (2, "b again"), (3, "c")] {
                sections::write_item(out, &item(n, sku));
            }
        });
    });
    let batch = decoded_state(&bytes);
    assert_eq!(batch.items, [item(2, "b"), item(3, "c")]);
    assert_eq!(batch.unreadable.len(), 2);
}

#[test]
fn cells_out_of_order_are_set_aside_whole() {
    // Two cells; the second says that it is zero items further.
    let bytes = by_hand(|out| out.section(2, |out| out.fixed(&[2, 4, 0, 1, 1, 1, 1, 1, 1, 1, 1])));
    let batch = decoded_state(&bytes);
    assert!(batch.stock.is_empty());
    assert!(batch.unreadable[0].reason.contains("items must grow"));
}

#[test]
fn a_cell_beyond_its_bounds_leaves_its_neighbours_alone() {
    for bad in [TOTAL_MAX + 1, u64::MAX >> 1] {
        let cells = [stock(1, 9_000, 2_000), stock(2, bad, bad), stock(3, 1_235, 0)];
        let bytes = by_hand(|out| out.section(2, |out| columns::write_store(out, &cells)));
        let batch = decoded_state(&bytes);
        assert_eq!(batch.stock, [cells[0], cells[2]]);
        assert!(batch.unreadable[0].reason.contains("item 2"), "{}", batch.unreadable[0].reason);
    }
    let halves = [hub_stock(1, 5_000), hub_stock(2, TOTAL_MAX + 1_000), hub_stock(3, 1)];
    let mut out = Writer { bytes: header(7) };
    out.fixed(&[0, 9]);
    out.section(5, |out| columns::write_hub(out, &halves));
    let Body::Down(batch) = decode(&out.bytes).unwrap().body else { panic!("a down batch was sent") };
    assert_eq!(batch.halves, [halves[0], halves[2]]);
    assert!(batch.unreadable[0].reason.contains("item 2"));
}

/// A kind that this release does not know takes nobody along: positions and times of its neighbours stay right.
#[test]
fn a_bad_document_leaves_its_neighbours_alone() {
    let documents = [
        sale(11, "a", &[(1, 1_000), (2, 500)]),
        HistoryDocument { occurred_at: UnixMillis(1_793_480_999_000), ..sale(13, "b", &[(3, 2_000)]) },
        HistoryDocument { occurred_at: UnixMillis(1_793_480_777_000), ..sale(14, "c", &[(1, 1_000)]) },
    ];
    let batch = HistoryBatch {
        base: Position(10),
        upto: Position(14),
        documents: documents.to_vec(),
        ..HistoryBatch::default()
    };
    let mut out = Writer { bytes: header(HISTORY) };
    sections::write_history(&mut out, &batch);
    let mut bytes = out.bytes;
    // Reference `b`, then its kind.
    let at = bytes.windows(3).position(|window| window == [1, b'b', 1]).unwrap();
    bytes[at + 2] = 99;
    let read = decoded_history(&bytes);
    assert_eq!(read.documents, [documents[0].clone(), documents[2].clone()]);
    assert_eq!((read.unreadable.len(), read.unreadable[0].what), (1, "document"));
    assert!(read.unreadable[0].reason.contains("kind is not valid: 99"));
}

#[test]
fn history_that_rides_along_does_not_take_the_state_with_it() {
    let history = HistoryBatch {
        base: Position(10),
        upto: Position(12),
        documents: vec![sale(11, "a", &[(1, 1_000)]), sale(12, "b", &[(1, 1_000)])],
        ..HistoryBatch::default()
    };
    let batch = StateBatch { history: Some(history.clone()), ..full_batch() };
    let mut bytes = with(&batch, |_| {});
    let at = bytes.windows(3).position(|window| window == [1, b'b', 1]).unwrap();
    bytes[at + 2] = 99;
    let read = decoded_state(&bytes);
    assert_eq!(read.unreadable.len(), 1);
    assert_eq!(read.history.as_ref().unwrap().documents, history.documents[..1]);
    assert_eq!(StateBatch { history: None, ..without_unreadable(read) }, full_batch());
    let broken = with(&full_batch(), |out| out.section(8, |out| out.varint(u64::MAX)));
    let read = decoded_state(&broken);
    assert_eq!((read.history.is_none(), read.unreadable.len()), (true, 1));
}

#[test]
fn a_bad_source_leaves_the_other_sources_documents_alone() {
    let other = HistoryDocument { source: "till-4".parse().unwrap(), ..sale(13, "b", &[(3, 2_000)]) };
    let batch = HistoryBatch {
        base: Position(10),
        upto: Position(13),
        documents: vec![sale(11, "a", &[(1, 1_000), (2, 500)]), other.clone()],
        ..HistoryBatch::default()
    };
    let mut out = Writer { bytes: header(HISTORY) };
    sections::write_history(&mut out, &batch);
    let mut bytes = out.bytes;
    let at = bytes.windows(6).position(|window| window == b"till-3").unwrap();
    bytes[at] = b'\n';
    let read = decoded_history(&bytes);
    assert_eq!(read.documents, [other]);
    assert_eq!(read.unreadable.len(), 1);
}

#[test]
fn a_document_outside_of_its_batch_is_set_aside() {
    let batch = HistoryBatch {
        base: Position(10),
        upto: Position(13),
        documents: vec![
            sale(10, "before", &[(1, 1)]),
            sale(11, "in", &[(1, 1)]),
            sale(13, "across", &[(1, 1), (2, 1)]),
        ],
        ..HistoryBatch::default()
    };
    let read = decoded_history(&encode(&framed(Body::History(batch))));
    assert_eq!(read.documents, [sale(11, "in", &[(1, 1)])]);
    assert_eq!(read.unreadable.len(), 2);
}

/// What a batch can't place takes no part in the hand-over either, but documents of several epochs need not be in order.
#[test]
fn documents_handed_over_keep_their_positions_in_any_order() {
    let documents =
        vec![sale(500, "later", &[(1, 1)]), sale(7, "earlier", &[(1, 1)]), sale(501, "last", &[(1, 1)])];
    let Body::Handover(handover) = decode(&encode(&framed(Body::Handover(Handover {
        granted: Epoch(4),
        last: true,
        hub_life: 1,
        next_position: Position(502),
        documents: documents.clone(),
        ..Handover::default()
    }))))
    .unwrap()
    .body
    else {
        panic!("a hand-over was sent")
    };
    assert_eq!(handover.documents, documents);
}

#[test]
fn a_bad_cursor_leaves_its_neighbours_alone() {
    let good = CursorRecord { source: "pos-db".parse().unwrap(), value: vec![9; 256] };
    let bytes = by_hand(|out| {
        out.section(3, |out| {
            let mut bad = Writer::default();
            bad.text("till-1");
            bad.blob(&[0; 257]);
            out.blob(&bad.bytes);
            let mut inner = Writer::default();
            inner.text("pos-db");
            inner.blob(&good.value);
            out.blob(&inner.bytes);
        });
    });
    let batch = decoded_state(&bytes);
    assert_eq!(batch.cursors, [good]);
    assert!(batch.unreadable[0].reason.contains("cursor is 257"));
}

#[test]
fn more_traces_than_allowed_are_set_aside_with_their_section() {
    let bytes = by_hand(|out| out.section(4, |out| (0..=TRACES_MAX).for_each(|_| out.fixed(&[1; 16]))));
    let batch = decoded_state(&bytes);
    assert_eq!(batch.unreadable.len(), 1);
}
