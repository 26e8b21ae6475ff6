//! The frame around every screen: what leads where, the two lights, who is signed in, the language; and the screens that only say
//! that something is in the way.

use super::failure::Failure;
use super::form::Form;
use super::guard::TOKEN_FIELD;
use super::people::staff::Person;
use super::texts::{Language, Text, shared};
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk, assets};
use crate::agent::SyncStatus;
use crate::http::reading::ask;
use crate::inbox::Transport;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::time::Duration;
use sync_protocol::link::store::LinkState;

/// htmx without what the policy forbids anyway, and without copies of pages in the browser.
const HTMX_SETTINGS: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyEnabled":false,"historyCacheSize":0,"scrollBehavior":"instant","timeout":15000}"#;

/// Less is no trouble to anybody who reads a countdown.
const CLOCK_OFF: Duration = Duration::from_secs(2 * 60);

/// A screen of the menu.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub path: &'static str,
    pub name: Text,
    icon: &'static str,
    /// On a narrow screen it stands in the bar itself; the others are behind `More`.
    is_first: bool,
}

/// The menu, in its order.
pub const PLACES: &[Place] = &[
    Place { path: "/", name: shared::TODAY, icon: "M4 11 12 4l8 7v9h-5v-6H9v6H4z", is_first: true },
    Place {
        path: "/orders",
        name: shared::ORDERS,
        icon: "M5 4h14v16H5zm3 4v2h8V8zm0 4v2h8v-2zm0 4v2h5v-2z",
        is_first: true,
    },
    Place {
        path: "/hand-over",
        name: shared::HAND_OVER,
        icon: "M7 9V8a5 5 0 0 1 10 0v1h3l-1 11H5L4 9zm2 0h6V8a3 3 0 0 0-6 0z",
        is_first: true,
    },
    Place {
        path: "/items",
        name: shared::ITEMS,
        icon: "M10 4a6 6 0 1 1 0 12 6 6 0 0 1 0-12zm0 2a4 4 0 1 0 0 8 4 4 0 0 0 0-8zm5.300 8.200 5.200 5.200-1.400 1.400-5.200-5.200z",
        is_first: true,
    },
    Place {
        path: "/count",
        name: shared::COUNT,
        icon: "M5 3h14v18H5zm2 2v4h10V5zm0 6v2h3v-2zm4 0v2h2v-2zm3 0v2h3v-2zm-7 4v2h3v-2zm4 0v2h2v-2zm3 0v4h3v-4zm-7 3v1h6v-1z",
        is_first: false,
    },
    Place {
        path: "/movements",
        name: shared::MOVEMENTS,
        icon: "M4 6h10V3l6 5-6 5v-3H4zm16 8v4H10v3l-6-5 6-5v3z",
        is_first: false,
    },
    Place {
        path: "/reports",
        name: shared::REPORTS,
        icon: "M4 20V10h4v10zm6 0V4h4v16zm6 0v-7h4v7z",
        is_first: false,
    },
    Place {
        path: "/help",
        name: shared::HELP,
        icon: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zm-1 12v2h2v-2zm1-9c-2 0-3.500 1.300-3.500 3.300h2c0-.9.6-1.500 1.500-1.500s1.500.5 1.500 1.300c0 1.400-2.500 1.500-2.500 3.900h2c0-1.700 2.600-1.800 2.600-4 0-1.800-1.500-3-3.600-3z",
        is_first: false,
    },
    Place {
        path: "/people",
        name: shared::PEOPLE,
        icon: "M9 11a4 4 0 1 1 0-8 4 4 0 0 1 0 8zm-7 9c0-4 3-7 7-7s7 3 7 7zm15-9a3 3 0 1 0 0-6v6zm1 2c2.500.500 4 3 4 7h-3c0-3-.5-5-1-7z",
        is_first: false,
    },
];

/// A screen as its file makes it.
pub struct Screen {
    pub title: String,
    /// The menu's entry it belongs to.
    pub path: &'static str,
    pub main: Markup,
}

impl Screen {
    #[must_use]
    pub fn new(title: impl Into<String>, path: &'static str, main: Markup) -> Screen {
        Screen { title: title.into(), path, main }
    }
}

/// A whole page.
pub async fn page(desk: &PageDesk, visitor: &Visitor, screen: Screen) -> Response {
    let status = status(desk, visitor).await;
    let words = visitor.words(desk);
    let top = html! {
        header.top {
            div.bar {
                p.store { (words.fill(shared::STORE, &[("store", desk.store.as_str())])) }
                (menu(&words, screen.path, status.fresh))
                (who(&words, visitor))
            }
            (status.markup)
        }
    };
    document(desk, visitor, &screen.title, top, screen.main, StatusCode::OK)
}

/// A page for a screen that nobody is signed in on.
#[must_use]
pub fn bare(desk: &PageDesk, visitor: &Visitor, title: &str, main: Markup, status: StatusCode) -> Response {
    let words = visitor.words(desk);
    let top = html! {
        header.top { div.bar { p.store { (words.fill(shared::STORE, &[("store", desk.store.as_str())])) } } }
    };
    document(desk, visitor, title, top, html! { div.door { (main) } }, status)
}

fn document(
    desk: &PageDesk,
    visitor: &Visitor,
    title: &str,
    top: Markup,
    main: Markup,
    status: StatusCode,
) -> Response {
    let words = visitor.words(desk);
    let has_live = visitor.device.is_some();
    let page = html! {
        (DOCTYPE)
        html lang=(visitor.language.code()) {
            head {
                meta charset="utf-8";
                title { (title) " · " (desk.store) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX_SETTINGS);
                link rel="icon" href=(assets::ICON.path()) type="image/svg+xml";
                link rel="stylesheet" href=(assets::STYLE.path());
                link rel="stylesheet" href=(assets::GOODS.path());
                // Not later: whatever is typed into the page has to be heard from the first key on.
                script src=(assets::SCANNER.path()) {}
                script src=(assets::HTMX.path()) defer {}
                script src=(assets::SCRIPT.path()) defer {}
            }
            body data-live=[has_live.then_some("/live")] data-now=(visitor.now) {
                (spoken(&words))
                a.skip href="#main" { (words.say(shared::SKIP)) }
                (top)
                p #lost .lost role="alert" {}
                p #missed .lost role="alert" {}
                p #sending .sending role="status" {}
                main #main tabindex="-1" { (main) }
                p #said .unseen role="status" {}
                (languages(&words, visitor))
            }
        }
    };
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], page.into_string()).into_response()
}

/// What `page.js` says by itself, in the language of the page.
fn spoken(words: &Words<'_>) -> Markup {
    html! {
        div #words hidden
            data-seconds=(words.say(shared::SECONDS)) data-minutes=(words.say(shared::MINUTES))
            data-hours=(words.say(shared::HOURS_MINUTES)) data-in=(words.say(shared::IN))
            data-late=(words.say(shared::LATE)) data-now=(words.say(shared::NOW))
            data-connected=(words.say(shared::CONNECTED)) data-lost-for=(words.say(shared::LOST_FOR))
            data-lost=(words.say(shared::LOST_NOW)) data-back=(words.say(shared::COMING_BACK))
            data-new-order=(words.say(shared::SOUND_NEW_ORDER)) data-torn=(words.say(shared::SCAN_TORN))
            data-not-taken=(words.say(shared::SCAN_NOT_TAKEN)) data-unsent=(words.say(shared::UNSENT))
            data-changed=(words.say(shared::CHANGED_MEANWHILE)) data-sending=(words.say(shared::SENDING))
            data-clock-ahead=(words.say(shared::CLOCK_AHEAD)) data-clock-behind=(words.say(shared::CLOCK_BEHIND)) {}
    }
}

fn menu(words: &Words<'_>, path: &str, fresh: usize) -> Markup {
    let entry = |place: &Place| {
        html! {
            a.place href=(place.path) aria-current=[(place.path == path).then_some("page")] {
                (icon(place.icon))
                span { (words.say(place.name)) }
                @if place.path == "/orders" {
                    span.badge data-badge="orders" hidden[fresh == 0] { (fresh) }
                }
            }
        }
    };
    let (first, more): (Vec<&Place>, Vec<&Place>) = PLACES.iter().partition(|place| place.is_first);
    let is_within = more.iter().any(|place| place.path == path);
    html! {
        nav.menu aria-label=(words.say(shared::MENU)) {
            @for place in first { (entry(place)) }
            @if !more.is_empty() {
                details.more {
                    summary.place aria-current=[is_within.then_some("true")] {
                        (icon("M5 10h3v3H5zm6 0h3v3h-3zm6 0h3v3h-3z"))
                        span { (words.say(shared::MORE)) }
                    }
                    div.others { @for place in more { (entry(place)) } }
                }
            }
        }
    }
}

/// A small picture beside words; it says nothing by itself.
fn icon(path: &str) -> Markup {
    html! { svg.icon viewBox="0 0 24 24" aria-hidden="true" focusable="false" { path d=(path) {} } }
}

fn who(words: &Words<'_>, visitor: &Visitor) -> Markup {
    html! {
        div.who {
            span.name { (visitor.name()) }
            form method="post" action="/lock" {
                (token(visitor))
                button.quiet type="submit" { (words.say(shared::LOCK)) }
            }
        }
    }
}

fn languages(words: &Words<'_>, visitor: &Visitor) -> Markup {
    html! {
        footer.foot {
            form method="post" action="/language" {
                (token(visitor))
                input type="hidden" name="next" value=(visitor.path);
                fieldset {
                    legend { (words.say(shared::LANGUAGE)) }
                    @for language in Language::ALL {
                        button.quiet type="submit" name="language" value=(language.code()) lang=(language.code())
                            aria-pressed=(if language == visitor.language { "true" } else { "false" }) {
                            (language.own_name())
                        }
                    }
                }
            }
            @if visitor.session.is_some() {
                form method="post" action="/sign-out" {
                    (token(visitor))
                    button.quiet type="submit" { (words.say(shared::SIGN_OUT)) }
                }
            }
        }
    }
}

/// The hidden field without which no form is taken.
#[must_use]
pub fn token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(TOKEN_FIELD) value=(visitor.token); }
}

struct Status {
    markup: Markup,
    fresh: usize,
}

/// The two lights alone, for the page that keeps itself fresh.
pub async fn status_alone(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], status(&desk, &visitor).await.markup.into_string()).into_response()
}

async fn status(desk: &PageDesk, visitor: &Visitor) -> Status {
    let words = visitor.words(desk);
    let fresh = ask(&desk.reader, |reader| reader.waiting_orders()).await.map_or(0, |waiting| waiting.fresh);
    let sync = desk.bulletin.borrow().sync.clone();
    let transport = desk.crossing.borrow().transport;
    let line = HeadOffice::of(desk.has_hub, &sync, transport);
    let screen_says = words.fill(shared::AS_OF, &[("time", &words.moment(visitor.now))]);
    let markup = html! {
        div #status .lights role="group" aria-label=(words.say(shared::CONNECTIONS)) data-fresh=(fresh)
            hx-get="/status" hx-trigger="orders from:body, sync from:body" hx-swap="outerHTML"
            hx-headers=r#"{"X-Live":"1"}"# {
            p #screen-light .light data-light="up" {
                span.lamp aria-hidden="true" {}
                span {
                    (words.say(shared::SCREEN_TO_STORE)) ": "
                    span #screen-says { (screen_says) }
                }
            }
            p.light data-light=(line.light()) {
                span.lamp aria-hidden="true" {}
                span {
                    (words.say(shared::STORE_TO_HQ)) ": " (line.words(&words))
                    @if desk.has_hub {
                        " · " (waiting(&words, &sync))
                        @if let Some(off) = clock_off(&words, &sync) { " · " (off) }
                    }
                }
            }
        }
    };
    Status { markup, fresh }
}

/// That the store server's clock is visibly wrong, as far as head office's tells.
fn clock_off(words: &Words<'_>, sync: &SyncStatus) -> Option<String> {
    let ahead = sync.hub_clock_ahead_ms.map(i64::saturating_neg)?;
    let off = Duration::from_millis(ahead.unsigned_abs());
    let text = if ahead > 0 { shared::SERVER_CLOCK_AHEAD } else { shared::SERVER_CLOCK_BEHIND };
    (off >= CLOCK_OFF).then(|| words.fill(text, &[("age", &words.age(off))]))
}

/// How many changes wait for head office.
#[must_use]
pub fn waiting(words: &Words<'_>, sync: &SyncStatus) -> String {
    match sync.records_pending {
        0 => words.say(shared::WAITING_NONE).to_owned(),
        count => words.language.count(count, shared::WAITING_ONE, shared::WAITING_MORE),
    }
}

/// The line between the store server and head office.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadOffice {
    None,
    Connected(Option<Transport>),
    Connecting,
    Away { since: Option<sync_protocol::UnixMillis> },
}

impl HeadOffice {
    #[must_use]
    pub fn of(has_hub: bool, sync: &SyncStatus, transport: Option<Transport>) -> HeadOffice {
        match (has_hub, sync.link) {
            (false, _) => HeadOffice::None,
            (true, LinkState::Streaming) => HeadOffice::Connected(transport),
            (true, LinkState::Greeting | LinkState::Adopting) => HeadOffice::Connecting,
            (true, LinkState::Down) => HeadOffice::Away { since: sync.last_contact },
        }
    }

    /// Colour and shape follow this word; the words beside it say the same.
    fn light(self) -> &'static str {
        match self {
            HeadOffice::None | HeadOffice::Connected(_) => "up",
            HeadOffice::Connecting => "coming",
            HeadOffice::Away { .. } => "down",
        }
    }

    fn words(self, words: &Words<'_>) -> String {
        match self {
            HeadOffice::None => words.say(shared::HQ_NONE).to_owned(),
            // By which way is for Sync and help.
            HeadOffice::Connected(_) => words.say(shared::HQ_CONNECTED).to_owned(),
            HeadOffice::Connecting => words.say(shared::HQ_CONNECTING).to_owned(),
            HeadOffice::Away { since: Some(since) } => {
                words.fill(shared::HQ_AWAY_SINCE, &[("time", &words.moment(since))])
            }
            HeadOffice::Away { since: None } => words.say(shared::HQ_AWAY).to_owned(),
        }
    }
}

/// Above a list, while head office is away: how old what came from there may be.
#[must_use]
pub fn staleness(desk: &PageDesk, words: &Words<'_>) -> Markup {
    let sync = desk.bulletin.borrow().sync.clone();
    match HeadOffice::of(desk.has_hub, &sync, None) {
        HeadOffice::Away { since: Some(since) } => {
            html! { p.note.stale { (words.fill(shared::STALE_SINCE, &[("time", &words.moment(since))])) } }
        }
        _ => html! {},
    }
}

/// Something is in the way: what, what to do, and a code for whoever is called.
#[must_use]
pub fn failure(desk: &PageDesk, visitor: &Visitor, failure: Failure) -> Response {
    let words = visitor.words(desk);
    let (what, why) = failure.words();
    let main = html! {
        h1 { (words.say(what)) }
        p { (words.say(why)) }
        p.code { (words.fill(shared::ERROR_CODE, &[("code", failure.code())])) }
        p { a.button href="/" { (words.say(shared::TODAY)) } }
    };
    bare(desk, visitor, words.say(what), main, failure.status())
}

/// What a screen says while it asks for a PIN.
pub struct PinAsked<'a> {
    pub title: Text,
    pub why: Text,
    /// The field the PIN comes in.
    pub field: &'static str,
    /// Whose PIN counts. Empty: only that of whoever is signed in.
    pub provers: &'a [Person],
    pub trouble: Option<String>,
    pub submit: Text,
}

/// The form that was sent, once more, with a field for a PIN.
#[must_use]
pub fn ask_for_pin(desk: &PageDesk, visitor: &Visitor, form: &Form, asked: &PinAsked<'_>) -> Response {
    let words = visitor.words(desk);
    let path = visitor.path.split('?').next().unwrap_or("/");
    let main = html! {
        h1 { (words.say(asked.title)) }
        p { (words.say(asked.why)) }
        @if let Some(trouble) = &asked.trouble { p.trouble role="alert" { (trouble) } }
        form.card method="post" action=(path) {
            (token(visitor))
            @for (name, value) in form.carried() { input type="hidden" name=(name) value=(value); }
            @if asked.provers.len() > 1 || asked.provers.iter().any(|one| one.name != visitor.name()) {
                label for="pin_of" { (words.say(shared::WHOSE_PIN)) }
                select #pin_of name="pin_of" {
                    @for prover in asked.provers { option value=(prover.id) { (prover.name) } }
                }
            }
            (pin_field(&words, asked.field, shared::PIN, "one-time-code", true))
            div.buttons {
                button.primary type="submit" { (words.say(asked.submit)) }
                a.button href="/" { (words.say(shared::CANCEL)) }
            }
        }
    };
    bare(desk, visitor, words.say(asked.title), main, StatusCode::OK)
}

/// A field for a PIN. Never filled in by the browser: the screen is many people's.
#[must_use]
pub fn pin_field(words: &Words<'_>, name: &str, label: Text, fill: &str, is_first: bool) -> Markup {
    html! {
        label for=(name) { (words.say(label)) }
        input.pin #(name) name=(name) type="password" inputmode="numeric" pattern="[0-9]{4,8}" maxlength="8"
            autocomplete=(fill) required autofocus[is_first] data-pin;
    }
}

/// A picture of squares as the QR library draws it: nothing of a person's is in it.
#[must_use]
pub fn drawn(svg: String) -> Markup {
    PreEscaped(svg)
}
