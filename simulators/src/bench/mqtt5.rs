//! As much of an agent's side of MQTT 5 as putting load on the hub takes: TLS with a store's certificate, both subscriptions, frames
//! at QoS 1 with so many in flight, and the hub's frames. In flight is what the hub itself has not said to have committed: that means
//! the same with and without a broker in between.

use crate::fleet::hub::SERVER_NAME;
use crate::plain::mqtt::{decode_length, packet, text};
use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::Seq;
use sync_protocol::frame::{self, Body, Marks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBLISH_QOS1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const KIND_MASK: u8 = 0xf0;
const QOS_MASK: u8 = 0x06;
/// What the hub grants, and an agent uses.
pub const WINDOW: usize = 16;
/// Far more than are in flight at once.
const IDS: usize = 60_000;
const READ_BYTES: usize = 16 * 1024;
/// Longer than the hub is ever silent while frames are on their way to it.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub struct Client {
    tls: TlsStream<TcpStream>,
    up_state: String,
    received: Vec<u8>,
    sent: usize,
    /// PUBACKs for the hub's frames, which leave with what is sent next.
    owed: Vec<u8>,
    /// Publishes without a PUBACK.
    unacked: usize,
    /// Ends of the batches that the hub has not said to have committed, in order.
    uncommitted: VecDeque<Seq>,
}

/// What the hub says.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Connected {
        code: u8,
    },
    Granted {
        all: bool,
    },
    Acknowledged {
        code: u8,
    },
    /// With an identifier, which must be acknowledged, where a broker passes it on at QoS 1.
    Frame {
        bytes: Vec<u8>,
        id: Option<u16>,
    },
    Other(u8),
}

impl Client {
    /// Connects with the certificate in this folder, and listens to both streams.
    pub async fn connect(hub: SocketAddr, certificates: &Path, store: &str) -> Result<Self> {
        let tls = TlsConnector::from(Arc::new(identity(certificates)?));
        let tcp = TcpStream::connect(hub).await.with_context(|| format!("connecting to {hub}"))?;
        tcp.set_nodelay(true)?;
        let tls = tls.connect(ServerName::try_from(SERVER_NAME)?, tcp).await.context("the TLS handshake")?;
        let up_state = format!("shopsmart/v1/{store}/up/state");
        let mut client = Self {
            tls,
            up_state,
            received: Vec::new(),
            sent: 0,
            owed: Vec::new(),
            unacked: 0,
            uncommitted: VecDeque::new(),
        };
        client.tls.write_all(&connect(store)).await?;
        ensure!(client.hear().await? == Heard::Connected { code: 0 }, "{store} was not let in");
        client.tls.write_all(&subscribe(store)).await?;
        ensure!(client.hear().await? == Heard::Granted { all: true }, "{store} was not granted its topics");
        Ok(client)
    }

    /// Sends a frame and waits for the hub's next one.
    pub async fn ask(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        let mut out = std::mem::take(&mut self.owed);
        self.publish(&mut out, frame);
        self.tls.write_all(&out).await?;
        self.frame().await
    }

    /// The hub's next frame.
    pub async fn frame(&mut self) -> Result<Vec<u8>> {
        loop {
            let heard = self.hear().await?;
            self.note(&heard)?;
            if let Heard::Frame { bytes, .. } = heard {
                return Ok(bytes);
            }
        }
    }

    /// Sends batches, each with its end, with as many in flight as are allowed; comes back when the hub has committed the last.
    pub async fn publish_all(&mut self, batches: &[(Seq, Vec<u8>)]) -> Result<()> {
        let mut rest = batches.iter();
        loop {
            let mut out = std::mem::take(&mut self.owed);
            while self.unacked.max(self.uncommitted.len()) < WINDOW
                && let Some((upto, frame)) = rest.next()
            {
                self.publish(&mut out, frame);
                self.uncommitted.push_back(*upto);
            }
            if self.unacked == 0 && self.uncommitted.is_empty() {
                return Ok(());
            }
            self.tls.write_all(&out).await?;
            let heard = self.hear().await?;
            self.note(&heard)?;
            // All that has come already, before the next packet leaves.
            while let Some(heard) = self.next()? {
                self.note(&heard)?;
            }
        }
    }

    fn publish(&mut self, out: &mut Vec<u8>, frame: &[u8]) {
        let id = u16::try_from(1 + self.sent % IDS).expect("below 65,536");
        publish(out, &self.up_state, id, frame);
        self.sent += 1;
        self.unacked += 1;
    }

    fn note(&mut self, heard: &Heard) -> Result<()> {
        match heard {
            Heard::Acknowledged { code: 0 } => {
                self.unacked = self.unacked.checked_sub(1).context("something was acknowledged twice")?;
            }
            Heard::Frame { bytes, id } => {
                if let Some(id) = id {
                    packet(&mut self.owed, PUBACK, &id.to_be_bytes());
                }
                // What else the hub says is an agent's business.
                if let Body::Marks(Marks { state: Some(mark), .. }) = frame::decode(bytes)?.body {
                    let committed = self.uncommitted.partition_point(|upto| *upto <= mark);
                    self.uncommitted.drain(..committed);
                }
            }
            other => bail!("the hub said {other:?}"),
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<Heard> {
        loop {
            if let Some(heard) = self.next()? {
                return Ok(heard);
            }
            self.received.reserve(READ_BYTES);
            let read = timeout(PATIENCE, self.tls.read_buf(&mut self.received)).await;
            let waiting = self.uncommitted.len();
            let read = read.with_context(|| {
                format!("nothing heard for {} s, with {waiting} frames on their way", PATIENCE.as_secs())
            })?;
            let read = read.context("hearing the hub")?;
            ensure!(read > 0, "the hub hung up");
        }
    }

    /// The next packet that has come completely.
    fn next(&mut self) -> Result<Option<Heard>> {
        let Some((heard, length)) = decode(&self.received)? else { return Ok(None) };
        self.received.drain(..length);
        Ok(Some(heard))
    }
}

fn identity(folder: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(folder.join("ca.pem")).context("reading the hub's authority")?)?;
    let chain = CertificateDer::pem_file_iter(folder.join("store.pem"))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join("store.key")).context("reading a store's key")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.with_root_certificates(roots).with_client_auth_cert(chain, key)?)
}

fn connect(store: &str) -> Vec<u8> {
    let (mut out, mut body) = (Vec::new(), Vec::new());
    text(&mut body, "MQTT");
    // Version 5, a clean start, sixty seconds of keep-alive, no properties.
    body.extend_from_slice(&[5, 2, 0, 60, 0]);
    text(&mut body, store);
    packet(&mut out, CONNECT, &body);
    out
}

fn subscribe(store: &str) -> Vec<u8> {
    let (mut out, mut body) = (Vec::new(), vec![0, 1, 0]);
    for stream in ["state", "history"] {
        text(&mut body, &format!("shopsmart/v1/{store}/down/{stream}"));
        body.push(1);
    }
    packet(&mut out, SUBSCRIBE, &body);
    out
}

fn publish(out: &mut Vec<u8>, topic: &str, id: u16, payload: &[u8]) {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 5);
    text(&mut body, topic);
    body.extend_from_slice(&id.to_be_bytes());
    body.push(0);
    body.extend_from_slice(payload);
    packet(out, PUBLISH_QOS1, &body);
}

/// The first packet in `bytes` and how long it is; `None` when it is not complete yet.
fn decode(bytes: &[u8]) -> Result<Option<(Heard, usize)>> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, length_bytes)) = decode_length(rest)? else { return Ok(None) };
    let Some(body) = rest.get(length_bytes..length_bytes + length) else { return Ok(None) };
    Ok(Some((understand(first, body)?, 1 + length_bytes + length)))
}

fn understand(first: u8, body: &[u8]) -> Result<Heard> {
    Ok(match (first & KIND_MASK, body) {
        (CONNACK, [_, code, ..]) => Heard::Connected { code: *code },
        // One reason for each topic at the end; below 128 it is a grant.
        (SUBACK, [.., one, other]) => Heard::Granted { all: *one < 0x80 && *other < 0x80 },
        (PUBACK, [_, _]) => Heard::Acknowledged { code: 0 },
        (PUBACK, [_, _, code, ..]) => Heard::Acknowledged { code: *code },
        (PUBLISH, [high, low, rest @ ..]) => {
            let topic = usize::from(u16::from_be_bytes([*high, *low]));
            let mut rest = rest.get(topic..).context("a torn message")?;
            let mut id = None;
            if first & QOS_MASK != 0 {
                let [high, low, behind @ ..] = rest else { bail!("a torn message") };
                (id, rest) = (Some(u16::from_be_bytes([*high, *low])), behind);
            }
            let (length, bytes) = decode_length(rest)?.context("a torn message")?;
            let bytes = rest.get(bytes + length..).context("a torn message")?.to_vec();
            Heard::Frame { bytes, id }
        }
        _ => Heard::Other(first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_with_or_without_an_identifier() {
        let mut bytes = Vec::new();
        publish(&mut bytes, "shopsmart/v1/S0001/up/state", 7, &[9; 300]);
        let frame = Heard::Frame { bytes: vec![9; 300], id: Some(7) };
        assert_eq!(decode(&bytes).unwrap(), Some((frame, bytes.len())));
        assert!((0..bytes.len()).all(|length| decode(&bytes[..length]).unwrap().is_none()));
        let plain = [0x30, 6, 0, 1, b't', 0, 1, 2];
        assert_eq!(decode(&plain).unwrap(), Some((Heard::Frame { bytes: vec![1, 2], id: None }, 8)));
    }

    #[test]
    fn the_hubs_answers_are_told_apart() {
        let heard = |bytes: &[u8]| decode(bytes).unwrap().unwrap().0;
        assert_eq!(heard(&[0x20, 3, 0, 0, 0]), Heard::Connected { code: 0 });
        assert_eq!(heard(&[0x90, 5, 0, 1, 0, 1, 1]), Heard::Granted { all: true });
        assert_eq!(heard(&[0x90, 5, 0, 1, 0, 1, 0x87]), Heard::Granted { all: false });
        assert_eq!(heard(&[0x40, 2, 0, 7]), Heard::Acknowledged { code: 0 });
        assert_eq!(heard(&[0x40, 4, 0, 7, 0x80, 0]), Heard::Acknowledged { code: 0x80 });
        assert_eq!(heard(&[0xe0, 0]), Heard::Other(0xe0));
    }
}
