//! A bare QUIC client that says whatever it is told to: for what a well-behaved agent never sends.

use super::certificates::Identity;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{self, Runtime};

const PATIENCE: Duration = Duration::from_secs(60);
const STATE_STREAM: u8 = 0;

/// A connection with its state stream open.
pub struct RawLink {
    runtime: Runtime,
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    // Keeps the socket; dropping it would end the connection.
    _endpoint: Endpoint,
}

impl RawLink {
    /// With TLS 1.3 a refused certificate shows only once something is read: ask [`RawLink::next_frame`].
    pub fn open(hub: SocketAddr, authority: &Path, identity: Option<Identity>) -> Result<RawLink, String> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let opened = runtime.block_on(connect(hub, client_config(authority, identity)));
        let (endpoint, connection, send, receive) = opened.map_err(|error| format!("{error:#}"))?;
        Ok(RawLink { runtime, connection, send, receive, _endpoint: endpoint })
    }

    /// Bytes as they are. They leave at the latest while something is waited for: nothing runs here in between.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.runtime.block_on(self.send.write_all(bytes)).map_err(|error| error.to_string())
    }

    /// A frame with its length before it.
    pub fn send_frame(&mut self, frame: &[u8]) -> Result<(), String> {
        let length = u32::try_from(frame.len()).expect("a frame is short");
        self.send(&length.to_le_bytes())?;
        self.send(frame)
    }

    /// The next frame from the hub, or why there is none.
    pub fn next_frame(&mut self) -> Result<Vec<u8>, String> {
        let receive = &mut self.receive;
        let read = async {
            let mut length = [0; 4];
            receive.read_exact(&mut length).await?;
            let mut frame = vec![0; u32::from_le_bytes(length) as usize];
            receive.read_exact(&mut frame).await?;
            Ok::<_, quinn::ReadExactError>(frame)
        };
        let read = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, read).await });
        read.map_err(|_| "the hub says nothing".to_owned())?.map_err(|error| error.to_string())
    }

    /// Waits until the hub hangs up and gives its reason.
    pub fn until_closed(&mut self) -> String {
        let connection = &self.connection;
        let closed =
            self.runtime.block_on(async { tokio::time::timeout(PATIENCE, connection.closed()).await });
        closed.unwrap_or_else(|_| panic!("the hub keeps the link although it should not")).to_string()
    }
}

async fn connect(
    hub: SocketAddr,
    config: ClientConfig,
) -> anyhow::Result<(Endpoint, Connection, SendStream, RecvStream)> {
    let endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let connection = endpoint.connect_with(config, hub, "localhost")?.await?;
    let (mut send, receive) = connection.open_bi().await?;
    send.write_all(&[STATE_STREAM]).await?;
    Ok((endpoint, connection, send, receive))
}

fn client_config(authority: &Path, identity: Option<Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).expect("the hub's certificate can be read");
    roots.add(authority).expect("the hub's certificate is one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring knows TLS 1.3")
        .with_root_certificates(roots);
    let mut tls = match identity {
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain, key).expect("key and certificate match")
        }
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![b"shopsmart/1".to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3 suits QUIC")))
}
