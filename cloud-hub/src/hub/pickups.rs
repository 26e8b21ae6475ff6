//! How stores take part in pickup: settings are changed here, one revision after the other, and posted with each store's
//! workload for whoever routes orders.
//!
//! **Invariant:** capacity, pauses and hours are asked of the core's own memory when an order is placed, so two shoppers never
//! get the same last place of an hour.
//!
//! Beside a running hub `cloud-hub store settings import` may write settings too. Whoever commits second fails, and what the
//! other has written is read with the next tick, or before the next change.

use super::ledger::StoreLedger;
use super::orders::{Choice, OrderError};
use super::{Hub, Output, Ticket};
use crate::orders::board::{Post, zone_of};
use crate::orders::hours::Hours;
use crate::orders::pickup_settings::{Pause, PickupSettings, Revised};
use crate::storage::{StorageError, StoreKey};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use sync_protocol::canary::{CANARIES_MAX, Canary};
use sync_protocol::pause::StorePause;
use sync_protocol::record::{Note, Topic};
use sync_protocol::time::Now;
use sync_protocol::{StoreId, UnixMillis};

/// What is to become of a store's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsChange {
    /// `seen`: the revision that it is meant to follow; `None`: whatever there is.
    Replace {
        settings: PickupSettings,
        seen: Option<u64>,
    },
    Pause(Pause),
    Resume,
}

/// Why settings are as they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("there is no store `{store}`")]
    UnknownStore { store: StoreId },
    #[error("somebody else has changed the settings since: they are at revision {revision} now")]
    Overtaken { revision: u64 },
    #[error("the hub's storage did not take the change; nothing was changed, send it again")]
    Storage,
}

#[derive(Debug, Default)]
pub(super) struct Pickups {
    settings: HashMap<StoreId, Arc<Revised>>,
    /// To be committed, in the order in which they were made.
    changed: Vec<(StoreKey, Revised)>,
    /// Stores whose posts have not been given out as they are now.
    due: BTreeSet<StoreId>,
    /// Stores that may not have been told how they are set.
    untold: BTreeSet<StoreId>,
}

impl Pickups {
    pub(super) fn is_due(&mut self, store: &StoreId) {
        self.due.insert(store.clone());
    }

    pub(super) fn is_to_be_told(&mut self, store: &StoreId) {
        self.untold.insert(store.clone());
    }

    pub(super) fn take_changed(&mut self) -> Vec<(StoreKey, Revised)> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn hours_of(&self, store: &StoreId) -> Arc<Hours> {
        Arc::clone(&self.of(store).settings.hours)
    }

    fn of(&self, store: &StoreId) -> Arc<Revised> {
        self.settings.get(store).map(Arc::clone).unwrap_or_default()
    }
}

impl Hub {
    /// How stores stand that have changed since the last call; all of them, the first time.
    pub fn take_posts(&mut self) -> Vec<(StoreId, Post)> {
        let due = std::mem::take(&mut self.pickups.due);
        let post = |id: StoreId| {
            let store = self.stores.get(&id)?;
            let settings = self.pickups.of(&id);
            let (own_pause, workload) = (own_pause(store), store.workload().clone());
            let (zone, canaries) = (zone_of(&store.info.timezone), canaries(store));
            let post = Post { settings, own_pause, workload, zone, canaries };
            Some((id, post))
        };
        due.into_iter().filter_map(post).collect()
    }

    /// Takes what others have written since.
    pub(super) fn read_settings(&mut self) -> Result<(), StorageError> {
        let stored = self.storage.pickup_settings()?;
        self.take_settings(stored, |known, found| found.revision > known.revision);
        Ok(())
    }

    /// A commit with settings in it has failed: what is in memory may never have been.
    pub(super) fn settings_given_back(&mut self) {
        match self.storage.pickup_settings() {
            Ok(stored) => {
                self.pickups.settings.clear();
                self.take_settings(stored, |_, _| true);
            }
            Err(error) => tracing::error!(%error, "cannot read the pickup settings again"),
        }
    }

    fn take_settings(&mut self, stored: Vec<(StoreKey, Revised)>, is_news: fn(&Revised, &Revised) -> bool) {
        let names: HashMap<StoreKey, &StoreId> = self.stores.iter().map(|(id, s)| (s.key, id)).collect();
        for (key, found) in stored {
            let Some(id) = names.get(&key) else { continue };
            if is_news(&self.pickups.of(id), &found) {
                self.pickups.settings.insert((*id).clone(), Arc::new(found));
                self.pickups.due.insert((*id).clone());
                self.pickups.untold.insert((*id).clone());
            }
        }
    }

    /// Stores hear how they are set, and what they are called: their people see it.
    pub(super) fn tell_settings(&mut self, now: Now) {
        for id in std::mem::take(&mut self.pickups.untold) {
            let settings = self.pickups.of(&id);
            let Some(store) = self.stores.get_mut(&id) else { continue };
            let text = settings.told(&store.info.name, &store.info.timezone);
            if store.put_hub_note(Note { topic: Topic::SETTINGS, key: 0, text }) {
                self.down_changed(&id, true, now);
            }
        }
    }

    pub(super) fn change_settings(
        &mut self,
        id: &StoreId,
        change: &SettingsChange,
    ) -> Result<Arc<Revised>, SettingsError> {
        let Some(key) = self.stores.get(id).map(|store| store.key) else {
            return Err(SettingsError::UnknownStore { store: id.clone() });
        };
        self.read_settings().map_err(|error| {
            tracing::error!(%error, "cannot read the pickup settings");
            SettingsError::Storage
        })?;
        let before = self.pickups.of(id);
        let with_pause = |paused: Option<Pause>| PickupSettings { paused, ..before.settings.clone() };
        let settings = match change {
            SettingsChange::Replace { seen: Some(seen), .. } if *seen != before.revision => {
                return Err(SettingsError::Overtaken { revision: before.revision });
            }
            SettingsChange::Replace { settings, .. } => settings.clone(),
            SettingsChange::Pause(pause) => with_pause(Some(pause.clone())),
            SettingsChange::Resume => with_pause(None),
        };
        if settings == before.settings {
            return Ok(before);
        }
        let after = Revised { revision: before.revision + 1, settings };
        self.pickups.changed.push((key, after.clone()));
        self.pickups.due.insert(id.clone());
        self.pickups.untold.insert(id.clone());
        let after = Arc::new(after);
        self.pickups.settings.insert(id.clone(), Arc::clone(&after));
        Ok(after)
    }

    /// Whether every store of a choice takes orders now.
    pub(super) fn takes_orders(&self, choice: &Choice, now: Now) -> Result<(), OrderError> {
        for part in &choice.parts {
            self.store_takes_orders(&part.store, part.half.hold_until, now)?;
        }
        Ok(())
    }

    /// Whether a store takes an order now that it would keep until `hold_until`.
    pub(super) fn store_takes_orders(
        &self,
        id: &StoreId,
        hold_until: UnixMillis,
        now: Now,
    ) -> Result<(), OrderError> {
        let Some(store) = self.stores.get(id) else { return Ok(()) };
        let zone = zone_of(&store.info.timezone);
        let taken = store.workload().taken(&zone, now.wall);
        let settings = &self.pickups.of(id).settings;
        let pickup = settings.pickup().also(own_pause(store).as_ref());
        let settled = settings.takes_orders(pickup, &zone, taken, now.wall, hold_until);
        settled.map_err(|why| OrderError::NotTaking { store: id.clone(), why })
    }
}

/// How far the followed movement of each of the store's sources has come, as it says.
fn canaries(store: &StoreLedger) -> Vec<Canary> {
    let notes = store.store_notes(Topic::CANARY).take(CANARIES_MAX);
    let mut canaries: Vec<Canary> = notes.filter_map(|(_, text)| Canary::read(text).ok()).collect();
    canaries.sort_by(|one, other| one.source.cmp(&other.source));
    canaries
}

/// What the store itself says of new orders.
fn own_pause(store: &StoreLedger) -> Option<StorePause> {
    StorePause::read(store.store_note(Topic::PAUSE, 0)?).ok()
}

/// What an answer becomes when the commit it rests on has failed.
pub(super) fn given_back(ticket: Ticket) -> Output {
    Output::Settings { ticket, answer: Err(SettingsError::Storage) }
}
