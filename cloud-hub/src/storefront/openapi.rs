//! The OpenAPI document: generated from the handlers and their types, committed as `openapi.json`, held equal by a test.

use super::answer::{Change, Healthy};
use super::problem::{Kind, Problem};
use super::query::none;
use super::reply::fresh;
use super::site::Site;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use std::sync::Arc;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// What is said of the API as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "ShopSmart Sync storefront API",
        description = "Where can I collect this today? Every answer says what may be promised now, store by store, and how old \
            the numbers behind it are.\n\nUnits: quantities are in the item's own unit with up to three decimals, never \
            rounded; ages are whole seconds, distances kilometres, times RFC 3339 in UTC. New fields may be added to answers; \
            ignore the ones you do not know. Unknown parameters are refused.\n\nRequests carry an API key in \
            `Authorization: Bearer …` or `X-Api-Key`, never in the URL. Where the operator limits the rate, answers carry \
            `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset` and `RateLimit-Policy` \
            (draft-ietf-httpapi-ratelimit-headers-06), and 429 comes with `Retry-After`. Failures are problems as in RFC \
            9457.\n\nCaching: availability and stores carry a weak `ETag` and `Cache-Control: public` with `Vary` on the \
            key's headers, fresh for a second, usable for longer while they are renewed in the background or the hub can't \
            be reached.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "availability", description = "What can be collected where."),
        (name = "stores", description = "The stores, and how fresh their numbers are."),
        (name = "changes", description = "Following everything: a snapshot, then the changes after it."),
        (name = "deliveries", description = "What the hub sends out by itself: webhooks, and what could not be delivered."),
        (name = "operation", description = "For those who run the hub. No key needed."),
    ),
    components(schemas(Change<'_>)),
    modifiers(&Keys),
)]
pub(super) struct Document;

/// How keys are sent.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The API key as bearer token."));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        let header = ApiKeyValue::with_description("X-Api-Key", "The API key in a header of its own.");
        components.add_security_scheme("apiKey", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}

/// The document as it is committed and served.
pub(super) fn written(document: &utoipa::openapi::OpenApi) -> String {
    let mut text = document.to_pretty_json().expect("the document has text keys");
    text.push('\n');
    text
}

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApi",
    tag = "operation",
    responses((status = 200, description = "The OpenAPI 3.1 document of this API.", body = Object))
)]
pub(super) async fn get_openapi(State(site): State<Arc<Site>>) -> Response {
    let mut response = Response::new(Body::from(site.openapi.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// Whether the hub does its work
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "getHealth",
    tag = "operation",
    responses(
        (status = 200, description = "It does.", body = Healthy),
        (status = 503, description = "It does not; `detail` says why.", body = super::problem::ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_health(State(site): State<Arc<Site>>, request: Request) -> Result<Response, Problem> {
    none(request.uri().query())?;
    (site.state.health)().map_err(|why| Problem::new(Kind::Unhealthy, why))?;
    Ok(fresh(super::reply::written(&Healthy { status: "ok" }, 16)))
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "operation",
    responses((status = 200, description = "The hub's metrics as OpenMetrics text.", body = String,
        content_type = "application/openmetrics-text"))
)]
pub(super) async fn get_metrics(State(site): State<Arc<Site>>) -> Response {
    let mut response = Response::new(Body::from((site.state.metrics_text)()));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_committed_document_is_what_the_handlers_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        let generated = super::super::document();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "cloud-hub/openapi.json is not what the handlers say; look at the difference after \
             `UPDATE_OPENAPI=1 cargo test -p cloud-hub openapi`"
        );
    }
}
