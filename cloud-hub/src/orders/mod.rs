//! Pickup orders at the hub: pure functions over what is known. Nothing here reads a file or a clock; of I/O there is only
//! the drawing of random numbers, for codes and for sealing.
//!
//! [`hours`] says when a store is open, [`routing`] which store gets an order, with a reason for every store. [`placement`]
//! reads what a shopper asks for, [`reserving`] what is to be kept meanwhile, [`idempotency`] recognises it when it is asked again, [`card_number`] keeps out what must
//! not be kept. [`codes`] are what it is collected with; [`customer`] and [`vault`] keep to a few who the shopper is.

pub mod card_number;
pub mod codes;
pub mod customer;
pub mod hours;
pub mod idempotency;
pub mod placement;
pub mod reserving;
pub mod routing;
pub mod vault;
