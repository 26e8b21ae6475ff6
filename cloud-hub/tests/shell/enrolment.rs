//! Enrolment, renewal and revocation against a whole hub process, by a client that does what a store's installer does.

use crate::commands::Site;
use crate::mqtt_peer::{CONNACK, DISCONNECT, MqttPeer, PLAIN, connect};
use crate::peer::{PATIENCE, Peer, Shown, farewell, open, tls};
use crate::process::Running;
use rcgen::{CertificateParams, KeyPair};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use sync_protocol::enrolment::{
    BoundKey, ENROLMENTS, Enrolled, EnrolmentRequest, Fact, Machine, NONCES, Pending, Pin, RENEWALS,
    REQUEST_BYTES_MAX, Refusal, RefusalCode, RenewalRequest, Signature, Token, VERSION, enrolment_message,
};
use sync_protocol::frame::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

/// A hub with a door for enrolments and one store, S0001.
fn site() -> Site {
    let site = Site::with_a_store();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let more = "[enrolment]\nlisten = \"127.0.0.1:0\"\naddresses = [\"localhost:7445\"]\n";
    std::fs::write(site.config(), text + more).unwrap();
    site
}

/// Making a token gives exactly the token.
fn token(site: &Site, more: &[&str]) -> Token {
    site.does(&[&["token", "create"][..], more].concat()).parse().unwrap()
}

fn ca(site: &Site) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(site.path("hub/pki/ca.pem")).unwrap()
}

/// A store's server: its keys are born here.
struct Server {
    key: KeyPair,
    bound: Ed25519KeyPair,
}

impl Server {
    fn new() -> Server {
        let bound = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Server {
            key: KeyPair::generate().unwrap(),
            bound: Ed25519KeyPair::from_pkcs8(bound.as_ref()).unwrap(),
        }
    }

    fn csr(&self) -> String {
        CertificateParams::default().serialize_request(&self.key).unwrap().pem().unwrap()
    }

    fn signed(&self, message: &[u8]) -> Signature {
        Signature(self.bound.sign(message).as_ref().try_into().unwrap())
    }

    fn enrolment(&self, token: &Token) -> String {
        let csr = self.csr();
        let request = EnrolmentRequest {
            version: VERSION,
            secret: token.secret,
            store: token.store.clone(),
            bound_key: BoundKey(self.bound.public_key().as_ref().try_into().unwrap()),
            bound_signature: self.signed(&enrolment_message(&csr)),
            csr,
            machine: Machine { hostname: Fact::clipped("srv-0042"), ..Machine::default() },
        };
        serde_json::to_string(&request).unwrap()
    }

    fn renewal(&self) -> String {
        let request = RenewalRequest { version: VERSION, csr: self.csr(), bound: None, recovery: None };
        serde_json::to_string(&request).unwrap()
    }

    /// As it is shown in a handshake.
    fn shown(&self, enrolled: &Enrolled) -> Shown {
        let chain = CertificateDer::pem_slice_iter(enrolled.certificate.as_bytes());
        Shown {
            chain: chain.map(Result::unwrap).collect(),
            key: PrivateKeyDer::try_from(self.key.serialize_der()).unwrap(),
        }
    }
}

/// What the hub answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn enrolled(&self) -> Enrolled {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    fn refused(&self) -> RefusalCode {
        let refusal: Refusal = serde_json::from_str(&self.body).unwrap();
        assert_eq!(self.status, refusal.code.status(), "{}", self.body);
        refusal.code
    }
}

async fn ask(hub: &Running, shown: Option<Shown>, path: &str, body: &str) -> Answer {
    try_ask(hub.address("enrolment"), ca(&hub.site), shown, path, body).await.unwrap()
}

async fn try_ask(
    hub: SocketAddr,
    ca: CertificateDer<'static>,
    shown: Option<Shown>,
    path: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let asking = async {
        let tcp = TcpStream::connect(hub).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = TlsConnector::from(Arc::new(tls(None, ca, shown))).connect(name, tcp).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        tls.write_all(format!("{head}{body}").as_bytes()).await?;
        // What the socket had no room for at once waits in the session until it is flushed.
        tls.flush().await?;
        let mut answer = String::new();
        tls.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Ok(Answer { status, body: body.to_owned() })
    };
    timeout(PATIENCE, asking).await.expect("the hub answers")
}

async fn enrol(hub: &Running, server: &Server, token: &Token) -> Answer {
    ask(hub, None, ENROLMENTS, &server.enrolment(token)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_makes_one_machine_a_store_and_nobody_else() {
    let hub = Running::on(site());
    let token = token(&hub.site, &["--store", "S0001"]);
    let server = Server::new();
    let enrolled = enrol(&hub, &server, &token).await.enrolled();
    assert_eq!(enrolled.store.as_str(), "S0001");
    assert_eq!(enrolled.ca, std::fs::read_to_string(hub.site.path("hub/pki/ca.pem")).unwrap());
    assert_eq!(enrolled.pickup_key.len(), 64);
    let shown = server.shown(&enrolled);
    let connection = Peer::new(ca(&hub.site), Some(shown)).connect(hub.address("quic")).await;
    let _state = open(&connection, Stream::State).await;

    let again = enrol(&hub, &server, &token).await.enrolled();
    assert_eq!(again, enrolled, "a lost answer strands nobody");
    assert_eq!(enrol(&hub, &Server::new(), &token).await.refused(), RefusalCode::TokenUsed);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_race_for_one_token_one_wins() {
    let hub = Running::on(site());
    let token = token(&hub.site, &["--store", "S0001"]);
    let servers: Vec<Server> = (0..8).map(|_| Server::new()).collect();
    let racing = servers.iter().map(|server| enrol(&hub, server, &token));
    let answers = futures_util::future::join_all(racing).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(won, 1, "{answers:?}");
    let lost = answers.iter().filter(|answer| answer.status != 200);
    assert!(lost.map(Answer::refused).all(|code| code == RefusalCode::TokenUsed));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_for_this_are_told_so() {
    let hub = Running::on(site());
    hub.site.add_store("S0002");
    let good = token(&hub.site, &["--store", "S0001"]);

    let mut tampered = good.clone();
    tampered.secret.0[0] ^= 1;
    assert_eq!(enrol(&hub, &Server::new(), &tampered).await.refused(), RefusalCode::TokenUnknown);
    let other_store = Token { store: Some("S0002".parse().unwrap()), ..good.clone() };
    assert_eq!(enrol(&hub, &Server::new(), &other_store).await.refused(), RefusalCode::TokenOtherStore);

    let mut foreign_proof: EnrolmentRequest = serde_json::from_str(&Server::new().enrolment(&good)).unwrap();
    foreign_proof.bound_key = BoundKey([7; 32]);
    let body = serde_json::to_string(&foreign_proof).unwrap();
    assert_eq!(ask(&hub, None, ENROLMENTS, &body).await.refused(), RefusalCode::ProofRefused);

    let withdrawn = token(&hub.site, &["--store", "S0001"]);
    let listed = hub.site.does(&["token", "list"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let ids: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    ids.iter().for_each(|id| drop(hub.site.does(&["token", "revoke", id])));
    assert_eq!(enrol(&hub, &Server::new(), &withdrawn).await.refused(), RefusalCode::TokenRevoked);
    let said = hub.site.fails(1, &["token", "revoke", ids[0]]);
    assert!(said.contains("no open token"), "{said}");
    let said = hub.site.fails(1, &["token", "create", "--store", "S0077"]);
    assert!(said.contains("store add"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_and_bounded() {
    let hub = Running::on(site());
    for body in ["", "{", "[]", "{\"version\":1,\"secret\":\"hunter2\"}"] {
        let answer = ask(&hub, None, ENROLMENTS, body).await;
        assert_eq!(answer.refused(), RefusalCode::BadRequest);
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    }
    let long = " ".repeat(REQUEST_BYTES_MAX + 1);
    assert_eq!(ask(&hub, None, ENROLMENTS, &long).await.refused(), RefusalCode::BadRequest);
    assert_eq!(ask(&hub, None, "/v1/stores", "").await.refused(), RefusalCode::NotFound);
    assert_eq!(
        ask(&hub, None, RENEWALS, &Server::new().renewal()).await.refused(),
        RefusalCode::IdentityMissing
    );
    assert_eq!(ask(&hub, None, NONCES, "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_is_known_by_the_pin_of_the_token() {
    let hub = Running::on(site());
    let token = token(&hub.site, &["--store", "S0001"]);
    assert_eq!(token.addresses[0].to_string(), "localhost:7445");
    let tcp = TcpStream::connect(hub.address("enrolment")).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(tls(None, ca(&hub.site), None)));
    let connected = connector.connect(name, tcp).await.unwrap();
    let chain = connected.get_ref().1.peer_certificates().unwrap();
    let pin = Pin(digest(&SHA256, chain.last().unwrap()).as_ref().try_into().unwrap());
    assert_eq!(pin, token.pin, "the authority's certificate is the last of the chain");

    // Another hub's authority is no substitute, whatever its name.
    let other = site();
    let refused = try_ask(hub.address("enrolment"), ca(&other), None, NONCES, "").await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_dies_between_commit_and_answer_has_lost_nothing() {
    let hub = Running::on(site());
    let token = token(&hub.site, &["--store", "S0001"]);
    let server = Server::new();
    let tcp = TcpStream::connect(hub.address("enrolment")).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(tls(None, ca(&hub.site), None)));
    let mut line = connector.connect(name, tcp).await.unwrap();
    let body = server.enrolment(&token);
    let head = format!("POST {ENROLMENTS} HTTP/1.1\r\nHost: hub\r\nContent-Length: {}\r\n\r\n", body.len());
    line.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    line.flush().await.unwrap();
    // The answer is never read; the hub dies once the token is written down as used.
    let mut hub = hub;
    hub.wait(|hub| hub.site.does(&["token", "list"]).contains(" used "));
    hub.tell("-KILL");
    let hub = hub.again();
    let enrolled = enrol(&hub, &server, &token).await.enrolled();
    let shown = hub.site.does(&["store", "show", "S0001"]);
    assert_eq!(shown.matches("by enrolment").count(), 1, "the one that was written down: {shown}");
    let peer = Peer::new(ca(&hub.site), Some(server.shown(&enrolled)));
    let connection = peer.connect(hub.address("quic")).await;
    open(&connection, Stream::State).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_store_loses_its_links_at_once_and_comes_back_only_with_a_new_token() {
    let site = site();
    site.add_store("S0002");
    let mut hub = Running::on(site);
    let mut stores = Vec::new();
    for id in ["S0001", "S0002"] {
        let server = Server::new();
        let early = token(&hub.site, &["--store", id]);
        let enrolled = enrol(&hub, &server, &token(&hub.site, &["--store", id])).await.enrolled();
        stores.push((server, enrolled, early));
    }
    let by_quic = Peer::new(ca(&hub.site), Some(stores[0].0.shown(&stores[0].1)));
    let connection = by_quic.connect(hub.address("quic")).await;
    let _state = open(&connection, Stream::State).await;
    let shown = stores[1].0.shown(&stores[1].1);
    let mut by_mqtt = MqttPeer::greeted(hub.address("mqtt"), ca(&hub.site), Some(shown), None).await.unwrap();
    by_mqtt.send(&connect(PLAIN)).await;
    by_mqtt.expect(CONNACK).await;
    hub.wait(|hub| hub.get("/metrics").contains("shopsmart_hub_links 2"));

    hub.site.does(&["store", "revoke", "S0001"]);
    let (code, reason) = farewell(timeout(PATIENCE, connection.closed()).await.unwrap());
    assert_eq!(code, 9);
    assert!(reason.contains("revoked") && reason.contains("token"), "{reason}");
    hub.site.does(&["store", "revoke", "S0002"]);
    let (kind, _) = by_mqtt.packet().await.unwrap();
    assert_eq!(kind, DISCONNECT);

    // Neither can come back, nor get another certificate, nor with a token that was made before.
    assert_eq!(farewell(by_quic.refusal(hub.address("quic")).await).0, 9);
    let shown = stores[1].0.shown(&stores[1].1);
    let mut again = MqttPeer::greeted(hub.address("mqtt"), ca(&hub.site), Some(shown), None).await.unwrap();
    again.send(&connect(PLAIN)).await;
    while again.packet().await.is_ok_and(|(kind, _)| kind != DISCONNECT) {}
    hub.wait(|hub| hub.get("/metrics").contains("shopsmart_hub_links 0"));
    for (server, enrolled, early) in &stores {
        let answer = ask(&hub, Some(server.shown(enrolled)), RENEWALS, &Server::new().renewal()).await;
        assert_eq!(answer.refused(), RefusalCode::StoreRevoked);
        assert_eq!(enrol(&hub, &Server::new(), early).await.refused(), RefusalCode::TokenRevoked);
    }
    assert!(hub.get("/metrics").contains("shopsmart_hub_stores_revoked 2"));

    let fresh = Server::new();
    let enrolled = enrol(&hub, &fresh, &token(&hub.site, &["--store", "S0001"])).await.enrolled();
    let peer = Peer::new(ca(&hub.site), Some(fresh.shown(&enrolled)));
    hub.wait(|hub| hub.get("/metrics").contains("shopsmart_hub_stores_revoked 1"));
    let connection = peer.connect(hub.address("quic")).await;
    let _state = open(&connection, Stream::State).await;
    hub.wait(|hub| hub.get("/metrics").contains("shopsmart_hub_links 1"));
    let (code, reason) = farewell(by_quic.refusal(hub.address("quic")).await);
    assert!(code == 9 && reason.contains("no longer the store's"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_by_whoever_holds_it_and_by_nobody_else() {
    let hub = Running::on(site());
    let first = Server::new();
    let enrolled = enrol(&hub, &first, &token(&hub.site, &["--store", "S0001"])).await.enrolled();
    let next = Server::new();
    let answer = ask(&hub, Some(first.shown(&enrolled)), RENEWALS, &next.renewal()).await;
    let renewed = answer.enrolled();
    assert_ne!(renewed.certificate, enrolled.certificate);
    let again = ask(&hub, Some(first.shown(&enrolled)), RENEWALS, &next.renewal()).await.enrolled();
    assert_eq!(again, renewed, "a lost answer strands nobody");

    let foreign = Running::on(site());
    let stranger = Server::new();
    let theirs = enrol(&foreign, &stranger, &token(&foreign.site, &["--store", "S0001"])).await.enrolled();
    let shown = Some(stranger.shown(&theirs));
    let body = stranger.renewal();
    let refused = try_ask(hub.address("enrolment"), ca(&hub.site), shown, RENEWALS, &body).await;
    assert!(refused.is_err(), "the handshake fails: {refused:?}");
}

/// A copy of the disk that was made before the renewal still has the old certificate.
#[tokio::test(flavor = "multi_thread")]
async fn two_holders_of_one_identity_are_both_shut_out_until_head_office_chooses() {
    let mut hub = Running::on(site());
    let first = Server::new();
    let enrolled = enrol(&hub, &first, &token(&hub.site, &["--store", "S0001"])).await.enrolled();
    let next = Server::new();
    let renewed = ask(&hub, Some(first.shown(&enrolled)), RENEWALS, &next.renewal()).await.enrolled();
    let holder = Peer::new(ca(&hub.site), Some(next.shown(&renewed)));
    let connection = holder.connect(hub.address("quic")).await;
    let _state = open(&connection, Stream::State).await;
    hub.wait(|hub| hub.site.does(&["store", "show", "S0001"]).contains(" outdated,"));

    let copy = Peer::new(ca(&hub.site), Some(first.shown(&enrolled)));
    assert_eq!(farewell(copy.refusal(hub.address("quic")).await).0, 9);
    let (code, reason) = farewell(timeout(PATIENCE, connection.closed()).await.unwrap());
    assert!(code == 9 && reason.contains("must choose"), "{reason}");
    assert_eq!(farewell(holder.refusal(hub.address("quic")).await).0, 9);
    let answer = ask(&hub, Some(next.shown(&renewed)), RENEWALS, &Server::new().renewal()).await;
    assert_eq!(answer.refused(), RefusalCode::StoreQuarantined);
    hub.wait(|hub| hub.get("/metrics").contains("shopsmart_hub_stores_quarantined 1"));
    let listed = hub.site.does(&["store", "list"]);
    assert!(listed.contains("quarantined") && listed.contains("was shown after"), "{listed}");

    let shown = hub.site.does(&["store", "show", "S0001"]);
    let line = shown.lines().find(|line| line.contains(" present,")).unwrap();
    let serial = line.split(' ').nth(1).unwrap();
    hub.site.does(&["store", "choose", "S0001", "--certificate", serial]);
    hub.wait(|hub| hub.get("/metrics").contains("shopsmart_hub_stores_quarantined 0"));
    let connection = holder.connect(hub.address("quic")).await;
    let _state = open(&connection, Stream::State).await;
    hub.wait(|hub| hub.get("/metrics").contains("shopsmart_hub_links 1"));
    let (_, reason) = farewell(copy.refusal(hub.address("quic")).await);
    assert!(reason.contains("no longer the store's"), "{reason}");
    assert!(hub.get("/metrics").contains("shopsmart_hub_stores_quarantined 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_token_names_no_store_waits_for_head_office() {
    let hub = Running::on(site());
    let any = token(&hub.site, &["--any-store"]);
    let (welcome, unwelcome) = (Server::new(), Server::new());
    let mut numbers = Vec::new();
    for server in [&welcome, &unwelcome, &welcome] {
        let answer = enrol(&hub, server, &any).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        numbers.push(serde_json::from_str::<Pending>(&answer.body).unwrap().registration);
    }
    assert_eq!(numbers[0], numbers[2], "asking again is no new request");
    let listed = hub.site.does(&["registration", "list"]);
    assert!(listed.lines().count() == 2 && listed.contains("srv-0042"), "{listed}");

    let said = hub.site.fails(1, &["registration", "allow", &numbers[0]]);
    assert!(said.contains("--store"), "{said}");
    hub.site.does(&["registration", "allow", &numbers[0], "--store", "S0001"]);
    hub.site.does(&["registration", "reject", &numbers[1]]);
    assert_eq!(enrol(&hub, &unwelcome, &any).await.refused(), RefusalCode::Rejected);
    assert_eq!(enrol(&hub, &welcome, &any).await.enrolled().store.as_str(), "S0001");
    assert_eq!(hub.site.does(&["registration", "list"]), "");

    let asked = token(&hub.site, &["--store", "S0001", "--approve"]);
    assert_eq!(enrol(&hub, &Server::new(), &asked).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn expected_stores_that_were_never_seen_are_listed() {
    let site = site();
    site.add_store("S0002");
    let listed = site.does(&["store", "list", "--never-seen"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.lines().all(|line| line.contains("never seen, not enrolled: Broadway")), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_connect_and_say_nothing_keep_nobody_out() {
    let hub = Running::on(site());
    let token = token(&hub.site, &["--store", "S0001"]);
    let mut silent = Vec::new();
    for _ in 0..800 {
        silent.push(TcpStream::connect(hub.address("enrolment")).await.unwrap());
    }
    enrol(&hub, &Server::new(), &token).await.enrolled();
    assert_eq!(silent.len(), 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_on_a_command_line_in_a_log_or_in_the_books() {
    let site = site();
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), text + "[log]\nlevel = \"info,cloud_hub=debug\"\n").unwrap();
    let mut hub = Running::on(site);
    let file = hub.site.path("token");
    let said = hub.site.does(&["token", "create", "--store", "S0001", "--out", file.to_str().unwrap()]);
    assert_eq!(said, "");
    let text = std::fs::read_to_string(&file).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let token: Token = text.parse().unwrap();
    let server = Server::new();
    enrol(&hub, &server, &token).await.enrolled();
    enrol(&hub, &Server::new(), &token).await.refused();
    let body = server.enrolment(&token);
    ask(&hub, None, ENROLMENTS, &body[..body.len() / 2]).await.refused();
    assert!(hub.tell("-TERM").success());
    let log = hub.said();
    assert!(log.contains("a certificate was given out") && log.contains("token_used"), "{log}");
    let secret = serde_json::to_value(token.secret).unwrap();
    let books = std::fs::read(hub.site.path("hub/enrolment.db")).unwrap();
    for shown in [log.as_bytes(), &books] {
        for secret in [text.trim().as_bytes(), secret.as_str().unwrap().as_bytes(), &token.secret.0] {
            assert!(!shown.windows(secret.len()).any(|window| window == secret));
        }
    }
}

/// The rate on this machine is printed; that so many are let through is what is held.
#[tokio::test(flavor = "multi_thread")]
async fn many_stores_enrol_at_once() {
    const STORES: usize = 90;
    let site = site();
    let mut books = cloud_hub::enrol::books::Books::open(&site.path("hub/enrolment.db")).unwrap();
    let mut storage = cloud_hub::storage::sqlite::Sqlite::open(&site.path("hub/hub.db")).unwrap();
    let pki = cloud_hub::enrol::ca::Pki::open(&site.path("hub/pki")).unwrap();
    let mut tokens = Vec::new();
    for at in 0..STORES {
        let id: sync_protocol::StoreId = format!("S{:04}", at + 100).parse().unwrap();
        let info = cloud_hub::availability::StoreInfo {
            id: id.clone(),
            name: "Broadway".to_owned(),
            lat: 40.7,
            lon: -74.0,
            timezone: "America/New_York".to_owned(),
        };
        cloud_hub::storage::Storage::put_store(&mut storage, &info).unwrap();
        let wanted = cloud_hub::enrol::token::Wanted {
            addresses: vec!["localhost:7445".parse().unwrap()],
            store: Some(id),
            approve: false,
            life: std::time::Duration::from_secs(600),
        };
        let now = cloud_hub::runtime::clock::Clock::start().wall();
        tokens.push(cloud_hub::enrol::token::make(&mut books, &pki, wanted, now).unwrap().0);
    }
    drop((books, storage));
    let hub = Running::on(site);
    let servers: Vec<Server> = tokens.iter().map(|_| Server::new()).collect();
    let began = Instant::now();
    let asking = servers.iter().zip(&tokens).map(|(server, token)| enrol(&hub, server, token));
    let answers = futures_util::future::join_all(asking).await;
    let took = began.elapsed();
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    println!(
        "{STORES} stores enrolled in {took:?}: {:.0} a minute",
        STORES as f64 * 60.0 / took.as_secs_f64()
    );
}
