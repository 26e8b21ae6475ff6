//! What a SELECT of the mapping gives in PostgreSQL, and how each of its columns is fetched: as text that is exact, and never longer
//! than we look at.

use crate::pos::mapping::{Cell, Row, TEXT_BYTES_MAX};
use crate::pos::source::SourceError;
use crate::pos::sql::columns::{Columns, quoted};
use postgres::types::{FromSql, Kind, Type};
use postgres::{Column, Row as Fetched};
use std::error::Error;

/// A SELECT as the server describes it.
#[derive(Debug, Clone)]
pub struct Shape {
    /// What is fetched of `pos`, the SELECT in parentheses.
    pub list: String,
    columns: Columns,
    kinds: Vec<CellKind>,
    pub key: Option<KeyColumn>,
    /// The column `at`, as SQL names it.
    pub at: Option<String>,
}

/// The column `key` of a ledger.
#[derive(Debug, Clone)]
pub struct KeyColumn {
    /// As SQL names it.
    pub name: String,
    pub kind: KeyKind,
    /// The type that a text becomes to be compared with it.
    compared_as: &'static str,
}

/// How keys are compared so that an index of theirs is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Whole,
    Numeric,
    /// Nothing that grows.
    Other,
}

/// How the text of a value is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellKind {
    Integer,
    Real,
    Bytes,
    Text,
}

impl Shape {
    pub fn of(
        described: &[Column],
        select: &'static str,
        is_ledger: bool,
        wants_location: bool,
    ) -> Result<Shape, SourceError> {
        let columns = Columns::of(described.iter().map(Column::name), select, is_ledger, wants_location)?;
        let key =
            described.iter().find(|column| column.name().eq_ignore_ascii_case("key")).map(KeyColumn::of);
        let expression = |column: &Column| match &key {
            Some(key) if column.name().eq_ignore_ascii_case("key") => key.text(),
            _ => format!("pos.{}::text", quoted(column.name())),
        };
        let list: Vec<String> = described
            .iter()
            .map(|column| match kind_of(column.type_()) {
                CellKind::Bytes => format!("NULL::text, octet_length(pos.{})", quoted(column.name())),
                _ => bounded(&expression(column)),
            })
            .collect();
        let kinds = described
            .iter()
            .map(|column| match column.name().eq_ignore_ascii_case("key") {
                // Whole numbers of the type numeric are keys like others.
                true if key.as_ref().is_some_and(KeyColumn::is_number) => CellKind::Integer,
                _ => kind_of(column.type_()),
            })
            .collect();
        let at = described.iter().find(|column| column.name().eq_ignore_ascii_case("at"));
        let at = at.map(|column| format!("pos.{}", quoted(column.name())));
        Ok(Shape { list: list.join(", "), columns, kinds, key, at })
    }

    pub fn row(&self, fetched: &Fetched) -> Result<Row, postgres::Error> {
        self.columns.row(|at| self.cell(fetched, at))
    }

    fn cell(&self, fetched: &Fetched, at: usize) -> Result<Cell, postgres::Error> {
        let text: Option<Raw<'_>> = fetched.try_get(2 * at)?;
        let bytes: Option<i32> = fetched.try_get(2 * at + 1)?;
        let kind = self.kinds.get(at).copied().unwrap_or(CellKind::Text);
        Ok(taken(kind, text.map(|raw| raw.0), bytes))
    }
}

impl KeyColumn {
    fn of(column: &Column) -> KeyColumn {
        let kind = match *column.type_() {
            Type::INT2 | Type::INT4 | Type::INT8 => KeyKind::Whole,
            Type::NUMERIC => KeyKind::Numeric,
            _ => KeyKind::Other,
        };
        let compared_as = match *column.type_() {
            Type::INT2 | Type::INT4 | Type::INT8 => "int8",
            Type::NUMERIC => "numeric",
            Type::UUID => "uuid",
            Type::BPCHAR => "bpchar",
            _ => "text",
        };
        KeyColumn { name: format!("pos.{}", quoted(column.name())), kind, compared_as }
    }

    /// What is compared with a text, so that an index of the column is of use where its type has a text's order.
    pub fn compared(&self) -> String {
        match self.compared_as {
            "text" => format!("{}::text", self.name),
            _ => self.name.clone(),
        }
    }

    /// The parameter `$number`, a text, as the column is compared with it.
    pub fn text_bound(&self, number: usize) -> String {
        format!("${number}::text::{}", self.compared_as)
    }

    /// The parameter `$number`, many texts.
    pub fn text_bounds(&self, number: usize) -> String {
        format!("${number}::text[]::{}[]", self.compared_as)
    }

    pub fn is_number(&self) -> bool {
        matches!(self.kind, KeyKind::Whole | KeyKind::Numeric)
    }

    /// The condition under which a row has a whole number above 0 as its key.
    pub fn is_whole(&self) -> String {
        let name = &self.name;
        match self.kind {
            KeyKind::Whole => format!("{name} > 0"),
            KeyKind::Numeric => format!("({name} > 0 AND {name} <= {} AND {name} = trunc({name}))", i64::MAX),
            KeyKind::Other => "false".to_owned(),
        }
    }

    /// The parameter `$number`, a number, as this column is compared with it.
    pub fn bound(&self, number: usize) -> String {
        match self.kind {
            KeyKind::Numeric => format!("${number}::int8::numeric"),
            _ => format!("${number}::int8"),
        }
    }

    fn text(&self) -> String {
        match self.kind {
            KeyKind::Numeric => {
                format!("(CASE WHEN {} THEN {}::int8 END)::text", self.is_whole(), self.name)
            }
            _ => format!("{}::text", self.name),
        }
    }
}

/// The text where it is short enough, and how long it is in any case.
fn bounded(text: &str) -> String {
    format!("CASE WHEN octet_length({text}) <= {TEXT_BYTES_MAX} THEN {text} END, octet_length({text})")
}

fn kind_of(of: &Type) -> CellKind {
    match of.kind() {
        Kind::Domain(inner) => kind_of(inner),
        _ => match *of {
            Type::INT2 | Type::INT4 | Type::INT8 => CellKind::Integer,
            Type::FLOAT4 | Type::FLOAT8 => CellKind::Real,
            Type::BYTEA => CellKind::Bytes,
            _ => CellKind::Text,
        },
    }
}

fn taken(kind: CellKind, text: Option<&[u8]>, bytes: Option<i32>) -> Cell {
    let long = bytes.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(0));
    let Some(text) = text else {
        return match bytes {
            None => Cell::Null,
            Some(_) if kind == CellKind::Bytes => Cell::Bytes(long),
            Some(_) => Cell::Long(long),
        };
    };
    let Ok(text) = std::str::from_utf8(text) else { return Cell::Bytes(long) };
    let number = match kind {
        CellKind::Integer => text.parse().ok().map(Cell::Integer),
        CellKind::Real => text.parse().ok().map(Cell::Real),
        CellKind::Bytes | CellKind::Text => None,
    };
    number.unwrap_or_else(|| Cell::Text(text.to_owned()))
}

/// The bytes of a value as they came: a database without an encoding may hold what is no UTF-8.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw<'a>, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_by_their_type_and_never_guessed() {
        let of = |kind, text: &str| taken(kind, Some(text.as_bytes()), Some(1));
        assert_eq!(of(CellKind::Integer, "9007199254740993"), Cell::Integer(9_007_199_254_740_993));
        assert_eq!(of(CellKind::Real, "11.079999999999998"), Cell::Real(11.079_999_999_999_998));
        assert_eq!(of(CellKind::Text, "0042"), Cell::Text("0042".to_owned()));
        assert_eq!(taken(CellKind::Text, None, None), Cell::Null);
        assert_eq!(taken(CellKind::Text, None, Some(5_000)), Cell::Long(5_000));
        assert_eq!(taken(CellKind::Bytes, None, Some(3)), Cell::Bytes(3));
        assert_eq!(taken(CellKind::Text, Some(b"\xff"), Some(1)), Cell::Bytes(1));
        assert!(matches!(of(CellKind::Real, "NaN"), Cell::Real(number) if number.is_nan()));
    }
}
