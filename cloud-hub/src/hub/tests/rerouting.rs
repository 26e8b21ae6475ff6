//! Orders that go on at another store: only what the first one has given up, once, and as the shopper allowed.

use super::headquarters::id;
use super::orders::{answered, does, open_shop, place, received, says, wanted};
use super::*;
use crate::hub::orders::{Choice, NewOrder, OrderError, OrderView, Part, PartView};
use crate::hub::rerouting::Rerouting;
use crate::orders::placement::Reroute;
use sync_protocol::order::{Act, Cancel, OrderId, Proof, ShortReason, Status};

const OTHER: u64 = 77;

/// Two stores with milk and salt, and an order at the first.
struct Scene {
    hq: Headquarters,
    caller: Caller,
    order: NewOrder,
    view: OrderView,
}

fn scene(reroute: Reroute, may_split: bool) -> Scene {
    let (mut hq, caller) = open_shop();
    let mut other = Caller::greeted(&mut hq, "S0002", 2);
    let stock = vec![other.stock(MILK, 20, 0, 10), other.stock(SALT, 20, 0, 3)];
    other.reports(&mut hq, stock);
    let order = NewOrder { reroute, may_split, ..wanted(&hq, 1, "a", &[(MILK, 4), (SALT, 2)]) };
    let view = place(&mut hq, order.clone()).unwrap();
    Scene { hq, caller, order, view }
}

impl Scene {
    fn ask(&mut self) -> OrderView {
        let (ticket, order) = (self.hq.ticket(), self.order.order);
        answered(self.hq.drain(vec![Input::Order { ticket, order }])).unwrap()
    }

    /// What S0001 makes of its part.
    fn says(&mut self, acts: &[Act]) {
        let mut half = received(&self.caller, &self.view);
        acts.iter().for_each(|act| does(&mut half, act.clone()));
        says(&mut self.hq, &mut self.caller, self.order.order, &half, 0);
    }

    fn choice(&self, lines: &[(ItemNo, i64)]) -> Choice {
        let order = OrderId::from_number(OTHER).unwrap();
        let lines =
            lines.iter().map(|(item, pieces)| (format!("sku-{item}").parse().unwrap(), units(*pieces)));
        let mut half = self.order.choices[0].parts[0].half.clone();
        half.display_name.clear();
        Choice { parts: vec![Part { store: id("S0002"), order, lines: lines.collect(), half }] }
    }

    fn reroute(&mut self, lines: &[(ItemNo, i64)]) -> Result<OrderView, OrderError> {
        let (ticket, order, choices) = (self.hq.ticket(), self.order.order, vec![self.choice(lines)]);
        answered(self.hq.drain(vec![Input::Reroute {
            ticket,
            order,
            choices,
            decision: Some("{}".to_owned()),
        }]))
    }

    fn looked_for(&mut self) -> usize {
        let ticket = self.hq.ticket();
        let outputs = self.hq.drain(vec![Input::LookedFor { ticket }]);
        let found = outputs.into_iter().find_map(|output| match output {
            Output::Orders { answer, .. } => Some(answer.len()),
            _ => None,
        });
        found.expect("an answer")
    }
}

fn refuse() -> Act {
    Act::Refuse { reason: "flooded".to_owned() }
}

fn not_found(item: ItemNo, pieces: i64) -> Act {
    Act::Short { item, quantity: units(pieces), why: ShortReason::NotFound }
}

#[test]
fn a_refused_order_goes_whole_to_another_store_and_its_shopper_keeps_one_bag() {
    let mut scene = scene(Reroute::Auto, false);
    assert_eq!((scene.ask().rerouting(), scene.looked_for()), (Rerouting::Not, 0));
    scene.says(&[refuse()]);
    assert_eq!((scene.ask().rerouting(), scene.looked_for()), (Rerouting::Looking, 1));
    let view = scene.reroute(&[(MILK, 4), (SALT, 2)]).unwrap();
    let of = |part: &PartView| (part.store.to_string(), part.status);
    let parts: Vec<_> = view.parts.iter().map(of).collect();
    assert_eq!(parts, [("S0001".to_owned(), Status::Rerouted), ("S0002".to_owned(), Status::Placed)]);
    let there = view.parts[1].hub.as_ref().unwrap();
    assert_eq!(there.display_name, "Asha K.", "the other store knows whom to call");
    assert_eq!((view.owed(), scene.looked_for()), (vec![], 0));
    assert_eq!(scene.hq.cell("S0001", MILK).free(), units(10));
    assert_eq!(scene.hq.cell("S0002", MILK).free(), units(6));
    let again = scene.reroute(&[(MILK, 4), (SALT, 2)]);
    assert_eq!(again, Err(OrderError::NothingOwed { order: scene.order.order }), "once");
}

#[test]
fn nothing_goes_elsewhere_while_the_first_store_may_still_hand_it_over() {
    let mut scene = scene(Reroute::Auto, false);
    let everything = [(MILK, 4), (SALT, 2)];
    let owes_nothing = Err(OrderError::NothingOwed { order: scene.order.order });
    assert_eq!(scene.reroute(&everything), owes_nothing);
    scene.says(&[not_found(MILK, 1)]);
    assert_eq!(scene.reroute(&everything), owes_nothing, "a shopper who walks once gets what there is");
    assert_eq!(scene.ask().owed().len(), 1, "what is missing is shown all the same");
    let (ticket, order) = (scene.hq.ticket(), scene.order.order);
    scene.hq.drain(vec![Input::Cancel { ticket, order, why: Cancel::Shopper }]);
    assert_eq!(scene.reroute(&everything), owes_nothing);
}

#[test]
fn what_was_not_found_goes_elsewhere_where_the_shopper_walks_twice() {
    let mut scene = scene(Reroute::Offer, true);
    let picked = [
        not_found(MILK, 3),
        Act::Pick { item: MILK, quantity: units(1) },
        Act::Pick { item: SALT, quantity: units(2) },
        Act::Ready,
    ];
    scene.says(&picked);
    let view = scene.ask();
    assert_eq!((view.rerouting(), view.owed()[0].1), (Rerouting::Offered, units(3)));
    assert_eq!(scene.looked_for(), 0, "the shopper chooses");
    assert_eq!(scene.reroute(&[(MILK, 4)]), Err(OrderError::Insufficient), "no more than is owed");
    assert_eq!(scene.reroute(&[(MILK, 2)]), Err(OrderError::Insufficient), "and no less");
    let view = scene.reroute(&[(MILK, 3)]).unwrap();
    let statuses: Vec<Status> = view.parts.iter().map(|part| part.status).collect();
    assert_eq!(statuses, [Status::Ready, Status::Placed]);
    let [short, milk, salt, ready] = picked;
    scene.says(&[short, milk, salt, ready, Act::HandOver { proof: Proof::Person }]);
    assert_eq!(scene.ask().owed(), []);
}

#[test]
fn what_the_shopper_left_there_is_not_owed() {
    let mut scene = scene(Reroute::Auto, true);
    let left = Act::Short { item: MILK, quantity: units(3), why: ShortReason::NotTaken };
    scene.says(&[left, Act::HandOver { proof: Proof::Person }]);
    assert_eq!((scene.ask().owed(), scene.looked_for()), (vec![], 0));
}

#[test]
fn never_means_never() {
    let mut scene = scene(Reroute::Never, true);
    scene.says(&[refuse()]);
    assert_eq!((scene.ask().rerouting(), scene.looked_for()), (Rerouting::Not, 0));
    assert!(scene.reroute(&[(MILK, 4), (SALT, 2)]).is_err());
}

#[test]
fn the_search_ends_after_half_an_hour_and_an_offer_when_the_hold_does() {
    for (reroute, minutes) in [(Reroute::Auto, 30), (Reroute::Offer, 72 * 60)] {
        let mut scene = scene(reroute, false);
        scene.says(&[refuse()]);
        scene.hq.pass(minutes * 60_000 - 10_000);
        scene.hq.tick();
        assert_ne!(scene.ask().rerouting(), Rerouting::Not, "{reroute:?}");
        scene.hq.pass(20_000);
        scene.hq.tick();
        let view = scene.ask();
        assert_eq!((view.rerouting(), view.shop.content.is_given_up), (Rerouting::Not, true), "{reroute:?}");
        assert!(scene.reroute(&[(MILK, 4), (SALT, 2)]).is_err());
    }
}

#[test]
fn a_search_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 20, 0, 10)];
    caller.reports(&mut hq, stock);
    let order = NewOrder { reroute: Reroute::Auto, ..wanted(&hq, 1, "a", &[(MILK, 4)]) };
    let view = place(&mut hq, order.clone()).unwrap();
    let mut half = received(&caller, &view);
    does(&mut half, refuse());
    says(&mut hq, &mut caller, order.order, &half, 0);
    drop(hq);
    let hq = Headquarters::open_at(folder.path());
    let mut scene = Scene { hq, caller, order, view };
    assert_eq!(scene.looked_for(), 1);
}
