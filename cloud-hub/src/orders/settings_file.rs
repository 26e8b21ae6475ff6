//! Pickup settings of many stores in one file, as a spreadsheet writes it: CSV with a header, separated by commas, semicolons
//! or tabs.
//!
//! ```csv
//! store,pickup,monday,tuesday,wednesday,thursday,friday,saturday,sunday,exceptions,per_hour,per_day
//! S0001,on,09:00-18:00,09:00-18:00,09:00-12:00 14:00-18:00,09:00-18:00,09:00-18:00,09:00-14:00,closed,2026-12-25 closed,20,150
//! ```
//!
//! Columns come in any order. What the file has no column for stays as it is, and so do pauses. Every line is checked; with
//! one that is wrong, none is taken.

use super::hours::Opening;
use super::pickup_settings::{
    EXCEPTIONS_MAX, PickupSettings, Revised, SettingsRefused, WEEKDAYS, hours, read_capacity, read_opening,
    refused, shortened,
};
use csv::StringRecord;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use sync_protocol::StoreId;

/// Largest file: far more than ten thousand stores with all their holidays.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A line that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    pub line: u64,
    pub reason: String,
}

/// A file in which every line can be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFile {
    rows: Vec<Row>,
}

/// What one line says of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    line: u64,
    store: StoreId,
    wanted: Wanted,
}

/// `None`: the file has no column for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    is_on: Option<bool>,
    weekly: Option<Option<[Vec<Opening>; 7]>>,
    exceptions: Option<BTreeMap<Date, Vec<Opening>>>,
    per_hour_max: Option<Option<u32>>,
    per_day_max: Option<Option<u32>>,
}

/// What the file would make of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub store: StoreId,
    pub before: Revised,
    pub after: PickupSettings,
}

impl SettingsFile {
    /// Reads and checks a whole file.
    ///
    /// # Errors
    /// Every line that is wrong, in order; never an empty list.
    pub fn read(bytes: &[u8]) -> Result<SettingsFile, Vec<BadLine>> {
        let bad = |line, reason: &str| vec![BadLine { line, reason: reason.to_owned() }];
        if bytes.len() > FILE_BYTES_MAX {
            return Err(bad(1, "the file is too large; is it one of pickup settings?"));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            bad(line, "is not UTF-8; save the sheet as `CSV UTF-8`")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let header = text.lines().next().unwrap_or_default();
        let delimiter = [b';', b'\t', b','].into_iter().find(|d| header.contains(char::from(*d)));
        let mut lines = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .delimiter(delimiter.unwrap_or(b','))
            .from_reader(text.as_bytes());
        let mut records = lines.records();
        let header = match records.next() {
            Some(Ok(header)) => header,
            _ => return Err(bad(1, "is empty; the first line names the columns, such as `store,pickup,…`")),
        };
        let columns = Columns::read(&header).map_err(|reason| bad(1, &reason))?;
        let (mut rows, mut faults, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
        for record in records {
            match record
                .map_err(|error| bad_record(&error))
                .and_then(|record| columns.row(&record, line_of(text, &record)))
            {
                Ok(None) => {}
                Ok(Some(row)) => match seen.insert(row.store.clone(), row.line) {
                    Some(earlier) => {
                        let reason = format!("store `{}` stands in line {earlier} already", row.store);
                        faults.push(BadLine { line: row.line, reason });
                    }
                    None => rows.push(row),
                },
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(SettingsFile { rows }) } else { Err(faults) }
    }

    /// What the file changes of the stores there are; those it leaves as they are do not appear.
    ///
    /// # Errors
    /// Every line that does not fit a store.
    pub fn changes(&self, stores: &HashMap<StoreId, Revised>) -> Result<Vec<Change>, Vec<BadLine>> {
        let (mut changes, mut faults) = (Vec::new(), Vec::new());
        for row in &self.rows {
            match row.change(stores) {
                Ok(change) if change.after == change.before.settings => {}
                Ok(change) => changes.push(change),
                Err(reason) => faults.push(BadLine { line: row.line, reason }),
            }
        }
        if faults.is_empty() { Ok(changes) } else { Err(faults) }
    }

    #[must_use]
    pub fn stores(&self) -> usize {
        self.rows.len()
    }
}

/// The reader counts from the end of the line before, which may have been followed by empty ones.
fn line_of(text: &str, record: &StringRecord) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|byte| text.as_bytes().get(byte..));
    let skipped = rest.into_iter().flatten().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + skipped.filter(|byte| **byte == b'\n').count() as u64
}

fn bad_record(error: &csv::Error) -> BadLine {
    let line = error.position().map_or(0, csv::Position::line);
    BadLine { line, reason: "can't be read as CSV".to_owned() }
}

/// Where in a line things stand.
struct Columns {
    names: Vec<String>,
    week: bool,
}

impl Columns {
    fn read(header: &StringRecord) -> Result<Columns, String> {
        let others = ["store", "pickup", "exceptions", "per_hour", "per_day"];
        let names: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
        let mut seen = BTreeSet::new();
        for name in &names {
            if !others.contains(&name.as_str()) && !WEEKDAYS.contains(&name.as_str()) {
                let known = others.iter().chain(&WEEKDAYS).copied().collect::<Vec<_>>().join(", ");
                return Err(format!("column `{}` is not known; known here: {known}", shortened(name)));
            }
            if !seen.insert(name.as_str()) {
                return Err(format!("column `{name}` is there twice"));
            }
        }
        if !seen.contains("store") {
            return Err("there is no column `store`; the first line names the columns".to_owned());
        }
        let days = WEEKDAYS.iter().filter(|day| seen.contains(**day)).count();
        if days != 0 && days != WEEKDAYS.len() {
            return Err("some days of the week have no column; give all seven, or none".to_owned());
        }
        let week = days > 0;
        Ok(Columns { names, week })
    }

    /// `None` for an empty line.
    fn row(&self, record: &StringRecord, line: u64) -> Result<Option<Row>, BadLine> {
        if record.iter().all(str::is_empty) {
            return Ok(None);
        }
        let bad = |reason: String| BadLine { line, reason };
        if record.len() != self.names.len() {
            let reason = format!("has {} columns, the first line has {}", record.len(), self.names.len());
            return Err(bad(reason));
        }
        let cell = |name: &str| {
            let at = self.names.iter().position(|known| known == name)?;
            record.get(at)
        };
        let store = cell("store").unwrap_or_default();
        let store = store.parse().map_err(|error| bad(format!("store: `{}`: {error}", shortened(store))))?;
        let wanted = self.wanted(&cell).map_err(|refused| bad(refused.to_string()))?;
        Ok(Some(Row { line, store, wanted }))
    }

    fn wanted<'a>(&self, cell: &impl Fn(&str) -> Option<&'a str>) -> Result<Wanted, SettingsRefused> {
        let most = |field: &str| match cell(field) {
            None => Ok(None),
            Some("") => Ok(Some(None)),
            Some(text) => match text.parse() {
                Ok(most) => Ok(Some(Some(read_capacity(field, most)?))),
                Err(_) => {
                    let reason =
                        format!("`{}` is no whole number; leave it empty for no limit", shortened(text));
                    Err(refused(field, reason))
                }
            },
        };
        Ok(Wanted {
            is_on: cell("pickup").map(read_switch).transpose()?,
            weekly: if self.week { Some(read_week(cell)?) } else { None },
            exceptions: cell("exceptions").map(read_exceptions).transpose()?,
            per_hour_max: most("per_hour")?,
            per_day_max: most("per_day")?,
        })
    }
}

fn read_switch(text: &str) -> Result<bool, SettingsRefused> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" => Ok(true),
        "off" | "no" | "false" => Ok(false),
        _ => Err(refused("pickup", format!("`{}` is neither `on` nor `off`", shortened(text)))),
    }
}

/// `None` where all seven are empty: always open.
fn read_week<'a>(
    cell: &impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<[Vec<Opening>; 7]>, SettingsRefused> {
    let cells = WEEKDAYS.map(|day| cell(day).unwrap_or_default());
    if cells.iter().all(|cell| cell.is_empty()) {
        return Ok(None);
    }
    let mut weekly: [Vec<Opening>; 7] = Default::default();
    for ((text, day), read) in cells.into_iter().zip(WEEKDAYS).zip(&mut weekly) {
        *read = read_day(day, text)?;
    }
    Ok(Some(weekly))
}

/// `closed`, or openings with white space between them.
fn read_day(field: &str, text: &str) -> Result<Vec<Opening>, SettingsRefused> {
    if text.is_empty() {
        return Err(refused(field, "is empty; write `closed` for a day off, or leave all seven days empty"));
    }
    if text.eq_ignore_ascii_case("closed") {
        return Ok(Vec::new());
    }
    text.split_whitespace().map(|text| read_opening(text).map_err(|reason| refused(field, reason))).collect()
}

/// As in `2026-12-24 09:00-14:00 | 2026-12-25 closed`.
fn read_exceptions(text: &str) -> Result<BTreeMap<Date, Vec<Opening>>, SettingsRefused> {
    const FIELD: &str = "exceptions";
    let mut exceptions = BTreeMap::new();
    for day in text.split('|').map(str::trim).filter(|day| !day.is_empty()) {
        let (date, openings) = day.split_once(char::is_whitespace).unwrap_or((day, ""));
        let read: Date = date.parse().map_err(|_| {
            refused(FIELD, format!("`{}` is no date; write `2026-12-25 closed | …`", shortened(date)))
        })?;
        if exceptions.insert(read, read_day(FIELD, openings.trim())?).is_some() {
            return Err(refused(FIELD, format!("{read} is there twice")));
        }
    }
    if exceptions.len() > EXCEPTIONS_MAX {
        return Err(refused(FIELD, format!("are more than {EXCEPTIONS_MAX} days; leave out what is over")));
    }
    Ok(exceptions)
}

impl Row {
    fn change(&self, stores: &HashMap<StoreId, Revised>) -> Result<Change, String> {
        let before = stores.get(&self.store).cloned().ok_or_else(|| {
            format!("the hub knows no store `{}`; add it first with `cloud-hub store add`", self.store)
        })?;
        let after = self.wanted.applied(&before.settings).map_err(|refused| refused.to_string())?;
        Ok(Change { store: self.store.clone(), before, after })
    }
}

impl Wanted {
    fn applied(&self, before: &PickupSettings) -> Result<PickupSettings, SettingsRefused> {
        let weekly = self.weekly.clone().unwrap_or_else(|| before.hours.weekly.clone());
        let exceptions = self.exceptions.clone().unwrap_or_else(|| before.hours.exceptions.clone());
        if weekly.is_none() && !exceptions.is_empty() {
            return Err(refused("exceptions", "are given for a store without hours of the week"));
        }
        Ok(PickupSettings {
            is_on: self.is_on.unwrap_or(before.is_on),
            paused: before.paused.clone(),
            hours: Arc::new(hours(weekly, exceptions)?),
            per_hour_max: self.per_hour_max.unwrap_or(before.per_hour_max),
            per_day_max: self.per_day_max.unwrap_or(before.per_day_max),
        })
    }
}

impl Change {
    /// What is different, one line each: `S0001: capacity.per_hour: 20 → none`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (before, after) = (fields(&self.before.settings), fields(&self.after));
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let value = |fields: &BTreeMap<String, String>, name: &String| {
            fields.get(name).cloned().unwrap_or_else(|| "none".to_owned())
        };
        let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
        differ
            .map(|name| format!("{}: {name}: {} → {}", self.store, value(&before, name), value(&after, name)))
            .collect()
    }
}

/// Every field of settings by its path.
fn fields(settings: &PickupSettings) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let whole = serde_json::from_str(&settings.written()).unwrap_or_default();
    flatten(String::new(), &whole, &mut fields);
    fields
}

fn flatten(path: String, value: &serde_json::Value, fields: &mut BTreeMap<String, String>) {
    let text = match value {
        serde_json::Value::Object(inner) => {
            for (name, value) in inner {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(path, value, fields);
            }
            return;
        }
        serde_json::Value::Array(openings) if openings.is_empty() => "closed".to_owned(),
        serde_json::Value::Array(openings) => {
            openings.iter().filter_map(|opening| opening.as_str()).collect::<Vec<_>>().join(" ")
        }
        value => value.to_string(),
    };
    fields.insert(path, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "store,pickup,monday,tuesday,wednesday,thursday,friday,saturday,sunday,exceptions,per_hour,per_day\n";
    const LINE: &str = "S0001,on,09:00-18:00,09:00-18:00,09:00-12:00 14:00-18:00,09:00-18:00,09:00-18:00,09:00-14:00,closed,\
                        2026-12-24 09:00-14:00 | 2026-12-25 closed,20,\n";

    fn stores() -> HashMap<StoreId, Revised> {
        ["S0001", "S0002"].map(|id| (id.parse().unwrap(), Revised::default())).into()
    }

    fn faults(text: &str) -> Vec<String> {
        let file = match SettingsFile::read(text.as_bytes()) {
            Ok(file) => file.changes(&stores()).expect_err(text),
            Err(faults) => return faults.iter().map(ToString::to_string).collect(),
        };
        file.iter().map(ToString::to_string).collect()
    }

    fn changes(text: &str) -> Vec<Change> {
        SettingsFile::read(text.as_bytes()).unwrap().changes(&stores()).unwrap()
    }

    #[test]
    fn a_line_becomes_a_stores_settings() {
        let found = changes(&format!("{HEADER}{LINE}"));
        let [change] = &*found else { panic!("{found:?}") };
        assert_eq!(change.after.per_hour_max, Some(20));
        assert_eq!(change.after.per_day_max, None);
        assert_eq!(change.after.hours.exceptions.len(), 2);
        let lines = change.lines();
        assert!(
            lines.contains(&"S0001: hours.wednesday: none → 09:00-12:00 14:00-18:00".to_owned()),
            "{lines:?}"
        );
        assert!(lines.contains(&"S0001: capacity.per_hour: none → 20".to_owned()), "{lines:?}");
    }

    #[test]
    fn what_other_sheets_write_is_understood() {
        let expected = changes(&format!("{HEADER}{LINE}"));
        for delimiter in [";", "\t"] {
            assert_eq!(changes(&format!("{HEADER}{LINE}").replace(',', delimiter)), expected);
        }
        let windows = format!("\u{feff}{HEADER}{LINE}\n").replace('\n', "\r\n").replace("20,", "\"20\",");
        assert_eq!(changes(&windows), expected);
    }

    #[test]
    fn what_has_no_column_stays() {
        let was = changes(&format!("{HEADER}{LINE}")).remove(0).after;
        let stores =
            HashMap::from([("S0001".parse().unwrap(), Revised { revision: 4, settings: was.clone() })]);
        let file = SettingsFile::read(b"per_day,store\n7,S0001").unwrap();
        let change = file.changes(&stores).unwrap().remove(0);
        assert_eq!(change.after, PickupSettings { per_day_max: Some(7), ..was });
        assert_eq!(change.before.revision, 4);
        assert_eq!(change.lines(), ["S0001: capacity.per_day: none → 7"]);
        let again =
            HashMap::from([("S0001".parse().unwrap(), Revised { revision: 5, settings: change.after })]);
        assert_eq!(file.changes(&again).unwrap(), [], "nothing to do");
    }

    #[test]
    fn every_bad_line_is_named_with_its_number() {
        let text = format!(
            "{HEADER}{LINE}S0002,maybe{}\n\nS0001,on{}\nS 3,on{}\nS0002,on\n",
            ",".repeat(10),
            ",".repeat(10),
            ",".repeat(10)
        );
        let said = faults(&text);
        let starts = [
            "line 3: pickup: `maybe`",
            "line 5: store `S0001` stands in line 2",
            "line 6: store: `S 3`",
            "line 7: has 2 columns",
        ];
        assert_eq!(said.len(), starts.len(), "{said:?}");
        for (said, start) in said.iter().zip(starts) {
            assert!(said.starts_with(start), "{said}");
        }
    }

    #[test]
    fn what_can_not_be_meant_is_refused_by_column() {
        for (change, by, expected) in [
            ("closed", "", "line 2: sunday: is empty"),
            ("09:00-14:00,closed", "14:00-09:00,closed", "line 2: hours: saturday: opens at"),
            ("2026-12-25", "25.12.", "line 2: exceptions: `25.12.` is no date"),
            ("2026-12-25", "2026-12-24", "line 2: exceptions: 2026-12-24 is there twice"),
            (",20,", ",0,", "line 2: per_hour: is 0"),
            (",20,", ",-3,", "line 2: per_hour: `-3` is no whole number"),
            ("S0001", "S0009", "line 2: the hub knows no store `S0009`"),
            ("per_hour", "per_week", "line 1: column `per_week` is not known"),
            ("tuesday", "per_day", "line 1: column `per_day` is there twice"),
            ("store,", "", "line 1: there is no column `store`"),
        ] {
            let text = format!("{HEADER}{LINE}");
            let said = faults(&text.replacen(change, by, 1));
            assert!(said[0].starts_with(expected), "{said:?}");
        }
        assert!(faults("")[0].starts_with("line 1: is empty"));
        assert!(faults("store,monday\nS0001,closed\n")[0].contains("give all seven"));
        let latin = [HEADER.as_bytes(), b"S0001,on,\xe4"].concat();
        assert_eq!(SettingsFile::read(&latin).unwrap_err()[0].line, 2);
        let orphan = faults("store,exceptions\nS0001,2026-12-25 closed\n");
        assert!(orphan[0].contains("without hours"), "{orphan:?}");
    }
}
