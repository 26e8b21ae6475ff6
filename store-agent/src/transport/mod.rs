//! The ways to the hub. Each carries the same frames between the inbox and a socket, and knows nothing of what they mean.

pub mod identity;
pub mod quic;
mod wire;
mod writer;
