//! A POS that keeps its stock in an SQLite database of its own: read beside it, with `PRAGMA data_version` as doorbell.

mod database;
pub mod outbox;

use super::sql::SqlSource;
use crate::config::pos::PosConfig;
use crate::http::Clocks;
use database::SqliteDatabase;
use std::path::PathBuf;

/// A POS's SQLite database as a source.
pub type SqliteSource = SqlSource<SqliteDatabase>;

impl SqliteSource {
    #[must_use]
    pub fn new(config: PosConfig, path: PathBuf, sidecar_path: PathBuf, clocks: Clocks) -> SqliteSource {
        SqlSource::over(SqliteDatabase::new(path, &config.mapping), config, sidecar_path, clocks)
    }
}
