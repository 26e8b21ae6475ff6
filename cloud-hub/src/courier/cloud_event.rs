//! An event as CloudEvents 1.0 writes it, in its JSON form: what webhooks get, and whoever asks for events.

use crate::storage::sqlite::events::Sequenced;
use serde::Serialize;
use serde_json::value::RawValue;
use sync_protocol::UnixMillis;
use utoipa::ToSchema;

/// Something that has happened to an order: a CloudEvent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderEvent)]
pub struct CloudEvent<'a> {
    /// `1.0`.
    specversion: &'static str,
    /// Given once; what comes again under it is known already.
    id: &'a str,
    /// `urn:shopsmart:hub`.
    source: &'static str,
    /// `order.` and `placed`, `sent`, `accepted`, `picking`, `ready`, `cancelling`, `collected`, `refused`, `cancelled`, `expired` or
    /// `rerouted`: a part stands so from then on. `order.short`: its store will not hand over as much as it was to.
    /// `order.not_accepted`: nobody there has taken it on within 15 minutes of its opening hours; once. `order.at_risk`: more is promised
    /// than the store has; once. `order.put_back`: what was in its bag is back on the shelf; once. `order.closed`: every part has ended;
    /// once for each order.
    #[serde(rename = "type")]
    kind: &'a str,
    /// The order's number.
    subject: String,
    /// When it happened, on the clock of whoever did it.
    #[schema(format = DateTime)]
    time: String,
    /// Grows from event to event: of two events of one order the smaller came first.
    sequence: String,
    /// `application/json`.
    datacontenttype: &'static str,
    /// `order`, `status`, `part`, `store`, `by` (who at the store) and `lines`, each with `sku`, `ordered`, `picked`, `short` and
    /// `handed_over`. Of `order.at_risk` also `cause`: `sale`, `count` or `other`. Of `order.closed`: `order`, `status` and `parts`, each with `status`, `part`, `store` and `lines`.
    #[schema(value_type = Object)]
    data: Option<&'a RawValue>,
}

impl<'a> CloudEvent<'a> {
    #[must_use]
    pub fn of(found: &'a Sequenced) -> CloudEvent<'a> {
        let event = &found.event;
        CloudEvent {
            specversion: "1.0",
            id: &event.id,
            source: "urn:shopsmart:hub",
            kind: &event.kind,
            subject: event.order.to_string(),
            time: time_of(event.at),
            sequence: format!("{:020}", found.seq),
            datacontenttype: "application/json",
            data: serde_json::from_str(&event.body).ok(),
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("text keys and no failing parts")
    }
}

fn time_of(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|time| time.to_string()).unwrap_or_default()
}
