//! From a counted shelf to the ledger: at once where it hardly differs, otherwise after a manager has looked at it.

use super::place;
use super::sheet::{own, total};
use crate::agent::{Counted, Document, ItemKey, Line, PAGE_SOURCE};
use crate::http::reading::ask;
use crate::ui::act::{Deeds, audited_once};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::guard::redirect;
use crate::ui::item;
use crate::ui::people::audit::{self, Outcome};
use crate::ui::people::counts::{self, Sheet, SheetState};
use crate::ui::people::roles::Deed;
use crate::ui::step_up::{Answer, permitted};
use crate::ui::visitor::Visitor;
use crate::ui::{Desk, PageDesk};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use sync_protocol::record::Kind;
use sync_protocol::{Quantity, Reference, Sku, UnixMillis};

/// `POST /count/finish`: adds up what was found.
pub async fn finish(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let sheet = own(&desk, &visitor, &form).await?;
    let id = sheet.id;
    let entries = desk.people.ask(move |db| counts::entries(db, id)).await?;
    if sheet.state != SheetState::Counting || form.text("seen") != sheet.reference || entries.is_empty() {
        return Ok(redirect(&place(id)));
    }
    let counted = total(&entries);
    let variance = variance(&desk, &sheet, counted).await?;
    if needs_approval(variance, desk.config.count_approval) {
        let variance = variance.unwrap_or_default();
        desk.people.ask(move |db| counts::wait(db, id, counted, variance)).await?;
        return Ok(redirect(&place(id)));
    }
    record(&desk, &visitor, &sheet, counted, None).await
}

/// `POST /count/approve`: by a manager, or with a manager's PIN.
pub async fn approve(
    State(desk): Desk,
    Extension(visitor): Extension<Visitor>,
    Extension(form): Extension<Form>,
) -> Result<Response, Failure> {
    let id: i64 = form.parsed("id")?;
    let sheet = desk.people.ask(move |db| counts::sheet(db, id)).await?.ok_or(Failure::NotFound)?;
    if form.text("seen") != sheet.reference {
        return Ok(redirect(&place(id)));
    }
    let permit = match permitted(&desk, &visitor, &form, Deed::ApproveCount).await? {
        Answer::Permitted(permit) => permit,
        Answer::Asks(response) => return Ok(response),
    };
    match (sheet.state, sheet.counted) {
        (SheetState::Waiting, Some(counted)) => {
            record(&desk, &visitor, &sheet, counted, permit.approved_by).await
        }
        _ => Ok(redirect(&place(id))),
    }
}

/// How it differs from the books as they were when counting began. `None`: somebody has counted the shelf since.
async fn variance(desk: &PageDesk, sheet: &Sheet, counted: Quantity) -> Result<Option<Quantity>, Failure> {
    let sku: Sku = sheet.sku.parse().map_err(|_| Failure::NotFound)?;
    let position = sheet.position;
    let expected = ask(&desk.reader, move |reader| reader.expected(&sku, position)).await?;
    let expected = expected.ok_or(Failure::NotFound)?;
    let differs = counted.checked_sub(expected.on_hand).ok_or(Failure::Unreadable)?;
    Ok((!expected.counted_since).then_some(differs))
}

fn needs_approval(variance: Option<Quantity>, bound: Quantity) -> bool {
    variance.is_some_and(|variance| variance.thousandths().abs() > bound.thousandths())
}

async fn record(
    desk: &PageDesk,
    visitor: &Visitor,
    sheet: &Sheet,
    counted: Quantity,
    approved_by: Option<String>,
) -> Result<Response, Failure> {
    let variance = variance(desk, sheet, counted).await?;
    let deeds = Deeds { act: "count", subject: sheet.sku.clone(), approved_by };
    let by = if sheet.person == visitor.name() { String::new() } else { format!(" by {}", sheet.person) };
    let entered = |at: UnixMillis| async move {
        item::enter(desk, document(sheet, counted, at)?).await?;
        Ok(format!("{counted}, changed by {}{by}", variance.unwrap_or_default()))
    };
    audited_once(desk, visitor, deeds, &sheet.reference, entered).await?;
    let (id, reference, now) = (sheet.id, sheet.reference.clone(), visitor.now);
    desk.people
        .ask(move |db| {
            let entry = audit::entry(db, &reference)?;
            match entry.map(|entry| entry.outcome) {
                Some(Outcome::Done) => counts::recorded(db, id, counted, variance, now),
                // It can be tried again, under a reference of its own.
                Some(Outcome::Refused) => counts::renamed(db, id, now),
                _ => Ok(()),
            }
        })
        .await?;
    Ok(redirect(&format!("{}&done={}", place(id), sheet.reference)))
}

fn document(sheet: &Sheet, counted: Quantity, at: UnixMillis) -> Result<Document, String> {
    let unfit = |error: &dyn std::fmt::Display| format!("invalid {error}");
    let sku: Sku = sheet.sku.parse().map_err(|error| unfit(&error))?;
    let reference: Reference = sheet.reference.parse().map_err(|error| unfit(&error))?;
    Ok(Document {
        source: PAGE_SOURCE.parse().map_err(|error| unfit(&error))?,
        reference,
        kind: Kind::Count,
        reason: None,
        occurred_at: at,
        counted: Some(Counted::Position(sheet.position)),
        cursor: None,
        lines: vec![Line { item: ItemKey::Sku(sku), quantity: counted }],
        order: None,
        trace: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_waits_for_a_manager_beyond_the_bound_only() {
        let (units, bound) = (Quantity::from_units, Quantity::from_units(2));
        for (variance, waits) in [(0, false), (2, false), (-2, false), (3, true), (-3, true)] {
            assert_eq!(needs_approval(Some(units(variance)), bound), waits, "{variance}");
        }
        assert!(needs_approval(Some(units(1)), Quantity::ZERO));
        assert!(!needs_approval(None, bound), "it changes nothing");
    }
}
