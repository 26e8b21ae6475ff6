//! Quantities as POS systems keep them, brought to thousandths without floating point.
//!
//! A DOUBLE is taken by its shortest decimal text, the one a person would see: 11.079999999999998 is 11.080. Whatever is further
//! than a millionth from a thousandth is rounded all the same (half away from zero), and said.

use crate::config::pos::Factor;
use sync_protocol::Quantity;

/// Digits before the point that are looked at; a quantity has ten at most.
const WHOLE_DIGITS_MAX: usize = 13;
/// Digits behind the point that are looked at; what follows them moves nothing.
const FRACTION_DIGITS: u32 = 12;
const THOUSANDTHS: u32 = 3;

/// A quantity in thousandths, and whether rounding moved it by more than a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounded {
    pub thousandths: i64,
    pub is_off: bool,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoQuantity {
    #[error("is not a plain decimal number")]
    NotANumber,
    #[error("is beyond {max}, the most that one line may carry", max = Quantity::MAX)]
    TooLarge,
}

/// `text` times `units`, in thousandths.
pub fn thousandths(text: &str, units: Factor) -> Result<Rounded, NoQuantity> {
    let (is_negative, digits) = match text.trim().as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    let are_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if (whole.is_empty() && fraction.is_empty()) || !are_digits(whole) || !are_digits(fraction) {
        return Err(NoQuantity::NotANumber);
    }
    let significant = whole.iter().position(|byte| *byte != b'0').map_or(&[][..], |at| &whole[at..]);
    if significant.len() > WHOLE_DIGITS_MAX {
        return Err(NoQuantity::TooLarge);
    }
    let fraction = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(FRACTION_DIGITS as usize);
    let value = significant
        .iter()
        .copied()
        .chain(fraction)
        .fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    // At most 25 digits times 12: within 128 bits.
    let product = value * i128::from(units.mantissa);
    let one = 10i128.pow(FRACTION_DIGITS + units.decimals - THOUSANDTHS);
    let rounded = (product + one / 2) / one;
    let off = (product - rounded * one).abs();
    if rounded > i128::from(Quantity::MAX.thousandths()) {
        return Err(NoQuantity::TooLarge);
    }
    let rounded = i64::try_from(rounded).map_err(|_| NoQuantity::TooLarge)?;
    // A millionth of a unit is a thousandth of a thousandth.
    Ok(Rounded { thousandths: if is_negative { -rounded } else { rounded }, is_off: off > one / 1000 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Result<Rounded, NoQuantity> {
        thousandths(text, Factor::ONE)
    }

    #[test]
    fn a_double_that_meant_a_thousandth_is_one() {
        for (text, expected) in [
            ("11.079999999999998", 11_080),
            ("-11.079999999999998", -11_080),
            ("0.30000000000000004", 300),
            ("2", 2_000),
            ("-0.5", -500),
            (".25", 250),
            ("7.", 7_000),
            ("0", 0),
            ("-0", 0),
            ("0001.5", 1_500),
        ] {
            assert_eq!(plain(text), Ok(Rounded { thousandths: expected, is_off: false }), "{text}");
        }
    }

    #[test]
    fn what_is_no_thousandth_is_rounded_and_said() {
        for (text, expected) in
            [("1.0005", 1_001), ("-1.0005", -1_001), ("0.3333333", 333), ("1.00049999", 1_000)]
        {
            assert_eq!(plain(text), Ok(Rounded { thousandths: expected, is_off: true }), "{text}");
        }
        assert!(!plain("1.000001").unwrap().is_off, "a millionth is near enough");
    }

    #[test]
    fn units_are_exact() {
        let case = Factor { mantissa: 12, decimals: 0 };
        let grams = Factor { mantissa: 1, decimals: 3 };
        assert_eq!(thousandths("3", case), Ok(Rounded { thousandths: 36_000, is_off: false }));
        assert_eq!(thousandths("1235", grams), Ok(Rounded { thousandths: 1_235, is_off: false }));
        assert_eq!(thousandths("0.5", grams), Ok(Rounded { thousandths: 1, is_off: true }));
    }

    #[test]
    fn what_no_shelf_holds_is_refused() {
        let huge = format!("{}", 1e300);
        for text in [huge.as_str(), "1000000000.001", "99999999999999999999"] {
            assert_eq!(plain(text), Err(NoQuantity::TooLarge), "{text}");
        }
        for text in ["", "-", ".", "1e3", "NaN", "inf", "1,5", "1 2", "--1", "١"] {
            assert_eq!(plain(text), Err(NoQuantity::NotANumber), "{text}");
        }
        assert_eq!(plain(&format!("{}", 1e-300)).map(|rounded| rounded.thousandths), Ok(0));
    }
}
