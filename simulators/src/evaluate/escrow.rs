//! Policies 3 and 4: the product's own stock cell, one copy at the store and one at the hub. Every decision is taken by
//! `sync_protocol::stock`; here is only what the agent does around it.

use super::books::Book;
use super::{MINUTE_MS, UNIT};
use sync_protocol::stock::{
    Cell, HubHalf, ReservePolicy, SalesRate, StoreHalf, target_claim, walk_in_reserve,
};
use sync_protocol::{Quantity, UnixMillis};

/// The agent looks once a minute whether a fading rate of sales lets it set more aside. No reserve takes longer to fade.
const FADED_AFTER_MINUTES: i64 = 3 * 24 * 60;

/// Both copies of one cell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Escrow {
    store: Cell,
    hub: Cell,
    rate: SalesRate,
}

impl Escrow {
    fn move_stock(&mut self, delta: i64) {
        self.store.move_stock(Quantity::from_thousandths(delta)).expect("a season stays far below the bound");
    }

    /// As the agent does, whole pieces where the item goes by the piece.
    fn reserve(&self, policy: &ReservePolicy, now: UnixMillis) -> Quantity {
        let reserve = walk_in_reserve(policy, self.rate.per_second(now));
        let by_the_piece =
            self.store.store.in_.is_multiple_of(1000) && self.store.store.out.is_multiple_of(1000);
        if by_the_piece { reserve.up_to_whole_units() } else { reserve }
    }
}

impl Book for Escrow {
    type Rules = ReservePolicy;
    type News = StoreHalf;
    type Word = HubHalf;

    fn receive(&mut self, quantity: i64) {
        self.move_stock(quantity);
    }

    fn sell(&mut self, quantity: i64, now: UnixMillis) {
        self.move_stock(-quantity);
        self.rate.observe(Quantity::from_thousandths(quantity), now);
    }

    fn hand_over(&mut self, quantity: i64) {
        self.store
            .hand_over(Quantity::from_thousandths(quantity))
            .expect("what the hub promised, the store had granted, and it is collected once");
        self.move_stock(-quantity);
    }

    fn settle(&mut self, policy: &ReservePolicy, now: UnixMillis) {
        let reserve = self.reserve(policy, now);
        let target = target_claim(self.store.open(), self.store.on_hand(), reserve);
        self.store.settle(target);
    }

    /// The first minute at which the reserve has fallen by a unit. It only ever falls while nothing is sold.
    fn settle_again(&self, policy: &ReservePolicy, now: UnixMillis) -> Option<UnixMillis> {
        let kept = self.reserve(policy, now).thousandths();
        let after = |minutes: i64| UnixMillis(now.0 + minutes * MINUTE_MS);
        let has_fallen = |minutes| kept - self.reserve(policy, after(minutes)).thousandths() >= UNIT;
        if kept < UNIT || !has_fallen(FADED_AFTER_MINUTES) {
            return None;
        }
        let (mut not_yet, mut fallen) = (0, FADED_AFTER_MINUTES);
        while fallen - not_yet > 1 {
            let middle = i64::midpoint(not_yet, fallen);
            if has_fallen(middle) { fallen = middle } else { not_yet = middle }
        }
        Some(after(fallen))
    }

    fn news(&self) -> StoreHalf {
        self.store.store
    }

    fn told(&mut self, word: HubHalf) {
        self.store.hub.join(&word);
    }

    fn shortfall(&self) -> i64 {
        self.store.shortfall().thousandths()
    }

    fn hear(&mut self, news: StoreHalf) -> bool {
        self.hub.store.join(&news);
        !self.hub.honour_recalls().is_zero()
    }

    fn word(&self) -> HubHalf {
        self.hub.hub
    }

    fn offered(&self, _: &ReservePolicy) -> i64 {
        self.hub.free().thousandths().max(0)
    }

    fn promise(&mut self, quantity: i64) {
        self.hub.promise(Quantity::from_thousandths(quantity)).expect("only what is offered is promised");
    }

    fn release(&mut self, quantity: i64) {
        self.hub.release(Quantity::from_thousandths(quantity)).expect("an order is given up once");
        self.hub.honour_recalls();
    }

    fn promised_over_granted(&self) -> Option<i64> {
        let HubHalf { promised, released, returned } = self.hub.hub;
        let used = promised + returned - released;
        Some(used.saturating_sub(self.store.store.granted).cast_signed())
    }
}
