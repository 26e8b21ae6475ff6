//! What a team would build by hand, for comparison: in the store an outbox table in SQLite and a publisher, Mosquitto in
//! between, at the hub a consumer that upserts into PostgreSQL. No merging, no escrow, no ledger at the hub, and changes reach
//! the store's database without HTTP: wherever a choice was open it was made in this build's favour.

pub mod consumer;
pub mod marks;
pub mod mqtt;
pub mod run;
pub mod servers;
pub mod store;
