//! Doing something on the page: written to the audit trail first, then tried, then completed with what became of it.

use super::PageDesk;
use super::failure::Failure;
use super::people::audit::{self, Begun, Outcome};
use super::visitor::Visitor;

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
    let (outcome, mut detail) = match doing.await {
        Ok(detail) => (Outcome::Done, detail),
        Err(detail) => (Outcome::Refused, detail),
    };
    if let Some(by) = deeds.approved_by {
        detail = format!("{detail} (approved by {by})");
    }
    let named = reference.clone();
    desk.people.ask(move |db| audit::complete(db, &named, outcome, &detail)).await?;
    Ok(reference)
}
