//! What the storefront API stands on: the state it was given, and what is worked out from it once.

use super::reply::cache_control;
use super::{Settings, StorefrontState};
use crate::availability::{Cursor, Freshness, Index, Reading, Standing};
use axum::body::Bytes;
use axum::http::HeaderValue;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::UnixMillis;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Shared by all requests.
pub(super) struct Site {
    pub(super) state: StorefrontState,
    pub(super) cache_control: HeaderValue,
    pub(super) openapi: Bytes,
    /// Where the change feed stands; wakes those who follow it.
    published: watch::Receiver<Cursor>,
    streams: Arc<Semaphore>,
    snapshots: Arc<Semaphore>,
}

impl Site {
    pub(super) fn new(state: StorefrontState, openapi: Bytes) -> Site {
        let (told, published) = watch::channel(state.index.read().cursor());
        state.index.on_publish(move |cursor| {
            // Most of what is published is that a store was heard from; nobody has to wake up for that.
            told.send_if_modified(|known| std::mem::replace(known, cursor) != cursor);
        });
        Site {
            cache_control: cache_control(&state.settings.freshness),
            openapi,
            published,
            streams: Arc::new(Semaphore::new(state.settings.streams_max)),
            snapshots: Arc::new(Semaphore::new(state.settings.snapshots_max)),
            state,
        }
    }

    pub(super) fn index(&self) -> &Index {
        &self.state.index
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.state.settings
    }

    pub(super) fn freshness(&self) -> &Freshness {
        &self.state.settings.freshness
    }

    pub(super) fn wall(&self) -> UnixMillis {
        self.state.clock.wall()
    }

    pub(super) fn running(&self) -> Duration {
        self.state.clock.running()
    }

    pub(super) fn store_count(&self) -> usize {
        self.index().read().directory().len()
    }

    /// How every store stands now, by index.
    pub(super) fn standings(&self, reading: &Reading<'_>) -> Vec<Standing> {
        let now = self.wall();
        let stores = reading.directory().all();
        stores.map(|store| self.freshness().standing(reading.contact(store), now)).collect()
    }

    /// Changes each time something was published.
    pub(super) fn published(&self) -> watch::Receiver<Cursor> {
        self.published.clone()
    }

    /// Turns true when the hub stops.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.state.closing.clone()
    }

    /// A place among the open event streams, if there is one left.
    pub(super) fn stream_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    pub(super) fn streams_open(&self) -> usize {
        self.settings().streams_max.saturating_sub(self.streams.available_permits())
    }

    /// A place among the snapshots under way, if there is one left.
    pub(super) fn snapshot_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.snapshots).try_acquire_owned().ok()
    }
}
