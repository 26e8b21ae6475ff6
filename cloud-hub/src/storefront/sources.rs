//! `GET /v1/stores/{id}/sources`: for head office, how far a movement of each of a store's tills and POS systems has lately come; and the
//! same over all stores, as metrics.

use super::Clock;
use super::answer::Timestamp;
use super::problem::{Kind, Problem, ProblemBody, shown};
use super::query::none;
use super::site::Site;
use crate::orders::board::Board;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use sync_protocol::canary::{Canary, Flight, WaitsFor};
use sync_protocol::{StoreId, UnixMillis};
use utoipa::ToSchema;

/// The sources of one store.
#[derive(Debug, Serialize, ToSchema)]
struct StoreSources {
    /// The store's id.
    store: String,
    /// When this was answered.
    #[schema(value_type = String, format = DateTime)]
    answered_at: Timestamp,
    /// By name. A store that has not spoken of any yet has none here.
    sources: Vec<SourceStatus>,
}

/// A till or POS of a store, and how far the movement that is followed from it has come. Times are the store's own.
#[derive(Debug, Serialize, ToSchema)]
struct SourceStatus {
    /// Its name in the store's ledger.
    source: String,
    /// The item whose movements count; `null`: any.
    #[schema(required)]
    item: Option<String>,
    /// How far the newest one is: `awaited`, `recorded` at the store, or `accepted` here.
    stage: &'static str,
    /// `movement` (nothing has been read from the POS or reported) or `hub` (recorded at the store, and has not come here); `null`
    /// while all is well.
    #[schema(required)]
    waits_for: Option<&'static str>,
    /// Longer ago than the store's configuration allows.
    overdue: bool,
    /// Seconds since one has come all the way; before the first, since the source is followed.
    age_s: u64,
    /// By the POS's clock.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    happened_at: Option<Timestamp>,
    /// When it was read from the POS, or reported.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    read_at: Option<Timestamp>,
    /// When it was on the store's disk.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    recorded_at: Option<Timestamp>,
    /// When the last one that has come all the way was accepted here.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    accepted_at: Option<Timestamp>,
}

impl SourceStatus {
    fn of(canary: &Canary, now: UnixMillis) -> SourceStatus {
        let newest = canary.newest();
        let at = |pick: fn(&Flight) -> i64| newest.map(|flight| Timestamp(UnixMillis(pick(flight))));
        SourceStatus {
            source: canary.source.to_string(),
            item: Some(canary.item.clone()).filter(|item| !item.is_empty()),
            stage: canary.stage(),
            waits_for: canary.waits_for(now).map(WaitsFor::name),
            overdue: canary.is_overdue(now),
            age_s: canary.age_ms(now) / 1000,
            happened_at: at(|flight| flight.happened_at),
            read_at: at(|flight| flight.read_at),
            recorded_at: at(|flight| flight.recorded_at),
            accepted_at: canary.arrived.map(|arrival| Timestamp(UnixMillis(arrival.accepted_at))),
        }
    }
}

/// How a store's tills and POS systems reach head office
///
/// Of each source one movement at a time is followed, from the POS to the hub. A source whose last arrival is longer ago than the store allows
/// is `overdue`, and `waits_for` says where it stopped.
#[utoipa::path(
    get,
    path = "/v1/stores/{id}/sources",
    operation_id = "listStoreSources",
    tag = "stores",
    params(("id" = String, Path, description = "The store's id.", example = "S0001")),
    responses(
        (status = 200, description = "The sources, as the store last told.", body = StoreSources),
        (status = 400, description = "A parameter is unknown.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn list_store_sources(
    State(site): State<Arc<Site>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    none(request.uri().query())?;
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    let store = known(&site, &id)?;
    let now = site.wall();
    let standings = site.state.board.read();
    let canaries = standings.of(&store).map(|post| post.canaries.as_slice()).unwrap_or_default();
    let sources = canaries.iter().map(|canary| SourceStatus::of(canary, now)).collect();
    drop(standings);
    let answer = StoreSources { store: store.to_string(), answered_at: Timestamp(now), sources };
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn known(site: &Site, id: &str) -> Result<StoreId, Problem> {
    let reading = site.index().read();
    let directory = reading.directory();
    let found = directory.find(id).map(|ix| directory.get(ix).info.id.clone());
    found.ok_or_else(|| {
        let detail = format!("there is no store `{}`; /v1/stores lists them", shown(id));
        Problem::of(Kind::UnknownStore, "id", detail)
    })
}

/// Metrics of all stores' sources that show up in `registry`.
pub fn register_canaries(registry: &mut Registry, board: Arc<Board>, clock: Arc<dyn Clock>) {
    registry.register_collector(Box::new(CanaryCollector { board, clock }));
}

/// Reads the board when metrics are asked for.
struct CanaryCollector {
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for CanaryCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CanaryCollector")
    }
}

/// How all stores' sources are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Census {
    accepted: i64,
    recorded: i64,
    awaited: i64,
    overdue: i64,
    /// Stores with an overdue source.
    stores: i64,
}

impl Census {
    fn of<'a>(stores: impl Iterator<Item = &'a [Canary]>, now: UnixMillis) -> Census {
        let mut census = Census::default();
        for canaries in stores {
            let before = census.overdue;
            for canary in canaries {
                let state = match canary.stage() {
                    _ if canary.is_overdue(now) => &mut census.overdue,
                    "accepted" => &mut census.accepted,
                    "recorded" => &mut census.recorded,
                    _ => &mut census.awaited,
                };
                *state += 1;
            }
            census.stores += i64::from(census.overdue > before);
        }
        census
    }
}

impl Collector for CanaryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.clock.wall();
        let standings = self.board.read();
        let census = Census::of(standings.posts().map(|post| post.canaries.as_slice()), now);
        drop(standings);
        let help = "Tills and POS systems of all stores, by how far their followed movement is";
        let mut metric = encoder.encode_descriptor("canaries", help, None, MetricType::Gauge)?;
        let states = [
            ("accepted", census.accepted),
            ("recorded", census.recorded),
            ("awaited", census.awaited),
            ("overdue", census.overdue),
        ];
        for (state, count) in states {
            ConstGauge::new(count).encode(metric.encode_family(&[("state", state)])?)?;
        }
        let help = "Stores with a till or POS of which nothing has come all the way for too long";
        let metric = encoder.encode_descriptor("stores_canary_overdue", help, None, MetricType::Gauge)?;
        ConstGauge::new(census.stores).encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_protocol::canary::Arrival;

    #[test]
    fn stores_are_counted_by_how_their_sources_are() {
        let flight = Flight { happened_at: 0, read_at: 0, recorded_at: 0, position: 1 };
        let awaited = Canary {
            source: "till-3".parse().unwrap(),
            item: String::new(),
            since: 0,
            overdue_after_ms: 100,
            under_way: None,
            arrived: None,
        };
        let recorded = Canary { under_way: Some(flight), ..awaited.clone() };
        let accepted = Canary { arrived: Some(Arrival { flight, accepted_at: 150 }), ..awaited.clone() };
        let stores = [vec![awaited, accepted.clone()], vec![recorded.clone(), recorded], vec![accepted]];
        let at = |now| Census::of(stores.iter().map(Vec::as_slice), UnixMillis(now));
        assert_eq!(at(50), Census { accepted: 2, recorded: 2, awaited: 1, overdue: 0, stores: 0 });
        assert_eq!(at(200), Census { accepted: 2, recorded: 0, awaited: 0, overdue: 3, stores: 2 });
        assert_eq!(at(300), Census { overdue: 5, stores: 3, ..Census::default() });
    }
}
