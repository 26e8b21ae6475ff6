//! The POS's file itself: opened to be read only, looked at in short transactions, never held.
//!
//! **Invariants:** nothing here writes, checkpoints or keeps a transaction open between two reads; a row is bounded as it is read,
//! whatever it holds.

use crate::config::pos::Mapping;
use crate::pos::mapping::{Cell, Row, TEXT_BYTES_MAX};
use crate::pos::sidecar::Tables;
use crate::pos::source::SourceError;
use crate::pos::sql::columns::Columns;
use crate::pos::sql::database::{Look, Met, PosDatabase, Selects, failed};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Params, config::DbConfig, params, params_from_iter};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a read waits for a writer that has the file to itself.
const BUSY: Duration = Duration::from_millis(1_000);

/// The POS's file, and the connection to it where there is one.
#[derive(Debug)]
pub struct SqliteDatabase {
    path: PathBuf,
    selects: Selects,
    open: Option<Open>,
}

/// An open database and which file it is.
#[derive(Debug)]
struct Open {
    db: Connection,
    identity: (u64, u64),
}

impl SqliteDatabase {
    #[must_use]
    pub fn new(path: PathBuf, mapping: &Mapping) -> SqliteDatabase {
        SqliteDatabase { path, selects: Selects::of(mapping), open: None }
    }

    fn db(&mut self) -> Result<&Connection, SourceError> {
        if self.open.is_none() {
            self.open = Some(Open::at(&self.path)?);
        }
        let closed =
            || SourceError::Open { path: self.path.clone(), source: std::io::ErrorKind::NotFound.into() };
        self.open.as_ref().map(|open| &open.db).ok_or_else(closed)
    }

    fn number(&mut self, pragma: &'static str, what: &'static str) -> Result<i64, SourceError> {
        self.db()?.query_row(pragma, [], |row| row.get(0)).map_err(failed(what))
    }
}

impl Open {
    fn at(path: &Path) -> Result<Open, SourceError> {
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
        Ok(Open { db, identity })
    }
}

impl PosDatabase for SqliteDatabase {
    fn connect(&mut self) -> Result<Met, SourceError> {
        // Another file lies there now, or none.
        let is_replaced = |open: &Open| identity(&self.path).map_or(true, |now| now != open.identity);
        if self.open.as_ref().is_some_and(is_replaced) {
            tracing::info!(path = %self.path.display(), "another file has taken the place of the POS database; opening it");
            self.open = None;
        }
        if self.open.is_some() {
            return Ok(Met::Again);
        }
        self.open = Some(Open::at(&self.path)?);
        Ok(Met::Anew)
    }

    fn bell(&mut self) -> Result<Option<i64>, SourceError> {
        self.number("PRAGMA data_version", "asking for changes").map(Some)
    }

    fn schema_mark(&mut self) -> Result<i64, SourceError> {
        self.number("PRAGMA schema_version", "asking for its schema")
    }

    /// With the SQL that made them.
    fn tables(&mut self) -> Result<Tables, SourceError> {
        let selects = self.selects.clone();
        let moment = self.db()?.unchecked_transaction().map_err(failed("beginning to read"))?;
        let found = tables(&moment, selects.all()).map_err(failed("looking at its tables"))?;
        moment.rollback().map_err(failed("ending the read"))?;
        Ok(found)
    }

    fn at_once<T>(
        &mut self,
        look: impl FnOnce(&mut dyn Look) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let selects = self.selects.clone();
        let moment = self.db()?.unchecked_transaction().map_err(failed("beginning to read"))?;
        let seen = look(&mut Moment { db: &moment, selects: &selects })?;
        moment.rollback().map_err(failed("ending the read"))?;
        Ok(seen)
    }
}

/// The database within one read transaction.
struct Moment<'a> {
    db: &'a Connection,
    selects: &'a Selects,
}

/// Named with its table: SQLite takes a quoted name that it does not find for a text.
const WHOLE_KEYS: &str = "typeof(pos.\"key\") = 'integer' AND pos.\"key\" > 0";

/// Others can't be gone through in their order.
const TEXT_KEYS: &str = "typeof(pos.\"key\") = 'text'";

impl Moment<'_> {
    /// Rows of the ledger; none where the mapping has none.
    fn ledger(&self, rest: &str, params: impl Params) -> Result<Vec<Row>, SourceError> {
        let Some(sql) = &self.selects.changes else { return Ok(Vec::new()) };
        self.rows(&format!("SELECT * FROM ({sql}) AS pos {rest}"), params, "changes", true)
    }

    /// How many rows have other keys than these.
    fn others(&self, keys: &str, most: usize) -> Result<u64, SourceError> {
        let Some(sql) = &self.selects.changes else { return Ok(0) };
        let text = format!(
            "SELECT count(*) FROM (SELECT pos.\"key\" FROM ({sql}) AS pos WHERE NOT ({keys}) LIMIT ?1)"
        );
        self.db.query_row(&text, [most], |row| row.get(0)).map_err(failed("`changes`"))
    }

    fn rows(
        &self,
        sql: &str,
        params: impl Params,
        select: &'static str,
        is_ledger: bool,
    ) -> Result<Vec<Row>, SourceError> {
        let what = if is_ledger { "`changes`" } else { "`on_hand`" };
        let mut statement = self.db.prepare(sql).map_err(failed(what))?;
        let columns = Columns::of(statement.column_names(), select, is_ledger, self.selects.wants_location)?;
        let rows = statement
            .query_map(params, |row| columns.row(|at| row.get_ref(at).map(bounded)))
            .map_err(failed(what))?;
        rows.collect::<Result<_, _>>().map_err(failed(what))
    }
}

impl Look for Moment<'_> {
    fn figures(&mut self) -> Result<Vec<Row>, SourceError> {
        let Some(sql) = &self.selects.on_hand else { return Ok(Vec::new()) };
        self.rows(&format!("SELECT * FROM ({sql})"), [], "on_hand", false)
    }

    fn newest_keys(&mut self, most: usize) -> Result<Vec<i64>, SourceError> {
        let Some(sql) = &self.selects.changes else { return Ok(Vec::new()) };
        let newest = format!(
            "SELECT pos.\"key\" FROM ({sql}) AS pos WHERE {WHOLE_KEYS} ORDER BY pos.\"key\" DESC LIMIT ?1"
        );
        let mut statement = self.db.prepare(&newest).map_err(failed("`changes`"))?;
        let keys = statement.query_map([most], |row| row.get(0)).map_err(failed("`changes`"))?;
        let mut keys: Vec<i64> = keys.collect::<Result<_, _>>().map_err(failed("`changes`"))?;
        keys.reverse();
        Ok(keys)
    }

    fn rows_between(&mut self, first: i64, last: i64, most: usize) -> Result<Vec<Row>, SourceError> {
        let rest =
            format!("WHERE pos.\"key\" BETWEEN ?1 AND ?2 AND {WHOLE_KEYS} ORDER BY pos.\"key\" LIMIT ?3");
        self.ledger(&rest, params![first, last, most])
    }

    fn newest_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError> {
        let mut rows =
            self.ledger(&format!("WHERE {WHOLE_KEYS} ORDER BY pos.\"key\" DESC LIMIT ?1"), [most])?;
        rows.reverse();
        Ok(rows)
    }

    fn odd_keys(&mut self, most: usize) -> Result<u64, SourceError> {
        self.others(WHOLE_KEYS, most)
    }

    fn odd_texts(&mut self, most: usize) -> Result<u64, SourceError> {
        self.others(TEXT_KEYS, most)
    }

    fn first_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError> {
        let rest = format!("WHERE {TEXT_KEYS} AND pos.\"at\" IS NOT NULL ORDER BY pos.\"at\" LIMIT ?1");
        self.ledger(&rest, [most])
    }

    fn last_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError> {
        self.ledger(&format!("WHERE {TEXT_KEYS} ORDER BY pos.\"at\" DESC LIMIT ?1"), [most])
    }

    fn rows_after(&mut self, after: Option<&str>, most: usize) -> Result<Vec<Row>, SourceError> {
        match after {
            Some(after) => {
                let rest = format!("WHERE {TEXT_KEYS} AND pos.\"key\" > ?1 ORDER BY pos.\"key\" LIMIT ?2");
                self.ledger(&rest, params![after, most])
            }
            None => self.ledger(&format!("WHERE {TEXT_KEYS} ORDER BY pos.\"key\" LIMIT ?1"), [most]),
        }
    }

    fn rows_of(&mut self, keys: &[String]) -> Result<Vec<Row>, SourceError> {
        let places = vec!["?"; keys.len()].join(", ");
        self.ledger(&format!("WHERE {TEXT_KEYS} AND pos.\"key\" IN ({places})"), params_from_iter(keys))
    }
}

fn identity(path: &Path) -> Result<(u64, u64), SourceError> {
    let found = std::fs::metadata(path);
    found
        .map(|file| (file.dev(), file.ino()))
        .map_err(|source| SourceError::Open { path: path.to_owned(), source })
}

/// The bytecode of a SELECT names the root page of each table and index it opens; a view is found by its name in the text.
fn tables<'a>(db: &Connection, selects: impl Iterator<Item = &'a str>) -> rusqlite::Result<Tables> {
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
