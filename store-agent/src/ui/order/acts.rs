//! What is done with an order from the page: read from a form, allowed, written to the trail, asked of the core.

use super::{known, number, refusals};
use crate::agent::pickup::{Request, Wish};
use crate::counter::LineKey;
use crate::store::reader::{ItemView, OrderView};
use crate::ui::act::{Became, Deeds, audited};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::guard::redirect;
use crate::ui::people::roles::Deed;
use crate::ui::step_up::{Answer, permitted};
use crate::ui::today::item_name;
use crate::ui::visitor::Visitor;
use crate::ui::{Desk, PageDesk};
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use sync_protocol::order::lifecycle::REFUSAL_BYTES_MAX;
use sync_protocol::order::{Act, OrderId, ShortReason};
use sync_protocol::{Gtin, Quantity, Sku};

/// `POST /orders/{order}/{act}`.
pub async fn act(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
    Path((order, act)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let order = number(&order)?;
    let (act, deed) = named(&act).ok_or(Failure::NotFound)?;
    let permit = match permitted(&desk, &visitor, &form, deed).await? {
        Answer::Permitted(permit) => permit,
        Answer::Asks(response) => return Ok(response),
    };
    let deeds = Deeds { act, subject: order.to_string(), approved_by: permit.approved_by };
    let reference = audited(&desk, &visitor, deeds, tried(&desk, &visitor, &form, order, act)).await?;
    Ok(redirect(&format!("/orders/{order}?act={reference}")))
}

/// The acts of this screen, as the trail names them, and what they are to the table of roles.
fn named(act: &str) -> Option<(&'static str, Deed)> {
    Some(match act {
        "accept" => ("accept", Deed::WorkOnOrders),
        "scan" => ("scan", Deed::WorkOnOrders),
        "pick" => ("pick", Deed::WorkOnOrders),
        "short" => ("short", Deed::WorkOnOrders),
        "ready" => ("ready", Deed::WorkOnOrders),
        "refuse" => ("refuse", Deed::WorkOnOrders),
        "acknowledge-cancel" => ("acknowledge_cancel", Deed::WorkOnOrders),
        "put-back" => ("put_back", Deed::WorkOnOrders),
        "undo" => ("undo", Deed::UndoHandOver),
        _ => return None,
    })
}

async fn tried(desk: &PageDesk, visitor: &Visitor, form: &Form, order: OrderId, act: &'static str) -> Became {
    let view = known(desk, order).await.map_err(|_| format!("no-such-order {order}"))?;
    let (act, what) = match act {
        "accept" => (Act::Accept, String::new()),
        "scan" => scanned(&view, form.text("code"))?,
        "pick" => picked(&view, form)?,
        "short" => short(&view, form)?,
        "ready" => (Act::Ready, String::new()),
        "refuse" => (Act::Refuse { reason: reason(form)? }, String::new()),
        "acknowledge_cancel" => (Act::AcknowledgeCancel, String::new()),
        "put_back" => (Act::PutBack, String::new()),
        _ => (Act::Undo, String::new()),
    };
    let revision = form.parsed::<u32>("revision").ok();
    asked(desk, Request { by: visitor.name().to_owned(), wish: Wish::Act { order, act, revision } }).await?;
    Ok(what)
}

/// Asks the core.
pub async fn asked(desk: &PageDesk, request: Request) -> Result<OrderId, String> {
    let answer = desk.inbox.pickup(request).await.map_err(refusals::unheard)?;
    answer.map(|row| row.order).map_err(|error| refusals::pickup(&error))
}

/// One unit of what was scanned, or all that is left of what is weighed.
fn scanned(view: &OrderView, code: &str) -> Result<(Act, String), String> {
    let short: String = code.chars().filter(|letter| !letter.is_control()).take(40).collect();
    let key = line_key(code).ok_or_else(|| format!("unreadable {short}"))?;
    let item = key.among(view).ok_or_else(|| format!("not-in-order {short}"))?;
    let left = left_of(view, item);
    if !left.is_positive() {
        return Err(format!("enough {}", item_name(&item.name, &item.sku)));
    }
    let quantity = if is_counted(item) { Quantity::ONE.min(left) } else { left };
    Ok((Act::Pick { item: item.item, quantity }, what(item, quantity)))
}

fn line_key(code: &str) -> Option<LineKey> {
    let gtin = code.parse::<Gtin>().ok().map(LineKey::Gtin);
    gtin.or_else(|| code.parse::<Sku>().ok().map(LineKey::Sku))
}

fn picked(view: &OrderView, form: &Form) -> Result<(Act, String), String> {
    let (item, quantity) = (item_of(view, form)?, amount(form)?);
    Ok((Act::Pick { item: item.item, quantity }, what(item, quantity)))
}

fn short(view: &OrderView, form: &Form) -> Result<(Act, String), String> {
    let (item, quantity) = (item_of(view, form)?, amount(form)?);
    let reasons = [ShortReason::NotFound, ShortReason::Damaged, ShortReason::WrongShelf];
    let why = reasons.into_iter().find(|why| why.name() == form.text("why")).ok_or("reason")?;
    Ok((Act::Short { item: item.item, quantity, why }, what(item, quantity)))
}

fn item_of<'a>(view: &'a OrderView, form: &Form) -> Result<&'a ItemView, String> {
    let number: u32 = form.parsed("item").map_err(|_| "not-in-order".to_owned())?;
    let found = view.items.iter().flatten().find(|item| item.item.0 == number);
    found.ok_or_else(|| "not-in-order".to_owned())
}

/// As people write it: with a point or a comma.
fn amount(form: &Form) -> Result<Quantity, String> {
    let text = form.text("quantity").replace(',', ".");
    text.parse::<Quantity>().ok().filter(|quantity| quantity.is_positive()).ok_or_else(|| "amount".to_owned())
}

fn reason(form: &Form) -> Result<String, String> {
    let text = form.text("reason");
    let fits = !text.is_empty() && text.len() <= REFUSAL_BYTES_MAX && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| "reason".to_owned())
}

/// For the trail and for the screen: `2 Tea`.
fn what(item: &ItemView, quantity: Quantity) -> String {
    let unit = if is_counted(item) { String::new() } else { format!(" {}", item.unit) };
    format!("{quantity}{unit} × {}", item_name(&item.name, &item.sku))
}

/// Sold by the piece, so that one scan is one.
#[must_use]
pub fn is_counted(item: &ItemView) -> bool {
    item.unit == "each"
}

#[must_use]
pub fn left_of(view: &OrderView, item: &ItemView) -> Quantity {
    let line = view.row.store.progress.iter().find(|line| line.item == item.item);
    line.map_or(Quantity::ZERO, sync_protocol::order::lifecycle::Progress::left)
}
