//! Deterministic simulation: many agents and one hub, the real cores, on one event queue with virtual time.
//!
//! A seed decides everything: the stores, the tills, the order and fate of messages, when processes crash and disks are lost. After
//! every step the [`checkers`] look whether the promises hold. First anything may go wrong; then everything is mended, and both
//! sides must meet within a bound of virtual time. The same seed gives the same run to the byte, so a failing one can be replayed.

pub mod checkers;
pub mod coverage;
mod disk;
mod documents;
mod event_queue;
pub mod faults;
mod hub_host;
mod machine;
mod network;
mod orders;
mod payments;
mod plan;
mod rerouting;
mod reserving;
pub mod sabotage;
mod shoppers;
mod staff;
mod tills;
mod trace;
mod truth;
mod world;

#[cfg(test)]
mod tests;

use checkers::Finding;
use coverage::Coverage;
use sabotage::Sabotage;

/// How long the part with faults is, in events.
pub const STEPS: u64 = 4_000;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub steps: u64,
    pub keep_trace: bool,
    pub sabotage: Option<Sabotage>,
}

impl Default for Options {
    fn default() -> Self {
        Self { steps: STEPS, keep_trace: false, sabotage: None }
    }
}

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    pub steps: u64,
    /// Virtual time until both sides were in step, in milliseconds: all of it, and since everything was mended.
    pub virtual_ms: u64,
    pub converged_ms: u64,
    /// Two runs of a seed agree in it.
    pub trace_hash: u64,
    pub trace: Vec<String>,
    pub coverage: Coverage,
    pub finding: Option<Finding>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Outcome {
    let mut world = world::World::new(seed, options.keep_trace, options.sabotage);
    let mut steps = 0;
    let finding = world.run(options.steps, &mut steps).err();
    if finding.is_some() {
        world.describe();
    }
    Outcome {
        seed,
        steps,
        virtual_ms: world.now,
        converged_ms: world.converged_after(),
        trace_hash: world.trace.hash(),
        coverage: std::mem::take(&mut world.coverage),
        trace: world.trace.into_lines(),
        finding,
    }
}
