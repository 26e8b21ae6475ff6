//! The API as a shop's developer meets it: over real sockets, with a clock that is moved by hand.

mod access;
mod basket;
mod deliveries;
mod feed;
mod questions;
mod shapes;
mod store_list;

use super::{Clock, KeyRing, Settings, StorefrontMetrics, StorefrontState, router};
use crate::availability::{Figures, Index, StoreInfo, Update};
use crate::orders::board::Board;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sync_protocol::{ItemNo, Quantity, UnixMillis};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const KEY: &str = "correct-horse-battery";
const NOON: i64 = 1_793_534_400_000;

/// A hub's storefront, alone.
struct Shop {
    index: Arc<Index>,
    clock: Arc<HandClock>,
    address: SocketAddr,
    closing: watch::Sender<bool>,
    keys: Arc<KeyRing>,
    keys_file: PathBuf,
    numbers: Mutex<HashMap<String, u32>>,
    feed: AtomicU64,
    _folder: tempfile::TempDir,
}

struct HandClock {
    wall_ms: AtomicI64,
    running_ms: AtomicU64,
}

impl Clock for HandClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn running(&self) -> Duration {
        Duration::from_millis(self.running_ms.load(Ordering::SeqCst))
    }
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Shop {
    async fn open() -> Shop {
        Shop::open_with(Settings::default(), Index::new()).await
    }

    async fn open_with(settings: Settings, index: Index) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let keys_file = folder.path().join("keys");
        write_keys(&keys_file, &format!("web {KEY}\n"));
        let index = Arc::new(index);
        let board = Arc::new(Board::default());
        let clock = Arc::new(HandClock { wall_ms: NOON.into(), running_ms: 0.into() });
        let (closing, closed) = watch::channel(false);
        let keys = Arc::new(KeyRing::load(&keys_file).unwrap());
        let state = StorefrontState {
            desk: crate::desk::Desk::new().0,
            courier: courier(folder.path()),
            decisions: decisions(folder.path()),
            order_keys: Arc::new(order_keys()),
            index: Arc::clone(&index),
            board: Arc::clone(&board),
            settings,
            keys: Arc::clone(&keys),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            metrics: StorefrontMetrics::register(&mut Registry::default(), Arc::clone(&index)),
            metrics_text: Arc::new(|| "# EOF\n".to_owned()),
            health: Arc::new(|| Ok(())),
            closing: closed,
        };
        let address = serve(state).await;
        let (numbers, feed) = (Mutex::default(), AtomicU64::new(0));
        Shop { index, clock, address, closing, keys, keys_file, numbers, feed, _folder: folder }
    }

    /// A shop with stores a degree of latitude (111 km) apart, all live.
    async fn with_stores(ids: &[&str]) -> Shop {
        let shop = Shop::open().await;
        for (id, lat) in ids.iter().zip(0_u32..) {
            shop.store(id, f64::from(lat), 10.0);
            shop.heard(id, 0);
        }
        shop
    }

    fn folder(&self) -> &Path {
        self._folder.path()
    }

    fn store(&self, id: &str, lat: f64, lon: f64) {
        let (name, timezone) = (format!("Store {id}"), "Europe/Berlin".to_owned());
        self.index.publish([Update::Store(StoreInfo { id: id.parse().unwrap(), name, lat, lon, timezone })]);
    }

    /// The store was heard from so many seconds ago; within a minute its line is up.
    fn heard(&self, id: &str, seconds_ago: i64) {
        self.contact(id, seconds_ago, true);
    }

    fn contact(&self, id: &str, seconds_ago: i64, trusted: bool) {
        let at = UnixMillis(self.clock.wall().0 - seconds_ago * 1000);
        let (store, link_up) = (id.parse().unwrap(), seconds_ago < 60);
        self.index.publish([Update::Contact { store, at, as_of: at, link_up, trusted }]);
    }

    /// The store has so many units free for the web, and two more on the shelf.
    fn stock(&self, store: &str, sku: &str, free: i64) {
        self.stock_thousandths(store, sku, free * 1000);
    }

    fn stock_thousandths(&self, store: &str, sku: &str, free: i64) {
        let figures = Figures {
            on_hand: Quantity::from_thousandths(free + 2000),
            claim: Quantity::from_thousandths(free),
            free: Quantity::from_thousandths(free),
            ..Figures::default()
        };
        let item = self.number_of(sku);
        let (store, feed) = (store.parse().unwrap(), self.feed.fetch_add(1, Ordering::SeqCst) + 1);
        let named = Update::Item {
            store: StoreInfo { ..info(&store) }.id,
            item,
            sku: sku.parse().unwrap(),
            gtins: vec!["00012345678905".parse().unwrap()],
            name: format!("the {sku}"),
        };
        self.index.publish([named, Update::Cell { store, item, figures, feed }]);
    }

    fn number_of(&self, sku: &str) -> ItemNo {
        let mut numbers = self.numbers.lock().unwrap();
        let next = u32::try_from(numbers.len()).unwrap() + 1;
        ItemNo(*numbers.entry(sku.to_owned()).or_insert(next))
    }

    fn wait(&self, seconds: u32) {
        self.clock.wall_ms.fetch_add(i64::from(seconds) * 1000, Ordering::SeqCst);
        self.clock.running_ms.fetch_add(u64::from(seconds) * 1000, Ordering::SeqCst);
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[("x-api-key", KEY)], "").await
    }

    async fn get_with(&self, path: &str, header: &str, value: &str) -> Reply {
        self.ask(Method::GET, path, &[("x-api-key", KEY), (header, value)], "").await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        self.ask(Method::POST, path, &[("x-api-key", KEY), ("content-type", "application/json")], body).await
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let (parts, incoming) = self.begin(method, path, headers, body).await;
        let body = incoming.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Sends a request and leaves the answer's body to be read.
    async fn begin(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (hyper::http::response::Parts, Incoming) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "hub");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        sender.send_request(request).await.unwrap().into_parts()
    }
}

fn info(id: &sync_protocol::StoreId) -> StoreInfo {
    StoreInfo { id: id.clone(), name: String::new(), lat: 0.0, lon: 0.0, timezone: String::new() }
}

async fn serve(state: StorefrontState) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(state);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn write_keys(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The answer was a problem of this kind about this parameter.
    fn is_problem(&self, status: u16, kind: &str, parameter: Option<&str>) -> Value {
        let problem = self.json();
        assert_eq!(self.status.as_u16(), status, "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["type"], format!("urn:shopsmart:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["parameter"].as_str(), parameter, "{problem}");
        problem
    }

    /// The stores of the first item, by id.
    fn stores(&self) -> Vec<String> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        let answer = self.json();
        let stores = answer["items"][0]["stores"].as_array().or(answer["stores"].as_array()).unwrap();
        stores.iter().map(|store| store["store"].as_str().unwrap().to_owned()).collect()
    }

    /// One field of the first item's stores.
    fn of_stores(&self, field: &str) -> Vec<Value> {
        let answer = self.json();
        answer["items"][0]["stores"].as_array().unwrap().iter().map(|store| store[field].clone()).collect()
    }
}

fn decisions(folder: &Path) -> Arc<Mutex<crate::storage::sqlite::decisions::Decisions>> {
    Arc::new(Mutex::new(crate::storage::sqlite::decisions::Decisions::open(&folder.join("hub.db")).unwrap()))
}

/// With one webhook, `shop`, that nobody answers.
fn courier(folder: &Path) -> crate::courier::Courier {
    write_keys(&folder.join("secrets"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    drop(crate::storage::sqlite::Sqlite::open(&folder.join("hub.db")).unwrap());
    let text = "data_dir = '.'\n[[webhook]]\nname = 'shop'\nurl = 'https://shop.invalid/secret/path'\nsecrets_file = 'secrets'";
    let config = crate::config::Config::parse(text, &folder.join("hub.toml")).unwrap();
    crate::courier::Courier::open(&config, Arc::new(|| UnixMillis(NOON)), Default::default()).unwrap()
}

fn order_keys() -> crate::storefront::OrderKeys {
    use crate::orders::{codes::PickupKey, vault::Vault};
    let random = ring::rand::SystemRandom::new();
    let key = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    crate::storefront::OrderKeys {
        pickup: PickupKey::from_pkcs8(key.as_ref()).unwrap(),
        vault: Vault::new(&[7; 32]),
    }
}
