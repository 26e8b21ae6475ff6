//! Puts the parts together and runs them: one thread for the core, tasks for the network, one clock.

mod broker;
pub mod clock;
pub mod driver;
mod enrolment;
pub mod metered;
pub mod supervisor;
mod tally;
