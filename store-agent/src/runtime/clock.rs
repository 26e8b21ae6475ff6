//! The one place that reads clocks. Everything else is handed the time.

use crate::http::Clocks;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use sync_protocol::time::Now;
use sync_protocol::{Ticks, UnixMillis};

/// Both clocks of this machine. Ticks count from when the clock was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    #[must_use]
    pub fn now(&self) -> Now {
        Now { wall: wall(), ticks: Ticks(self.millis()) }
    }

    /// Seconds since the clock was made, for measuring how long something took.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The clocks for those who stamp or measure requests.
#[must_use]
pub fn clocks() -> Clocks {
    Clocks { wall, instant }
}

/// A clock that was set before 1970 reads as 1970.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
fn instant() -> Instant {
    Instant::now()
}
