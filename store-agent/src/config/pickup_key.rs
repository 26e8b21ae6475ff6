//! The hub's public key for pickup codes: with it the store checks a shopper's code by itself, with the line down too.
//!
//! It comes from a file of 64 hexadecimal digits that is read at the start. The key is no secret; whoever can change the file
//! can have codes of their own taken, so it belongs where the agent's configuration does.

use ring::signature::{ED25519, UnparsedPublicKey};
use std::path::{Path, PathBuf};
use sync_protocol::pickup_code::Shown;

const KEY_BYTES: usize = 32;
/// Whoever gives another file by mistake should not have it read whole.
const FILE_BYTES_MAX: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PickupKey([u8; KEY_BYTES]);

/// Why there is no key in the file.
#[derive(Debug, thiserror::Error)]
pub enum PickupKeyError {
    #[error("cannot read the hub's key for pickup codes {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} holds no key for pickup codes: it must be 64 hexadecimal digits, as in `pickup.pub`",
        path = path.display()
    )]
    NoKey { path: PathBuf },
}

impl PickupKey {
    /// # Errors
    /// The file can't be read, or has something else in it.
    pub fn load(path: &Path) -> Result<PickupKey, PickupKeyError> {
        let read = || {
            let mut text = Vec::new();
            let file = std::fs::File::open(path)?;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, FILE_BYTES_MAX), &mut text)?;
            Ok(text)
        };
        let text = read().map_err(|source| PickupKeyError::Read { path: path.to_owned(), source })?;
        let key = std::str::from_utf8(&text).ok().and_then(|text| PickupKey::parse(text.trim()));
        key.ok_or_else(|| PickupKeyError::NoKey { path: path.to_owned() })
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<PickupKey> {
        if text.len() != 2 * KEY_BYTES || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let mut key = [0; KEY_BYTES];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(PickupKey(key))
    }

    /// Whether the hub has signed this code.
    #[must_use]
    pub fn has_signed(&self, shown: &Shown) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(&shown.message, &shown.signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use sync_protocol::order::Line;
    use sync_protocol::pickup_code::{PickupCode, read};
    use sync_protocol::{ItemNo, Quantity, UnixMillis};

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn key_of(pair: &Ed25519KeyPair) -> PickupKey {
        let hex: String = pair.public_key().as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        PickupKey::parse(&hex).unwrap()
    }

    fn code_by(pair: &Ed25519KeyPair) -> String {
        let code = PickupCode {
            store: "S0001".parse().unwrap(),
            order: "K7M29-QX4TB".parse().unwrap(),
            valid_until: UnixMillis(1_795_000_000_000),
            lines: vec![Line { item: ItemNo(7), quantity: Quantity::from_units(2) }],
        };
        code.text(pair.sign(&code.message()).as_ref().try_into().unwrap())
    }

    #[test]
    fn only_what_the_hub_signed_is_signed() {
        let (hub, other) = (pair(1), pair(2));
        let shown = read(&code_by(&hub)).unwrap();
        assert!(key_of(&hub).has_signed(&shown));
        assert!(!key_of(&other).has_signed(&shown));
        let mut forged = shown;
        forged.message[30] ^= 1;
        assert!(!key_of(&hub).has_signed(&forged));
    }

    #[test]
    fn a_file_without_a_key_is_named_with_what_belongs_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pickup.pub");
        assert!(matches!(PickupKey::load(&path), Err(PickupKeyError::Read { .. })));
        for wrong in ["", "zz", &"0".repeat(63), &"é".repeat(32), &"0".repeat(10_000)] {
            std::fs::write(&path, wrong).unwrap();
            let said = PickupKey::load(&path).unwrap_err().to_string();
            assert!(said.contains("pickup.pub") && said.contains("64 hexadecimal digits"), "{said}");
        }
        std::fs::write(&path, format!("{}\n", "0a".repeat(32))).unwrap();
        assert_eq!(PickupKey::load(&path).unwrap(), PickupKey([10; 32]));
    }
}
