//! Whatever comes from outside is a value or an error, within bounds, and never a panic: documents as JSON, cells of a POS's tables, numbers, times.
//! What has a file of its own is tried there too (`cloud_events`, `webhooks`).

use super::decimal;
use super::json;
use super::mapping::{self, Cell, Key, Mapped, Mapper, Row};
use super::times::Clockwork;
use crate::config::pos::{Factor, ItemIs, KeyIs, Mapping, QuantityIs, Rule, Times};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use sync_protocol::Quantity;
use sync_protocol::limits::REASON_BYTES_MAX;
use sync_protocol::record::Kind;

const SALE: &str = r#"{"source":"till-3","reference":"r","kind":"sale","occurred_at":"2026-10-31T17:03:22Z","lines":[{"sku":"4011","quantity":QUANTITY}]}"#;

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Null),
        any::<i64>().prop_map(Cell::Integer),
        any::<f64>().prop_map(Cell::Real),
        "\\PC{0,600}".prop_map(Cell::Text),
        "[-+]?[0-9]{0,40}(\\.[0-9]{0,40})?".prop_map(Cell::Text),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}".prop_map(Cell::Text),
        any::<usize>().prop_map(Cell::Long),
        any::<usize>().prop_map(Cell::Bytes),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let key = any::<i64>().prop_map(Key::Number);
    (key, [cell(), cell(), cell(), cell(), cell(), cell(), cell()]).prop_map(|(key, cells)| {
        let [item, quantity, at, what, location, reason, document] = cells;
        Row { key, item, quantity, at, what, location, reason, document }
    })
}

fn times() -> impl Strategy<Value = Times> {
    prop::sample::select(vec![Times::Text, Times::Unix, Times::UnixMs, Times::Julian])
}

fn mapping_of(kind: Kind, times: Times, item_is: ItemIs) -> Mapping {
    let quantity_is = if kind == Kind::Count { QuantityIs::Count } else { QuantityIs::Delta };
    let units = Factor { mantissa: 999_999_999_999, decimals: 6 };
    Mapping {
        changes: None,
        on_hand: None,
        key_is: KeyIs::Number,
        item_is,
        location: None,
        kinds: vec![Rule { starts: String::new(), kind: Some(kind), quantity_is, units }],
        times,
        time_zone: TimeZone::get("America/New_York").unwrap(),
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_document_or_a_problem(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = json::document(&bytes, None);
    }

    #[test]
    fn a_damaged_document_is_a_document_or_a_problem(at in 0..SALE.len(), byte: u8, cut in 0..SALE.len()) {
        let mut bytes = SALE.replace("QUANTITY", "1").into_bytes();
        let place = at % bytes.len();
        bytes[place] = byte;
        let _ = json::document(&bytes, None);
        let _ = json::document(&bytes[..cut.min(bytes.len())], None);
    }

    #[test]
    fn a_number_is_an_exact_quantity_within_bounds_or_a_problem(number in "-?[0-9]{1,400}(\\.[0-9]{1,400})?([eE][-+]?[0-9]{1,20})?") {
        if let Ok(sale) = json::document(SALE.replace("QUANTITY", &number).as_bytes(), None) {
            let max = Quantity::MAX.thousandths();
            prop_assert!((-max..=max).contains(&sale.lines[0].quantity.thousandths()), "{number}");
        }
        if let Ok(rounded) = decimal::thousandths(&number, Factor::ONE) {
            prop_assert!(rounded.thousandths.abs() <= Quantity::MAX.thousandths(), "{number}");
        }
    }

    #[test]
    fn any_text_is_a_quantity_or_none(text in "\\PC{0,200}", mantissa in 1..=999_999_999_999i64, decimals in 0..=6u32) {
        if let Ok(rounded) = decimal::thousandths(&text, Factor { mantissa, decimals }) {
            prop_assert!(rounded.thousandths.abs() <= Quantity::MAX.thousandths());
        }
    }

    #[test]
    fn any_cell_is_a_time_between_the_years_0_and_9999_or_none(times in times(), cells in prop::collection::vec(cell(), 1..6)) {
        let mut clock = Clockwork::new(times, TimeZone::get("America/New_York").unwrap());
        for cell in &cells {
            let _ = match cell {
                Cell::Text(text) => clock.text(text),
                Cell::Integer(number) => clock.integer(*number),
                Cell::Real(number) => clock.real(*number),
                _ => None,
            };
        }
    }

    #[test]
    fn any_row_is_mapped_within_bounds_or_set_aside(
        row in row(), times in times(),
        item_is in prop::sample::select(vec![ItemIs::Sku, ItemIs::Gtin, ItemIs::Any]),
        kind in prop::sample::select(vec![Kind::Sale, Kind::Receipt, Kind::Adjustment, Kind::Count]),
    ) {
        let (mapping, source) = (mapping_of(kind, times, item_is), "till-db".parse().unwrap());
        match Mapper::of(&source, &mapping).map(&row) {
            Mapped::Documents { documents, .. } => {
                prop_assert!((1..=2).contains(&documents.len()));
                for of in &documents {
                    let quantity = of.document.lines[0].quantity.thousandths();
                    prop_assert!(quantity.abs() <= Quantity::MAX.thousandths());
                    prop_assert!(of.document.reason.as_ref().is_none_or(|reason| reason.len() <= REASON_BYTES_MAX));
                    prop_assert!(of.row.len() < 10_000);
                }
            }
            Mapped::Aside(aside) | Mapped::CardNumber(aside) => {
                prop_assert!(aside.row.len() < 10_000 && aside.reason.len() < 10_000);
            }
            Mapped::LeftOut => {}
        }
        let _ = mapping::item(item_is, &row.item);
        let _ = mapping::quantity(&row.quantity, Factor::ONE);
    }
}

#[test]
fn deep_nesting_is_a_problem_and_no_stack_overflow() {
    for depth in [100, 1_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(json::document(deep.as_bytes(), None).is_err());
            assert!(json::document(SALE.replace("QUANTITY", &deep).as_bytes(), None).is_err());
        }
    }
}

#[test]
fn broken_encodings_are_problems() {
    let broken: [&[u8]; 6] =
        [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\\ud800", b"\xef\xbb\xbf"];
    for bytes in broken {
        let (before, after) = SALE.split_once("till-3").unwrap();
        let text = [before.as_bytes(), bytes, after.replace("QUANTITY", "1").as_bytes()].concat();
        let read = json::document(&text, None);
        // A byte order mark inside a name is a character like any other.
        assert!(read.is_err() || bytes == b"\xef\xbb\xbf", "{bytes:?}");
    }
    let utf16: Vec<u8> = SALE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(json::document(&utf16, None).is_err());
}
