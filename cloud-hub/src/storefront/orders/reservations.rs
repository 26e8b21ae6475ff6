//! `POST /v1/reservations`: units kept while a shopper is at the checkout.

use super::not_taking::NotPlacedBody;
use super::placing::{self, Origin};
use super::{key_of, no_answer, numbered, problem, refused, replayed, unshared};
use crate::hub::orders::OrderError;
use crate::hub::reservations::{ReservationAsk, ReservationView};
use crate::orders::reserving::{ExtensionBody, ReservationBody, Reserving, read_extension};
use crate::storefront::answer::Timestamp;
use crate::storefront::body::{BODY_BYTES_MAX, whole_body};
use crate::storefront::gate::Caller;
use crate::storefront::problem::{Kind, Problem, ProblemBody};
use crate::storefront::site::Site;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use sync_protocol::order::OrderId;
use sync_protocol::{Quantity, UnixMillis};
use utoipa::ToSchema;

/// Units kept for a shopper who has not ordered yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reservation)]
struct ReservedBody {
    /// Its number; `POST /v1/orders` takes it as `reservation`.
    #[schema(example = "K7M29-QX4TB")]
    reservation: String,
    /// The store that would have the order.
    store: String,
    /// Until when the units are kept. To the second: what asks for them later finds them free.
    #[schema(value_type = String, format = DateTime)]
    until: Timestamp,
    /// What is kept.
    lines: Vec<ReservedLineBody>,
}

/// One line of a reservation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReservedLine)]
struct ReservedLineBody {
    /// The item.
    sku: String,
    /// How much of it.
    #[schema(value_type = f64)]
    quantity: Quantity,
}

/// Reserve for a checkout
///
/// Keeps all lines at one store, or none, for up to 15 minutes. The units come out of what the store has set aside for the web,
/// exactly as an order's do; a store hears nothing of it. The same `Idempotency-Key` with the same body gives the same reservation
/// again, as long as it has not ended.
#[utoipa::path(
    post,
    path = "/v1/reservations",
    operation_id = "makeReservation",
    tag = "orders",
    params(("Idempotency-Key" = String, Header,
        description = "1 to 64 visible ASCII characters, a new one for each reservation.")),
    request_body = ReservationBody,
    responses(
        (status = 201, description = "The units are kept, durably.", body = ReservedBody,
            headers(("Idempotent-Replayed" = String, description = "`true` where this key and body had made it before."))),
        (status = 400, description = "The key or the body is not understood, or a field is invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "Not all of it can be kept: which lines lack what, and the nearest stores that have all of it.",
            body = NotPlacedBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 422, description = "This key came with another body before.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows, or more reservations than the hub keeps.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; send it again with the same key.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn make_reservation(
    State(site): State<Arc<Site>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let key = key_of(&headers)?;
    let body = whole_body(body, BODY_BYTES_MAX)?;
    let Reserving { basket, seconds } = Reserving::read(&body).map_err(refused)?;
    let survey = placing::survey(&site, &basket, false)?;
    let new = placing::new_reservation(&survey, seconds, Origin::new(&caller, &key, &body))?;
    let ask = ReservationAsk::Make(Box::new(new));
    match site.state.desk.reservation(ask).await.map_err(no_answer)? {
        Ok(view) => {
            let mut response = (StatusCode::CREATED, answer(&view)).into_response();
            replayed(&mut response, view.is_replayed);
            Ok(response)
        }
        Err(OrderError::Insufficient) => Ok(placing::shortfall(&survey)),
        Err(OrderError::NotTaking { store, why }) => Ok(placing::not_taking(&survey, &store, &why)),
        Err(error) => Err(problem(&error)),
    }
}

/// One reservation
#[utoipa::path(
    get,
    path = "/v1/reservations/{reservation}",
    operation_id = "getReservation",
    tag = "orders",
    params(("reservation" = String, Path, description = "Its number.", example = "K7M29-QX4TB")),
    responses(
        (status = 200, description = "The reservation.", body = ReservedBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such reservation, or it has ended.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn get_reservation(
    State(site): State<Arc<Site>>,
    reservation: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = number(reservation)?;
    asked(&site, ReservationAsk::Show { id }).await
}

/// Give a reservation up
///
/// Its units are free at once. An order that takes the reservation's place ends it, too.
#[utoipa::path(
    delete,
    path = "/v1/reservations/{reservation}",
    operation_id = "endReservation",
    tag = "orders",
    params(("reservation" = String, Path, description = "Its number.", example = "K7M29-QX4TB")),
    responses(
        (status = 200, description = "The reservation as it was.", body = ReservedBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such reservation, or it has ended.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; send it again.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn end_reservation(
    State(site): State<Arc<Site>>,
    reservation: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = number(reservation)?;
    asked(&site, ReservationAsk::End { id }).await
}

/// Keep a reservation longer
///
/// Counted from now; in all it lasts for an hour at most.
#[utoipa::path(
    post,
    path = "/v1/reservations/{reservation}/extend",
    operation_id = "extendReservation",
    tag = "orders",
    params(("reservation" = String, Path, description = "Its number.", example = "K7M29-QX4TB")),
    request_body = ExtensionBody,
    responses(
        (status = 200, description = "The reservation with its new end.", body = ReservedBody),
        (status = 400, description = "The body is not understood, or a field is invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such reservation, or it has ended.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "It has lasted for an hour already, or would.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; send it again.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn extend_reservation(
    State(site): State<Arc<Site>>,
    reservation: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let id = number(reservation)?;
    let body = whole_body(body, BODY_BYTES_MAX)?;
    let seconds = read_extension(&body).map_err(refused)?;
    let until = UnixMillis(site.wall().0.saturating_add(i64::from(seconds) * 1000));
    asked(&site, ReservationAsk::Extend { id, until }).await
}

async fn asked(site: &Site, ask: ReservationAsk) -> Result<Response, Problem> {
    let view = site.state.desk.reservation(ask).await.map_err(no_answer)?;
    view.map(|view| answer(&view)).map_err(|error| problem(&error))
}

fn answer(ReservationView { id, reservation, .. }: &ReservationView) -> Response {
    let line = |line: &crate::storage::ReservedLine| ReservedLineBody {
        sku: line.sku.to_string(),
        quantity: line.quantity,
    };
    let body = ReservedBody {
        reservation: id.to_string(),
        store: reservation.store.to_string(),
        until: Timestamp(UnixMillis(reservation.until)),
        lines: reservation.lines.iter().map(line).collect(),
    };
    unshared(&body)
}

fn number(reservation: Result<Path<String>, PathRejection>) -> Result<OrderId, Problem> {
    numbered(reservation, "reservation", Kind::NoSuchReservation)
}
