//! From what a shopper asks for to the stores that the core may try, in their order.

use super::body::{AlternativeBody, LackBody, ShortfallBody};
use super::problem_with;
use crate::availability::{Directory, Point, StoreIx, km_of_chord_squared};
use crate::hub::orders::{Choice, NewOrder, Part};
use crate::orders::board::{Post, zone_of};
use crate::orders::codes::code_hash;
use crate::orders::idempotency::IdempotencyKey;
use crate::orders::placement::{PlacedLine, Placement, Wanted};
use crate::orders::routing::{self, Candidate, Decision, Dropped, Leg, Pickup, Stock, Verdict, Wish};
use crate::storefront::gate::Caller;
use crate::storefront::problem::{Kind, Problem, shown};
use crate::storefront::site::Site;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use sync_protocol::order::{HubOrder, OrderId};
use sync_protocol::{Quantity, Sku, StoreId, UnixMillis};

/// Most stores that the core tries, the best first: each may have sold out since the index was asked.
const CHOICES_MAX: usize = 8;
/// Most stores named to a shopper whose order could not be taken.
const ALTERNATIVES_MAX: usize = 5;

/// What was known of the stores when the order came.
pub(super) struct Survey {
    now: UnixMillis,
    wish: Wish,
    directory: Arc<Directory>,
    /// All stores.
    candidates: Vec<Candidate>,
    decision: Decision,
    /// The store the shopper named.
    named: Option<StoreId>,
}

/// Looks at the index, and decides.
pub(super) fn survey(site: &Site, placement: &Placement) -> Result<Survey, Problem> {
    let now = site.wall();
    let (named, radius_km) = match &placement.pickup {
        Wanted::Store(store) => (Some(store.clone()), None),
        Wanted::Near { radius_km, .. } => (None, Some(*radius_km)),
    };
    let (directory, candidates) = look(site, placement, now);
    if let Some(store) = named.as_ref().filter(|store| directory.find(store.as_str()).is_none()) {
        let detail = format!("there is no store `{}`; /v1/stores lists them", shown(store.as_str()));
        return Err(Problem::of(Kind::UnknownStore, "pickup.store", detail));
    }
    let hold_until = later(now, site.settings().order_hold.as_millis());
    let lines = placement.lines.iter().map(|line| line.quantity).collect();
    let wish = Wish { lines, radius_km, may_split: placement.may_split, hold_until };
    let meant: Vec<Candidate> = match &named {
        Some(store) => candidates.iter().filter(|candidate| candidate.store == *store).cloned().collect(),
        None => candidates.clone(),
    };
    let decision = routing::route(&wish, &meant, &routing::Settings::default(), now);
    Ok(Survey { now, wish, directory, candidates, decision, named })
}

fn look(site: &Site, placement: &Placement, now: UnixMillis) -> (Arc<Directory>, Vec<Candidate>) {
    let reading = site.index().read();
    let directory = Arc::clone(reading.directory());
    let standings = site.standings(&reading);
    let board = site.state.board.read();
    let items: Vec<_> = placement.lines.iter().map(|line| reading.find(line.sku.as_str())).collect();
    // A shopper who names a store is as near to others as that store is.
    let from = match &placement.pickup {
        Wanted::Near { place, .. } => Some(Point::from(*place)),
        Wanted::Store(store) => directory.find(store.as_str()).and_then(|ix| directory.get(ix).point),
    };
    let candidate = |ix: StoreIx| {
        let standing = &standings[ix.at()];
        let stock = items.iter().map(|item| {
            let level = item.and_then(|item| reading.level(item, ix)).unwrap_or_default();
            let free = standing.offer(level.free).available.unwrap_or(Quantity::ZERO);
            // What walk-in customers will buy, the store has kept for them already.
            Stock { free, walk_in: Quantity::ZERO, on_hand: level.on_hand }
        });
        let info = &directory.get(ix).info;
        let post = board.of(&info.id);
        let distance = from.map(|from| km_of_chord_squared(directory.chord_squared(from, ix)));
        Candidate {
            store: info.id.clone(),
            distance_km: distance.filter(|km| km.is_finite()),
            pickup: post.map_or(Pickup::On, Post::pickup),
            zone: post.map_or_else(|| zone_of(&info.timezone), |post| post.zone.clone()),
            hours: post.map(Post::hours).unwrap_or_default(),
            age_ms: standing
                .as_of
                .map_or(u64::MAX, |as_of| now.0.saturating_sub(as_of.0).max(0).unsigned_abs()),
            load: post.map(|post| post.load(now)).unwrap_or_default(),
            not_found_rate: post.map_or(0.0, |post| post.workload.not_found_rate(now)),
            stock: stock.collect(),
        }
    };
    let candidates = directory.all().map(candidate).collect();
    drop((reading, board));
    (directory, candidates)
}

/// The order, with the stores to try.
pub(super) fn new_order(
    site: &Site,
    placement: &Placement,
    survey: &Survey,
    caller: &Caller,
    key: &IdempotencyKey,
    fingerprint: &[u8; 32],
) -> Result<NewOrder, Problem> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "an order could not be prepared");
        Problem::new(Kind::Internal, "the hub failed; send it again with the same Idempotency-Key")
    };
    let order = draw().map_err(|error| failed(&error))?;
    let sealed = site.state.order_keys.vault.seal(order, &placement.customer);
    let mut choices = Vec::new();
    for legs in choices_of(survey) {
        let mut parts = Vec::with_capacity(legs.len());
        for (place, leg) in legs.iter().enumerate() {
            let number = if place == 0 { order } else { draw().map_err(|error| failed(&error))? };
            parts.push(part(site, placement, survey, leg, number));
        }
        choices.push(Choice { parts });
    }
    Ok(NewOrder {
        order,
        key: format!("{} {}", caller.0, key.as_str()),
        fingerprint: fingerprint.iter().map(|byte| format!("{byte:02x}")).collect(),
        customer: sealed.map_err(|error| failed(&error))?,
        payment_reference: placement.payment_reference.clone(),
        choices,
    })
}

fn draw() -> Result<OrderId, getrandom::Error> {
    Ok(OrderId::from_random(getrandom::u64()?))
}

/// Whole at the best stores, in their order; in parts where no store can do it alone and the shopper allowed it.
fn choices_of(survey: &Survey) -> Vec<Vec<Leg>> {
    let whole = |store: &StoreId| Leg {
        store: store.clone(),
        lines: survey.wish.lines.iter().copied().enumerate().collect(),
    };
    // The index is a moment behind: the store that was asked for decides for itself.
    if let Some(store) = &survey.named {
        return vec![vec![whole(store)]];
    }
    let mut ranked: Vec<(u32, &StoreId)> = survey
        .decision
        .considered
        .iter()
        .filter_map(|considered| match considered.verdict {
            Verdict::Ranked { place } => Some((place, &considered.store)),
            Verdict::Dropped(_) => None,
        })
        .collect();
    ranked.sort_unstable();
    if ranked.is_empty() && !survey.decision.legs.is_empty() {
        return vec![survey.decision.legs.clone()];
    }
    ranked.into_iter().take(CHOICES_MAX).map(|(_, store)| vec![whole(store)]).collect()
}

fn part(site: &Site, placement: &Placement, survey: &Survey, leg: &Leg, order: OrderId) -> Part {
    let line = |(at, quantity): &(usize, Quantity)| {
        let PlacedLine { sku, .. } = placement.lines.get(*at)?;
        Some((sku.clone(), *quantity))
    };
    let lines: Vec<(Sku, Quantity)> = leg.lines.iter().filter_map(line).collect();
    let keys = &site.state.order_keys;
    let (ready_by, hold_until) = times(site, survey, &leg.store);
    let half = HubOrder {
        revision: 1,
        placed_at: survey.now,
        ready_by,
        hold_until,
        lines: Vec::new(),
        display_name: placement.customer.display_name(),
        phone: placement.customer.masked_phone(),
        code_hash: code_hash(order, keys.pickup.short_code(order)),
        cancel: None,
        closed: false,
    };
    Part { store: leg.store.clone(), order, lines, half }
}

/// When an order is to be ready, counted while the store is open, and until when it is kept: never less than one whole
/// opening day after that.
fn times(site: &Site, survey: &Survey, store: &StoreId) -> (UnixMillis, UnixMillis) {
    let (now, ready) = (survey.now, site.settings().order_ready);
    let (usual, hold) = (later(now, ready.as_millis()), survey.wish.hold_until);
    let Some(candidate) = survey.candidates.iter().find(|candidate| candidate.store == *store) else {
        return (usual, hold);
    };
    let (hours, zone) = (&candidate.hours, &candidate.zone);
    // A store that opens too late gets no order: the core says so.
    if hours.next_open(now, zone).is_none_or(|opens| opens >= hold) {
        return (usual, hold);
    }
    let open_for = u64::try_from(ready.as_millis()).unwrap_or(u64::MAX);
    let ready_by = hours.after_open(now, open_for, zone).unwrap_or(usual);
    (ready_by, hours.whole_day_after(ready_by, zone).map_or(hold, |end| end.max(hold)))
}

fn later(now: UnixMillis, by_ms: u128) -> UnixMillis {
    UnixMillis(now.0.saturating_add(i64::try_from(by_ms).unwrap_or(i64::MAX)))
}

/// Why the store that was named takes no orders now, and who does. Whoever named none is told what lacks where.
pub(super) fn not_taking(placement: &Placement, survey: &Survey, store: &StoreId, why: &Dropped) -> Response {
    match &survey.named {
        Some(_) => super::not_taking::not_taking(store, why, alternatives(survey)),
        None => shortfall(placement, survey),
    }
}

/// What lacks where, and who has it.
pub(super) fn shortfall(placement: &Placement, survey: &Survey) -> Response {
    let short = survey.decision.considered.iter().filter_map(|considered| match &considered.verdict {
        Verdict::Dropped(Dropped::Short { lacks }) => Some(lacks),
        _ => None,
    });
    let least = short.min_by_key(|lacks| lacks.iter().map(|lack| lack.thousandths()).sum::<i64>());
    let zero = vec![Quantity::ZERO; placement.lines.len()];
    let lines = placement.lines.iter().zip(least.unwrap_or(&zero)).map(|(line, lack)| LackBody {
        sku: line.sku.to_string(),
        asked: line.quantity,
        available: Quantity::from_thousandths(line.quantity.thousandths().saturating_sub(lack.thousandths())),
    });
    let lines = lines.filter(|line| line.available < line.asked).collect();
    let status = StatusCode::CONFLICT;
    let body = ShortfallBody {
        type_uri: Kind::Insufficient.type_uri(),
        title: "Not enough is available",
        status: status.as_u16(),
        detail: "not all of the order can be promised; choose another store, or order less".to_owned(),
        lines,
        alternatives: alternatives(survey),
    };
    problem_with(status, &body)
}

fn alternatives(survey: &Survey) -> Vec<AlternativeBody> {
    let wish = Wish { radius_km: None, may_split: false, ..survey.wish.clone() };
    let others = routing::route(&wish, &survey.candidates, &routing::Settings::default(), survey.now);
    let mut ranked: Vec<(u32, usize)> = others
        .considered
        .iter()
        .enumerate()
        .filter_map(|(at, considered)| match considered.verdict {
            Verdict::Ranked { place } => Some((place, at)),
            Verdict::Dropped(_) => None,
        })
        .collect();
    ranked.sort_unstable();
    let named = |(_, at): (u32, usize)| {
        let candidate = &survey.candidates[at];
        let listed = survey.directory.find(candidate.store.as_str()).map(|ix| survey.directory.get(ix));
        AlternativeBody {
            store: candidate.store.to_string(),
            name: listed.map(|listed| listed.info.name.clone()).unwrap_or_default(),
            distance_km: candidate.distance_km.map(|km| (km * 10.0).round() / 10.0),
        }
    };
    let elsewhere =
        |candidate: &&(u32, usize)| Some(&survey.candidates[candidate.1].store) != survey.named.as_ref();
    ranked.iter().filter(elsewhere).take(ALTERNATIVES_MAX).copied().map(named).collect()
}
