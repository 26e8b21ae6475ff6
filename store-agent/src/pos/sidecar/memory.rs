//! What is remembered of the newest rows of a POS's ledger, and what the core may not have taken yet.
//!
//! **Invariant:** the agent's ledger is what is remembered here, as soon as all that waits in the outbox has been taken. What is
//! remembered and what waits are written in one step, before anything is handed over; whatever waits is handed over again, word for
//! word, until the core has it. The ledger knows it by its reference, so twice does no harm.

use super::Sidecar;
use crate::agent::{Counted, Document, ItemKey, Line, SetAside, SourceDocument};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;
use sync_protocol::record::Kind;
use sync_protocol::{Position, Quantity, SourceId, UnixMillis};

pub const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS memory (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), name TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS remembered (
        key INTEGER PRIMARY KEY, hash INTEGER NOT NULL, at INTEGER, held TEXT NOT NULL, item TEXT, thousandths INTEGER,
        documents INTEGER NOT NULL, is_there INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS text_key (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE IF NOT EXISTS horizon (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), at INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS text_memory (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1), attempt INTEGER NOT NULL, changes INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS outbox (
        place INTEGER PRIMARY KEY, reference TEXT, kind TEXT, reason TEXT, occurred_at INTEGER, lines TEXT, row TEXT NOT NULL) STRICT;";

/// What stands in the agent's ledger because of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    Nothing,
    /// On hand has changed by so many thousandths.
    Moved(ItemKey, i64),
    /// On hand was set to so many thousandths.
    Counted(ItemKey, i64),
}

/// A row as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Where the POS's key is a text, a number of ours for it.
    pub key: i64,
    pub text: Option<String>,
    /// Of all that was read of it.
    pub hash: i64,
    pub at: Option<UnixMillis>,
    pub held: Held,
    /// How many documents have been made of it.
    pub documents: u32,
    pub is_there: bool,
}

impl Remembered {
    /// The key as the POS has it.
    #[must_use]
    pub fn name(&self) -> String {
        self.text.clone().unwrap_or_else(|| self.key.to_string())
    }
}

/// One step of the memory, with what it gives the core to take.
#[derive(Debug, Default)]
pub struct Step {
    pub rows: Vec<Remembered>,
    pub documents: Vec<SourceDocument>,
    pub set_aside: Vec<SetAside>,
}

/// Rows as [`remembered`] takes them.
pub const ROWS: &str = "SELECT key, hash, at, held, item, thousandths, documents, is_there, text
     FROM remembered LEFT JOIN text_key ON number = key";

impl Sidecar {
    /// What tells this memory from one that was lost; `None` before it has begun.
    pub fn memory_name(&self) -> rusqlite::Result<Option<String>> {
        self.db.query_row("SELECT name FROM memory", [], |row| row.get(0)).optional()
    }

    /// Forgets everything and begins with these rows, of which the core has all it needs.
    pub fn begin_memory(&mut self, name: &str, rows: &[Remembered]) -> rusqlite::Result<()> {
        let step = self.db.transaction()?;
        step.execute_batch(
            "DELETE FROM memory; DELETE FROM remembered; DELETE FROM outbox; DELETE FROM text_key; DELETE FROM horizon;
             DELETE FROM text_memory",
        )?;
        step.execute("INSERT INTO memory (only_row, name) VALUES (1, ?1)", [name])?;
        for row in rows {
            remember(&step, row)?;
        }
        step.commit()
    }

    /// The rows from key `first` to key `last`, those that are gone too.
    pub fn remembered(&self, first: i64, last: i64) -> rusqlite::Result<BTreeMap<i64, Remembered>> {
        let mut statement = self.db.prepare_cached(&format!("{ROWS} WHERE key BETWEEN ?1 AND ?2"))?;
        let rows = statement.query_map([first, last], remembered)?;
        rows.map(|row| row.map(|row| (row.key, row))).collect()
    }

    /// The keys of the `most` remembered rows above `after`: the last of them, and whether there are more.
    pub fn chunk_after(&self, after: i64, most: usize) -> rusqlite::Result<Option<(i64, bool)>> {
        let sql = "SELECT key FROM remembered WHERE key > ?1 ORDER BY key LIMIT ?2";
        let mut statement = self.db.prepare_cached(sql)?;
        let keys: Vec<i64> =
            statement.query_map(params![after, most + 1], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let has_more = keys.len() > most;
        Ok(keys.into_iter().take(most).next_back().map(|last| (last, has_more)))
    }

    /// The lowest key of all that is remembered, or of the newest `most`.
    pub fn lowest_key(&self, most: Option<usize>) -> rusqlite::Result<Option<i64>> {
        let Some(most) = most else {
            return self
                .db
                .prepare_cached("SELECT min(key) FROM remembered")?
                .query_row([], |row| row.get(0));
        };
        let sql = "SELECT min(key) FROM (SELECT key FROM remembered ORDER BY key DESC LIMIT ?1)";
        self.db.prepare_cached(sql)?.query_row([most], |row| row.get(0))
    }

    /// Writes a step, and forgets the rows with the lowest keys beyond `rows_max`, if that is given.
    pub fn take_step(&mut self, of: &Step, rows_max: Option<usize>) -> rusqlite::Result<()> {
        let step = self.db.transaction()?;
        for row in &of.rows {
            remember(&step, row)?;
        }
        if let Some(rows_max) = rows_max.filter(|_| !of.rows.is_empty()) {
            let sql = "DELETE FROM remembered WHERE key <= (SELECT key FROM remembered ORDER BY key DESC LIMIT 1 OFFSET ?1)";
            step.prepare_cached(sql)?.execute([rows_max])?;
        }
        let sql = "INSERT INTO outbox (reference, kind, reason, occurred_at, lines, row) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        for SourceDocument { document, row, .. } in &of.documents {
            let lines: Vec<String> = document.lines.iter().map(line_text).collect();
            step.prepare_cached(sql)?.execute(params![
                document.reference.as_str(),
                document.kind.name(),
                document.reason,
                document.occurred_at.0,
                lines.join("\n"),
                row
            ])?;
        }
        for aside in &of.set_aside {
            step.prepare_cached("INSERT INTO outbox (reason, row) VALUES (?1, ?2)")?
                .execute([&aside.reason, &aside.row])?;
        }
        step.commit()
    }

    /// What the core may not have taken yet.
    pub fn waiting(&self, source: &SourceId) -> rusqlite::Result<(Vec<SourceDocument>, Vec<SetAside>)> {
        let (mut documents, mut set_aside) = (Vec::new(), Vec::new());
        let sql = "SELECT reference, kind, reason, occurred_at, lines, row FROM outbox ORDER BY place";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match row.get::<_, Option<String>>(0)? {
                Some(reference) => documents.push(document(source, &reference, row)?),
                None => set_aside.push(SetAside { reason: row.get(2)?, row: row.get(5)? }),
            }
        }
        Ok((documents, set_aside))
    }

    /// The core has all that waited.
    pub fn taken(&mut self) -> rusqlite::Result<()> {
        self.db.execute("DELETE FROM outbox", []).map(|_| ())
    }
}

fn remember(db: &Connection, of: &Remembered) -> rusqlite::Result<()> {
    let (held, item, thousandths) = match &of.held {
        Held::Nothing => ("nothing", None, None),
        Held::Moved(item, thousandths) => ("moved", Some(item_name(item)), Some(thousandths)),
        Held::Counted(item, thousandths) => ("counted", Some(item_name(item)), Some(thousandths)),
    };
    let sql =
        "INSERT OR REPLACE INTO remembered (key, hash, at, held, item, thousandths, documents, is_there)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let at = of.at.map(|at| at.0);
    db.prepare_cached(sql)?.execute(params![
        of.key,
        of.hash,
        at,
        held,
        item,
        thousandths,
        of.documents,
        of.is_there
    ])?;
    if let Some(text) = &of.text {
        let sql = "INSERT OR IGNORE INTO text_key (number, text) VALUES (?1, ?2)";
        db.prepare_cached(sql)?.execute(params![of.key, text])?;
    }
    Ok(())
}

pub(super) fn remembered(row: &Row<'_>) -> rusqlite::Result<Remembered> {
    let item = |row: &Row<'_>| item_of(&row.get::<_, String>(4)?).ok_or_else(|| damaged(4));
    let held = match row.get::<_, String>(3)?.as_str() {
        "moved" => Held::Moved(item(row)?, row.get(5)?),
        "counted" => Held::Counted(item(row)?, row.get(5)?),
        _ => Held::Nothing,
    };
    Ok(Remembered {
        key: row.get(0)?,
        hash: row.get(1)?,
        at: row.get::<_, Option<i64>>(2)?.map(UnixMillis),
        held,
        documents: row.get(6)?,
        is_there: row.get(7)?,
        text: row.get(8)?,
    })
}

fn document(source: &SourceId, reference: &str, row: &Row<'_>) -> rusqlite::Result<SourceDocument> {
    let kind: String = row.get(1)?;
    let kind = Kind::ALL.iter().copied().find(|of| of.name() == kind).ok_or_else(|| damaged(1))?;
    let lines: String = row.get(4)?;
    let document = Document {
        source: source.clone(),
        reference: reference.parse().map_err(|_| damaged(0))?,
        kind,
        reason: row.get(2)?,
        occurred_at: UnixMillis(row.get(3)?),
        counted: (kind == Kind::Count).then_some(Counted::Position(Position(u64::MAX))),
        cursor: None,
        lines: lines.lines().map(line_of).collect::<Option<_>>().ok_or_else(|| damaged(4))?,
        order: None,
        trace: None,
    };
    Ok(SourceDocument { document, row: row.get(5)?, is_figure: false })
}

fn damaged(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, "not as it was written".into())
}

fn line_text(line: &Line) -> String {
    format!("{} {}", line.quantity.thousandths(), item_name(&line.item))
}

fn line_of(text: &str) -> Option<Line> {
    let (thousandths, item) = text.split_once(' ')?;
    let quantity = Quantity::from_thousandths(thousandths.parse().ok()?);
    Some(Line { item: item_of(item)?, quantity })
}

/// As a text that [`item_of`] reads.
#[must_use]
pub fn item_name(item: &ItemKey) -> String {
    match item {
        ItemKey::Sku(sku) => format!("sku:{sku}"),
        ItemKey::Gtin(gtin) => format!("gtin:{gtin}"),
    }
}

fn item_of(name: &str) -> Option<ItemKey> {
    match name.split_once(':')? {
        ("sku", sku) => sku.parse().ok().map(ItemKey::Sku),
        ("gtin", gtin) => gtin.parse().ok().map(ItemKey::Gtin),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milk() -> ItemKey {
        ItemKey::Sku("milk 1: l".parse().unwrap())
    }

    fn row(key: i64) -> Remembered {
        Remembered {
            key,
            text: None,
            hash: -key,
            at: Some(UnixMillis(key)),
            held: Held::Moved(milk(), -key),
            documents: 1,
            is_there: true,
        }
    }

    fn sidecar() -> (tempfile::TempDir, Sidecar) {
        let folder = tempfile::tempdir().unwrap();
        let sidecar = Sidecar::open(&folder.path().join("pos-x.db")).unwrap();
        (folder, sidecar)
    }

    #[test]
    fn what_was_not_taken_waits_word_for_word() {
        let (folder, mut sidecar) = sidecar();
        let source: SourceId = "till-db".parse().unwrap();
        let document = Document {
            source: source.clone(),
            reference: "7/r1-ab".parse().unwrap(),
            kind: Kind::Adjustment,
            reason: Some("row 7".to_owned()),
            occurred_at: UnixMillis(5),
            counted: None,
            cursor: None,
            lines: vec![
                Line { item: milk(), quantity: Quantity::from_thousandths(-1_500) },
                Line {
                    item: ItemKey::Gtin("012345678905".parse().unwrap()),
                    quantity: Quantity::from_thousandths(2),
                },
            ],
            order: None,
            trace: None,
        };
        let documents = vec![SourceDocument { document, row: "{}".to_owned(), is_figure: false }];
        let set_aside = vec![SetAside { reason: "why".to_owned(), row: "{\"key\":8}".to_owned() }];
        let step = Step { rows: vec![row(7)], documents, set_aside };
        sidecar.take_step(&step, Some(10)).unwrap();
        drop(sidecar);
        let mut sidecar = Sidecar::open(&folder.path().join("pos-x.db")).unwrap();
        assert_eq!(sidecar.waiting(&source).unwrap(), (step.documents, step.set_aside));
        assert_eq!(sidecar.remembered(1, 9).unwrap()[&7], row(7));
        sidecar.taken().unwrap();
        assert_eq!(sidecar.waiting(&source).unwrap(), (Vec::new(), Vec::new()));
    }

    #[test]
    fn only_the_newest_rows_are_remembered() {
        let (_folder, mut sidecar) = sidecar();
        sidecar.begin_memory("ab", &[row(1), row(2)]).unwrap();
        let rows = (3..=20).map(row).collect();
        sidecar.take_step(&Step { rows, ..Step::default() }, Some(5)).unwrap();
        assert_eq!(sidecar.lowest_key(None).unwrap(), Some(16));
        assert_eq!(sidecar.lowest_key(Some(2)).unwrap(), Some(19));
        assert_eq!(sidecar.chunk_after(0, 3).unwrap(), Some((18, true)));
        assert_eq!(sidecar.chunk_after(17, 3).unwrap(), Some((20, false)));
        assert_eq!(sidecar.chunk_after(20, 3).unwrap(), None);
    }
}
