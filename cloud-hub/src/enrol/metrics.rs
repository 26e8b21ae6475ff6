//! What enrolment counts.

use crate::standing::{Shut, Standings};
use crate::telemetry::{CountedByReason, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Copies count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    answers: CountedByReason,
    connections_failed: CountedByReason,
    connections: Counter,
    waiting: Gauge,
    revoked: Gauge,
    quarantined: Gauge,
}

impl Metrics {
    /// Makes them visible.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let help = "Requests for certificates that were answered, by what came of them";
        registry.register("enrolment_answers", help, metrics.answers.clone());
        let help = "Connections for enrolment that came about";
        registry.register("enrolment_connections", help, metrics.connections.clone());
        let help = "Connections for enrolment that came to nothing";
        registry.register("enrolment_connections_failed", help, metrics.connections_failed.clone());
        let help = "Machines that wait for head office to let them in";
        registry.register("registrations_waiting", help, metrics.waiting.clone());
        let help = "Stores whose identity head office has revoked";
        registry.register("stores_revoked", help, metrics.revoked.clone());
        let help = "Stores whose identity two machines have used; head office must choose";
        registry.register("stores_quarantined", help, metrics.quarantined.clone());
        metrics
    }

    pub(super) fn answered(&self, outcome: &'static str) {
        self.answers.get_or_create(&Reason { reason: outcome }).inc();
    }

    pub(super) fn connected(&self) {
        self.connections.inc();
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.connections_failed.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn stand(&self, standings: &Standings, waiting: u64) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.revoked.set(number(standings.shut(Shut::Revoked)));
        self.quarantined.set(number(standings.shut(Shut::Quarantined)));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}
