//! What a link of either kind holds of the agent: the way into the core, the counters, and who tells it to end.

use crate::inbox::{FLIGHTS_MAX, Flight, Inbox, Work};
use crate::telemetry::{Direction, Metrics};
use std::sync::Arc;
use sync_protocol::frame::Stream;
use tokio::sync::{mpsc, watch};

pub const STOPPING: &str = "the agent is stopping";

/// What whoever dialled wants of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cue {
    Carry,
    /// End in good order, for this reason.
    Leave(String),
    /// As `Leave`, and the process is about to end.
    Stop,
}

#[derive(Debug, Clone)]
pub struct Ends {
    pub inbox: Inbox,
    pub metrics: Arc<Metrics>,
    /// The hub has sent at least one frame: only then is it known to have accepted this store.
    pub heard: watch::Sender<bool>,
    pub cue: watch::Receiver<Cue>,
}

impl Ends {
    /// Tells the core that the link is open. What it wants sent comes out of the channel.
    pub async fn up(&self) -> Option<mpsc::Receiver<Flight>> {
        let (outgoing, flights) = mpsc::channel(FLIGHTS_MAX);
        self.inbox.tell(Work::LinkUp { outgoing }).await.then_some(flights)
    }

    /// Hands a frame to the core; while the core is behind, this waits. False once it has gone.
    pub async fn frame(&self, stream: Stream, bytes: Vec<u8>) -> bool {
        self.heard.send_if_modified(|heard| !std::mem::replace(heard, true));
        self.metrics.frame(Direction::Received, stream, bytes.len());
        self.inbox.tell(Work::Frame(bytes)).await
    }

    /// Waits until the link is to end, and says why.
    pub async fn cued(&self) -> String {
        let mut cue = self.cue.clone();
        match cue.wait_for(|cue| *cue != Cue::Carry).await.as_deref() {
            Ok(Cue::Leave(reason)) => reason.clone(),
            _ => STOPPING.to_owned(),
        }
    }

    pub fn is_stopping(&self) -> bool {
        *self.cue.borrow() == Cue::Stop
    }
}
