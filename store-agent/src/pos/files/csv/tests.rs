//! CSV in the ways that exports come, and in ways that none should.

use super::*;
use crate::agent::ItemKey;
use crate::config::pos::{Columns, Encoding, ItemIs, KeyIs, QuantityIs, Rule, Times};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use std::io::{Seek, SeekFrom, Write};
use sync_protocol::Position;

fn named(name: &str) -> Column {
    Column::Named(name.to_owned())
}

fn config() -> CsvConfig {
    CsvConfig {
        holds: Holds::Movements,
        has_header: true,
        delimiter: b',',
        quote: Some(b'"'),
        encoding: Encoding::Utf8,
        has_decimal_comma: false,
        time_format: None,
        columns: Columns {
            key: vec![named("id")],
            item: named("item"),
            quantity: named("qty"),
            at: vec![named("at")],
            what: Some(named("what")),
            location: None,
            reason: None,
            document: None,
        },
    }
}

fn mapping() -> Mapping {
    let rule = |starts: &str, kind, quantity_is| Rule {
        starts: starts.to_owned(),
        kind: Some(kind),
        quantity_is,
        units: Factor::ONE,
    };
    Mapping {
        changes: None,
        on_hand: None,
        key_is: KeyIs::Number,
        item_is: ItemIs::Any,
        location: None,
        kinds: vec![
            rule("sale", Kind::Sale, QuantityIs::Amount),
            rule("count", Kind::Count, QuantityIs::Count),
            rule("", Kind::Adjustment, QuantityIs::Delta),
        ],
        times: Times::Text,
        time_zone: TimeZone::UTC,
    }
}

fn open(text: &[u8], config: &CsvConfig) -> Result<CsvReader, Broken> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let about = CsvFile {
        name: "day.csv".to_owned(),
        identity: "1".repeat(32),
        written: UnixMillis(1_000),
        size: text.len() as u64,
    };
    CsvReader::open(file, about, &"files".parse().unwrap(), config, &mapping())
}

fn read_by(text: &[u8], config: &CsvConfig) -> Result<Vec<Piece>, Broken> {
    let mut reader = open(text, config)?;
    let mut pieces = Vec::new();
    while let Some(piece) = reader.next()? {
        pieces.push(piece);
    }
    Ok(pieces)
}

fn moves_by(text: &[u8], config: &CsvConfig) -> Vec<(String, Kind, String, i64)> {
    let pieces = read_by(text, config).unwrap();
    let documents = pieces.into_iter().flat_map(|piece| piece.documents);
    documents
        .map(|of| {
            let line = &of.document.lines[0];
            let item = match &line.item {
                ItemKey::Sku(sku) => sku.to_string(),
                ItemKey::Gtin(gtin) => gtin.to_string(),
            };
            (of.document.reference.to_string(), of.document.kind, item, line.quantity.thousandths())
        })
        .collect()
}

fn complaints(text: &[u8], config: &CsvConfig) -> Vec<String> {
    let pieces = read_by(text, config).unwrap();
    pieces.into_iter().flat_map(|piece| piece.set_aside).map(|aside| aside.reason).collect()
}

fn one(name: &str, kind: Kind, item: &str, thousandths: i64) -> (String, Kind, String, i64) {
    (name.to_owned(), kind, item.to_owned(), thousandths)
}

const HEADER: &str = "id,item,qty,at,what\n";

fn with_header(lines: &str) -> Vec<u8> {
    format!("{HEADER}{lines}").into_bytes()
}

#[test]
fn lines_become_movements_by_the_rules_of_every_source() {
    let text =
        with_header("7,0042,2,2026-11-28 10:00:00,sale 1\n8,\"B, blue\",-0.5,2026-11-28 10:01:00,broken\n");
    let expected = [one("7", Kind::Sale, "0042", 2_000), one("8", Kind::Adjustment, "B, blue", -500)];
    assert_eq!(moves_by(&text, &config()), expected);
}

#[test]
fn a_file_in_the_way_of_another_country_is_read_by_its_settings() {
    let text = b"\"28.11.2026\";10:00;K\xe4se;1,5\r\n\"28.11.2026\";10:01;Milch;1.234\r\n";
    let config = CsvConfig {
        has_header: false,
        delimiter: b';',
        encoding: Encoding::Windows1252,
        has_decimal_comma: true,
        time_format: Some("%d.%m.%Y %H:%M".to_owned()),
        columns: Columns {
            key: Vec::new(),
            item: Column::Numbered(3),
            quantity: Column::Numbered(4),
            at: vec![Column::Numbered(1), Column::Numbered(2)],
            what: None,
            location: None,
            reason: None,
            document: None,
        },
        ..config()
    };
    let name = format!("f:{}/1", "1".repeat(32));
    assert_eq!(moves_by(text, &config), [one(&name, Kind::Adjustment, "Käse", 1_500)]);
    // A point for thousands may be a comma elsewhere: it is not guessed.
    assert!(complaints(text, &config)[0].starts_with("day.csv, line 2: `quantity`"));
}

#[test]
fn a_count_holds_for_when_it_was_taken() {
    let text = with_header("7,A,-3,2026-11-28 10:00:00,count\n");
    assert_eq!(
        moves_by(&text, &config()),
        [one("7", Kind::Count, "A", 0), one("7/below", Kind::Adjustment, "A", -3_000)]
    );
    let pieces = read_by(&text, &config()).unwrap();
    let at = UnixMillis("2026-11-28T10:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond());
    assert_eq!(pieces[0].documents[0].document.counted, Some(Counted::At(at)));
}

#[test]
fn figures_are_counts_of_the_moment_the_file_says_and_never_added() {
    let figures = CsvConfig {
        holds: Holds::Figures,
        columns: Columns { key: Vec::new(), at: Vec::new(), what: None, ..config().columns },
        ..config()
    };
    let text = b"item,qty\nA,5\nB,x\nC,-1\n";
    let base = format!("f:{}/sku:", "1".repeat(32));
    let expected = [
        one(&format!("{base}A"), Kind::Count, "A", 5_000),
        one(&format!("{base}C"), Kind::Count, "C", 0),
        one(&format!("{base}C/below"), Kind::Adjustment, "C", -1_000),
    ];
    assert_eq!(moves_by(text, &figures), expected);
    assert_eq!(
        complaints(text, &figures),
        ["day.csv, line 3: `quantity` = `x` is not a plain decimal number"]
    );
    for piece in read_by(text, &figures).unwrap() {
        for of in piece.documents {
            assert!(of.is_figure);
            assert_ne!(of.document.counted, Some(Counted::Position(Position(u64::MAX))));
        }
    }
}

#[test]
fn bad_lines_are_set_aside_with_their_line_and_the_rest_is_read_on() {
    let text = with_header(
        "1,A,1,2026-11-28 10:00:00,sale\n2,A,much,2026-11-28 10:00:00,sale\n3,A,1\n\n,A,1,2026-11-28 10:00:00,sale\n\
         5,A,1,soon,sale\n6,A,1,2026-11-28 10:00:00,sale,more\n7,A,1,2026-11-28 10:00:00,sale\n",
    );
    assert_eq!(moves_by(&text, &config()).iter().map(|of| of.0.as_str()).collect::<Vec<_>>(), ["1", "7"]);
    let said = complaints(&text, &config());
    let expected = [
        "day.csv, line 3: `quantity` = `much`",
        "day.csv, line 4: it has 3 columns",
        "day.csv, line 6: `key` is empty",
        "day.csv, line 7: `at` = `soon`",
        "day.csv, line 8: it has 6 columns",
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn a_quote_in_the_wrong_place_costs_its_own_line() {
    let text = with_header(
        "1,\"A,1,2026-11-28 10:00:00,sale\n2,A,1,2026-11-28 10:00:00,sale\n3,A,1,2026-11-28 10:00:00,\"sale\ntwice\"\n",
    );
    let found = moves_by(&text, &config());
    assert_eq!(found.iter().map(|of| of.0.as_str()).collect::<Vec<_>>(), ["2"]);
    let said = complaints(&text, &config());
    assert!(said[0].starts_with("day.csv, line 2: it has"), "{said:?}");
    assert!(said[1].starts_with("day.csv, line 4: one of its values spans lines"), "{said:?}");
    assert!(said[2].starts_with("day.csv, line 5: it has 1 columns"), "{said:?}");
}

#[test]
fn of_a_line_with_a_card_number_nothing_is_kept() {
    let text = with_header(
        "1,A,1,2026-11-28 10:00:00,sale 4111 1111 1111 1111\n4111111111111111,A,1,2026-11-28 10:00:00,sale\n",
    );
    let pieces = read_by(&text, &config()).unwrap();
    assert_eq!(pieces[0].notes.card_numbers, 1);
    assert!(!format!("{pieces:?}").contains("1111"), "{pieces:?}");
}

#[test]
fn a_file_that_is_none_of_ours_says_what_is_missing() {
    let said = |text: &[u8]| open(text, &config()).unwrap_err().to_string();
    assert!(said(b"id,item,amount,at,what\n").contains("no column `qty`; its header is `id`, `item`"));
    assert!(said(b"id,id,item,qty,at,what\n").contains("two of its columns are called `id`"));
    assert!(said(b"").contains("no header"));
    assert!(said(b"\xff\xfei\0d\0").contains("UTF-16"));
    assert!(said(b"PK\x03\x04").contains("compressed"));
    let text = with_header("1,K\u{fffd}se,1,2026-11-28 10:00:00,sale\n");
    let text = String::from_utf8_lossy(&text).into_owned().replace('\u{fffd}', "\u{1}").into_bytes();
    let text: Vec<u8> = text.into_iter().map(|byte| if byte == 1 { 0xe4 } else { byte }).collect();
    assert!(complaints(&text, &config())[0].contains("bytes that are no text"));
}

#[test]
fn several_columns_make_a_key_and_a_long_one_is_refused() {
    let config = CsvConfig {
        columns: Columns { key: vec![named("what"), named("id")], ..config().columns },
        ..config()
    };
    let text = with_header(&format!(
        "7,A,1,2026-11-28 10:00:00,lane 3\n{},A,1,2026-11-28 10:00:00,x\n",
        "9".repeat(130)
    ));
    assert_eq!(moves_by(&text, &config)[0].0, "lane 3/7");
    assert!(complaints(&text, &config)[0].contains("longer than"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..4_096)) {
        let _ = read_by(&bytes, &config());
        let _ = read_by(&with_header(&String::from_utf8_lossy(&bytes)), &config());
    }

    #[test]
    fn what_is_written_is_what_is_read(items in prop::collection::vec("[A-Z\",; ]{0,6}x", 1..40)) {
        let lines: String = items
            .iter()
            .enumerate()
            .map(|(at, item)| format!("{at},\"{}x\",{at},2026-11-28 10:00:00,sale\n", item.replace('"', "\"\"")))
            .collect();
        let found = moves_by(&with_header(&lines), &config());
        let expected: Vec<_> =
            items.iter().enumerate().map(|(at, item)| one(&at.to_string(), Kind::Sale, format!("{item}x").trim(), 1_000 * at as i64)).collect();
        prop_assert_eq!(found, expected);
    }
}
