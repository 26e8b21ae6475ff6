//! How stores take part in pickup, as the core sees to it.

use super::headquarters::{OPENS, id};
use super::*;
use crate::hub::orders::{Choice, NewOrder, OrderError, OrderView, Part};
use crate::orders::pickup_settings::Pause;
use crate::orders::pickup_settings::PickupSettings;
use crate::orders::routing::Dropped;
use sync_protocol::order::{Act, HubOrder, Line, ShortReason, StoreOrder};
use sync_protocol::record::StoreOrderRecord;

const HOUR_MS: i64 = 3_600_000;

fn open_shop(mut hq: Headquarters) -> (Headquarters, Caller) {
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 20, 0, 10)];
    caller.reports(&mut hq, stock);
    (hq, caller)
}

fn wanted(hq: &mut Headquarters, number: u64) -> Input {
    let order = OrderId::from_number(number).unwrap();
    let at = hq.now.wall;
    let half = HubOrder {
        revision: 1,
        placed_at: at,
        ready_by: UnixMillis(at.0 + 2 * HOUR_MS),
        hold_until: UnixMillis(at.0 + 72 * HOUR_MS),
        lines: Vec::new(),
        display_name: String::new(),
        phone: String::new(),
        code_hash: [0; 16],
        cancel: None,
        closed: false,
    };
    let lines = vec![("sku-1".parse().unwrap(), units(1))];
    let new = NewOrder {
        order,
        key: number.to_string(),
        fingerprint: String::new(),
        customer: Vec::new(),
        payment_reference: None,
        reroute: crate::orders::placement::Reroute::Never,
        may_split: false,
        radius_km: None,
        reservation: None,
        decision: None,
        choices: vec![Choice { parts: vec![Part { store: id("S0001"), order, lines, half }] }],
    };
    Input::Place { ticket: hq.ticket(), order: Box::new(new) }
}

fn answers(outputs: Vec<Output>) -> Vec<Result<OrderView, OrderError>> {
    let answers = outputs.into_iter().filter_map(|output| match output {
        Output::Order { answer, .. } => Some(answer.map(|view| *view)),
        _ => None,
    });
    answers.collect()
}

fn place(hq: &mut Headquarters, number: u64) -> Result<OrderView, OrderError> {
    let input = wanted(hq, number);
    answers(hq.drain(vec![input])).remove(0)
}

fn refused(why: Dropped) -> OrderError {
    OrderError::NotTaking { store: id("S0001"), why }
}

fn settings(text: &str) -> PickupSettings {
    PickupSettings::read(text.as_bytes(), OPENS).unwrap()
}

fn input(hq: &mut Headquarters, change: SettingsChange) -> Input {
    Input::Settings { ticket: hq.ticket(), store: id("S0001"), change: Box::new(change) }
}

fn settled(outputs: Vec<Output>) -> Vec<Result<u64, SettingsError>> {
    let answers = outputs.into_iter().filter_map(|output| match output {
        Output::Settings { answer, .. } => Some(answer.map(|revised| revised.revision)),
        _ => None,
    });
    answers.collect()
}

fn change(hq: &mut Headquarters, change: SettingsChange) -> Result<u64, SettingsError> {
    let input = input(hq, change);
    settled(hq.drain(vec![input])).remove(0)
}

fn replace(text: &str, seen: Option<u64>) -> SettingsChange {
    SettingsChange::Replace { settings: settings(text), seen }
}

fn pause(by_ms: i64) -> SettingsChange {
    SettingsChange::Pause(Pause { until: UnixMillis(OPENS.0 + by_ms), reason: "cold room".to_owned() })
}

fn revision(hq: &mut Headquarters) -> u64 {
    let posts: HashMap<StoreId, _> = hq.hub.take_posts().into_iter().collect();
    posts[&id("S0001")].settings.revision
}

#[test]
fn a_paused_store_takes_no_order_until_the_pause_is_over_or_ended() {
    let (mut hq, _) = open_shop(Headquarters::open());
    assert!(place(&mut hq, 1).is_ok());
    assert_eq!(change(&mut hq, pause(HOUR_MS)), Ok(1));
    let until = OPENS.0 + HOUR_MS;
    assert_eq!(place(&mut hq, 2), Err(refused(Dropped::Paused { until })));
    assert!(place(&mut hq, 1).unwrap().is_replayed, "an order that was placed before is the same order");
    assert_eq!(change(&mut hq, SettingsChange::Resume), Ok(2));
    assert_eq!(change(&mut hq, SettingsChange::Resume), Ok(2), "nothing to end");
    assert!(place(&mut hq, 2).is_ok());
    change(&mut hq, pause(HOUR_MS)).unwrap();
    hq.pass(HOUR_MS.unsigned_abs());
    assert!(place(&mut hq, 3).is_ok());
    assert_eq!(change(&mut hq, replace(r#"{"pickup":false}"#, Some(3))), Ok(4));
    assert_eq!(place(&mut hq, 4), Err(refused(Dropped::PickupOff)));
}

#[test]
fn a_store_that_does_not_open_in_time_takes_no_order() {
    let (mut hq, _) = open_shop(Headquarters::open());
    let day = r#"["09:00-18:00"]"#;
    // OPENS is a Sunday evening in Berlin, some 60 hours before Wednesday morning.
    let week = |monday: &str, thursday: &str| {
        format!(
            r#"{{"pickup":true,"hours":{{"monday":{monday},"tuesday":[],"wednesday":[],"thursday":{thursday},"friday":[],
            "saturday":[],"sunday":[]}}}}"#
        )
    };
    change(&mut hq, replace(&week(day, "[]"), None)).unwrap();
    assert!(place(&mut hq, 1).is_ok());
    change(&mut hq, replace(&week("[]", day), None)).unwrap();
    let answer = place(&mut hq, 2);
    assert_eq!(answer, Err(refused(Dropped::ClosedUntilTooLate)));
}

#[test]
fn two_shoppers_in_one_commit_never_get_the_same_last_place() {
    let (mut hq, _) = open_shop(Headquarters::open());
    change(&mut hq, replace(r#"{"pickup":true,"capacity":{"per_hour":2,"per_day":3}}"#, None)).unwrap();
    let orders: Vec<Input> = (1..=4).map(|number| wanted(&mut hq, number)).collect();
    let answers = answers(hq.drain(orders));
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    assert_eq!(answers[3], Err(refused(Dropped::Full { taken: 2, max: 2, per: "hour" })));
    hq.pass(HOUR_MS.unsigned_abs());
    assert!(place(&mut hq, 5).is_ok(), "the next hour, without anybody writing anything");
    assert_eq!(place(&mut hq, 6), Err(refused(Dropped::Full { taken: 3, max: 3, per: "day" })));
    hq.pass(24 * HOUR_MS.unsigned_abs());
    assert!(place(&mut hq, 7).is_ok());
}

#[test]
fn who_has_not_seen_the_last_change_changes_nothing() {
    let (mut hq, _) = open_shop(Headquarters::open());
    assert_eq!(change(&mut hq, replace(r#"{"pickup":true,"capacity":{"per_day":5}}"#, Some(0))), Ok(1));
    let late = change(&mut hq, replace(r#"{"pickup":false}"#, Some(0)));
    assert_eq!(late, Err(SettingsError::Overtaken { revision: 1 }));
    assert_eq!(
        change(&mut hq, replace(r#"{"pickup":false}"#, Some(9))),
        Err(SettingsError::Overtaken { revision: 1 })
    );
    let both = [replace(r#"{"pickup":false}"#, Some(1)), replace(r#"{"pickup":true}"#, Some(1))];
    let inputs = both.map(|change| input(&mut hq, change)).into();
    let answers = settled(hq.drain(inputs));
    assert_eq!(answers, [Ok(2), Err(SettingsError::Overtaken { revision: 2 })]);
    let (one, other) = (input(&mut hq, pause(HOUR_MS)), input(&mut hq, SettingsChange::Resume));
    assert_eq!(settled(hq.drain(vec![one, other])), [Ok(3), Ok(4)], "both in one commit");
    let unknown = Input::Settings { ticket: hq.ticket(), store: id("S0009"), change: Box::new(pause(1)) };
    assert_eq!(settled(hq.drain(vec![unknown])), [Err(SettingsError::UnknownStore { store: id("S0009") })]);
}

#[test]
fn settings_and_what_has_been_taken_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hq, _) = open_shop(Headquarters::open_at(folder.path()));
    change(&mut hq, replace(r#"{"pickup":true,"capacity":{"per_hour":1}}"#, None)).unwrap();
    place(&mut hq, 1).unwrap();
    let before: HashMap<StoreId, _> = hq.hub.take_posts().into_iter().collect();
    drop(hq);
    let mut hq = Headquarters::open_at(folder.path());
    let after: HashMap<StoreId, _> = hq.hub.take_posts().into_iter().collect();
    assert_eq!(after, before);
    let answer = place(&mut hq, 2);
    assert_eq!(answer, Err(refused(Dropped::Full { taken: 1, max: 1, per: "hour" })));
    hq.tick();
    assert_eq!(hq.hub.take_posts(), [], "nothing has changed");
}

#[test]
fn a_commit_that_fails_leaves_the_settings_as_they_were() {
    let (mut hq, _) = open_shop(Headquarters::open());
    change(&mut hq, replace(r#"{"pickup":true,"capacity":{"per_day":5}}"#, None)).unwrap();
    hq.fail_next_commit();
    assert_eq!(change(&mut hq, pause(HOUR_MS)), Err(SettingsError::Storage));
    assert_eq!(revision(&mut hq), 1);
    assert_eq!(change(&mut hq, pause(HOUR_MS)), Ok(2));
    assert_eq!(revision(&mut hq), 2);
}

#[test]
fn what_is_imported_beside_a_running_hub_is_never_overwritten_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hq, _) = open_shop(Headquarters::open_at(folder.path()));
    let import = |revision, text: &str| {
        let mut other = Sqlite::open(&folder.path().join("hub.db")).unwrap();
        let key = other.stores().unwrap()[0].0;
        let settings = PickupSettings::read_stored(text.as_bytes()).unwrap();
        let pickup_settings = vec![(key, Revised { revision, settings })];
        other.commit(&Changes { pickup_settings, ..Changes::default() })
    };
    import(1, r#"{"pickup":false}"#).unwrap();
    let blind = change(&mut hq, replace(r#"{"pickup":true,"capacity":{"per_day":5}}"#, Some(0)));
    assert_eq!(blind, Err(SettingsError::Overtaken { revision: 1 }));
    assert_eq!(place(&mut hq, 1), Err(refused(Dropped::PickupOff)));
    import(2, r#"{"pickup":true}"#).unwrap();
    hq.tick();
    assert!(place(&mut hq, 1).is_ok());
    assert_eq!(change(&mut hq, pause(HOUR_MS)), Ok(3));
    assert!(import(3, r#"{"pickup":false}"#).is_err(), "the hub was first");
}

#[test]
fn what_a_store_does_not_find_is_remembered() {
    let (mut hq, mut caller) = open_shop(Headquarters::open());
    let view = place(&mut hq, 1).unwrap();
    let lines: Vec<Line> = view.parts[0].hub.as_ref().unwrap().lines.clone();
    let mut half = StoreOrder::received(caller.epoch, &lines, hq.now.wall);
    let mut says = |hq: &mut Headquarters, half: &StoreOrder| {
        let mut batch = caller.batch(Vec::new());
        batch.orders = vec![StoreOrderRecord { order: view.parts[0].order, half: half.clone() }];
        caller.say(hq, Body::State(batch));
        let now = hq.now.wall;
        let posts: HashMap<StoreId, _> = hq.hub.take_posts().into_iter().collect();
        let post = &posts[&id("S0001")];
        (post.workload.not_found_rate(now), post.load(now).open)
    };
    assert_eq!(says(&mut hq, &half), (0.0, 1));
    half.act(&Act::Accept, None, "Noor", hq.now.wall).unwrap();
    let short = Act::Short { item: MILK, quantity: units(1), why: ShortReason::NotFound };
    half.act(&short, None, "Noor", hq.now.wall).unwrap();
    assert_eq!(says(&mut hq, &half), (1.0, 1));
    half.act(&Act::Refuse { reason: "nothing there".to_owned() }, None, "Noor", hq.now.wall).unwrap();
    assert_eq!(says(&mut hq, &half), (1.0, 0));
}

#[test]
fn a_paused_store_reserves_nothing_and_what_was_reserved_waits_for_its_end() {
    use crate::hub::reservations::{NewReservation, ReservationAsk};
    let (mut hq, _) = open_shop(Headquarters::open());
    let reserve = |hq: &mut Headquarters, number| {
        let new = NewReservation {
            id: OrderId::from_number(number).unwrap(),
            key: format!("r{number}"),
            fingerprint: String::new(),
            until: UnixMillis(hq.now.wall.0 + 600_000),
            stores: vec![id("S0001")],
            lines: vec![("sku-1".parse().unwrap(), units(1))],
        };
        let ask = ReservationAsk::Make(Box::new(new));
        let outputs = hq.drain(vec![Input::Reservation { ticket: Ticket(99), ask }]);
        let answer = outputs.into_iter().find_map(|output| match output {
            Output::Reservation { answer, .. } => Some(answer.map(|view| view.id)),
            _ => None,
        });
        answer.unwrap()
    };
    let reserved = reserve(&mut hq, 7).unwrap();
    change(&mut hq, pause(HOUR_MS)).unwrap();
    let why = Dropped::Paused { until: OPENS.0 + HOUR_MS };
    assert_eq!(reserve(&mut hq, 8), Err(refused(why.clone())));
    let order = |hq: &mut Headquarters| match wanted(hq, 9) {
        Input::Place { ticket, mut order } => {
            order.reservation = Some(reserved);
            answers(hq.drain(vec![Input::Place { ticket, order }])).remove(0)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(order(&mut hq), Err(refused(why)));
    assert_eq!(hq.cell("S0001", MILK).free(), units(9), "it is kept nevertheless");
    change(&mut hq, SettingsChange::Resume).unwrap();
    assert!(order(&mut hq).is_ok());
    assert_eq!(hq.cell("S0001", MILK).free(), units(9));
}
