//! The link to the hub over QUIC: dials, proves who this store is, carries frames, and dials again when it ends.
//!
//! One connection with two streams, opened by the agent: on each the first byte says which it is (0 state, 1 history), then come
//! frames, each after its length as a little-endian u32. State goes first wherever both wait. Frames of one go of the core
//! are written before anything else runs, so that they share a packet.
//!
//! Nothing here blocks the core: what it wants sent is queued within bounds, and a link that cannot keep up is dropped. The
//! core's own acknowledgements, not this file, decide what counts as delivered.

use super::identity::{self, IdentityError};
use super::wire::Wire;
use super::writer::Writer;
use crate::config::HubConfig;
use crate::inbox::{FLIGHTS_MAX, Inbox, Work};
use crate::telemetry::{Direction, Metrics};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::Instrument;

/// Names the protocol in the TLS handshake; another version gets another name.
pub const ALPN: &[u8] = b"shopsmart/1";

/// A line that is silent for so long is dead. Three keep-alives fit, so two may be lost.
const IDLE_MAX: Duration = Duration::from_secs(45);
const KEEP_ALIVE: Duration = Duration::from_secs(14);
const DIAL_WITHIN: Duration = Duration::from_secs(6);
/// What the hub may send unread: a frame at its bound on each stream, and again as much.
const RECEIVE_WINDOW: u32 = 1 << 20;
const STREAM_WINDOW: u32 = 512 << 10;
/// What may be sent and unconfirmed.
const SEND_WINDOW: u64 = 1 << 20;
/// The hub's frames answer most of ours, so it need not send a packet of its own for every second one.
const PACKETS_PER_ACK: u32 = 8;
/// How often the wire is looked at, and after how many looks without any answer the hub counts as gone. A hub that was
/// killed and started again does not know the connection, and says nothing; waiting for the silence of a whole idle time would
/// leave fresh stock lying.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOKS_UNANSWERED_MAX: u32 = 10;
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Keeps a link to the hub until `stop` turns true.
pub async fn run(config: HubConfig, inbox: Inbox, metrics: Arc<Metrics>, mut stop: watch::Receiver<bool>) {
    let mut pauses = Pauses::default();
    let mut last_reason = String::new();
    for number in 1u64.. {
        let span = tracing::info_span!("link", link = number, hub = config.address);
        let mut dialler = Dialler { config: &config, inbox: &inbox, metrics: &metrics, stop: stop.clone() };
        let ended = dialler.link(&mut pauses).instrument(span).await;
        if *stop.borrow() || !inbox.tell(Work::LinkDown { reason: ended.clone() }).await {
            return;
        }
        let pause = pauses.next(random_share());
        if ended == last_reason {
            tracing::debug!(reason = ended, retry_in = ?pause, "no link to the hub");
        } else {
            tracing::warn!(reason = ended, retry_in = ?pause, "no link to the hub");
        }
        last_reason = ended;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Checks what the configuration names, without dialling: for `check-config`.
pub fn check(config: &HubConfig) -> Result<(), IdentityError> {
    identity::client(config).map(drop)
}

/// How long to wait before the next dial: soon at first, then ever longer, and never in step with other stores.
#[derive(Debug, Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    const FIRST_MS: u64 = 200;
    const MAX_MS: u64 = 30_000;

    /// `share` is random, from 0 to 1.
    fn next(&mut self, share: f64) -> Duration {
        let longest = Self::FIRST_MS.checked_shl(self.failures).unwrap_or(Self::MAX_MS).min(Self::MAX_MS);
        self.failures = (self.failures + 1).min(16);
        // Between a half and the whole: never at once, never all stores together.
        Duration::from_millis(longest).mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
    }

    fn reset(&mut self) {
        self.failures = 0;
    }
}

fn random_share() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all stores wait alike, which is slower, not wrong.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

fn transport(config: &HubConfig) -> quinn::TransportConfig {
    let mut acks = quinn::AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(PACKETS_PER_ACK));
    let mut mtu = quinn::MtuDiscoveryConfig::default();
    mtu.upper_bound(config.mtu_max);
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_idle_timeout(Some(IDLE_MAX.try_into().expect("45 s is a QUIC timeout")))
        .keep_alive_interval(Some(KEEP_ALIVE))
        // The hub opens no streams and sends no datagrams.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(SEND_WINDOW)
        .enable_segmentation_offload(!config.disable_gso)
        .mtu_discovery_config(Some(mtu))
        .ack_frequency_config(Some(acks));
    transport
}

struct Dialler<'a> {
    config: &'a HubConfig,
    inbox: &'a Inbox,
    metrics: &'a Arc<Metrics>,
    stop: watch::Receiver<bool>,
}

impl Dialler<'_> {
    /// Dials once and carries the link to its end. Says why it ended.
    async fn link(&mut self, pauses: &mut Pauses) -> String {
        self.metrics.link_dials.inc();
        let mut stop = self.stop.clone();
        let dialled = tokio::select! {
            dialled = self.dial() => dialled,
            _ = stop.wait_for(|stop| *stop) => return "the agent is stopping".to_owned(),
        };
        let (endpoint, connection) = match dialled {
            Ok(dialled) => dialled,
            Err(reason) => return reason,
        };
        tracing::debug!(remote = %connection.remote_address(), "connected; waiting for the hub's welcome");
        let link = Link {
            connection: &connection,
            inbox: self.inbox,
            metrics: self.metrics,
            heard: AtomicBool::new(false),
        };
        let reason = link.carry(self.stop.clone()).await;
        self.metrics.link_ends.inc();
        if link.heard.load(Ordering::Relaxed) {
            pauses.reset();
        }
        connection.close(VarInt::from_u32(0), reason.as_bytes());
        if *self.stop.borrow() {
            // The runtime ends with the agent; the goodbye must leave before.
            let _ = timeout(GOODBYE_WITHIN, endpoint.wait_idle()).await;
        }
        reason
    }

    /// Tries each address the hub's name stands for. A fresh socket each time: after a change of line the old one may be
    /// bound to a way that is gone.
    async fn dial(&self) -> Result<(Endpoint, Connection), String> {
        let mut tls = identity::client(self.config).map_err(|error| error.to_string())?;
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let tls =
            QuicClientConfig::try_from(tls).map_err(|error| format!("no TLS cipher for QUIC: {error}"))?;
        let mut client = quinn::ClientConfig::new(Arc::new(tls));
        client.transport_config(Arc::new(transport(self.config)));
        let address = &self.config.address;
        let found = tokio::net::lookup_host(address).await;
        let found =
            found.map_err(|error| format!("the name of the hub `{address}` is not known: {error}"))?;
        let mut reason = format!("the name of the hub `{address}` stands for no address");
        for remote in found {
            match self.dial_one(client.clone(), remote).await {
                Ok(dialled) => return Ok(dialled),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    async fn dial_one(
        &self,
        client: quinn::ClientConfig,
        remote: SocketAddr,
    ) -> Result<(Endpoint, Connection), String> {
        let endpoint = endpoint(remote).map_err(|error| format!("cannot open a UDP socket: {error}"))?;
        let connecting = endpoint
            .connect_with(client, remote, &self.config.server_name)
            .map_err(|error| format!("cannot dial {remote}: {error}"))?;
        match timeout(DIAL_WITHIN, connecting).await {
            Ok(Ok(connection)) => Ok((endpoint, connection)),
            Ok(Err(error)) => Err(format!("no connection to {remote}: {}", in_words(&error))),
            Err(_) => Err(format!("no answer from {remote} in {} seconds", DIAL_WITHIN.as_secs())),
        }
    }
}

fn endpoint(remote: SocketAddr) -> std::io::Result<Endpoint> {
    let any = if remote.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let mut config = quinn::EndpointConfig::default();
    config.cid_generator(|| Box::new(NoIds));
    let runtime = quinn::default_runtime().ok_or_else(|| std::io::Error::other("no asynchronous runtime"))?;
    Endpoint::new(config, None, UdpSocket::bind(any)?, runtime)
}

/// A socket here has one connection, so the hub's packets need no id to find it: fewer bytes in each.
struct NoIds;

impl quinn::ConnectionIdGenerator for NoIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        quinn::ConnectionId::new(&[])
    }

    fn cid_len(&self) -> usize {
        0
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Why a connection ended, for people who have to mend it.
fn in_words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => "the hub stopped answering".to_owned(),
        ConnectionError::ApplicationClosed(close) => {
            format!("the hub closed the link: {}", String::from_utf8_lossy(&close.reason))
        }
        ConnectionError::ConnectionClosed(close) => match tls_alert(close.error_code.into()) {
            Some(alert) => {
                format!("the hub did not accept this store's certificate ({alert}); issue a new one")
            }
            None => format!("the hub closed the connection: {close}"),
        },
        ConnectionError::TransportError(error) if tls_alert(error.code.into()).is_some() => {
            format!("the hub's certificate is not accepted: {}; check ca_file and server_name", error.reason)
        }
        ConnectionError::LocallyClosed => "the agent closed the link".to_owned(),
        other => other.to_string(),
    }
}

/// QUIC carries TLS alerts as error codes from 0x100 on.
fn tls_alert(code: u64) -> Option<&'static str> {
    Some(match code.checked_sub(0x100)? {
        40 => "handshake failed",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        48 => "unknown certificate authority",
        49 => "access denied",
        51 => "bad signature",
        116 => "certificate required",
        0..=255 => "TLS alert",
        _ => return None,
    })
}

/// An open connection.
struct Link<'a> {
    connection: &'a Connection,
    inbox: &'a Inbox,
    metrics: &'a Arc<Metrics>,
    /// The hub has sent at least one frame: only then is it known to have accepted this store.
    heard: AtomicBool,
}

impl Link<'_> {
    /// Carries frames both ways until the link ends, and says why.
    async fn carry(&self, mut stop: watch::Receiver<bool>) -> String {
        let (state, history) = match (self.open(Stream::State).await, self.open(Stream::History).await) {
            (Ok(state), Ok(history)) => (state, history),
            (Err(error), _) | (_, Err(error)) => return in_words(&error),
        };
        let (outgoing, flights) = mpsc::channel(FLIGHTS_MAX);
        if !self.inbox.tell(Work::LinkUp { outgoing }).await {
            return "the agent is stopping".to_owned();
        }
        let mut writer = Writer::new(flights, state.0, history.0);
        let reason = tokio::select! {
            reason = std::future::poll_fn(|cx| writer.poll(cx)) => reason,
            reason = self.read(state.1, Stream::State) => reason,
            reason = self.read(history.1, Stream::History) => reason,
            error = self.connection.closed() => in_words(&error),
            reason = self.watch_wire() => reason,
            _ = stop.wait_for(|stop| *stop) => "the agent is stopping".to_owned(),
        };
        // A broken stream is a symptom; why the connection closed is the cause.
        self.connection.close_reason().map_or(reason, |error| in_words(&error))
    }

    /// Opens a stream and says which one it is.
    async fn open(&self, stream: Stream) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (mut send, receive) = self.connection.open_bi().await?;
        let _ = send.set_priority(match stream {
            Stream::State => 1,
            Stream::History => 0,
        });
        match send.write_all(&[stream.code()]).await {
            Ok(()) => Ok((send, receive)),
            Err(quinn::WriteError::ConnectionLost(error)) => Err(error),
            Err(_) => Err(ConnectionError::Reset),
        }
    }

    /// Hands the frames of one stream to the core, one by one; while the core is behind, the hub is held back.
    async fn read(&self, mut from: RecvStream, stream: Stream) -> String {
        loop {
            let mut length = [0; 4];
            if let Err(error) = from.read_exact(&mut length).await {
                return format!("stream {} ended: {error}", stream.name());
            }
            let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
            if length == 0 || length > FRAME_BYTES_MAX {
                return format!(
                    "the hub announced a frame of {length} bytes; 1 to {FRAME_BYTES_MAX} are allowed"
                );
            }
            let mut bytes = vec![0; length];
            if let Err(error) = from.read_exact(&mut bytes).await {
                return format!("stream {} ended inside a frame: {error}", stream.name());
            }
            self.heard.store(true, Ordering::Relaxed);
            self.metrics.frame(Direction::Received, stream, length);
            if !self.inbox.tell(Work::Frame(bytes)).await {
                return "the agent is stopping".to_owned();
            }
        }
    }

    /// Keeps the wire's counters up to date; comes back when the hub leaves what was sent without any acknowledgement.
    async fn watch_wire(&self) -> String {
        let mut wire = Wire::new(self.connection, self.metrics);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if wire.look() >= LOOKS_UNANSWERED_MAX {
                return "the hub leaves everything unanswered".to_owned();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_fifth_of_a_second_to_half_a_minute() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.next(1.0), Duration::from_millis(200));
        assert_eq!(pauses.next(0.0), Duration::from_millis(200));
        let later = (0..40).map(|_| pauses.next(1.0)).last().unwrap();
        assert_eq!(later, Duration::from_secs(30));
        pauses.reset();
        assert_eq!(pauses.next(0.0), Duration::from_millis(100));
    }

    #[test]
    fn alerts_about_certificates_are_put_into_words() {
        assert_eq!(tls_alert(0x100 + 45), Some("certificate expired"));
        assert_eq!(tls_alert(0x0a), None);
        assert_eq!(tls_alert(0x1000), None);
    }
}
