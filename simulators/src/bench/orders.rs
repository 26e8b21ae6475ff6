//! Pickup orders over the hub's API: how long a promise takes and how many there are in a second, how soon the store has an
//! order on its list, and what a hundred thousand open ones cost.

use super::figure::{Figure, Target, as_f64};
use super::{http_load, stocked};
use crate::clock;
use crate::fleet::store::Store;
use crate::fleet::{Fleet, proc_stat};
use crate::http::Client;
use crate::latency::{Latencies, Percentiles};
use crate::scenario::generator::sku;
use anyhow::{Result, ensure};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

const STORES: usize = 4;
const ITEMS: usize = 5000;
const SHOPPERS: u64 = 16;
const PER_SECOND: u64 = 200;
const SECONDS: u64 = 8;
/// Every so manieth order is looked for at its store.
const SAMPLED: u64 = 8;
const BURST_CONNECTIONS: usize = 64;
const BURST: Duration = Duration::from_secs(5);
const OPEN: u64 = 100_000;
const LISTS: usize = 50;

#[derive(Deserialize)]
struct Placed {
    order: String,
}

pub async fn measure(folder: &Path) -> Result<Vec<Figure>> {
    let fleet = stocked::fleet(folder, STORES, ITEMS, false).await?;
    let hub = fleet.hub.http()?;
    let (place, listed) = paced(&fleet).await?;
    let mut figures = vec![
        Figure::new("orders", "place an order, 200/s: p50", place.p50, "ms")
            .how("two lines each, 16 shoppers, 4 stores; until the answer that the promise is on disk"),
        Figure::new("orders", "place an order, 200/s: p99", place.p99, "ms").target(Target::AtMost(30.0)),
        Figure::new("orders", "placed → on the store's list: p50", listed.p50, "ms")
            .target(Target::AtMost(50.0))
            .how(format!("{} orders, from the hub's answer until the agent shows it", listed.samples)),
        Figure::new("orders", "placed → on the store's list: p99", listed.p99, "ms")
            .target(Target::AtMost(300.0)),
    ];
    let before = proc_stat::rss_bytes(fleet.hub.pid()?)?;
    let placed = Arc::new(AtomicU64::new(PER_SECOND * SECONDS));
    let burst = burst(&fleet, hub, BURST, &placed).await?;
    figures.push(
        Figure::new("orders", "orders placed as fast as they are answered", burst.per_second(), "/s")
            .target(Target::AtLeast(1000.0))
            .how("64 connections, two lines each, every promise on disk before its answer"),
    );
    while placed.load(Relaxed) < OPEN {
        self::burst(&fleet, hub, Duration::from_secs(1), &placed).await?;
    }
    figures.extend(open_orders(&fleet, before, placed.load(Relaxed)).await?);
    fleet.stop().await?;
    Ok(figures)
}

fn body(number: u64) -> String {
    let store = crate::fleet::store_id(usize::try_from(number).unwrap_or(0) % STORES);
    let items =
        [number, number.wrapping_mul(7919) + 1].map(|item| usize::try_from(item).unwrap_or(0) % ITEMS);
    let lines: Vec<String> =
        items.iter().map(|item| format!("{{\"sku\":\"{}\",\"quantity\":1}}", sku(*item))).collect();
    format!(
        "{{\"customer\":{{\"name\":\"Asha Kulkarni\",\"phone\":\"+91 98200 12345\"}},\"lines\":[{}],\"pickup\":{{\"store\":\"{store}\"}}}}",
        lines.join(",")
    )
}

/// Shoppers who order at a steady pace; and, for some of the orders, when their store has them.
async fn paced(fleet: &Fleet) -> Result<(Percentiles, Percentiles)> {
    let mut shoppers = JoinSet::new();
    for shopper in 0..SHOPPERS {
        shoppers.spawn(shop(fleet.hub.client()?, fleet.stores.clone(), shopper));
    }
    let (mut place, mut listed) = (Latencies::default(), Latencies::default());
    while let Some(shopper) = shoppers.join_next().await {
        let (placed, seen) = shopper??;
        place.append(placed);
        listed.append(seen);
    }
    Ok((place.percentiles(), listed.percentiles()))
}

async fn shop(mut hub: Client, stores: Vec<Arc<Store>>, shopper: u64) -> Result<(Latencies, Latencies)> {
    let (mut place, mut lookers) = (Latencies::default(), JoinSet::new());
    sleep(Duration::from_nanos(1_000_000_000 * shopper / PER_SECOND)).await;
    let mut ticks = interval(Duration::from_nanos(1_000_000_000 * SHOPPERS / PER_SECOND));
    for number in (shopper..PER_SECOND * SECONDS).step_by(usize::try_from(SHOPPERS)?) {
        ticks.tick().await;
        let start = clock::now();
        let reply =
            hub.post_keyed("/v1/orders", &format!("paced-{number}"), body(number)).await?.success()?;
        let answered = clock::now();
        place.add(answered.duration_since(start));
        if (number / SHOPPERS).is_multiple_of(SAMPLED) {
            let Placed { order } = reply.json()?;
            let client = stores[usize::try_from(number)? % STORES].client()?;
            lookers.spawn(look_for(client, order, answered));
        }
    }
    let mut seen = Latencies::default();
    while let Some(looker) = lookers.join_next().await {
        seen.add(looker??);
    }
    Ok((place, seen))
}

/// Asks the agent again and again, since it says nothing by itself.
async fn look_for(mut agent: Client, order: String, placed: Instant) -> Result<Duration> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let path = format!("/v1/orders/{order}");
    loop {
        if agent.get(&path).await?.status.is_success() {
            return Ok(placed.elapsed());
        }
        ensure!(placed.elapsed() < PATIENCE, "order {order} never reached its store");
        sleep(Duration::from_millis(2)).await;
    }
}

async fn burst(
    fleet: &Fleet,
    hub: SocketAddr,
    time: Duration,
    placed: &Arc<AtomicU64>,
) -> Result<http_load::Loaded> {
    let (token, placed) = (fleet.hub.key().to_owned(), Arc::clone(placed));
    let load = move || {
        http_load::run(hub, BURST_CONNECTIONS, time, &|_, _| {
            let number = placed.fetch_add(1, Relaxed);
            let body = body(number);
            format!(
                "POST /v1/orders HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nidempotency-key: burst-{number}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
    };
    tokio::task::spawn_blocking(load).await?
}

/// What they cost, and how long lists of them take.
async fn open_orders(fleet: &Fleet, before: u64, open: u64) -> Result<Vec<Figure>> {
    let after = proc_stat::rss_bytes(fleet.hub.pid()?)?;
    let per_order = as_f64(after.saturating_sub(before)) / as_f64(open) / 1024.0;
    let how = format!("{open} open orders of two lines each at {STORES} stores");
    let mut figures =
        vec![Figure::new("orders", "hub's memory for an open order", per_order, "KiB").how(how)];
    let (mut hub, mut agent) = (fleet.hub.client()?, fleet.stores[0].client()?);
    for (name, path) in [
        ("a page of 100 orders at the hub", "/v1/orders?limit=100"),
        ("… of one store", "/v1/orders?limit=100&store=S0001"),
        ("… of a status that none has", "/v1/orders?limit=100&status=ready"),
    ] {
        let list = timed(&mut hub, path).await?;
        figures.push(Figure::new("orders", format!("{name}: p50"), list.p50, "ms"));
    }
    let list = timed(&mut agent, "/v1/orders").await?;
    figures.push(Figure::new("orders", "the list at a store with a quarter of them: p50", list.p50, "ms"));
    Ok(figures)
}

async fn timed(client: &mut Client, path: &str) -> Result<Percentiles> {
    let mut times = Latencies::default();
    for _ in 0..LISTS {
        let start = clock::now();
        client.get(path).await?.success()?;
        times.add(start.elapsed());
    }
    Ok(times.percentiles())
}
