//! Items that are to be counted: for what somebody could not find, for what orders were promised and is not there any more, and for
//! head office. Each is a note to the hub, and a count of the shelf as it was after the last reason ends it.

use super::Mind;
use super::document::Counted;
use crate::store::ledger;
use crate::store::notes::{self, Writer};
use rusqlite::{Connection, Result};
use sync_protocol::count::{CountTask, CountWish, TaskReason, TaskState};
use sync_protocol::order::OrderId;
use sync_protocol::record::{Kind, Note, Topic};
use sync_protocol::{ItemNo, Position, Quantity, SourceId, UnixMillis};

/// An item's task, also one that has ended.
pub(super) fn task(db: &Connection, item: ItemNo) -> Result<Option<CountTask>> {
    let text = notes::text(db, Writer::Store, Topic::COUNT_TASK, item.0)?;
    // What this disk wrote, it reads; a task from elsewhere that it can't read begins anew.
    Ok(text.and_then(|(text, _)| CountTask::read(&text).ok()))
}

/// Staff could not find the item for an order.
pub(super) fn not_found(
    db: &Connection,
    mind: &mut Mind,
    item: ItemNo,
    order: OrderId,
    now: UnixMillis,
) -> Result<()> {
    let task = raised(db, mind, item, TaskReason::NotFound, now)?;
    let task = CountTask { order: Some(order.number()), ..task };
    mind.inventory.put_note(db, &task.note(item))
}

/// More of these items is promised to orders than the books say is there.
pub(super) fn breached(db: &Connection, mind: &mut Mind, items: &[ItemNo], now: UnixMillis) -> Result<()> {
    for item in items {
        let reason = match ledger::last_loss(db, *item)? {
            Some(Kind::Sale) => TaskReason::BreachSale,
            Some(Kind::Count) => TaskReason::BreachCount,
            _ => TaskReason::BreachOther,
        };
        let task = raised(db, mind, *item, reason, now)?;
        tracing::warn!(%item, reason = reason.name(), "orders are promised more of an item than is there");
        mind.inventory.put_note(db, &task.note(*item))?;
    }
    Ok(())
}

/// Head office wishes a count, or does not any more. The inner error is why it can't be.
pub(super) fn take_wish(
    db: &Connection,
    mind: &mut Mind,
    note: &Note,
    now: UnixMillis,
) -> Result<std::result::Result<(), String>> {
    let item = ItemNo(note.key);
    if mind.inventory.slot(item).is_none() {
        return Ok(Err(format!("head office wants item {item} counted, which this store does not have")));
    }
    let wish = match CountWish::read(&note.text) {
        Ok(wish) => wish,
        Err(error) => return Ok(Err(format!("head office's wish for a count can't be read: {error}"))),
    };
    let before = task(db, item)?;
    let answered = before.as_ref().and_then(|task| task.wish);
    let task = if wish.withdrawn {
        match before {
            Some(task) if task.is_open() && task.wish == Some(wish.asked_at) => withdrawn(task, now),
            _ => return Ok(Ok(())),
        }
    } else if answered.is_some_and(|answered| answered >= wish.asked_at) {
        return Ok(Ok(()));
    } else {
        let task = raised(db, mind, item, TaskReason::HeadOffice, now)?;
        CountTask { wish: Some(wish.asked_at), blind: wish.blind, remark: wish.remark, ..task }
    };
    mind.inventory.put_note(db, &task.note(item)).map(Ok)
}

/// Somebody has counted the item: a task that was there before the shelf was counted has ended.
pub(super) fn counted(
    db: &Connection,
    mind: &mut Mind,
    item: ItemNo,
    counted: Counted,
    by: &SourceId,
    variance: Quantity,
    now: UnixMillis,
) -> Result<()> {
    let Some(task) = task(db, item)?.filter(CountTask::is_open) else { return Ok(()) };
    let is_later = match counted {
        Counted::At(at) => at.0 >= task.since,
        Counted::Position(position) => position.0 >= task.position,
    };
    if !is_later {
        return Ok(());
    }
    let ended = CountTask {
        state: TaskState::Counted,
        closed_at: Some(now.0),
        by: by.to_string(),
        variance: Some(variance),
        ..task
    };
    mind.inventory.put_note(db, &ended.note(item))
}

fn raised(
    db: &Connection,
    mind: &Mind,
    item: ItemNo,
    reason: TaskReason,
    now: UnixMillis,
) -> Result<CountTask> {
    let position = Position(mind.next_position.0.saturating_sub(1));
    Ok(match task(db, item)? {
        Some(task) => task.again(reason, now, position),
        None => CountTask::new(reason, now, position),
    })
}

fn withdrawn(mut task: CountTask, now: UnixMillis) -> CountTask {
    task.reasons.remove(&TaskReason::HeadOffice);
    if task.reasons.is_empty() {
        task.reasons.insert(TaskReason::HeadOffice);
        return CountTask { state: TaskState::Withdrawn, closed_at: Some(now.0), ..task };
    }
    CountTask { blind: false, remark: String::new(), ..task }
}

/// Taking over with an epoch: of an item's task as the hub has it and as this disk has it, the later one counts.
pub(super) fn later(one: CountTask, other: CountTask) -> CountTask {
    let moment = |task: &CountTask| task.closed_at.unwrap_or(task.since).max(task.since);
    if moment(&other) > moment(&one) { other } else { one }
}
