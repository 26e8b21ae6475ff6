//! The statements about pickup settings: rows in, rows out, no decisions.

use crate::orders::pickup_settings::{PickupSettings, Revised};
use crate::storage::{StorageError, StoreKey};
use rusqlite::{Connection, Result, params, types::Type};

pub(super) fn all(db: &Connection) -> Result<Vec<(StoreKey, Revised)>> {
    let mut statement =
        db.prepare_cached("SELECT store, revision, content FROM pickup_settings ORDER BY store")?;
    let rows = statement.query_map([], |row| {
        let content: String = row.get(2)?;
        let settings = PickupSettings::read_stored(content.as_bytes())
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, Box::new(error)))?;
        Ok((StoreKey(row.get(0)?), Revised { revision: row.get(1)?, settings }))
    })?;
    rows.collect()
}

/// Each must be the revision after the one that is there.
pub(super) fn save(db: &Connection, all: &[(StoreKey, Revised)]) -> Result<(), StorageError> {
    let act = super::failed("saving pickup settings");
    let sql = "INSERT INTO pickup_settings (store, revision, content) VALUES (?1, ?2, ?3)
               ON CONFLICT (store) DO UPDATE SET revision = ?2, content = ?3 WHERE revision = ?2 - 1";
    for (store, Revised { revision, settings }) in all {
        let values = params![store.0, revision, settings.written()];
        let saved = db.prepare_cached(sql).and_then(|mut save| save.execute(values)).map_err(&act)?;
        if saved == 0 {
            let source = "somebody else has changed the settings at the same moment".into();
            return Err(StorageError { act: "saving pickup settings", source });
        }
    }
    Ok(())
}
