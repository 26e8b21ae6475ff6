//! How many requests each key may make: a token bucket per key name.
//!
//! The header fields are those of draft-ietf-httpapi-ratelimit-headers-06, the last with one field per number, which is
//! what most client libraries read.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// One request, counted in millionths so that a microsecond refills a whole number of them at any rate.
const REQUEST: u64 = 1_000_000;

/// What one key has left. Full when new; holds one second's worth.
#[derive(Debug, Default)]
pub(super) struct Bucket(Mutex<Spent>);

/// Counting what is missing makes a new bucket a full one, whatever its size.
#[derive(Debug, Default)]
struct Spent {
    missing: u64,
    at_micros: u64,
}

/// What the bucket said to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) granted: bool,
    per_second: u32,
    remaining: u64,
    /// Until the bucket is full again, in seconds.
    reset_s: u64,
}

impl Bucket {
    /// Takes one request out, if there is one. `now` is on a clock that never runs backwards.
    pub(super) fn take(&self, per_second: u32, now: Duration) -> Allowance {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let capacity = u64::from(per_second) * REQUEST;
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = now.saturating_sub(spent.at_micros).saturating_mul(u64::from(per_second));
        spent.at_micros = spent.at_micros.max(now);
        spent.missing = spent.missing.min(capacity).saturating_sub(refilled);
        let granted = spent.missing + REQUEST <= capacity;
        if granted {
            spent.missing += REQUEST;
        }
        let remaining = (capacity - spent.missing) / REQUEST;
        let reset_s = spent.missing.div_ceil(capacity.max(1));
        Allowance { granted, per_second, remaining, reset_s }
    }
}

impl Allowance {
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.per_second));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.reset_s));
        if let Ok(policy) = HeaderValue::try_from(format!("{};w=1", self.per_second)) {
            headers.insert(POLICY, policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_second_holds_its_number_of_requests_and_no_more() {
        let bucket = Bucket::default();
        let granted = (0..10).filter(|_| bucket.take(4, at(0)).granted).count();
        assert_eq!(granted, 4);
        assert!(!bucket.take(4, at(249)).granted);
        assert!(bucket.take(4, at(250)).granted);
        assert!(!bucket.take(4, at(250)).granted);
        assert_eq!((0..10).filter(|_| bucket.take(4, at(60_000)).granted).count(), 4);
    }

    #[test]
    fn what_is_left_is_told() {
        let bucket = Bucket::default();
        let first = bucket.take(2, at(0));
        assert_eq!((first.remaining, first.reset_s), (1, 1));
        assert_eq!(bucket.take(2, at(0)).remaining, 0);
        let refused = bucket.take(2, at(0));
        assert_eq!((refused.granted, refused.remaining, refused.reset_s), (false, 0, 1));
    }

    #[test]
    fn a_lowered_limit_holds_at_once_and_time_that_stands_still_refills_nothing() {
        let bucket = Bucket::default();
        for _ in 0..100 {
            bucket.take(100, at(5));
        }
        assert!(!bucket.take(1, at(5)).granted);
        assert!(!bucket.take(1, at(4)).granted);
        assert!(bucket.take(1, at(1005)).granted);
    }
}
