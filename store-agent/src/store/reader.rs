//! Reads the store's database for people and programs, beside the one writer and never in its way.
//!
//! Each question is one short read transaction, so its parts fit each other, on a connection that cannot write. What it shows
//! is committed: a till that has its answer finds its movement here.

mod counting;
mod doctor;
mod on_hand;
mod pages;
mod reports;
mod search;
mod tasks;

pub use counting::Expected;
pub use doctor::{Quarantined, SourceSeen};
pub use on_hand::OnHand;
pub use pages::{MovementFilter, MovementPage};
pub use reports::{CountLine, PickupTime, Reports, Shrink};
pub use search::Searched;
pub use tasks::TaskView;

use super::notes::{self, Writer};
use super::orders::{self, OrderRow};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use sync_protocol::count::CountTask;
use sync_protocol::order::{OrderId, Stage};
use sync_protocol::record::{Kind, Topic};
use sync_protocol::stock::{Cell, HubHalf, SalesRate, StoreHalf};
use sync_protocol::{Epoch, Gtin, ItemNo, Position, Quantity, Seq, Sku, SourceId, UnixMillis};

const STOCK: &str = include_str!("queries/stock.sql");
const ITEM: &str = include_str!("queries/item.sql");
const ITEM_OF_ORDER: &str = include_str!("queries/item_of_order.sql");
const MOVEMENTS: &str = include_str!("queries/movements.sql");
const MOVEMENTS_OF_ITEM: &str = include_str!("queries/movements_of_item.sql");

/// Connections kept open between questions. More are opened when more ask at once, and closed again.
const KEPT_MAX: usize = 2;

/// Answers questions about what is on disk. Blocks: asynchronous callers ask on a blocking thread.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// An item with everything that is known about its stock.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemView {
    pub item: ItemNo,
    pub sku: String,
    pub gtins: Vec<Gtin>,
    pub name: String,
    pub unit: String,
    pub unnamed: bool,
    pub cell: Cell,
    pub rate: SalesRate,
    /// The change that last touched the store's half; above the hub's mark it is still on its way.
    pub changed: Seq,
}

/// An item beside the end of the ledger at the same moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemAt {
    pub view: ItemView,
    pub position: Position,
}

/// A pickup order beside the items of its lines.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderView {
    pub row: OrderRow,
    /// One for each line of the store's half, in its order. `None`: the store has no such item any more.
    pub items: Vec<Option<ItemView>>,
    /// What took goods that orders were promised, where some of its items lack any: `sale`, `count` or `other`.
    pub breach: Option<&'static str>,
}

/// Orders on which somebody has something to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub active: usize,
    /// Nobody has taken these on.
    pub fresh: usize,
}

/// One ledger line with the document it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovementView {
    pub position: Position,
    pub source: String,
    pub reference: String,
    pub kind: Kind,
    pub reason: Option<String>,
    pub occurred_at: UnixMillis,
    pub recorded_at: UnixMillis,
    pub sku: String,
    pub quantity: Quantity,
    pub effect: Quantity,
    /// What the item is called, and how it is sold.
    pub name: String,
    pub unit: String,
}

impl Reader {
    /// Opens the first connection at once, so that a wrong path shows at the start.
    pub fn open(path: &Path) -> rusqlite::Result<Reader> {
        let first = connect(path)?;
        Ok(Reader { path: path.to_owned(), idle: Mutex::new(vec![first]) })
    }

    /// `None`: this store has never heard of the sku.
    pub fn item(&self, sku: &Sku) -> rusqlite::Result<Option<ItemAt>> {
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let view = snapshot.prepare_cached(ITEM)?.query_row([sku.as_str()], item_view).optional()?;
            let Some(view) = view else { return Ok(None) };
            let gtins = gtins(&snapshot, view.item)?;
            let position = ledger_end(&snapshot)?;
            Ok(Some(ItemAt { view: ItemView { gtins, ..view }, position }))
        })
    }

    /// Items after `after` in the order of their skus whose sku or name contains `text`, or whose barcode it is.
    pub fn stock(&self, text: &str, after: &str, limit: u32) -> rusqlite::Result<Vec<ItemView>> {
        let pattern = contains(text);
        let gtin = text.parse::<Gtin>().ok().map(Gtin::number);
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let mut query = snapshot.prepare_cached(STOCK)?;
            let rows = query.query_map(params![after, pattern, gtin, limit], item_view)?;
            rows.map(|view| {
                let view = view?;
                let gtins = gtins(&snapshot, view.item)?;
                Ok(ItemView { gtins, ..view })
            })
            .collect()
        })
    }

    /// Ledger lines after `after`, of one item or of all.
    pub fn movements(
        &self,
        sku: Option<&Sku>,
        after: Position,
        limit: u32,
    ) -> rusqlite::Result<Vec<MovementView>> {
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        self.ask(|db| match sku {
            Some(sku) => {
                let mut query = db.prepare_cached(MOVEMENTS_OF_ITEM)?;
                query.query_map(params![after, limit, sku.as_str()], movement_view)?.collect()
            }
            None => {
                let mut query = db.prepare_cached(MOVEMENTS)?;
                query.query_map(params![after, limit], movement_view)?.collect()
            }
        })
    }

    /// Orders on which somebody has something to do, the most urgent first.
    pub fn active_orders(&self, limit: u32) -> rusqlite::Result<Vec<OrderView>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            // The epoch plays no part in what is shown.
            let rows = orders::active_orders(&snapshot, Epoch::default(), limit)?;
            with_items(&snapshot, rows)
        })
    }

    /// How many orders wait for somebody.
    pub fn waiting_orders(&self) -> rusqlite::Result<Waiting> {
        self.ask(|db| {
            let rows = orders::active_orders(db, Epoch::default(), usize::MAX >> 1)?;
            let fresh = rows.iter().filter(|row| row.store.stage == Stage::Received).count();
            Ok(Waiting { active: rows.len(), fresh })
        })
    }

    /// Orders that have come to their end since `since`, the last changed first; of no more than `limit` that are looked at.
    pub fn ended_orders(&self, since: UnixMillis, limit: u32) -> rusqlite::Result<Vec<OrderView>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let mut rows = orders::ended_orders(&snapshot, Epoch::default(), limit)?;
            rows.retain(|row| row.store.since >= since);
            with_items(&snapshot, rows)
        })
    }

    /// An order, also one that has ended. `None`: this store has never heard of it.
    pub fn order(&self, order: OrderId) -> rusqlite::Result<Option<OrderView>> {
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let row = orders::order(&snapshot, Epoch::default(), order)?;
            Ok(with_items(&snapshot, row.into_iter().collect())?.pop())
        })
    }

    /// The order as the core has answered it, beside its items.
    pub fn items_of(&self, row: OrderRow) -> rusqlite::Result<Option<OrderView>> {
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            Ok(with_items(&snapshot, vec![row])?.pop())
        })
    }

    /// How far a source has been read.
    pub fn cursor(&self, source: &SourceId) -> rusqlite::Result<Option<Vec<u8>>> {
        self.ask(|db| {
            let mut query = db.prepare_cached(
                "SELECT cursor.value FROM source JOIN cursor ON cursor.source = source.source WHERE source.name = ?1",
            )?;
            query.query_row([source.as_str()], |row| row.get(0)).optional()
        })
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = kept.map_or_else(|| connect(&self.path), Ok)?;
        let answer = question(&db);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_MAX {
            idle.push(db);
        }
        answer
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // Half a MiB of pages each: readers are many questions about little, and the store server is small.
    db.execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -512;")?;
    Ok(db)
}

fn with_items(db: &Connection, rows: Vec<OrderRow>) -> rusqlite::Result<Vec<OrderView>> {
    let mut known: HashMap<ItemNo, Option<ItemView>> = HashMap::new();
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        let mut items = Vec::with_capacity(row.store.progress.len());
        for line in &row.store.progress {
            let view = match known.entry(line.item) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(item_of_order(db, line.item)?),
            };
            items.push(view.clone());
        }
        let breach = breach_of(db, &items)?;
        views.push(OrderView { row, items, breach });
    }
    Ok(views)
}

/// What the task of the first item that lacks goods says took them.
fn breach_of(db: &Connection, items: &[Option<ItemView>]) -> rusqlite::Result<Option<&'static str>> {
    for item in items.iter().flatten().filter(|item| item.cell.lacking().is_positive()) {
        if let Some((text, _)) = notes::text(db, Writer::Store, Topic::COUNT_TASK, item.item.0)? {
            return Ok(CountTask::read(&text).ok().and_then(|task| task.breach()));
        }
    }
    Ok(None)
}

fn item_of_order(db: &Connection, item: ItemNo) -> rusqlite::Result<Option<ItemView>> {
    let view = db.prepare_cached(ITEM_OF_ORDER)?.query_row([item.0], item_view).optional()?;
    let Some(view) = view else { return Ok(None) };
    Ok(Some(ItemView { gtins: gtins(db, item)?, ..view }))
}

fn gtins(db: &Connection, item: ItemNo) -> rusqlite::Result<Vec<Gtin>> {
    let mut query = db.prepare_cached("SELECT gtin FROM gtin WHERE item = ?1 ORDER BY gtin")?;
    let numbers = query.query_map([item.0], |row| row.get::<_, u64>(0))?;
    numbers.filter_map(|number| number.map(Gtin::from_number).transpose()).collect()
}

fn ledger_end(db: &Connection) -> rusqlite::Result<Position> {
    let next: i64 = db.prepare_cached("SELECT next_position FROM agent")?.query_row([], |row| row.get(0))?;
    Ok(Position(u64::try_from(next - 1).unwrap_or(0)))
}

/// A LIKE pattern for texts that contain this one, letter by letter.
fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

fn item_view(row: &Row<'_>) -> rusqlite::Result<ItemView> {
    let total = |index| row.get::<_, i64>(index).map(|total| u64::try_from(total).unwrap_or(0));
    // The epoch plays no part in the figures.
    let store = StoreHalf {
        epoch: Epoch::default(),
        in_: total(5)?,
        out: total(6)?,
        granted: total(7)?,
        recalled: total(8)?,
        fulfilled: total(9)?,
    };
    let hub = HubHalf { promised: total(10)?, released: total(11)?, returned: total(12)? };
    Ok(ItemView {
        item: ItemNo(row.get(0)?),
        sku: row.get(1)?,
        gtins: Vec::new(),
        name: row.get(2)?,
        unit: row.get(3)?,
        unnamed: row.get(4)?,
        cell: Cell { store, hub },
        rate: SalesRate::from_parts(row.get(13)?, UnixMillis(row.get(14)?)),
        changed: Seq(row.get(15)?),
    })
}

fn movement_view(row: &Row<'_>) -> rusqlite::Result<MovementView> {
    let code: i64 = row.get(3)?;
    let kind = u8::try_from(code).ok().and_then(Kind::from_code);
    Ok(MovementView {
        position: Position(row.get(0)?),
        source: row.get(1)?,
        reference: row.get(2)?,
        kind: kind.ok_or(rusqlite::Error::IntegralValueOutOfRange(3, code))?,
        reason: row.get(4)?,
        occurred_at: UnixMillis(row.get(5)?),
        recorded_at: UnixMillis(row.get(6)?),
        sku: row.get(7)?,
        quantity: Quantity::from_thousandths(row.get(8)?),
        effect: Quantity::from_thousandths(row.get(9)?),
        name: row.get(10)?,
        unit: row.get(11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("schema/0001_start.sql");
    const GOODS: &str = "
        INSERT INTO agent (only_row, store, next_position) VALUES (1, 'S0001', 4);
        INSERT INTO item (item, sku, name, unit, unnamed, change_seq) VALUES
            (1, '4011', 'Bananas', 'kg', 0, 1), (2, 'A%1', 'Tea 100%', 'each', 0, 2), (3, 'B_2', '', 'each', 1, 3);
        INSERT INTO gtin (gtin, item) VALUES (12345678905, 2);
        INSERT INTO stock (item, total_in, total_out, granted, promised, rate, rate_at, change_seq)
            VALUES (1, 12000, 1235, 5000, 2000, 0.5, 9, 4);
        INSERT INTO source (source, name) VALUES (1, 'till-3');
        INSERT INTO document (document, source, reference, kind, occurred_at, recorded_at, content, epoch, lines)
            VALUES (1, 1, 'r1', 3, 10, 11, 0, 0, 2), (3, 1, 'r2', 1, 20, 21, 0, 0, 1);
        INSERT INTO movement (position, document, item, quantity, effect) VALUES (1, 1, 1, 12000, 12000), (2, 1, 2, 1000, 1000), (3, 3, 1, 1235, -1235);
        INSERT INTO cursor (source, value, change_seq) VALUES (1, x'31322f37', 1);";

    fn store() -> (tempfile::TempDir, Reader) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        writer.execute_batch(SCHEMA).unwrap();
        writer.execute_batch(GOODS).unwrap();
        (folder, Reader::open(&path).unwrap())
    }

    fn skus(views: &[ItemView]) -> Vec<&str> {
        views.iter().map(|view| view.sku.as_str()).collect()
    }

    #[test]
    fn an_item_shows_its_figures_and_the_end_of_the_ledger() {
        let (_folder, reader) = store();
        let found = reader.item(&"4011".parse().unwrap()).unwrap().unwrap();
        assert_eq!(found.position, Position(3));
        assert_eq!(found.view.cell.on_hand().to_string(), "10.765");
        assert_eq!(found.view.cell.free().to_string(), "3");
        assert_eq!(found.view.rate.parts(), (0.5, UnixMillis(9)));
        assert!(reader.item(&"nothing".parse().unwrap()).unwrap().is_none());
    }

    #[test]
    fn an_item_that_never_moved_has_zeros() {
        let (_folder, reader) = store();
        let found = reader.item(&"B_2".parse().unwrap()).unwrap().unwrap();
        assert!(found.view.unnamed && found.view.cell == Cell::default());
    }

    #[test]
    fn stock_is_searched_by_sku_name_and_barcode() {
        let (_folder, reader) = store();
        let search = |text| reader.stock(text, "", 10).unwrap();
        assert_eq!(skus(&search("")), ["4011", "A%1", "B_2"]);
        assert_eq!(skus(&search("banana")), ["4011"]);
        assert_eq!(skus(&search("0%")), ["A%1"]);
        assert_eq!(skus(&search("_")), ["B_2"]);
        let by_barcode = search("0012345678905");
        assert_eq!(skus(&by_barcode), ["A%1"]);
        assert_eq!(by_barcode[0].gtins[0].to_string(), "00012345678905");
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let (_folder, reader) = store();
        assert_eq!(skus(&reader.stock("", "", 2).unwrap()), ["4011", "A%1"]);
        assert_eq!(skus(&reader.stock("", "A%1", 2).unwrap()), ["B_2"]);
        let first = reader.movements(None, Position(0), 2).unwrap();
        let second = reader.movements(None, first[1].position, 2).unwrap();
        assert_eq!((first.len(), second.len(), second[0].position), (2, 1, Position(3)));
    }

    #[test]
    fn movements_of_one_item_leave_out_the_others() {
        let (_folder, reader) = store();
        let found = reader.movements(Some(&"4011".parse().unwrap()), Position(0), 10).unwrap();
        let effects: Vec<String> = found.iter().map(|movement| movement.effect.to_string()).collect();
        assert_eq!(effects, ["12", "-1.235"]);
        assert_eq!((found[1].kind, found[1].reference.as_str()), (Kind::Sale, "r2"));
    }

    #[test]
    fn a_cursor_is_the_bytes_the_source_left() {
        let (_folder, reader) = store();
        assert_eq!(reader.cursor(&"till-3".parse().unwrap()).unwrap().unwrap(), b"12/7");
        assert_eq!(reader.cursor(&"till-9".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn it_cannot_write() {
        let (_folder, reader) = store();
        let wrote = reader.ask(|db| db.execute("DELETE FROM item", []));
        assert!(wrote.is_err());
    }

    /// The index by item is cut into blocks of 8,192 positions.
    #[test]
    fn an_items_lines_are_found_however_far_apart_they_lie() {
        let (folder, reader) = store();
        let writer = Connection::open(folder.path().join("agent.db")).unwrap();
        let far = [8_191, 8_192, 8_193, 40_000, 1_000_000];
        for position in far {
            let document = "INSERT INTO document (document, source, reference, kind, occurred_at, recorded_at, content, epoch, lines)
                            VALUES (?1, 1, 'far' || ?1, 1, ?1, ?1, 0, 0, 1)";
            writer.execute(document, [position]).unwrap();
            let line = "INSERT INTO movement (position, document, item, quantity, effect) VALUES (?1, ?1, ?2, 1, -1)";
            writer.execute(line, params![position, if position == 8_193 { 2 } else { 1 }]).unwrap();
        }
        let sku = "4011".parse().unwrap();
        let after = |after, limit| {
            let lines = reader.movements(Some(&sku), Position(after), limit).unwrap();
            lines.into_iter().map(|line| line.position.0).collect::<Vec<_>>()
        };
        assert_eq!(after(0, 99), [1, 3, 8_191, 8_192, 40_000, 1_000_000]);
        assert_eq!(after(8_191, 2), [8_192, 40_000]);
        assert_eq!(after(1_000_000, 9), [0; 0]);
        let sold =
            |after| super::super::ledger::effect_after_position(&writer, ItemNo(1), Position(after)).unwrap();
        assert_eq!((sold(8_190), sold(8_192), sold(1_000_000)), (-4, -2, 0));
        let later = super::super::ledger::effect_after_time(&writer, ItemNo(1), UnixMillis(8_192)).unwrap();
        assert_eq!(later, -2);
    }
}
