//! The stores that are heard by way of the broker. Each has a link of its own, so that the hub's core sees no difference.

use super::Shared;
use crate::hub::LinkId;
use crate::ingest::links::Carrier;
use crate::ingest::topics::Topics;
use crate::ingest::{Answer, Answers, Farewell, HangUp, Stopped, asked_to_go, outlet};
use futures_util::FutureExt;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use std::collections::HashMap;
use std::time::Duration;
use sync_protocol::StoreId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// A store says something every 20 seconds; one that misses so many of them has gone without its will.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// How long a store that was refused is not heard again: each of its messages would be a link that comes up and ends.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// Most stores at once. A chain has a few thousand at most; more are names somebody made up.
const STORES_MAX: usize = 20_000;

/// Who is there.
pub(super) struct Stores<'a> {
    client: AsyncClient,
    shared: &'a Shared,
    present: HashMap<StoreId, Present>,
    /// Bounded as `present` is: only what was there is refused.
    refused: HashMap<StoreId, Instant>,
    /// What goes down to them.
    carrying: JoinSet<Ended>,
}

struct Present {
    link: LinkId,
    hang_up: HangUp,
    heard_at: Instant,
}

/// A link on which nothing more goes down.
pub(super) struct Ended {
    store: StoreId,
    link: LinkId,
    why: Farewell,
}

impl<'a> Stores<'a> {
    pub fn new(client: AsyncClient, shared: &'a Shared) -> Stores<'a> {
        Stores { client, shared, present: HashMap::new(), refused: HashMap::new(), carrying: JoinSet::new() }
    }

    /// Hands a frame of `store` to the hub. `committed` hears of its commit, or is dropped.
    pub async fn frame(
        &mut self,
        store: StoreId,
        bytes: Vec<u8>,
        committed: oneshot::Sender<()>,
    ) -> Result<(), Stopped> {
        let Some(link) = self.link_of(store).await? else { return Ok(()) };
        self.shared.inbox.frame(link, bytes, Some(committed)).await
    }

    /// The link of `store`, which comes up when there is none.
    async fn link_of(&mut self, store: StoreId) -> Result<Option<LinkId>, Stopped> {
        if let Some(present) = self.present.get_mut(&store) {
            present.heard_at = Instant::now();
            return Ok(Some(present.link));
        }
        if self.refused.get(&store).is_some_and(|at| at.elapsed() < REFUSED_FOR) {
            self.shared.metrics.broker_ignored("refused");
            return Ok(None);
        }
        if self.present.len() >= STORES_MAX {
            warn!(%store, "a store is not heard: there are too many on the broker");
            self.shared.metrics.broker_ignored("too_many");
            return Ok(None);
        }
        if let Err(why) = self.shared.links.standings().admits(&store, None) {
            debug!(%store, %why, "a store is not heard");
            self.shared.metrics.broker_ignored(why.name());
            return Ok(None);
        }
        let (outlet, answers) = outlet();
        let hang_up = outlet.hang_up.clone();
        let link = self.shared.links.add(&store, None, Carrier::Broker, hang_up.clone());
        self.carrying.spawn(carry(store.clone(), link, answers, self.client.clone()));
        self.present.insert(store.clone(), Present { link, hang_up, heard_at: Instant::now() });
        self.shared.metrics.link_up();
        info!(link = link.0, %store, transport = "broker", "link up");
        self.shared.inbox.up(link, store, outlet).await?;
        Ok(Some(link))
    }

    /// The last will of `store` has come.
    pub async fn gone(&mut self, store: &StoreId) -> Result<(), Stopped> {
        self.end(store, &Farewell::Gone).await
    }

    /// Waits for a link that the hub wants to end; for ever when there is none.
    pub async fn ended(&mut self) -> Ended {
        loop {
            match self.carrying.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(error)) => super::super::log_panic(Err(error)),
                None => std::future::pending().await,
            }
        }
    }

    /// Takes a link off the list that ended by itself.
    pub async fn settle(&mut self, ended: Ended) -> Result<(), Stopped> {
        // The store may be there again already, on a newer link.
        match self.present.get(&ended.store) {
            Some(present) if present.link == ended.link => self.end(&ended.store, &ended.why).await,
            _ => Ok(()),
        }
    }

    /// Ends the links of stores that have not been heard for too long.
    pub async fn end_silent(&mut self) -> Result<(), Stopped> {
        self.refused.retain(|_, at| at.elapsed() < REFUSED_FOR);
        let is_silent = |present: &Present| present.heard_at.elapsed() >= SILENCE_MAX;
        let silent = self.present.iter().filter(|(_, present)| is_silent(present));
        let silent: Vec<StoreId> = silent.map(|(store, _)| store.clone()).collect();
        for store in silent {
            self.end(&store, &Farewell::Silent).await?;
        }
        Ok(())
    }

    /// Ends every link.
    pub async fn end_all(mut self, why: &Farewell) {
        let stores: Vec<StoreId> = self.present.keys().cloned().collect();
        for store in stores {
            // Fails only when the driver has stopped, and then nobody is left to care.
            let _ = self.end(&store, why).await;
        }
    }

    async fn end(&mut self, store: &StoreId, why: &Farewell) -> Result<(), Stopped> {
        let Some(Present { link, hang_up, .. }) = self.present.remove(store) else { return Ok(()) };
        if matches!(why, Farewell::Refused(_)) {
            self.refused.insert(store.clone(), Instant::now());
        }
        hang_up.because(why.clone());
        self.shared.links.remove(link);
        self.shared.metrics.link_ended(why);
        info!(link = link.0, %store, why = why.name(), reason = why.reason(), "link ended");
        self.shared.inbox.down(link).await
    }
}

/// Publishes what the hub has for one store, until the hub wants its link to end.
async fn carry(store: StoreId, link: LinkId, mut answers: Answers, client: AsyncClient) -> Ended {
    let topics = Topics::of(&store);
    let mut farewells = answers.farewells();
    let why = loop {
        tokio::select! {
            why = asked_to_go(&mut farewells) => break why,
            answer = answers.next() => match answer {
                Some((answer, _room)) => publish(answer, &topics, &client).await,
                None => break Farewell::Stopping,
            }
        }
    };
    // A store that is refused hears why, if the hub has said so in a frame; otherwise whoever comes next on this topic may be somebody else.
    while matches!(why, Farewell::Refused(_))
        && let Some(Some((answer, _room))) = answers.next().now_or_never()
    {
        publish(answer, &topics, &client).await;
    }
    Ended { store, link, why }
}

async fn publish(answer: Answer, topics: &Topics, client: &AsyncClient) {
    for (stream, frame) in answer.frames {
        // Fails only when the event loop has ended, and every link with it.
        let _ = client.publish(topics.down(stream), QoS::AtLeastOnce, false, frame).await;
    }
}
