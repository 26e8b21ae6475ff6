//! `cargo xtask evaluate`: which availability policy should the web shop use? Replays a season of till sales under each,
//! with the same shoppers, the same deliveries and the same lines cut, and counts what each policy costs whom.
//!
//! What happens is drawn once for each store, before any policy is tried ([`plan`]). The policies differ only in the books
//! they keep at store and hub ([`books`], [`escrow`]); shelf, shoppers and messages are one code for all ([`replay`]).

pub mod books;
pub mod compare;
pub mod escrow;
pub mod figures;
pub mod outages;
pub mod picture;
pub mod plan;
pub mod replay;
pub mod report;
pub mod sampling;
pub mod season;
pub mod shoppers;
pub mod stock;
pub mod tally;
#[cfg(test)]
mod tests;

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
pub const WEEK_MS: i64 = 7 * DAY_MS;
/// Thousandths in one unit; shelves count in thousandths, as quantities do.
pub const UNIT: i64 = 1000;

/// The rules of the model that are no policy.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Model {
    /// Pickup orders tried, per customer at a till.
    pub orders_per_visit: f64,
    /// How long a message takes from store to hub, and from hub to store.
    pub lag_ms: i64,
    /// From the store's hearing of an order until somebody has picked it.
    pub pick_ms: i64,
    /// A picked order is collected after one hour at least, and this at most.
    pub collect_ms_max: i64,
    /// A shelf is filled up to so many units at least, however slowly the item sells.
    pub shelf_min: u32,
    /// Share of the stores whose line is cut on each day.
    pub cut_share: f64,
    /// For how long, at the hours in which the tills are busiest.
    pub cut_hours: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            orders_per_visit: 0.5,
            lag_ms: 5_000,
            pick_ms: 30 * MINUTE_MS,
            collect_ms_max: DAY_MS,
            shelf_min: 1,
            cut_share: 0.05,
            cut_hours: 4,
        }
    }
}
