//! An item: its figures, what the web sees of it and why, what happened to it, who wants it, and what can be done.

mod acts;
mod sections;

pub use acts::{change, enter};
pub use sections::change as change_of;

use super::Desk;
use super::failure::Failure;
use super::items::{self, query};
use super::layout::{self, Screen};
use super::people::audit::{self, Entry};
use super::people::roles::{Deed, May};
use super::texts::items as texts;
use super::texts::{ledger, shared};
use super::told::{self, told};
use super::visitor::Visitor;
use super::web_sales::WebSales;
use super::words::Words;
use crate::explain::{self, Hub};
use crate::http::reading::ask;
use crate::store::orders::OrderRow;
use crate::store::reader::{ItemView, MovementFilter, MovementView};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use sync_protocol::count::CountTask;
use sync_protocol::stock::walk_in_reserve;
use sync_protocol::{Quantity, Sku};

/// So many of its last movements are shown.
const HISTORY: u32 = 10;

/// All that the page shows of an item, read together.
struct Shown {
    view: ItemView,
    task: Option<CountTask>,
    orders: Vec<OrderRow>,
    history: Vec<MovementView>,
}

pub async fn show(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let (words, asked) = (visitor.words(&desk), query(&visitor)?);
    let sku: Sku = asked.text("sku").parse().map_err(|_| Failure::NotFound)?;
    let shown = ask(&desk.reader, move |reader| {
        let Some(at) = reader.item(&sku)? else { return Ok(None) };
        let filter = MovementFilter { sku: Some(sku), ..MovementFilter::default() };
        Ok(Some(Shown {
            task: reader.open_task(at.view.item)?,
            orders: reader.orders_wanting(at.view.item)?,
            history: reader.newest_movements(&filter, None, HISTORY)?.movements,
            view: at.view,
        }))
    })
    .await?;
    let Some(shown) = shown else { return Err(Failure::NotFound) };
    let view = &shown.view;
    let told = told(&desk, &visitor, asked.text("done")).await?.filter(|entry| entry.subject == view.sku);
    let reserve = walk_in_reserve(&desk.reserve, view.rate.per_second(visitor.now));
    let hub = Hub::of(desk.has_hub, &desk.bulletin.borrow().sync.clone(), view, visitor.now);
    let reasons = explain::reasons(view, reserve, hub);
    let sales = WebSales::ask(&desk.reader, visitor.now).await?;
    let once = audit::new_reference(visitor.now)?;
    let main = html! {
        div #item hx-get=(visitor.path) hx-trigger="sync from:body" hx-select="#figures" hx-target="#figures" hx-swap="outerHTML"
            hx-headers=r#"{"X-Live":"1"}"# {
            h1 { (items::name(view)) }
            p.soft { (words.fill(shared::SKU, &[("sku", &view.sku)])) (barcodes(&words, view)) }
            @if view.unnamed { p.note { (words.say(texts::UNNAMED)) } }
            @if let Some(entry) = &told {
                (told::notice(&words, entry, &said(&words, entry, view), Some(told::standing(&desk, view.changed))))
            }
            (layout::staleness(&desk, &words))
            div #figures {
                (sections::figures(&words, view))
                (sections::web(&words, view, &reasons, desk.has_hub.then_some(&sales)))
            }
            div.halves {
                div.stack {
                    (counting(&words, &visitor, &shown))
                    (acts::forms(&words, &visitor, view, &once))
                }
                div.stack {
                    (sections::orders(&words, view, &shown.orders))
                    (sections::history(&words, view, &shown.history))
                }
            }
            form.unseen data-scan="#scanned" method="post" action="/items/scan" aria-hidden="true" {
                (layout::token(&visitor))
                input type="hidden" name="code";
            }
        }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(items::name(view), items::PATH, main)).await)
}

fn barcodes(words: &Words<'_>, view: &ItemView) -> Markup {
    let codes: Vec<String> = view.gtins.iter().map(ToString::to_string).collect();
    html! { @if !codes.is_empty() { " · " (words.fill(texts::BARCODES, &[("codes", &codes.join(", "))])) } }
}

fn counting(words: &Words<'_>, visitor: &Visitor, shown: &Shown) -> Markup {
    if visitor.may(Deed::Count) == May::No {
        return html! {};
    }
    html! {
        section.panel aria-labelledby="counting" {
            h2 #counting { (words.say(ledger::KIND_COUNT)) }
            @if let Some(task) = &shown.task {
                p.stale { (words.say(texts::TO_COUNT)) " " (super::count::task_words::reasons(words, task)) }
                @if !task.remark.is_empty() { p { "“" (task.remark) "”" } }
            }
            form method="post" action="/count/begin" {
                (layout::token(visitor))
                input type="hidden" name="sku" value=(shown.view.sku);
                button.wide type="submit" { (words.say(texts::COUNT)) }
            }
        }
    }
}

/// What an act was, in words; or why it was refused.
fn said(words: &Words<'_>, entry: &Entry, view: &ItemView) -> String {
    if entry.outcome == audit::Outcome::Refused {
        return words.say(acts::refused(&entry.detail)).to_owned();
    }
    let detail = entry.detail.split(" (approved by").next().unwrap_or(&entry.detail);
    let quantity: Option<Quantity> = detail.split(' ').next().and_then(|text| text.parse().ok());
    let amount = quantity.map_or_else(String::new, |quantity| words.amount(quantity, &view.unit));
    let text = match entry.act.as_str() {
        "receipt" => texts::DID_RECEIVE,
        "waste" => texts::DID_WASTE,
        "transfer_in" => texts::DID_TRANSFER_IN,
        "transfer_out" => texts::DID_TRANSFER_OUT,
        "count" => texts::DID_COUNT,
        _ => texts::DID_ADJUST,
    };
    words.fill(text, &[("amount", &amount)])
}
