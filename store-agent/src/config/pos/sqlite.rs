//! `kind = "sqlite"`: where the file is.

use super::{PosKind, PosTable};
use crate::config::{Checker, ConfigError};

impl Checker<'_> {
    pub(super) fn sqlite_pos(&self, table: &PosTable) -> Result<PosKind, ConfigError> {
        let Some(path) = &table.path else {
            return Err(self.wrong(&table.source, "has no `path`: where is the file of the POS's database?"));
        };
        Ok(PosKind::Sqlite { path: self.folder.join(path.get_ref()) })
    }
}
