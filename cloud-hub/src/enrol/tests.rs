//! The clerk over months of a clock that tests set: expiry, renewal, recovery, and who is told what.

mod releases;

use super::books::{Books, Decision};
use super::ca::{Pki, STORE_DAYS, ServerName};
use super::clerk::{Call, Clerk, Reply, Rules};
use super::token::{self, Wanted};
use crate::identity::serial_of;
use crate::standing::{Serial, Shut, Sighting};
use rcgen::{CertificateParams, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;
use sync_protocol::enrolment::{
    Bound, BoundKey, ENROLMENTS, Enrolled, EnrolmentRequest, Machine, NONCES, Nonce, NonceAnswer, RENEWALS,
    Recovery, Refusal, RefusalCode, RenewalRequest, Signature, Token, VERSION, enrolment_message,
    recovery_message,
};
use sync_protocol::{StoreId, UnixMillis};
use tempfile::TempDir;

const START: UnixMillis = UnixMillis(1_790_000_000_000);
const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

struct Office {
    folder: TempDir,
    clerk: Clerk,
    now: UnixMillis,
}

impl Office {
    fn open() -> Office {
        let folder = tempfile::tempdir().unwrap();
        Pki::create(&folder.path().join("pki"), &ServerName::local(), START).unwrap();
        let clerk = clerk(&folder);
        Office { folder, clerk, now: START }
    }

    fn pki(&self) -> Pki {
        Pki::open(&self.folder.path().join("pki")).unwrap()
    }

    /// As head office has them open on its command line.
    fn books(&self) -> Books {
        Books::open(&self.folder.path().join("enrolment.db")).unwrap()
    }

    fn pass(&mut self, millis: i64) {
        self.now = UnixMillis(self.now.0 + millis);
    }

    fn token(&self) -> Token {
        let wanted = Wanted {
            addresses: vec!["hub.example:7445".parse().unwrap()],
            store: Some(store()),
            approve: false,
            life: Duration::from_secs(24 * 3600),
        };
        token::make(&mut self.books(), &self.pki(), wanted, self.now).unwrap().0
    }

    fn ask(&self, path: &str, body: &str, certificate: Option<&[u8]>) -> Reply {
        let (peer, now) = ("10.1.2.3", self.now);
        self.clerk.answer(Call { path, is_post: true, body: body.as_bytes(), peer, certificate, now })
    }

    fn enrol(&self, server: &Server, token: &Token) -> Result<Enrolled, RefusalCode> {
        outcome(&self.ask(ENROLMENTS, &server.enrolment(token), None))
    }

    /// Renews what `shown` is, for the key of `next`.
    fn renew(&self, shown: &Enrolled, next: &Server) -> Result<Enrolled, RefusalCode> {
        let request = RenewalRequest { version: VERSION, csr: next.csr(), bound: None, recovery: None };
        let body = serde_json::to_string(&request).unwrap();
        outcome(&self.ask(RENEWALS, &body, Some(&der(shown))))
    }

    fn recover(&self, server: &Server, signer: &Server) -> Result<Enrolled, RefusalCode> {
        self.recover_with(self.nonce(), server, signer)
    }

    fn recover_with(&self, nonce: Nonce, server: &Server, signer: &Server) -> Result<Enrolled, RefusalCode> {
        let csr = server.csr();
        let signature = signer.signed(&recovery_message(&store(), &nonce, &csr));
        let recovery = Some(Recovery { store: store(), nonce, signature });
        let request = RenewalRequest { version: VERSION, csr, bound: None, recovery };
        outcome(&self.ask(RENEWALS, &serde_json::to_string(&request).unwrap(), None))
    }

    fn nonce(&self) -> Nonce {
        let answer: NonceAnswer = serde_json::from_slice(&self.ask(NONCES, "", None).body).unwrap();
        answer.nonce
    }

    fn shut(&self) -> Option<Shut> {
        self.books().standings().unwrap().get(&store()).and_then(|standing| standing.shut)
    }

    fn note_shown(&self, enrolled: &Enrolled) {
        let sighting = Sighting::Shown { store: store(), serial: serial(enrolled) };
        self.books().note(&[sighting], self.now).unwrap();
    }
}

fn clerk(folder: &TempDir) -> Clerk {
    let rules = Rules { pickup_key: "00".repeat(32), certificate_days: 60, recoveries_max: 2 };
    let books = Books::open(&folder.path().join("enrolment.db")).unwrap();
    let pki = Pki::open(&folder.path().join("pki")).unwrap();
    Clerk::new(books, pki, Box::new(|store| Ok(store.as_str() == "S0042")), rules).unwrap()
}

fn store() -> StoreId {
    "S0042".parse().unwrap()
}

fn der(enrolled: &Enrolled) -> Vec<u8> {
    CertificateDer::from_pem_slice(enrolled.certificate.as_bytes()).unwrap().to_vec()
}

fn serial(enrolled: &Enrolled) -> Serial {
    serial_of(&der(enrolled)).unwrap()
}

fn outcome(reply: &Reply) -> Result<Enrolled, RefusalCode> {
    match reply.status {
        200 => Ok(serde_json::from_slice(&reply.body).unwrap()),
        _ => Err(serde_json::from_slice::<Refusal>(&reply.body).unwrap().code),
    }
}

/// A store's server, or a moment of it: a renewal brings a new key and keeps the bound one.
struct Server {
    key: KeyPair,
    bound: Vec<u8>,
}

impl Server {
    fn new() -> Server {
        let bound = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
        Server { key: KeyPair::generate().unwrap(), bound }
    }

    fn with_a_new_key(&self) -> Server {
        Server { key: KeyPair::generate().unwrap(), bound: self.bound.clone() }
    }

    fn csr(&self) -> String {
        CertificateParams::default().serialize_request(&self.key).unwrap().pem().unwrap()
    }

    fn bound(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_pkcs8(&self.bound).unwrap()
    }

    fn bound_key(&self) -> BoundKey {
        BoundKey(self.bound().public_key().as_ref().try_into().unwrap())
    }

    fn signed(&self, message: &[u8]) -> Signature {
        Signature(self.bound().sign(message).as_ref().try_into().unwrap())
    }

    fn enrolment(&self, token: &Token) -> String {
        let csr = self.csr();
        let request = EnrolmentRequest {
            version: VERSION,
            secret: token.secret,
            store: token.store.clone(),
            bound_key: self.bound_key(),
            bound_signature: self.signed(&enrolment_message(&csr)),
            csr,
            machine: Machine::default(),
        };
        serde_json::to_string(&request).unwrap()
    }
}

#[test]
fn a_token_ends_in_time_and_its_answer_a_little_later() {
    let mut office = Office::open();
    let (used, unused) = (office.token(), office.token());
    let server = Server::new();
    office.pass(24 * 3_600_000 - MINUTE);
    let enrolled = office.enrol(&server, &used).unwrap();
    office.pass(5 * MINUTE);
    assert_eq!(office.enrol(&server, &used), Ok(enrolled), "the answer was lost");
    assert_eq!(office.enrol(&Server::new(), &unused), Err(RefusalCode::TokenExpired));
    office.pass(60 * MINUTE);
    assert_eq!(office.enrol(&server, &used), Err(RefusalCode::TokenUsed));
}

#[test]
fn a_store_that_head_office_does_not_expect_is_not_enrolled() {
    let office = Office::open();
    let stranger: StoreId = "S0077".parse().unwrap();
    let wanted = Wanted {
        addresses: vec!["hub.example:7445".parse().unwrap()],
        store: Some(stranger),
        approve: false,
        life: Duration::from_secs(60),
    };
    let token = token::make(&mut office.books(), &office.pki(), wanted, office.now).unwrap().0;
    assert_eq!(office.enrol(&Server::new(), &token), Err(RefusalCode::StoreUnknown));
    let open = office.books().tokens(office.now).unwrap()[0].state.name();
    assert_eq!(open, "open", "the token is still good once the store has been added");
}

#[test]
fn a_store_lives_for_years_by_renewals() {
    let mut office = Office::open();
    let mut server = Server::new();
    let mut held = office.enrol(&server, &office.token()).unwrap();
    for _ in 0..30 {
        office.now = held.renew_after;
        let next = server.with_a_new_key();
        let renewed = office.renew(&held, &next).unwrap();
        assert!(renewed.not_after > held.not_after);
        assert_eq!(office.renew(&held, &next).unwrap(), renewed, "asked again, the same");
        office.note_shown(&renewed);
        (server, held) = (next, renewed);
    }
    assert_eq!(office.shut(), None);
    let good = office.books().standings().unwrap()[&store()].good.clone();
    assert_eq!(good, [serial(&held)]);
}

#[test]
fn until_the_new_certificate_is_seen_the_old_one_is_good_too() {
    let office = Office::open();
    let server = Server::new();
    let held = office.enrol(&server, &office.token()).unwrap();
    let renewed = office.renew(&held, &server.with_a_new_key()).unwrap();
    let standing = office.books().standings().unwrap().remove(&store()).unwrap();
    assert!(standing.good.contains(&serial(&held)) && standing.good.contains(&serial(&renewed)));
    assert_eq!(standing.awaited, Some(serial(&renewed)));
    office.note_shown(&renewed);
    let standing = office.books().standings().unwrap().remove(&store()).unwrap();
    assert_eq!((standing.good, standing.outdated), (vec![serial(&renewed)], vec![serial(&held)]));
}

#[test]
fn an_expired_certificate_is_recovered_by_the_bound_key_so_often_and_no_more() {
    let mut office = Office::open();
    let mut server = Server::new();
    let held = office.enrol(&server, &office.token()).unwrap();
    let early = server.with_a_new_key();
    assert_eq!(office.recover(&early, &server), Err(RefusalCode::IdentityMissing), "it is still good");
    assert_eq!(office.shut(), None, "a fast clock is no second holder");
    let mut ends = held.not_after;
    for _ in 0..2 {
        office.now = UnixMillis(ends.0 + DAY);
        let next = server.with_a_new_key();
        assert_eq!(office.recover(&next, &Server::new()), Err(RefusalCode::ProofRefused));
        let recovered = office.recover(&next, &server).unwrap();
        assert_eq!(office.recover(&next, &server).unwrap(), recovered, "asked again, and not counted twice");
        ends = recovered.not_after;
        server = next;
    }
    office.now = UnixMillis(ends.0 + DAY);
    assert_eq!(office.recover(&server.with_a_new_key(), &server), Err(RefusalCode::RecoveriesUsedUp));
    // A new enrolment counts from the start.
    let again =
        office.enrol(&Server { key: KeyPair::generate().unwrap(), ..server }, &office.token()).unwrap();
    assert!(again.not_after > office.now);
}

#[test]
fn a_nonce_is_good_for_minutes() {
    let mut office = Office::open();
    let server = Server::new();
    let held = office.enrol(&server, &office.token()).unwrap();
    office.now = UnixMillis(held.not_after.0 + DAY);
    let nonce = office.nonce();
    office.pass(6 * MINUTE);
    let next = server.with_a_new_key();
    assert_eq!(office.recover_with(nonce, &next, &server), Err(RefusalCode::NonceRefused));
    assert_eq!(office.recover_with(Nonce([0; 56]), &next, &server), Err(RefusalCode::NonceRefused));
    office.recover(&next, &server).unwrap();
}

#[test]
fn two_that_renew_one_certificate_are_both_shut_out() {
    let office = Office::open();
    let server = Server::new();
    let held = office.enrol(&server, &office.token()).unwrap();
    let renewed = office.renew(&held, &server.with_a_new_key()).unwrap();
    assert_eq!(office.renew(&held, &Server::new()), Err(RefusalCode::CertificateSuperseded));
    assert_eq!(office.shut(), Some(Shut::Quarantined));
    assert_eq!(office.renew(&renewed, &Server::new()), Err(RefusalCode::StoreQuarantined));
    office.books().choose(&store(), &serial(&renewed)).unwrap().unwrap();
    assert_eq!(office.shut(), None);
    assert_eq!(office.renew(&held, &Server::new()), Err(RefusalCode::CertificateSuperseded));
    assert_eq!(office.shut(), None, "who was not chosen can't shut out who was");
    office.renew(&renewed, &server.with_a_new_key()).unwrap();
}

#[test]
fn two_that_recover_by_one_bound_key_are_both_shut_out() {
    let mut office = Office::open();
    let server = Server::new();
    let held = office.enrol(&server, &office.token()).unwrap();
    office.now = UnixMillis(held.not_after.0 + DAY);
    office.recover(&server.with_a_new_key(), &server).unwrap();
    assert_eq!(office.recover(&server.with_a_new_key(), &server), Err(RefusalCode::CertificateSuperseded));
    assert_eq!(office.shut(), Some(Shut::Quarantined));
}

#[test]
fn another_machine_in_the_stores_place_ends_what_was_there() {
    let office = Office::open();
    let old = office.enrol(&Server::new(), &office.token()).unwrap();
    let new = office.enrol(&Server::new(), &office.token()).unwrap();
    let standing = office.books().standings().unwrap().remove(&store()).unwrap();
    assert_eq!((standing.good, standing.outdated), (vec![serial(&new)], vec![]));
    assert_eq!(office.renew(&old, &Server::new()), Err(RefusalCode::CertificateSuperseded));
    assert_eq!(office.shut(), None, "head office has made the token: that is no second holder");
}

#[test]
fn a_certificate_issued_by_hand_is_renewed_into_the_books() {
    let office = Office::open();
    let folder = tempfile::tempdir().unwrap();
    office.pki().issue(&store(), STORE_DAYS, office.now).unwrap().write_to(folder.path()).unwrap();
    let shown = CertificateDer::from_pem_file(folder.path().join("store.pem")).unwrap();
    let server = Server::new();
    let csr = server.csr();
    let bound = Bound { key: server.bound_key(), signature: server.signed(&enrolment_message(&csr)) };
    let request = RenewalRequest { version: VERSION, csr, bound: Some(bound), recovery: None };
    let body = serde_json::to_string(&request).unwrap();
    let renewed = outcome(&office.ask(RENEWALS, &body, Some(&shown))).unwrap();
    assert_eq!(outcome(&office.ask(RENEWALS, &body, Some(&shown))).unwrap(), renewed);
    let good = office.books().standings().unwrap().remove(&store()).unwrap().good;
    assert!(good.contains(&serial_of(&shown).unwrap()), "until the new one is seen");
    let mut later = office;
    later.now = UnixMillis(renewed.not_after.0 + DAY);
    later.recover(&server.with_a_new_key(), &server).unwrap();
}

#[test]
fn a_revoked_store_gets_nothing_from_what_it_had() {
    let mut office = Office::open();
    let server = Server::new();
    let held = office.enrol(&server, &office.token()).unwrap();
    let waiting = office.token();
    office.books().revoke_store(&store(), office.now).unwrap();
    assert_eq!(office.shut(), Some(Shut::Revoked));
    assert_eq!(office.renew(&held, &server.with_a_new_key()), Err(RefusalCode::StoreRevoked));
    assert_eq!(office.enrol(&Server::new(), &waiting), Err(RefusalCode::TokenRevoked));
    office.now = UnixMillis(held.not_after.0 + DAY);
    assert_eq!(office.recover(&server.with_a_new_key(), &server), Err(RefusalCode::StoreRevoked));
    office.enrol(&Server::new(), &office.token()).unwrap();
    assert_eq!(office.shut(), None);
}

#[test]
fn a_request_that_was_allowed_and_not_collected_ends_with_a_revocation() {
    let office = Office::open();
    let wanted = Wanted {
        addresses: vec!["hub.example:7445".parse().unwrap()],
        store: None,
        approve: true,
        life: Duration::from_secs(3600),
    };
    let any = token::make(&mut office.books(), &office.pki(), wanted, office.now).unwrap().0;
    let server = Server::new();
    assert_eq!(office.ask(ENROLMENTS, &server.enrolment(&any), None).status, 202);
    let number = office.books().registrations().unwrap()[0].number;
    let allow = Decision::Allow { store: Some(store()) };
    office.books().decide_registration(number, &allow, office.now).unwrap().unwrap();
    office.books().revoke_store(&store(), office.now).unwrap();
    assert_eq!(office.enrol(&server, &any), Err(RefusalCode::Rejected));
}

#[test]
fn two_running_agents_shut_their_store_out() {
    let office = Office::open();
    office.enrol(&Server::new(), &office.token()).unwrap();
    let twins = Sighting::Twins { store: store(), boots: [7, 8] };
    office.books().note(&[twins], office.now).unwrap();
    assert_eq!(office.shut(), Some(Shut::Quarantined));
    let why = office.books().identities().unwrap()[0].why.clone();
    assert!(why.contains("0000000000000007") && why.contains("0000000000000008"), "{why}");
    office.books().release(&store()).unwrap();
    assert_eq!(office.shut(), None);
}

#[test]
fn a_clerk_that_was_killed_finds_what_it_had_written() {
    let mut office = Office::open();
    let token = office.token();
    let server = Server::new();
    let enrolled = office.enrol(&server, &token).unwrap();
    office.clerk = clerk(&office.folder);
    assert_eq!(office.enrol(&server, &token), Ok(enrolled));
    assert_eq!(office.enrol(&Server::new(), &token), Err(RefusalCode::TokenUsed));
}

#[test]
fn a_newer_hubs_books_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enrolment.db");
    drop(Books::open(&path).unwrap());
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    let error = Books::open(&path).unwrap_err();
    assert!(error.source.to_string().contains("run the newer hub"), "{}", error.source);
}
