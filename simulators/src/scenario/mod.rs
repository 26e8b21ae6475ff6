//! What the tills ring up, and when: baskets from a file of real till sales, or from a generator with a day curve and
//! skewed items. Both are iterators of [`Basket`] in (nearly) the order of time; neither knows how a till sends them.

pub mod baskets;
pub mod generator;
pub mod sales_file;
pub mod survey;

use sync_protocol::{Quantity, Reference, Sku, UnixMillis};

/// What one customer bought or brought back, at one till.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basket {
    /// The store's place among those that take part: 0 is S0001.
    pub store: usize,
    pub at: UnixMillis,
    pub reference: Reference,
    pub kind: BasketKind,
    pub lines: Vec<BasketLine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasketKind {
    Sale,
    Return,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasketLine {
    pub sku: Sku,
    pub quantity: Quantity,
}

impl Basket {
    /// What this basket does to the stock of one of its lines: a sale takes, a return gives.
    #[must_use]
    pub fn effect(&self, line: &BasketLine) -> Quantity {
        match self.kind {
            BasketKind::Sale => Quantity::from_thousandths(-line.quantity.thousandths()),
            BasketKind::Return => line.quantity,
        }
    }
}
