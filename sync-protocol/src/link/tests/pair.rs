//! An agent, a hub and the line between them, on a virtual clock.

use super::ends::{Hub, Store, store_id};
use super::store::{LinkState, StoreEvent};
use super::*;
use crate::frame::{decode, encode};
use std::collections::BTreeMap;

pub(super) use super::ends::BATCH;

pub(super) const MILK: ItemNo = ItemNo(1);
pub(super) const SALT: ItemNo = ItemNo(2);

/// Steps without an end in sight are a livelock. The longest test needs a tenth of this.
const STEPS_MAX: usize = 20_000;
/// How long anything may take in the shop's time.
const DRIVE_MAX_MS: u64 = 60 * 60_000;

/// What the line does to frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Clear,
    /// Everything arrives twice.
    Doubles,
    /// What is sent in one go arrives backwards.
    Reorders,
    /// Of so many frames one is lost, now this, now that.
    LosesOneIn(u64),
    /// Acknowledgements are lost, as many as the line is set to.
    LosesAcks,
}

/// A line with a delay. Frames travel as bytes.
pub(super) struct Line {
    pub(super) weather: Weather,
    pub(super) delay: u64,
    /// How many acknowledgements `LosesAcks` takes before it tires.
    pub(super) bear_lost_acks: usize,
    lose_next: Option<&'static str>,
    to_hub: Vec<(Ticks, Vec<u8>)>,
    to_store: Vec<(Ticks, Vec<u8>)>,
    counts: BTreeMap<&'static str, usize>,
    dice: u64,
}

impl Line {
    fn new() -> Line {
        Line {
            weather: Weather::Clear,
            delay: 40,
            bear_lost_acks: 60,
            lose_next: None,
            to_hub: Vec::new(),
            to_store: Vec::new(),
            counts: BTreeMap::new(),
            dice: 1,
        }
    }

    /// How many frames of a kind were sent, whatever became of them.
    pub(super) fn sent(&self, kind: &str) -> usize {
        self.counts.get(kind).copied().unwrap_or(0)
    }

    pub(super) fn sent_in_all(&self) -> usize {
        self.counts.values().sum()
    }

    pub(super) fn forget_counts(&mut self) {
        self.counts.clear();
    }

    pub(super) fn lose_next(&mut self, kind: &'static str) {
        self.lose_next = Some(kind);
    }

    /// What is sent in one go.
    fn carry(&mut self, frames: Vec<Frame>, to_hub: bool, now: Ticks) {
        let mut flight = Vec::new();
        for frame in frames {
            *self.counts.entry(frame.body.kind()).or_default() += 1;
            if self.loses(&frame) {
                continue;
            }
            let copies = if self.weather == Weather::Doubles { 2 } else { 1 };
            flight.extend(std::iter::repeat_n((now.plus(self.delay), encode(&frame)), copies));
        }
        if self.weather == Weather::Reorders {
            flight.reverse();
        }
        if to_hub { self.to_hub.extend(flight) } else { self.to_store.extend(flight) }
    }

    fn loses(&mut self, frame: &Frame) -> bool {
        if self.lose_next == Some(frame.body.kind()) {
            self.lose_next = None;
            return true;
        }
        match self.weather {
            Weather::LosesOneIn(n) => self.throw().is_multiple_of(n),
            Weather::LosesAcks
                if matches!(frame.body, Body::Ack(_) | Body::Marks(_)) && self.bear_lost_acks > 0 =>
            {
                self.bear_lost_acks -= 1;
                true
            }
            _ => false,
        }
    }

    /// A linear congruential generator: the same numbers in each run.
    fn throw(&mut self) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.dice >> 33
    }

    fn next_arrival(&self) -> Option<Ticks> {
        self.to_hub.iter().chain(&self.to_store).map(|(at, _)| *at).min()
    }
}

fn arrived(queue: &mut Vec<(Ticks, Vec<u8>)>, now: Ticks) -> Vec<Frame> {
    let (due, later) = std::mem::take(queue).into_iter().partition(|(at, _)| *at <= now);
    *queue = later;
    let due: Vec<(Ticks, Vec<u8>)> = due;
    due.into_iter().map(|(_, bytes)| decode(&bytes).unwrap()).collect()
}

pub(super) struct Pair {
    pub(super) now: Ticks,
    pub(super) timing: Timing,
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) line: Line,
    /// Why the agent dropped the transport by itself.
    pub(super) gave_up: Option<&'static str>,
    open: bool,
}

impl Pair {
    /// Two ends that have never spoken; the agent has no epoch.
    pub(super) fn apart() -> Pair {
        let timing = Timing::default();
        Pair {
            now: Ticks(1_000),
            timing,
            store: Store::new(Boot(1), timing),
            hub: Hub::new(timing),
            line: Line::new(),
            gave_up: None,
            open: false,
        }
    }

    /// Past first contact, in epoch 1, with nothing to say.
    pub(super) fn connected() -> Pair {
        let mut pair = Pair::apart();
        pair.mend();
        pair.drive();
        assert_eq!(pair.store.epoch, Epoch(1));
        pair.store.adopted.clear();
        pair.line.forget_counts();
        pair
    }

    /// What is on its way is lost, and both ends notice.
    pub(super) fn cut(&mut self) {
        self.open = false;
        self.line.to_hub.clear();
        self.line.to_store.clear();
        self.store.link.disconnected();
        self.hub.open();
    }

    /// The transport is there; nobody has been asked for frames yet.
    pub(super) fn open(&mut self) {
        self.open = true;
        self.gave_up = None;
        self.hub.open();
        self.store.link.connected(self.now);
    }

    pub(super) fn mend(&mut self) {
        self.open();
        self.send();
    }

    /// A shopper's order, which the store is to hear of at once.
    pub(super) fn promise(&mut self, item: ItemNo, pieces: u64) {
        self.hub.promise(item, pieces);
        self.hub.link.changed(true, self.now);
    }

    pub(super) fn restart_store(&mut self, boot: Boot) {
        self.cut();
        self.store.restart(boot, self.timing);
        self.mend();
    }

    // Time.

    /// Everything due now is delivered and answered. Says whether anything happened.
    fn step(&mut self) -> bool {
        let (up, down) =
            (arrived(&mut self.line.to_hub, self.now), arrived(&mut self.line.to_store, self.now));
        let mut happened = !up.is_empty() || !down.is_empty();
        up.into_iter().for_each(|frame| self.hub.take(frame, self.now));
        for frame in down {
            if let Err(misbehaved) = self.store.take(frame, self.now) {
                panic!("the hub broke the protocol: {misbehaved}");
            }
        }
        happened |= self.send();
        if let Some(reason) = self.store.link.gave_up(self.now).filter(|_| self.open) {
            self.cut();
            self.gave_up = Some(reason);
        }
        happened
    }

    fn send(&mut self) -> bool {
        if !self.open {
            return false;
        }
        let up: Vec<Frame> = std::iter::from_fn(|| self.store.poll(self.now)).collect();
        let down: Vec<Frame> = std::iter::from_fn(|| self.hub.poll(self.now)).collect();
        let any = !up.is_empty() || !down.is_empty();
        self.line.carry(up, true, self.now);
        self.line.carry(down, false, self.now);
        any
    }

    fn next_event(&self) -> Option<Ticks> {
        let deadlines =
            [self.store.link.next_deadline(), self.hub.link.next_deadline(), self.line.next_arrival()];
        deadlines.into_iter().flatten().min()
    }

    /// Until `done`, or until the clock shows `end`. Too many steps are a livelock, and so is a deadline that stays.
    fn drive_bounded(&mut self, end: Ticks, done: impl Fn(&Pair) -> bool) {
        for _ in 0..STEPS_MAX {
            let happened = self.step();
            if done(self) {
                return;
            }
            let next = self.next_event().filter(|next| *next <= end);
            let next = match next {
                Some(next) if next > self.now => next,
                Some(_) if happened => continue,
                Some(next) => panic!("livelock: a deadline at {next:?} at which nothing happens"),
                None => break,
            };
            self.now = next;
        }
        assert!(self.next_event().is_none_or(|next| next > end), "livelock: more than {STEPS_MAX} steps");
        self.now = end;
    }

    pub(super) fn drive_for(&mut self, millis: u64) {
        self.drive_bounded(self.now.plus(millis), |_| false);
    }

    /// Until both ends hold everything of the other. Reconnects when the agent gives up, as a transport does.
    pub(super) fn drive(&mut self) {
        let end = self.now.plus(DRIVE_MAX_MS);
        while !self.is_settled() {
            assert!(self.now < end, "not settled after {DRIVE_MAX_MS} ms: {}", self.whereabouts());
            self.drive_bounded(end, |pair| pair.is_settled() || !pair.open);
            if !self.open {
                self.mend();
            }
        }
    }

    pub(super) fn drive_to_streaming(&mut self) {
        self.drive_bounded(self.now.plus(DRIVE_MAX_MS), |pair| {
            pair.store.link.state() == LinkState::Streaming
        });
    }

    fn is_settled(&self) -> bool {
        let memory = &self.hub.memory;
        self.store.link.state() == LinkState::Streaming
            && memory.state_mark == self.store.state_head()
            && self.hub.documents() >= self.store.ledger.len()
            && self.hub.link.down_acked() == self.hub.down_head()
            && self.hub.trusted
            && self.line.to_hub.is_empty()
            && self.line.to_store.is_empty()
    }

    fn whereabouts(&self) -> String {
        let (memory, link) = (&self.hub.memory, self.store.link.state().name());
        format!(
            "link {link} in {:?}; state {} of {}, documents {} of {}, promises {} of {}",
            self.line.weather,
            memory.state_mark,
            self.store.state_head(),
            self.hub.documents(),
            self.store.ledger.len(),
            self.hub.link.down_acked(),
            self.hub.down_head(),
        )
    }

    // By hand.

    /// What the agent says now, which goes nowhere.
    pub(super) fn store_says(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.store.poll(self.now)).map(|frame| frame.body.kind()).collect()
    }

    pub(super) fn hub_says(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.hub.poll(self.now)).map(|frame| frame.body.kind()).collect()
    }

    /// A frame to the agent as it is now.
    pub(super) fn addressed(&self, body: Body) -> Frame {
        Frame { store: store_id(), epoch: self.store.epoch, boot: self.store.boot(), body }
    }

    pub(super) fn give_store(&mut self, frame: Frame) -> Result<Option<StoreEvent>, PeerMisbehaved> {
        self.store.take(frame, self.now)
    }

    pub(super) fn tell_store(&mut self, body: Body) -> Result<Option<StoreEvent>, PeerMisbehaved> {
        self.give_store(self.addressed(body))
    }
}
