//! The fuzzer's smoke run: valid frames, damaged in every way a line or a liar can, into the fuzz target's own entry.
//!
//! It draws from a fixed seed, so it does the same on every run.

#[path = "../fuzz/entry.rs"]
mod entry;
#[path = "../fuzz/samples.rs"]
mod samples;

use sync_protocol::frame::{Body, decode};
use sync_protocol::limits::FRAME_BYTES_MAX;

const ROUNDS: u32 = 20_000;
/// Of the samples: version, kind, store, epoch, boot.
const HEADER_BYTES: usize = 2 + 6 + 1 + 9;

#[test]
fn the_samples_are_valid() {
    let frames = samples::frames();
    assert_eq!(frames.len(), 14, "one of each kind");
    for bytes in frames {
        let frame = decode(&bytes).unwrap();
        entry::decode_any(&bytes);
        if let Some(plain) = inflated(&bytes) {
            assert_eq!(decode(&plain).unwrap(), frame);
        }
    }
}

#[test]
fn damaged_frames_are_errors_and_never_panics() {
    let mut dice = Dice(0x5EED);
    let mut frames = samples::frames();
    // Damage to deflated bytes rarely gets past the inflater, so the plain bodies are damaged as well.
    let plain: Vec<Vec<u8>> = frames.iter().filter_map(|frame| inflated(frame)).collect();
    assert!(plain.len() > 3, "the larger samples are deflated");
    frames.extend(plain);
    for _ in 0..ROUNDS {
        for frame in &frames {
            let mut bytes = frame.clone();
            for _ in 0..=dice.below(4) {
                damage(&mut bytes, &frames, &mut dice);
            }
            entry::decode_any(&bytes);
        }
    }
}

#[test]
fn every_beginning_of_a_frame_is_an_error() {
    for frame in samples::frames() {
        for end in 0..frame.len() {
            entry::decode_any(&frame[..end]);
        }
    }
}

#[test]
fn what_is_too_long_is_refused_unread() {
    assert!(decode(&vec![1; FRAME_BYTES_MAX + 1]).is_err());
}

/// A few hundred bytes inflate to half a million empty records. Setting each aside with a reason of its own would take a
/// hundred megabytes here, and as many rows in the receiver's quarantine.
#[test]
fn a_frame_full_of_nothing_is_set_aside_in_a_few_pieces() {
    const ITEMS: u8 = 1;
    let nothing = vec![0; 500_000];
    let length = [0xA0, 0xC2, 0x1E];
    let body = [&[0, 0, 0, 0, ITEMS][..], &length, &nothing].concat();
    let body = miniz_oxide::deflate::compress_to_vec(&body, 6);
    let header = [1, 5 | 0x80, 5, b'S', b'0', b'0', b'4', b'2', 1, 1];
    let frame = [&header[..], &[0xA8, 0xC2, 0x1E], &body].concat();
    assert!(frame.len() < 1_000, "{} bytes", frame.len());
    match decode(&frame).map(|frame| frame.body) {
        Ok(Body::State(batch)) => {
            assert!(batch.unreadable.len() <= 1_000, "{} pieces", batch.unreadable.len())
        }
        Ok(other) => panic!("{} where a state batch was sent", other.kind()),
        Err(error) => assert!(error.to_string().contains("many"), "{error}"),
    }
}

/// The same frame with its body as it is before deflating.
fn inflated(frame: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = frame.split_at(HEADER_BYTES);
    if header[1] & 0x80 == 0 {
        return None;
    }
    let length_bytes = 1 + body.iter().take_while(|byte| **byte & 0x80 != 0).count();
    let plain = miniz_oxide::inflate::decompress_to_vec(&body[length_bytes..]).expect("a sample inflates");
    let mut frame = [header, &plain].concat();
    frame[1] ^= 0x80;
    Some(frame)
}

fn damage(bytes: &mut Vec<u8>, frames: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(8) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, dice.byte()),
        2 => drop(bytes.drain(at.min(bytes.len())..(at + dice.below(9)).min(bytes.len()))),
        // The largest varint, where a small number stood.
        3 => drop(bytes.splice(at..at, [0xFF; 9].into_iter().chain([1]))),
        4 => flip(bytes, at, 1 << dice.below(8)),
        5 => flip(bytes, at, dice.byte()),
        6 => {
            let other = &frames[dice.below(frames.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[dice.below(other.len())..]);
        }
        // Past the header, an uncompressed body may be read where a compressed one stood, and the other way round.
        _ => flip(bytes, 1, 0x80),
    }
}

fn flip(bytes: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= bits;
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).expect("a length fits");
        usize::try_from(self.next() % bound).expect("below a length")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}
