//! P4 and P5: once messages get through again, everything that waited is worked off within a bound, and both ends hold the same.

use super::{Check, Finding, ledger, must, orders};
use crate::dst::tills::journal_source;
use crate::dst::truth;
use crate::dst::world::World;
use std::collections::BTreeMap;
use sync_protocol::stock::Cell;
use sync_protocol::{ItemNo, Sku};

/// What still keeps a store from being in step with the hub; `None` when nothing does.
#[must_use]
pub fn missing(world: &World, store: usize) -> Option<String> {
    let machines = world.machines_of(store);
    let [at] = machines.as_slice() else { return Some(format!("{} servers", machines.len())) };
    let machine = &world.machines[*at];
    let Some(process) = &machine.process else { return Some("its server is off".to_owned()) };
    let status = process.agent.status();
    if !status.is_caught_up() {
        return Some(format!(
            "link {}, {} records and history {}/{} to go",
            status.link.name(),
            status.records_pending,
            status.history_acked,
            status.history_head
        ));
    }
    let Some((epoch, mark, position, trusted)) =
        world.hub.hub().and_then(|hub| hub.marks(&world.store_ids[store]))
    else {
        return Some("the hub is off".to_owned());
    };
    if (epoch, mark, position, trusted)
        != (status.epoch, status.state_head, status.history_head.max(position), true)
    {
        return Some(format!(
            "the hub is at epoch {epoch}, {mark}/{position}, trusted {trusted}; the store at {status:?}"
        ));
    }
    if let Some(till) = world.tills.iter().find(|till| till.store == store && !till.pending.is_empty()) {
        return Some(format!("a till waits for {} answers", till.pending.len()));
    }
    if world.plan.journals && machine.reader < world.journals[store].entries.len() {
        return Some(format!(
            "the POS is read up to {} of {}",
            machine.reader,
            world.journals[store].entries.len()
        ));
    }
    difference(world, store, *at)
}

/// Where the two copies differ.
fn difference(world: &World, store: usize, at: usize) -> Option<String> {
    let hub = world.hub.hub()?;
    let id = &world.store_ids[store];
    let process = world.machines[at].process.as_ref()?;
    let at_hub: BTreeMap<ItemNo, Cell> = hub.cells(id).filter(|(_, cell)| *cell != zero(cell)).collect();
    let skus = world.hub.with_storage(|storage| storage.skus.clone());
    let own = items(process.agent.database());
    let at_hub_items: BTreeMap<ItemNo, &str> = skus
        .iter()
        .filter(|((of, _), _)| *of == store)
        .map(|((_, item), sku)| (*item, sku.as_str()))
        .collect();
    let own_items: BTreeMap<ItemNo, &str> = own.iter().map(|(item, sku)| (*item, sku.as_str())).collect();
    if at_hub_items != own_items {
        return Some(format!("items differ: hub {at_hub_items:?}, store {own_items:?}"));
    }
    for (item, sku) in &own {
        let key: Sku = sku.parse().expect("it came from the agent");
        let cell = process.agent.cell(&key).unwrap_or_default();
        let theirs = at_hub.get(item).copied().unwrap_or(zero(&cell));
        // The hub may be a step ahead for as long as an order waits for units: the store sets more aside as its reserve falls, each
        // time it hears that what it has set aside is taken.
        let ahead =
            Cell { hub: sync_protocol::stock::HubHalf { promised: theirs.hub.promised, ..cell.hub }, ..cell };
        let is_awaited = ahead == theirs && cell != theirs && orders::is_awaited(world, store, *item);
        if cell != theirs && cell != zero(&cell) && !is_awaited {
            return Some(format!("item {item} `{sku}` differs: store {cell:?}, hub {theirs:?}"));
        }
    }
    let cursors = world.hub.with_storage(|storage| storage.cursors(store));
    let own = truth::cursor(process.agent.database(), &journal_source());
    if cursors.get(journal_source().as_str()) != own.as_ref() {
        return Some(format!("cursors differ: hub {cursors:?}, store {own:?}"));
    }
    orders::difference(world, store, at)
}

/// An empty cell of the same epoch.
fn zero(cell: &Cell) -> Cell {
    let mut zero = Cell::default();
    zero.store.epoch = cell.store.epoch;
    zero
}

/// The items of an agent, by number.
#[must_use]
pub fn items(db: &rusqlite::Connection) -> Vec<(ItemNo, String)> {
    let mut statement =
        db.prepare_cached("SELECT item, sku FROM item ORDER BY item").expect("the schema has this table");
    let rows = statement.query_map([], |row| Ok((ItemNo(row.get(0)?), row.get(1)?))).expect("it can be read");
    rows.map(|row| row.expect("an item has a number and a sku")).collect()
}

/// Everything is in step: now nothing may be missing, doubled or set aside.
pub fn all_is_well(world: &mut World) -> Check {
    for store in 0..world.store_ids.len() {
        let at = world.machines_of(store)[0];
        ledger::disk_is_whole(world, at)?;
        ledger::on_hand(world, at)?;
        ledger::nothing_is_missing(world, store, at)?;
        orders::all_is_well(world, store)?;
        let quarantined =
            world.machines[at].process.as_ref().map_or(0, |process| process.agent.status().quarantined);
        must(quarantined == 0, "P5", || {
            format!("the agent of store {store} has {quarantined} records in quarantine")
        })?;
    }
    let (records, _) = world
        .hub
        .with_storage(|storage| cloud_hub::storage::Storage::quarantined(&mut storage.sqlite))
        .unwrap_or_default();
    must(records == 0 || world.sabotage.is_some(), "P5", || {
        format!("the hub has {records} records in quarantine")
    })?;
    let excused = world.rotted || world.hub.restores > 0;
    must(world.digest_mismatches == 0 || excused, "P4", || {
        format!("digests differed at equal heads {} times", world.digest_mismatches)
    })
}

/// It took too long.
#[must_use]
pub fn overdue(world: &World, store: usize, what: &str) -> Finding {
    Finding {
        promise: "P4",
        what: format!("store {store} is not in step with the hub after {} ms: {what}", world.healed_for()),
    }
}
