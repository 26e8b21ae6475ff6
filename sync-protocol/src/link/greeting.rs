//! The hub's judgement of a hello: is this the agent it knows, an older copy of it, a second copy, or a new disk?
//!
//! Within an epoch every start of an agent draws a random `boot` and notes the first `change_seq` it gives out. The hub
//! remembers the chain of boots of the agent it last spoke with and how far that one had come. A caller that is behind, or
//! whose chain does not contain that boot, is another line of history: it gets the next epoch and starts from the hub's copy.

use crate::frame::{BootMark, Hello, VERSION_MAX, VERSION_MIN};
use crate::ids::{Boot, Epoch, Position, Seq};

/// What the hub remembers of a store's agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    pub epoch: Epoch,
    /// The chain of the agent last welcomed; its last boot is the one whose frames are taken.
    pub boots: Vec<BootMark>,
    /// The highest `upto` taken from it in this epoch, with or without a gap before it.
    pub boot_head: Seq,
    /// Set from the moment an epoch is granted until its first hello: the boot it was granted to.
    pub granted_to: Option<Boot>,
    pub state_mark: Seq,
    pub history_mark: Position,
    pub down_head: Seq,
    /// Names this life of the hub's database; a restored one gets a new name.
    pub hub_life: u64,
    /// The life in which the hub last welcomed an agent of this store or granted it an epoch.
    pub heard_life: u64,
}

impl Memory {
    /// The boot whose frames are taken now.
    #[must_use]
    pub fn boot(&self) -> Option<Boot> {
        self.boots.last().map(|mark| mark.boot)
    }
}

/// Why a caller can't go on in its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// It has no epoch, and the hub has never seen this store.
    FirstContact,
    /// It has no epoch, but the hub knows the store: a new disk.
    NewDisk,
    /// It is behind what the hub took from it: a restored backup.
    RolledBack,
    /// The hub last spoke with another copy of it.
    AnotherCopy,
    /// Its epoch is over.
    OldEpoch,
}

impl Fence {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fence::FirstContact => "first_contact",
            Fence::NewDisk => "new_disk",
            Fence::RolledBack => "rolled_back",
            Fence::AnotherCopy => "another_copy",
            Fence::OldEpoch => "old_epoch",
        }
    }
}

/// What the hub does with a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on; `hub_restored` where the caller has proof that the hub has forgotten something.
    Continue { hub_restored: bool },
    /// It lives in a later epoch than the hub remembers: the hub was restored. Nothing of that epoch has been taken yet.
    ContinueLaterEpoch,
    /// It gets the next epoch and a hand-over.
    Grant { epoch: Epoch, fence: Fence },
    /// It was granted this epoch already and has not finished taking over.
    GrantAgain,
    /// No protocol version in common.
    Incompatible,
}

/// Judges a hello sent in `epoch` by `boot`.
#[must_use]
pub fn judge(memory: &Memory, epoch: Epoch, boot: Boot, hello: &Hello) -> Verdict {
    if hello.version_max < VERSION_MIN || hello.version_min > VERSION_MAX {
        return Verdict::Incompatible;
    }
    if epoch < memory.epoch && memory.granted_to == Some(boot) {
        return Verdict::GrantAgain;
    }
    let grant = |fence| Verdict::Grant { epoch: memory.epoch.next(), fence };
    if epoch == Epoch(0) {
        return grant(if memory.epoch == Epoch(0) { Fence::FirstContact } else { Fence::NewDisk });
    }
    if epoch < memory.epoch {
        return grant(Fence::OldEpoch);
    }
    if epoch > memory.epoch {
        // Once the store has been heard in this life of the hub, a later epoch of another life is what was given up with that life.
        let given_up = hello.hub_life != memory.hub_life && memory.heard_life == memory.hub_life;
        let next = Verdict::Grant { epoch: epoch.next(), fence: Fence::OldEpoch };
        return if given_up { next } else { Verdict::ContinueLaterEpoch };
    }
    // A hub that was restored knows less of the caller, never more: what it does know must fit all the same.
    match line_of(memory, boot, hello) {
        Line::Same => Verdict::Continue { hub_restored: hub_was_restored(memory, hello) },
        Line::Behind => grant(Fence::RolledBack),
        Line::Other => grant(Fence::AnotherCopy),
    }
}

/// The caller holds acknowledgements or records of the hub that the hub itself does not remember.
fn hub_was_restored(memory: &Memory, hello: &Hello) -> bool {
    (hello.hub_life != 0 && hello.hub_life != memory.hub_life)
        || hello.state_acked > memory.state_mark
        || hello.history_acked > memory.history_mark
        || hello.down_mark > memory.down_head
}

enum Line {
    Same,
    Behind,
    Other,
}

fn line_of(memory: &Memory, boot: Boot, hello: &Hello) -> Line {
    let Some(known) = memory.boot() else {
        // Nobody has spoken in this epoch yet; only the one it was granted to may.
        let theirs =
            memory.granted_to.is_none_or(|granted| hello.boots.iter().any(|mark| mark.boot == granted));
        return if theirs { Line::Same } else { Line::Other };
    };
    let Some(at) = hello.boots.iter().position(|mark| mark.boot == known) else {
        return Line::Other;
    };
    // What the caller did under that boot ends where its next boot began, or at its heads.
    let (end, last_position) = match hello.boots.get(at + 1) {
        Some(next) => (next.first_seq.0.saturating_sub(1), next.first_position.0.saturating_sub(1)),
        None => (hello.state_head.0, hello.history_head.0),
    };
    let itself = boot == known || hello.boots.last().map(|mark| mark.boot) == Some(boot);
    if memory.boot_head.0 > end || memory.history_mark.0 > last_position {
        Line::Behind
    } else if itself {
        Line::Same
    } else {
        Line::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    fn hello(boots: &[(u64, u64)], state_head: u64) -> Hello {
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            boots: marks(boots),
            state_head: Seq(state_head),
            history_head: Position(state_head),
            state_acked: Seq(0),
            history_acked: Position(0),
            down_mark: Seq(0),
            hub_life: 0,
            clock: UnixMillis(0),
            software: String::new(),
        }
    }

    fn marks(boots: &[(u64, u64)]) -> Vec<BootMark> {
        let mark = |&(boot, first): &(u64, u64)| BootMark {
            boot: Boot(boot),
            first_seq: Seq(first),
            first_position: Position(first),
        };
        boots.iter().map(mark).collect()
    }

    fn memory(epoch: u32, boots: &[(u64, u64)], boot_head: u64) -> Memory {
        Memory {
            epoch: Epoch(epoch),
            boots: marks(boots),
            boot_head: Seq(boot_head),
            state_mark: Seq(boot_head),
            history_mark: Position(boot_head),
            hub_life: 9,
            ..Memory::default()
        }
    }

    const GOES_ON: Verdict = Verdict::Continue { hub_restored: false };

    fn fenced(epoch: u32, fence: Fence) -> Verdict {
        Verdict::Grant { epoch: Epoch(epoch), fence }
    }

    #[test]
    fn a_new_store_gets_the_first_epoch_and_a_new_disk_the_next() {
        let first = judge(&memory(0, &[], 0), Epoch(0), Boot(1), &hello(&[(1, 1)], 5));
        assert_eq!(first, fenced(1, Fence::FirstContact));
        let again = judge(&memory(3, &[(1, 1)], 5), Epoch(0), Boot(2), &hello(&[(2, 1)], 0));
        assert_eq!(again, fenced(4, Fence::NewDisk));
    }

    #[test]
    fn an_agent_that_restarted_goes_on() {
        let memory = memory(1, &[(1, 1)], 50);
        assert_eq!(judge(&memory, Epoch(1), Boot(2), &hello(&[(1, 1), (2, 61)], 70)), GOES_ON);
        assert_eq!(judge(&memory, Epoch(1), Boot(3), &hello(&[(1, 1), (2, 51), (3, 51)], 50)), GOES_ON);
        assert_eq!(judge(&memory, Epoch(1), Boot(1), &hello(&[(1, 1)], 50)), GOES_ON);
    }

    #[test]
    fn a_restored_backup_is_noticed_even_after_it_has_sold_on() {
        let memory = memory(1, &[(1, 1)], 50);
        let restored = hello(&[(1, 1), (2, 31)], 31);
        assert_eq!(judge(&memory, Epoch(1), Boot(2), &restored), fenced(2, Fence::RolledBack));
        let sold_on = hello(&[(1, 1), (2, 31)], 500);
        assert_eq!(judge(&memory, Epoch(1), Boot(2), &sold_on), fenced(2, Fence::RolledBack));
    }

    /// History had overtaken state: by its `change_seq` alone the backup fitted, and the hub took the new line's documents for
    /// those it had.
    #[test]
    fn a_restored_backup_is_noticed_by_its_ledger_alone() {
        let memory = Memory { history_mark: Position(40), ..memory(1, &[(1, 1)], 30) };
        let sold_on = hello(&[(1, 1), (2, 31)], 500);
        assert_eq!(judge(&memory, Epoch(1), Boot(2), &sold_on), fenced(2, Fence::RolledBack));
    }

    #[test]
    fn a_backup_restored_over_the_same_boot_in_memory_is_noticed_by_its_head() {
        let memory = memory(1, &[(1, 1)], 50);
        assert_eq!(judge(&memory, Epoch(1), Boot(1), &hello(&[(1, 1)], 40)), fenced(2, Fence::RolledBack));
    }

    #[test]
    fn the_second_of_two_live_copies_is_fenced() {
        let memory = memory(1, &[(1, 1), (2, 51)], 60);
        let clone = hello(&[(1, 1), (3, 51)], 80);
        assert_eq!(judge(&memory, Epoch(1), Boot(3), &clone), fenced(2, Fence::AnotherCopy));
    }

    #[test]
    fn a_hand_over_cut_short_is_given_again_under_the_same_epoch() {
        let memory = Memory { granted_to: Some(Boot(7)), boots: Vec::new(), ..memory(2, &[], 0) };
        assert_eq!(judge(&memory, Epoch(1), Boot(7), &hello(&[(7, 1)], 5)), Verdict::GrantAgain);
        assert_eq!(judge(&memory, Epoch(1), Boot(8), &hello(&[(8, 1)], 5)), fenced(3, Fence::OldEpoch));
        assert_eq!(judge(&memory, Epoch(2), Boot(7), &hello(&[(7, 1)], 5)), GOES_ON);
        assert_eq!(judge(&memory, Epoch(2), Boot(9), &hello(&[(9, 1)], 5)), fenced(3, Fence::AnotherCopy));
    }

    #[test]
    fn a_hub_that_forgot_what_it_acknowledged_learns_of_it() {
        let memory = memory(1, &[(1, 1)], 50);
        let restored = Verdict::Continue { hub_restored: true };
        let knows_more = Hello { state_acked: Seq(55), ..hello(&[(1, 1)], 60) };
        assert_eq!(judge(&memory, Epoch(1), Boot(1), &knows_more), restored);
        let other_life = Hello { hub_life: 8, ..hello(&[(1, 1)], 60) };
        assert_eq!(judge(&memory, Epoch(1), Boot(1), &other_life), restored);
        let newer_halves = Hello { down_mark: Seq(1), ..hello(&[(1, 1)], 60) };
        assert_eq!(judge(&memory, Epoch(1), Boot(1), &newer_halves), restored);
        let later = judge(&memory, Epoch(2), Boot(1), &hello(&[(1, 1)], 60));
        assert_eq!(later, Verdict::ContinueLaterEpoch);
    }

    /// Both were restored: an agent's backup is noticed although the hub has a new life since. Going on, it would have given
    /// out numbers anew that the hub holds already.
    #[test]
    fn a_restored_backup_is_noticed_by_a_restored_hub() {
        let memory = memory(1, &[(1, 1), (2, 31)], 50);
        let older = Hello { hub_life: 8, ..hello(&[(1, 1), (3, 31)], 40) };
        assert_eq!(judge(&memory, Epoch(1), Boot(3), &older), fenced(2, Fence::AnotherCopy));
        let behind = Hello { hub_life: 8, ..hello(&[(1, 1), (2, 31), (3, 41)], 45) };
        assert_eq!(judge(&memory, Epoch(1), Boot(3), &behind), fenced(2, Fence::RolledBack));
    }

    /// The hub was restored, the store's server was replaced, and then a disk from before the restore came back. Going on in its
    /// later epoch, it would have wiped out what the replacement had reported since.
    #[test]
    fn a_disk_from_a_given_up_life_of_the_hub_starts_over() {
        let restored = Memory { hub_life: 9, ..memory(6, &[(5, 1)], 50) };
        let leftover = Hello { hub_life: 8, ..hello(&[(1, 1)], 60) };
        assert_eq!(judge(&restored, Epoch(8), Boot(1), &leftover), Verdict::ContinueLaterEpoch);
        let heard = Memory { heard_life: 9, ..restored };
        assert_eq!(judge(&heard, Epoch(8), Boot(1), &leftover), fenced(9, Fence::OldEpoch));
    }

    #[test]
    fn versions_without_overlap_are_incompatible() {
        let future =
            Hello { version_min: VERSION_MAX + 1, version_max: VERSION_MAX + 3, ..hello(&[(1, 1)], 0) };
        assert_eq!(judge(&memory(1, &[(1, 1)], 0), Epoch(1), Boot(1), &future), Verdict::Incompatible);
        let overlapping = Hello { version_max: VERSION_MAX + 3, ..hello(&[(1, 1)], 0) };
        assert_eq!(judge(&memory(1, &[(1, 1)], 0), Epoch(1), Boot(1), &overlapping), GOES_ON);
    }
}
