//! Documents: recorded whole or not at all, at most once, and never refused for lack of stock.

use super::shop::document;
use super::*;

fn positions(range: std::ops::RangeInclusive<u64>) -> Vec<Position> {
    range.map(Position).collect()
}

fn field_of(outcome: Result<Recorded, RecordError>) -> String {
    match outcome {
        Err(RecordError::Invalid { field, reason }) => {
            assert!(!reason.is_empty());
            field
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_basket_is_recorded_line_by_line() {
    let mut shop = Shop::open();
    let basket =
        document(Kind::Sale, "2026-10-31/3/0042", &[("milk", units(2)), ("bananas", kilos("1.235"))]);
    assert_eq!(shop.record(basket), Ok(Recorded::New { positions: positions(1..=2) }));
    assert_eq!((shop.on_hand("milk"), shop.on_hand("bananas")), (units(-2), kilos("-1.235")));
    shop.holds_together();
}

#[test]
fn each_kind_moves_stock_its_own_way() {
    let mut shop = Shop::open();
    shop.receive("milk", 100);
    let kinds = [
        (Kind::Sale, -3),
        (Kind::Return, 3),
        (Kind::Receipt, 3),
        (Kind::Adjustment, 3),
        (Kind::Waste, -3),
        (Kind::TransferOut, -3),
        (Kind::TransferIn, 3),
    ];
    for (kind, effect) in kinds {
        let before = shop.on_hand("milk");
        shop.report(kind, "milk", units(3));
        assert_eq!(shop.on_hand("milk"), before.checked_add(units(effect)).unwrap(), "{kind:?}");
    }
    shop.holds_together();
}

#[test]
fn a_document_sent_again_is_answered_and_not_counted_again() {
    let mut shop = Shop::open();
    let basket = document(Kind::Sale, "42", &[("milk", units(2)), ("salt", units(1))]);
    shop.record(basket.clone()).unwrap();
    assert_eq!(shop.record(basket.clone()), Ok(Recorded::Duplicate { positions: positions(1..=2) }));
    let answers = shop.record_all(vec![
        document(Kind::Sale, "43", &[("milk", units(1))]),
        document(Kind::Sale, "43", &[("milk", units(1))]),
        basket,
    ]);
    assert_eq!(answers[0], Ok(Recorded::New { positions: positions(3..=3) }));
    assert_eq!(answers[1], Ok(Recorded::Duplicate { positions: positions(3..=3) }));
    assert_eq!(answers[2], Ok(Recorded::Duplicate { positions: positions(1..=2) }));
    assert_eq!(shop.on_hand("milk"), units(-3));
    shop.holds_together();
}

#[test]
fn one_reference_with_two_contents_is_a_conflict() {
    let basket = document(Kind::Sale, "42", &[("milk", units(2))]);
    let others = [
        Document { kind: Kind::Return, ..basket.clone() },
        Document { occurred_at: UnixMillis(basket.occurred_at.0 + 1), ..basket.clone() },
        Document { reason: Some("staff".to_owned()), ..basket.clone() },
        document(Kind::Sale, "42", &[("milk", units(3))]),
        document(Kind::Sale, "42", &[("salt", units(2))]),
        document(Kind::Sale, "42", &[("milk", units(2)), ("milk", units(2))]),
    ];
    for other in others {
        let mut shop = Shop::open();
        shop.record(basket.clone()).unwrap();
        let (source_id, reference) = ("till-3".to_owned(), "42".to_owned());
        assert_eq!(shop.record(other), Err(RecordError::Conflict { source_id, reference }));
        assert_eq!(shop.on_hand("milk"), units(-2));
    }
}

#[test]
fn two_tills_may_use_the_same_reference() {
    let mut shop = Shop::open();
    let basket = document(Kind::Sale, "42", &[("milk", units(2))]);
    shop.record(basket.clone()).unwrap();
    let other = Document { source: source("till-4"), ..basket };
    assert!(matches!(shop.record(other), Ok(Recorded::New { .. })));
    assert_eq!(shop.on_hand("milk"), units(-4));
}

/// A trace belongs to a request, a cursor to the reading: neither makes another document of it.
#[test]
fn the_same_document_may_come_with_another_trace_or_cursor() {
    let mut shop = Shop::open();
    let basket = document(Kind::Sale, "42", &[("milk", units(2))]);
    shop.record(basket.clone()).unwrap();
    let again = Document { trace: Some(TraceId([7; 16])), cursor: Some(vec![1]), ..basket };
    assert!(matches!(shop.record(again), Ok(Recorded::Duplicate { .. })));
}

#[test]
fn voids_and_empty_lines_are_recorded() {
    let mut shop = Shop::open();
    shop.receive("milk", 10);
    let basket =
        document(Kind::Sale, "42", &[("milk", units(3)), ("milk", units(-2)), ("milk", Quantity::ZERO)]);
    let Ok(Recorded::New { positions }) = shop.record(basket) else { panic!("a void is no fault") };
    assert_eq!(positions.len(), 3);
    assert_eq!(shop.on_hand("milk"), units(9));
    shop.report(Kind::Waste, "milk", units(-1));
    shop.report(Kind::Adjustment, "milk", units(-4));
    assert_eq!(shop.on_hand("milk"), units(6));
    shop.report(Kind::Sale, "new", Quantity::ZERO);
    assert_eq!(shop.on_hand("new"), Quantity::ZERO);
    shop.holds_together();
}

#[test]
fn an_adjustment_needs_a_reason() {
    let mut shop = Shop::open();
    let adjustment = document(Kind::Adjustment, "1", &[("milk", units(2))]);
    for reason in [None, Some(String::new()), Some("  ".to_owned())] {
        assert_eq!(field_of(shop.record(Document { reason, ..adjustment.clone() })), "reason");
    }
    assert!(shop.record(adjustment).is_ok());
    assert_eq!(shop.on_hand("milk"), units(2));
}

#[test]
fn a_count_says_when_the_shelf_was_counted_and_nothing_else_does() {
    let mut shop = Shop::open();
    let count = document(Kind::Count, "1", &[("milk", units(2))]);
    assert_eq!(field_of(shop.record(count.clone())), "counted_at");
    let below_nothing = document(Kind::Count, "2", &[("salt", units(1)), ("milk", units(-1))]);
    let counted = Some(Counted::At(shop.now.wall));
    assert_eq!(field_of(shop.record(Document { counted, ..below_nothing })), "lines[1].quantity");
    let sale = document(Kind::Sale, "3", &[("milk", units(1))]);
    assert_eq!(field_of(shop.record(Document { counted, ..sale })), "counted_at");
    assert_eq!(shop.number("SELECT count(*) FROM document"), 0);
}

#[test]
fn a_document_has_its_bounds() {
    let mut shop = Shop::open();
    let sale =
        |reference: &str, lines: usize| document(Kind::Sale, reference, &vec![("milk", units(1)); lines]);
    assert_eq!(field_of(shop.record(sale("none", 0))), "lines");
    assert_eq!(field_of(shop.record(sale("many", LINES_MAX + 1))), "lines");
    assert!(shop.record(sale("most", LINES_MAX)).is_ok());
    assert_eq!(shop.on_hand("milk"), units(-10_000));
    let long = Document { reason: Some("r".repeat(REASON_BYTES_MAX + 1)), ..sale("reason", 1) };
    assert_eq!(field_of(shop.record(long)), "reason");
    let cursor = Document { cursor: Some(vec![0; CURSOR_BYTES_MAX + 1]), ..sale("cursor", 1) };
    assert_eq!(field_of(shop.record(cursor)), "cursor");
    let most = Quantity::MAX;
    let more = Quantity::from_thousandths(most.thousandths() + 1);
    assert!(shop.record(document(Kind::Receipt, "largest", &[("salt", most)])).is_ok());
    for quantity in [more, more.checked_neg().unwrap()] {
        assert_eq!(
            field_of(shop.record(document(Kind::Sale, "too large", &[("salt", quantity)]))),
            "lines[0].quantity"
        );
    }
    shop.holds_together();
}

/// A till gone mad may not bring an item's totals to where they can't grow any more.
#[test]
fn totals_at_their_bound_refuse_the_document_and_stay() {
    let mut shop = Shop::open();
    let lines = vec![("milk", Quantity::MAX); 1_000];
    let mut refused = 0;
    for n in 0..12 {
        match shop.record(document(Kind::Receipt, &format!("flood {n}"), &lines)) {
            Ok(_) => {}
            Err(RecordError::Invalid { field, .. }) => {
                assert!(field.starts_with("lines["), "{field}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
        shop.holds_together();
    }
    assert_eq!(refused, 3, "nine fit");
    assert!(shop.cell("milk").validate().is_ok());
    shop.sell("salt", 1);
    assert_eq!(shop.on_hand("salt"), units(-1), "other items go on");
}

#[test]
fn a_bad_document_does_not_touch_the_others_of_its_batch() {
    let mut shop = Shop::open();
    let answers = shop.record_all(vec![
        document(Kind::Sale, "1", &[("milk", units(1))]),
        document(Kind::Sale, "1", &[("milk", units(9))]),
        document(Kind::Adjustment, "2", &[("milk", units(1))]),
        Document { reason: None, ..document(Kind::Adjustment, "3", &[("milk", units(1))]) },
        document(Kind::Count, "4", &[("milk", units(1))]),
        document(Kind::Sale, "5", &[("milk", units(1)), ("salt", units(1))]),
    ]);
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, false, true, false, false, true]);
    assert_eq!(answers[5], Ok(Recorded::New { positions: positions(3..=4) }), "positions have no gaps");
    assert_eq!((shop.on_hand("milk"), shop.on_hand("salt")), (units(-1), units(-1)));
    shop.holds_together();
}

#[test]
fn requests_that_arrive_together_are_answered_one_by_one() {
    let mut shop = Shop::open();
    let request = |ticket: u64, reference: &str| Input::Record {
        ticket: Ticket(ticket),
        documents: vec![document(Kind::Sale, reference, &[("milk", units(1))])],
    };
    let inputs = (0..50).map(|n| request(n, &format!("{}", n / 2))).collect();
    let outputs = shop.agent.drain(inputs, shop.now);
    for (n, output) in (0..50).zip(&outputs) {
        let Output::Answer { ticket, answer: Answer::Recorded(answers) } = output else {
            panic!("{output:?}")
        };
        assert_eq!((*ticket, answers.len()), (Ticket(n), 1));
        assert_eq!(matches!(answers[0], Ok(Recorded::New { .. })), n % 2 == 0);
    }
    assert_eq!(shop.on_hand("milk"), units(-25));
    assert_eq!(shop.number("SELECT count(*) FROM stock"), 1);
    shop.holds_together();
}

#[test]
fn a_cursor_is_kept_with_the_document_it_came_with() {
    let mut shop = Shop::open();
    for n in 1..=3_u8 {
        let sale = document(Kind::Sale, &n.to_string(), &[("milk", units(1))]);
        shop.record(Document { source: source("pos-db"), cursor: Some(vec![n]), ..sale }).unwrap();
    }
    let refused = document(Kind::Sale, "4", &[]);
    shop.record(Document { source: source("pos-db"), cursor: Some(vec![4]), ..refused }).unwrap_err();
    let value: Vec<u8> =
        shop.agent.database().query_row("SELECT value FROM cursor", [], |row| row.get(0)).unwrap();
    assert_eq!(value, [3]);
    shop.holds_together();
}
