//! Which stores are cut off from the hub, and when: each day some, at the hours in which the tills are busiest.

use super::season::Season;
use super::{DAY_MS, HOUR_MS, Model};
use crate::rng::Rng;
use sync_protocol::UnixMillis;

/// A time without a line, from its first millisecond up to, not including, its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    pub from: UnixMillis,
    pub to: UnixMillis,
}

/// The first of the `hours` hours, one after the other around the clock, in which most lines are rung up.
#[must_use]
pub fn peak(lines_by_hour: &[usize; 24], hours: usize) -> usize {
    let within = |first: &usize| (0..hours).map(|next| lines_by_hour[(first + next) % 24]).sum::<usize>();
    // Of equals the earliest.
    (0..24).rev().max_by_key(within).unwrap_or(0)
}

/// For each store its outages in the order of time. On each day `cut_share` of the stores are drawn without regard to the day
/// before; where that is no whole number, one more is drawn on as many days as make up for it.
#[must_use]
pub fn outages(season: &Season, model: &Model, rng: &mut Rng) -> Vec<Vec<Outage>> {
    let hour = i64::try_from(peak(&season.lines_by_hour(), model.cut_hours)).unwrap_or(0);
    let lasting = i64::try_from(model.cut_hours).unwrap_or(0) * HOUR_MS;
    let mut places: Vec<usize> = (0..season.stores()).collect();
    let mut outages = vec![Vec::new(); season.stores()];
    for day in 0..i64::try_from(season.days).unwrap_or(0) {
        let from = UnixMillis(season.start.0 + day * DAY_MS + hour * HOUR_MS);
        rng.shuffle(&mut places);
        let count = drawn_count(season.stores(), model.cut_share, rng);
        for place in places.iter().take(count).filter(|_| lasting > 0) {
            outages[*place].push(Outage { from, to: UnixMillis(from.0 + lasting) });
        }
    }
    outages
}

fn drawn_count(stores: usize, share: f64, rng: &mut Rng) -> usize {
    let extra = rng.unit();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred stores")]
    let wanted = stores as f64 * share + extra;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred stores")]
    let whole = wanted as usize;
    whole.min(stores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_around_midnight_too() {
        let mut hours = [1; 24];
        (hours[22], hours[23], hours[0], hours[1]) = (5, 9, 9, 5);
        assert_eq!(peak(&hours, 4), 22);
        assert_eq!(peak(&[1; 24], 4), 0);
    }

    #[test]
    fn a_share_that_is_no_whole_number_comes_out_over_many_days() {
        let mut rng = Rng::seeded(1);
        let drawn: usize = (0..4000).map(|_| drawn_count(105, 0.05, &mut rng)).sum();
        assert!((20_800..21_200).contains(&drawn), "{drawn}");
        assert_eq!(drawn_count(3, 1.0, &mut rng), 3);
        assert_eq!(drawn_count(3, 0.0, &mut rng), 0);
    }
}
