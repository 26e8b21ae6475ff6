//! How a certificate names whom it speaks for: one URI among its alternative names.
//!
//! A store's certificate carries `shopsmart:store:S0001`, the hub's own `shopsmart:hub`. Whoever writes certificates
//! and whoever reads them meet here, so that a certificate speaks for exactly one store or for none.

use crate::standing::Serial;
use sync_protocol::ids::InvalidId;
use sync_protocol::{StoreId, UnixMillis};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The hub's own name.
pub const HUB_URI: &str = "shopsmart:hub";

const STORE_PREFIX: &str = "shopsmart:store:";

/// Why a certificate speaks for no store. The peer's fault, or that of whoever issued it.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the certificate can't be read")]
    Unreadable,
    #[error("the certificate names no store; it needs one alternative name `shopsmart:store:<id>`")]
    NoStore,
    #[error("the certificate names several stores")]
    SeveralStores,
    #[error("the certificate names a store that can't be one")]
    NotAStore(#[from] InvalidId),
}

/// The name of a store in certificates.
#[must_use]
pub fn store_uri(store: &StoreId) -> String {
    format!("{STORE_PREFIX}{store}")
}

/// The one store a certificate (DER) speaks for. Who signed it is not asked here.
///
/// # Errors
/// When it names no store, or more than one.
pub fn store_of(certificate: &[u8]) -> Result<StoreId, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
    let mut stores = names.iter().flat_map(|names| &names.value.general_names).filter_map(store_in);
    let store = stores.next().ok_or(IdentityError::NoStore)?;
    if stores.next().is_some() {
        return Err(IdentityError::SeveralStores);
    }
    Ok(store.parse()?)
}

/// The serial number of a certificate (DER).
///
/// # Errors
/// When it is none.
pub fn serial_of(certificate: &[u8]) -> Result<Serial, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    Ok(Serial::from_bytes(certificate.raw_serial()))
}

/// When a certificate (DER) ends.
///
/// # Errors
/// When it is none.
pub fn end_of(certificate: &[u8]) -> Result<UnixMillis, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    Ok(UnixMillis(certificate.validity().not_after.timestamp().saturating_mul(1000)))
}

fn store_in<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(uri) => uri.strip_prefix(STORE_PREFIX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn naming(uris: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_speaks_for_the_store_it_names() {
        let store = "S0001".parse().unwrap();
        let der = naming(&["https://example.com", &store_uri(&store)]);
        assert_eq!(store_of(&der).unwrap(), store);
    }

    #[test]
    fn a_certificate_without_a_store_speaks_for_none() {
        assert!(matches!(store_of(&naming(&[HUB_URI])), Err(IdentityError::NoStore)));
        assert!(matches!(store_of(&naming(&[])), Err(IdentityError::NoStore)));
    }

    #[test]
    fn two_stores_in_one_certificate_are_none() {
        let der = naming(&["shopsmart:store:S0001", "shopsmart:store:S0002"]);
        assert!(matches!(store_of(&der), Err(IdentityError::SeveralStores)));
    }

    #[test]
    fn what_is_no_store_id_is_refused() {
        for uri in ["shopsmart:store:", "shopsmart:store:../S1", "shopsmart:store:S 1"] {
            assert!(matches!(store_of(&naming(&[uri])), Err(IdentityError::NotAStore(_))), "{uri}");
        }
    }

    #[test]
    fn garbage_is_no_certificate() {
        assert!(matches!(store_of(b"\x30\x03abc"), Err(IdentityError::Unreadable)));
    }
}
