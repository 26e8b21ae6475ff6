//! A store's line to the hub that can be cut and mended: a relay for UDP datagrams on loopback. While the line is cut
//! every datagram is lost, both ways, as with a cable pulled; neither end is told.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

/// Flows kept open at once: an agent opens a new one at each start, and the oldest make room.
const FLOWS_MAX: usize = 16;
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// A relay, and the switch on its line.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    line: Arc<Line>,
    task: JoinHandle<()>,
}

/// What goes over the line.
#[derive(Debug, Default)]
pub struct Line {
    cut: AtomicBool,
    pub to_hub: Traffic,
    pub to_store: Traffic,
    pub lost: AtomicU64,
}

/// Datagrams carried in one direction, and the bytes in them.
#[derive(Debug, Default)]
pub struct Traffic {
    pub datagrams: AtomicU64,
    pub bytes: AtomicU64,
}

impl Relay {
    /// Relays to the hub at `hub`, from an address of its own.
    pub async fn start(hub: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.context("opening a relay")?;
        let address = socket.local_addr().context("asking for the relay's address")?;
        let line = Arc::new(Line::default());
        let task = tokio::spawn(relay(Arc::new(socket), hub, Arc::clone(&line)));
        Ok(Self { address, line, task })
    }

    /// What the agent takes for the hub.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    pub fn cut(&self) {
        self.line.cut.store(true, Relaxed);
    }

    pub fn mend(&self) {
        self.line.cut.store(false, Relaxed);
    }

    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.line.cut.load(Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    /// Counts a datagram; `false` when it is lost.
    fn carry(&self, traffic: &Traffic, bytes: usize) -> bool {
        if self.cut.load(Relaxed) {
            self.lost.fetch_add(1, Relaxed);
            return false;
        }
        traffic.datagrams.fetch_add(1, Relaxed);
        traffic.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
        true
    }
}

/// The way between one of the agent's sockets and the hub.
struct Flow {
    number: u64,
    hub_side: Arc<UdpSocket>,
    way_back: AbortHandle,
}

/// Runs until its task is ended; a datagram that can't be passed on is lost, as on any line.
async fn relay(store_side: Arc<UdpSocket>, hub: SocketAddr, line: Arc<Line>) {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    // Dropped with this task, which ends them.
    let mut ways_back = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut opened = 0;
    loop {
        let Ok((length, from)) = store_side.recv_from(&mut buffer).await else { continue };
        if !line.carry(&line.to_hub, length) {
            continue;
        }
        let flow = match flows.entry(from) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Ok(hub_side) = open_flow(hub).await else { continue };
                let back = way_back(Arc::clone(&hub_side), Arc::clone(&store_side), from, Arc::clone(&line));
                opened += 1;
                new.insert(Flow { number: opened, hub_side, way_back: ways_back.spawn(back) })
            }
        };
        let _ = flow.hub_side.send(&buffer[..length]).await;
        forget_oldest(&mut flows);
    }
}

fn forget_oldest(flows: &mut HashMap<SocketAddr, Flow>) {
    if flows.len() <= FLOWS_MAX {
        return;
    }
    let oldest = flows.iter().min_by_key(|(_, flow)| flow.number).map(|(from, _)| *from);
    if let Some(flow) = oldest.and_then(|from| flows.remove(&from)) {
        flow.way_back.abort();
    }
}

async fn open_flow(hub: SocketAddr) -> Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.context("opening a flow")?;
    socket.connect(hub).await.context("pointing a flow at the hub")?;
    Ok(Arc::new(socket))
}

async fn way_back(hub_side: Arc<UdpSocket>, store_side: Arc<UdpSocket>, store: SocketAddr, line: Arc<Line>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        match hub_side.recv(&mut buffer).await {
            Ok(length) if line.carry(&line.to_store, length) => {
                let _ = store_side.send_to(&buffer[..length], store).await;
            }
            Ok(_) => {}
            // Nobody listens at the hub's port at the moment; try again with the next datagram.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    async fn echo() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 100];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                socket.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        address
    }

    async fn ask(socket: &UdpSocket, relay: &Relay, patience: Duration) -> bool {
        let mut buffer = [0; 100];
        socket.send_to(b"hello", relay.address()).await.unwrap();
        timeout(patience, socket.recv_from(&mut buffer)).await.is_ok()
    }

    #[tokio::test]
    async fn a_cut_line_loses_datagrams_until_it_is_mended() {
        let relay = Relay::start(echo().await).await.unwrap();
        let store = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        assert!(ask(&store, &relay, Duration::from_secs(5)).await);
        relay.cut();
        assert!(relay.is_cut());
        assert!(!ask(&store, &relay, Duration::from_millis(100)).await);
        relay.mend();
        assert!(ask(&store, &relay, Duration::from_secs(5)).await);
        assert_eq!(relay.line().to_hub.bytes.load(Relaxed), 10);
        assert_eq!(relay.line().to_store.datagrams.load(Relaxed), 2);
        assert_eq!(relay.line().lost.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn an_agent_that_starts_again_gets_a_flow_of_its_own() {
        let relay = Relay::start(echo().await).await.unwrap();
        for _ in 0..2 * FLOWS_MAX {
            let store = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            assert!(ask(&store, &relay, Duration::from_secs(5)).await);
        }
    }
}
