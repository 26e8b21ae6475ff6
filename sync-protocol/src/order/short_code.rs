//! The short pickup code: what a shopper reads out or types where the signed one can't be scanned.
//!
//! Eight of Crockford's base-32 digits in two groups, `7KQ2-M9XT`, drawn at random for one order. The order's hub half carries
//! only [`code_hash`], and the agent holds what was typed against that, also with its line down. The hash is SHA-256, which
//! this crate has no library for: agent and hub hand theirs in.
//!
//! What the hash is good for: the code can't be read in passing, in a log, on a page, in a frame or over somebody's
//! shoulder. It does not stop whoever holds the store's database: a graphics card tries 2⁴⁰ codes within minutes. A slow hash
//! would delay that at the price of a slow counter, for a code typed without its order is tried against every open one; and
//! whoever reads the store's database can have the goods more easily. Guesses at the counter are for the counter to limit.

use super::lines::{DIGITS, OrderId, digit_value};
use std::fmt;
use std::str::FromStr;

/// What every hashed message begins with, so that the hash can never stand for that of anything else.
pub const CONTEXT: &[u8] = b"shopsmart short code\0";
/// Bytes of a code's hash: the first ones of a SHA-256.
pub const CODE_HASH_BYTES: usize = 16;
/// Digits of a code, five bits each.
const CODE_DIGITS: usize = 8;

/// A short code. Case, spaces and hyphens don't matter on the way in, and `O`, `I` and `L` are read as the digits they look
/// like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortCode(u64);

/// A text that is no short code. It is not repeated: most likely it is one with a slip in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no short code; one has eight letters and digits, like `7KQ2-M9XT`")]
pub struct NotAShortCode;

impl ShortCode {
    const MAX: u64 = (1 << (5 * CODE_DIGITS)) - 1;

    /// From any random number, as good as that is.
    #[must_use]
    pub const fn from_random(bits: u64) -> ShortCode {
        ShortCode(bits & Self::MAX)
    }
}

/// What an order's hub half says of its short code: the first half of SHA-256 over [`CONTEXT`], the order's number and the
/// code's, each as eight bytes, highest first. With the order in it one code has another hash in every order.
#[must_use]
pub fn code_hash(
    order: OrderId,
    code: ShortCode,
    sha256: impl FnOnce(&[u8]) -> [u8; 32],
) -> [u8; CODE_HASH_BYTES] {
    let hash = sha256(&[CONTEXT, &order.number().to_be_bytes(), &code.0.to_be_bytes()].concat());
    std::array::from_fn(|at| hash[at])
}

impl fmt::Display for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..CODE_DIGITS).rev() {
            let digit = (self.0 >> (5 * place)) & 31;
            let index = usize::try_from(digit).unwrap_or_default();
            write!(f, "{}", char::from(DIGITS[index]))?;
            if place == CODE_DIGITS / 2 {
                f.write_str("-")?;
            }
        }
        Ok(())
    }
}

/// Not the code itself: what is printed for debugging ends up in logs.
impl fmt::Debug for ShortCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShortCode(…)")
    }
}

impl FromStr for ShortCode {
    type Err = NotAShortCode;

    fn from_str(text: &str) -> Result<ShortCode, NotAShortCode> {
        let written = text.chars().filter(|c| !matches!(c, '-' | ' ')).take(CODE_DIGITS + 1);
        let digits: Option<Vec<u8>> = written.map(digit_value).collect();
        let digits = digits.filter(|digits| digits.len() == CODE_DIGITS).ok_or(NotAShortCode)?;
        Ok(ShortCode(digits.iter().fold(0, |number, digit| number << 5 | u64::from(*digit))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code() -> ShortCode {
        "7KQ2-M9XT".parse().unwrap()
    }

    #[test]
    fn a_code_reads_as_people_write_it() {
        assert_eq!(code().to_string(), "7KQ2-M9XT");
        for written in ["7kq2m9xt", " 7KQ2 M9XT ", "7-K-Q-2-M-9-X-T"] {
            assert_eq!(written.parse(), Ok(code()), "{written}");
        }
        assert_eq!("OIL0-1110".parse::<ShortCode>().unwrap().to_string(), "0110-1110");
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let long = "7".repeat(100_000);
        for wrong in
            ["", "-", "7KQ2", "7KQ2-M9XTB", "7KQ2-M9XU", "7KQ2/M9XT", "７KQ2-M9XT", "K7M29-QX4TB", &long]
        {
            assert_eq!(wrong.parse::<ShortCode>(), Err(NotAShortCode), "{wrong}");
        }
    }

    #[test]
    fn a_code_does_not_show_where_values_are_printed_for_debugging() {
        assert_eq!(format!("{:?}", Some(code())), "Some(ShortCode(…))");
    }

    #[test]
    fn the_hash_is_over_the_order_and_the_code() {
        let order: OrderId = "00000-00012".parse().unwrap();
        let code = ShortCode::from_random(0x12_3456_789A);
        let mut hashed = Vec::new();
        let hash = code_hash(order, code, |message| {
            hashed = message.to_vec();
            std::array::from_fn(|at| u8::try_from(at).unwrap())
        });
        let expected = b"shopsmart short code\0\0\0\0\0\0\0\0\x22\0\0\0\x12\x34\x56\x78\x9A";
        assert_eq!(hashed, expected);
        assert_eq!(hash, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }

    proptest! {
        #[test]
        fn every_code_reads_back(bits: u64) {
            let code = ShortCode::from_random(bits);
            let text = code.to_string();
            prop_assert_eq!(text.len(), 9);
            prop_assert_eq!(text.to_lowercase().parse::<ShortCode>().unwrap(), code);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(code) = text.parse::<ShortCode>() {
                prop_assert_eq!(code.to_string().parse::<ShortCode>().unwrap(), code);
            }
        }
    }
}
