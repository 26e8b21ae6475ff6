//! Counting: what is to be counted, what somebody is counting, what waits for a manager; and the way to a shelf's own screen.

mod record;
mod sheet;
pub mod task_words;

pub use record::{approve, finish};
pub use sheet::{again, enter, give_up, remove, show as show_sheet};

use super::failure::Failure;
use super::form::Form;
use super::guard::redirect;
use super::items::{name, query};
use super::layout::{self, Screen};
use super::people::counts::{self, Beginning, Sheet, SheetState};
use super::people::roles::{Deed, May};
use super::texts::count as texts;
use super::texts::shared;
use super::told;
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk};
use crate::http::reading::ask;
use crate::store::reader::{ItemView, TaskView};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use std::collections::BTreeMap;
use sync_protocol::{Sku, UnixMillis};

pub const PATH: &str = "/count";
/// So many tasks are shown at once.
const TASKS_MAX: u32 = 50;

pub async fn show(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let (words, asked) = (visitor.words(&desk), query(&visitor)?);
    let mut tasks = ask(&desk.reader, |reader| reader.open_tasks(TASKS_MAX + 1)).await?;
    let more = tasks.len() > TASKS_MAX as usize;
    tasks.truncate(TASKS_MAX as usize);
    let open = desk.people.ask(|db| counts::open(db)).await?;
    let names = names(&desk, &open).await?;
    let of = |state| open.iter().filter(move |sheet: &&Sheet| sheet.state == state);
    let unknown = asked.text("unknown");
    let main = html! {
        h1 { (words.say(texts::TITLE)) }
        (layout::staleness(&desk, &words))
        div #count-said {
            @if !unknown.is_empty() {
                (told::refusal(&visitor, &words.fill(texts::UNKNOWN_CODE, &[("code", unknown)])))
            }
        }
        div #counts.columns hx-get=(PATH) hx-trigger="sync from:body" hx-select="#lists" hx-target="#lists" hx-swap="outerHTML"
            hx-headers=r#"{"X-Live":"1"}"# {
            @if visitor.may(Deed::Count) != May::No { (begin_form(&words, &visitor)) }
            div #lists.stack {
                (sheets(&words, texts::WAITING, of(SheetState::Waiting), &names))
                (task_list(&words, &visitor, &tasks, more))
                (sheets(&words, texts::COUNTING, of(SheetState::Counting), &names))
            }
        }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(words.say(texts::TITLE), PATH, main)).await)
}

/// What the items of these counts are called.
async fn names(desk: &PageDesk, sheets: &[Sheet]) -> Result<BTreeMap<String, String>, Failure> {
    let skus: Vec<Sku> = sheets.iter().filter_map(|sheet| sheet.sku.parse().ok()).collect();
    let items = ask(&desk.reader, move |reader| {
        skus.iter().map(|sku| reader.item(sku)).collect::<rusqlite::Result<Vec<_>>>()
    })
    .await?;
    Ok(items.into_iter().flatten().map(|at| (at.view.sku.clone(), name(&at.view).to_owned())).collect())
}

fn begin_form(words: &Words<'_>, visitor: &Visitor) -> Markup {
    html! {
        section.panel aria-labelledby="begin" {
            h2 #begin { (words.say(texts::BEGIN)) }
            form method="post" action="/count/begin" data-scan="#count-said" {
                (layout::token(visitor))
                label for="code" { (words.say(texts::BEGIN_LABEL)) }
                input #code name="code" maxlength="64" autocomplete="off" autocapitalize="off" spellcheck="false" required;
                div.buttons {
                    button.primary type="submit" { (words.say(texts::BEGIN_BUTTON)) }
                    a.button href=(super::items::PATH) { (words.say(texts::BY_NAME)) }
                }
            }
        }
    }
}

fn task_list(words: &Words<'_>, visitor: &Visitor, tasks: &[TaskView], more: bool) -> Markup {
    html! {
        section.panel aria-labelledby="tasks" {
            h2 #tasks { (words.say(texts::TASKS)) }
            @if tasks.is_empty() { p.empty { (words.say(texts::NO_TASKS)) } }
            @if more {
                p.note { (words.fill(texts::TASKS_FIRST, &[("count", &tasks.len().to_string())])) }
            }
            ul.rows {
                @for view in tasks { li { (task(words, visitor, view)) } }
            }
        }
    }
}

fn task(words: &Words<'_>, visitor: &Visitor, view: &TaskView) -> Markup {
    let called = if view.name.is_empty() { &view.sku } else { &view.name };
    let waited = words.since(UnixMillis(view.task.opened_at));
    html! {
        div.about {
            strong { (called) }
            span.soft { (words.fill(shared::SKU, &[("sku", &view.sku)])) " · " (words.fill(texts::WAITS_SINCE, &[("age", &waited)])) }
            span { (task_words::reasons(words, &view.task)) }
            @if !view.task.remark.is_empty() { span { "“" (view.task.remark) "”" } }
        }
        @if visitor.may(Deed::Count) != May::No {
            form method="post" action="/count/begin" {
                (layout::token(visitor))
                input type="hidden" name="sku" value=(view.sku);
                button type="submit" aria-label=(format!("{}: {called}", words.say(texts::TITLE))) { (words.say(texts::TITLE)) }
            }
        }
    }
}

fn sheets<'a>(
    words: &Words<'_>,
    title: super::texts::Text,
    sheets: impl Iterator<Item = &'a Sheet>,
    names: &BTreeMap<String, String>,
) -> Markup {
    let sheets: Vec<&Sheet> = sheets.collect();
    html! {
        @if !sheets.is_empty() {
            section.panel {
                h2 { (words.say(title)) }
                ul.rows {
                    @for sheet in sheets {
                        @let called = names.get(&sheet.sku).unwrap_or(&sheet.sku);
                        li {
                            div.about {
                                strong { (called) }
                                span.soft { (words.fill(texts::BY, &[("person", &sheet.person), ("time", &words.moment(sheet.opened_at))])) }
                            }
                            a.button href=(place(sheet.id)) aria-label=(format!("{}: {called}", words.say(texts::OPEN))) { (words.say(texts::OPEN)) }
                        }
                    }
                }
            }
        }
    }
}

/// Where a count is shown.
fn place(sheet: i64) -> String {
    format!("/count/sheet?id={sheet}")
}

/// `POST /count/begin`: of the item named, scanned or typed. Where the ledger stands now is kept: what is sold from here on is.
pub async fn begin(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    if visitor.may(Deed::Count) == May::No {
        return Err(Failure::NotAllowed);
    }
    let code = if form.has("sku") { form.text("sku") } else { form.text("code") }.to_owned();
    let asked = code.clone();
    let found = ask(&desk.reader, move |reader| {
        let Some(item) = reader.item_named(&asked)? else { return Ok(None) };
        let blind = reader.open_task(item.item)?.is_some_and(|task| task.blind);
        Ok(Some((item, blind, reader.position()?)))
    })
    .await?;
    let Some((ItemView { sku, .. }, blind, position)) = found else {
        let code: String = form_urlencoded::byte_serialize(code.as_bytes()).collect();
        return Ok(redirect(&format!("{PATH}?unknown={code}")));
    };
    let (person, device) = (visitor.name().to_owned(), visitor.device_name().to_owned());
    let (beginning, now) = (Beginning { sku, position, blind, person, device }, visitor.now);
    let id = desk.people.ask(move |db| counts::begin(db, &beginning, now)).await?;
    Ok(redirect(&place(id)))
}
