//! The courier's own database: what is to be sent, how far each endpoint has been served, and what the payment service has been told.
//!
//! It is apart from the hub's, so that sending never waits for the core's commits, nor they for it. Events are read from the hub's
//! outbox and become deliveries in one transaction with the cursor, so none is lost and none becomes two.

use super::cloud_event::CloudEvent;
use super::payment::{self, Account, Issued, Standing};
use super::policy::{Answer, Verdict};
use super::{Endpoint, Purpose};
use crate::storage::OrderEvent;
use crate::storage::sqlite::events::{Outbox, Sequenced};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::path::Path;
use std::time::Duration;
use sync_protocol::UnixMillis;

/// Most events that become deliveries in one transaction.
const TAKEN_MAX: usize = 500;
/// Most deliveries that wait for one endpoint. Beyond that, events wait in the outbox.
const WAITING_MAX: u64 = 50_000;
/// How long rows of what was delivered stay, in milliseconds: longer than its event may be read again.
const DELIVERED_KEPT: u64 = 35 * 24 * 3600 * 1000;
const PRUNED_MAX: usize = 1_000;

/// Why the books can't be kept: the disk, or a damaged file.
#[derive(Debug, thiserror::Error)]
#[error("{act} failed")]
pub struct BooksError {
    pub act: &'static str,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

pub(super) type Done<T> = Result<T, BooksError>;

pub(super) fn failed<E: std::error::Error + Send + Sync + 'static>(
    act: &'static str,
) -> impl Fn(E) -> BooksError {
    move |source| BooksError { act, source: Box::new(source) }
}

pub(super) struct Books {
    db: Connection,
    outbox: Outbox,
}

/// A delivery whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) id: i64,
    pub(super) task: String,
    pub(super) attempts: u32,
    pub(super) created_at: UnixMillis,
    pub(super) body: String,
}

/// After so many failures in a row nothing is sent for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breaker {
    pub(super) after: u32,
    pub(super) open_ms: u64,
}

impl Books {
    /// Opens the courier's file at `path`, creating it if need be, and the hub's database.
    pub(super) fn open(path: &Path, hub_database: &Path) -> Done<Books> {
        let act = failed("opening the courier's database");
        let db = Connection::open(path).map_err(&act)?;
        db.busy_timeout(Duration::from_secs(10)).map_err(&act)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(&act)?;
        db.pragma_update(None, "synchronous", "FULL").map_err(&act)?;
        let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(&act)?;
        match version {
            0 => {
                let script =
                    concat!("BEGIN;", include_str!("schema.sql"), "PRAGMA user_version = 1; COMMIT;");
                db.execute_batch(script).map_err(&act)?;
            }
            1 => {}
            newer => {
                let reason = format!("it has schema version {newer}; run the newer hub");
                return Err(BooksError { act: "opening the courier's database", source: reason.into() });
            }
        }
        let outbox = Outbox::open(hub_database).map_err(failed("opening the outbox"))?;
        Ok(Books { db, outbox })
    }

    fn step(&mut self) -> Done<Transaction<'_>> {
        let begun = self.db.transaction_with_behavior(TransactionBehavior::Immediate);
        begun.map_err(failed("writing the courier's database"))
    }

    /// Makes sure that an endpoint is known. In new books it hears everything that is still kept: whoever lost them sends again, under
    /// the same ids. One that joins later hears what happens from then on.
    pub(super) fn register(&mut self, names: &[&str]) -> Done<()> {
        let act = failed("registering an endpoint");
        let is_new: bool =
            self.db.query_row("SELECT count(*) = 0 FROM endpoint", [], |row| row.get(0)).map_err(act)?;
        let (first, end) = self.outbox.bounds().map_err(failed("reading the outbox"))?;
        let start = if is_new { 0 } else { end };
        let act = failed("registering an endpoint");
        for name in names {
            let sql = "INSERT OR IGNORE INTO endpoint (name, cursor) VALUES (?1, ?2)";
            self.db.execute(sql, params![name, start]).map_err(&act)?;
            let sql = "SELECT cursor, cursor_id FROM endpoint WHERE name = ?1";
            let (cursor, id): (u64, String) =
                self.db.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&act)?;
            let there = self.outbox.at(cursor).map_err(failed("reading the outbox"))?;
            let is_other = match there {
                Some(there) => !id.is_empty() && there.event.id != id,
                None => cursor > end || (cursor >= first && !id.is_empty()),
            };
            if is_other {
                // The hub's database was restored. What was taken before is known by its id, and what was not comes now.
                tracing::warn!(
                    endpoint = name,
                    cursor,
                    "the outbox is another one; it is read from its start"
                );
                let sql = "UPDATE endpoint SET cursor = 0, cursor_id = '', replay_upto = 0 WHERE name = ?1";
                self.db.execute(sql, [name]).map_err(&act)?;
            }
        }
        Ok(())
    }

    /// Takes the next events for an endpoint. Says how many there were.
    pub(super) fn take(&mut self, endpoint: &Endpoint, now: UnixMillis) -> Done<usize> {
        let act = failed("taking events");
        let sql = "SELECT cursor, replay_upto, disabled,
                          (SELECT count(*) FROM delivery WHERE endpoint = ?1 AND state = 'waiting')
                   FROM endpoint WHERE name = ?1";
        let (cursor, replay_upto, disabled, waiting): (u64, u64, bool, u64) = self
            .db
            .query_row(sql, [&endpoint.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .map_err(&act)?;
        if disabled || waiting >= WAITING_MAX {
            return Ok(0);
        }
        let events = self.outbox.after(cursor, TAKEN_MAX).map_err(failed("reading the outbox"))?;
        let Some(last) = events.last() else { return Ok(0) };
        let step = self.step()?;
        for found in &events {
            write(&step, endpoint, found, found.seq <= replay_upto, now).map_err(&act)?;
        }
        let sql = "UPDATE endpoint SET cursor = ?2, cursor_id = ?3 WHERE name = ?1";
        step.execute(sql, params![endpoint.name, last.seq, last.event.id]).map_err(&act)?;
        step.commit().map_err(&act)?;
        Ok(events.len())
    }

    /// What is to be sent now, at most `limit`; of an endpoint that failed too often, one to see whether it is back.
    pub(super) fn due(
        &mut self,
        name: &str,
        breaker: Option<Breaker>,
        now: UnixMillis,
        limit: usize,
    ) -> Done<Vec<Due>> {
        let act = failed("looking for what is due");
        let sql = "SELECT disabled, failures, open_until FROM endpoint WHERE name = ?1";
        let (disabled, failures, open_until): (bool, u32, i64) = self
            .db
            .query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .map_err(&act)?;
        if disabled || open_until > now.0 {
            return Ok(Vec::new());
        }
        let is_probe = breaker.is_some_and(|breaker| failures >= breaker.after);
        let sql = "SELECT id, task, attempts, created_at, body FROM delivery AS own
                   WHERE endpoint = ?1 AND state = 'waiting' AND next_at <= ?2 AND (chain = '' OR NOT EXISTS
                       (SELECT 1 FROM delivery AS other WHERE other.endpoint = ?1 AND other.chain = own.chain
                                                          AND other.state <> 'delivered' AND other.id < own.id))
                   ORDER BY next_at, id LIMIT ?3";
        let limit = if is_probe { 1 } else { limit };
        let mut statement = self.db.prepare_cached(sql).map_err(&act)?;
        let due = |row: &Row<'_>| {
            let created_at = UnixMillis(row.get(3)?);
            Ok(Due {
                id: row.get(0)?,
                task: row.get(1)?,
                attempts: row.get(2)?,
                created_at,
                body: row.get(4)?,
            })
        };
        let rows = statement.query_map(params![name, now.0, limit], due).map_err(&act)?;
        rows.collect::<Result<_, _>>().map_err(&act)
    }

    /// What has become of an attempt.
    pub(super) fn record(
        &mut self,
        endpoint: &Endpoint,
        due: &Due,
        (verdict, answer): (Verdict, &Answer),
        now: UnixMillis,
    ) -> Done<()> {
        let act = failed("recording an attempt");
        let step = self.step()?;
        let (state, next_at, ended_at) = match verdict {
            Verdict::Delivered => ("delivered", now, now),
            Verdict::Dead => ("dead", now, now),
            Verdict::Again { at } => ("waiting", at, UnixMillis(0)),
            Verdict::Gone => ("waiting", now, UnixMillis(0)),
        };
        let is_done = verdict == Verdict::Delivered;
        let sql =
            "UPDATE delivery SET state = ?2, next_at = ?3, ended_at = ?4, attempts = ?5, last_error = ?6,
                                       body = iif(?7, '', body) WHERE id = ?1";
        let words = if is_done { "" } else { answer.words.as_str() };
        let values = params![due.id, state, next_at.0, ended_at.0, due.attempts + 1, words, is_done];
        step.execute(sql, values).map_err(&act)?;
        if is_done {
            let sql = "UPDATE endpoint SET failures = 0, open_until = 0, last_success = ?2 WHERE name = ?1";
            step.execute(sql, params![endpoint.name, now.0]).map_err(&act)?;
        } else {
            let (after, open_ms) =
                endpoint.breaker.map_or((u32::MAX, 0), |breaker| (breaker.after, breaker.open_ms));
            // A refusal of one message says nothing against the endpoint.
            let is_trouble =
                !matches!(verdict, Verdict::Dead) || answer.status.is_none_or(|status| status >= 500);
            let sql = "UPDATE endpoint SET last_failure = ?2, disabled = disabled OR ?4,
                           failures = iif(?3, failures + 1, 0),
                           open_until = iif(?3 AND failures + 1 >= ?5, ?6, 0) WHERE name = ?1";
            let open_until = now.0.saturating_add(open_ms.cast_signed());
            let is_gone = verdict == Verdict::Gone;
            let values = params![endpoint.name, now.0, is_trouble, is_gone, after, open_until];
            step.execute(sql, values).map_err(&act)?;
        }
        step.commit().map_err(&act)
    }

    /// Removes rows of what was delivered long ago.
    pub(super) fn prune(&mut self, now: UnixMillis) -> Done<()> {
        let act = failed("removing old rows");
        let before = now.0.saturating_sub(DELIVERED_KEPT.cast_signed());
        let sql = "DELETE FROM delivery WHERE id IN
                       (SELECT id FROM delivery WHERE state = 'delivered' AND ended_at < ?1 LIMIT ?2)";
        self.db.execute(sql, params![before, PRUNED_MAX]).map_err(&act)?;
        let sql =
            "DELETE FROM payment_event WHERE id IN (SELECT id FROM payment_event WHERE at < ?1 LIMIT ?2)";
        self.db.execute(sql, params![before, PRUNED_MAX]).map(drop).map_err(&act)
    }

    /// The database and the outbox, for the questions of [`super::letters`].
    pub(super) fn parts(&mut self) -> (&mut Connection, &Outbox) {
        (&mut self.db, &self.outbox)
    }
}

fn write(
    step: &Transaction<'_>,
    endpoint: &Endpoint,
    found: &Sequenced,
    again: bool,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let event = &found.event;
    let is_wanted = endpoint.events.is_empty() || endpoint.events.contains(&event.kind);
    let body = match endpoint.purpose {
        Purpose::Payment => return write_steps(step, &endpoint.name, event, now),
        _ if !is_wanted => return Ok(()),
        Purpose::Webhook => CloudEvent::of(found).to_json(),
        Purpose::Notification => {
            let order = event.order.to_string();
            serde_json::json!({ "event": event.kind, "order": order }).to_string()
        }
    };
    let order = event.order.to_string();
    let new = New { task: &event.id, kind: &event.kind, order: &order, chain: "", body: &body };
    let is_new = new.insert(step, &endpoint.name, now)?;
    if !is_new && again {
        let sql = "UPDATE delivery SET state = 'waiting', attempts = 0, next_at = ?3, created_at = ?3, ended_at = 0,
                                       body = ?4 WHERE endpoint = ?1 AND task = ?2";
        step.prepare_cached(sql)?.execute(params![endpoint.name, event.id, now.0, body])?;
    }
    Ok(())
}

struct New<'a> {
    task: &'a str,
    kind: &'a str,
    order: &'a str,
    chain: &'a str,
    body: &'a str,
}

impl New<'_> {
    /// False where the task is known.
    fn insert(&self, step: &Transaction<'_>, endpoint: &str, now: UnixMillis) -> rusqlite::Result<bool> {
        let sql = "INSERT OR IGNORE INTO delivery (endpoint, task, kind, shop_order, chain, created_at, state, next_at, body)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting', ?6, ?7)";
        let New { task, kind, order, chain, body } = self;
        let values = params![endpoint, task, kind, order, chain, now.0, body];
        Ok(step.prepare_cached(sql)?.execute(values)? > 0)
    }
}

/// The steps that an event makes due. Each event counts once.
fn write_steps(
    step: &Transaction<'_>,
    endpoint: &str,
    event: &OrderEvent,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    if event.payment_reference.is_none() {
        return Ok(());
    }
    let sql = "INSERT OR IGNORE INTO payment_event (id, at) VALUES (?1, ?2)";
    if step.prepare_cached(sql)?.execute(params![event.id, now.0])? == 0 {
        return Ok(());
    }
    let Ok(standing) = serde_json::from_str::<Standing>(&event.body) else {
        tracing::error!(
            event = event.id,
            "an event of this hub's own can't be read; no step of payment comes of it"
        );
        return Ok(());
    };
    let order = event.order.to_string();
    let mut account = account_of(step, &order)?;
    let mut issued = issued_of(step, &order, &standing.part)?;
    for told in payment::due(event, &standing, &mut issued, &mut account) {
        let (task, kind) = (told.task.as_str(), told.action.name());
        New { task, kind, order: &order, chain: &order, body: &told.body }.insert(step, endpoint, now)?;
    }
    save_issued(step, &order, &standing.part, &issued)?;
    save_account(step, &order, account)
}

fn account_of(step: &Transaction<'_>, order: &str) -> rusqlite::Result<Account> {
    let sql = "SELECT steps, captured, voided FROM payment_order WHERE shop_order = ?1";
    let account =
        |row: &Row<'_>| Ok(Account { steps: row.get(0)?, captured: row.get(1)?, voided: row.get(2)? });
    Ok(step.prepare_cached(sql)?.query_row([order], account).optional()?.unwrap_or_default())
}

fn save_account(step: &Transaction<'_>, order: &str, account: Account) -> rusqlite::Result<()> {
    let Account { steps, captured, voided } = account;
    let sql =
        "INSERT OR REPLACE INTO payment_order (shop_order, steps, captured, voided) VALUES (?1, ?2, ?3, ?4)";
    step.prepare_cached(sql)?.execute(params![order, steps, captured, voided]).map(drop)
}

fn issued_of(step: &Transaction<'_>, order: &str, part: &str) -> rusqlite::Result<Issued> {
    let sql = "SELECT sku, issued FROM payment_line WHERE shop_order = ?1 AND part = ?2";
    let mut statement = step.prepare_cached(sql)?;
    let rows = statement.query_map([order, part], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn save_issued(step: &Transaction<'_>, order: &str, part: &str, issued: &Issued) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO payment_line (shop_order, part, sku, issued) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = step.prepare_cached(sql)?;
    issued.iter().try_for_each(|(sku, issued)| statement.execute(params![order, part, sku, issued]).map(drop))
}
