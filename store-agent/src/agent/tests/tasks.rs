//! What is to be counted, and what ends that.

use super::conversation::{Hub, connect, frames, hello_of};
use super::pickups::{ORDER, does, half};
use super::*;
use crate::store::notes::{self, Writer};
use shop::{document, units};
use sync_protocol::count::{CountTask, CountWish, TaskReason, TaskState};
use sync_protocol::frame::{Body, Buckets, Direction, Frame};
use sync_protocol::order::{Act, ShortReason};
use sync_protocol::pause::StorePause;
use sync_protocol::record::{HubOrderRecord, Kind, Note, Topic};
use sync_protocol::stock::HubHalf;

const MILK: ItemNo = ItemNo(1);
const WISH: CountWish = CountWish { asked_at: 100, blind: true, remark: String::new(), withdrawn: false };

fn task(shop: &Shop, item: ItemNo) -> Option<CountTask> {
    let text = notes::text(shop.agent.database(), Writer::Store, Topic::COUNT_TASK, item.0).unwrap();
    text.map(|(text, _)| CountTask::read(&text).unwrap())
}

fn reasons(shop: &Shop) -> Vec<TaskReason> {
    task(shop, MILK).filter(CountTask::is_open).into_iter().flat_map(|task| task.reasons).collect()
}

/// Ten of milk on hand, `promised` of them to an order.
fn promised(pieces: i64) -> (Shop, Hub) {
    let mut shop = Shop::open();
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    hub.promises(&mut shop, "milk", pieces.cast_unsigned());
    hub.sends_order(&mut shop, HubOrderRecord { order: ORDER, half: half(&[(MILK, pieces)]) });
    shop.holds_together();
    (shop, hub)
}

fn wishes(shop: &mut Shop, hub: &mut Hub, wish: &CountWish) {
    hub.notes(shop, vec![wish.note(MILK)]);
    shop.holds_together();
}

#[test]
fn what_could_not_be_found_is_to_be_counted_until_somebody_has() {
    let (mut shop, _hub) = promised(2);
    shop.pass(1_000);
    does(&mut shop, Act::Accept).unwrap();
    let lost = Act::Short { item: MILK, quantity: units(2), why: ShortReason::NotFound };
    does(&mut shop, lost).unwrap();
    let open = task(&shop, MILK).unwrap();
    assert_eq!((reasons(&shop), open.order()), (vec![TaskReason::NotFound], Some(ORDER)));
    // The shelf as it was before anybody missed anything.
    shop.pass(1_000);
    shop.count("milk", 10, Counted::At(UnixMillis(open.since - 1)));
    assert!(task(&shop, MILK).unwrap().is_open());
    shop.pass(1_000);
    shop.sell("milk", 1);
    shop.count("milk", 7, Counted::At(shop.now.wall));
    let ended = task(&shop, MILK).unwrap();
    assert_eq!((ended.state, ended.by.as_str()), (TaskState::Counted, "till-3"));
    assert_eq!(ended.variance, Some(units(-2)));
    shop.holds_together();
}

#[test]
fn damaged_goods_and_a_wrong_shelf_need_no_count() {
    let (mut shop, _hub) = promised(2);
    does(&mut shop, Act::Accept).unwrap();
    does(&mut shop, Act::Short { item: MILK, quantity: units(1), why: ShortReason::Damaged }).unwrap();
    assert_eq!(task(&shop, MILK), None);
}

#[test]
fn a_till_that_sells_what_an_order_was_promised_is_named_as_the_cause() {
    let (mut shop, _hub) = promised(8);
    shop.sell("milk", 2);
    assert_eq!(task(&shop, MILK), None, "eight are there for eight");
    shop.sell("milk", 1);
    assert_eq!(reasons(&shop), [TaskReason::BreachSale]);
    let opened = task(&shop, MILK).unwrap();
    shop.pass(1_000);
    shop.sell("milk", 1);
    assert_eq!(task(&shop, MILK).unwrap(), opened, "one breach, however deep");
}

#[test]
fn a_count_that_finds_fewer_than_are_promised_is_named_as_the_cause() {
    let (mut shop, _hub) = promised(8);
    shop.count("milk", 5, Counted::At(shop.now.wall));
    assert_eq!(reasons(&shop), [TaskReason::BreachCount]);
    assert_eq!(task(&shop, MILK).unwrap().breach(), Some("count"));
}

#[test]
fn waste_that_takes_what_is_promised_is_another_cause() {
    let (mut shop, _hub) = promised(8);
    shop.report(Kind::Waste, "milk", units(4));
    assert_eq!(reasons(&shop), [TaskReason::BreachOther]);
}

/// The line was cut: the till sold what the hub promised meanwhile, and the order comes after the sale.
#[test]
fn an_order_that_finds_its_goods_sold_says_so_when_it_comes() {
    let mut shop = Shop::open();
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    shop.sell("milk", 9);
    assert_eq!(task(&shop, MILK), None);
    let mut wrong = shop.cell("milk");
    wrong.hub = HubHalf { promised: 5_000, ..wrong.hub };
    hub.sends_down(&mut shop, "milk", wrong.hub);
    assert_eq!(reasons(&shop), [TaskReason::BreachSale]);
}

#[test]
fn what_the_store_gives_up_is_lacking_for_nobody() {
    let (mut shop, _hub) = promised(8);
    does(&mut shop, Act::Accept).unwrap();
    does(&mut shop, Act::Short { item: MILK, quantity: units(3), why: ShortReason::NotFound }).unwrap();
    shop.report(Kind::Adjustment, "milk", units(-5));
    assert_eq!(reasons(&shop), [TaskReason::NotFound], "five are there for the five that are left");
}

#[test]
fn head_offices_wish_is_taken_up_once() {
    let (mut shop, mut hub) = promised(1);
    wishes(&mut shop, &mut hub, &WISH);
    let open = task(&shop, MILK).unwrap();
    assert_eq!((reasons(&shop), open.blind, open.wish), (vec![TaskReason::HeadOffice], true, Some(100)));
    shop.pass(1_000);
    shop.count("milk", 10, Counted::At(shop.now.wall));
    assert_eq!(task(&shop, MILK).unwrap().state, TaskState::Counted);
    hub.notes(&mut shop, vec![Note { text: String::new(), ..WISH.note(MILK) }]);
    wishes(&mut shop, &mut hub, &WISH);
    assert_eq!(task(&shop, MILK).unwrap().state, TaskState::Counted, "the same wish, told again");
    wishes(&mut shop, &mut hub, &CountWish { asked_at: 200, ..WISH });
    assert!(task(&shop, MILK).unwrap().is_open());
}

#[test]
fn a_wish_that_is_withdrawn_leaves_what_others_want_counted() {
    let (mut shop, mut hub) = promised(8);
    wishes(&mut shop, &mut hub, &WISH);
    wishes(&mut shop, &mut hub, &CountWish { withdrawn: true, ..WISH });
    assert_eq!(task(&shop, MILK).unwrap().state, TaskState::Withdrawn);
    let again = CountWish { asked_at: 200, ..WISH };
    wishes(&mut shop, &mut hub, &again);
    shop.sell("milk", 3);
    wishes(&mut shop, &mut hub, &CountWish { withdrawn: true, ..again });
    assert_eq!(reasons(&shop), [TaskReason::BreachSale]);
    assert!(!task(&shop, MILK).unwrap().blind);
}

#[test]
fn a_wish_nobody_can_read_or_fulfil_is_quarantined() {
    let (mut shop, mut hub) = promised(1);
    let unreadable = Note { text: "count it".to_owned(), ..WISH.note(MILK) };
    hub.notes(&mut shop, vec![unreadable, WISH.note(ItemNo(77))]);
    assert_eq!(shop.number("SELECT count(*) FROM quarantine"), 2);
    assert_eq!(task(&shop, MILK), None);
    shop.holds_together();
}

#[test]
fn tasks_are_sent_to_the_hub_and_again_where_it_has_lost_them() {
    let (mut shop, hub) = promised(8);
    let sale = document(Kind::Sale, "42", &[("milk", units(3))]);
    let input = Input::Record { ticket: Ticket(9), documents: vec![sale] };
    let said = frames(&shop.agent.drain(vec![input], shop.now));
    let sent = |said: &[Frame]| -> Vec<Note> {
        let batches = said.iter().filter_map(|frame| match &frame.body {
            Body::State(batch) => Some(batch.notes.clone()),
            _ => None,
        });
        batches.flatten().collect()
    };
    assert_eq!(sent(&said), [task(&shop, MILK).unwrap().note(MILK)]);
    hub.acknowledges(&mut shop, &said);
    let head = shop.agent.mind.inventory.change_seq;
    let sums = vec![0; sync_protocol::limits::DIGEST_BUCKETS];
    let said = hub.says(&mut shop, Body::Buckets(Buckets { direction: Direction::Up, head, sums }));
    assert_eq!(sent(&said).len(), 1);
    shop.holds_together();
}

#[test]
fn a_restored_hub_tells_its_notes_anew_and_what_it_has_forgotten_is_gone() {
    let (mut shop, mut hub) = promised(1);
    let settings = Note { topic: Topic::SETTINGS, key: 0, text: "{}".to_owned() };
    hub.notes(&mut shop, vec![settings.clone(), WISH.note(MILK)]);
    hub.welcomes_restored(&mut shop);
    let known = |shop: &Shop| shop.number("SELECT count(*) FROM note WHERE from_hub = 1");
    assert_eq!(known(&shop), 0);
    shop.holds_together();
    hub.notes(&mut shop, vec![settings]);
    assert_eq!(known(&shop), 1);
    assert!(task(&shop, MILK).unwrap().is_open(), "what the store has taken up stays");
    shop.holds_together();
}

#[test]
fn a_pause_is_kept_told_and_ended_and_one_that_makes_no_sense_is_refused() {
    let (mut shop, hub) = promised(1);
    let pauses = |shop: &mut Shop, pause: Option<StorePause>| {
        let outputs = shop.agent.drain(vec![Input::Pause { ticket: Ticket(9), pause }], shop.now);
        let answer = outputs.iter().find_map(|output| match output {
            Output::Answer { answer: Answer::Paused(answer), .. } => Some(answer.clone()),
            _ => None,
        });
        (answer.expect("an answer"), frames(&outputs))
    };
    let now = shop.now.wall.0;
    let pause = StorePause { until: now + 1, reason: "flooded".to_owned(), by: "Ana".to_owned() };
    let (answer, said) = pauses(&mut shop, Some(pause.clone()));
    assert_eq!(answer, Ok(()));
    let told = said.iter().find_map(|frame| match &frame.body {
        Body::State(batch) => batch.notes.first().cloned(),
        _ => None,
    });
    assert_eq!(told, Some(StorePause::note(Some(&pause))));
    hub.acknowledges(&mut shop, &said);
    let wrong = [
        StorePause { until: now, ..pause.clone() },
        StorePause { until: now + sync_protocol::pause::PAUSE_MS_MAX + 1, ..pause.clone() },
        StorePause { reason: " ".to_owned(), ..pause.clone() },
        StorePause { reason: "a\nb".to_owned(), ..pause.clone() },
        StorePause { by: "b".repeat(65), ..pause },
    ];
    for pause in wrong {
        assert!(matches!(pauses(&mut shop, Some(pause)).0, Err(RecordError::Invalid { .. })));
    }
    assert_eq!(pauses(&mut shop, None).0, Ok(()));
    let text = notes::text(shop.agent.database(), Writer::Store, Topic::PAUSE, 0).unwrap().unwrap().0;
    assert_eq!(text, "");
    shop.holds_together();
}

#[test]
fn a_new_epoch_takes_the_later_word_on_each_task() {
    let (mut shop, mut hub) = promised(8);
    shop.sell("milk", 3);
    let opened = task(&shop, MILK).unwrap();
    let counted =
        CountTask { state: TaskState::Counted, closed_at: Some(opened.since + 1), ..opened.clone() };
    let salt = CountTask::new(TaskReason::NotFound, shop.now.wall, Position(1)).note(ItemNo(2));
    let mut handover = conversation::empty_handover(Epoch(2));
    handover.items = vec![conversation::item(1, "milk"), conversation::item(2, "salt")];
    handover.store_notes = vec![counted.note(MILK), salt.clone()];
    handover.hub_notes = vec![Note { topic: Topic::SETTINGS, key: 0, text: "{}".to_owned() }];
    hello_of(&connect(&mut shop));
    hub.hands_over(&mut shop, handover);
    assert_eq!(task(&shop, MILK), Some(counted));
    assert_eq!(task(&shop, ItemNo(2)).map(|task| task.note(ItemNo(2))), Some(salt));
    assert_eq!(shop.number("SELECT count(*) FROM note WHERE from_hub = 1"), 1);
    shop.holds_together();
}
