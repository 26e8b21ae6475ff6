//! From a source's document to ledger lines: judged first, then written whole.

use super::document::{Counted, Document, ItemEntry, ItemKey, ItemPut, Line, RecordError, Recorded};
use super::{Mind, canary, pickup, tasks};
use crate::store::ledger;
use rusqlite::Connection;
use std::collections::HashMap;
use std::hash::Hasher;
use sync_protocol::limits::{
    CURSOR_BYTES_MAX, GTINS_MAX, ITEMS_MAX, LINES_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX, UNIT_BYTES_MAX,
};
use sync_protocol::order::OrderId;
use sync_protocol::record::{HistoryDocument, HistoryLine, ItemRecord, Kind, document_key};
use sync_protocol::stock::TOTAL_MAX;
use sync_protocol::{Gtin, ItemNo, Position, Quantity, Sku, SourceId, UnixMillis};
use twox_hash::XxHash3_64;

/// Either the document is at fault, or the disk.
pub(super) enum Stop {
    Refused(RecordError),
    Disk(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Stop::Disk(error)
    }
}

pub(super) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Stop {
    Stop::Refused(RecordError::Invalid { field: field.into(), reason: reason.into() })
}

/// The source of what staff enter on the store's page. No till may use it.
pub const PAGE_SOURCE: &str = "page";

/// Records what a till or a program reports. Two sources are the agent's own.
pub(super) fn report(
    db: &Connection,
    mind: &mut Mind,
    document: &Document,
    now: UnixMillis,
) -> Result<Recorded, Stop> {
    may_report(&document.source)?;
    record(db, mind, document, now)
}

/// Records what staff have entered on the store's page.
pub(super) fn enter(
    db: &Connection,
    mind: &mut Mind,
    document: &Document,
    now: UnixMillis,
) -> Result<Recorded, Stop> {
    if document.source.as_str() != PAGE_SOURCE {
        return Err(invalid("source", format!("the page reports as `{PAGE_SOURCE}`")));
    }
    record(db, mind, document, now)
}

/// Some sources are the agent's own.
pub(super) fn may_report(source: &SourceId) -> Result<(), Stop> {
    if [pickup::SOURCE, PAGE_SOURCE].contains(&source.as_str()) {
        return Err(invalid("source", format!("`{source}` is the agent's own; choose another")));
    }
    Ok(())
}

/// Records a document, or answers that it is there already.
pub(super) fn record(
    db: &Connection,
    mind: &mut Mind,
    document: &Document,
    now: UnixMillis,
) -> Result<Recorded, Stop> {
    record_read(db, mind, document, false, now, now)
}

/// As `record`; `is_figure` says that a count is what a POS has in its books. Such a count finds nothing that was lost: doubts and
/// count tasks stay until somebody looks.
pub(super) fn record_read(
    db: &Connection,
    mind: &mut Mind,
    document: &Document,
    is_figure: bool,
    read_at: UnixMillis,
    now: UnixMillis,
) -> Result<Recorded, Stop> {
    judge(document)?;
    let source = mind.inventory.source_row(db, &document.source)?;
    let content = content_of(document);
    if let Some(found) = find(db, mind, source, document)? {
        return duplicate(document, content, found);
    }
    let items =
        document.lines.iter().map(|line| resolve(db, mind, &line.item)).collect::<Result<Vec<_>, _>>()?;
    let anchors =
        items.iter().map(|item| anchor(db, mind, document, *item)).collect::<Result<Vec<_>, _>>()?;
    let lines = weigh(db, mind, document, &items, &anchors)?;
    for line in &lines {
        apply(mind, document.kind, line, now);
        if let Some(counted) = document.counted.filter(|_| !is_figure) {
            mind.inventory.counted(db, line.item, counted)?;
            tasks::counted(db, mind, line.item, counted, &document.source, line.effect, now)?;
        }
    }
    if let Some(order) = document.order {
        hand_over(db, mind, document, order, &lines, now)?;
    }
    let first_position = mind.next_position;
    let written = HistoryDocument {
        first_position,
        source: document.source.clone(),
        reference: document.reference.clone(),
        kind: document.kind,
        reason: document.reason.clone(),
        occurred_at: counted_or_occurred(document),
        recorded_at: now,
        content,
        lines,
    };
    let positions = write(db, mind, source, &written, &anchors)?;
    if let Some(cursor) = &document.cursor {
        mind.inventory.save_cursor(db, source, cursor)?;
    }
    canary::recorded(db, mind, &written, read_at)?;
    mind.traces.extend(document.trace);
    Ok(Recorded::New { positions })
}

/// Everything that can be said without the ledger.
fn judge(document: &Document) -> Result<(), Stop> {
    if document.lines.is_empty() || document.lines.len() > LINES_MAX {
        return Err(invalid(
            "lines",
            format!("a document has 1 to {LINES_MAX} lines, this one {}", document.lines.len()),
        ));
    }
    if let Some(reason) = document.reason.as_ref().filter(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(invalid(
            "reason",
            format!("{} bytes are more than the {REASON_BYTES_MAX} allowed", reason.len()),
        ));
    }
    if document.cursor.as_ref().is_some_and(|cursor| cursor.len() > CURSOR_BYTES_MAX) {
        return Err(invalid("cursor", format!("longer than the {CURSOR_BYTES_MAX} bytes allowed")));
    }
    if document.kind == Kind::Adjustment
        && document.reason.as_deref().is_none_or(|reason| reason.trim().is_empty())
    {
        return Err(invalid("reason", "an adjustment needs one"));
    }
    match (document.kind, document.counted) {
        (Kind::Count, None) => {
            return Err(invalid("counted_at", "a count needs it: when was the shelf counted?"));
        }
        (Kind::Count, Some(_)) | (_, None) => {}
        (_, Some(_)) => return Err(invalid("counted_at", "only a count has it")),
    }
    for (at, line) in document.lines.iter().enumerate() {
        if document.kind == Kind::Count && line.quantity.is_negative() {
            return Err(invalid(format!("lines[{at}].quantity"), "a shelf can't hold less than nothing"));
        }
        if line.quantity.thousandths().unsigned_abs() > Quantity::MAX.thousandths().unsigned_abs() {
            return Err(invalid(format!("lines[{at}].quantity"), format!("beyond {}", Quantity::MAX)));
        }
    }
    Ok(())
}

/// A hash of everything the source sent, in a fixed layout.
fn content_of(document: &Document) -> u32 {
    let mut hasher = XxHash3_64::new();
    hasher.write(&[document.kind.code()]);
    hasher.write(&document.occurred_at.0.to_le_bytes());
    hasher.write(document.reason.as_deref().unwrap_or("").as_bytes());
    let (tag, counted) = match document.counted {
        None => (0, 0),
        Some(Counted::At(at)) => (1, at.0),
        Some(Counted::Position(at)) => (2, at.0.cast_signed()),
    };
    hasher.write(&[0, tag]);
    hasher.write(&counted.to_le_bytes());
    for Line { item, quantity } in &document.lines {
        match item {
            ItemKey::Sku(sku) => {
                hasher.write(&[1]);
                hasher.write(sku.as_str().as_bytes());
            }
            ItemKey::Gtin(gtin) => hasher.write(&gtin.number().to_le_bytes()),
        }
        hasher.write(&[0]);
        hasher.write(&quantity.thousandths().to_le_bytes());
    }
    if let Some(order) = document.order {
        hasher.write(&order.number().to_le_bytes());
    }
    let hash = hasher.finish();
    u32::try_from(hash >> 32).unwrap_or(0)
}

fn find(
    db: &Connection,
    mind: &Mind,
    source: i64,
    document: &Document,
) -> Result<Option<ledger::Found>, Stop> {
    if let Some(found) = ledger::find_document(db, source, document.reference.as_str())? {
        return Ok(Some(found));
    }
    if !mind.has_known_documents {
        return Ok(None);
    }
    Ok(ledger::find_known_document(db, &document_key(&document.source, &document.reference))?)
}

fn duplicate(document: &Document, content: u32, found: ledger::Found) -> Result<Recorded, Stop> {
    if found.content != content {
        return Err(Stop::Refused(RecordError::Conflict {
            source_id: document.source.to_string(),
            reference: document.reference.to_string(),
        }));
    }
    let first = found.first_position.0;
    Ok(Recorded::Duplicate { positions: (first..first + u64::from(found.lines)).map(Position).collect() })
}

/// The item a line names. An unknown one is taken all the same, as an item nobody has named yet: the till is never refused.
fn resolve(db: &Connection, mind: &mut Mind, key: &ItemKey) -> Result<ItemNo, Stop> {
    let known = match key {
        ItemKey::Sku(sku) => mind.inventory.by_sku(sku),
        ItemKey::Gtin(gtin) => mind.inventory.by_gtin(*gtin),
    };
    if let Some(item) = known {
        return Ok(item);
    }
    let (sku, gtins): (Sku, Vec<Gtin>) = match key {
        ItemKey::Sku(sku) => (sku.clone(), Vec::new()),
        ItemKey::Gtin(gtin) => {
            (gtin.to_string().parse().map_err(|error| invalid("gtin", format!("{error}")))?, vec![*gtin])
        }
    };
    if let Some(item) = mind.inventory.by_sku(&sku) {
        // An item whose sku is its barcode, named without saying so.
        let before = ledger::item(db, item)?;
        let mut record = before.clone();
        record.gtins.extend(gtins);
        mind.inventory.save_item(db, &before, &record)?;
        return Ok(item);
    }
    let record = ItemRecord {
        item: next_item(mind)?,
        sku,
        gtins,
        name: String::new(),
        unit: "each".to_owned(),
        unnamed: true,
    };
    mind.inventory.add_item(db, &record)?;
    Ok(record.item)
}

fn next_item(mind: &mut Mind) -> Result<ItemNo, Stop> {
    let item = mind.next_item;
    if item.0 > ITEMS_MAX {
        return Err(invalid("sku", format!("this store has its {ITEMS_MAX} items; no new one can be added")));
    }
    mind.next_item = item.next();
    Ok(item)
}

/// Where the ledger stood when the shelf was counted; `None` for anything but a count.
fn anchor(db: &Connection, mind: &Mind, document: &Document, item: ItemNo) -> Result<Option<Position>, Stop> {
    Ok(match document.counted {
        Some(Counted::At(at)) => Some(ledger::position_at(db, item, at)?),
        // Nobody can have counted after what the ledger holds.
        Some(Counted::Position(position)) => {
            Some(position.min(Position(mind.next_position.0.saturating_sub(1))))
        }
        None => None,
    })
}

/// What each line does to on hand. Refuses the document while nothing has changed yet, should a total pass its bound.
fn weigh(
    db: &Connection,
    mind: &Mind,
    document: &Document,
    items: &[ItemNo],
    anchors: &[Option<Position>],
) -> Result<Vec<HistoryLine>, Stop> {
    let mut so_far: HashMap<ItemNo, Moved> = HashMap::new();
    let mut lines = Vec::with_capacity(items.len());
    for (at, ((line, item), anchor)) in document.lines.iter().zip(items).zip(anchors).enumerate() {
        let moved = so_far.entry(*item).or_default();
        let effect = match anchor {
            Some(anchor) => count_effect(db, mind, document, line, *item, *anchor, moved.net())?,
            None => document.kind.effect(line.quantity).unwrap_or_default(),
        };
        moved.add(effect);
        let store = mind.inventory.slot(*item).map(|slot| slot.cell.store).unwrap_or_default();
        if store.in_.saturating_add(moved.in_) > TOTAL_MAX || store.out.saturating_add(moved.out) > TOTAL_MAX
        {
            let total = "the item's total is at its bound; check the quantities reported for it";
            return Err(invalid(format!("lines[{at}].quantity"), total));
        }
        lines.push(HistoryLine { item: *item, quantity: line.quantity, effect });
    }
    Ok(lines)
}

/// What a document's lines so far have moved of one item, in thousandths.
#[derive(Default)]
struct Moved {
    in_: u64,
    out: u64,
}

impl Moved {
    fn add(&mut self, effect: Quantity) {
        let total = if effect.is_negative() { &mut self.out } else { &mut self.in_ };
        *total = total.saturating_add(effect.thousandths().unsigned_abs());
    }

    /// Held below the bound of totals before anything is added to it.
    fn net(&self) -> i64 {
        self.in_.cast_signed() - self.out.cast_signed()
    }
}

/// "There are N" becomes the difference to what on hand was when the shelf was counted, so sales since then are kept.
fn count_effect(
    db: &Connection,
    mind: &Mind,
    document: &Document,
    line: &Line,
    item: ItemNo,
    anchor: Position,
    earlier_lines: i64,
) -> Result<Quantity, Stop> {
    let (counted_since, since) = match document.counted {
        Some(Counted::At(at)) => {
            (ledger::counted_after_time(db, item, at)?, ledger::effect_after_time(db, item, at)?)
        }
        _ => (
            ledger::counted_after_position(db, item, anchor)?,
            ledger::effect_after_position(db, item, anchor)?,
        ),
    };
    // A shelf that somebody has counted since is known better than this count can tell.
    if counted_since {
        return Ok(Quantity::ZERO);
    }
    let on_hand = mind.inventory.slot(item).map_or(0, |slot| slot.cell.on_hand().thousandths());
    let when_counted = on_hand - since + earlier_lines;
    Ok(Quantity::from_thousandths(line.quantity.thousandths() - when_counted))
}

/// A count is dated by when the shelf was counted, so that later questions by time see it where it belongs.
fn counted_or_occurred(document: &Document) -> UnixMillis {
    match document.counted {
        Some(Counted::At(at)) => at,
        _ => document.occurred_at,
    }
}

fn apply(mind: &mut Mind, kind: Kind, line: &HistoryLine, now: UnixMillis) {
    let slot = mind.inventory.touch(line.item);
    // Cannot pass the bound: `weigh` has left room for every line of the document.
    let moved = slot.cell.move_stock(line.effect);
    debug_assert!(moved.is_ok(), "weighed before");
    if kind == Kind::Sale {
        mind.inventory.observe_sale(line.item, line.quantity, now);
    }
}

/// A sale that names an order hands it over. An order that can't be handed over any more does not keep the till from its sale.
fn hand_over(
    db: &Connection,
    mind: &mut Mind,
    document: &Document,
    order: OrderId,
    lines: &[HistoryLine],
    now: UnixMillis,
) -> Result<(), Stop> {
    let sold: Vec<(ItemNo, Quantity)> = lines.iter().map(|line| (line.item, line.quantity)).collect();
    let till = document.source.as_str();
    if let Err(reason) = pickup::rung_up(db, mind, order, &sold, till, now)? {
        tracing::warn!(source = till, reference = document.reference.as_str(), %order, reason, "a sale names an order that it can't hand over");
    }
    Ok(())
}

/// Appends the document and its lines at the next positions.
fn write(
    db: &Connection,
    mind: &mut Mind,
    source: i64,
    document: &HistoryDocument,
    anchors: &[Option<Position>],
) -> Result<Vec<Position>, Stop> {
    ledger::add_document(db, source, mind.epoch, document)?;
    let mut positions = Vec::with_capacity(document.lines.len());
    for (line, anchor) in document.lines.iter().zip(anchors) {
        ledger::add_movement(db, mind.next_position, document.first_position, line, *anchor)?;
        positions.push(mind.next_position);
        mind.next_position = mind.next_position.next();
    }
    mind.history_head = document.last_position();
    mind.movements_recorded += document.lines.len() as u64;
    Ok(positions)
}

/// Writes an item of the shop's master data.
pub(super) fn put_item(db: &Connection, mind: &mut Mind, entry: &ItemEntry) -> Result<ItemPut, Stop> {
    judge_entry(db, mind, entry)?;
    let known = mind.inventory.by_sku(&entry.sku);
    let mut gtins = entry.gtins.clone();
    gtins.sort_unstable();
    gtins.dedup();
    let item = match known {
        Some(item) => item,
        None => next_item(mind)?,
    };
    let (sku, name, unit) = (entry.sku.clone(), entry.name.clone(), entry.unit.clone());
    let record = ItemRecord { item, sku, gtins, name, unit, unnamed: false };
    take_over_gtins(db, mind, &record)?;
    if known.is_none() {
        mind.inventory.add_item(db, &record)?;
        return Ok(ItemPut::Created);
    }
    let before = ledger::item(db, item)?;
    if before == record {
        return Ok(ItemPut::Unchanged);
    }
    mind.inventory.save_item(db, &before, &record)?;
    Ok(ItemPut::Changed)
}

/// A barcode first seen at a till made an item of its own, unnamed; master data says whose it is. That item keeps its movements.
fn take_over_gtins(db: &Connection, mind: &mut Mind, record: &ItemRecord) -> Result<(), Stop> {
    for gtin in &record.gtins {
        let Some(owner) = mind.inventory.by_gtin(*gtin).filter(|owner| *owner != record.item) else {
            continue;
        };
        let before = ledger::item(db, owner)?;
        let mut stripped = before.clone();
        stripped.gtins.retain(|kept| kept != gtin);
        mind.inventory.save_item(db, &before, &stripped)?;
    }
    Ok(())
}

fn judge_entry(db: &Connection, mind: &Mind, entry: &ItemEntry) -> Result<(), Stop> {
    for (field, text, max) in [("name", &entry.name, NAME_BYTES_MAX), ("unit", &entry.unit, UNIT_BYTES_MAX)] {
        if text.len() > max {
            return Err(invalid(field, format!("{} bytes are more than the {max} allowed", text.len())));
        }
    }
    if entry.gtins.len() > GTINS_MAX {
        return Err(invalid("gtins", format!("{} are more than the {GTINS_MAX} allowed", entry.gtins.len())));
    }
    let known = mind.inventory.by_sku(&entry.sku);
    for (at, gtin) in entry.gtins.iter().enumerate() {
        let Some(owner) = mind.inventory.by_gtin(*gtin).filter(|owner| Some(*owner) != known) else {
            continue;
        };
        let owner = ledger::item(db, owner)?;
        if !owner.unnamed {
            return Err(invalid(
                format!("gtins[{at}]"),
                format!("{gtin} already belongs to item `{}`", owner.sku),
            ));
        }
    }
    Ok(())
}
