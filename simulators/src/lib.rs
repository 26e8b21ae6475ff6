//! Tills, stores and networks, simulated: to show ShopSmart Sync, to test it, and to measure it.
//!
//! Floors, each importing only what stands before it: random numbers, clocks and durations (`rng`, `clock`, `latency`), what is
//! sold and when (`scenario`), the tills that sell it and the stores they stand in (`pos`, `fleet`), what a team would build by
//! hand instead (`plain`), and the programs made of them (`demo`, `evaluate`, `bench`).

pub mod bench;
pub mod clock;
pub mod demo;
pub mod dst;
pub mod evaluate;
pub mod fleet;
pub mod http;
pub mod latency;
pub mod plain;
pub mod pos;
pub mod rng;
pub mod scenario;
