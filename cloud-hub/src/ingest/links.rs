//! The links that are up: one per store, and what they have moved over the wire.
//!
//! A store that connects again takes the place of its older link, which is told so and ends. The older one stays
//! listed until its end, so that its bytes are counted to the last.

use super::{Farewell, HangUp};
use crate::hub::LinkId;
use crate::standing::{Serial, Standings};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use quinn::{Connection, VarInt};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sync_protocol::StoreId;

/// Everything that is connected. Shared by the ingest, the supervisor and the metrics.
#[derive(Default)]
pub struct Links {
    state: Mutex<State>,
    standings: Arc<Standings>,
}

#[derive(Default)]
struct State {
    last: u64,
    live: HashMap<LinkId, Live>,
    current: HashMap<StoreId, LinkId>,
    gone: Wire,
}

struct Live {
    store: StoreId,
    carrier: Carrier,
    hang_up: HangUp,
    /// Of the certificate that was shown; `None` where a broker has looked at it.
    serial: Option<Serial>,
}

/// What a link's bytes travel on, and who counts them.
pub(super) enum Carrier {
    Quic(Connection),
    Mqtt(Arc<TcpBytes>),
    /// Shares the hub's connection to the broker with all others; nobody counts its bytes.
    Broker,
}

/// TCP payload of one connection, TLS and its handshake included. The kernel's retransmissions are not seen.
#[derive(Debug, Default)]
pub(super) struct TcpBytes {
    pub received: AtomicU64,
    pub sent: AtomicU64,
}

/// Everything moved. UDP payload is as QUIC counts it: without UDP and IP headers, with retransmissions, handshakes and
/// acks. TCP payload is without retransmissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wire {
    pub received_bytes: u64,
    pub received_datagrams: u64,
    pub sent_bytes: u64,
    pub sent_datagrams: u64,
    pub tcp_received_bytes: u64,
    pub tcp_sent_bytes: u64,
}

impl Links {
    /// For stores that stand as `standings` says.
    #[must_use]
    pub fn of(standings: Arc<Standings>) -> Links {
        Links { standings, ..Links::default() }
    }

    /// How stores stand.
    pub(super) fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Tells the links of those to go who do not stand well any more.
    pub fn sweep(&self) {
        for live in self.state().live.values() {
            if let Err(why) = self.standings.keeps(&live.store, live.serial.as_ref()) {
                live.hang_up.because(Farewell::NotAdmitted(why));
            }
        }
    }

    /// Lists a connection of `store`, and tells an older one of the same store to go. What comes by a broker may be late, so
    /// such a link neither makes another go nor has to: it stands beside a direct one until its store is known to be gone.
    pub(super) fn add(
        &self,
        store: &StoreId,
        serial: Option<Serial>,
        carrier: Carrier,
        hang_up: HangUp,
    ) -> LinkId {
        let mut state = self.state();
        state.last += 1;
        let link = LinkId(state.last);
        let by_broker = matches!(carrier, Carrier::Broker);
        // Whoever was shut out since it was let in is listed too late for being swept: it goes by this.
        if let Err(why) = self.standings.keeps(store, serial.as_ref()) {
            hang_up.because(Farewell::NotAdmitted(why));
        }
        let live = Live { store: store.clone(), carrier, hang_up, serial };
        state.live.insert(link, live);
        if by_broker {
            return link;
        }
        let older = state.current.insert(store.clone(), link);
        if let Some(older) = older.and_then(|older| state.live.get(&older)) {
            older.hang_up.because(Farewell::Replaced);
        }
        link
    }

    /// Tells every link to go.
    pub(super) fn hang_up_all(&self, why: &Farewell) {
        self.state().live.values().for_each(|live| live.hang_up.because(why.clone()));
    }

    /// Takes a connection that has ended off the list.
    pub(super) fn remove(&self, link: LinkId) {
        let mut state = self.state();
        let Some(live) = state.live.remove(&link) else {
            return;
        };
        state.gone.add(&live.carrier);
        if state.current.get(&live.store) == Some(&link) {
            state.current.remove(&live.store);
        }
    }

    /// Bytes of a connection that never became a link.
    pub(super) fn count(&self, carrier: &Carrier) {
        self.state().gone.add(carrier);
    }

    /// How many there are, with those that are on their way out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().live.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn by(&self, is_so: impl Fn(&Carrier) -> bool) -> usize {
        self.state().live.values().filter(|live| is_so(&live.carrier)).count()
    }

    /// Everything moved since the start.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let state = self.state();
        let mut wire = state.gone;
        state.live.values().for_each(|live| wire.add(&live.carrier));
        wire
    }

    // A panic while holding the lock can at worst leave a link listed that has ended: harmless.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a connection with the code and words of `why`.
pub(super) fn close(connection: &Connection, why: &Farewell) {
    connection.close(VarInt::from_u32(why.code()), why.reason().as_bytes());
}

impl Wire {
    fn add(&mut self, carrier: &Carrier) {
        match carrier {
            Carrier::Quic(connection) => {
                let stats = connection.stats();
                self.received_bytes += stats.udp_rx.bytes;
                self.received_datagrams += stats.udp_rx.datagrams;
                self.sent_bytes += stats.udp_tx.bytes;
                self.sent_datagrams += stats.udp_tx.datagrams;
            }
            Carrier::Mqtt(moved) => {
                self.tcp_received_bytes += moved.received.load(Relaxed);
                self.tcp_sent_bytes += moved.sent.load(Relaxed);
            }
            Carrier::Broker => {}
        }
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("len", &self.len()).finish()
    }
}

impl Collector for Links {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let wire = self.wire();
        let counter = MetricType::Counter;
        let help = "UDP payload bytes moved on links; add 28 per datagram for UDP and IPv4";
        let bytes = encoder.encode_descriptor("quic_udp", help, Some(&Unit::Bytes), counter)?;
        by_direction(bytes, wire.received_bytes, wire.sent_bytes)?;
        let help = "UDP datagrams moved on links";
        let datagrams = encoder.encode_descriptor("quic_udp_datagrams", help, None, counter)?;
        by_direction(datagrams, wire.received_datagrams, wire.sent_datagrams)?;
        let help = "TCP payload bytes moved on MQTT links, TLS included";
        let bytes = encoder.encode_descriptor("mqtt_tcp", help, Some(&Unit::Bytes), counter)?;
        by_direction(bytes, wire.tcp_received_bytes, wire.tcp_sent_bytes)?;
        gauge(self.len()).encode(encoder.encode_descriptor(
            "links",
            "Links that are up",
            None,
            MetricType::Gauge,
        )?)?;
        let by_mqtt = self.by(|carrier| matches!(carrier, Carrier::Mqtt(_)));
        let by_broker = self.by(|carrier| matches!(carrier, Carrier::Broker));
        for (name, help, count) in [
            ("mqtt_links", "Those of them that came to the hub's own MQTT endpoint", by_mqtt),
            ("broker_links", "Those of them that came by the broker", by_broker),
        ] {
            gauge(count).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

fn gauge(count: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
}

fn by_direction(mut family: MetricEncoder, received: u64, sent: u64) -> fmt::Result {
    for (direction, value) in [("received", received), ("sent", sent)] {
        ConstCounter::new(value).encode(family.encode_family(&[("direction", direction)])?)?;
    }
    Ok(())
}
