//! What the hub sends of its own records: taken one by one, and set aside where one can't be.

use super::{Work, pickup, quarantine, tasks};
use crate::store::ledger;
use sync_protocol::frame::DownBatch;
use sync_protocol::record::{Note, Topic};

impl Work<'_> {
    pub(super) fn apply(&mut self, batch: &DownBatch) -> rusqlite::Result<()> {
        for stock in &batch.halves {
            if self.mind.inventory.slot(stock.item).is_some() {
                self.mind.inventory.join_hub_half(self.db, stock)?;
            } else {
                let reason = format!("hub half of item {}, which this store does not have", stock.item);
                self.quarantine(quarantine::STOCK, &reason, &quarantine::stock_bytes(stock))?;
            }
        }
        for record in &batch.orders {
            if let Err(reason) = pickup::take_hub_half(self.db, self.mind, record, self.now.wall)? {
                self.quarantine(quarantine::ORDER, &reason, &record.to_bytes())?;
            }
        }
        // A batch that was overtaken may carry older notes than those that are here.
        if batch.upto > self.mind.down_mark {
            for note in &batch.notes {
                self.note(note)?;
            }
        }
        for unreadable in &batch.unreadable {
            let reason = format!("{}: {}", unreadable.what, unreadable.reason);
            self.quarantine(quarantine::UNREADABLE, &reason, &unreadable.bytes)?;
        }
        if batch.base <= self.mind.down_mark {
            self.mind.down_mark = self.mind.down_mark.max(batch.upto);
        }
        self.link.applied(self.mind.down_mark);
        Ok(())
    }

    fn note(&mut self, note: &Note) -> rusqlite::Result<()> {
        let is_news = self.mind.inventory.take_hub_note(self.db, note)?;
        if is_news
            && note.topic == Topic::COUNT_WISH
            && let Err(reason) = tasks::take_wish(self.db, self.mind, note, self.now.wall)?
        {
            self.quarantine(quarantine::WISH, &reason, &quarantine::wish_bytes(note))?;
        }
        Ok(())
    }

    fn quarantine(&mut self, what: &'static str, reason: &str, bytes: &[u8]) -> rusqlite::Result<()> {
        tracing::warn!(reason, "a record from the hub is quarantined");
        self.counters.quarantined += 1;
        ledger::add_quarantine(self.db, self.now.wall, what, reason, bytes)
    }
}
