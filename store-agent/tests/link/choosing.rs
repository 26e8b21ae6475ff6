//! The choice between QUIC and MQTT with real sockets. The rules themselves are tested without any, on a clock of their own.

use crate::Agent;
use crate::hub::{Authority, Hub, Line};
use crate::mqtt_hub::{Client, DOWN_STATE, MqttHub};
use rumqttc::v5::mqttbytes::v5::Packet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use store_agent::inbox::{Flight, Transport};
use store_agent::transport::rules::Pace;
use sync_protocol::frame::Stream;

/// Everything sooner, so that tests need not wait for minutes.
fn hasty() -> Pace {
    Pace {
        quic_heard_within: Duration::from_millis(400),
        probe_pause_first: Duration::from_millis(50),
        probe_pause_max: Duration::from_millis(100),
        probe_stands_max: Duration::from_millis(150),
        healthy_after: Duration::from_millis(300),
        ..Pace::default()
    }
}

fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The next caller over MQTT, which hears the hub.
async fn heard_on_mqtt(agent: &mut Agent, hub: &MqttHub) -> Client {
    let mut client = hub.accept_link().await;
    client.send(DOWN_STATE, &[1]).await;
    agent.is_heard_on(Transport::Mqtt).await;
    client
}

#[tokio::test]
async fn where_nobody_answers_over_udp_the_link_comes_up_over_mqtt() {
    let authority = Authority::new();
    let hub = MqttHub::listen(&authority).await;
    let swallowing = UdpSocket::bind("127.0.0.1:0").unwrap();
    for quic in [nobody(), swallowing.local_addr().unwrap()] {
        let mut agent = Agent::dial_at(authority.store_on_either(quic, hub.address()), hasty());
        let _client = heard_on_mqtt(&mut agent, &hub).await;
        let crossing = agent.crossing.borrow().clone();
        assert_eq!(crossing.switches, 1);
        assert!(crossing.since.is_some());
        let reason = crossing.last_switch_reason.unwrap();
        assert!(reason.contains(&quic.to_string()), "{reason}");
        assert!(agent.counted("shopsmart_agent_link_switches_total{to=\"mqtt\"} 1"));
        assert!(agent.is_down().await.contains(&quic.to_string()));
        let _outgoing = agent.is_up().await;
        assert_eq!(agent.frame().await, [1]);
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_hub_that_shakes_hands_over_quic_and_says_nothing_is_left_for_mqtt() {
    let authority = Authority::new();
    let (quic, mqtt) = (Hub::listen(&authority), MqttHub::listen(&authority).await);
    let mut agent = Agent::dial_at(authority.store_on_either(quic.address(), mqtt.address()), hasty());
    let _silent = quic.accept().await;
    let _client = heard_on_mqtt(&mut agent, &mqtt).await;
    assert!(agent.crossing.borrow().last_switch_reason.as_ref().unwrap().contains("nothing heard"));
    agent.stop().await;
}

#[tokio::test]
async fn when_udp_is_cut_under_load_mqtt_takes_over() {
    let authority = Authority::new();
    let (quic, mqtt) = (Hub::listen(&authority), MqttHub::listen(&authority).await);
    let line = Line::to(&quic).await;
    let pace = Pace { quic_heard_within: Duration::from_secs(10), ..Pace::default() };
    let mut agent = Agent::dial_at(authority.store_on_either(line.address(), mqtt.address()), pace);
    let (outgoing, mut caller) = tokio::join!(agent.is_up(), quic.accept());
    caller.state.say(&[1]).await;
    assert_eq!(agent.is_heard_on(Transport::Quic).await.switches, 0);
    assert_eq!(agent.frame().await, [1]);
    line.cut();
    outgoing.send(Flight::Frames(vec![(Stream::State, vec![2])])).await.unwrap();
    let _client = heard_on_mqtt(&mut agent, &mqtt).await;
    assert!(agent.is_down().await.contains("unanswered"));
    agent.stop().await;
}

#[tokio::test]
async fn once_probes_stand_the_link_returns_to_quic_and_mqtt_ends_in_good_order() {
    let authority = Authority::new();
    let (address, mqtt) = (nobody(), MqttHub::listen(&authority).await);
    let mut agent = Agent::dial_at(authority.store_on_either(address, mqtt.address()), hasty());
    let mut client = heard_on_mqtt(&mut agent, &mqtt).await;
    let quic = Hub::listen_at(&authority, address);
    let ((mut caller, probes), left) = tokio::join!(quic.accept_after_probes(), async {
        let gone = client.frame().await.1;
        (gone, client.next().await)
    });
    assert!(probes >= 2, "300 ms take two probes of 150 ms: {probes}");
    assert_eq!(left.0, b"gone");
    assert!(matches!(left.1, Some(Packet::Disconnect(_))));
    caller.state.say(&[2]).await;
    let crossing = agent.is_heard_on(Transport::Quic).await;
    assert_eq!(crossing.switches, 2);
    assert!(crossing.last_switch_reason.unwrap().contains("QUIC gets through again"));
    assert!(agent.counted("shopsmart_agent_link_switches_total{to=\"quic\"} 1"));
    agent.stop().await;
}

#[tokio::test]
async fn probes_that_fail_leave_the_link_on_mqtt_alone() {
    let authority = Authority::new();
    let (address, mqtt) = (nobody(), MqttHub::listen(&authority).await);
    let mut agent = Agent::dial_at(authority.store_on_either(address, mqtt.address()), hasty());
    let mut client = heard_on_mqtt(&mut agent, &mqtt).await;
    let _outgoing = agent.is_up().await;
    assert_eq!(agent.frame().await, [1]);
    Hub::without_probes(&authority, address).refuse(4).await;
    client.send(DOWN_STATE, &[9]).await;
    assert_eq!(agent.frame().await, [9]);
    assert_eq!(agent.crossing.borrow().switches, 1);
    agent.stop().await;
}

#[tokio::test]
async fn when_neither_way_works_both_are_tried_until_one_does() {
    let authority = Authority::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, pace) = (nobody(), Pace { pause_first: Duration::from_millis(20), ..hasty() });
    let mut agent = Agent::dial_at(authority.store_on_either(address, free), pace);
    for _ in 0..3 {
        assert!(agent.is_down().await.contains(&address.to_string()));
        assert!(agent.is_down().await.contains(&free.to_string()));
    }
    assert_eq!(agent.crossing.borrow().transport, None);
    let quic = Hub::listen_at(&authority, address);
    let (_outgoing, (mut caller, _)) = tokio::join!(agent.is_up(), quic.accept_after_probes());
    caller.state.say(&[1]).await;
    assert_eq!(agent.is_heard_on(Transport::Quic).await.switches, 0);
    agent.stop().await;
}
