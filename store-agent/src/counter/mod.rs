//! The pickup counter: what the API and the page must do alike before the core is asked. Is this code the order's, has head office
//! signed that one, which line of the order is this barcode?
//!
//! What an order allows is the core's to say; nothing here changes anything but the count of wrong short codes and until when somebody is at work.

mod at_work;
mod attempts;

pub use at_work::{AtWork, Work};
pub use attempts::{Attempts, WRONG_MAX, Wrong};

use crate::config::pickup_key::PickupKey;
use crate::store::reader::{ItemView, OrderView};
use std::time::Instant;
use sync_protocol::order::{ShortCode, short_code};
use sync_protocol::pickup_code::{self, CodeRefused, PickupCode};
use sync_protocol::{Gtin, Sku};

/// Shared by everything that hands over.
#[derive(Debug, Default)]
pub struct Counter {
    /// The hub's, for signed pickup codes. `None`: they can't be checked here.
    pub key: Option<PickupKey>,
    attempts: Attempts,
    pub at_work: AtWork,
}

/// Why a short code was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortCodeRefused {
    /// The order was handed over on its signed code before it reached this store, so the short one is not known here.
    NotKnownYet,
    Wrong(Wrong),
}

/// Why a signed code was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedCodeRefused {
    NoKey,
    Code(CodeRefused),
}

impl Counter {
    #[must_use]
    pub fn new(key: Option<PickupKey>) -> Counter {
        Counter { key, ..Counter::default() }
    }

    /// Whether `code` is the order's. A wrong one is counted.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn check_short_code(
        &self,
        view: &OrderView,
        code: ShortCode,
        now: Instant,
    ) -> Result<(), ShortCodeRefused> {
        let order = view.row.order;
        let hub = view.row.hub.as_ref().ok_or(ShortCodeRefused::NotKnownYet)?;
        let is_right = || short_code::code_hash(order, code, sha256) == hub.code_hash;
        self.attempts.judge(order, now, is_right).map_err(ShortCodeRefused::Wrong)
    }

    /// Reads the code that a shopper shows, and checks that head office has signed it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn read_signed(&self, text: &str) -> Result<PickupCode, SignedCodeRefused> {
        let shown = pickup_code::read(text).map_err(SignedCodeRefused::Code)?;
        let key = self.key.ok_or(SignedCodeRefused::NoKey)?;
        if key.has_signed(&shown) {
            Ok(shown.code)
        } else {
            Err(SignedCodeRefused::Code(CodeRefused::Forged))
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    hash
}

/// Names a line of an order by its item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineKey {
    Sku(Sku),
    Gtin(Gtin),
}

impl LineKey {
    /// The line's item. `None`: the order has no such line.
    #[must_use]
    pub fn among<'a>(&self, view: &'a OrderView) -> Option<&'a ItemView> {
        let is_meant = |sku: &str, gtins: &[Gtin]| match self {
            LineKey::Sku(wanted) => wanted.as_str() == sku,
            LineKey::Gtin(wanted) => gtins.contains(wanted),
        };
        view.items.iter().flatten().find(|item| is_meant(&item.sku, &item.gtins))
    }
}

impl std::fmt::Display for LineKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LineKey::Sku(sku) => sku.fmt(f),
            LineKey::Gtin(gtin) => gtin.fmt(f),
        }
    }
}
