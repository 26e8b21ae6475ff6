//! Where a SELECT has our columns, whatever database answered it.

use crate::pos::mapping::{Cell, Key, Row};
use crate::pos::source::SourceError;

/// A name as the standard writes it, whatever is in it.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[derive(Debug, Clone)]
pub struct Columns {
    key: Option<usize>,
    item: usize,
    quantity: usize,
    at: Option<usize>,
    what: Option<usize>,
    location: Option<usize>,
    reason: Option<usize>,
    document: Option<usize>,
}

impl Columns {
    /// `is_ledger`: rows have keys and times.
    pub fn of<'a>(
        names: impl IntoIterator<Item = &'a str>,
        select: &'static str,
        is_ledger: bool,
        wants_location: bool,
    ) -> Result<Columns, SourceError> {
        let names: Vec<String> = names.into_iter().map(str::to_ascii_lowercase).collect();
        let find = |column: &str| names.iter().position(|name| name == column);
        let needed = |column: &'static str| find(column).ok_or(SourceError::Column { select, column });
        if is_ledger {
            needed("key")?;
            needed("at")?;
        }
        if wants_location {
            needed("location")?;
        }
        Ok(Columns {
            key: find("key"),
            item: needed("item")?,
            quantity: needed("quantity")?,
            at: find("at"),
            what: find("what"),
            location: find("location"),
            reason: find("reason"),
            document: find("document"),
        })
    }

    /// A row of the cells that `read` gives by their place.
    pub fn row<E>(&self, mut read: impl FnMut(usize) -> Result<Cell, E>) -> Result<Row, E> {
        let mut cell = |at: Option<usize>| at.map_or(Ok(Cell::Null), &mut read);
        Ok(Row {
            key: Key::of(cell(self.key)?),
            item: cell(Some(self.item))?,
            quantity: cell(Some(self.quantity))?,
            at: cell(self.at)?,
            what: cell(self.what)?,
            location: cell(self.location)?,
            reason: cell(self.reason)?,
            document: cell(self.document)?,
        })
    }
}
