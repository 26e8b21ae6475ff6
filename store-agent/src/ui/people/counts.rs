//! Shelves being counted: kept here, not in the browser, so that a reload, a dead battery or a restart loses nothing.

use super::audit;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use sync_protocol::{Position, Quantity, UnixMillis};

/// Most entries of one count: a shelf has fewer places.
pub const ENTRIES_MAX: usize = 500;

/// How far a count is. The numbers are the ones on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SheetState {
    Counting,
    /// It differs so much that a manager has to look at it.
    Waiting,
    Recorded,
    GivenUp,
}

impl SheetState {
    const ALL: [SheetState; 4] =
        [SheetState::Counting, SheetState::Waiting, SheetState::Recorded, SheetState::GivenUp];

    fn code(self) -> i64 {
        match self {
            SheetState::Counting => 1,
            SheetState::Waiting => 2,
            SheetState::Recorded => 3,
            SheetState::GivenUp => 4,
        }
    }
}

/// One count of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    pub id: i64,
    pub reference: String,
    pub sku: String,
    pub position: Position,
    pub blind: bool,
    pub person: String,
    pub device: String,
    pub opened_at: UnixMillis,
    pub state: SheetState,
    pub counted: Option<Quantity>,
    pub variance: Option<Quantity>,
}

/// What was found in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub quantity: Quantity,
    pub place: String,
}

/// Who begins to count what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    pub sku: String,
    pub position: Position,
    pub blind: bool,
    pub person: String,
    pub device: String,
}

const COLUMNS: &str = "SELECT sheet, reference, sku, position, blind, person, device, opened_at, state, counted, variance FROM sheet";

/// Begins a count, or goes on with the person's own that has entries already. One without any begins anew: its shelf is counted as it is now.
pub fn begin(db: &mut Connection, beginning: &Beginning, now: UnixMillis) -> Result<i64> {
    let step = db.transaction()?;
    let Beginning { sku, position, blind, person, device } = beginning;
    let own =
        "SELECT sheet, EXISTS (SELECT 1 FROM sheet_entry WHERE sheet_entry.sheet = sheet.sheet) FROM sheet
               WHERE sku = ?1 AND person = ?2 AND state = 1 ORDER BY sheet DESC LIMIT 1";
    let found: Option<(i64, bool)> =
        step.query_row(own, params![sku, person], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let id = match found {
        Some((id, true)) => id,
        Some((id, false)) => {
            let sql =
                "UPDATE sheet SET position = ?2, blind = ?3, device = ?4, opened_at = ?5 WHERE sheet = ?1";
            step.execute(sql, params![id, position.0.cast_signed(), blind, device, now.0])?;
            id
        }
        None => {
            let sql = "INSERT INTO sheet (reference, sku, position, blind, person, device, opened_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let reference = new_reference(now)?;
            step.execute(
                sql,
                params![reference, sku, position.0.cast_signed(), blind, person, device, now.0],
            )?;
            step.last_insert_rowid()
        }
    };
    step.commit()?;
    Ok(id)
}

/// The same count from the beginning, of the shelf as it is now. A doubled wish changes nothing more: it is empty already.
pub fn again(db: &mut Connection, id: i64, position: Position, now: UnixMillis) -> Result<()> {
    let step = db.transaction()?;
    let sql = "UPDATE sheet SET reference = ?2, position = ?3, opened_at = ?4, state = 1, counted = NULL, variance = NULL
               WHERE sheet = ?1 AND state IN (1, 2)";
    if step.execute(sql, params![id, new_reference(now)?, position.0.cast_signed(), now.0])? > 0 {
        step.execute("DELETE FROM sheet_entry WHERE sheet = ?1", [id])?;
    }
    step.commit()
}

pub fn sheet(db: &Connection, id: i64) -> Result<Option<Sheet>> {
    db.prepare_cached(&format!("{COLUMNS} WHERE sheet = ?1"))?.query_row([id], sheet_of).optional()
}

/// Counts that are not over, the oldest first.
pub fn open(db: &Connection) -> Result<Vec<Sheet>> {
    let sql = format!("{COLUMNS} WHERE state IN (1, 2) ORDER BY opened_at");
    db.prepare_cached(&sql)?.query_map([], sheet_of)?.collect()
}

pub fn entries(db: &Connection, id: i64) -> Result<Vec<Entry>> {
    let sql = "SELECT entry, quantity, place FROM sheet_entry WHERE sheet = ?1 ORDER BY entry";
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map([id], |row| {
        Ok(Entry { id: row.get(0)?, quantity: Quantity::from_thousandths(row.get(1)?), place: row.get(2)? })
    })?;
    rows.collect()
}

/// Enters what was found in one place, once. False: the count is over, or full.
pub fn enter(
    db: &mut Connection,
    id: i64,
    once: &str,
    quantity: Quantity,
    place: &str,
    now: UnixMillis,
) -> Result<bool> {
    let step = db.transaction()?;
    let sql = "SELECT state = 1 AND (SELECT count(*) FROM sheet_entry WHERE sheet = ?1) < ?2 FROM sheet WHERE sheet = ?1";
    let has_room: Option<bool> =
        step.query_row(sql, params![id, ENTRIES_MAX], |row| row.get(0)).optional()?;
    if has_room != Some(true) {
        return Ok(false);
    }
    let sql =
        "INSERT OR IGNORE INTO sheet_entry (sheet, once, quantity, place, at) VALUES (?1, ?2, ?3, ?4, ?5)";
    step.execute(sql, params![id, once, quantity.thousandths(), place, now.0])?;
    step.commit()?;
    Ok(true)
}

pub fn remove(db: &Connection, id: i64, entry: i64) -> Result<()> {
    let sql = "DELETE FROM sheet_entry WHERE sheet = ?1 AND entry = ?2
               AND EXISTS (SELECT 1 FROM sheet WHERE sheet = ?1 AND state = 1)";
    db.prepare_cached(sql)?.execute([id, entry]).map(drop)
}

/// It has been added up, and is to wait for a manager.
pub fn wait(db: &Connection, id: i64, counted: Quantity, variance: Quantity) -> Result<()> {
    let sql = "UPDATE sheet SET state = 2, counted = ?2, variance = ?3 WHERE sheet = ?1 AND state = 1";
    db.prepare_cached(sql)?.execute(params![id, counted.thousandths(), variance.thousandths()]).map(drop)
}

/// It is in the ledger.
pub fn recorded(
    db: &Connection,
    id: i64,
    counted: Quantity,
    variance: Option<Quantity>,
    now: UnixMillis,
) -> Result<()> {
    let sql = "UPDATE sheet SET state = 3, counted = ?2, variance = ?3, closed_at = ?4 WHERE sheet = ?1 AND state IN (1, 2)";
    let values = params![id, counted.thousandths(), variance.map(Quantity::thousandths), now.0];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

/// The ledger has refused it: the next try goes by another reference.
pub fn renamed(db: &Connection, id: i64, now: UnixMillis) -> Result<()> {
    let sql = "UPDATE sheet SET reference = ?2 WHERE sheet = ?1 AND state IN (1, 2)";
    db.prepare_cached(sql)?.execute(params![id, new_reference(now)?]).map(drop)
}

pub fn give_up(db: &Connection, id: i64, now: UnixMillis) -> Result<()> {
    let sql = "UPDATE sheet SET state = 4, closed_at = ?2 WHERE sheet = ?1 AND state IN (1, 2)";
    db.prepare_cached(sql)?.execute(params![id, now.0]).map(drop)
}

fn new_reference(now: UnixMillis) -> Result<String> {
    audit::new_reference(now).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn sheet_of(row: &Row<'_>) -> Result<Sheet> {
    let state: i64 = row.get(8)?;
    let quantity = |at| row.get::<_, Option<i64>>(at).map(|found| found.map(Quantity::from_thousandths));
    Ok(Sheet {
        id: row.get(0)?,
        reference: row.get(1)?,
        sku: row.get(2)?,
        position: Position(row.get::<_, i64>(3)?.cast_unsigned()),
        blind: row.get(4)?,
        person: row.get(5)?,
        device: row.get(6)?,
        opened_at: UnixMillis(row.get(7)?),
        state: SheetState::ALL
            .into_iter()
            .find(|known| known.code() == state)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(8, state))?,
        counted: quantity(9)?,
        variance: quantity(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::people::in_memory;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn beginning(person: &str, position: u64) -> Beginning {
        let (sku, device) = ("4011".to_owned(), "Tablet".to_owned());
        Beginning { sku, position: Position(position), blind: false, person: person.to_owned(), device }
    }

    fn units(units: i64) -> Quantity {
        Quantity::from_units(units)
    }

    #[test]
    fn an_empty_count_begins_anew_and_one_with_entries_goes_on() {
        let mut db = in_memory();
        let id = begin(&mut db, &beginning("Ana", 5), NOW).unwrap();
        assert_eq!(begin(&mut db, &beginning("Ana", 9), NOW).unwrap(), id);
        assert_eq!(sheet(&db, id).unwrap().unwrap().position, Position(9));
        assert!(enter(&mut db, id, "one", units(3), "top", NOW).unwrap());
        assert_eq!(begin(&mut db, &beginning("Ana", 12), NOW).unwrap(), id);
        assert_eq!(
            sheet(&db, id).unwrap().unwrap().position,
            Position(9),
            "the shelf was counted as of then"
        );
        assert_ne!(
            begin(&mut db, &beginning("Bo", 12), NOW).unwrap(),
            id,
            "another person counts for themselves"
        );
    }

    #[test]
    fn an_entry_sent_twice_is_entered_once_and_can_be_taken_out() {
        let mut db = in_memory();
        let id = begin(&mut db, &beginning("Ana", 5), NOW).unwrap();
        for _ in 0..2 {
            assert!(enter(&mut db, id, "one", units(3), "top", NOW).unwrap());
        }
        assert!(enter(&mut db, id, "two", units(4), "", NOW).unwrap());
        let found = entries(&db, id).unwrap();
        assert_eq!(found.iter().map(|entry| entry.quantity).collect::<Vec<_>>(), [units(3), units(4)]);
        remove(&db, id, found[0].id).unwrap();
        assert_eq!(entries(&db, id).unwrap().len(), 1);
    }

    #[test]
    fn nothing_is_entered_once_it_waits_and_a_recount_is_empty() {
        let mut db = in_memory();
        let id = begin(&mut db, &beginning("Ana", 5), NOW).unwrap();
        enter(&mut db, id, "one", units(3), "", NOW).unwrap();
        wait(&db, id, units(3), units(-7)).unwrap();
        let before = sheet(&db, id).unwrap().unwrap();
        assert_eq!((before.state, before.variance), (SheetState::Waiting, Some(units(-7))));
        assert!(!enter(&mut db, id, "two", units(3), "", NOW).unwrap());
        again(&mut db, id, Position(20), NOW).unwrap();
        let after = sheet(&db, id).unwrap().unwrap();
        assert_eq!((after.state, after.position, after.variance), (SheetState::Counting, Position(20), None));
        assert_ne!(after.reference, before.reference);
        assert_eq!(entries(&db, id).unwrap(), []);
        recorded(&db, id, units(1), Some(units(0)), NOW).unwrap();
        again(&mut db, id, Position(30), NOW).unwrap();
        assert_eq!(sheet(&db, id).unwrap().unwrap().state, SheetState::Recorded, "what is recorded stays so");
        assert_eq!(open(&db).unwrap(), []);
    }
}
