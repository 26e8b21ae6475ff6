//! A store's line to the hub: a relay for UDP and for TCP on loopback that treats what it carries as a line of some kind would.
//!
//! What happens to each packet is decided in `lane` and `segments`, which know no socket and no clock; `udp` and `tcp` move
//! the bytes. A line can also be cut and mended: while it is cut nothing gets through, as with a cable pulled, and neither end
//! is told.

pub mod delayed;
pub mod lane;
pub mod profile;
pub mod segments;
mod tcp;
mod udp;

use crate::clock;
use crate::rng::Rng;
use anyhow::Result;
use lane::{Direction, Lane};
use profile::{LinkProfile, Udp};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Where the hub listens.
#[derive(Debug, Clone, Copy)]
pub struct HubEnds {
    pub quic: SocketAddr,
    pub mqtt: SocketAddr,
}

/// A line, carried until this is dropped.
#[derive(Debug)]
pub struct Link {
    ends: HubEnds,
    line: Arc<Line>,
    _carrying: JoinSet<()>,
}

/// What both directions and both protocols share.
#[derive(Debug)]
pub struct Line {
    profile: LinkProfile,
    began: Instant,
    to_hub: Mutex<Lane>,
    to_store: Mutex<Lane>,
    udp_cut: AtomicBool,
    /// Counts up with each change of the address that the hub sees.
    binding: AtomicU64,
    /// Datagrams of each direction. TCP is the kernel's to count.
    pub datagrams_to_hub: Traffic,
    pub datagrams_to_store: Traffic,
    pub datagrams_lost: AtomicU64,
}

/// Datagrams carried in one direction, and the bytes in them.
#[derive(Debug, Default)]
pub struct Traffic {
    pub datagrams: AtomicU64,
    pub bytes: AtomicU64,
}

impl Link {
    /// Carries between two addresses of its own and the hub's. The same seed gives the same line.
    pub async fn start(hub: HubEnds, profile: LinkProfile, rng: Rng) -> Result<Self> {
        let line = Arc::new(Line::new(profile, rng));
        let mut carrying = JoinSet::new();
        let quic = udp::start(hub.quic, &line, &mut carrying).await?;
        let mqtt = tcp::start(hub.mqtt, &line, &mut carrying)?;
        Ok(Self { ends: HubEnds { quic, mqtt }, line, _carrying: carrying })
    }

    /// What the agent takes for the hub.
    #[must_use]
    pub fn ends(&self) -> HubEnds {
        self.ends
    }

    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    pub fn cut(&self) {
        self.line.set_cut(true);
    }

    /// The plug is in again, and UDP passes if the profile lets it.
    pub fn mend(&self) {
        self.line.set_cut(false);
        self.mend_udp();
    }

    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.line.lane(Direction::ToHub).is_cut()
    }

    /// From now on no datagram gets through; TCP does.
    pub fn cut_udp(&self) {
        self.line.udp_cut.store(true, Relaxed);
    }

    pub fn mend_udp(&self) {
        self.line.udp_cut.store(false, Relaxed);
    }

    /// From now on the hub sees the agent's datagrams come from another port, as when a router has forgotten the old one. What the hub
    /// still sends to the old one is lost.
    pub fn rebind(&self) {
        self.line.binding.fetch_add(1, Relaxed);
    }
}

impl Line {
    fn new(profile: LinkProfile, mut rng: Rng) -> Self {
        Self {
            profile,
            began: clock::now(),
            to_hub: Mutex::new(Lane::new(&profile, Direction::ToHub, rng.fork(1))),
            to_store: Mutex::new(Lane::new(&profile, Direction::ToStore, rng.fork(2))),
            udp_cut: AtomicBool::new(false),
            binding: AtomicU64::new(0),
            datagrams_to_hub: Traffic::default(),
            datagrams_to_store: Traffic::default(),
            datagrams_lost: AtomicU64::new(0),
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for this moment; for ever when there is none.
    async fn reach(&self, at: Option<Duration>) {
        match at {
            Some(at) if at <= self.now() => {}
            Some(at) => tokio::time::sleep_until((self.began + at).into()).await,
            None => std::future::pending().await,
        }
    }

    // A panic while holding the lock leaves a lane that still carries.
    fn lane(&self, direction: Direction) -> MutexGuard<'_, Lane> {
        let lane = match direction {
            Direction::ToHub => &self.to_hub,
            Direction::ToStore => &self.to_store,
        };
        lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_cut(&self, is_cut: bool) {
        self.lane(Direction::ToHub).set_cut(is_cut);
        self.lane(Direction::ToStore).set_cut(is_cut);
    }

    fn binding(&self) -> u64 {
        self.binding.load(Relaxed)
    }

    /// Counts a datagram and says when it arrives; none when it is lost.
    fn datagram(&self, direction: Direction, now: Duration, bytes: usize) -> Option<Duration> {
        let passes = self.profile.udp == Udp::Passes && !self.udp_cut.load(Relaxed);
        let arrives = passes.then(|| self.lane(direction).datagram(now, bytes + udp::HEADER_BYTES)).flatten();
        match (arrives, direction) {
            (None, _) => drop(self.datagrams_lost.fetch_add(1, Relaxed)),
            (Some(_), Direction::ToHub) => self.datagrams_to_hub.add(bytes),
            (Some(_), Direction::ToStore) => self.datagrams_to_store.add(bytes),
        }
        arrives
    }

    fn refuses_tcp(&self) -> bool {
        self.now() < self.profile.tcp_opens_after
    }
}

impl Traffic {
    fn add(&self, bytes: usize) {
        self.datagrams.fetch_add(1, Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }
}
