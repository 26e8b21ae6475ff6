//! Shoppers: they ask the hub for promises and remember what they were promised.

use super::world::{Event, World};
use cloud_hub::hub::{Input, PromiseError, Ticket};
use std::collections::BTreeMap;
use sync_protocol::stock::EscrowError;
use sync_protocol::{ItemNo, Quantity};

/// What shoppers hold, in thousandths, by store and sku.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    pub promised: u64,
    pub released: u64,
    /// By orders they were told are placed.
    pub ordered: u64,
    /// All they were ever told is promised without an order, and given up: also what a lost disk or a crashed hub makes uncertain.
    pub ever_promised: u64,
    pub ever_released: u64,
    /// By reservations they were told are made, whatever became of those.
    pub reserved: u64,
}

#[derive(Debug, Clone)]
pub struct Asked {
    store: usize,
    sku: String,
    quantity: u64,
    gives_up: bool,
}

#[derive(Debug, Default)]
pub struct Shoppers {
    pub held: BTreeMap<(usize, String), Held>,
    pub asked: BTreeMap<u64, Asked>,
}

impl Shoppers {
    /// How much of an item at a store they hold without an order, at least and at most: some were never answered.
    #[must_use]
    pub fn may_hold(&self, store: usize, sku: &str) -> (u64, u64) {
        let held = self.held.get(&(store, sku.to_owned())).copied().unwrap_or_default();
        let silent = |gives_up: bool| -> u64 {
            let of = self.asked.values().filter(|it| it.store == store && it.sku == sku);
            of.filter(|it| it.gives_up == gives_up).map(|it| it.quantity).sum()
        };
        let least = held.promised.saturating_sub(held.released);
        (least, (held.ever_promised + silent(false)).saturating_sub(held.ever_released))
    }
}

impl World {
    pub(super) fn shopper_turn(&mut self) {
        if self.healed {
            return;
        }
        let pause = self.pause(self.plan.shopper_every);
        self.queue.put(self.now + pause, Event::ShopperTurn);
        let store = self.rng.index(self.store_ids.len());
        if self.hub.unheard[store] {
            return;
        }
        let gives_up = self.rng.chance(0.25) && self.may_release(store);
        let Some((item, sku, quantity)) = self.choose(store, gives_up) else { return };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let id = self.store_ids[store].clone();
        if gives_up {
            // Given up from now on, unless the hub says no.
            let held = self.shoppers.held.entry((store, sku.clone())).or_default();
            held.released += quantity;
        }
        let asked = Asked { store, sku, quantity, gives_up };
        self.shoppers.asked.insert(self.tickets, asked);
        let quantity = Quantity::from_thousandths(i64::try_from(quantity).unwrap_or(i64::MAX));
        self.tell_hub(if gives_up {
            Input::Release { ticket, store: id, item, quantity }
        } else {
            Input::Promise { ticket, store: id, item, quantity }
        });
    }

    /// H3: only once the store has agreed. Here: its only server is connected and knows every promise.
    fn may_release(&self, store: usize) -> bool {
        let machines = self.machines_of(store);
        let [machine] = machines.as_slice() else { return false };
        self.machines[*machine].process.as_ref().is_some_and(|process| process.agent.status().is_caught_up())
    }

    fn choose(&mut self, store: usize, gives_up: bool) -> Option<(ItemNo, String, u64)> {
        let hub = self.hub.hub()?;
        let cells: Vec<_> = hub.cells(&self.store_ids[store]).collect();
        let (item, cell) = cells.get(self.rng.index(cells.len()))?;
        let sku = self.hub.with_storage(|storage| storage.skus.get(&(store, *item)).cloned())?;
        let held = self.shoppers.held.get(&(store, sku.clone())).copied().unwrap_or_default();
        let outstanding = held.promised.saturating_sub(held.released);
        if gives_up {
            let open = u64::try_from(cell.open().thousandths()).unwrap_or(0);
            let most = outstanding.min(open).min(self.held_at_hub(store, *item));
            return (most > 0).then(|| (*item, sku, 1 + self.rng.below(most)));
        }
        let units = 1_000 * (1 + self.rng.below(3));
        Some((*item, sku, if self.rng.chance(0.2) { 1 + self.rng.below(units) } else { units }))
    }

    /// What the hub holds of an item without an order: the rest is orders', and not to be given up by anybody else.
    fn held_at_hub(&self, store: usize, item: ItemNo) -> u64 {
        let stored = self.hub.with_storage(|storage| storage.stored(store));
        stored.cells.iter().find(|(of, _)| *of == item).map_or(0, |(_, cell)| cell.held)
    }

    pub(super) fn shopper_answered(&mut self, ticket: u64, answer: &Result<(), PromiseError>) {
        let Some(asked) = self.shoppers.asked.remove(&ticket) else { return };
        if asked.gives_up && answer.is_err() {
            let held = self.shoppers.held.entry((asked.store, asked.sku.clone())).or_default();
            held.released = held.released.saturating_sub(asked.quantity);
        }
        match answer {
            Ok(()) => {
                let held = self.shoppers.held.entry((asked.store, asked.sku)).or_default();
                if asked.gives_up {
                    held.ever_released += asked.quantity;
                    self.coverage.hit("shopper: promise given up");
                } else {
                    held.promised += asked.quantity;
                    held.ever_promised += asked.quantity;
                    self.coverage.hit("shopper: promise given");
                }
            }
            Err(PromiseError::NotTrusted { .. }) => self.coverage.hit("shopper: store not trusted"),
            Err(PromiseError::Escrow(EscrowError::NotFree { .. })) => {
                self.coverage.hit("shopper: nothing free")
            }
            Err(_) => {}
        }
    }
}
