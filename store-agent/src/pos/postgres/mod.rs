//! A POS that keeps its stock in PostgreSQL: read over a session that can only read.

mod cells;
mod connection;
mod database;
mod tables;

use super::sql::SqlSource;
use crate::config::pos::{PosConfig, postgres::Postgres};
use crate::http::Clocks;
use database::PostgresDatabase;
use std::path::PathBuf;

/// A POS's PostgreSQL as a source; it connects to nothing yet.
#[must_use]
pub fn open(
    settings: Postgres,
    config: PosConfig,
    sidecar_path: PathBuf,
    clocks: Clocks,
) -> SqlSource<PostgresDatabase> {
    let db = PostgresDatabase::new(settings, &config.mapping);
    SqlSource::over(db, config, sidecar_path, clocks)
}
