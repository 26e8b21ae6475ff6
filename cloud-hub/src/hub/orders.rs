//! Orders at the hub: placed in one atomic step, cancelled by asking, followed by what the stores say.

use super::ledger::StoreLedger;
use super::{Hub, Output, Ticket};
use crate::orders::placement::Reroute;
use crate::orders::routing::Dropped;
use crate::storage::{
    Happening, KeptDecision, Receipt, ShopOrder, ShopOrderContent, ShopPart, ShopWish, StorageError,
    StoredOrder,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use sync_protocol::order::{Cancel, HubOrder, Line, OrderId, Status, StoreOrder};
use sync_protocol::time::Now;
use sync_protocol::{ItemNo, Quantity, Sku, StoreId, UnixMillis};

/// Most lines kept of an order's timeline.
const TIMELINE_MAX: usize = 200;
/// Most orders in one answer to a listing.
pub const LISTED_MAX: usize = 200;

/// An order to be placed, and where it may go.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOrder {
    pub order: OrderId,
    /// The caller and its idempotency key, and a fingerprint of the body it came with.
    pub key: String,
    pub fingerprint: String,
    /// Sealed.
    pub customer: Vec<u8>,
    pub payment_reference: Option<String>,
    pub reroute: Reroute,
    pub may_split: bool,
    /// How far around the first store another one may be; `None` where the shopper named a store.
    pub radius_km: Option<f64>,
    /// What was kept for it until now. Its units go to the order.
    pub reservation: Option<OrderId>,
    /// Why these stores, in this order, as JSON; kept with the order.
    pub decision: Option<String>,
    /// The best first. The first of which every line is free gets the order.
    pub choices: Vec<Choice>,
}

/// One way to do an order: whole at one store, or in parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub store: StoreId,
    pub order: OrderId,
    /// No sku twice.
    pub lines: Vec<(Sku, Quantity)>,
    /// Everything but the lines, which the store's own numbers make.
    pub half: HubOrder,
}

/// A part whose items the store has.
pub(super) struct Resolved {
    store: StoreId,
    order: OrderId,
    half: HubOrder,
    items: Vec<(u32, String)>,
}

/// Why an order was not placed, or not found. Nothing has changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OrderError {
    #[error("there is no order {order}")]
    NoSuchOrder { order: OrderId },
    #[error("this idempotency key came with another body before; use a key of its own for each order")]
    KeyReused,
    #[error("not all of it can be promised at any of the stores that were asked for")]
    Insufficient,
    #[error("store `{store}` takes no such order now: {why}")]
    NotTaking { store: StoreId, why: Dropped },
    #[error("order {order} is {status}; it can't be cancelled any more")]
    TooLate { order: OrderId, status: &'static str },
    #[error("there is no reservation {reservation}, or it has ended; order without it, or reserve anew")]
    NoSuchReservation { reservation: OrderId },
    #[error("a reservation lasts for an hour at most; order, or reserve anew")]
    ReservedTooLong,
    #[error("more is reserved than the hub keeps; order without reserving")]
    TooManyReservations,
    #[error(
        "order {order} has not come to its end, and its store needs to know whose it is; cancel it first"
    )]
    StillOpen { order: OrderId },
    #[error("nothing of order {order} waits for another store")]
    NothingOwed { order: OrderId },
    #[error("the hub's storage did not take the change; nothing was promised, send it again")]
    Storage,
}

/// An order as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderView {
    pub shop: ShopOrder,
    pub parts: Vec<PartView>,
    /// The same key and body had placed it before.
    pub is_replayed: bool,
}

/// What one store has of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct PartView {
    pub store: StoreId,
    pub order: OrderId,
    pub status: Status,
    pub hub: Option<HubOrder>,
    pub half: Option<StoreOrder>,
    /// The store has less on its shelf than it has set aside for the web: this order may fail.
    pub is_at_risk: bool,
    /// What took the goods, where that is known.
    pub at_risk_because: Option<&'static str>,
    /// What the lines' item numbers mean.
    pub items: Vec<(u32, String)>,
}

/// Which orders a listing wants, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub after: Option<OrderId>,
    pub store: Option<StoreId>,
    pub status: Option<Status>,
    pub limit: usize,
}

/// All orders as shoppers placed them.
#[derive(Debug, Default)]
pub(super) struct Shop {
    orders: BTreeMap<OrderId, ShopOrder>,
    by_key: BTreeMap<String, OrderId>,
    /// Until when orders are kept for their shoppers.
    holds: BTreeSet<(UnixMillis, StoreId, OrderId)>,
    /// Those that wait for another store.
    owed: BTreeSet<OrderId>,
    /// Those that have ended and still have a customer, by when they did.
    ended: BTreeSet<(i64, OrderId)>,
    /// By store, its orders whose customer it has not confirmed to have forgotten, and the shoppers' orders they are part of.
    unconfirmed: BTreeMap<StoreId, BTreeSet<(OrderId, OrderId)>>,
    changed: BTreeSet<OrderId>,
}

impl Shop {
    pub(super) fn load(orders: Vec<ShopOrder>) -> Shop {
        let mut shop = Shop::default();
        orders.into_iter().for_each(|order| shop.put(order));
        shop
    }

    fn put(&mut self, order: ShopOrder) {
        if !order.content.key.is_empty() {
            self.by_key.insert(order.content.key.clone(), order.order);
        }
        if order.content.owed_since.is_some() {
            self.owed.insert(order.order);
        }
        if let (Some(ended), None) = (order.content.ended_at, order.content.erased_at) {
            self.ended.insert((ended, order.order));
        }
        if order.content.erased_at.is_some() {
            self.note_missing_receipts(&order);
        }
        self.orders.insert(order.order, order);
    }

    pub(super) fn order(&self, order: OrderId) -> Option<&ShopOrder> {
        self.orders.get(&order)
    }

    pub(super) fn take_changed(&mut self) -> Vec<ShopOrder> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|order| self.orders.get(order).cloned()).collect()
    }

    pub(super) fn owed(&self) -> impl Iterator<Item = OrderId> {
        self.owed.iter().copied()
    }

    pub(super) fn set_owed(&mut self, order: OrderId, since: Option<i64>) {
        if self.orders.get(&order).is_none_or(|shop| shop.content.owed_since == since) {
            return;
        }
        self.change(order, |shop| shop.content.owed_since = since);
        match since {
            Some(_) => self.owed.insert(order),
            None => self.owed.remove(&order),
        };
    }

    pub(super) fn give_up(&mut self, order: OrderId) {
        self.set_owed(order, None);
        self.change(order, |shop| shop.content.is_given_up = true);
    }

    pub(super) fn set_ended(&mut self, order: OrderId, at: Option<i64>) {
        let Some(shop) = self.orders.get(&order) else { return };
        let (before, is_erased) = (shop.content.ended_at, shop.content.erased_at.is_some());
        if before == at {
            return;
        }
        self.change(order, |shop| shop.content.ended_at = at);
        if let Some(before) = before {
            self.ended.remove(&(before, order));
        }
        if let Some(at) = at.filter(|_| !is_erased) {
            self.ended.insert((at, order));
        }
    }

    pub(super) fn ended_before(&self, before: i64) -> impl Iterator<Item = OrderId> {
        self.ended.iter().take_while(move |(at, _)| *at <= before).map(|(_, order)| *order)
    }

    /// Removes the customer of an order.
    pub(super) fn erase(&mut self, order: OrderId, now: UnixMillis) {
        self.change(order, |shop| {
            shop.customer = Vec::new();
            shop.content.erased_at = Some(now.0);
        });
        let Some(shop) = self.orders.get(&order).cloned() else { return };
        if let Some(ended) = shop.content.ended_at {
            self.ended.remove(&(ended, order));
        }
        self.note_missing_receipts(&shop);
    }

    fn note_missing_receipts(&mut self, shop: &ShopOrder) {
        let receipts = &shop.content.receipts;
        let open = shop.content.parts.iter().filter(|part| receipts.iter().all(|it| it.order != part.order));
        for part in open {
            if let (Ok(store), Ok(order)) = (part.store.parse(), OrderId::from_number(part.order)) {
                self.unconfirmed.entry(store).or_default().insert((order, shop.order));
            }
        }
    }

    pub(super) fn unconfirmed(&self, store: &StoreId) -> impl Iterator<Item = (OrderId, OrderId)> {
        self.unconfirmed.get(store).into_iter().flatten().copied()
    }

    pub(super) fn confirm(&mut self, store: &StoreId, part: OrderId, order: OrderId, now: UnixMillis) {
        if let Some(unconfirmed) = self.unconfirmed.get_mut(store) {
            unconfirmed.remove(&(part, order));
        }
        let receipt = Receipt { store: store.to_string(), order: part.number(), at: now.0 };
        self.change(order, |shop| shop.content.receipts.push(receipt));
    }

    pub(super) fn change(&mut self, order: OrderId, change: impl FnOnce(&mut ShopOrder)) {
        if let Some(found) = self.orders.get_mut(&order) {
            change(found);
            self.changed.insert(order);
        }
    }
}

impl NewOrder {
    /// What was ordered, added up over the parts of any of its choices: all of them give the same.
    fn wish(&self) -> Option<ShopWish> {
        let mut lines: Vec<(Sku, Quantity)> = Vec::new();
        for (sku, quantity) in self.choices.first()?.parts.iter().flat_map(|part| &part.lines) {
            match lines.iter_mut().find(|(earlier, _)| earlier == sku) {
                Some((_, sum)) => *sum = sum.checked_add(*quantity).unwrap_or(*sum),
                None => lines.push((sku.clone(), *quantity)),
            }
        }
        let (reroute, may_split, radius_km) = (self.reroute, self.may_split, self.radius_km);
        Some(ShopWish { lines, reroute, may_split, radius_km })
    }
}

impl Hub {
    /// After the stores have been read: when orders run out.
    pub(super) fn note_holds(&mut self) {
        let holds = self.stores.values().flat_map(|store| {
            let open = store.orders().filter(|order| !order.status().is_final());
            open.filter_map(|order| {
                Some((order.hub.as_ref()?.hold_until, store.info.id.clone(), order.order))
            })
        });
        self.shop.holds = holds.collect();
    }

    pub(super) fn place(&mut self, new: &NewOrder, now: Now) -> Result<OrderView, OrderError> {
        if let Some(known) = self.shop.by_key.get(&new.key).copied() {
            let known = self.view(known)?;
            let same = known.shop.content.fingerprint == new.fingerprint;
            return if same {
                Ok(OrderView { is_replayed: true, ..known })
            } else {
                Err(OrderError::KeyReused)
            };
        }
        let reserved = match new.reservation {
            Some(reservation) => Some(self.open_reservation(reservation, now)?),
            None => {
                self.end_reservations(now);
                None
            }
        };
        let parts = match self.first_promisable(&new.choices, now) {
            Ok(parts) => parts,
            Err(error) => {
                reserved.into_iter().for_each(|reserved| self.close_reservation(reserved, now));
                return Err(error);
            }
        };
        let content = ShopOrderContent {
            placed_at: now.wall.0,
            key: new.key.clone(),
            fingerprint: new.fingerprint.clone(),
            payment_reference: new.payment_reference.clone(),
            wish: new.wish(),
            ..ShopOrderContent::default()
        };
        self.shop.put(ShopOrder { order: new.order, content, customer: new.customer.clone() });
        self.put_parts(new.order, parts, now);
        reserved.iter().for_each(|reserved| self.drop_reservation(reserved, now));
        self.keep_decision(new.order, new.decision.as_deref(), now);
        self.view(new.order)
    }

    pub(super) fn keep_decision(&mut self, order: OrderId, record: Option<&str>, now: Now) {
        let kept = record.map(|record| KeptDecision { order, at: now.wall, record: record.to_owned() });
        self.decisions.extend(kept);
    }

    pub(super) fn first_promisable(
        &mut self,
        choices: &[Choice],
        now: Now,
    ) -> Result<Vec<Resolved>, OrderError> {
        let mut refusal = OrderError::Insufficient;
        for choice in choices {
            if let Err(error) = self.takes_orders(choice, now) {
                // Only whoever named the store wants to know.
                if choices.len() == 1 {
                    refusal = error;
                }
                continue;
            }
            if let Some(parts) = self.promisable(choice).map_err(|_| OrderError::Storage)? {
                return Ok(parts);
            }
        }
        Err(refusal)
    }

    /// Promises the parts to an order, and tells their stores.
    pub(super) fn put_parts(&mut self, order: OrderId, parts: Vec<Resolved>, now: Now) {
        for Resolved { store: id, order: number, half, items } in parts {
            let Some(store) = self.stores.get_mut(&id) else { continue };
            let hold_until = half.hold_until;
            let placed = store.place_order(number, order, half);
            debug_assert!(placed.is_ok(), "asked before");
            self.shop.change(order, |shop| {
                shop.content.parts.push(ShopPart { store: id.to_string(), order: number.number(), items });
                shop.content.timeline.push(happening(&id, number, Status::Placed, now.wall, ""));
            });
            self.down_changed(&id, true, now);
            self.tell_placed(order, number, now.wall);
            self.is_waiting(&id, number, now.wall);
            self.shop.holds.insert((hold_until, id, number));
        }
    }

    /// The choice with the stores' own item numbers; `None` where not every line of it is free.
    fn promisable(&mut self, choice: &Choice) -> Result<Option<Vec<Resolved>>, StorageError> {
        let mut parts: Vec<Resolved> = Vec::with_capacity(choice.parts.len());
        for part in &choice.parts {
            let Some(store) = self.stores.get(&part.store).filter(|store| store.facts.trusted) else {
                return Ok(None);
            };
            let (mut lines, mut items) = (Vec::new(), Vec::new());
            for (sku, quantity) in &part.lines {
                let Some(item) = self.storage.item_of_sku(store.key, sku)? else { return Ok(None) };
                lines.push(Line { item, quantity: *quantity });
                items.push((item.0, sku.to_string()));
            }
            lines.sort_unstable_by_key(|line| line.item);
            let half = HubOrder { lines, ..part.half.clone() };
            let is_new = store.order(part.order).is_none();
            if !is_new || half.validate().is_err() || store.can_promise(&half.lines).is_err() {
                return Ok(None);
            }
            if parts.iter().any(|earlier| earlier.store == part.store) {
                return Ok(None);
            }
            parts.push(Resolved { store: part.store.clone(), order: part.order, half, items });
        }
        Ok((!parts.is_empty()).then_some(parts))
    }

    /// Asks the stores to end an order. Until one has acknowledged it, a handover beats it.
    pub(super) fn cancel(&mut self, order: OrderId, why: Cancel, now: Now) -> Result<OrderView, OrderError> {
        let view = self.view(order)?;
        let open: Vec<&PartView> = view.parts.iter().filter(|part| !part.status.is_final()).collect();
        if open.is_empty() {
            let status = view.parts.first().map_or(Status::Cancelled, |part| part.status);
            return match status {
                Status::Cancelled | Status::Expired => Ok(view),
                _ => Err(OrderError::TooLate { order, status: status.name() }),
            };
        }
        for part in open {
            self.ask_to_cancel(&part.store, part.order, why, now);
        }
        self.view(order)
    }

    pub(super) fn ask_to_cancel(&mut self, id: &StoreId, order: OrderId, why: Cancel, now: Now) {
        let Some(store) = self.stores.get_mut(id) else { return };
        let asked =
            store.order(order).and_then(|order| order.hub.as_ref()).is_some_and(|hub| hub.cancel.is_some());
        if asked || !store.change_order(order, |hub| hub.cancel = Some(why)) {
            return;
        }
        let stored = store.order(order).cloned();
        self.down_changed(id, true, now);
        if let Some(stored) = stored {
            self.happened(id, &stored, now.wall, "");
        }
    }

    /// Orders that nobody has come for in time are to be ended. Where a restored hub has not heard what became of one, it waits.
    pub(super) fn expire(&mut self, now: Now) {
        let holds = self.shop.holds.iter().take_while(|(until, ..)| *until < now.wall);
        let is_heard = |(_, store, _): &&(UnixMillis, StoreId, OrderId)| {
            self.stores.get(store).is_some_and(|store| store.facts.trusted)
        };
        let due: Vec<(UnixMillis, StoreId, OrderId)> = holds.filter(is_heard).cloned().collect();
        for hold in due {
            self.shop.holds.remove(&hold);
            let (_, store, order) = hold;
            let is_open = self
                .stores
                .get(&store)
                .and_then(|store| store.order(order))
                .is_some_and(|order| !order.status().is_final());
            if is_open {
                self.ask_to_cancel(&store, order, Cancel::Expired, now);
            }
        }
    }

    /// A store has said something new of these orders.
    pub(super) fn note_orders(&mut self, store: &StoreId, news: &[StoredOrder], now: Now) {
        for order in news {
            let (at, by) =
                order.store.as_ref().map_or((UnixMillis(0), ""), |half| (half.since, half.by.as_str()));
            self.happened(store, order, at, by);
            // A handover that was taken back after its hold had run out: nobody else would end the order.
            if let Some(hub) = order.hub.as_ref().filter(|_| !order.status().is_final()) {
                self.shop.holds.insert((hub.hold_until, store.clone(), order.order));
            }
            self.look_after(order.part_of, now.wall);
        }
    }

    /// A restored hub has been told of an order it had forgotten: it is an order again, of an unknown customer.
    pub(super) fn note_forgotten(&mut self, store: &StoreId, order: OrderId, now: Now) {
        let Some(stored) = self.stores.get(store).and_then(|store| store.order(order)).cloned() else {
            return;
        };
        if let Some(hub) = &stored.hub {
            self.shop.holds.insert((hub.hold_until, store.clone(), order));
        }
        if let Some(known) = self.shop.orders.get(&stored.part_of) {
            let is_erased = stored.hub.as_ref().is_some_and(|hub| hub.closed && hub.display_name.is_empty());
            if is_erased && known.content.erased_at.is_none() {
                self.shop.erase(stored.part_of, now.wall);
            }
            self.look_after(stored.part_of, now.wall);
            return;
        }
        let items = self.names_of(store, &stored);
        let content = ShopOrderContent {
            placed_at: stored.hub.as_ref().map_or(0, |hub| hub.placed_at.0),
            parts: vec![ShopPart { store: store.to_string(), order: order.number(), items }],
            ..ShopOrderContent::default()
        };
        self.shop.put(ShopOrder { order, content, customer: Vec::new() });
        self.happened(store, &stored, now.wall, "");
        // Its store may have said before that it has ended, when the hub did not know of what.
        self.look_after(order, now.wall);
    }

    /// What the item numbers of an order mean, as far as that can be read.
    fn names_of(&mut self, store: &StoreId, order: &StoredOrder) -> Vec<(u32, String)> {
        let Some(key) = self.stores.get(store).map(|store| store.key) else { return Vec::new() };
        let lines = order.hub.iter().flat_map(|hub| &hub.lines);
        let named = lines.filter_map(|line| {
            let record = self.storage.item(key, line.item).ok()??;
            Some((line.item.0, record.sku.to_string()))
        });
        named.collect()
    }

    fn happened(&mut self, store: &StoreId, order: &StoredOrder, at: UnixMillis, by: &str) {
        let line = happening(store, order.order, order.status(), at, by);
        let mut is_news = false;
        self.shop.change(order.part_of, |shop| {
            let timeline = &mut shop.content.timeline;
            let last = timeline.iter().rev().find(|earlier| earlier.order == line.order);
            if last.is_none_or(|last| last.status != line.status) && timeline.len() < TIMELINE_MAX {
                timeline.push(line);
                is_news = true;
            }
        });
        self.tell(store, order, is_news, at, by);
    }

    pub(super) fn view(&self, order: OrderId) -> Result<OrderView, OrderError> {
        let shop = self.shop.orders.get(&order).ok_or(OrderError::NoSuchOrder { order })?;
        let parts = shop.content.parts.iter().filter_map(|part| {
            let store = self.stores.get(&part.store.parse::<StoreId>().ok()?)?;
            let stored = store.order(OrderId::from_number(part.order).ok()?)?;
            let lacks = |(item, _): &(ItemNo, u64)| {
                store.cell(*item).is_some_and(|stored| stored.cell.lacking() > Quantity::ZERO)
            };
            let status = stored.status();
            let lacking = stored.backed().into_iter().find(lacks).filter(|_| !status.is_final());
            Some(PartView {
                store: store.info.id.clone(),
                order: stored.order,
                status,
                hub: stored.hub.clone(),
                half: stored.store.clone(),
                is_at_risk: lacking.is_some(),
                at_risk_because: lacking.and_then(|(item, _)| self.breach_of(&store.info.id, item)),
                items: part.items.clone(),
            })
        });
        Ok(OrderView { shop: shop.clone(), parts: parts.collect(), is_replayed: false })
    }

    pub(super) fn list(&self, wanted: &Listing) -> Vec<OrderView> {
        let after = wanted.after.map_or(Bound::Unbounded, Bound::Excluded);
        let limit = wanted.limit.min(LISTED_MAX);
        let numbers: Vec<OrderId> = if wanted.store.is_none() && wanted.status.is_none() {
            self.shop.orders.range((after, Bound::Unbounded)).map(|(order, _)| *order).take(limit).collect()
        } else {
            self.fitting(wanted).range((after, Bound::Unbounded)).take(limit).copied().collect()
        };
        numbers.into_iter().filter_map(|order| self.view(order).ok()).collect()
    }

    /// Asks the stores' books: a look at each part, and nothing copied.
    fn fitting(&self, wanted: &Listing) -> BTreeSet<OrderId> {
        let asked =
            self.stores.values().filter(|store| wanted.store.as_ref().is_none_or(|id| *id == store.info.id));
        let parts = asked.flat_map(StoreLedger::orders);
        let fit = parts.filter(|part| wanted.status.is_none_or(|status| status == part.status()));
        let after = |order: &OrderId| wanted.after.is_none_or(|after| *order > after);
        // Of a hundred thousand that fit, a page is wanted.
        let mut first = BTreeSet::new();
        for order in fit.map(|part| part.part_of).filter(after) {
            first.insert(order);
            if first.len() > wanted.limit {
                first.pop_last();
            }
        }
        first
    }
}

fn happening(store: &StoreId, order: OrderId, status: Status, at: UnixMillis, by: &str) -> Happening {
    Happening {
        at: at.0,
        store: store.to_string(),
        order: order.number(),
        status: status.name().to_owned(),
        by: by.to_owned(),
    }
}

/// What an answer becomes when the commit it rests on has failed.
pub(super) fn given_back(ticket: Ticket) -> Output {
    Output::Order { ticket, answer: Err(OrderError::Storage) }
}
