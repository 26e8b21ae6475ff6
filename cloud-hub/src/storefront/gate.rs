//! What every request passes: key, rate limit, and the counting of it all.

use super::limit::Allowance;
use super::metrics::Route;
use super::problem::{Kind, Problem};
use super::site::Site;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

const API_KEY: &str = "x-api-key";

/// Lets a request through to its handler, or answers in its place.
pub(super) async fn gate(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let started = site.running();
    let route = Route::of(request.uri().path());
    let mut response = match admitted(&site, route, request.headers()) {
        Admission::Granted(caller, allowance) => {
            request.extensions_mut().insert(caller);
            let mut response = answered_in_time(&site, request, next).await;
            if let Some(allowance) = allowance {
                allowance.write(response.headers_mut());
            }
            response
        }
        Admission::Refused(problem, allowance) => {
            let mut response = problem.into_response();
            if let Some(allowance) = allowance {
                allowance.write(response.headers_mut());
            }
            response
        }
    };
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let took = site.running().saturating_sub(started);
    tracing::debug!(route = route.name(), status = response.status().as_u16(), ?took, "answered");
    site.state.metrics.answered(route, response.status(), took);
    response
}

/// Bounds how long a body may take to arrive; an answer that streams has begun by then.
async fn answered_in_time(site: &Site, request: Request, next: Next) -> Response {
    let time_max = site.settings().request_time_max;
    match tokio::time::timeout(time_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("the request was not complete after {} s", time_max.as_secs());
            Problem::new(Kind::TooSlow, detail).into_response()
        }
    }
}

/// The name of the key that a request came with; empty where none is needed.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<str>);

enum Admission {
    Granted(Caller, Option<Allowance>),
    Refused(Problem, Option<Allowance>),
}

fn admitted(site: &Site, route: Route, headers: &HeaderMap) -> Admission {
    if route.is_open() {
        return Admission::Granted(Caller("".into()), None);
    }
    let Some(presented) = presented(headers) else {
        let detail = "send the API key as `Authorization: Bearer …` or `X-Api-Key: …`";
        return Admission::Refused(Problem::new(Kind::Unauthorized, detail), None);
    };
    let Some(key) = site.state.keys.find(presented) else {
        return Admission::Refused(Problem::new(Kind::Unauthorized, "this API key is not known here"), None);
    };
    let per_second = site.settings().requests_per_second;
    let caller = Caller(key.name.to_string().into());
    if per_second == 0 {
        return Admission::Granted(caller, None);
    }
    let allowance = key.bucket.take(per_second, site.running());
    if allowance.granted {
        return Admission::Granted(caller, Some(allowance));
    }
    tracing::debug!(key = &*key.name, "rate limited");
    let detail = format!("this key may make {per_second} requests a second");
    Admission::Refused(Problem::new(Kind::RateLimited, detail).retry_after(1), Some(allowance))
}

/// The key a request carries; the Authorization header counts first.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        return scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii());
    }
    headers.get(API_KEY).map(|value| value.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect();
        presented(&headers).map(|key| String::from_utf8_lossy(key).into_owned())
    }

    #[test]
    fn a_key_comes_in_either_header() {
        assert_eq!(of(&[("authorization", "Bearer abc")]).as_deref(), Some("abc"));
        assert_eq!(of(&[("authorization", "bearer  abc ")]).as_deref(), Some("abc"));
        assert_eq!(of(&[("x-api-key", "abc")]).as_deref(), Some("abc"));
        assert_eq!(of(&[("authorization", "Bearer one"), ("x-api-key", "two")]).as_deref(), Some("one"));
    }

    #[test]
    fn anything_else_is_no_key() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("authorization", "Basic YTpi")]), None);
        assert_eq!(of(&[("authorization", "B")]), None);
    }
}
