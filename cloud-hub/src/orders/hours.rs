//! When a store is open, in its own time zone.
//!
//! A store whose hours nobody has entered counts as always open: an order must not wait for paperwork. Times follow the
//! store's clock through changes to and from daylight saving; a time that does not exist that night counts as the one an
//! hour later.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sync_protocol::UnixMillis;

/// How far ahead an opening is looked for: a season's closure, not more.
const DAYS_AHEAD_MAX: i32 = 120;
/// Most openings of one day: with a midday break there are two.
const SPANS_MAX: usize = 4;

/// A store's opening hours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// Monday first. `None`: always open.
    #[serde(default)]
    pub weekly: Option<[Vec<Opening>; 7]>,
    /// Days that differ from their weekday: holidays, long Saturdays. An empty list is a day off.
    #[serde(default)]
    pub exceptions: BTreeMap<Date, Vec<Opening>>,
}

/// One stretch of a day. What goes on over midnight is two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    pub opens: Time,
    /// Midnight stands for the end of the day.
    pub closes: Time,
}

/// Hours that can't be meant. Whoever entered them has to mend them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHours {
    #[error(
        "{day}: opens at {opens} and closes at {closes}, which is not later; write hours over midnight as two days"
    )]
    Backwards { day: String, opens: Time, closes: Time },
    #[error("{day}: the store opens at {opens}, before it has closed")]
    Overlapping { day: String, opens: Time },
    #[error("{day}: {found} openings on one day; {SPANS_MAX} are the most there can be")]
    TooMany { day: String, found: usize },
}

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Hours {
    /// To be asked before hours are taken.
    ///
    /// # Errors
    /// What can't be meant, with its day.
    pub fn validate(&self) -> Result<(), InvalidHours> {
        let weekly = self.weekly.iter().flatten().zip(WEEKDAYS).map(|(day, name)| (name.to_owned(), day));
        let exceptions = self.exceptions.iter().map(|(date, day)| (date.to_string(), day));
        weekly.chain(exceptions).try_for_each(|(name, day)| validate_day(name, day))
    }

    #[must_use]
    pub fn is_open(&self, at: UnixMillis, zone: &TimeZone) -> bool {
        self.stretches(at, zone).next().is_some_and(|stretch| stretch.begin <= at)
    }

    /// The first moment from `from` on at which the store is open; `None` when it opens no more in the time that is looked at.
    #[must_use]
    pub fn next_open(&self, from: UnixMillis, zone: &TimeZone) -> Option<UnixMillis> {
        self.stretches(from, zone).next().map(|stretch| stretch.begin.max(from))
    }

    /// When the store will have been open for `open_for` milliseconds, counted from `from`; `None` as with
    /// [`next_open`](Self::next_open).
    #[must_use]
    pub fn after_open(&self, from: UnixMillis, open_for: u64, zone: &TimeZone) -> Option<UnixMillis> {
        let mut left = i64::try_from(open_for).ok()?;
        for stretch in self.stretches(from, zone) {
            let begin = stretch.begin.max(from);
            let lasts = stretch.end.0 - begin.0;
            if left <= lasts {
                return Some(UnixMillis(begin.0 + left));
            }
            left -= lasts;
        }
        None
    }

    /// The end of the first opening day after the one `from` is on; `None` as with [`next_open`](Self::next_open), and for a
    /// store that is always open.
    #[must_use]
    pub fn whole_day_after(&self, from: UnixMillis, zone: &TimeZone) -> Option<UnixMillis> {
        let first = zone.to_datetime(timestamp(from)?).date();
        let mut days = (1..=DAYS_AHEAD_MAX).filter_map(|n| first.checked_add(n.days()).ok());
        days.find_map(|date| Some((date, self.on(date).last()?)))
            .and_then(|(date, last)| last.on(date, zone))
            .map(|stretch| stretch.end)
    }

    /// The stretches of time that end after `from`, in order.
    fn stretches(&self, from: UnixMillis, zone: &TimeZone) -> impl Iterator<Item = Stretch> {
        let always = self.weekly.is_none().then_some(Stretch { begin: from, end: UnixMillis(i64::MAX) });
        let first = timestamp(from).map(|now| zone.to_datetime(now).date());
        let zone = zone.clone();
        let days = first
            .into_iter()
            .flat_map(|first| (0..=DAYS_AHEAD_MAX).filter_map(move |n| first.checked_add(n.days()).ok()));
        let by_day = days.flat_map(move |date| {
            let zone = zone.clone();
            self.on(date).iter().filter_map(move |opening| opening.on(date, &zone))
        });
        // Exceptions of a store that is always open otherwise are days off or shorter days; they come with weekly hours only.
        always
            .into_iter()
            .chain(by_day.filter(move |_| always.is_none()))
            .filter(move |stretch| stretch.end > from)
    }

    fn on(&self, date: Date) -> &[Opening] {
        if let Some(exception) = self.exceptions.get(&date) {
            return exception;
        }
        let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        self.weekly.as_ref().map_or(&[], |weekly| &weekly[weekday])
    }
}

fn validate_day(day: String, openings: &[Opening]) -> Result<(), InvalidHours> {
    if openings.len() > SPANS_MAX {
        return Err(InvalidHours::TooMany { day, found: openings.len() });
    }
    let mut closed_since = None;
    for Opening { opens, closes } in openings.iter().copied() {
        if closes <= opens && closes != Time::midnight() {
            return Err(InvalidHours::Backwards { day, opens, closes });
        }
        if closed_since.is_some_and(|closed| opens < closed || closed == Time::midnight()) {
            return Err(InvalidHours::Overlapping { day, opens });
        }
        closed_since = Some(closes);
    }
    Ok(())
}

/// A stretch of real time.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    begin: UnixMillis,
    end: UnixMillis,
}

impl Opening {
    fn on(self, date: Date, zone: &TimeZone) -> Option<Stretch> {
        let closing_day = if self.closes == Time::midnight() { date.tomorrow().ok()? } else { date };
        let at = |date: Date, time: Time| {
            let at = date.to_datetime(time).to_zoned(zone.clone()).ok()?;
            Some(UnixMillis(at.timestamp().as_millisecond()))
        };
        Some(Stretch { begin: at(date, self.opens)?, end: at(closing_day, self.closes)? })
    }
}

fn timestamp(at: UnixMillis) -> Option<Timestamp> {
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(at.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn at(text: &str) -> UnixMillis {
        let at: jiff::Zoned = format!("{text}[Europe/Berlin]").parse().unwrap();
        UnixMillis(at.timestamp().as_millisecond())
    }

    fn opening(opens: &str, closes: &str) -> Opening {
        Opening { opens: opens.parse().unwrap(), closes: closes.parse().unwrap() }
    }

    /// Nine to six with a break on Wednesdays, Sundays off, the Friday before Christmas until midnight.
    fn hours() -> Hours {
        let day = vec![opening("09:00", "18:00")];
        let wednesday = vec![opening("09:00", "12:00"), opening("14:00", "18:00")];
        let weekly = [day.clone(), day.clone(), wednesday, day.clone(), day.clone(), day, Vec::new()];
        let exceptions = BTreeMap::from([
            ("2026-12-25".parse().unwrap(), Vec::new()),
            ("2026-12-18".parse().unwrap(), vec![opening("09:00", "00:00")]),
        ]);
        Hours { weekly: Some(weekly), exceptions }
    }

    #[test]
    fn a_store_opens_and_closes_by_its_own_clock() {
        let open = |text: &str| hours().is_open(at(text), &berlin());
        assert!(open("2026-11-23T09:00"));
        assert!(open("2026-11-23T17:59"));
        assert!(!open("2026-11-23T18:00"));
        assert!(!open("2026-11-25T13:00"), "the break on Wednesday");
        assert!(!open("2026-11-22T12:00"), "a Sunday");
        assert!(!open("2026-12-25T12:00"), "a holiday");
        assert!(open("2026-12-18T23:59"));
        assert!(Hours::default().is_open(at("2026-11-22T03:00"), &berlin()), "hours nobody has entered");
    }

    #[test]
    fn the_next_opening_is_found_over_nights_and_holidays() {
        let next = |text: &str| hours().next_open(at(text), &berlin()).unwrap();
        assert_eq!(next("2026-11-23T10:00"), at("2026-11-23T10:00"));
        assert_eq!(next("2026-11-21T19:00"), at("2026-11-23T09:00"));
        assert_eq!(next("2026-12-24T20:00"), at("2026-12-26T09:00"));
        let never = Hours { weekly: Some(Default::default()), ..Hours::default() };
        assert_eq!(never.next_open(at("2026-11-21T19:00"), &berlin()), None);
    }

    #[test]
    fn only_open_time_counts() {
        let minutes = |n: u64| n * 60_000;
        let after = |text: &str, open_for| hours().after_open(at(text), open_for, &berlin()).unwrap();
        assert_eq!(after("2026-11-23T10:00", minutes(15)), at("2026-11-23T10:15"));
        assert_eq!(after("2026-11-23T17:50", minutes(15)), at("2026-11-24T09:05"));
        assert_eq!(after("2026-11-25T11:00", minutes(120)), at("2026-11-25T15:00"));
        assert_eq!(Hours::default().after_open(UnixMillis(5), 10, &berlin()), Some(UnixMillis(15)));
    }

    #[test]
    fn a_whole_opening_day_ends_with_its_last_opening() {
        let end = |text: &str| hours().whole_day_after(at(text), &berlin());
        assert_eq!(end("2026-11-23T11:00"), Some(at("2026-11-24T18:00")));
        assert_eq!(end("2026-11-24T08:00"), Some(at("2026-11-25T18:00")), "with its break");
        assert_eq!(end("2026-11-21T11:00"), Some(at("2026-11-23T18:00")), "Sundays are off");
        assert_eq!(end("2026-12-17T11:00"), Some(at("2026-12-19T00:00")));
        assert_eq!(Hours::default().whole_day_after(at("2026-11-23T11:00"), &berlin()), None);
    }

    /// On 29 March 2026 clocks go from 02:00 to 03:00, on 25 October back from 03:00 to 02:00.
    #[test]
    fn nights_with_another_length_count_as_long_as_they_are() {
        let all_night = vec![opening("00:00", "06:00")];
        let weekly = std::array::from_fn(|_| all_night.clone());
        let hours = Hours { weekly: Some(weekly), ..Hours::default() };
        let open_for = |night: &str| {
            let from = at(&format!("{night}T00:00"));
            (1..8).find(|h| !hours.is_open(UnixMillis(from.0 + h * 3_600_000), &berlin())).unwrap()
        };
        assert_eq!(open_for("2026-03-28"), 6);
        assert_eq!(open_for("2026-03-29"), 5);
        assert_eq!(open_for("2026-10-25"), 7);
    }

    #[test]
    fn hours_that_can_not_be_meant_are_refused() {
        assert_eq!(hours().validate(), Ok(()));
        let on_monday = |openings: &[Opening]| {
            let mut weekly: [Vec<Opening>; 7] = Default::default();
            weekly[0] = openings.to_vec();
            Hours { weekly: Some(weekly), ..Hours::default() }.validate().unwrap_err().to_string()
        };
        let backwards = on_monday(&[opening("18:00", "09:00")]);
        assert!(backwards.starts_with("monday: opens at 18:00:00 and closes at 09:00:00"), "{backwards}");
        let overlapping = on_monday(&[opening("09:00", "14:00"), opening("12:00", "18:00")]);
        assert!(overlapping.contains("before it has closed"), "{overlapping}");
        assert!(on_monday(&[opening("01:00", "02:00"); 5]).contains("5 openings"));
    }
}
