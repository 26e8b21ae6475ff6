//! Where each store's sync stands, by what its agent says at `GET /v1/sync`; and the wait until the hub has everything.

use crate::clock;
use crate::fleet::Fleet;
use crate::fleet::store::Store;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const POLL_EVERY: Duration = Duration::from_millis(100);
/// Records still under way when a store counts as following closely.
const RECORDS_UNDER_WAY: u64 = 64;

/// As much of an agent's sync state as is used here.
#[derive(Debug, Clone, Deserialize)]
pub struct SyncView {
    pub link: String,
    /// None: no way is in use.
    pub transport: Option<String>,
    #[serde(default)]
    pub switches: u64,
    #[serde(default)]
    pub last_switch_reason: Option<String>,
    pub caught_up: bool,
    pub backlog: Backlog,
    pub marks: Marks,
    #[serde(default)]
    pub last_link_error: Option<Mishap>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Backlog {
    pub records: u64,
    pub movements: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Marks {
    pub history_head: u64,
    pub history_acked: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Mishap {
    pub reason: String,
    pub age_s: u64,
}

impl SyncView {
    pub async fn of(store: &Store) -> Result<Self> {
        let reply = store.client()?.get("/v1/sync").await?;
        reply.success()?.json().with_context(|| format!("asking {} how its sync stands", store.id()))
    }

    #[must_use]
    pub fn is_nearly_caught_up(&self) -> bool {
        self.link == "streaming" && self.backlog.records <= RECORDS_UNDER_WAY
    }

    /// Ledger lines whose effect the hub has for certain.
    #[must_use]
    pub fn visible(&self) -> u64 {
        if self.backlog.records == 0 { self.marks.history_head } else { self.marks.history_acked }
    }

    fn describe(&self) -> String {
        let mut text = format!(
            "link {} ({}), {} records and {} movements to send",
            self.link,
            self.transport.as_deref().unwrap_or("no transport"),
            self.backlog.records,
            self.backlog.movements
        );
        if let Some(mishap) = &self.last_link_error {
            text += &format!("; {} s ago: {}", mishap.age_s, mishap.reason);
        }
        text
    }
}

/// Waits until the hub has everything of every store; an error says which stores are behind, and why.
pub async fn wait(fleet: &Fleet, patience: Duration) -> Result<Duration> {
    let start = clock::now();
    let mut waiting: Vec<&Arc<Store>> = fleet.stores.iter().collect();
    loop {
        check_alive(fleet).await?;
        waiting = still_behind(waiting).await?;
        if waiting.is_empty() {
            return Ok(start.elapsed());
        }
        if start.elapsed() > patience {
            return Err(explain(&waiting, fleet.stores.len(), patience).await);
        }
        sleep(POLL_EVERY).await;
    }
}

async fn still_behind(stores: Vec<&Arc<Store>>) -> Result<Vec<&Arc<Store>>> {
    let mut behind = Vec::new();
    for store in stores {
        if !SyncView::of(store).await?.caught_up {
            behind.push(store);
        }
    }
    Ok(behind)
}

async fn explain(behind: &[&Arc<Store>], of: usize, patience: Duration) -> anyhow::Error {
    const SHOWN: usize = 5;
    let mut text = format!(
        "after {} s the hub still does not have everything of {} of {of} stores:",
        patience.as_secs(),
        behind.len()
    );
    for store in behind.iter().take(SHOWN) {
        let how = SyncView::of(store).await.map_or_else(|error| format!("{error:#}"), |view| view.describe());
        text += &format!("\n  {}: {how} (log: {})", store.id(), store.log().display());
    }
    anyhow::anyhow!(text)
}

/// Fails when a daemon has ended by itself.
pub async fn check_alive(fleet: &Fleet) -> Result<()> {
    if let Some(how) = fleet.hub.ended() {
        bail!(how);
    }
    for store in &fleet.stores {
        if let Some(how) = store.ended().await {
            bail!(how);
        }
    }
    Ok(())
}
