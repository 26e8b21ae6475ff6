//! What must hold after every step, whatever has gone wrong: one file for each thing that is looked at.

pub mod convergence;
pub mod ends;
pub mod escrow;
pub mod ledger;
pub mod orders;
pub mod repeated;
pub mod spin;

use std::fmt;

/// A promise that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its number in the guarantees.
    pub promise: &'static str,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.promise, self.what)
    }
}

/// All well, or what is not.
pub type Check = Result<(), Finding>;

/// Says that `promise` was broken, unless `holds`.
pub fn must(holds: bool, promise: &'static str, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Finding { promise, what: what() }) }
}
