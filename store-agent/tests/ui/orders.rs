//! Orders on the page, as plain forms without scripts: picking, what is missing, handing over, and who was faster.

use crate::screen::{BOSS_PIN, Screen, set_up};
use crate::shop::Shop;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use store_agent::http::listener::Patience;
use store_agent::store;
use store_agent::store::orders::{OrderRow, save_order};
use sync_protocol::order::short_code::code_hash;
use sync_protocol::order::{Cancel, HubOrder, Line, OrderId, ShortCode, StoreOrder};
use sync_protocol::pickup_code::PickupCode;
use sync_protocol::{Epoch, ItemNo, Quantity, Seq, UnixMillis};

const ORDER: &str = "K7M29-QX4TB";
const CODE: &str = "7KQ2-M9XT";
const PAST: UnixMillis = UnixMillis(1_700_000_000_000);
const FUTURE: UnixMillis = UnixMillis(4_000_000_000_000);
/// Ends as a script would begin, if anybody forgot to escape.
const EVIL: &str = "<img src=x onerror=alert(1)>";

fn lines() -> Vec<Line> {
    let units = Quantity::from_units;
    vec![Line { item: ItemNo(1), quantity: units(2) }, Line { item: ItemNo(2), quantity: units(1) }]
}

fn order(text: &str, name: &str, cancel: Option<Cancel>) -> OrderRow {
    let order: OrderId = text.parse().unwrap();
    let code: ShortCode = CODE.parse().unwrap();
    let sha256 = |bytes: &[u8]| <[u8; 32]>::try_from(digest(&SHA256, bytes).as_ref()).unwrap();
    let hub = HubOrder {
        revision: 1,
        placed_at: PAST,
        ready_by: PAST,
        hold_until: FUTURE,
        lines: lines(),
        display_name: name.to_owned(),
        phone: "…42".to_owned(),
        code_hash: code_hash(order, code, sha256),
        cancel,
        closed: false,
    };
    let store = StoreOrder::received(Epoch(0), &hub.lines, PAST);
    OrderRow { order, hub: Some(hub), store, seq: Seq(0) }
}

fn signer() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap()
}

fn signed(order: &str, store: &str) -> String {
    let code = PickupCode {
        store: store.parse().unwrap(),
        order: order.parse().unwrap(),
        valid_until: FUTURE,
        lines: lines(),
    };
    code.text(signer().sign(&code.message()).as_ref().try_into().unwrap())
}

fn shop_with(orders: &[OrderRow]) -> Shop {
    let hub = "[hub]\naddress = \"127.0.0.1:9\"\nca_file = \"ca.pem\"\ncertificate_file = \"store.pem\"\n\
               key_file = \"store.key\"\npickup_key_file = \"pickup.pub\"\n";
    let mut shop = Shop::prepared(hub, Patience::default(), |folder| {
        let key: String = signer().public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(folder.join("pickup.pub"), key + "\n").unwrap();
    });
    let items = "{\"sku\":\"tea\",\"gtins\":[\"00012345678905\"],\"name\":\"Tea\"}\n{\"sku\":\"salt\",\"name\":\"Salt <b>&\"}";
    assert_eq!(shop.put_items(items).status, 200);
    let receipt = r#"{"source":"till-3","reference":"r1","kind":"receipt","occurred_at":"2026-10-31T17:03:22Z",
        "lines":[{"sku":"tea","quantity":10},{"sku":"salt","quantity":10}]}"#;
    assert_eq!(shop.report(receipt).status, 201);
    shop.stop();
    let db = store::open(&shop.folder.path().join("data/agent.db")).unwrap();
    orders.iter().for_each(|order| save_order(&db, order).unwrap());
    drop(db);
    shop.start();
    shop
}

fn one_order() -> (Shop, Screen) {
    let shop = shop_with(&[order(ORDER, "Asha K.", None)]);
    let screen = set_up(&shop);
    (shop, screen)
}

impl Screen {
    /// An act with the order, on the revision its page shows.
    fn acts(&mut self, act: &str, fields: &[(&str, &str)]) -> String {
        let revision = self.hidden("revision");
        let fields: Vec<(&str, &str)> =
            [("revision", revision.as_str())].into_iter().chain(fields.iter().copied()).collect();
        let reply = self.does(&format!("/orders/{ORDER}/{act}"), &fields);
        assert_eq!(reply.status, 200, "{act}: {}", reply.body);
        reply.body
    }
}

fn stale_pin(shop: &Shop) {
    let db = rusqlite::Connection::open(shop.folder.path().join("data/people.db")).unwrap();
    db.execute("UPDATE session SET proven_at = 0", []).unwrap();
}

#[test]
fn an_order_goes_from_the_list_to_the_customer_without_scripts() {
    let (shop, mut screen) = one_order();
    let list = screen.get("/orders").body;
    assert!(list.contains("Asha K.") && list.contains(ORDER) && list.contains("Start picking"), "{list}");
    screen.get(&format!("/orders/{ORDER}"));
    let page = screen.acts("scan", &[("code", "00012345678905")]);
    assert!(page.contains("1 × Tea: in the bag.") && page.contains("Saved here"), "{page}");
    let wrong = screen.acts("scan", &[("code", "4006381333931")]);
    assert!(wrong.contains("Wrong item!") && wrong.contains("data-outcome=\"refused\""), "{wrong}");
    screen.acts("scan", &[("code", "tea")]);
    let enough = screen.acts("scan", &[("code", "tea")]);
    assert!(enough.contains("Enough of Tea"), "{enough}");
    let complete = screen.acts("pick", &[("item", "2"), ("quantity", "1")]);
    assert!(complete.contains("id=\"make-ready\""), "{complete}");
    assert!(screen.acts("ready", &[]).contains("Put the bag where"), "{}", screen.page);
    screen.get("/hand-over");
    assert!(screen.page.contains("Asha K."), "{}", screen.page);
    screen.does("/hand-over", &[("code", &ORDER.to_lowercase())]);
    assert!(screen.h1().contains("Hand over to Asha K."), "{}", screen.h1());
    let wrong = screen.does(&format!("/hand-over/{ORDER}"), &[("short_code", "7KQ2-M9XS")]);
    assert!(
        wrong.body.contains("not this order&#39;s code") || wrong.body.contains("not this order's code"),
        "{}",
        wrong.body
    );
    screen.does(
        &format!("/hand-over/{ORDER}"),
        &[("short_code", "7kq2 m9xt"), ("collected_by", "Her brother")],
    );
    assert!(
        screen.page.contains("Handed over.") && screen.page.contains("on the short code"),
        "{}",
        screen.page
    );
    assert_eq!(shop.on_hand("tea"), "8");
    assert!(screen.acts("undo", &[]).contains("taken back"), "{}", screen.page);
    assert_eq!(shop.on_hand("tea"), "10");
    let trail = screen.get("/people").body;
    assert!(trail.contains("collected by Her brother") && trail.contains("4 more tries"), "{trail}");
}

#[test]
fn what_is_missing_is_reported_with_its_reason_and_shows_up_for_counting() {
    let (_shop, mut screen) = one_order();
    screen.get(&format!("/orders/{ORDER}"));
    let short = screen.acts("short", &[("item", "1"), ("quantity", "2"), ("why", "not_found")]);
    assert!(short.contains("2 missing: Not found"), "{short}");
    let short = screen.acts("short", &[("item", "2"), ("quantity", "1"), ("why", "damaged")]);
    assert!(short.contains("Nothing of this order is there"), "{short}");
    let refused = screen.acts("refuse", &[("reason", "The shelf is empty")]);
    assert!(refused.contains("Refused at") && refused.contains("The shelf is empty"), "{refused}");
    let today = screen.get("/").body;
    assert!(today.contains("Somebody could not find it for order") && today.contains("Tea"), "{today}");
    assert!(screen.get("/orders?show=done").body.contains(ORDER));
}

#[test]
fn of_two_tablets_the_second_is_told_who_was_faster() {
    let (_shop, mut screen) = one_order();
    screen.get(&format!("/orders/{ORDER}"));
    let mut other = screen.clone();
    screen.acts("pick", &[("item", "1"), ("quantity", "2")]);
    let late = other.acts("pick", &[("item", "1"), ("quantity", "1")]);
    assert!(late.contains("Meera was faster") && late.contains("2 of 2"), "{late}");
    // What it shows now it may do.
    assert!(other.acts("pick", &[("item", "2"), ("quantity", "1")]).contains("id=\"make-ready\""));
}

#[test]
fn a_signed_code_shows_whose_bag_it_is_and_then_hands_over_once() {
    let (shop, mut screen) = one_order();
    screen.get("/hand-over");
    let code = signed(ORDER, "S0001");
    let found = screen.does("/hand-over", &[("code", &code)]);
    assert!(
        found.body.contains("The code is good") && found.body.contains("Not picked yet"),
        "{}",
        found.body
    );
    assert_eq!(shop.on_hand("tea"), "10", "nothing has happened yet");
    screen.does(&format!("/hand-over/{ORDER}"), &[("signed_code", &code)]);
    assert!(screen.page.contains("on the signed code"), "{}", screen.page);
    assert_eq!(shop.on_hand("tea"), "8");
    screen.get("/hand-over");
    let again = screen.does("/hand-over", &[("code", &code)]);
    assert!(again.body.contains("Handed over at"), "{}", again.body);
    for (code, said) in
        [(signed(ORDER, "S0002"), "for store S0002"), ("nonsense".to_owned(), "neither a pickup code")]
    {
        screen.get("/hand-over");
        let refused = screen.does("/hand-over", &[("code", &code)]);
        assert!(refused.body.contains(said), "{}", refused.body);
    }
    let unknown = signed("00000-00009", "S0001");
    let shown = screen.does("/hand-over", &[("code", &unknown)]);
    assert!(shown.body.contains("has not reached the store yet"), "{}", shown.body);
    screen.does("/hand-over/00000-00009", &[("signed_code", &unknown)]);
    assert_eq!(shop.on_hand("tea"), "6");
}

#[test]
fn handing_over_on_ones_word_asks_for_the_pin_again() {
    let (shop, mut screen) = one_order();
    stale_pin(&shop);
    screen.get(&format!("/hand-over?order={ORDER}"));
    let path = format!("/hand-over/{ORDER}");
    let asked = screen.does(&path, &[("person", "1"), ("collected_by", "Ravi")]);
    assert!(asked.body.contains("Your PIN again") && asked.body.contains("value=\"Ravi\""), "{}", asked.body);
    let wrong = screen.does(&path, &[("person", "1"), ("pin", "0007")]);
    assert!(wrong.body.contains("That PIN is wrong"), "{}", wrong.body);
    assert_eq!(shop.on_hand("tea"), "10");
    screen.does(&path, &[("person", "1"), ("pin", BOSS_PIN)]);
    assert!(screen.page.contains("after checking the person"), "{}", screen.page);
    assert_eq!(shop.on_hand("tea"), "8");
}

#[test]
fn a_cancelled_order_is_stopped_confirmed_and_put_back() {
    let (mut shop, mut screen) = one_order();
    screen.get(&format!("/orders/{ORDER}"));
    screen.acts("pick", &[("item", "1"), ("quantity", "2")]);
    shop.stop();
    let db = store::open(&shop.folder.path().join("data/agent.db")).unwrap();
    let mut row = store::orders::order(&db, Epoch(0), ORDER.parse().unwrap()).unwrap().unwrap();
    let hub = row.hub.as_mut().unwrap();
    (hub.revision, hub.cancel) = (2, Some(Cancel::Shopper));
    save_order(&db, &row).unwrap();
    drop(db);
    shop.start();
    screen.moved(&shop);
    let page = screen.get(&format!("/orders/{ORDER}")).body;
    assert!(page.contains("The customer has cancelled this order."), "{page}");
    let refused = screen.acts("pick", &[("item", "2"), ("quantity", "1")]);
    assert!(refused.contains("to be cancelled"), "{refused}");
    let ended = screen.acts("acknowledge-cancel", &[]);
    assert!(ended.contains("Take these back"), "{ended}");
    assert!(screen.get("/orders").body.contains("Put back"), "{}", screen.page);
    screen.get(&format!("/orders/{ORDER}"));
    assert!(screen.acts("put-back", &[]).contains("back on its shelf"), "{}", screen.page);
    assert!(screen.get("/orders").body.contains("No order waits"), "{}", screen.page);
}

#[test]
fn names_of_items_and_customers_are_never_markup() {
    let shop = shop_with(&[order(ORDER, EVIL, None)]);
    let mut screen = set_up(&shop);
    for path in
        ["/", "/orders", &format!("/orders/{ORDER}"), &format!("/hand-over?order={ORDER}"), "/hand-over"]
    {
        let page = screen.get(path).body;
        assert!(!page.contains(EVIL) && !page.contains("Salt <b>"), "{path}: {page}");
    }
    assert!(screen.get("/orders").body.contains("&lt;img src=x"), "{}", screen.page);
    screen.get(&format!("/orders/{ORDER}"));
    let told = screen.acts("scan", &[("code", "<script>alert(1)</script>")]);
    assert!(!told.contains("<script>alert"), "{told}");
}

#[test]
fn every_screen_is_there_in_every_language() {
    let (_shop, mut screen) = one_order();
    let paths = [
        "/".to_owned(),
        "/orders".to_owned(),
        "/orders?show=done".to_owned(),
        "/hand-over".to_owned(),
        format!("/orders/{ORDER}"),
        format!("/hand-over?order={ORDER}"),
        "/people".to_owned(),
        "/nothing".to_owned(),
    ];
    for language in ["es", "hi", "en"] {
        screen.get("/");
        screen.does("/language", &[("language", language), ("next", "/")]);
        for path in &paths {
            let page = screen.get(path);
            assert!(page.body.contains(&format!("<html lang=\"{language}\">")), "{path} in {language}");
            assert!(
                page.body.contains("<h1>") && !page.body.contains("{"[..].repeat(2).as_str()),
                "{path} in {language}"
            );
        }
    }
}

#[test]
fn an_order_nobody_knows_is_not_there_and_neither_is_an_act() {
    let (_shop, mut screen) = one_order();
    for path in ["/orders/00000-00001", "/orders/nonsense", "/hand-over?order=x", "/nothing"] {
        let reply = screen.get(path);
        assert!(reply.status == 404 && reply.body.contains("not-found"), "{path}: {}", reply.body);
    }
    screen.get(&format!("/orders/{ORDER}"));
    assert_eq!(screen.post(&format!("/orders/{ORDER}/dance"), &[]).status, 404);
}
