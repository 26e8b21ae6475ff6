//! The stores' people: they work on pickup orders at their store's server, with the line up or down, do the wrong thing now and
//! then, and hand over to shoppers who show a code.
//!
//! Goods exist once: what a shopper has taken away nobody hands over again, and only what was taken away can come back. An agent
//! is asked all the same, to see that it refuses.

use super::documents;
use super::orders::{Ordered, Orders};
use super::tills::Waiting;
use super::truth;
use super::world::{Event, World};
use store_agent::agent::pickup::{Request, Wish};
use store_agent::agent::{Document, Input, ItemKey, Line, Ticket};
use store_agent::store::orders::{self, OrderRow};
use sync_protocol::order::{Act, OrderId, Proof, ShortReason, Stage};
use sync_protocol::pickup_code::PickupCode;
use sync_protocol::record::Kind;
use sync_protocol::{ItemNo, Quantity, UnixMillis};

/// Most orders a person looks at.
const LIST_MAX: usize = 20;
/// Longer ago than any clock here is wrong, and the tolerance on top.
const LONG_AGO_MS: i64 = 3 * 24 * 60 * 60 * 1000;

/// What somebody asked an agent to do with an order.
#[derive(Debug, Clone)]
pub struct StaffAsked {
    pub order: OrderId,
    pub wish: Wish,
    /// The shopper has the goods already, and this server has every reason to know.
    pub must_refuse: bool,
}

impl World {
    pub(super) fn staff_turn(&mut self, store: usize) {
        let mean = self.plan.staff_every;
        let pause = 1 + self.orders.rng.between(mean / 5, mean * 9 / 5);
        self.queue.put(self.now + pause, Event::StaffTurn { store });
        let machines = self.machines_of(store);
        let machine = machines[self.orders.rng.index(machines.len())];
        if self.machines[machine].process.is_none() {
            return;
        }
        if self.healed {
            self.end_what_is_to_end(machine);
            return;
        }
        if self.orders.rng.chance(0.15) {
            self.shopper_shows_a_code(machine);
        } else {
            self.work_on_an_order(machine);
        }
    }

    /// In the end everybody goes home, but not before what is called off is off the list.
    fn end_what_is_to_end(&mut self, machine: usize) {
        let db = self.machines[machine].database();
        let mut rows = Vec::new();
        orders::each_order(db, truth::epoch(db), |row| rows.push(row)).expect("the orders can be read");
        let is_in_step = self.converged_at.is_some();
        let act = |row: &OrderRow| match &row.hub {
            _ if !row.store.stage.is_open() => None,
            Some(hub) => hub.cancel.map(|_| Act::AcknowledgeCancel),
            // A restored hub has forgotten it, and nobody but the store can end it.
            None => is_in_step.then(|| Act::Refuse { reason: "nobody knows of it".to_owned() }),
        };
        if let Some((order, act)) = rows.iter().find_map(|row| Some((row.order, act(row)?))) {
            self.ask_staff(machine, order, Wish::Act { order, act, revision: None }, false, false);
        }
    }

    fn work_on_an_order(&mut self, machine: usize) {
        let db = self.machines[machine].database();
        let epoch = truth::epoch(db);
        let mut list = orders::active_orders(db, epoch, LIST_MAX).expect("the list of orders can be read");
        if self.orders.rng.chance(0.3) || list.is_empty() {
            list.clear();
            orders::each_order(db, epoch, |row| list.push(row)).expect("the orders can be read");
        }
        if list.is_empty() {
            return;
        }
        let row = list.swap_remove(self.orders.rng.index(list.len()));
        let Some(part) = self.orders.parts.get(&row.order) else { return };
        let (is_gone, is_free) = (part.is_gone, part.may_be_asked(self.now));
        let act =
            if self.orders.rng.chance(0.12) { self.wrong_act(&row) } else { self.right_act(&row, is_gone) };
        let hands_over = matches!(act, Act::HandOver { .. });
        let takes_back = matches!(act, Act::Undo);
        if ((hands_over || takes_back) && !is_free) || (takes_back && !is_gone) {
            return;
        }
        let must_refuse = hands_over && is_gone;
        if must_refuse && !self.must_remember(machine, row.order) {
            return;
        }
        let moves_goods = hands_over || takes_back;
        self.ask_staff(
            machine,
            row.order,
            Wish::Act { order: row.order, act, revision: None },
            moves_goods,
            must_refuse,
        );
    }

    fn right_act(&mut self, row: &OrderRow, is_gone: bool) -> Act {
        let rng = &mut self.orders.rng;
        let is_cancelled = row.hub.as_ref().is_some_and(|hub| hub.cancel.is_some());
        let hand_over =
            Act::HandOver { proof: if rng.chance(0.5) { Proof::Person } else { Proof::ShortCode } };
        match row.store.stage {
            stage if stage.is_open() && is_cancelled => match rng.below(10) {
                0..=5 => Act::AcknowledgeCancel,
                6 => Act::Refuse { reason: "found too late".to_owned() },
                _ => hand_over,
            },
            Stage::Received => match rng.below(10) {
                0..=3 => Act::Accept,
                4..=6 => self.pick(row),
                7 => self.short(row),
                8 => Act::Refuse { reason: "we are closing".to_owned() },
                _ => hand_over,
            },
            Stage::Accepted => match rng.below(10) {
                0..=4 => self.pick(row),
                5 => self.short(row),
                6 if rng.chance(0.3) => Act::Refuse { reason: "out of bags".to_owned() },
                7 => hand_over,
                _ => Act::Ready,
            },
            Stage::Ready => hand_over,
            Stage::HandedOver if is_gone && rng.chance(0.5) => Act::Undo,
            Stage::HandedOver => hand_over,
            Stage::Refused | Stage::Cancelled => Act::PutBack,
        }
    }

    fn wrong_act(&mut self, row: &OrderRow) -> Act {
        let reason = "no".to_owned();
        let hand_over = Act::HandOver { proof: Proof::Person };
        match self.orders.rng.below(9) {
            0 => Act::Accept,
            1 => self.pick(row),
            2 => self.short(row),
            3 => Act::Ready,
            4 => Act::Undo,
            5 => Act::Refuse { reason },
            6 => Act::AcknowledgeCancel,
            7 => Act::Pick { item: ItemNo(9_999), quantity: Quantity::from_units(1) },
            _ => hand_over,
        }
    }

    /// What is left of a line, or some of it.
    fn some_of(&mut self, row: &OrderRow) -> (ItemNo, Quantity) {
        let rng = &mut self.orders.rng;
        let left: Vec<_> = row.store.progress.iter().filter(|line| line.left() > Quantity::ZERO).collect();
        let all = &row.store.progress;
        let line = if left.is_empty() { &all[rng.index(all.len())] } else { left[rng.index(left.len())] };
        let left = line.left().thousandths().unsigned_abs().max(1);
        let some = if rng.chance(0.8) { left } else { 1 + rng.below(left) };
        (line.item, Orders::line(line.item, some).quantity)
    }

    fn pick(&mut self, row: &OrderRow) -> Act {
        let (item, quantity) = self.some_of(row);
        Act::Pick { item, quantity }
    }

    fn short(&mut self, row: &OrderRow) -> Act {
        let (item, quantity) = self.some_of(row);
        let reasons =
            [ShortReason::NotFound, ShortReason::Damaged, ShortReason::WrongShelf, ShortReason::NotTaken];
        Act::Short { item, quantity, why: reasons[self.orders.rng.index(reasons.len())] }
    }

    fn ask_staff(
        &mut self,
        machine: usize,
        order: OrderId,
        wish: Wish,
        moves_goods: bool,
        must_refuse: bool,
    ) {
        if let Some(part) = self.orders.parts.get_mut(&order).filter(|_| moves_goods) {
            part.asked_at = Some(self.now);
        }
        let asked = StaffAsked { order, wish: wish.clone(), must_refuse };
        let ticket = self.ask(Waiting::Staff(Box::new(asked)));
        let request = Request { by: "Sam".to_owned(), wish };
        self.trace.note(self.now, format_args!("machine {machine} is asked {ticket}: {request:?}"));
        self.tell_agent(machine, Input::Pickup { ticket: Ticket(ticket), request });
    }

    // Codes.

    /// Whether the store has heard of the order or not.
    fn shopper_shows_a_code(&mut self, machine: usize) {
        let store = self.machines[machine].store;
        let known = &self.orders.at_store[store];
        if known.is_empty() {
            return;
        }
        let among = known.len().min(8);
        let order = known[known.len() - 1 - self.orders.rng.index(among)];
        let part = &self.orders.parts[&order];
        // Only who was told that the order is placed has a code.
        if !part.is_told || !part.may_be_asked(self.now) || !self.means_the_same(machine, part) {
            return;
        }
        let mut code = PickupCode {
            store: self.store_ids[store].clone(),
            order,
            valid_until: part.half.hold_until,
            lines: part.half.lines.clone(),
        };
        let is_gone = part.is_gone;
        let mut must_refuse = is_gone;
        if self.orders.rng.chance(0.1) {
            code.valid_until = UnixMillis(code.valid_until.0 - LONG_AGO_MS);
            must_refuse = true;
        } else if self.orders.rng.chance(0.1) {
            code.store = "S9999".parse().expect("a letter and digits are a store id");
            must_refuse = true;
        } else if is_gone && !self.must_remember(machine, order) {
            return;
        }
        self.ask_staff(machine, order, Wish::Code(code), true, must_refuse);
    }

    /// Whether a server has every reason to know that an order is gone. One whose disk went back in time or is a copy can't know
    /// before it has heard the hub, nor can one whose till could not connect a sale with the order: there the goods are not on
    /// the shelf, and honest people see that.
    fn must_remember(&self, machine: usize, order: OrderId) -> bool {
        let db = self.machines[machine].database();
        let row = orders::order(db, truth::epoch(db), order).expect("an order can be read");
        let shows_it = row.is_some_and(|row| row.store.stage == Stage::HandedOver);
        let excused = self.machines[machine].is_apart
            || self.machines.len() > self.store_ids.len()
            || self.orders.parts.get(&order).is_none_or(|part| part.is_forked || part.by_till);
        shows_it || !excused
    }

    /// A disk that went back in time may have given an item's number to another one: a code can't say which it means. Staff look
    /// at the goods; the simulation leaves that out.
    fn means_the_same(&self, machine: usize, part: &Ordered) -> bool {
        let db = self.machines[machine].database();
        part.half.lines.iter().zip(&part.skus).all(|(line, sku)| {
            let found: Option<String> =
                db.query_row("SELECT sku FROM item WHERE item = ?1", [line.item.0], |row| row.get(0)).ok();
            found.is_none_or(|found| found == *sku)
        })
    }

    // Tills.

    /// Now and then a sale is the handover of an order.
    pub(super) fn make_it_a_pickup(&mut self, machine: usize, document: &mut Document) {
        if self.plan.orders.is_none() || document.kind != Kind::Sale || !self.orders.rng.chance(0.15) {
            return;
        }
        if self.orders.rng.chance(0.05) {
            document.order = Some(OrderId::from_random(self.orders.rng.next_u64()));
            return;
        }
        let db = self.machines[machine].database();
        let list = orders::active_orders(db, truth::epoch(db), LIST_MAX).expect("the list can be read");
        let now = self.now;
        let ready = |row: &&OrderRow| {
            let part = self.orders.parts.get(&row.order);
            part.is_some_and(|part| !part.is_gone && part.may_be_asked(now)) && row.store.stage.is_open()
        };
        let ready: Vec<&OrderRow> = list.iter().filter(ready).collect();
        if ready.is_empty() {
            return;
        }
        let row = ready[self.orders.rng.index(ready.len())];
        let mut lines = Vec::new();
        for line in &row.store.progress {
            let sku: Option<String> =
                db.query_row("SELECT sku FROM item WHERE item = ?1", [line.item.0], |row| row.get(0)).ok();
            let Some(sku) = sku.and_then(|sku| sku.parse().ok()) else { continue };
            let due = line.ordered.thousandths() - line.short.thousandths();
            if due > 0 && (lines.is_empty() || self.orders.rng.chance(0.8)) {
                lines.push(Line { item: ItemKey::Sku(sku), quantity: Quantity::from_thousandths(due) });
            }
        }
        if lines.is_empty() {
            return;
        }
        document.lines = lines;
        document.order = Some(row.order);
        if let Some(part) = self.orders.parts.get_mut(&row.order) {
            (part.is_gone, part.by_till) = (true, true);
            part.was_by_till = true;
        }
        self.coverage.hit("order: rung up by a till");
        debug_assert!(!documents::names_a_barcode(document));
    }
}
