//! The store's page in a real browser: from an empty store server to a customer with a bag, by scanner, by fingers and by keyboard alone.

mod faults;
mod looks;
mod scanner;
mod shop;
mod stock;
mod tls;

use self::shop::{ANA, ANA_PIN, BOSS, BOSS_PIN, Counter, MILK, OATS, TEA};
use crate::harness::{Scene, Transport, eventually};
use serde_json::json;

fn scene(name: &str) -> Scene {
    Scene::over(Transport::Quic, name)
}

#[test]
fn an_order_arrives_live_is_picked_by_scanner_and_handed_over_by_its_code() {
    let scene = scene("page-golden");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    let tablet = counter.paired_tablet(&scene, &office);
    tablet.click("a[href='/orders']");
    tablet.shows("main", "No order waits");
    let (order, code) = counter.places("Asha Kulkarni", &[("tea", 2), ("oats", 1)]);
    // Nobody touches the tablet.
    tablet.shows(".order", "Asha K.");
    tablet.shows("[data-badge=orders]", "1");
    tablet.shows("#said", "A new order has come in.");
    assert_eq!(tablet.run("return document.body.dataset.lastSound"), json!("fresh"));

    tablet.click(".order");
    tablet.shows("h1", "For Asha K.");
    tablet.scans(TEA);
    tablet.shows(".outcome", "1 × Green tea, 20 bags: in the bag.");
    tablet.scans(MILK);
    tablet.shows(".outcome[data-outcome=refused]", "Wrong item!");
    tablet.shows("#said", "Wrong item!");
    assert_eq!(tablet.run("return document.body.dataset.lastSound"), json!("wrong"));
    // A scanner does not care where the cursor is, and what stands in a field stays as it was.
    tablet.click("#refuse");
    tablet.types("#reason", "half a sentence");
    tablet.scans(TEA);
    tablet.shows(".item[data-done]", "Green tea");
    assert_eq!(tablet.run("return document.querySelector('#code').value"), json!(""));
    tablet.scans(OATS);
    tablet.click("#make-ready");
    tablet.shows(".chip", "Ready for the customer");
    tablet.shows("#standing", "Accepted by head office");

    tablet.click("#hand-over");
    tablet.types("#short_code", &code);
    tablet.click("#give");
    tablet.shows(".outcome", "Handed over.");
    tablet.shows("#standing", "Accepted by head office");
    counter.hub_says(&order, "collected");
    for browser in [&office, &tablet] {
        browser.is_clean();
    }
}

#[test]
fn two_scans_in_a_row_are_two_also_while_the_first_is_on_its_way() {
    let scene = scene("page-scanner");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    let (order, _) = counter.places("Ravi Menon", &[("tea", 2), ("oats", 2)]);
    counter.arrives(&order);
    office.goto(&format!("/orders/{order}"));
    for code in [TEA, OATS, TEA, OATS] {
        office.scans(code);
    }
    office.shows("#make-ready", "Ready for the customer");
    // With the cursor in a text field, nothing of a code stays in it. What comes in between, half a code read, is not what the scan did.
    let (order, _) = counter.places("Ravi Menon", &[("tea", 1), ("oats", 1)]);
    counter.arrives(&order);
    office.goto(&format!("/orders/{order}"));
    office.click("#refuse");
    office.types("#reason", "the lid is off");
    office
        .run("document.querySelector('#reason').focus(); window.before = document.querySelector('#reason');");
    office.run("window.kept = null; new MutationObserver(() => { if (document.querySelector('.item[data-done]')) window.kept ??= window.before.value; }).observe(document.querySelector('#main'), { childList: true, subtree: true });");
    office.scans(OATS);
    office.shows(".item[data-done]", "Oats");
    assert_eq!(office.run("return window.kept"), json!("the lid is off"));
    office.is_clean();
}

#[test]
fn of_two_browsers_on_one_order_the_second_sees_the_first_and_is_refused_politely() {
    let scene = scene("page-race");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    let tablet = counter.paired_tablet(&scene, &office);
    let (order, _) = counter.places("Asha Kulkarni", &[("tea", 2)]);
    counter.arrives(&order);
    for browser in [&office, &tablet] {
        browser.goto(&format!("/orders/{order}"));
        browser.shows("h1", "Asha K.");
    }
    // The office hears nothing of it in time: its stream is closed.
    office.run("Object.defineProperty(document, 'hidden', { value: true, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))");
    tablet.click(".acts form:nth-of-type(2) button");
    tablet.shows(".outcome", "2 × Green tea, 20 bags: in the bag.");
    office.click(".acts form:nth-of-type(1) button");
    office.shows(".outcome[data-outcome=refused]", "Ana was faster");
    office.shows(".item[data-done]", "Green tea");
    // Now it listens again, and sees what the other does at once.
    office.run("Object.defineProperty(document, 'hidden', { value: false, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))");
    tablet.click("#make-ready");
    office.shows(".chip", "Ready for the customer");
    for browser in [&office, &tablet] {
        browser.is_clean();
    }
}

#[test]
fn everything_can_be_done_with_the_keyboard_alone() {
    let scene = scene("page-keyboard");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    let (order, code) = counter.places("Asha Kulkarni", &[("tea", 2), ("oats", 1)]);
    counter.arrives(&order);
    office.goto("/");
    office.tabs_to(".who button");
    office.strikes(&["Enter"]);
    office.shows("h1", "Locked");
    office.strikes(&["8", "3", "0", "5", "Enter"]);
    office.shows("h1", "Today");
    office.tabs_to("a[href='/orders']");
    office.strikes(&["Enter"]);
    office.tabs_to(".order");
    office.strikes(&["Enter"]);
    office.shows("h1", "For Asha K.");
    for picked in ["1 of", "2 of", "all"] {
        let version = office.run("return document.querySelector('#order').dataset.version");
        office.tabs_to(".item:not([data-done]) button");
        office.strikes(&["Enter"]);
        eventually(&format!("{picked} to be picked"), || {
            let now = office.run("return document.querySelector('#order').dataset.version");
            if now == version { Err(now) } else { Ok(()) }
        });
    }
    office.shows("#make-ready", "Ready");
    office.tabs_to("#make-ready");
    office.strikes(&["Enter"]);
    office.shows(".chip", "Ready for the customer");
    office.tabs_to("#hand-over");
    office.strikes(&["Enter"]);
    office.shows("h1", "Hand over to Asha K.");
    // The field for the code has the focus already.
    office.strikes(&[&code, "Enter"]);
    office.shows(".outcome", "Handed over.");
    office.tabs_to("#undo");
    office.strikes(&["Enter"]);
    office.shows(".outcome", "taken back");
    office.is_clean();
}

#[test]
fn an_associate_needs_a_manager_to_take_a_handover_back() {
    let scene = scene("page-approval");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    let tablet = counter.paired_tablet(&scene, &office);
    let (order, code) = counter.places("Asha Kulkarni", &[("tea", 1)]);
    counter.arrives(&order);
    tablet.goto(&format!("/hand-over?order={order}"));
    tablet.types("#short_code", &code);
    tablet.click("#give");
    tablet.shows(".outcome", "Handed over.");
    tablet.click("#undo");
    tablet.shows("main", "A manager has to approve this.");
    tablet.types("input[name=pin]", ANA_PIN);
    tablet.click("main .primary");
    tablet.shows(".trouble", "That PIN is wrong");
    tablet.types("input[name=pin]", BOSS_PIN);
    tablet.click("main .primary");
    tablet.shows(".outcome", "taken back");
    office.goto("/people");
    office.shows(".trail", &format!("approved by {BOSS}"));
    office.shows(".trail", ANA);
    tablet.is_clean();
}
