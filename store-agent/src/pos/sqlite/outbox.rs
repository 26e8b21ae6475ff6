//! A table that triggers in the POS's own database fill with each change of another, for a POS whose rows have no key, are overwritten in place, or
//! vanish. A row comes as it is with the sign 1; one that is changed or deleted first as it was with the sign -1. So quantities times sign add up. `outbox_at` is
//! when it was noted, in UTC.
//!
//! Triggers run in the POS's own transactions, so what is rolled back is not noted. It is the only thing of ours that is ever put into a POS, by hand.

use crate::pos::sql::columns::quoted;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rows that stay, at least: those that are remembered must not vanish.
const ROWS_MIN: usize = 100_000;
/// How long another writer is waited for.
const BUSY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("cannot read the POS database {path}", path = path.display())]
    Read { path: PathBuf, source: rusqlite::Error },
    #[error("there is no table `{table}` in {path}; a view has no triggers", path = path.display())]
    NoTable { table: String, path: PathBuf },
    #[error("cannot change {path}, and nothing was changed; may this user write there, and does the POS hold it?", path = path.display())]
    Write { path: PathBuf, source: rusqlite::Error },
}

/// What notes the changes of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    table: String,
    columns: Vec<String>,
    rows: usize,
}

impl Outbox {
    /// For a table of this database, which is only looked at.
    pub fn of(path: &Path, table: &str, remember_rows: usize) -> Result<Outbox, OutboxError> {
        let look = || -> rusqlite::Result<Option<Outbox>> {
            let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            db.busy_timeout(BUSY)?;
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND lower(name) = lower(?1)";
            let Some(table) = db.query_row(sql, [table], |row| row.get(0)).optional()? else {
                return Ok(None);
            };
            let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
            let columns = statement.query_map([&table], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(Some(Outbox { table, columns, rows: ROWS_MIN.max(2 * remember_rows) }))
        };
        let found = look().map_err(|source| OutboxError::Read { path: path.to_owned(), source })?;
        found.ok_or_else(|| OutboxError::NoTable { table: table.to_owned(), path: path.to_owned() })
    }

    /// Of the table that is filled.
    #[must_use]
    pub fn name(&self) -> String {
        format!("shopsmart_outbox_{}", self.table)
    }

    /// What it takes to have it. Running it again changes nothing.
    #[must_use]
    pub fn added(&self) -> Vec<String> {
        let (name, table) = (quoted(&self.name()), quoted(&self.table));
        let list = |before: &str| {
            self.columns.iter().map(|column| format!(", {before}{}", quoted(column))).collect::<String>()
        };
        let noted = |sign: i8, row: &str| {
            format!("INSERT INTO {name} (outbox_sign{}) VALUES ({sign}{});", list(""), list(row))
        };
        let bounded = format!(
            "DELETE FROM {name} WHERE outbox_seq <= (SELECT max(outbox_seq) FROM {name}) - {}
               AND outbox_at < datetime('now', '-7 days');",
            self.rows
        );
        let trigger = |what: &str, notes: &str| {
            let trigger = quoted(&format!("{}_{}", self.name(), what.to_ascii_lowercase()));
            format!(
                "DROP TRIGGER IF EXISTS {trigger};\nCREATE TRIGGER {trigger} AFTER {what} ON {table} BEGIN {notes} {bounded} END;"
            )
        };
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {name} (outbox_seq INTEGER PRIMARY KEY AUTOINCREMENT, outbox_sign INTEGER NOT NULL,
  outbox_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP{});",
                list("")
            ),
            trigger("INSERT", &noted(1, "NEW.")),
            trigger("UPDATE", &format!("{} {}", noted(-1, "OLD."), noted(1, "NEW."))),
            trigger("DELETE", &noted(-1, "OLD.")),
        ]
    }

    #[must_use]
    pub fn removed(&self) -> Vec<String> {
        let triggers = ["insert", "update", "delete"]
            .map(|what| format!("DROP TRIGGER IF EXISTS {};", quoted(&format!("{}_{what}", self.name()))));
        let table = format!("DROP TABLE IF EXISTS {};", quoted(&self.name()));
        triggers.into_iter().chain([table]).collect()
    }

    /// What a mapping's `changes` begins with.
    #[must_use]
    pub fn select(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        format!(
            "SELECT outbox_seq AS key, outbox_at AS at, … * outbox_sign AS quantity, … FROM {}   -- of the columns {}",
            quoted(&self.name()),
            columns.join(", ")
        )
    }

    /// Runs all or nothing.
    pub fn run(&self, path: &Path, statements: &[String]) -> Result<(), OutboxError> {
        let run = || -> rusqlite::Result<()> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut db = Connection::open_with_flags(path, flags)?;
            db.busy_timeout(BUSY)?;
            let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            statements.iter().try_for_each(|statement| step.execute_batch(statement))?;
            step.commit()
        };
        run().map_err(|source| OutboxError::Write { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn database(sql: &str) -> (tempfile::TempDir, PathBuf, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pos.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
        (folder, path, db)
    }

    fn noted(db: &Connection) -> Vec<(i64, String, f64)> {
        let sql = "SELECT outbox_sign, item, quantity FROM shopsmart_outbox_stock ORDER BY outbox_seq";
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn each_change_is_noted_in_the_transaction_that_makes_it() {
        let (_folder, path, mut db) = database(
            "CREATE TABLE stock (item TEXT, quantity REAL); CREATE VIEW seen AS SELECT * FROM stock",
        );
        let outbox = Outbox::of(&path, "STOCK", 20_000).unwrap();
        outbox.run(&path, &outbox.added()).unwrap();
        outbox.run(&path, &outbox.added()).unwrap();
        db.execute("INSERT INTO stock VALUES ('milk', 12)", []).unwrap();
        assert_eq!((db.last_insert_rowid(), db.changes()), (1, 1), "the POS sees nothing of it");
        db.execute("UPDATE stock SET quantity = 10", []).unwrap();
        let step = db.transaction().unwrap();
        step.execute("DELETE FROM stock", []).unwrap();
        step.rollback().unwrap();
        db.execute("DELETE FROM stock", []).unwrap();
        let milk = |sign, quantity| (sign, "milk".to_owned(), quantity);
        assert_eq!(noted(&db), [milk(1, 12.0), milk(-1, 12.0), milk(1, 10.0), milk(-1, 10.0)]);
        outbox.run(&path, &outbox.removed()).unwrap();
        db.execute("INSERT INTO stock VALUES ('milk', 12)", []).unwrap();
        let left: i64 = db
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'shopsmart%'", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(left, 0);
        for table in ["seen", "nothing"] {
            assert!(matches!(Outbox::of(&path, table, 1), Err(OutboxError::NoTable { .. })), "{table}");
        }
    }

    #[test]
    fn names_that_are_no_words_are_quoted_and_old_rows_go() {
        let (_folder, path, db) =
            database("CREATE TABLE \"my \"\"table\" (\"the \"\"item\" TEXT, \"select\" INT)");
        let outbox = Outbox { rows: 3, ..Outbox::of(&path, "my \"table", 1).unwrap() };
        outbox.run(&path, &outbox.added()).unwrap();
        for number in 0..9 {
            db.execute("INSERT INTO \"my \"\"table\" VALUES ('milk', ?1)", [number]).unwrap();
        }
        let sql = "SELECT group_concat(outbox_seq) FROM \"shopsmart_outbox_my \"\"table\"";
        let kept = || db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(kept(), "1,2,3,4,5,6,7,8,9", "of today");
        db.execute("UPDATE \"shopsmart_outbox_my \"\"table\" SET outbox_at = '2026-01-01'", []).unwrap();
        db.execute("INSERT INTO \"my \"\"table\" VALUES ('milk', 9)", []).unwrap();
        assert_eq!(kept(), "8,9,10");
    }

    #[test]
    fn a_file_that_is_no_database_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pos.db");
        assert!(Outbox::of(&path, "stock", 1).unwrap_err().to_string().contains("pos.db"));
        std::fs::write(&path, "this is no database at all, and long enough to be looked at").unwrap();
        assert!(matches!(Outbox::of(&path, "stock", 1), Err(OutboxError::Read { .. })));
        assert!(!folder.path().join("pos.db-journal").exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever is done to the table, what is noted adds up to what is there.
        #[test]
        fn what_is_noted_adds_up(acts in prop::collection::vec((0u8..4, 0usize..3, -5i32..6), 1..40)) {
            let (_folder, path, db) = database("PRAGMA synchronous = off; CREATE TABLE stock (item TEXT, quantity REAL)");
            let outbox = Outbox::of(&path, "stock", 1).unwrap();
            outbox.run(&path, &outbox.added()).unwrap();
            for (act, item, quantity) in acts {
                let item = ["milk", "ham", "tea"][item];
                let sql = match act {
                    0 => "DELETE FROM stock WHERE item = ?1 AND quantity > ?2",
                    1 => "UPDATE stock SET quantity = quantity + ?2, item = 'tea' WHERE item = ?1",
                    _ => "INSERT INTO stock VALUES (?1, ?2)",
                };
                db.execute(sql, rusqlite::params![item, quantity]).unwrap();
            }
            for item in ["milk", "ham", "tea"] {
                let sum = |sql: &str| db.query_row(sql, [item], |row| row.get::<_, f64>(0)).unwrap();
                let there = sum("SELECT total(quantity) FROM stock WHERE item = ?1");
                let added = sum("SELECT total(quantity * outbox_sign) FROM shopsmart_outbox_stock WHERE item = ?1");
                prop_assert!((there - added).abs() < 1e-9, "{item}: {there} {added}");
            }
        }
    }
}
