//! Shoppers at the checkout: they keep units for a while, keep them longer, let them go, order them, or forget about them.
//!
//! What a shopper may count on is worked out here from what the hub has answered: units are theirs until the time they were told has
//! come on the hub's clock. Whoever asked for an end, and has no answer, counts on nothing any more. A restored hub has forgotten all of
//! them, as the guarantees say; their units stay parked.

use super::checkers::{Check, must};
use super::world::World;
use cloud_hub::hub::orders::{NewOrder, OrderError};
use cloud_hub::hub::reservations::{NewReservation, ReservationAsk, ReservationView};
use cloud_hub::hub::{Input, Ticket};
use cloud_hub::orders::placement::Reroute;
use cloud_hub::storage::Reservation;
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::order::OrderId;
use sync_protocol::{ItemNo, Quantity, Sku, UnixMillis};

/// Longest that a checkout keeps units at first, in milliseconds.
const KEPT_MAX_MS: u64 = 240_000;

/// What a shopper was told of a reservation, and may count on.
#[derive(Debug, Clone)]
pub struct Kept {
    pub store: usize,
    pub lines: Vec<(ItemNo, Sku, Quantity)>,
    pub until: i64,
    pub made_at: i64,
    /// Its time has come on the hub's clock, somebody has asked for its end, or a restored hub has forgotten it.
    pub is_over: bool,
}

#[derive(Debug, Clone)]
enum Asked {
    Make { wish: usize },
    Extend { id: OrderId, until: i64 },
    End,
}

/// All checkouts of a run.
#[derive(Debug, Default)]
pub struct Reserving {
    pub kept: BTreeMap<OrderId, Kept>,
    wishes: Vec<NewReservation>,
    asked: BTreeMap<u64, Asked>,
    /// What the hub has on its disk, and what it has ended since it was last restored.
    pub at_hub: BTreeMap<OrderId, Reservation>,
    ended: BTreeSet<OrderId>,
}

impl Reserving {
    /// Takes in what the hub has committed of a reservation.
    ///
    /// # Errors
    /// One has ended twice, or goes on after its end.
    pub fn committed(&mut self, id: OrderId, now: Option<Reservation>) -> Check {
        let has_ended = self.ended.contains(&id);
        must(!has_ended, "P9", || format!("reservation {id} had ended, and now it is {now:?}"))?;
        match now {
            Some(reservation) => drop(self.at_hub.insert(id, reservation)),
            None => {
                self.at_hub.remove(&id);
                self.ended.insert(id);
            }
        }
        Ok(())
    }

    /// The hub goes on from a copy, which has these.
    pub fn restored(&mut self, stored: Vec<(OrderId, Reservation)>) {
        self.at_hub = stored.into_iter().collect();
        self.ended.clear();
        self.kept.values_mut().for_each(|kept| kept.is_over = true);
    }

    /// A step of the hub at this time has been: whatever it may have ended is over.
    pub fn time_is(&mut self, now: UnixMillis) {
        self.kept.values_mut().for_each(|kept| kept.is_over |= kept.until <= now.0);
    }
}

impl World {
    /// One shopper at the checkout does something.
    pub(super) fn reserve_turn(&mut self) {
        match self.orders.rng.below(10) {
            0..=4 => self.reserve(),
            5 => self.reserve_again(),
            6 => self.extend(),
            7 => self.let_go(),
            _ => self.order_what_is_kept(),
        }
    }

    fn reserve(&mut self) {
        let first = self.orders.rng.index(self.store_ids.len());
        let Some(part) = self.draw_part(first) else { return };
        let mut stores = vec![part.store];
        if self.orders.rng.chance(0.3) {
            let other = (first + 1) % self.store_ids.len();
            if other != first && !self.hub.unheard[other] {
                stores.push(self.store_ids[other].clone());
            }
        }
        let wish = self.reserving.wishes.len();
        let keeps = i64::try_from(self.orders.rng.between(2_000, KEPT_MAX_MS)).unwrap_or(0);
        self.reserving.wishes.push(NewReservation {
            id: OrderId::from_random(self.orders.rng.next_u64()),
            key: format!("checkout/{wish}"),
            fingerprint: format!("basket {wish}"),
            until: UnixMillis(self.hub_now().wall.0 + keeps),
            stores,
            lines: part.lines,
        });
        self.ask_to_keep(wish);
    }

    /// The same key again, after an answer that got lost.
    fn reserve_again(&mut self) {
        let wishes = self.reserving.wishes.len();
        if wishes == 0 {
            return;
        }
        let among = wishes.min(4);
        let wish = wishes - 1 - self.orders.rng.index(among);
        let heard = |id: &_| {
            self.store_ids.iter().position(|store| store == id).is_some_and(|at| !self.hub.unheard[at])
        };
        if self.reserving.wishes[wish].stores.iter().all(heard) {
            self.reserving.wishes[wish].id = OrderId::from_random(self.orders.rng.next_u64());
            self.ask_to_keep(wish);
        }
    }

    fn ask_to_keep(&mut self, wish: usize) {
        let new = self.reserving.wishes[wish].clone();
        self.ask_of_reservations(Asked::Make { wish }, ReservationAsk::Make(Box::new(new)));
    }

    fn ask_of_reservations(&mut self, asked: Asked, ask: ReservationAsk) {
        self.tickets += 1;
        self.reserving.asked.insert(self.tickets, asked);
        self.tell_hub(Input::Reservation { ticket: Ticket(self.tickets), ask });
    }

    /// One that somebody counts on.
    fn draw_kept(&mut self) -> Option<OrderId> {
        let live: Vec<OrderId> =
            self.reserving.kept.iter().filter(|(_, kept)| !kept.is_over).map(|(id, _)| *id).collect();
        (!live.is_empty()).then(|| live[self.orders.rng.index(live.len())])
    }

    fn extend(&mut self) {
        let Some(id) = self.draw_kept() else { return };
        let by = i64::try_from(self.orders.rng.between(1_000, KEPT_MAX_MS)).unwrap_or(0);
        let until = self.hub_now().wall.0 + by;
        if let Some(kept) = self.reserving.kept.get_mut(&id) {
            // Until there is an answer it may end at either time.
            kept.until = kept.until.min(until);
        }
        let ask = ReservationAsk::Extend { id, until: UnixMillis(until) };
        self.ask_of_reservations(Asked::Extend { id, until }, ask);
    }

    fn let_go(&mut self) {
        let Some(id) = self.draw_kept() else { return };
        if let Some(kept) = self.reserving.kept.get_mut(&id) {
            kept.is_over = true;
        }
        self.ask_of_reservations(Asked::End, ReservationAsk::End { id });
    }

    fn order_what_is_kept(&mut self) {
        let Some(id) = self.draw_kept() else { return };
        let Some(kept) = self.reserving.kept.get_mut(&id) else { return };
        kept.is_over = true;
        let (store, lines) = (kept.store, kept.lines.clone());
        let lines = lines.into_iter().map(|(_, sku, quantity)| (sku, quantity)).collect();
        let part = self.part_of_lines(store, lines);
        let choices = vec![cloud_hub::hub::orders::Choice { parts: vec![part] }];
        let new = NewOrder { reservation: Some(id), reroute: Reroute::Never, ..self.new_order(choices) };
        self.want(new);
    }

    pub(super) fn reservation_answered(
        &mut self,
        ticket: u64,
        answer: &Result<Box<ReservationView>, OrderError>,
    ) {
        match (self.reserving.asked.remove(&ticket), answer) {
            (Some(Asked::Make { wish }), Ok(view)) => self.kept_for(wish, view),
            (Some(Asked::Extend { id, until }), Ok(_)) => {
                self.coverage.hit("reservation: kept longer");
                if let Some(kept) = self.reserving.kept.get_mut(&id) {
                    kept.until = until;
                }
            }
            (Some(Asked::End), Ok(_)) => self.coverage.hit("reservation: given up"),
            (Some(_), Err(OrderError::NoSuchReservation { .. })) => {
                self.coverage.hit("reservation: asked after its end");
            }
            _ => {}
        }
    }

    fn kept_for(&mut self, wish: usize, view: &ReservationView) {
        let Some(store) = self.store_ids.iter().position(|id| *id == view.reservation.store) else { return };
        self.coverage.hit(if view.is_replayed {
            "reservation: same key answered again"
        } else {
            "reservation: made"
        });
        let lines: Vec<(ItemNo, Sku, Quantity)> = view
            .reservation
            .lines
            .iter()
            .map(|line| (ItemNo(line.item), line.sku.clone(), line.quantity))
            .collect();
        debug_assert_eq!(lines.len(), self.reserving.wishes[wish].lines.len());
        if self.reserving.kept.contains_key(&view.id) {
            return;
        }
        // A hub that does not know yet that it was restored shows what it is about to forget.
        let is_over = self.hub.unheard[store] || view.reservation.until <= self.hub_now().wall.0;
        if !view.is_replayed && !is_over {
            for (_, sku, quantity) in &lines {
                let held = self.shoppers.held.entry((store, sku.to_string())).or_default();
                held.reserved += quantity.thousandths().unsigned_abs();
            }
        }
        let (made_at, until) = (view.reservation.made_at, view.reservation.until);
        self.reserving.kept.insert(view.id, Kept { store, lines, until, made_at, is_over });
    }

    /// What shoppers count on at a store without having ordered it, by item.
    #[must_use]
    pub fn counted_on(&self, store: usize) -> BTreeMap<ItemNo, u64> {
        let live = self.reserving.kept.values().filter(|kept| kept.store == store && !kept.is_over);
        let mut sums = BTreeMap::new();
        for (item, _, quantity) in live.flat_map(|kept| &kept.lines) {
            *sums.entry(*item).or_default() += quantity.thousandths().unsigned_abs();
        }
        sums
    }
}
