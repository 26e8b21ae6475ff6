//! Pickup orders at the store: what acts do to the stock, and everything that must not happen.

use super::conversation::Hub;
use super::shop::{OPENS, document, settings};
use super::*;
use crate::store::orders;
use pickup::{Request, Wish};
use sync_protocol::order::lifecycle::UNDO_WITHIN;
use sync_protocol::order::{
    Act, ActRefused, Cancel, HubOrder, Line as OrderLine, OrderId, Proof, ShortReason, Stage, Status,
};
use sync_protocol::pickup_code::{CodeRefused, PickupCode};
use sync_protocol::record::HubOrderRecord;
use sync_protocol::stock::HubHalf;

pub(super) const ORDER: OrderId = OrderId::from_random(0x1234_5678_9ABC);
pub(super) const PERSON: Act = Act::HandOver { proof: Proof::Person };
const MILK: ItemNo = ItemNo(1);
const SALT: ItemNo = ItemNo(2);

pub(super) fn half(lines: &[(ItemNo, i64)]) -> HubOrder {
    let line = |(item, pieces): &(ItemNo, i64)| OrderLine { item: *item, quantity: units(*pieces) };
    HubOrder {
        revision: 1,
        placed_at: OPENS,
        ready_by: UnixMillis(OPENS.0 + 3_600_000),
        hold_until: UnixMillis(OPENS.0 + 86_400_000),
        lines: lines.iter().map(line).collect(),
        display_name: "Ana G.".to_owned(),
        phone: "…42".to_owned(),
        code_hash: [7; 16],
        cancel: None,
        closed: false,
    }
}

fn record(half: HubOrder) -> HubOrderRecord {
    HubOrderRecord { order: ORDER, half }
}

fn cancelled(why: Cancel) -> HubOrderRecord {
    record(HubOrder { revision: 2, cancel: Some(why), ..half(&[(MILK, 2), (SALT, 1)]) })
}

/// Ten of each on hand, and an order for two of milk and one of salt.
fn ordered() -> (Shop, Hub) {
    let mut shop = Shop::open();
    let hub = order_in(&mut shop);
    (shop, hub)
}

fn order_in(shop: &mut Shop) -> Hub {
    let mut hub = Hub::connected(shop);
    shop.receive("milk", 10);
    shop.receive("salt", 10);
    for (item, pieces) in [("milk", 2), ("salt", 1)] {
        hub.promises(shop, item, pieces);
    }
    hub.sends_order(shop, record(half(&[(MILK, 2), (SALT, 1)])));
    shop.holds_together();
    hub
}

pub(super) fn asks(shop: &mut Shop, wish: Wish) -> Result<OrderRow, PickupError> {
    let request = Request { by: "Ana".to_owned(), wish };
    let input = Input::Pickup { ticket: Ticket(77), request };
    let outputs = shop.agent.drain(vec![input], shop.now);
    let answer = outputs.into_iter().find_map(|output| match output {
        Output::Answer { answer: Answer::Pickup(answer), .. } => Some(answer),
        _ => None,
    });
    answer.expect("an answer").map(|row| *row)
}

pub(super) fn does(shop: &mut Shop, act: Act) -> Result<OrderRow, PickupError> {
    let done = asks(shop, Wish::Act { order: ORDER, act, revision: None });
    shop.holds_together();
    done
}

fn pick(item: ItemNo, pieces: i64) -> Act {
    Act::Pick { item, quantity: units(pieces) }
}

fn short(item: ItemNo, pieces: i64, why: ShortReason) -> Act {
    Act::Short { item, quantity: units(pieces), why }
}

pub(super) fn row(shop: &Shop) -> OrderRow {
    orders::order(shop.agent.database(), shop.agent.mind.epoch, ORDER).unwrap().unwrap()
}

fn figures(shop: &Shop, item: &str) -> (Quantity, u64) {
    (shop.on_hand(item), shop.cell(item).store.fulfilled)
}

fn code(pieces: i64) -> PickupCode {
    PickupCode {
        store: "S0001".parse().unwrap(),
        order: ORDER,
        valid_until: UnixMillis(OPENS.0 + 86_400_000),
        lines: vec![OrderLine { item: MILK, quantity: units(pieces) }],
    }
}

fn sale(reference: &str, lines: &[(&str, Quantity)]) -> Document {
    Document { order: Some(ORDER), ..document(Kind::Sale, reference, lines) }
}

// Handing over.

#[test]
fn goods_and_rights_leave_once_with_the_handover() {
    let (mut shop, _hub) = ordered();
    for act in [Act::Accept, pick(MILK, 2), pick(SALT, 1), Act::Ready] {
        does(&mut shop, act).unwrap();
    }
    assert_eq!(figures(&shop, "milk"), (units(10), 0), "picking moves nothing");
    let done = does(&mut shop, PERSON).unwrap();
    assert_eq!((pickup::status(&done), done.store.by.as_str()), (Status::Collected, "Ana"));
    assert_eq!((figures(&shop, "milk"), figures(&shop, "salt")), ((units(8), 2_000), (units(9), 1_000)));
    assert_eq!(shop.cell("milk").open(), units(0));
    assert!(matches!(does(&mut shop, PERSON), Err(PickupError::Refused(ActRefused::Stage { .. }))));
    assert_eq!(figures(&shop, "milk"), (units(8), 2_000));
    assert_eq!(
        shop.number(
            "SELECT count(*) FROM document d JOIN source s ON s.source = d.source WHERE s.name = 'pickup'"
        ),
        1
    );
}

#[test]
fn a_handover_can_be_taken_back_for_ten_minutes() {
    let (mut shop, _hub) = ordered();
    does(&mut shop, PERSON).unwrap();
    shop.pass(UNDO_WITHIN);
    assert_eq!(does(&mut shop, Act::Undo).unwrap().store.stage, Stage::Ready);
    assert_eq!(figures(&shop, "milk"), (units(10), 2_000));
    assert!(shop.cell("milk").claim() <= shop.on_hand("milk"), "nothing is set aside that is not there");
    does(&mut shop, PERSON).unwrap();
    assert_eq!(figures(&shop, "milk"), (units(8), 4_000));
    shop.pass(UNDO_WITHIN + 1);
    assert_eq!(does(&mut shop, Act::Undo), Err(PickupError::Refused(ActRefused::TooLate)));
    assert_eq!(figures(&shop, "milk"), (units(8), 4_000));
}

#[test]
fn an_act_on_an_order_that_has_moved_on_is_refused_with_where_it_is() {
    let (mut shop, _hub) = ordered();
    let seen = row(&shop).store.revision;
    let pick = |revision| Wish::Act { order: ORDER, act: pick(MILK, 1), revision: Some(revision) };
    let next = asks(&mut shop, pick(seen)).unwrap().store.revision;
    let late = asks(&mut shop, pick(seen)).unwrap_err();
    assert_eq!(late, PickupError::MovedOn { order: ORDER, status: "picking", revision: next });
    assert_eq!(row(&shop).store.progress[0].picked, units(1), "once");
    assert!(asks(&mut shop, pick(next)).is_ok());
}

#[test]
fn an_order_nobody_knows_is_refused() {
    let mut shop = Shop::open();
    let refused = does(&mut shop, Act::Accept).unwrap_err();
    assert_eq!(refused, PickupError::NoSuchOrder { order: ORDER });
    assert!(refused.to_string().contains("scan"), "{refused}");
}

// Short lines.

#[test]
fn what_is_not_found_is_not_offered_until_somebody_counts() {
    let (mut shop, mut hub) = ordered();
    does(&mut shop, short(MILK, 2, ShortReason::NotFound)).unwrap();
    assert_eq!(shop.on_hand("milk"), units(10), "only a count changes on hand");
    let milk = shop.cell("milk").store;
    assert_eq!(milk.granted - milk.recalled, 8_000, "recalled in the same step");
    hub.honours_recalls(&mut shop);
    assert_eq!(shop.cell("milk").free(), units(6), "the two are still promised to the order");
    let hub_half = shop.cell("milk").hub;
    hub.sends_down(&mut shop, "milk", HubHalf { released: 2_000, ..hub_half });
    assert_eq!(shop.cell("milk").free(), units(8), "and not offered once they are released");
    let counted = Counted::At(shop.now.wall);
    shop.count("milk", 10, counted);
    assert_eq!(shop.cell("milk").free(), units(10), "counted, so they are there");
    shop.holds_together();
}

#[test]
fn a_count_below_the_books_ends_the_doubt_too() {
    let (mut shop, mut hub) = ordered();
    does(&mut shop, short(MILK, 2, ShortReason::NotFound)).unwrap();
    hub.honours_recalls(&mut shop);
    let counted = Counted::At(shop.now.wall);
    shop.count("milk", 8, counted);
    let hub_half = shop.cell("milk").hub;
    hub.sends_down(&mut shop, "milk", HubHalf { released: 2_000, ..hub_half });
    assert_eq!((shop.on_hand("milk"), shop.cell("milk").free()), (units(8), units(8)));
    shop.holds_together();
}

/// A sheet filled in before staff looked for it was typed in afterwards, and what nobody could find was offered again.
#[test]
fn a_count_from_before_the_search_does_not_say_where_it_is() {
    let (mut shop, mut hub) = ordered();
    let early = [Counted::At(shop.now.wall), Counted::Position(Position(1))];
    shop.pass(60_000);
    does(&mut shop, short(MILK, 2, ShortReason::NotFound)).unwrap();
    hub.honours_recalls(&mut shop);
    let aside = |shop: &Shop| {
        let milk = shop.cell("milk").store;
        milk.granted - milk.recalled
    };
    for counted in early {
        shop.count("milk", 10, counted);
        assert_eq!(aside(&shop), 8_000, "{counted:?}");
    }
    let now = Counted::At(shop.now.wall);
    shop.count("milk", 10, now);
    assert_eq!(aside(&shop), 10_000);
    shop.holds_together();
}

#[test]
fn what_is_damaged_goes_out_as_waste_and_is_never_offered_again() {
    let (mut shop, mut hub) = ordered();
    does(&mut shop, short(MILK, 1, ShortReason::Damaged)).unwrap();
    assert_eq!(shop.on_hand("milk"), units(9));
    let kind = format!("SELECT count(*) FROM document WHERE kind = {}", Kind::Waste.code());
    assert_eq!(shop.number(&kind), 1);
    let milk = shop.cell("milk").store;
    assert_eq!(milk.granted - milk.recalled, 9_000);
    hub.honours_recalls(&mut shop);
    let hub_half = shop.cell("milk").hub;
    hub.sends_down(&mut shop, "milk", HubHalf { released: 1_000, ..hub_half });
    assert_eq!((shop.cell("milk").claim(), shop.cell("milk").free()), (units(9), units(8)));
    does(&mut shop, pick(MILK, 1)).unwrap();
    does(&mut shop, PERSON).unwrap();
    assert_eq!(figures(&shop, "milk"), (units(8), 1_000));
    assert_eq!(shop.cell("milk").shortfall(), units(0));
}

#[test]
fn a_wrong_shelf_and_a_refusal_move_nothing() {
    let (mut shop, _hub) = ordered();
    does(&mut shop, short(SALT, 1, ShortReason::WrongShelf)).unwrap();
    does(&mut shop, short(MILK, 1, ShortReason::NotTaken)).unwrap();
    does(&mut shop, Act::Refuse { reason: "the power is out".to_owned() }).unwrap();
    assert_eq!((figures(&shop, "milk"), figures(&shop, "salt")), ((units(10), 0), (units(10), 0)));
    assert_eq!(pickup::status(&row(&shop)), Status::Refused);
    assert_eq!(does(&mut shop, Act::PutBack), Err(PickupError::Refused(ActRefused::NothingToPutBack)));
}

// Signed codes.

#[test]
fn a_code_of_an_order_that_never_came_hands_it_over_and_the_hub_half_fits_in_later() {
    let mut shop = Shop::open();
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    let done = asks(&mut shop, Wish::Code(code(2))).unwrap();
    assert_eq!((pickup::status(&done), done.hub), (Status::Collected, None));
    assert_eq!((figures(&shop, "milk"), shop.cell("milk").claim()), ((units(8), 2_000), units(8)));
    assert_eq!(asks(&mut shop, Wish::Code(code(2))), Err(PickupError::Code(CodeRefused::Used)));
    hub.sends_order(&mut shop, record(half(&[(MILK, 2)])));
    hub.promises(&mut shop, "milk", 2);
    let row = row(&shop);
    assert_eq!((pickup::status(&row), row.hub.is_some()), (Status::Collected, true));
    assert_eq!((figures(&shop, "milk"), shop.cell("milk").open()), ((units(8), 2_000), units(0)));
    assert_eq!(shop.agent.status().quarantined, 0);
    shop.holds_together();
}

#[test]
fn a_code_for_elsewhere_or_of_long_ago_hands_nothing_over() {
    let (mut shop, _hub) = ordered();
    let other = PickupCode { store: "S0002".parse().unwrap(), ..code(2) };
    let refused = asks(&mut shop, Wish::Code(other)).unwrap_err();
    assert!(matches!(refused, PickupError::Code(CodeRefused::OtherStore { .. })), "{refused}");
    let unknown = PickupCode { lines: vec![OrderLine { item: ItemNo(99), quantity: units(1) }], ..code(2) };
    assert_eq!(asks(&mut shop, Wish::Code(unknown)), Err(PickupError::UnknownItem { item: ItemNo(99) }));
    let tolerance = pickup::CLOCK_TOLERANCE_MS.unsigned_abs();
    shop.pass(86_400_000 + tolerance);
    let expired = PickupCode { valid_until: UnixMillis(OPENS.0 + 86_399_999), ..code(2) };
    assert_eq!(asks(&mut shop, Wish::Code(expired)), Err(PickupError::Code(CodeRefused::Expired)));
    assert_eq!(figures(&shop, "milk"), (units(10), 0));
    assert!(asks(&mut shop, Wish::Code(code(2))).is_ok(), "the last moment, by a clock that is a day fast");
    shop.holds_together();
}

#[test]
fn a_code_for_an_order_the_store_has_refused_hands_nothing_over() {
    let (mut shop, _hub) = ordered();
    does(&mut shop, Act::Refuse { reason: "the power is out".to_owned() }).unwrap();
    let refused = asks(&mut shop, Wish::Code(code(2))).unwrap_err();
    assert!(matches!(refused, PickupError::Refused(ActRefused::Stage { stage: "refused", .. })), "{refused}");
    assert_eq!(figures(&shop, "milk"), (units(10), 0));
}

// What the hub wants.

#[test]
fn an_untouched_order_is_cancelled_without_anybody() {
    let (mut shop, mut hub) = ordered();
    hub.sends_order(&mut shop, cancelled(Cancel::Shopper));
    let row = row(&shop);
    assert_eq!((pickup::status(&row), row.is_active()), (Status::Cancelled, false));
    assert!(does(&mut shop, PERSON).is_err());
    shop.holds_together();
}

#[test]
fn a_picked_order_is_cancelled_by_staff_who_put_it_back() {
    let (mut shop, mut hub) = ordered();
    does(&mut shop, pick(MILK, 2)).unwrap();
    hub.sends_order(&mut shop, cancelled(Cancel::Expired));
    assert_eq!(pickup::status(&row(&shop)), Status::Cancelling);
    assert_eq!(does(&mut shop, pick(SALT, 1)), Err(PickupError::Refused(ActRefused::CancelWanted)));
    let ended = does(&mut shop, Act::AcknowledgeCancel).unwrap();
    assert_eq!((pickup::status(&ended), ended.is_active()), (Status::Expired, true));
    assert!(!does(&mut shop, Act::PutBack).unwrap().is_active());
    assert_eq!(figures(&shop, "milk"), (units(10), 0));
}

#[test]
fn a_handover_beats_a_cancellation() {
    let (mut shop, mut hub) = ordered();
    does(&mut shop, PERSON).unwrap();
    hub.sends_order(&mut shop, cancelled(Cancel::Shopper));
    assert_eq!(pickup::status(&row(&shop)), Status::Collected);
    assert_eq!(figures(&shop, "milk"), (units(8), 2_000));
    shop.holds_together();
}

#[test]
fn an_order_that_can_not_be_understood_is_set_aside() {
    let (mut shop, mut hub) = ordered();
    let other = HubOrderRecord { order: OrderId::from_random(9), half: half(&[(ItemNo(99), 1)]) };
    hub.sends_order(&mut shop, other);
    hub.sends_order(&mut shop, record(HubOrder { revision: 2, ..half(&[(MILK, 3), (SALT, 1)]) }));
    assert_eq!(shop.agent.status().quarantined, 2);
    assert_eq!(shop.number("SELECT count(*) FROM quarantine WHERE reason LIKE '%item 99%'"), 1);
    assert_eq!(shop.number("SELECT count(*) FROM quarantine WHERE reason LIKE '%other lines%'"), 1);
    assert_eq!(row(&shop).hub.map(|hub| hub.revision), Some(1));
    shop.holds_together();
}

#[test]
fn an_older_half_of_the_hub_changes_nothing() {
    let (mut shop, mut hub) = ordered();
    does(&mut shop, pick(MILK, 1)).unwrap();
    hub.sends_order(&mut shop, cancelled(Cancel::Shopper));
    let before = row(&shop);
    hub.sends_order(&mut shop, record(half(&[(MILK, 2), (SALT, 1)])));
    assert_eq!(row(&shop), before);
    shop.holds_together();
}

// The till.

#[test]
fn a_sale_that_names_an_order_closes_it_and_counts_once() {
    let (mut shop, _hub) = ordered();
    let basket = [("milk", units(2)), ("salt", units(1)), ("bread", units(1))];
    shop.record(sale("42", &basket)).unwrap();
    let row = row(&shop);
    assert_eq!((pickup::status(&row), row.store.proof), (Status::Collected, Some(Proof::Till)));
    assert_eq!(row.store.by, "till-3");
    assert_eq!((figures(&shop, "milk"), figures(&shop, "salt")), ((units(8), 2_000), (units(9), 1_000)));
    assert!(matches!(shop.record(sale("42", &basket)), Ok(Recorded::Duplicate { .. })));
    assert_eq!(figures(&shop, "milk"), (units(8), 2_000));
    shop.holds_together();
}

#[test]
fn what_the_till_did_not_ring_up_was_not_taken() {
    let (mut shop, _hub) = ordered();
    for act in [pick(MILK, 2), pick(SALT, 1), Act::Ready] {
        does(&mut shop, act).unwrap();
    }
    shop.record(sale("42", &[("milk", units(1))])).unwrap();
    let progress = row(&shop).store.progress;
    assert_eq!((progress[0].picked, progress[0].short), (units(1), units(1)));
    assert_eq!((progress[1].short, progress[1].why), (units(1), Some(ShortReason::NotTaken)));
    assert_eq!((figures(&shop, "milk"), figures(&shop, "salt")), ((units(9), 1_000), (units(10), 0)));
    shop.holds_together();
}

#[test]
fn the_till_is_never_refused_for_the_order_it_names() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    assert!(matches!(shop.record(sale("1", &[("milk", units(1))])), Ok(Recorded::New { .. })), "unknown");
    let (mut shop, _hub) = ordered();
    assert!(matches!(shop.record(sale("2", &[("bread", units(1))])), Ok(Recorded::New { .. })));
    assert_eq!(row(&shop).store.stage, Stage::Received, "nothing of it was rung up");
    does(&mut shop, Act::Refuse { reason: "closed".to_owned() }).unwrap();
    assert!(matches!(shop.record(sale("3", &[("milk", units(1))])), Ok(Recorded::New { .. })));
    assert_eq!((row(&shop).store.stage, shop.on_hand("milk")), (Stage::Refused, units(9)));
    shop.holds_together();
}

/// Handed over at the counter, then rung up: the goods left twice in the books.
#[test]
fn a_sale_after_the_handover_does_not_count_a_second_time() {
    let (mut shop, _hub) = ordered();
    does(&mut shop, PERSON).unwrap();
    shop.record(sale("42", &[("milk", units(2)), ("salt", units(1))])).unwrap();
    assert_eq!((figures(&shop, "milk"), figures(&shop, "salt")), ((units(8), 2_000), (units(9), 1_000)));
    assert_eq!(row(&shop).store.proof, Some(Proof::Till));
    shop.record(sale("43", &[("milk", units(2))])).unwrap();
    assert_eq!(figures(&shop, "milk"), (units(6), 2_000), "a second sale is one of its own");
    shop.holds_together();
}

#[test]
fn what_the_till_rang_up_comes_back_by_the_tills_return() {
    let (mut shop, _hub) = ordered();
    shop.record(sale("42", &[("milk", units(2)), ("salt", units(1))])).unwrap();
    assert_eq!(does(&mut shop, Act::Undo), Err(PickupError::Refused(ActRefused::RungUp)));
    shop.record(document(Kind::Sale, "43", &[("milk", units(-2)), ("salt", units(-1))])).unwrap();
    assert_eq!((row(&shop).store.stage, figures(&shop, "milk")), (Stage::HandedOver, (units(10), 2_000)));
    shop.holds_together();
}

#[test]
fn nobody_reports_under_the_agents_own_source() {
    let mut shop = Shop::open();
    let foreign = Document { source: source("pickup"), ..document(Kind::Sale, "1", &[("milk", units(1))]) };
    assert!(matches!(shop.record(foreign), Err(RecordError::Invalid { field, .. }) if field == "source"));
    assert_eq!(shop.number("SELECT count(*) FROM movement"), 0);
}

// The disk, and the bounds.

#[test]
fn a_failed_commit_changes_nothing_and_says_so() {
    let (mut shop, _hub) = ordered();
    let before = (row(&shop), shop.cell("milk"));
    shop.agent.database().execute_batch("ALTER TABLE movement RENAME TO elsewhere").unwrap();
    let refused = asks(&mut shop, Wish::Act { order: ORDER, act: PERSON, revision: None }).unwrap_err();
    assert!(matches!(refused, PickupError::Record(RecordError::Storage { .. })), "{refused}");
    shop.agent.database().execute_batch("ALTER TABLE elsewhere RENAME TO movement").unwrap();
    shop.holds_together();
    assert_eq!((row(&shop), shop.cell("milk")), before);
    does(&mut shop, PERSON).unwrap();
    assert_eq!(figures(&shop, "milk"), (units(8), 2_000));
}

/// Rights were moved after goods and order had been written, so a refusal there left those behind.
#[test]
fn an_act_beyond_a_bound_changes_nothing() {
    let (mut shop, _hub) = ordered();
    let bound = sync_protocol::stock::TOTAL_MAX;
    let salt = &mut shop.agent.mind.inventory.touch(SALT).cell.store;
    (salt.granted, salt.fulfilled) = (bound, bound);
    let before = (row(&shop), shop.cell("milk"));
    let refused = asks(&mut shop, Wish::Act { order: ORDER, act: PERSON, revision: None }).unwrap_err();
    assert!(matches!(refused, PickupError::Record(RecordError::Invalid { .. })), "{refused}");
    assert_eq!((row(&shop), shop.cell("milk")), before);
    assert_eq!(shop.on_hand("salt"), units(10));
}

#[test]
fn a_restart_keeps_orders_and_doubts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let mut shop = Shop::with(store::open(&path).unwrap(), settings(), 1);
    order_in(&mut shop);
    does(&mut shop, short(MILK, 1, ShortReason::NotFound)).unwrap();
    does(&mut shop, pick(SALT, 1)).unwrap();
    let (before, cell, status) = (row(&shop), shop.cell("milk"), shop.agent.status());
    drop(shop);
    let mut shop = Shop::with(store::open(&path).unwrap(), settings(), 2);
    shop.holds_together();
    assert_eq!((row(&shop), shop.cell("milk")), (before, cell));
    assert_eq!(shop.agent.status().records_pending, status.records_pending);
    shop.receive("milk", 1);
    let milk = shop.cell("milk").store;
    assert_eq!(milk.granted - milk.recalled, 10_000, "of eleven one is still in doubt");
    does(&mut shop, PERSON).unwrap();
    assert_eq!(figures(&shop, "milk"), (units(10), 1_000));
}
