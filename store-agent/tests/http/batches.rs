//! Many documents or items in one request.

use crate::shop::{SALE, Shop, TILL_4};

fn receipt(number: usize) -> String {
    format!(
        r#"{{"source":"import","reference":"r{number}","kind":"receipt","occurred_at":"2026-10-31T17:03:22Z","lines":[{{"sku":"sku-{}","quantity":1}},{{"sku":"all","quantity":"0.5"}}]}}"#,
        number % 100
    )
}

#[test]
fn ten_thousand_lines_are_answered_in_order_and_the_bad_ones_between_do_no_harm() {
    let shop = Shop::open();
    let lines: Vec<String> = (1..=10_000)
        .map(|number| match number % 100 {
            7 => "{ this is no json".to_owned(),
            13 => receipt(number).replace("\"quantity\":1", "\"quantity\":1.00001"),
            _ => receipt(number),
        })
        .collect();
    let reply = shop.batch(&lines.join("\n"));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")));
    let answers = reply.lines();
    assert_eq!(answers.len(), 10_000);
    let mut next_position = 1;
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer["line"], index + 1);
        let expected = match (index + 1) % 100 {
            7 => (400, ""),
            13 => (422, "lines[0].quantity"),
            _ => (201, ""),
        };
        let field = answer["problem"]["field"].as_str().unwrap_or_default();
        assert_eq!((answer["status"].as_u64().unwrap(), field), expected, "{answer}");
        if expected.0 == 201 {
            assert_eq!(answer["positions"], serde_json::json!([next_position, next_position + 1]));
            next_position += 2;
        }
    }
    assert_eq!(shop.on_hand("all"), "4900");
    let again = shop.batch(&lines.join("\n")).lines();
    assert!(again.iter().all(|answer| answer["status"] != 201), "nothing is counted twice");
    assert_eq!(shop.on_hand("all"), "4900");
}

#[test]
fn lines_of_one_batch_share_commits() {
    let shop = Shop::open();
    let lines: Vec<String> = (0..400).map(receipt).collect();
    shop.batch(&lines.join("\n"));
    let metrics = shop.get("/metrics").body;
    assert!(metrics.contains("shopsmart_agent_batch_documents_count 1\n"), "{metrics}");
    assert!(metrics.contains("shopsmart_agent_batch_documents_sum 400.0\n"), "{metrics}");
}

#[test]
fn empty_lines_windows_line_ends_and_a_missing_last_end_are_fine() {
    let shop = Shop::open();
    let answers = shop.batch(&format!("\r\n{}\r\n\n  \n{}", receipt(1), receipt(2))).lines();
    let numbers: Vec<_> =
        answers.iter().map(|answer| (answer["line"].as_u64(), answer["status"].as_u64())).collect();
    assert_eq!(numbers, [(Some(2), Some(201)), (Some(5), Some(201))]);
}

#[test]
fn a_duplicate_and_a_conflict_inside_a_batch_are_told_apart() {
    let shop = Shop::open();
    let other = receipt(1).replace("0.5", "0.6");
    let answers = shop.batch(&[receipt(1), receipt(1), other].join("\n")).lines();
    assert_eq!(answers[0]["duplicate"], false);
    assert_eq!(
        answers[1],
        serde_json::json!({"line": 2, "status": 200, "duplicate": true, "positions": [1, 2]})
    );
    assert_eq!(answers[2]["status"], 409);
}

#[test]
fn a_token_for_another_till_fails_line_by_line() {
    let shop = Shop::open();
    let mine = SALE.replace("till-3", "till-4");
    let body = format!("{SALE}\n{mine}\n");
    let answers = shop.ask("POST", "/v1/movements:batch", Some(TILL_4), body.as_bytes()).lines();
    assert_eq!(answers[0]["status"], 403);
    assert_eq!(answers[0]["problem"]["field"], "source");
    assert_eq!(answers[1]["status"], 201);
}

#[test]
fn items_are_put_line_by_line() {
    let shop = Shop::open();
    let bananas = r#"{"sku":"4011","gtins":["00012345678905"],"name":"Bananas","unit":"kg"}"#;
    let lines = [
        bananas,
        bananas,
        r#"{"sku":"4011","name":"Organic bananas","unit":"kg"}"#,
        r#"{"sku":"4012"}"#,
        "x",
    ];
    let answers = shop.put_items(&lines.join("\n")).lines();
    assert_eq!(answers[0], serde_json::json!({"line": 1, "status": 201, "sku": "4011", "result": "created"}));
    assert_eq!(answers[1]["result"], "unchanged");
    assert_eq!(answers[2]["result"], "changed");
    assert_eq!(
        (answers[3]["status"].as_u64(), answers[3]["problem"]["field"].as_str()),
        (Some(422), Some("name"))
    );
    assert_eq!(answers[4]["status"], 400);
    let shown = shop.get("/v1/items/4011").json();
    assert_eq!((shown["name"].as_str(), shown["unit"].as_str()), (Some("Organic bananas"), Some("kg")));
}
