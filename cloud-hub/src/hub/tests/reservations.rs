//! Reservations: exact at read, worth as much as an order, and gone in time.

use super::headquarters::id;
use super::orders::{open_shop, place, wanted};
use super::*;
use crate::hub::orders::OrderError;
use crate::hub::reservations::{NewReservation, ReservationAsk, ReservationView};
use sync_protocol::order::{OrderId, Status};

const MINUTE_MS: u64 = 60_000;

fn number(number: u64) -> OrderId {
    OrderId::from_number(number).unwrap()
}

fn asked(hq: &mut Headquarters, ask: ReservationAsk) -> Result<ReservationView, OrderError> {
    let ticket = hq.ticket();
    let outputs = hq.drain(vec![Input::Reservation { ticket, ask }]);
    let answers = outputs.into_iter().find_map(|output| match output {
        Output::Reservation { answer, .. } => Some(answer.map(|view| *view)),
        _ => None,
    });
    answers.expect("an answer")
}

fn new(hq: &Headquarters, id_number: u64, key: &str, pieces: i64) -> NewReservation {
    NewReservation {
        id: number(id_number),
        key: key.to_owned(),
        fingerprint: pieces.to_string(),
        until: UnixMillis(hq.now.wall.0 + 15 * MINUTE_MS.cast_signed()),
        stores: vec![id("S0001")],
        lines: vec![(format!("sku-{MILK}").parse().unwrap(), units(pieces))],
    }
}

fn reserve(hq: &mut Headquarters, new: NewReservation) -> Result<ReservationView, OrderError> {
    asked(hq, ReservationAsk::Make(Box::new(new)))
}

#[test]
fn what_is_reserved_nobody_else_gets_until_its_time_and_then_at_once() {
    let (mut hq, _) = open_shop();
    let reservation = new(&hq, 1, "a", 8);
    reserve(&mut hq, reservation).unwrap();
    assert_eq!(hq.cell("S0001", MILK).free(), units(2));
    let too_much = wanted(&hq, 2, "b", &[(MILK, 3)]);
    assert_eq!(place(&mut hq, too_much.clone()), Err(OrderError::Insufficient));
    hq.pass(15 * MINUTE_MS - 1);
    assert_eq!(place(&mut hq, too_much.clone()), Err(OrderError::Insufficient));
    // No tick in between: whoever asks finds it ended.
    hq.pass(1);
    assert!(place(&mut hq, too_much).is_ok());
    assert_eq!(hq.cell("S0001", MILK).free(), units(7));
    let gone = asked(&mut hq, ReservationAsk::Show { id: number(1) });
    assert_eq!(gone, Err(OrderError::NoSuchReservation { reservation: number(1) }));
}

#[test]
fn an_order_takes_the_place_of_its_reservation_in_one_step() {
    let (mut hq, _) = open_shop();
    let reservation = new(&hq, 1, "a", 10);
    reserve(&mut hq, reservation).unwrap();
    let mut order = wanted(&hq, 2, "b", &[(MILK, 10)]);
    order.reservation = Some(number(1));
    let view = place(&mut hq, order.clone()).unwrap();
    assert_eq!(view.parts[0].status, Status::Placed);
    let cell = hq.cell("S0001", MILK);
    assert_eq!((cell.free(), cell.open()), (units(0), units(10)));
    assert!(
        place(&mut hq, order.clone()).unwrap().is_replayed,
        "the same key finds the order, not the reservation"
    );
    let again = NewOrder { key: "c".to_owned(), order: number(3), ..order };
    assert_eq!(place(&mut hq, again), Err(OrderError::NoSuchReservation { reservation: number(1) }));
}

#[test]
fn an_order_that_can_not_be_placed_leaves_its_reservation_alone() {
    let (mut hq, _) = open_shop();
    let reservation = new(&hq, 1, "a", 6);
    reserve(&mut hq, reservation).unwrap();
    let mut order = wanted(&hq, 2, "b", &[(MILK, 11)]);
    order.reservation = Some(number(1));
    assert_eq!(place(&mut hq, order), Err(OrderError::Insufficient));
    assert_eq!(hq.cell("S0001", MILK).free(), units(4));
    assert!(asked(&mut hq, ReservationAsk::Show { id: number(1) }).is_ok());
}

/// The simulation found it: between the end of a reservation and the order in its place, what the store recalled was given back to it. The
/// order found nothing, and the reservation that was to stay stood for units that somebody else could have.
#[test]
fn what_a_store_recalls_does_not_slip_between_a_reservation_and_its_order() {
    let (mut hq, mut caller) = open_shop();
    let reservation = new(&hq, 1, "a", 10);
    reserve(&mut hq, reservation).unwrap();
    let mut recalling = caller.stock(MILK, 20, 0, 10);
    recalling.half.recalled = 10_000;
    caller.reports(&mut hq, vec![recalling]);
    let mut too_much = wanted(&hq, 2, "b", &[(MILK, 11)]);
    too_much.reservation = Some(number(1));
    assert_eq!(place(&mut hq, too_much), Err(OrderError::Insufficient));
    assert_eq!(hq.cell("S0001", MILK).open(), units(10), "all of it is kept as before");
    let mut order = wanted(&hq, 3, "c", &[(MILK, 8)]);
    order.reservation = Some(number(1));
    place(&mut hq, order).unwrap();
    let cell = hq.cell("S0001", MILK);
    assert_eq!((cell.open(), cell.free()), (units(8), units(0)));
    assert_eq!(cell.hub.returned, 2_000, "what is left over goes back to the store");
}

#[test]
fn it_can_be_extended_for_an_hour_and_given_up_at_any_time() {
    let (mut hq, _) = open_shop();
    let reservation = new(&hq, 1, "a", 4);
    let made = reserve(&mut hq, reservation).unwrap();
    for _ in 0..4 {
        hq.pass(10 * MINUTE_MS);
        let until = UnixMillis(hq.now.wall.0 + 15 * MINUTE_MS.cast_signed());
        asked(&mut hq, ReservationAsk::Extend { id: made.id, until }).unwrap();
    }
    hq.pass(10 * MINUTE_MS);
    let until = UnixMillis(hq.now.wall.0 + 15 * MINUTE_MS.cast_signed());
    let refused = asked(&mut hq, ReservationAsk::Extend { id: made.id, until });
    assert_eq!(refused, Err(OrderError::ReservedTooLong));
    assert_eq!(hq.cell("S0001", MILK).free(), units(6), "it still has its time");
    asked(&mut hq, ReservationAsk::End { id: made.id }).unwrap();
    assert_eq!(hq.cell("S0001", MILK).free(), units(10));
}

#[test]
fn one_key_is_one_reservation_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 20, 0, 10)];
    caller.reports(&mut hq, stock);
    let (first, again) = (new(&hq, 1, "a", 4), new(&hq, 2, "a", 4));
    let made = reserve(&mut hq, first).unwrap();
    drop(hq);
    let mut hq = Headquarters::open_at(folder.path());
    let replayed = reserve(&mut hq, again).unwrap();
    assert_eq!((replayed.id, replayed.is_replayed), (made.id, true));
    let other = new(&hq, 3, "a", 5);
    assert_eq!(reserve(&mut hq, other), Err(OrderError::KeyReused));
    assert_eq!(hq.cell("S0001", MILK).free(), units(6));
    hq.pass(15 * MINUTE_MS);
    hq.tick();
    assert_eq!(hq.cell("S0001", MILK).free(), units(10));
}

#[test]
fn a_reservation_whose_commit_failed_does_not_exist() {
    let (mut hq, _) = open_shop();
    hq.fail_next_commit();
    let reservation = new(&hq, 1, "a", 4);
    assert_eq!(reserve(&mut hq, reservation.clone()), Err(OrderError::Storage));
    assert_eq!(hq.cell("S0001", MILK).free(), units(10));
    reserve(&mut hq, reservation).unwrap();
    hq.fail_next_commit();
    assert_eq!(asked(&mut hq, ReservationAsk::End { id: number(1) }), Err(OrderError::Storage));
    assert_eq!(hq.cell("S0001", MILK).free(), units(6), "neither does its end");
}

#[test]
fn a_restored_hub_frees_nothing_that_may_have_become_an_order_since() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let stock = vec![caller.stock(MILK, 20, 0, 10)];
    caller.reports(&mut hq, stock);
    let reservation = new(&hq, 1, "a", 4);
    reserve(&mut hq, reservation).unwrap();
    drop(hq);
    let mut hq = Headquarters::open_restored(folder.path(), 77);
    let gone = asked(&mut hq, ReservationAsk::Show { id: number(1) });
    assert_eq!(gone, Err(OrderError::NoSuchReservation { reservation: number(1) }));
    hq.pass(20 * MINUTE_MS);
    hq.tick();
    assert_eq!(hq.cell("S0001", MILK).open(), units(4));
}
