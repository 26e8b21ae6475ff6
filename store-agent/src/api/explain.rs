//! Says in plain words what the web sees of an item and why.

use crate::explain::{self, Hub, Reasons};
use crate::store::reader::ItemView;
use serde::Serialize;
use std::fmt::Write;
use sync_protocol::Quantity;

/// What the web sees of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Web {
    /// What the hub may promise, by what this store knows; null where the hub knows nothing of this store.
    pub sees: Option<Quantity>,
    pub because: String,
    /// The item's last change here has not been confirmed by the hub yet.
    pub pending: bool,
}

/// What the web sees, and every step that leads there.
#[must_use]
pub fn web(view: &ItemView, reserve: Quantity, hub: Hub) -> Web {
    let reasons = explain::reasons(view, reserve, hub);
    let mut because = shelf(&reasons, unit(view));
    because.push_str(&set_aside(&reasons));
    because.push_str(&on_the_way(hub));
    Web { sees: reasons.sees, because, pending: reasons.pending }
}

/// From the books to what may be set aside.
fn shelf(reasons: &Reasons, unit: String) -> String {
    let Reasons { on_hand, kept, .. } = reasons;
    if *on_hand <= Quantity::ZERO {
        return format!("The books say {on_hand}{unit} on hand, so nothing more is set aside for the web.");
    }
    if kept.is_zero() {
        return format!(
            "The books say {on_hand}{unit} on hand, and nothing needs to be kept for walk-in customers."
        );
    }
    let all = if kept == on_hand { ", which is all of it" } else { "" };
    format!("The books say {on_hand}{unit} on hand; {kept}{unit} are kept for walk-in customers{all}.")
}

/// From what is set aside to what can still be promised.
fn set_aside(reasons: &Reasons) -> String {
    let Reasons { claim, open, free, asked_back, short, .. } = reasons;
    let mut text = format!(" {claim} are set aside for the web");
    if open.is_positive() {
        let _ = write!(text, ", {open} of them promised to orders");
    }
    let _ = write!(text, ": the web can still promise {free}.");
    if asked_back.is_positive() {
        let _ = write!(text, " {asked_back} of those were asked back; they count until the hub confirms.");
    }
    if short.is_positive() {
        let _ = write!(text, " Short by {short}: more was sold here than was left beside the web's part.");
    }
    text
}

fn on_the_way(hub: Hub) -> String {
    match hub {
        Hub::None => " This agent has no hub, so the web sees nothing of this store.".to_owned(),
        Hub::NeverReached => {
            " The hub has never heard from this store, so the web sees nothing of it yet.".to_owned()
        }
        Hub::Known { current: true, link_up: true, .. } => String::new(),
        Hub::Known { current: false, link_up: true, .. } => {
            " The last change is on its way; until then the web goes by the number before.".to_owned()
        }
        Hub::Known { current, silent_s, .. } => {
            let since = silent_s
                .map_or_else(|| "since this agent started".to_owned(), |seconds| format!("for {seconds} s"));
            let stale = if current { "" } else { "; what changed since has not reached the web" };
            format!(" The hub has not been heard {since}{stale}.")
        }
    }
}

fn unit(view: &ItemView) -> String {
    if view.unit == "each" { String::new() } else { format!(" {}", view.unit) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_protocol::stock::{Cell, HubHalf, SalesRate, StoreHalf};
    use sync_protocol::{ItemNo, Seq};

    const LIVE: Hub = Hub::Known { link_up: true, silent_s: Some(1), current: true };

    fn item(on_hand: u64, granted: u64, promised: u64) -> ItemView {
        ItemView {
            item: ItemNo(1),
            sku: "4011".to_owned(),
            gtins: Vec::new(),
            name: "Bananas".to_owned(),
            unit: "kg".to_owned(),
            unnamed: false,
            cell: Cell {
                store: StoreHalf { in_: on_hand, granted, ..StoreHalf::default() },
                hub: HubHalf { promised, ..HubHalf::default() },
            },
            rate: SalesRate::default(),
            changed: Seq(1),
        }
    }

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn the_number_comes_with_its_reasons() {
        let web = web(&item(12_000, 9_000, 2_000), quantity("3"), LIVE);
        assert_eq!(web.sees, Some(quantity("7")));
        assert!(!web.pending);
        assert_eq!(
            web.because,
            "The books say 12 kg on hand; 3 kg are kept for walk-in customers. 9 are set aside for the web, \
             2 of them promised to orders: the web can still promise 7."
        );
    }

    #[test]
    fn a_store_the_hub_never_heard_of_shows_nothing_to_the_web() {
        for hub in [Hub::None, Hub::NeverReached] {
            let web = web(&item(12_000, 9_000, 0), Quantity::ZERO, hub);
            assert_eq!(web.sees, None, "{hub:?}");
            assert!(web.because.contains("sees nothing of"), "{}", web.because);
        }
    }

    #[test]
    fn a_breach_and_a_recall_are_told() {
        let mut short = item(1_000, 9_000, 2_000);
        short.cell.store.recalled = 6_000;
        let web = web(&short, Quantity::ZERO, LIVE);
        assert!(web.because.contains("6 of those were asked back"), "{}", web.because);
        assert!(web.because.contains("Short by 8"), "{}", web.because);
    }

    #[test]
    fn a_silent_hub_is_told_with_its_age() {
        let hub = Hub::Known { link_up: false, silent_s: Some(40), current: false };
        let web = web(&item(12_000, 9_000, 0), Quantity::ZERO, hub);
        assert!(web.pending && web.because.contains("has not been heard for 40 s"), "{}", web.because);
    }
}
