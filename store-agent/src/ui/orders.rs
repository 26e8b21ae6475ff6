//! The list of pickup orders: what waits for somebody, the most urgent first, and what was finished today.

use super::failure::Failure;
use super::form::Form;
use super::layout::{self, Screen};
use super::texts::{Text, orders as texts, shared};
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk};
use crate::agent::pickup::status;
use crate::http::reading::ask;
use crate::store::reader::OrderView;
use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use sync_protocol::Quantity;
use sync_protocol::UnixMillis;
use sync_protocol::order::lifecycle::Progress;
use sync_protocol::order::{Stage, Status};

/// Orders on one page. The issue's largest store has 500 open ones.
const SHOWN_MAX: u32 = 200;
/// Finished orders that are looked through for those of today.
const ENDED_MAX: u32 = 300;

/// Which part of the list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Open,
    Aside,
    New,
    Picking,
    Ready,
    Done,
}

impl Part {
    const ALL: [Part; 6] = [Part::Open, Part::Aside, Part::New, Part::Picking, Part::Ready, Part::Done];
    /// The columns of the list, in the order in which people should look.
    const COLUMNS: [Part; 4] = [Part::Aside, Part::New, Part::Picking, Part::Ready];

    fn key(self) -> &'static str {
        match self {
            Part::Open => "open",
            Part::Aside => "aside",
            Part::New => "new",
            Part::Picking => "picking",
            Part::Ready => "ready",
            Part::Done => "done",
        }
    }

    fn name(self) -> Text {
        match self {
            Part::Open => texts::ALL_OPEN,
            Part::Aside => texts::ASIDE,
            Part::New => texts::NEW,
            Part::Picking => texts::PICKING,
            Part::Ready => texts::READY,
            Part::Done => texts::DONE,
        }
    }

    /// Where an order stands that waits for somebody.
    fn of(view: &OrderView) -> Part {
        let wants_cancel = view.row.hub.as_ref().is_some_and(|hub| hub.cancel.is_some());
        match view.row.store.stage {
            Stage::Refused | Stage::Cancelled => Part::Aside,
            stage if stage.is_open() && wants_cancel => Part::Aside,
            Stage::Received => Part::New,
            Stage::Accepted => Part::Picking,
            Stage::Ready | Stage::HandedOver => Part::Ready,
        }
    }
}

pub async fn list(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    uri: Uri,
) -> Result<Response, Failure> {
    let words = visitor.words(&desk);
    let query = Form::read(uri.query().unwrap_or_default().as_bytes())?;
    let part = Part::ALL.into_iter().find(|part| part.key() == query.text("show")).unwrap_or(Part::Open);
    let mut open = ask(&desk.reader, |reader| reader.active_orders(SHOWN_MAX + 1)).await?;
    let has_more = open.len() > SHOWN_MAX as usize;
    open.truncate(SHOWN_MAX as usize);
    let midnight = words.midnight();
    let done = ask(&desk.reader, move |reader| reader.ended_orders(midnight, ENDED_MAX)).await?;
    let here = format!("/orders?show={}", part.key());
    let main = html! {
        h1 { (words.say(texts::TITLE)) }
        div #orders hx-get=(here) hx-trigger="orders from:body" hx-select="#orders" hx-swap="outerHTML"
            hx-headers=r#"{"X-Live":"1"}"# {
            (layout::staleness(&desk, &words))
            (tabs(&words, part, &open, done.len()))
            @if has_more {
                p.note { (words.fill(shared::PARTIAL, &[("count", &SHOWN_MAX.to_string())])) }
            }
            @match part {
                Part::Done => (cards(&words, &done, texts::EMPTY_DONE)),
                Part::Open if open.is_empty() => p.empty.big { (words.say(texts::EMPTY_OPEN)) },
                Part::Open => (columns(&words, &open)),
                part => (cards(&words, &of_part(&open, part), texts::EMPTY_PART)),
            }
        }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(words.say(texts::TITLE), "/orders", main)).await)
}

fn of_part(open: &[OrderView], part: Part) -> Vec<OrderView> {
    open.iter().filter(|view| Part::of(view) == part).cloned().collect()
}

fn tabs(words: &Words<'_>, shown: Part, open: &[OrderView], done: usize) -> Markup {
    let count = |part: Part| match part {
        Part::Open => open.len(),
        Part::Done => done,
        part => open.iter().filter(|view| Part::of(view) == part).count(),
    };
    html! {
        nav.tabs aria-label=(words.say(texts::SHOW)) {
            @for part in Part::ALL {
                @if part != Part::Aside || count(part) > 0 {
                    a.tab href={ "/orders?show=" (part.key()) } aria-current=[(part == shown).then_some("true")] {
                        (words.say(part.name())) " " span.count { (count(part)) }
                    }
                }
            }
        }
    }
}

fn columns(words: &Words<'_>, open: &[OrderView]) -> Markup {
    html! {
        div.columns {
            @for part in Part::COLUMNS {
                @let orders = of_part(open, part);
                @if part != Part::Aside || !orders.is_empty() {
                    section.column aria-labelledby={ "part-" (part.key()) } {
                        h2 id={ "part-" (part.key()) } { (words.say(part.name())) " " span.count { (orders.len()) } }
                        (cards(words, &orders, texts::EMPTY_PART))
                    }
                }
            }
        }
    }
}

fn cards(words: &Words<'_>, orders: &[OrderView], empty: Text) -> Markup {
    html! {
        @if orders.is_empty() {
            p.empty { (words.say(empty)) }
        } @else {
            ul.orders { @for view in orders { li { (card(words, view)) } } }
        }
    }
}

/// One order on a list: all of it leads to the order.
#[must_use]
pub fn card(words: &Words<'_>, view: &OrderView) -> Markup {
    let row = &view.row;
    let name = row.hub.as_ref().map_or("", |hub| hub.display_name.as_str());
    let status = status(row);
    let is_open = row.store.stage.is_open();
    let lines = row.store.progress.len();
    let done = row.store.progress.iter().filter(|line| line.left() == Quantity::ZERO).count();
    html! {
        a.order href={ "/orders/" (row.order) } data-status=(status.name()) {
            span.line {
                strong.name { @if name.is_empty() { (words.say(texts::NO_NAME)) } @else { (name) } }
                span.number { (row.order) }
            }
            @if let Some(hub) = row.hub.as_ref().filter(|_| is_open) {
                @if row.store.stage == Stage::Ready {
                    span.line { span { (words.fill(texts::KEPT_UNTIL, &[("time", &words.moment(hub.hold_until))])) } }
                } @else {
                    span.line {
                        span { (words.fill(texts::READY_BY, &[("time", &words.moment(hub.ready_by))])) }
                        (countdown(words, hub.ready_by))
                    }
                }
            } @else if !is_open {
                span.line { span { (words.say(status_words(status))) } span { (words.moment(row.store.since)) } }
            }
            span.line {
                span.soft {
                    @if row.store.stage == Stage::Accepted {
                        (words.fill(texts::PROGRESS, &[("done", &done.to_string()), ("all", &lines.to_string())]))
                    } @else {
                        (words.language.count(lines as u64, texts::LINES_ONE, texts::LINES_MORE))
                    }
                }
                span.next { (words.say(next_step(view))) }
            }
            @if is_at_risk(view) { span.risk { (words.say(texts::AT_RISK)) } }
        }
    }
}

/// How long there is, counting on by itself where scripts run.
#[must_use]
pub fn countdown(words: &Words<'_>, at: UnixMillis) -> Markup {
    html! { time.countdown datetime=(words.machine(at)) data-until=(at) { (words.until(at)) } }
}

/// More of one of its items is set aside for orders than the books say is there.
#[must_use]
pub fn is_at_risk(view: &OrderView) -> bool {
    let waits = |line: &Progress| line.left() > Quantity::ZERO;
    let lines = view.row.store.progress.iter().zip(&view.items);
    let mut short = lines.filter(|(line, _)| waits(line)).filter_map(|(_, item)| item.as_ref());
    view.row.store.stage.is_open() && short.any(|item| item.cell.shortfall().is_positive())
}

fn next_step(view: &OrderView) -> Text {
    let store = &view.row.store;
    match (Part::of(view), store.stage) {
        (Part::Aside, Stage::Refused | Stage::Cancelled) if !store.put_back => texts::NEXT_PUT_BACK,
        (Part::Aside, stage) if stage.is_open() => texts::NEXT_STOP,
        (Part::New, _) => texts::NEXT_START,
        (Part::Picking, _) => texts::NEXT_GO_ON,
        (Part::Ready, Stage::Ready) => texts::NEXT_HAND_OVER,
        _ => texts::NEXT_LOOK,
    }
}

#[must_use]
pub fn status_words(status: Status) -> Text {
    match status {
        Status::Placed | Status::Sent => texts::STATUS_NEW,
        Status::Accepted => texts::STATUS_ACCEPTED,
        Status::Picking => texts::STATUS_PICKING,
        Status::Ready => texts::STATUS_READY,
        Status::Cancelling => texts::STATUS_CANCELLING,
        Status::Collected => texts::STATUS_COLLECTED,
        Status::Refused => texts::STATUS_REFUSED,
        Status::Cancelled => texts::STATUS_CANCELLED,
        Status::Expired => texts::STATUS_EXPIRED,
        Status::Rerouted => texts::STATUS_REROUTED,
    }
}

/// Today's part: the most urgent ones.
pub async fn urgent(desk: &PageDesk, words: &Words<'_>, shown: usize) -> Result<(Markup, usize), Failure> {
    let open = ask(&desk.reader, |reader| reader.active_orders(SHOWN_MAX)).await?;
    let markup = html! { ul.orders { @for view in open.iter().take(shown) { li { (card(words, view)) } } } };
    Ok((markup, open.len()))
}
