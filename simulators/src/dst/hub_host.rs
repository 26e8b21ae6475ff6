//! Where the hub runs: its storage, watched from outside and able to fail, and a start of the hub on it. The hub is the real one.

use super::checkers::{self, Check};
use super::disk;
use super::machine::Crash;
use super::network::Way;
use super::sabotage::Sabotage;
use super::truth::{Effects, HubHistory, add};
use super::world::{Event, World};
use cloud_hub::availability::{Figures, StoreInfo, Update};
use cloud_hub::hub::{Counters, Hub, Input, LinkId, Output, Settings};
use cloud_hub::orders::pickup_settings::Revised;
use cloud_hub::storage::sqlite::Sqlite;
use cloud_hub::storage::{
    Changes, HubFacts, Reservation, ShopOrder, Storage, StorageError, StoreChanges, StoreKey, StoredOrder,
    StoredStore,
};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use sync_protocol::frame::{self, Body};
use sync_protocol::order::OrderId;
use sync_protocol::record::{HistoryDocument, ItemRecord, document_key};
use sync_protocol::time::Now;
use sync_protocol::{Epoch, ItemNo, Sku, StoreId, Ticks, UnixMillis};

/// How often a hub is told that time has passed, in milliseconds.
const TICK_EVERY: u64 = 5_000;

/// What a commit said about one store.
pub struct Committed {
    pub store: usize,
    pub documents: Vec<(Epoch, HistoryDocument)>,
    pub changes: StoreChanges,
}

/// The hub's storage: the real one, with a witness and faults in front of it.
pub struct Watched {
    pub sqlite: Sqlite,
    /// How many of the next commits fail.
    pub failing: u32,
    /// Says that it has committed and has not.
    pub forgetful: bool,
    pub committed: Vec<Committed>,
    pub skus: BTreeMap<(usize, ItemNo), String>,
    /// By store.
    pub orders: BTreeMap<(usize, OrderId), StoredOrder>,
    keys: Vec<StoreKey>,
}

impl Watched {
    #[must_use]
    pub fn new(stores: &[StoreId]) -> Watched {
        let mut sqlite = Sqlite::open_in_memory().expect("the schema fits an empty database");
        let keys =
            stores.iter().map(|id| sqlite.put_store(&info(id)).expect("a new store can be added")).collect();
        Watched {
            sqlite,
            failing: 0,
            forgetful: false,
            committed: Vec::new(),
            skus: BTreeMap::new(),
            orders: BTreeMap::new(),
            keys,
        }
    }

    #[must_use]
    pub fn image(&self) -> Connection {
        disk::copy(self.sqlite.connection())
    }

    /// Continues on another database, that of a backup.
    pub fn replace(&mut self, database: Connection) {
        self.sqlite = Sqlite::prepared(database).expect("a backup has the same schema");
        self.skus.clear();
        for (store, key) in self.keys.clone().into_iter().enumerate() {
            let items = self.sqlite.items(key).expect("a backup can be read");
            self.note_items(store, &items);
        }
        self.orders.clear();
        for store in 0..self.keys.len() {
            let orders = self.stored(store).orders;
            self.orders.extend(orders.into_iter().map(|order| ((store, order.order), order)));
        }
    }

    /// Everything of one store as it is on the hub's disk.
    pub fn stored(&mut self, store: usize) -> StoredStore {
        self.sqlite.load(self.keys[store]).expect("the hub's storage can be read")
    }

    pub fn orders_of(&self, store: usize) -> BTreeMap<OrderId, StoredOrder> {
        let of_store = self.orders.iter().filter(|((of, _), _)| *of == store);
        of_store.map(|((_, order), stored)| (*order, stored.clone())).collect()
    }

    fn note_items(&mut self, store: usize, items: &[ItemRecord]) {
        for item in items {
            self.skus.insert((store, item.item), item.sku.to_string());
        }
    }

    fn note(&mut self, changes: &Changes) {
        for (key, changes) in &changes.stores {
            let Some(store) = self.keys.iter().position(|known| known == key) else { continue };
            self.note_items(store, &changes.items);
            for order in &changes.orders {
                self.orders.insert((store, order.order), order.clone());
            }
            let mut documents = Vec::new();
            for chunk in &changes.history {
                if let Ok(Body::History(batch)) = frame::decode(&chunk.frame).map(|frame| frame.body) {
                    documents.extend(batch.documents.into_iter().map(|document| (chunk.epoch, document)));
                }
            }
            self.committed.push(Committed { store, documents, changes: changes.clone() });
        }
    }

    /// Something old comes back on the disk: part of a cell, or an item gone.
    pub fn rot(&self, id: &StoreId) {
        let db = self.sqlite.connection();
        let cell = "UPDATE cell SET total_in = total_in / 2, total_out = total_out / 2 WHERE store = (SELECT store FROM store
                    WHERE id = ?1) AND item = 1";
        let item = "DELETE FROM item WHERE store = (SELECT store FROM store WHERE id = ?1) AND item = 2";
        for sql in [cell, item] {
            db.execute(sql, [id.as_str()]).expect("the hub's schema has these columns");
        }
    }

    /// The hub's cursors of one store, as stored.
    pub fn cursors(&mut self, store: usize) -> BTreeMap<String, Vec<u8>> {
        let stored = self.sqlite.load(self.keys[store]).expect("the hub's storage can be read");
        stored.cursors.into_iter().map(|(source, cursor)| (source.to_string(), cursor.value)).collect()
    }
}

fn info(id: &StoreId) -> StoreInfo {
    StoreInfo {
        id: id.clone(),
        name: id.to_string(),
        lat: 45.5,
        lon: -73.6,
        timezone: "America/Toronto".to_owned(),
    }
}

/// The hub's end of the shared storage.
struct Door(Arc<Mutex<Watched>>);

impl Door {
    fn with<T>(&self, act: impl FnOnce(&mut Watched) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Storage for Door {
    fn hub(&mut self, fresh_life: u64) -> Result<HubFacts, StorageError> {
        self.with(|watched| watched.sqlite.hub(fresh_life))
    }

    fn stores(&mut self) -> Result<Vec<(StoreKey, StoreInfo)>, StorageError> {
        self.with(|watched| watched.sqlite.stores())
    }

    fn put_store(&mut self, store: &StoreInfo) -> Result<StoreKey, StorageError> {
        self.with(|watched| watched.sqlite.put_store(store))
    }

    fn load(&mut self, store: StoreKey) -> Result<StoredStore, StorageError> {
        self.with(|watched| watched.sqlite.load(store))
    }

    fn items(&mut self, store: StoreKey) -> Result<Vec<ItemRecord>, StorageError> {
        self.with(|watched| watched.sqlite.items(store))
    }

    fn item(&mut self, store: StoreKey, item: ItemNo) -> Result<Option<ItemRecord>, StorageError> {
        self.with(|watched| watched.sqlite.item(store, item))
    }

    fn item_of_sku(&mut self, store: StoreKey, sku: &Sku) -> Result<Option<ItemNo>, StorageError> {
        self.with(|watched| watched.sqlite.item_of_sku(store, sku))
    }

    fn history(
        &mut self,
        store: StoreKey,
        each: &mut dyn FnMut(Epoch, HistoryDocument),
    ) -> Result<(), StorageError> {
        self.with(|watched| watched.sqlite.history(store, each))
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), StorageError> {
        self.with(|watched| {
            if watched.failing > 0 {
                watched.failing -= 1;
                return Err(StorageError { act: "committing", source: "the disk is full".into() });
            }
            if !watched.forgetful {
                watched.sqlite.commit(changes)?;
            }
            watched.note(changes);
            Ok(())
        })
    }

    fn shop_orders(&mut self) -> Result<Vec<ShopOrder>, StorageError> {
        self.with(|watched| watched.sqlite.shop_orders())
    }

    fn pickup_settings(&mut self) -> Result<Vec<(StoreKey, Revised)>, StorageError> {
        self.with(|watched| watched.sqlite.pickup_settings())
    }

    fn reservations(&mut self) -> Result<Vec<(OrderId, Reservation)>, StorageError> {
        self.with(|watched| watched.sqlite.reservations())
    }

    fn quarantined(&mut self) -> Result<(u64, Option<UnixMillis>), StorageError> {
        self.with(|watched| watched.sqlite.quarantined())
    }
}

/// One start of the hub.
pub struct HubProcess {
    pub hub: Hub,
    started_at: u64,
    ticks_at_start: u64,
    counters: Counters,
    idle_wakes: u32,
}

impl HubProcess {
    pub fn idle_wakes(&mut self, now: Ticks, idle: bool) -> u32 {
        let at_once = self.hub.next_deadline().is_some_and(|deadline| deadline <= now);
        self.idle_wakes = if idle && at_once { self.idle_wakes + 1 } else { 0 };
        self.idle_wakes
    }
}

/// A copy of everything the hub had on disk once.
pub struct HubImage {
    pub database: Connection,
    pub documents: Vec<HubHistory>,
}

pub struct HubHost {
    pub process: Option<HubProcess>,
    /// Counts starts.
    pub life: u64,
    pub storage: Arc<Mutex<Watched>>,
    pub backups: Vec<HubImage>,
    inbox: Vec<Input>,
    draining: bool,
    pub crash: Option<Crash>,
    pub clock_ahead: i64,
    timer: u64,
    /// What the index would show.
    pub shown: Vec<BTreeMap<ItemNo, Figures>>,
    /// Stores whose state is behind what the hub once had, and that have not caught up since.
    pub catching_up: Vec<bool>,
    /// Restored without being told: shoppers wait for a store until it has been heard.
    pub unheard: Vec<bool>,
    pub restores: u32,
}

impl HubHost {
    #[must_use]
    pub fn new(stores: &[StoreId]) -> HubHost {
        HubHost {
            process: None,
            life: 0,
            storage: Arc::new(Mutex::new(Watched::new(stores))),
            backups: Vec::new(),
            inbox: Vec::new(),
            draining: false,
            crash: None,
            clock_ahead: 0,
            timer: 0,
            shown: vec![BTreeMap::new(); stores.len()],
            catching_up: vec![false; stores.len()],
            unheard: vec![false; stores.len()],
            restores: 0,
        }
    }

    pub fn with_storage<T>(&self, act: impl FnOnce(&mut Watched) -> T) -> T {
        act(&mut self.storage.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether anything is waiting to be worked off.
    #[must_use]
    pub fn hub(&self) -> Option<&Hub> {
        self.process.as_ref().map(|process| &process.hub)
    }
}

impl World {
    pub(super) fn hub_now(&self) -> Now {
        let ticks = self
            .hub
            .process
            .as_ref()
            .map_or(0, |process| process.ticks_at_start + self.now - process.started_at);
        Now { wall: self.wall(self.hub.clock_ahead), ticks: Ticks(ticks) }
    }

    pub(super) fn start_hub(&mut self, restored: bool) -> Check {
        if self.hub.process.is_some() {
            return Ok(());
        }
        self.hub.with_storage(|storage| (storage.failing, storage.forgetful) = (0, false));
        let ticks_at_start = self.rng.below(1 << 40);
        // A name is a random number; 0 means "none".
        let settings = Settings {
            timing: self.plan.timing,
            fresh_life: self.rng.next_u64() | 1,
            restored,
            customers_kept_ms: i64::MAX,
        };
        let mut hub = Hub::open(Box::new(Door(Arc::clone(&self.hub.storage))), settings)
            .expect("the hub's storage can be read");
        self.hub.shown.iter_mut().for_each(BTreeMap::clear);
        let mut updates = Vec::new();
        hub.each_initial_update(|of_store| updates.extend(of_store)).expect("the hub's storage can be read");
        self.hub.life += 1;
        self.trace.note(self.now, format_args!("the hub starts, restored {restored}"));
        let counters = hub.counters().clone();
        self.hub.process =
            Some(HubProcess { hub, started_at: self.now, ticks_at_start, counters, idle_wakes: 0 });
        self.show(updates);
        self.take_in_commits()?;
        checkers::escrow::after_hub_step(self)?;
        self.set_hub_timer();
        Ok(())
    }

    pub(super) fn crash_hub(&mut self) {
        if self.hub.process.take().is_none() {
            return;
        }
        self.trace.note(self.now, format_args!("the hub stops"));
        self.hub.inbox.clear();
        self.hub.draining = false;
        self.hub.crash = None;
        let links: Vec<u64> = self.network.links.keys().copied().collect();
        for link in links {
            if let Some(link) = self.network.links.get_mut(&link) {
                link.at_hub = false;
            }
            self.break_link(link);
        }
    }

    pub(super) fn tell_hub(&mut self, input: Input) {
        if self.hub.process.is_none() {
            return;
        }
        self.hub.inbox.push(input);
        if !self.hub.draining {
            self.hub.draining = true;
            let moment = self.rng.below(4);
            self.queue.put(self.now + moment, Event::DrainHub { life: self.hub.life });
        }
    }

    /// As its daemon does, whatever else goes on.
    pub(super) fn hub_tick(&mut self) {
        self.queue.put(self.now + TICK_EVERY, Event::HubTick);
        self.tell_hub(Input::Tick);
    }

    pub(super) fn hub_timer(&mut self, timer: u64) -> Check {
        if self.hub.timer != timer || self.hub.process.is_none() {
            return Ok(());
        }
        self.hub.inbox.push(Input::Tick);
        self.drain_hub()
    }

    pub(super) fn drain_hub(&mut self) -> Check {
        self.hub.draining = false;
        if self.hub.process.is_none() {
            return Ok(());
        }
        let inputs = std::mem::take(&mut self.hub.inbox);
        if self.hub.crash == Some(Crash::BeforeCommit) {
            self.coverage.hit("hub: crash before the commit");
            self.crash_hub();
            return Ok(());
        }
        let forgets = self.sabotage == Some(Sabotage::HubAcknowledgesBeforeCommit)
            && self.hub.crash == Some(Crash::AfterCommit);
        self.hub.with_storage(|storage| storage.forgetful = forgets);
        let only_ticks = inputs.iter().all(|input| matches!(input, Input::Tick));
        let now = self.hub_now();
        self.note_hub_inputs(&inputs);
        let Some(process) = &mut self.hub.process else { return Ok(()) };
        let outputs = process.hub.drain(inputs, now);
        let updates = process.hub.take_updates();
        self.note_hub_outputs(&outputs);
        self.show(updates);
        self.take_in_commits()?;
        self.note_counters();
        checkers::spin::hub(self, only_ticks && outputs.is_empty())?;
        checkers::escrow::after_hub_step(self)?;
        checkers::escrow::shown_is_true(self)?;
        if self.hub.crash == Some(Crash::AfterCommit) {
            self.coverage.hit("hub: crash after the commit");
            if forgets {
                self.hub_carries_out(outputs)?;
            }
            self.crash_hub();
            return Ok(());
        }
        self.set_hub_timer();
        self.hub_carries_out(outputs)
    }

    /// Rare things that show in what the hub is about to take.
    fn note_taken(&mut self, bytes: &[u8]) {
        let Ok(frame) = frame::decode(bytes) else { return };
        let Some((epoch, mark, ..)) = self.hub.hub().and_then(|hub| hub.marks(&frame.store)) else { return };
        match &frame.body {
            Body::State(batch) => {
                self.coverage.sometimes("hub: gap joined", frame.epoch == epoch && batch.base > mark);
            }
            Body::Hello(_) => {
                self.coverage
                    .sometimes("hub: joined a store that lives in a later epoch", frame.epoch > epoch);
            }
            Body::Offer(offer) => self.coverage.sometimes("hub: offer joined", !offer.halves.is_empty()),
            Body::Resend(_) => self.coverage.hit("digest: the hub sent records again"),
            _ => {}
        }
    }

    fn note_hub_inputs(&mut self, inputs: &[Input]) {
        for input in inputs {
            match input {
                Input::Frame { link, bytes } => {
                    self.trace.frame(self.now, format_args!("hub takes on {}", link.0), bytes);
                    self.note_taken(bytes);
                }
                other => self.trace.note(self.now, format_args!("hub takes {other:?}")),
            }
        }
    }

    fn note_hub_outputs(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Answer { ticket, answer } => {
                    self.trace.note(self.now, format_args!("hub answers {}: {answer:?}", ticket.0));
                }
                Output::Order { ticket, answer } => {
                    self.trace.note(self.now, format_args!("hub answers {}: {answer:?}", ticket.0));
                }
                Output::Orders { .. }
                | Output::Reservation { .. }
                | Output::Settings { .. }
                | Output::Count { .. } => {}
                Output::Send { link, bytes, .. } => {
                    self.trace.frame(self.now, format_args!("hub sends on {}", link.0), bytes);
                }
                Output::HangUp { link, reason } => {
                    self.trace.note(self.now, format_args!("hub hangs up {}: {reason}", link.0));
                }
            }
        }
    }

    fn hub_carries_out(&mut self, outputs: Vec<Output>) -> Check {
        for output in outputs {
            match output {
                Output::Answer { ticket, answer } => self.shopper_answered(ticket.0, &answer),
                Output::Order { ticket, answer } => self.order_answered(ticket.0, &answer)?,
                Output::Orders { .. }
                | Output::Reservation { .. }
                | Output::Settings { .. }
                | Output::Count { .. } => {}
                Output::Send { link: LinkId(link), stream, bytes } => {
                    self.note_sent_down(link, &bytes);
                    self.send(link, Way::Down, stream, bytes);
                }
                Output::HangUp { link: LinkId(link), .. } => {
                    if let Some(link) = self.network.links.get_mut(&link) {
                        link.at_hub = false;
                    }
                    self.break_link(link);
                }
            }
        }
        Ok(())
    }

    /// Rare things that show in what the hub sends.
    fn note_sent_down(&mut self, link: u64, bytes: &[u8]) {
        let Ok(frame) = frame::decode(bytes) else { return };
        let Some(store) = self.network.links.get(&link).map(|link| link.store) else { return };
        match &frame.body {
            Body::Handover(part) if part.part == 0 => {
                let granted = (store, part.granted, frame.boot);
                let again = !self.granted.insert(granted);
                self.coverage.sometimes("fence: the same epoch granted again", again);
                self.coverage.sometimes("agent: hand-over in more than one part", !part.last);
            }
            Body::Welcome(welcome) => {
                self.welcomed.insert(store, frame.boot);
                self.hub.unheard[store] = false;
                self.hub.catching_up[store] |= welcome.wants_offer;
            }
            _ => {}
        }
    }

    fn show(&mut self, updates: Vec<Update>) {
        for update in updates {
            let Update::Cell { store, item, figures, .. } = update else { continue };
            let Some(at) = self.store_ids.iter().position(|id| *id == store) else { continue };
            self.hub.shown[at].insert(item, figures);
        }
    }

    /// The witness learns what has been committed.
    fn take_in_commits(&mut self) -> Check {
        let committed = self.hub.with_storage(|storage| std::mem::take(&mut storage.committed));
        for Committed { store, documents, changes } in committed {
            let has_expired =
                changes.orders.iter().any(|order| order.status() == sync_protocol::order::Status::Expired);
            self.coverage.sometimes("order: expired", has_expired);
            let moved = !changes.cells.is_empty();
            let late = changes.forget_at_cut && !changes.history.is_empty() && !moved;
            self.coverage.sometimes("hub: cut made late, once history had come", late);
            self.coverage.sometimes("hub: figures went back to the cut", changes.forget_cursors && moved);
            for (epoch, document) in documents {
                checkers::ledger::hub_has_it_right(self, store, &document)?;
                let key = document_key(&document.source, &document.reference);
                let Some(no) = self.truth.by_key(store, &key) else { continue };
                let effects = self.effects_at_hub(store, &document);
                self.truth.hub_took(store, no, (epoch, document.first_position), effects);
            }
            if let Some(facts) = changes.facts.filter(|_| changes.forget_at_cut && changes.at_cut.is_empty())
            {
                checkers::ledger::cut_adds_up(self, store, facts.cut)?;
            }
        }
        Ok(())
    }

    fn effects_at_hub(&mut self, store: usize, document: &HistoryDocument) -> Effects {
        let mut effects = Effects::new();
        for line in &document.lines {
            let sku = self.hub.with_storage(|storage| storage.skus.get(&(store, line.item)).cloned());
            if let Some(sku) = sku {
                let sku = self.truth.sku_no(&sku);
                add(&mut effects, sku, line.effect.thousandths());
            }
        }
        effects
    }

    fn note_counters(&mut self) {
        let Some(process) = &mut self.hub.process else { return };
        let now = process.hub.counters().clone();
        let before = std::mem::replace(&mut process.counters, now.clone());
        for (fence, count) in &now.granted {
            let more = *count > before.granted.get(fence).copied().unwrap_or(0);
            let name = match *fence {
                "first_contact" => "fence: first_contact",
                "new_disk" => "fence: new_disk",
                "rolled_back" => "fence: rolled_back",
                "another_copy" => "fence: another_copy",
                _ => "fence: old_epoch",
            };
            self.coverage.sometimes(name, more);
        }
        self.coverage.sometimes(
            "hub: frame of another epoch or start dropped",
            now.frames_fenced > before.frames_fenced,
        );
        self.coverage.sometimes("hub: a commit failed", now.failed_commits > before.failed_commits);
        let found_out = now.restores_noticed > before.restores_noticed;
        self.coverage.sometimes("hub: restored, and found out by itself", found_out);
        self.digest_mismatches += now.digest_mismatches - before.digest_mismatches;
    }

    fn set_hub_timer(&mut self) {
        let now = self.hub_now().ticks;
        let Some(process) = &self.hub.process else { return };
        let Some(deadline) = process.hub.next_deadline() else { return };
        self.hub.timer += 1;
        self.queue.put(self.now + deadline.since(now).max(1), Event::HubTimer { timer: self.hub.timer });
    }
}
