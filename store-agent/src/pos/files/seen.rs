//! `pos-<source>.db` of a source that leaves its files where they are: which have been read. Lost, they are read once more, which
//! counts nothing twice.

use super::folder::Found;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Files that are remembered; those read longest ago go first.
const SEEN_MAX: i64 = 100_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS file_seen (
        name BLOB PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS file_seen_by_age ON file_seen (at);";

#[derive(Debug)]
pub struct Seen {
    db: Connection,
    files: HashMap<Vec<u8>, (u64, i64)>,
}

impl Seen {
    pub fn open(path: &Path) -> rusqlite::Result<Seen> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.execute_batch(SCHEMA)?;
        let files = {
            let mut statement = db.prepare("SELECT name, size, modified FROM file_seen")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
            rows.collect::<Result<_, _>>()?
        };
        Ok(Seen { db, files })
    }

    /// It has been read as it is now.
    pub fn knows(&self, found: &Found) -> bool {
        self.files.get(found.name.as_bytes()) == Some(&(found.size, found.modified))
    }

    pub fn add(&mut self, found: &Found) -> rusqlite::Result<()> {
        let name = found.name.as_bytes();
        let sql = "INSERT OR REPLACE INTO file_seen (name, size, modified, at)
                   VALUES (?1, ?2, ?3, 1 + (SELECT coalesce(max(at), 0) FROM file_seen))";
        let step = self.db.transaction()?;
        step.execute(sql, params![name, found.size, found.modified])?;
        let old = "SELECT name FROM file_seen WHERE at <= (SELECT max(at) FROM file_seen) - ?1";
        let forgotten: Vec<Vec<u8>> =
            step.prepare_cached(old)?.query_map([SEEN_MAX], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for name in &forgotten {
            step.execute("DELETE FROM file_seen WHERE name = ?1", [name])?;
            self.files.remove(name);
        }
        step.commit()?;
        self.files.insert(name.to_vec(), (found.size, found.modified));
        Ok(())
    }
}
