//! What the doctor looks at: the line, what waits, certificates, the clock, the disk.

use crate::certificate::{self, Validity};
use crate::health::Storage;
use crate::inbox::sources::LogStanding;
use crate::inbox::{Crossing, Transport};
use crate::ui::PageDesk;
use crate::ui::layout::HeadOffice;
use crate::ui::ledger_words;
use crate::ui::texts::help as texts;
use crate::ui::texts::{Text, shared};
use crate::ui::words::Words;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::UnixMillis;
use sync_protocol::canary::Canary;

/// Renewing by hand takes somebody a visit or a mail: a month is time enough. One that lives for two months only is renewed by itself
/// at two thirds of its life, so that it has become late in its last sixth.
const CERTIFICATE_SOON_DAYS: u64 = 30;
const CERTIFICATE_LATE_SHARE: u64 = 6;
/// Further apart, and promises on the screens are visibly wrong.
const CLOCK_GOOD_MS: u64 = 60_000;
const CLOCK_BAD_MS: u64 = 10 * 60_000;
/// A year of a busy store's ledger is about one.
const DISK_LOW_GB: u64 = 2;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Good,
    Look,
    Bad,
}

/// How one thing is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub name: Text,
    pub health: Health,
    pub sentences: Vec<String>,
}

impl Finding {
    fn new(name: Text, health: Health, sentence: impl Into<String>) -> Finding {
        Finding { name, health, sentences: vec![sentence.into()] }
    }
}

pub async fn all(desk: &PageDesk, words: &Words<'_>) -> Vec<Finding> {
    let (data, hub, page) = (
        desk.places.data_dir.clone(),
        desk.places.hub_certificate.clone(),
        desk.places.page_certificate.clone(),
    );
    let looked = tokio::task::spawn_blocking(move || {
        (
            free_gb(&data),
            hub.map(|file| certificate::validity(&file)),
            page.map(|file| certificate::validity(&file)),
        )
    });
    let (free, hub, page) = looked.await.unwrap_or_default();
    let mut findings = vec![line(desk, words)];
    if desk.has_hub {
        findings.push(backlog(desk, words));
        let canaries = Arc::clone(&desk.bulletin.borrow().sync.canaries);
        findings.extend(canary(words, &canaries));
        findings.push(clock(words, desk.bulletin.borrow().sync.hub_clock_ahead_ms));
    }
    findings.extend(logs(desk, words));
    findings.extend(hub.map(|validity| certificate_of(words, texts::CERTIFICATE, validity)));
    findings.extend(page.map(|validity| certificate_of(words, texts::PAGE_CERTIFICATE, validity)));
    findings.push(disk(desk, words, free));
    findings
}

fn line(desk: &PageDesk, words: &Words<'_>) -> Finding {
    let sync = desk.bulletin.borrow().sync.clone();
    let Crossing { transport, since, switches, last_switch_reason } = desk.crossing.borrow().clone();
    let since = since.map_or_else(String::new, |since| words.moment(since));
    let mut finding = match HeadOffice::of(desk.has_hub, &sync, transport) {
        HeadOffice::None => Finding::new(texts::LINE, Health::Good, words.say(texts::LINE_NONE)),
        HeadOffice::Connected(Some(Transport::Mqtt)) => {
            Finding::new(texts::LINE, Health::Good, words.fill(texts::LINE_UP_MQTT, &[("time", &since)]))
        }
        HeadOffice::Connected(_) => {
            let said = words.fill(texts::LINE_UP, &[("transport", "QUIC"), ("time", &since)]);
            Finding::new(texts::LINE, Health::Good, said)
        }
        HeadOffice::Connecting => Finding::new(texts::LINE, Health::Look, words.say(texts::LINE_COMING)),
        HeadOffice::Away { .. } => Finding::new(texts::LINE, Health::Bad, words.say(texts::LINE_DOWN)),
    };
    if switches > 0 {
        finding.sentences.push(words.fill(texts::SWITCHES, &[("count", &switches.to_string())]));
        finding.sentences.extend(last_switch_reason);
    }
    finding.sentences.extend(sync.last_link_error.map(|(at, reason)| mishap(words, at, &reason)));
    finding
}

fn mishap(words: &Words<'_>, at: UnixMillis, reason: &str) -> String {
    words.fill(texts::LAST_ERROR, &[("time", &words.moment(at)), ("reason", reason)])
}

fn backlog(desk: &PageDesk, words: &Words<'_>) -> Finding {
    let sync = desk.bulletin.borrow().sync.clone();
    let movements = sync.history_head.0.saturating_sub(sync.history_acked.0);
    if sync.records_pending == 0 && movements == 0 {
        return Finding::new(texts::BACKLOG, Health::Good, words.say(texts::BACKLOG_NONE));
    }
    let values = [("records", &*sync.records_pending.to_string()), ("movements", &*movements.to_string())];
    let mut finding = Finding::new(texts::BACKLOG, Health::Good, words.fill(texts::BACKLOG_SOME, &values));
    let is_streaming = matches!(HeadOffice::of(true, &sync, None), HeadOffice::Connected(_));
    let accepted = sync.last_accepted.map(|at| words.now.since(at));
    if is_streaming && accepted.is_none_or(|age| age > CLOCK_BAD_MS) {
        finding.health = Health::Look;
        finding.sentences.push(words.say(texts::BACKLOG_STUCK).to_owned());
    }
    finding
}

/// `None`: there is no source yet.
fn canary(words: &Words<'_>, canaries: &[Canary]) -> Option<Finding> {
    if canaries.is_empty() {
        return None;
    }
    let overdue: Vec<String> =
        canaries.iter().filter(|of| of.is_overdue(words.now)).map(|of| overdue(words, of)).collect();
    if overdue.is_empty() {
        return Some(Finding::new(texts::CANARY, Health::Good, words.say(texts::CANARY_GOOD)));
    }
    Some(Finding { name: texts::CANARY, health: Health::Look, sentences: overdue })
}

fn overdue(words: &Words<'_>, canary: &Canary) -> String {
    let source = ledger_words::source(words, canary.source.as_str());
    let age = words.age(Duration::from_millis(canary.age_ms(words.now)));
    match canary.under_way {
        Some(flight) => {
            let recorded = words.moment(UnixMillis(flight.recorded_at));
            let values = [("source", &*source), ("time", &*recorded), ("age", &*age)];
            words.fill(texts::CANARY_NO_HUB, &values)
        }
        None => words.fill(texts::CANARY_NO_MOVEMENT, &[("source", &source), ("age", &age)]),
    }
}

/// `None`: every log that the settings ask for is followed, or about to be.
fn logs(desk: &PageDesk, words: &Words<'_>) -> Option<Finding> {
    let refused = desk.sources.all().into_iter().filter_map(|health| match health.log {
        Some(LogStanding::Refused(reason)) => Some((health.name, reason)),
        _ => None,
    });
    let sentences: Vec<String> = refused
        .map(|(source, reason)| {
            words.fill(texts::POS_LOG_REFUSED, &[("source", &source), ("reason", &reason)])
        })
        .collect();
    (!sentences.is_empty()).then_some(Finding { name: texts::POS_LOG, health: Health::Look, sentences })
}

fn certificate_of(words: &Words<'_>, name: Text, validity: Option<Validity>) -> Finding {
    let Some(Validity { from, until }) = validity else {
        return Finding::new(name, Health::Bad, words.say(texts::CERTIFICATE_UNREADABLE));
    };
    let days = until.since(words.now) / DAY_MS;
    let left = words.language.count(days, shared::DAYS_ONE, shared::DAYS_MORE);
    let values = [("days", left.as_str()), ("date", &words.moment(until))];
    let soon = CERTIFICATE_SOON_DAYS.min(until.since(from) / DAY_MS / CERTIFICATE_LATE_SHARE);
    let (health, text) = match days {
        _ if until <= words.now => (Health::Bad, texts::CERTIFICATE_OVER),
        _ if days < soon => (Health::Look, texts::CERTIFICATE_SOON),
        _ => (Health::Good, texts::CERTIFICATE_GOOD),
    };
    Finding::new(name, health, words.fill(text, &values))
}

fn clock(words: &Words<'_>, ahead_ms: Option<i64>) -> Finding {
    let Some(hub_ahead) = ahead_ms else {
        return Finding::new(texts::CLOCK, Health::Good, words.say(texts::CLOCK_UNKNOWN));
    };
    let off = hub_ahead.unsigned_abs();
    let health = match off {
        0..CLOCK_GOOD_MS => return Finding::new(texts::CLOCK, Health::Good, words.say(texts::CLOCK_GOOD)),
        CLOCK_GOOD_MS..CLOCK_BAD_MS => Health::Look,
        _ => Health::Bad,
    };
    let text = if hub_ahead > 0 { texts::CLOCK_OFF_BEHIND } else { texts::CLOCK_OFF_AHEAD };
    Finding::new(texts::CLOCK, health, words.fill(text, &[("age", &words.age(Duration::from_millis(off)))]))
}

fn disk(desk: &PageDesk, words: &Words<'_>, free: Option<u64>) -> Finding {
    let bulletin = desk.bulletin.borrow().clone();
    let free_text = free.unwrap_or_default().to_string();
    let said = |text| words.fill(text, &[("free", &free_text)]);
    let mut finding = match (&bulletin.storage, free) {
        (Storage::Refuses { .. }, _) => {
            Finding::new(texts::DISK, Health::Bad, words.say(texts::DISK_REFUSES))
        }
        (Storage::Takes, Some(free)) if free < DISK_LOW_GB => {
            Finding::new(texts::DISK, Health::Look, said(texts::DISK_LOW))
        }
        (Storage::Takes, Some(_)) => Finding::new(texts::DISK, Health::Good, said(texts::DISK_GOOD)),
        (Storage::Takes, None) => Finding::new(texts::DISK, Health::Look, words.say(texts::DISK_UNKNOWN)),
    };
    finding.sentences.extend(bulletin.sync.last_disk_error.map(|(at, reason)| mishap(words, at, &reason)));
    finding
}

fn free_gb(folder: &Path) -> Option<u64> {
    let room = rustix::fs::statvfs(folder).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize) / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Language;
    use jiff::tz::TimeZone;
    use sync_protocol::canary::{Arrival, Flight};

    const NOW: UnixMillis = UnixMillis(1_795_410_000_000);

    #[test]
    fn a_certificate_is_said_to_end_before_it_does() {
        let words = Words { language: Language::English, zone: &TimeZone::UTC, now: NOW };
        let validity = |days: i64| Validity {
            from: UnixMillis(NOW.0 - 300 * 86_400_000),
            until: UnixMillis(NOW.0 + days * 86_400_000 + 1),
        };
        let of = |days: i64| certificate_of(&words, texts::CERTIFICATE, Some(validity(days))).health;
        assert_eq!(
            (of(90), of(30), of(29), of(0), of(-1)),
            (Health::Good, Health::Good, Health::Look, Health::Look, Health::Bad)
        );
        assert_eq!(certificate_of(&words, texts::CERTIFICATE, None).health, Health::Bad);
        let of_two_months = |left: i64| {
            let until = NOW.0 + left * 86_400_000 + 1;
            let validity = Validity { from: UnixMillis(until - 61 * 86_400_000), until: UnixMillis(until) };
            certificate_of(&words, texts::CERTIFICATE, Some(validity)).health
        };
        assert_eq!(
            (of_two_months(20), of_two_months(9)),
            (Health::Good, Health::Look),
            "it is renewed by itself at two thirds"
        );
    }

    #[test]
    fn a_clock_is_off_in_either_direction() {
        let words = Words { language: Language::English, zone: &TimeZone::UTC, now: NOW };
        assert_eq!(clock(&words, Some(-59_000)).health, Health::Good);
        let behind = clock(&words, Some(180_000));
        assert!(behind.health == Health::Look && behind.sentences[0].contains("3 min behind"), "{behind:?}");
        let ahead = clock(&words, Some(-7_200_000));
        assert!(ahead.health == Health::Bad && ahead.sentences[0].contains("2 h ahead"), "{ahead:?}");
    }

    #[test]
    fn an_overdue_canary_says_where_it_stopped() {
        let words = Words { language: Language::English, zone: &TimeZone::UTC, now: NOW };
        let hours = |hours: i64| NOW.0 - hours * 3_600_000;
        let flight = |hours_ago| Flight {
            happened_at: hours(hours_ago),
            read_at: hours(hours_ago),
            recorded_at: hours(hours_ago),
            position: 7,
        };
        let of = |under_way, accepted_h| Canary {
            source: "till-3".parse().unwrap(),
            item: String::new(),
            since: hours(100),
            overdue_after_ms: 26 * 3_600_000,
            under_way,
            arrived: Some(Arrival { flight: flight(accepted_h), accepted_at: hours(accepted_h) }),
        };
        assert_eq!(canary(&words, &[]), None);
        let fresh = canary(&words, &[of(None, 3), of(Some(flight(1)), 25)]).unwrap();
        assert_eq!(fresh.health, Health::Good);
        let found = canary(&words, &[of(None, 3), of(Some(flight(20)), 27), of(None, 48)]).unwrap();
        assert_eq!((found.health, found.sentences.len()), (Health::Look, 2));
        assert!(found.sentences[0].contains("not at head office yet"), "{found:?}");
        assert!(found.sentences[1].contains("nothing to follow has come"), "{found:?}");
    }

    #[test]
    fn the_room_on_a_disk_is_read() {
        assert!(free_gb(Path::new("/")).is_some());
        assert_eq!(free_gb(Path::new("/no/such/folder")), None);
    }
}
