//! Following everything: snapshot, change feed, event stream.

use super::{KEY, Reply, Shop};
use crate::availability::Index;
use crate::storefront::Settings;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Stock by store and sku.
type Mirror = BTreeMap<(String, String), Value>;

fn take(mirror: &mut Mirror, cell: &Value) {
    let text = |field: &str| cell[field].as_str().unwrap().to_owned();
    mirror.insert((text("store"), text("sku")), cell["available"].clone());
}

fn lines(reply: &Reply) -> Vec<Value> {
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn next(reply: &Reply) -> String {
    reply.json()["next"].as_str().unwrap().to_owned()
}

fn changed(reply: &Reply) -> Vec<(String, i64)> {
    let answer = reply.json();
    let changes = answer["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|c| (c["sku"].as_str().unwrap().to_owned(), c["available"].as_i64().unwrap()))
        .collect()
}

fn told(pairs: &[(&str, i64)]) -> Vec<(String, i64)> {
    pairs.iter().map(|(sku, available)| ((*sku).to_owned(), *available)).collect()
}

#[tokio::test]
async fn without_a_cursor_the_feed_starts_now() {
    let shop = Shop::with_stores(&["S1"]).await;
    shop.stock("S1", "milk", 1);
    let start = shop.get("/v1/changes").await;
    assert_eq!(start.json()["changes"], json!([]));
    assert_eq!(start.header("cache-control"), "no-store");
    shop.stock("S1", "tea", 2);
    shop.stock("S1", "milk", 3);
    shop.stock("S1", "tea", 4);
    let page = shop.get(&format!("/v1/changes?after={}", next(&start))).await;
    assert_eq!(changed(&page), told(&[("milk", 3), ("tea", 4)]), "each as it is now, once");
    assert_eq!(page.json()["more"], false);
    let end = shop.get(&format!("/v1/changes?after={}", next(&page))).await;
    assert_eq!((changed(&end), next(&end)), (vec![], next(&page)));
}

#[tokio::test]
async fn the_feed_is_read_page_by_page() {
    let shop = Shop::with_stores(&["S1"]).await;
    let mut cursor = next(&shop.get("/v1/changes").await);
    for sku in 0..10 {
        shop.stock("S1", &format!("i{sku}"), sku);
    }
    let mut read = Vec::new();
    loop {
        let page = shop.get(&format!("/v1/changes?limit=4&after={cursor}")).await;
        read.extend(changed(&page));
        cursor = next(&page);
        if page.json()["more"] == false {
            break;
        }
        assert_eq!(changed(&page).len(), 4);
    }
    assert_eq!(read.len(), 10);
}

#[tokio::test]
async fn a_cursor_outlives_a_restart_and_its_age_is_told() {
    let before = Shop::with_stores(&["S1"]).await;
    before.stock("S1", "milk", 1);
    before.stock("S1", "tea", 1);
    let cursor = next(&before.get("/v1/changes").await);

    let after = Shop::with_stores(&["S1"]).await;
    for (sku, free) in [("milk", 1), ("tea", 1), ("bread", 5)] {
        after.stock("S1", sku, free);
    }
    let page = after.get(&format!("/v1/changes?after={cursor}")).await;
    assert_eq!(changed(&page), told(&[("bread", 5)]));
}

#[tokio::test]
async fn a_cursor_the_feed_does_not_reach_back_to_is_gone() {
    let shop = Shop::open_with(Settings::default(), Index::with_feed_of(3)).await;
    shop.store("S1", 0.0, 0.0);
    shop.heard("S1", 0);
    let cursor = next(&shop.get("/v1/changes").await);
    for sku in 0..5 {
        shop.stock("S1", &format!("i{sku}"), 1);
    }
    let path = format!("/v1/changes?after={cursor}");
    let gone = shop.get(&path).await.is_problem(410, "cursor-too-old", Some("after"));
    assert!(gone["detail"].as_str().unwrap().contains("/v1/snapshot"), "{gone}");
    shop.get_with(&path, "accept", "text/event-stream").await.is_problem(
        410,
        "cursor-too-old",
        Some("after"),
    );
    shop.get("/v1/changes?after=f0-ffff").await.is_problem(410, "cursor-too-old", Some("after"));
    shop.get("/v1/changes?after=f7-1").await.is_problem(410, "cursor-too-old", Some("after"));
    shop.get("/v1/changes?after=7").await.is_problem(400, "invalid-parameter", Some("after"));
    shop.get("/v1/changes?since=7").await.is_problem(400, "unknown-parameter", Some("since"));
}

#[tokio::test]
async fn a_snapshot_holds_everything_and_ends_in_a_cursor() {
    let shop = Shop::with_stores(&["S1", "S2"]).await;
    for sku in 0..40 {
        shop.stock("S1", &format!("i{sku}"), sku);
    }
    shop.stock("S2", "i7", 70);
    let reply = shop.get("/v1/snapshot").await;
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    let lines = lines(&reply);
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert_eq!((of("start"), of("store"), of("item"), of("level"), of("end")), (1, 2, 40, 41, 1));
    assert_eq!(lines[0]["type"], "start");
    let end = lines.last().unwrap();
    assert_eq!((&end["items"], &end["levels"]), (&json!(40), &json!(41)));
    let item = lines.iter().find(|line| line["type"] == "item").unwrap();
    assert_eq!(*item, json!({"type": "item", "sku": "i0", "name": "the i0", "gtins": ["00012345678905"]}));
    shop.stock("S1", "i3", 33);
    let changes = shop.get(&format!("/v1/changes?after={}", end["cursor"].as_str().unwrap())).await;
    assert_eq!(changed(&changes), told(&[("i3", 33)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_of_snapshot_and_changes_misses_nothing() {
    let shop = Arc::new(Shop::with_stores(&["S1", "S2", "S3"]).await);
    for sku in 0..2000 {
        shop.stock("S1", &format!("i{sku}"), 0);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let selling = {
        let (shop, stop) = (Arc::clone(&shop), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut turn: i64 = 0;
            while !stop.load(Ordering::Relaxed) || turn < 20_000 {
                let sku = turn * 7919 % 2100;
                shop.stock(["S1", "S2", "S3"][usize::try_from(turn % 3).unwrap()], &format!("i{sku}"), turn);
                turn += 1;
            }
        })
    };

    let mut mirror = Mirror::new();
    let mut cursor = String::new();
    for line in lines(&shop.get("/v1/snapshot").await) {
        match line["type"].as_str().unwrap() {
            "level" => take(&mut mirror, &line),
            "end" => cursor = line["cursor"].as_str().unwrap().to_owned(),
            _ => {}
        }
    }
    stop.store(true, Ordering::Relaxed);
    selling.join().unwrap();
    loop {
        let page = shop.get(&format!("/v1/changes?limit=1000&after={cursor}")).await;
        for change in page.json()["changes"].as_array().unwrap() {
            take(&mut mirror, change);
        }
        cursor = next(&page);
        if page.json()["more"] == false {
            break;
        }
    }

    let mut truth = Mirror::new();
    for line in lines(&shop.get("/v1/snapshot").await) {
        if line["type"] == "level" {
            take(&mut truth, &line);
        }
    }
    assert_eq!(mirror, truth);
}

#[tokio::test]
async fn only_so_many_snapshots_run_at_once() {
    let settings = Settings { snapshots_max: 1, ..Settings::default() };
    let shop = Shop::open_with(settings, Index::new()).await;
    shop.store("S1", 0.0, 0.0);
    for sku in 0..40_000 {
        shop.stock("S1", &format!("item-with-a-long-name-to-fill-the-socket-{sku}"), 1);
    }
    let slow = shop.begin(Method::GET, "/v1/snapshot", &[("x-api-key", KEY)], "").await;
    let refused = shop.get("/v1/snapshot").await;
    refused.is_problem(503, "too-many-streams", None);
    assert_eq!(refused.header("retry-after"), "30");
    drop(slow);
    while shop.get("/v1/snapshot").await.status != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The events of a stream, as they come.
struct Events {
    body: Incoming,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

impl Events {
    async fn follow(shop: &Shop, path: &str, last: Option<&str>) -> Events {
        let mut headers = vec![("x-api-key", KEY), ("accept", "text/event-stream")];
        headers.extend(last.map(|last| ("last-event-id", last)));
        let (parts, body) = shop.begin(Method::GET, path, &headers, "").await;
        assert_eq!(parts.status, StatusCode::OK);
        assert_eq!(parts.headers["content-type"], "text/event-stream");
        Events { body, text: String::new() }
    }

    /// The next event, past comments and the retry time. `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                        .map(str::to_owned)
                };
                let event = field("event").map(|name| Event {
                    name,
                    id: field("id"),
                    data: serde_json::from_str(&field("data").unwrap()).unwrap(),
                });
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let chunk = self.body.frame().await?.ok()?.into_data().ok()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn change(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name == "change" {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn changes_are_pushed_as_they_happen() {
    let shop = Shop::with_stores(&["S1", "S2"]).await;
    shop.stock("S1", "milk", 9);
    let mut events = Events::follow(&shop, "/v1/changes", None).await;
    let (first, second) = (events.next().await.unwrap(), events.next().await.unwrap());
    assert_eq!((&*first.name, &first.data["store"], first.id), ("store", &json!("S1"), None));
    assert_eq!((&*second.name, &second.data["state"]), ("store", &json!("live")));
    shop.stock("S2", "milk", 4);
    let change = events.next().await.unwrap();
    assert_eq!(change.name, "change");
    assert_eq!((&change.data["store"], &change.data["available"]), (&json!("S2"), &json!(4)));
    shop.wait(61);
    let delayed = events.next().await.unwrap();
    assert_eq!((&*delayed.name, &delayed.data["state"]), ("store", &json!("delayed")));
}

#[tokio::test]
async fn a_stream_is_resumed_from_its_last_event() {
    let shop = Shop::with_stores(&["S1"]).await;
    let mut events = Events::follow(&shop, "/v1/changes", None).await;
    events.next().await.unwrap();
    for sku in 0..5 {
        shop.stock("S1", &format!("i{sku}"), sku);
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(events.change().await);
    }
    drop(events);
    shop.stock("S1", "i4", 44);
    let last = seen[1].id.clone().unwrap();
    // A client comes back to the address it first went to, whatever `after` says there.
    let mut resumed = Events::follow(&shop, "/v1/changes?after=f0-0", Some(&last)).await;
    let rest: Vec<Value> = [resumed.change().await, resumed.change().await, resumed.change().await]
        .map(|e| e.data["available"].clone())
        .into();
    assert_eq!(rest, [2, 3, 44]);
    let foreign = shop
        .ask(
            Method::GET,
            "/v1/changes",
            &[("x-api-key", KEY), ("accept", "text/event-stream"), ("last-event-id", "seven")],
            "",
        )
        .await;
    foreign.is_problem(400, "invalid-parameter", Some("Last-Event-ID"));
}

#[tokio::test]
async fn a_stream_that_fell_behind_is_told_so_and_ended() {
    let shop = Shop::open_with(Settings::default(), Index::with_feed_of(50)).await;
    shop.store("S1", 0.0, 0.0);
    shop.heard("S1", 0);
    let mut events = Events::follow(&shop, "/v1/changes", None).await;
    events.next().await.unwrap();
    // On one thread the stream can't run before all this is published.
    for sku in 0..200 {
        shop.stock("S1", &format!("i{sku}"), 1);
    }
    let problem = events.next().await.unwrap();
    assert_eq!(problem.name, "problem");
    assert_eq!(problem.data["type"], "urn:shopsmart:problem:cursor-too-old");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn streams_are_counted_and_end_with_the_hub() {
    let settings = Settings { streams_max: 2, ..Settings::default() };
    let shop = Shop::open_with(settings, Index::new()).await;
    let mut one = Events::follow(&shop, "/v1/changes", None).await;
    let two = Events::follow(&shop, "/v1/changes", None).await;
    let refused = shop.get_with("/v1/changes", "accept", "text/event-stream").await;
    refused.is_problem(503, "too-many-streams", None);
    assert_eq!(shop.get("/v1/changes").await.status, StatusCode::OK, "pages go on");
    drop(two);
    loop {
        let headers = [("x-api-key", KEY), ("accept", "text/event-stream")];
        let (parts, _) = shop.begin(Method::GET, "/v1/changes", &headers, "").await;
        if parts.status == StatusCode::OK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shop.closing.send(true).unwrap();
    assert_eq!(one.next().await, None);
}
