//! Shopify's `inventory_levels/update` (how much is available, absolute) and `orders/paid` (what was sold).
//!
//! A source takes one of the two: the levels have the sales in them. Each line of an order is a document of its own, named by the order's and the line's
//! id out of the signed body, so an order that comes again counts once whatever its headers say. A level is named by the webhook's id: two
//! levels may carry the same second.

use super::delivery::{Delivery, Found, Given, What};
use super::items::Items;
use crate::config::webhooks::Takes;
use crate::http::{Problem, json};
use serde::Deserialize;
use serde_json::value::RawValue;

pub const SIGNATURE: &str = "x-shopify-hmac-sha256";
pub const TOPIC: &str = "x-shopify-topic";
pub const WEBHOOK_ID: &str = "x-shopify-webhook-id";
pub const LEVELS: &str = "inventory_levels/update";
pub const ORDERS: &str = "orders/paid";

/// Longest number that is looked at: ids have 20 digits, quantities fewer.
const NUMBER_BYTES_MAX: usize = 40;

/// A number exactly as it is written: ids are above 2^53.
#[derive(Deserialize, Clone, Copy)]
#[serde(transparent)]
struct Number<'a>(#[serde(borrow)] &'a RawValue);

impl<'a> Number<'a> {
    fn text(self) -> &'a str {
        let text = self.0.get();
        if text.len() > NUMBER_BYTES_MAX { "a very long number" } else { text.trim_matches('"') }
    }
}

#[derive(Deserialize)]
struct LevelText<'a> {
    #[serde(borrow)]
    inventory_item_id: Option<Number<'a>>,
    #[serde(borrow)]
    location_id: Option<Number<'a>>,
    /// Null: the item is not tracked.
    #[serde(borrow)]
    available: Option<Number<'a>>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct OrderText<'a> {
    #[serde(borrow)]
    id: Option<Number<'a>>,
    #[serde(borrow)]
    location_id: Option<Number<'a>>,
    processed_at: Option<String>,
    cancelled_at: Option<String>,
    test: Option<bool>,
    #[serde(borrow)]
    line_items: Option<Vec<LineText<'a>>>,
}

#[derive(Deserialize)]
struct LineText<'a> {
    #[serde(borrow)]
    id: Option<Number<'a>>,
    #[serde(borrow)]
    variant_id: Option<Number<'a>>,
    sku: Option<String>,
    #[serde(borrow)]
    quantity: Option<Number<'a>>,
    /// Without what was taken out of the order before it was paid.
    #[serde(borrow)]
    current_quantity: Option<Number<'a>>,
}

/// Reads a body whose signature is in order.
pub fn read(
    body: &[u8],
    (topic, webhook): (&str, &str),
    (takes, location): (Takes, &str),
    items: &Items,
) -> Result<Found, Problem> {
    match (topic, takes) {
        (LEVELS, Takes::Levels) => level(body, webhook, location, items),
        (ORDERS, Takes::Orders) => order(body, location, items),
        _ => Ok(Found::NotTaken(topic.to_owned())),
    }
}

fn level(body: &[u8], webhook: &str, location: &str, items: &Items) -> Result<Found, Problem> {
    let level: LevelText<'_> = json::read(body)?;
    let mut delivery = Delivery::default();
    let is_ours = level.location_id.is_some_and(|id| id.text() == location);
    match level.available.filter(|_| is_ours) {
        None => delivery.left_out += 1,
        Some(available) => {
            let given = Given {
                reference: webhook.to_owned(),
                what: What::Figure,
                id: level.inventory_item_id.map(Number::text),
                sku: None,
                quantity: Some(available.text()),
                at: level.updated_at.as_deref(),
            };
            delivery.take(given, items);
        }
    }
    Ok(Found::Delivery(delivery))
}

fn order(body: &[u8], location: &str, items: &Items) -> Result<Found, Problem> {
    let order: OrderText<'_> = json::read(body)?;
    let mut delivery = Delivery::default();
    let lines = order.line_items.unwrap_or_default();
    let is_ours = order.location_id.is_some_and(|id| id.text() == location);
    if !is_ours || order.test == Some(true) || order.cancelled_at.is_some() {
        delivery.left_out += lines.len() as u64;
        return Ok(Found::Delivery(delivery));
    }
    let id = order.id.ok_or_else(|| Problem::invalid("id", "is missing"))?;
    for line in &lines {
        let quantity = line.current_quantity.or(line.quantity).map(Number::text);
        let line_id = line.id.map_or("?", Number::text);
        let given = Given {
            reference: format!("{}/{line_id}", id.text()),
            what: What::Sale,
            // A line that somebody has typed in has no variant.
            id: line.variant_id.map(Number::text).or(line.sku.as_deref()),
            sku: line.sku.as_deref(),
            quantity,
            at: order.processed_at.as_deref(),
        };
        delivery.take(given, items);
    }
    Ok(Found::Delivery(delivery))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::pos::ItemIs;
    use proptest::prelude::*;

    pub(crate) fn level_text(available: &str, at: &str) -> String {
        format!(
            r#"{{"inventory_item_id":271878346596884015,"location_id":24826418,"available":{available},"updated_at":"{at}",
            "admin_graphql_api_id":"gid:\/\/shopify\/InventoryLevel\/1"}}"#
        )
    }

    pub(crate) const ORDER: &str = r#"{"id":820982911946154508,"location_id":24826418,"test":false,"cancelled_at":null,
        "processed_at":"2026-10-31T08:03:22-04:00","name":"9999","line_items":[
          {"id":866550311766439020,"variant_id":808950810,"sku":"4011","quantity":3,"current_quantity":2},
          {"id":141249953214522974,"variant_id":null,"sku":"00012345678905","quantity":1}]}"#;

    fn found(topic: &str, takes: Takes, text: &str) -> Delivery {
        let items = Items::load(None, ItemIs::Any).unwrap();
        match read(text.as_bytes(), (topic, "w-1"), (takes, "24826418"), &items).unwrap() {
            Found::Delivery(delivery) => delivery,
            Found::NotTaken(topic) => panic!("{topic}"),
        }
    }

    #[test]
    fn a_level_is_a_figure_and_its_id_stays_exact() {
        let found = found(LEVELS, Takes::Levels, &level_text("-3", "2026-10-31T08:00:00-04:00"));
        let entry = &found.entries[0];
        assert_eq!((entry.what, entry.thousandths, entry.at.0), (What::Figure, -3_000, 1_793_448_000_000));
        assert_eq!(entry.item, crate::agent::ItemKey::Sku("271878346596884015".parse().unwrap()));
        let documents = entry.documents(&"shop".parse().unwrap()).unwrap();
        let kinds: Vec<_> = documents.iter().map(|of| (of.document.kind.name(), of.is_figure)).collect();
        assert_eq!(kinds, [("count", true), ("adjustment", true)]);
    }

    #[test]
    fn an_order_is_sales_line_by_line_of_what_was_paid() {
        let found = found(ORDERS, Takes::Orders, ORDER);
        let said: Vec<_> =
            found.entries.iter().map(|entry| (entry.reference.as_str(), entry.thousandths)).collect();
        let expected = [
            ("820982911946154508/866550311766439020", 2_000),
            ("820982911946154508/141249953214522974", 1_000),
        ];
        assert_eq!((said, found.entries[0].what), (expected.to_vec(), What::Sale));
    }

    #[test]
    fn a_source_takes_figures_or_sales_and_never_both() {
        let items = Items::load(None, ItemIs::Any).unwrap();
        for (topic, takes) in
            [(LEVELS, Takes::Orders), (ORDERS, Takes::Levels), ("products/update", Takes::Levels)]
        {
            let said = read(b"not even JSON", (topic, "w"), (takes, "1"), &items);
            assert_eq!(said, Ok(Found::NotTaken(topic.to_owned())));
        }
    }

    #[test]
    fn other_places_and_what_is_not_tracked_are_left_out() {
        let text = level_text("5", "2026-10-31T08:00:00-04:00");
        for (from, to) in [("24826418", "1"), ("\"available\":5", "\"available\":null")] {
            assert_eq!(found(LEVELS, Takes::Levels, &text.replace(from, to)).left_out, 1);
        }
        for (from, to) in [
            ("24826418", "1"),
            ("\"location_id\":24826418", "\"location_id\":null"),
            ("\"test\":false", "\"test\":true"),
            ("\"cancelled_at\":null", "\"cancelled_at\":\"2026-10-31T08:00:00-04:00\""),
        ] {
            let found = found(ORDERS, Takes::Orders, &ORDER.replace(from, to));
            assert_eq!((found.left_out, found.entries.len()), (2, 0), "{to}");
        }
    }

    #[test]
    fn a_card_number_in_the_place_of_a_sku_is_not_kept() {
        let found = found(ORDERS, Takes::Orders, &ORDER.replace("\"4011\"", "\"4111 1111 1111 1111\""));
        assert_eq!((found.entries.len(), found.card_numbers), (1, 1));
        assert!(!format!("{found:?}").contains("4111"), "{found:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_delivery_or_a_problem(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let items = Items::load(None, ItemIs::Any).unwrap();
            let _ = read(&bytes, (LEVELS, "w"), (Takes::Levels, "1"), &items);
            let _ = read(&bytes, (ORDERS, "w"), (Takes::Orders, "1"), &items);
        }

        #[test]
        fn a_damaged_body_is_a_delivery_or_a_problem(at in 0..ORDER.len(), byte: u8, number in "[-+]?[0-9]{0,60}(\\.[0-9]{0,60})?(e[0-9]{1,9})?") {
            let items = Items::load(None, ItemIs::Any).unwrap();
            let mut bytes = ORDER.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = read(&bytes, (ORDERS, "w"), (Takes::Orders, "24826418"), &items);
            let text = level_text(&number, "2026-10-31T08:00:00-04:00");
            let _ = read(text.as_bytes(), (LEVELS, "w"), (Takes::Levels, "24826418"), &items);
        }
    }
}
