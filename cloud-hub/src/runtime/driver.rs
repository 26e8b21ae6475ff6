//! The one thread that owns the hub's core. It takes what has arrived, lets the core merge and commit it as one group,
//! makes the committed changes visible, and only then lets answers leave.
//!
//! **Invariant:** no acknowledgement leaves before its commit, and whoever sees an acknowledgement finds the change in
//! the availability index.

use crate::availability::Index;
use crate::desk::{CountAnswer, OrderAnswer, Request, ReservationAnswer, SettingsAnswer};
use crate::health::Health;
use crate::hub::orders::OrderView;
use crate::hub::{Hub, Input, LinkId, Output, Ticket};
use crate::ingest::{Answer, Arrival, Farewell, Outlet, Room};
use crate::orders::board::Board;
use crate::runtime::clock::Clock;
use crate::runtime::tally::Tally;
use crate::standing::{Sighting, Standings};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use sync_protocol::Ticks;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, debug_span, warn};

/// Most arrivals that one commit covers.
const ROUND_MAX: usize = 1024;
/// Milliseconds between ticks: stores added by the command line show up within this time.
const TICK_EVERY: u64 = 5_000;
/// Milliseconds to wait at least, so that a deadline that stays in the past can't keep a processor busy.
const PATIENCE_MIN: u64 = 1;

/// Seconds.
const ROUND_BUCKETS: [f64; 12] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];

/// The core and everything it is connected to.
pub struct Driver {
    pub hub: Hub,
    pub index: Arc<Index>,
    pub board: Arc<Board>,
    pub arrivals: mpsc::Receiver<Arrival>,
    pub requests: mpsc::Receiver<Request>,
    pub clock: Clock,
    pub health: Arc<Health>,
    pub standings: Arc<Standings>,
    pub metrics: Metrics,
}

/// A driver at work on its thread.
pub struct Driving {
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

/// The driver's thread ended before it was told to, by a panic.
#[derive(Debug, thiserror::Error)]
#[error("the hub's core failed: {0}")]
pub struct Panicked(String);

impl Driver {
    /// Starts the thread. It ends when the last sender of arrivals is gone and everything has been taken in.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self, runtime: Handle) -> io::Result<Driving> {
        let (ending, ended) = oneshot::channel();
        let thread = Builder::new().name("hub-driver".to_owned()).spawn(move || {
            Rounds::new(self).run(&runtime);
            drop(ending);
        })?;
        Ok(Driving { thread, ended })
    }
}

impl Driving {
    /// Waits for the thread's end.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn ended(self) -> Result<(), Panicked> {
        // The sender is dropped with the thread's last breath, however it dies; joining then takes no time.
        drop(self.ended.await);
        self.thread.join().map_err(|panic| Panicked(words_of(panic.as_ref())))
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without words".to_owned())
}

/// The driver's loop and what it remembers between rounds.
struct Rounds {
    driver: Driver,
    outlets: HashMap<LinkId, Outlet>,
    waiting: HashMap<Ticket, Waiting>,
    next_ticket: u64,
    next_tick: Ticks,
}

impl Rounds {
    fn new(driver: Driver) -> Rounds {
        let next_tick = driver.clock.now().ticks.plus(TICK_EVERY);
        Rounds { driver, outlets: HashMap::new(), waiting: HashMap::new(), next_ticket: 0, next_tick }
    }

    fn run(mut self, runtime: &Handle) {
        let mut arrived = Vec::with_capacity(ROUND_MAX);
        let mut asked = Vec::new();
        while runtime.block_on(self.wait(&mut arrived, &mut asked)) {
            self.round(&mut arrived, &mut asked);
        }
        debug!("the last arrival has been taken in");
    }

    /// Waits for arrivals or a deadline; `false` when there will be no more arrivals.
    async fn wait(&mut self, arrived: &mut Vec<Arrival>, asked: &mut Vec<Request>) -> bool {
        let deadline = self.driver.hub.next_deadline().map_or(self.next_tick, |at| at.min(self.next_tick));
        let patience = deadline.since(self.driver.clock.now().ticks).max(PATIENCE_MIN);
        let Driver { arrivals, requests, .. } = &mut self.driver;
        let goes_on = tokio::select! {
            taken = arrivals.recv_many(arrived, ROUND_MAX) => taken > 0,
            // Whoever serves shoppers may have gone before the links have.
            taken = requests.recv_many(asked, ROUND_MAX), if !requests.is_closed() || !requests.is_empty() => taken > 0 || !arrivals.is_closed(),
            () = tokio::time::sleep(Duration::from_millis(patience)) => true,
        };
        // One commit for both.
        while arrived.len() < ROUND_MAX
            && let Ok(arrival) = arrivals.try_recv()
        {
            arrived.push(arrival);
        }
        while asked.len() < ROUND_MAX
            && let Ok(request) = requests.try_recv()
        {
            asked.push(request);
        }
        goes_on
    }

    /// One group: take in, commit, show, answer.
    fn round(&mut self, arrived: &mut Vec<Arrival>, asked: &mut Vec<Request>) {
        let _span = debug_span!("round", arrivals = arrived.len()).entered();
        let started = self.driver.clock.running();
        let now = self.driver.clock.now();
        let (mut inputs, rooms) = self.inputs(arrived);
        inputs.extend(asked.drain(..).map(|request| self.asked(request)));
        if now.ticks >= self.next_tick {
            self.next_tick = now.ticks.plus(TICK_EVERY);
            inputs.push(Input::Tick);
            self.count_quarantined();
        }
        let links_change = inputs
            .iter()
            .any(|input| matches!(input, Input::LinkUp { .. } | Input::LinkDown { .. } | Input::Tick));
        let failed_before = self.driver.hub.counters().failed_commits;
        let outputs = self.driver.hub.drain(inputs, now);
        if self.driver.hub.counters().failed_commits == failed_before {
            rooms.into_iter().for_each(Room::committed);
        }
        if links_change {
            self.driver.metrics.tally.stores(self.driver.hub.store_counts());
        }
        for (store, boots) in self.driver.hub.take_twins() {
            let boots = boots.map(|boot| boot.0);
            self.driver.standings.sighted(Sighting::Twins { store, boots });
        }
        let updates = self.driver.hub.take_updates();
        if !updates.is_empty() {
            self.driver.index.publish(updates);
        }
        let posts = self.driver.hub.take_posts();
        if !posts.is_empty() {
            self.driver.board.publish(posts);
        }
        self.driver.metrics.tally.count(self.driver.hub.counters());
        self.answer(outputs);
        self.driver.health.beat(now.wall);
        self.driver.metrics.round(self.driver.clock.running() - started);
    }

    fn count_quarantined(&mut self) {
        match self.driver.hub.quarantined() {
            Ok((records, since)) => self.driver.metrics.tally.in_quarantine(records, since),
            Err(error) => warn!(error = &error as &dyn Error, "can't count what is in quarantine"),
        }
    }

    fn inputs(&mut self, arrived: &mut Vec<Arrival>) -> (Vec<Input>, Vec<Room>) {
        let mut rooms = Vec::with_capacity(arrived.len());
        let inputs = arrived.drain(..).map(|arrival| match arrival {
            Arrival::Up { link, store, outlet } => {
                self.outlets.insert(link, outlet);
                Input::LinkUp { link, store }
            }
            Arrival::Frame { link, bytes, room } => {
                rooms.push(room);
                Input::Frame { link, bytes }
            }
            Arrival::Down { link } => {
                self.outlets.remove(&link);
                Input::LinkDown { link }
            }
        });
        (inputs.collect(), rooms)
    }

    fn asked(&mut self, request: Request) -> Input {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let (waiting, input) = match request {
            Request::Place { order, reply } => (Waiting::Order(reply), Input::Place { ticket, order }),
            Request::Cancel { order, why, reply } => {
                (Waiting::Order(reply), Input::Cancel { ticket, order, why })
            }
            Request::Show { order, reply } => (Waiting::Order(reply), Input::Order { ticket, order }),
            Request::List { wanted, reply } => (Waiting::Orders(reply), Input::Orders { ticket, wanted }),
            Request::Erase { order, reply } => (Waiting::Order(reply), Input::Erase { ticket, order }),
            Request::Settings { store, change, reply } => {
                (Waiting::Settings(reply), Input::Settings { ticket, store, change })
            }
            Request::LookedFor { reply } => (Waiting::Orders(reply), Input::LookedFor { ticket }),
            Request::Reroute { order, choices, decision, reply } => {
                (Waiting::Order(reply), Input::Reroute { ticket, order, choices, decision })
            }
            Request::Count { ask, reply } => (Waiting::Count(reply), Input::Count { ticket, ask }),
            Request::Reservation { ask, reply } => {
                (Waiting::Reservation(reply), Input::Reservation { ticket, ask })
            }
        };
        self.waiting.insert(ticket, waiting);
        input
    }

    /// Whoever asked may have gone; what was done stays done.
    fn reply(&mut self, ticket: Ticket, output: Output) {
        match (self.waiting.remove(&ticket), output) {
            (Some(Waiting::Order(reply)), Output::Order { answer, .. }) => drop(reply.send(answer)),
            (Some(Waiting::Orders(reply)), Output::Orders { answer, .. }) => drop(reply.send(answer)),
            (Some(Waiting::Settings(reply)), Output::Settings { answer, .. }) => drop(reply.send(answer)),
            (Some(Waiting::Reservation(reply)), Output::Reservation { answer, .. }) => {
                drop(reply.send(answer));
            }
            (Some(Waiting::Count(reply)), Output::Count { answer, .. }) => drop(reply.send(answer)),
            (_, output) => warn!(?output, "an answer nobody waits for"),
        }
    }

    /// Sends what was decided: frames for one link together, farewells last.
    fn answer(&mut self, outputs: Vec<Output>) {
        let mut answers: BTreeMap<LinkId, Answer> = BTreeMap::new();
        let mut farewells = Vec::new();
        for output in outputs {
            match output {
                Output::Send { link, stream, bytes } => answers.entry(link).or_default().push(stream, bytes),
                Output::HangUp { link, reason } => farewells.push((link, reason)),
                Output::Order { ticket, .. }
                | Output::Orders { ticket, .. }
                | Output::Settings { ticket, .. }
                | Output::Reservation { ticket, .. }
                | Output::Count { ticket, .. }
                | Output::Answer { ticket, .. } => {
                    self.reply(ticket, output);
                }
            }
        }
        for (link, answer) in answers {
            if let Some(outlet) = self.outlets.get(&link) {
                outlet.send(answer);
            }
        }
        for (link, reason) in farewells {
            if let Some(outlet) = self.outlets.get(&link) {
                outlet.hang_up(Farewell::Refused(reason));
            }
        }
    }
}

/// Who waits for an answer.
#[derive(Debug)]
enum Waiting {
    Order(oneshot::Sender<OrderAnswer>),
    Orders(oneshot::Sender<Vec<OrderView>>),
    Settings(oneshot::Sender<SettingsAnswer>),
    Reservation(oneshot::Sender<ReservationAnswer>),
    Count(oneshot::Sender<CountAnswer>),
}

/// What the driver counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    rounds: Counter,
    round_seconds: Histogram,
    tally: Tally,
}

impl Metrics {
    /// Makes them visible.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            rounds: Counter::default(),
            round_seconds: Histogram::new(ROUND_BUCKETS),
            tally: Tally::register(registry),
        };
        registry.register("rounds", "Groups of arrivals worked off", metrics.rounds.clone());
        registry.register_with_unit(
            "round",
            "Time from taking a group up to its answers being on their way",
            Unit::Seconds,
            metrics.round_seconds.clone(),
        );
        metrics
    }

    fn round(&self, took: Duration) {
        self.rounds.inc();
        self.round_seconds.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_core_that_panics_is_noticed_with_its_words() {
        let (ending, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ending = ending;
            panic!("cell {} is impossible", 7);
        });
        let error = Driving { thread, ended }.ended().await.unwrap_err();
        assert_eq!(error.to_string(), "the hub's core failed: cell 7 is impossible");
    }
}
