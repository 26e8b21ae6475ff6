//! `kind = "mysql"`: where the server is, and as whom it is read.

use super::{PosKind, PosTable};
use crate::config::{Checker, ConfigError};
use std::fmt;
use std::path::PathBuf;

const PORT: u16 = 3306;

/// A MySQL or MariaDB server, as whom it is read, and which database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlServer {
    pub address: Address,
    pub user: String,
    /// Read whenever a connection is made. `None`: the socket says who it is.
    pub password_file: Option<PathBuf>,
    pub database: String,
    /// The server's certificate authority; with it the connection is TLS.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Socket(PathBuf),
    Tcp(String, u16),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(path) => write!(f, "{}", path.display()),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl Checker<'_> {
    pub(super) fn mysql_pos(&self, table: &PosTable) -> Result<PosKind, ConfigError> {
        let here = &table.source;
        let Some(user) = &table.user else {
            return Err(self.wrong(here, "has no `user`: as whom is the POS's database read?"));
        };
        let Some(database) = &table.database else {
            return Err(self.wrong(here, "has no `database`: which one of the server's?"));
        };
        let is_plain = table.unencrypted.as_ref().is_some_and(|given| *given.get_ref());
        let address = match (&table.socket, &table.address) {
            (Some(socket), None) => Address::Socket(self.folder.join(socket.get_ref())),
            (None, Some(address)) => {
                let message = "is no address; write a name or an IPv4 address, and a port if it is not 3306";
                let found = tcp(address.get_ref()).ok_or_else(|| self.wrong(address, message))?;
                if table.ca_file.is_none() && !is_plain && !is_this_machine(&found.0) {
                    let message = "is another machine: give its `ca_file`, so that the password is not sent in the clear; or write `unencrypted = true`";
                    return Err(self.wrong(address, message));
                }
                Address::Tcp(found.0, found.1)
            }
            _ => return Err(self.wrong(here, "needs either `socket` or `address`: where is the server?")),
        };
        let file = |given: &Option<toml::Spanned<PathBuf>>| {
            given.as_ref().map(|path| self.folder.join(path.get_ref()))
        };
        Ok(PosKind::Mysql(MysqlServer {
            address,
            user: user.get_ref().clone(),
            password_file: file(&table.password_file),
            database: database.get_ref().clone(),
            ca_file: file(&table.ca_file),
        }))
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

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}
