//! One look at the index for one question: which stores are meant, in which order, and what each of them has.
//!
//! A page is a stretch of an order that depends on the stores alone (distance, then id), never on stock; so pages neither
//! skip nor repeat a store while stock changes underneath. The index is held still for one item at a time.

use super::answer::CanFulfil;
use super::ask::{Ask, AskLine, Scope};
use super::cursor::PageCursor;
use super::problem::Problem;
use crate::availability::{
    Directory, Freshness, Index, ItemNames, Level, Listed, Point, Standing, StoreIx, km_of_chord_squared,
    reach_of_km,
};
use std::sync::Arc;
use sync_protocol::UnixMillis;
use twox_hash::XxHash3_64;

/// Stores looked at in one go while searching for those with stock.
const BLOCK: usize = 256;

/// What was seen.
pub(super) struct Survey {
    pub(super) directory: Arc<Directory>,
    /// One for each line asked for; `None` where no store carries the sku.
    pub(super) names: Vec<Option<ItemNames>>,
    pub(super) stores: Vec<Seen>,
    pub(super) unknown_stores: Vec<String>,
    /// The cursor of the next page, where there is one.
    pub(super) next: Option<String>,
}

/// One store of the page.
pub(super) struct Seen {
    pub(super) ix: StoreIx,
    pub(super) distance_km: Option<f64>,
    pub(super) standing: Standing,
    /// One for each line asked for; `None` where the store does not carry the item.
    pub(super) levels: Vec<Option<Level>>,
}

/// A store in the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The squared chord's bits, which sort as the distance does; 0 without a place to measure from.
    key: u64,
    /// The store's place in the order of ids.
    rank: usize,
    store: StoreIx,
}

/// Looks at the index for everything the question needs.
pub(super) fn survey(
    index: &Index,
    freshness: &Freshness,
    ask: &Ask,
    now: UnixMillis,
) -> Result<Survey, Problem> {
    let directory = Arc::clone(index.read().directory());
    let (mut candidates, unknown_stores) = candidates(&directory, &ask.scope);
    let order = order_of(&ask.scope);
    skip_to(&mut candidates, &directory, ask.scope.cursor.as_ref(), order)?;
    let looking = Looking { index, freshness, ask, now };
    let (names, mut stores) = if ask.scope.in_stock {
        looking.for_stock(&mut candidates)
    } else {
        nearest_first(&mut candidates, ask.scope.limit + 1);
        looking.at(&candidates)
    };
    let more = stores.len() > ask.scope.limit;
    stores.truncate(ask.scope.limit);
    let last = stores.last().filter(|_| more);
    let next = last.map(|(candidate, _)| PageCursor {
        order,
        key: candidate.key,
        store: directory.get(candidate.store).info.id.as_str().to_owned(),
    });
    Ok(Survey {
        stores: stores.into_iter().map(|(_, seen)| seen).collect(),
        next: next.map(|cursor| cursor.write()),
        directory,
        names,
        unknown_stores,
    })
}

/// The stores in scope, in no order yet, and the ids that name none.
fn candidates(directory: &Directory, scope: &Scope) -> (Vec<Candidate>, Vec<String>) {
    let from = scope.near.map(Point::from);
    let reach = scope.radius_km.map_or(f64::INFINITY, reach_of_km);
    let candidate = |rank: usize, store: StoreIx| {
        let chord = from.map_or(0.0, |from| directory.chord_squared(from, store));
        (chord <= reach).then_some(Candidate { key: chord.to_bits(), rank, store })
    };
    let Some(ids) = &scope.stores else {
        let all = directory.in_order().iter().enumerate();
        return (all.filter_map(|(rank, store)| candidate(rank, *store)).collect(), Vec::new());
    };
    let (mut found, mut unknown) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        match directory.find(id) {
            Some(store) => found.extend(candidate(directory.rank_after(id) - 1, store)),
            None => unknown.push(super::problem::shown(id)),
        }
    }
    found.sort_unstable();
    found.dedup();
    (found, unknown)
}

/// Tells the order around one place from that around another.
fn order_of(scope: &Scope) -> u32 {
    let Some(near) = scope.near else { return 0 };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&near.lat().to_bits().to_be_bytes());
    bytes[8..].copy_from_slice(&near.lon().to_bits().to_be_bytes());
    let hash = XxHash3_64::oneshot(&bytes);
    u32::try_from(hash >> 32).unwrap_or_default().max(1)
}

/// Leaves what comes after the cursor.
fn skip_to(
    candidates: &mut Vec<Candidate>,
    directory: &Directory,
    cursor: Option<&PageCursor>,
    order: u32,
) -> Result<(), Problem> {
    let Some(cursor) = cursor else { return Ok(()) };
    if cursor.order != order {
        let detail =
            "this `cursor` belongs to another `near`: repeat the question it came from, or leave it out";
        return Err(Problem::invalid("cursor", detail));
    }
    let start = (cursor.key, directory.rank_after(&cursor.store));
    candidates.retain(|candidate| (candidate.key, candidate.rank) >= start);
    Ok(())
}

/// Sorts the first `count` and drops the rest.
fn nearest_first(candidates: &mut Vec<Candidate>, count: usize) {
    if candidates.len() > count {
        candidates.select_nth_unstable(count);
        candidates.truncate(count);
    }
    candidates.sort_unstable();
}

/// The question, while the answer is gathered.
struct Looking<'a> {
    index: &'a Index,
    freshness: &'a Freshness,
    ask: &'a Ask,
    now: UnixMillis,
}

type Found = (Vec<Option<ItemNames>>, Vec<(Candidate, Seen)>);

impl Looking<'_> {
    /// What these stores have, in their order.
    fn at(&self, candidates: &[Candidate]) -> Found {
        let mut seen: Vec<(Candidate, Seen)> = Vec::with_capacity(candidates.len());
        let mut names = Vec::with_capacity(self.ask.lines.len());
        for (line, AskLine { sku, .. }) in self.ask.lines.iter().enumerate() {
            let reading = self.index.read();
            if line == 0 {
                let standing = |store| self.freshness.standing(reading.contact(store), self.now);
                seen.extend(candidates.iter().map(|c| (*c, self.empty(*c, standing(c.store)))));
            }
            let item = reading.find(sku.as_str());
            names.push(item.map(|item| reading.names(item).clone()));
            for (candidate, seen) in &mut seen {
                seen.levels.push(item.and_then(|item| reading.level(item, candidate.store)));
            }
        }
        (names, seen)
    }

    /// The first page of stores that can hand over something.
    fn for_stock(&self, candidates: &mut [Candidate]) -> Found {
        candidates.sort_unstable();
        let (mut names, mut kept) = self.at(&[]);
        for block in candidates.chunks(BLOCK) {
            let seen;
            (names, seen) = self.at(block);
            kept.extend(seen.into_iter().filter(|(_, seen)| self.has_some(seen)));
            if kept.len() > self.ask.scope.limit {
                break;
            }
        }
        (names, kept)
    }

    fn has_some(&self, seen: &Seen) -> bool {
        let lines = self.ask.lines.iter().zip(&seen.levels);
        lines.into_iter().any(|(line, level)| {
            let free = level.unwrap_or_default().free;
            CanFulfil::of(seen.standing.offer(free).available, line.quantity).is_some_at_least()
        })
    }

    fn empty(&self, candidate: Candidate, standing: Standing) -> Seen {
        let chord = self.ask.scope.near.map(|_| f64::from_bits(candidate.key));
        Seen {
            ix: candidate.store,
            // A store without a place is at no distance.
            distance_km: chord.filter(|chord| chord.is_finite()).map(km_of_chord_squared),
            standing: standing.no_older_than(self.ask.view.max_age_s),
            levels: Vec::with_capacity(self.ask.lines.len()),
        }
    }
}

impl Survey {
    pub(super) fn listed(&self, seen: &Seen) -> &Listed {
        self.directory.get(seen.ix)
    }
}
