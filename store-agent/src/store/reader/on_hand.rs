//! What is on hand of everything, for holding it against what a POS says.

use super::Reader;
use std::collections::HashMap;

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
