//! An order as the store's people see it.

use crate::agent::pickup;
use crate::api::movements::rfc3339;
use crate::store::reader::{ItemView, OrderView};
use serde::Serialize;
use sync_protocol::order::{Cancel, Progress, Proof, ShortReason, Stage};
use sync_protocol::{Gtin, Quantity};

#[derive(Debug, Serialize)]
pub struct OrderText {
    order: String,
    status: &'static str,
    /// Give it back with an act, and the act is refused if somebody else was faster.
    revision: u32,
    /// Null until head office's half has come.
    placed_at: Option<String>,
    ready_by: Option<String>,
    hold_until: Option<String>,
    display_name: String,
    phone: String,
    lines: Vec<LineText>,
    /// Why head office wants the order to end, while the store has not answered.
    cancel_wanted: Option<&'static str>,
    /// What was picked has to go back to its shelf.
    put_back_due: bool,
    /// More of one of its items is promised to orders than the books say is there.
    at_risk: bool,
    /// What took it: `sale`, `count` or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_risk_because: Option<&'static str>,
    /// When and by whom it came to where it is.
    since: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
    /// Why the store has refused it.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// What showed that it went to the right person.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct LineText {
    sku: Option<String>,
    name: String,
    unit: String,
    gtins: Vec<Gtin>,
    ordered: Quantity,
    picked: Quantity,
    short: Quantity,
    why: Option<&'static str>,
    at_risk: bool,
}

impl From<OrderView> for OrderText {
    fn from(view: OrderView) -> OrderText {
        let status = pickup::status(&view.row).name();
        let OrderView { row, items, breach } = view;
        let (hub, store) = (row.hub, row.store);
        let lines: Vec<LineText> =
            store.progress.iter().zip(items).map(|(line, item)| line_text(line, item)).collect();
        let is_open = store.stage.is_open();
        let cancel = hub.as_ref().and_then(|hub| hub.cancel).filter(|_| is_open);
        OrderText {
            order: row.order.to_string(),
            status,
            revision: store.revision,
            placed_at: hub.as_ref().map(|hub| rfc3339(hub.placed_at)),
            ready_by: hub.as_ref().map(|hub| rfc3339(hub.ready_by)),
            hold_until: hub.as_ref().map(|hub| rfc3339(hub.hold_until)),
            cancel_wanted: cancel.map(why_cancelled),
            put_back_due: matches!(store.stage, Stage::Refused | Stage::Cancelled) && !store.put_back,
            at_risk: is_open && lines.iter().any(|line| line.at_risk),
            at_risk_because: breach.filter(|_| is_open && lines.iter().any(|line| line.at_risk)),
            lines,
            since: rfc3339(store.since),
            by: store.by,
            reason: store.reason,
            proof: store.proof.map(Proof::name),
            display_name: hub.as_ref().map(|hub| hub.display_name.clone()).unwrap_or_default(),
            phone: hub.map(|hub| hub.phone).unwrap_or_default(),
        }
    }
}

fn line_text(line: &Progress, item: Option<ItemView>) -> LineText {
    let at_risk = item.as_ref().is_some_and(|item| item.cell.lacking().is_positive());
    let (sku, name, unit, gtins) = match item {
        Some(item) => (Some(item.sku), item.name, item.unit, item.gtins),
        None => (None, String::new(), String::new(), Vec::new()),
    };
    let (ordered, picked, short) = (line.ordered, line.picked, line.short);
    LineText { sku, name, unit, gtins, ordered, picked, short, why: line.why.map(ShortReason::name), at_risk }
}

fn why_cancelled(why: Cancel) -> &'static str {
    match why {
        Cancel::Shopper => "shopper",
        Cancel::HeadOffice => "head_office",
        Cancel::Expired => "expired",
        Cancel::Rerouted => "rerouted",
        Cancel::Unpaid => "unpaid",
    }
}
