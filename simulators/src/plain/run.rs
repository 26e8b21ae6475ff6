//! Runs the hand-made build once and measures it: a burst, then a steady stream.

use super::marks;
use super::servers::{Broker, Database};
use super::store::{Done, Order};
use crate::clock;
use crate::fleet::daemon::Daemon;
use crate::fleet::proc_stat;
use crate::latency::{Latencies, Percentiles};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::sleep;

const POLL_EVERY: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(180);

/// What is asked of either build.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub items: usize,
    pub burst_changes: u64,
    pub burst_at_once: u64,
    pub steady_per_second: u64,
    pub steady_seconds: u64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct PlainFigures {
    pub changes_per_second: f64,
    pub cpu_seconds_per_100k: f64,
    pub payload_bytes_per_change: f64,
    pub wire_bytes_per_change: f64,
    pub lag_ms: Percentiles,
}

/// Starts everything, measures, stops everything. `program` is the one whose hidden commands are store and consumer.
pub async fn measure(program: &Path, folder: &Path, load: Load) -> Result<PlainFigures> {
    let database = Database::start(folder).await?;
    let broker = Broker::start(folder).await?;
    let mut build = Build::start(program, folder, &broker, &database, load.items).await?;
    let figures = build.measure(load).await;
    build.stop().await?;
    broker.daemon.stop().await?;
    database.stop().await?;
    figures
}

struct Build {
    store: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    consumer: Daemon,
    /// The roots of all processes whose processor time counts.
    roots: Vec<u32>,
    committed: PathBuf,
    seen: PathBuf,
}

impl Build {
    async fn start(
        program: &Path,
        folder: &Path,
        broker: &Broker,
        database: &Database,
        items: usize,
    ) -> Result<Self> {
        let (seen, address) = (folder.join("seen"), broker.address.to_string());
        let (seen_path, database_path) = (seen.to_string_lossy(), database.folder.to_string_lossy());
        let arguments =
            ["plain-consumer", "--broker", &address, "--database", &database_path, "--marks", &seen_path];
        let consumer = Daemon::spawn("the consumer", program, &arguments, &folder.join("consumer.log"))?;
        wait_for(&seen, 0).await?;
        let mut store = Command::new(program)
            .arg("plain-store")
            .args(["--broker", &address, "--items", &items.to_string()])
            .arg("--folder")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the store")?;
        let orders = store.stdin.take().context("the store's input was asked for")?;
        let answers = store.stdout.take().context("the store's output was asked for")?;
        let store_pid = store.id().context("the store runs")?;
        let roots = vec![store_pid, consumer.pid(), broker.daemon.pid(), database.daemon.pid()];
        let committed = folder.join("committed");
        let answers = BufReader::new(answers).lines();
        Ok(Self { store, orders, answers, consumer, roots, committed, seen })
    }

    async fn measure(&mut self, load: Load) -> Result<PlainFigures> {
        let burst = Order { changes: load.burst_changes, at_once: load.burst_at_once, per_second: 0 };
        let cpu_before = self.cpu_time()?;
        let done = self.carry_out(burst).await?;
        let finished = wait_for(&self.seen, done.last_seq).await?;
        let cpu = self.cpu_time()? - cpu_before;
        let changes = as_f64(load.burst_changes);
        let seconds =
            Duration::from_micros(finished.micros.saturating_sub(done.first_commit_micros)).as_secs_f64();
        Ok(PlainFigures {
            changes_per_second: changes / seconds,
            cpu_seconds_per_100k: cpu.as_secs_f64() / changes * 100_000.0,
            payload_bytes_per_change: as_f64(done.payload_bytes) / changes,
            wire_bytes_per_change: as_f64(done.wire_bytes) / changes,
            lag_ms: self.measure_lag(load, done.last_seq).await?,
        })
    }

    async fn measure_lag(&mut self, load: Load, after: u64) -> Result<Percentiles> {
        let changes = load.steady_per_second * load.steady_seconds;
        let steady = Order { changes, at_once: 1, per_second: load.steady_per_second };
        let done = self.carry_out(steady).await?;
        wait_for(&self.seen, done.last_seq).await?;
        let (committed, seen) = (marks::read(&self.committed), marks::read(&self.seen));
        let mut latencies = Latencies::default();
        marks::delays(&committed, &seen, after).into_iter().for_each(|delay| latencies.add(delay));
        Ok(latencies.percentiles())
    }

    async fn carry_out(&mut self, order: Order) -> Result<Done> {
        let mut line = serde_json::to_vec(&order)?;
        line.push(b'\n');
        self.orders.write_all(&line).await.context("telling the store what to do")?;
        let answer = self.answers.next_line().await.context("listening to the store")?;
        let answer = answer.context("the store ended; what it said is above")?;
        serde_json::from_str(&answer).with_context(|| format!("understanding the store's answer `{answer}`"))
    }

    fn cpu_time(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for root in &self.roots {
            for pid in proc_stat::with_descendants(*root)? {
                // One that ended just now is counted by its parent.
                sum += proc_stat::cpu_time(pid).unwrap_or_default();
            }
        }
        Ok(sum)
    }

    async fn stop(mut self) -> Result<()> {
        drop(self.orders);
        self.store.wait().await.context("waiting for the store's end")?;
        self.consumer.stop().await
    }
}

async fn wait_for(seen: &Path, seq: u64) -> Result<marks::Mark> {
    let start = clock::now();
    loop {
        if let Some(mark) = marks::read(seen).into_iter().find(|mark| mark.seq >= seq) {
            return Ok(mark);
        }
        if start.elapsed() > PATIENCE {
            bail!("the consumer has not seen change {seq} within {} s", PATIENCE.as_secs());
        }
        sleep(POLL_EVERY).await;
    }
}

fn as_f64(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
    let number = number as f64;
    number
}
