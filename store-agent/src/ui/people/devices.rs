//! The screens that may show the page: each is let in once, by a code that a manager makes, and can be shut out at any time.

use super::doors::{self, Door, Wait};
use super::hashed;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use std::time::Duration;
use sync_protocol::UnixMillis;

/// How long a pairing code is good.
pub const CODE_LIVES: Duration = Duration::from_secs(10 * 60);
pub const CODE_DIGITS: usize = 8;
pub const NAME_BYTES_MAX: usize = 40;

/// A screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub id: i64,
    pub name: String,
    pub paired_by: String,
    pub paired_at: UnixMillis,
    pub last_seen: UnixMillis,
}

const COLUMNS: &str =
    "SELECT device, name, paired_by, paired_at, last_seen FROM device WHERE revoked_at IS NULL";

pub fn all(db: &Connection) -> Result<Vec<Device>> {
    let sql = format!("{COLUMNS} ORDER BY name COLLATE NOCASE, device");
    db.prepare_cached(&sql)?.query_map([], device_of)?.collect()
}

/// The device whose cookie holds `secret`.
pub fn of_secret(db: &Connection, secret: &str) -> Result<Option<Device>> {
    let sql = format!("{COLUMNS} AND secret = ?1");
    db.prepare_cached(&sql)?.query_row([hashed(secret.as_bytes())], device_of).optional()
}

pub fn seen(db: &Connection, id: i64, now: UnixMillis) -> Result<()> {
    db.prepare_cached("UPDATE device SET last_seen = ?2 WHERE device = ?1")?
        .execute(params![id, now.0])
        .map(drop)
}

/// Lets a screen in.
pub fn pair(db: &Connection, name: &str, secret: &str, by: &str, now: UnixMillis) -> Result<i64> {
    let sql =
        "INSERT INTO device (name, secret, paired_by, paired_at, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)";
    db.prepare_cached(sql)?.execute(params![name, hashed(secret.as_bytes()), by, now.0])?;
    Ok(db.last_insert_rowid())
}

/// Shuts a screen out, with everybody who is signed in on it.
pub fn revoke(db: &mut Connection, id: i64, now: UnixMillis) -> Result<()> {
    let step = db.transaction()?;
    step.execute("UPDATE device SET revoked_at = ?2 WHERE device = ?1", params![id, now.0])?;
    step.execute(
        "UPDATE session SET ended_at = ?2 WHERE device = ?1 AND ended_at IS NULL",
        params![id, now.0],
    )?;
    step.commit()
}

/// Keeps a new pairing code, made by somebody; earlier ones of theirs are void.
pub fn offer_code(db: &Connection, code: &str, by: &str, now: UnixMillis) -> Result<()> {
    db.execute("DELETE FROM pairing WHERE made_by = ?1 OR valid_until < ?2", params![by, now.0])?;
    let valid_until = now.0.saturating_add(i64::try_from(CODE_LIVES.as_millis()).unwrap_or(0));
    let sql = "INSERT INTO pairing (code, made_by, valid_until) VALUES (?1, ?2, ?3)";
    db.execute(sql, params![hashed(code.as_bytes()), by, valid_until]).map(drop)
}

/// Uses a pairing code up. Gives who made it, or `None` for one that is wrong, used or too old.
pub fn use_code(
    db: &mut Connection,
    code: &str,
    now: UnixMillis,
) -> Result<std::result::Result<Option<String>, Wait>> {
    if let Err(wait) = doors::knock(db, &[Door::Pairing], now)? {
        return Ok(Err(wait));
    }
    let sql = "UPDATE pairing SET used_at = ?2 WHERE code = ?1 AND used_at IS NULL AND valid_until >= ?2 RETURNING made_by";
    let by: Option<String> =
        db.query_row(sql, params![hashed(code.as_bytes()), now.0], |row| row.get(0)).optional()?;
    if by.is_some() {
        doors::forgive(db, &[Door::Pairing])?;
    }
    Ok(Ok(by))
}

/// A name that fits on a list.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

fn device_of(row: &Row<'_>) -> Result<Device> {
    Ok(Device {
        id: row.get(0)?,
        name: row.get(1)?,
        paired_by: row.get(2)?,
        paired_at: UnixMillis(row.get(3)?),
        last_seen: UnixMillis(row.get(4)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::people::in_memory;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    #[test]
    fn a_code_pairs_one_device_within_its_time() {
        let mut db = in_memory();
        offer_code(&db, "12345678", "Meera", NOW).unwrap();
        assert_eq!(use_code(&mut db, "87654321", NOW).unwrap(), Ok(None));
        assert_eq!(use_code(&mut db, "12345678", NOW).unwrap(), Ok(Some("Meera".to_owned())));
        assert_eq!(use_code(&mut db, "12345678", NOW).unwrap(), Ok(None), "used");
        offer_code(&db, "11112222", "Meera", NOW).unwrap();
        let late = UnixMillis(NOW.0 + 601_000);
        assert_eq!(use_code(&mut db, "11112222", late).unwrap(), Ok(None));
    }

    #[test]
    fn a_new_code_voids_the_one_before() {
        let mut db = in_memory();
        offer_code(&db, "12345678", "Meera", NOW).unwrap();
        offer_code(&db, "11112222", "Meera", NOW).unwrap();
        assert_eq!(use_code(&mut db, "12345678", NOW).unwrap(), Ok(None));
    }

    #[test]
    fn a_revoked_device_is_nobodys() {
        let mut db = in_memory();
        let id = pair(&db, "Tablet 1", "secret", "Meera", NOW).unwrap();
        assert_eq!(of_secret(&db, "secret").unwrap().unwrap().id, id);
        assert_eq!(of_secret(&db, "other").unwrap(), None);
        revoke(&mut db, id, NOW).unwrap();
        assert_eq!(of_secret(&db, "secret").unwrap(), None);
        assert!(all(&db).unwrap().is_empty());
    }
}
