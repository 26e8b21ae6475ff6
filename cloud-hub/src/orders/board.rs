//! What is known of each store for routing, beside its stock: its settings and its workload, as last committed.
//!
//! The core's driver writes, whoever serves shoppers reads. A store that stands nowhere on it has default settings.

use super::hours::Hours;
use super::pickup_settings::{PickupSettings, Revised};
use super::routing::{Load, Pickup};
use super::workload::Workload;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use sync_protocol::canary::Canary;
use sync_protocol::pause::StorePause;
use sync_protocol::{StoreId, UnixMillis};

/// One store as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    pub settings: Arc<Revised>,
    /// The store's own, also one that is over.
    pub own_pause: Option<StorePause>,
    pub workload: Workload,
    pub zone: TimeZone,
    /// How far the followed movement of each of its sources has come.
    pub canaries: Vec<Canary>,
}

/// Every store's post. Shared as `Arc<Board>`.
#[derive(Debug, Default)]
pub struct Board {
    posts: RwLock<HashMap<StoreId, Post>>,
}

/// A moment at which the board holds still. Keep it short: the driver waits meanwhile.
pub struct Standings<'a>(RwLockReadGuard<'a, HashMap<StoreId, Post>>);

impl Post {
    #[must_use]
    pub fn settings(&self) -> &PickupSettings {
        &self.settings.settings
    }

    #[must_use]
    pub fn pickup(&self) -> Pickup {
        self.settings().pickup().also(self.own_pause.as_ref())
    }

    #[must_use]
    pub fn hours(&self) -> Arc<Hours> {
        Arc::clone(&self.settings().hours)
    }

    #[must_use]
    pub fn load(&self, now: UnixMillis) -> Load {
        self.settings().load(self.workload.taken(&self.zone, now))
    }
}

impl Board {
    /// Takes in what has been committed.
    pub fn publish(&self, news: impl IntoIterator<Item = (StoreId, Post)>) {
        self.posts.write().unwrap_or_else(PoisonError::into_inner).extend(news);
    }

    #[must_use]
    pub fn read(&self) -> Standings<'_> {
        Standings(self.posts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The store's own pause, while it lasts.
    #[must_use]
    pub fn own_pause_of(&self, store: &StoreId, now: UnixMillis) -> Option<StorePause> {
        let pause = self.read().of(store).and_then(|post| post.own_pause.clone());
        pause.filter(|pause| pause.until > now.0)
    }

    #[must_use]
    pub fn settings_of(&self, store: &StoreId) -> Arc<Revised> {
        self.read().of(store).map(|post| Arc::clone(&post.settings)).unwrap_or_default()
    }
}

impl Standings<'_> {
    #[must_use]
    pub fn of(&self, store: &StoreId) -> Option<&Post> {
        self.0.get(store)
    }

    pub fn posts(&self) -> impl Iterator<Item = &Post> {
        self.0.values()
    }
}

/// A store's time zone; world time where its name means nothing.
#[must_use]
pub fn zone_of(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}
