//! The cloud hub: merges every store's stock and answers the storefront what can be collected where, as of when.
//!
//! Floors, each importing only what stands before it: words (`config`, `door`, `health`, `standing`, `identity`, `telemetry`), what can be
//! asked (`availability`), how orders find their store (`orders`), what is kept (`storage`), what is decided (`hub`: synchronous, no clock, no network), where it is asked (`desk`), what is
//! sent out (`courier`), the doors (`enrol`, `ingest`, `storefront`, side by side), and `runtime`, which puts them together.

pub mod config;
mod door;
pub mod health;
pub mod identity;
pub mod standing;
pub mod telemetry;

pub mod availability;

pub mod orders;

pub mod storage;

pub mod hub;

pub mod desk;

pub mod courier;

pub mod enrol;
pub mod ingest;
pub mod storefront;

pub mod runtime;
