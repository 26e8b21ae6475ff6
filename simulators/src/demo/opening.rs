//! The stock the stores open with: items named, and one delivery each. One item in forty is left out, so that the tills
//! also sell what no system has heard of.

use super::probe;
use crate::fleet::store::Store;
use crate::pos::document;
use crate::pos::witness::Witness;
use crate::rng::Rng;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::sync::Arc;
use sync_protocol::{Quantity, Sku, UnixMillis};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// One item in so many is neither named nor delivered.
const UNHEARD_OF_ONE_IN: usize = 40;
const LINES_PER_DELIVERY: usize = 500;
const STORES_AT_ONCE: usize = 8;

/// One store's opening stock.
pub struct Opening {
    pub store: usize,
    pub at: UnixMillis,
    pub stock: Vec<(Sku, Quantity)>,
}

impl Opening {
    /// Twenty to two hundred of each item, and plenty of what the probe sells.
    #[must_use]
    pub fn of(store: usize, at: UnixMillis, items: Vec<Sku>, rng: &mut Rng) -> Self {
        let heard_of = items.into_iter().enumerate().filter(|(place, _)| place % UNHEARD_OF_ONE_IN != 17);
        let mut stock: Vec<(Sku, Quantity)> =
            heard_of.map(|(_, sku)| (sku, Quantity::from_units(as_units(rng.between(20, 200))))).collect();
        stock.push((probe::sku(), Quantity::from_units(1_000_000)));
        Self { store, at, stock }
    }

    /// How many ledger lines it makes.
    #[must_use]
    pub fn lines(&self) -> u64 {
        u64::try_from(self.stock.len()).unwrap_or(u64::MAX)
    }

    async fn deliver(&self, agent: &Store, witness: &Witness) -> Result<()> {
        let mut client = agent.client()?;
        let named: Vec<String> =
            self.stock.iter().map(|(sku, _)| document::item(sku, &name(sku), "each")).collect();
        let reply = client.put("/v1/items", "application/x-ndjson", named.join("\n")).await?.success()?;
        check_lines(&reply.text()).context("naming the items")?;
        let deliveries: Vec<String> = self
            .stock
            .chunks(LINES_PER_DELIVERY)
            .enumerate()
            .map(|(n, lines)| self.delivery(n, lines))
            .collect();
        let reply = client.post("/v1/movements:batch", "application/x-ndjson", deliveries.join("\n")).await?;
        check_lines(&reply.success()?.text()).context("delivering the opening stock")?;
        for (sku, quantity) in &self.stock {
            witness.answered(self.store, sku, *quantity);
        }
        Ok(())
    }

    fn delivery(&self, number: usize, lines: &[(Sku, Quantity)]) -> String {
        let lines = lines.iter().map(|(sku, quantity)| (sku, *quantity));
        document::movement("back-office", &format!("opening/{number}"), "receipt", self.at, lines)
    }
}

/// Delivers to all stores, some at a time.
pub async fn deliver(openings: Vec<Opening>, stores: &[Arc<Store>], witness: &Arc<Witness>) -> Result<()> {
    let (limit, mut deliveries) = (Arc::new(Semaphore::new(STORES_AT_ONCE)), JoinSet::new());
    for opening in openings {
        let (store, witness, limit) =
            (Arc::clone(&stores[opening.store]), Arc::clone(witness), Arc::clone(&limit));
        deliveries.spawn(async move {
            let _turn = limit.acquire_owned().await?;
            let delivered = opening.deliver(&store, &witness).await;
            delivered.with_context(|| format!("opening {}", store.id()))
        });
    }
    while let Some(delivered) = deliveries.join_next().await {
        delivered??;
    }
    Ok(())
}

#[derive(Deserialize)]
struct LineAnswer {
    status: u16,
}

/// Every line of an NDJSON answer must be a success; an error shows the first that is not.
pub fn check_lines(answer: &str) -> Result<()> {
    for line in answer.lines().filter(|line| !line.trim().is_empty()) {
        let said: LineAnswer =
            serde_json::from_str(line).with_context(|| format!("understanding `{line}`"))?;
        if !(200..300).contains(&said.status) {
            bail!("the agent said: {line}");
        }
    }
    Ok(())
}

fn name(sku: &Sku) -> String {
    format!("Item {sku}")
}

fn as_units(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_items_are_left_for_the_tills_to_discover() {
        let items: Vec<Sku> = (0..400).map(crate::scenario::generator::sku).collect();
        let opening = Opening::of(0, UnixMillis(0), items, &mut Rng::seeded(1));
        assert_eq!(opening.stock.len(), 390 + 1);
    }

    #[test]
    fn one_refused_line_is_shown() {
        assert!(check_lines("{\"line\":1,\"status\":201}\n\n{\"line\":2,\"status\":200}\n").is_ok());
        let error = check_lines("{\"line\":1,\"status\":201}\n{\"line\":2,\"status\":400,\"detail\":\"no\"}");
        assert!(error.unwrap_err().to_string().contains("\"detail\":\"no\""));
    }
}
