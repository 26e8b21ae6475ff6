//! From what a shopper asks for to the stores that the core may try, in their order.

use super::body::{AlternativeBody, LackBody, ShortfallBody};
use super::problem_with;
use crate::availability::{Directory, Point, StoreIx, km_of_chord_squared};
use crate::hub::orders::{Choice, NewOrder, OrderView, Part};
use crate::hub::reservations::{NewReservation, ReservationView};
use crate::orders::board::{Post, zone_of};
use crate::orders::codes::code_hash;
use crate::orders::customer::Customer;
use crate::orders::decisions::Recorded;
use crate::orders::idempotency::{IdempotencyKey, body_fingerprint};
use crate::orders::placement::{Basket, PlacedLine, Placement, Wanted};
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
    lines: Vec<PlacedLine>,
    wish: Wish,
    directory: Arc<Directory>,
    /// All stores that may have it.
    candidates: Vec<Candidate>,
    decision: Decision,
    /// The store the shopper named.
    named: Option<StoreId>,
}

impl Survey {
    /// What is kept of it: where it can't be written, the order goes its way all the same.
    pub(super) fn record(&self) -> Option<String> {
        let settings = routing::Settings::default();
        let kept = Recorded::new(self.now, &self.wish, &settings, &self.candidates, &self.decision)
            .and_then(|record| serde_json::to_string(&record));
        kept.inspect_err(|error| tracing::error!(%error, "a routing decision can't be written down")).ok()
    }
}

/// What a survey is about.
struct Question {
    lines: Vec<PlacedLine>,
    from: Wanted,
    radius_km: Option<f64>,
    may_split: bool,
    named: Option<StoreId>,
    /// Stores that have had their turn.
    excluded: Vec<StoreId>,
}

/// Looks at the index, and decides.
pub(super) fn survey(site: &Site, basket: &Basket, may_split: bool) -> Result<Survey, Problem> {
    let (named, radius_km) = match &basket.pickup {
        Wanted::Store(store) => (Some(store.clone()), None),
        Wanted::Near { radius_km, .. } => (None, Some(*radius_km)),
    };
    let (lines, from) = (basket.lines.clone(), basket.pickup.clone());
    asked(site, Question { lines, from, radius_km, may_split, named, excluded: Vec::new() })
}

/// Looks for another store for what is owed of an order; near the one that had it first, since where the shopper is, is kept
/// nowhere. `named`: the store the shopper has agreed to.
pub(super) fn survey_owed(
    site: &Site,
    view: &OrderView,
    named: Option<StoreId>,
) -> Result<Option<Survey>, Problem> {
    let (Some(wish), Some(first)) = (&view.shop.content.wish, view.parts.first()) else { return Ok(None) };
    let lines = view.owed().into_iter().map(|(sku, quantity)| PlacedLine { sku, quantity }).collect();
    let radius_km = Some(wish.radius_km.unwrap_or(site.settings().reroute_km));
    let question = Question {
        lines,
        from: Wanted::Store(first.store.clone()),
        radius_km: radius_km.filter(|_| named.is_none()),
        may_split: wish.may_split,
        named,
        excluded: view.parts.iter().map(|part| part.store.clone()).collect(),
    };
    asked(site, question).map(Some)
}

fn asked(site: &Site, question: Question) -> Result<Survey, Problem> {
    let now = site.wall();
    let (directory, candidates) = look(site, &question, now);
    let Question { lines, radius_km, may_split, named, .. } = question;
    if let Some(store) = named.as_ref().filter(|store| directory.find(store.as_str()).is_none()) {
        let detail = format!("there is no store `{}`; /v1/stores lists them", shown(store.as_str()));
        return Err(Problem::of(Kind::UnknownStore, "pickup.store", detail));
    }
    let hold_until = later(now, site.settings().order_hold.as_millis());
    let quantities = lines.iter().map(|line| line.quantity).collect();
    let wish = Wish { lines: quantities, radius_km, may_split, hold_until };
    let meant: Vec<Candidate> = match &named {
        Some(store) => candidates.iter().filter(|candidate| candidate.store == *store).cloned().collect(),
        None => candidates.clone(),
    };
    let decision = routing::route(&wish, &meant, &routing::Settings::default(), now);
    Ok(Survey { now, lines, wish, directory, candidates, decision, named })
}

fn look(site: &Site, question: &Question, now: UnixMillis) -> (Arc<Directory>, Vec<Candidate>) {
    let reading = site.index().read();
    let directory = Arc::clone(reading.directory());
    let standings = site.standings(&reading);
    let board = site.state.board.read();
    let items: Vec<_> = question.lines.iter().map(|line| reading.find(line.sku.as_str())).collect();
    // A shopper who names a store is as near to others as that store is.
    let from = match &question.from {
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
    let may_have_it = |ix: &StoreIx| !question.excluded.contains(&directory.get(*ix).info.id);
    let candidates = directory.all().filter(may_have_it).map(candidate).collect();
    drop((reading, board));
    (directory, candidates)
}

/// The order, with the stores to try.
pub(super) fn new_order(
    site: &Site,
    placement: &Placement,
    survey: &Survey,
    origin: Origin,
) -> Result<NewOrder, Problem> {
    let order = drawn()?;
    let customer = Some(&placement.customer);
    let radius_km = survey.wish.radius_km;
    let choices = choices(site, survey, Some(order), customer)?;
    let decision = survey.record();
    Ok(NewOrder { radius_km, decision, choices, ..unplaced(site, placement, order, origin)? })
}

/// The order of what was reserved, at the store where it was.
pub(super) fn reserved_order(
    site: &Site,
    placement: &Placement,
    reserved: Option<&ReservationView>,
    id: OrderId,
    origin: Origin,
) -> Result<NewOrder, Problem> {
    let order = drawn()?;
    let choice = reserved.map(|view| {
        let lines = view.reservation.lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect();
        let store = &view.reservation.store;
        let half = half(site, site.wall(), store, order, Some(&placement.customer));
        Choice { parts: vec![Part { store: view.reservation.store.clone(), order, lines, half }] }
    });
    let choices = choice.into_iter().collect();
    Ok(NewOrder { reservation: Some(id), choices, ..unplaced(site, placement, order, origin)? })
}

/// Who asks, by which key, with what.
pub(super) struct Origin {
    key: String,
    fingerprint: String,
}

impl Origin {
    pub(super) fn new(caller: &Caller, key: &IdempotencyKey, body: &[u8]) -> Origin {
        let fingerprint = body_fingerprint(body).iter().map(|byte| format!("{byte:02x}")).collect();
        Origin { key: format!("{} {}", caller.0, key.as_str()), fingerprint }
    }
}

fn unplaced(
    site: &Site,
    placement: &Placement,
    order: OrderId,
    Origin { key, fingerprint }: Origin,
) -> Result<NewOrder, Problem> {
    let sealed = site.state.order_keys.vault.seal(order, &placement.customer);
    Ok(NewOrder {
        order,
        key,
        fingerprint,
        customer: sealed.map_err(|error| failed(&error))?,
        payment_reference: placement.payment_reference.clone(),
        reroute: placement.reroute,
        may_split: placement.may_split,
        radius_km: None,
        reservation: None,
        decision: None,
        choices: Vec::new(),
    })
}

/// What is to be kept, with the stores to try.
pub(super) fn new_reservation(
    survey: &Survey,
    seconds: u32,
    Origin { key, fingerprint }: Origin,
) -> Result<NewReservation, Problem> {
    let stores = choices_of(survey).into_iter().filter_map(|legs| match legs.as_slice() {
        [leg] => Some(leg.store.clone()),
        _ => None,
    });
    Ok(NewReservation {
        id: drawn()?,
        key,
        fingerprint,
        until: later(survey.now, u128::from(seconds) * 1000),
        stores: stores.collect(),
        lines: survey.lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect(),
    })
}

/// The stores to try, best first. `first`: the number of each first part.
pub(super) fn choices(
    site: &Site,
    survey: &Survey,
    first: Option<OrderId>,
    customer: Option<&Customer>,
) -> Result<Vec<Choice>, Problem> {
    let mut choices = Vec::new();
    for legs in choices_of(survey) {
        let mut parts = Vec::with_capacity(legs.len());
        for (place, leg) in legs.iter().enumerate() {
            let number = match first.filter(|_| place == 0) {
                Some(order) => order,
                None => drawn()?,
            };
            parts.push(part(site, survey, leg, number, customer));
        }
        choices.push(Choice { parts });
    }
    Ok(choices)
}

fn failed(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "an order could not be prepared");
    Problem::new(Kind::Internal, "the hub failed; send it again with the same Idempotency-Key")
}

fn drawn() -> Result<OrderId, Problem> {
    draw().map_err(|error| failed(&error))
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

fn part(site: &Site, survey: &Survey, leg: &Leg, order: OrderId, customer: Option<&Customer>) -> Part {
    let line = |(at, quantity): &(usize, Quantity)| Some((survey.lines.get(*at)?.sku.clone(), *quantity));
    let lines: Vec<(Sku, Quantity)> = leg.lines.iter().filter_map(line).collect();
    Part { store: leg.store.clone(), order, lines, half: half(site, survey.now, &leg.store, order, customer) }
}

/// Everything of the hub's half but the lines, which the store's own numbers make.
fn half(
    site: &Site,
    now: UnixMillis,
    store: &StoreId,
    order: OrderId,
    customer: Option<&Customer>,
) -> HubOrder {
    let (ready_by, hold_until) = times(site, now, store);
    HubOrder {
        revision: 1,
        placed_at: now,
        ready_by,
        hold_until,
        lines: Vec::new(),
        display_name: customer.map(Customer::display_name).unwrap_or_default(),
        phone: customer.map(Customer::masked_phone).unwrap_or_default(),
        code_hash: code_hash(order, site.state.order_keys.pickup.short_code(order)),
        cancel: None,
        closed: false,
    }
}

/// When an order is to be ready, counted while the store is open, and until when it is kept: never less than one whole
/// opening day after that.
fn times(site: &Site, now: UnixMillis, store: &StoreId) -> (UnixMillis, UnixMillis) {
    let ready = site.settings().order_ready;
    let (usual, hold) = (later(now, ready.as_millis()), later(now, site.settings().order_hold.as_millis()));
    let board = site.state.board.read();
    let Some(post) = board.of(store) else { return (usual, hold) };
    let (hours, zone) = (&post.settings().hours, &post.zone);
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
pub(super) fn not_taking(survey: &Survey, store: &StoreId, why: &Dropped) -> Response {
    match &survey.named {
        Some(_) => super::not_taking::not_taking(store, why, alternatives(survey)),
        None => shortfall(survey),
    }
}

/// What lacks where, and who has it.
pub(super) fn shortfall(survey: &Survey) -> Response {
    let short = survey.decision.considered.iter().filter_map(|considered| match &considered.verdict {
        Verdict::Dropped(Dropped::Short { lacks }) => Some(lacks),
        _ => None,
    });
    let least = short.min_by_key(|lacks| lacks.iter().map(|lack| lack.thousandths()).sum::<i64>());
    let zero = vec![Quantity::ZERO; survey.lines.len()];
    let lines = survey.lines.iter().zip(least.unwrap_or(&zero)).map(|(line, lack)| LackBody {
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

/// Stores that have all of it, the best first.
pub(super) fn alternatives(survey: &Survey) -> Vec<AlternativeBody> {
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
