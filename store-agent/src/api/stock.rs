//! `GET /v1/stock?query=&after=&limit=`: the store's items with their figures, page by page in the order of their skus.

use super::{StoreDesk, query};
use crate::http::Problem;
use crate::http::reading::ask;
use crate::store::reader::ItemView;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sync_protocol::{Gtin, Quantity};

/// An item's figures as this store sees them.
#[derive(Debug, Serialize)]
pub struct StockText {
    sku: String,
    gtins: Vec<Gtin>,
    name: String,
    unit: String,
    /// First seen at a till; nobody has named it yet.
    unnamed: bool,
    on_hand: Quantity,
    claim: Quantity,
    open: Quantity,
    free: Quantity,
    shortfall: Quantity,
}

impl From<ItemView> for StockText {
    fn from(view: ItemView) -> StockText {
        StockText {
            on_hand: view.cell.on_hand(),
            claim: view.cell.claim(),
            open: view.cell.open(),
            free: view.cell.free(),
            shortfall: view.cell.shortfall(),
            sku: view.sku,
            gtins: view.gtins,
            name: view.name,
            unit: view.unit,
            unnamed: view.unnamed,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    query: String,
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Page {
    items: Vec<StockText>,
    /// Give this as `after` for the next page; null at the end.
    next: Option<String>,
}

pub async fn list(State(desk): State<StoreDesk>, uri: Uri) -> Result<Response, Problem> {
    let asked: Asked = query::read(&uri)?;
    let limit = query::page(asked.limit)?;
    let views =
        ask(&desk.reader, move |reader| reader.stock(asked.query.trim(), &asked.after, limit + 1)).await?;
    let (views, next) = query::cut(views, limit, |view| view.sku.clone());
    Ok(Json(Page { items: views.into_iter().map(StockText::from).collect(), next }).into_response())
}
