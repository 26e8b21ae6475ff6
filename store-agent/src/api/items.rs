//! `PUT /v1/items` takes the shop's master data, one item a line; `GET /v1/items/{sku}` says all about one item.

use super::StoreDesk;
use super::explain::{self, Web};
use super::stock::StockText;
use crate::agent::{ItemEntry, ItemPut, RecordError};
use crate::explain::Hub;
use crate::http::ndjson::{self, LineService};
use crate::http::reading::{ask, named};
use crate::http::{Caller, Problem, json};
use crate::inbox::{Inbox, NoAnswer};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use sync_protocol::limits::{GTINS_MAX, NAME_BYTES_MAX, UNIT_BYTES_MAX};
use sync_protocol::stock::walk_in_reserve;
use sync_protocol::{Gtin, Position, Quantity, Sku};

pub async fn put(
    State(desk): State<StoreDesk>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if !caller.may_change_items() {
        let detail =
            format!("the token of `{}` may not change items; add `items` to its line", caller.name());
        return Err(Problem::forbidden(None, detail));
    }
    let body = desk.limits.read(&headers, body, usize::MAX).await?;
    ndjson::serve(&Items { inbox: &desk.inbox }, body).await
}

struct Items<'a> {
    inbox: &'a Inbox,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemText {
    sku: Option<String>,
    #[serde(default)]
    gtins: Vec<Gtin>,
    name: Option<String>,
    unit: Option<String>,
}

#[derive(Serialize)]
struct PutLine {
    line: usize,
    status: u16,
    sku: Sku,
    result: &'static str,
}

impl LineService for Items<'_> {
    type Thing = ItemEntry;
    type Answer = (Sku, ItemPut);
    type Said = PutLine;

    fn read(&self, line: &[u8]) -> Result<ItemEntry, Problem> {
        entry(json::read(line)?)
    }

    fn weight(&self, _: &ItemEntry) -> usize {
        1
    }

    async fn put(&self, items: Vec<ItemEntry>) -> Result<Vec<Result<(Sku, ItemPut), RecordError>>, NoAnswer> {
        let skus: Vec<Sku> = items.iter().map(|item| item.sku.clone()).collect();
        let answers = self.inbox.put_items(items).await?;
        Ok(skus.into_iter().zip(answers).map(|(sku, answer)| answer.map(|put| (sku, put))).collect())
    }

    fn say(&self, line: usize, (sku, put): (Sku, ItemPut)) -> PutLine {
        let (status, result) = match put {
            ItemPut::Created => (201, "created"),
            ItemPut::Changed => (200, "changed"),
            ItemPut::Unchanged => (200, "unchanged"),
        };
        PutLine { line, status, sku, result }
    }
}

/// An item that is sold by the piece, unless its line says otherwise.
const UNIT: &str = "each";

fn entry(text: ItemText) -> Result<ItemEntry, Problem> {
    let sku = text.sku.ok_or_else(|| Problem::invalid("sku", "is missing"))?;
    let name = text.name.ok_or_else(|| Problem::invalid("name", "is missing"))?;
    if text.gtins.len() > GTINS_MAX {
        return Err(Problem::invalid(
            "gtins",
            format!("has more than the {GTINS_MAX} barcodes one item may have"),
        ));
    }
    Ok(ItemEntry {
        sku: Sku::try_from(sku).map_err(|error| Problem::invalid("sku", error.to_string()))?,
        gtins: text.gtins,
        name: plain("name", name, NAME_BYTES_MAX)?,
        unit: plain("unit", text.unit.unwrap_or_else(|| UNIT.to_owned()), UNIT_BYTES_MAX)?,
    })
}

/// Words that people can read: not empty, of one line, no longer than so many bytes.
pub(in crate::api) fn plain(field: &str, text: String, bytes_max: usize) -> Result<String, Problem> {
    let wrong = |detail: String| Err(Problem::invalid(field, detail));
    if text.trim().is_empty() {
        return wrong("is empty".to_owned());
    }
    if text.len() > bytes_max {
        return wrong(format!("has {} bytes, more than the {bytes_max} allowed", text.len()));
    }
    if text.chars().any(char::is_control) {
        return wrong("has a control character".to_owned());
    }
    Ok(text)
}

#[derive(Serialize)]
struct ItemShown {
    #[serde(flatten)]
    stock: StockText,
    /// What the store means to keep for its walk-in customers.
    reserve: Quantity,
    web: Web,
    /// The end of the ledger at this moment: what a count sheet printed now gives back as `counted_position`.
    position: Position,
}

pub async fn show(
    State(desk): State<StoreDesk>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let sku: Sku = named("sku", path)?;
    let asked = sku.clone();
    let found = ask(&desk.reader, move |reader| reader.item(&asked)).await?;
    let at =
        found.ok_or_else(|| Problem::not_found(format!("this store has never heard of the sku `{sku}`")))?;
    let now = (desk.clocks.wall)();
    let reserve = walk_in_reserve(&desk.reserve, at.view.rate.per_second(now));
    let hub = Hub::of(desk.has_hub, &desk.bulletin.borrow().sync, &at.view, now);
    let web = explain::web(&at.view, reserve, hub);
    let position = at.position;
    Ok(Json(ItemShown { stock: at.view.into(), reserve, web, position }).into_response())
}
