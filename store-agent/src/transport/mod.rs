//! The ways to the hub. Each carries the same frames between the inbox and a socket, and knows nothing of what they mean.
//!
//! `choice` dials, one link at a time, and asks `rules` which way is next; `quic` and `mqtt` are the two ways, `ends` is what a
//! link of either kind holds of the agent.

pub mod choice;
mod ends;
pub mod identity;
mod lanes;
mod mqtt;
mod named;
mod probe;
mod quic;
pub mod rules;
mod wire;
mod words;
mod writer;

pub use probe::ALPN as PROBE_ALPN;
pub use quic::ALPN as QUIC_ALPN;
