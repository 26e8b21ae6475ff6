//! Orders that go on at another store: the hub's desk looks for one by itself, and shoppers consent, sometimes twice or too late.

use super::checkers::Check;
use super::orders::Asked;
use super::world::{Event, World};
use cloud_hub::hub::orders::{Choice, OrderError, OrderView};
use cloud_hub::hub::rerouting::Rerouting;
use cloud_hub::hub::{Input, Ticket};
use sync_protocol::order::OrderId;
use sync_protocol::{Quantity, Sku};

/// How often the desk asks what is to be looked for, in milliseconds.
const DESK_EVERY: u64 = 4_000;

impl World {
    /// Part of the hub's daemon: it goes on whatever else does.
    pub(super) fn desk_turn(&mut self) {
        self.queue.put(self.now + DESK_EVERY, Event::DeskTurn);
        self.tickets += 1;
        self.orders.looked_for.insert(self.tickets);
        self.tell_hub(Input::LookedFor { ticket: Ticket(self.tickets) });
    }

    pub(super) fn looked_for(&mut self, ticket: u64, views: &[OrderView]) {
        if !self.orders.looked_for.remove(&ticket) {
            return;
        }
        for view in views {
            self.ask_to_reroute(view);
        }
    }

    /// A shopper looks at an order, and agrees to another store if one is offered.
    pub(super) fn look_at_order(&mut self) {
        let Some(order) = self.draw_told() else { return };
        self.tickets += 1;
        self.orders.asked.insert(self.tickets, Asked::Look);
        self.tell_hub(Input::Order { ticket: Ticket(self.tickets), order });
    }

    pub(super) fn looked_at(&mut self, answer: &Result<Box<OrderView>, OrderError>) {
        let Ok(view) = answer else { return };
        let is_offered = view.rerouting() == Rerouting::Offered;
        self.coverage.sometimes("reroute: offered", is_offered);
        if is_offered {
            self.ask_to_reroute(view);
            // Some press the button twice.
            if self.orders.rng.chance(0.3) {
                self.ask_to_reroute(view);
            }
        }
    }

    fn ask_to_reroute(&mut self, view: &OrderView) {
        let owed = view.owed();
        let order = view.shop.order;
        let been = |store: usize| view.parts.iter().any(|part| part.store == self.store_ids[store]);
        let others: Vec<usize> =
            (0..self.store_ids.len()).filter(|store| !been(*store) && !self.hub.unheard[*store]).collect();
        if others.is_empty() || owed.is_empty() {
            return;
        }
        let first = others[self.orders.rng.index(others.len())];
        let mut choices = vec![self.whole_at(first, &owed)];
        choices
            .extend(others.iter().find(|other| **other != first).map(|other| self.whole_at(*other, &owed)));
        for part in choices.iter().flat_map(|choice| &choice.parts) {
            self.note_part(order, part);
        }
        self.tickets += 1;
        self.orders.asked.insert(self.tickets, Asked::Reroute { order });
        let ticket = Ticket(self.tickets);
        self.tell_hub(Input::Reroute { ticket, order, choices, decision: None });
    }

    fn whole_at(&mut self, store: usize, owed: &[(Sku, Quantity)]) -> Choice {
        let mut part = self.part_of_lines(store, owed.to_vec());
        part.half.display_name.clear();
        Choice { parts: vec![part] }
    }

    pub(super) fn rerouted(&mut self, order: OrderId, answer: &Result<Box<OrderView>, OrderError>) -> Check {
        match answer {
            Ok(view) => {
                self.coverage.hit("reroute: another store has it");
                let parts: Vec<OrderId> = view.parts.iter().map(|part| part.order).collect();
                let is_known = self.orders.is_told(order);
                // Who was never told of the order is not told of its new store either.
                if is_known { parts.into_iter().try_for_each(|part| self.told(part)) } else { Ok(()) }
            }
            Err(error) => {
                let is_late = matches!(error, OrderError::NothingOwed { .. });
                self.coverage.sometimes("reroute: nothing owed any more", is_late);
                Ok(())
            }
        }
    }
}
