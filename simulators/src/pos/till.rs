//! One till: takes baskets, sends each to its store's agent with a reference of its own, and again until it is answered,
//! whatever happens to the agent meanwhile. Now and then it sends one a second time on purpose, and checks the answer.

use super::{document, witness::Witness};
use crate::http::{Client, Reply};
use crate::rng::Rng;
use crate::scenario::Basket;
use anyhow::Result;
use hyper::StatusCode;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// How long a till waits before it tries again.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Where a store's agent answers at the moment; `None` while it is down.
pub type AgentAddress = watch::Receiver<Option<SocketAddr>>;

/// The way to one store's agent, for one of its tills.
pub struct Port {
    agent: AgentAddress,
    token: String,
    client: Option<Client>,
}

/// What an agent answers to a document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Recorded {
    pub positions: Vec<u64>,
    #[serde(default)]
    pub duplicate: bool,
}

impl Port {
    #[must_use]
    pub fn new(agent: AgentAddress, token: &str) -> Self {
        Self { agent, token: token.to_owned(), client: None }
    }

    /// The connection to wherever the agent answers now; waits while it is down.
    pub async fn client(&mut self) -> Result<&mut Client> {
        let address = loop {
            let current = *self.agent.borrow_and_update();
            match current {
                Some(address) => break address,
                None => self.agent.changed().await?,
            }
        };
        let client = self.client.get_or_insert_with(|| Client::new(address, &self.token));
        client.redirect(address);
        Ok(client)
    }

    /// Posts a document once.
    pub async fn post(&mut self, document: &str) -> Result<Reply> {
        self.client().await?.post("/v1/movements", "application/json", document.to_owned()).await
    }

    /// Posts a document until it is answered, counting the tries that were not.
    pub async fn post_until_answered(
        &mut self,
        document: &str,
        witness: &Witness,
    ) -> Result<Recorded, Refused> {
        loop {
            match self.post(document).await {
                Ok(reply) if is_answer(reply.status) => return understood(&reply),
                Ok(reply) if is_refusal(reply.status) => return Err(Refused(reply.text())),
                Ok(_) | Err(_) => {
                    witness.tally.unanswered.fetch_add(1, Relaxed);
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}

/// What the agent said instead of recording.
#[derive(Debug)]
pub struct Refused(pub String);

/// 201 recorded, 200 recorded before.
fn is_answer(status: StatusCode) -> bool {
    status == StatusCode::CREATED || status == StatusCode::OK
}

/// Sending the same again would get the same; anything else is worth another try.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT
}

fn understood(reply: &Reply) -> Result<Recorded, Refused> {
    reply.json().map_err(|error| Refused(format!("{error:#}")))
}

/// One till of one store.
pub struct Till {
    source: String,
    port: Port,
    witness: Arc<Witness>,
    rng: Rng,
    shift: Shift,
}

/// What all tills of a run have in common.
#[derive(Clone)]
pub struct Shift {
    pub witness: Arc<Witness>,
    /// Share of baskets that are sent a second time on purpose.
    pub twice: f64,
    /// Once set, nobody who still waits is served.
    pub closing: Arc<AtomicBool>,
}

impl Till {
    #[must_use]
    pub fn new(source: String, port: Port, shift: Shift, rng: Rng) -> Self {
        Self { source, port, witness: Arc::clone(&shift.witness), shift, rng }
    }

    /// Serves customers until no more come, or the shop closes.
    pub async fn run(mut self, mut baskets: mpsc::Receiver<Basket>) {
        while let Some(basket) = baskets.recv().await {
            if self.shift.closing.load(Relaxed) {
                return;
            }
            self.serve(&basket).await;
        }
    }

    async fn serve(&mut self, basket: &Basket) {
        let document = document::basket(&self.source, basket);
        self.witness.tally.lines_sent.fetch_add(as_count(basket.lines.len()), Relaxed);
        match self.port.post_until_answered(&document, &self.witness).await {
            Ok(recorded) => {
                self.note(basket, &recorded);
                if self.rng.chance(self.shift.twice) {
                    self.send_again(basket, &document, &recorded).await;
                }
            }
            Err(Refused(why)) => {
                self.witness.fault(format!("basket {} was refused: {why}", basket.reference))
            }
        }
    }

    /// The basket is in the ledger. Where the answer to an earlier try was lost, it says so: a duplicate.
    fn note(&self, basket: &Basket, recorded: &Recorded) {
        for line in &basket.lines {
            self.witness.answered(basket.store, &line.sku, basket.effect(line));
        }
        let tally = &self.witness.tally;
        tally.movements_recorded.fetch_add(as_count(recorded.positions.len()), Relaxed);
        tally.duplicates_refused.fetch_add(u64::from(recorded.duplicate), Relaxed);
        if recorded.positions.len() != basket.lines.len() {
            let (lines, positions) = (basket.lines.len(), recorded.positions.len());
            self.witness
                .fault(format!("basket {} has {lines} lines, {positions} positions", basket.reference));
        }
    }

    async fn send_again(&mut self, basket: &Basket, document: &str, first: &Recorded) {
        self.witness.tally.sent_twice.fetch_add(1, Relaxed);
        match self.port.post_until_answered(document, &self.witness).await {
            Ok(again) if again.duplicate && again.positions == first.positions => {
                self.witness.tally.duplicates_refused.fetch_add(1, Relaxed);
            }
            Ok(again) => self.witness.fault(format!(
                "basket {} sent twice was answered {first:?}, then {again:?}",
                basket.reference
            )),
            Err(Refused(why)) => {
                self.witness.fault(format!("basket {} sent twice was refused: {why}", basket.reference));
            }
        }
    }
}

fn as_count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Act, serve};
    use crate::scenario::{BasketKind, BasketLine};
    use sync_protocol::UnixMillis;

    fn basket() -> Basket {
        let line = BasketLine { sku: "milk".parse().unwrap(), quantity: "2".parse().unwrap() };
        let (kind, at) = (BasketKind::Sale, UnixMillis(0));
        Basket { store: 0, at, reference: "1/1".parse().unwrap(), kind, lines: vec![line] }
    }

    async fn served(acts: Vec<Act>, twice: f64) -> (Arc<Witness>, Vec<String>) {
        let (address, mut bodies) = serve(acts).await;
        let witness = Arc::new(Witness::of_stores(1));
        let (_keep, agent) = watch::channel(Some(address));
        let port = Port::new(agent, "secret");
        let shift = Shift { witness: Arc::clone(&witness), twice, closing: Arc::default() };
        let till = Till::new("till-1".into(), port, shift, Rng::seeded(1));
        let (send, receive) = mpsc::channel(1);
        send.send(basket()).await.unwrap();
        drop(send);
        till.run(receive).await;
        let mut seen = Vec::new();
        while let Ok(body) = bodies.try_recv() {
            seen.push(body);
        }
        (witness, seen)
    }

    #[tokio::test]
    async fn a_basket_is_sent_again_until_it_is_answered_and_counts_once() {
        let recorded = Act::Answer(200, r#"{"positions":[7],"duplicate":true}"#);
        let (witness, bodies) = served(vec![Act::Die, Act::Answer(503, "busy"), recorded], 0.0).await;
        assert_eq!(bodies.len(), 3);
        assert!(bodies.iter().all(|body| *body == bodies[0]), "always the same document");
        assert_eq!(witness.sums(0)["milk"], -2000);
        assert_eq!(witness.tally.movements_recorded.load(Relaxed), 1);
        assert_eq!(witness.tally.duplicates_refused.load(Relaxed), 1);
        assert_eq!(witness.tally.unanswered.load(Relaxed), 2);
        assert_eq!(witness.faults(), [""; 0]);
    }

    #[tokio::test]
    async fn a_basket_sent_twice_on_purpose_counts_once() {
        let acts = vec![
            Act::Answer(201, r#"{"positions":[7]}"#),
            Act::Answer(200, r#"{"positions":[7],"duplicate":true}"#),
        ];
        let (witness, _) = served(acts, 1.0).await;
        assert_eq!(witness.sums(0)["milk"], -2000);
        assert_eq!(witness.tally.duplicates_refused.load(Relaxed), 1);
        assert_eq!(witness.faults(), [""; 0]);
    }

    #[tokio::test]
    async fn recording_a_basket_twice_is_a_fault() {
        let acts = vec![Act::Answer(201, r#"{"positions":[7]}"#), Act::Answer(201, r#"{"positions":[8]}"#)];
        let (witness, _) = served(acts, 1.0).await;
        assert_eq!(witness.faults().len(), 1);
    }

    #[tokio::test]
    async fn a_refused_basket_is_a_fault() {
        let (witness, _) = served(vec![Act::Answer(400, "no")], 0.0).await;
        assert!(witness.faults()[0].contains("refused: no"));
        assert!(witness.sums(0).is_empty());
    }
}
