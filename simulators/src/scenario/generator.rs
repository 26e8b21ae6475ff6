//! Sales made up from a seed: customers come by the hour's curve, a few items are in most baskets, some goods are
//! weighed, some come back. The same seed gives the same sales.

use super::{Basket, BasketKind, BasketLine};
use crate::rng::{Rng, Skew};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use sync_protocol::{Quantity, Sku, UnixMillis};

/// How the generated day looks.
#[derive(Debug, Clone)]
pub struct Trade {
    pub stores: usize,
    /// Items each store carries.
    pub items: usize,
    /// Lines a minute of a store of usual size in its busiest hour. A real supermarket rang up 38 on seven tills on a Sunday
    /// afternoon.
    pub lines_per_minute: f64,
    /// When the sales start.
    pub start: UnixMillis,
}

impl Default for Trade {
    fn default() -> Self {
        // Saturday 2026-10-31, 16:00 UTC: the shops fill up.
        Self { stores: 8, items: 2000, lines_per_minute: 38.0, start: UnixMillis(1_793_462_400_000) }
    }
}

/// How busy each hour of the day is, as a share of the busiest.
const DAY_CURVE: [f64; 24] = [
    0.02, 0.01, 0.01, 0.01, 0.02, 0.05, 0.15, 0.35, 0.50, 0.60, 0.75, 0.90, 0.95, 0.80, 0.75, 0.85, 0.95,
    1.00, 0.95, 0.75, 0.50, 0.30, 0.15, 0.05,
];
const BASKET_LINES_MEAN: f64 = 9.0;
const BASKET_LINES_MAX: usize = 120;
/// One basket in so many is somebody bringing something back.
const RETURN_ONE_IN: u64 = 60;
const HOUR_MILLIS: i64 = 3_600_000;

/// An endless stream of baskets over all stores, in the order of time.
pub struct Generator {
    trade: Trade,
    rng: Rng,
    skew: Skew,
    /// How large each store is, the usual one being 1.
    sizes: Vec<f64>,
    /// The next customer of each store.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    baskets: u64,
}

impl Generator {
    #[must_use]
    pub fn new(trade: Trade, mut rng: Rng) -> Self {
        let sizes: Vec<f64> = (0..trade.stores).map(|_| 0.5 + rng.unit()).collect();
        let skew = Skew::over(trade.items);
        let mut generator = Self { skew, rng, sizes, next: BinaryHeap::new(), baskets: 0, trade };
        for store in 0..generator.trade.stores {
            generator.expect_customer(store, generator.trade.start);
        }
        generator
    }

    fn expect_customer(&mut self, store: usize, after: UnixMillis) {
        let busy = DAY_CURVE[hour_of(after)] * self.sizes[store];
        let baskets_per_minute = self.trade.lines_per_minute * busy / BASKET_LINES_MEAN;
        let wait = self.rng.exponential(60_000.0 / baskets_per_minute.max(0.001));
        // At least a millisecond, at most an hour: then the curve is asked again.
        self.next.push(Reverse((after.0 + whole_millis(wait.clamp(1.0, 3_600_000.0)), store)));
    }

    fn ring_up(&mut self, store: usize, at: UnixMillis) -> Basket {
        self.baskets += 1;
        let reference = format!("{}/{:06}", at.0, self.baskets).parse().expect("digits and a slash");
        let brought_back = self.rng.below(RETURN_ONE_IN) == 0;
        let kind = if brought_back { BasketKind::Return } else { BasketKind::Sale };
        let count = if brought_back { 1 + self.rng.index(2) } else { self.basket_size() };
        let lines = (0..count).map(|_| self.line(store)).collect();
        Basket { store, at, reference, kind, lines }
    }

    fn basket_size(&mut self) -> usize {
        let drawn = self.rng.exponential(BASKET_LINES_MEAN - 0.5);
        usize::try_from(whole_millis(drawn)).unwrap_or(0).clamp(0, BASKET_LINES_MAX - 1) + 1
    }

    /// Each store has favourites of its own: the same ranks, moved on.
    fn line(&mut self, store: usize) -> BasketLine {
        let item = (self.skew.draw(&mut self.rng) + store * 37) % self.trade.items.max(1);
        let quantity = if is_weighed(item) { self.weight() } else { self.pieces() };
        BasketLine { sku: sku(item), quantity }
    }

    fn weight(&mut self) -> Quantity {
        Quantity::from_thousandths(i64::try_from(self.rng.between(80, 2500)).unwrap_or(1000))
    }

    fn pieces(&mut self) -> Quantity {
        let pieces = match self.rng.below(20) {
            0..=15 => 1,
            16..=18 => 2,
            _ => self.rng.between(3, 12),
        };
        Quantity::from_units(i64::try_from(pieces).unwrap_or(1))
    }
}

impl Iterator for Generator {
    type Item = Basket;

    fn next(&mut self) -> Option<Basket> {
        let Reverse((at, store)) = self.next.pop()?;
        let at = UnixMillis(at);
        self.expect_customer(store, at);
        Some(self.ring_up(store, at))
    }
}

/// The sku of a generated item.
#[must_use]
pub fn sku(item: usize) -> Sku {
    format!("{}", 100_000 + item).parse().expect("a few digits")
}

/// One generated item in twelve is sold by weight.
#[must_use]
pub fn is_weighed(item: usize) -> bool {
    item % 12 == 3
}

fn hour_of(at: UnixMillis) -> usize {
    usize::try_from(at.0.div_euclid(HOUR_MILLIS).rem_euclid(24)).unwrap_or_default()
}

fn whole_millis(millis: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and every caller stays far below")]
    let whole = millis as i64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(count: usize) -> Vec<Basket> {
        Generator::new(Trade::default(), Rng::seeded(3)).take(count).collect()
    }

    #[test]
    fn the_same_seed_sells_the_same() {
        assert_eq!(generated(500), generated(500));
    }

    #[test]
    fn customers_come_in_the_order_of_time_and_no_reference_comes_twice() {
        let baskets = generated(5000);
        assert!(baskets.is_sorted_by_key(|basket| basket.at));
        let mut references: Vec<_> = baskets.iter().map(|basket| basket.reference.clone()).collect();
        references.sort();
        references.dedup();
        assert_eq!(references.len(), 5000);
    }

    #[test]
    fn baskets_have_about_nine_lines_some_weighed_and_some_brought_back() {
        let baskets = generated(5000);
        let sales: Vec<_> = baskets.iter().filter(|basket| basket.kind == BasketKind::Sale).collect();
        let lines: usize = sales.iter().map(|basket| basket.lines.len()).sum();
        let mean = f64::from(u32::try_from(lines).unwrap()) / f64::from(u32::try_from(sales.len()).unwrap());
        assert!((8.0..10.0).contains(&mean), "{mean} lines a basket");
        assert!(baskets.iter().any(|basket| basket.kind == BasketKind::Return));
        let weighed = |line: &BasketLine| line.quantity.thousandths() % 1000 != 0;
        assert!(baskets.iter().flat_map(|basket| &basket.lines).any(weighed));
    }

    #[test]
    fn the_night_is_quieter_than_the_afternoon() {
        let in_two_hours_from = |start_hour: i64| {
            let start = UnixMillis(1_793_404_800_000 + start_hour * HOUR_MILLIS);
            let end = UnixMillis(start.0 + 2 * HOUR_MILLIS);
            let generator = Generator::new(Trade { start, ..Trade::default() }, Rng::seeded(3));
            generator.take_while(|basket| basket.at < end).count()
        };
        assert!(in_two_hours_from(16) > 20 * in_two_hours_from(1));
    }
}
