//! The statements about notes.

use crate::storage::{StoreKey, StoredNote};
use rusqlite::{Connection, Result, params};
use sync_protocol::Seq;
use sync_protocol::record::{Note, Topic};

pub(super) fn notes(db: &Connection, store: StoreKey) -> Result<Vec<StoredNote>> {
    let sql = "SELECT topic, key, text, from_hub, down_seq FROM note WHERE store = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([store.0], |row| {
        let note = Note { topic: Topic(row.get(0)?), key: row.get(1)?, text: row.get(2)? };
        Ok(StoredNote { note, from_hub: row.get(3)?, down_seq: Seq(row.get(4)?) })
    })?;
    rows.collect()
}

/// One with an empty text that is not the hub's has nobody to be told of it: it goes.
pub(super) fn save(db: &Connection, store: StoreKey, notes: &[StoredNote]) -> Result<()> {
    for StoredNote { note, from_hub, down_seq } in notes {
        if note.text.is_empty() && !from_hub {
            let sql = "DELETE FROM note WHERE store = ?1 AND from_hub = 0 AND topic = ?2 AND key = ?3";
            db.prepare_cached(sql)?.execute(params![store.0, note.topic.0, note.key])?;
            continue;
        }
        let sql = "INSERT OR REPLACE INTO note (store, from_hub, topic, key, text, down_seq)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![store.0, from_hub, note.topic.0, note.key, note.text, down_seq.0];
        db.prepare_cached(sql)?.execute(values)?;
    }
    Ok(())
}
