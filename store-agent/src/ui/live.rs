//! What keeps a screen fresh: a stream of small named events. They carry no content; the page fetches what it shows.
//!
//! `hello` says which start of the agent this is, `orders` and `sync` that something there has changed, `ping` every few seconds that
//! the store server is there, with its clock, `locked` and `out` that the screen has to go to a door. The stream ends with its session.

use super::failure::Failure;
use super::people::{devices, sessions};
use super::visitor::{Cookie, Visitor, is_lapsed};
use super::{Desk, PageDesk};
use crate::inbox::Crossing;
use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::link::store::LinkState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// So often a screen hears that the store server is there. It calls the line lost after missing two.
const PING_EVERY: Duration = Duration::from_secs(3);
/// The state of the sync changes with every till sale; a screen hears of it no more often than this.
const SYNC_EVERY: Duration = Duration::from_secs(1);

pub async fn stream(State(desk): Desk, Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    let Some(device) = visitor.device.as_ref().map(|device| device.id) else {
        return Err(Failure::NotAllowed);
    };
    let session = visitor.session.as_ref().filter(|_| !visitor.is_locked).map(|session| session.id);
    let watching = Watching::new(desk, device, session);
    let events = stream::unfold(watching, |mut watching| async {
        let event = watching.next().await?;
        Some((Ok::<_, Infallible>(event), watching))
    });
    Ok(Sse::new(events).into_response())
}

/// One screen's stream.
struct Watching {
    desk: Arc<PageDesk>,
    device: i64,
    /// `None`: the screen shows a door, and is told of orders alone.
    session: Option<i64>,
    bulletin: watch::Receiver<crate::inbox::Bulletin>,
    crossing: watch::Receiver<Crossing>,
    doors: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    seen: Seen,
    has_greeted: bool,
    is_over: bool,
    ping_at: Instant,
    /// Not before then is `sync` said again; `Some` while there is something to say.
    sync_at: Option<Instant>,
    synced_at: Instant,
}

/// What a stream wakes up for.
enum Woken {
    Door,
    News,
    Crossed,
    SyncDue,
    PingDue,
}

fn event(name: &str, data: impl std::fmt::Display) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// What a screen was last told of.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    orders: u64,
    sync: (LinkState, u64, sync_protocol::Seq),
}

impl Seen {
    fn of(desk: &PageDesk) -> Seen {
        let sync = &desk.bulletin.borrow().sync;
        Seen { orders: sync.orders_changed, sync: (sync.link, sync.records_pending, sync.state_acked) }
    }
}

impl Watching {
    fn new(desk: Arc<PageDesk>, device: i64, session: Option<i64>) -> Watching {
        let now = Instant::from_std((desk.clocks.instant)());
        Watching {
            bulletin: desk.bulletin.clone(),
            crossing: desk.crossing.clone(),
            doors: desk.people.doors(),
            stop: desk.stop.clone(),
            seen: Seen::of(&desk),
            desk,
            device,
            session,
            has_greeted: false,
            is_over: false,
            ping_at: now,
            sync_at: None,
            synced_at: now,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_std((self.desk.clocks.instant)())
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        if self.is_over || *self.stop.borrow() {
            return None;
        }
        if !self.has_greeted {
            self.has_greeted = true;
            return Some(event("hello", self.desk.started_at));
        }
        loop {
            match self.woken().await? {
                Woken::Door => {
                    if let Some(event) = self.look_at_the_door().await {
                        return Some(event);
                    }
                }
                Woken::News => {
                    if let Some(event) = self.compare() {
                        return Some(event);
                    }
                }
                Woken::Crossed => self.has_synced(),
                Woken::SyncDue => {
                    self.sync_at = None;
                    self.synced_at = self.now();
                    return Some(event("sync", 1));
                }
                Woken::PingDue => {
                    self.ping_at = self.now() + PING_EVERY;
                    let leaves = self.look_at_the_door().await;
                    return Some(leaves.unwrap_or_else(|| event("ping", (self.desk.clocks.wall)())));
                }
            }
        }
    }

    /// What happens next; `None` when the agent stops.
    async fn woken(&mut self) -> Option<Woken> {
        let sync_at = self.sync_at.unwrap_or(self.ping_at);
        tokio::select! {
            _ = self.stop.changed() => None,
            closed = self.doors.changed() => closed.ok().map(|()| Woken::Door),
            changed = self.bulletin.changed() => changed.ok().map(|()| Woken::News),
            changed = self.crossing.changed(), if self.desk.has_hub => changed.ok().map(|()| Woken::Crossed),
            () = sleep_until(sync_at), if self.sync_at.is_some() => Some(Woken::SyncDue),
            () = sleep_until(self.ping_at) => Some(Woken::PingDue),
        }
    }

    fn compare(&mut self) -> Option<Event> {
        let now = Seen::of(&self.desk);
        let before = std::mem::replace(&mut self.seen, now);
        if before.sync != self.seen.sync {
            self.has_synced();
        }
        (before.orders != self.seen.orders).then(|| event("orders", 1))
    }

    fn has_synced(&mut self) {
        let next = (self.synced_at + SYNC_EVERY).max(self.now());
        self.sync_at.get_or_insert(next);
    }

    /// Says that the screen has to leave, if so; then the stream is over.
    async fn look_at_the_door(&mut self) -> Option<Event> {
        let (device, session) = (self.device, self.session);
        let found = self
            .desk
            .people
            .ask(move |db| {
                let is_paired = devices::all(db)?.iter().any(|known| known.id == device);
                let session = session.map(|id| sessions::open(db, id)).transpose()?.flatten();
                Ok((is_paired, session))
            })
            .await;
        // A disk that does not answer is told by the next page, not by signing people out.
        let Ok((is_paired, found)) = found else { return None };
        let now = (self.desk.clocks.wall)();
        let said = match (is_paired, session, found) {
            (false, ..) | (true, Some(_), None) => "out",
            (true, Some(_), Some(found)) if is_lapsed(&self.desk, &found, now) => "locked",
            (true, ..) => return None,
        };
        self.is_over = true;
        Some(event(said, 1))
    }
}

/// A new session's cookie, as a header's value.
pub fn cookie(desk: &PageDesk, kind: Cookie, value: &str) -> axum::http::HeaderValue {
    axum::http::HeaderValue::from_str(&kind.set(desk, value))
        .unwrap_or(axum::http::HeaderValue::from_static(""))
}
