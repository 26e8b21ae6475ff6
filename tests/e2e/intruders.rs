//! Who comes with the wrong key, and who talks nonsense: P7, and that nobody else is disturbed by it.

use crate::harness::{Hub, Identity, RawLink, Scene, Store, Transport, expired, of_another_authority};
use serde_json::Value;
use sync_protocol::frame::{
    self, Body, BootMark, Frame, Handover, Hello, Marks, Refusal, Refused, StateBatch, Welcome,
};
use sync_protocol::limits::FRAME_BYTES_MAX;
use sync_protocol::record::{ItemRecord, StoreStock};
use sync_protocol::stock::StoreHalf;
use sync_protocol::{Boot, Epoch, ItemNo, Position, Seq, UnixMillis};

#[test]
fn a_certificate_opens_its_own_store_only() {
    let scene = Scene::over(Transport::Quic, "wrong-store");
    let hub = Hub::open(&scene);
    let intruder = Store::open(&scene, &hub, "S0001");
    let victim = Store::open(&scene, &hub, "S0002");
    victim.receive("4011", "10");
    hub.shows("S0002", "4011", "10");
    victim.is_synced();

    let address = hub.quic_address();
    for body in [hello(), a_thousand_units()] {
        let frame = Frame { store: "S0002".parse().unwrap(), epoch: Epoch(1), boot: Boot(7), body };
        let mut link = RawLink::open(address, &intruder.authority(), Some(intruder.identity())).unwrap();
        link.send_frame(&frame::encode(&frame)).unwrap();
        // The hub may say why before it hangs up; it must say nothing else.
        while let Ok(bytes) = link.next_frame() {
            let said = frame::decode(&bytes).unwrap().body;
            assert!(
                matches!(&said, Body::Refused(Refused { why: Refusal::WrongStore, .. })),
                "the hub said {said:?}"
            );
        }
        link.until_closed();
    }

    victim.sell("4011", "1");
    hub.shows("S0002", "4011", "9");
    victim.has("4011", "9");
}

fn hello() -> Body {
    Body::Hello(Hello {
        version_min: 1,
        version_max: 1,
        boots: vec![BootMark { boot: Boot(7), first_seq: Seq(1), first_position: Position(1) }],
        state_head: Seq(1_000),
        history_head: Position(1_000),
        state_acked: Seq(0),
        history_acked: Position(0),
        down_mark: Seq(0),
        hub_life: 0,
        clock: UnixMillis(0),
        software: "intruder".to_owned(),
    })
}

fn a_thousand_units() -> Body {
    let half = StoreHalf { epoch: Epoch(1), in_: 1_000_000, granted: 1_000_000, ..StoreHalf::default() };
    let stock = vec![StoreStock { item: ItemNo(1), half }];
    Body::State(StateBatch {
        base: Seq(0),
        upto: Seq(1_000),
        head: Seq(1_000),
        stock,
        ..StateBatch::default()
    })
}

#[test]
fn without_a_certificate_of_the_hub_nobody_gets_in() {
    let scene = Scene::over(Transport::Quic, "strangers");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    let pki = hub.data().join("pki");
    let strangers: [(&str, Option<Identity>); 3] = [
        ("no certificate", None),
        ("a certificate of somebody else", Some(of_another_authority("S0001"))),
        ("an expired certificate", Some(expired("S0001", &store.authority(), &pki.join("ca.key")))),
    ];
    for (who, identity) in strangers {
        refused(&hub, &store, who, identity);
    }
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
}

fn refused(hub: &Hub, store: &Store, who: &str, identity: Option<Identity>) {
    let address = hub.quic_address();
    // With TLS 1.3 the client's side of the handshake ends before the hub has seen the certificate.
    let Ok(mut link) = RawLink::open(address, &store.authority(), identity) else {
        return;
    };
    let heard = link.next_frame();
    assert!(heard.is_err(), "with {who} the hub said {heard:?}");
    link.until_closed();
}

#[test]
fn garbage_ends_only_its_own_link() {
    let scene = Scene::over(Transport::Quic, "garbage");
    let hub = Hub::open(&scene);
    let store = Store::open(&scene, &hub, "S0001");
    let noisy = Store::open(&scene, &hub, "S0002");
    let address = hub.quic_address();
    let oversized = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes();
    let noises: [&[u8]; 4] =
        [&[0xFF; 64], &oversized, &[8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], b"GET / HTTP/1.1\r\n\r\n"];
    for noise in noises {
        let mut link = RawLink::open(address, &noisy.authority(), Some(noisy.identity())).unwrap();
        link.send(noise).unwrap();
        link.until_closed();
    }
    store.receive("4011", "10");
    hub.shows("S0001", "4011", "10");
    noisy.receive("4011", "3");
    hub.shows("S0002", "4011", "3");
}

#[test]
fn what_cannot_be_understood_is_set_aside_and_the_rest_counts() {
    let scene = Scene::over(Transport::Quic, "from-the-future");
    let hub = Hub::open(&scene);
    let mut store = Store::open(&scene, &hub, "S0001");
    store.stop();
    let mut agent = NewerAgent::greet(&hub, &store);

    let mut frame = frame::encode(&agent.frame(seven_units_of_tea(agent.epoch)));
    // A section with a tag that nobody has given out yet.
    frame.extend_from_slice(&[99, 3, b'n', b'e', b'w']);
    agent.link.send_frame(&frame).unwrap();
    let mut answer = frame::decode(&agent.link.next_frame().unwrap()).unwrap().body;
    if matches!(answer, Body::Down(_)) {
        // Its settings.
        answer = frame::decode(&agent.link.next_frame().unwrap()).unwrap().body;
    }
    assert!(matches!(&answer, Body::Marks(Marks { state: Some(Seq(2)), .. })), "the hub said {answer:?}");

    hub.shows("S0001", "tea", "7");
    let metrics = hub.client().get("/metrics").unwrap().expect(200).body;
    assert!(metrics.contains("shopsmart_hub_records_quarantined_total 1"), "{metrics}");
    let health: Value = hub.client().get("/healthz").unwrap().expect(200).json();
    assert_eq!(health["status"], "ok");
}

/// An agent of a later release, on a new disk: just enough of one.
struct NewerAgent {
    link: RawLink,
    epoch: Epoch,
}

impl NewerAgent {
    /// Is handed the next epoch, takes it, and is welcome.
    fn greet(hub: &Hub, store: &Store) -> NewerAgent {
        let link =
            RawLink::open(hub.quic_address(), &store.authority(), Some(store.identity())).expect("a link");
        let mut agent = NewerAgent { link, epoch: Epoch(0) };
        let Body::Handover(Handover { granted, last: true, .. }) = agent.say(fresh_hello()) else {
            panic!("a new disk is handed over to, in one part as there is next to nothing");
        };
        agent.epoch = granted;
        let Body::Welcome(Welcome { .. }) = agent.say(fresh_hello()) else {
            panic!("the granted epoch is welcome")
        };
        agent
    }

    fn say(&mut self, body: Body) -> Body {
        let bytes = frame::encode(&self.frame(body));
        self.link.send_frame(&bytes).expect("the link carries it");
        frame::decode(&self.link.next_frame().expect("an answer")).expect("a frame").body
    }

    fn frame(&self, body: Body) -> Frame {
        Frame { store: "S0001".parse().expect("a store id"), epoch: self.epoch, boot: Boot(7), body }
    }
}

fn fresh_hello() -> Body {
    let Body::Hello(hello) = hello() else { unreachable!("a hello is one") };
    Body::Hello(Hello { state_head: Seq(0), history_head: Position(0), ..hello })
}

fn seven_units_of_tea(epoch: Epoch) -> Body {
    let half = StoreHalf { epoch, in_: 7_000, granted: 7_000, ..StoreHalf::default() };
    let item = ItemNo(1);
    let tea = ItemRecord {
        item,
        sku: "tea".parse().expect("a sku"),
        gtins: Vec::new(),
        name: "Tea".to_owned(),
        unit: "each".to_owned(),
        unnamed: false,
    };
    let (items, stock) = (vec![tea], vec![StoreStock { item, half }]);
    Body::State(StateBatch {
        base: Seq(0),
        upto: Seq(2),
        head: Seq(2),
        items,
        stock,
        ..StateBatch::default()
    })
}
