//! `kind = "postgres"`: where the server is, and who we are to it.

use super::{PosKind, PosTable};
use crate::config::{Checker, ConfigError};
use std::path::{Path, PathBuf};
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

impl Checker<'_> {
    pub(super) fn postgres_pos(&self, table: &PosTable) -> Result<PosKind, ConfigError> {
        let here = &table.source;
        if let Some(path) = &table.path {
            return Err(
                self.wrong(path, "is for files of a POS; a server is named with `socket` or `address`")
            );
        }
        let Some(user) = &table.user else {
            return Err(self.wrong(here, "has no `user`: as whom is the POS's database read?"));
        };
        let Some(database) = &table.database else {
            return Err(self.wrong(here, "has no `database`: which one of the server's?"));
        };
        let (host, port) = match (&table.socket, &table.address) {
            (Some(socket), None) => socket_at(&self.folder.join(socket.get_ref())),
            (None, Some(address)) => self.postgres_address(table, address)?,
            _ => return Err(self.wrong(here, "needs either `socket` or `address`: where is the server?")),
        };
        let password_file = table.password_file.as_ref().map(|file| self.folder.join(file.get_ref()));
        let (database, user) = (self.postgres_name(database)?, self.postgres_name(user)?);
        Ok(PosKind::Postgres(Postgres { host, port, database, user, password_file }))
    }

    fn postgres_address(
        &self,
        table: &PosTable,
        address: &Spanned<String>,
    ) -> Result<(PostgresHost, u16), ConfigError> {
        let message = "is no address; write a name or an IPv4 address, and a port if it is not 5432";
        let (name, port) = tcp(address.get_ref()).ok_or_else(|| self.wrong(address, message))?;
        if let Some(ca_file) = &table.ca_file {
            let ca_file = self.folder.join(ca_file.get_ref());
            return Ok((PostgresHost::Tls { name, ca_file }, port));
        }
        let is_plain = table.unencrypted.as_ref().is_some_and(|given| *given.get_ref());
        if !is_here(&name) && !is_plain {
            let message = "is another machine: give `ca_file`, the authority of its certificate, or write `unencrypted = true`";
            return Err(self.wrong(address, message));
        }
        Ok((PostgresHost::Plain { name }, port))
    }

    fn postgres_name(&self, given: &Spanned<String>) -> Result<String, ConfigError> {
        let name = given.get_ref();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return Err(self.wrong(given, "must be a name of 1 to 63 bytes"));
        }
        Ok(name.clone())
    }
}

/// The folder of a socket and its port, which is in the name of the socket.
fn socket_at(path: &Path) -> (PostgresHost, u16) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let port = name.strip_prefix(".s.PGSQL.").and_then(|port| port.parse().ok());
    match (port, path.parent()) {
        (Some(port), Some(folder)) => (PostgresHost::Socket(folder.to_owned()), port),
        _ => (PostgresHost::Socket(path.to_owned()), PORT),
    }
}

fn tcp(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, PORT),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    (!host.is_empty() && host.chars().all(is_plain)).then(|| (host.to_owned(), port))
}

/// This machine, by its usual names.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::super::Config;
    use super::*;

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
        let at = |line: &str| postgres(&format!("{line}\n")).map(|found| (found.host, found.port));
        for (line, port) in [("/run/postgresql", 5432), ("/run/postgresql/.s.PGSQL.5433", 5433)] {
            let found = at(&format!("socket = \"{line}\"")).unwrap();
            assert_eq!(found, (PostgresHost::Socket("/run/postgresql".into()), port));
        }
        let here = PostgresHost::Plain { name: "localhost".to_owned() };
        assert_eq!(at("address = \"localhost:5433\"").unwrap(), (here, 5433));
        let refused = at("address = \"pos.shop\"").unwrap_err().to_string();
        assert!(refused.contains("ca_file"), "{refused}");
        let by_tls = PostgresHost::Tls { name: "pos.shop".to_owned(), ca_file: "/etc/ca.pem".into() };
        assert_eq!(at("address = \"pos.shop\"\nca_file = \"ca.pem\"").unwrap(), (by_tls, 5432));
        let plain = postgres("address = \"pos.shop\"\nunencrypted = true\npassword_file = \"p\"\n").unwrap();
        assert_eq!(plain.password_file.as_deref(), Some(Path::new("/etc/p")));
    }

    #[test]
    fn a_table_that_cannot_work_is_named_with_what_to_write() {
        for (more, said) in [
            ("", "either `socket` or `address`"),
            ("address = \"localhost\"\nsocket = \"/run/postgresql\"\n", "either `socket` or `address`"),
            ("address = \"a b\"\n", "is no address"),
            ("address = \"localhost\"\npath = \"pos.db\"\n", "`pos.path`"),
        ] {
            let refused = postgres(more).unwrap_err().to_string();
            assert!(refused.contains(said), "{more}: {refused}");
        }
    }
}
