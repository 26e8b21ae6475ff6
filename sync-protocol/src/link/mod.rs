//! The conversation between an agent and the hub, as state machines without I/O or clock.
//!
//! [`store`] is the agent's end, [`hub`] the hub's end of one link, [`greeting`] the hub's judgement of a hello, [`sender`]
//! what both ends use to send "everything above what the other side has acknowledged, in order, as batches". All are driven
//! alike: `handle…` with what arrived, `poll_frame` until it gives nothing more, `next_deadline` for when to come back.
//!
//! **Invariant:** nothing here counts as sent for good before the other side's acknowledgement, and nothing is
//! acknowledged before the caller says that it is on disk.

pub mod greeting;
pub mod hub;
pub mod sender;
pub mod store;

/// Times of a link, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long the agent waits for the answer to a hello, or for the next part of a hand-over.
    pub answer_within: u64,
    /// After how long without an acknowledgement a batch is sent again; doubles with each try up to `resend_max`.
    pub resend_after: u64,
    pub resend_max: u64,
    /// How often an agent with nothing else to say sends a heartbeat. The hub calls a store live for a few of these.
    pub heartbeat_every: u64,
    /// After how long without any frame from the hub an agent gives the link up.
    pub silence_max: u64,
    /// How long the hub collects changes of its own halves that nobody waits for.
    pub down_delay: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer_within: 15_000,
            resend_after: 10_000,
            resend_max: 60_000,
            heartbeat_every: 20_000,
            silence_max: 65_000,
            down_delay: 5_000,
        }
    }
}

/// The other side broke the protocol: the link must be dropped, and the fault is the peer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerMisbehaved {
    #[error("peer sent a frame about store `{found}` on the link of `{expected}`")]
    OtherStore { expected: String, found: String },
    #[error("peer sent `{frame}` while the link was {state}")]
    Unexpected { state: &'static str, frame: &'static str },
    #[error("peer acknowledged {found} on stream {stream}, but only {head} was ever sent")]
    AckBeyondHead { stream: &'static str, found: u64, head: u64 },
    #[error("peer's welcome says it holds {found} on stream {stream}, but there is only {head}")]
    WelcomeBeyondHead { stream: &'static str, found: u64, head: u64 },
    #[error("peer sent part {found} of a hand-over; {max} are the most there can be")]
    HandoverTooLong { found: u32, max: u32 },
}

#[cfg(test)]
mod tests;
