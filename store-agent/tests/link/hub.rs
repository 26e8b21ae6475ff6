//! A hub for tests: an authority, an endpoint that asks for certificates, and the two streams of a caller.

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use store_agent::config::{HostPort, HubConfig, TransportMode};
use store_agent::transport::{PROBE_ALPN, QUIC_ALPN};
use tempfile::TempDir;
use tokio::net::UdpSocket;

/// An authority with the files of one store.
pub struct Authority {
    folder: Arc<TempDir>,
    ca_pem: String,
    ca_key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let authority = Authority { folder, ca_pem: certificate.pem(), ca_key: key.serialize_pem() };
        authority.issue_store();
        authority
    }

    /// The same authority again, for another task.
    pub fn from(other: &Authority) -> Authority {
        Authority {
            folder: Arc::clone(&other.folder),
            ca_pem: other.ca_pem.clone(),
            ca_key: other.ca_key.clone(),
        }
    }

    pub fn store(&self, hub: &Hub) -> HubConfig {
        self.store_at(hub.0.local_addr().unwrap())
    }

    pub fn store_at(&self, hub: SocketAddr) -> HubConfig {
        HubConfig {
            transport: TransportMode::Quic,
            address: hub.to_string(),
            mqtt_address: host_port(hub),
            proxy: None,
            server_name: "localhost".to_owned(),
            ca_file: self.folder.path().join("ca.pem"),
            certificate_file: self.folder.path().join("store.pem"),
            key_file: self.folder.path().join("store.key"),
            pickup_key_file: None,
            disable_gso: false,
            mtu_max: 1452,
        }
    }

    /// A store that uses MQTT only.
    pub fn store_on_mqtt(&self, hub: SocketAddr) -> HubConfig {
        HubConfig { transport: TransportMode::Mqtt, ..self.store_at(hub) }
    }

    /// A store that may use both.
    pub fn store_on_either(&self, quic: SocketAddr, mqtt: SocketAddr) -> HubConfig {
        let config = self.store_at(quic);
        HubConfig { transport: TransportMode::Auto, mqtt_address: host_port(mqtt), ..config }
    }

    fn issue_store(&self) {
        let name = SanType::URI(Ia5String::try_from("shopsmart:store:S0001").unwrap());
        let (certificate, key) = self.issue(name, ExtendedKeyUsagePurpose::ClientAuth);
        let folder = self.folder.path();
        std::fs::write(folder.join("ca.pem"), &self.ca_pem).unwrap();
        std::fs::write(folder.join("store.pem"), certificate).unwrap();
        write_key(&folder.join("store.key"), &key);
    }

    fn issue(&self, name: SanType, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let issuer =
            Issuer::from_ca_cert_pem(&self.ca_pem, KeyPair::from_pem(&self.ca_key).unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn server(&self, alpn: &[&[u8]]) -> quinn::ServerConfig {
        let tls = self.tls("localhost", alpn);
        quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()))
    }

    /// A server's TLS with a certificate for `name`, asking for one in turn.
    pub fn tls(&self, name: &str, alpn: &[&[u8]]) -> rustls::ServerConfig {
        let name = SanType::DnsName(Ia5String::try_from(name).unwrap());
        let (certificate, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        tls
    }
}

fn write_key(path: &Path, key: &str) {
    std::fs::write(path, key).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn host_port(address: SocketAddr) -> HostPort {
    HostPort { host: address.ip().to_string(), port: address.port() }
}

/// A listening hub.
pub struct Hub(Endpoint);

impl Hub {
    pub fn listen(authority: &Authority) -> Hub {
        Hub::listen_at(authority, "127.0.0.1:0".parse().unwrap())
    }

    pub fn listen_at(authority: &Authority, address: SocketAddr) -> Hub {
        Hub(Endpoint::server(authority.server(&[QUIC_ALPN, PROBE_ALPN]), address).unwrap())
    }

    /// A hub of before there were probes.
    pub fn without_probes(authority: &Authority, address: SocketAddr) -> Hub {
        Hub(Endpoint::server(authority.server(&[QUIC_ALPN]), address).unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Turns away so many callers.
    pub async fn refuse(&self, callers: usize) {
        for _ in 0..callers {
            let _ = self.0.accept().await.unwrap().await;
        }
    }

    /// Shakes hands with whoever calls, however that ends.
    pub async fn shake_hands(&self) {
        while let Some(incoming) = self.0.accept().await {
            let _ = incoming.await;
        }
    }

    /// The next caller whose two streams are open.
    pub async fn accept(&self) -> Caller {
        let connection = self.0.accept().await.unwrap().await.unwrap();
        assert_eq!(protocol(&connection), QUIC_ALPN);
        Hub::link(connection).await
    }

    /// As `accept`, letting probes stand and go. Says how many there were.
    pub async fn accept_after_probes(&self) -> (Caller, usize) {
        let mut probes = Vec::new();
        loop {
            let connection = self.0.accept().await.unwrap().await.unwrap();
            if protocol(&connection) == QUIC_ALPN {
                return (Hub::link(connection).await, probes.len());
            }
            probes.push(connection);
        }
    }

    async fn link(connection: Connection) -> Caller {
        let (mut state, mut history) = (None, None);
        for _ in 0..2 {
            let (send, mut receive) = connection.accept_bi().await.unwrap();
            let mut code = [0];
            receive.read_exact(&mut code).await.unwrap();
            let streams = Some(Streams { send, receive });
            match code {
                [0] => state = streams,
                [1] => history = streams,
                other => panic!("stream {other:?}"),
            }
        }
        Caller { connection, state: state.unwrap(), history: history.unwrap() }
    }
}

fn protocol(connection: &Connection) -> Vec<u8> {
    let agreed = connection.handshake_data().unwrap().downcast::<quinn::crypto::rustls::HandshakeData>();
    agreed.unwrap().protocol.unwrap()
}

/// An agent that called.
pub struct Caller {
    connection: Connection,
    pub state: Streams,
    pub history: Streams,
}

impl Caller {
    pub fn close(&self, reason: &str) {
        self.connection.close(VarInt::from_u32(1), reason.as_bytes());
    }

    pub async fn closed(&self) -> String {
        self.connection.closed().await.to_string()
    }

    pub fn packets_received(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }
}

/// Both directions of one stream.
pub struct Streams {
    send: SendStream,
    receive: RecvStream,
}

impl Streams {
    pub async fn frame(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.receive.read_exact(&mut length).await.unwrap();
        let mut frame = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap()];
        self.receive.read_exact(&mut frame).await.unwrap();
        frame
    }

    pub async fn say(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).unwrap();
        self.say_raw(&length.to_le_bytes()).await;
        self.say_raw(frame).await;
    }

    pub async fn say_raw(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }
}

/// A line between an agent and a hub that can be cut without either hearing of it.
pub struct Line {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Line {
    pub async fn to(hub: &Hub) -> Line {
        let here = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        there.connect(hub.0.local_addr().unwrap()).await.unwrap();
        let address = here.local_addr().unwrap();
        Line { address, task: tokio::spawn(carry(here, there)) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.task.abort();
    }
}

async fn carry(here: UdpSocket, there: UdpSocket) {
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    let mut agent = None;
    loop {
        tokio::select! {
            Ok((bytes, from)) = here.recv_from(&mut up) => {
                agent = Some(from);
                let _ = there.send(&up[..bytes]).await;
            }
            Ok(bytes) = there.recv(&mut down) => {
                if let Some(agent) = agent {
                    let _ = here.send_to(&down[..bytes], agent).await;
                }
            }
        }
    }
}
