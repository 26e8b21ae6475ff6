//! Counting on the page: by scanner and by hand, blind, by two people, with a manager's approval, over a restart.

use crate::goods::{associate, database, stocked};
use crate::screen::{BOSS, BOSS_PIN, Screen, set_up, value_between};
use crate::shop::Shop;

/// Head office or a doubt wants the first item counted.
fn wants_count(shop: &Shop, blind: bool) {
    let text = format!(
        r#"{{"state":"open","reasons":["head_office"],"opened_at":1,"since":1,"position":0,"blind":{blind},"remark":"top shelf"}}"#
    );
    let sql = "INSERT INTO note (from_hub, topic, key, text, change_seq) VALUES (0, 3, 1, ?1, 1)";
    database(shop).execute(sql, [text]).unwrap();
}

fn begin(screen: &mut Screen, code: &str) {
    screen.get("/count");
    let reply = screen.does("/count/begin", &[("code", code)]);
    assert!(reply.body.contains("Count: "), "{}", reply.body);
}

fn enter(screen: &mut Screen, quantity: &str, place: &str) {
    let (id, once) = (screen.hidden("id"), screen.hidden("once"));
    screen.does("/count/enter", &[("id", &id), ("once", &once), ("quantity", quantity), ("place", place)]);
}

fn press(screen: &mut Screen, action: &str) -> String {
    let (id, seen) = (screen.hidden("id"), screen.hidden("seen"));
    screen.does(action, &[("id", &id), ("seen", &seen)]).body
}

fn sell(shop: &Shop, reference: &str, quantity: u32) {
    let sale = format!(
        r#"{{"source":"till-3","reference":"{reference}","kind":"sale","occurred_at":"2026-10-31T10:00:00Z","lines":[{{"sku":"4011","quantity":{quantity}}}]}}"#
    );
    assert_eq!(shop.report(&sale).status, 201);
}

#[test]
fn shelves_add_up_and_what_is_sold_meanwhile_is_kept_right() {
    let shop = stocked();
    wants_count(&shop, false);
    let mut screen = set_up(&shop);
    assert!(screen.get("/count").body.contains("top shelf"));
    begin(&mut screen, "4011");
    assert!(screen.page.contains("The books expect 12."), "{}", screen.page);
    enter(&mut screen, "7", "top shelf");
    sell(&shop, "s1", 2);
    enter(&mut screen, "4", "");
    assert!(screen.page.contains("Together 11"), "{}", screen.page);
    assert!(screen.page.contains("The books expect 12."), "as of when counting began: {}", screen.page);
    let done = press(&mut screen, "/count/finish");
    assert!(done.contains("The count is in the books.") && done.contains("1 fewer than expected"), "{done}");
    assert_eq!(shop.on_hand("4011"), "9", "eleven were there before two were sold");
    assert!(shop.get("/v1/count-tasks").json()["tasks"].as_array().unwrap().is_empty(), "the task has ended");
}

#[test]
fn scans_count_pieces_and_another_item_is_told_apart() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    begin(&mut screen, "012345678905");
    for _ in 0..3 {
        let id = screen.hidden("id");
        let once = value_between(&screen.page, "name=\"once\" value=\"s", "\"").unwrap();
        let fields = [("id", id.as_str()), ("once", &format!("s{once}")), ("code", "012345678905")];
        screen.does("/count/enter", &fields);
        screen.does("/count/enter", &fields);
    }
    assert!(screen.page.contains("Together 3"), "each once, though sent twice: {}", screen.page);
    let id = screen.hidden("id");
    let other = screen.does("/count/enter", &[("id", &id), ("once", "x1"), ("code", "evil")]).body;
    assert!(other.contains("That is not this item") && other.contains("data-outcome=\"refused\""), "{other}");
    let unknown = screen.does("/count/enter", &[("id", &id), ("once", "x2"), ("code", "00000000")]).body;
    assert!(unknown.contains("No item has the code 00000000"), "{unknown}");
    screen.get(&format!("/count/sheet?id={id}"));
    let entry = screen.hidden("entry");
    screen.does("/count/remove", &[("id", &id), ("entry", &entry)]);
    assert!(screen.page.contains("Together 2"), "{}", screen.page);
}

#[test]
fn a_blind_count_tells_nothing_of_what_is_expected() {
    let shop = stocked();
    // A figure that nothing else on the page can be.
    let receipt = r#"{"source":"till-3","reference":"r2","kind":"receipt","occurred_at":"2026-10-31T09:30:00Z","lines":[{"sku":"4011","quantity":7565}]}"#;
    assert_eq!(shop.report(receipt).status, 201);
    wants_count(&shop, true);
    let mut boss = set_up(&shop);
    let mut tablet = associate(&shop, &mut boss, "Ana");
    let leaks = |page: &str| page.contains("7577") || page.contains("7,577") || page.contains("expect 7");
    assert!(!leaks(&tablet.get("/count").body));
    begin(&mut tablet, "4011");
    assert!(tablet.page.contains("Blind count") && !leaks(&tablet.page), "{}", tablet.page);
    enter(&mut tablet, "7000", "");
    assert!(!leaks(&tablet.page));
    let waits = press(&mut tablet, "/count/finish");
    assert!(waits.contains("A manager has to look at this count"), "{waits}");
    assert!(!leaks(&waits) && !waits.contains("577 fewer"), "neither the figure nor the difference: {waits}");
    assert!(!leaks(&tablet.get("/count").body));
    let id = value_between(&waits, "name=\"id\" value=\"", "\"").unwrap();
    let seen_by_boss = boss.get(&format!("/count/sheet?id={id}")).body;
    assert!(seen_by_boss.contains("7,577") && seen_by_boss.contains("577 fewer"), "{seen_by_boss}");
}

#[test]
fn a_large_difference_waits_for_a_manager_over_a_restart() {
    let mut shop = stocked();
    let mut boss = set_up(&shop);
    let mut tablet = associate(&shop, &mut boss, "Ana");
    begin(&mut tablet, "4011");
    enter(&mut tablet, "5", "");
    shop.stop();
    shop.start();
    tablet.moved(&shop);
    boss.moved(&shop);
    tablet.get("/count");
    begin(&mut tablet, "4011");
    assert!(tablet.page.contains("Together 5"), "nothing was lost: {}", tablet.page);
    let waits = press(&mut tablet, "/count/finish");
    assert!(
        waits.contains("It differs by more than 2") && waits.contains("7 fewer than expected"),
        "{waits}"
    );
    assert_eq!(shop.on_hand("4011"), "12", "nothing has changed yet");
    assert!(boss.get("/count").body.contains("Wait for a manager"));

    let asked = press(&mut tablet, "/count/approve");
    assert!(asked.contains("A manager has to approve this"), "{asked}");
    let (id, seen) = (tablet.hidden("id"), tablet.hidden("seen"));
    let option = asked.split("<option value=\"").find(|rest| rest.contains(BOSS)).unwrap();
    let meera = option.split('"').next().unwrap().to_owned();
    let with = |pin: &'static str| {
        [("id", id.clone()), ("seen", seen.clone()), ("pin", pin.to_owned()), ("pin_of", meera.clone())]
    };
    let send = |tablet: &mut Screen, fields: [(&str, String); 4]| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
        tablet.does("/count/approve", &fields).body
    };
    assert!(send(&mut tablet, with("0001")).contains("That PIN is wrong"));
    let done = send(&mut tablet, with(BOSS_PIN));
    assert!(done.contains("The count is in the books."), "{done}");
    send(&mut tablet, with(BOSS_PIN));
    assert_eq!(shop.on_hand("4011"), "5");
    let trail = boss.get("/audit?act=count").body;
    assert_eq!(trail.matches("(approved by Meera)").count(), 1, "{trail}");
}

#[test]
fn a_manager_asks_for_a_recount_and_an_old_page_decides_nothing() {
    let shop = stocked();
    let mut boss = set_up(&shop);
    begin(&mut boss, "4011");
    enter(&mut boss, "5", "");
    press(&mut boss, "/count/finish");
    let (id, seen) = (boss.hidden("id"), boss.hidden("seen"));
    let anew = press(&mut boss, "/count/again");
    assert!(anew.contains("Nothing entered yet"), "{anew}");
    boss.does("/count/approve", &[("id", &id), ("seen", &seen)]);
    assert_eq!(shop.on_hand("4011"), "12", "the page of before approves nothing");
    enter(&mut boss, "0", "");
    let waits = press(&mut boss, "/count/finish");
    assert!(waits.contains("12 fewer"), "{waits}");
    assert!(press(&mut boss, "/count/approve").contains("The count is in the books."));
    assert_eq!(shop.on_hand("4011"), "0");
}

#[test]
fn of_two_who_count_one_shelf_the_later_count_stands() {
    let shop = stocked();
    let mut boss = set_up(&shop);
    let mut tablet = associate(&shop, &mut boss, "Ana");
    begin(&mut tablet, "4011");
    sell(&shop, "s1", 1);
    begin(&mut boss, "4011");
    assert!(boss.page.contains("Ana is counting this too"), "{}", boss.page);
    enter(&mut boss, "10", "");
    assert!(press(&mut boss, "/count/finish").contains("The count is in the books."));
    assert_eq!(shop.on_hand("4011"), "10");
    enter(&mut tablet, "12", "");
    let late = press(&mut tablet, "/count/finish");
    assert!(late.contains("Somebody has counted this shelf after you began"), "{late}");
    assert_eq!(shop.on_hand("4011"), "10");
}

#[test]
fn nobody_works_on_anothers_count_but_a_manager() {
    let shop = stocked();
    let mut boss = set_up(&shop);
    begin(&mut boss, "4011");
    let (id, seen) = (boss.hidden("id"), boss.hidden("seen"));
    let mut tablet = associate(&shop, &mut boss, "Ana");
    for (path, fields) in [
        ("/count/enter", vec![("id", id.as_str()), ("once", "a"), ("quantity", "1")]),
        ("/count/again", vec![("id", &id), ("seen", &seen)]),
        ("/count/give-up", vec![("id", &id), ("seen", &seen)]),
        ("/count/finish", vec![("id", &id), ("seen", &seen)]),
    ] {
        assert_eq!(tablet.post(path, &fields).status, 403, "{path}");
    }
    assert_eq!(tablet.get("/count/sheet?id=999").status, 404);
    boss.get(&format!("/count/sheet?id={id}"));
    assert!(press(&mut boss, "/count/give-up").contains("Nobody counts this any more"));
}
