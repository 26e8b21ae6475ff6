//! Who is signed in on which screen, since when, and when their PIN was last given.

use super::hashed;
use super::roles::Role;
use super::staff::Person;
use crate::config::Language;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use sync_protocol::UnixMillis;

/// Somebody at a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: i64,
    pub device: i64,
    pub device_name: String,
    pub person: Person,
    pub started_at: UnixMillis,
    pub last_act: UnixMillis,
    pub proven_at: UnixMillis,
}

const COLUMNS: &str = "SELECT session.session, session.device, device.name, person.person, person.name, person.role, person.language,
           session.started_at, session.last_act, session.proven_at
    FROM session JOIN person ON person.person = session.person JOIN device ON device.device = session.device
    WHERE session.ended_at IS NULL AND person.left_at IS NULL AND device.revoked_at IS NULL";

/// Signs somebody in whose PIN was right; whoever was signed in on this device before no longer is.
pub fn start(db: &mut Connection, person: i64, device: i64, secret: &str, now: UnixMillis) -> Result<i64> {
    let step = db.transaction()?;
    step.execute(
        "UPDATE session SET ended_at = ?2 WHERE device = ?1 AND ended_at IS NULL",
        params![device, now.0],
    )?;
    let sql = "INSERT INTO session (secret, device, person, started_at, last_act, proven_at) VALUES (?1, ?2, ?3, ?4, ?4, ?4)";
    step.execute(sql, params![hashed(secret.as_bytes()), device, person, now.0])?;
    let id = step.last_insert_rowid();
    step.commit()?;
    Ok(id)
}

/// The session whose cookie holds `secret`, on the device whose cookie it came with.
pub fn of_secret(db: &Connection, secret: &str, device: i64) -> Result<Option<Session>> {
    let sql = format!("{COLUMNS} AND session.secret = ?1 AND session.device = ?2");
    db.prepare_cached(&sql)?.query_row(params![hashed(secret.as_bytes()), device], session_of).optional()
}

pub fn open(db: &Connection, id: i64) -> Result<Option<Session>> {
    let sql = format!("{COLUMNS} AND session.session = ?1");
    db.prepare_cached(&sql)?.query_row([id], session_of).optional()
}

pub fn all(db: &Connection) -> Result<Vec<Session>> {
    let sql = format!("{COLUMNS} ORDER BY session.last_act DESC");
    db.prepare_cached(&sql)?.query_map([], session_of)?.collect()
}

pub fn touched(db: &Connection, id: i64, now: UnixMillis) -> Result<()> {
    db.prepare_cached("UPDATE session SET last_act = ?2 WHERE session = ?1")?
        .execute(params![id, now.0])
        .map(drop)
}

/// The PIN was given again.
pub fn proven(db: &Connection, id: i64, now: UnixMillis) -> Result<()> {
    let sql = "UPDATE session SET proven_at = ?2, last_act = ?2 WHERE session = ?1";
    db.prepare_cached(sql)?.execute(params![id, now.0]).map(drop)
}

pub fn end(db: &Connection, id: i64, now: UnixMillis) -> Result<()> {
    let sql = "UPDATE session SET ended_at = ?2 WHERE session = ?1 AND ended_at IS NULL";
    db.prepare_cached(sql)?.execute(params![id, now.0]).map(drop)
}

/// Everywhere but on `but`.
pub fn end_all_of(db: &Connection, person: i64, but: Option<i64>, now: UnixMillis) -> Result<usize> {
    let sql = "UPDATE session SET ended_at = ?2 WHERE person = ?1 AND ended_at IS NULL AND session <> ?3";
    db.prepare_cached(sql)?.execute(params![person, now.0, but.unwrap_or(0)])
}

pub fn end_everybodys(db: &Connection, but: i64, now: UnixMillis) -> Result<usize> {
    let sql = "UPDATE session SET ended_at = ?1 WHERE ended_at IS NULL AND session <> ?2";
    db.prepare_cached(sql)?.execute(params![now.0, but])
}

fn session_of(row: &Row<'_>) -> Result<Session> {
    let (role, language): (i64, Option<String>) = (row.get(5)?, row.get(6)?);
    let person = Person {
        id: row.get(3)?,
        name: row.get(4)?,
        role: Role::of(role).unwrap_or(Role::Associate),
        language: language.and_then(|code| Language::of(&code)),
    };
    Ok(Session {
        id: row.get(0)?,
        device: row.get(1)?,
        device_name: row.get(2)?,
        person,
        started_at: UnixMillis(row.get(7)?),
        last_act: UnixMillis(row.get(8)?),
        proven_at: UnixMillis(row.get(9)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::people::{devices, in_memory, staff};

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn store() -> (Connection, i64, i64) {
        let db = in_memory();
        let meera = staff::add(&db, "Meera", Role::Manager, "8305", NOW).unwrap().unwrap();
        let tablet = devices::pair(&db, "Tablet", "device", "Meera", NOW).unwrap();
        (db, meera, tablet)
    }

    #[test]
    fn a_session_is_its_secrets_on_its_own_device_only() {
        let (mut db, meera, tablet) = store();
        let id = start(&mut db, meera, tablet, "one", NOW).unwrap();
        assert_eq!(of_secret(&db, "one", tablet).unwrap().unwrap().id, id);
        assert_eq!(of_secret(&db, "two", tablet).unwrap(), None);
        let other = devices::pair(&db, "Other", "other", "Meera", NOW).unwrap();
        assert_eq!(of_secret(&db, "one", other).unwrap(), None, "a cookie that was carried elsewhere");
        end(&db, id, NOW).unwrap();
        assert_eq!(of_secret(&db, "one", tablet).unwrap(), None);
    }

    #[test]
    fn who_signs_in_takes_the_screen_over() {
        let (mut db, meera, tablet) = store();
        start(&mut db, meera, tablet, "one", NOW).unwrap();
        start(&mut db, meera, tablet, "two", NOW).unwrap();
        assert_eq!(of_secret(&db, "one", tablet).unwrap(), None);
        assert_eq!(all(&db).unwrap().len(), 1);
    }

    #[test]
    fn a_session_ends_with_its_device_and_with_its_person() {
        let (mut db, meera, tablet) = store();
        start(&mut db, meera, tablet, "one", NOW).unwrap();
        devices::revoke(&mut db, tablet, NOW).unwrap();
        assert_eq!(of_secret(&db, "one", tablet).unwrap(), None);
        let ana = staff::add(&db, "Ana", Role::Associate, "4917", NOW).unwrap().unwrap();
        let other = devices::pair(&db, "Other", "other", "Meera", NOW).unwrap();
        start(&mut db, ana, other, "two", NOW).unwrap();
        staff::let_go(&mut db, ana, NOW).unwrap().unwrap();
        assert_eq!(of_secret(&db, "two", other).unwrap(), None);
    }

    #[test]
    fn signing_out_everywhere_leaves_the_screen_one_stands_at() {
        let (mut db, meera, tablet) = store();
        let other = devices::pair(&db, "Other", "other", "Meera", NOW).unwrap();
        let here = start(&mut db, meera, tablet, "one", NOW).unwrap();
        start(&mut db, meera, other, "two", NOW).unwrap();
        assert_eq!(end_all_of(&db, meera, Some(here), NOW).unwrap(), 1);
        assert_eq!(all(&db).unwrap().iter().map(|session| session.id).collect::<Vec<_>>(), [here]);
    }
}
