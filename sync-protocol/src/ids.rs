//! Names and numbers of things: parsed once at the edge, valid ever after.
//!
//! Text ids say what is wrong with a bad one and are never changed on the way in, except that the forms of one GTIN meet.

use crate::limits::{REFERENCE_BYTES_MAX, SKU_BYTES_MAX, SOURCE_BYTES_MAX, STORE_ID_BYTES_MAX};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("{what} `{start}…` has {bytes} bytes, more than the {max} allowed")]
    TooLong { what: &'static str, start: String, bytes: usize, max: usize },
    #[error("{what} `{found}` has the character {character:?}, which is not allowed")]
    Character { what: &'static str, found: String, character: char },
    #[error("{what} `{found}` starts or ends with white space")]
    Padded { what: &'static str, found: String },
    #[error("gtin `{found}` does not have 8, 12, 13 or 14 digits")]
    NotAGtin { found: String },
    #[error("trace id `{found}` is not 32 hexadecimal digits")]
    NotATraceId { found: String },
}

fn check_text(
    what: &'static str,
    text: &str,
    max: usize,
    allowed: fn(char) -> bool,
) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty { what });
    }
    if text.len() > max {
        let start = text.chars().take(16).collect();
        return Err(InvalidId::TooLong { what, start, bytes: text.len(), max });
    }
    if let Some(character) = text.chars().find(|c| !allowed(*c)) {
        return Err(InvalidId::Character { what, found: text.escape_debug().to_string(), character });
    }
    if text.trim() != text {
        return Err(InvalidId::Padded { what, found: text.to_owned() });
    }
    Ok(())
}

fn any_printable(c: char) -> bool {
    !c.is_control()
}

fn plain_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check_text($what, text, $max, $allowed)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                check_text($what, &text, $max, $allowed)?;
                Ok(Self(text.into_boxed_str()))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A store: `S0042`. Letters, digits, `-` and `_`, so that it fits certificates, topics and file names.
    StoreId, "store id", STORE_ID_BYTES_MAX, plain_name
);
text_id!(
    /// The chain-wide key of an item, as the shop writes it. Case and leading zeros matter.
    Sku, "sku", SKU_BYTES_MAX, any_printable
);
text_id!(
    /// Who reports movements: a till, a back-office program, a POS reader.
    SourceId, "source", SOURCE_BYTES_MAX, any_printable
);
text_id!(
    /// A source's own name for one document; with the source it is the key of "exactly once".
    Reference, "reference", REFERENCE_BYTES_MAX, any_printable
);

/// A barcode number. The 8, 12, 13 and 14 digit forms of one item are equal; it prints as 14 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gtin(u64);

impl Gtin {
    /// The largest 14-digit number.
    pub const MAX: u64 = 99_999_999_999_999;

    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// `None` above 14 digits.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Gtin> {
        (number <= Self::MAX).then_some(Gtin(number))
    }
}

impl FromStr for Gtin {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = matches!(text.len(), 8 | 12 | 13 | 14) && text.bytes().all(|b| b.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        number.map(Gtin).ok_or_else(|| InvalidId::NotAGtin { found: text.chars().take(32).collect() })
    }
}

impl TryFrom<String> for Gtin {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Gtin> for String {
    fn from(gtin: Gtin) -> String {
        gtin.to_string()
    }
}

impl fmt::Display for Gtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014}", self.0)
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A store's own small number for an item; it keeps skus off the wire. Starts at 1.
    ItemNo(u32)
);
number_id!(
    /// Which incarnation of a store's agent wrote something. 0 is "none yet"; the hub grants the next one.
    Epoch(u32)
);
number_id!(
    /// A random number drawn at each start of an agent, to tell live copies of one disk apart.
    Boot(u64)
);
number_id!(
    /// A writer's growing number for changed records. A mark at `n` means: everything up to `n` has arrived.
    Seq(u64)
);
number_id!(
    /// A place in a store's ledger of movements; one per line, growing, starting at 1.
    Position(u64)
);

/// A trace as W3C Trace Context writes it: 16 bytes, 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

impl FromStr for TraceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = if hex { u128::from_str_radix(text, 16).ok() } else { None };
        number
            .map(|n| TraceId(n.to_be_bytes()))
            .ok_or_else(|| InvalidId::NotATraceId { found: text.chars().take(40).collect() })
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_gtin_meet() {
        let forms = ["012345678905", "0012345678905", "00012345678905"];
        let parsed: Vec<Gtin> = forms.iter().map(|f| f.parse().unwrap()).collect();
        assert!(parsed.iter().all(|g| *g == parsed[0]));
        assert_eq!(parsed[0].to_string(), "00012345678905");
    }

    #[test]
    fn what_is_no_gtin_says_so() {
        for text in ["", "123", "123456789", "12345678901a", "123456789012345", "١٢٣٤٥٦٧٨"] {
            assert!(text.parse::<Gtin>().is_err(), "{text}");
        }
    }

    #[test]
    fn skus_keep_their_zeros_and_case() {
        assert_eq!("0042".parse::<Sku>().unwrap().as_str(), "0042");
        assert_ne!("a".parse::<Sku>().unwrap(), "A".parse::<Sku>().unwrap());
        assert!("9007199254740993".parse::<Sku>().is_ok());
    }

    #[test]
    fn a_bad_id_names_its_fault() {
        assert_eq!("".parse::<Sku>().unwrap_err().to_string(), "sku is empty");
        let control = "a\u{7}b".parse::<Sku>().unwrap_err().to_string();
        assert!(control.contains("not allowed"), "{control}");
        assert!(" x".parse::<Reference>().is_err());
        assert!("x".repeat(SKU_BYTES_MAX + 1).parse::<Sku>().is_err());
        assert!("S 1".parse::<StoreId>().is_err());
        assert!("../S1".parse::<StoreId>().is_err());
    }

    #[test]
    fn a_trace_id_reads_back() {
        let text = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(text.parse::<TraceId>().unwrap().to_string(), text);
        assert!("4bf9".parse::<TraceId>().is_err());
    }
}
