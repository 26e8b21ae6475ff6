//! The stores that head office expects, and when each was last heard: read beside a running hub.

use super::events::read_connection;
use crate::storage::StorageError;
use rusqlite::Connection;
use std::path::Path;
use sync_protocol::{StoreId, UnixMillis};

/// A connection that can only read the list of stores, and waits for nobody who writes.
#[derive(Debug)]
pub struct Expected {
    db: Connection,
}

/// A store that somebody has added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedStore {
    pub id: StoreId,
    pub name: String,
    /// `None`: never.
    pub last_contact: Option<UnixMillis>,
}

impl Expected {
    /// Opens the hub's database, which must be there.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> Result<Expected, StorageError> {
        Ok(Expected { db: read_connection(path)? })
    }

    /// # Errors
    /// The database can't be read.
    pub fn has(&self, store: &StoreId) -> Result<bool, StorageError> {
        let sql = "SELECT count(*) FROM store WHERE id = ?1";
        let mut statement = self.db.prepare_cached(sql).map_err(failed)?;
        let found: u32 = statement.query_row([store.as_str()], |row| row.get(0)).map_err(failed)?;
        Ok(found > 0)
    }

    /// All of them, by their ids.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn all(&self) -> Result<Vec<ExpectedStore>, StorageError> {
        let sql = "SELECT id, name, last_contact FROM store ORDER BY id";
        let mut statement = self.db.prepare_cached(sql).map_err(failed)?;
        let read = |row: &rusqlite::Row<'_>| {
            let id: String = row.get(0)?;
            let last_contact: i64 = row.get(2)?;
            Ok((id, row.get(1)?, (last_contact != 0).then_some(UnixMillis(last_contact))))
        };
        let rows = statement.query_map([], read).map_err(failed)?;
        let mut stores = Vec::new();
        for row in rows {
            let (id, name, last_contact) = row.map_err(failed)?;
            let id = id.parse().map_err(|error| StorageError { act: ACT, source: Box::new(error) })?;
            stores.push(ExpectedStore { id, name, last_contact });
        }
        Ok(stores)
    }
}

const ACT: &str = "reading the list of stores";

fn failed(source: rusqlite::Error) -> StorageError {
    StorageError { act: ACT, source: Box::new(source) }
}
