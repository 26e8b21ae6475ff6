//! The stock cell: one per store and item, a CRDT in two single-writer halves, with escrow.
//!
//! [`cell`] holds the halves, how they join and the figures derived from them; [`escrow`] the rules by which store and hub
//! raise their fields, so that the hub never promises more than the store has granted; [`policy`] how much a store keeps
//! for its walk-in customers.

pub mod cell;
pub mod escrow;
pub mod policy;

pub use cell::{Cell, HubField, HubHalf, HubOp, InvalidHalf, StoreField, StoreHalf, StoreOp, TOTAL_MAX};
pub use escrow::{EscrowError, Settled, TotalExceeded};
pub use policy::{ReservePolicy, SalesRate, target_claim, walk_in_reserve};
