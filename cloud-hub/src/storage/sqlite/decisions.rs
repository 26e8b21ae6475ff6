//! Why orders went where they went: written with the order, read by others through a connection of their own.

use super::events::read_connection;
use crate::storage::{DECISIONS_KEPT, DECISIONS_PRUNED_MAX, KeptDecision, StorageError};
use rusqlite::{Connection, Result, Row, params, types::Type};
use std::path::Path;
use sync_protocol::UnixMillis;
use sync_protocol::order::OrderId;

pub(super) fn save_decisions(db: &Connection, decisions: &[KeptDecision]) -> Result<()> {
    let Some(newest) = decisions.last() else { return Ok(()) };
    let sql = "INSERT INTO routing_decision (shop_order, at, record) VALUES (?1, ?2, ?3)";
    let mut statement = db.prepare_cached(sql)?;
    for decision in decisions {
        statement.execute(params![decision.order.number(), decision.at.0, decision.record])?;
    }
    let sql = "DELETE FROM routing_decision WHERE number IN
                   (SELECT number FROM routing_decision WHERE at < ?1 ORDER BY at LIMIT ?2)";
    let before = newest.at.0.saturating_sub(DECISIONS_KEPT.cast_signed());
    db.prepare_cached(sql)?.execute(params![before, DECISIONS_PRUNED_MAX]).map(drop)
}

/// A connection that can only read decisions, and waits for nobody who writes.
#[derive(Debug)]
pub struct Decisions {
    db: Connection,
}

impl Decisions {
    /// Opens the hub's database, which must be there.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> Result<Decisions, StorageError> {
        Ok(Decisions { db: read_connection(path)? })
    }

    /// Those about an order, the oldest first.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn of(&self, order: OrderId) -> Result<Vec<KeptDecision>, StorageError> {
        let sql = "SELECT shop_order, at, record FROM routing_decision WHERE shop_order = ?1 ORDER BY number";
        self.read(sql, params![order.number()])
    }

    /// The last ones before a time, the newest first.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn before(&self, time: UnixMillis, limit: usize) -> Result<Vec<KeptDecision>, StorageError> {
        let sql =
            "SELECT shop_order, at, record FROM routing_decision WHERE at < ?1 ORDER BY at DESC LIMIT ?2";
        self.read(sql, params![time.0, limit])
    }

    fn read(&self, sql: &str, of: impl rusqlite::Params) -> Result<Vec<KeptDecision>, StorageError> {
        let act = |source| StorageError { act: "reading routing decisions", source: Box::new(source) };
        let mut statement = self.db.prepare_cached(sql).map_err(act)?;
        let rows = statement.query_map(of, kept).map_err(act)?;
        rows.collect::<Result<_>>().map_err(act)
    }
}

fn kept(row: &Row<'_>) -> Result<KeptDecision> {
    let order = OrderId::from_number(row.get(0)?);
    let order = order
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, Box::new(error)))?;
    Ok(KeptDecision { order, at: UnixMillis(row.get(1)?), record: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::Sqlite;
    use crate::storage::{Changes, Storage};

    const DAY: i64 = 24 * 3600 * 1000;

    #[test]
    fn decisions_are_read_while_the_hub_writes_and_go_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let mut storage = Sqlite::open(&path).unwrap();
        let decisions = Decisions::open(&path).unwrap();
        let order = |number| OrderId::from_number(number).unwrap();
        let mut decided = |number, at| {
            let record = format!("{{\"at\":{at}}}");
            let kept = KeptDecision { order: order(number), at: UnixMillis(at), record };
            storage.commit(&Changes { decisions: vec![kept.clone()], ..Changes::default() }).unwrap();
            kept
        };
        let (first, other, again) = (decided(1, 5), decided(2, 6), decided(1, 7));
        assert_eq!(decisions.of(order(1)).unwrap(), [first.clone(), again.clone()]);
        assert_eq!(decisions.before(UnixMillis(7), 10).unwrap(), [other, first]);
        assert_eq!(decisions.before(UnixMillis(100), 1).unwrap(), [again]);
        let late = decided(3, 91 * DAY);
        assert_eq!(decisions.before(UnixMillis(i64::MAX), 10).unwrap(), [late]);
    }
}
