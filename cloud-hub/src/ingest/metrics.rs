//! What the ingest counts.

use super::{Farewell, Links};
use crate::telemetry::{CountedByReason, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;

/// Counters of all transports. Copies count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    frames: Counter,
    frame_bytes: Counter,
    handshakes_failed: CountedByReason,
    links_up: Counter,
    links_ended: CountedByReason,
    broker_connected: Gauge,
    broker_connects: Counter,
    broker_ignored: CountedByReason,
}

impl Metrics {
    /// Makes them visible, together with the wire bytes of `links`.
    pub fn register(registry: &mut Registry, links: &Arc<Links>) -> Metrics {
        let metrics = Metrics::default();
        registry.register("frames_received", "Frames received from stores", metrics.frames.clone());
        registry.register_with_unit(
            "frame_received",
            "Bytes of frames received from stores, before TLS and the transport",
            Unit::Bytes,
            metrics.frame_bytes.clone(),
        );
        registry.register(
            "handshakes_failed",
            "Connections that never became a link",
            metrics.handshakes_failed.clone(),
        );
        registry.register("links_up", "Links that came up", metrics.links_up.clone());
        registry.register("links_ended", "Links that ended", metrics.links_ended.clone());
        let help = "Whether the hub is connected to the broker";
        registry.register("broker_connected", help, metrics.broker_connected.clone());
        let help = "Connections to the broker that came about";
        registry.register("broker_connects", help, metrics.broker_connects.clone());
        let help = "Messages from the broker that no store may have sent so";
        registry.register("broker_messages_ignored", help, metrics.broker_ignored.clone());
        registry.register_collector(Box::new(Arc::clone(links)));
        metrics
    }

    pub(super) fn frame(&self, bytes: usize) {
        self.frames.inc();
        self.frame_bytes.inc_by(bytes as u64);
    }

    pub(super) fn broker_connected(&self) {
        self.broker_connected.set(1);
        self.broker_connects.inc();
    }

    pub(super) fn broker_gone(&self) {
        self.broker_connected.set(0);
    }

    pub(super) fn broker_ignored(&self, reason: &'static str) {
        self.broker_ignored.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn handshake_failed(&self, reason: &'static str) {
        self.handshakes_failed.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn link_up(&self) {
        self.links_up.inc();
    }

    pub(super) fn link_ended(&self, why: &Farewell) {
        self.links_ended.get_or_create(&Reason { reason: why.name() }).inc();
    }
}
