//! How stores take part in pickup: `/v1/stores/{id}/pickup-settings`.
//!
//! There is one kind of API key, and it opens these paths too. An answer leaves when the change is on disk, and the next order
//! goes by it.

use super::body::whole_body;
use super::problem::{Kind, Problem, ProblemBody, shown};
use super::query::none;
use super::site::Site;
use crate::desk::{NoAnswer, SettingsAnswer};
use crate::hub::pickups::{SettingsChange, SettingsError};
use crate::orders::pickup_settings::{
    Pause, PauseBody, PickupSettings, Revised, SETTINGS_BYTES_MAX, SettingsBody, SettingsRefused,
};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use sync_protocol::StoreId;

type StorePath = Result<Path<String>, PathRejection>;

/// How a store takes part in pickup
///
/// A store whose settings nobody has entered takes part, is always open and can do any number of orders. A pause that is over
/// is not shown.
#[utoipa::path(
    get,
    path = "/v1/stores/{id}/pickup-settings",
    operation_id = "getPickupSettings",
    tag = "stores",
    params(("id" = String, Path, description = "The store's id.", example = "S0001")),
    responses(
        (status = 200, description = "The settings.", body = SettingsBody,
            headers(("ETag" = String, description = "Their revision, for `If-Match`."))),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn get_pickup_settings(
    State(site): State<Arc<Site>>,
    id: StorePath,
    request: Request,
) -> Result<Response, Problem> {
    none(request.uri().query())?;
    let store = known(&site, id)?;
    Ok(answer(&site, &store, &site.state.board.settings_of(&store)))
}

/// Replace a store's pickup settings
///
/// The whole of them; what is left out is not set. `If-Match` names the revision that was read before, so that two people never
/// overwrite each other unknowingly; `*` replaces whatever there is.
#[utoipa::path(
    put,
    path = "/v1/stores/{id}/pickup-settings",
    operation_id = "putPickupSettings",
    tag = "stores",
    params(
        ("id" = String, Path, description = "The store's id.", example = "S0001"),
        ("If-Match" = String, Header, description = "The `ETag` of the settings that are replaced, or `*`."),
    ),
    request_body = SettingsBody,
    responses(
        (status = 200, description = "The settings as they are now, durably; the next order goes by them.", body = SettingsBody,
            headers(("ETag" = String, description = "Their revision."))),
        (status = 400, description = "The body is not understood, or a field is invalid.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 412, description = "Somebody else has changed them since.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 428, description = "There is no `If-Match`.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn put_pickup_settings(
    State(site): State<Arc<Site>>,
    id: StorePath,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let store = known(&site, id)?;
    let seen = seen(&headers)?;
    let settings =
        PickupSettings::read(&whole_body(body, SETTINGS_BYTES_MAX)?, site.wall()).map_err(refused)?;
    change(&site, store, SettingsChange::Replace { settings, seen }).await
}

/// Pause pickup at a store
///
/// It takes no new orders until then; those it has are not touched. A pause in the place of another replaces it.
#[utoipa::path(
    post,
    path = "/v1/stores/{id}/pickup-settings/pause",
    operation_id = "pausePickup",
    tag = "stores",
    params(("id" = String, Path, description = "The store's id.", example = "S0001")),
    request_body = PauseBody,
    responses(
        (status = 200, description = "The settings as they are now, durably; the next order goes by them.", body = SettingsBody,
            headers(("ETag" = String, description = "Their revision."))),
        (status = 400, description = "The body is not understood, or the pause does not end in the next 31 days.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn pause_pickup(
    State(site): State<Arc<Site>>,
    id: StorePath,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let store = known(&site, id)?;
    let pause = Pause::read(&whole_body(body, SETTINGS_BYTES_MAX)?, site.wall()).map_err(refused)?;
    change(&site, store, SettingsChange::Pause(pause)).await
}

/// End a store's pause
///
/// Where there is none, nothing changes.
#[utoipa::path(
    post,
    path = "/v1/stores/{id}/pickup-settings/resume",
    operation_id = "resumePickup",
    tag = "stores",
    params(("id" = String, Path, description = "The store's id.", example = "S0001")),
    responses(
        (status = 200, description = "The settings as they are now, durably; the next order goes by them.", body = SettingsBody,
            headers(("ETag" = String, description = "Their revision."))),
        (status = 401, description = "No key, or an unknown one.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such store.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "More requests than the key allows.", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 503, description = "The hub could not take it now.", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("apiKey" = []))
)]
pub(super) async fn resume_pickup(State(site): State<Arc<Site>>, id: StorePath) -> Result<Response, Problem> {
    let store = known(&site, id)?;
    change(&site, store, SettingsChange::Resume).await
}

fn known(site: &Site, id: StorePath) -> Result<StoreId, Problem> {
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    let reading = site.index().read();
    let directory = reading.directory();
    let found = directory.find(&id).map(|ix| directory.get(ix).info.id.clone());
    found.ok_or_else(|| unknown(&id))
}

fn unknown(id: &str) -> Problem {
    let detail = format!("there is no store `{}`; /v1/stores lists them", shown(id));
    Problem::of(Kind::UnknownStore, "id", detail)
}

/// The revision that is to be replaced; `None` for any.
fn seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let value = headers.get(IF_MATCH).ok_or_else(|| {
        let detail = "send `If-Match` with the `ETag` of the settings you have read, or `*` to replace whatever there is";
        Problem::of(Kind::PreconditionRequired, "If-Match", detail)
    })?;
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    revision.and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| {
        Problem::invalid("If-Match", "is no `ETag` of pickup settings; one looks like `\"7\"`")
    })
}

async fn change(site: &Site, store: StoreId, change: SettingsChange) -> Result<Response, Problem> {
    match site.state.desk.change_settings(store.clone(), change).await {
        Ok(answered) => said(site, &store, answered),
        Err(error @ (NoAnswer::Busy | NoAnswer::Late | NoAnswer::Stopping)) => {
            Err(Problem::new(Kind::Unhealthy, format!("{error}; read the settings before you try again"))
                .retry_after(1))
        }
    }
}

fn said(site: &Site, store: &StoreId, answered: SettingsAnswer) -> Result<Response, Problem> {
    match answered {
        Ok(settings) => Ok(answer(site, store, &settings)),
        Err(error @ SettingsError::Overtaken { .. }) => {
            Err(Problem::of(Kind::PreconditionFailed, "If-Match", error.to_string() + "; read them again"))
        }
        Err(SettingsError::UnknownStore { store }) => Err(unknown(store.as_str())),
        Err(error @ SettingsError::Storage) => {
            Err(Problem::new(Kind::Unhealthy, error.to_string()).retry_after(1))
        }
    }
}

fn answer(site: &Site, store: &StoreId, revised: &Revised) -> Response {
    let own = site.state.board.own_pause_of(store, site.wall());
    let mut response = Json(revised.settings.shown_with(own, site.wall())).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let tag = HeaderValue::try_from(format!("\"{}\"", revised.revision));
    headers.insert(ETAG, tag.expect("digits in quotes are a header value"));
    response
}

fn refused(error: SettingsRefused) -> Problem {
    if error.field.is_empty() {
        return Problem::new(Kind::InvalidBody, error.to_string());
    }
    Problem::of(Kind::InvalidBody, error.field, error.reason)
}
