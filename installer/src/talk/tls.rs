//! TLS to the hub, which is known by the certificate of its authority: by that certificate's SHA-256, the pin.
//!
//! Where it enrols stores, the hub shows the authority's certificate as the last of its chain; elsewhere it has to be known. Whoever shows another chain is not the hub; who signed that
//! chain is remembered, because it names whoever opens the encryption on the way.

use crate::fault::{Code, Fault};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use sync_protocol::enrolment::{Address, Pin};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate chain with its key.
pub struct Credentials {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// The SHA-256 of a certificate.
#[must_use]
pub fn pin_of(certificate: &CertificateDer<'_>) -> Pin {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut pin = [0; 32];
    pin.copy_from_slice(digest.as_ref());
    Pin(pin)
}

/// Who answered a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Who signed the first certificate, and what it is for.
    pub issuer: String,
    pub subject: String,
    /// Why it is not the hub; `None`: it is.
    pub wrong: Option<String>,
}

/// Checks a server against the pin, and remembers whom it saw.
#[derive(Debug)]
pub struct Pinned {
    pin: Pin,
    /// Where it is known already: only the door for enrolments shows it.
    authority: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Shown>>,
}

impl Pinned {
    #[must_use]
    pub fn on(pin: Pin) -> Arc<Pinned> {
        Pinned::on_known(pin, None)
    }

    #[must_use]
    pub fn on_known(pin: Pin, authority: Option<CertificateDer<'static>>) -> Arc<Pinned> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Arc::new(Pinned { pin, authority, provider, seen: Mutex::new(None) })
    }

    /// TLS 1.3, with the store's certificate where there is one.
    pub fn client(self: &Arc<Self>, credentials: Option<&Credentials>) -> Result<ClientConfig, Fault> {
        let unusable = |error| Fault::caused(Code::E603, "key and certificate can't be used", error);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Pinned>::clone(self));
        match credentials {
            None => Ok(builder.with_no_client_auth()),
            Some(credentials) => builder
                .with_client_auth_cert(credentials.chain.clone(), credentials.key.clone_key())
                .map_err(unusable),
        }
    }

    /// Who answered last.
    #[must_use]
    pub fn seen(&self) -> Option<Shown> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fault of a handshake that failed, with the name of whoever answered it.
    #[must_use]
    pub fn fault(&self, at: &Address, error: &std::io::Error) -> Fault {
        match self.seen() {
            Some(Shown { issuer, subject, wrong: Some(wrong) }) => {
                let says = format!(
                    "{at} shows a certificate of `{subject}`, issued by `{issuer}`, and that is not our hub: {wrong}"
                );
                Fault::new(Code::E305, says)
            }
            _ => Fault::new(Code::E306, format!("no TLS connection to {at}: {error}")),
        }
    }

    fn check(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let authority =
            others.iter().chain([first]).chain(&self.authority).find(|shown| pin_of(shown) == self.pin);
        let Some(authority) = authority else {
            return Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(first, others, name, &[], now).map(drop)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = self.check(first, others, name, now);
        let (subject, issuer) = names(first);
        let wrong = checked.as_ref().err().map(in_words);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Shown { issuer, subject, wrong });
        checked.map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the hub's own authority is not in it".to_owned()
        }
        rustls::Error::InvalidCertificate(error) => error.to_string(),
        error => error.to_string(),
    }
}

fn names(certificate: &CertificateDer<'_>) -> (String, String) {
    match X509Certificate::from_der(certificate) {
        Ok((_, certificate)) => {
            (plain(&certificate.subject().to_string()), plain(&certificate.issuer().to_string()))
        }
        Err(_) => ("something unreadable".to_owned(), "nobody knows whom".to_owned()),
    }
}

/// A stranger's words on a person's screen: short, and without anything that moves the cursor.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
