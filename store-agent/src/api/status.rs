//! `GET /v1/sync`, `GET /healthz`, `GET /metrics`: how the agent itself is.

use super::movements::rfc3339;
use super::{StoreDesk, sources};
use crate::agent::SyncStatus;
use crate::certificate::{self, Validity};
use crate::health::{Health, Vitals};
use crate::http::Problem;
use crate::inbox::{Crossing, Transport};
use crate::version::version;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::path::PathBuf;
use sync_protocol::link::store::LinkState;
use sync_protocol::{Epoch, Position, Seq, StoreId, UnixMillis};

#[derive(Serialize)]
struct SyncText {
    store: StoreId,
    /// `off` without a hub, `down`, `greeting`, `adopting`, or `streaming` when it is up.
    link: &'static str,
    /// `quic` or `mqtt` while the hub is heard that way, else null; and since when that has been so.
    transport: Option<&'static str>,
    transport_since: Option<Moment>,
    /// Changes between the two since the start.
    switches: u64,
    last_switch_reason: Option<String>,
    /// The hub holds everything this store has.
    caught_up: bool,
    epoch: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_contact: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_link_error: Option<Mishap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_disk_error: Option<Mishap>,
    /// What this store shows the hub; null where there is no hub, or its file can't be read.
    certificate: Option<CertificateText>,
    backlog: Backlog,
    marks: Marks,
    counts: Counts,
    items: u64,
    /// How far the hub's clock is ahead of this store's; negative when it is behind.
    hub_clock_ahead_ms: Option<i64>,
}

#[derive(Serialize)]
struct Moment {
    at: String,
    age_s: u64,
}

#[derive(Serialize)]
struct Mishap {
    at: String,
    age_s: u64,
    reason: String,
}

/// Selling goes on without it; only the hub can't be reached once it has expired.
#[derive(Serialize)]
struct CertificateText {
    issued_at: String,
    age_s: u64,
    expires_at: String,
    /// 0 once it has expired.
    expires_in_s: u64,
    expired: bool,
}

/// What the hub has not confirmed yet.
#[derive(Serialize)]
struct Backlog {
    records: u64,
    movements: u64,
}

#[derive(Serialize)]
struct Marks {
    state_head: Seq,
    state_acked: Seq,
    history_head: Position,
    history_acked: Position,
    down: Seq,
}

/// Since the agent started.
#[derive(Serialize)]
struct Counts {
    movements_recorded: u64,
    frames_sent: u64,
    frames_received: u64,
    welcomes: u64,
    adoptions: u64,
    refusals: u64,
    digest_mismatches: u64,
    failed_commits: u64,
    quarantined: u64,
}

pub async fn sync(State(desk): State<StoreDesk>) -> Response {
    let now = (desk.clocks.wall)();
    let status = desk.bulletin.borrow().sync.clone();
    let crossing = desk.crossing.borrow().clone();
    let validity = shown_to_the_hub(desk.hub_certificate.clone()).await;
    Json(sync_text(status, crossing, desk.has_hub, validity, now)).into_response()
}

/// Read from its file each time: it is renewed while the agent runs.
async fn shown_to_the_hub(file: Option<PathBuf>) -> Option<Validity> {
    let file = file?;
    tokio::task::spawn_blocking(move || certificate::validity(&file)).await.ok()?
}

fn certificate_text(Validity { from, until }: Validity, now: UnixMillis) -> CertificateText {
    CertificateText {
        issued_at: rfc3339(from),
        age_s: age_s(from, now),
        expires_at: rfc3339(until),
        expires_in_s: age_s(now, until),
        expired: until <= now,
    }
}

fn sync_text(
    status: SyncStatus,
    crossing: Crossing,
    has_hub: bool,
    validity: Option<Validity>,
    now: UnixMillis,
) -> SyncText {
    let mishap =
        |(at, reason): (UnixMillis, String)| Mishap { at: rfc3339(at), age_s: age_s(at, now), reason };
    let moment = |at: UnixMillis| Moment { at: rfc3339(at), age_s: age_s(at, now) };
    SyncText {
        link: if has_hub { status.link.name() } else { "off" },
        transport: crossing.transport.map(Transport::name),
        transport_since: crossing.since.map(moment),
        switches: crossing.switches,
        last_switch_reason: crossing.last_switch_reason,
        caught_up: status.is_caught_up(),
        epoch: status.epoch,
        last_contact: status.last_contact.map(moment),
        backlog: Backlog {
            records: status.records_pending,
            movements: status.history_head.0.saturating_sub(status.history_acked.0),
        },
        marks: Marks {
            state_head: status.state_head,
            state_acked: status.state_acked,
            history_head: status.history_head,
            history_acked: status.history_acked,
            down: status.down_mark,
        },
        counts: Counts {
            movements_recorded: status.movements_recorded,
            frames_sent: status.frames_sent,
            frames_received: status.frames_received,
            welcomes: status.welcomes,
            adoptions: status.adoptions,
            refusals: status.refusals,
            digest_mismatches: status.digest_mismatches,
            failed_commits: status.failed_commits,
            quarantined: status.quarantined,
        },
        items: status.items,
        hub_clock_ahead_ms: status.hub_clock_ahead_ms,
        last_link_error: status.last_link_error.map(mishap),
        last_disk_error: status.last_disk_error.map(mishap),
        certificate: validity.map(|validity| certificate_text(validity, now)),
        store: status.store,
    }
}

fn age_s(at: UnixMillis, now: UnixMillis) -> u64 {
    now.since(at) / 1000
}

#[derive(Serialize)]
struct HealthText {
    #[serde(flatten)]
    health: Health,
    store: StoreId,
    version: &'static str,
    /// Another one with each start.
    boot: String,
    link: &'static str,
}

pub async fn health(State(desk): State<StoreDesk>) -> Response {
    // The driver holds the other end of the bulletin for as long as it runs.
    let core_runs = desk.bulletin.has_changed().is_ok();
    let bulletin = desk.bulletin.borrow().clone();
    let health = Health::of(&Vitals { core_runs, storage: &bulletin.storage });
    let status = if health.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let link = if desk.has_hub { bulletin.sync.link.name() } else { "off" };
    let boot = format!("{:016x}", desk.boot.0);
    let text = HealthText { health, store: desk.store, version: version(), boot, link };
    (status, Json(text)).into_response()
}

pub async fn metrics(State(desk): State<StoreDesk>) -> Result<Response, Problem> {
    observe(&desk);
    if let Some(Validity { until, .. }) = shown_to_the_hub(desk.hub_certificate.clone()).await {
        desk.metrics.certificate_expires_timestamp_seconds.set(until.0 / 1000);
    }
    sources::observe(&desk);
    let text = desk.metrics.exposition().map_err(|error| Problem::internal(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Brings the gauges up to what the bulletin says.
fn observe(desk: &StoreDesk) {
    let status = desk.bulletin.borrow().sync.clone();
    let metrics = &desk.metrics;
    let now = (desk.clocks.wall)();
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.inputs_waiting.set(i64::try_from(desk.inbox.waiting()).unwrap_or(i64::MAX));
    metrics.link_up.set(i64::from(status.link == LinkState::Streaming));
    metrics.state_pending_records.set(whole(status.records_pending));
    let movements = status.history_head.0.saturating_sub(status.history_acked.0);
    metrics.history_pending_movements.set(whole(movements));
    metrics.hub_contact_age_seconds.set(status.last_contact.map_or(-1.0, |at| seconds(now.since(at))));
    metrics.epoch.set(i64::from(status.epoch.0));
    metrics.quarantined_records.set(whole(status.quarantined));
    metrics.digest_mismatches.set(whole(status.digest_mismatches));
    metrics.failed_commits.set(whole(status.failed_commits));
    metrics.adoptions.set(whole(status.adoptions));
    metrics.items_known.set(whole(status.items));
}

#[expect(clippy::cast_precision_loss, reason = "an age in milliseconds is far below 2^53")]
pub(super) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
