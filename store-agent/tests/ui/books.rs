//! The ledger, the trail, reports and the doctor, on the page and as files.

use crate::goods::{EVIL, associate, database, stocked};
use crate::screen::{Screen, set_up, value_between};
use crate::shop::Shop;
use sync_protocol::order::{HubOrder, Line, OrderId};
use sync_protocol::record::HubOrderRecord;
use sync_protocol::{ItemNo, Quantity, UnixMillis};

fn throw_away(screen: &mut Screen, reason: &str) {
    screen.get("/item?sku=4011");
    let once = screen.hidden("once");
    let fields =
        [("sku", "4011"), ("once", once.as_str()), ("kind", "waste"), ("quantity", "1"), ("more", reason)];
    assert!(screen.does("/item/change", &fields).body.contains("data-outcome=\"done\""));
}

#[test]
fn movements_are_shown_newest_first_and_chosen_by_item_kind_source_and_day() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    throw_away(&mut screen, "broken");
    let rows = |screen: &mut Screen, query: &str| {
        screen.get(&format!("/movements{query}")).body.matches("<tr>").count() - 1
    };
    assert_eq!(rows(&mut screen, ""), 3);
    let page = screen.page.clone();
    assert!(page.find("broken").unwrap() < page.find("Plátanos").unwrap(), "the newest first");
    for (query, count) in
        [("?sku=4011", 2), ("?kind=waste", 1), ("?source=page", 1), ("?kind=waste&source=till-3", 0)]
    {
        if count == 0 {
            assert!(screen.get(&format!("/movements{query}")).body.contains("Nothing like that"), "{query}");
        } else {
            assert_eq!(rows(&mut screen, query), count, "{query}");
        }
    }
    assert!(screen.get("/movements?day=2001-01-01").body.contains("Nothing like that"));
    assert!(screen.get("/movements?day=yesterday").body.contains("Write the day as"));
}

#[test]
fn a_long_ledger_comes_page_by_page_and_whole_as_a_file() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let sales: String = (0..120)
        .map(|number| {
            format!(
                r#"{{"source":"till-3","reference":"s{number}","kind":"sale","occurred_at":"2026-10-31T10:00:00Z","lines":[{{"sku":"evil","quantity":1}}]}}"#
            ) + "\n"
        })
        .collect();
    assert_eq!(shop.batch(&sales).status, 200);
    let (mut seen, mut path) = (0, "/movements".to_owned());
    for _ in 0..5 {
        let page = screen.get(&path).body;
        seen += page.matches("<tr>").count() - 1;
        let Some(next) = value_between(&page, "href=\"/movements?before=", "\"") else { break };
        path = format!("/movements?before={next}");
    }
    assert_eq!(seen, 122);
    screen.get("/movements");
    let file = screen.post("/movements/export", &[]).body;
    assert_eq!(file.lines().count(), 1 + 122);
}

#[test]
fn the_file_is_safe_in_a_spreadsheet_and_tells_the_stores_time() {
    let shop =
        Shop::open_with("[page]\nlisten = \"127.0.0.1:0\"\ntime_zone = \"Asia/Kolkata\"", Default::default());
    shop.put_items(crate::goods::ITEMS);
    let mut screen = set_up(&shop);
    let receipt = r#"{"source":"till-3","reference":"=cmd|' /C calc'!A0","kind":"receipt","occurred_at":"2026-10-31T09:00:00Z","lines":[{"sku":"4011","quantity":12}]}"#;
    assert_eq!(shop.report(receipt).status, 201);
    throw_away(&mut screen, "=HYPERLINK(\"http://evil.example\")");
    screen.get("/movements");
    let reply = screen.post("/movements/export", &[]);
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(reply.header("content-disposition").unwrap().contains("movements-S0001.csv"));
    let file = reply.body;
    assert!(file.starts_with("\u{feff}\"position\",\"recorded_at\""), "{file}");
    assert!(file.contains("\"2026-10-31 14:30:00\""), "nine o'clock in London: {file}");
    assert!(file.contains(",12,12,") && file.contains(",1,-1,"), "numbers stay numbers: {file}");
    for field in file.split("\",\"").map(|field| field.trim_matches('"')) {
        assert!(!field.starts_with(['=', '@', '+']), "{field}");
    }
    assert!(file.contains("'=HYPERLINK(\"\"http"), "{file}");
    assert!(screen.get("/audit").body.contains("take a file of movements"));
}

#[test]
fn an_associate_takes_no_files_and_sees_no_trail() {
    let shop = stocked();
    let mut boss = set_up(&shop);
    let mut tablet = associate(&shop, &mut boss, "Ana");
    let page = tablet.get("/movements").body;
    assert!(!page.contains("/movements/export") && !page.contains("/audit"), "{page}");
    assert_eq!(tablet.post("/movements/export", &[]).status, 403);
    assert_eq!(tablet.post("/audit/export", &[]).status, 403);
    assert_eq!(tablet.get("/audit").status, 403);
}

#[test]
fn the_trail_says_who_did_what_and_comes_as_a_file() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    throw_away(&mut screen, EVIL);
    let page = screen.get("/audit?act=waste").body;
    assert!(page.contains("Meera") && page.contains("throw away") && page.contains("Office"), "{page}");
    assert_eq!(page.matches("<tr>").count(), 2, "one line and the head: {page}");
    assert!(screen.get("/audit?person=Nobody").body.contains("Nothing like that was done"));
    screen.get("/audit");
    let file = screen.post("/audit/export", &[("act", "waste")]).body;
    assert_eq!(file.lines().count(), 2, "{file}");
    assert!(file.contains("\"Meera\",\"Office\",\"waste\",\"4011\",\"done\""), "{file}");
}

#[test]
fn reports_come_from_what_the_store_has_done() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let empty = screen.get("/reports").body;
    assert_eq!(empty.matches("Nothing to report").count(), 4, "{empty}");
    throw_away(&mut screen, "broken");
    for (found, finish) in [("11", "/count/finish"), ("10", "/count/finish")] {
        screen.get("/count");
        screen.does("/count/begin", &[("code", "4011")]);
        let (id, once) = (screen.hidden("id"), screen.hidden("once"));
        screen.does("/count/enter", &[("id", &id), ("once", &once), ("quantity", found)]);
        let (id, seen) = (screen.hidden("id"), screen.hidden("seen"));
        screen.does(finish, &[("id", &id), ("seen", &seen)]);
    }
    let page = screen.get("/reports?days=28").body;
    assert!(page.contains("1 of 2 counted shelves were as the books said (50.0 %)"), "{page}");
    assert!(page.contains("Thrown away: broken") && page.contains("off by 1 units"), "{page}");
    assert!(page.contains("<svg") && page.contains("As a table"), "each picture has its table");
}

#[test]
fn the_doctor_tells_of_the_line_the_disk_and_the_sources() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let page = screen.get("/help").body;
    for said in ["Everything is in order.", "This store works on its own", "GB free", "till-3", "version: "] {
        assert!(page.contains(said), "{said} in {page}");
    }
    let folder = shop.folder.path().to_string_lossy().into_owned();
    assert!(!page.contains(&folder), "no folder's name leaves the store");
}

fn quarantined(shop: &Shop, what: &str, bytes: &[u8]) {
    let sql = "INSERT INTO quarantine (at, what, reason, bytes) VALUES (1790000000000, ?1, '<img src=x> names item 4', ?2)";
    database(shop).execute(sql, (what, bytes)).unwrap();
}

#[test]
fn a_record_that_was_set_aside_is_taken_once_what_it_lacked_is_there() {
    let shop = stocked();
    let order: OrderId = "K7M29-QX4TB".parse().unwrap();
    let half = HubOrder {
        revision: 1,
        placed_at: UnixMillis(1_790_000_000_000),
        ready_by: UnixMillis(4_000_000_000_000),
        hold_until: UnixMillis(4_000_000_100_000),
        lines: vec![Line { item: ItemNo(4), quantity: Quantity::ONE }],
        display_name: "Asha K.".to_owned(),
        phone: "…42".to_owned(),
        code_hash: [7; 16],
        cancel: None,
        closed: false,
    };
    quarantined(&shop, "order", &HubOrderRecord { order, half }.to_bytes());
    quarantined(&shop, "unreadable", b"???");
    let mut boss = set_up(&shop);
    let mut tablet = associate(&shop, &mut boss, "Ana");
    assert!(!tablet.get("/help").body.contains("/help/retry"), "an associate only sees that it is there");
    assert_eq!(tablet.post("/help/retry", &[("id", "1")]).status, 403);
    let page = boss.get("/help").body;
    assert!(page.contains("1 thing needs a look") && !page.contains("<img"), "{page}");
    assert_eq!(page.matches("/help/retry").count(), 1, "the other can't be read by this version: {page}");
    let refused = boss.does("/help/retry", &[("id", "1")]).body;
    assert!(refused.contains("It still cannot be taken") && refused.contains("item 4"), "{refused}");
    assert_eq!(shop.put_items("{\"sku\":\"late\",\"name\":\"Late\"}\n").status, 200);
    boss.get("/help");
    let taken = boss.does("/help/retry", &[("id", "1")]).body;
    assert!(taken.contains("It has been taken."), "{taken}");
    assert!(boss.get("/item?sku=late").body.contains("K7M29-QX4TB"), "the order is here");
    assert_eq!(shop.get("/v1/orders").json()["orders"].as_array().unwrap().len(), 1);
    boss.get("/help");
    assert!(boss.does("/help/retry", &[("id", "2")]).body.contains("upgrade the agent"));
}

#[test]
fn web_sales_are_paused_and_resumed_by_whoever_may() {
    let shop = stocked();
    let mut boss = set_up(&shop);
    let mut tablet = associate(&shop, &mut boss, "Ana");
    let pause = [("hours", "2"), ("reason", EVIL)];
    let note = || {
        let sql = "SELECT text FROM note WHERE from_hub = 0 AND topic = 4";
        database(&shop).query_row(sql, [], |row| row.get::<_, String>(0)).unwrap_or_default()
    };
    tablet.get("/");
    assert!(tablet.does("/web-sales/pause", &pause).body.contains("A manager has to approve this"));
    assert_eq!(note(), "");
    boss.get("/");
    for bad in [("hours", "9999"), ("hours", "-1"), ("hours", "")] {
        assert_eq!(boss.post("/web-sales/pause", &[bad, ("reason", "x")]).status, 422, "{bad:?}");
    }
    assert_eq!(boss.post("/web-sales/pause", &pause).status, 303);
    assert!(note().contains("Meera"), "{}", note());
    assert_eq!(boss.post("/web-sales/resume", &[]).status, 303);
    assert_eq!(note(), "");
    assert!(boss.get("/audit").body.contains("pause web sales"));
}
