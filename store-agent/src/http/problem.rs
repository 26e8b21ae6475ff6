//! Problems as RFC 9457 has them: what went wrong, in which field, and what to do about it.

use crate::agent::RecordError;
use crate::inbox::NoAnswer;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Seconds after which a refused till should ask again: a full disk or a busy agent rarely recovers sooner.
const RETRY_AFTER_S: u32 = 5;

/// An answer that says why there is no other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// The last part of `type`: stable, for programs.
    pub code: &'static str,
    pub title: &'static str,
    pub detail: String,
    /// Where in the request, such as `lines[1].quantity`.
    pub field: Option<String>,
}

impl Problem {
    pub fn not_json(detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::BAD_REQUEST, "not-json", "The text is not JSON", detail)
    }

    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read", detail)
    }

    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Problem {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A field is not valid", detail);
        Problem { field: Some(field.into()), ..problem }
    }

    pub fn bad_parameter(name: &str, detail: impl Into<String>) -> Problem {
        let problem = Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "A parameter is not valid", detail);
        Problem { field: Some(name.to_owned()), ..problem }
    }

    pub fn unauthorized(detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed", detail)
    }

    pub fn forbidden(field: Option<&str>, detail: impl Into<String>) -> Problem {
        let problem = Self::new(StatusCode::FORBIDDEN, "forbidden", "The token does not allow this", detail);
        Problem { field: field.map(str::to_owned), ..problem }
    }

    pub fn not_found(detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing here", detail)
    }

    pub fn method_not_allowed() -> Problem {
        let detail = "this path does not take this method; see the Allow header";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Wrong method", detail)
    }

    pub fn foreign_host(host: &str) -> Problem {
        let detail = format!(
            "`{host}` is not a name of this agent; add it to `http.hosts` in agent.toml if it should be"
        );
        Self::new(StatusCode::MISDIRECTED_REQUEST, "foreign-host", "The request is for another host", detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    pub fn too_slow(detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The request did not arrive in time", detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::CONFLICT, "conflict", "The reference was used for something else", detail)
    }

    pub fn unavailable(code: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, title, detail)
    }

    pub fn internal(detail: impl Into<String>) -> Problem {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The agent failed at this", detail)
    }

    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem { status, code, title, detail: detail.into(), field: None }
    }

    fn retry_after(&self) -> Option<u32> {
        (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S)
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Problem {
        match error {
            RecordError::Conflict { .. } => Problem::conflict(error.to_string()),
            RecordError::Invalid { field, reason } => Problem::invalid(field, reason),
            RecordError::Storage { disk_full: true, .. } => {
                Problem::unavailable("disk-full", "The store's disk is full", error.to_string())
            }
            RecordError::Storage { .. } => {
                Problem::unavailable("storage", "The store's disk did not take the change", error.to_string())
            }
        }
    }
}

impl From<NoAnswer> for Problem {
    fn from(no: NoAnswer) -> Problem {
        let detail = format!("{no}; send it again, nothing is counted twice");
        Problem::unavailable("busy", "The agent cannot answer now", detail)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("urn:shopsmart:problem:{}", self.code))?;
        map.serialize_entry("title", self.title)?;
        map.serialize_entry("status", &self.status.as_u16())?;
        map.serialize_entry("detail", &self.detail)?;
        if let Some(field) = &self.field {
            map.serialize_entry("field", field)?;
        }
        if let Some(seconds) = self.retry_after() {
            map.serialize_entry("retry_after_s", &seconds)?;
        }
        map.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("a problem is texts and numbers");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
