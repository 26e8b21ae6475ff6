//! `GET /v1/snapshot`: everything, as lines of JSON, ending in the cursor from which the change feed goes on.
//!
//! The cursor is taken before the first line is read, so whatever changes while the snapshot is on its way comes in the feed
//! afterwards, and nothing is missed; some of it comes twice, which harms nobody. The index is held still for a few items
//! at a time, and only as fast as the reader takes them.

use super::answer::{SnapshotLine, StoreStatus, Timestamp};
use super::cursor::write_feed;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::none;
use super::site::Site;
use crate::availability::{Cursor, Directory, ItemNames, Level, Standing, StoreIx};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Items read in one go: some thousand cells.
const ITEMS_AT_ONCE: usize = 16;
/// A chunk is sent once it has this many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Everything at once
///
/// Streams the whole index as lines of JSON: `start`, the stores, every item followed by its levels, and `end` with the
/// cursor to give to `/v1/changes`. A snapshot without `end` was cut off. Changes made meanwhile may be in it and come in
/// the feed again. Ages and what is held back are those at the moment a line is written.
#[utoipa::path(
    get,
    path = "/v1/snapshot",
    operation_id = "getSnapshot",
    tag = "changes",
    responses(
        (status = 200, description = "One JSON object a line.", body = SnapshotLine, content_type = "application/x-ndjson"),
        (status = 400, description = "A parameter is unknown.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "Too many snapshots are under way.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn get_snapshot(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Problem> {
    none(request.uri().query())?;
    let place = site.snapshot_place().ok_or_else(|| {
        let max = site.settings().snapshots_max;
        Problem::new(Kind::TooManyStreams, format!("{max} snapshots are under way: try again"))
            .retry_after(30)
    })?;
    site.state.metrics.snapshots.inc();
    let chunks = stream::unfold(Snapshot::begin(site, place), |mut snapshot| async {
        let chunk = snapshot.next()?;
        // A fast reader must not keep a serving thread to itself.
        tokio::task::yield_now().await;
        Some((Ok::<_, Infallible>(chunk), snapshot))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// A snapshot under way.
struct Snapshot {
    site: Arc<Site>,
    cursor: Cursor,
    items: usize,
    levels: usize,
    begun: bool,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

/// An item with its levels, copied out of the index.
type Row = (ItemNames, Vec<(StoreIx, Level)>);

impl Snapshot {
    fn begin(site: Arc<Site>, place: OwnedSemaphorePermit) -> Snapshot {
        let cursor = site.index().read().cursor();
        Snapshot { site, cursor, items: 0, levels: 0, begun: false, ended: false, _place: place }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.ended || *self.site.closing().borrow() {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 2);
        if !self.begun {
            self.begun = true;
            self.write_start(&mut chunk);
        }
        while chunk.len() < CHUNK_BYTES && !self.ended {
            self.write_items(&mut chunk);
        }
        Some(chunk.into())
    }

    fn write_start(&self, chunk: &mut Vec<u8>) {
        line(chunk, &SnapshotLine::Start { answered_at: Timestamp(self.site.wall()) });
        let (directory, standings) = self.stores();
        for store in directory.in_order() {
            let status = StoreStatus::new(&directory.get(*store).info, &standings[store.at()]);
            line(chunk, &SnapshotLine::Store(status));
        }
    }

    /// Some more items, or the end.
    fn write_items(&mut self, chunk: &mut Vec<u8>) {
        let rows = self.rows();
        // Read after the rows: every store of theirs is among these.
        let (directory, standings) = self.stores();
        for (names, levels) in &rows {
            line(chunk, &SnapshotLine::Item { sku: &names.sku, name: &names.name, gtins: &names.gtins });
            for (store, level) in levels {
                let available = standings[store.at()].offer(level.free).available;
                let store = directory.get(*store).info.id.as_str();
                line(chunk, &SnapshotLine::Level { store, sku: &names.sku, available });
            }
            self.levels += levels.len();
        }
        self.items += rows.len();
        if rows.is_empty() {
            self.ended = true;
            let cursor = write_feed(self.cursor, self.site.settings().lineage);
            line(chunk, &SnapshotLine::End { cursor, items: self.items, levels: self.levels });
        }
    }

    fn rows(&self) -> Vec<Row> {
        let reading = self.site.index().read();
        let items = reading.items(self.items, ITEMS_AT_ONCE);
        items.map(|item| (reading.names(item).clone(), reading.levels(item).collect())).collect()
    }

    fn stores(&self) -> (Arc<Directory>, Vec<Standing>) {
        let reading = self.site.index().read();
        (Arc::clone(reading.directory()), self.site.standings(&reading))
    }
}

fn line(chunk: &mut Vec<u8>, line: &SnapshotLine<'_>) {
    serde_json::to_writer(&mut *chunk, line).expect("answers have text keys and are written to memory");
    chunk.push(b'\n');
}
