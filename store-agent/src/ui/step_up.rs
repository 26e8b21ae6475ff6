//! May somebody do this, and did they show just now who they are? Where not, the same form comes back with a field for a PIN: theirs,
//! or a manager's.

use super::PageDesk;
use super::failure::Failure;
use super::form::Form;
use super::layout::{self, PinAsked};
use super::people::roles::{Deed, May, may};
use super::people::staff::{self, Person};
use super::people::{doors::Wait, sessions};
use super::texts::shared;
use super::visitor::Visitor;
use axum::response::Response;

/// Somebody may go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permit {
    /// Who approved it, where it was somebody else.
    pub approved_by: Option<String>,
}

/// Either a permit, or what to show instead.
pub enum Answer {
    Permitted(Permit),
    Asks(Response),
}

/// Whether `visitor` may do `deed` now.
pub async fn permitted(
    desk: &PageDesk,
    visitor: &Visitor,
    form: &Form,
    deed: Deed,
) -> Result<Answer, Failure> {
    let Some(session) = &visitor.session else { return Err(Failure::NotAllowed) };
    let allowed = visitor.may(deed);
    if allowed == May::No {
        return Err(Failure::NotAllowed);
    }
    let needs_pin = allowed == May::WithApproval || deed.needs_fresh_pin();
    let is_fresh = u128::from(visitor.now.since(session.proven_at)) <= desk.config.step_up.as_millis();
    if !needs_pin || (allowed == May::Yes && is_fresh && !form.has("pin")) {
        return Ok(Answer::Permitted(Permit::default()));
    }
    let provers = provers(desk, &session.person, allowed, deed).await?;
    if !form.has("pin") {
        return Ok(Answer::Asks(ask(desk, visitor, form, &provers, allowed, None)));
    }
    let chosen = form.parsed::<i64>("pin_of").unwrap_or(session.person.id);
    let Some(prover) = provers.iter().find(|prover| prover.id == chosen).cloned() else {
        return Err(Failure::NotAllowed);
    };
    let (id, device, session_id, now) = (prover.id, session.device, session.id, visitor.now);
    let (pin, is_self) = (form.text("pin").to_owned(), prover.id == session.person.id);
    let proved = desk
        .people
        .ask(move |db| {
            let proved = staff::prove(db, id, device, &pin, now)?;
            if proved == Ok(true) && is_self {
                sessions::proven(db, session_id, now)?;
            }
            Ok(proved)
        })
        .await?;
    let words = visitor.words(desk);
    let trouble = match proved {
        Ok(true) => {
            return Ok(Answer::Permitted(Permit { approved_by: (!is_self).then_some(prover.name) }));
        }
        Ok(false) => words.say(shared::PIN_WRONG).to_owned(),
        Err(Wait(wait)) => words.fill(shared::PIN_WAIT, &[("age", &words.age(wait))]),
    };
    Ok(Answer::Asks(ask(desk, visitor, form, &provers, allowed, Some(trouble))))
}

/// Whose PIN counts: one's own where one may do it, and everybody's who may.
async fn provers(desk: &PageDesk, person: &Person, allowed: May, deed: Deed) -> Result<Vec<Person>, Failure> {
    let everybody = desk.people.ask(|db| staff::everybody(db)).await?;
    let others =
        everybody.into_iter().filter(|other| other.id != person.id && may(other.role, deed) == May::Yes);
    let managers = others.filter(|other| other.role == super::people::roles::Role::Manager);
    let own = (allowed == May::Yes).then(|| person.clone());
    Ok(own.into_iter().chain(managers).collect())
}

fn ask(
    desk: &PageDesk,
    visitor: &Visitor,
    form: &Form,
    provers: &[Person],
    allowed: May,
    trouble: Option<String>,
) -> Response {
    let why = if allowed == May::Yes { shared::PIN_AGAIN_WHY } else { shared::APPROVAL_WHY };
    let asked =
        PinAsked { title: shared::PIN_AGAIN, why, field: "pin", provers, trouble, submit: shared::CONFIRM };
    layout::ask_for_pin(desk, visitor, form, &asked)
}
