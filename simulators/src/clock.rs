//! The one place of this crate that reads the clocks: everything else is told the time or asks here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use sync_protocol::UnixMillis;

/// Now, on the clock that never runs backwards.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Time since 1970-01-01 UTC on the wall clock; several processes of one machine can compare it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads the wall clock")]
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Now, on the wall clock, as the protocol counts it.
#[must_use]
pub fn unix_millis() -> UnixMillis {
    UnixMillis(i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX))
}
