//! Which store gets an order: a pure function of what is known at the moment, with a reason for every store.
//!
//! First every store is filtered; then those that are left are put in order by a chain of criteria, each of which decides
//! only where those before it see no difference. An order is split over stores only if the shopper allowed it and no
//! single store can do it. What was seen and decided is kept whole, so that the same question can be asked again with
//! other settings.

use super::hours::Hours;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use sync_protocol::pause::StorePause;
use sync_protocol::{Quantity, StoreId, UnixMillis};

/// What the shopper wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// Quantities of the order's lines; every candidate's figures stand in the same order.
    pub lines: Vec<Quantity>,
    /// Kilometres around the shopper's place; `None` where the shopper named a store.
    pub radius_km: Option<f64>,
    pub may_split: bool,
    /// Until when it would be held; a store that opens no more before that is no use.
    pub hold_until: UnixMillis,
}

/// One store, as it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    pub store: StoreId,
    /// `None` where the shopper named no place.
    pub distance_km: Option<f64>,
    pub pickup: Pickup,
    #[serde(with = "zone_by_name")]
    pub zone: TimeZone,
    #[serde(with = "shared")]
    pub hours: Arc<Hours>,
    /// Milliseconds since its numbers were complete.
    pub age_ms: u64,
    /// Orders it has taken this hour and today, and those it has not handed over.
    pub load: Load,
    /// Of the orders of the last weeks, the share of lines it did not find.
    pub not_found_rate: f64,
    pub stock: Vec<Stock>,
}

/// Whether a store takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pickup {
    On,
    /// HQ has taken it out.
    Off,
    /// The store has asked for a break.
    PausedUntil(UnixMillis),
}

impl Pickup {
    /// With the store's own word: of two pauses the longer one counts.
    #[must_use]
    pub fn also(self, own: Option<&StorePause>) -> Pickup {
        match (self, own.map(|own| UnixMillis(own.until))) {
            (Pickup::On, Some(until)) => Pickup::PausedUntil(until),
            (Pickup::PausedUntil(earlier), Some(until)) => Pickup::PausedUntil(earlier.max(until)),
            (pickup, _) => pickup,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    pub this_hour: u32,
    pub today: u32,
    pub open: u32,
    /// What it can do; `None` sets no limit.
    pub per_hour_max: Option<u32>,
    pub per_day_max: Option<u32>,
}

/// What a store has of one line's item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// What may still be promised, after what is held back for its age.
    pub free: Quantity,
    /// What walk-in customers are expected to buy before the pickup.
    pub walk_in: Quantity,
    pub on_hand: Quantity,
}

/// How routing decides. HQ's choice; a simulation asks with another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Stores whose numbers are older take no orders. Default 15 minutes.
    pub age_max_ms: u64,
    /// Of each item so many units stay for the shelf, whatever is free. Default 0: escrow protects already.
    pub protected: Quantity,
    pub order_by: Vec<Criterion>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            age_max_ms: 15 * 60 * 1000,
            protected: Quantity::ZERO,
            order_by: vec![Criterion::Distance, Criterion::Load, Criterion::Surplus, Criterion::NotFound],
        }
    }
}

/// What stores are put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Nearer first, in steps of a kilometre: nobody minds less.
    Distance,
    /// Fewer open orders first.
    Load,
    /// More left over for the shelf first, counted in whole units of the scarcest line.
    Surplus,
    /// Fewer lines not found lately first, in whole percent.
    NotFound,
}

/// Why a store can't have the order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Dropped {
    PickupOff,
    Paused {
        until: i64,
    },
    TooFar {
        km: f64,
        radius_km: f64,
    },
    TooOld {
        age_ms: u64,
    },
    Full {
        taken: u32,
        max: u32,
        per: &'static str,
    },
    ClosedUntilTooLate,
    /// By line: what it lacks.
    Short {
        lacks: Vec<Quantity>,
    },
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dropped::PickupOff => f.write_str("pickup is switched off there"),
            Dropped::Paused { .. } => f.write_str("pickup is paused there"),
            Dropped::TooFar { km, radius_km } => write!(f, "it is {km:.1} km away, more than {radius_km} km"),
            Dropped::TooOld { age_ms } => write!(f, "its numbers are {} s old", age_ms / 1000),
            Dropped::Full { max, per, .. } => write!(f, "it can do {max} orders a {per}, and has as many"),
            Dropped::ClosedUntilTooLate => f.write_str("it does not open again in time"),
            Dropped::Short { .. } => f.write_str("it has not all of it"),
        }
    }
}

/// What became of one store.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Dropped(Dropped),
    /// It could have it; place 1 is the best.
    Ranked {
        place: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Considered {
    pub store: StoreId,
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A part of an order for one store: places of lines, and how much of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    pub store: StoreId,
    pub lines: Vec<(usize, Quantity)>,
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// One leg, several where it was split, none where it can't be done.
    pub legs: Vec<Leg>,
    /// Every store once, in the order they came.
    pub considered: Vec<Considered>,
}

/// Decides.
#[must_use]
pub fn route(wish: &Wish, candidates: &[Candidate], settings: &Settings, now: UnixMillis) -> Decision {
    let verdicts: Vec<Result<(), Dropped>> =
        candidates.iter().map(|candidate| judged(wish, candidate, settings, now)).collect();
    let mut ranked: Vec<usize> = (0..candidates.len()).filter(|at| verdicts[*at].is_ok()).collect();
    let better =
        |one: &usize, other: &usize| compared(wish, &candidates[*one], &candidates[*other], settings);
    ranked.sort_by(better);
    let legs = match ranked.first() {
        Some(best) => vec![whole(wish, &candidates[*best])],
        None if wish.may_split => split(wish, candidates, &verdicts, settings),
        None => Vec::new(),
    };
    let place = |at: usize| ranked.iter().position(|ranked| *ranked == at).unwrap_or(ranked.len());
    let considered = candidates.iter().zip(verdicts).enumerate().map(|(at, (candidate, verdict))| {
        let verdict = match verdict {
            Ok(()) => {
                Verdict::Ranked { place: u32::try_from(place(at)).unwrap_or(u32::MAX).saturating_add(1) }
            }
            Err(dropped) => Verdict::Dropped(dropped),
        };
        Considered { store: candidate.store.clone(), verdict }
    });
    Decision { legs, considered: considered.collect() }
}

/// The filters, cheapest and most telling first.
fn judged(wish: &Wish, candidate: &Candidate, settings: &Settings, now: UnixMillis) -> Result<(), Dropped> {
    takes_part(candidate.pickup, now)?;
    is_near(wish, candidate)?;
    is_fresh(candidate, settings)?;
    has_capacity(&candidate.load)?;
    opens_in_time(&candidate.hours, &candidate.zone, now, wish.hold_until)?;
    let lacks: Vec<Quantity> = wish
        .lines
        .iter()
        .zip(&candidate.stock)
        .map(|(wanted, stock)| less(*wanted, offered(stock, settings)).max(Quantity::ZERO))
        .collect();
    if lacks.len() < wish.lines.len() || lacks.iter().any(|lacks| *lacks > Quantity::ZERO) {
        return Err(Dropped::Short { lacks });
    }
    Ok(())
}

pub(super) fn takes_part(pickup: Pickup, now: UnixMillis) -> Result<(), Dropped> {
    match pickup {
        Pickup::On => Ok(()),
        Pickup::Off => Err(Dropped::PickupOff),
        Pickup::PausedUntil(until) if until > now => Err(Dropped::Paused { until: until.0 }),
        Pickup::PausedUntil(_) => Ok(()),
    }
}

pub(super) fn opens_in_time(
    hours: &Hours,
    zone: &TimeZone,
    now: UnixMillis,
    hold_until: UnixMillis,
) -> Result<(), Dropped> {
    let opens = hours.next_open(now, zone);
    if opens.is_none_or(|opens| opens >= hold_until) { Err(Dropped::ClosedUntilTooLate) } else { Ok(()) }
}

fn is_near(wish: &Wish, candidate: &Candidate) -> Result<(), Dropped> {
    match (candidate.distance_km, wish.radius_km) {
        (Some(km), Some(radius_km)) if km > radius_km => Err(Dropped::TooFar { km, radius_km }),
        _ => Ok(()),
    }
}

fn is_fresh(candidate: &Candidate, settings: &Settings) -> Result<(), Dropped> {
    let age_ms = candidate.age_ms;
    if age_ms > settings.age_max_ms { Err(Dropped::TooOld { age_ms }) } else { Ok(()) }
}

pub(super) fn has_capacity(load: &Load) -> Result<(), Dropped> {
    for (taken, max, per) in
        [(load.this_hour, load.per_hour_max, "hour"), (load.today, load.per_day_max, "day")]
    {
        if let Some(max) = max.filter(|max| taken >= *max) {
            return Err(Dropped::Full { taken, max, per });
        }
    }
    Ok(())
}

/// What a store may give of an item: what is free, less what the shelf keeps.
fn offered(stock: &Stock, settings: &Settings) -> Quantity {
    stock.free.min(less(stock.on_hand, settings.protected)).max(Quantity::ZERO)
}

fn compared(wish: &Wish, one: &Candidate, other: &Candidate, settings: &Settings) -> Ordering {
    let by = |criterion: &Criterion| match criterion {
        Criterion::Distance => steps_of_km(one).cmp(&steps_of_km(other)),
        Criterion::Load => one.load.open.cmp(&other.load.open),
        Criterion::Surplus => surplus(wish, other).cmp(&surplus(wish, one)),
        Criterion::NotFound => percent(one.not_found_rate).cmp(&percent(other.not_found_rate)),
    };
    let decided = settings.order_by.iter().map(by).find(|order| *order != Ordering::Equal);
    // The same question gets the same answer, whatever order the stores came in.
    decided.unwrap_or_else(|| one.store.cmp(&other.store))
}

fn steps_of_km(candidate: &Candidate) -> u64 {
    whole_number(candidate.distance_km.unwrap_or(0.0))
}

fn percent(share: f64) -> u64 {
    whole_number((share * 100.0).round())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "stops at the ends of the range")]
fn whole_number(value: f64) -> u64 {
    value as u64
}

/// What the shelf has left of the scarcest line after the order and the walk-in customers, in whole units.
fn surplus(wish: &Wish, candidate: &Candidate) -> i64 {
    let left = wish.lines.iter().zip(&candidate.stock).map(|(wanted, stock)| {
        less(less(stock.on_hand, *wanted), stock.walk_in).thousandths().div_euclid(1000)
    });
    left.min().unwrap_or(0)
}

fn whole(wish: &Wish, candidate: &Candidate) -> Leg {
    Leg { store: candidate.store.clone(), lines: wish.lines.iter().copied().enumerate().collect() }
}

/// Takes from one store after the other what is still wanted, best store first, until nothing is. No line is cut in two as
/// long as one store has all of it. Nothing at all when it does not come out.
fn split(
    wish: &Wish,
    candidates: &[Candidate],
    verdicts: &[Result<(), Dropped>],
    settings: &Settings,
) -> Vec<Leg> {
    let only_short = |at: &usize| matches!(verdicts[*at], Err(Dropped::Short { .. }));
    let mut open: BTreeSet<usize> = (0..candidates.len()).filter(only_short).collect();
    let mut wanted = wish.lines.clone();
    let mut legs = Vec::new();
    while wanted.iter().any(|wanted| *wanted > Quantity::ZERO) {
        // The store that does most at once, so that the shopper walks least.
        let best = open.iter().copied().map(|at| (at, takes(&wanted, &candidates[at], settings))).max_by(
            |one, other| {
                let size = |(_, lines): &(usize, Vec<(usize, Quantity)>)| lines.len();
                size(one)
                    .cmp(&size(other))
                    .then_with(|| compared(wish, &candidates[other.0], &candidates[one.0], settings))
            },
        );
        let Some((at, lines)) = best.filter(|(_, lines)| !lines.is_empty()) else { return Vec::new() };
        open.remove(&at);
        for (line, quantity) in &lines {
            wanted[*line] = less(wanted[*line], *quantity);
        }
        legs.push(Leg { store: candidates[at].store.clone(), lines });
    }
    legs
}

/// What a store can do of what is wanted: whole lines, or parts of lines where it has no whole one.
fn takes(wanted: &[Quantity], candidate: &Candidate, settings: &Settings) -> Vec<(usize, Quantity)> {
    let lines = || {
        wanted
            .iter()
            .copied()
            .zip(&candidate.stock)
            .enumerate()
            .filter(|(_, (wanted, _))| *wanted > Quantity::ZERO)
    };
    let whole: Vec<_> = lines()
        .filter(|(_, (wanted, stock))| offered(stock, settings) >= *wanted)
        .map(|(line, (wanted, _))| (line, wanted))
        .collect();
    if !whole.is_empty() {
        return whole;
    }
    let part =
        |(line, (wanted, stock)): (usize, (Quantity, &Stock))| (line, wanted.min(offered(stock, settings)));
    lines().map(part).filter(|(_, quantity)| *quantity > Quantity::ZERO).collect()
}

mod zone_by_name {
    use super::super::board::zone_of;
    use jiff::tz::TimeZone;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(zone: &TimeZone, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(zone.iana_name().unwrap_or("UTC"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TimeZone, D::Error> {
        String::deserialize(from).map(|name| zone_of(&name))
    }
}

mod shared {
    use super::Hours;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::sync::Arc;

    pub fn serialize<S: Serializer>(hours: &Arc<Hours>, to: S) -> Result<S::Ok, S::Error> {
        hours.as_ref().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Hours>, D::Error> {
        Hours::deserialize(from).map(Arc::new)
    }
}

fn less(from: Quantity, taken: Quantity) -> Quantity {
    Quantity::from_thousandths(from.thousandths().saturating_sub(taken.thousandths()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
    const HOUR_MS: i64 = 3_600_000;

    fn units(units: i64) -> Quantity {
        Quantity::from_units(units)
    }

    fn wish(lines: &[i64]) -> Wish {
        let lines = lines.iter().copied().map(units).collect();
        let hold_until = UnixMillis(NOW.0 + 72 * HOUR_MS);
        Wish { lines, radius_km: Some(10.0), may_split: false, hold_until }
    }

    fn store(id: &str, km: f64, free: &[i64]) -> Candidate {
        let stock = |free: &i64| Stock { free: units(*free), walk_in: units(1), on_hand: units(free + 2) };
        Candidate {
            store: id.parse().unwrap(),
            distance_km: Some(km),
            pickup: Pickup::On,
            zone: TimeZone::UTC,
            hours: Arc::default(),
            age_ms: 1_000,
            load: Load::default(),
            not_found_rate: 0.0,
            stock: free.iter().map(stock).collect(),
        }
    }

    fn routed(wish: &Wish, candidates: &[Candidate]) -> Decision {
        route(wish, candidates, &Settings::default(), NOW)
    }

    fn chosen(decision: &Decision) -> Vec<&str> {
        decision.legs.iter().map(|leg| leg.store.as_str()).collect()
    }

    fn dropped(candidate: Candidate) -> Dropped {
        let decision = routed(&wish(&[2]), &[candidate]);
        assert_eq!(decision.legs, []);
        match decision.considered.into_iter().next().unwrap().verdict {
            Verdict::Dropped(dropped) => dropped,
            ranked => panic!("{ranked:?}"),
        }
    }

    #[test]
    fn the_nearest_store_that_can_gets_it() {
        let candidates = [store("S3", 7.0, &[9]), store("S1", 2.0, &[1]), store("S2", 4.0, &[2])];
        let decision = routed(&wish(&[2]), &candidates);
        assert_eq!(chosen(&decision), ["S2"]);
        let short = Dropped::Short { lacks: vec![units(1)] };
        let verdicts: Vec<Verdict> =
            decision.considered.into_iter().map(|considered| considered.verdict).collect();
        assert_eq!(
            verdicts,
            [Verdict::Ranked { place: 2 }, Verdict::Dropped(short), Verdict::Ranked { place: 1 }]
        );
    }

    #[test]
    fn every_filter_names_its_reason() {
        let good = || store("S1", 2.0, &[5]);
        assert_eq!(dropped(Candidate { pickup: Pickup::Off, ..good() }), Dropped::PickupOff);
        let until = UnixMillis(NOW.0 + 1);
        assert_eq!(
            dropped(Candidate { pickup: Pickup::PausedUntil(until), ..good() }),
            Dropped::Paused { until: until.0 }
        );
        assert_eq!(dropped(store("S1", 11.0, &[5])), Dropped::TooFar { km: 11.0, radius_km: 10.0 });
        assert_eq!(dropped(Candidate { age_ms: 900_001, ..good() }), Dropped::TooOld { age_ms: 900_001 });
        let load = Load { today: 40, per_day_max: Some(40), ..Load::default() };
        assert_eq!(dropped(Candidate { load, ..good() }), Dropped::Full { taken: 40, max: 40, per: "day" });
        let hours = Hours { weekly: Some(Default::default()), ..Hours::default() };
        assert_eq!(dropped(Candidate { hours: Arc::new(hours), ..good() }), Dropped::ClosedUntilTooLate);
    }

    #[test]
    fn a_pause_that_is_over_is_none() {
        let back = Candidate { pickup: Pickup::PausedUntil(NOW), ..store("S1", 2.0, &[5]) };
        assert_eq!(chosen(&routed(&wish(&[2]), &[back])), ["S1"]);
    }

    #[test]
    fn within_a_kilometre_the_store_with_less_to_do_gets_it() {
        let busy = Candidate { load: Load { open: 9, ..Load::default() }, ..store("S1", 2.1, &[5]) };
        let idle = store("S2", 2.9, &[5]);
        assert_eq!(chosen(&routed(&wish(&[2]), &[busy, idle])), ["S2"]);
    }

    #[test]
    fn then_the_fuller_shelf_and_then_the_better_record_decide() {
        let full = store("S2", 2.0, &[50]);
        assert_eq!(chosen(&routed(&wish(&[2]), &[store("S1", 2.0, &[5]), full])), ["S2"]);
        let careless = Candidate { not_found_rate: 0.08, ..store("S1", 2.0, &[5]) };
        assert_eq!(chosen(&routed(&wish(&[2]), &[careless, store("S2", 2.0, &[5])])), ["S2"]);
    }

    #[test]
    fn the_last_units_can_be_kept_for_the_shelf() {
        let settings = Settings { protected: units(3), ..Settings::default() };
        let decision = route(&wish(&[5]), &[store("S1", 2.0, &[5])], &settings, NOW);
        assert_eq!(decision.legs, [], "7 on hand, 3 of them protected");
    }

    #[test]
    fn an_order_is_split_only_if_the_shopper_allowed_it() {
        let candidates = [store("S1", 2.0, &[5, 0]), store("S2", 3.0, &[0, 5])];
        assert_eq!(routed(&wish(&[2, 2]), &candidates).legs, []);
        let decision = routed(&Wish { may_split: true, ..wish(&[2, 2]) }, &candidates);
        let leg = |id: &str, line| Leg { store: id.parse().unwrap(), lines: vec![(line, units(2))] };
        assert_eq!(decision.legs, [leg("S1", 0), leg("S2", 1)]);
    }

    #[test]
    fn a_split_that_does_not_come_out_promises_nothing() {
        let candidates = [store("S1", 2.0, &[1]), store("S2", 3.0, &[1])];
        let split = |wanted| routed(&Wish { may_split: true, ..wish(&[wanted]) }, &candidates).legs.len();
        assert_eq!(split(2), 2);
        assert_eq!(split(3), 0);
    }

    #[test]
    fn a_store_that_could_do_it_alone_is_never_split() {
        let candidates = [store("S1", 1.0, &[2, 0]), store("S2", 9.0, &[2, 2])];
        assert_eq!(chosen(&routed(&Wish { may_split: true, ..wish(&[2, 2]) }, &candidates)), ["S2"]);
    }
}
