//! Pickup orders at the hub: pure functions over what is known. Nothing here reads a file or a clock; of I/O there is only
//! the drawing of random numbers, for codes and for sealing.
//!
//! [`hours`] says when a store is open; [`pickup_settings`] is how it takes part, read from HQ's [`settings_file`] too; [`workload`]
//! what it has to do, and [`board`] shows both to whoever routes. [`routing`] says which store gets an order, with a reason for every
//! store, and [`decisions`] is what is kept of that. [`placement`] reads what a shopper asks for, [`reserving`] what is to be kept meanwhile,
//! [`idempotency`] recognises it when it is asked again, [`card_number`] keeps out what must not be kept. [`codes`] are what it is
//! collected with; [`customer`] and [`vault`] keep to a few who the shopper is.

pub mod board;
pub mod card_number;
pub mod codes;
pub mod customer;
pub mod decisions;
pub mod hours;
pub mod idempotency;
pub mod pickup_settings;
pub mod placement;
pub mod reserving;
pub mod routing;
pub mod settings_file;
pub mod vault;
pub mod workload;
