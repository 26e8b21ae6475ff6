//! Whether the hub does its work, for load balancers and people: one shared value that each part keeps current.
//!
//! The hub is healthy while its driver goes round, its storage takes commits and nothing has reported a fault.
//! A store that is offline is no fault of the hub's and does not show here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use sync_protocol::UnixMillis;

/// The driver goes round at least every five seconds; three rounds missed are a fault.
const BEAT_AGE_MAX: u64 = 15_000;

/// The parts' last words. Shared as `Arc<Health>`.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    beat: Option<UnixMillis>,
    faults: BTreeMap<&'static str, String>,
}

/// What is wrong, by part. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(BTreeMap<&'static str, String>);

impl Health {
    /// The driver has finished a round.
    pub fn beat(&self, now: UnixMillis) {
        self.state().beat = Some(now);
    }

    /// A part can't do its work, until [`Health::mended`].
    pub fn fault(&self, part: &'static str, what: String) {
        self.state().faults.insert(part, what);
    }

    /// A part works again.
    pub fn mended(&self, part: &'static str) {
        self.state().faults.remove(part);
    }

    /// How things stand.
    ///
    /// # Errors
    /// Something is wrong.
    pub fn report(&self, now: UnixMillis) -> Result<(), Faults> {
        let state = self.state();
        let mut faults = state.faults.clone();
        match state.beat.map(|beat| now.since(beat)) {
            None => {
                faults.insert("driver", "not started yet".to_owned());
            }
            Some(age) if age > BEAT_AGE_MAX => {
                faults.insert("driver", format!("has not finished a round for {} s", age / 1000));
            }
            Some(_) => {}
        }
        if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
    }

    // A panic while holding the lock leaves no half-written state: each write is one assignment or map operation.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (part, what)) in self.0.iter().enumerate() {
            write!(f, "{}{part}: {what}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(health: &Health, now: i64) -> String {
        health.report(UnixMillis(now)).unwrap_err().to_string()
    }

    #[test]
    fn a_driver_that_goes_round_is_healthy() {
        let health = Health::default();
        assert_eq!(said(&health, 0), "driver: not started yet");
        health.beat(UnixMillis(1_000));
        assert_eq!(health.report(UnixMillis(3_000)), Ok(()));
    }

    #[test]
    fn a_driver_that_stands_still_shows() {
        let health = Health::default();
        health.beat(UnixMillis(0));
        assert_eq!(said(&health, 20_000), "driver: has not finished a round for 20 s");
    }

    #[test]
    fn a_fault_lasts_until_it_is_mended() {
        let health = Health::default();
        health.beat(UnixMillis(0));
        health.fault("storage", "disk full".to_owned());
        assert_eq!(said(&health, 0), "storage: disk full");
        assert!(said(&health, 20_000).ends_with("; storage: disk full"));
        health.mended("storage");
        assert_eq!(health.report(UnixMillis(0)), Ok(()));
    }
}
