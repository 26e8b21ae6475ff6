//! Pickup orders at the hub: pure functions over what is known. Nothing here reads a file or a clock; of I/O there is only
//! the drawing of random numbers, for codes and for sealing.
//!
//! [`hours`] says when a store is open, [`routing`] which store gets an order, with a reason for every store. [`codes`] are what
//! it is collected with; [`customer`] and [`vault`] keep to a few who the shopper is.

pub mod codes;
pub mod customer;
pub mod hours;
pub mod routing;
pub mod vault;
