//! Documents that come inside CloudEvents.

use crate::client::{Reply, Request};
use crate::shop::{ANY, Shop, TILL_3};
use serde_json::json;

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";

fn send(shop: &Shop, path: &str, token: &str, kind: &str, body: &str) -> Reply {
    let headers = vec![("content-type", kind.to_owned())];
    let body = body.as_bytes().to_vec();
    Request { method: "POST", path, token: Some(token), headers, body }.send(shop.address())
}

fn sale(source: &str, id: &str, quantity: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","type":"shop.sold","source":"{source}","id":"{id}","time":"2026-10-31T17:03:22Z",
            "data":{{"kind":"sale","lines":[{{"sku":"4011","quantity":{quantity}}}]}}}}"#
    )
}

#[test]
fn an_event_is_recorded_once_however_often_it_comes() {
    let shop = Shop::open();
    let event = sale("till-3", "e-1", "2");
    let first = send(&shop, "/v1/movements", TILL_3, ONE, &event);
    assert_eq!((first.status, first.json()["duplicate"].clone()), (201, json!(false)), "{first:?}");
    assert_eq!(send(&shop, "/v1/movements", TILL_3, ONE, &event).status, 200);
    // The same document by itself: what names it is the same.
    let document = r#"{"source":"till-3","reference":"e-1","kind":"sale","occurred_at":"2026-10-31T17:03:22Z","lines":[{"sku":"4011","quantity":2}]}"#;
    assert_eq!(shop.report(document).status, 200);
    let other = send(&shop, "/v1/movements", TILL_3, ONE, &sale("till-3", "e-1", "3"));
    assert_eq!(other.status, 409);
    assert_eq!(shop.on_hand("4011"), "-2");
}

#[test]
fn an_event_of_another_source_than_the_tokens_is_refused() {
    let shop = Shop::open();
    let reply = send(&shop, "/v1/movements", TILL_3, ONE, &sale("till-4", "e-1", "2"));
    assert_eq!((reply.status, reply.problem_field()), (403, "source".to_owned()));
}

#[test]
fn a_bad_event_in_a_batch_does_the_others_no_harm() {
    let shop = Shop::open();
    let events: Vec<String> = (1..=600)
        .map(|number| match number % 50 {
            7 => "{\"specversion\":\"1.0\"}".to_owned(),
            13 => sale("till-3", &format!("e-{number}"), "1.00001"),
            21 => "null".to_owned(),
            _ => sale("till-3", &format!("e-{number}"), "1"),
        })
        .collect();
    for path in ["/v1/movements", "/v1/movements:batch"] {
        let reply = send(&shop, path, ANY, BATCH, &format!("[{}]", events.join(",")));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")));
        let answers = reply.lines();
        assert_eq!(answers.len(), 600);
        for (index, answer) in answers.iter().enumerate() {
            assert_eq!(answer["line"], index + 1);
            let taken = if path == "/v1/movements" { 201 } else { 200 };
            let expected = match (index + 1) % 50 {
                7 => (422, "id"),
                13 => (422, "data.lines[0].quantity"),
                21 => (422, ""),
                _ => (taken, ""),
            };
            let field = answer["problem"]["field"].as_str().unwrap_or_default();
            assert_eq!((answer["status"].as_u64().unwrap(), field), expected, "{answer}");
        }
    }
    assert_eq!(shop.on_hand("4011"), "-564");
}

#[test]
fn a_batch_that_is_no_array_or_too_large_is_refused_whole() {
    let shop = Shop::open_with("body_max_bytes = 65536", Default::default());
    assert_eq!(send(&shop, "/v1/movements", ANY, BATCH, &sale("till-3", "e", "1")).status, 422);
    assert_eq!(send(&shop, "/v1/movements", ANY, BATCH, "[{").status, 400);
    let large = format!("[{}]", vec![sale("till-3", "e", "1"); 1000].join(","));
    assert_eq!(send(&shop, "/v1/movements", ANY, BATCH, &large).status, 413);
    assert_eq!(send(&shop, "/v1/movements", ANY, BATCH, "[]").body, "");
}

/// Nothing that a till sends is ever unpacked, so a small body can't become a large one.
#[test]
fn a_compressed_body_is_refused_as_it_is() {
    let shop = Shop::open();
    // An empty gzip stream.
    let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    for path in ["/v1/movements", "/v1/movements:batch"] {
        let headers = vec![("content-encoding", "gzip".to_owned()), ("content-type", BATCH.to_owned())];
        let request = Request { method: "POST", path, token: Some(ANY), headers, body: body.clone() };
        assert_eq!(request.send(shop.address()).status, 400, "{path}");
    }
}
