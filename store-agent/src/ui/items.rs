//! Finding an item: by its name as people type it, its number, or a scan, which goes straight to it.

use super::Desk;
use super::failure::Failure;
use super::form::Form;
use super::guard::redirect;
use super::layout::{self, Screen};
use super::texts::items as texts;
use super::texts::shared;
use super::told;
use super::visitor::Visitor;
use super::words::Words;
use crate::http::reading::ask;
use crate::store::reader::{ItemView, Searched};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};

/// So many are shown at once: as many as a hurried person looks through.
const SHOWN_MAX: u32 = 30;
/// Longer searches find nothing that a shorter one would not.
const TEXT_BYTES_MAX: usize = 200;

pub const PATH: &str = "/items";

/// Where an item is shown.
#[must_use]
pub fn place(path: &str, sku: &str) -> String {
    let sku: String = form_urlencoded::byte_serialize(sku.as_bytes()).collect();
    format!("{path}?sku={sku}")
}

/// What an item is called; one that nobody has named goes by its number.
#[must_use]
pub fn name(item: &ItemView) -> &str {
    if item.name.is_empty() { &item.sku } else { &item.name }
}

/// The fields after the `?` of where the visitor is.
pub fn query(visitor: &Visitor) -> Result<Form, Failure> {
    Form::read(visitor.path.split_once('?').map_or("", |(_, query)| query).as_bytes())
}

pub async fn show(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (words, asked) = (visitor.words(&desk), query(&visitor)?);
    let text = asked.text("q").to_owned();
    if text.len() > TEXT_BYTES_MAX {
        return Err(Failure::Unreadable);
    }
    let is_typing = headers.contains_key("hx-request");
    if !is_typing && !text.is_empty() {
        let code = text.clone();
        // Enter behind a whole number or a scan: there is nothing to choose from.
        if let Some(item) = ask(&desk.reader, move |reader| reader.item_named(&code)).await? {
            return Ok(redirect(&place("/item", &item.sku)));
        }
    }
    let after = asked.text("after").to_owned();
    let wanted = text.clone();
    let found = ask(&desk.reader, move |reader| {
        if wanted.is_empty() {
            let mut items = reader.stock("", &after, SHOWN_MAX + 1)?;
            let more = items.len() > SHOWN_MAX as usize;
            items.truncate(SHOWN_MAX as usize);
            return Ok(Searched { items, more });
        }
        reader.search(&wanted, SHOWN_MAX)
    })
    .await?;
    let unknown = asked.text("unknown");
    let main = html! {
        h1 { (words.say(texts::TITLE)) }
        (layout::staleness(&desk, &words))
        div #scanned {
            @if !unknown.is_empty() {
                (told::refusal(&visitor, &words.fill(texts::UNKNOWN_CODE, &[("code", unknown)])))
            }
        }
        form.search role="search" method="get" action=(PATH) {
            label for="q" { (words.say(texts::SEARCH)) }
            div.together {
                input #q name="q" type="search" value=(text) maxlength="100" autocomplete="off" autocapitalize="off"
                    spellcheck="false" enterkeyhint="search" aria-describedby="q-hint"
                    hx-get=(PATH) hx-trigger="input changed delay:150ms" hx-target="#found" hx-select="#found"
                    hx-swap="outerHTML" hx-select-oob="#found-count" hx-sync="this:replace";
                button.primary type="submit" { (words.say(texts::SEARCH_BUTTON)) }
            }
            p #q-hint .hint { (words.say(texts::SEARCH_HINT)) }
        }
        form.unseen data-scan="#scanned" method="post" action="/items/scan" aria-hidden="true" {
            (layout::token(&visitor))
            input type="hidden" name="code";
        }
        p #found-count .soft role="status" { (counted(&words, &text, &found)) }
        (list(&words, &text, &found))
    };
    Ok(layout::page(&desk, &visitor, Screen::new(words.say(texts::TITLE), PATH, main)).await)
}

/// A scanner's code: straight to its item.
pub async fn scan(
    State(desk): Desk,
    Extension(_): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let code = form.text("code").to_owned();
    if code.is_empty() || code.len() > TEXT_BYTES_MAX {
        return Err(Failure::Unreadable);
    }
    let asked = code.clone();
    let found = ask(&desk.reader, move |reader| reader.item_named(&asked)).await?;
    Ok(redirect(&match found {
        Some(item) => place("/item", &item.sku),
        None => {
            let code: String = form_urlencoded::byte_serialize(code.as_bytes()).collect();
            format!("{PATH}?unknown={code}")
        }
    }))
}

fn counted(words: &Words<'_>, text: &str, found: &Searched) -> String {
    let count = found.items.len() as u64;
    match (found.more, count, text) {
        (true, _, "") => String::new(),
        (true, ..) => words.fill(texts::FOUND_FIRST, &[("count", &count.to_string())]),
        (false, 0, "") => words.say(texts::NO_ITEMS).to_owned(),
        (false, 0, _) => words.fill(texts::FOUND_NONE, &[("text", text)]),
        (false, ..) => words.language.count(count, texts::FOUND_ONE, texts::FOUND_MORE),
    }
}

fn list(words: &Words<'_>, text: &str, found: &Searched) -> Markup {
    html! {
        div #found {
            @if !found.items.is_empty() {
                ul.hits {
                    @for item in &found.items { li { (row(words, item)) } }
                }
            }
            @if found.more && text.is_empty() && let Some(last) = found.items.last() {
                p { a.button href=(format!("{PATH}?after={}", form_urlencoded::byte_serialize(last.sku.as_bytes()).collect::<String>())) { (words.say(texts::NEXT)) } }
            }
        }
    }
}

fn row(words: &Words<'_>, item: &ItemView) -> Markup {
    let cell = &item.cell;
    let promised = cell.open();
    html! {
        a.hit href=(place("/item", &item.sku)) {
            span.hit-name {
                strong { (name(item)) }
                span.soft { (words.fill(shared::SKU, &[("sku", &item.sku)])) }
            }
            span.hit-figure { (words.say(texts::ON_HAND)) " " b { (words.amount(cell.on_hand(), &item.unit)) } }
            @if promised.is_positive() {
                span.hit-figure { (words.say(texts::PROMISED)) " " b { (words.amount(promised, &item.unit)) } }
            }
        }
    }
}
