//! What `GET` handlers share: the name in the path, and questions to the database on a thread that may block.

use super::Problem;
use crate::store::reader::Reader;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use std::fmt::Display;
use std::sync::Arc;

/// The last part of the path, read as what it names.
pub fn named<T: TryFrom<String, Error: Display>>(
    name: &str,
    path: Result<Path<String>, PathRejection>,
) -> Result<T, Problem> {
    let Path(text) = path.map_err(|error| Problem::bad_parameter(name, error.body_text()))?;
    T::try_from(text).map_err(|error| Problem::bad_parameter(name, error.to_string()))
}

/// Asks `question` of the reader; a database that cannot be read is a problem worth logging.
pub async fn ask<T: Send + 'static>(
    reader: &Arc<Reader>,
    question: impl FnOnce(&Reader) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let reader = Arc::clone(reader);
    match tokio::task::spawn_blocking(move || question(&reader)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::error!(%error, "the database could not be read");
            let detail = format!("the agent's database could not be read: {error}");
            Err(Problem::unavailable("storage", "The store's disk could not be read", detail))
        }
        Err(_) => Err(Problem::unavailable("stopping", "The agent is stopping", "ask again in a moment")),
    }
}
