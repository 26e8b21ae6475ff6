//! When a row happened: the POS's own way of writing times, brought to UTC.
//!
//! Of an hour that the clocks show twice the first is meant, unless the rows before say that it has passed: time that jumps back by
//! more than a few minutes from one key to the next is the second. A time in the hour that is left out is an hour later.

use crate::config::pos::Times;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sync_protocol::UnixMillis;

/// Rows of several tills come a little out of order without the clocks having been set back.
const JITTER_MS: i64 = 5 * 60 * 1000;
/// The julian day of 1970-01-01.
const JULIAN_EPOCH: f64 = 2_440_587.5;
const DAY_MS: f64 = 86_400_000.0;

/// Reads the times of rows in the order of their keys.
#[derive(Debug, Clone)]
pub struct Clockwork {
    times: Times,
    zone: TimeZone,
    /// When the row before happened.
    before: Option<UnixMillis>,
}

impl Clockwork {
    #[must_use]
    pub fn new(times: Times, zone: TimeZone) -> Clockwork {
        Clockwork { times, zone, before: None }
    }

    /// `None`: this is no time as the mapping says times are.
    pub fn text(&mut self, text: &str) -> Option<UnixMillis> {
        let at = match self.times {
            Times::Text => self.written(text.trim()),
            Times::Unix | Times::UnixMs => self.integer(text.trim().parse().ok()?),
            Times::Julian => self.real(text.trim().parse().ok()?),
        }?;
        self.before = Some(at);
        Some(at)
    }

    pub fn integer(&mut self, number: i64) -> Option<UnixMillis> {
        let millis = match self.times {
            Times::Unix => number.checked_mul(1000)?,
            Times::UnixMs => number,
            Times::Julian => return self.real(f64::from(i32::try_from(number).ok()?)),
            Times::Text => return None,
        };
        self.known(millis)
    }

    pub fn real(&mut self, number: f64) -> Option<UnixMillis> {
        let millis = match self.times {
            Times::Unix => number * 1000.0,
            Times::UnixMs => number,
            Times::Julian => (number - JULIAN_EPOCH) * DAY_MS,
            Times::Text => return None,
        };
        // By way of text, which knows no overflow.
        self.known(format!("{millis:.0}").parse().ok()?)
    }

    /// Within the years 0 to 9999.
    fn known(&mut self, millis: i64) -> Option<UnixMillis> {
        let at = Timestamp::from_millisecond(millis).ok()?;
        let year = at.to_zoned(TimeZone::UTC).year();
        if !(0..=9999).contains(&year) {
            return None;
        }
        self.before = Some(UnixMillis(millis));
        self.before
    }

    fn written(&self, text: &str) -> Option<UnixMillis> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(UnixMillis(at.as_millisecond()));
        }
        let local: DateTime = text.parse().ok()?;
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        let is_fold = matches!(ambiguous.offset(), jiff::tz::AmbiguousOffset::Fold { .. });
        let later = if is_fold { ambiguous.later().ok() } else { None };
        // In a gap this is the time shifted forward, in a fold the first of the two.
        let usual = ambiguous.compatible().ok()?;
        let at = UnixMillis(usual.as_millisecond());
        let has_passed = self.before.is_some_and(|before| at.0 < before.0.saturating_sub(JITTER_MS));
        Some(match later.filter(|_| has_passed) {
            Some(later) => UnixMillis(later.as_millisecond()),
            None => at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_york() -> Clockwork {
        Clockwork::new(Times::Text, TimeZone::get("America/New_York").unwrap())
    }

    fn utc(text: &str) -> Option<UnixMillis> {
        Some(UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond()))
    }

    #[test]
    fn the_hour_that_comes_twice_is_told_apart_by_the_order_of_rows() {
        let mut clock = new_york();
        let read: Vec<_> = ["01:15:00", "01:50:00", "01:15:00", "01:40:00"]
            .iter()
            .map(|time| clock.text(&format!("2026-11-01 {time}")))
            .collect();
        let expected =
            ["05:15", "05:50", "06:15", "06:40"].map(|time| utc(&format!("2026-11-01T{time}:00Z")));
        assert_eq!(read, expected);
    }

    #[test]
    fn two_tills_a_minute_apart_do_not_set_the_clock_back() {
        let mut clock = new_york();
        clock.text("2026-11-01 01:20:00");
        assert_eq!(clock.text("2026-11-01 01:19:10"), utc("2026-11-01T05:19:10Z"));
    }

    #[test]
    fn the_hour_that_is_left_out_is_an_hour_later() {
        assert_eq!(new_york().text("2026-03-08 02:30:00"), utc("2026-03-08T07:30:00Z"));
    }

    #[test]
    fn every_way_of_writing_means_the_same_moment() {
        let noon = utc("2026-10-31T12:00:00Z");
        let of = |times| Clockwork::new(times, TimeZone::UTC);
        assert_eq!(of(Times::Text).text("2026-10-31 12:00:00"), noon);
        assert_eq!(of(Times::Text).text("2026-10-31T14:00:00+02:00"), noon);
        assert_eq!(of(Times::Unix).integer(1_793_448_000), noon);
        assert_eq!(of(Times::Unix).text("1793448000"), noon);
        assert_eq!(of(Times::UnixMs).integer(1_793_448_000_000), noon);
        assert_eq!(of(Times::Julian).real(2_461_345.0), noon);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "yesterday", "2026-13-01 00:00:00", "31.10.2026"] {
            assert_eq!(new_york().text(text), None, "{text}");
        }
        assert_eq!(Clockwork::new(Times::Unix, TimeZone::UTC).integer(i64::MAX), None);
        assert_eq!(Clockwork::new(Times::Julian, TimeZone::UTC).real(f64::INFINITY), None);
        assert_eq!(new_york().integer(3), None);
    }
}
