//! `GET /v1/sources`: how the readers of POS systems are. `GET /v1/sources/{source}/differences`: where the POS's own figures and the
//! agent's are not the same.

use super::StoreDesk;
use super::movements::rfc3339;
use super::status::seconds;
use crate::http::Problem;
use crate::inbox::sources::{Differences, LogStanding, SourceHealth, SourceState};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use sync_protocol::canary::{Canary, Flight, WaitsFor};
use sync_protocol::{Quantity, UnixMillis};

#[derive(Serialize)]
struct SourceText {
    source: String,
    kind: &'static str,
    state: SourceState,
    /// When it was last read without an error.
    last_read: Option<Moment>,
    /// When the newest recorded row happened, by the POS's clock.
    last_row: Option<Moment>,
    last_recorded: Option<Moment>,
    is_behind: bool,
    last_error: Option<Mishap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drift: Vec<String>,
    cursor: Option<String>,
    /// Only where the settings ask for the database's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogText>,
    counts: Counts,
    last_set_aside: Option<String>,
    gaps_open: u64,
    /// Null before the first comparison.
    differing_items: Option<u64>,
}

/// Since the agent started.
#[derive(Serialize)]
struct Counts {
    recorded: u64,
    duplicates: u64,
    conflicts: u64,
    set_aside: u64,
    card_numbers: u64,
    rounded: u64,
    gaps_given_up: u64,
    corrected: u64,
    redated: u64,
    by_log: u64,
    errors: u64,
    refused_signatures: u64,
    not_taken: u64,
    stale: u64,
}

/// While it is not followed, changes are polled for.
#[derive(Serialize)]
struct LogText {
    followed: bool,
    /// Why it is not followed, and what to do; null while it is being opened.
    reason: Option<String>,
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

fn moment(at: UnixMillis, now: UnixMillis) -> Moment {
    Moment { at: rfc3339(at), age_s: now.since(at) / 1000 }
}

fn text(health: SourceHealth, now: UnixMillis) -> SourceText {
    let at = |at: Option<UnixMillis>| at.map(|at| moment(at, now));
    SourceText {
        kind: health.kind,
        state: health.state,
        last_read: at(health.last_read),
        last_row: at(health.last_row),
        last_recorded: at(health.last_recorded),
        is_behind: health.is_behind,
        last_error: health.last_error.map(|(at, reason)| Mishap {
            at: rfc3339(at),
            age_s: now.since(at) / 1000,
            reason,
        }),
        drift: health.drift,
        cursor: health.cursor,
        log: health.log.map(log_text),
        counts: Counts {
            recorded: health.recorded,
            duplicates: health.duplicates,
            conflicts: health.conflicts,
            set_aside: health.set_aside,
            card_numbers: health.card_numbers,
            rounded: health.rounded,
            gaps_given_up: health.gaps_given_up,
            corrected: health.corrected,
            redated: health.redated,
            by_log: health.by_log,
            errors: health.errors,
            refused_signatures: health.refused_signatures,
            not_taken: health.not_taken,
            stale: health.stale,
        },
        last_set_aside: health.last_set_aside,
        gaps_open: health.gaps_open,
        differing_items: health.differences.map(|found| found.differing.len() as u64),
        source: health.name,
    }
}

fn log_text(standing: LogStanding) -> LogText {
    match standing {
        LogStanding::Opening => LogText { followed: false, reason: None },
        LogStanding::Followed => LogText { followed: true, reason: None },
        LogStanding::Refused(reason) => LogText { followed: false, reason: Some(reason) },
    }
}

/// How far the movement that is followed from a source has come.
#[derive(Serialize)]
struct CanaryText<'a> {
    source: &'a str,
    /// The item whose movements count; null: any.
    item: Option<&'a str>,
    /// How far the newest one is: `awaited`, `recorded` here, or `accepted` by the hub.
    stage: &'static str,
    /// `movement` or `hub`: what it waits for; null while all is well.
    waits_for: Option<&'static str>,
    overdue: bool,
    /// Since one has come all the way; before the first, since the source is followed.
    age_s: u64,
    happened: Option<Moment>,
    read: Option<Moment>,
    recorded: Option<Moment>,
    /// When the hub had the last one that has come all the way.
    accepted: Option<Moment>,
}

fn canaries_text(canaries: &[Canary], now: UnixMillis) -> Vec<CanaryText<'_>> {
    fn text(canary: &Canary, now: UnixMillis) -> CanaryText<'_> {
        let newest = canary.newest();
        let at = |pick: fn(&Flight) -> i64| newest.map(|flight| moment(UnixMillis(pick(flight)), now));
        CanaryText {
            source: canary.source.as_str(),
            item: Some(canary.item.as_str()).filter(|item| !item.is_empty()),
            stage: canary.stage(),
            waits_for: canary.waits_for(now).map(WaitsFor::name),
            overdue: canary.is_overdue(now),
            age_s: canary.age_ms(now) / 1000,
            happened: at(|flight| flight.happened_at),
            read: at(|flight| flight.read_at),
            recorded: at(|flight| flight.recorded_at),
            accepted: canary.arrived.map(|arrival| moment(UnixMillis(arrival.accepted_at), now)),
        }
    }
    canaries.iter().map(|canary| text(canary, now)).collect()
}

pub async fn list(State(desk): State<StoreDesk>) -> Response {
    let now = (desk.clocks.wall)();
    let sources: Vec<SourceText> = desk.sources.all().into_iter().map(|health| text(health, now)).collect();
    let canaries = Arc::clone(&desk.bulletin.borrow().sync.canaries);
    let canaries = canaries_text(&canaries, now);
    Json(json!({ "sources": sources, "canaries": canaries })).into_response()
}

pub async fn differences(
    State(desk): State<StoreDesk>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(name) = path.map_err(|error| Problem::bad_parameter("source", error.body_text()))?;
    let found = desk.sources.all().into_iter().find(|health| health.name == name);
    let Some(health) = found else {
        return Err(Problem::not_found(format!("no POS is read as `{name}`; see GET /v1/sources")));
    };
    Ok(Json(differences_text(&name, health.differences)).into_response())
}

fn differences_text(name: &str, found: Option<Differences>) -> Value {
    let Some(found) = found else { return json!({ "source": name, "compared_at": null, "differences": [] }) };
    let quantity = Quantity::from_thousandths;
    let each: Vec<Value> = found
        .differing
        .into_iter()
        .map(|of| json!({ "item": of.item, "pos": quantity(of.pos), "agent": quantity(of.agent) }))
        .collect();
    json!({
        "source": name, "compared_at": rfc3339(found.compared_at), "items": found.items, "applied": found.applied,
        "differences": each,
    })
}

/// Brings the gauges of the sources up to what the board says.
pub fn observe(desk: &StoreDesk) {
    let now = (desk.clocks.wall)();
    let canaries = Arc::clone(&desk.bulletin.borrow().sync.canaries);
    desk.metrics.canaries(
        canaries.iter().map(|of| (of.source.to_string(), seconds(of.age_ms(now)), of.is_overdue(now))),
    );
    for health in desk.sources.all() {
        let age = |at: Option<UnixMillis>| at.map_or(-1.0, |at| seconds(now.since(at)));
        let is_reading = health.state == SourceState::Reading;
        let drifted = health.state == SourceState::SchemaChanged;
        desk.metrics.source(&health.name, is_reading, drifted, age(health.last_read), age(health.last_row));
        if let Some(log) = &health.log {
            desk.metrics.source_log(&health.name, *log == LogStanding::Followed);
        }
        let differing = health.differences.as_ref().map_or(0, |found| found.differing.len() as u64);
        let counts = [
            ("recorded", health.recorded),
            ("duplicate", health.duplicates),
            ("conflict", health.conflicts),
            ("set_aside", health.set_aside),
            ("card_number", health.card_numbers),
            ("rounded", health.rounded),
            ("gap_given_up", health.gaps_given_up),
            ("by_log", health.by_log),
            ("error", health.errors),
            ("bad_signature", health.refused_signatures),
            ("not_taken", health.not_taken),
            ("stale", health.stale),
            ("gap_open", health.gaps_open),
            ("differing", differing),
        ];
        for (what, count) in counts {
            desk.metrics.source_count(&health.name, what, count);
        }
    }
}
