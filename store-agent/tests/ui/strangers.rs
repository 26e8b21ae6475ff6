//! What pages from elsewhere try: other hosts, other origins, forms without our token, bodies without end.

use crate::client::{connect, read_reply};
use crate::screen::{Screen, set_up};
use crate::shop::{IMPATIENT, Shop};
use std::io::Write;

#[test]
fn a_name_pointed_at_this_machine_gets_nothing() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    for host in ["evil.example", "evil.example:8181", "localhost.evil.example"] {
        let reply = screen.ask("GET", "/", &[("host", host)], "");
        assert_eq!(reply.status, 421, "{host}");
        assert!(!reply.body.contains("Meera"), "{host}");
    }
    let listed = Shop::open_with("[page]\nlisten = \"127.0.0.1:0\"\nhosts = [\"store.example\"]", IMPATIENT);
    let mut screen = Screen::new(&listed);
    assert_eq!(screen.ask("GET", "/set-up", &[("host", "store.example")], "").status, 200);
}

#[test]
fn a_change_has_to_come_from_a_button_of_this_page() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    let host = format!("localhost:{}", shop.page().port());
    let (own, body) = (format!("http://{host}"), screen.form(&[]));
    let cases: [(&[(&'static str, &str)], u16); 8] = [
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("sec-fetch-site", "none")], 403),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[], 403),
        (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], 403),
        (&[("origin", &own)], 303),
    ];
    for (headers, status) in cases {
        assert_eq!(screen.ask("POST", "/lock", headers, &body).status, status, "{headers:?}");
    }
}

#[test]
fn a_form_without_the_token_of_this_session_is_refused() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    let headers = [("sec-fetch-site", "same-origin")];
    for body in ["", "form=", "form=0123456789abcdef0123456789abcdef"] {
        let reply = screen.ask("POST", "/sign-out", &headers, body);
        assert_eq!(reply.status, 403, "{body}");
        assert!(reply.body.contains("foreign"), "{}", reply.body);
    }
    screen.get("/");
    assert_eq!(screen.h1(), "Today", "still signed in");
}

#[test]
fn a_body_without_end_is_cut_off_and_a_slow_one_given_up() {
    let shop = Shop::open_with("", IMPATIENT);
    let mut screen = Screen::new(&shop);
    screen.get("/set-up");
    let long = screen.form(&[("name", &"x".repeat(70_000))]);
    assert_eq!(screen.ask("POST", "/set-up", &[("sec-fetch-site", "same-origin")], &long).status, 413);
    let mut stream = connect(shop.page());
    let head = "POST /set-up HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nsec-fetch-site: same-origin\r\ncontent-length: 50\r\n\r\nform=";
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream).status, 408);
}

#[test]
fn nobody_is_sent_to_another_site_after_signing_in() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    for next in ["//evil.example/", "https://evil.example/", "/\\evil.example"] {
        let reply = screen.post("/language", &[("language", "en"), ("next", next)]);
        assert_eq!(reply.header("location"), Some("/"), "{next}");
    }
}

#[test]
fn every_answer_carries_the_policy_and_pages_are_kept_nowhere() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    for path in ["/", "/nothing-here", "/set-up", "/status"] {
        let reply = screen.ask("GET", path, &[], "");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
    }
    let style = crate::screen::value_between(&screen.get("/").body, "stylesheet\" href=\"", "\"").unwrap();
    let asset = screen.ask("GET", &style, &[], "");
    assert_eq!(asset.status, 200);
    assert!(asset.header("cache-control").unwrap().contains("immutable"));
}

#[test]
fn no_page_holds_script_or_style_of_its_own() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    for path in ["/", "/locked", "/nothing"] {
        let page = screen.get(path).body;
        assert!(
            !page.contains("style=\"") && !page.contains("<style") && !page.contains(" onclick"),
            "{path}"
        );
        assert!(page.split("<script").skip(1).all(|script| script.starts_with(" src=\"/assets/")), "{path}");
        assert!(!page.contains("http://") && !page.contains("https://"), "{path}: nothing from elsewhere");
    }
}
