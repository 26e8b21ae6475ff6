//! A hub with two stores, agents that say what a test wants, and a storage that can be told to fail.

use super::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use sync_protocol::frame::BootMark;
use sync_protocol::stock::Cell;

pub(super) const MILK: ItemNo = ItemNo(1);
pub(super) const SALT: ItemNo = ItemNo(2);
pub(super) const OPENS: UnixMillis = UnixMillis(1_793_480_400_000);

pub(super) fn units(units: i64) -> Quantity {
    Quantity::from_units(units)
}

pub(super) fn id(text: &str) -> StoreId {
    text.parse().unwrap()
}

pub(super) fn info(text: &str) -> StoreInfo {
    StoreInfo {
        id: id(text),
        name: format!("Store {text}"),
        lat: 52.5,
        lon: 13.4,
        timezone: "Europe/Berlin".to_owned(),
    }
}

/// Thirty days.
pub(super) const CUSTOMERS_KEPT_MS: i64 = 30 * 24 * 3_600_000;

fn settings(restored: bool, fresh_life: u64) -> Settings {
    Settings { timing: Timing::default(), fresh_life, restored, customers_kept_ms: CUSTOMERS_KEPT_MS }
}

/// The next so many commits fail before they have done anything, or reads of a store.
#[derive(Clone, Default)]
pub(super) struct Faults {
    pub(super) commits: Arc<AtomicU32>,
    pub(super) loads: Arc<AtomicU32>,
}

impl Faults {
    fn strike(faults: &AtomicU32, act: &'static str) -> Result<(), StorageError> {
        let left = faults.load(Ordering::Relaxed);
        if left == 0 {
            return Ok(());
        }
        faults.store(left - 1, Ordering::Relaxed);
        Err(StorageError { act, source: "the disk is full".into() })
    }
}

struct Faulty {
    storage: Sqlite,
    faults: Faults,
}

impl Storage for Faulty {
    fn hub(&mut self, fresh_life: u64) -> Result<HubFacts, StorageError> {
        self.storage.hub(fresh_life)
    }

    fn stores(&mut self) -> Result<Vec<(StoreKey, StoreInfo)>, StorageError> {
        self.storage.stores()
    }

    fn put_store(&mut self, store: &StoreInfo) -> Result<StoreKey, StorageError> {
        self.storage.put_store(store)
    }

    fn load(&mut self, store: StoreKey) -> Result<crate::storage::StoredStore, StorageError> {
        Faults::strike(&self.faults.loads, "reading a store")?;
        self.storage.load(store)
    }

    fn items(&mut self, store: StoreKey) -> Result<Vec<ItemRecord>, StorageError> {
        self.storage.items(store)
    }

    fn item(&mut self, store: StoreKey, item: ItemNo) -> Result<Option<ItemRecord>, StorageError> {
        self.storage.item(store, item)
    }

    fn item_of_sku(
        &mut self,
        store: StoreKey,
        sku: &sync_protocol::Sku,
    ) -> Result<Option<ItemNo>, StorageError> {
        self.storage.item_of_sku(store, sku)
    }

    fn history(
        &mut self,
        store: StoreKey,
        each: &mut dyn FnMut(Epoch, HistoryDocument),
    ) -> Result<(), StorageError> {
        self.storage.history(store, each)
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), StorageError> {
        Faults::strike(&self.faults.commits, "committing")?;
        self.storage.commit(changes)
    }

    fn reservations(&mut self) -> Result<Vec<(OrderId, crate::storage::Reservation)>, StorageError> {
        self.storage.reservations()
    }

    fn shop_orders(&mut self) -> Result<Vec<crate::storage::ShopOrder>, StorageError> {
        self.storage.shop_orders()
    }

    fn pickup_settings(
        &mut self,
    ) -> Result<Vec<(StoreKey, crate::orders::pickup_settings::Revised)>, StorageError> {
        self.storage.pickup_settings()
    }

    fn quarantined(&mut self) -> Result<(u64, Option<UnixMillis>), StorageError> {
        self.storage.quarantined()
    }
}

pub(super) struct Headquarters {
    pub(super) hub: Hub,
    pub(super) now: Now,
    pub(super) faults: Faults,
    links: u64,
    tickets: u64,
}

impl Headquarters {
    pub(super) fn open() -> Headquarters {
        let storage = Sqlite::open_in_memory().unwrap();
        Headquarters::over(storage, settings(false, 5))
    }

    pub(super) fn open_at(folder: &Path) -> Headquarters {
        Headquarters::open_in_life(folder, 5)
    }

    /// Under a new name for its life, should it need one.
    pub(super) fn open_in_life(folder: &Path, life: u64) -> Headquarters {
        Headquarters::over(Sqlite::open(&folder.join("hub.db")).unwrap(), settings(false, life))
    }

    pub(super) fn open_restored(folder: &Path, life: u64) -> Headquarters {
        Headquarters::over(Sqlite::open(&folder.join("hub.db")).unwrap(), settings(true, life))
    }

    fn over(mut storage: Sqlite, settings: Settings) -> Headquarters {
        for store in ["S0001", "S0002"] {
            storage.put_store(&info(store)).unwrap();
        }
        let faults = Faults::default();
        let storage = Faulty { storage, faults: faults.clone() };
        let hub = Hub::open(Box::new(storage), settings).unwrap();
        let now = Now { wall: OPENS, ticks: Ticks(0) };
        Headquarters { hub, now, faults, links: 0, tickets: 0 }
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now.wall.0 += millis.cast_signed();
        self.now.ticks.0 += millis;
    }

    pub(super) fn drain(&mut self, inputs: Vec<Input>) -> Vec<Output> {
        self.hub.drain(inputs, self.now)
    }

    pub(super) fn tick(&mut self) -> Vec<Output> {
        self.drain(vec![Input::Tick])
    }

    pub(super) fn new_link(&mut self) -> LinkId {
        self.links += 1;
        LinkId(self.links)
    }

    pub(super) fn fail_next_commit(&mut self) {
        self.faults.commits.store(1, Ordering::Relaxed);
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(super) fn order(&mut self, store: &str, item: ItemNo, pieces: i64) -> (Ticket, Input) {
        let ticket = self.ticket();
        (ticket, Input::Promise { ticket, store: id(store), item, quantity: units(pieces) })
    }

    pub(super) fn promise(&mut self, store: &str, item: ItemNo, pieces: i64) -> Result<(), PromiseError> {
        let (ticket, input) = self.order(store, item, pieces);
        answer_of(&self.drain(vec![input]), ticket)
    }

    pub(super) fn release(&mut self, store: &str, item: ItemNo, pieces: i64) -> Result<(), PromiseError> {
        let ticket = self.ticket();
        let input = Input::Release { ticket, store: id(store), item, quantity: units(pieces) };
        answer_of(&self.drain(vec![input]), ticket)
    }

    pub(super) fn cell(&self, store: &str, item: ItemNo) -> Cell {
        self.hub.cell(&id(store), item).unwrap_or_default()
    }

    pub(super) fn marks(&self, store: &str) -> (Epoch, Seq, Position, bool) {
        self.hub.marks(&id(store)).unwrap()
    }

    pub(super) fn figures(&mut self) -> Vec<(StoreId, ItemNo, Quantity, u64)> {
        let updates = self.hub.take_updates().into_iter();
        let cells = updates.filter_map(|update| match update {
            Update::Cell { store, item, figures, feed } => Some((store, item, figures.free, feed)),
            _ => None,
        });
        cells.collect()
    }
}

pub(super) fn answer_of(outputs: &[Output], asked: Ticket) -> Result<(), PromiseError> {
    let answers: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Answer { ticket, answer } if *ticket == asked => Some(answer.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1, "one answer to one request: {outputs:?}");
    answers.into_iter().next().unwrap()
}

/// What the hub said on a link.
pub(super) fn said(outputs: &[Output], on: LinkId) -> Vec<Frame> {
    let frames = outputs.iter().filter_map(|output| match output {
        Output::Send { link, stream, bytes } if *link == on => {
            assert!(bytes.len() <= FRAME_BYTES_MAX, "a frame of {} bytes", bytes.len());
            let frame = frame::decode(bytes).unwrap();
            assert_eq!(frame.body.stream(), *stream);
            Some(frame)
        }
        _ => None,
    });
    frames.collect()
}

pub(super) fn hung_up(outputs: &[Output]) -> Vec<LinkId> {
    let links = outputs.iter().filter_map(|output| match output {
        Output::HangUp { link, .. } => Some(*link),
        _ => None,
    });
    links.collect()
}

/// An agent's end of a link.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) link: LinkId,
    pub(super) store: StoreId,
    pub(super) epoch: Epoch,
    pub(super) boots: Vec<BootMark>,
    pub(super) head: Seq,
    pub(super) position: Position,
    pub(super) down_mark: Seq,
    /// Of the hub's notes: a test that takes halves, too, says so itself.
    pub(super) down_root: u128,
    pub(super) hub_life: u64,
    pub(super) state_acked: Seq,
}

impl Caller {
    pub(super) fn new(hq: &mut Headquarters, store: &str, boot: u64) -> Caller {
        Caller {
            link: hq.new_link(),
            store: id(store),
            epoch: Epoch(0),
            boots: vec![BootMark { boot: Boot(boot), first_seq: Seq(1), first_position: Position(1) }],
            head: Seq(0),
            position: Position(0),
            down_mark: Seq(0),
            down_root: 0,
            hub_life: 0,
            state_acked: Seq(0),
        }
    }

    /// Past first contact, in the epoch it was granted.
    pub(super) fn greeted(hq: &mut Headquarters, store: &str, boot: u64) -> Caller {
        let mut caller = Caller::new(hq, store, boot);
        caller.connect(hq);
        caller.adopt(hq);
        caller
    }

    pub(super) fn boot(&self) -> Boot {
        self.boots.last().unwrap().boot
    }

    /// A new connection; nothing has been said on it yet.
    pub(super) fn connect(&mut self, hq: &mut Headquarters) {
        self.link = hq.new_link();
        let input = Input::LinkUp { link: self.link, store: self.store.clone() };
        assert_eq!(hq.drain(vec![input]), []);
    }

    pub(super) fn frame(&self, body: Body) -> Input {
        let frame = Frame { store: self.store.clone(), epoch: self.epoch, boot: self.boot(), body };
        Input::Frame { link: self.link, bytes: frame::encode(&frame) }
    }

    /// Says something; gives what the hub says to it.
    pub(super) fn say(&self, hq: &mut Headquarters, body: Body) -> Vec<Frame> {
        said(&hq.drain(vec![self.frame(body)]), self.link)
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            version_min: 1,
            version_max: 1,
            boots: self.boots.clone(),
            state_head: self.head,
            history_head: self.position,
            state_acked: self.state_acked,
            history_acked: Position(0),
            down_mark: self.down_mark,
            hub_life: self.hub_life,
            clock: OPENS,
            software: "test".to_owned(),
        }
    }

    /// Says hello and is handed over to; gives the parts.
    pub(super) fn handed_over(&self, hq: &mut Headquarters) -> Vec<Handover> {
        let parts: Vec<Handover> = self
            .say(hq, Body::Hello(self.hello()))
            .into_iter()
            .map(|frame| match frame.body {
                Body::Handover(part) => part,
                other => panic!("{} where a hand-over is due", other.kind()),
            })
            .collect();
        assert!(parts.iter().zip(0..).all(|(part, number)| part.part == number));
        assert!(parts.iter().rev().skip(1).all(|part| !part.last) && parts.last().unwrap().last);
        parts
    }

    /// Takes over what the hub hands over, and says hello again.
    pub(super) fn adopt(&mut self, hq: &mut Headquarters) -> Vec<Handover> {
        let parts = self.handed_over(hq);
        self.epoch = parts[0].granted;
        self.boots = vec![BootMark { boot: self.boot(), first_seq: Seq(1), first_position: Position(1) }];
        (self.head, self.position, self.state_acked) = (Seq(0), Position(0), Seq(0));
        self.down_mark = parts[0].down_head;
        let mut down = sync_protocol::digest::Digest::default();
        parts.iter().flat_map(|part| &part.hub_notes).for_each(|note| down.add(note));
        self.down_root = down.root();
        self.welcome(hq);
        parts
    }

    /// Says hello and is welcomed.
    pub(super) fn welcome(&mut self, hq: &mut Headquarters) -> Welcome {
        let said = self.say(hq, Body::Hello(self.hello()));
        let Some(Body::Welcome(welcome)) = said.first().map(|frame| &frame.body) else {
            panic!("no welcome but {said:?}")
        };
        self.hub_life = welcome.hub_life;
        *welcome
    }

    /// A batch of everything that has changed, up to date.
    pub(super) fn batch(&mut self, stock: Vec<StoreStock>) -> StateBatch {
        let base = self.head;
        self.head = Seq(base.0 + stock.len().max(1) as u64);
        let items = stock.iter().map(|stock| item(stock.item)).collect();
        let (upto, head, position) = (self.head, self.head, self.position);
        StateBatch { base, upto, head, position, items, stock, ..StateBatch::default() }
    }

    /// A sheet of figures: item, pieces in, pieces out, pieces granted.
    pub(super) fn stock(&self, item: ItemNo, in_: u64, out: u64, granted: u64) -> StoreStock {
        let (in_, out, granted) = (1_000 * in_, 1_000 * out, 1_000 * granted);
        StoreStock { item, half: StoreHalf { epoch: self.epoch, in_, out, granted, ..StoreHalf::default() } }
    }

    pub(super) fn reports(&mut self, hq: &mut Headquarters, stock: Vec<StoreStock>) -> Vec<Frame> {
        let batch = self.batch(stock);
        self.say(hq, Body::State(batch))
    }

    pub(super) fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            state_head: self.head,
            history_head: self.position,
            down_mark: self.down_mark,
            up_root: 0,
            down_root: self.down_root,
        }
    }

    /// Documents of one line each, one piece of milk sold in each.
    pub(super) fn history(&mut self, references: &[&str]) -> HistoryBatch {
        let base = self.position;
        let documents: Vec<HistoryDocument> =
            references.iter().zip(base.0 + 1..).map(|(reference, at)| sale(reference, at)).collect();
        self.position = Position(base.0 + documents.len() as u64);
        HistoryBatch { base, upto: self.position, documents, ..HistoryBatch::default() }
    }
}

pub(super) fn item(item: ItemNo) -> ItemRecord {
    ItemRecord {
        item,
        sku: format!("sku-{item}").parse().unwrap(),
        gtins: Vec::new(),
        name: format!("Item {item}"),
        unit: "each".to_owned(),
        unnamed: false,
    }
}

pub(super) fn sale(reference: &str, at: u64) -> HistoryDocument {
    HistoryDocument {
        first_position: Position(at),
        source: "till-1".parse().unwrap(),
        reference: reference.parse().unwrap(),
        kind: Kind::Sale,
        reason: None,
        occurred_at: OPENS,
        recorded_at: OPENS,
        content: 1,
        lines: vec![HistoryLine { item: MILK, quantity: units(1), effect: units(-1) }],
    }
}

pub(super) fn kinds(said: &[Frame]) -> Vec<&'static str> {
    said.iter().map(|frame| frame.body.kind()).collect()
}

pub(super) fn marks_of(said: &[Frame]) -> Option<Marks> {
    said.iter().find_map(|frame| match frame.body {
        Body::Marks(marks) => Some(marks),
        _ => None,
    })
}

pub(super) fn refusal_of(said: &[Frame]) -> Option<Refusal> {
    said.iter().find_map(|frame| match &frame.body {
        Body::Refused(refused) => Some(refused.why),
        _ => None,
    })
}
