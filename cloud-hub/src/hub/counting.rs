//! Counts: what the stores are to count and why, and what head office wishes counted.
//!
//! A store opens its tasks itself and ends them with a count; the hub has a copy. Head office's wish is a note to the store, which makes a
//! task of it. **Invariant:** the hub never sets a number of a store's shelf; it asks for a count.

use super::ledger::StoreLedger;
use super::{Hub, Output, Ticket};
use std::collections::BTreeSet;
use sync_protocol::count::{CountTask, CountWish, TaskState};
use sync_protocol::record::{Note, Topic};
use sync_protocol::time::Now;
use sync_protocol::{ItemNo, Quantity, Sku, StoreId, UnixMillis};

/// Most tasks in one answer.
pub const TASKS_MAX: usize = 500;

/// What is asked of the stores' counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountAsk {
    /// Tasks of one store or of all, in the order of stores and item numbers; `after` is where the last answer ended.
    List {
        store: Option<StoreId>,
        state: Option<TaskState>,
        after: Option<(StoreId, u32)>,
        limit: usize,
    },
    Wish {
        store: StoreId,
        sku: Sku,
        blind: bool,
        remark: String,
    },
    Withdraw {
        store: StoreId,
        sku: Sku,
    },
}

/// A store's task of one item, or head office's wish for one that the store has not taken up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    pub store: StoreId,
    pub item: ItemNo,
    /// `None`: the hub can't name it.
    pub sku: Option<Sku>,
    pub name: String,
    pub task: Option<CountTask>,
    pub wish: Option<CountWish>,
    pub on_hand: Quantity,
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    #[error("there is no store `{store}`")]
    UnknownStore { store: StoreId },
    #[error("store `{store}` has no item `{sku}`")]
    UnknownItem { store: StoreId, sku: Sku },
    #[error("the hub's storage did not answer; nothing was changed, send it again")]
    Storage,
}

/// Tasks in order; `more`: there are further ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tasks {
    pub tasks: Vec<TaskView>,
    pub more: bool,
}

impl Hub {
    pub(super) fn count(&mut self, ask: &CountAsk, now: Now) -> Result<Tasks, CountError> {
        match ask {
            CountAsk::List { store, state, after, limit } => {
                self.tasks(store.as_ref(), *state, after.as_ref(), (*limit).min(TASKS_MAX))
            }
            CountAsk::Wish { store, sku, blind, remark } => {
                let item = self.item_of(store, sku)?;
                if self.is_wished_alike(store, item, *blind, remark) {
                    return self.task_of(store, item);
                }
                let wish = CountWish {
                    asked_at: self.later_wish(store, item, now.wall),
                    blind: *blind,
                    remark: remark.clone(),
                    withdrawn: false,
                };
                self.wishes(store, item, &wish, now);
                self.task_of(store, item)
            }
            CountAsk::Withdraw { store, sku } => {
                let item = self.item_of(store, sku)?;
                if let Some(wish) = self.wish(store, item) {
                    self.wishes(store, item, &CountWish { withdrawn: true, ..wish }, now);
                }
                self.task_of(store, item)
            }
        }
    }

    /// What took the units of an item that orders were promised, as the store says.
    pub(super) fn breach_of(&self, store: &StoreId, item: ItemNo) -> Option<&'static str> {
        task_in(self.stores.get(store)?, item)?.breach()
    }

    /// Notes that have come: a breach that is news is told of, with its cause, and a pause is heeded,
    /// as is how far the store's canaries have come.
    pub(super) fn heed_notes(&mut self, store: &StoreId, news: &[(Note, String)], now: Now) {
        if news.iter().any(|(note, _)| [Topic::PAUSE, Topic::CANARY].contains(&note.topic)) {
            self.pickups.is_due(store);
        }
        for (note, before) in news.iter().filter(|(note, _)| note.topic == Topic::COUNT_TASK) {
            let task = CountTask::read(&note.text).ok();
            let known = CountTask::read(before).ok();
            let Some(cause) = task.as_ref().and_then(CountTask::breach) else { continue };
            if known.and_then(|known| known.breach()).is_none() {
                tracing::warn!(%store, item = note.key, cause, "orders are promised more of an item than their store has");
                *self.counters.breaches.entry(cause).or_default() += 1;
                let at = task.map_or(now.wall, |task| UnixMillis(task.since));
                self.tell_at_risk(store, ItemNo(note.key), cause, at);
            }
        }
    }

    fn item_of(&mut self, store: &StoreId, sku: &Sku) -> Result<ItemNo, CountError> {
        let key = self.stores.get(store).map(|store| store.key);
        let key = key.ok_or_else(|| CountError::UnknownStore { store: store.clone() })?;
        let item = self.storage.item_of_sku(key, sku).map_err(|error| {
            tracing::error!(%error, "cannot find an item");
            CountError::Storage
        })?;
        item.ok_or_else(|| CountError::UnknownItem { store: store.clone(), sku: sku.clone() })
    }

    fn wish(&self, store: &StoreId, item: ItemNo) -> Option<CountWish> {
        CountWish::read(self.stores.get(store)?.hub_note(Topic::COUNT_WISH, item.0)?).ok()
    }

    /// The same has been asked for, and nobody has counted since.
    fn is_wished_alike(&self, store: &StoreId, item: ItemNo, blind: bool, remark: &str) -> bool {
        let Some(wish) = self.wish(store, item) else { return false };
        let task = self.stores.get(store).and_then(|store| task_in(store, item));
        let is_done = task.is_some_and(|task| !task.is_open() && task.wish >= Some(wish.asked_at));
        !wish.withdrawn && !is_done && wish.blind == blind && wish.remark == remark
    }

    /// Its moment names a wish: never the same twice, nor an earlier one, whatever the clock does.
    fn later_wish(&self, store: &StoreId, item: ItemNo, now: UnixMillis) -> i64 {
        self.wish(store, item).map_or(now.0, |wish| now.0.max(wish.asked_at.saturating_add(1)))
    }

    fn wishes(&mut self, store: &StoreId, item: ItemNo, wish: &CountWish, now: Now) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        if ledger.put_hub_note(wish.note(item)) {
            self.down_changed(store, true, now);
        }
    }

    fn task_of(&mut self, store: &StoreId, item: ItemNo) -> Result<Tasks, CountError> {
        let tasks = self.view_task(store, item)?.into_iter().collect();
        Ok(Tasks { tasks, more: false })
    }

    fn tasks(
        &mut self,
        wanted: Option<&StoreId>,
        state: Option<TaskState>,
        after: Option<&(StoreId, u32)>,
        limit: usize,
    ) -> Result<Tasks, CountError> {
        if let Some(store) = wanted.filter(|store| !self.stores.contains_key(*store)) {
            return Err(CountError::UnknownStore { store: store.clone() });
        }
        let mut names: BTreeSet<(StoreId, u32)> = BTreeSet::new();
        for (id, store) in self.stores.iter().filter(|(id, _)| wanted.is_none_or(|wanted| wanted == *id)) {
            let tasks = store.store_notes(Topic::COUNT_TASK).filter(|(_, text)| {
                state.is_none_or(|state| CountTask::read(text).is_ok_and(|task| task.state == state))
            });
            let waiting = store.hub_notes(Topic::COUNT_WISH).filter(|(key, text)| {
                state.is_none_or(|state| state == TaskState::Open)
                    && CountWish::read(text)
                        .is_ok_and(|wish| !wish.withdrawn && !store_has_taken_up(store, ItemNo(*key), &wish))
            });
            names.extend(tasks.chain(waiting).map(|(key, _)| (id.clone(), key)));
        }
        let mut due = names.into_iter().filter(|name| after.is_none_or(|after| name > after));
        let page: Vec<(StoreId, u32)> = due.by_ref().take(limit).collect();
        let more = due.next().is_some();
        let mut tasks = Vec::with_capacity(page.len());
        for (store, key) in page {
            tasks.extend(self.view_task(&store, ItemNo(key))?);
        }
        Ok(Tasks { tasks, more })
    }

    fn view_task(&mut self, id: &StoreId, item: ItemNo) -> Result<Option<TaskView>, CountError> {
        let wish = self.wish(id, item);
        let Some(store) = self.stores.get(id) else { return Ok(None) };
        let record = self.storage.item(store.key, item).map_err(|error| {
            tracing::error!(%error, "cannot read an item");
            CountError::Storage
        })?;
        let task = task_in(store, item);
        let waiting = wish.filter(|wish| !wish.withdrawn && !store_has_taken_up(store, item, wish));
        if task.is_none() && waiting.is_none() {
            return Ok(None);
        }
        Ok(Some(TaskView {
            store: id.clone(),
            item,
            name: record.as_ref().map(|record| record.name.clone()).unwrap_or_default(),
            sku: record.map(|record| record.sku),
            task,
            wish: waiting,
            on_hand: store.cell(item).map_or(Quantity::ZERO, |stored| stored.cell.on_hand()),
        }))
    }
}

fn task_in(store: &StoreLedger, item: ItemNo) -> Option<CountTask> {
    CountTask::read(store.store_note(Topic::COUNT_TASK, item.0)?).ok()
}

fn store_has_taken_up(store: &StoreLedger, item: ItemNo, wish: &CountWish) -> bool {
    task_in(store, item).and_then(|task| task.wish).is_some_and(|taken| taken >= wish.asked_at)
}

/// What an answer becomes when the commit it rests on has failed.
pub(super) fn given_back(ticket: Ticket) -> Output {
    Output::Count { ticket, answer: Err(CountError::Storage) }
}
