//! A fleet with its shelves full: items named, one delivery of each, and the hub has it all.

use crate::demo::convergence;
use crate::demo::opening::check_lines;
use crate::fleet::store::Store;
use crate::fleet::{Fleet, FleetPlan};
use crate::pos::document;
use crate::rng::Rng;
use crate::scenario::generator::sku;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::{Quantity, Sku, UnixMillis};
use tokio::time::sleep;

pub const NDJSON: &str = "application/x-ndjson";
/// Saturday 2026-10-31, 16:00 UTC.
pub const OPENED: UnixMillis = UnixMillis(1_793_462_400_000);
const CONVERGE_PATIENCE: Duration = Duration::from_secs(180);
const LINES_PER_DOCUMENT: usize = 500;
const ITEMS_PER_REQUEST: usize = 10_000;

/// Starts a hub and stores, and fills the shelves of each with `items` items.
pub async fn fleet(folder: &Path, stores: usize, items: usize, linked: bool) -> Result<Fleet> {
    let linked = if linked { (0..stores).collect() } else { Vec::new() };
    planned(folder, FleetPlan { linked, ..FleetPlan::of_stores(stores) }, items).await
}

/// The same with a plan of its own.
pub async fn planned(folder: &Path, plan: FleetPlan, items: usize) -> Result<Fleet> {
    let fleet = Fleet::start(folder, plan, &mut |_| ()).await?;
    for store in &fleet.stores {
        fill(store, items).await?;
    }
    convergence::wait(&fleet, CONVERGE_PATIENCE).await.context("the opening stock")?;
    Ok(fleet)
}

/// Names the items and delivers some of each: 100 to 2,000, no two stores alike.
pub async fn fill(store: &Store, items: usize) -> Result<()> {
    let mut client = store.client()?;
    let skus: Vec<Sku> = (0..items).map(sku).collect();
    for skus in skus.chunks(ITEMS_PER_REQUEST) {
        let named: Vec<String> =
            skus.iter().map(|sku| document::item(sku, &format!("Item {sku}"), "each")).collect();
        let reply = client.put("/v1/items", NDJSON, named.join("\n")).await?.success()?;
        check_lines(&reply.text()).context("naming the items")?;
    }
    let mut rng = Rng::seeded(u64::try_from(store.place())?);
    let deliveries = skus.into_iter().map(|sku| (sku, units(rng.between(100, 2000))));
    move_all(store, &deliveries.collect::<Vec<_>>(), "receipt", "opening").await
}

/// Whole units.
#[must_use]
pub fn units(number: u64) -> Quantity {
    Quantity::from_units(i64::try_from(number).unwrap_or(1))
}

/// Posts these lines in documents of 500.
pub async fn move_all(store: &Store, lines: &[(Sku, Quantity)], kind: &str, reference: &str) -> Result<()> {
    let mut client = store.client()?;
    for (number, lines) in lines.chunks(20 * LINES_PER_DOCUMENT).enumerate() {
        let documents = lines.chunks(LINES_PER_DOCUMENT).enumerate().map(|(part, lines)| {
            let lines = lines.iter().map(|(sku, quantity)| (sku, *quantity));
            document::movement("back-office", &format!("{reference}/{number}/{part}"), kind, OPENED, lines)
        });
        let body = documents.collect::<Vec<_>>().join("\n");
        let reply = client.post("/v1/movements:batch", NDJSON, body).await?.success()?;
        check_lines(&reply.text()).with_context(|| format!("posting {reference}"))?;
    }
    Ok(())
}

/// Cuts the lines of all stores and waits until their agents have given the links up, so that nothing more is sent.
pub async fn cut_all(stores: &[Arc<Store>]) -> Result<()> {
    const PATIENCE_POLLS: u32 = 1200;
    stores.iter().for_each(|store| store.cut());
    for store in stores {
        let mut polls = 0;
        while convergence::SyncView::of(store).await?.link == "streaming" {
            polls += 1;
            if polls > PATIENCE_POLLS {
                bail!("{} still believes in its link two minutes after it was cut", store.id());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
