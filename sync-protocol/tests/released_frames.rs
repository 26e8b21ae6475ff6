//! Released frames never change: one of each kind is kept in `golden/v<version>/<kind>.hex`, byte for byte.
//!
//! A file that differs means that agents in the field would not understand a new hub, or the other way round: change the
//! protocol's version, not the file. The frames are kept with their bodies as they are before deflating, because how well
//! something is deflated may change; `state-deflated.hex` proves that what was deflated by the first release is still read.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../fuzz/samples.rs"]
mod samples;

use std::collections::BTreeSet;
use std::path::PathBuf;
use sync_protocol::frame::{Frame, VERSION_MAX, decode, encode};

/// Of the samples: version, kind, store, epoch, boot.
const HEADER_BYTES: usize = 2 + 6 + 1 + 9;
const DEFLATED: u8 = 0x80;

#[test]
fn released_frames_never_change_their_bytes() {
    for frame in sample_frames() {
        let kind = frame.body.kind();
        assert_eq!(to_hex(&plain(&encode(&frame))), golden(kind), "`{kind}` as it is written now");
    }
}

#[test]
fn released_frames_are_read_as_what_they_were() {
    for frame in sample_frames() {
        let kind = frame.body.kind();
        assert_eq!(decode(&from_hex(&golden(kind))).unwrap(), frame, "`{kind}`");
    }
}

#[test]
fn what_the_first_release_deflated_is_still_read() {
    let deflated = from_hex(&golden("state-deflated"));
    assert_ne!(deflated[1] & DEFLATED, 0);
    assert_eq!(decode(&deflated).unwrap(), decode(&from_hex(&golden("state"))).unwrap());
}

#[test]
fn every_kind_of_this_version_is_kept() {
    let kinds: BTreeSet<String> = sample_frames().iter().map(|frame| frame.body.kind().to_owned()).collect();
    assert_eq!(kinds.len(), 14);
    let kept: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "state-deflated")
        .collect();
    assert_eq!(kinds, kept);
}

/// For a new version only: `cargo test -p sync-protocol --test released_frames -- --ignored`. Never overwrites a file.
#[test]
#[ignore = "writes the files of a version that has none yet"]
fn write_what_is_not_kept_yet() {
    std::fs::create_dir_all(folder()).unwrap();
    for frame in sample_frames() {
        let bytes = encode(&frame);
        write_new(frame.body.kind(), &plain(&bytes));
        if frame.body.kind() == "state" {
            write_new("state-deflated", &bytes);
        }
    }
}

fn sample_frames() -> Vec<Frame> {
    samples::frames().iter().map(|bytes| decode(bytes).unwrap()).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{VERSION_MAX}"))
}

fn golden(name: &str) -> String {
    let path = folder().join(format!("{name}.hex"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write_new(name: &str, bytes: &[u8]) {
    let path = folder().join(format!("{name}.hex"));
    if !path.exists() {
        std::fs::write(path, to_hex(bytes)).unwrap();
    }
}

/// The frame with its body as it is before deflating.
fn plain(frame: &[u8]) -> Vec<u8> {
    if frame[1] & DEFLATED == 0 {
        return frame.to_vec();
    }
    let (header, body) = frame.split_at(HEADER_BYTES);
    let length_bytes = 1 + body.iter().take_while(|byte| **byte & 0x80 != 0).count();
    let body = miniz_oxide::inflate::decompress_to_vec(&body[length_bytes..]).unwrap();
    let mut frame = [header, &body].concat();
    frame[1] ^= DEFLATED;
    frame
}

/// Thirty-two bytes to a line.
fn to_hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
