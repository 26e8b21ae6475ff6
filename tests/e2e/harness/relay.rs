//! A store's line: relays between an agent and wherever the hub is at the moment, for UDP and for TCP, which can be cut and mended.
//!
//! While the line is cut nothing gets through, as when a cable is pulled, and nobody is told. A TCP connection on which something was
//! said meanwhile is found dead once the line is mended; one that was idle goes on.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const LOOK_UP_EVERY: Duration = Duration::from_millis(100);

/// Where the hub listens now; it moves when the hub starts anew.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    pub quic: SocketAddr,
    pub mqtt: SocketAddr,
}

pub type HubAddress = Arc<Mutex<Addresses>>;

/// Before the hub has been started.
pub fn nowhere() -> HubAddress {
    let discard = ([127, 0, 0, 1], 9).into();
    Arc::new(Mutex::new(Addresses { quic: discard, mqtt: discard }))
}

/// One line.
pub struct Relay {
    udp: SocketAddr,
    tcp: SocketAddr,
    line: Arc<Line>,
}

struct Line {
    front: UdpSocket,
    hub: HubAddress,
    udp_up: AtomicBool,
    tcp_up: AtomicBool,
    /// How often the way of datagrams has been given a new port.
    rebinds: AtomicUsize,
    /// How many ports datagrams have left by.
    ports: AtomicUsize,
    /// How long each packet takes, one after the other.
    slow_ms: AtomicU64,
    closed: AtomicBool,
}

impl Relay {
    pub fn to(hub: HubAddress) -> Relay {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let udp = front.local_addr().expect("a bound socket has an address");
        front.set_read_timeout(Some(LOOK_UP_EVERY)).expect("a socket takes a timeout");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let tcp = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a socket can be made not to wait");
        let line = Arc::new(Line::mended(front, hub));
        let (carrying, accepting) = (Arc::clone(&line), Arc::clone(&line));
        thread::spawn(move || carry_up(&carrying));
        thread::spawn(move || accept(&accepting, &listener));
        Relay { udp, tcp, line }
    }

    pub fn udp(&self) -> SocketAddr {
        self.udp
    }

    pub fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    pub fn cut(&self) {
        self.cut_udp();
        self.line.tcp_up.store(false, Ordering::Relaxed);
    }

    pub fn mend(&self) {
        self.mend_udp();
        self.line.tcp_up.store(true, Ordering::Relaxed);
    }

    pub fn cut_udp(&self) {
        self.line.udp_up.store(false, Ordering::Relaxed);
    }

    pub fn mend_udp(&self) {
        self.line.udp_up.store(true, Ordering::Relaxed);
    }

    /// Each packet takes so long from now on, and the next one waits for it.
    pub fn is_slow(&self, millis: u64) {
        self.line.slow_ms.store(millis, Ordering::Relaxed);
    }

    /// The hub sees what the agent sends next come from another port, as when a router on the way forgets. What goes to the
    /// old port is lost.
    pub fn rebind(&self) {
        self.line.rebinds.fetch_add(1, Ordering::Relaxed);
    }

    /// How many ports datagrams have left by so far.
    pub fn ports(&self) -> usize {
        self.line.ports.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.line.closed.store(true, Ordering::Relaxed);
    }
}

impl Line {
    fn mended(front: UdpSocket, hub: HubAddress) -> Line {
        let [udp_up, tcp_up] = [true; 2].map(AtomicBool::new);
        let [rebinds, ports] = [0; 2].map(AtomicUsize::new);
        let slow_ms = AtomicU64::new(0);
        Line { front, hub, udp_up, tcp_up, rebinds, ports, slow_ms, closed: AtomicBool::new(false) }
    }

    /// Holds a packet back for as long as this line takes.
    fn carries(&self) {
        match self.slow_ms.load(Ordering::Relaxed) {
            0 => {}
            slow => thread::sleep(Duration::from_millis(slow)),
        }
    }

    fn rebinds(&self) -> usize {
        self.rebinds.load(Ordering::Relaxed)
    }

    fn carries_udp(&self) -> bool {
        self.udp_up.load(Ordering::Relaxed)
    }

    fn carries_tcp(&self) -> bool {
        self.tcp_up.load(Ordering::Relaxed)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn hub(&self) -> Addresses {
        *self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From the agent to the hub; each agent socket gets one of its own towards the hub, so that answers find back.
fn carry_up(line: &Arc<Line>) {
    let mut backs: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut packet = [0; 65_536];
    let mut rebinds = line.rebinds();
    while !line.is_closed() {
        let Ok((bytes, agent)) = line.front.recv_from(&mut packet) else {
            continue;
        };
        if !line.carries_udp() {
            continue;
        }
        if line.rebinds() != rebinds {
            rebinds = line.rebinds();
            backs.clear();
        }
        let back =
            backs.entry(agent).or_insert_with(|| open_back(line, agent, rebinds).expect("a free port"));
        line.carries();
        // A hub that is down answers with an ICMP error on the next call; to the agent that is silence.
        let _ = back.send_to(&packet[..bytes], line.hub().quic);
    }
}

fn open_back(line: &Arc<Line>, agent: SocketAddr, rebinds: usize) -> io::Result<UdpSocket> {
    let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    back.set_read_timeout(Some(LOOK_UP_EVERY))?;
    line.ports.fetch_add(1, Ordering::Relaxed);
    let (carrying, socket) = (Arc::clone(line), back.try_clone()?);
    thread::spawn(move || carry_down(&carrying, &socket, agent, rebinds));
    Ok(back)
}

fn carry_down(line: &Line, back: &UdpSocket, agent: SocketAddr, rebinds: usize) {
    let mut packet = [0; 65_536];
    while !line.is_closed() && line.rebinds() == rebinds {
        if let Ok((bytes, _)) = back.recv_from(&mut packet)
            && line.carries_udp()
            && line.rebinds() == rebinds
        {
            line.carries();
            let _ = line.front.send_to(&packet[..bytes], agent);
        }
    }
}

fn accept(line: &Arc<Line>, listener: &TcpListener) {
    while !line.is_closed() {
        match listener.accept() {
            Ok((agent, _)) if line.carries_tcp() => connect(line, agent),
            // A call into a dead line hears nothing.
            Ok((agent, _)) => hold(line, agent),
            Err(_) => thread::sleep(LOOK_UP_EVERY / 10),
        }
    }
}

fn hold(line: &Arc<Line>, agent: TcpStream) {
    let line = Arc::clone(line);
    thread::spawn(move || {
        wait_for_line(&line);
        connect(&line, agent);
    });
}

/// Where the hub is down, the agent's connection is closed.
fn connect(line: &Arc<Line>, agent: TcpStream) {
    let Ok(hub) = TcpStream::connect(line.hub().mqtt) else { return };
    for (from, to) in [(&agent, &hub), (&hub, &agent)] {
        let _ = from.set_nonblocking(false);
        let _ = from.set_read_timeout(Some(LOOK_UP_EVERY));
        let _ = from.set_nodelay(true);
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let line = Arc::clone(line);
        thread::spawn(move || pump(&line, from, to));
    }
}

fn pump(line: &Line, mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 65_536];
    while !line.is_closed() {
        let read = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => break,
        };
        line.carries();
        // What is said into a dead line is lost, and the connection with it.
        if !line.carries_tcp() || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    wait_for_line(line);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

fn wait_for_line(line: &Line) {
    while !line.carries_tcp() && !line.is_closed() {
        thread::sleep(LOOK_UP_EVERY / 10);
    }
}
