//! The hub's synchronous core: merges what the stores send and decides what they are told, one commit at a time.
//!
//! [`Hub::drain`] takes whatever has arrived, works it off in memory, commits all of it at once, and only then gives out
//! acknowledgements and answers, and the updates for the availability index. It reads no clock and does no I/O but the
//! storage seam, so the same code runs under the daemon, the tests and the deterministic simulation.
//!
//! **Invariants:** nothing is acknowledged before its commit; a frame of another epoch or boot than the one the hub goes by is
//! dropped whole; a link speaks for one store only; after every step `promised + returned − released ≤ granted` in every cell.

mod handover;
mod ledger;

use crate::availability::{StoreInfo, Update};
use crate::storage::{Changes, HubFacts, Quarantined, Storage, StorageError, StoreKey};
use ledger::{Joined, StoreLedger, cell_update, item_update};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use sync_protocol::frame::{
    self, Ack, Body, Buckets, Direction, Frame, Heartbeat, Hello, HistoryBatch, Marks, Offer, Pulse, Refusal, Refused, Resend,
    StateBatch, Stream, VERSION_MAX, Welcome,
};
use sync_protocol::link::Timing;
use sync_protocol::link::greeting::{Fence, Verdict, judge};
use sync_protocol::link::hub::HubLink;
use sync_protocol::record::{ItemRecord, Unreadable};
use sync_protocol::stock::EscrowError;
use sync_protocol::time::Now;
use sync_protocol::{Boot, Epoch, ItemNo, Position, Quantity, Seq, StoreId, Ticks, TraceId, UnixMillis};

/// After how long a digest mismatch of one store is looked into again.
const DIGEST_PAUSE_MS: u64 = 60_000;

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
    LinkUp { link: LinkId, store: StoreId },
    LinkDown { link: LinkId },
    Frame { link: LinkId, bytes: Vec<u8> },
    /// Promise `quantity` of an item to an order (H1), or give a promise up that the store will not hand over (H3).
    Promise { ticket: Ticket, store: StoreId, item: ItemNo, quantity: Quantity },
    Release { ticket: Ticket, store: StoreId, item: ItemNo, quantity: Quantity },
    /// Time has passed; also reads the list of stores again.
    Tick,
}

/// What the hub wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Send { link: LinkId, stream: Stream, bytes: Vec<u8> },
    HangUp { link: LinkId, reason: String },
    Answer { ticket: Ticket, answer: Result<(), PromiseError> },
}

/// Why a promise was not made, or not given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromiseError {
    #[error("there is no store `{store}`")]
    UnknownStore { store: StoreId },
    #[error("store `{store}` has not been heard from since the hub was restored; nothing is promised from it until then")]
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
    /// Epochs granted, by reason.
    pub granted: BTreeMap<&'static str, u64>,
}

/// The hub.
pub struct Hub {
    settings: Settings,
    storage: Box<dyn Storage>,
    facts: HubFacts,
    stores: HashMap<StoreId, StoreLedger>,
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
}

impl Hub {
    /// Loads everything from storage.
    ///
    /// # Errors
    /// Storage can't be read.
    pub fn open(mut storage: Box<dyn Storage>, settings: Settings) -> Result<Hub, StorageError> {
        let facts = storage.hub(settings.fresh_life)?;
        let mut hub = Hub {
            settings,
            storage,
            facts,
            stores: HashMap::new(),
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
        };
        hub.read_stores()?;
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
        for input in &inputs {
            self.take(input, now);
        }
        let changes = self.take_changes();
        if !changes.is_empty() {
            if let Err(error) = self.storage.commit(&changes) {
                return self.give_back(&changes, &error);
            }
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
    pub fn cell(&self, store: &StoreId, item: ItemNo) -> Option<sync_protocol::stock::Cell> {
        self.stores.get(store)?.cell(item).map(|stored| stored.cell)
    }

    /// All of the hub's cells of one store: for checkers.
    pub fn cells(&self, store: &StoreId) -> impl Iterator<Item = (ItemNo, sync_protocol::stock::Cell)> {
        self.stores.get(store).into_iter().flat_map(|store| store.cells().map(|(item, stored)| (item, stored.cell)))
    }

    /// The epoch the hub goes by, how far it holds the store's state and history, and whether promises may be made.
    #[must_use]
    pub fn marks(&self, store: &StoreId) -> Option<(Epoch, Seq, Position, bool)> {
        let facts = &self.stores.get(store)?.facts;
        Some((facts.epoch, facts.state_mark, facts.history_mark, facts.trusted))
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

    fn load_store(&mut self, key: StoreKey, info: StoreInfo) -> Result<(), StorageError> {
        let (stored, items) = (self.storage.load(key)?, self.storage.items(key)?);
        self.stores.insert(info.id.clone(), StoreLedger::new(key, info, stored, &items));
        Ok(())
    }

    /// The database is older than what the stores know: promise nothing from a store until it has been heard.
    fn start_new_life(&mut self, evidence: &str) {
        tracing::error!(evidence, "the hub's database was restored; nothing is promised from a store until it has been heard");
        self.counters.restores_noticed += 1;
        self.facts.life = self.settings.fresh_life;
        self.facts_changed = true;
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
            Input::Tick => {
                if let Err(error) = self.read_stores() {
                    tracing::error!(%error, "cannot read the list of stores again");
                }
            }
        }
    }

    fn link_up(&mut self, link: LinkId, store: &StoreId) {
        if !self.stores.contains_key(store) {
            if let Err(error) = self.read_stores() {
                tracing::error!(%error, "cannot read the list of stores again");
            }
        }
        if !self.stores.contains_key(store) {
            let reason = format!("the hub has no store `{store}`; add it with `cloud-hub store add`");
            self.answers.push(Output::HangUp { link, reason });
            return;
        }
        self.heard.insert(store.clone());
        self.links.insert(link, HubLink::new(store.clone(), self.settings.timing));
    }

    fn promise(&mut self, id: &StoreId, item: ItemNo, quantity: Quantity, now: Now) -> Result<(), PromiseError> {
        let store = self.stores.get_mut(id).ok_or_else(|| PromiseError::UnknownStore { store: id.clone() })?;
        if !store.facts.trusted {
            return Err(PromiseError::NotTrusted { store: id.clone() });
        }
        store.raise_hub_half(item, |cell| cell.promise(quantity))?;
        self.down_changed(id, true, now);
        Ok(())
    }

    fn release(&mut self, id: &StoreId, item: ItemNo, quantity: Quantity, now: Now) -> Result<(), PromiseError> {
        let store = self.stores.get_mut(id).ok_or_else(|| PromiseError::UnknownStore { store: id.clone() })?;
        if !store.facts.trusted {
            return Err(PromiseError::NotTrusted { store: id.clone() });
        }
        store.raise_hub_half(item, |cell| cell.release(quantity))?;
        self.down_changed(id, true, now);
        Ok(())
    }

    fn down_changed(&mut self, store: &StoreId, urgent: bool, now: Now) {
        self.heard.insert(store.clone());
        for link in self.links.values_mut().filter(|link| link.store() == store) {
            link.changed(urgent, now.ticks);
        }
    }

    // Frames.

    fn frame(&mut self, link: LinkId, bytes: &[u8], now: Now) {
        let Some(store) = self.links.get(&link).map(|link| link.store().clone()) else { return };
        self.counters.frames += 1;
        let frame = match frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.counters.frames_unreadable += 1;
                let reason = format!("a frame of store `{store}` can't be read: {error}");
                tracing::warn!(%store, %error, "a frame can't be read");
                self.quarantine(&store, "frame", &error.to_string(), bytes, now.wall);
                self.answers.push(Output::HangUp { link, reason });
                return;
            }
        };
        if frame.store != store {
            self.counters.frames_of_other_stores += 1;
            tracing::warn!(%store, claimed = %frame.store, "a certificate was used for another store");
            let detail = format!("this certificate speaks for store `{store}` only");
            self.refuse(link, &frame, Refusal::WrongStore, &detail);
            let reason = format!("{detail}, not for `{}`", frame.store);
            self.answers.push(Output::HangUp { link, reason });
            return;
        }
        self.heard.insert(store.clone());
        if let Some(store) = self.stores.get_mut(&store) {
            store.heard(now.wall);
        }
        self.take_frame(link, &store, frame, bytes, now);
    }

    fn take_frame(&mut self, link: LinkId, store: &StoreId, frame: Frame, bytes: &[u8], now: Now) {
        let (epoch, boot) = (frame.epoch, frame.boot);
        if let Body::Hello(hello) = frame.body {
            return self.hello(link, store, epoch, boot, &hello, now);
        }
        let Some(ledger) = self.stores.get(store) else { return };
        if ledger.facts.epoch != epoch || ledger.memory(self.facts.life).boot() != Some(boot) {
            self.counters.frames_fenced += 1;
            return self.refuse(link, &frame, Refusal::SayHello, "another epoch or start than the hub goes by");
        }
        match frame.body {
            Body::State(batch) => self.state(link, store, epoch, boot, batch, now),
            Body::History(batch) => self.history(link, store, epoch, boot, batch, bytes, now),
            Body::Ack(ack) => self.acknowledged(link, store, ack, now),
            Body::Heartbeat(heartbeat) => self.heartbeat(link, store, epoch, boot, &heartbeat, now),
            Body::Offer(offer) => self.offer(store, &offer, now),
            Body::Resend(resend) => self.resend(store, &resend, now),
            body => {
                let reason = format!("an agent does not send `{}`", body.kind());
                self.answers.push(Output::HangUp { link, reason });
            }
        }
    }

    fn answer(&mut self, link: LinkId, epoch: Epoch, boot: Boot, body: Body) {
        if let Some(link) = self.links.get_mut(&link) {
            link.answer(epoch, boot, body);
        }
    }

    fn refuse(&mut self, link: LinkId, frame: &Frame, why: Refusal, detail: &str) {
        let refused = Refused { why, detail: detail.to_owned() };
        self.answer(link, frame.epoch, frame.boot, Body::Refused(refused));
    }

    fn quarantine(&mut self, store: &StoreId, what: &str, reason: &str, bytes: &[u8], at: UnixMillis) {
        self.counters.records_quarantined += 1;
        tracing::warn!(%store, what, reason, "quarantined");
        if let Some(ledger) = self.stores.get_mut(store) {
            let (what, reason, bytes) = (what.to_owned(), reason.to_owned(), bytes.to_vec());
            ledger.quarantine(Quarantined { at, what, reason, bytes });
        }
    }

    fn quarantine_all(&mut self, store: &StoreId, unreadable: &[Unreadable], at: UnixMillis) {
        for record in unreadable {
            self.quarantine(store, record.what, &record.reason, &record.bytes, at);
        }
    }

    fn hello(&mut self, link: LinkId, store: &StoreId, epoch: Epoch, boot: Boot, hello: &Hello, now: Now) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        let verdict = judge(&ledger.memory(self.facts.life), epoch, boot, hello);
        tracing::info!(%store, %epoch, %boot, ?verdict, software = hello.software, "hello");
        match verdict {
            Verdict::Continue { hub_restored } => self.welcome(link, store, epoch, boot, hello, hub_restored, now),
            Verdict::ContinueLaterEpoch => {
                ledger.enter_later_epoch(epoch);
                self.welcome(link, store, epoch, boot, hello, true, now);
            }
            Verdict::Grant { epoch: granted, fence } => {
                let other_life = hello.hub_life != 0 && hello.hub_life != self.facts.life;
                if other_life || hello.down_mark > ledger.facts.down_head {
                    self.has_forgotten(store, hello);
                }
                self.grant(link, store, epoch, boot, granted, fence);
            }
            Verdict::GrantAgain => self.handovers_due.push((link, store.clone(), epoch, boot)),
            Verdict::Incompatible => {
                let detail = format!(
                    "the agent speaks protocol {} to {}, the hub up to {VERSION_MAX}; upgrade the older of the two",
                    hello.version_min, hello.version_max
                );
                let refused = Refused { why: Refusal::Version, detail: detail.clone() };
                self.answer(link, epoch, boot, Body::Refused(refused));
                self.answers.push(Output::HangUp { link, reason: detail });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; the arguments are the hello itself")]
    fn welcome(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        hello: &Hello,
        hub_restored: bool,
        now: Now,
    ) {
        if hub_restored {
            self.has_forgotten(store, hello);
        }
        let Some(ledger) = self.stores.get_mut(store) else { return };
        ledger.facts.boots.clone_from(&hello.boots);
        ledger.facts.granted_to = None;
        ledger.facts_changed();
        let welcome = Welcome {
            version: VERSION_MAX.min(hello.version_max),
            state_mark: ledger.facts.state_mark,
            history_mark: ledger.facts.history_mark,
            down_head: ledger.facts.down_head,
            hub_life: self.facts.life,
            wants_offer: !ledger.facts.trusted,
            clock: now.wall,
        };
        // After a restore the store's copy can't be trusted to be where its mark says: send it everything.
        let down_mark = if hub_restored { Seq(0) } else { hello.down_mark };
        if let Some(link) = self.links.get_mut(&link) {
            link.welcome(epoch, boot, welcome, down_mark, now.ticks);
        }
    }

    /// The caller remembers more of the hub than the hub itself: nothing is promised from its store until it has told.
    fn has_forgotten(&mut self, store: &StoreId, hello: &Hello) {
        if hello.hub_life == self.facts.life || hello.hub_life == 0 {
            self.start_new_life("a store holds acknowledgements the hub does not remember");
        }
        let Some(ledger) = self.stores.get_mut(store) else { return };
        ledger.facts.trusted = false;
        // Numbers the store has seen must not be given out again.
        ledger.facts.down_head = ledger.facts.down_head.max(hello.down_mark);
        ledger.facts_changed();
    }

    fn grant(&mut self, link: LinkId, store: &StoreId, epoch: Epoch, boot: Boot, granted: Epoch, fence: Fence) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        let named = match self.storage.items(ledger.key) {
            Ok(items) => items.iter().map(|item| item.item).collect(),
            Err(error) => return self.unavailable(link, store, epoch, boot, &error),
        };
        if fence == Fence::FirstContact {
            tracing::info!(%store, epoch = %granted, "first contact with a store");
        } else {
            tracing::warn!(%store, epoch = %granted, reason = fence.name(), "the store's agent starts over from the hub's copy");
        }
        *self.counters.granted.entry(fence.name()).or_default() += 1;
        // Where the hub was restored, the store stays untrusted: the new incarnation keeps what its disk knows of the hub's halves
        // and offers it.
        ledger.grant(granted, boot, &named);
        self.handovers_due.push((link, store.clone(), epoch, boot));
    }

    fn state(&mut self, link: LinkId, store: &StoreId, epoch: Epoch, boot: Boot, batch: StateBatch, now: Now) {
        self.trace_merge(store, &batch);
        let Some(ledger) = self.stores.get_mut(store) else { return };
        // An older batch than what is there may carry older items and cursors; halves join in any order.
        if batch.upto > ledger.facts.state_mark {
            for record in batch.items {
                let before = if ledger.changed_item(record.item).is_some() {
                    None
                } else {
                    self.storage.item(ledger.key, record.item).ok().flatten()
                };
                ledger.take_item(record, before.as_ref());
            }
            batch.cursors.iter().for_each(|cursor| ledger.take_cursor(cursor));
        }
        let mut returned = false;
        for stock in &batch.stock {
            returned |= ledger.join(stock) == Joined::AndReturned;
        }
        self.counters.cells_merged += batch.stock.len() as u64;
        ledger.state_taken(batch.base, batch.upto, batch.head, batch.position);
        if ledger.is_complete() {
            ledger.facts.as_of = now.wall;
        }
        let mark = ledger.facts.state_mark;
        self.quarantine_all(store, &batch.unreadable, now.wall);
        if returned {
            self.down_changed(store, false, now);
        }
        self.acknowledge(link, epoch, boot, Marks { state: Some(mark), history: None });
        if let Some(history) = batch.history {
            self.riding_history(link, store, epoch, boot, history, now);
        }
    }

    fn trace_merge(&mut self, store: &StoreId, batch: &StateBatch) {
        self.traces_due.extend(batch.traces.iter().map(|trace| (store.clone(), *trace, batch.upto)));
        tracing::debug!(%store, base = %batch.base, upto = %batch.upto, cells = batch.stock.len(), "state batch");
    }

    /// Whoever follows a till's trace finds here that its sale is durable at the hub.
    fn log_traces(&mut self) {
        for (store, trace, upto) in std::mem::take(&mut self.traces_due) {
            tracing::info!(trace_id = %trace, %store, %upto, "merged at the hub");
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one caller; the arguments are the frame's own parts")]
    fn history(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        batch: HistoryBatch,
        bytes: &[u8],
        now: Now,
    ) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        for record in batch.items {
            // State brings newer records; here only what is not known at all is taken.
            let known = ledger.changed_item(record.item).is_some()
                || self.storage.item(ledger.key, record.item).is_ok_and(|item| item.is_some());
            if !known {
                ledger.take_item(record, None);
            }
        }
        self.counters.documents += batch.documents.len() as u64;
        ledger.history_taken(batch.base, batch.upto, bytes);
        let mark = ledger.facts.history_mark;
        self.quarantine_all(store, &batch.unreadable, now.wall);
        self.acknowledge(link, epoch, boot, Marks { state: None, history: Some(mark) });
    }

    /// History that came with a state batch is kept like history that came by itself.
    fn riding_history(
        &mut self,
        link: LinkId,
        store: &StoreId,
        epoch: Epoch,
        boot: Boot,
        history: HistoryBatch,
        now: Now,
    ) {
        let frame = Frame { store: store.clone(), epoch, boot, body: Body::History(history.clone()) };
        self.history(link, store, epoch, boot, history, &frame::encode(&frame), now);
    }

    /// One answer for all of a step's batches on a link; it leaves after the commit.
    fn acknowledge(&mut self, link: LinkId, epoch: Epoch, boot: Boot, marks: Marks) {
        let (_, _, due) = self.marks_due.entry(link).or_insert((epoch, boot, Marks::default()));
        due.state = marks.state.or(due.state);
        due.history = marks.history.or(due.history);
    }

    fn acknowledged(&mut self, link: LinkId, store: &StoreId, ack: Ack, now: Now) {
        let Some(head) = self.stores.get(store).map(|ledger| ledger.facts.down_head) else { return };
        if let Some(link) = self.links.get_mut(&link).filter(|_| ack.stream == Stream::State) {
            link.acknowledged(Seq(ack.upto), head, now.ticks);
        }
    }

    fn heartbeat(&mut self, link: LinkId, store: &StoreId, epoch: Epoch, boot: Boot, beat: &Heartbeat, now: Now) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        let caught_up = ledger.facts.state_mark == beat.state_head && ledger.facts.boot_head <= beat.state_head;
        if caught_up {
            ledger.complete(beat.state_head, beat.history_head);
            ledger.facts.as_of = now.wall;
        }
        let pulse = Pulse {
            state_mark: ledger.facts.state_mark,
            history_mark: ledger.facts.history_mark,
            down_head: ledger.facts.down_head,
            clock: now.wall,
        };
        // History that is ahead of the heartbeat may have brought items that the heartbeat's digest did not hold yet.
        let comparable = caught_up && ledger.facts.history_mark <= beat.history_head;
        let up = (comparable && ledger.up.root() != beat.up_root).then(|| Buckets {
            direction: Direction::Up,
            head: beat.state_head,
            sums: ledger.up.sums().to_vec(),
        });
        let down_even = beat.down_mark == ledger.facts.down_head;
        let down = (down_even && ledger.down.root() != beat.down_root).then(|| Buckets {
            direction: Direction::Down,
            head: beat.down_mark,
            sums: ledger.down.sums().to_vec(),
        });
        let trusted = ledger.facts.trusted;
        self.answer(link, epoch, boot, Body::Pulse(pulse));
        if !trusted {
            // The offer that was to come with the last hello has been lost.
            let refused = Refused { why: Refusal::SayHello, detail: "the hub was restored and waits for an offer".to_owned() };
            self.answer(link, epoch, boot, Body::Refused(refused));
        }
        for buckets in [up, down].into_iter().flatten() {
            self.digests_differ(link, store, epoch, boot, buckets, now);
        }
    }

    /// Should never happen: counted, logged as an error, and mended.
    fn digests_differ(&mut self, link: LinkId, store: &StoreId, epoch: Epoch, boot: Boot, buckets: Buckets, now: Now) {
        let checked = self.digest_checked_at.get(store);
        if checked.is_some_and(|checked| now.ticks.since(*checked) < DIGEST_PAUSE_MS) {
            return;
        }
        self.digest_checked_at.insert(store.clone(), now.ticks);
        self.counters.digest_mismatches += 1;
        tracing::error!(%store, direction = ?buckets.direction, "digests differ at equal heads");
        self.answer(link, epoch, boot, Body::Buckets(buckets));
    }

    /// A store's copy of the hub's halves, after the hub was restored. With the last part the store is trusted again.
    fn offer(&mut self, store: &StoreId, offer: &Offer, now: Now) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        for stock in &offer.halves {
            let joined = ledger.raise_hub_half(stock.item, |cell| {
                cell.hub.join(&stock.half);
                Ok::<(), EscrowError>(())
            });
            debug_assert!(joined.is_ok(), "joining refuses nothing");
        }
        if offer.last && offer.unreadable.is_empty() {
            ledger.trust();
            tracing::info!(%store, "the store has been heard since the restore");
        }
        self.quarantine_all(store, &offer.unreadable, now.wall);
        self.down_changed(store, false, now);
    }

    fn resend(&mut self, store: &StoreId, resend: &Resend, now: Now) {
        let Some(ledger) = self.stores.get_mut(store) else { return };
        if resend.direction == Direction::Down && resend.head == ledger.facts.down_head {
            ledger.restamp(&resend.buckets);
            self.down_changed(store, true, now);
        }
    }

    // The end of a step.

    fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        let before = self.facts.feed;
        for id in &self.heard {
            let Some(store) = self.stores.get_mut(id) else { continue };
            if let Some((of_store, updates)) = store.take_changes(&mut self.facts.feed) {
                changes.stores.insert(store.key, of_store);
                self.updates.extend(updates);
            }
        }
        if self.facts_changed || self.facts.feed != before {
            changes.hub = Some(self.facts);
            self.facts_changed = false;
        }
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
    fn give_back(&mut self, changes: &Changes, error: &StorageError) -> Vec<Output> {
        let cause = error.source.to_string();
        tracing::error!(%error, cause, "the hub's storage did not take a commit");
        self.counters.failed_commits += 1;
        self.updates.clear();
        self.handovers_due.clear();
        self.marks_due.clear();
        self.traces_due.clear();
        let mut outputs: Vec<Output> = std::mem::take(&mut self.answers)
            .into_iter()
            .map(|output| match output {
                Output::Answer { ticket, .. } => Output::Answer { ticket, answer: Err(PromiseError::Storage) },
                other => other,
            })
            .collect();
        if let Ok(facts) = self.storage.hub(self.settings.fresh_life) {
            self.facts = facts;
        }
        let touched: Vec<(StoreKey, StoreInfo)> = self
            .stores
            .values()
            .filter(|store| changes.stores.contains_key(&store.key) || self.heard.contains(&store.info.id))
            .map(|store| (store.key, store.info.clone()))
            .collect();
        self.heard.clear();
        for (key, info) in touched {
            outputs.extend(self.hang_up_all(&info.id, &format!("the hub's storage did not take a change: {cause}")));
            if let Err(error) = self.load_store(key, info.clone()) {
                // Better no store than a wrong one; it is read again with the list of stores.
                tracing::error!(store = %info.id, %error, "cannot read the store again");
                self.stores.remove(&info.id);
            }
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
        let refused = Refused { why: Refusal::Unavailable, detail: "the hub can't read its storage".to_owned() };
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
            if let Output::HangUp { link, .. } = &hang_up {
                if let Some(link) = self.links.remove(link) {
                    self.heard.insert(link.store().clone());
                }
            }
            outputs.push(hang_up);
        }
        self.note_contacts();
    }
}

#[cfg(test)]
mod tests;
