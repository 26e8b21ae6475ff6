//! Rollouts: which release each store is wished, ring after ring. Only the rules: no clock, no disk.
//!
//! Promises: a store is in one ring; no store of a ring is wished a release before those of the ring before it have it and have been well
//! with it for as long as head office asks; a rollout that has halted wishes nothing until head office resumes it; a release that
//! failed in a store is not wished there again until head office says so; a store that is pinned is wished what its pin says.

use sync_protocol::releases::{End, Keeper, Outcome, Source, Wish};
use sync_protocol::{StoreId, UnixMillis};

/// Most stores whose failures are told as the reason of a halt.
const TOLD_MAX: usize = 5;

/// One release on its way to all stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Of its wishes.
    pub number: u64,
    /// For people.
    pub version: String,
    pub sequence: u64,
    pub source: Source,
    pub stage: Stage,
    /// Why it has halted.
    pub why: String,
    /// The last ring that is open, from 0.
    pub ring: u32,
    /// So many failures halt it. Invariant: at least 1.
    pub halt_after: u32,
    /// How long a ring is well with it before the next one is opened, in milliseconds.
    pub soak_ms: i64,
    pub began_at: UnixMillis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Running,
    /// By head office.
    Paused,
    /// By failures.
    Halted,
    /// For ever; another one may begin.
    Stopped,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Running, Stage::Paused, Stage::Halted, Stage::Stopped];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::Stopped => "stopped",
        }
    }
}

/// What is known of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    pub store: StoreId,
    /// From 0; stores that head office has put into none are in the ring behind all.
    pub ring: u32,
    pub pin: Option<Pin>,
    /// The number under which it may try again what has failed.
    pub retry: Option<u64>,
    /// `None`: it has never asked.
    pub seen: Option<Seen>,
}

/// What head office has said of one store alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    Stays,
    Gets { number: u64, sequence: u64, source: Source },
}

/// What a store has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub asked_at: UnixMillis,
    pub keeper: Keeper,
    pub agent: String,
    pub sequence: u64,
    /// Since when it has been heard with these programs, and as well or ill as it is.
    pub since: UnixMillis,
    pub is_well: bool,
    pub outcome: Option<Outcome>,
    /// Head office has gone on in spite of the outcome.
    pub is_forgiven: bool,
}

/// How a store stands with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Done,
    /// It has the release, and its agent is not well.
    Ill,
    Failed,
    /// It does not have it yet.
    Waiting,
    /// It has never asked.
    Silent,
    Pinned,
    /// A package looks after its programs.
    Packaged,
}

impl Standing {
    pub const ALL: [Standing; 7] = [
        Standing::Done,
        Standing::Ill,
        Standing::Failed,
        Standing::Waiting,
        Standing::Silent,
        Standing::Pinned,
        Standing::Packaged,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Ill => "ill",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
            Self::Silent => "silent",
            Self::Pinned => "pinned",
            Self::Packaged => "packaged",
        }
    }
}

impl StoreFacts {
    /// A store of which nothing is known but where it belongs.
    #[must_use]
    pub fn new(store: StoreId, ring: u32) -> StoreFacts {
        StoreFacts { store, ring, pin: None, retry: None, seen: None }
    }

    /// Under which number a wish goes to this store.
    fn number(&self, number: u64) -> u64 {
        self.retry.map_or(number, |retry| retry.max(number))
    }

    /// What failed here, if it was this.
    fn failure(&self, number: u64, sequence: u64) -> Option<&Outcome> {
        let outcome = self.seen.as_ref()?.outcome.as_ref()?;
        let is_this = outcome.number == self.number(number) && outcome.sequence == sequence;
        (is_this && matches!(outcome.end, End::Failed | End::Inconsistent)).then_some(outcome)
    }

    fn lacks(&self, sequence: u64) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.keeper == Keeper::Storectl && seen.sequence < sequence)
    }
}

/// What a store is wished.
#[must_use]
pub fn wish(rollout: Option<&Rollout>, facts: &StoreFacts) -> Option<Wish> {
    let (number, sequence, source) = match (&facts.pin, rollout) {
        (Some(Pin::Stays), _) | (None, None) => return None,
        (Some(Pin::Gets { number, sequence, source }), _) => (*number, *sequence, source),
        (None, Some(rollout)) => {
            if rollout.stage != Stage::Running || facts.ring > rollout.ring {
                return None;
            }
            (rollout.number, rollout.sequence, &rollout.source)
        }
    };
    let is_due = facts.lacks(sequence) && facts.failure(number, sequence).is_none();
    is_due.then(|| Wish { number: facts.number(number), sequence, source: source.clone() })
}

impl Rollout {
    #[must_use]
    pub fn standing(&self, facts: &StoreFacts) -> Standing {
        let Some(seen) = &facts.seen else {
            return if facts.pin.is_some() { Standing::Pinned } else { Standing::Silent };
        };
        match () {
            () if facts.pin.is_some() => Standing::Pinned,
            () if seen.keeper == Keeper::Package => Standing::Packaged,
            // Neither version is well: it may hold the release all the same.
            () if self.is_inconsistent(facts) => Standing::Failed,
            () if seen.sequence >= self.sequence && seen.is_well => Standing::Done,
            () if seen.sequence >= self.sequence => Standing::Ill,
            () if facts.failure(self.number, self.sequence).is_some() => Standing::Failed,
            () => Standing::Waiting,
        }
    }

    fn is_inconsistent(&self, facts: &StoreFacts) -> bool {
        let failure = facts.failure(self.number, self.sequence);
        failure.is_some_and(|outcome| outcome.end == End::Inconsistent)
    }

    /// Takes what follows from what is known: a halt, or the next rings. `rings` is how many head office has named.
    pub fn step(&mut self, stores: &[StoreFacts], rings: u32) {
        if self.stage != Stage::Running {
            return;
        }
        let failed: Vec<&StoreFacts> = stores
            .iter()
            .filter(|facts| self.standing(facts) == Standing::Failed)
            .filter(|facts| facts.seen.as_ref().is_some_and(|seen| !seen.is_forgiven))
            .collect();
        if failed.len() >= self.halt_after as usize {
            self.stage = Stage::Halted;
            self.why = self.told(&failed);
            return;
        }
        while self.ring < rings && self.is_through(stores) {
            self.ring += 1;
        }
    }

    /// Whether every store of the last ring that is open has said for long enough that it is well with the release. One that has fallen
    /// silent since has not.
    fn is_through(&self, stores: &[StoreFacts]) -> bool {
        let of_ring = stores.iter().filter(|facts| facts.ring == self.ring);
        let counted = of_ring.map(|facts| (self.standing(facts), facts));
        let counted: Vec<_> = counted
            .filter(|(standing, _)| !matches!(standing, Standing::Pinned | Standing::Packaged))
            .collect();
        if counted.iter().any(|(standing, _)| matches!(standing, Standing::Waiting | Standing::Ill)) {
            return false;
        }
        let mut done = counted
            .iter()
            .filter(|(standing, _)| *standing == Standing::Done)
            .filter_map(|(_, facts)| facts.seen.as_ref())
            .map(|seen| seen.asked_at.0.saturating_sub(seen.since.0) >= self.soak_ms)
            .peekable();
        // Of those that are silent or have failed nothing can be learned; where nobody is, nothing has to be.
        if done.peek().is_none() { counted.is_empty() } else { done.all(|is_long_enough| is_long_enough) }
    }

    fn told(&self, failed: &[&StoreFacts]) -> String {
        let told = failed.iter().take(TOLD_MAX).filter_map(|facts| {
            let outcome = facts.failure(self.number, self.sequence)?;
            Some(format!("{} {} {}", facts.store, outcome.code.as_str(), outcome.says.as_str()))
        });
        let mut why = told.collect::<Vec<_>>().join("; ");
        if failed.len() > TOLD_MAX {
            why.push_str(&format!("; and {} more", failed.len() - TOLD_MAX));
        }
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use sync_protocol::enrolment::Fact;

    const SOAK: i64 = 1_000;

    fn rollout() -> Rollout {
        Rollout {
            number: 10,
            version: "0.2.0".to_owned(),
            sequence: 7,
            source: "https://releases.example/7".parse().unwrap(),
            stage: Stage::Running,
            why: String::new(),
            ring: 0,
            halt_after: 2,
            soak_ms: SOAK,
            began_at: UnixMillis(0),
        }
    }

    fn seen(sequence: u64, since: i64) -> Seen {
        Seen {
            asked_at: UnixMillis(since),
            keeper: Keeper::Storectl,
            agent: "0.1.0".to_owned(),
            sequence,
            since: UnixMillis(since),
            is_well: true,
            outcome: None,
            is_forgiven: false,
        }
    }

    fn store(number: u32, ring: u32, seen: Option<Seen>) -> StoreFacts {
        StoreFacts { seen, ..StoreFacts::new(format!("S{number:04}").parse().unwrap(), ring) }
    }

    fn heard(facts: &mut StoreFacts, at: i64) {
        facts.seen.as_mut().unwrap().asked_at = UnixMillis(at);
    }

    fn failed(number: u64, sequence: u64) -> Option<Outcome> {
        let (code, says) = (Fact::clipped("E809"), Fact::clipped("it does not run"));
        Some(Outcome { number, sequence, end: End::Failed, code, says })
    }

    #[test]
    fn a_ring_is_opened_when_the_one_before_has_been_well_for_long_enough() {
        let mut rollout = rollout();
        let mut stores = vec![
            store(1, 0, Some(seen(3, 0))),
            store(2, 0, Some(seen(7, 500))),
            store(3, 1, Some(seen(3, 0))),
        ];
        assert!(wish(Some(&rollout), &stores[0]).is_some());
        assert_eq!(wish(Some(&rollout), &stores[1]), None, "it has it");
        assert_eq!(wish(Some(&rollout), &stores[2]), None, "it is not its turn");
        stores.iter_mut().for_each(|facts| heard(facts, 9_000));
        rollout.step(&stores, 1);
        assert_eq!(rollout.ring, 0, "one has not come yet");
        stores[0].seen = Some(seen(7, 2_000));
        heard(&mut stores[0], 2_999);
        rollout.step(&stores, 1);
        assert_eq!(rollout.ring, 0, "it has not been well for long enough, and who is silent since is not");
        heard(&mut stores[0], 9_000);
        stores[0].seen.as_mut().unwrap().is_well = false;
        rollout.step(&stores, 1);
        assert_eq!(rollout.ring, 0, "it is not well");
        stores[0].seen.as_mut().unwrap().is_well = true;
        rollout.step(&stores, 1);
        assert_eq!(rollout.ring, 1);
        assert_eq!(wish(Some(&rollout), &stores[2]).unwrap().sequence, 7);
        rollout.step(&stores, 1);
        assert_eq!(rollout.ring, 1, "there is no ring behind the last");
    }

    #[test]
    fn silence_teaches_nothing_and_an_empty_ring_holds_nobody_up() {
        let mut rollout = rollout();
        let stores = [store(1, 1, None), store(2, 2, Some(seen(3, 0)))];
        rollout.step(&stores, 2);
        assert_eq!(rollout.ring, 1, "nobody is in the first; in the second nobody has been heard");
        let packaged = Seen { keeper: Keeper::Package, ..seen(0, 0) };
        let stores = [store(1, 1, Some(packaged)), store(2, 2, Some(seen(3, 0)))];
        assert_eq!(wish(Some(&rollout), &stores[0]), None);
        rollout.step(&stores, 2);
        assert_eq!(rollout.ring, 2);
    }

    #[test]
    fn failures_halt_it_until_head_office_goes_on_and_are_not_tried_again() {
        let mut rollout = rollout();
        let ill = Seen { outcome: failed(10, 7), ..seen(3, 0) };
        let mut stores = vec![store(1, 0, Some(ill.clone())), store(2, 0, Some(seen(3, 0)))];
        rollout.step(&stores, 0);
        assert_eq!((rollout.stage, wish(Some(&rollout), &stores[0])), (Stage::Running, None));
        stores[1].seen = Some(ill);
        rollout.step(&stores, 0);
        assert_eq!(rollout.stage, Stage::Halted);
        assert_eq!(rollout.why, "S0001 E809 it does not run; S0002 E809 it does not run");
        stores.push(store(3, 0, Some(seen(3, 0))));
        assert_eq!(wish(Some(&rollout), &stores[2]), None);
        // Head office goes on in spite of it.
        rollout.stage = Stage::Running;
        stores.iter_mut().for_each(|facts| facts.seen.as_mut().unwrap().is_forgiven = true);
        rollout.step(&stores, 0);
        assert_eq!(rollout.stage, Stage::Running);
        assert!(wish(Some(&rollout), &stores[2]).is_some() && wish(Some(&rollout), &stores[0]).is_none());
        stores[0].retry = Some(11);
        assert_eq!(wish(Some(&rollout), &stores[0]).unwrap().number, 11);
        stores[0].seen.as_mut().unwrap().outcome = failed(11, 7);
        assert_eq!(wish(Some(&rollout), &stores[0]), None, "it was tried again");
        // What failed under another rollout says nothing about this one.
        stores[1].seen.as_mut().unwrap().outcome = failed(9, 7);
        assert_eq!(rollout.standing(&stores[1]), Standing::Waiting);
    }

    #[test]
    fn a_store_in_which_neither_version_is_well_has_failed_whatever_it_holds() {
        let mut rollout = Rollout { halt_after: 1, ..rollout() };
        for (sequence, is_well) in [(7, true), (7, false), (3, false)] {
            let outcome = failed(10, 7).map(|outcome| Outcome { end: End::Inconsistent, ..outcome });
            let facts = store(1, 0, Some(Seen { outcome, is_well, ..seen(sequence, 0) }));
            assert_eq!(rollout.standing(&facts), Standing::Failed);
            rollout.step(&[facts], 0);
            assert_eq!(rollout.stage, Stage::Halted);
            rollout.stage = Stage::Running;
        }
        // It got the release some other way: what failed before is over.
        let facts = store(1, 0, Some(Seen { outcome: failed(10, 7), ..seen(7, 0) }));
        assert_eq!(rollout.standing(&facts), Standing::Done);
    }

    #[test]
    fn a_pin_counts_more_than_any_rollout() {
        let mut facts = StoreFacts { pin: Some(Pin::Stays), ..store(1, 0, Some(seen(3, 0))) };
        assert_eq!(wish(Some(&rollout()), &facts), None);
        let source: Source = "https://releases.example/5".parse().unwrap();
        facts.pin = Some(Pin::Gets { number: 12, sequence: 5, source });
        for rollout in [None, Some(Rollout { stage: Stage::Halted, ..rollout() })] {
            assert_eq!(wish(rollout.as_ref(), &facts).unwrap().sequence, 5);
        }
        facts.seen.as_mut().unwrap().outcome = failed(12, 5);
        assert_eq!(wish(None, &facts), None);
        facts.retry = Some(13);
        assert_eq!(wish(None, &facts).unwrap().number, 13);
        facts.seen = Some(seen(5, 0));
        assert_eq!(wish(Some(&rollout()), &facts), None);
        assert_eq!(rollout().standing(&facts), Standing::Pinned);
    }

    proptest! {
        /// Stores of three rings ask in any order, and each does what it is wished or fails.
        #[test]
        fn rings_go_one_after_the_other_and_a_halt_is_final(
            acts in prop::collection::vec((0usize..6, prop::bool::weighted(0.1), 0i64..SOAK), 1..200),
        ) {
            let mut rollout = rollout();
            let mut stores: Vec<StoreFacts> =
                (0u32..6).map(|number| store(number, number / 2, Some(seen(3, 0)))).collect();
            let (mut now, mut halted) = (0, false);
            for (at, fails, passed) in acts {
                now += passed;
                heard(&mut stores[at], now);
                rollout.step(&stores, 2);
                halted |= rollout.stage == Stage::Halted;
                let wished = wish(Some(&rollout), &stores[at]);
                prop_assert!(!(halted && wished.is_some()));
                let Some(wished) = wished else { continue };
                let before: BTreeSet<Standing> = stores
                    .iter()
                    .filter(|facts| facts.ring < stores[at].ring)
                    .map(|facts| rollout.standing(facts))
                    .collect();
                prop_assert!(before.is_subset(&[Standing::Done, Standing::Failed].into()), "{:?}", before);
                let done = stores.iter().filter(|facts| facts.ring < stores[at].ring);
                let last = done.filter_map(|facts| facts.seen.as_ref()).filter(|seen| seen.sequence == 7).map(|seen| seen.since.0).max();
                prop_assert!(last.is_none_or(|last| now - last >= SOAK));
                let seen = stores[at].seen.as_mut().unwrap();
                if fails {
                    seen.outcome = failed(wished.number, wished.sequence);
                } else {
                    (seen.sequence, seen.since) = (wished.sequence, UnixMillis(now));
                }
            }
            let failures = stores.iter().filter(|facts| rollout.standing(facts) == Standing::Failed).count();
            rollout.step(&stores, 2);
            prop_assert_eq!(rollout.stage == Stage::Halted, failures >= 2);
        }
    }
}
