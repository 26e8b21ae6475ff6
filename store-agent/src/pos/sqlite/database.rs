//! The POS's file itself: opened to be read only, looked at in short transactions, never held.
//!
//! **Invariants:** nothing here writes, checkpoints or keeps a transaction open between two reads; a row is bounded as it is read,
//! whatever it holds.

use crate::pos::mapping::{Cell, Row, TEXT_BYTES_MAX};
use crate::pos::sidecar::Tables;
use crate::pos::source::SourceError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Statement, config::DbConfig};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a read waits for a writer that has the file to itself.
const BUSY: Duration = Duration::from_millis(1_000);

/// An open database and which file it is.
#[derive(Debug)]
pub struct Database {
    db: Connection,
    identity: (u64, u64),
    path: PathBuf,
}

pub fn failed(what: &'static str) -> impl FnOnce(rusqlite::Error) -> SourceError {
    move |source| SourceError::Sqlite { what, source }
}

impl Database {
    pub fn open(path: &Path) -> Result<Database, SourceError> {
        let identity = identity(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(failed("opening it"))?;
        let set_up = || {
            db.busy_timeout(BUSY)?;
            db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            // What the mapping calls must not be something the POS's schema slipped in.
            db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
            db.pragma_update(None, "query_only", true)?;
            db.pragma_update(None, "wal_autocheckpoint", 0)
        };
        set_up().map_err(failed("setting it up"))?;
        Ok(Database { db, identity, path: path.to_owned() })
    }

    /// Another file lies there now, or none.
    pub fn is_replaced(&self) -> bool {
        identity(&self.path).map_or(true, |now| now != self.identity)
    }

    /// Changes whenever somebody else has committed.
    pub fn data_version(&self) -> Result<i64, SourceError> {
        self.db.query_row("PRAGMA data_version", [], |row| row.get(0)).map_err(failed("asking for changes"))
    }

    /// Changes with the tables.
    pub fn schema_version(&self) -> Result<i64, SourceError> {
        self.db
            .query_row("PRAGMA schema_version", [], |row| row.get(0))
            .map_err(failed("asking for its schema"))
    }

    /// What `look` sees is of one moment; nothing is held afterwards.
    pub fn at_once<T>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let moment = self.db.unchecked_transaction().map_err(failed("beginning to read"))?;
        let seen = look(&moment)?;
        moment.rollback().map_err(failed("ending the read"))?;
        Ok(seen)
    }

    /// The tables and views that the SELECTs use, with the SQL that made them.
    pub fn tables(&self, selects: &[&str]) -> Result<Tables, SourceError> {
        self.at_once(|db| tables(db, selects).map_err(failed("looking at its tables")))
    }
}

fn identity(path: &Path) -> Result<(u64, u64), SourceError> {
    let found = std::fs::metadata(path);
    found
        .map(|file| (file.dev(), file.ino()))
        .map_err(|source| SourceError::Open { path: path.to_owned(), source })
}

/// The bytecode of a SELECT names the root page of each table and index it opens; a view is found by its name in the text.
fn tables(db: &Connection, selects: &[&str]) -> rusqlite::Result<Tables> {
    let mut found = Tables::new();
    for select in selects {
        let mut explain = db.prepare(&format!("EXPLAIN SELECT * FROM ({select})"))?;
        let opened = explain.query_map([], |row| Ok((row.get::<_, String>(1)?, row.get::<_, i64>(3)?)))?;
        for opened in opened {
            let (opcode, root) = opened?;
            if opcode != "OpenRead" {
                continue;
            }
            let sql = "SELECT t.name, t.sql FROM sqlite_schema s JOIN sqlite_schema t ON t.name = s.tbl_name AND t.type = 'table'
                       WHERE s.rootpage = ?1";
            let mut schema = db.prepare_cached(sql)?;
            for table in schema.query_map([root], |row| Ok((row.get(0)?, row.get(1)?)))? {
                found.extend([table?]);
            }
        }
        let mut views = db.prepare(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'view' AND instr(lower(?1), lower(name)) > 0",
        )?;
        for view in views.query_map([select], |row| Ok((row.get(0)?, row.get(1)?)))? {
            found.extend([view?]);
        }
    }
    Ok(found)
}

/// Where a SELECT has our columns.
#[derive(Debug, Clone)]
pub struct Columns {
    key: Option<usize>,
    item: usize,
    quantity: usize,
    at: Option<usize>,
    what: Option<usize>,
    location: Option<usize>,
    reason: Option<usize>,
    document: Option<usize>,
}

impl Columns {
    /// `is_ledger`: rows have keys and times.
    pub fn of(
        statement: &Statement<'_>,
        select: &'static str,
        is_ledger: bool,
        wants_location: bool,
    ) -> Result<Columns, SourceError> {
        let names: Vec<String> = statement.column_names().map(|name| name.to_ascii_lowercase()).collect();
        let find = |column: &str| names.iter().position(|name| name == column);
        let needed = |column: &'static str| find(column).ok_or(SourceError::Column { select, column });
        if is_ledger {
            needed("key")?;
            needed("at")?;
        }
        if wants_location {
            needed("location")?;
        }
        Ok(Columns {
            key: find("key"),
            item: needed("item")?,
            quantity: needed("quantity")?,
            at: find("at"),
            what: find("what"),
            location: find("location"),
            reason: find("reason"),
            document: find("document"),
        })
    }

    pub fn row(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        let cell = |at: Option<usize>| at.map_or(Ok(Cell::Null), |at| row.get_ref(at).map(bounded));
        Ok(Row {
            key: self.key.map_or(Ok(0), |at| row.get(at))?,
            item: cell(Some(self.item))?,
            quantity: cell(Some(self.quantity))?,
            at: cell(self.at)?,
            what: cell(self.what)?,
            location: cell(self.location)?,
            reason: cell(self.reason)?,
            document: cell(self.document)?,
        })
    }
}

fn bounded(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(bytes) if bytes.len() > TEXT_BYTES_MAX => Cell::Long(bytes.len()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Bytes(bytes.len()),
        },
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.len()),
    }
}
