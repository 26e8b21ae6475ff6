//! What happens to orders, as events for others to hear of. An event is written in the commit in which it happened, or not at all.
//!
//! Each line of an order's timeline is one: `order.` and how the part stands from then on. More are told of what no status shows:
//! `order.short` when a store says that it will not hand over as much as it was to, `order.not_accepted`, once, when it has left an order
//! alone for too long, `order.at_risk`, once, when more is promised than the store has, `order.put_back`, once, when what was picked is back on
//! its shelf, and `order.closed`, once, when every part has ended.

use super::Hub;
use super::orders::{OrderView, PartView};
use crate::storage::{OrderEvent, ShopOrder, StoredOrder};
use serde::Serialize;
use sync_protocol::order::{OrderId, Stage, Status, StoreOrder};
use sync_protocol::{ItemNo, Quantity, StoreId, UnixMillis};

/// Events of the step under way.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Drawn at random with each start, so that no two starts give one id, not even from one copy of a database.
    birth: u64,
    given: u64,
    events: Vec<OrderEvent>,
}

impl Outbox {
    pub(super) fn new(birth: u64) -> Outbox {
        Outbox { birth, given: 0, events: Vec::new() }
    }

    /// The events of this step, which then are to be committed.
    pub(super) fn take(&mut self, now: UnixMillis) -> Vec<OrderEvent> {
        let mut events = std::mem::take(&mut self.events);
        events.iter_mut().for_each(|event| event.recorded_at = now);
        events
    }

    fn put(&mut self, kind: &str, shop: &ShopOrder, at: UnixMillis, body: &EventBody<'_>) {
        self.given += 1;
        self.events.push(OrderEvent {
            id: format!("{:016x}-{:x}", self.birth, self.given),
            at,
            recorded_at: at,
            kind: format!("order.{kind}"),
            order: shop.order,
            payment_reference: shop.content.payment_reference.clone(),
            body: serde_json::to_string(body).expect("text keys, numbers and no failing parts"),
        });
    }
}

impl Hub {
    /// A part of an order has been given to a store.
    pub(super) fn tell_placed(&mut self, order: OrderId, part: OrderId, at: UnixMillis) {
        let Ok(view) = self.view(order) else { return };
        for part in view.parts.iter().filter(|placed| placed.order == part) {
            self.outbox.put(part.status.name(), &view.shop, at, &EventBody::of_part(&view, part, ""));
        }
    }

    /// A part of an order stands otherwise than before (`is_news`), or its store may have said more of it.
    pub(super) fn tell(
        &mut self,
        store: &StoreId,
        order: &StoredOrder,
        is_news: bool,
        at: UnixMillis,
        by: &str,
    ) {
        let short = short_in_all(order);
        let is_told = |shop: &ShopOrder| {
            shop.content.told.short.get(&order.order.number()).is_some_and(|told| *told >= short)
        };
        let is_short = short > 0 && self.shop.order(order.part_of).is_some_and(|shop| !is_told(shop));
        let is_back = order.store.as_ref().is_some_and(is_put_back)
            && self
                .shop
                .order(order.part_of)
                .is_some_and(|shop| !shop.content.told.put_back.contains(&order.order.number()));
        if (is_news || is_short || is_back)
            && let Ok(view) = self.view(order.part_of)
            && let Some(part) =
                view.parts.iter().find(|part| part.order == order.order && part.store == *store)
        {
            let body = EventBody::of_part(&view, part, by);
            if is_short {
                self.outbox.put("short", &view.shop, at, &body);
                self.shop.change(order.part_of, |shop| {
                    shop.content.told.short.insert(order.order.number(), short);
                });
            }
            if is_news {
                self.outbox.put(part.status.name(), &view.shop, at, &body);
            }
            if is_back {
                self.outbox.put("put_back", &view.shop, at, &body);
                self.shop.change(order.part_of, |shop| {
                    shop.content.told.put_back.insert(order.order.number());
                });
            }
        }
    }

    /// Nobody at the store has taken this on in time. Told once.
    pub(super) fn tell_not_accepted(&mut self, part: &StoredOrder, at: UnixMillis) {
        let Ok(view) = self.view(part.part_of) else { return };
        let Some(shown) = view.parts.iter().find(|shown| shown.order == part.order) else { return };
        if view.shop.content.told.not_accepted.contains(&part.order.number()) {
            return;
        }
        self.outbox.put("not_accepted", &view.shop, at, &EventBody::of_part(&view, shown, ""));
        self.shop.change(part.part_of, |shop| {
            shop.content.told.not_accepted.insert(part.order.number());
        });
    }

    /// More of an item is promised to a store's orders than it has, and what took it. Told once of each part that it concerns.
    pub(super) fn tell_at_risk(
        &mut self,
        store: &StoreId,
        item: ItemNo,
        cause: &'static str,
        at: UnixMillis,
    ) {
        let Some(ledger) = self.stores.get(store) else { return };
        let waits = |part: &&StoredOrder| {
            !part.status().is_final() && part.backed().iter().any(|(backed, _)| *backed == item)
        };
        let parts: Vec<(OrderId, OrderId)> =
            ledger.orders().filter(waits).map(|part| (part.order, part.part_of)).collect();
        for (order, part_of) in parts {
            let Ok(view) = self.view(part_of) else { continue };
            let Some(part) = view.parts.iter().find(|part| part.order == order) else { continue };
            if view.shop.content.told.at_risk.contains(&order.number()) {
                continue;
            }
            let body = EventBody { cause, ..EventBody::of_part(&view, part, "") };
            self.outbox.put("at_risk", &view.shop, at, &body);
            self.shop.change(part_of, |shop| {
                shop.content.told.at_risk.insert(order.number());
            });
        }
    }

    /// Every part of an order has ended, and no other store is looked for. Told once, also when a handover is taken back and made again.
    pub(super) fn tell_closed(&mut self, order: OrderId, at: UnixMillis) {
        let Ok(view) = self.view(order) else { return };
        let is_whole = !view.parts.is_empty() && view.parts.len() == view.shop.content.parts.len();
        if is_whole && view.shop.content.told.closed_at.is_none() {
            self.outbox.put("closed", &view.shop, at, &EventBody::of_whole(&view));
            self.shop.change(order, |shop| shop.content.told.closed_at = Some(at.0));
        }
    }
}

/// Whether something was in the bag, and is on its shelf again.
fn is_put_back(half: &StoreOrder) -> bool {
    half.put_back && half.progress.iter().any(|line| line.picked.is_positive())
}

/// What of an order its store will not hand over, in thousandths.
fn short_in_all(order: &StoredOrder) -> i64 {
    let lines = order.store.iter().flat_map(|half| &half.progress);
    lines.fold(0, |sum, line| sum.saturating_add(line.short.thousandths()))
}

/// An event as others read it. Nothing personal of the shopper has a place in it.
#[derive(Serialize)]
struct EventBody<'a> {
    order: String,
    status: &'a str,
    #[serde(flatten)]
    part: Option<PartBody<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    by: &'a str,
    /// Of an order at risk: what took the goods, `sale`, `count` or `other`.
    #[serde(skip_serializing_if = "str::is_empty")]
    cause: &'a str,
    /// Of a closed order: all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<EndedPart<'a>>,
}

#[derive(Serialize)]
struct EndedPart<'a> {
    status: &'a str,
    #[serde(flatten)]
    part: PartBody<'a>,
}

#[derive(Serialize)]
struct PartBody<'a> {
    part: String,
    store: &'a str,
    lines: Vec<LineBody<'a>>,
}

#[derive(Serialize)]
struct LineBody<'a> {
    /// Absent where a restored hub can't name it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<&'a str>,
    ordered: Quantity,
    picked: Quantity,
    short: Quantity,
    handed_over: Quantity,
}

impl<'a> EventBody<'a> {
    fn of_part(view: &'a OrderView, part: &'a PartView, by: &'a str) -> EventBody<'a> {
        EventBody {
            order: view.shop.order.to_string(),
            status: part.status.name(),
            part: Some(PartBody::of(part)),
            by,
            cause: "",
            parts: Vec::new(),
        }
    }

    fn of_whole(view: &'a OrderView) -> EventBody<'a> {
        let ended = |part: &'a PartView| EndedPart { status: part.status.name(), part: PartBody::of(part) };
        EventBody {
            order: view.shop.order.to_string(),
            status: "closed",
            part: None,
            by: "",
            cause: "",
            parts: view.parts.iter().map(ended).collect(),
        }
    }
}

impl<'a> PartBody<'a> {
    fn of(part: &'a PartView) -> PartBody<'a> {
        let sku = |item: ItemNo| {
            part.items.iter().find(|(number, _)| *number == item.0).map(|(_, sku)| sku.as_str())
        };
        let zero = Quantity::ZERO;
        let lines = match (&part.half, &part.hub) {
            (Some(half), _) => {
                let is_out = half.stage == Stage::HandedOver;
                let line = |line: &sync_protocol::order::Progress| LineBody {
                    sku: sku(line.item),
                    ordered: line.ordered,
                    picked: line.picked,
                    short: line.short,
                    handed_over: if is_out { line.picked } else { zero },
                };
                half.progress.iter().map(line).collect()
            }
            (None, Some(hub)) => hub
                .lines
                .iter()
                .map(|line| LineBody {
                    sku: sku(line.item),
                    ordered: line.quantity,
                    picked: zero,
                    short: zero,
                    handed_over: zero,
                })
                .collect(),
            (None, None) => Vec::new(),
        };
        PartBody { part: part.order.to_string(), store: part.store.as_str(), lines }
    }
}

/// Every kind of event there is.
#[must_use]
pub fn kinds() -> Vec<String> {
    let statuses = Status::ALL.into_iter().map(Status::name);
    statuses
        .chain(["short", "not_accepted", "at_risk", "put_back", "closed"])
        .map(|name| format!("order.{name}"))
        .collect()
}
