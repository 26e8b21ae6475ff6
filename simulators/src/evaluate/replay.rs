//! One store, its hub and one policy, from the first sale of the season to the last order collected, on virtual time.
//!
//! The shelf is the truth: walk-in customers and pickers take what is physically there. The books of the policy only say what
//! the web shop may promise. Messages take the model's lag; those of a store that is cut off wait until its line is back.

use super::books::Book;
use super::plan::Plan;
use super::sampling::{Hours, Sight};
use super::season::Visit;
use super::shoppers::Order;
use super::tally::Tally;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use sync_protocol::UnixMillis;

/// What the season of this store comes to.
#[must_use]
pub fn replay<B: Book>(plan: &Plan, rules: B::Rules) -> Tally {
    let mut replay = Replay::<B>::opened(plan, rules);
    while let Some(Reverse(next)) = replay.queue.pop() {
        replay.handle(next.what, next.at);
    }
    replay.closed()
}

struct Replay<'a, B: Book> {
    plan: &'a Plan<'a>,
    rules: B::Rules,
    hours: Hours,
    slots: Vec<Slot<B>>,
    /// For each order that was taken: whether the store was cut off at that moment.
    taken_while_cut: Vec<bool>,
    queue: BinaryHeap<Reverse<Due<B>>>,
    queued: u64,
    /// What waits for the line, while the store is cut off.
    waiting: Option<Waiting>,
    tally: Tally,
}

/// One item on its shelf, and in the books.
#[derive(Debug, Clone, Default)]
struct Slot<B> {
    book: B,
    /// Physically in the store, picked or not.
    on_hand: i64,
    /// In the pickup corner, waiting to be collected.
    picked: i64,
    /// Promised to orders that nobody has picked yet, whether the store knows of them or not.
    owed: i64,
    /// Samples taken so far.
    sampled: usize,
    /// When the reserve is looked at again; an older appointment is void.
    settle_at: Option<UnixMillis>,
}

impl<B> Slot<B> {
    /// What a walk-in customer or a picker finds.
    fn on_shelf(&self) -> i64 {
        self.on_hand - self.picked
    }

    /// Of what is promised and not yet picked, so much is no longer there.
    fn missing(&self) -> i64 {
        (self.owed - self.on_shelf()).max(0)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    news: BTreeSet<usize>,
    words: BTreeSet<usize>,
    orders: Vec<usize>,
    refusals: Vec<usize>,
}

/// Something that happens; numbers are places in the plan's lists.
enum Event<B: Book> {
    Visit(usize),
    Order(usize),
    Delivery,
    LineCut,
    LineBack,
    HubHears { item: usize, news: B::News },
    StoreHears { item: usize, word: B::Word },
    StoreHearsOrder(usize),
    Pick(usize),
    HubHearsRefusal(usize),
    Collect(usize),
    Settle(usize),
}

/// An event and its time; of two at one time the one that was queued first comes first.
struct Due<B: Book> {
    at: UnixMillis,
    number: u64,
    what: Event<B>,
}

impl<'a, B: Book> Replay<'a, B> {
    fn opened(plan: &'a Plan, rules: B::Rules) -> Self {
        let mut replay = Self {
            plan,
            rules,
            hours: Hours::of(plan),
            slots: vec![Slot::default(); plan.sales.items],
            taken_while_cut: vec![false; plan.orders.len()],
            queue: BinaryHeap::new(),
            queued: 0,
            waiting: None,
            tally: Tally::default(),
        };
        replay.fill_shelves(plan.start);
        replay.tally.goods.opening = std::mem::take(&mut replay.tally.goods.delivered);
        replay.expect_the_plan();
        replay
    }

    fn expect_the_plan(&mut self) {
        let plan = self.plan;
        for outage in plan.outages {
            self.push(outage.from, Event::LineCut);
            self.push(outage.to, Event::LineBack);
        }
        plan.supply.deliveries.iter().for_each(|at| self.push(*at, Event::Delivery));
        for (number, visit) in plan.sales.visits.iter().enumerate() {
            self.push(visit.at, Event::Visit(number));
        }
        for (number, order) in plan.orders.iter().enumerate() {
            self.push(order.at, Event::Order(number));
        }
    }

    fn closed(mut self) -> Tally {
        for item in 0..self.slots.len() {
            self.sample_until(item, self.hours.before(self.plan.end));
            let slot = &self.slots[item];
            self.tally.goods.left += slot.on_hand;
            self.tally.promised_over_granted += over_granted(&slot.book);
        }
        self.tally
    }

    fn push(&mut self, at: UnixMillis, what: Event<B>) {
        self.queued += 1;
        self.queue.push(Reverse(Due { at, number: self.queued, what }));
    }

    fn handle(&mut self, what: Event<B>, now: UnixMillis) {
        let plan = self.plan;
        match what {
            Event::Visit(number) => self.visit(&plan.sales.visits[number], now),
            Event::Order(number) => self.order(number, &plan.orders[number], now),
            Event::Delivery => self.fill_shelves(now),
            Event::LineCut => self.waiting = Some(Waiting::default()),
            Event::LineBack => self.line_back(now),
            Event::HubHears { item, news } => self.hub_hears(item, news, now),
            Event::StoreHears { item, word } => {
                self.sample(item, now);
                self.slots[item].book.told(word);
                self.settle(item, now);
            }
            Event::StoreHearsOrder(number) => {
                self.push(UnixMillis(now.0 + plan.model.pick_ms), Event::Pick(number));
            }
            Event::Pick(number) => self.pick(number, &plan.orders[number], now),
            Event::HubHearsRefusal(number) => self.hub_hears_refusal(&plan.orders[number], now),
            Event::Collect(number) => self.collect(number, &plan.orders[number], now),
            Event::Settle(item) => {
                if self.slots[item].settle_at == Some(now) {
                    self.sample(item, now);
                    self.settle(item, now);
                }
            }
        }
    }
}

/// In the store.
impl<B: Book> Replay<'_, B> {
    fn visit(&mut self, visit: &Visit, now: UnixMillis) {
        for line in &visit.lines {
            if line.wanted < 0 {
                self.tally.goods.brought_back -= line.wanted;
                self.bring(line.item, -line.wanted, now);
            } else {
                self.walk_in(line.item, line.wanted, now);
            }
        }
    }

    fn walk_in(&mut self, item: usize, wanted: i64, now: UnixMillis) {
        self.sample(item, now);
        let slot = &mut self.slots[item];
        let taken = wanted.min(slot.on_shelf());
        let goods = &mut self.tally.goods;
        goods.walk_in_wanted += wanted;
        goods.walk_in_taken += taken;
        goods.walk_in_lost += wanted - taken;
        goods.walk_in_lost_to_picked += (wanted - taken).min(slot.picked);
        if taken == 0 {
            return;
        }
        let before = (slot.missing(), slot.book.shortfall());
        slot.on_hand -= taken;
        slot.book.sell(taken, now);
        self.tally.promises_broken += u64::from(slot.missing() > before.0);
        self.tally.breaches += u64::from(slot.book.shortfall() > before.1);
        self.settle(item, now);
    }

    /// Every item comes up to its level; what waits to be collected is not counted.
    fn fill_shelves(&mut self, now: UnixMillis) {
        for item in 0..self.slots.len() {
            let missing = self.plan.supply.levels[item] - self.slots[item].on_shelf();
            if missing > 0 {
                self.tally.goods.delivered += missing;
                self.bring(item, missing, now);
            }
        }
    }

    fn bring(&mut self, item: usize, quantity: i64, now: UnixMillis) {
        self.sample(item, now);
        let slot = &mut self.slots[item];
        slot.on_hand += quantity;
        slot.book.receive(quantity);
        self.settle(item, now);
    }

    /// All of an order or nothing: a shopper is told to come for what was ordered.
    fn pick(&mut self, number: usize, order: &Order, now: UnixMillis) {
        order.items.iter().for_each(|item| self.sample(*item, now));
        let is_there = order.items.iter().all(|item| self.slots[*item].on_shelf() >= Order::WANTED);
        for item in &order.items {
            let slot = &mut self.slots[*item];
            slot.owed -= Order::WANTED;
            slot.picked += if is_there { Order::WANTED } else { 0 };
        }
        if is_there {
            return self.push(UnixMillis(now.0 + order.collect_ms), Event::Collect(number));
        }
        self.tally.orders.failed += 1;
        self.tally.orders_while_cut.failed += u64::from(self.taken_while_cut[number]);
        match &mut self.waiting {
            Some(waiting) => waiting.refusals.push(number),
            None => self.send(now, Event::HubHearsRefusal(number)),
        }
    }

    fn collect(&mut self, number: usize, order: &Order, now: UnixMillis) {
        for item in &order.items {
            self.sample(*item, now);
            let slot = &mut self.slots[*item];
            slot.picked -= Order::WANTED;
            slot.on_hand -= Order::WANTED;
            slot.book.hand_over(Order::WANTED);
            self.tally.goods.collected += Order::WANTED;
            self.settle(*item, now);
        }
        self.tally.orders.collected += 1;
        self.tally.orders_while_cut.collected += u64::from(self.taken_while_cut[number]);
    }

    /// The end of each change in the store: sets aside anew, and tells the hub.
    fn settle(&mut self, item: usize, now: UnixMillis) {
        let slot = &mut self.slots[item];
        slot.book.settle(&self.rules, now);
        slot.settle_at = slot.book.settle_again(&self.rules, now);
        let (settle_at, news) = (slot.settle_at, slot.book.news());
        if let Some(at) = settle_at.filter(|at| *at < self.plan.end) {
            self.push(at, Event::Settle(item));
        }
        match &mut self.waiting {
            Some(waiting) => drop(waiting.news.insert(item)),
            None => self.send(now, Event::HubHears { item, news }),
        }
    }
}

/// At the hub.
impl<B: Book> Replay<'_, B> {
    fn order(&mut self, number: usize, order: &Order, now: UnixMillis) {
        order.items.iter().for_each(|item| self.sample(*item, now));
        let slots = || order.items.iter().map(|item| &self.slots[*item]);
        let is_offered = slots().all(|slot| slot.book.offered(&self.rules) >= Order::WANTED);
        let is_there = slots().all(|slot| slot.on_shelf() - slot.owed >= Order::WANTED);
        let is_cut = self.waiting.is_some();
        for orders in [Some(&mut self.tally.orders), is_cut.then_some(&mut self.tally.orders_while_cut)] {
            let Some(orders) = orders else { continue };
            orders.tried += 1;
            orders.taken += u64::from(is_offered);
            orders.refused += u64::from(!is_offered);
            orders.refused_although_there += u64::from(!is_offered && is_there);
        }
        if !is_offered {
            return;
        }
        self.taken_while_cut[number] = is_cut;
        for item in &order.items {
            let slot = &mut self.slots[*item];
            slot.owed += Order::WANTED;
            slot.book.promise(Order::WANTED);
            self.tally.promised_over_granted += over_granted(&slot.book);
            self.tell_store(*item, now);
        }
        match &mut self.waiting {
            Some(waiting) => waiting.orders.push(number),
            None => self.send(now, Event::StoreHearsOrder(number)),
        }
    }

    fn hub_hears(&mut self, item: usize, news: B::News, now: UnixMillis) {
        self.sample(item, now);
        if self.slots[item].book.hear(news) {
            self.tell_store(item, now);
        }
    }

    fn hub_hears_refusal(&mut self, order: &Order, now: UnixMillis) {
        for item in &order.items {
            self.sample(*item, now);
            self.slots[*item].book.release(Order::WANTED);
            self.tell_store(*item, now);
        }
    }

    fn tell_store(&mut self, item: usize, now: UnixMillis) {
        let word = self.slots[item].book.word();
        match &mut self.waiting {
            Some(waiting) => drop(waiting.words.insert(item)),
            None => self.send(now, Event::StoreHears { item, word }),
        }
    }
}

/// In between.
impl<B: Book> Replay<'_, B> {
    fn send(&mut self, now: UnixMillis, what: Event<B>) {
        self.push(UnixMillis(now.0 + self.plan.model.lag_ms), what);
    }

    /// Both ends send what they have; of the books only the latest.
    fn line_back(&mut self, now: UnixMillis) {
        let Some(waiting) = self.waiting.take() else { return };
        for item in waiting.news {
            let news = self.slots[item].book.news();
            self.send(now, Event::HubHears { item, news });
        }
        for item in waiting.words {
            let word = self.slots[item].book.word();
            self.send(now, Event::StoreHears { item, word });
        }
        waiting.orders.into_iter().for_each(|number| self.send(now, Event::StoreHearsOrder(number)));
        waiting.refusals.into_iter().for_each(|number| self.send(now, Event::HubHearsRefusal(number)));
    }

    /// Takes the samples up to now, before something changes.
    fn sample(&mut self, item: usize, now: UnixMillis) {
        self.sample_until(item, self.hours.before(now));
    }

    fn sample_until(&mut self, item: usize, to: usize) {
        let slot = &mut self.slots[item];
        if slot.sampled == to {
            return;
        }
        let sight = Sight { online: slot.book.offered(&self.rules), shelf: slot.on_shelf() - slot.owed };
        self.hours.count(slot.sampled, to, sight, &mut self.tally);
        slot.sampled = to;
    }
}

fn over_granted(book: &impl Book) -> u64 {
    u64::try_from(book.promised_over_granted().unwrap_or(0)).unwrap_or(0)
}

impl<B: Book> Due<B> {
    fn key(&self) -> (UnixMillis, u64) {
        (self.at, self.number)
    }
}

impl<B: Book> PartialEq for Due<B> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<B: Book> Eq for Due<B> {}

impl<B: Book> PartialOrd for Due<B> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<B: Book> Ord for Due<B> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
