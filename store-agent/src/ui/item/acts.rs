//! What can be done to an item's stock. Each is a document of the ledger under the page's own source, whose reference is the one in the
//! audit trail: a form that is sent twice is recorded once.

use super::Desk;
use crate::agent::{Document, ItemKey, Line, PAGE_SOURCE, RecordError};
use crate::http::reading::ask;
use crate::store::reader::ItemView;
use crate::ui::PageDesk;
use crate::ui::act::{Became, Deeds, NO_ANSWER, audited_once};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::guard::redirect;
use crate::ui::items::place;
use crate::ui::layout;
use crate::ui::ledger_words::REASONS;
use crate::ui::people::roles::{Deed, May};
use crate::ui::step_up::{Answer, permitted};
use crate::ui::texts::Text;
use crate::ui::texts::items as texts;
use crate::ui::typed;
use crate::ui::visitor::Visitor;
use crate::ui::words::Words;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use sync_protocol::limits::REASON_BYTES_MAX;
use sync_protocol::record::Kind;
use sync_protocol::{Quantity, Reference, Sku, UnixMillis};

/// Codes of why an act was not done, as the audit trail keeps them.
const NO_QUANTITY: &str = "no_quantity";
const NO_REASON: &str = "no_reason";
const LONG_REASON: &str = "long_reason";
const INVALID: &str = "invalid";
const DISK: &str = "disk";

#[must_use]
pub fn refused(detail: &str) -> Text {
    match detail.split(' ').next().unwrap_or_default() {
        NO_QUANTITY => texts::NO_QUANTITY,
        NO_REASON => texts::NO_REASON,
        LONG_REASON => texts::LONG_REASON,
        DISK => texts::NOT_SAVED,
        _ => texts::AT_ITS_BOUND,
    }
}

/// The five ways to change the stock without counting it, in the order of how often they are needed.
const WAYS: [(Kind, Deed, Text); 5] = [
    (Kind::Receipt, Deed::Receive, texts::RECEIVE),
    (Kind::Waste, Deed::Waste, texts::WASTE),
    (Kind::TransferIn, Deed::Transfer, texts::TRANSFER_IN),
    (Kind::TransferOut, Deed::Transfer, texts::TRANSFER_OUT),
    (Kind::Adjustment, Deed::Adjust, texts::ADJUST),
];

/// A form for each way that the visitor's role has.
pub fn forms(words: &Words<'_>, visitor: &Visitor, view: &ItemView, once: &str) -> Markup {
    let allowed: Vec<_> = WAYS.iter().filter(|(_, deed, _)| visitor.may(*deed) != May::No).collect();
    html! {
        @if !allowed.is_empty() {
            section.panel aria-labelledby="change" {
                h2 #change { (words.say(texts::CHANGE_STOCK)) }
                @for (kind, deed, name) in allowed {
                    details.act {
                        summary { (words.say(*name)) }
                        form.card method="post" action="/item/change" {
                            (layout::token(visitor))
                            input type="hidden" name="once" value=(once);
                            input type="hidden" name="sku" value=(view.sku);
                            input type="hidden" name="kind" value=(kind.name());
                            (fields(words, *kind, view))
                            @if visitor.may(*deed) == May::WithApproval { p.hint { (words.say(texts::NEEDS_MANAGER)) } }
                            button.primary type="submit" { (words.say(*name)) }
                        }
                    }
                }
            }
        }
    }
}

fn fields(words: &Words<'_>, kind: Kind, view: &ItemView) -> Markup {
    let id = |field: &str| format!("{}-{field}", kind.name());
    let how_many = match view.unit.as_str() {
        "" | "each" => words.say(texts::QUANTITY).to_owned(),
        unit => words.fill(texts::QUANTITY_UNIT, &[("unit", unit)]),
    };
    html! {
        @if kind == Kind::Adjustment {
            label for=(id("direction")) { (words.say(texts::DIRECTION)) }
            select #(id("direction")) name="direction" required {
                option value="" { (words.say(texts::REASON_CHOOSE)) }
                option value="fewer" { (words.say(texts::FEWER)) }
                option value="more" { (words.say(texts::MORE)) }
            }
        }
        label for=(id("quantity")) { (how_many) }
        input #(id("quantity")) name="quantity" inputmode="decimal" autocomplete="off" maxlength="12" required;
        @if matches!(kind, Kind::Waste | Kind::Adjustment) {
            label for=(id("reason")) { (words.say(texts::REASON)) }
            select #(id("reason")) name="reason" required {
                option value="" { (words.say(texts::REASON_CHOOSE)) }
                @for (code, text) in reasons_for(kind) { option value=(code) { (words.say(text)) } }
                option value="other" { (words.say(texts::REASON_OTHER)) }
            }
        }
        label for=(id("more")) { (words.say(note_label(kind))) }
        input #(id("more")) name="more" maxlength="60" autocomplete="off"
            required[matches!(kind, Kind::TransferIn | Kind::TransferOut)];
    }
}

fn reasons_for(kind: Kind) -> impl Iterator<Item = (&'static str, Text)> {
    let of_waste = |code: &str| !matches!(code, "found" | "mistake" | "stolen");
    let of_adjustment = |code: &str| matches!(code, "found" | "mistake" | "stolen" | "own_use");
    REASONS
        .into_iter()
        .filter(move |(code, _)| if kind == Kind::Waste { of_waste(code) } else { of_adjustment(code) })
}

fn note_label(kind: Kind) -> Text {
    match kind {
        Kind::TransferIn | Kind::TransferOut => texts::WHICH_STORE,
        Kind::Receipt => texts::DELIVERY,
        _ => texts::REASON_MORE,
    }
}

/// `POST /item/change`.
pub async fn change(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let sku: Sku = form.parsed("sku")?;
    let known = sku.clone();
    // A document about an item that nobody knows would make one.
    if ask(&desk.reader, move |reader| reader.item(&known)).await?.is_none() {
        return Err(Failure::NotFound);
    }
    let asked = WAYS.iter().find(|(kind, ..)| kind.name() == form.text("kind"));
    let (kind, deed, _) = *asked.ok_or(Failure::Unreadable)?;
    let permit = match permitted(&desk, &visitor, &form, deed).await? {
        Answer::Permitted(permit) => permit,
        Answer::Asks(response) => return Ok(response),
    };
    let deeds = Deeds { act: kind.name(), subject: sku.to_string(), approved_by: permit.approved_by };
    let once = form.text("once").to_owned();
    let wish = Wish::read(kind, &form, &visitor);
    let entered = |at: UnixMillis| {
        let (desk, sku, once) = (&desk, sku.clone(), once.clone());
        async move {
            let Wish { quantity, reason } = wish?;
            let document = document(&once, at, kind, sku, quantity, reason.clone())?;
            enter(desk, document).await?;
            Ok(format!("{quantity} {}", reason.unwrap_or_default()).trim_end().to_owned())
        }
    };
    audited_once(&desk, &visitor, deeds, &once, entered).await?;
    Ok(redirect(&format!("{}&done={once}", place("/item", sku.as_str()))))
}

struct Wish {
    quantity: Quantity,
    reason: Option<String>,
}

impl Wish {
    fn read(kind: Kind, form: &Form, visitor: &Visitor) -> Result<Wish, String> {
        let quantity = typed::quantity(form.text("quantity"), visitor.language, false);
        let quantity = quantity.ok_or(NO_QUANTITY)?;
        let quantity = match (kind, form.text("direction")) {
            (Kind::Adjustment, "fewer") => quantity.checked_neg().ok_or(NO_QUANTITY)?,
            (Kind::Adjustment, "more") => quantity,
            (Kind::Adjustment, _) => return Err(NO_QUANTITY.to_owned()),
            _ => quantity,
        };
        let (code, more) = (form.text("reason"), form.text("more"));
        let code = REASONS.iter().map(|(known, _)| *known).find(|known| *known == code);
        let reason = match (code, more) {
            (None, more) => more.to_owned(),
            (Some(code), "") => code.to_owned(),
            (Some(code), more) => format!("{code}: {more}"),
        };
        let reason = typed::line(&reason, REASON_BYTES_MAX).ok_or(LONG_REASON)?;
        if reason.is_empty() && kind != Kind::Receipt {
            return Err(NO_REASON.to_owned());
        }
        Ok(Wish { quantity, reason: Some(reason).filter(|reason| !reason.is_empty()) })
    }
}

fn document(
    once: &str,
    at: UnixMillis,
    kind: Kind,
    sku: Sku,
    quantity: Quantity,
    reason: Option<String>,
) -> Result<Document, String> {
    let reference: Reference = once.parse().map_err(|_| INVALID)?;
    Ok(Document {
        source: PAGE_SOURCE.parse().map_err(|_| INVALID)?,
        reference,
        kind,
        reason,
        occurred_at: at,
        counted: None,
        cursor: None,
        lines: vec![Line { item: ItemKey::Sku(sku), quantity }],
        order: None,
        trace: None,
    })
}

/// Records it. What is there under its reference already was recorded by the same form.
pub async fn enter(desk: &PageDesk, document: Document) -> Became {
    match desk.inbox.enter(document).await {
        Ok(Ok(_)) => Ok(String::new()),
        Ok(Err(RecordError::Storage { .. })) => Err(DISK.to_owned()),
        Ok(Err(RecordError::Invalid { field, reason })) => Err(format!("{INVALID} {field}: {reason}")),
        Ok(Err(error @ RecordError::Conflict { .. })) => Err(format!("{INVALID} {error}")),
        Err(no) => Err(format!("{NO_ANSWER} {no}")),
    }
}
