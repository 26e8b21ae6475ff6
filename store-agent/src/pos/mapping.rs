//! From a row of the POS to a document of ours, by the rules of the configuration.
//!
//! A row is taken whole or set aside with the column that is wrong and what to do; nothing is guessed. Values have been bounded
//! where they were read, so a row is small whatever the POS holds.

use super::card;
use super::decimal::{self, NoQuantity};
use super::source::Figure;
use super::times::Clockwork;
use crate::agent::{Counted, Document, ItemKey, Line, SetAside, SourceDocument};
use crate::config::pos::{Factor, ItemIs, Mapping, QuantityIs, Rule};
use serde_json::{Map, Value};
use std::fmt;
use sync_protocol::limits::REASON_BYTES_MAX;
use sync_protocol::record::Kind;
use sync_protocol::{Gtin, Position, Quantity, Reference, SourceId, UnixMillis};

/// Longest text that is looked at; all of ours are shorter.
pub const TEXT_BYTES_MAX: usize = 512;
/// How much of a text an error or a quarantined row repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// One value as it was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    /// Longer than any of ours; how many bytes.
    Long(usize),
    /// Bytes, or a text that is no UTF-8; how many.
    Bytes(usize),
}

/// What tells a row from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    /// 0, which is no key, for what can't be one.
    #[must_use]
    pub fn of(cell: Cell) -> Key {
        match cell {
            Cell::Integer(number) => Key::Number(number),
            Cell::Text(text) => Key::Text(text),
            Cell::Null | Cell::Real(_) | Cell::Long(_) | Cell::Bytes(_) => Key::Number(0),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Number(number) => write!(f, "{number}"),
            Key::Text(text) => write!(f, "{text}"),
        }
    }
}

/// A row, by our names for its columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub key: Key,
    pub item: Cell,
    pub quantity: Cell,
    pub at: Cell,
    pub what: Cell,
    pub location: Cell,
    pub reason: Cell,
    pub document: Cell,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    /// One document, or two where the POS says that less than nothing is there.
    Documents {
        documents: Vec<SourceDocument>,
        is_rounded: bool,
    },
    /// Another location's, or a kind that moves nothing.
    LeftOut,
    Aside(SetAside),
    /// It holds what looks like a card number; nothing of it but its key is kept.
    CardNumber(SetAside),
}

/// The rules at work on the rows of one go.
#[derive(Debug)]
pub struct Mapper<'a> {
    pub source: &'a SourceId,
    pub mapping: &'a Mapping,
    pub clock: Clockwork,
}

impl<'a> Mapper<'a> {
    /// With a clock that has seen no row.
    #[must_use]
    pub fn of(source: &'a SourceId, mapping: &'a Mapping) -> Mapper<'a> {
        Mapper { source, mapping, clock: Clockwork::new(mapping.times, mapping.time_zone.clone()) }
    }

    /// The rows that come are no sequel to those before: they say nothing about the clock at each other.
    pub fn forget_times(&mut self) {
        self.clock = Clockwork::new(self.mapping.times, self.mapping.time_zone.clone());
    }

    pub fn map(&mut self, row: &Row) -> Mapped {
        let key = &row.key;
        let cells = [&row.item, &row.what, &row.location, &row.reason, &row.document, &row.quantity, &row.at];
        if cells.iter().any(|cell| holds_card_number(cell)) {
            return Mapped::CardNumber(SetAside {
                reason: format!(
                    "row `{key}` holds what looks like a card number; nothing of it was kept. Take that column out of `changes`"
                ),
                row: serde_json::json!({ "key": key_value(key) }).to_string(),
            });
        }
        match self.documents(row) {
            Ok(Some((documents, is_rounded))) => Mapped::Documents { documents, is_rounded },
            Ok(None) => Mapped::LeftOut,
            Err(reason) => {
                Mapped::Aside(SetAside { reason: format!("row `{key}`: {reason}"), row: json(row) })
            }
        }
    }

    /// When the row happened, where that can be read.
    #[must_use]
    pub fn time(&mut self, row: &Row) -> Option<UnixMillis> {
        self.moment(&row.at).ok()
    }

    fn documents(&mut self, row: &Row) -> Result<Option<(Vec<SourceDocument>, bool)>, String> {
        if is_elsewhere(self.mapping, &row.location) {
            return Ok(None);
        }
        let what = text_of("what", &row.what)?.unwrap_or_default();
        let Some(rule) = self.mapping.kinds.iter().find(|rule| what.starts_with(&rule.starts)) else {
            return Err(format!(
                "no rule of `kinds` fits `what` = `{}`; add one, with `starts = \"*\"` as the last",
                shown(&what)
            ));
        };
        let Some(kind) = rule.kind else { return Ok(None) };
        let item = item(self.mapping.item_is, &row.item)?;
        let quantity = quantity(&row.quantity, rule.units)?;
        let occurred_at = self.moment(&row.at)?;
        let reason = [("reason", &row.reason), ("document", &row.document)]
            .into_iter()
            .find_map(|(name, cell)| text_of(name, cell).transpose())
            .transpose()?
            .unwrap_or(what);
        let figure = Figure { item: item.clone(), thousandths: quantity.thousandths };
        let row_text = json(row);
        if kind == Kind::Count {
            let made =
                figure_documents(self.source, &row.key.to_string(), &figure, occurred_at, false, &row_text);
            return Ok(Some((made?, quantity.is_off)));
        }
        let document = Document {
            source: self.source.clone(),
            reference: reference(&row.key.to_string())?,
            kind,
            reason: reason_text(&reason)
                .or_else(|| (kind == Kind::Adjustment).then(|| "read from the POS".to_owned())),
            occurred_at,
            counted: None,
            cursor: None,
            lines: vec![Line { item, quantity: reported(rule, kind, quantity.thousandths) }],
            order: None,
            trace: None,
        };
        Ok(Some((vec![SourceDocument { document, row: row_text, is_figure: false }], quantity.is_off)))
    }

    fn moment(&mut self, at: &Cell) -> Result<UnixMillis, String> {
        let read = match at {
            Cell::Text(text) => self.clock.text(text),
            Cell::Integer(number) => self.clock.integer(*number),
            Cell::Real(number) => self.clock.real(*number),
            Cell::Null => {
                return Err("`at` is NULL; give every row a time, with coalesce() in `changes`".to_owned());
            }
            Cell::Long(_) | Cell::Bytes(_) => None,
        };
        read.ok_or_else(|| {
            format!("`at` = `{}` is no time; look at `times` in the mapping", shown(&cell_text(at)))
        })
    }
}

/// The quantity as a line of that kind carries it: what goes out counts up.
fn reported(rule: &Rule, kind: Kind, thousandths: i64) -> Quantity {
    let goes_out = matches!(kind, Kind::Sale | Kind::Waste | Kind::TransferOut);
    let is_turned = rule.quantity_is == QuantityIs::Delta && goes_out;
    Quantity::from_thousandths(if is_turned { -thousandths } else { thousandths })
}

/// "There are N", as a count of the ledger as it stands. Fewer than none can't be counted: that is a count of nothing and the rest as
/// an adjustment.
pub fn figure_documents(
    source: &SourceId,
    base: &str,
    figure: &Figure,
    at: UnixMillis,
    is_figure: bool,
    row: &str,
) -> Result<Vec<SourceDocument>, String> {
    let document = |name: String, kind, reason: Option<&str>, thousandths| {
        let quantity = Quantity::from_thousandths(thousandths);
        let document = Document {
            source: source.clone(),
            reference: reference(&name)?,
            kind,
            reason: reason.map(ToOwned::to_owned),
            occurred_at: at,
            // The end of the ledger, whatever it is when this is recorded: keys are in the order of the POS, its clocks often not.
            counted: (kind == Kind::Count).then_some(Counted::Position(Position(u64::MAX))),
            cursor: None,
            lines: vec![Line { item: figure.item.clone(), quantity }],
            order: None,
            trace: None,
        };
        Ok::<_, String>(SourceDocument { document, row: row.to_owned(), is_figure })
    };
    let mut made = vec![document(base.to_owned(), Kind::Count, None, figure.thousandths.max(0))?];
    if figure.thousandths < 0 {
        let reason = "the POS has less than nothing";
        made.push(document(format!("{base}/below"), Kind::Adjustment, Some(reason), figure.thousandths)?);
    }
    Ok(made)
}

fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error| format!("{error}"))
}

#[must_use]
pub fn is_elsewhere(mapping: &Mapping, location: &Cell) -> bool {
    mapping.location.as_ref().is_some_and(|wanted| cell_text(location).trim() != wanted)
}

/// The item that a cell names.
pub fn item(item_is: ItemIs, cell: &Cell) -> Result<ItemKey, String> {
    let text = match cell {
        Cell::Text(text) => text.trim().to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Null => return Err("`item` is NULL".to_owned()),
        other => {
            return Err(format!(
                "`item` = {} is no item; it has to be a text or a whole number",
                cell_text(other)
            ));
        }
    };
    let wrong = |error: sync_protocol::ids::InvalidId| format!("`item`: {error}");
    // A number column has lost the zeros that a barcode begins with.
    let as_number = |number: &Cell| match number {
        Cell::Integer(number) => u64::try_from(*number).ok().and_then(Gtin::from_number),
        _ => None,
    };
    match item_is {
        ItemIs::Sku => text.parse().map(ItemKey::Sku).map_err(wrong),
        ItemIs::Gtin => match as_number(cell) {
            Some(gtin) => Ok(ItemKey::Gtin(gtin)),
            None => text.parse().map(ItemKey::Gtin).map_err(wrong),
        },
        ItemIs::Any => {
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect();
            if digits.len() == text.len() && card::is_gtin(&digits) {
                return text.parse().map(ItemKey::Gtin).map_err(wrong);
            }
            text.parse().map(ItemKey::Sku).map_err(wrong)
        }
    }
}

/// A quantity by its shortest decimal text.
pub fn quantity(cell: &Cell, units: Factor) -> Result<decimal::Rounded, String> {
    let text = match cell {
        Cell::Integer(_) | Cell::Real(_) | Cell::Text(_) => cell_text(cell),
        Cell::Null => return Err("`quantity` is NULL".to_owned()),
        other => return Err(format!("`quantity` = {} is no number", cell_text(other))),
    };
    let wrong = |error: NoQuantity| format!("`quantity` = `{}` {error}", shown(&text));
    decimal::thousandths(&text, units).map_err(wrong)
}

fn text_of(name: &str, cell: &Cell) -> Result<Option<String>, String> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Long(_) | Cell::Bytes(_) => Err(format!(
            "`{name}` = {} is no text of ours; shorten it with substr() in `changes`",
            cell_text(cell)
        )),
        other => Ok(Some(cell_text(other))),
    }
}

/// A reason within its bounds and without control characters; `None` where nothing is left.
fn reason_text(text: &str) -> Option<String> {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = plain.trim();
    let mut end = plain.len().min(REASON_BYTES_MAX);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    let clipped = plain[..end].trim_end();
    (!clipped.is_empty()).then(|| clipped.to_owned())
}

fn holds_card_number(cell: &Cell) -> bool {
    match cell {
        Cell::Text(text) => card::holds_card_number(text),
        Cell::Integer(number) => card::holds_card_number(&number.to_string()),
        _ => false,
    }
}

fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Integer(number) => number.to_string(),
        // The shortest decimal text that is this number.
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Long(bytes) => format!("a text of {bytes} bytes"),
        Cell::Bytes(bytes) => format!("{bytes} bytes that are no text"),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect()
}

fn key_value(key: &Key) -> Value {
    match key {
        Key::Number(number) => Value::from(*number),
        Key::Text(text) => Value::from(text.as_str()),
    }
}

/// The row for quarantine.
fn json(row: &Row) -> String {
    let value = |cell: &Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => Value::from(*number),
        Cell::Real(number) => Value::from(*number),
        other => Value::from(cell_text(other).chars().take(SHOWN_CHARS_MAX).collect::<String>()),
    };
    let mut map = Map::new();
    map.insert("key".to_owned(), key_value(&row.key));
    let cells = [
        ("item", &row.item),
        ("quantity", &row.quantity),
        ("at", &row.at),
        ("what", &row.what),
        ("location", &row.location),
        ("reason", &row.reason),
        ("document", &row.document),
    ];
    for (name, cell) in cells.into_iter().filter(|(_, cell)| **cell != Cell::Null) {
        map.insert(name.to_owned(), value(cell));
    }
    Value::Object(map).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pos::{KeyIs, Times};
    use jiff::tz::TimeZone;

    fn rule(starts: &str, kind: Option<Kind>, quantity_is: QuantityIs) -> Rule {
        Rule { starts: starts.to_owned(), kind, quantity_is, units: Factor::ONE }
    }

    fn mapping() -> Mapping {
        Mapping {
            changes: None,
            on_hand: None,
            key_is: KeyIs::Number,
            item_is: ItemIs::Any,
            location: Some("1".to_owned()),
            kinds: vec![
                rule("POS ", Some(Kind::Sale), QuantityIs::Delta),
                rule("outcome", Some(Kind::Waste), QuantityIs::Amount),
                rule("counted", Some(Kind::Count), QuantityIs::Count),
                rule("parked", None, QuantityIs::Delta),
                rule("RECV ", Some(Kind::Receipt), QuantityIs::Delta),
            ],
            times: Times::Text,
            time_zone: TimeZone::UTC,
        }
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    fn row(what: &str, quantity: Cell) -> Row {
        Row {
            key: Key::Number(7),
            item: text("0042"),
            quantity,
            at: text("2026-10-31 12:00:00"),
            what: text(what),
            location: Cell::Integer(1),
            reason: Cell::Null,
            document: Cell::Null,
        }
    }

    fn map(row: &Row) -> Mapped {
        let (mapping, source) = (mapping(), "till-db".parse().unwrap());
        Mapper::of(&source, &mapping).map(row)
    }

    fn lines(row: &Row) -> Vec<(Kind, i64, String)> {
        match map(row) {
            Mapped::Documents { documents, .. } => documents
                .iter()
                .map(|of| {
                    (
                        of.document.kind,
                        of.document.lines[0].quantity.thousandths(),
                        of.document.reference.to_string(),
                    )
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn complaint(row: &Row) -> String {
        match map(row) {
            Mapped::Aside(aside) => aside.reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_goes_out_counts_up_and_what_comes_back_counts_down() {
        assert_eq!(lines(&row("POS 3", Cell::Real(-2.5))), [(Kind::Sale, 2_500, "7".to_owned())]);
        assert_eq!(lines(&row("POS 4", Cell::Integer(1))), [(Kind::Sale, -1_000, "7".to_owned())]);
        assert_eq!(lines(&row("RECV 1", text("12.000"))), [(Kind::Receipt, 12_000, "7".to_owned())]);
        assert_eq!(lines(&row("outcome", Cell::Integer(2))), [(Kind::Waste, 2_000, "7".to_owned())]);
        assert_eq!(lines(&row("POS 3", Cell::Integer(0))), [(Kind::Sale, 0, "7".to_owned())]);
    }

    #[test]
    fn an_absolute_figure_is_a_count_and_below_nothing_two_documents() {
        assert_eq!(lines(&row("counted", Cell::Integer(9))), [(Kind::Count, 9_000, "7".to_owned())]);
        let below = [(Kind::Count, 0, "7".to_owned()), (Kind::Adjustment, -3_000, "7/below".to_owned())];
        assert_eq!(lines(&row("counted", Cell::Integer(-3))), below);
    }

    #[test]
    fn other_places_and_parked_sales_are_left_out() {
        assert_eq!(map(&row("parked 8", Cell::Integer(-1))), Mapped::LeftOut);
        assert_eq!(
            map(&Row { location: Cell::Integer(2), ..row("POS 1", Cell::Integer(-1)) }),
            Mapped::LeftOut
        );
    }

    #[test]
    fn hostile_values_are_set_aside_with_the_column() {
        let sale = || row("POS 1", Cell::Integer(-1));
        let cases = [
            (row("gift", Cell::Integer(1)), "no rule of `kinds` fits `what` = `gift`"),
            (row("POS 1", Cell::Null), "`quantity` is NULL"),
            (row("POS 1", Cell::Real(f64::INFINITY)), "`quantity` = `inf` is not a plain decimal"),
            (row("POS 1", Cell::Real(1e300)), "is beyond"),
            (row("POS 1", Cell::Bytes(3)), "3 bytes that are no text"),
            (Row { item: Cell::Long(10 << 20), ..sale() }, "a text of 10485760 bytes"),
            (Row { item: Cell::Real(1.5), ..sale() }, "`item` = 1.5"),
            (Row { item: text(""), ..sale() }, "sku is empty"),
            (Row { at: Cell::Null, ..sale() }, "coalesce()"),
            (Row { at: text("soon"), ..sale() }, "`at` = `soon` is no time"),
            (Row { what: Cell::Bytes(9), ..sale() }, "`what` = 9 bytes"),
        ];
        for (row, expected) in cases {
            let said = complaint(&row);
            assert!(said.contains(expected) && said.starts_with("row `7`"), "{said}");
        }
    }

    #[test]
    fn of_a_row_with_a_card_number_only_the_key_is_kept() {
        for row in [
            Row { reason: text("card 4111 1111 1111 1111"), ..row("POS 1", Cell::Integer(-1)) },
            Row { item: Cell::Integer(4_111_111_111_111_111), ..row("POS 1", Cell::Integer(-1)) },
            row("nothing 4111111111111111", Cell::Integer(-1)),
        ] {
            match map(&row) {
                Mapped::CardNumber(aside) => {
                    assert!(!aside.reason.contains("4111") && aside.row == "{\"key\":7}", "{aside:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn codes_keep_their_zeros_and_the_forms_of_a_gtin_meet() {
        let any = |text: &str| item(ItemIs::Any, &Cell::Text(text.to_owned())).unwrap();
        assert_eq!(any("0042"), ItemKey::Sku("0042".parse().unwrap()));
        assert_eq!(any("012345678905"), any("00012345678905"));
        assert!(matches!(any("012345678905"), ItemKey::Gtin(_)));
        assert!(matches!(any("012345678904"), ItemKey::Sku(_)), "no check digit, no barcode");
        assert_eq!(item(ItemIs::Gtin, &Cell::Integer(12_345_678_905)).unwrap(), any("012345678905"));
        assert_eq!(
            item(ItemIs::Sku, &Cell::Integer(i64::MAX)).unwrap(),
            ItemKey::Sku("9223372036854775807".parse().unwrap())
        );
    }

    #[test]
    fn a_double_is_its_thousandth_and_what_is_not_is_said() {
        let rounded = |quantity| match map(&row("RECV 1", quantity)) {
            Mapped::Documents { documents, is_rounded } => {
                (documents[0].document.lines[0].quantity.thousandths(), is_rounded)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(rounded(Cell::Real(11.079_999_999_999_998)), (11_080, false));
        assert_eq!(rounded(Cell::Real(1.0 / 3.0)), (333, true));
    }
}
