//! What the hub has not confirmed, read from the database of an agent that is not running. Changes nothing.

use rusqlite::{Connection, OpenFlags, Result};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

const RECORDS: &str = include_str!("queries/backlog.sql");

/// What would be lost with this disk. The confirmations on disk may lag behind by a little, never run ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    pub records: u64,
    pub movements: u64,
}

impl Backlog {
    /// A store that has no database yet lacks nothing.
    ///
    /// # Errors
    /// SQLite's.
    pub fn of(database: &Path) -> Result<Backlog> {
        if !database.exists() {
            return Ok(Backlog::default());
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(database, flags)?;
        db.busy_timeout(Duration::from_secs(10))?;
        db.query_row(RECORDS, [], |row| Ok(Backlog { records: row.get(0)?, movements: row.get(1)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_above_the_confirmed_marks_is_the_backlog() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        assert_eq!(Backlog::of(&path).unwrap(), Backlog::default());
        let db = crate::store::open(&path).unwrap();
        assert_eq!(Backlog::of(&path).unwrap(), Backlog::default());
        db.execute_batch(
            "INSERT INTO agent (only_row, store, change_seq, next_position, state_acked, history_acked) VALUES (1, 'S1', 9, 8, 5, 4);
             INSERT INTO item (item, sku, change_seq) VALUES (1, 'a', 5), (2, 'b', 6);
             INSERT INTO stock (item, change_seq) VALUES (2, 9);
             INSERT INTO note (from_hub, topic, key, text, change_seq) VALUES (1, 1, 0, '', 7), (0, 4, 0, '', 7);",
        )
        .unwrap();
        drop(db);
        assert_eq!(Backlog::of(&path).unwrap(), Backlog { records: 3, movements: 3 });
    }
}
