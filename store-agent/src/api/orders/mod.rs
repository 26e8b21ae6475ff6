//! Pickup orders for the store's people: what is to be done, and doing it. All of it works with the line down.
//!
//! Looking goes through the reader; every act goes through the core, and is answered, with the order as it is then, once it is
//! on disk. Whether an order allows an act is the core's to say; here it is read, and the short code is held against its hash.

mod problems;
mod view;
mod wanted;

use self::view::OrderText;
use self::wanted::{Deed, Wanted};
use super::{StoreDesk, query};
use crate::agent::pickup::{Request, Wish};
use crate::counter::Work;
use crate::http::reading::ask;
use crate::http::{Problem, json};
use crate::store::reader::OrderView;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sync_protocol::order::{Act, OrderId, Proof};

/// Longest body: a pickup code of the largest order fits, with room to spare.
const BODY_BYTES_MAX: usize = 16 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<u32>,
}

#[derive(Serialize)]
struct List {
    orders: Vec<OrderText>,
    /// There are further ones, less urgent than these.
    more: bool,
}

pub async fn list(State(desk): State<StoreDesk>, uri: Uri) -> Result<Response, Problem> {
    let asked: Asked = query::read(&uri)?;
    let limit = query::page(asked.limit)?;
    let views = ask(&desk.reader, move |reader| reader.active_orders(limit + 1)).await?;
    let (views, last) = query::cut(views, limit, |view| view.row.order);
    let orders = views.into_iter().map(OrderText::from).collect();
    Ok(Json(List { orders, more: last.is_some() }).into_response())
}

pub async fn show(
    State(desk): State<StoreDesk>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(text) = path.map_err(|error| Problem::bad_parameter("order", error.body_text()))?;
    let view = known(&desk, number(&text)?).await?;
    Ok(Json(OrderText::from(view)).into_response())
}

/// `POST /v1/orders/{order}/{act}`.
pub async fn act(
    State(desk): State<StoreDesk>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path((text, act)) = path.map_err(|error| Problem::bad_parameter("order", error.body_text()))?;
    let order = number(&text)?;
    let text = desk.limits.read(&headers, body, BODY_BYTES_MAX).await?.whole().await?;
    let Wanted { by, revision, deed } = wanted::read(&act, &text)?;
    let act = match deed {
        Deed::Act(act) => act,
        Deed::Pick { key, quantity } => {
            let item = wanted::line(&key, &known(&desk, order).await?)?;
            Act::Pick { item, quantity }
        }
        Deed::Short { key, quantity, why } => {
            let item = wanted::line(&key, &known(&desk, order).await?)?;
            Act::Short { item, quantity, why }
        }
        Deed::HandOverOn(code) => {
            let (view, now) = (known(&desk, order).await?, (desk.clocks.instant)());
            let checked = desk.counter.check_short_code(&view, code, now);
            checked.map_err(|refused| problems::short_code_refused(order, refused))?;
            Act::HandOver { proof: Proof::ShortCode }
        }
    };
    done(&desk, Request { by, wish: Wish::Act { order, act, revision } }).await
}

/// `POST /v1/pickups`: hands over on the signed code that the shopper shows.
pub async fn pick_up(
    State(desk): State<StoreDesk>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let text = desk.limits.read(&headers, body, BODY_BYTES_MAX).await?.whole().await?;
    let (code, by) = wanted::scanned(json::read(&text)?)?;
    let code = desk.counter.read_signed(&code).map_err(problems::signed_code_refused)?;
    done(&desk, Request { by, wish: Wish::Code(code) }).await
}

async fn done(desk: &StoreDesk, request: Request) -> Result<Response, Problem> {
    desk.counter.at_work.note(Work::Order, (desk.clocks.wall)());
    let answer = desk.inbox.pickup(request).await.map_err(problems::unheard)?;
    let row = *answer.map_err(problems::refused)?;
    let view = ask(&desk.reader, move |reader| reader.items_of(row)).await?;
    let view = view.ok_or_else(|| Problem::internal("it is done, but can't be shown; look at the order"))?;
    Ok(Json(OrderText::from(view)).into_response())
}

async fn known(desk: &StoreDesk, order: OrderId) -> Result<OrderView, Problem> {
    let view = ask(&desk.reader, move |reader| reader.order(order)).await?;
    view.ok_or_else(|| problems::no_such_order(order))
}

fn number(text: &str) -> Result<OrderId, Problem> {
    text.parse().map_err(|error| Problem::bad_parameter("order", format!("{error}")))
}
