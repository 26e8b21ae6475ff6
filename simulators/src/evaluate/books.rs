//! What a policy keeps of one item in one store: the store's side, the hub's side, and what they tell each other. The first
//! kind of books is the usual one: the hub shows the stock it last heard of, less what it has promised itself.

use super::UNIT;
use sync_protocol::UnixMillis;

/// The books of one cell under one policy. Quantities are thousandths, and never below zero.
pub trait Book: Default + Clone {
    /// The policy's settings.
    type Rules: Copy + Send + Sync;
    /// What a store tells the hub.
    type News: Copy;
    /// What the hub tells a store.
    type Word: Copy;

    // At the store.

    /// Goods come in: the opening stock, a delivery, something brought back.
    fn receive(&mut self, quantity: i64);
    /// A till has sold.
    fn sell(&mut self, quantity: i64, now: UnixMillis);
    /// A shopper has collected.
    fn hand_over(&mut self, quantity: i64);
    /// The end of each change at the store: what to set aside for the web.
    fn settle(&mut self, rules: &Self::Rules, now: UnixMillis);
    /// When the store should settle again although nothing happens.
    fn settle_again(&self, rules: &Self::Rules, now: UnixMillis) -> Option<UnixMillis>;
    fn news(&self) -> Self::News;
    fn told(&mut self, word: Self::Word);
    /// By how much the store knows that it can't keep what it has set aside.
    fn shortfall(&self) -> i64;

    // At the hub.

    /// True if the store has to be told of what this led to.
    fn hear(&mut self, news: Self::News) -> bool;
    fn word(&self) -> Self::Word;
    /// What the web shop shows; below one unit nothing can be ordered.
    fn offered(&self, rules: &Self::Rules) -> i64;
    /// Of what is offered, so much goes to an order.
    fn promise(&mut self, quantity: i64);
    /// An order was not picked.
    fn release(&mut self, quantity: i64);

    /// How much more is promised than the store has ever granted: looks at both sides at once, as nobody in the shop can.
    /// `None` where nothing is granted.
    fn promised_over_granted(&self) -> Option<i64>;
}

/// Policies 1 and 2: the stock the hub last heard of, less its own open promises, less a fixed buffer. The store sets nothing
/// aside.
#[derive(Debug, Clone, Copy, Default)]
pub struct LastKnown {
    at_store: Stock,
    heard: Stock,
    promised: i64,
    released: i64,
}

/// How much of an item the hub holds back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buffer {
    pub units: i64,
}

/// What a store tells of an item.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stock {
    on_hand: i64,
    /// Everything ever collected: tells the hub which of its promises are already off the shelf.
    handed_over: i64,
}

impl Book for LastKnown {
    type Rules = Buffer;
    type News = Stock;
    type Word = ();

    fn receive(&mut self, quantity: i64) {
        self.at_store.on_hand += quantity;
    }

    fn sell(&mut self, quantity: i64, _: UnixMillis) {
        self.at_store.on_hand -= quantity;
    }

    fn hand_over(&mut self, quantity: i64) {
        self.at_store.on_hand -= quantity;
        self.at_store.handed_over += quantity;
    }

    fn settle(&mut self, _: &Buffer, _: UnixMillis) {}

    fn settle_again(&self, _: &Buffer, _: UnixMillis) -> Option<UnixMillis> {
        None
    }

    fn news(&self) -> Stock {
        self.at_store
    }

    fn told(&mut self, (): ()) {}

    fn shortfall(&self) -> i64 {
        0
    }

    fn hear(&mut self, news: Stock) -> bool {
        self.heard = news;
        false
    }

    fn word(&self) {}

    fn offered(&self, rules: &Buffer) -> i64 {
        let open = self.promised - self.released - self.heard.handed_over;
        (self.heard.on_hand - open - rules.units * UNIT).max(0)
    }

    fn promise(&mut self, quantity: i64) {
        self.promised += quantity;
    }

    fn release(&mut self, quantity: i64) {
        self.released += quantity;
    }

    fn promised_over_granted(&self) -> Option<i64> {
        None
    }
}
