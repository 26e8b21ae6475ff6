//! The change feed as server-sent events.
//!
//! Each stream reads the feed at its own pace from its own cursor, so a slow reader holds up nobody and costs no memory:
//! what changes again while it lags comes once. Streams end when the hub stops, and the browser's or client's own retry
//! goes on from the last event's id.

use super::answer::StoreStatus;
use super::changes::{LIMIT_DEFAULT, Look, look};
use super::cursor::{too_old, write_feed};
use super::site::Site;
use crate::availability::{Cursor, Standing, State, Withheld};
use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the states of stores are compared.
const TICK: Duration = Duration::from_secs(1);
/// Ticks without an event after which a comment is sent.
const HEARTBEAT_TICKS: u32 = 15;
/// Where more streams than this are open, each of them takes a stride of changes at a time.
const CROWD: usize = 16;
const STRIDE: Duration = Duration::from_millis(20);
/// How long a client should wait before it comes back, in milliseconds.
const RETRY_MS: u32 = 2000;

/// Answers with the stream of what comes after the cursor.
pub(super) fn stream(site: Arc<Site>, after: Cursor, place: OwnedSemaphorePermit) -> Response {
    site.state.metrics.streams.inc();
    let follower = Follower::new(site, after, place);
    let chunks = stream::unfold(follower, |mut follower| async {
        let chunk = follower.next().await?;
        Some((Ok::<_, Infallible>(chunk), follower))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers before passing them on would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One reader of the feed.
struct Follower {
    site: Arc<Site>,
    after: Cursor,
    /// What was last said of each store, by index.
    told: Vec<(State, Option<Withheld>)>,
    published: watch::Receiver<Cursor>,
    closing: watch::Receiver<bool>,
    ticks: Interval,
    silent_ticks: u32,
    greeted: bool,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.site.state.metrics.streams.dec();
    }
}

impl Follower {
    fn new(site: Arc<Site>, after: Cursor, place: OwnedSemaphorePermit) -> Follower {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (published, closing) = (site.published(), site.closing());
        Follower {
            site,
            after,
            told: Vec::new(),
            published,
            closing,
            ticks,
            silent_ticks: 0,
            greeted: false,
            ended: false,
            _place: place,
        }
    }

    /// What to send next; waits until there is something. `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.ended && !*self.closing.borrow() {
            let mut chunk = Vec::new();
            if !self.greeted {
                self.greeted = true;
                chunk.extend_from_slice(format!("retry: {RETRY_MS}\n\n").as_bytes());
                self.add_stores(&mut chunk);
            }
            self.add_changes(&mut chunk);
            if chunk.is_empty() {
                self.wait(&mut chunk).await;
                if self.site.streams_open() > CROWD {
                    tokio::time::sleep(STRIDE).await;
                }
            }
            if !chunk.is_empty() {
                self.silent_ticks = 0;
                return Some(chunk.into());
            }
        }
        None
    }

    /// Waits for a publishing, the end of the hub or the next tick; on a tick adds what time has changed.
    async fn wait(&mut self, chunk: &mut Vec<u8>) {
        let ticked = tokio::select! {
            // The sender lives as long as the index; should it ever go, the feed has ended.
            news = self.published.changed() => {
                self.ended = news.is_err();
                false
            }
            closing = self.closing.changed() => {
                self.ended = closing.is_err();
                false
            }
            _ = self.ticks.tick() => true,
        };
        if !ticked {
            return;
        }
        self.add_stores(chunk);
        self.silent_ticks += 1;
        if chunk.is_empty() && self.silent_ticks >= HEARTBEAT_TICKS {
            chunk.extend_from_slice(b": nothing new\n\n");
        }
    }

    fn add_changes(&mut self, chunk: &mut Vec<u8>) {
        match look(&self.site, self.after, LIMIT_DEFAULT) {
            Ok(look) => {
                self.write_changes(&look, chunk);
                self.after = look.page.next;
            }
            Err(error) => {
                let problem = too_old(error, "after").to_json();
                chunk.extend_from_slice(b"event: problem\ndata: ");
                chunk.extend_from_slice(&problem);
                chunk.extend_from_slice(b"\n\n");
                self.ended = true;
            }
        }
    }

    fn write_changes(&self, look: &Look, chunk: &mut Vec<u8>) {
        let lineage = self.site.settings().lineage;
        for (changed, change) in look.page.changes.iter().zip(look.changes()) {
            event(chunk, "change", Some(&write_feed(changed.cursor, lineage)), &change);
        }
    }

    /// Adds the stores whose state is not the one last told; at first, all.
    fn add_stores(&mut self, chunk: &mut Vec<u8>) {
        let (directory, standings): (_, Vec<Standing>) = {
            let reading = self.site.index().read();
            (Arc::clone(reading.directory()), self.site.standings(&reading))
        };
        let now: Vec<_> = standings.iter().map(|standing| (standing.state, standing.withheld)).collect();
        for (store, standing) in directory.all().zip(&standings) {
            if self.told.get(store.at()) != Some(&now[store.at()]) {
                let status = StoreStatus::new(&directory.get(store).info, standing);
                event(chunk, "store", None, &status);
            }
        }
        self.told = now;
    }
}

fn event<T: Serialize>(chunk: &mut Vec<u8>, name: &str, id: Option<&str>, data: &T) {
    let written = match id {
        Some(id) => write!(chunk, "event: {name}\nid: {id}\ndata: "),
        None => write!(chunk, "event: {name}\ndata: "),
    };
    written.expect("writing to memory does not fail");
    // JSON on one line: serde_json escapes line ends.
    serde_json::to_writer(&mut *chunk, data).expect("answers have text keys and are written to memory");
    chunk.extend_from_slice(b"\n\n");
}
