//! A storage that does not take a commit: nothing of that step has happened, and everyone concerned starts again.

use super::headquarters::{answer_of, hung_up, id, info, kinds, marks_of};
use super::*;
use std::sync::atomic::Ordering;

#[test]
fn what_storage_did_not_take_is_acknowledged_to_nobody() {
    let mut hq = Headquarters::open();
    let mut first = Caller::greeted(&mut hq, "S0001", 1);
    let mut second = Caller::greeted(&mut hq, "S0002", 2);
    first.reports(&mut hq, vec![first.stock(MILK, 10, 0, 5)]);
    let before = (hq.cell("S0001", MILK), hq.marks("S0001"));
    hq.hub.take_updates();
    hq.fail_next_commit();
    let (one, two) =
        (first.batch(vec![first.stock(MILK, 10, 3, 5)]), second.batch(vec![second.stock(MILK, 9, 0, 9)]));
    let (ticket, order) = hq.order("S0001", MILK, 2);
    let outputs =
        hq.drain(vec![first.frame(Body::State(one.clone())), second.frame(Body::State(two)), order]);
    assert_eq!(hung_up(&outputs).len(), 2);
    assert!(said(&outputs, first.link).is_empty() && said(&outputs, second.link).is_empty());
    assert_eq!(answer_of(&outputs, ticket), Err(PromiseError::Storage));
    assert_eq!((hq.cell("S0001", MILK), hq.marks("S0001")), before, "the memory is what is on disk");
    assert_eq!(hq.hub.cell(&id("S0002"), MILK), None);
    assert!(hq.hub.take_updates().is_empty());
    assert_eq!(hq.hub.counters().failed_commits, 1);

    first.connect(&mut hq);
    assert_eq!(first.welcome(&mut hq).state_mark, Seq(1), "the hub says where it stands");
    let said = first.say(&mut hq, Body::State(one));
    assert_eq!(marks_of(&said).unwrap().state, Some(Seq(2)));
    assert_eq!((hq.cell("S0001", MILK).on_hand(), hq.cell("S0001", MILK).free()), (units(7), units(5)));
    assert_eq!(hq.promise("S0001", MILK, 2), Ok(()));
}

#[test]
fn a_store_that_had_nothing_to_do_with_it_goes_on() {
    let mut hq = Headquarters::open();
    let mut first = Caller::greeted(&mut hq, "S0001", 1);
    let mut second = Caller::greeted(&mut hq, "S0002", 2);
    hq.fail_next_commit();
    let batch = first.batch(vec![first.stock(MILK, 10, 3, 5)]);
    assert_eq!(hung_up(&hq.drain(vec![first.frame(Body::State(batch))])), [first.link]);
    let said = second.reports(&mut hq, vec![second.stock(MILK, 9, 0, 9)]);
    assert_eq!(kinds(&said), ["marks"]);
}

#[test]
fn an_epoch_that_was_not_written_was_not_granted() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::new(&mut hq, "S0001", 1);
    caller.connect(&mut hq);
    hq.fail_next_commit();
    let outputs = hq.drain(vec![caller.frame(Body::Hello(caller.hello()))]);
    assert!(said(&outputs, caller.link).is_empty());
    assert_eq!((hung_up(&outputs), hq.marks("S0001").0), (vec![caller.link], Epoch(0)));
    caller.connect(&mut hq);
    caller.adopt(&mut hq);
    assert_eq!(caller.epoch, Epoch(1));
}

#[test]
fn a_store_that_can_not_be_read_back_is_gone_until_it_can() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    hq.fail_next_commit();
    hq.faults.loads.store(1, Ordering::Relaxed);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 3, 5)]);
    assert!(
        matches!(hq.promise("S0001", MILK, 1), Err(PromiseError::UnknownStore { .. })),
        "better none than a wrong one"
    );
    hq.tick();
    assert_eq!(hq.cell("S0001", MILK).on_hand(), units(10));
    caller.connect(&mut hq);
    caller.welcome(&mut hq);
    assert_eq!(hq.promise("S0001", MILK, 1), Ok(()));
}

/// The list of stores is read, not written: it is news whatever becomes of the step in which it was read.
#[test]
fn a_new_store_is_announced_although_the_step_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    Sqlite::open(&folder.path().join("hub.db")).unwrap().put_store(&info("S0003")).unwrap();
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    hq.fail_next_commit();
    let batch = caller.batch(vec![caller.stock(MILK, 10, 3, 5)]);
    hq.drain(vec![Input::Tick, caller.frame(Body::State(batch))]);
    let updates = hq.hub.take_updates();
    assert!(updates.contains(&Update::Store(info("S0003"))));
    let figures =
        |update: &&Update| matches!(update, Update::Cell { figures, .. } if figures.on_hand == units(10));
    assert_eq!(updates.iter().filter(figures).count(), 1, "and what was committed before is not lost");
    assert!(
        !updates
            .iter()
            .any(|update| matches!(update, Update::Cell { figures, .. } if figures.on_hand == units(7)))
    );
}

#[test]
fn a_storage_that_fails_for_a_while_costs_time_and_nothing_else() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let (mut failures, mut acked) = (0, Seq(0));
    for sold in 1..=40 {
        if sold % 3 == 0 {
            hq.fail_next_commit();
        }
        let batch = caller.batch(vec![caller.stock(MILK, 100, sold, 0)]);
        let batch = StateBatch { base: acked, ..batch };
        let outputs = hq.drain(vec![caller.frame(Body::State(batch))]);
        match marks_of(&said(&outputs, caller.link)) {
            Some(marks) => acked = marks.state.unwrap(),
            None => {
                failures += 1;
                caller.connect(&mut hq);
                assert_eq!(caller.welcome(&mut hq).state_mark, acked);
            }
        }
    }
    assert_eq!((failures, acked), (13, Seq(40)));
    assert_eq!(hq.cell("S0001", MILK).on_hand(), units(60));
    assert_eq!(hq.hub.counters().failed_commits, 13);
}
