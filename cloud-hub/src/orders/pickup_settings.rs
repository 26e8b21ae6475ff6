//! How a store takes part in pickup: whether at all, when it is open, how many orders it can do, and until when it pauses.
//!
//! ```json
//! {"pickup": true,
//!  "hours": {"monday": ["09:00-18:00"], "tuesday": ["09:00-18:00"], "wednesday": ["09:00-12:00", "14:00-18:00"],
//!            "thursday": ["09:00-18:00"], "friday": ["09:00-18:00"], "saturday": ["09:00-24:00"], "sunday": []},
//!  "exceptions": {"2026-12-25": []},
//!  "capacity": {"per_hour": 20, "per_day": 150},
//!  "paused": {"until": "2026-11-23T18:00:00Z", "reason": "the cold room is being repaired"}}
//! ```
//!
//! A store whose settings nobody has entered takes part, is always open and can do any number. Each change gets the next
//! revision, and who changes the whole names the one they have seen: two people never overwrite each other unknowingly.

use super::hours::{Hours, Opening};
use super::placement::{Object, PlacementRefused, read_json};
use super::routing::{Dropped, Load, Pickup, has_capacity, opens_in_time, takes_part};
use super::workload::Taken;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;
use sync_protocol::UnixMillis;
use sync_protocol::pause::StorePause;
use utoipa::ToSchema;

/// Longest text of one store's settings.
pub const SETTINGS_BYTES_MAX: usize = 64 * 1024;
/// Most days that may differ from their weekday.
pub const EXCEPTIONS_MAX: usize = 400;
/// Largest capacity that is not a mistake.
pub const CAPACITY_MAX: u32 = 100_000;
/// Longest reason of a pause, in bytes.
pub const REASON_BYTES_MAX: usize = 200;
/// Longest pause. A store that is away for longer has pickup switched off.
pub const PAUSE_DAYS_MAX: i64 = 31;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// One store's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickupSettings {
    /// HQ's switch.
    pub is_on: bool,
    /// The last pause, also once it is over.
    pub paused: Option<Pause>,
    pub hours: Arc<Hours>,
    /// `None` sets no limit.
    pub per_hour_max: Option<u32>,
    pub per_day_max: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub until: UnixMillis,
    pub reason: String,
}

/// Settings, and which of all that the store has had they are; 0 while nobody has entered any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revised {
    pub revision: u64,
    pub settings: PickupSettings,
}

/// What a store is told of itself.
#[derive(Serialize)]
struct Told<'a> {
    revision: u64,
    name: &'a str,
    timezone: &'a str,
    pickup: SettingsBody,
}

impl Revised {
    /// For the store's people: JSON, with the store's name and time zone. Whether a pause is over is for the reader's clock to say.
    #[must_use]
    pub fn told(&self, name: &str, timezone: &str) -> String {
        let pickup = SettingsBody::of(&self.settings, None);
        let told = Told { revision: self.revision, name, timezone, pickup };
        serde_json::to_string(&told).expect("texts and numbers are always JSON")
    }
}

impl Default for PickupSettings {
    fn default() -> Self {
        Self { is_on: true, paused: None, hours: Arc::default(), per_hour_max: None, per_day_max: None }
    }
}

/// Why settings can't be taken as they were sent. The sender's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", if field.is_empty() { "the settings" } else { field })]
pub struct SettingsRefused {
    /// Such as `hours.monday`; empty for the whole.
    pub field: String,
    pub reason: String,
}

/// How a store takes part in pickup. What is left out of a new one is not set: no `hours` is always open, no `capacity` any
/// number of orders, no `paused` no pause.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PickupSettings)]
pub struct SettingsBody {
    /// Whether the store takes part at all.
    #[schema(value_type = bool)]
    pickup: Option<bool>,
    /// When it is open, by its own clock. All seven days, or none for a store that is always open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<WeekBody>, nullable = false)]
    hours: Option<Object<WeekBody>>,
    /// Days that differ from their weekday, by date, such as `{"2026-12-25": []}`. At most 400.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    exceptions: BTreeMap<String, Vec<String>>,
    /// How many orders it can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CapacityBody>, nullable = false)]
    capacity: Option<Object<CapacityBody>>,
    /// It takes no new orders for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PauseBody>, nullable = false)]
    paused: Option<Object<PauseBody>>,
    /// The store's own pause, while it lasts. Only the store can change it: ignored in what is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<OwnPauseBody>, nullable = false)]
    paused_by_store: Option<Object<OwnPauseBody>>,
}

/// A break that the store's own people have taken from new orders.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = StorePause)]
pub struct OwnPauseBody {
    /// Until when.
    #[serde(default)]
    #[schema(format = DateTime)]
    until: String,
    /// Why.
    #[serde(default)]
    reason: String,
    /// Who at the store.
    #[serde(default)]
    by: String,
}

/// A week's opening hours: for each day its stretches, such as `["09:00-12:00", "14:00-18:00"]`. An empty list is a day off,
/// and `24:00` the end of the day; what goes on over midnight is written as two days.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OpeningHours)]
pub struct WeekBody {
    /// Monday.
    #[schema(value_type = Vec<String>)]
    monday: Option<Vec<String>>,
    /// Tuesday.
    #[schema(value_type = Vec<String>)]
    tuesday: Option<Vec<String>>,
    /// Wednesday.
    #[schema(value_type = Vec<String>)]
    wednesday: Option<Vec<String>>,
    /// Thursday.
    #[schema(value_type = Vec<String>)]
    thursday: Option<Vec<String>>,
    /// Friday.
    #[schema(value_type = Vec<String>)]
    friday: Option<Vec<String>>,
    /// Saturday.
    #[schema(value_type = Vec<String>)]
    saturday: Option<Vec<String>>,
    /// Sunday.
    #[schema(value_type = Vec<String>)]
    sunday: Option<Vec<String>>,
}

/// How many orders a store can do. Each counts in the hour and on the day it was placed, by the store's clock.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PickupCapacity)]
pub struct CapacityBody {
    /// Orders an hour, 1 to 100,000; without it any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000, nullable = false)]
    per_hour: Option<u32>,
    /// Orders a day, 1 to 100,000; without it any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000, nullable = false)]
    per_day: Option<u32>,
}

/// A break that a store takes from new orders. Those it has are not touched.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PickupPause)]
pub struct PauseBody {
    /// Until when, in RFC 3339: in the future, at most 31 days ahead.
    #[schema(value_type = String, format = DateTime)]
    until: Option<String>,
    /// Why, for people: up to 200 bytes.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    reason: Option<String>,
}

pub const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl PickupSettings {
    /// Reads what HQ sends.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(body: &[u8], now: UnixMillis) -> Result<PickupSettings, SettingsRefused> {
        let settings = Self::read_stored(body)?;
        if let Some(pause) = &settings.paused {
            pause.check(now).map_err(|refused| refused.under("paused"))?;
        }
        Ok(settings)
    }

    /// Reads what [`written`](Self::written) has written: a pause may be over by now.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read_stored(body: &[u8]) -> Result<PickupSettings, SettingsRefused> {
        if body.len() > SETTINGS_BYTES_MAX {
            let reason = format!("have {} bytes, more than the {SETTINGS_BYTES_MAX} allowed", body.len());
            return Err(refused("", reason));
        }
        let Object(body) = read_json::<Object<SettingsBody>>(body)?;
        let is_on = body.pickup.ok_or_else(|| refused("pickup", "is missing; say `true` or `false`"))?;
        let capacity = body.capacity.map(|Object(capacity)| capacity);
        let per = |field: &str, most: Option<u32>| most.map(|most| read_capacity(field, most)).transpose();
        let settings = PickupSettings {
            is_on,
            paused: body
                .paused
                .map(|Object(pause)| pause.read())
                .transpose()
                .map_err(|e| e.under("paused"))?,
            hours: Arc::new(read_hours(body.hours, &body.exceptions)?),
            per_hour_max: per("capacity.per_hour", capacity.as_ref().and_then(|c| c.per_hour))?,
            per_day_max: per("capacity.per_day", capacity.as_ref().and_then(|c| c.per_day))?,
        };
        Ok(settings)
    }

    /// For storage: everything, also a pause that is over.
    #[must_use]
    pub fn written(&self) -> String {
        serde_json::to_string(&SettingsBody::of(self, None)).expect("texts and numbers are always JSON")
    }

    /// Without a pause that is over.
    #[must_use]
    pub fn shown(&self, now: UnixMillis) -> SettingsBody {
        SettingsBody::of(self, Some(now))
    }

    /// The same, with the store's own pause.
    #[must_use]
    pub fn shown_with(&self, own: Option<StorePause>, now: UnixMillis) -> SettingsBody {
        let own = own.map(|own| OwnPauseBody {
            until: Timestamp::from_millisecond(own.until).unwrap_or(Timestamp::MAX).to_string(),
            reason: own.reason,
            by: own.by,
        });
        SettingsBody { paused_by_store: own.map(Object), ..self.shown(now) }
    }

    #[must_use]
    pub fn pickup(&self) -> Pickup {
        match &self.paused {
            _ if !self.is_on => Pickup::Off,
            Some(pause) => Pickup::PausedUntil(pause.until),
            None => Pickup::On,
        }
    }

    #[must_use]
    pub fn load(&self, taken: Taken) -> Load {
        Load {
            this_hour: taken.this_hour,
            today: taken.today,
            open: taken.open,
            per_hour_max: self.per_hour_max,
            per_day_max: self.per_day_max,
        }
    }

    /// Whether the store takes an order that it would keep until `hold_until`, whatever it has on its shelf. `pickup`: these settings'
    /// own, with the store's word on it.
    ///
    /// # Errors
    /// Why it takes none.
    pub fn takes_orders(
        &self,
        pickup: Pickup,
        zone: &TimeZone,
        taken: Taken,
        now: UnixMillis,
        hold_until: UnixMillis,
    ) -> Result<(), Dropped> {
        takes_part(pickup, now)?;
        has_capacity(&self.load(taken))?;
        opens_in_time(&self.hours, zone, now, hold_until)
    }
}

impl Pause {
    /// Reads one that is to begin now.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(body: &[u8], now: UnixMillis) -> Result<Pause, SettingsRefused> {
        if body.len() > SETTINGS_BYTES_MAX {
            return Err(refused("", "are too long"));
        }
        let pause = read_json::<Object<PauseBody>>(body)?.0.read()?;
        pause.check(now)?;
        Ok(pause)
    }

    fn check(&self, now: UnixMillis) -> Result<(), SettingsRefused> {
        if self.until <= now {
            return Err(refused("until", "is not in the future; to end a pause, resume"));
        }
        if self.until.0.saturating_sub(now.0) > PAUSE_DAYS_MAX * DAY_MS {
            let reason = format!("is more than {PAUSE_DAYS_MAX} days ahead; switch `pickup` off instead");
            return Err(refused("until", reason));
        }
        Ok(())
    }
}

impl PauseBody {
    fn read(self) -> Result<Pause, SettingsRefused> {
        let until = self.until.ok_or_else(|| refused("until", "is missing; say when the pause ends"))?;
        let until: Timestamp = until
            .parse()
            .map_err(|_| refused("until", "is no time in RFC 3339; write one like 2026-11-23T18:00:00Z"))?;
        let reason = self.reason.unwrap_or_default();
        let reason = reason.trim();
        let fault = if reason.is_empty() {
            "is missing; say why, for those who will ask"
        } else if reason.len() > REASON_BYTES_MAX {
            "has more than 200 bytes; shorten it"
        } else if reason.chars().any(char::is_control) {
            "has a control character, such as a line's end; leave it out"
        } else {
            return Ok(Pause { until: UnixMillis(until.as_millisecond()), reason: reason.to_owned() });
        };
        Err(refused("reason", fault))
    }
}

fn read_hours(
    week: Option<Object<WeekBody>>,
    exceptions: &BTreeMap<String, Vec<String>>,
) -> Result<Hours, SettingsRefused> {
    let weekly = match week {
        Some(Object(week)) => Some(week.read()?),
        None if !exceptions.is_empty() => {
            return Err(refused("exceptions", "are given without `hours` that they differ from"));
        }
        None => None,
    };
    if exceptions.len() > EXCEPTIONS_MAX {
        return Err(refused(
            "exceptions",
            format!("are more than {EXCEPTIONS_MAX} days; leave out what is over"),
        ));
    }
    let mut days = BTreeMap::new();
    for (date, openings) in exceptions {
        let field = format!("exceptions.{}", shortened(date));
        let date: Date = date
            .parse()
            .ok()
            .filter(|_| date.len() == "2026-12-25".len())
            .ok_or_else(|| refused(&field, "is no date; write one like 2026-12-25"))?;
        days.insert(date, read_day(&field, openings)?);
    }
    hours(weekly, days)
}

/// # Errors
/// Hours that can't be meant.
pub(super) fn hours(
    weekly: Option<[Vec<Opening>; 7]>,
    exceptions: BTreeMap<Date, Vec<Opening>>,
) -> Result<Hours, SettingsRefused> {
    let hours = Hours { weekly, exceptions };
    hours.validate().map_err(|error| refused("hours", error.to_string()))?;
    Ok(hours)
}

impl WeekBody {
    fn read(self) -> Result<[Vec<Opening>; 7], SettingsRefused> {
        let days = [
            self.monday,
            self.tuesday,
            self.wednesday,
            self.thursday,
            self.friday,
            self.saturday,
            self.sunday,
        ];
        let mut weekly: [Vec<Opening>; 7] = Default::default();
        for ((day, name), read) in days.into_iter().zip(WEEKDAYS).zip(&mut weekly) {
            let field = format!("hours.{name}");
            let day = day.ok_or_else(|| refused(&field, "is missing; write [] for a day off"))?;
            *read = read_day(&field, &day)?;
        }
        Ok(weekly)
    }

    fn of(weekly: &[Vec<Opening>; 7]) -> WeekBody {
        let [monday, tuesday, wednesday, thursday, friday, saturday, sunday] =
            std::array::from_fn(|day| Some(written_day(&weekly[day])));
        WeekBody { monday, tuesday, wednesday, thursday, friday, saturday, sunday }
    }
}

fn read_day(field: &str, openings: &[String]) -> Result<Vec<Opening>, SettingsRefused> {
    openings.iter().map(|text| read_opening(text).map_err(|reason| refused(field, reason))).collect()
}

fn written_day(openings: &[Opening]) -> Vec<String> {
    openings.iter().map(written_opening).collect()
}

/// As in `09:00-18:00`.
pub(super) fn read_opening(text: &str) -> Result<Opening, String> {
    let read = || {
        let (opens, closes) = text.trim().split_once('-')?;
        Some(Opening { opens: read_time(opens)?, closes: read_time(closes)? })
    };
    let is_end = |text: &str| text.trim_start().starts_with("24:00");
    read().filter(|_| !is_end(text)).ok_or_else(|| {
        format!("`{}` is no opening; write one like `09:00-18:00`, up to `24:00`", shortened(text))
    })
}

fn read_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| -> Option<i8> {
        text.parse().ok().filter(|_| text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit()))
    };
    match (number(hour)?, number(minute).filter(|_| minute.len() == 2)?) {
        (24, 0) => Some(Time::midnight()),
        (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
    }
}

pub(super) fn written_opening(opening: &Opening) -> String {
    let closes = if opening.closes == Time::midnight() { "24:00".to_owned() } else { hour(opening.closes) };
    format!("{}-{closes}", hour(opening.opens))
}

fn hour(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

pub(super) fn read_capacity(field: &str, most: u32) -> Result<u32, SettingsRefused> {
    match most {
        0 => Err(refused(field, "is 0; switch `pickup` off, or pause, to take no orders")),
        most if most > CAPACITY_MAX => Err(refused(field, format!("is more than {CAPACITY_MAX}"))),
        most => Ok(most),
    }
}

impl SettingsBody {
    /// With a pause only if it is not over at `now`, where that is given.
    fn of(settings: &PickupSettings, now: Option<UnixMillis>) -> SettingsBody {
        let paused = settings.paused.as_ref().filter(|pause| now.is_none_or(|now| pause.until > now));
        let PickupSettings { per_hour_max, per_day_max, .. } = *settings;
        let has_capacity = per_hour_max.is_some() || per_day_max.is_some();
        let capacity = CapacityBody { per_hour: per_hour_max, per_day: per_day_max };
        let exceptions = settings.hours.exceptions.iter();
        SettingsBody {
            pickup: Some(settings.is_on),
            hours: settings.hours.weekly.as_ref().map(|weekly| Object(WeekBody::of(weekly))),
            exceptions: exceptions.map(|(date, day)| (date.to_string(), written_day(day))).collect(),
            capacity: has_capacity.then_some(Object(capacity)),
            paused: paused.map(|pause| Object(PauseBody::of(pause))),
            paused_by_store: None,
        }
    }
}

impl PauseBody {
    fn of(pause: &Pause) -> PauseBody {
        let until = Timestamp::from_millisecond(pause.until.0).unwrap_or(Timestamp::MAX);
        PauseBody { until: Some(until.to_string()), reason: Some(pause.reason.clone()) }
    }
}

impl<T: Serialize> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Object<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn refused(field: &str, reason: impl Into<String>) -> SettingsRefused {
    SettingsRefused { field: field.to_owned(), reason: reason.into() }
}

impl SettingsRefused {
    fn under(self, field: &str) -> SettingsRefused {
        SettingsRefused { field: format!("{field}.{}", self.field), reason: self.reason }
    }
}

impl From<PlacementRefused> for SettingsRefused {
    fn from(error: PlacementRefused) -> Self {
        match error {
            PlacementRefused::Invalid { field, reason } => SettingsRefused { field, reason },
            other => refused("", other.to_string()),
        }
    }
}

/// What somebody wrote as a refusal repeats it: short, and without anything a terminal would obey.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
    const FULL: &str = r#"{"pickup":true,"hours":{"monday":["09:00-18:00"],"tuesday":[],"wednesday":["09:00-12:00","14:00-18:00"],
        "thursday":[],"friday":[],"saturday":["09:00-24:00"],"sunday":[]},"exceptions":{"2026-12-25":[],"2026-12-24":["8:30-14:00"]},
        "capacity":{"per_hour":20,"per_day":150},"paused":{"until":"2026-11-20T18:00:00Z","reason":"cold room"}}"#;

    fn read(text: &str) -> Result<PickupSettings, SettingsRefused> {
        PickupSettings::read(text.as_bytes(), NOW)
    }

    fn refusal(text: &str) -> String {
        read(text).expect_err(text).to_string()
    }

    #[test]
    fn settings_are_kept_as_they_were_read() {
        let settings = read(FULL).unwrap();
        assert_eq!((settings.per_hour_max, settings.per_day_max), (Some(20), Some(150)));
        assert_eq!(settings.paused.as_ref().unwrap().reason, "cold room");
        let weekly = settings.hours.weekly.as_ref().unwrap();
        assert_eq!(weekly[2].len(), 2);
        assert_eq!(written_day(&weekly[5]), ["09:00-24:00"]);
        assert_eq!(PickupSettings::read_stored(settings.written().as_bytes()), Ok(settings.clone()));
        let later = UnixMillis(settings.paused.as_ref().unwrap().until.0);
        let shown = serde_json::to_value(settings.shown(later)).unwrap();
        assert_eq!(shown.get("paused"), None, "a pause that is over");
        assert_eq!(shown["exceptions"]["2026-12-24"][0], "08:30-14:00");
        let default = PickupSettings::default();
        assert_eq!(default.written(), r#"{"pickup":true}"#);
        assert_eq!(read(&default.written()), Ok(default));
    }

    #[test]
    fn a_refusal_names_the_field() {
        for (change, by, expected) in [
            (r#""pickup":true,"#, "", "pickup: is missing"),
            (r#""pickup":true"#, r#""pickup":1"#, "pickup: must be"),
            (r#""pickup":true"#, r#""pickup":true,"open":1"#, "open: is not known"),
            (r#""tuesday":[],"#, "", "hours.tuesday: is missing"),
            ("09:00-18:00", "18:00-09:00", "hours: monday: opens at 18:00:00"),
            ("09:00-18:00", "9-18", "hours.monday: `9-18` is no opening"),
            ("09:00-18:00", "09:00-25:00", "hours.monday: `09:00-25:00` is no opening"),
            ("09:00-18:00", "09:0-18:00", "hours.monday"),
            ("09:00-18:00", "+9:00-18:00", "hours.monday"),
            ("14:00-18:00", "11:00-18:00", "hours: wednesday: the store opens at 11:00:00"),
            ("2026-12-25", "2026-13-25", "exceptions.2026-13-25: is no date"),
            ("2026-12-25", "25.12.2026", "exceptions.25.12.2026: is no date"),
            (r#""per_hour":20"#, r#""per_hour":0"#, "capacity.per_hour: is 0"),
            (r#""per_hour":20"#, r#""per_hour":-1"#, "capacity.per_hour: must be"),
            (r#""per_day":150"#, r#""per_day":100001"#, "capacity.per_day: is more than"),
            (r#"{"per_hour":20,"per_day":150}"#, "[20,150]", "capacity: must be an object"),
            ("2026-11-20T18:00:00Z", "2026-11-01T18:00:00Z", "paused.until: is not in the future"),
            ("2026-11-20T18:00:00Z", "2027-11-01T18:00:00Z", "paused.until: is more than 31 days"),
            ("2026-11-20T18:00:00Z", "tomorrow", "paused.until: is no time"),
            ("cold room", "", "paused.reason: is missing"),
            ("cold room", "a\\nb", "paused.reason: has a control character"),
        ] {
            let said = refusal(&FULL.replacen(change, by, 1));
            assert!(said.starts_with(expected), "{said}");
        }
        let orphans = r#"{"pickup":true,"exceptions":{"2026-12-25":[]}}"#;
        assert!(refusal(orphans).starts_with("exceptions: are given without"), "{}", refusal(orphans));
        assert!(refusal("[true]").contains("must be an object"), "{}", refusal("[true]"));
        assert!(refusal("{").contains("ends too early"));
    }

    #[test]
    fn a_store_says_why_it_takes_no_orders() {
        let settings = read(FULL).unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let hold = UnixMillis(NOW.0 + 72 * 3_600_000);
        let ask = |settings: &PickupSettings, taken| {
            settings.takes_orders(settings.pickup(), &zone, taken, NOW, hold)
        };
        let until = settings.paused.as_ref().unwrap().until.0;
        assert_eq!(ask(&settings, Taken::default()), Err(Dropped::Paused { until }));
        let off = PickupSettings { is_on: false, ..settings.clone() };
        assert_eq!(ask(&off, Taken::default()), Err(Dropped::PickupOff));
        let open = PickupSettings { paused: None, ..PickupSettings::default() };
        assert_eq!(ask(&open, Taken { this_hour: u32::MAX, ..Taken::default() }), Ok(()));
        let limited = PickupSettings { per_hour_max: Some(2), ..open.clone() };
        assert_eq!(ask(&limited, Taken { this_hour: 1, ..Taken::default() }), Ok(()));
        let full = ask(&limited, Taken { this_hour: 2, ..Taken::default() });
        assert_eq!(full, Err(Dropped::Full { taken: 2, max: 2, per: "hour" }));
        let never = Hours { weekly: Some(Default::default()), ..Hours::default() };
        let closed = PickupSettings { hours: Arc::new(never), ..open };
        assert_eq!(ask(&closed, Taken::default()), Err(Dropped::ClosedUntilTooLate));
    }
}
