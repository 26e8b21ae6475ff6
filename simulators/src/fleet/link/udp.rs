//! Moves datagrams over a line. Each socket of an agent gets one of its own towards the hub, so that answers find back.

use super::Line;
use super::delayed::Delayed;
use super::lane::Direction;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// What IPv4 and UDP add to a datagram.
pub const HEADER_BYTES: usize = 28;
/// Flows kept open at once: an agent opens a new one with each dial, and the oldest make room.
const FLOWS_MAX: usize = 16;
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// After an error of a socket, such as nobody listening at the hub's port.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Opens a line's UDP side, and says at which address.
pub async fn start(hub: SocketAddr, line: &Arc<Line>, carrying: &mut JoinSet<()>) -> Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.context("opening a line's UDP side")?;
    let address = socket.local_addr().context("asking for the line's address")?;
    let front =
        Front { socket: Arc::new(socket), hub, line: Arc::clone(line), flows: HashMap::new(), opened: 0 };
    carrying.spawn(front.carry());
    Ok(address)
}

/// The end that agents send to.
struct Front {
    socket: Arc<UdpSocket>,
    hub: SocketAddr,
    line: Arc<Line>,
    flows: HashMap<SocketAddr, Flow>,
    opened: u64,
}

/// The way between one of the agent's sockets and the hub.
struct Flow {
    number: u64,
    binding: u64,
    hub_side: Arc<UdpSocket>,
    way_back: AbortHandle,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.way_back.abort();
    }
}

impl Front {
    /// Runs until its task is ended; a datagram that can't be passed on is lost, as on any line.
    async fn carry(mut self) {
        // Dropped with this task, which ends them.
        let mut ways_back = JoinSet::new();
        let mut delayed = Delayed::<Arc<UdpSocket>>::default();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.receive(from, &buffer[..length], &mut delayed, &mut ways_back).await,
                    Err(_) => sleep(TRY_AGAIN_AFTER).await,
                },
                () = self.line.reach(delayed.next_deadline()) => {}
            }
            while let Some((hub_side, bytes)) = delayed.pop(self.line.now()) {
                let _ = hub_side.send(&bytes).await;
            }
            while ways_back.try_join_next().is_some() {}
        }
    }

    async fn receive(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        delayed: &mut Delayed<Arc<UdpSocket>>,
        ways_back: &mut JoinSet<()>,
    ) {
        let Some(arrives) = self.line.datagram(Direction::ToHub, self.line.now(), bytes.len()) else {
            return;
        };
        if let Ok(hub_side) = self.hub_side(from, ways_back).await {
            delayed.push(arrives, hub_side, bytes);
        }
    }

    /// The socket towards the hub for what comes from here. It is another one after the line was bound anew.
    async fn hub_side(&mut self, from: SocketAddr, ways_back: &mut JoinSet<()>) -> Result<Arc<UdpSocket>> {
        let binding = self.line.binding();
        if let Some(flow) = self.flows.get(&from).filter(|flow| flow.binding == binding) {
            return Ok(Arc::clone(&flow.hub_side));
        }
        let hub_side = open(self.hub).await?;
        let back = WayBack {
            hub_side: Arc::clone(&hub_side),
            front: Arc::clone(&self.socket),
            store: from,
            line: Arc::clone(&self.line),
            binding,
        };
        self.opened += 1;
        let way_back = ways_back.spawn(back.carry());
        self.flows
            .insert(from, Flow { number: self.opened, binding, hub_side: Arc::clone(&hub_side), way_back });
        self.forget_oldest();
        Ok(hub_side)
    }

    fn forget_oldest(&mut self) {
        if self.flows.len() <= FLOWS_MAX {
            return;
        }
        let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.number).map(|(from, _)| *from);
        oldest.and_then(|from| self.flows.remove(&from));
    }
}

async fn open(hub: SocketAddr) -> Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.context("opening a flow")?;
    socket.connect(hub).await.context("pointing a flow at the hub")?;
    Ok(Arc::new(socket))
}

/// From the hub to one of the agent's sockets.
struct WayBack {
    hub_side: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    store: SocketAddr,
    line: Arc<Line>,
    binding: u64,
}

impl WayBack {
    async fn carry(self) {
        let mut delayed = Delayed::default();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            tokio::select! {
                received = self.hub_side.recv(&mut buffer) => match received {
                    Ok(length) => self.receive(&buffer[..length], &mut delayed),
                    Err(_) => sleep(TRY_AGAIN_AFTER).await,
                },
                () = self.line.reach(delayed.next_deadline()) => {}
            }
            while let Some(((), bytes)) = delayed.pop(self.line.now()) {
                let _ = self.front.send_to(&bytes, self.store).await;
            }
        }
    }

    fn receive(&self, bytes: &[u8], delayed: &mut Delayed<()>) {
        // The router has forgotten where this should go.
        if self.line.binding() != self.binding {
            return;
        }
        if let Some(arrives) = self.line.datagram(Direction::ToStore, self.line.now(), bytes.len()) {
            delayed.push(arrives, (), bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::{LinkName, LinkProfile};
    use super::super::{HubEnds, Link};
    use super::*;
    use crate::clock;
    use crate::rng::Rng;
    use std::sync::atomic::Ordering::Relaxed;
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(5);
    const SHORT: Duration = Duration::from_millis(100);

    /// A hub that sends every datagram back, with the port it came from.
    async fn echo() -> HubEnds {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 100];
            loop {
                let (_, from) = socket.recv_from(&mut buffer).await.unwrap();
                socket.send_to(&from.port().to_be_bytes(), from).await.unwrap();
            }
        });
        HubEnds { quic: address, mqtt: address }
    }

    async fn link(profile: LinkProfile) -> Link {
        Link::start(echo().await, profile, Rng::seeded(1)).await.unwrap()
    }

    async fn store() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").await.unwrap()
    }

    /// The port that the hub saw; none without an answer in time.
    async fn ask(store: &UdpSocket, link: &Link, patience: Duration) -> Option<u16> {
        let mut buffer = [0; 100];
        store.send_to(b"hello", link.ends().quic).await.unwrap();
        let (length, _) = timeout(patience, store.recv_from(&mut buffer)).await.ok()?.unwrap();
        Some(u16::from_be_bytes(buffer[..length].try_into().unwrap()))
    }

    #[tokio::test]
    async fn a_cut_line_loses_datagrams_until_it_is_mended() {
        let (link, store) = (link(LinkProfile::PERFECT).await, store().await);
        assert!(ask(&store, &link, LONG).await.is_some());
        link.cut();
        assert!(link.is_cut());
        assert!(ask(&store, &link, SHORT).await.is_none());
        link.mend();
        assert!(ask(&store, &link, LONG).await.is_some());
        assert_eq!(link.line().datagrams_to_hub.bytes.load(Relaxed), 10);
        assert_eq!(link.line().datagrams_to_store.datagrams.load(Relaxed), 2);
        assert_eq!(link.line().datagrams_lost.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn udp_alone_can_be_cut() {
        let (link, store) = (link(LinkProfile::PERFECT).await, store().await);
        link.cut_udp();
        assert!(!link.is_cut());
        assert!(ask(&store, &link, SHORT).await.is_none());
        link.mend_udp();
        assert!(ask(&store, &link, LONG).await.is_some());
    }

    #[tokio::test]
    async fn an_agent_that_starts_again_gets_a_flow_of_its_own() {
        let link = link(LinkProfile::PERFECT).await;
        for _ in 0..2 * FLOWS_MAX {
            assert!(ask(&store().await, &link, LONG).await.is_some());
        }
    }

    #[tokio::test]
    async fn a_line_bound_anew_comes_from_another_port() {
        let (link, store) = (link(LinkProfile::PERFECT).await, store().await);
        let before = ask(&store, &link, LONG).await.unwrap();
        assert_eq!(ask(&store, &link, LONG).await, Some(before));
        link.rebind();
        let after = ask(&store, &link, LONG).await.unwrap();
        assert_ne!(before, after);
        assert_eq!(ask(&store, &link, LONG).await, Some(after));
    }

    #[tokio::test]
    async fn a_long_line_takes_its_time() {
        let one_way = Duration::from_millis(50);
        let (link, store) = (link(LinkProfile { one_way, ..LinkProfile::PERFECT }).await, store().await);
        let start = clock::now();
        assert!(ask(&store, &link, LONG).await.is_some());
        assert!(start.elapsed() >= 2 * one_way, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_portal_lets_no_datagram_out() {
        let (link, store) = (link(LinkName::CaptivePortal.profile()).await, store().await);
        assert!(ask(&store, &link, SHORT).await.is_none());
    }
}
