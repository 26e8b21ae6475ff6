//! Which agents a database lets in.
//!
//! An agent brings an older database up to its own schema, and goes on with a newer one as long as that says that it may: an upgrade that
//! was taken back leaves a newer database behind, and what was sold meanwhile is in it.

use rusqlite::{Connection, OpenFlags, Result};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// A schema's number, and the oldest one whose agents can work on a database that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Schema {
    pub version: usize,
    pub oldest: usize,
}

impl Schema {
    /// As the database says it. One that says nothing of the oldest is for nobody older.
    ///
    /// # Errors
    /// SQLite's.
    pub fn of(db: &Connection) -> Result<Schema> {
        let whole = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        let version = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map(whole)?;
        let says = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_oldest'";
        let says: bool = db.query_row(says, [], |row| row.get(0))?;
        let oldest = match says {
            true => {
                db.query_row("SELECT max(version) FROM schema_oldest", [], |row| row.get(0)).map(whole)?
            }
            false => version,
        };
        Ok(Schema { version, oldest })
    }

    /// Of a file that may be in use. `None`: it is not there yet.
    ///
    /// # Errors
    /// SQLite's.
    pub fn of_file(path: &Path) -> Result<Option<Schema>> {
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(Duration::from_secs(10))?;
        Schema::of(&db).map(Some)
    }

    /// Whether an agent that knows schemas up to `known` can work on it.
    #[must_use]
    pub fn lets_in(self, known: usize) -> bool {
        self.version <= known || self.oldest <= known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_lets_in_who_it_says_and_nobody_else() {
        let db = Connection::open_in_memory().unwrap();
        db.pragma_update(None, "user_version", 7).unwrap();
        let silent = Schema::of(&db).unwrap();
        assert_eq!(silent, Schema { version: 7, oldest: 7 });
        assert!(silent.lets_in(7) && !silent.lets_in(6));
        db.execute_batch("CREATE TABLE schema_oldest (version INTEGER NOT NULL) STRICT; INSERT INTO schema_oldest VALUES (5)").unwrap();
        let said = Schema::of(&db).unwrap();
        assert!(said.lets_in(8) && said.lets_in(5) && !said.lets_in(4), "{said:?}");
    }
}
