//! Today: what needs somebody now, and whether the rest is in order.

use super::count::{self, task_words::reasons};
use super::failure::Failure;
use super::layout::{self, Screen, waiting};
use super::texts::today as texts;
use super::visitor::Visitor;
use super::web_sales::WebSales;
use super::words::Words;
use super::{Desk, PageDesk, orders};
use crate::http::reading::ask;
use crate::store::reader::TaskView;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

/// The list of orders has the rest.
const ORDERS_SHOWN: usize = 6;
const TASKS_SHOWN: u32 = 6;

pub async fn show(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let words = visitor.words(&desk);
    let tasks = ask(&desk.reader, |reader| reader.open_tasks(TASKS_SHOWN + 1)).await?;
    let sales = WebSales::ask(&desk.reader, visitor.now).await?;
    let (orders, waiting) = orders::urgent(&desk, &words, ORDERS_SHOWN).await?;
    let main = html! {
        h1 { (words.say(texts::TITLE)) }
        div #today hx-get="/" hx-trigger="orders from:body, sync from:body" hx-select="#today" hx-swap="outerHTML"
            hx-headers=r#"{"X-Live":"1"}"# {
            section.panel.orders-today aria-labelledby="needs-somebody" {
                h2 #needs-somebody { (words.say(texts::NEEDS_SOMEBODY)) @if waiting > 0 { " " span.count { (waiting) } } }
                (layout::staleness(&desk, &words))
                @if waiting == 0 { p.empty { (words.say(texts::NONE_WAIT)) } } @else { (orders) }
                @if waiting > ORDERS_SHOWN { p { a.button href="/orders" { (words.say(texts::ALL_ORDERS)) } } }
            }
            (to_count(&words, &tasks))
            @if desk.has_hub { (sales.panel(&words, Some(&visitor))) }
            (head_office(&desk, &words))
        }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(words.say(texts::TITLE), "/", main)).await)
}

fn to_count(words: &Words<'_>, tasks: &[TaskView]) -> Markup {
    let shown = &tasks[..tasks.len().min(TASKS_SHOWN as usize)];
    html! {
        section.panel aria-labelledby="to-count" {
            h2 #to-count { (words.say(texts::TO_COUNT)) }
            @if tasks.is_empty() {
                p.empty { (words.say(texts::NOTHING_TO_COUNT)) }
            } @else {
                ul.rows {
                    @for one in shown {
                        li {
                            strong { (item_name(&one.name, &one.sku)) }
                            span { (reasons(words, &one.task)) }
                        }
                    }
                }
                p { a.button href=(count::PATH) {
                    (words.say(if tasks.len() > shown.len() { texts::COUNT_ALL } else { texts::COUNT }))
                } }
            }
        }
    }
}

/// What an item is called; one that nobody has named goes by its sku.
#[must_use]
pub fn item_name<'a>(name: &'a str, sku: &'a str) -> &'a str {
    if name.is_empty() { sku } else { name }
}

fn head_office(desk: &PageDesk, words: &Words<'_>) -> Markup {
    if !desk.has_hub {
        return html! {};
    }
    let sync = desk.bulletin.borrow().sync.clone();
    let accepted = sync
        .last_accepted
        .map_or_else(|| words.say(texts::NOT_SINCE_START).to_owned(), |at| words.moment(at));
    html! {
        section.panel aria-labelledby="head-office" {
            h2 #head-office { (words.say(texts::HEAD_OFFICE)) }
            dl.facts {
                dt { (words.say(texts::LAST_ACCEPTED)) }
                dd { (accepted) }
                dt { (words.say(texts::WAITING)) }
                dd { (waiting(words, &sync)) }
            }
        }
    }
}
