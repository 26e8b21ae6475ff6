//! How frames get from the network to the driver and back, bounded at every step.
//!
//! A transport turns a verified connection into a link: it reports [`Arrival::Up`] with an [`Outlet`] to answer
//! through, then frames as they come, then [`Arrival::Down`] exactly once. When the driver is behind, transports stop
//! reading and the peers' flow control does the rest. When a peer is behind, its link is dropped: it will say hello
//! again and be told what it missed.

pub mod broker;
mod links;
mod metrics;
pub mod mqtt;
pub mod quic;
mod splitter;
mod tls;
mod topics;

pub use links::Links;
pub use metrics::Metrics;
pub use tls::{Certificates, ClientCertificates, TlsError};

use crate::hub::LinkId;
use crate::standing::NotAdmitted;
use std::sync::Arc;
use sync_protocol::StoreId;
use sync_protocol::frame::Stream;
use sync_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};
use tokio::task::JoinError;
use tracing::error;

/// Most arrivals that wait for the driver.
const ARRIVALS_MAX: usize = 1024;
/// Most bytes of frames that wait for the driver.
const ARRIVED_BYTES_MAX: u32 = 64 << 20;
/// Most answers that wait for one peer …
const ANSWERS_MAX: usize = 256;
/// … and most bytes of them. A whole store's hand-over, with every document its history knows, must fit.
const ANSWERED_BYTES_MAX: u32 = 64 << 20;

// One frame always fits, whichever way it goes.
const _: () = assert!(FRAME_BYTES_MAX <= ARRIVED_BYTES_MAX as usize);
const _: () = assert!(FRAME_BYTES_MAX + LENGTH_BYTES <= ANSWERED_BYTES_MAX as usize);

/// On QUIC each frame travels behind its length: an unsigned 32-bit number, little-endian.
pub const LENGTH_BYTES: usize = 4;

/// What a transport tells the driver.
pub enum Arrival {
    /// A peer that holds a key of `store` is there.
    Up {
        link: LinkId,
        store: StoreId,
        outlet: Outlet,
    },
    Frame {
        link: LinkId,
        bytes: Vec<u8>,
        room: Room,
    },
    /// The link is gone. Nothing more comes from it.
    Down {
        link: LinkId,
    },
}

/// The share of memory that a frame takes up until this is dropped, and who waits to hear that it is committed.
pub struct Room {
    _share: OwnedSemaphorePermit,
    committed: Option<oneshot::Sender<()>>,
}

impl Room {
    /// Says that the frame is committed. Dropping a room says only that the hub is done with it: after a failed commit,
    /// or in a panic, nobody may take that for a promise.
    pub fn committed(mut self) {
        if let Some(waiting) = self.committed.take() {
            // Nobody waits any more when the link has gone.
            let _ = waiting.send(());
        }
    }
}

/// Makes the way from the transports to the driver.
#[must_use]
pub fn inbox() -> (Inbox, mpsc::Receiver<Arrival>) {
    let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
    let room = Arc::new(Semaphore::new(ARRIVED_BYTES_MAX as usize));
    (Inbox { arrivals, room }, receiver)
}

/// Where transports put what arrives. Waiting here is what holds a peer back.
#[derive(Clone)]
pub struct Inbox {
    arrivals: mpsc::Sender<Arrival>,
    room: Arc<Semaphore>,
}

/// The driver has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hub is stopping")]
pub struct Stopped;

impl Inbox {
    async fn up(&self, link: LinkId, store: StoreId, outlet: Outlet) -> Result<(), Stopped> {
        self.put(Arrival::Up { link, store, outlet }).await
    }

    /// Hands a frame over. `committed` hears of its commit; when it is dropped unheard, there was none.
    async fn frame(
        &self,
        link: LinkId,
        bytes: Vec<u8>,
        committed: Option<oneshot::Sender<()>>,
    ) -> Result<(), Stopped> {
        // Frames are never longer than FRAME_BYTES_MAX, so they always fit.
        let size = u32::try_from(bytes.len()).unwrap_or(ARRIVED_BYTES_MAX);
        let share = Arc::clone(&self.room).acquire_many_owned(size).await.map_err(|_| Stopped)?;
        let room = Room { _share: share, committed };
        self.put(Arrival::Frame { link, bytes, room }).await
    }

    async fn down(&self, link: LinkId) -> Result<(), Stopped> {
        self.put(Arrival::Down { link }).await
    }

    async fn put(&self, arrival: Arrival) -> Result<(), Stopped> {
        self.arrivals.send(arrival).await.map_err(|_| Stopped)
    }
}

/// Frames for one peer that were decided on together. They share datagrams, or one write, where they fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    frames: Vec<(Stream, Vec<u8>)>,
}

impl Answer {
    /// Adds a frame.
    pub fn push(&mut self, stream: Stream, frame: Vec<u8>) {
        self.frames.push((stream, frame));
    }

    fn len(&self) -> usize {
        self.frames.iter().map(|(_, frame)| LENGTH_BYTES + frame.len()).sum()
    }
}

/// Makes the way from the driver to one peer.
#[must_use]
pub fn outlet() -> (Outlet, Answers) {
    let (answers, receiver) = mpsc::channel(ANSWERS_MAX);
    let (farewell, farewells) = watch::channel(None);
    let room = Arc::new(Semaphore::new(ANSWERED_BYTES_MAX as usize));
    (Outlet { answers, hang_up: HangUp(farewell), room }, Answers { queue: receiver, farewells })
}

/// The driver's end of a link. Never waits.
pub struct Outlet {
    answers: mpsc::Sender<(Answer, OwnedSemaphorePermit)>,
    hang_up: HangUp,
    room: Arc<Semaphore>,
}

/// Ends one link, from wherever the need is seen.
#[derive(Clone)]
pub struct HangUp(watch::Sender<Option<Farewell>>);

impl HangUp {
    /// The first reason given is the one the peer hears.
    fn because(&self, why: Farewell) {
        self.0.send_if_modified(|farewell| {
            let first = farewell.is_none();
            farewell.get_or_insert(why);
            first
        });
    }
}

impl Outlet {
    /// Queues frames, or drops the link when the peer does not take them. A link that is already gone takes anything.
    pub fn send(&self, answer: Answer) {
        if self.try_send(answer).is_err() {
            self.hang_up(Farewell::Slow);
        }
    }

    /// Drops the link. The first reason given is the one the peer hears.
    pub fn hang_up(&self, why: Farewell) {
        self.hang_up.because(why);
    }

    fn try_send(&self, answer: Answer) -> Result<(), TooSlow> {
        let size = u32::try_from(answer.len()).map_err(|_| TooSlow)?;
        let room = match Arc::clone(&self.room).try_acquire_many_owned(size) {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => return Err(TooSlow),
            Err(TryAcquireError::Closed) => return Ok(()),
        };
        match self.answers.try_send((answer, room)) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(TooSlow),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

struct TooSlow;

/// The transport's end of an [`Outlet`].
pub struct Answers {
    queue: mpsc::Receiver<(Answer, OwnedSemaphorePermit)>,
    farewells: watch::Receiver<Option<Farewell>>,
}

impl Answers {
    /// The next frames to send; `None` when the driver has let go of the link. Can be dropped while waiting.
    pub async fn next(&mut self) -> Option<(Answer, Room)> {
        let (answer, share) = self.queue.recv().await?;
        Some((answer, Room { _share: share, committed: None }))
    }

    fn farewells(&self) -> watch::Receiver<Option<Farewell>> {
        self.farewells.clone()
    }
}

/// Waits until the hub wants the link to end. Never, once nobody is left who could want it.
async fn asked_to_go(farewells: &mut watch::Receiver<Option<Farewell>>) -> Farewell {
    match farewells.wait_for(Option::is_some).await.map(|why| why.clone()) {
        Ok(Some(why)) => why,
        _ => std::future::pending().await,
    }
}

/// Why the hub ends a link: what the peer is told, and what the metrics count. The codes are part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// The hub is shutting down.
    Stopping,
    /// The same store has connected again.
    Replaced,
    /// The certificate speaks for no store.
    NoIdentity(String),
    /// The peer does not take what it is sent.
    Slow,
    /// A frame claims to be longer than any may be.
    Oversized(String),
    /// The streams are not used as agreed.
    Misused(&'static str),
    /// What the hub's core said.
    Refused(String),
    /// The peer ended the link.
    Gone,
    /// Nothing came from the peer for too long.
    Silent,
    /// Head office has shut the store out, or this certificate of it.
    NotAdmitted(NotAdmitted),
}

impl Farewell {
    /// The application error code on the wire.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Gone => 0,
            Self::Stopping => 1,
            Self::Replaced => 2,
            Self::NoIdentity(_) => 3,
            Self::Slow => 4,
            Self::Oversized(_) => 5,
            Self::Misused(_) => 6,
            Self::Refused(_) => 7,
            Self::Silent => 8,
            Self::NotAdmitted(_) => 9,
        }
    }

    /// The value of the metric's label.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Stopping => "stopping",
            Self::Replaced => "replaced",
            Self::NoIdentity(_) => "no_identity",
            Self::Slow => "slow",
            Self::Oversized(_) => "oversized",
            Self::Misused(_) => "misused",
            Self::Refused(_) => "refused",
            Self::Silent => "silent",
            Self::NotAdmitted(why) => why.name(),
        }
    }

    /// In words, for the peer's log.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::NotAdmitted(why) => why.words(),
            Self::Gone => "",
            Self::Silent => "nothing came for too long",
            Self::Stopping => "the hub is stopping",
            Self::Replaced => "the same store has connected again",
            Self::Slow => "answers were not taken in time",
            Self::NoIdentity(why) | Self::Oversized(why) | Self::Refused(why) => why,
            Self::Misused(why) => why,
        }
    }
}

/// For a task that served one connection.
fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(error = &error as &dyn std::error::Error, "a connection's task panicked; the others go on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_peer_that_takes_nothing_is_dropped_when_its_queue_is_full() {
        let (outlet, answers) = outlet();
        for _ in 0..ANSWERS_MAX {
            outlet.send(Answer::default());
        }
        assert_eq!(*answers.farewells().borrow(), None);
        outlet.send(Answer::default());
        assert_eq!(*answers.farewells().borrow(), Some(Farewell::Slow));
    }

    #[test]
    fn few_large_answers_fill_a_queue_too() {
        let (outlet, answers) = outlet();
        let large = || {
            let mut answer = Answer::default();
            answer.push(Stream::State, vec![0; ANSWERED_BYTES_MAX as usize / 2 - LENGTH_BYTES]);
            answer
        };
        outlet.send(large());
        outlet.send(large());
        assert_eq!(*answers.farewells().borrow(), None);
        outlet.send(large());
        assert_eq!(*answers.farewells().borrow(), Some(Farewell::Slow));
    }

    #[test]
    fn the_first_reason_is_the_one_that_counts() {
        let (outlet, answers) = outlet();
        outlet.hang_up(Farewell::Replaced);
        outlet.hang_up(Farewell::Slow);
        assert_eq!(*answers.farewells().borrow(), Some(Farewell::Replaced));
    }

    #[tokio::test]
    async fn arrived_bytes_hold_further_frames_back() {
        let (inbox, mut arrivals) = inbox();
        let frame = || vec![0; FRAME_BYTES_MAX];
        let fit = ARRIVED_BYTES_MAX as usize / FRAME_BYTES_MAX;
        for _ in 0..fit {
            inbox.frame(LinkId(1), frame(), None).await.unwrap();
        }
        let mut held_back = std::pin::pin!(inbox.frame(LinkId(1), frame(), None));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut held_back).await.is_err());
        drop(arrivals.recv().await);
        held_back.await.unwrap();
    }

    #[tokio::test]
    async fn a_room_that_is_only_dropped_promises_nothing() {
        let (inbox, mut arrivals) = inbox();
        let mut hopes = Vec::new();
        for _ in 0..2 {
            let (committed, hope) = oneshot::channel();
            inbox.frame(LinkId(1), vec![1], Some(committed)).await.unwrap();
            hopes.push(hope);
        }
        let Some(Arrival::Frame { room, .. }) = arrivals.recv().await else { panic!("a frame was due") };
        room.committed();
        drop(arrivals.recv().await);
        assert!(hopes.remove(0).await.is_ok());
        assert!(hopes.remove(0).await.is_err());
    }

    #[test]
    fn each_farewell_has_a_code_of_its_own() {
        let all = [
            Farewell::Gone,
            Farewell::Stopping,
            Farewell::Replaced,
            Farewell::NoIdentity(String::new()),
            Farewell::Slow,
            Farewell::Oversized(String::new()),
            Farewell::Misused(""),
            Farewell::Refused(String::new()),
            Farewell::Silent,
            Farewell::NotAdmitted(NotAdmitted::Revoked),
        ];
        let codes: std::collections::BTreeSet<u32> = all.iter().map(Farewell::code).collect();
        assert_eq!(codes.len(), all.len());
    }
}
