//! Where the demo's sales come from, and what the stores carry: one view of both kinds.

use super::options::{Options, Speed};
use crate::rng::Rng;
use crate::scenario::Basket;
use crate::scenario::baskets::FileBaskets;
use crate::scenario::generator::{self, Generator, Trade};
use crate::scenario::sales_file::BadLines;
use crate::scenario::survey::Survey;
use anyhow::{Result, bail};
use std::path::PathBuf;
use sync_protocol::{Sku, UnixMillis};

/// The sales of one run.
pub enum Sales {
    File { path: PathBuf, survey: Survey },
    MadeUp { trade: Trade, seed: u64 },
}

impl Sales {
    pub fn prepare(options: &Options) -> Result<Self> {
        if let Some(path) = &options.sales {
            let survey = Survey::of(path, options.stores, Options::STORES)?;
            return Ok(Self::File { path: path.clone(), survey });
        }
        let stores = options.stores.unwrap_or(Options::STORES);
        let trade = Trade { stores, items: options.items, ..Trade::default() };
        Ok(Self::MadeUp { trade, seed: options.seed })
    }

    #[must_use]
    pub fn stores(&self) -> usize {
        match self {
            Self::File { survey, .. } => survey.stores.len(),
            Self::MadeUp { trade, .. } => trade.stores,
        }
    }

    pub fn baskets(&self) -> Result<Box<dyn Iterator<Item = Basket> + Send>> {
        Ok(match self {
            Self::File { path, survey } => Box::new(FileBaskets::open(path, survey)?),
            Self::MadeUp { trade, seed } => Box::new(Generator::new(trade.clone(), Rng::seeded(*seed))),
        })
    }

    /// What a store sells: the items of its opening stock.
    #[must_use]
    pub fn items(&self, store: usize) -> Vec<Sku> {
        match self {
            Self::File { survey, .. } => survey.stores[store].skus.iter().cloned().collect(),
            Self::MadeUp { trade, .. } => (0..trade.items).map(generator::sku).collect(),
        }
    }

    /// Lines that will come, where that is known.
    #[must_use]
    pub fn lines(&self) -> Option<u64> {
        match self {
            Self::File { survey, .. } => Some(survey.lines()),
            Self::MadeUp { .. } => None,
        }
    }

    #[must_use]
    pub fn start(&self) -> UnixMillis {
        match self {
            Self::File { survey, .. } => survey.first,
            Self::MadeUp { trade, .. } => trade.start,
        }
    }

    #[must_use]
    pub fn bad_lines(&self) -> Option<&BadLines> {
        match self {
            Self::File { survey, .. } => Some(&survey.bad),
            Self::MadeUp { .. } => None,
        }
    }

    /// The speed asked for. Without a wish a file is fitted into the time there is, and made-up sales come 60 times as fast as in
    /// life.
    pub fn speed(&self, options: &Options) -> Result<Speed> {
        if let Some(speed) = options.speed {
            return Ok(speed);
        }
        match self {
            Self::MadeUp { .. } => Ok(Speed::Times(60.0)),
            Self::File { survey, .. } => {
                let sold_for = seconds(survey.last.since(survey.first));
                let sell_for = options.sell_for.0.as_secs_f64();
                if sold_for <= 0.0 {
                    bail!(
                        "all sales of the file have the same time: say how fast they come with --speed max"
                    );
                }
                // A little faster, so that the last ones are in when the time is over.
                Ok(Speed::Times(sold_for / sell_for * 1.02))
            }
        }
    }

    /// One line that says what is sold.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File { path, survey } => format!(
                "{} lines of the {} busiest of {} stores in {}, {} to {}",
                survey.lines(),
                survey.stores.len(),
                survey.stores_in_file,
                path.file_name().unwrap_or_default().to_string_lossy(),
                day(survey.first),
                day(survey.last),
            ),
            Self::MadeUp { trade, seed } => {
                format!(
                    "made-up sales of {} items in each of {} stores (seed {seed})",
                    trade.items, trade.stores
                )
            }
        }
    }
}

fn day(at: UnixMillis) -> String {
    let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}
