//! `GET /v1/availability` and `POST /v1/availability:query`.

use super::answer::{
    Availability, Band, BasketAvailability, BasketLine, CanFulfil, ItemAvailability, StoreAvailability,
    StoreBasket, Timestamp,
};
use super::ask::{Ask, AskLine, AvailabilityParams, BasketAsk, Detail, read_body, read_query};
use super::body::{BODY_BYTES_MAX, whole_body};
use super::explain::explain;
use super::problem::{Kind, Problem, ProblemBody};
use super::reply::{Gist, Known, fresh, not_modified, tagged, written};
use super::site::Site;
use super::survey::{Seen, Survey, survey};
use crate::availability::{Level, Offer};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::Response;
use std::sync::Arc;
use sync_protocol::{Quantity, UnixMillis};

/// Questions about more cells than this are answered off the threads that serve everybody else.
const CELLS_AT_ONCE_MAX: usize = 4000;

/// Where items can be collected
///
/// Answers for up to 100 items what each store can hand over, nearest first. One page holds up to `limit` stores, the same
/// ones for every item. An item that no store carries comes with `known: false` and no stores; a store that does not carry
/// an item is listed with 0.
#[utoipa::path(
    get,
    path = "/v1/availability",
    operation_id = "getAvailability",
    tag = "availability",
    params(
        AvailabilityParams,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer; 304 when it still holds.")
    ),
    responses(
        (status = 200, description = "What can be collected where.", body = Availability,
            headers(("ETag" = String, description = "Weak: the same stock in the same state."),
                    ("Cache-Control" = String, description = "How long, and how long in trouble, caches may keep this."))),
        (status = 304, description = "The answer with the tag given in `If-None-Match` still holds: the same stock, in the same \
            state, from numbers at least as new. Ages of stores that are not live have grown by less than a minute."),
        (status = 400, description = "A parameter is unknown or invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn get_availability(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    let ask = read_query(request.uri().query())?;
    let known = Known::to(request.headers());
    let (tag, body) =
        answered(&site, ask, move |survey, ask, now| write_items(survey, ask, now, &known)).await?;
    Ok(match body {
        Some(body) => tagged(body, tag, &site.cache_control),
        None => not_modified(tag, &site.cache_control),
    })
}

/// Where a basket can be collected
///
/// Answers for a basket of up to 100 items, store by store, whether all of it, some of it or none of it can be collected
/// there, and line by line how much.
#[utoipa::path(
    post,
    path = "/v1/availability:query",
    operation_id = "queryAvailability",
    tag = "availability",
    request_body = BasketAsk,
    responses(
        (status = 200, description = "Where the basket can be collected.", body = BasketAvailability),
        (status = 400, description = "The body is not understood, or a field is invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive within 30 seconds.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 128 KiB.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn query_availability(
    State(site): State<Arc<Site>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = whole_body(body, BODY_BYTES_MAX)?;
    Ok(fresh(answered(&site, read_body(&body)?, write_basket).await?))
}

/// Looks at the index and writes down what it sees, off the serving threads when that takes a while.
async fn answered<T: Send + 'static>(
    site: &Arc<Site>,
    ask: Ask,
    write: impl FnOnce(&Survey, &Ask, UnixMillis) -> T + Send + 'static,
) -> Result<T, Problem> {
    let stores = if ask.scope.in_stock { usize::from(u16::MAX) } else { ask.scope.limit };
    let cells = ask.lines.len() * stores.min(site.store_count());
    let site = Arc::clone(site);
    let look_and_write = move || {
        let now = site.wall();
        let survey = survey(site.index(), site.freshness(), &ask, now)?;
        Ok(write(&survey, &ask, now))
    };
    if cells <= CELLS_AT_ONCE_MAX {
        return look_and_write();
    }
    let task = tokio::task::spawn_blocking(look_and_write);
    task.await.map_err(|_| Problem::new(Kind::Internal, "the answer could not be put together"))?
}

/// The answer's tag, and its body unless the caller has it already.
fn write_items(survey: &Survey, ask: &Ask, now: UnixMillis, known: &Known) -> (HeaderValue, Option<Vec<u8>>) {
    let mut gist = gist_of_page(survey);
    let items = ask.lines.iter().enumerate().map(|(line, wanted)| {
        let names = survey.names[line].as_ref();
        gist.number(u64::from(names.is_some()));
        gist.text(names.map_or("", |names| &*names.name));
        let stores = survey.stores.iter().filter(|_| names.is_some());
        ItemAvailability {
            sku: wanted.sku.as_str(),
            name: names.map(|names| &*names.name).filter(|name| !name.is_empty()),
            known: names.is_some(),
            stores: stores.map(|seen| store_row(survey, seen, line, ask, &mut gist)).collect(),
        }
    });
    let items: Vec<ItemAvailability<'_>> = items.collect();
    let tag = gist.tag();
    if known.has(&tag) {
        return (tag, None);
    }
    let answer = Availability {
        answered_at: Timestamp(now),
        items,
        unknown_stores: &survey.unknown_stores,
        next: survey.next.as_deref(),
    };
    let room = 200 + ask.lines.len() * (100 + survey.stores.len() * 220);
    (tag, Some(written(&answer, room)))
}

fn store_row<'a>(
    survey: &'a Survey,
    seen: &'a Seen,
    line: usize,
    ask: &Ask,
    gist: &mut Gist,
) -> StoreAvailability<'a> {
    let info = &survey.listed(seen).info;
    let figure = Figure::of(seen, line, &ask.lines[line], ask);
    figure.add_to(gist);
    StoreAvailability {
        store: info.id.as_str(),
        name: &info.name,
        available: figure.shown,
        band: figure.band,
        can_fulfil: figure.can_fulfil,
        state: seen.standing.state,
        as_of: seen.standing.as_of.map(Timestamp),
        age_s: seen.standing.age_s,
        distance_km: seen.distance_km,
        withheld: seen.standing.withheld,
        explain: ask.view.explain.then(|| explain(figure.level, &seen.standing, &figure.offer)),
    }
}

fn write_basket(survey: &Survey, ask: &Ask, now: UnixMillis) -> Vec<u8> {
    let answer = BasketAvailability {
        answered_at: Timestamp(now),
        stores: survey.stores.iter().map(|seen| store_basket(survey, seen, ask)).collect(),
        unknown_skus: unknown_skus(survey, ask),
        unknown_stores: &survey.unknown_stores,
        next: survey.next.as_deref(),
    };
    let room = 200 + survey.stores.len() * (220 + ask.lines.len() * 90);
    written(&answer, room)
}

fn store_basket<'a>(survey: &'a Survey, seen: &'a Seen, ask: &'a Ask) -> StoreBasket<'a> {
    let info = &survey.listed(seen).info;
    let lines: Vec<BasketLine<'a>> =
        ask.lines.iter().enumerate().map(|(line, wanted)| basket_line(seen, line, wanted, ask)).collect();
    StoreBasket {
        store: info.id.as_str(),
        name: &info.name,
        can_fulfil: CanFulfil::over(lines.iter().map(|line| line.can_fulfil)),
        state: seen.standing.state,
        as_of: seen.standing.as_of.map(Timestamp),
        age_s: seen.standing.age_s,
        distance_km: seen.distance_km,
        withheld: seen.standing.withheld,
        lines,
    }
}

fn basket_line<'a>(seen: &Seen, line: usize, wanted: &'a AskLine, ask: &Ask) -> BasketLine<'a> {
    let figure = Figure::of(seen, line, wanted, ask);
    BasketLine {
        sku: wanted.sku.as_str(),
        quantity: wanted.quantity,
        available: figure.shown,
        band: figure.band,
        can_fulfil: figure.can_fulfil,
        explain: ask.view.explain.then(|| explain(figure.level, &seen.standing, &figure.offer)),
    }
}

fn unknown_skus<'a>(survey: &Survey, ask: &'a Ask) -> Vec<&'a str> {
    let lines = ask.lines.iter().zip(&survey.names);
    lines.filter(|(_, names)| names.is_none()).map(|(line, _)| line.sku.as_str()).collect()
}

/// What is told of one item in one store.
struct Figure {
    level: Option<Level>,
    offer: Offer,
    shown: Option<Quantity>,
    band: Option<Band>,
    can_fulfil: CanFulfil,
    explained: bool,
}

impl Figure {
    fn of(seen: &Seen, line: usize, wanted: &AskLine, ask: &Ask) -> Figure {
        let level = seen.levels[line];
        let offer = seen.standing.offer(level.unwrap_or_default().free);
        let exact = ask.view.detail == Detail::Exact;
        Figure {
            level,
            offer,
            shown: offer.available.filter(|_| exact),
            band: (!exact).then(|| Band::of(offer.available)),
            can_fulfil: CanFulfil::of(offer.available, wanted.quantity),
            explained: ask.view.explain,
        }
    }

    fn add_to(&self, gist: &mut Gist) {
        gist.option(self.shown);
        gist.number(self.band.map_or(0xff, |band| band as u64) << 8 | self.can_fulfil as u64);
        if let Some(level) = self.level.filter(|_| self.explained) {
            gist.quantity(level.on_hand);
            gist.quantity(level.open);
            gist.quantity(level.free);
        }
    }
}

/// Who is on the page, and how they stand.
fn gist_of_page(survey: &Survey) -> Gist {
    let mut gist = Gist::with_room(64 * (survey.stores.len() + 1) * survey.names.len());
    for seen in &survey.stores {
        gist.number(survey.listed(seen).fingerprint);
        gist.standing(&seen.standing);
    }
    for unknown in &survey.unknown_stores {
        gist.text(unknown);
    }
    gist.text(survey.next.as_deref().unwrap_or_default());
    gist
}
