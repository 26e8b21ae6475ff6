//! Runs the measurements that are asked for, one after the other, each in a folder of its own.

use super::figure::{Figure, Target, table};
use super::{chain, endpoint, files, merge, meter, mosquitto, orders, page, query, tills, transports, wire};
use crate::plain::run::{Load, PlainFigures, measure as measure_plain};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::sleep;

/// What both builds are put to.
const LOAD: Load = Load {
    items: 30_000,
    burst_changes: 200_000,
    burst_at_once: 100,
    steady_per_second: 500,
    steady_seconds: 8,
};

/// One group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Item {
    /// Bytes per changed cell inside a frame
    Wire,
    /// Bytes on the wire per till line, all in
    AllIn,
    /// Group commit against one commit per movement
    Commit,
    /// Size and memory of the agent
    Footprint,
    /// Merges in memory
    Merge,
    /// Durable merges through the real ingest
    Ingest,
    /// The storefront's availability query
    Query,
    /// Till's answer until visible at the hub, 500 lines a second
    Lag,
    /// Changes per second in a burst, and what they cost
    Burst,
    /// What a store sends after a long cut
    CatchUp,
    /// Bytes on the wire per till line, QUIC beside MQTT
    TransportBytes,
    /// What a line costs on which nothing happens, QUIC beside MQTT
    Idle,
    /// From UDP cut to the hub heard over MQTT, and back
    Failover,
    /// Till's answer until visible on a line that loses packets, QUIC beside MQTT
    Lossy,
    /// Frames a second and memory of the hub's own MQTT endpoint
    Endpoint,
    /// The same through Mosquitto, set up as the documentation says, beside it
    Broker,
    /// Pickup orders: placed, on the store's list, and many of them open
    Orders,
    /// The store's page: its first screen, search, live orders and memory
    Page,
    /// A POS's files: CSV and POSLog, read and recorded
    Files,
}

impl Item {
    pub const ALL: [Item; 19] = [
        Item::Wire,
        Item::Merge,
        Item::Footprint,
        Item::Commit,
        Item::AllIn,
        Item::Lag,
        Item::Burst,
        Item::CatchUp,
        Item::Ingest,
        Item::Query,
        Item::TransportBytes,
        Item::Idle,
        Item::Failover,
        Item::Lossy,
        Item::Endpoint,
        Item::Broker,
        Item::Orders,
        Item::Page,
        Item::Files,
    ];

    /// Why it can't be measured on this machine.
    async fn obstacle(self) -> Option<&'static str> {
        match self {
            Item::TransportBytes | Item::Idle if !meter::counts_segments().await => {
                Some("there is no `ss` to count TCP segments with (Debian package iproute2)")
            }
            Item::Broker if mosquitto::program().is_none() => Some("there is no mosquitto (Debian package)"),
            _ => None,
        }
    }
}

/// What to measure.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// All when empty.
    pub only: Vec<Item>,
    pub against_plain: bool,
    pub json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Measured<'a> {
    /// Processes that wanted to run, averaged over the last minute, before and after: above the number of processors, the
    /// machine was busy with something else.
    load_before: &'a str,
    load_after: &'a str,
    processors: usize,
    figures: &'a [Figure],
}

/// Measures what is wished for, shows it as it comes, and says whether every target was met.
pub async fn run(program: &Path, wish: &Wish, say: &mut dyn FnMut(&str)) -> Result<bool> {
    let load_before = load_average();
    let items = if wish.only.is_empty() { Item::ALL.to_vec() } else { wish.only.clone() };
    let mut bench = Bench { ours: Ours::default(), figures: Vec::new() };
    say(&format!("load average before: {load_before}"));
    for item in items {
        if let Some(why) = item.obstacle().await {
            say(&format!("skipped `{}`: {why}\n", name(item)));
            continue;
        }
        let new = bench.measure(item).await.with_context(|| format!("measuring `{}`", name(item)))?;
        say(&table(&bench.figures[new..]));
        // What the daemons left in the disk's queue is not the next one's to pay.
        sleep(Duration::from_secs(1)).await;
    }
    if wish.against_plain {
        let new = bench.compare(program).await.context("measuring the hand-made build")?;
        say(&table(&bench.figures[new..]));
    }
    let load_after = load_average();
    if let Some(path) = &wish.json {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let figures = &bench.figures;
        let measured = Measured { load_before: &load_before, load_after: &load_after, processors, figures };
        let text = serde_json::to_string_pretty(&measured).context("writing the figures as JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing `{}`", path.display()))?;
    }
    let missed = bench.figures.iter().filter(|figure| figure.met == Some(false)).count();
    say(&format!("load average after: {load_after}; {missed} of {} targets missed", bench.targets()));
    Ok(missed == 0)
}

/// Our side of the comparison, where it has been measured.
#[derive(Default)]
struct Ours {
    burst: Option<chain::Burst>,
    lag: Option<crate::latency::Percentiles>,
    endpoint: Option<endpoint::Measured>,
}

struct Bench {
    ours: Ours,
    figures: Vec<Figure>,
}

impl Bench {
    fn targets(&self) -> usize {
        self.figures.iter().filter(|figure| figure.target.is_some()).count()
    }

    /// Adds an item's figures and says where they begin.
    async fn measure(&mut self, item: Item) -> Result<usize> {
        let folder = TempDir::with_prefix("shopsmart-bench-").context("creating a temporary folder")?;
        let path = folder.path();
        let new = self.figures.len();
        let figures = match item {
            Item::Wire => wire::measure()?,
            Item::Merge => merge::measure()?,
            Item::AllIn => chain::bytes_per_line(path).await?,
            Item::Commit => tills::group_commit(path).await?,
            Item::Footprint => tills::footprint(path).await?,
            Item::Ingest => chain::ingest(path).await?,
            Item::Query => query::measure(path).await?,
            Item::CatchUp => chain::catch_up(path).await?,
            Item::TransportBytes => transports::bytes_per_line(path).await?,
            Item::Idle => transports::idle(path).await?,
            Item::Failover => transports::failover(path).await?,
            Item::Endpoint => self.measure_endpoint(path).await?,
            Item::Broker => self.measure_broker(path).await?,
            Item::Orders => orders::measure(path).await?,
            Item::Page => page::measure(path).await?,
            Item::Files => files::measure(path).await?,
            Item::Lossy => transports::lossy(path).await?,
            Item::Lag => self.measure_lag(path).await?,
            Item::Burst => self.measure_burst(path).await?,
        };
        self.figures.extend(figures);
        Ok(new)
    }

    async fn measure_lag(&mut self, folder: &Path) -> Result<Vec<Figure>> {
        let lag = chain::lag(folder, LOAD.steady_per_second, LOAD.steady_seconds).await?;
        self.ours.lag = Some(lag);
        let how = format!("{} single-line sales, each timed to its event on GET /v1/changes", lag.samples);
        Ok(vec![
            Figure::new("lag", "till's answer → visible, 500 lines/s: p50", lag.p50, "ms")
                .target(Target::AtMost(2.0))
                .how(how),
            Figure::new("lag", "till's answer → visible, 500 lines/s: p99", lag.p99, "ms")
                .target(Target::AtMost(10.0)),
        ])
    }

    async fn measure_endpoint(&mut self, folder: &Path) -> Result<Vec<Figure>> {
        let own = endpoint::own_endpoint(folder).await?;
        self.ours.endpoint = Some(own);
        Ok(endpoint::own_figures(&own))
    }

    /// Measures the endpoint too, where that has not been done.
    async fn measure_broker(&mut self, folder: &Path) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        if self.ours.endpoint.is_none() {
            figures = self.measure_endpoint(&folder.join("own")).await?;
        }
        let own = self.ours.endpoint.context("the endpoint was measured")?;
        let beside = endpoint::through_mosquitto(&folder.join("beside")).await?;
        figures.extend(endpoint::beside_figures(&own, &beside));
        Ok(figures)
    }

    async fn measure_burst(&mut self, folder: &Path) -> Result<Vec<Figure>> {
        let burst = chain::burst(folder, LOAD.items, LOAD.burst_changes, LOAD.burst_at_once).await?;
        self.ours.burst = Some(burst);
        Ok(vec![
            Figure::new("burst", "burst: changes visible at the hub", burst.visible_per_second, "/s")
                .how("200,000 sale lines over HTTP, 100 a request, 8 requests at once; from the first request until the hub has all stock"),
            Figure::new("burst", "burst: … with the whole history there too", burst.complete_per_second, "/s"),
            Figure::new("burst", "burst: processor time per 100,000, agent and hub", burst.cpu_per_100k(), "s"),
            Figure::new("burst", "burst: … of which the agent, HTTP included", burst.agent_cpu_per_100k, "s"),
            Figure::new("burst", "burst: … of which the hub", burst.hub_cpu_per_100k, "s"),
            Figure::new("burst", "burst: frame bytes per change, state", burst.state_bytes_per_change, "B"),
            Figure::new("burst", "burst: frame bytes per change, history too", burst.frame_bytes_per_change, "B"),
            Figure::new("burst", "burst: bytes on the wire per change", burst.wire_bytes_per_change, "B"),
        ])
    }

    /// Measures the hand-made build, and ours where that has not been done, and puts them side by side.
    async fn compare(&mut self, program: &Path) -> Result<usize> {
        if self.ours.burst.is_none() {
            self.measure(Item::Burst).await?;
        }
        if self.ours.lag.is_none() {
            self.measure(Item::Lag).await?;
        }
        let (Some(burst), Some(lag)) = (self.ours.burst, self.ours.lag) else {
            bail!("ours was not measured")
        };
        let new = self.figures.len();
        let folder = TempDir::with_prefix("shopsmart-plain-").context("creating a temporary folder")?;
        let plain = measure_plain(program, folder.path(), LOAD).await?;
        self.figures.extend(plain_figures(&plain));
        self.figures.extend(ratios(&plain, burst, lag));
        Ok(new)
    }
}

fn plain_figures(plain: &PlainFigures) -> Vec<Figure> {
    let how =
        "SQLite outbox → JSON over Mosquitto at QoS 1 → PostgreSQL upsert; 100 changes a commit, no HTTP";
    vec![
        Figure::new("plain", "hand-made: changes in a burst", plain.changes_per_second, "/s").how(how),
        Figure::new("plain", "hand-made: processor time per 100,000", plain.cpu_seconds_per_100k, "s")
            .how("store, broker, consumer and PostgreSQL with all its processes"),
        Figure::new("plain", "hand-made: payload per change", plain.payload_bytes_per_change, "B"),
        Figure::new("plain", "hand-made: bytes on the wire per change", plain.wire_bytes_per_change, "B")
            .how("store and broker, TCP payload in both directions, 40 bytes for each read, write and full segment"),
        Figure::new("plain", "hand-made: commit → readable, 500/s: p50", plain.lag_ms.p50, "ms"),
        Figure::new("plain", "hand-made: commit → readable, 500/s: p99", plain.lag_ms.p99, "ms"),
    ]
}

fn ratios(plain: &PlainFigures, ours: chain::Burst, lag: crate::latency::Percentiles) -> Vec<Figure> {
    let figure =
        |what: &str, value: f64, unit, target| Figure::new("against-plain", what, value, unit).target(target);
    vec![
        figure(
            "ours / hand-made: changes per second",
            ours.visible_per_second / plain.changes_per_second,
            "×",
            Target::AtLeast(3.0),
        ),
        figure(
            "ours / hand-made: processor time",
            ours.cpu_per_100k() / plain.cpu_seconds_per_100k,
            "×",
            Target::AtMost(1.0 / 3.0),
        )
        .how("ours with HTTP from the tills, the ledger at both ends and TLS"),
        figure(
            "ours / hand-made: payload",
            ours.frame_bytes_per_change / plain.payload_bytes_per_change,
            "×",
            Target::AtMost(0.125),
        )
        .how("ours with the whole history"),
        figure(
            "ours / hand-made: bytes on the wire",
            ours.wire_bytes_per_change / plain.wire_bytes_per_change,
            "×",
            Target::AtMost(0.125),
        )
        .how("ours with the whole history, encrypted"),
        Figure::new("against-plain", "ours / hand-made: lag p50", lag.p50 / plain.lag_ms.p50, "×"),
        Figure::new("against-plain", "ours / hand-made: lag p99", lag.p99 / plain.lag_ms.p99, "×"),
    ]
}

fn name(item: Item) -> String {
    item.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_has_a_name_to_ask_for_it() {
        let names: Vec<String> = Item::ALL.into_iter().map(name).collect();
        assert_eq!(
            names,
            [
                "wire",
                "merge",
                "footprint",
                "commit",
                "all-in",
                "lag",
                "burst",
                "catch-up",
                "ingest",
                "query",
                "transport-bytes",
                "idle",
                "failover",
                "lossy",
                "endpoint",
                "broker",
                "orders",
                "page",
                "files"
            ]
        );
    }
}
