//! `upgrade --auto`: asks head office which release this store shall have, and takes it as a person would. For a timer.
//!
//! Promises: a hub that can't be reached, or wishes nothing, is no failure; what lies at the address has to be the release that was wished, and
//! signed like any other; what failed is not tried again until head office says so; what has become of a wish is in the books before
//! anybody is told, and is told with every question.

use super::{Asked, run as upgrade};
use crate::books::{Attempt, Books, Stage};
use crate::commands::{Report, Site, status};
use crate::enrolling;
use crate::fault::{Code, Fault};
use crate::service::AGENT_UNIT;
use crate::settings::Settings;
use crate::slots::Slots;
use serde_json::json;
use sync_protocol::enrolment::{Fact, VERSION};
use sync_protocol::releases::{End, Keeper, Outcome, ReleaseRequest, Wish};

/// With which a release is tried again by itself: nothing is wrong with it. Besides those below.
const PASSING: [Code; 6] = [Code::E202, Code::E203, Code::E209, Code::E503, Code::E807, Code::E813];
/// With which head office, or whoever has the release, could not be asked.
const UNREACHED: [Code; 6] = [Code::E301, Code::E302, Code::E303, Code::E304, Code::E305, Code::E306];

/// What `--auto` does.
pub fn run(site: &Site, asked: &Asked) -> Result<Report, Fault> {
    match finish_and_follow(site, asked) {
        // A person upgrades by hand, or a certificate is renewed.
        Err(fault) if fault.code == Code::E209 => Ok(nothing("busy", fault.story())),
        done => done,
    }
}

fn finish_and_follow(site: &Site, asked: &Asked) -> Result<Report, Fault> {
    if Settings::read(&site.layout)?.is_none() {
        return Err(Fault::new(Code::E509, format!("there is no `{}`", site.layout.config().display())));
    }
    let is_packaged = site.layout.packaged_program().exists();
    let finished = if is_packaged { None } else { finish(site, asked) };
    let done = match ask(site, is_packaged) {
        Err(fault) if UNREACHED.contains(&fault.code) => {
            nothing("unreached", format!("head office can't be asked: {}", fault.story()))
        }
        Err(fault) => return Err(fault),
        Ok(_) if is_packaged => {
            nothing("packaged", "a package looks after the agent's program; head office knows".to_owned())
        }
        Ok(None) => nothing("nothing", "head office wishes nothing else".to_owned()),
        // Head office has heard of it; what it wishes next can wait for the next question.
        Ok(Some(_)) if finished.as_ref().is_some_and(Result::is_err) => {
            nothing("nothing", "an upgrade was interrupted".to_owned())
        }
        Ok(Some(wish)) => follow(site, asked, &wish)?,
    };
    finished.and_then(Result::err).map_or(Ok(done), Err)
}

/// Brings to its end what was begun, as after a power cut. Head office hears of it whatever the end.
fn finish(site: &Site, asked: &Asked) -> Option<Result<Report, Fault>> {
    let begun = Books::read(&site.layout).ok()?.under_way;
    let is_open = begun.is_some_and(|begun| begun.stage != Stage::Inconsistent);
    (is_open && !site.dry_run).then(|| upgrade(site, &Asked { resume: true, ..asked.clone() }))
}

fn follow(site: &Site, asked: &Asked, wish: &Wish) -> Result<Report, Fault> {
    let Wish { number, sequence, source } = wish;
    let asked = Asked { from: Some(source.as_str().to_owned()), sequence: Some(*sequence), ..asked.clone() };
    if site.dry_run {
        return upgrade(site, &asked);
    }
    if !asked.now && site.manager.is_stopped(&site.layout, AGENT_UNIT) {
        let says = format!("release {sequence} waits: somebody has stopped the agent");
        return Ok(nothing("waits", says));
    }
    let mut failed = None;
    note(site, |books| {
        let is_this = |attempt: &Attempt| (attempt.number, attempt.sequence) == (*number, *sequence);
        let (mut end, mut says) = (None, "it has begun".to_owned());
        match &books.attempt {
            Some(attempt) if is_this(attempt) && attempt.end == Some(End::Failed) => {
                failed = Some(attempt.says.clone());
                return;
            }
            Some(attempt) if attempt.sequence == *sequence => {}
            // It came here without a wish, and somebody did not want it.
            _ if gone_back_from(books, *sequence) => {
                (end, says) = (Some(End::Failed), "somebody has gone back from it".to_owned());
                failed = Some(says.clone());
            }
            _ => {}
        }
        books.attempt =
            Some(Attempt { number: *number, sequence: *sequence, end, code: String::new(), says });
    })?;
    if let Some(says) = failed {
        let _ = ask(site, false);
        let says = format!("release {sequence} has failed here, and waits for head office: {says}");
        return Ok(nothing("failed", says));
    }
    site.points.reach("wished")?;
    let done = upgrade(site, &asked);
    if let Err(fault) = &done {
        note(site, |books| {
            if let Some(attempt) = books.attempt.as_mut().filter(|attempt| attempt.end.is_none()) {
                attempt.end = (!passes(fault)).then_some(End::Failed);
                (attempt.code, attempt.says) = (fault.code.name().to_owned(), fault.story());
            }
        })?;
    }
    site.points.reach("followed")?;
    // If this does not arrive, the next question says the same.
    let _ = ask(site, false);
    match done {
        Err(fault) if passes(&fault) => Ok(nothing(
            "waits",
            format!("release {sequence} waits: {}: {}", fault.code.name(), fault.story()),
        )),
        done => done,
    }
}

/// Says what is here and what has become of the last wish; gives the next one. A store without a hub has nobody to ask.
fn ask(site: &Site, is_packaged: bool) -> Result<Option<Wish>, Fault> {
    let identity = site.identity()?;
    let (Some(_), Some(known)) = (identity.held()?, identity.enrolment()?) else { return Ok(None) };
    let books = Books::read(&site.layout)?;
    let sequence = if is_packaged { 0 } else { in_force(site, &books)? };
    let request = ReleaseRequest {
        version: VERSION,
        keeper: if is_packaged { Keeper::Package } else { Keeper::Storectl },
        agent: Fact::clipped(&site.program().and_then(|program| program.version()).unwrap_or_default()),
        sequence,
        is_well: status::agent(site).is_ok_and(|(health, _)| health["status"] == "ok"),
        outcome: outcome(&books, sequence),
    };
    let proxy = Settings::read(&site.layout)?.as_ref().and_then(Settings::proxy);
    enrolling::release(&identity, &known, proxy.as_ref(), &request)
}

/// The number of the release in force; 0 where none was signed.
pub fn in_force(site: &Site, books: &Books) -> Result<u64, Fault> {
    Ok(Slots(&site.layout).current()?.map_or(0, |current| books.sequence_of(&current)))
}

/// What has become of the last wish, as the books say it.
#[must_use]
pub fn outcome(books: &Books, here: u64) -> Option<Outcome> {
    let Attempt { number, sequence, end, code, says } = books.attempt.as_ref()?;
    let of = |end, code: &str, says: &str| Outcome {
        number: *number,
        sequence: *sequence,
        end,
        code: Fact::clipped(code),
        says: Fact::clipped(says),
    };
    let under_way = books.under_way.as_ref().filter(|way| books.sequence_of(&way.to) == *sequence);
    Some(match (under_way, end) {
        (Some(way), _) if way.stage == Stage::Inconsistent => {
            of(End::Inconsistent, Code::E810.name(), way.why.as_deref().unwrap_or_default())
        }
        (Some(_), _) => of(End::Waits, "", "it is under way"),
        (None, _) if here >= *sequence => of(End::Done, "", ""),
        (None, Some(end)) => of(*end, code, says),
        (None, None) => of(End::Waits, code, says),
    })
}

/// The last thing that happened here was a way back from this release.
fn gone_back_from(books: &Books, sequence: u64) -> bool {
    books.last.as_ref().is_some_and(|last| {
        let (from, to) = (books.sequence_of(&last.from), books.sequence_of(&last.to));
        last.at == last.to && from == sequence && to < sequence
    })
}

fn passes(fault: &Fault) -> bool {
    PASSING.contains(&fault.code) || UNREACHED.contains(&fault.code)
}

fn note(site: &Site, change: impl FnOnce(&mut Books)) -> Result<(), Fault> {
    let _alone = site.alone()?;
    let mut books = Books::read(&site.layout)?;
    change(&mut books);
    books.write(&site.layout)
}

fn nothing(what: &str, text: String) -> Report {
    let json = json!({ "changed": false, "wish": what, "says": text });
    Report::done(text, json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::{Known, UnderWay};
    use crate::layout::Layout;

    #[test]
    fn what_has_become_of_a_wish_is_read_from_the_books() {
        let folder = tempfile::tempdir().unwrap();
        let mut books = Books::read(&Layout::at(folder.path())).unwrap();
        assert_eq!(outcome(&books, 0), None);
        let (code, says) = ("E807".to_owned(), "in the window only".to_owned());
        books.attempt = Some(Attempt { number: 3, sequence: 7, end: None, code, says });
        let end = |books: &Books, here| outcome(books, here).unwrap().end;
        assert_eq!((end(&books, 6), end(&books, 7)), (End::Waits, End::Done));
        assert_eq!(outcome(&books, 6).unwrap().code.as_str(), "E807");
        books.releases.insert("0.2.0".to_owned(), Known { sequence: 7, manifest: String::new() });
        let way = UnderWay {
            from: "0.1.0".to_owned(),
            to: "0.2.0".to_owned(),
            stage: Stage::Trial,
            boot_before: None,
            boot: None,
            began_at: String::new(),
            why: Some("neither runs".to_owned()),
        };
        books.under_way = Some(way.clone());
        assert_eq!(end(&books, 7), End::Waits, "it is there, and has not stood yet");
        books.under_way = Some(UnderWay { stage: Stage::Inconsistent, ..way });
        let told = outcome(&books, 7).unwrap();
        assert_eq!(
            (told.end, told.code.as_str(), told.says.as_str()),
            (End::Inconsistent, "E810", "neither runs")
        );
        books.under_way = None;
        books.attempt.as_mut().unwrap().end = Some(End::Failed);
        assert_eq!((end(&books, 6), end(&books, 8)), (End::Failed, End::Done));
    }
}
