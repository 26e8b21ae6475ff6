//! The link against hubs made for the test, over QUIC and over MQTT: real sockets, real certificates, no core behind it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod choosing;
mod hub;
mod mqtt_hub;
mod over_mqtt;

use hub::{Authority, Caller, Hub};
use std::sync::Arc;
use std::time::Duration;
use store_agent::config::HubConfig;
use store_agent::inbox::{Crossing, Flight, Inbox, Transport, Work};
use store_agent::runtime::clock;
use store_agent::telemetry::Metrics;
use store_agent::transport::choice::{self, Line};
use store_agent::transport::rules::Pace;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// An agent's end of the link with the test in place of the core.
struct Agent {
    work: mpsc::Receiver<Work>,
    metrics: Arc<Metrics>,
    crossing: watch::Receiver<Crossing>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Agent {
    fn dial(hub: HubConfig) -> Agent {
        Agent::dial_at(hub, Pace::default())
    }

    fn dial_at(hub: HubConfig, pace: Pace) -> Agent {
        let (inbox, work) = Inbox::new();
        let (stop, stopping) = watch::channel(false);
        let (telling, crossing) = watch::channel(Crossing::default());
        let metrics = Arc::new(Metrics::new("S0001"));
        let line = Line {
            store: "S0001".parse().unwrap(),
            hub,
            inbox,
            metrics: Arc::clone(&metrics),
            crossing: telling,
            clocks: clock::clocks(),
            pace,
        };
        let task = tokio::spawn(choice::run(line, stopping));
        Agent { work, metrics, crossing, stop, task }
    }

    /// Waits until the hub is heard on this way.
    async fn is_heard_on(&mut self, transport: Transport) -> Crossing {
        let heard = self.crossing.wait_for(|crossing| crossing.transport == Some(transport));
        timeout(Duration::from_secs(20), heard).await.expect("it is heard").unwrap().clone()
    }

    /// Metrics as collectors read them.
    fn counted(&self, line: &str) -> bool {
        self.metrics.exposition().unwrap().lines().any(|counted| counted == line)
    }

    async fn next(&mut self) -> Work {
        timeout(Duration::from_secs(20), self.work.recv()).await.expect("work comes").expect("the link runs")
    }

    async fn is_up(&mut self) -> mpsc::Sender<Flight> {
        loop {
            match self.next().await {
                Work::LinkUp { outgoing } => return outgoing,
                Work::LinkDown { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn is_down(&mut self) -> String {
        match self.next().await {
            Work::LinkDown { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    async fn frame(&mut self) -> Vec<u8> {
        match self.next().await {
            Work::Frame(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        timeout(Duration::from_secs(5), self.task).await.expect("it stops soon").unwrap();
    }
}

async fn linked(authority: &Authority) -> (Agent, mpsc::Sender<Flight>, Caller) {
    let hub = Hub::listen(authority);
    let mut agent = Agent::dial(authority.store(&hub));
    let (outgoing, caller) = tokio::join!(agent.is_up(), hub.accept());
    (agent, outgoing, caller)
}

#[tokio::test]
async fn both_streams_carry_frames_both_ways() {
    let authority = Authority::new();
    let (mut agent, outgoing, mut hub) = linked(&authority).await;
    let go =
        vec![(Stream::State, vec![1, 2, 3]), (Stream::History, vec![4; 70_000]), (Stream::State, vec![5])];
    outgoing.send(Flight::Frames(go)).await.unwrap();
    assert_eq!(hub.state.frame().await, [1, 2, 3]);
    assert_eq!(hub.state.frame().await, [5]);
    assert_eq!(hub.history.frame().await, vec![4; 70_000]);
    hub.state.say(&[7, 8]).await;
    assert_eq!(agent.frame().await, [7, 8]);
    hub.history.say(&vec![9; FRAME_BYTES_MAX]).await;
    assert_eq!(agent.frame().await, vec![9; FRAME_BYTES_MAX]);
    agent.stop().await;
}

#[tokio::test]
async fn frames_of_one_go_share_a_packet() {
    let authority = Authority::new();
    let (mut agent, outgoing, mut hub) = linked(&authority).await;
    // Let the handshake's own packets pass first.
    hub.state.say(&[1]).await;
    agent.frame().await;
    outgoing.send(Flight::Frames(vec![(Stream::State, vec![2])])).await.unwrap();
    hub.state.frame().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = hub.packets_received();
    for number in 0..20 {
        let go = vec![(Stream::State, vec![number; 30]), (Stream::History, vec![number; 60])];
        outgoing.send(Flight::Frames(go)).await.unwrap();
        hub.state.frame().await;
        hub.history.frame().await;
    }
    let packets = hub.packets_received() - before;
    assert!(packets <= 30, "20 goes took {packets} packets");
    agent.stop().await;
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_the_link_and_it_is_dialled_again() {
    let authority = Authority::new();
    let hub = Hub::listen(&authority);
    let mut agent = Agent::dial(authority.store(&hub));
    for announced in [0, u32::try_from(FRAME_BYTES_MAX).unwrap() + 1, u32::MAX] {
        let (_outgoing, mut caller) = tokio::join!(agent.is_up(), hub.accept());
        caller.state.say_raw(&announced.to_le_bytes()).await;
        let reason = agent.is_down().await;
        assert!(reason.contains(&announced.to_string()), "{reason}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn when_the_core_lets_go_the_link_ends_and_comes_back() {
    let authority = Authority::new();
    let hub = Hub::listen(&authority);
    let mut agent = Agent::dial(authority.store(&hub));
    let (outgoing, _first) = tokio::join!(agent.is_up(), hub.accept());
    drop(outgoing);
    assert!(agent.is_down().await.contains("keep pace"));
    let (outgoing, second) = tokio::join!(agent.is_up(), hub.accept());
    outgoing.send(Flight::HangUp { reason: "the hub broke the protocol".to_owned() }).await.unwrap();
    assert_eq!(agent.is_down().await, "the hub broke the protocol");
    assert!(second.closed().await.contains("broke the protocol"));
    agent.stop().await;
}

#[tokio::test]
async fn a_hub_that_closes_says_why() {
    let authority = Authority::new();
    let (mut agent, _outgoing, hub) = linked(&authority).await;
    hub.close("closing for the night");
    assert_eq!(agent.is_down().await, "the hub closed the link: closing for the night");
    agent.stop().await;
}

#[tokio::test]
async fn a_hub_that_takes_nothing_does_not_fill_the_memory() {
    let authority = Authority::new();
    let (mut agent, outgoing, _hub) = linked(&authority).await;
    let reason = loop {
        let frame = vec![0; FRAME_BYTES_MAX];
        if outgoing.send(Flight::Frames(vec![(Stream::History, frame)])).await.is_err() {
            break agent.is_down().await;
        }
    };
    assert!(reason.contains("takes too little"), "{reason}");
    agent.stop().await;
}

#[tokio::test]
async fn a_hub_of_another_authority_is_not_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let hub = Hub::listen(&theirs);
    let mut agent = Agent::dial(ours.store(&hub));
    let reason = tokio::select! {
        reason = agent.is_down() => reason,
        () = hub.shake_hands() => unreachable!(),
    };
    assert!(reason.contains("check ca_file and server_name"), "{reason}");
    agent.stop().await;
}

#[tokio::test]
async fn a_store_of_another_authority_hears_that_its_certificate_is_not_accepted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let hub = Hub::listen(&theirs);
    let mut config = ours.store(&hub);
    config.ca_file = theirs.store(&hub).ca_file;
    let mut agent = Agent::dial(config);
    let refused = async {
        let mut held = None;
        loop {
            match agent.next().await {
                // With TLS 1.3 the connection seems to stand until the hub has seen the certificate.
                Work::LinkUp { outgoing } => held = Some(outgoing),
                Work::LinkDown { reason } => {
                    drop(held);
                    break reason;
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let reason = tokio::select! {
        reason = refused => reason,
        () = hub.shake_hands() => unreachable!(),
    };
    assert!(reason.contains("did not accept this store's certificate"), "{reason}");
    agent.stop().await;
}

#[tokio::test]
async fn what_went_over_the_wire_is_counted() {
    let authority = Authority::new();
    let (agent, outgoing, mut hub) = linked(&authority).await;
    outgoing.send(Flight::Frames(vec![(Stream::State, vec![1; 5_000])])).await.unwrap();
    hub.state.frame().await;
    let metrics = Arc::clone(&agent.metrics);
    agent.stop().await;
    let text = metrics.exposition().unwrap();
    let name = "shopsmart_agent_udp_bytes_total{direction=\"sent\"} ";
    let sent: u64 = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap();
    assert!(sent > 5_000, "{sent}");
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_dialled_until_it_is() {
    let authority = Authority::new();
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let mut agent = Agent::dial(authority.store_at(address));
    let hub = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let hub = Hub::listen_at(&Authority::from(&authority), address);
        hub.accept().await
    });
    agent.is_up().await;
    let _caller = hub.await.unwrap();
    agent.stop().await;
}

#[tokio::test]
async fn a_hub_that_fell_silent_is_given_up_long_before_the_idle_time() {
    let authority = Authority::new();
    let hub = Hub::listen(&authority);
    let line = hub::Line::to(&hub).await;
    let mut agent = Agent::dial(authority.store_at(line.address()));
    let (outgoing, mut caller) = tokio::join!(agent.is_up(), hub.accept());
    caller.state.say(&[1]).await;
    agent.frame().await;
    line.cut();
    outgoing.send(Flight::Frames(vec![(Stream::State, vec![2])])).await.unwrap();
    // `is_down` waits for 20 seconds, less than half the idle time.
    assert!(agent.is_down().await.contains("unanswered"));
    agent.stop().await;
}
