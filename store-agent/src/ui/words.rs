//! Times, ages and quantities in a person's language and the store's time zone.

use super::texts::{Language, Text, shared};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use std::time::Duration;
use sync_protocol::{Quantity, UnixMillis};

/// How one visitor is spoken to.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    pub language: Language,
    pub zone: &'a TimeZone,
    pub now: UnixMillis,
}

impl Words<'_> {
    #[must_use]
    pub fn say(&self, text: Text) -> &'static str {
        self.language.say(text)
    }

    #[must_use]
    pub fn fill(&self, text: Text, values: &[(&str, &str)]) -> String {
        self.language.fill(text, values)
    }

    /// `14:30` today, with the day otherwise, and with the year when it is another.
    #[must_use]
    pub fn moment(&self, at: UnixMillis) -> String {
        let (then, now) = (self.local(at), self.local(self.now));
        let time = format!("{:02}:{:02}", then.hour(), then.minute());
        if then.date() == now.date() {
            return time;
        }
        if now.date().tomorrow().is_ok_and(|tomorrow| tomorrow == then.date()) {
            return self.fill(shared::TOMORROW_AT, &[("time", &time)]);
        }
        self.fill(shared::DAY_AT, &[("day", &self.day(then)), ("time", &time)])
    }

    /// As `moment`, to the second: for the audit trail.
    #[must_use]
    pub fn moment_exactly(&self, at: UnixMillis) -> String {
        let then = self.local(at);
        let time = format!("{:02}:{:02}:{:02}", then.hour(), then.minute(), then.second());
        self.fill(shared::DAY_AT, &[("day", &self.day(then)), ("time", &time)])
    }

    /// When this day began.
    #[must_use]
    pub fn midnight(&self) -> UnixMillis {
        let start = self.local(self.now).date().to_zoned(self.zone.clone());
        start.map_or(self.now, |start| UnixMillis(start.timestamp().as_millisecond()))
    }

    /// For `<time datetime="…">`.
    #[must_use]
    pub fn machine(&self, at: UnixMillis) -> String {
        Timestamp::from_millisecond(at.0).map_or_else(|_| String::new(), |at| at.to_string())
    }

    /// `23 Nov`.
    #[must_use]
    pub fn short_day(&self, date: Date) -> String {
        let index = usize::try_from(date.month() - 1).unwrap_or(0);
        let month = self.say(shared::JANUARY_TO_DECEMBER).split(' ').nth(index).unwrap_or_default();
        format!("{} {month}", date.day())
    }

    fn day(&self, at: DateTime) -> String {
        let pick = |names: Text, at: i8| {
            let index = usize::try_from(at - 1).unwrap_or(0);
            self.say(names).split(' ').nth(index).unwrap_or_default()
        };
        let weekday = pick(shared::MONDAY_TO_SUNDAY, at.weekday().to_monday_one_offset());
        let day = format!("{weekday} {} {}", at.day(), pick(shared::JANUARY_TO_DECEMBER, at.month()));
        if at.year() == self.local(self.now).year() { day } else { format!("{day} {}", at.year()) }
    }

    fn local(&self, at: UnixMillis) -> DateTime {
        let at = Timestamp::from_millisecond(at.0).unwrap_or_default();
        at.to_zoned(self.zone.clone()).datetime()
    }

    /// `12 min`, `1 h 5 min`, `3 days`.
    #[must_use]
    pub fn age(&self, age: Duration) -> String {
        let seconds = age.as_secs();
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        let one = |text, count: u64| self.fill(text, &[("count", &count.to_string())]);
        match seconds {
            0..60 => one(shared::SECONDS, seconds),
            60..3600 => one(shared::MINUTES, minutes),
            3600..172_800 if minutes % 60 == 0 => one(shared::HOURS, hours),
            3600..172_800 => {
                let values = [("hours", hours.to_string()), ("minutes", (minutes % 60).to_string())];
                self.fill(shared::HOURS_MINUTES, &[(values[0].0, &values[0].1), (values[1].0, &values[1].1)])
            }
            _ => self.language.count(hours / 24, shared::DAYS_ONE, shared::DAYS_MORE),
        }
    }

    #[must_use]
    pub fn since(&self, at: UnixMillis) -> String {
        self.age(Duration::from_millis(self.now.since(at)))
    }

    /// `in 12 min`, or `5 min late`. As `page.js` counts on from there.
    #[must_use]
    pub fn until(&self, at: UnixMillis) -> String {
        let (text, millis) = if at >= self.now {
            (shared::IN, at.since(self.now))
        } else {
            (shared::LATE, self.now.since(at))
        };
        if millis < 60_000 {
            return self.say(shared::NOW).to_owned();
        }
        self.fill(text, &[("age", &self.age(Duration::from_millis(millis)))])
    }

    /// As the language writes numbers: `1,250.5`, `1.250,5`.
    #[must_use]
    pub fn quantity(&self, quantity: Quantity) -> String {
        let plain = quantity.to_string();
        let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |rest| ("−", rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (group, point) = if self.language == Language::Spanish { ('.', ',') } else { (',', '.') };
        let mut text = sign.to_owned();
        text.push_str(&grouped(whole, group, self.language));
        if !fraction.is_empty() {
            text.push(point);
            text.push_str(fraction);
        }
        text
    }

    /// With its unit, where it is not sold by the piece.
    #[must_use]
    pub fn amount(&self, quantity: Quantity, unit: &str) -> String {
        let number = self.quantity(quantity);
        if unit.is_empty() || unit == "each" { number } else { format!("{number} {unit}") }
    }
}

/// Groups of three; in Hindi of two from the thousands up. Spanish begins at five digits.
fn grouped(whole: &str, group: char, language: Language) -> String {
    let count = whole.len();
    if count < 4 || (language == Language::Spanish && count < 5) {
        return whole.to_owned();
    }
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let left = count - at;
        let is_start = match language {
            Language::Hindi => left == 3 || (left > 3 && left % 2 == 1),
            _ => left.is_multiple_of(3),
        };
        if at > 0 && is_start {
            text.push(group);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 05:00 UTC.
    const NOW: UnixMillis = UnixMillis(1_795_410_000_000);

    fn words(language: Language, zone: &TimeZone) -> Words<'_> {
        Words { language, zone, now: NOW }
    }

    fn plus(minutes: i64) -> UnixMillis {
        UnixMillis(NOW.0 + minutes * 60_000)
    }

    #[test]
    fn a_moment_is_told_in_the_stores_time_zone() {
        let (kolkata, utc) = (TimeZone::get("Asia/Kolkata").unwrap(), TimeZone::UTC);
        assert_eq!(words(Language::English, &utc).moment(plus(90)), "06:30");
        assert_eq!(words(Language::English, &kolkata).moment(plus(90)), "12:00");
        assert_eq!(words(Language::Spanish, &utc).moment(plus(24 * 60)), "mañana 05:00");
        assert_eq!(words(Language::English, &utc).moment(plus(-24 * 60)), "Sun 22 Nov, 05:00");
        assert_eq!(words(Language::English, &utc).moment(plus(365 * 24 * 60)), "Tue 23 Nov 2027, 05:00");
        assert_eq!(words(Language::Hindi, &utc).moment(plus(-24 * 60)), "रवि 22 नव॰, 05:00");
    }

    #[test]
    fn ages_and_countdowns_are_told_in_words() {
        let utc = TimeZone::UTC;
        let english = words(Language::English, &utc);
        assert_eq!(english.until(plus(12)), "in 12 min");
        assert_eq!(english.until(plus(-5)), "5 min late");
        assert_eq!(english.until(plus(0)), "now");
        assert_eq!(english.until(plus(65)), "in 1 h 5 min");
        assert_eq!(english.age(Duration::from_secs(3 * 86_400)), "3 days");
        assert_eq!(words(Language::Spanish, &utc).until(plus(-5)), "5 min de retraso");
    }

    #[test]
    fn numbers_are_written_as_the_language_writes_them() {
        let utc = TimeZone::UTC;
        let amount = |language, text: &str| words(language, &utc).quantity(text.parse().unwrap());
        assert_eq!(amount(Language::English, "1234567.5"), "1,234,567.5");
        assert_eq!(amount(Language::Spanish, "1234567.5"), "1.234.567,5");
        assert_eq!(amount(Language::Spanish, "1234"), "1234");
        assert_eq!(amount(Language::Hindi, "1234567.5"), "12,34,567.5");
        assert_eq!(amount(Language::English, "-3"), "−3");
        assert_eq!(words(Language::English, &utc).amount("1.5".parse().unwrap(), "kg"), "1.5 kg");
    }
}
