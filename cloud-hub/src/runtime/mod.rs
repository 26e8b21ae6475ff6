//! Puts the parts together and runs them: one thread for the core, tasks for the network, one clock.

pub mod clock;
pub mod driver;
pub mod metered;
pub mod supervisor;
mod tally;
