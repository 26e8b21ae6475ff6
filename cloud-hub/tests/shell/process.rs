//! A whole hub process: how it starts, serves and stops.

use crate::commands::Site;
use crate::mqtt_peer::{CONNACK, MqttPeer, PLAIN, connect};
use crate::peer::{PATIENCE, Peer, Shown, farewell, framed, open, received};
use cloud_hub::enrol::ca::{Pki, STORE_DAYS};
use cloud_hub::storage::sqlite::Sqlite;
use cloud_hub::storage::{Changes, OrderEvent, Storage};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;
use sync_protocol::frame::{self, Body, BootMark, Frame, Hello, Stream, VERSION_MAX, VERSION_MIN};
use sync_protocol::order::OrderId;
use sync_protocol::{Boot, Epoch, Position, Seq, UnixMillis};

/// A running hub; killed when the test ends otherwise.
pub struct Running {
    pub site: Site,
    process: Child,
}

impl Running {
    pub fn on(site: Site) -> Running {
        Running::started(site, &["run"])
    }

    fn started(site: Site, arguments: &[&str]) -> Running {
        let process = site.command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut running = Running { site, process };
        running.wait(|running| running.site.path("hub/addresses.json").exists());
        running
    }

    /// The same hub, started again after it has ended.
    pub fn again(mut self) -> Running {
        drop(std::fs::remove_file(self.site.path("hub/addresses.json")));
        self.process = self.site.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
        self.wait(|running| running.site.path("hub/addresses.json").exists());
        self
    }

    /// Until `reached`, for at most as long as a test is patient.
    pub fn wait(&mut self, reached: impl Fn(&Running) -> bool) {
        let mut patience = PATIENCE.as_millis() / 10;
        while !reached(self) {
            assert!(patience > 0, "waited too long");
            patience -= 1;
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the hub ended with {status}: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn address(&self, of: &str) -> SocketAddr {
        let text = std::fs::read_to_string(self.site.path("hub/addresses.json")).unwrap();
        let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
        addresses[of].as_str().unwrap().parse().unwrap()
    }

    pub fn tell(&mut self, signal: &str) -> ExitStatus {
        let pid = self.process.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.process.wait().unwrap()
    }

    pub fn said(&mut self) -> String {
        let mut text = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address("http")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A peer with a certificate that `store certificate --offline` wrote.
    fn store(&self, id: &str) -> Peer {
        let out = self.site.path(id);
        if !out.exists() {
            self.site.does(&[
                "store",
                "certificate",
                "--offline",
                "--id",
                id,
                "--out",
                out.to_str().unwrap(),
            ]);
        }
        let ca = CertificateDer::from_pem_file(out.join("ca.pem")).unwrap();
        Peer::new(ca, Some(Shown::from_folder(&out)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn a_hub_starts_answers_and_stops_when_told() {
    for signal in ["-TERM", "-INT"] {
        let mut hub = Running::on(Site::with_a_store());
        let metrics = hub.get("/metrics");
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("shopsmart_hub_build_info"), "{metrics}");
        assert!(hub.get("/healthz").starts_with("HTTP/1.1 200"));
        assert!(hub.tell(signal).success(), "{}", hub.said());
        assert!(!hub.site.path("hub/addresses.json").exists(), "addresses of nothing were left behind");
        assert!(!hub.site.path("hub/hub.db-wal").exists(), "the next start would take this for a crash");
        assert!(hub.said().contains("stopped"));
    }
}

/// What happens to orders leaves a running hub; a secret that everybody may read keeps it from starting.
#[test]
fn a_hub_sends_what_happens_to_its_webhooks() {
    let receiver = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let site = Site::with_a_store();
    let mut config = std::fs::read_to_string(site.config()).unwrap();
    config += &format!(
        "[[webhook]]\nname = \"shop\"\nurl = \"http://{}/hook\"\nsecrets_file = \"secrets\"\nallow_private_addresses = true\n",
        receiver.local_addr().unwrap()
    );
    std::fs::write(site.config(), config).unwrap();
    std::fs::write(site.path("secrets"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    std::fs::set_permissions(site.path("secrets"), Permissions::from_mode(0o644)).unwrap();
    let said = site.fails(1, &["run"]);
    assert!(said.contains("secrets` is open to every user"), "{said}");
    std::fs::set_permissions(site.path("secrets"), Permissions::from_mode(0o600)).unwrap();
    let hub = Running::on(site);
    let event = OrderEvent {
        id: "birth-1".to_owned(),
        at: UnixMillis(1),
        recorded_at: UnixMillis(1),
        kind: "order.ready".to_owned(),
        order: OrderId::from_random(7),
        payment_reference: None,
        body: "{}".to_owned(),
    };
    let mut storage = Sqlite::open(&hub.site.path("hub/hub.db")).unwrap();
    storage.commit(&Changes { events: vec![event], ..Changes::default() }).unwrap();
    drop(storage);
    let (mut stream, _) = receiver.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = String::new();
    let mut bytes = [0; 4096];
    while !request.contains("order.ready") {
        let read = stream.read(&mut bytes).unwrap();
        assert!(read > 0, "{request}");
        request += std::str::from_utf8(&bytes[..read]).unwrap();
    }
    assert!(
        request.starts_with("POST /hook HTTP/1.1") && request.contains("webhook-id: birth-1"),
        "{request}"
    );
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_connects_hears_when_the_hub_stops() {
    let mut hub = Running::on(Site::with_a_store());
    let connection = hub.store("S0001").connect(hub.address("quic")).await;
    let _state = open(&connection, Stream::State).await;
    hub.wait(|hub| hub.get("/metrics").contains("shopsmart_hub_links 1"));
    assert!(hub.tell("-TERM").success());
    assert_eq!(farewell(connection.closed().await).0, 1);
}

/// The first thing an agent with an empty disk says.
fn hello_of(store: &str) -> Vec<u8> {
    let hello = Hello {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        boots: vec![BootMark { boot: Boot(7), first_seq: Seq(1), first_position: Position(1) }],
        state_head: Seq(0),
        history_head: Position(0),
        state_acked: Seq(0),
        history_acked: Position(0),
        down_mark: Seq(0),
        hub_life: 0,
        clock: UnixMillis(0),
        software: "test".to_owned(),
    };
    let store = store.parse().unwrap();
    framed(&frame::encode(&Frame { store, epoch: Epoch(0), boot: Boot(7), body: Body::Hello(hello) }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_is_answered_after_its_commit() {
    let hub = Running::on(Site::with_a_store());
    let connection = hub.store("S0001").connect(hub.address("quic")).await;
    let (mut state, mut answers) = open(&connection, Stream::State).await;
    state.write_all(&hello_of("S0001")).await.unwrap();
    let answer = frame::decode(&received(&mut answers).await).unwrap();
    assert_eq!(answer.body.kind(), "handover", "an empty disk starts from the hub's copy");
    let metrics = hub.get("/metrics");
    assert!(metrics.contains("shopsmart_hub_epochs_granted_total{reason=\"first_contact\"} 1"), "{metrics}");
    // What the store is told of its settings may have gone with it, or before.
    let commits = ["shopsmart_hub_commits_total", "shopsmart_hub_commit_seconds_count"];
    let counted = commits.map(|name| (1..=2).any(|count| metrics.contains(&format!("{name} {count}\n"))));
    assert_eq!(counted, [true, true], "{metrics}");
    assert!(metrics.contains("shopsmart_hub_stores_linked 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_the_link_it_came_on_and_no_other() {
    let site = Site::with_a_store();
    site.add_store("S0002");
    let hub = Running::on(site);
    let good = hub.store("S0001").connect(hub.address("quic")).await;
    let bad = hub.store("S0002").connect(hub.address("quic")).await;
    let (mut good_state, mut answers) = open(&good, Stream::State).await;
    let (mut bad_state, _) = open(&bad, Stream::State).await;
    bad_state.write_all(&framed(b"\xffgarbage")).await.unwrap();
    let (code, reason) = farewell(bad.closed().await);
    assert_eq!(code, 7);
    assert!(reason.contains("S0002") && reason.contains("can't be read"), "{reason}");
    good_state.write_all(&hello_of("S0001")).await.unwrap();
    received(&mut answers).await;
    let metrics = hub.get("/metrics");
    assert!(metrics.contains("shopsmart_hub_frames_dropped_total{reason=\"unreadable\"} 1"), "{metrics}");
    assert!(metrics.contains("shopsmart_hub_links_ended_total{reason=\"refused\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_speaks_for_itself_only_and_hears_so() {
    let site = Site::with_a_store();
    site.add_store("S0002");
    let hub = Running::on(site);
    let connection = hub.store("S0001").connect(hub.address("quic")).await;
    let (mut state, mut answers) = open(&connection, Stream::State).await;
    state.write_all(&hello_of("S0002")).await.unwrap();
    let refused = frame::decode(&received(&mut answers).await).unwrap();
    assert_eq!(refused.body.kind(), "refused");
    let (code, reason) = farewell(connection.closed().await);
    assert_eq!(code, 7);
    assert!(reason.contains("speaks for store `S0001` only"), "{reason}");
    let metrics = hub.get("/metrics");
    assert!(metrics.contains("shopsmart_hub_frames_dropped_total{reason=\"other_store\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_added_meanwhile_gets_in() {
    let hub = Running::on(Site::with_a_store());
    let shown = Shown::issued(&Pki::open(&hub.site.path("hub/pki")).unwrap(), "S0009", STORE_DAYS);
    let ca = CertificateDer::from_pem_file(hub.site.path("hub/pki/ca.pem")).unwrap();
    let peer = Peer::new(ca, Some(shown));
    let (code, reason) = farewell(peer.refusal(hub.address("quic")).await);
    assert_eq!(code, 7);
    assert!(reason.contains("no store `S0009`"), "{reason}");
    hub.site.add_store("S0009");
    let connection = peer.connect(hub.address("quic")).await;
    let (mut state, mut answers) = open(&connection, Stream::State).await;
    state.write_all(&hello_of("S0009")).await.unwrap();
    received(&mut answers).await;
}

#[test]
fn a_restored_hub_says_so() {
    let mut hub = Running::started(Site::with_a_store(), &["run", "--restored"]);
    assert!(hub.tell("-TERM").success());
    assert!(hub.said().contains("restored"));
}

#[test]
fn two_hubs_never_share_a_data_folder() {
    let hub = Running::on(Site::with_a_store());
    let said = hub.site.fails(1, &["run"]);
    assert!(said.contains("another hub is running"), "{said}");
    assert!(hub.get("/metrics").starts_with("HTTP/1.1 200"), "the first one goes on");
}

#[test]
fn without_init_a_hub_says_what_to_do() {
    let said = Site::new().fails(1, &["run"]);
    assert!(said.contains("make one with `cloud-hub init`"), "{said}");
}

#[test]
fn a_taken_address_is_named_with_its_cause() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let site = Site::with_a_store();
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), text.replacen("127.0.0.1:0", &address.to_string(), 1)).unwrap();
    let said = site.fails(1, &["run"]);
    assert!(said.contains(&format!("can't listen on UDP {address}: Address already in use")), "{said}");
    assert!(!site.path("hub/addresses.json").exists());
}

#[test]
fn json_logs_are_json() {
    let site = Site::with_a_store();
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), text + "[log]\nformat = \"json\"\n").unwrap();
    let mut hub = Running::on(site);
    assert!(hub.tell("-TERM").success());
    let said = hub.said();
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line["message"] == "the hub is listening" && line["http"].is_string()),
        "{said}"
    );
}

#[test]
fn a_hub_without_mqtt_listens_on_quic_alone() {
    let site = Site::with_a_store();
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), text.replace("[mqtt]", "[mqtt]\nenabled = false")).unwrap();
    let hub = Running::on(site);
    let text = std::fs::read_to_string(hub.site.path("hub/addresses.json")).unwrap();
    assert!(text.contains("\"quic\":") && !text.contains("mqtt"), "{text}");
}

#[tokio::test]
async fn an_idle_mqtt_link_costs_little_memory() {
    const LINKS: usize = 300;
    const BYTES_EACH_MAX: usize = 60 << 10;
    let hub = Running::on(Site::with_a_store());
    let resident = |hub: &Running| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", hub.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() << 10
    };
    let pki = Pki::open(&hub.site.path("hub/pki")).unwrap();
    let mut links = Vec::new();
    let mut before = 0;
    for n in 0..LINKS {
        // What the first ones cost is the endpoint's, not theirs.
        if n == LINKS / 10 {
            before = resident(&hub);
        }
        let store = format!("S{n:04}");
        let shown = Shown::issued(&pki, &store, STORE_DAYS);
        let ca = pki.server().unwrap().ca;
        let mut link = MqttPeer::greeted(hub.address("mqtt"), ca, Some(shown), None).await.unwrap();
        link.send(&connect(PLAIN)).await;
        link.expect(CONNACK).await;
        links.push(link);
    }
    let each = resident(&hub).saturating_sub(before) / (LINKS - LINKS / 10);
    println!("an idle MQTT link takes {each} bytes");
    assert!(each < BYTES_EACH_MAX, "{each} bytes");
}
