//! The answers of the storefront API, exactly as they are written. The OpenAPI document is generated from these types.

use crate::availability::{State, StoreInfo, Withheld};
use serde::{Serialize, Serializer};
use sync_protocol::{Gtin, Quantity, UnixMillis};
use utoipa::ToSchema;

/// A moment, as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp(pub(super) UnixMillis);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match jiff::Timestamp::from_millisecond(self.0.0) {
            Ok(timestamp) => serializer.collect_str(&timestamp),
            // No clock shows the year 10,000.
            Err(_) => serializer.serialize_none(),
        }
    }
}

/// How much of what is wanted a store can hand over.
///
/// `all`, `some` or `none` of the wanted quantity; `unknown` where the numbers are older than `max_age_s` or there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CanFulfil {
    All,
    Some,
    None,
    Unknown,
}

impl CanFulfil {
    pub(super) fn of(available: Option<Quantity>, wanted: Quantity) -> CanFulfil {
        match available {
            None => CanFulfil::Unknown,
            Some(available) if available >= wanted => CanFulfil::All,
            Some(available) if available.is_positive() => CanFulfil::Some,
            Some(_) => CanFulfil::None,
        }
    }

    /// What a store can do for a basket of lines.
    pub(super) fn over(lines: impl Iterator<Item = CanFulfil>) -> CanFulfil {
        let (mut all, mut none) = (true, true);
        for line in lines {
            match line {
                CanFulfil::Unknown => return CanFulfil::Unknown,
                CanFulfil::All => none = false,
                CanFulfil::Some => (all, none) = (false, false),
                CanFulfil::None => all = false,
            }
        }
        match (all, none) {
            (true, _) => CanFulfil::All,
            (_, true) => CanFulfil::None,
            _ => CanFulfil::Some,
        }
    }

    pub(super) fn is_some_at_least(self) -> bool {
        matches!(self, CanFulfil::All | CanFulfil::Some)
    }
}

/// Stock in words.
///
/// `out_of_stock`: nothing is available. `low_stock`: more than 0 and at most 5 units. `in_stock`: more than 5 units.
/// `unknown`: the numbers are older than `max_age_s` or there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Band {
    InStock,
    LowStock,
    OutOfStock,
    Unknown,
}

impl Band {
    /// The most that is still called low.
    const LOW_MAX: Quantity = Quantity::from_units(5);

    pub(super) fn of(available: Option<Quantity>) -> Band {
        match available {
            None => Band::Unknown,
            Some(available) if !available.is_positive() => Band::OutOfStock,
            Some(available) if available <= Band::LOW_MAX => Band::LowStock,
            Some(_) => Band::InStock,
        }
    }
}

/// What can be collected where.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Availability<'a> {
    /// When this was answered; ages count to this moment.
    #[schema(value_type = String, format = DateTime)]
    pub(super) answered_at: Timestamp,
    /// One entry for each item asked for, in the order asked.
    pub(super) items: Vec<ItemAvailability<'a>>,
    /// Ids in `stores` that are no stores of this hub.
    pub(super) unknown_stores: &'a [String],
    /// Where to go on: give it as `cursor` for further stores. `null` on the last page.
    #[schema(required)]
    pub(super) next: Option<&'a str>,
}

/// One item over the stores of this page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemAvailability<'a> {
    /// The item asked for.
    pub(super) sku: &'a str,
    /// What the stores call it; `null` when none of them has named it.
    #[schema(required)]
    pub(super) name: Option<&'a str>,
    /// `false` when no store of the chain carries this sku; `stores` is empty then.
    pub(super) known: bool,
    /// The stores of this page, nearest first or by id. Every store in scope is listed, with or without stock, unless
    /// `in_stock=true`.
    pub(super) stores: Vec<StoreAvailability<'a>>,
}

/// One item in one store.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoreAvailability<'a> {
    /// The store's id.
    pub(super) store: &'a str,
    /// The store's name.
    pub(super) name: &'a str,
    /// Units that may be promised now: what the store has set aside for the web and is not promised yet, less what is held
    /// back for the age of the numbers. Up to three decimals. `null` when unknown, and with `detail=band`.
    #[schema(value_type = Option<f64>, required)]
    pub(super) available: Option<Quantity>,
    /// Stock in words; with `detail=band` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) band: Option<Band>,
    pub(super) can_fulfil: CanFulfil,
    pub(super) state: State,
    /// The numbers are those of this moment. `null` for a store that was never seen.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub(super) as_of: Option<Timestamp>,
    /// Whole seconds from `as_of` to `answered_at`.
    #[schema(required)]
    pub(super) age_s: Option<u64>,
    /// Kilometres from `near` as the crow flies, to the metre; `null` without `near`.
    #[schema(required)]
    pub(super) distance_km: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) withheld: Option<Withheld>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) explain: Option<Explanation>,
}

/// How an `available` came about; with `explain=true` only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Explanation {
    /// Units in the store by its books; below zero when the tills sold more than was booked in.
    #[schema(value_type = f64)]
    pub(super) on_hand: Quantity,
    /// Units set aside for the web: `open` and `free` together.
    #[schema(value_type = f64)]
    pub(super) claim: Quantity,
    /// Units promised to orders and not yet handed over.
    #[schema(value_type = f64)]
    pub(super) open: Quantity,
    /// Units that may still be promised.
    #[schema(value_type = f64)]
    pub(super) free: Quantity,
    /// Units of the claim that are not on the shelf: the tills sold below the line.
    #[schema(value_type = f64)]
    pub(super) shortfall: Quantity,
    /// Units of `free` that are not offered because of the numbers' age.
    #[schema(value_type = f64)]
    pub(super) held_back: Quantity,
    /// The same in a sentence.
    pub(super) reason: String,
}

/// Where a basket can be collected.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BasketAvailability<'a> {
    /// When this was answered; ages count to this moment.
    #[schema(value_type = String, format = DateTime)]
    pub(super) answered_at: Timestamp,
    /// The stores of this page, nearest first or by id. Every store in scope is listed unless `in_stock` is `true`.
    pub(super) stores: Vec<StoreBasket<'a>>,
    /// Skus that no store of the chain carries.
    pub(super) unknown_skus: Vec<&'a str>,
    /// Ids in `stores` that are no stores of this hub.
    pub(super) unknown_stores: &'a [String],
    /// Where to go on: give it as `cursor` for further stores. `null` on the last page.
    #[schema(required)]
    pub(super) next: Option<&'a str>,
}

/// A basket in one store.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoreBasket<'a> {
    /// The store's id.
    pub(super) store: &'a str,
    /// The store's name.
    pub(super) name: &'a str,
    pub(super) can_fulfil: CanFulfil,
    pub(super) state: State,
    /// The numbers are those of this moment. `null` for a store that was never seen.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub(super) as_of: Option<Timestamp>,
    /// Whole seconds from `as_of` to `answered_at`.
    #[schema(required)]
    pub(super) age_s: Option<u64>,
    /// Kilometres from `near` as the crow flies, to the metre; `null` without `near`.
    #[schema(required)]
    pub(super) distance_km: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) withheld: Option<Withheld>,
    /// One entry for each sku of the basket, in the order in which they were first named.
    pub(super) lines: Vec<BasketLine<'a>>,
}

/// One item of a basket in one store.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BasketLine<'a> {
    /// The item.
    pub(super) sku: &'a str,
    /// Units wanted, over all lines of the basket with this sku.
    #[schema(value_type = f64)]
    pub(super) quantity: Quantity,
    /// Units that may be promised now, as in `GET /v1/availability`. `null` when unknown, and with `detail` `band`.
    #[schema(value_type = Option<f64>, required)]
    pub(super) available: Option<Quantity>,
    /// Stock in words; with `detail` `band` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) band: Option<Band>,
    pub(super) can_fulfil: CanFulfil,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) explain: Option<Explanation>,
}

/// A page of stores.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoreList<'a> {
    /// When this was answered; ages count to this moment.
    #[schema(value_type = String, format = DateTime)]
    pub(super) answered_at: Timestamp,
    /// Stores in the order of their ids.
    pub(super) stores: Vec<StoreStatus<'a>>,
    /// Where to go on: give it as `cursor` for further stores. `null` on the last page.
    #[schema(required)]
    pub(super) next: Option<String>,
}

/// A store, and how fresh its numbers are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoreStatus<'a> {
    /// The store's id.
    pub(super) store: &'a str,
    /// The store's name.
    pub(super) name: &'a str,
    /// Degrees north.
    pub(super) lat: f64,
    /// Degrees east.
    pub(super) lon: f64,
    /// The store's IANA time zone.
    pub(super) timezone: &'a str,
    pub(super) state: State,
    /// The numbers are those of this moment. `null` for a store that was never seen.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub(super) as_of: Option<Timestamp>,
    /// Whole seconds since `as_of`, when this was answered.
    #[schema(required)]
    pub(super) age_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) withheld: Option<Withheld>,
}

impl<'a> StoreStatus<'a> {
    pub(super) fn new(info: &'a StoreInfo, standing: &crate::availability::Standing) -> StoreStatus<'a> {
        StoreStatus {
            store: info.id.as_str(),
            name: &info.name,
            lat: info.lat,
            lon: info.lon,
            timezone: &info.timezone,
            state: standing.state,
            as_of: standing.as_of.map(Timestamp),
            age_s: standing.age_s,
            withheld: standing.withheld,
        }
    }
}

/// A page of the change feed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changes<'a> {
    /// Cells that changed after the cursor, each as it is now; a cell that changed several times comes once.
    pub(super) changes: Vec<Change<'a>>,
    /// Where to go on: give it as `after`.
    pub(super) next: String,
    /// Whether there is more to read right now.
    pub(super) more: bool,
}

/// A changed cell: one item in one store.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Change<'a> {
    /// The store's id.
    pub(super) store: &'a str,
    /// The item.
    pub(super) sku: &'a str,
    /// Units that may be promised now, as in `GET /v1/availability`. `null` when unknown.
    #[schema(value_type = Option<f64>, required)]
    pub(super) available: Option<Quantity>,
    pub(super) state: State,
    /// The numbers are those of this moment.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub(super) as_of: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) withheld: Option<Withheld>,
}

/// One line of a snapshot. `start` comes first, then `store`, `item` and `level` lines, each item before its levels, and
/// `end` last: a snapshot without `end` was cut off.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum SnapshotLine<'a> {
    Start {
        /// When the snapshot was begun; ages count to this moment.
        #[schema(value_type = String, format = DateTime)]
        answered_at: Timestamp,
    },
    Store(StoreStatus<'a>),
    Item {
        /// The item.
        sku: &'a str,
        /// What the stores call it; empty when none of them has named it.
        name: &'a str,
        /// Its barcodes, as 14 digits.
        #[schema(value_type = Vec<String>)]
        gtins: &'a [Gtin],
    },
    Level {
        /// The store's id.
        store: &'a str,
        /// The item.
        sku: &'a str,
        /// Units that may be promised now, as in `GET /v1/availability`. `null` when unknown.
        #[schema(value_type = Option<f64>, required)]
        available: Option<Quantity>,
    },
    End {
        /// Where the change feed goes on from this snapshot: give it as `after` to `/v1/changes`.
        cursor: String,
        /// How many `item` lines there were.
        items: usize,
        /// How many `level` lines there were.
        levels: usize,
    },
}

/// A word that the hub is well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Healthy {
    /// Always `ok`; a hub that is not well answers 503 with a problem.
    pub(super) status: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(units: i64) -> Option<Quantity> {
        Some(Quantity::from_units(units))
    }

    #[test]
    fn what_can_be_fulfilled_follows_from_what_is_available() {
        let two = Quantity::from_units(2);
        assert_eq!(CanFulfil::of(units(2), two), CanFulfil::All);
        assert_eq!(CanFulfil::of(units(1), two), CanFulfil::Some);
        assert_eq!(CanFulfil::of(units(0), two), CanFulfil::None);
        assert_eq!(CanFulfil::of(None, two), CanFulfil::Unknown);
    }

    #[test]
    fn a_basket_can_be_fulfilled_as_its_lines_can() {
        use CanFulfil::{All, None, Some, Unknown};
        let cases = [
            (vec![All, All], All),
            (vec![All, None], Some),
            (vec![None, None], None),
            (vec![Some, None], Some),
            (vec![Some], Some),
            (vec![All, Unknown], Unknown),
        ];
        for (lines, expected) in cases {
            assert_eq!(CanFulfil::over(lines.clone().into_iter()), expected, "{lines:?}");
        }
    }

    #[test]
    fn bands_change_at_zero_and_five() {
        assert_eq!(Band::of(units(0)), Band::OutOfStock);
        assert_eq!(Band::of(Some(Quantity::from_thousandths(1))), Band::LowStock);
        assert_eq!(Band::of(units(5)), Band::LowStock);
        assert_eq!(Band::of(Some(Quantity::from_thousandths(5001))), Band::InStock);
        assert_eq!(Band::of(None), Band::Unknown);
    }

    #[test]
    fn a_moment_is_written_in_utc() {
        let written = serde_json::to_string(&Timestamp(UnixMillis(1_793_480_400_120))).unwrap();
        assert_eq!(written, "\"2026-10-31T21:00:00.12Z\"");
    }
}
