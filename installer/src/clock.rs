//! The one file that reads the clock. Everything else is handed the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use sync_protocol::UnixMillis;

/// A clock that was set before 1970 reads as 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How long something has taken so far.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub fn started() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Minutes since midnight, in the machine's own time zone.
#[must_use]
pub fn minute_of_the_day() -> u16 {
    let at =
        jiff::Timestamp::from_millisecond(now().0).unwrap_or_default().to_zoned(jiff::tz::TimeZone::system());
    u16::from(at.hour().unsigned_abs()) * 60 + u16::from(at.minute().unsigned_abs())
}

/// A moment as people and programs read it.
#[must_use]
pub fn rfc3339(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| format!("{} ms", at.0), |at| format!("{at:.0}"))
}
