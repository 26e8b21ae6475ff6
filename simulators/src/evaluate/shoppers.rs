//! The web's shoppers: pickup orders for what people buy, where and when they buy it.

use super::season::{StoreSeason, Visit};
use super::{HOUR_MS, Model, UNIT};
use crate::rng::Rng;
use sync_protocol::UnixMillis;

/// An order is tried up to this long before or after the visit that stands for it.
const AROUND_MS: u64 = 1_800_000;
const ITEMS_MAX: u64 = 3;

/// One shopper's wish: one unit of each of some items, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub at: UnixMillis,
    /// Invariant: no item twice.
    pub items: Vec<usize>,
    /// From the picking until the shopper has collected it.
    pub collect_ms: i64,
}

impl Order {
    pub const WANTED: i64 = UNIT;
}

/// The orders that shoppers try at one store in a season, in the order of time. For each customer at a till, a shopper comes
/// with the model's probability, within half an hour of that customer; the items are those of random sale lines of the store, so
/// that what sells well is ordered often.
#[must_use]
pub fn orders(store: &StoreSeason, start: UnixMillis, model: &Model, rng: &mut Rng) -> Vec<Order> {
    let sold: Vec<usize> = store.lines().filter(|line| line.wanted > 0).map(|line| line.item).collect();
    let is_sale = |visit: &&Visit| visit.lines.iter().any(|line| line.wanted > 0);
    let mut orders = Vec::new();
    for visit in store.visits.iter().filter(is_sale) {
        if rng.chance(model.orders_per_visit) {
            orders.push(order(visit.at, start, &sold, model, rng));
        }
    }
    orders.sort_by_key(|order| order.at);
    orders
}

fn order(around: UnixMillis, start: UnixMillis, sold: &[usize], model: &Model, rng: &mut Rng) -> Order {
    let count = rng.between(1, ITEMS_MAX);
    let mut items: Vec<usize> = (0..count).map(|_| sold[rng.index(sold.len())]).collect();
    items.sort_unstable();
    items.dedup();
    let moved = millis(rng.between(0, 2 * AROUND_MS)) - millis(AROUND_MS);
    let collect_ms_max = u64::try_from(model.collect_ms_max - HOUR_MS).unwrap_or(0);
    Order {
        at: UnixMillis(around.0 + moved).max(start),
        items,
        collect_ms: HOUR_MS + millis(rng.between(0, collect_ms_max)),
    }
}

fn millis(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
