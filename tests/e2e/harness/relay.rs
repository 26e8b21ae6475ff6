//! A store's line: a UDP relay between an agent and wherever the hub is at the moment, which can be cut and mended.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const LOOK_UP_EVERY: Duration = Duration::from_millis(100);

/// Where the hub listens now; it moves when the hub starts anew.
pub type HubAddress = Arc<Mutex<SocketAddr>>;

/// One line. Packets are lost while it is cut, in both directions.
pub struct Relay {
    address: SocketAddr,
    line: Arc<Line>,
}

struct Line {
    front: UdpSocket,
    hub: HubAddress,
    up: AtomicBool,
    closed: AtomicBool,
}

impl Relay {
    pub fn to(hub: HubAddress) -> Relay {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = front.local_addr().expect("a bound socket has an address");
        front.set_read_timeout(Some(LOOK_UP_EVERY)).expect("a socket takes a timeout");
        let line = Arc::new(Line { front, hub, up: AtomicBool::new(true), closed: AtomicBool::new(false) });
        let carrying = Arc::clone(&line);
        thread::spawn(move || carry_up(&carrying));
        Relay { address, line }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        self.line.up.store(false, Ordering::Relaxed);
    }

    pub fn mend(&self) {
        self.line.up.store(true, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.line.closed.store(true, Ordering::Relaxed);
    }
}

impl Line {
    fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// From the agent to the hub; each agent socket gets one of its own towards the hub, so that answers find back.
fn carry_up(line: &Arc<Line>) {
    let mut backs: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut packet = [0; 65_536];
    while !line.is_closed() {
        let Ok((bytes, agent)) = line.front.recv_from(&mut packet) else {
            continue;
        };
        if !line.is_up() {
            continue;
        }
        let back = backs.entry(agent).or_insert_with(|| open_back(line, agent).expect("a free port"));
        let hub = *line.hub.lock().unwrap_or_else(PoisonError::into_inner);
        // A hub that is down answers with an ICMP error on the next call; to the agent that is silence.
        let _ = back.send_to(&packet[..bytes], hub);
    }
}

fn open_back(line: &Arc<Line>, agent: SocketAddr) -> io::Result<UdpSocket> {
    let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    back.set_read_timeout(Some(LOOK_UP_EVERY))?;
    let (carrying, socket) = (Arc::clone(line), back.try_clone()?);
    thread::spawn(move || carry_down(&carrying, &socket, agent));
    Ok(back)
}

fn carry_down(line: &Line, back: &UdpSocket, agent: SocketAddr) {
    let mut packet = [0; 65_536];
    while !line.is_closed() {
        if let Ok((bytes, _)) = back.recv_from(&mut packet)
            && line.is_up()
        {
            let _ = line.front.send_to(&packet[..bytes], agent);
        }
    }
}
