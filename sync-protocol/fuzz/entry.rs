//! What both the fuzzer and the suite's smoke run call with any bytes.

use sync_protocol::frame::{Body, Frame, decode, encode};

/// Decoding gives a frame or an error. A frame can be written again, and then reads as the same frame.
pub fn decode_any(bytes: &[u8]) {
    let Ok(frame) = decode(bytes) else { return };
    let understood = without_unreadable(frame);
    let written = encode(&understood);
    match decode(&written) {
        Ok(again) => assert_eq!(again, understood, "a frame reads back as what was written"),
        Err(error) => panic!("{understood:?} was written and can't be read: {error}"),
    }
}

/// What could not be read can't be written either.
fn without_unreadable(mut frame: Frame) -> Frame {
    match &mut frame.body {
        Body::Handover(handover) => handover.unreadable.clear(),
        Body::Offer(offer) => offer.unreadable.clear(),
        Body::State(batch) => batch.unreadable.clear(),
        Body::History(batch) => batch.unreadable.clear(),
        Body::Down(batch) => batch.unreadable.clear(),
        Body::Hello(_) | Body::Welcome(_) | Body::Ack(_) | Body::Heartbeat(_) | Body::Pulse(_) => {}
        Body::Buckets(_) | Body::Resend(_) | Body::Refused(_) | Body::Marks(_) => {}
    }
    frame
}
