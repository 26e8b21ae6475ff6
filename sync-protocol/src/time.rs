//! Time as the protocol sees it: always an argument, never read here.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Wall-clock time: milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Whole milliseconds from `earlier` to `self`; zero when `earlier` is later (clocks jump).
    #[must_use]
    pub fn since(self, earlier: UnixMillis) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Time on a link: milliseconds on a clock that never runs backwards and starts anywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    #[must_use]
    pub fn plus(self, millis: u64) -> Ticks {
        Ticks(self.0.saturating_add(millis))
    }

    #[must_use]
    pub fn since(self, earlier: Ticks) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, read once per step by whoever drives a core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    pub wall: UnixMillis,
    pub ticks: Ticks,
}
