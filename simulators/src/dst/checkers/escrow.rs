//! P3: the hub never promises more than the store has granted, the store grants only what is on its shelf, shoppers hold no more
//! than the hub knows of, and the index shows what the cells say.

use super::{Check, must};
use crate::dst::world::World;
use std::collections::BTreeMap;
use sync_protocol::{Epoch, ItemNo};

pub fn after_hub_step(world: &mut World) -> Check {
    for store in 0..world.store_ids.len() {
        forget_catching_up(world, store);
        cells_are_covered(world, store)?;
        rights_are_the_stores(world, store)?;
        shoppers_are_covered(world, store)?;
        reserved_is_held(world, store)?;
    }
    Ok(())
}

/// After a restore, the hub's copy of what a store granted may be older than what it hears back of its own promises, and the store's
/// grants may be from before what the hub's copy has used. That ends once each has heard all of the other.
fn forget_catching_up(world: &mut World, store: usize) {
    if !world.hub.catching_up[store] {
        return;
    }
    let (id, hub) = (&world.store_ids[store], world.hub.hub());
    let marks = hub.and_then(|hub| Some((hub.marks(id)?, hub.down_head(id)?)));
    let Some(((epoch, mark, _, trusted), down_head)) = marks else { return };
    let machines = world.machines_of(store);
    let caught_up = machines.iter().any(|at| {
        let status = world.machines[*at].process.as_ref().map(|process| process.agent.status());
        status.is_some_and(|status| {
            status.epoch == epoch && mark >= status.state_head && status.down_mark >= down_head
        })
    });
    world.hub.catching_up[store] = !(trusted && caught_up);
}

fn cells_are_covered(world: &mut World, store: usize) -> Check {
    let id = &world.store_ids[store];
    let Some(hub) = world.hub.hub() else { return Ok(()) };
    let mut returned = false;
    for (item, cell) in hub.cells(id) {
        returned |= cell.hub.returned > 0;
        let covered = !cell.free().is_negative() || world.hub.catching_up[store];
        must(covered, "P3", || {
            format!(
                "item {item} of store {store}: promised {} + returned {} - released {} > granted {}",
                cell.hub.promised, cell.hub.returned, cell.hub.released, cell.store.granted
            )
        })?;
    }
    world.coverage.sometimes("hub: recall honoured", returned);
    Ok(())
}

/// The same against what the store's servers were seen to grant, not against the hub's copy of it.
fn rights_are_the_stores(world: &World, store: usize) -> Check {
    let Some(hub) = world.hub.hub().filter(|_| world.hub.restores == 0) else { return Ok(()) };
    world.hub.with_storage(|storage| {
        for (item, cell) in hub.cells(&world.store_ids[store]) {
            let Some(sku) = storage.skus.get(&(store, item)) else { continue };
            let granted = world.truth.granted[store].get(sku).copied().unwrap_or(0);
            let used = cell.hub.promised + cell.hub.returned;
            must(used <= granted + cell.hub.released, "P3", || {
                format!(
                    "the hub has used {used} of `{sku}` in store {store}, which granted {granted}: {cell:?}"
                )
            })?;
        }
        Ok(())
    })
}

/// What shoppers hold, the hub knows: so it is within what was granted. A store that is not trusted is asked for nothing.
fn shoppers_are_covered(world: &World, store: usize) -> Check {
    let marks = world.hub.hub().and_then(|hub| hub.marks(&world.store_ids[store]));
    let trusted = marks.is_some_and(|(epoch, _, _, trusted)| trusted && epoch > Epoch(0));
    if !trusted || world.hub.unheard[store] || world.hub.catching_up[store] {
        return Ok(());
    }
    for ((of, sku), held) in &world.shoppers.held {
        if *of != store {
            continue;
        }
        let known = world.promised_at_hub(store, sku).unwrap_or(0);
        must(held.promised + held.ordered + held.reserved <= known, "P3", || {
            format!(
                "shoppers were promised {}, {} and {} of `{sku}` in store {store}, the hub knows of {known}",
                held.promised, held.ordered, held.reserved
            )
        })?;
    }
    Ok(())
}

/// What shoppers count on at the checkout, and every reservation on the hub's disk, is among what the hub holds without an order. A
/// restored hub has forgotten which of it was whose.
fn reserved_is_held(world: &World, store: usize) -> Check {
    if world.hub.restores > 0 || world.hub.hub().is_none() {
        return Ok(());
    }
    let mut stored: BTreeMap<ItemNo, u64> = BTreeMap::new();
    let of_store = world.reserving.at_hub.values().filter(|it| it.store == world.store_ids[store]);
    for line in of_store.flat_map(|reservation| &reservation.lines) {
        *stored.entry(ItemNo(line.item)).or_default() += line.quantity.thousandths().unsigned_abs();
    }
    let counted_on = world.counted_on(store);
    world.hub.with_storage(|storage| {
        let held = |item: &ItemNo| storage.held.get(&(store, *item)).copied().unwrap_or(0);
        must_hold("shoppers count on", &counted_on, held)?;
        must_hold("reservations keep", &stored, held)
    })
}

fn must_hold(what: &str, meant: &BTreeMap<ItemNo, u64>, held: impl Fn(&ItemNo) -> u64) -> Check {
    meant.iter().try_for_each(|(item, units)| {
        must(*units <= held(item), "P3", || {
            format!("{what} {units} of item {item}, the hub holds {} without an order", held(item))
        })
    })
}

/// The index holds the figures of the hub's cells.
pub fn shown_is_true(world: &World) -> Check {
    let Some(hub) = world.hub.hub() else { return Ok(()) };
    for (id, shown) in world.store_ids.iter().zip(&world.hub.shown) {
        for (item, cell) in hub.cells(id) {
            let Some(shown) = shown.get(&item) else { continue };
            let same = (shown.on_hand, shown.free, shown.open) == (cell.on_hand(), cell.free(), cell.open());
            must(same, "P6", || format!("item {item} of {id} is shown as {shown:?}, its cell is {cell:?}"))?;
        }
    }
    Ok(())
}

/// S1: a store that grants has its whole claim on the shelf.
pub fn after_agent_step(world: &mut World, at: usize) -> Check {
    let machine = &mut world.machines[at];
    let Some(process) = &mut machine.process else { return Ok(()) };
    let mut breach = false;
    for sku in machine.books.on_hand.keys() {
        let key = world.truth.sku(*sku).clone();
        let Some(cell) = process.agent.cell(&key) else { continue };
        let before = process.granted.insert(*sku, cell.store.granted);
        world.truth.note_granted(machine.store, *sku, cell.store.granted);
        let covered = cell.shortfall().is_zero();
        breach |= !covered;
        // What a shopper brought back is granted anew for the same order, whatever else is missing from the shelf.
        let anew = world.orders.taken_back.get(sku).copied().unwrap_or(0);
        let more = before.is_some_and(|before| before + anew < cell.store.granted);
        // What a restored hub used in a time it has forgotten is owed all the same; it adds nothing that may be promised.
        let owed = world.hub.restores > 0 && cell.free().is_zero();
        must(!more || covered || owed, "P3", || {
            format!("machine {at} granted `{key}` beyond its shelf: {cell:?}")
        })?;
    }
    world.coverage.sometimes("till: breach", breach);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_whose_units_somebody_else_has_got_is_noticed() {
        let meant = BTreeMap::from([(ItemNo(1), 2_000)]);
        assert_eq!(must_hold("shoppers count on", &meant, |_| 2_000), Ok(()));
        assert_eq!(must_hold("shoppers count on", &meant, |_| 1_999).unwrap_err().promise, "P3");
    }
}
