//! Everything that happens to one store and is no policy's doing, drawn before any policy is tried: so all policies meet the
//! same customers, shoppers, deliveries and outages.

use super::Model;
use super::outages::{Outage, outages};
use super::season::{Season, StoreSeason};
use super::shoppers::{self, Order};
use super::stock::{self, Supply};
use crate::rng::Rng;
use std::borrow::Cow;
use sync_protocol::UnixMillis;

/// A season with its outages; hands out each store's plan.
#[derive(Debug)]
pub struct Plans<'a> {
    season: &'a Season,
    model: Model,
    seed: u64,
    outages: Vec<Vec<Outage>>,
}

/// One store's season as it will come.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    pub start: UnixMillis,
    pub end: UnixMillis,
    pub sales: Cow<'a, StoreSeason>,
    pub orders: Vec<Order>,
    pub supply: Supply,
    pub outages: &'a [Outage],
    pub model: Model,
}

impl<'a> Plans<'a> {
    #[must_use]
    pub fn new(season: &'a Season, model: Model, seed: u64) -> Self {
        let outages = outages(season, &model, &mut Rng::seeded(seed).fork(0));
        Self { season, model, seed, outages }
    }

    #[must_use]
    pub fn outage_count(&self) -> usize {
        self.outages.iter().map(Vec::len).sum()
    }

    #[must_use]
    pub fn store(&self, place: usize) -> Plan<'_> {
        let mut rng = Rng::seeded(self.seed).fork(1 + u64::try_from(place).unwrap_or(0));
        let (start, end) = (self.season.start, self.season.end());
        let sales = self.season.store(place);
        let orders = shoppers::orders(&sales, start, &self.model, &mut rng);
        let supply = stock::supply(&sales, &orders, self.season, &self.model, &mut rng);
        Plan { start, end, sales, orders, supply, outages: &self.outages[place], model: self.model }
    }
}

impl Plan<'_> {
    #[must_use]
    pub fn is_cut(&self, at: UnixMillis) -> bool {
        let next = self.outages.partition_point(|outage| outage.to <= at);
        self.outages.get(next).is_some_and(|outage| outage.from <= at)
    }

    /// The same store with a web shop that nobody visits: what its walk-in customers lose without any web.
    #[must_use]
    pub fn without_web(mut self) -> Self {
        self.orders.clear();
        self
    }
}
