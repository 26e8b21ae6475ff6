//! What another store may do of an order: as the shopper chooses, or as the hub finds.

use super::body::{AlternativeBody, OrderBody};
use super::not_taking::NotPlacedBody;
use super::{answer, no_answer, number, placing, problem, unshared};
use crate::hub::orders::{OrderError, OrderView};
use crate::hub::rerouting::Rerouting;
use crate::storefront::StorefrontState;
use crate::storefront::body::{BODY_BYTES_MAX, whole_body};
use crate::storefront::problem::{Kind, Problem, ProblemBody};
use crate::storefront::site::Site;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::StoreId;
use tokio::time::sleep;
use tracing::{info, warn};
use utoipa::ToSchema;

/// How often the hub looks for stores for orders that wait for one.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The shopper's consent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::storefront) struct ConsentBody {
    /// The store that is to have what is owed. Without one, the best that can.
    #[schema(value_type = Option<String>, nullable = false)]
    store: Option<StoreId>,
}

/// Stores that could have what is owed of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alternatives)]
pub(in crate::storefront) struct AlternativesBody {
    /// The best first; none where nothing is owed.
    stores: Vec<AlternativeBody>,
}

/// Agree to another store
///
/// Gives what is owed of the order to another store: what the store that had it has refused or does not find. Only an order placed
/// with `reroute` as `offer` or `auto` goes on elsewhere, and only where `rerouting` stands in it.
#[utoipa::path(
    post,
    path = "/v1/orders/{order}/reroute",
    operation_id = "rerouteOrder",
    tag = "orders",
    params(("order" = String, Path, description = "The order's number.", example = "K7M29-QX4TB")),
    request_body = ConsentBody,
    responses(
        (status = 200, description = "The order, with its new part.", body = OrderBody),
        (status = 400, description = "The body is not understood, or a field is invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such order, or no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 409, description = "Nothing is owed, or not all of it can be promised there: which lines lack what, and the \
            nearest stores that have all of it.", body = NotPlacedBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now; look at the order, and send it again.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn reroute_order(
    State(site): State<Arc<Site>>,
    order: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let order = number(order)?;
    let body = whole_body(body, BODY_BYTES_MAX)?;
    let unread = |error: serde_json::Error| {
        Problem::new(Kind::InvalidBody, format!("{error}; send {{\"store\": \"S0042\"}}, or {{}}"))
    };
    let ConsentBody { store } = serde_json::from_slice(&body).map_err(unread)?;
    let view = site.state.desk.show(order).await.map_err(no_answer)?.map_err(|error| problem(&error))?;
    if view.rerouting() == Rerouting::Not {
        return Err(problem(&OrderError::NothingOwed { order }));
    }
    if let Some(store) = store.as_ref().filter(|store| view.parts.iter().any(|part| part.store == **store)) {
        let detail =
            format!("store `{store}` has had the order; /v1/orders/{order}/alternatives lists others");
        return Err(Problem::of(Kind::InvalidBody, "store", detail));
    }
    let Some(survey) = placing::survey_owed(&site, &view, store)? else {
        return Err(problem(&OrderError::NothingOwed { order }));
    };
    let choices = placing::choices(&site, &survey, None, None)?;
    match site.state.desk.reroute(order, choices, survey.record()).await.map_err(no_answer)? {
        Ok(view) => Ok(answer(&site, &view)),
        Err(OrderError::Insufficient) => Ok(placing::shortfall(&survey)),
        Err(OrderError::NotTaking { store, why }) => Ok(placing::not_taking(&survey, &store, &why)),
        Err(error) => Err(problem(&error)),
    }
}

/// Other stores for an order
///
/// Those that have all of what is owed of it, the nearest to the store that had it first.
#[utoipa::path(
    get,
    path = "/v1/orders/{order}/alternatives",
    operation_id = "listAlternatives",
    tag = "orders",
    params(("order" = String, Path, description = "The order's number.", example = "K7M29-QX4TB")),
    responses(
        (status = 200, description = "Up to five stores.", body = AlternativesBody),
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
pub(in crate::storefront) async fn list_alternatives(
    State(site): State<Arc<Site>>,
    order: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let order = number(order)?;
    let view = site.state.desk.show(order).await.map_err(no_answer)?.map_err(|error| problem(&error))?;
    let stores = match view.owed().is_empty() {
        true => Vec::new(),
        false => {
            placing::survey_owed(&site, &view, None)?.map_or(Vec::new(), |it| placing::alternatives(&it))
        }
    };
    Ok(unshared(&AlternativesBody { stores }))
}

/// Finds stores for orders that are to be re-routed without asking. Ends when the hub stops.
pub async fn keep_rerouting(state: StorefrontState) {
    let mut closing = state.closing.clone();
    let site = Site::new(state, "".into());
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        let Ok(waiting) = site.state.desk.looked_for().await else { continue };
        for view in waiting {
            look_for_one(&site, &view).await;
        }
    }
}

async fn look_for_one(site: &Site, view: &OrderView) {
    let order = view.shop.order;
    let Ok(Some(survey)) = placing::survey_owed(site, view, None) else { return };
    let choices = placing::choices(site, &survey, None, None).unwrap_or_default();
    if choices.is_empty() {
        return;
    }
    match site.state.desk.reroute(order, choices, survey.record()).await {
        Ok(Ok(view)) => {
            let stores: Vec<&str> = view.parts.iter().map(|part| part.store.as_str()).collect();
            info!(%order, ?stores, "another store has what was owed of an order");
        }
        // Sold out meanwhile, or no longer wanted: the next look shows.
        Ok(Err(OrderError::Insufficient | OrderError::NotTaking { .. } | OrderError::NothingOwed { .. }))
        | Err(_) => {}
        Ok(Err(error)) => warn!(%order, %error, "an order could not be re-routed"),
    }
}
