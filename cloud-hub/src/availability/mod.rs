//! What every store can hand over, in memory: the answer to "where can I collect two of these today?".
//!
//! The hub's core publishes each committed change; the storefront asks. Nothing here decides anything about rights: a
//! figure is `free` from the escrow, less what the operator chose to hold back as a store's last contact ages. Raw on hand
//! is kept for explanations only.
//!
//! **Invariant:** no clock, no I/O and no async here; time and settings come in as arguments.
//! **Invariant:** a write lock is held for a bounded number of updates, a read lock never over anything that waits.

mod column;
mod feed;
mod freshness;
mod geo;
mod index;
mod stores;
mod update;

pub use feed::{Cursor, CursorTooOld};
pub use freshness::{Contact, Freshness, Offer, Standing, State, Withheld};
pub(crate) use geo::km_of_chord_squared;
pub use geo::{InvalidPlace, Place, Point};
pub use index::{Changed, ChangesPage, Counts, Index, ItemIx, ItemNames, Reading};
pub(crate) use stores::reach_of_km;
pub use stores::{Directory, Listed, StoreIx};
pub use update::{Figures, Level, StoreInfo, Update};
