//! What goes wrong during the demo, on purpose and by the seed: lines are cut and mended, agents are killed and started
//! again. Each has its moment, as a share of the whole run.

use crate::clock;
use crate::fleet::store::Store;
use crate::rng::Rng;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// What happens to a store, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Cut(usize),
    Mend(usize),
    Kill(usize),
}

/// All faults of a run, each with its moment between 0 and 1, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub faults: Vec<(f64, Fault)>,
    /// Stores whose line is cut at some time.
    pub cut: Vec<usize>,
}

impl Plan {
    /// Cuts a share of the stores' lines for about half of the time, and spreads the kills over it.
    #[must_use]
    pub fn draw(stores: usize, cut: f64, kills: u32, rng: &mut Rng) -> Self {
        let mut places: Vec<usize> = (0..stores).collect();
        rng.shuffle(&mut places);
        places.truncate(share_of(stores, cut));
        let mut faults = Vec::new();
        for store in &places {
            faults.push((0.10 + 0.15 * rng.unit(), Fault::Cut(*store)));
            faults.push((0.60 + 0.20 * rng.unit(), Fault::Mend(*store)));
        }
        for kill in 0..kills {
            let moment = 0.15 + 0.70 * (f64::from(kill) + rng.unit()) / f64::from(kills);
            faults.push((moment, Fault::Kill(rng.index(stores))));
        }
        faults.sort_by(|one, two| one.0.total_cmp(&two.0));
        Self { faults, cut: places }
    }
}

/// At least one store when any share is asked for.
fn share_of(stores: usize, share: f64) -> usize {
    let mut count = 0;
    let mut reached = 0.0;
    let each = 1.0 / f64::from(u32::try_from(stores).unwrap_or(u32::MAX));
    while reached + 1e-9 < share && count < stores {
        count += 1;
        reached += each;
    }
    count
}

/// Carries out the plan as `progress` (0 to 1) goes on; says what it does.
pub async fn carry_out(
    plan: Plan,
    stores: Vec<Arc<Store>>,
    mut progress: watch::Receiver<f64>,
    events: mpsc::Sender<String>,
    mut rng: Rng,
) -> Result<u32> {
    let mut kills = 0;
    for (moment, fault) in plan.faults {
        progress.wait_for(|progress| *progress >= moment).await.context("the run ended early")?;
        match fault {
            Fault::Cut(place) => {
                stores[place].cut();
                say(&events, format!("line of {} cut", stores[place].id())).await;
            }
            Fault::Mend(place) => {
                stores[place].mend();
                say(&events, format!("line of {} mended", stores[place].id())).await;
            }
            Fault::Kill(place) => {
                kill(&stores[place], &events, &mut rng).await?;
                kills += 1;
            }
        }
    }
    Ok(kills)
}

async fn kill(store: &Store, events: &mpsc::Sender<String>, rng: &mut Rng) -> Result<()> {
    store.kill().await?;
    say(events, format!("agent of {} killed", store.id())).await;
    sleep(Duration::from_millis(rng.between(100, 800))).await;
    let start = clock::now();
    store.start().await.with_context(|| format!("starting {} again after it was killed", store.id()))?;
    say(events, format!("agent of {} up again after {} ms", store.id(), start.elapsed().as_millis())).await;
    Ok(())
}

async fn say(events: &mpsc::Sender<String>, event: String) {
    // Nobody listens any more once the display has gone; the fault happens all the same.
    let _ = events.send(event).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_is_mended_and_every_kill_has_its_moment() {
        let plan = Plan::draw(10, 0.2, 3, &mut Rng::seeded(1));
        assert_eq!(plan.cut.len(), 2);
        assert_eq!(plan.faults.len(), 2 + 2 + 3);
        assert!(plan.faults.is_sorted_by_key(|(moment, _)| *moment));
        assert!(plan.faults.iter().all(|(moment, _)| (0.0..1.0).contains(moment)));
        for place in plan.cut {
            let moment = |fault| plan.faults.iter().find(|(_, other)| *other == fault).unwrap().0;
            assert!(moment(Fault::Cut(place)) < moment(Fault::Mend(place)));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let draw = |seed| Plan::draw(8, 0.5, 4, &mut Rng::seeded(seed));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_share_is_rounded_up_and_none_is_none() {
        assert_eq!([share_of(8, 0.0), share_of(8, 0.2), share_of(8, 0.25), share_of(8, 1.0)], [0, 2, 2, 8]);
        assert_eq!([share_of(1, 0.2), share_of(200, 0.2)], [1, 40]);
    }
}
