//! The two ends' records, as small as they can be: sold and promised pieces by item.

use super::greeting::{Memory, Verdict, judge};
use super::hub::{HubLink, HubRecords};
use super::store::{StoreEvent, StoreLink, StoreRecords};
use super::*;
use crate::frame::{BootMark, Offer, last_item};
use crate::order::OrderId;
use crate::quantity::Quantity;
use crate::record::{HistoryDocument, HistoryLine, HubOrderRecord, Kind, StoreStock};
use crate::stock::StoreHalf;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// Records in one batch.
pub(super) const BATCH: usize = 4;

pub(super) fn store_id() -> crate::StoreId {
    "S0001".parse().unwrap()
}

pub(super) fn empty_handover(granted: Epoch) -> Handover {
    Handover { granted, last: true, hub_life: 1, next_position: Position(1), ..Handover::default() }
}

/// The agent's side.
pub(super) struct Store {
    pub(super) link: StoreLink,
    pub(super) epoch: Epoch,
    pub(super) heard_at: Ticks,
    /// How many parts each hand-over had.
    pub(super) adopted: Vec<usize>,
    pub(super) ledger: Vec<HistoryDocument>,
    boots: Vec<BootMark>,
    sold: BTreeMap<ItemNo, (Seq, u64)>,
    head: Seq,
    halves: BTreeMap<ItemNo, HubHalf>,
    down_mark: Seq,
    hub_life: u64,
    state_acked: Seq,
    /// Documents of earlier incarnations; the hub has them.
    forgotten: usize,
}

impl Store {
    pub(super) fn new(boot: Boot, timing: Timing) -> Store {
        Store {
            link: StoreLink::new(store_id(), Epoch(0), boot, timing),
            epoch: Epoch(0),
            heard_at: Ticks(0),
            adopted: Vec::new(),
            ledger: Vec::new(),
            boots: vec![BootMark { boot, first_seq: Seq(1), first_position: Position(1) }],
            sold: BTreeMap::new(),
            head: Seq(0),
            halves: BTreeMap::new(),
            down_mark: Seq(0),
            hub_life: 0,
            state_acked: Seq(0),
            forgotten: 0,
        }
    }

    /// The process starts again on the same disk.
    pub(super) fn restart(&mut self, boot: Boot, timing: Timing) {
        self.link = StoreLink::new(store_id(), self.epoch, boot, timing);
        let first_position = Position(self.ledger.last().map_or(1, |document| document.first_position.0 + 1));
        self.boots.push(BootMark { boot, first_seq: self.head.next(), first_position });
    }

    pub(super) fn boot(&self) -> Boot {
        self.boots.last().unwrap().boot
    }

    pub(super) fn sell(&mut self, item: ItemNo, pieces: u64) {
        self.head = self.head.next();
        let (seq, sold) = self.sold.entry(item).or_default();
        (*seq, *sold) = (self.head, *sold + pieces);
        self.note_document();
    }

    /// Sells so many different items once each.
    pub(super) fn sell_many(&mut self, items: usize) {
        (1..=items).for_each(|item| self.sell(ItemNo(u32::try_from(item).unwrap()), 1));
    }

    /// A document that changes no figure.
    pub(super) fn note_document(&mut self) {
        let at = self.ledger.last().map_or(1, |document| document.first_position.0 + 1);
        let quantity = Quantity::ZERO;
        self.ledger.push(HistoryDocument {
            first_position: Position(at),
            source: "till-1".parse().unwrap(),
            reference: at.to_string().parse().unwrap(),
            kind: Kind::Sale,
            reason: None,
            occurred_at: UnixMillis(0),
            recorded_at: UnixMillis(0),
            content: 0,
            lines: vec![HistoryLine { item: ItemNo(1), quantity, effect: quantity }],
        });
    }

    pub(super) fn stock(&self) -> BTreeMap<ItemNo, u64> {
        self.sold.iter().map(|(item, (_, sold))| (*item, *sold)).collect()
    }

    pub(super) fn promised(&self, item: ItemNo) -> u64 {
        self.halves.get(&item).map_or(0, |half| half.promised)
    }

    pub(super) fn hello_of(&mut self) -> Hello {
        Records(self).hello()
    }

    pub(super) fn heartbeat_of(&mut self) -> Heartbeat {
        Records(self).heartbeat()
    }

    pub(super) fn state_head(&self) -> Seq {
        self.head
    }

    pub(super) fn poll(&mut self, now: Ticks) -> Option<Frame> {
        let mut link = std::mem::replace(&mut self.link, placeholder());
        let frame = link.poll_frame(now, &mut Records(self));
        self.link = link;
        frame.unwrap_or_else(|never| match never {})
    }

    pub(super) fn take(&mut self, frame: Frame, now: Ticks) -> Result<Option<StoreEvent>, PeerMisbehaved> {
        self.heard_at = now;
        let mut link = std::mem::replace(&mut self.link, placeholder());
        let event = link.handle(frame, now, &Records(self));
        self.link = link;
        if let Ok(Some(event)) = &event {
            self.act(event.clone(), now);
        }
        event
    }

    fn act(&mut self, event: StoreEvent, now: Ticks) {
        match event {
            StoreEvent::Welcomed(welcome) => {
                self.hub_life = welcome.hub_life;
                self.state_acked = welcome.state_mark;
                self.down_mark = self.down_mark.min(welcome.down_head);
            }
            StoreEvent::Acknowledged(marks) => self.state_acked = marks.state.unwrap_or(self.state_acked),
            StoreEvent::Apply(batch) => {
                for stock in &batch.halves {
                    self.halves.entry(stock.item).or_default().join(&stock.half);
                }
                if batch.base <= self.down_mark {
                    self.down_mark = self.down_mark.max(batch.upto);
                }
                self.link.applied(self.down_mark);
            }
            StoreEvent::Adopt(parts) => self.adopt(&parts, now),
            _ => {}
        }
    }

    /// Figures and ledger stay as they are: what is tested is the conversation.
    fn adopt(&mut self, parts: &[Handover], now: Ticks) {
        self.adopted.push(parts.len());
        self.epoch = parts[0].granted;
        self.down_mark = parts[0].down_head;
        self.boots = vec![BootMark { boot: self.boot(), first_seq: Seq(1), first_position: Position(1) }];
        self.forgotten = self.ledger.len();
        self.state_acked = Seq(0);
        self.link.adopted(self.epoch, now);
    }
}

/// Stands in while the real one is being called.
fn placeholder() -> StoreLink {
    StoreLink::new(store_id(), Epoch(0), Boot(0), Timing::default())
}

struct Records<'a>(&'a mut Store);

impl StoreRecords for Records<'_> {
    type Error = Infallible;

    fn hello(&mut self) -> Hello {
        Hello {
            version_min: 1,
            version_max: 1,
            boots: self.0.boots.clone(),
            state_head: self.0.head,
            history_head: self.history_head(),
            state_acked: self.0.state_acked,
            history_acked: Position(0),
            down_mark: self.0.down_mark,
            hub_life: self.0.hub_life,
            clock: UnixMillis(0),
            software: "test".to_owned(),
        }
    }

    fn state_head(&self) -> Seq {
        self.0.head
    }

    fn history_head(&self) -> Position {
        self.0.ledger[self.0.forgotten..].last().map_or(Position(0), HistoryDocument::last_position)
    }

    fn state_batch(&mut self, base: Seq) -> StateBatch {
        let mut due: Vec<(Seq, ItemNo, u64)> = self
            .0
            .sold
            .iter()
            .map(|(item, (seq, sold))| (*seq, *item, *sold))
            .filter(|(seq, ..)| *seq > base)
            .collect();
        due.sort_unstable();
        let is_all = due.len() <= BATCH;
        due.truncate(BATCH);
        let upto = if is_all { self.0.head } else { due.last().map_or(base, |(seq, ..)| *seq) };
        let half = |sold| StoreHalf { epoch: self.0.epoch, out: sold, ..StoreHalf::default() };
        let mut stock: Vec<StoreStock> =
            due.into_iter().map(|(_, item, sold)| StoreStock { item, half: half(sold) }).collect();
        stock.sort_unstable_by_key(|stock| stock.item);
        StateBatch {
            base,
            upto,
            head: self.0.head,
            position: self.history_head(),
            stock,
            ..StateBatch::default()
        }
    }

    fn history_batch(&mut self, base: Position) -> Result<HistoryBatch, Infallible> {
        let due = self.0.ledger[self.0.forgotten..].iter().filter(|document| document.first_position > base);
        let documents: Vec<HistoryDocument> = due.take(BATCH).cloned().collect();
        let upto = documents.last().map_or(base, HistoryDocument::last_position);
        Ok(HistoryBatch { base, upto, documents, ..HistoryBatch::default() })
    }

    fn hub_halves(&mut self, after: ItemNo) -> (Vec<HubStock>, bool) {
        let mut rest =
            self.0.halves.range(after.next()..).map(|(item, half)| HubStock { item: *item, half: *half });
        let halves: Vec<HubStock> = rest.by_ref().take(BATCH).collect();
        (halves, rest.next().is_none())
    }

    fn hub_orders(&mut self, _: Option<OrderId>) -> Result<(Vec<HubOrderRecord>, bool), Infallible> {
        Ok((Vec::new(), true))
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            state_head: self.0.head,
            history_head: self.history_head(),
            down_mark: self.0.down_mark,
            up_root: 0,
            down_root: 0,
        }
    }
}

/// The hub's side of one store.
pub(super) struct Hub {
    pub(super) link: HubLink,
    pub(super) memory: Memory,
    pub(super) stock: BTreeMap<ItemNo, u64>,
    pub(super) trusted: bool,
    /// In how many parts it hands over.
    pub(super) parts: u32,
    references: BTreeSet<(Epoch, String)>,
    halves: BTreeMap<ItemNo, (Seq, HubHalf)>,
    timing: Timing,
}

impl Hub {
    pub(super) fn new(timing: Timing) -> Hub {
        Hub {
            link: HubLink::new(store_id(), timing),
            memory: Memory { hub_life: 1, ..Memory::default() },
            stock: BTreeMap::new(),
            trusted: true,
            parts: 1,
            references: BTreeSet::new(),
            halves: BTreeMap::new(),
            timing,
        }
    }

    /// A connection opens.
    pub(super) fn open(&mut self) {
        self.link = HubLink::new(store_id(), self.timing);
    }

    pub(super) fn sold(&self, item: ItemNo) -> u64 {
        self.stock.get(&item).copied().unwrap_or(0)
    }

    pub(super) fn documents(&self) -> usize {
        self.references.len()
    }

    pub(super) fn promised(&self, item: ItemNo) -> u64 {
        self.halves.get(&item).map_or(0, |(_, half)| half.promised)
    }

    /// To be followed by `link.changed`, or by a welcome.
    pub(super) fn promise(&mut self, item: ItemNo, pieces: u64) {
        self.memory.down_head = self.memory.down_head.next();
        let (seq, half) = self.halves.entry(item).or_default();
        *seq = self.memory.down_head;
        half.promised += pieces;
    }

    pub(super) fn down_head(&self) -> Seq {
        self.memory.down_head
    }

    /// The agent's next hello is answered with a hand-over.
    pub(super) fn grant_next_epoch(&mut self) {
        self.memory.boots =
            vec![BootMark { boot: Boot(u64::MAX), first_seq: Seq(1), first_position: Position(1) }];
    }

    /// Its database is gone; its operator gives it a new life.
    pub(super) fn restore_from_nothing(&mut self) {
        let epoch = self.memory.epoch;
        self.memory = Memory { epoch, granted_to: None, hub_life: 2, ..Memory::default() };
        self.halves.clear();
    }

    pub(super) fn welcome(&self, wants_offer: bool) -> Welcome {
        Welcome {
            version: 1,
            state_mark: self.memory.state_mark,
            history_mark: self.memory.history_mark,
            down_head: self.memory.down_head,
            hub_life: self.memory.hub_life,
            wants_offer,
            clock: UnixMillis(0),
        }
    }

    pub(super) fn poll(&mut self, now: Ticks) -> Option<Frame> {
        let mut halves = Halves { halves: &self.halves, head: self.memory.down_head };
        self.link.poll_frame(now, &mut halves)
    }

    pub(super) fn take(&mut self, frame: Frame, now: Ticks) {
        let (epoch, boot) = (frame.epoch, frame.boot);
        if let Body::Hello(hello) = &frame.body {
            return self.greeted(epoch, boot, hello, now);
        }
        if epoch != self.memory.epoch || self.memory.boot() != Some(boot) {
            let refused = Refused { why: Refusal::SayHello, detail: String::new() };
            return self.link.answer(epoch, boot, Body::Refused(refused));
        }
        match frame.body {
            Body::State(batch) => {
                self.state(&batch);
                let history = batch.history.map(|history| self.history(&history));
                let marks = Marks { state: Some(self.memory.state_mark), history };
                self.link.answer(epoch, boot, Body::Marks(marks));
            }
            Body::History(batch) => {
                let marks = Marks { state: None, history: Some(self.history(&batch)) };
                self.link.answer(epoch, boot, Body::Marks(marks));
            }
            Body::Ack(ack) => drop(self.link.acknowledged(Seq(ack.upto), self.memory.down_head, now)),
            Body::Heartbeat(_) => {
                let pulse = Pulse {
                    state_mark: self.memory.state_mark,
                    history_mark: self.memory.history_mark,
                    down_head: self.memory.down_head,
                    clock: UnixMillis(0),
                };
                self.link.answer(epoch, boot, Body::Pulse(pulse));
            }
            Body::Offer(offer) => self.offered(&offer, now),
            other => panic!("an agent does not send `{}`", other.kind()),
        }
    }

    fn state(&mut self, batch: &StateBatch) {
        for stock in &batch.stock {
            let sold = self.stock.entry(stock.item).or_default();
            *sold = (*sold).max(stock.half.out);
        }
        self.memory.boot_head = self.memory.boot_head.max(batch.upto);
        if batch.base <= self.memory.state_mark {
            self.memory.state_mark = self.memory.state_mark.max(batch.upto);
        }
    }

    fn history(&mut self, batch: &HistoryBatch) -> Position {
        let memory = &mut self.memory;
        if batch.base <= memory.history_mark {
            let references =
                batch.documents.iter().map(|document| (memory.epoch, document.reference.to_string()));
            self.references.extend(references);
            memory.history_mark = memory.history_mark.max(batch.upto);
        }
        memory.history_mark
    }

    fn offered(&mut self, offer: &Offer, now: Ticks) {
        assert_eq!(last_item(&offer.halves), offer.halves.last().map_or(ItemNo(0), |stock| stock.item));
        for stock in &offer.halves {
            self.memory.down_head = self.memory.down_head.next();
            let (seq, half) = self.halves.entry(stock.item).or_default();
            *seq = self.memory.down_head;
            half.join(&stock.half);
        }
        self.trusted |= offer.last;
        self.link.changed(false, now);
    }

    fn greeted(&mut self, epoch: Epoch, boot: Boot, hello: &Hello, now: Ticks) {
        match judge(&self.memory, epoch, boot, hello) {
            Verdict::Continue { hub_restored } => {
                self.trusted &= !hub_restored;
                self.memory.boots.clone_from(&hello.boots);
                self.memory.granted_to = None;
                self.memory.down_head = self.memory.down_head.max(hello.down_mark);
                let down_mark = if hub_restored { Seq(0) } else { hello.down_mark };
                self.link.welcome(epoch, boot, self.welcome(!self.trusted), down_mark, now);
            }
            Verdict::Grant { epoch: granted, .. } => {
                let down_head = self.memory.down_head;
                let hub_life = self.memory.hub_life;
                self.memory = Memory {
                    epoch: granted,
                    granted_to: Some(boot),
                    down_head,
                    hub_life,
                    ..Memory::default()
                };
                self.hand_over(epoch, boot);
            }
            Verdict::GrantAgain => self.hand_over(epoch, boot),
            verdict => panic!("{verdict:?}"),
        }
    }

    fn hand_over(&mut self, epoch: Epoch, boot: Boot) {
        let part = |part| Handover {
            part,
            last: part + 1 == self.parts,
            down_head: self.memory.down_head,
            ..empty_handover(self.memory.epoch)
        };
        let parts = (0..self.parts).map(part).collect();
        self.link.hand_over(epoch, boot, parts);
    }
}

struct Halves<'a> {
    halves: &'a BTreeMap<ItemNo, (Seq, HubHalf)>,
    head: Seq,
}

impl HubRecords for Halves<'_> {
    fn down_head(&self) -> Seq {
        self.head
    }

    fn down_batch(&mut self, base: Seq) -> DownBatch {
        let mut due: Vec<(Seq, HubStock)> = self
            .halves
            .iter()
            .map(|(item, (seq, half))| (*seq, HubStock { item: *item, half: *half }))
            .collect();
        due.retain(|(seq, _)| *seq > base);
        due.sort_unstable_by_key(|(seq, _)| *seq);
        let is_all = due.len() <= BATCH;
        due.truncate(BATCH);
        let upto = if is_all { self.head } else { due.last().map_or(base, |(seq, _)| *seq) };
        let mut halves: Vec<HubStock> = due.into_iter().map(|(_, stock)| stock).collect();
        halves.sort_unstable_by_key(|stock| stock.item);
        DownBatch { base, upto, halves, ..DownBatch::default() }
    }
}
