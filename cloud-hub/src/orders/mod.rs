//! Pickup orders at the hub: pure functions over what is known. Nothing here does I/O or reads a clock.
//!
//! [`hours`] says when a store is open, [`routing`] which store gets an order, with a reason for every store.

pub mod hours;
pub mod routing;
