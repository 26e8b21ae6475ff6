//! Square's `inventory.count.updated`: how much of a variation is there now, by location and state.
//!
//! Only `IN_STOCK` is the shelf; the other states (sold, waste, in transit and so on) are where units went. One event may carry several counts, each
//! a document of its own: the event's id and its place in it.

use super::delivery::{Delivery, Found, Given, What};
use super::items::Items;
use crate::http::{Problem, json};
use serde::Deserialize;

const TOPIC: &str = "inventory.count.updated";
pub const SIGNATURE: &str = "x-square-hmacsha256-signature";

#[derive(Deserialize)]
struct EventText {
    event_id: Option<String>,
    data: Option<DataText>,
}

#[derive(Deserialize)]
struct DataText {
    object: Option<ObjectText>,
}

#[derive(Deserialize)]
struct ObjectText {
    inventory_counts: Option<Vec<CountText>>,
}

#[derive(Deserialize)]
struct CountText {
    catalog_object_id: Option<String>,
    catalog_object_type: Option<String>,
    state: Option<String>,
    location_id: Option<String>,
    quantity: Option<String>,
    calculated_at: Option<String>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(rename = "type")]
    topic: Option<String>,
}

/// Reads a body whose signature is in order.
pub fn read(body: &[u8], location: &str, items: &Items) -> Result<Found, Problem> {
    // Other topics have other data: only of this one the shape is known.
    let topic = json::read::<Topic>(body)?.topic.unwrap_or_default();
    if topic != TOPIC {
        return Ok(Found::NotTaken(topic));
    }
    let event: EventText = json::read(body)?;
    let missing = |field: &str| Problem::invalid(field, "is missing");
    let id = event.event_id.ok_or_else(|| missing("event_id"))?;
    let counts = event.data.and_then(|data| data.object).and_then(|object| object.inventory_counts);
    let mut delivery = Delivery::default();
    for (place, count) in counts.ok_or_else(|| missing("data.object.inventory_counts"))?.iter().enumerate() {
        let is_ours = count.location_id.as_deref() == Some(location)
            && count.state.as_deref() == Some("IN_STOCK")
            && count.catalog_object_type.as_deref().is_none_or(|kind| kind == "ITEM_VARIATION");
        if !is_ours {
            delivery.left_out += 1;
            continue;
        }
        let given = Given {
            reference: format!("{id}/{place}"),
            what: What::Figure,
            id: count.catalog_object_id.as_deref(),
            sku: None,
            quantity: count.quantity.as_deref(),
            at: count.calculated_at.as_deref(),
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

    pub(crate) fn event(id: &str, item: &str, quantity: &str, at: &str) -> String {
        format!(
            r#"{{"merchant_id":"M","type":"inventory.count.updated","event_id":"{id}","created_at":"2026-10-31T12:00:01Z",
            "data":{{"type":"inventory","id":"d","object":{{"inventory_counts":[
              {{"calculated_at":"{at}","catalog_object_id":"{item}","catalog_object_type":"ITEM_VARIATION",
                "location_id":"L1","quantity":"{quantity}","state":"IN_STOCK"}}]}}}}}}"#
        )
    }

    fn found(text: &str) -> Delivery {
        let items = Items::load(None, ItemIs::Sku).unwrap();
        match read(text.as_bytes(), "L1", &items).unwrap() {
            Found::Delivery(delivery) => delivery,
            Found::NotTaken(topic) => panic!("{topic}"),
        }
    }

    #[test]
    fn what_is_in_stock_here_is_a_figure() {
        let found = found(&event("e-1", "V1", "11.079999999999998", "2026-10-31T12:00:00.123Z"));
        let entry = &found.entries[0];
        assert_eq!(
            (entry.reference.as_str(), entry.what, entry.thousandths),
            ("e-1/0", What::Figure, 11_080)
        );
        assert_eq!(entry.at.0, 1_793_448_000_123);
    }

    #[test]
    fn other_places_and_states_are_left_out() {
        let text = event("e-1", "V1", "5", "2026-10-31T12:00:00Z");
        for (from, to) in [("\"L1\"", "\"L2\""), ("IN_STOCK", "SOLD"), ("ITEM_VARIATION", "ITEM")] {
            let found = found(&text.replace(from, to));
            assert_eq!((found.entries.len(), found.left_out), (0, 1), "{to}");
        }
    }

    #[test]
    fn another_topic_is_not_taken_whatever_is_in_it() {
        let items = Items::load(None, ItemIs::Sku).unwrap();
        let text = r#"{"type":"order.created","data":7}"#;
        assert_eq!(read(text.as_bytes(), "L1", &items), Ok(Found::NotTaken("order.created".to_owned())));
    }

    #[test]
    fn a_count_that_cannot_be_understood_is_set_aside_and_a_card_number_is_not_kept() {
        let text = event("e-1", "V1", "5", "2026-10-31T12:00:00Z");
        for (from, to) in [
            ("\"5\"", "\"five\""),
            ("\"5\"", "null"),
            ("\"5\"", "\"99999999999\""),
            ("12:00:00Z", "noon"),
            ("\"V1\"", "null"),
        ] {
            let found = found(&text.replace(from, to));
            assert_eq!((found.entries.len(), found.set_aside.len()), (0, 1), "{to}");
        }
        let found = found(&text.replace("V1", "x 4111 1111 1111 1111"));
        assert_eq!((found.card_numbers, found.set_aside.len()), (1, 1));
        assert!(!format!("{:?}", found.set_aside).contains("4111"), "{found:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_delivery_or_a_problem(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let items = Items::load(None, ItemIs::Any).unwrap();
            let _ = read(&bytes, "L1", &items);
        }

        #[test]
        fn a_damaged_event_is_a_delivery_or_a_problem(at in 0..400usize, byte: u8, quantity in "\\PC{0,30}") {
            let items = Items::load(None, ItemIs::Any).unwrap();
            let mut bytes = event("e-1", "V1", "5", "2026-10-31T12:00:00Z").into_bytes();
            let place = at % bytes.len();
            bytes[place] = byte;
            let _ = read(&bytes, "L1", &items);
            let quantity = serde_json::to_string(&quantity).unwrap();
            let text = event("e-1", "V1", "5", "2026-10-31T12:00:00Z").replace("\"5\"", &quantity);
            let _ = read(text.as_bytes(), "L1", &items);
        }
    }
}
