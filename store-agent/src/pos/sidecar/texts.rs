//! What is remembered of rows whose keys are texts: looked up by text, and ordered by when they happened.
//!
//! Keys that are texts say nothing about age, so what is forgotten is told by time: **invariant:** a row that happened up to the horizon
//! and is not remembered was forgotten, or was there before the memory began.

use super::Sidecar;
use super::memory::{ROWS, Remembered, remembered};
use rusqlite::{OptionalExtension, params};
use std::collections::HashMap;
use sync_protocol::UnixMillis;

/// When a row happened, for the order of rows: those without a time first.
const WHEN: &str = "coalesce(at, -9223372036854775808)";

impl Sidecar {
    /// Of these keys, those that are remembered.
    pub fn by_text<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> rusqlite::Result<HashMap<String, Remembered>> {
        let mut statement = self.db.prepare_cached(&format!("{ROWS} WHERE text = ?1"))?;
        let mut found = HashMap::new();
        for key in keys {
            if let Some(row) = statement.query_row([key], remembered).optional()? {
                found.insert(key.to_owned(), row);
            }
        }
        Ok(found)
    }

    /// The rows that are there and come after this place in the order of time: `most` of them.
    pub fn there_after(
        &self,
        (at, key): (i64, i64),
        most: usize,
    ) -> rusqlite::Result<Vec<((i64, i64), Remembered)>> {
        let sql = format!(
            "{ROWS} WHERE is_there = 1 AND text IS NOT NULL AND ({WHEN}, key) > (?1, ?2) ORDER BY {WHEN}, key LIMIT ?3"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![at, key, most], remembered)?;
        rows.map(|row| row.map(|row| ((row.at.map_or(i64::MIN, |at| at.0), row.key), row))).collect()
    }

    /// The rows that are there and happened last.
    pub fn there_last(&self, most: usize) -> rusqlite::Result<Vec<Remembered>> {
        let sql =
            format!("{ROWS} WHERE is_there = 1 AND text IS NOT NULL ORDER BY {WHEN} DESC, key DESC LIMIT ?1");
        self.db.prepare_cached(&sql)?.query_map([most], remembered)?.collect()
    }

    pub fn there_count(&self) -> rusqlite::Result<usize> {
        let sql = "SELECT count(*) FROM remembered WHERE is_there = 1";
        self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    /// Which first reading this memory began with, and a mark of the SELECT that it is of; `None` before that reading.
    pub fn text_memory(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        let sql = "SELECT attempt, changes FROM text_memory";
        self.db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    pub fn note_text_memory(&self, attempt: i64, changes: i64) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO text_memory (only_row, attempt, changes) VALUES (1, ?1, ?2)";
        self.db.execute(sql, [attempt, changes]).map(|_| ())
    }

    /// All that was there is not any more; what was recorded of it stands.
    pub fn archive_all(&self) -> rusqlite::Result<()> {
        self.db.execute("UPDATE remembered SET is_there = 0", []).map(|_| ())
    }

    /// The number that the next key is to have.
    pub fn next_number(&self) -> rusqlite::Result<i64> {
        let sql = "SELECT coalesce(max(number), 0) + 1 FROM text_key";
        self.db.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    pub fn horizon(&self) -> rusqlite::Result<Option<UnixMillis>> {
        self.db.query_row("SELECT at FROM horizon", [], |row| row.get(0).map(UnixMillis)).optional()
    }

    /// It never moves back.
    pub fn move_horizon(&self, to: UnixMillis) -> rusqlite::Result<()> {
        let sql = "INSERT INTO horizon (only_row, at) VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)";
        self.db.execute(sql, [to.0]).map(|_| ())
    }

    /// Forgets the rows that happened first, beyond `rows_max`, and moves the horizon behind them.
    pub fn forget_first(&mut self, rows_max: usize) -> rusqlite::Result<()> {
        let step = self.db.transaction()?;
        let count: usize = step.query_row("SELECT count(*) FROM remembered", [], |row| row.get(0))?;
        let Some(surplus) = count.checked_sub(rows_max).filter(|surplus| *surplus > 0) else { return Ok(()) };
        step.execute_batch("CREATE TEMPORARY TABLE IF NOT EXISTS forgotten (key INTEGER PRIMARY KEY, at INTEGER); DELETE FROM forgotten")?;
        let sql =
            format!("INSERT INTO forgotten SELECT key, at FROM remembered ORDER BY {WHEN}, key LIMIT ?1");
        step.execute(&sql, [surplus])?;
        step.execute_batch(
            "INSERT INTO horizon (only_row, at) SELECT 1, at FROM (SELECT max(at) AS at FROM forgotten) WHERE at IS NOT NULL
               ON CONFLICT DO UPDATE SET at = max(at, excluded.at);
             DELETE FROM remembered WHERE key IN (SELECT key FROM forgotten);
             DELETE FROM text_key WHERE number IN (SELECT key FROM forgotten);",
        )?;
        step.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Held, Step};
    use super::*;

    fn row(key: i64, at: Option<i64>) -> Remembered {
        Remembered {
            key,
            text: Some(format!("k-{key}")),
            hash: key,
            at: at.map(UnixMillis),
            held: Held::Nothing,
            documents: 1,
            is_there: key != 4,
        }
    }

    fn sidecar() -> (tempfile::TempDir, Sidecar) {
        let folder = tempfile::tempdir().unwrap();
        let mut sidecar = Sidecar::open(&folder.path().join("pos-x.db")).unwrap();
        sidecar.begin_memory("ab", &[]).unwrap();
        let rows = vec![row(1, Some(50)), row(2, Some(10)), row(3, None), row(4, Some(20)), row(5, Some(30))];
        sidecar.take_step(&Step { rows, ..Step::default() }, None).unwrap();
        (folder, sidecar)
    }

    #[test]
    fn rows_are_found_by_their_text_and_in_the_order_of_time() {
        let (_folder, sidecar) = sidecar();
        let found = sidecar.by_text(["k-2", "k-9", "K-1"]).unwrap();
        assert_eq!((found.len(), &found["k-2"]), (1, &row(2, Some(10))));
        let keys =
            |rows: Vec<((i64, i64), Remembered)>| rows.iter().map(|(_, row)| row.key).collect::<Vec<_>>();
        let first = sidecar.there_after((i64::MIN, i64::MIN), 2).unwrap();
        let place = first[1].0;
        assert_eq!(keys(first), [3, 2]);
        assert_eq!(keys(sidecar.there_after(place, 9).unwrap()), [5, 1]);
        assert_eq!(sidecar.there_last(2).unwrap().iter().map(|row| row.key).collect::<Vec<_>>(), [1, 5]);
        assert_eq!((sidecar.there_count().unwrap(), sidecar.next_number().unwrap()), (4, 6));
    }

    #[test]
    fn what_happened_first_is_forgotten_and_the_horizon_lies_behind_it() {
        let (_folder, mut sidecar) = sidecar();
        sidecar.forget_first(5).unwrap();
        assert_eq!(sidecar.horizon().unwrap(), None);
        sidecar.forget_first(4).unwrap();
        assert_eq!(sidecar.horizon().unwrap(), None, "the first had no time");
        sidecar.forget_first(2).unwrap();
        assert_eq!(sidecar.horizon().unwrap(), Some(UnixMillis(20)));
        assert!(sidecar.by_text(["k-2"]).unwrap().is_empty() && sidecar.there_count().unwrap() == 2);
        sidecar.move_horizon(UnixMillis(5)).unwrap();
        assert_eq!(sidecar.horizon().unwrap(), Some(UnixMillis(20)));
    }
}
