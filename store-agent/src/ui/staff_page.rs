//! People and devices: adding people and letting them go, letting screens in and shutting them out, ending sessions, and the trail of
//! what was done.

use super::act::{Became, Deeds, audited};
use super::entering::{field, not_added};
use super::failure::Failure;
use super::form::Form;
use super::guard::redirect;
use super::layout::{self, Screen, token};
use super::order::refusals;
use super::people::audit::{self, Entry, Outcome};
use super::people::devices::{self, CODE_DIGITS, CODE_LIVES, Device};
use super::people::roles::{Deed, May, Role};
use super::people::sessions::{self, Session};
use super::people::staff::{self, NotAdded, Person};
use super::step_up::{Answer, permitted};
use super::texts::{Text, entering, people as texts, shared};
use super::visitor::Visitor;
use super::words::Words;
use super::{Desk, PageDesk};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use maud::{Markup, html};
use qrcode::QrCode;
use qrcode::render::svg;
use sync_protocol::UnixMillis;

/// Lines of the trail on one page.
const TRAIL_SHOWN: usize = 50;
/// Squares around the picture, as the standard has it, are drawn by the library.
const QR_PIXELS: u32 = 220;

pub async fn show(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    uri: Uri,
) -> Result<Response, Failure> {
    let query = Form::read(uri.query().unwrap_or_default().as_bytes())?;
    let reference = query.text("act").to_owned();
    let told = desk.people.ask(move |db| audit::entry(db, &reference)).await?;
    let told = told.filter(|entry| entry.person == visitor.name());
    page(&desk, &visitor, &query, told, html! {}).await
}

async fn page(
    desk: &PageDesk,
    visitor: &Visitor,
    query: &Form,
    told: Option<Entry>,
    above: Markup,
) -> Result<Response, Failure> {
    let words = visitor.words(desk);
    let before = query.parsed::<i64>("before").ok();
    let sees_trail = visitor.may(Deed::SeeAudit) == May::Yes;
    let (everybody, devices, sessions, trail) = desk
        .people
        .ask(move |db| {
            let trail = if sees_trail { audit::newest(db, before, TRAIL_SHOWN + 1)? } else { Vec::new() };
            Ok((staff::everybody(db)?, devices::all(db)?, sessions::all(db)?, trail))
        })
        .await?;
    let manages_people = visitor.may(Deed::ManagePeople) == May::Yes;
    let manages_devices = visitor.may(Deed::ManageDevices) == May::Yes;
    let main = html! {
        h1 { (words.say(shared::PEOPLE)) }
        @if let Some(entry) = &told { (outcome(&words, entry)) }
        (above)
        div.panels {
            @if manages_people { (staff_panel(&words, visitor, &everybody)) }
            @if manages_devices { (devices_panel(&words, visitor, &devices)) }
            (sessions_panel(&words, visitor, &sessions, manages_devices))
        }
        @if sees_trail { (trail_panel(&words, trail)) }
    };
    Ok(layout::page(desk, visitor, Screen::new(words.say(shared::PEOPLE), "/people", main)).await)
}

fn outcome(words: &Words<'_>, entry: &Entry) -> Markup {
    let (kind, said) = match entry.outcome {
        Outcome::Done => ("done", words.say(texts::DID)),
        Outcome::Refused => ("refused", refusal(words, &entry.detail)),
        Outcome::Begun => ("begun", words.say(shared::UNKNOWN_OUTCOME)),
    };
    html! {
        p.outcome data-outcome=(kind) data-reference=(entry.reference) {
            strong { (said) } " " span.soft { (words.say(shared::SAVED_HERE)) }
        }
    }
}

fn refusal(words: &Words<'_>, detail: &str) -> &'static str {
    words.say(match detail.split(' ').next().unwrap_or_default() {
        "name" => not_added(NotAdded::Name),
        "taken" => not_added(NotAdded::Taken),
        "pin-shape" => entering::PIN_SHAPE,
        "pin-guessable" => entering::PIN_GUESSABLE,
        "full" => entering::FULL,
        "last-manager" => entering::LAST_MANAGER,
        _ => shared::UNREADABLE,
    })
}

/// As the trail keeps it.
fn word(not: NotAdded) -> String {
    use super::people::pins::Unfit;
    match not {
        NotAdded::Name => "name",
        NotAdded::Taken => "taken",
        NotAdded::Pin(Unfit::Shape) => "pin-shape",
        NotAdded::Pin(Unfit::Guessable) => "pin-guessable",
        NotAdded::Full => "full",
        NotAdded::LastManager => "last-manager",
    }
    .to_owned()
}

fn role_words(role: Role) -> Text {
    match role {
        Role::Associate => shared::ROLE_ASSOCIATE,
        Role::Manager => shared::ROLE_MANAGER,
        Role::It => shared::ROLE_IT,
    }
}

fn role_choice(words: &Words<'_>, id: &str, chosen: Role) -> Markup {
    html! {
        label for=(id) { (words.say(texts::ROLE)) }
        select id=(id) name="role" {
            @for role in Role::ALL {
                option value=(role.name()) selected[role == chosen] { (words.say(role_words(role))) }
            }
        }
    }
}

fn staff_panel(words: &Words<'_>, visitor: &Visitor, everybody: &[Person]) -> Markup {
    html! {
        section.panel aria-labelledby="staff" {
            h2 #staff { (words.say(texts::STAFF)) " " span.count { (everybody.len()) } }
            ul.rows { @for person in everybody { (one_person(words, visitor, person)) } }
            details.aside {
                summary.button #add-person { (words.say(texts::ADD_PERSON)) }
                form.card method="post" action="/people/add" {
                    (token(visitor))
                    (field(words, &Form::default(), "name", texts::NAME, Some(entering::NAME_HINT), "off"))
                    (role_choice(words, "role", Role::Associate))
                    p.hint { (words.say(texts::ROLE_HINT)) }
                    (layout::pin_field(words, "new_pin", texts::FIRST_PIN, "new-password", false))
                    p.hint { (words.say(entering::PIN_HINT)) }
                    button.primary type="submit" { (words.say(texts::ADD)) }
                }
            }
        }
    }
}

fn one_person(words: &Words<'_>, visitor: &Visitor, person: &Person) -> Markup {
    let id = person.id;
    let is_self = person.name == visitor.name();
    let of_person = |act: &str, inside: Markup| {
        html! {
            form method="post" action={ "/people/" (act) } {
                (token(visitor))
                input type="hidden" name="person" value=(id);
                (inside)
            }
        }
    };
    html! {
        li {
            span { strong { (person.name) } @if is_self { " (" (words.say(texts::YOU)) ")" } }
            span.soft { (words.say(role_words(person.role))) }
            details.wide {
                summary.button.small id={ "change-" (id) } aria-label={ (words.say(texts::CHANGE)) ": " (person.name) } {
                    (words.say(texts::CHANGE))
                }
                div.card {
                    (of_person("role", html! {
                        (role_choice(words, &format!("role-{id}"), person.role))
                        button type="submit" { (words.say(texts::CHANGE_ROLE)) }
                    }))
                    (of_person("pin", html! {
                        label for={ "pin-" (id) } { (words.say(texts::NEW_PIN)) }
                        input.pin id={ "pin-" (id) } name="new_pin" type="password" inputmode="numeric" pattern="[0-9]{4,8}"
                            maxlength="8" autocomplete="new-password" required;
                        button type="submit" { (words.say(texts::CHANGE_PIN)) }
                    }))
                    (of_person("let-go", html! { button.danger type="submit" { (words.say(texts::LET_GO)) } }))
                }
            }
        }
    }
}

fn devices_panel(words: &Words<'_>, visitor: &Visitor, devices: &[Device]) -> Markup {
    let own = visitor.device.as_ref().map(|device| device.id);
    html! {
        section.panel aria-labelledby="devices" {
            h2 #devices { (words.say(texts::DEVICES)) " " span.count { (devices.len()) } }
            ul.rows {
                @for device in devices {
                    li {
                        span {
                            strong { (device.name) }
                            @if own == Some(device.id) { " (" (words.say(texts::THIS_DEVICE)) ")" }
                        }
                        span.soft {
                            (words.fill(texts::PAIRED, &[("time", &words.moment(device.paired_at)), ("name", &device.paired_by)]))
                            ", " (words.fill(texts::LAST_SEEN, &[("age", &words.since(device.last_seen))]))
                        }
                        form method="post" action="/people/revoke" {
                            (token(visitor))
                            input type="hidden" name="device" value=(device.id);
                            button.danger.small type="submit" aria-label={ (words.say(texts::REVOKE)) ": " (device.name) } {
                                (words.say(texts::REVOKE))
                            }
                        }
                    }
                }
            }
            form method="post" action="/people/offer-code" {
                (token(visitor))
                p.hint { (words.say(texts::PAIR_WHY)) }
                button #offer-code type="submit" { (words.say(texts::PAIR_NEW)) }
            }
        }
    }
}

fn sessions_panel(words: &Words<'_>, visitor: &Visitor, sessions: &[Session], all: bool) -> Markup {
    let own = visitor.session.as_ref().map(|session| session.id);
    let shown = sessions.iter().filter(|session| all || session.person.name == visitor.name());
    html! {
        section.panel aria-labelledby="sessions" {
            h2 #sessions { (words.say(texts::SESSIONS)) }
            ul.rows {
                @for session in shown {
                    li {
                        span {
                            strong {
                                (words.fill(texts::ON, &[("name", &session.person.name), ("device", &session.device_name)]))
                            }
                            @if own == Some(session.id) { " (" (words.say(texts::HERE)) ")" }
                        }
                        span.soft {
                            (words.fill(texts::SINCE, &[
                                ("time", &words.moment(session.started_at)), ("age", &words.since(session.last_act)),
                            ]))
                        }
                        @if own != Some(session.id) {
                            form method="post" action="/people/end" {
                                (token(visitor))
                                input type="hidden" name="session" value=(session.id);
                                button.small type="submit" { (words.say(texts::END)) }
                            }
                        }
                    }
                }
            }
            div.buttons {
                form method="post" action="/people/end-mine" {
                    (token(visitor))
                    button type="submit" { (words.say(texts::END_MINE)) }
                }
                @if all {
                    form method="post" action="/people/end-all" {
                        (token(visitor))
                        button type="submit" { (words.say(texts::END_ALL)) }
                    }
                }
            }
        }
    }
}

fn trail_panel(words: &Words<'_>, mut trail: Vec<Entry>) -> Markup {
    let has_more = trail.len() > TRAIL_SHOWN;
    trail.truncate(TRAIL_SHOWN);
    let heads = [texts::WHEN, texts::WHO, texts::WHERE, texts::WHAT, texts::TO_WHAT, texts::OUTCOME];
    html! {
        section.panel.trail aria-labelledby="trail" {
            h2 #trail { (words.say(texts::TRAIL)) }
            @if trail.is_empty() { p.empty { (words.say(texts::TRAIL_EMPTY)) } } @else {
                table {
                    thead { tr { @for head in heads { th scope="col" { (words.say(head)) } } } }
                    tbody {
                        @for entry in &trail {
                            tr {
                                td data-head=(words.say(heads[0])) { (words.moment_exactly(entry.at)) }
                                td data-head=(words.say(heads[1])) { (entry.person) }
                                td data-head=(words.say(heads[2])) { (entry.device) }
                                td data-head=(words.say(heads[3])) { (super::ledger_words::act(words, &entry.act)) }
                                td data-head=(words.say(heads[4])) { (entry.subject) }
                                td data-head=(words.say(heads[5])) {
                                    (words.say(outcome_words(entry.outcome)))
                                    (detail_words(words, entry))
                                }
                            }
                        }
                    }
                }
                @if has_more && let Some(last) = trail.last() {
                    p { a.button href={ "/people?before=" (last.id) "#trail" } { (words.say(texts::OLDER)) } }
                }
            }
        }
    }
}

/// The detail as people say it; what was refused is said as it was said then.
fn detail_words(words: &Words<'_>, entry: &Entry) -> Markup {
    let said = match entry.outcome {
        Outcome::Refused => match entry.detail.as_str() {
            "wrong-pin" => words.say(shared::PIN_WRONG).to_owned(),
            "wait" => String::new(),
            detail => refusals::words(words, detail, None),
        },
        Outcome::Done | Outcome::Begun => entry.detail.clone(),
    };
    html! { @if !said.is_empty() { span.soft { ": " (said) } } }
}

fn outcome_words(outcome: Outcome) -> Text {
    match outcome {
        Outcome::Done => texts::DONE,
        Outcome::Refused => texts::REFUSED,
        Outcome::Begun => texts::BEGUN,
    }
}

/// What the trail calls an act, in words; one of another screen goes by its own.
pub fn act_words(words: &Words<'_>, act: &str) -> String {
    let text = match act {
        "set_up" => texts::ACT_SET_UP,
        "sign_in" => texts::ACT_SIGN_IN,
        "pair_device" => texts::ACT_PAIR,
        "offer_code" => texts::ACT_OFFER,
        "revoke_device" => texts::ACT_REVOKE,
        "add_person" => texts::ACT_ADD,
        "change_role" => texts::ACT_ROLE,
        "change_pin" => texts::ACT_PIN,
        "let_go" => texts::ACT_LET_GO,
        "end_session" => texts::ACT_END,
        "accept" => texts::ACT_ACCEPT,
        "scan" | "pick" => texts::ACT_PICK,
        "short" => texts::ACT_SHORT,
        "ready" => texts::ACT_READY,
        "refuse" => texts::ACT_REFUSE,
        "acknowledge_cancel" => texts::ACT_ACKNOWLEDGE,
        "put_back" => texts::ACT_PUT_BACK,
        "hand_over" => texts::ACT_HAND_OVER,
        "undo" => texts::ACT_UNDO,
        other => return other.replace('_', " "),
    };
    words.say(text).to_owned()
}

/// `POST /people/{act}`.
pub async fn act(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
    headers: HeaderMap,
    Path(act): Path<String>,
) -> Result<Response, Failure> {
    let (act, deed) = named(&act).ok_or(Failure::NotFound)?;
    let mut approved_by = None;
    if let Some(deed) = deed {
        match permitted(&desk, &visitor, &form, deed).await? {
            Answer::Permitted(permit) => approved_by = permit.approved_by,
            Answer::Asks(response) => return Ok(response),
        }
    }
    let code = if act == "offer_code" { Some(new_code()?) } else { None };
    let subject = subject(&desk, &visitor, &form, act).await?;
    let deeds = Deeds { act, subject, approved_by };
    let reference =
        audited(&desk, &visitor, deeds, tried(&desk, &visitor, &form, act, code.as_deref())).await?;
    desk.people.closed_a_door();
    match code {
        Some(code) => {
            let shown = offered(&desk, &visitor, &headers, &code);
            page(&desk, &visitor, &Form::default(), None, shown).await
        }
        None => Ok(redirect(&format!("/people?act={reference}"))),
    }
}

/// What an act is to the trail, and to the table of roles. `None`: everybody may, for themselves.
fn named(act: &str) -> Option<(&'static str, Option<Deed>)> {
    Some(match act {
        "add" => ("add_person", Some(Deed::ManagePeople)),
        "role" => ("change_role", Some(Deed::ManagePeople)),
        "pin" => ("change_pin", Some(Deed::ManagePeople)),
        "let-go" => ("let_go", Some(Deed::ManagePeople)),
        "revoke" => ("revoke_device", Some(Deed::ManageDevices)),
        "offer-code" => ("offer_code", Some(Deed::ManageDevices)),
        "end" => ("end_session", Some(Deed::ManageDevices)),
        "end-all" => ("end_all", Some(Deed::ManageDevices)),
        "end-mine" => ("end_mine", None),
        _ => return None,
    })
}

/// Whom or what it is done to, by name.
async fn subject(desk: &PageDesk, visitor: &Visitor, form: &Form, act: &str) -> Result<String, Failure> {
    let id = |name: &str| form.parsed::<i64>(name);
    Ok(match act {
        "add_person" => form.text("name").chars().take(64).collect(),
        "change_role" | "change_pin" | "let_go" => {
            let id = id("person")?;
            let found = desk.people.ask(move |db| staff::person(db, id)).await?;
            found.ok_or(Failure::NotFound)?.name
        }
        "revoke_device" => {
            let id = id("device")?;
            let all = desk.people.ask(|db| devices::all(db)).await?;
            all.into_iter().find(|device| device.id == id).ok_or(Failure::NotFound)?.name
        }
        "end_session" => {
            let id = id("session")?;
            let found = desk.people.ask(move |db| sessions::open(db, id)).await?;
            found.ok_or(Failure::NotFound)?.person.name
        }
        _ => visitor.name().to_owned(),
    })
}

async fn tried(
    desk: &PageDesk,
    visitor: &Visitor,
    form: &Form,
    act: &'static str,
    code: Option<&str>,
) -> Became {
    let Some(own) = visitor.session.clone() else { return Err("nobody".to_owned()) };
    let id = |name: &str| form.parsed::<i64>(name).unwrap_or(0);
    let (person, device, session) = (id("person"), id("device"), id("session"));
    let (name, pin) = (form.text("name").to_owned(), form.text("new_pin").to_owned());
    let role = Role::ALL.into_iter().find(|role| role.name() == form.text("role"));
    let (code, now) = (code.map(str::to_owned), visitor.now);
    let done = desk
        .people
        .ask(move |db| {
            Ok(match (act, role, code) {
                ("add_person", Some(role), _) => staff::add(db, &name, role, &pin, now)?.map(drop),
                ("change_role", Some(role), _) => staff::change_role(db, person, role)?,
                ("change_pin", ..) => staff::change_pin(db, person, &pin)?,
                ("let_go", ..) => staff::let_go(db, person, now)?,
                ("revoke_device", ..) => Ok(devices::revoke(db, device, now)?),
                ("offer_code", _, Some(code)) => Ok(devices::offer_code(db, &code, &own.person.name, now)?),
                ("end_session", ..) => Ok(sessions::end(db, session, now)?),
                ("end_all", ..) => Ok(sessions::end_everybodys(db, own.id, now).map(drop)?),
                ("end_mine", ..) => Ok(sessions::end_all_of(db, own.person.id, Some(own.id), now).map(drop)?),
                _ => Err(NotAdded::Name),
            })
        })
        .await;
    match done {
        Ok(Ok(())) => Ok(String::new()),
        Ok(Err(not)) => Err(word(not)),
        Err(error) => {
            tracing::error!(%error, "the people's database could not be used");
            Err("storage".to_owned())
        }
    }
}

fn new_code() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    let number = u64::from_le_bytes(bytes) % 10u64.pow(u32::try_from(CODE_DIGITS).unwrap_or(8));
    Ok(format!("{number:0CODE_DIGITS$}"))
}

/// The code in digits, and as a picture for a camera. In the address it stands after the `#`, which a browser never sends.
fn offered(desk: &PageDesk, visitor: &Visitor, headers: &HeaderMap, code: &str) -> Markup {
    let words = visitor.words(desk);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if desk.config.tls.is_some() { "https" } else { "http" };
    let address = format!("{scheme}://{host}/pair");
    let until = UnixMillis(visitor.now.0.saturating_add(i64::try_from(CODE_LIVES.as_millis()).unwrap_or(0)));
    html! {
        section.panel.offered aria-labelledby="offered" {
            h2 #offered { (words.say(texts::CODE)) }
            div.pair {
                div {
                    p.digits { (&code[..CODE_DIGITS / 2]) " " (&code[CODE_DIGITS / 2..]) }
                    p { (words.fill(texts::CODE_HOW, &[("address", &address)])) }
                    p.hint { (words.fill(texts::CODE_UNTIL, &[("time", &words.moment(until))])) }
                }
                @if let Some(picture) = picture(&format!("{address}#{code}")) {
                    figure.qr role="img" aria-label=(words.say(texts::QR)) { (layout::drawn(picture)) }
                }
            }
        }
    }
}

fn picture(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let drawn = code.render().min_dimensions(QR_PIXELS, QR_PIXELS).dark_color(svg::Color("#000")).build();
    // Only the drawing: a page is no place for the head of a file of its own.
    Some(drawn[drawn.find("<svg")?..].to_owned())
}
