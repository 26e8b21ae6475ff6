//! What a store has to do for pickup, counted as its orders come and change: those taken lately, those not ended yet, and how
//! many lines it did not find.
//!
//! Orders are counted by quarters of an hour of world time. Every time zone is a whole number of them off, so "this hour" and
//! "today" at the store are sums over quarters, and roll over with the clock without anybody writing anything.
//!
//! An order counts as taken whatever becomes of it: nobody can make room at a full store by placing and cancelling.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use sync_protocol::UnixMillis;

const QUARTER_MS: i64 = 15 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long quarters are kept: the longest day there is, and a clock that was wrong by an hour.
const QUARTERS_KEPT: i64 = 27 * 4;
/// Over how many days lines not found are counted.
const RECORD_DAYS: i64 = 28;

/// What one order means for its store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// `None`: a restored hub has forgotten it.
    pub placed_at: Option<UnixMillis>,
    pub is_open: bool,
    /// Lines of an order the store has taken up, and those of them that it did not find.
    pub lines: u32,
    pub not_found: u32,
}

/// All of a store's orders, added up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Orders placed, by quarter of an hour since 1970.
    quarters: BTreeMap<i64, u32>,
    /// Lines, and lines not found, by day since 1970 on which they were ordered.
    days: BTreeMap<i64, (u32, u32)>,
    open: u32,
}

/// What a store has taken as of some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    pub this_hour: u32,
    pub today: u32,
    pub open: u32,
}

impl Workload {
    /// An order is new or has changed; `before` is what it was.
    pub fn change(&mut self, before: Option<Share>, after: Share) {
        let was = before.unwrap_or_default();
        if was.placed_at != after.placed_at {
            if let Some(count) = was.placed_at.and_then(|at| self.quarters.get_mut(&quarter(at))) {
                *count = count.saturating_sub(1);
            }
            if let Some(at) = after.placed_at {
                *self.quarters.entry(quarter(at)).or_default() += 1;
            }
        }
        if let Some((lines, missed)) = was.placed_at.and_then(|at| self.days.get_mut(&day(at))) {
            *lines = lines.saturating_sub(was.lines);
            *missed = missed.saturating_sub(was.not_found);
        }
        if let Some(at) = after.placed_at.filter(|_| after.lines > 0) {
            let (lines, missed) = self.days.entry(day(at)).or_default();
            *lines = lines.saturating_add(after.lines);
            *missed = missed.saturating_add(after.not_found);
        }
        self.open = (self.open + u32::from(after.is_open)).saturating_sub(u32::from(was.is_open));
        self.forget_old();
    }

    /// Keeps what can still count; late news of old orders may bring back a little that is never read.
    fn forget_old(&mut self) {
        forget_before(&mut self.quarters, QUARTERS_KEPT);
        forget_before(&mut self.days, RECORD_DAYS);
    }

    /// In the hour and on the day that it is at the store.
    #[must_use]
    pub fn taken(&self, zone: &TimeZone, now: UnixMillis) -> Taken {
        let since =
            |begin: UnixMillis| self.quarters.range(quarter(begin)..=quarter(now)).map(|(_, n)| n).sum();
        let begins = begins(zone, now);
        Taken { this_hour: since(begins.0), today: since(begins.1), open: self.open }
    }

    /// Of the lines of the last four weeks, the share that was not found.
    #[must_use]
    pub fn not_found_rate(&self, now: UnixMillis) -> f64 {
        let counted = self.days.range(day(now) - RECORD_DAYS..=day(now));
        let (lines, missed) = counted.fold((0_u64, 0_u64), |(l, m), (_, (lines, missed))| {
            (l + u64::from(*lines), m + u64::from(*missed))
        });
        if lines == 0 { 0.0 } else { share(missed, lines) }
    }
}

fn forget_before<T>(counts: &mut BTreeMap<i64, T>, kept: i64) {
    let newest = counts.last_key_value().map_or(0, |(newest, _)| *newest);
    while counts.first_key_value().is_some_and(|(oldest, _)| *oldest < newest - kept) {
        counts.pop_first();
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn quarter(at: UnixMillis) -> i64 {
    at.0.div_euclid(QUARTER_MS)
}

fn day(at: UnixMillis) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// When the hour and the day began at the store. A day that has no midnight begins with its first moment; of an hour that
/// comes twice, each is one of its own.
fn begins(zone: &TimeZone, now: UnixMillis) -> (UnixMillis, UnixMillis) {
    let Ok(at) = Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_millis(now.0)) else {
        return (now, now);
    };
    let at = at.to_zoned(zone.clone());
    let into_hour =
        (i64::from(at.minute()) * 60 + i64::from(at.second())) * 1000 + i64::from(at.millisecond());
    let midnight = at.start_of_day().map_or(now, |day| UnixMillis(day.timestamp().as_millisecond()));
    (UnixMillis(now.0 - into_hour), midnight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone: &str) -> UnixMillis {
        let at: jiff::Zoned = format!("{text}[{zone}]").parse().unwrap();
        UnixMillis(at.timestamp().as_millisecond())
    }

    fn placed(workload: &mut Workload, at: UnixMillis) {
        workload.change(None, Share { placed_at: Some(at), is_open: true, ..Share::default() });
    }

    fn taken(workload: &Workload, text: &str, zone: &str) -> (u32, u32) {
        let taken = workload.taken(&TimeZone::get(zone).unwrap(), at(text, zone));
        (taken.this_hour, taken.today)
    }

    #[test]
    fn hours_and_days_roll_over_with_the_stores_clock() {
        // Kathmandu is five hours and three quarters ahead.
        for zone in ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"] {
            let mut workload = Workload::default();
            for text in ["2026-11-22T23:59:59", "2026-11-23T00:00", "2026-11-23T09:00", "2026-11-23T09:59:59"]
            {
                placed(&mut workload, at(text, zone));
            }
            assert_eq!(taken(&workload, "2026-11-22T23:59:59.5", zone), (1, 1), "{zone}");
            assert_eq!(taken(&workload, "2026-11-23T00:10", zone), (1, 1), "{zone}");
            assert_eq!(taken(&workload, "2026-11-23T09:59:59.5", zone), (2, 3), "{zone}");
            assert_eq!(taken(&workload, "2026-11-23T10:00", zone), (0, 3), "{zone}");
            assert_eq!(taken(&workload, "2026-11-24T00:00", zone), (0, 0), "{zone}");
        }
    }

    /// On 25 October 2026 the hour from two to three comes twice in Berlin, and the day has 25 hours.
    #[test]
    fn an_hour_that_comes_twice_counts_as_two() {
        let mut workload = Workload::default();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let first = at("2026-10-25T02:30:00+02:00", "Europe/Berlin");
        placed(&mut workload, at("2026-10-25T00:00", "Europe/Berlin"));
        placed(&mut workload, first);
        assert_eq!(workload.taken(&zone, first), Taken { this_hour: 1, today: 2, open: 2 });
        let second = UnixMillis(first.0 + 3_600_000);
        assert_eq!(workload.taken(&zone, second), Taken { this_hour: 0, today: 2, open: 2 });
        assert_eq!(taken(&workload, "2026-10-25T23:59", "Europe/Berlin"), (0, 2));
    }

    #[test]
    fn orders_that_end_are_still_taken_but_no_longer_open() {
        let mut workload = Workload::default();
        let now = at("2026-11-23T09:00", "Europe/Berlin");
        let open = Share { placed_at: Some(now), is_open: true, lines: 4, not_found: 0 };
        workload.change(None, open);
        let short = Share { not_found: 1, ..open };
        workload.change(Some(open), short);
        assert!((workload.not_found_rate(now) - 0.25).abs() < 1e-9);
        workload.change(Some(short), Share { is_open: false, ..short });
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(workload.taken(&zone, now), Taken { this_hour: 1, today: 1, open: 0 });
        assert!((workload.not_found_rate(UnixMillis(now.0 + 28 * DAY_MS)) - 0.25).abs() < 1e-9);
        assert!(workload.not_found_rate(UnixMillis(now.0 + 29 * DAY_MS)) < 1e-9);
        assert!(Workload::default().not_found_rate(now) < 1e-9);
    }

    #[test]
    fn however_many_orders_there_are_little_is_kept() {
        let mut workload = Workload::default();
        // A year, in no order.
        for n in 0..100_000_i64 {
            placed(&mut workload, UnixMillis((n * 7_919 % 100_000) * 315_360));
        }
        assert!(workload.quarters.len() <= 110 && workload.days.len() <= 30);
    }

    /// A forgotten order is told of by its store first; when it was placed comes later.
    #[test]
    fn an_order_counts_once_it_is_known_when_it_was_placed() {
        let mut workload = Workload::default();
        let now = at("2026-11-23T09:00", "Europe/Berlin");
        let unknown = Share { placed_at: None, is_open: true, lines: 2, not_found: 1 };
        workload.change(None, unknown);
        assert!(workload.not_found_rate(now) < 1e-9);
        workload.change(Some(unknown), Share { placed_at: Some(now), ..unknown });
        assert!((workload.not_found_rate(now) - 0.5).abs() < 1e-9);
        assert_eq!(taken(&workload, "2026-11-23T09:10", "Europe/Berlin"), (1, 1));
    }
}
