//! A store's end of a QUIC connection, as well or as badly behaved as a test wants it.

use cloud_hub::enrol::ca::Pki;
use cloud_hub::ingest::quic::ALPN;
use cloud_hub::runtime::clock::Clock;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::frame::Stream;

/// Nothing in these tests takes this long; a wait that does has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate with its key, as a store shows it.
pub struct Shown {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Shown {
    /// Reads what `store certificate --offline` wrote.
    pub fn from_folder(folder: &Path) -> Shown {
        let chain = CertificateDer::pem_file_iter(folder.join("store.pem")).unwrap();
        Shown {
            chain: chain.map(Result::unwrap).collect(),
            key: PrivateKeyDer::from_pem_file(folder.join("store.key")).unwrap(),
        }
    }

    /// Issued by `pki` now, good for `days`.
    pub fn issued(pki: &Pki, store: &str, days: u32) -> Shown {
        let folder = tempfile::tempdir().unwrap();
        let issued = pki.issue(&store.parse().unwrap(), days, Clock::start().wall()).unwrap();
        issued.write_to(folder.path()).unwrap();
        Shown::from_folder(folder.path())
    }
}

/// What a client that trusts `ca` needs for TLS; it shows a certificate and names a protocol, or does not.
pub fn tls(alpn: Option<&[u8]>, ca: CertificateDer<'static>, shown: Option<Shown>) -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match shown {
        Some(shown) => tls.with_client_auth_cert(shown.chain, shown.key).unwrap(),
        None => tls.with_no_client_auth(),
    };
    tls.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
    tls
}

/// How a peer introduces itself.
pub struct Peer {
    endpoint: Endpoint,
}

impl Peer {
    /// A peer that trusts `ca` and shows a certificate, or none.
    pub fn new(ca: CertificateDer<'static>, shown: Option<Shown>) -> Peer {
        Peer::speaking(ALPN, ca, shown)
    }

    pub fn speaking(alpn: &[u8], ca: CertificateDer<'static>, shown: Option<Shown>) -> Peer {
        let tls = tls(Some(alpn), ca, shown);
        let mut endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let crypto = QuicClientConfig::try_from(Arc::new(tls)).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        Peer { endpoint }
    }

    /// The handshake, as far as this end can see it.
    pub async fn try_connect(&self, hub: SocketAddr) -> Result<Connection, ConnectionError> {
        self.endpoint.connect(hub, "localhost").unwrap().await
    }

    pub async fn connect(&self, hub: SocketAddr) -> Connection {
        self.try_connect(hub).await.unwrap()
    }

    /// Connects, and waits for the hub to refuse it, whenever that is.
    pub async fn refusal(&self, hub: SocketAddr) -> ConnectionError {
        match self.try_connect(hub).await {
            Ok(connection) => connection.closed().await,
            Err(error) => error,
        }
    }
}

/// Opens a stream and names it.
pub async fn open(connection: &Connection, stream: Stream) -> (SendStream, RecvStream) {
    open_named(connection, stream.code()).await
}

pub async fn open_named(connection: &Connection, code: u8) -> (SendStream, RecvStream) {
    let (mut send, receive) = connection.open_bi().await.unwrap();
    send.write_all(&[code]).await.unwrap();
    (send, receive)
}

/// A frame behind its length.
pub fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    [&length.to_le_bytes(), frame].concat()
}

/// The next frame on a stream.
pub async fn received(receive: &mut RecvStream) -> Vec<u8> {
    let mut length = [0; 4];
    receive.read_exact(&mut length).await.unwrap();
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    receive.read_exact(&mut frame).await.unwrap();
    frame
}

/// Code and reason with which the hub ended a connection.
pub fn farewell(error: ConnectionError) -> (u64, String) {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            (close.error_code.into_inner(), String::from_utf8(close.reason.to_vec()).unwrap())
        }
        other => panic!("the hub did not end this connection in its own words: {other:?}"),
    }
}

/// The TLS alert with which the hub ended a handshake.
pub fn alert(error: &ConnectionError) -> u8 {
    match error {
        ConnectionError::ConnectionClosed(close) => {
            let code = u64::from(close.error_code);
            u8::try_from(code.checked_sub(0x100).expect("a TLS alert")).expect("a TLS alert")
        }
        other => panic!("the hub did not end this handshake with an alert: {other:?}"),
    }
}
