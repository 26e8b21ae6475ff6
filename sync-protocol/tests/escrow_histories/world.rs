//! A store, a hub and everything that can happen to them; after every step the checker looks at all of it.

use crate::chance::{Rng, Seen};
use crate::parties::{Agent, Frame, Hub, News, ORDERS_MAX, Orders, Pos, Rules, bits, q};
use sync_protocol::stock::{Cell, target_claim};
use sync_protocol::{Boot, Epoch};

const STEPS: usize = 400;
/// How many rounds on a good line both sides get to settle.
const ROUNDS_MAX: usize = 100;

/// How the tills behave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tills {
    Careful,
    Plain,
}

/// What the checker can find.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// `promised + returned − released > granted` at the hub.
    MorePromisedThanGranted,
    /// `fulfilled > promised − released` at the hub, though every handover was of an open order.
    MoreHandedOverThanPromised,
    /// The store has set aside what it does not have, though its tills sold only the walk-in part.
    ClaimNotOnShelf,
    /// An order can't be honoured, though its tills sold only the walk-in part.
    PromiseNotOnShelf,
    /// On hand is not the sum of the POS lines up to the cursor beside it: lines were lost or counted twice.
    BooksDisagreeWithPos,
    /// `fulfilled` is not the sum of the orders handed over.
    HandoversMiscounted,
    /// The line is good again and both sides still differ.
    NotConverged,
    /// The line is good again and the claim is not what the policy asks for.
    RightsLeaked,
}

#[derive(Debug)]
#[expect(dead_code, reason = "printed when a history fails")]
pub struct Violation {
    pub step: usize,
    pub finding: Finding,
    pub world: String,
}

/// Everything there is, and what really happened.
pub struct World {
    rng: Rng,
    tills: Tills,
    rules: Rules,
    pos: Pos,
    /// How much each order is for.
    sizes: Vec<i64>,
    /// Orders whose customers hold the goods: their signed slips survive every disk.
    slips: u64,
    hub: Hub,
    shop: Agent,
    /// Copies of the shop's disk and replaced servers that nobody has switched off.
    others: Vec<Agent>,
    backups: Vec<Agent>,
    up: Vec<Frame>,
    down: Vec<News>,
    boots: u64,
    pub seen: Seen,
}

impl World {
    pub fn new(seed: u64, tills: Tills, rules: Rules) -> World {
        let hub = Hub { cell: Cell::default(), cursor: 0, orders: Orders::default(), boot: Boot(0), seq: 0 };
        World {
            rng: Rng(seed),
            tills,
            rules,
            pos: Pos::default(),
            sizes: Vec::new(),
            slips: 0,
            hub,
            shop: Agent::on_new_disk(Boot(1)),
            others: Vec::new(),
            backups: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            boots: 1,
            seen: Seen::default(),
        }
    }

    pub fn run(&mut self) -> Result<(), Violation> {
        for step in 0..STEPS {
            let result = self.step().and_then(|()| self.check());
            result.map_err(|finding| self.violation(step, finding))?;
        }
        self.heal().map_err(|finding| self.violation(STEPS, finding))
    }

    fn violation(&self, step: usize, finding: Finding) -> Violation {
        Violation { step, finding, world: self.describe() }
    }

    pub fn describe(&self) -> String {
        let (hub, shop) = (&self.hub, &self.shop);
        format!("shelf {}, hub {hub:?}, shop {shop:?}, orders {:?}", self.pos.shelf(), self.sizes)
    }

    fn step(&mut self) -> Result<(), Finding> {
        match self.rng.below(100) {
            0..20 => self.sell_to_walk_in(),
            20..28 => self.take_delivery(),
            28..39 => self.settle_shop(),
            39..49 => self.up.push(self.shop.frame()),
            49..58 => self.down.push(self.hub.news()),
            58..69 => self.deliver_up(),
            69..76 => self.deliver_down(),
            76..83 => self.place_order(),
            83..86 => self.refuse_order(),
            86..91 => return self.hand_over_order(),
            91 => self.lose_a_message(),
            92..95 => self.say_hello(),
            95 => self.trouble(),
            96 => self.backups.push(self.shop.clone()),
            _ => self.another_acts(),
        }
        Ok(())
    }

    fn next_boot(&mut self) -> Boot {
        self.boots += 1;
        Boot(self.boots)
    }

    fn read_pos(&mut self) {
        let coarse = self.rng.percent(30);
        self.shop.read_pos(&self.pos, coarse);
    }

    fn sell_to_walk_in(&mut self) {
        let size = self.rng.between(1, 3);
        if !self.sells(size) {
            return;
        }
        self.pos.ring_up(-size);
        if self.pos.shelf() < 0 {
            self.seen.note("the books went below zero");
        }
    }

    /// Careful tills ask a shop that knows where it stands; plain ones sell when a customer comes.
    fn sells(&mut self, size: i64) -> bool {
        if self.tills == Tills::Plain {
            return self.rng.percent(50);
        }
        self.read_pos();
        let walk_in = self.shop.cell.on_hand().thousandths() - self.shop.cell.claim().thousandths();
        !self.shop.behind && size <= walk_in
    }

    /// Often the agent hears of it later.
    fn take_delivery(&mut self) {
        let size = self.rng.between(1, 5);
        self.pos.ring_up(size);
        if self.rng.percent(50) {
            self.read_pos();
        }
    }

    fn settle_shop(&mut self) {
        self.read_pos();
        let reserve = self.rng.between(0, 2);
        self.shop.settle(reserve, self.rules, &mut self.seen);
    }

    fn deliver_up(&mut self) {
        if let Some(frame) = deliver(&mut self.up, &mut self.rng, &mut self.seen) {
            self.hub_receives(&frame);
        }
    }

    fn hub_receives(&mut self, frame: &Frame) {
        let from_replaced = frame.boot != self.shop.boot() && self.shop.behind;
        if from_replaced && self.hub.is_current(frame, Rules::AsDesigned) {
            self.seen.note("a replaced server wrote until its successor came");
        }
        self.hub.receive(frame, &self.sizes, self.rules, &mut self.seen);
    }

    fn deliver_down(&mut self) {
        if let Some(news) = deliver(&mut self.down, &mut self.rng, &mut self.seen) {
            self.shop.hear(&news);
        }
    }

    fn lose_a_message(&mut self) {
        let lost = if self.rng.percent(50) {
            drop_one(&mut self.up, &mut self.rng)
        } else {
            drop_one(&mut self.down, &mut self.rng)
        };
        if lost {
            self.seen.note("a message was lost");
        }
    }

    /// Every now and then two shoppers at once want more than there is.
    fn place_order(&mut self) {
        let size = self.rng.between(1, 3);
        if self.sizes.len() == ORDERS_MAX {
            return;
        }
        if self.rules == Rules::PromisesIgnoreFree {
            self.hub.cell.hub.promised += size.unsigned_abs();
        } else if self.hub.cell.promise(q(size)).is_err() {
            return;
        }
        self.hub.orders.placed |= 1 << self.sizes.len();
        self.sizes.push(size);
        if self.rules == Rules::ReleasesWithoutTheStore && self.rng.percent(50) {
            let order = self.sizes.len() - 1;
            self.hub.release(order, size, &mut self.seen);
        }
    }

    fn refuse_order(&mut self) {
        let Orders { placed, released, handed, refused } = self.shop.orders;
        let waiting: Vec<usize> = bits(placed & !released & !handed & !refused & !self.slips).collect();
        if waiting.is_empty() || self.must_wait() {
            return;
        }
        self.shop.orders.refused |= 1 << waiting[self.rng.below(waiting.len())];
        self.shop.seq += 1;
    }

    /// A careful shop that does not know how far its disk is behind touches no order.
    fn must_wait(&self) -> bool {
        self.shop.behind && self.tills == Tills::Careful
    }

    /// A customer comes with a pickup code. The code is signed, so that the shop need not have heard of the order.
    fn hand_over_order(&mut self) -> Result<(), Finding> {
        let placed = self.hub.orders.placed;
        let gone =
            self.slips | self.shop.orders.handed | self.shop.orders.refused | self.shop.orders.released;
        let waiting: Vec<usize> = bits(placed & !gone).collect();
        if waiting.is_empty() || self.must_wait() {
            return Ok(());
        }
        let order = waiting[self.rng.below(waiting.len())];
        self.read_pos();
        if self.tills == Tills::Careful && self.pos.shelf() < self.sizes[order] {
            return Err(Finding::PromiseNotOnShelf);
        }
        if self.shop.hand_over(order, self.sizes[order]) {
            if self.shop.orders.placed >> order & 1 == 0 {
                self.seen.note("an order was handed over before its promise arrived");
            }
            self.slips |= 1 << order;
            self.pos.ring_up(-self.sizes[order]);
            self.read_pos();
        }
        Ok(())
    }

    /// The shop calls the hub; the hub's answer may get lost after the hub has made up its mind.
    fn say_hello(&mut self) {
        let goes_on = self.hub.admits(&self.shop, self.rules);
        if self.rng.percent(20) {
            return self.seen.note("a welcome was lost");
        }
        self.seen.note(match (goes_on, self.shop.cell.store.epoch, self.shop.behind) {
            (true, _, false) => "a restarted agent went on in its epoch",
            (true, _, true) => "an old disk that had missed nothing went on",
            (false, Epoch(0), _) => "a lost disk was noticed",
            (false, _, true) => "an old disk was noticed",
            (false, _, false) => "an agent was sent into a new epoch",
        });
        self.shop_is_welcomed(goes_on);
    }

    fn shop_is_welcomed(&mut self, goes_on: bool) {
        if !goes_on {
            self.shop.adopt(&self.hub, self.rules);
            if self.shop.cursor > 0 && self.shop.cursor < self.pos.lines.len() {
                self.seen.note("the POS was read again from the hub's cursor");
            }
        }
        self.shop.behind = false;
        self.read_pos();
        self.confirm_handovers();
    }

    /// What was handed over and is not on this disk any more is confirmed from the customers' slips.
    fn confirm_handovers(&mut self) {
        if self.rules == Rules::HandoversAreForgotten {
            return;
        }
        for order in bits(self.slips & !self.shop.orders.handed) {
            if self.shop.hand_over(order, self.sizes[order]) {
                self.seen.note("a handover was confirmed again");
            }
        }
    }

    fn trouble(&mut self) {
        let boot = self.next_boot();
        match self.rng.below(5) {
            0 => self.shop = self.shop.clone().restarted(boot),
            1 => self.others.push(self.shop.clone().restarted(boot)),
            2 => self.replace_shop(Agent::on_new_disk(boot)),
            _ if self.backups.is_empty() => {}
            _ => {
                let backup = self.backups[self.rng.below(self.backups.len())].clone();
                self.replace_shop(Agent { behind: true, ..backup.restarted(boot) });
            }
        }
    }

    fn replace_shop(&mut self, new: Agent) {
        let old = std::mem::replace(&mut self.shop, new);
        if self.rng.percent(40) {
            self.others.push(old);
        }
    }

    /// A copied disk or a replaced server does what agents do: it reads the POS, settles and sends. Among plain tills it
    /// also calls the hub, and takes the store over.
    fn another_acts(&mut self) {
        if self.others.is_empty() {
            return;
        }
        let which = self.rng.below(self.others.len());
        let (coarse, reserve) = (self.rng.percent(30), self.rng.between(0, 2));
        let other = &mut self.others[which];
        other.read_pos(&self.pos, coarse);
        other.settle(reserve, self.rules, &mut self.seen);
        self.up.push(other.frame());
        if self.tills == Tills::Plain && self.rng.percent(10) {
            self.seen.note("a copy of the disk took over");
            std::mem::swap(&mut self.shop, &mut self.others[which]);
            self.say_hello();
        }
    }

    fn check(&self) -> Result<(), Finding> {
        let Hub { cell, cursor, orders, .. } = &self.hub;
        ensure(no_more_promised_than_granted(cell), Finding::MorePromisedThanGranted)?;
        self.check_books(cell, *cursor, orders)?;
        for agent in self.others.iter().chain([&self.shop]) {
            self.check_books(&agent.cell, agent.cursor, &agent.orders)?;
        }
        if self.tills == Tills::Careful { self.check_shelf() } else { Ok(()) }
    }

    /// Wherever a cell is, it says what the POS lines and the handovers known there come to.
    fn check_books(&self, cell: &Cell, cursor: usize, orders: &Orders) -> Result<(), Finding> {
        let on_hand = cell.on_hand().thousandths();
        ensure(on_hand == self.pos.on_hand_at(cursor), Finding::BooksDisagreeWithPos)?;
        let handed: i64 = bits(orders.handed).map(|order| self.sizes[order]).sum();
        ensure(cell.store.fulfilled.cast_signed() == handed, Finding::HandoversMiscounted)
    }

    /// What holds where tills sell only the walk-in part.
    fn check_shelf(&self) -> Result<(), Finding> {
        let Cell { store, hub } = self.hub.cell;
        ensure(hub.promised - hub.released >= store.fulfilled, Finding::MoreHandedOverThanPromised)?;
        let open = bits(self.hub.orders.placed & !self.hub.orders.released & !self.slips);
        ensure(
            open.map(|order| self.sizes[order]).sum::<i64>() <= self.pos.shelf(),
            Finding::PromiseNotOnShelf,
        )?;
        // The claim as it is. A disk that was rolled back may have forgotten a return, and takes it for larger.
        let cell = Cell { store: self.shop.cell.store, hub };
        ensure(self.shop.behind || cell.claim() <= cell.on_hand(), Finding::ClaimNotOnShelf)
    }

    /// The line is good again: late messages come in, the shop calls, and both sides tell each other everything.
    fn heal(&mut self) -> Result<(), Finding> {
        for frame in std::mem::take(&mut self.up) {
            self.hub_receives(&frame);
            self.check()?;
        }
        let goes_on = self.hub.admits(&self.shop, self.rules);
        self.shop_is_welcomed(goes_on);
        for reserve in [0, 2] {
            self.talk_until_settled(reserve)?;
        }
        Ok(())
    }

    /// A recall that promises have overtaken stays asked for and swallows later grants, so that settling may take as many
    /// rounds as units were recalled; each round brings it nearer.
    fn talk_until_settled(&mut self, reserve: i64) -> Result<(), Finding> {
        for _ in 0..ROUNDS_MAX {
            self.shop.settle(reserve, self.rules, &mut self.seen);
            self.hub_receives(&self.shop.frame());
            self.shop.hear(&self.hub.news());
            self.check()?;
            self.check_convergence()?;
            if self.is_settled(reserve) {
                return Ok(());
            }
            self.seen.note("settling took more than one round");
        }
        Err(Finding::RightsLeaked)
    }

    fn is_settled(&self, reserve: i64) -> bool {
        let cell = &self.hub.cell;
        let target = target_claim(cell.open(), cell.on_hand(), q(reserve));
        // A refusal forgotten with a disk and a handover after all: the hub had freed those units and they went out, too.
        let overdrawn = self.tills == Tills::Plain && cell.claim().is_negative();
        cell.claim() == target || overdrawn
    }

    fn check_convergence(&self) -> Result<(), Finding> {
        let (hub, shop) = (&self.hub, &self.shop);
        ensure(hub.cell == shop.cell && hub.orders == shop.orders, Finding::NotConverged)?;
        ensure(hub.cursor == self.pos.lines.len() && shop.seq == hub.seq, Finding::NotConverged)?;
        ensure(hub.cell.on_hand().thousandths() == self.pos.shelf(), Finding::BooksDisagreeWithPos)
    }
}

fn ensure(holds: bool, otherwise: Finding) -> Result<(), Finding> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// In the fields themselves, so that a fault in the derived figures can't hide one in the rules.
fn no_more_promised_than_granted(cell: &Cell) -> bool {
    let Cell { store, hub } = cell;
    hub.promised + hub.returned <= store.granted + hub.released
}

/// Any message may be next, and three in ten come again later.
fn deliver<T: Copy>(queue: &mut Vec<T>, rng: &mut Rng, seen: &mut Seen) -> Option<T> {
    if queue.is_empty() {
        return None;
    }
    let which = rng.below(queue.len());
    if rng.percent(30) {
        seen.note("a message was delivered twice");
        return Some(queue[which]);
    }
    Some(queue.swap_remove(which))
}

fn drop_one<T>(queue: &mut Vec<T>, rng: &mut Rng) -> bool {
    if queue.is_empty() {
        return false;
    }
    let which = rng.below(queue.len());
    queue.swap_remove(which);
    true
}
