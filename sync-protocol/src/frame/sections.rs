//! The bodies made of sections: state, history and down batches, hand-over and offer.
//!
//! `tag u8 │ length varint │ content`, in any order, each tag at most once; an empty section is not written. A section with an
//! unknown tag or bad content becomes an [`Unreadable`]; so does one bad record inside a good section of length-prefixed records.

use super::codec::{DecodeError, Reader, Writer};
use super::{DownBatch, Handover, HistoryBatch, Offer, StateBatch, columns, read_bool};
use crate::ids::{Epoch, Gtin, ItemNo, Position, Seq, TraceId};
use crate::limits::{
    BODY_BYTES_MAX, CURSOR_BYTES_MAX, GTINS_MAX, ITEMS_MAX, LINES_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX, RECORDS_MAX,
    REFERENCE_BYTES_MAX, SKU_BYTES_MAX, SOURCE_BYTES_MAX, TRACES_MAX, UNIT_BYTES_MAX,
};
use crate::quantity::Quantity;
use crate::record::{
    CursorRecord, HistoryDocument, HistoryLine, ItemRecord, Kind, KnownDocument, Unreadable,
};
use crate::time::UnixMillis;

const ITEMS: u8 = 1;
const STOCK: u8 = 2;
const CURSORS: u8 = 3;
const TRACES: u8 = 4;
const HALVES: u8 = 5;
const DOCUMENTS: u8 = 6;
const KNOWN: u8 = 7;

pub(super) fn write_state(out: &mut Writer, batch: &StateBatch) {
    debug_assert!(batch.base <= batch.upto && batch.upto <= batch.head, "a batch's range lies below its head");
    out.varint(batch.base.0);
    out.varint(batch.upto.0 - batch.base.0);
    out.varint(batch.head.0 - batch.upto.0);
    out.varint(batch.position.0);
    out.section(ITEMS, |out| write_items(out, &batch.items));
    out.section(STOCK, |out| columns::write_store(out, &batch.stock));
    out.section(CURSORS, |out| write_cursors(out, &batch.cursors));
    out.section(TRACES, |out| batch.traces.iter().for_each(|trace| out.fixed(&trace.0)));
}

pub(super) fn read_state(reader: &mut Reader<'_>, epoch: Epoch) -> Result<StateBatch, DecodeError> {
    let base = reader.varint("base")?;
    let upto = above(base, reader.varint("span")?, "upto")?;
    let head = above(upto, reader.varint("rest")?, "head")?;
    let position = Position(reader.varint("position")?);
    let (base, upto, head) = (Seq(base), Seq(upto), Seq(head));
    let mut batch = StateBatch { base, upto, head, position, ..StateBatch::default() };
    each_section(reader, |tag, section, unreadable| {
        match tag {
            ITEMS => batch.items = read_items(section, unreadable)?,
            STOCK => batch.stock = columns::read_store(section, epoch, unreadable)?,
            CURSORS => batch.cursors = read_cursors(section, unreadable)?,
            TRACES => batch.traces = read_traces(section)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })
    .map(|unreadable| batch.unreadable = unreadable)?;
    Ok(batch)
}

pub(super) fn write_history(out: &mut Writer, batch: &HistoryBatch) {
    debug_assert!(batch.base <= batch.upto, "a batch's range does not run backwards");
    out.varint(batch.base.0);
    out.varint(batch.upto.0 - batch.base.0);
    out.section(ITEMS, |out| write_items(out, &batch.items));
    out.section(DOCUMENTS, |out| write_documents(out, &batch.documents, batch.base));
}

pub(super) fn read_history(reader: &mut Reader<'_>) -> Result<HistoryBatch, DecodeError> {
    let base = reader.varint("base")?;
    let upto = Position(above(base, reader.varint("span")?, "upto")?);
    let base = Position(base);
    let mut batch = HistoryBatch { base, upto, ..HistoryBatch::default() };
    each_section(reader, |tag, section, unreadable| {
        match tag {
            ITEMS => batch.items = read_items(section, unreadable)?,
            DOCUMENTS => batch.documents = read_documents(section, base, unreadable)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })
    .map(|unreadable| batch.unreadable = unreadable)?;
    Ok(batch)
}

pub(super) fn write_down(out: &mut Writer, batch: &DownBatch) {
    debug_assert!(batch.base <= batch.upto, "a batch's range does not run backwards");
    out.varint(batch.base.0);
    out.varint(batch.upto.0 - batch.base.0);
    out.section(HALVES, |out| columns::write_hub(out, &batch.halves));
}

pub(super) fn read_down(reader: &mut Reader<'_>) -> Result<DownBatch, DecodeError> {
    let base = reader.varint("base")?;
    let upto = Seq(above(base, reader.varint("span")?, "upto")?);
    let mut batch = DownBatch { base: Seq(base), upto, ..DownBatch::default() };
    each_section(reader, |tag, section, unreadable| {
        match tag {
            HALVES => batch.halves = columns::read_hub(section, unreadable)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })
    .map(|unreadable| batch.unreadable = unreadable)?;
    Ok(batch)
}

pub(super) fn write_offer(out: &mut Writer, offer: &Offer) {
    out.varint(offer.part.into());
    out.u8(offer.last.into());
    out.section(HALVES, |out| columns::write_hub(out, &offer.halves));
}

pub(super) fn read_offer(reader: &mut Reader<'_>) -> Result<Offer, DecodeError> {
    let part = reader.u32("part")?;
    let last = read_bool(reader, "last")?;
    let mut halves = Vec::new();
    let unreadable = each_section(reader, |tag, section, unreadable| {
        match tag {
            HALVES => halves = columns::read_hub(section, unreadable)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })?;
    Ok(Offer { part, last, halves, unreadable })
}

pub(super) fn write_handover(out: &mut Writer, handover: &Handover) {
    out.varint(handover.granted.0.into());
    out.varint(handover.part.into());
    out.u8(handover.last.into());
    out.varint(handover.hub_life);
    out.varint(handover.down_head.0);
    out.varint(handover.next_position.0);
    out.section(ITEMS, |out| write_items(out, &handover.items));
    out.section(STOCK, |out| columns::write_store(out, &handover.stock));
    out.section(HALVES, |out| columns::write_hub(out, &handover.halves));
    out.section(CURSORS, |out| write_cursors(out, &handover.cursors));
    out.section(KNOWN, |out| write_known(out, &handover.known));
    out.section(DOCUMENTS, |out| write_documents(out, &handover.documents, Position(0)));
}

pub(super) fn read_handover(reader: &mut Reader<'_>) -> Result<Handover, DecodeError> {
    let granted = Epoch(reader.u32("granted epoch")?);
    let mut handover = Handover {
        granted,
        part: reader.u32("part")?,
        last: read_bool(reader, "last")?,
        hub_life: reader.varint("hub life")?,
        down_head: Seq(reader.varint("down head")?),
        next_position: Position(reader.varint("next position")?),
        items: Vec::new(),
        stock: Vec::new(),
        halves: Vec::new(),
        cursors: Vec::new(),
        known: Vec::new(),
        documents: Vec::new(),
        unreadable: Vec::new(),
    };
    each_section(reader, |tag, section, unreadable| {
        match tag {
            ITEMS => handover.items = read_items(section, unreadable)?,
            STOCK => handover.stock = columns::read_store(section, granted, unreadable)?,
            HALVES => handover.halves = columns::read_hub(section, unreadable)?,
            CURSORS => handover.cursors = read_cursors(section, unreadable)?,
            KNOWN => handover.known = read_known(section)?,
            DOCUMENTS => handover.documents = read_documents(section, Position(0), unreadable)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })
    .map(|unreadable| handover.unreadable = unreadable)?;
    Ok(handover)
}

enum Known {
    Yes,
    No,
}

/// Walks the sections. What a section's reader can't make sense of is set aside; only the frame's own outline can fail.
fn each_section<'a>(
    reader: &mut Reader<'a>,
    mut read: impl FnMut(u8, &mut Reader<'a>, &mut Vec<Unreadable>) -> Result<Known, DecodeError>,
) -> Result<Vec<Unreadable>, DecodeError> {
    let mut unreadable = Vec::new();
    let mut seen = 0u64;
    while !reader.is_empty() {
        let tag = reader.u8("section tag")?;
        let content = reader.blob("section", BODY_BYTES_MAX)?;
        let bit = 1u64 << (tag % 64);
        if seen & bit != 0 {
            return Err(DecodeError::invalid("section", format!("tag {tag} twice")));
        }
        seen |= bit;
        let mut section = Reader::new(content);
        let outcome = read(tag, &mut section, &mut unreadable).and_then(|known| match known {
            Known::Yes => section.finish(),
            Known::No => Err(DecodeError::invalid("section", format!("tag {tag} is unknown"))),
        });
        if let Err(error) = outcome {
            unreadable.push(Unreadable { what: "section", reason: error.to_string(), bytes: content.to_vec() });
        }
    }
    Ok(unreadable)
}

fn above(base: u64, more: u64, what: &'static str) -> Result<u64, DecodeError> {
    let sum = base.checked_add(more).filter(|sum| i64::try_from(*sum).is_ok());
    sum.ok_or_else(|| DecodeError::invalid(what, "a number of more than 63 bits"))
}

/// Length-prefixed records, so that one bad record does not take its neighbours along.
fn write_each<T>(out: &mut Writer, records: &[T], write: impl Fn(&mut Writer, &T)) {
    for record in records {
        let mut inner = Writer::default();
        write(&mut inner, record);
        out.blob(&inner.bytes);
    }
}

fn read_each<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    unreadable: &mut Vec<Unreadable>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut records = Vec::new();
    while !reader.is_empty() {
        if records.len() >= RECORDS_MAX {
            return Err(DecodeError::TooLarge { what, found: records.len() as u64 + 1, max: RECORDS_MAX as u64 });
        }
        let bytes = reader.blob(what, BODY_BYTES_MAX)?;
        let mut inner = Reader::new(bytes);
        match read(&mut inner).and_then(|record| inner.finish().map(|()| record)) {
            Ok(record) => records.push(record),
            Err(error) => unreadable.push(Unreadable { what, reason: error.to_string(), bytes: bytes.to_vec() }),
        }
    }
    Ok(records)
}

fn write_items(out: &mut Writer, items: &[ItemRecord]) {
    write_each(out, items, |out, item| {
        out.varint(item.item.0.into());
        out.text(item.sku.as_str());
        out.text(&item.name);
        out.text(&item.unit);
        out.u8(item.unnamed.into());
        for gtin in &item.gtins {
            out.varint(gtin.number());
        }
    });
}

fn read_items(reader: &mut Reader<'_>, unreadable: &mut Vec<Unreadable>) -> Result<Vec<ItemRecord>, DecodeError> {
    read_each(reader, "item", unreadable, |reader| {
        let item = read_item_no(reader)?;
        let sku = reader.parsed("sku", SKU_BYTES_MAX)?;
        let name = reader.text("name", NAME_BYTES_MAX)?.to_owned();
        let unit = reader.text("unit", UNIT_BYTES_MAX)?.to_owned();
        let unnamed = read_bool(reader, "unnamed")?;
        let mut gtins = Vec::new();
        while !reader.is_empty() {
            let number = reader.varint("gtin")?;
            gtins.push(Gtin::from_number(number).ok_or_else(|| DecodeError::invalid("gtin", number))?);
        }
        if gtins.len() > GTINS_MAX {
            return Err(DecodeError::TooLarge { what: "gtins", found: gtins.len() as u64, max: GTINS_MAX as u64 });
        }
        Ok(ItemRecord { item, sku, gtins, name, unit, unnamed })
    })
}

fn read_item_no(reader: &mut Reader<'_>) -> Result<ItemNo, DecodeError> {
    let found = reader.bounded("item", ITEMS_MAX.into())?;
    u32::try_from(found)
        .ok()
        .filter(|item| *item > 0)
        .map(ItemNo)
        .ok_or_else(|| DecodeError::invalid("item", "numbers start at 1"))
}

fn write_cursors(out: &mut Writer, cursors: &[CursorRecord]) {
    write_each(out, cursors, |out, cursor| {
        out.text(cursor.source.as_str());
        out.blob(&cursor.value);
    });
}

fn read_cursors(reader: &mut Reader<'_>, unreadable: &mut Vec<Unreadable>) -> Result<Vec<CursorRecord>, DecodeError> {
    read_each(reader, "cursor", unreadable, |reader| {
        let source = reader.parsed("source", SOURCE_BYTES_MAX)?;
        Ok(CursorRecord { source, value: reader.blob("cursor", CURSOR_BYTES_MAX)?.to_vec() })
    })
}

fn read_traces(reader: &mut Reader<'_>) -> Result<Vec<TraceId>, DecodeError> {
    let mut traces = Vec::new();
    while !reader.is_empty() && traces.len() < TRACES_MAX {
        traces.push(TraceId(reader.array("trace")?));
    }
    Ok(traces)
}

/// Sources repeat, so they come once, in front; a document's position and times are distances from the document before.
fn write_documents(out: &mut Writer, documents: &[HistoryDocument], base: Position) {
    if documents.is_empty() {
        return;
    }
    let mut sources: Vec<&str> = Vec::new();
    for document in documents {
        if !sources.contains(&document.source.as_str()) {
            sources.push(document.source.as_str());
        }
    }
    out.varint(sources.len() as u64);
    sources.iter().for_each(|source| out.text(source));
    let (mut position, mut occurred) = (base.0, 0);
    write_each_with(out, documents, |out, document| {
        let source = sources.iter().position(|source| *source == document.source.as_str()).unwrap_or(0);
        out.varint(source as u64);
        out.varint(document.first_position.0.saturating_sub(position));
        out.text(document.reference.as_str());
        out.u8(document.kind.code());
        out.text(document.reason.as_deref().unwrap_or(""));
        out.zigzag(document.occurred_at.0 - occurred);
        out.zigzag(document.recorded_at.0 - document.occurred_at.0);
        out.fixed(&document.content.to_le_bytes());
        document.lines.iter().for_each(|line| write_line(out, document.kind, line));
        position = document.last_position().0;
        occurred = document.occurred_at.0;
    });
}

fn write_each_with<T>(out: &mut Writer, records: &[T], mut write: impl FnMut(&mut Writer, &T)) {
    for record in records {
        let mut inner = Writer::default();
        write(&mut inner, record);
        out.blob(&inner.bytes);
    }
}

/// `item · 2 + is_fine`, then the quantity in units or thousandths; a count's effect follows in thousandths.
fn write_line(out: &mut Writer, kind: Kind, line: &HistoryLine) {
    let quantity = line.quantity.thousandths();
    let whole = quantity % 1000 == 0;
    out.varint(u64::from(line.item.0) << 1 | u64::from(!whole));
    out.zigzag(if whole { quantity / 1000 } else { quantity });
    if kind == Kind::Count {
        out.zigzag(line.effect.thousandths());
    }
}

fn read_line(reader: &mut Reader<'_>, kind: Kind) -> Result<HistoryLine, DecodeError> {
    let raw = reader.bounded("line's item", u64::from(ITEMS_MAX) << 1 | 1)?;
    let item = ItemNo(u32::try_from(raw >> 1).map_err(|error| DecodeError::invalid("line's item", error))?);
    let scale = if raw & 1 == 1 { 1 } else { 1000 };
    let quantity = read_quantity(reader, scale)?;
    let effect = match kind.effect(quantity) {
        Some(effect) => effect,
        None => read_quantity(reader, 1)?,
    };
    Ok(HistoryLine { item, quantity, effect })
}

fn read_quantity(reader: &mut Reader<'_>, scale: i64) -> Result<Quantity, DecodeError> {
    let value = reader.zigzag("quantity")?.checked_mul(scale);
    value
        .filter(|thousandths| thousandths.unsigned_abs() <= crate::stock::TOTAL_MAX)
        .map(Quantity::from_thousandths)
        .ok_or_else(|| DecodeError::invalid("quantity", "too large"))
}

fn read_documents(
    reader: &mut Reader<'_>,
    base: Position,
    unreadable: &mut Vec<Unreadable>,
) -> Result<Vec<HistoryDocument>, DecodeError> {
    let count = reader.count("sources", RECORDS_MAX)?;
    let mut sources: Vec<crate::ids::SourceId> = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        sources.push(reader.parsed("source", SOURCE_BYTES_MAX)?);
    }
    let (mut position, mut occurred, mut lines_left) = (base.0, 0i64, BODY_BYTES_MAX);
    read_each(reader, "document", unreadable, |reader| {
        let source = reader.bounded("source", RECORDS_MAX as u64)?;
        let source = usize::try_from(source).ok().and_then(|at| sources.get(at)).cloned();
        let source = source.ok_or_else(|| DecodeError::invalid("source", "not in the batch's list"))?;
        let first_position = Position(above(position, reader.varint("position")?, "position")?);
        let reference = reader.parsed("reference", REFERENCE_BYTES_MAX)?;
        let code = reader.u8("kind")?;
        let kind = Kind::from_code(code).ok_or_else(|| DecodeError::invalid("kind", code))?;
        let reason = reader.text("reason", REASON_BYTES_MAX)?;
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        let occurred_at = UnixMillis(occurred.wrapping_add(reader.zigzag("occurred at")?));
        let recorded_at = UnixMillis(occurred_at.0.wrapping_add(reader.zigzag("recorded at")?));
        let content = u32::from_le_bytes(reader.array("content")?);
        let mut lines = Vec::new();
        while !reader.is_empty() {
            if lines.len() >= LINES_MAX.min(lines_left) {
                return Err(DecodeError::TooLarge { what: "lines", found: lines.len() as u64 + 1, max: LINES_MAX as u64 });
            }
            lines.push(read_line(reader, kind)?);
        }
        if lines.is_empty() {
            return Err(DecodeError::invalid("document", "it has no lines"));
        }
        lines_left = lines_left.saturating_sub(lines.len());
        let document =
            HistoryDocument { first_position, source, reference, kind, reason, occurred_at, recorded_at, content, lines };
        position = above(first_position.0, document.lines.len() as u64 - 1, "position")?;
        occurred = occurred_at.0;
        Ok(document)
    })
}

fn write_known(out: &mut Writer, known: &[KnownDocument]) {
    for document in known {
        out.fixed(&document.key);
        out.fixed(&document.content.to_le_bytes());
        out.varint(document.first_position.0);
        out.varint(document.lines.into());
    }
}

fn read_known(reader: &mut Reader<'_>) -> Result<Vec<KnownDocument>, DecodeError> {
    let mut known = Vec::new();
    while !reader.is_empty() {
        known.push(KnownDocument {
            key: reader.array("document key")?,
            content: u32::from_le_bytes(reader.array("content")?),
            first_position: Position(reader.varint("position")?),
            lines: reader.u32("lines")?,
        });
    }
    Ok(known)
}

// A batch's column writers allocate per item number, so a hostile one must not name more than a store may have.
const _: () = assert!(ITEMS_MAX as usize >= RECORDS_MAX);
