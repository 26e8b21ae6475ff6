//! What records take in a body at most, before deflating. A sender adds these up and closes a batch while it still fits a
//! frame: one that did not would be refused and sent again for ever, and nothing behind it would arrive.

use crate::limits::FRAME_BYTES_MAX;
use crate::record::{
    CursorRecord, HistoryDocument, HubOrderRecord, HubStock, ItemRecord, Note, StoreOrderRecord, StoreStock,
};

/// What a frame leaves for the records of one batch: beside its header and outline.
pub const ROOM: usize = FRAME_BYTES_MAX - OUTLINE_BYTES;
const OUTLINE_BYTES: usize = 2_048;

/// One document of 16 bytes of key, its content's hash, position and number of lines.
pub const KNOWN_BYTES: usize = 32;
/// An item's distance from the one before, and a cell's flags. Few distances are long, as numbers end: the outline has room.
const CELL_HEAD_BYTES: usize = 2;
/// A number of 63 bits.
const NUMBER_BYTES: usize = 9;
/// A line's item, and a quantity or an effect within the bound of totals.
const LINE_ITEM_BYTES: usize = 4;
const LINE_QUANTITY_BYTES: usize = 8;

#[must_use]
pub fn item(record: &ItemRecord) -> usize {
    16 + record.sku.as_str().len() + record.name.len() + record.unit.len() + 7 * record.gtins.len()
}

#[must_use]
pub fn cursor(record: &CursorRecord) -> usize {
    8 + record.source.as_str().len() + record.value.len()
}

/// Three figures are differences of at most three totals; what was recalled is told from a guess, which may be far off.
#[must_use]
pub fn store_stock(stock: &StoreStock) -> usize {
    let half = &stock.half;
    let largest = half.in_.max(half.out).max(half.granted).max(half.recalled).max(half.fulfilled);
    CELL_HEAD_BYTES + 3 * number(largest.saturating_mul(6)) + NUMBER_BYTES + number(half.fulfilled)
}

#[must_use]
pub fn hub_stock(stock: &HubStock) -> usize {
    let half = &stock.half;
    CELL_HEAD_BYTES + number(half.promised) + number(half.released) + number(half.returned)
}

#[must_use]
pub fn document(document: &HistoryDocument) -> usize {
    let texts = document.source.as_str().len()
        + document.reference.as_str().len()
        + document.reason.as_ref().map_or(0, String::len);
    64 + texts + document.lines.len() * (LINE_ITEM_BYTES + 2 * LINE_QUANTITY_BYTES)
}

/// Fields of fixed size, and a line's item and quantity.
#[must_use]
pub fn hub_order(record: &HubOrderRecord) -> usize {
    let half = &record.half;
    80 + half.display_name.len()
        + half.phone.len()
        + half.lines.len() * (LINE_ITEM_BYTES + LINE_QUANTITY_BYTES)
}

/// A line has three quantities, a reason and a total.
#[must_use]
pub fn store_order(record: &StoreOrderRecord) -> usize {
    let half = &record.half;
    let line = LINE_ITEM_BYTES + 3 * LINE_QUANTITY_BYTES + 1 + NUMBER_BYTES;
    48 + half.by.len() + half.reason.len() + half.progress.len() * line
}

#[must_use]
pub fn note(note: &Note) -> usize {
    12 + note.text.len()
}

/// A number as it is written; of an amount in whole units that is less than this.
fn number(value: u64) -> usize {
    let bits = (64 - value.leading_zeros()).max(1);
    usize::try_from(bits.div_ceil(7)).unwrap_or(NUMBER_BYTES)
}
