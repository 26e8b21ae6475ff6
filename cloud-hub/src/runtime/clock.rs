//! The only file of the hub that reads the machine's clocks; everything else is told what time it is.

use crate::storefront;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use sync_protocol::time::Now;
use sync_protocol::{Ticks, UnixMillis};

/// Both clocks of one process. Copies agree with each other.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose ticks begin now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// Both clocks at this moment.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { wall: self.wall(), ticks: Ticks(millis(self.running())) }
    }

    /// The wall clock at this moment. A clock set before 1970 reads as 1970.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    pub fn wall(&self) -> UnixMillis {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }

    /// How long this clock has been running; for measuring durations.
    #[must_use]
    pub fn running(&self) -> Duration {
        self.started.elapsed()
    }
}

impl storefront::Clock for Clock {
    fn wall(&self) -> UnixMillis {
        Clock::wall(self)
    }

    fn running(&self) -> Duration {
        Clock::running(self)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
