//! Promises to orders: never more than the store has granted, and none from a store that may know of others.

use super::headquarters::{answer_of, kinds};
use super::*;
use sync_protocol::stock::EscrowError;

fn with_milk(granted: u64) -> (Headquarters, Caller) {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 20, 0, granted)]);
    hq.hub.take_updates();
    (hq, caller)
}

fn down_of(said: &[Frame]) -> &DownBatch {
    let downs = said.iter().find_map(|frame| match &frame.body {
        Body::Down(batch) => Some(batch),
        _ => None,
    });
    downs.expect("a down batch")
}

#[test]
fn a_promise_is_durable_told_the_store_at_once_and_shown() {
    let (mut hq, caller) = with_milk(10);
    let (ticket, input) = hq.order("S0001", MILK, 4);
    let outputs = hq.drain(vec![input]);
    assert_eq!(answer_of(&outputs, ticket), Ok(()));
    let said = said(&outputs, caller.link);
    let half = HubHalf { promised: 4_000, ..HubHalf::default() };
    assert_eq!(down_of(&said).halves, [HubStock { item: MILK, half }]);
    assert_eq!(hq.cell("S0001", MILK).free(), units(6));
    assert_eq!(hq.figures().iter().map(|(.., free, _)| *free).collect::<Vec<_>>(), [units(6)]);
}

#[test]
fn more_than_is_free_is_refused_and_changes_nothing() {
    let (mut hq, _) = with_milk(10);
    hq.promise("S0001", MILK, 4).unwrap();
    let before = hq.cell("S0001", MILK);
    let not_free = EscrowError::NotFree { asked: units(7), free: units(6) };
    assert_eq!(hq.promise("S0001", MILK, 7), Err(PromiseError::Escrow(not_free)));
    for pieces in [0, -1] {
        let error = EscrowError::NotPositive { asked: units(pieces) };
        assert_eq!(hq.promise("S0001", MILK, pieces), Err(PromiseError::Escrow(error)));
    }
    assert_eq!(hq.cell("S0001", MILK), before);
}

#[test]
fn shoppers_who_press_the_button_at_once_do_not_share_a_piece() {
    let (mut hq, _) = with_milk(10);
    let orders: Vec<(Ticket, Input)> = (0..50).map(|_| hq.order("S0001", MILK, 3)).collect();
    let (tickets, inputs): (Vec<Ticket>, Vec<Input>) = orders.into_iter().unzip();
    let outputs = hq.drain(inputs);
    let made = tickets.iter().filter(|ticket| answer_of(&outputs, **ticket).is_ok()).count();
    assert_eq!((made, hq.cell("S0001", MILK).free()), (3, units(1)));
}

#[test]
fn nothing_is_promised_of_what_nobody_knows() {
    let (mut hq, _) = with_milk(10);
    let unknown = hq.promise("S0099", MILK, 1).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no store `S0099`");
    for item in [SALT, ItemNo(0), ItemNo(u32::MAX)] {
        let not_free = EscrowError::NotFree { asked: units(1), free: units(0) };
        assert_eq!(hq.promise("S0001", item, 1), Err(PromiseError::Escrow(not_free)));
        assert!(hq.release("S0001", item, 1).is_err());
    }
    assert_eq!(hq.hub.cells(&"S0001".parse().unwrap()).count(), 1, "and asking leaves no trace");
}

#[test]
fn a_promise_that_is_given_up_is_free_again() {
    let (mut hq, _) = with_milk(10);
    hq.promise("S0001", MILK, 10).unwrap();
    assert!(hq.promise("S0001", MILK, 1).is_err());
    hq.release("S0001", MILK, 4).unwrap();
    assert_eq!(hq.cell("S0001", MILK).free(), units(4));
    let not_open = EscrowError::NotOpen { asked: units(7), open: units(6) };
    assert_eq!(hq.release("S0001", MILK, 7), Err(PromiseError::Escrow(not_open)));
}

#[test]
fn what_a_store_recalls_is_given_back_as_far_as_it_is_not_promised() {
    let (mut hq, mut caller) = with_milk(10);
    hq.promise("S0001", MILK, 7).unwrap();
    let mut recalling = caller.stock(MILK, 20, 15, 10);
    recalling.half.recalled = 6_000;
    let said = caller.reports(&mut hq, vec![recalling]);
    assert_eq!(kinds(&said), ["marks"], "nobody waits for it");
    assert_eq!((hq.cell("S0001", MILK).hub.returned, hq.cell("S0001", MILK).free()), (3_000, units(0)));
    hq.pass(5_000);
    let outputs = hq.tick();
    let said = super::said(&outputs, caller.link);
    assert_eq!(down_of(&said).halves[0].half.returned, 3_000);
    hq.release("S0001", MILK, 2).unwrap();
    assert_eq!(hq.cell("S0001", MILK).hub.returned, 5_000, "what is given up goes to those who asked for it");
}

#[test]
fn down_batches_are_sent_until_they_are_acknowledged() {
    let (mut hq, caller) = with_milk(10);
    hq.promise("S0001", MILK, 1).unwrap();
    let timing = Timing::default();
    hq.pass(timing.resend_after);
    assert!(hq.hub.next_deadline().unwrap() <= hq.now.ticks);
    let outputs = hq.tick();
    let head = hq.hub.down_head(&caller.store).unwrap();
    assert_eq!(down_of(&said(&outputs, caller.link)).upto, head);
    assert!(caller.say(&mut hq, Body::Ack(Ack { stream: Stream::State, upto: head.0 })).is_empty());
    hq.pass(10 * timing.resend_after);
    assert_eq!(hq.tick(), []);
}

// A restored hub.

#[test]
fn a_restored_hub_promises_nothing_until_the_store_has_been_heard() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 20, 0, 10)]);
    hq.promise("S0001", MILK, 1).unwrap();
    drop(hq);
    let mut hq = Headquarters::open_restored(folder.path(), 6);
    let refused = hq.promise("S0001", MILK, 1);
    assert!(matches!(refused, Err(PromiseError::NotTrusted { .. })), "{refused:?}");
    assert!(matches!(hq.release("S0001", MILK, 1), Err(PromiseError::NotTrusted { .. })));
    // It remembers promises that this copy of the database does not.
    caller.down_mark = Seq(9);
    caller.connect(&mut hq);
    let welcome = caller.welcome(&mut hq);
    assert!(welcome.wants_offer && welcome.hub_life == 6);
    assert!(welcome.down_head >= Seq(9), "numbers the store has seen are not given out again");
    let offer = |part: u32, last: bool, item: ItemNo, promised: u64| {
        let half = HubHalf { promised, ..HubHalf::default() };
        Body::Offer(Offer { part, last, halves: vec![HubStock { item, half }], ..Offer::default() })
    };
    caller.say(&mut hq, offer(0, false, MILK, 8_000));
    assert!(
        matches!(hq.promise("S0001", MILK, 1), Err(PromiseError::NotTrusted { .. })),
        "not before the last part"
    );
    caller.say(&mut hq, offer(1, true, SALT, 0));
    assert_eq!(hq.cell("S0001", MILK).free(), units(2));
    assert!(hq.promise("S0001", MILK, 3).is_err());
    assert_eq!(hq.promise("S0001", MILK, 2), Ok(()));
    drop(hq);
    let mut hq = Headquarters::open_at(folder.path());
    assert!(hq.marks("S0001").3, "and it stays heard");
    assert!(hq.promise("S0001", MILK, 1).is_err());
}

#[test]
fn an_agent_that_remembers_more_than_the_hub_proves_that_the_hub_was_restored() {
    let mut hq = Headquarters::open();
    let mut other = Caller::greeted(&mut hq, "S0002", 2);
    other.reports(&mut hq, vec![other.stock(MILK, 20, 0, 10)]);
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 20, 0, 10)]);
    let life = caller.hub_life;
    let mut remembers = Caller { head: Seq(90), state_acked: Seq(80), ..caller.clone() };
    remembers.connect(&mut hq);
    let welcome = remembers.welcome(&mut hq);
    assert!(welcome.wants_offer);
    assert_eq!(hq.hub.counters().restores_noticed, 1);
    assert!(matches!(hq.promise("S0001", MILK, 1), Err(PromiseError::NotTrusted { .. })));
    assert!(
        matches!(hq.promise("S0002", MILK, 1), Err(PromiseError::NotTrusted { .. })),
        "nor from any other store"
    );
    assert_eq!(life, 5);
}

/// What the store had recalled may be what the forgotten promises stand for.
#[test]
fn a_restored_hub_gives_nothing_back_until_the_store_has_been_heard() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 20, 0, 10)]);
    drop(hq);
    let mut hq = Headquarters::open_restored(folder.path(), 6);
    caller.connect(&mut hq);
    caller.welcome(&mut hq);
    let mut recalling = caller.stock(MILK, 20, 5, 10);
    recalling.half.recalled = 10_000;
    caller.reports(&mut hq, vec![recalling]);
    assert_eq!(hq.cell("S0001", MILK).hub.returned, 0);
    let half = HubHalf { promised: 8_000, ..HubHalf::default() };
    let halves = vec![HubStock { item: MILK, half }];
    caller.say(&mut hq, Body::Offer(Offer { last: true, halves, ..Offer::default() }));
    let cell = hq.cell("S0001", MILK);
    assert_eq!((cell.hub.returned, cell.free(), cell.open()), (2_000, units(0), units(8)));
}

#[test]
fn an_offer_that_could_not_be_read_whole_earns_no_trust() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 20, 0, 10)]);
    drop(hq);
    let mut hq = Headquarters::open_restored(folder.path(), 6);
    caller.connect(&mut hq);
    caller.welcome(&mut hq);
    let offer = Offer { last: true, ..Offer::default() };
    let frame = Frame {
        store: caller.store.clone(),
        epoch: caller.epoch,
        boot: caller.boot(),
        body: Body::Offer(offer),
    };
    let mut bytes = frame::encode(&frame);
    bytes.extend([5, 2, 1, 0]);
    hq.drain(vec![Input::Frame { link: caller.link, bytes }]);
    assert!(!hq.marks("S0001").3);
    assert_eq!(hq.hub.quarantined().unwrap().0, 1);
}
