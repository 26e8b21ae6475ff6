//! What head office has told this store, and what is to be counted.

use super::Reader;
use crate::store::notes::{self, Writer};
use crate::store::orders::{self, OrderRow};
use rusqlite::types::Type;
use sync_protocol::count::CountTask;
use sync_protocol::pause::StorePause;
use sync_protocol::record::Topic;
use sync_protocol::{Epoch, ItemNo};

const OPEN_TASKS: &str = include_str!("../queries/open_tasks.sql");

/// An item that is to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    pub sku: String,
    pub name: String,
    pub unit: String,
    pub task: CountTask,
}

impl Reader {
    /// The longest waiting first.
    pub fn open_tasks(&self, limit: u32) -> rusqlite::Result<Vec<TaskView>> {
        self.ask(|db| {
            let mut query = db.prepare_cached(OPEN_TASKS)?;
            let rows = query.query_map([limit], |row| {
                let text: String = row.get(3)?;
                let unreadable =
                    |error| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(error));
                let task = CountTask::read(&text).map_err(unreadable)?;
                Ok(TaskView { sku: row.get(0)?, name: row.get(1)?, unit: row.get(2)?, task })
            })?;
            rows.collect()
        })
    }

    /// Orders on which somebody has something to do and that have a line of this item, the most urgent first.
    pub fn orders_wanting(&self, item: ItemNo) -> rusqlite::Result<Vec<OrderRow>> {
        self.ask(|db| {
            let mut rows = orders::active_orders(db, Epoch::default(), usize::MAX >> 1)?;
            rows.retain(|row| row.store.progress.iter().any(|line| line.item == item));
            Ok(rows)
        })
    }

    /// The store's own pause, also one that is over.
    pub fn store_pause(&self) -> rusqlite::Result<Option<StorePause>> {
        self.ask(|db| {
            let note = notes::text(db, Writer::Store, Topic::PAUSE, 0)?;
            Ok(note.and_then(|(text, _)| StorePause::read(&text).ok()))
        })
    }

    /// The hub's last word on how this store takes part in pickup. `None`: it has not said any.
    pub fn store_settings(&self) -> rusqlite::Result<Option<String>> {
        self.ask(|db| Ok(notes::text(db, Writer::Hub, Topic::SETTINGS, 0)?.map(|(text, _)| text)))
    }
}
