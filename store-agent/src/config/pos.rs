//! `[[pos]]`: a POS that is read, what kind it is, and how its columns become movements. What only one kind needs is checked in a file of its own.
//!
//! The vendor's tables are named in SQL, as a SELECT with fixed column names; what its words and figures mean is said by rules.

mod files;
mod log;
pub mod mysql;
pub mod postgres;
mod sqlite;

pub use files::{
    After, Column, Columns, CsvConfig, Encoding, FileFormat, FilesConfig, Holds, ItemFrom, PoslogConfig,
    VoidLines, WeighedBy,
};

pub use log::{LogConfig, LogLedger};

use super::{Amount, Checker, ConfigError};
use files::FilesTable;
use jiff::tz::TimeZone;
use log::LogTable;
use postgres::Postgres;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use sync_protocol::SourceId;
use sync_protocol::record::Kind;
use toml::Spanned;

const POLL_EVERY_MS: u64 = 500;
const POLL_EVERY_MS_RANGE: std::ops::RangeInclusive<u64> = 50..=3_600_000;
const GAP_PATIENCE_S: u64 = 600;
const RECONCILE_EVERY_S: u64 = 3_600;
/// Decimals of a unit factor; with nine digits before the point its product with a quantity fits 128 bits.
const UNITS_DECIMALS_MAX: usize = 6;
const UNITS_DIGITS_MAX: usize = 6;
const SOURCES_MAX: usize = 64;
/// Some days of a busy store.
const REMEMBER_ROWS: usize = 20_000;
const REMEMBER_ROWS_MAX: usize = 1_000_000;

/// One POS that is read.
#[derive(Debug, Clone)]
pub struct PosConfig {
    pub source: SourceId,
    pub kind: PosKind,
    pub poll_every: Duration,
    /// `None`: the database's log is not followed.
    pub log: Option<LogConfig>,
    pub gap_patience: Duration,
    /// How many of the newest rows are held against what was recorded of them.
    pub remember_rows: usize,
    /// `None`: never.
    pub reconcile_every: Option<Duration>,
    pub pos_is_truth: bool,
    pub mapping: Mapping,
}

/// What kind of POS it is, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PosKind {
    /// An SQLite database on this machine.
    Sqlite { path: PathBuf },
    /// A PostgreSQL server.
    Postgres(Postgres),
    /// A database of a MySQL or MariaDB server.
    Mysql(mysql::MysqlServer),
    /// A folder that it puts files into.
    Files(Box<FilesConfig>),
}

impl PosKind {
    /// As the configuration and the API name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            PosKind::Sqlite { .. } => "sqlite",
            PosKind::Postgres(_) => "postgres",
            PosKind::Mysql(_) => "mysql",
            PosKind::Files(files) => files.format.name(),
        }
    }
}

/// How rows become movements.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub changes: Option<String>,
    pub on_hand: Option<String>,
    pub key_is: KeyIs,
    pub item_is: ItemIs,
    /// Only rows with this `location` count.
    pub location: Option<String>,
    pub kinds: Vec<Rule>,
    pub times: Times,
    pub time_zone: TimeZone,
}

/// What the column `key` of a database's `changes` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyIs {
    /// Numbers that grow.
    Number,
    /// UUIDs and the like, which don't say what is new.
    Text,
}

/// What the column `item` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemIs {
    Sku,
    Gtin,
    /// A GTIN where it is one, check digit and all; otherwise a sku.
    Any,
}

/// What the column `at` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    Text,
    Unix,
    UnixMs,
    Julian,
}

/// Which rows are which kind of movement; the first rule that fits is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What `what` starts with. Empty: anything.
    pub starts: String,
    /// `None`: rows that move no stock, left out.
    pub kind: Option<Kind>,
    pub quantity_is: QuantityIs,
    pub units: Factor,
}

/// How the column `quantity` is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantityIs {
    /// What on hand changes by, with its sign.
    Delta,
    /// How much of the kind it was: a sale of 2 is 2.
    Amount,
    /// How much is there now. Never added to anything.
    Count,
}

/// An exact decimal factor: `mantissa` / 10^`decimals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    pub mantissa: i64,
    pub decimals: u32,
}

impl Factor {
    pub const ONE: Factor = Factor { mantissa: 1, decimals: 0 };

    fn parse(text: &str) -> Option<Factor> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = whole.len() <= UNITS_DIGITS_MAX && fraction.len() <= UNITS_DECIMALS_MAX;
        if !fits || !digits(whole) || !digits(fraction) {
            return None;
        }
        let mantissa: i64 = format!("{whole}{fraction}").parse().ok()?;
        (mantissa > 0).then_some(Factor { mantissa, decimals: u32::try_from(fraction.len()).ok()? })
    }
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PosTable {
    source: Spanned<String>,
    kind: Spanned<String>,
    path: Option<Spanned<PathBuf>>,
    address: Option<Spanned<String>>,
    socket: Option<Spanned<PathBuf>>,
    user: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    database: Option<Spanned<String>>,
    ca_file: Option<Spanned<PathBuf>>,
    unencrypted: Option<Spanned<bool>>,
    poll_every_ms: Option<Spanned<u64>>,
    gap_patience_s: Option<u64>,
    remember_rows: Option<Spanned<usize>>,
    reconcile_every_s: Option<u64>,
    #[serde(default)]
    pos_is_truth: Option<Spanned<bool>>,
    time_zone: Option<Spanned<String>>,
    times: Option<Times>,
    changes: Option<Spanned<String>>,
    on_hand: Option<Spanned<String>>,
    key_is: Option<Spanned<KeyIs>>,
    item_is: Option<ItemIs>,
    location: Option<Spanned<String>>,
    kinds: Option<Vec<Spanned<RuleTable>>>,
    files: Option<Spanned<FilesTable>>,
    log: Option<Spanned<LogTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    starts: String,
    kind: String,
    quantity_is: Option<QuantityIs>,
    units: Option<Amount>,
}

impl Checker<'_> {
    pub(super) fn pos(&self, tables: Vec<PosTable>) -> Result<Vec<PosConfig>, ConfigError> {
        let mut all: Vec<PosConfig> = Vec::new();
        for table in tables {
            let name = table.source.clone();
            let one = self.one_pos(table)?;
            if all.iter().any(|other| other.source == one.source) {
                return Err(self.wrong(&name, "names a source twice; each POS needs a name of its own"));
            }
            if all.len() == SOURCES_MAX {
                return Err(self.wrong(&name, "is the 65th source; one agent reads 64"));
            }
            all.push(one);
        }
        Ok(all)
    }

    fn one_pos(&self, table: PosTable) -> Result<PosConfig, ConfigError> {
        let source = self.pos_source(&table.source)?;
        let poll = table.poll_every_ms.as_ref().map_or(POLL_EVERY_MS, |ms| *ms.get_ref());
        if let Some(given) = table.poll_every_ms.as_ref().filter(|_| !POLL_EVERY_MS_RANGE.contains(&poll)) {
            return Err(self.wrong(given, "must be between 50 and 3600000 milliseconds"));
        }
        let log = self.pos_log(&table)?;
        let pos_is_truth = table.pos_is_truth.as_ref().is_some_and(|truth| *truth.get_ref());
        if let Some(given) = table.pos_is_truth.as_ref().filter(|_| pos_is_truth && table.on_hand.is_none()) {
            return Err(self.wrong(given, "needs `on_hand`: how much does the POS say is there?"));
        }
        let remember_rows = table.remember_rows.as_ref().map_or(REMEMBER_ROWS, |rows| *rows.get_ref());
        if let Some(given) = table.remember_rows.as_ref().filter(|_| remember_rows > REMEMBER_ROWS_MAX) {
            return Err(self.wrong(given, "must be 1000000 at most"));
        }
        let reconcile = table.reconcile_every_s.unwrap_or(RECONCILE_EVERY_S);
        Ok(PosConfig {
            source,
            kind: self.pos_kind(&table)?,
            poll_every: Duration::from_millis(poll),
            log,
            gap_patience: Duration::from_secs(table.gap_patience_s.unwrap_or(GAP_PATIENCE_S)),
            remember_rows,
            reconcile_every: (reconcile > 0).then(|| Duration::from_secs(reconcile)),
            pos_is_truth,
            mapping: self.mapping(table)?,
        })
    }

    fn pos_kind(&self, table: &PosTable) -> Result<PosKind, ConfigError> {
        match table.kind.get_ref().as_str() {
            "sqlite" => self.sqlite_pos(table),
            "postgres" => self.postgres_pos(table),
            "mysql" => self.mysql_pos(table),
            "csv" => self.csv_pos(table),
            "poslog" => self.poslog_pos(table),
            _ => {
                let message =
                    "must be `sqlite`, `mysql`, `postgres`, `csv` or `poslog`; nothing else can be read yet";
                Err(self.wrong(&table.kind, message))
            }
        }
    }

    /// A source of the configuration also names a file.
    pub(super) fn pos_source(&self, given: &Spanned<String>) -> Result<SourceId, ConfigError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !given.get_ref().chars().all(plain) {
            return Err(self.wrong(given, "may have letters, digits, `-` and `_` only: it names a file too"));
        }
        if matches!(given.get_ref().as_str(), "pickup" | "page") {
            return Err(self.wrong(given, "is a source of the agent's own; choose another name"));
        }
        self.parsed(given)
    }

    fn mapping(&self, table: PosTable) -> Result<Mapping, ConfigError> {
        let is_files = matches!(table.kind.get_ref().as_str(), "csv" | "poslog");
        if let Some(files) = table.files.as_ref().filter(|_| !is_files) {
            return Err(self.wrong(files, "is for the kinds `csv` and `poslog`"));
        }
        if !is_files && table.changes.is_none() && table.on_hand.is_none() {
            let message = "has neither `changes` nor `on_hand`; one SELECT at least says what to read";
            return Err(self.wrong(&table.source, message));
        }
        for given in [&table.changes, &table.on_hand].into_iter().flatten() {
            self.select(given)?;
        }
        let key_is = self.key_is(&table, is_files)?;
        let kinds = table.kinds.unwrap_or_default();
        if let Some(rule) = kinds.iter().find(|rule| key_is == KeyIs::Text && rule.get_ref().kind == "count")
        {
            let message = "and `key_is = \"text\"` don't go together: such rows come to light in no order, and a count says what was there before the next";
            return Err(self.wrong(rule, message));
        }
        if kinds.is_empty() && table.changes.is_some() {
            let message = "has `changes` but no `kinds`; say which rows are sales, receipts and so on";
            return Err(self.wrong(&table.source, message));
        }
        Ok(Mapping {
            kinds: kinds.into_iter().map(|rule| self.rule(rule)).collect::<Result<_, _>>()?,
            changes: table.changes.map(|sql| plain_select(sql.get_ref())),
            on_hand: table.on_hand.map(|sql| plain_select(sql.get_ref())),
            key_is,
            item_is: table.item_is.unwrap_or(ItemIs::Any),
            location: table.location.map(Spanned::into_inner),
            times: table.times.unwrap_or(Times::Text),
            time_zone: self.pos_time_zone(table.time_zone.as_ref())?,
        })
    }

    fn key_is(&self, table: &PosTable, is_files: bool) -> Result<KeyIs, ConfigError> {
        let Some(given) = table.key_is.as_ref().filter(|key_is| *key_is.get_ref() == KeyIs::Text) else {
            return Ok(KeyIs::Number);
        };
        let message = match table {
            _ if is_files => "is for databases; the keys of files may be texts as they are",
            PosTable { changes: None, .. } => {
                "says what the `key` of `changes` is, and there is no `changes`"
            }
            PosTable { on_hand: None, .. } => {
                "needs `on_hand` beside `changes`: keys that are texts don't say which rows came before the first reading"
            }
            PosTable { remember_rows: Some(rows), .. } if *rows.get_ref() == 0 => {
                "needs `remember_rows`: keys that are texts don't say which rows have been read"
            }
            PosTable { gap_patience_s: Some(_), .. } => {
                "and `gap_patience_s` don't go together: only numbers have gaps"
            }
            _ => return Ok(KeyIs::Text),
        };
        Err(self.wrong(given, message))
    }

    fn select(&self, given: &Spanned<String>) -> Result<(), ConfigError> {
        let sql = plain_select(given.get_ref());
        let word = sql.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(word.as_str(), "select" | "with") || sql.contains(';') {
            return Err(self.wrong(given, "must be one SELECT"));
        }
        Ok(())
    }

    fn pos_time_zone(&self, given: Option<&Spanned<String>>) -> Result<TimeZone, ConfigError> {
        let Some(given) = given else { return Ok(TimeZone::UTC) };
        let message = "is no time zone that this machine knows; write one such as `America/New_York`";
        TimeZone::get(given.get_ref()).map_err(|_| self.wrong(given, message))
    }

    fn rule(&self, given: Spanned<RuleTable>) -> Result<Rule, ConfigError> {
        let rule = given.get_ref();
        let starts = rule.starts.strip_suffix('*').unwrap_or(&rule.starts).to_owned();
        if starts.is_empty() && rule.starts.is_empty() {
            return Err(self.wrong(&given, "has a rule with an empty `starts`; `*` fits anything"));
        }
        let kind = match rule.kind.as_str() {
            "ignore" => None,
            name => Some(self.kind(&given, name)?),
        };
        let usual = if kind == Some(Kind::Count) { QuantityIs::Count } else { QuantityIs::Delta };
        let quantity_is = rule.quantity_is.unwrap_or(usual);
        if kind.is_some() && (kind == Some(Kind::Count)) != (quantity_is == QuantityIs::Count) {
            return Err(
                self.wrong(&given, "`quantity_is = \"count\"` and `kind = \"count\"` go together only")
            );
        }
        let message = "has `units` that are not a positive number with at most six digits and six decimals";
        let units = match &rule.units {
            Some(units) => Factor::parse(&units.to_string()).ok_or_else(|| self.wrong(&given, message))?,
            None => Factor::ONE,
        };
        Ok(Rule { starts, kind, quantity_is, units })
    }

    fn kind(&self, given: &Spanned<RuleTable>, name: &str) -> Result<Kind, ConfigError> {
        let kinds = [
            Kind::Sale,
            Kind::Return,
            Kind::Receipt,
            Kind::Adjustment,
            Kind::Count,
            Kind::Waste,
            Kind::TransferOut,
            Kind::TransferIn,
        ];
        kinds.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let message = format!("has the unknown kind `{name}`; there are {} and ignore", names.join(", "));
            self.wrong(given, &message)
        })
    }
}

/// Without the semicolon that people end a statement with.
fn plain_select(sql: &str) -> String {
    sql.trim().trim_end_matches(';').trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    const POS: &str = "store = \"S0001\"\ndata_dir = \"data\"\n[[pos]]\nsource = \"till-db\"\nkind = \"sqlite\"\npath = \"pos.db\"\n";
    const MYSQL: &str = "store = \"S0001\"\ndata_dir = \"data\"\n[[pos]]\nsource = \"till-db\"\nkind = \"mysql\"\nuser = \"reader\"\ndatabase = \"ospos\"\n";
    const KINDS: &str = "kinds = [{ starts = \"POS \", kind = \"sale\" }, { starts = \"*\", kind = \"adjustment\", units = 0.5 }]\n";
    const CHANGES: &str = "changes = \"SELECT id AS key FROM t;\"\n";

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/agent.toml"))
    }

    #[test]
    fn a_mapping_is_read_with_its_defaults() {
        let config = parse(&format!("{POS}{CHANGES}{KINDS}")).unwrap();
        let pos = &config.pos[0];
        assert_eq!(pos.kind, PosKind::Sqlite { path: "/etc/pos.db".into() });
        assert_eq!(pos.poll_every, Duration::from_millis(500));
        assert_eq!(pos.mapping.changes.as_deref(), Some("SELECT id AS key FROM t"));
        assert_eq!(pos.mapping.kinds[0].starts, "POS ");
        assert_eq!(pos.mapping.kinds[1].starts, "");
        assert_eq!(pos.mapping.kinds[1].units, Factor { mantissa: 5, decimals: 1 });
    }

    #[test]
    fn keys_that_are_texts_need_figures() {
        let on_hand = "on_hand = \"SELECT 1 AS item, 2 AS quantity\"\n";
        let text = "key_is = \"text\"\n";
        let both = format!("{POS}{CHANGES}{KINDS}{on_hand}");
        assert_eq!(parse(&format!("{both}{text}")).unwrap().pos[0].mapping.key_is, KeyIs::Text);
        assert_eq!(parse(&both).unwrap().pos[0].mapping.key_is, KeyIs::Number);
        for (text, expected) in [
            (format!("{POS}{CHANGES}{KINDS}{text}"), "needs `on_hand`"),
            (format!("{POS}{on_hand}{text}"), "there is no `changes`"),
            (format!("{both}{text}gap_patience_s = 9\n"), "only numbers have gaps"),
            (format!("{both}{text}remember_rows = 0\n"), "needs `remember_rows`"),
            (
                format!("{both}{text}")
                    .replace("starts = \"*\", kind = \"adjustment\"", "starts = \"*\", kind = \"count\""),
                "come to light in no order",
            ),
            (format!("{both}key_is = \"uuid\"\n"), "unknown variant"),
        ] {
            let said = parse(&text).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }

    #[test]
    fn a_server_on_this_machine_needs_no_certificate() {
        for (line, expected) in [
            ("address = \"localhost\"", mysql::Address::Tcp("localhost".to_owned(), 3306)),
            ("address = \"127.0.0.1:3307\"", mysql::Address::Tcp("127.0.0.1".to_owned(), 3307)),
            ("socket = \"/run/m.sock\"", mysql::Address::Socket("/run/m.sock".into())),
            (
                "address = \"db.shop:3306\"\nca_file = \"ca.pem\"",
                mysql::Address::Tcp("db.shop".to_owned(), 3306),
            ),
        ] {
            let config = parse(&format!("{MYSQL}{line}\n{CHANGES}{KINDS}")).unwrap();
            match &config.pos[0].kind {
                PosKind::Mysql(server) => assert_eq!(server.address, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let example = include_str!("../../agent.example.toml");
        let table = &example[example.find("# [[pos]]").unwrap()..];
        let lines = table.lines().filter_map(|line| line.strip_prefix("# "));
        // Prose has no `=` of its own and does not begin like a table, a rule or a list.
        let is_toml = |line: &&str| {
            let first = line.split_whitespace().next().unwrap_or_default();
            line.starts_with("[[")
                || line.starts_with("[pos.")
                || line.starts_with("  {")
                || line.starts_with(']')
                || {
                    line.split_whitespace().nth(1) == Some("=")
                        && first.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                }
        };
        let shown: Vec<&str> = lines.filter(is_toml).collect();
        let text = format!("store = \"S0001\"\ndata_dir = \"data\"\n{}\n", shown.join("\n"));
        let (shown, bare) = (parse(&text).unwrap(), parse(&format!("{POS}{CHANGES}{KINDS}")).unwrap());
        let shown_files = shown.pos[1..].to_vec();
        let (shown, bare) = (&shown.pos[0], &bare.pos[0]);
        assert_eq!((shown.poll_every, shown.gap_patience), (bare.poll_every, bare.gap_patience));
        assert_eq!(shown.remember_rows, bare.remember_rows);
        assert_eq!((shown.reconcile_every, shown.pos_is_truth), (bare.reconcile_every, bare.pos_is_truth));
        let (shown, bare) = (&shown.mapping, &bare.mapping);
        assert_eq!((shown.item_is, shown.times), (bare.item_is, bare.times));
        assert_eq!(shown.time_zone, bare.time_zone);
        assert_eq!(shown.kinds.len(), 3);
        files::tests::the_example_is_the_default(&shown_files);
    }

    #[test]
    fn a_mapping_that_cannot_work_is_named_with_what_to_write() {
        let cases = [
            (POS.to_owned(), "neither `changes` nor `on_hand`"),
            (format!("{POS}{CHANGES}"), "no `kinds`"),
            (format!("{POS}{KINDS}changes = \"DELETE FROM t\"\n"), "one SELECT"),
            (format!("{POS}{KINDS}changes = \"SELECT 1; SELECT 2\"\n"), "one SELECT"),
            (format!("{POS}{CHANGES}{KINDS}time_zone = \"Mars/Olympus\"\n"), "time zone"),
            (format!("{POS}{CHANGES}{KINDS}poll_every_ms = 1\n"), "between 50"),
            (format!("{POS}{CHANGES}{KINDS}pos_is_truth = true\n"), "needs `on_hand`"),
            (
                format!("{POS}{CHANGES}kinds = [{{ starts = \"*\", kind = \"sold\" }}]\n"),
                "unknown kind `sold`",
            ),
            (
                format!(
                    "{POS}{CHANGES}kinds = [{{ starts = \"*\", kind = \"count\", quantity_is = \"delta\" }}]\n"
                ),
                "together",
            ),
            (
                format!("{POS}{CHANGES}kinds = [{{ starts = \"*\", kind = \"sale\", units = -1 }}]\n"),
                "positive",
            ),
            (format!("{POS}{CHANGES}{KINDS}chnges = 1\n"), "did you mean `changes`"),
            (POS.replace("sqlite", "oracle"), "must be `sqlite`, "),
            (POS.replace("path = \"pos.db\"\n", ""), "has no `path`"),
            (format!("{MYSQL}{CHANGES}{KINDS}"), "either `socket` or `address`"),
            (format!("{MYSQL}address = \"10.0.0.9\"\n{CHANGES}{KINDS}"), "`ca_file`"),
            (format!("{MYSQL}address = \"a b\"\n{CHANGES}{KINDS}"), "is no address"),
            (format!("{POS}{CHANGES}{KINDS}remember_rows = 2000000\n"), "1000000 at most"),
            (POS.replace("till-db", "pickup"), "agent's own"),
            (POS.replace("till-db", "../x"), "names a file"),
        ];
        for (text, expected) in cases {
            let said = parse(&text).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
