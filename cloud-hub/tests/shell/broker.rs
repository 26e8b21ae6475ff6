//! Mosquitto as docs/operating/brokers.md sets it up: the very files that stand there, on an address of its own.

use crate::mqtt_peer::{CONNACK, Introduction, MqttPeer, PLAIN, SUBACK, connect, subscribe};
use crate::peer::{PATIENCE, Shown};
use cloud_hub::enrol::ca::{BROKER_DAYS, Pki, STORE_DAYS, ServerName};
use cloud_hub::runtime::clock::Clock;
use rustls::pki_types::CertificateDer;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const MOSQUITTO: &str = "/usr/sbin/mosquitto";
const CONFIGURATION: &str = include_str!("../../../docs/operating/brokers/mosquitto.conf");
const RULES: &str = include_str!("../../../docs/operating/brokers/mosquitto.acl");
/// Outside of what the system gives away by itself.
const PORT: u16 = 28883;

/// A running broker.
pub struct Broker {
    _server: Server,
    pub folder: TempDir,
    pub pki: Pki,
    pub address: SocketAddr,
}

/// A process of somebody else's; killed when the test ends.
pub struct Server(Child);

impl Broker {
    /// None where there is no Mosquitto, which is then said.
    pub async fn running() -> Option<Broker> {
        if is_absent(MOSQUITTO, "mosquitto") {
            return None;
        }
        let (folder, pki) = authority();
        let address = own_address();
        std::fs::write(folder.path().join("mosquitto.conf"), configured(folder.path(), address)).unwrap();
        std::fs::write(folder.path().join("mosquitto.acl"), RULES).unwrap();
        let arguments = ["-c", &text(&folder.path().join("mosquitto.conf"))];
        if let Some(server) = Server::started(MOSQUITTO, &arguments, &folder, address).await {
            return Some(Broker { _server: server, folder, pki, address });
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        panic!("Mosquitto does not start:\n{log}");
    }

    pub fn ca(&self) -> CertificateDer<'static> {
        self.pki.server().unwrap().ca
    }

    /// TLS with the certificate of `store`, and nothing said yet.
    pub async fn greeted(&self, store: &str) -> MqttPeer {
        let shown = Shown::issued(&self.pki, store, STORE_DAYS);
        MqttPeer::greeted(self.address, self.ca(), Some(shown), None).await.unwrap()
    }

    pub async fn connected(&self, store: &str, how: Introduction) -> MqttPeer {
        introduced(self.greeted(store).await, how).await
    }

    /// A client with the hub's own certificate, as the hub shows it to a broker.
    pub async fn hub(&self, filters: &[&str]) -> MqttPeer {
        let client = self.pki.hub_client(Clock::start().wall()).unwrap();
        let shown = Shown { chain: client.chain, key: client.key };
        let peer = MqttPeer::greeted(self.address, self.ca(), Some(shown), None).await.unwrap();
        let mut hub = introduced(peer, PLAIN).await;
        hub.send(&subscribe(filters)).await;
        let granted = hub.expect(SUBACK).await;
        assert!(granted[3..].iter().all(|code| *code == 1), "{granted:?}");
        hub
    }
}

impl Server {
    /// Starts it and waits until it listens. None when it ends instead.
    pub async fn started(
        program: &str,
        arguments: &[&str],
        folder: &TempDir,
        address: SocketAddr,
    ) -> Option<Server> {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        // It may open as many files as the system lets it.
        let script = "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", program]).args(arguments).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Server(command.spawn().unwrap());
        let listens = timeout(PATIENCE, server.listens(address)).await.expect("it listens or ends");
        listens.then_some(server)
    }

    async fn listens(&mut self, address: SocketAddr) -> bool {
        while TcpStream::connect(address).await.is_err() {
            if self.0.try_wait().unwrap().is_some() {
                return false;
            }
            sleep(Duration::from_millis(10)).await;
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn introduced(mut peer: MqttPeer, how: Introduction) -> MqttPeer {
    peer.send(&connect(how)).await;
    assert_eq!(peer.expect(CONNACK).await[..2], [0, 0]);
    peer
}

/// An authority, and a broker's certificate of it beside it.
pub fn authority() -> (TempDir, Pki) {
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::start().wall();
    let pki = Pki::create(&folder.path().join("pki"), &ServerName::local(), now).unwrap();
    let issued = pki.issue_broker(&ServerName::local(), BROKER_DAYS, now).unwrap();
    issued.write_to(folder.path()).unwrap();
    (folder, pki)
}

/// The documented configuration with another port, other paths, and the user of this test.
fn configured(folder: &Path, address: SocketAddr) -> String {
    let listener = format!("\nlistener {} {}\n", address.port(), address.ip());
    let replacements = [
        ("\nlistener 8883\n", listener.as_str()),
        ("\nuser mosquitto\n", "\nuser root\n"),
        ("/etc/mosquitto/shopsmart/ca.pem", &text(&folder.join("ca.pem"))),
        ("/etc/mosquitto/shopsmart/broker.pem", &text(&folder.join("broker.pem"))),
        ("/etc/mosquitto/shopsmart/broker.key", &text(&folder.join("broker.key"))),
        ("/etc/mosquitto/shopsmart/mosquitto.acl", &text(&folder.join("mosquitto.acl"))),
    ];
    replacements.iter().fold(CONFIGURATION.to_owned(), |configuration, (documented, here)| {
        assert_eq!(configuration.matches(documented).count(), 1, "`{documented}` in mosquitto.conf");
        configuration.replace(documented, here)
    })
}

#[expect(clippy::print_stdout, reason = "whoever reads the test's output must see what was not tested")]
pub fn is_absent(program: &str, package: &str) -> bool {
    let absent = !Path::new(program).exists();
    if absent {
        println!("SKIPPED: there is no {program}; install the package {package}");
    }
    absent
}

/// An address of this machine that no other test uses. The port is not asked of the system by listening on it for a
/// moment: a process that another test starts just then keeps it until it has become its own program.
pub fn own_address() -> SocketAddr {
    static USED: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = USED.fetch_add(1, Ordering::Relaxed);
    assert!(number < 128, "more servers than addresses");
    (Ipv4Addr::new(127, 64 + number, high, low), PORT).into()
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
