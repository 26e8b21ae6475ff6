//! The one thread that owns the core: takes what has arrived, has it worked off in one commit, then answers and sends.
//!
//! **Invariants:** the core is only ever touched here; an answer leaves only after `drain` has returned, and so after the
//! commit; work that changes the link begins a go, so a frame never reaches another link than the one it was made for; nothing
//! here waits for a socket: a link whose queue is full is dropped, and the link's state machine sends again.

use super::clock::Clock;
use crate::agent::{
    Agent, Answer, Input, ItemPut, Output, PickupError, RecordError, Recorded, RetryRefused, Ticket,
};
use crate::health::Storage;
use crate::inbox::{
    Bulletin, Flight, ItemAnswers, PauseAnswer, PickupAnswer, ReadAnswer, RecordAnswers, Work,
};
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
    Record { reply: oneshot::Sender<RecordAnswers>, reported: Vec<Reported> },
    Items { reply: oneshot::Sender<ItemAnswers> },
    Pickup { reply: oneshot::Sender<PickupAnswer> },
    Reading { reply: oneshot::Sender<ReadAnswer> },
    Retry { reply: oneshot::Sender<Result<(), RetryRefused>> },
    Pause { reply: oneshot::Sender<PauseAnswer> },
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
        let (bulletin, news) = watch::channel(Bulletin { sync: agent.status(), storage: Storage::Takes });
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
        let due = self.agent.next_deadline().map(|deadline| Duration::from_millis(deadline.since(now)));
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
            self.metrics.commit_seconds.observe(self.clock.seconds() - started);
            self.metrics.batch_documents.observe(count(documents));
        }
        // Made known before anyone is answered: who has an answer finds it in the state of the sync.
        let storage = storage_seen(&outputs);
        self.bulletin.send_modify(|bulletin| {
            bulletin.sync = self.agent.status();
            if let Some(storage) = storage {
                bulletin.storage = storage;
            }
        });
        self.carry_out(outputs);
    }

    fn input(&mut self, work: Work) -> Option<Input> {
        Some(match work {
            Work::Record { documents, reply } => {
                let reported =
                    documents.iter().map(|d| Reported { kind: d.kind, lines: d.lines.len() }).collect();
                let ticket = self.ticket(Waiting::Record { reply, reported });
                Input::Record { ticket, documents }
            }
            Work::Enter { document, reply } => {
                let reported = vec![Reported { kind: document.kind, lines: document.lines.len() }];
                Input::Enter { ticket: self.ticket(Waiting::Record { reply, reported }), document }
            }
            Work::Retry { id, reply } => Input::Retry { ticket: self.ticket(Waiting::Retry { reply }), id },
            Work::PutItems { items, reply } => {
                Input::PutItems { ticket: self.ticket(Waiting::Items { reply }), items }
            }
            Work::Pause { pause, reply } => {
                Input::Pause { ticket: self.ticket(Waiting::Pause { reply }), pause }
            }
            Work::Pickup { request, reply } => {
                Input::Pickup { ticket: self.ticket(Waiting::Pickup { reply }), request }
            }
            Work::Reading { reading, reply } => {
                Input::Reading { ticket: self.ticket(Waiting::Reading { reply }), reading }
            }
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

    /// Answers first, then all frames of the go together.
    fn carry_out(&mut self, outputs: Vec<Output>) {
        let mut frames = Vec::new();
        let mut hang_up = None;
        for output in outputs {
            match output {
                Output::Answer { ticket, answer } => self.answer(ticket, answer),
                Output::Send { stream, bytes } => frames.push((stream, bytes)),
                Output::HangUp { reason } => hang_up = Some(reason),
            }
        }
        self.send(frames);
        if let Some(reason) = hang_up {
            self.hang_up(reason);
        }
    }

    /// Whoever asked may have gone; what was recorded stays recorded.
    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        match (self.waiting.remove(&ticket), answer) {
            (Some(Waiting::Record { reply, reported }), Answer::Recorded(answers)) => {
                self.count_documents(&reported, &answers);
                let _ = reply.send(answers);
            }
            (Some(Waiting::Items { reply }), Answer::Items(answers)) => {
                for answer in &answers {
                    self.metrics.item(if answer.is_ok() { "taken" } else { "refused" });
                }
                let _ = reply.send(answers);
            }
            (Some(Waiting::Pickup { reply }), Answer::Pickup(answer)) => drop(reply.send(answer)),
            (Some(Waiting::Reading { reply }), Answer::Read(answer)) => {
                self.count_reading(&answer);
                let _ = reply.send(answer);
            }
            (Some(Waiting::Retry { reply }), Answer::Retried(answer)) => drop(reply.send(answer)),
            (Some(Waiting::Pause { reply }), Answer::Paused(answer)) => drop(reply.send(answer)),
            (waiting, answer) => tracing::error!(?waiting, ?answer, "an answer does not fit what was asked"),
        }
    }

    fn count_documents(&self, reported: &[Reported], answers: &[Result<Recorded, RecordError>]) {
        for (reported, answer) in reported.iter().zip(answers) {
            self.metrics.document(outcome(answer));
            if let Ok(Recorded::New { .. }) = answer {
                self.metrics.movements(reported.kind, reported.lines as u64);
            }
        }
    }

    fn count_reading(&self, answer: &ReadAnswer) {
        let Ok(taken) = answer else { return self.metrics.document(Outcome::Storage) };
        for kind in &taken.recorded {
            self.metrics.document(Outcome::New);
            self.metrics.movements(*kind, 1);
        }
        let others = [
            (Outcome::Duplicate, taken.duplicates),
            (Outcome::Conflict, taken.conflicts),
            (Outcome::Invalid, taken.refused + taken.set_aside),
        ];
        for (outcome, count) in others {
            self.metrics.documents(outcome, count);
        }
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
        Work::Reading { reading, .. } => reading.documents.len(),
        Work::Enter { .. } => 1,
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

/// What the answers say about the disk; nothing where nothing had to be written.
fn storage_seen(outputs: &[Output]) -> Option<Storage> {
    outputs.iter().find_map(|output| match output {
        Output::Answer { answer: Answer::Recorded(answers), .. } => {
            answers.iter().find_map(|answer| seen(answer, matches!(answer, Ok(Recorded::New { .. }))))
        }
        Output::Answer { answer: Answer::Items(answers), .. } => {
            answers.iter().find_map(|answer| seen(answer, *answer != Ok(ItemPut::Unchanged)))
        }
        Output::Answer { answer: Answer::Read(answer), .. } => seen(answer, true),
        Output::Answer { answer: Answer::Pickup(answer), .. } => match answer {
            Ok(_) => Some(Storage::Takes),
            Err(PickupError::Record(RecordError::Storage { reason, .. })) => {
                Some(Storage::Refuses { reason: reason.clone() })
            }
            Err(_) => None,
        },
        _ => None,
    })
}

fn seen<T>(answer: &Result<T, RecordError>, wrote: bool) -> Option<Storage> {
    match answer {
        Ok(_) => wrote.then_some(Storage::Takes),
        Err(RecordError::Storage { reason, .. }) => Some(Storage::Refuses { reason: reason.clone() }),
        Err(_) => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of documents is far below 2^53")]
fn count(documents: usize) -> f64 {
    documents as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{Document, ItemKey, Line, Settings};
    use crate::inbox::Inbox;
    use crate::store;
    use sync_protocol::link::Timing;
    use sync_protocol::stock::ReservePolicy;
    use sync_protocol::{Boot, Quantity, UnixMillis};

    fn driver() -> (Driver, Inbox) {
        let settings = Settings {
            store: "S0001".parse().unwrap(),
            reserve: ReservePolicy::default(),
            timing: Timing::default(),
            canary: None,
        };
        let clock = Clock::start();
        let agent = Agent::open(store::open_in_memory().unwrap(), settings, Boot(7), clock.now()).unwrap();
        let (inbox, work) = Inbox::new();
        let (driver, _news) = Driver::new(agent, clock, Arc::new(Metrics::new("S0001")), work);
        (driver, inbox)
    }

    fn sale(number: usize) -> Document {
        Document {
            source: "till-3".parse().unwrap(),
            reference: number.to_string().parse().unwrap(),
            kind: Kind::Sale,
            reason: None,
            occurred_at: UnixMillis(0),
            counted: None,
            cursor: None,
            lines: vec![Line { item: ItemKey::Sku("4011".parse().unwrap()), quantity: Quantity::ONE }],
            order: None,
            trace: None,
        }
    }

    async fn run(driver: Driver) {
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || driver.run(&runtime)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_was_asked_before_the_end_is_answered_and_the_end_is_clean() {
        let (driver, inbox) = driver();
        let mut replies = Vec::new();
        for number in 0..600 {
            let (reply, answer) = oneshot::channel();
            assert!(inbox.tell(Work::Record { documents: vec![sale(number)], reply }).await);
            replies.push(answer);
        }
        drop(inbox);
        run(driver).await;
        for answer in replies {
            assert!(matches!(answer.await.unwrap()[..], [Ok(Recorded::New { .. })]));
        }
    }

    #[tokio::test]
    async fn frames_made_for_one_link_never_reach_the_next() {
        let (driver, inbox) = driver();
        let (first, mut on_first) = mpsc::channel(8);
        let (second, mut on_second) = mpsc::channel(8);
        inbox.tell(Work::LinkUp { outgoing: first }).await;
        inbox.tell(Work::LinkDown { reason: "cut".to_owned() }).await;
        inbox.tell(Work::LinkUp { outgoing: second }).await;
        inbox.tell(Work::Frame(vec![0xff; 9])).await;
        drop(inbox);
        run(driver).await;
        // One hello each; the garbage on the second link ends that one.
        assert!(matches!(on_first.recv().await, Some(Flight::Frames(frames)) if frames.len() == 1));
        assert!(on_first.recv().await.is_none());
        let mut frames = 0;
        while let Some(flight) = on_second.recv().await {
            match flight {
                Flight::Frames(more) => frames += more.len(),
                Flight::HangUp { reason } => assert!(reason.contains("can't be read"), "{reason}"),
            }
        }
        assert!(frames <= 1, "{frames}");
    }
}
