//! The link over MQTT: what it says, what it takes, and how it ends.

use crate::Agent;
use crate::hub::Authority;
use crate::mqtt_hub::{Client, DOWN_HISTORY, DOWN_STATE, MqttHub, PRESENCE, Proxy, UP_HISTORY, UP_STATE};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, Packet, SubscribeReasonCode};
use std::time::Duration;
use store_agent::config::HostPort;
use store_agent::inbox::{Flight, INPUTS_MAX, Work};
use store_agent::transport::rules::Pace;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::mpsc;

async fn linked(authority: &Authority) -> (Agent, mpsc::Sender<Flight>, Client, MqttHub) {
    let hub = MqttHub::listen(authority).await;
    let mut agent = Agent::dial(authority.store_on_mqtt(hub.address()));
    let (outgoing, client) = tokio::join!(agent.is_up(), hub.accept_link());
    (agent, outgoing, client, hub)
}

#[tokio::test]
async fn the_link_is_up_only_once_both_subscriptions_are_granted() {
    let authority = Authority::new();
    let hub = MqttHub::listen(&authority).await;
    let mut agent = Agent::dial(authority.store_on_mqtt(hub.address()));
    let mut client = hub.accept().await;
    let (connect, will) = client.connect().await;
    assert_eq!((connect.client_id.as_str(), connect.clean_start, connect.keep_alive), ("S0001", true, 60));
    let properties = connect.properties.unwrap();
    assert_eq!((properties.session_expiry_interval, properties.receive_maximum), (Some(0), Some(16)));
    assert_eq!((&will.topic[..], &will.message[..]), (PRESENCE.as_bytes(), b"gone".as_slice()));
    assert_eq!((will.qos, will.retain), (QoS::AtLeastOnce, false));
    client.answer_connect(ConnectReturnCode::Success, None).await;
    let pkid = client.subscription().await;
    assert_eq!(client.frame().await, (PRESENCE.to_owned(), b"here".to_vec()));
    assert!(agent.work.is_empty(), "nobody has granted anything yet");
    // What a broker delivers too early belongs to no link.
    client.send(DOWN_STATE, &[6]).await;
    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
    client.answer_subscription(pkid, vec![granted, granted]).await;
    client.send(DOWN_STATE, &[7]).await;
    let _outgoing = agent.is_up().await;
    assert_eq!(agent.frame().await, [7]);
    agent.stop().await;
}

#[tokio::test]
async fn frames_arrive_whole_and_in_order_both_ways() {
    let authority = Authority::new();
    let (mut agent, outgoing, mut client, _hub) = linked(&authority).await;
    let sizes = [1, 2, 70_000, FRAME_BYTES_MAX, 3];
    for number in 0..100u8 {
        let size = sizes[usize::from(number) % sizes.len()];
        outgoing.send(Flight::Frames(vec![(Stream::History, vec![number; size])])).await.unwrap();
    }
    for number in 0..100u8 {
        let size = sizes[usize::from(number) % sizes.len()];
        assert_eq!(client.frame().await, (UP_HISTORY.to_owned(), vec![number; size]));
    }
    outgoing.send(Flight::Frames(vec![(Stream::State, vec![1])])).await.unwrap();
    assert_eq!(client.frame().await, (UP_STATE.to_owned(), vec![1]));
    for number in 1..100u8 {
        let size = sizes[usize::from(number) % sizes.len()];
        match number % 2 {
            0 => client.send(DOWN_STATE, &vec![number; size]).await,
            _ => client.send_numbered(DOWN_HISTORY, &vec![number; size], u16::from(number)).await,
        }
        assert_eq!(agent.frame().await, vec![number; size]);
    }
    agent.stop().await;
}

#[tokio::test]
async fn while_the_core_is_behind_nothing_is_lost_or_turned_round() {
    let frames = 3 * u32::try_from(INPUTS_MAX).unwrap();
    let authority = Authority::new();
    let (mut agent, _outgoing, mut client, _hub) = linked(&authority).await;
    let sending = tokio::spawn(async move {
        for number in 0..frames {
            client.send(DOWN_STATE, &number.to_le_bytes().repeat(500)).await;
        }
        client
    });
    while agent.work.len() < INPUTS_MAX {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..frames {
        assert_eq!(agent.frame().await, number.to_le_bytes().repeat(500));
    }
    let _client = sending.await.unwrap();
    agent.stop().await;
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let authority = Authority::new();
    let (agent, _outgoing, mut client, _hub) = linked(&authority).await;
    let ((), left) = tokio::join!(agent.stop(), async {
        let gone = client.frame().await;
        (gone, client.next().await)
    });
    assert_eq!(left.0, (PRESENCE.to_owned(), b"gone".to_vec()));
    assert!(
        matches!(left.1, Some(Packet::Disconnect(d)) if d.reason_code == DisconnectReasonCode::NormalDisconnection)
    );
}

#[tokio::test]
async fn when_the_core_lets_go_the_link_ends_and_comes_back() {
    let authority = Authority::new();
    let (mut agent, outgoing, _first, hub) = linked(&authority).await;
    drop(outgoing);
    assert!(agent.is_down().await.contains("keep pace"));
    let (outgoing, _second) = tokio::join!(agent.is_up(), hub.accept_link());
    outgoing.send(Flight::HangUp { reason: "the hub broke the protocol".to_owned() }).await.unwrap();
    assert_eq!(agent.is_down().await, "the hub broke the protocol");
    agent.stop().await;
}

#[tokio::test]
async fn a_hub_that_confirms_nothing_does_not_fill_the_memory() {
    let authority = Authority::new();
    let (mut agent, outgoing, mut client, _hub) = linked(&authority).await;
    let reading = tokio::spawn(async move { while client.next().await.is_some() {} });
    let reason = loop {
        let frame = vec![0; FRAME_BYTES_MAX];
        if outgoing.send(Flight::Frames(vec![(Stream::History, frame)])).await.is_err() {
            break agent.is_down().await;
        }
    };
    assert!(reason.contains("takes too little"), "{reason}");
    reading.await.unwrap();
    agent.stop().await;
}

#[tokio::test]
async fn a_link_the_hub_ends_says_why_and_is_dialled_again() {
    let authority = Authority::new();
    let (mut agent, outgoing, mut client, hub) = linked(&authority).await;
    client.send(DOWN_STATE, &[1]).await;
    client.disconnect(DisconnectReasonCode::ServerShuttingDown, "closing for the night").await;
    assert_eq!(agent.frame().await, [1], "what came before the end is handed on");
    assert_eq!(agent.is_down().await, "the hub closed the link: closing for the night");
    drop((outgoing, client));

    let (outgoing, client) = tokio::join!(agent.is_up(), hub.accept_link());
    drop(client);
    let reason = agent.is_down().await;
    assert!(reason.contains("without a word") || reason.contains("no connection to"), "{reason}");
    drop(outgoing);

    let (_outgoing, _client) = tokio::join!(agent.is_up(), hub.accept_link());
    agent.stop().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_link_with_a_reason() {
    let oversized = [0x30, 0xff, 0xff, 0xff, 0x7f];
    let cases: [(&[u8], &str); 4] = [
        (b"\xff\x02no MQTT at all", "does not keep to MQTT 5"),
        (&oversized, "announced a packet of"),
        // A PUBLISH whose topic is longer than the packet.
        (&[0x30, 0x04, 0x00, 0xff, 0x61, 0x00], "MQTT"),
        // A PUBACK for what was never sent.
        (&[0x40, 0x02, 0x00, 0x0f], "does not keep to MQTT 5"),
    ];
    let authority = Authority::new();
    let hub = MqttHub::listen(&authority).await;
    // No link here lives to hear the hub, so the pauses would grow.
    let pace = Pace { pause_max: Duration::from_millis(50), ..Pace::default() };
    let mut agent = Agent::dial_at(authority.store_on_mqtt(hub.address()), pace);
    let (mut _outgoing, mut client) = tokio::join!(agent.is_up(), hub.accept_link());
    for (bytes, expected) in cases {
        client.say_raw(bytes).await;
        let reason = agent.is_down().await;
        assert!(reason.contains(expected), "{bytes:?}: {reason}");
        (_outgoing, client) = tokio::join!(agent.is_up(), hub.accept_link());
    }
    for (topic, frame, expected) in [
        (DOWN_STATE, Vec::new(), "a frame of 0 bytes"),
        (DOWN_STATE, vec![1; FRAME_BYTES_MAX + 1], "a frame of 262145 bytes"),
        (UP_STATE, vec![1], "which nobody asked for"),
        ("shopsmart/v1/S0002/down/state", vec![1], "which nobody asked for"),
    ] {
        client.send(topic, &frame).await;
        let reason = agent.is_down().await;
        assert!(reason.contains(expected), "{topic}: {reason}");
        (_outgoing, client) = tokio::join!(agent.is_up(), hub.accept_link());
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_refusal_is_said_in_words_and_the_next_dial_may_succeed() {
    let authority = Authority::new();
    let hub = MqttHub::listen(&authority).await;
    let mut agent = Agent::dial(authority.store_on_mqtt(hub.address()));
    let mut client = hub.accept().await;
    client.connect().await;
    client.answer_connect(ConnectReturnCode::NotAuthorized, None).await;
    assert_eq!(agent.is_down().await, "the hub refused the connection: not authorized");

    let mut client = hub.accept().await;
    client.take_connect().await;
    let pkid = client.subscription().await;
    let codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce), SubscribeReasonCode::NotAuthorized];
    client.answer_subscription(pkid, codes).await;
    assert_eq!(agent.is_down().await, "the hub refused the subscription: not authorized");

    let (_outgoing, _client) = tokio::join!(agent.is_up(), hub.accept_link());
    agent.stop().await;
}

#[tokio::test]
async fn a_hub_of_another_authority_is_not_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let hub = MqttHub::listen(&theirs).await;
    let mut agent = Agent::dial(ours.store_on_mqtt(hub.address()));
    let reason = tokio::select! {
        reason = agent.is_down() => reason,
        () = hub.shake_hands() => unreachable!(),
    };
    assert!(reason.contains("check ca_file and server_name"), "{reason}");
    agent.stop().await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_though_the_address_is_right() {
    let authority = Authority::new();
    let hub = MqttHub::named(&authority, "elsewhere.example").await;
    let mut agent = Agent::dial(authority.store_on_mqtt(hub.address()));
    let reason = tokio::select! {
        reason = agent.is_down() => reason,
        () = hub.shake_hands() => unreachable!(),
    };
    assert!(reason.contains("check ca_file and server_name"), "{reason}");
    agent.stop().await;

    let mut config = authority.store_on_mqtt(hub.address());
    config.server_name = "elsewhere.example".to_owned();
    let mut agent = Agent::dial(config);
    let (_outgoing, _client) = tokio::join!(agent.is_up(), hub.accept_link());
    agent.stop().await;
}

#[tokio::test]
async fn a_store_of_another_authority_hears_that_its_certificate_is_not_accepted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let hub = MqttHub::listen(&theirs).await;
    let mut config = ours.store_on_mqtt(hub.address());
    config.ca_file = theirs.store_at(hub.address()).ca_file;
    let mut agent = Agent::dial(config);
    let reason = tokio::select! {
        reason = agent.is_down() => reason,
        () = hub.shake_hands() => unreachable!(),
    };
    assert!(reason.contains("did not accept this store's certificate"), "{reason}");
    agent.stop().await;
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_named() {
    let authority = Authority::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut agent = Agent::dial(authority.store_on_mqtt(nobody));
    let reason = agent.is_down().await;
    assert!(reason.starts_with(&format!("no connection to {nobody}")), "{reason}");
    agent.stop().await;
}

#[tokio::test]
async fn the_way_leads_through_the_proxy_when_one_is_named() {
    let authority = Authority::new();
    let hub = MqttHub::listen(&authority).await;
    let proxy = Proxy::listen().await;
    let mut config = authority.store_on_mqtt(hub.address());
    config.proxy = Some(HostPort { host: "127.0.0.1".to_owned(), port: proxy.address().port() });
    let mut agent = Agent::dial(config);
    proxy.refuse().await;
    let reason = agent.is_down().await;
    assert!(reason.contains("does not let us through") && reason.ends_with("it answered 403"), "{reason}");
    let (wanted, _outgoing, mut client) = tokio::join!(proxy.let_through(), agent.is_up(), hub.accept_link());
    assert_eq!(wanted, hub.address().to_string());
    client.send(DOWN_STATE, &[1]).await;
    assert!(matches!(agent.next().await, Work::Frame(frame) if frame == [1]));
    agent.stop().await;
}
