//! The whole chain, till to web shop, through real processes: bytes per line, lag, a burst, the catch-up after a cut, and
//! how fast the hub takes in what many stores have saved up.

use super::counter::Reading;
use super::figure::{Figure, Target, as_f64};
use super::http_load::{self, Asker};
use super::stocked::{self, NDJSON, OPENED};
use crate::clock;
use crate::demo::convergence::{self, SyncView};
use crate::demo::opening::check_lines;
use crate::fleet::metrics::Metrics;
use crate::fleet::store::Store;
use crate::fleet::{Fleet, store_id};
use crate::http::Client;
use crate::latency::{Latencies, Percentiles};
use crate::pos::document;
use crate::rng::Rng;
use crate::scenario::BasketLine;
use crate::scenario::generator::{Generator, Trade, sku};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use sync_protocol::{Quantity, Sku};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

const CONVERGE_PATIENCE: Duration = Duration::from_secs(180);
const MOVEMENTS: &str = "/v1/movements";
const BATCH: &str = "/v1/movements:batch";

/// Bytes on the wire per till line when every basket travels alone.
pub async fn bytes_per_line(folder: &Path) -> Result<Vec<Figure>> {
    const BASKETS: usize = 1500;
    const LINES: usize = 9;
    let trade = Trade { stores: 1, items: 5000, ..Trade::default() };
    let fleet = stocked::fleet(folder, 1, trade.items, false).await?;
    let before = Reading::of(&fleet).await?;
    sell_one_by_one(&fleet.stores[0], trade, BASKETS, LINES).await?;
    convergence::wait(&fleet, CONVERGE_PATIENCE).await?;
    let used = Reading::of(&fleet).await?.since(before);
    fleet.stop().await?;
    let (baskets, lines) = (as_f64(u64::try_from(BASKETS)?), as_f64(u64::try_from(BASKETS * LINES)?));
    let figure = |what: &str, value| Figure::new("all-in", what, value, "B");
    Ok(vec![
        figure("bytes on the wire per till line, basket by basket", used.wire_bytes / lines)
            .target(Target::AtMost(40.0))
            .how("1,500 baskets of 9 lines, one at a time; QUIC, UDP and IP, both directions, history included"),
        figure("… of which frames, stream state", used.state_bytes / lines),
        figure("… of which frames, stream history", used.history_bytes / lines),
        Figure::new("all-in", "… datagrams per basket", used.datagrams / baskets, ""),
    ])
}

pub(super) async fn sell_one_by_one(store: &Store, trade: Trade, baskets: usize, lines: usize) -> Result<()> {
    /// Long enough for the frame to leave and its acknowledgement to come.
    const PAUSE: Duration = Duration::from_millis(5);
    let mut client = store.client()?;
    let mut sold = Generator::new(trade, Rng::seeded(1)).flat_map(|basket| basket.lines);
    for number in 0..baskets {
        let basket: Vec<_> = sold.by_ref().take(lines).collect();
        let lines = basket.iter().map(|line| (&line.sku, line.quantity));
        let sale = document::movement("till-1", &number.to_string(), "sale", clock::unix_millis(), lines);
        client.post(MOVEMENTS, "application/json", sale).await?.success()?;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Till's answer → visible in the hub's API, every line timed.
pub async fn lag(folder: &Path, per_second: u64, seconds: u64) -> Result<Percentiles> {
    let fleet = stocked::fleet(folder, 1, LAG_ITEMS, false).await?;
    let lags = lag_of_each(&fleet, per_second, seconds).await?;
    fleet.stop().await?;
    lags.first().copied().context("a fleet of one store has a first one")
}

/// The same for each store of a fleet, at the same time.
pub(super) async fn lag_of_each(fleet: &Fleet, per_second: u64, seconds: u64) -> Result<Vec<Percentiles>> {
    let seen: Seen = Arc::default();
    let feed = tokio::spawn(follow(fleet.hub.client()?, Arc::clone(&seen)));
    // The feed begins with the moment it is opened.
    sleep(Duration::from_millis(500)).await;
    let mut tills = JoinSet::new();
    for store in &fleet.stores {
        for till in 0..LAG_TILLS {
            let (client, place, sales) = (store.client()?, store.place(), per_second * seconds);
            tills.spawn(async move { (place, time_sales(client, till, LAG_TILLS, per_second, sales).await) });
        }
    }
    let mut sales = Vec::new();
    while let Some(till) = tills.join_next().await {
        let (place, sold) = till?;
        sales.extend(sold?.into_iter().map(|sale| (place, sale)));
    }
    convergence::wait(fleet, CONVERGE_PATIENCE).await?;
    sleep(Duration::from_millis(200)).await;
    feed.abort();
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut latencies = vec![Latencies::default(); fleet.stores.len()];
    for (place, sale) in sales {
        let lag = sale.lag(seen.get(&store_id(place)).context("a store was never seen")?);
        latencies[place].add(lag.with_context(|| format!("a sale of item {} was never seen", sale.item))?);
    }
    Ok(latencies.iter().map(Latencies::percentiles).collect())
}

const LAG_TILLS: u64 = 8;
/// An item comes again only after all others, seconds later: its change is long seen by then.
pub(super) const LAG_ITEMS: usize = 5000;

/// When each change of each store's items arrived on the feed.
type Seen = Arc<Mutex<HashMap<String, SeenItems>>>;
type SeenItems = HashMap<usize, Vec<Instant>>;

/// One sale, from before it was asked for until it was answered.
struct TimedSale {
    item: usize,
    asked: Instant,
    answered: Instant,
}

impl TimedSale {
    /// To the first change of its item since it was asked for; none at all when the feed was faster than the answer.
    fn lag(&self, seen: &SeenItems) -> Option<Duration> {
        let arrival = seen.get(&self.item)?.iter().find(|arrival| **arrival >= self.asked)?;
        Some(arrival.saturating_duration_since(self.answered))
    }
}

/// Sells one piece of an item after the other, at its share of the rate.
async fn time_sales(
    mut client: Client,
    till: u64,
    tills: u64,
    per_second: u64,
    sales: u64,
) -> Result<Vec<TimedSale>> {
    let mut timed = Vec::new();
    let mut ticks = interval(Duration::from_nanos(1_000_000_000 * tills / per_second));
    // Not all at the same moment.
    sleep(Duration::from_nanos(1_000_000_000 * till / per_second)).await;
    for sale in (till..sales).step_by(usize::try_from(tills)?) {
        ticks.tick().await;
        let item = usize::try_from(sale)? % LAG_ITEMS;
        let sku = sku(item);
        let line = std::iter::once((&sku, Quantity::from_units(1)));
        let text = document::movement(
            &format!("till-{till}"),
            &sale.to_string(),
            "sale",
            clock::unix_millis(),
            line,
        );
        let asked = clock::now();
        client.post(MOVEMENTS, "application/json", text).await?.success()?;
        timed.push(TimedSale { item, asked, answered: clock::now() });
    }
    Ok(timed)
}

#[derive(Deserialize)]
struct Change {
    store: String,
    sku: String,
}

/// Notes when each change arrives.
async fn follow(hub: Client, seen: Seen) -> Result<()> {
    let mut feed = hub.open("/v1/changes", "text/event-stream").await?;
    while feed.read_lines(|line| note(line, &seen)).await? {}
    Ok(())
}

fn note(line: &[u8], seen: &Seen) {
    let Some(data) = line.strip_prefix(b"data:") else { return };
    let Ok(change) = serde_json::from_slice::<Change>(data) else { return };
    if let Some(item) = change.sku.parse::<usize>().ok().and_then(|sku| sku.checked_sub(100_000)) {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(change.store).or_default().entry(item).or_default().push(clock::now());
    }
}

/// What a burst came to.
#[derive(Debug, Clone, Copy)]
pub struct Burst {
    pub visible_per_second: f64,
    pub complete_per_second: f64,
    pub agent_cpu_per_100k: f64,
    pub hub_cpu_per_100k: f64,
    pub frame_bytes_per_change: f64,
    pub wire_bytes_per_change: f64,
    pub state_bytes_per_change: f64,
}

impl Burst {
    /// Seconds of processor time, agent and hub together.
    #[must_use]
    pub fn cpu_per_100k(&self) -> f64 {
        self.agent_cpu_per_100k + self.hub_cpu_per_100k
    }
}

/// Posts changes as fast as the agent takes them, a hundred in a request; timed until the hub shows them all.
pub async fn burst(folder: &Path, items: usize, changes: u64, at_once: u64) -> Result<Burst> {
    const TILLS: usize = 8;
    let fleet = stocked::fleet(folder, 1, items, false).await?;
    let requests = requests(items, changes, at_once, 1, fleet.stores[0].token());
    let address = (*fleet.stores[0].address().borrow()).context("the agent is up")?;
    let before = Reading::of(&fleet).await?;
    let start = clock::now();
    let queue = Arc::new(Mutex::new(requests.into_iter()));
    let mut tills = JoinSet::new();
    for _ in 0..TILLS {
        let queue = Arc::clone(&queue);
        tills.spawn_blocking(move || post_all(address, &queue));
    }
    while let Some(till) = tills.join_next().await {
        till??;
    }
    let visible = wait_for(&fleet, |sync| sync.backlog.records == 0).await?.duration_since(start);
    let complete = wait_for(&fleet, |sync| sync.caught_up).await?.duration_since(start);
    let used = Reading::of(&fleet).await?.since(before);
    fleet.stop().await?;
    let changes = as_f64(changes);
    Ok(Burst {
        visible_per_second: changes / visible.as_secs_f64(),
        complete_per_second: changes / complete.as_secs_f64(),
        agent_cpu_per_100k: used.agents_cpu.as_secs_f64() / changes * 100_000.0,
        hub_cpu_per_100k: used.hub_cpu.as_secs_f64() / changes * 100_000.0,
        frame_bytes_per_change: (used.state_bytes + used.history_bytes) / changes,
        wire_bytes_per_change: used.wire_bytes / changes,
        state_bytes_per_change: used.state_bytes / changes,
    })
}

/// Made-up sales: documents of ten lines, as many to a request as make `at_once` changes. Each seed has references of its own.
fn requests(items: usize, changes: u64, at_once: u64, seed: u64, token: &str) -> Vec<Vec<u8>> {
    const LINES: usize = 10;
    let trade = Trade { stores: 1, items, ..Trade::default() };
    let mut lines = Generator::new(trade, Rng::seeded(seed)).flat_map(|basket| basket.lines);
    let mut request = |number: u64| {
        let documents = (0..at_once).step_by(LINES).map(|part| {
            let sold: Vec<BasketLine> = lines.by_ref().take(LINES).collect();
            let sold = sold.iter().map(|line| (&line.sku, line.quantity));
            document::movement("till-1", &format!("{seed}/{number}/{part}"), "sale", OPENED, sold)
        });
        let body = documents.collect::<Vec<_>>().join("\n");
        http_load::request("POST", BATCH, token, NDJSON, &body)
    };
    (0..changes / at_once).map(&mut request).collect()
}

fn post_all(address: std::net::SocketAddr, queue: &Mutex<std::vec::IntoIter<Vec<u8>>>) -> Result<()> {
    let mut client = Asker::connect(address)?;
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(request) = next else { return Ok(()) };
        let (status, length) = client.ask(&request)?;
        let answer = String::from_utf8_lossy(client.body(length));
        ensure!((200..300).contains(&status), "the agent answered {status}: {answer}");
        check_lines(&answer)?;
    }
}

async fn wait_for(fleet: &Fleet, done: impl Fn(&SyncView) -> bool) -> Result<Instant> {
    let start = clock::now();
    let mut client = fleet.stores[0].client()?;
    loop {
        let sync: SyncView = client.get("/v1/sync").await?.success()?.json()?;
        if done(&sync) {
            return Ok(clock::now());
        }
        if start.elapsed() > CONVERGE_PATIENCE {
            bail!("the hub does not catch up: {sync:?}");
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// A store that was cut off for 240,000 sales on 30,000 items: what it sends once its line is mended.
pub async fn catch_up(folder: &Path) -> Result<Vec<Figure>> {
    const ITEMS: usize = 30_000;
    const SALES_BEFORE: u64 = 60_000;
    const SALES: u64 = 240_000;
    let fleet = stocked::fleet(folder, 1, ITEMS, true).await?;
    let address = (*fleet.stores[0].address().borrow()).context("the agent is up")?;
    let post = |sales, seed| {
        let queue = Mutex::new(requests(ITEMS, sales, 1000, seed, fleet.stores[0].token()).into_iter());
        tokio::task::spawn_blocking(move || post_all(address, &queue))
    };
    post(SALES_BEFORE, 1).await??;
    convergence::wait(&fleet, CONVERGE_PATIENCE).await?;
    stocked::cut_all(&fleet.stores).await?;
    post(SALES, 2).await??;
    let changed = SyncView::of(&fleet.stores[0]).await?.backlog.records;
    let before = Reading::of(&fleet).await?;
    let start = clock::now();
    fleet.stores[0].mend();
    let visible = wait_for(&fleet, |sync| sync.backlog.records == 0).await?.duration_since(start);
    convergence::wait(&fleet, CONVERGE_PATIENCE).await?;
    let used = Reading::of(&fleet).await?.since(before);
    fleet.stop().await?;
    let sent = used.state_bytes;
    Ok(vec![
        Figure::new("catch-up", "sent on stream state after 240,000 sales offline", sent / 1000.0, "KB")
            .target(Target::AtMost(150.0))
            .how(format!("{changed} of 30,000 cells had changed; frames as sent, before QUIC")),
        Figure::new("catch-up", "… a changed cell", sent / as_f64(changed), "B"),
        Figure::new("catch-up", "… history sent beside it", used.history_bytes / 1000.0, "KB"),
        Figure::new("catch-up", "… from the mended line to all stock fresh", visible.as_secs_f64(), "s")
            .how("includes the agent's wait until it dials again"),
    ])
}

/// How fast the hub takes in what several stores have saved up.
pub async fn ingest(folder: &Path) -> Result<Vec<Figure>> {
    const STORES: usize = 4;
    const ITEMS: usize = 30_000;
    let fleet = stocked::fleet(folder, STORES, ITEMS, true).await?;
    stocked::cut_all(&fleet.stores).await?;
    let mut rng = Rng::seeded(1);
    for store in &fleet.stores {
        let sales: Vec<(Sku, Quantity)> =
            (0..ITEMS).map(|item| (sku(item), stocked::units(rng.between(1, 50)))).collect();
        stocked::move_all(store, &sales, "sale", "cut-off").await?;
    }
    let mut hub = fleet.hub.client()?;
    let cells = as_f64(u64::try_from(STORES * ITEMS)?);
    let before = merged(&mut hub).await?;
    fleet.stores.iter().for_each(|store| store.mend());
    let (mut started, mut last) = (clock::now(), before);
    while last < before + cells {
        let now = clock::now();
        let merged = merged(&mut hub).await?;
        if (merged - before).abs() < 0.5 {
            started = now;
        }
        last = merged;
        ensure!(
            started.elapsed() < CONVERGE_PATIENCE,
            "the hub merged only {} of {cells} cells",
            last - before
        );
        sleep(Duration::from_millis(1)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    fleet.stop().await?;
    Ok(vec![
        Figure::new("ingest", "durable merges through the real ingest", cells / seconds, "cells/s")
            .target(Target::AtLeast(50_000.0))
            .how("4 agents with 30,000 changed cells each, mended at once; from the first cell merged to the last, agents' work included"),
    ])
}

async fn merged(hub: &mut Client) -> Result<f64> {
    Ok(Metrics::read(hub).await?.sum("shopsmart_hub_cells_merged_total", &[]))
}
