//! What a till reports, one document at a time.

use crate::client::Request;
use crate::shop::{ANY, SALE, Shop, TILL_3};

#[test]
fn a_sale_is_recorded_and_answered_with_its_positions() {
    let shop = Shop::open();
    let reply = shop.report(SALE);
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert_eq!(reply.json(), serde_json::json!({"duplicate": false, "positions": [1, 2]}));
    assert_eq!(shop.on_hand("4011"), "-1.235");
    assert_eq!(shop.on_hand("00012345678905"), "-2");
}

#[test]
fn the_same_sale_again_is_a_duplicate_with_the_same_positions_also_after_a_restart() {
    let mut shop = Shop::open();
    assert_eq!(shop.report(SALE).status, 201);
    shop.stop();
    shop.start();
    let again = shop.report(SALE);
    assert_eq!(again.status, 200);
    assert_eq!(again.json(), serde_json::json!({"duplicate": true, "positions": [1, 2]}));
    assert_eq!(shop.on_hand("4011"), "-1.235");
}

#[test]
fn the_same_reference_with_other_content_is_a_conflict() {
    let shop = Shop::open();
    shop.report(SALE);
    let other = shop.report(&SALE.replace("1.235", "1.236"));
    assert_eq!(other.status, 409);
    assert_eq!(other.problem_field(), "");
    assert!(other.body.contains("2026-10-31/3/0042"), "{}", other.body);
    assert_eq!(shop.on_hand("4011"), "-1.235");
}

#[test]
fn quantities_are_exact_as_numbers_and_as_strings() {
    let shop = Shop::open();
    let cases = ["0.001", "\"0.001\"", "899999999.999", "0.1", "0.2", "1e2", "\"-0.5\"", "0", "1.10"];
    for (number, quantity) in cases.iter().enumerate() {
        let document = format!(
            r#"{{"source":"till-3","reference":"r{number}","kind":"receipt","occurred_at":"2026-10-31T17:03:22Z","lines":[{{"sku":"exact","quantity":{quantity}}}]}}"#
        );
        assert_eq!(shop.report(&document).status, 201, "{quantity}");
    }
    assert_eq!(shop.on_hand("exact"), "900000100.901");
    let ledger = shop.get("/v1/movements?sku=exact").json();
    let said: Vec<String> =
        ledger["movements"].as_array().unwrap().iter().map(|m| m["quantity"].to_string()).collect();
    assert_eq!(said[0], "0.001");
    assert_eq!(said[2], "899999999.999");
    assert_eq!(said[8], "1.1");
}

#[test]
fn every_kind_moves_stock_its_own_way() {
    let shop = Shop::open();
    let kinds = [
        ("receipt", 10, "10"),
        ("sale", 1, "9"),
        ("return", 1, "10"),
        ("waste", 2, "8"),
        ("transfer_out", 3, "5"),
        ("transfer_in", 4, "9"),
        ("adjustment", -5, "4"),
    ];
    for (kind, quantity, left) in kinds {
        let reason = if kind == "adjustment" { r#""reason":"found broken","# } else { "" };
        let document = format!(
            r#"{{"source":"till-3","reference":"{kind}","kind":"{kind}",{reason}"occurred_at":"2026-10-31T17:03:22Z","lines":[{{"sku":"a","quantity":{quantity}}}]}}"#
        );
        let reply = shop.report(&document);
        assert_eq!(reply.status, 201, "{kind}: {}", reply.body);
        assert_eq!(shop.on_hand("a"), left, "{kind}");
    }
}

#[test]
fn a_count_by_position_keeps_what_was_sold_between_counting_and_typing() {
    let shop = Shop::open();
    let document = |reference: &str, kind: &str, more: &str, quantity: u32| {
        format!(
            r#"{{"source":"till-3","reference":"{reference}","kind":"{kind}",{more}"occurred_at":"2026-10-31T17:03:22Z","lines":[{{"sku":"a","quantity":{quantity}}}]}}"#
        )
    };
    shop.report(&document("1", "receipt", "", 10));
    let position = shop.get("/v1/items/a").json()["position"].as_u64().unwrap();
    shop.report(&document("2", "sale", "", 2));
    let counted = format!("\"counted_position\":{position},");
    let reply = shop.report(&document("3", "count", &counted, 11));
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert_eq!(shop.on_hand("a"), "9");
}

#[test]
fn a_wrong_field_is_named_and_nothing_is_recorded() {
    let shop = Shop::open();
    let cases = [
        (SALE.replace("\"quantity\":2", "\"quantity\":2.0001"), "lines[1].quantity"),
        (SALE.replace("\"quantity\":2", "\"quantity\":\"NaN\""), "lines[1].quantity"),
        (SALE.replace("\"quantity\":2", "\"quantity\":1e12"), "lines[1].quantity"),
        (SALE.replace("-04:00", ""), "occurred_at"),
        (SALE.replace("sale", "sold"), "kind"),
        (SALE.replace("till-3", ""), "source"),
        (SALE.replace("\"lines\"", "\"rows\""), "rows"),
    ];
    for (document, field) in cases {
        let reply = shop.report(&document);
        assert_eq!((reply.status, reply.problem_field().as_str()), (422, field), "{}", reply.body);
    }
    assert_eq!(shop.get("/v1/movements").json()["movements"], serde_json::json!([]));
}

#[test]
fn what_is_no_json_is_a_bad_request() {
    let shop = Shop::open();
    let bodies: [&[u8]; 5] = [b"", b"{", b"sale", &SALE.as_bytes()[..40], b"{\"source\":\"\xff\xfe\"}"];
    for body in bodies {
        let reply = shop.ask("POST", "/v1/movements", Some(ANY), body);
        assert_eq!(reply.status, 400, "{body:?}");
        reply.problem_field();
    }
}

#[test]
fn a_sampled_trace_is_taken_up_and_another_is_begun() {
    let shop = Shop::open();
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = Request {
        method: "POST",
        path: "/v1/movements",
        token: Some(TILL_3),
        headers: vec![("traceparent", given.to_owned())],
        body: SALE.as_bytes().to_vec(),
    };
    let reply = request.send(shop.address());
    let answered = reply.header("traceparent").unwrap();
    assert!(answered.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{answered}");
    assert!(answered.ends_with("-01") && answered != given, "{answered}");
    let other = shop.report(SALE).header("traceparent").unwrap().to_owned();
    assert!(other.len() == 55 && other.ends_with("-00"), "{other}");
}

#[test]
fn how_far_a_source_was_read_is_kept_with_its_documents() {
    let shop = Shop::open();
    let none = shop.get("/v1/cursors/till-3").json();
    assert_eq!(none, serde_json::json!({"source": "till-3", "cursor": null}));
    shop.report(&SALE.replace("\"kind\"", "\"cursor\":\"receipt 42\",\"kind\""));
    assert_eq!(shop.get("/v1/cursors/till-3").json()["cursor"], "receipt 42");
}
