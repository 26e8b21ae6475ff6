//! How long a sale takes from the till's answer until the web shop can see it.
//!
//! Every store has a probe: a till that sells one piece of an item of its own, one sale at a time. The clock starts when the agent has
//! answered and stops when that item's change arrives on the hub's change feed (`GET /v1/changes`, as server-sent events). One
//! sale at a time, so the change can only be its own. While a line is cut or an agent is down, and until the store has caught
//! up again, its probe rests; a sale that was caught by a cut or a kill is set aside.

use super::convergence::SyncView;
use crate::clock;
use crate::fleet::store::Store;
use crate::http::Client;
use crate::latency::{Latencies, Percentiles};
use crate::pos::document;
use crate::pos::till::{Port, Refused};
use crate::pos::witness::Witness;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use sync_protocol::{Quantity, Sku};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Probe sales a second over all stores together.
const PER_SECOND: u32 = 40;
const EVERY_MIN: Duration = Duration::from_millis(100);
/// A change that takes longer counts as this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The item only probes sell.
#[must_use]
pub fn sku() -> Sku {
    "lag-probe".parse().expect("letters and a hyphen")
}

/// What the probes have found so far.
#[derive(Debug, Default)]
pub struct Lag {
    latencies: Mutex<Latencies>,
    pub set_aside: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<Instant>>>,
}

impl Lag {
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).percentiles()
    }

    fn expect(&self, store: &str) -> oneshot::Receiver<Instant> {
        let (arrived, arrival) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(store.to_owned(), arrived);
        arrival
    }

    fn arrived(&self, store: &str, at: Instant) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(store);
        if let Some(waiting) = waiting {
            // A probe that has stopped waiting no longer cares.
            let _ = waiting.send(at);
        }
    }

    fn add(&self, lag: Duration) {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).add(lag);
    }
}

#[derive(Deserialize)]
struct Change {
    store: String,
    sku: String,
}

/// Follows the hub's change feed until it ends.
pub async fn follow(hub: Client, lag: Arc<Lag>) -> Result<()> {
    let mut feed = hub.open("/v1/changes", "text/event-stream").await.context("opening the change feed")?;
    let sku = sku();
    while feed.read_lines(|line| notice(line, &sku, &lag)).await.context("following the change feed")? {}
    Ok(())
}

fn notice(line: &[u8], sku: &Sku, lag: &Lag) {
    let Some(data) = line.strip_prefix(b"data:") else { return };
    if let Ok(change) = serde_json::from_slice::<Change>(data)
        && change.sku == sku.as_str()
    {
        lag.arrived(&change.store, clock::now());
    }
}

/// One store's probe.
pub struct Probe {
    pub store: Arc<Store>,
    pub stores: usize,
    pub witness: Arc<Witness>,
    pub lag: Arc<Lag>,
    pub closing: Arc<AtomicBool>,
}

impl Probe {
    pub async fn run(self) {
        let stores = u32::try_from(self.stores).unwrap_or(u32::MAX);
        let every = (Duration::from_secs(1) * stores / PER_SECOND).max(EVERY_MIN);
        let mut port = Port::new(self.store.address(), self.store.token());
        // Spread over the interval, so that the probes don't all ask at once.
        sleep(every.mul_f64(f64::from(u32::try_from(self.store.place() % 97).unwrap_or(0)) / 97.0)).await;
        let (mut number, mut calm_since) = (0, None);
        while !self.closing.load(Relaxed) {
            if calm_since != Some(self.store.disturbances()) {
                calm_since = self.has_settled(&mut port).await;
            } else {
                number += 1;
                self.sell(&mut port, number).await;
            }
            sleep(every).await;
        }
    }

    /// After a disturbance: the count of disturbances, once the store has caught up.
    async fn has_settled(&self, port: &mut Port) -> Option<u64> {
        let disturbances = self.store.disturbances();
        if self.store.is_cut() || !self.store.is_up() {
            return None;
        }
        let reply = port.client().await.ok()?.get("/v1/sync").await.ok()?;
        let sync: SyncView = reply.json().ok()?;
        sync.is_nearly_caught_up().then_some(disturbances)
    }

    async fn sell(&self, port: &mut Port, number: u64) {
        let (sku, one, id) = (sku(), Quantity::from_units(1), self.store.id());
        let line = std::iter::once((&sku, one));
        let sale = document::movement("lag-probe", &number.to_string(), "sale", clock::unix_millis(), line);
        let disturbed_before = self.store.disturbances();
        let arrival = self.lag.expect(&id);
        self.witness.tally.lines_sent.fetch_add(1, Relaxed);
        match port.post_until_answered(&sale, &self.witness).await {
            Ok(recorded) => {
                let answered = clock::now();
                self.witness.answered(self.store.place(), &sku, Quantity::from_units(-1));
                self.witness.tally.movements_recorded.fetch_add(1, Relaxed);
                self.witness.tally.duplicates_refused.fetch_add(u64::from(recorded.duplicate), Relaxed);
                let arrived = timeout(PATIENCE, arrival).await.ok().and_then(Result::ok);
                self.note(answered, arrived, disturbed_before);
            }
            Err(Refused(why)) => self.witness.fault(format!("a probe's sale in {id} was refused: {why}")),
        }
    }

    fn note(&self, answered: Instant, arrived: Option<Instant>, disturbed_before: u64) {
        if self.store.is_cut() || !self.store.is_up() || self.store.disturbances() != disturbed_before {
            self.lag.set_aside.fetch_add(1, Relaxed);
            return;
        }
        // The feed may be faster than the answer: then there was no lag.
        self.lag.add(arrived.map_or(PATIENCE, |arrived| arrived.saturating_duration_since(answered)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_probes_own_item_stops_its_clock() {
        let (lag, sku) = (Lag::default(), sku());
        let mut arrival = lag.expect("S0001");
        notice(br#"data: {"store":"S0001","sku":"milk","available":3}"#, &sku, &lag);
        notice(br#"data: {"store":"S0002","sku":"lag-probe"}"#, &sku, &lag);
        notice(b": keep-alive", &sku, &lag);
        assert!(arrival.try_recv().is_err());
        notice(br#"data:{"store":"S0001","sku":"lag-probe"}"#, &sku, &lag);
        assert!(arrival.try_recv().is_ok());
    }
}
