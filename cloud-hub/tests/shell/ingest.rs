//! The QUIC ingest with a test in the driver's place.

use crate::peer::{PATIENCE, Peer, Shown, alert, farewell, framed, open, open_named, received};
use cloud_hub::enrol::ca::{Pki, STORE_DAYS, ServerName};
use cloud_hub::hub::LinkId;
use cloud_hub::ingest::quic::{Ingest, PROBE_ALPN, Settings};
use cloud_hub::ingest::{self, Answer, Arrival, Certificates, Farewell, Links, Outlet, Room, mqtt};
use cloud_hub::runtime::clock::Clock;
use cloud_hub::telemetry::{registry, scrape};
use prometheus_client::registry::Registry;
use quinn::Connection;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::UnixMillis;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const CERTIFICATE_REQUIRED: u8 = 116;
const CERTIFICATE_EXPIRED: u8 = 45;
const UNKNOWN_CA: u8 = 48;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// A listening hub without a driver: arrivals wait for the test.
pub struct Hub {
    pub folder: TempDir,
    pub pki: Pki,
    pub address: SocketAddr,
    pub mqtt: SocketAddr,
    pub arrivals: mpsc::Receiver<Arrival>,
    pub links: Arc<Links>,
    registry: Registry,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<((), ())>,
}

impl Hub {
    pub fn listening() -> Hub {
        let folder = tempfile::tempdir().unwrap();
        let pki =
            Pki::create(&folder.path().join("pki"), &ServerName::local(), Clock::start().wall()).unwrap();
        let server = pki.server().unwrap();
        let certificates = Certificates { ca: server.ca, chain: server.chain, key: server.key };
        let (inbox, arrivals) = ingest::inbox();
        let links = Arc::new(Links::default());
        let mut registry = registry();
        let metrics = ingest::Metrics::register(&mut registry, &links);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings { listen, mtu_max: 1452, segmentation_offload: true };
        let others = (certificates.clone(), inbox.clone(), Arc::clone(&links), metrics.clone());
        let ingest = Ingest::listen(&settings, certificates, inbox, Arc::clone(&links), metrics).unwrap();
        let address = ingest.address();
        let settings = mqtt::Settings { listen };
        let (certificates, inbox, shared_links, metrics) = others;
        let by_mqtt = mqtt::Ingest::listen(&settings, certificates, inbox, shared_links, metrics).unwrap();
        let mqtt = by_mqtt.address();
        let (stop, stopped) = watch::channel(false);
        let serving = futures_util::future::join(ingest.serve(stopped.clone()), by_mqtt.serve(stopped));
        let serving = tokio::spawn(serving);
        Hub { folder, pki, address, mqtt, arrivals, links, registry, stop, serving }
    }

    pub fn ca(&self) -> CertificateDer<'static> {
        self.pki.server().unwrap().ca
    }

    pub fn peer(&self, store: &str) -> Peer {
        Peer::new(self.ca(), Some(Shown::issued(&self.pki, store, STORE_DAYS)))
    }

    pub async fn arrival(&mut self) -> Arrival {
        timeout(PATIENCE, self.arrivals.recv()).await.expect("something arrives").unwrap()
    }

    pub async fn link_up(&mut self) -> (LinkId, String, Outlet) {
        match self.arrival().await {
            Arrival::Up { link, store, outlet } => (link, store.to_string(), outlet),
            _ => panic!("something else arrived before the link was up"),
        }
    }

    pub async fn frame(&mut self) -> (LinkId, Vec<u8>) {
        match self.arrival().await {
            Arrival::Frame { link, bytes, .. } => (link, bytes),
            Arrival::Up { .. } => panic!("a link came up where a frame was due"),
            Arrival::Down { .. } => panic!("a link went down where a frame was due"),
        }
    }

    pub async fn link_down(&mut self) -> LinkId {
        loop {
            if let Arrival::Down { link } = self.arrival().await {
                return link;
            }
        }
    }

    /// The next frame with its room, as a driver that has not committed it yet.
    pub async fn uncommitted(&mut self) -> (Vec<u8>, Room) {
        match self.arrival().await {
            Arrival::Frame { bytes, room, .. } => (bytes, room),
            _ => panic!("something else arrived where a frame was due"),
        }
    }

    /// Nothing but a refusal came of what happened before: a well-behaved store is the first to arrive.
    pub async fn only_the_well_behaved_arrive(&mut self) {
        let connection = self.peer("S0099").connect(self.address).await;
        let (_, store, _outlet) = self.link_up().await;
        assert_eq!(store, "S0099");
        drop(connection);
    }

    pub fn metrics(&self) -> String {
        scrape(&self.registry)
    }

    pub async fn metric(&self, line: &str) {
        let shown = async {
            while !self.metrics().contains(line) {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, shown).await.is_ok(), "no `{line}` in {}", self.metrics());
    }
}

pub fn answer(frames: &[(Stream, &[u8])]) -> Answer {
    let mut answer = Answer::default();
    frames.iter().for_each(|(stream, frame)| answer.push(*stream, frame.to_vec()));
    answer
}

async fn end_of(connection: &Connection) -> (u64, String) {
    farewell(timeout(PATIENCE, connection.closed()).await.expect("the hub ends the connection"))
}

#[tokio::test]
async fn frames_go_both_ways_on_both_streams() {
    let mut hub = Hub::listening();
    let connection = hub.peer("S0001").connect(hub.address).await;
    let (link, store, outlet) = hub.link_up().await;
    assert_eq!(store, "S0001");
    let (mut state, mut state_answers) = open(&connection, Stream::State).await;
    let (mut history, mut history_answers) = open(&connection, Stream::History).await;
    state.write_all(&framed(b"fresh")).await.unwrap();
    assert_eq!(hub.frame().await, (link, b"fresh".to_vec()));
    history.write_all(&framed(b"old")).await.unwrap();
    assert_eq!(hub.frame().await, (link, b"old".to_vec()));
    outlet.send(answer(&[(Stream::History, b"kept"), (Stream::State, b"seen")]));
    assert_eq!(received(&mut state_answers).await, b"seen");
    assert_eq!(received(&mut history_answers).await, b"kept");
}

#[tokio::test]
async fn answers_wait_for_the_stream_they_belong_to() {
    let mut hub = Hub::listening();
    let connection = hub.peer("S0001").connect(hub.address).await;
    let (_, _, outlet) = hub.link_up().await;
    outlet.send(answer(&[(Stream::State, b"early")]));
    let (_state, mut answers) = open(&connection, Stream::State).await;
    assert_eq!(received(&mut answers).await, b"early");
}

#[tokio::test]
async fn what_is_decided_together_shares_datagrams() {
    let mut hub = Hub::listening();
    let connection = hub.peer("S0001").connect(hub.address).await;
    let (_, _, outlet) = hub.link_up().await;
    let (mut state, mut state_answers) = open(&connection, Stream::State).await;
    let (_history, mut history_answers) = open(&connection, Stream::History).await;
    state.write_all(&framed(b"x")).await.unwrap();
    hub.frame().await;
    outlet.send(answer(&[(Stream::State, b"ready"), (Stream::History, b"ready")]));
    received(&mut state_answers).await;
    received(&mut history_answers).await;
    quiet(&connection).await;
    let before = connection.stats().udp_rx.datagrams;
    let frames =
        [(Stream::State, [1; 20].as_slice()), (Stream::History, &[2; 20]), (Stream::State, &[3; 20])];
    outlet.send(answer(&frames));
    received(&mut history_answers).await;
    received(&mut state_answers).await;
    received(&mut state_answers).await;
    assert_eq!(connection.stats().udp_rx.datagrams - before, 1);
}

/// Until QUIC has said everything it had to say of its own: acknowledgements, searches for a larger MTU.
async fn quiet(connection: &Connection) {
    let mut before = 0;
    while before != connection.stats().udp_rx.datagrams {
        before = connection.stats().udp_rx.datagrams;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused() {
    let mut hub = Hub::listening();
    let refusal = Peer::new(hub.ca(), None).refusal(hub.address).await;
    assert_eq!(alert(&refusal), CERTIFICATE_REQUIRED);
    hub.metric("handshakes_failed_total{reason=\"tls\"} 1").await;
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let mut hub = Hub::listening();
    let elsewhere = tempfile::tempdir().unwrap();
    let other =
        Pki::create(&elsewhere.path().join("pki"), &ServerName::local(), Clock::start().wall()).unwrap();
    let shown = Shown::issued(&other, "S0001", STORE_DAYS);
    let refusal = Peer::new(hub.ca(), Some(shown)).refusal(hub.address).await;
    // The same name, another key: rustls calls it unknown or badly signed.
    assert!([UNKNOWN_CA, 51].contains(&alert(&refusal)), "{refusal:?}");
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let mut hub = Hub::listening();
    let month_ago = UnixMillis(Clock::start().wall().0 - 30 * 86_400_000);
    let out = hub.folder.path().join("S0001");
    hub.pki.issue(&"S0001".parse().unwrap(), 1, month_ago).unwrap().write_to(&out).unwrap();
    let peer = Peer::new(hub.ca(), Some(Shown::from_folder(&out)));
    assert_eq!(alert(&peer.refusal(hub.address).await), CERTIFICATE_EXPIRED);
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn the_hubs_own_certificate_opens_no_store() {
    let mut hub = Hub::listening();
    let server = hub.pki.server().unwrap();
    let peer = Peer::new(hub.ca(), Some(Shown { chain: server.chain, key: server.key }));
    assert!(alert(&peer.refusal(hub.address).await) > 0);
    hub.only_the_well_behaved_arrive().await;
}

/// Signed by the hub's authority, but with other names than it would ever give.
pub fn signed_with_names(pki_folder: &Path, uris: &[&str]) -> Shown {
    let read = |name: &str| std::fs::read_to_string(pki_folder.join(name)).unwrap();
    let issuer =
        Issuer::from_ca_cert_pem(&read("ca.pem"), KeyPair::from_pem(&read("ca.key")).unwrap()).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let chain = vec![params.signed_by(&key, &issuer).unwrap().der().clone()];
    Shown { chain, key: key.serialize_der().try_into().unwrap() }
}

#[tokio::test]
async fn a_certificate_speaks_for_exactly_one_store_or_for_none() {
    let mut hub = Hub::listening();
    let cases: [(&[&str], &str); 3] = [
        (&["https://example.com"], "names no store"),
        (&["shopsmart:store:S0001", "shopsmart:store:S0002"], "several stores"),
        (&["shopsmart:store:../S1"], "can't be one"),
    ];
    for (uris, expected) in cases {
        let shown = signed_with_names(&hub.folder.path().join("pki"), uris);
        let (code, reason) = farewell(Peer::new(hub.ca(), Some(shown)).refusal(hub.address).await);
        assert_eq!(code, u64::from(Farewell::NoIdentity(String::new()).code()));
        assert!(reason.contains(expected), "{reason}");
    }
    hub.metric("handshakes_failed_total{reason=\"no_identity\"} 3").await;
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let mut hub = Hub::listening();
    let shown = Shown::issued(&hub.pki, "S0001", STORE_DAYS);
    let refusal = Peer::speaking(b"h3", hub.ca(), Some(shown)).refusal(hub.address).await;
    assert_eq!(alert(&refusal), NO_APPLICATION_PROTOCOL);
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn an_overlong_frame_ends_its_own_link_only() {
    let mut hub = Hub::listening();
    let good = hub.peer("S0001").connect(hub.address).await;
    let (good_link, _, _good_outlet) = hub.link_up().await;
    let bad = hub.peer("S0002").connect(hub.address).await;
    let (bad_link, _, _bad_outlet) = hub.link_up().await;
    let (mut bad_state, _) = open(&bad, Stream::State).await;
    bad_state.write_all(&framed(b"still fine")).await.unwrap();
    let announced = u32::try_from(FRAME_BYTES_MAX).unwrap() + 1;
    bad_state.write_all(&announced.to_le_bytes()).await.unwrap();
    let (code, reason) = end_of(&bad).await;
    assert_eq!(code, u64::from(Farewell::Oversized(String::new()).code()));
    assert!(reason.contains("262145 bytes"), "{reason}");
    assert_eq!(hub.frame().await, (bad_link, b"still fine".to_vec()));
    assert_eq!(hub.link_down().await, bad_link);
    let (mut good_state, _) = open(&good, Stream::State).await;
    good_state.write_all(&framed(&vec![7; FRAME_BYTES_MAX])).await.unwrap();
    assert_eq!(hub.frame().await, (good_link, vec![7; FRAME_BYTES_MAX]));
    hub.metric("links_ended_total{reason=\"oversized\"} 1").await;
}

#[tokio::test]
async fn streams_are_used_as_agreed_or_the_link_ends() {
    let mut hub = Hub::listening();
    for misuse in ["unknown name", "opened twice", "reset"] {
        let connection = hub.peer("S0001").connect(hub.address).await;
        let (_, _, _outlet) = hub.link_up().await;
        let mut open_streams = Vec::new();
        match misuse {
            "unknown name" => open_streams.push(open_named(&connection, 7).await),
            "opened twice" => {
                open_streams.push(open(&connection, Stream::State).await);
                open_streams.push(open(&connection, Stream::State).await);
            }
            _ => {
                let (mut send, _receive) = open(&connection, Stream::State).await;
                send.write_all(&framed(b"x")).await.unwrap();
                hub.frame().await;
                send.reset(0u32.into()).unwrap();
            }
        }
        let (code, reason) = end_of(&connection).await;
        assert_eq!(code, u64::from(Farewell::Misused("").code()), "{misuse}: {reason}");
        hub.link_down().await;
    }
}

#[tokio::test]
async fn a_store_that_connects_again_replaces_its_older_link() {
    let mut hub = Hub::listening();
    let older = hub.peer("S0001").connect(hub.address).await;
    let (older_link, _, _older_outlet) = hub.link_up().await;
    let newer = hub.peer("S0001").connect(hub.address).await;
    let (code, _) = end_of(&older).await;
    assert_eq!(code, u64::from(Farewell::Replaced.code()));
    let mut newer_link = None;
    let mut older_is_down = false;
    while newer_link.is_none() || !older_is_down {
        match hub.arrival().await {
            Arrival::Up { link, outlet, .. } => newer_link = Some((link, outlet)),
            Arrival::Down { link } => older_is_down = link == older_link,
            Arrival::Frame { .. } => panic!("nobody sent a frame"),
        }
    }
    let (newer_link, _newer_outlet) = newer_link.unwrap();
    assert!(newer_link > older_link);
    let (mut state, _) = open(&newer, Stream::State).await;
    state.write_all(&framed(b"again")).await.unwrap();
    assert_eq!(hub.frame().await, (newer_link, b"again".to_vec()));
}

#[tokio::test]
async fn the_driver_can_end_a_link_and_say_why() {
    let mut hub = Hub::listening();
    let connection = hub.peer("S0001").connect(hub.address).await;
    let (link, _, outlet) = hub.link_up().await;
    let (mut state, mut answers) = open(&connection, Stream::State).await;
    state.write_all(&framed(b"hello")).await.unwrap();
    hub.frame().await;
    outlet.send(answer(&[(Stream::State, b"refused")]));
    outlet.hang_up(Farewell::Refused("no store of this name".to_owned()));
    assert_eq!(received(&mut answers).await, b"refused", "what is said in parting arrives");
    let (code, reason) = end_of(&connection).await;
    assert_eq!((code, reason.as_str()), (7, "no store of this name"));
    assert_eq!(hub.link_down().await, link);
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_is_dropped() {
    let mut hub = Hub::listening();
    let connection = hub.peer("S0001").connect(hub.address).await;
    let (link, _, outlet) = hub.link_up().await;
    // It never opens the stream that these would go to.
    let large = vec![0; FRAME_BYTES_MAX];
    for _ in 0..300 {
        outlet.send(answer(&[(Stream::History, &large)]));
    }
    let (code, _) = end_of(&connection).await;
    assert_eq!(code, u64::from(Farewell::Slow.code()));
    assert_eq!(hub.link_down().await, link);
}

#[tokio::test]
async fn a_driver_that_is_behind_holds_the_peer_back() {
    const FRAMES: usize = 40_000;
    let mut hub = Hub::listening();
    let connection = hub.peer("S0001").connect(hub.address).await;
    let (_, _, _outlet) = hub.link_up().await;
    let (mut state, _) = open(&connection, Stream::State).await;
    let all = framed(&[1; 100]).repeat(FRAMES);
    let mut sending = tokio::spawn(async move { state.write_all(&all).await.map(|()| state) });
    // The windows fill up while nobody takes anything in; then it must stand still.
    let mut before = 0;
    loop {
        let stands_still = timeout(Duration::from_millis(300), &mut sending).await.is_err();
        let sent = connection.stats().udp_tx.bytes;
        assert!(stands_still, "four megabytes went out although nobody took them in");
        if sent == before {
            break;
        }
        before = sent;
    }
    for _ in 0..FRAMES {
        hub.frame().await;
    }
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn wire_bytes_are_counted_to_the_last() {
    let mut hub = Hub::listening();
    let connection = hub.peer("S0001").connect(hub.address).await;
    let (_, _, _outlet) = hub.link_up().await;
    let (mut state, _) = open(&connection, Stream::State).await;
    state.write_all(&framed(&[9; 50_000])).await.unwrap();
    hub.frame().await;
    let wire = hub.links.wire();
    assert!((50_000..60_000).contains(&wire.received_bytes), "{wire:?}");
    assert!(wire.received_datagrams >= 35 && wire.sent_datagrams > 0, "{wire:?}");
    connection.close(0u32.into(), b"");
    hub.link_down().await;
    assert!(hub.links.is_empty());
    let after = hub.links.wire();
    assert!(after.received_bytes >= wire.received_bytes && after.sent_bytes >= wire.sent_bytes);
    hub.metric(&format!("quic_udp_bytes_total{{direction=\"received\"}} {}", after.received_bytes)).await;
    hub.metric("links_ended_total{reason=\"gone\"} 1").await;
    hub.metric("links 0").await;
}

#[tokio::test]
async fn stopping_tells_every_peer_and_reports_every_link_down() {
    let mut hub = Hub::listening();
    let first = hub.peer("S0001").connect(hub.address).await;
    let second = hub.peer("S0002").connect(hub.address).await;
    let (_, _, _first) = hub.link_up().await;
    let (_, _, _second) = hub.link_up().await;
    hub.stop.send_replace(true);
    for connection in [first, second] {
        assert_eq!(end_of(&connection).await.0, u64::from(Farewell::Stopping.code()));
        hub.link_down().await;
    }
    timeout(PATIENCE, hub.serving).await.expect("the ingest ends").unwrap();
    assert!(hub.arrivals.recv().await.is_none(), "the driver hears that nothing more will come");
}

#[tokio::test]
async fn many_stores_that_come_back_at_once_all_get_in() {
    // Enough handshakes in flight that callers have to prove their addresses.
    const STORES: usize = 200;
    let mut hub = Hub::listening();
    let peers: Vec<Peer> = (0..STORES).map(|n| hub.peer(&format!("S{n:04}"))).collect();
    let connecting = peers.iter().map(|peer| peer.connect(hub.address));
    let connections = timeout(PATIENCE, futures_util::future::join_all(connecting)).await.unwrap();
    let mut outlets = Vec::new();
    for _ in 0..STORES {
        outlets.push(hub.link_up().await);
    }
    assert_eq!(hub.links.len(), STORES);
    drop(connections);
}

#[tokio::test]
async fn a_probe_is_no_link_and_leaves_the_stores_link_alone() {
    let mut hub = Hub::listening();
    let link = hub.peer("S0001").connect(hub.address).await;
    let (up, _, _outlet) = hub.link_up().await;
    let probe =
        |hub: &Hub| Peer::speaking(PROBE_ALPN, hub.ca(), Some(Shown::issued(&hub.pki, "S0001", STORE_DAYS)));
    let (first, second, third) = (probe(&hub), probe(&hub), probe(&hub));
    let held = (first.connect(hub.address).await, second.connect(hub.address).await);
    let (code, reason) = farewell(third.refusal(hub.address).await);
    assert_eq!((code, reason.as_str()), (6, "there are too many probes of this store"));
    assert_eq!(hub.links.len(), 1);
    let (mut state, _) = open(&link, Stream::State).await;
    state.write_all(&framed(b"still here")).await.unwrap();
    assert_eq!(hub.frame().await, (up, b"still here".to_vec()), "nothing else arrived of the probes");
    // A probe that goes makes room for another.
    held.0.close(0u32.into(), b"");
    let again = async {
        loop {
            let connection = third.connect(hub.address).await;
            if timeout(Duration::from_millis(100), connection.closed()).await.is_err() {
                return connection;
            }
        }
    };
    let again = timeout(PATIENCE, again).await.expect("there is room for a probe again");
    hub.stop.send_replace(true);
    assert_eq!(end_of(&again).await.0, u64::from(Farewell::Stopping.code()));
}

#[tokio::test]
async fn a_probe_carries_nothing() {
    let mut hub = Hub::listening();
    let shown = Shown::issued(&hub.pki, "S0001", STORE_DAYS);
    let probe = Peer::speaking(PROBE_ALPN, hub.ca(), Some(shown)).connect(hub.address).await;
    let _stream = open(&probe, Stream::State).await;
    assert_eq!(end_of(&probe).await, (6, "a probe opens no streams".to_owned()));
    hub.only_the_well_behaved_arrive().await;
}
