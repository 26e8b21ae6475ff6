//! `cargo xtask bench`: what ShopSmart Sync costs and gives on this machine, next to what it is meant to reach, and in the
//! same run next to what a team would build by hand. Never a test: a busy machine is no bug.

pub mod chain;
pub mod counter;
pub mod endpoint;
pub mod figure;
pub mod files;
pub mod http_load;
pub mod merge;
pub mod meter;
pub mod mosquitto;
pub mod mqtt5;
pub mod orders;
mod page;
pub mod query;
pub mod run;
pub mod stocked;
pub mod tills;
pub mod transports;
pub mod wire;
