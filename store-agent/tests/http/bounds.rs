//! What is too large, too slow or broken off.

use crate::client::{Request, connect, raw, read_reply};
use crate::shop::{ANY, IMPATIENT, SALE, Shop, TILL_3};
use std::io::{Read, Write};

const SMALL_BODIES: &str = "body_max_bytes = 65536";

#[test]
fn a_body_over_the_limit_is_refused_and_the_answer_arrives() {
    let shop = Shop::open_with(SMALL_BODIES, IMPATIENT);
    let body = vec![b' '; 3 << 20];
    for path in ["/v1/movements", "/v1/movements:batch"] {
        let reply = shop.ask("POST", path, Some(ANY), &body);
        assert_eq!(reply.status, 413, "{path}");
        assert!(reply.body.contains("65536"), "{}", reply.body);
    }
}

#[test]
fn a_body_that_does_not_say_its_length_is_bounded_too() {
    let shop = Shop::open_with(SMALL_BODIES, IMPATIENT);
    let mut body = Vec::new();
    for _ in 0..40 {
        body.extend_from_slice(format!("1000\r\n{}\r\n", " ".repeat(0x1000)).as_bytes());
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let chunked = Request {
        method: "POST",
        path: "/v1/movements",
        token: Some(ANY),
        headers: vec![("transfer-encoding", "chunked".to_owned())],
        body,
    };
    assert_eq!(chunked.send(shop.address()).status, 413);
}

#[test]
fn who_asks_before_sending_too_much_hears_it_before_sending() {
    let shop = Shop::open_with(SMALL_BODIES, IMPATIENT);
    let request = Request {
        method: "POST",
        path: "/v1/movements",
        token: Some(ANY),
        headers: vec![("content-length", "9000000".to_owned()), ("expect", "100-continue".to_owned())],
        body: Vec::new(),
    };
    assert_eq!(request.send(shop.address()).status, 413);
}

#[test]
fn a_line_over_the_limit_fails_alone() {
    let shop = Shop::open();
    let long = format!("{{\"source\":\"{}\"}}", "x".repeat(3 << 20));
    let answers = shop.batch(&format!("{long}\n{SALE}\n")).lines();
    assert_eq!((answers[0]["status"].as_u64(), answers[1]["status"].as_u64()), (Some(413), Some(201)));
}

#[test]
fn a_document_of_too_many_lines_is_refused() {
    let shop = Shop::open();
    let lines = vec![r#"{"sku":"a","quantity":1}"#; 10_001].join(",");
    let document = format!("{}[{lines}]}}", &SALE[..SALE.find("[{").unwrap()]);
    let reply = shop.report(&document);
    assert_eq!((reply.status, reply.problem_field().as_str()), (422, "lines"));
}

#[test]
fn a_request_that_stops_halfway_through_its_body_is_given_up() {
    let shop = Shop::open_with("", IMPATIENT);
    let whole = format!(
        "POST /v1/movements HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {TILL_3}\r\ncontent-length: {}\r\n\r\n{SALE}",
        SALE.len()
    );
    let reply = raw(shop.address(), &whole.as_bytes()[..whole.len() - 20]);
    assert_eq!(reply.status, 408);
    assert_eq!(shop.get("/v1/movements").json()["movements"], serde_json::json!([]));
}

#[test]
fn a_request_that_stops_halfway_through_its_header_is_given_up() {
    let shop = Shop::open_with("", IMPATIENT);
    let mut stream = connect(shop.address());
    stream.write_all(b"POST /v1/movements HTTP/1.1\r\nhost: loc").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_till_that_hangs_up_in_the_middle_leaves_the_agent_well() {
    let shop = Shop::open();
    for cut in [10, 60, 150] {
        let whole = format!(
            "POST /v1/movements HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TILL_3}\r\ncontent-length: {}\r\n\r\n{SALE}",
            SALE.len()
        );
        connect(shop.address()).write_all(&whole.as_bytes()[..cut]).unwrap();
    }
    assert_eq!(shop.report(SALE).status, 201);
}

#[test]
fn garbage_is_answered_with_bad_request() {
    let shop = Shop::open();
    let mut stream = connect(shop.address());
    stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream).status, 400);
    assert_eq!(shop.get("/healthz").status, 200);
}

#[test]
fn headers_without_end_are_bounded() {
    let shop = Shop::open();
    let mut stream = connect(shop.address());
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n");
    let line = format!("x-more: {}\r\n", "y".repeat(1000));
    for _ in 0..200 {
        if stream.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(shop.get("/healthz").status, 200);
}

#[test]
fn many_tills_at_once_are_all_answered() {
    let shop = Shop::open();
    std::thread::scope(|scope| {
        for till in 0..64 {
            let shop = &shop;
            scope.spawn(move || {
                for number in 0..5 {
                    let document =
                        SALE.replace("till-3", &format!("till-{till}")).replace("0042", &number.to_string());
                    let reply = shop.ask("POST", "/v1/movements", Some(ANY), document.as_bytes());
                    assert_eq!(reply.status, 201, "{}", reply.body);
                }
            });
        }
    });
    assert_eq!(shop.on_hand("00012345678905"), "-640");
}
