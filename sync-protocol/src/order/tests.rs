//! The life of orders: what staff may do, what it moves, and that nothing is handed over twice.

use super::*;
use crate::order::lines::{Cancel, HubOrder, Line};
use proptest::prelude::*;

const MILK: ItemNo = ItemNo(1);
const BREAD: ItemNo = ItemNo(2);
const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const ASHA: &str = "Asha";
const HAND_OVER: Act = Act::HandOver { proof: Proof::Code };

fn units(units: i64) -> Quantity {
    Quantity::from_units(units)
}

fn lines() -> Vec<Line> {
    vec![Line { item: MILK, quantity: units(2) }, Line { item: BREAD, quantity: units(1) }]
}

fn wanted() -> HubOrder {
    HubOrder {
        revision: 1,
        placed_at: NOW,
        ready_by: UnixMillis(NOW.0 + 7_200_000),
        hold_until: UnixMillis(NOW.0 + 259_200_000),
        lines: lines(),
        display_name: "Meera K.".to_owned(),
        phone: "…42".to_owned(),
        code_hash: [0; 16],
        cancel: None,
        closed: false,
    }
}

fn cancelled() -> HubOrder {
    HubOrder { revision: 2, cancel: Some(Cancel::Shopper), ..wanted() }
}

/// A store with one order, and what its acts did to the stock.
struct Store {
    order: StoreOrder,
    hub: HubOrder,
    effects: Vec<Effect>,
}

impl Store {
    fn new() -> Store {
        let order = StoreOrder::received(Epoch(1), &lines(), NOW);
        Store { order, hub: wanted(), effects: Vec::new() }
    }

    fn tries(&mut self, act: &Act) -> Result<(), ActRefused> {
        let effects = self.order.act(act, Some(&self.hub), ASHA, NOW)?;
        self.effects.extend(effects);
        Ok(())
    }

    fn does(&mut self, acts: &[Act]) -> &mut Store {
        acts.iter().for_each(|act| self.tries(act).unwrap());
        self
    }

    fn status(&self) -> Status {
        status(Some(&self.hub), Some(&self.order))
    }
}

fn pick(item: ItemNo, quantity: i64) -> Act {
    Act::Pick { item, quantity: units(quantity) }
}

fn short(item: ItemNo, quantity: i64, why: ShortReason) -> Act {
    Act::Short { item, quantity: units(quantity), why }
}

#[test]
fn an_order_is_picked_made_ready_and_handed_over() {
    let mut store = Store::new();
    assert_eq!(status(Some(&store.hub), None), Status::Placed);
    assert_eq!(store.status(), Status::Sent);
    assert_eq!(store.does(&[Act::Accept]).status(), Status::Accepted);
    assert_eq!(store.does(&[pick(MILK, 1)]).status(), Status::Picking);
    assert_eq!(store.tries(&Act::Ready), Err(ActRefused::Unfinished { item: MILK }));
    assert_eq!(store.does(&[pick(MILK, 1), pick(BREAD, 1), Act::Ready]).status(), Status::Ready);
    assert_eq!(store.effects, [], "nothing leaves the store before the shopper does");
    assert_eq!(store.does(&[HAND_OVER]).status(), Status::Collected);
    let handed = |item, quantity| Effect::HandedOver { item, quantity: units(quantity) };
    assert_eq!(store.effects, [handed(MILK, 2), handed(BREAD, 1)]);
    assert_eq!(store.order.by, ASHA);
}

#[test]
fn nothing_is_handed_over_twice() {
    let mut store = Store::new();
    store.does(&[HAND_OVER]);
    let again = store.tries(&HAND_OVER).unwrap_err();
    assert_eq!(again.to_string(), "the order is handed over; it can't be handed over any more");
    assert_eq!(store.effects.len(), 2);
}

#[test]
fn what_is_short_stays_out_of_the_bag() {
    let mut store = Store::new();
    store.does(&[
        pick(MILK, 1),
        short(MILK, 1, ShortReason::NotFound),
        pick(BREAD, 1),
        Act::Ready,
        HAND_OVER,
    ]);
    let doubted = Effect::InDoubt { item: MILK, quantity: units(1) };
    let handed = |item| Effect::HandedOver { item, quantity: units(1) };
    assert_eq!(store.effects, [doubted, handed(MILK), handed(BREAD)]);
}

#[test]
fn a_reason_moves_stock_as_it_should() {
    let mut store = Store::new();
    store.does(&[short(MILK, 1, ShortReason::Damaged), short(MILK, 1, ShortReason::WrongShelf)]);
    assert_eq!(store.effects, [Effect::Wasted { item: MILK, quantity: units(1) }]);
}

#[test]
fn an_order_of_which_nothing_is_there_is_refused_not_made_ready() {
    let mut store = Store::new();
    store.does(&[short(MILK, 2, ShortReason::NotFound), short(BREAD, 1, ShortReason::NotFound)]);
    assert_eq!(store.tries(&Act::Ready), Err(ActRefused::Empty));
    assert_eq!(store.tries(&HAND_OVER), Err(ActRefused::Empty));
    store.does(&[Act::Refuse { reason: "all gone".to_owned() }]);
    assert_eq!(store.status(), Status::Refused);
    assert!(store.order.put_back, "nothing was picked");
    assert!(store.order.backed().all(|(_, units)| units == 0));
}

#[test]
fn more_than_was_ordered_can_not_be_picked() {
    let mut store = Store::new();
    store.does(&[pick(MILK, 1)]);
    let refused = store.tries(&pick(MILK, 2)).unwrap_err();
    assert_eq!(refused.to_string(), "2 would be more than the 1 still to pick");
    assert_eq!(store.tries(&pick(ItemNo(9), 1)), Err(ActRefused::NoSuchItem));
    assert_eq!(store.tries(&pick(MILK, 0)), Err(ActRefused::NotPositive));
    assert_eq!(store.order.revision, 2, "what is refused changes nothing");
}

#[test]
fn a_cancel_is_a_request_and_a_handover_beats_it() {
    let mut store = Store::new();
    store.does(&[pick(MILK, 2)]);
    assert_eq!(store.tries(&Act::AcknowledgeCancel), Err(ActRefused::NoCancelWanted));
    store.hub = cancelled();
    assert_eq!(store.status(), Status::Cancelling);
    assert_eq!(store.tries(&pick(BREAD, 1)), Err(ActRefused::CancelWanted));
    store.does(&[HAND_OVER]);
    assert_eq!(store.status(), Status::Collected);
    assert!(store.tries(&Act::AcknowledgeCancel).is_err());
}

#[test]
fn what_was_picked_for_a_cancelled_order_is_put_back_once() {
    let mut store = Store::new();
    store.does(&[pick(MILK, 2)]);
    store.hub = cancelled();
    assert_eq!(store.does(&[Act::AcknowledgeCancel]).status(), Status::Cancelled);
    assert!(!store.order.put_back);
    store.does(&[Act::PutBack]);
    assert_eq!(store.tries(&Act::PutBack), Err(ActRefused::NothingToPutBack));
    assert_eq!(store.effects, [], "it never left the store's books");
}

#[test]
fn a_handover_can_be_taken_back_for_a_while() {
    let mut store = Store::new();
    store.does(&[HAND_OVER, Act::Undo]);
    assert_eq!(store.status(), Status::Ready);
    assert_eq!(store.order.progress[0].fulfilled, 2_000, "what was fulfilled once stays counted");
    store.does(&[HAND_OVER]);
    assert_eq!(store.order.progress[0].fulfilled, 4_000);
    let late = UnixMillis(NOW.0 + UNDO_WITHIN.cast_signed() + 1);
    assert_eq!(store.order.act(&Act::Undo, None, ASHA, late), Err(ActRefused::TooLate));
}

#[test]
fn every_end_has_its_status() {
    let ended = |cancel| {
        let mut store = Store::new();
        store.hub = HubOrder { cancel: Some(cancel), ..wanted() };
        store.does(&[Act::AcknowledgeCancel]).status()
    };
    assert_eq!(ended(Cancel::Shopper), Status::Cancelled);
    assert_eq!(ended(Cancel::HeadOffice), Status::Cancelled);
    assert_eq!(ended(Cancel::Unpaid), Status::Cancelled);
    assert_eq!(ended(Cancel::Expired), Status::Expired);
    assert_eq!(ended(Cancel::Rerouted), Status::Rerouted);
}

#[test]
fn of_two_copies_the_newer_one_wins_and_a_higher_epoch_whole() {
    let mut old = Store::new().order;
    let mut newer = old.clone();
    newer.act(&Act::Accept, None, ASHA, NOW).unwrap();
    assert!(old.join(&newer));
    assert!(!old.join(&Store::new().order));
    let successor = StoreOrder { epoch: Epoch(2), revision: 1, ..Store::new().order };
    assert!(old.join(&successor));
    assert_eq!(old, successor);
    let mut hub = wanted();
    assert!(hub.join(&cancelled()));
    assert!(!hub.join(&wanted()));
}

fn any_act() -> impl Strategy<Value = Act> {
    let item = prop_oneof![Just(MILK), Just(BREAD), Just(ItemNo(9))];
    let quantity = (-1_000_i64..3_000).prop_map(Quantity::from_thousandths);
    let why =
        prop_oneof![Just(ShortReason::NotFound), Just(ShortReason::Damaged), Just(ShortReason::WrongShelf)];
    prop_oneof![
        Just(Act::Accept),
        Just(Act::Ready),
        Just(HAND_OVER),
        Just(Act::Undo),
        Just(Act::Refuse { reason: "no".to_owned() }),
        Just(Act::AcknowledgeCancel),
        Just(Act::PutBack),
        (item.clone(), quantity.clone()).prop_map(|(item, quantity)| Act::Pick { item, quantity }),
        (item, quantity, why).prop_map(|(item, quantity, why)| Act::Short { item, quantity, why }),
    ]
}

proptest! {
    /// Whatever people press: the half stays valid, units are conserved, and an end stays an end.
    #[test]
    fn any_acts_keep_the_books(acts in proptest::collection::vec((any_act(), any::<bool>()), 0..40)) {
        let mut order = StoreOrder::received(Epoch(1), &lines(), NOW);
        let mut with_shopper = [0_i64; 2];
        for (act, cancel_wanted) in acts {
            let hub = if cancel_wanted { cancelled() } else { wanted() };
            let before = order.clone();
            let done = order.act(&act, Some(&hub), ASHA, NOW);
            match &done {
                Err(_) => prop_assert_eq!(&order, &before),
                Ok(effects) => {
                    prop_assert_eq!(order.revision, before.revision + 1);
                    for effect in effects {
                        match effect {
                            Effect::HandedOver { item, quantity } => with_shopper[index(*item)] += quantity.thousandths(),
                            Effect::TakenBack { item, quantity } => with_shopper[index(*item)] -= quantity.thousandths(),
                            Effect::Wasted { .. } | Effect::InDoubt { .. } => {}
                        }
                    }
                }
            }
            prop_assert_eq!(order.validate(), Ok(()));
            if !before.stage.is_open() && act != Act::Undo {
                prop_assert_eq!(order.stage, before.stage);
            }
            for (line, with_shopper) in order.progress.iter().zip(with_shopper) {
                prop_assert!((0..=line.ordered.thousandths()).contains(&with_shopper));
                prop_assert_eq!(with_shopper > 0, order.stage == Stage::HandedOver && line.picked > Quantity::ZERO);
                prop_assert!(line.fulfilled >= with_shopper.unsigned_abs());
            }
        }
        if order.stage.is_open() && order.progress.iter().any(|line| line.short < line.ordered) {
            prop_assert!(order.act(&HAND_OVER, None, ASHA, NOW).is_ok(), "an open order can always be handed over");
        }
    }
}

fn index(item: ItemNo) -> usize {
    usize::from(item == BREAD)
}
