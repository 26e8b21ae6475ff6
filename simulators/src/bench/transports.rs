//! Both transports side by side: bytes, the idle line, the way out when UDP is cut, and a line that loses packets.

use super::chain::{self, LAG_ITEMS, sell_one_by_one};
use super::figure::{Figure, Target, as_f64};
use super::meter::{Reading, Used};
use super::stocked;
use crate::clock;
use crate::demo::convergence::{self, SyncView};
use crate::fleet::link::profile::{LinkProfile, Loss};
use crate::fleet::store::{Store, Transport};
use crate::fleet::{Fleet, FleetPlan};
use crate::latency::Latencies;
use crate::pos::document;
use crate::scenario::generator::{Trade, sku};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use sync_protocol::Quantity;
use tokio::sync::watch;
use tokio::time::{interval, sleep};

const CONVERGE_PATIENCE: Duration = Duration::from_secs(180);
const HOW_COUNTED: &str = "IP packets in both directions: 28 bytes around each datagram, 40 around each segment, pure acknowledgements \
    included (Linux puts another 12 bytes of time stamps into each segment)";

/// One store over QUIC and one over MQTT, on lines of the same kind.
async fn both(folder: &Path, profile: LinkProfile, items: usize) -> Result<Fleet> {
    let plan = FleetPlan {
        linked: vec![0, 1],
        profile,
        transports: vec![Transport::Quic, Transport::Mqtt],
        ..FleetPlan::of_stores(2)
    };
    stocked::planned(folder, plan, items).await
}

/// Bytes on the wire per till line, over both.
pub async fn bytes_per_line(folder: &Path) -> Result<Vec<Figure>> {
    const BASKETS: usize = 1500;
    const LINES: usize = 9;
    let trade = Trade { stores: 1, items: 5000, ..Trade::default() };
    let fleet = both(folder, LinkProfile::PERFECT, trade.items).await?;
    let before = readings(&fleet).await?;
    let sell = |place: usize| sell_one_by_one(&fleet.stores[place], trade.clone(), BASKETS, LINES);
    let [quic, mqtt] = [0, 1].map(sell);
    tokio::try_join!(quic, mqtt)?;
    convergence::wait(&fleet, CONVERGE_PATIENCE).await?;
    let [quic, mqtt] = used_since(&fleet, before).await?;
    fleet.stop().await?;
    let (baskets, lines) = (as_f64(u64::try_from(BASKETS)?), as_f64(u64::try_from(BASKETS * LINES)?));
    let figure = |what: &str, value, unit| Figure::new("transport-bytes", what, value, unit);
    Ok(vec![
        figure("bytes on the wire per till line: QUIC", quic.bytes / lines, "B").how(HOW_COUNTED),
        figure("bytes on the wire per till line: MQTT", mqtt.bytes / lines, "B")
            .how("the same 1,500 baskets of 9 lines at the same time in another store"),
        figure("… MQTT / QUIC", mqtt.bytes / quic.bytes, "×").target(Target::AtMost(2.0)),
        figure("… packets per basket: QUIC", quic.packets / baskets, ""),
        figure("… packets per basket: MQTT", mqtt.packets / baskets, ""),
    ])
}

/// What a line costs on which nothing happens.
pub async fn idle(folder: &Path) -> Result<Vec<Figure>> {
    const ITEMS: usize = 100;
    /// Six heartbeats, and whole periods of every keep-alive.
    const WINDOW: Duration = Duration::from_secs(120);
    const SETTLED_AFTER: Duration = Duration::from_secs(10);
    let fleet = both(folder, LinkProfile::PERFECT, ITEMS).await?;
    sleep(SETTLED_AFTER).await;
    let before = readings(&fleet).await?;
    sleep(WINDOW).await;
    let [quic, mqtt] = used_since(&fleet, before).await?;
    fleet.stop().await?;
    let figure = |what: &str, value, unit| Figure::new("idle", what, value, unit);
    Ok(vec![
        figure("idle line: QUIC", quic.bytes / quic.seconds, "B/s")
            .target(Target::AtMost(15.0))
            .how(HOW_COUNTED),
        figure("idle line: MQTT", mqtt.bytes / mqtt.seconds, "B/s")
            .target(Target::AtMost(25.0))
            .how("two minutes, both at the same time, keep-alives included"),
        figure("… packets a minute: QUIC", 60.0 * quic.packets / quic.seconds, ""),
        figure("… packets a minute: MQTT", 60.0 * mqtt.packets / mqtt.seconds, ""),
    ])
}

async fn readings(fleet: &Fleet) -> Result<[Reading; 2]> {
    Ok([Reading::of(&fleet.stores[0]).await?, Reading::of(&fleet.stores[1]).await?])
}

async fn used_since(fleet: &Fleet, [quic, mqtt]: [Reading; 2]) -> Result<[Used; 2]> {
    let [quic_now, mqtt_now] = readings(fleet).await?;
    Ok([quic_now.since(quic)?, mqtt_now.since(mqtt)?])
}

/// Till's answer → visible at the hub, over both, on a line that loses 1 % and takes 40 ms there and back.
pub async fn lossy(folder: &Path) -> Result<Vec<Figure>> {
    const PER_SECOND: u64 = 50;
    const SECONDS: u64 = 60;
    let profile =
        LinkProfile { one_way: Duration::from_millis(20), loss: Loss::even(0.01), ..LinkProfile::PERFECT };
    let fleet = both(folder, profile, LAG_ITEMS).await?;
    let lags = chain::lag_of_each(&fleet, PER_SECOND, SECONDS).await?;
    fleet.stop().await?;
    let [quic, mqtt] = lags[..] else { anyhow::bail!("two stores give two figures") };
    let how = format!(
        "{} single-line sales in each of two stores, 50 a second; TCP's losses are modelled",
        quic.samples
    );
    let figure = |what: &str, value| Figure::new("lossy", what, value, "ms");
    Ok(vec![
        figure("1 % loss, 40 ms: till's answer → visible, p50: QUIC", quic.p50).how(how),
        figure("1 % loss, 40 ms: till's answer → visible, p50: MQTT", mqtt.p50),
        figure("1 % loss, 40 ms: till's answer → visible, p99: QUIC", quic.p99).target(Target::AtMost(250.0)),
        figure("1 % loss, 40 ms: till's answer → visible, p99: MQTT", mqtt.p99).target(Target::AtMost(600.0)),
        figure("1 % loss, 40 ms: … longest: QUIC", quic.max),
        figure("1 % loss, 40 ms: … longest: MQTT", mqtt.max),
    ])
}

/// UDP is cut and comes back while a till sells.
pub async fn failover(folder: &Path) -> Result<Vec<Figure>> {
    const ITEMS: usize = 1000;
    /// Long enough for the pauses between probes to have grown.
    const UDP_AWAY: Duration = Duration::from_secs(75);
    const QUIET: Duration = Duration::from_secs(15);
    let plan = FleetPlan { linked: vec![0], transports: vec![Transport::Auto], ..FleetPlan::of_stores(1) };
    let fleet = stocked::planned(folder, plan, ITEMS).await?;
    let store = Arc::clone(&fleet.stores[0]);
    let link = store.link().context("this store's line is simulated")?;
    let (phase, during) = watch::channel(Phase::Before);
    let till = tokio::spawn(sell_steadily(Arc::clone(&store), ITEMS, during));
    sleep(QUIET).await;

    phase.send_replace(Phase::Without);
    let cut_at = clock::now();
    link.cut_udp();
    let out_after = speaks(&store, "mqtt").await?.duration_since(cut_at);
    phase.send_replace(Phase::Elsewhere);
    sleep(UDP_AWAY.saturating_sub(cut_at.elapsed())).await;
    let mended_at = clock::now();
    link.mend_udp();
    let back_after = speaks(&store, "quic").await?.duration_since(mended_at);
    sleep(QUIET).await;

    phase.send_replace(Phase::Closing);
    let sold = till.await??;
    convergence::wait(&fleet, CONVERGE_PATIENCE).await?;
    fleet.stop().await?;
    Ok(failover_figures(&sold, out_after, back_after))
}

fn failover_figures(sold: &Sold, out_after: Duration, back_after: Duration) -> Vec<Figure> {
    let [before, without, elsewhere] =
        [&sold.before, &sold.without, &sold.elsewhere].map(Latencies::percentiles);
    let slowed = as_f64(sold.slower_than(2.0 * before.max));
    let figure = |what: &str, value, unit| Figure::new("failover", what, value, unit);
    vec![
        figure("UDP cut: until the hub is heard over MQTT", out_after.as_secs_f64(), "s")
            .target(Target::AtMost(6.0))
            .how("from the cut until GET /v1/sync says mqtt, asked every 10 ms; tills sell all the while"),
        figure("UDP back: until the hub is heard over QUIC", back_after.as_secs_f64(), "s")
            .target(Target::AtMost(60.0))
            .how("UDP was away for 75 s"),
        figure("till requests refused, from before the cut to after the return", as_f64(sold.refused), "")
            .target(Target::AtMost(0.0)),
        figure("till requests that took over twice the slowest before the cut", slowed, "")
            .target(Target::AtMost(0.0))
            .how(format!(
                "the slowest of {} before the cut took {:.1} ms; at least 50 ms count as slow",
                before.samples, before.max
            )),
        figure("… till's answer, p99: before the cut", before.p99, "ms"),
        figure("… till's answer, p99: without a link", without.p99, "ms")
            .how(format!("{} requests, slowest {:.1} ms", without.samples, without.max)),
        figure("… till's answer, p99: over MQTT and after the return", elsewhere.p99, "ms")
            .how(format!("{} requests, slowest {:.1} ms", elsewhere.samples, elsewhere.max)),
    ]
}

/// What a till was going through when it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Before,
    Without,
    Elsewhere,
    Closing,
}

/// What a till came to: answers by phase, and refusals.
#[derive(Debug, Default)]
struct Sold {
    before: Latencies,
    without: Latencies,
    elsewhere: Latencies,
    refused: u64,
    /// The time each took after the cut.
    after_cut: Vec<Duration>,
}

impl Sold {
    fn note(&mut self, phase: Phase, took: Duration) {
        match phase {
            Phase::Before => return self.before.add(took),
            Phase::Without => self.without.add(took),
            Phase::Elsewhere | Phase::Closing => self.elsewhere.add(took),
        }
        self.after_cut.push(took);
    }

    /// Requests after the cut that took longer than this many milliseconds, and than people notice.
    fn slower_than(&self, millis: f64) -> u64 {
        const NOTICED: f64 = 50.0;
        let bound = Duration::from_secs_f64(millis.max(NOTICED) / 1000.0);
        self.after_cut.iter().map(|took| u64::from(*took > bound)).sum()
    }
}

/// Sells one piece fifty times a second until the phase is closing.
async fn sell_steadily(store: Arc<Store>, items: usize, phase: watch::Receiver<Phase>) -> Result<Sold> {
    let mut client = store.client()?;
    let (mut sold, mut ticks) = (Sold::default(), interval(Duration::from_millis(20)));
    for number in 0_usize.. {
        ticks.tick().await;
        let during = *phase.borrow();
        if during == Phase::Closing {
            break;
        }
        let sku = sku(number % items);
        let line = std::iter::once((&sku, Quantity::from_units(1)));
        let sale = document::movement("till-1", &number.to_string(), "sale", clock::unix_millis(), line);
        let asked = clock::now();
        let reply = client.post("/v1/movements", "application/json", sale).await;
        match reply.and_then(crate::http::Reply::success) {
            Ok(_) => sold.note(during, asked.elapsed()),
            Err(_) => sold.refused += 1,
        }
    }
    Ok(sold)
}

/// Waits until the hub is heard over this transport.
async fn speaks(store: &Store, transport: &str) -> Result<Instant> {
    const PATIENCE: Duration = Duration::from_secs(300);
    let start = clock::now();
    loop {
        let sync = SyncView::of(store).await?;
        if sync.link == "streaming" && sync.transport.as_deref() == Some(transport) {
            return Ok(clock::now());
        }
        ensure!(start.elapsed() < PATIENCE, "the agent does not come to speak {transport}: {sync:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_is_counted_after_the_cut_only() {
        let mut sold = Sold::default();
        sold.note(Phase::Before, Duration::from_secs(1));
        sold.note(Phase::Without, Duration::from_millis(49));
        sold.note(Phase::Without, Duration::from_millis(51));
        sold.note(Phase::Elsewhere, Duration::from_millis(300));
        assert_eq!([sold.slower_than(1.0), sold.slower_than(100.0), sold.slower_than(2000.0)], [2, 1, 0]);
        assert_eq!([&sold.before, &sold.without, &sold.elsewhere].map(Latencies::len), [1, 2, 1]);
    }
}
