//! The store's people, their devices, who is signed in, and what was done: a small database of its own beside the store's.
//!
//! It is never synced: a lost disk means setting staff up again. One connection behind a lock; it blocks, so asynchronous
//! callers ask through [`People::ask`].
//!
//! **Invariant:** neither PINs nor cookies nor codes are in it, only what they are checked against.

pub mod audit;
pub mod counts;
pub mod devices;
pub mod doors;
pub mod pins;
pub mod roles;
pub mod sessions;
pub mod staff;

use crate::store::schema::Schema;
use rusqlite::{Connection, OpenFlags};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Schema versions in order; the database's `user_version` counts how many have run.
const MIGRATIONS: [&str; 3] = [
    include_str!("schema/0001_start.sql"),
    include_str!("schema/0002_counts.sql"),
    include_str!("schema/0003_oldest.sql"),
];

/// Why the people's database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("cannot make {path}", path = path.display())]
    Make { path: PathBuf, source: std::io::Error },
    #[error(
        "cannot open {path}; if it is damaged, move it aside and set the store's people up again",
        path = path.display()
    )]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("{path} was written by a newer agent; install that again", path = path.display())]
    Newer { path: PathBuf },
}

/// Shared by all that serve the page.
#[derive(Debug, Clone)]
pub struct People {
    db: Arc<Mutex<Connection>>,
    /// Raised when somebody was signed out or a device was revoked, so that open streams look again.
    doors: watch::Sender<u64>,
}

impl People {
    /// # Errors
    /// The file can't be made or read, or is newer than this agent.
    pub fn open(path: &Path) -> Result<People, PeopleError> {
        let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        made.map_err(|source| PeopleError::Make { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags).and_then(prepared);
        let db = opened.map_err(|source| PeopleError::Open { path: path.to_owned(), source })?;
        let Some(db) = db else { return Err(PeopleError::Newer { path: path.to_owned() }) };
        Ok(People { db: Arc::new(Mutex::new(db)), doors: watch::Sender::new(0) })
    }

    /// Runs `question` on a thread that may block.
    ///
    /// # Errors
    /// SQLite's, and when the agent is stopping.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        let db = Arc::clone(&self.db);
        let asked = tokio::task::spawn_blocking(move || {
            question(&mut db.lock().unwrap_or_else(PoisonError::into_inner))
        });
        asked.await.unwrap_or(Err(rusqlite::Error::InvalidQuery))
    }

    /// Whether anybody has been set up.
    ///
    /// # Errors
    /// SQLite's.
    pub async fn is_anybody_here(&self) -> rusqlite::Result<bool> {
        self.ask(|db| staff::is_anybody_here(db)).await
    }

    /// Hears of each time that somebody's way in was closed.
    #[must_use]
    pub fn doors(&self) -> watch::Receiver<u64> {
        self.doors.subscribe()
    }

    /// Somebody's way in was closed.
    pub fn closed_a_door(&self) {
        self.doors.send_modify(|closed| *closed += 1);
    }
}

/// The schema that this agent brings the file to.
///
/// # Errors
/// SQLite could not make one.
pub fn own_schema() -> rusqlite::Result<Schema> {
    prepared(Connection::open_in_memory()?)?.map_or(Err(rusqlite::Error::InvalidQuery), |db| Schema::of(&db))
}

/// Whether this agent can work on the file, which may be in use. Changes nothing.
///
/// # Errors
/// It can't be read, or lets only newer agents in.
pub fn check(path: &Path) -> Result<Option<Schema>, PeopleError> {
    let open = |source| PeopleError::Open { path: path.to_owned(), source };
    match Schema::of_file(path).map_err(open)? {
        Some(found) if !found.lets_in(MIGRATIONS.len()) => Err(PeopleError::Newer { path: path.to_owned() }),
        found => Ok(found),
    }
}

/// `None`: a newer agent has been here.
fn prepared(mut db: Connection) -> rusqlite::Result<Option<Connection>> {
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", -512)?;
    let found = Schema::of(&db)?;
    if !found.lets_in(MIGRATIONS.len()) {
        return Ok(None);
    }
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(found.version) {
        let step = db.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", at + 1)?;
        step.commit()?;
    }
    Ok(Some(db))
}

/// What cookies and codes are kept as.
#[must_use]
pub fn hashed(secret: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, secret).as_ref());
    hash
}

/// A secret nobody can guess, as 64 hexadecimal digits.
///
/// # Errors
/// The system gives no random numbers; then nobody gets in.
pub fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(in crate::ui) fn in_memory() -> Connection {
    prepared(Connection::open_in_memory().unwrap()).unwrap().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_its_owners_only_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.db");
        drop(People::open(&path).unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(People::open(&path).unwrap());
    }

    #[test]
    fn a_newer_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.db");
        drop(People::open(&path).unwrap());
        let db = Connection::open(&path).unwrap();
        db.execute_batch("UPDATE schema_oldest SET version = 99; PRAGMA user_version = 99").unwrap();
        assert!(matches!(People::open(&path), Err(PeopleError::Newer { .. })));
    }
}
