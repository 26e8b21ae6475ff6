//! `GET /v1/count-tasks`: what is to be counted. `GET /v1/pickup-settings`: how head office lets this store take part in pickup, and
//! `POST /v1/pause` and `/v1/resume`: the store's own word on new orders.

use super::movements::rfc3339;
use super::{StoreDesk, query};
use crate::http::reading::ask;
use crate::http::{Problem, json as http_json};
use crate::store::reader::TaskView;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sync_protocol::UnixMillis;
use sync_protocol::pause::StorePause;

/// Longest body of a pause.
const BODY_BYTES_MAX: usize = 4 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<u32>,
}

#[derive(Serialize)]
struct List {
    tasks: Vec<TaskText>,
    /// There are further ones, opened later than these.
    more: bool,
}

#[derive(Serialize)]
struct TaskText {
    sku: String,
    name: String,
    unit: String,
    /// `not_found`, `head_office`, `breach_sale`, `breach_count` or `breach_other`.
    reasons: Vec<&'static str>,
    /// The order that somebody could not find it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    opened_at: String,
    /// Whoever counts is not to see what is expected.
    blind: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    remark: String,
}

impl From<TaskView> for TaskText {
    fn from(view: TaskView) -> TaskText {
        TaskText {
            reasons: view.task.reasons.iter().map(|reason| reason.name()).collect(),
            order: view.task.order().map(|order| order.to_string()),
            opened_at: rfc3339(UnixMillis(view.task.opened_at)),
            blind: view.task.blind,
            remark: view.task.remark,
            sku: view.sku,
            name: view.name,
            unit: view.unit,
        }
    }
}

pub async fn list(State(desk): State<StoreDesk>, uri: Uri) -> Result<Response, Problem> {
    let asked: Asked = query::read(&uri)?;
    let limit = query::page(asked.limit)?;
    let views = ask(&desk.reader, move |reader| reader.open_tasks(limit + 1)).await?;
    let (views, last) = query::cut(views, limit, |view| view.sku.clone());
    let tasks = views.into_iter().map(TaskText::from).collect();
    Ok(Json(List { tasks, more: last.is_some() }).into_response())
}

/// As the hub wrote it, or that nothing has come yet.
pub async fn settings(State(desk): State<StoreDesk>) -> Result<Response, Problem> {
    let text = ask(&desk.reader, |reader| reader.store_settings()).await?;
    let told = text.map(|text| serde_json::from_str::<Value>(&text)).transpose();
    let told = told.map_err(|error| {
        tracing::error!(%error, "the hub's settings can't be read");
        Problem::internal("what head office has set can't be read here; upgrade this agent")
    })?;
    let pause = ask(&desk.reader, |reader| reader.store_pause()).await?;
    let now = (desk.clocks.wall)();
    let pause = pause.filter(|pause| pause.until > now.0).map(|pause| PauseShown {
        until: rfc3339(UnixMillis(pause.until)),
        reason: pause.reason,
        by: pause.by,
    });
    Ok(Json(json!({ "received": told.is_some(), "settings": told, "own_pause": pause })).into_response())
}

#[derive(Serialize)]
struct PauseShown {
    until: String,
    reason: String,
    by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseText {
    by: Option<String>,
    until: Option<String>,
    reason: Option<String>,
}

/// Head office hears of it as soon as it can, and gives this store no new orders until then. Those it has are not touched.
pub async fn pause(
    State(desk): State<StoreDesk>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let text = desk.limits.read(&headers, body, BODY_BYTES_MAX).await?.whole().await?;
    let asked: PauseText = http_json::read(&text)?;
    let until =
        asked.until.ok_or_else(|| Problem::invalid("until", "is missing; say when the pause ends"))?;
    let until: jiff::Timestamp = until.parse().map_err(|_| {
        Problem::invalid("until", "is no time with its offset; write one like `2026-11-23T18:00:00Z`")
    })?;
    let by = asked.by.filter(|by| !by.trim().is_empty());
    let by = by.ok_or_else(|| Problem::invalid("by", "is missing; say who pauses"))?;
    let pause = StorePause { until: until.as_millisecond(), reason: asked.reason.unwrap_or_default(), by };
    desk.inbox.pause(Some(pause)).await??;
    settings(State(desk)).await
}

/// Where there is no pause, nothing changes.
pub async fn resume(State(desk): State<StoreDesk>) -> Result<Response, Problem> {
    desk.inbox.pause(None).await??;
    settings(State(desk)).await
}
