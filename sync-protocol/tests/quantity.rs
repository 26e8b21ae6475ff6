//! Quantities go in and out exactly, in every form a till or a program writes them, and what can't be kept is refused.

use proptest::prelude::*;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use serde::{Deserialize, Serialize};
use sync_protocol::Quantity;
use sync_protocol::quantity::InvalidQuantity;

fn thousandths(text: &str) -> i64 {
    text.parse::<Quantity>().unwrap_or_else(|e| panic!("{text:?}: {e}")).thousandths()
}

fn refusal(text: &str) -> InvalidQuantity {
    match text.parse::<Quantity>() {
        Ok(q) => panic!("{text:?} was read as {q}"),
        Err(error) => error,
    }
}

fn from_json(json: &str) -> Result<Quantity, String> {
    serde_json::from_str(json).map_err(|e| e.to_string())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    sku: String,
    quantity: Quantity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counted: Option<Quantity>,
}

fn line(quantity: Quantity, counted: Option<Quantity>) -> Line {
    Line { sku: "4011".to_owned(), quantity, counted }
}

#[test]
fn the_forms_people_write_are_read() {
    for (text, expected) in [
        ("2", 2000),
        ("1.235", 1235),
        ("-0.5", -500),
        ("+3", 3000),
        (".5", 500),
        ("5.", 5000),
        ("007", 7000),
        ("  12 ", 12_000),
        ("\t1\r\n", 1000),
        ("0", 0),
        ("-0", 0),
        ("-0.000", 0),
        ("1000000000", 1_000_000_000_000),
        ("-1000000000.000", -1_000_000_000_000),
    ] {
        assert_eq!(thousandths(text), expected, "{text:?}");
    }
}

#[test]
fn zeros_that_carry_no_value_are_fine_however_many() {
    assert_eq!(thousandths("1.2300"), 1230);
    assert_eq!(thousandths(&format!("1.23{}", "0".repeat(10_000))), 1230);
    assert_eq!(thousandths(&format!("{}1.23", "0".repeat(10_000))), 1230);
    assert_eq!(thousandths(&format!("1{}e-10000", "0".repeat(10_000))), 1000);
    assert_eq!(thousandths(&format!("0.{}1e10001", "0".repeat(10_000))), 1000);
}

#[test]
fn exponents_are_read_where_they_are_exact() {
    assert_eq!(thousandths("1e3"), 1_000_000);
    assert_eq!(thousandths("1.5e1"), 15_000);
    assert_eq!(thousandths("1.5E+1"), 15_000);
    assert_eq!(thousandths("1235e-3"), 1235);
    assert_eq!(thousandths("12350e-4"), 1235);
    assert_eq!(thousandths("0.0000012e6"), 1200);
    assert_eq!(thousandths("1e9"), 1_000_000_000_000);
    assert_eq!(thousandths("0e99999999999999999999999"), 0);
    assert!(matches!(refusal("1235e-4"), InvalidQuantity::TooPrecise { .. }));
    assert!(matches!(refusal("1e10"), InvalidQuantity::TooLarge { .. }));
    assert!(matches!(refusal("1e99999999999999999999999"), InvalidQuantity::TooLarge { .. }));
    assert!(matches!(refusal("1e-99999999999999999999999"), InvalidQuantity::TooPrecise { .. }));
}

#[test]
fn a_fourth_decimal_is_refused_and_never_rounded() {
    for text in ["0.0001", "1.2345", "1.0005", "0.30000000000000004", "-0.0009", "999999999.9999"] {
        assert!(matches!(refusal(text), InvalidQuantity::TooPrecise { .. }), "{text}");
    }
}

#[test]
fn more_than_one_line_may_carry_is_refused() {
    for text in ["1000000000.001", "-1000000001", "9223372036854775807", "9223372036854775808", "1e18"] {
        assert!(matches!(refusal(text), InvalidQuantity::TooLarge { .. }), "{text}");
    }
    assert!(matches!(refusal(&"9".repeat(100_000)), InvalidQuantity::TooLarge { .. }));
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "NaN", "inf", "-inf", "Infinity", "-", "+", ".", "-.", "e5", "1e", "1e+", "1e1.5", "1.2.3", "1,5",
        "1 000", "--1", "+-1", "0x10", "1_000", "١", "½", "−1", "\u{a0}1", "1kg", "1e5e5", "\0", "true",
        "null",
    ] {
        assert!(matches!(refusal(text), InvalidQuantity::NotANumber { .. }), "{text:?}");
    }
    for text in ["", " ", "\t\n"] {
        assert_eq!(refusal(text), InvalidQuantity::Empty, "{text:?}");
    }
}

#[test]
fn a_refusal_names_what_was_found_and_what_is_allowed() {
    assert_eq!(refusal("1.2345").to_string(), "quantity `1.2345` has more than three decimals");
    assert_eq!(
        refusal("1e12").to_string(),
        "quantity `1e12` is beyond the 1000000000 units one line may carry"
    );
    let comma = refusal("1,5").to_string();
    assert!(comma.contains("`1,5`") && comma.contains("like `2` or `1.235`"), "{comma}");
    assert!(refusal("").to_string().contains("empty"));
    let long = refusal(&"x".repeat(1_000_000)).to_string();
    assert!(long.len() < 300, "{} bytes of error", long.len());
    assert!(
        !refusal("a\u{1b}[31mb").to_string().contains('\u{1b}'),
        "control characters don't reach the log"
    );
}

#[test]
fn a_quantity_prints_as_short_as_it_can() {
    for (thousandths, expected) in [
        (0, "0"),
        (2000, "2"),
        (1235, "1.235"),
        (1230, "1.23"),
        (1200, "1.2"),
        (1005, "1.005"),
        (1050, "1.05"),
        (5, "0.005"),
        (-500, "-0.5"),
        (-2000, "-2"),
        (i64::MAX, "9223372036854775.807"),
        (i64::MIN, "-9223372036854775.808"),
    ] {
        assert_eq!(Quantity::from_thousandths(thousandths).to_string(), expected);
    }
    assert_eq!(
        format!("{:>8}|{:<6}|", Quantity::from_thousandths(1235), Quantity::from_units(2)),
        "   1.235|2     |"
    );
}

#[test]
fn arithmetic_says_when_it_overflows() {
    let most = Quantity::from_thousandths(i64::MAX);
    let least = Quantity::from_thousandths(i64::MIN);
    let crumb = Quantity::from_thousandths(1);
    assert_eq!(Quantity::from_units(2).checked_add(crumb), Some(Quantity::from_thousandths(2001)));
    assert_eq!(most.checked_add(crumb), None);
    assert_eq!(least.checked_sub(crumb), None);
    assert_eq!(least.checked_neg(), None);
    assert_eq!(crumb.checked_neg(), Some(Quantity::from_thousandths(-1)));
    assert_eq!(Quantity::from_units(i64::MAX), most);
    assert!(Quantity::from_units(-1) < Quantity::ZERO && Quantity::ZERO < crumb);
}

#[test]
fn parts_of_a_unit_round_up_to_whole_ones() {
    for (thousandths, expected) in [(1, 1), (1000, 1), (1001, 2), (0, 0), (-1, 0), (-1000, -1), (-1001, -1)] {
        let q = Quantity::from_thousandths(thousandths);
        assert_eq!(q.up_to_whole_units(), Quantity::from_units(expected), "{q}");
    }
    let most = Quantity::from_thousandths(i64::MAX);
    assert_eq!(most.up_to_whole_units(), most, "the end of the range is as far as it goes");
}

#[test]
fn json_numbers_and_strings_come_in_and_exact_numbers_go_out() {
    for json in ["1.235", "\"1.235\"", "1235e-3", " 1.235 ", "\"1.2350\"", "\"\\u0031.235\"", "\" 1.235\""] {
        let q = from_json(json).unwrap_or_else(|e| panic!("{json}: {e}"));
        assert_eq!(serde_json::to_string(&q).unwrap(), "1.235", "{json}");
    }
    assert_eq!(serde_json::to_string(&Quantity::from_units(2)).unwrap(), "2");
    assert_eq!(serde_json::to_string(&Quantity::from_thousandths(-500)).unwrap(), "-0.5");
}

#[test]
fn json_figures_larger_than_a_double_can_hold_go_out_exactly() {
    let derived = Quantity::from_thousandths(9_007_199_254_740_993);
    assert_eq!(serde_json::to_string(&derived).unwrap(), "9007199254740.993");
    assert_eq!(serde_json::to_vec(&derived).unwrap(), b"9007199254740.993");
}

#[test]
fn json_digits_beyond_a_double_are_seen_and_refused() {
    // A parser that went through a double would read these as 1.23, 1 and 100000000.001.
    for json in ["1.2300000000000000000001", "0.99999999999999999999", "100000000.0010000000001"] {
        let error = from_json(json).unwrap_err();
        assert!(error.contains("more than three decimals") && error.contains(&json[..8]), "{json}: {error}");
    }
}

#[test]
fn json_that_is_no_quantity_says_what_stood_there() {
    for json in [
        "true",
        "[1]",
        "{}",
        "{\"a\":1}",
        "\"\"",
        "\"two\"",
        "[]",
        "{\"$serde_json::private::RawValue\":\"1\"}",
    ] {
        let error = from_json(json).unwrap_err();
        assert!(error.contains("quantity"), "{json}: {error}");
    }
    for json in ["", "NaN", "01", "1.", ".5", "+1", "1e", "\"1"] {
        assert!(from_json(json).is_err(), "{json}");
    }
    let error = serde_json::from_str::<Line>("{\"sku\":\"4011\",\n\"quantity\":1.2345}").unwrap_err();
    assert_eq!(error.line(), 2, "{error}");
    assert!(error.to_string().contains("`1.2345` has more than three decimals"), "{error}");
}

#[test]
fn structs_read_quantities_from_every_kind_of_input() {
    let json = r#"{"sku":"4011","quantity":1.235,"counted":"-2"}"#;
    let expected = line(Quantity::from_thousandths(1235), Some(Quantity::from_units(-2)));
    assert_eq!(serde_json::from_str::<Line>(json).unwrap(), expected);
    assert_eq!(serde_json::from_slice::<Line>(json.as_bytes()).unwrap(), expected);
    assert_eq!(serde_json::from_reader::<_, Line>(json.as_bytes()).unwrap(), expected);
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(Line::deserialize(&value).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Line>(value).unwrap(), expected);
    assert_eq!(serde_json::from_str::<Vec<Quantity>>("[1, 2.5 ,\"3\"]").unwrap().len(), 3);
}

#[test]
fn an_absent_or_null_quantity_is_none() {
    for json in [r#"{"sku":"4011","quantity":1}"#, r#"{"sku":"4011","quantity":1,"counted":null}"#] {
        assert_eq!(serde_json::from_str::<Line>(json).unwrap(), line(Quantity::ONE, None));
    }
    assert!(serde_json::from_str::<Line>(r#"{"sku":"4011","quantity":null}"#).is_err());
}

#[test]
fn values_and_pretty_printing_keep_the_number() {
    let original = line(Quantity::from_thousandths(1235), Some(Quantity::from_units(7)));
    let value = serde_json::to_value(&original).unwrap();
    assert_eq!(value, serde_json::json!({"sku": "4011", "quantity": 1.235, "counted": 7}));
    let pretty = serde_json::to_string_pretty(&original).unwrap();
    assert!(pretty.contains("\"quantity\": 1.235,") && pretty.contains("\"counted\": 7\n"), "{pretty}");
}

#[test]
fn containers_that_buffer_their_content_read_quantities_too() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Tagged {
        Sale { quantity: Quantity },
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Bare(Quantity),
        Full { quantity: Quantity },
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        line: Line,
    }
    let q = Quantity::from_thousandths(1235);
    for written in ["1.235", "\"1.235\""] {
        let tagged = format!(r#"{{"quantity":{written},"kind":"sale"}}"#);
        assert_eq!(serde_json::from_str::<Tagged>(&tagged).unwrap(), Tagged::Sale { quantity: q });
        assert_eq!(serde_json::from_str::<Untagged>(written).unwrap(), Untagged::Bare(q));
        let full = format!(r#"{{"quantity":{written}}}"#);
        assert_eq!(serde_json::from_str::<Untagged>(&full).unwrap(), Untagged::Full { quantity: q });
        let flat = format!(r#"{{"sku":"4011","quantity":{written}}}"#);
        assert_eq!(serde_json::from_str::<Flat>(&flat).unwrap(), Flat { line: line(q, None) });
    }
}

#[test]
fn formats_without_json_text_hand_over_plain_numbers() {
    let integer: Result<Quantity, ValueError> = Quantity::deserialize(2_i64.into_deserializer());
    assert_eq!(integer.unwrap(), Quantity::from_units(2));
    let unsigned: Result<Quantity, ValueError> = Quantity::deserialize(2_u64.into_deserializer());
    assert_eq!(unsigned.unwrap(), Quantity::from_units(2));
    let text: Result<Quantity, ValueError> = Quantity::deserialize("1.235".into_deserializer());
    assert_eq!(text.unwrap(), Quantity::from_thousandths(1235));
    for (double, expected) in
        [(0.5, Some(500)), (1e9, Some(1_000_000_000_000)), (1.2345, None), (f64::NAN, None), (1e300, None)]
    {
        let read: Result<Quantity, ValueError> = Quantity::deserialize(double.into_deserializer());
        assert_eq!(read.ok().map(Quantity::thousandths), expected, "{double}");
    }
}

#[test]
fn no_crate_has_switched_on_arbitrary_precision() {
    // With it, buffered content hands numbers over as maps under a private key, and flattened quantities stop reading.
    let number: serde_json::Value = serde_json::from_str("1.10").unwrap();
    assert_eq!(number.to_string(), "1.1");
}

/// What reading `text` must come to, by whole-number arithmetic on its parts.
fn exact(negative: bool, whole: u64, fraction: &str, exponent: i32) -> Option<i64> {
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent + 3 - i32::try_from(fraction.len()).ok()?;
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    let size = if shift >= 0 {
        digits.checked_mul(power)?
    } else {
        (digits % power == 0).then_some(digits / power)?
    };
    let size = i64::try_from(size).ok().filter(|s| *s <= Quantity::MAX.thousandths())?;
    Some(if negative { -size } else { size })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(size in -1_000_000_000_000_i64..=1_000_000_000_000) {
        let q = Quantity::from_thousandths(size);
        prop_assert_eq!(q.to_string().parse::<Quantity>().unwrap(), q);
        let json = serde_json::to_string(&q).unwrap();
        prop_assert_eq!(&json, &q.to_string());
        prop_assert_eq!(serde_json::from_str::<Quantity>(&json).unwrap(), q);
        let value = serde_json::to_value(q).unwrap();
        prop_assert_eq!(serde_json::from_value::<Quantity>(value).unwrap(), q);
    }

    #[test]
    fn reading_agrees_with_whole_number_arithmetic(
        negative: bool, whole in 0_u64..2_000_000_000, fraction in "[0-9]{0,6}", exponent in -12_i32..12,
    ) {
        let sign = if negative { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        let text = format!("{sign}{whole}{point}{fraction}e{exponent}");
        let read = text.parse::<Quantity>().ok().map(Quantity::thousandths);
        prop_assert_eq!(read, exact(negative, whole, &fraction, exponent), "{}", text);
        prop_assert_eq!(from_json(&text).ok().map(Quantity::thousandths), read, "{}", text);
    }

    #[test]
    fn any_text_is_a_quantity_or_an_error(text in ".{0,40}", number in "[-+0-9.eE ]{0,20}") {
        let _ = text.parse::<Quantity>();
        if let Ok(q) = number.parse::<Quantity>() {
            prop_assert_eq!(q.to_string().parse::<Quantity>().unwrap(), q);
        }
    }
}
