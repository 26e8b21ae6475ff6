//! How this store proves who it is: certificate and key from files, checked before they are used.

use super::named::Named;
use crate::config::HubConfig;
use rustls::client::{VerifierBuilderError, WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, WantsVerifier};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why this store cannot prove who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {what} {path}: {source}", path = path.display())]
    Read { what: &'static str, path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the private key {path} can be read by everyone on this machine; run `chmod 600 {path}`", path = path.display())]
    Exposed { path: PathBuf },
    #[error("{what} {path} holds no certificate", path = path.display())]
    Empty { what: &'static str, path: PathBuf },
    #[error("`{0}`, the name the hub's certificate should carry, is neither a host name nor an IP address")]
    Name(String),
    #[error("the hub's certificate authority cannot be used")]
    Authority(#[source] VerifierBuilderError),
    #[error("certificate and key do not go together or are of a kind not supported: {0}")]
    Unusable(#[from] rustls::Error),
}

/// TLS 1.3 with this store's certificate, trusting the hub's authority and no other.
pub fn client(config: &HubConfig) -> Result<ClientConfig, IdentityError> {
    let roots = roots(config)?;
    identified(config, builder()?.with_root_certificates(roots))
}

/// As `client`, and the hub's certificate has to carry `server_name`, whatever name the connection is made with.
pub fn client_naming(config: &HubConfig) -> Result<ClientConfig, IdentityError> {
    let name = ServerName::try_from(config.server_name.clone())
        .map_err(|_| IdentityError::Name(config.server_name.clone()))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(config)?), provider())
        .build()
        .map_err(IdentityError::Authority)?;
    let named = Arc::new(Named { name, verifier });
    identified(config, builder()?.dangerous().with_custom_certificate_verifier(named))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, IdentityError> {
    Ok(ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?)
}

fn identified(
    config: &HubConfig,
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
) -> Result<ClientConfig, IdentityError> {
    let chain = certificates("this store's certificate", &config.certificate_file)?;
    let key = private_key(&config.key_file)?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

fn roots(config: &HubConfig) -> Result<rustls::RootCertStore, IdentityError> {
    let mut roots = rustls::RootCertStore::empty();
    for root in certificates("the hub's certificate authority", &config.ca_file)? {
        roots.add(root)?;
    }
    Ok(roots)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read = |source: rustls::pki_types::pem::Error| IdentityError::Read {
        what,
        path: path.to_owned(),
        source: Box::new(source),
    };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(read)?.collect::<Result<_, _>>().map_err(read)?;
    if chain.is_empty() { Err(IdentityError::Empty { what, path: path.to_owned() }) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    use std::os::unix::fs::PermissionsExt;
    let what = "this store's private key";
    let mode = std::fs::metadata(path)
        .map_err(|source| IdentityError::Read { what, path: path.to_owned(), source: Box::new(source) })?
        .permissions()
        .mode();
    if mode & 0o004 != 0 {
        return Err(IdentityError::Exposed { path: path.to_owned() });
    }
    PrivateKeyDer::from_pem_file(path).map_err(|source| IdentityError::Read {
        what,
        path: path.to_owned(),
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_everyone_can_read_is_refused_with_what_to_do() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        std::fs::write(&path, "key").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let said = private_key(&path).unwrap_err().to_string();
        assert!(said.contains("chmod 600"), "{said}");
    }
}
