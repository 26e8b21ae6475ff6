//! A POS that keeps its stock in PostgreSQL: read over a session that can only read.

mod cells;
mod connection;
mod database;
mod log;
mod pgoutput;
mod tables;

use super::sql::SqlSource;
use crate::config::pos::{PosConfig, postgres::Postgres};
use crate::http::Clocks;
use database::PostgresDatabase;
use log::PostgresLog;
use std::path::PathBuf;

/// A POS's PostgreSQL as a source; it connects to nothing yet.
#[must_use]
pub fn open(
    settings: Postgres,
    config: PosConfig,
    sidecar_path: PathBuf,
    clocks: Clocks,
) -> SqlSource<PostgresDatabase> {
    let log = config.log.clone().map(|log| {
        let ledger = log.ledger.filter(|_| config.mapping.changes.is_some());
        PostgresLog::new(settings.clone(), ledger, log.publication)
    });
    let db = PostgresDatabase::new(settings, &config.mapping, log);
    SqlSource::over(db, config, sidecar_path, clocks)
}
