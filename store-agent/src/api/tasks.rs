//! `GET /v1/count-tasks`: what is to be counted. `GET /v1/pickup-settings`: how head office lets this store take part in pickup.

use super::movements::rfc3339;
use super::{StoreDesk, query};
use crate::http::Problem;
use crate::http::reading::ask;
use crate::store::reader::TaskView;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sync_protocol::UnixMillis;

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
    Ok(Json(json!({ "received": told.is_some(), "settings": told })).into_response())
}
