//! How listening begins: what the server must have, where its log ends now, and which column of the ledger is the key.

use super::LogError;
use super::events::{Watched, WatchedLedger};
use super::rows::KeyColumn;
use crate::config::pos::LogLedger;
use crate::config::pos::mysql::MysqlServer;
use crate::pos::mysql::connecting::options;
use mysql::prelude::{FromValue, Queryable};
use mysql::{BinlogRequest, BinlogStream, Conn, Row};
use std::time::Duration;

/// The server sends something at least so often.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A server that sends nothing for so long is gone.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// MariaDB then sends its log as it is, not as its oldest replicas would need it.
const CAPABILITIES: &str = "SET @mariadb_slave_capability = 4";

/// Where a log ends.
struct End {
    file: Vec<u8>,
    place: u64,
}

/// The log from its end on, and what to listen for.
pub fn open(
    server: &MysqlServer,
    ledger: Option<&LogLedger>,
    number: u32,
) -> Result<(BinlogStream, Watched), LogError> {
    let opts = options(server).map_err(LogError::Unreachable)?.read_timeout(Some(SILENT_AFTER));
    let mut conn = Conn::new(opts)?;
    can_be_followed(&mut conn)?;
    let (end, watched) = loop {
        let watched = watched(&mut conn, server, ledger)?;
        let end = end(&mut conn, &watched)?;
        // Columns that were changed on the way may be those of either side of that place.
        if self::watched(&mut conn, server, ledger)? == watched {
            break (end, watched);
        }
    };
    conn.query_drop(CAPABILITIES)?;
    let heartbeat = HEARTBEAT.as_nanos();
    conn.query_drop(format!(
        "SET @master_heartbeat_period = {heartbeat}, @source_heartbeat_period = {heartbeat}"
    ))?;
    let request = BinlogRequest::new(number).with_filename(end.file).with_pos(end.place);
    Ok((conn.get_binlog_stream(request)?, watched))
}

fn can_be_followed(conn: &mut Conn) -> Result<(), LogError> {
    let sql = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format')";
    let settings: Vec<(String, String)> = conn.query(sql)?;
    let setting = |name: &str| settings.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
    match (setting("log_bin"), setting("binlog_format")) {
        (Some("ON"), None | Some("ROW")) => Ok(()),
        (Some("ON"), Some(format)) => Err(LogError::Format { found: format.to_owned() }),
        _ => Err(LogError::Off),
    }
}

/// What is listened for; the key's place as the table is now.
fn watched(conn: &mut Conn, server: &MysqlServer, ledger: Option<&LogLedger>) -> Result<Watched, LogError> {
    let mut watched = Watched { databases: vec![server.database.clone()], ledger: None };
    let Some(LogLedger { table, key }) = ledger else { return Ok(watched) };
    let (database, name) = table.split_once('.').unwrap_or((&server.database, table));
    let sql = "SELECT columns.table_schema, columns.table_name, ordinal_position, data_type, column_type
               FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
               WHERE table_schema = ? AND table_name = ? AND column_name = ? AND table_type <> 'VIEW'";
    let row: Option<Row> = conn.exec_first(sql, (database, name, key))?;
    let missing = || LogError::NoLedger { table: table.clone(), key: key.clone() };
    let row = row.ok_or_else(missing)?;
    let text = |at| cell::<String>(&row, at).ok_or_else(missing);
    let place = cell::<usize>(&row, 2).and_then(|place| place.checked_sub(1)).ok_or_else(missing)?;
    let is_unsigned = text(4)?.to_ascii_lowercase().contains("unsigned");
    let no_number = || LogError::NoNumber { key: key.clone() };
    let key = KeyColumn::of(place, &text(3)?, is_unsigned).ok_or_else(no_number)?;
    let ledger = WatchedLedger { database: text(0)?, table: text(1)?, key };
    watched.databases.push(ledger.database.clone());
    watched.ledger = Some(ledger);
    Ok(watched)
}

fn end(conn: &mut Conn, watched: &Watched) -> Result<End, LogError> {
    // MySQL has given it another name.
    let row: Option<Row> = match conn.query_first("SHOW MASTER STATUS") {
        Err(mysql::Error::MySqlError(error)) if error.state == "42000" && !is_right(error.code) => {
            conn.query_first("SHOW BINARY LOG STATUS")?
        }
        answer => answer?,
    };
    let row = row.ok_or(LogError::Off)?;
    let names = |at| cell::<String>(&row, at).unwrap_or_default();
    let has = |list: &str, database: &str| list.split(',').any(|name| name == database);
    let (only, never) = (names(2), names(3));
    let left_out = watched
        .databases
        .iter()
        .find(|database| !only.is_empty() && !has(&only, database) || has(&never, database));
    if let Some(database) = left_out {
        return Err(LogError::LeftOut { database: database.clone() });
    }
    match (cell(&row, 0), cell(&row, 1)) {
        (Some(file), Some(place)) => Ok(End { file, place }),
        _ => Err(LogError::Off),
    }
}

fn is_right(code: u16) -> bool {
    super::RIGHT_MISSING.contains(&code)
}

fn cell<T: FromValue>(row: &Row, at: usize) -> Option<T> {
    row.get_opt(at)?.ok()
}
