//! The broker of a scene: a real Mosquitto, set up as docs/operating/brokers.md says, or hidden behind a proxy that throws
//! frames away.

use super::chaos::Chaos;
use super::daemon::{Daemon, write};
use super::scene::{Scene, Transport};
use super::wait::eventually;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

const MOSQUITTO: &str = "/usr/sbin/mosquitto";
const CONFIGURATION: &str = include_str!("../../../docs/operating/brokers/mosquitto.conf");
const RULES: &str = include_str!("../../../docs/operating/brokers/mosquitto.acl");
/// Outside of what the system gives away by itself.
const PORT: u16 = 28883;
/// For the broker behind the proxy: the proxy has seen to who may connect, and nobody else can reach it.
const PLAIN: &str =
    "user root\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nmax_inflight_messages 256\n";

/// A broker that listens at the same address after each start.
pub struct Broker {
    folder: PathBuf,
    /// Where Mosquitto listens.
    own: SocketAddr,
    /// What agents and hub are shown instead.
    chaos: Option<Chaos>,
    daemon: Option<Daemon>,
}

impl Broker {
    /// Not running yet: it needs a certificate in its folder first. None where the scene has no broker.
    pub fn for_scene(scene: &Scene) -> Option<Broker> {
        let chaos = match scene.transport() {
            Transport::Broker => None,
            Transport::Chaos => Some(Chaos::at(own_address())),
            Transport::Auto | Transport::Mqtt | Transport::Quic => return None,
        };
        assert!(Path::new(MOSQUITTO).exists(), "there is no {MOSQUITTO}: install the package mosquitto");
        let own = SocketAddr::new(own_address(), PORT);
        Some(Broker { folder: scene.join("broker"), own, chaos, daemon: None })
    }

    /// Where agents and hub connect.
    pub fn address(&self) -> SocketAddr {
        self.chaos.as_ref().map_or(self.own, Chaos::address)
    }

    /// Its certificate belongs here.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts for the first time.
    pub fn open(&mut self) {
        let listener = format!("listener {} {}\n", self.own.port(), self.own.ip());
        let configuration = match &mut self.chaos {
            Some(chaos) => {
                chaos.open(&self.folder, self.own);
                format!("{listener}{PLAIN}")
            }
            None => configured(&self.folder, &listener),
        };
        write(&self.configuration(), &configuration);
        write(&self.folder.join("mosquitto.acl"), RULES);
        self.start();
    }

    pub fn start(&mut self) {
        let mut command = Command::new(MOSQUITTO);
        command.arg("-c").arg(self.configuration());
        let mut daemon = Daemon::start("the broker", command, &self.folder.join("broker.log"));
        eventually("the broker to listen", || {
            assert!(daemon.exited().is_none(), "the broker ended; its log ends in\n{}", daemon.tail());
            TcpStream::connect(self.own).map_err(|error| error.to_string())
        });
        self.daemon = Some(daemon);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process().kill();
        self.daemon = None;
    }

    /// SIGSTOP: its connections stand, and nothing moves on them.
    pub fn freeze(&mut self) {
        self.process().freeze();
    }

    pub fn thaw(&mut self) {
        self.process().thaw();
    }

    /// The one who throws frames away; only in scenes with one.
    pub fn chaos(&self) -> &Chaos {
        self.chaos.as_ref().expect("this scene has a broker that throws frames away")
    }

    fn process(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("the broker runs")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("mosquitto.conf")
    }
}

/// The documented configuration with another port, other paths, and the user of this test.
fn configured(folder: &Path, listener: &str) -> String {
    let here = |name: &str| folder.join(name).display().to_string();
    let replacements = [
        ("\nlistener 8883\n", format!("\n{listener}")),
        ("\nuser mosquitto\n", "\nuser root\n".to_owned()),
        ("/etc/mosquitto/shopsmart/ca.pem", here("ca.pem")),
        ("/etc/mosquitto/shopsmart/broker.pem", here("broker.pem")),
        ("/etc/mosquitto/shopsmart/broker.key", here("broker.key")),
        ("/etc/mosquitto/shopsmart/mosquitto.acl", here("mosquitto.acl")),
    ];
    replacements.iter().fold(CONFIGURATION.to_owned(), |configuration, (documented, here)| {
        assert_eq!(configuration.matches(documented).count(), 1, "`{documented}` in mosquitto.conf");
        configuration.replace(documented, here)
    })
}

/// An address of this machine that no other test uses, so that a broker finds its port free again after a kill.
fn own_address() -> IpAddr {
    static USED: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = USED.fetch_add(1, Ordering::Relaxed);
    assert!(number < 128, "more brokers than addresses");
    IpAddr::V4(Ipv4Addr::new(127, 64 + number, high, low))
}
