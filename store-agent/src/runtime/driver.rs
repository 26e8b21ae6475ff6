//! The one thread that owns the core: takes what has arrived, has it worked off in one commit, then answers and sends.
//!
//! **Invariants:** the core is only ever touched here; an answer leaves only after `drain` has returned, and so after the
//! commit; work that changes the link begins a go, so a frame never reaches another link than the one it was made for; nothing
//! here waits for a socket: a link whose queue is full is dropped, and the link's state machine sends again.

use super::clock::Clock;
use crate::agent::{Agent, Answer, Input, ItemPut, Output, RecordError, Recorded, Ticket};
use crate::health::Storage;
use crate::inbox::{Bulletin, Flight, ItemAnswers, RecordAnswers, Work};
use crate::telemetry::{Direction, Metrics, Outcome};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::frame::Stream;
use sync_protocol::record::Kind;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// How many inputs one commit may hold.
const INPUTS_PER_GO: usize = 512;
/// How many ledger lines one commit may hold before no further input is added. Bounds how long the next till waits.
const LINES_PER_GO: usize = 16_384;
/// Longest sleep: a core without a deadline is still looked after.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The core with everything it reaches.
#[derive(Debug)]
pub struct Driver {
    agent: Agent,
    clock: Clock,
    metrics: Arc<Metrics>,
    work: mpsc::Receiver<Work>,
    bulletin: watch::Sender<Bulletin>,
    /// What came while a go was being collected but has to begin the next.
    held: Option<Work>,
    /// Where the current link's frames go. `None`: there is no link, or it has been given up.
    outgoing: Option<mpsc::Sender<Flight>>,
    waiting: HashMap<Ticket, Waiting>,
    next_ticket: u64,
}

/// Who waits for an answer.
#[derive(Debug)]
enum Waiting {
    Record {
        reply: oneshot::Sender<RecordAnswers>,
        reported: Vec<Reported>,
    },
    Items {
        reply: oneshot::Sender<ItemAnswers>,
    },
}

/// What the metrics want to know of a document once its answer is there.
#[derive(Debug, Clone, Copy)]
struct Reported {
    kind: Kind,
    lines: usize,
}

impl Driver {
    #[must_use]
    pub fn new(
        agent: Agent,
        clock: Clock,
        metrics: Arc<Metrics>,
        work: mpsc::Receiver<Work>,
    ) -> (Driver, watch::Receiver<Bulletin>) {
        let (bulletin, news) = watch::channel(Bulletin {
            sync: agent.status(),
            storage: Storage::Takes,
        });
        let driver = Driver {
            agent,
            clock,
            metrics,
            work,
            bulletin,
            held: None,
            outgoing: None,
            waiting: HashMap::new(),
            next_ticket: 0,
        };
        (driver, news)
    }

    /// Runs until nobody is left who could bring work, then closes the database in good order.
    pub fn run(mut self, runtime: &Handle) -> anyhow::Result<()> {
        while let Some(first) = self.next(runtime) {
            let go = self.collect(first);
            self.work_off(go);
        }
        tracing::info!("everything that came in is on disk; closing the database");
        Ok(self.agent.close()?)
    }

    /// The first work of a go: what was held back, what arrives, or a tick when one is due. `None` at the end.
    fn next(&mut self, runtime: &Handle) -> Option<Option<Work>> {
        if let Some(held) = self.held.take() {
            return Some(Some(held));
        }
        let sleep = self.sleep();
        match runtime.block_on(async { timeout(sleep, self.work.recv()).await }) {
            Ok(Some(work)) => Some(Some(work)),
            Ok(None) => None,
            Err(_) => Some(None),
        }
    }

    fn sleep(&self) -> Duration {
        let now = self.clock.now().ticks;
        let due = self
            .agent
            .next_deadline()
            .map(|deadline| Duration::from_millis(deadline.since(now)));
        due.unwrap_or(IDLE_MAX).min(IDLE_MAX)
    }

    /// Adds what else has arrived, up to the bounds of a go.
    fn collect(&mut self, first: Option<Work>) -> Vec<Work> {
        let Some(first) = first else { return Vec::new() };
        let mut lines = first.lines();
        let mut go = vec![first];
        while go.len() < INPUTS_PER_GO && lines < LINES_PER_GO {
            let Ok(work) = self.work.try_recv() else { break };
            if work.changes_link() {
                self.held = Some(work);
                break;
            }
            lines += work.lines();
            go.push(work);
        }
        go
    }

    fn work_off(&mut self, go: Vec<Work>) {
        let documents: usize = go.iter().map(documents).sum();
        let mut inputs: Vec<Input> = go.into_iter().filter_map(|work| self.input(work)).collect();
        if inputs.is_empty() {
            inputs.push(Input::Tick);
        }
        let started = self.clock.seconds();
        let outputs = self.agent.drain(inputs, self.clock.now());
        if documents > 0 {
            self.metrics
                .commit_seconds
                .observe(self.clock.seconds() - started);
            self.metrics.batch_documents.observe(count(documents));
        }
        let storage = self.carry_out(outputs);
        self.bulletin.send_modify(|bulletin| {
            bulletin.sync = self.agent.status();
            if let Some(storage) = storage {
                bulletin.storage = storage;
            }
        });
    }

    fn input(&mut self, work: Work) -> Option<Input> {
        Some(match work {
            Work::Record { documents, reply } => {
                let reported = documents
                    .iter()
                    .map(|d| Reported {
                        kind: d.kind,
                        lines: d.lines.len(),
                    })
                    .collect();
                let ticket = self.ticket(Waiting::Record { reply, reported });
                Input::Record { ticket, documents }
            }
            Work::PutItems { items, reply } => Input::PutItems {
                ticket: self.ticket(Waiting::Items { reply }),
                items,
            },
            Work::LinkUp { outgoing } => {
                self.outgoing = Some(outgoing);
                Input::LinkUp
            }
            Work::LinkDown { reason } => {
                self.outgoing = None;
                Input::LinkDown { reason }
            }
            // What still arrives on a link that has been given up is not asked for any more.
            Work::Frame(_) if self.outgoing.is_none() => return None,
            Work::Frame(bytes) => Input::Frame(bytes),
        })
    }

    fn ticket(&mut self, waiting: Waiting) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.waiting.insert(ticket, waiting);
        ticket
    }

    /// Answers first, then all frames of the go together. Says what was learned about the disk, if anything.
    fn carry_out(&mut self, outputs: Vec<Output>) -> Option<Storage> {
        let mut frames = Vec::new();
        let mut storage = None;
        let mut hang_up = None;
        for output in outputs {
            match output {
                Output::Answer { ticket, answer } => storage = self.answer(ticket, answer).or(storage),
                Output::Send { stream, bytes } => frames.push((stream, bytes)),
                Output::HangUp { reason } => hang_up = Some(reason),
            }
        }
        self.send(frames);
        if let Some(reason) = hang_up {
            self.hang_up(reason);
        }
        storage
    }

    /// Whoever asked may have gone; what was recorded stays recorded.
    fn answer(&mut self, ticket: Ticket, answer: Answer) -> Option<Storage> {
        match (self.waiting.remove(&ticket), answer) {
            (Some(Waiting::Record { reply, reported }), Answer::Recorded(answers)) => {
                let storage = self.count_documents(&reported, &answers);
                let _ = reply.send(answers);
                storage
            }
            (Some(Waiting::Items { reply }), Answer::Items(answers)) => {
                for answer in &answers {
                    self.metrics
                        .item(if answer.is_ok() { "taken" } else { "refused" });
                }
                let storage = answers
                    .iter()
                    .find_map(|answer| storage_seen(answer, *answer != Ok(ItemPut::Unchanged)));
                let _ = reply.send(answers);
                storage
            }
            (waiting, answer) => {
                tracing::error!(?waiting, ?answer, "an answer does not fit what was asked");
                None
            }
        }
    }

    fn count_documents(
        &self,
        reported: &[Reported],
        answers: &[Result<Recorded, RecordError>],
    ) -> Option<Storage> {
        let mut storage = None;
        for (reported, answer) in reported.iter().zip(answers) {
            self.metrics.document(outcome(answer));
            if let Ok(Recorded::New { .. }) = answer {
                self.metrics.movements(reported.kind, reported.lines as u64);
            }
            storage = storage_seen(answer, matches!(answer, Ok(Recorded::New { .. }))).or(storage);
        }
        storage
    }

    fn send(&mut self, frames: Vec<(Stream, Vec<u8>)>) {
        if frames.is_empty() {
            return;
        }
        let Some(outgoing) = &self.outgoing else { return };
        for (stream, bytes) in &frames {
            self.metrics.frame(Direction::Sent, *stream, bytes.len());
        }
        if outgoing.try_send(Flight::Frames(frames)).is_err() {
            // Full, or the link is ending already. Dropping our end makes its writer hang up.
            self.outgoing = None;
        }
    }

    fn hang_up(&mut self, reason: String) {
        if let Some(outgoing) = self.outgoing.take() {
            let _ = outgoing.try_send(Flight::HangUp { reason });
        }
    }
}

fn documents(work: &Work) -> usize {
    match work {
        Work::Record { documents, .. } => documents.len(),
        _ => 0,
    }
}

fn outcome(answer: &Result<Recorded, RecordError>) -> Outcome {
    match answer {
        Ok(Recorded::New { .. }) => Outcome::New,
        Ok(Recorded::Duplicate { .. }) => Outcome::Duplicate,
        Err(RecordError::Conflict { .. }) => Outcome::Conflict,
        Err(RecordError::Invalid { .. }) => Outcome::Invalid,
        Err(RecordError::Storage { .. }) => Outcome::Storage,
    }
}

/// What an answer says about the disk; nothing where nothing had to be written.
fn storage_seen<T>(answer: &Result<T, RecordError>, wrote: bool) -> Option<Storage> {
    match answer {
        Ok(_) => wrote.then_some(Storage::Takes),
        Err(RecordError::Storage { reason, .. }) => Some(Storage::Refuses {
            reason: reason.clone(),
        }),
        Err(_) => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of documents is far below 2^53"
)]
fn count(documents: usize) -> f64 {
    documents as f64
}
