//! MQTT ingest: the hub's own MQTT 5 endpoint, for store agents whose network lets no UDP through. It is no broker:
//! whoever connects with a store's certificate speaks with the hub, and with nobody else.
//!
//! Promises: TLS 1.3 and a client certificate of the hub's authority, always; a store touches its own topics and no
//! others; a frame's PUBACK leaves only after its commit; while the driver is behind, nothing is read. Everything a
//! peer can make the hub keep is bounded: strangers at the door, packets, frames in flight, answers. Peers that connect
//! and say nothing make way for those who knock after them.

mod line;
mod link;
mod owed;
mod session;

use super::tls::{self, Certificates, TlsError};
use super::{Farewell, Inbox, Links, Metrics, log_panic};
use crate::door::Door;
use link::Shared;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::warn;

/// What a client may name as its protocol; one that names none is taken too.
pub const ALPN: &[u8] = b"mqtt";

/// Connections that wait to be accepted. All stores come back at once after a cut.
const BACKLOG: i32 = 4096;
/// How long to wait when the system has no more files for connections.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
}

/// Why the hub can't listen. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("can't listen on TCP {address}")]
    Socket { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A listening endpoint.
pub struct Ingest {
    listener: TcpListener,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    inbox: Inbox,
    links: Arc<Links>,
    metrics: Metrics,
}

impl Ingest {
    /// Listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address is taken or the certificates are no good.
    pub fn listen(
        settings: &Settings,
        certificates: Certificates,
        inbox: Inbox,
        links: Arc<Links>,
        metrics: Metrics,
    ) -> Result<Ingest, ListenError> {
        let tls = tls::server_config(certificates, &[ALPN])?;
        let failed = |source| ListenError::Socket { address: settings.listen, source };
        let listener = bound_listener(settings.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Ingest { listener, address, acceptor: TlsAcceptor::from(Arc::new(tls)), inbox, links, metrics })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` says so; then tells every peer, and waits for the last link to be reported down.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let Ingest { listener, acceptor, inbox, links, metrics, .. } = self;
        let shared = Shared { acceptor, inbox, links, metrics, stop: stop.clone() };
        let mut connections = JoinSet::new();
        let mut door = Door::default();
        loop {
            let (place, accepted) = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = connections.join_next() => {
                    log_panic(ended);
                    continue;
                }
                caller = next_caller(&listener, &mut door) => caller,
            };
            match accepted {
                Ok((tcp, peer)) => {
                    let stranger = door.enter(place);
                    connections.spawn(shared.clone().receive(tcp, peer, stranger));
                }
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "can't accept a connection");
                    door.clear_one();
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
        // Whoever is still at the door goes; links are told why.
        drop((door, listener));
        shared.links.hang_up_all(&Farewell::Stopping);
        drop(shared);
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    }
}

/// Waits for room at the door, and for somebody who wants to come in.
async fn next_caller(
    listener: &TcpListener,
    door: &mut Door,
) -> (OwnedSemaphorePermit, io::Result<(TcpStream, SocketAddr)>) {
    let place = door.place().await;
    (place, listener.accept().await)
}

fn bound_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
