//! Real daemons on this machine: one hub and many agents, each a process of its own in a temporary folder, with lines
//! that can be cut. Only processes started here are ever ended, each by its own id.

pub mod binaries;
pub mod daemon;
pub mod hub;
pub mod link;
pub mod metrics;
pub mod proc_stat;
pub mod store;

use crate::rng::Rng;
use anyhow::Result;
use hub::Hub;
use link::Link;
use link::profile::LinkProfile;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Store, StoreSettings, Transport};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Daemons started at the same time: more only makes them wait for the processors.
const STARTS_AT_ONCE: usize = 8;

/// Which fleet to start.
#[derive(Debug, Clone)]
pub struct FleetPlan {
    pub stores: usize,
    /// Stores (by place) whose line is simulated, so that it can be cut, and of which kind those lines are.
    pub linked: Vec<usize>,
    pub profile: LinkProfile,
    /// What the agents speak; where there are fewer than stores, in turn.
    pub transports: Vec<Transport>,
    /// The same seed gives the same lines.
    pub seed: u64,
    /// The agents' pages are open.
    pub has_pages: bool,
    /// Extra text for every agent's and the hub's configuration file.
    pub agent_extra: String,
    pub hub_extra: String,
}

impl FleetPlan {
    #[must_use]
    pub fn of_stores(stores: usize) -> Self {
        Self {
            stores,
            linked: Vec::new(),
            profile: LinkProfile::PERFECT,
            transports: vec![Transport::Quic],
            seed: 1,
            has_pages: false,
            agent_extra: String::new(),
            hub_extra: String::new(),
        }
    }

    fn transport(&self, place: usize) -> Transport {
        self.transports.get(place % self.transports.len().max(1)).copied().unwrap_or_default()
    }
}

/// One hub and its stores, running.
pub struct Fleet {
    folder: PathBuf,
    pub hub: Hub,
    pub stores: Vec<Arc<Store>>,
}

impl Fleet {
    /// Starts the hub, enrols the stores and starts their agents; `said` hears what is being done.
    pub async fn start(folder: &Path, plan: FleetPlan, said: &mut dyn FnMut(&str)) -> Result<Self> {
        let mut hub = enrolled_hub(folder, plan.stores, &plan.hub_extra, said).await?;
        said("starting the hub");
        hub.start().await?;
        said(&format!("starting {} agents", plan.stores));
        let stores = start_stores(folder, &hub, &plan).await?;
        Ok(Self { folder: folder.to_owned(), hub, stores })
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops every daemon, the agents first, and waits for each.
    pub async fn stop(mut self) -> Result<()> {
        let mut stops = JoinSet::new();
        for store in self.stores.drain(..) {
            stops.spawn(async move { store.stop().await });
        }
        while let Some(stopped) = stops.join_next().await {
            stopped??;
        }
        self.hub.stop().await
    }
}

/// A hub that knows its stores; not started yet.
pub async fn enrolled_hub(
    folder: &Path,
    stores: usize,
    extra: &str,
    said: &mut dyn FnMut(&str),
) -> Result<Hub> {
    let hub = Hub::prepare(folder, extra).await?;
    said(&format!("enrolling {stores} stores"));
    enrol(&hub, stores).await?;
    Ok(hub)
}

/// The name of the store at a place: 0 is S0001.
#[must_use]
pub fn store_id(place: usize) -> String {
    format!("S{:04}", place + 1)
}

async fn enrol(hub: &Hub, stores: usize) -> Result<()> {
    // Adding writes to the hub's database, so one after the other; issuing only reads the authority's key.
    for place in 0..stores {
        hub.add_store(place).await?;
    }
    let (limit, mut issues) = (Arc::new(Semaphore::new(STARTS_AT_ONCE)), JoinSet::new());
    for place in 0..stores {
        let (issue, limit) = (hub.issue(place), Arc::clone(&limit));
        issues.spawn(async move {
            let _turn = limit.acquire_owned().await?;
            issue.run().await
        });
    }
    while let Some(issued) = issues.join_next().await {
        issued??;
    }
    Ok(())
}

async fn start_stores(folder: &Path, hub: &Hub, plan: &FleetPlan) -> Result<Vec<Arc<Store>>> {
    let (limit, mut starts) = (Arc::new(Semaphore::new(STARTS_AT_ONCE)), JoinSet::new());
    let (mut stores, mut rng) = (Vec::new(), Rng::seeded(plan.seed));
    for place in 0..plan.stores {
        let line = rng.fork(u64::try_from(place)?);
        let link = if plan.linked.contains(&place) {
            Some(Link::start(hub.ends()?, plan.profile, line).await?)
        } else {
            None
        };
        let transport = plan.transport(place);
        let settings = StoreSettings::new(folder, place, hub, link, transport, &plan.agent_extra)?;
        let settings = settings.with_page(plan.has_pages);
        let store = Arc::new(Store::prepare(settings)?);
        stores.push(Arc::clone(&store));
        let limit = Arc::clone(&limit);
        starts.spawn(async move {
            let _turn = limit.acquire_owned().await?;
            store.start().await
        });
    }
    while let Some(started) = starts.join_next().await {
        started??;
    }
    Ok(stores)
}
