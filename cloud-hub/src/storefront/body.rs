//! The body of a request, read whole. One that is too long is told so wherever it is sent.

use super::problem::{Kind, Problem};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;

/// The longest body that is read at all.
pub(super) const BODY_BYTES_MAX: usize = 128 * 1024;

/// The whole body, of at most `bytes_max` bytes.
pub(super) fn whole_body(body: Result<Bytes, BytesRejection>, bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Kind::BodyTooLarge, format!("the body has more than {bytes_max} bytes"));
    match body {
        Ok(body) if body.len() > bytes_max => Err(too_large()),
        Ok(body) => Ok(body),
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        Err(_) => Err(Problem::new(Kind::InvalidBody, "the body broke off")),
    }
}
