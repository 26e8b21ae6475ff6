//! A store's server: a disk, and a start of the agent on it. The agent is the real one; a crash leaves what it has committed.

use super::checkers::{self, Check};
use super::disk;
use super::network::{Carriage, Way};
use super::sabotage::Sabotage;
use super::truth::{self, Books, SkuNo};
use super::world::{Event, WALL_START, World};
use rusqlite::Connection;
use std::collections::BTreeMap;
use store_agent::agent::{Agent, Input, Output, Settings};
use sync_protocol::time::Now;
use sync_protocol::{Boot, Epoch, Ticks, UnixMillis};

/// At which side of a commit a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// What had arrived is lost.
    BeforeCommit,
    /// It is on disk; answers and frames are lost.
    AfterCommit,
}

/// One start of the agent.
pub struct Process {
    pub agent: Agent,
    pub boot: Boot,
    pub life: u64,
    pub epoch: Epoch,
    started_at: u64,
    /// Its own clock for time-outs starts anywhere.
    ticks_at_start: u64,
    /// Granted so far, by item, as of the last look.
    pub granted: BTreeMap<SkuNo, u64>,
    idle_wakes: u32,
}

/// A disk as it was once.
pub struct Image {
    pub disk: Connection,
    pub books: Books,
}

impl Image {
    fn copy(&self) -> Image {
        Image { disk: disk::copy(&self.disk), books: self.books.clone() }
    }
}

pub struct Machine {
    pub store: usize,
    pub carriage: Carriage,
    /// Scrapped servers stay in the list and never start again.
    pub in_service: bool,
    pub process: Option<Process>,
    /// The disk while no process runs.
    disk: Option<Connection>,
    pub books: Books,
    pub backups: Vec<Image>,
    pub inbox: Vec<Input>,
    draining: bool,
    pub link: Option<u64>,
    pub clock_ahead: i64,
    pub crash: Option<Crash>,
    pub disk_full: bool,
    timer: u64,
    /// How far the POS reader has come, and the ticket it waits for.
    pub reader: usize,
    pub reader_asks: Option<u64>,
    /// Set by a restore until the line is up again.
    pub restored: bool,
    /// On a disk that is not the store's latest, until it has taken over from the hub.
    pub is_apart: bool,
}

impl Machine {
    #[must_use]
    pub fn new(store: usize, carriage: Carriage, image: Image) -> Machine {
        Machine {
            store,
            carriage,
            in_service: true,
            process: None,
            disk: Some(image.disk),
            books: image.books,
            backups: Vec::new(),
            inbox: Vec::new(),
            draining: false,
            link: None,
            clock_ahead: 0,
            crash: None,
            disk_full: false,
            timer: 0,
            reader: 0,
            reader_asks: None,
            restored: false,
            is_apart: false,
        }
    }

    #[must_use]
    pub fn life(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.life)
    }

    /// The database, whether or not the agent runs on it.
    #[must_use]
    pub fn database(&self) -> &Connection {
        match (&self.process, &self.disk) {
            (Some(process), _) => process.agent.database(),
            (None, Some(disk)) => disk,
            (None, None) => unreachable!("a disk is in its machine or in the process on it"),
        }
    }

    #[must_use]
    pub fn image(&self) -> Image {
        Image { disk: disk::copy(self.database()), books: self.books.clone() }
    }

    /// Puts another disk in; no process may be running.
    pub fn replace_disk(&mut self, image: Image) {
        assert!(self.process.is_none(), "the disk of a running process stays where it is");
        self.disk = Some(image.disk);
        self.books = image.books;
    }

    /// The disk forgets part of what the hub has told; no process may be running.
    pub fn rot(&mut self) {
        let db = self.disk.as_ref().expect("the disk of a machine that is off is in it");
        let sql = "UPDATE stock SET promised = 0, released = 0, returned = 0 WHERE item = 1";
        db.execute(sql, []).expect("the agent's schema has these columns");
    }

    /// The disk as it was at one of the backups.
    #[must_use]
    pub fn backup(&self, at: usize) -> Option<Image> {
        self.backups.get(at).map(Image::copy)
    }
}

impl World {
    pub(super) fn wall(&self, ahead: i64) -> UnixMillis {
        UnixMillis(WALL_START + i64::try_from(self.now).unwrap_or(i64::MAX) + ahead)
    }

    fn machine_now(&self, machine: usize) -> Now {
        let machine = &self.machines[machine];
        let ticks = machine
            .process
            .as_ref()
            .map_or(0, |process| process.ticks_at_start + self.now - process.started_at);
        Now { wall: self.wall(machine.clock_ahead), ticks: Ticks(ticks) }
    }

    pub(super) fn start_machine(&mut self, at: usize) -> Check {
        if !self.machines[at].in_service || self.machines[at].process.is_some() {
            return Ok(());
        }
        let (boot, ticks_at_start) = (Boot(self.rng.next_u64()), self.rng.below(1 << 40));
        self.lives += 1;
        let machine = &mut self.machines[at];
        let mut db = machine.disk.take().expect("the disk of a machine that is off is in it");
        store_agent::store::prepare(&mut db).expect("the schema is the one it was made with");
        let settings = Settings {
            store: self.store_ids[machine.store].clone(),
            reserve: self.plan.reserve,
            timing: self.plan.timing,
            canary: None,
        };
        let now = Now { wall: self.wall(self.machines[at].clock_ahead), ticks: Ticks(ticks_at_start) };
        let agent = Agent::open(db, settings, boot, now).expect("the disk belongs to this store");
        let epoch = truth::epoch(agent.database());
        self.trace.note(self.now, format_args!("machine {at} starts as {} in epoch {epoch}", boot.0 % 1000));
        self.machines[at].process = Some(Process {
            agent,
            boot,
            life: self.lives,
            epoch,
            started_at: self.now,
            ticks_at_start,
            granted: BTreeMap::new(),
            idle_wakes: 0,
        });
        checkers::ledger::disk_is_whole(self, at)?;
        checkers::ledger::on_hand(self, at)?;
        self.restart_reader(at);
        self.connect_later(at);
        self.set_timer(at);
        Ok(())
    }

    /// The process is gone; what it had committed is on the disk.
    pub(super) fn crash_machine(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let Some(process) = machine.process.take() else { return };
        self.trace.note(self.now, format_args!("machine {at} stops"));
        machine.disk = Some(disk::copy(process.agent.database()));
        machine.inbox.clear();
        machine.draining = false;
        machine.crash = None;
        machine.disk_full = false;
        machine.reader_asks = None;
        if let Some(link) = machine.link.take() {
            self.break_link(link);
        }
    }

    /// Something has arrived; it is worked off together with what else arrives within a moment.
    pub(super) fn tell_agent(&mut self, at: usize, input: Input) {
        let moment = self.rng.below(4);
        let machine = &mut self.machines[at];
        let Some(process) = &machine.process else { return };
        machine.inbox.push(input);
        if !machine.draining {
            machine.draining = true;
            self.queue.put(self.now + moment, Event::DrainMachine { machine: at, life: process.life });
        }
    }

    pub(super) fn machine_timer(&mut self, at: usize, timer: u64) -> Check {
        if self.machines[at].timer != timer || self.machines[at].process.is_none() {
            return Ok(());
        }
        self.machines[at].inbox.push(Input::Tick);
        self.drain_machine(at)
    }

    pub(super) fn drain_machine(&mut self, at: usize) -> Check {
        let machine = &mut self.machines[at];
        machine.draining = false;
        if machine.process.is_none() {
            return Ok(());
        }
        let inputs = std::mem::take(&mut machine.inbox);
        if machine.crash == Some(Crash::BeforeCommit) {
            self.coverage.hit("agent: crash before the commit");
            self.crash_machine(at);
            return Ok(());
        }
        let only_ticks = inputs.iter().all(|input| matches!(input, Input::Tick));
        let asked = asked(&inputs);
        let before = (self.sabotage == Some(Sabotage::AgentAnswersBeforeCommit))
            .then(|| self.machines[at].image().disk);
        let now = self.machine_now(at);
        let Some(process) = &mut self.machines[at].process else { return Ok(()) };
        let before_step = process.agent.status();
        let outputs = process.agent.drain(inputs, now);
        let after = process.agent.status();
        self.coverage.sometimes("agent: a commit failed", after.failed_commits > before_step.failed_commits);
        let mismatch = after.digest_mismatches > before_step.digest_mismatches;
        let sent_again = mismatch && after.state_head > before_step.state_head;
        self.coverage.sometimes("digest: the agent sent records again", sent_again);
        self.note_agent_outputs(at, &outputs);
        checkers::spin::agent(self, at, only_ticks && outputs.is_empty())?;
        let written = checkers::orders::after_agent_step(self, at, &outputs)?;
        checkers::ledger::after_agent_step(self, at, &asked, &written, &outputs)?;
        checkers::escrow::after_agent_step(self, at)?;
        if self.machines[at].crash == Some(Crash::AfterCommit) {
            self.coverage.hit("agent: crash after the commit");
            if let Some(before) = before {
                self.answer_tills(at, outputs);
                self.crash_machine(at);
                self.machines[at].disk = Some(before);
                return Ok(());
            }
            self.crash_machine(at);
            return Ok(());
        }
        self.set_timer(at);
        self.carry_out(at, outputs);
        Ok(())
    }

    fn note_agent_outputs(&mut self, at: usize, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Answer { ticket, answer } => {
                    self.trace.note(self.now, format_args!("machine {at} answers {}: {answer:?}", ticket.0));
                }
                Output::Send { bytes, .. } => {
                    self.trace.frame(self.now, format_args!("machine {at} sends"), bytes);
                }
                Output::HangUp { reason } => {
                    self.trace.note(self.now, format_args!("machine {at} hangs up: {reason}"));
                }
            }
        }
    }

    fn carry_out(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Answer { ticket, answer } => self.answered(at, ticket.0, &answer),
                Output::Send { stream, bytes } => {
                    if let Some(link) = self.machines[at].link {
                        self.send(link, Way::Up, stream, bytes);
                    }
                }
                Output::HangUp { reason } => {
                    self.coverage.sometimes(
                        "agent: gave the line up",
                        reason.contains("silent") || reason.contains("did not"),
                    );
                    if let Some(link) = self.machines[at].link.take() {
                        if let Some(link) = self.network.links.get_mut(&link) {
                            link.at_agent = false;
                        }
                        self.break_link(link);
                        self.connect_later(at);
                    }
                }
            }
        }
    }

    fn answer_tills(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            if let Output::Answer { ticket, answer } = output {
                self.answered(at, ticket.0, &answer);
            }
        }
    }

    fn set_timer(&mut self, at: usize) {
        let now = self.machine_now(at).ticks;
        let machine = &mut self.machines[at];
        let Some(process) = &mut machine.process else { return };
        let Some(deadline) = process.agent.next_deadline() else { return };
        machine.timer += 1;
        let timer = machine.timer;
        self.queue.put(self.now + deadline.since(now).max(1), Event::MachineTimer { machine: at, timer });
    }
}

impl Process {
    /// Counts wakes in a row for nothing although the agent asked for them at once.
    pub fn idle_wakes(&mut self, now: Ticks, idle: bool) -> u32 {
        let at_once = self.agent.next_deadline().is_some_and(|deadline| deadline <= now);
        self.idle_wakes = if idle && at_once { self.idle_wakes + 1 } else { 0 };
        self.idle_wakes
    }
}

/// Who asked in these inputs, and for how many documents or items.
fn asked(inputs: &[Input]) -> Vec<(u64, usize)> {
    let of = |input: &Input| match input {
        Input::Record { ticket, documents } => Some((ticket.0, documents.len())),
        Input::PutItems { ticket, items } => Some((ticket.0, items.len())),
        Input::Pickup { ticket, .. } => Some((ticket.0, 1)),
        _ => None,
    };
    inputs.iter().filter_map(of).collect()
}

impl World {
    /// What the agent's clock for time-outs shows.
    pub(super) fn machine_ticks(&self, at: usize) -> Ticks {
        self.machine_now(at).ticks
    }
}
