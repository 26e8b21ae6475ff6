//! Who did what on the page, where and with what outcome: written before it is tried, completed after, then never touched.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use std::fmt::Write;
use sync_protocol::UnixMillis;

/// One line of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub reference: String,
    pub at: UnixMillis,
    pub person: String,
    pub device: String,
    /// As in `hand_over`: for programs; the page says it in words.
    pub act: String,
    /// The order, item, person or device it was done to.
    pub subject: String,
    pub outcome: Outcome,
    pub detail: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was tried and nobody knows what became of it: the agent stopped in between.
    Begun,
    Done,
    Refused,
}

impl Outcome {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Begun => "begun",
            Outcome::Done => "done",
            Outcome::Refused => "refused",
        }
    }

    fn of(name: &str) -> Outcome {
        match name {
            "done" => Outcome::Done,
            "refused" => Outcome::Refused,
            _ => Outcome::Begun,
        }
    }
}

/// What is about to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub person: String,
    pub device: String,
    pub act: &'static str,
    pub subject: String,
}

/// Longest detail, in bytes: a sentence or two.
const DETAIL_BYTES_MAX: usize = 400;

/// Writes that something is about to be done, and gives the reference it goes by.
pub fn begin(db: &Connection, begun: &Begun, now: UnixMillis) -> Result<String> {
    let reference =
        new_reference(now).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sql =
        "INSERT INTO audit (reference, at, person, device, act, subject) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let Begun { person, device, act, subject } = begun;
    db.prepare_cached(sql)?.execute(params![reference, now.0, person, device, act, subject])?;
    Ok(reference)
}

/// As [`begin`], under a reference that a form was given before. What is there already under it stays, and is given back.
pub fn begin_once(db: &Connection, reference: &str, begun: &Begun, now: UnixMillis) -> Result<Entry> {
    let sql = "INSERT OR IGNORE INTO audit (reference, at, person, device, act, subject) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let Begun { person, device, act, subject } = begun;
    db.prepare_cached(sql)?.execute(params![reference, now.0, person, device, act, subject])?;
    entry(db, reference)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Whether this can be a reference of the trail.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    text.len() == 28 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Writes what became of it. Only the first word counts.
pub fn complete(db: &Connection, reference: &str, outcome: Outcome, detail: &str) -> Result<()> {
    let detail = &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)];
    let sql = "UPDATE audit SET outcome = ?2, detail = ?3 WHERE reference = ?1 AND outcome = 'begun'";
    db.prepare_cached(sql)?.execute(params![reference, outcome.name(), detail]).map(drop)
}

const COLUMNS: &str = "SELECT audit, reference, at, person, device, act, subject, outcome, detail FROM audit";

pub fn entry(db: &Connection, reference: &str) -> Result<Option<Entry>> {
    db.prepare_cached(&format!("{COLUMNS} WHERE reference = ?1"))?.query_row([reference], entry_of).optional()
}

/// The newest lines before `before`.
pub fn newest(db: &Connection, before: Option<i64>, limit: usize) -> Result<Vec<Entry>> {
    let sql = format!("{COLUMNS} WHERE audit < ?1 ORDER BY audit DESC LIMIT ?2");
    db.prepare_cached(&sql)?.query_map(params![before.unwrap_or(i64::MAX), limit], entry_of)?.collect()
}

/// The newest line about something that was done.
pub fn last_done(db: &Connection, subject: &str) -> Result<Option<Entry>> {
    let sql = format!(
        "{COLUMNS} WHERE audit > (SELECT ifnull(max(audit), 0) FROM audit) - 2000 AND subject = ?1 AND outcome = 'done'
         ORDER BY audit DESC LIMIT 1"
    );
    db.prepare_cached(&sql)?.query_row([subject], entry_of).optional()
}

fn entry_of(row: &Row<'_>) -> Result<Entry> {
    let outcome: String = row.get(7)?;
    Ok(Entry {
        id: row.get(0)?,
        reference: row.get(1)?,
        at: UnixMillis(row.get(2)?),
        person: row.get(3)?,
        device: row.get(4)?,
        act: row.get(5)?,
        subject: row.get(6)?,
        outcome: Outcome::of(&outcome),
        detail: row.get(8)?,
    })
}

/// Which lines of the trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub person: Option<String>,
    pub act: Option<String>,
    /// From the first moment on, and before the second.
    pub at: Option<(UnixMillis, UnixMillis)>,
}

/// The newest lines before `before` that the filter lets through.
pub fn filtered(db: &Connection, filter: &Filter, before: Option<i64>, limit: usize) -> Result<Vec<Entry>> {
    let sql = format!(
        "{COLUMNS} WHERE audit < ?1 AND (?2 IS NULL OR person = ?2) AND (?3 IS NULL OR act = ?3)
           AND (?4 IS NULL OR at >= ?4) AND (?5 IS NULL OR at < ?5) ORDER BY audit DESC LIMIT ?6"
    );
    let (from, until) = filter.at.map_or((None, None), |(from, until)| (Some(from.0), Some(until.0)));
    let before = before.unwrap_or(i64::MAX);
    let values = params![before, filter.person, filter.act, from, until, limit];
    db.prepare_cached(&sql)?.query_map(values, entry_of)?.collect()
}

/// Everybody who is in the trail, and everything that was done, for the filter's lists.
pub fn names(db: &Connection) -> Result<(Vec<String>, Vec<String>)> {
    let all =
        |sql: &str| db.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>>>();
    Ok((
        all("SELECT DISTINCT person FROM audit ORDER BY person")?,
        all("SELECT DISTINCT act FROM audit ORDER BY act")?,
    ))
}

/// Milliseconds, then eight random bytes, in hexadecimal digits: sorted by time, and never the same twice.
pub fn new_reference(now: UnixMillis) -> std::result::Result<String, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    let mut text = format!("{:012x}", now.0.max(0));
    random.iter().for_each(|byte| {
        // Writing into a text can't fail.
        let _ = write!(text, "{byte:02x}");
    });
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::people::in_memory;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn begun() -> Begun {
        let (person, device) = ("Ana".to_owned(), "Tablet 1".to_owned());
        Begun { person, device, act: "ready", subject: "K7M29-QX4TB".to_owned() }
    }

    #[test]
    fn an_act_is_there_before_its_outcome() {
        let db = in_memory();
        let reference = begin(&db, &begun(), NOW).unwrap();
        assert_eq!(entry(&db, &reference).unwrap().unwrap().outcome, Outcome::Begun);
        complete(&db, &reference, Outcome::Done, "ready").unwrap();
        complete(&db, &reference, Outcome::Refused, "later").unwrap();
        let found = entry(&db, &reference).unwrap().unwrap();
        assert_eq!(
            (found.outcome, found.detail.as_str()),
            (Outcome::Done, "ready"),
            "only the first word counts"
        );
        assert_eq!(last_done(&db, "K7M29-QX4TB").unwrap().unwrap(), found);
    }

    #[test]
    fn the_same_form_sent_twice_is_one_line() {
        let db = in_memory();
        let reference = new_reference(NOW).unwrap();
        assert!(is_reference(&reference) && !is_reference("") && !is_reference(&"g".repeat(28)));
        let first = begin_once(&db, &reference, &begun(), NOW).unwrap();
        complete(&db, &reference, Outcome::Done, "").unwrap();
        let later = UnixMillis(NOW.0 + 9);
        let again =
            begin_once(&db, &reference, &Begun { person: "Bo".to_owned(), ..begun() }, later).unwrap();
        assert_eq!((again.id, again.at, again.person.as_str()), (first.id, NOW, "Ana"));
        assert_eq!((first.outcome, again.outcome), (Outcome::Begun, Outcome::Done));
    }

    #[test]
    fn the_trail_is_searched_by_person_act_and_day() {
        let db = in_memory();
        for (person, act, at) in [("Ana", "ready", 10), ("Bo", "ready", 20), ("Ana", "waste", 30)] {
            begin(&db, &Begun { person: person.to_owned(), act, ..begun() }, UnixMillis(at)).unwrap();
        }
        let found = |filter: Filter| {
            filtered(&db, &filter, None, 9).unwrap().iter().map(|entry| entry.at.0).collect::<Vec<_>>()
        };
        let all = Filter::default();
        assert_eq!(found(all.clone()), [30, 20, 10]);
        assert_eq!(found(Filter { person: Some("Ana".to_owned()), ..all.clone() }), [30, 10]);
        assert_eq!(found(Filter { act: Some("ready".to_owned()), ..all.clone() }), [20, 10]);
        assert_eq!(found(Filter { at: Some((UnixMillis(10), UnixMillis(30))), ..all }), [20, 10]);
        assert_eq!(
            names(&db).unwrap(),
            (vec!["Ana".to_owned(), "Bo".to_owned()], vec!["ready".to_owned(), "waste".to_owned()])
        );
    }

    #[test]
    fn the_trail_can_not_be_rewritten() {
        let db = in_memory();
        let reference = begin(&db, &begun(), NOW).unwrap();
        complete(&db, &reference, Outcome::Done, "").unwrap();
        for sql in [
            "DELETE FROM audit",
            "UPDATE audit SET person = 'Bo'",
            "UPDATE audit SET outcome = 'refused'",
            "UPDATE audit SET detail = 'x'",
        ] {
            assert!(db.execute(sql, []).is_err(), "{sql}");
        }
    }

    #[test]
    fn the_newest_comes_first_page_by_page() {
        let db = in_memory();
        for at in 0..5 {
            begin(&db, &Begun { subject: at.to_string(), ..begun() }, NOW).unwrap();
        }
        let first = newest(&db, None, 3).unwrap();
        let rest = newest(&db, Some(first[2].id), 3).unwrap();
        let subjects: Vec<_> = first.iter().chain(&rest).map(|entry| entry.subject.as_str()).collect();
        assert_eq!(subjects, ["4", "3", "2", "1", "0"]);
    }
}
