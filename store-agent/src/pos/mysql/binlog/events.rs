//! What the events of the log mean to us: that something was committed, which rows of the ledger it touched, or that it is not said which.
//!
//! An event is looked at by its bytes, since most of them only have to be recognised, and MariaDB has some that no library knows.
//! Whatever is not understood counts as a change of anything.

use super::rows::{Bytes, KeyColumn, Layout};
use std::collections::{HashMap, HashSet};

// Events by their number. Up to 42 they are MySQL's, from 160 on MariaDB's.
const QUERY: u8 = 2;
const TABLE_MAP: u8 = 19;
/// Of a statement that ended without rows.
const NO_TABLE: u64 = 0xff_ffff;
/// Tables that one statement changes, and then some.
const TABLES_MAX: usize = 256;
/// The library remembers every number that a table has gone by since the log was opened; a new one begins with none.
const NUMBERS_MAX: usize = 10_000;

/// What is listened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// A change in any table of these is worth a look.
    pub databases: Vec<String>,
    pub ledger: Option<WatchedLedger>,
}

/// The table whose rows are to be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedLedger {
    pub database: String,
    pub table: String,
    pub key: KeyColumn,
}

/// What an event said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Nothing,
    /// Something beside the ledger was changed.
    Change,
    /// These rows of the ledger were written, changed or deleted.
    Rows(Vec<i64>),
    /// Anything may have been changed.
    Anything,
    /// So too, and what is known of the ledger's columns may not hold any more.
    Anew,
}

/// A table that the rows which come next may be of.
#[derive(Debug)]
enum Table {
    Ledger(Option<Layout>),
    Ours,
    Foreign,
}

/// Reads event after event.
#[derive(Debug)]
pub struct Listener {
    watched: Watched,
    tables: HashMap<u64, Table>,
    numbers: HashSet<u64>,
}

impl Listener {
    pub fn new(watched: Watched) -> Listener {
        Listener { watched, tables: HashMap::new(), numbers: HashSet::new() }
    }

    /// `data`: the event without its head and checksum.
    pub fn hear(&mut self, event: u8, data: &[u8]) -> Said {
        match event {
            QUERY => self.query(Bytes(data)).unwrap_or(Said::Anew),
            TABLE_MAP => self.table_map(Bytes(data)).unwrap_or(Said::Anything),
            // Written, changed, deleted; the first three as MariaDB has them, the others as MySQL does.
            23 | 25 => self.rows(Bytes(data), false, false).unwrap_or(Said::Anything),
            24 => self.rows(Bytes(data), true, false).unwrap_or(Said::Anything),
            30 | 32 => self.rows(Bytes(data), false, true).unwrap_or(Said::Anything),
            31 => self.rows(Bytes(data), true, true).unwrap_or(Said::Anything),
            // Ends of files and of transactions, numbers of transactions, heartbeats, what describes the statement that follows.
            3..=5 | 13..=16 | 27..=29 | 33..=38 | 41 | 42 | 160..=164 => Said::Nothing,
            // A statement, compressed by MariaDB.
            165 => Said::Anew,
            // Rows that are compressed, parts of documents, files that were loaded, incidents, and what is not known yet.
            _ => Said::Anything,
        }
    }

    fn table_map(&mut self, mut data: Bytes) -> Option<Said> {
        let number = data.number(6)?;
        data.take(2)?;
        let database = name(&mut data)?;
        let table = name(&mut data)?;
        if self.tables.len() >= TABLES_MAX {
            self.tables.clear();
        }
        let is_ledger =
            |of: &WatchedLedger| of.database.as_bytes() == database && of.table.as_bytes() == table;
        let is_ours = self.watched.databases.iter().any(|ours| ours.as_bytes() == database);
        let known = match &self.watched.ledger {
            Some(ledger) if is_ledger(ledger) => Table::Ledger(Layout::read(data)),
            _ if is_ours => Table::Ours,
            _ => Table::Foreign,
        };
        self.tables.insert(number, known);
        self.numbers.insert(number);
        Some(if self.numbers.len() > NUMBERS_MAX { Said::Anew } else { Said::Nothing })
    }

    fn rows(&self, mut data: Bytes, is_update: bool, has_extra: bool) -> Option<Said> {
        let number = data.number(6)?;
        data.take(2)?;
        if has_extra {
            let extra = usize::try_from(data.number(2)?).ok()?;
            data.take(extra.checked_sub(2)?)?;
        }
        Some(match (self.tables.get(&number), &self.watched.ledger) {
            _ if number == NO_TABLE => Said::Nothing,
            (Some(Table::Foreign), _) => Said::Nothing,
            (Some(Table::Ours), _) => Said::Change,
            (Some(Table::Ledger(Some(layout))), Some(ledger)) => {
                Said::Rows(layout.keys(data, is_update, &ledger.key)?)
            }
            _ => Said::Anything,
        })
    }

    /// A statement as it was written: what changes tables themselves, and rows where a session logs its statements.
    fn query(&self, mut data: Bytes) -> Option<Said> {
        data.take(8)?;
        let database = usize::from(data.byte()?);
        data.take(2)?;
        let status = usize::try_from(data.number(2)?).ok()?;
        data.take(status)?;
        data.take(database + 1)?;
        let text = String::from_utf8_lossy(data.0).to_ascii_lowercase();
        let text = text.trim_start();
        if is_quiet(text) {
            return Some(Said::Nothing);
        }
        let of_rows = ["insert ", "update ", "delete ", "replace ", "truncate "];
        let is_named = self.watched.ledger.as_ref().is_some_and(|ledger| {
            text.contains(&ledger.table.to_ascii_lowercase())
                && !of_rows.iter().any(|word| text.starts_with(word))
        });
        Some(if is_named { Said::Anew } else { Said::Anything })
    }
}

/// The edges of a transaction, whose rows come as rows; and tables that only their own session sees.
fn is_quiet(text: &str) -> bool {
    let edges = [
        "begin",
        "commit",
        "rollback",
        "savepoint ",
        "release savepoint ",
        "start transaction",
        "xa start",
        "xa end",
    ];
    let is_edge = edges.iter().any(|edge| text.starts_with(edge));
    let temporary = ["create temporary table", "drop temporary table", "drop /*!40005 temporary */ table"];
    is_edge || temporary.iter().any(|word| text.starts_with(word))
}

/// A name behind its length and before a zero.
fn name<'a>(data: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let bytes = usize::from(data.byte()?);
    let name = data.take(bytes)?;
    data.take(1)?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WRITTEN: u8 = 23;

    fn listener() -> Listener {
        let key = KeyColumn::of(0, "int", false).unwrap();
        let ledger = WatchedLedger { database: "shop".to_owned(), table: "ledger".to_owned(), key };
        Listener::new(Watched { databases: vec!["shop".to_owned()], ledger: Some(ledger) })
    }

    fn table_map(number: u8, database: &str, table: &str) -> Vec<u8> {
        let mut map = vec![number, 0, 0, 0, 0, 0, 1, 0];
        for name in [database, table] {
            map.push(u8::try_from(name.len()).unwrap());
            map.extend(name.bytes());
            map.push(0);
        }
        map.extend([1, 3, 0, 0]);
        map
    }

    fn rows(number: u8, keys: &[i32]) -> Vec<u8> {
        let mut rows = vec![number, 0, 0, 0, 0, 0, 1, 0, 1, 1];
        for key in keys {
            rows.push(0);
            rows.extend(key.to_le_bytes());
        }
        rows
    }

    fn query(text: &str) -> Vec<u8> {
        let mut query = vec![0; 8];
        query.extend([4, 0, 0, 2, 0, 9, 9]);
        query.extend(b"shop\0");
        query.extend(text.bytes());
        query
    }

    #[test]
    fn rows_are_named_of_the_ledger_alone() {
        let mut listener = listener();
        for (number, database, table) in [(1, "shop", "ledger"), (2, "shop", "items"), (3, "other", "ledger")]
        {
            assert_eq!(listener.hear(TABLE_MAP, &table_map(number, database, table)), Said::Nothing);
        }
        assert_eq!(listener.hear(WRITTEN, &rows(1, &[7, 8])), Said::Rows(vec![7, 8]));
        assert_eq!(listener.hear(WRITTEN, &rows(2, &[7])), Said::Change);
        assert_eq!(listener.hear(WRITTEN, &rows(3, &[7])), Said::Nothing);
        assert_eq!(listener.hear(WRITTEN, &rows(4, &[7])), Said::Anything, "of a table nobody has named");
    }

    #[test]
    fn a_statement_is_a_change_of_anything_and_one_that_makes_the_ledger_otherwise_begins_anew() {
        let mut listener = listener();
        for (text, expected) in [
            ("BEGIN", Said::Nothing),
            ("COMMIT", Said::Nothing),
            ("DROP TEMPORARY TABLE IF EXISTS `shop`.`ledger_temp`", Said::Nothing),
            ("INSERT INTO Ledger VALUES (1)", Said::Anything),
            ("TRUNCATE ledger", Said::Anything),
            ("ALTER TABLE items ADD x INT", Said::Anything),
            ("XA COMMIT 'a'", Said::Anything),
            ("ALTER TABLE Ledger ADD x INT FIRST", Said::Anew),
            ("/* pos */ RENAME TABLE a TO ledger", Said::Anew),
        ] {
            assert_eq!(listener.hear(QUERY, &query(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_log_that_names_too_many_tables_is_begun_anew() {
        let mut listener = listener();
        let map = |number: usize| {
            let mut map = table_map(0, "other", "t");
            map[..2].copy_from_slice(&u16::try_from(number).unwrap().to_le_bytes());
            map
        };
        let said = (0..=NUMBERS_MAX).map(|number| listener.hear(TABLE_MAP, &map(number)));
        let said: Vec<Said> = said.collect();
        assert_eq!(said.iter().position(|said| *said == Said::Anew), Some(NUMBERS_MAX));
        assert!(listener.tables.len() <= TABLES_MAX);
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_sends_breaks_it(
            events in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..64)), 0..16),
        ) {
            let mut listener = listener();
            listener.hear(TABLE_MAP, &table_map(0, "shop", "ledger"));
            for (event, data) in events {
                listener.hear(event, &data);
            }
        }
    }
}
