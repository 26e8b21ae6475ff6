//! End to end: the real binaries over real sockets, TLS and files. One test binary of modules, so that it links once.
//!
//! The binaries must be built first; `cargo xtask test` and `tests/run` see to that.

mod disks;
mod harness;
mod intruders;
mod kills;
mod metrics;
mod restores;
mod sales;
mod web_shop;
