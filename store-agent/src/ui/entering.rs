//! The doors: setting up, letting a screen in, signing in, the lock; and the language, which everybody may choose.

use super::failure::Failure;
use super::form::Form;
use super::guard::{own_place, redirect};
use super::layout::{self, PinAsked};
use super::people::audit::{self, Begun, Outcome};
use super::people::doors::{self, Door, Wait};
use super::people::roles::Role;
use super::people::staff::{self, NotAdded, Person};
use super::people::{devices, new_secret, pins, sessions};
use super::texts::{Language, Text, entering as texts, shared};
use super::visitor::{Cookie, Visitor};
use super::words::Words;
use super::{Desk, PageDesk, live};
use crate::http::reading::ask;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::Response;
use maud::{Markup, html};

type Asked = Extension<Visitor>;
type Sent = Extension<Form>;

/// Where to go once the door is passed.
fn next_of(uri: &Uri) -> String {
    let query = Form::read(uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    own_place(query.text("next")).to_owned()
}

fn cookies(mut response: Response, set: &[axum::http::HeaderValue]) -> Response {
    set.iter().for_each(|cookie| {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    });
    response
}

pub async fn setup_form(State(desk): Desk, Extension(visitor): Asked) -> Response {
    if visitor.is_set_up {
        return redirect("/");
    }
    setup_page(&desk, &visitor, &Form::default(), None)
}

fn setup_page(desk: &PageDesk, visitor: &Visitor, form: &Form, trouble: Option<String>) -> Response {
    let words = visitor.words(desk);
    let status = if trouble.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let main = html! {
        h1 { (words.say(texts::SETUP)) }
        p { (words.say(texts::SETUP_WHY)) }
        (told(&trouble))
        form.card method="post" action="/set-up" {
            (layout::token(visitor))
            (field(&words, form, "code", texts::SETUP_CODE, Some(texts::SETUP_CODE_HINT), "off"))
            (field(&words, form, "name", texts::YOUR_NAME, Some(texts::NAME_HINT), "off"))
            (layout::pin_field(&words, "pin", texts::CHOOSE_PIN, "new-password", false))
            p.hint { (words.say(texts::PIN_HINT)) }
            (layout::pin_field(&words, "pin_again", texts::PIN_AGAIN, "new-password", false))
            (field(&words, form, "device", texts::DEVICE_NAME, Some(texts::DEVICE_NAME_HINT), "off"))
            button.primary type="submit" { (words.say(texts::SET_UP)) }
        }
    };
    layout::bare(desk, visitor, words.say(texts::SETUP), main, status)
}

pub async fn set_up(
    State(desk): Desk,
    Extension(visitor): Asked,
    Extension(form): Sent,
) -> Result<Response, Failure> {
    if visitor.is_set_up {
        return Ok(redirect("/"));
    }
    let words = visitor.words(&desk);
    let again = |trouble: String| Ok(setup_page(&desk, &visitor, &form, Some(trouble)));
    let now = visitor.now;
    if let Err(Wait(wait)) = desk.people.ask(move |db| doors::knock(db, &[Door::Setup], now)).await? {
        return again(words.fill(texts::WAIT, &[("age", &words.age(wait))]));
    }
    if !desk.setup.is(form.text("code")) {
        return again(words.say(texts::WRONG_SETUP_CODE).to_owned());
    }
    desk.people.ask(|db| doors::forgive(db, &[Door::Setup])).await?;
    let device_name = form.text("device").to_owned();
    if !devices::is_name(&device_name) {
        return again(words.say(texts::DEVICE_UNFIT).to_owned());
    }
    if form.text("pin") != form.text("pin_again") {
        return again(words.say(texts::PIN_DIFFERS).to_owned());
    }
    let (name, pin) = (form.text("name").to_owned(), form.text("pin").to_owned());
    let (device_secret, session_secret) = (new_secret()?, new_secret()?);
    let (kept_device, kept_session) = (device_secret.clone(), session_secret.clone());
    let added = desk
        .people
        .ask(move |db| {
            // Two at once: only the first finds nobody here.
            if staff::is_anybody_here(db)? {
                return Ok(Err(NotAdded::Taken));
            }
            let person = match staff::add(db, &name, Role::Manager, &pin, now)? {
                Ok(person) => person,
                Err(not) => return Ok(Err(not)),
            };
            let device = devices::pair(db, &device_name, &kept_device, &name, now)?;
            let begun = Begun { person: name.clone(), device: device_name, act: "set_up", subject: name };
            let reference = audit::begin(db, &begun, now)?;
            sessions::start(db, person, device, &kept_session, now)?;
            audit::complete(db, &reference, Outcome::Done, "")?;
            Ok(Ok(()))
        })
        .await?;
    if let Err(not) = added {
        return again(words.say(not_added(not)).to_owned());
    }
    desk.setup.remove();
    let set = [
        live::cookie(&desk, Cookie::Device, &device_secret),
        live::cookie(&desk, Cookie::Session, &session_secret),
        live::cookie(&desk, Cookie::Door, ""),
    ];
    Ok(cookies(redirect("/"), &set))
}

/// Why somebody can't be added, in words.
#[must_use]
pub fn not_added(not: NotAdded) -> Text {
    match not {
        NotAdded::Name => texts::NAME_UNFIT,
        NotAdded::Taken => texts::NAME_TAKEN,
        NotAdded::Pin(pins::Unfit::Shape) => texts::PIN_SHAPE,
        NotAdded::Pin(pins::Unfit::Guessable) => texts::PIN_GUESSABLE,
        NotAdded::Full => texts::FULL,
        NotAdded::LastManager => texts::LAST_MANAGER,
    }
}

pub async fn pair_form(State(desk): Desk, Extension(visitor): Asked) -> Response {
    if !visitor.is_set_up {
        return redirect("/set-up");
    }
    if visitor.device.is_some() {
        return redirect("/");
    }
    pair_page(&desk, &visitor, &Form::default(), None)
}

fn pair_page(desk: &PageDesk, visitor: &Visitor, form: &Form, trouble: Option<String>) -> Response {
    let words = visitor.words(desk);
    let status = if trouble.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let main = html! {
        h1 { (words.say(texts::PAIR)) }
        p { (words.say(texts::PAIR_WHY)) }
        (told(&trouble))
        form.card method="post" action="/pair" {
            (layout::token(visitor))
            label for="code" { (words.say(texts::PAIR_CODE)) }
            // `page.js` fills it from the part of the address that a browser never sends.
            input #code name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="12" required autofocus
                aria-describedby="code-hint" data-from-fragment;
            p #code-hint .hint { (words.say(texts::PAIR_CODE_HINT)) }
            (field(&words, form, "device", texts::DEVICE_NAME, Some(texts::DEVICE_NAME_HINT), "off"))
            button.primary type="submit" { (words.say(texts::PAIR_BUTTON)) }
        }
    };
    layout::bare(desk, visitor, words.say(texts::PAIR), main, status)
}

pub async fn pair(
    State(desk): Desk,
    Extension(visitor): Asked,
    Extension(form): Sent,
) -> Result<Response, Failure> {
    if !visitor.is_set_up || visitor.device.is_some() {
        return Ok(redirect("/"));
    }
    let words = visitor.words(&desk);
    let name = form.text("device").to_owned();
    if !devices::is_name(&name) {
        return Ok(pair_page(&desk, &visitor, &form, Some(words.say(texts::DEVICE_UNFIT).to_owned())));
    }
    let code: String = form.text("code").chars().filter(char::is_ascii_digit).collect();
    let (secret, now) = (new_secret()?, visitor.now);
    let kept = secret.clone();
    let paired = desk
        .people
        .ask(move |db| {
            let by = match devices::use_code(db, &code, now)? {
                Ok(Some(by)) => by,
                Ok(None) => return Ok(Ok(false)),
                Err(wait) => return Ok(Err(wait)),
            };
            let begun =
                Begun { person: by.clone(), device: name.clone(), act: "pair_device", subject: name.clone() };
            let reference = audit::begin(db, &begun, now)?;
            devices::pair(db, &name, &kept, &by, now)?;
            audit::complete(db, &reference, Outcome::Done, "")?;
            Ok(Ok(true))
        })
        .await?;
    match paired {
        Ok(true) => {
            desk.people.closed_a_door();
            let set = [live::cookie(&desk, Cookie::Device, &secret), live::cookie(&desk, Cookie::Door, "")];
            Ok(cookies(redirect("/sign-in"), &set))
        }
        Ok(false) => {
            Ok(pair_page(&desk, &visitor, &form, Some(words.say(texts::WRONG_PAIR_CODE).to_owned())))
        }
        Err(Wait(wait)) => {
            let told = words.fill(texts::WAIT, &[("age", &words.age(wait))]);
            Ok(pair_page(&desk, &visitor, &form, Some(told)))
        }
    }
}

pub async fn sign_in_form(
    State(desk): Desk,
    Extension(visitor): Asked,
    uri: Uri,
) -> Result<Response, Failure> {
    if !visitor.is_set_up || visitor.device.is_none() {
        return Ok(redirect("/pair"));
    }
    if visitor.session.is_some() {
        return Ok(redirect("/"));
    }
    let query = Form::read(uri.query().unwrap_or_default().as_bytes())?;
    let chosen = query.parsed::<i64>("person").ok();
    sign_in_page(&desk, &visitor, chosen, &next_of(&uri), None).await
}

async fn sign_in_page(
    desk: &PageDesk,
    visitor: &Visitor,
    chosen: Option<i64>,
    next: &str,
    trouble: Option<String>,
) -> Result<Response, Failure> {
    let words = visitor.words(desk);
    let everybody = desk.people.ask(|db| staff::everybody(db)).await?;
    let status = if trouble.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let chosen = everybody.iter().find(|person| Some(person.id) == chosen);
    let main = match chosen {
        None => who_is_there(&words, &everybody, next, &orders_wait(desk, &words).await?),
        Some(person) => html! {
            h1 { (words.fill(texts::HELLO, &[("name", &person.name)])) }
            (told(&trouble))
            form.card method="post" action="/sign-in" {
                (layout::token(visitor))
                input type="hidden" name="person" value=(person.id);
                input type="hidden" name="next" value=(next);
                (layout::pin_field(&words, "pin", shared::PIN, "off", true))
                button.primary type="submit" { (words.say(texts::SIGN_IN)) }
            }
            p { a.button href="/sign-in" { (words.say(texts::NOT_ME)) } }
        },
    };
    let title = chosen.map_or(words.say(texts::WHO).to_owned(), |_| words.say(texts::SIGN_IN).to_owned());
    Ok(layout::bare(desk, visitor, &title, main, status))
}

fn who_is_there(words: &Words<'_>, everybody: &[Person], next: &str, orders: &str) -> Markup {
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    html! {
        h1 { (words.say(texts::WHO)) }
        p { (words.say(texts::WHO_WHY)) }
        ul.names {
            @for person in everybody {
                li { a.name href={ "/sign-in?person=" (person.id) "&next=" (next) } { (person.name) } }
            }
        }
        p.note { (orders) }
    }
}

/// What a locked screen may tell whoever passes: how much waits, and nobody's name.
async fn orders_wait(desk: &PageDesk, words: &Words<'_>) -> Result<String, Failure> {
    let waiting = ask(&desk.reader, |reader| reader.waiting_orders()).await?;
    Ok(match waiting.active {
        0 => words.say(texts::WAITING_ORDERS_NONE).to_owned(),
        count => words.language.count(count as u64, texts::WAITING_ORDERS_ONE, texts::WAITING_ORDERS_MORE),
    })
}

pub async fn sign_in(
    State(desk): Desk,
    Extension(visitor): Asked,
    Extension(form): Sent,
) -> Result<Response, Failure> {
    let Some(device) = &visitor.device else { return Ok(redirect("/pair")) };
    let (person, next) = (form.parsed::<i64>("person")?, own_place(form.text("next")).to_owned());
    let (pin, device_id, now) = (form.text("pin").to_owned(), device.id, visitor.now);
    let secret = new_secret()?;
    let (kept, device_name) = (secret.clone(), device.name.clone());
    let proved = desk
        .people
        .ask(move |db| {
            let name = staff::person(db, person)?.map(|person| person.name).unwrap_or_default();
            let begun = Begun { person: name.clone(), device: device_name, act: "sign_in", subject: name };
            let reference = audit::begin(db, &begun, now)?;
            let proved = staff::prove(db, person, device_id, &pin, now)?;
            let (outcome, detail) = match proved {
                Ok(true) => {
                    sessions::start(db, person, device_id, &kept, now)?;
                    (Outcome::Done, "")
                }
                Ok(false) => (Outcome::Refused, "wrong-pin"),
                Err(_) => (Outcome::Refused, "wait"),
            };
            audit::complete(db, &reference, outcome, detail)?;
            Ok(proved)
        })
        .await?;
    let words = visitor.words(&desk);
    let trouble = match proved {
        Ok(true) => {
            desk.people.closed_a_door();
            return Ok(cookies(redirect(&next), &[live::cookie(&desk, Cookie::Session, &secret)]));
        }
        Ok(false) => words.say(shared::PIN_WRONG).to_owned(),
        Err(Wait(wait)) => words.fill(shared::PIN_WAIT, &[("age", &words.age(wait))]),
    };
    sign_in_page(&desk, &visitor, Some(person), &next, Some(trouble)).await
}

pub async fn locked(State(desk): Desk, Extension(visitor): Asked, uri: Uri) -> Result<Response, Failure> {
    if !visitor.is_locked {
        return Ok(redirect(if visitor.session.is_some() { "/" } else { "/sign-in" }));
    }
    locked_page(&desk, &visitor, &next_of(&uri), None).await
}

async fn locked_page(
    desk: &PageDesk,
    visitor: &Visitor,
    next: &str,
    trouble: Option<String>,
) -> Result<Response, Failure> {
    let words = visitor.words(desk);
    let orders = orders_wait(desk, &words).await?;
    let status = if trouble.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let main = html! {
        h1 { (words.say(texts::LOCKED)) }
        p { (words.fill(texts::HELLO, &[("name", visitor.name())])) ". " (words.say(texts::LOCKED_WHY)) }
        (told(&trouble))
        form.card method="post" action="/locked" {
            (layout::token(visitor))
            input type="hidden" name="next" value=(next);
            (layout::pin_field(&words, "pin", shared::PIN, "off", true))
            button.primary type="submit" { (words.say(texts::UNLOCK)) }
        }
        form method="post" action="/sign-out" {
            (layout::token(visitor))
            button type="submit" { (words.say(texts::NOT_ME)) }
        }
        p.note { (orders) }
    };
    Ok(layout::bare(desk, visitor, words.say(texts::LOCKED), main, status))
}

pub async fn unlock(
    State(desk): Desk,
    Extension(visitor): Asked,
    Extension(form): Sent,
) -> Result<Response, Failure> {
    let next = own_place(form.text("next")).to_owned();
    if visitor.session.is_none() {
        return Ok(redirect("/sign-in"));
    }
    match prove_self(&desk, &visitor, form.text("pin")).await? {
        None => Ok(redirect(&next)),
        Some(trouble) => locked_page(&desk, &visitor, &next, Some(trouble)).await,
    }
}

/// A form that was sent from a locked screen: `None` once its PIN has unlocked it, else the same form with a field for the PIN.
pub async fn unlock_for(
    desk: &PageDesk,
    visitor: &mut Visitor,
    form: &Form,
) -> Result<Option<Response>, Failure> {
    let mut trouble = None;
    if form.has("unlock_pin") {
        trouble = prove_self(desk, visitor, form.text("unlock_pin")).await?;
        if trouble.is_none() {
            visitor.is_locked = false;
            if let Some(session) = &mut visitor.session {
                (session.last_act, session.proven_at) = (visitor.now, visitor.now);
            }
            return Ok(None);
        }
    }
    let asked = PinAsked {
        title: texts::LOCKED,
        why: texts::LOCKED_WHY,
        field: "unlock_pin",
        provers: &[],
        trouble,
        submit: texts::UNLOCK,
    };
    Ok(Some(layout::ask_for_pin(desk, visitor, form, &asked)))
}

/// `None`: it is their PIN, and the screen is theirs again.
async fn prove_self(desk: &PageDesk, visitor: &Visitor, pin: &str) -> Result<Option<String>, Failure> {
    let Some(session) = &visitor.session else { return Err(Failure::NotAllowed) };
    let (id, device, person) = (session.id, session.device, session.person.id);
    let (pin, now) = (pin.to_owned(), visitor.now);
    let proved = desk
        .people
        .ask(move |db| {
            let proved = staff::prove(db, person, device, &pin, now)?;
            if proved == Ok(true) {
                sessions::proven(db, id, now)?;
            }
            Ok(proved)
        })
        .await?;
    let words = visitor.words(desk);
    Ok(match proved {
        Ok(true) => None,
        Ok(false) => Some(words.say(shared::PIN_WRONG).to_owned()),
        Err(Wait(wait)) => Some(words.fill(shared::PIN_WAIT, &[("age", &words.age(wait))])),
    })
}

/// Locks the screen at once.
pub async fn lock(State(desk): Desk, Extension(visitor): Asked) -> Result<Response, Failure> {
    if let Some(session) = &visitor.session {
        let id = session.id;
        desk.people.ask(move |db| sessions::touched(db, id, sync_protocol::UnixMillis(0))).await?;
        desk.people.closed_a_door();
    }
    Ok(redirect("/locked"))
}

pub async fn sign_out(State(desk): Desk, Extension(visitor): Asked) -> Result<Response, Failure> {
    if let Some(session) = &visitor.session {
        let (id, now) = (session.id, visitor.now);
        desk.people.ask(move |db| sessions::end(db, id, now)).await?;
        desk.people.closed_a_door();
    }
    Ok(cookies(redirect("/sign-in"), &[live::cookie(&desk, Cookie::Session, "")]))
}

pub async fn choose_language(
    State(desk): Desk,
    Extension(visitor): Asked,
    Extension(form): Sent,
) -> Result<Response, Failure> {
    let language = Language::of(form.text("language")).ok_or(Failure::Unreadable)?;
    if let Some(session) = &visitor.session {
        let person = session.person.id;
        desk.people.ask(move |db| staff::choose_language(db, person, language)).await?;
    }
    let place = redirect(own_place(form.text("next")));
    Ok(cookies(place, &[live::cookie(&desk, Cookie::Language, language.code())]))
}

fn told(trouble: &Option<String>) -> Markup {
    html! { @if let Some(trouble) = trouble { p.trouble role="alert" { (trouble) } } }
}

/// A field of one line with its label, its hint, and what was typed before.
pub fn field(
    words: &Words<'_>,
    form: &Form,
    name: &str,
    label: Text,
    hint: Option<Text>,
    fill: &str,
) -> Markup {
    let hint_id = format!("{name}-hint");
    html! {
        label for=(name) { (words.say(label)) }
        input #(name) name=(name) value=(form.text(name)) autocomplete=(fill) maxlength="64" required
            aria-describedby=[hint.map(|_| hint_id.as_str())];
        @if let Some(hint) = hint { p #(hint_id) .hint { (words.say(hint)) } }
    }
}
