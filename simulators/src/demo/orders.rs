//! Pickup orders in the demo: shoppers order at the hub's API, pickers at each store do what its agent lists.
//!
//! Every order goes its way through real sockets: promised by the hub, on the store's list, accepted, picked (now and then not
//! all of it is found), ready, handed over on the shopper's short code. Some shoppers cancel. What was handed over is told to
//! the witness, so that the comparison of all cells at the end counts it like a sale.

use super::compare::Comparison;
use crate::clock;
use crate::fleet::Fleet;
use crate::fleet::store::Store;
use crate::http::Client;
use crate::latency::{Latencies, Percentiles};
use crate::pos::till::Port;
use crate::pos::witness::Witness;
use crate::rng::Rng;
use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use sync_protocol::{Quantity, Sku};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Share of orders whose shopper thinks better of it.
const CANCELLED: f64 = 0.1;
/// Share of orders of which a line is not found.
const NOT_FOUND: f64 = 0.08;
/// Share of shoppers who name a store; the others a place near one.
const NAMED: f64 = 0.7;
/// Orders under way at one store; when its pickers are behind, shoppers wait.
const UNDER_WAY_MAX: usize = 256;
/// How often a store is asked whether it has an order already.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// How long a store may take to end what it was given, once nobody orders any more.
const END_PATIENCE: Duration = Duration::from_secs(120);

/// The orders' part of a run's figures.
#[derive(Debug, Clone, Serialize)]
pub struct OrderReport {
    pub shoppers: usize,
    pub orders_placed: u64,
    /// By the hub: not all of it could be promised.
    pub orders_refused: u64,
    pub orders_collected: u64,
    /// Of which something was not found, collected or not.
    pub orders_short: u64,
    pub orders_cancelled: u64,
    /// Cells of which more has been promised than was granted, by the hub's books or the store's. Never above 0.
    pub promised_over_granted: u64,
    /// Cells of which the tills have sold what is set aside for orders.
    pub breaches: u64,
    pub place_ms: Percentiles,
    /// From the hub's answer to the order on the store's list; stores that are cut off or down are left out.
    pub sent_to_store_ms: Percentiles,
}

/// What shoppers and pickers count.
#[derive(Debug, Default)]
struct Tally {
    placed: AtomicU64,
    refused: AtomicU64,
    collected: AtomicU64,
    short: AtomicU64,
    cancelled: AtomicU64,
    place: Mutex<Latencies>,
    sent: Mutex<Latencies>,
}

/// A part of an order for one store.
#[derive(Debug)]
struct Job {
    order: String,
    short_code: String,
    placed: Instant,
    /// The store's as of then; `None` where its line was cut.
    disturbances: Option<u64>,
    /// A line will not be found.
    is_short: bool,
}

/// All shoppers and pickers of a run.
pub struct Orders {
    shoppers: JoinSet<Result<()>>,
    pickers: JoinSet<Result<()>>,
    tally: Arc<Tally>,
    count: usize,
}

impl Orders {
    /// Opens the hub's API to `shoppers`, who know these items of each store.
    pub fn open(
        fleet: &Fleet,
        shoppers: usize,
        items: Vec<Vec<Sku>>,
        witness: &Arc<Witness>,
        closing: &Arc<AtomicBool>,
        rng: &mut Rng,
    ) -> Result<Orders> {
        let (tally, items) = (Arc::<Tally>::default(), Arc::new(items));
        let mut orders = Orders {
            shoppers: JoinSet::new(),
            pickers: JoinSet::new(),
            tally: Arc::clone(&tally),
            count: shoppers,
        };
        let mut counters = HashMap::new();
        for store in fleet.stores.iter().filter(|_| shoppers > 0) {
            let (jobs, taken) = mpsc::channel(UNDER_WAY_MAX);
            let (listed, to_pick) = mpsc::channel(UNDER_WAY_MAX);
            counters.insert(store.id(), Counter { store: Arc::clone(store), jobs });
            let watcher = Watcher { store: Arc::clone(store), tally: Arc::clone(&tally), listed };
            orders.pickers.spawn(watcher.run(taken));
            let port = Port::new(store.address(), store.token());
            let (witness, tally) = (Arc::clone(witness), Arc::clone(&tally));
            let picker = Picker { store: Arc::clone(store), port, witness, tally };
            orders.pickers.spawn(picker.run(to_pick));
        }
        let counters = Arc::new(counters);
        for number in 0..shoppers {
            let shopper = Shopper {
                name: format!("shopper-{number}"),
                hub: fleet.hub.client()?,
                counters: Arc::clone(&counters),
                items: Arc::clone(&items),
                tally: Arc::clone(&tally),
                closing: Arc::clone(closing),
                rng: rng.fork(4),
            };
            orders.shoppers.spawn(shopper.run());
        }
        Ok(orders)
    }

    /// A shopper who gave up, where there is one.
    pub fn check(&mut self) -> Result<()> {
        while let Some(ended) = self.shoppers.try_join_next() {
            ended??;
        }
        while let Some(ended) = self.pickers.try_join_next() {
            ended??;
        }
        Ok(())
    }

    /// Waits until shoppers have gone and stores have ended what they were given.
    pub async fn end(&mut self) -> Result<()> {
        let all = async {
            while let Some(ended) = self.shoppers.join_next().await {
                ended??;
            }
            while let Some(ended) = self.pickers.join_next().await {
                ended??;
            }
            Ok(())
        };
        timeout(END_PATIENCE, all).await.context("the stores did not end their orders")?
    }

    /// `None` where nobody orders.
    #[must_use]
    pub fn report(&self, comparison: &Comparison) -> Option<OrderReport> {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let percentiles = |latencies: &Mutex<Latencies>| {
            latencies.lock().unwrap_or_else(PoisonError::into_inner).percentiles()
        };
        let tally = &self.tally;
        (self.count > 0).then(|| OrderReport {
            shoppers: self.count,
            orders_placed: count(&tally.placed),
            orders_refused: count(&tally.refused),
            orders_collected: count(&tally.collected),
            orders_short: count(&tally.short),
            orders_cancelled: count(&tally.cancelled),
            promised_over_granted: comparison.promised_over_granted,
            breaches: comparison.breaches,
            place_ms: percentiles(&tally.place),
            sent_to_store_ms: percentiles(&tally.sent),
        })
    }
}

impl OrderReport {
    /// For people.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let timed =
            |of: &Percentiles| format!("p50 {:.1} ms, p99 {:.1} ms ({} timed)", of.p50, of.p99, of.samples);
        vec![
            ("orders placed", format!("{}, {} refused", self.orders_placed, self.orders_refused)),
            (
                "orders collected",
                format!(
                    "{}, {} cancelled, {} short",
                    self.orders_collected, self.orders_cancelled, self.orders_short
                ),
            ),
            ("promised over granted", format!("{} cells", self.promised_over_granted)),
            ("breaches", format!("{} cells", self.breaches)),
            ("placing an order", timed(&self.place_ms)),
            ("on the store's list", timed(&self.sent_to_store_ms)),
        ]
    }
}

/// Where a store's orders go.
struct Counter {
    store: Arc<Store>,
    jobs: mpsc::Sender<Job>,
}

struct Shopper {
    name: String,
    hub: Client,
    counters: Arc<HashMap<String, Counter>>,
    items: Arc<Vec<Vec<Sku>>>,
    tally: Arc<Tally>,
    closing: Arc<AtomicBool>,
    rng: Rng,
}

#[derive(Deserialize)]
struct Placed {
    order: String,
    parts: Vec<PlacedPart>,
}

#[derive(Deserialize)]
struct PlacedPart {
    order: String,
    store: String,
    short_code: String,
}

impl Shopper {
    async fn run(mut self) -> Result<()> {
        let mut number = 0_u64;
        while !self.closing.load(Relaxed) {
            sleep(Duration::from_millis(self.rng.between(50, 400))).await;
            number += 1;
            let placed = self.order(&format!("{}-{number}", self.name)).await?;
            if let Some(order) = placed.filter(|_| self.rng.chance(CANCELLED)) {
                sleep(Duration::from_millis(self.rng.between(0, 60))).await;
                self.cancel(&order).await?;
            }
        }
        Ok(())
    }

    /// One order; its number where the hub has promised it.
    async fn order(&mut self, key: &str) -> Result<Option<String>> {
        let place = self.rng.index(self.items.len());
        let body = self.wish(place).to_string();
        let disturbances: HashMap<&String, u64> =
            self.counters.iter().map(|(id, counter)| (id, counter.store.disturbances())).collect();
        let started = clock::now();
        let reply = loop {
            let reply = self.hub.post_keyed("/v1/orders", key, body.clone()).await?;
            // Busy: the same key finds what may have been promised nevertheless.
            if reply.status != StatusCode::SERVICE_UNAVAILABLE {
                break reply;
            }
            sleep(RETRY_AFTER).await;
        };
        let placed_at = clock::now();
        add(&self.tally.place, placed_at - started);
        match reply.status {
            StatusCode::CREATED => {}
            StatusCode::CONFLICT => {
                self.tally.refused.fetch_add(1, Relaxed);
                return Ok(None);
            }
            status => bail!("the hub answered an order with {status}: {}", reply.text()),
        }
        self.tally.placed.fetch_add(1, Relaxed);
        let placed: Placed = reply.json()?;
        for part in placed.parts {
            let counter = self.counters.get(&part.store).context("a store of this fleet")?;
            let job = Job {
                order: part.order,
                short_code: part.short_code,
                placed: placed_at,
                disturbances: disturbances.get(&part.store).copied().filter(|_| !counter.store.is_cut()),
                is_short: self.rng.chance(NOT_FOUND),
            };
            counter.jobs.send(job).await.ok().context("a store's people have gone home")?;
        }
        Ok(Some(placed.order))
    }

    /// One to three items of a store, there or near it.
    fn wish(&mut self, place: usize) -> Value {
        let mut lines = Vec::new();
        for _ in 0..self.rng.between(1, 3) {
            let items = &self.items[place];
            let sku = items[self.rng.index(items.len())].as_str();
            lines.push(json!({ "sku": sku, "quantity": self.rng.between(1, 3) }));
        }
        let id = crate::fleet::store_id(place);
        let pickup = if self.rng.chance(NAMED) {
            json!({ "store": id })
        } else {
            let (lat, lon) = crate::fleet::hub::place_of(place);
            json!({ "near": { "lat": lat, "lon": lon }, "radius_km": 50 })
        };
        json!({ "customer": { "name": "Asha Kulkarni", "phone": "+91 98200 12345" }, "lines": lines, "pickup": pickup })
    }

    /// Whether it comes in time is for the store to say.
    async fn cancel(&mut self, order: &str) -> Result<()> {
        let reply = self.hub.post(&format!("/v1/orders/{order}/cancel"), "", "").await?;
        match reply.status {
            StatusCode::OK | StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => Ok(()),
            status => bail!("the hub answered a cancel with {status}: {}", reply.text()),
        }
    }
}

/// Sees orders come onto a store's list.
struct Watcher {
    store: Arc<Store>,
    tally: Arc<Tally>,
    listed: mpsc::Sender<Job>,
}

impl Watcher {
    async fn run(self, mut taken: mpsc::Receiver<Job>) -> Result<()> {
        let mut port = Port::new(self.store.address(), self.store.token());
        while let Some(job) = taken.recv().await {
            let path = format!("/v1/orders/{}", job.order);
            loop {
                let reply = port.client().await?.get(&path).await;
                if reply.is_ok_and(|reply| reply.status == StatusCode::OK) {
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
            if job.disturbances == Some(self.store.disturbances()) {
                add(&self.tally.sent, job.placed.elapsed());
            }
            self.listed.send(job).await.ok().context("a store's pickers have gone home")?;
        }
        Ok(())
    }
}

/// Somebody at a store who does what the agent lists.
struct Picker {
    store: Arc<Store>,
    port: Port,
    witness: Arc<Witness>,
    tally: Arc<Tally>,
}

#[derive(Debug, Deserialize)]
struct Seen {
    status: String,
    lines: Vec<SeenLine>,
    cancel_wanted: Option<String>,
    put_back_due: bool,
}

#[derive(Debug, Deserialize)]
struct SeenLine {
    sku: Option<String>,
    ordered: Quantity,
    picked: Quantity,
    short: Quantity,
}

impl Picker {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Result<()> {
        while let Some(job) = jobs.recv().await {
            let seen = self.work(&job).await?;
            if seen.lines.iter().any(|line| line.short > Quantity::ZERO) {
                self.tally.short.fetch_add(1, Relaxed);
            }
            match &*seen.status {
                "collected" => self.collected(&seen)?,
                "cancelled" | "expired" => {
                    self.tally.cancelled.fetch_add(1, Relaxed);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Acts until the order has come to its end; gives what it is then. The agent may die at any moment: what it has not
    /// answered is looked at again, and done again where it has not happened.
    async fn work(&mut self, job: &Job) -> Result<Seen> {
        let path = format!("/v1/orders/{}", job.order);
        let mut put_back_refused = false;
        loop {
            let seen = match self.port.client().await?.get(&path).await {
                Ok(reply) if reply.status == StatusCode::OK => reply.json::<Seen>()?,
                _ => {
                    sleep(RETRY_AFTER).await;
                    continue;
                }
            };
            let Some((act, body)) =
                next_act(&seen, job).filter(|(act, _)| !(put_back_refused && *act == "put-back"))
            else {
                return Ok(seen);
            };
            let reply =
                self.port.client().await?.post(&format!("{path}/{act}"), "application/json", body).await;
            match reply {
                Ok(reply) if reply.status.is_success() => {}
                // The order has moved on meanwhile: a cancel has come, or it was answered before.
                Ok(reply) if reply.status == StatusCode::CONFLICT => put_back_refused |= act == "put-back",
                Ok(reply) if reply.status.is_client_error() => {
                    bail!("{} answered `{act}` with {}: {}", self.store.id(), reply.status, reply.text())
                }
                _ => sleep(RETRY_AFTER).await,
            }
        }
    }

    fn collected(&self, seen: &Seen) -> Result<()> {
        self.tally.collected.fetch_add(1, Relaxed);
        for line in &seen.lines {
            let sku: Sku = line.sku.as_deref().context("a line without its sku")?.parse()?;
            let out = Quantity::from_thousandths(-line.picked.thousandths());
            self.witness.answered(self.store.place(), &sku, out);
        }
        Ok(())
    }
}

/// What is to be done with an order next; `None` when nothing is.
fn next_act(seen: &Seen, job: &Job) -> Option<(&'static str, String)> {
    let by = |mut body: Value| {
        body["by"] = json!("Noor");
        body.to_string()
    };
    if seen.put_back_due {
        return Some(("put-back", by(json!({}))));
    }
    if seen.cancel_wanted.is_some() {
        return Some(("acknowledge-cancel", by(json!({}))));
    }
    let left =
        |line: &SeenLine| line.ordered.thousandths() - line.picked.thousandths() - line.short.thousandths();
    match &*seen.status {
        "placed" | "sent" => Some(("accept", by(json!({})))),
        "accepted" | "picking" => {
            let Some((at, line)) = seen.lines.iter().enumerate().find(|(_, line)| left(line) > 0) else {
                let is_empty = seen.lines.iter().all(|line| line.picked == Quantity::ZERO);
                let nothing = json!({ "reason": "nothing of it is there" });
                return Some(if is_empty { ("refuse", by(nothing)) } else { ("ready", by(json!({}))) });
            };
            let quantity = Quantity::from_thousandths(left(line)).to_string();
            let body = json!({ "sku": line.sku, "quantity": quantity });
            if job.is_short && at == 0 {
                let mut body = body;
                body["reason"] = json!("not_found");
                return Some(("short", by(body)));
            }
            Some(("pick", by(body)))
        }
        "ready" => Some(("hand-over", by(json!({ "short_code": job.short_code })))),
        _ => None,
    }
}

fn add(latencies: &Mutex<Latencies>, took: Duration) {
    latencies.lock().unwrap_or_else(PoisonError::into_inner).add(took);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(status: &str, picked: i64, short: i64) -> Seen {
        let quantity = Quantity::from_units;
        let line = |picked, short| SeenLine {
            sku: Some("4011".to_owned()),
            ordered: quantity(2),
            picked: quantity(picked),
            short: quantity(short),
        };
        Seen {
            status: status.to_owned(),
            lines: vec![line(picked, short)],
            cancel_wanted: None,
            put_back_due: false,
        }
    }

    fn job(is_short: bool) -> Job {
        let (order, short_code) = ("K7M29-QX4TB".to_owned(), "7KQ2-M9XT".to_owned());
        Job { order, short_code, placed: clock::now(), disturbances: None, is_short }
    }

    fn next(seen: &Seen, is_short: bool) -> &'static str {
        next_act(seen, &job(is_short)).map_or("nothing", |(act, _)| act)
    }

    #[test]
    fn an_order_is_worked_on_to_its_end() {
        assert_eq!(next(&seen("sent", 0, 0), false), "accept");
        assert_eq!(next(&seen("accepted", 0, 0), false), "pick");
        assert_eq!(next(&seen("picking", 1, 0), false), "pick");
        assert_eq!(next(&seen("picking", 2, 0), false), "ready");
        assert_eq!(next(&seen("ready", 2, 0), false), "hand-over");
        assert_eq!(next(&seen("collected", 2, 0), false), "nothing");
    }

    #[test]
    fn what_is_not_found_is_said_and_an_empty_bag_refused() {
        let (act, body) = next_act(&seen("accepted", 0, 0), &job(true)).unwrap();
        assert_eq!(act, "short");
        assert!(body.contains("not_found") && body.contains("\"quantity\":\"2\""), "{body}");
        assert_eq!(next(&seen("picking", 0, 2), true), "refuse");
        assert_eq!(next(&seen("picking", 1, 1), true), "ready");
        assert_eq!(next(&Seen { put_back_due: true, ..seen("refused", 0, 2) }, true), "put-back");
    }

    #[test]
    fn a_cancel_is_acknowledged_before_anything_else() {
        let wanted = |status| Seen { cancel_wanted: Some("shopper".to_owned()), ..seen(status, 1, 0) };
        assert_eq!(next(&wanted("cancelling"), false), "acknowledge-cancel");
        assert_eq!(next(&wanted("ready"), false), "acknowledge-cancel");
    }
}
