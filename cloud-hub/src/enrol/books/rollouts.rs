//! Which release each store is wished, and what stores have said of theirs. The rules are in [`rollout`](crate::enrol::rollout).

use super::asking::{Given, is_holder};
use super::{Books, Done, failed, store_in};
use crate::enrol::rollout::{Pin, Rollout, Seen, Stage, StoreFacts, wish};
use crate::standing::Serial;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use sync_protocol::releases::{Keeper, Outcome, ReleaseRequest, Source};
use sync_protocol::{StoreId, UnixMillis};

/// What has failed until now counts no more.
const FORGIVE: &str =
    "UPDATE release_seen SET is_forgiven = 1 WHERE outcome ->> 'end' IN ('failed', 'inconsistent')";

/// Everything there is about rollouts, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Rollouts {
    /// The names of the rings in their order.
    pub rings: Vec<String>,
    /// The one that is, or was last.
    pub rollout: Option<Rollout>,
    /// The stores that have asked, are in a ring or pinned, by their ids.
    pub stores: BTreeMap<StoreId, StoreFacts>,
}

/// A release that head office wants stores to have.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub version: String,
    pub sequence: u64,
    pub source: Source,
    /// So many failures halt it. At least 1.
    pub halt_after: u32,
    pub soak_ms: i64,
}

/// What head office asks of a rollout that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Pause,
    /// After a halt: in spite of what has failed until then.
    Resume,
    Stop,
    /// Opens the next ring at once.
    Next,
}

/// Why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSo {
    #[error("there is no rollout; `cloud-hub rollout start` begins one")]
    NoRollout,
    #[error("the rollout is {0} already")]
    Already(&'static str),
    #[error("the rollout was stopped, which is for ever; `cloud-hub rollout start` begins another one")]
    Stopped,
    #[error("the rollout is {0}; `cloud-hub rollout resume` lets it go on")]
    NotRunning(&'static str),
    #[error("all rings are open")]
    AllOpen,
    #[error("rings stay as they are while a rollout goes through them; `cloud-hub rollout stop` ends it")]
    UnderWay,
    #[error("ring `{0}` is named twice")]
    RingTwice(String),
    #[error("store {0} is in two rings")]
    StoreTwice(StoreId),
    #[error("nothing has failed in store {0}")]
    NothingFailed(StoreId),
    #[error("store {0} is not pinned")]
    NotPinned(StoreId),
}

impl Rollouts {
    /// A store, also one of which the books know nothing.
    #[must_use]
    pub fn facts(&self, store: &StoreId) -> StoreFacts {
        let known = self.stores.get(store).cloned();
        known.unwrap_or_else(|| StoreFacts::new(store.clone(), count(self.rings.len())))
    }

    /// What a ring is called; the one behind all that are named has no name of its own.
    #[must_use]
    pub fn ring_name(&self, ring: u32) -> &str {
        self.rings.get(ring as usize).map_or("everyone else", String::as_str)
    }
}

impl Books {
    /// Notes what a store says of its programs, and answers with what it is wished.
    ///
    /// # Errors
    /// The books fail; then nothing has happened.
    pub fn wish_for(
        &mut self,
        (store, shown): (&StoreId, &Serial),
        said: &ReleaseRequest,
        now: UnixMillis,
    ) -> Done<Given> {
        self.decide("noting a store's release", |step| {
            is_holder(step, store, shown)?;
            note(step, store, said, now)?;
            let mut all = read(step)?;
            if let Some(rollout) = &mut all.rollout {
                let before = rollout.clone();
                let shut = shut_out(step)?;
                let stores = all.stores.values().filter(|facts| !shut.contains(facts.store.as_str()));
                let stores: Vec<StoreFacts> = stores.cloned().collect();
                rollout.step(&stores, count(all.rings.len()));
                if *rollout != before {
                    write(step, rollout)?;
                    tell(rollout, &before);
                }
            }
            Ok(Given::Release(wish(all.rollout.as_ref(), &all.facts(store))))
        })
    }

    /// # Errors
    /// The books can't be read.
    pub fn rollouts(&self) -> Done<Rollouts> {
        let act = failed("reading the rollouts");
        // One moment for all tables.
        let step = self.db.unchecked_transaction().map_err(&act)?;
        read(&step).map_err(&act)
    }

    /// Puts these rings in the place of those that are there.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn set_rings(&mut self, rings: &[(String, Vec<StoreId>)]) -> Done<Result<(), NotSo>> {
        self.order("writing the rings", |step| {
            if read(step)?.rollout.is_some_and(|rollout| rollout.stage != Stage::Stopped) {
                return Ok(Err(NotSo::UnderWay));
            }
            step.execute_batch("DELETE FROM ring_store; DELETE FROM ring;")?;
            for (position, (name, stores)) in rings.iter().enumerate() {
                let sql = "INSERT INTO ring (position, name) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
                if step.execute(sql, params![count(position), name])? == 0 {
                    return Ok(Err(NotSo::RingTwice(name.clone())));
                }
                for store in stores {
                    let sql =
                        "INSERT INTO ring_store (store, ring) VALUES (?1, ?2) ON CONFLICT (store) DO NOTHING";
                    if step.execute(sql, params![store.as_str(), count(position)])? == 0 {
                        return Ok(Err(NotSo::StoreTwice(store.clone())));
                    }
                }
            }
            Ok(Ok(()))
        })
    }

    /// Begins a rollout in the place of any that there is.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn start_rollout(&mut self, wanted: Wanted, now: UnixMillis) -> Done<()> {
        let act = failed("beginning a rollout");
        let step = self.step()?;
        let Wanted { version, sequence, source, halt_after, soak_ms } = wanted;
        let number = next_number(&step).map_err(&act)?;
        let (stage, why, ring, began_at) = (Stage::Running, String::new(), 0, now);
        let rollout =
            Rollout { number, version, sequence, source, stage, why, ring, halt_after, soak_ms, began_at };
        write(&step, &rollout).map_err(&act)?;
        step.commit().map_err(&act)
    }

    /// # Errors
    /// The books can't be written.
    pub fn order_rollout(&mut self, order: Order) -> Done<Result<Rollout, NotSo>> {
        self.order("changing the rollout", |step| {
            let all = read(step)?;
            let Some(mut rollout) = all.rollout else { return Ok(Err(NotSo::NoRollout)) };
            let stage = rollout.stage;
            let refused = match (order, stage) {
                (_, Stage::Stopped) => Some(NotSo::Stopped),
                (Order::Pause, Stage::Paused | Stage::Halted) | (Order::Resume, Stage::Running) => {
                    Some(NotSo::Already(stage.name()))
                }
                (Order::Next, Stage::Paused | Stage::Halted) => Some(NotSo::NotRunning(stage.name())),
                (Order::Next, Stage::Running) if rollout.ring >= count(all.rings.len()) => {
                    Some(NotSo::AllOpen)
                }
                _ => None,
            };
            if let Some(refused) = refused {
                return Ok(Err(refused));
            }
            match order {
                Order::Pause => rollout.stage = Stage::Paused,
                Order::Stop => rollout.stage = Stage::Stopped,
                Order::Next => rollout.ring += 1,
                Order::Resume => {
                    rollout.stage = Stage::Running;
                    rollout.why.clear();
                    // What failed while it was paused, nobody has seen yet.
                    if stage == Stage::Halted {
                        step.execute(FORGIVE, [])?;
                    }
                }
            }
            write(step, &rollout)?;
            Ok(Ok(rollout))
        })
    }

    /// Takes a store out of rollouts: it stays as it is, or gets this release.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn pin(&mut self, store: &StoreId, release: Option<(u64, &Source)>) -> Done<()> {
        let act = failed("pinning a store");
        let step = self.step()?;
        let number = release.map(|_| next_number(&step)).transpose().map_err(&act)?;
        let (sequence, source) = release.unzip();
        let sql =
            "INSERT OR REPLACE INTO release_pin (store, number, sequence, source) VALUES (?1, ?2, ?3, ?4)";
        let values =
            params![store.as_str(), number.map(signed), sequence.map(signed), source.map(Source::as_str)];
        step.execute(sql, values).map_err(&act)?;
        step.commit().map_err(&act)
    }

    /// # Errors
    /// The books can't be written.
    pub fn unpin(&mut self, store: &StoreId) -> Done<Result<(), NotSo>> {
        self.order("unpinning a store", |step| {
            let found = step.execute("DELETE FROM release_pin WHERE store = ?1", [store.as_str()])?;
            Ok(if found == 0 { Err(NotSo::NotPinned(store.clone())) } else { Ok(()) })
        })
    }

    /// Has a store try again what has failed there.
    ///
    /// # Errors
    /// The books can't be written.
    pub fn retry_release(&mut self, store: &StoreId) -> Done<Result<(), NotSo>> {
        self.order("having a store try again", |step| {
            let sql = "SELECT count(*) FROM release_seen WHERE store = ?1 AND outcome IS NOT NULL";
            let seen: u32 = step.query_row(sql, [store.as_str()], |row| row.get(0))?;
            if seen == 0 {
                return Ok(Err(NotSo::NothingFailed(store.clone())));
            }
            let number = next_number(step)?;
            let sql = "INSERT OR REPLACE INTO release_retry (store, number) VALUES (?1, ?2)";
            step.execute(sql, params![store.as_str(), signed(number)])?;
            Ok(Ok(()))
        })
    }

    /// What is refused has changed nothing.
    fn order<T>(
        &mut self,
        act: &'static str,
        order: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T, NotSo>>,
    ) -> Done<Result<T, NotSo>> {
        let step = self.step()?;
        let done = order(&step).map_err(failed(act))?;
        if done.is_ok() {
            step.commit().map_err(failed(act))?;
        }
        Ok(done)
    }
}

fn tell(rollout: &Rollout, before: &Rollout) {
    let Rollout { version, sequence, ring, why, .. } = rollout;
    if rollout.stage == Stage::Halted {
        tracing::error!(version, sequence, why, "the rollout has halted until head office resumes it");
    }
    if ring != &before.ring {
        tracing::info!(version, sequence, ring, "the next ring of the rollout is open");
    }
}

fn note(
    step: &Transaction<'_>,
    store: &StoreId,
    said: &ReleaseRequest,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let outcome = said.outcome.as_ref().and_then(|outcome| serde_json::to_string(outcome).ok());
    let sql = "INSERT INTO release_seen (store, asked_at, keeper, agent, sequence, since, is_well, outcome, is_forgiven)
               VALUES (?1, ?2, ?3, ?4, ?5, ?2, ?6, ?7, 0)
               ON CONFLICT (store) DO UPDATE SET
                   asked_at = ?2, keeper = ?3, agent = ?4, sequence = ?5, is_well = ?6, outcome = ?7,
                   since = iif(agent = ?4 AND sequence = ?5 AND is_well = ?6, since, ?2),
                   is_forgiven = iif(outcome ->> 'number' IS ?7 ->> 'number' AND outcome ->> 'sequence' IS ?7 ->> 'sequence',
                                     is_forgiven, 0)";
    let keeper = match said.keeper {
        Keeper::Storectl => "storectl",
        Keeper::Package => "package",
    };
    let (agent, sequence) = (said.agent.as_str(), signed(said.sequence));
    let values = params![store.as_str(), now.0, keeper, agent, sequence, said.is_well, outcome];
    step.prepare_cached(sql)?.execute(values).map(drop)
}

/// Who is asked for nothing, and holds nobody up.
fn shut_out(db: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let sql = "SELECT store FROM identity WHERE revoked_at IS NOT NULL OR quarantined_at IS NOT NULL";
    db.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn read(db: &Connection) -> rusqlite::Result<Rollouts> {
    let mut statement = db.prepare_cached("SELECT name FROM ring ORDER BY position")?;
    let rings = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let mut statement = db.prepare_cached(
        "SELECT number, version, sequence, source, stage, why, ring, halt_after, soak_ms, began_at FROM rollout",
    )?;
    let rollout = statement.query_row([], rollout_in).optional()?;
    let sql = "WITH named AS (SELECT store FROM ring_store UNION SELECT store FROM release_pin UNION SELECT store FROM release_seen)
               SELECT store, ring_store.ring,
                      release_pin.store IS NOT NULL, release_pin.number, release_pin.sequence, release_pin.source,
                      release_retry.number,
                      asked_at, keeper, agent, release_seen.sequence, since, is_well, outcome, is_forgiven
               FROM named LEFT JOIN ring_store USING (store) LEFT JOIN release_pin USING (store)
                          LEFT JOIN release_retry USING (store) LEFT JOIN release_seen USING (store)";
    let mut statement = db.prepare_cached(sql)?;
    let last = count(rings.len());
    let stores = statement.query_map([], |row| facts_in(row, last))?;
    let stores = stores.map(|facts| facts.map(|facts| (facts.store.clone(), facts)));
    let stores = stores.collect::<rusqlite::Result<_>>()?;
    Ok(Rollouts { rings, rollout, stores })
}

fn rollout_in(row: &Row<'_>) -> rusqlite::Result<Rollout> {
    let stage = row.get_ref(4)?.as_str()?;
    Ok(Rollout {
        number: unsigned(row.get(0)?),
        version: row.get(1)?,
        sequence: unsigned(row.get(2)?),
        source: source_in(row, 3)?,
        // The table holds no others.
        stage: Stage::ALL.into_iter().find(|known| known.name() == stage).unwrap_or(Stage::Stopped),
        why: row.get(5)?,
        ring: row.get(6)?,
        halt_after: row.get(7)?,
        soak_ms: row.get(8)?,
        began_at: UnixMillis(row.get(9)?),
    })
}

fn facts_in(row: &Row<'_>, last: u32) -> rusqlite::Result<StoreFacts> {
    let pin = match (row.get(2)?, row.get::<_, Option<i64>>(3)?) {
        (false, _) => None,
        (true, None) => Some(Pin::Stays),
        (true, Some(number)) => Some(Pin::Gets {
            number: unsigned(number),
            sequence: unsigned(row.get(4)?),
            source: source_in(row, 5)?,
        }),
    };
    let seen = match row.get::<_, Option<i64>>(7)? {
        None => None,
        Some(asked_at) => Some(Seen {
            asked_at: UnixMillis(asked_at),
            keeper: if row.get_ref(8)?.as_str()? == "package" { Keeper::Package } else { Keeper::Storectl },
            agent: row.get(9)?,
            sequence: unsigned(row.get(10)?),
            since: UnixMillis(row.get(11)?),
            is_well: row.get(12)?,
            outcome: row.get::<_, Option<String>>(13)?.and_then(|text| outcome_in(&text)),
            is_forgiven: row.get(14)?,
        }),
    };
    Ok(StoreFacts {
        store: store_in(row, 0)?,
        ring: row.get::<_, Option<u32>>(1)?.unwrap_or(last),
        pin,
        retry: row.get::<_, Option<i64>>(6)?.map(unsigned),
        seen,
    })
}

fn outcome_in(text: &str) -> Option<Outcome> {
    serde_json::from_str(text).ok()
}

fn source_in(row: &Row<'_>, at: usize) -> rusqlite::Result<Source> {
    row.get::<_, String>(at)?.try_into().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn write(step: &Transaction<'_>, rollout: &Rollout) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO rollout
                   (id, number, version, sequence, source, stage, why, ring, halt_after, soak_ms, began_at)
               VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let values = params![
        signed(rollout.number),
        rollout.version,
        signed(rollout.sequence),
        rollout.source.as_str(),
        rollout.stage.name(),
        rollout.why,
        rollout.ring,
        rollout.halt_after,
        rollout.soak_ms,
        rollout.began_at.0
    ];
    step.execute(sql, values).map(drop)
}

fn next_number(step: &Transaction<'_>) -> rusqlite::Result<u64> {
    // Also after the books were restored: stores remember what has failed by its number.
    let sql = "UPDATE wish_number SET last = max(last + 1, unixepoch()) RETURNING last";
    step.query_row(sql, [], |row| row.get(0)).map(unsigned)
}

/// SQLite's integers have a sign; no number of ours comes near the end of them, and one that a store makes up is cut there.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
