//! What the courier counts. Labels say what an endpoint is for, never its name.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempted {
    purpose: &'static str,
    /// `delivered`, `failed` (to be tried again), `dead` or `gone`.
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    purpose: &'static str,
}

/// The courier's own metrics. Copies count together.
#[derive(Debug, Clone, Default)]
pub struct CourierMetrics {
    attempts: Family<Attempted, Counter>,
    waiting: Family<Of, Gauge>,
    dead: Family<Of, Gauge>,
    open: Family<Of, Gauge>,
    disabled: Gauge,
}

impl CourierMetrics {
    /// Makes them visible.
    pub fn register(registry: &mut Registry) -> CourierMetrics {
        let metrics = CourierMetrics::default();
        registry.register(
            "courier_attempts",
            "Deliveries attempted, by what became of them",
            metrics.attempts.clone(),
        );
        registry.register("courier_waiting", "Deliveries that wait", metrics.waiting.clone());
        registry.register("courier_dead_letters", "Deliveries that were given up", metrics.dead.clone());
        let help = "Endpoints that nothing is sent to for a while, after too many failures";
        registry.register("courier_circuits_open", help, metrics.open.clone());
        let help = "Webhooks that were answered 410 and get nothing more";
        registry.register("courier_webhooks_disabled", help, metrics.disabled.clone());
        metrics
    }

    pub(super) fn attempted(&self, purpose: &'static str, outcome: &'static str) {
        self.attempts.get_or_create(&Attempted { purpose, outcome }).inc();
    }

    pub(super) fn stand(&self, purpose: &'static str, waiting: u64, dead: u64, open: u64) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.waiting.get_or_create(&Of { purpose }).set(whole(waiting));
        self.dead.get_or_create(&Of { purpose }).set(whole(dead));
        self.open.get_or_create(&Of { purpose }).set(whole(open));
    }

    pub(super) fn disabled(&self, webhooks: i64) {
        self.disabled.set(webhooks);
    }
}
