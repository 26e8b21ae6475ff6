//! Four faults while somebody works: the agent killed, the hub gone, the hub slow or silent, clocks that are wrong.

use super::scene;
use super::shop::Counter;
use crate::harness::{Browser, eventually};
use serde_json::json;
use std::net::TcpListener;

const HOUR: i64 = 3600;

#[test]
fn a_page_whose_agent_was_killed_says_so_and_comes_back_by_itself() {
    let scene = scene("page-killed");
    let mut counter = Counter::open(&scene);
    let free =
        TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
    counter.store.page_stays_on(free);
    let mut office = counter.set_up(&scene);
    office.forgiven = vec![
        "ERR_CONNECTION_REFUSED",
        "ERR_INCOMPLETE_CHUNKED_ENCODING",
        "ERR_CONNECTION_RESET",
        "ERR_EMPTY_RESPONSE",
    ];
    office.shows("#screen-says", "connected");
    counter.store.kill();
    office.shows("#screen-says", "lost for");
    office.shows("#lost", "has lost the store server");
    counter.store.start();
    office.shows("#screen-says", "connected");
    office.shows("#said", "has restarted");
    counter.hub.kill();
    office.shows("#status", "away since");
    let found = eventually("the page to count on", || {
        let text = office.text("#lost");
        if text.is_empty() { Ok(text) } else { Err(text) }
    });
    assert_eq!(found, "");
    office.is_clean();
}

#[test]
fn a_hub_that_is_slow_or_says_nothing_holds_nobody_up() {
    let scene = scene("page-slow-hub");
    let mut counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    let (order, code) = counter.places("Asha Kulkarni", &[("tea", 1)]);
    let (second, second_code) = counter.places("Ravi Menon", &[("oats", 1)]);
    counter.arrives(&order);
    counter.arrives(&second);
    // Each packet takes a third of a second, one after the other.
    counter.store.line.is_slow(333);
    office.goto(&format!("/orders/{order}"));
    office.click(".item .acts button");
    office.shows(".outcome", "in the bag");
    office.click("#make-ready");
    office.shows(".chip", "Ready for the customer");
    office.click("#hand-over");
    office.types("#short_code", &code);
    office.click("#give");
    office.shows(".outcome", "Handed over.");
    counter.store.line.is_slow(0);
    office.shows("#standing", "Accepted by head office");
    counter.hub_says(&order, "collected");
    // It is there and answers nothing at all: the page does not say that it has accepted anything.
    counter.hub.process().freeze();
    office.goto(&format!("/orders/{second}"));
    office.click(".item .acts button");
    office.shows(".outcome", "in the bag");
    office.click("#make-ready");
    office.shows(".chip", "Ready for the customer");
    office.shows("#status", "away since");
    office.click("#hand-over");
    office.types("#short_code", &second_code);
    office.click("#give");
    office.shows(".outcome", "Handed over.");
    let standing = office.text("#standing");
    assert!(standing.contains("Saved here"), "{standing}");
    counter.hub.process().thaw();
    office.shows("#standing", "Accepted by head office");
    office.shows("#status", "connected");
    counter.hub_says(&second, "collected");
    office.is_clean();
}

#[test]
fn a_tablet_whose_clock_is_wrong_counts_down_by_the_store_servers_and_says_so() {
    let scene = scene("page-wrong-tablet");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    let tablet = counter.paired_tablet(&scene, &office);
    tablet.meets_with("const real = Date.now.bind(Date); window.off = 26 * 3600e3 + 60e3; Date.now = () => real() + window.off;");
    let (order, _) = counter.places("Asha Kulkarni", &[("tea", 1)]);
    counter.arrives(&order);
    for browser in [&office, &tablet] {
        browser.goto("/orders");
    }
    tablet.shows("#screen-says", "connected · this screen's clock is 26 h");
    tablet.shows("#screen-says", "fast");
    both_count_down_alike(&office, &tablet);
    // Somebody sets it, an hour too far back, while the page is open.
    tablet.run("window.off = -3600e3 - 60e3");
    tablet.shows("#screen-says", "this screen's clock is 1 h");
    tablet.shows("#screen-says", "slow");
    both_count_down_alike(&office, &tablet);
    assert_eq!(office.text("#screen-says"), "connected");
    for browser in [&office, &tablet] {
        browser.is_clean();
    }
}

fn both_count_down_alike(one: &Browser, other: &Browser) {
    eventually("both to count down alike", || {
        let both = [one, other].map(|browser| browser.text(".order .countdown"));
        if both[0].starts_with("in ") && both[0] == both[1] { Ok(()) } else { Err(both) }
    });
}

#[test]
fn a_store_server_whose_clock_is_wrong_says_so_and_serves_on() {
    let scene = scene("page-wrong-server");
    let mut counter = Counter::open(&scene);
    counter.store.clock_is_off(HOUR);
    counter.store.is_synced();
    let mut office = counter.set_up(&scene);
    office.shows("#status", "its clock is 1 h ahead of head office's");
    office.shows("#screen-says", "this screen's clock is 1 h 0 min slow");
    office.goto("/help");
    office.shows(
        "main",
        "It is 1 h ahead of head office. Times and promises will look wrong: ask IT to set it.",
    );
    let (order, code) = counter.places("Asha Kulkarni", &[("tea", 1)]);
    counter.arrives(&order);
    office.goto(&format!("/orders/{order}"));
    office.click(".item .acts button");
    office.click("#make-ready");
    office.click("#hand-over");
    office.types("#short_code", &code);
    office.click("#give");
    office.shows(".outcome", "Handed over.");
    counter.hub_says(&order, "collected");
    // Far behind: certificates are not valid yet, so nobody is reached; the store works on, and the page says what is amiss.
    office.forgiven = vec!["ERR_"];
    counter.store.clock_is_off(-40 * 24 * HOUR);
    let late = Browser::open(&scene, "late", counter.store.page());
    late.goto("/");
    late.shows("h1", "Let this screen in");
    assert_eq!(late.run("return document.body.dataset.live ?? null"), json!(null));
}
