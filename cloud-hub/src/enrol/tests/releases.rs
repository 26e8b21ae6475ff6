//! Who is told what to run, and what is kept of it.

use super::*;
use crate::enrol::books::{NotSo, Order, Wanted as WantedRelease};
use crate::enrol::rollout::Stage;
use sync_protocol::enrolment::Fact;
use sync_protocol::releases::{End, Keeper, Outcome, RELEASES, ReleaseAnswer, ReleaseRequest, Wish};

/// A store that has nothing that was signed.
fn request() -> ReleaseRequest {
    let agent = Fact::clipped("0.1.0");
    ReleaseRequest {
        version: VERSION,
        keeper: Keeper::Storectl,
        agent,
        sequence: 0,
        is_well: true,
        outcome: None,
    }
}

fn failed(wish: &Wish) -> ReleaseRequest {
    let (code, says) = (Fact::clipped("E809"), Fact::clipped("it does not keep running"));
    let outcome =
        Some(Outcome { number: wish.number, sequence: wish.sequence, end: End::Failed, code, says });
    ReleaseRequest { outcome, ..request() }
}

impl Office {
    fn wished(&self, shown: &Enrolled, request: &ReleaseRequest) -> Result<Option<Wish>, RefusalCode> {
        let body = serde_json::to_string(request).unwrap();
        let reply = self.ask(RELEASES, &body, Some(&der(shown)));
        match reply.status {
            200 => Ok(serde_json::from_slice::<ReleaseAnswer>(&reply.body).unwrap().wish),
            _ => Err(serde_json::from_slice::<Refusal>(&reply.body).unwrap().code),
        }
    }

    fn start(&self, sequence: u64) {
        let wanted = WantedRelease {
            version: "0.2.0".to_owned(),
            sequence,
            source: "https://releases.example/0.2.0".parse().unwrap(),
            halt_after: 1,
            soak_ms: DAY,
        };
        self.books().start_rollout(wanted, self.now).unwrap();
    }

    fn order(&self, order: Order) -> Result<(), NotSo> {
        self.books().order_rollout(order).unwrap().map(drop)
    }

    fn stage(&self) -> (Stage, u32) {
        let rollout = self.books().rollouts().unwrap().rollout.unwrap();
        (rollout.stage, rollout.ring)
    }
}

#[test]
fn a_store_is_wished_what_its_ring_has_come_to() {
    let mut office = Office::open();
    let held = office.enrol(&Server::new(), &office.token()).unwrap();
    assert_eq!(office.wished(&held, &request()), Ok(None), "there is no rollout");
    assert_eq!(office.order(Order::Next), Err(NotSo::NoRollout));
    let rings = [("pilot".to_owned(), vec![store()]), ("early".to_owned(), vec!["S0099".parse().unwrap()])];
    office.books().set_rings(&rings).unwrap().unwrap();
    office.start(7);
    let wish = office.wished(&held, &request()).unwrap().unwrap();
    assert_eq!((wish.sequence, wish.source.as_str()), (7, "https://releases.example/0.2.0"));
    assert_eq!(office.wished(&held, &request()), Ok(Some(wish)), "asked twice, told the same");
    assert_eq!(office.books().set_rings(&[]).unwrap(), Err(NotSo::UnderWay));

    let done = ReleaseRequest { sequence: 7, agent: Fact::clipped("0.2.0"), ..request() };
    assert_eq!(office.wished(&held, &done), Ok(None));
    office.pass(DAY - 1);
    office.wished(&held, &done).unwrap();
    assert_eq!(office.stage(), (Stage::Running, 0));
    office.pass(1);
    office.wished(&held, &done).unwrap();
    assert_eq!(office.stage(), (Stage::Running, 1));
    // The only store of the second ring has never been heard: a person has to say so.
    office.pass(DAY);
    office.wished(&held, &done).unwrap();
    assert_eq!(office.stage(), (Stage::Running, 1));
    office.order(Order::Next).unwrap();
    assert_eq!(office.order(Order::Next), Err(NotSo::AllOpen));
    assert_eq!(office.order(Order::Resume), Err(NotSo::Already("running")));
    office.order(Order::Stop).unwrap();
    assert_eq!(office.order(Order::Resume), Err(NotSo::Stopped));
    assert_eq!(office.wished(&held, &request()), Ok(None));
    let twice = [("a".to_owned(), vec![store()]), ("b".to_owned(), vec![store()])];
    assert_eq!(office.books().set_rings(&twice).unwrap(), Err(NotSo::StoreTwice(store())));
    assert_eq!(
        office.books().rollouts().unwrap().rings,
        ["pilot", "early"],
        "what is refused changes nothing"
    );
}

#[test]
fn a_failure_halts_it_and_what_failed_is_tried_again_when_head_office_says_so() {
    let mut office = Office::open();
    let held = office.enrol(&Server::new(), &office.token()).unwrap();
    office.start(7);
    let wish = office.wished(&held, &request()).unwrap().unwrap();
    assert_eq!(office.wished(&held, &failed(&wish)), Ok(None));
    let rollout = office.books().rollouts().unwrap().rollout.unwrap();
    assert_eq!((rollout.stage, rollout.why.as_str()), (Stage::Halted, "S0042 E809 it does not keep running"));
    assert_eq!(office.order(Order::Pause), Err(NotSo::Already("halted")));
    assert_eq!(office.order(Order::Next), Err(NotSo::NotRunning("halted")));

    // The same failure, told again, does not halt what was resumed in spite of it.
    office.order(Order::Resume).unwrap();
    assert_eq!(office.wished(&held, &failed(&wish)), Ok(None));
    let mut in_other_words = failed(&wish);
    in_other_words.outcome.as_mut().unwrap().says = Fact::clipped("still not");
    assert_eq!(office.wished(&held, &in_other_words), Ok(None));
    assert_eq!(office.stage(), (Stage::Running, 0));
    office.books().retry_release(&store()).unwrap().unwrap();
    let again = office.wished(&held, &failed(&wish)).unwrap().unwrap();
    assert!(again.number > wish.number && again.sequence == 7);
    office.clerk = clerk(&office.folder);
    assert_eq!(office.wished(&held, &failed(&again)), Ok(None));
    assert_eq!(office.stage().0, Stage::Halted, "it failed once more");

    // Another rollout has other numbers: what failed before is nothing to it.
    office.start(7);
    assert!(office.wished(&held, &failed(&again)).unwrap().is_some());
    office.order(Order::Pause).unwrap();
    assert_eq!(office.wished(&held, &request()), Ok(None));
    let source = "https://releases.example/old".parse().unwrap();
    office.books().pin(&store(), Some((5, &source))).unwrap();
    assert_eq!(office.wished(&held, &request()).unwrap().unwrap().sequence, 5);
    office.books().pin(&store(), None).unwrap();
    office.order(Order::Resume).unwrap();
    assert_eq!(office.wished(&held, &request()), Ok(None));
    office.books().unpin(&store()).unwrap().unwrap();
    assert_eq!(office.books().unpin(&store()).unwrap(), Err(NotSo::NotPinned(store())));
    assert_eq!(office.wished(&held, &request()).unwrap().unwrap().sequence, 7);
}

#[test]
fn what_failed_while_it_was_paused_halts_it_when_it_goes_on() {
    let office = Office::open();
    let held = office.enrol(&Server::new(), &office.token()).unwrap();
    office.start(7);
    let wish = office.wished(&held, &request()).unwrap().unwrap();
    office.order(Order::Pause).unwrap();
    office.wished(&held, &failed(&wish)).unwrap();
    assert_eq!(office.stage().0, Stage::Paused);
    office.order(Order::Resume).unwrap();
    office.wished(&held, &failed(&wish)).unwrap();
    assert_eq!(office.stage().0, Stage::Halted);
}

#[test]
fn a_store_that_was_ill_in_between_begins_to_soak_anew() {
    let mut office = Office::open();
    let held = office.enrol(&Server::new(), &office.token()).unwrap();
    office.books().set_rings(&[("pilot".to_owned(), vec![store()])]).unwrap().unwrap();
    office.start(7);
    let done = ReleaseRequest { sequence: 7, ..request() };
    let ill = ReleaseRequest { is_well: false, ..done.clone() };
    for (said, passes, ring) in
        [(&done, DAY / 2, 0), (&ill, DAY / 2, 0), (&done, DAY - 1, 0), (&done, 1, 0), (&done, 0, 1)]
    {
        office.wished(&held, said).unwrap();
        assert_eq!(office.stage().1, ring);
        office.pass(passes);
    }
}

#[test]
fn who_is_not_the_store_learns_nothing_and_says_nothing() {
    let mut office = Office::open();
    let (first, token) = (Server::new(), office.token());
    let held = office.enrol(&first, &token).unwrap();
    office.start(7);
    let body = serde_json::to_string(&request()).unwrap();
    let refused = |reply: &Reply| serde_json::from_slice::<Refusal>(&reply.body).unwrap().code;
    assert_eq!(refused(&office.ask(RELEASES, &body, None)), RefusalCode::IdentityMissing);
    assert_eq!(refused(&office.ask(RELEASES, &body, Some(b"no certificate"))), RefusalCode::IdentityMissing);
    for odd in ["", "{}", "[]", &body.replace("storectl", "somebody"), &body.replace("{", "{\"more\":1,")] {
        assert_eq!(refused(&office.ask(RELEASES, odd, Some(&der(&held)))), RefusalCode::BadRequest, "{odd}");
    }
    let newer = ReleaseRequest { version: 2, ..request() };
    assert_eq!(office.wished(&held, &newer), Err(RefusalCode::Version));
    assert!(office.books().rollouts().unwrap().stores.is_empty());

    // A number that no table holds, and the longest words there can be.
    let huge = Outcome {
        number: u64::MAX,
        sequence: u64::MAX,
        end: End::Failed,
        code: Fact::clipped(&"x".repeat(200)),
        says: Fact::clipped(&"\u{1F9FE}".repeat(200)),
    };
    let odd = ReleaseRequest { sequence: u64::MAX, outcome: Some(huge), ..request() };
    assert_eq!(office.wished(&held, &odd), Ok(None));
    assert!(office.wished(&held, &request()).unwrap().is_some());

    // After a renewal both are the store until the new one has been seen; then the old one is nobody.
    let second = first.with_a_new_key();
    office.pass(45 * DAY);
    let renewed = office.renew(&held, &second).unwrap();
    assert!(office.wished(&held, &request()).is_ok() && office.wished(&renewed, &request()).is_ok());
    office.note_shown(&renewed);
    assert_eq!(office.wished(&held, &request()), Err(RefusalCode::CertificateSuperseded));
    let replaced = office.enrol(&Server::new(), &office.token()).unwrap();
    assert_eq!(office.wished(&renewed, &request()), Err(RefusalCode::CertificateSuperseded));
    office.books().revoke_store(&store(), office.now).unwrap();
    assert_eq!(office.wished(&replaced, &request()), Err(RefusalCode::StoreRevoked));
}

#[test]
fn books_from_before_there_were_rollouts_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enrolment.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../schema.sql")).unwrap();
    old.execute("INSERT INTO identity (store) VALUES ('S0001')", []).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    let books = Books::open(&path).unwrap();
    assert_eq!(books.identities().unwrap().len(), 1);
    assert!(books.rollouts().unwrap().rollout.is_none());
    drop(books);
    assert!(Books::open(&path).is_ok());
}
