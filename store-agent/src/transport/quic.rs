//! One link to the hub over QUIC: dials, proves who this store is, and carries frames until it ends.
//!
//! One connection with two streams, opened by the agent: on each the first byte says which it is (0 state, 1 history), then come
//! frames, each after its length as a little-endian u32. State goes first wherever both wait. Frames of one go of the core
//! are written before anything else runs, so that they share a packet.
//!
//! Nothing here blocks the core: what it wants sent is queued within bounds, and a link that cannot keep up is dropped. The
//! core's own acknowledgements, not this file, decide what counts as delivered.

use super::ends::{Ends, STOPPING};
use super::identity;
use super::wire::Wire;
use super::words;
use super::writer::Writer;
use crate::config::HubConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, VarInt};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::time::timeout;

/// Names the protocol in the TLS handshake; another version gets another name.
pub const ALPN: &[u8] = b"shopsmart/1";

/// A line that is silent for so long is dead.
const IDLE_MAX: Duration = Duration::from_secs(45);
/// Longer than the core's heartbeats are apart: those keep the line open, and a keep-alive between them would cost as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
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
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
pub const LOOKS_UNANSWERED_MAX: u32 = 10;
/// Where MQTT stands ready there is no use in waiting that long.
pub const LOOKS_UNANSWERED_MAX_BESIDE_MQTT: u32 = 4;
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Dials once and carries the link to its end. Says why it ended. `unanswered_max`: so many looks without any answer, and
/// the hub counts as gone.
pub async fn link(config: &HubConfig, ends: &Ends, unanswered_max: u32) -> String {
    ends.metrics.link_dials.inc();
    let dialled = tokio::select! {
        dialled = dial(config, ALPN, transport(config)) => dialled,
        reason = ends.cued() => return reason,
    };
    let (endpoint, connection) = match dialled {
        Ok(dialled) => dialled,
        Err(reason) => return reason,
    };
    tracing::debug!(remote = %connection.remote_address(), "connected; waiting for the hub's welcome");
    let reason = Link { connection: &connection, ends }.carry(unanswered_max).await;
    ends.metrics.link_ends.inc();
    connection.close(VarInt::from_u32(0), reason.as_bytes());
    if ends.is_stopping() {
        // The runtime ends with the agent; the goodbye must leave before.
        let _ = timeout(GOODBYE_WITHIN, endpoint.wait_idle()).await;
    }
    reason
}

pub fn transport(config: &HubConfig) -> quinn::TransportConfig {
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

/// Tries each address the hub's name stands for. A fresh socket each time: after a change of line the old one may be bound to
/// a way that is gone.
pub async fn dial(
    config: &HubConfig,
    alpn: &[u8],
    transport: quinn::TransportConfig,
) -> Result<(Endpoint, Connection), String> {
    let mut tls = identity::client(config).map_err(|error| error.to_string())?;
    tls.alpn_protocols = vec![alpn.to_vec()];
    let tls = QuicClientConfig::try_from(tls).map_err(|error| format!("no TLS cipher for QUIC: {error}"))?;
    let mut client = quinn::ClientConfig::new(Arc::new(tls));
    client.transport_config(Arc::new(transport));
    let address = &config.address;
    let found = tokio::net::lookup_host(address).await;
    let found = found.map_err(|error| format!("the name of the hub `{address}` is not known: {error}"))?;
    let mut reason = format!("the name of the hub `{address}` stands for no address");
    for remote in found {
        match dial_one(client.clone(), &config.server_name, remote).await {
            Ok(dialled) => return Ok(dialled),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

async fn dial_one(
    client: quinn::ClientConfig,
    server_name: &str,
    remote: SocketAddr,
) -> Result<(Endpoint, Connection), String> {
    let endpoint = endpoint(remote).map_err(|error| format!("cannot open a UDP socket: {error}"))?;
    let connecting = endpoint
        .connect_with(client, remote, server_name)
        .map_err(|error| format!("cannot dial {remote}: {error}"))?;
    match timeout(DIAL_WITHIN, connecting).await {
        Ok(Ok(connection)) => Ok((endpoint, connection)),
        Ok(Err(error)) => Err(format!("no connection to {remote}: {}", in_words(&error))),
        Err(_) => Err(format!("no answer from {remote} in {} seconds", DIAL_WITHIN.as_secs())),
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
pub fn in_words(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => "the hub stopped answering".to_owned(),
        ConnectionError::ApplicationClosed(close) => {
            format!("the hub closed the link: {}", String::from_utf8_lossy(&close.reason))
        }
        ConnectionError::ConnectionClosed(close) => match tls_alert(close.error_code.into()) {
            Some(alert) => words::store_refused(alert),
            None => format!("the hub closed the connection: {close}"),
        },
        ConnectionError::TransportError(error) if tls_alert(error.code.into()).is_some() => {
            words::hub_refused(&error.reason)
        }
        ConnectionError::LocallyClosed => "the agent closed the link".to_owned(),
        other => other.to_string(),
    }
}

/// QUIC carries TLS alerts as error codes from 0x100 on.
fn tls_alert(code: u64) -> Option<&'static str> {
    code.checked_sub(0x100).and_then(|number| u8::try_from(number).ok()).map(words::alert)
}

/// An open connection.
struct Link<'a> {
    connection: &'a Connection,
    ends: &'a Ends,
}

impl Link<'_> {
    /// Carries frames both ways until the link ends, and says why.
    async fn carry(&self, unanswered_max: u32) -> String {
        let (state, history) = match (self.open(Stream::State).await, self.open(Stream::History).await) {
            (Ok(state), Ok(history)) => (state, history),
            (Err(error), _) | (_, Err(error)) => return in_words(&error),
        };
        let Some(flights) = self.ends.up().await else { return STOPPING.to_owned() };
        let mut writer = Writer::new(flights, state.0, history.0);
        let reason = tokio::select! {
            reason = std::future::poll_fn(|cx| writer.poll(cx)) => reason,
            reason = self.read(state.1, Stream::State) => reason,
            reason = self.read(history.1, Stream::History) => reason,
            error = self.connection.closed() => in_words(&error),
            reason = self.watch_wire(unanswered_max) => reason,
            reason = self.ends.cued() => reason,
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
            if !self.ends.frame(stream, bytes).await {
                return STOPPING.to_owned();
            }
        }
    }

    /// Keeps the wire's counters up to date; comes back when the hub leaves what was sent without any acknowledgement.
    async fn watch_wire(&self, unanswered_max: u32) -> String {
        let mut wire = Wire::new(self.connection, &self.ends.metrics);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if wire.look() >= unanswered_max {
                return "the hub leaves everything unanswered".to_owned();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_about_certificates_are_put_into_words() {
        assert_eq!(tls_alert(0x100 + 45), Some("certificate expired"));
        assert_eq!(tls_alert(0x0a), None);
        assert_eq!(tls_alert(0x1000), None);
    }
}
