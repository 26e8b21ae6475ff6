//! Notes on disk: what this store and the hub keep for each other under a topic and a key.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use sync_protocol::Seq;
use sync_protocol::record::{Note, Topic};

/// Who writes a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    Store,
    Hub,
}

/// # Errors
/// SQLite's.
pub fn each_note(db: &Connection, mut each: impl FnMut(Writer, Note, Seq)) -> Result<()> {
    let mut statement = db.prepare("SELECT topic, key, text, from_hub, change_seq FROM note")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let writer = if row.get(3)? { Writer::Hub } else { Writer::Store };
        each(writer, note_of(row)?, Seq(row.get::<_, i64>(4)?.cast_unsigned()));
    }
    Ok(())
}

/// The texts of a topic, by key; empty ones count as none.
///
/// # Errors
/// SQLite's.
pub fn of_topic(db: &Connection, writer: Writer, topic: Topic) -> Result<Vec<String>> {
    let sql = "SELECT text FROM note WHERE from_hub = ?1 AND topic = ?2 AND text <> '' ORDER BY key";
    let mut statement = db.prepare_cached(sql)?;
    statement.query_map(params![writer == Writer::Hub, topic.0], |row| row.get(0))?.collect()
}

/// The text, and its place in the sequence of changes.
///
/// # Errors
/// SQLite's.
pub fn text(db: &Connection, writer: Writer, topic: Topic, key: u32) -> Result<Option<(String, Seq)>> {
    let sql = "SELECT text, change_seq FROM note WHERE from_hub = ?1 AND topic = ?2 AND key = ?3";
    db.prepare_cached(sql)?
        .query_row(params![writer == Writer::Hub, topic.0, key], |row| {
            Ok((row.get(0)?, Seq(row.get::<_, i64>(1)?.cast_unsigned())))
        })
        .optional()
}

/// # Errors
/// SQLite's.
pub fn save(db: &Connection, writer: Writer, note: &Note, seq: Seq) -> Result<()> {
    let sql =
        "INSERT OR REPLACE INTO note (from_hub, topic, key, text, change_seq) VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?
        .execute(params![writer == Writer::Hub, note.topic.0, note.key, note.text, seq.0.cast_signed()])
        .map(drop)
}

/// # Errors
/// SQLite's.
pub fn forget(db: &Connection, writer: Writer) -> Result<()> {
    db.execute("DELETE FROM note WHERE from_hub = ?1", [writer == Writer::Hub]).map(drop)
}

/// The store's notes whose place is above `mark`.
///
/// # Errors
/// SQLite's.
pub fn changed_after(db: &Connection, mark: Seq) -> Result<Vec<(Seq, Topic, u32)>> {
    let sql = "SELECT change_seq, topic, key FROM note WHERE from_hub = 0 AND change_seq > ?1";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([mark.0.cast_signed()], |row| {
        Ok((Seq(row.get::<_, i64>(0)?.cast_unsigned()), Topic(row.get(1)?), row.get(2)?))
    })?;
    rows.collect()
}

fn note_of(row: &Row<'_>) -> Result<Note> {
    Ok(Note { topic: Topic(row.get(0)?), key: row.get(1)?, text: row.get(2)? })
}
