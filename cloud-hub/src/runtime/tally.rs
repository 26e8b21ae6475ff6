//! What the core counts, as metrics. The core keeps plain numbers; the driver brings these up to date after each round.

use crate::hub::Counters;
use crate::telemetry::{CountedByReason, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use sync_protocol::UnixMillis;

/// The core's counters and sizes as last seen. Copies count together.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    frames: Counter,
    frames_dropped: CountedByReason,
    cells_merged: Counter,
    documents: Counter,
    quarantined: Counter,
    digest_mismatches: Counter,
    commits_failed: Counter,
    restores_noticed: Counter,
    epochs_granted: CountedByReason,
    breaches: CountedByReason,
    stores: Gauge,
    stores_linked: Gauge,
    in_quarantine: Gauge,
    oldest_in_quarantine: Gauge,
}

impl Tally {
    pub(super) fn register(registry: &mut Registry) -> Tally {
        let tally = Tally::default();
        tally.register_counters(registry);
        tally.register_sizes(registry);
        tally
    }

    fn register_counters(&self, registry: &mut Registry) {
        registry.register("frames_taken", "Frames the core has looked at", self.frames.clone());
        let help = "Frames dropped whole: unreadable, of a fenced agent, or about another store";
        registry.register("frames_dropped", help, self.frames_dropped.clone());
        registry.register("cells_merged", "Stock cells merged", self.cells_merged.clone());
        registry.register("documents_received", "Documents of store histories", self.documents.clone());
        let help = "Records that could not be understood and were put in quarantine";
        registry.register("records_quarantined", help, self.quarantined.clone());
        let help = "Digests that differed at equal heads; should never happen";
        registry.register("digest_mismatches", help, self.digest_mismatches.clone());
        let help = "Groups of changes that storage did not take";
        registry.register("commits_failed", help, self.commits_failed.clone());
        let help = "Times the database was found to be older than what stores know";
        registry.register("restores_noticed", help, self.restores_noticed.clone());
        let help = "Agents that start over in a new epoch, by reason";
        registry.register("epochs_granted", help, self.epochs_granted.clone());
        let help = "Items of which a store had less than was promised to orders, by what took them";
        registry.register("breaches", help, self.breaches.clone());
    }

    fn register_sizes(&self, registry: &mut Registry) {
        registry.register("stores", "Stores the hub knows", self.stores.clone());
        registry.register("stores_linked", "Stores with an open link", self.stores_linked.clone());
        registry.register("quarantine_records", "Records in quarantine", self.in_quarantine.clone());
        let help = "When the oldest record in quarantine came, since 1970; 0 without any";
        let oldest = self.oldest_in_quarantine.clone();
        registry.register_with_unit("quarantine_oldest_timestamp", help, Unit::Seconds, oldest);
    }

    /// Brings everything up to what the core has counted.
    pub(super) fn count(&self, counters: &Counters) {
        raise(&self.frames, counters.frames);
        self.dropped("unreadable", counters.frames_unreadable);
        self.dropped("fenced", counters.frames_fenced);
        self.dropped("other_store", counters.frames_of_other_stores);
        raise(&self.cells_merged, counters.cells_merged);
        raise(&self.documents, counters.documents);
        raise(&self.quarantined, counters.records_quarantined);
        raise(&self.digest_mismatches, counters.digest_mismatches);
        raise(&self.commits_failed, counters.failed_commits);
        raise(&self.restores_noticed, counters.restores_noticed);
        for (reason, count) in &counters.granted {
            raise(&self.epochs_granted.get_or_create(&Reason { reason }), *count);
        }
        for (reason, count) in &counters.breaches {
            raise(&self.breaches.get_or_create(&Reason { reason }), *count);
        }
    }

    /// How many stores there are, and how many of them are linked.
    pub(super) fn stores(&self, (known, linked): (usize, usize)) {
        self.stores.set(i64::try_from(known).unwrap_or(i64::MAX));
        self.stores_linked.set(i64::try_from(linked).unwrap_or(i64::MAX));
    }

    /// How many records are in quarantine, and since when the oldest.
    pub(super) fn in_quarantine(&self, records: u64, since: Option<UnixMillis>) {
        self.in_quarantine.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.oldest_in_quarantine.set(since.map_or(0, |since| since.0 / 1000));
    }

    fn dropped(&self, reason: &'static str, count: u64) {
        raise(&self.frames_dropped.get_or_create(&Reason { reason }), count);
    }
}

/// Only the driver counts here, so nothing comes in between.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{registry, scrape};

    #[test]
    fn metrics_follow_the_core() {
        let mut registry = registry();
        let tally = Tally::register(&mut registry);
        let mut counters = Counters { cells_merged: 7, frames_fenced: 1, ..Counters::default() };
        counters.granted.insert("new_disk", 2);
        tally.count(&counters);
        counters.cells_merged = 9;
        tally.count(&counters);
        tally.in_quarantine(3, Some(UnixMillis(5_000)));
        let text = scrape(&registry);
        for line in [
            "shopsmart_hub_cells_merged_total 9",
            "shopsmart_hub_frames_dropped_total{reason=\"fenced\"} 1",
            "shopsmart_hub_epochs_granted_total{reason=\"new_disk\"} 2",
            "shopsmart_hub_quarantine_records 3",
            "shopsmart_hub_quarantine_oldest_timestamp_seconds 5",
        ] {
            assert!(text.contains(line), "no `{line}` in {text}");
        }
    }
}
