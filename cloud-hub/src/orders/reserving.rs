//! A reservation as it is asked for: a basket that is kept while a shopper is at the checkout.

use super::placement::{
    Basket, LineBody, Object, PLACEMENT_BYTES_MAX, PickupBody, PlacementRefused, read_json,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Longest time that units are kept without an order, in seconds, counted from now.
pub const RESERVED_SECONDS_MAX: u32 = 15 * 60;

/// What is to be kept for a shopper, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Reserving {
    pub basket: Basket,
    pub seconds: u32,
}

/// What a shopper is about to order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReservationBody {
    /// What is to be kept. Lines of the same sku are added up.
    #[schema(value_type = Vec<LineBody>, min_items = 1, max_items = 50)]
    lines: Option<Vec<Object<LineBody>>>,
    /// Where it will be collected: either `store`, or `near` with `radius_km`.
    #[schema(value_type = PickupBody)]
    pickup: Option<Object<PickupBody>>,
    /// For how many seconds, 1 to 900. Default 900.
    #[schema(minimum = 1, maximum = 900, nullable = false)]
    seconds: Option<u32>,
}

/// How long a reservation is to last from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtensionBody {
    /// For how many seconds from now, 1 to 900. Default 900.
    #[schema(minimum = 1, maximum = 900, nullable = false)]
    seconds: Option<u32>,
}

impl Reserving {
    /// Reads a reservation.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(body: &[u8]) -> Result<Reserving, PlacementRefused> {
        let body: ReservationBody = read(body)?;
        let seconds = seconds(body.seconds)?;
        Ok(Reserving { basket: Basket::checked(body.lines, body.pickup)?, seconds })
    }
}

/// Reads for how many seconds a reservation is to be extended.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read_extension(body: &[u8]) -> Result<u32, PlacementRefused> {
    seconds(read::<ExtensionBody>(body)?.seconds)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, PlacementRefused> {
    if body.len() > PLACEMENT_BYTES_MAX {
        return Err(PlacementRefused::TooLarge { bytes: body.len() });
    }
    let Object(body) = read_json::<Object<T>>(body)?;
    Ok(body)
}

fn seconds(asked: Option<u32>) -> Result<u32, PlacementRefused> {
    let seconds = asked.unwrap_or(RESERVED_SECONDS_MAX);
    if (1..=RESERVED_SECONDS_MAX).contains(&seconds) {
        return Ok(seconds);
    }
    let reason =
        format!("`{seconds}` is not 1 to {RESERVED_SECONDS_MAX}; extend it while the shopper is still there");
    Err(PlacementRefused::invalid("seconds", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASKET: &str = r#""lines":[{"sku":"4011","quantity":2}],"pickup":{"store":"S0042"}"#;

    fn seconds_of(more: &str) -> Result<u32, String> {
        let body = format!("{{{BASKET}{more}}}");
        Reserving::read(body.as_bytes()).map(|read| read.seconds).map_err(|error| error.to_string())
    }

    #[test]
    fn a_quarter_of_an_hour_is_the_most_and_the_default() {
        assert_eq!(seconds_of(""), Ok(900));
        assert_eq!(seconds_of(r#","seconds":1"#), Ok(1));
        for wrong in ["0", "901", "-1", "1.5", "\"9\"", "null_"] {
            let refused = seconds_of(&format!(r#","seconds":{wrong}"#)).expect_err(wrong);
            assert!(refused.contains("seconds") || wrong == "null_", "{refused}");
        }
        assert_eq!(read_extension(b"{}"), Ok(900));
        assert!(read_extension(b"{\"seconds\":1000}").is_err());
        assert!(read_extension(b"").is_err());
    }

    #[test]
    fn a_reservation_is_a_basket_and_nothing_more() {
        let refused = Reserving::read(br#"{"lines":[],"pickup":{"store":"S0042"}}"#).unwrap_err();
        assert_eq!(refused.field(), Some("lines"));
        assert!(seconds_of(r#","customer":{"name":"Anna"}"#).unwrap_err().contains("customer"));
    }
}
