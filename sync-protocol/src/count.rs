//! Counting an item's shelf: what head office wishes, and the task the store makes of it or of its own doubts.
//!
//! Both are notes, one per item: the hub's wish and the store's task, each written by its side alone. A task is opened by whatever makes
//! the figure doubtful and ended by a count of the shelf as it was after that; sales in between are the ledger's business.

use crate::ids::{ItemNo, Position};
use crate::order::OrderId;
use crate::quantity::Quantity;
use crate::record::{Note, Topic};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest remark of head office on a count, in bytes.
pub const REMARK_BYTES_MAX: usize = 200;

/// Head office wants an item counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountWish {
    /// Names the wish: a later one is another.
    pub asked_at: i64,
    /// Whoever counts is not to see what is expected.
    #[serde(default)]
    pub blind: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
    #[serde(default)]
    pub withdrawn: bool,
}

/// An item that is to be counted, or has been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountTask {
    pub state: TaskState,
    /// Why, one or several.
    pub reasons: BTreeSet<TaskReason>,
    /// The order that it was last about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    /// Milliseconds since 1970, as are the others.
    pub opened_at: i64,
    /// When the last reason came, and where the store's ledger stood: only a count of the shelf after that ends the task.
    pub since: i64,
    pub position: u64,
    /// The wish of head office that it last took up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<i64>,
    #[serde(default)]
    pub blind: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<i64>,
    /// The source of the count that ended it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What that count did to on hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance: Option<Quantity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    Open,
    Counted,
    /// Head office does not want it any more, and nobody else did.
    Withdrawn,
}

/// Why an item is to be counted. The `breach_…` ones say that more is promised to orders than is there, and what took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskReason {
    /// Somebody looked for it for an order.
    NotFound,
    HeadOffice,
    /// A till sold it.
    BreachSale,
    /// A count found fewer.
    BreachCount,
    /// It was adjusted, thrown away or sent elsewhere, or nothing in the ledger says.
    BreachOther,
    /// One that a later version knows.
    #[serde(other)]
    Unknown,
}

impl TaskReason {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TaskReason::NotFound => "not_found",
            TaskReason::HeadOffice => "head_office",
            TaskReason::BreachSale => "breach_sale",
            TaskReason::BreachCount => "breach_count",
            TaskReason::BreachOther => "breach_other",
            TaskReason::Unknown => "unknown",
        }
    }

    /// What took the units, where it is a breach.
    #[must_use]
    pub fn breach(self) -> Option<&'static str> {
        match self {
            TaskReason::BreachSale => Some("sale"),
            TaskReason::BreachCount => Some("count"),
            TaskReason::BreachOther => Some("other"),
            TaskReason::NotFound | TaskReason::HeadOffice | TaskReason::Unknown => None,
        }
    }
}

impl CountTask {
    #[must_use]
    pub fn new(reason: TaskReason, now: UnixMillis, position: Position) -> CountTask {
        CountTask {
            state: TaskState::Open,
            reasons: BTreeSet::from([reason]),
            order: None,
            opened_at: now.0,
            since: now.0,
            position: position.0,
            wish: None,
            blind: false,
            remark: String::new(),
            closed_at: None,
            by: String::new(),
            variance: None,
        }
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == TaskState::Open
    }

    /// What took the units that orders were promised, while that has not been counted.
    #[must_use]
    pub fn breach(&self) -> Option<&'static str> {
        self.reasons.iter().filter(|_| self.is_open()).find_map(|reason| reason.breach())
    }

    /// A further reason; a task that had ended begins anew.
    #[must_use]
    pub fn again(self, reason: TaskReason, now: UnixMillis, position: Position) -> CountTask {
        let fresh = CountTask { wish: self.wish, ..CountTask::new(reason, now, position) };
        if !self.is_open() {
            return fresh;
        }
        let mut reasons = self.reasons;
        reasons.insert(reason);
        CountTask { reasons, since: now.0, position: position.0, ..self }
    }

    #[must_use]
    pub fn order(&self) -> Option<OrderId> {
        OrderId::from_number(self.order?).ok()
    }

    /// # Errors
    /// The text is no task.
    pub fn read(text: &str) -> serde_json::Result<CountTask> {
        serde_json::from_str(text)
    }

    #[must_use]
    pub fn note(&self, item: ItemNo) -> Note {
        note(Topic::COUNT_TASK, item, self)
    }
}

impl CountWish {
    /// # Errors
    /// The text is no wish.
    pub fn read(text: &str) -> serde_json::Result<CountWish> {
        serde_json::from_str(text)
    }

    #[must_use]
    pub fn note(&self, item: ItemNo) -> Note {
        note(Topic::COUNT_WISH, item, self)
    }
}

fn note(topic: Topic, item: ItemNo, content: &impl Serialize) -> Note {
    let text = serde_json::to_string(content).expect("text keys, numbers and no failing parts");
    Note { topic, key: item.0, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMillis = UnixMillis(1_793_480_602_000);

    #[test]
    fn a_task_reads_back_as_what_was_written() {
        let task = CountTask { order: Some(7), ..CountTask::new(TaskReason::BreachSale, NOON, Position(9)) };
        let note = task.note(ItemNo(3));
        assert_eq!((note.topic, note.key), (Topic::COUNT_TASK, 3));
        assert_eq!(CountTask::read(&note.text).unwrap(), task);
        assert_eq!(task.breach(), Some("sale"));
    }

    #[test]
    fn a_reason_of_a_later_version_takes_nothing_else_along() {
        let text = r#"{"state":"open","reasons":["moon_phase","not_found"],"opened_at":1,"since":1,"position":2,"moon":3}"#;
        let task = CountTask::read(text).unwrap();
        assert_eq!(task.reasons, BTreeSet::from([TaskReason::NotFound, TaskReason::Unknown]));
        assert_eq!(task.breach(), None);
    }

    #[test]
    fn a_further_reason_joins_an_open_task_and_begins_an_ended_one_anew() {
        let task = CountTask::new(TaskReason::NotFound, NOON, Position(9));
        let later = UnixMillis(NOON.0 + 5);
        let both = task.clone().again(TaskReason::BreachCount, later, Position(11));
        assert_eq!(both.reasons.len(), 2);
        assert_eq!((both.opened_at, both.since, both.position), (NOON.0, later.0, 11));
        let ended = CountTask { state: TaskState::Counted, wish: Some(4), closed_at: Some(5), ..task };
        let anew = ended.again(TaskReason::HeadOffice, later, Position(12));
        assert_eq!(anew.reasons, BTreeSet::from([TaskReason::HeadOffice]));
        assert_eq!((anew.opened_at, anew.closed_at, anew.wish), (later.0, None, Some(4)));
        assert!(anew.is_open());
    }
}
