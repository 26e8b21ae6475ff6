//! How the server is reached, by the connection that reads and the one that listens alike.

use crate::config::pos::mysql::{Address, MysqlServer};
use crate::pos::source::SourceError;
use mysql::{OptsBuilder, SslOpts};
use std::borrow::Cow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const SENT_WITHIN: Duration = Duration::from_secs(60);
/// Largest packet taken from the server; a row is one, and so is an event of its log.
const PACKET_BYTES_MAX: usize = 16 << 20;
/// The rights that everybody has to a file.
const EVERYBODY: u32 = 0o007;

/// With the password as its file has it now.
pub fn options(server: &MysqlServer) -> Result<OptsBuilder, SourceError> {
    let password = server.password_file.as_deref().map(password).transpose()?;
    let mut opts = OptsBuilder::new()
        .user(Some(server.user.clone()))
        .pass(password)
        .db_name(Some(server.database.clone()))
        .prefer_socket(false)
        .tcp_connect_timeout(Some(CONNECT_WITHIN))
        .write_timeout(Some(SENT_WITHIN))
        .stmt_cache_size(0usize)
        .max_allowed_packet(Some(PACKET_BYTES_MAX));
    opts = match &server.address {
        Address::Socket(path) => opts.socket(Some(path.to_string_lossy().into_owned())),
        Address::Tcp(host, port) => opts.ip_or_hostname(Some(host.clone())).tcp_port(*port),
    };
    if let Some(ca_file) = &server.ca_file {
        let tls = SslOpts::default().with_root_cert_path(Some(Cow::<Path>::from(ca_file.clone())));
        opts = opts.ssl_opts(tls);
    }
    Ok(opts)
}

fn password(file: &Path) -> Result<String, SourceError> {
    let wrong = |source| SourceError::Password { path: file.to_owned(), source };
    let mode = std::fs::metadata(file).map_err(wrong)?.permissions().mode();
    if mode & EVERYBODY != 0 {
        return Err(SourceError::PasswordShown { path: file.to_owned() });
    }
    let text = std::fs::read_to_string(file).map_err(wrong)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
