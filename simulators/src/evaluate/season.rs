//! A season of sales, ready to be replayed: each store's customers in the order of time, its items numbered from 0.
//!
//! The real sales are those of a panel: every store sells far less than a supermarket does, because only the panel's
//! households are in the file. So there are two seasons: the panel's stores as they stand, and stores of a supermarket's
//! pace, each of which sells what the whole panel bought.

use super::{DAY_MS, UNIT, WEEK_MS};
use crate::scenario::baskets::FileBaskets;
use crate::scenario::survey::Survey;
use crate::scenario::{Basket, BasketKind};
use anyhow::{Result, bail};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use sync_protocol::{Sku, UnixMillis};

/// A line of so many units is fuel, or a voucher's face value: what the panel's file counts in thousandths. Nobody orders
/// those for pickup, so their items are left out.
const BULK_FROM: i64 = 100 * UNIT;
/// Stores below this many lines in the season are left out when the panel's stores are taken as they stand.
pub const LINES_MIN: usize = 1000;

/// What was sold, and in which order.
#[derive(Debug, Clone)]
pub struct Season {
    pub name: &'static str,
    /// Midnight before the first sale.
    pub start: UnixMillis,
    pub days: usize,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    AsRecorded(Vec<StoreSeason>),
    /// Every store sells the same, each beginning a week further on.
    Rotated {
        sales: StoreSeason,
        stores: usize,
    },
}

/// What one store sold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreSeason {
    /// In the order of time.
    pub visits: Vec<Visit>,
    /// Items are numbered from 0 up to this.
    pub items: usize,
}

/// One customer at a till.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    pub at: UnixMillis,
    pub lines: Vec<Line>,
}

/// What a customer wants of one item, in thousandths; below zero it is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub item: usize,
    pub wanted: i64,
}

/// Sales as they were rung up, without what has no place in a web shop.
#[derive(Debug, Clone)]
pub struct Recorded {
    baskets: Vec<Basket>,
    pub left_out: LeftOut,
}

/// Lines that take no part, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    pub unreadable: u64,
    pub of_quantity_zero: usize,
    pub of_bulk_items: usize,
    pub bulk_items: usize,
}

impl Recorded {
    pub fn read(path: &Path) -> Result<Self> {
        let survey = Survey::of(path, None, usize::MAX)?;
        let mut recorded = Self::of(FileBaskets::open(path, &survey)?);
        recorded.left_out.unreadable = survey.bad.count();
        if recorded.baskets.is_empty() {
            bail!("`{}` has no sale of goods by the piece or by weight", path.display());
        }
        Ok(recorded)
    }

    #[must_use]
    pub fn of(baskets: impl Iterator<Item = Basket>) -> Self {
        let mut baskets: Vec<Basket> = baskets.collect();
        let lines = || baskets.iter().flat_map(|basket| &basket.lines);
        let is_bulk = |thousandths: i64| thousandths.abs() >= BULK_FROM;
        let bulk: HashSet<Sku> = lines()
            .filter(|line| is_bulk(line.quantity.thousandths()))
            .map(|line| line.sku.clone())
            .collect();
        let left_out = LeftOut {
            unreadable: 0,
            of_quantity_zero: lines().filter(|line| line.quantity.is_zero()).count(),
            of_bulk_items: lines()
                .filter(|line| bulk.contains(&line.sku) && !line.quantity.is_zero())
                .count(),
            bulk_items: bulk.len(),
        };
        for basket in &mut baskets {
            basket.lines.retain(|line| !line.quantity.is_zero() && !bulk.contains(&line.sku));
        }
        baskets.retain(|basket| !basket.lines.is_empty());
        baskets.sort_by_key(|basket| basket.at);
        Self { baskets, left_out }
    }

    /// The stores as they are, without those that hardly sell.
    #[must_use]
    pub fn as_recorded(&self, name: &'static str, lines_min: usize) -> Season {
        let count = self.baskets.iter().map(|basket| basket.store + 1).max().unwrap_or(0);
        let mut stores = vec![Numbered::default(); count];
        for basket in &self.baskets {
            stores[basket.store].add(basket);
        }
        let stores: Vec<StoreSeason> = stores.into_iter().map(Numbered::done).collect();
        let stores = stores.into_iter().filter(|store| store.lines().count() >= lines_min.max(1)).collect();
        Season { name, start: self.start(), days: self.days(), kind: Kind::AsRecorded(stores) }
    }

    /// `stores` stores, each selling what all stores of the record sold together; each begins a week further on in the
    /// season, so that no two are alike. The season ends with its last whole week.
    #[must_use]
    pub fn rotated(&self, name: &'static str, stores: usize) -> Season {
        let days = self.days() / 7 * 7;
        let end = after_days(self.start(), days);
        let mut sales = Numbered::default();
        self.baskets.iter().filter(|basket| basket.at < end).for_each(|basket| sales.add(basket));
        Season { name, start: self.start(), days, kind: Kind::Rotated { sales: sales.done(), stores } }
    }

    fn start(&self) -> UnixMillis {
        let first = self.baskets.first().map_or(0, |basket| basket.at.0);
        UnixMillis(first.div_euclid(DAY_MS) * DAY_MS)
    }

    fn days(&self) -> usize {
        let last = self.baskets.last().map_or(0, |basket| basket.at.0);
        usize::try_from((last - self.start().0).div_euclid(DAY_MS) + 1).unwrap_or(0)
    }
}

impl Season {
    #[must_use]
    pub fn stores(&self) -> usize {
        match &self.kind {
            Kind::AsRecorded(stores) => stores.len(),
            Kind::Rotated { stores, .. } => *stores,
        }
    }

    #[must_use]
    pub fn store(&self, place: usize) -> Cow<'_, StoreSeason> {
        match &self.kind {
            Kind::AsRecorded(stores) => Cow::Borrowed(&stores[place]),
            Kind::Rotated { sales, .. } => Cow::Owned(sales.rotated(self.start, self.days, place)),
        }
    }

    #[must_use]
    pub fn end(&self) -> UnixMillis {
        after_days(self.start, self.days)
    }

    /// How many lines are rung up in each hour of the day, over all stores and days.
    #[must_use]
    pub fn lines_by_hour(&self) -> [usize; 24] {
        let mut hours = [0; 24];
        let stores = match &self.kind {
            Kind::AsRecorded(stores) => stores.as_slice(),
            Kind::Rotated { sales, .. } => std::slice::from_ref(sales),
        };
        for visit in stores.iter().flat_map(|store| &store.visits) {
            hours[hour_of_day(visit.at)] += visit.lines.len();
        }
        hours
    }
}

impl StoreSeason {
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.visits.iter().flat_map(|visit| &visit.lines)
    }

    /// What is sold in week `weeks` comes first, and what came before it last.
    fn rotated(&self, start: UnixMillis, days: usize, weeks: usize) -> StoreSeason {
        let length = (after_days(start, days).0 - start.0).max(1);
        let ahead = i64::try_from(weeks).unwrap_or(0) * WEEK_MS;
        let moved = |at: UnixMillis| UnixMillis(start.0 + (at.0 - start.0 - ahead).rem_euclid(length));
        let visits =
            self.visits.iter().map(|visit| Visit { at: moved(visit.at), lines: visit.lines.clone() });
        let mut visits: Vec<Visit> = visits.collect();
        visits.sort_by_key(|visit| visit.at);
        StoreSeason { visits, items: self.items }
    }
}

#[must_use]
pub fn after_days(start: UnixMillis, days: usize) -> UnixMillis {
    UnixMillis(start.0 + i64::try_from(days).unwrap_or(0) * DAY_MS)
}

fn hour_of_day(at: UnixMillis) -> usize {
    usize::try_from(at.0.rem_euclid(DAY_MS) / super::HOUR_MS).unwrap_or(0)
}

/// A store's season while its items get their numbers.
#[derive(Debug, Clone, Default)]
struct Numbered<'a> {
    numbers: HashMap<&'a Sku, usize>,
    visits: Vec<Visit>,
}

impl<'a> Numbered<'a> {
    fn add(&mut self, basket: &'a Basket) {
        let sign = if basket.kind == BasketKind::Return { -1 } else { 1 };
        let mut lines = Vec::with_capacity(basket.lines.len());
        for line in &basket.lines {
            let next = self.numbers.len();
            let item = *self.numbers.entry(&line.sku).or_insert(next);
            lines.push(Line { item, wanted: sign * line.quantity.thousandths() });
        }
        self.visits.push(Visit { at: basket.at, lines });
    }

    fn done(self) -> StoreSeason {
        StoreSeason { visits: self.visits, items: self.numbers.len() }
    }
}
