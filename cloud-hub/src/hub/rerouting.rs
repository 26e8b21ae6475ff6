//! Orders that go on at another store, because those that had them can't hand everything over.
//!
//! **Invariant:** what another store is asked for has been given up by the store before it, in its own half of the order: refused,
//! or short. So a shopper never finds two bags, whatever happened while a line was down.

use super::Hub;
use super::orders::{Choice, OrderError, OrderView, PartView};
use crate::orders::placement::Reroute;
use std::collections::BTreeMap;
use sync_protocol::order::{Cancel, OrderId, ShortReason, Stage, Status};
use sync_protocol::time::Now;
use sync_protocol::{Quantity, Sku, UnixMillis};

/// How long the hub looks for another store by itself, in milliseconds.
const LOOKED_FOR_MS: i64 = 30 * 60 * 1000;
/// Most orders that are looked after at a time.
const LOOKED_AFTER_MAX: usize = 100;

/// Whether an order waits for another store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rerouting {
    /// Nothing is owed, or nothing is to be done about it.
    Not,
    /// The shopper chooses.
    Offered,
    /// The hub looks for one.
    Looking,
}

impl Rerouting {
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Not => None,
            Self::Offered => Some("offered"),
            Self::Looking => Some("looking"),
        }
    }
}

impl OrderView {
    /// What was ordered and no store hands over, or has handed over: refused, or short for want of it. Not what the shopper
    /// left there.
    #[must_use]
    pub fn owed(&self) -> Vec<(Sku, Quantity)> {
        let Some(wish) = &self.shop.content.wish else { return Vec::new() };
        let mut met: BTreeMap<&str, u64> = BTreeMap::new();
        for part in &self.parts {
            for (item, thousandths) in part.met() {
                if let Some((_, sku)) = part.items.iter().find(|(number, _)| *number == item) {
                    let sum = met.entry(sku.as_str()).or_default();
                    *sum = sum.saturating_add(thousandths);
                }
            }
        }
        let owed = wish.lines.iter().filter_map(|(sku, ordered)| {
            let met = met.get(sku.as_str()).copied().unwrap_or(0);
            let left = ordered.thousandths().unsigned_abs().saturating_sub(met);
            let left = Quantity::from_thousandths(i64::try_from(left).unwrap_or(i64::MAX));
            (left > Quantity::ZERO).then(|| (sku.clone(), left))
        });
        owed.collect()
    }

    #[must_use]
    pub fn rerouting(&self) -> Rerouting {
        let content = &self.shop.content;
        let Some(wish) = content.wish.as_ref().filter(|wish| wish.reroute != Reroute::Never) else {
            return Rerouting::Not;
        };
        if content.is_given_up || self.parts.iter().any(PartView::is_unwanted) || self.owed().is_empty() {
            return Rerouting::Not;
        }
        // Whoever does not want to walk to two stores gets all of it elsewhere, or what there is here.
        let is_gone = |part: &PartView| {
            matches!(part.status, Status::Refused | Status::Rerouted) && part.met().all(|(_, met)| met == 0)
        };
        if !wish.may_split && !self.parts.iter().all(is_gone) {
            return Rerouting::Not;
        }
        if wish.reroute == Reroute::Auto { Rerouting::Looking } else { Rerouting::Offered }
    }
}

impl PartView {
    /// By item, in thousandths: what is handed over, still to come, or was left there by the shopper.
    fn met(&self) -> impl Iterator<Item = (u32, u64)> {
        let said = self.half.iter().flat_map(|half| {
            let is_open = half.stage.is_open();
            half.progress.iter().map(move |line| {
                let left_there = line.why == Some(ShortReason::NotTaken);
                let due = line.ordered.thousandths() - line.short.thousandths();
                let handed_over = half.stage == Stage::HandedOver;
                let met = if left_there && (is_open || handed_over) {
                    line.ordered.thousandths()
                } else if is_open {
                    due
                } else if handed_over {
                    line.picked.thousandths()
                } else {
                    0
                };
                (line.item.0, met.max(0).unsigned_abs())
            })
        });
        let silent = self.hub.iter().filter(|_| self.half.is_none());
        said.chain(silent.flat_map(|hub| hub.backed().map(|(item, met)| (item.0, met))))
    }

    /// Somebody does not want it any more, or nobody came: no other store is to have it.
    fn is_unwanted(&self) -> bool {
        self.hub.as_ref().and_then(|hub| hub.cancel).is_some_and(|why| why != Cancel::Rerouted)
    }
}

impl Hub {
    /// Orders for which the hub is to find another store.
    pub(super) fn looked_for(&self) -> Vec<OrderView> {
        let views = self.shop.owed().filter_map(|order| self.view(order).ok());
        views.filter(|view| view.rerouting() == Rerouting::Looking).take(LOOKED_AFTER_MAX).collect()
    }

    /// Gives what is owed of an order to another store. `choices` as for a new order, without what the stores see of the
    /// shopper.
    pub(super) fn reroute(
        &mut self,
        order: OrderId,
        choices: &[Choice],
        decision: Option<&str>,
        now: Now,
    ) -> Result<OrderView, OrderError> {
        let view = self.view(order)?;
        let (Rerouting::Offered | Rerouting::Looking, Some(shown)) =
            (view.rerouting(), view.parts.iter().find_map(|part| part.hub.as_ref()))
        else {
            return Err(OrderError::NothingOwed { order });
        };
        let owed: BTreeMap<Sku, Quantity> = view.owed().into_iter().collect();
        let mut choices: Vec<Choice> = choices.iter().filter(|choice| choice.gives(&owed)).cloned().collect();
        for part in choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            part.half.display_name.clone_from(&shown.display_name);
            part.half.phone.clone_from(&shown.phone);
        }
        let parts = self.first_promisable(&choices, now)?;
        let refused: Vec<&PartView> =
            view.parts.iter().filter(|part| part.status == Status::Refused).collect();
        for part in refused {
            self.ask_to_cancel(&part.store, part.order, Cancel::Rerouted, now);
        }
        self.put_parts(order, parts, now);
        self.keep_decision(order, decision, now);
        self.look_after(order, now.wall);
        self.view(order)
    }

    /// Takes down whether an order waits for another store, or has come to its end.
    pub(super) fn look_after(&mut self, order: OrderId, at: UnixMillis) {
        let Ok(view) = self.view(order) else { return };
        let content = &view.shop.content;
        let waits = view.rerouting() != Rerouting::Not;
        let is_whole = !view.parts.is_empty() && view.parts.len() == content.parts.len();
        let has_ended = is_whole && !waits && view.parts.iter().all(|part| part.status.is_final());
        let owed = waits.then(|| content.owed_since.unwrap_or(at.0));
        let ended = has_ended.then(|| content.ended_at.unwrap_or(at.0));
        self.shop.set_owed(order, owed);
        self.shop.set_ended(order, ended);
        if has_ended {
            self.tell_closed(order, at);
        }
    }

    /// Ends the search for another store where it has taken too long.
    pub(super) fn stop_looking(&mut self, now: Now) {
        let orders: Vec<OrderId> = self.shop.owed().collect();
        for order in orders {
            let Ok(view) = self.view(order) else { continue };
            let holds = view.parts.iter().filter_map(|part| part.hub.as_ref()).map(|hub| hub.hold_until);
            let until = match view.rerouting() {
                Rerouting::Not => UnixMillis(i64::MIN),
                Rerouting::Offered => holds.max().unwrap_or(now.wall),
                Rerouting::Looking => {
                    let since = view.shop.content.owed_since.unwrap_or(now.wall.0);
                    UnixMillis(since.saturating_add(LOOKED_FOR_MS))
                }
            };
            if until < now.wall {
                self.shop.give_up(order);
                self.look_after(order, now.wall);
            }
        }
    }
}

impl Choice {
    /// Whether its parts come to exactly this.
    fn gives(&self, owed: &BTreeMap<Sku, Quantity>) -> bool {
        let mut given: BTreeMap<Sku, Quantity> = BTreeMap::new();
        for (sku, quantity) in self.parts.iter().flat_map(|part| &part.lines) {
            let sum = given.entry(sku.clone()).or_default();
            let Some(more) = sum.checked_add(*quantity) else { return false };
            *sum = more;
        }
        given == *owed
    }
}
