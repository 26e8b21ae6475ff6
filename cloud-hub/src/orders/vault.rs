//! Customers' data at rest: sealed for one order each, so that the database alone says nothing of anybody, and what is put
//! to another order does not open there.
//!
//! ```text
//! version u8 = 1 │ nonce 12 bytes │ JSON of the customer, encrypted │ tag 16 bytes
//! ```
//!
//! AES-256-GCM; besides the JSON the tag covers a fixed text, the version and the order's number. Every sealing draws a nonce
//! at random, which is safe for four thousand million of them with one key. How long a blob is shows how long its
//! texts are together.

use super::codes::NoRandomNumbers;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use sync_protocol::order::OrderId;

pub use super::customer::Customer;

/// Bytes of a vault's key.
pub const VAULT_KEY_BYTES: usize = 32;
/// What every tag covers first, so that nothing sealed for another purpose opens here.
const CONTEXT: &[u8] = b"shopsmart order customer\0";
const VERSION: u8 = 1;

/// Seals and opens customers' data. Printed for debugging it shows the cipher's name only.
#[derive(Debug)]
pub struct Vault {
    key: LessSafeKey,
}

/// Why customers' data can't be sealed or opened. None of them repeats anything of it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    NoRandomNumbers(#[from] NoRandomNumbers),
    #[error(
        "the customer of order {order} was sealed by a newer hub (version {version}); upgrade this one to read it"
    )]
    Newer { order: OrderId, version: u8 },
    #[error(
        "the customer of order {order} does not open: it was altered, or sealed with another key; put back the \
         customers.key that belongs to this database"
    )]
    Closed { order: OrderId },
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Contents<'a> {
    name: Cow<'a, str>,
    phone: Option<Cow<'a, str>>,
    email: Option<Cow<'a, str>>,
}

impl Vault {
    #[must_use]
    pub fn new(key: &[u8; VAULT_KEY_BYTES]) -> Vault {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes any 32 bytes");
        Vault { key: LessSafeKey::new(key) }
    }

    /// Seals a customer for `order`. Twice the same gives two different blobs.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn seal(&self, order: OrderId, customer: &Customer) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(NoRandomNumbers::from)?;
        let contents = Contents {
            name: customer.name.as_str().into(),
            phone: customer.phone.as_deref().map(Cow::from),
            email: customer.email.as_deref().map(Cow::from),
        };
        let mut bytes = serde_json::to_vec(&contents).expect("texts are always JSON");
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), covered(order), &mut bytes)
            .expect("a customer has less than the 64 GiB that one sealing takes");
        Ok([&[VERSION], &nonce[..], &bytes].concat())
    }

    /// Opens what was sealed for `order`.
    ///
    /// # Errors
    /// When it was not sealed for this order with this key, or not by a hub this old.
    pub fn open(&self, order: OrderId, sealed: &[u8]) -> Result<Customer, VaultError> {
        let closed = || VaultError::Closed { order };
        let (&version, rest) = sealed.split_first().ok_or_else(closed)?;
        if version != VERSION {
            return Err(VaultError::Newer { order, version });
        }
        let (&nonce, bytes) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(closed)?;
        let mut bytes = bytes.to_vec();
        let bytes = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(nonce), covered(order), &mut bytes)
            .map_err(|_| closed())?;
        // Why not would repeat what it found.
        let contents: Contents<'_> = serde_json::from_slice(bytes).map_err(|_| closed())?;
        Ok(Customer {
            name: contents.name.into_owned(),
            phone: contents.phone.map(Cow::into_owned),
            email: contents.email.map(Cow::into_owned),
        })
    }
}

/// What the tag covers besides the sealed bytes.
fn covered(order: OrderId) -> Aad<Vec<u8>> {
    Aad::from([CONTEXT, &[VERSION], &order.number().to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(&[7; VAULT_KEY_BYTES])
    }

    fn order() -> OrderId {
        "K7M29-QX4TB".parse().unwrap()
    }

    fn customer() -> Customer {
        Customer {
            name: "Anna \"K\" Karénina \u{0}".to_owned(),
            phone: Some("+49 30 1234567".to_owned()),
            email: None,
        }
    }

    #[test]
    fn what_was_sealed_opens_again() {
        let sealed = vault().seal(order(), &customer()).unwrap();
        assert_eq!(vault().open(order(), &sealed).unwrap(), customer());
        let least = Customer { name: String::new(), phone: None, email: Some(String::new()) };
        let sealed = vault().seal(order(), &least).unwrap();
        assert_eq!(vault().open(order(), &sealed).unwrap(), least);
    }

    #[test]
    fn sealed_bytes_say_nothing_of_a_person() {
        let sealed = vault().seal(order(), &customer()).unwrap();
        for part in ["Anna", "1234567", "name"] {
            assert!(!sealed.windows(part.len()).any(|bytes| bytes == part.as_bytes()), "{part}");
        }
        assert_ne!(vault().seal(order(), &customer()).unwrap(), sealed);
    }

    #[test]
    fn what_is_put_to_another_order_does_not_open() {
        let sealed = vault().seal(order(), &customer()).unwrap();
        let next = OrderId::from_number(order().number() ^ 1).unwrap();
        assert!(matches!(vault().open(next, &sealed), Err(VaultError::Closed { .. })));
    }

    #[test]
    fn another_key_does_not_open_it() {
        let sealed = vault().seal(order(), &customer()).unwrap();
        let said = Vault::new(&[8; VAULT_KEY_BYTES]).open(order(), &sealed).unwrap_err().to_string();
        assert!(said.contains("K7M29-QX4TB") && said.contains("customers.key"), "{said}");
    }

    #[test]
    fn no_bit_can_be_changed_and_nothing_be_cut_off_or_added() {
        let sealed = vault().seal(order(), &customer()).unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut altered = sealed.clone();
                altered[at] ^= 1 << bit;
                assert!(vault().open(order(), &altered).is_err(), "bit {bit} of byte {at}");
            }
            assert!(vault().open(order(), &sealed[..at]).is_err(), "cut to {at} bytes");
        }
        assert!(vault().open(order(), &[&sealed[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_newer_hubs_blob_asks_for_an_upgrade() {
        let mut sealed = vault().seal(order(), &customer()).unwrap();
        sealed[0] = VERSION + 1;
        let said = vault().open(order(), &sealed).unwrap_err().to_string();
        assert!(said.contains("upgrade"), "{said}");
    }

    #[test]
    fn no_error_repeats_what_was_sealed() {
        let key = vault().key;
        let nonce = [3; NONCE_LEN];
        let mut bytes = br#"{"name": ["Anna Karenina"]}"#.to_vec();
        let aad = covered(order());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes).unwrap();
        let error = vault().open(order(), &[&[VERSION], &nonce[..], &bytes].concat()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("Anna"), "{error:?}");
    }

    #[test]
    fn a_vault_printed_for_debugging_shows_no_key() {
        let printed = format!("{:?}", vault());
        assert!(!printed.contains('7') && printed.contains("AES_256_GCM"), "{printed}");
    }
}
