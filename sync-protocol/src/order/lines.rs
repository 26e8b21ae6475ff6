//! What an order at a store is made of: its name, its lines, and the hub's half.

use crate::ids::ItemNo;
use crate::numbered::numbered;
use crate::quantity::Quantity;
use crate::time::UnixMillis;
use std::fmt;
use std::str::FromStr;

/// Most lines of one order. A pickup is carried out of the store by hand.
pub const ORDER_LINES_MAX: usize = 50;
/// Longest display name, in bytes.
pub const DISPLAY_NAME_BYTES_MAX: usize = 64;
/// Longest masked telephone number, in bytes.
pub const PHONE_BYTES_MAX: usize = 24;

/// Crockford's digits: no I, L, O and U, so that what is read aloud or typed comes out right.
pub(crate) const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Digits of an order id, five bits each.
const ID_DIGITS: u32 = 10;

/// One order at one store. The hub draws it at random, so that a hub that was restored never gives one out again, and
/// nobody reads off it how many orders there are.
///
/// Text: ten of Crockford's base-32 digits in two groups, `K7M29-QX4TB`. Case, spaces and hyphens don't matter on the way
/// in, and `O`, `I` and `L` are read as the digits they look like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(u64);

/// A text or number that names no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no order number; one looks like `K7M29-QX4TB`")]
pub struct NotAnOrderId {
    found: String,
}

impl OrderId {
    pub const MAX: u64 = (1 << (5 * ID_DIGITS)) - 1;

    /// From any random number.
    #[must_use]
    pub const fn from_random(bits: u64) -> OrderId {
        OrderId(bits & Self::MAX)
    }

    /// # Errors
    /// A number above [`OrderId::MAX`].
    pub fn from_number(number: u64) -> Result<OrderId, NotAnOrderId> {
        if number > Self::MAX { Err(NotAnOrderId { found: number.to_string() }) } else { Ok(OrderId(number)) }
    }

    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..ID_DIGITS).rev() {
            let digit = (self.0 >> (5 * place)) & 31;
            let index = usize::try_from(digit).unwrap_or_default();
            write!(f, "{}", char::from(DIGITS[index]))?;
            if place == ID_DIGITS / 2 {
                f.write_str("-")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderId({self})")
    }
}

impl FromStr for OrderId {
    type Err = NotAnOrderId;

    fn from_str(text: &str) -> Result<OrderId, NotAnOrderId> {
        let digits: Option<Vec<u8>> =
            text.chars().filter(|c| !matches!(c, '-' | ' ')).map(digit_value).collect();
        match digits {
            Some(digits) if digits.len() == ID_DIGITS as usize => {
                Ok(OrderId(digits.iter().fold(0, |number, digit| number << 5 | u64::from(*digit))))
            }
            _ => Err(NotAnOrderId { found: text.chars().take(24).collect() }),
        }
    }
}

/// The value of one of Crockford's digits, however it is written.
pub(crate) fn digit_value(written: char) -> Option<u8> {
    let letter = match written.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        letter => letter,
    };
    let index = DIGITS.iter().position(|digit| char::from(*digit) == letter)?;
    u8::try_from(index).ok()
}

/// One item of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub item: ItemNo,
    /// Above zero.
    pub quantity: Quantity,
}

/// The hub's half of an order: what was ordered, and what the hub wants of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOrder {
    /// Raised with every change.
    pub revision: u32,
    pub placed_at: UnixMillis,
    /// When the shopper was told that it will be ready.
    pub ready_by: UnixMillis,
    /// Until when it is kept for the shopper.
    pub hold_until: UnixMillis,
    /// Invariant: at least one, sorted by item, no item twice; the same in every revision.
    pub lines: Vec<Line>,
    /// Whom to call out. Empty once personal data has been removed.
    pub display_name: String,
    /// The last digits only. Empty once personal data has been removed.
    pub phone: String,
    /// Hash of the code the shopper may say or type.
    pub code_hash: [u8; 16],
    /// What the store is asked to end the order for. A request until the store has acknowledged it.
    pub cancel: Option<Cancel>,
    /// Nothing more is expected of the store; it may forget the order.
    pub closed: bool,
}

/// Why the hub wants an order to end. The numbers are the ones on the wire and on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cancel {
    /// The shopper asked for it.
    Shopper = 1,
    /// Head office did.
    HeadOffice = 2,
    /// Nobody came for it in time.
    Expired = 3,
    /// Another store has it now.
    Rerouted = 4,
    /// It could not be paid.
    Unpaid = 5,
}

numbered!(Cancel { Shopper, HeadOffice, Expired, Rerouted, Unpaid });

impl Cancel {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cancel::Shopper => "shopper",
            Cancel::HeadOffice => "head_office",
            Cancel::Expired => "expired",
            Cancel::Rerouted => "rerouted",
            Cancel::Unpaid => "unpaid",
        }
    }
}

/// A hub half that no honest hub writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrder {
    #[error("an order has {found} lines; 1 to {ORDER_LINES_MAX} are allowed")]
    Lines { found: usize },
    #[error("an order's lines are not sorted by item, each item once")]
    Unsorted,
    #[error("an order's line has the quantity {found}")]
    Quantity { found: Quantity },
    #[error("an order's {what} has {bytes} bytes, more than the {max} allowed")]
    TooLong { what: &'static str, bytes: usize, max: usize },
}

impl HubOrder {
    /// What of each line the hub's promises stand for, in thousandths, before the store has said anything.
    pub fn backed(&self) -> impl Iterator<Item = (ItemNo, u64)> {
        self.lines.iter().map(|line| (line.item, line.quantity.thousandths().unsigned_abs()))
    }

    /// Takes `other` over when it is newer; true if that changed anything.
    pub fn join(&mut self, other: &HubOrder) -> bool {
        let newer = other.revision > self.revision;
        if newer {
            self.clone_from(other);
        }
        newer
    }

    /// To be asked of every half that comes from outside.
    ///
    /// # Errors
    /// What no honest hub writes.
    pub fn validate(&self) -> Result<(), InvalidOrder> {
        validate_lines(&self.lines)?;
        within("display name", &self.display_name, DISPLAY_NAME_BYTES_MAX)?;
        within("phone", &self.phone, PHONE_BYTES_MAX)
    }
}

pub(crate) fn validate_lines(lines: &[Line]) -> Result<(), InvalidOrder> {
    if !(1..=ORDER_LINES_MAX).contains(&lines.len()) {
        return Err(InvalidOrder::Lines { found: lines.len() });
    }
    if !lines.is_sorted_by(|one, next| one.item < next.item) {
        return Err(InvalidOrder::Unsorted);
    }
    let fits = |quantity: Quantity| quantity > Quantity::ZERO && quantity <= Quantity::MAX;
    match lines.iter().find(|line| !fits(line.quantity)) {
        Some(line) => Err(InvalidOrder::Quantity { found: line.quantity }),
        None => Ok(()),
    }
}

pub(super) fn within(what: &'static str, text: &str, max: usize) -> Result<(), InvalidOrder> {
    if text.len() > max { Err(InvalidOrder::TooLong { what, bytes: text.len(), max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_order_number_reads_as_people_write_it() {
        let id = OrderId::from_random(0x1234_5678_9ABC);
        let text = id.to_string();
        assert_eq!(text.len(), 11);
        assert_eq!(text.parse::<OrderId>().unwrap(), id);
        assert_eq!(text.to_lowercase().replace('-', " ").parse::<OrderId>().unwrap(), id);
        assert_eq!("OOOO0-00IL1".parse::<OrderId>().unwrap(), "00000-00111".parse::<OrderId>().unwrap());
        for wrong in ["", "K7M29", "K7M29-QX4TBB", "K7M29-QX4TU", "K7M29/QX4TB"] {
            assert!(wrong.parse::<OrderId>().is_err(), "{wrong}");
        }
        assert!(OrderId::from_number(OrderId::MAX + 1).is_err());
    }

    proptest! {
        #[test]
        fn every_order_number_reads_back(bits: u64) {
            let id = OrderId::from_random(bits);
            prop_assert_eq!(id.to_string().parse::<OrderId>().unwrap(), id);
            prop_assert_eq!(OrderId::from_number(id.number()).unwrap(), id);
        }
    }
}
