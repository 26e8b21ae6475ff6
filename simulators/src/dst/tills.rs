//! Who reports movements: tills that push documents and repeat them until they are answered; a POS whose journal the agent's
//! reader pulls with a cursor; and the shop's master data.

use super::documents::{self, Origin};
use super::staff::StaffAsked;
use super::truth::{self, DocNo};
use super::world::{Event, World};
use store_agent::agent::{Answer, Document, Input, RecordError, Recorded, Ticket};
use sync_protocol::link::store::LinkState;
use sync_protocol::{Position, SourceId};

/// After how long without an answer a till sends again, in milliseconds.
const PATIENCE: u64 = 3_000;
/// Most documents the POS reader takes at once.
const READ_MAX: usize = 5;

/// Whoever waits for an answer of an agent.
#[derive(Debug, Clone)]
pub enum Waiting {
    Till { till: usize, documents: Vec<DocNo> },
    Reader { documents: Vec<DocNo>, upto: usize },
    Items,
    Staff(Box<StaffAsked>),
}

#[derive(Debug)]
pub struct Till {
    pub store: usize,
    /// The server it talks to.
    pub machine: usize,
    source: SourceId,
    reported: u64,
    /// Not answered yet.
    pub pending: Vec<DocNo>,
    asked_at: u64,
    answered: Vec<DocNo>,
    position: Option<Position>,
}

impl Till {
    #[must_use]
    pub fn new(store: usize, machine: usize, number: usize) -> Till {
        Till {
            store,
            machine,
            source: format!("till-{number}").parse().expect("a till's name is a source"),
            reported: 0,
            pending: Vec::new(),
            asked_at: 0,
            answered: Vec::new(),
            position: None,
        }
    }
}

/// The journal of one store's POS: it keeps everything, and numbers it.
#[derive(Debug, Default)]
pub struct Journal {
    pub entries: Vec<DocNo>,
}

#[must_use]
pub fn journal_source() -> SourceId {
    "pos".parse().expect("a word is a source")
}

impl World {
    pub(super) fn till_turn(&mut self, at: usize) {
        if self.tills[at].pending.is_empty() && !self.healed {
            self.ring_up(at);
        }
        let till = &self.tills[at];
        let waits = !till.pending.is_empty() && self.now - till.asked_at < PATIENCE && till.asked_at > 0;
        if !till.pending.is_empty() && !waits {
            self.till_sends(at);
        }
        let pause = if self.healed { 500 } else { self.pause(self.plan.till_every) };
        if !(self.healed && self.tills[at].pending.is_empty()) {
            self.queue.put(self.now + pause, Event::TillTurn { till: at });
        }
    }

    /// New documents; now and then one that was answered long ago, because the till did not hear it.
    fn ring_up(&mut self, at: usize) {
        let again = !self.tills[at].answered.is_empty() && self.rng.chance(0.06);
        if again {
            let old = self.rng.index(self.tills[at].answered.len());
            self.tills[at].pending = vec![self.tills[at].answered[old]];
            return;
        }
        for _ in 0..=self.rng.index(3) {
            let till = &mut self.tills[at];
            till.reported += 1;
            let ahead = self.machines[till.machine].clock_ahead;
            let (number, position, store) = (till.reported, till.position, till.store);
            let source = till.source.clone();
            let now = self.wall(ahead);
            let origin =
                Origin { source: &source, number, now, position, items: self.plan.items, cursor: None };
            let mut document = documents::draw(&mut self.till_rng, &origin);
            self.make_it_a_pickup(self.tills[at].machine, &mut document);
            let no = self.truth.report(store, document, false);
            self.tills[at].pending.push(no);
        }
    }

    fn till_sends(&mut self, at: usize) {
        self.tills[at].asked_at = self.now;
        let machine = self.tills[at].machine;
        let Some(process) = &self.machines[machine].process else { return };
        self.coverage.sometimes(
            "agent: hand-over while tills report",
            process.agent.status().link == LinkState::Adopting,
        );
        let documents = self.tills[at].pending.clone();
        let bodies = documents.iter().map(|no| self.body(*no)).collect();
        let ticket = self.ask(Waiting::Till { till: at, documents });
        let waits_for_line = self.machines[machine].restored;
        self.coverage
            .sometimes("disk: restored, and the tills sold on before the line was up", waits_for_line);
        self.tell_agent(machine, Input::Record { ticket: Ticket(ticket), documents: bodies });
    }

    fn body(&mut self, no: DocNo) -> Document {
        let document = self.truth.document(no).document.clone();
        self.without_dedupe(no, document)
    }

    pub(super) fn ask(&mut self, waiting: Waiting) -> u64 {
        self.tickets += 1;
        self.waiting.insert(self.tickets, waiting);
        self.tickets
    }

    /// An answer has reached whoever asked.
    pub(super) fn answered(&mut self, machine: usize, ticket: u64, answer: &Answer) {
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        match (waiting, answer) {
            (Waiting::Till { till, documents }, Answer::Recorded(answers)) => {
                self.till_answered(till, &documents, answers)
            }
            (Waiting::Reader { documents, upto }, Answer::Recorded(answers)) => {
                self.reader_answered(machine, ticket, &documents, upto, answers);
            }
            (Waiting::Staff(_), _) => self.staff_answered(ticket),
            _ => {}
        }
    }

    fn till_answered(&mut self, at: usize, documents: &[DocNo], answers: &[Result<Recorded, RecordError>]) {
        for (no, answer) in documents.iter().zip(answers) {
            let Ok(recorded) = answer else { continue };
            self.coverage.sometimes("till: answered again", self.truth.document(*no).answered);
            self.truth.documents[no.0].answered = true;
            let till = &mut self.tills[at];
            till.pending.retain(|pending| pending != no);
            if let Recorded::New { positions } = recorded {
                till.answered.push(*no);
                till.position = positions.last().copied();
            }
        }
    }

    // The POS that is pulled.

    pub(super) fn journal_turn(&mut self, store: usize) {
        if self.healed {
            return;
        }
        let number = self.journals[store].entries.len() + 1;
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let (source, now) = (journal_source(), self.wall(0));
        let cursor = Some(number.to_le_bytes().to_vec());
        let origin = Origin { source: &source, number, now, position: None, items: self.plan.items, cursor };
        let document = documents::draw(&mut self.till_rng, &origin);
        let no = self.truth.report(store, document, true);
        self.journals[store].entries.push(no);
        let pause = self.pause(self.plan.till_every);
        self.queue.put(self.now + pause, Event::JournalTurn { store });
    }

    /// A new incarnation reads the POS on from the cursor it has.
    pub(super) fn restart_reader(&mut self, machine: usize) {
        let value = truth::cursor(self.machines[machine].database(), &journal_source());
        let number = value.and_then(|value| <[u8; 8]>::try_from(value).ok()).map_or(0, u64::from_le_bytes);
        self.machines[machine].reader = usize::try_from(number).unwrap_or(0);
        self.machines[machine].reader_asks = None;
    }

    pub(super) fn reader_turn(&mut self, machine: usize) {
        let pause = self.pause(1_000);
        self.queue.put(self.now + pause, Event::ReaderTurn { machine });
        let Machine { store, next, idle } = self.reader_of(machine);
        let entries = &self.journals[store].entries;
        let upto = entries.len().min(next + READ_MAX);
        if !idle || next >= upto {
            return;
        }
        let documents = entries[next..upto].to_vec();
        let bodies = documents.iter().map(|no| self.body(*no)).collect();
        let ticket = self.ask(Waiting::Reader { documents, upto });
        self.machines[machine].reader_asks = Some(ticket);
        self.tell_agent(machine, Input::Record { ticket: Ticket(ticket), documents: bodies });
    }

    fn reader_of(&self, machine: usize) -> Machine {
        let machine = &self.machines[machine];
        let idle = machine.process.is_some() && machine.reader_asks.is_none();
        Machine { store: machine.store, next: machine.reader, idle }
    }

    fn reader_answered(
        &mut self,
        machine: usize,
        ticket: u64,
        documents: &[DocNo],
        upto: usize,
        answers: &[Result<Recorded, RecordError>],
    ) {
        if self.machines[machine].reader_asks != Some(ticket) {
            return;
        }
        self.machines[machine].reader_asks = None;
        if answers.iter().all(Result::is_ok) {
            self.machines[machine].reader = upto;
            documents.iter().for_each(|no| self.truth.documents[no.0].answered = true);
        }
    }

    // Master data.

    pub(super) fn master_turn(&mut self, store: usize) {
        if self.healed {
            return;
        }
        let pause = self.pause(40_000);
        self.queue.put(self.now + pause, Event::MasterTurn { store });
        let machines: Vec<usize> = self.machines_of(store);
        let machine = machines[self.rng.index(machines.len())];
        let edition = self.rng.below(3);
        let items = self.plan.items;
        let few = if items > 100 && self.now < 20_000 { items } else { 3 };
        let entries = (0..few).map(|at| if few == items { at } else { self.rng.index(items) });
        let entries: Vec<_> = entries.collect();
        let entries = entries.into_iter().map(|item| documents::entry(item, edition)).collect();
        let ticket = self.ask(Waiting::Items);
        self.tell_agent(machine, Input::PutItems { ticket: Ticket(ticket), items: entries });
    }
}

/// What the reader's turn needs to know of its server.
struct Machine {
    store: usize,
    next: usize,
    idle: bool,
}
