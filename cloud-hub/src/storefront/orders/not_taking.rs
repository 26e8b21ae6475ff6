//! What a shopper is told whose store takes no orders now, whatever it has on its shelf.

use super::body::{AlternativeBody, ShortfallBody};
use super::problem_with;
use crate::orders::routing::Dropped;
use crate::storefront::answer::Timestamp;
use crate::storefront::problem::Kind;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use sync_protocol::{StoreId, UnixMillis};
use utoipa::ToSchema;

/// Why an order was not promised.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = OrderNotPlaced)]
#[expect(dead_code, reason = "stands for the two answers in the OpenAPI document")]
pub(in crate::storefront) enum NotPlacedBody {
    /// Not all of it can be promised.
    Insufficient(ShortfallBody),
    /// The store that was named takes no orders now.
    NotTaking(NotTakingBody),
}

/// The store that was named takes no orders now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoreNotTakingOrders)]
pub(in crate::storefront) struct NotTakingBody {
    /// `urn:shopsmart:problem:store-not-taking-orders`.
    #[serde(rename = "type")]
    type_uri: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status, once more.
    status: u16,
    /// Why, in words.
    detail: String,
    /// The store's id.
    store: String,
    /// `pickup_off`, `paused`, `full` (it can do no more orders this hour or today) or `closed` (it does not open before the
    /// order would have run out).
    reason: &'static str,
    /// Until when it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    until: Option<Timestamp>,
    /// The nearest stores that have all of it and take orders.
    alternatives: Vec<AlternativeBody>,
}

pub(super) fn not_taking(store: &StoreId, why: &Dropped, alternatives: Vec<AlternativeBody>) -> Response {
    let (reason, until) = match why {
        Dropped::PickupOff => ("pickup_off", None),
        Dropped::Paused { until } => ("paused", Some(Timestamp(UnixMillis(*until)))),
        Dropped::Full { .. } => ("full", None),
        // The core asks for nothing else.
        _ => ("closed", None),
    };
    let status = StatusCode::CONFLICT;
    let body = NotTakingBody {
        type_uri: Kind::NotTaking.type_uri(),
        title: "The store takes no orders now",
        status: status.as_u16(),
        detail: format!("store `{store}` takes no such order now: {why}; choose another, or come back later"),
        store: store.to_string(),
        reason,
        until,
        alternatives,
    };
    problem_with(status, &body)
}
