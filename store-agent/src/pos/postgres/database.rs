//! The POS's PostgreSQL behind the seam of SQL databases.
//!
//! **Invariants:** the session can only read; a look is one transaction with one snapshot, and between two looks there is none; what
//! comes over the line is bounded there, not here.

use super::cells::{KeyColumn, Shape};
use super::log::PostgresLog;
use super::{connection, tables};
use crate::config::pos::Mapping;
use crate::config::pos::postgres::Postgres;
use crate::inbox::sources::LogStanding;
use crate::pos::mapping::Row;
use crate::pos::sidecar::Tables;
use crate::pos::source::SourceError;
use crate::pos::sql::database::{Heard, Look, Met, PosDatabase, Selects, failed};
use postgres::types::{Oid, ToSql};
use postgres::{Client, IsolationLevel, Statement, Transaction};
use std::collections::HashMap;
use sync_protocol::Ticks;
use twox_hash::XxHash3_64;

/// Which transactions a look would see: the same text, the same rows.
const BELL: &str = "SELECT pg_current_snapshot()::text, NULL::text";
/// With how far the log can be read: what is committed without waiting for the disk can be seen before.
const BELL_WITH_LOG: &str = "SELECT pg_current_snapshot()::text, pg_current_wal_flush_lsn()::text";

/// The POS's database, and the session with it where there is one.
pub struct PostgresDatabase {
    settings: Postgres,
    selects: Selects,
    client: Option<Client>,
    log: Option<PostgresLog>,
    /// The bell as the server has it prepared, with or without the log.
    bell: Option<(bool, Statement)>,
    /// The tables as they were last looked up.
    oids: Vec<Oid>,
    /// How they were last said to be; `None` after they have been looked up.
    mark: Option<i64>,
    known: Known,
}

/// What the server has told about statements; void when a table changes.
#[derive(Default)]
struct Known {
    statements: HashMap<String, Statement>,
    shapes: HashMap<&'static str, Shape>,
    /// What asks how the tables are made.
    mark: Option<Statement>,
}

impl std::fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresDatabase").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl PostgresDatabase {
    #[must_use]
    pub fn new(settings: Postgres, mapping: &Mapping, log: Option<PostgresLog>) -> PostgresDatabase {
        let selects = Selects::of(mapping);
        PostgresDatabase {
            settings,
            selects,
            client: None,
            log,
            bell: None,
            oids: Vec::new(),
            mark: None,
            known: Known::default(),
        }
    }

    fn client(&mut self) -> Result<&mut Client, SourceError> {
        opened(&mut self.client, &self.settings)
    }
}

fn opened<'a>(client: &'a mut Option<Client>, settings: &Postgres) -> Result<&'a mut Client, SourceError> {
    let open = match client.take() {
        Some(open) => open,
        None => connection::connect(settings)?,
    };
    Ok(client.insert(open))
}

/// A number for a text, the same within a run.
fn number(text: &str) -> i64 {
    i64::from_ne_bytes(XxHash3_64::oneshot(text.as_bytes()).to_ne_bytes())
}

impl PosDatabase for PostgresDatabase {
    fn connect(&mut self) -> Result<Met, SourceError> {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            return Ok(Met::Again);
        }
        (self.client, self.bell, self.mark) = (None, None, None);
        self.known = Known::default();
        self.client()?;
        Ok(Met::Anew)
    }

    fn bell(&mut self) -> Result<Option<i64>, SourceError> {
        let rest = self.log.as_ref().and_then(PostgresLog::rest);
        let client = opened(&mut self.client, &self.settings)?;
        let asking = || failed("asking for changes");
        let statement = match self.bell.take().filter(|(has_log, _)| *has_log == rest.is_some()) {
            Some((_, statement)) => statement,
            None => {
                let sql = if rest.is_some() { BELL_WITH_LOG } else { BELL };
                client.prepare(sql).map_err(asking())?
            }
        };
        let rung = client.query_one(&statement, &[]).map_err(asking())?;
        let snapshot: String = rung.try_get(0).map_err(asking())?;
        let readable: Option<String> = rung.try_get(1).map_err(asking())?;
        self.bell = Some((rest.is_some(), statement));
        Ok(Some(number(&format!("{snapshot} {readable:?} {rest:?}"))))
    }

    fn tend_log(&mut self, now: Ticks) -> Option<LogStanding> {
        self.log.as_mut().map(|log| log.tend(now))
    }

    fn heard(&mut self) -> Heard {
        self.log.as_mut().map(PostgresLog::heard).unwrap_or_default()
    }

    fn check_log(&mut self) -> Option<String> {
        let trouble = self.log.as_ref().and_then(PostgresLog::check)?;
        Some(format!("`[pos.log]`: {trouble}"))
    }

    /// Asked for once: from then on every look holds it against its own moment.
    fn schema_mark(&mut self) -> Result<i64, SourceError> {
        if let Some(mark) = self.mark {
            return Ok(mark);
        }
        let client = opened(&mut self.client, &self.settings)?;
        let mark = tables::mark(client, &mut self.known.mark, &self.oids);
        Ok(*self.mark.insert(number(&mark.map_err(failed("asking for its schema"))?)))
    }

    fn tables(&mut self) -> Result<Tables, SourceError> {
        self.known = Known::default();
        let selects = self.selects.clone();
        let (tables, oids) = tables::tables(self.client()?, selects.all())?;
        (self.oids, self.mark) = (oids, None);
        Ok(tables)
    }

    fn at_once<T>(
        &mut self,
        look: impl FnOnce(&mut dyn Look) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let client = opened(&mut self.client, &self.settings)?;
        let made = self.mark.map(|mark| (mark, self.oids.as_slice()));
        let seen = at_once(client, &self.selects, &mut self.known, made, look);
        if seen.is_err() {
            // A table may be another now.
            (self.known, self.mark) = (Known::default(), None);
        }
        seen
    }
}

fn at_once<T>(
    client: &mut Client,
    selects: &Selects,
    known: &mut Known,
    made: Option<(i64, &[Oid])>,
    look: impl FnOnce(&mut dyn Look) -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let mut moment = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .map_err(failed("beginning to read"))?;
    if let Some((mark, oids)) = made {
        // Of the same moment as the rows: a table that was changed with them is noticed before they are read.
        let now = tables::mark(&mut moment, &mut known.mark, oids);
        let now = now.map_err(failed("asking for its schema"))?;
        if number(&now) != mark {
            return Err(failed("looking at its tables")(Altered));
        }
    }
    let mut moment = Moment { moment, selects, known };
    let seen = look(&mut moment)?;
    moment.moment.rollback().map_err(failed("ending the read"))?;
    Ok(seen)
}

#[derive(Debug, thiserror::Error)]
#[error("a table was being altered; they are looked at again before anything is read")]
struct Altered;

/// The database within one read transaction.
struct Moment<'a> {
    moment: Transaction<'a>,
    selects: &'a Selects,
    known: &'a mut Known,
}

impl Moment<'_> {
    fn shape(&mut self, select: &'static str) -> Result<Option<(Shape, String)>, SourceError> {
        let is_ledger = select == "changes";
        let sql = if is_ledger { &self.selects.changes } else { &self.selects.on_hand };
        let Some(sql) = sql else { return Ok(None) };
        if let Some(shape) = self.known.shapes.get(select) {
            return Ok(Some((shape.clone(), sql.clone())));
        }
        let described =
            self.moment.prepare(&format!("SELECT * FROM ({sql}) AS pos")).map_err(failed(named(select)))?;
        let shape = Shape::of(described.columns(), select, is_ledger, self.selects.wants_location)?;
        self.known.shapes.insert(select, shape.clone());
        Ok(Some((shape, sql.clone())))
    }

    fn ask(
        &mut self,
        select: &'static str,
        sql: String,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<postgres::Row>, SourceError> {
        let statement = match self.known.statements.get(&sql) {
            Some(statement) => statement.clone(),
            None => self.moment.prepare(&sql).map_err(failed(named(select)))?,
        };
        let rows = self.moment.query(&statement, params).map_err(failed(named(select)))?;
        self.known.statements.insert(sql, statement);
        Ok(rows)
    }

    /// Rows of the ledger; none where the mapping has none, or no keys that grow.
    fn ledger(
        &mut self,
        rest: impl FnOnce(&KeyColumn) -> String,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SourceError> {
        let Some((shape, sql)) = self.shape("changes")? else { return Ok(Vec::new()) };
        let Some(key) = &shape.key else { return Ok(Vec::new()) };
        let text = format!("SELECT {} FROM ({sql}) AS pos {}", shape.list, rest(key));
        let rows = self.ask("changes", text, params)?;
        rows.iter().map(|row| shape.row(row)).collect::<Result<_, _>>().map_err(failed("`changes`"))
    }
}

fn named(select: &'static str) -> &'static str {
    if select == "changes" { "`changes`" } else { "`on_hand`" }
}

/// A bound of rows as PostgreSQL takes it.
fn most(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl Look for Moment<'_> {
    fn figures(&mut self) -> Result<Vec<Row>, SourceError> {
        let Some((shape, sql)) = self.shape("on_hand")? else { return Ok(Vec::new()) };
        let rows = self.ask("on_hand", format!("SELECT {} FROM ({sql}) AS pos", shape.list), &[])?;
        rows.iter().map(|row| shape.row(row)).collect::<Result<_, _>>().map_err(failed("`on_hand`"))
    }

    fn newest_keys(&mut self, most_rows: usize) -> Result<Vec<i64>, SourceError> {
        let Some((shape, sql)) = self.shape("changes")? else { return Ok(Vec::new()) };
        let Some(key) = shape.key.as_ref().filter(|key| key.is_number()) else { return Ok(Vec::new()) };
        let (name, whole) = (&key.name, key.is_whole());
        let text = format!(
            "SELECT {name}::int8 FROM ({sql}) AS pos WHERE {whole} ORDER BY {name} DESC LIMIT $1::int8"
        );
        let rows = self.ask("changes", text, &[&most(most_rows)])?;
        rows.iter().rev().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed("`changes`"))
    }

    fn rows_between(&mut self, first: i64, last: i64, most_rows: usize) -> Result<Vec<Row>, SourceError> {
        let rest = |key: &KeyColumn| {
            let (name, whole) = (&key.name, key.is_whole());
            match key.is_number() {
                true => format!(
                    "WHERE {name} BETWEEN {} AND {} AND {whole} ORDER BY {name} LIMIT $3::int8",
                    key.bound(1),
                    key.bound(2)
                ),
                false => "WHERE $1::int8 IS NULL AND $2::int8 IS NULL LIMIT $3::int8".to_owned(),
            }
        };
        self.ledger(rest, &[&first, &last, &most(most_rows)])
    }

    fn newest_rows(&mut self, most_rows: usize) -> Result<Vec<Row>, SourceError> {
        let rest =
            |key: &KeyColumn| format!("WHERE {} ORDER BY {} DESC LIMIT $1::int8", key.is_whole(), key.name);
        let mut rows = self.ledger(rest, &[&most(most_rows)])?;
        rows.reverse();
        Ok(rows)
    }

    fn odd_keys(&mut self, most_rows: usize) -> Result<u64, SourceError> {
        let Some((shape, sql)) = self.shape("changes")? else { return Ok(0) };
        let Some(key) = &shape.key else { return Ok(0) };
        let (name, whole) = (&key.name, key.is_whole());
        let text = format!(
            "SELECT count(*) FROM (SELECT {name} FROM ({sql}) AS pos WHERE ({whole}) IS NOT TRUE LIMIT $1::int8) AS odd"
        );
        let rows = self.ask("changes", text, &[&most(most_rows)])?;
        let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(failed("`changes`"))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn first_rows(&mut self, most_rows: usize) -> Result<Vec<Row>, SourceError> {
        let Some((Shape { at: Some(at), .. }, _)) = self.shape("changes")? else { return Ok(Vec::new()) };
        let rest = |_: &KeyColumn| format!("WHERE {at} IS NOT NULL ORDER BY {at} LIMIT $1::int8");
        self.ledger(rest, &[&most(most_rows)])
    }

    fn last_rows(&mut self, most_rows: usize) -> Result<Vec<Row>, SourceError> {
        let Some((Shape { at: Some(at), .. }, _)) = self.shape("changes")? else { return Ok(Vec::new()) };
        let rest = |_: &KeyColumn| format!("WHERE {at} IS NOT NULL ORDER BY {at} DESC LIMIT $1::int8");
        self.ledger(rest, &[&most(most_rows)])
    }

    fn rows_after(&mut self, after: Option<&str>, most_rows: usize) -> Result<Vec<Row>, SourceError> {
        // Two questions, as neither would get by the index if they were one.
        match after {
            Some(after) => {
                let rest = |key: &KeyColumn| {
                    let (name, bound) = (key.compared(), key.text_bound(1));
                    format!("WHERE {name} > {bound} ORDER BY {name} LIMIT $2::int8")
                };
                self.ledger(rest, &[&after, &most(most_rows)])
            }
            None => {
                let rest = |key: &KeyColumn| {
                    let name = key.compared();
                    format!("WHERE {name} IS NOT NULL ORDER BY {name} LIMIT $1::int8")
                };
                self.ledger(rest, &[&most(most_rows)])
            }
        }
    }

    fn rows_of(&mut self, keys: &[String]) -> Result<Vec<Row>, SourceError> {
        let rest = |key: &KeyColumn| format!("WHERE {} = ANY ({})", key.compared(), key.text_bounds(1));
        self.ledger(rest, &[&keys])
    }
}
