//! TLS as every transport of the ingest wants it: version 1.3, the hub's own certificate, and a client certificate of
//! the hub's authority, always.

use super::Farewell;
use crate::identity::{IdentityError, serial_of, store_of};
use crate::standing::Serial;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use std::sync::Arc;
use sync_protocol::StoreId;

/// What the hub shows, and whose certificates it takes.
pub struct Certificates {
    pub ca: CertificateDer<'static>,
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// What the hub shows where it is the client, and whose certificates it takes there.
pub struct ClientCertificates {
    pub authorities: Vec<CertificateDer<'static>>,
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Certificates {
    fn clone(&self) -> Self {
        Self { ca: self.ca.clone(), chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// Why TLS can't be set up. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("a certificate authority's certificate can't be used")]
    Authority(#[source] rustls::Error),
    #[error("the check of client certificates can't be set up")]
    Verifier(#[from] VerifierBuilderError),
    #[error("the hub's own certificate and key can't be used")]
    Certificate(#[source] rustls::Error),
}

/// The hub's side of TLS, for peers that speak one of `protocols`.
pub(super) fn server_config(
    certificates: Certificates,
    protocols: &[&[u8]],
) -> Result<rustls::ServerConfig, TlsError> {
    let Certificates { ca, chain, key } = certificates;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(TlsError::Authority)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Certificate)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(TlsError::Certificate)?;
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // A resumed session would skip the check of the client's certificate.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

/// The hub's side of TLS where it is the client.
pub(super) fn client_config(
    certificates: ClientCertificates,
    protocol: &[u8],
) -> Result<rustls::ClientConfig, TlsError> {
    let ClientCertificates { authorities, chain, key } = certificates;
    let mut roots = RootCertStore::empty();
    authorities.into_iter().try_for_each(|ca| roots.add(ca)).map_err(TlsError::Authority)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Certificate)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(TlsError::Certificate)?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    Ok(tls)
}

/// Whose certificate a peer has shown. That it is of our authority, and still good, TLS has checked.
pub(super) fn store_shown(chain: Option<&[CertificateDer<'_>]>) -> Result<(StoreId, Serial), Farewell> {
    let certificate = chain.and_then(|chain| chain.first());
    let certificate =
        certificate.ok_or_else(|| Farewell::NoIdentity("no certificate was shown".to_owned()))?;
    let nobody = |error: IdentityError| Farewell::NoIdentity(error.to_string());
    Ok((store_of(certificate).map_err(nobody)?, serial_of(certificate).map_err(nobody)?))
}
