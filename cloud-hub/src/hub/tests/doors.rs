//! Who may speak, for whom, and what is done with what can't be understood.

use super::headquarters::{hung_up, id, info, item, kinds, refusal_of};
use super::*;

#[test]
fn a_store_nobody_has_added_is_hung_up_with_what_to_do() {
    let mut hq = Headquarters::open();
    let link = hq.new_link();
    let outputs = hq.drain(vec![Input::LinkUp { link, store: id("S0099") }]);
    let [Output::HangUp { link: hung_up, reason }] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(*hung_up, link);
    assert!(reason.contains("cloud-hub store add"), "{reason}");
}

#[test]
fn a_store_that_is_added_while_the_hub_runs_may_connect_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut hq = Headquarters::open_at(folder.path());
    let mut operator = Sqlite::open(&folder.path().join("hub.db")).unwrap();
    operator.put_store(&info("S0003")).unwrap();
    Caller::greeted(&mut hq, "S0003", 1);
    assert_eq!(hq.marks("S0003").0, Epoch(1));
    assert!(hq.hub.take_updates().contains(&Update::Store(info("S0003"))));
    operator.put_store(&info("S0004")).unwrap();
    operator.put_store(&StoreInfo { name: "Renamed".to_owned(), ..info("S0003") }).unwrap();
    hq.tick();
    let stores: Vec<Update> =
        hq.hub.take_updates().into_iter().filter(|update| matches!(update, Update::Store(_))).collect();
    let renamed = StoreInfo { name: "Renamed".to_owned(), ..info("S0003") };
    assert_eq!(stores, [Update::Store(renamed), Update::Store(info("S0004"))]);
    assert_eq!(hq.hub.store_counts(), (4, 1));
}

#[test]
fn a_link_speaks_for_its_own_store_only() {
    let mut hq = Headquarters::open();
    let mut honest = Caller::greeted(&mut hq, "S0002", 1);
    honest.reports(&mut hq, vec![honest.stock(MILK, 10, 0, 5)]);
    let thief = Caller::greeted(&mut hq, "S0001", 7);
    for body in [
        Body::State(honest.clone().batch(vec![honest.stock(MILK, 10, 9, 5)])),
        Body::Hello(honest.hello()),
        Body::Heartbeat(honest.heartbeat()),
    ] {
        let mut thief = thief.clone();
        thief.connect(&mut hq);
        let stolen = Caller { link: thief.link, ..honest.clone() };
        let outputs = hq.drain(vec![stolen.frame(body)]);
        assert_eq!(refusal_of(&said(&outputs, thief.link)), Some(Refusal::WrongStore));
        assert_eq!(hung_up(&outputs), [thief.link]);
    }
    assert_eq!(hq.hub.counters().frames_of_other_stores, 3);
    assert_eq!(hq.cell("S0002", MILK).on_hand(), units(10));
    let goes_on = honest.reports(&mut hq, vec![honest.stock(MILK, 10, 1, 5)]);
    assert_eq!(kinds(&goes_on)[0], "marks", "the store itself goes on");
}

#[test]
fn a_frame_on_a_link_that_is_gone_is_ignored() {
    let mut hq = Headquarters::open();
    let caller = Caller::greeted(&mut hq, "S0001", 1);
    hq.drain(vec![Input::LinkDown { link: caller.link }]);
    let outputs = hq.drain(vec![caller.frame(Body::Heartbeat(caller.heartbeat()))]);
    assert_eq!((outputs, hq.hub.store_counts().1), (Vec::new(), 0));
}

#[test]
fn nothing_is_taken_before_a_hello() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::new(&mut hq, "S0001", 1);
    caller.connect(&mut hq);
    let said = caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    assert_eq!(refusal_of(&said), Some(Refusal::SayHello));
    assert_eq!(hq.hub.cell(&id("S0001"), MILK), None);
}

#[test]
fn a_fenced_frame_is_dropped_whole() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    caller.reports(&mut hq, vec![caller.stock(MILK, 10, 0, 5)]);
    let before = (hq.cell("S0001", MILK), hq.marks("S0001"));
    let other_boot = Caller {
        boots: vec![sync_protocol::frame::BootMark {
            boot: Boot(9),
            first_seq: Seq(1),
            first_position: Position(1),
        }],
        ..caller.clone()
    };
    let (older, newer) =
        (Caller { epoch: Epoch(0), ..caller.clone() }, Caller { epoch: Epoch(2), ..caller.clone() });
    for mut fenced in [other_boot, older, newer] {
        let cursors = vec![CursorRecord { source: "pos-db".parse().unwrap(), value: vec![1] }];
        let history = fenced.history(&["42"]);
        let batch = fenced.batch(vec![fenced.stock(MILK, 50, 49, 1), fenced.stock(SALT, 7, 0, 7)]);
        let bodies = [
            Body::State(StateBatch { cursors, history: Some(history.clone()), ..batch }),
            Body::History(history),
            Body::Offer(Offer {
                part: 0,
                last: true,
                halves: vec![HubStock {
                    item: MILK,
                    half: HubHalf { promised: 9_000, ..HubHalf::default() },
                }],
                ..Offer::default()
            }),
            Body::Heartbeat(fenced.heartbeat()),
            Body::Ack(Ack { stream: Stream::State, upto: 1 }),
        ];
        for body in bodies {
            let kind = body.kind();
            let said = fenced.say(&mut hq, body);
            assert_eq!(refusal_of(&said), Some(Refusal::SayHello), "{kind}");
            assert_eq!((hq.cell("S0001", MILK), hq.marks("S0001")), before, "{kind}");
            assert_eq!(hq.hub.cell(&id("S0001"), SALT), None, "{kind}");
        }
    }
    assert_eq!(hq.hub.counters().frames_fenced, 15);
    assert_eq!(hq.hub.items(&id("S0001")).unwrap(), [item(MILK)]);
}

#[test]
fn what_can_not_be_read_is_quarantined_and_the_link_hung_up() {
    let mut hq = Headquarters::open();
    let caller = Caller::greeted(&mut hq, "S0001", 1);
    let outputs = hq.drain(vec![Input::Frame { link: caller.link, bytes: vec![9; 100_000] }]);
    assert_eq!(hung_up(&outputs), [caller.link]);
    assert_eq!(hq.hub.quarantined().unwrap(), (1, Some(hq.now.wall)), "and at once on disk");
    assert_eq!(hq.hub.counters().frames_unreadable, 1);
    assert_eq!(hq.hub.store_counts(), (2, 0));
}

#[test]
fn what_an_agent_does_not_say_hangs_it_up() {
    for body in [
        Body::Down(DownBatch::default()),
        Body::Marks(Marks { state: Some(Seq(1)), history: None }),
        Body::Refused(Refused { why: Refusal::SayHello, detail: String::new() }),
    ] {
        let mut hq = Headquarters::open();
        let caller = Caller::greeted(&mut hq, "S0001", 1);
        assert_eq!(hung_up(&hq.drain(vec![caller.frame(body)])), [caller.link]);
    }
}

#[test]
fn a_record_that_can_not_be_read_is_quarantined_and_the_rest_goes_on() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::greeted(&mut hq, "S0001", 1);
    let batch = caller.batch(vec![caller.stock(MILK, 10, 0, 5), caller.stock(SALT, 3, 0, 3)]);
    let frame =
        Frame { store: id("S0001"), epoch: caller.epoch, boot: caller.boot(), body: Body::State(batch) };
    let mut bytes = frame::encode(&frame);
    // A section that a later release knows.
    bytes.extend([99, 3, 1, 2, 3]);
    let outputs = hq.drain(vec![Input::Frame { link: caller.link, bytes }]);
    assert_eq!(kinds(&said(&outputs, caller.link))[0], "marks");
    assert_eq!((hq.cell("S0001", MILK).on_hand(), hq.cell("S0001", SALT).on_hand()), (units(10), units(3)));
    assert_eq!(hq.hub.quarantined().unwrap().0, 1);
}

#[test]
fn an_agent_of_another_age_is_told_what_to_upgrade() {
    let mut hq = Headquarters::open();
    let mut caller = Caller::new(&mut hq, "S0001", 1);
    caller.connect(&mut hq);
    let hello = Hello { version_min: VERSION_MAX + 1, version_max: VERSION_MAX + 2, ..caller.hello() };
    let outputs = hq.drain(vec![caller.frame(Body::Hello(hello))]);
    assert_eq!(refusal_of(&said(&outputs, caller.link)), Some(Refusal::Version));
    let Some(Output::HangUp { reason, .. }) = outputs.last() else { panic!("{outputs:?}") };
    assert!(reason.contains("upgrade"), "{reason}");
    assert_eq!(hq.marks("S0001").0, Epoch(0));
}

#[test]
fn links_that_come_and_go_show_in_the_updates() {
    let mut hq = Headquarters::open();
    let caller = Caller::greeted(&mut hq, "S0001", 1);
    let contact = |hq: &mut Headquarters| {
        let last = hq.hub.take_updates().into_iter().rev().find_map(|update| match update {
            Update::Contact { store, at, link_up, .. } => Some((store, at, link_up)),
            _ => None,
        });
        last.unwrap()
    };
    assert_eq!(contact(&mut hq), (id("S0001"), hq.now.wall, true));
    let heard = hq.now.wall;
    hq.pass(30_000);
    hq.drain(vec![Input::LinkDown { link: caller.link }]);
    assert_eq!(contact(&mut hq), (id("S0001"), heard, false));
}
