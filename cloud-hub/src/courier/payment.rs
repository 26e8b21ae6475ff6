//! What the payment service is to be told: a pure function of how an order stands and of what it has been told already.
//!
//! The rule is a target, not a reaction: of each line there is a quantity that should be captured by now, and the difference to
//! what has been issued is the next step. So a part that is ready, handed over, taken back and handed over again in whatever order
//! comes to the same sum.

use crate::storage::OrderEvent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sync_protocol::Quantity;

/// How a part stands, as its event says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Standing {
    #[serde(default)]
    pub part: String,
    #[serde(default)]
    pub store: String,
    pub status: String,
    #[serde(default)]
    pub lines: Vec<LineStanding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LineStanding {
    /// Only an order that a restored hub has forgotten has lines without; and no payment reference.
    #[serde(default)]
    pub sku: String,
    pub picked: Quantity,
    pub handed_over: Quantity,
}

/// What was issued for the lines of a part, by sku, in thousandths.
pub type Issued = BTreeMap<String, i64>;

/// What to tell the payment service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Capture,
    Refund,
    Void,
}

impl Action {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Action::Capture => "capture",
            Action::Refund => "refund",
            Action::Void => "void",
        }
    }
}

/// One step: a quantity for each of some lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub action: Action,
    pub lines: Vec<(String, Quantity)>,
}

/// What of a line should be captured by now. `None`: whatever has been; it is not decided yet.
#[must_use]
pub fn target(status: &str, line: &LineStanding) -> Option<Quantity> {
    match status {
        "ready" => Some(line.picked),
        "collected" => Some(line.handed_over),
        "refused" | "cancelled" | "expired" | "rerouted" => Some(Quantity::ZERO),
        // Placed to picking: nothing has been captured. Cancelling: the shopper may still get it.
        _ => None,
    }
}

/// The steps from what was issued to what should be: at most a capture and a refund.
#[must_use]
pub fn steps(standing: &Standing, issued: &Issued) -> Vec<Step> {
    let (mut more, mut less) = (Vec::new(), Vec::new());
    for line in &standing.lines {
        let Some(target) = target(&standing.status, line) else { continue };
        let before = issued.get(&line.sku).copied().unwrap_or(0);
        let difference = target.thousandths().saturating_sub(before);
        let quantity = Quantity::from_thousandths(difference.saturating_abs());
        match difference.signum() {
            1 => more.push((line.sku.clone(), quantity)),
            -1 => less.push((line.sku.clone(), quantity)),
            _ => {}
        }
    }
    let step = |action, lines: Vec<_>| (!lines.is_empty()).then_some(Step { action, lines });
    [step(Action::Capture, more), step(Action::Refund, less)].into_iter().flatten().collect()
}

impl Step {
    /// What is issued once this step is.
    pub fn apply(&self, issued: &mut Issued) {
        for (sku, quantity) in &self.lines {
            let entry = issued.entry(sku.clone()).or_default();
            *entry = match self.action {
                Action::Capture => entry.saturating_add(quantity.thousandths()),
                Action::Refund => entry.saturating_sub(quantity.thousandths()),
                Action::Void => *entry,
            };
        }
    }
}

/// What is known of the payment of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    pub steps: u32,
    pub captured: bool,
    pub voided: bool,
}

/// A step to be sent, under the id that the payment service knows it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub task: String,
    pub action: Action,
    pub body: String,
}

/// The steps that an event makes due, in their order; `issued` and `account` are as if they had been sent. An event must come here once.
pub fn due(event: &OrderEvent, standing: &Standing, issued: &mut Issued, account: &mut Account) -> Vec<Told> {
    let Some(reference) = &event.payment_reference else { return Vec::new() };
    let mut due = steps(standing, issued);
    if event.kind == "order.closed" && !account.captured && !account.voided {
        due.push(Step { action: Action::Void, lines: Vec::new() });
    }
    let order = event.order.to_string();
    let told = due.into_iter().map(|next| {
        next.apply(issued);
        account.steps += 1;
        account.captured |= next.action == Action::Capture;
        account.voided |= next.action == Action::Void;
        let lines = next.lines.iter().map(|(sku, quantity)| StepLine { sku, quantity: *quantity });
        let body = StepBody {
            step: account.steps,
            action: next.action,
            payment_reference: reference,
            order: &order,
            part: &standing.part,
            store: &standing.store,
            lines: lines.collect(),
        };
        let body = serde_json::to_string(&body).expect("text keys and no failing parts");
        Told { task: format!("{}-{}", event.id, next.action.name()), action: next.action, body }
    });
    told.collect()
}

/// A step as the payment service reads it.
#[derive(Debug, Serialize)]
struct StepBody<'a> {
    step: u32,
    action: Action,
    payment_reference: &'a str,
    order: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    part: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    store: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<StepLine<'a>>,
}

#[derive(Debug, Serialize)]
struct StepLine<'a> {
    sku: &'a str,
    quantity: Quantity,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(status: &str, lines: &[(&str, i64, i64)]) -> Standing {
        let line = |(sku, picked, handed_over): &(&str, i64, i64)| LineStanding {
            sku: (*sku).to_owned(),
            picked: Quantity::from_thousandths(*picked),
            handed_over: Quantity::from_thousandths(*handed_over),
        };
        let lines = lines.iter().map(line).collect();
        Standing { part: "p".to_owned(), store: "S1".to_owned(), status: status.to_owned(), lines }
    }

    /// What a history of standings comes to: the steps as text, and what is issued in the end.
    fn history(standings: &[Standing]) -> (Vec<String>, Issued) {
        let (mut issued, mut told) = (Issued::new(), Vec::new());
        for standing in standings {
            for step in steps(standing, &issued) {
                step.apply(&mut issued);
                let lines = step.lines.iter().map(|(sku, quantity)| format!(" {sku} {quantity}"));
                told.push(format!("{}{}", step.action.name(), lines.collect::<String>()));
            }
        }
        (told, issued)
    }

    #[test]
    fn what_is_picked_is_captured_when_ready_and_nothing_before() {
        let picked = [("milk", 2_000, 0), ("cheese", 1_235, 0)];
        let all =
            ["placed", "sent", "accepted", "picking", "cancelling"].map(|status| standing(status, &picked));
        assert_eq!(history(&all).0, [""; 0]);
        let (told, _) = history(&[standing("ready", &picked), standing("ready", &picked)]);
        assert_eq!(told, ["capture milk 2 cheese 1.235"]);
    }

    #[test]
    fn a_handover_without_ready_is_captured_and_less_than_ready_is_refunded() {
        assert_eq!(history(&[standing("collected", &[("milk", 2_000, 2_000)])]).0, ["capture milk 2"]);
        let ready = standing("ready", &[("milk", 2_000, 0), ("salt", 1_000, 0)]);
        let collected = standing("collected", &[("milk", 1_000, 1_000), ("salt", 3_000, 3_000)]);
        let (told, issued) = history(&[ready, collected]);
        assert_eq!(told, ["capture milk 2 salt 1", "capture salt 2", "refund milk 1"]);
        assert_eq!(issued, Issued::from([("milk".to_owned(), 1_000), ("salt".to_owned(), 3_000)]));
    }

    #[test]
    fn what_ends_otherwise_is_refunded_whole() {
        for status in ["refused", "cancelled", "expired", "rerouted"] {
            let ready = standing("ready", &[("milk", 2_000, 0)]);
            let (told, _) = history(&[
                ready,
                standing("cancelling", &[("milk", 2_000, 0)]),
                standing(status, &[("milk", 2_000, 0)]),
            ]);
            assert_eq!(told, ["capture milk 2", "refund milk 2"], "{status}");
        }
    }

    /// A handover that was taken back and made again, as often as one likes.
    #[test]
    fn what_was_captured_is_what_was_handed_over_in_the_end() {
        let ready = standing("ready", &[("milk", 2_000, 0)]);
        let collected = standing("collected", &[("milk", 2_000, 2_000)]);
        let (told, _) = history(&[ready.clone(), collected.clone(), ready, collected]);
        assert_eq!(told, ["capture milk 2"]);
    }
}
