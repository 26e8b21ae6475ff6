//! A hub that speaks MQTT, for tests: plays the server's side packet by packet over real TLS, and a proxy before it.

use crate::hub::Authority;
use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectReturnCode, Disconnect, DisconnectProperties,
    DisconnectReasonCode, LastWill, Packet, PubAck, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub const DOWN_STATE: &str = "shopsmart/v1/S0001/down/state";
pub const DOWN_HISTORY: &str = "shopsmart/v1/S0001/down/history";
pub const UP_STATE: &str = "shopsmart/v1/S0001/up/state";
pub const UP_HISTORY: &str = "shopsmart/v1/S0001/up/history";
pub const PRESENCE: &str = "shopsmart/v1/S0001/presence";

/// A listening hub.
pub struct MqttHub {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl MqttHub {
    pub async fn listen(authority: &Authority) -> MqttHub {
        MqttHub::named(authority, "localhost").await
    }

    /// With a certificate for `name`.
    pub async fn named(authority: &Authority, name: &str) -> MqttHub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        MqttHub { listener, tls: TlsAcceptor::from(Arc::new(authority.tls(name, &[b"mqtt"]))) }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next caller, once TLS stands.
    pub async fn accept(&self) -> Client {
        let (tcp, _) = self.listener.accept().await.unwrap();
        let stream = self.tls.accept(tcp).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"mqtt".as_slice()));
        Client { stream, buffer: BytesMut::new() }
    }

    /// Shakes hands with whoever calls, however that ends.
    pub async fn shake_hands(&self) {
        loop {
            let (tcp, _) = self.listener.accept().await.unwrap();
            if let Ok(mut stream) = self.tls.accept(tcp).await {
                let _ = stream.read_u8().await;
            }
        }
    }

    /// The next caller, with its link up.
    pub async fn accept_link(&self) -> Client {
        let mut client = self.accept().await;
        client.take_connect().await;
        client.grant().await;
        client
    }
}

/// An agent that called.
pub struct Client {
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
}

impl Client {
    /// The next packet; `None` when the agent has closed.
    pub async fn next(&mut self) -> Option<Packet> {
        loop {
            // The library's codec does not read the shortest DISCONNECT, which is the one its client sends.
            if self.buffer.starts_with(&[0xe0, 0x00]) {
                self.buffer.clear();
                return Some(Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)));
            }
            match Packet::read(&mut self.buffer, None) {
                Ok(packet) => return Some(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("{error}"),
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub async fn say(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, None).unwrap();
        self.say_raw(&bytes).await;
    }

    pub async fn say_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub async fn connect(&mut self) -> (Connect, LastWill) {
        match self.next().await {
            Some(Packet::Connect(connect, Some(will), None)) => (connect, will),
            other => panic!("{other:?}"),
        }
    }

    /// Takes the CONNECT, with the properties the hub's own endpoint answers.
    pub async fn take_connect(&mut self) {
        self.connect().await;
        let properties = ConnAckProperties {
            session_expiry_interval: Some(0),
            receive_max: Some(16),
            max_qos: Some(1),
            retain_available: Some(0),
            max_packet_size: Some(257 * 1024),
            assigned_client_identifier: None,
            topic_alias_max: Some(0),
            reason_string: None,
            user_properties: Vec::new(),
            wildcard_subscription_available: Some(0),
            subscription_identifiers_available: Some(0),
            shared_subscription_available: Some(0),
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        };
        self.answer_connect(ConnectReturnCode::Success, Some(properties)).await;
    }

    pub async fn answer_connect(&mut self, code: ConnectReturnCode, properties: Option<ConnAckProperties>) {
        self.say(Packet::ConnAck(ConnAck { session_present: false, code, properties })).await;
    }

    /// The number of the SUBSCRIBE, which names the two topics of the store.
    pub async fn subscription(&mut self) -> u16 {
        let Some(Packet::Subscribe(subscribe)) = self.next().await else { panic!("no SUBSCRIBE") };
        let topics: Vec<_> = subscribe.filters.iter().map(|f| (f.path.as_str(), f.qos)).collect();
        assert_eq!(topics, [(DOWN_STATE, QoS::AtLeastOnce), (DOWN_HISTORY, QoS::AtLeastOnce)]);
        subscribe.pkid
    }

    pub async fn answer_subscription(&mut self, pkid: u16, return_codes: Vec<SubscribeReasonCode>) {
        self.say(Packet::SubAck(SubAck { pkid, return_codes, properties: None })).await;
    }

    async fn grant(&mut self) {
        let pkid = self.subscription().await;
        let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
        self.answer_subscription(pkid, vec![granted, granted]).await;
        assert_eq!(self.frame().await, (PRESENCE.to_owned(), b"here".to_vec()));
    }

    /// The next PUBLISH, confirmed: topic and payload.
    pub async fn frame(&mut self) -> (String, Vec<u8>) {
        let publish = self.unconfirmed().await;
        let mut ack = BytesMut::new();
        Packet::PubAck(PubAck::new(publish.pkid, None)).write(&mut ack, None).unwrap();
        // After its goodbye the agent may be gone already.
        let _ = self.stream.write_all(&ack).await;
        (String::from_utf8(publish.topic.to_vec()).unwrap(), publish.payload.to_vec())
    }

    pub async fn unconfirmed(&mut self) -> Publish {
        match self.next().await {
            Some(Packet::Publish(publish)) => {
                assert_eq!((publish.qos, publish.retain), (QoS::AtLeastOnce, false));
                publish
            }
            other => panic!("{other:?}"),
        }
    }

    pub async fn send(&mut self, topic: &str, frame: &[u8]) {
        self.say(Packet::Publish(Publish::new(topic, QoS::AtMostOnce, frame.to_vec(), None))).await;
    }

    /// As a broker does.
    pub async fn send_numbered(&mut self, topic: &str, frame: &[u8], pkid: u16) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, frame.to_vec(), None);
        publish.pkid = pkid;
        self.say(Packet::Publish(publish)).await;
    }

    pub async fn disconnect(&mut self, reason_code: DisconnectReasonCode, reason: &str) {
        let properties = DisconnectProperties {
            session_expiry_interval: None,
            reason_string: Some(reason.to_owned()),
            user_properties: Vec::new(),
            server_reference: None,
        };
        let disconnect = Disconnect { reason_code, properties: Some(properties) };
        self.say(Packet::Disconnect(disconnect)).await;
    }
}

/// An HTTP proxy that lets callers through, or answers them with a status of its own.
pub struct Proxy {
    listener: TcpListener,
}

impl Proxy {
    pub async fn listen() -> Proxy {
        Proxy { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Lets the next caller through. Says where it wanted to go.
    pub async fn let_through(&self) -> String {
        let (mut caller, wanted) = self.call().await;
        let mut there = TcpStream::connect(&wanted).await.unwrap();
        caller.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        tokio::spawn(async move { copy_bidirectional(&mut caller, &mut there).await });
        wanted
    }

    pub async fn refuse(&self) {
        let (mut caller, _) = self.call().await;
        caller.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let _ = caller.shutdown().await;
    }

    async fn call(&self) -> (TcpStream, String) {
        let (mut caller, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(caller.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let wanted = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
        (caller, wanted)
    }
}
