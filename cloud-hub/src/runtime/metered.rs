//! Storage as the daemon uses it: the same storage, with each commit timed and counted, and its failures made visible.

use crate::availability::StoreInfo;
use crate::health::Health;
use crate::orders::pickup_settings::Revised;
use crate::runtime::clock::Clock;
use crate::storage::{
    Changes, HubFacts, Reservation, ShopOrder, Storage, StorageError, StoreKey, StoredStore,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use sync_protocol::order::OrderId;
use sync_protocol::record::{HistoryDocument, ItemRecord};
use sync_protocol::{Epoch, ItemNo, Sku, UnixMillis};

/// Seconds; a commit takes 0.1 ms on a good disk and 20 ms on a poor one.
const COMMIT_BUCKETS: [f64; 12] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

/// A storage under observation.
pub struct Metered<S> {
    storage: S,
    clock: Clock,
    health: Arc<Health>,
    commits: Counter,
    commit_seconds: Histogram,
}

impl<S: Storage> Metered<S> {
    /// Watches `storage`; commits that fail show in `health` until one succeeds.
    pub fn new(storage: S, clock: Clock, health: Arc<Health>, registry: &mut Registry) -> Metered<S> {
        let commits = Counter::default();
        let commit_seconds = Histogram::new(COMMIT_BUCKETS);
        registry.register("commits", "Groups of changes made durable", commits.clone());
        let help = "Time the storage took to make a group durable";
        registry.register_with_unit("commit", help, Unit::Seconds, commit_seconds.clone());
        Metered { storage, clock, health, commits, commit_seconds }
    }
}

impl<S: Storage> Storage for Metered<S> {
    fn commit(&mut self, changes: &Changes) -> Result<(), StorageError> {
        let started = self.clock.running();
        let committed = self.storage.commit(changes);
        match &committed {
            Ok(()) => {
                self.commits.inc();
                self.commit_seconds.observe((self.clock.running() - started).as_secs_f64());
                self.health.mended("storage");
            }
            Err(error) => self.health.fault("storage", format!("{error}: {}", error.source)),
        }
        committed
    }

    fn hub(&mut self, fresh_life: u64) -> Result<HubFacts, StorageError> {
        self.storage.hub(fresh_life)
    }

    fn stores(&mut self) -> Result<Vec<(StoreKey, StoreInfo)>, StorageError> {
        self.storage.stores()
    }

    fn put_store(&mut self, store: &StoreInfo) -> Result<StoreKey, StorageError> {
        self.storage.put_store(store)
    }

    fn load(&mut self, store: StoreKey) -> Result<StoredStore, StorageError> {
        self.storage.load(store)
    }

    fn items(&mut self, store: StoreKey) -> Result<Vec<ItemRecord>, StorageError> {
        self.storage.items(store)
    }

    fn item(&mut self, store: StoreKey, item: ItemNo) -> Result<Option<ItemRecord>, StorageError> {
        self.storage.item(store, item)
    }

    fn item_of_sku(&mut self, store: StoreKey, sku: &Sku) -> Result<Option<ItemNo>, StorageError> {
        self.storage.item_of_sku(store, sku)
    }

    fn history(
        &mut self,
        store: StoreKey,
        each: &mut dyn FnMut(Epoch, HistoryDocument),
    ) -> Result<(), StorageError> {
        self.storage.history(store, each)
    }

    fn shop_orders(&mut self) -> Result<Vec<ShopOrder>, StorageError> {
        self.storage.shop_orders()
    }

    fn pickup_settings(&mut self) -> Result<Vec<(StoreKey, Revised)>, StorageError> {
        self.storage.pickup_settings()
    }

    fn reservations(&mut self) -> Result<Vec<(OrderId, Reservation)>, StorageError> {
        self.storage.reservations()
    }

    fn quarantined(&mut self) -> Result<(u64, Option<UnixMillis>), StorageError> {
        self.storage.quarantined()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::Sqlite;
    use crate::telemetry::{registry, scrape};

    fn metered(storage: Sqlite) -> (Metered<Sqlite>, Arc<Health>, Registry) {
        let (clock, health, mut registry) = (Clock::start(), Arc::new(Health::default()), registry());
        health.beat(clock.wall());
        let storage = Metered::new(storage, clock, Arc::clone(&health), &mut registry);
        (storage, health, registry)
    }

    fn feed_moved(to: u64) -> Changes {
        Changes { hub: Some(HubFacts { life: 1, feed: to }), ..Changes::default() }
    }

    #[test]
    fn commits_are_counted_and_timed() {
        let (mut storage, health, registry) = metered(Sqlite::open_in_memory().unwrap());
        storage.hub(1).unwrap();
        storage.commit(&feed_moved(2)).unwrap();
        let text = scrape(&registry);
        assert!(text.contains("shopsmart_hub_commits_total 1"), "{text}");
        assert!(text.contains("shopsmart_hub_commit_seconds_count 1"), "{text}");
        assert!(health.report(Clock::start().wall()).is_ok());
    }

    #[test]
    fn a_storage_that_takes_no_commits_shows_until_it_does() {
        let sqlite = Sqlite::open_in_memory().unwrap();
        sqlite.connection().execute_batch("ALTER TABLE hub RENAME TO hidden").unwrap();
        let (mut storage, health, _) = metered(sqlite);
        assert!(storage.commit(&feed_moved(2)).is_err());
        let faults = health.report(Clock::start().wall()).unwrap_err().to_string();
        assert!(faults.starts_with("storage: "), "{faults}");
        storage.storage.connection().execute_batch("ALTER TABLE hidden RENAME TO hub").unwrap();
        storage.commit(&feed_moved(2)).unwrap();
        assert!(health.report(Clock::start().wall()).is_ok());
    }
}
