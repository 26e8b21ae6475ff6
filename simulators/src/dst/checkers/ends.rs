//! Every order comes to one end: each of its parts has one, what was told of it is its timeline line by line, timers have fired once
//! although the hub crashed around them, nobody has two bags, and what was captured is what was handed over.
//!
//! Excused: a hub that was restored has lost events and promises made since its copy, so what had been told before may be told again;
//! and where the stage of an order may be either of two disks' ([`Ordered::is_forked`](crate::dst::orders::Ordered)), or a till rang it
//! up, what the store says in the end stands for what was handed over.

use super::{Check, Finding, must};
use crate::dst::payments::{Captured, events};
use crate::dst::world::World;
use cloud_hub::storage::{Happening, ShopOrder, Storage, StoredOrder};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::ItemNo;
use sync_protocol::order::{Cancel, OrderId, Stage, Status};

/// What the hub has committed of orders' timers since it was last restored.
#[derive(Debug, Default)]
pub struct Ends {
    /// Why each part is to end, once somebody wants it to.
    cancelled: BTreeMap<OrderId, Cancel>,
    given_up: BTreeSet<OrderId>,
    /// When an order closed for the first time.
    closed: BTreeMap<OrderId, i64>,
    /// Parts of orders, as far as there are any.
    parts: BTreeMap<OrderId, usize>,
    /// Stores whose disk was lost, put back or copied at any time: what one of their disks had ended, another may not have heard of.
    apart: BTreeSet<usize>,
}

impl Ends {
    pub fn restored(&mut self) {
        *self = Ends { apart: std::mem::take(&mut self.apart), ..Ends::default() };
    }

    pub fn went_apart(&mut self, store: usize) {
        self.apart.insert(store);
    }

    /// # Errors
    /// A part that was to end for one reason is to end for another, or not to end.
    pub fn order(&mut self, order: &StoredOrder) -> Check {
        let Some(hub) = &order.hub else { return Ok(()) };
        let before = self.cancelled.get(&order.order).copied();
        must(before.is_none() || hub.cancel == before, "P9", || {
            format!("order {} was to end ({before:?}), and now it is {:?}", order.order, hub.cancel)
        })?;
        if let Some(cancel) = hub.cancel {
            self.cancelled.insert(order.order, cancel);
        }
        Ok(())
    }

    /// # Errors
    /// A search that was over goes on, or an order closes twice.
    pub fn shop_order(&mut self, shop: &ShopOrder) -> Check {
        let (order, content) = (shop.order, &shop.content);
        let had_given_up = self.given_up.contains(&order);
        must(content.is_given_up || !had_given_up, "P9", || {
            format!("order {order} is looked after again, after the search was over")
        })?;
        let parts = self.parts.insert(order, content.parts.len()).unwrap_or(0);
        must(!had_given_up || content.parts.len() <= parts, "P9", || {
            format!("order {order} went to another store after the search was over")
        })?;
        if content.is_given_up {
            self.given_up.insert(order);
        }
        let closed = content.told.closed_at;
        let before = self.closed.get(&order).copied();
        must(before.is_none() || closed == before, "P9", || {
            format!("order {order} closed at {before:?}, and then at {closed:?}")
        })?;
        if let Some(at) = closed {
            self.closed.insert(order, at);
        }
        Ok(())
    }
}

/// An event as far as this looks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    #[serde(skip)]
    kind: String,
    #[serde(default)]
    part: String,
}

// While it runs.

/// Of each item a shopper has no more than was ordered, from however many stores.
pub fn one_bag(world: &World, order: OrderId) -> Check {
    let Some(wish) = world.orders.wishes.get(&order).filter(|_| world.hub.restores == 0) else {
        return Ok(());
    };
    let parts: Vec<_> = world.orders.parts.values().filter(|part| part.part_of == order).collect();
    if parts.iter().any(|part| part.is_forked || part.was_by_till) {
        return Ok(());
    }
    let bags = parts.iter().filter(|part| part.is_gone).map(|part| &part.gone);
    not_more_than(wish, bags)
        .map_err(|finding| Finding { what: format!("order {order}: {}", finding.what), ..finding })
}

fn not_more_than<'a>(
    wish: &BTreeMap<String, u64>,
    bags: impl Iterator<Item = &'a BTreeMap<String, u64>>,
) -> Check {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (sku, units) in bags.flatten() {
        *sums.entry(sku).or_default() += units;
    }
    sums.into_iter().try_for_each(|(sku, units)| {
        let ordered = wish.get(sku).copied().unwrap_or(0);
        must(units <= ordered, "P3", || format!("its shopper has {units} of `{sku}`, {ordered} were ordered"))
    })
}

// In the end.

/// What keeps orders from being over; `None` when all are.
#[must_use]
pub fn missing(world: &World) -> Option<String> {
    if !world.reserving.at_hub.is_empty() {
        return Some(format!("{} reservations have not ended", world.reserving.at_hub.len()));
    }
    let open = world.hub.with_storage(|storage| {
        let open = storage.orders.values().find(|order| !order.status().is_final());
        open.map(|order| format!("order {} is {:?}", order.order, order.status()))
    });
    if open.is_some() {
        return open;
    }
    let shop = world.hub.with_storage(|storage| storage.sqlite.shop_orders()).ok()?;
    let not_ended = shop.iter().find(|shop| shop.content.ended_at.is_none());
    if let Some(shop) = not_ended {
        return Some(format!("order {} has not ended: {:?}", shop.order, shop.content));
    }
    let unread = world.hub.with_storage(|storage| world.payments.unread(storage.sqlite.connection()));
    if unread > 0 {
        return Some(format!("{unread} events have not been read by the courier"));
    }
    let steps = world.payments.waiting();
    (steps > 0).then(|| format!("{steps} steps of payment have not been taken"))
}

#[must_use]
pub fn overdue(what: &str) -> Finding {
    Finding { promise: "P9", what: format!("not every order comes to its end: {what}") }
}

pub fn all_is_well(world: &mut World) -> Check {
    let shop = world.hub.with_storage(|storage| storage.sqlite.shop_orders());
    let shop = shop.expect("the hub's storage can be read");
    let told = world.hub.with_storage(|storage| events(storage.sqlite.connection(), 0));
    let mut by_order: BTreeMap<OrderId, Vec<Told>> = BTreeMap::new();
    for (_, event) in told {
        let told: Told = serde_json::from_str(&event.body).expect("the hub's own event");
        by_order.entry(event.order).or_default().push(Told { kind: event.kind, ..told });
    }
    // Where a till has sold what is called off elsewhere, or another disk had not heard of that, the goods are gone all the same.
    let comes_back = |part: &str| {
        let part = part.parse().ok().and_then(|part| world.orders.parts.get(&part));
        world.hub.restores > 0
            || part.is_none_or(|part| part.was_by_till || world.ends.apart.contains(&part.store))
    };
    let (mut late, mut given_up) = (false, false);
    for shop in &shop {
        let told = by_order.remove(&shop.order).unwrap_or_default();
        let in_order = one_end(&shop.content.timeline, &told, comes_back);
        in_order.map_err(|finding| Finding {
            what: format!("order {}: {}", shop.order, finding.what),
            ..finding
        })?;
        late |= told.iter().any(|told| told.kind == "order.not_accepted");
        given_up |= shop.content.is_given_up;
    }
    must(by_order.is_empty(), "P9", || {
        format!("events speak of orders that are not there: {:?}", by_order.keys())
    })?;
    let handed_over = handed_over(world, &shop);
    let captured = &world.payments.service.captured;
    let is_known = |order: &str| shop.iter().any(|shop| shop.order.to_string() == order);
    paid_as_handed_over(captured, &handed_over, |order| is_known(order) || world.hub.restores == 0)?;
    let voided = &world.payments.service.voided;
    let both = captured
        .iter()
        .find(|((order, part, _), units)| **units != 0 && voided.contains(order) && !comes_back(part));
    world.coverage.sometimes("order: not accepted in time", late);
    world.coverage.sometimes("reroute: search given up", given_up);
    must(both.is_none(), "P9", || format!("a payment that was voided was captured: {both:?}"))
}

/// The timeline is what events have told, in its order, and an order ends once.
fn one_end(timeline: &[Happening], told: &[Told], comes_back: impl Fn(&str) -> bool) -> Check {
    let is_status = |told: &&Told| {
        let name = told.kind.strip_prefix("order.");
        Status::ALL.into_iter().any(|status| name == Some(status.name()))
    };
    let stood: Vec<(String, String)> =
        told.iter().filter(is_status).map(|told| (told.kind.clone(), told.part.clone())).collect();
    let was: Vec<(String, String)> = timeline
        .iter()
        .filter_map(|line| {
            Some((format!("order.{}", line.status), OrderId::from_number(line.order).ok()?.to_string()))
        })
        .collect();
    must(stood == was, "P9", || format!("its timeline is {was:?}, events told {stood:?}"))?;
    let closed = told.iter().filter(|told| told.kind == "order.closed").count();
    must(closed == 1, "P9", || format!("it was told {closed} times that it closed: {told:?}"))?;
    let parts: BTreeSet<&str> = was.iter().map(|(_, part)| part.as_str()).collect();
    for part in parts {
        let mut of_part = told.iter().filter(|told| told.part == part && is_status(told));
        for once in ["order.not_accepted", "order.at_risk", "order.put_back"] {
            let times = told.iter().filter(|told| told.part == part && told.kind == once).count();
            must(times <= 1, "P9", || format!("of part {part} `{once}` was told {times} times"))?;
        }
        let mut end: Option<&str> = None;
        let again = of_part.find(|told| match end {
            // A handover can be taken back, and a part that its store has refused goes elsewhere.
            _ if end.is_none_or(|end| end == "order.collected" || comes_back(part)) => {
                end = Status::ALL
                    .into_iter()
                    .find(|status| {
                        status.is_final() && told.kind.strip_prefix("order.") == Some(status.name())
                    })
                    .map(|_| told.kind.as_str());
                false
            }
            Some("order.refused") if told.kind == "order.rerouted" => {
                end = Some(&told.kind);
                false
            }
            _ => true,
        });
        must(again.is_none(), "P9", || format!("part {part} had ended, and then was {again:?}: {told:?}"))?;
        must(end.is_some(), "P9", || format!("part {part} has not ended: {told:?}"))?;
    }
    Ok(())
}

/// By order, part and sku, in thousandths.
fn handed_over(world: &World, shop: &[ShopOrder]) -> Captured {
    let mut sums = Captured::new();
    for shop in shop.iter().filter(|shop| shop.content.payment_reference.is_some()) {
        for part in &shop.content.parts {
            let Ok(number) = OrderId::from_number(part.order) else { continue };
            let key = |sku: &str| (shop.order.to_string(), number.to_string(), sku.to_owned());
            let known = world.orders.parts.get(&number);
            match known.filter(|known| !known.is_forked && !known.was_by_till && world.hub.restores == 0) {
                Some(known) if !known.is_gone => {}
                Some(known) => {
                    for (sku, units) in &known.gone {
                        sums.insert(key(sku), i64::try_from(*units).unwrap_or(i64::MAX));
                    }
                }
                None => {
                    let stored = world.hub.with_storage(|storage| {
                        storage
                            .orders
                            .iter()
                            .find(|((_, order), _)| *order == number)
                            .map(|(_, it)| it.clone())
                    });
                    let half = stored.and_then(|stored| stored.store);
                    let out = half.iter().filter(|half| half.stage == Stage::HandedOver);
                    for line in out.flat_map(|half| &half.progress) {
                        let sku = part.items.iter().find(|(item, _)| ItemNo(*item) == line.item);
                        let Some((_, sku)) = sku else { continue };
                        sums.insert(key(sku), line.picked.thousandths());
                    }
                }
            }
        }
    }
    sums
}

fn paid_as_handed_over(captured: &Captured, handed_over: &Captured, counts: impl Fn(&str) -> bool) -> Check {
    let keys: BTreeSet<_> = captured.keys().chain(handed_over.keys()).collect();
    for key in keys.into_iter().filter(|(order, ..)| counts(order)) {
        let (paid, out) =
            (captured.get(key).copied().unwrap_or(0), handed_over.get(key).copied().unwrap_or(0));
        must(paid == out, "P9", || {
            let (order, part, sku) = key;
            format!("of `{sku}` in part {part} of order {order} {out} were handed over and {paid} captured")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> OrderId {
        OrderId::from_number(7).unwrap()
    }

    fn line(status: &str) -> Happening {
        let status = status.to_owned();
        Happening { at: 0, store: "S1".to_owned(), order: part().number(), status, by: String::new() }
    }

    fn told(kinds: &[&str]) -> Vec<Told> {
        let part = |kind: &str| if kind == "closed" { String::new() } else { part().to_string() };
        kinds.iter().map(|kind| Told { kind: format!("order.{kind}"), part: part(kind) }).collect()
    }

    fn looked_at(timeline: &[&str], events: &[&str]) -> Check {
        one_end(&timeline.iter().map(|status| line(status)).collect::<Vec<_>>(), &told(events), |_| false)
    }

    #[test]
    fn a_history_with_one_end_passes() {
        let stood = ["placed", "ready", "collected", "ready", "collected"];
        looked_at(&stood, &["placed", "not_accepted", "ready", "collected", "closed", "ready", "collected"])
            .unwrap();
        looked_at(&["placed", "refused", "rerouted"], &["placed", "refused", "rerouted", "closed"]).unwrap();
    }

    #[test]
    fn what_is_told_twice_or_out_of_order_or_not_at_all_is_noticed() {
        for (stood, told) in [
            (&["placed", "collected"][..], &["placed", "collected", "closed", "closed"][..]),
            (&["placed", "collected"], &["placed", "collected"]),
            (&["placed", "ready", "collected"], &["placed", "collected", "ready", "closed"]),
            (&["placed", "ready", "collected"], &["placed", "collected", "closed"]),
            (&["placed", "expired", "collected"], &["placed", "expired", "collected", "closed"]),
            (&["placed", "ready"], &["placed", "ready", "closed"]),
            (&["placed", "expired"], &["placed", "not_accepted", "not_accepted", "expired", "closed"]),
        ] {
            assert_eq!(looked_at(stood, told).unwrap_err().promise, "P9", "{told:?}");
        }
    }

    #[test]
    fn money_for_nothing_and_goods_for_nothing_are_noticed() {
        let key = ("o".to_owned(), "p".to_owned(), "milk".to_owned());
        let sum = |units: i64| Captured::from([(key.clone(), units)]);
        assert_eq!(paid_as_handed_over(&sum(2_000), &sum(2_000), |_| true), Ok(()));
        assert!(paid_as_handed_over(&sum(2_000), &sum(1_000), |_| true).is_err());
        assert!(paid_as_handed_over(&sum(2_000), &Captured::new(), |_| true).is_err());
        assert!(paid_as_handed_over(&Captured::new(), &sum(1), |_| true).is_err());
    }

    #[test]
    fn two_bags_are_noticed() {
        let bag = |units: u64| BTreeMap::from([("milk".to_owned(), units)]);
        let (one, two) = (bag(1_000), bag(2_000));
        assert_eq!(not_more_than(&two, [&one, &one].into_iter()), Ok(()));
        assert!(not_more_than(&two, [&one, &two].into_iter()).is_err());
    }

    #[test]
    fn a_timer_that_fires_again_is_noticed() {
        let mut ends = Ends::default();
        let mut shop = ShopOrder { order: part(), content: Default::default(), customer: Vec::new() };
        shop.content.is_given_up = true;
        shop.content.told.closed_at = Some(5);
        ends.shop_order(&shop).unwrap();
        ends.shop_order(&shop).unwrap();
        let mut again = shop.clone();
        again.content.told.closed_at = Some(6);
        assert!(ends.shop_order(&again).is_err(), "closed twice");
        shop.content.is_given_up = false;
        assert!(ends.shop_order(&shop).is_err(), "looked after again");
        let mut order = StoredOrder {
            order: part(),
            part_of: part(),
            hub: Some(half()),
            store: None,
            down_seq: Default::default(),
        };
        ends.order(&order).unwrap();
        order.hub.as_mut().unwrap().cancel = Some(Cancel::Expired);
        ends.order(&order).unwrap();
        order.hub.as_mut().unwrap().cancel = Some(Cancel::Shopper);
        assert!(ends.order(&order).is_err(), "to end for two reasons");
    }

    fn half() -> sync_protocol::order::HubOrder {
        let (at, lines) = (sync_protocol::UnixMillis(0), Vec::new());
        let (display_name, phone) = (String::new(), String::new());
        sync_protocol::order::HubOrder {
            revision: 1,
            placed_at: at,
            ready_by: at,
            hold_until: at,
            lines,
            display_name,
            phone,
            code_hash: [0; 16],
            cancel: None,
            closed: false,
        }
    }
}
