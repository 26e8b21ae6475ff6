//! How answers leave: JSON, with what caches between here and the shop may do with it.
//!
//! Answers are the same for every key but not for everyone, so they are `public` and vary by the headers that carry the
//! key: a shared cache keeps them for each key by itself, and whoever comes without one is asked for it. They are fresh for
//! a second; while the hub can't be reached a cache may go on showing them for as long as numbers count as live, and
//! every answer says itself how old its numbers are.
//!
//! Tags are weak: two answers with the same tag offer the same stock in the same state. The age of numbers enters by the
//! minute, and not at all while a store is live.

use crate::availability::{Freshness, Standing};
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use sync_protocol::Quantity;
use twox_hash::XxHash3_64;

/// What an answer says, boiled down while it is put together.
#[derive(Debug, Default)]
pub(super) struct Gist(Vec<u8>);

impl Gist {
    /// `room`: about how many bytes it will take.
    pub(super) fn with_room(room: usize) -> Gist {
        Gist(Vec::with_capacity(room))
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0xff);
    }

    pub(super) fn quantity(&mut self, quantity: Quantity) {
        self.0.extend_from_slice(&quantity.thousandths().to_le_bytes());
    }

    pub(super) fn option(&mut self, quantity: Option<Quantity>) {
        self.0.push(u8::from(quantity.is_some()));
        self.quantity(quantity.unwrap_or_default());
    }

    pub(super) fn standing(&mut self, standing: &Standing) {
        use crate::availability::State;
        let age_min = if standing.state == State::Live { 0 } else { standing.age_s.unwrap_or_default() / 60 };
        self.number(age_min);
        // Small enums, told apart by their places.
        self.0.push(standing.state as u8);
        self.0.push(standing.withheld.map_or(0xff, |withheld| withheld as u8));
    }

    pub(super) fn tag(&self) -> HeaderValue {
        let tag = format!("W/\"{:016x}\"", XxHash3_64::oneshot(&self.0));
        HeaderValue::try_from(tag).expect("hexadecimal digits in quotes are a header value")
    }
}

/// What caches may do, worked out once from how long numbers count as live.
pub(super) fn cache_control(freshness: &Freshness) -> HeaderValue {
    let live_s = freshness.live_s;
    let refresh_s = live_s.min(10);
    let text = format!("public, max-age=1, stale-while-revalidate={refresh_s}, stale-if-error={live_s}");
    HeaderValue::try_from(text).expect("words and numbers are a header value")
}

/// The tags of answers the caller already has.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<HeaderValue>);

impl Known {
    pub(super) fn to(request: &HeaderMap) -> Known {
        Known(request.get_all(IF_NONE_MATCH).iter().cloned().collect())
    }

    pub(super) fn has(&self, tag: &HeaderValue) -> bool {
        let opaque = |tag: &HeaderValue| tag.to_str().map(|tag| without_weakness(tag).to_owned());
        let Ok(own) = opaque(tag) else { return false };
        let given = self.0.iter().filter_map(|value| value.to_str().ok());
        given
            .flat_map(|value| value.split(','))
            .any(|given| given.trim() == "*" || without_weakness(given) == own)
    }
}

fn without_weakness(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/")
}

/// 304, with the headers a 200 would have had.
pub(super) fn not_modified(tag: HeaderValue, cache_control: &HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    cached(response.headers_mut(), tag, cache_control);
    response
}

/// An answer that caches may keep.
pub(super) fn tagged(body: impl Into<Bytes>, tag: HeaderValue, cache_control: &HeaderValue) -> Response {
    let mut response = json(body);
    cached(response.headers_mut(), tag, cache_control);
    response
}

/// An answer that no cache may keep.
pub(super) fn fresh(body: impl Into<Bytes>) -> Response {
    let mut response = json(body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `room`: about how many bytes it will take.
pub(super) fn written(answer: &impl Serialize, room: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(room);
    serde_json::to_writer(&mut body, answer).expect("answers have text keys and are written to memory");
    body
}

fn json(body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn cached(headers: &mut HeaderMap, tag: HeaderValue, cache_control: &HeaderValue) {
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, cache_control.clone());
    headers.insert(VARY, HeaderValue::from_static("authorization, x-api-key"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(given: &'static str) -> Known {
        Known::to(&HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(given))]))
    }

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        let tag = HeaderValue::from_static("W/\"1f\"");
        for given in ["W/\"1f\"", "\"1f\"", "\"0\", W/\"1f\"", "*"] {
            assert!(known(given).has(&tag), "{given}");
        }
        for given in ["W/\"1e\"", "1f", ""] {
            assert!(!known(given).has(&tag), "{given}");
        }
        assert!(!Known::to(&HeaderMap::new()).has(&tag));
    }
}
