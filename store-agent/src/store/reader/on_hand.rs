//! What is on hand of everything, for holding it against what a POS says.

use super::Reader;
use crate::store::ledger;
use rusqlite::OptionalExtension;
use std::collections::HashMap;
use sync_protocol::{Gtin, ItemNo, UnixMillis};

/// On hand in thousandths, by each name an item has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnHand {
    pub by_sku: HashMap<String, i64>,
    pub by_gtin: HashMap<u64, i64>,
}

impl Reader {
    /// Of all items at one moment.
    pub fn on_hand(&self) -> rusqlite::Result<OnHand> {
        self.ask(|db| {
            let moment = db.unchecked_transaction()?;
            let mut found = OnHand::default();
            let sql = "SELECT i.sku, s.total_in - s.total_out FROM item i JOIN stock s ON s.item = i.item";
            let mut statement = moment.prepare_cached(sql)?;
            for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
                found.by_sku.extend([row?]);
            }
            let sql = "SELECT g.gtin, s.total_in - s.total_out FROM gtin g JOIN stock s ON s.item = g.item";
            let mut statement = moment.prepare_cached(sql)?;
            for row in
                statement.query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))?
            {
                found.by_gtin.extend([row?]);
            }
            Ok(found)
        })
    }
}
impl Reader {
    /// For each item, by its barcode or else its sku: whether a count of a shelf as it was later than that is in the ledger.
    pub fn counted_after(&self, asked: &[(String, Option<Gtin>, UnixMillis)]) -> rusqlite::Result<Vec<bool>> {
        self.ask(|db| {
            let moment = db.unchecked_transaction()?;
            let mut by_gtin = moment.prepare_cached("SELECT item FROM gtin WHERE gtin = ?1")?;
            let mut by_sku = moment.prepare_cached("SELECT item FROM item WHERE sku = ?1")?;
            let mut counted = Vec::with_capacity(asked.len());
            for (sku, gtin, at) in asked {
                let number = gtin.map(|gtin| gtin.number().cast_signed());
                let found = by_gtin.query_row([number], |row| row.get(0)).optional()?;
                let found: Option<u32> = match found {
                    Some(item) => Some(item),
                    None => by_sku.query_row([sku], |row| row.get(0)).optional()?,
                };
                let later = found.map(|item| ledger::counted_after_time(&moment, ItemNo(item), *at));
                counted.push(later.transpose()?.unwrap_or(false));
            }
            Ok(counted)
        })
    }
}
