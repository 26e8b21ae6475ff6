//! `GET /v1/changes`: the change feed, page by page or as server-sent events.

use super::answer::{Change, Changes, Timestamp};
use super::cursor::{read_feed, too_old, write_feed};
use super::events;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{once, pairs, whole};
use super::reply::{fresh, written};
use super::site::Site;
use crate::availability::{Changed, ChangesPage, Cursor, CursorTooOld, Directory, Standing};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::Response;
use std::sync::Arc;
use utoipa::IntoParams;

pub(super) const LIMIT_DEFAULT: usize = 500;
const LIMIT_MAX: usize = 1000;

/// The query parameters of `GET /v1/changes`, as they are documented.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "stands for the parameters in the OpenAPI document")]
pub(super) struct ChangesParams {
    /// A cursor: the `cursor` a snapshot ended in, the `next` of an earlier page, or the `id` of an event. Without it the
    /// feed starts now.
    after: Option<String>,
    /// About how many changes one page holds; a few more may come. Not for event streams. Default 500.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// What has changed
///
/// The change feed: each (store, item) whose stock changed after the cursor, as it is now, oldest change first. A cell that
/// changed many times comes once, so a reader who was away catches up with what matters. Take `/v1/snapshot` first, then
/// follow from the cursor it ends in: no change is missed.
///
/// With `Accept: text/event-stream` the feed is sent as server-sent events: first a `store` event (a `StoreStatus`) for
/// every store, then a `change` event (a `Change`) with an `id` for each change as it happens, and a `store` event whenever
/// the state of a store changes. `Last-Event-ID` counts before `after`. A comment comes every 15 seconds when nothing else
/// does. A reader who falls too far behind gets a `problem` event and the end of the stream.
///
/// Whether a store's numbers are fresh changes with time alone; that is no change of stock and not in the paged feed.
/// Follow `/v1/stores`, or the `store` events.
#[utoipa::path(
    get,
    path = "/v1/changes",
    operation_id = "listChanges",
    tag = "changes",
    params(
        ChangesParams,
        ("Accept" = Option<String>, Header, description = "`text/event-stream` for server-sent events."),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was received.")
    ),
    responses(
        (status = 200, description = "A page of changes, or the stream of them.", content(
            (Changes = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 400, description = "A parameter is unknown or invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 410, description = "The feed does not reach back to the cursor: take `/v1/snapshot` and go on from there.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many event streams are open.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn list_changes(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    let (after, limit) = read(&site, request.uri().query())?;
    if wants_events(request.headers()) {
        let after = last_event(&site, request.headers())?.or(after);
        return follow(site, after);
    }
    let after = after.unwrap_or_else(|| site.index().read().cursor());
    let page = look(&site, after, limit).map_err(|error| too_old(error, "after"))?;
    let answer = Changes {
        changes: page.changes().collect(),
        next: write_feed(page.page.next, site.settings().lineage),
        more: page.page.more,
    };
    Ok(fresh(written(&answer, 100 + 150 * page.page.changes.len())))
}

fn read(site: &Site, query: Option<&str>) -> Result<(Option<Cursor>, usize), Problem> {
    let (mut after, mut limit) = (None, None);
    for pair in pairs(query, &["after", "limit"]) {
        match pair? {
            ("after", value) => {
                once(&mut after, "after", read_feed("after", &value, site.settings().lineage)?)?
            }
            (_, value) => once(&mut limit, "limit", whole("limit", &value, 1..=LIMIT_MAX)?)?,
        }
    }
    Ok((after, limit.unwrap_or(LIMIT_DEFAULT)))
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(','));
    kinds.any(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

fn last_event(site: &Site, headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("?");
    read_feed("Last-Event-ID", text, site.settings().lineage).map(Some)
}

fn follow(site: Arc<Site>, after: Option<Cursor>) -> Result<Response, Problem> {
    let after = match after {
        // Asked here, a cursor that is too old is an answer; later it could only be an event.
        Some(after) => look(&site, after, 1).map(|_| after).map_err(|error| too_old(error, "after"))?,
        None => site.index().read().cursor(),
    };
    let place = site.stream_place().ok_or_else(|| {
        let max = site.settings().streams_max;
        Problem::new(
            Kind::TooManyStreams,
            format!("all {max} event streams are taken: try again, or read pages"),
        )
        .retry_after(10)
    })?;
    Ok(events::stream(site, after, place))
}

/// A page of the feed with what it takes to write it.
pub(super) struct Look {
    pub(super) page: ChangesPage,
    directory: Arc<Directory>,
    /// Of each change's store, in the page's order.
    standings: Vec<Standing>,
}

/// Reads a page of the feed.
pub(super) fn look(site: &Site, after: Cursor, limit: usize) -> Result<Look, CursorTooOld> {
    let now = site.wall();
    let reading = site.index().read();
    let page = reading.changes(after, limit)?;
    let standing = |change: &Changed| site.freshness().standing(reading.contact(change.store), now);
    let standings = page.changes.iter().map(standing).collect();
    Ok(Look { page, directory: Arc::clone(reading.directory()), standings })
}

impl Look {
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.page.changes.iter().zip(&self.standings).map(|(change, standing)| Change {
            store: self.directory.get(change.store).info.id.as_str(),
            sku: &change.sku,
            available: standing.offer(change.level.free).available,
            state: standing.state,
            as_of: standing.as_of.map(Timestamp),
            withheld: standing.withheld,
        })
    }
}
