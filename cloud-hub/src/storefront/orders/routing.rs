//! Why an order went where it went, and where orders would have gone with other settings.

use super::{number, unshared};
use crate::orders::decisions::Recorded;
use crate::orders::routing::{Decision, Leg, Settings};
use crate::storage::{KeptDecision, StorageError};
use crate::storefront::answer::Timestamp;
use crate::storefront::body::{BODY_BYTES_MAX, whole_body};
use crate::storefront::problem::{Kind, Problem, ProblemBody};
use crate::storefront::site::Site;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::{Arc, PoisonError};
use sync_protocol::{Quantity, StoreId, UnixMillis};
use utoipa::ToSchema;

/// Most decisions made anew in one request.
const SIMULATED_MAX: usize = 1000;
/// Most of them shown that came out otherwise.
const SHOWN_MAX: usize = 100;

/// Why an order went where it went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoutingDecisions)]
pub(in crate::storefront) struct DecisionsBody {
    /// The first when it was placed, then one for each time it was re-routed. None of an order placed from a reservation, or more
    /// than 90 days ago.
    decisions: Vec<DecisionBody>,
}

/// One decision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoutingDecision)]
struct DecisionBody {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who should have what; none where all of it was to be had nowhere near, and the store that was named was asked all the same.
    legs: Vec<LegBody>,
    /// The stores that were looked at, the nearest first: `ranked` with its `place`, or `dropped` with the `reason`.
    #[schema(value_type = Vec<Object>)]
    considered: Box<RawValue>,
    /// Stores too far away, or beyond the ten nearest.
    not_kept: usize,
}

/// What one store should have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoutingLeg)]
struct LegBody {
    /// The store's id.
    #[schema(value_type = String)]
    store: StoreId,
    /// How much of each line it should have, by the line's place in the order, from 0.
    #[schema(value_type = Vec<Object>)]
    lines: Vec<(usize, Quantity)>,
}

/// Other settings to decide with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::storefront) struct SimulationBody {
    /// `age_max_ms`: stores whose numbers are older take no orders. `protected`: units of each item that stay for the shelf. `order_by`:
    /// a list of `distance`, `load`, `surplus` and `not_found`. What is left out is as it is now.
    #[schema(value_type = Object)]
    settings: Settings,
    /// How many of the last decisions to make anew, 1 to 1000. Default 1000.
    #[schema(minimum = 1, maximum = 1000, nullable = false)]
    limit: Option<usize>,
}

/// What other settings would have changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoutingSimulation)]
pub(in crate::storefront) struct SimulatedBody {
    /// Decisions made anew.
    decisions: usize,
    /// Those that came out otherwise.
    changed: usize,
    /// Those for which no store was found any more.
    unroutable: usize,
    /// Kilometres to the store, on average over the orders with one store both times: as it was, and as it would have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    km: Option<[f64; 2]>,
    /// Up to 100 of those that came out otherwise.
    changes: Vec<ChangeBody>,
}

/// An order that would have gone elsewhere.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoutingChange)]
struct ChangeBody {
    /// Its number.
    order: String,
    /// The stores that were chosen.
    #[schema(value_type = Vec<String>)]
    before: Vec<StoreId>,
    /// The stores that would have been.
    #[schema(value_type = Vec<String>)]
    after: Vec<StoreId>,
}

/// Why an order went where it went
#[utoipa::path(
    get,
    path = "/v1/orders/{order}/routing",
    operation_id = "getRouting",
    tag = "orders",
    params(("order" = String, Path, description = "The order's number.", example = "K7M29-QX4TB")),
    responses(
        (status = 200, description = "What was decided, and what was known of each store.", body = DecisionsBody),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such number.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn get_routing(
    State(site): State<Arc<Site>>,
    order: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let order = number(order)?;
    let kept = read(site, move |decisions| decisions.of(order)).await?;
    let body = |(_, record): (KeptDecision, Recorded)| DecisionBody {
        at: Timestamp(record.at),
        legs: record.legs.iter().map(LegBody::of).collect(),
        not_kept: record.not_kept,
        considered: record.considered,
    };
    Ok(unshared(&DecisionsBody { decisions: understood(kept).map(body).collect() }))
}

/// Try other settings of routing
///
/// Makes the last decisions anew, each about its own moment and with what was known of its stores then. Nothing changes.
#[utoipa::path(
    post,
    path = "/v1/routing:simulate",
    operation_id = "simulateRouting",
    tag = "orders",
    request_body = SimulationBody,
    responses(
        (status = 200, description = "What would have come out otherwise.", body = SimulatedBody),
        (status = 400, description = "The body is not understood, or a field is invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not answer now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(in crate::storefront) async fn simulate_routing(
    State(site): State<Arc<Site>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = whole_body(body, BODY_BYTES_MAX)?;
    let unread = |error: serde_json::Error| {
        let example = "{\"settings\": {\"order_by\": [\"load\", \"distance\"]}}";
        Problem::new(Kind::InvalidBody, format!("{error}; send something like {example}"))
    };
    let SimulationBody { settings, limit } = serde_json::from_slice(&body).map_err(unread)?;
    let limit = limit.unwrap_or(SIMULATED_MAX);
    if !(1..=SIMULATED_MAX).contains(&limit) {
        let detail = format!("`{limit}` is not 1 to {SIMULATED_MAX}");
        return Err(Problem::of(Kind::InvalidBody, "limit", detail));
    }
    let kept = read(site, move |decisions| decisions.before(UnixMillis(i64::MAX), limit)).await?;
    let simulated = tokio::task::spawn_blocking(move || simulated(kept, &settings)).await;
    simulated.map(|body| unshared(&body)).map_err(|_| Problem::new(Kind::Internal, "the hub failed"))
}

fn simulated(kept: Vec<KeptDecision>, settings: &Settings) -> SimulatedBody {
    let mut body = SimulatedBody { decisions: 0, changed: 0, unroutable: 0, km: None, changes: Vec::new() };
    let mut distances = Vec::new();
    for (kept, record) in understood(kept) {
        let Decision { legs, .. } = record.again(settings);
        body.decisions += 1;
        if let (Some(before), Some(after)) = (km(&record, &record.legs), km(&record, &legs)) {
            distances.push([before, after]);
        }
        if legs == record.legs {
            continue;
        }
        body.changed += 1;
        body.unroutable += usize::from(legs.is_empty());
        if body.changes.len() < SHOWN_MAX {
            let stores = |legs: &[Leg]| legs.iter().map(|leg| leg.store.clone()).collect();
            let (before, after) = (stores(&record.legs), stores(&legs));
            body.changes.push(ChangeBody { order: kept.order.to_string(), before, after });
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
    let count = distances.len() as f64;
    let mean = |at: usize| distances.iter().map(|pair| pair[at]).sum::<f64>() / count;
    body.km = (!distances.is_empty()).then(|| [mean(0), mean(1)].map(|km| (km * 10.0).round() / 10.0));
    body
}

/// To the one store of an order.
fn km(record: &Recorded, legs: &[Leg]) -> Option<f64> {
    let [leg] = legs else { return None };
    record.candidates.iter().find(|candidate| candidate.store == leg.store)?.distance_km
}

/// What an older hub wrote in another form is left out.
fn understood(kept: Vec<KeptDecision>) -> impl Iterator<Item = (KeptDecision, Recorded)> {
    kept.into_iter().filter_map(|kept| {
        let record = serde_json::from_str(&kept.record);
        let record =
            record.inspect_err(|error| tracing::warn!(order = %kept.order, %error, "not understood"));
        Some((kept, record.ok()?))
    })
}

async fn read(
    site: Arc<Site>,
    of: impl FnOnce(&crate::storage::sqlite::decisions::Decisions) -> Result<Vec<KeptDecision>, StorageError>
    + Send
    + 'static,
) -> Result<Vec<KeptDecision>, Problem> {
    let reading = move || of(&site.state.decisions.lock().unwrap_or_else(PoisonError::into_inner));
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "routing decisions can't be read");
        Problem::new(Kind::Unhealthy, "the hub can't read its storage; ask again").retry_after(1)
    };
    match tokio::task::spawn_blocking(reading).await {
        Ok(read) => read.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

impl LegBody {
    fn of(leg: &Leg) -> LegBody {
        LegBody { store: leg.store.clone(), lines: leg.lines.clone() }
    }
}
