//! Scanners beside a page that is slow or just changing: each code is used once and whole, or the page says loudly that it was not.

use super::scene;
use super::shop::{Counter, MILK, OATS, TEA};
use crate::harness::{Browser, Gate, eventually};
use serde_json::json;

/// Strikes keys from within the page, all in one step, so that nothing can come in between.
const STRIKE: &str = "const strike = (keys) => { for (const key of keys) \
     (document.activeElement ?? document.body).dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })); };";

/// A browser behind a gate, set up, which shows `path`.
fn behind_a_gate(scene: &crate::harness::Scene, counter: &Counter, path: &str) -> (Gate, Browser) {
    let gate = Gate::before(counter.store.page());
    let office = counter.set_up_at(scene, gate.address());
    office.goto(path);
    (gate, office)
}

/// Strikes keys in the very step in which the page is left by a link, so that nothing can come in between, and lets the next page come
/// when its request is out.
fn leaves_and_strikes(gate: &Gate, browser: &Browser, to: &str, keys: &str) {
    gate.shut();
    // Later, for the driver would wait for the page that the gate holds back.
    browser.run(&format!(
        "{STRIKE} setTimeout(() => {{ document.activeElement.blur(); \
         document.querySelector(\".menu a[href='{to}']\").click(); strike({keys}); }}, 50);"
    ));
    eventually("the next page to be asked for", || {
        let asked = gate.asked(&format!("GET {to} "));
        if asked > 0 { Ok(()) } else { Err(asked) }
    });
    assert_eq!(gate.asked("POST"), 0, "nothing was sent");
    gate.open();
}

#[test]
fn two_scans_of_which_the_first_waits_for_its_answer_are_both_counted() {
    let scene = scene("page-scans-held");
    let counter = Counter::open(&scene);
    let (gate, office) = behind_a_gate(&scene, &counter, "/count");
    gate.shut();
    office.scans(TEA);
    eventually("the first scan to be on its way", || gate.holds_something());
    // While the page is still the list, two pieces more.
    for _ in 0..2 {
        office.scans(TEA);
    }
    office.shows("#sending", "Waiting behind it: 2");
    assert_eq!(
        gate.asked("POST /count/enter"),
        0,
        "each is decided on the page that the one before has left"
    );
    gate.open();
    office.shows("h1", "Count: Green tea");
    office.shows("#sheet", "Together 2");
    assert_eq!(office.text("#missed"), "");
    gate.shut();
    for _ in 0..3 {
        office.scans(TEA);
    }
    eventually("the first of three to be on its way", || gate.holds_something());
    gate.open();
    office.shows("#sheet", "Together 5");
    // Going back shows what was there, from the store server.
    office.run("history.back()");
    office.shows("#lists", "Being counted");
    office.is_clean();
}

#[test]
fn what_was_typed_stays_while_a_scan_comes_between() {
    let scene = scene("page-scans-typed");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    office.goto("/count");
    office.scans(TEA);
    office.shows("h1", "Count: Green tea");
    office.types("#place", "by the door");
    office.scans(TEA);
    office.shows("#sheet", "Together 1");
    assert_eq!(office.run("return document.querySelector('#place').value"), json!("by the door"));
    office.types("#quantity", "4");
    office.strikes(&["Enter"]);
    office.shows("#sheet", "Together 5");
    office.shows("#sheet", "by the door");
    assert_eq!(office.run("return document.querySelector('#quantity').value"), json!(""));
    office.is_clean();
}

#[test]
fn items_scanned_faster_than_their_pages_come_end_at_the_last_one() {
    let scene = scene("page-scans-items");
    let counter = Counter::open(&scene);
    let (gate, office) = behind_a_gate(&scene, &counter, "/items");
    gate.shut();
    for code in [MILK, OATS, TEA] {
        office.scans(code);
    }
    eventually("the first scan to be on its way", || gate.holds_something());
    gate.open();
    office.shows("h1", "Green tea");
    assert_eq!(office.path(), "/item");
    assert_eq!(office.run("return document.title.startsWith('Green tea')"), json!(true));
    assert_eq!(office.text("#missed"), "");
    office.is_clean();
}

#[test]
fn a_code_scanned_while_the_page_is_left_is_not_used_and_loudly_so() {
    let scene = scene("page-scans-leaving");
    let counter = Counter::open(&scene);
    let (gate, office) = behind_a_gate(&scene, &counter, "/count");
    office.shows("#tasks", "To count");
    leaves_and_strikes(&gate, &office, "/orders", &format!("[...'{TEA}', 'Enter']"));
    office.shows("h1", "Orders");
    office.shows("#missed", "Scan again");
    // Only a part of it was heard there; that is told here, too.
    leaves_and_strikes(&gate, &office, "/", "[...'50123']");
    office.shows("h1", "Today");
    office.shows("#missed", "Scan again");
    assert_eq!(office.run("return document.body.dataset.lastSound"), json!("wrong"));
    office.is_clean();
}

#[test]
fn a_code_whose_beginning_went_to_the_page_before_is_not_used_and_loudly_so() {
    let scene = scene("page-scans-torn");
    let counter = Counter::open(&scene);
    let (gate, office) = behind_a_gate(&scene, &counter, "/count");
    office.scans(TEA);
    office.shows("h1", "Count: Green tea");
    // The rest of a code comes to a page that has just been loaded, with the cursor in the field for the quantity: long enough for a
    // code, and so short that a person might have typed it.
    office.meets_with(&format!(
        "{STRIKE} addEventListener('DOMContentLoaded', () => {{ const field = document.querySelector('#quantity'); \
         if (!field || !window.name) return; field.focus(); field.value = window.name; strike([...window.name, 'Enter']); }});"
    ));
    for tail in [&TEA[1..], "900", "7"] {
        office.run(&format!("window.name = '{tail}'"));
        gate.shut();
        gate.open();
        office.goto(&office.address());
        office.shows("#missed", "Scan again");
        assert_eq!(office.run("return document.querySelector('#quantity').value"), json!(""), "{tail}");
        assert_eq!(gate.asked("POST"), 0, "{tail}: nothing was sent");
    }
    office.shows("#sheet", "Nothing entered yet");
    office.is_clean();
}

#[test]
fn a_scanner_that_stumbles_in_the_middle_of_a_code_is_asked_again() {
    let scene = scene("page-scans-stumble");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    office.goto("/count");
    office.scans(TEA);
    office.shows("h1", "Count: Green tea");
    office.stumbles(TEA, 6, 0.09);
    office.shows("#missed", "Scan again");
    assert_eq!(office.run("return document.querySelector('#quantity').value"), json!(""));
    office.scans(TEA);
    office.shows("#sheet", "Together 1");
    assert_eq!(office.text("#missed"), "");
    office.is_clean();
}

#[test]
fn the_same_code_twice_at_the_counter_hands_nothing_over() {
    let scene = scene("page-scans-nowhere");
    let counter = Counter::open(&scene);
    let (order, _) = counter.places("Asha Kulkarni", &[("tea", 1)]);
    counter.arrives(&order);
    let (gate, office) = behind_a_gate(&scene, &counter, "/hand-over");
    gate.shut();
    // The first leads to the order, whose page takes scans too: a number is no code there, and is refused.
    for _ in 0..2 {
        office.scans(&order);
    }
    eventually("the first scan to be on its way", || gate.holds_something());
    gate.open();
    office.shows(".outcome[data-outcome=refused]", "");
    office.shows("h1", "Hand over to Asha K.");
    // Where no code is taken at all, that is said.
    office.goto("/help");
    office.scans(TEA);
    office.shows("#missed", &format!("{TEA} was not used"));
    office.is_clean();
}
