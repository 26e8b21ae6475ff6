//! The storefront API: what the web shop asks, over HTTP.
//!
//! Everything is answered from the availability index in memory; a request waits for no disk and no store. Every number
//! says how old it is. Answers are bounded: a hundred items, five hundred stores, a body of 128 KiB, so many streams.
//!
//! **Invariant:** the index is never held over an `.await`; its guard can't leave its thread, so the compiler sees to it.
//! **Invariant:** every path but `/openapi.json`, `/healthz` and `/metrics` needs a key, and no key is taken from a URL.

mod answer;
mod ask;
mod availability;
mod body;
mod changes;
mod count_tasks;
mod cursor;
mod deliveries;
mod events;
mod explain;
mod gate;
mod keys;
mod limit;
mod metrics;
mod openapi;
mod orders;
mod pickup_settings;
mod problem;
mod query;
mod reply;
mod site;
mod snapshot;
mod sources;
mod stores;
mod survey;

#[cfg(test)]
mod tests;

pub use keys::{KEY_BYTES_MAX, KEY_BYTES_MIN, KeyRing, KeysError};
pub use metrics::StorefrontMetrics;
pub use orders::{OrderKeys, keep_rerouting};
pub use sources::register_canaries;

use crate::availability::{Freshness, Index};
use crate::courier::Courier;
use crate::desk::Desk;
use crate::orders::board::Board;
use crate::storage::sqlite::decisions::Decisions;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware;
use problem::{Kind, Problem, shown};
use site::Site;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sync_protocol::UnixMillis;
use tokio::sync::watch;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the API needs of the hub around it.
#[derive(Clone)]
pub struct StorefrontState {
    pub index: Arc<Index>,
    pub board: Arc<Board>,
    pub desk: Desk,
    pub courier: Courier,
    /// Why orders went where they went.
    pub decisions: Arc<Mutex<Decisions>>,
    pub order_keys: Arc<OrderKeys>,
    pub settings: Settings,
    pub keys: Arc<KeyRing>,
    pub clock: Arc<dyn Clock>,
    pub metrics: StorefrontMetrics,
    /// All of the hub's metrics, as OpenMetrics text.
    pub metrics_text: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether the hub does its work, or why not.
    pub health: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Turns true when the hub stops: open streams end then.
    pub closing: watch::Receiver<bool>,
}

/// How the API behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub freshness: Freshness,
    /// For each key; 0 sets no limit.
    pub requests_per_second: u32,
    /// Most event streams open at once.
    pub streams_max: usize,
    /// Most snapshots under way at once.
    pub snapshots_max: usize,
    /// How long a request may take to arrive.
    pub request_time_max: Duration,
    /// Stands in every cursor of the change feed. A hub that draws a new number whenever it was restored from a backup
    /// makes the cursors it gave out before be refused instead of misread.
    pub lineage: u64,
    /// How long a store gets to have an order ready, and how long it keeps it.
    pub order_ready: Duration,
    pub order_hold: Duration,
    /// How far from the store that can't have an order ready another one may be, where the shopper has not said.
    pub reroute_km: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            freshness: Freshness::default(),
            requests_per_second: 0,
            // An event stream costs about as much as an idle connection.
            streams_max: 256,
            snapshots_max: 4,
            // A body of 128 KiB takes this long at 35 kbit/s.
            request_time_max: Duration::from_secs(30),
            lineage: 0,
            order_ready: Duration::from_secs(2 * 3600),
            order_hold: Duration::from_secs(72 * 3600),
            reroute_km: 10.0,
        }
    }
}

/// The clocks of the process.
pub trait Clock: Send + Sync {
    fn wall(&self) -> UnixMillis;

    /// Time since some fixed moment, on a clock that never runs backwards.
    fn running(&self) -> Duration;
}

/// The API, ready to be served.
pub fn router(state: StorefrontState) -> Router {
    let (router, document) = described().split_for_parts();
    let site = Arc::new(Site::new(state, openapi::written(&document).into()));
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&site), gate::gate))
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
        .with_state(site)
}

/// The OpenAPI document, as it is committed.
#[must_use]
pub fn document() -> String {
    openapi::written(&described().into_openapi())
}

fn described() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(availability::get_availability))
        .routes(routes!(availability::query_availability))
        .routes(routes!(stores::list_stores))
        .routes(routes!(stores::get_store))
        .routes(routes!(pickup_settings::get_pickup_settings, pickup_settings::put_pickup_settings))
        .routes(routes!(pickup_settings::pause_pickup))
        .routes(routes!(pickup_settings::resume_pickup))
        .routes(routes!(sources::list_store_sources))
        .routes(routes!(count_tasks::list_count_tasks))
        .routes(routes!(count_tasks::ask_for_count, count_tasks::withdraw_count))
        .routes(routes!(changes::list_changes))
        .routes(routes!(snapshot::get_snapshot))
        .routes(routes!(orders::place_order, orders::list_orders))
        .routes(routes!(orders::get_order))
        .routes(routes!(orders::cancel_order))
        .routes(routes!(deliveries::list_order_events))
        .routes(routes!(deliveries::list_dead_letters))
        .routes(routes!(deliveries::get_dead_letter))
        .routes(routes!(deliveries::retry_dead_letter))
        .routes(routes!(deliveries::list_webhooks))
        .routes(routes!(deliveries::replay_webhook))
        .routes(routes!(orders::reroute_order))
        .routes(routes!(orders::list_alternatives))
        .routes(routes!(orders::get_routing))
        .routes(routes!(orders::simulate_routing))
        .routes(routes!(orders::erase_customer, orders::get_erasure))
        .routes(routes!(orders::make_reservation))
        .routes(routes!(orders::get_reservation, orders::end_reservation))
        .routes(routes!(orders::extend_reservation))
        .routes(routes!(openapi::get_openapi))
        .routes(routes!(openapi::get_health))
        .routes(routes!(openapi::get_metrics))
}

async fn no_such_path(uri: Uri) -> Problem {
    let detail = format!("there is nothing at `{}`; /openapi.json lists what there is", shown(uri.path()));
    Problem::new(Kind::NoSuchPath, detail)
}

async fn method_not_allowed(uri: Uri) -> Problem {
    let detail = format!("`{}` takes other methods; /openapi.json lists them", shown(uri.path()));
    Problem::new(Kind::MethodNotAllowed, detail)
}
