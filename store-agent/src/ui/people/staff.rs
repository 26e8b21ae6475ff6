//! The people themselves: adding them, letting them go, and whether a PIN is theirs.

use super::doors::{self, Door, Wait};
use super::pins;
use super::roles::Role;
use crate::config::Language;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use sync_protocol::UnixMillis;
use sync_protocol::order::lifecycle::WHO_BYTES_MAX;

/// As many as the largest store has, several times over.
pub const PEOPLE_MAX: usize = 500;

/// Somebody who works here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: i64,
    pub name: String,
    pub role: Role,
    pub language: Option<Language>,
}

/// Why somebody was not added or renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdded {
    /// No name, too long a one, or one with a control character.
    Name,
    /// Somebody here has this name already.
    Taken,
    Pin(pins::Unfit),
    Full,
    /// The last manager can't go or become something else: nobody could add another.
    LastManager,
}

/// A name that orders' records can carry.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= WHO_BYTES_MAX && !name.chars().any(char::is_control)
}

pub fn everybody(db: &Connection) -> Result<Vec<Person>> {
    let sql =
        "SELECT person, name, role, language FROM person WHERE left_at IS NULL ORDER BY name COLLATE NOCASE";
    db.prepare_cached(sql)?.query_map([], person_of)?.collect()
}

pub fn person(db: &Connection, id: i64) -> Result<Option<Person>> {
    let sql = "SELECT person, name, role, language FROM person WHERE person = ?1 AND left_at IS NULL";
    db.prepare_cached(sql)?.query_row([id], person_of).optional()
}

/// Whether anybody has been set up.
pub fn is_anybody_here(db: &Connection) -> Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM person WHERE left_at IS NULL)")?
        .query_row([], |row| row.get(0))
}

pub fn add(
    db: &Connection,
    name: &str,
    role: Role,
    pin: &str,
    now: UnixMillis,
) -> Result<std::result::Result<i64, NotAdded>> {
    let name = name.trim();
    if !is_name(name) {
        return Ok(Err(NotAdded::Name));
    }
    if let Err(unfit) = pins::check(pin) {
        return Ok(Err(NotAdded::Pin(unfit)));
    }
    let others = everybody(db)?;
    if others.iter().any(|other| other.name == name) {
        return Ok(Err(NotAdded::Taken));
    }
    if others.len() >= PEOPLE_MAX {
        return Ok(Err(NotAdded::Full));
    }
    let sql = "INSERT INTO person (name, role, pin, added_at) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute(params![name, role.code(), kept(pin)?, now.0])?;
    Ok(Ok(db.last_insert_rowid()))
}

/// Gives somebody another role.
pub fn change_role(db: &Connection, id: i64, role: Role) -> Result<std::result::Result<(), NotAdded>> {
    if role != Role::Manager && is_last_manager(db, id)? {
        return Ok(Err(NotAdded::LastManager));
    }
    db.prepare_cached("UPDATE person SET role = ?2 WHERE person = ?1")?.execute(params![id, role.code()])?;
    Ok(Ok(()))
}

/// Gives somebody another PIN, and a fresh start.
pub fn change_pin(db: &Connection, id: i64, pin: &str) -> Result<std::result::Result<(), NotAdded>> {
    if let Err(unfit) = pins::check(pin) {
        return Ok(Err(NotAdded::Pin(unfit)));
    }
    let sql = "UPDATE person SET pin = ?2, failures = 0, wait_until = 0 WHERE person = ?1";
    db.prepare_cached(sql)?.execute(params![id, kept(pin)?])?;
    Ok(Ok(()))
}

/// Somebody has left: signed out everywhere, and never to sign in again.
pub fn let_go(db: &mut Connection, id: i64, now: UnixMillis) -> Result<std::result::Result<(), NotAdded>> {
    if is_last_manager(db, id)? {
        return Ok(Err(NotAdded::LastManager));
    }
    let step = db.transaction()?;
    step.execute("UPDATE person SET left_at = ?2 WHERE person = ?1", params![id, now.0])?;
    step.execute(
        "UPDATE session SET ended_at = ?2 WHERE person = ?1 AND ended_at IS NULL",
        params![id, now.0],
    )?;
    step.commit()?;
    Ok(Ok(()))
}

pub fn choose_language(db: &Connection, id: i64, language: Language) -> Result<()> {
    let sql = "UPDATE person SET language = ?2 WHERE person = ?1";
    db.prepare_cached(sql)?.execute(params![id, language.code()]).map(drop)
}

/// Whether `pin` is this person's. Counts the try at the person and at the device.
pub fn prove(
    db: &mut Connection,
    id: i64,
    device: i64,
    pin: &str,
    now: UnixMillis,
) -> Result<std::result::Result<bool, Wait>> {
    let counted = [Door::Person(id), Door::Device(device)];
    if let Err(wait) = doors::knock(db, &counted, now)? {
        return Ok(Err(wait));
    }
    let sql = "SELECT pin FROM person WHERE person = ?1 AND left_at IS NULL";
    let kept: Option<String> = db.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    // As long whether or not there is such a person.
    let is_right = pins::fits(pin, kept.as_deref().unwrap_or_default());
    if is_right {
        doors::forgive(db, &counted)?;
    }
    Ok(Ok(is_right))
}

fn is_last_manager(db: &Connection, id: i64) -> Result<bool> {
    let managers: Vec<i64> =
        everybody(db)?.iter().filter(|other| other.role == Role::Manager).map(|other| other.id).collect();
    Ok(managers == [id])
}

fn kept(pin: &str) -> Result<String> {
    pins::kept(pin).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn person_of(row: &Row<'_>) -> Result<Person> {
    let (role, language): (i64, Option<String>) = (row.get(2)?, row.get(3)?);
    Ok(Person {
        id: row.get(0)?,
        name: row.get(1)?,
        role: Role::of(role).unwrap_or(Role::Associate),
        language: language.and_then(|code| Language::of(&code)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::people::in_memory;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn later(seconds: i64) -> UnixMillis {
        UnixMillis(NOW.0 + seconds * 1000)
    }

    #[test]
    fn a_name_is_one_persons_until_they_leave() {
        let mut db = in_memory();
        let boss = add(&db, "Meera", Role::Manager, "8305", NOW).unwrap().unwrap();
        let ana = add(&db, " Ana ", Role::Associate, "4917", NOW).unwrap().unwrap();
        assert_eq!(person(&db, ana).unwrap().unwrap().name, "Ana");
        assert_eq!(add(&db, "Ana", Role::It, "4917", NOW).unwrap(), Err(NotAdded::Taken));
        let_go(&mut db, ana, NOW).unwrap().unwrap();
        assert!(add(&db, "Ana", Role::It, "4917", NOW).unwrap().is_ok());
        assert_eq!(let_go(&mut db, boss, NOW).unwrap(), Err(NotAdded::LastManager));
        assert_eq!(change_role(&db, boss, Role::It).unwrap(), Err(NotAdded::LastManager));
    }

    #[test]
    fn names_and_pins_are_checked() {
        let db = in_memory();
        let tried = |name: &str, pin: &str| add(&db, name, Role::Associate, pin, NOW).unwrap();
        assert_eq!(tried(" ", "8305"), Err(NotAdded::Name));
        assert_eq!(tried("a\nb", "8305"), Err(NotAdded::Name));
        assert_eq!(tried(&"x".repeat(65), "8305"), Err(NotAdded::Name));
        assert_eq!(tried("Ana", "1234"), Err(NotAdded::Pin(pins::Unfit::Guessable)));
    }

    #[test]
    fn five_wrong_pins_shut_out_the_right_one_for_minutes() {
        let mut db = in_memory();
        let ana = add(&db, "Ana", Role::Manager, "8305", NOW).unwrap().unwrap();
        let mut at = 0;
        for _ in 0..5 {
            at += 60;
            assert_eq!(prove(&mut db, ana, 1, "0001", later(at)).unwrap(), Ok(false));
        }
        assert!(matches!(prove(&mut db, ana, 1, "8305", later(at + 60)).unwrap(), Err(Wait(_))));
        assert_eq!(prove(&mut db, ana, 1, "8305", later(at + 301)).unwrap(), Ok(true));
        assert_eq!(
            prove(&mut db, ana, 1, "0001", later(at + 302)).unwrap(),
            Ok(false),
            "and then it starts anew"
        );
    }
}
