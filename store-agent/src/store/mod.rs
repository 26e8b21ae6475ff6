//! The agent's one database: opening it safely, bringing its schema up to date, and the statements the core runs in it.
//!
//! It promises that a commit that has returned is on disk (`synchronous=FULL`), that there is one writer, and that a file
//! left behind by a crash is checked before it is trusted.

pub mod backlog;
pub mod ledger;
pub mod notes;
pub mod orders;
pub mod reader;
pub mod schema;

use rusqlite::{Connection, OpenFlags};
use schema::Schema;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Schema versions in order; the database's `user_version` counts how many have run.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_start.sql"),
    include_str!("schema/0002_orders.sql"),
    include_str!("schema/0003_notes.sql"),
    include_str!("schema/0004_page.sql"),
    include_str!("schema/0005_oldest.sql"),
];

/// Why the database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open the agent's database {path}", path = path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error(
        "the agent's database {path} is damaged ({finding}); move it aside and start again: the agent takes over from the hub's copy",
        path = path.display()
    )]
    Damaged { path: PathBuf, finding: String },
    #[error(
        "the agent's database has schema version {found}, but this agent knows only {known}; install the newer agent again"
    )]
    Newer { found: usize, known: usize },
    #[error(
        "the agent's database belongs to store `{found}`, but the settings say `{expected}`; use another data_dir"
    )]
    OtherStore { found: String, expected: String },
    #[error("the agent's database did not answer")]
    Sqlite(#[from] rusqlite::Error),
}

/// Opens the database at `path` for its one writer, creating it if need be.
///
/// # Errors
/// The file can't be opened, is damaged, or was written by a newer agent.
pub fn open(path: &Path) -> Result<Connection, OpenError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |source| OpenError::Open { path: path.to_owned(), source };
    let damaged = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path: path.to_owned(), finding: source.to_string() }
        }
        _ => OpenError::Open { path: path.to_owned(), source },
    };
    let mut db = Connection::open_with_flags(path, flags).map_err(open)?;
    db.busy_timeout(Duration::from_secs(10)).map_err(open)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(damaged)?;
    db.pragma_update(None, "wal_autocheckpoint", 4_000).map_err(damaged)?;
    db.pragma_update(None, "journal_size_limit", 67_108_864).map_err(damaged)?;
    prepare(&mut db).map_err(|error| match error {
        OpenError::Sqlite(source) => damaged(source),
        other => other,
    })?;
    check_after_unclean_stop(&db, path)?;
    Ok(db)
}

/// A database that lives in memory: for tests and simulations, with the same schema and statements.
///
/// # Errors
/// SQLite could not make one.
pub fn open_in_memory() -> Result<Connection, OpenError> {
    let mut db = Connection::open_in_memory()?;
    prepare(&mut db)?;
    Ok(db)
}

/// The schema that this agent brings a database to.
///
/// # Errors
/// SQLite could not make one.
pub fn own_schema() -> Result<Schema, OpenError> {
    Ok(Schema::of(&open_in_memory()?)?)
}

/// Whether this agent can work on the database at `path`, which may be in use. Changes nothing.
///
/// # Errors
/// It can't be read, or lets only newer agents in.
pub fn check(path: &Path) -> Result<Option<Schema>, OpenError> {
    let open = |source| OpenError::Open { path: path.to_owned(), source };
    match Schema::of_file(path).map_err(open)? {
        Some(found) if !found.lets_in(MIGRATIONS.len()) => {
            Err(OpenError::Newer { found: found.version, known: MIGRATIONS.len() })
        }
        found => Ok(found),
    }
}

/// Settings and schema that every writing connection needs.
///
/// # Errors
/// The file is no database, or is newer than this agent.
pub fn prepare(db: &mut Connection) -> Result<(), OpenError> {
    db.pragma_update(None, "synchronous", "FULL")?;
    // The core keeps references whole itself; checking each one again would cost a lookup per ledger line.
    db.pragma_update(None, "foreign_keys", false)?;
    db.pragma_update(None, "cache_size", -4_000)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.set_prepared_statement_cache_capacity(64);
    migrate(db)
}

fn migrate(db: &mut Connection) -> Result<(), OpenError> {
    let found = Schema::of(db)?;
    if !found.lets_in(MIGRATIONS.len()) {
        return Err(OpenError::Newer { found: found.version, known: MIGRATIONS.len() });
    }
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(found.version) {
        let step = db.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", at + 1)?;
        step.commit()?;
    }
    Ok(())
}

/// A process that was killed leaves a sound database; a disk that failed may not. Checking costs a read of the file, so it is
/// done only when the last stop was not clean.
fn check_after_unclean_stop(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let clean: Option<bool> = db.query_row("SELECT max(stopped_cleanly) FROM agent", [], |row| row.get(0))?;
    if clean.unwrap_or(true) {
        return Ok(());
    }
    tracing::info!(path = %path.display(), "the last stop was not clean; checking the integrity of the database");
    let finding: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if finding == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), finding }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_runs_once_and_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        drop(open(&path).unwrap());
        let db = open(&path).unwrap();
        db.execute_batch("UPDATE schema_oldest SET version = 99; PRAGMA user_version = 99").unwrap();
        drop(db);
        assert!(matches!(open(&path), Err(OpenError::Newer { found: 99, known: 5 })));
        assert!(matches!(check(&path), Err(OpenError::Newer { .. })));
    }

    #[test]
    fn a_newer_one_that_only_added_is_worked_on_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let db = open(&path).unwrap();
        db.execute_batch("CREATE TABLE later (x INTEGER) STRICT; PRAGMA user_version = 6").unwrap();
        drop(db);
        let db = open(&path).unwrap();
        assert_eq!(check(&path).unwrap(), Some(Schema { version: 6, oldest: 5 }));
        db.execute("UPDATE schema_oldest SET version = 6", []).unwrap();
        drop(db);
        assert!(matches!(open(&path), Err(OpenError::Newer { found: 6, known: 5 })));
    }

    #[test]
    fn what_this_agent_makes_lets_itself_in() {
        let own = own_schema().unwrap();
        assert!(own.version == MIGRATIONS.len() && own.oldest <= own.version, "{own:?}");
    }

    #[test]
    fn what_is_no_database_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        std::fs::write(&path, vec![7u8; 8192]).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains("move it aside"), "{error}");
    }

    #[test]
    fn commits_are_durable_by_setting() {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder.path().join("agent.db")).unwrap();
        let level: i64 = db.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
        assert_eq!(level, 2, "FULL");
        let mode: String = db.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
}
