//! The statements about pickup orders: rows in, rows out, no decisions.

use rusqlite::{Connection, OptionalExtension, Result, Row, params, types::Type};
use sync_protocol::order::{HubOrder, OrderId, Stage, StoreOrder};
use sync_protocol::record::{HubOrderRecord, StoreOrderRecord};
use sync_protocol::{Epoch, ItemNo, Position, Seq, UnixMillis};

/// An order as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    pub order: OrderId,
    /// `None`: the hub's half has not come; the order was handed over on its signed code.
    pub hub: Option<HubOrder>,
    pub store: StoreOrder,
    /// Of the store's half.
    pub seq: Seq,
}

impl OrderRow {
    #[must_use]
    pub fn hub_record(&self) -> Option<HubOrderRecord> {
        self.hub.clone().map(|half| HubOrderRecord { order: self.order, half })
    }

    #[must_use]
    pub fn store_record(&self) -> StoreOrderRecord {
        StoreOrderRecord { order: self.order, half: self.store.clone() }
    }

    /// Whether somebody at the store still has something to do: hand it over, or put back what was picked.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.store.stage.is_open()
            || (matches!(self.store.stage, Stage::Refused | Stage::Cancelled) && !self.store.put_back)
    }
}

/// What of an item must not be offered to the web, beside what the shelf shows. In thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Not found by staff, until somebody counts.
    pub in_doubt: u64,
    /// When staff last did not find it, and where the ledger stood then: only a count made later says where it is.
    pub since: UnixMillis,
    pub position: Position,
    /// Will not be handed over, until the hub has released it.
    pub given_up: u64,
}

const COLUMNS: &str = "SELECT id, hub_half, store_half, change_seq FROM pickup_order";

/// # Errors
/// SQLite's.
pub fn order(db: &Connection, epoch: Epoch, order: OrderId) -> Result<Option<OrderRow>> {
    let mut statement = db.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?;
    statement.query_row([order.number().cast_signed()], |row| order_of(row, epoch)).optional()
}

/// When an order came to the stage it is at. One it comes to again counts from then.
///
/// # Errors
/// SQLite's.
pub fn save_step(db: &Connection, row: &OrderRow) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO order_step (id, stage, at) VALUES (?1, ?2, ?3)";
    let (id, stage) = (row.order.number().cast_signed(), row.store.stage.code());
    db.prepare_cached(sql)?.execute(params![id, stage, row.store.since.0]).map(drop)
}

/// Calls `each` with every order.
///
/// # Errors
/// SQLite's.
pub fn each_order(db: &Connection, epoch: Epoch, mut each: impl FnMut(OrderRow)) -> Result<()> {
    let mut statement = db.prepare(COLUMNS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(order_of(row, epoch)?);
    }
    Ok(())
}

/// Orders on which somebody at the store has something to do, the most urgent first.
///
/// # Errors
/// SQLite's.
pub fn active_orders(db: &Connection, epoch: Epoch, limit: usize) -> Result<Vec<OrderRow>> {
    let sql = format!("{COLUMNS} WHERE is_active = 1 ORDER BY ready_by, id LIMIT ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([limit], |row| order_of(row, epoch))?;
    rows.collect()
}

/// Orders on which nobody has anything to do any more, the last changed first.
///
/// # Errors
/// SQLite's.
pub fn ended_orders(db: &Connection, epoch: Epoch, limit: usize) -> Result<Vec<OrderRow>> {
    let sql = format!("{COLUMNS} WHERE is_active = 0 ORDER BY change_seq DESC LIMIT ?1");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([limit], |row| order_of(row, epoch))?;
    rows.collect()
}

/// Orders above `after` that the hub's half is known of, with no more than `limit` of them.
///
/// # Errors
/// SQLite's.
pub fn hub_orders_after(
    db: &Connection,
    epoch: Epoch,
    after: Option<OrderId>,
    limit: usize,
) -> Result<Vec<HubOrderRecord>> {
    let sql = format!("{COLUMNS} WHERE id > ?1 AND hub_half IS NOT NULL ORDER BY id LIMIT ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let after = after.map_or(-1, |after| after.number().cast_signed());
    let rows = statement.query_map(params![after, limit], |row| order_of(row, epoch))?;
    rows.filter_map(|row| row.map(|row| row.hub_record()).transpose()).collect()
}

/// The place of each order's store half in the sequence, for those above `mark`.
///
/// # Errors
/// SQLite's.
pub fn changed_after(db: &Connection, mark: Seq) -> Result<Vec<(Seq, OrderId)>> {
    let sql = "SELECT change_seq, id FROM pickup_order WHERE change_seq > ?1";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([mark.0.cast_signed()], |row| {
        Ok((Seq(row.get::<_, i64>(0)?.cast_unsigned()), id_of(row, 1)?))
    })?;
    rows.collect()
}

/// # Errors
/// SQLite's.
pub fn order_ids(db: &Connection) -> Result<Vec<OrderId>> {
    let mut statement = db.prepare("SELECT id FROM pickup_order")?;
    let rows = statement.query_map([], |row| id_of(row, 0))?;
    rows.collect()
}

/// # Errors
/// SQLite's.
pub fn save_order(db: &Connection, order: &OrderRow) -> Result<()> {
    let sql =
        "INSERT OR REPLACE INTO pickup_order (id, hub_half, store_half, is_active, ready_by, change_seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let ready_by = order.hub.as_ref().map_or(order.store.since, |hub| hub.ready_by);
    db.prepare_cached(sql)?
        .execute(params![
            order.order.number().cast_signed(),
            order.hub_record().map(|record| record.to_bytes()),
            order.store_record().to_bytes(),
            order.is_active(),
            ready_by.0,
            order.seq.0.cast_signed(),
        ])
        .map(drop)
}

/// # Errors
/// SQLite's.
pub fn forget_orders(db: &Connection) -> Result<()> {
    db.execute("DELETE FROM pickup_order", []).map(drop)
}

/// # Errors
/// SQLite's.
pub fn doubts(db: &Connection) -> Result<Vec<(ItemNo, Doubt)>> {
    let mut statement = db.prepare("SELECT item, in_doubt, given_up, since, position FROM doubt")?;
    let rows = statement.query_map([], |row| {
        let thousandths = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        let (since, position) = (UnixMillis(row.get(3)?), Position(row.get::<_, i64>(4)?.cast_unsigned()));
        let doubt = Doubt { in_doubt: thousandths(1)?, given_up: thousandths(2)?, since, position };
        Ok((ItemNo(row.get(0)?), doubt))
    })?;
    rows.collect()
}

/// # Errors
/// SQLite's.
pub fn save_doubt(db: &Connection, item: ItemNo, doubt: Doubt) -> Result<()> {
    if (doubt.in_doubt, doubt.given_up) == (0, 0) {
        return db.prepare_cached("DELETE FROM doubt WHERE item = ?1")?.execute([item.0]).map(drop);
    }
    let sql = "INSERT OR REPLACE INTO doubt (item, in_doubt, given_up, since, position)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let (in_doubt, given_up) = (doubt.in_doubt.cast_signed(), doubt.given_up.cast_signed());
    let values = params![item.0, in_doubt, given_up, doubt.since.0, doubt.position.0.cast_signed()];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

/// # Errors
/// SQLite's.
pub fn forget_doubts(db: &Connection) -> Result<()> {
    db.execute("DELETE FROM doubt", []).map(drop)
}

fn id_of(row: &Row<'_>, column: usize) -> Result<OrderId> {
    let number = row.get::<_, i64>(column)?.cast_unsigned();
    OrderId::from_number(number).map_err(|error| conversion(column, error))
}

fn order_of(row: &Row<'_>, epoch: Epoch) -> Result<OrderRow> {
    let (hub, store): (Option<Vec<u8>>, Vec<u8>) = (row.get(1)?, row.get(2)?);
    let hub = hub.map(|bytes| HubOrderRecord::from_bytes(&bytes)).transpose();
    let store = StoreOrderRecord::from_bytes(&store, epoch).map_err(|error| conversion(2, error))?;
    Ok(OrderRow {
        order: id_of(row, 0)?,
        hub: hub.map_err(|error| conversion(1, error))?.map(|record| record.half),
        store: store.half,
        seq: Seq(row.get::<_, i64>(3)?.cast_unsigned()),
    })
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}
