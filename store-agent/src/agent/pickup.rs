//! Pickup orders at the store: taking what the hub wants, doing what staff do, and what that moves.
//!
//! Everything here works without the hub. What an act does to stock is booked in the same transaction: goods move by a
//! document of the ledger under [`SOURCE`], rights by the cell. An order's half is numbered before the cells it moves, so that
//! the hub never sees the cells without the reason.

use super::Mind;
use super::document::{Document, ItemKey, Line, RecordError};
use super::recording::{self, Stop};
use super::tasks;
use crate::store::ledger;
use crate::store::orders::{self, OrderRow};
use rusqlite::Connection;
use sync_protocol::order::lifecycle::Progress;
use sync_protocol::order::{self, Act, ActRefused, Effect, OrderId, Proof, ShortReason, Stage, StoreOrder};
use sync_protocol::pickup_code::{CodeRefused, PickupCode};
use sync_protocol::record::{HubOrderRecord, Kind};
use sync_protocol::stock::{Cell, EscrowError};
use sync_protocol::{ItemNo, Position, Quantity, Reference, Seq, SourceId, UnixMillis};

/// The source of the documents that acts on orders write. No till may use it.
pub const SOURCE: &str = "pickup";
/// How far the store's clock may be ahead before a good pickup code counts as expired: a day, as codes live for days.
pub const CLOCK_TOLERANCE_MS: i64 = 24 * 60 * 60 * 1000;

/// What somebody at the store wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub by: String,
    pub wish: Wish,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Act {
        order: OrderId,
        act: Act,
        /// The store's half must still be this one: two tablets may show one order.
        revision: Option<u32>,
    },
    /// Hand over on a code whose signature has been checked; the order need not have reached this store.
    Code(PickupCode),
}

/// Why it was not done. For the person who tried; nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickupError {
    #[error("this store has no order {order}; check the number, or scan the customer's pickup code")]
    NoSuchOrder { order: OrderId },
    #[error("order {order} has moved on: it is {status} now, at revision {revision}; look at it again first")]
    MovedOn { order: OrderId, status: &'static str, revision: u32 },
    #[error(transparent)]
    Refused(#[from] ActRefused),
    #[error(transparent)]
    Code(#[from] CodeRefused),
    #[error("the pickup code names item number {item}, which this store does not have; ask head office")]
    UnknownItem { item: ItemNo },
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Either the request is at fault, or the disk.
pub(super) enum Halt {
    Refused(PickupError),
    Disk(rusqlite::Error),
}

impl From<rusqlite::Error> for Halt {
    fn from(error: rusqlite::Error) -> Self {
        Halt::Disk(error)
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => Halt::Refused(error.into()),
            Stop::Disk(error) => Halt::Disk(error),
        }
    }
}

fn refused(error: impl Into<PickupError>) -> Halt {
    Halt::Refused(error.into())
}

/// Takes the hub's half of an order. The inner error is why it can't be.
pub(super) fn take_hub_half(
    db: &Connection,
    mind: &mut Mind,
    record: &HubOrderRecord,
    now: UnixMillis,
) -> rusqlite::Result<Result<(), String>> {
    let lines = &record.half.lines;
    if let Some(line) = lines.iter().find(|line| mind.inventory.slot(line.item).is_none()) {
        return Ok(Err(format!(
            "order {} names item {}, which this store does not have",
            record.order, line.item
        )));
    }
    let before = orders::order(db, mind.epoch, record.order)?;
    let mut row = before.clone().unwrap_or_else(|| OrderRow {
        order: record.order,
        hub: None,
        store: StoreOrder::received(mind.epoch, lines, now),
        seq: Seq(0),
    });
    let known = row.store.progress.iter().map(|line| (line.item, line.ordered));
    if !known.eq(lines.iter().map(|line| (line.item, line.quantity))) {
        return Ok(Err(format!("order {} has other lines than before", record.order)));
    }
    match &mut row.hub {
        Some(hub) => drop(hub.join(&record.half)),
        None => row.hub = Some(record.half.clone()),
    }
    let is_cancelled = row.hub.as_ref().is_some_and(|hub| hub.cancel.is_some());
    if is_cancelled && row.store.stage == Stage::Received {
        // Nobody has begun, so nobody has to put anything back. An order that has just come can't refuse it.
        let ended = row.store.act(&Act::AcknowledgeCancel, row.hub.as_ref(), "", now);
        debug_assert!(ended.is_ok(), "{ended:?}");
    }
    if before.as_ref() != Some(&row) {
        mind.inventory.save_order(db, before.as_ref(), row)?;
    }
    Ok(Ok(()))
}

/// Does what somebody wants done, and says how the order is then.
pub(super) fn work_off(
    db: &Connection,
    mind: &mut Mind,
    request: &Request,
    now: UnixMillis,
) -> Result<OrderRow, Halt> {
    match &request.wish {
        Wish::Act { order, act, revision } => {
            let row = orders::order(db, mind.epoch, *order)?;
            let row = row.ok_or_else(|| refused(PickupError::NoSuchOrder { order: *order }))?;
            let found = row.store.revision;
            if revision.is_some_and(|seen| seen != found) {
                let (order, status) = (*order, status(&row).name());
                return Err(refused(PickupError::MovedOn { order, status, revision: found }));
            }
            does(db, mind, Some(&row), row.clone(), act, &request.by, now)
        }
        Wish::Code(code) => hand_over_on_code(db, mind, code, &request.by, now),
    }
}

fn hand_over_on_code(
    db: &Connection,
    mind: &mut Mind,
    code: &PickupCode,
    by: &str,
    now: UnixMillis,
) -> Result<OrderRow, Halt> {
    code.check(&mind.store, now, CLOCK_TOLERANCE_MS).map_err(refused)?;
    let before = orders::order(db, mind.epoch, code.order)?;
    if before.as_ref().is_some_and(|row| row.store.stage == Stage::HandedOver) {
        return Err(refused(CodeRefused::Used));
    }
    if let Some(line) = code.lines.iter().find(|line| mind.inventory.slot(line.item).is_none()) {
        return Err(refused(PickupError::UnknownItem { item: line.item }));
    }
    let row = before.clone().unwrap_or_else(|| OrderRow {
        order: code.order,
        hub: None,
        store: StoreOrder::received(mind.epoch, &code.lines, now),
        seq: Seq(0),
    });
    does(db, mind, before.as_ref(), row, &Act::HandOver { proof: Proof::Code }, by, now)
}

fn does(
    db: &Connection,
    mind: &mut Mind,
    before: Option<&OrderRow>,
    mut row: OrderRow,
    act: &Act,
    by: &str,
    now: UnixMillis,
) -> Result<OrderRow, Halt> {
    let effects = row.store.act(act, row.hub.as_ref(), by, now).map_err(refused)?;
    bear(mind, &effects).map_err(refused)?;
    move_goods(db, mind, &row, act, &effects, now)?;
    mind.inventory.save_order(db, before, row.clone())?;
    for effect in &effects {
        move_rights(db, mind, *effect, act, now)?;
        if let (Effect::InDoubt { item, .. }, Act::Short { why: ShortReason::NotFound, .. }) = (effect, act) {
            tasks::not_found(db, mind, *item, row.order, now)?;
        }
    }
    Ok(orders::order(db, mind.epoch, row.order)?.unwrap_or(row))
}

/// A till has rung up a sale that names an order: the sale's document moves the goods, this closes the order. What of the order
/// was not rung up, the shopper did not take. An order that is not open any more stays as it is.
pub(super) fn rung_up(
    db: &Connection,
    mind: &mut Mind,
    order: OrderId,
    sold: &[(ItemNo, Quantity)],
    by: &str,
    now: UnixMillis,
) -> rusqlite::Result<Result<(), String>> {
    let Some(before) = orders::order(db, mind.epoch, order)? else {
        return Ok(Err(format!("this store has no order {order}")));
    };
    if before.store.stage == Stage::HandedOver && before.store.proof != Some(Proof::Till) {
        return rung_up_afterwards(db, mind, &before, sold, now);
    }
    if !before.store.stage.is_open() {
        return Ok(Err(format!("order {order} is {}", before.store.stage.name())));
    }
    let mut row = before.clone();
    if row.store.stage == Stage::Ready {
        // Picked in full; what is left in the bag goes back to its shelf.
        row.store.stage = Stage::Accepted;
    }
    let mut handed_over = Vec::new();
    for line in &mut row.store.progress {
        let due = line.ordered.thousandths() - line.short.thousandths();
        let taken = rung(sold, line.item).clamp(0, due);
        if taken < due {
            line.why = Some(ShortReason::NotTaken);
        }
        line.picked = Quantity::from_thousandths(taken);
        line.short = Quantity::from_thousandths(line.ordered.thousandths() - taken);
        if taken > 0 {
            handed_over.push((line.item, line.picked));
        }
    }
    let act = Act::HandOver { proof: Proof::Till };
    // A till does not ask whether head office has cancelled meanwhile: the shopper has it.
    if let Err(error) = row.store.act(&act, row.hub.as_ref(), by, now) {
        return Ok(Err(error.to_string()));
    }
    let effects: Vec<Effect> =
        handed_over.into_iter().map(|(item, quantity)| Effect::HandedOver { item, quantity }).collect();
    if let Err(error) = bear(mind, &effects) {
        return Ok(Err(error.to_string()));
    }
    mind.inventory.save_order(db, Some(&before), row)?;
    for effect in effects {
        if let Err(halt) = move_rights(db, mind, effect, &act, now) {
            return told(halt);
        }
    }
    Ok(Ok(()))
}

/// The order was handed over at the counter before the till rang it up. The goods have left once: what the sale repeats of the
/// handover is taken back from the handover's document, and from now on the till's sale stands for it.
fn rung_up_afterwards(
    db: &Connection,
    mind: &mut Mind,
    before: &OrderRow,
    sold: &[(ItemNo, Quantity)],
    now: UnixMillis,
) -> rusqlite::Result<Result<(), String>> {
    let mut row = before.clone();
    row.store.revision += 1;
    row.store.proof = Some(Proof::Till);
    let mut effects = Vec::new();
    for line in &row.store.progress {
        let repeated = rung(sold, line.item).clamp(0, line.picked.thousandths());
        if repeated > 0 {
            let quantity = Quantity::from_thousandths(repeated);
            effects.push(Effect::TakenBack { item: line.item, quantity });
        }
    }
    if effects.is_empty() {
        return Ok(Err(format!("order {} is handed over already, without any of this", row.order)));
    }
    // To the ledger it is as if the handover at the counter had been taken back.
    if let Err(halt) = move_goods(db, mind, &row, &Act::Undo, &effects, now) {
        return told(halt);
    }
    mind.inventory.save_order(db, Some(before), row)?;
    Ok(Ok(()))
}

/// How much of an item a sale has rung up, in thousandths; less than none where it was a return.
fn rung(sold: &[(ItemNo, Quantity)], item: ItemNo) -> i64 {
    let lines = sold.iter().filter(|(sold, _)| *sold == item);
    lines.fold(0, |sum, (_, quantity)| sum.saturating_add(quantity.thousandths()))
}

fn told(halt: Halt) -> rusqlite::Result<Result<(), String>> {
    match halt {
        Halt::Refused(error) => Ok(Err(error.to_string())),
        Halt::Disk(error) => Err(error),
    }
}

/// Writes what leaves or returns as a document of the ledger.
fn move_goods(
    db: &Connection,
    mind: &mut Mind,
    row: &OrderRow,
    act: &Act,
    effects: &[Effect],
    now: UnixMillis,
) -> Result<(), Halt> {
    for kind in [Kind::Pickup, Kind::Waste] {
        let mut lines = Vec::new();
        for (item, quantity) in effects.iter().filter_map(|effect| goods(*effect, kind)) {
            lines.push(Line { item: ItemKey::Sku(ledger::item(db, item)?.sku), quantity });
        }
        if lines.is_empty() {
            continue;
        }
        let document = Document {
            source: source(),
            reference: reference(row.order, act, &row.store, now),
            kind,
            reason: (kind == Kind::Waste)
                .then(|| format!("damaged, found when order {} was picked", row.order)),
            occurred_at: now,
            counted: None,
            cursor: None,
            lines,
            order: None,
            trace: None,
        };
        match recording::record(db, mind, &document, now) {
            // An earlier incarnation of this agent wrote it, and its figures hold it.
            Ok(_) | Err(Stop::Refused(RecordError::Conflict { .. })) => {}
            Err(stop) => return Err(stop.into()),
        }
    }
    Ok(())
}

fn goods(effect: Effect, kind: Kind) -> Option<(ItemNo, Quantity)> {
    match (effect, kind) {
        (Effect::HandedOver { item, quantity }, Kind::Pickup)
        | (Effect::Wasted { item, quantity }, Kind::Waste) => Some((item, quantity)),
        (Effect::TakenBack { item, quantity }, Kind::Pickup) => {
            Some((item, Quantity::from_thousandths(-quantity.thousandths())))
        }
        _ => None,
    }
}

/// Whether the cells can bear what an act does to rights. Asked before anything is written: a refusal changes nothing.
fn bear(mind: &Mind, effects: &[Effect]) -> Result<(), RecordError> {
    for (item, change) in effects.iter().filter_map(rights) {
        let mut cell = mind.inventory.slot(item).map(|slot| slot.cell).unwrap_or_default();
        change(&mut cell).map_err(bound)?;
    }
    Ok(())
}

fn move_rights(
    db: &Connection,
    mind: &mut Mind,
    effect: Effect,
    act: &Act,
    now: UnixMillis,
) -> Result<(), Halt> {
    if let Some((item, change)) = rights(&effect) {
        return change(&mut mind.inventory.touch(item).cell).map_err(|error| refused(bound(error)));
    }
    if let Effect::Wasted { item, quantity } | Effect::InDoubt { item, quantity } = effect {
        let is_lost = matches!(act, Act::Short { why: ShortReason::NotFound, .. });
        let position = Position(mind.next_position.0.saturating_sub(1));
        mind.inventory.give_up(db, item, quantity, is_lost.then_some((now, position)))?;
    }
    Ok(())
}

/// What an effect does to the cell of its item, beside moving goods.
fn rights(effect: &Effect) -> Option<(ItemNo, impl Fn(&mut Cell) -> Result<(), EscrowError>)> {
    let (item, quantity, is_back) = match *effect {
        Effect::HandedOver { item, quantity } => (item, quantity, false),
        Effect::TakenBack { item, quantity } => (item, quantity, true),
        Effect::Wasted { .. } | Effect::InDoubt { .. } => return None,
    };
    let change = move |cell: &mut Cell| {
        if is_back { cell.take_back(quantity) } else { cell.hand_over_promised(quantity) }
    };
    Some((item, change))
}

fn bound(error: EscrowError) -> RecordError {
    RecordError::Invalid { field: "quantity".to_owned(), reason: error.to_string() }
}

pub(super) fn source() -> SourceId {
    SOURCE.parse().expect("a short word is a source's name")
}

/// The same for the same act, whichever incarnation writes it, and another for any other: an incarnation that starts over from an
/// older copy gives the same revisions to other acts.
pub(super) fn reference(order: OrderId, act: &Act, half: &StoreOrder, at: UnixMillis) -> Reference {
    let total = |of: fn(&Progress) -> u64| half.progress.iter().map(of).fold(0, u64::saturating_add);
    let (what, so_far) = match act {
        Act::Undo => ("undo", total(|line| line.fulfilled)),
        Act::Short { .. } => ("short", total(|line| line.short.thousandths().unsigned_abs())),
        _ => ("pickup", total(|line| line.fulfilled)),
    };
    format!("{order}.{what}.{so_far}.{at}", at = at.0).parse().expect("short, and of plain letters")
}

/// How an order stands, in the one table's words.
#[must_use]
pub fn status(row: &OrderRow) -> order::Status {
    order::status(row.hub.as_ref(), Some(&row.store))
}
