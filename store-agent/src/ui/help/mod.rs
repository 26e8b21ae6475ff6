//! Sync and help: a doctor in plain words. Each line says how something is, what that means and what to do.

mod findings;
mod support;

use findings::{Finding, Health};

use super::Desk;
use super::act::{Deeds, audited};
use super::failure::Failure;
use super::form::Form;
use super::guard::redirect;
use super::items::query;
use super::layout::{self, Screen};
use super::people::audit::Outcome;
use super::people::roles::{Deed, May};
use super::texts::Text;
use super::texts::help as texts;
use super::told::{self, told};
use super::visitor::Visitor;
use super::web_sales::WebSales;
use super::words::Words;
use crate::agent::RetryRefused;
use crate::http::reading::ask;
use crate::store::reader::{Quarantined, SourceSeen};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use std::sync::Arc;
use sync_protocol::UnixMillis;
use sync_protocol::canary::Canary;

pub const PATH: &str = "/help";
const QUARANTINE_SHOWN: u32 = 20;

pub async fn show(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let (words, asked) = (visitor.words(&desk), query(&visitor)?);
    let (sources, mut quarantine) =
        ask(&desk.reader, |reader| Ok((reader.sources()?, reader.quarantine(QUARANTINE_SHOWN + 1)?))).await?;
    let more = quarantine.len() > QUARANTINE_SHOWN as usize;
    quarantine.truncate(QUARANTINE_SHOWN as usize);
    let sales = WebSales::ask(&desk.reader, visitor.now).await?;
    let canaries = Arc::clone(&desk.bulletin.borrow().sync.canaries);
    let findings = findings::all(&desk, &words).await;
    let amiss = findings.iter().filter(|finding| finding.health != Health::Good).count() as u64
        + u64::from(!quarantine.is_empty());
    let told = told(&desk, &visitor, asked.text("done")).await?.filter(|entry| entry.act == "retry");
    let headline = match amiss {
        0 => words.say(texts::ALL_WELL).to_owned(),
        _ => words.language.count(amiss, texts::SOME_AMISS_ONE, texts::SOME_AMISS_MORE),
    };
    let main = html! {
        h1 { (words.say(texts::TITLE)) }
        @if let Some(entry) = &told {
            @let said = match entry.outcome {
                Outcome::Refused => words.fill(texts::RETRY_REFUSED, &[("reason", &entry.detail)]),
                _ => words.say(texts::RETRIED).to_owned(),
            };
            (told::notice(&words, entry, &said, None))
        }
        p.headline { (headline) }
        div #doctor.findings hx-get=(PATH) hx-trigger="sync from:body" hx-select="#doctor" hx-swap="outerHTML" hx-headers=r#"{"X-Live":"1"}"# {
            @for finding in &findings { (shown(&words, finding)) }
            @if desk.has_hub {
                (sales.panel(&words, None))
            }
        }
        div.columns {
            (quarantined(&words, &visitor, &quarantine, more))
            (seen(&words, &sources, &canaries))
        }
        (support::block(&desk, &words, &findings, &sources))
        @if visitor.may(Deed::SeeAudit) == May::Yes { p.buttons { a.button href="/audit" { (words.say(texts::WHO_DID)) } } }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(words.say(texts::TITLE), PATH, main)).await)
}

fn shown(words: &Words<'_>, finding: &Finding) -> Markup {
    let (state, name): (&str, Text) = match finding.health {
        Health::Good => ("good", texts::GOOD),
        Health::Look => ("look", texts::LOOK),
        Health::Bad => ("bad", texts::BAD),
    };
    html! {
        section.finding data-health=(state) aria-label=(words.say(finding.name)) {
            h2 { (words.say(finding.name)) " " span.verdict { (words.say(name)) } }
            @for sentence in &finding.sentences { p { (sentence) } }
        }
    }
}

fn quarantined(words: &Words<'_>, visitor: &Visitor, rows: &[Quarantined], more: bool) -> Markup {
    html! {
        section.panel aria-labelledby="quarantine" {
            h2 #quarantine { (words.say(texts::QUARANTINE)) }
            @if rows.is_empty() { p.empty { (words.say(texts::QUARANTINE_NONE)) } }
            @else { p.hint { (words.say(texts::QUARANTINE_WHY)) } }
            @if more { p.note { (words.fill(texts::SHOWN_FIRST, &[("count", &rows.len().to_string())])) } }
            ul.rows {
                @for row in rows {
                    li {
                        div.about { span { (row.reason) } span.soft { (words.moment(row.at)) } }
                        @if !row.can_be_tried { span.soft { (words.say(texts::RETRY_NOT)) } }
                        @else if visitor.may(Deed::RetryQuarantined) == May::Yes {
                            form method="post" action="/help/retry" {
                                (layout::token(visitor))
                                input type="hidden" name="id" value=(row.id);
                                button type="submit" { (words.say(texts::RETRY)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn seen(words: &Words<'_>, sources: &[SourceSeen], canaries: &[Canary]) -> Markup {
    html! {
        section.panel aria-labelledby="sources" {
            h2 #sources { (words.say(texts::SOURCES)) }
            @if sources.is_empty() { p.empty { (words.say(texts::NO_SOURCES)) } } @else {
                p.hint { (words.say(texts::SOURCES_WHY)) }
                table {
                    thead {
                        tr {
                            th scope="col" { (words.say(texts::SOURCE)) }
                            th scope="col" { (words.say(texts::LAST_REPORT)) }
                            @if !canaries.is_empty() { th scope="col" { (words.say(texts::ALL_THE_WAY)) } }
                            @if sources.iter().any(|source| source.cursor.is_some()) { th scope="col" { (words.say(texts::READ_UP_TO)) } }
                        }
                    }
                    tbody {
                        @for source in sources {
                            tr {
                                td data-head=(words.say(texts::SOURCE)) { (super::ledger_words::source(words, &source.name)) }
                                td data-head=(words.say(texts::LAST_REPORT)) {
                                    @match source.last_report {
                                        Some(at) => (words.fill(texts::REPORTED, &[("time", &words.moment(at)), ("age", &words.since(at))])),
                                        None if source.has_reported => (words.say(texts::LONG_SILENT)),
                                        None => (words.say(texts::NEVER_REPORTED)),
                                    }
                                }
                                @if !canaries.is_empty() {
                                    td data-head=(words.say(texts::ALL_THE_WAY)) {
                                        (canaries.iter().find(|of| of.source.as_str() == source.name).map_or_else(|| "–".to_owned(), |of| way(words, of)))
                                    }
                                }
                                @if sources.iter().any(|source| source.cursor.is_some()) {
                                    td data-head=(words.say(texts::READ_UP_TO)) { (source.cursor.as_deref().unwrap_or("–")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How far the movement that is followed from a source has come.
fn way(words: &Words<'_>, canary: &Canary) -> String {
    match (canary.under_way, canary.arrived) {
        (Some(flight), _) => {
            words.fill(texts::WAY_UNDER_WAY, &[("time", &words.moment(UnixMillis(flight.recorded_at)))])
        }
        (None, Some(arrival)) => {
            let at = UnixMillis(arrival.accepted_at);
            words.fill(texts::WAY_ARRIVED, &[("time", &words.moment(at)), ("age", &words.since(at))])
        }
        (None, None) => words.say(texts::WAY_AWAITED).to_owned(),
    }
}

/// `POST /help/retry`: tries a record once more.
pub async fn retry(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    if visitor.may(Deed::RetryQuarantined) != May::Yes {
        return Err(Failure::NotAllowed);
    }
    let id: i64 = form.parsed("id")?;
    let deeds = Deeds { act: "retry", subject: id.to_string(), approved_by: None };
    let trying = async {
        match desk.inbox.retry(id).await {
            // Somebody else was faster: it has been taken, or has made room for newer ones.
            Ok(Ok(()) | Err(RetryRefused::Gone)) => Ok(String::new()),
            Ok(Err(refused)) => Err(refused.to_string()),
            Err(no) => Err(no.to_string()),
        }
    };
    let reference = audited(&desk, &visitor, deeds, trying).await?;
    Ok(redirect(&format!("{PATH}?done={reference}")))
}
