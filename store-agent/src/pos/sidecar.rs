//! `pos-<source>.db`: what a reader keeps beside the agent's database. Lost, it costs one full import.
//!
//! The tables of the POS as somebody accepted them, and the figures as they were last handed to the core. Figures are written
//! before they are handed over, with the number of their go; the cursor that the core commits says which goes it has taken. So a
//! crash between the two can neither lose nor double any.

pub mod memory;
mod texts;

use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// By name: the SQL that made each table and view.
pub type Tables = BTreeMap<String, String>;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS accepted (name TEXT PRIMARY KEY, sql TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS figure (item TEXT PRIMARY KEY, thousandths INTEGER NOT NULL, go INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS last_go (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), go INTEGER NOT NULL) STRICT;";

#[derive(Debug)]
pub struct Sidecar {
    db: Connection,
}

impl Sidecar {
    pub fn open(path: &Path) -> rusqlite::Result<Sidecar> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: figures must be on disk before the core is told that they are.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.execute_batch(SCHEMA)?;
        db.execute_batch(memory::SCHEMA)?;
        Ok(Sidecar { db })
    }

    /// Empty before the first look.
    pub fn accepted(&self) -> rusqlite::Result<Tables> {
        let mut statement = self.db.prepare("SELECT name, sql FROM accepted")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    pub fn accept(&mut self, tables: &Tables) -> rusqlite::Result<()> {
        let step = self.db.transaction()?;
        step.execute("DELETE FROM accepted", [])?;
        for (name, sql) in tables {
            step.execute("INSERT INTO accepted (name, sql) VALUES (?1, ?2)", [name, sql])?;
        }
        step.commit()
    }

    /// The figures that the core has for certain once it has taken `go`. None where this file is older than that.
    pub fn figures(&self, go: i64) -> rusqlite::Result<HashMap<String, i64>> {
        let last: Option<i64> =
            self.db.query_row("SELECT go FROM last_go", [], |row| row.get(0)).optional()?;
        if last.is_none_or(|last| last < go) {
            return Ok(HashMap::new());
        }
        let mut statement = self.db.prepare("SELECT item, thousandths FROM figure WHERE go <= ?1")?;
        statement.query_map([go], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Figures about to be handed to the core as `go`. `starts_over`: whatever is here is of no use any more.
    pub fn hand_over(
        &mut self,
        go: i64,
        figures: &[(String, i64)],
        starts_over: bool,
    ) -> rusqlite::Result<()> {
        let step = self.db.transaction()?;
        if starts_over {
            step.execute("DELETE FROM figure", [])?;
        }
        // What an earlier attempt at this go wrote was never taken.
        step.execute("DELETE FROM figure WHERE go >= ?1", [go])?;
        let sql = "INSERT OR REPLACE INTO figure (item, thousandths, go) VALUES (?1, ?2, ?3)";
        for (item, thousandths) in figures {
            step.prepare_cached(sql)?.execute(params![item, thousandths, go])?;
        }
        step.execute("INSERT OR REPLACE INTO last_go (only_row, go) VALUES (1, ?1)", [go])?;
        step.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_the_core_never_took_are_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let mut sidecar = Sidecar::open(&folder.path().join("pos-x.db")).unwrap();
        sidecar.hand_over(1, &[("a".to_owned(), 1_000), ("b".to_owned(), 2_000)], true).unwrap();
        sidecar.hand_over(2, &[("a".to_owned(), 500)], false).unwrap();
        assert_eq!(sidecar.figures(2).unwrap().len(), 2);
        assert_eq!(sidecar.figures(1).unwrap(), HashMap::from([("b".to_owned(), 2_000)]));
        assert!(sidecar.figures(3).unwrap().is_empty(), "the file was put back from a backup");
    }
}
