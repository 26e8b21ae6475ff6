//! POS systems that live with their vendor and send what happens: `POST /webhooks/{source}`, on an address of its own.
//!
//! Whoever calls is a tunnel or relay on this machine, and behind it the internet: nothing else of the agent answers there, and nothing is looked at
//! before the signature over the raw body is in order. A delivery is answered with 200 when it is on disk, whatever of it could be understood: what
//! could not is in quarantine, and sent again it would read the same. 503 means that it has to be sent again.
//!
//! **Invariants:** a delivery that comes again counts once; a figure never overwrites one that is younger by the vendor's clock; figures and sales
//! are never added to one another.

mod delivery;
mod items;
mod shopify;
mod signature;
mod square;

use crate::agent::{ItemKey, ReadingTaken, SetAside, SourceDocument, SourceReading};
use crate::config::webhooks::{Takes, Vendor, WebhookPos, WebhooksConfig};
use crate::http::body::BodyLimits;
use crate::http::reading::ask;
use crate::http::{Clocks, Problem};
use crate::inbox::sources::{SourceBoard, SourceHealth, SourceState};
use crate::inbox::{Bulletin, Inbox};
use crate::pos::checkup::{SHOWN_MAX, movement_shown};
use crate::pos::source::Checkup;
use crate::store::reader::Reader;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use delivery::{Delivery, Entry, Found, What};
use items::{Items, ItemsError};
use ring::digest;
use serde_json::json;
use signature::{Secrets, SecretsError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use sync_protocol::{Epoch, SourceId, UnixMillis};
use tokio::sync::watch;

/// Longest delivery: an order of a thousand lines is half of it.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// How a source that sends is marked as begun; it has no place to go on from.
const CURSOR: &[u8] = b"webhooks";
const SHOWN_CHARS_MAX: usize = 80;

/// What the door needs.
#[derive(Debug, Clone)]
pub struct WebhookDesk {
    pub inbox: Inbox,
    pub reader: Arc<Reader>,
    pub board: SourceBoard,
    pub bulletin: watch::Receiver<Bulletin>,
    pub has_hub: bool,
    pub limits: BodyLimits,
    pub clocks: Clocks,
}

/// Why a source's files are no use.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Items(#[from] ItemsError),
}

/// Whether the files of a source can be used.
pub fn check(config: &WebhookPos) -> Result<(), WebhookError> {
    Files::load(config).map(drop)
}

/// The same, and what a body that its vendor has sent would become. Whoever asks holds it in hand, so no signature is asked for.
pub fn checkup(config: &WebhookPos, body: Option<&[u8]>) -> Result<Checkup, WebhookError> {
    let files = Files::load(config)?;
    let mut found = Checkup::default();
    let Some(body) = body else { return Ok(found) };
    let topic = match config.vendor {
        Vendor::Square { .. } => "",
        Vendor::Shopify { takes: Takes::Levels } => shopify::LEVELS,
        Vendor::Shopify { takes: Takes::Orders } => shopify::ORDERS,
    };
    match understood(config, &files.items, (topic, &fingerprint(body)), body) {
        Found::NotTaken(topic) => {
            found.problems.push(format!("it is of the topic `{topic}`, which this source does not take"));
        }
        Found::Delivery(delivery) => {
            let (documents, refused) = documents(&config.source, &delivery.entries);
            let set_aside = delivery.set_aside.into_iter().chain(refused);
            found.problems.extend(set_aside.map(|aside| aside.reason));
            found.left_out = usize::try_from(delivery.left_out).unwrap_or(usize::MAX);
            found.rows = delivery.entries.len().saturating_add(found.left_out);
            found.movements = documents.iter().take(SHOWN_MAX).map(movement_shown).collect();
        }
    }
    Ok(found)
}

struct Door {
    desk: WebhookDesk,
    sources: HashMap<String, Source>,
}

/// One POS that sends.
struct Source {
    config: WebhookPos,
    /// Its place on the board.
    place: usize,
    files: Mutex<Files>,
    /// One delivery at a time: what is younger is asked before it is recorded.
    turn: tokio::sync::Mutex<()>,
}

struct Files {
    secrets: Secrets,
    items: Items,
}

impl Files {
    fn load(config: &WebhookPos) -> Result<Files, WebhookError> {
        let items = Items::load(config.items_file.as_deref(), config.item_is)?;
        Ok(Files { secrets: Secrets::load(&config.secrets_file)?, items })
    }
}

/// The routes of all sources. One whose files are no use is left out, and says so on the board, whose places begin at `first_place`.
pub fn routes(config: &WebhooksConfig, first_place: usize, desk: WebhookDesk) -> Router {
    let mut sources = HashMap::new();
    for (index, pos) in config.pos.iter().enumerate() {
        let place = first_place + index;
        match Files::load(pos) {
            Ok(files) => {
                let (files, turn) = (Mutex::new(files), tokio::sync::Mutex::new(()));
                let source = Source { config: pos.clone(), place, files, turn };
                sources.insert(pos.source.to_string(), source);
            }
            Err(error) => {
                tracing::error!(source = %pos.source, %error, "what this POS sends can't be taken");
                let now = (desk.clocks.wall)();
                desk.board.change(place, |health| {
                    health.state = SourceState::Failing;
                    health.errors += 1;
                    health.last_error = Some((now, error.to_string()));
                });
            }
        }
    }
    Router::new()
        .route("/webhooks/{source}", post(take))
        .fallback(|uri: Uri| async move { Problem::not_found(format!("there is nothing at {}", uri.path())) })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(Arc::new(Door { desk, sources }))
}

async fn take(
    State(door): State<Arc<Door>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let name = path.map_or_else(|_| String::new(), |Path(name)| name);
    let Some(source) = door.sources.get(&name) else {
        return Err(Problem::not_found("no POS of this agent's configuration sends here"));
    };
    let text = door.desk.limits.read(&headers, body, BODY_BYTES_MAX).await?.whole().await?;
    let found = match source.read(&headers, &text) {
        Ok(found) => found,
        Err(problem) => {
            door.note(source, |health| health.refused_signatures += 1);
            return Err(problem);
        }
    };
    match found {
        Found::NotTaken(topic) => {
            door.note(source, |health| health.not_taken += 1);
            let topic: String = topic.chars().take(SHOWN_CHARS_MAX).collect();
            Ok(Json(json!({ "not_taken": topic })).into_response())
        }
        Found::Delivery(delivery) => door.record(source, delivery).await,
    }
}

impl Source {
    /// Reads a body, once it is known who sent it.
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Found, Problem> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.secrets.refresh();
        files.items.refresh();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (parts, given): (Vec<&[u8]>, &str) = match &self.config.vendor {
            Vendor::Square { notification_url } => {
                (vec![notification_url.as_bytes(), body], header(square::SIGNATURE))
            }
            Vendor::Shopify { .. } => (vec![body], header(shopify::SIGNATURE)),
        };
        if !files.secrets.sign(&parts, given.as_bytes()) {
            return Err(Problem::unauthorized("the signature does not fit the body"));
        }
        let fingerprint = fingerprint(body);
        let webhook = Some(header(shopify::WEBHOOK_ID)).filter(|id| !id.is_empty());
        let named = (header(shopify::TOPIC), webhook.unwrap_or(&fingerprint));
        Ok(understood(&self.config, &files.items, named, body))
    }
}

/// What a body says. One that can't be understood is set aside whole.
fn understood(config: &WebhookPos, items: &Items, named: (&str, &str), body: &[u8]) -> Found {
    let location = config.location.as_str();
    let found = match &config.vendor {
        Vendor::Square { .. } => square::read(body, location, items),
        Vendor::Shopify { takes } => shopify::read(body, named, (*takes, location), items),
    };
    found.unwrap_or_else(|problem| {
        let field = problem.field.map(|field| format!("`{field}` ")).unwrap_or_default();
        let mut delivery = Delivery::default();
        let row = json!({ "bytes": body.len(), "sha256": fingerprint(body) }).to_string();
        delivery.aside("a delivery", &format!("{field}can't be understood; nothing of it was kept"), row);
        Found::Delivery(delivery)
    })
}

/// Names a body without keeping anything of it.
fn fingerprint(body: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, body);
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Door {
    async fn record(&self, source: &Source, delivery: Delivery) -> Result<Response, Problem> {
        let _turn = source.turn.lock().await;
        let name = source.config.source.clone();
        let from = ask(&self.desk.reader, move |reader| reader.cursor(&name)).await?;
        // A new disk takes over what the hub knows. Figures recorded before that would be counted on top of it.
        if from.is_none() && self.desk.has_hub && self.desk.bulletin.borrow().sync.epoch == Epoch(0) {
            self.note(source, |health| health.state = SourceState::WaitingForHub);
            let detail = "this agent is new and has not heard its hub yet; send it again";
            return Err(Problem::unavailable("waiting-for-hub", "The agent cannot take this yet", detail));
        }
        let (entries, stale) = self.without_stale(delivery.entries).await?;
        let (documents, refused) = documents(&source.config.source, &entries);
        let set_aside: Vec<SetAside> = delivery.set_aside.into_iter().chain(refused).collect();
        let newest = entries.iter().map(|entry| entry.at).max();
        let taken = if documents.is_empty() && set_aside.is_empty() {
            ReadingTaken::default()
        } else {
            let cursor = from.clone().unwrap_or_else(|| CURSOR.to_vec());
            let (pos, read_at) = (source.config.source.clone(), (self.desk.clocks.wall)());
            let reading = SourceReading { source: pos, from, read_at, documents, set_aside, cursor };
            self.desk.inbox.deliver(reading).await??
        };
        let told = json!({
            "recorded": taken.recorded.len(), "duplicates": taken.duplicates, "conflicts": taken.conflicts,
            "set_aside": taken.set_aside + taken.refused, "left_out": delivery.left_out, "stale": stale,
        });
        self.note(source, |health| {
            health.last_row = newest.max(health.last_row);
            health.last_recorded =
                if taken.recorded.is_empty() { health.last_recorded } else { health.last_read };
            health.recorded += taken.recorded.len() as u64;
            health.duplicates += taken.duplicates;
            health.conflicts += taken.conflicts;
            health.set_aside += taken.set_aside + taken.refused;
            health.last_set_aside = taken.reasons.last().cloned().or_else(|| health.last_set_aside.take());
            health.card_numbers += delivery.card_numbers;
            health.rounded += delivery.rounded;
            health.stale += stale;
        });
        Ok(Json(told).into_response())
    }

    /// Leaves out figures of items that somebody has counted, or the vendor has told of, later than they are.
    async fn without_stale(&self, entries: Vec<Entry>) -> Result<(Vec<Entry>, u64), Problem> {
        let asked: Vec<_> = entries
            .iter()
            .map(|entry| match &entry.item {
                ItemKey::Sku(sku) => (sku.to_string(), None, entry.at),
                ItemKey::Gtin(gtin) => (gtin.to_string(), Some(*gtin), entry.at),
            })
            .collect();
        let counted = ask(&self.desk.reader, move |reader| reader.counted_after(&asked)).await?;
        let before = entries.len();
        let kept: Vec<Entry> = entries
            .into_iter()
            .zip(counted)
            .filter(|(entry, is_stale)| entry.what == What::Sale || !is_stale)
            .map(|(entry, _)| entry)
            .collect();
        let stale = (before - kept.len()) as u64;
        Ok((kept, stale))
    }

    /// Notes a delivery on the board.
    fn note(&self, source: &Source, change: impl FnOnce(&mut SourceHealth)) {
        let now: UnixMillis = (self.desk.clocks.wall)();
        self.desk.board.change(source.place, |health| {
            let refused = health.refused_signatures;
            health.state = SourceState::Reading;
            let before = health.last_read.replace(now);
            change(health);
            // What anybody can send says nothing about the POS.
            if health.refused_signatures != refused {
                health.last_read = before;
                health.state = if before.is_some() { SourceState::Reading } else { SourceState::Starting };
            }
        });
    }
}

fn documents(source: &SourceId, entries: &[Entry]) -> (Vec<SourceDocument>, Vec<SetAside>) {
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry.documents(source) {
            Ok(documents) => made.extend(documents),
            Err(reason) => refused.push(SetAside { reason, row: entry.row.clone() }),
        }
    }
    (made, refused)
}
