//! People and devices: roles, pairing, shutting out, and that all of it holds with the next request.

use crate::client::connect;
use crate::screen::{BOSS, BOSS_PIN, Screen, set_up, value_between};
use crate::shop::Shop;
use std::io::{Read, Write};

pub const ANA_PIN: &str = "4917";

pub fn hire(boss: &mut Screen, name: &str, role: &str) {
    boss.get("/people");
    let reply = boss.does("/people/add", &[("name", name), ("role", role), ("new_pin", ANA_PIN)]);
    assert!(reply.status == 200 && reply.body.contains(name), "{}", reply.body);
}

/// A second screen, let in by a code that the manager makes.
pub fn paired(shop: &Shop, boss: &mut Screen) -> Screen {
    boss.get("/people");
    let shown = boss.does("/people/offer-code", &[]).body;
    let code: String = value_between(&shown, "class=\"digits\">", "<").unwrap_or_else(|| panic!("{shown}"));
    assert!(shown.contains("<svg") && !shown.contains("?code="), "{shown}");
    let mut tablet = Screen::new(shop);
    tablet.get("/");
    let wrong = tablet.does("/pair", &[("code", "00000000"), ("device", "Tablet 1")]);
    assert_eq!(wrong.status, 422, "{}", wrong.body);
    let reply = tablet.does("/pair", &[("code", &code), ("device", "Tablet 1")]);
    assert!(reply.body.contains("Who is there?"), "{}", reply.body);
    let mut other = Screen::new(shop);
    other.get("/");
    assert_eq!(
        other.does("/pair", &[("code", &code), ("device", "Tablet 2")]).status,
        422,
        "a code is good once"
    );
    tablet
}

fn id_of(page: &str, field: &str, name: &str) -> String {
    let entry =
        page.split("<li>").find(|entry| entry.contains(name) && entry.contains(&format!("name=\"{field}\"")));
    value_between(
        entry.unwrap_or_else(|| panic!("no {name} in {page}")),
        &format!("name=\"{field}\" value=\""),
        "\"",
    )
    .unwrap()
}

#[test]
fn a_manager_lets_a_tablet_in_and_an_associate_signs_in_on_it() {
    let shop = Shop::open();
    let mut boss = set_up(&shop);
    hire(&mut boss, "Ana", "associate");
    let mut tablet = paired(&shop, &mut boss);
    tablet.sign_in("Ana", ANA_PIN);
    assert_eq!(tablet.h1(), "Today");
    let people = tablet.get("/people").body;
    assert!(!people.contains("Add a person") && !people.contains("What was done"), "{people}");
    for (path, fields) in [
        ("/people/add", vec![("name", "Eve"), ("role", "manager"), ("new_pin", "8305")]),
        ("/people/offer-code", vec![]),
    ] {
        assert_eq!(tablet.post(path, &fields).status, 403, "{path}");
    }
}

#[test]
fn what_is_shut_out_is_out_at_once_and_its_stream_ends() {
    let shop = Shop::open();
    let mut boss = set_up(&shop);
    hire(&mut boss, "Ana", "associate");
    let mut tablet = paired(&shop, &mut boss);
    tablet.sign_in("Ana", ANA_PIN);
    let mut stream = connect(shop.page());
    let cookies: Vec<String> = tablet.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    write!(stream, "GET /live HTTP/1.1\r\nhost: localhost\r\ncookie: {}\r\n\r\n", cookies.join("; "))
        .unwrap();
    let mut heard = Vec::new();
    read_until(&mut stream, &mut heard, "event: ping");
    assert!(String::from_utf8_lossy(&heard).contains("event: hello"), "{}", String::from_utf8_lossy(&heard));
    let page = boss.get("/people").body;
    let device = id_of(&page, "device", "Tablet 1");
    boss.does("/people/revoke", &[("device", &device)]);
    read_until(&mut stream, &mut heard, "event: out");
    read_until(&mut stream, &mut heard, "\r\n0\r\n\r\n");
    assert_eq!(tablet.ask("GET", "/", &[], "").header("location"), Some("/pair"));
}

fn read_until(stream: &mut impl Read, heard: &mut Vec<u8>, what: &str) {
    let mut piece = [0; 1024];
    while !String::from_utf8_lossy(heard).contains(what) {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the stream ended before {what:?}: {}", String::from_utf8_lossy(heard));
        heard.extend_from_slice(&piece[..count]);
    }
}

#[test]
fn signing_everybody_else_out_leaves_ones_own_screen() {
    let shop = Shop::open();
    let mut boss = set_up(&shop);
    hire(&mut boss, "Ana", "it");
    let mut tablet = paired(&shop, &mut boss);
    tablet.sign_in("Ana", ANA_PIN);
    boss.get("/people");
    boss.does("/people/end-all", &[]);
    assert_eq!(tablet.ask("GET", "/", &[], "").header("location"), Some("/sign-in"));
    assert!(boss.get("/").body.contains("<h1>Today"));
}

#[test]
fn the_last_manager_stays_and_a_weak_pin_is_told() {
    let shop = Shop::open();
    let mut boss = set_up(&shop);
    let page = boss.get("/people").body;
    let own = id_of(&page, "person", BOSS);
    assert!(
        boss.does("/people/let-go", &[("person", &own)]).body.contains("the only manager"),
        "{}",
        boss.page
    );
    let weak = boss.does("/people/add", &[("name", "Ana"), ("role", "associate"), ("new_pin", "1111")]);
    assert!(weak.body.contains("Choose another"), "{}", weak.body);
    hire(&mut boss, "Ana", "associate");
    let page = boss.get("/people").body;
    let ana = id_of(&page, "person", "Ana");
    boss.does("/people/let-go", &[("person", &ana)]);
    boss.does("/sign-out", &[]);
    assert!(!boss.get("/sign-in").body.contains("Ana"), "{}", boss.page);
}

#[test]
fn managing_people_asks_for_the_pin_again() {
    let shop = Shop::open();
    let mut boss = set_up(&shop);
    let db = rusqlite::Connection::open(shop.folder.path().join("data/people.db")).unwrap();
    db.execute("UPDATE session SET proven_at = 0", []).unwrap();
    boss.get("/people");
    let fields = [("name", "Ana"), ("role", "associate"), ("new_pin", ANA_PIN)];
    let asked = boss.does("/people/add", &fields);
    assert!(asked.body.contains("Your PIN again"), "{}", asked.body);
    let fields: Vec<(&str, &str)> = fields.into_iter().chain([("pin", BOSS_PIN)]).collect();
    assert!(boss.does("/people/add", &fields).body.contains("Ana"), "{}", boss.page);
}

#[test]
fn setting_up_is_in_the_trail_and_no_cookie_is_in_the_file() {
    let shop = Shop::open();
    let mut boss = set_up(&shop);
    let trail = boss.get("/people").body;
    assert!(trail.contains("set up the page") && trail.contains("Office"), "{trail}");
    let files: Vec<_> = std::fs::read_dir(shop.folder.path().join("data"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    for file in files.iter().filter(|file| file.to_string_lossy().contains("people.db")) {
        let bytes = std::fs::read(file).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(
            boss.cookies.iter().all(|(name, value)| name.contains("language") || !holds(value)),
            "{}",
            file.display()
        );
    }
}
