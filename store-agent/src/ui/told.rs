//! What became of an act, shown on the page that its form led to, also after a reload; and how far its word has come.

use super::PageDesk;
use super::failure::Failure;
use super::people::audit::{self, Entry, Outcome};
use super::texts::{Text, shared};
use super::visitor::Visitor;
use super::words::Words;
use maud::{Markup, html};
use sync_protocol::Seq;
use sync_protocol::link::store::LinkState;

/// After so long a page does not speak of it any more.
const TOLD_FOR_MS: u64 = 10 * 60 * 1000;

/// The act that this page was called with, if it is the visitor's own and recent.
pub async fn told(desk: &PageDesk, visitor: &Visitor, reference: &str) -> Result<Option<Entry>, Failure> {
    if !audit::is_reference(reference) {
        return Ok(None);
    }
    let reference = reference.to_owned();
    let entry = desk.people.ask(move |db| audit::entry(db, &reference)).await?;
    let is_own = |entry: &Entry| entry.person == visitor.name() && visitor.now.since(entry.at) < TOLD_FOR_MS;
    Ok(entry.filter(is_own))
}

/// `said`: what was done, or why not.
#[must_use]
pub fn notice(
    words: &Words<'_>,
    entry: &Entry,
    said: &str,
    standing: Option<(Text, Option<Text>)>,
) -> Markup {
    let (kind, title, why) = match entry.outcome {
        Outcome::Done => {
            let (title, why) = standing.unwrap_or((shared::SAVED_HERE, None));
            ("done", title, why)
        }
        Outcome::Refused => ("refused", shared::REFUSED, None),
        Outcome::Begun => ("begun", shared::UNKNOWN_OUTCOME, Some(shared::UNKNOWN_OUTCOME_WHY)),
    };
    html! {
        div.outcome data-outcome=(kind) data-reference=(entry.reference) {
            p { strong { (said) } }
            p.soft { (words.say(title)) @if let Some(why) = why { ". " (words.say(why)) } }
        }
    }
}

/// Something that was not tried, because it can't be.
#[must_use]
pub fn refusal(visitor: &Visitor, said: &str) -> Markup {
    html! {
        div.outcome data-outcome="refused" data-reference=(visitor.now) { p { strong { (said) } } }
    }
}

/// How far the word of a change has come: saved here, sent, accepted by head office.
#[must_use]
pub fn standing(desk: &PageDesk, changed: Seq) -> (Text, Option<Text>) {
    let sync = &desk.bulletin.borrow().sync;
    if !desk.has_hub {
        return (shared::SAVED_HERE, None);
    }
    if changed <= sync.state_acked {
        (shared::ACCEPTED, None)
    } else if changed <= sync.state_sent && sync.link == LinkState::Streaming {
        (shared::SENT, Some(shared::SENT_WHY))
    } else {
        (shared::SAVED_HERE, Some(shared::SAVED_HERE_WHY))
    }
}
