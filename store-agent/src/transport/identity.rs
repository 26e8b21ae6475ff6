//! How this store proves who it is: certificate and key from files, checked before they are used.

use crate::config::HubConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
    #[error("certificate and key do not go together or are of a kind not supported: {0}")]
    Unusable(#[from] rustls::Error),
}

/// TLS 1.3 with this store's certificate, trusting the hub's authority and no other.
pub fn client(config: &HubConfig) -> Result<rustls::ClientConfig, IdentityError> {
    let mut roots = rustls::RootCertStore::empty();
    for root in certificates("the hub's certificate authority", &config.ca_file)? {
        roots.add(root)?;
    }
    let chain = certificates("this store's certificate", &config.certificate_file)?;
    let key = private_key(&config.key_file)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?)
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
