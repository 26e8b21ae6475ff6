//! `cargo fuzz run decode`: any bytes into the frame decoder.
#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::decode_any(bytes));
