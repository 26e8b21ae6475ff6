//! Certificates as an intruder might bring them: of another authority, or past their time.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// A client certificate with its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// As `cloud-hub store certificate --offline` writes it.
    pub fn read(folder: &Path) -> Identity {
        let chain = CertificateDer::pem_file_iter(folder.join("store.pem")).expect("store.pem can be read");
        Identity {
            chain: chain.collect::<Result<_, _>>().expect("store.pem holds certificates"),
            key: PrivateKeyDer::from_pem_file(folder.join("store.key")).expect("store.key holds a key"),
        }
    }

    fn signed(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key in PKCS #8");
        Identity { chain: vec![certificate.der().clone()], key }
    }
}

/// Names the store rightly, but nobody the hub trusts has signed it.
pub fn of_another_authority(store: &str) -> Identity {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "somebody else");
    let issuer = Issuer::new(params, KeyPair::generate().expect("a key"));
    Identity::signed(&naming(store), &issuer)
}

/// Signed by the hub's own authority, but for last year only.
pub fn expired(store: &str, authority_pem: &Path, authority_key: &Path) -> Identity {
    let certificate = std::fs::read_to_string(authority_pem).expect("the hub's certificate can be read");
    let key = std::fs::read_to_string(authority_key).expect("the hub's key can be read");
    let key = KeyPair::from_pem(&key).expect("the hub's key is one");
    let issuer = Issuer::from_ca_cert_pem(&certificate, key).expect("the hub's certificate can sign");
    let mut params = naming(store);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2024, 12, 31);
    Identity::signed(&params, &issuer)
}

fn naming(store: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let uri = format!("shopsmart:store:{store}");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("plain letters"))];
    params
}
