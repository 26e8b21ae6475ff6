//! What every request to the page passes: is it for this machine, does a change come from a button of ours, who is at the screen,
//! and may they be where they want to go. Every answer leaves with the headers that tell a browser what it may do with it.

use super::failure::Failure;
use super::form::Form;
use super::visitor::{Cookie, Visitor};
use super::{FORM_BYTES_MAX, PageDesk, entering, layout};
use crate::counter::Work;
use crate::http::guard::is_own_host;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tracing::Instrument;

/// Nothing from elsewhere, nothing inline, nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];
/// Sent by `page.js` and htmx when the page looks again by itself: nobody has touched the screen.
const LIVE: &str = "x-live";
/// The field of every form that shows it is ours.
pub const TOKEN_FIELD: &str = "form";

/// What can be reached without being signed in; each of them looks at the rest itself.
const DOORS: [&str; 6] = ["/set-up", "/pair", "/sign-in", "/locked", "/language", "/live"];

pub fn guarded(routes: Router, desk: Arc<PageDesk>) -> Router {
    routes
        .fallback(|| async { Failure::NotFound })
        .method_not_allowed_fallback(|| async { Failure::NotFound })
        .layer(middleware::from_fn_with_state(desk, pass))
}

async fn pass(State(desk): State<Arc<PageDesk>>, request: Request, next: Next) -> Response {
    let started = (desk.clocks.instant)();
    // The path alone: what stands after it is nobody's business in a log.
    let span = tracing::info_span!("page", method = %request.method(), path = request.uri().path());
    let route = if request.uri().path().starts_with("/assets/") { "page-asset" } else { "page" };
    let mut response = answer(&desk, request, next).instrument(span.clone()).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let uncached = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(uncached);
    let seconds = (desk.clocks.instant)().duration_since(started).as_secs_f64();
    desk.metrics.request(route, response.status().as_u16(), seconds);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), seconds, "answered"));
    response
}

async fn answer(desk: &Arc<PageDesk>, request: Request, next: Next) -> Response {
    if !is_for_us(desk, &request) {
        return (Failure::ForeignHost.status(), "This address is not the store's page.\n").into_response();
    }
    if request.uri().path().starts_with("/assets/") {
        return plain(next.run(request).await);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let is_htmx = request.headers().contains_key("hx-request");
    let visitor = match Visitor::of(desk, request.headers(), path).await {
        Ok(visitor) => visitor,
        Err(failure) => return plain(failure.into_response()),
    };
    let mut response = match admit(desk, visitor.clone(), request).await {
        Ok(Admitted::To(request)) => next.run(*request).await,
        Ok(Admitted::Answered(response)) => response,
        Err(failure) => failure.into_response(),
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = layout::failure(desk, &visitor, failure);
    }
    if is_htmx && let Some(door) = door_of(&response) {
        // The request a page makes by itself would follow a redirect and put another page into the middle of this one.
        response = ([("hx-redirect", door)], "").into_response();
    }
    if let Some(door) = &visitor.new_door
        && let Ok(cookie) = HeaderValue::from_str(&Cookie::Door.set(desk, door))
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

enum Admitted {
    To(Box<Request>),
    Answered(Response),
}

async fn admit(desk: &Arc<PageDesk>, mut visitor: Visitor, request: Request) -> Result<Admitted, Failure> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let is_change = parts.method == Method::POST;
    let mut form = Form::default();
    if is_change {
        if !is_from_our_page(desk, &parts.headers) {
            return Err(Failure::Foreign);
        }
        form = Form::read(&desk.limits.read(&parts.headers, body, FORM_BYTES_MAX).await?.whole().await?)?;
        let token = form.text(TOKEN_FIELD).as_bytes();
        if !crate::http::tokens::equal(token, visitor.token.as_bytes()) {
            return Err(Failure::Foreign);
        }
    } else if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Failure::NotFound);
    }
    if !DOORS.contains(&path.as_str()) {
        if let Some(door) = door_for(&visitor) {
            let is_page = !is_change && visitor.path.len() < 200;
            let next = if is_page && path != "/status" { visitor.path.as_str() } else { "/" };
            return Ok(Admitted::Answered(to_door(door, next)));
        }
        if visitor.is_locked {
            // What somebody was about to send is not lost with the lock: it comes along once the PIN was given.
            if !is_change {
                return Ok(Admitted::Answered(to_door("/locked", &visitor.path)));
            }
            if let Some(response) = entering::unlock_for(desk, &mut visitor, &form).await? {
                return Ok(Admitted::Answered(response));
            }
        }
        if !parts.headers.contains_key(LIVE) {
            visitor.touch(desk).await?;
            if let Some(work) = work(&path, parts.uri.query(), is_change) {
                desk.counter.at_work.note(work, visitor.now);
            }
        }
    }
    parts.extensions.insert(visitor);
    parts.extensions.insert(form);
    Ok(Admitted::To(Box::new(Request::from_parts(parts, Body::empty()))))
}

/// What somebody is at who asks for this.
fn work(path: &str, query: Option<&str>, is_change: bool) -> Option<Work> {
    let at_the_counter = path == "/hand-over" && query.is_some_and(|query| query.starts_with("order="));
    match path.split('/').nth(1) {
        Some("count") if is_change => Some(Work::Count),
        Some("orders" | "hand-over") if is_change || at_the_counter => Some(Work::Order),
        _ => None,
    }
}

/// Where somebody has to go first.
fn door_for(visitor: &Visitor) -> Option<&'static str> {
    match (visitor.is_set_up, &visitor.device, &visitor.session) {
        (false, ..) => Some("/set-up"),
        (true, None, _) => Some("/pair"),
        (true, Some(_), None) => Some("/sign-in"),
        (true, Some(_), Some(_)) => None,
    }
}

/// Marks a redirect to a door, so that htmx can be told to load it whole.
#[derive(Debug, Clone)]
struct ToDoor(String);

fn to_door(door: &str, next: &str) -> Response {
    let place = if next == "/" {
        door.to_owned()
    } else {
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        format!("{door}?next={next}")
    };
    let mut response = redirect(&place);
    response.extensions_mut().insert(ToDoor(place));
    response
}

fn door_of(response: &Response) -> Option<HeaderValue> {
    let ToDoor(place) = response.extensions().get::<ToDoor>()?;
    HeaderValue::from_str(place).ok()
}

/// After a change: look at this with a fresh request, so that reloading repeats nothing.
#[must_use]
pub fn redirect(place: &str) -> Response {
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// A place on this page that somebody may be sent back to; anything else is its start.
#[must_use]
pub fn own_place(place: &str) -> &str {
    let is_own = place.starts_with('/')
        && !place.starts_with("//")
        && place.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_own { place } else { "/" }
}

fn is_for_us(desk: &PageDesk, request: &Request) -> bool {
    let header = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or(""));
    let mut named = [header, request.uri().authority().map(axum::http::uri::Authority::as_str)]
        .into_iter()
        .flatten()
        .peekable();
    named.peek().is_some() && named.all(|host| is_own_host(host, &desk.config.hosts))
}

/// A browser says where a form comes from. One that says nothing is too old to be safe with.
fn is_from_our_page(desk: &PageDesk, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match text("origin") {
        // What a form says under `Referrer-Policy: no-referrer`; then the browser's own word has to be there.
        None | Some("null") => site.is_some(),
        Some(origin) => {
            let scheme = if desk.config.tls.is_some() { "https" } else { "http" };
            let host = text("host").or_else(|| text(":authority"));
            match host {
                Some(host) => {
                    origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")) == Some(host)
                }
                // HTTP/2 names the host elsewhere; the origin has to be one of our names, and the browser has to agree.
                None => site.is_some(),
            }
        }
    }
}

/// A failure without a visitor to say it to.
fn plain(response: Response) -> Response {
    match response.extensions().get::<Failure>() {
        Some(failure) => (failure.status(), failure.words().0.english).into_response(),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acts_is_at_work_and_who_looks_is_not() {
        assert_eq!(work("/count/enter", None, true), Some(Work::Count));
        assert_eq!(work("/hand-over", Some("order=7"), false), Some(Work::Order));
        assert_eq!(work("/orders/7/pick", None, true), Some(Work::Order));
        for looked in [("/count", None), ("/hand-over", None), ("/orders", None), ("/", Some("order=7"))] {
            assert_eq!(work(looked.0, looked.1, false), None, "{looked:?}");
        }
        assert_eq!(work("/people/add", None, true), None);
    }

    #[test]
    fn nobody_is_sent_elsewhere() {
        for good in ["/", "/orders", "/orders?show=done"] {
            assert_eq!(own_place(good), good);
        }
        for bad in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "javascript:x",
            "/a\r\nb",
            "/a b",
        ] {
            assert_eq!(own_place(bad), "/", "{bad}");
        }
    }
}
