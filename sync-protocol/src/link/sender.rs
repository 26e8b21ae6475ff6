//! One stream, seen from the side that sends: what has been acknowledged, what is on its way, what to send next.

use super::Timing;
use crate::time::Ticks;
use std::collections::VecDeque;

/// How many batches may be on their way unacknowledged.
pub(super) const WINDOW: usize = 8;
/// So many acknowledgements that do not move although later batches were sent mean that one was lost.
const STALLS_TO_REWIND: u32 = 3;

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acked {
    /// The mark moved: everything up to here is durable on the other side.
    Upto(u64),
    /// Old news.
    Stale,
}

/// Sends `(base, upto]` ranges in order; goes back to the last acknowledged mark when an answer stays away.
#[derive(Debug, Clone)]
pub struct Sender {
    timing: Timing,
    acked: u64,
    sent: u64,
    on_the_way: VecDeque<u64>,
    resend_at: Option<Ticks>,
    resend_after: u64,
    stalls: u32,
    /// Acknowledgements of what was sent twice do not move either: until the mark has moved, only time rewinds again.
    rewound: bool,
}

impl Sender {
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            acked: 0,
            sent: 0,
            on_the_way: VecDeque::new(),
            resend_at: None,
            resend_after: timing.resend_after,
            stalls: 0,
            rewound: false,
        }
    }

    /// The other side says where it stands: go on from there, whatever was sent before.
    pub fn resume(&mut self, mark: u64) {
        *self = Self { acked: mark, sent: mark, ..Self::new(self.timing) };
    }

    /// Where the next batch starts, if one may be sent now and `head` is beyond what was sent.
    #[must_use]
    pub fn next_base(&self, head: u64) -> Option<u64> {
        (head > self.sent && self.on_the_way.len() < WINDOW).then_some(self.sent)
    }

    /// A batch up to `upto` has been handed to the transport.
    pub fn sent(&mut self, upto: u64, now: Ticks) {
        self.sent = upto;
        self.on_the_way.push_back(upto);
        self.resend_at.get_or_insert(now.plus(self.resend_after));
    }

    /// An acknowledgement arrived. The caller has checked that `upto` is not beyond its head.
    pub fn acknowledged(&mut self, upto: u64, now: Ticks) -> Acked {
        if upto <= self.acked {
            self.stalled(upto);
            return Acked::Stale;
        }
        self.acked = upto;
        self.sent = self.sent.max(upto);
        self.on_the_way.retain(|on_the_way| *on_the_way > upto);
        self.stalls = 0;
        self.rewound = false;
        self.resend_after = self.timing.resend_after;
        self.resend_at = (!self.on_the_way.is_empty()).then(|| now.plus(self.resend_after));
        Acked::Upto(upto)
    }

    fn stalled(&mut self, upto: u64) {
        if upto == self.acked && !self.on_the_way.is_empty() && !self.rewound {
            self.stalls += 1;
            if self.stalls >= STALLS_TO_REWIND {
                self.rewind();
            }
        }
    }

    /// Rewinds when an answer is overdue. Call when [`Self::deadline`] has come.
    pub fn overdue(&mut self, now: Ticks) {
        if self.resend_at.is_some_and(|at| at <= now) {
            self.rewind();
            self.resend_after = (self.resend_after * 2).min(self.timing.resend_max);
        }
    }

    fn rewind(&mut self) {
        self.sent = self.acked;
        self.on_the_way.clear();
        self.resend_at = None;
        self.stalls = 0;
        self.rewound = true;
    }

    /// Whether nothing is on its way unacknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.on_the_way.is_empty()
    }

    #[must_use]
    pub fn deadline(&self) -> Option<Ticks> {
        self.resend_at
    }

    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Up to where everything has been handed to the transport since the last rewind.
    #[must_use]
    pub fn sent_upto(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_follow_each_other_without_waiting_and_the_window_is_bounded() {
        let mut sender = Sender::new(Timing::default());
        let mut sent = 0;
        while let Some(base) = sender.next_base(1_000) {
            assert_eq!(base, sent);
            sent = base + 10;
            sender.sent(sent, Ticks(0));
        }
        assert_eq!(sent, 10 * WINDOW as u64);
        assert_eq!(sender.acknowledged(10, Ticks(1)), Acked::Upto(10));
        assert_eq!(sender.next_base(1_000), Some(sent));
    }

    #[test]
    fn an_overdue_answer_sends_everything_above_the_mark_again() {
        let mut sender = Sender::new(Timing::default());
        sender.sent(10, Ticks(0));
        sender.sent(20, Ticks(0));
        sender.acknowledged(10, Ticks(5));
        assert_eq!(sender.next_base(20), None);
        let deadline = sender.deadline().unwrap();
        sender.overdue(deadline);
        assert_eq!(sender.next_base(20), Some(10));
    }

    #[test]
    fn acknowledgements_that_do_not_move_mean_a_lost_batch() {
        let mut sender = Sender::new(Timing::default());
        for upto in [10, 20, 30, 40] {
            sender.sent(upto, Ticks(0));
        }
        for _ in 0..STALLS_TO_REWIND {
            assert_eq!(sender.acknowledged(0, Ticks(1)), Acked::Stale);
        }
        assert_eq!(sender.next_base(40), Some(0));
    }

    /// A full window, the first batch lost: the answers to the others do not move. Rewinding for every third of them sent everything
    /// again and again.
    #[test]
    fn one_lost_batch_is_one_rewind() {
        let mut sender = Sender::new(Timing::default());
        let mut sent = 0;
        let mut send_all = |sender: &mut Sender| {
            while let Some(base) = sender.next_base(1_000) {
                sender.sent(base + 10, Ticks(0));
                sent += 1;
            }
            sent
        };
        send_all(&mut sender);
        for _ in 1..WINDOW {
            sender.acknowledged(0, Ticks(1));
            send_all(&mut sender);
        }
        assert_eq!(send_all(&mut sender), 2 * WINDOW);
        let deadline = sender.deadline().unwrap();
        sender.overdue(deadline);
        assert_eq!(sender.next_base(1_000), Some(0), "time still rewinds");
    }

    #[test]
    fn a_late_acknowledgement_after_a_rewind_still_counts() {
        let mut sender = Sender::new(Timing::default());
        sender.sent(10, Ticks(0));
        sender.overdue(sender.deadline().unwrap());
        assert_eq!(sender.acknowledged(10, Ticks(9_000)), Acked::Upto(10));
        assert_eq!(sender.next_base(10), None);
    }
}
