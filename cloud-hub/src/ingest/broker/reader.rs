//! The library's event loop in a task of its own, which never waits for the rest of the session: that waits for room to
//! confirm and to publish, and only polling makes room.

use super::{PACKET_BYTES_MAX, words};
use crate::config::HostPort;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, PubAckReason, Publish, SubAck, SubscribeReasonCode};
use rumqttc::v5::{Event, EventLoop};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// The library says something at least once in a keep-alive. Longer without a word, and it hangs in a send that nobody takes.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// What may wait for the session, in bytes. Counted so and not in messages, because brokers don't keep to the number they
/// are told: Mosquitto 2.0.11 was seen with 526 unconfirmed where 256 were allowed.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Of that, what messages nobody has to confirm may not take: any store could fill it with those.
const KEPT_FREE: usize = WAITING_BYTES_MAX / 2;
/// What a message takes beside its payload and topic.
const BESIDE_BYTES: u32 = 512;
/// The room runs out before this does, and leaves some for the end.
const WAITING_MAX: usize = WAITING_BYTES_MAX / BESIDE_BYTES as usize + 1;

/// What the broker said.
pub(super) enum Heard {
    Connected,
    /// Both subscriptions were granted.
    Subscribed,
    Message(Publish),
    /// The connection is over, for this reason. Nothing more comes.
    Ended(String),
}

/// The event loop, and where what comes out of it goes.
pub(super) struct Reader {
    events: EventLoop,
    broker: HostPort,
    answered: bool,
    /// Bytes that may still wait.
    room: Arc<Semaphore>,
    telling: mpsc::Sender<Waiting>,
}

/// What waits for the session, and the room that it takes until then.
pub(super) type Waiting = (Heard, Option<OwnedSemaphorePermit>);

impl Reader {
    pub fn new(events: EventLoop, broker: HostPort) -> (Reader, mpsc::Receiver<Waiting>) {
        let (telling, heard) = mpsc::channel(WAITING_MAX);
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        (Reader { events, broker, answered: false, room, telling }, heard)
    }

    /// Polls until the connection ends, or nobody listens any more.
    pub async fn run(mut self) {
        loop {
            let heard = match timeout(self.events.options.keep_alive() + STUCK_AFTER, self.events.poll())
                .await
            {
                Ok(Ok(event)) => understood(event),
                Ok(Err(error)) => Some(Heard::Ended(words::in_words(&error, &self.broker, self.answered))),
                Err(_) => Some(Heard::Ended("the broker takes nothing of what is sent".to_owned())),
            };
            let Some(heard) = heard else { continue };
            self.answered |= matches!(heard, Heard::Connected);
            if matches!(heard, Heard::Ended(_)) {
                return self.end(heard);
            }
            if is_unconfirmed(&heard) && self.room.available_permits() <= KEPT_FREE {
                continue;
            }
            let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes_of(&heard)) else {
                let mib = WAITING_BYTES_MAX >> 20;
                return self.end(Heard::Ended(format!(
                    "the broker sends faster than the hub commits; {mib} MiB wait"
                )));
            };
            if self.telling.try_send((heard, Some(room))).is_err() {
                return;
            }
        }
    }

    fn end(self, ended: Heard) {
        // Fails only when nobody listens any more.
        let _ = self.telling.try_send((ended, None));
    }
}

fn bytes_of(heard: &Heard) -> u32 {
    let Heard::Message(publish) = heard else { return BESIDE_BYTES };
    let said = u32::try_from(publish.payload.len() + publish.topic.len()).unwrap_or(u32::MAX);
    said.saturating_add(BESIDE_BYTES)
}

/// Nobody has to confirm it, and so nothing holds it back; its sender sends it again if it matters.
fn is_unconfirmed(heard: &Heard) -> bool {
    matches!(heard, Heard::Message(publish) if publish.qos == QoS::AtMostOnce)
}

fn understood(event: Event) -> Option<Heard> {
    match event {
        Event::Incoming(Packet::ConnAck(terms)) => Some(unfit(&terms).map_or(Heard::Connected, Heard::Ended)),
        Event::Incoming(Packet::SubAck(granted)) => {
            Some(refused(&granted).map_or(Heard::Subscribed, Heard::Ended))
        }
        Event::Incoming(Packet::Publish(publish)) => Some(Heard::Message(publish)),
        Event::Incoming(Packet::PubAck(ack)) if ack.reason == PubAckReason::NotAuthorized => Some(
            Heard::Ended("the broker does not let the hub publish to the stores; see its rules".to_owned()),
        ),
        Event::Outgoing(Outgoing::Disconnect) => Some(Heard::Ended("the hub is stopping".to_owned())),
        Event::Incoming(_) | Event::Outgoing(_) => None,
    }
}

/// What the broker does not offer that the hub needs.
fn unfit(terms: &ConnAck) -> Option<String> {
    let terms = terms.properties.as_ref()?;
    let lacks = |what: &str| Some(format!("the broker lacks {what}, which the hub needs"));
    if terms.shared_subscription_available == Some(0) {
        return lacks("shared subscriptions");
    }
    if terms.wildcard_subscription_available == Some(0) {
        return lacks("wildcard subscriptions");
    }
    if terms.max_qos == Some(0) {
        return lacks("QoS 1");
    }
    if terms.max_packet_size.is_some_and(|max| max < PACKET_BYTES_MAX) {
        return lacks(&format!("packets of {PACKET_BYTES_MAX} bytes"));
    }
    None
}

/// The share's name may be a secret, so it is not said.
fn refused(granted: &SubAck) -> Option<String> {
    let asked = ["what stores send, as a shared subscription", "stores' presence"];
    if granted.return_codes.len() != asked.len() {
        return Some("the broker answered another subscription than the hub's".to_owned());
    }
    let mut pairs = asked.iter().zip(&granted.return_codes);
    let (what, code) = pairs.find(|(_, code)| !matches!(code, SubscribeReasonCode::Success(_)))?;
    Some(format!("the broker refused to subscribe the hub to {what}: {}", words::spaced(code)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, ConnectProperties, ConnectReturnCode};
    use rumqttc::v5::{AsyncClient, MqttOptions};
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc::Receiver;
    use tokio::task::yield_now;

    const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];

    /// A broker that says what the test wants, and what the reader makes of it.
    async fn reading() -> (AsyncClient, TcpStream, Receiver<Waiting>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut options = MqttOptions::new("hub", address.ip().to_string(), address.port());
        options.set_manual_acks(true);
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(PACKET_BYTES_MAX);
        options.set_connect_properties(properties);
        let (client, events) = AsyncClient::new(options, 1);
        let at = HostPort { host: address.ip().to_string(), port: address.port() };
        let (reader, heard) = Reader::new(events, at);
        tokio::spawn(reader.run());
        let (mut broker, _) = listener.accept().await.unwrap();
        broker.write_all(&CONNACK).await.unwrap();
        (client, broker, heard)
    }

    fn publish(id: Option<u16>, payload: usize) -> Vec<u8> {
        let topic = b"a";
        let length = 2 + topic.len() + 2 * usize::from(id.is_some()) + 1 + payload;
        let mut packet = vec![if id.is_some() { 0x32 } else { 0x30 }];
        for (shift, more) in [(0, 0x80), (7, 0x80), (14, 0)] {
            packet.push(u8::try_from(length >> shift & 0x7f).unwrap() | more);
        }
        packet.extend([0, 1, topic[0]]);
        packet.extend(id.iter().flat_map(|id| id.to_be_bytes()));
        packet.extend(std::iter::repeat_n(0, payload + 1));
        packet
    }

    #[tokio::test]
    async fn more_messages_than_the_broker_may_send_wait_all_the_same() {
        const MANY: u16 = 4 * super::super::RECEIVE_MAX;
        let (_client, mut broker, heard) = reading().await;
        for id in 1..=MANY {
            broker.write_all(&publish(Some(id), 100)).await.unwrap();
        }
        let all_wait = async {
            while heard.len() < 1 + usize::from(MANY) {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), all_wait).await.expect("all are read while nobody takes them");
    }

    #[tokio::test]
    async fn a_broker_that_floods_the_hub_is_hung_up_on_and_unconfirmed_messages_are_dropped_before() {
        const LARGE: usize = 250_000;
        let (_client, mut broker, mut heard) = reading().await;
        for _ in 0..2 * WAITING_BYTES_MAX / LARGE {
            broker.write_all(&publish(None, LARGE)).await.unwrap();
        }
        let mut id = 0;
        while broker.write_all(&publish(Some(id + 1), LARGE)).await.is_ok() {
            id += 1;
            assert!(usize::from(id) < 10 * WAITING_BYTES_MAX / LARGE, "it has hung up long ago");
        }
        let (mut unconfirmed, mut to_confirm) = (0, 0);
        let reason = loop {
            match heard.recv().await.unwrap().0 {
                Heard::Ended(reason) => break reason,
                Heard::Message(publish) if publish.qos == QoS::AtMostOnce => unconfirmed += 1,
                Heard::Message(_) => to_confirm += 1,
                Heard::Connected | Heard::Subscribed => {}
            }
        };
        assert!(reason.contains("faster than the hub commits"), "{reason}");
        let half = KEPT_FREE / LARGE;
        assert!(unconfirmed <= half + 1 && to_confirm >= half - 1, "{unconfirmed} and {to_confirm}");
        assert!((unconfirmed + to_confirm) * LARGE <= WAITING_BYTES_MAX);
    }

    fn offering(change: impl FnOnce(&mut ConnAckProperties)) -> Option<String> {
        let mut terms = nothing_said();
        change(&mut terms);
        let code = ConnectReturnCode::Success;
        unfit(&ConnAck { session_present: false, code, properties: Some(terms) })
    }

    fn nothing_said() -> ConnAckProperties {
        ConnAckProperties {
            session_expiry_interval: None,
            receive_max: None,
            max_qos: None,
            retain_available: None,
            max_packet_size: None,
            assigned_client_identifier: None,
            topic_alias_max: None,
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: None,
            subscription_identifiers_available: None,
            shared_subscription_available: None,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }
    }

    #[test]
    fn a_broker_that_lacks_something_is_told_apart() {
        assert_eq!(offering(|_| {}), None);
        assert_eq!(offering(|terms| terms.max_packet_size = Some(1 << 20)), None);
        let shared = offering(|terms| terms.shared_subscription_available = Some(0)).unwrap();
        assert!(shared.contains("shared subscriptions"), "{shared}");
        assert!(offering(|terms| terms.wildcard_subscription_available = Some(0)).is_some());
        assert!(offering(|terms| terms.max_qos = Some(0)).is_some());
        let size = offering(|terms| terms.max_packet_size = Some(256 << 10)).unwrap();
        assert!(size.contains("263168"), "{size}");
    }

    #[test]
    fn a_refused_subscription_is_named() {
        let granted = |second| SubAck {
            pkid: 1,
            return_codes: vec![SubscribeReasonCode::Success(QoS::AtLeastOnce), second],
            properties: None,
        };
        assert_eq!(refused(&granted(SubscribeReasonCode::Success(QoS::AtMostOnce))), None);
        let why = refused(&granted(SubscribeReasonCode::NotAuthorized)).unwrap();
        assert!(why.contains("presence") && why.contains("not authorized"), "{why}");
    }
}
