//! Pickup orders: nothing is handed over twice or beyond what was ordered, what moves is booked, both ends come to the same, and
//! the hub's promises are what its orders stand for.
//!
//! Excused, and written at [`Ordered::is_forked`](crate::dst::orders::Ordered): where two disks of a store went on from one state,
//! or the only disk that knew of a handover is gone, the stage of an order may be either one's. What it did to stock may not.

use super::{Check, must};
use crate::dst::sabotage::Sabotage;
use crate::dst::staff::StaffAsked;
use crate::dst::tills::Waiting;
use crate::dst::truth::{self, DocNo, SkuNo};
use crate::dst::world::World;
use cloud_hub::hub::orders::{OrderError, OrderView};
use cloud_hub::storage::StoredOrder;
use std::collections::BTreeMap;
use store_agent::agent::pickup::Wish;
use store_agent::agent::{Answer, Document, ItemKey, Line, Output, PickupError};
use store_agent::store::orders::{self as rows, OrderRow};
use sync_protocol::link::store::LinkState;
use sync_protocol::order::{Act, OrderId, Proof, ShortReason, Stage, StoreOrder};
use sync_protocol::pickup_code::CodeRefused;
use sync_protocol::record::{Kind, document_key};
use sync_protocol::stock::Cell;
use sync_protocol::{ItemNo, Quantity, Reference, Sku, SourceId};

/// What agents write documents of acts under.
pub const SOURCE: &str = "pickup";

/// How far an order has come: the more it has handed over in all, then the later.
#[must_use]
pub fn progress(half: &StoreOrder) -> (u64, u32) {
    (half.progress.iter().map(|line| line.fulfilled).sum(), half.revision)
}

/// Takes note of what staff were told, before anything else is looked at: the documents that acts have written are in the ledger.
pub fn after_agent_step(
    world: &mut World,
    at: usize,
    outputs: &[Output],
) -> Result<Vec<DocNo>, super::Finding> {
    let mut written = Vec::new();
    world.orders.taken_back.clear();
    for output in outputs {
        let Output::Answer { ticket, answer: Answer::Pickup(answer) } = output else { continue };
        let Some(Waiting::Staff(asked)) = world.waiting.get(&ticket.0).cloned() else { continue };
        match answer {
            Ok(row) => {
                let document = done(world, at, &asked, row)?;
                if let Some(no) = document {
                    world.orders.written.insert(ticket.0, no);
                    written.push(no);
                }
            }
            Err(error) => refused(world, &asked, error),
        }
    }
    Ok(written)
}

fn refused(world: &mut World, asked: &StaffAsked, error: &PickupError) {
    let (used, other, expired) = match error {
        PickupError::Code(CodeRefused::Used) => (true, false, false),
        PickupError::Code(CodeRefused::OtherStore { .. }) => (false, true, false),
        PickupError::Code(CodeRefused::Expired) => (false, false, true),
        _ => (false, false, false),
    };
    world.coverage.sometimes("order: used code refused", used);
    world.coverage.sometimes("order: code of another store refused", other);
    world.coverage.sometimes("order: expired code refused", expired);
    world.coverage.sometimes("order: act refused", matches!(error, PickupError::Refused(_)));
    if let Some(part) = world.orders.parts.get_mut(&asked.order) {
        part.asked_at = None;
    }
}

/// An act was done: what it means for the goods, and the document that must be in the ledger now.
fn done(
    world: &mut World,
    at: usize,
    asked: &StaffAsked,
    row: &OrderRow,
) -> Result<Option<DocNo>, super::Finding> {
    must(!asked.must_refuse, "P3", || {
        format!("machine {at} was to refuse {:?} of order {}, and did it", asked.wish, asked.order)
    })?;
    must(row.order == asked.order, "P1", || format!("asked about {}, answered {}", asked.order, row.order))?;
    let is_apart = world.machines[at].is_apart || world.machines.len() > world.store_ids.len();
    let at_hub = world
        .hub
        .with_storage(|storage| storage.orders.get(&(world.machines[at].store, asked.order)).cloned());
    note_rare_acts(world, at, asked, row, at_hub.as_ref());
    if let Some(part) = world.orders.parts.get_mut(&asked.order) {
        part.is_forked |= is_apart;
        part.latest = part.latest.max(progress(&row.store));
        part.asked_at = None;
    }
    let picked = || row.store.progress.iter().map(|line| (line.item, line.picked));
    match &asked.wish {
        Wish::Code(_) | Wish::Act { act: Act::HandOver { .. }, .. } => {
            handed_over(world, at, row)?;
            let lines = picked().filter(|(_, picked)| *picked > Quantity::ZERO).collect();
            report(world, at, row, "pickup", lines).map(Some)
        }
        Wish::Act { act: Act::Undo, .. } => {
            let lines: Vec<_> = picked().filter(|(_, picked)| *picked > Quantity::ZERO).collect();
            taken_back(world, at, row, &lines);
            let lines =
                lines.into_iter().map(|(item, q)| (item, Quantity::from_thousandths(-q.thousandths())));
            report(world, at, row, "undo", lines.collect()).map(Some)
        }
        Wish::Act { act: Act::Short { item, quantity, why: ShortReason::Damaged }, .. } => {
            report(world, at, row, "short", vec![(*item, *quantity)]).map(Some)
        }
        Wish::Act { .. } => Ok(None),
    }
}

fn note_rare_acts(
    world: &mut World,
    at: usize,
    asked: &StaffAsked,
    row: &OrderRow,
    at_hub: Option<&StoredOrder>,
) {
    let is_down = world.machines[at]
        .process
        .as_ref()
        .is_none_or(|process| process.agent.status().link == LinkState::Down);
    let is_cancelled = at_hub.and_then(|order| order.hub.as_ref()).is_some_and(|hub| hub.cancel.is_some());
    let hub_saw = at_hub.and_then(|order| order.store.as_ref()).map(|store| store.stage);
    let coverage = &mut world.coverage;
    match &asked.wish {
        Wish::Code(_) => {
            coverage.sometimes("order: handed over that the store had not heard of", row.hub.is_none());
            coverage.sometimes("order: handed over with the line down", is_down);
            coverage.sometimes("order: cancel beaten by a handover", is_cancelled);
        }
        Wish::Act { act, .. } => match act {
            Act::HandOver { .. } => {
                coverage.sometimes("order: handed over with the line down", is_down);
                coverage.sometimes("order: cancel beaten by a handover", is_cancelled);
            }
            Act::Undo => coverage
                .sometimes("order: taken back after the hub saw it", hub_saw == Some(Stage::HandedOver)),
            Act::Short { .. } => coverage.hit("order: short"),
            Act::Refuse { .. } => coverage.hit("order: refused"),
            Act::AcknowledgeCancel => coverage.hit("order: cancel acknowledged"),
            Act::PutBack => coverage.hit("order: put back"),
            _ => {}
        },
    }
}

fn handed_over(world: &mut World, at: usize, row: &OrderRow) -> Check {
    let names: BTreeMap<ItemNo, Option<String>> =
        row.store.progress.iter().map(|line| (line.item, sku_at(world, at, line.item))).collect();
    let sabotaged = world.sabotage == Some(Sabotage::HandsOverTwice);
    let Some(part) = world.orders.parts.get_mut(&row.order) else {
        return must(false, "P3", || format!("order {} was handed over, which nobody placed", row.order));
    };
    must(!part.is_gone, "P3", || {
        format!("order {} was handed over on machine {at}; its shopper has the goods already", row.order)
    })?;
    part.is_gone = true;
    part.by_till = false;
    part.gone.clear();
    for line in &row.store.progress {
        let sku = names.get(&line.item).cloned().flatten();
        let ordered = part.half.lines.iter().zip(&part.skus).find(|(_, of)| Some(*of) == sku.as_ref());
        let ordered = ordered.map_or(Quantity::ZERO, |(line, _)| line.quantity);
        if let Some(sku) = sku.clone().filter(|_| line.picked > Quantity::ZERO) {
            *part.gone.entry(sku).or_default() += line.picked.thousandths().unsigned_abs();
        }
        must(line.picked <= ordered, "P3", || {
            format!(
                "{} of {sku:?} were handed over of order {}, {ordered} were ordered",
                line.picked, row.order
            )
        })?;
    }
    let part_of = part.part_of;
    super::ends::one_bag(world, part_of)?;
    if sabotaged {
        let mut forgotten = row.clone();
        forgotten.store.stage = Stage::Received;
        let _ = rows::save_order(world.machines[at].database(), &forgotten);
    }
    Ok(())
}

fn taken_back(world: &mut World, at: usize, row: &OrderRow, lines: &[(ItemNo, Quantity)]) {
    if let Some(part) = world.orders.parts.get_mut(&row.order) {
        (part.is_gone, part.by_till) = (false, false);
        part.gone.clear();
    }
    for (item, quantity) in lines {
        let Some(sku) = sku_at(world, at, *item) else { continue };
        let sku = world.truth.sku_no(&sku);
        *world.orders.taken_back.entry(sku).or_default() += quantity.thousandths().unsigned_abs();
    }
}

fn sku_at(world: &World, at: usize, item: ItemNo) -> Option<String> {
    let db = world.machines[at].database();
    db.query_row("SELECT sku FROM item WHERE item = ?1", [item.0], |row| row.get(0)).ok()
}

/// The document of an act comes into the world.
fn report(
    world: &mut World,
    at: usize,
    row: &OrderRow,
    what: &str,
    lines: Vec<(ItemNo, Quantity)>,
) -> Result<DocNo, super::Finding> {
    let store = world.machines[at].store;
    let source: SourceId = SOURCE.parse().expect("a word is a source");
    let so_far: u64 = match what {
        "short" => row.store.progress.iter().map(|line| line.short.thousandths().unsigned_abs()).sum(),
        _ => row.store.progress.iter().map(|line| line.fulfilled).sum(),
    };
    let now = world.wall(world.machines[at].clock_ahead);
    let reference: Reference =
        format!("{}.{what}.{so_far}.{}", row.order, now.0).parse().expect("short and printable");
    let kind = if what == "short" { Kind::Waste } else { Kind::Pickup };
    if let Some(no) = world.truth.by_key(store, &document_key(&source, &reference)) {
        return Ok(no);
    }
    let mut of_document = Vec::new();
    for (item, quantity) in lines {
        let sku = sku_at(world, at, item).and_then(|sku| sku.parse::<Sku>().ok());
        let sku = sku.ok_or_else(|| super::Finding {
            promise: "P8",
            what: format!("order {} names item {item}, which machine {at} does not have", row.order),
        })?;
        of_document.push(Line { item: ItemKey::Sku(sku), quantity });
    }
    let document = Document {
        source,
        reference,
        kind,
        reason: None,
        occurred_at: row.store.since,
        counted: None,
        cursor: None,
        lines: of_document,
        order: None,
        trace: None,
    };
    Ok(world.truth.report(store, document, false))
}

/// The documents of this step's acts are in this server's ledger, once and as they were meant.
pub fn booked(world: &mut World, at: usize, written: &[DocNo], took_over: bool) -> Check {
    for no in written {
        let document = world.truth.document(*no).document.clone();
        let reference = document.reference.clone();
        let moved = truth::moved_by(world.machines[at].database(), &document, &mut world.truth);
        let done: i64 = moved.effects.values().sum();
        let total = truth::Truth::total_effect(&document).unwrap_or_default();
        must(done == total, "P2", || format!("machine {at} booked `{reference}` as {done}, it is {total}"))?;
        world.truth.documents[no.0].lost = false;
        if !took_over {
            let twice = world.machines[at].books.has(*no);
            must(!twice, "P8", || {
                format!("machine {at} did not book `{reference}`: it had one of that name")
            })?;
            world.machines[at].books.record(*no, moved);
        }
    }
    Ok(())
}

/// One key stands for one order, whoever asks again.
pub fn same_key_same_answer(
    world: &World,
    told: Option<OrderId>,
    other_body: bool,
    answer: &Result<Box<OrderView>, OrderError>,
) -> Check {
    let Some(told) = told.filter(|_| world.hub.restores == 0) else { return Ok(()) };
    match answer {
        Ok(view) => must(view.is_replayed && view.shop.order == told && !other_body, "P3", || {
            format!("a key that stood for order {told} now stands for {}", view.shop.order)
        }),
        Err(OrderError::KeyReused | OrderError::Storage) => Ok(()),
        Err(error) => must(false, "P3", || format!("order {told} was placed; asked again: {error}")),
    }
}

// In the end.

/// Where the two ends differ about orders, or one that should be ending is not.
#[must_use]
pub fn difference(world: &World, store: usize, at: usize) -> Option<String> {
    let process = world.machines[at].process.as_ref()?;
    let db = process.agent.database();
    let mut own: BTreeMap<OrderId, OrderRow> = BTreeMap::new();
    let read = rows::each_order(db, truth::epoch(db), |row| drop(own.insert(row.order, row)));
    read.expect("the orders can be read");
    let at_hub = world.hub.with_storage(|storage| storage.orders_of(store));
    for (order, theirs) in &at_hub {
        let Some(row) = own.get(order) else {
            return Some(format!("the store has no order {order}: {theirs:?}"));
        };
        if row.hub != theirs.hub || Some(&row.store) != theirs.store.as_ref() {
            return Some(format!("order {order} differs: store {row:?}, hub {theirs:?}"));
        }
        let status = store_agent::agent::pickup::status(row);
        if status != theirs.status() {
            return Some(format!(
                "order {order} is {status:?} at the store, {:?} at the hub",
                theirs.status()
            ));
        }
        let has_run_out = theirs.hub.as_ref().is_some_and(|hub| {
            hub.cancel.is_none() && hub.hold_until < world.hub_now().wall && !status.is_final()
        });
        if has_run_out {
            return Some(format!("nobody came for order {order} in time, and it is still {status:?}"));
        }
    }
    own.keys().find(|order| !at_hub.contains_key(order)).map(|order| format!("the hub has no order {order}"))
}

/// Whether orders stand for more of an item than the hub could promise for them so far.
#[must_use]
pub fn is_awaited(world: &World, store: usize, item: ItemNo) -> bool {
    let stored = world.hub.with_storage(|storage| storage.stored(store));
    let backed = stored.orders.iter().flat_map(StoredOrder::backed);
    let backed: u64 = backed.filter(|(of, _)| *of == item).map(|(_, units)| units).sum();
    stored
        .cells
        .iter()
        .find(|(of, _)| *of == item)
        .is_some_and(|(_, cell)| cell.cell.hub.promised - cell.cell.hub.released < backed + cell.held)
}

/// Everything is in step: the hub's promises are what its orders stand for, and orders are where the goods are.
pub fn all_is_well(world: &mut World, store: usize) -> Check {
    let stored = world.hub.with_storage(|storage| storage.stored(store));
    let mut meant: BTreeMap<ItemNo, u64> = BTreeMap::new();
    for (item, units) in stored.orders.iter().flat_map(StoredOrder::backed) {
        *meant.entry(item).or_default() += units;
    }
    for (item, cell) in &stored.cells {
        let backed = meant.remove(item).unwrap_or(0);
        promises_fit(store, *item, &cell.cell, backed + cell.held, backed)?;
        nothing_stays_held(world, store, *item, cell.held)?;
    }
    let left: u64 = meant.values().sum();
    must(left == 0, "P3", || format!("orders of store {store} stand for items without a cell: {meant:?}"))?;
    let known: BTreeMap<OrderId, &StoredOrder> =
        stored.orders.iter().map(|order| (order.order, order)).collect();
    for (order, part) in world.orders.parts.iter().filter(|(_, part)| part.store == store) {
        let Some(stored) = known.get(order) else {
            must(!part.is_told || part.is_forgotten, "P3", || {
                format!("order {order} of store {store} was placed, and is silently gone")
            })?;
            continue;
        };
        let Some(half) = stored.store.as_ref().filter(|_| !part.is_forked && !part.by_till) else { continue };
        let is_handed_over = half.stage == Stage::HandedOver && half.proof != Some(Proof::Till);
        must(is_handed_over == part.is_gone, "P3", || {
            format!("order {order}: its shopper has the goods: {}; both ends say {half:?}", part.is_gone)
        })?;
    }
    Ok(())
}

/// Every reservation has run out by now. What is held without an order is what somebody was promised otherwise, as far as answers have
/// reached them; a restored hub parks what it has forgotten.
fn nothing_stays_held(world: &World, store: usize, item: ItemNo, held: u64) -> Check {
    if world.hub.restores > 0 || !world.reserving.at_hub.is_empty() {
        return Ok(());
    }
    let sku = world.hub.with_storage(|storage| storage.skus.get(&(store, item)).cloned());
    let Some(known) = sku.clone().map(|sku| world.shoppers.may_hold(store, &sku)) else { return Ok(()) };
    let (least, most) = known;
    must((least..=most).contains(&held), "P3", || {
        format!(
            "the hub holds {held} of {sku:?} in store {store} without an order, between {least} and {most} were asked for"
        )
    })
}

/// `promised − released` is what orders stand for and what is held. Less only where a handover was taken back and nothing is free.
fn promises_fit(store: usize, item: ItemNo, cell: &Cell, meant: u64, backed: u64) -> Check {
    let used = cell.hub.promised.saturating_sub(cell.hub.released);
    let waits = used < meant && cell.free() <= Quantity::ZERO;
    must(used == meant || waits, "P3", || {
        format!(
            "item {item} of store {store}: {used} promised, {meant} meant, {backed} of it for orders: {cell:?}"
        )
    })
}

impl World {
    /// After a disk or a copy of the hub is gone: which orders nobody knows of any more, and whose handovers.
    pub(in crate::dst) fn reckon_orders(&mut self, store: usize, machines: &[usize]) {
        let mut best: BTreeMap<OrderId, (u64, u32)> = BTreeMap::new();
        let mut note = |order: OrderId, progress: (u64, u32)| {
            let found = best.entry(order).or_default();
            *found = progress.max(*found);
        };
        for at in machines {
            let db = self.machines[*at].database();
            rows::each_order(db, truth::epoch(db), |row| note(row.order, progress(&row.store)))
                .expect("the orders can be read");
        }
        for (order, stored) in self.hub.with_storage(|storage| storage.orders_of(store)) {
            note(order, stored.store.as_ref().map(progress).unwrap_or_default());
        }
        for (order, part) in self.orders.parts.iter_mut().filter(|(_, part)| part.store == store) {
            let found = best.get(order);
            part.is_forgotten |= found.is_none();
            part.is_forked |= found.is_none_or(|found| *found < part.latest) && part.latest > (0, 0);
        }
    }

    pub(in crate::dst) fn staff_answered(&mut self, ticket: u64) {
        if let Some(no) = self.orders.written.remove(&ticket) {
            self.truth.documents[no.0].answered = true;
        }
    }
}

/// What came back from shoppers in one step, by item.
pub type TakenBack = BTreeMap<SkuNo, u64>;
