//! The pickup code: what the shopper shows, signed by the hub, so that a store can check it with its line down, also for an
//! order it has never heard of.
//!
//! ```text
//! version u8 = 1 │ store: length, bytes │ order varint │ valid until: seconds varint │ lines varint │ per line: item varint, thousandths varint │ signature 64 bytes
//! ```
//!
//! written in Crockford's base-32 digits, which a QR code takes in its compact form and a scanner types as they are. The
//! signature (Ed25519) is over [`CONTEXT`] and everything before it. This module knows the bytes; whoever calls it has
//! the keys.

use crate::frame::DecodeError;
use crate::frame::codec::{Reader, Writer};
use crate::ids::{ItemNo, StoreId};
use crate::limits::STORE_ID_BYTES_MAX;
use crate::order::lines::{DIGITS, ORDER_LINES_MAX, digit_value, validate_lines};
use crate::order::{Line, OrderId};
use crate::quantity::Quantity;
use crate::time::UnixMillis;

/// What every signature of a pickup code begins with, so that it can never stand for anything else the hub signs.
pub const CONTEXT: &[u8] = b"shopsmart pickup code\0";
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Longest text of a code; longer ones are not looked at.
const TEXT_BYTES_MAX: usize = 2_048;
const VERSION: u8 = 1;

/// What a pickup code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickupCode {
    pub store: StoreId,
    pub order: OrderId,
    /// Whole seconds; the rest is cut off.
    pub valid_until: UnixMillis,
    /// Invariant: as in an order.
    pub lines: Vec<Line>,
}

/// A code as it was shown: who signed it is still to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub code: PickupCode,
    /// What the signature is over.
    pub message: Vec<u8>,
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Why a text is no pickup code, or not one for here and now. For the person who scanned it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeRefused {
    #[error("this is no pickup code; scan it again, or type the short one")]
    Unreadable,
    #[error("this pickup code is of a newer kind; the store's agent must be upgraded to read it")]
    Version,
    #[error("this pickup code was not signed by head office; do not hand anything over")]
    Forged,
    #[error("this pickup code is for store {store}; send the customer there")]
    OtherStore { store: StoreId },
    #[error("this pickup code is no longer valid; the order was kept until then")]
    Expired,
    #[error("this order has been handed over already")]
    Used,
}

impl PickupCode {
    /// What the hub signs.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        [CONTEXT, &self.body()].concat()
    }

    /// The code with its signature, as it is printed and shown.
    #[must_use]
    pub fn text(&self, signature: &[u8; SIGNATURE_BYTES]) -> String {
        in_digits(&[&self.body()[..], signature].concat())
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        out.text(self.store.as_str());
        out.varint(self.order.number());
        out.varint(u64::try_from(self.valid_until.0 / 1000).unwrap_or(0));
        out.varint(self.lines.len() as u64);
        for line in &self.lines {
            out.varint(line.item.0.into());
            out.varint(line.quantity.thousandths().unsigned_abs());
        }
        out.bytes
    }

    /// Whether it is for `store` and still good, by a clock that may be `tolerance` milliseconds fast.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, store: &StoreId, now: UnixMillis, tolerance: i64) -> Result<(), CodeRefused> {
        if self.store != *store {
            return Err(CodeRefused::OtherStore { store: self.store.clone() });
        }
        if now.0.saturating_sub(tolerance) > self.valid_until.0 {
            return Err(CodeRefused::Expired);
        }
        Ok(())
    }
}

/// Reads a code. Case, spaces and hyphens don't matter.
///
/// # Errors
/// When it is none.
pub fn read(text: &str) -> Result<Shown, CodeRefused> {
    let bytes = from_digits(text).ok_or(CodeRefused::Unreadable)?;
    let body_bytes = bytes.len().checked_sub(SIGNATURE_BYTES).ok_or(CodeRefused::Unreadable)?;
    let (body, signature) = bytes.split_at(body_bytes);
    let signature = signature.try_into().map_err(|_| CodeRefused::Unreadable)?;
    let code = read_body(body)?;
    Ok(Shown { code, message: [CONTEXT, body].concat(), signature })
}

fn read_body(body: &[u8]) -> Result<PickupCode, CodeRefused> {
    let unreadable = |_| CodeRefused::Unreadable;
    let mut reader = Reader::new(body);
    if reader.u8("version").map_err(unreadable)? != VERSION {
        return Err(CodeRefused::Version);
    }
    let code = read_fields(&mut reader).map_err(unreadable)?;
    reader.finish().map_err(unreadable)?;
    validate_lines(&code.lines).map_err(|_| CodeRefused::Unreadable)?;
    Ok(code)
}

fn read_fields(reader: &mut Reader<'_>) -> Result<PickupCode, DecodeError> {
    let store = reader.parsed("store", STORE_ID_BYTES_MAX)?;
    let order = OrderId::from_number(reader.varint("order")?)
        .map_err(|error| DecodeError::invalid("order", error))?;
    let seconds = i64::try_from(reader.varint("valid until")?)
        .map_err(|error| DecodeError::invalid("valid until", error))?;
    let count = reader.count("lines", ORDER_LINES_MAX)?;
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        let item = ItemNo(reader.u32("item")?);
        let thousandths = i64::try_from(reader.varint("quantity")?)
            .map_err(|error| DecodeError::invalid("quantity", error))?;
        lines.push(Line { item, quantity: Quantity::from_thousandths(thousandths) });
    }
    Ok(PickupCode { store, order, valid_until: UnixMillis(seconds.saturating_mul(1000)), lines })
}

/// Five bits a digit, highest first; the last digit is filled up with zeros.
fn in_digits(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut waiting, mut bits) = (0_u32, 0);
    for byte in bytes {
        waiting = waiting << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(digit(waiting >> bits));
        }
    }
    if bits > 0 {
        text.push(digit(waiting << (5 - bits)));
    }
    text
}

fn digit(value: u32) -> char {
    let index = usize::try_from(value & 31).unwrap_or_default();
    char::from(DIGITS[index])
}

/// `None` for what no [`in_digits`] wrote.
fn from_digits(text: &str) -> Option<Vec<u8>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut waiting, mut bits) = (0_u32, 0);
    for written in text.chars().filter(|c| !matches!(c, '-' | ' ')) {
        waiting = waiting << 5 | u32::from(digit_value(written)?);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(waiting >> bits & 0xFF).ok()?);
        }
    }
    let rest = waiting & ((1 << bits) - 1);
    (bits < 5 && rest == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code() -> PickupCode {
        PickupCode {
            store: "S0042".parse().unwrap(),
            order: "K7M29-QX4TB".parse().unwrap(),
            valid_until: UnixMillis(1_795_000_000_000),
            lines: vec![
                Line { item: ItemNo(7), quantity: Quantity::from_units(2) },
                Line { item: ItemNo(300), quantity: Quantity::from_thousandths(1_250) },
            ],
        }
    }

    #[test]
    fn a_code_reads_back_with_what_was_signed() {
        let text = code().text(&[9; SIGNATURE_BYTES]);
        assert!(text.len() < 150, "{} digits make a large picture", text.len());
        let shown = read(&text.to_lowercase()).unwrap();
        assert_eq!(shown.code, code());
        assert_eq!(shown.message, code().message());
        assert_eq!(shown.signature, [9; SIGNATURE_BYTES]);
    }

    #[test]
    fn a_code_is_for_one_store_and_one_time() {
        let here = "S0042".parse().unwrap();
        let end = code().valid_until.0;
        assert_eq!(code().check(&here, UnixMillis(end), 0), Ok(()));
        assert_eq!(code().check(&here, UnixMillis(end + 1), 0), Err(CodeRefused::Expired));
        assert_eq!(code().check(&here, UnixMillis(end + 1), 1), Ok(()));
        let other = code().check(&"S0041".parse().unwrap(), UnixMillis(0), 0).unwrap_err();
        assert!(other.to_string().contains("store S0042"), "{other}");
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let good = code().text(&[9; SIGNATURE_BYTES]);
        for wrong in ["", "4011", &good[..good.len() - 4], &format!("{good}00000000"), &"0".repeat(5_000)] {
            assert!(matches!(read(wrong), Err(CodeRefused::Unreadable | CodeRefused::Version)), "{wrong}");
        }
        let newer = in_digits(&[&[2][..], &[0; 100]].concat());
        assert_eq!(read(&newer), Err(CodeRefused::Version));
    }

    proptest! {
        #[test]
        fn digits_carry_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(from_digits(&in_digits(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9A-Za-z -]{0,400}") {
            let _ = read(&text);
        }

        #[test]
        fn a_code_that_is_read_is_written_the_same(mut bytes in proptest::collection::vec(any::<u8>(), 64..160)) {
            bytes[0] = VERSION;
            if let Ok(shown) = read(&in_digits(&bytes)) {
                prop_assert_eq!(&shown.code.message()[..CONTEXT.len()], CONTEXT);
                prop_assert_eq!(read(&shown.code.text(&shown.signature)).unwrap().code, shown.code);
            }
        }
    }
}
