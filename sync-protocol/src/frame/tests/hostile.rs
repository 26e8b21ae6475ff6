//! Bytes that lie: about their version, kind, lengths and counts.

use super::*;
use crate::limits::{ITEMS_MAX, LINES_MAX, RECORDS_MAX, UNREADABLE_MAX};

fn error_of(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

/// A frame of `kind` whose body is `body`, deflated, and declared to be `length` bytes long.
fn deflated(kind: u8, body: &[u8], length: usize) -> Vec<u8> {
    let mut out = Writer { bytes: header(kind | DEFLATED) };
    out.varint(length as u64);
    out.fixed(&miniz_oxide::deflate::compress_to_vec(body, 9));
    out.bytes
}

fn body_of(body: Body) -> Vec<u8> {
    let mut out = Writer::default();
    write_body(&mut out, &body);
    out.bytes
}

#[test]
fn an_unknown_version_says_what_this_side_speaks() {
    let mut bytes = encode(&framed(Body::Ack(Ack { stream: Stream::State, upto: 1 })));
    for version in [0, VERSION_MAX + 1, 255] {
        bytes[0] = version;
        assert_eq!(
            decode(&bytes),
            Err(DecodeError::Version { found: version, min: VERSION_MIN, max: VERSION_MAX })
        );
    }
}

#[test]
fn an_unknown_kind_is_an_error_and_names_it() {
    for kind in [0, 15, 99, 127] {
        assert_eq!(decode(&header(kind)), Err(DecodeError::Kind { found: kind }));
    }
}

#[test]
fn what_stands_after_a_body_is_an_error() {
    let short = [
        Body::Ack(Ack { stream: Stream::State, upto: 1 }),
        Body::Hello(arbitrary::plain_hello()),
        Body::Refused(Refused { why: Refusal::SayHello, detail: "why".to_owned() }),
        Body::Resend(Resend { direction: Direction::Up, head: Seq(1), buckets: vec![1, 2] }),
    ];
    for body in short {
        let mut bytes = encode(&framed(body));
        bytes.push(0);
        assert_eq!(decode(&bytes), Err(DecodeError::Trailing { extra: 1 }));
    }
}

#[test]
fn what_stands_after_a_deflated_body_is_an_error() {
    let body = body_of(Body::Buckets(Buckets {
        direction: Direction::Up,
        head: Seq(1),
        sums: vec![7; DIGEST_BUCKETS],
    }));
    let mut bytes = deflated(11, &body, body.len());
    assert!(decode(&bytes).is_ok());
    bytes.push(0);
    assert_eq!(decode(&bytes), Err(DecodeError::Trailing { extra: 1 }));
}

#[test]
fn a_deflated_body_has_the_length_it_declares() {
    let body = body_of(Body::Buckets(Buckets {
        direction: Direction::Up,
        head: Seq(1),
        sums: vec![7; DIGEST_BUCKETS],
    }));
    assert!(decode(&deflated(11, &body, body.len())).is_ok());
    for length in [0, 1, body.len() - 1, body.len() + 1, BODY_BYTES_MAX] {
        assert!(error_of(&deflated(11, &body, length)).contains("body"), "declared as {length}");
    }
}

#[test]
fn a_bomb_is_refused_by_what_it_declares() {
    let zeros = vec![0; 8 * BODY_BYTES_MAX];
    let bomb = deflated(STATE, &zeros, zeros.len());
    assert!(bomb.len() < 8_192, "{} bytes", bomb.len());
    assert!(error_of(&bomb).contains("more than"), "{}", error_of(&bomb));
    let lying = deflated(STATE, &zeros, BODY_BYTES_MAX);
    assert!(error_of(&lying).contains("deflated body"), "{}", error_of(&lying));
}

/// Else ten bytes would make the receiver set half a megabyte aside.
#[test]
fn a_length_that_so_few_bytes_cannot_inflate_to_is_refused_before_anything_is_set_aside() {
    let mut out = Writer { bytes: header(STATE | DEFLATED) };
    out.varint(BODY_BYTES_MAX as u64);
    out.fixed(&[0x03, 0x00]);
    assert!(error_of(&out.bytes).contains("so few bytes"), "{}", error_of(&out.bytes));
}

#[test]
fn nothing_is_too_long_for_its_field() {
    let mut long_store = vec![VERSION_MAX, 8, 33];
    long_store.extend([b'a'; 40]);
    assert!(error_of(&long_store).contains("store is 33, more than the 32 allowed"));
    let mut hello = Writer { bytes: header(1) };
    hello.fixed(&[1, 1]);
    hello.varint(BOOTS_MAX as u64 + 1);
    hello.fixed(&[0; 400]);
    assert!(error_of(&hello.bytes).contains("boots is 65"));
    let mut refused = Writer { bytes: header(13) };
    refused.u8(1);
    refused.text(&"x".repeat(301));
    assert!(error_of(&refused.bytes).contains("detail is 301"));
}

#[test]
fn counts_and_lengths_beyond_the_bytes_sent_are_refused() {
    let mut hello = Writer { bytes: header(1) };
    hello.fixed(&[1, 1, 64]);
    assert_eq!(decode(&hello.bytes), Err(DecodeError::Truncated { what: "boots" }));
    let section = by_hand(|out| {
        out.u8(2);
        out.varint(BODY_BYTES_MAX as u64);
        out.u8(0);
    });
    assert_eq!(decode(&section), Err(DecodeError::Truncated { what: "section" }));
    let longer = by_hand(|out| {
        out.u8(2);
        out.varint(BODY_BYTES_MAX as u64 + 1);
        out.u8(0);
    });
    assert!(error_of(&longer).contains("section is 524289, more than the 524288 allowed"));
}

#[test]
fn more_cells_than_a_batch_may_have_are_not_read() {
    let section = by_hand(|out| {
        out.section(2, |out| {
            out.varint(RECORDS_MAX as u64 + 1);
            out.fixed(&vec![4; 6 * RECORDS_MAX]);
        });
    });
    let batch = decoded_state(&section);
    assert!(batch.stock.is_empty());
    assert!(batch.unreadable[0].reason.contains("stock count is 16385"), "{}", batch.unreadable[0].reason);
}

#[test]
fn sequence_numbers_and_positions_have_sixty_three_bits() {
    let mut ack = Writer { bytes: header(8) };
    ack.u8(0);
    ack.varint(1 << 63);
    assert!(error_of(&ack.bytes).contains("upto"));
    // Sums count as well: base, span and rest.
    for numbers in [[u64::MAX, 0, 0, 0], [MARK_MAX, 1, 0, 0], [MARK_MAX - 1, 1, 1, 0], [0, 0, 0, 1 << 63]] {
        let mut state = Writer { bytes: header(STATE) };
        numbers.into_iter().for_each(|number| state.varint(number));
        assert!(decode(&state.bytes).is_err(), "{numbers:?}");
    }
    let mut heartbeat = Writer { bytes: header(9) };
    heartbeat.varint(u64::MAX);
    heartbeat.fixed(&[0; 34]);
    assert!(error_of(&heartbeat.bytes).contains("state head"));
}

const MARK_MAX: u64 = codec::MARK_MAX;

#[test]
fn buckets_to_send_again_come_in_order_and_once() {
    for buckets in [vec![7, 3], vec![3, 3]] {
        let mut out = Writer { bytes: header(12) };
        out.u8(1);
        out.varint(9);
        out.blob(&buckets);
        assert!(error_of(&out.bytes).contains("buckets"), "{buckets:?}");
    }
}

#[test]
fn marks_say_something() {
    for which in [0, 4, 255] {
        let mut out = Writer { bytes: header(14) };
        out.fixed(&[which, 1, 1]);
        assert!(error_of(&out.bytes).contains("which marks"), "{which}");
    }
}

#[test]
fn a_bool_is_zero_or_one() {
    let mut welcome = Writer { bytes: header(2) };
    welcome.fixed(&[1, 0, 0, 0, 0, 2, 0]);
    assert_eq!(error_of(&welcome.bytes), "wants offer is not valid: 2");
}

/// Each with a reason of its own would be a flood in the receiver's quarantine.
#[test]
fn a_frame_full_of_bad_records_is_set_aside_in_a_few_pieces() {
    let good = item(9, "4011");
    let section = by_hand(|out| {
        out.section(1, |out| {
            out.fixed(&vec![0; 100_000]);
            sections::write_item(out, &good);
        });
    });
    let batch = decoded_state(&section);
    assert_eq!(batch.items, [good]);
    assert_eq!(batch.unreadable.len(), UNREADABLE_MAX + 1);
    let last = batch.unreadable.last().unwrap();
    assert!(last.reason.starts_with("99744 more"), "{}", last.reason);
}

#[test]
fn what_a_batch_may_hold_is_bounded_by_what_it_is_sent_in() {
    // The smallest records there can be, as many as fit a body.
    let lines = LINES_MAX as u64 + 1;
    let mut out = Writer { bytes: header(HISTORY) };
    out.varint(0);
    out.varint(lines);
    out.section(6, |out| {
        out.varint(1);
        out.text("till-1");
        out.varint(1);
        out.zigzag(0);
        let mut document = Writer::default();
        document.fixed(&[0, 0]);
        document.text("r");
        document.fixed(&[1, 0, 0, 0, 0, 0, 0, 0]);
        (0..lines).for_each(|_| document.fixed(&[2, 2]));
        out.blob(&document.bytes);
    });
    let batch = decoded_history(&out.bytes);
    assert!(batch.documents.is_empty());
    assert_eq!(batch.unreadable[0].reason, "lines is 10001, more than the 10000 allowed");
}

#[test]
fn an_item_number_lies_in_its_range() {
    for n in [0, u64::from(ITEMS_MAX) + 1, u64::MAX] {
        let section = by_hand(|out| {
            out.section(1, |out| {
                let mut record = Writer::default();
                record.varint(n);
                record.text("sku");
                record.fixed(&[0, 0, 0]);
                out.blob(&record.bytes);
            });
        });
        let batch = decoded_state(&section);
        assert!(batch.items.is_empty() && batch.unreadable[0].reason.contains("not 1 to 1048576"), "{n}");
    }
}

/// The smallest records there can be, as many as an inflated body holds. Each case takes a frame of a few kilobytes at most.
#[test]
fn a_small_frame_makes_the_receiver_hold_no_more_than_a_few_megabytes() {
    type Write = fn(&mut Writer);
    let cases: [(&str, Write); 6] = [
        ("items", |out| {
            out.section(1, |out| (0..50_000u64).for_each(|n| smallest_item(out, n + 1)));
        }),
        ("items in order", |out| {
            out.section(1, |out| (0..16_000u64).for_each(|n| smallest_item(out, n + 1)));
        }),
        ("cells", |out| {
            out.section(2, |out| {
                out.varint(16_384);
                out.fixed(&[4; 16_384]);
                out.fixed(&[0; 4 * 16_384]);
            });
        }),
        ("cursors", |out| {
            out.section(3, |out| (0..16_000).for_each(|_| out.fixed(&[3, 1, b'c', 0])));
        }),
        ("documents", |out| out.section(8, smallest_documents)),
        ("nothing", |out| out.section(1, |out| out.fixed(&vec![0; 500_000]))),
    ];
    for (what, write) in cases {
        let mut body = Writer::default();
        [0, 10, 0, 0].into_iter().for_each(|number| body.varint(number));
        write(&mut body);
        let frame = deflated(STATE, &body.bytes, body.bytes.len());
        assert!(frame.len() < 200_000, "{what}: {} bytes", frame.len());
        let batch = decoded_state(&frame);
        let held = held_by(&batch);
        assert!(held <= 8 << 20, "{what}: {held} bytes held");
    }
}

fn smallest_item(out: &mut Writer, n: u64) {
    let mut record = Writer::default();
    record.varint(n);
    record.fixed(&[1, b's', 0, 0, 0]);
    out.blob(&record.bytes);
}

/// Twenty-two documents of as many lines as there may be, of two bytes each.
fn smallest_documents(out: &mut Writer) {
    let lines = LINES_MAX as u64;
    [0, 22 * lines].into_iter().for_each(|number| out.varint(number));
    out.section(6, |out| {
        out.fixed(&[1, 1, b't']);
        out.varint(1);
        out.zigzag(0);
        for n in 0..22 {
            let mut document = Writer::default();
            document.u8(0);
            document.zigzag((n * lines).cast_signed());
            document.fixed(&[1, b'r', 1, 0, 0, 0, 0, 0, 0, 0]);
            (0..lines).for_each(|_| document.fixed(&[2, 2]));
            out.blob(&document.bytes);
        }
    });
}

fn held_by(batch: &StateBatch) -> usize {
    const TEXTS: usize = 64;
    let documents = batch.history.iter().flat_map(|history| &history.documents);
    let documents: usize =
        documents.map(|document| size_of::<HistoryDocument>() + TEXTS + size_of_val(&*document.lines)).sum();
    let unreadable: usize = batch
        .unreadable
        .iter()
        .map(|piece| size_of::<crate::record::Unreadable>() + piece.reason.len() + piece.bytes.len())
        .sum();
    size_of_val(&*batch.stock)
        + batch.items.len() * (size_of::<ItemRecord>() + TEXTS)
        + batch.cursors.len() * (size_of::<CursorRecord>() + TEXTS)
        + documents
        + unreadable
}
