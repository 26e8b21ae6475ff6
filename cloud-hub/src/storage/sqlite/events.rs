//! The outbox: events are written with the commit in which they happened, and read by others through a connection of their own.

use crate::storage::{EVENTS_KEPT, EVENTS_PRUNED_MAX, OrderEvent, StorageError};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Result, Row, params, types::Type};
use std::path::Path;
use std::time::Duration;
use sync_protocol::UnixMillis;
use sync_protocol::order::OrderId;

pub(super) fn save_events(db: &Connection, events: &[OrderEvent]) -> Result<()> {
    let Some(newest) = events.last() else { return Ok(()) };
    let mut statement = db.prepare_cached(
        "INSERT INTO order_event (id, at, recorded_at, kind, shop_order, reference, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for event in events {
        statement.execute(params![
            event.id,
            event.at.0,
            event.recorded_at.0,
            event.kind,
            event.order.number(),
            event.payment_reference,
            event.body,
        ])?;
    }
    let sql = "DELETE FROM order_event WHERE seq IN
                   (SELECT seq FROM order_event WHERE recorded_at < ?1 ORDER BY recorded_at LIMIT ?2)";
    let before = newest.recorded_at.0.saturating_sub(EVENTS_KEPT.cast_signed());
    db.prepare_cached(sql)?.execute(params![before, EVENTS_PRUNED_MAX]).map(drop)
}

/// An event and its place in the sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequenced {
    /// Only grows; never given twice within one history of the database.
    pub seq: u64,
    pub event: OrderEvent,
}

/// A connection that can only read the outbox, and waits for nobody who writes.
#[derive(Debug)]
pub struct Outbox {
    db: Connection,
}

/// A connection to the hub's database that changes nothing.
pub(super) fn read_connection(path: &Path) -> Result<Connection, StorageError> {
    let act = failed("opening the hub's database for reading");
    // Not opened for reading only: whoever closes the database last takes its write-ahead log away, and that may be this one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(&act)?;
    db.pragma_update(None, "query_only", true).map_err(&act)?;
    db.busy_timeout(Duration::from_secs(10)).map_err(&act)?;
    Ok(db)
}

fn failed(act: &'static str) -> impl Fn(rusqlite::Error) -> StorageError {
    move |source| StorageError { act, source: Box::new(source) }
}

const COLUMNS: &str = "SELECT seq, id, at, recorded_at, kind, shop_order, reference, body FROM order_event";

impl Outbox {
    /// Opens the hub's database, which must be there.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> Result<Outbox, StorageError> {
        Ok(Outbox { db: read_connection(path)? })
    }

    /// What came after `seq`, the oldest first.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn after(&self, seq: u64, limit: usize) -> Result<Vec<Sequenced>, StorageError> {
        let act = failed("reading events");
        let sql = format!("{COLUMNS} WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        let mut statement = self.db.prepare_cached(&sql).map_err(&act)?;
        let rows = statement.query_map(params![seq, limit], sequenced).map_err(&act)?;
        rows.collect::<Result<_>>().map_err(&act)
    }

    /// The event at this place, if it is still there.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn at(&self, seq: u64) -> Result<Option<Sequenced>, StorageError> {
        let sql = format!("{COLUMNS} WHERE seq = ?1");
        self.db.query_row(&sql, [seq], sequenced).optional().map_err(failed("reading an event"))
    }

    /// Where the event with this id stands.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn find(&self, id: &str) -> Result<Option<u64>, StorageError> {
        let sql = "SELECT seq FROM order_event WHERE id = ?1 ORDER BY seq LIMIT 1";
        self.db.query_row(sql, [id], |row| row.get(0)).optional().map_err(failed("finding an event"))
    }

    /// The last place before everything that was recorded at `time` or later.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn before(&self, time: UnixMillis) -> Result<u64, StorageError> {
        let act = failed("finding an event by its time");
        let sql = "SELECT min(seq) FROM order_event WHERE recorded_at >= ?1";
        let first: Option<u64> = self.db.query_row(sql, [time.0], |row| row.get(0)).map_err(act)?;
        first.map_or_else(|| self.end(), |first| Ok(first.saturating_sub(1)))
    }

    /// The first place that is still kept, and the last that was ever given.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn bounds(&self) -> Result<(u64, u64), StorageError> {
        let end = self.end()?;
        let act = failed("reading the outbox's bounds");
        let first: Option<u64> =
            self.db.query_row("SELECT min(seq) FROM order_event", [], |row| row.get(0)).map_err(act)?;
        Ok((first.unwrap_or(end + 1), end))
    }

    fn end(&self) -> Result<u64, StorageError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'order_event'";
        let last = self.db.query_row(sql, [], |row| row.get(0)).optional();
        Ok(last.map_err(failed("reading the outbox's end"))?.unwrap_or(0))
    }
}

fn sequenced(row: &Row<'_>) -> Result<Sequenced> {
    let order = OrderId::from_number(row.get(5)?);
    let order = order
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, Type::Integer, Box::new(error)))?;
    let event = OrderEvent {
        id: row.get(1)?,
        at: UnixMillis(row.get(2)?),
        recorded_at: UnixMillis(row.get(3)?),
        kind: row.get(4)?,
        order,
        payment_reference: row.get(6)?,
        body: row.get(7)?,
    };
    Ok(Sequenced { seq: row.get(0)?, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::Sqlite;
    use crate::storage::{Changes, Storage};

    const DAY: i64 = 24 * 3600 * 1000;

    fn event(id: &str, recorded_at: i64) -> OrderEvent {
        OrderEvent {
            id: id.to_owned(),
            at: UnixMillis(7),
            recorded_at: UnixMillis(recorded_at),
            kind: "order.ready".to_owned(),
            order: OrderId::from_number(OrderId::MAX).unwrap(),
            payment_reference: Some("pay \"7\"".to_owned()),
            body: "{}".to_owned(),
        }
    }

    fn opened() -> (tempfile::TempDir, Sqlite, Outbox) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let storage = Sqlite::open(&path).unwrap();
        let outbox = Outbox::open(&path).unwrap();
        (folder, storage, outbox)
    }

    fn add(storage: &mut Sqlite, events: Vec<OrderEvent>) {
        storage.commit(&Changes { events, ..Changes::default() }).unwrap();
    }

    #[test]
    fn events_read_back_in_their_order() {
        let (_folder, mut storage, outbox) = opened();
        assert_eq!((outbox.bounds().unwrap(), outbox.before(UnixMillis(0)).unwrap()), ((1, 0), 0));
        add(&mut storage, vec![event("a", 10), event("b", 10)]);
        add(&mut storage, vec![event("c", 20)]);
        let read = outbox.after(1, 5).unwrap();
        let read: Vec<_> = read.into_iter().map(|found| (found.seq, found.event)).collect();
        assert_eq!(read, [(2, event("b", 10)), (3, event("c", 20))]);
        assert_eq!(outbox.after(0, 1).unwrap().len(), 1);
        assert_eq!((outbox.find("c").unwrap(), outbox.find("d").unwrap()), (Some(3), None));
        assert_eq!((outbox.before(UnixMillis(11)).unwrap(), outbox.before(UnixMillis(21)).unwrap()), (2, 3));
        assert_eq!(outbox.bounds().unwrap(), (1, 3));
    }

    #[test]
    fn old_events_go_when_new_ones_come_and_their_numbers_are_not_given_again() {
        let (_folder, mut storage, outbox) = opened();
        add(&mut storage, (0..150).map(|n| event(&n.to_string(), n)).collect());
        add(&mut storage, vec![event("new", 40 * DAY)]);
        assert_eq!(outbox.bounds().unwrap(), (101, 151), "so much work for one commit, and no more");
        add(&mut storage, vec![event("newer", 40 * DAY)]);
        assert_eq!(outbox.bounds().unwrap(), (151, 152));
        add(&mut storage, vec![event("much newer", 80 * DAY)]);
        storage.connection().execute("DELETE FROM order_event", []).unwrap();
        add(&mut storage, vec![event("last", 80 * DAY)]);
        assert_eq!(outbox.bounds().unwrap(), (154, 154));
    }

    #[test]
    fn whoever_reads_the_outbox_can_write_nothing_and_leaves_a_clean_stop_clean() {
        let (folder, mut storage, outbox) = opened();
        assert!(outbox.db.execute("DELETE FROM order_event", []).is_err());
        add(&mut storage, vec![event("a", 10)]);
        assert_eq!(outbox.after(0, 1).unwrap().len(), 1);
        drop(storage);
        assert!(folder.path().join("hub.db-wal").exists());
        drop(outbox);
        assert!(!folder.path().join("hub.db-wal").exists());
    }
}
