//! A connection to a POS's PostgreSQL: one session that can only read, waits for nobody for long, and asks little of the server.

use crate::config::pos::postgres::{Postgres, PostgresHost};
use crate::pos::source::SourceError;
use crate::pos::sql::database::failed;
use postgres::{Client, Config, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;

const APPLICATION: &str = "shopsmart store-agent";
const LOG_APPLICATION: &str = "shopsmart store-agent log";
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A server that has gone without a word is noticed within this.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The first with snapshots as text and slots with a bound.
const OLDEST: i32 = 130_000;

/// Reading only, without patience for locks, times in UTC, everything written in one way, and no more of the machine than one process.
const SESSION: &str = "
    SET default_transaction_read_only = on;
    SET statement_timeout = '60s';
    SET lock_timeout = '1s';
    SET idle_in_transaction_session_timeout = '60s';
    SET TimeZone = 'UTC';
    SET DateStyle = 'ISO, YMD';
    SET extra_float_digits = 1;
    SET bytea_output = 'hex';
    SET jit = off;
    SET max_parallel_workers_per_gather = 0;";

/// Why no session comes about, where it is ours to say.
#[derive(Debug, thiserror::Error)]
pub enum NoSession {
    #[error("cannot read the password file {path}", path = path.display())]
    Password { path: PathBuf, source: std::io::Error },
    #[error("everyone may read the password file {path}; `chmod 600` it", path = path.display())]
    Exposed { path: PathBuf },
    #[error("cannot read the certificate of the authority, {path}", path = path.display())]
    Authority { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the server is PostgreSQL {found}; 13 is the oldest that can be read")]
    TooOld { found: i32 },
}

impl From<NoSession> for SourceError {
    fn from(error: NoSession) -> SourceError {
        failed("connecting to it")(error)
    }
}

/// A new session.
pub fn connect(settings: &Postgres) -> Result<Client, SourceError> {
    connect_as(settings, APPLICATION)
}

/// One more, for the log.
pub fn connect_to_log(settings: &Postgres) -> Result<Client, SourceError> {
    connect_as(settings, LOG_APPLICATION)
}

fn connect_as(settings: &Postgres, application: &str) -> Result<Client, SourceError> {
    let mut config = Config::new();
    config
        .port(settings.port)
        .user(&settings.user)
        .dbname(&settings.database)
        .application_name(application)
        .connect_timeout(CONNECT_WITHIN)
        .keepalives_idle(SILENCE_MAX)
        .keepalives_interval(SILENCE_MAX / 3)
        .tcp_user_timeout(SILENCE_MAX);
    if let Some(path) = &settings.password_file {
        config.password(password(path)?);
    }
    let connected = match &settings.host {
        PostgresHost::Socket(folder) => config.host_path(folder).connect(NoTls),
        PostgresHost::Plain { name } => {
            config.host(name).ssl_mode(postgres::config::SslMode::Disable).connect(NoTls)
        }
        PostgresHost::Tls { name, ca_file } => {
            config.host(name).ssl_mode(postgres::config::SslMode::Require).connect(by_tls(ca_file)?)
        }
    };
    let mut client = connected.map_err(failed("connecting to it"))?;
    client.batch_execute(SESSION).map_err(failed("setting the session up"))?;
    let version: i32 = client
        .query_one("SELECT current_setting('server_version_num')::int4", &[])
        .and_then(|row| row.try_get(0))
        .map_err(failed("asking for its version"))?;
    if version < OLDEST {
        return Err(NoSession::TooOld { found: version / 10_000 }.into());
    }
    Ok(client)
}

/// Without the line end that editors leave.
fn password(path: &Path) -> Result<Vec<u8>, NoSession> {
    let unread = |source| NoSession::Password { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(unread)?.permissions().mode();
    if mode & 0o004 != 0 {
        return Err(NoSession::Exposed { path: path.to_owned() });
    }
    let mut bytes = std::fs::read(path).map_err(unread)?;
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(bytes)
}

fn by_tls(ca_file: &Path) -> Result<MakeRustlsConnect, NoSession> {
    let unread = |source: Box<dyn std::error::Error + Send + Sync>| NoSession::Authority {
        path: ca_file.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|error| unread(error.into()))? {
        let certificate = certificate.map_err(|error| unread(error.into()))?;
        roots.add(certificate).map_err(|error| unread(error.into()))?;
    }
    if roots.is_empty() {
        return Err(unread("it holds no certificate".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unread(error.into()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_everyone_can_read_is_refused_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "s3cret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let said = format!("{0} {0:?}", password(&path).unwrap_err());
        assert!(said.contains("chmod 600") && !said.contains("s3cret"), "{said}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password(&path).unwrap(), b"s3cret");
    }
}
