//! Orders that nobody at their store takes on: told of once, after fifteen minutes in which the store was open.
//!
//! The time counts by the store's opening hours as they were when the order was placed, or when the hub started since. It is
//! worked out from the order itself, so a restart neither forgets it nor begins anew.

use super::Hub;
use crate::orders::board::zone_of;
use std::collections::BTreeSet;
use sync_protocol::order::{OrderId, Status};
use sync_protocol::{StoreId, UnixMillis};

/// How long a store may leave an order alone while it is open, in milliseconds.
const TAKEN_ON_WITHIN_MS: u64 = 15 * 60 * 1000;

/// Parts of orders that nobody has taken on, by when that is to be told.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeSet<(UnixMillis, StoreId, OrderId)>);

impl Hub {
    /// At the start, and after orders have been read again.
    pub(super) fn note_waiting(&mut self) {
        self.waiting = Waiting::default();
        let open = self.stores.iter().flat_map(|(id, store)| {
            let untouched = store.orders().filter(|order| is_untouched(order.status()));
            untouched.filter_map(|order| Some((id.clone(), order.order, order.hub.as_ref()?.placed_at)))
        });
        let open: Vec<_> = open.collect();
        for (store, order, placed_at) in open {
            self.is_waiting(&store, order, placed_at);
        }
    }

    pub(super) fn is_waiting(&mut self, id: &StoreId, order: OrderId, placed_at: UnixMillis) {
        let Some(store) = self.stores.get(id) else { return };
        let (hours, zone) = (self.pickups.hours_of(id), zone_of(&store.info.timezone));
        // A store that never opens again leaves it alone for sure.
        let until = hours.after_open(placed_at, TAKEN_ON_WITHIN_MS, &zone).unwrap_or(placed_at);
        self.waiting.0.insert((until, id.clone(), order));
    }

    pub(super) fn escalate(&mut self, now: UnixMillis) {
        while self.waiting.0.first().is_some_and(|(until, ..)| *until <= now) {
            let Some((_, id, order)) = self.waiting.0.pop_first() else { return };
            let part = self.stores.get(&id).and_then(|store| store.order(order));
            if let Some(part) = part.filter(|part| is_untouched(part.status())).cloned() {
                self.tell_not_accepted(&part, now);
            }
        }
    }
}

fn is_untouched(status: Status) -> bool {
    matches!(status, Status::Placed | Status::Sent)
}
