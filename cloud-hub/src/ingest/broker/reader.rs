//! The library's event loop in a task of its own, which never waits for the rest of the session: that waits for room to
//! confirm and to publish, and only polling makes room.

use super::{PACKET_BYTES_MAX, RECEIVE_MAX, Settings, words};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, PubAckReason, Publish, SubAck, SubscribeReasonCode};
use rumqttc::v5::{Event, EventLoop};
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::timeout;

/// The library says something at least once in a keep-alive. Longer without a word, and it hangs in a send that nobody takes.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// What may wait for the session. The broker has to wait for confirmations once it has sent [`RECEIVE_MAX`] messages, and a
/// connection knows few other words.
const HEARD_MAX: usize = RECEIVE_MAX as usize + 64;
/// Of that, what messages nobody has to confirm may not take: any store could fill it with those.
const KEPT_FREE: usize = RECEIVE_MAX as usize + 8;

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
    settings: Settings,
    answered: bool,
    telling: mpsc::Sender<Heard>,
}

impl Reader {
    pub fn new(events: EventLoop, settings: &Settings) -> (Reader, mpsc::Receiver<Heard>) {
        let (telling, heard) = mpsc::channel(HEARD_MAX);
        (Reader { events, settings: settings.clone(), answered: false, telling }, heard)
    }

    /// Polls until the connection ends, or nobody listens any more.
    pub async fn run(mut self) {
        loop {
            let heard = match timeout(self.events.options.keep_alive() + STUCK_AFTER, self.events.poll())
                .await
            {
                Ok(Ok(event)) => understood(event),
                Ok(Err(error)) => Some(Heard::Ended(words::in_words(&error, &self.settings, self.answered))),
                Err(_) => Some(Heard::Ended("the broker takes nothing of what is sent".to_owned())),
            };
            let Some(heard) = heard else { continue };
            self.answered |= matches!(heard, Heard::Connected);
            if matches!(heard, Heard::Ended(_)) {
                return self.end(heard).await;
            }
            if is_unconfirmed(&heard) && self.telling.capacity() <= KEPT_FREE {
                continue;
            }
            match self.telling.try_send(heard) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    let reason = format!("the broker sent more than the {RECEIVE_MAX} messages it may");
                    return self.end(Heard::Ended(reason)).await;
                }
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }

    async fn end(self, ended: Heard) {
        // With the connection goes all that waited for polling, so this may wait.
        drop(self.events);
        let _ = self.telling.send(ended).await;
    }
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
    use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, ConnectReturnCode};

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
