//! What the storefront API gives: one item over 200 stores, asked on few connections as fast as it answers.

use super::figure::{Figure, Target, as_f64};
use super::http_load::{self, Loaded};
use crate::clock;
use crate::fleet::hub::Hub;
use crate::fleet::metrics::Metrics;
use crate::fleet::{proc_stat, store_id};
use crate::rng::Rng;
use crate::scenario::generator::sku;
use anyhow::{Context, Result};
use cloud_hub::storage::sqlite::Sqlite;
use cloud_hub::storage::{Changes, Storage, StoreChanges, StoreFacts, StoreKey, StoredCell};
use std::path::Path;
use std::time::Duration;
use sync_protocol::record::ItemRecord;
use sync_protocol::stock::Cell;
use sync_protocol::{Epoch, ItemNo, Quantity};

const STORES: usize = 200;
const ITEMS: usize = 1000;
const TIME: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 4;

pub async fn measure(folder: &Path) -> Result<Vec<Figure>> {
    let mut hub = Hub::prepare(folder, "").await?;
    stock(&folder.join("hub/data/hub.db")).context("filling the hub's database")?;
    hub.start().await?;
    let near = asked(&hub, "near=39.5,-85.5&detail=band").await?;
    let all = asked(&hub, "limit=200").await?;
    hub.stop().await?;
    let mut figures = Vec::new();
    for (name, asked) in
        [("one item over 200 stores, nearest 20", near), ("one item, all 200 stores shown", all)]
    {
        figures.extend(asked.figures(name)?);
    }
    // The targets speak of the question a shop asks.
    figures[0] = figures[0].clone().target(Target::AtLeast(20_000.0));
    figures[1] = figures[1].clone().target(Target::AtMost(2.0));
    Ok(figures)
}

struct Asked {
    loaded: Loaded,
    server_cpu: Duration,
    /// What the hub itself counted of its answers, where it does.
    server_p99_ms: Option<f64>,
}

impl Asked {
    fn figures(self, name: &str) -> Result<Vec<Figure>> {
        let said = self.loaded.latencies.percentiles();
        let answers = as_f64(self.loaded.answers);
        let how = format!(
            "{CONNECTIONS} connections on loopback, the asking side on the same processors; {:.0} bytes an answer",
            as_f64(self.loaded.bytes) / answers
        );
        let p99 = self.server_p99_ms.unwrap_or(said.p99);
        let p99_how = match self.server_p99_ms {
            Some(_) => format!("by the hub's own histogram; {:.2} ms as the asking side saw it", said.p99),
            None => "as the asking side saw it".to_owned(),
        };
        let per_answer = self.server_cpu.as_secs_f64() / answers * 1e6;
        Ok(vec![
            Figure::new("query", format!("{name}: answers"), self.loaded.per_second(), "/s").how(how),
            Figure::new("query", format!("{name}: p99"), p99, "ms").how(p99_how),
            Figure::new("query", format!("{name}: hub's processor time"), per_answer, "µs"),
        ])
    }
}

async fn asked(hub: &Hub, more: &str) -> Result<Asked> {
    let address = hub.http()?;
    let requests: Vec<Vec<u8>> = (0..ITEMS)
        .map(|item| {
            let path = format!("/v1/availability?sku={}&{more}", sku(item));
            http_load::request("GET", &path, hub.key(), "", "")
        })
        .collect();
    let mut client = hub.client()?;
    let cpu_before = proc_stat::cpu_time(hub.pid()?)?;
    let before = Metrics::read(&mut client).await?;
    let loaded = tokio::task::spawn_blocking(move || {
        http_load::run(address, CONNECTIONS, TIME, &|connection, number| {
            let place = usize::try_from(number).unwrap_or(0).wrapping_mul(7).wrapping_add(connection * 131);
            requests[place % requests.len()].clone()
        })
    });
    let loaded = loaded.await??;
    let server_cpu = proc_stat::cpu_time(hub.pid()?)?.saturating_sub(cpu_before);
    let after = Metrics::read(&mut client).await?;
    Ok(Asked { loaded, server_cpu, server_p99_ms: p99(&before, &after) })
}

/// From the hub's histogram of answer times, the upper end of the bucket in which 99 % are reached.
fn p99(before: &Metrics, after: &Metrics) -> Option<f64> {
    const BUCKETS: &str = "shopsmart_hub_storefront_request_duration_seconds_bucket";
    let counts = |metrics: &Metrics| -> Vec<(f64, f64)> {
        let of_route =
            metrics.series(BUCKETS).filter(|(labels, _)| labels.contains("route=\"availability\""));
        of_route.filter_map(|(labels, count)| Some((upper_end(labels)?, count))).collect()
    };
    let (before, after) = (counts(before), counts(after));
    let earlier =
        |end: f64| before.iter().filter(|(of, _)| of.total_cmp(&end).is_eq()).map(|(_, n)| n).sum::<f64>();
    let grown: Vec<(f64, f64)> = after.iter().map(|(end, count)| (*end, count - earlier(*end))).collect();
    let all = grown.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    let mut reached: Vec<f64> = grown
        .iter()
        .filter(|(_, count)| all > 0.0 && *count >= 0.99 * all)
        .map(|(end, _)| end * 1000.0)
        .collect();
    reached.sort_by(f64::total_cmp);
    reached.first().copied().filter(|end| end.is_finite())
}

fn upper_end(labels: &str) -> Option<f64> {
    let (_, rest) = labels.split_once("le=\"")?;
    let (end, _) = rest.split_once('"')?;
    if end == "+Inf" { Some(f64::INFINITY) } else { end.parse().ok() }
}

/// Writes 200 stores with 1,000 items each straight into the hub's storage, as if their agents had been there just now.
fn stock(database: &Path) -> Result<()> {
    let mut storage = Sqlite::open(database)?;
    let mut rng = Rng::seeded(1);
    storage.hub(1)?;
    let mut changes = Changes::default();
    for place in 0..STORES {
        let key = storage.put_store(&store(place, &mut rng)?)?;
        changes.stores.insert(key, stocked_store(key, &mut rng));
    }
    storage.commit(&changes)?;
    Ok(())
}

fn store(place: usize, rng: &mut Rng) -> Result<cloud_hub::availability::StoreInfo> {
    let (lat, lon) = (36.0 + 8.0 * rng.unit(), -92.0 + 12.0 * rng.unit());
    let (id, name) = (store_id(place).parse()?, format!("Store {}", place + 1));
    Ok(cloud_hub::availability::StoreInfo { id, name, lat, lon, timezone: "America/Chicago".into() })
}

fn stocked_store(key: StoreKey, rng: &mut Rng) -> StoreChanges {
    let now = clock::unix_millis();
    let facts =
        StoreFacts { epoch: Epoch(1), last_contact: now, as_of: now, trusted: true, ..StoreFacts::default() };
    let numbered = (0..ITEMS).map(|item| (ItemNo(u32::try_from(item + 1).unwrap_or(u32::MAX)), item));
    let items = numbered.clone().map(|(number, item)| item_record(number, item)).collect();
    let feed_before = u64::try_from(key.0).unwrap_or(0) * 10_000;
    let cells = numbered.map(|(number, _)| (number, stocked_cell(feed_before + u64::from(number.0), rng)));
    StoreChanges { facts: Some(facts), items, cells: cells.collect(), ..StoreChanges::default() }
}

fn item_record(item: ItemNo, number: usize) -> ItemRecord {
    let sku = sku(number);
    let name = format!("Item {sku}");
    ItemRecord { item, sku, gtins: Vec::new(), name, unit: "each".into(), unnamed: false }
}

fn stocked_cell(feed: u64, rng: &mut Rng) -> StoredCell {
    let mut cell = Cell::default();
    cell.store.epoch = Epoch(1);
    let on_hand = rng.between(0, 60) * 1000;
    // Far below the bounds of a cell.
    let _ = cell.store.receive(on_hand);
    cell.settle(Quantity::from_thousandths(i64::try_from(on_hand).unwrap_or(0)));
    StoredCell { cell, feed, ..StoredCell::default() }
}
