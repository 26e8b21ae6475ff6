//! Tills that speak HTTP: `POST /v1/movements`, `POST /v1/movements:batch`, `GET /v1/cursors/{source}`.
//!
//! A till has its answer when its document is on disk: `201` with the ledger positions, `200` with `"duplicate": true` and
//! the same positions when it was sent before, `409` when the reference was used for something else. Whatever else it hears
//! (a `503`, nothing at all), it may send the same again: nothing is counted twice.
//!
//! A document may come inside a CloudEvent (`cloud_events`); the content type says so.

use super::cloud_events::{self, Wrapping};
use super::json::{self, DOCUMENT_BYTES_MAX};
use crate::agent::{Document, RecordError, Recorded};
use crate::http::body::BodyLimits;
use crate::http::ndjson::{self, LineService};
use crate::http::reading::{ask, named};
use crate::http::trace::Trace;
use crate::http::{Caller, Problem};
use crate::inbox::{Inbox, NoAnswer};
use crate::store::reader::Reader;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;
use std::sync::Arc;
use sync_protocol::{Position, SourceId};

/// What the till's side needs.
#[derive(Debug, Clone)]
pub struct TillDesk {
    pub inbox: Inbox,
    pub reader: Arc<Reader>,
    pub limits: BodyLimits,
}

pub fn routes(desk: TillDesk) -> Router {
    Router::new()
        .route("/v1/movements", post(record))
        .route("/v1/movements:batch", post(record_batch))
        .route("/v1/cursors/{source}", get(cursor))
        .with_state(desk)
}

#[derive(Serialize)]
struct RecordedText {
    duplicate: bool,
    positions: Vec<Position>,
}

#[derive(Serialize)]
struct RecordedLine {
    line: usize,
    status: u16,
    #[serde(flatten)]
    recorded: RecordedText,
}

fn said(recorded: Recorded) -> (StatusCode, RecordedText) {
    match recorded {
        Recorded::New { positions } => (StatusCode::CREATED, RecordedText { duplicate: false, positions }),
        Recorded::Duplicate { positions } => (StatusCode::OK, RecordedText { duplicate: true, positions }),
    }
}

async fn record(
    State(desk): State<TillDesk>,
    Extension(caller): Extension<Caller>,
    Extension(trace): Extension<Trace>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if Wrapping::of(&headers) == Wrapping::Events {
        return record_events(&desk, &caller, trace, &headers, body).await;
    }
    let text = desk.limits.read(&headers, body, DOCUMENT_BYTES_MAX).await?.whole().await?;
    let document = match Wrapping::of(&headers) {
        Wrapping::Event => allowed(cloud_events::document(&text, trace.carried())?, &caller)?,
        Wrapping::None | Wrapping::Events => read(&text, &caller, trace)?,
    };
    let answer = desk.inbox.record(vec![document]).await?.pop();
    let recorded = answer.ok_or_else(|| Problem::internal("there was no answer; send it again"))??;
    let (status, text) = said(recorded);
    if trace.sampled {
        tracing::info!(duplicate = text.duplicate, positions = ?text.positions, "recorded");
    }
    Ok((status, Json(text)).into_response())
}

/// A document this caller may report.
fn read(text: &[u8], caller: &Caller, trace: Trace) -> Result<Document, Problem> {
    allowed(json::document(text, trace.carried())?, caller)
}

fn allowed(document: Document, caller: &Caller) -> Result<Document, Problem> {
    if caller.may_report(&document.source) {
        return Ok(document);
    }
    let detail = format!("the token of `{}` may not report for `{}`", caller.name(), document.source);
    Err(Problem::forbidden(Some("source"), detail))
}

async fn record_batch(
    State(desk): State<TillDesk>,
    Extension(caller): Extension<Caller>,
    Extension(trace): Extension<Trace>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if Wrapping::of(&headers) == Wrapping::Events {
        return record_events(&desk, &caller, trace, &headers, body).await;
    }
    let body = desk.limits.read(&headers, body, usize::MAX).await?;
    ndjson::serve(&Documents { inbox: &desk.inbox, caller: &caller, trace }, body).await
}

/// Takes an array of events, each for itself: a bad one gets a problem of its own and the rest counts.
async fn record_events(
    desk: &TillDesk,
    caller: &Caller,
    trace: Trace,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let text = desk.limits.read(headers, body, usize::MAX).await?.whole().await?;
    let events = cloud_events::split(&text)?;
    let texts: Vec<&[u8]> = events.iter().map(|event| event.get().as_bytes()).collect();
    let documents = Documents { inbox: &desk.inbox, caller, trace };
    Ok(ndjson::serve_texts(&Events(documents), &texts).await)
}

struct Documents<'a> {
    inbox: &'a Inbox,
    caller: &'a Caller,
    trace: Trace,
}

impl LineService for Documents<'_> {
    type Thing = Document;
    type Answer = Recorded;
    type Said = RecordedLine;

    fn read(&self, line: &[u8]) -> Result<Document, Problem> {
        read(line, self.caller, self.trace)
    }

    fn weight(&self, document: &Document) -> usize {
        document.lines.len()
    }

    async fn put(&self, documents: Vec<Document>) -> Result<Vec<Result<Recorded, RecordError>>, NoAnswer> {
        self.inbox.record(documents).await
    }

    fn say(&self, line: usize, recorded: Recorded) -> RecordedLine {
        let (status, recorded) = said(recorded);
        RecordedLine { line, status: status.as_u16(), recorded }
    }
}

/// As `Documents`, each inside a CloudEvent.
struct Events<'a>(Documents<'a>);

impl LineService for Events<'_> {
    type Thing = Document;
    type Answer = Recorded;
    type Said = RecordedLine;

    fn read(&self, event: &[u8]) -> Result<Document, Problem> {
        allowed(cloud_events::document(event, self.0.trace.carried())?, self.0.caller)
    }

    fn weight(&self, document: &Document) -> usize {
        self.0.weight(document)
    }

    async fn put(&self, documents: Vec<Document>) -> Result<Vec<Result<Recorded, RecordError>>, NoAnswer> {
        self.0.put(documents).await
    }

    fn say(&self, line: usize, recorded: Recorded) -> RecordedLine {
        self.0.say(line, recorded)
    }
}

#[derive(Serialize)]
struct CursorText {
    source: SourceId,
    /// What the source last sent as `cursor`; null before the first.
    cursor: Option<String>,
}

async fn cursor(
    State(desk): State<TillDesk>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let source: SourceId = named("source", path)?;
    let asked = source.clone();
    let found = ask(&desk.reader, move |reader| reader.cursor(&asked)).await?;
    let cursor = found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Json(CursorText { source, cursor }).into_response())
}
