//! The parts of an item's page that only show.

use crate::explain::{Hub, Reasons};
use crate::store::orders::OrderRow;
use crate::store::reader::{ItemView, MovementView};
use crate::ui::items::place;
use crate::ui::ledger_words;
use crate::ui::texts::items as texts;
use crate::ui::texts::{Text, ledger};
use crate::ui::web_sales::WebSales;
use crate::ui::words::Words;
use maud::{Markup, html};
use std::time::Duration;
use sync_protocol::Quantity;
use sync_protocol::record::Kind;

pub fn figures(words: &Words<'_>, view: &ItemView) -> Markup {
    let cell = &view.cell;
    let of = |name: Text, amount: Quantity| (words.say(name), words.amount(amount, &view.unit));
    let all = [
        of(texts::ON_HAND, cell.on_hand()),
        of(texts::SET_ASIDE, cell.claim()),
        of(texts::PROMISED, cell.open()),
        of(texts::FREE, cell.free().max(Quantity::ZERO)),
    ];
    html! {
        dl.figures { @for (name, amount) in all { div { dt { (name) } dd { (amount) } } } }
    }
}

/// What the web sees, and each step to it as a sentence.
pub fn web(words: &Words<'_>, view: &ItemView, reasons: &Reasons, sales: Option<&WebSales>) -> Markup {
    let amount = |quantity| words.amount(quantity, &view.unit);
    let headline = match reasons.sees {
        Some(sees) => words.fill(texts::WEB_SEES_NUMBER, &[("amount", &amount(sees))]),
        None => words.say(texts::WEB_SEES_NOTHING).to_owned(),
    };
    html! {
        section.panel.web aria-labelledby="web" {
            h2 #web { (words.say(texts::WEB_SEES)) }
            p.headline { (headline) }
            ul.sentences { @for sentence in sentences(words, reasons, &amount) { li { (sentence) } } }
            @if let Some(sales) = sales {
                @if !sales.is_open() { p { (words.say(texts::WHY_PAUSED)) } }
                (sales.markup(words))
            }
        }
    }
}

fn sentences(words: &Words<'_>, reasons: &Reasons, amount: &dyn Fn(Quantity) -> String) -> Vec<String> {
    let Reasons { on_hand, kept, claim, open, free, asked_back, short, hub, .. } = reasons;
    let of = |text, values: &[(&str, Quantity)]| {
        let written: Vec<(&str, String)> =
            values.iter().map(|(name, value)| (*name, amount(*value))).collect();
        let values: Vec<(&str, &str)> = written.iter().map(|(name, value)| (*name, value.as_str())).collect();
        words.fill(text, &values)
    };
    let shelf = match (on_hand, kept) {
        (on_hand, _) if *on_hand <= Quantity::ZERO => texts::WHY_NONE,
        (_, kept) if kept.is_zero() => texts::WHY_ALL,
        (on_hand, kept) if on_hand == kept => texts::WHY_KEPT_ALL,
        _ => texts::WHY_KEPT,
    };
    let mut said = vec![of(shelf, &[("on_hand", *on_hand), ("kept", *kept)])];
    if claim.is_zero() && *hub == Hub::None {
        return said.into_iter().chain(on_the_way(words, *hub)).collect();
    }
    let aside = if open.is_positive() { texts::WHY_PROMISED } else { texts::WHY_SET_ASIDE };
    said.push(of(aside, &[("claim", *claim), ("open", *open), ("free", *free)]));
    if asked_back.is_positive() {
        said.push(of(texts::WHY_ASKED_BACK, &[("amount", *asked_back)]));
    }
    if short.is_positive() {
        said.push(of(texts::WHY_SHORT, &[("amount", *short)]));
    }
    said.extend(on_the_way(words, *hub));
    said
}

fn on_the_way(words: &Words<'_>, hub: Hub) -> Vec<String> {
    let say = |text| vec![words.say(text).to_owned()];
    match hub {
        Hub::None => say(texts::WHY_NO_HUB),
        Hub::NeverReached => say(texts::WHY_NEVER),
        Hub::Known { link_up: true, current: true, .. } => Vec::new(),
        Hub::Known { link_up: true, current: false, .. } => say(texts::WHY_ON_THE_WAY),
        Hub::Known { silent_s, current, .. } => {
            let age = silent_s.map(|seconds| words.age(Duration::from_secs(seconds)));
            let mut said = vec![match age {
                Some(age) => words.fill(texts::WHY_SILENT, &[("age", &age)]),
                None => words.say(texts::WHY_SILENT_EVER).to_owned(),
            }];
            said.extend((!current).then(|| words.say(texts::WHY_NOT_REACHED).to_owned()));
            said
        }
    }
}

pub fn orders(words: &Words<'_>, view: &ItemView, orders: &[OrderRow]) -> Markup {
    html! {
        section.panel aria-labelledby="orders" {
            h2 #orders { (words.say(texts::ORDERS)) }
            @if orders.is_empty() { p.empty { (words.say(texts::NO_ORDERS)) } }
            ul.rows {
                @for row in orders {
                    @let wanted = row.store.progress.iter().find(|line| line.item == view.item);
                    li {
                        a.target href=(format!("/orders/{}", row.order)) { (row.order) }
                        @if let Some(line) = wanted {
                            span { (words.fill(texts::WANTED, &[("amount", &words.amount(line.ordered, &view.unit))])) }
                        }
                        @if let Some(hub) = &row.hub {
                            span data-until=(hub.ready_by) { (words.until(hub.ready_by)) }
                        }
                    }
                }
            }
        }
    }
}

pub fn history(words: &Words<'_>, view: &ItemView, history: &[MovementView]) -> Markup {
    html! {
        section.panel aria-labelledby="history" {
            h2 #history { (words.say(texts::HISTORY)) }
            @if history.is_empty() { p.empty { (words.say(texts::NO_HISTORY)) } }
            ul.rows {
                @for line in history {
                    li {
                        span {
                            (words.say(ledger_words::kind(line.kind)))
                            @if let Some(reason) = &line.reason { span.soft { " · " (ledger_words::reason(words, reason)) } }
                        }
                        (change(words, line))
                        time.soft datetime=(words.machine(line.recorded_at)) { (words.moment(line.recorded_at)) }
                    }
                }
            }
            @if !history.is_empty() {
                p { a.target href=(place("/movements", &view.sku)) { (words.say(texts::ALL_HISTORY)) } }
            }
        }
    }
}

/// What a line did to on hand, with its sign; of a count also what was there.
pub fn change(words: &Words<'_>, line: &MovementView) -> Markup {
    let sign = if line.effect.is_positive() { "+" } else { "" };
    html! {
        b.change { (sign) (words.amount(line.effect, &line.unit)) }
        @if line.kind == Kind::Count {
            span.soft.below { (words.fill(ledger::COUNTED, &[("amount", &words.amount(line.quantity, &line.unit))])) }
        }
    }
}
