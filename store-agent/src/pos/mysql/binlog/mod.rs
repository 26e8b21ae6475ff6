//! The binary log, listened to: it tells within moments that something was committed, and which rows of the ledger that touched.
//!
//! It makes haste and nothing else. Rows are read by the mapping's SELECT as ever, so no place in the log has to be kept: each connection
//! begins at its end, and what was missed in between is gone over again.
//!
//! **Invariants:** a log that can't be had, breaks or holds what is not understood costs haste, never a row; it listens on a thread and a
//! connection of its own, so it holds up nobody; what it keeps is bounded, whatever is committed.

mod events;
mod opening;
mod rows;

use crate::config::pos::LogLedger;
use crate::config::pos::mysql::MysqlServer;
use crate::inbox::sources::LogStanding;
use crate::pos::source::SourceError;
use crate::pos::source::chain;
use crate::pos::sql::database::Heard;
use events::{Listener, Said};
use opening::open;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use sync_protocol::Ticks;

/// Most keys that wait to be asked for.
const KEYS_MAX: usize = 4_000;
const AGAIN_AFTER_MS: u64 = 1_000;
const AGAIN_AFTER_MS_MAX: u64 = 60_000;
/// A log that was followed for so long was in order; what broke it is no habit.
const IN_ORDER_AFTER_MS: u64 = 60_000;
/// Replicas of a POS are numbered by people, from 1 on. Nobody counts to here.
const OUR_NUMBERS: u32 = 1 << 31;

/// Why the log is not followed.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error("the server keeps no binary log; give it `log_bin` in its settings, and restart it")]
    Off,
    #[error("the server logs in the format {found}; give it `binlog_format = ROW`")]
    Format { found: String },
    #[error(
        "the server keeps the database `{database}` out of its log, by `binlog_do_db` or `binlog_ignore_db`"
    )]
    LeftOut { database: String },
    #[error(
        "`[pos.log]` names the table `{table}` and its column `{key}`, which are not there or may not be read; a view is no table"
    )]
    NoLedger { table: String, key: String },
    #[error("the column `{key}` that `[pos.log]` names is no whole number")]
    NoNumber { key: String },
    #[error("the user may not read it; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* to it")]
    Rights { source: mysql::Error },
    #[error(transparent)]
    Unreachable(SourceError),
    #[error("the server has ended it")]
    Ended,
    #[error("what the server sent could not be read")]
    Unreadable,
    #[error("the connection for it has failed")]
    Server { source: mysql::Error },
    #[error("no thread could be started for it")]
    Thread { source: std::io::Error },
}

/// The server's error for somebody who lacks a right.
const RIGHT_MISSING: [u16; 2] = [1227, 1045];

impl From<mysql::Error> for LogError {
    fn from(source: mysql::Error) -> LogError {
        match &source {
            mysql::Error::MySqlError(error) if RIGHT_MISSING.contains(&error.code) => {
                LogError::Rights { source }
            }
            _ => LogError::Server { source },
        }
    }
}

impl LogError {
    /// Another reader of the log goes by our number.
    fn is_clash(&self) -> bool {
        let LogError::Server { source: mysql::Error::MySqlError(error) } = self else { return false };
        error.message.contains("server_id") || error.message.contains("server_uuid")
    }
}

/// Where the thread that listens and the one that reads meet.
#[derive(Debug, Default)]
struct Shared {
    rings: AtomicI64,
    is_followed: AtomicBool,
    is_over: AtomicBool,
    heard: Mutex<Heard>,
}

impl Shared {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, said: Said) {
        match said {
            Said::Nothing => return,
            Said::Change => {}
            Said::Rows(keys) => {
                let mut heard = self.heard();
                heard.keys.extend(keys);
                if heard.keys.len() > KEYS_MAX {
                    *heard = Heard { keys: Vec::new(), is_more: true };
                }
            }
            Said::Anything | Said::Anew => self.heard().is_more = true,
        }
        self.rings.fetch_add(1, Ordering::Release);
    }
}

/// The log of one server, as one source listens to it.
#[derive(Debug)]
pub struct Binlog {
    server: MysqlServer,
    ledger: Option<LogLedger>,
    number: u32,
    shared: Arc<Shared>,
    attempt: Option<JoinHandle<Result<(), LogError>>>,
    followed_since: Option<Ticks>,
    reason: Option<String>,
    failures: u32,
    due: Ticks,
}

impl Binlog {
    #[must_use]
    pub fn new(server: MysqlServer, ledger: Option<LogLedger>) -> Binlog {
        Binlog {
            server,
            ledger,
            number: number(),
            shared: Arc::default(),
            attempt: None,
            followed_since: None,
            reason: None,
            failures: 0,
            due: Ticks(0),
        }
    }

    /// Begins to listen, or begins again some time after it broke.
    pub fn tend(&mut self, now: Ticks) -> LogStanding {
        if let Some(attempt) = self.attempt.take_if(|attempt| attempt.is_finished()) {
            self.ended(attempt.join().unwrap_or(Err(LogError::Unreadable)), now);
        }
        if self.attempt.is_none() && now.0 >= self.due.0 {
            match self.begin() {
                Ok(attempt) => self.attempt = Some(attempt),
                Err(source) => self.ended(Err(LogError::Thread { source }), now),
            }
        }
        match &self.reason {
            _ if self.shared.is_followed.load(Ordering::Acquire) => {
                self.followed_since.get_or_insert(now);
                self.reason = None;
                LogStanding::Followed
            }
            Some(reason) => LogStanding::Refused(reason.clone()),
            None => LogStanding::Opening,
        }
    }

    /// How often something was committed while it was listened to; `None` while it is not.
    #[must_use]
    pub fn bell(&self) -> Option<i64> {
        self.followed_since.map(|_| self.shared.rings.load(Ordering::Acquire))
    }

    pub fn heard(&self) -> Heard {
        std::mem::take(&mut *self.shared.heard())
    }

    /// Opens the log and leaves it again. Gives why it can't be followed.
    #[must_use]
    pub fn check(&self) -> Option<String> {
        let is_open = || match open(&self.server, self.ledger.as_ref(), self.number)?.0.next() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(LogError::from(error)),
            None => Err(LogError::Ended),
        };
        is_open().err().map(|error| chain(&error))
    }

    fn begin(&self) -> std::io::Result<JoinHandle<Result<(), LogError>>> {
        let (server, ledger, number) = (self.server.clone(), self.ledger.clone(), self.number);
        let shared = Arc::clone(&self.shared);
        let listen = move || follow(&server, ledger.as_ref(), number, &shared);
        std::thread::Builder::new().name("pos-log".to_owned()).spawn(listen)
    }

    fn ended(&mut self, end: Result<(), LogError>, now: Ticks) {
        self.shared.is_followed.store(false, Ordering::Release);
        let was_in_order =
            self.followed_since.take().is_some_and(|since| now.since(since) >= IN_ORDER_AFTER_MS);
        let Err(error) = end else {
            self.due = Ticks(now.0.saturating_add(AGAIN_AFTER_MS));
            return;
        };
        if error.is_clash() {
            self.number = number();
        }
        self.failures = if was_in_order { 1 } else { self.failures.saturating_add(1) };
        let pause = AGAIN_AFTER_MS << self.failures.min(6);
        self.due = Ticks(now.0.saturating_add(pause.min(AGAIN_AFTER_MS_MAX)));
        self.reason = Some(chain(&error));
    }
}

impl Drop for Binlog {
    /// The thread sees it at the next event, which is a heartbeat at the latest. Nothing waits for that: it has nothing to bring to an end.
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
    }
}

/// What we call ourselves among the server's replicas.
///
/// The server throws a replica out when another comes by the same number, so ours must never be one that is in use: it is random, far
/// above those that people give. It is kept while the agent runs, so that a connection of our own that has died is thrown out by the next.
/// It is not derived from anything and not written down: agents that were copied from one image would then throw each other out for ever.
fn number() -> u32 {
    let mut bytes = [0; 4];
    // Without random numbers it is one that nobody else has chosen either.
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes) | OUR_NUMBERS
}

/// Listens until the log breaks; `Ok` when it has to be opened anew, or not at all any more.
fn follow(
    server: &MysqlServer,
    ledger: Option<&LogLedger>,
    number: u32,
    shared: &Shared,
) -> Result<(), LogError> {
    let (mut stream, watched) = open(server, ledger, number)?;
    let mut listener = Listener::new(watched);
    let mut odd = None;
    while !shared.is_over.load(Ordering::Acquire) {
        let said = match stream.next() {
            Some(Ok(event)) => {
                odd = None;
                shared.is_followed.store(true, Ordering::Release);
                listener.hear(event.header().event_type_raw(), event.data())
            }
            // Where the stream goes on it was one event that could not be read; where it ends, this is why.
            Some(Err(error)) => {
                odd = Some(error);
                Said::Anything
            }
            None => return Err(odd.map_or(LogError::Ended, LogError::from)),
        };
        let is_anew = said == Said::Anew;
        shared.note(said);
        if is_anew {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_be_named_is_more() {
        let shared = Shared::default();
        shared.note(Said::Nothing);
        shared.note(Said::Rows(vec![1, 2]));
        shared.note(Said::Change);
        assert_eq!((shared.rings.load(Ordering::Acquire), shared.heard().keys.len()), (2, 2));
        for from in 0..100 {
            shared.note(Said::Rows((from * 100..from * 100 + 100).collect()));
            assert!(shared.heard().keys.len() <= KEYS_MAX);
        }
        assert!(shared.heard().is_more);
    }

    #[test]
    fn our_numbers_are_far_from_those_of_people() {
        assert!((0..100).map(|_| number()).all(|number| number >= OUR_NUMBERS));
    }
}
