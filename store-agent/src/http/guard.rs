//! What every request passes: a span with its trace, the check of the host it is meant for, the check of its token.

use super::tokens::{Caller, Tokens};
use super::trace::{TRACEPARENT, Trace};
use super::{Clocks, Problem};
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tracing::Instrument;

/// The other end of the connection a request came on.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Paths that need no token from this machine itself: what a watchdog and a collector ask.
const OPEN_ON_LOOPBACK: [&str; 2] = ["/healthz", "/metrics"];

/// What requests are checked against.
#[derive(Debug)]
pub struct Guard {
    pub tokens: Arc<Tokens>,
    /// Further names of this agent, in lower case.
    pub hosts: Vec<String>,
    pub metrics: Arc<Metrics>,
    pub clocks: Clocks,
}

/// Puts the guard before every route, and problems where there is no route.
pub fn guarded(routes: Router, guard: Arc<Guard>) -> Router {
    routes
        .fallback(|uri: Uri| async move { Problem::not_found(format!("there is nothing at {}", uri.path())) })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn_with_state(guard, pass))
}

async fn pass(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let started = (guard.clocks.instant)();
    let trace = Trace::of(request.headers(), random());
    let route = request.extensions().get::<MatchedPath>().map_or("other", |path| route_name(path.as_str()));
    let span = tracing::info_span!(
        "request", trace_id = %trace.id, method = %request.method(), path = request.uri().path()
    );
    let mut response = match guard.admit(&mut request, trace) {
        Ok(()) => next.run(request).instrument(span.clone()).await,
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().insert(TRACEPARENT, trace.header());
    let seconds = (guard.clocks.instant)().duration_since(started).as_secs_f64();
    guard.metrics.request(route, response.status().as_u16(), seconds);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), seconds, "answered"));
    response
}

impl Guard {
    fn admit(&self, request: &mut Request, trace: Trace) -> Result<(), Problem> {
        self.check_host(request)?;
        if let Some(caller) = self.check_token(request)? {
            request.extensions_mut().insert(caller);
        }
        request.extensions_mut().insert(trace);
        Ok(())
    }

    /// A page from elsewhere can point a name of its own at this machine; the browser then still sends that name.
    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let header = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or(""));
        let foreign = [header, request.uri().host()].into_iter().flatten().find(|host| !self.is_own(host));
        foreign.map_or(Ok(()), |host| Err(Problem::foreign_host(host)))
    }

    fn is_own(&self, host: &str) -> bool {
        is_own_host(host, &self.hosts)
    }

    fn check_token(&self, request: &Request) -> Result<Option<Caller>, Problem> {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_canonical());
        let local = peer.is_some_and(|ip| ip.is_loopback());
        if local && OPEN_ON_LOOPBACK.contains(&request.uri().path()) {
            return Ok(None);
        }
        let token = bearer(request.headers())?;
        match self.tokens.caller(token) {
            Some(caller) => Ok(Some(caller)),
            None => Err(Problem::unauthorized("this token is not in the agent's token file")),
        }
    }
}

/// Whether `host`, as a request names it, is this machine: one of its names, or an address.
#[must_use]
pub fn is_own_host(host: &str, names: &[String]) -> bool {
    let name = without_port(host).to_ascii_lowercase();
    // An address is no name that could have been pointed elsewhere.
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    address || name == "localhost" || names.contains(&name)
}

fn bearer(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let missing = || Problem::unauthorized("send the till's token as `Authorization: Bearer …`");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7).ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(missing());
    }
    Ok(token.trim_ascii())
}

/// `name:port`, `[v6]:port` or either without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => {
            // A bare IPv6 address has colons of its own.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

/// Route names are a fixed set, so that metrics stay few whatever is asked for.
fn route_name(path: &str) -> &'static str {
    const ROUTES: [&str; 19] = [
        "/v1/movements",
        "/v1/movements:batch",
        "/v1/items",
        "/v1/items/{sku}",
        "/v1/stock",
        "/v1/cursors/{source}",
        "/v1/orders",
        "/v1/orders/{order}",
        "/v1/orders/{order}/{act}",
        "/v1/pickups",
        "/v1/count-tasks",
        "/v1/pause",
        "/v1/pickup-settings",
        "/v1/resume",
        "/v1/sync",
        "/v1/work",
        "/healthz",
        "/metrics",
        "other",
    ];
    ROUTES.into_iter().find(|route| *route == path).unwrap_or("other")
}

fn random() -> [u8; 24] {
    let mut bytes = [0; 24];
    // Without randomness ids repeat and traces mix, which is no reason to refuse a till.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_header_loses_its_port_only() {
        let cases = [
            ("localhost:7070", "localhost"),
            ("localhost", "localhost"),
            ("127.0.0.1:7070", "127.0.0.1"),
            ("[::1]:7070", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
        ];
        for (host, name) in cases {
            assert_eq!(without_port(host), name, "{host}");
        }
    }

    #[test]
    fn a_bearer_token_is_taken_whole() {
        let mut headers = HeaderMap::new();
        assert!(bearer(&headers).is_err());
        headers.insert(header::AUTHORIZATION, "Basic abc".parse().unwrap());
        assert!(bearer(&headers).is_err());
        headers.insert(header::AUTHORIZATION, "Bearer abc".parse().unwrap());
        assert_eq!(bearer(&headers).unwrap(), b"abc");
        headers.insert(header::AUTHORIZATION, "bearer  abc ".parse().unwrap());
        assert_eq!(bearer(&headers).unwrap(), b"abc");
    }
}
