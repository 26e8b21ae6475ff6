//! A broker at its worst: a proxy before a plain Mosquitto that throws frames away and tells their senders that all is well.
//!
//! It speaks TLS with the broker's certificate, asks everyone for one of the hub's authority, and looks into each packet. Of
//! the publishes on `/up/` and `/down/` with QoS 1 one in four is lost on its way in and one in three of the rest on its way
//! out, so half of them arrive. The proxy acknowledges what it throws away. Which ones follows from a seed. It begins when it is told to.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

const SEED: u64 = 0x5EED_0FA1;
const LOST_IN_ONE_IN: u64 = 4;
const LOST_OUT_ONE_IN: u64 = 3;
/// Packets that wait for one socket.
const WAITING_MAX: usize = 64;
/// Longer packets are none of ours.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// The proxy. Goes when it is dropped, and every connection with it.
pub struct Chaos {
    address: SocketAddr,
    listener: Option<std::net::TcpListener>,
    runtime: Option<Runtime>,
    mood: Arc<Mood>,
}

/// What it has in store, and what it has done.
struct Mood {
    random: Mutex<u64>,
    calm: AtomicBool,
    lost_up: AtomicU64,
    lost_down: AtomicU64,
}

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Chaos {
    /// Holds a port at this address, and listens once it is opened.
    pub fn at(host: IpAddr) -> Chaos {
        let listener = std::net::TcpListener::bind((host, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket can be made not to wait");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mood = Mood {
            random: Mutex::new(SEED),
            calm: AtomicBool::new(true),
            lost_up: AtomicU64::new(0),
            lost_down: AtomicU64::new(0),
        };
        Chaos { address, listener: Some(listener), runtime: None, mood: Arc::new(mood) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stands before `broker` from now on, with the certificate in `folder`.
    pub fn open(&mut self, folder: &Path, broker: SocketAddr) {
        let acceptor = TlsAcceptor::from(Arc::new(server_config(folder)));
        let listener = self.listener.take().expect("it is opened once");
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        runtime.spawn(accept(listener, acceptor, broker, Arc::clone(&self.mood)));
        self.runtime = Some(runtime);
    }

    /// How many frames it has thrown away on their way up, and down.
    pub fn lost(&self) -> (u64, u64) {
        (self.mood.lost_up.load(Ordering::Relaxed), self.mood.lost_down.load(Ordering::Relaxed))
    }

    /// From now on it throws frames away.
    pub fn begin(&self) {
        self.mood.calm.store(false, Ordering::Relaxed);
    }

    /// From now on it throws nothing away.
    pub fn end(&self) {
        self.mood.calm.store(true, Ordering::Relaxed);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Mood {
    /// The packet id of a publish that is to be lost.
    fn loses(&self, packet: &Packet, way: Way) -> Option<[u8; 2]> {
        let (topic, id) = packet.publish_of_qos_1()?;
        let lost = match topic {
            topic if topic.contains("/up/") => &self.lost_up,
            topic if topic.contains("/down/") => &self.lost_down,
            _ => return None,
        };
        let one_in = if way == Way::In { LOST_IN_ONE_IN } else { LOST_OUT_ONE_IN };
        if self.calm.load(Ordering::Relaxed) || self.draw(one_in) != 0 {
            return None;
        }
        lost.fetch_add(1, Ordering::Relaxed);
        Some(id)
    }

    /// A number below `bound`; SplitMix64.
    fn draw(&self, bound: u64) -> u64 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        *random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// As the broker itself would ask for it: TLS 1.3, and a certificate of the same authority from everyone.
fn server_config(folder: &Path) -> rustls::ServerConfig {
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(name)).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("broker.key")).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).expect("the hub's certificate is one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring knows TLS 1.3")
        .with_client_cert_verifier(verifier.build().expect("an authority to check against"))
        .with_single_cert(vec![certificate("broker.pem")], key)
        .expect("key and certificate match")
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor, broker: SocketAddr, mood: Arc<Mood>) {
    let listener = TcpListener::from_std(listener).expect("a socket that does not wait");
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, mood) = (acceptor.clone(), Arc::clone(&mood));
        tokio::spawn(async move {
            // Whoever is refused, or finds no broker, hears so from the closed connection.
            let _ = stand_between(client, &acceptor, broker, &mood).await;
        });
    }
}

async fn stand_between(
    client: TcpStream,
    acceptor: &TlsAcceptor,
    broker: SocketAddr,
    mood: &Mood,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let client = acceptor.accept(client).await?;
    let broker = TcpStream::connect(broker).await?;
    broker.set_nodelay(true)?;
    let ((client_says, client_hears), (broker_says, broker_hears)) = (split(client), split(broker));
    let (to_client, for_client) = mpsc::channel(WAITING_MAX);
    let (to_broker, for_broker) = mpsc::channel(WAITING_MAX);
    // The first to end ends the connection.
    tokio::select! {
        end = carry(client_says, Way::In, mood, &to_broker, &to_client) => end,
        end = carry(broker_says, Way::Out, mood, &to_client, &to_broker) => end,
        end = write(client_hears, for_client) => end,
        end = write(broker_hears, for_broker) => end,
    }
}

/// Hands on what one side says, or acknowledges it in the other's name and throws it away.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    way: Way,
    mood: &Mood,
    to: &mpsc::Sender<Vec<u8>>,
    back: &mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    loop {
        let packet = Packet::read(&mut from).await?;
        let sent = match mood.loses(&packet, way) {
            Some([high, low]) => back.send(vec![PUBACK, 2, high, low]).await,
            None => to.send(packet.bytes).await,
        };
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
}

async fn write(mut to: impl AsyncWrite + Unpin, mut packets: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(packet) = packets.recv().await {
        to.write_all(&packet).await?;
        to.flush().await?;
    }
    Ok(())
}

const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;

/// One packet as it came.
struct Packet {
    bytes: Vec<u8>,
    /// Where the fixed header ends.
    body: usize,
}

impl Packet {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Packet> {
        let mut bytes = vec![from.read_u8().await?];
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = from.read_u8().await?;
            bytes.push(byte);
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        if length > PACKET_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let body = bytes.len();
        bytes.resize(body + length, 0);
        from.read_exact(&mut bytes[body..]).await?;
        Ok(Packet { bytes, body })
    }

    /// Topic and id, if this is one.
    fn publish_of_qos_1(&self) -> Option<(&str, [u8; 2])> {
        if self.bytes[0] & 0xf6 != PUBLISH | 2 {
            return None;
        }
        let body = &self.bytes[self.body..];
        let (length, rest) = body.split_first_chunk::<2>()?;
        let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        Some((std::str::from_utf8(topic).ok()?, *rest.first_chunk::<2>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, body: &[u8]) -> Packet {
        let length = u8::try_from(body.len()).expect("short");
        Packet { bytes: [&[first, length], body].concat(), body: 2 }
    }

    #[test]
    fn only_publishes_of_qos_1_are_looked_into() {
        let body = b"\x00\x05a/up/\x01\x02\x00x";
        assert_eq!(packet(0x32, body).publish_of_qos_1(), Some(("a/up/", [1, 2])));
        assert_eq!(packet(0x3a, body).publish_of_qos_1(), Some(("a/up/", [1, 2])), "sent again");
        for other in [packet(0x30, body), packet(0x40, body), packet(0x34, body), packet(0x32, b"\x00\x09a")]
        {
            assert_eq!(other.publish_of_qos_1(), None);
        }
    }

    #[test]
    fn half_of_what_comes_in_does_not_come_out() {
        let chaos = Chaos::at(std::net::Ipv4Addr::LOCALHOST.into());
        chaos.begin();
        let mood = &chaos.mood;
        let up = packet(0x32, b"\x00\x05a/up/\x01\x02\x00x");
        let through = (0..1000)
            .filter(|_| mood.loses(&up, Way::In).is_none() && mood.loses(&up, Way::Out).is_none())
            .count();
        assert!((450..550).contains(&through), "{through} of 1000");
    }
}
