//! The ledger, the newest first: of an item, a kind, a source or a day; and as a file.

use super::act::{Deeds, audited};
use super::csv::{self, Lines};
use super::failure::Failure;
use super::form::Form;
use super::item::change_of;
use super::items::{place, query};
use super::layout::{self, Screen};
use super::ledger_words::{self, KINDS};
use super::people::roles::{Deed, May};
use super::texts::ledger as texts;
use super::texts::shared;
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk};
use crate::http::reading::ask;
use crate::store::reader::{MovementFilter, MovementPage, MovementView, Reader};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use jiff::civil::Date;
use maud::{Markup, html};
use std::sync::Arc;
use sync_protocol::record::Kind;
use sync_protocol::{Position, UnixMillis};

pub const PATH: &str = "/movements";
const SHOWN_MAX: u32 = 50;
/// So many lines of a file are read at once.
const FILE_PIECE: u32 = 2_000;

/// What the visitor wants to see, as the fields say it.
struct Asked {
    filter: MovementFilter,
    before: Option<Position>,
    has_bad_day: bool,
}

impl Asked {
    fn read(desk: &PageDesk, form: &Form) -> Asked {
        let kind = KINDS.into_iter().find(|kind| kind.name() == form.text("kind"));
        let source = Some(form.text("source").to_owned()).filter(|source| !source.is_empty());
        let recorded = day(desk, form.text("day"));
        Asked {
            // What is no item number finds nothing, rather than everything.
            filter: MovementFilter {
                sku: form.has("sku").then(|| form.parsed("sku").ok()).flatten(),
                kind,
                source,
                recorded,
            },
            before: form.parsed("before").ok().map(Position),
            has_bad_day: form.has("day") && recorded.is_none(),
        }
    }
}

/// From the first to the last moment of a day, by the store's clock.
pub fn day(desk: &PageDesk, text: &str) -> Option<(UnixMillis, UnixMillis)> {
    let date: Date = text.parse().ok()?;
    let start = |date: Date| {
        let start = date.to_zoned(desk.zone.clone()).ok()?;
        Some(UnixMillis(start.timestamp().as_millisecond()))
    };
    Some((start(date)?, start(date.tomorrow().ok()?)?))
}

pub async fn show(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let (words, form) = (visitor.words(&desk), query(&visitor)?);
    let Asked { filter, before, has_bad_day } = Asked::read(&desk, &form);
    let is_first = before.is_none();
    let (page, sources) = ask(&desk.reader, move |reader| {
        Ok((reader.newest_movements(&filter, before, SHOWN_MAX)?, reader.sources()?))
    })
    .await?;
    let sources: Vec<String> = sources.into_iter().map(|source| source.name).collect();
    let main = html! {
        h1 { (words.say(texts::TITLE)) }
        p.soft { (words.say(texts::WHY)) @if visitor.may(Deed::SeeAudit) == May::Yes { " " a.target href="/audit" { (words.say(texts::AUDIT)) } } }
        (filters(&words, &form, &sources))
        @if has_bad_day { p.trouble role="alert" { (words.say(texts::NO_SUCH_DAY)) } }
        (table(&words, &page))
        (pages(&words, &form, &page, is_first))
        @if visitor.may(Deed::Export) == May::Yes { (export_form(&words, &visitor, &form, "/movements/export")) }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(words.say(texts::TITLE), PATH, main)).await)
}

fn filters(words: &Words<'_>, form: &Form, sources: &[String]) -> Markup {
    let is_set = ["sku", "kind", "source", "day"].iter().any(|name| form.has(name));
    html! {
        details.filters open[is_set] {
            summary.button { (words.say(texts::FILTERS)) }
            form.filter method="get" action=(PATH) {
                div {
                    label for="sku" { (words.say(texts::ITEM)) }
                    input #sku name="sku" value=(form.text("sku")) maxlength="64" autocomplete="off";
                }
                div {
                    label for="kind" { (words.say(texts::KIND)) }
                    select #kind name="kind" {
                        option value="" { (words.say(texts::EVERYTHING)) }
                        @for kind in KINDS {
                            option value=(kind.name()) selected[form.text("kind") == kind.name()] { (words.say(ledger_words::kind(kind))) }
                        }
                    }
                }
                div {
                    label for="source" { (words.say(texts::SOURCE)) }
                    select #source name="source" {
                        option value="" { (words.say(texts::EVERYTHING)) }
                        @for source in sources {
                            option value=(source) selected[form.text("source") == source] { (ledger_words::source(words, source)) }
                        }
                    }
                }
                div {
                    label for="day" { (words.say(texts::DAY)) }
                    input #day name="day" type="date" value=(form.text("day"));
                }
                div.buttons {
                    button.primary type="submit" { (words.say(texts::FILTER)) }
                    @if is_set { a.button href=(PATH) { (words.say(texts::NO_FILTER)) } }
                }
            }
        }
    }
}

fn table(words: &Words<'_>, page: &MovementPage) -> Markup {
    html! {
        @if page.movements.is_empty() { p.empty { (words.say(texts::NONE)) } }
        @else {
            div.sheet {
                table.ledger {
                    thead {
                        tr {
                            th scope="col" { (words.say(texts::WHEN)) }
                            th scope="col" { (words.say(texts::KIND)) }
                            th scope="col" { (words.say(super::texts::items::NAME)) }
                            th.amount scope="col" { (words.say(texts::CHANGE)) }
                            th scope="col" { (words.say(texts::REASON)) }
                            th scope="col" { (words.say(texts::SOURCE)) }
                        }
                    }
                    tbody { @for line in &page.movements { (row(words, line)) } }
                }
            }
        }
    }
}

fn row(words: &Words<'_>, line: &MovementView) -> Markup {
    let called = if line.name.is_empty() { &line.sku } else { &line.name };
    // What a till brought late says when it happened as well.
    let is_late = line.recorded_at.since(line.occurred_at) > 60_000;
    html! {
        tr {
            td.when data-head=(words.say(texts::WHEN)) {
                time datetime=(words.machine(line.recorded_at)) { (words.moment(line.recorded_at)) }
                @if is_late { " " span.soft.below { (words.fill(texts::HAPPENED, &[("time", &words.moment(line.occurred_at))])) } }
            }
            td.kind data-head=(words.say(texts::KIND)) { (words.say(ledger_words::kind(line.kind))) }
            td.thing data-head=(words.say(super::texts::items::NAME)) {
                a.target href=(place("/item", &line.sku)) { (called) }
                " " span.soft.below { (words.fill(shared::SKU, &[("sku", &line.sku)])) }
            }
            td.amount data-head=(words.say(texts::CHANGE)) { (change_of(words, line)) }
            td.why data-head=(words.say(texts::REASON)) { (line.reason.as_deref().map(|reason| ledger_words::reason(words, reason)).unwrap_or_default()) }
            td.from data-head=(words.say(texts::SOURCE)) {
                (ledger_words::source(words, &line.source)) " " span.soft.below.token { (line.reference) }
            }
        }
    }
}

fn pages(words: &Words<'_>, form: &Form, page: &MovementPage, is_first: bool) -> Markup {
    html! {
        @if page.is_cut && let Some(before) = page.before {
            p.note { (words.fill(texts::CUT, &[("position", &before.to_string())])) }
        }
        p.buttons {
            @if let Some(before) = page.before {
                a.button href=(address(PATH, form, before.0)) { (words.say(texts::OLDER)) }
            }
            @if !is_first { a.button href=(address(PATH, form, 0)) { (words.say(texts::NEWEST)) } }
        }
    }
}

/// The same choice, from further back; 0 is from the newest on.
pub fn address(path: &str, form: &Form, before: u64) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form.carried().filter(|(name, value)| *name != "before" && !value.is_empty()) {
        query.append_pair(name, value);
    }
    if before > 0 {
        query.append_pair("before", &before.to_string());
    }
    format!("{path}?{}", query.finish())
}

/// The button that gives the same choice as a file.
pub fn export_form(words: &Words<'_>, visitor: &Visitor, form: &Form, action: &str) -> Markup {
    html! {
        form.panel method="post" action=(action) data-download {
            (layout::token(visitor))
            @for (name, value) in form.carried().filter(|(name, _)| *name != "before") {
                input type="hidden" name=(name) value=(value);
            }
            p.hint { (words.say(texts::EXPORT_WHY)) }
            div.buttons { button type="submit" { (words.say(texts::EXPORT)) } }
        }
    }
}

/// `POST /movements/export`: the same lines as a file, however many there are.
pub async fn export(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    if visitor.may(Deed::Export) != May::Yes {
        return Err(Failure::NotAllowed);
    }
    let Asked { filter, .. } = Asked::read(&desk, &form);
    let deeds = Deeds { act: "export", subject: "movements".to_owned(), approved_by: None };
    let chosen = form.carried().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    audited(&desk, &visitor, deeds, async { Ok(chosen) }).await?;
    let mut head = Lines::default();
    let columns = [
        "position",
        "recorded_at",
        "occurred_at",
        "kind",
        "sku",
        "name",
        "unit",
        "quantity",
        "effect",
        "reason",
        "source",
        "reference",
    ];
    for column in columns {
        head.text(column);
    }
    head.end();
    let (reader, zone) = (Arc::clone(&desk.reader), desk.zone.clone());
    let next = move |before: Option<Position>| {
        let (reader, zone, filter) = (Arc::clone(&reader), zone.clone(), filter.clone());
        async move { piece(&reader, filter, &zone, before).await }
    };
    let name = format!("movements-{}.csv", desk.store);
    // `Some(0)` once there is nothing further back.
    Ok(csv::file(&name, head.into_text(), None, next))
}

async fn piece(
    reader: &Arc<Reader>,
    filter: MovementFilter,
    zone: &jiff::tz::TimeZone,
    before: Option<Position>,
) -> Result<Option<(String, Option<Position>)>, Failure> {
    if before == Some(Position(0)) {
        return Ok(None);
    }
    let page = ask(reader, move |reader| reader.newest_movements(&filter, before, FILE_PIECE)).await?;
    let mut lines = Lines::default();
    for line in &page.movements {
        lines.number(line.position).text(&local(zone, line.recorded_at)).text(&local(zone, line.occurred_at));
        lines.text(line.kind.name()).text(&line.sku).text(&line.name).text(&line.unit);
        lines.number(line.quantity).number(line.effect).text(line.reason.as_deref().unwrap_or_default());
        lines.text(&line.source).text(&line.reference).end();
    }
    Ok(Some((lines.into_text(), Some(page.before.unwrap_or(Position(0))))))
}

/// By the store's clock, as spreadsheets read it.
pub fn local(zone: &jiff::tz::TimeZone, at: UnixMillis) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

const _: () = assert!(KINDS.len() == Kind::Pickup as usize, "every kind can be chosen");
