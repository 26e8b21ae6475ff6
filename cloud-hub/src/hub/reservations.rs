//! Units kept for shoppers at the checkout: promised like an order's, but to nobody yet.
//!
//! A reservation holds exactly until its time: whoever asks for units or for a reservation later finds it ended, however long
//! ago the clock last ticked.

use super::orders::OrderError;
use super::{Hub, Output, PromiseError, Ticket};
use crate::storage::{Reservation, ReservedLine, StorageError};
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::order::{Line, OrderId};
use sync_protocol::time::Now;
use sync_protocol::{ItemNo, Quantity, Sku, StoreId, UnixMillis};

/// Most reservations at once. They are short: more than this is somebody's mistake.
const RESERVATIONS_MAX: usize = 100_000;
/// How long a reservation may last in all, however often it is extended, in milliseconds.
const RESERVED_MAX_MS: i64 = 60 * 60 * 1000;

/// What can be asked about reservations.
#[derive(Debug, Clone, PartialEq)]
pub enum ReservationAsk {
    Make(Box<NewReservation>),
    /// Until when it is to last now.
    Extend {
        id: OrderId,
        until: UnixMillis,
    },
    End {
        id: OrderId,
    },
    Show {
        id: OrderId,
    },
}

/// Units to be kept, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct NewReservation {
    pub id: OrderId,
    /// The caller and its idempotency key, and a fingerprint of the body it came with.
    pub key: String,
    pub fingerprint: String,
    pub until: UnixMillis,
    /// The best first. The first in which every line is free keeps it.
    pub stores: Vec<StoreId>,
    /// No sku twice.
    pub lines: Vec<(Sku, Quantity)>,
}

/// A reservation as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ReservationView {
    pub id: OrderId,
    pub reservation: Reservation,
    /// The same key and body had made it before.
    pub is_replayed: bool,
}

/// All reservations that have not ended.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    all: BTreeMap<OrderId, Reservation>,
    by_key: BTreeMap<String, OrderId>,
    by_end: BTreeSet<(i64, OrderId)>,
    changed: BTreeSet<OrderId>,
}

impl Reservations {
    pub(super) fn load(stored: Vec<(OrderId, Reservation)>) -> Reservations {
        let mut reservations = Reservations::default();
        stored.into_iter().for_each(|(id, reservation)| reservations.put(id, reservation));
        reservations.changed.clear();
        reservations
    }

    fn put(&mut self, id: OrderId, reservation: Reservation) {
        self.remove(id);
        self.by_key.insert(reservation.key.clone(), id);
        self.by_end.insert((reservation.until, id));
        self.all.insert(id, reservation);
    }

    fn remove(&mut self, id: OrderId) {
        self.changed.insert(id);
        if let Some(before) = self.all.remove(&id) {
            self.by_key.remove(&before.key);
            self.by_end.remove(&(before.until, id));
        }
    }

    pub(super) fn take_changed(&mut self) -> Vec<(OrderId, Option<Reservation>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|id| (id, self.all.get(&id).cloned())).collect()
    }

    /// A restored hub can't know which of them have been given up since its copy was made; what is still promised without an
    /// order, its stores will tell.
    pub(super) fn forget(&mut self) {
        let all: Vec<OrderId> = self.all.keys().copied().collect();
        all.into_iter().for_each(|id| self.remove(id));
    }
}

impl Hub {
    pub(super) fn asked_of_reservations(
        &mut self,
        ask: &ReservationAsk,
        now: Now,
    ) -> Result<ReservationView, OrderError> {
        self.end_reservations(now);
        match ask {
            ReservationAsk::Make(new) => self.reserve(new, now),
            ReservationAsk::Extend { id, until } => {
                let mut reservation = self.reservation(*id)?.reservation;
                let last = UnixMillis(reservation.made_at.saturating_add(RESERVED_MAX_MS));
                if *until > last {
                    return Err(OrderError::ReservedTooLong);
                }
                reservation.until = until.0;
                self.reservations.put(*id, reservation);
                self.reservation(*id)
            }
            ReservationAsk::End { id } => {
                let view = self.reservation(*id)?;
                self.give_up(*id, now);
                Ok(view)
            }
            ReservationAsk::Show { id } => self.reservation(*id),
        }
    }

    pub(super) fn reservation(&self, id: OrderId) -> Result<ReservationView, OrderError> {
        let reservation = self.reservations.all.get(&id).cloned();
        let reservation = reservation.ok_or(OrderError::NoSuchReservation { reservation: id })?;
        Ok(ReservationView { id, reservation, is_replayed: false })
    }

    fn reserve(&mut self, new: &NewReservation, now: Now) -> Result<ReservationView, OrderError> {
        if let Some(known) = self.reservations.by_key.get(&new.key).copied() {
            let known = self.reservation(known)?;
            let same = known.reservation.fingerprint == new.fingerprint;
            return if same {
                Ok(ReservationView { is_replayed: true, ..known })
            } else {
                Err(OrderError::KeyReused)
            };
        }
        if self.reservations.all.len() >= RESERVATIONS_MAX {
            return Err(OrderError::TooManyReservations);
        }
        if self.reservations.all.contains_key(&new.id) {
            return Err(OrderError::Insufficient);
        }
        let mut refusal = OrderError::Insufficient;
        for store in &new.stores {
            // When it opens again is asked once it is ordered.
            if let Err(error) = self.store_takes_orders(store, UnixMillis(i64::MAX), now) {
                if new.stores.len() == 1 {
                    refusal = error;
                }
                continue;
            }
            let Some(lines) = self.reservable(store, &new.lines).map_err(|_| OrderError::Storage)? else {
                continue;
            };
            let reservation = Reservation {
                key: new.key.clone(),
                fingerprint: new.fingerprint.clone(),
                store: store.clone(),
                made_at: now.wall.0,
                until: new.until.0,
                lines,
            };
            self.keep(&reservation, now);
            self.reservations.put(new.id, reservation);
            return self.reservation(new.id);
        }
        Err(refusal)
    }

    /// The lines with the store's own item numbers; `None` where not every one of them is free.
    fn reservable(
        &mut self,
        id: &StoreId,
        wanted: &[(Sku, Quantity)],
    ) -> Result<Option<Vec<ReservedLine>>, StorageError> {
        let Some(store) = self.stores.get(id).filter(|store| store.facts.trusted) else { return Ok(None) };
        let mut lines = Vec::with_capacity(wanted.len());
        for (sku, quantity) in wanted {
            let Some(item) = self.storage.item_of_sku(store.key, sku)? else { return Ok(None) };
            lines.push(ReservedLine { item: item.0, sku: sku.clone(), quantity: *quantity });
        }
        let asked: Vec<Line> =
            lines.iter().map(|line| Line { item: ItemNo(line.item), quantity: line.quantity }).collect();
        Ok(store.can_promise(&asked).is_ok().then_some(lines))
    }

    fn keep(&mut self, reservation: &Reservation, now: Now) {
        for line in &reservation.lines {
            let kept = self.promise(&reservation.store, ItemNo(line.item), line.quantity, now);
            debug_assert!(kept.is_ok(), "asked before: {kept:?}");
        }
    }

    /// What was kept is free again.
    fn give_up(&mut self, id: OrderId, now: Now) {
        let Some(reservation) = self.reservations.all.get(&id).cloned() else { return };
        for line in &reservation.lines {
            let given_up = self.release(&reservation.store, ItemNo(line.item), line.quantity, now);
            if let Err(error) = given_up {
                self.is_not_there(id, &reservation.store, line, &error);
            }
        }
        self.reservations.remove(id);
    }

    /// Two copies of a store's disk may have handed over more than was ordered. The units are nobody's any more: what of them is still
    /// there is released once the store's figures are complete.
    fn is_not_there(&mut self, id: OrderId, store: &StoreId, line: &ReservedLine, error: &PromiseError) {
        tracing::warn!(reservation = %id, %store, %error, "what was reserved is not there to be released");
        let kept = line.quantity.thousandths().unsigned_abs();
        self.hold(store, ItemNo(line.item), |held| held.saturating_sub(kept));
    }

    pub(super) fn end_reservations(&mut self, now: Now) {
        while let Some((until, id)) = self.reservations.by_end.first().copied()
            && until <= now.wall.0
        {
            self.give_up(id, now);
        }
    }

    /// Makes room for the order that takes a reservation's place, in the same step. Gives out how to take that back.
    pub(super) fn open_reservation(
        &mut self,
        id: OrderId,
        now: Now,
    ) -> Result<(OrderId, Reservation), OrderError> {
        self.end_reservations(now);
        let reservation = self.reservation(id)?.reservation;
        if !self.stores.get(&reservation.store).is_some_and(|store| store.facts.trusted) {
            return Err(OrderError::Insufficient);
        }
        let mut reservation = reservation;
        // What its store recalls must not slip in between: the units are the order's, or the reservation's again.
        let mut lent = Vec::with_capacity(reservation.lines.len());
        for line in std::mem::take(&mut reservation.lines) {
            let Some(store) = self.stores.get_mut(&reservation.store) else { continue };
            match store.lend(ItemNo(line.item), line.quantity) {
                Ok(()) => lent.push(line),
                Err(error) => self.is_not_there(id, &reservation.store, &line, &error.into()),
            }
        }
        reservation.lines = lent;
        self.down_changed(&reservation.store, true, now);
        self.reservations.remove(id);
        Ok((id, reservation))
    }

    /// The order was not placed: everything is kept as before.
    pub(super) fn close_reservation(&mut self, (id, reservation): (OrderId, Reservation), now: Now) {
        self.keep(&reservation, now);
        self.reservations.put(id, reservation);
    }

    /// The order was placed: what it has left of the reservation is free, and its store may have it back.
    pub(super) fn drop_reservation(&mut self, (_, reservation): &(OrderId, Reservation), now: Now) {
        let Some(store) = self.stores.get_mut(&reservation.store) else { return };
        reservation.lines.iter().for_each(|line| store.honour_recall(ItemNo(line.item)));
        self.down_changed(&reservation.store, true, now);
    }
}

/// What an answer becomes when the commit it rests on has failed.
pub(super) fn given_back(ticket: Ticket) -> Output {
    Output::Reservation { ticket, answer: Err(OrderError::Storage) }
}
