//! What the storefront API answers when it can't do what was asked: problem details as in RFC 9457.
//!
//! A problem says what is wrong with which parameter and what to do about it. It never repeats a key, and what it repeats
//! of the request is cut short.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::fmt::Write as _;
use utoipa::ToSchema;

/// How much of a bad value a problem repeats, in characters.
const FOUND_CHARS_MAX: usize = 64;

/// A request that was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    parameter: Option<String>,
    retry_after_s: Option<u64>,
}

/// The kinds of problems; their names are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    InvalidParameter,
    UnknownParameter,
    InvalidBody,
    BodyTooLarge,
    TooSlow,
    Unauthorized,
    RateLimited,
    NoSuchPath,
    UnknownStore,
    NoSuchOrder,
    NoSuchLetter,
    NoSuchWebhook,
    NoSuchItem,
    Insufficient,
    NotTaking,
    PreconditionFailed,
    PreconditionRequired,
    KeyReused,
    TooLate,
    NoSuchReservation,
    ReservedTooLong,
    NothingOwed,
    StillOpen,
    MethodNotAllowed,
    CursorTooOld,
    TooManyStreams,
    Unhealthy,
    Internal,
}

impl Kind {
    #[cfg(test)]
    pub(super) const ALL: [Kind; 28] = [
        Kind::InvalidParameter,
        Kind::UnknownParameter,
        Kind::InvalidBody,
        Kind::BodyTooLarge,
        Kind::TooSlow,
        Kind::Unauthorized,
        Kind::RateLimited,
        Kind::NoSuchPath,
        Kind::UnknownStore,
        Kind::NoSuchOrder,
        Kind::NoSuchLetter,
        Kind::NoSuchWebhook,
        Kind::NoSuchItem,
        Kind::Insufficient,
        Kind::NotTaking,
        Kind::PreconditionFailed,
        Kind::PreconditionRequired,
        Kind::KeyReused,
        Kind::TooLate,
        Kind::NoSuchReservation,
        Kind::ReservedTooLong,
        Kind::NothingOwed,
        Kind::StillOpen,
        Kind::MethodNotAllowed,
        Kind::CursorTooOld,
        Kind::TooManyStreams,
        Kind::Unhealthy,
        Kind::Internal,
    ];

    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::InvalidParameter => {
                (StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is invalid")
            }
            Kind::UnknownParameter => {
                (StatusCode::BAD_REQUEST, "unknown-parameter", "A parameter is not known")
            }
            Kind::InvalidBody => (StatusCode::BAD_REQUEST, "invalid-body", "The body is invalid"),
            Kind::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Kind::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too-slow", "The request took too long to arrive"),
            Kind::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "An API key is needed"),
            Kind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests"),
            Kind::NoSuchPath => (StatusCode::NOT_FOUND, "no-such-path", "There is nothing here"),
            Kind::UnknownStore => (StatusCode::NOT_FOUND, "unknown-store", "There is no such store"),
            Kind::NoSuchOrder => (StatusCode::NOT_FOUND, "no-such-order", "There is no such order"),
            Kind::NoSuchLetter => (StatusCode::NOT_FOUND, "no-such-dead-letter", "There is no such letter"),
            Kind::NoSuchWebhook => (StatusCode::NOT_FOUND, "no-such-webhook", "There is no such webhook"),
            Kind::NoSuchItem => (StatusCode::NOT_FOUND, "no-such-item", "There is no such item"),
            Kind::Insufficient => {
                (StatusCode::CONFLICT, "insufficient-availability", "Not enough is available")
            }
            Kind::NotTaking => {
                (StatusCode::CONFLICT, "store-not-taking-orders", "The store takes no orders now")
            }
            Kind::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "changed-meanwhile", "Somebody else has changed it")
            }
            Kind::PreconditionRequired => {
                (StatusCode::PRECONDITION_REQUIRED, "precondition-required", "If-Match is missing")
            }
            Kind::KeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The key came with another body")
            }
            Kind::TooLate => (StatusCode::CONFLICT, "too-late", "The order has come to its end"),
            Kind::NoSuchReservation => (
                StatusCode::NOT_FOUND,
                "no-such-reservation",
                "There is no such reservation, or it has ended",
            ),
            Kind::ReservedTooLong => {
                (StatusCode::CONFLICT, "reserved-too-long", "The reservation can't be extended any further")
            }
            Kind::NothingOwed => {
                (StatusCode::CONFLICT, "nothing-owed", "Nothing of the order waits for another store")
            }
            Kind::StillOpen => (StatusCode::CONFLICT, "still-open", "The order has not come to its end"),
            Kind::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This path does not take that method")
            }
            Kind::CursorTooOld => {
                (StatusCode::GONE, "cursor-too-old", "The change feed does not reach back that far")
            }
            Kind::TooManyStreams => {
                (StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", "Too many streams are open")
            }
            Kind::Unhealthy => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "The hub does not do its work"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The hub failed"),
        }
    }

    pub(super) fn type_uri(self) -> String {
        format!("urn:shopsmart:problem:{}", self.parts().1)
    }
}

/// A problem as RFC 9457 writes it, sent as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody<'a> {
    /// What kind of problem this is; stable, made for programs: `urn:shopsmart:problem:` and one of `invalid-parameter`,
    /// `unknown-parameter`, `invalid-body`, `body-too-large`, `too-slow`, `unauthorized`, `rate-limited`, `no-such-path`,
    /// `unknown-store`, `no-such-order`, `no-such-dead-letter`, `no-such-webhook`, `no-such-item`, `insufficient-availability`,
    /// `store-not-taking-orders`, `changed-meanwhile`, `precondition-required`, `idempotency-key-reused`, `too-late`,
    /// `no-such-reservation`, `reserved-too-long`, `nothing-owed`, `still-open`, `method-not-allowed`, `cursor-too-old`,
    /// `too-many-streams`, `unhealthy`, `internal`.
    #[serde(rename = "type")]
    type_uri: String,
    /// The kind of problem in words.
    title: &'a str,
    /// The HTTP status, once more.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request, and what to do about it.
    detail: &'a str,
    /// The query parameter, path parameter or body field (as `items[3].quantity`) at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<&'a str>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem { kind, detail: detail.into(), parameter: None, retry_after_s: None }
    }

    pub(super) fn of(kind: Kind, parameter: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem { parameter: Some(parameter.into()), ..Problem::new(kind, detail) }
    }

    /// A parameter whose value can't be taken.
    pub(super) fn invalid(parameter: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem::of(Kind::InvalidParameter, parameter, detail)
    }

    pub(super) fn retry_after(mut self, seconds: u64) -> Problem {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let (status, _, title) = self.kind.parts();
        let body = ProblemBody {
            type_uri: self.kind.type_uri(),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            parameter: self.parameter.as_deref(),
        };
        serde_json::to_vec(&body).expect("strings and a number are always JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.kind.parts().0;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"storefront\""));
        }
        response
    }
}

/// A value of the request as a problem repeats it: short, and without anything a terminal would obey.
pub(super) fn shown(value: &str) -> String {
    let mut shown = String::new();
    for character in value.chars().take(FOUND_CHARS_MAX) {
        let _ = write!(shown, "{}", character.escape_debug());
    }
    if value.chars().nth(FOUND_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_name_and_the_documentation_lists_it() {
        let documented =
            serde_json::to_string(&<ProblemBody<'_> as utoipa::PartialSchema>::schema()).unwrap();
        for kind in Kind::ALL {
            let name = kind.parts().1;
            assert!(documented.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn what_is_repeated_of_a_request_is_short_and_harmless() {
        assert_eq!(shown("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), FOUND_CHARS_MAX + 1);
    }
}
