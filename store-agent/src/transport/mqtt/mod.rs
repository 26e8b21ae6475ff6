//! One link to the hub over MQTT 5: connects over TLS, subscribes, and carries frames until it ends.
//!
//! For stores whose network lets no UDP out. The topics are `shopsmart/v1/{store}/up|down/state|history` and `…/presence`; the
//! payload of a PUBLISH is one frame. The hub's own endpoint and a broker in between look the same from here.
//!
//! The library (rumqttc) reconnects, queues and sends again by itself if it is let; none of that is used. Its event loop lives
//! for one connection: any error ends the link and drops it with all it held. A PUBACK only makes room for the next PUBLISH:
//! what counts as delivered is decided by the core's own acknowledgements, as on QUIC.
//!
//! The event loop is polled in a task of its own, which hands frames to the core: while that is behind, nothing is read, and the
//! hub is held back by TCP. What the core wants sent waits in lanes here, within bounds, for room in the library's channel.

mod words;

use super::ends::{Ends, STOPPING};
use super::identity;
use super::lanes::Lanes;
use crate::config::HubConfig;
use crate::inbox::Flight;
use crate::telemetry::Direction;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, LastWill, Packet, PubAckReason, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing, Proxy, ProxyAuth, ProxyType, TlsConfiguration, Transport};
use std::future::{Future, pending};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use sync_protocol::StoreId;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// Names the protocol in the TLS handshake, so that a hub may offer more than one on a port.
const ALPN: &[u8] = b"mqtt";
/// The core's heartbeats keep the line open and show that it is; the library asks for an answer of its own in any case.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// The library says something at least once in a keep-alive. Longer without a word, and it hangs in a send that nobody takes.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// From a PUBLISH, or the last word of the other side after it, to a PUBACK. A frame at its bound takes most of that on 128 kbit/s.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(20);
const CONNECT_WITHIN: Duration = Duration::from_secs(6);
const GRANTED_WITHIN: Duration = Duration::from_secs(6);
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// What may wait in the library for the event loop.
const REQUESTS_MAX: usize = 16;
/// What may be sent and unconfirmed, and what the hub may send so.
const INFLIGHT_MAX: u16 = 16;
/// A frame at its bound, and the topic and properties around it.
const PACKET_BYTES_MAX: u32 = 256 * 1024 + 1024;
const _: () = assert!(PACKET_BYTES_MAX as usize == FRAME_BYTES_MAX + 1024);
/// What may wait to be sent before the link is dropped.
const LANE_BYTES_MAX: usize = 8 << 20;

/// Dials once and carries the link to its end. Says why it ended.
pub async fn link(config: &HubConfig, store: &StoreId, ends: &Ends) -> String {
    ends.metrics.link_dials.inc();
    let topics = Arc::new(Topics::of(store));
    let options = match options(config, store, &topics) {
        Ok(options) => options,
        Err(reason) => return reason,
    };
    let (client, events) = AsyncClient::new(options, REQUESTS_MAX);
    let (telling_connected, connected) = oneshot::channel();
    let (telling_up, up) = oneshot::channel();
    let reader = Reader {
        events,
        topics: Arc::clone(&topics),
        ends: ends.clone(),
        place: words::Place::of(config),
        connected: Some(telling_connected),
        up: Some(telling_up),
        unconfirmed: 0,
        unheard_since: None,
    };
    let mut reading = JoinSet::new();
    reading.spawn(reader.run());
    let writer = Writer { client, topics, ends, connected: AtomicBool::new(false) };
    let reason = tokio::select! {
        reason = reader_end(&mut reading) => reason,
        reason = writer.run(connected, up) => reason,
        reason = ends.cued() => reason,
    };
    if !reading.is_empty() && writer.say_goodbye() {
        let _ = timeout(GOODBYE_WITHIN, reading.join_next()).await;
    }
    // Only with the event loop gone can no more of its frames come in.
    reading.shutdown().await;
    reason
}

/// Why the event loop ended. It may have panicked in the library, on bytes from the hub: that ends the link, not the agent.
async fn reader_end(reading: &mut JoinSet<String>) -> String {
    match reading.join_next().await {
        Some(Ok(reason)) => reason,
        Some(Err(_)) | None => "the MQTT library failed on what the hub sent".to_owned(),
    }
}

fn options(config: &HubConfig, store: &StoreId, topics: &Topics) -> Result<MqttOptions, String> {
    let mut tls = identity::client_naming(config).map_err(|error| error.to_string())?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let at = &config.mqtt_address;
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(0);
    properties.receive_maximum = Some(INFLIGHT_MAX);
    properties.max_packet_size = Some(PACKET_BYTES_MAX);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    let mut options = MqttOptions::new(store.as_str(), at.host.clone(), at.port);
    options
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))))
        .set_network_options(network)
        .set_clean_start(true)
        .set_connect_properties(properties)
        .set_keep_alive(KEEP_ALIVE)
        .set_connection_timeout(CONNECT_WITHIN.as_secs())
        .set_outgoing_inflight_upper_limit(INFLIGHT_MAX)
        .set_last_will(LastWill::new(topics.presence.as_str(), GONE, QoS::AtLeastOnce, false, None));
    if let Some(proxy) = &config.proxy {
        let (addr, port) = (proxy.host.clone(), proxy.port);
        options.set_proxy(Proxy { ty: ProxyType::Http, auth: ProxyAuth::None, addr, port });
    }
    Ok(options)
}

const HERE: &str = "here";
const GONE: &str = "gone";

/// The topics of one store.
#[derive(Debug)]
struct Topics {
    up_state: String,
    up_history: String,
    down_state: String,
    down_history: String,
    presence: String,
}

impl Topics {
    fn of(store: &StoreId) -> Topics {
        let topic = |rest: &str| format!("shopsmart/v1/{store}/{rest}");
        Topics {
            up_state: topic("up/state"),
            up_history: topic("up/history"),
            down_state: topic("down/state"),
            down_history: topic("down/history"),
            presence: topic("presence"),
        }
    }

    fn up(&self, stream: Stream) -> &str {
        match stream {
            Stream::State => &self.up_state,
            Stream::History => &self.up_history,
        }
    }

    fn stream(&self, topic: &[u8]) -> Option<Stream> {
        match topic {
            topic if topic == self.down_state.as_bytes() => Some(Stream::State),
            topic if topic == self.down_history.as_bytes() => Some(Stream::History),
            _ => None,
        }
    }
}

/// The event loop, and where what comes out of it goes.
struct Reader {
    events: EventLoop,
    topics: Arc<Topics>,
    ends: Ends,
    place: words::Place,
    connected: Option<oneshot::Sender<()>>,
    up: Option<oneshot::Sender<mpsc::Receiver<Flight>>>,
    /// Publishes without a PUBACK, and since when nothing has come from the other side while there are any.
    unconfirmed: u32,
    unheard_since: Option<Instant>,
}

impl Reader {
    /// Polls until the connection ends, and says why it did.
    async fn run(mut self) -> String {
        let reason = loop {
            let event = match timeout_at(self.patience_ends(), self.events.poll()).await {
                Ok(Ok(event)) => event,
                Ok(Err(error)) => {
                    let reason = words::in_words(&error, &self.place, self.connected.is_none());
                    break self.finish().await.unwrap_or(reason);
                }
                Err(_) => break "the hub leaves what is sent unconfirmed".to_owned(),
            };
            if let ControlFlow::Break(reason) = self.took(event).await {
                break reason;
            }
        };
        if self.connected.is_none() {
            self.ends.metrics.link_ends.inc();
        }
        reason
    }

    fn patience_ends(&self) -> Instant {
        let stuck_at = Instant::now() + self.events.options.keep_alive() + STUCK_AFTER;
        self.unheard_since.map_or(stuck_at, |since| stuck_at.min(since + UNCONFIRMED_MAX))
    }

    /// Keeps the time from which an answer is due.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Outgoing(Outgoing::Publish(_)) => {
                self.unconfirmed += 1;
                self.unheard_since.get_or_insert_with(Instant::now);
            }
            Event::Incoming(packet) => {
                let confirmed = u32::from(matches!(packet, Packet::PubAck(_)));
                self.unconfirmed = self.unconfirmed.saturating_sub(confirmed);
                self.unheard_since = (self.unconfirmed > 0).then(Instant::now);
            }
            Event::Outgoing(_) => {}
        }
    }

    /// What came in before the connection ended is still handed on: the hub's last frame may say why.
    async fn finish(&mut self) -> Option<String> {
        while let Some(event) = self.events.state.events.pop_front() {
            if let ControlFlow::Break(reason) = self.took(event).await {
                return Some(reason);
            }
        }
        None
    }

    async fn took(&mut self, event: Event) -> ControlFlow<String> {
        self.note(&event);
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                if let Some(connected) = self.connected.take() {
                    tracing::debug!(at = %self.place, "connected; subscribing");
                    let _ = connected.send(());
                }
            }
            Event::Incoming(Packet::SubAck(granted)) => return self.granted(&granted).await,
            Event::Incoming(Packet::Publish(publish)) => return self.published(&publish).await,
            Event::Incoming(Packet::PubAck(ack)) => return confirmed(&ack.reason),
            Event::Outgoing(Outgoing::Disconnect) => return ControlFlow::Break(STOPPING.to_owned()),
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
        ControlFlow::Continue(())
    }

    /// With both subscriptions granted the link is up. The core hears of it here, and so before any frame.
    async fn granted(&mut self, granted: &SubAck) -> ControlFlow<String> {
        let refused =
            granted.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
        if let Some(code) = refused {
            let why = words::spaced(code);
            return ControlFlow::Break(format!("the hub refused the subscription: {why}"));
        }
        if granted.return_codes.len() != 2 {
            return ControlFlow::Break("the hub answered another subscription than ours".to_owned());
        }
        let Some(up) = self.up.take() else { return ControlFlow::Continue(()) };
        let Some(flights) = self.ends.up().await else { return ControlFlow::Break(STOPPING.to_owned()) };
        let _ = up.send(flights);
        ControlFlow::Continue(())
    }

    async fn published(&mut self, publish: &Publish) -> ControlFlow<String> {
        // The library shows no socket, so this counts packets, before TLS; QUIC's counters count datagrams.
        self.ends.metrics.mqtt(Direction::Received, publish.size());
        let Some(stream) = self.topics.stream(&publish.topic) else {
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            return ControlFlow::Break(format!(
                "the hub sent something on `{topic}`, which nobody asked for"
            ));
        };
        let length = publish.payload.len();
        if length == 0 || length > FRAME_BYTES_MAX {
            return ControlFlow::Break(format!(
                "the hub sent a frame of {length} bytes; 1 to {FRAME_BYTES_MAX} are allowed"
            ));
        }
        // A broker may deliver before it has answered the subscription; there is no link yet that it could belong to.
        if self.up.is_some() || self.ends.frame(stream, publish.payload.to_vec()).await {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(STOPPING.to_owned())
        }
    }
}

/// What a PUBACK says. A broker without the hub would take everything and pass nothing on: better to look elsewhere, or dial
/// again until the hub is back, than to wait for answers.
fn confirmed(reason: &PubAckReason) -> ControlFlow<String> {
    match reason {
        PubAckReason::Success => ControlFlow::Continue(()),
        PubAckReason::NoMatchingSubscribers => {
            ControlFlow::Break("the hub is not connected to the broker".to_owned())
        }
        refused => ControlFlow::Break(format!("the hub refused a frame: {}", words::spaced(refused))),
    }
}

type Sending = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Hands to the library what is to be sent.
struct Writer<'a> {
    client: AsyncClient,
    topics: Arc<Topics>,
    ends: &'a Ends,
    connected: AtomicBool,
}

impl Writer<'_> {
    /// Subscribes, then sends. Comes back only with a reason of its own: when the event loop ends, that one tells.
    async fn run(
        &self,
        connected: oneshot::Receiver<()>,
        up: oneshot::Receiver<mpsc::Receiver<Flight>>,
    ) -> String {
        if connected.await.is_err() {
            return pending().await;
        }
        self.connected.store(true, Ordering::Relaxed);
        if !self.subscribe().await {
            return pending().await;
        }
        match timeout(GRANTED_WITHIN, up).await {
            Ok(Ok(flights)) => self.send(flights).await,
            Ok(Err(_)) => pending().await,
            Err(_) => {
                format!("the hub did not answer the subscription in {} seconds", GRANTED_WITHIN.as_secs())
            }
        }
    }

    async fn subscribe(&self) -> bool {
        let filter = |topic: &str| Filter::new(topic, QoS::AtLeastOnce);
        let filters = [filter(&self.topics.down_state), filter(&self.topics.down_history)];
        let presence = self.topics.presence.as_str();
        self.client.subscribe_many(filters).await.is_ok()
            && self.client.publish(presence, QoS::AtLeastOnce, false, HERE).await.is_ok()
    }

    async fn send(&self, mut flights: mpsc::Receiver<Flight>) -> String {
        let mut lanes = Lanes::default();
        let mut sending: Option<Sending> = None;
        loop {
            if sending.is_none() {
                sending = lanes.next().map(|(stream, frame)| self.publish(stream, frame));
            }
            tokio::select! {
                biased;
                flight = flights.recv() => match flight {
                    Some(Flight::Frames(frames)) => {
                        frames.into_iter().for_each(|(stream, frame)| lanes.add(stream, frame));
                    }
                    Some(Flight::HangUp { reason }) => return reason,
                    None => return "the core gave the link up: it could not keep pace".to_owned(),
                },
                // Kept over the turns, never begun anew: a frame must not be sent twice.
                taken = sent(&mut sending) => {
                    sending = None;
                    if !taken {
                        return pending().await;
                    }
                }
            }
            if lanes.bytes() > LANE_BYTES_MAX {
                return "the hub takes too little of what is sent".to_owned();
            }
        }
    }

    /// Waits for room in the library's channel. False once the event loop has ended.
    fn publish(&self, stream: Stream, frame: Vec<u8>) -> Sending {
        let publish = Publish::new(self.topics.up(stream), QoS::AtLeastOnce, frame, None);
        // The number of the packet is given later, and takes two bytes.
        self.ends.metrics.mqtt(Direction::Sent, publish.size() + 2);
        let (client, topic) = (self.client.clone(), self.topics.up(stream).to_owned());
        Box::pin(async move { client.publish(topic, QoS::AtLeastOnce, false, publish.payload).await.is_ok() })
    }

    /// Asks for an end in good order, if there is room for that. The will is for ends without one.
    fn say_goodbye(&self) -> bool {
        if !self.connected.load(Ordering::Relaxed) {
            return false;
        }
        let presence = self.topics.presence.as_str();
        let _ = self.client.try_publish(presence, QoS::AtLeastOnce, false, GONE);
        self.client.try_disconnect().is_ok()
    }
}

async fn sent(sending: &mut Option<Sending>) -> bool {
    match sending {
        Some(sending) => sending.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_name_the_store_and_only_its_own_down_topics_are_taken() {
        let topics = Topics::of(&"S0001".parse().unwrap());
        assert_eq!(topics.up(Stream::State), "shopsmart/v1/S0001/up/state");
        assert_eq!(topics.up(Stream::History), "shopsmart/v1/S0001/up/history");
        assert_eq!(topics.stream(b"shopsmart/v1/S0001/down/state"), Some(Stream::State));
        assert_eq!(topics.stream(b"shopsmart/v1/S0001/down/history"), Some(Stream::History));
        assert_eq!(topics.stream(b"shopsmart/v1/S0002/down/state"), None);
        assert_eq!(topics.stream(b"shopsmart/v1/S0001/up/state"), None);
    }
}
