//! How right the online figure is: every item of every store is compared with its shelf once an hour, at half past. Nothing
//! changes between two events of an item, so the samples between them are counted, not taken one by one.

use super::plan::Plan;
use super::tally::{Accuracy, Tally};
use super::{HOUR_MS, UNIT};
use sync_protocol::UnixMillis;

/// The hours of a season, and which of them the store is cut off in.
#[derive(Debug, Clone)]
pub struct Hours {
    first: UnixMillis,
    /// For each hour, how many hours before it are cut; one more entry than hours.
    cut_before: Vec<usize>,
}

/// What can be seen of one item at one moment, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// What the web shop shows.
    pub online: i64,
    /// What the shelf could give to one more order: what is there, less what others have been promised of it.
    pub shelf: i64,
}

impl Hours {
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let first = UnixMillis(plan.start.0 + HOUR_MS / 2);
        let mut at = first;
        let mut cut_before = vec![0];
        let mut cut = 0;
        while at < plan.end {
            cut += usize::from(plan.is_cut(at));
            cut_before.push(cut);
            at = UnixMillis(at.0 + HOUR_MS);
        }
        Self { first, cut_before }
    }

    /// How many samples lie before `now`.
    #[must_use]
    pub fn before(&self, now: UnixMillis) -> usize {
        let passed = (now.0 - self.first.0 + HOUR_MS - 1).div_euclid(HOUR_MS);
        usize::try_from(passed).unwrap_or(0).min(self.cut_before.len() - 1)
    }

    /// Counts the samples `from..to`, in all of which `sight` was seen.
    pub fn count(&self, from: usize, to: usize, sight: Sight, tally: &mut Tally) {
        if from >= to {
            return;
        }
        let all = to - from;
        let cut = self.cut_before[to] - self.cut_before[from];
        sight.add(all, &mut tally.always);
        sight.add(cut, &mut tally.while_cut);
    }
}

impl Sight {
    /// Whole units: nobody orders a third of a tin.
    fn add(self, samples: usize, accuracy: &mut Accuracy) {
        let (online, shelf) = (self.online.div_euclid(UNIT).max(0), self.shelf.div_euclid(UNIT).max(0));
        let samples = u64::try_from(samples).unwrap_or(0);
        accuracy.samples += samples;
        accuracy.says_yes_wrongly += if online > 0 && shelf == 0 { samples } else { 0 };
        accuracy.says_no_wrongly += if online == 0 && shelf > 0 { samples } else { 0 };
        accuracy.units_off += online.abs_diff(shelf) * samples;
    }
}
