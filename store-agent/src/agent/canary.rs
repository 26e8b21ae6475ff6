//! The canary: of each source one movement at a time is followed until the hub has it, and the hub is told how far it has come.
//!
//! The agent writes into no POS, so a canary is found, not made: the next movement of the configured item, or of any. **Invariants:** one that is
//! under way is not given up for a younger one; it has arrived only with the hub's acknowledgement of the history up to it; all of it is
//! a note of the store's, and so survives restarts and is known to the hub.

use super::{Mind, PAGE_SOURCE, pickup};
use crate::store::notes::{self, Writer};
use rusqlite::{Connection, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use sync_protocol::canary::{Arrival, CANARIES_MAX, Canary, Flight};
use sync_protocol::record::{HistoryDocument, Topic};
use sync_protocol::{Gtin, ItemNo, Sku, SourceId, UnixMillis};

/// A source that nobody has configured and that has been silent for so long is followed no longer: tills are taken out of shops too.
const KEPT_MS: u64 = 14 * 24 * 60 * 60 * 1000;

/// What is followed, and how closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanarySettings {
    /// Sources that are expected to report from the start.
    pub expected: Vec<SourceId>,
    /// By source: the item whose movements count, as its sku or barcode. Of other sources any item's do.
    pub items: BTreeMap<SourceId, String>,
    /// The next movement is followed once the last has been recorded for so long.
    pub follow_every_ms: u64,
    pub overdue_after_ms: i64,
}

#[derive(Debug, Default)]
pub(super) struct Canaries {
    settings: Option<Arc<CanarySettings>>,
    by_source: BTreeMap<SourceId, Canary>,
    /// The same, for those who look.
    shown: Arc<Vec<Canary>>,
    /// Whether any is under way: most acknowledgements concern none.
    are_under_way: bool,
}

impl Canaries {
    pub(super) fn load(db: &Connection, settings: Option<&CanarySettings>) -> Result<Canaries> {
        let Some(settings) = settings else { return Ok(Canaries::default()) };
        let mut canaries = Canaries { settings: Some(Arc::new(settings.clone())), ..Canaries::default() };
        for text in notes::of_topic(db, Writer::Store, Topic::CANARY)? {
            // What a later version has written is left as it is.
            if let Ok(canary) = Canary::read(&text) {
                canaries.by_source.insert(canary.source.clone(), canary);
            }
        }
        canaries.show();
        Ok(canaries)
    }

    pub(super) fn shown(&self) -> Arc<Vec<Canary>> {
        Arc::clone(&self.shown)
    }

    fn show(&mut self) {
        self.shown = Arc::new(self.by_source.values().cloned().collect());
        self.are_under_way = self.by_source.values().any(|canary| canary.under_way.is_some());
    }

    fn is_due(&self, settings: &CanarySettings, source: &SourceId, now: UnixMillis) -> bool {
        match self.by_source.get(source) {
            None => self.by_source.len() < CANARIES_MAX,
            Some(canary) => {
                let last = canary.arrived.map(|arrival| UnixMillis(arrival.flight.recorded_at));
                canary.under_way.is_none()
                    && last.is_none_or(|last| now.since(last) >= settings.follow_every_ms)
            }
        }
    }
}

/// Writes down which sources are expected, and forgets those that are gone for good.
pub(super) fn expect(db: &Connection, mind: &mut Mind, now: UnixMillis) -> Result<()> {
    let Some(settings) = mind.canaries.settings.clone() else { return Ok(()) };
    let expected = settings.expected.iter().chain(settings.items.keys());
    for source in expected.take(CANARIES_MAX) {
        let wanted = fresh(&settings, source, now);
        let changed = match mind.canaries.by_source.get(source) {
            None => Some(wanted),
            Some(known) => {
                let same = (&known.item, known.overdue_after_ms) == (&wanted.item, wanted.overdue_after_ms);
                let (item, overdue_after_ms) = (wanted.item, wanted.overdue_after_ms);
                (!same).then(|| Canary { item, overdue_after_ms, ..known.clone() })
            }
        };
        if let Some(canary) = changed {
            keep(db, mind, canary)?;
        }
    }
    let is_gone = |canary: &&Canary| {
        let last = canary.newest().map_or(canary.since, |flight| flight.recorded_at);
        let is_expected =
            settings.expected.contains(&canary.source) || settings.items.contains_key(&canary.source);
        !is_expected && now.since(UnixMillis(last)) > KEPT_MS
    };
    let gone: Vec<SourceId> =
        mind.canaries.by_source.values().filter(is_gone).map(|canary| canary.source.clone()).collect();
    for source in gone {
        mind.inventory.put_note(db, &Canary::no_note(&source))?;
        mind.canaries.by_source.remove(&source);
        mind.canaries.show();
    }
    Ok(())
}

/// A document is in the ledger: is it one to follow?
pub(super) fn recorded(
    db: &Connection,
    mind: &mut Mind,
    document: &HistoryDocument,
    read_at: UnixMillis,
) -> Result<()> {
    let Some(settings) = mind.canaries.settings.clone() else { return Ok(()) };
    let source = &document.source;
    let is_own = [PAGE_SOURCE, pickup::SOURCE].contains(&source.as_str());
    if is_own || !mind.canaries.is_due(&settings, source, document.recorded_at) {
        return Ok(());
    }
    if let Some(name) = settings.items.get(source) {
        let item = item_called(mind, name);
        if !document.lines.iter().any(|line| Some(line.item) == item) {
            return Ok(());
        }
    }
    let flight = Flight {
        happened_at: document.occurred_at.0,
        read_at: read_at.0,
        recorded_at: document.recorded_at.0,
        position: document.last_position().0,
    };
    let known = mind.canaries.by_source.get(source).cloned();
    let canary = known.unwrap_or_else(|| fresh(&settings, source, document.recorded_at));
    keep(db, mind, Canary { under_way: Some(flight), ..canary })
}

/// The hub has said how far it has the history.
pub(super) fn accepted(db: &Connection, mind: &mut Mind, now: UnixMillis) -> Result<()> {
    if !mind.canaries.are_under_way {
        return Ok(());
    }
    let upto = mind.history_acked.0;
    let has_arrived = |canary: &&Canary| canary.under_way.is_some_and(|flight| flight.position <= upto);
    let arrived: Vec<Canary> = mind.canaries.by_source.values().filter(has_arrived).cloned().collect();
    for canary in arrived {
        let arrived = canary.under_way.map(|flight| Arrival { flight, accepted_at: now.0 });
        keep(db, mind, Canary { under_way: None, arrived, ..canary })?;
    }
    Ok(())
}

fn keep(db: &Connection, mind: &mut Mind, canary: Canary) -> Result<()> {
    mind.inventory.put_note(db, &canary.note())?;
    mind.canaries.by_source.insert(canary.source.clone(), canary);
    mind.canaries.show();
    Ok(())
}

fn fresh(settings: &CanarySettings, source: &SourceId, now: UnixMillis) -> Canary {
    Canary {
        source: source.clone(),
        item: settings.items.get(source).cloned().unwrap_or_default(),
        since: now.0,
        overdue_after_ms: settings.overdue_after_ms,
        under_way: None,
        arrived: None,
    }
}

fn item_called(mind: &Mind, name: &str) -> Option<ItemNo> {
    let by_sku = || name.parse::<Sku>().ok().and_then(|sku| mind.inventory.by_sku(&sku));
    let by_gtin = || name.parse::<Gtin>().ok().and_then(|gtin| mind.inventory.by_gtin(gtin));
    by_sku().or_else(by_gtin)
}
