//! One run of the demo, from the first process to the last comparison.

use super::compare::{self, Comparison};
use super::convergence;
use super::faults::{self, Plan};
use super::opening::{self, Opening};
use super::options::Options;
use super::orders::Orders;
use super::probe::{self, Lag, Probe};
use super::report::{AgentMemory, LagReport, LinkReport, Report, differences};
use super::sales::Sales;
use super::screen::{Screen, View, wire_bytes_per_line};
use super::traffic::{self, Pace, Tills};
use super::watch::{Watch, WireBytes};
use crate::clock;
use crate::fleet::{Fleet, FleetPlan, proc_stat};
use crate::pos::till::{Port, Shift, Till};
use crate::pos::witness::Witness;
use crate::rng::Rng;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;

/// Share of baskets the tills send twice on purpose.
const TWICE: f64 = 0.02;
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How long the opening stock, and how long the rest may take to reach the hub.
const CONVERGE_PATIENCE: Duration = Duration::from_secs(120);
const EVENTS: usize = 64;

/// Runs the demo in `folder`. The fleet still runs when this returns.
pub async fn run(options: &Options, folder: &Path, screen: &mut Screen) -> Result<(Fleet, Report)> {
    options.check()?;
    let mut rng = Rng::seeded(options.seed);
    let sales = Sales::prepare(options)?;
    announce(&sales, screen);
    let plan = Plan::draw(sales.stores(), options.cut, options.kill, &mut rng.fork(1));
    let fleet_plan = FleetPlan {
        linked: options.linked(sales.stores(), &plan.cut),
        profile: options.link.profile(),
        transports: vec![options.transport],
        seed: options.seed,
        ..FleetPlan::of_stores(sales.stores())
    };
    screen.say(&format!("lines: {}; transport: {}", options.link.name(), options.transport.name()));
    let fleet = Fleet::start(folder, fleet_plan, &mut |said| screen.say(said)).await?;
    let witness = Arc::new(Witness::of_stores(sales.stores()));
    open_stores(&fleet, &sales, &witness, &mut rng.fork(2), screen).await?;

    let mut demo =
        Demo { options, fleet: &fleet, sales: &sales, witness, lag: Arc::default(), rng: rng.fork(3) };
    let mut sold = demo.sell(plan, screen).await?;
    let converged_after = demo.converge(&mut sold.orders, screen).await?;
    let report = demo.prove(sold, converged_after, screen).await?;
    Ok((fleet, report))
}

fn announce(sales: &Sales, screen: &mut Screen) {
    screen.say(&format!("ShopSmart Sync: {}", sales.describe()));
    let Some(bad) = sales.bad_lines().filter(|bad| bad.count() > 0) else { return };
    screen.say(&format!("{} lines of the file could not be read and are left out:", bad.count()));
    for (reason, count) in &bad.by_reason {
        screen.say(&format!("  {count} × {reason}"));
    }
    for (number, fault) in &bad.examples {
        screen.say(&format!("  line {number}: {fault}"));
    }
}

async fn open_stores(
    fleet: &Fleet,
    sales: &Sales,
    witness: &Arc<Witness>,
    rng: &mut Rng,
    screen: &mut Screen,
) -> Result<()> {
    let open = |store| Opening::of(store, sales.start(), sales.items(store), rng);
    let openings: Vec<Opening> = (0..sales.stores()).map(open).collect();
    let lines: u64 = openings.iter().map(Opening::lines).sum();
    screen.say(&format!("delivering the opening stock: {lines} items"));
    opening::deliver(openings, &fleet.stores, witness).await?;
    let waited = convergence::wait(fleet, CONVERGE_PATIENCE).await.context("the opening stock")?;
    screen.say(&format!("the hub has it after {} ms more; the shops open", waited.as_millis()));
    Ok(())
}

/// What a load phase came to.
struct Sold {
    seconds: f64,
    kills: u32,
    lines_cut: usize,
    watch: Watch,
    view: View,
    orders: Orders,
}

struct Demo<'a> {
    options: &'a Options,
    fleet: &'a Fleet,
    sales: &'a Sales,
    witness: Arc<Witness>,
    lag: Arc<Lag>,
    rng: Rng,
}

impl Demo<'_> {
    /// Lets the tills sell while the faults happen, and shows it.
    async fn sell(&mut self, plan: Plan, screen: &mut Screen) -> Result<Sold> {
        let lines_cut = plan.cut.len();
        let mut watch = Watch::start(self.fleet.hub.client()?, self.fleet.stores.clone()).await?;
        let closing = Arc::new(AtomicBool::new(false));
        let (progress, happened) = watch::channel(0.0);
        let (events, mut said) = mpsc::channel(EVENTS);
        let (stores, rng) = (self.fleet.stores.clone(), self.rng.fork(1));
        let mut faults = tokio::spawn(faults::carry_out(plan, stores, happened, events, rng));
        let probes = self.start_probes(&closing)?;
        let mut orders = self.open_orders(&closing)?;
        let start = clock::now();
        let mut selling = self.start_tills(&closing)?;

        let mut view = View { sell_for: self.options.sell_for.0, ..View::default() };
        let mut ticks = interval(DRAW_EVERY);
        let (mut seconds, mut kills) = (None, None);
        while seconds.is_none() || kills.is_none() {
            tokio::select! {
                _ = ticks.tick() => {
                    self.advance(start, seconds.is_some(), &progress, &mut view);
                    watch.look(&self.witness, &self.lag, &mut view).await;
                    screen.draw(&view, clock::now());
                    convergence::check_alive(self.fleet).await?;
                    orders.check()?;
                }
                Some(event) = said.recv() => screen.say(&format!("{:>4} s  {event}", start.elapsed().as_secs())),
                ended = selling.join_next(), if seconds.is_none() => match ended {
                    Some(ended) => ended??,
                    None => seconds = Some(start.elapsed().as_secs_f64()),
                },
                // An agent that does not come up again ends the run: its tills would wait for ever.
                ended = &mut faults, if kills.is_none() => kills = Some(ended??),
            }
        }
        while let Ok(event) = said.try_recv() {
            screen.say(&format!("{:>4} s  {event}", start.elapsed().as_secs()));
        }
        closing.store(true, Relaxed);
        probes.stop().await?;
        let (seconds, kills) = (seconds.unwrap_or_default(), kills.unwrap_or_default());
        Ok(Sold { seconds, kills, lines_cut, watch, view, orders })
    }

    fn advance(&self, start: Instant, sold_out: bool, progress: &watch::Sender<f64>, view: &mut View) {
        let by_time = start.elapsed().as_secs_f64() / self.options.sell_for.0.as_secs_f64();
        let sent = self.witness.tally.lines_sent.load(Relaxed);
        let by_lines = self.sales.lines().and_then(|lines| wire_bytes_per_line(sent, lines)).unwrap_or(0.0);
        view.progress = if sold_out { 1.0 } else { by_time.max(by_lines).min(1.0) };
        view.elapsed = start.elapsed();
        progress.send_replace(view.progress);
    }

    fn start_tills(&mut self, closing: &Arc<AtomicBool>) -> Result<JoinSet<Result<()>>> {
        let mut selling = JoinSet::new();
        let (tills, queues) = Tills::open(self.sales.stores(), self.options.tills);
        let shift = Shift { witness: Arc::clone(&self.witness), twice: TWICE, closing: Arc::clone(closing) };
        for (store, queues) in self.fleet.stores.iter().zip(queues) {
            for (number, queue) in queues.into_iter().enumerate() {
                let port = Port::new(store.address(), store.token());
                let rng = self.rng.fork(2);
                let till = Till::new(format!("till-{}", number + 1), port, shift.clone(), rng);
                selling.spawn(async move {
                    till.run(queue).await;
                    Ok(())
                });
            }
        }
        let speed = self.sales.speed(self.options)?;
        let sell_for = self.options.sell_for.0;
        let pace = Pace { speed, start: self.sales.start(), sell_for, closing: Arc::clone(closing) };
        selling.spawn(traffic::run(self.sales.baskets()?, tills, pace));
        Ok(selling)
    }

    fn open_orders(&mut self, closing: &Arc<AtomicBool>) -> Result<Orders> {
        let items = (0..self.sales.stores()).map(|store| self.sales.items(store)).collect();
        let rng = &mut self.rng.fork(3);
        Orders::open(self.fleet, self.options.shoppers, items, &self.witness, closing, rng)
    }

    fn start_probes(&self, closing: &Arc<AtomicBool>) -> Result<Probes> {
        let feed = tokio::spawn(probe::follow(self.fleet.hub.client()?, Arc::clone(&self.lag)));
        let mut running = JoinSet::new();
        for store in &self.fleet.stores {
            let probe = Probe {
                store: Arc::clone(store),
                stores: self.fleet.stores.len(),
                witness: Arc::clone(&self.witness),
                lag: Arc::clone(&self.lag),
                closing: Arc::clone(closing),
            };
            running.spawn(probe.run());
        }
        Ok(Probes { feed, running })
    }

    /// Mends what is still cut, lets the stores end their orders, and waits until the hub has everything.
    async fn converge(&self, orders: &mut Orders, screen: &mut Screen) -> Result<f64> {
        self.fleet.stores.iter().filter(|store| store.is_cut()).for_each(|store| store.mend());
        orders.end().await?;
        screen.say("the shops are closed; waiting until the hub has everything");
        let waited = convergence::wait(self.fleet, CONVERGE_PATIENCE).await?;
        Ok(waited.as_secs_f64())
    }

    async fn prove(&self, mut sold: Sold, converged_after_s: f64, screen: &mut Screen) -> Result<Report> {
        sold.watch.look(&self.witness, &self.lag, &mut sold.view).await;
        sold.view.visible = sold.view.recorded;
        screen.settle(&sold.view, clock::now());
        let report_wire = sold.watch.wire_bytes().await?;
        let links = LinkReport::of(self.options, self.fleet).await?;
        let comparison = compare::compare(&self.fleet.hub, &self.fleet.stores, &self.witness).await?;
        let report = self.report(&sold, report_wire, links, converged_after_s, &comparison)?;
        screen.say(&report.table(&comparison));
        if comparison.different > 0 {
            screen.say(&differences(&comparison));
        }
        Ok(report)
    }

    fn report(
        &self,
        sold: &Sold,
        wire_bytes: WireBytes,
        links: LinkReport,
        converged_after_s: f64,
        comparison: &Comparison,
    ) -> Result<Report> {
        let tally = &self.witness.tally;
        let recorded = tally.movements_recorded.load(Relaxed);
        let memory = |store: &Arc<crate::fleet::store::Store>| proc_stat::rss_bytes(store.pid()?).ok();
        Ok(Report {
            stores: self.fleet.stores.len(),
            lines_sent: tally.lines_sent.load(Relaxed),
            movements_recorded: recorded,
            duplicates_refused: tally.duplicates_refused.load(Relaxed),
            cells_compared: comparison.cells,
            cells_different: comparison.different,
            lag_ms: LagReport {
                percentiles: self.lag.percentiles(),
                set_aside: self.lag.set_aside.load(Relaxed),
            },
            wire_bytes_per_line: wire_bytes_per_line(wire_bytes.all, recorded).unwrap_or(0.0),
            wire_without_tcp_headers: wire_bytes.tcp > 0,
            links,
            orders: sold.orders.report(comparison),
            hub_rss_bytes: proc_stat::rss_bytes(self.fleet.hub.pid()?)?,
            agent_rss_bytes: AgentMemory::of(self.fleet.stores.iter().filter_map(memory).collect()),
            agent_kills: sold.kills,
            lines_cut: sold.lines_cut,
            seconds: sold.seconds,
            converged_after_s,
            unanswered_tries: tally.unanswered.load(Relaxed),
            sent_twice_on_purpose: tally.sent_twice.load(Relaxed),
            faults: self.witness.faults(),
            bad_lines: self.sales.bad_lines().map(|bad| bad.by_reason.clone()).unwrap_or_default(),
            sales: self.sales.describe(),
            speed: self.sales.speed(self.options)?.to_string(),
            seed: self.options.seed,
        })
    }
}

/// The probes and the feed they listen to.
struct Probes {
    feed: JoinHandle<Result<()>>,
    running: JoinSet<()>,
}

impl Probes {
    /// Waits for the probes' last sales; the feed has no end of its own.
    async fn stop(mut self) -> Result<()> {
        while let Some(ended) = self.running.join_next().await {
            ended?;
        }
        if self.feed.is_finished() {
            return self.feed.await?.context("the change feed ended early");
        }
        self.feed.abort();
        Ok(())
    }
}
