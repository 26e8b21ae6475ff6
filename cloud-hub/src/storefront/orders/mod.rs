//! `POST /v1/orders`, and what is asked of orders afterwards.
//!
//! An order is promised in one atomic step by the hub's core, against what stores have granted; the index only says which
//! stores to try, and in which order. The answer leaves when the promise is on disk.

mod body;
mod erasing;
mod not_taking;
mod placing;
mod rerouting;
mod reservations;
mod routing;

pub(super) use body::{OrderBody, OrderList};
pub(super) use erasing::*;
pub(super) use not_taking::NotPlacedBody;
pub use rerouting::keep_rerouting;
pub(super) use rerouting::*;
pub(super) use reservations::*;
pub(super) use routing::*;

use super::body::{BODY_BYTES_MAX, whole_body};
use super::gate::Caller;
use super::problem::{Kind, Problem, ProblemBody, shown};
use super::query::{once, pairs, whole};
use super::reply::{fresh, written};
use super::site::Site;
use crate::desk::NoAnswer;
use crate::hub::orders::{LISTED_MAX, Listing, OrderError, OrderView};
use crate::hub::reservations::ReservationAsk;
use crate::orders::codes::PickupKey;
use crate::orders::idempotency::IdempotencyKey;
use crate::orders::placement::{Asked, Placement, PlacementBody, PlacementRefused};
use crate::orders::vault::Vault;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use placing::Origin;
use std::sync::Arc;
use sync_protocol::order::{Cancel, OrderId, Status};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// About as long as an answer about one order is.
const BODY_BYTES: usize = 2048;

/// What orders are sealed and signed with.
pub struct OrderKeys {
    pub pickup: PickupKey,
    pub vault: Vault,
}

/// Place a pickup order
///
/// All lines are promised in one step, or none: never more than the store has set aside for the web, whatever happens to
/// its line meanwhile. The same `Idempotency-Key` with the same body gives the same order again.
#[utoipa::path(
    post,
    path = "/v1/orders",
    operation_id = "placeOrder",
    tag = "orders",
    params(("Idempotency-Key" = String, Header, description = "1 to 64 visible ASCII characters, a new one for each order.")),
    request_body = PlacementBody,
    responses(
        (status = 201, description = "The order is promised, durably.", body = OrderBody,
            headers(("Idempotent-Replayed" = String, description = "`true` where this key and body had placed it before."))),
        (status = 400, description = "The key or the body is not understood, or a field is invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "Not all of it can be promised, or the store that was named takes no orders now: which lines \
            lack what or why, and the nearest stores that have all of it.", body = NotPlacedBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "This key came with another body before.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; nothing was promised that the same key does not find again.",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn place_order(
    State(site): State<Arc<Site>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let key = key_of(&headers)?;
    let body = whole_body(body, BODY_BYTES_MAX)?;
    let placement = Placement::read(&body).map_err(refused)?;
    let origin = Origin::new(&caller, &key, &body);
    let (new, survey) = match &placement.asked {
        Asked::Basket(basket) => {
            let survey = placing::survey(&site, basket, placement.may_split)?;
            (placing::new_order(&site, &placement, &survey, origin)?, Some(survey))
        }
        Asked::Reservation(id) => {
            // It is gone when the same request has been answered before: that is for the core to find out.
            let reserved = site.state.desk.reservation(ReservationAsk::Show { id: *id }).await;
            let reserved = reserved.map_err(no_answer)?.ok();
            (placing::reserved_order(&site, &placement, reserved.as_deref(), *id, origin)?, None)
        }
    };
    match (site.state.desk.place(Box::new(new)).await.map_err(no_answer)?, survey) {
        (Ok(view), _) => Ok(placed(&site, &view)),
        (Err(OrderError::Insufficient), Some(survey)) => Ok(placing::shortfall(&survey)),
        (Err(OrderError::NotTaking { store, why }), Some(survey)) => {
            Ok(placing::not_taking(&survey, &store, &why))
        }
        (Err(error), _) => Err(problem(&error)),
    }
}

fn key_of(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let refused = |detail: String| Problem::of(Kind::InvalidParameter, "Idempotency-Key", detail);
    let value = headers
        .get(IDEMPOTENCY_KEY)
        .ok_or_else(|| refused("is missing; send a new one with each order, such as a UUID".to_owned()))?;
    IdempotencyKey::read(value.as_bytes()).map_err(|error| refused(error.to_string()))
}

fn refused(error: PlacementRefused) -> Problem {
    match error {
        PlacementRefused::TooLarge { .. } => Problem::new(Kind::BodyTooLarge, error.to_string()),
        PlacementRefused::NotJson { .. } => Problem::new(Kind::InvalidBody, error.to_string()),
        PlacementRefused::Invalid { field, reason } => Problem::of(Kind::InvalidBody, field, reason),
    }
}

fn placed(site: &Site, view: &OrderView) -> Response {
    let mut response = (StatusCode::CREATED, answer(site, view)).into_response();
    replayed(&mut response, view.is_replayed);
    response
}

fn replayed(response: &mut Response, is_replayed: bool) {
    let value = HeaderValue::from_static(if is_replayed { "true" } else { "false" });
    response.headers_mut().insert(REPLAYED, value);
}

/// An order belongs to whoever asks with a key, and to no cache.
fn answer(site: &Site, view: &OrderView) -> Response {
    unshared(&OrderBody::of(view, &site.state.order_keys))
}

fn unshared(body: &impl serde::Serialize) -> Response {
    fresh(written(body, BODY_BYTES))
}

/// One order
#[utoipa::path(
    get,
    path = "/v1/orders/{order}",
    operation_id = "getOrder",
    tag = "orders",
    params(("order" = String, Path, description = "The order's number.", example = "K7M29-QX4TB")),
    responses(
        (status = 200, description = "The order, how it stands at each store, and its timeline.", body = OrderBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such order.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn get_order(
    State(site): State<Arc<Site>>,
    order: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let view = site.state.desk.show(number(order)?).await.map_err(no_answer)?;
    view.map(|view| answer(&site, &view)).map_err(|error| problem(&error))
}

/// Cancel an order
///
/// Asks every store that has not ended its part to end it. Until a store has acknowledged, the order is `cancelling`, and a
/// handover that happened meanwhile, with the store's line down, beats it.
#[utoipa::path(
    post,
    path = "/v1/orders/{order}/cancel",
    operation_id = "cancelOrder",
    tag = "orders",
    params(("order" = String, Path, description = "The order's number.", example = "K7M29-QX4TB")),
    responses(
        (status = 200, description = "The order; asked for or cancelled already.", body = OrderBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such order.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "It has been handed over, or ended otherwise.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; send it again.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn cancel_order(
    State(site): State<Arc<Site>>,
    order: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let view = site.state.desk.cancel(number(order)?, Cancel::Shopper).await.map_err(no_answer)?;
    view.map(|view| answer(&site, &view)).map_err(|error| problem(&error))
}

/// Orders
///
/// By number, which is random: pages neither skip nor repeat an order while others are placed.
#[utoipa::path(
    get,
    path = "/v1/orders",
    operation_id = "listOrders",
    tag = "orders",
    params(
        ("status" = Option<String>, Query, description = "Only orders of which a part stands so, such as `ready`."),
        ("store" = Option<String>, Query, description = "Only orders of which this store has a part."),
        ("after" = Option<String>, Query, description = "`next` of the page before."),
        ("limit" = Option<u64>, Query, description = "1 to 200, 100 by default.", minimum = 1, maximum = 200),
    ),
    responses(
        (status = 200, description = "A page of orders.", body = OrderList),
        (status = 400, description = "A parameter is unknown or invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn list_orders(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    let wanted = read_listing(request.uri().query())?;
    let limit = wanted.limit;
    let views = site.state.desk.list(Listing { limit: limit + 1, ..wanted }).await.map_err(no_answer)?;
    Ok(unshared(&OrderList::of(&views, limit, &site.state.order_keys)))
}

fn read_listing(query: Option<&str>) -> Result<Listing, Problem> {
    let (mut status, mut store, mut after, mut limit) = (None, None, None, None);
    for pair in pairs(query, &["status", "store", "after", "limit"]) {
        match pair? {
            ("status", value) => once(&mut status, "status", read_status(&value)?)?,
            ("store", value) => {
                let id = value.parse().map_err(|error| Problem::invalid("store", format!("{error}")))?;
                once(&mut store, "store", id)?;
            }
            ("after", value) => {
                let order = value.parse().map_err(|error| Problem::invalid("after", format!("{error}")))?;
                once(&mut after, "after", order)?;
            }
            (_, value) => once(&mut limit, "limit", whole("limit", &value, 1..=LISTED_MAX)?)?,
        }
    }
    Ok(Listing { after, store, status, limit: limit.unwrap_or(100) })
}

fn read_status(text: &str) -> Result<Status, Problem> {
    Status::ALL.into_iter().find(|status| status.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Status::ALL.into_iter().map(Status::name).collect();
        Problem::invalid("status", format!("`{}` is none of {}", shown(text), names.join(", ")))
    })
}

fn number(order: Result<Path<String>, PathRejection>) -> Result<OrderId, Problem> {
    numbered(order, "order", Kind::NoSuchOrder)
}

/// The number in a path; what is none there is not there.
fn numbered(
    number: Result<Path<String>, PathRejection>,
    what: &'static str,
    kind: Kind,
) -> Result<OrderId, Problem> {
    let text = number.map_or_else(|_| String::new(), |Path(number)| number);
    text.parse().map_err(|_| {
        let detail = format!("there is no {what} `{}`; one looks like `K7M29-QX4TB`", shown(&text));
        Problem::of(kind, what, detail)
    })
}

fn problem(error: &OrderError) -> Problem {
    let kind = match error {
        OrderError::NoSuchOrder { .. } => return Problem::of(Kind::NoSuchOrder, "order", error.to_string()),
        OrderError::NotTaking { .. } => Kind::NotTaking,
        OrderError::KeyReused => Kind::KeyReused,
        OrderError::Insufficient => Kind::Insufficient,
        OrderError::TooLate { .. } => Kind::TooLate,
        OrderError::NoSuchReservation { .. } => Kind::NoSuchReservation,
        OrderError::ReservedTooLong => Kind::ReservedTooLong,
        OrderError::NothingOwed { .. } => Kind::NothingOwed,
        OrderError::StillOpen { .. } => Kind::StillOpen,
        OrderError::TooManyReservations => Kind::RateLimited,
        OrderError::Storage => return Problem::new(Kind::Unhealthy, error.to_string()).retry_after(1),
    };
    Problem::new(kind, error.to_string())
}

fn no_answer(error: NoAnswer) -> Problem {
    Problem::new(Kind::Unhealthy, format!("{error}; send it again with the same Idempotency-Key"))
        .retry_after(1)
}

/// A problem with more to say than others.
fn problem_with(status: StatusCode, body: &impl serde::Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
