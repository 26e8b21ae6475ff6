//! Puts the agent together and runs it: the driver's thread around the core, and the tasks that do input and output.

pub mod clock;
pub mod driver;
mod page;
pub mod supervisor;
