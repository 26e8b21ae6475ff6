//! One shelf being counted: what was found where, and once it was added up how it differs from the books.
//!
//! **Invariant:** while a blind count goes on, nothing of what the books expect is in the page.

use super::{place, task_words};
use crate::http::reading::ask;
use crate::store::reader::{Expected, ItemView};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::guard::redirect;
use crate::ui::items::{name, query};
use crate::ui::layout::{self, Screen};
use crate::ui::people::audit::{self, Outcome};
use crate::ui::people::counts::{self, Entry, Sheet, SheetState};
use crate::ui::people::roles::{Deed, May};
use crate::ui::texts::count as texts;
use crate::ui::texts::shared;
use crate::ui::visitor::Visitor;
use crate::ui::words::Words;
use crate::ui::{Desk, PageDesk};
use crate::ui::{items, told, typed};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use sync_protocol::count::CountTask;
use sync_protocol::{Quantity, Sku};

/// A count that is older than this may not fit its shelf any more.
const OLD_MS: u64 = 15 * 60 * 1000;
const PLACE_BYTES_MAX: usize = 60;
/// Stands where a place would, for a piece that was scanned.
const BY_SCAN: &str = "*";

/// A count with all that is shown beside it.
struct Shown {
    sheet: Sheet,
    entries: Vec<Entry>,
    others: Vec<Sheet>,
    item: ItemView,
    task: Option<CountTask>,
    expected: Option<Expected>,
}

impl Shown {
    async fn of(desk: &PageDesk, id: i64) -> Result<Shown, Failure> {
        let found = desk
            .people
            .ask(move |db| Ok((counts::sheet(db, id)?, counts::entries(db, id)?, counts::open(db)?)))
            .await?;
        let (Some(sheet), entries, mut others) = found else { return Err(Failure::NotFound) };
        others.retain(|other| other.sku == sheet.sku && other.id != sheet.id);
        let sku: Sku = sheet.sku.parse().map_err(|_| Failure::NotFound)?;
        let position = sheet.position;
        let found = ask(&desk.reader, move |reader| {
            let Some(at) = reader.item(&sku)? else { return Ok(None) };
            Ok(Some((reader.open_task(at.view.item)?, reader.expected(&sku, position)?, at.view)))
        })
        .await?;
        let (task, expected, item) = found.ok_or(Failure::NotFound)?;
        Ok(Shown { sheet, entries, others, item, task, expected })
    }

    fn total(&self) -> Quantity {
        total(&self.entries)
    }

    fn amount(&self, words: &Words<'_>, quantity: Quantity) -> String {
        words.amount(quantity, &self.item.unit)
    }

    fn is_by_piece(&self) -> bool {
        matches!(self.item.unit.as_str(), "" | "each")
    }
}

pub(super) fn total<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Quantity {
    Quantity::from_thousandths(entries.into_iter().map(|entry| entry.quantity.thousandths()).sum())
}

pub async fn show(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let (words, asked) = (visitor.words(&desk), query(&visitor)?);
    let shown = Shown::of(&desk, asked.parsed("id").map_err(|_| Failure::NotFound)?).await?;
    let title = words.fill(texts::SHEET, &[("name", name(&shown.item))]);
    let said = said(&desk, &words, &visitor, &shown, &asked).await?;
    let main = html! {
        div #sheet.stack {
            h1 { (title) }
            p.soft { (words.fill(shared::SKU, &[("sku", &shown.item.sku)])) }
            (said)
            @match shown.sheet.state {
                SheetState::Counting => (counting(&words, &visitor, &shown)?),
                SheetState::Waiting => (waiting(&desk, &words, &visitor, &shown)),
                SheetState::Recorded => (recorded(&words, &shown)),
                SheetState::GivenUp => { p.panel { (words.say(texts::GIVEN_UP)) } },
            }
            p.buttons {
                a.button href=(super::PATH) { (words.say(texts::NEXT)) }
                a.button href=(items::place("/item", &shown.item.sku)) { (words.say(texts::TO_ITEM)) }
            }
        }
    };
    Ok(layout::page(&desk, &visitor, Screen::new(title.clone(), super::PATH, main)).await)
}

/// What became of what was just tried.
async fn said(
    desk: &PageDesk,
    words: &Words<'_>,
    visitor: &Visitor,
    shown: &Shown,
    asked: &Form,
) -> Result<Markup, Failure> {
    let refused = |text: &str| told::refusal(visitor, text);
    if asked.has("unknown") {
        return Ok(refused(&words.fill(texts::UNKNOWN_CODE, &[("code", asked.text("unknown"))])));
    }
    if let Ok(other) = asked.text("other").parse::<Sku>() {
        let found = ask(&desk.reader, move |reader| reader.item(&other)).await?.ok_or(Failure::NotFound)?;
        let item = found.view;
        return Ok(html! {
            (refused(&words.fill(texts::OTHER_ITEM, &[("name", name(&item)), ("sku", &item.sku)])))
            form method="post" action="/count/begin" {
                (layout::token(visitor))
                input type="hidden" name="sku" value=(item.sku);
                button type="submit" { (words.say(texts::COUNT_OTHER)) }
            }
        });
    }
    let trouble = match asked.text("trouble") {
        "quantity" => texts::NO_QUANTITY,
        "place" => texts::LONG_PLACE,
        "over" => texts::NOT_ENTERED,
        _ => return told_of_record(desk, words, visitor, shown, asked).await,
    };
    Ok(refused(words.say(trouble)))
}

async fn told_of_record(
    desk: &PageDesk,
    words: &Words<'_>,
    visitor: &Visitor,
    shown: &Shown,
    asked: &Form,
) -> Result<Markup, Failure> {
    let told = told::told(desk, visitor, asked.text("done")).await?;
    let Some(entry) = told.filter(|entry| entry.subject == shown.sheet.sku) else { return Ok(html! {}) };
    let said = if entry.outcome == Outcome::Done { texts::RECORDED } else { texts::NOT_SAVED };
    let standing = told::standing(desk, shown.item.changed);
    Ok(told::notice(words, &entry, words.say(said), Some(standing)))
}

/// Whose count it is, and managers, may go on with it.
fn may_work(visitor: &Visitor, sheet: &Sheet) -> bool {
    visitor.may(Deed::Count) != May::No
        && (visitor.name() == sheet.person || visitor.may(Deed::ApproveCount) == May::Yes)
}

fn counting(words: &Words<'_>, visitor: &Visitor, shown: &Shown) -> Result<Markup, Failure> {
    let Shown { sheet, entries, others, task, expected, .. } = shown;
    let once = audit::new_reference(visitor.now)?;
    let age = visitor.now.since(sheet.opened_at);
    Ok(html! {
        @if let Some(task) = task {
            p { (task_words::reasons(words, task)) }
            @if !task.remark.is_empty() { p { "“" (task.remark) "”" } }
        }
        @for other in others {
            p.stale { (words.fill(texts::OTHERS, &[("person", &other.person), ("time", &words.moment(other.opened_at))])) }
        }
        @if age > OLD_MS {
            p.stale { (words.fill(texts::LONG_AGO, &[("age", &words.since(sheet.opened_at))])) }
        }
        div.columns {
            section.panel {
                @if sheet.blind {
                    p { strong { (words.say(texts::BLIND)) } }
                } @else if let Some(expected) = expected {
                    p { (words.fill(texts::EXPECTED, &[("amount", &shown.amount(words, expected.on_hand))])) }
                }
                p.soft { (words.fill(texts::SINCE, &[("time", &words.moment(sheet.opened_at))])) }
                @if may_work(visitor, sheet) { (entry_form(words, visitor, shown, &once)) }
            }
            section.panel aria-labelledby="entries" {
                h2 #entries { (words.say(texts::ENTRIES)) }
                @if entries.is_empty() { p.empty { (words.say(texts::NO_ENTRIES)) } }
                (entry_list(words, visitor, shown))
                @if !entries.is_empty() {
                    p.headline { (words.fill(texts::TOTAL, &[("amount", &shown.amount(words, shown.total()))])) }
                    @if may_work(visitor, sheet) {
                        (button(visitor, sheet, "/count/finish", words.say(texts::FINISH), true))
                    }
                }
            }
        }
        @if may_work(visitor, sheet) {
            div.buttons {
                (button(visitor, sheet, "/count/again", words.say(texts::AGAIN), false))
                (button(visitor, sheet, "/count/give-up", words.say(texts::GIVE_UP), false))
            }
            @if shown.is_by_piece() {
                // Each answer brings a new sheet, and with it a new `once`.
                form.unseen data-scan="#sheet" method="post" action="/count/enter" aria-hidden="true" {
                    (layout::token(visitor))
                    input type="hidden" name="id" value=(sheet.id);
                    input type="hidden" name="once" value=(format!("s{once}"));
                    input type="hidden" name="code";
                }
            }
        }
    })
}

fn entry_form(words: &Words<'_>, visitor: &Visitor, shown: &Shown, once: &str) -> Markup {
    let label = if shown.is_by_piece() {
        words.say(texts::FOUND).to_owned()
    } else {
        words.fill(texts::FOUND_UNIT, &[("unit", &shown.item.unit)])
    };
    html! {
        form method="post" action="/count/enter" data-smooth="#sheet" {
            (layout::token(visitor))
            input type="hidden" name="id" value=(shown.sheet.id);
            input type="hidden" name="once" value=(once);
            label for="quantity" { (label) }
            input #quantity name="quantity" inputmode="decimal" autocomplete="off" maxlength="12" required autofocus;
            label for="place" { (words.say(texts::PLACE)) }
            input #place name="place" maxlength="40" autocomplete="off";
            div.buttons { button.primary type="submit" { (words.say(texts::ADD)) } }
        }
    }
}

/// What was scanned piece by piece is one line, from which the last piece can be taken out again.
fn entry_list(words: &Words<'_>, visitor: &Visitor, shown: &Shown) -> Markup {
    let (scanned, typed): (Vec<&Entry>, Vec<&Entry>) =
        shown.entries.iter().partition(|entry| entry.place == BY_SCAN);
    let last = scanned.iter().max_by_key(|entry| entry.id);
    html! {
        ul.rows {
            @if let Some(last) = last {
                (entry_row(words, visitor, shown, total(scanned.iter().copied()), words.say(texts::SCANNED), last))
            }
            @for entry in typed { (entry_row(words, visitor, shown, entry.quantity, &entry.place, entry)) }
        }
    }
}

/// `taken_out`: what the button beside it takes out.
fn entry_row(
    words: &Words<'_>,
    visitor: &Visitor,
    shown: &Shown,
    quantity: Quantity,
    place: &str,
    taken_out: &Entry,
) -> Markup {
    let amount = shown.amount(words, taken_out.quantity);
    html! {
        li {
            span {
                b { (shown.amount(words, quantity)) }
                @if !place.is_empty() { span.soft { " · " (place) } }
            }
            @if may_work(visitor, &shown.sheet) {
                form method="post" action="/count/remove" data-smooth="#sheet" {
                    (layout::token(visitor))
                    input type="hidden" name="id" value=(shown.sheet.id);
                    input type="hidden" name="entry" value=(taken_out.id);
                    button.quiet type="submit" { (words.fill(texts::REMOVE, &[("amount", &amount)])) }
                }
            }
        }
    }
}

fn button(visitor: &Visitor, sheet: &Sheet, action: &str, text: &str, is_primary: bool) -> Markup {
    html! {
        form method="post" action=(action) data-smooth="#sheet" {
            (layout::token(visitor))
            input type="hidden" name="id" value=(sheet.id);
            // A page that was left open must not decide about another count of the same sheet.
            input type="hidden" name="seen" value=(sheet.reference);
            button.primary[is_primary] type="submit" { (text) }
        }
    }
}

fn waiting(desk: &PageDesk, words: &Words<'_>, visitor: &Visitor, shown: &Shown) -> Markup {
    let Shown { sheet, expected, .. } = shown;
    let approves = visitor.may(Deed::ApproveCount);
    let is_shown = !sheet.blind || approves == May::Yes;
    let bound = shown.amount(words, desk.config.count_approval);
    html! {
        section.panel {
            p.stale {
                @if is_shown { (words.fill(texts::WAITS, &[("amount", &bound)])) }
                @else { (words.say(texts::WAITS_BLIND)) }
            }
            dl.figures {
                div { dt { (words.say(texts::COUNTED)) } dd { (shown.amount(words, sheet.counted.unwrap_or_default())) } }
                @if is_shown {
                    @if let Some(expected) = expected {
                        div { dt { (words.say(texts::EXPECTED_NAME)) } dd { (shown.amount(words, expected.on_hand)) } }
                    }
                    div { dt { (words.say(texts::VARIANCE)) } dd { (difference(words, shown)) } }
                }
            }
            p.soft { (words.fill(texts::BY, &[("person", &sheet.person), ("time", &words.moment(sheet.opened_at))])) }
            div.buttons {
                @if approves != May::No {
                    (button(visitor, sheet, "/count/approve", words.say(texts::APPROVE), true))
                }
                @if may_work(visitor, sheet) {
                    (button(visitor, sheet, "/count/again", words.say(texts::ASK_AGAIN), false))
                    (button(visitor, sheet, "/count/give-up", words.say(texts::GIVE_UP), false))
                }
            }
        }
    }
}

fn recorded(words: &Words<'_>, shown: &Shown) -> Markup {
    html! {
        section.panel {
            dl.figures {
                div { dt { (words.say(texts::COUNTED)) } dd { (shown.amount(words, shown.sheet.counted.unwrap_or_default())) } }
                div { dt { (words.say(texts::VARIANCE)) } dd { (difference(words, shown)) } }
            }
            @if shown.sheet.variance.is_none() { p.stale { (words.say(texts::TOO_LATE)) } }
        }
    }
}

fn difference(words: &Words<'_>, shown: &Shown) -> String {
    let variance = shown.sheet.variance.unwrap_or_default();
    let size = Quantity::from_thousandths(variance.thousandths().abs());
    match variance {
        variance if variance.is_zero() => words.say(texts::RIGHT).to_owned(),
        variance if variance.is_negative() => {
            words.fill(texts::FEWER, &[("amount", &shown.amount(words, size))])
        }
        _ => words.fill(texts::MORE, &[("amount", &shown.amount(words, size))]),
    }
}

/// The count that a form is about, if the visitor may go on with it.
pub(super) async fn own(desk: &PageDesk, visitor: &Visitor, form: &Form) -> Result<Sheet, Failure> {
    let id: i64 = form.parsed("id")?;
    let sheet = desk.people.ask(move |db| counts::sheet(db, id)).await?.ok_or(Failure::NotFound)?;
    if may_work(visitor, &sheet) { Ok(sheet) } else { Err(Failure::NotAllowed) }
}

/// `POST /count/enter`: what was typed, or one more piece that was scanned.
pub async fn enter(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let sheet = own(&desk, &visitor, &form).await?;
    let here = place(sheet.id);
    let (quantity, place) = if form.has("code") {
        let code = form.text("code").to_owned();
        let asked = code.clone();
        match ask(&desk.reader, move |reader| reader.item_named(&asked)).await? {
            Some(item) if item.sku == sheet.sku => (Quantity::ONE, BY_SCAN.to_owned()),
            Some(item) => return Ok(redirect(&with(&here, "other", &item.sku))),
            None => return Ok(redirect(&with(&here, "unknown", &code))),
        }
    } else {
        let Some(quantity) = typed::quantity(form.text("quantity"), visitor.language, true) else {
            return Ok(redirect(&with(&here, "trouble", "quantity")));
        };
        let Some(place) = typed::line(form.text("place"), PLACE_BYTES_MAX) else {
            return Ok(redirect(&with(&here, "trouble", "place")));
        };
        (quantity, place)
    };
    let (once, now) = (form.text("once").to_owned(), visitor.now);
    if once.is_empty() || once.len() > 64 {
        return Err(Failure::Unreadable);
    }
    let entered =
        desk.people.ask(move |db| counts::enter(db, sheet.id, &once, quantity, &place, now)).await?;
    Ok(redirect(&if entered { here } else { with(&here, "trouble", "over") }))
}

fn with(place: &str, name: &str, value: &str) -> String {
    let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    format!("{place}&{name}={value}")
}

pub async fn remove(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let sheet = own(&desk, &visitor, &form).await?;
    let entry: i64 = form.parsed("entry")?;
    desk.people.ask(move |db| counts::remove(db, sheet.id, entry)).await?;
    Ok(redirect(&place(sheet.id)))
}

pub async fn again(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let sheet = own(&desk, &visitor, &form).await?;
    if form.text("seen") == sheet.reference {
        let position = ask(&desk.reader, crate::store::reader::Reader::position).await?;
        let now = visitor.now;
        desk.people.ask(move |db| counts::again(db, sheet.id, position, now)).await?;
    }
    Ok(redirect(&place(sheet.id)))
}

pub async fn give_up(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let sheet = own(&desk, &visitor, &form).await?;
    let now = visitor.now;
    desk.people.ask(move |db| counts::give_up(db, sheet.id, now)).await?;
    Ok(redirect(&place(sheet.id)))
}
