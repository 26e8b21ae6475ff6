//! Pickup orders across an epoch: whoever knows of a handover, it is not done twice and not forgotten.

use super::conversation::{Hub, connect, empty_handover, hello_of, item, stock};
use super::pickups::{ORDER, PERSON, asks, half, row};
use super::shop::OPENS;
use super::*;
use pickup::Wish;
use sync_protocol::frame::Handover;
use sync_protocol::order::{Act, Line as OrderLine, Proof, Stage, Status, StoreOrder};
use sync_protocol::pickup_code::PickupCode;
use sync_protocol::record::{
    HubOrderRecord, HubStock, KnownDocument, StoreOrderRecord, StoreStock, document_key,
};
use sync_protocol::stock::{HubHalf, StoreHalf};

const MILK: ItemNo = ItemNo(1);

/// What was in the books before the cut is not in this disk's ledger, so the two are not compared here.
fn does(shop: &mut Shop, act: Act) -> Result<OrderRow, PickupError> {
    asks(shop, Wish::Act { order: ORDER, act, revision: None })
}

fn hub_order() -> HubOrderRecord {
    HubOrderRecord { order: ORDER, half: half(&[(MILK, 2)]) }
}

/// The hub's copy of the store: ten in, all granted, two promised.
fn handover(epoch: u32, store_orders: Vec<StoreOrderRecord>) -> Handover {
    let milk = stock(1, epoch, 10, 0);
    let milk = StoreStock { half: StoreHalf { granted: 10_000, ..milk.half }, ..milk };
    let promised = HubStock { item: MILK, half: HubHalf { promised: 2_000, ..HubHalf::default() } };
    Handover {
        next_position: Position(50),
        items: vec![item(1, "milk")],
        stock: vec![milk],
        halves: vec![promised],
        hub_orders: vec![hub_order()],
        store_orders,
        ..empty_handover(Epoch(epoch))
    }
}

fn store_half(acts: &[Act]) -> StoreOrderRecord {
    let mut half = StoreOrder::received(Epoch(1), &hub_order().half.lines, OPENS);
    for act in acts {
        half.act(act, Some(&hub_order().half), "Ana", OPENS).unwrap();
    }
    StoreOrderRecord { order: ORDER, half }
}

fn known_pickup(half: &StoreOrder) -> KnownDocument {
    let reference = pickup::reference(ORDER, &PERSON, half, half.since);
    KnownDocument {
        key: document_key(&pickup::source(), &reference),
        content: 0,
        first_position: Position(7),
        lines: 1,
    }
}

fn new_disk(handover: Handover) -> Shop {
    let mut shop = Shop::open();
    let boot = hello_of(&connect(&mut shop)).boot;
    let mut hub = Hub { epoch: Epoch(0), boot, down_head: Seq(0) };
    hub.hands_over(&mut shop, handover);
    shop
}

/// An agent with the order, whose line is down.
fn cut_off() -> (Shop, Hub) {
    let mut shop = Shop::open();
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    hub.promises(&mut shop, "milk", 2);
    hub.sends_order(&mut shop, hub_order());
    shop.agent.drain(vec![Input::LinkDown { reason: "cut".to_owned() }], shop.now);
    (shop, hub)
}

fn receipt_is_known() -> KnownDocument {
    let reference = "auto-1001".parse().unwrap();
    KnownDocument {
        key: document_key(&source("till-3"), &reference),
        content: 0,
        first_position: Position(1),
        lines: 1,
    }
}

#[test]
fn a_new_disk_goes_on_with_the_orders_of_the_old_one() {
    let mut shop = new_disk(handover(4, vec![store_half(&[Act::Accept])]));
    assert_eq!((row(&shop).store.stage, row(&shop).store.epoch), (Stage::Accepted, Epoch(4)));
    does(&mut shop, PERSON).unwrap();
    assert_eq!((shop.on_hand("milk"), shop.cell("milk").store.fulfilled), (units(8), 2_000));
}

/// The order's half reached the hub, the document of the same handover did not.
#[test]
fn a_handover_whose_document_was_lost_is_booked_again() {
    let mut shop = new_disk(handover(4, vec![store_half(&[PERSON])]));
    assert_eq!(pickup::status(&row(&shop)), Status::Collected);
    assert_eq!((shop.on_hand("milk"), shop.cell("milk").store.fulfilled), (units(8), 2_000));
    assert!(does(&mut shop, PERSON).is_err());
    does(&mut shop, Act::Undo).unwrap();
    assert_eq!(shop.on_hand("milk"), units(10));
}

#[test]
fn a_handover_the_hub_has_in_its_figures_is_not_booked_again() {
    let done = store_half(&[PERSON]);
    let mut copy = handover(4, vec![done.clone()]);
    copy.stock[0].half.out = 2_000;
    copy.stock[0].half.fulfilled = 2_000;
    copy.known = vec![known_pickup(&done.half)];
    let shop = new_disk(copy);
    assert_eq!((shop.on_hand("milk"), shop.cell("milk").store.fulfilled), (units(8), 2_000));
}

#[test]
fn what_a_till_rang_up_the_till_tells_again() {
    let rung_up = Act::HandOver { proof: Proof::Till };
    let mut shop = new_disk(handover(4, vec![store_half(&[rung_up])]));
    assert_eq!((shop.on_hand("milk"), shop.cell("milk").store.fulfilled), (units(10), 2_000));
    let sale = shop::document(Kind::Sale, "42", &[("milk", units(2))]);
    shop.record(Document { order: Some(ORDER), ..sale }).unwrap();
    assert_eq!((shop.on_hand("milk"), shop.cell("milk").store.fulfilled), (units(8), 2_000));
}

/// Two copies of one disk were at work: this one handed over, and the hub has only heard of the other.
#[test]
fn a_handover_only_this_disk_knows_is_kept_in_the_new_epoch() {
    let (mut shop, mut hub) = cut_off();
    does(&mut shop, PERSON).unwrap();
    let handed_over = row(&shop).store;
    hello_of(&connect(&mut shop));
    let mut copy = handover(
        2,
        vec![store_half(&[Act::Accept, Act::Ready].map(|act| match act {
            Act::Ready => Act::Pick { item: MILK, quantity: units(2) },
            other => other,
        }))],
    );
    copy.known = vec![receipt_is_known()];
    hub.hands_over(&mut shop, copy);
    let row = row(&shop);
    assert_eq!((row.store.stage, row.store.epoch), (Stage::HandedOver, Epoch(2)));
    assert!(row.store.revision >= handed_over.revision);
    assert_eq!((shop.on_hand("milk"), shop.cell("milk").store.fulfilled), (units(8), 2_000));
    let batch = conversation::state_of(&hub.welcomes(&mut shop));
    assert_eq!(batch.orders.len(), 1, "and the hub hears of it");
}

#[test]
fn an_order_handed_over_on_its_code_alone_survives_a_new_epoch() {
    let (mut shop, mut hub) = cut_off();
    let order = sync_protocol::order::OrderId::from_random(9);
    let code = PickupCode {
        store: "S0001".parse().unwrap(),
        order,
        valid_until: UnixMillis(OPENS.0 + 1_000),
        lines: vec![OrderLine { item: MILK, quantity: units(1) }],
    };
    asks(&mut shop, Wish::Code(code.clone())).unwrap();
    hello_of(&connect(&mut shop));
    let mut copy = handover(2, Vec::new());
    copy.known = vec![receipt_is_known()];
    hub.hands_over(&mut shop, copy);
    assert_eq!((shop.on_hand("milk"), shop.cell("milk").store.fulfilled), (units(9), 1_000));
    assert!(asks(&mut shop, Wish::Code(code)).is_err(), "used");
    assert_eq!(row(&shop).store.stage, Stage::Received, "the other one came with the hub's copy");
}
