//! The bodies made of sections: state, history and down batches, hand-over and offer.
//!
//! `tag u8 │ length varint │ content`, in any order, each tag at most once; an empty section is not written. A section with an
//! unknown tag or bad content becomes an [`Unreadable`]; so does one bad record inside a good section of length-prefixed records.
//! No such record leans on the one before it, so that a bad one takes nobody along.

use super::codec::{DecodeError, Reader, Writer};
use super::{DownBatch, Handover, HistoryBatch, Offer, StateBatch, columns, orders, read_bool};
use crate::ids::{Epoch, Gtin, InvalidId, ItemNo, Position, Seq, SourceId, TraceId};
use crate::limits::{
    BODY_BYTES_MAX, CURSOR_BYTES_MAX, GTINS_MAX, ITEMS_MAX, LINES_MAX, NAME_BYTES_MAX, NOTE_BYTES_MAX,
    REASON_BYTES_MAX, RECORDS_MAX, REFERENCE_BYTES_MAX, SKU_BYTES_MAX, SOURCE_BYTES_MAX, TRACES_MAX,
    UNIT_BYTES_MAX, UNREADABLE_MAX,
};
use crate::quantity::Quantity;
use crate::record::{
    CursorRecord, HistoryDocument, HistoryLine, ItemRecord, Kind, KnownDocument, Note, Topic, Unreadable,
};
use crate::time::UnixMillis;

const ITEMS: u8 = 1;
const STOCK: u8 = 2;
const CURSORS: u8 = 3;
const TRACES: u8 = 4;
const HALVES: u8 = 5;
const DOCUMENTS: u8 = 6;
const KNOWN: u8 = 7;
const HISTORY: u8 = 8;
const HUB_ORDERS: u8 = 9;
const STORE_ORDERS: u8 = 10;
const HUB_NOTES: u8 = 11;
const STORE_NOTES: u8 = 12;

pub(super) fn write_state(out: &mut Writer, batch: &StateBatch) {
    debug_assert!(
        batch.base <= batch.upto && batch.upto <= batch.head,
        "a batch's range lies below its head"
    );
    out.varint(batch.base.0);
    out.varint(batch.upto.0 - batch.base.0);
    out.varint(batch.head.0 - batch.upto.0);
    out.varint(batch.position.0);
    out.section(ITEMS, |out| write_items(out, &batch.items));
    out.section(STOCK, |out| columns::write_store(out, &batch.stock));
    out.section(CURSORS, |out| write_cursors(out, &batch.cursors));
    out.section(TRACES, |out| batch.traces.iter().for_each(|trace| out.fixed(&trace.0)));
    out.section(STORE_ORDERS, |out| orders::write_store(out, &batch.orders));
    out.section(STORE_NOTES, |out| write_each(out, &batch.notes, write_note));
    out.section(HISTORY, |out| batch.history.iter().for_each(|history| write_history(out, history)));
}

pub(super) fn read_state(reader: &mut Reader<'_>, epoch: Epoch) -> Result<StateBatch, DecodeError> {
    let base = reader.varint("base")?;
    let upto = above(base, reader.varint("span")?, "upto")?;
    let head = above(upto, reader.varint("rest")?, "head")?;
    let position = Position(reader.mark("position")?);
    let (base, upto, head) = (Seq(base), Seq(upto), Seq(head));
    let mut batch = StateBatch { base, upto, head, position, ..StateBatch::default() };
    each_section(reader, |tag, section, unreadable| {
        match tag {
            ITEMS => batch.items = read_items(section, unreadable)?,
            STOCK => batch.stock = columns::read_store(section, epoch, unreadable)?,
            CURSORS => batch.cursors = read_cursors(section, unreadable)?,
            TRACES => batch.traces = read_traces(section)?,
            STORE_ORDERS => batch.orders = orders::read_store(section, epoch, unreadable)?,
            STORE_NOTES => batch.notes = read_notes(section, unreadable)?,
            HISTORY => batch.history = Some(read_riding_history(section, unreadable)?),
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
    out.section(DOCUMENTS, |out| write_documents(out, &batch.documents));
}

pub(super) fn read_history(reader: &mut Reader<'_>) -> Result<HistoryBatch, DecodeError> {
    let base = reader.varint("base")?;
    let upto = Position(above(base, reader.varint("span")?, "upto")?);
    let base = Position(base);
    let mut batch = HistoryBatch { base, upto, ..HistoryBatch::default() };
    each_section(reader, |tag, section, unreadable| {
        match tag {
            ITEMS => batch.items = read_items(section, unreadable)?,
            DOCUMENTS => {
                batch.documents = within(read_documents(section, unreadable)?, base, upto, unreadable)
            }
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })
    .map(|unreadable| batch.unreadable = unreadable)?;
    Ok(batch)
}

/// History that rides along with state; what of it can't be read counts among the state batch's.
fn read_riding_history(
    reader: &mut Reader<'_>,
    unreadable: &mut SetAside,
) -> Result<HistoryBatch, DecodeError> {
    let mut batch = read_history(reader)?;
    for piece in std::mem::take(&mut batch.unreadable) {
        unreadable.put(piece.what, &piece.reason, &piece.bytes);
    }
    Ok(batch)
}

/// Sets aside the documents that lie outside of what the batch says it holds.
fn within(
    documents: Vec<HistoryDocument>,
    base: Position,
    upto: Position,
    unreadable: &mut SetAside,
) -> Vec<HistoryDocument> {
    let is_within =
        |document: &HistoryDocument| document.first_position > base && document.last_position() <= upto;
    let (inside, outside): (Vec<_>, Vec<_>) = documents.into_iter().partition(is_within);
    for document in outside {
        let reason =
            format!("`{}` is at {}, outside of its batch", document.reference, document.first_position);
        unreadable.put("document", &reason, &[]);
    }
    inside
}

pub(super) fn write_down(out: &mut Writer, batch: &DownBatch) {
    debug_assert!(batch.base <= batch.upto, "a batch's range does not run backwards");
    out.varint(batch.base.0);
    out.varint(batch.upto.0 - batch.base.0);
    out.section(HALVES, |out| columns::write_hub(out, &batch.halves));
    out.section(HUB_ORDERS, |out| orders::write_hub(out, &batch.orders));
    out.section(HUB_NOTES, |out| write_each(out, &batch.notes, write_note));
}

pub(super) fn read_down(reader: &mut Reader<'_>) -> Result<DownBatch, DecodeError> {
    let base = reader.varint("base")?;
    let upto = Seq(above(base, reader.varint("span")?, "upto")?);
    let mut batch = DownBatch { base: Seq(base), upto, ..DownBatch::default() };
    each_section(reader, |tag, section, unreadable| {
        match tag {
            HALVES => batch.halves = columns::read_hub(section, unreadable)?,
            HUB_ORDERS => batch.orders = orders::read_hub(section, unreadable)?,
            HUB_NOTES => batch.notes = read_notes(section, unreadable)?,
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
    out.section(HUB_ORDERS, |out| orders::write_hub(out, &offer.orders));
}

pub(super) fn read_offer(reader: &mut Reader<'_>) -> Result<Offer, DecodeError> {
    let part = reader.u32("part")?;
    let last = read_bool(reader, "last")?;
    let (mut halves, mut hub_orders) = (Vec::new(), Vec::new());
    let unreadable = each_section(reader, |tag, section, unreadable| {
        match tag {
            HALVES => halves = columns::read_hub(section, unreadable)?,
            HUB_ORDERS => hub_orders = orders::read_hub(section, unreadable)?,
            _ => return Ok(Known::No),
        }
        Ok(Known::Yes)
    })?;
    Ok(Offer { part, last, halves, orders: hub_orders, unreadable })
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
    out.section(DOCUMENTS, |out| write_documents(out, &handover.documents));
    out.section(HUB_ORDERS, |out| orders::write_hub(out, &handover.hub_orders));
    out.section(STORE_ORDERS, |out| orders::write_store(out, &handover.store_orders));
    out.section(HUB_NOTES, |out| write_each(out, &handover.hub_notes, write_note));
    out.section(STORE_NOTES, |out| write_each(out, &handover.store_notes, write_note));
}

pub(super) fn read_handover(reader: &mut Reader<'_>) -> Result<Handover, DecodeError> {
    let granted = Epoch(reader.u32("granted epoch")?);
    let mut handover = Handover {
        granted,
        part: reader.u32("part")?,
        last: read_bool(reader, "last")?,
        hub_life: reader.varint("hub life")?,
        down_head: Seq(reader.mark("down head")?),
        next_position: Position(reader.mark("next position")?),
        items: Vec::new(),
        stock: Vec::new(),
        halves: Vec::new(),
        cursors: Vec::new(),
        known: Vec::new(),
        documents: Vec::new(),
        hub_orders: Vec::new(),
        store_orders: Vec::new(),
        hub_notes: Vec::new(),
        store_notes: Vec::new(),
        unreadable: Vec::new(),
    };
    each_section(reader, |tag, section, unreadable| {
        match tag {
            ITEMS => handover.items = read_items(section, unreadable)?,
            STOCK => handover.stock = columns::read_store(section, granted, unreadable)?,
            HALVES => handover.halves = columns::read_hub(section, unreadable)?,
            CURSORS => handover.cursors = read_cursors(section, unreadable)?,
            KNOWN => handover.known = read_known(section)?,
            DOCUMENTS => handover.documents = read_documents(section, unreadable)?,
            HUB_ORDERS => handover.hub_orders = orders::read_hub(section, unreadable)?,
            STORE_ORDERS => {
                handover.store_orders = orders::read_store(section, granted, unreadable)?;
            }
            HUB_NOTES => handover.hub_notes = read_notes(section, unreadable)?,
            STORE_NOTES => handover.store_notes = read_notes(section, unreadable)?,
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
    mut read: impl FnMut(u8, &mut Reader<'a>, &mut SetAside) -> Result<Known, DecodeError>,
) -> Result<Vec<Unreadable>, DecodeError> {
    let mut unreadable = SetAside::default();
    let mut seen = [false; 256];
    while !reader.is_empty() {
        let tag = reader.u8("section tag")?;
        let content = reader.blob("section", BODY_BYTES_MAX)?;
        if std::mem::replace(&mut seen[usize::from(tag)], true) {
            return Err(DecodeError::invalid("section", format!("tag {tag} twice")));
        }
        let mut section = Reader::new(content);
        let outcome = read(tag, &mut section, &mut unreadable).and_then(|known| match known {
            Known::Yes => section.finish(),
            Known::No => Err(DecodeError::invalid("section", format!("tag {tag} is unknown"))),
        });
        if let Err(error) = outcome {
            unreadable.put("section", &error, content);
        }
    }
    Ok(unreadable.finish())
}

/// What could not be understood. The first pieces are kept; of the rest only how many there were, so that a frame full of
/// nothing is neither a frame full of reasons nor a flood in the receiver's quarantine.
#[derive(Default)]
pub(super) struct SetAside {
    pieces: Vec<Unreadable>,
    more: usize,
}

impl SetAside {
    pub(super) fn put(&mut self, what: &'static str, reason: &impl ToString, bytes: &[u8]) {
        if self.pieces.len() < UNREADABLE_MAX {
            self.pieces.push(Unreadable { what, reason: reason.to_string(), bytes: bytes.to_vec() });
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Vec<Unreadable> {
        if self.more > 0 {
            let reason = format!("{} more in the same frame could not be understood", self.more);
            self.pieces.push(Unreadable { what: "records", reason, bytes: Vec::new() });
        }
        self.pieces
    }
}

fn above(base: u64, more: u64, what: &'static str) -> Result<u64, DecodeError> {
    let sum = base.checked_add(more).filter(|sum| i64::try_from(*sum).is_ok());
    sum.ok_or_else(|| DecodeError::invalid(what, "a number of more than 63 bits"))
}

/// Length-prefixed records, so that one bad record does not take its neighbours along.
pub(super) fn write_each<T>(out: &mut Writer, records: &[T], write: impl Fn(&mut Writer, &T)) {
    for record in records {
        let mut inner = Writer::default();
        write(&mut inner, record);
        out.blob(&inner.bytes);
    }
}

pub(super) fn read_each<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    unreadable: &mut SetAside,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut records = Vec::new();
    while !reader.is_empty() {
        if records.len() >= RECORDS_MAX {
            return Err(DecodeError::TooLarge {
                what,
                found: records.len() as u64 + 1,
                max: RECORDS_MAX as u64,
            });
        }
        let bytes = reader.blob(what, BODY_BYTES_MAX)?;
        let mut inner = Reader::new(bytes);
        match read(&mut inner).and_then(|record| inner.finish().map(|()| record)) {
            Ok(record) => records.push(record),
            Err(error) => unreadable.put(what, &error, bytes),
        }
    }
    Ok(records)
}

/// The layout on the wire, and what a digest hashes.
pub(crate) fn write_note(out: &mut Writer, note: &Note) {
    debug_assert!(note.text.len() <= NOTE_BYTES_MAX, "whoever makes a note keeps it within its bound");
    out.u8(note.topic.0);
    out.varint(note.key.into());
    out.text(&note.text);
}

fn read_notes(reader: &mut Reader<'_>, unreadable: &mut SetAside) -> Result<Vec<Note>, DecodeError> {
    read_each(reader, "note", unreadable, |reader| {
        let (topic, key) = (Topic(reader.u8("topic")?), reader.u32("key")?);
        Ok(Note { topic, key, text: reader.text("note", NOTE_BYTES_MAX)?.to_owned() })
    })
}

fn write_items(out: &mut Writer, items: &[ItemRecord]) {
    debug_assert!(items.windows(2).all(|pair| pair[0].item < pair[1].item), "items sorted, no item twice");
    items.iter().for_each(|item| write_item(out, item));
}

pub(super) fn write_item(out: &mut Writer, record: &ItemRecord) {
    let mut inner = Writer::default();
    inner.varint(record.item.0.into());
    inner.text(record.sku.as_str());
    inner.text(&record.name);
    inner.text(&record.unit);
    inner.u8(record.unnamed.into());
    record.gtins.iter().for_each(|gtin| inner.varint(gtin.number()));
    out.blob(&inner.bytes);
}

fn read_items(reader: &mut Reader<'_>, unreadable: &mut SetAside) -> Result<Vec<ItemRecord>, DecodeError> {
    let mut previous = ItemNo(0);
    read_each(reader, "item", unreadable, |reader| {
        let item = read_item_no(reader)?;
        if item <= previous {
            return Err(DecodeError::invalid("item", format!("{item} after {previous}: items must grow")));
        }
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
            return Err(DecodeError::TooLarge {
                what: "gtins",
                found: gtins.len() as u64,
                max: GTINS_MAX as u64,
            });
        }
        previous = item;
        Ok(ItemRecord { item, sku, gtins, name, unit, unnamed })
    })
}

fn read_item_no(reader: &mut Reader<'_>) -> Result<ItemNo, DecodeError> {
    item_no(reader.varint("item")?)
}

pub(super) fn item_no(found: u64) -> Result<ItemNo, DecodeError> {
    match u32::try_from(found) {
        Ok(item @ 1..=ITEMS_MAX) => Ok(ItemNo(item)),
        _ => Err(DecodeError::invalid("item", format!("{found} is not 1 to {ITEMS_MAX}"))),
    }
}

fn write_cursors(out: &mut Writer, cursors: &[CursorRecord]) {
    write_each(out, cursors, |out, cursor| {
        out.text(cursor.source.as_str());
        out.blob(&cursor.value);
    });
}

fn read_cursors(
    reader: &mut Reader<'_>,
    unreadable: &mut SetAside,
) -> Result<Vec<CursorRecord>, DecodeError> {
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

/// Sources repeat, so they come once, in front, with the first document's position and time; a document's own are its distance
/// from those.
fn write_documents(out: &mut Writer, documents: &[HistoryDocument]) {
    let Some(first) = documents.first() else { return };
    let mut sources: Vec<&str> = Vec::new();
    for document in documents {
        if !sources.contains(&document.source.as_str()) {
            sources.push(document.source.as_str());
        }
    }
    out.varint(sources.len() as u64);
    sources.iter().for_each(|source| out.text(source));
    out.varint(first.first_position.0);
    out.zigzag(first.occurred_at.0);
    write_each(out, documents, |out, document| {
        let source = sources.iter().position(|source| *source == document.source.as_str()).unwrap_or(0);
        out.varint(source as u64);
        out.zigzag(
            document.first_position.0.cast_signed().wrapping_sub(first.first_position.0.cast_signed()),
        );
        out.text(document.reference.as_str());
        out.u8(document.kind.code());
        out.text(document.reason.as_deref().unwrap_or(""));
        out.zigzag(document.occurred_at.0.wrapping_sub(first.occurred_at.0));
        out.zigzag(document.recorded_at.0.wrapping_sub(document.occurred_at.0));
        out.fixed(&document.content.to_le_bytes());
        document.lines.iter().for_each(|line| write_line(out, document.kind, line));
    });
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
    let raw = reader.varint("line's item")?;
    let item = item_no(raw >> 1)?;
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

/// What the documents of one section are told relative to.
struct Shared {
    sources: Vec<Result<SourceId, DecodeError>>,
    position: i64,
    occurred: i64,
}

fn read_documents(
    reader: &mut Reader<'_>,
    unreadable: &mut SetAside,
) -> Result<Vec<HistoryDocument>, DecodeError> {
    let count = reader.count("sources", RECORDS_MAX)?;
    let mut sources = Vec::new();
    for _ in 0..count {
        let name = reader.text("source", SOURCE_BYTES_MAX)?;
        sources.push(name.parse().map_err(|error: InvalidId| DecodeError::invalid("source", error)));
    }
    let position = reader.mark("position")?.cast_signed();
    let shared = Shared { sources, position, occurred: reader.zigzag("occurred at")? };
    read_each(reader, "document", unreadable, |reader| read_document(reader, &shared))
}

fn read_document(reader: &mut Reader<'_>, shared: &Shared) -> Result<HistoryDocument, DecodeError> {
    let source =
        usize::try_from(reader.varint("source")?).ok().and_then(|at| shared.sources.get(at)).cloned();
    let source = source.ok_or_else(|| DecodeError::invalid("source", "not in the batch's list"))??;
    let position = shared.position.checked_add(reader.zigzag("position")?);
    let position = position.and_then(|position| u64::try_from(position).ok());
    let first_position =
        position.ok_or_else(|| DecodeError::invalid("position", "not a number of 63 bits"))?;
    let reference = reader.parsed("reference", REFERENCE_BYTES_MAX)?;
    let code = reader.u8("kind")?;
    let kind = Kind::from_code(code).ok_or_else(|| DecodeError::invalid("kind", code))?;
    let reason = reader.text("reason", REASON_BYTES_MAX)?;
    let occurred_at = UnixMillis(shared.occurred.wrapping_add(reader.zigzag("occurred at")?));
    let recorded_at = UnixMillis(occurred_at.0.wrapping_add(reader.zigzag("recorded at")?));
    let content = u32::from_le_bytes(reader.array("content")?);
    let lines = read_lines(reader, kind)?;
    above(first_position, lines.len() as u64, "position")?;
    Ok(HistoryDocument {
        first_position: Position(first_position),
        source,
        reference,
        kind,
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        occurred_at,
        recorded_at,
        content,
        lines,
    })
}

fn read_lines(reader: &mut Reader<'_>, kind: Kind) -> Result<Vec<HistoryLine>, DecodeError> {
    let mut lines = Vec::new();
    while !reader.is_empty() {
        if lines.len() >= LINES_MAX {
            let found = lines.len() as u64 + 1;
            return Err(DecodeError::TooLarge { what: "lines", found, max: LINES_MAX as u64 });
        }
        lines.push(read_line(reader, kind)?);
    }
    if lines.is_empty() {
        return Err(DecodeError::invalid("document", "it has no lines"));
    }
    Ok(lines)
}

fn read_lines_count(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let found = reader.bounded("lines", LINES_MAX as u64)?;
    u32::try_from(found).map_err(|error| DecodeError::invalid("lines", error))
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
            first_position: Position(reader.mark("position")?),
            lines: read_lines_count(reader)?,
        });
    }
    Ok(known)
}

// A batch's column writers allocate per item number, so a hostile one must not name more than a store may have.
const _: () = assert!(ITEMS_MAX as usize >= RECORDS_MAX);
