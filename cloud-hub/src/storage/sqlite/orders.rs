//! The statements about orders: rows in, rows out, no decisions.

use crate::storage::{Reservation, ShopOrder, StoreKey, StoredOrder};
use rusqlite::{Connection, Result, Row, params, types::Type};
use sync_protocol::order::OrderId;
use sync_protocol::record::{HubOrderRecord, StoreOrderRecord};
use sync_protocol::{Epoch, Seq};

pub(super) fn orders(db: &Connection, store: StoreKey) -> Result<Vec<StoredOrder>> {
    let sql = "SELECT id, shop_order, hub_half, store_half, epoch, down_seq FROM pickup_order WHERE store = ?1 ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([store.0], order_of)?;
    rows.collect()
}

fn order_of(row: &Row<'_>) -> Result<StoredOrder> {
    let (hub, store): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
    let epoch = Epoch(row.get(4)?);
    let hub = hub.map(|bytes| HubOrderRecord::from_bytes(&bytes)).transpose();
    let store = store.map(|bytes| StoreOrderRecord::from_bytes(&bytes, epoch)).transpose();
    Ok(StoredOrder {
        order: id_of(row, 0)?,
        part_of: id_of(row, 1)?,
        hub: hub.map_err(|error| conversion(2, error))?.map(|record| record.half),
        store: store.map_err(|error| conversion(3, error))?.map(|record| record.half),
        down_seq: Seq(row.get(5)?),
    })
}

pub(super) fn save_orders(db: &Connection, store: StoreKey, orders: &[StoredOrder]) -> Result<()> {
    let sql =
        "INSERT OR REPLACE INTO pickup_order (store, id, shop_order, hub_half, store_half, epoch, down_seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut statement = db.prepare_cached(sql)?;
    for order in orders {
        statement.execute(params![
            store.0,
            order.order.number(),
            order.part_of.number(),
            order.hub_record().map(|record| record.to_bytes()),
            order.store_record().map(|record| record.to_bytes()),
            order.store.as_ref().map_or(0, |store| store.epoch.0),
            order.down_seq.0,
        ])?;
    }
    Ok(())
}

pub(super) fn shop_orders(db: &Connection) -> Result<Vec<ShopOrder>> {
    let mut statement = db.prepare("SELECT id, content, customer FROM shop_order ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let content: String = row.get(1)?;
        let content = serde_json::from_str(&content).map_err(|error| conversion(1, error))?;
        Ok(ShopOrder { order: id_of(row, 0)?, content, customer: row.get(2)? })
    })?;
    rows.collect()
}

pub(super) fn save_shop_orders(db: &Connection, orders: &[ShopOrder]) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO shop_order (id, content, customer) VALUES (?1, ?2, ?3)";
    let mut statement = db.prepare_cached(sql)?;
    for order in orders {
        let to_sql = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        let content = serde_json::to_string(&order.content).map_err(to_sql)?;
        statement.execute(params![order.order.number(), content, order.customer])?;
    }
    Ok(())
}

pub(super) fn reservations(db: &Connection) -> Result<Vec<(OrderId, Reservation)>> {
    let mut statement = db.prepare("SELECT id, content FROM reservation ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let content: String = row.get(1)?;
        let content = serde_json::from_str(&content).map_err(|error| conversion(1, error))?;
        Ok((id_of(row, 0)?, content))
    })?;
    rows.collect()
}

pub(super) fn save_reservations(db: &Connection, changed: &[(OrderId, Option<Reservation>)]) -> Result<()> {
    for (id, reservation) in changed {
        let Some(reservation) = reservation else {
            db.prepare_cached("DELETE FROM reservation WHERE id = ?1")?.execute([id.number()])?;
            continue;
        };
        let to_sql = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        let content = serde_json::to_string(reservation).map_err(to_sql)?;
        let sql = "INSERT OR REPLACE INTO reservation (id, content) VALUES (?1, ?2)";
        db.prepare_cached(sql)?.execute(params![id.number(), content])?;
    }
    Ok(())
}

fn id_of(row: &Row<'_>, column: usize) -> Result<OrderId> {
    OrderId::from_number(row.get(column)?).map_err(|error| conversion(column, error))
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}
