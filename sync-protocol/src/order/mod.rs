//! Pickup orders at one store: two halves with one writer each, and the one table that says how an order stands.
//!
//! The hub writes what was ordered and what it wants of the store ([`HubOrder`]); the store's agent writes what was done
//! ([`StoreOrder`]). Each half carries a revision that its writer raises with every change; of two copies of one half the
//! newer one wins whole. [`lines`] has what an order is made of, [`lifecycle`] the store's acts and the table
//! [`status`](lifecycle::status()).
//!
//! **Invariant:** what is handed over of a line is never more than was ordered, and nothing is handed over twice.

pub mod lifecycle;
pub mod lines;
pub mod short_code;

pub use lifecycle::{
    Act, ActRefused, Effect, Progress, Proof, ShortReason, Stage, Status, StoreOrder, status,
};
pub use lines::{Cancel, HubOrder, InvalidOrder, Line, OrderId};
pub use short_code::ShortCode;
