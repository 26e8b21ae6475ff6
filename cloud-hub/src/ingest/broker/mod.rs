//! MQTT ingest by way of the customer's broker: the hub is one of its clients, and what stores publish there comes in
//! like any other frame.
//!
//! Promises: nothing the broker does to messages costs more than time, because only the hub's own acknowledgement after
//! its commit lets a store forget; the broker hears of a frame's arrival only once the hub is done with it, so that with
//! several hubs it can give a frame to another; each store has a link of its own here, which ends with its store's last
//! will, with the broker's connection, or in silence.
//!
//! Who speaks for which store can't be seen from here: the broker's rules bind certificates to topics
//! (docs/operating/brokers.md), and a frame is taken for the store of its topic only.

mod reader;
mod session;
mod stores;
mod words;

use super::tls::{self, ClientCertificates, TlsError};
use super::{Inbox, Links, Metrics};
use crate::config::HostPort;
use rumqttc::v5::mqttbytes::v5::ConnectProperties;
use rumqttc::v5::{AsyncClient, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

/// What the hub names as its protocol in TLS, for brokers that offer more than one on a port.
const ALPN: &[u8] = b"mqtt";
/// A broker that hangs is noticed within two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(6);
/// Frames that the broker may give the hub before the first of them is dealt with.
const RECEIVE_MAX: u16 = 256;
/// Frames that the hub may give the broker before it has taken the first.
const INFLIGHT_MAX: u16 = 256;
/// Packets that may wait for the library's event loop.
const REQUESTS_MAX: usize = 64;
/// A frame, and around it a topic and properties.
const PACKET_BYTES_MAX: u32 = 256 * 1024 + 1024;
const _: () = assert!(PACKET_BYTES_MAX as usize == FRAME_BYTES_MAX + 1024);
/// Between two attempts to connect, doubling from the first to the last; each is shortened by chance.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// A connection that held for so long was a good one: the next pause is the shortest again.
const HELD_WELL: Duration = Duration::from_secs(10);

/// Where the broker is, and the name of the subscription that hubs share.
#[derive(Debug, Clone)]
pub struct Settings {
    pub address: HostPort,
    pub share: String,
}

/// Why the hub can't connect as it should. The operator's to mend.
#[derive(Debug, thiserror::Error)]
#[error("the hub has nothing to show the broker")]
pub struct NoCertificates(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// What the hub shows and trusts. Asked for at each connection: certificates are renewed while the hub runs.
pub type Credentials = Box<dyn Fn() -> Result<ClientCertificates, NoCertificates> + Send + Sync>;

/// The hub as a client of the broker.
pub struct Ingest {
    settings: Settings,
    credentials: Credentials,
    shared: Shared,
}

/// What every connection needs.
struct Shared {
    inbox: Inbox,
    links: Arc<Links>,
    metrics: Metrics,
}

impl Ingest {
    /// Checks the certificates; connects only in [`Ingest::serve`].
    ///
    /// # Errors
    /// When the certificates are no good.
    pub fn new(
        settings: Settings,
        credentials: Credentials,
        inbox: Inbox,
        links: Arc<Links>,
        metrics: Metrics,
    ) -> Result<Ingest, NoCertificates> {
        let ingest = Ingest { settings, credentials, shared: Shared { inbox, links, metrics } };
        ingest.tls()?;
        Ok(ingest)
    }

    /// Keeps a connection to the broker until `stop` says so. A broker that is away is tried again and again.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let mut pause = PAUSES[0];
        let mut last_reason = String::new();
        while !*stop.borrow() {
            let began = Instant::now();
            let reason = self.connection(&mut stop).await;
            if *stop.borrow() {
                return;
            }
            if began.elapsed() >= HELD_WELL {
                pause = PAUSES[0];
                last_reason.clear();
            }
            let broker = &self.settings.address;
            if reason == last_reason {
                debug!(%broker, reason, "no connection to the broker");
            } else {
                warn!(%broker, reason, "no connection to the broker; trying again");
                last_reason = reason;
            }
            tokio::select! {
                () = sleep(pause.mul_f64(0.5 + random_share() / 2.0)) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            pause = PAUSES[1].min(pause * 2);
        }
    }

    /// One connection, from its first packet to its last. Says why it ended.
    async fn connection(&self, stop: &mut watch::Receiver<bool>) -> String {
        let tls = match self.tls() {
            Ok(tls) => tls,
            Err(error) => return words::with_causes(&error),
        };
        session::carry(self.dial(tls), &self.settings, &self.shared, stop).await
    }

    fn tls(&self) -> Result<rustls::ClientConfig, NoCertificates> {
        let certificates = (self.credentials)()?;
        tls::client_config(certificates, ALPN).map_err(|error: TlsError| NoCertificates(error.into()))
    }

    /// Nothing is sent before the event loop is polled. It lives for one connection: the library's own reconnecting keeps and
    /// drops messages by rules of its own.
    fn dial(&self, tls: rustls::ClientConfig) -> (AsyncClient, EventLoop) {
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(0);
        properties.receive_maximum = Some(RECEIVE_MAX);
        properties.max_packet_size = Some(PACKET_BYTES_MAX);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        let HostPort { host, port } = &self.settings.address;
        let mut options = MqttOptions::new(client_id(), host.clone(), *port);
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))))
            .set_network_options(network)
            .set_clean_start(true)
            .set_connect_properties(properties)
            .set_keep_alive(KEEP_ALIVE)
            .set_connection_timeout(CONNECT_MAX.as_secs())
            .set_outgoing_inflight_upper_limit(INFLIGHT_MAX)
            .set_manual_acks(true);
        AsyncClient::new(options, REQUESTS_MAX)
    }
}

/// Two clients of one name push each other out, so each connection of each hub has its own.
fn client_id() -> String {
    format!("shopsmart.hub.{:08x}", random())
}

fn random_share() -> f64 {
    f64::from(random()) / f64::from(u32::MAX)
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness hubs wait alike and are named alike: slower, not wrong.
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
