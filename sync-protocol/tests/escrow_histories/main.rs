//! Random histories of one cell between one store and one hub: messages lost, doubled and reordered, servers restarted,
//! restored from old backups, replaced, and replaced ones still running in the back room. A checker looks at everything
//! after every step, and at the end the line is mended and both sides must come to the same numbers.
//!
//! Tills come in two kinds. *Careful* ones sell only the walk-in part: then whatever is promised lies on the shelf. *Plain*
//! ones sell whatever a customer brings, at every copy of the store's disk there is: then promises may turn out short, but
//! the hub still promises no more than was granted, and nothing is counted twice or lost.
//!
//! The checker is checked too: each rule of the design is broken on purpose, and the histories must notice.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod chance;
mod parties;
mod world;

use chance::Seen;
use parties::Rules;
use world::{Finding, Tills, World};

#[test]
fn careful_tills_find_every_promise_on_the_shelf() {
    let seen = histories(0..10_000, Tills::Careful);
    seen.all_of(&RARE);
}

#[test]
fn plain_tills_can_break_no_rule_between_store_and_hub() {
    let seen = histories(0..10_000, Tills::Plain);
    seen.all_of(&RARE);
    seen.all_of(&["the books went below zero", "a copy of the disk took over"]);
}

#[test]
fn the_same_seed_tells_the_same_history() {
    for tills in [Tills::Careful, Tills::Plain] {
        let told = |seed| {
            let mut world = World::new(seed, tills, Rules::AsDesigned);
            world.run().unwrap();
            format!("{} {:?}", world.describe(), world.seen)
        };
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
    }
}

/// What must have happened somewhere in the histories, or they prove less than they seem to.
const RARE: [&str; 17] = [
    "a message was lost",
    "a message was delivered twice",
    "a frame was overtaken by a later one",
    "a restarted agent went on in its epoch",
    "an old disk was noticed",
    "an old disk that had missed nothing went on",
    "a lost disk was noticed",
    "a welcome was lost",
    "a late frame of an old incarnation was dropped",
    "a frame of a copied or replaced disk was dropped",
    "a replaced server wrote until its successor came",
    "the POS was read again from the hub's cursor",
    "a handover was confirmed again",
    "an order was handed over before its promise arrived",
    "an order was refused and released",
    "a recall waited for a promise",
    "a grant was held down by the claim",
];

/// One rule broken at a time; `expected` lists what the checker may say, any of which means that it noticed.
fn is_noticed(broken: Rules, expected: &[Finding]) {
    let found = (0..3000).find_map(|seed| World::new(seed, Tills::Careful, broken).run().err());
    let violation = found.unwrap_or_else(|| panic!("{broken:?} went unnoticed in 3000 histories"));
    assert!(expected.contains(&violation.finding), "{broken:?} showed as {violation:?}");
}

#[test]
fn grants_that_ignore_the_claim_are_noticed() {
    is_noticed(Rules::GrantsIgnoreTheClaim, &[Finding::ClaimNotOnShelf]);
}

#[test]
fn promises_beyond_what_is_free_are_noticed() {
    is_noticed(Rules::PromisesIgnoreFree, &[Finding::MorePromisedThanGranted, Finding::PromiseNotOnShelf]);
}

#[test]
fn returns_that_ignore_promises_are_noticed() {
    is_noticed(Rules::ReturnsIgnorePromises, &[Finding::MorePromisedThanGranted]);
}

#[test]
fn releases_without_the_store_are_noticed() {
    is_noticed(
        Rules::ReleasesWithoutTheStore,
        &[Finding::MoreHandedOverThanPromised, Finding::PromiseNotOnShelf],
    );
}

#[test]
fn handovers_forgotten_with_a_disk_are_noticed() {
    is_noticed(Rules::HandoversAreForgotten, &[Finding::ClaimNotOnShelf]);
}

#[test]
fn epochs_joined_field_by_field_are_noticed() {
    is_noticed(Rules::EpochsAreMixed, &[Finding::BooksDisagreeWithPos, Finding::HandoversMiscounted]);
}

#[test]
fn a_fenced_frame_that_still_moves_the_cursor_is_noticed() {
    is_noticed(Rules::FencedFramesMoveTheCursor, &[Finding::BooksDisagreeWithPos]);
}

#[test]
fn a_fenced_frame_that_still_refuses_orders_is_noticed() {
    is_noticed(
        Rules::FencedFramesRefuseOrders,
        &[Finding::MoreHandedOverThanPromised, Finding::PromiseNotOnShelf],
    );
}

#[test]
fn a_hub_that_takes_frames_of_any_boot_is_noticed() {
    is_noticed(Rules::BootsAreIgnored, &[Finding::BooksDisagreeWithPos, Finding::HandoversMiscounted]);
}

#[test]
fn a_rolled_back_disk_that_keeps_its_epoch_is_noticed() {
    is_noticed(Rules::OldDisksKeepTheirEpoch, &[Finding::BooksDisagreeWithPos, Finding::HandoversMiscounted]);
}

#[test]
fn an_incarnation_that_starts_from_its_own_disk_is_noticed() {
    let findings =
        [Finding::MorePromisedThanGranted, Finding::MoreHandedOverThanPromised, Finding::HandoversMiscounted];
    is_noticed(Rules::IncarnationsKeepTheirHalf, &findings);
}

#[test]
fn an_incarnation_that_reads_the_pos_from_the_start_is_noticed() {
    is_noticed(Rules::PosIsReadFromTheStart, &[Finding::BooksDisagreeWithPos]);
}

#[test]
fn a_hub_that_keeps_the_last_frame_instead_of_joining_is_noticed() {
    is_noticed(Rules::LastFrameWins, &[Finding::MorePromisedThanGranted, Finding::HandoversMiscounted]);
}

#[test]
fn recalls_that_are_never_honoured_are_noticed() {
    is_noticed(Rules::RecallsAreNotHonoured, &[Finding::RightsLeaked]);
}

fn histories(seeds: std::ops::Range<u64>, tills: Tills) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let mut world = World::new(seed, tills, Rules::AsDesigned);
        if let Err(violation) = world.run() {
            panic!("{tills:?}, seed {seed}: {violation:#?}");
        }
        seen.add(world.seen);
    }
    seen
}
