//! The courier with real parts: SQLite files, sockets, TLS. Only the clock is moved by hand.

use super::*;
use crate::storage::sqlite::Sqlite;
use crate::storage::{Changes, OrderEvent, Storage};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicI64, Ordering};
use sync_protocol::order::OrderId;
use tokio::net::TcpListener;
use tokio::sync::Notify;

const NOON: i64 = 1_793_534_400_000;
const SECRETS: &str =
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\n";
const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;

/// What a receiver does with the next request; after the last it takes everything.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Say(u16),
    /// Takes the request, and answers nothing.
    Hang,
    /// 302 to itself.
    Redirect,
    /// 200 with a body that never ends.
    Flood,
}

#[derive(Debug, Clone)]
struct Got {
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Seen {
    script: Mutex<VecDeque<Act>>,
    got: Mutex<Vec<Got>>,
    never: Notify,
}

/// A real HTTP server.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Receiver {
    async fn open(script: impl IntoIterator<Item = Act>) -> Receiver {
        let seen = Arc::new(Seen { script: Mutex::new(script.into_iter().collect()), ..Seen::default() });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(receive).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Receiver { address, seen }
    }

    fn got(&self) -> Vec<Got> {
        self.seen.got.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.got().len()
    }
}

async fn receive(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    seen.got.lock().unwrap().push(Got { headers, body });
    let act = seen.script.lock().unwrap().pop_front().unwrap_or(Act::Say(204));
    let response = Response::builder();
    match act {
        Act::Say(status) => response.status(status).body(Body::from("so it is")).unwrap(),
        Act::Redirect => response.status(302).header("location", "/elsewhere").body(Body::empty()).unwrap(),
        Act::Flood => {
            let endless = futures_util::stream::repeat_with(|| {
                Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 65_536]))
            });
            response.status(StatusCode::OK).body(Body::from_stream(endless)).unwrap()
        }
        Act::Hang => {
            seen.never.notified().await;
            Response::new(Body::empty())
        }
    }
}

/// A hub's data folder with an outbox, and a courier on it whose clock is moved by hand.
struct Town {
    folder: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    settings: String,
    courier: Option<Courier>,
    events: u64,
}

impl Town {
    fn with(settings: &str) -> Town {
        let folder = tempfile::tempdir().unwrap();
        drop(Sqlite::open(&folder.path().join("hub.db")).unwrap());
        for (name, text) in [("secrets", SECRETS), ("token", "pay-token\n")] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let clock = Arc::new(AtomicI64::new(NOON));
        let mut town = Town { folder, clock, settings: settings.to_owned(), courier: None, events: 0 };
        town.restart();
        town
    }

    fn webhook(address: SocketAddr) -> Town {
        Town::with(&webhook("shop", address, true))
    }

    fn payment(address: SocketAddr) -> Town {
        Town::with(&format!(
            "[payment]\nurl = 'http://{address}/steps'\ntoken_file = 'token'\ntimeout_s = 1\n\
             allow_private_addresses = true\n"
        ))
    }

    /// As after a crash: what was under way is lost, the files are read again.
    fn restart(&mut self) {
        self.courier = None;
        let text = format!("data_dir = '.'\n{}", self.settings);
        let config = Config::parse(&text, &self.folder.path().join("hub.toml")).unwrap();
        let clock = Arc::clone(&self.clock);
        let clock: Clock = Arc::new(move || UnixMillis(clock.load(Ordering::SeqCst)));
        self.courier = Some(Courier::open(&config, clock, CourierMetrics::default()).unwrap());
    }

    fn courier(&self) -> &Courier {
        self.courier.as_ref().unwrap()
    }

    fn pass(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::SeqCst);
    }

    /// Writes an event as the core would, and gives its id.
    fn happens(&mut self, kind: &str, body: &Value) -> String {
        self.events += 1;
        let id = format!("birth-{}", self.events);
        self.writes(&id, kind, body);
        id
    }

    fn writes(&self, id: &str, kind: &str, body: &Value) {
        let now = UnixMillis(self.clock.load(Ordering::SeqCst));
        let event = OrderEvent {
            id: id.to_owned(),
            at: now,
            recorded_at: now,
            kind: kind.to_owned(),
            order: OrderId::from_number(7).unwrap(),
            payment_reference: Some("psp-7".to_owned()),
            body: body.to_string(),
        };
        let mut storage = Sqlite::open(&self.folder.path().join("hub.db")).unwrap();
        storage.commit(&Changes { events: vec![event], ..Changes::default() }).unwrap();
    }

    /// Of one line of milk.
    fn stands(&mut self, status: &str, picked: f64, handed_over: f64) -> String {
        let line =
            json!({"sku": "milk", "ordered": 3, "picked": picked, "short": 0, "handed_over": handed_over});
        let body = json!({"order": "o", "part": "p", "store": "S1", "status": status, "lines": [line]});
        self.happens(&format!("order.{status}"), &body)
    }

    fn closes(&mut self) -> String {
        self.happens("order.closed", &json!({"order": "o", "status": "closed", "parts": []}))
    }

    /// Sends everything that is due by now, over all endpoints.
    async fn settle(&self) {
        for at in 0..self.courier().inner.endpoints.len() {
            while self.courier().round(at).await.unwrap() {}
        }
    }

    async fn standing(&self) -> Standing {
        self.courier().webhooks().await.unwrap().remove(0)
    }

    async fn dead(&self) -> Vec<DeadLetter> {
        self.courier().dead_letters(0, 100).await.unwrap()
    }
}

fn webhook(name: &str, address: SocketAddr, allow_private: bool) -> String {
    let scheme = if allow_private { "http" } else { "https" };
    format!(
        "[[webhook]]\nname = '{name}'\nurl = '{scheme}://{address}/hook?a=b'\nsecrets_file = 'secrets'\n\
         allow_private_addresses = {allow_private}\n"
    )
}

/// HMAC-SHA256 by its definition (RFC 2104), beside the library's that the courier uses.
fn hmac_by_hand(secret: &[u8], message: &[u8]) -> String {
    let sha256 = |parts: &[&[u8]]| {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        parts.iter().for_each(|part| context.update(part));
        context.finish().as_ref().to_vec()
    };
    let mut key = secret.to_vec();
    key.resize(64, 0);
    let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    STANDARD.encode(sha256(&[&pad(0x5c), &sha256(&[&pad(0x36), message])]))
}

#[tokio::test]
async fn a_webhook_is_a_signed_cloud_event() {
    let receiver = Receiver::open([]).await;
    let mut town = Town::webhook(receiver.address);
    let id = town.stands("ready", 2.5, 0.0);
    town.settle().await;
    let got = receiver.got().remove(0);
    assert_eq!(got.header("content-type"), "application/cloudevents+json");
    assert_eq!((got.header("webhook-id"), got.header("webhook-timestamp")), (id.as_str(), "1793534400"));
    let signed = [format!("{id}.1793534400.").as_bytes(), &got.body[..]].concat();
    let secrets: Vec<Vec<u8>> =
        SECRETS.lines().map(|line| STANDARD.decode(line.trim_start_matches("whsec_")).unwrap()).collect();
    let expected: Vec<String> =
        secrets.iter().map(|secret| format!("v1,{}", hmac_by_hand(secret, &signed))).collect();
    assert_eq!(got.header("webhook-signature"), expected.join(" "), "one for each secret");
    let event = got.json();
    assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!(id)));
    assert_eq!((&event["type"], &event["time"]), (&json!("order.ready"), &json!("2026-11-01T12:00:00Z")));
    assert_eq!(event["data"]["lines"][0]["picked"], 2.5);
    assert!(!String::from_utf8_lossy(&got.body).contains("psp-7"));
    let standing = town.standing().await;
    assert_eq!((standing.waiting, standing.last_success), (0, Some(UnixMillis(NOON))));
    assert_eq!(standing.host, receiver.address.to_string());
}

#[tokio::test]
async fn a_receiver_that_is_down_for_an_hour_gets_everything_under_the_same_ids() {
    let receiver = Receiver::open([Act::Say(503), Act::Say(500), Act::Redirect]).await;
    let mut town = Town::webhook(receiver.address);
    let id = town.stands("ready", 2.0, 0.0);
    for wait in [0, 6 * SECOND, 360 * SECOND] {
        town.pass(wait);
        town.settle().await;
    }
    assert_eq!(receiver.count(), 3);
    town.settle().await;
    assert_eq!(receiver.count(), 3, "its time has not come");
    let later = town.stands("collected", 2.0, 2.0);
    town.settle().await;
    assert_eq!(receiver.count(), 4, "what is new does not wait for what failed");
    town.pass(HOUR);
    town.settle().await;
    let ids: Vec<String> = receiver.got().iter().map(|got| got.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, [&id, &id, &id, &later, &id].map(Clone::clone));
    let got = receiver.got();
    assert_eq!(got[0].body, got[4].body);
    assert_ne!(got[0].header("webhook-timestamp"), got[4].header("webhook-timestamp"));
    assert_eq!(town.standing().await.waiting, 0);
}

#[tokio::test]
async fn an_answer_without_end_is_an_answer() {
    let receiver = Receiver::open([Act::Flood]).await;
    let mut town = Town::webhook(receiver.address);
    town.stands("ready", 2.0, 0.0);
    town.settle().await;
    assert_eq!((receiver.count(), town.standing().await.waiting), (1, 0));
}

#[tokio::test]
async fn who_wants_nothing_more_gets_nothing_more_until_a_replay() {
    let receiver = Receiver::open([Act::Say(204), Act::Say(410)]).await;
    let mut town = Town::webhook(receiver.address);
    let first = town.stands("ready", 2.0, 0.0);
    town.settle().await;
    let second = town.stands("collected", 2.0, 2.0);
    town.settle().await;
    let third = town.closes();
    town.pass(24 * HOUR);
    town.settle().await;
    assert_eq!((receiver.count(), town.standing().await.disabled), (2, true));
    assert_eq!(town.courier().replay("shop", From::Event("other".to_owned())).await.unwrap(), Some(false));
    assert!(town.standing().await.disabled);
    assert_eq!(town.courier().replay("shop", From::Event(first.clone())).await.unwrap(), Some(true));
    town.settle().await;
    let mut ids: Vec<String> =
        receiver.got()[2..].iter().map(|got| got.header("webhook-id").to_owned()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [first, second, third], "also what had been delivered");
    assert!(!town.standing().await.disabled);
    assert_eq!(town.courier().replay("nobody", From::Time(UnixMillis(0))).await.unwrap(), None);
    town.pass(SECOND);
    let from_now = UnixMillis(NOON + 24 * HOUR + SECOND);
    assert_eq!(town.courier().replay("shop", From::Time(from_now)).await.unwrap(), Some(true));
    town.settle().await;
    assert_eq!(receiver.count(), 5, "nothing is that new");
}

#[tokio::test]
async fn an_address_of_ones_own_network_is_refused_before_anything_is_sent() {
    let receiver = Receiver::open([]).await;
    let mut town = Town::with(&webhook("shop", receiver.address, false));
    town.stands("ready", 2.0, 0.0);
    town.settle().await;
    assert_eq!((receiver.count(), town.standing().await.waiting), (0, 1));
    for _ in 0..10 {
        town.pass(48 * HOUR);
        town.settle().await;
    }
    let letter = town.dead().await.remove(0);
    assert_eq!((letter.attempts, letter.endpoint.as_str()), (10, "webhook/shop"));
    assert!(letter.last_error.contains("no public address"), "{}", letter.last_error);
}

#[tokio::test]
async fn a_dead_letter_is_listed_inspected_and_retried() {
    let receiver = Receiver::open([Act::Say(500); 10]).await;
    let mut town = Town::webhook(receiver.address);
    let id = town.stands("ready", 2.0, 0.0);
    for _ in 0..10 {
        town.settle().await;
        town.pass(48 * HOUR);
    }
    assert_eq!(receiver.count(), 10);
    let letter = town.dead().await.remove(0);
    assert_eq!(
        (letter.task.as_str(), letter.kind.as_str(), letter.attempts),
        (id.as_str(), "order.ready", 10)
    );
    assert_eq!(letter.last_error, "500 Internal Server Error: so it is");
    assert_eq!(letter.body.as_bytes(), receiver.got()[0].body);
    assert_eq!(town.courier().retry(letter.id).await.unwrap().unwrap(), letter);
    assert_eq!(town.courier().retry(letter.id).await.unwrap(), None);
    town.settle().await;
    assert_eq!((receiver.count(), town.dead().await.len()), (11, 0));
    assert_eq!(receiver.got()[10].header("webhook-id"), id);
}

/// Cut short while the receiver holds the request: it is sent again, with the same id, and what came after it as well.
#[tokio::test]
async fn what_a_crash_cuts_short_is_sent_again() {
    let receiver = Receiver::open([Act::Hang]).await;
    let mut town = Town::webhook(receiver.address);
    let first = town.stands("ready", 2.0, 0.0);
    let courier = town.courier().clone();
    let under_way = tokio::spawn(async move { courier.round(0).await.map(drop) });
    while receiver.count() == 0 {
        tokio::task::yield_now().await;
    }
    under_way.abort();
    drop(under_way.await);
    let second = town.stands("collected", 2.0, 2.0);
    town.restart();
    town.settle().await;
    let mut ids: Vec<String> = receiver.got().iter().map(|got| got.header("webhook-id").to_owned()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [first.clone(), first, second]);
    town.restart();
    town.settle().await;
    assert_eq!(receiver.count(), 3, "nothing is sent for nothing");
}

#[tokio::test]
async fn lost_books_and_a_restored_hub_cost_repeats_and_lose_nothing() {
    let receiver = Receiver::open([]).await;
    let mut town = Town::webhook(receiver.address);
    let first = town.stands("ready", 2.0, 0.0);
    town.settle().await;
    let backup = town.folder.path().join("backup.db");
    let hub = Sqlite::open(&town.folder.path().join("hub.db")).unwrap();
    hub.connection().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    drop(hub);
    let second = town.stands("collected", 2.0, 2.0);
    town.settle().await;
    town.courier = None;
    // The hub is put back to before the second event and goes on otherwise, in the same place of its sequence.
    std::fs::copy(&backup, town.folder.path().join("hub.db")).unwrap();
    town.writes("reborn-1", "order.cancelled", &json!({"status": "cancelled"}));
    town.restart();
    town.settle().await;
    let ids = |receiver: &Receiver| -> Vec<String> {
        receiver.got().iter().map(|got| got.header("webhook-id").to_owned()).collect()
    };
    assert_eq!(ids(&receiver), [first.clone(), second.clone(), "reborn-1".to_owned()]);
    town.courier = None;
    for file in ["courier.db", "courier.db-wal", "courier.db-shm"] {
        std::fs::remove_file(town.folder.path().join(file)).ok();
    }
    town.restart();
    town.settle().await;
    let mut again = ids(&receiver)[3..].to_vec();
    again.sort_unstable();
    assert_eq!(again, [first, "reborn-1".to_owned()]);
}

#[tokio::test]
async fn one_that_hangs_holds_up_nobody_else() {
    let (hanging, quick) = (Receiver::open([Act::Hang; 100]).await, Receiver::open([]).await);
    let both = webhook("hanging", hanging.address, true) + &webhook("quick", quick.address, true);
    let mut town = Town::with(&both);
    for _ in 0..20 {
        town.stands("ready", 2.0, 0.0);
    }
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(town.courier().clone().run(stopped));
    while quick.count() < 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(hanging.count() <= UNDER_WAY_MAX, "{}", hanging.count());
    stop.send_replace(true);
    running.await.unwrap();
}

#[tokio::test]
async fn payment_steps_of_an_order_come_one_by_one_and_in_order() {
    let receiver = Receiver::open([Act::Say(500), Act::Hang, Act::Say(409)]).await;
    let mut town = Town::payment(receiver.address);
    town.stands("picking", 1.0, 0.0);
    let ready = town.stands("ready", 3.0, 0.0);
    let collected = town.stands("collected", 2.0, 2.0);
    town.closes();
    for sent in 1..=3 {
        town.settle().await;
        assert_eq!(receiver.count(), sent, "the refund waits for the capture");
        town.pass(60 * SECOND);
    }
    town.settle().await;
    let got = receiver.got();
    assert_eq!(got.len(), 5);
    let keys: Vec<&str> = got.iter().map(|got| got.header("idempotency-key")).collect();
    let (capture, refund) = (format!("{ready}-capture"), format!("{collected}-refund"));
    assert_eq!(keys, [&capture, &capture, &capture, &capture, &refund]);
    assert_eq!(got[0].header("authorization"), "Bearer pay-token");
    let step = |step: u32, action: &str, quantity: u32| {
        json!({"step": step, "action": action, "payment_reference": "psp-7", "part": "p", "store": "S1",
            "order": OrderId::from_number(7).unwrap().to_string(), "lines": [{"sku": "milk", "quantity": quantity}]})
    };
    assert_eq!((got[3].json(), got[4].json()), (step(1, "capture", 3), step(2, "refund", 1)));
    assert!(town.dead().await.is_empty());
}

#[tokio::test]
async fn an_order_that_was_never_captured_is_voided_once() {
    let receiver = Receiver::open([]).await;
    let mut town = Town::payment(receiver.address);
    town.stands("refused", 1.0, 0.0);
    town.closes();
    town.settle().await;
    let steps: Vec<Value> = receiver.got().iter().map(|got| got.json()["action"].clone()).collect();
    assert_eq!(steps, ["void"]);
    town.restart();
    town.settle().await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_step_that_is_refused_is_a_dead_letter_and_holds_back_the_next() {
    let receiver = Receiver::open([Act::Say(422)]).await;
    let mut town = Town::payment(receiver.address);
    town.stands("ready", 3.0, 0.0);
    town.settle().await;
    town.stands("cancelled", 3.0, 0.0);
    town.pass(HOUR);
    town.settle().await;
    assert_eq!(receiver.count(), 1);
    let letter = town.dead().await.remove(0);
    assert_eq!((letter.kind.as_str(), letter.attempts), ("capture", 1));
    town.courier().retry(letter.id).await.unwrap();
    town.settle().await;
    let actions: Vec<Value> = receiver.got().iter().map(|got| got.json()["action"].clone()).collect();
    assert_eq!(actions, ["capture", "capture", "refund"]);
}

#[tokio::test]
async fn a_service_that_is_down_is_left_alone_for_a_while() {
    let receiver = Receiver::open([Act::Say(500); 9]).await;
    let mut town = Town::with(&format!(
        "[notification]\nurl = 'http://{}/'\nallow_private_addresses = true\nopen_after_failures = 3\nopen_s = 600\n",
        receiver.address
    ));
    for _ in 0..3 {
        town.stands("ready", 3.0, 0.0);
    }
    town.stands("picking", 3.0, 0.0);
    town.settle().await;
    assert_eq!(receiver.count(), 3, "and nothing of the picking");
    let order = OrderId::from_number(7).unwrap().to_string();
    assert_eq!(receiver.got()[0].json(), json!({"event": "order.ready", "order": order}));
    town.pass(599 * SECOND);
    town.settle().await;
    assert_eq!(receiver.count(), 3, "the circuit is open");
    town.pass(2 * SECOND);
    town.settle().await;
    assert_eq!(receiver.count(), 4, "one to see whether it is back");
    receiver.seen.script.lock().unwrap().clear();
    town.pass(601 * SECOND);
    town.settle().await;
    assert_eq!(receiver.count(), 7);
}

#[tokio::test]
async fn over_tls_only_whom_an_authority_vouches_for_is_told() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], rustls::pki_types::PrivateKeyDer::Pkcs8(key.into()))
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("localhost", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut head = [0; 4096];
            drop(stream.read(&mut head).await);
            drop(stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await);
            drop(stream.shutdown().await);
        }
    });
    let url = HttpUrl { is_tls: true, host: "localhost".to_owned(), port, path: "/".to_owned() };
    let message = || Message { headers: Vec::new(), body: "{}".to_owned() };
    let patience = Duration::from_secs(10);
    let known = Poster::with_authorities([certificate]);
    assert_eq!(known.post(&url, true, message(), patience).await.status, Some(204));
    let stranger = Poster::with_authorities([]).post(&url, true, message(), patience).await;
    assert!(stranger.status.is_none() && stranger.words.contains("TLS"), "{stranger:?}");
}

#[tokio::test]
async fn a_kind_of_event_that_nobody_knows_is_refused_at_the_start() {
    let town = Town::with("");
    let text = "data_dir = '.'\n[[webhook]]\nname = 'a'\nurl = 'https://a.example'\nsecrets_file = 'secrets'\nevents = ['order.redy']";
    let config = Config::parse(text, &town.folder.path().join("hub.toml")).unwrap();
    let refused = Courier::open(&config, Arc::new(|| UnixMillis(NOON)), CourierMetrics::default());
    let said = refused.err().unwrap().to_string();
    assert!(said.contains("`order.redy`") && said.contains("order.ready"), "{said}");
}
