//! Whether the web may sell from this store: what head office has set, as far as this store has heard.

use super::texts::web_sales as texts;
use super::words::Words;
use crate::http::reading::ask;
use crate::store::reader::Reader;
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use sync_protocol::UnixMillis;

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

    /// As this store's disk has it.
    pub async fn ask(reader: &Arc<Reader>, now: UnixMillis) -> Result<WebSales, crate::http::Problem> {
        let settings = ask(reader, Reader::store_settings).await?;
        Ok(WebSales::of(settings.as_deref(), now))
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
            WebSales::Paused { until, reason } => {
                words.fill(texts::PAUSED_BECAUSE, &[("until", &words.moment(*until)), ("reason", reason)])
            }
        }
    }

    #[must_use]
    pub fn panel(&self, words: &Words<'_>) -> Markup {
        html! {
            section.panel aria-labelledby="sales" {
                h2 #sales { (words.say(texts::TITLE)) }
                (self.markup(words))
            }
        }
    }

    /// One line: a mark beside the words, which say the same.
    #[must_use]
    pub fn markup(&self, words: &Words<'_>) -> Markup {
        let light = match self {
            WebSales::On => "up",
            WebSales::NotHeard | WebSales::Unreadable => "coming",
            WebSales::Off | WebSales::Paused { .. } => "down",
        };
        html! {
            p.web-sales.light data-light=(light) {
                span.lamp aria-hidden="true" {}
                span { (self.words(words)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_410_000_000);

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
