//! CSV as a POS exports it: movements by the same rules as rows of a database, or a whole file as figures of what is there.
//!
//! Each line stands for itself: one that can't be mapped is set aside with its line, the rest is read on. A line's reference is its
//! key, or, where it has none, the content of its file and its place there; so a file that comes twice counts once.

mod records;

use super::piece::{Broken, Piece, shown};
use super::text::decode;
use crate::agent::{Counted, SetAside};
use crate::config::pos::{Column, CsvConfig, Factor, Holds, Mapping};
use crate::pos::card;
use crate::pos::mapping::{self, Cell, Key, Mapped, Mapper, Row, TEXT_BYTES_MAX};
use crate::pos::source::Figure;
use crate::pos::times::Clockwork;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use records::{Next, Records};
use std::fs::File;
use sync_protocol::limits::REFERENCE_BYTES_MAX;
use sync_protocol::record::Kind;
use sync_protocol::{Reference, SourceId, UnixMillis};

/// Between the parts of a key.
const KEY_SEPARATOR: &str = "/";
/// What a second document of the same row adds to its reference.
const SUFFIX_BYTES: usize = "/below".len();

/// What is known of a file beside its bytes.
#[derive(Debug, Clone)]
pub struct CsvFile {
    pub name: String,
    /// Stands for its content; for figures without times also for its name and when it was written.
    pub identity: String,
    /// When it was written, for figures without times; never later than now.
    pub written: UnixMillis,
    pub size: u64,
}

/// Where our columns are in this file.
#[derive(Debug, Clone)]
struct Places {
    key: Vec<usize>,
    item: usize,
    quantity: usize,
    at: Vec<usize>,
    what: Option<usize>,
    location: Option<usize>,
    reason: Option<usize>,
    document: Option<usize>,
}

/// A CSV file that is being read.
#[derive(Debug)]
pub struct CsvReader {
    records: Records,
    places: Places,
    /// How many columns each line has.
    width: usize,
    file: CsvFile,
    source: SourceId,
    config: CsvConfig,
    mapping: Mapping,
}

impl CsvReader {
    pub fn open(
        file: File,
        about: CsvFile,
        source: &SourceId,
        config: &CsvConfig,
        mapping: &Mapping,
    ) -> Result<CsvReader, Broken> {
        let mut records = Records::new(file, about.size, config.delimiter, config.quote)?;
        let (places, width) =
            if config.has_header { headed(&mut records, config)? } else { (numbered(config)?, 0) };
        let (source, config, mapping) = (source.clone(), config.clone(), mapping.clone());
        Ok(CsvReader { records, places, width, file: about, source, config, mapping })
    }

    pub fn line(&self) -> u64 {
        self.records.record_line()
    }

    /// What the next line is; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Piece>, Broken> {
        let next = self.records.next()?;
        let line = self.records.record_line();
        let reason = match next {
            Next::End => return Ok(None),
            Next::TooLong => {
                "it does not end; is a quote missing, or are `quote` and `delimiter` wrong?".to_owned()
            }
            Next::Record => {
                let columns = self.records.columns();
                self.width = if self.width == 0 { columns } else { self.width };
                let reason = if columns != self.width {
                    format!("it has {columns} columns where there should be {}", self.width)
                } else if self.has_broken_value() {
                    "one of its values spans lines; is a quote in the wrong place?".to_owned()
                } else {
                    return Ok(Some(self.mapped(line)));
                };
                if self.records.spans_lines() {
                    self.records.go_back()?;
                }
                reason
            }
        };
        Ok(Some(self.aside(line, &reason)))
    }

    /// A value of ours that spans lines is a quote in the wrong place.
    fn has_broken_value(&self) -> bool {
        let Places { key, item, quantity, at, what, location, .. } = &self.places;
        let ours = key.iter().chain(at).chain([item, quantity]).chain(what).chain(location);
        self.records.spans_lines() && ours.into_iter().any(|at| self.raw(*at).contains(&b'\n'))
    }

    fn aside(&self, line: u64, reason: &str) -> Piece {
        let row = serde_json::json!({ "file": self.file.name, "line": line }).to_string();
        Piece::aside(format!("{}, line {line}: {reason}", self.file.name), row)
    }

    fn mapped(&self, line: u64) -> Piece {
        match self.config.holds {
            Holds::Movements => self.movement(line),
            Holds::Figures => self.figure(line),
        }
    }

    fn movement(&self, line: u64) -> Piece {
        let reference = match self.reference(line) {
            Ok(reference) => reference,
            Err(reason) => return self.aside(line, &reason),
        };
        let cell = |at: Option<usize>| at.map_or(Cell::Null, |at| self.optional(at));
        let row = Row {
            key: Key::Number(i64::try_from(line).unwrap_or(i64::MAX)),
            item: self.cell(self.places.item),
            quantity: self.number(self.places.quantity),
            at: self.time(),
            what: cell(self.places.what),
            location: cell(self.places.location),
            reason: cell(self.places.reason),
            document: cell(self.places.document),
        };
        // Each time by itself: the same line means the same moment in whatever file it comes.
        let mapped = Mapper::of(&self.source, &self.mapping).map(&row);
        self.piece(line, mapped, &reference)
    }

    fn piece(&self, line: u64, mapped: Mapped, reference: &str) -> Piece {
        let mut piece = Piece::default();
        match mapped {
            Mapped::LeftOut => piece.is_left_out = true,
            Mapped::Documents { documents, is_rounded } => {
                piece.notes.rounded = u64::from(is_rounded);
                for (at, mut of) in documents.into_iter().enumerate() {
                    match named(reference, at) {
                        Ok(name) => of.document.reference = name,
                        Err(reason) => return self.aside(line, &reason),
                    }
                    if of.document.kind == Kind::Count {
                        // Files come late and out of order: a count holds for when it was taken.
                        of.document.counted = Some(Counted::At(of.document.occurred_at));
                    }
                    piece.documents.push(of);
                }
            }
            Mapped::Aside(aside) => piece.set_aside.push(self.placed(line, aside)),
            Mapped::CardNumber(_) => {
                piece = self.card_number(line);
            }
        }
        piece
    }

    fn placed(&self, line: u64, aside: SetAside) -> SetAside {
        let reason = aside.reason.split_once(": ").map_or(aside.reason.as_str(), |(_, reason)| reason);
        SetAside { reason: format!("{}, line {line}: {reason}", self.file.name), row: aside.row }
    }

    fn card_number(&self, line: u64) -> Piece {
        let mut piece = self.aside(
            line,
            "it holds what looks like a card number; nothing of it was kept. Map no column that has any",
        );
        piece.notes.card_numbers = 1;
        piece
    }

    fn figure(&self, line: u64) -> Piece {
        match self.figure_documents(line) {
            Ok(piece) => piece,
            Err(reason) => self.aside(line, &reason),
        }
    }

    fn figure_documents(&self, line: u64) -> Result<Piece, String> {
        let location = self.places.location.map_or(Cell::Null, |at| self.optional(at));
        if mapping::is_elsewhere(&self.mapping, &location) {
            return Ok(Piece::left_out());
        }
        let cell = self.cell(self.places.item);
        if matches!(&cell, Cell::Text(text) if card::holds_card_number(text)) {
            return Ok(self.card_number(line));
        }
        let item = mapping::item(self.mapping.item_is, &cell)?;
        let quantity = mapping::quantity(&self.number(self.places.quantity), Factor::ONE)?;
        let at = self.figure_time()?;
        let base = format!("f:{}/{}", self.file.identity, mapping_name(&item));
        let figure = Figure { item, thousandths: quantity.thousandths };
        let row = serde_json::json!({ "file": self.file.name, "line": line }).to_string();
        let mut documents = mapping::figure_documents(&self.source, &base, &figure, at, true, &row)?;
        for of in documents.iter_mut().filter(|of| of.document.kind == Kind::Count) {
            of.document.counted = Some(Counted::At(at));
        }
        let mut piece = Piece { documents, ..Piece::default() };
        piece.notes.rounded = u64::from(quantity.is_off);
        Ok(piece)
    }

    fn figure_time(&self) -> Result<UnixMillis, String> {
        if self.places.at.is_empty() {
            return Ok(self.file.written);
        }
        let mapping = &self.mapping;
        let mut clock = Clockwork::new(mapping.times, mapping.time_zone.clone());
        let Cell::Text(text) = self.time() else { return Err("`at` is no text".to_owned()) };
        clock
            .text(&text)
            .ok_or_else(|| format!("`at` = `{}` is no time; look at `times` and `time_format`", shown(&text)))
    }

    fn reference(&self, line: u64) -> Result<String, String> {
        if self.places.key.is_empty() {
            return Ok(format!("f:{}/{line}", self.file.identity));
        }
        let mut name = String::new();
        for (at, place) in self.places.key.iter().enumerate() {
            let part =
                decode(self.config.encoding, self.raw(*place)).ok_or("`key` is no text of its encoding")?;
            let part = part.trim();
            if part.is_empty() {
                return Err("`key` is empty".to_owned());
            }
            name.push_str(if at == 0 { "" } else { KEY_SEPARATOR });
            name.push_str(part);
            if name.len() + SUFFIX_BYTES > REFERENCE_BYTES_MAX {
                return Err(format!("`key` is longer than {} bytes", REFERENCE_BYTES_MAX - SUFFIX_BYTES));
            }
        }
        if card::holds_card_number(&name) {
            return Err("`key` holds what looks like a card number; nothing of it was kept".to_owned());
        }
        Ok(name)
    }

    fn raw(&self, at: usize) -> &[u8] {
        self.records.field(at).unwrap_or_default()
    }

    fn cell(&self, at: usize) -> Cell {
        let raw = self.raw(at);
        if raw.len() > TEXT_BYTES_MAX {
            return Cell::Long(raw.len());
        }
        match decode(self.config.encoding, raw) {
            Some(text) => Cell::Text(text.into_owned()),
            None => Cell::Bytes(raw.len()),
        }
    }

    /// A value that a line may do without.
    fn optional(&self, at: usize) -> Cell {
        if self.raw(at).is_empty() { Cell::Null } else { self.cell(at) }
    }

    fn number(&self, at: usize) -> Cell {
        match self.cell(at) {
            // A point in such a text would be one for thousands: it becomes a comma, which no number has.
            Cell::Text(text) if self.config.has_decimal_comma => {
                Cell::Text(text.chars().map(turned).collect())
            }
            other => other,
        }
    }

    /// The parts of a time with a blank between them, as ISO 8601 where the mapping has a format.
    fn time(&self) -> Cell {
        let mut text = String::new();
        for at in &self.places.at {
            match self.cell(*at) {
                Cell::Text(part) => {
                    text.push_str(if text.is_empty() { "" } else { " " });
                    text.push_str(part.trim());
                }
                other => return other,
            }
        }
        if text.len() > TEXT_BYTES_MAX {
            return Cell::Long(text.len());
        }
        let Some(format) = &self.config.time_format else { return Cell::Text(text) };
        Cell::Text(by_format(format, &text).unwrap_or(text))
    }
}

fn turned(mark: char) -> char {
    match mark {
        ',' => '.',
        '.' => ',',
        other => other,
    }
}

fn by_format(format: &str, text: &str) -> Option<String> {
    let read = strtime::parse(format, text).ok()?;
    if read.offset().is_some() {
        return read.to_timestamp().ok().map(|at| at.to_string());
    }
    let date = read.to_date().ok()?;
    let time = read.to_time().unwrap_or_default();
    Some(DateTime::from_parts(date, time).to_string())
}

fn mapping_name(item: &crate::agent::ItemKey) -> String {
    match item {
        crate::agent::ItemKey::Sku(sku) => format!("sku:{sku}"),
        crate::agent::ItemKey::Gtin(gtin) => format!("gtin:{gtin}"),
    }
}

/// The reference of a row's first document, or of the second, which says what is below nothing.
fn named(reference: &str, at: usize) -> Result<Reference, String> {
    let text = if at == 0 { reference.to_owned() } else { format!("{reference}/below") };
    text.parse().map_err(|error| format!("`key`: {error}"))
}

fn headed(records: &mut Records, config: &CsvConfig) -> Result<(Places, usize), Broken> {
    if records.next()? != Next::Record {
        return Err(Broken::format("it has no header; is `header` right?"));
    }
    let names: Vec<String> = (0..records.columns())
        .map(|at| {
            decode(config.encoding, records.field(at).unwrap_or_default())
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .collect();
    let find = |column: &Column| match column {
        Column::Numbered(number) => within(*number, names.len()),
        Column::Named(name) => {
            let mut found = names.iter().enumerate().filter(|(_, found)| found.eq_ignore_ascii_case(name));
            match (found.next(), found.next()) {
                (Some((at, _)), None) => Ok(at),
                (Some(_), Some(_)) => {
                    Err(Broken::format(format!("two of its columns are called `{name}`; name it by number")))
                }
                (None, _) => Err(missing(name, &names)),
            }
        }
    };
    Ok((places(config, find)?, names.len()))
}

fn within(number: usize, columns: usize) -> Result<usize, Broken> {
    let wrong = || Broken::format(format!("it has no column {number}, only {columns}"));
    number.checked_sub(1).filter(|at| *at < columns).ok_or_else(wrong)
}

fn missing(name: &str, names: &[String]) -> Broken {
    let there: Vec<String> = names.iter().take(20).map(|name| shown(name)).collect();
    Broken::format(format!("it has no column `{name}`; its header is `{}`", there.join("`, `")))
}

fn numbered(config: &CsvConfig) -> Result<Places, Broken> {
    places(config, |column| match column {
        Column::Numbered(number) => within(*number, records::COLUMNS_MAX),
        Column::Named(name) => Err(Broken::format(format!("it has no header that would name `{name}`"))),
    })
}

fn places(config: &CsvConfig, find: impl Fn(&Column) -> Result<usize, Broken>) -> Result<Places, Broken> {
    let columns = &config.columns;
    let some = |column: &Option<Column>| column.as_ref().map(&find).transpose();
    Ok(Places {
        key: columns.key.iter().map(&find).collect::<Result<_, _>>()?,
        item: find(&columns.item)?,
        quantity: find(&columns.quantity)?,
        at: columns.at.iter().map(&find).collect::<Result<_, _>>()?,
        what: some(&columns.what)?,
        location: some(&columns.location)?,
        reason: some(&columns.reason)?,
        document: some(&columns.document)?,
    })
}

#[cfg(test)]
mod tests;
