//! The books of enrolment: tokens, requests that wait, the certificates that each store has been given, and the releases it is wished. In a database of their
//! own, so that head office can write beside a running hub, and no enrolment waits for the core's commits.
//!
//! Promises: a token is good for one key, decided and written in one transaction, so of two that use it at once one gets a
//! certificate and the other hears that it is used; whatever was answered is on disk before; the same key gets the same certificate
//! again, so that a lost answer strands nobody. What is read here is never a secret: of tokens there are only hashes.

mod asking;
mod office;
mod rollouts;

pub use asking::{Asked, Given, Kept, Signed, Signing, Way};
pub use office::{Decision, IdentityRow, NewToken, NoSuch, RegistrationRow, TokenRow, TokenState};
pub use rollouts::{NotSo, Order, Rollouts, Wanted};

use crate::standing::{Serial, Shut, Standing};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use sync_protocol::{StoreId, UnixMillis};

/// What the tables are like; 1 has none for rollouts.
const SCHEMA: u32 = 2;
/// How often, and how long between, the write-ahead log is tried while somebody else begins the same file: ten seconds in all.
const BUSY_TRIES: u32 = 500;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Why the books can't be kept: the disk, or a damaged file.
#[derive(Debug, thiserror::Error)]
#[error("{act} failed")]
pub struct BooksError {
    pub act: &'static str,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

pub(super) type Done<T> = Result<T, BooksError>;

fn failed<E: std::error::Error + Send + Sync + 'static>(act: &'static str) -> impl Fn(E) -> BooksError {
    move |source| BooksError { act, source: Box::new(source) }
}

/// The database, open.
#[derive(Debug)]
pub struct Books {
    db: Connection,
}

impl Books {
    /// Opens the books at `path`, and begins them if there are none.
    ///
    /// # Errors
    /// The file can't be opened, is something else, or a newer hub's.
    pub fn open(path: &Path) -> Done<Books> {
        let act = failed("opening the books of enrolment");
        let mut db = Connection::open(path).map_err(&act)?;
        db.busy_timeout(Duration::from_secs(10)).map_err(&act)?;
        keep_log(&db).map_err(&act)?;
        db.pragma_update(None, "synchronous", "FULL").map_err(&act)?;
        // Two may begin them at once: the one that comes second finds them begun.
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&act)?;
        let version: u32 = step.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&act)?;
        match version {
            0..SCHEMA => {
                let steps = [include_str!("schema.sql"), include_str!("rollouts.sql")];
                for sql in steps.into_iter().skip(version as usize) {
                    step.execute_batch(sql).map_err(&act)?;
                }
                step.pragma_update(None, "user_version", SCHEMA).map_err(&act)?;
            }
            SCHEMA => {}
            newer => {
                let reason = format!("they have schema version {newer}; run the newer hub");
                return Err(BooksError { act: "opening the books of enrolment", source: reason.into() });
            }
        }
        step.commit().map_err(&act)?;
        Ok(Books { db })
    }

    /// Changes whenever another connection has written.
    ///
    /// # Errors
    /// The books can't be read.
    pub fn version(&self) -> Done<i64> {
        let read = self.db.query_row("PRAGMA data_version", [], |row| row.get(0));
        read.map_err(failed("looking at the books of enrolment"))
    }

    /// How every store stands that the books speak of.
    ///
    /// # Errors
    /// The books can't be read.
    pub fn standings(&self) -> Done<HashMap<StoreId, Standing>> {
        let act = failed("reading how stores stand");
        let mut stores: HashMap<StoreId, Standing> = HashMap::new();
        let mut statement =
            self.db.prepare_cached("SELECT store, revoked_at, quarantined_at FROM identity").map_err(&act)?;
        let mut rows = statement.query([]).map_err(&act)?;
        while let Some(row) = rows.next().map_err(&act)? {
            let revoked: Option<i64> = row.get(1).map_err(&act)?;
            let quarantined: Option<i64> = row.get(2).map_err(&act)?;
            let shut = revoked.map(|_| Shut::Revoked).or_else(|| quarantined.map(|_| Shut::Quarantined));
            stores.entry(store_in(row, 0).map_err(&act)?).or_default().shut = shut;
        }
        let sql = "SELECT store, serial, state, seen_at FROM certificate WHERE state <> 'refused'";
        let mut statement = self.db.prepare_cached(sql).map_err(&act)?;
        let mut rows = statement.query([]).map_err(&act)?;
        while let Some(row) = rows.next().map_err(&act)? {
            let standing = stores.entry(store_in(row, 0).map_err(&act)?).or_default();
            let serial = Serial::written(row.get_ref(1).and_then(|text| Ok(text.as_str()?)).map_err(&act)?);
            let state: String = row.get(2).map_err(&act)?;
            let seen: Option<i64> = row.get(3).map_err(&act)?;
            if state == "outdated" {
                standing.outdated.push(serial);
                continue;
            }
            if state == "present" && seen.is_none() {
                standing.awaited = Some(serial.clone());
            }
            standing.good.push(serial);
        }
        Ok(stores)
    }

    fn step(&mut self) -> Done<Transaction<'_>> {
        let begun = self.db.transaction_with_behavior(TransactionBehavior::Immediate);
        begun.map_err(failed("writing the books of enrolment"))
    }
}

/// Shuts a store out until head office has chosen. One that is shut out already stays so for its first reason.
fn quarantine(step: &Transaction<'_>, store: &StoreId, why: &str, now: UnixMillis) -> rusqlite::Result<()> {
    let sql = "INSERT INTO identity (store, quarantined_at, why) VALUES (?1, ?2, ?3)
               ON CONFLICT (store) DO UPDATE SET quarantined_at = ?2, why = ?3 WHERE quarantined_at IS NULL";
    let changed = step.prepare_cached(sql)?.execute(params![store.as_str(), now.0, why])?;
    if changed > 0 {
        tracing::error!(%store, why, "two machines use one identity; both are shut out until head office chooses");
    }
    Ok(())
}

/// What the books know of one store.
#[derive(Debug, Default)]
struct Identity {
    bound_key: Option<[u8; 32]>,
    recoveries: u32,
    revoked_at: Option<i64>,
    quarantined_at: Option<i64>,
}

fn identity_of(step: &Transaction<'_>, store: &StoreId) -> rusqlite::Result<Identity> {
    let sql = "SELECT bound_key, recoveries, revoked_at, quarantined_at FROM identity WHERE store = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Identity {
            bound_key: row.get(0)?,
            recoveries: row.get(1)?,
            revoked_at: row.get(2)?,
            quarantined_at: row.get(3)?,
        })
    };
    let found = step.prepare_cached(sql)?.query_row([store.as_str()], read).optional()?;
    Ok(found.unwrap_or_default())
}

fn store_in(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<StoreId> {
    let text: String = row.get(at)?;
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// Turns the write-ahead log on. SQLite does not wait for somebody who does the same at that moment, so this does.
fn keep_log(db: &Connection) -> rusqlite::Result<()> {
    for _ in 0..BUSY_TRIES {
        let done = db.pragma_update(None, "journal_mode", "WAL");
        let is_busy = |error: &rusqlite::Error| {
            matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
        };
        match done {
            Err(error) if is_busy(&error) => std::thread::sleep(BUSY_PAUSE),
            done => return done,
        }
    }
    db.pragma_update(None, "journal_mode", "WAL")
}
