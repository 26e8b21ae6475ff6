//! Whether the web may sell from this store: what head office has set, as far as this store has heard.

use super::act::{Deeds, audited};
use super::failure::Failure;
use super::form::Form;
use super::guard::redirect;
use super::people::audit::{self, Outcome};
use super::people::roles::{Deed, May};
use super::step_up::{Answer, permitted};
use super::texts::web_sales as texts;
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk, layout, typed};
use crate::http::reading::ask;
use crate::store::reader::Reader;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::UnixMillis;
use sync_protocol::pause::{PAUSE_MS_MAX, REASON_BYTES_MAX, StorePause};

/// What head office has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebSales {
    /// It has not been heard yet.
    NotHeard,
    /// A later hub says it in a way that this agent does not know.
    Unreadable,
    On,
    Off,
    Paused {
        until: UnixMillis,
        reason: String,
    },
    /// By somebody of the store's own.
    PausedHere {
        until: UnixMillis,
        reason: String,
        by: String,
    },
}

#[derive(Deserialize)]
struct Told {
    pickup: Pickup,
}

#[derive(Deserialize)]
struct Pickup {
    pickup: bool,
    paused: Option<Pause>,
}

#[derive(Deserialize)]
struct Pause {
    until: String,
    #[serde(default)]
    reason: String,
}

impl WebSales {
    /// From the settings as the hub wrote them.
    #[must_use]
    pub fn of(settings: Option<&str>, now: UnixMillis) -> WebSales {
        let Some(settings) = settings else { return WebSales::NotHeard };
        let Ok(Told { pickup }) = serde_json::from_str::<Told>(settings) else { return WebSales::Unreadable };
        if !pickup.pickup {
            return WebSales::Off;
        }
        let Some(pause) = pickup.paused else { return WebSales::On };
        let Ok(until) = pause.until.parse::<jiff::Timestamp>() else { return WebSales::Unreadable };
        let until = UnixMillis(until.as_millisecond());
        if until > now { WebSales::Paused { until, reason: pause.reason } } else { WebSales::On }
    }

    /// Beside what the store has said itself.
    #[must_use]
    pub fn with_own(self, pause: Option<StorePause>, now: UnixMillis) -> WebSales {
        match pause.filter(|pause| pause.until > now.0) {
            Some(StorePause { until, reason, by }) if self != WebSales::Off => {
                WebSales::PausedHere { until: UnixMillis(until), reason, by }
            }
            _ => self,
        }
    }

    /// As this store's disk has it.
    pub async fn ask(reader: &Arc<Reader>, now: UnixMillis) -> Result<WebSales, crate::http::Problem> {
        let (settings, own) =
            ask(reader, |reader| Ok((reader.store_settings()?, reader.store_pause()?))).await?;
        Ok(WebSales::of(settings.as_deref(), now).with_own(own, now))
    }

    /// The web can order from this store, as far as head office's switch goes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, WebSales::On | WebSales::NotHeard | WebSales::Unreadable)
    }

    #[must_use]
    pub fn words(&self, words: &Words<'_>) -> String {
        match self {
            WebSales::NotHeard => words.say(texts::NOT_HEARD).to_owned(),
            WebSales::Unreadable => words.say(texts::UNREADABLE).to_owned(),
            WebSales::On => words.say(texts::ON).to_owned(),
            WebSales::Off => words.say(texts::OFF).to_owned(),
            WebSales::Paused { until, reason } if reason.is_empty() => {
                words.fill(texts::PAUSED, &[("until", &words.moment(*until))])
            }
            WebSales::PausedHere { until, reason, by } => words.fill(
                texts::PAUSED_HERE,
                &[("until", &words.moment(*until)), ("reason", reason), ("by", by)],
            ),
            WebSales::Paused { until, reason } => {
                words.fill(texts::PAUSED_BECAUSE, &[("until", &words.moment(*until)), ("reason", reason)])
            }
        }
    }

    /// With what `visitor` can do about it, where it is theirs to do.
    #[must_use]
    pub fn panel(&self, words: &Words<'_>, visitor: Option<&Visitor>) -> Markup {
        let visitor = visitor.filter(|visitor| visitor.may(Deed::PauseWeb) != May::No);
        html! {
            section.panel aria-labelledby="sales" {
                h2 #sales { (words.say(texts::TITLE)) }
                (self.markup(words))
                @match (visitor, self) {
                    (Some(visitor), WebSales::PausedHere { .. }) => {
                        form method="post" action="/web-sales/resume" {
                            (layout::token(visitor))
                            button type="submit" { (words.say(texts::RESUME)) }
                        }
                    }
                    (Some(visitor), WebSales::On | WebSales::NotHeard | WebSales::Unreadable) => (pause_form(words, visitor)),
                    _ => {}
                }
            }
        }
    }

    /// One line: a mark beside the words, which say the same.
    #[must_use]
    pub fn markup(&self, words: &Words<'_>) -> Markup {
        let light = match self {
            WebSales::On => "up",
            WebSales::NotHeard | WebSales::Unreadable => "coming",
            WebSales::Off | WebSales::Paused { .. } | WebSales::PausedHere { .. } => "down",
        };
        html! {
            p.web-sales.light data-light=(light) {
                span.lamp aria-hidden="true" {}
                span { (self.words(words)) }
            }
        }
    }
}

/// Hours that a pause can last; the first is offered.
const HOURS: [i64; 5] = [1, 2, 4, 8, 24];
const HOUR_MS: i64 = 60 * 60 * 1000;
const _: () = assert!(HOURS[4] * HOUR_MS <= PAUSE_MS_MAX);

fn pause_form(words: &Words<'_>, visitor: &Visitor) -> Markup {
    html! {
        details.act {
            summary { (words.say(texts::PAUSE)) }
            form.card method="post" action="/web-sales/pause" {
                (layout::token(visitor))
                p.hint { (words.say(texts::PAUSE_WHY)) }
                label for="pause-hours" { (words.say(texts::HOW_LONG)) }
                select #pause-hours name="hours" {
                    @for hours in HOURS {
                        option value=(hours) { (words.age(Duration::from_secs(hours.unsigned_abs() * 3600))) }
                    }
                }
                label for="pause-reason" { (words.say(texts::REASON)) }
                input #pause-reason name="reason" maxlength="120" autocomplete="off" required;
                button.primary type="submit" { (words.say(texts::PAUSE)) }
            }
        }
    }
}

/// `POST /web-sales/pause`: no new orders for some hours. Those that are here are not touched.
pub async fn pause(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let hours: i64 = form.parsed("hours")?;
    let reason = typed::line(form.text("reason"), REASON_BYTES_MAX).filter(|reason| !reason.is_empty());
    let Some(reason) = reason.filter(|_| HOURS.contains(&hours)) else { return Err(Failure::Unreadable) };
    let (until, by) = (visitor.now.0 + hours * HOUR_MS, visitor.name().to_owned());
    set(&desk, &visitor, &form, "pause_web", Some(StorePause { until, reason, by })).await
}

/// `POST /web-sales/resume`.
pub async fn resume(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    set(&desk, &visitor, &form, "resume_web", None).await
}

async fn set(
    desk: &PageDesk,
    visitor: &Visitor,
    form: &Form,
    act: &'static str,
    pause: Option<StorePause>,
) -> Result<Response, Failure> {
    let permit = match permitted(desk, visitor, form, Deed::PauseWeb).await? {
        Answer::Permitted(permit) => permit,
        Answer::Asks(response) => return Ok(response),
    };
    let said = pause.as_ref().map_or_else(String::new, |pause| pause.reason.clone());
    let deeds = Deeds { act, subject: "web".to_owned(), approved_by: permit.approved_by };
    let doing = async {
        match desk.inbox.pause(pause).await {
            Ok(Ok(())) => Ok(said),
            Ok(Err(error)) => Err(error.to_string()),
            Err(no) => Err(no.to_string()),
        }
    };
    let reference = audited(desk, visitor, deeds, doing).await?;
    let entry = desk.people.ask(move |db| audit::entry(db, &reference)).await?;
    match entry.map(|entry| entry.outcome) {
        Some(Outcome::Done) => Ok(redirect("/")),
        _ => Err(Failure::Disk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_410_000_000);

    #[test]
    fn the_stores_own_pause_is_told_unless_head_office_has_switched_it_off() {
        let pause = |until| Some(StorePause { until, reason: "flood".to_owned(), by: "Ana".to_owned() });
        let later = NOW.0 + 1;
        assert!(matches!(WebSales::On.with_own(pause(later), NOW), WebSales::PausedHere { .. }));
        assert_eq!(WebSales::Off.with_own(pause(later), NOW), WebSales::Off);
        assert_eq!(WebSales::On.with_own(pause(NOW.0), NOW), WebSales::On, "it is over");
        assert_eq!(WebSales::NotHeard.with_own(None, NOW), WebSales::NotHeard);
    }

    #[test]
    fn every_state_of_the_switch_is_told_apart() {
        let of = |text: &str| WebSales::of(Some(text), NOW);
        assert_eq!(WebSales::of(None, NOW), WebSales::NotHeard);
        assert_eq!(
            of(r#"{"revision":1,"name":"x","timezone":"UTC","pickup":{"pickup":true}}"#),
            WebSales::On
        );
        assert_eq!(of(r#"{"pickup":{"pickup":false,"paused":null}}"#), WebSales::Off);
        let paused = |until: &str| {
            of(&format!(r#"{{"pickup":{{"pickup":true,"paused":{{"until":"{until}","reason":"flood"}}}}}}"#))
        };
        assert_eq!(paused("2026-11-22T00:00:00Z"), WebSales::On, "it is over");
        let later = paused("2026-11-24T00:00:00Z");
        assert!(matches!(&later, WebSales::Paused { reason, .. } if reason == "flood"), "{later:?}");
        assert!(!later.is_open());
        for text in ["", "{}", "[]", r#"{"pickup":{"pickup":1}}"#] {
            assert_eq!(of(text), WebSales::Unreadable, "{text}");
        }
        assert_eq!(paused("soon"), WebSales::Unreadable);
    }
}
