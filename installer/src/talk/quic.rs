//! Whether UDP gets through to the hub: a QUIC handshake, which needs nothing of this store.

use super::dial::look_up;
use super::tls::{Pinned, Shown, pin_of};
use crate::fault::{Code, Fault};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::CertificateDer;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::enrolment::{Address, Pin};
use tokio::time::timeout;

/// The hub's protocol for those who only want to know whether it can be reached.
const ALPN: &[u8] = b"shopsmart-probe/1";
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// Says who answered over UDP. Somebody who answers wrongly has answered all the same.
pub async fn probe(
    to: &Address,
    server_name: &str,
    authority: Option<CertificateDer<'static>>,
) -> Result<Option<Shown>, Fault> {
    let known = authority.is_some();
    // Without an authority nobody is told from anybody else; that something answers is what is asked here.
    let pin = authority.as_ref().map_or(Pin([0; 32]), pin_of);
    let pinned = Pinned::on_known(pin, authority);
    let mut tls = pinned.client(None)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = QuicClientConfig::try_from(tls)
        .map_err(|error| Fault::caused(Code::E901, "QUIC can't be spoken", error))?;
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let mut last = String::new();
    for address in look_up(to).await? {
        match timeout(ANSWER_WITHIN, handshake(config.clone(), address, server_name)).await {
            Ok(Ok(())) => return Ok(pinned.seen().filter(|_| known)),
            Ok(Err(_)) if pinned.seen().is_some() => return Ok(pinned.seen().filter(|_| known)),
            Ok(Err(error)) => last = error,
            Err(_) => last = "no answer".to_owned(),
        }
    }
    Err(Fault::new(Code::E303, format!("{to} can't be reached over UDP: {last}")))
}

async fn handshake(config: quinn::ClientConfig, to: SocketAddr, name: &str) -> Result<(), String> {
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = quinn::Endpoint::client(from).map_err(|error| error.to_string())?;
    let connecting = endpoint.connect_with(config, to, name).map_err(|error| error.to_string())?;
    match connecting.await {
        Ok(connection) => {
            connection.close(0u32.into(), b"probe");
            Ok(())
        }
        // Whoever hangs up has been reached.
        Err(quinn::ConnectionError::ConnectionClosed(_) | quinn::ConnectionError::ApplicationClosed(_)) => {
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}
