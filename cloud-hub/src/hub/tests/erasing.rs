//! Customers' data: gone in time and on request, at the hub and, with a receipt, at the stores.

use super::headquarters::{CUSTOMERS_KEPT_MS, id};
use super::orders::{answered, does, open_shop, place, received, says, wanted};
use super::*;
use crate::hub::orders::{OrderError, OrderView};
use sync_protocol::order::{Act, OrderId, Proof};

struct Scene {
    hq: Headquarters,
    caller: Caller,
    order: OrderId,
    view: OrderView,
}

fn scene() -> Scene {
    let (mut hq, caller) = open_shop();
    let order = wanted(&hq, 1, "a", &[(MILK, 4)]);
    let view = place(&mut hq, order.clone()).unwrap();
    Scene { hq, caller, order: order.order, view }
}

impl Scene {
    fn is_collected(&mut self) {
        let mut half = received(&self.caller, &self.view);
        does(&mut half, Act::HandOver { proof: Proof::Code });
        says(&mut self.hq, &mut self.caller, self.order, &half, 0);
    }

    fn erase(&mut self) -> Result<OrderView, OrderError> {
        let (ticket, order) = (self.hq.ticket(), self.order);
        answered(self.hq.drain(vec![Input::Erase { ticket, order }]))
    }

    fn ask(&mut self) -> OrderView {
        let (ticket, order) = (self.hq.ticket(), self.order);
        answered(self.hq.drain(vec![Input::Order { ticket, order }])).unwrap()
    }

    /// The agent says that it holds what it was told up to here.
    fn holds(&mut self, mark: Seq) {
        self.caller.down_mark = mark;
        let beat = self.caller.heartbeat();
        self.caller.say(&mut self.hq, Body::Heartbeat(beat));
    }

    fn receipts(&mut self) -> usize {
        self.ask().shop.content.receipts.len()
    }
}

fn knows_nobody(view: &OrderView) -> bool {
    let half = view.parts[0].hub.as_ref().unwrap();
    view.shop.customer.is_empty() && half.display_name.is_empty() && half.phone.is_empty() && half.closed
}

#[test]
fn an_open_order_keeps_its_customer() {
    let mut scene = scene();
    assert_eq!(scene.erase(), Err(OrderError::StillOpen { order: scene.order }));
    assert_eq!(scene.ask().parts[0].hub.as_ref().unwrap().display_name, "Asha K.");
}

#[test]
fn on_request_the_store_confirms_once_it_holds_what_says_so() {
    let mut scene = scene();
    scene.is_collected();
    let before = scene.hq.hub.down_head(&id("S0001")).unwrap();
    assert!(knows_nobody(&scene.erase().unwrap()));
    scene.holds(before);
    assert_eq!(scene.receipts(), 0, "what it holds still names the customer");
    let after = scene.hq.hub.down_head(&id("S0001")).unwrap();
    assert!(after > before);
    scene.holds(after);
    assert_eq!(scene.receipts(), 1);
    scene.holds(after);
    assert!(knows_nobody(&scene.erase().unwrap()), "asked again, nothing changes");
    assert_eq!(scene.receipts(), 1);
}

#[test]
fn by_itself_after_the_days_that_are_set_and_not_before() {
    let mut scene = scene();
    scene.is_collected();
    scene.hq.pass((CUSTOMERS_KEPT_MS - 1).unsigned_abs());
    scene.hq.tick();
    assert!(!knows_nobody(&scene.ask()));
    scene.hq.pass(1);
    scene.hq.tick();
    assert!(knows_nobody(&scene.ask()));
}

#[test]
fn it_stays_gone_and_waits_for_receipts_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 20, 0, 10)];
    caller.reports(&mut hq, stock);
    let order = wanted(&hq, 1, "a", &[(MILK, 4)]);
    let view = place(&mut hq, order.clone()).unwrap();
    let mut one = Scene { hq, caller, order: order.order, view };
    one.is_collected();
    one.erase().unwrap();
    let Scene { hq, caller, order, view } = one;
    drop(hq);
    let mut two = Scene { hq: Headquarters::open_at(folder.path()), caller, order, view };
    assert!(knows_nobody(&two.ask()));
    two.caller.connect(&mut two.hq);
    two.caller.welcome(&mut two.hq);
    let head = two.hq.hub.down_head(&id("S0001")).unwrap();
    two.holds(head);
    assert_eq!(two.receipts(), 1);
}
