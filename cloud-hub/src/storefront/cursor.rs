//! Cursors as text: where a page or the change feed was left.
//!
//! To callers they are opaque. They hold nothing secret and nothing of this process, so they outlive restarts. A feed
//! cursor carries the feed's lineage: after a hub was restored from a backup its numbers would mean other changes.

use super::problem::{Kind, Problem, shown};
use super::query::hex_digit;
use crate::availability::{Cursor, CursorTooOld};
use std::fmt::Write as _;
use sync_protocol::limits::STORE_ID_BYTES_MAX;

/// The last store of a page of stores: its place in the order, and which order that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageCursor {
    /// Tells orders apart: that around one place is not that around another.
    pub(super) order: u32,
    /// The distance as it is sorted by.
    pub(super) key: u64,
    pub(super) store: String,
}

impl PageCursor {
    pub(super) fn write(&self) -> String {
        let mut text = format!("p{:08x}{:016x}", self.order, self.key);
        for byte in self.store.bytes() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    pub(super) fn read(text: &str) -> Result<PageCursor, Problem> {
        PageCursor::parse(text).ok_or_else(|| foreign("cursor", text, "the last answer's `next`"))
    }

    fn parse(text: &str) -> Option<PageCursor> {
        let hex = text.strip_prefix('p')?.as_bytes();
        if hex.len() > 24 + 2 * STORE_ID_BYTES_MAX || !hex.len().is_multiple_of(2) || hex.len() < 24 {
            return None;
        }
        let bytes: Vec<u8> = hex
            .chunks_exact(2)
            .map(|pair| Some(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?))
            .collect::<Option<_>>()?;
        let (order, rest) = bytes.split_first_chunk()?;
        let (key, store) = rest.split_first_chunk()?;
        Some(PageCursor {
            order: u32::from_be_bytes(*order),
            key: u64::from_be_bytes(*key),
            store: std::str::from_utf8(store).ok()?.to_owned(),
        })
    }
}

pub(super) fn write_feed(cursor: Cursor, lineage: u64) -> String {
    format!("f{lineage:x}-{:x}", cursor.0)
}

/// Reads a feed cursor that was given as `parameter`.
pub(super) fn read_feed(parameter: &'static str, text: &str, lineage: u64) -> Result<Cursor, Problem> {
    let number = |hex: &str| {
        let digits = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        u64::from_str_radix(hex, 16).ok().filter(|_| digits)
    };
    let parts = text.strip_prefix('f').and_then(|rest| rest.split_once('-'));
    match parts.and_then(|(lineage, at)| Some((number(lineage)?, number(at)?))) {
        Some((read, at)) if read == lineage => Ok(Cursor(at)),
        Some(_) => Err(too_old(CursorTooOld, parameter)),
        None => Err(foreign(parameter, text, "a cursor from /v1/changes or /v1/snapshot")),
    }
}

/// The way out of a cursor that the feed no longer reaches back to.
pub(super) fn too_old(_: CursorTooOld, parameter: &'static str) -> Problem {
    let detail = "changes after this cursor are no longer kept, or the hub was restored from a backup since: take \
                  /v1/snapshot and go on from the cursor it ends in";
    Problem::of(Kind::CursorTooOld, parameter, detail)
}

fn foreign(parameter: &'static str, text: &str, wanted: &str) -> Problem {
    Problem::invalid(parameter, format!("`{parameter}` is `{}`; give {wanted}, unchanged", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_cursor_reads_back() {
        let cursor = PageCursor { order: 7, key: 4.5_f64.to_bits(), store: "S0042".to_owned() };
        assert_eq!(PageCursor::read(&cursor.write()), Ok(cursor));
        let empty = PageCursor { order: 0, key: 0, store: String::new() };
        assert_eq!(PageCursor::read(&empty.write()), Ok(empty));
    }

    #[test]
    fn a_feed_cursor_reads_back_in_its_own_lineage_only() {
        let text = write_feed(Cursor(u64::MAX), 3);
        assert_eq!(read_feed("after", &text, 3), Ok(Cursor(u64::MAX)));
        assert_eq!(read_feed("after", &text, 4), Err(too_old(CursorTooOld, "after")));
    }

    #[test]
    fn any_other_text_is_refused_as_such() {
        let long = format!("p{}", "0".repeat(5000));
        for text in
            ["", "p", "p00", "f1-2", "pzz", "p+0000000", "é", &long, "p00000000000000000000000000000000ff"]
        {
            assert!(PageCursor::read(text).is_err(), "{text}");
        }
        for text in
            ["", "f", "f1", "f1-", "f-1", "f1-g", "f1--1", "f+1-1", "p00", "f1-11111111111111111", "1-1"]
        {
            assert!(
                read_feed("after", text, 1).is_err_and(|p| p != too_old(CursorTooOld, "after")),
                "{text}"
            );
        }
    }
}
