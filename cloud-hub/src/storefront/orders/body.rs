//! How orders are written.

use super::OrderKeys;
use crate::hub::orders::{OrderView, PartView};
use crate::storage::Happening;
use crate::storefront::answer::Timestamp;
use serde::Serialize;
use sync_protocol::order::{Cancel, OrderId, ShortReason, Status};
use sync_protocol::pickup_code::PickupCode;
use sync_protocol::{ItemNo, Quantity, Sku, UnixMillis};
use utoipa::ToSchema;

/// A pickup order as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(in crate::storefront) struct OrderBody {
    /// The order's number, for shopper and store.
    #[schema(example = "K7M29-QX4TB")]
    order: String,
    /// When it was promised.
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
    /// As it came with the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    payment_reference: Option<String>,
    /// What each store does of it.
    parts: Vec<PartBody>,
    /// What was ordered and no store hands over: refused, or not found.
    owed: Vec<OwedBody>,
    /// Where something is owed that another store may have: `offered` to the shopper, or `looking` for one by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rerouting: Option<&'static str>,
    /// What has happened, in the order in which the hub heard of it.
    timeline: Vec<HappeningBody>,
}

/// Some units of an item that a shopper does not get at the stores that have the order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwedLine)]
struct OwedBody {
    /// The item.
    sku: String,
    /// How much of it.
    #[schema(value_type = f64)]
    quantity: Quantity,
}

/// What one store does of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderPart)]
struct PartBody {
    /// The number the store knows it by; the order's own where nothing was split.
    order: String,
    /// The store's id.
    store: String,
    /// `placed`, `sent`, `accepted`, `picking`, `ready`, `cancelling`, `collected`, `refused`, `cancelled`, `expired` or
    /// `rerouted`.
    status: &'static str,
    /// When it is to be ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    ready_by: Option<Timestamp>,
    /// Until when it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    hold_until: Option<Timestamp>,
    /// For a QR code: signed by the hub, so that the store can check it with its line down. Absent once the part has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pickup_code: Option<String>,
    /// For saying or typing. Absent once the part has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    short_code: Option<String>,
    /// More of an item is promised to orders than the store has: tell the shopper before the way there.
    at_risk: bool,
    /// What took it: `sale`, `count` (it found fewer) or `other`. Absent until the store has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    at_risk_because: Option<&'static str>,
    /// Why the store was asked to end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cancel: Option<&'static str>,
    /// Why the store refused it, in its words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refused_because: Option<String>,
    /// What was ordered of this store, and how far it is.
    lines: Vec<LineBody>,
}

/// One line of a part.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderLine)]
struct LineBody {
    /// The item; absent where a restored hub can't name it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sku: Option<String>,
    /// How much the shopper ordered.
    #[schema(value_type = f64)]
    ordered: Quantity,
    /// How much is in the bag.
    #[schema(value_type = f64)]
    picked: Quantity,
    /// What will not be handed over.
    #[schema(value_type = f64)]
    short: Quantity,
    /// `not_found`, `damaged`, `wrong_shelf` or `not_taken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    short_because: Option<&'static str>,
}

/// One line of the timeline.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderHappening)]
struct HappeningBody {
    /// On the clock of whoever did it.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The store of the part it is about.
    store: String,
    /// The number of that part.
    order: String,
    /// How the part stood from then on.
    status: String,
    /// Who at the store.
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::storefront) struct OrderList {
    /// By number.
    orders: Vec<OrderBody>,
    /// `after` of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// Not all of an order can be promised.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InsufficientAvailability)]
pub(in crate::storefront) struct ShortfallBody {
    /// `urn:shopsmart:problem:insufficient-availability`.
    #[serde(rename = "type")]
    pub(super) type_uri: String,
    /// The kind of problem in words.
    pub(super) title: &'static str,
    /// The HTTP status, once more.
    pub(super) status: u16,
    /// What to do about it.
    pub(super) detail: String,
    /// At the store that was asked for, or the best one near.
    pub(super) lines: Vec<LackBody>,
    /// The nearest stores that have all of it.
    pub(super) alternatives: Vec<AlternativeBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LackingLine)]
pub(super) struct LackBody {
    /// The item.
    pub(super) sku: String,
    /// How much was ordered.
    #[schema(value_type = f64)]
    pub(super) asked: Quantity,
    /// How much can be promised.
    #[schema(value_type = f64)]
    pub(super) available: Quantity,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlternativeStore)]
pub(super) struct AlternativeBody {
    /// The store's id.
    pub(super) store: String,
    /// Its name, for people.
    pub(super) name: String,
    /// From the shopper, or from the store that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) distance_km: Option<f64>,
}

impl OrderBody {
    pub(super) fn of(view: &OrderView, keys: &OrderKeys) -> OrderBody {
        let content = &view.shop.content;
        OrderBody {
            order: view.shop.order.to_string(),
            placed_at: Timestamp(UnixMillis(content.placed_at)),
            payment_reference: content.payment_reference.clone(),
            parts: view.parts.iter().map(|part| PartBody::of(part, keys)).collect(),
            owed: view.owed().into_iter().map(OwedBody::of).collect(),
            rerouting: view.rerouting().name(),
            timeline: content.timeline.iter().map(HappeningBody::of).collect(),
        }
    }
}

impl OwedBody {
    fn of((sku, quantity): (Sku, Quantity)) -> OwedBody {
        OwedBody { sku: sku.to_string(), quantity }
    }
}

impl OrderList {
    /// `views`: one more than `limit` where there are more.
    pub(super) fn of(views: &[OrderView], limit: usize, keys: &OrderKeys) -> OrderList {
        let page = &views[..views.len().min(limit)];
        let next = page.last().filter(|_| views.len() > limit).map(|last| last.shop.order.to_string());
        OrderList { orders: page.iter().map(|view| OrderBody::of(view, keys)).collect(), next }
    }
}

impl PartBody {
    fn of(part: &PartView, keys: &OrderKeys) -> PartBody {
        let hub = part.hub.as_ref();
        let open = hub.filter(|_| !part.status.is_final() && part.status != Status::Cancelling);
        let code = open.map(|hub| PickupCode {
            store: part.store.clone(),
            order: part.order,
            valid_until: hub.hold_until,
            lines: hub.lines.clone(),
        });
        let refused = part.half.as_ref().filter(|_| part.status == Status::Refused);
        PartBody {
            order: part.order.to_string(),
            store: part.store.to_string(),
            status: part.status.name(),
            ready_by: hub.map(|hub| Timestamp(hub.ready_by)),
            hold_until: hub.map(|hub| Timestamp(hub.hold_until)),
            short_code: code.as_ref().map(|code| keys.pickup.short_code(code.order).to_string()),
            pickup_code: code.map(|code| keys.pickup.sign(&code)),
            at_risk: part.is_at_risk,
            at_risk_because: part.at_risk_because,
            cancel: hub.and_then(|hub| hub.cancel).map(Cancel::name),
            refused_because: refused.map(|half| half.reason.clone()),
            lines: lines_of(part),
        }
    }
}

fn lines_of(part: &PartView) -> Vec<LineBody> {
    let sku =
        |item: ItemNo| part.items.iter().find(|(number, _)| *number == item.0).map(|(_, sku)| sku.clone());
    match (&part.half, &part.hub) {
        (Some(half), _) => half
            .progress
            .iter()
            .map(|line| LineBody {
                sku: sku(line.item),
                ordered: line.ordered,
                picked: line.picked,
                short: line.short,
                short_because: line.why.map(ShortReason::name),
            })
            .collect(),
        (None, Some(hub)) => hub
            .lines
            .iter()
            .map(|line| LineBody {
                sku: sku(line.item),
                ordered: line.quantity,
                picked: Quantity::ZERO,
                short: Quantity::ZERO,
                short_because: None,
            })
            .collect(),
        (None, None) => Vec::new(),
    }
}

impl HappeningBody {
    fn of(happening: &Happening) -> HappeningBody {
        let order = OrderId::from_number(happening.order);
        HappeningBody {
            at: Timestamp(UnixMillis(happening.at)),
            store: happening.store.clone(),
            order: order.map(|order| order.to_string()).unwrap_or_default(),
            status: happening.status.clone(),
            by: happening.by.clone(),
        }
    }
}
