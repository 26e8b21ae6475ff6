//! What stores send: joined, committed, acknowledged, and given to the index, in that order.

use super::headquarters::{OPENS, id, item, kinds, marks_of};
use super::*;

#[test]
fn a_batch_is_joined_committed_and_acknowledged() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let history = caller.history(&["1", "2"]);
    let batch = caller.batch(vec![caller.stock(MILK, 10, 2, 5), caller.stock(SALT, 3, 0, 3)]);
    let said = caller.say(&mut hq, Body::State(StateBatch { history: Some(history), ..batch }));
    assert_eq!(marks_of(&said), Some(Marks { state: Some(Seq(2)), history: Some(Position(2)) }));
    assert_eq!((hq.cell("S0001", MILK).on_hand(), hq.cell("S0001", MILK).free()), (units(8), units(5)));
    assert_eq!(hq.hub.items(&id("S0001")).unwrap(), [item(MILK), item(SALT)]);
    assert_eq!(hq.marks("S0001"), (Epoch(1), Seq(2), Position(2), true));
}

#[test]
fn batches_of_one_step_are_acknowledged_once() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let inputs = (1..=9).map(|sold| {
        let batch = caller.batch(vec![caller.stock(MILK, 10, sold, 5)]);
        caller.frame(Body::State(batch))
    });
    let inputs = inputs.collect();
    let outputs = hq.drain(inputs);
    let said = said(&outputs, caller.link);
    assert_eq!((kinds(&said), marks_of(&said).unwrap().state), (vec!["marks"], Some(Seq(9))));
    assert_eq!(hq.cell("S0001", MILK).on_hand(), units(1));
}

#[test]
fn fresh_numbers_are_joined_over_a_gap_but_the_mark_waits() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let first = caller.batch(vec![caller.stock(MILK, 10, 1, 5)]);
    let second = caller.batch(vec![caller.stock(MILK, 10, 4, 5), caller.stock(SALT, 1, 0, 1)]);
    let said = caller.say(&mut hq, Body::State(second.clone()));
    assert_eq!(marks_of(&said).unwrap().state, Some(Seq(0)));
    assert_eq!(hq.cell("S0001", MILK).on_hand(), units(6));
    let said = caller.say(&mut hq, Body::State(first.clone()));
    assert_eq!(marks_of(&said).unwrap().state, Some(Seq(1)));
    assert_eq!(hq.cell("S0001", MILK).on_hand(), units(6), "older figures take nothing back");
    let said = caller.say(&mut hq, Body::State(second));
    assert_eq!(marks_of(&said).unwrap().state, Some(Seq(3)));
    let said = caller.say(&mut hq, Body::State(first));
    assert_eq!(marks_of(&said).unwrap().state, Some(Seq(3)), "however late it comes again");
}

#[test]
fn history_waits_for_its_turn() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let first = HistoryBatch { items: vec![item(MILK)], ..caller.history(&["1", "2"]) };
    let second = caller.history(&["3"]);
    let said = caller.say(&mut hq, Body::History(second.clone()));
    assert_eq!(marks_of(&said).unwrap().history, Some(Position(0)));
    caller.say(&mut hq, Body::History(first.clone()));
    let said = caller.say(&mut hq, Body::History(second));
    assert_eq!(marks_of(&said).unwrap().history, Some(Position(3)));
    let said = caller.say(&mut hq, Body::History(first));
    assert_eq!(marks_of(&said).unwrap().history, Some(Position(3)));
}

#[test]
fn a_document_about_an_item_nobody_has_named_waits_for_the_state() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let batch = StateBatch { items: vec![item(MILK)], ..caller.batch(vec![caller.stock(MILK, 1, 0, 1)]) };
    let history = caller.history(&["1"]);
    let said = caller.say(&mut hq, Body::History(history.clone()));
    assert_eq!(marks_of(&said).unwrap().history, Some(Position(0)), "it could not be handed over to anyone");
    caller.say(&mut hq, Body::State(batch));
    let said = caller.say(&mut hq, Body::History(history));
    assert_eq!(marks_of(&said).unwrap().history, Some(Position(1)));
}

#[test]
fn history_brings_the_items_it_names_where_state_has_not() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let newer = ItemRecord { name: "Renamed".to_owned(), ..item(MILK) };
    let batch = caller.batch(vec![caller.stock(MILK, 1, 0, 1)]);
    caller.say(&mut hq, Body::State(StateBatch { items: vec![newer.clone()], ..batch }));
    let history = HistoryBatch { items: vec![item(MILK), item(SALT)], ..caller.history(&["1"]) };
    caller.say(&mut hq, Body::History(history));
    assert_eq!(hq.hub.items(&id("S0001")).unwrap(), [newer, item(SALT)]);
}

#[test]
fn figures_go_to_the_index_after_the_commit_and_in_order() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let mut other = Caller::greeted(&mut hq, "S0002", 2);
    hq.hub.take_updates();
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5), caller.stock(SALT, 2, 0, 2)]);
    other.reports(&mut hq, vec![other.stock(MILK, 7, 0, 7)]);
    assert_eq!(
        hq.figures(),
        [
            (id("S0001"), MILK, units(5), 1),
            (id("S0001"), SALT, units(2), 2),
            (id("S0002"), MILK, units(7), 3)
        ]
    );
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    assert_eq!(hq.figures(), [], "what did not change is no news");
    hq.fail_next_commit();
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 9, 5)]);
    assert!(hq.hub.take_updates().is_empty(), "what did not happen is none either");
}

#[test]
fn an_index_starts_from_everything_that_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    drop(hq);
    let mut hq = Headquarters::open_at(folder.path());
    assert!(hq.hub.take_updates().is_empty());
    let mut updates = Vec::new();
    hq.hub.each_initial_update(|of_store| updates.push(of_store)).unwrap();
    assert_eq!(updates.len(), 2, "store by store");
    assert!(matches!(&updates[0][0], Update::Store(info) if info.id == id("S0001")));
    assert!(matches!(
        &updates[0][1],
        Update::Contact { at: OPENS, as_of: OPENS, link_up: false, trusted: true, .. }
    ));
    assert!(matches!(&updates[0][2], Update::Item { item: MILK, .. }));
    assert!(
        matches!(&updates[0][3], Update::Cell { item: MILK, feed: 1, figures, .. } if figures.free == units(5))
    );
    assert_eq!(updates[1].len(), 2);
    let mut caller = Caller { boots: caller.boots.clone(), ..caller };
    caller.connect(&mut hq);
    caller.welcome(&mut hq);
    caller.reports(&mut hq, vec![caller.stock(MILK, 11, 0, 6)]);
    assert_eq!(hq.figures(), [(id("S0001"), MILK, units(6), 2)], "the feed's numbers go on");
}

#[test]
fn numbers_are_as_of_when_the_store_had_told_all_it_knew() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let as_of = |hq: &mut Headquarters| {
        let last = hq.hub.take_updates().into_iter().rev().find_map(|update| match update {
            Update::Contact { as_of, .. } => Some(as_of),
            _ => None,
        });
        last.unwrap()
    };
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    let told = hq.now.wall;
    assert_eq!(as_of(&mut hq), told);
    hq.pass(60_000);
    let batch = caller.batch(vec![caller.stock(MILK, 10, 1, 5)]);
    let more = StateBatch { head: Seq(batch.head.0 + 10), ..batch };
    caller.say(&mut hq, Body::State(more));
    assert_eq!(as_of(&mut hq), told, "there is more to come");
    caller.head = Seq(caller.head.0 + 10);
    let rest = StateBatch { base: Seq(2), upto: caller.head, head: caller.head, ..StateBatch::default() };
    caller.say(&mut hq, Body::State(rest));
    assert_eq!(as_of(&mut hq), hq.now.wall);
    hq.pass(20_000);
    caller.say(&mut hq, Body::Heartbeat(caller.heartbeat()));
    assert_eq!(as_of(&mut hq), hq.now.wall, "a heartbeat says that nothing has changed since");
}

#[test]
fn a_digest_that_differs_is_looked_into_once_a_minute() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    let wrong = Heartbeat { up_root: 12_345, ..caller.heartbeat() };
    assert_eq!(kinds(&caller.say(&mut hq, Body::Heartbeat(wrong))), ["pulse", "buckets"]);
    assert_eq!(kinds(&caller.say(&mut hq, Body::Heartbeat(wrong))), ["pulse"]);
    hq.pass(60_000);
    assert_eq!(kinds(&caller.say(&mut hq, Body::Heartbeat(wrong))), ["pulse", "buckets"]);
    assert_eq!(hq.hub.counters().digest_mismatches, 2);
    hq.pass(60_000);
    let behind = Heartbeat { state_head: caller.head.next(), ..wrong };
    assert_eq!(
        kinds(&caller.say(&mut hq, Body::Heartbeat(behind))),
        ["pulse"],
        "heads that differ prove nothing"
    );
}

#[test]
fn a_digest_that_agrees_is_proof() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 10, 0, 5), caller.stock(SALT, 4, 1, 3)];
    let mut digest = sync_protocol::digest::Digest::default();
    stock.iter().for_each(|stock| digest.add(stock));
    [item(MILK), item(SALT)].iter().for_each(|item| digest.add(item));
    let cursor = CursorRecord { source: "pos-db".parse().unwrap(), value: vec![1] };
    digest.add(&cursor);
    let batch = caller.batch(stock);
    caller.say(&mut hq, Body::State(StateBatch { cursors: vec![cursor], ..batch }));
    let heartbeat = Heartbeat { up_root: digest.root(), ..caller.heartbeat() };
    assert_eq!(kinds(&caller.say(&mut hq, Body::Heartbeat(heartbeat))), ["pulse"]);
}

#[test]
fn halves_that_a_store_asks_for_are_sent_again() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5), caller.stock(SALT, 10, 0, 5)]);
    hq.promise("S0001", MILK, 1).unwrap();
    hq.promise("S0001", SALT, 2).unwrap();
    let head = hq.hub.down_head(&caller.store).unwrap();
    caller.say(&mut hq, Body::Ack(Ack { stream: Stream::State, upto: head.0 }));
    let bucket = u8::try_from(MILK.0).unwrap();
    let said =
        caller.say(&mut hq, Body::Resend(Resend { direction: Direction::Down, head, buckets: vec![bucket] }));
    let Some(Body::Down(batch)) = said.first().map(|frame| &frame.body) else { panic!("{said:?}") };
    assert_eq!((batch.base, batch.upto, batch.halves.len()), (head, head.next(), 1));
    let stale = Resend { direction: Direction::Down, head, buckets: vec![bucket] };
    assert_eq!(kinds(&caller.say(&mut hq, Body::Resend(stale))), [""; 0], "the head has moved on since");
}
