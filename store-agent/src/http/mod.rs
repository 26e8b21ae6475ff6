//! The plumbing that everything spoken over HTTP shares: listening, who may ask, problems, bodies within bounds.
//!
//! What is said over it stands above: the till's side in `pos::http`, the store's side in `api`.

pub mod body;
pub mod guard;
pub mod json;
pub mod listener;
pub mod ndjson;
pub mod problem;
pub mod reading;
pub mod tls;
pub mod tokens;
pub mod trace;

pub use problem::Problem;
pub use tokens::Caller;

use std::time::Instant;
use sync_protocol::UnixMillis;

/// The clocks as the runtime reads them, for those who must stamp or measure something.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    pub wall: fn() -> UnixMillis,
    pub instant: fn() -> Instant,
}
