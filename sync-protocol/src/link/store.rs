//! The agent's end of a link.
//!
//! `Down → Greeting → Streaming`, with `Adopting` between when the hub hands over a new epoch. A link counts as up only in
//! `Streaming`: with TLS 1.3 a refused client sees its connection succeed and fails only afterwards.

use super::sender::{Acked, Sender};
use super::{PeerMisbehaved, Timing};
use crate::frame::{
    Ack, Body, Buckets, DownBatch, Frame, Handover, Heartbeat, Hello, HistoryBatch, Marks, Offer, Pulse,
    Refused, Resend, StateBatch, Stream, Welcome,
};
use crate::ids::{Boot, Epoch, ItemNo, Position, Seq, StoreId};
use crate::order::OrderId;
use crate::record::{HubOrderRecord, HubStock};
use crate::time::Ticks;
use std::collections::{BTreeMap, VecDeque};

/// Most ledger positions of history that ride along with a state batch: a large basket or a few small ones.
const RIDING_LINES_MAX: u64 = 64;
/// Most records of the batch that they ride along with, so that both fit a frame.
const RIDING_RECORDS_MAX: usize = 256;
/// An order with all its lines takes about as much room as so many other records.
const RECORDS_OF_AN_ORDER: usize = 16;
/// Most parts of one hand-over.
const PARTS_MAX: u32 = 4_096;

/// What the link asks of the agent that owns the records.
pub trait StoreRecords {
    type Error;

    fn hello(&mut self) -> Hello;
    fn state_head(&self) -> Seq;
    fn history_head(&self) -> Position;
    /// Records changed after `base`, as many as one batch holds.
    fn state_batch(&mut self, base: Seq) -> StateBatch;
    /// Documents after `base`, as many as one batch holds; up to the head when none are left.
    fn history_batch(&mut self, base: Position) -> Result<HistoryBatch, Self::Error>;
    /// The agent's copy of the hub's halves for items above `after`, as many as one frame holds; `true` when these are all.
    fn hub_halves(&mut self, after: ItemNo) -> (Vec<HubStock>, bool);
    /// The agent's copy of the hub's halves of orders above `after`, as many as one frame holds; `true` when these are all.
    fn hub_orders(&mut self, after: Option<OrderId>) -> Result<(Vec<HubOrderRecord>, bool), Self::Error>;
    fn heartbeat(&self) -> Heartbeat;
}

/// What the agent has to do after a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEvent {
    /// The link is up; the hub stands at these marks.
    Welcomed(Welcome),
    /// The hub holds everything up to these marks, durably; only marks that have moved.
    Acknowledged(Marks),
    /// Apply these records of the hub in one transaction, then call [`StoreLink::applied`] once it is on disk.
    Apply(DownBatch),
    /// Start over from this, in one transaction, then call [`StoreLink::adopted`] once it is on disk.
    Adopt(Vec<Handover>),
    /// The hub's sums of the agent's records differ from the agent's: write the differing ones anew.
    Compare(Buckets),
    /// The hub will not take our frames; the link closes itself where there is no point in going on.
    Refused(Refused),
    /// The hub's clock, for the skew shown to people.
    Pulse(Pulse),
}

/// In which state a link is, for people and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    Down,
    Greeting,
    Adopting,
    Streaming,
}

impl LinkState {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Down => "down",
            LinkState::Greeting => "greeting",
            LinkState::Adopting => "adopting",
            LinkState::Streaming => "streaming",
        }
    }
}

#[derive(Debug)]
enum State {
    Down,
    Greeting {
        answer_by: Ticks,
    },
    /// No parts: all have been handed on, to be adopted.
    Adopting {
        parts: BTreeMap<u32, Handover>,
        answer_by: Ticks,
    },
    Streaming {
        heartbeat_at: Ticks,
        heard_at: Ticks,
        offering: Option<Offering>,
    },
}

/// How far the agent's copy of the hub's halves has been offered.
#[derive(Debug)]
struct Offering {
    part: u32,
    next: Offered,
}

/// What of the hub's halves comes next.
#[derive(Debug)]
enum Offered {
    Stock { after: ItemNo },
    Orders { after: Option<OrderId> },
}

/// The agent's end of a link, over whatever transport is there.
#[derive(Debug)]
pub struct StoreLink {
    store: StoreId,
    epoch: Epoch,
    boot: Boot,
    timing: Timing,
    state: State,
    say_hello: bool,
    control: VecDeque<Body>,
    state_sender: Sender,
    history_sender: Sender,
    /// Which stream history travels on. The two streams overtake each other, so it changes only while none is on its way.
    history_lane: Stream,
}

impl StoreLink {
    #[must_use]
    pub fn new(store: StoreId, epoch: Epoch, boot: Boot, timing: Timing) -> Self {
        Self {
            store,
            epoch,
            boot,
            timing,
            state: State::Down,
            say_hello: false,
            control: VecDeque::new(),
            state_sender: Sender::new(timing),
            history_sender: Sender::new(timing),
            history_lane: Stream::State,
        }
    }

    // Commands.

    /// The transport is open in both directions.
    pub fn connected(&mut self, now: Ticks) {
        self.greet(now);
    }

    /// The transport is gone.
    pub fn disconnected(&mut self) {
        self.state = State::Down;
        self.say_hello = false;
        self.control.clear();
    }

    /// The hub's records up to `upto` are on disk here.
    pub fn applied(&mut self, upto: Seq) {
        self.control.push_back(Body::Ack(Ack { stream: Stream::State, upto: upto.0 }));
    }

    /// The granted epoch is on disk here, with everything it starts from: say hello in it.
    pub fn adopted(&mut self, epoch: Epoch, now: Ticks) {
        self.epoch = epoch;
        if !matches!(self.state, State::Down) {
            self.greet(now);
        }
    }

    /// Asks the hub to send these buckets of its records again.
    pub fn ask_again(&mut self, resend: Resend) {
        self.control.push_back(Body::Resend(resend));
    }

    /// Whatever was to be said before is said by the hello, or stale.
    fn greet(&mut self, now: Ticks) {
        self.control.clear();
        self.say_hello = true;
        self.state = State::Greeting { answer_by: now.plus(self.timing.answer_within) };
    }

    // Frames in.

    /// Takes a frame from the hub.
    ///
    /// # Errors
    /// The hub broke the protocol; drop the transport.
    pub fn handle<R: StoreRecords>(
        &mut self,
        frame: Frame,
        now: Ticks,
        records: &R,
    ) -> Result<Option<StoreEvent>, PeerMisbehaved> {
        if frame.store != self.store {
            let (expected, found) = (self.store.to_string(), frame.store.to_string());
            return Err(PeerMisbehaved::OtherStore { expected, found });
        }
        if let State::Streaming { heard_at, .. } = &mut self.state {
            *heard_at = now;
        }
        // Meant for who this agent was before it took over: an acknowledgement of that one's records is none of these.
        if (frame.epoch, frame.boot) != (self.epoch, self.boot) {
            return Ok(None);
        }
        match (&self.state, frame.body) {
            (State::Down, _) => Ok(None),
            (_, Body::Refused(refused)) => Ok(self.refused(refused, now)),
            (State::Greeting { .. }, Body::Welcome(welcome)) => {
                self.welcomed(welcome, now, records).map(Some)
            }
            (State::Greeting { .. } | State::Adopting { .. }, Body::Handover(part)) => {
                self.handed_over(part, now)
            }
            (State::Streaming { .. }, Body::Marks(marks)) => self.acknowledged(marks, now, records),
            (State::Streaming { .. }, Body::Down(batch)) => Ok(Some(StoreEvent::Apply(batch))),
            (State::Streaming { .. }, Body::Pulse(pulse)) => Ok(Some(self.pulse(pulse, now))),
            (State::Streaming { .. }, Body::Buckets(buckets)) => Ok(Some(StoreEvent::Compare(buckets))),
            // Left over from before one of the two ends started this conversation anew.
            (
                _,
                Body::Marks(_)
                | Body::Down(_)
                | Body::Pulse(_)
                | Body::Buckets(_)
                | Body::Welcome(_)
                | Body::Handover(_),
            ) => Ok(None),
            (_, body) => Err(PeerMisbehaved::Unexpected { state: self.state().name(), frame: body.kind() }),
        }
    }

    fn welcomed<R: StoreRecords>(
        &mut self,
        welcome: Welcome,
        now: Ticks,
        records: &R,
    ) -> Result<StoreEvent, PeerMisbehaved> {
        let heads = [(Stream::State, records.state_head().0), (Stream::History, records.history_head().0)];
        for ((stream, head), found) in heads.into_iter().zip([welcome.state_mark.0, welcome.history_mark.0]) {
            if found > head {
                return Err(PeerMisbehaved::WelcomeBeyondHead { stream: stream.name(), found, head });
            }
        }
        self.state_sender.resume(welcome.state_mark.0);
        self.history_sender.resume(welcome.history_mark.0);
        self.state = State::Streaming {
            // The first heartbeat goes out at once, so that the hub knows whether it has everything.
            heartbeat_at: now,
            heard_at: now,
            offering: welcome
                .wants_offer
                .then_some(Offering { part: 0, next: Offered::Stock { after: ItemNo(0) } }),
        };
        Ok(StoreEvent::Welcomed(welcome))
    }

    /// Collects the parts, in whatever order and however often they come.
    fn handed_over(&mut self, part: Handover, now: Ticks) -> Result<Option<StoreEvent>, PeerMisbehaved> {
        let answer_by = now.plus(self.timing.answer_within);
        let mut parts = match std::mem::replace(&mut self.state, State::Down) {
            // All of it is being adopted; this is one of them once more.
            State::Adopting { parts, answer_by } if parts.is_empty() => {
                self.state = State::Adopting { parts, answer_by };
                return Ok(None);
            }
            State::Adopting { parts, .. } => parts,
            _ => BTreeMap::new(),
        };
        if part.part >= PARTS_MAX {
            return Err(PeerMisbehaved::HandoverTooLong { found: part.part, max: PARTS_MAX });
        }
        // The hub starts over, with a later grant or a newer copy: nothing of the earlier one counts.
        let is_of_another =
            |held: &Handover| held.granted != part.granted || held.part == part.part && *held != part;
        if parts.values().any(is_of_another) {
            parts.clear();
        }
        parts.insert(part.part, part);
        let all = parts
            .last_key_value()
            .is_some_and(|(number, last)| last.last && parts.len() as u64 > u64::from(*number));
        if all {
            self.state = State::Adopting { parts: BTreeMap::new(), answer_by };
            return Ok(Some(StoreEvent::Adopt(parts.into_values().collect())));
        }
        self.state = State::Adopting { parts, answer_by };
        Ok(None)
    }

    fn acknowledged<R: StoreRecords>(
        &mut self,
        marks: Marks,
        now: Ticks,
        records: &R,
    ) -> Result<Option<StoreEvent>, PeerMisbehaved> {
        let (state_head, history_head) = (records.state_head().0, records.history_head().0);
        let state =
            advanced(&mut self.state_sender, Stream::State, marks.state.map(|mark| mark.0), state_head, now)?;
        let history = marks.history.map(|mark| mark.0);
        let history = advanced(&mut self.history_sender, Stream::History, history, history_head, now)?;
        let moved = Marks { state: state.map(Seq), history: history.map(Position) };
        Ok((moved != Marks::default()).then_some(StoreEvent::Acknowledged(moved)))
    }

    /// A hub that holds less than it has acknowledged was restored since: what it lost is sent again after a new hello.
    fn pulse(&mut self, pulse: Pulse, now: Ticks) -> StoreEvent {
        if pulse.state_mark.0 < self.state_sender.acked()
            || pulse.history_mark.0 < self.history_sender.acked()
        {
            self.greet(now);
        }
        StoreEvent::Pulse(pulse)
    }

    fn refused(&mut self, refused: Refused, now: Ticks) -> Option<StoreEvent> {
        use crate::frame::Refusal::{SayHello, Unavailable, Unreadable};
        match refused.why {
            // Several frames may be refused before our hello arrives; one hello answers them all.
            SayHello if matches!(self.state, State::Streaming { .. }) => self.greet(now),
            SayHello => return None,
            // Nothing was taken; the resend timers bring it again.
            Unavailable | Unreadable => {}
            _ => self.disconnected(),
        }
        Some(StoreEvent::Refused(refused))
    }

    // Frames out.

    /// The next frame to send, if there is one. Call until it gives `None`.
    ///
    /// # Errors
    /// Whatever reading the records failed with; the link itself is unharmed.
    pub fn poll_frame<R: StoreRecords>(
        &mut self,
        now: Ticks,
        records: &mut R,
    ) -> Result<Option<Frame>, R::Error> {
        if matches!(self.state, State::Down) {
            return Ok(None);
        }
        if std::mem::take(&mut self.say_hello) {
            return Ok(Some(self.frame(Body::Hello(records.hello()))));
        }
        if let Some(body) = self.control.pop_front() {
            return Ok(Some(self.frame(body)));
        }
        if !matches!(self.state, State::Streaming { .. }) {
            return Ok(None);
        }
        let mut body = self.next_offer(records)?;
        if body.is_none() {
            body = self.next_state(now, records)?;
        }
        if body.is_none() {
            body = self.next_history(now, records)?;
        }
        if body.is_none() {
            body = self.next_heartbeat(now, records);
        }
        Ok(body.map(|body| self.frame(body)))
    }

    fn next_offer<R: StoreRecords>(&mut self, records: &mut R) -> Result<Option<Body>, R::Error> {
        let State::Streaming { offering, .. } = &mut self.state else { return Ok(None) };
        let Some(Offering { part, next }) = offering.take() else { return Ok(None) };
        let mut offer = Offer { part, ..Offer::default() };
        let next = match next {
            Offered::Stock { after } => {
                let (halves, is_all) = records.hub_halves(after);
                let after = crate::frame::last_item(&halves);
                offer.halves = halves;
                Some(if is_all { Offered::Orders { after: None } } else { Offered::Stock { after } })
            }
            Offered::Orders { after } => {
                let (orders, is_all) = records.hub_orders(after)?;
                let after = orders.last().map(|record| record.order);
                offer.orders = orders;
                (!is_all).then_some(Offered::Orders { after })
            }
        };
        offer.last = next.is_none();
        *offering = next.map(|next| Offering { part: part + 1, next });
        Ok(Some(Body::Offer(offer)))
    }

    fn next_state<R: StoreRecords>(&mut self, now: Ticks, records: &mut R) -> Result<Option<Body>, R::Error> {
        self.state_sender.overdue(now);
        self.history_sender.overdue(now);
        let Some(base) = self.state_sender.next_base(records.state_head().0) else { return Ok(None) };
        let mut batch = records.state_batch(Seq(base));
        debug_assert!(batch.upto.0 > base, "there was something to send above {base}");
        self.state_sender.sent(batch.upto.0, now);
        if batch.upto == batch.head
            && batch.stock.len() + batch.items.len() + RECORDS_OF_AN_ORDER * batch.orders.len()
                <= RIDING_RECORDS_MAX
        {
            batch.history = self.riding_history(now, records)?;
        }
        self.put_off_heartbeat(now);
        Ok(Some(Body::State(batch)))
    }

    /// History that is short enough rides along: one frame tells what was sold and what is left.
    fn riding_history<R: StoreRecords>(
        &mut self,
        now: Ticks,
        records: &mut R,
    ) -> Result<Option<HistoryBatch>, R::Error> {
        let head = records.history_head().0;
        match self.history_sender.next_base(head) {
            Some(base) if head - base <= RIDING_LINES_MAX && self.take_lane(Stream::State) => {
                let batch = records.history_batch(Position(base))?;
                self.history_sender.sent(batch.upto.0, now);
                Ok(Some(batch))
            }
            _ => Ok(None),
        }
    }

    fn take_lane(&mut self, lane: Stream) -> bool {
        if self.history_sender.is_idle() {
            self.history_lane = lane;
        }
        self.history_lane == lane
    }

    fn next_history<R: StoreRecords>(
        &mut self,
        now: Ticks,
        records: &mut R,
    ) -> Result<Option<Body>, R::Error> {
        self.history_sender.overdue(now);
        let Some(base) = self.history_sender.next_base(records.history_head().0) else { return Ok(None) };
        if !self.take_lane(Stream::History) {
            return Ok(None);
        }
        let batch = records.history_batch(Position(base))?;
        debug_assert!(batch.upto.0 > base, "there was something to send above {base}");
        self.history_sender.sent(batch.upto.0, now);
        Ok(Some(Body::History(batch)))
    }

    fn next_heartbeat<R: StoreRecords>(&mut self, now: Ticks, records: &R) -> Option<Body> {
        let State::Streaming { heartbeat_at, .. } = &self.state else { return None };
        if *heartbeat_at > now {
            return None;
        }
        self.put_off_heartbeat(now);
        Some(Body::Heartbeat(records.heartbeat()))
    }

    fn put_off_heartbeat(&mut self, now: Ticks) {
        if let State::Streaming { heartbeat_at, .. } = &mut self.state {
            *heartbeat_at = now.plus(self.timing.heartbeat_every);
        }
    }

    fn frame(&self, body: Body) -> Frame {
        Frame { store: self.store.clone(), epoch: self.epoch, boot: self.boot, body }
    }

    // Questions.

    /// When to call [`Self::poll_frame`] and [`Self::gave_up`] again, if nothing arrives before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Ticks> {
        match &self.state {
            State::Down => None,
            State::Greeting { answer_by } | State::Adopting { answer_by, .. } => Some(*answer_by),
            State::Streaming { heartbeat_at, heard_at, .. } => [
                Some(*heartbeat_at),
                Some(heard_at.plus(self.timing.silence_max)),
                self.state_sender.deadline(),
                self.history_sender.deadline(),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// Why the transport should be dropped now: the hub has been silent for too long.
    #[must_use]
    pub fn gave_up(&self, now: Ticks) -> Option<&'static str> {
        match &self.state {
            State::Greeting { answer_by } if *answer_by <= now => Some("the hub did not answer the hello"),
            State::Adopting { answer_by, .. } if *answer_by <= now => Some("the hub's hand-over stopped"),
            State::Streaming { heard_at, .. } if heard_at.plus(self.timing.silence_max) <= now => {
                Some("the hub has been silent")
            }
            _ => None,
        }
    }

    /// Up to which change the state is on its way to the hub, or there.
    #[must_use]
    pub fn state_sent(&self) -> Seq {
        Seq(self.state_sender.sent_upto())
    }

    #[must_use]
    pub fn state(&self) -> LinkState {
        match &self.state {
            State::Down => LinkState::Down,
            State::Greeting { .. } => LinkState::Greeting,
            State::Adopting { .. } => LinkState::Adopting,
            State::Streaming { .. } => LinkState::Streaming,
        }
    }
}

/// Where an acknowledgement moves a sender to, if it does.
fn advanced(
    sender: &mut Sender,
    stream: Stream,
    mark: Option<u64>,
    head: u64,
    now: Ticks,
) -> Result<Option<u64>, PeerMisbehaved> {
    let Some(mark) = mark else { return Ok(None) };
    if mark > head {
        return Err(PeerMisbehaved::AckBeyondHead { stream: stream.name(), found: mark, head });
    }
    Ok(match sender.acknowledged(mark, now) {
        Acked::Upto(upto) => Some(upto),
        Acked::Stale => None,
    })
}
