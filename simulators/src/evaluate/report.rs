//! What an evaluation came to, as JSON for machines; the counts are those the tables and the picture are made of.

use super::Model;
use super::compare::{Outcome, Policy, compare};
use super::outages::peak;
use super::plan::Plans;
use super::season::{LeftOut, Season};
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where the sales come from.
    pub sales: String,
    pub left_out: LeftOut,
    pub seed: u64,
    pub model: Model,
    pub seasons: Vec<SeasonReport>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SeasonReport {
    pub name: &'static str,
    pub stores: usize,
    pub days: usize,
    pub lines: usize,
    /// The hour of the day (UTC) at which lines are cut.
    pub cut_from_hour: usize,
    /// Stores cut, each day counted for itself.
    pub outages: usize,
    pub outcomes: Vec<Outcome>,
}

impl SeasonReport {
    #[must_use]
    pub fn of(season: &Season, model: Model, seed: u64, policies: &[Policy]) -> Self {
        Self {
            name: season.name,
            stores: season.stores(),
            days: season.days,
            lines: (0..season.stores()).map(|place| season.store(place).lines().count()).sum(),
            cut_from_hour: peak(&season.lines_by_hour(), model.cut_hours),
            outages: Plans::new(season, model, seed).outage_count(),
            outcomes: compare(season, model, seed, policies),
        }
    }

    /// What must hold whatever the policy. Says what does not.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let fault = |outcome: &Outcome| {
            let (lost, over) = (outcome.tally.goods_unaccounted(), outcome.tally.promised_over_granted);
            let named = format!("{}, {} {}", self.name, outcome.family, outcome.setting);
            let what = match (lost, over) {
                (0, 0) => return None,
                (0, over) => format!("{over} thousandths promised that were never granted"),
                (lost, _) => format!("{lost} thousandths are not accounted for"),
            };
            Some(format!("{named}: {what}"))
        };
        self.outcomes.iter().filter_map(fault).collect()
    }
}

impl Report {
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("writing the figures as JSON")?;
        write(path, &(text + "\n")).with_context(|| format!("writing the report `{}`", path.display()))
    }
}

/// Into a folder that is made when it is not there.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, text)?)
}
