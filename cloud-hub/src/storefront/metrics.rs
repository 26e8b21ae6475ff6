//! What the storefront API counts, and how full the index behind it is.

use crate::availability::Index;
use axum::http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which path a request went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Availability,
    Basket,
    Stores,
    Store,
    Changes,
    Snapshot,
    Orders,
    Order,
    Deliveries,
    OpenApi,
    Health,
    Metrics,
    Other,
}

impl Route {
    const ALL: [Route; 13] = [
        Route::Availability,
        Route::Basket,
        Route::Stores,
        Route::Store,
        Route::Changes,
        Route::Snapshot,
        Route::Orders,
        Route::Order,
        Route::Deliveries,
        Route::OpenApi,
        Route::Health,
        Route::Metrics,
        Route::Other,
    ];

    pub(super) fn of(path: &str) -> Route {
        match path {
            "/v1/availability" => Route::Availability,
            "/v1/availability:query" => Route::Basket,
            "/v1/stores" => Route::Stores,
            "/v1/changes" => Route::Changes,
            "/v1/snapshot" => Route::Snapshot,
            "/v1/orders" => Route::Orders,
            "/v1/orders/events" | "/v1/dead-letters" | "/v1/webhooks" => Route::Deliveries,
            "/openapi.json" => Route::OpenApi,
            "/healthz" => Route::Health,
            "/metrics" => Route::Metrics,
            path if path.starts_with("/v1/stores/") => Route::Store,
            path if path.starts_with("/v1/dead-letters/") || path.starts_with("/v1/webhooks/") => {
                Route::Deliveries
            }
            path if path.starts_with("/v1/orders/") => Route::Order,
            _ => Route::Other,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Route::Availability => "availability",
            Route::Basket => "basket",
            Route::Stores => "stores",
            Route::Store => "store",
            Route::Changes => "changes",
            Route::Snapshot => "snapshot",
            Route::Orders => "orders",
            Route::Order => "order",
            Route::Deliveries => "deliveries",
            Route::OpenApi => "openapi",
            Route::Health => "healthz",
            Route::Metrics => "metrics",
            Route::Other => "other",
        }
    }

    /// Whether anyone may ask. Metrics are for whoever scrapes the machine; a proxy keeps them from the public.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Route::OpenApi | Route::Health | Route::Metrics)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: &'static str,
    /// `2xx` and so on.
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: &'static str,
}

const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The storefront's own metrics. Looked up once: a request touches atomics only.
#[derive(Debug, Clone)]
pub struct StorefrontMetrics {
    requests: Vec<[Counter; STATUSES.len()]>,
    durations: Vec<Histogram>,
    limited: Counter,
    pub(super) streams: Gauge,
    pub(super) snapshots: Counter,
}

impl StorefrontMetrics {
    /// Metrics that show up in `registry`, along with those of the index.
    #[must_use]
    pub fn register(registry: &mut Registry, index: Arc<Index>) -> StorefrontMetrics {
        let requests = Family::<Answered, Counter>::default();
        let durations = Family::<OfRoute, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        let limited = Counter::default();
        let streams = Gauge::default();
        let snapshots = Counter::default();
        registry.register("storefront_requests", "Requests answered, by path and status", requests.clone());
        let help = "Time from a request's headers to its answer's";
        registry.register_with_unit("storefront_request_duration", help, Unit::Seconds, durations.clone());
        registry.register(
            "storefront_requests_limited",
            "Requests over their key's rate limit",
            limited.clone(),
        );
        registry.register("storefront_event_streams", "Open event streams", streams.clone());
        registry.register("storefront_snapshots", "Snapshots begun", snapshots.clone());
        registry.register_collector(Box::new(IndexCollector(index)));
        let counters = |route: Route| {
            STATUSES.map(|status| requests.get_or_create_owned(&Answered { route: route.name(), status }))
        };
        let duration = |route: Route| durations.get_or_create_owned(&OfRoute { route: route.name() });
        StorefrontMetrics {
            requests: Route::ALL.into_iter().map(counters).collect(),
            durations: Route::ALL.into_iter().map(duration).collect(),
            limited,
            streams,
            snapshots,
        }
    }

    pub(super) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1).min(STATUSES.len() - 1);
        // Routes stand in `ALL` as they are declared; a test holds that.
        self.requests[route as usize][class].inc();
        self.durations[route as usize].observe(took.as_secs_f64());
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.limited.inc();
        }
    }
}

/// 50 µs to 0.4 s.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 14))
}

/// Reads the index when metrics are asked for.
struct IndexCollector(Arc<Index>);

impl fmt::Debug for IndexCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexCollector")
    }
}

impl Collector for IndexCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.read().counts();
        let gauges = [
            ("index_stores", "Stores in the availability index", counts.stores),
            ("index_items", "Items in the availability index", counts.items),
            ("index_cells", "Stock cells in the availability index", counts.cells),
            ("index_cells_waiting", "Stock cells whose item is not known yet", counts.waiting),
            ("index_feed_cells", "Changed cells kept for the change feed", counts.feed),
        ];
        for (name, help, count) in gauges {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let refused = ConstCounter::new(counts.refused);
        let help = "Updates about stores or item numbers the availability index has no place for";
        let metric = encoder.encode_descriptor("index_updates_refused", help, None, refused.metric_type())?;
        refused.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_stand_in_their_order() {
        for (at, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, at);
        }
    }

    #[test]
    fn a_scrape_shows_requests_and_the_index() {
        let mut registry = Registry::with_prefix("shopsmart_hub");
        let metrics = StorefrontMetrics::register(&mut registry, Arc::new(Index::new()));
        metrics.answered(Route::Availability, StatusCode::OK, Duration::from_micros(70));
        metrics.answered(Route::Stores, StatusCode::TOO_MANY_REQUESTS, Duration::from_micros(7));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "shopsmart_hub_storefront_requests_total{route=\"availability\",status=\"2xx\"} 1",
            "shopsmart_hub_storefront_request_duration_seconds_count{route=\"stores\"} 1",
            "shopsmart_hub_storefront_requests_limited_total 1",
            "shopsmart_hub_storefront_event_streams 0",
            "shopsmart_hub_index_cells 0",
            "shopsmart_hub_index_updates_refused_total 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
