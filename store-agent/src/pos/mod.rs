//! Where stock changes come from: each source yields documents, with a cursor where it has one, into the inbox.
//!
//! Tills that speak HTTP send by themselves (`http`). A POS that can't be changed is read: behind the seam `PosSource` (`source`) by a
//! thread of its own (`runner`), its rows turned into documents by the rules of the configuration (`mapping`).

mod card;
pub mod checkup;
mod cloud_events;
mod decimal;
pub mod http;
mod json;
mod key_cursor;
mod mapping;
pub mod runner;
mod sidecar;
pub mod source;
pub mod sqlite;
mod times;
