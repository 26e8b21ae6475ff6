//! The statements the core runs, one function each: rows in, rows out, no decisions.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use sync_protocol::frame::BootMark;
use sync_protocol::record::{HistoryDocument, HistoryLine, ItemRecord, Kind, KnownDocument};
use sync_protocol::stock::{Cell, HubHalf, SalesRate, StoreHalf};
use sync_protocol::{Boot, Epoch, Gtin, ItemNo, Position, Quantity, Seq, UnixMillis};

/// Most records kept in quarantine, and how much of each: enough to see what they were.
const QUARANTINE_MAX: i64 = 1_000;
const QUARANTINED_BYTES_MAX: usize = 4_096;

/// The row of table `agent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    pub store: String,
    pub epoch: Epoch,
    pub change_seq: Seq,
    pub next_position: Position,
    pub next_item: ItemNo,
    pub state_acked: Seq,
    pub history_acked: Position,
    pub down_mark: Seq,
    pub hub_life: u64,
}

/// SQLite's integers are signed; ours that use all 64 bits keep their bits.
pub(crate) fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn unsigned(row: &Row<'_>, at: usize) -> Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

fn narrow(row: &Row<'_>, at: usize) -> Result<u32> {
    row.get(at)
}

/// # Errors
/// SQLite's.
pub fn agent_row(db: &Connection) -> Result<Option<AgentRow>> {
    let sql = "SELECT store, epoch, change_seq, next_position, next_item, state_acked, history_acked, down_mark, hub_life
               FROM agent";
    db.query_row(sql, [], |row| {
        Ok(AgentRow {
            store: row.get(0)?,
            epoch: Epoch(narrow(row, 1)?),
            change_seq: Seq(unsigned(row, 2)?),
            next_position: Position(unsigned(row, 3)?),
            next_item: ItemNo(narrow(row, 4)?),
            state_acked: Seq(unsigned(row, 5)?),
            history_acked: Position(unsigned(row, 6)?),
            down_mark: Seq(unsigned(row, 7)?),
            hub_life: unsigned(row, 8)?,
        })
    })
    .optional()
}

/// # Errors
/// SQLite's.
pub fn save_agent_row(db: &Connection, agent: &AgentRow) -> Result<()> {
    let sql = "INSERT INTO agent (only_row, store, epoch, change_seq, next_position, next_item, state_acked, history_acked,
                                  down_mark, hub_life, stopped_cleanly)
               VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)
               ON CONFLICT (only_row) DO UPDATE SET epoch = ?2, change_seq = ?3, next_position = ?4, next_item = ?5,
                   state_acked = ?6, history_acked = ?7, down_mark = ?8, hub_life = ?9, stopped_cleanly = 0";
    db.prepare_cached(sql)?.execute(params![
        agent.store,
        agent.epoch.0,
        signed(agent.change_seq.0),
        signed(agent.next_position.0),
        agent.next_item.0,
        signed(agent.state_acked.0),
        signed(agent.history_acked.0),
        signed(agent.down_mark.0),
        signed(agent.hub_life),
    ])?;
    Ok(())
}

/// # Errors
/// SQLite's.
pub fn set_stopped_cleanly(db: &Connection) -> Result<()> {
    db.execute("UPDATE agent SET stopped_cleanly = 1", []).map(drop)
}

/// Oldest first.
///
/// # Errors
/// SQLite's.
pub fn boots(db: &Connection) -> Result<Vec<BootMark>> {
    let mut statement = db.prepare("SELECT boot, first_seq, first_position FROM boot ORDER BY ordinal")?;
    let rows = statement.query_map([], |row| {
        Ok(BootMark {
            boot: Boot(unsigned(row, 0)?),
            first_seq: Seq(unsigned(row, 1)?),
            first_position: Position(unsigned(row, 2)?),
        })
    })?;
    rows.collect()
}

/// # Errors
/// SQLite's.
pub fn add_boot(db: &Connection, mark: BootMark) -> Result<()> {
    let sql = "INSERT INTO boot (boot, first_seq, first_position) VALUES (?1, ?2, ?3)";
    db.execute(sql, params![signed(mark.boot.0), signed(mark.first_seq.0), signed(mark.first_position.0)])?;
    let keep = i64::try_from(sync_protocol::limits::BOOTS_MAX).unwrap_or(i64::MAX);
    db.execute("DELETE FROM boot WHERE ordinal <= (SELECT max(ordinal) FROM boot) - ?1", [keep]).map(drop)
}

/// # Errors
/// SQLite's.
pub fn forget_boots(db: &Connection) -> Result<()> {
    db.execute("DELETE FROM boot", []).map(drop)
}

/// Calls `each` with every item and the `change_seq` of its record.
///
/// # Errors
/// SQLite's.
pub fn each_item(db: &Connection, mut each: impl FnMut(ItemRecord, Seq)) -> Result<()> {
    let mut gtins = db.prepare("SELECT gtin FROM gtin WHERE item = ?1 ORDER BY gtin")?;
    let mut statement =
        db.prepare("SELECT item, sku, name, unit, unnamed, change_seq FROM item ORDER BY item")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq = Seq(unsigned(row, 5)?);
        each(item_of(row, &mut gtins)?, seq);
    }
    Ok(())
}

/// # Errors
/// SQLite's; also when there is no such item.
pub fn item(db: &Connection, item: ItemNo) -> Result<ItemRecord> {
    let mut gtins = db.prepare_cached("SELECT gtin FROM gtin WHERE item = ?1 ORDER BY gtin")?;
    let sql = "SELECT item, sku, name, unit, unnamed FROM item WHERE item = ?1";
    db.prepare_cached(sql)?.query_row([item.0], |row| item_of(row, &mut gtins))
}

fn item_of(row: &Row<'_>, gtins: &mut rusqlite::Statement<'_>) -> Result<ItemRecord> {
    let item = ItemNo(narrow(row, 0)?);
    let sku: String = row.get(1)?;
    let gtins = gtins.query_map([item.0], |row| unsigned(row, 0))?.collect::<Result<Vec<u64>>>()?;
    Ok(ItemRecord {
        item,
        sku: sku.parse().map_err(|error| conversion(1, error))?,
        gtins: gtins.into_iter().filter_map(Gtin::from_number).collect(),
        name: row.get(2)?,
        unit: row.get(3)?,
        unnamed: row.get(4)?,
    })
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}

/// Writes an item and its barcodes; a barcode that belonged to another item moves over.
///
/// # Errors
/// SQLite's.
pub fn save_item(db: &Connection, item: &ItemRecord, seq: Seq) -> Result<()> {
    let sql = "INSERT INTO item (item, sku, name, unit, unnamed, change_seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (item) DO UPDATE SET sku = ?2, name = ?3, unit = ?4, unnamed = ?5, change_seq = ?6";
    db.prepare_cached(sql)?.execute(params![
        item.item.0,
        item.sku.as_str(),
        item.name,
        item.unit,
        item.unnamed,
        signed(seq.0)
    ])?;
    db.prepare_cached("DELETE FROM gtin WHERE item = ?1")?.execute([item.item.0])?;
    let mut add = db.prepare_cached("INSERT OR REPLACE INTO gtin (gtin, item) VALUES (?1, ?2)")?;
    for gtin in &item.gtins {
        add.execute(params![signed(gtin.number()), item.item.0])?;
    }
    Ok(())
}

/// One row of table `stock`.
#[derive(Debug, Clone, Copy)]
pub struct StockRow {
    pub item: ItemNo,
    pub cell: Cell,
    pub rate: SalesRate,
    pub seq: Seq,
}

/// Calls `each` with every stock row; all cells are of `epoch`.
///
/// # Errors
/// SQLite's.
pub fn each_stock(db: &Connection, epoch: Epoch, mut each: impl FnMut(StockRow)) -> Result<()> {
    let sql = "SELECT item, total_in, total_out, granted, recalled, fulfilled, promised, released, returned, rate, rate_at,
                      change_seq FROM stock ORDER BY item";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let store = StoreHalf {
            epoch,
            in_: unsigned(row, 1)?,
            out: unsigned(row, 2)?,
            granted: unsigned(row, 3)?,
            recalled: unsigned(row, 4)?,
            fulfilled: unsigned(row, 5)?,
        };
        let hub =
            HubHalf { promised: unsigned(row, 6)?, released: unsigned(row, 7)?, returned: unsigned(row, 8)? };
        let rate = SalesRate::from_parts(row.get(9)?, UnixMillis(row.get(10)?));
        let (item, seq) = (ItemNo(narrow(row, 0)?), Seq(unsigned(row, 11)?));
        each(StockRow { item, cell: Cell { store, hub }, rate, seq });
    }
    Ok(())
}

/// # Errors
/// SQLite's.
pub fn save_stock(db: &Connection, stock: &StockRow) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO stock (item, total_in, total_out, granted, recalled, fulfilled, promised, released,
                                             returned, rate, rate_at, change_seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let (store, hub) = (&stock.cell.store, &stock.cell.hub);
    let (rate, rate_at) = stock.rate.parts();
    db.prepare_cached(sql)?.execute(params![
        stock.item.0,
        signed(store.in_),
        signed(store.out),
        signed(store.granted),
        signed(store.recalled),
        signed(store.fulfilled),
        signed(hub.promised),
        signed(hub.released),
        signed(hub.returned),
        rate,
        rate_at.0,
        signed(stock.seq.0),
    ])?;
    Ok(())
}

/// # Errors
/// SQLite's.
pub fn clear_items_and_stock(db: &Connection) -> Result<()> {
    db.execute_batch("DELETE FROM item; DELETE FROM gtin; DELETE FROM stock; DELETE FROM cursor;")
}

/// # Errors
/// SQLite's.
pub fn sources(db: &Connection) -> Result<Vec<(i64, String)>> {
    let mut statement = db.prepare("SELECT source, name FROM source")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// # Errors
/// SQLite's.
pub fn add_source(db: &Connection, name: &str) -> Result<i64> {
    db.execute("INSERT INTO source (name) VALUES (?1)", [name])?;
    Ok(db.last_insert_rowid())
}

/// # Errors
/// SQLite's.
pub fn cursors(db: &Connection) -> Result<Vec<(i64, Vec<u8>, Seq)>> {
    let mut statement = db.prepare("SELECT source, value, change_seq FROM cursor")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, Seq(unsigned(row, 2)?))))?;
    rows.collect()
}

/// # Errors
/// SQLite's.
pub fn save_cursor(db: &Connection, source: i64, value: &[u8], seq: Seq) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO cursor (source, value, change_seq) VALUES (?1, ?2, ?3)";
    db.prepare_cached(sql)?.execute(params![source, value, signed(seq.0)]).map(drop)
}

/// Where a document that is already in the ledger stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub content: u32,
    pub first_position: Position,
    pub lines: u32,
}

/// # Errors
/// SQLite's.
pub fn find_document(db: &Connection, source: i64, reference: &str) -> Result<Option<Found>> {
    let sql = "SELECT content, document, lines FROM document WHERE source = ?1 AND reference = ?2";
    db.prepare_cached(sql)?.query_row(params![source, reference], found_of).optional()
}

/// # Errors
/// SQLite's.
pub fn find_known_document(db: &Connection, key: &[u8; 16]) -> Result<Option<Found>> {
    let sql = "SELECT content, first_position, lines FROM known_document WHERE key = ?1";
    db.prepare_cached(sql)?.query_row([key.as_slice()], found_of).optional()
}

fn found_of(row: &Row<'_>) -> Result<Found> {
    Ok(Found { content: row.get(0)?, first_position: Position(unsigned(row, 1)?), lines: row.get(2)? })
}

/// # Errors
/// SQLite's.
pub fn save_known_documents(db: &Connection, known: &[KnownDocument]) -> Result<()> {
    let sql =
        "INSERT OR REPLACE INTO known_document (key, content, first_position, lines) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = db.prepare(sql)?;
    for document in known {
        let position = signed(document.first_position.0);
        statement.execute(params![document.key.as_slice(), document.content, position, document.lines])?;
    }
    Ok(())
}

/// # Errors
/// SQLite's.
pub fn forget_known_documents(db: &Connection) -> Result<()> {
    db.execute("DELETE FROM known_document", []).map(drop)
}

/// # Errors
/// SQLite's.
pub fn has_known_documents(db: &Connection) -> Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM known_document)", [], |row| row.get(0))
}

/// Adds a document, and its lines one by one with [`add_movement`]; `source` is its row in table `source`.
///
/// # Errors
/// SQLite's.
pub fn add_document(db: &Connection, source: i64, epoch: Epoch, document: &HistoryDocument) -> Result<()> {
    let sql =
        "INSERT INTO document (document, source, reference, kind, reason, occurred_at, recorded_at, content,
                                     epoch, lines)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let inserted = db.prepare_cached(sql)?.execute(params![
        signed(document.first_position.0),
        source,
        document.reference.as_str(),
        document.kind.code(),
        document.reason,
        document.occurred_at.0,
        document.recorded_at.0,
        document.content,
        epoch.0,
        document.lines.len(),
    ]);
    inserted.map(drop)
}

/// # Errors
/// SQLite's.
pub fn add_movement(
    db: &Connection,
    position: Position,
    document: Position,
    line: &HistoryLine,
    anchor: Option<Position>,
) -> Result<()> {
    let sql = "INSERT INTO movement (position, document, item, quantity, effect, anchor) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    db.prepare_cached(sql)?
        .execute(params![
            signed(position.0),
            signed(document.0),
            line.item.0,
            line.quantity.thousandths(),
            line.effect.thousandths(),
            anchor.map(|anchor| signed(anchor.0)),
        ])
        .map(drop)
}

/// What the ledger did to an item's on hand after `position`, in thousandths. A count typed in since that corrects an earlier
/// position is no part of it.
///
/// # Errors
/// SQLite's.
pub fn effect_after_position(db: &Connection, item: ItemNo, position: Position) -> Result<i64> {
    let sql = "SELECT coalesce(sum(m.effect), 0)
               FROM ledger_block b CROSS JOIN movement m ON m.position >> 13 = b.number AND m.item = ?1
               WHERE b.number >= ?2 >> 13 AND m.position > ?2 AND (m.anchor IS NULL OR m.anchor > ?2)";
    db.prepare_cached(sql)?.query_row(params![item.0, signed(position.0)], |row| row.get(0))
}

/// The last position that an item's movements had reached by the moment `at`, going by when they occurred.
///
/// # Errors
/// SQLite's.
pub fn position_at(db: &Connection, item: ItemNo, at: UnixMillis) -> Result<Position> {
    let sql = "SELECT coalesce(max(m.position), 0)
               FROM ledger_block b CROSS JOIN movement m ON m.position >> 13 = b.number AND m.item = ?1
               JOIN document d ON d.document = m.document
               WHERE d.occurred_at <= ?2";
    db.prepare_cached(sql)?.query_row(params![item.0, at.0], |row| unsigned(row, 0).map(Position))
}

/// What the ledger did to an item's on hand after the moment `at`, going by when its documents occurred.
///
/// # Errors
/// SQLite's.
pub fn effect_after_time(db: &Connection, item: ItemNo, at: UnixMillis) -> Result<i64> {
    let sql = "SELECT coalesce(sum(m.effect), 0)
               FROM ledger_block b CROSS JOIN movement m ON m.position >> 13 = b.number AND m.item = ?1
               JOIN document d ON d.document = m.document
               WHERE d.occurred_at > ?2";
    db.prepare_cached(sql)?.query_row(params![item.0, at.0], |row| row.get(0))
}

/// Whether a count of the item is in the ledger whose shelf was counted after `anchor`.
///
/// # Errors
/// SQLite's.
pub fn counted_after_position(db: &Connection, item: ItemNo, anchor: Position) -> Result<bool> {
    let sql = "SELECT EXISTS (
                   SELECT 1
                   FROM ledger_block b CROSS JOIN movement m ON m.position >> 13 = b.number AND m.item = ?1
                   WHERE b.number >= ?2 >> 13 AND m.position > ?2 AND m.anchor > ?2)";
    db.prepare_cached(sql)?.query_row(params![item.0, signed(anchor.0)], |row| row.get(0))
}

/// Whether a count of the item is in the ledger whose shelf was counted after the moment `at`.
///
/// # Errors
/// SQLite's.
pub fn counted_after_time(db: &Connection, item: ItemNo, at: UnixMillis) -> Result<bool> {
    let sql = "SELECT EXISTS (
                   SELECT 1
                   FROM ledger_block b CROSS JOIN movement m ON m.position >> 13 = b.number AND m.item = ?1
                   JOIN document d ON d.document = m.document
                   WHERE m.anchor IS NOT NULL AND d.occurred_at > ?2)";
    db.prepare_cached(sql)?.query_row(params![item.0, at.0], |row| row.get(0))
}

/// What last took some of an item away, other than an order's shopper.
///
/// # Errors
/// SQLite's.
pub fn last_loss(db: &Connection, item: ItemNo) -> Result<Option<Kind>> {
    let sql = "SELECT d.kind
               FROM ledger_block b CROSS JOIN movement m ON m.position >> 13 = b.number AND m.item = ?1
               JOIN document d ON d.document = m.document
               WHERE m.effect < 0 AND d.kind <> 9
               ORDER BY m.position DESC LIMIT 1";
    let code: Option<u8> = db.prepare_cached(sql)?.query_row([item.0], |row| row.get(0)).optional()?;
    Ok(code.and_then(Kind::from_code))
}

/// The last position in `epoch`'s history, 0 when it has none.
///
/// # Errors
/// SQLite's.
pub fn history_head(db: &Connection, epoch: Epoch) -> Result<Position> {
    let sql = "SELECT document + lines - 1 FROM document WHERE epoch = ?1 ORDER BY document DESC LIMIT 1";
    let head = db.query_row(sql, [epoch.0], |row| unsigned(row, 0)).optional()?;
    Ok(Position(head.unwrap_or(0)))
}

/// Documents of `epoch` after `base` in order, until `each` says that it has enough by returning false.
///
/// # Errors
/// SQLite's.
pub fn documents_after(
    db: &Connection,
    epoch: Epoch,
    base: Position,
    mut each: impl FnMut(HistoryDocument) -> bool,
) -> Result<()> {
    let sql = "SELECT d.document, s.name, d.reference, d.kind, d.reason, d.occurred_at, d.recorded_at, d.content, d.lines
               FROM document d JOIN source s ON s.source = d.source
               WHERE d.document > ?1 AND d.epoch = ?2 ORDER BY d.document";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![signed(base.0), epoch.0])?;
    while let Some(row) = rows.next()? {
        if !each(document_of(db, row)?) {
            break;
        }
    }
    Ok(())
}

fn document_of(db: &Connection, row: &Row<'_>) -> Result<HistoryDocument> {
    let first_position = unsigned(row, 0)?;
    let (source, reference): (String, String) = (row.get(1)?, row.get(2)?);
    let code: u8 = row.get(3)?;
    let lines = u64::from(narrow(row, 8)?);
    Ok(HistoryDocument {
        first_position: Position(first_position),
        source: source.parse().map_err(|error| conversion(1, error))?,
        reference: reference.parse().map_err(|error| conversion(2, error))?,
        kind: Kind::from_code(code).ok_or(rusqlite::Error::IntegralValueOutOfRange(3, code.into()))?,
        reason: row.get(4)?,
        occurred_at: UnixMillis(row.get(5)?),
        recorded_at: UnixMillis(row.get(6)?),
        content: row.get(7)?,
        lines: lines_of(db, first_position, lines)?,
    })
}

fn lines_of(db: &Connection, first: u64, lines: u64) -> Result<Vec<HistoryLine>> {
    let sql = "SELECT item, quantity, effect FROM movement WHERE position >= ?1 AND position < ?2 ORDER BY position";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![signed(first), signed(first + lines)], |row| {
        Ok(HistoryLine {
            item: ItemNo(narrow(row, 0)?),
            quantity: Quantity::from_thousandths(row.get(1)?),
            effect: Quantity::from_thousandths(row.get(2)?),
        })
    })?;
    rows.collect()
}

/// All documents, of whatever epoch, now belong to `granted`, except those that `stays` names. Gives out the rows that moved.
///
/// # Errors
/// SQLite's.
pub fn move_documents(
    db: &Connection,
    granted: Epoch,
    mut stays: impl FnMut(&str, &str) -> bool,
) -> Result<Vec<i64>> {
    let sql = "SELECT d.document, s.name, d.reference FROM document d JOIN source s ON s.source = d.source
               ORDER BY d.document";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut moved = Vec::new();
    while let Some(row) = rows.next()? {
        let (source, reference): (String, String) = (row.get(1)?, row.get(2)?);
        if !stays(&source, &reference) {
            moved.push(row.get(0)?);
        }
    }
    drop(rows);
    let mut update = db.prepare("UPDATE document SET epoch = ?1 WHERE document = ?2")?;
    for document in &moved {
        update.execute(params![granted.0, document])?;
    }
    Ok(moved)
}

/// Documents of earlier epochs now belong to `epoch`.
///
/// # Errors
/// SQLite's.
pub fn bring_documents_along(db: &Connection, epoch: Epoch) -> Result<()> {
    db.execute("UPDATE document SET epoch = ?1 WHERE epoch < ?1", [epoch.0]).map(drop)
}

/// What a document did to each item, in order.
///
/// # Errors
/// SQLite's.
pub fn effects_of(db: &Connection, document: i64) -> Result<Vec<(ItemNo, Quantity)>> {
    let sql = "SELECT m.item, m.effect FROM document d
               JOIN movement m ON m.position >= d.document AND m.position < d.document + d.lines
               WHERE d.document = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([document], |row| {
        Ok((ItemNo(narrow(row, 0)?), Quantity::from_thousandths(row.get(1)?)))
    })?;
    rows.collect()
}

/// Gives the ledger's lines other item numbers.
///
/// # Errors
/// SQLite's.
pub fn renumber_movements(db: &Connection, numbers: &[(ItemNo, ItemNo)]) -> Result<()> {
    db.execute_batch("CREATE TEMP TABLE renumber (old INTEGER PRIMARY KEY, new INTEGER NOT NULL) STRICT")?;
    {
        let mut add = db.prepare("INSERT INTO temp.renumber (old, new) VALUES (?1, ?2)")?;
        for (old, new) in numbers {
            add.execute([old.0, new.0])?;
        }
        let sql = "UPDATE movement SET item = (SELECT new FROM temp.renumber WHERE old = item)
                   WHERE item IN (SELECT old FROM temp.renumber)";
        db.execute(sql, [])?;
    }
    db.execute_batch("DROP TABLE temp.renumber")
}

/// # Errors
/// SQLite's.
pub fn add_quarantine(db: &Connection, at: UnixMillis, what: &str, reason: &str, bytes: &[u8]) -> Result<()> {
    let sql = "INSERT INTO quarantine (at, what, reason, bytes) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute(params![
        at.0,
        what,
        reason,
        &bytes[..bytes.len().min(QUARANTINED_BYTES_MAX)]
    ])?;
    let sql = "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?1";
    db.prepare_cached(sql)?.execute([QUARANTINE_MAX]).map(drop)
}

/// # Errors
/// SQLite's.
pub fn quarantined(db: &Connection) -> Result<u64> {
    db.query_row("SELECT count(*) FROM quarantine", [], |row| unsigned(row, 0))
}

/// A record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    pub id: i64,
    pub at: UnixMillis,
    /// What it is, as `agent` names it; empty for what an earlier agent set aside.
    pub what: String,
    pub reason: String,
    pub bytes: Vec<u8>,
}

/// # Errors
/// SQLite's.
pub fn quarantine_row(db: &Connection, id: i64) -> Result<Option<QuarantineRow>> {
    let sql = "SELECT id, at, what, reason, bytes FROM quarantine WHERE id = ?1";
    db.prepare_cached(sql)?.query_row([id], quarantine_of).optional()
}

/// The newest first.
///
/// # Errors
/// SQLite's.
pub fn quarantine(db: &Connection, limit: u32) -> Result<Vec<QuarantineRow>> {
    let sql = "SELECT id, at, what, reason, bytes FROM quarantine ORDER BY id DESC LIMIT ?1";
    db.prepare_cached(sql)?.query_map([limit], quarantine_of)?.collect()
}

/// # Errors
/// SQLite's.
pub fn forget_quarantined(db: &Connection, id: i64) -> Result<()> {
    db.prepare_cached("DELETE FROM quarantine WHERE id = ?1")?.execute([id]).map(drop)
}

fn quarantine_of(row: &Row<'_>) -> Result<QuarantineRow> {
    let (id, at) = (row.get(0)?, UnixMillis(row.get(1)?));
    Ok(QuarantineRow { id, at, what: row.get(2)?, reason: row.get(3)?, bytes: row.get(4)? })
}
