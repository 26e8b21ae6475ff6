//! Where stock changes come from: each source yields documents, with a cursor where it has one, into the inbox.
//!
//! Tills that speak HTTP send by themselves (`http`). A POS that can't be changed is read: behind the seam `PosSource` (`source`) by a
//! thread of its own (`runner`), its rows turned into documents by the rules of the configuration (`mapping`). One that lives with its
//! vendor sends (`webhooks`).

mod card;
pub mod checkup;
mod cloud_events;
mod decimal;
mod files;
#[cfg(test)]
mod fuzz;
pub mod http;
mod json;
mod key_cursor;
mod mapping;
pub mod mysql;
pub mod runner;
mod sidecar;
pub mod source;
pub mod sql;
pub mod sqlite;
mod times;
pub mod webhooks;

use crate::config::pos::{PosConfig, PosKind};
use crate::http::Clocks;
use std::path::{Path, PathBuf};

/// The source that a `[[pos]]` describes; it opens nothing yet.
#[must_use]
pub fn open(config: PosConfig, data_dir: &Path, clocks: Clocks) -> Box<dyn source::PosSource> {
    let sidecar = sidecar_path(data_dir, config.source.as_str());
    match config.kind.clone() {
        PosKind::Sqlite { path } => Box::new(sqlite::SqliteSource::new(config, path, sidecar, clocks)),
        PosKind::Mysql(server) => Box::new(mysql::MysqlSource::new(config, server, sidecar, clocks)),
        PosKind::Files(files) => Box::new(files::FileSource::new(config, *files, sidecar, clocks)),
    }
}

/// The file beside the agent's database.
fn sidecar_path(data_dir: &Path, source: &str) -> PathBuf {
    data_dir.join(format!("pos-{source}.db"))
}
