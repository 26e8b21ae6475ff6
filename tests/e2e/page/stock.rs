//! Items, counts and the books in a real browser: by scanner, by typing, and how each of these screens looks.

use super::looks::look;
use super::scene;
use super::shop::{BOSS_PIN, Counter, MILK, OATS, TEA};
use serde_json::json;

#[test]
fn a_shelf_is_counted_by_scanner_and_head_office_hears_of_it() {
    let scene = scene("page-count");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    let tablet = counter.paired_tablet(&scene, &office);
    tablet.goto("/count");
    tablet.shows("#tasks", "To count");
    tablet.scans(TEA);
    tablet.shows("h1", "Count: Green tea, 20 bags");
    // A scanner does not care where the cursor is: it stands in the field for the quantity.
    for _ in 0..2 {
        tablet.scans(TEA);
    }
    tablet.shows("#sheet", "Together 2");
    tablet.scans(OATS);
    tablet.shows(".outcome[data-outcome=refused]", "That is not this item: Oats");
    assert_eq!(tablet.run("return document.body.dataset.lastSound"), json!("wrong"));
    tablet.types("#quantity", "37");
    tablet.click("form[action='/count/enter'] .primary");
    tablet.shows("#sheet", "Together 39");
    tablet.goto("/count");
    tablet.shows("#lists", "Being counted");
    tablet.scans(TEA);
    tablet.shows("#sheet", "Together 39");
    tablet.click("form[action='/count/finish'] button");
    tablet.shows(".outcome", "The count is in the books.");
    tablet.shows("#sheet", "1 fewer than expected");
    counter.hub.shows("S0001", "tea", "39");
    for browser in [&office, &tablet] {
        browser.is_clean();
    }
}

#[test]
fn typing_finds_items_without_a_reload_and_a_scan_opens_one_at_once() {
    let scene = scene("page-search");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    office.goto("/items");
    office.run("window.stays = true");
    office.types("#q", "oat");
    office.shows("#found", "Oats, rolled, 1 kg");
    office.shows("#found-count", "1 item");
    assert_eq!(office.run("return window.stays"), json!(true), "the page was not loaded again");
    assert_eq!(office.run("return document.activeElement.id"), json!("q"), "and the cursor is where it was");
    office.scans(MILK);
    office.shows("h1", "Whole milk");
    office.shows(".figures", "40");
    office.scans(TEA);
    office.shows("h1", "Green tea");
    office.is_clean();
}

#[test]
fn every_screen_of_stock_and_books_looks_right() {
    let scene = scene("page-stock-looks");
    let counter = Counter::open(&scene);
    let office = counter.set_up(&scene);
    for path in ["items", "count", "movements", "reports", "help", "audit"] {
        office.goto(&format!("/{path}"));
        look(&office, &format!("{path}-first"));
    }
    office.goto("/items?q=nothing");
    look(&office, "items-none");
    let (order, _) = counter.places("Asha Kulkarni", &[("tea", 2)]);
    counter.arrives(&order);
    office.goto("/item?sku=tea");
    office.shows("main", &order);
    look(&office, "item");
    office.click(".act:nth-of-type(2) summary");
    office.types("#waste-quantity", "2");
    office.run("document.querySelector('#waste-reason').value = 'damaged'");
    look(&office, "item-waste");
    office.click(".act:nth-of-type(1) summary");
    office.types("#receipt-quantity", "2");
    office.click(".act:nth-of-type(1) .primary");
    office.shows(".outcome", "Received: 2");
    look(&office, "item-done");
    let tablet = counter.paired_tablet(&scene, &office);
    tablet.goto("/count");
    tablet.scans(OATS);
    tablet.shows("h1", "Count: Oats");
    look(&tablet, "sheet-empty");
    tablet.types("#quantity", "30");
    tablet.types("#place", "by the door");
    tablet.click("form[action='/count/enter'] .primary");
    tablet.shows("#sheet", "Together 30");
    look(&tablet, "sheet");
    tablet.click("form[action='/count/finish'] button");
    tablet.shows("#sheet", "10 fewer than expected");
    look(&tablet, "sheet-waiting");
    office.goto("/count");
    office.shows("#lists", "Wait for a manager");
    look(&office, "count");
    tablet.click("form[action='/count/approve'] button");
    tablet.shows("main", "A manager has to approve this.");
    look(&tablet, "sheet-pin");
    tablet.types("input[name=pin]", BOSS_PIN);
    tablet.click("main .primary");
    tablet.shows(".outcome", "The count is in the books.");
    look(&tablet, "sheet-recorded");
    for path in ["movements", "reports", "help", "audit", "reports?days=28", "movements?kind=waste"] {
        office.goto(&format!("/{path}"));
        look(&office, &path.replace(['?', '='], "-"));
    }
    for language in ["es", "hi"] {
        office.click(&format!("button[lang={language}]"));
        for (path, name) in [
            ("/items", "items"),
            ("/item?sku=tea", "item"),
            ("/count", "count"),
            ("/movements", "movements"),
            ("/reports", "reports"),
            ("/help", "help"),
        ] {
            office.goto(path);
            look(&office, &format!("{name}-{language}"));
        }
    }
}
