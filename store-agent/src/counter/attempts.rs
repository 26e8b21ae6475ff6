//! Wrong short codes, counted for each order, so that nobody can try codes until one fits.
//!
//! Kept in memory alone and bounded: a restart forgets it, which an attacker at the counter can't bring about.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use sync_protocol::order::OrderId;

/// How many wrong codes an order bears within [`WITHIN`].
pub const WRONG_MAX: usize = 5;
pub const WITHIN: Duration = Duration::from_secs(600);
/// Orders remembered at once: more than a store hands over in a day.
const ORDERS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub struct Attempts {
    /// Invariant: at most `ORDERS_MAX` orders, none with more than `WRONG_MAX` moments, the oldest first.
    wrong: Mutex<HashMap<OrderId, Vec<Instant>>>,
}

/// Why a code was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    Code {
        /// How many more may be tried.
        left: usize,
    },
    /// Too many were wrong; also the right one is not looked at for so long.
    Blocked { wait: Duration },
}

impl Attempts {
    /// Asks `is_right` unless too many codes for this order were wrong, and counts a wrong one. Looking and counting are one
    /// step, so that many requests at once get no more tries than one after the other.
    pub fn judge(&self, order: OrderId, now: Instant, is_right: impl FnOnce() -> bool) -> Result<(), Wrong> {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |moment: &Instant| now.saturating_duration_since(*moment) < WITHIN;
        if let Some(moments) = wrong.get_mut(&order) {
            moments.retain(lately);
            if let Some(first) = moments.first().filter(|_| moments.len() >= WRONG_MAX) {
                return Err(Wrong::Blocked { wait: WITHIN - now.saturating_duration_since(*first) });
            }
        }
        if is_right() {
            return Ok(());
        }
        if wrong.len() >= ORDERS_MAX && !wrong.contains_key(&order) {
            wrong.retain(|_, moments| moments.iter().any(lately));
            forget_oldest(&mut wrong);
        }
        let moments = wrong.entry(order).or_default();
        moments.push(now);
        Err(Wrong::Code { left: WRONG_MAX - moments.len() })
    }
}

fn forget_oldest(wrong: &mut HashMap<OrderId, Vec<Instant>>) {
    if wrong.len() < ORDERS_MAX {
        return;
    }
    let oldest = wrong.iter().min_by_key(|(_, moments)| moments.last().copied()).map(|(order, _)| *order);
    if let Some(oldest) = oldest {
        wrong.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "some moment to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    fn order(number: u64) -> OrderId {
        OrderId::from_random(number)
    }

    #[test]
    fn after_five_wrong_codes_the_right_one_has_to_wait() {
        let (attempts, start) = (Attempts::default(), start());
        for left in (0..WRONG_MAX).rev() {
            assert_eq!(attempts.judge(order(1), start, || false), Err(Wrong::Code { left }));
        }
        let later = start + Duration::from_secs(60);
        let wait = WITHIN - Duration::from_secs(60);
        assert_eq!(attempts.judge(order(1), later, || true), Err(Wrong::Blocked { wait }));
        assert_eq!(attempts.judge(order(2), later, || true), Ok(()), "another order has its own tries");
        assert_eq!(attempts.judge(order(1), start + WITHIN, || true), Ok(()));
    }

    #[test]
    fn a_right_code_is_not_counted() {
        let (attempts, start) = (Attempts::default(), start());
        for _ in 0..20 {
            assert_eq!(attempts.judge(order(1), start, || true), Ok(()));
        }
    }

    #[test]
    fn what_is_remembered_stays_bounded() {
        let (attempts, start) = (Attempts::default(), start());
        for at in 0..3 * ORDERS_MAX as u64 {
            let now = start + Duration::from_millis(at);
            assert_eq!(attempts.judge(order(at), now, || false), Err(Wrong::Code { left: WRONG_MAX - 1 }));
        }
        assert_eq!(attempts.wrong.lock().unwrap().len(), ORDERS_MAX);
    }
}
