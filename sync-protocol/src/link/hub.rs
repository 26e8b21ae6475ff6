//! The hub's end of one link.
//!
//! What comes up needs no memory of the connection: every frame says store, epoch, boot and range. This end therefore only
//! keeps what goes down: answers, a hand-over in progress, and the hub's own records for this store.

use super::Timing;
use super::sender::{Acked, Sender};
use crate::frame::{Body, DownBatch, Frame, Handover, Welcome};
use crate::ids::{Boot, Epoch, Seq, StoreId};
use crate::time::Ticks;
use std::collections::VecDeque;

/// What the link asks of the hub that owns the records.
pub trait HubRecords {
    fn down_head(&self) -> Seq;
    /// The hub's halves changed after `base`, as many as one batch holds.
    fn down_batch(&mut self, base: Seq) -> DownBatch;
}

/// The hub's end of a link with one store's agent.
#[derive(Debug)]
pub struct HubLink {
    store: StoreId,
    timing: Timing,
    /// Set by a welcome: the caller whose copy of the hub's records is kept up to date.
    caller: Option<(Epoch, Boot)>,
    answers: VecDeque<Frame>,
    down: Sender,
    flush_at: Option<Ticks>,
}

impl HubLink {
    #[must_use]
    pub fn new(store: StoreId, timing: Timing) -> Self {
        let down = Sender::new(timing);
        Self { store, timing, caller: None, answers: VecDeque::new(), down, flush_at: None }
    }

    /// Queues an answer to whoever sent a frame in `epoch` as `boot`.
    pub fn answer(&mut self, epoch: Epoch, boot: Boot, body: Body) {
        self.answers.push_back(Frame { store: self.store.clone(), epoch, boot, body });
    }

    /// Lets the caller go on; its copy of the hub's records is at `down_mark`.
    pub fn welcome(&mut self, epoch: Epoch, boot: Boot, welcome: Welcome, down_mark: Seq, now: Ticks) {
        self.answer(epoch, boot, Body::Welcome(welcome));
        self.caller = None;
        self.keep_up(epoch, boot, down_mark.min(welcome.down_head), now);
    }

    /// Sends `caller` the hub's records above `down_mark` from now on. Also for one that was welcomed on another link: a broker
    /// may carry a hello elsewhere than what follows it.
    pub fn keep_up(&mut self, epoch: Epoch, boot: Boot, down_mark: Seq, now: Ticks) {
        if self.caller != Some((epoch, boot)) {
            self.caller = Some((epoch, boot));
            self.down.resume(down_mark.0);
            self.flush_at = Some(now);
        }
    }

    /// Hands over a new epoch; the caller says hello again when it has taken over.
    pub fn hand_over(&mut self, epoch: Epoch, boot: Boot, parts: Vec<Handover>) {
        self.dismiss_unless(None);
        for part in parts {
            self.answer(epoch, boot, Body::Handover(part));
        }
    }

    /// The store's agent is `heir` now, or nobody yet: another that was welcomed here hears no more of the hub's records. They would
    /// be about rights its own half knows nothing of.
    pub fn dismiss_unless(&mut self, heir: Option<(Epoch, Boot)>) {
        if self.caller != heir {
            self.caller = None;
            self.flush_at = None;
        }
    }

    /// The hub's records for this store have changed. `urgent`: somebody waits for it; otherwise changes are collected.
    pub fn changed(&mut self, urgent: bool, now: Ticks) {
        if self.caller.is_some() {
            let at = if urgent { now } else { now.plus(self.timing.down_delay) };
            self.flush_at = Some(self.flush_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// The agent has applied the hub's records up to `upto`. Beyond `head` it can't have; that is ignored.
    pub fn acknowledged(&mut self, upto: Seq, head: Seq, now: Ticks) -> Option<Seq> {
        if upto > head {
            return None;
        }
        match self.down.acknowledged(upto.0, now) {
            Acked::Upto(upto) => {
                if head.0 > upto {
                    self.changed(false, now);
                }
                Some(Seq(upto))
            }
            Acked::Stale => {
                // Several that do not move mean that a batch was lost: the sender has gone back and has something to send again.
                if self.down.next_base(head.0).is_some() {
                    self.changed(true, now);
                }
                None
            }
        }
    }

    /// The next frame to send, if there is one. Call until it gives `None`.
    pub fn poll_frame(&mut self, now: Ticks, records: &mut impl HubRecords) -> Option<Frame> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let (epoch, boot) = self.caller?;
        if self.down.deadline().is_some_and(|at| at <= now) {
            self.down.overdue(now);
            self.flush_at = Some(now);
        }
        if self.flush_at.is_none_or(|at| at > now) {
            return None;
        }
        let Some(base) = self.down.next_base(records.down_head().0) else {
            self.flush_at = None;
            return None;
        };
        let batch = records.down_batch(Seq(base));
        self.down.sent(batch.upto.0, now);
        Some(Frame { store: self.store.clone(), epoch, boot, body: Body::Down(batch) })
    }

    /// When to call [`Self::poll_frame`] again, if nothing arrives before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Ticks> {
        // Until it has taken over, nobody is kept up to date: what is overdue then is nobody's.
        self.caller?;
        [self.flush_at, self.down.deadline()].into_iter().flatten().min()
    }

    #[must_use]
    pub fn store(&self) -> &StoreId {
        &self.store
    }

    /// Whether a caller has been welcomed on this link.
    #[must_use]
    pub fn is_greeted(&self) -> bool {
        self.caller.is_some()
    }

    /// How far the welcomed caller has applied the hub's records.
    #[must_use]
    pub fn down_acked(&self) -> Seq {
        Seq(self.down.acked())
    }
}
