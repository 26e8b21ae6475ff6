//! `cargo demo`: a whole chain on one machine, with real processes, real sockets and real disks, under load and with faults;
//! and at the end the proof, cell by cell, that nothing was lost and nothing counted twice.

pub mod compare;
pub mod convergence;
pub mod faults;
pub mod opening;
pub mod options;
pub mod orders;
pub mod probe;
pub mod report;
pub mod run;
pub mod sales;
pub mod screen;
pub mod traffic;
pub mod watch;
