//! `kind = "postgres"`: where the server is, who we are to it, and whether its log may be read.

use super::{PosKind, PosTable};
use crate::config::{Checker, ConfigError};
use std::path::PathBuf;
use toml::Spanned;

const PORT: u16 = 5432;
/// PostgreSQL cuts longer names, silently.
const NAME_BYTES_MAX: usize = 63;

/// A PostgreSQL database of a POS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    pub host: PostgresHost,
    pub port: u16,
    pub database: String,
    pub user: String,
    /// Read anew at each connection. `None`: the server knows us otherwise.
    pub password_file: Option<PathBuf>,
    /// `None`: polled.
    pub log: Option<PostgresLog>,
}

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresHost {
    /// The folder of its socket, on this machine.
    Socket(PathBuf),
    /// By TLS, with a certificate of this authority.
    Tls { name: String, ca_file: PathBuf },
    /// On this machine, or where somebody has said that the line needs no secrecy.
    Plain { name: String },
}

/// What is needed to read which rows have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresLog {
    pub publication: String,
    pub slot: String,
}

impl Checker<'_> {
    pub(super) fn postgres_pos(&self, table: &PosTable) -> Result<PosKind, ConfigError> {
        if let Some(path) = &table.path {
            return Err(self.wrong(path, "is for files of a POS; a server is named with `host`"));
        }
        let missing = |what: &str| self.wrong(&table.source, what);
        let host = table.host.as_ref().ok_or_else(|| {
            missing("has no `host`: the server's name, or the folder of its socket such as `/run/postgresql`")
        })?;
        let database =
            table.database.as_ref().ok_or_else(|| missing("has no `database`: what is it called?"))?;
        let user =
            table.user.as_ref().ok_or_else(|| missing("has no `user`: a role that may read and no more"))?;
        Ok(PosKind::Postgres(Postgres {
            host: self.postgres_host(table, host)?,
            port: table.port.unwrap_or(PORT),
            database: self.postgres_name(database)?,
            user: self.postgres_name(user)?,
            password_file: table.password_file.as_ref().map(|file| self.folder.join(file)),
            log: self.postgres_log(table)?,
        }))
    }

    fn postgres_host(&self, table: &PosTable, host: &Spanned<String>) -> Result<PostgresHost, ConfigError> {
        let name = host.get_ref();
        if name.starts_with('/') {
            return Ok(PostgresHost::Socket(name.into()));
        }
        if name.is_empty() || name.contains(['/', '@', ',', ' ']) {
            return Err(self.wrong(host, "is neither a server's name nor the folder of a socket"));
        }
        if let Some(ca_file) = &table.ca_file {
            return Ok(PostgresHost::Tls { name: name.clone(), ca_file: self.folder.join(ca_file) });
        }
        if !is_here(name) && table.unencrypted != Some(true) {
            let message = "is another machine: give `ca_file`, the authority of its certificate, or say `unencrypted = true`";
            return Err(self.wrong(host, message));
        }
        Ok(PostgresHost::Plain { name: name.clone() })
    }

    fn postgres_log(&self, table: &PosTable) -> Result<Option<PostgresLog>, ConfigError> {
        match (&table.publication, &table.slot) {
            (None, None) => Ok(None),
            (Some(given), None) => {
                Err(self
                    .wrong(given, "needs `slot` beside it: a name that no other reader of that server uses"))
            }
            (None, Some(given)) => {
                Err(self.wrong(given, "needs `publication` beside it: which tables is the log read for?"))
            }
            (Some(publication), Some(slot)) => {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                if !slot.get_ref().chars().all(plain) {
                    return Err(self.wrong(slot, "may have small letters, digits and `_` only"));
                }
                Ok(Some(PostgresLog {
                    publication: self.postgres_name(publication)?,
                    slot: self.postgres_name(slot)?,
                }))
            }
        }
    }

    fn postgres_name(&self, given: &Spanned<String>) -> Result<String, ConfigError> {
        let name = given.get_ref();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return Err(self.wrong(given, "must be a name of 1 to 63 bytes"));
        }
        Ok(name.clone())
    }
}

/// This machine, by its usual names.
fn is_here(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::super::Config;
    use super::*;
    use std::path::Path;

    const POS: &str = "store = \"S0001\"\ndata_dir = \"data\"\n[[pos]]\nsource = \"erp\"\nkind = \"postgres\"\n\
        on_hand = \"SELECT 1 AS item, 2 AS quantity\"\ndatabase = \"shop\"\nuser = \"reader\"\n";

    fn postgres(more: &str) -> Result<Postgres, ConfigError> {
        let config = Config::parse(&format!("{POS}{more}"), Path::new("/etc/agent.toml"))?;
        match &config.pos[0].kind {
            PosKind::Postgres(postgres) => Ok(postgres.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_server_on_this_machine_needs_no_certificate_and_another_one_does() {
        let at = |host: &str| postgres(&format!("host = \"{host}\"\n")).map(|found| found.host);
        assert_eq!(at("/run/postgresql").unwrap(), PostgresHost::Socket("/run/postgresql".into()));
        for here in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(at(here).unwrap(), PostgresHost::Plain { name: here.to_owned() });
        }
        let refused = at("pos.shop").unwrap_err().to_string();
        assert!(refused.contains("ca_file"), "{refused}");
        let by_tls = postgres("host = \"pos.shop\"\nca_file = \"ca.pem\"\n").unwrap();
        assert_eq!(
            by_tls.host,
            PostgresHost::Tls { name: "pos.shop".to_owned(), ca_file: "/etc/ca.pem".into() }
        );
        let plain = postgres("host = \"pos.shop\"\nunencrypted = true\npassword_file = \"p\"\n").unwrap();
        assert_eq!(plain.password_file.as_deref(), Some(Path::new("/etc/p")));
        assert_eq!(plain.port, 5432);
    }

    #[test]
    fn a_table_that_cannot_work_is_named_with_what_to_write() {
        for (more, said) in [
            ("", "no `host`"),
            ("host = \"a b\"\n", "neither a server's name"),
            ("host = \"localhost\"\npublication = \"p\"\n", "needs `slot`"),
            ("host = \"localhost\"\nslot = \"s\"\n", "needs `publication`"),
            ("host = \"localhost\"\npublication = \"p\"\nslot = \"S-1\"\n", "small letters"),
            ("host = \"localhost\"\npath = \"pos.db\"\n", "`path`"),
        ] {
            let refused = postgres(more).unwrap_err().to_string();
            assert!(refused.contains(said), "{more}: {refused}");
        }
    }
}
