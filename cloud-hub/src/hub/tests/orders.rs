//! Orders at the hub: placed whole or not at all, followed by what the store says, released no sooner.

use super::headquarters::id;
use super::*;
use crate::hub::orders::{Choice, NewOrder, OrderError, OrderView, Part};
use crate::orders::placement::Reroute;
use sync_protocol::order::{Act, Cancel, HubOrder, Line, OrderId, Proof, ShortReason, Status, StoreOrder};
use sync_protocol::record::StoreOrderRecord;

const HOUR_MS: i64 = 3_600_000;

pub(super) fn open_shop() -> (Headquarters, Caller) {
    stocked(Headquarters::open())
}

pub(super) fn open_shop_at(folder: &std::path::Path) -> (Headquarters, Caller) {
    stocked(Headquarters::open_at(folder))
}

fn stocked(mut hq: Headquarters) -> (Headquarters, Caller) {
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 20, 0, 10), caller.stock(SALT, 20, 0, 3)];
    caller.reports(&mut hq, stock);
    (hq, caller)
}

pub(super) fn wanted(hq: &Headquarters, number: u64, key: &str, lines: &[(ItemNo, i64)]) -> NewOrder {
    let order = OrderId::from_number(number).unwrap();
    let at = hq.now.wall;
    let half = HubOrder {
        revision: 1,
        placed_at: at,
        ready_by: UnixMillis(at.0 + 2 * HOUR_MS),
        hold_until: UnixMillis(at.0 + 72 * HOUR_MS),
        lines: Vec::new(),
        display_name: "Asha K.".to_owned(),
        phone: String::new(),
        code_hash: [0; 16],
        cancel: None,
        closed: false,
    };
    let lines = lines.iter().map(|(item, pieces)| (format!("sku-{item}").parse().unwrap(), units(*pieces)));
    let parts = vec![Part { store: id("S0001"), order, lines: lines.collect(), half }];
    NewOrder {
        order,
        key: key.to_owned(),
        fingerprint: format!("{number}"),
        customer: vec![1],
        payment_reference: None,
        reroute: Reroute::Never,
        may_split: false,
        radius_km: None,
        reservation: None,
        decision: None,
        choices: vec![Choice { parts }],
    }
}

pub(super) fn answered(outputs: Vec<Output>) -> Result<OrderView, OrderError> {
    let answers = outputs.into_iter().find_map(|output| match output {
        Output::Order { answer, .. } => Some(answer.map(|view| *view)),
        _ => None,
    });
    answers.expect("an answer")
}

pub(super) fn place(hq: &mut Headquarters, order: NewOrder) -> Result<OrderView, OrderError> {
    let ticket = hq.ticket();
    answered(hq.drain(vec![Input::Place { ticket, order: Box::new(order) }]))
}

pub(super) fn ask(hq: &mut Headquarters, order: OrderId) -> Result<OrderView, OrderError> {
    let ticket = hq.ticket();
    answered(hq.drain(vec![Input::Order { ticket, order }]))
}

pub(super) fn status(hq: &mut Headquarters, order: OrderId) -> Status {
    ask(hq, order).unwrap().parts[0].status
}

/// What the store makes of an order, told to the hub. `head_beyond`: more is still to come.
pub(super) fn says(
    hq: &mut Headquarters,
    caller: &mut Caller,
    order: OrderId,
    half: &StoreOrder,
    head_beyond: u64,
) {
    let mut batch = caller.batch(Vec::new());
    batch.orders = vec![StoreOrderRecord { order, half: half.clone() }];
    batch.head = Seq(batch.upto.0 + head_beyond);
    caller.say(hq, Body::State(batch));
}

pub(super) fn received(caller: &Caller, view: &OrderView) -> StoreOrder {
    StoreOrder::received(caller.epoch, &view.parts[0].hub.as_ref().unwrap().lines, UnixMillis(1))
}

pub(super) fn does(half: &mut StoreOrder, act: Act) {
    half.act(&act, None, "Noor", UnixMillis(2)).unwrap();
}

#[test]
fn an_order_is_promised_whole_or_not_at_all() {
    let (mut hq, _) = open_shop();
    let too_much = wanted(&hq, 1, "a", &[(MILK, 2), (SALT, 4)]);
    assert_eq!(place(&mut hq, too_much), Err(OrderError::Insufficient));
    assert_eq!(hq.cell("S0001", MILK).free(), units(10));
    let order = wanted(&hq, 1, "a", &[(SALT, 3), (MILK, 2)]);
    let view = place(&mut hq, order).unwrap();
    assert_eq!((view.parts[0].status, view.is_replayed), (Status::Placed, false));
    assert_eq!((hq.cell("S0001", MILK).free(), hq.cell("S0001", SALT).free()), (units(8), units(0)));
}

#[test]
fn nobody_shares_a_piece_and_a_later_choice_is_taken_when_the_first_is_gone() {
    let (mut hq, _) = open_shop();
    let mut other = Caller::greeted(&mut hq, "S0002", 2);
    let stock = vec![other.stock(SALT, 5, 0, 5)];
    other.reports(&mut hq, stock);
    let orders: Vec<Input> = (1..=6)
        .map(|number| {
            let mut order = wanted(&hq, number, &number.to_string(), &[(SALT, 1)]);
            let mut elsewhere = order.choices[0].clone();
            elsewhere.parts[0].store = id("S0002");
            order.choices.push(elsewhere);
            Input::Place { ticket: hq.ticket(), order: Box::new(order) }
        })
        .collect();
    let outputs = hq.drain(orders);
    let stores: Vec<String> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Order { answer: Ok(view), .. } => Some(view.parts[0].store.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(stores, ["S0001", "S0001", "S0001", "S0002", "S0002", "S0002"]);
}

#[test]
fn one_key_is_one_order_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 20, 0, 10)];
    caller.reports(&mut hq, stock);
    let order = wanted(&hq, 1, "a", &[(MILK, 2)]);
    let first = place(&mut hq, order.clone()).unwrap();
    drop(hq);
    let mut hq = Headquarters::open_at(folder.path());
    let again = NewOrder { order: OrderId::from_number(99).unwrap(), ..order.clone() };
    let replayed = place(&mut hq, again.clone()).unwrap();
    assert!(replayed.is_replayed);
    assert_eq!((&replayed.shop, &replayed.parts), (&first.shop, &first.parts));
    let other_body = NewOrder { fingerprint: "other".to_owned(), ..again };
    assert_eq!(place(&mut hq, other_body), Err(OrderError::KeyReused));
    assert_eq!(hq.cell("S0001", MILK).free(), units(8));
}

#[test]
fn a_handover_ends_an_order_in_whatever_order_its_cell_comes() {
    for cell_first in [false, true] {
        let (mut hq, mut caller) = open_shop();
        let order = wanted(&hq, 1, "a", &[(MILK, 2)]);
        let number = order.order;
        let view = place(&mut hq, order).unwrap();
        let mut half = received(&caller, &view);
        does(&mut half, Act::HandOver { proof: Proof::Code });
        let mut cell = caller.stock(MILK, 20, 2, 10);
        cell.half.fulfilled = 2_000;
        if cell_first {
            caller.reports(&mut hq, vec![cell]);
            assert_eq!(hq.cell("S0001", MILK).free(), units(8));
            says(&mut hq, &mut caller, number, &half, 0);
        } else {
            says(&mut hq, &mut caller, number, &half, 0);
            assert_eq!(hq.cell("S0001", MILK).free(), units(8), "what has left the store is nobody's");
            caller.reports(&mut hq, vec![cell]);
        }
        assert_eq!(status(&mut hq, number), Status::Collected);
        let cell = hq.cell("S0001", MILK);
        assert_eq!((cell.free(), cell.open(), cell.hub.released), (units(8), units(0), 0));
    }
}

#[test]
fn what_the_store_will_not_hand_over_is_released_once_all_it_has_said_is_here() {
    let (mut hq, mut caller) = open_shop();
    let order = wanted(&hq, 1, "a", &[(MILK, 5)]);
    let number = order.order;
    let view = place(&mut hq, order).unwrap();
    let mut half = received(&caller, &view);
    does(&mut half, Act::Short { item: MILK, quantity: units(2), why: ShortReason::NotFound });
    says(&mut hq, &mut caller, number, &half, 1);
    assert_eq!(hq.cell("S0001", MILK).open(), units(5), "a recall may still be on its way");
    // The recall of what nobody found comes with the rest: nobody is promised it in between.
    let mut cell = caller.stock(MILK, 20, 0, 10);
    cell.half.recalled = 2_000;
    caller.reports(&mut hq, vec![cell]);
    let cell = hq.cell("S0001", MILK);
    assert_eq!((cell.open(), cell.free(), cell.hub.returned), (units(3), units(5), 2_000));
    does(&mut half, Act::Refuse { reason: "closed".to_owned() });
    says(&mut hq, &mut caller, number, &half, 0);
    let cell = hq.cell("S0001", MILK);
    assert_eq!((cell.open(), cell.free()), (units(0), units(8)));
    assert_eq!(status(&mut hq, number), Status::Refused);
}

#[test]
fn an_undone_handover_is_promised_again_before_anybody_else_gets_it() {
    let (mut hq, mut caller) = open_shop();
    let order = wanted(&hq, 1, "a", &[(MILK, 10)]);
    let number = order.order;
    let view = place(&mut hq, order).unwrap();
    let mut half = received(&caller, &view);
    does(&mut half, Act::HandOver { proof: Proof::Code });
    let mut cell = caller.stock(MILK, 20, 10, 10);
    cell.half.fulfilled = 10_000;
    says(&mut hq, &mut caller, number, &half, 0);
    caller.reports(&mut hq, vec![cell]);
    does(&mut half, Act::Undo);
    cell.half.in_ = 30_000;
    cell.half.granted = 20_000;
    says(&mut hq, &mut caller, number, &half, 1);
    caller.reports(&mut hq, vec![cell]);
    let cell = hq.cell("S0001", MILK);
    assert_eq!((cell.open(), cell.free()), (units(10), units(0)));
    assert_eq!(status(&mut hq, number), Status::Ready);
}

#[test]
fn a_cancel_waits_for_the_store_and_a_handover_beats_it() {
    let (mut hq, mut caller) = open_shop();
    let (one, two) = (wanted(&hq, 1, "a", &[(MILK, 2)]), wanted(&hq, 2, "b", &[(MILK, 3)]));
    let (first, second) = (one.order, two.order);
    let views = [place(&mut hq, one).unwrap(), place(&mut hq, two).unwrap()];
    for order in [first, second] {
        let ticket = hq.ticket();
        let view = answered(hq.drain(vec![Input::Cancel { ticket, order, why: Cancel::Shopper }])).unwrap();
        assert_eq!(view.parts[0].status, Status::Cancelling);
    }
    assert_eq!(hq.cell("S0001", MILK).open(), units(5), "asked is not done");
    let mut acknowledged = received(&caller, &views[0]);
    let cancelled = ask(&mut hq, first).unwrap().parts[0].hub.clone();
    acknowledged.act(&Act::AcknowledgeCancel, cancelled.as_ref(), "", UnixMillis(3)).unwrap();
    says(&mut hq, &mut caller, first, &acknowledged, 0);
    assert_eq!((status(&mut hq, first), hq.cell("S0001", MILK).open()), (Status::Cancelled, units(3)));
    let mut handed_over = received(&caller, &views[1]);
    does(&mut handed_over, Act::HandOver { proof: Proof::Person });
    says(&mut hq, &mut caller, second, &handed_over, 0);
    assert_eq!(status(&mut hq, second), Status::Collected);
    let ticket = hq.ticket();
    let late = answered(hq.drain(vec![Input::Cancel { ticket, order: second, why: Cancel::Shopper }]));
    assert_eq!(late, Err(OrderError::TooLate { order: second, status: "collected" }));
}

#[test]
fn nobody_came_for_it() {
    let (mut hq, _) = open_shop();
    let order = wanted(&hq, 1, "a", &[(MILK, 2)]);
    let number = order.order;
    place(&mut hq, order).unwrap();
    hq.pass(72 * 3_600_000);
    hq.tick();
    assert_eq!(status(&mut hq, number), Status::Placed, "until then, and not before");
    hq.pass(1);
    hq.tick();
    let view = ask(&mut hq, number).unwrap();
    assert_eq!(view.parts[0].hub.as_ref().unwrap().cancel, Some(Cancel::Expired));
    let revision = view.parts[0].hub.as_ref().unwrap().revision;
    hq.tick();
    assert_eq!(ask(&mut hq, number).unwrap().parts[0].hub.as_ref().unwrap().revision, revision, "asked once");
}

#[test]
fn an_order_whose_commit_failed_does_not_exist() {
    let (mut hq, _) = open_shop();
    hq.fail_next_commit();
    let order = wanted(&hq, 1, "a", &[(MILK, 2)]);
    assert_eq!(place(&mut hq, order.clone()), Err(OrderError::Storage));
    assert_eq!(ask(&mut hq, order.order), Err(OrderError::NoSuchOrder { order: order.order }));
    assert_eq!(hq.cell("S0001", MILK).free(), units(10));
    assert!(place(&mut hq, order).is_ok(), "the same key may try again");
}

#[test]
fn a_restored_hub_learns_orders_from_the_store_and_does_not_release_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 20, 0, 10)];
    caller.reports(&mut hq, stock);
    std::fs::copy(folder.path().join("hub.db"), folder.path().join("backup.db")).ok();
    let backup = tempfile::tempdir().unwrap();
    drop(hq);
    std::fs::copy(folder.path().join("hub.db"), backup.path().join("hub.db")).unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    caller.connect(&mut hq);
    caller.welcome(&mut hq);
    let order = wanted(&hq, 1, "a", &[(MILK, 4)]);
    let number = order.order;
    let view = place(&mut hq, order).unwrap();
    let half = received(&caller, &view);
    let told = view.parts[0].hub.clone().unwrap();
    caller.down_mark = hq.hub.down_head(&id("S0001")).unwrap();
    drop(hq);

    let mut hq = Headquarters::open_restored(backup.path(), 77);
    caller.connect(&mut hq);
    assert!(caller.welcome(&mut hq).wants_offer);
    let halves = vec![HubStock { item: MILK, half: HubHalf { promised: 4_000, ..HubHalf::default() } }];
    let first = Offer { part: 0, last: false, halves, ..Offer::default() };
    let orders = vec![sync_protocol::record::HubOrderRecord { order: number, half: told }];
    let second = Offer { part: 1, last: true, orders, ..Offer::default() };
    // Overtaken: the last part alone tells nothing of the rest.
    caller.say(&mut hq, Body::Offer(second));
    assert!(!hq.marks("S0001").3, "the first part is still missing");
    caller.say(&mut hq, Body::Offer(first));
    assert!(hq.marks("S0001").3);
    says(&mut hq, &mut caller, number, &half, 0);
    let cell = hq.cell("S0001", MILK);
    assert_eq!((cell.open(), cell.free()), (units(4), units(6)));
    assert_eq!(status(&mut hq, number), Status::Sent);
}

#[test]
fn a_half_from_the_store_that_the_hub_never_asked_for_is_kept_and_harms_nobody() {
    let (mut hq, mut caller) = open_shop();
    let lines = [Line { item: MILK, quantity: units(2) }];
    let half = StoreOrder::received(caller.epoch, &lines, UnixMillis(1));
    says(&mut hq, &mut caller, OrderId::from_number(5).unwrap(), &half, 0);
    assert!(hq.cell("S0001", MILK).free() >= units(8));
    let unknown = OrderId::from_number(5).unwrap();
    assert_eq!(ask(&mut hq, unknown), Err(OrderError::NoSuchOrder { order: unknown }));
}
