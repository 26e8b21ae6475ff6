//! One connection to the broker: subscribes, sorts what comes by store, and confirms it once the hub is done with it.

use super::reader::{Heard, Reader, Waiting};
use super::stores::{Ended, Stores};
use super::{RECEIVE_MAX, Settings, Shared};
use crate::ingest::topics::{Published, of_all_stores, spoken};
use crate::ingest::{Farewell, Stopped};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Publish};
use rumqttc::v5::{AsyncClient, EventLoop};
use std::time::Duration;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tracing::{debug, info};

/// How long the broker may take to grant the subscriptions.
const GRANTED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked which stores have fallen silent.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long the broker gets to hear that the hub goes.
const PARTING_MAX: Duration = Duration::from_secs(1);
/// What a store's last will says.
const GONE: &[u8] = b"gone";

/// A message, and when the hub is done with it.
type Unconfirmed = (Publish, oneshot::Receiver<()>);

/// The session on one connection.
pub(super) struct Session<'a> {
    client: AsyncClient,
    shared: &'a Shared,
    stores: Stores<'a>,
    confirming: mpsc::Sender<Unconfirmed>,
    settings: &'a Settings,
    /// Set while the broker has not answered the subscription.
    granted_by: Option<Instant>,
}

/// What a session works off.
enum Step {
    /// None: the task that reads has died.
    Said(Option<Heard>),
    Ended(Ended),
    Look,
}

/// Carries one connection to its end, and says why it ended.
pub(super) async fn carry(
    (client, events): (AsyncClient, EventLoop),
    settings: &Settings,
    shared: &Shared,
    stop: &mut watch::Receiver<bool>,
) -> String {
    let (reader, heard) = Reader::new(events, settings.address.clone());
    // A broker that sends more than it may is held back here.
    let (confirming, unconfirmed) = mpsc::channel(usize::from(RECEIVE_MAX));
    let mut tasks = JoinSet::new();
    tasks.spawn(reader.run());
    tasks.spawn(confirm(client.clone(), unconfirmed));
    let stores = Stores::new(client.clone(), shared);
    let session = Session { client, shared, stores, confirming, settings, granted_by: None };
    let reason = session.carry(heard, stop).await;
    tasks.shutdown().await;
    reason
}

impl Session<'_> {
    async fn carry(mut self, mut heard: mpsc::Receiver<Waiting>, stop: &mut watch::Receiver<bool>) -> String {
        let reason = self.converse(&mut heard, stop).await;
        self.shared.metrics.broker_gone();
        let stopping = *stop.borrow();
        self.stores.end_all(&if stopping { Farewell::Stopping } else { Farewell::Gone }).await;
        if stopping && self.client.try_disconnect().is_ok() {
            drop(timeout(PARTING_MAX, until_ended(&mut heard)).await);
        }
        reason
    }

    async fn converse(
        &mut self,
        heard: &mut mpsc::Receiver<Waiting>,
        stop: &mut watch::Receiver<bool>,
    ) -> String {
        let mut look = interval(LOOK_EVERY);
        loop {
            let asked_to_stop = async { drop(stop.wait_for(|stop| *stop).await) };
            let step = tokio::select! {
                () = asked_to_stop => return Stopped.to_string(),
                waiting = heard.recv() => Step::Said(waiting.map(|(heard, _room)| heard)),
                ended = self.stores.ended() => Step::Ended(ended),
                _ = look.tick() => Step::Look,
                () = until(self.granted_by) => return "the broker did not answer the subscription".to_owned(),
            };
            if let Err(reason) = self.take(step).await {
                return reason;
            }
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Said(Some(Heard::Message(publish))) => self.take_in(publish).await,
            Step::Said(Some(Heard::Connected)) => self.subscribe().await,
            Step::Said(Some(Heard::Subscribed)) => {
                info!(broker = %self.settings.address, "connected to the broker");
                self.granted_by = None;
                self.shared.metrics.broker_connected();
                Ok(())
            }
            Step::Said(Some(Heard::Ended(reason))) => Err(reason),
            Step::Said(None) => Err("the MQTT library failed on what the broker sent".to_owned()),
            Step::Ended(ended) => self.stores.settle(ended).await.map_err(|stopped| stopped.to_string()),
            Step::Look => self.stores.end_silent().await.map_err(|stopped| stopped.to_string()),
        }
    }

    async fn subscribe(&mut self) -> Result<(), String> {
        self.granted_by = Some(Instant::now() + GRANTED_WITHIN);
        let filters = of_all_stores(&self.settings.share).map(|topic| Filter::new(topic, QoS::AtLeastOnce));
        // Fails only when the event loop has ended, and that one tells why.
        let _ = self.client.subscribe_many(filters).await;
        Ok(())
    }

    async fn take_in(&mut self, mut publish: Publish) -> Result<(), String> {
        let payload = std::mem::take(&mut publish.payload);
        let (committed, done) = oneshot::channel();
        if publish.qos != QoS::AtMostOnce {
            // All that a PUBACK takes; the topic would hold the whole packet in memory.
            let bare = Publish { qos: publish.qos, pkid: publish.pkid, ..Publish::default() };
            // Fails only when the event loop has ended, and that one tells why.
            let _ = self.confirming.send((bare, done)).await;
        }
        let topic = String::from_utf8_lossy(&publish.topic);
        let taken = match spoken(&topic) {
            Some((store, Published::Frame)) if (1..=FRAME_BYTES_MAX).contains(&payload.len()) => {
                self.shared.metrics.frame(payload.len());
                self.stores.frame(store, payload.to_vec(), committed).await
            }
            Some((_, Published::Frame)) => self.ignore("size", &topic),
            Some((store, Published::Presence)) if *payload == *GONE => self.stores.gone(&store).await,
            Some((_, Published::Presence)) => Ok(()),
            None => self.ignore("topic", &topic),
        };
        taken.map_err(|stopped| stopped.to_string())
    }

    fn ignore(&self, reason: &'static str, topic: &str) -> Result<(), Stopped> {
        self.shared.metrics.broker_ignored(reason);
        debug!(reason, topic, "a message from the broker is ignored");
        Ok(())
    }
}

/// Confirms messages in the order they came, each once the hub is done with it: committed, or dropped.
async fn confirm(client: AsyncClient, mut unconfirmed: mpsc::Receiver<Unconfirmed>) {
    while let Some((publish, done)) = unconfirmed.recv().await {
        // A frame that failed to commit is confirmed too. Its store has no acknowledgement, and sends it again.
        let _ = done.await;
        if client.ack(&publish).await.is_err() {
            return;
        }
    }
}

async fn until(limit: Option<Instant>) {
    match limit {
        Some(limit) => sleep_until(limit).await,
        None => std::future::pending().await,
    }
}

async fn until_ended(heard: &mut mpsc::Receiver<Waiting>) {
    while let Some((said, _)) = heard.recv().await {
        if matches!(said, Heard::Ended(_)) {
            return;
        }
    }
}
