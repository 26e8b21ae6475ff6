//! What is asked of the courier: dead letters, how webhooks stand, and what is to be sent again.

use super::books::{Books, Done, failed};
use rusqlite::{OptionalExtension, Row, params};
use sync_protocol::UnixMillis;

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: i64,
    pub endpoint: String,
    /// The id that the other side knows it by.
    pub task: String,
    /// The kind of event, or of step.
    pub kind: String,
    pub order: String,
    pub created_at: UnixMillis,
    pub died_at: UnixMillis,
    pub attempts: u32,
    pub last_error: String,
    /// JSON, as it was sent.
    pub body: String,
}

/// How an endpoint stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub name: String,
    pub host: String,
    pub disabled: bool,
    pub waiting: u64,
    pub dead: u64,
    pub last_success: Option<UnixMillis>,
    pub last_failure: Option<UnixMillis>,
}

/// From where on to send again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    Time(UnixMillis),
    Event(String),
}

const COLUMNS: &str =
    "SELECT id, endpoint, task, kind, shop_order, created_at, ended_at, attempts, last_error, body
                       FROM delivery WHERE state = 'dead'";

impl Books {
    pub(super) fn dead_letters(&mut self, after: i64, limit: usize) -> Done<Vec<DeadLetter>> {
        let act = failed("listing dead letters");
        let sql = format!("{COLUMNS} AND id > ?1 ORDER BY id LIMIT ?2");
        let mut statement = self.parts().0.prepare_cached(&sql).map_err(&act)?;
        let rows = statement.query_map(params![after, limit], letter).map_err(&act)?;
        rows.collect::<Result<_, _>>().map_err(&act)
    }

    pub(super) fn dead_letter(&mut self, id: i64) -> Done<Option<DeadLetter>> {
        let sql = format!("{COLUMNS} AND id = ?1");
        self.parts().0.query_row(&sql, [id], letter).optional().map_err(failed("reading a dead letter"))
    }

    /// Makes a dead letter a delivery again, as if it were new. `None`: there is none of that number.
    pub(super) fn retry(&mut self, id: i64, now: UnixMillis) -> Done<Option<DeadLetter>> {
        let letter = self.dead_letter(id)?;
        let sql =
            "UPDATE delivery SET state = 'waiting', attempts = 0, created_at = ?2, next_at = ?2, ended_at = 0
                   WHERE id = ?1 AND state = 'dead'";
        self.parts().0.execute(sql, params![id, now.0]).map_err(failed("retrying a dead letter"))?;
        Ok(letter)
    }

    /// `host` is filled in by who knows the settings.
    pub(super) fn standing(&mut self, name: &str) -> Done<Standing> {
        let sql = "SELECT disabled, last_success, last_failure,
                          (SELECT count(*) FROM delivery WHERE endpoint = ?1 AND state = 'waiting'),
                          (SELECT count(*) FROM delivery WHERE endpoint = ?1 AND state = 'dead')
                   FROM endpoint WHERE name = ?1";
        let standing = |row: &Row<'_>| {
            Ok(Standing {
                name: name.to_owned(),
                host: String::new(),
                disabled: row.get(0)?,
                waiting: row.get(3)?,
                dead: row.get(4)?,
                last_success: row.get::<_, Option<i64>>(1)?.map(UnixMillis),
                last_failure: row.get::<_, Option<i64>>(2)?.map(UnixMillis),
            })
        };
        self.parts().0.query_row(sql, [name], standing).map_err(failed("looking at an endpoint"))
    }

    /// Whether nothing is sent to an endpoint for a while.
    pub(super) fn is_open(&mut self, name: &str, now: UnixMillis) -> Done<bool> {
        let sql = "SELECT open_until > ?2 FROM endpoint WHERE name = ?1";
        let act = failed("looking at an endpoint");
        self.parts().0.query_row(sql, params![name, now.0], |row| row.get(0)).map_err(act)
    }

    /// Sends everything from there on again, also to an endpoint that wanted nothing more. False where there is no such event.
    pub(super) fn replay(&mut self, name: &str, from: &From) -> Done<bool> {
        let (db, outbox) = self.parts();
        let act = failed("reading the outbox");
        let before = match from {
            From::Time(time) => Some(outbox.before(*time).map_err(&act)?),
            From::Event(id) => outbox.find(id).map_err(&act)?.map(|seq| seq.saturating_sub(1)),
        };
        let Some(before) = before else { return Ok(false) };
        // Only what had been taken is sent again as such; what comes behind has not been sent at all.
        let sql = "UPDATE endpoint SET replay_upto = max(cursor, replay_upto), cursor = min(cursor, ?2), cursor_id = '',
                                       disabled = 0, failures = 0, open_until = 0 WHERE name = ?1";
        db.execute(sql, params![name, before]).map_err(failed("sending events again"))?;
        Ok(true)
    }
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.get(0)?,
        endpoint: row.get(1)?,
        task: row.get(2)?,
        kind: row.get(3)?,
        order: row.get(4)?,
        created_at: UnixMillis(row.get(5)?),
        died_at: UnixMillis(row.get(6)?),
        attempts: row.get(7)?,
        last_error: row.get(8)?,
        body: row.get(9)?,
    })
}
