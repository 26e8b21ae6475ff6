//! Setting up, pairing, signing in, locking: who gets in, and who does not.

use crate::screen::{BOSS, BOSS_PIN, Screen, set_up, setup_code};
use crate::shop::Shop;
use rusqlite::Connection;
use store_agent::http::listener::Patience;

fn people(shop: &Shop) -> Connection {
    Connection::open(shop.folder.path().join("data/people.db")).unwrap()
}

#[test]
fn nobody_gets_in_before_the_first_manager_was_set_up_with_the_code_of_this_machine() {
    let shop = Shop::open();
    let mut screen = Screen::new(&shop);
    assert_eq!(screen.get("/").status, 200);
    assert!(screen.h1().contains("Set up"), "{}", screen.page);
    let fields = |code: &str, pin: &str| {
        vec![
            ("code", code.to_owned()),
            ("name", BOSS.to_owned()),
            ("pin", pin.to_owned()),
            ("pin_again", pin.to_owned()),
            ("device", "Office".to_owned()),
        ]
    };
    let mut tries = |code: &str, pin: &str| {
        let fields = fields(code, pin);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        screen.does("/set-up", &fields)
    };
    let code = setup_code(shop.folder.path());
    assert_eq!(tries("abcdef-123456", BOSS_PIN).status, 422);
    let weak = tries(&code, "1234");
    assert!(weak.status == 422 && weak.body.contains("Choose another"), "{}", weak.body);
    assert_eq!(tries(&code, BOSS_PIN).status, 200);
    assert!(screen.page.contains(BOSS), "{}", screen.page);
    assert!(!shop.folder.path().join("data/setup-code").exists(), "the code is used up");
    let mut other = Screen::new(&shop);
    other.get("/set-up");
    assert!(other.h1().contains("Let this screen in"), "{}", other.page);
}

#[test]
fn the_set_up_code_can_not_be_tried_out() {
    let shop = Shop::open();
    let mut screen = Screen::new(&shop);
    screen.get("/");
    let mut waits = 0;
    for number in 0..20 {
        let code = format!("{number:012}");
        let fields = [
            ("code", code.as_str()),
            ("name", "Eve"),
            ("pin", "8305"),
            ("pin_again", "8305"),
            ("device", "x"),
        ];
        waits += usize::from(screen.does("/set-up", &fields).body.contains("Too many wrong tries"));
    }
    assert!(waits >= 15, "{waits}");
}

#[test]
fn wrong_pins_cost_time_and_a_restart_forgives_none() {
    let mut shop = Shop::open();
    let mut screen = set_up(&shop);
    screen.does("/sign-out", &[]);
    for _ in 0..2 {
        assert!(screen.sign_in(BOSS, "0007").body.contains("That PIN is wrong"), "{}", screen.page);
    }
    assert!(screen.sign_in(BOSS, BOSS_PIN).body.contains("Too many wrong PINs"), "{}", screen.page);
    // As if more had been tried since; the right PIN is not looked at for minutes.
    people(&shop).execute("UPDATE person SET failures = 6, wait_until = wait_until + 300000", []).unwrap();
    shop.stop();
    shop.start();
    screen.moved(&shop);
    let told = screen.sign_in(BOSS, BOSS_PIN).body;
    assert!(told.contains("Too many wrong PINs") && told.contains("min"), "{told}");
    people(&shop).execute("UPDATE person SET wait_until = 0", []).unwrap();
    people(&shop).execute("UPDATE device SET wait_until = 0", []).unwrap();
    assert!(screen.sign_in(BOSS, BOSS_PIN).body.contains("<h1>Today"), "{}", screen.page);
}

#[test]
fn a_cookie_of_somebody_who_signed_out_opens_nothing() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    let mut thief = screen.clone();
    assert_eq!(thief.ask("GET", "/", &[], "").status, 200);
    screen.does("/sign-out", &[]);
    let turned_away = thief.ask("GET", "/", &[], "");
    assert_eq!((turned_away.status, turned_away.header("location")), (303, Some("/sign-in")));
    assert_eq!(thief.post("/lock", &[]).status, 403, "nor is a form taken: its token went with the session");
}

#[test]
fn a_session_carried_to_another_device_opens_nothing() {
    let shop = Shop::open();
    let screen = set_up(&shop);
    let mut other = Screen::new(&shop);
    other.get("/");
    for (name, value) in &screen.cookies {
        if name.contains("session") {
            other.cookies.insert(name.clone(), value.clone());
        }
    }
    assert_eq!(other.ask("GET", "/", &[], "").header("location"), Some("/pair"));
}

#[test]
fn a_revoked_device_is_out_with_its_next_request() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    people(&shop).execute("UPDATE device SET revoked_at = 1", []).unwrap();
    assert_eq!(screen.ask("GET", "/", &[], "").header("location"), Some("/pair"));
}

#[test]
fn a_screen_left_alone_is_locked_and_what_was_sent_from_it_waits_for_the_pin() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    people(&shop).execute("UPDATE session SET last_act = last_act - 400000", []).unwrap();
    let sent = screen.post("/sign-out", &[("note", "kept")]);
    assert_eq!(sent.status, 200);
    assert!(sent.body.contains("Locked") && sent.body.contains("value=\"kept\""), "{}", sent.body);
    screen.page = sent.body;
    let wrong = screen.post("/sign-out", &[("note", "kept"), ("unlock_pin", "0007")]);
    assert!(wrong.body.contains("That PIN is wrong"), "{}", wrong.body);
    let done = screen.post("/sign-out", &[("note", "kept"), ("unlock_pin", BOSS_PIN)]);
    assert_eq!(done.header("location"), Some("/sign-in"), "{}", done.body);
}

#[test]
fn locking_by_hand_asks_for_the_pin_and_leads_back() {
    let shop = Shop::open();
    let mut screen = set_up(&shop);
    screen.does("/lock", &[]);
    assert_eq!(screen.h1(), "Locked");
    screen.get("/?from=here");
    assert_eq!(screen.hidden("next"), "/?from=here");
    screen.does("/locked", &[("pin", BOSS_PIN), ("next", "/?from=here")]);
    assert_eq!(screen.h1(), "Today");
}

#[test]
fn every_door_is_in_every_language() {
    let shop = Shop::open();
    let mut screen = Screen::new(&shop);
    screen.get("/set-up");
    for (code, title) in [("es", "Preparar la página"), ("hi", "स्टोर का पन्ना"), ("en", "Set up")]
    {
        screen.does("/language", &[("language", code), ("next", "/set-up")]);
        assert!(screen.h1().contains(title), "{code}: {}", screen.h1());
        assert!(screen.page.contains(&format!("<html lang=\"{code}\">")), "{code}");
    }
}

#[test]
fn a_page_that_can_not_listen_leaves_the_tills_alone() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("[page]\nlisten = \"{}\"", taken.local_addr().unwrap());
    let shop = Shop::open_with(&more, Patience::default());
    assert_eq!(shop.report(crate::shop::SALE).status, 201);
}
