//! How often may be asked: from one address, and in all. What is over that is told to wait; nothing is kept of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Requests a second of one address, and how many at once. A whole chain may be enrolled from one place.
const OF_ADDRESS: Pace = Pace { per_second: 20.0, at_once: 100.0 };
/// … and in all.
const OF_ALL: Pace = Pace { per_second: 60.0, at_once: 300.0 };
/// Most addresses that are told apart. When there are more, those that have not asked for longest are forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// The first half of an IPv6 address: whoever has one of these has all the rest.
const NETWORK_BITS: u32 = 64;

#[derive(Debug, Clone, Copy)]
struct Pace {
    per_second: f64,
    at_once: f64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(pace: Pace, now: Instant) -> Bucket {
        Bucket { left: pace.at_once, at: now }
    }

    fn fill(&mut self, pace: Pace, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * pace.per_second).min(pace.at_once);
        self.at = now;
    }
}

/// Counts requests.
#[derive(Debug)]
pub(super) struct Rates {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    all: Bucket,
    by_address: HashMap<IpAddr, Bucket>,
}

impl Rates {
    pub(super) fn new(now: Instant) -> Rates {
        Rates { state: Mutex::new(State { all: Bucket::full(OF_ALL, now), by_address: HashMap::new() }) }
    }

    /// Whether a request may be dealt with now.
    pub(super) fn grants(&self, from: IpAddr, now: Instant) -> bool {
        // A panic while holding the lock leaves a bucket a little fuller or emptier.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { all, by_address } = &mut *state;
        if by_address.len() >= ADDRESSES_MAX {
            forget_the_quiet(by_address, now);
        }
        let bucket = by_address.entry(network_of(from)).or_insert_with(|| Bucket::full(OF_ADDRESS, now));
        bucket.fill(OF_ADDRESS, now);
        all.fill(OF_ALL, now);
        if bucket.left < 1.0 || all.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        all.left -= 1.0;
        true
    }
}

/// A bucket that is full again says nothing. Where all of them say something, the older half is let go.
fn forget_the_quiet(by_address: &mut HashMap<IpAddr, Bucket>, now: Instant) {
    by_address.values_mut().for_each(|bucket| bucket.fill(OF_ADDRESS, now));
    by_address.retain(|_, bucket| bucket.left < OF_ADDRESS.at_once);
    if by_address.len() >= ADDRESSES_MAX {
        let mut left: Vec<f64> = by_address.values().map(|bucket| bucket.left).collect();
        left.sort_by(f64::total_cmp);
        let median = left[left.len() / 2];
        by_address.retain(|_, bucket| bucket.left < median);
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6((address.to_bits() >> (128 - NETWORK_BITS) << (128 - NETWORK_BITS)).into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn granted(rates: &Rates, from: &str, times: usize, now: Instant) -> usize {
        (0..times).filter(|_| rates.grants(from.parse().unwrap(), now)).count()
    }

    #[test]
    fn one_address_that_asks_too_often_does_not_keep_others_out() {
        let now = Instant::now();
        let rates = Rates::new(now);
        assert_eq!(granted(&rates, "10.0.0.1", 1_000, now), 100);
        assert_eq!(granted(&rates, "10.0.0.2", 50, now), 50);
        let later = now + Duration::from_secs(1);
        assert_eq!(granted(&rates, "10.0.0.1", 1_000, later), 20);
    }

    #[test]
    fn seven_hundred_and_fifty_a_minute_may_come_from_one_place() {
        let start = Instant::now();
        let rates = Rates::new(start);
        let granted: usize =
            (0..60).map(|second| granted(&rates, "10.0.0.1", 13, start + Duration::from_secs(second))).sum();
        assert!(granted >= 750, "{granted}");
    }

    #[test]
    fn all_together_have_a_bound_too() {
        let now = Instant::now();
        let rates = Rates::new(now);
        let granted: usize = (0..200).map(|at| granted(&rates, &format!("10.0.0.{at}"), 5, now)).sum();
        assert_eq!(granted, 300);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let now = Instant::now();
        let rates = Rates::new(now);
        let granted: usize = (0..300).map(|at| granted(&rates, &format!("2001:db8::{at:x}"), 1, now)).sum();
        assert_eq!(granted, 100);
    }

    #[test]
    fn endless_addresses_take_no_endless_room() {
        let start = Instant::now();
        let rates = Rates::new(start);
        for at in 0..3 * ADDRESSES_MAX {
            let now = start + Duration::from_millis(at as u64 / 10);
            let address = std::net::Ipv4Addr::from_bits(u32::try_from(at).unwrap());
            rates.grants(address.into(), now);
        }
        assert!(rates.state.lock().unwrap().by_address.len() <= ADDRESSES_MAX);
    }
}
