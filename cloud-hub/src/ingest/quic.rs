//! QUIC ingest: store agents connect with a certificate of the hub's authority and speak for the store it names.
//!
//! Promises: TLS 1.3 and a client certificate, always; a certificate that names no store or several never becomes a
//! link; whatever one peer sends, the others go on. Everything a peer can make the hub keep is bounded: handshakes in
//! flight, streams, flow-control windows, frames, answers. Garbage and overlong frames end the connection they came
//! on, with an error code and a reason that the peer can log.

use super::links::{Carrier, close};
use super::splitter::{BadLength, Splitter};
use super::tls::{self, Certificates, TlsError, store_shown};
use super::{Answers, Farewell, Inbox, Links, Metrics, Stopped, asked_to_go, log_panic, outlet};
use crate::hub::LinkId;
use crate::standing::Serial;
use quinn::crypto::rustls::{HandshakeData, NoInitialCipherSuite, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, Connection, ConnectionError, ConnectionId, ConnectionIdGenerator, Endpoint,
    EndpointConfig, IdleTimeout, Incoming, MtuDiscoveryConfig, ReadError, ReadExactError, RecvStream,
    SendStream, ServerConfig, TransportConfig, VarInt, WriteError,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use sync_protocol::StoreId;
use sync_protocol::frame::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::{Instrument, error, info, info_span, warn};

/// What agent and hub agree to speak.
pub const ALPN: &[u8] = b"shopsmart/1";

/// What an agent speaks that only wants to know whether QUIC gets through, while its link goes another way.
pub const PROBE_ALPN: &[u8] = b"shopsmart-probe/1";

/// Milliseconds without any packet after which a link is gone; agents send something every 20 s.
const IDLE_MAX_MS: u32 = 60_000;
/// A handshake takes a few round trips; even a poor line is done by then.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes in flight. Further ones wait in the endpoint's own, also bounded, queue.
const HANDSHAKES_MAX: usize = 256;
/// From this many handshakes in flight on, callers must first prove that their address is theirs.
const HANDSHAKES_UNPROVEN_MAX: usize = HANDSHAKES_MAX / 2;
/// Connection attempts that wait to be looked at.
const INCOMING_MAX: usize = 1024;
/// Five hundred agents that come back at once overflow the kernel's default; four mebibytes hold them all.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// One for state, one for history.
const STREAMS_MAX: u32 = 2;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
const SEND_WINDOW_BYTES: u64 = 1 << 20;
/// Bytes of the hub's connection ids. Each packet of an agent carries one; a few hundred links need no more.
const CONNECTION_ID_BYTES: usize = 4;
/// Packets an agent may take before it must acknowledge at once. Most acknowledgements then travel with its next frame.
const UNACKNOWLEDGED_MAX: u32 = 8;
/// How much is read from a stream in one go.
const CHUNK_BYTES: usize = 64 << 10;
/// A peer that has this much of the hub's answers in its write buffer is sent no more of them for now.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// How long a peer that is refused gets to hear why.
const PARTING_MAX: Duration = Duration::from_secs(1);
/// How long the last packets get to leave when the hub stops.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// How long a probe may stay; the agent closes it long before.
const PROBE_MAX: Duration = Duration::from_secs(60);
/// Probes of one store at a time: one, and one that the agent has given up and the hub has not noticed.
const PROBES_PER_STORE_MAX: usize = 2;

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    pub mtu_max: u16,
    pub segmentation_offload: bool,
}

/// Why the hub can't listen. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("can't listen on UDP {address}")]
    Socket { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("TLS offers no cipher suite for QUIC")]
    CipherSuite(#[from] NoInitialCipherSuite),
}

/// A listening endpoint.
pub struct Ingest {
    endpoint: Endpoint,
    address: SocketAddr,
    shared: Shared,
}

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    inbox: Inbox,
    links: Arc<Links>,
    metrics: Metrics,
    probes: Probes,
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
        let reset_key = reset_key(&certificates.key);
        let server = server_config(settings, certificates)?;
        let failed = |source| ListenError::Socket { address: settings.listen, source };
        let socket = bound_socket(settings.listen).map_err(failed)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint =
            Endpoint::new(endpoint_config(reset_key), Some(server), socket, runtime).map_err(failed)?;
        let address = endpoint.local_addr().map_err(failed)?;
        Ok(Ingest { endpoint, address, shared: Shared { inbox, links, metrics, probes: Probes::default() } })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` says so; then tells every peer, and waits for the last link to be reported down.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let stopped = stop.clone();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = connections.join_next() => log_panic(ended),
                caller = next_caller(&self.endpoint, &handshakes) => {
                    let Some(caller) = caller else { break };
                    connections.spawn(self.shared.clone().receive(caller, stopped.clone()));
                }
            }
        }
        self.shared.links.hang_up_all(&Farewell::Stopping);
        self.endpoint.set_server_config(None);
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
        drop(tokio::time::timeout(GOODBYE_MAX, self.endpoint.wait_idle()).await);
    }
}

/// A connection attempt that was let in, with its place among the handshakes in flight.
struct Caller {
    incoming: Incoming,
    place: OwnedSemaphorePermit,
}

/// Waits for a place and a caller to take it. `None` when the endpoint is closed.
async fn next_caller(endpoint: &Endpoint, handshakes: &Arc<Semaphore>) -> Option<Caller> {
    loop {
        let place = Arc::clone(handshakes).acquire_owned().await.ok()?;
        let incoming = endpoint.accept().await?;
        let in_flight = HANDSHAKES_MAX - handshakes.available_permits();
        if in_flight <= HANDSHAKES_UNPROVEN_MAX || incoming.remote_address_validated() {
            return Some(Caller { incoming, place });
        }
        if let Err(unproven) = incoming.retry() {
            unproven.into_incoming().refuse();
        }
    }
}

impl Shared {
    /// One connection, from its first packet to its last.
    async fn receive(self, caller: Caller, stop: watch::Receiver<bool>) {
        let peer = caller.incoming.remote_address();
        let Some(connection) = self.shake_hands(caller.incoming).await else {
            return;
        };
        drop(caller.place);
        match speaks_for(&connection).and_then(|shown| self.admitted(shown, &connection)) {
            Ok((store, _)) if is_probe(&connection) => {
                let why = self.probes.hold(&store, &connection, stop).await;
                close(&connection, &why);
                self.links.count(&Carrier::Quic(connection));
            }
            Ok((store, serial)) => {
                let (outlet, answers) = outlet();
                let carrier = Carrier::Quic(connection.clone());
                let link = self.links.add(&store, Some(serial), carrier, outlet.hang_up.clone());
                let span = info_span!("link", link = link.0, %store, %peer);
                let up = self.inbox.up(link, store, outlet);
                self.link(link, &connection, up, answers).instrument(span).await;
            }
            Err(why) => {
                warn!(%peer, reason = why.reason(), "connection refused");
                self.metrics.handshake_failed(why.name());
                close(&connection, &why);
                connection.closed().await;
                self.links.count(&Carrier::Quic(connection));
            }
        }
    }

    /// Whether whoever has shown a certificate may stay. A probe is no link, and says nothing about who holds the identity.
    fn admitted(
        &self,
        (store, serial): (StoreId, Serial),
        connection: &Connection,
    ) -> Result<(StoreId, Serial), Farewell> {
        let standings = self.links.standings();
        let admitted = match is_probe(connection) {
            true => standings.admits(&store, Some(&serial)),
            false => standings.greet(&store, Some(&serial)),
        };
        admitted.map(|()| (store, serial)).map_err(Farewell::NotAdmitted)
    }

    async fn shake_hands(&self, incoming: Incoming) -> Option<Connection> {
        let peer = incoming.remote_address();
        let handshake = async { incoming.accept()?.await };
        let failed = match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(error)) => error,
            Err(_) => ConnectionError::TimedOut,
        };
        let reason = handshake_failure(&failed);
        self.metrics.handshake_failed(reason);
        info!(%peer, reason, error = &failed as &dyn std::error::Error, "handshake failed");
        None
    }

    /// One link, from its report as up to its report as down.
    async fn link(
        &self,
        link: LinkId,
        connection: &Connection,
        up: impl Future<Output = Result<(), Stopped>>,
        answers: Answers,
    ) {
        self.metrics.link_up();
        info!("link up");
        let why = match up.await {
            Ok(()) => self.converse(link, connection, answers).await,
            Err(stopped) => stopped.into(),
        };
        close(connection, &why);
        self.links.remove(link);
        self.metrics.link_ended(&why);
        info!(why = why.name(), reason = why.reason(), "link ended");
        // Fails only when the driver has stopped, and then nobody is left to care.
        let _ = self.inbox.down(link).await;
    }

    /// Reads and writes until either side has enough, or the network fails.
    async fn converse(&self, link: LinkId, connection: &Connection, answers: Answers) -> Farewell {
        let mut farewells = answers.farewells();
        let (opened, to_write) = mpsc::channel(STREAMS_MAX as usize);
        let mut readers = JoinSet::new();
        let mut writing = pin!(write(answers, to_write));
        let why = loop {
            tokio::select! {
                why = asked_to_go(&mut farewells) => {
                    if let Farewell::Refused(_) = &why {
                        drop(tokio::time::timeout(PARTING_MAX, writing).await);
                    }
                    break why;
                }
                why = &mut writing => break why,
                Some(ended) = readers.join_next() => break ended.unwrap_or_else(panicked),
                streams = connection.accept_bi() => match streams {
                    Ok((send, receive)) => {
                        let reading = self.clone().read(link, receive, send, opened.clone());
                        readers.spawn(reading.in_current_span());
                    }
                    Err(error) => break error.into(),
                },
            }
        };
        readers.shutdown().await;
        why
    }

    /// Reads one stream: the byte that names it, then frames. Returns why the link must end.
    async fn read(
        self,
        link: LinkId,
        mut receive: RecvStream,
        send: SendStream,
        opened: mpsc::Sender<(Stream, SendStream)>,
    ) -> Farewell {
        let reading = async {
            let stream = stream_named_in(&mut receive).await?;
            opened.send((stream, send)).await.map_err(|_| Farewell::Stopping)?;
            let mut splitter = Splitter::default();
            loop {
                let chunk = receive.read_chunk(CHUNK_BYTES, true).await?.ok_or(Farewell::Gone)?;
                splitter.push(&chunk.bytes);
                while let Some(frame) = splitter.next()? {
                    self.metrics.frame(frame.len());
                    self.inbox.frame(link, frame, None).await?;
                }
            }
        };
        let Err::<Infallible, Farewell>(why) = reading.await;
        why
    }
}

/// The probes that are there, per store.
#[derive(Clone, Default)]
struct Probes(Arc<Mutex<HashMap<StoreId, usize>>>);

impl Probes {
    /// Keeps a probe until its agent, or the hub, has enough of it. It is no link and carries nothing.
    async fn hold(
        &self,
        store: &StoreId,
        connection: &Connection,
        mut stop: watch::Receiver<bool>,
    ) -> Farewell {
        let Some(_place) = self.place(store) else {
            return Farewell::Misused("there are too many probes of this store");
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Farewell::Stopping,
            _ = connection.closed() => Farewell::Gone,
            opened = connection.accept_bi() => match opened {
                Ok(_) => Farewell::Misused("a probe opens no streams"),
                Err(error) => error.into(),
            },
            () = tokio::time::sleep(PROBE_MAX) => Farewell::Silent,
        }
    }

    fn place(&self, store: &StoreId) -> Option<ProbePlace> {
        let mut held = self.held();
        let probes = held.entry(store.clone()).or_default();
        if *probes == PROBES_PER_STORE_MAX {
            return None;
        }
        *probes += 1;
        Some(ProbePlace { probes: self.clone(), store: store.clone() })
    }

    // A panic while holding the lock can at worst leave a place taken.
    fn held(&self) -> MutexGuard<'_, HashMap<StoreId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A probe's place, free again when this is dropped.
struct ProbePlace {
    probes: Probes,
    store: StoreId,
}

impl Drop for ProbePlace {
    fn drop(&mut self) {
        let mut held = self.probes.held();
        if let Some(probes) = held.get_mut(&self.store) {
            *probes -= 1;
            if *probes == 0 {
                held.remove(&self.store);
            }
        }
    }
}

fn is_probe(connection: &Connection) -> bool {
    let agreed = connection.handshake_data().and_then(|agreed| agreed.downcast::<HandshakeData>().ok());
    agreed.is_some_and(|agreed| agreed.protocol.as_deref() == Some(PROBE_ALPN))
}

async fn stream_named_in(receive: &mut RecvStream) -> Result<Stream, Farewell> {
    let mut code = [0];
    match receive.read_exact(&mut code).await {
        Ok(()) => Stream::from_code(code[0]).ok_or(Farewell::Misused("a stream has no known name")),
        Err(ReadExactError::FinishedEarly(_)) => Err(Farewell::Misused("a stream ended without a name")),
        Err(ReadExactError::ReadError(error)) => Err(error.into()),
    }
}

/// Writes answers to the streams that the peer has opened. Returns why the link must end; when that was decided
/// elsewhere, only once the peer has everything.
///
/// Both streams are written from here, so that what was decided together leaves together, and neither waits for the
/// other when its window is full.
async fn write(mut answers: Answers, mut opened: mpsc::Receiver<(Stream, SendStream)>) -> Farewell {
    let mut farewells = answers.farewells();
    let mut state = Pipe::default();
    let mut history = Pipe::default();
    loop {
        let waiting = state.waiting() + history.waiting();
        tokio::select! {
            biased;
            Some((stream, send)) = opened.recv() => {
                let pipe = match stream { Stream::State => &mut state, Stream::History => &mut history };
                if pipe.send.replace(send).is_some() {
                    return Farewell::Misused("a stream was opened twice");
                }
            }
            written = state.write(), if state.can_write() => if let Err(error) = written { return error.into() },
            written = history.write(), if history.can_write() => if let Err(error) = written { return error.into() },
            answer = answers.next(), if waiting < WRITE_BUFFER_BYTES => match answer {
                Some((answer, _room)) => {
                    for (stream, frame) in answer.frames {
                        let pipe = match stream { Stream::State => &mut state, Stream::History => &mut history };
                        pipe.put(&frame);
                    }
                }
                None => return Farewell::Stopping,
            },
            why = asked_to_go(&mut farewells), if waiting == 0 => {
                state.finish().await;
                history.finish().await;
                return why;
            }
        }
    }
}

/// A stream to write to, once it is there, and what waits to be written.
#[derive(Default)]
struct Pipe {
    send: Option<SendStream>,
    bytes: Vec<u8>,
    written: usize,
}

impl Pipe {
    fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    fn can_write(&self) -> bool {
        self.send.is_some() && self.waiting() > 0
    }

    /// Adds a frame behind its length.
    fn put(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).expect("frames are at most FRAME_BYTES_MAX long");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(frame);
    }

    /// Writes as much as the window takes. Nothing is lost when this is dropped while waiting.
    async fn write(&mut self) -> Result<(), WriteError> {
        let Some(send) = &mut self.send else { return Ok(()) };
        self.written += send.write(&self.bytes[self.written..]).await?;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
        Ok(())
    }

    /// Waits until the peer has acknowledged everything, or will not.
    async fn finish(&mut self) {
        if let Some(send) = &mut self.send
            && send.finish().is_ok()
        {
            drop(send.stopped().await);
        }
    }
}

/// Whose certificate the peer has shown.
fn speaks_for(connection: &Connection) -> Result<(StoreId, Serial), Farewell> {
    let shown =
        connection.peer_identity().and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    store_shown(shown.as_deref().map(Vec::as_slice))
}

/// A fixed set of reasons, for the metric.
fn handshake_failure(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::TransportError(_) => "tls",
        ConnectionError::ConnectionClosed(_) | ConnectionError::ApplicationClosed(_) => "refused_by_peer",
        ConnectionError::TimedOut => "timeout",
        ConnectionError::VersionMismatch => "version",
        _ => "other",
    }
}

fn panicked(error: JoinError) -> Farewell {
    error!(error = &error as &dyn std::error::Error, "a link's task panicked; the other links go on");
    Farewell::Misused("the hub failed on what this link sent")
}

impl From<ConnectionError> for Farewell {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::LocallyClosed => Self::Stopping,
            _ => Self::Gone,
        }
    }
}

impl From<ReadError> for Farewell {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => error.into(),
            _ => Self::Misused("a stream was reset"),
        }
    }
}

impl From<WriteError> for Farewell {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            _ => Self::Misused("a stream was stopped"),
        }
    }
}

impl From<BadLength> for Farewell {
    fn from(error: BadLength) -> Self {
        Self::Oversized(error.to_string())
    }
}

impl From<Stopped> for Farewell {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopping
    }
}

fn server_config(settings: &Settings, certificates: Certificates) -> Result<ServerConfig, ListenError> {
    let crypto =
        QuicServerConfig::try_from(Arc::new(tls::server_config(certificates, &[ALPN, PROBE_ALPN])?))?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server.max_incoming(INCOMING_MAX).transport_config(Arc::new(transport_config(settings)));
    Ok(server)
}

fn transport_config(settings: &Settings) -> TransportConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(settings.mtu_max);
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(VarInt::from_u32(UNACKNOWLEDGED_MAX));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MAX_MS))))
        .mtu_discovery_config((settings.mtu_max > 1200).then_some(discovery))
        .enable_segmentation_offload(settings.segmentation_offload)
        .ack_frequency_config(Some(acknowledgements));
    transport
}

/// The key of stateless resets, taken from the hub's own private key: a hub that has started again can tell the agents at once that
/// it no longer knows their connections, and nobody else can.
fn reset_key(key: &PrivateKeyDer<'_>) -> ring::hmac::Key {
    let own = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.secret_der());
    let derived = ring::hmac::sign(&own, b"shopsmart quic stateless reset");
    ring::hmac::Key::new(ring::hmac::HMAC_SHA256, derived.as_ref())
}

fn endpoint_config(reset_key: ring::hmac::Key) -> EndpointConfig {
    let mut endpoint = EndpointConfig::new(Arc::new(reset_key));
    endpoint.cid_generator(|| Box::new(ShortConnectionIds));
    endpoint
}

/// Random connection ids of [`CONNECTION_ID_BYTES`].
struct ShortConnectionIds;

impl ConnectionIdGenerator for ShortConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_BYTES];
        getrandom::fill(&mut id).expect("the kernel has random numbers from boot on");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn bound_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    let granted = socket.recv_buffer_size()?;
    if granted < SOCKET_BUFFER_BYTES {
        warn!(
            granted,
            wanted = SOCKET_BUFFER_BYTES,
            "the kernel grants a small receive buffer; raise net.core.rmem_max and wmem_max to bear many stores that reconnect at once"
        );
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}
