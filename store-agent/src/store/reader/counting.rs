//! What the books expect of a shelf at the moment somebody began to count it.

use super::{Reader, ledger_end};
use crate::store::ledger;
use crate::store::notes::{self, Writer};
use rusqlite::OptionalExtension;
use sync_protocol::count::CountTask;
use sync_protocol::record::Topic;
use sync_protocol::{ItemNo, Position, Quantity, Sku};

/// What a count is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// On hand as it was at that position of the ledger.
    pub on_hand: Quantity,
    /// Somebody has counted the shelf after that: this count can't change anything any more.
    pub counted_since: bool,
    /// What was sold or moved since.
    pub moved_since: Quantity,
}

impl Reader {
    /// The end of the ledger now.
    pub fn position(&self) -> rusqlite::Result<Position> {
        self.ask(ledger_end)
    }

    /// `None`: there is no such item any more.
    pub fn expected(&self, sku: &Sku, at: Position) -> rusqlite::Result<Option<Expected>> {
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let sql = "SELECT item.item, ifnull(stock.total_in, 0) - ifnull(stock.total_out, 0)
                       FROM item LEFT JOIN stock ON stock.item = item.item WHERE item.sku = ?1";
            let found: Option<(u32, i64)> = snapshot
                .prepare_cached(sql)?
                .query_row([sku.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((item, on_hand)) = found else { return Ok(None) };
            let item = ItemNo(item);
            let since = ledger::effect_after_position(&snapshot, item, at)?;
            Ok(Some(Expected {
                on_hand: Quantity::from_thousandths(on_hand.saturating_sub(since)),
                counted_since: ledger::counted_after_position(&snapshot, item, at)?,
                moved_since: Quantity::from_thousandths(since),
            }))
        })
    }

    /// The item's task while it is open.
    pub fn open_task(&self, item: ItemNo) -> rusqlite::Result<Option<CountTask>> {
        self.ask(|db| {
            let text = notes::text(db, Writer::Store, Topic::COUNT_TASK, item.0)?;
            Ok(text.and_then(|(text, _)| CountTask::read(&text).ok()).filter(CountTask::is_open))
        })
    }
}
