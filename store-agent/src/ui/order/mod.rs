//! One order: picking it, reporting what is missing, making it ready, and its ways out. What was just done stands above it, with how
//! far the word of it has come.

pub mod acts;
pub mod refusals;
mod sections;

pub use acts::act;

use super::failure::Failure;
use super::form::Form;
use super::layout::{self, Screen};
use super::people::audit::{self, Entry, Outcome};
use super::texts::{order as texts, orders as list, shared};
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk, orders};
use crate::agent::pickup::status;
use crate::http::reading::ask;
use crate::store::reader::OrderView;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use sync_protocol::order::{OrderId, Stage};

/// How long what became of an act stands above the order.
const TOLD_FOR_MS: u64 = 10 * 60 * 1000;

pub fn number(text: &str) -> Result<OrderId, Failure> {
    text.parse().map_err(|_| Failure::NotFound)
}

pub async fn known(desk: &PageDesk, order: OrderId) -> Result<OrderView, Failure> {
    ask(&desk.reader, move |reader| reader.order(order)).await?.ok_or(Failure::NotFound)
}

pub async fn show(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Path(order): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    let view = known(&desk, number(&order)?).await?;
    let query = Form::read(uri.query().unwrap_or_default().as_bytes())?;
    let told = told(&desk, &visitor, &view, query.text("act")).await?;
    let words = visitor.words(&desk);
    let number = view.row.order.to_string();
    let title = words.fill(texts::TITLE, &[("order", &number)]);
    let row = &view.row;
    let here = format!("/orders/{number}");
    // Either side's word on it, and whether its goods are still there.
    let hub = row.hub.as_ref().map_or(0, |hub| hub.revision);
    let version = format!("{}.{hub}.{}", row.store.revision, view.breach.unwrap_or_default());
    let main = html! {
        p { a.back href="/orders" { "← " (words.say(list::TITLE)) } }
        div #order data-version=(version) hx-get=(here) hx-trigger="orders from:body" hx-select="#order"
            hx-swap="outerHTML" hx-headers=r#"{"X-Live":"1"}"# {
            (heading(&words, &view))
            @if let Some(told) = &told { (notice(&desk, &words, &view, told)) }
            (sections::of(&desk, &visitor, &view))
            (standing(&desk, &words, &view))
        }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(title, "/orders", main)).await)
}

fn heading(words: &Words<'_>, view: &OrderView) -> Markup {
    let row = &view.row;
    let hub = row.hub.as_ref();
    let status = status(row);
    html! {
        div.heading data-status=(status.name()) {
            h1 {
                @match hub.map(|hub| hub.display_name.as_str()).filter(|name| !name.is_empty()) {
                    Some(name) => (words.fill(texts::FOR, &[("name", name)])),
                    None => (words.fill(texts::TITLE, &[("order", &row.order.to_string())])),
                }
            }
            p.line.wrap {
                strong.chip { (words.say(orders::status_words(status))) }
                span.number { (row.order) }
                @if let Some(phone) = hub.map(|hub| hub.phone.as_str()).filter(|phone| !phone.is_empty()) {
                    span.soft { (words.fill(texts::PHONE, &[("phone", phone)])) }
                }
            }
            @if let Some(hub) = hub.filter(|_| row.store.stage.is_open()) {
                p.line.wrap.due {
                    @if row.store.stage == Stage::Ready {
                        span { (words.fill(list::KEPT_UNTIL, &[("time", &words.moment(hub.hold_until))])) }
                    } @else {
                        span { (words.fill(list::READY_BY, &[("time", &words.moment(hub.ready_by))])) }
                        (orders::countdown(words, hub.ready_by))
                    }
                }
            }
            @if hub.is_none() { p.note { (words.say(texts::NO_HUB_HALF)) } }
        }
    }
}

/// What became of the act this page was called with.
struct Told {
    entry: Entry,
    /// Who has changed the order last, where that was on a page of this store.
    faster: Option<String>,
}

async fn told(
    desk: &PageDesk,
    visitor: &Visitor,
    view: &OrderView,
    reference: &str,
) -> Result<Option<Told>, Failure> {
    if reference.is_empty() {
        return Ok(None);
    }
    let (reference, subject) = (reference.to_owned(), view.row.order.to_string());
    let asked = subject.clone();
    let (entry, last) =
        desk.people.ask(move |db| Ok((audit::entry(db, &reference)?, audit::last_done(db, &asked)?))).await?;
    let is_recent = |entry: &Entry| visitor.now.since(entry.at) < TOLD_FOR_MS;
    let own =
        entry.filter(|entry| entry.subject == subject && entry.person == visitor.name() && is_recent(entry));
    Ok(own.map(|entry| Told { entry, faster: last.map(|last| last.person) }))
}

fn notice(desk: &PageDesk, words: &Words<'_>, view: &OrderView, told: &Told) -> Markup {
    let Entry { act, detail, outcome, reference, .. } = &told.entry;
    let (kind, title, said) = match outcome {
        Outcome::Done => ("done", words.say(standing_words(desk, view).0), did(words, act, detail)),
        Outcome::Refused => {
            ("refused", words.say(shared::REFUSED), refusals::words(words, detail, told.faster.as_deref()))
        }
        Outcome::Begun => {
            ("begun", words.say(shared::UNKNOWN_OUTCOME), words.say(shared::UNKNOWN_OUTCOME_WHY).to_owned())
        }
    };
    html! {
        p.outcome data-outcome=(kind) data-reference=(reference) {
            strong { (said) } " " span.soft { (title) }
        }
    }
}

fn did(words: &Words<'_>, act: &str, detail: &str) -> String {
    let what = detail.split(" (approved by").next().unwrap_or(detail);
    let text = match act {
        "accept" => texts::DID_ACCEPT,
        "scan" | "pick" => texts::DID_PICK,
        "short" => texts::DID_SHORT,
        "ready" => texts::DID_READY,
        "hand_over" => texts::DID_HAND_OVER,
        "undo" => texts::DID_UNDO,
        "refuse" => texts::DID_REFUSE,
        "acknowledge_cancel" => texts::DID_ACKNOWLEDGE,
        _ => texts::DID_PUT_BACK,
    };
    words.fill(text, &[("what", what)])
}

/// How far the word of this order has come, and why no further.
fn standing_words(desk: &PageDesk, view: &OrderView) -> (super::texts::Text, Option<super::texts::Text>) {
    let sync = &desk.bulletin.borrow().sync;
    let seq = view.row.seq;
    if !desk.has_hub {
        return (shared::SAVED_HERE, None);
    }
    if seq <= sync.state_acked {
        (shared::ACCEPTED, None)
    } else if seq <= sync.state_sent && sync.link == sync_protocol::link::store::LinkState::Streaming {
        (shared::SENT, Some(shared::SENT_WHY))
    } else {
        (shared::SAVED_HERE, Some(shared::SAVED_HERE_WHY))
    }
}

fn standing(desk: &PageDesk, words: &Words<'_>, view: &OrderView) -> Markup {
    let (how_far, why) = standing_words(desk, view);
    let here = format!("/orders/{}", view.row.order);
    html! {
        p #standing .standing hx-get=(here) hx-trigger="sync from:body" hx-select="#standing" hx-target="this"
            hx-swap="outerHTML" hx-headers=r#"{"X-Live":"1"}"# {
            strong { (words.say(how_far)) } @if let Some(why) = why { ". " (words.say(why)) }
            @if !view.row.store.by.is_empty() {
                " " span.soft {
                    (words.fill(texts::LAST_BY, &[("name", &view.row.store.by), ("time", &words.moment(view.row.store.since))]))
                }
            }
        }
    }
}
