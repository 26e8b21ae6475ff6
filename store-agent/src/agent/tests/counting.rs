//! "There are N": a count corrects the book as it was when the shelf was counted, whenever it is typed in.

use super::shop::document;
use super::*;

const HOUR: u64 = 3_600_000;

#[test]
fn a_count_sets_the_book_right() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    shop.count("milk", 8, Counted::At(shop.now.wall));
    assert_eq!(shop.on_hand("milk"), units(8));
    let position = shop.agent.status().history_head;
    shop.count("milk", 12, Counted::Position(position));
    assert_eq!(shop.on_hand("milk"), units(12));
    shop.count("never seen", 5, Counted::At(shop.now.wall));
    assert_eq!(shop.on_hand("never seen"), units(5));
    shop.holds_together();
}

#[test]
fn sales_between_counting_and_typing_are_kept_by_position() {
    let mut shop = Shop::open();
    let counted = shop.receive("milk", 10);
    shop.sell("milk", 3);
    shop.receive("milk", 1);
    shop.count("milk", 9, Counted::Position(counted));
    assert_eq!(shop.on_hand("milk"), units(7), "one was missing of ten, three were sold and one came since");
    shop.holds_together();
}

#[test]
fn sales_between_counting_and_typing_are_kept_by_time() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    shop.pass(HOUR);
    let counted = Counted::At(shop.now.wall);
    shop.pass(HOUR);
    shop.sell("milk", 3);
    shop.count("milk", 9, counted);
    assert_eq!(shop.on_hand("milk"), units(6));
    shop.holds_together();
}

/// A till that was cut off reports late what it sold before the shelf was counted.
#[test]
fn a_sale_that_is_reported_late_counts_by_when_it_happened() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    shop.pass(2 * HOUR);
    let counted = shop.now.wall;
    let late = |reference: &str, occurred_at| Document {
        occurred_at: UnixMillis(occurred_at),
        ..document(Kind::Sale, reference, &[("milk", units(1))])
    };
    shop.pass(HOUR);
    shop.record(late("before", counted.0 - 60_000)).unwrap();
    shop.record(late("after", counted.0 + 60_000)).unwrap();
    shop.count("milk", 9, Counted::At(counted));
    assert_eq!(shop.on_hand("milk"), units(8), "nine when counted, one sold since");
    shop.holds_together();
}

#[test]
fn two_counts_typed_in_the_wrong_order_leave_the_later_one() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    let morning = shop.sell("milk", 1);
    let noon = shop.sell("milk", 1);
    shop.count("milk", 6, Counted::Position(noon));
    shop.count("milk", 7, Counted::Position(morning));
    assert_eq!(shop.on_hand("milk"), units(6));
    shop.holds_together();
}

#[test]
fn two_counts_by_time_typed_in_the_wrong_order_leave_the_later_one() {
    for sold_between in [0, 1] {
        let mut shop = Shop::open();
        shop.receive("milk", 10);
        shop.pass(HOUR);
        let morning = Counted::At(shop.now.wall);
        shop.pass(HOUR);
        (0..sold_between).for_each(|_| {
            shop.sell("milk", 1);
        });
        shop.pass(HOUR);
        let noon = Counted::At(shop.now.wall);
        shop.pass(HOUR);
        shop.count("milk", 6, noon);
        shop.count("milk", 7, morning);
        assert_eq!(shop.on_hand("milk"), units(6), "{sold_between} sold between the two");
        shop.holds_together();
    }
}

/// Two people count during the day and type in the evening. The first correction is no sale that came after the second count.
#[test]
fn a_count_knows_of_the_correction_typed_before_it() {
    let mut shop = Shop::open();
    let morning = shop.receive("milk", 10);
    let noon = shop.sell("salt", 1);
    shop.sell("milk", 1);
    shop.count("milk", 8, Counted::Position(morning));
    assert_eq!(shop.on_hand("milk"), units(7));
    shop.count("milk", 8, Counted::Position(noon));
    assert_eq!(shop.on_hand("milk"), units(7), "eight at noon as in the morning, and one sold since");
    shop.holds_together();
}

#[test]
fn a_typing_error_is_put_right_by_counting_as_of_the_same_moment_again() {
    let mut shop = Shop::open();
    let at = shop.receive("milk", 10);
    shop.sell("milk", 2);
    shop.count("milk", 80, Counted::Position(at));
    shop.count("milk", 8, Counted::Position(at));
    assert_eq!(shop.on_hand("milk"), units(6));
    let at = Counted::At(shop.now.wall);
    shop.count("milk", 50, at);
    shop.count("milk", 5, at);
    assert_eq!(shop.on_hand("milk"), units(5));
    shop.holds_together();
}

#[test]
fn one_item_twice_on_a_count_sheet_is_counted_as_its_last_line() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    let sheet = document(Kind::Count, "sheet", &[("milk", units(3)), ("salt", units(1)), ("milk", units(4))]);
    shop.record(Document { counted: Some(Counted::At(shop.now.wall)), ..sheet }).unwrap();
    assert_eq!((shop.on_hand("milk"), shop.on_hand("salt")), (units(4), units(1)));
    shop.holds_together();
}

#[test]
fn counting_below_zero_stock_finds_the_goods_that_were_never_booked() {
    let mut shop = Shop::open();
    shop.sell("milk", 4);
    assert_eq!(shop.on_hand("milk"), units(-4));
    shop.count("milk", 3, Counted::At(shop.now.wall));
    assert_eq!(shop.on_hand("milk"), units(3));
    shop.holds_together();
}

#[test]
fn a_count_ahead_of_the_ledger_counts_as_now() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    shop.count("milk", 7, Counted::Position(Position(9_999)));
    assert_eq!(shop.on_hand("milk"), units(7));
    shop.sell("milk", 1);
    assert_eq!(shop.on_hand("milk"), units(6));
}
