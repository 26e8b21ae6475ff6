//! What is set aside for the web: everything on hand beyond what walk-in customers may buy meanwhile.

use super::*;
use crate::agent::tests::shop::settings;
use conversation::Hub;

const HOUR: u64 = 3_600_000;

#[test]
fn what_does_not_sell_is_set_aside_whole() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    assert_eq!((shop.cell("milk").claim(), shop.cell("milk").free()), (units(10), units(10)));
    shop.report(Kind::Receipt, "bananas", kilos("12.5"));
    assert_eq!(shop.cell("bananas").claim(), kilos("12.5"));
}

#[test]
fn the_safety_stock_stays_with_the_store() {
    let reserve = ReservePolicy { safety_stock: units(3), ..ReservePolicy::default() };
    let mut shop = Shop::with(store::open_in_memory().unwrap(), Settings { reserve, ..settings() }, 1);
    shop.receive("milk", 10);
    shop.receive("salt", 2);
    assert_eq!((shop.cell("milk").claim(), shop.cell("salt").claim()), (units(7), units(0)));
}

/// One sold in the time constant of two hours: 0.125 expected in a quarter of an hour, 0.71 with its spread, one whole tin.
#[test]
fn a_sale_keeps_a_whole_piece_back_and_weighed_goods_a_part() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    shop.sell("milk", 1);
    let milk = shop.cell("milk").store;
    assert_eq!((milk.granted - milk.recalled, shop.on_hand("milk")), (8_000, units(9)));
    shop.report(Kind::Receipt, "bananas", kilos("10.5"));
    shop.report(Kind::Sale, "bananas", kilos("1"));
    let bananas = shop.cell("bananas").store;
    assert_eq!(bananas.granted - bananas.recalled, 9_500 - 709);
}

#[test]
fn what_sells_fast_keeps_more_back() {
    let mut shop = Shop::open();
    shop.receive("milk", 1_000);
    for _ in 0..120 {
        shop.sell("milk", 1);
        shop.pass(60_000);
    }
    let milk = shop.cell("milk").store;
    let kept = shop.on_hand("milk").thousandths() - (milk.granted - milk.recalled).cast_signed();
    assert!(
        (13_000..=16_000).contains(&kept),
        "nine or ten expected in a quarter of an hour, and their spread: {kept}"
    );
}

#[test]
fn the_last_pieces_of_what_sells_are_not_set_aside() {
    let mut shop = Shop::open();
    shop.receive("milk", 2);
    shop.sell("milk", 1);
    let milk = shop.cell("milk").store;
    assert_eq!(milk.granted - milk.recalled, 0);
    shop.sell("milk", 5);
    assert_eq!(shop.on_hand("milk"), units(-4));
    assert_eq!(shop.cell("milk").shortfall(), units(2), "until the hub has given back what it could");
}

#[test]
fn a_rate_that_fades_gives_back_on_a_tick() {
    let mut shop = Shop::open();
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    shop.sell("milk", 1);
    hub.honours_recalls(&mut shop);
    assert_eq!((shop.cell("milk").claim(), shop.on_hand("milk")), (units(8), units(9)));
    shop.pass(HOUR);
    shop.tick();
    assert_eq!(shop.cell("milk").claim(), units(8), "not yet");
    shop.pass(6 * HOUR);
    shop.tick();
    assert_eq!(shop.cell("milk").claim(), units(9), "nobody is expected to come for the last one");
    shop.holds_together();
}

#[test]
fn reserves_are_looked_at_once_a_minute_and_the_agent_says_when() {
    let mut shop = Shop::open();
    assert_eq!(shop.agent.next_deadline(), Some(Ticks(60_000)));
    shop.receive("milk", 10);
    let head = shop.agent.status().state_head;
    shop.pass(60_000);
    shop.tick();
    assert_eq!(shop.agent.next_deadline(), Some(Ticks(120_000)));
    assert_eq!(shop.agent.status().state_head, head, "and nothing is written where nothing has changed");
}

#[test]
fn what_is_promised_stays_set_aside_whatever_sells() {
    let mut shop = Shop::open();
    let mut hub = Hub::connected(&mut shop);
    shop.receive("milk", 10);
    hub.promises(&mut shop, "milk", 4);
    for _ in 0..9 {
        shop.sell("milk", 1);
    }
    let cell = shop.cell("milk");
    assert_eq!((cell.open(), cell.on_hand()), (units(4), units(1)));
    assert_eq!(cell.store.granted - cell.store.recalled, 4_000);
    assert_eq!(cell.shortfall(), cell.claim().checked_sub(units(1)).unwrap());
}
