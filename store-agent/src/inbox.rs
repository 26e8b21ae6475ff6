//! The one door to the core: everything that happens to the agent enters here, in one bounded channel, in order.
//!
//! An `Inbox` is what sources, API and transport hold; the driver holds the other end. Whoever asks waits for the answer,
//! and gets it only after the commit. When the driver is behind, asking waits for room; after `PATIENCE` it is refused, so that
//! a till hears "send it again" rather than nothing.

pub mod sources;

use crate::agent::pickup::{PickupError, Request};
use crate::agent::{
    Document, ItemEntry, ItemPut, ReadingTaken, RecordError, Recorded, RetryRefused, SourceReading,
    SyncStatus,
};
use crate::health::Storage;
use crate::store::orders::OrderRow;
use std::time::Duration;
use sync_protocol::UnixMillis;
use sync_protocol::frame::Stream;
use sync_protocol::order::lines::ORDER_LINES_MAX;
use sync_protocol::pause::StorePause;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How many inputs may wait for the driver. It takes up to 512 at a time, so this is two goes.
pub const INPUTS_MAX: usize = 1024;
/// How many goes of frames may wait for a link's writer.
pub const FLIGHTS_MAX: usize = 64;
/// How long to wait for room, and how long for an answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub type RecordAnswers = Vec<Result<Recorded, RecordError>>;
pub type PickupAnswer = Result<Box<OrderRow>, PickupError>;
pub type ReadAnswer = Result<ReadingTaken, RecordError>;
pub type PauseAnswer = Result<(), RecordError>;
pub type ItemAnswers = Vec<Result<ItemPut, RecordError>>;

/// One thing for the core to deal with.
#[derive(Debug)]
pub enum Work {
    Record {
        documents: Vec<Document>,
        reply: oneshot::Sender<RecordAnswers>,
    },
    /// What somebody has entered on the store's page.
    Enter {
        document: Box<Document>,
        reply: oneshot::Sender<RecordAnswers>,
    },
    PutItems {
        items: Vec<ItemEntry>,
        reply: oneshot::Sender<ItemAnswers>,
    },
    /// Something is to be done with a pickup order.
    Pickup {
        request: Request,
        reply: oneshot::Sender<PickupAnswer>,
    },
    /// A POS was read.
    Reading {
        reading: SourceReading,
        reply: oneshot::Sender<ReadAnswer>,
    },
    /// A record that was set aside is to be tried once more.
    Retry {
        id: i64,
        reply: oneshot::Sender<Result<(), RetryRefused>>,
    },
    /// The store takes no new pickup orders for a while, or takes them again.
    Pause {
        pause: Option<StorePause>,
        reply: oneshot::Sender<PauseAnswer>,
    },
    /// A link to the hub is open; what is to be sent on it goes into `outgoing`, until `LinkDown`.
    LinkUp {
        outgoing: mpsc::Sender<Flight>,
    },
    LinkDown {
        reason: String,
    },
    Frame(Vec<u8>),
}

impl Work {
    /// How many ledger lines this may write: what a go is measured in.
    #[must_use]
    pub fn lines(&self) -> usize {
        match self {
            Work::Record { documents, .. } => documents.iter().map(|d| d.lines.len()).sum(),
            Work::Enter { document, .. } => document.lines.len(),
            Work::PutItems { items, .. } => items.len(),
            // An order's lines, at most, and what comes back.
            Work::Pickup { .. } => ORDER_LINES_MAX,
            Work::Reading { reading, .. } => reading.documents.len(),
            Work::Pause { .. } => 1,
            Work::Retry { .. } | Work::LinkUp { .. } | Work::LinkDown { .. } | Work::Frame(_) => 0,
        }
    }

    /// A link began or ended. Such work is only ever the first of a go, so that no frame reaches the wrong link.
    #[must_use]
    pub fn changes_link(&self) -> bool {
        matches!(self, Work::LinkUp { .. } | Work::LinkDown { .. })
    }
}

/// What the core wants sent, handed over together so that frames of one go can share a packet.
#[derive(Debug)]
pub enum Flight {
    Frames(Vec<(Stream, Vec<u8>)>),
    HangUp { reason: String },
}

/// What the driver last made known. Once its sender is gone, the core has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulletin {
    pub sync: SyncStatus,
    pub storage: Storage,
}

/// A way to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Quic,
    Mqtt,
}

impl Transport {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Transport::Quic => "quic",
            Transport::Mqtt => "mqtt",
        }
    }
}

/// What the transport last made known, beside the bulletin: the core knows nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crossing {
    /// The way the hub is heard on; `None` while there is none.
    pub transport: Option<Transport>,
    /// Since when it has been so.
    pub since: Option<UnixMillis>,
    /// How often the way has changed since the start, and why it last did.
    pub switches: u64,
    pub last_switch_reason: Option<String>,
}

/// Why there is no answer. What was asked may still happen: ask again, the core knows what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("the agent has more to do than it can keep up with")]
    Busy,
    #[error("the agent did not answer in time; its disk may be stuck")]
    Late,
    #[error("the agent is stopping")]
    Stopping,
}

/// The way in.
#[derive(Debug, Clone)]
pub struct Inbox {
    sender: mpsc::Sender<Work>,
}

impl Inbox {
    #[must_use]
    pub fn new() -> (Inbox, mpsc::Receiver<Work>) {
        let (sender, receiver) = mpsc::channel(INPUTS_MAX);
        (Inbox { sender }, receiver)
    }

    /// One answer per document, in order, once what could be recorded is on disk.
    pub async fn record(&self, documents: Vec<Document>) -> Result<RecordAnswers, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.put(Work::Record { documents, reply }).await?;
        answered(answer).await
    }

    /// The answer to what somebody has entered on the page, once it is on disk.
    pub async fn enter(&self, document: Document) -> Result<Result<Recorded, RecordError>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.put(Work::Enter { document: Box::new(document), reply }).await?;
        answered(answer).await?.pop().ok_or(NoAnswer::Stopping)
    }

    /// What became of a record that was set aside, tried once more.
    pub async fn retry(&self, id: i64) -> Result<Result<(), RetryRefused>, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.put(Work::Retry { id, reply }).await?;
        answered(answer).await
    }

    /// One answer per item, in order, once what could be taken is on disk.
    pub async fn put_items(&self, items: Vec<ItemEntry>) -> Result<ItemAnswers, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.put(Work::PutItems { items, reply }).await?;
        answered(answer).await
    }

    /// How the order is once it has been done, and is on disk.
    pub async fn pickup(&self, request: Request) -> Result<PickupAnswer, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.put(Work::Pickup { request, reply }).await?;
        answered(answer).await
    }

    /// For the thread of a POS source: waits for room and for the answer as long as it takes. A till's patience is short, a POS's
    /// rows keep.
    pub fn read(&self, reading: SourceReading) -> Result<ReadAnswer, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.sender.blocking_send(Work::Reading { reading, reply }).map_err(|_| NoAnswer::Stopping)?;
        answer.blocking_recv().map_err(|_| NoAnswer::Stopping)
    }

    /// As `read`, for a POS that sends: it has a till's patience, and sends again.
    pub async fn deliver(&self, reading: SourceReading) -> Result<ReadAnswer, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.put(Work::Reading { reading, reply }).await?;
        answered(answer).await
    }

    /// Done once it is on disk; the hub hears of it as soon as it can.
    pub async fn pause(&self, pause: Option<StorePause>) -> Result<PauseAnswer, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        self.put(Work::Pause { pause, reply }).await?;
        answered(answer).await
    }

    /// For links: waits for room as long as it takes, which holds the hub back. False once the driver has gone.
    pub async fn tell(&self, work: Work) -> bool {
        self.sender.send(work).await.is_ok()
    }

    /// How many inputs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    async fn put(&self, work: Work) -> Result<(), NoAnswer> {
        match timeout(PATIENCE, self.sender.send(work)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NoAnswer::Stopping),
            Err(_) => Err(NoAnswer::Busy),
        }
    }
}

async fn answered<T>(answer: oneshot::Receiver<T>) -> Result<T, NoAnswer> {
    match timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(NoAnswer::Stopping),
        Err(_) => Err(NoAnswer::Late),
    }
}
