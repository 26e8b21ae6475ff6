//! `kind = "csv"` and `kind = "poslog"`: the folder that files are put into, and how they are written.

use super::{Factor, PosKind, PosTable};
use crate::config::{Amount, Checker, ConfigError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

const SETTLE_MS: u64 = 1_000;
const PATIENCE_S: u64 = 60;
const KEEP_DAYS: u32 = 30;
/// Parts of a key, or of a time.
const PARTS_MAX: usize = 8;

/// A folder, and what is done with its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    pub folder: PathBuf,
    /// Which of its files are read: `*` is any text, `?` one character.
    pub pattern: String,
    pub after: After,
    /// How long a file has to be still before it is taken.
    pub settle: Duration,
    /// How much longer a file that looks unfinished is waited for.
    pub patience: Duration,
    /// How long files that have been read are kept.
    pub keep_days: u32,
    pub format: FileFormat,
}

/// What becomes of a file that has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    Archive,
    Delete,
    /// It is read where it lies; nothing in the folder is touched.
    Leave,
}

/// How the files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFormat {
    Csv(CsvConfig),
    Poslog(PoslogConfig),
}

impl FileFormat {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            FileFormat::Csv(_) => "csv",
            FileFormat::Poslog(_) => "poslog",
        }
    }

    /// Whether a row means the same in whatever file it comes.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        match self {
            FileFormat::Csv(csv) => !csv.columns.key.is_empty(),
            FileFormat::Poslog(_) => true,
        }
    }
}

/// How CSV is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvConfig {
    pub holds: Holds,
    pub has_header: bool,
    pub delimiter: u8,
    /// `None`: there are no quotes, and a `"` is a letter.
    pub quote: Option<u8>,
    pub encoding: Encoding,
    pub has_decimal_comma: bool,
    /// For times that are no ISO 8601, in the signs of strftime.
    pub time_format: Option<String>,
    pub columns: Columns,
}

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    Movements,
    /// How much of each item is there; a whole file is one look.
    Figures,
}

/// How a file writes its letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    /// Latin-1 is read as this: they differ in characters that no text has.
    #[serde(rename = "windows-1252", alias = "latin-1", alias = "iso-8859-1")]
    Windows1252,
}

/// Where our columns are. Several for a key or a time are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    pub key: Vec<Column>,
    pub item: Column,
    pub quantity: Column,
    pub at: Vec<Column>,
    pub what: Option<Column>,
    pub location: Option<Column>,
    pub reason: Option<Column>,
    pub document: Option<Column>,
}

/// A column, by its name in the header or by its number, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Column {
    Numbered(usize),
    Named(String),
}

/// How POSLog is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoslogConfig {
    pub item_from: ItemFrom,
    /// Which `ItemType`s move stock; a line without one does.
    pub item_types: Vec<String>,
    pub void_lines: VoidLines,
    pub weighed_by: WeighedBy,
    /// Factors from a `UnitOfMeasureCode` to the unit the item is kept in.
    pub units: BTreeMap<String, Factor>,
    /// Whether transactions of a status count, for those that are not known here.
    pub statuses: BTreeMap<String, bool>,
}

/// Which of the two names of an item counts, where there are both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemFrom {
    ItemId,
    PosItemId,
}

/// What a line with `VoidFlag` and a quantity above nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoidLines {
    /// The line that was voided: it does not count.
    LeftOut,
    /// A second line that takes the first one back.
    TakeBack,
}

/// How much of weighed goods a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeighedBy {
    /// The attribute `Units`, where there is one and its unit is no piece.
    Units,
    /// Always `Quantity` itself.
    Quantity,
}

/// The table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilesTable {
    pattern: Option<Spanned<String>>,
    after: Option<After>,
    settle_ms: Option<u64>,
    patience_s: Option<u64>,
    keep_days: Option<u32>,
    csv: Option<Spanned<CsvTable>>,
    poslog: Option<Spanned<PoslogTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvTable {
    holds: Option<Holds>,
    header: Option<bool>,
    delimiter: Option<Spanned<String>>,
    quote: Option<Spanned<String>>,
    encoding: Option<Encoding>,
    decimal_comma: Option<bool>,
    time_format: Option<Spanned<String>>,
    columns: Spanned<ColumnsTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnsTable {
    key: Option<OneOrMore>,
    item: Column,
    quantity: Column,
    at: Option<OneOrMore>,
    what: Option<Column>,
    location: Option<Column>,
    reason: Option<Column>,
    document: Option<Column>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Column),
    More(Vec<Column>),
}

impl OneOrMore {
    fn all(given: Option<&OneOrMore>) -> Vec<Column> {
        match given {
            None => Vec::new(),
            Some(OneOrMore::One(column)) => vec![column.clone()],
            Some(OneOrMore::More(columns)) => columns.clone(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoslogTable {
    item_from: Option<ItemFrom>,
    item_types: Option<Vec<String>>,
    void_lines: Option<VoidLines>,
    weighed_by: Option<WeighedBy>,
    #[serde(default)]
    units: BTreeMap<String, Amount>,
    #[serde(default)]
    statuses: BTreeMap<String, bool>,
}

impl Checker<'_> {
    pub(super) fn csv_pos(&self, table: &PosTable) -> Result<PosKind, ConfigError> {
        let files = self.files_table(table)?;
        let Some(csv) = &files.get_ref().csv else {
            let message = "has no `[pos.files.csv]`, which says what its columns are";
            return Err(self.wrong(&table.source, message));
        };
        let given = csv.get_ref();
        let columns = self.columns(&given.columns)?;
        let has_header = given.header.unwrap_or(true);
        let holds = given.holds.unwrap_or(Holds::Movements);
        self.may_be(table, files, &columns, holds)?;
        if !has_header && columns_of(&columns).any(|column| matches!(column, Column::Named(_))) {
            return Err(
                self.wrong(&given.columns, "names columns, but there is no header; number them, from 1")
            );
        }
        let csv = CsvConfig {
            holds,
            has_header,
            delimiter: self.one_byte(given.delimiter.as_ref(), b',')?,
            quote: match &given.quote {
                Some(none) if none.get_ref().is_empty() => None,
                some => Some(self.one_byte(some.as_ref(), b'"')?),
            },
            encoding: given.encoding.unwrap_or(Encoding::Utf8),
            has_decimal_comma: given.decimal_comma.unwrap_or(false),
            time_format: given.time_format.as_ref().map(|format| format.get_ref().clone()),
            columns,
        };
        self.files_pos(table, files, FileFormat::Csv(csv), "*.csv")
    }

    pub(super) fn poslog_pos(&self, table: &PosTable) -> Result<PosKind, ConfigError> {
        let files = self.files_table(table)?;
        if table.kinds.is_some() || table.times.is_some() {
            let message = "needs neither `kinds` nor `times`: POSLog says what is a sale and when it was";
            return Err(self.wrong(&table.source, message));
        }
        let none = PoslogTable::default();
        let given = files.get_ref().poslog.as_ref();
        let table_given = given.map_or(&none, Spanned::get_ref);
        let message = "has `units` that are no positive numbers with at most six digits and six decimals";
        let factor = |(code, amount): (&String, &Amount)| match Factor::parse(&amount.to_string()) {
            Some(factor) => Ok((code.clone(), factor)),
            None => Err(self.wrong(&table.source, message)),
        };
        let poslog = PoslogConfig {
            item_from: table_given.item_from.unwrap_or(ItemFrom::ItemId),
            item_types: table_given.item_types.clone().unwrap_or_else(|| vec!["Stock".to_owned()]),
            void_lines: table_given.void_lines.unwrap_or(VoidLines::LeftOut),
            weighed_by: table_given.weighed_by.unwrap_or(WeighedBy::Units),
            units: table_given.units.iter().map(factor).collect::<Result<_, _>>()?,
            statuses: table_given.statuses.clone(),
        };
        self.files_pos(table, files, FileFormat::Poslog(poslog), "*.xml")
    }

    fn files_table<'a>(&self, table: &'a PosTable) -> Result<&'a Spanned<FilesTable>, ConfigError> {
        if let Some(sql) = table.changes.as_ref().or(table.on_hand.as_ref()) {
            return Err(self.wrong(sql, "is for databases; files are described in `[pos.files]`"));
        }
        let message = "has no `[pos.files]`, which says how its files are read";
        table.files.as_ref().ok_or_else(|| self.wrong(&table.source, message))
    }

    fn may_be(
        &self,
        table: &PosTable,
        files: &Spanned<FilesTable>,
        columns: &Columns,
        holds: Holds,
    ) -> Result<(), ConfigError> {
        let is_left = files.get_ref().after == Some(After::Leave);
        let message = match holds {
            Holds::Movements if table.kinds.as_ref().is_none_or(Vec::is_empty) => {
                "has no `kinds`; say which lines are sales, receipts and so on"
            }
            Holds::Movements if columns.at.is_empty() => "has no column `at`: when did a line happen?",
            Holds::Movements if is_left && columns.key.is_empty() => {
                "leaves files where they are, where they may grow: name the `key` columns that tell one line from another"
            }
            Holds::Figures if table.kinds.is_some() => {
                "has `kinds`, but a file of figures holds no movements"
            }
            Holds::Figures if !columns.key.is_empty() => {
                "has `key` columns, but a figure is known by its item"
            }
            _ => return Ok(()),
        };
        Err(self.wrong(&table.source, message))
    }

    fn columns(&self, given: &Spanned<ColumnsTable>) -> Result<Columns, ConfigError> {
        let table = given.get_ref();
        let columns = Columns {
            key: OneOrMore::all(table.key.as_ref()),
            item: table.item.clone(),
            quantity: table.quantity.clone(),
            at: OneOrMore::all(table.at.as_ref()),
            what: table.what.clone(),
            location: table.location.clone(),
            reason: table.reason.clone(),
            document: table.document.clone(),
        };
        if columns.key.len() > PARTS_MAX || columns.at.len() > PARTS_MAX {
            return Err(self.wrong(given, "joins more than eight columns"));
        }
        let is_nothing = |column: &Column| match column {
            Column::Numbered(number) => *number == 0,
            Column::Named(name) => name.trim().is_empty(),
        };
        if columns_of(&columns).any(is_nothing) {
            return Err(
                self.wrong(given, "has a column without a name, or with the number 0; numbers begin at 1")
            );
        }
        Ok(columns)
    }

    fn one_byte(&self, given: Option<&Spanned<String>>, usual: u8) -> Result<u8, ConfigError> {
        let Some(given) = given else { return Ok(usual) };
        match given.get_ref().as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(*byte),
            _ => Err(self.wrong(given, "must be one ASCII character")),
        }
    }

    fn files_pos(
        &self,
        table: &PosTable,
        files: &Spanned<FilesTable>,
        format: FileFormat,
        usual_pattern: &str,
    ) -> Result<PosKind, ConfigError> {
        let Some(path) = &table.path else {
            return Err(self.wrong(&table.source, "has no `path`: which folder are its files put into?"));
        };
        let files = files.get_ref();
        let pattern = files.pattern.as_ref().map_or(usual_pattern, |pattern| pattern.get_ref());
        if let Some(given) = files.pattern.as_ref().filter(|_| pattern.is_empty() || pattern.contains('/')) {
            return Err(self.wrong(given, "must name files of one folder, such as `sales-*.csv`"));
        }
        Ok(PosKind::Files(Box::new(FilesConfig {
            folder: self.folder.join(path.get_ref()),
            pattern: pattern.to_owned(),
            after: files.after.unwrap_or(After::Archive),
            settle: Duration::from_millis(files.settle_ms.unwrap_or(SETTLE_MS)),
            patience: Duration::from_secs(files.patience_s.unwrap_or(PATIENCE_S)),
            keep_days: files.keep_days.unwrap_or(KEEP_DAYS),
            format,
        })))
    }
}

fn columns_of(columns: &Columns) -> impl Iterator<Item = &Column> {
    let Columns { key, item, quantity, at, what, location, reason, document } = columns;
    let optional = [what, location, reason, document].into_iter().flatten();
    key.iter().chain(at).chain([item, quantity]).chain(optional)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::PosConfig;
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    const CSV: &str = "[[pos]]\nsource = \"files\"\nkind = \"csv\"\npath = \"in\"\nkinds = [{ starts = \"*\", kind = \"sale\" }]\n[pos.files]\n";
    const COLUMNS: &str =
        "[pos.files.csv]\ncolumns = { key = \"id\", item = \"item\", quantity = 3, at = \"at\" }\n";
    const POSLOG: &str = "[[pos]]\nsource = \"tills\"\nkind = \"poslog\"\npath = \"in\"\n";

    fn parse(pos: &str) -> Result<Vec<PosConfig>, String> {
        let text = format!("store = \"S0001\"\ndata_dir = \"data\"\n{pos}");
        let config = Config::parse(&text, Path::new("/etc/agent.toml"));
        config.map(|config| config.pos).map_err(|error| error.to_string())
    }

    fn files(pos: &PosConfig) -> FilesConfig {
        match &pos.kind {
            PosKind::Files(files) => *files.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Called where the whole example is read.
    pub fn the_example_is_the_default(shown: &[PosConfig]) {
        let bare = [format!("{CSV}{COLUMNS}"), format!("{POSLOG}[pos.files]\n")];
        let shown: Vec<_> = shown.iter().filter(|pos| matches!(pos.kind, PosKind::Files(_))).collect();
        assert_eq!(shown.len(), bare.len());
        for (shown, bare) in shown.into_iter().zip(bare) {
            let (shown, bare) = (files(shown), files(&parse(&bare).unwrap()[0]));
            let about =
                |of: &FilesConfig| (of.pattern.clone(), of.after, of.settle, of.patience, of.keep_days);
            assert_eq!(about(&shown), about(&bare));
            match (shown.format, bare.format) {
                (FileFormat::Csv(shown), FileFormat::Csv(bare)) => {
                    let columns = bare.columns.clone();
                    assert_eq!(CsvConfig { columns, time_format: None, ..shown }, bare);
                }
                (FileFormat::Poslog(shown), FileFormat::Poslog(bare)) => {
                    assert_eq!(
                        PoslogConfig { units: BTreeMap::new(), statuses: BTreeMap::new(), ..shown },
                        bare
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn columns_are_names_or_numbers_and_several_make_a_key() {
        let pos = &parse(&format!("{CSV}{}", COLUMNS.replace("\"id\"", "[\"till\", 2]"))).unwrap()[0];
        assert_eq!(pos.kind.name(), "csv");
        let FileFormat::Csv(csv) = files(pos).format else { panic!("{pos:?}") };
        assert_eq!(csv.columns.key, [Column::Named("till".to_owned()), Column::Numbered(2)]);
        assert_eq!(files(pos).folder, Path::new("/etc/in"));
    }

    #[test]
    fn files_that_cannot_be_read_so_are_named_with_what_to_write() {
        let csv = format!("{CSV}{COLUMNS}");
        let cases = [
            (CSV.to_owned(), "no `[pos.files.csv]`"),
            (CSV.replace("[pos.files]\n", ""), "no `[pos.files]`"),
            (csv.replace("kinds", "#"), "no `kinds`"),
            (csv.replace(", at = \"at\"", ""), "no column `at`"),
            (csv.replace("path", "changes = \"SELECT 1\"\npath"), "is for databases"),
            (csv.replace("path = \"in\"\n", ""), "no `path`"),
            (
                csv.replace("[pos.files]", "[pos.files]\nafter = \"leave\"").replace("key = \"id\", ", ""),
                "name the `key`",
            ),
            (csv.replace("[pos.files]", "[pos.files]\npattern = \"a/*.csv\""), "files of one folder"),
            (csv.replace("columns", "delimiter = \";;\"\ncolumns"), "one ASCII character"),
            (csv.replace("columns", "header = false\ncolumns"), "number them"),
            (csv.replace("quantity = 3", "quantity = 0"), "numbers begin at 1"),
            (csv.replace("columns", "holds = \"figures\"\ncolumns"), "holds no movements"),
            (format!("{POSLOG}times = \"unix\"\n[pos.files]\n"), "neither `kinds` nor `times`"),
            (format!("{POSLOG}[pos.files.poslog]\nunits = {{ LBR = -1 }}\n"), "positive"),
            (csv.replace("\"csv\"\n", "\"sqlite\"\n"), "is for the kinds"),
        ];
        for (text, expected) in cases {
            let said = parse(&text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
