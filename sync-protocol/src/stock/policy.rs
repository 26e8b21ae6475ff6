//! How much of its stock a store sets aside for the web: a policy, pure and replaceable.
//!
//! The store keeps back what its walk-in customers may buy while it is cut off from the hub, and grants the rest. A larger
//! reserve costs web sales, a smaller one risks breaches; neither can make the hub promise what was not granted.

use crate::quantity::Quantity;
use crate::time::UnixMillis;

/// How long ago counts as recent, in seconds: a sale weighs e⁻¹ ≈ 37 % after two hours. Long enough that a quiet quarter of
/// an hour does not look like a dead item, short enough that the evening does not inherit the rush at noon.
pub const SALES_RATE_TIME_CONSTANT_S: f64 = 7200.0;

/// Expected sales, in units, below which nobody is expected to walk in: one time in a hundred. Without this line the tail
/// of an item's last sale, `z√(λτ)`, would keep a crumb in reserve for days, and a crumb costs the web a whole piece.
const NEGLIGIBLE_UNITS: f64 = 0.01;

/// What a store keeps for its walk-in customers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReservePolicy {
    /// Kept back at least, however slowly the item sells. Below zero counts as zero.
    pub safety_stock: Quantity,
    /// τ: for how long, in seconds, the tills may sell before a recall can reach the hub.
    pub exposure_s: u32,
    /// How many standard deviations above the expected sales to keep; 1.65 covers 95 in 100 exposures. Below zero or not
    /// a number counts as zero.
    pub z: f64,
}

impl Default for ReservePolicy {
    /// No safety stock, a quarter of an hour, 95 %.
    fn default() -> Self {
        ReservePolicy { safety_stock: Quantity::ZERO, exposure_s: 900, z: 1.65 }
    }
}

/// An item's recent sales in units a second, decaying exponentially.
///
/// Every sale adds `q / T`, and the whole decays by `e^(−Δt / T)`, `T` being [`SALES_RATE_TIME_CONSTANT_S`]: the exponential
/// moving average for events at uneven times (Eckner, *Algorithms for Unevenly Spaced Time Series*), whose mean is the
/// true rate of a steady stream of sales. Two plain numbers hold it, and sales need not be remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SalesRate {
    /// Units a second as of `at`. Invariant: finite, not below zero.
    per_second: f64,
    at: UnixMillis,
}

impl SalesRate {
    /// From stored [`parts`](Self::parts). A rate that is no rate (below zero, not finite) counts as none.
    #[must_use]
    pub fn from_parts(per_second: f64, at: UnixMillis) -> SalesRate {
        SalesRate { per_second: if per_second.is_finite() { per_second.max(0.0) } else { 0.0 }, at }
    }

    /// Units a second, and the time at which that held.
    #[must_use]
    pub fn parts(self) -> (f64, UnixMillis) {
        (self.per_second, self.at)
    }

    /// Takes in `sold` units sold at `now`; a negative quantity is a void and takes back. A clock that ran backwards
    /// decays nothing.
    pub fn observe(&mut self, sold: Quantity, now: UnixMillis) {
        let rate = self.per_second(now) + units(sold) / SALES_RATE_TIME_CONSTANT_S;
        *self = SalesRate::from_parts(rate, now);
    }

    /// Units a second, as of `now`.
    #[must_use]
    pub fn per_second(&self, now: UnixMillis) -> f64 {
        let elapsed_s = millis(now.since(self.at)) / 1000.0;
        self.per_second * (-elapsed_s / SALES_RATE_TIME_CONSTANT_S).exp()
    }
}

/// What to keep for walk-in customers at `rate_per_second` units a second: the larger of the safety stock and
/// `λτ + z√(λτ)`, rounded up to whole thousandths; at most [`Quantity::MAX`].
///
/// `λτ` is what is expected to sell during the exposure, `√(λτ)` its standard deviation where sales come one by one
/// (Poisson), as in the reorder point of inventory textbooks. For goods sold by weight the unit (kg) stands in for a piece.
#[must_use]
pub fn walk_in_reserve(policy: &ReservePolicy, rate_per_second: f64) -> Quantity {
    let safety_stock = policy.safety_stock.max(Quantity::ZERO);
    let expected = rate_per_second * f64::from(policy.exposure_s);
    if expected < NEGLIGIBLE_UNITS {
        return safety_stock;
    }
    let reserve = expected + policy.z.max(0.0) * expected.sqrt();
    thousandths_up(reserve).max(safety_stock)
}

/// How much should be set aside for the web: `max(open, on hand − reserve)`, never below zero. What is promised stays set
/// aside even where it eats into the reserve.
#[must_use]
pub fn target_claim(open: Quantity, on_hand: Quantity, reserve: Quantity) -> Quantity {
    let beyond_reserve = on_hand.thousandths().saturating_sub(reserve.thousandths());
    open.max(Quantity::from_thousandths(beyond_reserve)).max(Quantity::ZERO)
}

/// Exact up to 2⁵³ thousandths, which is where totals end.
#[expect(clippy::cast_precision_loss, reason = "rates are estimates")]
fn units(q: Quantity) -> f64 {
    q.thousandths() as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "rates are estimates")]
fn millis(count: u64) -> f64 {
    count as f64
}

/// Not a number, or too much, is everything: a reserve that can't be told keeps all.
#[expect(clippy::cast_possible_truncation, reason = "held below Quantity::MAX")]
fn thousandths_up(units: f64) -> Quantity {
    let thousandths = (units * 1000.0).ceil();
    if thousandths < millis(Quantity::MAX.thousandths().unsigned_abs()) {
        return Quantity::from_thousandths(thousandths as i64);
    }
    Quantity::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn q(units: i64) -> Quantity {
        Quantity::from_units(units)
    }

    fn at(hours: i64) -> UnixMillis {
        UnixMillis(hours * HOUR_MS)
    }

    #[test]
    fn a_steady_stream_of_sales_is_measured_at_its_rate() {
        let mut rate = SalesRate::default();
        for minute in 0..24 * 60 {
            rate.observe(q(2), UnixMillis(minute * 60_000));
        }
        let per_minute = rate.per_second(at(24)) * 60.0;
        assert!((1.97..2.03).contains(&per_minute), "{per_minute} units a minute");
    }

    #[test]
    fn a_rate_fades_by_its_time_constant() {
        let mut rate = SalesRate::default();
        rate.observe(q(720), at(0));
        assert!((rate.per_second(at(0)) - 0.1).abs() < 1e-12);
        assert!((rate.per_second(at(2)) - 0.1 / std::f64::consts::E).abs() < 1e-12);
        assert!(rate.per_second(at(24 * 365)) < 1e-12);
    }

    #[test]
    fn a_void_takes_back_its_sale_and_no_more() {
        let mut rate = SalesRate::default();
        rate.observe(q(3), at(1));
        rate.observe(q(-3), at(1));
        assert_eq!(rate.per_second(at(1)), 0.0);
        rate.observe(q(-5), at(1));
        rate.observe(q(1), at(1));
        assert_eq!(rate.per_second(at(1)), 1.0 / SALES_RATE_TIME_CONSTANT_S);
    }

    #[test]
    fn a_clock_that_jumped_ahead_and_back_does_not_freeze_the_rate() {
        let mut rate = SalesRate::default();
        rate.observe(q(10), at(1_000_000));
        rate.observe(q(10), at(1));
        assert!(rate.per_second(at(3)) < rate.per_second(at(1)));
    }

    #[test]
    fn stored_parts_read_back_and_nonsense_counts_as_no_sales() {
        let mut rate = SalesRate::default();
        rate.observe(q(10), at(5));
        let (per_second, since) = rate.parts();
        assert_eq!(SalesRate::from_parts(per_second, since), rate);
        for nonsense in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            assert_eq!(SalesRate::from_parts(nonsense, at(5)).per_second(at(5)), 0.0);
        }
    }

    #[test]
    fn the_reserve_covers_expected_sales_and_their_spread() {
        let policy = ReservePolicy { safety_stock: q(2), exposure_s: 900, z: 1.65 };
        // 0.01 a second: 9 in a quarter of an hour, give or take 3; 9 + 1.65 · 3 = 13.95.
        let reserve = walk_in_reserve(&policy, 0.01);
        assert!((13_950..=13_951).contains(&reserve.thousandths()), "{reserve}");
        assert_eq!(walk_in_reserve(&policy, 0.000_1), q(2), "0.59 is below the safety stock");
        assert_eq!(walk_in_reserve(&policy, 0.0), q(2));
    }

    #[test]
    fn an_item_that_hardly_sells_keeps_no_crumb_from_the_web() {
        let policy = ReservePolicy::default();
        let mut rate = SalesRate::default();
        rate.observe(q(1), at(0));
        assert!(walk_in_reserve(&policy, rate.per_second(at(0))) > Quantity::ZERO);
        assert_eq!(walk_in_reserve(&policy, rate.per_second(at(8))), Quantity::ZERO);
    }

    #[test]
    fn settings_that_make_no_sense_keep_stock_back_rather_than_give_it_away() {
        let policy = ReservePolicy { safety_stock: q(-4), exposure_s: u32::MAX, z: f64::NAN };
        assert_eq!(walk_in_reserve(&policy, 0.0), Quantity::ZERO);
        assert_eq!(walk_in_reserve(&policy, 1.0), q(i64::from(u32::MAX)).min(Quantity::MAX));
        assert_eq!(walk_in_reserve(&policy, f64::NAN), Quantity::MAX);
        let backwards = ReservePolicy { z: -9.0, ..ReservePolicy::default() };
        assert_eq!(walk_in_reserve(&backwards, 1.0), q(900), "expected sales are kept whatever `z` says");
        let wild = ReservePolicy { z: f64::INFINITY, ..ReservePolicy::default() };
        assert_eq!(walk_in_reserve(&wild, 1.0), Quantity::MAX);
    }

    #[test]
    fn promises_stay_set_aside_even_where_they_eat_the_reserve() {
        assert_eq!(target_claim(q(0), q(10), q(3)), q(7));
        assert_eq!(target_claim(q(9), q(10), q(3)), q(9));
        assert_eq!(target_claim(q(0), q(2), q(3)), q(0));
        assert_eq!(target_claim(q(-1), q(-5), q(3)), q(0));
    }
}
