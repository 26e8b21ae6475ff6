//! The payment participant and the courier on the way to it. The courier's books are a model of its tables; the rule that says what
//! should be captured by now, and the one that says when to try again, are the courier's own.
//!
//! The service answers late or never, answers 500 before or after it has done what it was asked, gets requests twice, the second long
//! after the first, and is down for long. Its idempotency keys are its books.

use super::checkers::{Check, must};
use super::world::{Event, World};
use crate::rng::Rng;
use cloud_hub::courier::payment::{self, Account, Issued, Standing};
use cloud_hub::courier::policy::{Answer, Retry, Verdict};
use cloud_hub::storage::OrderEvent;
use rusqlite::Connection;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::order::OrderId;
use sync_protocol::{Quantity, UnixMillis};

/// How often the courier looks at the outbox, in milliseconds.
const LOOK_EVERY: u64 = 1_500;
/// Most requests under way at once.
const UNDER_WAY_MAX: usize = 8;
/// How long it waits for an answer, in milliseconds.
const PATIENCE: u64 = 10_000;
const RETRY: Retry = Retry::Backoff { dead_after: 30 * 24 * 3_600_000 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// In this life of the hub.
    UnderWay(u64),
    Delivered,
    Dead,
}

#[derive(Debug)]
struct Delivery {
    task: String,
    /// Only the first one of an order that is not delivered is sent.
    order: OrderId,
    body: String,
    attempts: u32,
    created_at: UnixMillis,
    next_at: UnixMillis,
    state: State,
}

/// By order, part and sku: what is captured, less what was refunded, in thousandths.
pub type Captured = BTreeMap<(String, String, String), i64>;

/// The service, as its own people see it.
#[derive(Debug, Default)]
pub struct Service {
    down_until: u64,
    keys: BTreeSet<String>,
    /// The last step of each order.
    steps: BTreeMap<String, u32>,
    pub captured: Captured,
    pub voided: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Request {
    step: u32,
    action: String,
    order: String,
    #[serde(default)]
    part: String,
    #[serde(default)]
    lines: Vec<RequestLine>,
}

#[derive(Debug, Deserialize)]
struct RequestLine {
    sku: String,
    quantity: Quantity,
}

impl Service {
    /// Does what a request asks for, unless its key has been there.
    ///
    /// # Errors
    /// A step came before the one it follows.
    pub fn take(&mut self, key: &str, body: &str) -> Check {
        if !self.keys.insert(key.to_owned()) {
            return Ok(());
        }
        let request: Request = serde_json::from_str(body).expect("a step as the courier writes it");
        let last = self.steps.entry(request.order.clone()).or_default();
        must(request.step == *last + 1, "P9", || {
            format!("order {}: step {} came after step {last}", request.order, request.step)
        })?;
        *last = request.step;
        let sign = match request.action.as_str() {
            "capture" => 1,
            "refund" => -1,
            _ => {
                self.voided.insert(request.order);
                return Ok(());
            }
        };
        for line in request.lines {
            let key = (request.order.clone(), request.part.clone(), line.sku);
            *self.captured.entry(key).or_default() += sign * line.quantity.thousandths();
        }
        Ok(())
    }
}

#[derive(Debug)]
pub struct Payments {
    rng: Rng,
    cursor: u64,
    seen: BTreeSet<String>,
    accounts: BTreeMap<OrderId, Account>,
    issued: BTreeMap<(OrderId, String), Issued>,
    deliveries: Vec<Delivery>,
    pub service: Service,
}

impl Payments {
    #[must_use]
    pub fn new(rng: Rng) -> Payments {
        Payments {
            rng,
            cursor: 0,
            seen: BTreeSet::new(),
            accounts: BTreeMap::new(),
            issued: BTreeMap::new(),
            deliveries: Vec::new(),
            service: Service::default(),
        }
    }

    /// The outbox is another one: it is read from its start, and what was taken before is known by its id.
    pub fn restored(&mut self) {
        self.cursor = 0;
    }

    /// How many events there are that the courier has not taken.
    #[must_use]
    pub fn unread(&self, db: &Connection) -> usize {
        events(db, self.cursor).len()
    }

    /// How many steps have not been taken by the service.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.deliveries.iter().filter(|delivery| delivery.state != State::Delivered).count()
    }

    fn take(&mut self, events: Vec<(u64, OrderEvent)>, now: UnixMillis) {
        for (seq, event) in events {
            self.cursor = seq;
            if event.payment_reference.is_none() || !self.seen.insert(event.id.clone()) {
                continue;
            }
            let standing: Standing = serde_json::from_str(&event.body).expect("the hub's own event");
            let issued = self.issued.entry((event.order, standing.part.clone())).or_default();
            let account = self.accounts.entry(event.order).or_default();
            for told in payment::due(&event, &standing, issued, account) {
                self.deliveries.push(Delivery {
                    task: told.task,
                    order: event.order,
                    body: told.body,
                    attempts: 0,
                    created_at: now,
                    next_at: now,
                    state: State::Waiting,
                });
            }
        }
    }

    fn due(&mut self, now: UnixMillis, life: u64) -> Vec<usize> {
        let (mut chains, mut due) = (BTreeSet::new(), Vec::new());
        for (at, delivery) in self.deliveries.iter_mut().enumerate() {
            // What was under way when the hub stopped is sent again.
            if matches!(delivery.state, State::UnderWay(of) if of != life) {
                delivery.state = State::Waiting;
            }
            let is_first = delivery.state == State::Delivered || chains.insert(delivery.order);
            let is_due = delivery.state == State::Waiting && delivery.next_at <= now;
            if is_first && is_due && due.len() < UNDER_WAY_MAX {
                delivery.state = State::UnderWay(life);
                due.push(at);
            }
        }
        due
    }
}

/// All events of the hub's outbox after a place, in order.
#[must_use]
pub fn events(db: &Connection, after: u64) -> Vec<(u64, OrderEvent)> {
    let sql = "SELECT seq, id, at, recorded_at, kind, shop_order, reference, body FROM order_event WHERE seq > ?1 ORDER BY seq";
    let mut statement = db.prepare_cached(sql).expect("the hub's schema has this table");
    let rows = statement.query_map([after], |row| {
        let event = OrderEvent {
            id: row.get(1)?,
            at: UnixMillis(row.get(2)?),
            recorded_at: UnixMillis(row.get(3)?),
            kind: row.get(4)?,
            order: OrderId::from_number(row.get(5)?).expect("the hub writes numbers of orders"),
            payment_reference: row.get(6)?,
            body: row.get(7)?,
        };
        Ok((row.get(0)?, event))
    });
    rows.expect("the outbox can be read").map(|row| row.expect("an event")).collect()
}

impl World {
    pub(super) fn courier_turn(&mut self) -> Check {
        self.queue.put(self.now + LOOK_EVERY, Event::CourierTurn);
        if self.hub.process.is_none() {
            return Ok(());
        }
        let (now, life, cursor) = (self.wall(self.hub.clock_ahead), self.hub.life, self.payments.cursor);
        let new = self.hub.with_storage(|storage| events(storage.sqlite.connection(), cursor));
        self.payments.take(new, now);
        if !self.healed && self.payments.rng.chance(0.01) {
            self.payments.service.down_until = self.now + self.payments.rng.below(3_600_000);
            self.coverage.hit("payment: down for long");
        }
        for at in self.payments.due(now, life) {
            self.send_step(at, life)?;
        }
        Ok(())
    }

    fn send_step(&mut self, at: usize, life: u64) -> Check {
        let fate = if self.healed { 9 } else { self.payments.rng.below(10) };
        let soon = self.now + 5 + self.payments.rng.below(300);
        let is_down = !self.healed && self.payments.service.down_until > self.now;
        let (is_done, status) = match fate {
            _ if is_down => (false, None),
            0 => (false, Some(500)),
            1 => (true, Some(500)),
            2 => (true, None),
            3 => (false, None),
            _ => (true, Some(200)),
        };
        let Payments { deliveries, service, rng, .. } = &mut self.payments;
        let delivery = &deliveries[at];
        if is_done {
            service.take(&delivery.task, &delivery.body)?;
            // Once more, when much may have happened since.
            if rng.chance(0.1) {
                self.queue.put(self.now + rng.below(600_000), Event::StepAgain { at });
            }
        }
        self.coverage.sometimes("payment: done, and the answer was lost", is_done && status.is_none());
        self.coverage.sometimes("payment: answered 500", status == Some(500));
        let answers_at = if status.is_some() { soon } else { self.now + PATIENCE };
        let (task, body) = (&deliveries[at].task, &deliveries[at].body);
        self.trace.note(self.now, format_args!("payment answers {status:?} to {task} {body}"));
        self.queue.put(answers_at, Event::StepAnswered { at, life, status });
        Ok(())
    }

    pub(super) fn step_again(&mut self, at: usize) -> Check {
        let Payments { deliveries, service, .. } = &mut self.payments;
        self.coverage.hit("payment: request came twice");
        service.take(&deliveries[at].task, &deliveries[at].body)
    }

    pub(super) fn step_answered(&mut self, at: usize, life: u64, status: Option<u16>) {
        let now = self.wall(self.hub.clock_ahead);
        let is_lost = life != self.hub.life || self.hub.process.is_none();
        let Payments { deliveries, rng, .. } = &mut self.payments;
        let delivery = &mut deliveries[at];
        if delivery.state != State::UnderWay(life) {
            return;
        }
        self.coverage.sometimes("payment: hub crashed before the answer", is_lost);
        if is_lost {
            return;
        }
        delivery.attempts += 1;
        let answer = Answer { status, retry_after: None, words: String::new() };
        let dice = u32::try_from(rng.below(1 << 32)).unwrap_or(u32::MAX);
        match RETRY.verdict(&answer, delivery.attempts, delivery.created_at, now, dice) {
            Verdict::Delivered => delivery.state = State::Delivered,
            Verdict::Again { at } => (delivery.state, delivery.next_at) = (State::Waiting, at),
            Verdict::Dead | Verdict::Gone => delivery.state = State::Dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: u32, action: &str, quantity: &str) -> String {
        format!(
            r#"{{"step":{number},"action":"{action}","order":"o","part":"p","lines":[{{"sku":"milk","quantity":{quantity}}}]}}"#
        )
    }

    #[test]
    fn a_step_that_comes_twice_counts_once_and_one_that_comes_too_early_is_noticed() {
        let mut service = Service::default();
        for _ in 0..2 {
            service.take("a", &step(1, "capture", "2")).unwrap();
        }
        service.take("b", &step(2, "refund", "0.5")).unwrap();
        service.take("a", &step(1, "capture", "2")).unwrap();
        assert_eq!(service.captured.values().collect::<Vec<_>>(), [&1_500]);
        assert_eq!(service.take("d", &step(4, "capture", "1")).unwrap_err().promise, "P9");
    }
}
