//! Taking over notes with an epoch: the hub's own as it hands them over, and this store's as whoever knows more of them.

use super::tasks;
use crate::store::notes::{self, Writer};
use rusqlite::{Connection, Result};
use std::collections::{BTreeMap, HashMap};
use sync_protocol::canary::Canary;
use sync_protocol::count::CountTask;
use sync_protocol::frame::Handover;
use sync_protocol::record::{Note, Topic};
use sync_protocol::{ItemNo, Seq};

/// Replaces the notes on disk. `numbers` leads from the store's own item numbers to those of the new epoch; says how far the epoch's
/// sequence has come.
pub(super) fn adopt(
    db: &Connection,
    parts: &[Handover],
    numbers: &HashMap<ItemNo, ItemNo>,
    mut seq: Seq,
) -> Result<Seq> {
    let mut own: BTreeMap<(Topic, u32), Note> =
        parts.iter().flat_map(|part| &part.store_notes).map(|note| (name(note), note.clone())).collect();
    notes::each_note(db, |writer, note, _| {
        let key = match note.topic {
            Topic::COUNT_TASK => numbers.get(&ItemNo(note.key)).map(|item| item.0),
            Topic::PAUSE | Topic::CANARY => Some(note.key),
            _ => None,
        };
        if let Some(key) = key.filter(|_| writer == Writer::Store) {
            let note = Note { key, ..note };
            own.entry(name(&note)).and_modify(|kept| *kept = later(kept, &note)).or_insert(note);
        }
    })?;
    notes::forget(db, Writer::Hub)?;
    notes::forget(db, Writer::Store)?;
    for note in parts.iter().flat_map(|part| &part.hub_notes) {
        notes::save(db, Writer::Hub, note, Seq(0))?;
    }
    for note in own.into_values().map(landed) {
        seq = seq.next();
        notes::save(db, Writer::Store, &note, seq)?;
    }
    Ok(seq)
}

fn name(note: &Note) -> (Topic, u32) {
    (note.topic, note.key)
}

/// What was followed in the epoch before may be at another position now, or gone; the next movement is followed instead.
fn landed(note: Note) -> Note {
    match Canary::read(&note.text) {
        Ok(canary) if note.topic == Topic::CANARY => Canary { under_way: None, ..canary }.note(),
        _ => note,
    }
}

fn later(hubs: &Note, disks: &Note) -> Note {
    if hubs.topic == Topic::CANARY {
        let arrival = |note: &Note| Canary::read(&note.text).ok()?.arrived.map(|arrival| arrival.accepted_at);
        return if arrival(disks) > arrival(hubs) { disks.clone() } else { hubs.clone() };
    }
    match (CountTask::read(&hubs.text), CountTask::read(&disks.text)) {
        (Ok(one), Ok(other)) => tasks::later(one, other).note(ItemNo(hubs.key)),
        (Err(_), Ok(_)) => disks.clone(),
        _ => hubs.clone(),
    }
}
