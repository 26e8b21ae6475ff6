//! The agent's synchronous core: every decision about the store's stock, one transaction at a time.
//!
//! [`Agent::drain`] takes whatever has arrived, works it off in one transaction, and only after the commit gives out the answers
//! and the frames that follow from it (group commit). It reads no clock and does no I/O but SQLite, so the same code runs
//! under the daemon, the tests and the deterministic simulation.
//!
//! **Invariants:** no answer and no frame leaves before the commit it rests on; after a failed commit the memory is what is on
//! disk; a document is recorded whole or not at all, and at most once per (source, reference).

mod adopt;
mod adopt_notes;
mod adopt_orders;
pub mod canary;
mod compare;
pub mod document;
mod downstream;
mod inventory;
mod pausing;
pub mod pickup;
mod quarantine;
mod reading;
mod recording;
mod records;
mod refusal;
pub mod status;
mod tasks;

pub use canary::CanarySettings;
pub use document::{Counted, Document, ItemEntry, ItemKey, ItemPut, Line, RecordError, Recorded};
pub use pickup::PickupError;
pub use quarantine::RetryRefused;
pub use reading::{ReadingTaken, SetAside, SourceDocument, SourceReading};
pub use recording::PAGE_SOURCE;
pub use status::SyncStatus;

use crate::store::OpenError;
use crate::store::ledger::{self, AgentRow};
use crate::store::orders::OrderRow;
use canary::Canaries;
use inventory::Inventory;
use pickup::Halt;
use recording::Stop;
use records::Records;
use refusal::refusal;
use rusqlite::{Connection, TransactionBehavior};
use status::Counters;
use sync_protocol::frame::{self, BootMark, Handover, Stream, Welcome};
use sync_protocol::link::store::{LinkState, StoreEvent, StoreLink};
use sync_protocol::link::{PeerMisbehaved, Timing};
use sync_protocol::pause::StorePause;
use sync_protocol::stock::ReservePolicy;
use sync_protocol::time::Now;
use sync_protocol::{Boot, Epoch, ItemNo, Position, Seq, StoreId, Ticks, TraceId, UnixMillis};

/// How often reserves are held against the sales rate, which falls by itself.
const RESERVES_EVERY_MS: u64 = 60_000;

/// Names a caller who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What can happen to the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Record {
        ticket: Ticket,
        documents: Vec<Document>,
    },
    /// What somebody has entered on the store's page, under [`PAGE_SOURCE`].
    Enter {
        ticket: Ticket,
        document: Box<Document>,
    },
    PutItems {
        ticket: Ticket,
        items: Vec<ItemEntry>,
    },
    /// Something is to be done with a pickup order.
    Pickup {
        ticket: Ticket,
        request: pickup::Request,
    },
    /// A POS was read.
    Reading {
        ticket: Ticket,
        reading: SourceReading,
    },
    /// A record that was set aside is to be tried once more.
    Retry {
        ticket: Ticket,
        id: i64,
    },
    /// The store takes no new pickup orders for a while, or takes them again.
    Pause {
        ticket: Ticket,
        pause: Option<StorePause>,
    },
    LinkUp,
    LinkDown {
        reason: String,
    },
    Frame(Vec<u8>),
    Tick,
}

/// What the agent wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Answer { ticket: Ticket, answer: Answer },
    Send { stream: Stream, bytes: Vec<u8> },
    HangUp { reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Recorded(Vec<Result<Recorded, RecordError>>),
    Items(Vec<Result<ItemPut, RecordError>>),
    Pickup(Result<Box<OrderRow>, PickupError>),
    Read(Result<ReadingTaken, RecordError>),
    Retried(Result<(), RetryRefused>),
    Paused(Result<(), RecordError>),
}

/// What the agent is told once, at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    pub store: StoreId,
    pub reserve: ReservePolicy,
    pub timing: Timing,
    /// `None`: no movement is followed.
    pub canary: Option<CanarySettings>,
}

/// Everything in memory that mirrors the database.
#[derive(Debug)]
struct Mind {
    store: StoreId,
    boot: Boot,
    epoch: Epoch,
    boots: Vec<BootMark>,
    inventory: Inventory,
    canaries: Canaries,
    next_position: Position,
    next_item: ItemNo,
    history_head: Position,
    state_acked: Seq,
    history_acked: Position,
    down_mark: Seq,
    hub_life: u64,
    has_known_documents: bool,
    traces: Vec<TraceId>,
    movements_recorded: u64,
}

impl Mind {
    fn load(db: &Connection, settings: &Settings, boot: Boot) -> rusqlite::Result<Mind> {
        let store = &settings.store;
        let row = ledger::agent_row(db)?.unwrap_or(AgentRow {
            store: store.to_string(),
            epoch: Epoch(0),
            change_seq: Seq(0),
            next_position: Position(1),
            next_item: ItemNo(1),
            state_acked: Seq(0),
            history_acked: Position(0),
            down_mark: Seq(0),
            hub_life: 0,
        });
        Ok(Mind {
            store: store.clone(),
            boot,
            epoch: row.epoch,
            boots: ledger::boots(db)?,
            inventory: Inventory::load(db, row.epoch, row.change_seq, row.state_acked)?,
            canaries: Canaries::load(db, settings.canary.as_ref())?,
            next_position: row.next_position,
            next_item: row.next_item,
            history_head: ledger::history_head(db, row.epoch)?,
            state_acked: row.state_acked,
            history_acked: row.history_acked,
            down_mark: row.down_mark,
            hub_life: row.hub_life,
            has_known_documents: ledger::has_known_documents(db)?,
            traces: Vec::new(),
            movements_recorded: 0,
        })
    }

    fn row(&self) -> AgentRow {
        AgentRow {
            store: self.store.to_string(),
            epoch: self.epoch,
            change_seq: self.inventory.change_seq,
            next_position: self.next_position,
            next_item: self.next_item,
            state_acked: self.state_acked,
            history_acked: self.history_acked,
            down_mark: self.down_mark,
            hub_life: self.hub_life,
        }
    }
}

/// The store's agent.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    db: Connection,
    mind: Mind,
    link: StoreLink,
    /// The agent row as it is on disk, to write it only when it has changed.
    row_on_disk: AgentRow,
    recorded_on_disk: u64,
    mind_is_stale: bool,
    reserves_at: Ticks,
    counters: Counters,
}

impl Agent {
    /// Takes over a database that [`crate::store`] has opened. `boot` is a fresh random number.
    ///
    /// # Errors
    /// The database belongs to another store, or does not answer.
    pub fn open(mut db: Connection, settings: Settings, boot: Boot, now: Now) -> Result<Agent, OpenError> {
        let begin = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(row) = ledger::agent_row(&begin)?.filter(|row| row.store != settings.store.as_str()) {
            return Err(OpenError::OtherStore { found: row.store, expected: settings.store.to_string() });
        }
        let row = ledger::agent_row(&begin)?;
        let first_seq = row.as_ref().map_or(Seq(0), |row| row.change_seq).next();
        let first_position = row.map_or(Position(1), |row| row.next_position);
        ledger::add_boot(&begin, BootMark { boot, first_seq, first_position })?;
        let mut mind = Mind::load(&begin, &settings, boot)?;
        canary::expect(&begin, &mut mind, now.wall)?;
        let row_on_disk = mind.row();
        ledger::save_agent_row(&begin, &row_on_disk)?;
        let quarantined = ledger::quarantined(&begin)?;
        begin.commit()?;
        let link = StoreLink::new(settings.store.clone(), mind.epoch, boot, settings.timing);
        let reserves_at = now.ticks.plus(RESERVES_EVERY_MS);
        let counters = Counters { quarantined, ..Counters::default() };
        let (recorded_on_disk, mind_is_stale) = (0, false);
        Ok(Agent {
            settings,
            db,
            mind,
            link,
            row_on_disk,
            recorded_on_disk,
            mind_is_stale,
            reserves_at,
            counters,
        })
    }

    /// Works off what has arrived in one transaction, then answers and sends.
    pub fn drain(&mut self, inputs: Vec<Input>, now: Now) -> Vec<Output> {
        let worked_off = self.read_again_if_stale().and_then(|()| self.work_off(&inputs, now));
        let mut outputs = match worked_off {
            Ok(outputs) => outputs,
            Err(error) => self.give_back(&inputs, &error, now),
        };
        self.send(now, &mut outputs);
        outputs
    }

    /// Marks the stop as clean, so that the next start need not check the whole database.
    ///
    /// # Errors
    /// SQLite's.
    pub fn close(self) -> rusqlite::Result<()> {
        ledger::save_agent_row(&self.db, &self.mind.row())?;
        ledger::set_stopped_cleanly(&self.db)?;
        self.db.close().map_err(|(_, error)| error)
    }

    fn work_off(&mut self, inputs: &[Input], now: Now) -> rusqlite::Result<Vec<Output>> {
        let Agent { settings, db, mind, link, row_on_disk, recorded_on_disk, reserves_at, counters, .. } =
            self;
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut work =
            Work { db: &step, mind, link, counters, settings, now, adopted: None, outputs: Vec::new() };
        for input in inputs {
            work.take(input)?;
        }
        if now.ticks >= *reserves_at {
            *reserves_at = now.ticks.plus(RESERVES_EVERY_MS);
            work.mind.inventory.touch_stale_reserves(&settings.reserve, now.wall);
            canary::expect(work.db, work.mind, now.wall)?;
        }
        work.flush()?;
        let Work { adopted, outputs, .. } = work;
        let row = mind.row();
        if row != *row_on_disk && differs_durably(&row, row_on_disk) {
            ledger::save_agent_row(&step, &row)?;
        }
        step.commit()?;
        *row_on_disk = row;
        *recorded_on_disk = mind.movements_recorded;
        if let Some(epoch) = adopted {
            link.adopted(epoch, now.ticks);
        }
        Ok(outputs)
    }

    /// The disk did not take it: nothing of these inputs has happened, and everyone who waits is told so.
    fn give_back(&mut self, inputs: &[Input], error: &rusqlite::Error, now: Now) -> Vec<Output> {
        tracing::error!(%error, inputs = inputs.len(), "the database did not take a transaction");
        self.counters.failed_commits += 1;
        self.counters.last_disk_error = Some((now.wall, error.to_string()));
        self.mind_is_stale = true;
        let unreadable = self
            .read_again_if_stale()
            .inspect_err(|error| tracing::error!(%error, "it can't be read either"));
        let disk_full = matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
        let storage = RecordError::Storage { reason: error.to_string(), disk_full };
        let mut outputs: Vec<Output> = inputs.iter().filter_map(|input| refusal(input, &storage)).collect();
        let frames_lost = inputs.iter().any(|input| matches!(input, Input::Frame(_)));
        if self.link.state() != LinkState::Down && (frames_lost || unreadable.is_err()) {
            self.link.disconnected();
            outputs
                .push(Output::HangUp { reason: format!("the agent's disk did not take a change: {error}") });
        }
        outputs
    }

    /// What is in memory after a failed step is not what is on disk: nothing may rest on it.
    fn read_again_if_stale(&mut self) -> rusqlite::Result<()> {
        if self.mind_is_stale {
            let mind = Mind::load(&self.db, &self.settings, self.mind.boot)?;
            self.mind = Mind { movements_recorded: self.recorded_on_disk, ..mind };
            self.mind_is_stale = false;
        }
        Ok(())
    }

    fn send(&mut self, now: Now, outputs: &mut Vec<Output>) {
        if let Some(reason) = self.link.gave_up(now.ticks) {
            self.link.disconnected();
            outputs.push(Output::HangUp { reason: reason.to_owned() });
            return;
        }
        let mut records = Records { db: &self.db, mind: &mut self.mind, now: now.wall };
        loop {
            match self.link.poll_frame(now.ticks, &mut records) {
                Ok(Some(frame)) => {
                    let stream = frame.body.stream();
                    self.counters.frames_sent += 1;
                    outputs.push(Output::Send { stream, bytes: frame::encode(&frame) });
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot read what is due to be sent");
                    self.link.disconnected();
                    outputs
                        .push(Output::HangUp { reason: format!("the agent's disk can't be read: {error}") });
                    return;
                }
            }
        }
    }

    /// When to call [`Agent::drain`] with a tick if nothing arrives before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Ticks> {
        Some(self.link.next_deadline().map_or(self.reserves_at, |link| link.min(self.reserves_at)))
    }

    /// Where the sync with the hub stands.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        SyncStatus::of(self)
    }

    /// What a till would be told of this item: for tests and simulations, which have no reader beside the core.
    #[must_use]
    pub fn cell(&self, sku: &sync_protocol::Sku) -> Option<sync_protocol::stock::Cell> {
        let item = self.mind.inventory.by_sku(sku)?;
        self.mind.inventory.slot(item).map(|slot| slot.cell)
    }

    /// The database, for reading.
    #[must_use]
    pub fn database(&self) -> &Connection {
        &self.db
    }
}

/// The acknowledged marks are a hint that the hub repeats at each welcome: they alone are not worth a commit.
fn differs_durably(row: &AgentRow, on_disk: &AgentRow) -> bool {
    AgentRow { state_acked: on_disk.state_acked, history_acked: on_disk.history_acked, ..row.clone() }
        != *on_disk
}

/// One transaction being worked on.
struct Work<'a> {
    db: &'a Connection,
    mind: &'a mut Mind,
    link: &'a mut StoreLink,
    counters: &'a mut Counters,
    settings: &'a Settings,
    now: Now,
    adopted: Option<Epoch>,
    outputs: Vec<Output>,
}

impl Work<'_> {
    fn take(&mut self, input: &Input) -> rusqlite::Result<()> {
        match input {
            Input::Record { ticket, documents } => self.record(*ticket, documents),
            Input::Enter { ticket, document } => self.enter(*ticket, document),
            Input::Retry { ticket, id } => self.retry(*ticket, *id),
            Input::PutItems { ticket, items } => self.put_items(*ticket, items),
            Input::Pickup { ticket, request } => self.pickup(*ticket, request),
            Input::Reading { ticket, reading } => self.reading(*ticket, reading),
            Input::Pause { ticket, pause } => self.pause(*ticket, pause.as_ref()),
            Input::LinkUp => {
                self.link.connected(self.now.ticks);
                Ok(())
            }
            Input::LinkDown { reason } => {
                self.link.disconnected();
                self.counters.last_link_error = Some((self.now.wall, reason.clone()));
                Ok(())
            }
            Input::Frame(bytes) => self.frame(bytes),
            Input::Tick => Ok(()),
        }
    }

    /// Writes the cells that were touched, and sees to what that shows.
    fn flush(&mut self) -> rusqlite::Result<()> {
        let breached = self.mind.inventory.flush(self.db, &self.settings.reserve, self.now.wall)?;
        tasks::breached(self.db, self.mind, &breached, self.now.wall)
    }

    fn record(&mut self, ticket: Ticket, documents: &[Document]) -> rusqlite::Result<()> {
        let mut answers = Vec::with_capacity(documents.len());
        for document in documents {
            answers.push(answered(recording::report(self.db, self.mind, document, self.now.wall))?);
        }
        self.outputs.push(Output::Answer { ticket, answer: Answer::Recorded(answers) });
        Ok(())
    }

    fn enter(&mut self, ticket: Ticket, document: &Document) -> rusqlite::Result<()> {
        let answer = answered(recording::enter(self.db, self.mind, document, self.now.wall))?;
        self.outputs.push(Output::Answer { ticket, answer: Answer::Recorded(vec![answer]) });
        Ok(())
    }

    fn retry(&mut self, ticket: Ticket, id: i64) -> rusqlite::Result<()> {
        let answer = quarantine::retry(self.db, self.mind, id, self.now.wall)?;
        if answer.is_ok() {
            self.counters.quarantined = self.counters.quarantined.saturating_sub(1);
        }
        self.outputs.push(Output::Answer { ticket, answer: Answer::Retried(answer) });
        Ok(())
    }

    fn pickup(&mut self, ticket: Ticket, request: &pickup::Request) -> rusqlite::Result<()> {
        let answer = match pickup::work_off(self.db, self.mind, request, self.now.wall) {
            Ok(row) => Ok(Box::new(row)),
            Err(Halt::Refused(error)) => Err(error),
            Err(Halt::Disk(error)) => return Err(error),
        };
        self.outputs.push(Output::Answer { ticket, answer: Answer::Pickup(answer) });
        Ok(())
    }

    fn put_items(&mut self, ticket: Ticket, items: &[ItemEntry]) -> rusqlite::Result<()> {
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            answers.push(answered(recording::put_item(self.db, self.mind, item))?);
        }
        self.outputs.push(Output::Answer { ticket, answer: Answer::Items(answers) });
        Ok(())
    }

    fn frame(&mut self, bytes: &[u8]) -> rusqlite::Result<()> {
        let frame = match frame::decode(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.hang_up(format!("the hub sent a frame that can't be read: {error}"));
                return Ok(());
            }
        };
        self.counters.frames_received += 1;
        self.counters.last_contact = Some(self.now.wall);
        let records = Records { db: self.db, mind: self.mind, now: self.now.wall };
        match self.link.handle(frame, self.now.ticks, &records) {
            Ok(Some(event)) => self.event(event),
            Ok(None) => Ok(()),
            Err(misbehaved) => {
                self.misbehaved(&misbehaved);
                Ok(())
            }
        }
    }

    fn misbehaved(&mut self, misbehaved: &PeerMisbehaved) {
        self.hang_up(format!("the hub broke the protocol: {misbehaved}"));
    }

    fn hang_up(&mut self, reason: String) {
        tracing::warn!(%reason, "hanging up");
        self.link.disconnected();
        self.counters.last_link_error = Some((self.now.wall, reason.clone()));
        self.outputs.push(Output::HangUp { reason });
    }

    fn event(&mut self, event: StoreEvent) -> rusqlite::Result<()> {
        match event {
            StoreEvent::Welcomed(welcome) => return self.welcomed(welcome),
            StoreEvent::Acknowledged(marks) => {
                if let Some(mark) = marks.state {
                    self.mind.state_acked = mark;
                    self.mind.inventory.confirmed(mark);
                    self.counters.last_accepted = Some(self.now.wall);
                }
                self.mind.history_acked = marks.history.unwrap_or(self.mind.history_acked);
                canary::accepted(self.db, self.mind, self.now.wall)?;
            }
            StoreEvent::Apply(batch) => return self.apply(&batch),
            StoreEvent::Adopt(parts) => return self.adopt(&parts),
            StoreEvent::Compare(buckets) => return self.compare(&buckets),
            StoreEvent::Refused(refused) => {
                tracing::warn!(why = ?refused.why, detail = refused.detail, "the hub refused a frame");
                self.counters.refusals += 1;
                self.counters.last_link_error =
                    Some((self.now.wall, format!("the hub refused: {}", refused.detail)));
                if self.link.state() == LinkState::Down {
                    self.hang_up(format!("the hub refused: {}", refused.detail));
                }
            }
            StoreEvent::Pulse(pulse) => self.note_clock(pulse.clock),
        }
        Ok(())
    }

    fn welcomed(&mut self, welcome: Welcome) -> rusqlite::Result<()> {
        tracing::info!(
            epoch = %self.mind.epoch, state_mark = %welcome.state_mark, history_mark = %welcome.history_mark,
            hub_restored = welcome.wants_offer, "the hub welcomes this agent"
        );
        self.mind.state_acked = welcome.state_mark;
        self.mind.history_acked = welcome.history_mark;
        self.mind.hub_life = welcome.hub_life;
        self.mind.inventory.collect_pending(self.db, welcome.state_mark)?;
        canary::accepted(self.db, self.mind, self.now.wall)?;
        self.counters.welcomes += 1;
        self.note_clock(welcome.clock);
        if welcome.down_head < self.mind.down_mark {
            // The hub was restored and counts its own records from an earlier number again.
            self.mind.down_mark = welcome.down_head;
        }
        if welcome.wants_offer {
            // It tells everything from the beginning, and what it does not tell of its notes it has forgotten.
            self.mind.down_mark = Seq(0);
            self.mind.inventory.forget_hub_notes(self.db)?;
        }
        if welcome.wants_offer && welcome.history_mark == Position(0) {
            // Of what was recorded before this epoch the hub may have forgotten some: it is told all of it, in this one.
            ledger::bring_documents_along(self.db, self.mind.epoch)?;
            self.mind.history_head = ledger::history_head(self.db, self.mind.epoch)?;
        }
        Ok(())
    }

    fn note_clock(&mut self, hub: UnixMillis) {
        self.counters.hub_clock_ahead_ms = Some(hub.0.saturating_sub(self.now.wall.0));
    }

    fn adopt(&mut self, parts: &[Handover]) -> rusqlite::Result<()> {
        // Whatever this transaction has recorded so far must be on disk before the ledger is gone through.
        self.flush()?;
        let Some(adopted) = adopt::adopt(self.db, self.mind, parts, self.now.wall)? else { return Ok(()) };
        let (traces, movements_recorded) =
            (std::mem::take(&mut self.mind.traces), self.mind.movements_recorded);
        *self.mind = Mind::load(self.db, self.settings, self.mind.boot)?;
        canary::expect(self.db, self.mind, self.now.wall)?;
        (self.mind.traces, self.mind.movements_recorded) = (traces, movements_recorded);
        self.mind.inventory.touch_stale_reserves(&self.settings.reserve, self.now.wall);
        self.adopted = Some(adopted.epoch);
        self.counters.adoptions += 1;
        tracing::warn!(
            epoch = %adopted.epoch, items = adopted.items, documents_from_hub = adopted.from_hub,
            own_documents = adopted.own, "took over from the hub's copy"
        );
        Ok(())
    }
}

fn answered<T>(outcome: Result<T, Stop>) -> rusqlite::Result<Result<T, RecordError>> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(Stop::Refused(error)) => Ok(Err(error)),
        Err(Stop::Disk(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;
