//! A store's end of an MQTT connection, as well or as badly behaved as a test wants it: packets are bytes.

use crate::peer::{PATIENCE, Shown, tls};
use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Packet, Property, Qos, SubEntry, SubOpts, TopicAlias, v5_0,
};
use mqtt_protocol_core::mqtt::prelude::GenericPacketTrait;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use sync_protocol::frame::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const CONNACK: u8 = 0x20;
pub const PUBLISH: u8 = 0x30;
pub const PUBACK: u8 = 0x40;
pub const SUBACK: u8 = 0x90;
pub const PINGRESP: u8 = 0xd0;
pub const DISCONNECT: u8 = 0xe0;

pub const PINGREQ: [u8; 2] = [0xc0, 0];

/// One end of a TLS connection.
pub struct MqttPeer {
    pub tls: TlsStream<TcpStream>,
}

/// What a client says of itself in CONNECT.
#[derive(Clone, Copy)]
pub struct Introduction {
    pub keep_alive: u16,
    /// Topic, QoS and whether it is to be retained.
    pub will: Option<(&'static str, Qos, bool)>,
    pub packet_bytes_max: Option<u32>,
}

pub const PLAIN: Introduction = Introduction { keep_alive: 30, will: None, packet_bytes_max: None };

impl MqttPeer {
    /// TLS, and nothing said yet.
    pub async fn greeted(
        hub: SocketAddr,
        ca: CertificateDer<'static>,
        shown: Option<Shown>,
        alpn: Option<&[u8]>,
    ) -> io::Result<MqttPeer> {
        let tls = tls(alpn, ca, shown);
        let tcp = TcpStream::connect(hub).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await?;
        Ok(MqttPeer { tls })
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.unwrap();
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes).await?;
        self.tls.flush().await
    }

    /// The next packet: its kind, and what stands in it.
    pub async fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        timeout(PATIENCE, async {
            let kind = self.tls.read_u8().await?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = self.tls.read_u8().await?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.tls.read_exact(&mut body).await?;
            Ok((kind, body))
        })
        .await
        .expect("the hub says something")
    }

    pub async fn expect(&mut self, kind: u8) -> Vec<u8> {
        let (found, body) = self.packet().await.unwrap();
        assert_eq!(found, kind, "{body:?}");
        body
    }

    /// The code with which the hub ends the connection; packets before that are let pass.
    pub async fn end(&mut self) -> (u8, String) {
        loop {
            let (kind, body) = self.packet().await.expect("the hub says why");
            if kind == DISCONNECT {
                let words = body.get(5..).map(|words| String::from_utf8_lossy(words).into_owned());
                assert!(self.packet().await.is_err(), "that was the last packet");
                return (body[0], words.unwrap_or_default());
            }
        }
    }

    pub async fn subscribe(&mut self, store: &str) {
        let filters =
            [format!("shopsmart/v1/{store}/down/state"), format!("shopsmart/v1/{store}/down/history")];
        self.send(&subscribe(&[&filters[0], &filters[1]])).await;
        assert_eq!(self.expect(SUBACK).await, [0, 9, 0, 1, 1]);
    }
}

pub fn connect(how: Introduction) -> Vec<u8> {
    let mut connect = v5_0::Connect::builder().client_id("S0001").unwrap().keep_alive(how.keep_alive);
    if let Some((topic, qos, retain)) = how.will {
        connect = connect.will_message(topic, b"gone", qos, retain).unwrap();
    }
    if let Some(max) = how.packet_bytes_max {
        connect = connect.props(vec![MaximumPacketSize::new(max).unwrap().into()]);
    }
    connect.build().unwrap().to_continuous_buffer()
}

pub fn subscribe(filters: &[&str]) -> Vec<u8> {
    let entry = |filter: &&str| SubEntry::new(*filter, SubOpts::new().set_qos(Qos::AtLeastOnce)).unwrap();
    let entries: Vec<SubEntry> = filters.iter().map(entry).collect();
    v5_0::Subscribe::builder().packet_id(9).entries(entries).build().unwrap().to_continuous_buffer()
}

pub fn up(store: &str, stream: Stream) -> String {
    let stream = if stream == Stream::State { "state" } else { "history" };
    format!("shopsmart/v1/{store}/up/{stream}")
}

/// A publish at QoS 1, or at QoS 0 with the id 0.
pub fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let publish = v5_0::Publish::builder().topic_name(topic).unwrap().payload(payload);
    let publish =
        if id == 0 { publish.qos(Qos::AtMostOnce) } else { publish.qos(Qos::AtLeastOnce).packet_id(id) };
    Packet::from(publish.build().unwrap()).to_continuous_buffer()
}

/// A publish that names its topic, or only the alias of it.
pub fn aliased(topic: &str, alias: u16, payload: &[u8]) -> Vec<u8> {
    let alias = Property::from(TopicAlias::new(alias).unwrap());
    let publish = v5_0::Publish::builder().topic_name(topic).unwrap().qos(Qos::AtMostOnce);
    Packet::from(publish.payload(payload).props(vec![alias]).build().unwrap()).to_continuous_buffer()
}
