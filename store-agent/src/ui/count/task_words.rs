//! Why an item is to be counted, in words.

use crate::ui::texts::count as texts;
use crate::ui::words::Words;
use sync_protocol::count::{CountTask, TaskReason};

/// All its reasons, as sentences.
#[must_use]
pub fn reasons(words: &Words<'_>, task: &CountTask) -> String {
    let said: Vec<String> = task.reasons.iter().map(|reason| one(words, task, *reason)).collect();
    said.join(" ")
}

fn one(words: &Words<'_>, task: &CountTask, reason: TaskReason) -> String {
    let text = match reason {
        TaskReason::NotFound => match task.order() {
            Some(order) => return words.fill(texts::WHY_NOT_FOUND_FOR, &[("order", &order.to_string())]),
            None => texts::WHY_NOT_FOUND,
        },
        TaskReason::HeadOffice => texts::WHY_HEAD_OFFICE,
        TaskReason::BreachSale => texts::WHY_BREACH_SALE,
        TaskReason::BreachCount => texts::WHY_BREACH_COUNT,
        TaskReason::BreachOther => texts::WHY_BREACH_OTHER,
        TaskReason::Unknown => texts::WHY_UNKNOWN,
    };
    words.say(text).to_owned()
}
