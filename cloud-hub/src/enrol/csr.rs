//! Certificate requests, and the proofs that come with them. What is taken from a request is its key, and nothing else: whom a
//! certificate names and what it is good for is the authority's to say.

use rcgen::{CertificateSigningRequestParams, PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData};
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use sync_protocol::enrolment::{BoundKey, CSR_BYTES_MAX, Signature};

/// An uncompressed point on P-256.
const POINT_BYTES: usize = 65;

/// A request whose signature is right: whoever wrote it has the key.
pub struct Csr {
    pub(super) key: PublicKey,
    /// Tells keys apart.
    pub(super) key_hash: [u8; 32],
}

/// Why a request is none. The peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CsrRefused {
    #[error("a certificate request has at most {CSR_BYTES_MAX} bytes")]
    TooLong,
    #[error("this is no certificate request (PEM, PKCS #10), or it asks for extensions that nobody gets")]
    Unreadable,
    #[error("the key must be ECDSA P-256, and the request signed with SHA-256")]
    Key,
}

impl Csr {
    /// Reads a request (PEM).
    ///
    /// # Errors
    /// When it is none, its signature is wrong, or its key is of another kind.
    pub fn read(pem: &str) -> Result<Csr, CsrRefused> {
        if pem.len() > CSR_BYTES_MAX {
            return Err(CsrRefused::TooLong);
        }
        let key =
            CertificateSigningRequestParams::from_pem(pem).map_err(|_| CsrRefused::Unreadable)?.public_key;
        // The algorithm is the signature's; the curve shows in the point.
        let is_p256 = *key.algorithm() == PKCS_ECDSA_P256_SHA256
            && key.der_bytes().len() == POINT_BYTES
            && key.der_bytes().first() == Some(&4);
        if !is_p256 {
            return Err(CsrRefused::Key);
        }
        let key_hash = sha256(key.der_bytes());
        Ok(Csr { key, key_hash })
    }
}

/// Whether whoever sent this has the other half of a bound key.
#[must_use]
pub fn is_signed(key: &BoundKey, message: &[u8], signature: &Signature) -> bool {
    UnparsedPublicKey::new(&ED25519, key.0).verify(message, &signature.0).is_ok()
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType};

    fn request(key: &KeyPair) -> String {
        CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn a_request_is_read_for_its_key() {
        let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let hash = |key| Csr::read(&request(key)).unwrap().key_hash;
        assert_eq!(hash(&one), hash(&one));
        assert_ne!(hash(&one), hash(&other));
    }

    #[test]
    fn another_kind_of_key_is_refused() {
        for kind in [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384] {
            let key = KeyPair::generate_for(kind).unwrap();
            assert_eq!(Csr::read(&request(&key)).err(), Some(CsrRefused::Key));
        }
    }

    #[test]
    fn a_request_somebody_has_changed_is_refused() {
        let pem = request(&KeyPair::generate().unwrap());
        let middle = pem.len() / 2;
        let letter = if pem.as_bytes()[middle] == b'A' { "B" } else { "A" };
        let changed = format!("{}{letter}{}", &pem[..middle], &pem[middle + 1..]);
        for wrong in ["", "-----BEGIN CERTIFICATE REQUEST-----", &changed] {
            assert_eq!(Csr::read(wrong).err(), Some(CsrRefused::Unreadable));
        }
        assert_eq!(Csr::read(&" ".repeat(CSR_BYTES_MAX + 1)).err(), Some(CsrRefused::TooLong));
    }

    /// The authority would not write it into the certificate anyway.
    #[test]
    fn names_in_a_request_change_nothing() {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("shopsmart:store:S0001".try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let named = params.serialize_request(&key).unwrap().pem().unwrap();
        assert_eq!(Csr::read(&named).unwrap().key_hash, Csr::read(&request(&key)).unwrap().key_hash);
    }
}
