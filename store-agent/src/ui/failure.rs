//! Why there is no page: each in words with what to do, and a code for whoever is called.

use crate::http::Problem;
use crate::inbox::NoAnswer;
use crate::ui::texts::{Text, shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Travels in the response's extensions to the guard, which knows the language to say it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    NotFound,
    Unreadable,
    TooLarge,
    TooSlow,
    /// Not from a button of this page.
    Foreign,
    ForeignHost,
    NotAllowed,
    Disk,
    Busy,
}

impl Failure {
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Failure::NotFound => StatusCode::NOT_FOUND,
            Failure::Unreadable => StatusCode::UNPROCESSABLE_ENTITY,
            Failure::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Failure::Foreign | Failure::NotAllowed => StatusCode::FORBIDDEN,
            Failure::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Failure::Disk | Failure::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// For whoever is called; stable.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Failure::NotFound => "not-found",
            Failure::Unreadable => "invalid",
            Failure::TooLarge => "too-large",
            Failure::TooSlow => "too-slow",
            Failure::Foreign => "foreign",
            Failure::ForeignHost => "foreign-host",
            Failure::NotAllowed => "not-allowed",
            Failure::Disk => "storage",
            Failure::Busy => "busy",
        }
    }

    /// What it is, and what to do.
    #[must_use]
    pub fn words(self) -> (Text, Text) {
        match self {
            Failure::NotFound => (shared::NOT_FOUND, shared::NOT_FOUND_WHY),
            Failure::Unreadable | Failure::TooLarge | Failure::TooSlow => {
                (shared::UNREADABLE, shared::UNREADABLE_WHY)
            }
            Failure::Foreign | Failure::ForeignHost => (shared::FOREIGN, shared::FOREIGN_WHY),
            Failure::NotAllowed => (shared::ERROR, shared::NOT_ALLOWED),
            Failure::Disk => (shared::DISK, shared::DISK_WHY),
            Failure::Busy => (shared::BUSY, shared::BUSY_WHY),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        tracing::error!(%error, "the people's database could not be used");
        Failure::Disk
    }
}

impl From<getrandom::Error> for Failure {
    fn from(error: getrandom::Error) -> Failure {
        tracing::error!(%error, "the system gives no random numbers");
        Failure::Disk
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        match problem.status {
            StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge,
            StatusCode::REQUEST_TIMEOUT => Failure::TooSlow,
            StatusCode::SERVICE_UNAVAILABLE if problem.code == "storage" => Failure::Disk,
            StatusCode::SERVICE_UNAVAILABLE => Failure::Busy,
            StatusCode::NOT_FOUND => Failure::NotFound,
            _ => Failure::Unreadable,
        }
    }
}

impl From<NoAnswer> for Failure {
    fn from(_: NoAnswer) -> Failure {
        Failure::Busy
    }
}
