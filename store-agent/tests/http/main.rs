//! The agent's local API over real sockets: one agent per test in a folder of its own, on a free port, spoken to byte by byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod bounds;
mod client;
mod clients;
mod cloud_events;
mod doors;
mod files;
mod movements;
mod mysql;
mod orders;
mod process;
mod reading;
mod shop;
mod views;
mod webhooks;
