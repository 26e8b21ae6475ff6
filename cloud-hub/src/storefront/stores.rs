//! `GET /v1/stores` and `GET /v1/stores/{id}`.

use super::answer::{StoreList, StoreStatus, Timestamp};
use super::cursor::PageCursor;
use super::problem::{Kind, Problem, ProblemBody, shown};
use super::query::{none, once, pairs, whole};
use super::reply::{Gist, Known, not_modified, tagged, written};
use super::site::Site;
use crate::availability::{Directory, Standing, StoreIx};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use std::sync::Arc;
use utoipa::IntoParams;

const LIMIT_MAX: usize = 500;

/// The query parameters of `GET /v1/stores`, as they are documented.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "stands for the parameters in the OpenAPI document")]
pub(super) struct StoresParams {
    /// Most stores of one answer. Default 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The last answer's `next`.
    cursor: Option<String>,
}

/// All stores
///
/// Lists the stores in the order of their ids, each with the state of its numbers. Stock is not part of this; it is the
/// cheap way to follow which stores can be reached.
#[utoipa::path(
    get,
    path = "/v1/stores",
    operation_id = "listStores",
    tag = "stores",
    params(
        StoresParams,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer; 304 when it still holds.")
    ),
    responses(
        (status = 200, description = "A page of stores.", body = StoreList,
            headers(("ETag" = String, description = "Weak: the same stores in the same states."),
                    ("Cache-Control" = String, description = "How long, and how long in trouble, caches may keep this."))),
        (status = 304, description = "The answer with the tag given in `If-None-Match` still holds."),
        (status = 400, description = "A parameter is unknown or invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn list_stores(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    let (limit, cursor) = read(request.uri().query())?;
    let (directory, standings) = look(&site);
    let from = cursor.map_or(0, |cursor| directory.rank_after(&cursor.store));
    let rest = &directory.in_order()[from..];
    let page = &rest[..rest.len().min(limit)];

    let mut gist = Gist::default();
    for ix in page {
        gist.number(directory.get(*ix).fingerprint);
        gist.standing(&standings[ix.at()]);
    }
    gist.number(u64::from(rest.len() > page.len()));
    let tag = gist.tag();
    if Known::to(request.headers()).has(&tag) {
        return Ok(not_modified(tag, &site.cache_control));
    }
    let list = StoreList {
        answered_at: Timestamp(site.wall()),
        stores: page.iter().map(|ix| status(&directory, &standings, *ix)).collect(),
        next: page.last().filter(|_| rest.len() > page.len()).map(|last| next_after(&directory, *last)),
    };
    Ok(tagged(written(&list, 100 + 200 * page.len()), tag, &site.cache_control))
}

/// One store
#[utoipa::path(
    get,
    path = "/v1/stores/{id}",
    operation_id = "getStore",
    tag = "stores",
    params(
        ("id" = String, Path, description = "The store's id.", example = "S0001"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer; 304 when it still holds.")
    ),
    responses(
        (status = 200, description = "The store, and how fresh its numbers are.", body = StoreStatus,
            headers(("ETag" = String, description = "Weak: the same store in the same state."),
                    ("Cache-Control" = String, description = "How long, and how long in trouble, caches may keep this."))),
        (status = 304, description = "The answer with the tag given in `If-None-Match` still holds."),
        (status = 400, description = "A parameter is unknown.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn get_store(
    State(site): State<Arc<Site>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    none(request.uri().query())?;
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    let (directory, standings) = look(&site);
    let ix = directory.find(&id).ok_or_else(|| {
        Problem::of(
            Kind::UnknownStore,
            "id",
            format!("there is no store `{}`; /v1/stores lists them", shown(&id)),
        )
    })?;
    let mut gist = Gist::default();
    gist.number(directory.get(ix).fingerprint);
    gist.standing(&standings[ix.at()]);
    let tag = gist.tag();
    if Known::to(request.headers()).has(&tag) {
        return Ok(not_modified(tag, &site.cache_control));
    }
    Ok(tagged(written(&status(&directory, &standings, ix), 200), tag, &site.cache_control))
}

fn read(query: Option<&str>) -> Result<(usize, Option<PageCursor>), Problem> {
    let (mut limit, mut cursor) = (None, None);
    for pair in pairs(query, &["limit", "cursor"]) {
        match pair? {
            ("limit", value) => once(&mut limit, "limit", whole("limit", &value, 1..=LIMIT_MAX)?)?,
            (_, value) => once(&mut cursor, "cursor", PageCursor::read(&value)?)?,
        }
    }
    if cursor.as_ref().is_some_and(|cursor| cursor.order != 0) {
        return Err(Problem::invalid("cursor", "this `cursor` belongs to another question"));
    }
    Ok((limit.unwrap_or(LIMIT_MAX), cursor))
}

/// Every store and how it stands, at one moment.
fn look(site: &Site) -> (Arc<Directory>, Vec<Standing>) {
    let reading = site.index().read();
    let directory = Arc::clone(reading.directory());
    let standings = site.standings(&reading);
    (directory, standings)
}

fn status<'a>(directory: &'a Directory, standings: &[Standing], ix: StoreIx) -> StoreStatus<'a> {
    StoreStatus::new(&directory.get(ix).info, &standings[ix.at()])
}

fn next_after(directory: &Directory, last: StoreIx) -> String {
    PageCursor { order: 0, key: 0, store: directory.get(last).info.id.as_str().to_owned() }.write()
}
