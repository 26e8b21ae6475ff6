//! What reports are made of: pickups against their promise, what was not found, what was lost, how right the books were.

use super::Reader;
use crate::store::orders;
use rusqlite::Connection;
use sync_protocol::order::{OrderId, ShortReason};
use sync_protocol::record::Kind;
use sync_protocol::{Epoch, Quantity, UnixMillis};

const PICKUPS: &str = include_str!("../queries/report_pickups.sql");
const LOSSES: &str = include_str!("../queries/report_losses.sql");
const COUNTS: &str = include_str!("../queries/report_counts.sql");
const ORDERS_IN: &str =
    "SELECT DISTINCT id FROM order_step WHERE stage IN (3, 4, 5) AND at >= ?1 ORDER BY id DESC LIMIT ?2";
/// Most orders whose lines are looked at.
const ORDERS_MAX: u32 = 5_000;

/// When an order was ready, against when it was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PickupTime {
    pub ready_at: UnixMillis,
    /// `None`: it came in before this store kept note of it.
    pub came_at: Option<UnixMillis>,
    pub ready_by: UnixMillis,
}

/// What was lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrink {
    pub kind: Kind,
    /// Empty where none was given.
    pub reason: String,
    pub lost: Quantity,
    pub lines: u64,
}

/// One counted shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountLine {
    pub at: UnixMillis,
    pub counted: Quantity,
    /// What the count changed; zero where the books were right.
    pub variance: Quantity,
}

/// Everything since a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reports {
    pub pickups: Vec<PickupTime>,
    /// Lines of those orders, and how many of them could not be found, in part or whole.
    pub order_lines: u64,
    pub not_found_lines: u64,
    pub shrink: Vec<Shrink>,
    pub counts: Vec<CountLine>,
}

impl Reader {
    pub fn reports(&self, since: UnixMillis) -> rusqlite::Result<Reports> {
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let (order_lines, not_found_lines) = not_found(&snapshot, since)?;
            Ok(Reports {
                pickups: pickups(&snapshot, since)?,
                order_lines,
                not_found_lines,
                shrink: shrink(&snapshot, since)?,
                counts: counts(&snapshot, since)?,
            })
        })
    }
}

fn pickups(db: &Connection, since: UnixMillis) -> rusqlite::Result<Vec<PickupTime>> {
    let mut query = db.prepare_cached(PICKUPS)?;
    let rows = query.query_map([since.0], |row| {
        let came_at = row.get::<_, Option<i64>>(1)?.map(UnixMillis);
        Ok(PickupTime { ready_at: UnixMillis(row.get(0)?), came_at, ready_by: UnixMillis(row.get(2)?) })
    })?;
    // The promise of an order whose hub half has not come is not known.
    rows.filter(|row| row.as_ref().is_ok_and(|time| time.ready_by.0 > 0) || row.is_err()).collect()
}

fn not_found(db: &Connection, since: UnixMillis) -> rusqlite::Result<(u64, u64)> {
    let mut query = db.prepare_cached(ORDERS_IN)?;
    let numbers = query.query_map([since.0, i64::from(ORDERS_MAX)], |row| row.get::<_, i64>(0))?;
    let (mut lines, mut missing) = (0, 0);
    for number in numbers {
        let Ok(order) = OrderId::from_number(number?.cast_unsigned()) else { continue };
        let Some(row) = orders::order(db, Epoch::default(), order)? else { continue };
        for line in &row.store.progress {
            lines += 1;
            missing += u64::from(line.why == Some(ShortReason::NotFound) && line.short.is_positive());
        }
    }
    Ok((lines, missing))
}

fn shrink(db: &Connection, since: UnixMillis) -> rusqlite::Result<Vec<Shrink>> {
    let mut query = db.prepare_cached(LOSSES)?;
    let rows = query.query_map([since.0], |row| {
        let code: i64 = row.get(0)?;
        let kind = u8::try_from(code).ok().and_then(Kind::from_code);
        Ok(Shrink {
            kind: kind.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, code))?,
            reason: row.get(1)?,
            lost: Quantity::from_thousandths(row.get(2)?),
            lines: row.get(3)?,
        })
    })?;
    rows.collect()
}

fn counts(db: &Connection, since: UnixMillis) -> rusqlite::Result<Vec<CountLine>> {
    let mut query = db.prepare_cached(COUNTS)?;
    let rows = query.query_map([since.0], |row| {
        Ok(CountLine {
            at: UnixMillis(row.get(0)?),
            counted: Quantity::from_thousandths(row.get(1)?),
            variance: Quantity::from_thousandths(row.get(2)?),
        })
    })?;
    rows.collect()
}
