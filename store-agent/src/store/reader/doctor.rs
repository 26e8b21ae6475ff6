//! What is asked when something is wrong: who has reported and when, and what the hub sent that could not be taken.

use super::{Reader, ledger_end};
use crate::store::ledger;
use std::collections::HashMap;
use sync_protocol::UnixMillis;

const SOURCES: &str = include_str!("../queries/sources.sql");
/// So far back it is looked for a source's last report.
const LOOKED_AT: u64 = 200_000;

/// A source that has reported to this store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSeen {
    pub name: String,
    /// `None`: not within the newest stretch of the ledger.
    pub last_report: Option<UnixMillis>,
    /// Whether it ever has.
    pub has_reported: bool,
    /// How many documents it has there.
    pub documents: u64,
    /// How far it has been read, where it is one that is read.
    pub cursor: Option<String>,
}

/// A record of the hub that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub id: i64,
    pub at: UnixMillis,
    pub reason: String,
    /// It may be taken if it is tried again.
    pub can_be_tried: bool,
}

impl Reader {
    /// Who has reported to this store, by name.
    pub fn sources(&self) -> rusqlite::Result<Vec<SourceSeen>> {
        self.ask(|db| {
            let snapshot = db.unchecked_transaction()?;
            let end = ledger_end(&snapshot)?;
            let from = end.0.saturating_sub(LOOKED_AT).cast_signed();
            let mut query = snapshot.prepare_cached(SOURCES)?;
            let rows = query.query_map([from], |row| {
                Ok((row.get::<_, i64>(0)?, (UnixMillis(row.get(1)?), row.get::<_, u64>(2)?)))
            })?;
            let seen = rows.collect::<rusqlite::Result<HashMap<i64, (UnixMillis, u64)>>>()?;
            let cursors: HashMap<i64, Vec<u8>> =
                ledger::cursors(&snapshot)?.into_iter().map(|(source, value, _)| (source, value)).collect();
            let mut sources: Vec<SourceSeen> = ledger::sources(&snapshot)?
                .into_iter()
                .map(|(source, name)| {
                    let newest = seen.get(&source);
                    Ok(SourceSeen {
                        name,
                        last_report: newest.map(|(at, _)| *at),
                        has_reported: newest.is_some() || has_reported(&snapshot, source)?,
                        documents: newest.map_or(0, |(_, documents)| *documents),
                        cursor: cursors.get(&source).map(|value| String::from_utf8_lossy(value).into_owned()),
                    })
                })
                .collect::<rusqlite::Result<_>>()?;
            sources.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(sources)
        })
    }

    /// The newest first.
    pub fn quarantine(&self, limit: u32) -> rusqlite::Result<Vec<Quarantined>> {
        self.ask(|db| {
            let rows = ledger::quarantine(db, limit)?;
            let shown = rows.into_iter().map(|row| {
                let can_be_tried = !matches!(row.what.as_str(), "" | "unreadable");
                Quarantined { id: row.id, at: row.at, reason: row.reason, can_be_tried }
            });
            Ok(shown.collect())
        })
    }
}

fn has_reported(db: &rusqlite::Connection, source: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM document WHERE source = ?1)";
    db.prepare_cached(sql)?.query_row([source], |row| row.get(0))
}
