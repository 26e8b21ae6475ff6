//! What stores are to count, and what the hub and its stores keep for each other as notes.

use super::headquarters::{Caller, Headquarters, MILK, SALT, id, kinds, said, units};
use super::orders::{does, open_shop, open_shop_at, place, received, says, wanted};
use super::*;
use crate::hub::counting::{CountAsk, CountError, TaskView, Tasks};
use crate::hub::orders::OrderError;
use crate::orders::pickup_settings::{Pause, PickupSettings};
use crate::storage::sqlite::events::Outbox;
use sync_protocol::count::{CountTask, CountWish, TaskReason, TaskState};
use sync_protocol::order::{Act, Cancel};
use sync_protocol::pause::StorePause;
use sync_protocol::record::{Note, Topic};

fn asks(hq: &mut Headquarters, ask: CountAsk) -> Result<Tasks, CountError> {
    let ticket = hq.ticket();
    let outputs = hq.drain(vec![Input::Count { ticket, ask: Box::new(ask) }]);
    let answer = outputs.into_iter().find_map(|output| match output {
        Output::Count { answer, .. } => Some(answer),
        _ => None,
    });
    answer.expect("an answer")
}

fn listed(hq: &mut Headquarters, state: Option<TaskState>) -> Vec<TaskView> {
    asks(hq, CountAsk::List { store: None, state, after: None, limit: 100 }).unwrap().tasks
}

fn wish(item: ItemNo, blind: bool) -> CountAsk {
    let sku = format!("sku-{item}").parse().unwrap();
    CountAsk::Wish { store: id("S0001"), sku, blind, remark: "the display, too".to_owned() }
}

fn task(reason: TaskReason) -> CountTask {
    CountTask::new(reason, headquarters::OPENS, Position(7))
}

/// Tells notes as a store does.
fn tells(hq: &mut Headquarters, caller: &mut Caller, notes: Vec<Note>) -> Vec<Frame> {
    let batch = StateBatch { notes, ..caller.batch(Vec::new()) };
    caller.say(hq, Body::State(batch))
}

/// The hub's notes in what it says.
fn notes_in(said: &[Frame]) -> Vec<Note> {
    let down = said.iter().filter_map(|frame| match &frame.body {
        Body::Down(batch) => Some(batch.notes.clone()),
        _ => None,
    });
    down.flatten().collect()
}

/// A store with milk and salt that has taken everything the hub had for it.
fn shop() -> (Headquarters, Caller) {
    let (mut hq, mut caller) = open_shop();
    let stock = vec![caller.stock(SALT, 5, 0, 0)];
    caller.reports(&mut hq, stock);
    catch_up(&mut hq, &mut caller);
    (hq, caller)
}

fn catch_up(hq: &mut Headquarters, caller: &mut Caller) {
    caller.down_mark = hq.hub.down_head(&caller.store).unwrap();
    caller.say(hq, Body::Ack(Ack { stream: Stream::State, upto: caller.down_mark.0 }));
}

#[test]
fn a_store_hears_how_it_is_set_and_again_when_that_changes() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::new(&mut hq, "S0001", 1);
    caller.connect(&mut hq);
    let parts = caller.adopt(&mut hq);
    let told: serde_json::Value = serde_json::from_str(&parts[0].hub_notes[0].text).unwrap();
    assert_eq!((&told["name"], &told["revision"]), (&"Store S0001".into(), &0.into()));
    assert_eq!(told["pickup"]["pickup"], true);
    catch_up(&mut hq, &mut caller);
    let pause = Pause { until: UnixMillis(hq.now.wall.0 + 60_000), reason: "flooded".to_owned() };
    let change = Box::new(SettingsChange::Pause(pause));
    let ticket = hq.ticket();
    let outputs = hq.drain(vec![Input::Settings { ticket, store: id("S0001"), change }]);
    let notes = notes_in(&said(&outputs, caller.link));
    assert_eq!((notes.len(), notes[0].topic), (1, Topic::SETTINGS));
    assert!(notes[0].text.contains("flooded"), "{}", notes[0].text);
    let ticket = hq.ticket();
    let again = Box::new(SettingsChange::Replace { settings: PickupSettings::default(), seen: None });
    let outputs = hq.drain(vec![Input::Settings { ticket, store: id("S0002"), change: again }]);
    assert_eq!(notes_in(&said(&outputs, caller.link)), [], "another store's are not its business");
}

#[test]
fn a_store_that_pauses_gets_no_orders_until_then_whatever_head_office_says() {
    let (mut hq, mut caller) = shop();
    let until = hq.now.wall.0 + 60_000;
    let pause = StorePause { until, reason: "flooded".to_owned(), by: "Ana".to_owned() };
    hq.hub.take_posts();
    tells(&mut hq, &mut caller, vec![StorePause::note(Some(&pause))]);
    let posts = hq.hub.take_posts();
    assert_eq!(posts[0].1.own_pause, Some(pause));
    let order = wanted(&hq, 1, "a", &[(MILK, 1)]);
    let refused = place(&mut hq, order.clone()).unwrap_err();
    assert!(matches!(refused, OrderError::NotTaking { .. }), "{refused:?}");
    let ticket = hq.ticket();
    hq.drain(vec![Input::Settings { ticket, store: id("S0001"), change: Box::new(SettingsChange::Resume) }]);
    assert!(place(&mut hq, order.clone()).is_err(), "head office resumes its own pauses");
    hq.pass(60_000);
    place(&mut hq, order).unwrap();
    let pause = StorePause { until: until + 600_000, reason: "flooded".to_owned(), by: "Ana".to_owned() };
    tells(&mut hq, &mut caller, vec![StorePause::note(Some(&pause))]);
    tells(&mut hq, &mut caller, vec![StorePause::note(None)]);
    let order = wanted(&hq, 2, "b", &[(MILK, 1)]);
    place(&mut hq, order).unwrap();
}

#[test]
fn settings_that_did_not_reach_the_disk_are_not_told() {
    let (mut hq, caller) = shop();
    hq.fail_next_commit();
    let pause = Pause { until: UnixMillis(hq.now.wall.0 + 60_000), reason: "flooded".to_owned() };
    let ticket = hq.ticket();
    let change = Box::new(SettingsChange::Pause(pause));
    let outputs = hq.drain(vec![Input::Settings { ticket, store: id("S0001"), change }]);
    assert_eq!(notes_in(&said(&outputs, caller.link)), []);
    let mut caller = caller;
    caller.connect(&mut hq);
    caller.welcome(&mut hq);
    assert_eq!(notes_in(&said(&hq.tick(), caller.link)), []);
}

#[test]
fn head_offices_wish_is_sent_at_once_and_shown_until_the_store_takes_it_up() {
    let (mut hq, mut caller) = shop();
    let ticket = hq.ticket();
    let ask = Box::new(wish(MILK, true));
    let outputs = hq.drain(vec![Input::Count { ticket, ask: ask.clone() }]);
    let notes = notes_in(&said(&outputs, caller.link));
    let sent = CountWish::read(&notes[0].text).unwrap();
    assert_eq!((notes[0].topic, notes[0].key, sent.blind), (Topic::COUNT_WISH, MILK.0, true));
    catch_up(&mut hq, &mut caller);
    let waiting = listed(&mut hq, Some(TaskState::Open));
    assert_eq!((waiting.len(), &waiting[0].wish, &waiting[0].task), (1, &Some(sent.clone()), &None));
    // Asked again while nobody has counted.
    assert_eq!(hq.drain(vec![Input::Count { ticket, ask }]).len(), 1, "an answer, and nothing to send");
    let open = CountTask { wish: Some(sent.asked_at), ..task(TaskReason::HeadOffice) };
    tells(&mut hq, &mut caller, vec![open.note(MILK)]);
    let taken_up = listed(&mut hq, Some(TaskState::Open));
    assert_eq!((&taken_up[0].wish, &taken_up[0].task), (&None, &Some(open.clone())));
    let counted = CountTask { state: TaskState::Counted, closed_at: Some(9), ..open };
    tells(&mut hq, &mut caller, vec![counted.note(MILK)]);
    assert_eq!(listed(&mut hq, Some(TaskState::Open)), []);
    assert_eq!(listed(&mut hq, None).len(), 1);
    let again = asks(&mut hq, wish(MILK, true)).unwrap();
    assert!(again.tasks[0].wish.as_ref().unwrap().asked_at > sent.asked_at, "a wish of its own");
}

#[test]
fn a_wish_can_be_withdrawn_and_one_for_nothing_is_refused() {
    let (mut hq, _caller) = shop();
    asks(&mut hq, wish(MILK, false)).unwrap();
    let withdraw = || CountAsk::Withdraw { store: id("S0001"), sku: "sku-1".parse().unwrap() };
    assert_eq!(asks(&mut hq, withdraw()).unwrap().tasks, []);
    assert_eq!(asks(&mut hq, withdraw()).unwrap().tasks, [], "twice is no harm");
    assert!(matches!(asks(&mut hq, wish(ItemNo(77), false)), Err(CountError::UnknownItem { .. })));
    let elsewhere = CountAsk::List { store: Some(id("S0009")), state: None, after: None, limit: 1 };
    assert!(matches!(asks(&mut hq, elsewhere), Err(CountError::UnknownStore { .. })));
}

#[test]
fn a_wish_survives_a_restart_and_one_that_failed_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hq, _caller) = open_shop_at(folder.path());
    hq.fail_next_commit();
    assert_eq!(asks(&mut hq, wish(MILK, false)), Err(CountError::Storage));
    assert_eq!(listed(&mut hq, None), []);
    asks(&mut hq, wish(MILK, false)).unwrap();
    drop(hq);
    let mut hq = Headquarters::open_at(folder.path());
    assert_eq!(listed(&mut hq, None).len(), 1);
    let mut heir = Caller::new(&mut hq, "S0001", 2);
    heir.connect(&mut hq);
    let parts = heir.adopt(&mut hq);
    assert_eq!(parts[0].hub_notes.len(), 2, "settings and the wish");
}

#[test]
fn pages_of_tasks_follow_each_other() {
    let (mut hq, mut caller) = shop();
    let notes = vec![task(TaskReason::NotFound).note(MILK), task(TaskReason::NotFound).note(SALT)];
    tells(&mut hq, &mut caller, notes);
    let page = |after| CountAsk::List { store: None, state: None, after, limit: 1 };
    let first = asks(&mut hq, page(None)).unwrap();
    assert_eq!((first.tasks[0].item, first.more), (MILK, true));
    assert_eq!(first.tasks[0].sku.as_ref().unwrap().as_str(), "sku-1");
    let second = asks(&mut hq, page(Some((id("S0001"), MILK.0)))).unwrap();
    assert_eq!((second.tasks[0].item, second.more), (SALT, false));
}

/// The till has sold what an order was promised: those whose order it is hear of it once, with the cause.
#[test]
fn orders_whose_goods_are_gone_are_told_of_once_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hq, mut caller) = open_shop_at(folder.path());
    let order = wanted(&hq, 1, "a", &[(MILK, 5)]);
    let number = order.order;
    place(&mut hq, order).unwrap();
    let outbox = Outbox::open(&folder.path().join("hub.db")).unwrap();
    let at_risk = || {
        let events = outbox.after(0, 100).unwrap();
        events.into_iter().map(|found| found.event).filter(|event| event.kind == "order.at_risk")
    };
    let (breach, lost) = (task(TaskReason::BreachSale), task(TaskReason::NotFound));
    tells(&mut hq, &mut caller, vec![lost.note(MILK), breach.note(SALT)]);
    assert_eq!(at_risk().count(), 0, "neither is about goods that this order was promised and lost");
    let both = lost.again(TaskReason::BreachSale, headquarters::OPENS, Position(8));
    let stock = vec![caller.stock(MILK, 20, 18, 10)];
    let batch = caller.batch(stock);
    caller.say(&mut hq, Body::State(StateBatch { notes: vec![both.note(MILK)], ..batch }));
    tells(&mut hq, &mut caller, vec![task(TaskReason::BreachCount).note(MILK)]);
    let told: Vec<_> = at_risk().collect();
    assert_eq!(told.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&told[0].body).unwrap();
    assert_eq!((&body["cause"], &body["order"]), (&"sale".into(), &number.to_string().into()));
    let ticket = hq.ticket();
    let outputs = hq.drain(vec![Input::Order { ticket, order: number }]);
    let Some(Output::Order { answer: Ok(view), .. }) = outputs.into_iter().next() else { panic!("no view") };
    assert!(view.parts[0].is_at_risk);
    assert_eq!(view.parts[0].at_risk_because, Some("count"), "what the store says now");
    assert_eq!(hq.hub.counters().breaches.values().sum::<u64>(), 2, "salt and milk");
}

#[test]
fn goods_that_are_back_on_their_shelf_are_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hq, mut caller) = open_shop_at(folder.path());
    let order = wanted(&hq, 1, "a", &[(MILK, 5)]);
    let number = order.order;
    let view = place(&mut hq, order).unwrap();
    let mut half = received(&caller, &view);
    does(&mut half, Act::Pick { item: MILK, quantity: units(5) });
    let ticket = hq.ticket();
    hq.drain(vec![Input::Cancel { ticket, order: number, why: Cancel::Shopper }]);
    let mut asked = view.parts[0].hub.clone().unwrap();
    asked.cancel = Some(Cancel::Shopper);
    half.act(&Act::AcknowledgeCancel, Some(&asked), "Noor", headquarters::OPENS).unwrap();
    says(&mut hq, &mut caller, number, &half, 5);
    does(&mut half, Act::PutBack);
    says(&mut hq, &mut caller, number, &half, 5);
    says(&mut hq, &mut caller, number, &half, 5);
    let events = Outbox::open(&folder.path().join("hub.db")).unwrap().after(0, 100).unwrap();
    let kinds: Vec<String> = events.into_iter().map(|found| found.event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "order.put_back").count(), 1, "{kinds:?}");
    assert!(kinds.ends_with(&["order.put_back".to_owned()]), "after the order's own end: {kinds:?}");
}

#[test]
fn a_new_incarnation_gets_both_sides_notes_and_what_it_does_not_tell_again_is_gone() {
    let (mut hq, mut caller) = shop();
    tells(
        &mut hq,
        &mut caller,
        vec![task(TaskReason::NotFound).note(MILK), task(TaskReason::NotFound).note(SALT)],
    );
    let mut heir = Caller::new(&mut hq, "S0001", 9);
    heir.connect(&mut hq);
    let parts = heir.adopt(&mut hq);
    let told: usize = parts.iter().map(|part| part.store_notes.len()).sum();
    assert_eq!(told, 2);
    let stock = vec![heir.stock(MILK, 20, 0, 10), heir.stock(SALT, 5, 0, 0)];
    let batch = heir.batch(stock);
    heir.say(
        &mut hq,
        Body::State(StateBatch { notes: vec![task(TaskReason::NotFound).note(MILK)], ..batch }),
    );
    let left: Vec<ItemNo> = listed(&mut hq, None).into_iter().map(|task| task.item).collect();
    assert_eq!(left, [MILK]);
}

#[test]
fn digests_tell_of_a_note_that_one_side_lacks() {
    let (mut hq, mut caller) = shop();
    let said = caller.say(&mut hq, Body::Heartbeat(caller.heartbeat()));
    assert!(kinds(&said).contains(&"buckets"), "the order's half is another in this store's sum");
    let resend = Resend { direction: Direction::Down, head: caller.down_mark, buckets: vec![0] };
    let said = caller.say(&mut hq, Body::Resend(resend));
    assert_eq!(notes_in(&said).len(), 1);
    catch_up(&mut hq, &mut caller);
}

/// One note can be as large as a whole batch of halves: they never share a frame.
#[test]
fn large_notes_and_many_halves_fit_their_frames() {
    let (mut hq, mut caller) = shop();
    for number in 0..40 {
        let sku = "sku-1".parse().unwrap();
        let remark = format!("{number}-").repeat(40);
        asks(&mut hq, CountAsk::Wish { store: id("S0001"), sku, blind: false, remark }).unwrap();
    }
    hq.promise("S0001", MILK, 2).unwrap();
    caller.connect(&mut hq);
    caller.down_mark = Seq(0);
    let frames = caller.say(&mut hq, Body::Hello(caller.hello()));
    let mixed = frames.iter().filter(|frame| {
        matches!(&frame.body, Body::Down(batch) if !batch.notes.is_empty() && !batch.halves.is_empty())
    });
    assert_eq!(mixed.count(), 0);
    assert_eq!(notes_in(&frames).len(), 2, "the latest of each");
}
