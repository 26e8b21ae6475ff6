//! The certificate that the store's page shows: read from two files, and checked before anybody connects.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Why the page can't show a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read {path}; `cloud-hub store page-certificate` writes certificate and key for the page", path = path.display())]
    Read { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{path} holds no certificate", path = path.display())]
    Empty { path: PathBuf },
    #[error("the private key {path} can be read by everyone on this machine; run `chmod 600 {path}`", path = path.display())]
    Exposed { path: PathBuf },
    #[error("certificate and key of the page do not go together or are of a kind not supported")]
    Unusable(#[from] rustls::Error),
}

/// TLS with this certificate; HTTP/2 for those who want it.
///
/// # Errors
/// The files can't be read or don't go together, or everyone can read the key.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, CertificateError> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::Read { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(certificate))?;
    if chain.is_empty() {
        return Err(CertificateError::Empty { path: certificate.to_owned() });
    }
    if std::fs::metadata(key).is_ok_and(|file| file.permissions().mode() & 0o004 != 0) {
        return Err(CertificateError::Exposed { path: key.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
