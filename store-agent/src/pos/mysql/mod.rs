//! A POS that keeps its stock in MySQL or MariaDB: read over a connection of its own that can only read, and listened to over another
//! where its binary log may be had.

mod binlog;
mod cells;
mod connecting;
mod database;

use super::sql::SqlSource;
use crate::config::pos::PosConfig;
use crate::config::pos::mysql::MysqlServer;
use crate::http::Clocks;
use database::MysqlDatabase;
use std::path::PathBuf;

/// A POS's MySQL or MariaDB database as a source.
pub type MysqlSource = SqlSource<MysqlDatabase>;

impl MysqlSource {
    #[must_use]
    pub fn new(config: PosConfig, server: MysqlServer, sidecar_path: PathBuf, clocks: Clocks) -> MysqlSource {
        SqlSource::over(MysqlDatabase::new(server, &config), config, sidecar_path, clocks)
    }
}
