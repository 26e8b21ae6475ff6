//! The MQTT ingest with a test in the driver's place.

use crate::ingest::{Hub, answer, signed_with_names};
use crate::mqtt_peer::{
    CONNACK, Introduction, MqttPeer, PINGREQ, PINGRESP, PLAIN, PUBACK, PUBLISH, SUBACK, aliased, connect,
    publish, subscribe, up,
};
use crate::peer::{PATIENCE, Shown, farewell, framed, open};
use cloud_hub::enrol::ca::{Pki, STORE_DAYS, ServerName};
use cloud_hub::hub::LinkId;
use cloud_hub::ingest::mqtt::ALPN;
use cloud_hub::ingest::{Arrival, Farewell, Outlet};
use cloud_hub::runtime::clock::Clock;
use futures_util::future::join_all;
use mqtt_protocol_core::mqtt::packet::Qos;
use std::time::Duration;
use sync_protocol::UnixMillis;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const STATE: Stream = Stream::State;

impl Hub {
    async fn greeted(&self, store: &str) -> MqttPeer {
        let shown = Shown::issued(&self.pki, store, STORE_DAYS);
        MqttPeer::greeted(self.mqtt, self.ca(), Some(shown), Some(ALPN)).await.unwrap()
    }

    async fn connected(&self, store: &str, how: Introduction) -> MqttPeer {
        let mut peer = self.greeted(store).await;
        peer.send(&connect(how)).await;
        assert_eq!(peer.expect(CONNACK).await[..2], [0, 0]);
        peer
    }

    async fn mqtt_link(&mut self, store: &str) -> (MqttPeer, LinkId, Outlet) {
        let mut peer = self.connected(store, PLAIN).await;
        peer.subscribe(store).await;
        let (link, found, outlet) = self.link_up().await;
        assert_eq!(found, store);
        (peer, link, outlet)
    }

    /// How the hub ends a connection of S0001 that says this after CONNECT.
    async fn end_after(&self, bytes: &[u8]) -> (u8, String) {
        let mut peer = self.connected("S0001", PLAIN).await;
        peer.send(bytes).await;
        peer.end().await
    }

    async fn refusal(&self, shown: Option<Shown>) -> String {
        match MqttPeer::greeted(self.mqtt, self.ca(), shown, Some(ALPN)).await {
            // In TLS 1.3 the client is done before the server has looked at its certificate.
            Ok(mut peer) => {
                let _ = peer.try_send(&connect(PLAIN)).await;
                peer.packet().await.unwrap_err().to_string()
            }
            Err(error) => error.to_string(),
        }
    }
}

#[tokio::test]
async fn frames_go_both_ways_on_both_streams() {
    let mut hub = Hub::listening();
    let (mut peer, link, outlet) = hub.mqtt_link("S0001").await;
    peer.send(&publish(&up("S0001", STATE), 1, b"fresh")).await;
    assert_eq!(hub.frame().await, (link, b"fresh".to_vec()));
    peer.send(&publish(&up("S0001", Stream::History), 0, b"old")).await;
    assert_eq!(hub.frame().await, (link, b"old".to_vec()));
    outlet.send(answer(&[(Stream::History, b"kept"), (STATE, b"seen")]));
    // That frame was dropped uncommitted: it is refused, never acknowledged.
    assert_eq!(peer.expect(PUBACK).await, [0, 1, 0x80]);
    assert!(peer.expect(PUBLISH).await.ends_with(b"S0001/down/history\0kept"));
    assert!(peer.expect(PUBLISH).await.ends_with(b"S0001/down/state\0seen"));
}

#[tokio::test]
async fn what_is_promised_at_connect_is_kept() {
    let mut hub = Hub::listening();
    let mut peer = hub.greeted("S0001").await;
    peer.send(&connect(Introduction { keep_alive: 0, ..PLAIN })).await;
    let connack = peer.expect(CONNACK).await;
    let told = |property: &[u8]| connack.windows(property.len()).any(|bytes| bytes == property);
    assert!(told(&[33, 0, 16]), "receive maximum: {connack:?}");
    assert!(told(&[36, 1]) && told(&[37, 0]) && told(&[40, 0]) && told(&[41, 0]) && told(&[42, 0]));
    assert!(told(&[39, 0, 4, 4, 0]), "maximum packet size: {connack:?}");
    assert!(told(&[34, 0, 8]) && told(&[17, 0, 0, 0, 0]) && told(&[19, 0, 60]), "{connack:?}");
    peer.send(&aliased(&up("S0001", STATE), 8, b"by name")).await;
    peer.send(&aliased("", 8, b"by alias")).await;
    let (_, _, _outlet) = hub.link_up().await;
    assert_eq!(hub.frame().await.1, b"by name");
    assert_eq!(hub.frame().await.1, b"by alias");
}

#[tokio::test]
async fn the_link_is_up_once_the_client_listens_to_both_streams() {
    let mut hub = Hub::listening();
    let mut peer = hub.connected("S0001", PLAIN).await;
    peer.send(&subscribe(&["shopsmart/v1/S0001/down/state"])).await;
    assert_eq!(peer.expect(SUBACK).await, [0, 9, 0, 1]);
    hub.only_the_well_behaved_arrive().await;
    peer.send(&subscribe(&["shopsmart/v1/S0001/down/history"])).await;
    assert_eq!(peer.expect(SUBACK).await, [0, 9, 0, 1]);
    let up = async {
        loop {
            if let Arrival::Up { store, .. } = hub.arrival().await {
                return store.to_string();
            }
        }
    };
    assert_eq!(timeout(PATIENCE, up).await.unwrap(), "S0001");
}

#[tokio::test]
async fn answers_wait_until_the_client_listens() {
    let mut hub = Hub::listening();
    let mut peer = hub.connected("S0001", PLAIN).await;
    peer.send(&publish(&up("S0001", STATE), 1, b"hello")).await;
    let (_, _, outlet) = hub.link_up().await;
    outlet.send(answer(&[(STATE, b"welcome")]));
    hub.uncommitted().await.1.committed();
    assert_eq!(peer.expect(PUBACK).await, [0, 1], "and not the answer, which nobody would hear");
    peer.subscribe("S0001").await;
    assert!(peer.expect(PUBLISH).await.ends_with(b"welcome"));
}

#[tokio::test]
async fn a_puback_leaves_only_after_the_commit() {
    let mut hub = Hub::listening();
    let (mut peer, _, _outlet) = hub.mqtt_link("S0001").await;
    peer.send(&publish(&up("S0001", STATE), 1, b"first")).await;
    peer.send(&publish(&up("S0001", STATE), 2, b"second")).await;
    let first = hub.uncommitted().await.1;
    let second = hub.uncommitted().await.1;
    second.committed();
    peer.send(&PINGREQ).await;
    peer.expect(PINGRESP).await;
    first.committed();
    assert_eq!(peer.expect(PUBACK).await, [0, 1], "in the order of the publishes");
    assert_eq!(peer.expect(PUBACK).await, [0, 2]);
}

#[tokio::test]
async fn presence_is_acknowledged_and_nothing_comes_of_it() {
    let mut hub = Hub::listening();
    let will = Some(("shopsmart/v1/S0001/presence", Qos::AtLeastOnce, false));
    let will = Introduction { will, ..PLAIN };
    let mut peer = hub.connected("S0001", will).await;
    peer.send(&publish("shopsmart/v1/S0001/presence", 5, b"here")).await;
    assert_eq!(peer.expect(PUBACK).await, [0, 5]);
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn a_store_has_no_business_on_the_topics_of_another() {
    let mut hub = Hub::listening();
    for topic in [
        "shopsmart/v1/S0002/up/state",
        "shopsmart/v1/S0002/presence",
        "shopsmart/v1/S0001/down/state",
        "shopsmart/v1/S0002/down/state",
        "elsewhere",
    ] {
        let (code, reason) = hub.end_after(&publish(topic, 1, b"x")).await;
        assert_eq!(code, 0x87, "{topic}: {reason}");
        assert!(reason.contains("may not publish"), "{reason}");
    }
    for filter in [
        "shopsmart/v1/S0002/down/state",
        "shopsmart/v1/+/down/state",
        "shopsmart/v1/S0001/#",
        "#",
        "$share/all/shopsmart/v1/S0001/down/state",
        "shopsmart/v1/S0001/up/state",
    ] {
        let mut peer = hub.connected("S0001", PLAIN).await;
        peer.send(&subscribe(&["shopsmart/v1/S0001/down/state", filter])).await;
        assert_eq!(peer.expect(SUBACK).await, [0, 9, 0, 1, 0x87], "{filter}");
        assert_eq!(peer.end().await.0, 0x87);
    }
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn a_last_will_goes_to_the_own_presence_or_nowhere() {
    let mut hub = Hub::listening();
    let wills = [
        (("shopsmart/v1/S0002/presence", Qos::AtMostOnce, false), 0x87),
        (("shopsmart/v1/S0001/up/state", Qos::AtMostOnce, false), 0x87),
        (("shopsmart/v1/S0001/presence", Qos::AtMostOnce, true), 0x9a),
        (("shopsmart/v1/S0001/presence", Qos::ExactlyOnce, false), 0x9b),
    ];
    for (will, code) in wills {
        let will = Introduction { will: Some(will), ..PLAIN };
        let mut peer = hub.greeted("S0001").await;
        peer.send(&connect(will)).await;
        assert_eq!(peer.expect(CONNACK).await[..2], [0, code]);
        assert!(peer.packet().await.is_err());
    }
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn only_certificates_of_the_hub_that_are_still_good_come_in() {
    let mut hub = Hub::listening();
    let refused = hub.refusal(None).await;
    assert!(refused.contains("CertificateRequired"), "{refused}");
    let month_ago = UnixMillis(Clock::start().wall().0 - 30 * 86_400_000);
    let out = hub.folder.path().join("S0001");
    hub.pki.issue(&"S0001".parse().unwrap(), 1, month_ago).unwrap().write_to(&out).unwrap();
    let refused = hub.refusal(Some(Shown::from_folder(&out))).await;
    assert!(refused.contains("CertificateExpired"), "{refused}");
    let elsewhere = tempfile::tempdir().unwrap();
    let other =
        Pki::create(&elsewhere.path().join("pki"), &ServerName::local(), Clock::start().wall()).unwrap();
    let refused = hub.refusal(Some(Shown::issued(&other, "S0001", STORE_DAYS))).await;
    assert!(refused.contains("UnknownCA") || refused.contains("DecryptError"), "{refused}");
    hub.metric("handshakes_failed_total{reason=\"tls\"} 3").await;
    let nobody = signed_with_names(&hub.folder.path().join("pki"), &["https://example.com"]);
    hub.refusal(Some(nobody)).await;
    hub.metric("handshakes_failed_total{reason=\"no_identity\"} 1").await;
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn a_client_may_leave_the_protocol_unnamed_but_not_name_another() {
    let hub = Hub::listening();
    let shown = || Some(Shown::issued(&hub.pki, "S0001", STORE_DAYS));
    let mut unnamed = MqttPeer::greeted(hub.mqtt, hub.ca(), shown(), None).await.unwrap();
    unnamed.send(&connect(PLAIN)).await;
    unnamed.expect(CONNACK).await;
    assert!(MqttPeer::greeted(hub.mqtt, hub.ca(), shown(), Some(b"h2")).await.is_err());
}

#[tokio::test]
async fn packets_that_break_the_protocol_end_the_connection_with_their_code() {
    let mut hub = Hub::listening();
    let too_long = publish(&up("S0001", STATE), 1, &vec![0; FRAME_BYTES_MAX + 2000]);
    let just_too_long = publish(&up("S0001", STATE), 1, &vec![0; FRAME_BYTES_MAX + 1]);
    let mut retained = publish(&up("S0001", STATE), 1, b"x");
    retained[0] |= 1;
    let mut twice_sure = publish(&up("S0001", STATE), 1, b"x");
    twice_sure[0] = 0x34;
    let mut impossible = twice_sure.clone();
    impossible[0] = 0x36;
    let again = connect(PLAIN);
    let cases: [(&str, &[u8], u8); 11] = [
        ("too long", &too_long[..100], 0x95),
        ("a byte too long", &just_too_long, 0x95),
        ("empty", &publish(&up("S0001", STATE), 1, b""), 0x95),
        ("retained", &retained, 0x9a),
        ("QoS 2", &twice_sure, 0x9b),
        ("QoS 3", &impossible, 0x81),
        ("CONNECT again", &again, 0x82),
        ("a PUBACK nobody asked for", &[0x40, 2, 0, 1], 0x82),
        ("a server's packet", &[0xd0, 0], 0x82),
        ("no packet at all", &[0x00, 0], 0x81),
        ("an alias of nothing", &aliased("", 3, b"x"), 0x94),
    ];
    for (what, bytes, expected) in cases {
        let (code, reason) = hub.end_after(bytes).await;
        assert_eq!(code, expected, "{what}: {reason}");
    }
    let mut peer = hub.connected("S0001", PLAIN).await;
    peer.send(&[0xc0, 0xff, 0xff, 0xff, 0xff, 0xff]).await;
    assert_eq!(peer.end().await.0, 0x81, "a length without end");
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn a_client_begins_with_connect_of_mqtt_5() {
    let mut hub = Hub::listening();
    for first in [publish(&up("S0001", STATE), 1, b"x"), PINGREQ.to_vec(), b"GET / HTTP/1.1\r\n".repeat(10)] {
        let mut peer = hub.greeted("S0001").await;
        peer.send(&first).await;
        assert!(peer.packet().await.is_err(), "{first:?}");
    }
    let mut peer = hub.greeted("S0001").await;
    peer.send(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 30, 0, 1, b'a']).await;
    assert_eq!(peer.expect(CONNACK).await, [0, 1], "MQTT 3.1.1 is told so in its own words");
    hub.only_the_well_behaved_arrive().await;
}

#[tokio::test]
async fn more_than_agreed_is_not_taken_without_a_puback() {
    let mut hub = Hub::listening();
    let (mut peer, _, _outlet) = hub.mqtt_link("S0001").await;
    for id in 1..=16 {
        peer.send(&publish(&up("S0001", STATE), id, b"x")).await;
    }
    let mut rooms = Vec::new();
    for _ in 0..16 {
        rooms.push(hub.uncommitted().await);
    }
    peer.send(&publish(&up("S0001", STATE), 17, b"x")).await;
    assert_eq!(peer.end().await.0, 0x93);
    hub.link_down().await;
    let (mut peer, _, _outlet) = hub.mqtt_link("S0001").await;
    peer.send(&publish(&up("S0001", STATE), 1, b"x")).await;
    peer.send(&publish(&up("S0001", STATE), 1, b"y")).await;
    rooms.push(hub.uncommitted().await);
    assert_eq!(peer.end().await.0, 0x82, "an id in use can't be used again");
}

#[tokio::test]
async fn a_client_that_takes_no_whole_frame_is_told_so() {
    let mut hub = Hub::listening();
    let mut peer = hub.connected("S0001", Introduction { packet_bytes_max: Some(100), ..PLAIN }).await;
    peer.subscribe("S0001").await;
    let (link, _, outlet) = hub.link_up().await;
    outlet.send(answer(&[(STATE, &[0; 200])]));
    assert_eq!(peer.end().await.0, 0x95);
    assert_eq!(hub.link_down().await, link);
}

#[tokio::test]
async fn a_driver_that_is_behind_holds_the_peer_back() {
    const FRAMES: usize = 40_000;
    let mut hub = Hub::listening();
    let (peer, _, outlet) = hub.mqtt_link("S0001").await;
    let (mut read, mut write) = tokio::io::split(peer.tls);
    let all = publish(&up("S0001", STATE), 0, &[1; 400]).repeat(FRAMES);
    let mut sending = tokio::spawn(async move {
        write.write_all(&all).await?;
        // TLS keeps the last records to itself until it is told.
        write.flush().await
    });
    // The inbox and the socket's buffers fill up while nobody takes anything in; then it must stand still.
    let mut before = 0;
    loop {
        let stands_still = timeout(Duration::from_millis(300), &mut sending).await.is_err();
        assert!(stands_still, "sixteen megabytes went out although nobody took them in");
        let received = hub.links.wire().tcp_received_bytes;
        if received == before {
            break;
        }
        before = received;
    }
    // It is still spoken to.
    outlet.send(answer(&[(STATE, b"patience")]));
    assert_eq!(timeout(PATIENCE, read.read_u8()).await.unwrap().unwrap(), PUBLISH);
    for _ in 0..FRAMES {
        hub.frame().await;
    }
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_store_that_connects_again_replaces_its_older_link_across_transports() {
    let mut hub = Hub::listening();
    let (mut older, older_link, _older_outlet) = hub.mqtt_link("S0001").await;
    let newer = hub.peer("S0001").connect(hub.address).await;
    assert_eq!(older.end().await, (0x8e, "the same store has connected again".to_owned()));
    let mut newer_link = None;
    let mut older_is_down = false;
    while newer_link.is_none() || !older_is_down {
        match hub.arrival().await {
            Arrival::Up { link, outlet, .. } => newer_link = Some((link, outlet)),
            Arrival::Down { link } => older_is_down = link == older_link,
            Arrival::Frame { .. } => panic!("nobody sent a frame"),
        }
    }
    let (mut state, _answers) = open(&newer, STATE).await;
    state.write_all(&framed(b"again")).await.unwrap();
    assert_eq!(hub.frame().await.1, b"again");
    let newest = hub.connected("S0001", PLAIN).await;
    let (code, _) = farewell(timeout(PATIENCE, newer.closed()).await.unwrap());
    assert_eq!(code, u64::from(Farewell::Replaced.code()));
    assert_eq!(hub.link_down().await, newer_link.unwrap().0);
    drop(newest);
}

#[tokio::test]
async fn the_driver_can_end_a_link_and_say_why() {
    let mut hub = Hub::listening();
    let (mut peer, link, outlet) = hub.mqtt_link("S0001").await;
    outlet.send(answer(&[(STATE, b"refused")]));
    outlet.hang_up(Farewell::Refused("no store of this name".to_owned()));
    assert!(peer.expect(PUBLISH).await.ends_with(b"refused"), "what is said in parting arrives");
    assert_eq!(peer.end().await, (0x83, "no store of this name".to_owned()));
    assert_eq!(hub.link_down().await, link);
}

#[tokio::test]
async fn a_client_that_falls_silent_is_let_go_after_one_and_a_half_times_its_keep_alive() {
    let mut hub = Hub::listening();
    let mut peer = hub.connected("S0001", Introduction { keep_alive: 1, ..PLAIN }).await;
    peer.subscribe("S0001").await;
    let (link, _, _outlet) = hub.link_up().await;
    assert_eq!(peer.end().await.0, 0x8d);
    assert_eq!(hub.link_down().await, link);
    hub.metric("links_ended_total{reason=\"silent\"} 1").await;
}

#[tokio::test]
async fn wire_bytes_are_counted_to_the_last() {
    let mut hub = Hub::listening();
    let (mut peer, _, _outlet) = hub.mqtt_link("S0001").await;
    hub.metric("mqtt_links 1").await;
    peer.send(&publish(&up("S0001", STATE), 0, &[9; 50_000])).await;
    hub.frame().await;
    let wire = hub.links.wire();
    assert!((50_000..60_000).contains(&wire.tcp_received_bytes), "{wire:?}");
    assert!(wire.tcp_sent_bytes > 0 && wire.received_datagrams == 0, "{wire:?}");
    peer.send(&[0xe0, 0]).await;
    hub.link_down().await;
    let after = hub.links.wire();
    hub.metric(&format!("mqtt_tcp_bytes_total{{direction=\"sent\"}} {}", after.tcp_sent_bytes)).await;
    hub.metric("links_ended_total{reason=\"gone\"} 1").await;
    hub.metric("links 0").await;
}

#[tokio::test]
async fn stopping_tells_every_client_and_reports_every_link_down() {
    let mut hub = Hub::listening();
    let (mut first, _, _first) = hub.mqtt_link("S0001").await;
    let (mut second, _, _second) = hub.mqtt_link("S0002").await;
    let mut silent = TcpStream::connect(hub.mqtt).await.unwrap();
    hub.stop.send_replace(true);
    for peer in [&mut first, &mut second] {
        assert_eq!(peer.end().await, (0x8b, "the hub is stopping".to_owned()));
        hub.link_down().await;
    }
    assert!(matches!(timeout(PATIENCE, silent.read(&mut [0])).await.unwrap(), Ok(0) | Err(_)));
    drop((first, second));
    timeout(PATIENCE, hub.serving).await.expect("the ingest ends").unwrap();
    assert!(hub.arrivals.recv().await.is_none(), "the driver hears that nothing more will come");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_peers_that_say_nothing_do_not_keep_others_out() {
    const PEERS: usize = 2000;
    let mut hub = Hub::listening();
    let connecting = (0..PEERS).map(|_| TcpStream::connect(hub.mqtt));
    let mut silent: Vec<_> = join_all(connecting).await.into_iter().filter_map(Result::ok).collect();
    if silent.len() < PEERS {
        println!("the system let only {} of {PEERS} connections happen; raise `ulimit -n`", silent.len());
        // Both ends are in this process, and the good client wants files too.
        silent.truncate(silent.len() - 64);
    }
    let (_peer, _, _outlet) = timeout(PATIENCE, hub.mqtt_link("S0001")).await.expect("a good client gets in");
    drop(silent);
}
