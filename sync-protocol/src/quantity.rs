//! Quantities of goods: exact thousandths, because weighed goods exist.
//!
//! A quantity is read from and written to text and JSON without floating point: what a till reports as `1.235` is 1,235
//! thousandths here and `1.235` again on the way out. What can't be kept exactly is refused, never rounded.

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;
use std::str::FromStr;

/// Thousandths in one unit.
const THOUSAND: i64 = 1000;
/// Decimals of a quantity.
const DECIMALS: i64 = 3;
/// Digits of [`Quantity::MAX`], counted in thousandths.
const DIGITS_MAX: i64 = 13;
/// How much of a bad text an error repeats, in characters.
const FOUND_CHARS_MAX: usize = 40;

/// A signed quantity in thousandths of the item's unit (each, kg, …).
///
/// What is read (`FromStr`, serde) lies within ±[`Quantity::MAX`], the bound of one reported line. Figures made by
/// adding up lines may be larger and print just as exactly: [`from_thousandths`](Self::from_thousandths) takes any `i64`,
/// and arithmetic is checked.
///
/// Text: digits with at most one point, optionally a sign and an exponent: `2`, `1.235`, `-0.5`, `+3`, `.5`, `1.2300`,
/// `15e-1`. White space around it is ignored. Printed is the shortest exact form: `2`, `1.235`, `-0.5`.
///
/// JSON: a number or a string on the way in (`1.235`, `"1.235"`), a number on the way out.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i64);

impl Quantity {
    pub const ZERO: Quantity = Quantity(0);
    /// One unit.
    pub const ONE: Quantity = Quantity(THOUSAND);
    /// The largest quantity one reported line may carry: 10⁹ units. Nine million such lines fit an `i64`, so that summing
    /// up a document or a day can't overflow, and every quantity that is read survives JSON readers that know only
    /// doubles (13 of the 15 digits they keep).
    pub const MAX: Quantity = Quantity(1_000_000_000 * THOUSAND);

    /// Any `i64`, also beyond [`Quantity::MAX`].
    #[must_use]
    pub const fn from_thousandths(thousandths: i64) -> Quantity {
        Quantity(thousandths)
    }

    /// Whole units. Stops at the ends of the range (±9.2 · 10¹⁵ units), which no stock comes near.
    #[must_use]
    pub const fn from_units(units: i64) -> Quantity {
        Quantity(units.saturating_mul(THOUSAND))
    }

    #[must_use]
    pub const fn thousandths(self) -> i64 {
        self.0
    }

    /// `None` on overflow of the `i64` inside.
    #[must_use]
    pub const fn checked_add(self, other: Quantity) -> Option<Quantity> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Quantity(sum)),
            None => None,
        }
    }

    /// `None` on overflow of the `i64` inside.
    #[must_use]
    pub const fn checked_sub(self, other: Quantity) -> Option<Quantity> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Quantity(difference)),
            None => None,
        }
    }

    /// `None` for the one number that has no opposite.
    #[must_use]
    pub const fn checked_neg(self) -> Option<Quantity> {
        match self.0.checked_neg() {
            Some(opposite) => Some(Quantity(opposite)),
            None => None,
        }
    }

    /// The smallest number of whole units that is not less: what `1.2` of something sold by the piece comes to.
    #[must_use]
    pub const fn up_to_whole_units(self) -> Quantity {
        let part = self.0.rem_euclid(THOUSAND);
        if part == 0 { self } else { Quantity(self.0.saturating_add(THOUSAND - part)) }
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    #[error("quantity is empty; write a number like `2` or `1.235`")]
    Empty,
    #[error(
        "quantity `{found}` is not a decimal number; write digits with a point and at most three decimals, like `2` or `1.235`"
    )]
    NotANumber { found: String },
    #[error("quantity `{found}` has more than three decimals")]
    TooPrecise { found: String },
    #[error("quantity `{found}` is beyond the {max} units one line may carry", max = Quantity::MAX)]
    TooLarge { found: String },
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Quantity, InvalidQuantity> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Err(InvalidQuantity::Empty);
        }
        let found = || text.escape_debug().take(FOUND_CHARS_MAX).collect();
        let Some(decimal) = Decimal::split(text) else {
            return Err(InvalidQuantity::NotANumber { found: found() });
        };
        decimal.thousandths().map(Quantity).map_err(|misfit| match misfit {
            Misfit::TooPrecise => InvalidQuantity::TooPrecise { found: found() },
            Misfit::TooLarge => InvalidQuantity::TooLarge { found: found() },
        })
    }
}

/// A well-formed decimal number, still as text: `negative`, then `whole`.`fraction` · 10^`exponent`.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// Why a well-formed number is no quantity.
enum Misfit {
    TooPrecise,
    TooLarge,
}

impl<'a> Decimal<'a> {
    fn split(text: &'a str) -> Option<Decimal<'a>> {
        let (negative, unsigned) = split_sign(text.as_bytes());
        let (mantissa, exponent) = match unsigned.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&unsigned[..at], read_exponent(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        let has_digits = !whole.is_empty() || !fraction.is_empty();
        let only_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        (has_digits && only_digits).then_some(Decimal { negative, whole, fraction, exponent })
    }

    /// Zeros at either end carry no value, however many there are: what counts is the digits between them and where the
    /// last of those stands.
    fn thousandths(&self) -> Result<i64, Misfit> {
        let digits = self.whole.iter().chain(self.fraction);
        let leading = digits.clone().take_while(|d| **d == b'0').count();
        let trailing = digits.clone().rev().take_while(|d| **d == b'0').count();
        let written = self.whole.len() + self.fraction.len();
        if leading == written {
            return Ok(0);
        }
        let significant = written - leading - trailing;
        // How many zeros follow the last significant digit once the number is written in thousandths.
        let zeros = (self.exponent + DECIMALS)
            .saturating_sub_unsigned(self.fraction.len() as u64)
            .saturating_add_unsigned(trailing as u64);
        if zeros.saturating_add_unsigned(significant as u64) > DIGITS_MAX {
            return Err(Misfit::TooLarge);
        }
        if zeros < 0 {
            return Err(Misfit::TooPrecise);
        }
        let value = digits.skip(leading).take(significant).map(|d| i64::from(d - b'0'));
        let value = (0..zeros).fold(value.fold(0, |sum, d| sum * 10 + d), |sum, _| sum * 10);
        if value > Quantity::MAX.0 {
            return Err(Misfit::TooLarge);
        }
        Ok(if self.negative { -value } else { value })
    }
}

// `DIGITS_MAX` digits can't overflow the sum that is built up digit by digit.
const _: () = assert!(Quantity::MAX.0 < 10_i64.pow(13) && DIGITS_MAX == 13);

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// The exponent, held to ±10¹²: farther out nothing but zero fits, and zero fits anyway.
fn read_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0_i64, |size, d| (size * 10 + i64::from(d - b'0')).min(1_000_000_000_000));
    Some(if negative { -size } else { size })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.unsigned_abs() / 1000, self.0.unsigned_abs() % 1000);
        let digits = match rest {
            0 => format!("{whole}"),
            _ if rest % 100 == 0 => format!("{whole}.{}", rest / 100),
            _ if rest % 10 == 0 => format!("{whole}.{:02}", rest / 10),
            _ => format!("{whole}.{rest:03}"),
        };
        f.pad_integral(self.0 >= 0, "", &digits)
    }
}

/// As it prints: a failed assertion should read like a shelf label.
impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({self})")
    }
}

/// What `serde_json` calls a value that is handed over as its own text. `RawValue` asks for it under this name; asking for
/// it here instead lets one visitor also serve formats that know nothing of it (TOML, query strings, buffered content).
/// Should the name ever change, JSON numbers arrive as doubles and the tests of over-precise numbers fail.
const JSON_TEXT: &str = "$serde_json::private::RawValue";

impl Serialize for Quantity {
    /// A JSON number with exactly the digits of `Display`. Other formats get whole units as integers; they can't carry
    /// decimals exactly, and `serde_json`'s raw values mean nothing to them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % THOUSAND == 0 {
            return serializer.serialize_i64(self.0 / THOUSAND);
        }
        let json = RawValue::from_string(self.to_string()).map_err(S::Error::custom)?;
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        deserializer.deserialize_newtype_struct(JSON_TEXT, QuantityVisitor)
    }
}

struct QuantityVisitor;

impl<'de> Visitor<'de> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity: a number or a string with at most three decimals")
    }

    /// JSON's own text of the value, handed over as a map of one entry.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Quantity, A::Error> {
        match map.next_key::<JsonTextKey>()? {
            Some(JsonTextKey) => map.next_value::<QuantityOfJson>().map(|json| json.0),
            None => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }

    /// A format that took the name above for a plain newtype.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Quantity, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, units: i64) -> Result<Quantity, E> {
        units.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, units: u64) -> Result<Quantity, E> {
        units.to_string().parse().map_err(E::custom)
    }

    /// Only formats that have already made a double of the number come here. Its shortest decimal form is what was
    /// written, up to 15 digits; a quantity has at most 13.
    fn visit_f64<E: de::Error>(self, units: f64) -> Result<Quantity, E> {
        units.to_string().parse().map_err(E::custom)
    }
}

/// The key under which JSON hands over its text; any other key is a map that stands where a quantity should.
struct JsonTextKey;

impl<'de> Deserialize<'de> for JsonTextKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonTextKey, D::Error> {
        deserializer.deserialize_identifier(JsonTextKey)
    }
}

impl Visitor<'_> for JsonTextKey {
    type Value = JsonTextKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        QuantityVisitor.expecting(f)
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<JsonTextKey, E> {
        if key == JSON_TEXT {
            return Ok(JsonTextKey);
        }
        Err(E::invalid_type(de::Unexpected::Map, &self))
    }
}

/// A quantity that is still JSON text: a number, or a string with its quotes.
struct QuantityOfJson(Quantity);

impl<'de> Deserialize<'de> for QuantityOfJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<QuantityOfJson, D::Error> {
        deserializer.deserialize_str(JsonVisitor).map(QuantityOfJson)
    }
}

struct JsonVisitor;

impl Visitor<'_> for JsonVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        QuantityVisitor.expecting(f)
    }

    fn visit_str<E: de::Error>(self, json: &str) -> Result<Quantity, E> {
        if json.starts_with('"') {
            let text: String = serde_json::from_str(json).map_err(E::custom)?;
            return text.parse().map_err(E::custom);
        }
        json.parse().map_err(E::custom)
    }
}
