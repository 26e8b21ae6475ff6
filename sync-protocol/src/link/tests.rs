//! Both ends of a link on a virtual clock, over a line that cuts, loses, doubles and reorders.

use super::*;
use crate::frame::{
    Ack, Body, Buckets, Direction, DownBatch, Frame, Handover, Heartbeat, Hello, HistoryBatch, Marks, Pulse,
    Refusal, Refused, Resend, StateBatch, Stream, Welcome,
};
use crate::ids::{Boot, Epoch, ItemNo, Position, Seq};
use crate::record::HubStock;
use crate::stock::HubHalf;
use crate::time::{Ticks, UnixMillis};
use pair::{BATCH, MILK, Pair, SALT};
use store::{LinkState, StoreEvent};

mod ends;
mod pair;

/// What a line may do to frames, from the worst weather down.
const WEATHERS: [pair::Weather; 6] = [
    pair::Weather::Clear,
    pair::Weather::Doubles,
    pair::Weather::Reorders,
    pair::Weather::LosesOneIn(3),
    pair::Weather::LosesOneIn(2),
    pair::Weather::LosesAcks,
];

// Getting everything across.

#[test]
fn a_sale_made_offline_reaches_the_hub_once() {
    let mut pair = Pair::connected();
    pair.cut();
    pair.store.sell(MILK, 3);
    pair.line.weather = pair::Weather::Doubles;
    pair.mend();
    pair.drive();
    assert_eq!(pair.hub.sold(MILK), 3);
    assert_eq!(pair.hub.documents(), 1);
}

#[test]
fn fifty_sales_of_one_item_travel_as_one_record_and_fifty_documents() {
    let mut pair = Pair::connected();
    pair.cut();
    (0..50).for_each(|_| pair.store.sell(MILK, 1));
    pair.mend();
    pair.drive();
    assert_eq!((pair.hub.sold(MILK), pair.hub.documents()), (50, 50));
    assert_eq!(pair.line.sent("state"), 1);
}

#[test]
fn everything_arrives_in_any_weather() {
    for weather in WEATHERS {
        let mut pair = Pair::connected();
        pair.line.weather = weather;
        pair.store.sell_many(40 * BATCH);
        pair.promise(MILK, 2);
        pair.drive();
        assert_eq!(pair.hub.stock, pair.store.stock(), "{weather:?}");
        assert_eq!(pair.hub.documents(), pair.store.ledger.len(), "{weather:?}");
        assert_eq!(pair.store.promised(MILK), 2, "{weather:?}");
    }
}

#[test]
fn a_link_cut_in_mid_batch_goes_on_where_the_hub_stands() {
    let mut pair = Pair::connected();
    pair.store.sell_many(40 * BATCH);
    pair.drive_for(2 * pair.line.delay);
    let (before, head) = (pair.hub.memory.state_mark, pair.store.state_head());
    assert!(before > Seq(0) && before < head, "the cut falls into the middle");
    pair.cut();
    pair.line.forget_counts();
    pair.mend();
    pair.drive();
    assert_eq!(pair.hub.stock, pair.store.stock());
    let due = usize::try_from(head.0 - before.0).unwrap().div_ceil(BATCH);
    assert_eq!(pair.line.sent("state"), due, "nothing that had arrived was sent again");
}

#[test]
fn a_link_that_is_cut_again_and_again_still_gets_there() {
    let mut pair = Pair::connected();
    for round in 0..30 {
        pair.store.sell_many(3 * BATCH);
        pair.drive_for(round * 7 % (3 * pair.line.delay));
        pair.cut();
        pair.mend();
    }
    pair.drive();
    assert_eq!(pair.hub.stock, pair.store.stock());
    assert_eq!(pair.hub.documents(), pair.store.ledger.len());
}

#[test]
fn an_agent_that_restarts_in_mid_batch_goes_on() {
    let mut pair = Pair::connected();
    pair.store.sell_many(20 * BATCH);
    pair.drive_for(2 * pair.line.delay);
    pair.restart_store(Boot(2));
    pair.store.sell(MILK, 1);
    pair.drive();
    assert_eq!(pair.hub.stock, pair.store.stock());
    assert_eq!(pair.hub.documents(), pair.store.ledger.len());
    assert_eq!(pair.store.epoch, Epoch(1), "it went on in its epoch");
}

// Acknowledgements.

#[test]
fn what_is_not_acknowledged_is_sent_again_ever_more_slowly() {
    let mut pair = Pair::connected();
    pair.line.weather = pair::Weather::LosesAcks;
    pair.line.bear_lost_acks = usize::MAX;
    pair.store.sell(MILK, 1);
    pair.drive_for(0);
    let timing = pair.timing;
    for wait in [timing.resend_after, 2 * timing.resend_after, 4 * timing.resend_after] {
        pair.line.forget_counts();
        pair.drive_for(wait - 1);
        assert_eq!(pair.line.sent("state"), 0, "not within {wait} ms");
        pair.drive_for(1);
        assert_eq!(pair.line.sent("state"), 1, "after {wait} ms");
    }
    for _ in 0..10 {
        pair.drive_for(timing.resend_max);
    }
    pair.line.forget_counts();
    pair.drive_for(10 * timing.resend_max);
    assert!((9..=11).contains(&pair.line.sent("state")), "the wait has an upper end");
    assert_eq!(pair.hub.sold(MILK), 1, "however often it came");
}

#[test]
fn an_acknowledgement_beyond_the_head_is_the_hubs_fault() {
    let marks = [
        ("state", Marks { state: Some(Seq(2)), history: Some(Position(1)) }),
        ("history", Marks { state: Some(Seq(1)), history: Some(Position(2)) }),
    ];
    for (stream, marks) in marks {
        let mut pair = Pair::connected();
        pair.store.sell(MILK, 1);
        let misbehaved = pair.tell_store(Body::Marks(marks)).unwrap_err();
        assert_eq!(misbehaved, PeerMisbehaved::AckBeyondHead { stream, found: 2, head: 1 });
    }
}

#[test]
fn an_acknowledgement_of_what_the_hub_never_sent_is_ignored() {
    let mut pair = Pair::connected();
    pair.promise(MILK, 1);
    pair.drive();
    let head = pair.hub.down_head();
    assert_eq!(pair.hub.link.acknowledged(Seq(head.0 + 5), head, pair.now), None);
    assert_eq!(pair.hub.link.down_acked(), head);
}

/// The history of the incarnation before is acknowledged on a stream of its own, so it may come after the welcome.
#[test]
fn an_acknowledgement_meant_for_an_earlier_incarnation_is_ignored() {
    let mut pair = Pair::connected();
    pair.store.sell_many(10);
    let late = pair.addressed(Body::Marks(Marks { state: None, history: Some(Position(7)) }));
    pair.hub.grant_next_epoch();
    pair.cut();
    pair.mend();
    pair.drive_to_streaming();
    assert_eq!(pair.store.epoch, Epoch(2));
    assert_eq!(pair.give_store(late), Ok(None));
}

#[test]
fn so_many_batches_are_on_the_way_and_no_more() {
    let mut pair = Pair::connected();
    pair.line.weather = pair::Weather::LosesAcks;
    pair.line.bear_lost_acks = usize::MAX;
    pair.store.sell_many(100 * BATCH);
    pair.line.forget_counts();
    pair.drive_for(pair.timing.resend_after - 1);
    assert_eq!((pair.line.sent("state"), pair.line.sent("history")), (sender::WINDOW, sender::WINDOW));
}

#[test]
fn state_goes_first_and_history_beside_it() {
    let mut pair = Pair::connected();
    (0..3 * BATCH).for_each(|_| pair.store.sell(MILK, 1));
    (0..90).for_each(|_| pair.store.note_document());
    pair.store.sell_many(2 * BATCH);
    let kinds = pair.store_says();
    assert_eq!(kinds[..3], ["state", "state", "history"]);
    assert!(kinds[2..].iter().all(|kind| *kind == "history"));
}

#[test]
fn a_basket_rides_along_with_the_figures_it_moved() {
    let mut pair = Pair::connected();
    pair.store.sell(MILK, 1);
    pair.drive();
    assert_eq!((pair.line.sent("state"), pair.line.sent("history"), pair.line.sent("marks")), (1, 0, 1));
    assert_eq!((pair.hub.sold(MILK), pair.hub.documents()), (1, 1));
}

/// The streams overtake each other, and history that comes before its turn is thrown away.
#[test]
fn history_keeps_to_one_stream_while_any_is_on_its_way() {
    let mut pair = Pair::connected();
    pair.store.sell(MILK, 1);
    assert_eq!(pair.store_says(), ["state"]);
    pair.store.note_document();
    assert_eq!(
        pair.store_says(),
        [""; 0],
        "there is no state to ride on, and the first basket has not been acknowledged"
    );
    pair.tell_store(Body::Marks(Marks { state: Some(Seq(1)), history: Some(Position(1)) })).unwrap();
    assert_eq!(pair.store_says(), ["history"]);
    pair.store.sell(MILK, 1);
    assert_eq!(
        pair.store_says(),
        ["state", "history"],
        "not on the state's stream while the other is under way"
    );
}

// Hello.

#[test]
fn nothing_is_sent_before_the_hello_and_nothing_but_the_hello_before_the_welcome() {
    let mut pair = Pair::apart();
    pair.store.sell(MILK, 1);
    assert_eq!(pair.store_says(), [""; 0]);
    pair.open();
    assert_eq!(pair.store_says(), ["hello"]);
    pair.store.link.applied(Seq(0));
    pair.store.link.ask_again(Resend { direction: Direction::Down, head: Seq(0), buckets: vec![1] });
    pair.cut();
    pair.open();
    assert_eq!(pair.store_says(), ["hello"], "what was to be said on the old link is stale");
    pair.now = pair.now.plus(pair.timing.answer_within - 1);
    assert_eq!(pair.store_says(), [""; 0]);
}

#[test]
fn a_hello_that_is_not_answered_gives_the_link_up() {
    let mut pair = Pair::apart();
    pair.line.weather = pair::Weather::LosesOneIn(1);
    pair.mend();
    assert_eq!(pair.store.link.next_deadline(), Some(pair.now.plus(pair.timing.answer_within)));
    pair.drive_for(pair.timing.answer_within - 1);
    assert_eq!(pair.gave_up, None);
    pair.drive_for(1);
    assert_eq!(pair.gave_up, Some("the hub did not answer the hello"));
}

#[test]
fn several_refusals_are_answered_by_one_hello() {
    let mut pair = Pair::connected();
    pair.line.forget_counts();
    let refused = || Body::Refused(Refused { why: Refusal::SayHello, detail: String::new() });
    assert!(matches!(pair.tell_store(refused()), Ok(Some(StoreEvent::Refused(_)))));
    for _ in 0..5 {
        assert_eq!(pair.tell_store(refused()), Ok(None));
    }
    pair.drive_to_streaming();
    assert_eq!(pair.line.sent("hello"), 1);
}

#[test]
fn a_hub_that_forgot_the_agent_is_told_who_it_is() {
    let mut pair = Pair::connected();
    pair.hub.memory.boots.clear();
    pair.hub.memory.granted_to = Some(Boot(1));
    pair.line.forget_counts();
    pair.store.sell_many(5 * BATCH);
    pair.drive();
    assert_eq!(pair.hub.stock, pair.store.stock());
    assert_eq!(pair.line.sent("hello"), 1, "however many frames were refused");
}

#[test]
fn what_there_is_no_arguing_about_ends_the_link() {
    for why in [Refusal::UnknownStore, Refusal::WrongStore, Refusal::Version] {
        let mut pair = Pair::connected();
        let refused = Refused { why, detail: String::new() };
        assert_eq!(pair.tell_store(Body::Refused(refused.clone())), Ok(Some(StoreEvent::Refused(refused))));
        assert_eq!(pair.store.link.state(), LinkState::Down);
        assert_eq!(pair.store_says(), [""; 0]);
    }
    for why in [Refusal::Unavailable, Refusal::Unreadable] {
        let mut pair = Pair::connected();
        pair.tell_store(Body::Refused(Refused { why, detail: String::new() })).unwrap();
        assert_eq!(pair.store.link.state(), LinkState::Streaming);
    }
}

#[test]
fn a_welcome_that_comes_twice_or_late_changes_nothing() {
    let mut pair = Pair::connected();
    pair.store.sell_many(3 * BATCH);
    pair.store_says();
    let welcome = pair.addressed(Body::Welcome(pair.hub.welcome(false)));
    assert_eq!(pair.give_store(welcome), Ok(None));
    assert_eq!(pair.store_says(), [""; 0], "nothing is sent again");
}

#[test]
fn a_welcome_beyond_the_head_is_the_hubs_fault() {
    let mut pair = Pair::apart();
    pair.open();
    pair.store_says();
    let welcome = Welcome { history_mark: Position(3), ..pair.hub.welcome(false) };
    let misbehaved = pair.tell_store(Body::Welcome(welcome)).unwrap_err();
    assert_eq!(misbehaved, PeerMisbehaved::WelcomeBeyondHead { stream: "history", found: 3, head: 0 });
}

// Manners.

#[test]
fn a_frame_about_another_store_is_the_hubs_fault() {
    let mut pair = Pair::connected();
    let frame =
        Frame { store: "S0002".parse().unwrap(), ..pair.addressed(Body::Welcome(pair.hub.welcome(false))) };
    let misbehaved = pair.give_store(frame).unwrap_err();
    assert_eq!(misbehaved.to_string(), "peer sent a frame about store `S0002` on the link of `S0001`");
}

#[test]
fn what_only_an_agent_says_is_the_hubs_fault() {
    let says = [
        Body::Hello(Pair::apart().store.hello_of()),
        Body::State(StateBatch::default()),
        Body::History(HistoryBatch::default()),
        Body::Ack(Ack { stream: Stream::State, upto: 0 }),
        Body::Heartbeat(Pair::apart().store.heartbeat_of()),
        Body::Resend(Resend { direction: Direction::Up, head: Seq(0), buckets: Vec::new() }),
    ];
    for body in says {
        let mut pair = Pair::connected();
        let expected = PeerMisbehaved::Unexpected { state: "streaming", frame: body.kind() };
        assert_eq!(pair.tell_store(body), Err(expected));
    }
}

#[test]
fn a_frame_that_arrives_after_the_link_is_down_is_ignored() {
    let mut pair = Pair::connected();
    pair.cut();
    assert_eq!(pair.tell_store(Body::Down(DownBatch::default())), Ok(None));
    assert_eq!(pair.tell_store(Body::State(StateBatch::default())), Ok(None));
    assert_eq!(pair.store.link.next_deadline(), None);
}

// Time.

#[test]
fn an_idle_link_is_silent_except_for_heartbeats() {
    let mut pair = Pair::connected();
    pair.drive();
    pair.line.forget_counts();
    pair.drive_for(10 * pair.timing.heartbeat_every);
    assert_eq!((pair.line.sent("heartbeat"), pair.line.sent("pulse")), (10, 10));
    assert_eq!(pair.line.sent_in_all(), 20);
}

#[test]
fn state_puts_the_heartbeat_off_and_history_does_not() {
    let mut pair = Pair::connected();
    pair.drive();
    pair.line.forget_counts();
    for _ in 0..30 {
        pair.store.sell(MILK, 1);
        pair.drive_for(pair.timing.heartbeat_every / 2);
    }
    assert_eq!(pair.line.sent("heartbeat"), 0);
    pair.line.forget_counts();
    for _ in 0..30 {
        pair.store.note_document();
        pair.drive_for(pair.timing.heartbeat_every / 2);
    }
    assert_eq!(pair.line.sent("heartbeat"), 15);
}

#[test]
fn the_first_heartbeat_follows_the_welcome_at_once() {
    let mut pair = Pair::apart();
    pair.mend();
    // Hello, hand-over, hello, welcome, heartbeat.
    pair.drive_for(5 * pair.line.delay);
    assert_eq!((pair.line.sent("heartbeat"), pair.line.sent("pulse")), (1, 1));
}

#[test]
fn a_silent_hub_is_given_up() {
    let mut pair = Pair::connected();
    pair.drive();
    pair.line.weather = pair::Weather::LosesOneIn(1);
    let heard_at = pair.store.heard_at;
    pair.drive_for(heard_at.plus(pair.timing.silence_max).since(pair.now) - 1);
    assert_eq!(pair.gave_up, None);
    pair.drive_for(1);
    assert_eq!(pair.gave_up, Some("the hub has been silent"));
    pair.line.weather = pair::Weather::Clear;
    pair.store.sell(MILK, 1);
    pair.mend();
    pair.drive();
    assert_eq!(pair.hub.sold(MILK), 1);
}

// A new epoch.

#[test]
fn a_hand_over_is_adopted_whole_and_greeted_in_its_epoch() {
    let mut pair = Pair::connected();
    pair.store.sell_many(4);
    pair.drive();
    pair.hub.parts = 5;
    pair.hub.grant_next_epoch();
    pair.cut();
    pair.line.forget_counts();
    pair.mend();
    pair.drive();
    assert_eq!((pair.store.epoch, &pair.store.adopted), (Epoch(2), &vec![5]));
    assert_eq!((pair.line.sent("handover"), pair.line.sent("hello")), (5, 2));
    pair.store.sell(SALT, 1);
    pair.drive();
    assert_eq!(pair.hub.sold(SALT), 2, "and goes on from there");
}

#[test]
fn parts_may_come_in_any_order_and_twice() {
    for weather in [pair::Weather::Doubles, pair::Weather::Reorders] {
        let mut pair = Pair::connected();
        pair.hub.parts = 7;
        pair.hub.grant_next_epoch();
        pair.cut();
        pair.line.weather = weather;
        pair.mend();
        pair.drive();
        assert_eq!((pair.store.epoch, &pair.store.adopted), (Epoch(2), &vec![7]), "{weather:?}");
    }
}

#[test]
fn a_part_that_stays_away_gives_the_link_up_and_the_next_link_brings_it() {
    let mut pair = Pair::connected();
    pair.hub.parts = 3;
    pair.hub.grant_next_epoch();
    pair.cut();
    pair.line.lose_next("handover");
    pair.mend();
    pair.drive_for(4 * pair.line.delay);
    assert_eq!(pair.store.link.state(), LinkState::Adopting);
    pair.drive_for(pair.timing.answer_within);
    assert_eq!(pair.gave_up, Some("the hub's hand-over stopped"));
    pair.mend();
    pair.drive();
    assert_eq!((pair.store.epoch, &pair.store.adopted), (Epoch(2), &vec![3]), "the same epoch, given again");
}

#[test]
fn a_later_grant_is_not_mixed_with_an_earlier_one() {
    let mut pair = Pair::apart();
    pair.open();
    pair.store_says();
    let part = |granted: u32, part: u32, last: bool| {
        Body::Handover(Handover { part, last, ..ends::empty_handover(Epoch(granted)) })
    };
    assert_eq!(pair.tell_store(part(2, 0, false)), Ok(None));
    assert_eq!(pair.tell_store(part(3, 1, true)), Ok(None));
    let Ok(Some(StoreEvent::Adopt(parts))) = pair.tell_store(part(3, 0, false)) else {
        panic!("both parts are there")
    };
    assert_eq!(parts.iter().map(|part| (part.granted.0, part.part)).collect::<Vec<_>>(), [(3, 0), (3, 1)]);
    assert_eq!(pair.tell_store(part(3, 1, true)), Ok(None), "one more time while it is being adopted");
}

#[test]
fn a_hand_over_without_end_is_the_hubs_fault() {
    let mut pair = Pair::apart();
    pair.open();
    let part = Handover { part: 4_096, last: false, ..ends::empty_handover(Epoch(1)) };
    let misbehaved = pair.tell_store(Body::Handover(part)).unwrap_err();
    assert_eq!(misbehaved, PeerMisbehaved::HandoverTooLong { found: 4_096, max: 4_096 });
}

// The hub's own records.

#[test]
fn a_promise_goes_down_at_once_and_what_nobody_waits_for_a_little_later() {
    let mut pair = Pair::connected();
    pair.drive();
    pair.promise(MILK, 1);
    pair.drive_for(2 * pair.line.delay);
    assert_eq!(pair.store.promised(MILK), 1);
    pair.hub.promise(MILK, 1);
    pair.hub.link.changed(false, pair.now);
    pair.hub.promise(SALT, 1);
    pair.hub.link.changed(false, pair.now.plus(100));
    pair.line.forget_counts();
    pair.drive_for(pair.timing.down_delay - 1);
    assert_eq!((pair.line.sent("down"), pair.store.promised(MILK)), (0, 1));
    pair.drive_for(1 + 2 * pair.line.delay);
    assert_eq!((pair.line.sent("down"), pair.store.promised(MILK), pair.store.promised(SALT)), (1, 2, 1));
}

#[test]
fn the_hub_sends_nothing_down_before_it_has_welcomed() {
    let mut pair = Pair::apart();
    pair.open();
    pair.promise(MILK, 1);
    assert_eq!(pair.hub.link.next_deadline(), None);
    assert_eq!(pair.hub_says(), [""; 0]);
    assert!(!pair.hub.link.is_greeted());
}

#[test]
fn a_down_batch_that_is_lost_comes_again() {
    let mut pair = Pair::connected();
    pair.drive();
    pair.line.lose_next("down");
    pair.promise(MILK, 1);
    pair.drive();
    assert_eq!(pair.store.promised(MILK), 1);
    assert_eq!(pair.line.sent("down"), 2);
}

#[test]
fn a_restored_hub_is_offered_what_it_forgot() {
    let mut pair = Pair::connected();
    for item in 1..=9 {
        pair.promise(ItemNo(item), u64::from(item));
    }
    pair.drive();
    pair.cut();
    pair.hub.restore_from_nothing();
    pair.mend();
    pair.drive();
    assert_eq!(pair.line.sent("offer"), 9_usize.div_ceil(BATCH) + 1, "the last part is for orders");
    assert!(pair.hub.trusted);
    for item in 1..=9 {
        assert_eq!(pair.hub.promised(ItemNo(item)), u64::from(item));
    }
}

// Digests.

#[test]
fn a_comparison_reaches_the_agent_and_its_question_the_hub() {
    let mut pair = Pair::connected();
    let buckets = Buckets { direction: Direction::Down, head: Seq(0), sums: vec![0; 256] };
    let compare = pair.tell_store(Body::Buckets(buckets.clone()));
    assert_eq!(compare, Ok(Some(StoreEvent::Compare(buckets))));
    pair.store.link.ask_again(Resend { direction: Direction::Down, head: Seq(0), buckets: vec![4] });
    assert_eq!(pair.store_says(), ["resend"]);
}

#[test]
fn the_hubs_clock_is_handed_on() {
    let mut pair = Pair::connected();
    let pulse = Pulse {
        state_mark: Seq(0),
        history_mark: Position(0),
        down_head: Seq(0),
        clock: UnixMillis(1_793_480_602_000),
    };
    assert_eq!(pair.tell_store(Body::Pulse(pulse)), Ok(Some(StoreEvent::Pulse(pulse))));
}
