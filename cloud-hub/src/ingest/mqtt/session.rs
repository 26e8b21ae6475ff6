//! One client's MQTT 5 session without I/O: bytes in, what they mean out, and bytes to send. Every packet is checked
//! against what the store of the connection's certificate may do; the first breach ends the session with MQTT's code
//! for it.

use crate::ingest::topics::{Published, Topics};
use crate::ingest::{Answer, Farewell};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event};
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumQos, Packet, Property, Qos, ReasonString, RetainAvailable,
    ServerKeepAlive, SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable,
    TopicAliasMaximum, WildcardSubscriptionAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::prelude::GenericPacketTrait;
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    SubackReasonCode, UnsubackReasonCode,
};
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use sync_protocol::StoreId;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;

/// Frames a client may have on their way without a PUBACK.
pub(super) const RECEIVE_MAX: u16 = 16;
/// A frame, and around it a topic and properties.
const PACKET_BYTES_MAX: usize = FRAME_BYTES_MAX + 1024;
/// Topic aliases: more than the three topics a store publishes to.
const TOPIC_ALIASES_MAX: u16 = 8;
/// Seconds that a client may be silent at most, times one and a half.
const KEEP_ALIVE_MAX: u16 = 60;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing that concerns anybody but this session.
    Nothing,
    /// The client is in. It goes when it is silent for this long.
    Connected { silence_max: Duration },
    /// A frame; with an id at QoS 1, and then its commit must be acknowledged.
    Frame { bytes: Vec<u8>, id: Option<u16> },
    /// Something that is acknowledged, and that is all.
    Noted { id: Option<u16> },
    /// The client listens to both streams.
    Listening,
}

/// Why a session ends, and MQTT's code for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub why: Farewell,
    code: DisconnectReasonCode,
}

impl Ending {
    fn misused(code: DisconnectReasonCode, how: &'static str) -> Ending {
        Ending { why: Farewell::Misused(how), code }
    }

    fn oversized(found: usize) -> Ending {
        let why = format!("a frame of {found} bytes came; 1 to {FRAME_BYTES_MAX} are allowed");
        Ending { why: Farewell::Oversized(why), code: DisconnectReasonCode::PacketTooLarge }
    }

    /// The same packet identifier twice, with the first not acknowledged.
    pub fn id_in_use() -> Ending {
        Self::misused(DisconnectReasonCode::ProtocolError, "a packet identifier was used twice")
    }
}

impl From<Farewell> for Ending {
    fn from(why: Farewell) -> Self {
        let code = match &why {
            Farewell::Gone => DisconnectReasonCode::NormalDisconnection,
            Farewell::Stopping => DisconnectReasonCode::ServerShuttingDown,
            Farewell::Replaced => DisconnectReasonCode::SessionTakenOver,
            Farewell::NoIdentity(_) | Farewell::NotAdmitted(_) => DisconnectReasonCode::NotAuthorized,
            Farewell::Oversized(_) => DisconnectReasonCode::PacketTooLarge,
            Farewell::Silent => DisconnectReasonCode::KeepAliveTimeout,
            Farewell::Misused(_) | Farewell::Refused(_) => DisconnectReasonCode::ImplementationSpecificError,
            Farewell::Slow => DisconnectReasonCode::UnspecifiedError,
        };
        Self { why, code }
    }
}

/// What the library has found wrong.
impl From<MqttError> for Ending {
    fn from(error: MqttError) -> Self {
        let how = match error {
            MqttError::PacketTooLarge => {
                let why = format!("a packet is longer than {PACKET_BYTES_MAX} bytes");
                return Self { why: Farewell::Oversized(why), code: error.into() };
            }
            MqttError::MalformedPacket => "a packet is malformed",
            MqttError::ReceiveMaximumExceeded => "more was sent without waiting for PUBACK than agreed",
            MqttError::TopicAliasInvalid => "a topic alias stands for nothing",
            MqttError::ProtocolError => "a packet came that has no place here",
            _ => "MQTT is not spoken as agreed",
        };
        Self::misused(error.into(), how)
    }
}

/// One client's session.
pub(super) struct Session {
    store: StoreId,
    topics: Topics,
    mqtt: Connection<role::Server>,
    listens: [bool; 2],
    out: Vec<u8>,
}

impl Session {
    pub fn new(store: StoreId) -> Session {
        let size = u32::try_from(PACKET_BYTES_MAX).expect("a packet's size fits 32 bits");
        let options = ConnectionOptions::new().maximum_packet_size_recv(size).receive_maximum(RECEIVE_MAX);
        Session {
            topics: Topics::of(&store),
            store,
            mqtt: Connection::with_options(Version::Undetermined, options),
            listens: [false; 2],
            out: Vec::new(),
        }
    }

    /// Takes in one packet, or the part of it that has come. Also says how many of the bytes that took.
    pub fn hear(&mut self, bytes: &[u8]) -> (usize, Result<Heard, Ending>) {
        let mut cursor = Cursor::new(bytes);
        // The library fails on a few packets that are allowed, such as a Topic Alias Maximum of 0: the session ends, nothing more.
        let received = catch_unwind(AssertUnwindSafe(|| self.mqtt.recv(&mut cursor)));
        let Ok(events) = received else {
            let code = DisconnectReasonCode::ImplementationSpecificError;
            return (bytes.len(), Err(Ending::misused(code, "a packet came that this hub can't work with")));
        };
        let taken = usize::try_from(cursor.position()).unwrap_or(bytes.len()).min(bytes.len());
        (taken, self.heed(events))
    }

    /// Sends the frames of an answer.
    pub fn say(&mut self, answer: Answer) -> Result<(), Ending> {
        for (stream, frame) in answer.frames {
            let publish = v5_0::Publish::builder().topic_name(self.topics.down(stream))?;
            let publish = publish.qos(Qos::AtMostOnce).payload(frame).build()?;
            self.send(publish.into()).map_err(|_| {
                Ending::misused(DisconnectReasonCode::PacketTooLarge, "the client takes no whole frame")
            })?;
        }
        Ok(())
    }

    /// Answers a publish: with success only if its frame is committed.
    pub fn acknowledge(&mut self, id: u16, committed: bool) -> Result<(), Ending> {
        let mut puback = v5_0::Puback::builder().packet_id(id);
        if !committed {
            puback = puback.reason_code(PubackReasonCode::UnspecifiedError);
        }
        self.send(puback.build()?.into())
    }

    /// Says why the session ends, as far as MQTT lets it.
    pub fn part(&mut self, ending: &Ending) {
        if ending.why == Farewell::Gone {
            return;
        }
        let plain = v5_0::Disconnect::builder().reason_code(ending.code);
        let Ok(plain) = plain.build() else { return };
        let worded = ReasonString::new(ending.why.reason()).ok().and_then(|words| {
            let worded = v5_0::Disconnect::builder().reason_code(ending.code);
            worded.props(vec![words.into()]).build().ok()
        });
        // The words are left out where the client takes no packet of that length.
        let said = worded.is_some_and(|worded| self.send(worded.into()).is_ok());
        if !said {
            let _ = self.send(plain.into());
        }
    }

    /// Whether the client has subscribed to both streams, so that nothing said to it is lost.
    pub fn listens(&self) -> bool {
        self.listens == [true; 2]
    }

    /// What is to be sent, which is nothing any more after this.
    pub fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn heed(&mut self, events: Vec<Event>) -> Result<Heard, Ending> {
        let mut heard = Ok(Heard::Nothing);
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.out.extend_from_slice(&packet.to_continuous_buffer());
                }
                Event::NotifyPacketReceived(packet) => heard = self.receive(&packet),
                Event::NotifyError(error) if heard.is_ok() => heard = Err(error.into()),
                // Errors say all there is to say of closing; the connection keeps its own time.
                _ => {}
            }
        }
        heard
    }

    fn send(&mut self, packet: Packet) -> Result<(), Ending> {
        let events = self.mqtt.send(packet);
        self.heed(events).map(drop)
    }

    fn receive(&mut self, packet: &Packet) -> Result<Heard, Ending> {
        match packet {
            Packet::V5_0Connect(connect) => self.connect(connect),
            Packet::V3_1_1Connect(_) => self.old_connect(),
            Packet::V5_0Publish(publish) => self.publish(publish),
            Packet::V5_0Subscribe(subscribe) => self.subscribe(subscribe),
            Packet::V5_0Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe),
            Packet::V5_0Pingreq(_) => self.send(v5_0::Pingresp::new().into()).map(|()| Heard::Nothing),
            Packet::V5_0Disconnect(_) => Err(Farewell::Gone.into()),
            _ => Err(MqttError::ProtocolError.into()),
        }
    }

    fn connect(&mut self, connect: &v5_0::Connect) -> Result<Heard, Ending> {
        if let Some((code, how)) = self.unfit(connect) {
            let words = ReasonString::new(how)?;
            let refusal = v5_0::Connack::builder().session_present(false).reason_code(code);
            self.send(refusal.props(vec![words.into()]).build()?.into())?;
            return Err(Farewell::Misused(how).into());
        }
        let keep_alive = match connect.keep_alive() {
            seconds @ 1..=KEEP_ALIVE_MAX => seconds,
            _ => KEEP_ALIVE_MAX,
        };
        let mut terms = fixed_terms()?;
        if keep_alive != connect.keep_alive() {
            terms.push(ServerKeepAlive::new(keep_alive)?.into());
        }
        if connect.client_id().is_empty() {
            terms.push(AssignedClientIdentifier::new(self.store.to_string())?.into());
        }
        let welcome = v5_0::Connack::builder().session_present(false).reason_code(ConnectReasonCode::Success);
        self.send(welcome.props(terms).build()?.into())?;
        Ok(Heard::Connected { silence_max: Duration::from_secs(u64::from(keep_alive)) * 3 / 2 })
    }

    /// What is wrong with how the client introduces itself.
    fn unfit(&self, connect: &v5_0::Connect) -> Option<(ConnectReasonCode, &'static str)> {
        if connect.props().iter().any(|property| matches!(property, Property::AuthenticationMethod(_))) {
            return Some((
                ConnectReasonCode::BadAuthenticationMethod,
                "the certificate is all there is to show",
            ));
        }
        if !connect.will_flag() {
            None
        } else if !connect.will_topic().is_some_and(|topic| self.topics.is_presence(topic)) {
            Some((ConnectReasonCode::NotAuthorized, "a last will may only go to the store's own presence"))
        } else if connect.will_retain() {
            Some((ConnectReasonCode::RetainNotSupported, "nothing is retained"))
        } else if connect.will_qos() == Qos::ExactlyOnce {
            Some((ConnectReasonCode::QosNotSupported, "QoS 2 is not spoken"))
        } else {
            None
        }
    }

    fn old_connect(&mut self) -> Result<Heard, Ending> {
        let refusal = v3_1_1::Connack::builder().session_present(false);
        let refusal = refusal.return_code(ConnectReturnCode::UnacceptableProtocolVersion);
        self.send(refusal.build()?.into())?;
        Err(Farewell::Misused("MQTT 3.1.1 is not spoken, only MQTT 5").into())
    }

    fn publish(&self, publish: &v5_0::Publish) -> Result<Heard, Ending> {
        if publish.qos() == Qos::ExactlyOnce {
            return Err(Ending::misused(DisconnectReasonCode::QosNotSupported, "QoS 2 is not spoken"));
        }
        if publish.retain() {
            return Err(Ending::misused(DisconnectReasonCode::RetainNotSupported, "nothing is retained"));
        }
        let id = publish.packet_id();
        match self.topics.published(publish.topic_name()) {
            Some(Published::Presence) => Ok(Heard::Noted { id }),
            Some(Published::Frame) => match publish.payload().as_slice() {
                bytes if (1..=FRAME_BYTES_MAX).contains(&bytes.len()) => {
                    Ok(Heard::Frame { bytes: bytes.to_vec(), id })
                }
                bytes => Err(Ending::oversized(bytes.len())),
            },
            None => Err(Ending::misused(
                DisconnectReasonCode::NotAuthorized,
                "this store may not publish to that topic",
            )),
        }
    }

    fn subscribe(&mut self, subscribe: &v5_0::Subscribe) -> Result<Heard, Ending> {
        if subscribe.props().iter().any(|property| matches!(property, Property::SubscriptionIdentifier(_))) {
            let code = DisconnectReasonCode::SubscriptionIdentifiersNotSupported;
            return Err(Ending::misused(code, "subscriptions have no identifiers here"));
        }
        let mut codes = Vec::with_capacity(subscribe.entries().len());
        for entry in subscribe.entries() {
            codes.push(match self.topics.subscribed(entry.topic_filter()) {
                Some(stream) => {
                    self.listens[usize::from(stream == Stream::History)] = true;
                    granted(entry.sub_opts().qos())
                }
                None => SubackReasonCode::NotAuthorized,
            });
        }
        let refused = codes.contains(&SubackReasonCode::NotAuthorized);
        let suback = v5_0::Suback::builder().packet_id(subscribe.packet_id()).reason_codes(codes);
        self.send(suback.build()?.into())?;
        if refused {
            let how = "this store may not subscribe to that topic";
            return Err(Ending::misused(DisconnectReasonCode::NotAuthorized, how));
        }
        Ok(if self.listens() { Heard::Listening } else { Heard::Nothing })
    }

    /// A link without its subscriptions is none: they end with it, and not before.
    fn unsubscribe(&mut self, unsubscribe: &v5_0::Unsubscribe) -> Result<Heard, Ending> {
        let codes = vec![UnsubackReasonCode::NotAuthorized; unsubscribe.entries().len()];
        let unsuback = v5_0::Unsuback::builder().packet_id(unsubscribe.packet_id()).reason_codes(codes);
        self.send(unsuback.build()?.into()).map(|()| Heard::Nothing)
    }
}

fn granted(asked: Qos) -> SubackReasonCode {
    match asked {
        Qos::AtMostOnce => SubackReasonCode::GrantedQos0,
        Qos::AtLeastOnce | Qos::ExactlyOnce => SubackReasonCode::GrantedQos1,
    }
}

/// What every client is told. The library adds the receive maximum and the maximum packet size by itself.
fn fixed_terms() -> Result<Vec<Property>, MqttError> {
    Ok(vec![
        SessionExpiryInterval::new(0)?.into(),
        MaximumQos::new(1)?.into(),
        RetainAvailable::new(0)?.into(),
        TopicAliasMaximum::new(TOPIC_ALIASES_MAX)?.into(),
        WildcardSubscriptionAvailable::new(0)?.into(),
        SubscriptionIdentifierAvailable::new(0)?.into(),
        SharedSubscriptionAvailable::new(0)?.into(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt_protocol_core::mqtt::packet::{SubEntry, SubOpts};

    fn conversation() -> Vec<u8> {
        let connect = v5_0::Connect::builder().client_id("S0001").unwrap().keep_alive(30);
        let will = "shopsmart/v1/S0001/presence";
        let connect = connect.will_message(will, b"gone", Qos::AtLeastOnce, false).unwrap();
        let entry = SubEntry::new("shopsmart/v1/S0001/down/state", SubOpts::new()).unwrap();
        let subscribe = v5_0::Subscribe::builder().packet_id(1).entries(vec![entry]);
        let publish = v5_0::Publish::builder().topic_name("shopsmart/v1/S0001/up/state").unwrap();
        let publish = publish.qos(Qos::AtLeastOnce).packet_id(2).payload(b"frame");
        let publish =
            publish.props(vec![mqtt_protocol_core::mqtt::packet::TopicAlias::new(3).unwrap().into()]);
        let packets: [Packet; 4] = [
            connect.build().unwrap().into(),
            subscribe.build().unwrap().into(),
            publish.build().unwrap().into(),
            v5_0::Pingreq::new().into(),
        ];
        packets.iter().flat_map(GenericPacketTrait::to_continuous_buffer).collect()
    }

    /// Hears everything, as far as the session goes.
    fn heard(mut bytes: &[u8]) -> Vec<Heard> {
        let mut session = Session::new("S0001".parse().unwrap());
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (taken, heard) = session.hear(bytes);
            assert!(taken > 0 || heard.is_err(), "the session neither took anything nor ended");
            bytes = &bytes[taken..];
            match heard {
                Ok(heard) => all.push(heard),
                Err(ending) => {
                    session.part(&ending);
                    break;
                }
            }
        }
        all
    }

    /// `Topic Alias Maximum` of 0 is allowed; the library asserts that it is more.
    #[test]
    fn a_packet_the_library_fails_on_ends_its_own_session() {
        let connect = b"\x10\x15\0\x04MQTT\x05\x02\0\x1e\x03\x22\0\0\0\x05S0001";
        let mut session = Session::new("S0001".parse().unwrap());
        let (taken, heard) = session.hear(connect);
        assert_eq!(taken, connect.len());
        assert!(matches!(heard, Err(Ending { why: Farewell::Misused(_), .. })), "{heard:?}");
    }

    #[test]
    fn a_conversation_is_understood() {
        let heard = heard(&conversation());
        let frame = Heard::Frame { bytes: b"frame".to_vec(), id: Some(2) };
        let silence_max = Duration::from_secs(45);
        assert_eq!(heard, [Heard::Connected { silence_max }, Heard::Nothing, frame, Heard::Nothing]);
    }

    #[test]
    fn no_change_of_bytes_makes_the_session_panic_or_stand_still() {
        let good = conversation();
        let mut state = 7_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, u8::try_from(random(256)).unwrap()),
                }
            }
            heard(&bytes);
        }
    }
}
