//! What the web sees of an item and why: pure, from the cell and from what is known of the hub. The API and the page say it in their
//! own words.

use crate::agent::SyncStatus;
use crate::store::reader::ItemView;
use sync_protocol::link::store::LinkState;
use sync_protocol::{Epoch, Quantity, UnixMillis};

/// Every step from the books to the number that the web sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reasons {
    /// What the hub may promise, by what this store knows; `None` where the hub knows nothing of this store.
    pub sees: Option<Quantity>,
    /// The item's last change here has not been confirmed by the hub yet.
    pub pending: bool,
    pub on_hand: Quantity,
    /// What of it is kept for walk-in customers.
    pub kept: Quantity,
    /// Set aside for the web, promised to orders, and what can still be promised.
    pub claim: Quantity,
    pub open: Quantity,
    pub free: Quantity,
    /// Asked back, and not given back by the hub yet.
    pub asked_back: Quantity,
    /// More was sold here than was left beside the web's part.
    pub short: Quantity,
    pub hub: Hub,
}

/// What is known of the hub, as far as it matters for one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hub {
    /// The agent's settings name none.
    None,
    /// It has never welcomed this agent.
    NeverReached,
    Known {
        link_up: bool,
        /// Seconds since its last frame, if there was one since the agent started.
        silent_s: Option<u64>,
        /// It holds the item's last change.
        current: bool,
    },
}

impl Hub {
    #[must_use]
    pub fn of(has_hub: bool, sync: &SyncStatus, view: &ItemView, now: UnixMillis) -> Hub {
        match (has_hub, sync.epoch) {
            (false, _) => Hub::None,
            (true, Epoch(0)) => Hub::NeverReached,
            (true, _) => Hub::Known {
                link_up: sync.link == LinkState::Streaming,
                silent_s: sync.last_contact.map(|at| now.since(at) / 1000),
                current: view.changed <= sync.state_acked,
            },
        }
    }
}

/// `reserve` is what the store means to keep for its walk-in customers.
#[must_use]
pub fn reasons(view: &ItemView, reserve: Quantity, hub: Hub) -> Reasons {
    let cell = &view.cell;
    let (on_hand, free) = (cell.on_hand(), cell.free().max(Quantity::ZERO));
    let recalled = cell.store.recalled.min(cell.store.granted);
    let asked_back = i64::try_from(recalled.saturating_sub(cell.hub.returned)).unwrap_or(0);
    Reasons {
        sees: match hub {
            Hub::None | Hub::NeverReached => None,
            Hub::Known { .. } => Some(free),
        },
        pending: !matches!(hub, Hub::Known { current: true, .. }),
        on_hand,
        kept: reserve.min(on_hand).max(Quantity::ZERO),
        claim: cell.claim(),
        open: cell.open(),
        free,
        asked_back: Quantity::from_thousandths(asked_back),
        short: cell.shortfall(),
        hub,
    }
}
