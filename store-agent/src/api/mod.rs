//! The store's side of the local API: items, stock, the ledger, pickup orders, the state of the sync, health and metrics.
//!
//! Reads come from the database as committed, never through the core, so that looking never slows selling. What tills report
//! enters beside this, in `pos::http`.

mod explain;
mod items;
mod movements;
mod orders;
mod query;
mod sources;
mod status;
mod stock;
mod tasks;
mod work;

use crate::counter::Counter;
use crate::http::Clocks;
use crate::http::body::BodyLimits;
use crate::inbox::sources::SourceBoard;
use crate::inbox::{Bulletin, Crossing, Inbox};
use crate::store::reader::Reader;
use crate::telemetry::Metrics;
use axum::Router;
use axum::routing::{get, post, put};
use std::path::PathBuf;
use std::sync::Arc;
use sync_protocol::stock::ReservePolicy;
use sync_protocol::{Boot, StoreId};
use tokio::sync::watch;

/// What the store's side needs.
#[derive(Debug, Clone)]
pub struct StoreDesk {
    pub store: StoreId,
    pub inbox: Inbox,
    pub reader: Arc<Reader>,
    pub limits: BodyLimits,
    pub reserve: ReservePolicy,
    pub has_hub: bool,
    /// With what this store shows the hub who it is.
    pub hub_certificate: Option<PathBuf>,
    pub bulletin: watch::Receiver<Bulletin>,
    pub crossing: watch::Receiver<Crossing>,
    pub metrics: Arc<Metrics>,
    pub clocks: Clocks,
    pub counter: Arc<Counter>,
    /// Drawn at this start: whoever sees another one sees another process.
    pub boot: Boot,
    /// How the readers of POS systems are.
    pub sources: SourceBoard,
}

pub fn routes(desk: StoreDesk) -> Router {
    Router::new()
        .route("/v1/items", put(items::put))
        .route("/v1/items/{sku}", get(items::show))
        .route("/v1/stock", get(stock::list))
        .route("/v1/movements", get(movements::list))
        .route("/v1/orders", get(orders::list))
        .route("/v1/orders/{order}", get(orders::show))
        .route("/v1/orders/{order}/{act}", post(orders::act))
        .route("/v1/pickups", post(orders::pick_up))
        .route("/v1/count-tasks", get(tasks::list))
        .route("/v1/pickup-settings", get(tasks::settings))
        .route("/v1/sources", get(sources::list))
        .route("/v1/sources/{source}/differences", get(sources::differences))
        .route("/v1/pause", post(tasks::pause))
        .route("/v1/resume", post(tasks::resume))
        .route("/v1/sync", get(status::sync))
        .route("/v1/work", get(work::show))
        .route("/healthz", get(status::health))
        .route("/metrics", get(status::metrics))
        .with_state(desk)
}
