//! What the shelves hold: the sales data says nothing about stock, so each item of each store gets a level up to which it
//! is filled at the start and once a week.

use super::season::{Season, StoreSeason, after_days};
use super::shoppers::Order;
use super::{HOUR_MS, Model, UNIT};
use crate::rng::Rng;
use sync_protocol::UnixMillis;

/// The most standard deviations (of a Poisson demand) above a week's mean demand that a level lies.
const SPREAD_MAX: f64 = 2.0;
/// Deliveries come at this hour (UTC), when the tills are quiet.
const DELIVERY_HOUR: i64 = 10;

/// How one store is supplied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supply {
    /// For each item, in thousandths: how much there is at the start, and after each delivery.
    pub levels: Vec<i64>,
    /// When the lorry comes: once a week, on a day of the week of the store's own.
    pub deliveries: Vec<UnixMillis>,
}

/// The level of an item is `w + k√w` units, rounded up, `w` being the units that tills and web together ask for in a mean
/// week and `k` drawn for the item from 0 to 2; but never less than the largest sale line, which the real shelf did have, nor
/// less than the model's minimum.
#[must_use]
pub fn supply(
    store: &StoreSeason,
    orders: &[Order],
    season: &Season,
    model: &Model,
    rng: &mut Rng,
) -> Supply {
    let mut asked = vec![0_i64; store.items];
    let mut largest = vec![i64::from(model.shelf_min.max(1)) * UNIT; store.items];
    for line in store.lines().filter(|line| line.wanted > 0) {
        asked[line.item] += line.wanted;
        largest[line.item] = largest[line.item].max(line.wanted);
    }
    for item in orders.iter().flat_map(|order| &order.items) {
        asked[*item] += Order::WANTED;
    }
    let weeks = weeks(season.days);
    let levels = asked.iter().zip(&largest).map(|(asked, largest)| {
        let weekly = units(*asked) / weeks;
        let level = weekly + rng.unit() * SPREAD_MAX * weekly.sqrt();
        thousandths_up(level).max(whole_units_up(*largest))
    });
    let levels = levels.collect();
    Supply { levels, deliveries: deliveries(season, rng.between(0, 6)) }
}

fn deliveries(season: &Season, weekday: u64) -> Vec<UnixMillis> {
    let first = usize::try_from(weekday).unwrap_or(0);
    let mornings = (first..season.days).step_by(7).map(|day| after_days(season.start, day));
    mornings.map(|midnight| UnixMillis(midnight.0 + DELIVERY_HOUR * HOUR_MS)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a level is a rule of thumb")]
fn weeks(days: usize) -> f64 {
    (days as f64 / 7.0).max(1.0 / 7.0)
}

#[expect(clippy::cast_precision_loss, reason = "a level is a rule of thumb")]
fn units(thousandths: i64) -> f64 {
    thousandths as f64 / 1000.0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a week's sales of one item, far below the end of the range"
)]
fn thousandths_up(units: f64) -> i64 {
    units.ceil() as i64 * UNIT
}

fn whole_units_up(thousandths: i64) -> i64 {
    sync_protocol::Quantity::from_thousandths(thousandths).up_to_whole_units().thousandths()
}
