//! The simulation itself: it repeats, it passes on the cores as they are, and it notices when a promise is broken on purpose.

use super::sabotage::Sabotage;
use super::{Options, Outcome, STEPS, run};
use std::ops::Range;

const REGRESSIONS: &str = include_str!("../../regressions/seeds.txt");

fn sabotaged(seed: u64, sabotage: Sabotage) -> Outcome {
    run(seed, Options { steps: STEPS, keep_trace: false, sabotage: Some(sabotage) })
}

/// The promises that were found broken in these seeds, each once.
fn found(seeds: Range<u64>, sabotage: Sabotage) -> Vec<&'static str> {
    let findings = seeds.filter_map(|seed| sabotaged(seed, sabotage).finding);
    let mut promises: Vec<&str> = findings.map(|finding| finding.promise).collect();
    promises.sort_unstable();
    promises.dedup();
    promises
}

#[test]
fn every_promise_holds_in_every_seed() {
    for seed in 1..25 {
        let outcome = run(seed, Options::default());
        assert_eq!(outcome.finding, None, "replay with: cargo xtask sim --seed {seed} --trace trace.txt");
        assert!(outcome.steps > 0 && outcome.virtual_ms > 0);
    }
}

#[test]
fn what_failed_once_holds_now() {
    let lines = REGRESSIONS.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let seeds = lines.map(|line| line.split_whitespace().next().and_then(|seed| seed.parse::<u64>().ok()));
    let seeds: Vec<u64> = seeds.map(|seed| seed.expect("each line begins with a seed")).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        assert_eq!(run(seed, Options::default()).finding, None, "seed {seed}");
    }
}

#[test]
fn a_seed_gives_the_same_history_again_and_another_seed_another() {
    let traced = |seed| run(seed, Options { keep_trace: true, ..Options::default() });
    let (one, again, other) = (traced(7), traced(7), traced(8));
    assert_eq!(one.trace, again.trace);
    assert_eq!(one.trace_hash, again.trace_hash);
    assert_ne!(one.trace_hash, other.trace_hash);
}

#[test]
fn an_agent_that_answers_before_its_commit_is_noticed() {
    assert!(found(1..15, Sabotage::AgentAnswersBeforeCommit).contains(&"P2"));
}

#[test]
fn a_hub_that_acknowledges_before_its_commit_is_noticed() {
    assert!(!found(1..120, Sabotage::HubAcknowledgesBeforeCommit).is_empty());
}

#[test]
fn a_document_that_counts_twice_is_noticed() {
    assert!(found(1..6, Sabotage::NoDedupe).contains(&"P2"));
}

#[test]
fn two_agents_that_write_one_half_are_noticed() {
    assert!(!found(1..120, Sabotage::NoFencing).is_empty());
}

#[test]
fn a_promise_nobody_granted_is_noticed() {
    assert_eq!(found(1..6, Sabotage::PromisesFromNothing), ["P3"]);
}

#[test]
fn an_order_that_is_handed_over_twice_is_noticed() {
    assert!(found(1..15, Sabotage::HandsOverTwice).contains(&"P3"));
}

#[test]
fn a_hub_that_never_hears_what_became_of_orders_is_noticed() {
    assert!(found(1..6, Sabotage::OrdersStay).contains(&"P4"));
}

#[test]
fn a_history_that_never_arrives_is_noticed() {
    assert!(found(1..6, Sabotage::HistoryStops).contains(&"P4"));
}
