//! Doing something on the page: written to the audit trail first, then tried, then completed with what became of it.

use super::PageDesk;
use super::failure::Failure;
use super::people::audit::{self, Begun, Outcome};
use super::visitor::Visitor;
use sync_protocol::UnixMillis;

/// What is to be done, in the trail's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deeds {
    /// As in `hand_over`.
    pub act: &'static str,
    /// The order, item, person or device.
    pub subject: String,
    /// Who approved it with their PIN, if somebody else had to.
    pub approved_by: Option<String>,
}

/// What became of it: a stable word, with a detail after a blank where there is one.
pub type Became = Result<String, String>;

/// How the reason begins where nobody can say whether it was done: it stays open in the trail, and can be sent again.
pub const NO_ANSWER: &str = "no_answer";

/// Does it under a fresh reference, which is given back: the page shows by it what became of the act, also after a reload.
pub async fn audited(
    desk: &PageDesk,
    visitor: &Visitor,
    deeds: Deeds,
    doing: impl Future<Output = Became>,
) -> Result<String, Failure> {
    let begun = Begun {
        person: visitor.name().to_owned(),
        device: visitor.device_name().to_owned(),
        act: deeds.act,
        subject: deeds.subject,
    };
    let now = visitor.now;
    let reference = desk.people.ask(move |db| audit::begin(db, &begun, now)).await?;
    completed(desk, reference.clone(), deeds.approved_by, doing.await).await?;
    Ok(reference)
}

/// As [`audited`], under the reference that the form was given: the same form sent twice is one act. `doing` hears when it was first
/// tried, must do the same however often it is called, and is called again only while nobody knows what became of it.
pub async fn audited_once<F: Future<Output = Became>>(
    desk: &PageDesk,
    visitor: &Visitor,
    deeds: Deeds,
    reference: &str,
    doing: impl FnOnce(UnixMillis) -> F,
) -> Result<(), Failure> {
    if !audit::is_reference(reference) {
        return Err(Failure::Unreadable);
    }
    let begun = Begun {
        person: visitor.name().to_owned(),
        device: visitor.device_name().to_owned(),
        act: deeds.act,
        subject: deeds.subject,
    };
    let (now, named, own) = (visitor.now, reference.to_owned(), begun.clone());
    let entry = desk.people.ask(move |db| audit::begin_once(db, &named, &begun, now)).await?;
    if (entry.act.as_str(), &entry.subject) != (own.act, &own.subject) {
        return Err(Failure::Unreadable);
    }
    if entry.outcome != Outcome::Begun {
        return Ok(());
    }
    let became = doing(entry.at).await;
    if became.as_ref().is_err_and(|detail| detail.starts_with(NO_ANSWER)) {
        return Ok(());
    }
    completed(desk, reference.to_owned(), deeds.approved_by, became).await
}

async fn completed(
    desk: &PageDesk,
    reference: String,
    approved_by: Option<String>,
    became: Became,
) -> Result<(), Failure> {
    let (outcome, mut detail) = match became {
        Ok(detail) => (Outcome::Done, detail),
        Err(detail) => (Outcome::Refused, detail),
    };
    if let Some(by) = approved_by {
        detail = format!("{detail} (approved by {by})");
    }
    desk.people.ask(move |db| audit::complete(db, &reference, outcome, &detail)).await?;
    Ok(())
}
