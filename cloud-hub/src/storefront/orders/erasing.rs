//! `DELETE /v1/orders/{order}/customer`: what is known of a customer goes, here and at the stores.

use super::{no_answer, number, problem, unshared};
use crate::hub::orders::OrderView;
use crate::storefront::answer::Timestamp;
use crate::storefront::problem::{Problem, ProblemBody};
use crate::storefront::site::Site;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;
use sync_protocol::UnixMillis;
use utoipa::ToSchema;

/// Whether what was known of an order's customer is gone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(in crate::storefront) struct ErasureBody {
    /// The order's number.
    #[schema(example = "K7M29-QX4TB")]
    order: String,
    /// When the hub removed it; absent as long as it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    erased_at: Option<Timestamp>,
    /// The stores that had a part of the order.
    stores: Vec<ErasedAtBody>,
}

/// Whether a store has removed what it knew.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasedAtStore)]
struct ErasedAtBody {
    /// The store's id.
    store: String,
    /// When the store confirmed; absent as long as it has not, because its line is down, say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    confirmed_at: Option<Timestamp>,
}

/// Remove a customer's data
///
/// Name, telephone and mail go at the hub, and what stores show of them at the stores. The order itself stays, with its payment
/// reference. The hub does the same by itself some time after an order's end.
#[utoipa::path(
    delete,
    path = "/v1/orders/{order}/customer",
    operation_id = "eraseCustomer",
    tag = "orders",
    params(("order" = String, Path, description = "The order's number.", example = "K7M29-QX4TB")),
    responses(
        (status = 200, description = "It is gone at the hub. Each store confirms by itself; ask again for its receipt.",
            body = ErasureBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such order.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "The order has not come to its end: its store needs to know whose it is.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; send it again.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn erase_customer(
    State(site): State<Arc<Site>>,
    order: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let view = site.state.desk.erase(number(order)?).await.map_err(no_answer)?;
    view.map(|view| answer(&view)).map_err(|error| problem(&error))
}

/// Whether a customer's data is gone
#[utoipa::path(
    get,
    path = "/v1/orders/{order}/customer",
    operation_id = "getErasure",
    tag = "orders",
    params(("order" = String, Path, description = "The order's number.", example = "K7M29-QX4TB")),
    responses(
        (status = 200, description = "When it was removed, and which stores have confirmed; never the data itself.",
            body = ErasureBody),
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
pub(in crate::storefront) async fn get_erasure(
    State(site): State<Arc<Site>>,
    order: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let view = site.state.desk.show(number(order)?).await.map_err(no_answer)?;
    view.map(|view| answer(&view)).map_err(|error| problem(&error))
}

fn answer(view: &OrderView) -> Response {
    let content = &view.shop.content;
    let time = |at: i64| Timestamp(UnixMillis(at));
    let at_store = |part: &crate::storage::ShopPart| {
        let receipt = content.receipts.iter().find(|receipt| receipt.order == part.order);
        ErasedAtBody { store: part.store.clone(), confirmed_at: receipt.map(|receipt| time(receipt.at)) }
    };
    let body = ErasureBody {
        order: view.shop.order.to_string(),
        erased_at: content.erased_at.map(time),
        stores: content.parts.iter().map(at_store).collect(),
    };
    unshared(&body)
}
