//! Routing decisions as they are kept: what was known of each store, how it was judged, and with which settings, so that the same
//! question can be asked again with others.

use super::routing::{self, Candidate, Considered, Decision, Dropped, Leg, Settings, Verdict, Wish};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sync_protocol::UnixMillis;

/// Most stores kept of a decision, the nearest ones.
const STORES_KEPT_MAX: usize = 10;

/// A decision with everything it was made from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recorded {
    pub at: UnixMillis,
    pub wish: Wish,
    pub settings: Settings,
    /// Those near enough, at most ten.
    pub candidates: Vec<Candidate>,
    /// Stores that were too far away, or further than those that are kept.
    pub not_kept: usize,
    pub legs: Vec<Leg>,
    /// What became of each of the candidates, in the words of whoever decided.
    pub considered: Box<RawValue>,
}

impl Recorded {
    /// What there is to keep of a decision.
    ///
    /// # Errors
    /// A figure that JSON has no words for.
    pub fn new(
        at: UnixMillis,
        wish: &Wish,
        settings: &Settings,
        candidates: &[Candidate],
        decision: &Decision,
    ) -> Result<Recorded, serde_json::Error> {
        let is_near =
            |considered: &Considered| !matches!(considered.verdict, Verdict::Dropped(Dropped::TooFar { .. }));
        let mut kept: Vec<(&Candidate, &Considered)> = candidates
            .iter()
            .filter_map(|candidate| {
                let mut all = decision.considered.iter();
                Some((candidate, all.find(|it| it.store == candidate.store && is_near(it))?))
            })
            .collect();
        let distance = |candidate: &Candidate| candidate.distance_km.unwrap_or(0.0);
        kept.sort_by(|(one, _), (other, _)| distance(one).total_cmp(&distance(other)));
        kept.truncate(STORES_KEPT_MAX);
        let considered: Vec<&Considered> = kept.iter().map(|(_, considered)| *considered).collect();
        Ok(Recorded {
            at,
            wish: wish.clone(),
            settings: settings.clone(),
            not_kept: decision.considered.len() - kept.len(),
            candidates: kept.iter().map(|(candidate, _)| (*candidate).clone()).collect(),
            legs: decision.legs.clone(),
            considered: serde_json::value::to_raw_value(&considered)?,
        })
    }

    /// Decides anew, about the same moment with the same stores.
    #[must_use]
    pub fn again(&self, settings: &Settings) -> Decision {
        routing::route(&self.wish, &self.candidates, settings, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hours::Hours;
    use super::super::routing::{Criterion, Load, Pickup, Stock};
    use super::*;
    use jiff::tz::TimeZone;
    use std::sync::Arc;
    use sync_protocol::Quantity;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn candidate(number: u32, open: u32) -> Candidate {
        let stock = Stock {
            free: Quantity::from_thousandths(5_500),
            walk_in: Quantity::ZERO,
            on_hand: Quantity::from_units(9),
        };
        Candidate {
            store: format!("S{number:04}").parse().unwrap(),
            distance_km: Some(f64::from(number)),
            pickup: Pickup::PausedUntil(UnixMillis(5)),
            zone: TimeZone::get("Asia/Kolkata").unwrap(),
            hours: Arc::new(Hours::default()),
            age_ms: 7,
            load: Load { open, per_day_max: Some(100), ..Load::default() },
            not_found_rate: 0.25,
            stock: vec![stock],
        }
    }

    fn recorded(stores: u32, radius_km: f64) -> Recorded {
        let wish = Wish {
            lines: vec![Quantity::from_thousandths(1_235)],
            radius_km: Some(radius_km),
            may_split: false,
            hold_until: UnixMillis(NOW.0 + 1_000_000_000),
        };
        let candidates: Vec<Candidate> =
            (1..=stores).rev().map(|number| candidate(number, stores - number)).collect();
        let settings = Settings::default();
        let decision = routing::route(&wish, &candidates, &settings, NOW);
        Recorded::new(NOW, &wish, &settings, &candidates, &decision).unwrap()
    }

    #[test]
    fn what_is_read_back_decides_the_same_and_with_other_settings_otherwise() {
        let text = serde_json::to_string(&recorded(3, 10.0)).unwrap();
        let read: Recorded = serde_json::from_str(&text).unwrap();
        assert_eq!(read.again(&read.settings).legs, read.legs);
        assert_eq!(read.legs[0].store.as_str(), "S0001");
        assert_eq!(read.candidates[0].zone.iana_name(), Some("Asia/Kolkata"));
        let by_load = Settings { order_by: vec![Criterion::Load], ..Settings::default() };
        assert_eq!(read.again(&by_load).legs[0].store.as_str(), "S0003");
        assert!(read.considered.get().contains("\"place\":1"), "{}", read.considered);
    }

    #[test]
    fn the_nearest_are_kept_and_the_rest_counted() {
        let record = recorded(30, 20.0);
        assert_eq!((record.candidates.len(), record.not_kept), (10, 20));
        assert_eq!(record.candidates[9].store.as_str(), "S0010");
    }
}
