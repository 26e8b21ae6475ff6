//! Many stock halves in few bytes.
//!
//! A batch's cells are written column by column, sorted by item, so that equal things lie side by side and deflate finds
//! them. Each figure is written as its distance from what the escrow rules make likely: on hand is `in − out`, the store
//! has set aside on hand less a reserve, and what was recalled follows what was sold. Amounts are whole units where all of
//! a cell's figures are, thousandths otherwise. Any half can be written; an unlikely one only costs more bytes.
//!
//! One store cell: `item delta · 4 + has_fulfilled · 2 + is_fine` | out | zigzag(on hand) | zigzag(on hand − net) |
//! zigzag(recalled − guess) | fulfilled, only where flagged; `net = granted − recalled − fulfilled`, and [`Recalls`] guesses.
//! One hub cell: `item delta · 8 + has_promised · 4 + has_released · 2 + is_fine` | returned | promised | released, the last
//! two only where flagged.

use super::codec::{DecodeError, Reader, Writer};
use super::sections::SetAside;
use crate::ids::{Epoch, ItemNo};
use crate::limits::{ITEMS_MAX, RECORDS_MAX};
use crate::record::{HubStock, StoreStock};
use crate::stock::{HubHalf, StoreHalf};

/// Writes nothing for no cells. Invariant: `cells` is sorted by item, no item twice.
pub(super) fn write_store(out: &mut Writer, cells: &[StoreStock]) {
    debug_assert!(cells.windows(2).all(|pair| pair[0].item < pair[1].item), "cells sorted, no item twice");
    if cells.is_empty() {
        return;
    }
    out.varint(cells.len() as u64);
    let mut previous = 0;
    for StoreStock { item, half } in cells {
        let delta = u64::from(item.0 - previous);
        previous = item.0;
        out.varint(delta << 2 | u64::from(half.fulfilled > 0) << 1 | u64::from(scale_of_store(half) == 1));
    }
    column(out, cells, |half| Some(signed(half.out)), Writer::plain);
    column(out, cells, |half| Some(on_hand(half)), Writer::zigzag);
    column(out, cells, |half| Some(on_hand(half) - net(half)), Writer::zigzag);
    let mut recalls = Recalls::default();
    for StoreStock { half, .. } in cells {
        let scale = scale_of_store(half);
        let (sold, recalled) = (signed(half.out) / scale, signed(half.recalled) / scale);
        out.zigzag(recalled - recalls.guess(sold));
        recalls.learn(sold, recalled);
    }
    column(out, cells, |half| (half.fulfilled > 0).then(|| signed(half.fulfilled)), Writer::plain);
}

fn column(
    out: &mut Writer,
    cells: &[StoreStock],
    figure: fn(&StoreHalf) -> Option<i64>,
    put: fn(&mut Writer, i64),
) {
    for StoreStock { half, .. } in cells {
        if let Some(value) = figure(half) {
            put(out, value / scale_of_store(half));
        }
    }
}

fn signed(total: u64) -> i64 {
    i64::try_from(total).unwrap_or(i64::MAX)
}

fn on_hand(half: &StoreHalf) -> i64 {
    signed(half.in_) - signed(half.out)
}

fn net(half: &StoreHalf) -> i64 {
    signed(half.granted) - signed(half.recalled) - signed(half.fulfilled)
}

fn scale_of_store(half: &StoreHalf) -> i64 {
    scale(&[half.in_, half.out, half.granted, half.recalled, half.fulfilled])
}

fn scale_of_hub(half: &HubHalf) -> i64 {
    scale(&[half.promised, half.released, half.returned])
}

fn scale(totals: &[u64]) -> i64 {
    if totals.iter().all(|total| total % 1000 == 0) { 1000 } else { 1 }
}

/// Reads what [`write_store`] wrote. Cells that break the halves' own rules are left out and reported.
pub(super) fn read_store(
    reader: &mut Reader<'_>,
    epoch: Epoch,
    unreadable: &mut SetAside,
) -> Result<Vec<StoreStock>, DecodeError> {
    let heads = read_heads(reader, 2)?;
    let outs = read_figures(reader, &heads, Reader::plain)?;
    let on_hands = read_figures(reader, &heads, Reader::zigzag)?;
    let gaps = read_figures(reader, &heads, Reader::zigzag)?;
    let recalled = read_recalled(reader, &heads, &outs)?;
    let mut cells = Vec::with_capacity(heads.len());
    for (at, head) in heads.iter().enumerate() {
        let fulfilled = if head.flags & 0b10 != 0 { figure(reader, *head, Reader::plain)? } else { 0 };
        let half = rebuild(epoch, outs[at], on_hands[at], gaps[at], recalled[at], fulfilled);
        match half.and_then(|half| half.validate().is_ok().then_some(half)) {
            Some(half) => cells.push(StoreStock { item: head.item, half }),
            None => {
                let reason = format!("item {} has figures outside of what a store half can hold", head.item);
                unreadable.put("stock half", &reason, &[]);
            }
        }
    }
    Ok(cells)
}

fn read_recalled(reader: &mut Reader<'_>, heads: &[Head], outs: &[i64]) -> Result<Vec<i64>, DecodeError> {
    let mut recalls = Recalls::default();
    let mut column = Vec::with_capacity(heads.len());
    for (head, out) in heads.iter().zip(outs) {
        let sold = out / head.scale();
        let recalled = reader.zigzag("stock figure")?.checked_add(recalls.guess(sold));
        let recalled = recalled.ok_or_else(too_large)?;
        recalls.learn(sold, recalled);
        column.push(recalled.checked_mul(head.scale()).ok_or_else(too_large)?);
    }
    Ok(column)
}

/// Guesses what a cell has recalled from what it has sold: items that sell alike recall alike, each sale for itself and more for
/// every rush that came and went. Learns from the cells before, so both ends guess the same.
struct Recalls {
    /// Sold and recalled so far, by the size of what a cell has sold: two classes for each doubling.
    classes: [(u128, u128); 128],
}

impl Default for Recalls {
    fn default() -> Self {
        Recalls { classes: [(0, 0); 128] }
    }
}

impl Recalls {
    fn guess(&self, sold: i64) -> i64 {
        let (all_sold, all_recalled) = self.classes[class(sold)];
        if all_sold == 0 {
            return sold;
        }
        let guess = u128::from(sold.unsigned_abs()).saturating_mul(all_recalled) / all_sold;
        i64::try_from(guess).unwrap_or(sold)
    }

    /// The latest cells weigh most, so that one odd cell is soon forgotten.
    fn learn(&mut self, sold: i64, recalled: i64) {
        let (all_sold, all_recalled) = &mut self.classes[class(sold)];
        *all_sold += u128::from(sold.unsigned_abs());
        *all_recalled += u128::from(recalled.unsigned_abs());
        if *all_sold > 16 * u128::from(sold.unsigned_abs()) {
            *all_sold -= *all_sold / 8;
            *all_recalled -= *all_recalled / 8;
        }
    }
}

/// Twice the number of its bits, and one more in the upper half of them.
fn class(sold: i64) -> usize {
    let sold = sold.unsigned_abs();
    let bits = 64 - sold.leading_zeros();
    let upper = bits > 1 && sold >> (bits - 2) & 1 == 1;
    usize::try_from(2 * bits.min(63)).unwrap_or(0) + usize::from(upper)
}

/// `None` where a total would be negative.
fn rebuild(
    epoch: Epoch,
    out: i64,
    on_hand: i64,
    gap: i64,
    recalled: i64,
    fulfilled: i64,
) -> Option<StoreHalf> {
    let in_ = out.checked_add(on_hand)?;
    let granted = on_hand.checked_sub(gap)?.checked_add(recalled)?.checked_add(fulfilled)?;
    let total = |value: i64| u64::try_from(value).ok();
    Some(StoreHalf {
        epoch,
        in_: total(in_)?,
        out: total(out)?,
        granted: total(granted)?,
        recalled: total(recalled)?,
        fulfilled: total(fulfilled)?,
    })
}

/// Writes nothing for no cells. Invariant: `cells` is sorted by item, no item twice.
pub(super) fn write_hub(out: &mut Writer, cells: &[HubStock]) {
    debug_assert!(cells.windows(2).all(|pair| pair[0].item < pair[1].item), "cells sorted, no item twice");
    if cells.is_empty() {
        return;
    }
    out.varint(cells.len() as u64);
    let mut previous = 0;
    for HubStock { item, half } in cells {
        let delta = u64::from(item.0 - previous);
        previous = item.0;
        let flags = u64::from(half.promised > 0) << 2 | u64::from(half.released > 0) << 1;
        out.varint(delta << 3 | flags | u64::from(scale_of_hub(half) == 1));
    }
    for HubStock { half, .. } in cells {
        out.plain(signed(half.returned) / scale_of_hub(half));
    }
    for HubStock { half, .. } in cells.iter().filter(|cell| cell.half.promised > 0) {
        out.plain(signed(half.promised) / scale_of_hub(half));
    }
    for HubStock { half, .. } in cells.iter().filter(|cell| cell.half.released > 0) {
        out.plain(signed(half.released) / scale_of_hub(half));
    }
}

/// Reads what [`write_hub`] wrote. Cells that break the halves' own rules are left out and reported.
pub(super) fn read_hub(
    reader: &mut Reader<'_>,
    unreadable: &mut SetAside,
) -> Result<Vec<HubStock>, DecodeError> {
    let heads = read_heads(reader, 3)?;
    let returned = read_figures(reader, &heads, Reader::plain)?;
    let mut promised = vec![0; heads.len()];
    for (value, head) in promised.iter_mut().zip(&heads).filter(|(_, head)| head.flags & 0b100 != 0) {
        *value = figure(reader, *head, Reader::plain)?;
    }
    let mut cells = Vec::with_capacity(heads.len());
    for (at, head) in heads.iter().enumerate() {
        let released = if head.flags & 0b10 != 0 { figure(reader, *head, Reader::plain)? } else { 0 };
        let total = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        let half = HubHalf {
            promised: total(promised[at]),
            released: total(released),
            returned: total(returned[at]),
        };
        match half.validate() {
            Ok(()) => cells.push(HubStock { item: head.item, half }),
            Err(error) => unreadable.put("hub half", &format!("item {}: {error}", head.item), &[]),
        }
    }
    Ok(cells)
}

#[derive(Clone, Copy)]
struct Head {
    item: ItemNo,
    flags: u64,
}

impl Head {
    fn scale(self) -> i64 {
        if self.flags & 1 == 1 { 1 } else { 1000 }
    }
}

/// The first column: items, strictly growing, and each cell's flags in the low bits.
fn read_heads(reader: &mut Reader<'_>, flag_bits: u32) -> Result<Vec<Head>, DecodeError> {
    let count = reader.count("stock count", RECORDS_MAX)?;
    let mut heads = Vec::with_capacity(count);
    let mut previous = 0u64;
    for _ in 0..count {
        let raw = reader.varint("stock item")?;
        let delta = raw >> flag_bits;
        if delta == 0 {
            return Err(DecodeError::invalid("stock item", "items must grow"));
        }
        previous = previous.saturating_add(delta);
        let item = u32::try_from(previous).ok().filter(|item| *item <= ITEMS_MAX);
        let item =
            item.ok_or(DecodeError::TooLarge { what: "stock item", found: previous, max: ITEMS_MAX.into() })?;
        heads.push(Head { item: ItemNo(item), flags: raw & ((1 << flag_bits) - 1) });
    }
    Ok(heads)
}

type ReadFigure<'a> = fn(&mut Reader<'a>, &'static str) -> Result<i64, DecodeError>;

fn read_figures<'a>(
    reader: &mut Reader<'a>,
    heads: &[Head],
    read: ReadFigure<'a>,
) -> Result<Vec<i64>, DecodeError> {
    heads.iter().map(|head| figure(reader, *head, read)).collect()
}

fn figure<'a>(reader: &mut Reader<'a>, head: Head, read: ReadFigure<'a>) -> Result<i64, DecodeError> {
    read(reader, "stock figure")?.checked_mul(head.scale()).ok_or_else(too_large)
}

fn too_large() -> DecodeError {
    DecodeError::invalid("stock figure", "a number of more than 63 bits")
}

impl Writer {
    /// A number that is never negative here.
    #[expect(
        clippy::cast_sign_loss,
        reason = "totals are never negative; an impossible one is written as zero"
    )]
    fn plain(&mut self, value: i64) {
        self.varint(value.max(0) as u64);
    }
}

impl Reader<'_> {
    fn plain(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let value = self.varint(what)?;
        i64::try_from(value).map_err(|error| DecodeError::invalid(what, error))
    }
}
