//! `GET /v1/movements?after=&limit=&sku=`: the ledger, page by page, oldest first.

use super::{StoreDesk, query};
use crate::http::Problem;
use crate::http::reading::ask;
use crate::store::reader::MovementView;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sync_protocol::record::Kind;
use sync_protocol::{Position, Quantity, Sku, UnixMillis};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<u64>,
    limit: Option<u32>,
    sku: Option<String>,
}

#[derive(Serialize)]
struct Page {
    movements: Vec<MovementText>,
    /// Give this as `after` for the next page; null at the end.
    next: Option<Position>,
}

#[derive(Serialize)]
struct MovementText {
    position: Position,
    source: String,
    reference: String,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    sku: String,
    /// As reported.
    quantity: Quantity,
    /// What it did to on hand.
    effect: Quantity,
    occurred_at: String,
    recorded_at: String,
}

pub async fn list(State(desk): State<StoreDesk>, uri: Uri) -> Result<Response, Problem> {
    let asked: Asked = query::read(&uri)?;
    let limit = query::page(asked.limit)?;
    let after = Position(asked.after.unwrap_or(0));
    let sku = asked.sku.map(Sku::try_from).transpose();
    let sku = sku.map_err(|error| Problem::bad_parameter("sku", error.to_string()))?;
    let views = ask(&desk.reader, move |reader| reader.movements(sku.as_ref(), after, limit + 1)).await?;
    let (views, next) = query::cut(views, limit, |view| view.position);
    Ok(Json(Page { movements: views.into_iter().map(MovementText::from).collect(), next }).into_response())
}

impl From<MovementView> for MovementText {
    fn from(view: MovementView) -> MovementText {
        MovementText {
            position: view.position,
            source: view.source,
            reference: view.reference,
            kind: view.kind,
            reason: view.reason,
            sku: view.sku,
            quantity: view.quantity,
            effect: view.effect,
            occurred_at: rfc3339(view.occurred_at),
            recorded_at: rfc3339(view.recorded_at),
        }
    }
}

/// In UTC; the till's offset is not kept.
pub fn rfc3339(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |time| time.to_string())
}
