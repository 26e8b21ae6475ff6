//! Items on the page: finding them, and changing their stock as plain forms, once each.

use crate::people::{ANA_PIN, hire, paired};
use crate::screen::{BOSS, BOSS_PIN, Screen, set_up};
use crate::shop::Shop;
use rusqlite::Connection;

/// Ends as a script would begin, if anybody forgot to escape.
pub const EVIL: &str = "<img src=x onerror=alert(1)>";

pub const ITEMS: &str = r#"{"sku":"4011","name":"Café molido","unit":"each","gtins":["00012345678905"]}
{"sku":"A/1 b","name":"Plátanos","unit":"kg"}
{"sku":"evil","name":"<img src=x onerror=alert(1)>"}
"#;

/// A shop with three items, a dozen of the first on hand.
pub fn stocked() -> Shop {
    let shop = Shop::open();
    assert_eq!(shop.put_items(ITEMS).status, 200);
    let receipt = r#"{"source":"till-3","reference":"r1","kind":"receipt","occurred_at":"2026-10-31T09:00:00Z","lines":[{"sku":"4011","quantity":12},{"sku":"A/1 b","quantity":7.5}]}"#;
    assert_eq!(shop.report(receipt).status, 201);
    shop
}

pub fn database(shop: &Shop) -> Connection {
    Connection::open(shop.folder.path().join("data/agent.db")).unwrap()
}

/// An associate on a screen of their own.
pub fn associate(shop: &Shop, boss: &mut Screen, name: &str) -> Screen {
    hire(boss, name, "associate");
    let mut tablet = paired(shop, boss);
    tablet.sign_in(name, ANA_PIN);
    tablet
}

fn change(screen: &mut Screen, sku: &str, fields: &[(&str, &str)]) -> crate::client::Reply {
    screen.get(&format!("/item?sku={sku}"));
    let once = screen.hidden("once");
    let mut all = vec![("sku", "4011"), ("once", once.as_str())];
    all.retain(|(name, _)| !fields.iter().any(|(known, _)| known == name));
    all.extend_from_slice(fields);
    screen.does("/item/change", &all)
}

#[test]
fn an_item_is_found_by_name_without_accents_and_by_a_scan_at_once() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let found = screen.get("/items?q=cafe+mol").body;
    assert!(found.contains("Café molido") && !found.contains("Plátanos"), "{found}");
    assert!(screen.get("/items?q=zzz").body.contains("No item has “zzz”"));
    for path in ["/items?q=0012345678905", "/items?q=4011"] {
        screen.get(path);
        assert_eq!(screen.h1(), "Café molido", "{path}");
    }
    screen.get("/items");
    screen.does("/items/scan", &[("code", "012345678905")]);
    assert_eq!(screen.h1(), "Café molido");
    screen.get("/items");
    let unknown = screen.does("/items/scan", &[("code", "00000000")]).body;
    assert!(
        unknown.contains("No item has the code 00000000.") && unknown.contains("data-outcome=\"refused\"")
    );
    screen.get("/item?sku=A%2F1+b");
    assert_eq!(screen.h1(), "Plátanos", "a number may hold anything");
    assert_eq!(screen.get("/item?sku=nothing").status, 404);
}

#[test]
fn typing_asks_for_the_list_alone_and_is_not_sent_elsewhere() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let reply = screen.ask("GET", "/items?q=4011", &[("hx-request", "true")], "");
    assert_eq!(reply.status, 200, "whoever still types is not taken away");
    assert!(reply.body.contains("id=\"found\"") && reply.body.contains("Café molido"), "{}", reply.body);
}

#[test]
fn the_figures_of_the_page_are_those_of_the_api() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let told = shop.get("/v1/items/4011").json();
    let page = screen.get("/item?sku=4011").body;
    let figures: Vec<&str> =
        page.split("<dd>").skip(1).take(4).filter_map(|rest| rest.split('<').next()).collect();
    let api = ["on_hand", "claim", "open", "free"].map(|name| told[name].to_string());
    assert_eq!(figures, api, "{told}");
    assert!(page.contains("This store works on its own"), "{page}");
}

/// What is typed, what is on hand then, and what the page says.
type Way<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn each_way_to_change_the_stock_is_a_document_of_the_page() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let ways: [Way<'_>; 5] = [
        (&[("kind", "receipt"), ("quantity", "8")], "20", "Received: 8"),
        (&[("kind", "waste"), ("quantity", "1"), ("reason", "damaged")], "19", "Thrown away: 1"),
        (
            &[("kind", "transfer_in"), ("quantity", "2"), ("more", "S0002")],
            "21",
            "Came from another store: 2",
        ),
        (&[("kind", "transfer_out"), ("quantity", "3"), ("more", "S0003")], "18", "Sent to another store: 3"),
        (
            &[("kind", "adjustment"), ("quantity", "1,5"), ("direction", "fewer"), ("reason", "stolen")],
            "16.5",
            "Adjusted by −1.5",
        ),
    ];
    for (fields, on_hand, said) in ways {
        let reply = change(&mut screen, "4011", fields);
        assert!(reply.body.contains(said) && reply.body.contains("data-outcome=\"done\""), "{}", reply.body);
        assert_eq!(shop.on_hand("4011"), on_hand, "{fields:?}");
    }
    let movements = shop.get("/v1/movements?sku=4011").json();
    let last = movements["movements"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((last["source"].as_str(), last["reason"].as_str()), (Some("page"), Some("stolen")));
}

#[test]
fn a_form_that_is_sent_twice_is_recorded_once() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    screen.get("/item?sku=4011");
    let once = screen.hidden("once");
    let fields =
        [("sku", "4011"), ("once", once.as_str()), ("kind", "receipt"), ("quantity", "8"), ("more", "")];
    for _ in 0..3 {
        assert_eq!(screen.post("/item/change", &fields).status, 303);
    }
    assert_eq!(shop.on_hand("4011"), "20");
    let entries = screen.get("/audit").body.matches("receive goods</td>").count();
    assert_eq!(entries, 1, "one line of the trail");
    for once in ["", "x", "../../etc", &"g".repeat(28)] {
        let fields = [("sku", "4011"), ("once", once), ("kind", "receipt"), ("quantity", "8")];
        assert_eq!(screen.post("/item/change", &fields).status, 422, "{once}");
    }
    let other = [("sku", "evil"), ("once", once.as_str()), ("kind", "receipt"), ("quantity", "8")];
    assert_eq!(screen.post("/item/change", &other).status, 422, "a reference is of one act on one item");
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("kind", "receipt"), ("quantity", "4006381333931")], "Type a quantity"),
        (&[("kind", "receipt"), ("quantity", "1,250")], "without marks between thousands"),
        (&[("kind", "waste"), ("quantity", "1")], "Say why"),
        (&[("kind", "waste"), ("quantity", "1"), ("more", &"x".repeat(65))], "too long"),
        (&[("kind", "adjustment"), ("quantity", "1"), ("reason", "found")], "Type a quantity"),
    ];
    for (fields, said) in cases {
        let reply = change(&mut screen, "4011", fields);
        assert!(
            reply.body.contains(said) && reply.body.contains("data-outcome=\"refused\""),
            "{}",
            reply.body
        );
    }
    assert_eq!(shop.on_hand("4011"), "12");
    assert_eq!(change(&mut screen, "4011", &[("kind", "sale"), ("quantity", "1")]).status, 422);
    let unknown = change(&mut screen, "4011", &[("kind", "receipt"), ("quantity", "1"), ("sku", "new")]);
    assert_eq!(unknown.status, 404, "a form makes no items");
    assert_eq!(shop.get("/v1/items/new").status, 404);
}

#[test]
fn an_associate_needs_a_managers_pin_for_what_takes_goods_away() {
    let shop = stocked();
    let mut boss = set_up(&shop);
    let mut tablet = associate(&shop, &mut boss, "Ana");
    let waste = [("kind", "waste"), ("quantity", "2"), ("reason", "expired")];
    let asked = change(&mut tablet, "4011", &waste).body;
    assert!(asked.contains("A manager has to approve this"), "{asked}");
    assert_eq!(shop.on_hand("4011"), "12");
    let (once, meera) = (tablet.hidden("once"), boss_id(&asked));
    let with = |pin: &str| {
        let mut fields: Vec<(&str, String)> =
            waste.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        fields.extend([("sku", "4011".to_owned()), ("once", once.clone())]);
        fields.extend([("pin", pin.to_owned()), ("pin_of", meera.clone())]);
        fields
    };
    let send = |tablet: &mut Screen, fields: Vec<(&str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, text)| (*name, text.as_str())).collect();
        tablet.does("/item/change", &fields)
    };
    assert!(send(&mut tablet, with("0000")).body.contains("That PIN is wrong"));
    let done = send(&mut tablet, with(BOSS_PIN)).body;
    assert!(done.contains("Thrown away: 2"), "{done}");
    assert_eq!(shop.on_hand("4011"), "10");
    assert!(boss.get("/audit").body.contains("(approved by Meera)"));
    let received = change(&mut tablet, "4011", &[("kind", "receipt"), ("quantity", "1")]).body;
    assert!(received.contains("Received: 1"), "an associate receives without asking: {received}");
}

fn boss_id(asked: &str) -> String {
    let option = asked.split("<option value=\"").find(|rest| rest.contains(BOSS)).unwrap();
    option.split('"').next().unwrap().to_owned()
}

#[test]
fn who_looks_after_machines_changes_no_stock() {
    let shop = stocked();
    let mut boss = set_up(&shop);
    hire(&mut boss, "Ivo", "it");
    let mut tablet = paired(&shop, &mut boss);
    tablet.sign_in("Ivo", ANA_PIN);
    let page = tablet.get("/item?sku=4011").body;
    assert!(!page.contains("/item/change") && !page.contains("/count/begin"), "{page}");
    let once = "0".repeat(28);
    let fields = [("sku", "4011"), ("once", once.as_str()), ("kind", "receipt"), ("quantity", "1")];
    assert_eq!(tablet.post("/item/change", &fields).status, 403);
    assert_eq!(tablet.post("/count/begin", &[("sku", "4011")]).status, 403);
}

#[test]
fn tills_may_not_use_the_pages_source() {
    let shop = stocked();
    let sale = r#"{"source":"page","reference":"r9","kind":"sale","occurred_at":"2026-10-31T09:00:00Z","lines":[{"sku":"4011","quantity":1}]}"#;
    let reply = shop.ask("POST", "/v1/movements", Some(crate::shop::ANY), sale.as_bytes());
    assert_eq!((reply.status, reply.problem_field().as_str()), (422, "source"), "{}", reply.body);
}

#[test]
fn names_and_reasons_are_text_wherever_they_show() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let fields = [("kind", "waste"), ("quantity", "1"), ("more", EVIL)];
    assert!(change(&mut screen, "4011", &fields).body.contains("data-outcome=\"done\""));
    change(&mut screen, "evil", &[("kind", "receipt"), ("quantity", "5"), ("sku", "evil"), ("more", EVIL)]);
    screen.get("/item?sku=evil");
    screen.does("/count/begin", &[("sku", "evil")]);
    let sheet = screen.page.clone();
    for path in [
        "/items?q=img",
        &format!("/items?q={}", "%3Cimg+src=x%3E"),
        "/items?unknown=%3Cimg+src=x",
        "/item?sku=evil",
        "/item?sku=4011",
        "/count",
        "/movements",
        "/movements?source=%3Cimg+src=x",
        "/audit",
        "/reports",
        "/help",
    ] {
        let page = screen.get(path).body;
        assert!(!page.contains("<img"), "{path}");
    }
    assert!(sheet.contains("&lt;img") && !sheet.contains("<img"));
}

#[test]
fn forms_from_elsewhere_change_nothing() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    screen.get("/item?sku=4011");
    let fields = [("sku", "4011"), ("kind", "receipt"), ("quantity", "8")];
    let body = screen.form(&fields);
    for path in
        ["/item/change", "/count/begin", "/count/finish", "/movements/export", "/audit/export", "/help/retry"]
    {
        for headers in [[("sec-fetch-site", "cross-site")], [("origin", "https://evil.example")]] {
            assert_eq!(screen.ask("POST", path, &headers, &body).status, 403, "{path}");
        }
        let bare = screen.ask("POST", path, &[("sec-fetch-site", "same-origin")], "sku=4011");
        assert_eq!(bare.status, 403, "{path}: without the token of this session");
        assert_eq!(screen.ask("GET", path, &[], "").status, 404, "{path}: nothing changes by looking");
    }
    assert_eq!(shop.on_hand("4011"), "12");
}

#[test]
fn every_screen_speaks_three_languages() {
    let shop = stocked();
    let mut screen = set_up(&shop);
    let paths = ["/items", "/item?sku=4011", "/count", "/movements", "/audit", "/reports", "/help"];
    for (code, words) in [
        (
            "es",
            [
                "Artículos",
                "Existencias",
                "Contar",
                "Movimientos",
                "Quién hizo qué",
                "Informes",
                "Conexión y ayuda",
            ],
        ),
        ("hi", ["सामान", "मौजूद", "गिनती", "आवाजाही", "किसने क्या किया", "रिपोर्ट", "कनेक्शन और मदद"]),
    ] {
        screen.get("/");
        screen.does("/language", &[("language", code), ("next", "/")]);
        for (path, word) in paths.iter().zip(words) {
            assert!(screen.get(path).body.contains(word), "{path} in {code}");
        }
    }
}
