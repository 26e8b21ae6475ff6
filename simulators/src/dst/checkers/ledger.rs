//! P1, P2 and P8: the till is always answered; what was answered is in the ledger, once; and what a server takes over adds up to
//! what was reported, each document once.

use super::{Check, must};
use crate::dst::tills::Waiting;
use crate::dst::truth::{self, Books, DocNo, Effects, Moved, SkuNo, Truth};
use crate::dst::world::World;
use std::collections::{BTreeMap, BTreeSet};
use store_agent::agent::{Answer, Output, RecordError, Recorded};
use sync_protocol::record::{HistoryDocument, document_key};
use sync_protocol::{Epoch, ItemNo, Position, Sku};

/// Everything about what an agent answered and did to its ledger in one step.
pub fn after_agent_step(
    world: &mut World,
    at: usize,
    asked: &[(u64, usize)],
    written: &[DocNo],
    outputs: &[Output],
) -> Check {
    let took_over = notice_take_over(world, at)?;
    super::orders::booked(world, at, written, took_over)?;
    for (ticket, count) in asked {
        let answers = outputs.iter().filter_map(|output| match output {
            Output::Answer { ticket: of, answer } if of.0 == *ticket => Some(answer),
            _ => None,
        });
        let answers: Vec<&Answer> = answers.collect();
        let [answer] = answers.as_slice() else {
            return must(false, "P1", || {
                format!("machine {at} gave {} answers to one question", answers.len())
            });
        };
        answer_is_good(world, at, *ticket, *count, answer, took_over)?;
    }
    on_hand(world, at)
}

fn answer_is_good(
    world: &mut World,
    at: usize,
    ticket: u64,
    count: usize,
    answer: &Answer,
    took_over: bool,
) -> Check {
    let answers = match answer {
        Answer::Items(answers) => {
            let taken = answers.iter().all(|answer| !matches!(answer, Err(RecordError::Invalid { .. })));
            return must(taken && answers.len() == count, "P1", || {
                format!("items were refused: {answers:?}")
            });
        }
        Answer::Recorded(answers) => answers,
        // Looked at by the checker of orders; nobody pauses, retries or reads a POS here.
        Answer::Pickup(_) | Answer::Paused(_) | Answer::Retried(_) | Answer::Read(_) => return Ok(()),
    };
    must(answers.len() == count, "P1", || format!("{count} documents got {} answers", answers.len()))?;
    let Some(Waiting::Till { documents, .. } | Waiting::Reader { documents, .. }) =
        world.waiting.get(&ticket)
    else {
        return Ok(());
    };
    for (no, answer) in documents.clone().into_iter().zip(answers) {
        match answer {
            Ok(Recorded::New { positions }) => {
                if let Some(first) = positions.first() {
                    super::repeated::before_sale(world, at, no, *first, took_over)?;
                }
                let moved = truth::moved_at(world.machines[at].database(), positions, &mut world.truth);
                recorded_new(world, at, no, moved, took_over)?;
            }
            Ok(Recorded::Duplicate { .. }) => answered_again(world, at, no)?,
            Err(RecordError::Storage { .. }) if world.machines[at].disk_full => {}
            Err(error) => return must(false, "P1", || format!("{} was refused: {error}", name(world, no))),
        }
    }
    Ok(())
}

fn recorded_new(world: &mut World, at: usize, no: DocNo, moved: Moved, took_over: bool) -> Check {
    if let Some(total) = Truth::total_effect(&world.truth.document(no).document) {
        let done: i64 = moved.effects.values().sum();
        must(done == total, "P2", || format!("{} moved {done}, reported were {total}", name(world, no)))?;
    }
    note_rare_items(world, no, &moved.effects);
    world.truth.documents[no.0].lost = false;
    let books = &mut world.machines[at].books;
    if took_over {
        // The books were read anew after the step and have it already.
        let has = books.has(no);
        return must(has, "P2", || format!("{} was answered as new and is not on disk", name(world, no)));
    }
    let twice = books.has(no);
    must(!twice, "P2", || format!("{} was recorded twice on machine {at}", name(world, no)))?;
    world.machines[at].books.record(no, moved);
    Ok(())
}

fn note_rare_items(world: &mut World, no: DocNo, effects: &Effects) {
    let document = &world.truth.document(no).document;
    let past = matches!(document.counted, Some(store_agent::agent::Counted::Position(_)));
    let by_barcode = effects.keys().any(|sku| world.truth.sku(*sku).as_str().starts_with('0'));
    let barcode = crate::dst::documents::names_a_barcode(document);
    world.coverage.sometimes("till: count of a moment that has passed", past);
    world.coverage.sometimes("till: barcode of an item without a name", barcode && by_barcode);
    world.coverage.sometimes("till: the item behind a barcode changed", barcode && !by_barcode);
}

fn answered_again(world: &mut World, at: usize, no: DocNo) -> Check {
    let books = &world.machines[at].books;
    let from_memory = books.known.contains(&no) && !books.ledger.contains_key(&no);
    let has = books.has(no);
    world.coverage.sometimes("till: answered from the hub's memory", from_memory);
    must(has, "P2", || {
        format!("{} was called a duplicate on machine {at}, which does not have it", name(world, no))
    })
}

fn notice_take_over(world: &mut World, at: usize) -> Result<bool, super::Finding> {
    let machine = &mut world.machines[at];
    let Some(process) = &mut machine.process else { return Ok(false) };
    let epoch = process.agent.status().epoch;
    if epoch == process.epoch {
        return Ok(false);
    }
    process.epoch = epoch;
    process.granted.clear();
    let store = machine.store;
    let books = Books::read(process.agent.database(), store, &mut world.truth);
    let before = std::mem::replace(&mut machine.books, books);
    (machine.restored, machine.is_apart) = (false, false);
    world.trace.note(world.now, format_args!("machine {at} took over epoch {epoch}"));
    world.coverage.hit("agent: took over");
    note_take_over(world, at, &before, epoch);
    own_documents_stay(world, at, &before)?;
    world.restart_reader(at);
    Ok(true)
}

fn note_take_over(world: &mut World, at: usize, before: &Books, epoch: Epoch) {
    let machine = &world.machines[at];
    let from_hub = machine.books.ledger.keys().any(|no| !before.ledger.contains_key(no));
    let own = machine.books.ledger.keys().any(|no| !machine.books.known.contains(no)) && epoch > Epoch(1);
    let moved =
        |(sku, item): (&SkuNo, &ItemNo)| machine.books.numbers.get(sku).is_some_and(|now| now != item);
    let renumbered = before.numbers.iter().any(moved);
    let copies = world.machines_of(machine.store).len() > 1 && epoch > Epoch(3);
    world.coverage.sometimes("agent: hand-over applied documents of the hub", from_hub);
    world.coverage.sometimes("agent: own items got other numbers", renumbered);
    world.coverage.sometimes("agent: hand-over applied own documents", own);
    world.coverage.sometimes("clone: both copies spoke in turn", copies);
}

/// What only this disk had is still there afterwards.
fn own_documents_stay(world: &World, at: usize, before: &Books) -> Check {
    let after = &world.machines[at].books;
    let gone = before.ledger.keys().find(|no| !after.has(**no));
    must(gone.is_none(), "P8", || {
        let gone = gone.map(|no| name(world, *no)).unwrap_or_default();
        format!("machine {at} took over and {gone} is gone, which its own disk had")
    })
}

/// After a start: everything that was committed is on the disk.
pub fn disk_is_whole(world: &mut World, at: usize) -> Check {
    let store = world.machines[at].store;
    let found = Books::read(world.machines[at].database(), store, &mut world.truth);
    let books = &world.machines[at].books;
    let same = found.ledger == books.ledger && found.known == books.known;
    must(same, "P2", || {
        let missing: Vec<&DocNo> = books.ledger.keys().filter(|no| !found.has(**no)).collect();
        let more: Vec<&DocNo> = found.ledger.keys().filter(|no| !books.has(**no)).collect();
        format!("machine {at} started; missing on its disk: {missing:?}, there unasked: {more:?}")
    })
}

/// On hand is the sum of all documents, each once.
pub fn on_hand(world: &mut World, at: usize) -> Check {
    let machine = &world.machines[at];
    let Some(process) = &machine.process else { return Ok(()) };
    for (sku, expected) in &machine.books.on_hand {
        let key = world.truth.sku(*sku);
        let found = process.agent.cell(key).map_or(0, |cell| cell.on_hand().thousandths());
        must(found == *expected, "P8", || {
            format!("machine {at} has {found} of `{key}` on hand; the documents it counts come to {expected}")
        })?;
    }
    Ok(())
}

/// What the hub keeps as history is what was reported.
pub fn hub_has_it_right(world: &World, store: usize, document: &HistoryDocument) -> Check {
    let key = document_key(&document.source, &document.reference);
    let Some(no) = world.truth.by_key(store, &key) else {
        return must(false, "P8", || format!("the hub took `{}`, which nobody reported", document.reference));
    };
    let reported = &world.truth.document(no).document;
    let moved: i64 = document.lines.iter().map(|line| line.effect.thousandths()).sum();
    let right = reported.kind == document.kind
        && reported.lines.len() == document.lines.len()
        && Truth::total_effect(reported).is_none_or(|total| total == moved);
    must(right, "P8", || format!("the hub took {} with other content", name(world, no)))?;
    let nameless = world.hub.with_storage(|storage| {
        document.lines.iter().map(|line| line.item).find(|item| !storage.skus.contains_key(&(store, *item)))
    });
    must(nameless.is_none() || world.rotted, "P8", || {
        format!(
            "the hub took {}, which is about item {nameless:?}; it does not know such an item",
            name(world, no)
        )
    })
}

/// Where the hub says that its figures hold everything up to a place in the history and nothing beyond, they do. A new incarnation
/// starts from them.
pub fn cut_adds_up(world: &World, store: usize, cut: (Epoch, Position)) -> Check {
    let Some(hub) = world.hub.hub() else { return Ok(()) };
    let expected = world.truth.at_cut(store, cut);
    let skus = world.hub.with_storage(|storage| storage.skus.clone());
    for (item, cell) in hub.cells(&world.store_ids[store]) {
        let Some(sku) = skus.get(&(store, item)) else { continue };
        let (found, expected) =
            (cell.on_hand().thousandths(), expected.get(sku.as_str()).copied().unwrap_or(0));
        must(found == expected || world.rotted, "P8", || {
            format!(
                "at the cut {cut:?} the hub has {found} of `{sku}` in store {store}, its history comes to {expected}"
            )
        })?;
    }
    Ok(())
}

/// At the end: every document somebody was told of is counted, unless every disk that had it is gone.
pub fn nothing_is_missing(world: &World, store: usize, at: usize) -> Check {
    let books = &world.machines[at].books;
    for (place, reported) in world.truth.documents.iter().enumerate() {
        if reported.store != store || books.has(DocNo(place)) {
            continue;
        }
        let excused = reported.lost && !reported.from_journal;
        let told = reported.answered || reported.from_journal;
        must(excused || !told, "P8", || format!("{} is missing in the end", name(world, DocNo(place))))?;
    }
    Ok(())
}

impl World {
    /// After a disk or a copy of the hub is gone: what nobody has any more may be missing, unless the POS has it.
    pub(in crate::dst) fn reckon_losses(&mut self) {
        for store in 0..self.store_ids.len() {
            let machines = self.machines_of(store);
            let mut held: BTreeSet<DocNo> = self.truth.at_hub[store].keys().copied().collect();
            machines.iter().for_each(|at| held.extend(self.machines[*at].books.ledger.keys()));
            for (place, reported) in self.truth.documents.iter_mut().enumerate() {
                if reported.store == store && !held.contains(&DocNo(place)) {
                    reported.lost = true;
                }
            }
            self.reckon_promises(store, &machines);
            self.reckon_orders(store, &machines);
        }
    }

    /// Promises that a hub's backup did not have and no server of the store has heard of are lost with the hub.
    fn reckon_promises(&mut self, store: usize, machines: &[usize]) {
        let mut floor: BTreeMap<String, u64> = BTreeMap::new();
        let skus: Vec<String> =
            self.shoppers.held.keys().filter(|(of, _)| *of == store).map(|(_, sku)| sku.clone()).collect();
        for sku in &skus {
            let key: Sku = sku.parse().expect("it came from the hub");
            let at_stores = machines.iter().filter_map(|at| {
                let process = self.machines[*at].process.as_ref();
                let known =
                    process.and_then(|process| process.agent.cell(&key)).map(|cell| cell.hub.promised);
                known.or_else(|| promised_on_disk(self.machines[*at].database(), sku))
            });
            let promised = at_stores.chain(self.promised_at_hub(store, sku)).max().unwrap_or(0);
            floor.insert(sku.clone(), promised);
        }
        for (sku, floor) in floor {
            if let Some(held) = self.shoppers.held.get_mut(&(store, sku)) {
                // Which of them were lost does not matter: only their sum is held against the hub.
                held.ordered = held.ordered.min(floor);
                held.promised = held.promised.min(floor - held.ordered);
                held.reserved = held.reserved.min(floor - held.ordered - held.promised);
                held.released = held.released.min(held.promised);
            }
        }
    }

    /// What the hub has promised of an item, in thousandths.
    pub(in crate::dst) fn promised_at_hub(&self, store: usize, sku: &str) -> Option<u64> {
        let item = self.hub.with_storage(|storage| {
            storage
                .skus
                .iter()
                .find(|((of, _), known)| *of == store && *known == sku)
                .map(|((_, item), _)| *item)
        })?;
        Some(self.hub.hub()?.cell(&self.store_ids[store], item)?.hub.promised)
    }
}

fn promised_on_disk(db: &rusqlite::Connection, sku: &str) -> Option<u64> {
    let sql = "SELECT s.promised FROM stock s JOIN item i ON i.item = s.item WHERE i.sku = ?1";
    db.query_row(sql, [sku], |row| row.get(0)).ok()
}

fn name(world: &World, no: DocNo) -> String {
    let reported = world.truth.document(no);
    format!("`{}` of store {}", reported.document.reference, reported.store)
}
