//! The log of a POS's PostgreSQL, by logical decoding: which rows of the ledger were written, changed or deleted.
//!
//! **Invariants:** the slot is a temporary one in a session of its own, and the server ends that session when nothing has been heard of it
//! for a while: so an agent that is down or hangs fills no disk of the POS. What the log says is read once, in bounded pieces, and nothing
//! of it is kept but keys. A transaction that stays open must not make the server keep more of its log than it would without us, beyond a
//! bound. Where it can't be followed, that is said and tried again later; it never fails the source.

use super::connection;
use super::pgoutput::{Message, Relation, Value};
use crate::config::pos::LogLedger;
use crate::config::pos::postgres::Postgres;
use crate::inbox::sources::LogStanding;
use crate::pos::source::{SourceError, chain};
use crate::pos::sql::columns::quoted;
use crate::pos::sql::database::Heard;
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{Oid, ToSql};
use postgres::{Client, Statement};
use std::collections::{BTreeSet, HashMap};
use std::thread::JoinHandle;
use sync_protocol::Ticks;

/// Until the next attempt after the first that failed; each further one doubles it.
const AGAIN_AFTER_MS: u64 = 1_000;
const AGAIN_AFTER_MS_MAX: u64 = 300_000;
/// How often a log that is read is looked over: has the publication been given tables that it harms?
const LOOK_OVER_EVERY_MS: u64 = 10_000;
/// It takes some milliseconds, so it is put off while rows are being named, but no longer than this.
const LOOK_OVER_EVERY_MS_MAX: u64 = 20_000;
/// Messages of one reading; a transaction comes whole, however long it is.
const MESSAGES_MAX: i32 = 10_000;
/// Of a message longer than this it is only known that something has changed.
const MESSAGE_BYTES_MAX: i32 = 65_536;
/// Keys of one reading. What changes more at once is looked for by a round.
const KEYS_MAX: usize = 5_000;
/// The first that ends sessions which say nothing.
const ENDS_IDLE_SESSIONS: i32 = 140_000;

/// To join the log, open transactions are waited for, as locks are.
const PATIENCE: &str = "SET statement_timeout = '10s'; SET lock_timeout = 0";
/// Each reading begins anew at the oldest transaction that is open, so one that has been open for long makes readings slow.
const READS_BRIEFLY: &str = "SET statement_timeout = '2s'";
/// So much of its log may the server have to keep for this slot. The oldest open transaction holds it up, and on the server it is the slot
/// alone that makes that cost room.
const KEPT_BYTES_MAX: i64 = 32 << 20;
/// A log is read at least every thirty seconds, so a session that has been silent for twice as long belongs to nobody.
const ENDS_WHEN_SILENT: &str = "SET idle_session_timeout = '60s'";

/// How the server stands to it, in one question.
const STANDING: &str = "
    SELECT pg_is_in_recovery(), current_setting('wal_level') = 'logical',
           (SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size') >= 0,
           EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = $1),
           current_setting('server_version_num')::int4";
/// The ledger by its name, with its partitions, in which its rows stand.
const TABLES: &str = "
    WITH ledger AS (
        SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p')
           AND CASE WHEN strpos($1, '.') = 0 THEN c.relname = $1 AND pg_table_is_visible(c.oid)
                    ELSE n.nspname || '.' || c.relname = $1 END)
    SELECT l.oid, EXISTS (SELECT FROM pg_catalog.pg_attribute a
                           WHERE a.attrelid = l.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)
      FROM ledger l
     UNION
    SELECT p.relid::oid, true FROM ledger l CROSS JOIN LATERAL pg_partition_tree(l.oid) p";
const PUBLISHED: &str = "
    SELECT EXISTS (SELECT FROM pg_catalog.pg_publication_tables t
                      JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
                      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
                    WHERE t.pubname = $1 AND c.oid = ANY ($2))";
/// A table whose updates and deletes PostgreSQL refuses, because they are published and nothing identifies its rows.
const HARMED: &str = "
    SELECT t.schemaname || '.' || t.tablename
      FROM pg_catalog.pg_publication_tables t
      JOIN pg_catalog.pg_publication p ON p.pubname = t.pubname AND (p.pubupdate OR p.pubdelete)
      JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
     WHERE t.pubname = $1
       AND (c.relreplident = 'n' OR c.relreplident = 'd' AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))
     ORDER BY 1 LIMIT 1";
const READ: &str = "
    SELECT CASE WHEN octet_length(data) <= $4 THEN data END
      FROM pg_logical_slot_get_binary_changes($1, NULL, $3, 'proto_version', '1', 'publication_names', $2)";

const KEPT: &str = "
    SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::int8
      FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";

/// Why the log can't be followed, each with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLog {
    #[error("no session for it: {0}")]
    Session(String),
    #[error("the server is a standby, and the log is followed at the primary only")]
    Standby,
    #[error(
        "the server's log does not say which rows change: set `wal_level = logical` and restart the server"
    )]
    Level,
    #[error(
        "this server ends no session that hangs, and `max_slot_wal_keep_size` has no bound, so a hanging agent could fill its disk: ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'; SELECT pg_reload_conf()"
    )]
    Unbounded,
    #[error("the role may not read the log: ALTER ROLE … REPLICATION")]
    Right,
    #[error("there is no publication `{0}`: CREATE PUBLICATION … FOR TABLE …, by the owner of the table")]
    Publication(String),
    #[error(
        "there is no one table `{0}` with a column `{1}`; which is the ledger's, and is its schema named?"
    )]
    Table(String, String),
    #[error("the publication `{0}` does not have the table `{1}`: ALTER PUBLICATION … ADD TABLE …")]
    Unpublished(String, String),
    #[error(
        "THE POS CAN'T UPDATE OR DELETE rows of `{0}`, which is published and has no primary key: take it out of the publication, or ALTER TABLE … REPLICA IDENTITY FULL"
    )]
    Harmed(String),
    #[error(
        "a transaction of the POS has been open all the while, and the log can't be joined before it ends"
    )]
    Waiting,
    #[error(
        "a transaction of the POS has been open for long, and the server would have to keep {0} bytes of its log for this agent; once it has ended the log is followed again"
    )]
    Kept(i64),
    #[error("the server: {0}")]
    Server(String),
}

impl From<postgres::Error> for NoLog {
    fn from(error: postgres::Error) -> NoLog {
        NoLog::Server(chain(&error))
    }
}

/// The log, followed or not.
pub struct PostgresLog {
    settings: Postgres,
    publication: String,
    /// `None`: only figures are read, and the server's snapshots ring the bell for those.
    ledger: Option<LogLedger>,
    state: State,
    /// Why it could not be followed the last time.
    trouble: Option<NoLog>,
    failures: u32,
    now: Ticks,
}

enum State {
    Closed {
        again_at: Ticks,
    },
    /// On a thread of its own: a slot waits for every transaction that is open.
    Opening(JoinHandle<Result<Slot, NoLog>>),
    Open(Box<Slot>),
}

impl PostgresLog {
    #[must_use]
    pub fn new(settings: Postgres, ledger: Option<LogLedger>, publication: String) -> PostgresLog {
        PostgresLog {
            settings,
            publication,
            ledger,
            state: State::Closed { again_at: Ticks(0) },
            trouble: None,
            failures: 0,
            now: Ticks(0),
        }
    }

    /// Opens it, or again after a while, without waiting.
    pub fn tend(&mut self, now: Ticks) -> LogStanding {
        self.now = now;
        let Some(ledger) = &self.ledger else { return LogStanding::Followed };
        match &self.state {
            State::Open(slot) if slot.client.is_closed() => {
                self.broke(NoLog::Session("it has ended".to_owned()));
            }
            State::Open(_) => return LogStanding::Followed,
            State::Opening(thread) if thread.is_finished() => return self.opened(),
            State::Closed { again_at } if again_at.0 <= now.0 => {
                let (settings, ledger, publication) =
                    (self.settings.clone(), ledger.clone(), self.publication.clone());
                // It ends by itself within its patience, should nobody ask for it any more.
                let thread = std::thread::Builder::new()
                    .name("pos log".to_owned())
                    .spawn(move || Slot::open(&settings, ledger, publication));
                match thread {
                    Ok(thread) => self.state = State::Opening(thread),
                    Err(error) => self.broke(NoLog::Session(error.to_string())),
                }
            }
            State::Opening(_) | State::Closed { .. } => {}
        }
        self.trouble
            .as_ref()
            .map_or(LogStanding::Opening, |trouble| LogStanding::Refused(trouble.to_string()))
    }

    fn opened(&mut self) -> LogStanding {
        let state = std::mem::replace(&mut self.state, State::Closed { again_at: self.now });
        let State::Opening(thread) = state else { return LogStanding::Opening };
        let opened = thread.join().unwrap_or_else(|_| Err(NoLog::Session("it was given up".to_owned())));
        match opened {
            Ok(mut slot) => {
                (slot.looked_over, slot.weighed) = (self.now, self.now);
                self.state = State::Open(Box::new(slot));
                LogStanding::Followed
            }
            Err(trouble) => {
                let standing = LogStanding::Refused(trouble.to_string());
                self.broke(trouble);
                standing
            }
        }
    }

    fn broke(&mut self, trouble: NoLog) {
        // Another reason than the last time: somebody is about to put it right.
        if self.trouble.as_ref() != Some(&trouble) {
            self.failures = 0;
        }
        let pause = AGAIN_AFTER_MS.saturating_mul(1 << self.failures.min(16)).min(AGAIN_AFTER_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(trouble);
        self.state = State::Closed { again_at: Ticks(self.now.0.saturating_add(pause)) };
    }

    /// What it has said since the last time; it breaks where that can't be read.
    pub fn heard(&mut self) -> Heard {
        let State::Open(slot) = &mut self.state else { return Heard::default() };
        match slot.heard(self.now) {
            Ok(heard) => {
                (self.trouble, self.failures) = (None, 0);
                heard
            }
            Err(trouble) => {
                self.broke(trouble);
                Heard { keys: Vec::new(), is_more: true }
            }
        }
    }

    /// A number that changes when more of the log waits than was read; `None` while there is no log to be read.
    #[must_use]
    pub fn rest(&self) -> Option<u64> {
        match &self.state {
            State::Open(slot) => Some(slot.rests),
            _ => None,
        }
    }

    /// Why it can't be followed, found out at once.
    pub fn check(&self) -> Option<NoLog> {
        let ledger = self.ledger.clone()?;
        Slot::open(&self.settings, ledger, self.publication.clone()).err()
    }
}

/// A slot in the log, and the session that holds it.
struct Slot {
    client: Client,
    read: Statement,
    name: String,
    ledger: LogLedger,
    publication: String,
    /// As the plugin wants it.
    publication_names: String,
    /// The ledger's own and its partitions'.
    tables: Vec<Oid>,
    looked_over: Ticks,
    weighed: Ticks,
    rests: u64,
}

impl Slot {
    fn open(settings: &Postgres, ledger: LogLedger, publication: String) -> Result<Slot, NoLog> {
        let no_session = |error: SourceError| NoLog::Session(chain(&error));
        let mut client = connection::connect_to_log(settings).map_err(no_session)?;
        client.batch_execute(PATIENCE)?;
        let version = stand(&mut client, &publication)?;
        if version >= ENDS_IDLE_SESSIONS {
            client.batch_execute(ENDS_WHEN_SILENT)?;
        }
        let tables = look_over(&mut client, &ledger, &publication)?;
        let mut chance = [0; 8];
        // Without random numbers a name may be taken, and another attempt has another process's.
        let _ = getrandom::fill(&mut chance);
        let name = format!("shopsmart_{}_{:016x}", std::process::id(), u64::from_ne_bytes(chance));
        client
            .query_one("SELECT pg_create_logical_replication_slot($1, 'pgoutput', true)", &[&name])
            .map_err(|error| match error.code() {
                Some(code) if *code == SqlState::QUERY_CANCELED => NoLog::Waiting,
                Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => NoLog::Right,
                _ => error.into(),
            })?;
        client.batch_execute(READS_BRIEFLY)?;
        let read = client.prepare(READ)?;
        let publication_names = quoted(&publication);
        Ok(Slot {
            client,
            read,
            name,
            ledger,
            publication,
            publication_names,
            tables,
            looked_over: Ticks(0),
            weighed: Ticks(0),
            rests: 0,
        })
    }

    fn heard(&mut self, now: Ticks) -> Result<Heard, NoLog> {
        let params: [&(dyn ToSql + Sync); 4] =
            [&self.name, &self.publication_names, &MESSAGES_MAX, &MESSAGE_BYTES_MAX];
        let mut rows = self.client.query_raw(&self.read, params)?;
        let mut gathering = Gathering::of(&self.tables, &self.ledger.key);
        let mut messages = 0;
        while let Some(row) = rows.next()? {
            gathering.take(row.try_get::<_, Option<&[u8]>>(0)?);
            messages += 1;
        }
        if messages >= MESSAGES_MAX {
            self.rests += 1;
        }
        let heard = gathering.end();
        drop(rows);
        if now.since(self.weighed) >= LOOK_OVER_EVERY_MS {
            self.weighed = now;
            let kept: i64 = self.client.query_one(KEPT, &[&self.name])?.try_get(0)?;
            if kept > KEPT_BYTES_MAX {
                return Err(NoLog::Kept(kept));
            }
        }
        let since = now.since(self.looked_over);
        if since >= LOOK_OVER_EVERY_MS_MAX || since >= LOOK_OVER_EVERY_MS && heard == Heard::default() {
            self.looked_over = now;
            self.tables = look_over(&mut self.client, &self.ledger, &self.publication)?;
        }
        Ok(heard)
    }
}

/// Whether the server lets its log be followed. Gives its version.
fn stand(client: &mut Client, publication: &str) -> Result<i32, NoLog> {
    let standing = client.query_one(STANDING, &[&publication])?;
    let is = |at: usize| standing.try_get::<_, bool>(at);
    let version: i32 = standing.try_get(4)?;
    if is(0)? {
        return Err(NoLog::Standby);
    }
    if !is(1)? {
        return Err(NoLog::Level);
    }
    if version < ENDS_IDLE_SESSIONS && !is(2)? {
        return Err(NoLog::Unbounded);
    }
    if !is(3)? {
        return Err(NoLog::Publication(publication.to_owned()));
    }
    Ok(version)
}

/// Whether the publication has the ledger and harms no table. Gives the ledger's tables.
fn look_over(client: &mut Client, ledger: &LogLedger, publication: &str) -> Result<Vec<Oid>, NoLog> {
    let found = client.query(TABLES, &[&ledger.table, &ledger.key])?;
    let mut tables: Vec<Oid> = Vec::new();
    for row in &found {
        if !row.try_get::<_, bool>(1)? {
            tables.clear();
            break;
        }
        tables.push(row.try_get(0)?);
    }
    if tables.is_empty() {
        return Err(NoLog::Table(ledger.table.clone(), ledger.key.clone()));
    }
    if !client.query_one(PUBLISHED, &[&publication, &tables])?.try_get::<_, bool>(0)? {
        return Err(NoLog::Unpublished(publication.to_owned(), ledger.table.clone()));
    }
    match client.query_opt(HARMED, &[&publication])? {
        Some(harmed) => Err(NoLog::Harmed(harmed.try_get(0)?)),
        None => Ok(tables),
    }
}

/// Gathers the keys of the ledger's rows from messages.
#[derive(Debug)]
struct Gathering<'a> {
    tables: &'a [Oid],
    key: &'a str,
    /// Where the key stands in the rows of each table.
    places: HashMap<Oid, usize>,
    keys: BTreeSet<i64>,
    is_more: bool,
}

impl<'a> Gathering<'a> {
    fn of(tables: &'a [Oid], key: &'a str) -> Gathering<'a> {
        Gathering { tables, key, places: HashMap::new(), keys: BTreeSet::new(), is_more: false }
    }

    /// One message; `None` where it was too long to be sent.
    fn take(&mut self, bytes: Option<&[u8]>) {
        let Some(message) = bytes.and_then(|bytes| Message::read(bytes).ok()) else {
            self.is_more = true;
            return;
        };
        match message {
            Message::Relation(Relation { oid, columns }) => {
                let place = columns.iter().position(|column| *column == self.key);
                self.places.extend(place.map(|place| (oid, place)));
            }
            Message::Insert { relation, new } => self.row(relation, &new),
            Message::Update { relation, old, new } => {
                old.iter().for_each(|old| self.row(relation, old));
                self.row(relation, &new);
            }
            Message::Delete { relation, old } => self.row(relation, &old),
            Message::Truncate { relations } => {
                self.is_more |= relations.iter().any(|relation| self.tables.contains(relation));
            }
            Message::Other => {}
        }
    }

    /// A key that is no whole number above 0 is none that could be followed.
    fn row(&mut self, relation: Oid, values: &[Value<'_>]) {
        if !self.tables.contains(&relation) {
            return;
        }
        let value = self.places.get(&relation).and_then(|place| values.get(*place));
        let text = match value {
            Some(Value::Text(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        };
        match text.map(str::parse::<i64>) {
            Some(Ok(key)) if self.keys.len() < KEYS_MAX => _ = self.keys.insert(key),
            Some(Err(_)) => {}
            // Which row it was is not known, or they are too many.
            Some(Ok(_)) | None => self.is_more = true,
        }
    }

    fn end(self) -> Heard {
        Heard { keys: self.keys.into_iter().collect(), is_more: self.is_more }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pgoutput::tests::{delete, insert, relation, truncate, update};
    use super::*;
    use proptest::prelude::*;

    fn heard(messages: &[Vec<u8>]) -> Heard {
        let mut gathering = Gathering::of(&[7, 8], "id");
        messages.iter().for_each(|message| gathering.take(Some(message)));
        gathering.end()
    }

    #[test]
    fn rows_of_the_ledger_and_of_its_partitions_are_named_and_no_others() {
        let (ours, part, other) =
            (relation(7, &["item", "id"]), relation(8, &["id"]), relation(9, &["id", "item"]));
        let found = heard(&[
            ours,
            part,
            other,
            insert(7, &[Some("milk"), Some("12")]),
            update(7, Some(&[None, Some("3")]), &[Some("milk"), Some("4")]),
            delete(8, &[Some("5")]),
            insert(9, &[Some("99"), Some("x")]),
            truncate(&[9]),
            insert(7, &[Some("milk"), Some("12.5")]),
        ]);
        assert_eq!(found, Heard { keys: vec![3, 4, 5, 12], is_more: false });
    }

    #[test]
    fn what_is_not_named_is_said_to_be_more() {
        let ours = relation(7, &["item", "id"]);
        let is_more = |message: Vec<u8>| heard(&[ours.clone(), message]).is_more;
        assert!(is_more(truncate(&[3, 8])));
        assert!(is_more(delete(7, &[Some("milk"), None])), "the key is no part of what identifies a row");
        assert!(is_more(b"Dcut".to_vec()));
        assert!(heard(&[insert(7, &[Some("milk"), Some("1")])]).is_more, "the table was not described");
        let mut long = Gathering::of(&[7], "id");
        long.take(None);
        assert!(long.end().is_more);
        let many: Vec<Vec<u8>> =
            (0..6_000).map(|key| insert(7, &[Some("milk"), Some(&key.to_string())])).collect();
        let found = heard(&[vec![ours], many].concat());
        assert!(found.is_more && found.keys.len() == KEYS_MAX);
    }

    proptest! {
        #[test]
        fn any_messages_name_keys_within_bounds(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..40),
        ) {
            let count = messages.len();
            prop_assert!(heard(&messages).keys.len() <= 2 * count);
        }
    }
}
