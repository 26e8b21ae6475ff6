//! The statements, one function each: rows in, rows out, no decisions.

use crate::availability::StoreInfo;
use crate::storage::{AtCut, HistoryChunk, Quarantined, StoreFacts, StoreKey, StoredCell, StoredCursor};
use rusqlite::{Connection, Result, Row, params, types::Type};
use std::collections::BTreeMap;
use sync_protocol::frame::{self, Body, BootMark};
use sync_protocol::record::{HistoryDocument, ItemRecord};
use sync_protocol::stock::{Cell, HubHalf, StoreHalf};
use sync_protocol::{Boot, Epoch, Gtin, ItemNo, Position, Seq, Sku, SourceId, UnixMillis};

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

pub(super) fn stores(db: &Connection) -> Result<Vec<(StoreKey, StoreInfo)>> {
    let mut statement = db.prepare("SELECT store, id, name, lat, lon, timezone FROM store ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let id: String = row.get(1)?;
        let info = StoreInfo {
            id: id.parse().map_err(|error| conversion(1, error))?,
            name: row.get(2)?,
            lat: row.get(3)?,
            lon: row.get(4)?,
            timezone: row.get(5)?,
        };
        Ok((StoreKey(row.get(0)?), info))
    })?;
    rows.collect()
}

pub(super) fn facts(db: &Connection, store: StoreKey) -> Result<StoreFacts> {
    let sql = "SELECT epoch, boots, boot_head, granted_to, state_mark, history_mark, down_head, cut_epoch, cut_position,
                      position_seen, last_contact, as_of, trusted, heard_life FROM store WHERE store = ?1";
    db.query_row(sql, [store.0], |row| {
        let boots: Vec<u8> = row.get(1)?;
        Ok(StoreFacts {
            epoch: Epoch(row.get(0)?),
            boots: boots_from(&boots),
            boot_head: Seq(row.get(2)?),
            granted_to: row.get::<_, Option<i64>>(3)?.map(|boot| Boot(boot.cast_unsigned())),
            state_mark: Seq(row.get(4)?),
            history_mark: Position(row.get(5)?),
            down_head: Seq(row.get(6)?),
            cut: (Epoch(row.get(7)?), Position(row.get(8)?)),
            position_seen: Position(row.get(9)?),
            last_contact: UnixMillis(row.get(10)?),
            as_of: UnixMillis(row.get(11)?),
            trusted: row.get(12)?,
            heard_life: row.get::<_, i64>(13)?.cast_unsigned(),
        })
    })
}

pub(super) fn save_facts(db: &Connection, store: StoreKey, facts: &StoreFacts) -> Result<()> {
    let sql = "UPDATE store SET epoch = ?2, boots = ?3, boot_head = ?4, granted_to = ?5, state_mark = ?6, history_mark = ?7,
                   down_head = ?8, cut_epoch = ?9, cut_position = ?10, position_seen = ?11, last_contact = ?12, as_of = ?13,
                   trusted = ?14, heard_life = ?15 WHERE store = ?1";
    db.prepare_cached(sql)?
        .execute(params![
            store.0,
            facts.epoch.0,
            boots_to(&facts.boots),
            facts.boot_head.0,
            facts.granted_to.map(|boot| boot.0.cast_signed()),
            facts.state_mark.0,
            facts.history_mark.0,
            facts.down_head.0,
            facts.cut.0.0,
            facts.cut.1.0,
            facts.position_seen.0,
            facts.last_contact.0,
            facts.as_of.0,
            facts.trusted,
            facts.heard_life.cast_signed(),
        ])
        .map(drop)
}

fn boots_to(boots: &[BootMark]) -> Vec<u8> {
    let numbers = |mark: &BootMark| [mark.boot.0, mark.first_seq.0, mark.first_position.0];
    boots.iter().flat_map(numbers).flat_map(u64::to_le_bytes).collect()
}

fn boots_from(bytes: &[u8]) -> Vec<BootMark> {
    let (numbers, _) = bytes.as_chunks::<8>();
    let (marks, _) = numbers.as_chunks::<3>();
    let number = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
    marks
        .iter()
        .map(|[boot, seq, position]| BootMark {
            boot: Boot(number(*boot)),
            first_seq: Seq(number(*seq)),
            first_position: Position(number(*position)),
        })
        .collect()
}

pub(super) fn cells(db: &Connection, store: StoreKey) -> Result<Vec<(ItemNo, StoredCell)>> {
    let sql = "SELECT item, total_in, total_out, granted, recalled, fulfilled, promised, released, returned, down_seq, feed, epoch, held
               FROM cell WHERE store = ?1 ORDER BY item";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([store.0], |row| {
        let (in_, out, granted) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let (recalled, fulfilled) = (row.get(4)?, row.get(5)?);
        let hub = HubHalf { promised: row.get(6)?, released: row.get(7)?, returned: row.get(8)? };
        let epoch = Epoch(row.get(11)?);
        let cell = Cell { store: StoreHalf { epoch, in_, out, granted, recalled, fulfilled }, hub };
        Ok((
            ItemNo(row.get(0)?),
            StoredCell { cell, down_seq: Seq(row.get(9)?), feed: row.get(10)?, held: row.get(12)? },
        ))
    })?;
    rows.collect()
}

pub(super) fn save_cells(db: &Connection, store: StoreKey, cells: &[(ItemNo, StoredCell)]) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO cell (store, item, total_in, total_out, granted, recalled, fulfilled, promised, released,
                                            returned, down_seq, feed, epoch, held)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let mut statement = db.prepare_cached(sql)?;
    for (item, stored) in cells {
        let (half, hub) = (&stored.cell.store, &stored.cell.hub);
        statement.execute(params![
            store.0,
            item.0,
            half.in_,
            half.out,
            half.granted,
            half.recalled,
            half.fulfilled,
            hub.promised,
            hub.released,
            hub.returned,
            stored.down_seq.0,
            stored.feed,
            half.epoch.0,
            stored.held,
        ])?;
    }
    Ok(())
}

pub(super) fn at_cut(db: &Connection, store: StoreKey) -> Result<BTreeMap<ItemNo, AtCut>> {
    let mut statement = db.prepare_cached("SELECT item, total_in, total_out FROM at_cut WHERE store = ?1")?;
    let rows = statement.query_map([store.0], |row| {
        Ok((ItemNo(row.get(0)?), AtCut { in_: row.get(1)?, out: row.get(2)? }))
    })?;
    rows.collect()
}

pub(super) fn save_at_cut(db: &Connection, store: StoreKey, rows: &[(ItemNo, AtCut)]) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO at_cut (store, item, total_in, total_out) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = db.prepare_cached(sql)?;
    for (item, at_cut) in rows {
        statement.execute(params![store.0, item.0, at_cut.in_, at_cut.out])?;
    }
    Ok(())
}

pub(super) fn cursors(db: &Connection, store: StoreKey) -> Result<BTreeMap<SourceId, StoredCursor>> {
    let mut statement =
        db.prepare_cached("SELECT source, value, moved, at_cut FROM cursor WHERE store = ?1")?;
    let rows = statement.query_map([store.0], |row| {
        let source: String = row.get(0)?;
        let moved: bool = row.get(2)?;
        let at_cut: Option<Vec<u8>> = row.get(3)?;
        let cursor = StoredCursor { value: row.get(1)?, at_cut: moved.then_some(at_cut) };
        Ok((source.parse().map_err(|error| conversion(0, error))?, cursor))
    })?;
    rows.collect()
}

pub(super) fn save_cursors(
    db: &Connection,
    store: StoreKey,
    cursors: &[(SourceId, StoredCursor)],
) -> Result<()> {
    let sql =
        "INSERT OR REPLACE INTO cursor (store, source, value, moved, at_cut) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = db.prepare_cached(sql)?;
    for (source, cursor) in cursors {
        let at_cut = cursor.at_cut.as_ref().and_then(Option::as_ref);
        statement.execute(params![
            store.0,
            source.as_str(),
            cursor.value,
            cursor.at_cut.is_some(),
            at_cut
        ])?;
    }
    Ok(())
}

const ITEM_COLUMNS: &str = "SELECT item, sku, gtins, name, unit, unnamed FROM item";

pub(super) fn items(db: &Connection, store: StoreKey) -> Result<Vec<ItemRecord>> {
    let mut statement = db.prepare_cached(&format!("{ITEM_COLUMNS} WHERE store = ?1 ORDER BY item"))?;
    let rows = statement.query_map([store.0], item_of)?;
    rows.collect()
}

pub(super) fn item(db: &Connection, store: StoreKey, item: ItemNo) -> Result<ItemRecord> {
    let mut statement = db.prepare_cached(&format!("{ITEM_COLUMNS} WHERE store = ?1 AND item = ?2"))?;
    statement.query_row(params![store.0, item.0], item_of)
}

pub(super) fn item_of_sku(db: &Connection, store: StoreKey, sku: &Sku) -> Result<ItemNo> {
    let mut statement = db.prepare_cached("SELECT item FROM item WHERE store = ?1 AND sku = ?2")?;
    statement.query_row(params![store.0, sku.as_str()], |row| row.get(0).map(ItemNo))
}

fn item_of(row: &Row<'_>) -> Result<ItemRecord> {
    let (sku, gtins): (String, String) = (row.get(1)?, row.get(2)?);
    Ok(ItemRecord {
        item: ItemNo(row.get(0)?),
        sku: sku.parse().map_err(|error| conversion(1, error))?,
        gtins: gtins.split_whitespace().filter_map(|gtin| Gtin::from_number(gtin.parse().ok()?)).collect(),
        name: row.get(3)?,
        unit: row.get(4)?,
        unnamed: row.get(5)?,
    })
}

pub(super) fn save_items(db: &Connection, store: StoreKey, items: &[ItemRecord]) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO item (store, item, sku, gtins, name, unit, unnamed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut statement = db.prepare_cached(sql)?;
    for item in items {
        let gtins: Vec<String> = item.gtins.iter().map(|gtin| gtin.number().to_string()).collect();
        let (sku, gtins) = (item.sku.as_str(), gtins.join(" "));
        statement.execute(params![store.0, item.item.0, sku, gtins, item.name, item.unit, item.unnamed])?;
    }
    Ok(())
}

pub(super) fn save_history(db: &Connection, store: StoreKey, chunk: &HistoryChunk) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO history (store, epoch, upto, frame) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute(params![store.0, chunk.epoch.0, chunk.upto.0, chunk.frame]).map(drop)
}

pub(super) fn history(
    db: &Connection,
    store: StoreKey,
    each: &mut dyn FnMut(Epoch, HistoryDocument),
) -> Result<()> {
    let sql = "SELECT epoch, frame FROM history WHERE store = ?1 ORDER BY epoch, upto";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([store.0])?;
    let mut read = (Epoch(0), Position(0));
    while let Some(row) = rows.next()? {
        let (epoch, bytes): (u32, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let frame = frame::decode(&bytes).map_err(|error| conversion(1, error))?;
        let Body::History(batch) = frame.body else { continue };
        for document in batch.documents {
            let at = (Epoch(epoch), document.last_position());
            if at > read {
                read = at;
                each(Epoch(epoch), document);
            }
        }
    }
    Ok(())
}

pub(super) fn save_quarantine(
    db: &Connection,
    store: StoreKey,
    records: &[Quarantined],
    max: usize,
) -> Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO quarantine (store, at, what, reason, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for record in records {
        statement.execute(params![store.0, record.at.0, record.what, record.reason, record.bytes])?;
    }
    let sql = "DELETE FROM quarantine WHERE store = ?1 AND id <=
                   (SELECT id FROM quarantine WHERE store = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    db.prepare_cached(sql)?.execute(params![store.0, max]).map(drop)
}
