//! The shared core of ShopSmart Sync: what a store agent and the cloud hub must agree on to the byte.
//!
//! It does no I/O, reads no clock and knows no async runtime: time comes in as an argument, frames go in and out as
//! bytes. The same code therefore runs under QUIC, in tests and in the deterministic simulation.
//!
//! Floors, each importing only what stands before it: words (`ids`, `quantity`, `time`, `limits`, `numbered`), the stock cell
//! and orders (`stock`, `order`), what is replicated (`record`), how it travels (`frame`), and the conversation (`digest`, `link`).
//! `canary`, `count` and `pause` are what some notes say, `pickup_code` what a shopper carries to the store instead, `enrolment`
//! how a store comes by its certificate, and `releases` how it comes by its programs.

pub mod canary;
pub mod count;
pub mod digest;
pub mod enrolment;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod link;
mod numbered;
pub mod order;
pub mod pause;
pub mod pickup_code;
pub mod quantity;
pub mod record;
pub mod releases;
pub mod stock;
pub mod time;

pub use ids::{Boot, Epoch, Gtin, ItemNo, Position, Reference, Seq, Sku, SourceId, StoreId, TraceId};
pub use quantity::Quantity;
pub use time::{Ticks, UnixMillis};
