//! What enrolment counts.

use super::books::Rollouts;
use super::rollout::{Stage, Standing, StoreFacts};
use crate::standing::{Shut, Standings};
use crate::telemetry::{CountedByReason, Reason};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How stores stand with the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stands {
    standing: &'static str,
}

/// Copies count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    answers: CountedByReason,
    connections_failed: CountedByReason,
    connections: Counter,
    waiting: Gauge,
    revoked: Gauge,
    quarantined: Gauge,
    halted: Gauge,
    rollout: Family<Stands, Gauge>,
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
        let help = "1 while a rollout is halted by failures; head office must look";
        registry.register("rollout_halted", help, metrics.halted.clone());
        let help = "Stores that have asked for a release, by how they stand with the rollout; none once it is stopped";
        registry.register("rollout_stores", help, metrics.rollout.clone());
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

    pub(super) fn roll(&self, all: &Rollouts) {
        let rollout = all.rollout.as_ref().filter(|rollout| rollout.stage != Stage::Stopped);
        self.halted.set(i64::from(rollout.is_some_and(|rollout| rollout.stage == Stage::Halted)));
        for standing in Standing::ALL {
            let of = |facts: &&StoreFacts| rollout.is_some_and(|rollout| rollout.standing(facts) == standing);
            let count = all.stores.values().filter(of).count();
            let label = Stands { standing: standing.name() };
            self.rollout.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn stand(&self, standings: &Standings, waiting: u64) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.revoked.set(number(standings.shut(Shut::Revoked)));
        self.quarantined.set(number(standings.shut(Shut::Quarantined)));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}
