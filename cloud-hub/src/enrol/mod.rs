//! Who may speak to the hub: its own certificate authority and the certificates it gives out, enrolment and the life of stores'
//! certificates, which release each store shall have, the web shop's first key, the keys of pickup orders.
//!
//! `books` is what is written down, `clerk` answers a store's request from it, `listener` is the HTTPS door, and `keeper` tells the
//! transports who stands how.

pub mod books;
pub mod ca;
pub mod clerk;
pub mod csr;
pub mod keeper;
pub mod key;
pub mod listener;
mod metrics;
mod nonce;
pub mod order_keys;
mod rate;
pub mod rollout;
mod secret;
pub mod token;

pub use metrics::Metrics;

#[cfg(test)]
mod tests;
