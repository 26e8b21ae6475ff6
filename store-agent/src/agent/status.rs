//! Where the sync stands, for `/v1/sync`, the page and the metrics.

use super::Agent;
use std::sync::Arc;
use sync_protocol::canary::Canary;
use sync_protocol::link::store::LinkState;
use sync_protocol::{Epoch, Position, Seq, StoreId, UnixMillis};

/// What the core counts since its start.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    pub(super) frames_sent: u64,
    pub(super) frames_received: u64,
    pub(super) welcomes: u64,
    pub(super) adoptions: u64,
    pub(super) refusals: u64,
    pub(super) digest_mismatches: u64,
    pub(super) failed_commits: u64,
    pub(super) quarantined: u64,
    pub(super) last_contact: Option<UnixMillis>,
    pub(super) last_accepted: Option<UnixMillis>,
    pub(super) last_link_error: Option<(UnixMillis, String)>,
    pub(super) last_disk_error: Option<(UnixMillis, String)>,
    pub(super) hub_clock_ahead_ms: Option<i64>,
}

/// A picture of the sync at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncStatus {
    pub store: StoreId,
    pub epoch: Epoch,
    pub link: LinkState,
    /// The newest `change_seq`, and up to which one the hub holds everything.
    pub state_head: Seq,
    pub state_acked: Seq,
    /// Up to which change everything is on its way to the hub, or there.
    pub state_sent: Seq,
    /// The newest ledger position of this epoch, and up to which one the hub holds the history.
    pub history_head: Position,
    pub history_acked: Position,
    pub down_mark: Seq,
    /// Records changed and not confirmed by the hub.
    pub records_pending: u64,
    pub items: u64,
    pub last_contact: Option<UnixMillis>,
    /// When the hub last confirmed a change of this store.
    pub last_accepted: Option<UnixMillis>,
    pub last_link_error: Option<(UnixMillis, String)>,
    pub last_disk_error: Option<(UnixMillis, String)>,
    /// How far the hub's clock is ahead of this one; negative when it is behind.
    pub hub_clock_ahead_ms: Option<i64>,
    pub movements_recorded: u64,
    pub frames_sent: u64,
    pub frames_received: u64,
    pub welcomes: u64,
    pub adoptions: u64,
    pub refusals: u64,
    pub digest_mismatches: u64,
    pub failed_commits: u64,
    pub quarantined: u64,
    /// Raised whenever a pickup order changed. Starts anywhere: only a change of it says something.
    pub orders_changed: u64,
    /// How far the followed movement of each source has come.
    pub canaries: Arc<Vec<Canary>>,
}

impl SyncStatus {
    pub(super) fn of(agent: &Agent) -> SyncStatus {
        let (mind, counters) = (&agent.mind, &agent.counters);
        SyncStatus {
            store: mind.store.clone(),
            epoch: mind.epoch,
            link: agent.link.state(),
            state_head: mind.inventory.change_seq,
            state_acked: mind.state_acked,
            state_sent: agent.link.state_sent().max(mind.state_acked),
            history_head: mind.history_head,
            history_acked: mind.history_acked,
            down_mark: mind.down_mark,
            records_pending: mind.inventory.pending_records() as u64,
            items: mind.inventory.items() as u64,
            last_contact: counters.last_contact,
            last_accepted: counters.last_accepted,
            last_link_error: counters.last_link_error.clone(),
            last_disk_error: counters.last_disk_error.clone(),
            hub_clock_ahead_ms: counters.hub_clock_ahead_ms,
            movements_recorded: mind.movements_recorded,
            frames_sent: counters.frames_sent,
            frames_received: counters.frames_received,
            welcomes: counters.welcomes,
            adoptions: counters.adoptions,
            refusals: counters.refusals,
            digest_mismatches: counters.digest_mismatches,
            failed_commits: counters.failed_commits,
            quarantined: counters.quarantined,
            orders_changed: mind.inventory.orders_changed,
            canaries: mind.canaries.shown(),
        }
    }

    /// Whether the hub holds everything this store has.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.link == LinkState::Streaming
            && self.records_pending == 0
            && self.history_acked >= self.history_head
    }
}
