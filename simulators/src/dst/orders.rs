//! Shoppers who place pickup orders, repeat themselves, and cancel; and what the world knows of each order that agent and hub
//! can't change: who was told what, and where the goods are.

use super::checkers::{self, Check};
use super::truth::DocNo;
use super::world::{Event, World};
use crate::rng::Rng;
use cloud_hub::hub::orders::{Choice, NewOrder, OrderError, OrderView, Part};
use cloud_hub::hub::{Input, Ticket};
use cloud_hub::orders::placement::Reroute;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::order::{Cancel, HubOrder, Line, OrderId};
use sync_protocol::{ItemNo, Quantity, Sku};

/// How long a staff member or a till is given to be answered, in milliseconds: whatever they asked for has happened by then or
/// never will.
const ANSWERED_WITHIN: u64 = 5_000;

/// One order at one store, as it really is.
#[derive(Debug)]
pub struct Ordered {
    pub store: usize,
    pub part_of: OrderId,
    pub half: HubOrder,
    /// What is meant by each line: numbers of items may differ on a disk that is not the hub's.
    pub skus: Vec<String>,
    /// The shopper was told that it is placed.
    pub is_told: bool,
    /// The shopper has the goods, and this much of each, in thousandths.
    pub is_gone: bool,
    pub gone: BTreeMap<String, u64>,
    /// A till rang it up: whether the store could connect that with the order is the store's business.
    pub by_till: bool,
    /// The same, at any time before.
    pub was_by_till: bool,
    /// Somebody asked a server to hand it over, and has not been answered.
    pub asked_at: Option<u64>,
    /// Two disks of the store have gone on from one state, or the only disk that knew is gone: one of them is right.
    pub is_forked: bool,
    /// No hub and no store has heard of it any more.
    pub is_forgotten: bool,
    /// How far the store came with it, by what its people were told.
    pub latest: (u64, u32),
}

impl Ordered {
    /// Nobody else is handing it over at the moment.
    #[must_use]
    pub fn may_be_asked(&self, now: u64) -> bool {
        self.asked_at.is_none_or(|asked| now - asked > ANSWERED_WITHIN)
    }
}

/// What a shopper wanted, to be asked again with the same key.
#[derive(Debug, Clone)]
struct Wanted {
    new: NewOrder,
    /// Who was told yes, and for which order.
    told: Option<OrderId>,
}

#[derive(Debug, Clone, Copy)]
pub enum Asked {
    Place { wanted: usize, other_body: bool },
    Cancel { order: OrderId },
    Look,
    Reroute { order: OrderId },
}

#[derive(Debug)]
pub struct Orders {
    pub rng: Rng,
    pub parts: BTreeMap<OrderId, Ordered>,
    /// By store, in the order they were placed.
    pub at_store: Vec<Vec<OrderId>>,
    wanted: Vec<Wanted>,
    pub asked: BTreeMap<u64, Asked>,
    pub looked_for: BTreeSet<u64>,
    /// What shoppers want, by the orders they were told of: by sku, in thousandths.
    pub wishes: BTreeMap<OrderId, BTreeMap<String, u64>>,
    /// Documents that acts have written, by the ticket of whoever waits to hear of it.
    pub written: BTreeMap<u64, DocNo>,
    /// In the step that is looked at.
    pub taken_back: checkers::orders::TakenBack,
}

impl Orders {
    #[must_use]
    pub fn new(rng: Rng, stores: usize) -> Orders {
        Orders {
            rng,
            parts: BTreeMap::new(),
            at_store: vec![Vec::new(); stores],
            wanted: Vec::new(),
            asked: BTreeMap::new(),
            looked_for: BTreeSet::new(),
            wishes: BTreeMap::new(),
            written: BTreeMap::new(),
            taken_back: BTreeMap::new(),
        }
    }

    /// Whether a shopper was told that this order is placed.
    #[must_use]
    pub fn is_told(&self, order: OrderId) -> bool {
        self.wanted.iter().any(|wanted| wanted.told == Some(order))
    }

    #[must_use]
    pub fn line(item: ItemNo, thousandths: u64) -> Line {
        Line { item, quantity: Quantity::from_thousandths(i64::try_from(thousandths).unwrap_or(i64::MAX)) }
    }
}

impl World {
    pub(super) fn order_turn(&mut self) {
        if self.healed {
            return;
        }
        let mean = self.plan.shopper_every;
        let pause = 1 + self.orders.rng.between(mean / 5, mean * 9 / 5);
        self.queue.put(self.now + pause, Event::OrderTurn);
        match self.orders.rng.below(16) {
            0 | 1 => self.order_again(),
            2 | 3 => self.cancel_order(),
            4 | 5 => self.look_at_order(),
            6..=9 => self.reserve_turn(),
            _ => self.place_order(),
        }
    }

    fn place_order(&mut self) {
        let Some(mut choices) = self.draw_choices() else { return };
        let reroute = [Reroute::Never, Reroute::Offer, Reroute::Auto][self.orders.rng.index(3)];
        if reroute != Reroute::Never {
            // What goes on elsewhere is what was wanted: all choices have to come to the same.
            choices.truncate(1);
        }
        let may_split = self.orders.rng.chance(0.5);
        let new = NewOrder { reroute, may_split, ..self.new_order(choices) };
        self.want(new);
    }

    pub(super) fn new_order(&mut self, choices: Vec<Choice>) -> NewOrder {
        let number = self.orders.wanted.len();
        NewOrder {
            order: OrderId::from_random(self.orders.rng.next_u64()),
            key: format!("shop/{number}"),
            fingerprint: format!("body {number}"),
            customer: vec![1, 2, 3],
            payment_reference: self.orders.rng.chance(0.9).then(|| format!("pay {number}")),
            reroute: Reroute::Never,
            may_split: false,
            radius_km: None,
            reservation: None,
            decision: None,
            choices,
        }
    }

    pub(super) fn want(&mut self, new: NewOrder) {
        self.orders.wanted.push(Wanted { new, told: None });
        self.ask_for(self.orders.wanted.len() - 1, false);
    }

    fn draw_choices(&mut self) -> Option<Vec<Choice>> {
        let stores = self.store_ids.len();
        let choices = 1 + self.orders.rng.index(2);
        let mut drawn = Vec::new();
        for _ in 0..choices {
            let first = self.orders.rng.index(stores);
            let mut of = vec![first];
            if stores > 1 && self.orders.rng.chance(0.2) {
                of.push((first + 1) % stores);
            }
            let parts: Option<Vec<Part>> = of.into_iter().map(|store| self.draw_part(store)).collect();
            drawn.push(Choice { parts: parts? });
        }
        Some(drawn)
    }

    pub(super) fn draw_part(&mut self, store: usize) -> Option<Part> {
        if self.hub.unheard[store] {
            return None;
        }
        let hub = self.hub.hub()?;
        let free: Vec<(ItemNo, u64)> = hub
            .cells(&self.store_ids[store])
            .map(|(item, cell)| (item, u64::try_from(cell.free().thousandths()).unwrap_or(0)))
            .collect();
        let rng = &mut self.orders.rng;
        let mut lines = BTreeMap::new();
        for _ in 0..=rng.index(3) {
            if free.is_empty() {
                return None;
            }
            let (item, free) = free[rng.index(free.len())];
            // Mostly what is there; now and then more, or a weighed amount.
            let most = if rng.chance(0.9) && free > 0 { free.min(3_000) } else { 3_000 };
            let whole = (1 + rng.below(most.div_ceil(1_000))) * 1_000;
            lines.insert(item, if rng.chance(0.2) { 1 + rng.below(most) } else { whole.min(most) });
        }
        let named = lines.into_iter().map(|(item, quantity)| {
            let sku = self.hub.with_storage(|storage| storage.skus.get(&(store, item)).cloned())?;
            Some((sku.parse().ok()?, Orders::line(item, quantity).quantity))
        });
        // An item whose record has not come yet has no name to order it by.
        let lines = named.collect::<Option<Vec<_>>>()?;
        Some(self.part_of_lines(store, lines))
    }

    pub(super) fn part_of_lines(&mut self, store: usize, lines: Vec<(Sku, Quantity)>) -> Part {
        let rng = &mut self.orders.rng;
        let keeps = i64::try_from(rng.between(20_000, 900_000)).unwrap_or(0);
        let order = OrderId::from_random(rng.next_u64());
        let now = self.hub_now().wall;
        let half = HubOrder {
            revision: 1,
            placed_at: now,
            ready_by: sync_protocol::UnixMillis(now.0 + keeps / 2),
            hold_until: sync_protocol::UnixMillis(now.0 + keeps),
            lines: Vec::new(),
            display_name: "A. Shopper".to_owned(),
            phone: String::new(),
            code_hash: [7; 16],
            cancel: None,
            closed: false,
        };
        Part { store: self.store_ids[store].clone(), order, lines, half }
    }

    /// Once more with the key there was: after an answer that got lost, by mistake, or with another body.
    fn order_again(&mut self) {
        if self.orders.wanted.is_empty() {
            return;
        }
        let wanted = self.orders.rng.index(self.orders.wanted.len());
        let other_body = self.orders.rng.chance(0.2);
        // Numbers are drawn anew each time: a hub that was restored never gives one out again.
        let mut new = self.orders.wanted[wanted].new.clone();
        new.order = OrderId::from_random(self.orders.rng.next_u64());
        for part in new.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            part.order = OrderId::from_random(self.orders.rng.next_u64());
        }
        self.orders.wanted[wanted].new = new;
        self.ask_for(wanted, other_body);
    }

    fn ask_for(&mut self, wanted: usize, other_body: bool) {
        let mut new = self.orders.wanted[wanted].new.clone();
        if other_body {
            new.fingerprint.push_str(", changed");
        }
        for part in new.choices.iter().flat_map(|choice| &choice.parts) {
            self.note_part(new.order, part);
        }
        self.tickets += 1;
        self.orders.asked.insert(self.tickets, Asked::Place { wanted, other_body });
        self.tell_hub(Input::Place { ticket: Ticket(self.tickets), order: Box::new(new) });
    }

    pub(super) fn note_part(&mut self, part_of: OrderId, part: &Part) {
        let Some(store) = self.store_ids.iter().position(|id| *id == part.store) else { return };
        // As the hub will number them: by the store's own items.
        let mut named: Vec<(Line, String)> = Vec::new();
        for (sku, quantity) in &part.lines {
            let item = self.hub.with_storage(|storage| {
                let of_store = storage.skus.iter().filter(|((of, _), _)| *of == store);
                of_store.filter(|(_, name)| name.as_str() == sku.as_str()).map(|((_, item), _)| *item).max()
            });
            let Some(item) = item else { return };
            named.push((Line { item, quantity: *quantity }, sku.to_string()));
        }
        named.sort_unstable_by_key(|(line, _)| line.item);
        let (lines, skus): (Vec<Line>, Vec<String>) = named.into_iter().unzip();
        let half = HubOrder { lines, ..part.half.clone() };
        let at_store = &mut self.orders.at_store[store];
        self.orders.parts.entry(part.order).or_insert_with(|| {
            at_store.push(part.order);
            Ordered {
                store,
                part_of,
                half,
                skus,
                is_told: false,
                is_gone: false,
                gone: BTreeMap::new(),
                by_till: false,
                was_by_till: false,
                asked_at: None,
                is_forked: false,
                is_forgotten: false,
                latest: (0, 0),
            }
        });
    }

    pub(super) fn draw_told(&mut self) -> Option<OrderId> {
        let told: Vec<OrderId> = self.orders.wanted.iter().filter_map(|wanted| wanted.told).collect();
        if told.is_empty() {
            return None;
        }
        // The newest ones are those that somebody is still working on.
        let among = told.len().min(6);
        Some(told[told.len() - 1 - self.orders.rng.index(among)])
    }

    fn cancel_order(&mut self) {
        let Some(order) = self.draw_told() else { return };
        let why = if self.orders.rng.chance(0.8) { Cancel::Shopper } else { Cancel::HeadOffice };
        self.tickets += 1;
        self.orders.asked.insert(self.tickets, Asked::Cancel { order });
        self.tell_hub(Input::Cancel { ticket: Ticket(self.tickets), order, why });
    }

    pub(super) fn order_answered(
        &mut self,
        ticket: u64,
        answer: &Result<Box<OrderView>, OrderError>,
    ) -> Check {
        match self.orders.asked.remove(&ticket) {
            Some(Asked::Place { wanted, other_body }) => self.placed(wanted, other_body, answer),
            Some(Asked::Cancel { order }) => self.cancelled(order, answer),
            Some(Asked::Look) => {
                self.looked_at(answer);
                Ok(())
            }
            Some(Asked::Reroute { order }) => self.rerouted(order, answer),
            None => Ok(()),
        }
    }

    fn placed(
        &mut self,
        wanted: usize,
        other_body: bool,
        answer: &Result<Box<OrderView>, OrderError>,
    ) -> Check {
        checkers::orders::same_key_same_answer(self, self.orders.wanted[wanted].told, other_body, answer)?;
        match answer {
            Ok(view) => {
                self.coverage.hit("order: placed");
                self.coverage.sometimes("order: same key answered again", view.is_replayed);
                self.coverage.sometimes("order: in two parts", view.parts.len() > 1);
                self.orders.wanted[wanted].told = Some(view.shop.order);
                let is_of_kept = self.orders.wanted[wanted].new.reservation.is_some() && !view.is_replayed;
                self.coverage.sometimes("reservation: ordered", is_of_kept);
                self.note_wish(view);
                if other_body {
                    self.orders.wanted[wanted].new.fingerprint.push_str(", changed");
                }
                let parts: Vec<OrderId> = view.parts.iter().map(|part| part.order).collect();
                parts.into_iter().try_for_each(|part| self.told(part))
            }
            Err(error) => {
                self.coverage.sometimes("order: key used for another body", *error == OrderError::KeyReused);
                self.coverage.sometimes("order: not enough", *error == OrderError::Insufficient);
                Ok(())
            }
        }
    }

    /// What a shopper is to have in the end, whichever stores it comes from.
    fn note_wish(&mut self, view: &OrderView) {
        let known = view.parts.iter().filter_map(|part| self.orders.parts.get(&part.order));
        let mut wish: BTreeMap<String, u64> = BTreeMap::new();
        for (line, sku) in known.flat_map(|part| part.half.lines.iter().zip(&part.skus)) {
            *wish.entry(sku.clone()).or_default() += line.quantity.thousandths().unsigned_abs();
        }
        // Told again, it may have a part at another store for what the first one does not have.
        self.orders.wishes.entry(view.shop.order).or_insert(wish);
    }

    /// The shopper counts on it from now on.
    pub(super) fn told(&mut self, order: OrderId) -> Check {
        let Some(part) = self.orders.parts.get_mut(&order) else {
            return checkers::must(false, "P3", || format!("order {order} was placed, which nobody wanted"));
        };
        if std::mem::replace(&mut part.is_told, true) {
            return Ok(());
        }
        let (store, lines, skus) = (part.store, part.half.lines.clone(), part.skus.clone());
        for (line, sku) in lines.iter().zip(skus) {
            let known = self.promised_at_hub(store, &sku).unwrap_or(0);
            let is_restored = self.hub.restores > 0;
            let held = self.shoppers.held.entry((store, sku)).or_default();
            held.ordered += line.quantity.thousandths().unsigned_abs();
            if is_restored {
                // What was left of all promises at the restore may have been this one, whose answer had been lost before.
                held.ordered = held.ordered.min(known.saturating_sub(held.promised + held.reserved));
            }
        }
        Ok(())
    }

    fn cancelled(&mut self, order: OrderId, answer: &Result<Box<OrderView>, OrderError>) -> Check {
        match answer {
            Ok(_) => self.coverage.hit("order: cancel asked for"),
            Err(OrderError::TooLate { .. }) => self.coverage.hit("order: cancelled too late"),
            Err(OrderError::NoSuchOrder { .. }) => {
                let excused = self.hub.restores > 0;
                return checkers::must(excused, "P3", || format!("order {order} was placed and is gone"));
            }
            Err(_) => {}
        }
        Ok(())
    }
}
