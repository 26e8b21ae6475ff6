//! The hub's synchronous core: merges what the stores send and decides what they are told, one commit at a time.
//!
//! [`Hub::drain`] takes whatever has arrived, works it off in memory, commits all of it at once, and only then gives out
//! acknowledgements and answers, and the updates for the availability index. It reads no clock and does no I/O but the
//! storage seam, so the same code runs under the daemon, the tests and the deterministic simulation.
//!
//! **Invariants:** nothing is acknowledged before its commit; a frame of another epoch or boot than the one the hub goes by is
//! dropped whole; a link speaks for one store only; after every step `promised + returned − released ≤ granted` in every cell.

pub mod counting;
mod erasing;
mod escalation;
pub mod events;
mod frames;
mod handover;
mod ledger;
pub mod orders;
pub mod pickups;
pub mod rerouting;
pub mod reservations;
mod rights;
mod twins;

use crate::availability::{StoreInfo, Update};
use crate::orders::pickup_settings::Revised;
use crate::storage::{Changes, HubFacts, KeptDecision, Storage, StorageError, StoreKey};
use counting::{CountAsk, CountError, Tasks};
use escalation::Waiting;
use events::Outbox;
use ledger::{StoreLedger, cell_update, item_update};
use orders::{Choice, Listing, NewOrder, OrderError, OrderView, Shop};
use pickups::{Pickups, SettingsChange, SettingsError};
use reservations::{ReservationAsk, ReservationView, Reservations};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use sync_protocol::frame::{self, Body, Marks, Refusal, Refused, Stream};
use sync_protocol::link::Timing;
use sync_protocol::link::hub::HubLink;
use sync_protocol::order::{Cancel, OrderId};
use sync_protocol::record::ItemRecord;
use sync_protocol::stock::{Cell, EscrowError};
use sync_protocol::time::Now;
use sync_protocol::{Boot, Epoch, ItemNo, Position, Quantity, Seq, StoreId, Ticks, TraceId, UnixMillis};
use twins::Twins;

/// Names one connection of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names a caller who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What can happen to the hub.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A connection is open; its certificate speaks for `store`.
    LinkUp {
        link: LinkId,
        store: StoreId,
    },
    LinkDown {
        link: LinkId,
    },
    Frame {
        link: LinkId,
        bytes: Vec<u8>,
    },
    /// Promise `quantity` of an item to an order (H1), or give a promise up that the store will not hand over (H3).
    Promise {
        ticket: Ticket,
        store: StoreId,
        item: ItemNo,
        quantity: Quantity,
    },
    Release {
        ticket: Ticket,
        store: StoreId,
        item: ItemNo,
        quantity: Quantity,
    },
    /// Place an order, in one atomic step for all its lines.
    Place {
        ticket: Ticket,
        order: Box<NewOrder>,
    },
    /// Ask the stores to end an order.
    Cancel {
        ticket: Ticket,
        order: OrderId,
        why: Cancel,
    },
    Order {
        ticket: Ticket,
        order: OrderId,
    },
    Orders {
        ticket: Ticket,
        wanted: Listing,
    },
    /// Change how a store takes part in pickup.
    Settings {
        ticket: Ticket,
        store: StoreId,
        change: Box<SettingsChange>,
    },
    /// Orders for which the hub is to find another store.
    LookedFor {
        ticket: Ticket,
    },
    /// Give what is owed of an order to another store.
    Reroute {
        ticket: Ticket,
        order: OrderId,
        choices: Vec<Choice>,
        decision: Option<String>,
    },
    /// Remove what is known of an order's customer.
    Erase {
        ticket: Ticket,
        order: OrderId,
    },
    Reservation {
        ticket: Ticket,
        ask: ReservationAsk,
    },
    Count {
        ticket: Ticket,
        ask: Box<CountAsk>,
    },
    /// Time has passed; also reads the list of stores and their settings again.
    Tick,
}

/// What the hub wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Send { link: LinkId, stream: Stream, bytes: Vec<u8> },
    HangUp { link: LinkId, reason: String },
    Answer { ticket: Ticket, answer: Result<(), PromiseError> },
    Order { ticket: Ticket, answer: Result<Box<OrderView>, OrderError> },
    Orders { ticket: Ticket, answer: Vec<OrderView> },
    Settings { ticket: Ticket, answer: Result<Arc<Revised>, SettingsError> },
    Reservation { ticket: Ticket, answer: Result<Box<ReservationView>, OrderError> },
    Count { ticket: Ticket, answer: Result<Tasks, CountError> },
}

/// Why a promise was not made, or not given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromiseError {
    #[error("there is no store `{store}`")]
    UnknownStore { store: StoreId },
    #[error(
        "store `{store}` has not been heard from since the hub was restored; nothing is promised from it until then"
    )]
    NotTrusted { store: StoreId },
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    #[error("the hub's storage did not take the change; nothing was promised")]
    Storage,
}

/// What the hub is told once, at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    pub timing: Timing,
    /// A random number: the name of this life of the database where one is needed.
    pub fresh_life: u64,
    /// The operator says that the database was restored from a backup.
    pub restored: bool,
    /// How long after an order's end its customer is known, in milliseconds.
    pub customers_kept_ms: i64,
}

/// What the hub counts since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    pub frames: u64,
    pub frames_unreadable: u64,
    /// Frames dropped whole: of another epoch or boot than the one the hub goes by.
    pub frames_fenced: u64,
    pub frames_of_other_stores: u64,
    pub cells_merged: u64,
    pub documents: u64,
    pub records_quarantined: u64,
    pub digest_mismatches: u64,
    pub failed_commits: u64,
    pub restores_noticed: u64,
    /// Items of which a store had less than was promised to orders, by what took them.
    pub breaches: BTreeMap<&'static str, u64>,
    /// Epochs granted, by reason.
    pub granted: BTreeMap<&'static str, u64>,
}

/// The hub.
pub struct Hub {
    settings: Settings,
    storage: Box<dyn Storage>,
    facts: HubFacts,
    stores: HashMap<StoreId, StoreLedger>,
    shop: Shop,
    outbox: Outbox,
    pickups: Pickups,
    waiting: Waiting,
    decisions: Vec<KeptDecision>,
    reservations: Reservations,
    links: BTreeMap<LinkId, HubLink>,
    counters: Counters,
    updates: Vec<Update>,
    /// Stores spoken of in this step.
    heard: BTreeSet<StoreId>,
    handovers_due: Vec<(LinkId, StoreId, Epoch, Boot)>,
    answers: Vec<Output>,
    /// How far batches of this step have been taken, by link; the agent that sent them.
    marks_due: BTreeMap<LinkId, (Epoch, Boot, Marks)>,
    /// Traces of this step's batches, and the store and mark they came with.
    traces_due: Vec<(StoreId, TraceId, Seq)>,
    facts_changed: bool,
    digest_checked_at: HashMap<StoreId, Ticks>,
    twins: Twins,
}

impl Hub {
    /// Loads everything from storage.
    ///
    /// # Errors
    /// Storage can't be read.
    pub fn open(mut storage: Box<dyn Storage>, settings: Settings) -> Result<Hub, StorageError> {
        let facts = storage.hub(settings.fresh_life)?;
        let outbox = Outbox::new(settings.fresh_life);
        let mut hub = Hub {
            settings,
            storage,
            facts,
            stores: HashMap::new(),
            shop: Shop::default(),
            outbox,
            pickups: Pickups::default(),
            waiting: Waiting::default(),
            decisions: Vec::new(),
            reservations: Reservations::default(),
            links: BTreeMap::new(),
            counters: Counters::default(),
            updates: Vec::new(),
            heard: BTreeSet::new(),
            handovers_due: Vec::new(),
            answers: Vec::new(),
            marks_due: BTreeMap::new(),
            traces_due: Vec::new(),
            facts_changed: false,
            digest_checked_at: HashMap::new(),
            twins: Twins::default(),
        };
        hub.read_stores()?;
        hub.read_settings()?;
        hub.read_orders()?;
        if hub.settings.restored {
            hub.start_new_life("the operator says so");
            let changes = hub.take_changes();
            hub.storage.commit(&changes)?;
        }
        hub.updates.clear();
        Ok(hub)
    }

    /// Everything the availability index starts from, store by store.
    ///
    /// # Errors
    /// Storage can't be read.
    pub fn each_initial_update(&mut self, mut each: impl FnMut(Vec<Update>)) -> Result<(), StorageError> {
        let mut stores: Vec<&StoreLedger> = self.stores.values().collect();
        stores.sort_by(|a, b| a.info.id.cmp(&b.info.id));
        for store in stores {
            let mut updates = vec![Update::Store(store.info.clone()), store.contact_update(false)];
            updates.extend(self.storage.items(store.key)?.iter().map(|item| item_update(&store.info, item)));
            updates.extend(store.cells().map(|(item, stored)| cell_update(&store.info, item, stored)));
            each(updates);
        }
        Ok(())
    }

    /// Works off what has arrived in one commit, then acknowledges, answers and sends.
    pub fn drain(&mut self, inputs: Vec<Input>, now: Now) -> Vec<Output> {
        let committed = self.updates.len();
        for input in &inputs {
            self.take(input, now);
        }
        self.tell_settings(now);
        let mut changes = self.take_changes();
        changes.events = self.outbox.take(now.wall);
        if !changes.is_empty()
            && let Err(error) = self.storage.commit(&changes)
        {
            return self.give_back(&changes, committed, &error);
        }
        self.log_traces();
        self.note_contacts();
        let mut outputs = std::mem::take(&mut self.answers);
        for (link, (epoch, boot, marks)) in std::mem::take(&mut self.marks_due) {
            self.answer(link, epoch, boot, Body::Marks(marks));
        }
        self.hand_over_due();
        self.send(now, &mut outputs);
        outputs
    }

    /// When to call [`Hub::drain`] with a tick if nothing arrives before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Ticks> {
        self.links.values().filter_map(HubLink::next_deadline).min()
    }

    /// The committed changes since the last call, for the availability index.
    pub fn take_updates(&mut self) -> Vec<Update> {
        std::mem::take(&mut self.updates)
    }

    /// Stores of which two agents have run since the last call, and what each drew at its start.
    pub fn take_twins(&mut self) -> BTreeMap<StoreId, [Boot; 2]> {
        self.twins.take()
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many stores there are, and how many of them have an open link.
    #[must_use]
    pub fn store_counts(&self) -> (usize, usize) {
        let linked: BTreeSet<&StoreId> = self.links.values().map(HubLink::store).collect();
        (self.stores.len(), linked.len())
    }

    /// How many records are quarantined, and since when the oldest.
    ///
    /// # Errors
    /// Storage can't be read.
    pub fn quarantined(&mut self) -> Result<(u64, Option<UnixMillis>), StorageError> {
        self.storage.quarantined()
    }

    /// The hub's copy of a cell.
    #[must_use]
    pub fn cell(&self, store: &StoreId, item: ItemNo) -> Option<Cell> {
        self.stores.get(store)?.cell(item).map(|stored| stored.cell)
    }

    /// All of the hub's cells of one store: for checkers.
    pub fn cells(&self, store: &StoreId) -> impl Iterator<Item = (ItemNo, Cell)> {
        self.stores
            .get(store)
            .into_iter()
            .flat_map(|store| store.cells().map(|(item, stored)| (item, stored.cell)))
    }

    /// The epoch the hub goes by, how far it holds the store's state and history, and whether promises may be made.
    #[must_use]
    pub fn marks(&self, store: &StoreId) -> Option<(Epoch, Seq, Position, bool)> {
        let facts = &self.stores.get(store)?.facts;
        Some((facts.epoch, facts.state_mark, facts.history_mark, facts.trusted))
    }

    /// How many changes of its own halves the hub has numbered for this store.
    #[must_use]
    pub fn down_head(&self, store: &StoreId) -> Option<Seq> {
        Some(self.stores.get(store)?.facts.down_head)
    }

    /// The hub's item records of one store.
    ///
    /// # Errors
    /// Storage can't be read.
    pub fn items(&mut self, store: &StoreId) -> Result<Vec<ItemRecord>, StorageError> {
        match self.stores.get(store) {
            Some(store) => self.storage.items(store.key),
            None => Ok(Vec::new()),
        }
    }

    // Stores.

    fn read_stores(&mut self) -> Result<(), StorageError> {
        for (key, info) in self.storage.stores()? {
            match self.stores.get_mut(&info.id) {
                Some(store) if store.info == info => {}
                Some(store) => {
                    store.info = info.clone();
                    self.pickups.is_due(&info.id);
                    self.pickups.is_to_be_told(&info.id);
                    self.updates.push(Update::Store(info));
                }
                None => {
                    self.updates.push(Update::Store(info.clone()));
                    self.load_store(key, info)?;
                }
            }
        }
        Ok(())
    }

    fn read_orders(&mut self) -> Result<(), StorageError> {
        self.shop = Shop::load(self.storage.shop_orders()?);
        self.note_holds();
        self.note_waiting();
        self.reservations = Reservations::load(self.storage.reservations()?);
        Ok(())
    }

    fn load_store(&mut self, key: StoreKey, info: StoreInfo) -> Result<(), StorageError> {
        let (stored, items) = (self.storage.load(key)?, self.storage.items(key)?);
        self.pickups.is_due(&info.id);
        self.pickups.is_to_be_told(&info.id);
        self.stores.insert(info.id.clone(), StoreLedger::new(key, info, stored, &items));
        Ok(())
    }

    /// The database is older than what the stores know: promise nothing from a store until it has been heard.
    fn start_new_life(&mut self, evidence: &str) {
        tracing::error!(
            evidence,
            "the hub's database was restored; nothing is promised from a store until it has been heard"
        );
        self.counters.restores_noticed += 1;
        self.facts.life = self.settings.fresh_life;
        self.facts_changed = true;
        self.reservations.forget();
        for store in self.stores.values_mut().filter(|store| store.facts.epoch > Epoch(0)) {
            store.facts.trusted = false;
            store.facts_changed();
            self.heard.insert(store.info.id.clone());
        }
    }

    // One step.

    fn take(&mut self, input: &Input, now: Now) {
        match input {
            Input::LinkUp { link, store } => self.link_up(*link, store),
            Input::LinkDown { link } => {
                if let Some(link) = self.links.remove(link) {
                    self.heard.insert(link.store().clone());
                }
            }
            Input::Frame { link, bytes } => self.frame(*link, bytes, now),
            Input::Promise { ticket, store, item, quantity } => {
                let answer = self.promise(store, *item, *quantity, now);
                self.answers.push(Output::Answer { ticket: *ticket, answer });
            }
            Input::Release { ticket, store, item, quantity } => {
                let answer = self.release(store, *item, *quantity, now);
                self.answers.push(Output::Answer { ticket: *ticket, answer });
            }
            Input::Place { ticket, order } => {
                let answer = self.place(order, now).map(Box::new);
                self.answers.push(Output::Order { ticket: *ticket, answer });
            }
            Input::Cancel { ticket, order, why } => {
                let answer = self.cancel(*order, *why, now).map(Box::new);
                self.answers.push(Output::Order { ticket: *ticket, answer });
            }
            Input::Order { ticket, order } => {
                let answer = self.view(*order).map(Box::new);
                self.answers.push(Output::Order { ticket: *ticket, answer });
            }
            Input::Orders { ticket, wanted } => {
                let answer = self.list(wanted);
                self.answers.push(Output::Orders { ticket: *ticket, answer });
            }
            Input::Settings { ticket, store, change } => {
                let answer = self.change_settings(store, change);
                self.answers.push(Output::Settings { ticket: *ticket, answer });
            }
            Input::LookedFor { ticket } => {
                let answer = self.looked_for();
                self.answers.push(Output::Orders { ticket: *ticket, answer });
            }
            Input::Reroute { ticket, order, choices, decision } => {
                let answer = self.reroute(*order, choices, decision.as_deref(), now).map(Box::new);
                self.answers.push(Output::Order { ticket: *ticket, answer });
            }
            Input::Erase { ticket, order } => {
                let answer = self.erase_customer(*order, now).map(Box::new);
                self.answers.push(Output::Order { ticket: *ticket, answer });
            }
            Input::Reservation { ticket, ask } => {
                let answer = self.asked_of_reservations(ask, now).map(Box::new);
                self.answers.push(Output::Reservation { ticket: *ticket, answer });
            }
            Input::Count { ticket, ask } => {
                let answer = self.count(ask, now);
                self.answers.push(Output::Count { ticket: *ticket, answer });
            }
            Input::Tick => {
                self.expire(now);
                self.end_reservations(now);
                self.stop_looking(now);
                self.erase_due(now);
                self.escalate(now.wall);
                if let Err(error) = self.read_stores().and_then(|()| self.read_settings()) {
                    tracing::error!(%error, "cannot read the list of stores again");
                }
            }
        }
    }

    fn link_up(&mut self, link: LinkId, store: &StoreId) {
        if !self.stores.contains_key(store)
            && let Err(error) = self.read_stores()
        {
            tracing::error!(%error, "cannot read the list of stores again");
        }
        if !self.stores.contains_key(store) {
            let reason = format!("the hub has no store `{store}`; add it with `cloud-hub store add`");
            self.answers.push(Output::HangUp { link, reason });
            return;
        }
        self.heard.insert(store.clone());
        self.links.insert(link, HubLink::new(store.clone(), self.settings.timing));
    }

    fn down_changed(&mut self, store: &StoreId, urgent: bool, now: Now) {
        self.heard.insert(store.clone());
        for link in self.links.values_mut().filter(|link| link.store() == store) {
            link.changed(urgent, now.ticks);
        }
    }

    // The end of a step.

    fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        let before = self.facts.feed;
        for id in &self.heard {
            let Some(store) = self.stores.get_mut(id) else { continue };
            if store.take_workload_moved() {
                self.pickups.is_due(id);
            }
            if let Some((of_store, updates)) = store.take_changes(&mut self.facts.feed) {
                changes.stores.insert(store.key, of_store);
                self.updates.extend(updates);
            }
        }
        if self.facts_changed || self.facts.feed != before {
            changes.hub = Some(self.facts);
            self.facts_changed = false;
        }
        changes.shop_orders = self.shop.take_changed();
        changes.pickup_settings = self.pickups.take_changed();
        changes.reservations = self.reservations.take_changed();
        changes.decisions = std::mem::take(&mut self.decisions);
        changes
    }

    fn note_contacts(&mut self) {
        let linked: BTreeSet<&StoreId> = self.links.values().map(HubLink::store).collect();
        for id in std::mem::take(&mut self.heard) {
            if let Some(store) = self.stores.get(&id) {
                self.updates.push(store.contact_update(linked.contains(&id)));
            }
        }
    }

    /// Storage did not take it: nothing of this step has happened. The stores concerned are read again and say hello again.
    fn give_back(&mut self, changes: &Changes, committed: usize, error: &StorageError) -> Vec<Output> {
        let cause = error.source.to_string();
        tracing::error!(%error, cause, "the hub's storage did not take a commit");
        self.counters.failed_commits += 1;
        // What is said of a store was read from storage: it holds whatever became of this step.
        let of_this_step = self.updates.split_off(committed);
        self.updates.extend(of_this_step.into_iter().filter(|update| matches!(update, Update::Store(_))));
        self.handovers_due.clear();
        self.marks_due.clear();
        self.traces_due.clear();
        let mut outputs: Vec<Output> = std::mem::take(&mut self.answers)
            .into_iter()
            .map(|output| match output {
                Output::Answer { ticket, .. } => {
                    Output::Answer { ticket, answer: Err(PromiseError::Storage) }
                }
                Output::Order { ticket, .. } => orders::given_back(ticket),
                Output::Settings { ticket, .. } => pickups::given_back(ticket),
                Output::Reservation { ticket, .. } => reservations::given_back(ticket),
                Output::Count { ticket, .. } => counting::given_back(ticket),
                other => other,
            })
            .collect();
        if let Ok(facts) = self.storage.hub(self.settings.fresh_life) {
            self.facts = facts;
        }
        let orders_changed = !changes.shop_orders.is_empty() || !changes.reservations.is_empty();
        let touched: Vec<(StoreKey, StoreInfo)> = self
            .stores
            .values()
            .filter(|store| changes.stores.contains_key(&store.key) || self.heard.contains(&store.info.id))
            .map(|store| (store.key, store.info.clone()))
            .collect();
        self.heard.clear();
        for (key, info) in touched {
            outputs.extend(
                self.hang_up_all(&info.id, &format!("the hub's storage did not take a change: {cause}")),
            );
            if let Err(error) = self.load_store(key, info.clone()) {
                // Better no store than a wrong one; it is read again with the list of stores.
                tracing::error!(store = %info.id, %error, "cannot read the store again");
                self.stores.remove(&info.id);
            }
        }
        if !changes.pickup_settings.is_empty() {
            self.settings_given_back();
        }
        if orders_changed && let Err(error) = self.read_orders() {
            tracing::error!(%error, "cannot read the orders again");
        }
        outputs
    }

    fn hang_up_all(&mut self, store: &StoreId, reason: &str) -> Vec<Output> {
        let links: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.store() == store).map(|(link, _)| *link).collect();
        links.iter().for_each(|link| drop(self.links.remove(link)));
        links.into_iter().map(|link| Output::HangUp { link, reason: reason.to_owned() }).collect()
    }

    /// Hand-overs are cut after the commit, so that they hold what is on disk.
    fn hand_over_due(&mut self) {
        for (link, id, epoch, boot) in std::mem::take(&mut self.handovers_due) {
            let Some(store) = self.stores.get(&id) else { continue };
            match handover::parts(self.storage.as_mut(), store, self.facts.life) {
                Ok(parts) => {
                    if let Some(link) = self.links.get_mut(&link) {
                        link.hand_over(epoch, boot, parts);
                    }
                }
                Err(error) => self.unavailable(link, &id, epoch, boot, &error),
            }
        }
    }

    fn unavailable(&mut self, link: LinkId, store: &StoreId, epoch: Epoch, boot: Boot, error: &StorageError) {
        tracing::error!(%store, %error, "cannot read what is to be handed over");
        let refused =
            Refused { why: Refusal::Unavailable, detail: "the hub can't read its storage".to_owned() };
        self.answer(link, epoch, boot, Body::Refused(refused));
    }

    fn send(&mut self, now: Now, outputs: &mut Vec<Output>) {
        let mut hang_ups: Vec<Output> = Vec::new();
        outputs.retain(|output| match output {
            Output::HangUp { .. } => {
                hang_ups.push(output.clone());
                false
            }
            _ => true,
        });
        for (id, link) in &mut self.links {
            let Some(store) = self.stores.get_mut(link.store()) else { continue };
            while let Some(frame) = link.poll_frame(now.ticks, store) {
                let stream = frame.body.stream();
                outputs.push(Output::Send { link: *id, stream, bytes: frame::encode(&frame) });
            }
        }
        // What is said in parting goes first.
        for hang_up in hang_ups {
            if let Output::HangUp { link, .. } = &hang_up
                && let Some(link) = self.links.remove(link)
            {
                self.heard.insert(link.store().clone());
            }
            outputs.push(hang_up);
        }
        self.note_contacts();
    }
}

#[cfg(test)]
mod tests;
