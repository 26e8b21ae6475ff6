//! How every screen looks, in every state and width: pictures as output; nothing wider than the screen, nothing too small for a thumb,
//! nothing that axe finds serious, by day and by night.

use super::scene;
use super::shop::Counter;
use crate::harness::Browser;
use serde_json::{Value, json};

/// The test-only checker of accessibility, with its licence beside it.
const AXE: &str = include_str!("axe/axe.min.js");
const WIDTHS: [u32; 3] = [360, 768, 1280];
/// The widest screen that is looked at, without a picture.
const WIDEST: u32 = 1600;

/// Looks at the page as it stands.
pub(super) fn look(browser: &Browser, name: &str) {
    fits(browser, name, WIDEST);
    for width in WIDTHS {
        fits(browser, name, width);
        browser.pictured(&format!("{name}-{width}"));
        let small = browser.run(
            "return [...document.querySelectorAll('button, a, select, summary, input:not([type=hidden]):not([type=radio]):not([type=checkbox])')] \
             .filter(e => e.checkVisibility() && !e.matches('.skip')).map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()]) \
             .filter(([_, r]) => r.width < 44 || r.height < 44).map(([t, r]) => `${t} ${r.width}x${r.height}`)",
        );
        assert_eq!(small, json!([]), "{name} at {width}: too small for a thumb");
    }
    for dark in [true, false] {
        browser.is_dark(dark);
        accessible(browser, &format!("{name}, dark: {dark}"));
        if dark {
            browser.pictured(&format!("{name}-dark"));
        }
    }
    browser.is_clean();
}

fn fits(browser: &Browser, name: &str, width: u32) {
    browser.is_wide(width);
    let sideways =
        browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(sideways, json!(0), "{name} at {width}: wider than the screen");
}

fn accessible(browser: &Browser, name: &str) {
    if browser.run("return typeof window.axe") != json!("object") {
        browser.run(AXE);
    }
    let found = browser.run_until_called_back(
        "const done = arguments[arguments.length - 1]; \
         axe.run(document, { resultTypes: ['violations'] }).then(r => done(r.violations.map(v => \
         ({ id: v.id, impact: v.impact, nodes: v.nodes.map(n => n.html.slice(0, 120) + ' | ' + n.failureSummary) }))), e => done([String(e)]))",
    );
    let found: Vec<Value> = found.as_array().cloned().unwrap_or_default();
    assert!(found.is_empty(), "{name}: {}", serde_json::to_string_pretty(&found).unwrap_or_default());
}

#[test]
fn every_door_looks_right() {
    let scene = scene("page-doors");
    let counter = Counter::open(&scene);
    let stranger = Browser::open(&scene, "stranger", counter.store.page());
    stranger.goto("/");
    look(&stranger, "set-up");
    stranger.types("#code", "wrong");
    stranger.types("#name", "Eve");
    stranger.types("#pin", "8305");
    stranger.types("#pin_again", "8305");
    stranger.types("#device", "Nowhere");
    stranger.run("document.querySelector('main form').noValidate = true");
    let office = counter.set_up(&scene);
    stranger.goto("/pair");
    look(&stranger, "pair");
    let tablet = counter.paired_tablet(&scene, &office);
    look(&office, "people-code");
    office.goto("/people");
    office.click("#add-person");
    look(&office, "people");
    tablet.click(".foot form[action='/sign-out'] button");
    tablet.shows("h1", "Who is there?");
    look(&tablet, "sign-in");
    tablet.click(".names li:first-child a");
    tablet.types("#pin", "0007");
    tablet.click("main .primary");
    tablet.shows(".trouble", "wrong");
    tablet.run("document.querySelector('.trouble')");
    let mut tablet = tablet;
    tablet.forgiven = vec!["422"];
    look(&tablet, "sign-in-wrong");
    office.goto("/nothing-here");
    let mut office = office;
    office.forgiven = vec!["404"];
    look(&office, "not-found");
    office.goto("/");
    office.click(".who button");
    office.shows("h1", "Locked");
    look(&office, "locked");
}

#[test]
fn every_screen_looks_right() {
    let scene = scene("page-looks");
    let mut counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    look(&office, "today-empty");
    for path in ["orders", "hand-over"] {
        office.goto(&format!("/{path}"));
        look(&office, &format!("{path}-empty"));
    }
    let (first, code) = counter.places("Asha Kulkarni", &[("tea", 2), ("oats", 1), ("apples", 3)]);
    let (second, _) = counter.places("Ravi Menon-Fernandes", &[("tea", 1)]);
    let (third, _) = counter.places("Guadalupe Hernández", &[("milk", 6), ("oats", 2)]);
    let (fourth, _) = counter.places("मीरा शर्मा", &[("milk", 1)]);
    for order in [&first, &second, &third, &fourth] {
        counter.arrives(order);
    }
    office.goto(&format!("/orders/{first}"));
    look(&office, "order-new");
    office.click("button[aria-label^='Pick all'][aria-label*='Green tea']");
    office.shows(".outcome", "in the bag");
    office.click(".item:not([data-done]) summary.button");
    look(&office, "order-picking");
    office.click(".item:not([data-done]) details[open] form:nth-of-type(1) button");
    office.shows(".outcome", "reported as missing");
    office.types("#code", "4711");
    office.click(".scan button");
    office.shows(".outcome[data-outcome=refused]", "4711");
    look(&office, "order-wrong-item");
    office.click(".item:not([data-done]) .acts button");
    office.shows("#make-ready", "Ready");
    look(&office, "order-picked");
    office.click("#make-ready");
    office.shows(".chip", "Ready for the customer");
    look(&office, "order-ready");
    office.goto(&format!("/orders/{third}"));
    office.click(".acts button");
    office.shows(".outcome", "in the bag");
    counter.cancels(&third);
    office.shows(".chip", "To be cancelled");
    look(&office, "order-cancelling");
    office.click("#acknowledge");
    office.shows("#put-back", "Everything is back");
    look(&office, "order-put-back");
    office.goto("/orders");
    office.shows("main", "Put back");
    look(&office, "orders");
    office.goto("/hand-over");
    look(&office, "hand-over");
    office.goto("/");
    look(&office, "today");
    office.goto(&format!("/hand-over?order={first}"));
    office.click("#no-code");
    look(&office, "hand-over-one");
    office.types("#short_code", &code);
    office.click("#give");
    office.shows(".outcome", "Handed over.");
    look(&office, "order-handed-over");
    office.goto("/orders?show=done");
    look(&office, "orders-done");
    counter.hub.kill();
    office.goto("/orders");
    office.shows("#status", "away since");
    office.goto("/orders");
    office.shows(".stale", "Head office has been away");
    look(&office, "orders-stale");
    for language in ["es", "hi"] {
        office.click(&format!("button[lang={language}]"));
        for (path, name) in
            [("/", "today"), ("/orders", "orders"), ("/hand-over", "hand-over"), ("/people", "people")]
        {
            office.goto(path);
            look(&office, &format!("{name}-{language}"));
        }
        office.goto(&format!("/orders/{second}"));
        look(&office, &format!("order-{language}"));
    }
}
