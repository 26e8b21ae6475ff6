//! Counting what was tried in vain, so that nobody can try until something fits. Kept on disk: a restart forgets nothing.
//!
//! A try is counted as wrong before it is looked at, and forgiven once it was right: so many tries at once get no more than one
//! after the other, and pulling the plug gives none back.

use super::pins;
use rusqlite::{Connection, OptionalExtension, Result, params};
use std::time::Duration;
use sync_protocol::UnixMillis;

/// Tries in vain for a set-up or pairing code before it takes minutes.
const DOOR_STEPS: u32 = 2;

/// Too much was tried in vain: nothing is looked at for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Duration);

/// Where tries are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Person(i64),
    Device(i64),
    Setup,
    Pairing,
}

impl Door {
    /// How many failures a wrong try here stands for, in halves: a device is many people's, and codes are long.
    fn wait_after(self, failures: u32) -> Duration {
        match self {
            Door::Person(_) => pins::wait_after(failures),
            Door::Device(_) | Door::Setup | Door::Pairing => pins::wait_after(failures / DOOR_STEPS),
        }
    }

    fn read(self, db: &Connection) -> Result<(u32, UnixMillis)> {
        let found = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, UnixMillis(row.get(1)?)));
        let found = match self {
            Door::Person(id) => db
                .prepare_cached("SELECT failures, wait_until FROM person WHERE person = ?1")?
                .query_row([id], found),
            Door::Device(id) => db
                .prepare_cached("SELECT failures, wait_until FROM device WHERE device = ?1")?
                .query_row([id], found),
            Door::Setup | Door::Pairing => db
                .prepare_cached("SELECT failures, wait_until FROM door WHERE name = ?1")?
                .query_row([self.name()], found),
        };
        Ok(found.optional()?.unwrap_or((0, UnixMillis(0))))
    }

    fn write(self, db: &Connection, failures: u32, wait_until: UnixMillis) -> Result<()> {
        match self {
            Door::Person(id) => db
                .prepare_cached("UPDATE person SET failures = ?1, wait_until = ?2 WHERE person = ?3")?
                .execute(params![failures, wait_until.0, id]),
            Door::Device(id) => db
                .prepare_cached("UPDATE device SET failures = ?1, wait_until = ?2 WHERE device = ?3")?
                .execute(params![failures, wait_until.0, id]),
            Door::Setup | Door::Pairing => db
                .prepare_cached(
                    "INSERT OR REPLACE INTO door (failures, wait_until, name) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![failures, wait_until.0, self.name()]),
        }
        .map(drop)
    }

    fn name(self) -> &'static str {
        if self == Door::Setup { "setup" } else { "pairing" }
    }
}

/// Counts a try at each of these doors, unless one of them is shut.
pub fn knock(db: &mut Connection, doors: &[Door], now: UnixMillis) -> Result<std::result::Result<(), Wait>> {
    let step = db.transaction()?;
    let mut longest = Duration::ZERO;
    for door in doors {
        let (failures, until) = door.read(&step)?;
        // A clock that was set back makes nobody wait longer than the rule says.
        let left = Duration::from_millis(until.since(now)).min(door.wait_after(failures));
        longest = longest.max(left);
    }
    if !longest.is_zero() {
        return Ok(Err(Wait(longest)));
    }
    for door in doors {
        let failures = door.read(&step)?.0.saturating_add(1);
        let wait = i64::try_from(door.wait_after(failures).as_millis()).unwrap_or(0);
        door.write(&step, failures, UnixMillis(now.0.saturating_add(wait)))?;
    }
    step.commit()?;
    Ok(Ok(()))
}

/// It was right: nothing is held against anybody any more.
pub fn forgive(db: &Connection, doors: &[Door]) -> Result<()> {
    doors.iter().try_for_each(|door| door.write(db, 0, UnixMillis(0)))
}

/// How long the door stays shut.
pub fn shut_for(db: &Connection, door: Door, now: UnixMillis) -> Result<Duration> {
    let (failures, until) = door.read(db)?;
    Ok(Duration::from_millis(until.since(now)).min(door.wait_after(failures)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::people::in_memory;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    #[test]
    fn tries_in_vain_shut_the_door_for_longer_and_longer() {
        let mut db = in_memory();
        let (mut now, mut waits) = (NOW, Vec::new());
        for _ in 0..14 {
            match knock(&mut db, &[Door::Setup], now).unwrap() {
                Ok(()) => {}
                Err(Wait(wait)) => {
                    waits.push(wait.as_secs());
                    now = UnixMillis(now.0 + i64::try_from(wait.as_millis()).unwrap());
                    assert_eq!(knock(&mut db, &[Door::Setup], now).unwrap(), Ok(()));
                }
            }
        }
        assert_eq!(waits, [2, 2, 5, 5, 15, 15, 300, 300, 300, 300]);
        forgive(&db, &[Door::Setup]).unwrap();
        assert_eq!(knock(&mut db, &[Door::Setup], now).unwrap(), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_shuts_nobody_out_for_good() {
        let mut db = in_memory();
        for _ in 0..4 {
            knock(&mut db, &[Door::Pairing], NOW).unwrap().unwrap();
        }
        let long_ago = UnixMillis(NOW.0 - 1_000_000_000);
        assert_eq!(knock(&mut db, &[Door::Pairing], long_ago).unwrap(), Err(Wait(Duration::from_secs(2))));
    }
}
