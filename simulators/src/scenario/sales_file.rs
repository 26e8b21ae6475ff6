//! Reads a file of till sales line by line, plain or gzipped, however large.
//!
//! It asks for the columns `transaction_timestamp, store_id, basket_id, product_id, quantity` by name, in any order, and ignores
//! the rest. A line it can't read is set aside with its number and the reason; the rest of the file still counts.

use anyhow::{Context, Result, bail};
use csv::StringRecord;
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use sync_protocol::{Quantity, Sku, UnixMillis};

const COLUMNS: [&str; 5] = ["transaction_timestamp", "store_id", "basket_id", "product_id", "quantity"];
/// Longest basket id that is kept: with a line number behind it, it still fits a reference.
const BASKET_ID_BYTES_MAX: usize = 96;
/// Bad lines kept as examples; all are counted.
const EXAMPLES_MAX: usize = 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalesLine {
    pub number: u64,
    pub at: UnixMillis,
    pub store: Box<str>,
    pub basket: Box<str>,
    pub sku: Sku,
    pub quantity: Quantity,
}

/// Reads sales lines one after the other; iterate over it.
pub struct SalesFile {
    reader: csv::Reader<Box<dyn Read + Send>>,
    columns: [usize; 5],
    record: StringRecord,
    bad: BadLines,
}

impl SalesFile {
    pub fn open(path: &Path) -> Result<Self> {
        let file =
            File::open(path).with_context(|| format!("opening the sales file `{}`", path.display()))?;
        Self::read(file).with_context(|| format!("reading the sales file `{}`", path.display()))
    }

    pub fn read(input: impl Read + Send + 'static) -> Result<Self> {
        let mut input = BufReader::with_capacity(64 * 1024, input);
        let zipped = input.fill_buf().context("reading its first bytes")?.starts_with(&GZIP_MAGIC);
        let text: Box<dyn Read + Send> =
            if zipped { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
        let columns = find_columns(reader.headers().context("reading the header line")?)?;
        Ok(Self { reader, columns, record: StringRecord::new(), bad: BadLines::default() })
    }

    /// The lines set aside so far.
    #[must_use]
    pub fn bad_lines(&self) -> &BadLines {
        &self.bad
    }

    fn parse(&self, number: u64) -> Result<SalesLine, Fault> {
        let [at, store, basket, sku, quantity] = self.columns;
        Ok(SalesLine {
            number,
            at: parse_time(self.field(at)?)?,
            store: parse_id(self.field(store)?, Fault::Store)?,
            basket: parse_id(self.field(basket)?, Fault::Basket)?,
            sku: parse_sku(self.field(sku)?)?,
            quantity: parse_quantity(self.field(quantity)?)?,
        })
    }

    fn field(&self, column: usize) -> Result<&str, Fault> {
        self.record.get(column).map(str::trim).ok_or(Fault::TooFewColumns)
    }
}

impl Iterator for SalesFile {
    type Item = SalesLine;

    fn next(&mut self) -> Option<SalesLine> {
        loop {
            let number = self.reader.position().line();
            let read = self.reader.read_record(&mut self.record);
            let number = self.record.position().map_or(number, csv::Position::line);
            match read {
                Ok(true) => match self.parse(number) {
                    Ok(line) => return Some(line),
                    Err(fault) => self.bad.add(number, fault),
                },
                Ok(false) => return None,
                Err(error) if error.is_io_error() => {
                    // A torn gzip file: what came before it still counts, and nothing comes after.
                    self.bad.add(number, Fault::CutOff(error.to_string()));
                    return None;
                }
                Err(_) => self.bad.add(number, Fault::NotText),
            }
        }
    }
}

/// Why a line was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    TooFewColumns,
    Time(String),
    Store(String),
    Basket(String),
    Product(String),
    Quantity(String),
    NotText,
    CutOff(String),
}

impl Fault {
    /// What a summary counts it under.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooFewColumns => "too few columns",
            Self::Time(_) => "no readable transaction_timestamp",
            Self::Store(_) => "no usable store_id",
            Self::Basket(_) => "no usable basket_id",
            Self::Product(_) => "no usable product_id",
            Self::Quantity(_) => "no readable quantity",
            Self::NotText => "not UTF-8 text",
            Self::CutOff(_) => "the file ends in the middle",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewColumns | Self::NotText => f.write_str(self.reason()),
            Self::Time(found)
            | Self::Store(found)
            | Self::Basket(found)
            | Self::Product(found)
            | Self::Quantity(found) => write!(f, "{}: `{}`", self.reason(), found.escape_debug()),
            Self::CutOff(error) => write!(f, "{}: {error}", self.reason()),
        }
    }
}

/// Lines that could not be read: counted by reason, the first few kept to be shown.
#[derive(Debug, Clone, Default)]
pub struct BadLines {
    pub by_reason: BTreeMap<&'static str, u64>,
    pub examples: Vec<(u64, Fault)>,
}

impl BadLines {
    fn add(&mut self, number: u64, fault: Fault) {
        *self.by_reason.entry(fault.reason()).or_default() += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push((number, fault));
        }
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_reason.values().sum()
    }
}

fn find_columns(header: &StringRecord) -> Result<[usize; 5]> {
    let names: Vec<String> =
        header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_ascii_lowercase()).collect();
    let missing: Vec<&str> =
        COLUMNS.into_iter().filter(|wanted| !names.iter().any(|name| name == wanted)).collect();
    if !missing.is_empty() {
        bail!("the header has no column `{}` (it has: {})", missing.join("`, `"), names.join(", "));
    }
    Ok(COLUMNS.map(|wanted| names.iter().position(|name| name == wanted).unwrap_or_default()))
}

/// With an offset or `Z` as written; without one as UTC, which is what such exports mostly hold.
fn parse_time(text: &str) -> Result<UnixMillis, Fault> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(UnixMillis(time.as_millisecond()));
    }
    let plain = text.parse::<jiff::civil::DateTime>().ok();
    plain
        .and_then(|time| jiff::tz::TimeZone::UTC.to_timestamp(time).ok())
        .map(|time| UnixMillis(time.as_millisecond()))
        .ok_or_else(|| Fault::Time(text.to_owned()))
}

fn parse_id(text: &str, fault: fn(String) -> Fault) -> Result<Box<str>, Fault> {
    let usable = !text.is_empty() && text.len() <= BASKET_ID_BYTES_MAX && !text.chars().any(char::is_control);
    if usable { Ok(text.into()) } else { Err(fault(text.to_owned())) }
}

fn parse_sku(text: &str) -> Result<Sku, Fault> {
    text.parse().map_err(|_| Fault::Product(text.to_owned()))
}

fn parse_quantity(text: &str) -> Result<Quantity, Fault> {
    text.parse().map_err(|_| Fault::Quantity(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    const TWO_LINES: &str = "transaction_timestamp,store_id,basket_id,product_id,quantity,sales_value\n\
        2017-10-01 00:01:10,384,40174285117,5565352,1,1.49\n\
        2017-10-01 00:01:10,384,40174285117,6534178,10506,21.0\n";

    fn read(text: &str) -> (Vec<SalesLine>, BadLines) {
        let mut file = SalesFile::read(Cursor::new(text.as_bytes().to_vec())).unwrap();
        let lines = file.by_ref().collect();
        (lines, file.bad_lines().clone())
    }

    #[test]
    fn lines_are_read_with_their_number_and_time() {
        let (lines, bad) = read(TWO_LINES);
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].number, &*lines[0].store, &*lines[0].basket), (2, "384", "40174285117"));
        assert_eq!(lines[0].at, UnixMillis(1_506_816_070_000));
        assert_eq!((lines[1].sku.as_str(), lines[1].quantity), ("6534178", Quantity::from_units(10_506)));
        assert_eq!(bad.count(), 0);
    }

    #[test]
    fn the_order_and_case_of_the_columns_do_not_matter() {
        let (lines, _) = read(
            "\u{feff}Quantity, product_id,x,basket_id,STORE_ID,transaction_timestamp\n\
            1.235, 4011,,7,1,2026-10-31T17:03:22-04:00\n",
        );
        assert_eq!(lines[0].quantity, "1.235".parse().unwrap());
        assert_eq!((lines[0].sku.as_str(), lines[0].at), ("4011", UnixMillis(1_793_480_602_000)));
    }

    #[test]
    fn a_gzipped_file_reads_the_same() {
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(TWO_LINES.as_bytes()).unwrap();
        let mut file = SalesFile::read(Cursor::new(zipped.finish().unwrap())).unwrap();
        assert_eq!(file.by_ref().count(), 2);
    }

    #[test]
    fn bad_lines_are_counted_by_reason_and_the_rest_still_counts() {
        let (lines, bad) = read(
            "transaction_timestamp,store_id,basket_id,product_id,quantity\n\
            yesterday,1,1,4011,1\n\
            2017-10-01 00:01:10,1,1,4011,1.2345\n\
            2017-10-01 00:01:10,1,1\n\
            2017-10-01 00:01:10,,1,4011,1\n\
            2017-10-01 00:01:10,1,1,,1\n\
            2017-10-01 00:01:10,1,1,4011,NaN\n\
            2017-10-01 00:01:10,1,1,4011,0\n",
        );
        assert_eq!(lines.len(), 1, "a quantity of zero is a legal line");
        assert_eq!(bad.count(), 6);
        assert_eq!(bad.by_reason["no readable quantity"], 2);
        assert_eq!(bad.examples[0], (2, Fault::Time("yesterday".into())));
        assert_eq!(bad.examples[1].1.to_string(), "no readable quantity: `1.2345`");
    }

    #[test]
    fn a_line_that_is_no_text_is_set_aside() {
        let mut bytes = TWO_LINES.as_bytes().to_vec();
        bytes.extend_from_slice(b"2017-10-01 00:01:10,384,1,\xff\xfe,1,1\n2017-10-01 00:01:10,384,1,5,1,1\n");
        let mut file = SalesFile::read(Cursor::new(bytes)).unwrap();
        assert_eq!(file.by_ref().count(), 3);
        assert_eq!(file.bad_lines().examples, vec![(4, Fault::NotText)]);
    }

    #[test]
    fn a_torn_gzip_file_gives_what_came_before_the_tear() {
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        let many: String = TWO_LINES.to_owned() + &"2017-10-01 00:01:10,384,1,5,1,1\n".repeat(10_000);
        zipped.write_all(many.as_bytes()).unwrap();
        let mut bytes = zipped.finish().unwrap();
        bytes.truncate(bytes.len() / 2);
        let mut file = SalesFile::read(Cursor::new(bytes)).unwrap();
        assert!(file.by_ref().count() > 1000);
        assert_eq!(file.bad_lines().by_reason["the file ends in the middle"], 1);
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = SalesFile::read(Cursor::new("store_id,basket_id,quantity\n")).err().unwrap();
        assert!(error.to_string().contains("no column `transaction_timestamp`, `product_id`"), "{error}");
    }
}
