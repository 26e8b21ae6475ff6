//! Who did what: the audit trail of this page, the newest first, and as a file.

use super::act::{Deeds, audited};
use super::csv::{self, Lines};
use super::failure::Failure;
use super::form::Form;
use super::items::query;
use super::layout::{self, Screen};
use super::ledger_words;
use super::movements::{self, address, day, export_form, local};
use super::people::audit::{self, Entry, Filter};
use super::people::roles::{Deed, May};
use super::texts::ledger as texts;
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

const PATH: &str = "/audit";
const SHOWN_MAX: usize = 50;
const FILE_PIECE: usize = 2_000;

fn filter(desk: &PageDesk, form: &Form) -> Filter {
    let named = |name: &str| Some(form.text(name).to_owned()).filter(|text| !text.is_empty());
    Filter { person: named("person"), act: named("act"), at: day(desk, form.text("day")) }
}

pub async fn show(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    if visitor.may(Deed::SeeAudit) != May::Yes {
        return Err(Failure::NotAllowed);
    }
    let (words, form) = (visitor.words(&desk), query(&visitor)?);
    let filter = filter(&desk, &form);
    let has_bad_day = form.has("day") && filter.at.is_none();
    let before: Option<i64> = form.parsed("before").ok();
    let ((people, acts), mut entries) = desk
        .people
        .ask(move |db| Ok((audit::names(db)?, audit::filtered(db, &filter, before, SHOWN_MAX + 1)?)))
        .await?;
    let more = entries.len() > SHOWN_MAX;
    entries.truncate(SHOWN_MAX);
    let main = html! {
        h1 { (words.say(texts::AUDIT)) }
        p.soft { (words.say(texts::AUDIT_WHY)) " " a.target href=(movements::PATH) { (words.say(texts::TITLE)) } }
        (filters(&words, &form, &people, &acts))
        @if has_bad_day { p.trouble role="alert" { (words.say(texts::NO_SUCH_DAY)) } }
        @if entries.is_empty() { p.empty { (words.say(texts::AUDIT_NONE)) } } @else { (table(&words, &entries)) }
        p.buttons {
            @if more && let Some(last) = entries.last() {
                a.button href=(address(PATH, &form, last.id.unsigned_abs())) { (words.say(texts::OLDER)) }
            }
            @if before.is_some() { a.button href=(address(PATH, &form, 0)) { (words.say(texts::NEWEST)) } }
        }
        @if visitor.may(Deed::Export) == May::Yes { (export_form(&words, &visitor, &form, "/audit/export")) }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(words.say(texts::AUDIT), movements::PATH, main)).await)
}

fn filters(words: &Words<'_>, form: &Form, people: &[String], acts: &[String]) -> Markup {
    let is_set = ["person", "act", "day"].iter().any(|name| form.has(name));
    html! {
        details.filters open[is_set] {
            summary.button { (words.say(texts::FILTERS)) }
            form.filter method="get" action=(PATH) {
                div {
                    label for="person" { (words.say(texts::PERSON)) }
                    select #person name="person" {
                        option value="" { (words.say(texts::EVERYTHING)) }
                        @for person in people { option value=(person) selected[form.text("person") == person] { (person) } }
                    }
                }
                div {
                    label for="act" { (words.say(texts::KIND)) }
                    select #act name="act" {
                        option value="" { (words.say(texts::EVERYTHING)) }
                        @for act in acts { option value=(act) selected[form.text("act") == act] { (ledger_words::act(words, act)) } }
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

fn table(words: &Words<'_>, entries: &[Entry]) -> Markup {
    html! {
        div.sheet {
            table {
                thead {
                    tr {
                        th scope="col" { (words.say(texts::WHEN)) }
                        th scope="col" { (words.say(texts::PERSON)) }
                        th scope="col" { (words.say(texts::KIND)) }
                        th scope="col" { (words.say(texts::SUBJECT)) }
                        th scope="col" { (words.say(texts::OUTCOME)) }
                        th scope="col" { (words.say(texts::DEVICE)) }
                    }
                }
                tbody {
                    @for entry in entries {
                        tr {
                            td data-head=(words.say(texts::WHEN)) {
                                time datetime=(words.machine(entry.at)) { (words.moment_exactly(entry.at)) }
                            }
                            td data-head=(words.say(texts::PERSON)) { strong { (entry.person) } }
                            td data-head=(words.say(texts::KIND)) { (ledger_words::act(words, &entry.act)) }
                            td data-head=(words.say(texts::SUBJECT)) { (entry.subject) }
                            td data-head=(words.say(texts::OUTCOME)) {
                                strong { (words.say(ledger_words::outcome(entry.outcome))) }
                                @if !entry.detail.is_empty() { " " span.soft { (entry.detail) } }
                            }
                            td data-head=(words.say(texts::DEVICE)) { (entry.device) }
                        }
                    }
                }
            }
        }
    }
}

/// `POST /audit/export`.
pub async fn export(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    if visitor.may(Deed::Export) != May::Yes || visitor.may(Deed::SeeAudit) != May::Yes {
        return Err(Failure::NotAllowed);
    }
    let filter = filter(&desk, &form);
    let deeds = Deeds { act: "export_audit", subject: "audit".to_owned(), approved_by: None };
    audited(&desk, &visitor, deeds, async { Ok(String::new()) }).await?;
    let mut head = Lines::default();
    for column in ["reference", "at", "person", "device", "act", "subject", "outcome", "detail"] {
        head.text(column);
    }
    head.end();
    let (people, zone) = (desk.people.clone(), desk.zone.clone());
    let next = move |before: Option<i64>| {
        let (people, zone, filter) = (people.clone(), zone.clone(), filter.clone());
        async move {
            let entries = people.ask(move |db| audit::filtered(db, &filter, before, FILE_PIECE)).await?;
            let Some(last) = entries.last().map(|entry| entry.id) else { return Ok(None) };
            let mut lines = Lines::default();
            for entry in &entries {
                let Entry { reference, at, person, device, act, subject, outcome, detail, .. } = entry;
                lines
                    .text(reference)
                    .text(&local(&zone, *at))
                    .text(person)
                    .text(device)
                    .text(act)
                    .text(subject);
                lines.text(outcome.name()).text(detail).end();
            }
            Ok(Some((lines.into_text(), Some(last))))
        }
    };
    Ok(csv::file(&format!("audit-{}.csv", desk.store), head.into_text(), None, next))
}
