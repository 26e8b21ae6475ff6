//! `[pos.log]`: the log of a POS's database tells at once that rows were written, changed or deleted, and which.

use super::{KeyIs, PosTable};
use crate::config::{Checker, ConfigError};
use serde::Deserialize;
use std::time::Duration;
use toml::Spanned;

/// A question at each poll is all it costs, so it may be asked often: twenty a second are a hundredth of a core, or less.
const POLL_EVERY_MS: u64 = 50;
const PUBLICATION: &str = "shopsmart";
/// A schema and a table, as long as databases allow.
const NAME_BYTES_MAX: usize = 130;

/// How the log of a database is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `None` with `on_hand` alone, and where keys are texts: that something has changed is all there is to know.
    pub ledger: Option<LogLedger>,
    /// PostgreSQL alone has such a thing.
    pub publication: String,
    /// While the log is followed; without it the source's own holds.
    pub poll_every: Duration,
}

/// Whose rows the log has to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLedger {
    /// The table whose rows `changes` shows, with its schema if that is needed.
    pub table: String,
    /// Its column that `changes` gives as `key`.
    pub key: String,
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogTable {
    table: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    publication: Option<Spanned<String>>,
}

impl Checker<'_> {
    pub(super) fn pos_log(&self, table: &PosTable) -> Result<Option<LogConfig>, ConfigError> {
        let Some(given) = &table.log else { return Ok(None) };
        let log = given.get_ref();
        let kind = table.kind.get_ref().as_str();
        if !matches!(kind, "mysql" | "postgres") {
            return Err(self.wrong(given, "is for the kinds `mysql` and `postgres`; nothing else has a log"));
        }
        if let Some(publication) = log.publication.as_ref().filter(|_| kind != "postgres") {
            return Err(self.wrong(publication, "is for the kind `postgres`"));
        }
        let has_texts = table.key_is.as_ref().is_some_and(|key_is| *key_is.get_ref() == KeyIs::Text);
        let ledger = match (&log.table, &log.key) {
            (None, None) if has_texts => None,
            _ if has_texts => {
                let message = "names rows by keys that are numbers; with `key_is = \"text\"` leave it empty: that something has changed is all there is to know";
                return Err(self.wrong(given, message));
            }
            (Some(of), Some(key)) => Some(LogLedger { table: self.log_name(of)?, key: self.log_name(key)? }),
            (None, None) if table.changes.is_none() => None,
            _ => {
                let message = "needs `table` and `key`: whose rows does `changes` show, and which of its columns is the `key`?";
                return Err(self.wrong(given, message));
            }
        };
        let publication = log.publication.as_ref().map(|name| self.log_name(name)).transpose()?;
        let poll = table.poll_every_ms.as_ref().map_or(POLL_EVERY_MS, |ms| *ms.get_ref());
        Ok(Some(LogConfig {
            ledger,
            publication: publication.unwrap_or_else(|| PUBLICATION.to_owned()),
            poll_every: Duration::from_millis(poll),
        }))
    }

    fn log_name(&self, given: &Spanned<String>) -> Result<String, ConfigError> {
        let name = given.get_ref();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(['\0', '"', '`']) {
            return Err(self.wrong(given, "must be a plain name of 1 to 130 bytes"));
        }
        Ok(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Config;
    use super::*;
    use std::path::Path;

    const POS: &str = "store = \"S0001\"\ndata_dir = \"data\"\n[[pos]]\nsource = \"erp\"\nkind = \"postgres\"\n\
        database = \"shop\"\nuser = \"reader\"\nsocket = \"/run/postgresql\"\n";
    const CHANGES: &str = "changes = \"SELECT 1 AS key\"\nkinds = [{ starts = \"*\", kind = \"sale\" }]\n";
    const ON_HAND: &str = "on_hand = \"SELECT 1 AS item, 2 AS quantity\"\n";

    fn log(text: &str) -> Result<(Duration, Option<LogConfig>), ConfigError> {
        let config = Config::parse(text, Path::new("/etc/agent.toml"))?;
        Ok((config.pos[0].poll_every, config.pos[0].log.clone()))
    }

    #[test]
    fn a_log_is_polled_often_and_without_it_as_ever() {
        let (plain, found) =
            log(&format!("{POS}{CHANGES}[pos.log]\ntable = \"public.ledger\"\nkey = \"id\"\n")).unwrap();
        let ledger = Some(LogLedger { table: "public.ledger".to_owned(), key: "id".to_owned() });
        let (publication, often) = ("shopsmart".to_owned(), Duration::from_millis(50));
        assert_eq!(found, Some(LogConfig { ledger, publication, poll_every: often }));
        assert_eq!(plain, Duration::from_millis(500));
        let (plain, found) = log(&format!("{POS}{ON_HAND}poll_every_ms = 100\n[pos.log]\n")).unwrap();
        let found = found.unwrap();
        assert_eq!((plain, found.poll_every, found.ledger), (Duration::from_millis(100), often * 2, None));
        assert_eq!(log(&format!("{POS}{ON_HAND}")).unwrap().1, None);
    }

    #[test]
    fn a_log_that_cannot_work_is_named_with_what_to_write() {
        let sqlite = "store = \"S0001\"\ndata_dir = \"data\"\n[[pos]]\nsource = \"erp\"\nkind = \"sqlite\"\npath = \"a.db\"\n";
        let mysql = POS.replace("postgres\"\ndatabase", "mysql\"\ndatabase");
        for (text, expected) in [
            (format!("{sqlite}{ON_HAND}[pos.log]\n"), "`mysql` and `postgres`"),
            (format!("{mysql}{ON_HAND}[pos.log]\npublication = \"x\"\n"), "is for the kind `postgres`"),
            (
                format!("{POS}{CHANGES}{ON_HAND}key_is = \"text\"\n[pos.log]\ntable = \"t\"\nkey = \"id\"\n"),
                "leave it empty",
            ),
            (format!("{POS}{CHANGES}[pos.log]\n"), "needs `table` and `key`"),
            (format!("{POS}{CHANGES}[pos.log]\ntable = \"ledger\"\n"), "needs `table` and `key`"),
            (format!("{POS}{CHANGES}[pos.log]\ntable = \"\"\nkey = \"id\"\n"), "a plain name"),
        ] {
            let said = log(&text).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
