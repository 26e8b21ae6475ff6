//! Storage in one SQLite file: the default, for a hub on one machine.

pub mod decisions;
pub mod events;
pub mod expected;
mod notes;
mod orders;
mod pickup_settings;
mod rows;

use super::{
    Changes, HubFacts, QUARANTINE_MAX, Reservation, ShopOrder, Storage, StorageError, StoreChanges, StoreKey,
    StoredStore,
};
use crate::availability::StoreInfo;
use crate::orders::pickup_settings::Revised;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::path::Path;
use std::time::Duration;
use sync_protocol::order::OrderId;
use sync_protocol::record::{HistoryDocument, ItemRecord};
use sync_protocol::{Epoch, ItemNo, Sku, UnixMillis};

const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_start.sql"),
    include_str!("schema/0002_orders.sql"),
    include_str!("schema/0003_reservations.sql"),
    include_str!("schema/0004_events.sql"),
    include_str!("schema/0005_pickup_settings.sql"),
    include_str!("schema/0006_decisions.sql"),
    include_str!("schema/0007_notes.sql"),
];

/// The hub's database.
#[derive(Debug)]
pub struct Sqlite {
    db: Connection,
}

fn failed(act: &'static str) -> impl Fn(rusqlite::Error) -> StorageError {
    move |source| StorageError { act, source: Box::new(source) }
}

fn opening(path: &Path, source: rusqlite::Error) -> StorageError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => damaged(path, &source.to_string()),
        _ => StorageError { act: "opening the hub's database", source: Box::new(source) },
    }
}

fn damaged(path: &Path, finding: &str) -> StorageError {
    let advice = "put a backup in its place and start with `cloud-hub run --restored`";
    let reason = format!("{} is damaged ({finding}); {advice}", path.display());
    StorageError { act: "opening the hub's database", source: reason.into() }
}

impl Drop for Sqlite {
    /// The last connection to close empties the write-ahead log; of two that close at the same moment neither is the last.
    fn drop(&mut self) {
        if let Err(error) = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log of the hub's database stays; the next start reads it");
        }
    }
}

impl Sqlite {
    /// Opens the file at `path`, creating it if need be.
    ///
    /// # Errors
    /// It can't be opened, is no database, or was written by a newer hub.
    pub fn open(path: &Path) -> Result<Sqlite, StorageError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |source| opening(path, source);
        // A clean stop leaves nothing in the write-ahead log. Checking costs a read of the file, so it is done only after another end.
        let unclean = std::fs::metadata(path.with_extension("db-wal")).is_ok_and(|log| log.len() > 0);
        let db = Connection::open_with_flags(path, flags).map_err(open)?;
        db.busy_timeout(Duration::from_secs(10)).map_err(open)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(open)?;
        db.pragma_update(None, "wal_autocheckpoint", 8_000).map_err(open)?;
        db.pragma_update(None, "journal_size_limit", 268_435_456).map_err(open)?;
        db.pragma_update(None, "cache_size", -65_536).map_err(open)?;
        if unclean {
            tracing::info!(path = %path.display(), "the last stop was not clean; checking the integrity of the database");
            let finding: String =
                db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(open)?;
            if finding != "ok" {
                return Err(damaged(path, &finding));
            }
        }
        Self::prepared(db)
    }

    /// A database that lives in memory: for tests and simulations.
    ///
    /// # Errors
    /// SQLite could not make one.
    pub fn open_in_memory() -> Result<Sqlite, StorageError> {
        Self::prepared(Connection::open_in_memory().map_err(failed("opening a database in memory"))?)
    }

    /// Takes over an open connection: sets it up and brings its schema up to date.
    ///
    /// # Errors
    /// It is no database, or was written by a newer hub.
    pub fn prepared(mut db: Connection) -> Result<Sqlite, StorageError> {
        let act = failed("preparing the hub's database");
        db.pragma_update(None, "synchronous", "FULL").map_err(&act)?;
        db.pragma_update(None, "foreign_keys", false).map_err(&act)?;
        db.set_prepared_statement_cache_capacity(64);
        migrate(&mut db)?;
        Ok(Sqlite { db })
    }

    /// The connection, for copies and checks.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.db
    }
}

fn migrate(db: &mut Connection) -> Result<(), StorageError> {
    let act = failed("bringing the hub's database up to date");
    let found: usize = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&act)?;
    if found > MIGRATIONS.len() {
        let reason = format!(
            "it has schema version {found}, this hub knows only {}; run the newer hub",
            MIGRATIONS.len()
        );
        return Err(StorageError { act: "bringing the hub's database up to date", source: reason.into() });
    }
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        let step = db.transaction().map_err(&act)?;
        step.execute_batch(migration).map_err(&act)?;
        step.pragma_update(None, "user_version", at + 1).map_err(&act)?;
        step.commit().map_err(&act)?;
    }
    Ok(())
}

impl Storage for Sqlite {
    fn hub(&mut self, fresh_life: u64) -> Result<HubFacts, StorageError> {
        let act = failed("reading the hub's facts");
        let sql = "INSERT OR IGNORE INTO hub (only_row, life, feed) VALUES (1, ?1, 0)";
        self.db.execute(sql, [fresh_life.cast_signed()]).map_err(&act)?;
        let facts = |row: &rusqlite::Row<'_>| {
            Ok(HubFacts { life: row.get::<_, i64>(0)?.cast_unsigned(), feed: row.get(1)? })
        };
        self.db.query_row("SELECT life, feed FROM hub", [], facts).map_err(&act)
    }

    fn stores(&mut self) -> Result<Vec<(StoreKey, StoreInfo)>, StorageError> {
        rows::stores(&self.db).map_err(failed("reading the list of stores"))
    }

    fn put_store(&mut self, store: &StoreInfo) -> Result<StoreKey, StorageError> {
        let sql = "INSERT INTO store (id, name, lat, lon, timezone) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (id) DO UPDATE SET name = ?2, lat = ?3, lon = ?4, timezone = ?5 RETURNING store";
        let values = params![store.id.as_str(), store.name, store.lat, store.lon, store.timezone];
        self.db.query_row(sql, values, |row| row.get(0)).map(StoreKey).map_err(failed("adding a store"))
    }

    fn load(&mut self, store: StoreKey) -> Result<StoredStore, StorageError> {
        let act = failed("reading a store");
        Ok(StoredStore {
            facts: rows::facts(&self.db, store).map_err(&act)?,
            cells: rows::cells(&self.db, store).map_err(&act)?,
            at_cut: rows::at_cut(&self.db, store).map_err(&act)?,
            cursors: rows::cursors(&self.db, store).map_err(&act)?,
            orders: orders::orders(&self.db, store).map_err(&act)?,
            notes: notes::notes(&self.db, store).map_err(&act)?,
        })
    }

    fn items(&mut self, store: StoreKey) -> Result<Vec<ItemRecord>, StorageError> {
        rows::items(&self.db, store).map_err(failed("reading a store's items"))
    }

    fn item(&mut self, store: StoreKey, item: ItemNo) -> Result<Option<ItemRecord>, StorageError> {
        rows::item(&self.db, store, item).optional().map_err(failed("reading an item"))
    }

    fn item_of_sku(&mut self, store: StoreKey, sku: &Sku) -> Result<Option<ItemNo>, StorageError> {
        rows::item_of_sku(&self.db, store, sku).optional().map_err(failed("finding an item"))
    }

    fn history(
        &mut self,
        store: StoreKey,
        each: &mut dyn FnMut(Epoch, HistoryDocument),
    ) -> Result<(), StorageError> {
        rows::history(&self.db, store, each).map_err(failed("reading a store's history"))
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), StorageError> {
        let act = failed("committing");
        let step = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&act)?;
        if let Some(hub) = changes.hub {
            let values = [hub.life.cast_signed(), hub.feed.cast_signed()];
            step.execute("UPDATE hub SET life = ?1, feed = ?2", values).map_err(&act)?;
        }
        for (store, changes) in &changes.stores {
            write_store(&step, *store, changes).map_err(&act)?;
        }
        orders::save_shop_orders(&step, &changes.shop_orders).map_err(&act)?;
        events::save_events(&step, &changes.events).map_err(&act)?;
        decisions::save_decisions(&step, &changes.decisions).map_err(&act)?;
        pickup_settings::save(&step, &changes.pickup_settings)?;
        orders::save_reservations(&step, &changes.reservations).map_err(&act)?;
        step.commit().map_err(&act)
    }

    fn shop_orders(&mut self) -> Result<Vec<ShopOrder>, StorageError> {
        orders::shop_orders(&self.db).map_err(failed("reading the orders"))
    }

    fn pickup_settings(&mut self) -> Result<Vec<(StoreKey, Revised)>, StorageError> {
        pickup_settings::all(&self.db).map_err(failed("reading pickup settings"))
    }

    fn reservations(&mut self) -> Result<Vec<(OrderId, Reservation)>, StorageError> {
        orders::reservations(&self.db).map_err(failed("reading the reservations"))
    }

    fn quarantined(&mut self) -> Result<(u64, Option<UnixMillis>), StorageError> {
        let sql = "SELECT count(*), min(at) FROM quarantine";
        let counted =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(UnixMillis)));
        self.db.query_row(sql, [], counted).map_err(failed("counting quarantined records"))
    }
}

fn write_store(db: &Connection, store: StoreKey, changes: &StoreChanges) -> rusqlite::Result<()> {
    if let Some(facts) = &changes.facts {
        rows::save_facts(db, store, facts)?;
    }
    rows::save_items(db, store, &changes.items)?;
    orders::save_orders(db, store, &changes.orders)?;
    notes::save(db, store, &changes.notes)?;
    rows::save_cells(db, store, &changes.cells)?;
    if changes.forget_cursors {
        db.prepare_cached("DELETE FROM cursor WHERE store = ?1")?.execute([store.0])?;
    }
    rows::save_cursors(db, store, &changes.cursors)?;
    if changes.forget_at_cut {
        db.prepare_cached("DELETE FROM at_cut WHERE store = ?1")?.execute([store.0])?;
        let sql = "UPDATE cursor SET moved = 0, at_cut = NULL WHERE store = ?1 AND moved = 1";
        db.prepare_cached(sql)?.execute([store.0])?;
    }
    rows::save_at_cut(db, store, &changes.at_cut)?;
    for chunk in &changes.history {
        rows::save_history(db, store, chunk)?;
    }
    if !changes.quarantine.is_empty() {
        rows::save_quarantine(db, store, &changes.quarantine, QUARANTINE_MAX)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance;
    use std::cell::RefCell;

    #[test]
    fn in_memory_it_keeps_what_a_storage_promises() {
        conformance::check(|| Box::new(Sqlite::open_in_memory().unwrap()), |storage| storage);
    }

    #[test]
    fn in_a_file_it_keeps_what_a_storage_promises() {
        let folder = RefCell::new(tempfile::tempdir().unwrap());
        let open = || -> Box<dyn Storage> {
            Box::new(Sqlite::open(&folder.borrow().path().join("hub.db")).unwrap())
        };
        let fresh = || {
            folder.replace(tempfile::tempdir().unwrap());
            open()
        };
        conformance::check(fresh, |storage| {
            drop(storage);
            open()
        });
    }

    #[test]
    fn commits_are_durable_by_setting() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Sqlite::open(&folder.path().join("hub.db")).unwrap();
        let level: i64 = storage.db.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        let mode: String = storage.db.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!((level, mode.as_str()), (2, "wal"), "FULL, and a log that readers do not wait for");
    }

    #[test]
    fn a_newer_hubs_database_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        Sqlite::open(&path).unwrap().db.pragma_update(None, "user_version", 99).unwrap();
        let error = Sqlite::open(&path).unwrap_err();
        assert!(error.source.to_string().contains("run the newer hub"), "{}", error.source);
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        std::fs::write(&path, vec![7; 8192]).unwrap();
        assert!(Sqlite::open(&path).is_err());
    }
}
