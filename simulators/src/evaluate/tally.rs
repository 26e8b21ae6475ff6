//! What a season came to under one policy: counts only, so that stores can be added up in any order.

use serde::Serialize;
use std::ops::AddAssign;

/// Orders are counted in orders, goods in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub orders: Orders,
    /// Those that were tried at a store while it was cut off; they are in `orders` too.
    pub orders_while_cut: Orders,
    pub goods: Goods,
    /// Till sales that took what an order had been promised.
    pub promises_broken: u64,
    /// Till sales that ate into what was set aside for the web, promised or not: a breach. A store that sells down to its claim
    /// is in breach until the hub has returned what it recalls. Where nothing is set aside, 0.
    pub breaches: u64,
    /// Thousandths that were promised and had never been granted. Where there is no grant, 0.
    pub promised_over_granted: u64,
    pub always: Accuracy,
    /// Samples of stores that were cut off at that moment; they are in `always` too.
    pub while_cut: Accuracy,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Orders {
    pub tried: u64,
    pub taken: u64,
    /// Taken, and then not all of it was on the shelf.
    pub failed: u64,
    pub refused: u64,
    /// Refused, while the shelf could have given all of it.
    pub refused_although_there: u64,
    pub collected: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Goods {
    pub opening: i64,
    pub delivered: i64,
    pub brought_back: i64,
    pub walk_in_wanted: i64,
    pub walk_in_taken: i64,
    /// Wanted by a walk-in customer, and not there.
    pub walk_in_lost: i64,
    /// Of those: would have been there, had they not been picked for an order that was waiting to be collected.
    pub walk_in_lost_to_picked: i64,
    pub collected: i64,
    pub left: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Accuracy {
    pub samples: u64,
    /// Online says available, and the shelf can't give it.
    pub says_yes_wrongly: u64,
    /// Online says not available, and the shelf could give it.
    pub says_no_wrongly: u64,
    /// Sum of the differences between the online figure and what the shelf could give, in whole units.
    pub units_off: u64,
}

impl Tally {
    /// Nothing appears and nothing vanishes: what came in was taken, was collected or is still there.
    #[must_use]
    pub fn goods_unaccounted(&self) -> i64 {
        let goods = &self.goods;
        goods.opening + goods.delivered + goods.brought_back
            - goods.walk_in_taken
            - goods.collected
            - goods.left
    }
}

impl Accuracy {
    #[must_use]
    pub fn right(&self) -> u64 {
        self.samples - self.says_yes_wrongly - self.says_no_wrongly
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.orders += other.orders;
        self.orders_while_cut += other.orders_while_cut;
        self.goods += other.goods;
        self.promises_broken += other.promises_broken;
        self.breaches += other.breaches;
        self.promised_over_granted += other.promised_over_granted;
        self.always += other.always;
        self.while_cut += other.while_cut;
    }
}

impl AddAssign for Orders {
    fn add_assign(&mut self, other: Orders) {
        self.tried += other.tried;
        self.taken += other.taken;
        self.failed += other.failed;
        self.refused += other.refused;
        self.refused_although_there += other.refused_although_there;
        self.collected += other.collected;
    }
}

impl AddAssign for Goods {
    fn add_assign(&mut self, other: Goods) {
        self.opening += other.opening;
        self.delivered += other.delivered;
        self.brought_back += other.brought_back;
        self.walk_in_wanted += other.walk_in_wanted;
        self.walk_in_taken += other.walk_in_taken;
        self.walk_in_lost += other.walk_in_lost;
        self.walk_in_lost_to_picked += other.walk_in_lost_to_picked;
        self.collected += other.collected;
        self.left += other.left;
    }
}

impl AddAssign for Accuracy {
    fn add_assign(&mut self, other: Accuracy) {
        self.samples += other.samples;
        self.says_yes_wrongly += other.says_yes_wrongly;
        self.says_no_wrongly += other.says_no_wrongly;
        self.units_off += other.units_off;
    }
}
