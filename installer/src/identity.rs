//! Who this store is: its keys, its certificate, and what is known of the hub that gave it.
//!
//! Promises: keys are made here, are readable by the agent's user only, and never leave the machine; a key is on disk before a
//! certificate is asked for it; certificate and key change in one step, so no power cut leaves a pair that does not fit.

use crate::fault::{Code, Fault};
use crate::files::{self, Access};
use crate::layout::Layout;
use crate::talk::tls::{Credentials, pin_of};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SigningKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::path::Path;
use sync_protocol::enrolment::{Address, BoundKey, Enrolled, Pin, Signature};
use sync_protocol::{StoreId, UnixMillis};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How a store is named in its certificate.
const STORE_PREFIX: &str = "shopsmart:store:";

/// The certificate in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub store: StoreId,
    pub since: UnixMillis,
    pub until: UnixMillis,
    /// The certificate is for the key beside it.
    pub fits: bool,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    pub store: StoreId,
    pub addresses: Vec<Address>,
    pub pin: Pin,
    pub until: UnixMillis,
    /// The hub's own wish for when to come again; stores are spread over it.
    pub renew_after: UnixMillis,
}

/// The identity as it is on disk.
pub struct Identity<'a> {
    pub layout: &'a Layout,
    pub access: Access,
}

impl Identity<'_> {
    /// The certificate in force; `None` where there is none.
    pub fn held(&self) -> Result<Option<Held>, Fault> {
        let path = self.layout.certificate();
        let Some(text) = files::read(&path)? else { return Ok(None) };
        held_in(&text)
            .map(Some)
            .ok_or_else(|| Fault::new(Code::E603, format!("`{}` is not what storectl wrote", path.display())))
    }

    pub fn enrolment(&self) -> Result<Option<Enrolment>, Fault> {
        let path = self.layout.enrolment();
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let read = serde_json::from_str(&text);
        read.map(Some)
            .map_err(|error| Fault::caused(Code::E202, format!("cannot read `{}`", path.display()), error))
    }

    /// The certificate by which the hub is known; `None` before the enrolment.
    pub fn authority(&self) -> Result<Option<CertificateDer<'static>>, Fault> {
        let text = files::read(&self.layout.authority())?;
        Ok(text.and_then(|text| CertificateDer::from_pem_slice(text.as_bytes()).ok()))
    }

    /// What this store shows the hub.
    pub fn credentials(&self) -> Result<Credentials, Fault> {
        let text = files::read(&self.layout.certificate())?.unwrap_or_default();
        let chain = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
        let unusable = |error| Fault::caused(Code::E603, "the store's certificate can't be used", error);
        Ok(Credentials {
            chain: chain.map_err(unusable)?,
            key: PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(unusable)?,
        })
    }

    /// The key of the next certificate, made if it is not there yet.
    pub fn next_key(&self) -> Result<KeyPair, Fault> {
        self.key(&self.layout.next_key(), &PKCS_ECDSA_P256_SHA256)
    }

    /// The store's second key, made if it is not there yet.
    pub fn bound_key(&self) -> Result<Bound, Fault> {
        self.key(&self.layout.bound_key(), &PKCS_ED25519).map(Bound)
    }

    fn key(&self, path: &Path, kind: &'static rcgen::SignatureAlgorithm) -> Result<KeyPair, Fault> {
        let unusable = |error| Fault::caused(Code::E603, format!("no key in `{}`", path.display()), error);
        match files::read(path)? {
            Some(text) => KeyPair::from_pem(&text).map_err(unusable),
            None => {
                let key = KeyPair::generate_for(kind).map_err(unusable)?;
                files::replace(path, key.serialize_pem().as_bytes(), self.access)?;
                Ok(key)
            }
        }
    }

    /// Takes what the hub answered for the next key, after a look at all of it. The certificate comes last: with it the rest is in force.
    pub fn take(&self, answer: &Enrolled, pin: Pin, addresses: &[Address]) -> Result<(), Fault> {
        let key = self.next_key()?;
        let text = format!("{}{}", ended(&answer.certificate), ended(&key.serialize_pem()));
        let odd = |what: &str| Fault::new(Code::E306, format!("the hub's answer can't be used: {what}"));
        let held = held_in(&text).ok_or_else(|| odd("no certificate of a store"))?;
        if held.store != answer.store {
            return Err(odd("the certificate names another store"));
        }
        if !held.fits {
            return Err(odd("the certificate is for another key"));
        }
        let authority =
            CertificateDer::from_pem_slice(answer.ca.as_bytes()).map_err(|_| odd("no authority"))?;
        if pin_of(&authority) != pin {
            return Err(odd("the authority is not the one of the token"));
        }
        let public = Access { mode: 0o644, ..self.access };
        files::replace(&self.layout.authority(), answer.ca.as_bytes(), public)?;
        files::replace(&self.layout.pickup_key(), ended(&answer.pickup_key).as_bytes(), public)?;
        files::replace(&self.layout.certificate(), text.as_bytes(), self.access)?;
        let enrolment = Enrolment {
            store: answer.store.clone(),
            addresses: addresses.to_vec(),
            pin,
            until: held.until,
            renew_after: answer.renew_after,
        };
        let text = serde_json::to_vec_pretty(&enrolment)
            .map_err(|error| Fault::caused(Code::E901, "what is known of the hub can't be written", error))?;
        files::replace(&self.layout.enrolment(), &text, public)?;
        self.settle()
    }

    /// Clears away what an interrupted change left: a key whose certificate is in force already.
    pub fn settle(&self) -> Result<(), Fault> {
        let path = self.layout.next_key();
        let Some(next) = files::read(&path)? else { return Ok(()) };
        let current = files::read(&self.layout.certificate())?.unwrap_or_default();
        if current.contains(next.trim()) { files::remove(&path) } else { Ok(()) }
    }
}

/// The store's second key, which stays when certificates change.
pub struct Bound(KeyPair);

impl Bound {
    pub fn public(&self) -> Result<BoundKey, Fault> {
        let bytes = self.0.der_bytes().try_into();
        bytes.map(BoundKey).map_err(|_| Fault::new(Code::E603, "the store's second key is of another kind"))
    }

    pub fn sign(&self, message: &[u8]) -> Result<Signature, Fault> {
        let signed = self.0.sign(message).ok().and_then(|bytes| bytes.try_into().ok());
        signed
            .map(Signature)
            .ok_or_else(|| Fault::new(Code::E603, "the store's second key does not sign as it should"))
    }
}

impl Held {
    /// Two thirds of its life are over, or the hub said that it is time.
    #[must_use]
    pub fn renew_after(&self, enrolment: Option<&Enrolment>) -> UnixMillis {
        match enrolment.filter(|enrolment| enrolment.until == self.until) {
            Some(enrolment) => enrolment.renew_after,
            None => {
                let life = self.until.0.saturating_sub(self.since.0);
                UnixMillis(self.since.0.saturating_add(life / 3 * 2))
            }
        }
    }
}

/// A request for a certificate (PEM). The hub looks at the key only.
pub fn request(key: &KeyPair) -> Result<String, Fault> {
    let made = CertificateParams::default().serialize_request(key).and_then(|request| request.pem());
    made.map_err(|error| Fault::caused(Code::E603, "no certificate can be asked for", error))
}

fn held_in(text: &str) -> Option<Held> {
    let first = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&first).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let store = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(STORE_PREFIX),
        _ => None,
    })?;
    let millis = |seconds: i64| UnixMillis(seconds.saturating_mul(1000));
    let key = key_in(text)?;
    Some(Held {
        store: store.parse().ok()?,
        since: millis(certificate.validity().not_before.timestamp()),
        until: millis(certificate.validity().not_after.timestamp()),
        fits: certificate.public_key().subject_public_key.data.as_ref() == key.der_bytes(),
    })
}

/// The key in a text that holds more than a key.
fn key_in(text: &str) -> Option<KeyPair> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).ok()?;
    KeyPair::try_from(&key).ok()
}

/// With the end of its last line, so that another text can follow.
fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, IsCa, Issuer, SanType};
    use std::path::PathBuf;

    fn authority() -> (String, Issuer<'static, KeyPair>) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (pem, Issuer::new(params, key))
    }

    fn answer(store: &str, key: &KeyPair, authority: &(String, Issuer<'static, KeyPair>)) -> (Enrolled, Pin) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(format!("{STORE_PREFIX}{store}").try_into().unwrap())];
        let certificate = params.signed_by(key, &authority.1).unwrap().pem();
        let answer = Enrolled {
            version: 1,
            store: "S0042".parse().unwrap(),
            certificate,
            ca: authority.0.clone(),
            pickup_key: "00".repeat(32),
            not_after: UnixMillis(0),
            renew_after: UnixMillis(7),
        };
        (answer, pin_of(&CertificateDer::from_pem_slice(authority.0.as_bytes()).unwrap()))
    }

    fn place() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        std::fs::create_dir_all(layout.identity()).unwrap();
        (folder, layout)
    }

    #[test]
    fn what_the_hub_gives_is_taken_whole_and_the_key_is_no_longer_the_next_one() {
        let (_folder, layout) = place();
        let identity = Identity { layout: &layout, access: Access::secret(None) };
        let (answer, pin) = answer("S0042", &identity.next_key().unwrap(), &authority());
        identity.take(&answer, pin, &["hub.example:7445".parse().unwrap()]).unwrap();
        let held = identity.held().unwrap().unwrap();
        assert!(held.fits && held.store.as_str() == "S0042");
        assert_eq!(held.renew_after(identity.enrolment().unwrap().as_ref()), UnixMillis(7));
        assert!(!layout.next_key().exists());
        let private: Vec<PathBuf> = vec![layout.certificate()];
        assert!(private.iter().all(|path| Access::secret(None).differences(path).unwrap().is_empty()));
        identity.credentials().unwrap();
    }

    #[test]
    fn a_certificate_for_another_key_store_or_authority_changes_nothing() {
        let (_folder, layout) = place();
        let identity = Identity { layout: &layout, access: Access::secret(None) };
        let (ours, others) = (authority(), authority());
        let key = identity.next_key().unwrap();
        let (good, pin) = answer("S0042", &key, &ours);
        let (other_key, _) = answer("S0042", &KeyPair::generate().unwrap(), &ours);
        let (other_store, _) = answer("S0043", &key, &ours);
        let (_, other_pin) = answer("S0042", &key, &others);
        for (wrong, pin) in [(&other_key, pin), (&other_store, pin), (&good, other_pin)] {
            assert_eq!(identity.take(wrong, pin, &[]).unwrap_err().code, Code::E306);
            assert!(identity.held().unwrap().is_none() && layout.next_key().exists());
        }
    }

    #[test]
    fn without_the_hubs_wish_two_thirds_of_the_life_count() {
        let held =
            Held { store: "S1".parse().unwrap(), since: UnixMillis(0), until: UnixMillis(90), fits: true };
        assert_eq!(held.renew_after(None), UnixMillis(60));
    }
}
