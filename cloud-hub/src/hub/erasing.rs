//! Customers' data goes: some time after an order's end, and when somebody asks for it.
//!
//! The hub drops its sealed copy, and empties what the stores were told in its half of the order. A store has done the same once its
//! agent confirms, durably, that it holds that half or a later one; that is its receipt. A store whose line is down confirms when
//! it is back.

use super::Hub;
use super::orders::{OrderError, OrderView};
use sync_protocol::order::OrderId;
use sync_protocol::time::Now;
use sync_protocol::{Seq, StoreId};

/// Most orders erased at one tick.
const ERASED_AT_ONCE: usize = 200;

impl Hub {
    /// On request. An order that a store still works on needs its customer.
    pub(super) fn erase_customer(&mut self, order: OrderId, now: Now) -> Result<OrderView, OrderError> {
        let view = self.view(order)?;
        if view.shop.content.erased_at.is_none() {
            if view.shop.content.ended_at.is_none() {
                return Err(OrderError::StillOpen { order });
            }
            self.erase(&view, now);
        }
        self.view(order)
    }

    /// What has ended long enough ago.
    pub(super) fn erase_due(&mut self, now: Now) {
        let before = now.wall.0.saturating_sub(self.settings.customers_kept_ms);
        let due: Vec<OrderId> = self.shop.ended_before(before).take(ERASED_AT_ONCE).collect();
        for order in due {
            if let Ok(view) = self.view(order) {
                self.erase(&view, now);
            }
        }
    }

    fn erase(&mut self, view: &OrderView, now: Now) {
        for part in &view.parts {
            let Some(store) = self.stores.get_mut(&part.store) else { continue };
            let changed = store.change_order(part.order, |hub| {
                hub.display_name.clear();
                hub.phone.clear();
                hub.closed = true;
            });
            if changed {
                self.down_changed(&part.store, false, now);
            }
        }
        self.shop.erase(view.shop.order, now.wall);
    }

    /// A store's agent holds everything it was told up to here.
    pub(super) fn note_down_mark(&mut self, id: &StoreId, mark: Seq, now: Now) {
        let Some(store) = self.stores.get(id) else { return };
        let is_there = |part: &OrderId| store.order(*part).is_none_or(|order| order.down_seq <= mark);
        let erased: Vec<(OrderId, OrderId)> =
            self.shop.unconfirmed(id).filter(|(part, _)| is_there(part)).collect();
        for (part, order) in erased {
            self.shop.confirm(id, part, order, now.wall);
        }
    }
}
