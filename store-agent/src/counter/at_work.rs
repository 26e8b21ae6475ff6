//! Until when somebody is taken to be at work on an order or a count, so that nobody starts the agent anew under their hands.
//!
//! It is kept in memory only: a start loses none of their work, it only makes them wait, and after one nobody has begun yet.

use std::sync::atomic::{AtomicI64, Ordering};
use sync_protocol::UnixMillis;

/// What somebody does, and how long they may be taken to be at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Picking or handing over: the shopper stands there.
    Order,
    /// Between two entries somebody walks along a shelf.
    Count,
}

impl Work {
    const LONGEST_MS: i64 = 15 * 60_000;

    fn lasts_ms(self) -> i64 {
        match self {
            Work::Order => 3 * 60_000,
            Work::Count => Work::LONGEST_MS,
        }
    }
}

/// Shared by API and page.
#[derive(Debug, Default)]
pub struct AtWork {
    until: AtomicI64,
}

impl AtWork {
    pub fn note(&self, work: Work, now: UnixMillis) {
        self.until.fetch_max(now.0.saturating_add(work.lasts_ms()), Ordering::Relaxed);
    }

    /// `None`: nobody is at work.
    #[must_use]
    pub fn until(&self, now: UnixMillis) -> Option<UnixMillis> {
        let until = self.until.load(Ordering::Relaxed);
        let left = until.saturating_sub(now.0);
        // More than that is left only when the clock was set back meanwhile.
        (1..=Work::LONGEST_MS).contains(&left).then_some(UnixMillis(until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_by_itself_and_the_longer_one_counts() {
        let at_work = AtWork::default();
        assert_eq!(at_work.until(UnixMillis(0)), None);
        at_work.note(Work::Count, UnixMillis(0));
        at_work.note(Work::Order, UnixMillis(60_000));
        assert_eq!(at_work.until(UnixMillis(899_999)), Some(UnixMillis(900_000)));
        assert_eq!(at_work.until(UnixMillis(900_000)), None);
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_at_work() {
        let at_work = AtWork::default();
        at_work.note(Work::Order, UnixMillis(86_400_000));
        assert_eq!(at_work.until(UnixMillis(0)), None);
    }
}
