//! The store-agent: keeps a store's inventory on the store's own server, takes stock changes from the tills, and syncs with
//! the hub whenever there is a line to it.
//!
//! Inside, one synchronous core (`agent`) decides everything and writes to one SQLite database (`store`); it reads no clock
//! and no socket. Around it stand tasks that do input and output only: the POS sources (`pos`), the local API (`api`), the store's page
//! (`ui`), the link to the hub (`transport`). They reach the core through one bounded channel (`inbox`), and `runtime` puts it all
//! together.
//!
//! Floors, each importing only what stands before it:
//! `certificate config health version` │ `telemetry` │ `store` │ `agent` │ `inbox` │ `counter explain` │ `http` │ `pos api transport ui` │ `runtime`.

pub mod agent;
pub mod api;
pub mod certificate;
pub mod config;
pub mod counter;
pub mod explain;
pub mod health;
pub mod http;
pub mod inbox;
pub mod pos;
pub mod runtime;
pub mod store;
pub mod telemetry;
pub mod transport;
pub mod ui;
pub mod version;
