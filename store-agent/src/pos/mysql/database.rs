//! The connection: set up so that it can only read, looked at in short snapshots, given up at the first error.
//!
//! **Invariants:** the session is read-only and its statements have a time limit; a look is one snapshot that takes no row locks; no
//! transaction is left open; the password is in this process's memory only while a connection is made.

use super::binlog::Binlog;
use super::cells::bounded;
use super::connecting::options;
use crate::config::pos::PosConfig;
use crate::config::pos::mysql::MysqlServer;
use crate::inbox::sources::LogStanding;
use crate::pos::mapping::{Cell, Key, Row};
use crate::pos::sidecar::Tables;
use crate::pos::source::SourceError;
use crate::pos::sql::columns::Columns;
use crate::pos::sql::database::{Heard, Look, Met, PosDatabase, Selects, failed};
use mysql::Conn;
use mysql::consts::ColumnType;
use mysql::prelude::Queryable;
use std::time::Duration;
use sync_protocol::Ticks;
use twox_hash::XxHash3_64;

/// Longer than any statement may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The tables are asked after no more often, since that opens each of them.
const MARK_EVERY_MS: u64 = 5_000;
/// What every session begins with. Times that the server keeps as moments come out in UTC.
const SESSION: [&str; 6] = [
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION'",
    "SET SESSION lock_wait_timeout = 5",
    "SET SESSION innodb_lock_wait_timeout = 1",
];
/// MariaDB knows the one, MySQL the other.
const TIME_LIMITS: [&str; 2] =
    ["SET SESSION max_statement_time = 30", "SET SESSION max_execution_time = 30000"];

/// A server, and the connection to it where there is one.
pub struct MysqlDatabase {
    server: MysqlServer,
    selects: Selects,
    conn: Option<Conn>,
    log: Option<Binlog>,
    mark: i64,
    marked_at: Option<Ticks>,
    now: Ticks,
}

impl MysqlDatabase {
    #[must_use]
    pub fn new(server: MysqlServer, config: &PosConfig) -> MysqlDatabase {
        let selects = Selects::of(&config.mapping);
        let log = config.log.as_ref().map(|log| Binlog::new(server.clone(), log.ledger.clone()));
        MysqlDatabase { server, selects, conn: None, log, mark: 0, marked_at: None, now: Ticks(0) }
    }

    /// Asks something; the connection is given up when that fails, as nobody knows what state it is in.
    fn ask<T>(
        &mut self,
        what: &'static str,
        ask: impl FnOnce(&mut Conn) -> mysql::Result<T>,
    ) -> Result<T, SourceError> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.open()?,
        };
        let answer = ask(&mut conn).map_err(failed(what))?;
        self.conn = Some(conn);
        Ok(answer)
    }

    fn open(&self) -> Result<Conn, SourceError> {
        let opts = options(&self.server)?.read_timeout(Some(ANSWER_WITHIN));
        let connect = || -> mysql::Result<Conn> {
            let mut conn = Conn::new(opts)?;
            for statement in SESSION {
                conn.query_drop(statement)?;
            }
            let limits = TIME_LIMITS.iter().filter(|limit| conn.query_drop(limit).is_ok()).count();
            if limits == 0 {
                tracing::warn!("the server of the POS knows no time limit for statements");
            }
            Ok(conn)
        };
        let to = self.server.address.to_string();
        connect().map_err(|source| SourceError::Connect { to, source: Box::new(source) })
    }
}

/// A name as the server has it.
fn text(row: &mysql::Row, at: usize) -> String {
    match row.as_ref(at) {
        Some(mysql::Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

impl PosDatabase for MysqlDatabase {
    fn connect(&mut self) -> Result<Met, SourceError> {
        if self.conn.is_some() {
            return Ok(Met::Again);
        }
        self.conn = Some(self.open()?);
        self.marked_at = None;
        Ok(Met::Anew)
    }

    fn tend_log(&mut self, now: Ticks) -> Option<LogStanding> {
        self.now = now;
        self.log.as_mut().map(|log| log.tend(now))
    }

    fn heard(&mut self) -> Heard {
        self.log.as_ref().map(Binlog::heard).unwrap_or_default()
    }

    fn check_log(&mut self) -> Option<String> {
        self.log.as_ref().and_then(Binlog::check)
    }

    /// At rest it is the log that would ring, and nothing is asked of the server.
    fn bell(&mut self) -> Result<Option<i64>, SourceError> {
        Ok(self.log.as_ref().and_then(Binlog::bell))
    }

    fn schema_mark(&mut self) -> Result<i64, SourceError> {
        if self.marked_at.is_none_or(|at| self.now.since(at) >= MARK_EVERY_MS) {
            let text = format!("{:?}", self.tables()?);
            self.mark = XxHash3_64::oneshot(text.as_bytes()).cast_signed();
            self.marked_at = Some(self.now);
        }
        Ok(self.mark)
    }

    /// With the columns that they have, in their order. Names are asked for first: for the columns of a table the server opens it.
    fn tables(&mut self) -> Result<Tables, SourceError> {
        let names = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()";
        let columns = "SELECT GROUP_CONCAT(CONCAT(column_name, ' ', column_type, IF(is_nullable = 'YES', '', ' NOT NULL'))
                       ORDER BY ordinal_position SEPARATOR ', ') FROM information_schema.columns
                       WHERE table_schema = DATABASE() AND table_name = ?";
        let selects: Vec<String> = self.selects.all().map(str::to_ascii_lowercase).collect();
        let is_used = |name: &String| {
            let name = name.to_ascii_lowercase();
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            selects.iter().any(|sql| sql.split(|c: char| !is_part(c)).any(|word| word == name))
        };
        self.ask("looking at its tables", |conn| {
            conn.query_drop("SET SESSION group_concat_max_len = 1000000")?;
            let names: Vec<mysql::Row> = conn.query(names)?;
            let names = names.iter().map(|row| text(row, 0)).filter(is_used);
            names
                .map(|name| {
                    let made: Option<mysql::Row> = conn.exec_first(columns, (&name,))?;
                    Ok((name, made.map(|row| text(&row, 0)).unwrap_or_default()))
                })
                .collect()
        })
    }

    fn at_once<T>(
        &mut self,
        look: impl FnOnce(&mut dyn Look) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let selects = self.selects.clone();
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        self.ask("beginning to read", |conn| conn.query_drop(begin))?;
        // Dropped on the way out of an error, and the snapshot with it.
        let Some(mut conn) = self.conn.take() else { return Err(SourceError::Lost) };
        let seen = look(&mut Moment { conn: &mut conn, selects: &selects })?;
        conn.query_drop("ROLLBACK").map_err(failed("ending the read"))?;
        self.conn = Some(conn);
        Ok(seen)
    }
}

/// The database within one snapshot.
struct Moment<'a> {
    conn: &'a mut Conn,
    selects: &'a Selects,
}

impl Moment<'_> {
    /// Rows of the ledger; none where the mapping has none.
    fn ledger(&mut self, rest: &str) -> Result<Vec<Row>, SourceError> {
        let Some(sql) = &self.selects.changes else { return Ok(Vec::new()) };
        self.rows(&format!("SELECT * FROM ({sql}) AS pos {rest}"), "changes", true)
    }

    fn rows(&mut self, sql: &str, select: &'static str, is_ledger: bool) -> Result<Vec<Row>, SourceError> {
        let what = if is_ledger { "`changes`" } else { "`on_hand`" };
        let result = self.conn.query_iter(sql).map_err(failed(what))?;
        let described: Vec<(String, ColumnType)> = result
            .columns()
            .as_ref()
            .iter()
            .map(|column| (column.name_str().into_owned(), column.column_type()))
            .collect();
        let names = described.iter().map(|(name, _)| name.as_str());
        let columns = Columns::of(names, select, is_ledger, self.selects.wants_location)?;
        let mut rows = Vec::new();
        for row in result {
            let row = row.map_err(failed(what))?;
            let cell = |at: usize| {
                let column = described.get(at).map_or(ColumnType::MYSQL_TYPE_NULL, |(_, column)| *column);
                Ok::<Cell, SourceError>(bounded(row.as_ref(at), column))
            };
            rows.push(columns.row(cell)?);
        }
        Ok(rows)
    }
}

impl Look for Moment<'_> {
    fn figures(&mut self) -> Result<Vec<Row>, SourceError> {
        let Some(sql) = &self.selects.on_hand else { return Ok(Vec::new()) };
        self.rows(&format!("SELECT * FROM ({sql}) AS pos"), "on_hand", false)
    }

    fn newest_keys(&mut self, most: usize) -> Result<Vec<i64>, SourceError> {
        let number = |row: Row| match row.key {
            Key::Number(key) => Some(key),
            Key::Text(_) => None,
        };
        Ok(self.newest_rows(most)?.into_iter().filter_map(number).collect())
    }

    fn rows_between(&mut self, first: i64, last: i64, most: usize) -> Result<Vec<Row>, SourceError> {
        let first = first.max(1);
        self.ledger(&format!("WHERE pos.`key` BETWEEN {first} AND {last} ORDER BY pos.`key` LIMIT {most}"))
    }

    fn newest_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError> {
        let mut rows = self.ledger(&format!("WHERE pos.`key` > 0 ORDER BY pos.`key` DESC LIMIT {most}"))?;
        rows.reverse();
        Ok(rows)
    }

    fn odd_keys(&mut self, most: usize) -> Result<u64, SourceError> {
        let Some(sql) = &self.selects.changes else { return Ok(0) };
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT pos.`key` FROM ({sql}) AS pos
             WHERE pos.`key` IS NULL OR NOT (pos.`key` REGEXP '^[0-9]+$' AND pos.`key` > 0) LIMIT {most}) AS odd"
        );
        let found: Option<mysql::Row> = self.conn.query_first(sql).map_err(failed("`changes`"))?;
        Ok(found.and_then(|row| text(&row, 0).parse().ok()).unwrap_or(0))
    }

    fn first_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError> {
        self.ledger(&format!("WHERE pos.`at` IS NOT NULL ORDER BY pos.`at` LIMIT {most}"))
    }

    fn last_rows(&mut self, most: usize) -> Result<Vec<Row>, SourceError> {
        self.ledger(&format!("ORDER BY pos.`at` DESC LIMIT {most}"))
    }

    fn rows_after(&mut self, after: Option<&str>, most: usize) -> Result<Vec<Row>, SourceError> {
        let behind = match after {
            Some(after) => format!("> {}", literal(after)),
            None => "IS NOT NULL".to_owned(),
        };
        self.ledger(&format!("WHERE pos.`key` {behind} ORDER BY pos.`key` LIMIT {most}"))
    }

    fn rows_of(&mut self, keys: &[String]) -> Result<Vec<Row>, SourceError> {
        let keys: Vec<String> = keys.iter().map(|key| literal(key)).collect();
        self.ledger(&format!("WHERE pos.`key` IN ({})", keys.join(", ")))
    }
}

/// A text in SQL. What is asked by text comes back as text, which keeps a DECIMAL exact; and `SESSION` leaves backslashes their meaning.
fn literal(text: &str) -> String {
    mysql::Value::from(text).as_sql(false)
}
