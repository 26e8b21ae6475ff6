//! What a store can do to others on the customer's Mosquitto: as little as on the hub's own endpoint, see mqtt.rs.
//!
//! A second, well-behaved client watches: what must not come through has not come before its next message. Mosquitto
//! checks publishes at once, subscriptions only when it has something to deliver, and wills only when they are due; so it
//! grants what it will never serve.

use crate::broker::Broker;
use crate::ingest::signed_with_names;
use crate::mqtt_peer::{
    CONNACK, DISCONNECT, Introduction, MqttPeer, PINGREQ, PINGRESP, PLAIN, PUBACK, PUBLISH, SUBACK, aliased,
    connect, publish, subscribe, up,
};
use crate::peer::{PATIENCE, Shown};
use cloud_hub::enrol::ca::{Pki, STORE_DAYS, ServerName};
use cloud_hub::runtime::clock::Clock;
use futures_util::future::join_all;
use mqtt_protocol_core::mqtt::packet::Qos;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sync_protocol::UnixMillis;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Everything that stores say, as a filter.
const FRAMES: &str = "shopsmart/v1/+/up/+";
const PRESENCE: &str = "shopsmart/v1/+/presence";
const STATE: Stream = Stream::State;
const NOT_AUTHORIZED: u8 = 0x87;

fn presence(store: &str) -> String {
    format!("shopsmart/v1/{store}/presence")
}

fn down(store: &str) -> String {
    format!("shopsmart/v1/{store}/down/state")
}

impl MqttPeer {
    /// Publishes, and gives the broker's verdict; 0 is a good one.
    async fn verdict(&mut self, topic: &str, payload: &[u8]) -> u8 {
        self.send(&publish(topic, 7, payload)).await;
        let puback = self.expect(PUBACK).await;
        assert_eq!(puback[..2], [0, 7]);
        puback.get(2).copied().unwrap_or(0)
    }

    /// The next message is this one.
    async fn hears(&mut self, topic: &str, payload: &[u8]) {
        loop {
            let (kind, body) = self.packet().await.unwrap();
            if kind & 0xf0 != PUBLISH {
                assert!(kind == PUBACK || kind == PINGRESP, "{kind:#x}");
                continue;
            }
            let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
            assert_eq!(String::from_utf8_lossy(&body[2..2 + length]), topic);
            assert!(body.ends_with(payload), "{body:?}");
            return;
        }
    }

    /// Whatever was sent before has been dealt with.
    async fn is_answered(&mut self) {
        self.send(&PINGREQ).await;
        while self.packet().await.unwrap().0 != PINGRESP {}
    }
}

#[tokio::test]
async fn a_store_and_the_hub_talk() {
    let Some(broker) = Broker::running().await else { return };
    let mut hub = broker.hub(&[&format!("$share/hub/{FRAMES}"), PRESENCE]).await;
    let will = Some(("shopsmart/v1/S0001/presence", Qos::AtLeastOnce, false));
    let mut store = broker.connected("S0001", Introduction { will, ..PLAIN }).await;
    store.subscribe("S0001").await;
    let full = vec![7; FRAME_BYTES_MAX];
    for (topic, payload) in [
        (presence("S0001"), b"here".as_slice()),
        (up("S0001", STATE), b"fresh"),
        (up("S0001", Stream::History), &full),
    ] {
        assert_eq!(store.verdict(&topic, payload).await, 0);
        hub.hears(&topic, payload).await;
    }
    assert_eq!(hub.verdict(&down("S0001"), &full).await, 0);
    store.hears(&down("S0001"), &full).await;
    drop(store);
    hub.hears(&presence("S0001"), b"gone").await;
}

#[tokio::test]
async fn a_store_says_nothing_on_topics_that_are_not_its_own() {
    let Some(broker) = Broker::running().await else { return };
    let mut hub = broker.hub(&[FRAMES, PRESENCE, "shopsmart/v1/+/down/+"]).await;
    let mut intruder = broker.connected("S0001", PLAIN).await;
    let foreign = [
        up("S0002", STATE),
        up("S0002", Stream::History),
        presence("S0002"),
        down("S0001"),
        down("S0002"),
        "shopsmart/v1/S0001/up/more".to_owned(),
        "shopsmart/v1/S0001/up/state/more".to_owned(),
        "elsewhere".to_owned(),
        "$SYS/broker/version".to_owned(),
        format!("$share/hub/{}", up("S0001", STATE)),
    ];
    for topic in &foreign {
        // QoS 0 has no answer; by an alias the topic is named only once.
        intruder.send(&publish(topic, 0, b"forged")).await;
        intruder.send(&aliased(topic, 1, b"forged")).await;
        intruder.send(&aliased("", 1, b"forged")).await;
        assert_eq!(intruder.verdict(topic, b"forged").await, NOT_AUTHORIZED, "{topic}");
    }
    let mut good = broker.connected("S0002", PLAIN).await;
    assert_eq!(good.verdict(&up("S0002", STATE), b"true").await, 0);
    hub.hears(&up("S0002", STATE), b"true").await;
}

#[tokio::test]
async fn a_store_hears_nothing_that_is_not_its_own() {
    let Some(broker) = Broker::running().await else { return };
    let mut hub = broker.hub(&[FRAMES]).await;
    let mut good = broker.connected("S0002", PLAIN).await;
    good.subscribe("S0002").await;
    let mut intruder = broker.connected("S0001", PLAIN).await;
    let filters = [
        "shopsmart/v1/S0001/down/state",
        "shopsmart/v1/S0002/down/state",
        "shopsmart/v1/+/down/state",
        "shopsmart/v1/+/down/+",
        "shopsmart/v1/S0002/#",
        "shopsmart/#",
        "#",
        "+/+/+/+/+",
        "$SYS/#",
        "$share/all/shopsmart/v1/S0002/down/state",
        "$share/all/#",
        "shopsmart/v1/S0001/up/state",
        "shopsmart/v1/S0002/up/state",
        "shopsmart/v1/+/presence",
    ];
    intruder.send(&subscribe(&filters)).await;
    assert_eq!(intruder.expect(SUBACK).await[3..], [1; 14], "granted, and never served");
    assert_eq!(hub.verdict(&down("S0002"), b"for S0002").await, 0);
    good.hears(&down("S0002"), b"for S0002").await;
    assert_eq!(good.verdict(&up("S0002", STATE), b"of S0002").await, 0);
    hub.hears(&up("S0002", STATE), b"of S0002").await;
    assert_eq!(good.verdict(&presence("S0002"), b"here").await, 0);
    // Not even its own words come back to it.
    assert_eq!(intruder.verdict(&up("S0001", STATE), b"of S0001").await, 0);
    hub.hears(&up("S0001", STATE), b"of S0001").await;
    assert_eq!(hub.verdict(&down("S0001"), b"for S0001").await, 0);
    intruder.hears(&down("S0001"), b"for S0001").await;
}

/// Mosquitto takes a will that it will not publish: it looks at the rules only when the will is due.
#[tokio::test]
async fn a_last_will_goes_to_the_own_topics_or_nowhere() {
    let Some(broker) = Broker::running().await else { return };
    let mut hub = broker.hub(&[FRAMES, PRESENCE, "shopsmart/v1/+/down/+"]).await;
    for topic in [
        "shopsmart/v1/S0002/presence",
        "shopsmart/v1/S0002/up/state",
        "shopsmart/v1/S0001/down/state",
        "shopsmart/v1/S0001/presence",
    ] {
        let will = Introduction { will: Some((topic, Qos::AtLeastOnce, false)), ..PLAIN };
        let dying = broker.connected("S0001", will).await;
        // Whoever connects anew ends its older connection, so the will is over and done with.
        let mut heir = broker.connected("S0001", PLAIN).await;
        heir.is_answered().await;
        drop(dying);
    }
    hub.hears("shopsmart/v1/S0001/presence", b"gone").await;
    for (qos, retain, code) in [(Qos::AtMostOnce, true, 0x9a), (Qos::ExactlyOnce, false, 0x9b)] {
        let mut peer = broker.greeted("S0001").await;
        let will = Some(("shopsmart/v1/S0001/presence", qos, retain));
        peer.send(&connect(Introduction { will, ..PLAIN })).await;
        assert_eq!(peer.expect(CONNACK).await[..2], [0, code]);
        assert!(peer.packet().await.is_err());
    }
}

/// MQTT lets whoever connects under a name take the place of the one who had it.
#[tokio::test]
async fn a_store_takes_the_place_of_nobody_else() {
    let Some(broker) = Broker::running().await else { return };
    let mut hub = broker.hub(&[FRAMES]).await;
    let mut good = broker.connected("S0001", PLAIN).await;
    good.subscribe("S0001").await;
    // `connect` gives the client id S0001 to everyone.
    let mut intruder = broker.connected("S0002", PLAIN).await;
    intruder.is_answered().await;
    assert_eq!(good.verdict(&up("S0001", STATE), b"still here").await, 0);
    hub.hears(&up("S0001", STATE), b"still here").await;
    assert_eq!(intruder.verdict(&up("S0001", STATE), b"forged").await, NOT_AUTHORIZED);
    assert_eq!(hub.verdict(&down("S0001"), b"for S0001").await, 0);
    good.hears(&down("S0001"), b"for S0001").await;
}

/// Why brokers.md wants a name for the hubs' share that nobody guesses: Mosquitto's rules hold for what is delivered, so a
/// store may join the share. It hears nothing, but what falls to it is gone. A share of another name loses nothing to it.
#[tokio::test]
async fn who_joins_a_share_on_mosquitto_swallows_frames_of_others_unread() {
    const FRAMES_SENT: u8 = 8;
    let Some(broker) = Broker::running().await else { return };
    let mut sharing = broker.hub(&[&format!("$share/hub/{FRAMES}"), PRESENCE]).await;
    let mut thief = broker.connected("S0001", PLAIN).await;
    // Mosquitto takes a wildcard for a share's name as a name like any other.
    for name in ["hub", "+"] {
        thief.send(&subscribe_to_share(name)).await;
        assert_eq!(thief.expect(SUBACK).await[3..], [1], "{name}");
    }
    let mut good = broker.connected("S0002", PLAIN).await;
    let mut heard = 0;
    for n in 0..FRAMES_SENT {
        assert_eq!(good.verdict(&up("S0002", STATE), &[n]).await, 0);
    }
    assert_eq!(good.verdict(&presence("S0002"), b"the end").await, 0);
    while !sharing.packet().await.unwrap().1.ends_with(b"the end") {
        heard += 1;
    }
    assert!(heard < FRAMES_SENT, "{heard} of {FRAMES_SENT} came although a share was given away");
    drop(sharing);
    let mut unguessed = broker.hub(&[&format!("$share/6c1d9f/{FRAMES}")]).await;
    for n in 0..FRAMES_SENT {
        assert_eq!(good.verdict(&up("S0002", STATE), &[n]).await, 0);
        unguessed.hears(&up("S0002", STATE), &[n]).await;
    }
    thief.send(&PINGREQ).await;
    assert_eq!(thief.packet().await.unwrap().0, PINGRESP, "and not a single frame");
}

/// Our library refuses wildcards in the place of a name; a thief would try them, in the hope that they stand for any name.
fn subscribe_to_share(name: &str) -> Vec<u8> {
    let letters = "x".repeat(name.len());
    let mut bytes = subscribe(&[&format!("$share/{letters}/{FRAMES}")]);
    let at = bytes.windows(7).position(|seven| seven == b"$share/").unwrap() + 7;
    bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
    bytes
}

impl Broker {
    /// How the broker turns away who shows this.
    async fn refusal(&self, shown: Option<Shown>) -> String {
        match MqttPeer::greeted(self.address, self.ca(), shown, None).await {
            // In TLS 1.3 the client is done before the server has looked at its certificate.
            Ok(mut peer) => {
                let _ = peer.try_send(&connect(PLAIN)).await;
                peer.packet().await.unwrap_err().to_string()
            }
            Err(error) => error.to_string(),
        }
    }

    /// What the broker itself shows to others, shown to it.
    fn own_certificate(&self) -> Shown {
        let file = |name: &str| self.folder.path().join(name);
        let chain = vec![CertificateDer::from_pem_file(file("broker.pem")).unwrap()];
        Shown { chain, key: PrivateKeyDer::from_pem_file(file("broker.key")).unwrap() }
    }
}

#[tokio::test]
async fn only_certificates_of_the_hub_that_are_still_good_come_in() {
    let Some(broker) = Broker::running().await else { return };
    let month_ago = UnixMillis(Clock::start().wall().0 - 30 * 86_400_000);
    let out = broker.folder.path().join("S0001");
    broker.pki.issue(&"S0001".parse().unwrap(), 1, month_ago).unwrap().write_to(&out).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("pki");
    let other = Pki::create(&folder, &ServerName::local(), Clock::start().wall()).unwrap();
    let cases = [
        ("nothing", None, "CertificateRequired"),
        ("an expired certificate", Some(Shown::from_folder(&out)), "CertificateExpired"),
        ("another authority's", Some(Shown::issued(&other, "S0001", STORE_DAYS)), "UnknownCA"),
        ("a server's certificate", Some(broker.own_certificate()), "UnsupportedCertificate"),
    ];
    for (what, shown, expected) in cases {
        let refused = broker.refusal(shown).await;
        // OpenSSL reports a bad signature where another authority has the name of the right one.
        let otherwise = expected == "UnknownCA" && refused.contains("DecryptError");
        assert!(refused.contains(expected) || otherwise, "{what}: {refused}");
    }
    broker.connected("S0001", PLAIN).await.is_answered().await;
}

/// A certificate of the hub's authority that names no store is let in, and may do nothing.
#[tokio::test]
async fn a_name_that_no_rule_knows_may_do_nothing() {
    let Some(broker) = Broker::running().await else { return };
    let nobody = signed_with_names(&broker.folder.path().join("pki"), &["https://example.com"]);
    let mut nobody = MqttPeer::greeted(broker.address, broker.ca(), Some(nobody), None).await.unwrap();
    nobody.send(&connect(PLAIN)).await;
    assert_eq!(nobody.expect(CONNACK).await[..2], [0, 0]);
    for topic in [up("S0001", STATE), down("S0001"), presence("S0001")] {
        assert_eq!(nobody.verdict(&topic, b"forged").await, NOT_AUTHORIZED, "{topic}");
    }
}

impl Broker {
    /// How the broker ends a connection of S0001 that says this: its code, or nothing. Nobody else notices.
    async fn end_after(&self, bytes: &[u8], bystander: &mut MqttPeer) -> Option<u8> {
        let mut peer = self.connected("S0001", PLAIN).await;
        let code = end_of(&mut peer, bytes).await;
        bystander.is_answered().await;
        code
    }
}

async fn end_of(peer: &mut MqttPeer, bytes: &[u8]) -> Option<u8> {
    let _ = peer.try_send(bytes).await;
    let mut code = None;
    while let Ok((kind, body)) = peer.packet().await {
        assert_eq!(kind, DISCONNECT, "{body:?}");
        code = Some(body[0]);
    }
    code
}

#[tokio::test]
async fn packets_that_break_the_protocol_end_their_own_connection_only() {
    let Some(broker) = Broker::running().await else { return };
    let mut bystander = broker.connected("S0002", PLAIN).await;
    let own = up("S0001", STATE);
    let too_long = publish(&own, 1, &vec![0; FRAME_BYTES_MAX + 2000]);
    let [mut retained, mut twice_sure, mut impossible] = [0; 3].map(|_| publish(&own, 1, b"x"));
    retained[0] |= 1;
    twice_sure[0] = 0x34;
    impossible[0] = 0x36;
    let cases: [(&str, &[u8], Option<u8>); 9] = [
        ("too long", &too_long[..100], Some(0x95)),
        ("retained", &retained, Some(0x9a)),
        ("QoS 2", &twice_sure, Some(0x9b)),
        ("QoS 3", &impossible, Some(0x81)),
        ("CONNECT again", &connect(PLAIN), None),
        ("no packet at all", &[0x00, 0], Some(0x82)),
        ("an alias of nothing", &aliased("", 3, b"x"), Some(0x82)),
        ("all shares", &subscribe_to_share("#"), Some(0x81)),
        ("a length without end", &[0xc0, 0xff, 0xff, 0xff, 0xff, 0xff], None),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(broker.end_after(bytes, &mut bystander).await, expected, "{what}");
    }
    // Nor does Mosquitto mind everything that the hub's own endpoint does.
    let mut peer = broker.connected("S0001", PLAIN).await;
    assert_eq!(peer.verdict(&own, &vec![0; FRAME_BYTES_MAX + 1]).await, 0x95);
    for harmless in [&[0x40, 2, 0, 1], [0xd0, 0].as_slice()] {
        peer.send(harmless).await;
        peer.is_answered().await;
    }
}

#[tokio::test]
async fn a_client_begins_with_connect() {
    let Some(broker) = Broker::running().await else { return };
    let mut bystander = broker.connected("S0002", PLAIN).await;
    for first in [publish(&up("S0001", STATE), 1, b"x"), PINGREQ.to_vec(), b"GET / HTTP/1.1\r\n".repeat(10)] {
        let mut peer = broker.greeted("S0001").await;
        assert_eq!(end_of(&mut peer, &first).await, None, "{first:?}");
        bystander.is_answered().await;
    }
    let mut older = broker.greeted("S0001").await;
    older.send(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 30, 0, 1, b'a']).await;
    assert_eq!(older.expect(CONNACK).await, [0, 0], "MQTT 3.1.1 is let in, under the same rules");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_that_connect_at_once_do_not_keep_others_out() {
    const PEERS: usize = 2000;
    let Some(broker) = Broker::running().await else { return };
    let mut hub = broker.hub(&[FRAMES]).await;
    let connecting = (0..PEERS).map(|_| TcpStream::connect(broker.address));
    let mut crowd: Vec<_> = join_all(connecting).await.into_iter().filter_map(Result::ok).collect();
    if crowd.len() < PEERS {
        println!("the system let only {} of {PEERS} connections happen; raise `ulimit -n`", crowd.len());
        crowd.truncate(crowd.len() - 64);
    }
    for peer in crowd.iter_mut().step_by(2) {
        let _ = peer.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
    }
    let mut good = timeout(PATIENCE, broker.connected("S0001", PLAIN)).await.expect("a good client gets in");
    assert_eq!(good.verdict(&up("S0001", STATE), b"through").await, 0);
    hub.hears(&up("S0001", STATE), b"through").await;
    drop(crowd);
}
