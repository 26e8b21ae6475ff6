//! What a shopper collects with: the code that the hub signs, and the short one for typing.
//!
//! The key is kept by `enrol`, which reads and makes its file; here it signs.

use ring::digest::{SHA256, digest};
use ring::error::KeyRejected;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sync_protocol::order::{OrderId, ShortCode, short_code};
use sync_protocol::pickup_code::{PickupCode, SIGNATURE_BYTES};

/// What the signature begins with that a short code is taken from.
const SHORT_CODE_CONTEXT: &[u8] = b"shopsmart short code\0";
/// Bytes of the key that stores check pickup codes with.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// The hub's key for pickup codes (Ed25519). Printed for debugging it shows its public half only.
#[derive(Debug)]
pub struct PickupKey {
    pair: Ed25519KeyPair,
}

/// The system's source of random numbers failed. The environment's fault.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers; try again")]
pub struct NoRandomNumbers(#[from] getrandom::Error);

impl PickupKey {
    /// # Errors
    /// What is no Ed25519 key in PKCS#8 with its public half.
    pub fn from_pkcs8(der: &[u8]) -> Result<PickupKey, KeyRejected> {
        Ed25519KeyPair::from_pkcs8(der).map(|pair| PickupKey { pair })
    }

    /// What stores check signatures with.
    #[must_use]
    pub fn public(&self) -> [u8; PUBLIC_KEY_BYTES] {
        let mut public = [0; PUBLIC_KEY_BYTES];
        public.copy_from_slice(self.pair.public_key().as_ref());
        public
    }

    /// The short code of an order: always the same one, and nobody without the key can work it out. It is taken from a signature, which
    /// Ed25519 makes the same way each time.
    #[must_use]
    pub fn short_code(&self, order: OrderId) -> ShortCode {
        let signature = self.pair.sign(&[SHORT_CODE_CONTEXT, &order.number().to_be_bytes()].concat());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&signature.as_ref()[..8]);
        ShortCode::from_random(u64::from_be_bytes(bytes))
    }

    /// The text of a code with its signature. The same code always gets the same one.
    #[must_use]
    pub fn sign(&self, code: &PickupCode) -> String {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(&code.message()).as_ref());
        code.text(&signature)
    }
}

/// What the order's hub half says of its short code.
#[must_use]
pub fn code_hash(order: OrderId, code: ShortCode) -> [u8; short_code::CODE_HASH_BYTES] {
    short_code::code_hash(order, code, sha256)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};
    use sync_protocol::order::Line;
    use sync_protocol::pickup_code::{CONTEXT, Shown, read};
    use sync_protocol::{ItemNo, Quantity, UnixMillis};

    fn key() -> PickupKey {
        let der = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_der();
        PickupKey::from_pkcs8(&der).unwrap()
    }

    fn code() -> PickupCode {
        PickupCode {
            store: "S0042".parse().unwrap(),
            order: "K7M29-QX4TB".parse().unwrap(),
            valid_until: UnixMillis(1_795_000_000_000),
            lines: vec![Line { item: ItemNo(7), quantity: Quantity::from_units(2) }],
        }
    }

    fn is_signed_by(key: &PickupKey, shown: &Shown) -> bool {
        UnparsedPublicKey::new(&ED25519, key.public()).verify(&shown.message, &shown.signature).is_ok()
    }

    #[test]
    fn a_signed_code_holds_against_the_public_key_alone() {
        let key = key();
        let shown = read(&key.sign(&code()).to_lowercase()).unwrap();
        assert_eq!(shown.code, code());
        assert!(is_signed_by(&key, &shown));
        assert_eq!(key.sign(&code()), key.sign(&code()));
    }

    #[test]
    fn another_hubs_code_is_not_ours() {
        let shown = read(&key().sign(&code())).unwrap();
        assert!(!is_signed_by(&key(), &shown));
    }

    #[test]
    fn no_digit_of_a_code_can_be_changed() {
        let key = key();
        let text = key.sign(&code());
        for at in 0..text.len() {
            let other = if text.as_bytes()[at] == b'7' { "8" } else { "7" };
            let mut forged = text.clone();
            forged.replace_range(at..=at, other);
            let holds = read(&forged).is_ok_and(|shown| is_signed_by(&key, &shown));
            assert!(!holds, "digit {at} of {text}");
        }
    }

    #[test]
    fn a_signature_for_something_else_makes_no_code() {
        let key = key();
        let body = &code().message()[CONTEXT.len()..];
        let without_context: [u8; SIGNATURE_BYTES] = key.pair.sign(body).as_ref().try_into().unwrap();
        assert!(!is_signed_by(&key, &read(&code().text(&without_context)).unwrap()));
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let ecdsa = rcgen::KeyPair::generate().unwrap().serialize_der();
        for der in [&[][..], &[0; 32], &ecdsa] {
            assert!(PickupKey::from_pkcs8(der).is_err());
        }
    }

    #[test]
    fn a_key_printed_for_debugging_shows_no_secret() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let der = pair.serialize_der();
        let printed = format!("{:?}", PickupKey::from_pkcs8(&der).unwrap());
        // The seed stands behind the 16 bytes of the header.
        let seed: String = der[16..20].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!printed.to_lowercase().contains(&seed), "{printed}");
    }

    #[test]
    fn an_order_has_one_short_code_and_another_order_another() {
        let (key, order) = (key(), OrderId::from_random(7));
        assert_eq!(key.short_code(order), key.short_code(order));
        let codes: std::collections::HashSet<String> =
            (0..200).map(|number| key.short_code(OrderId::from_random(number)).to_string()).collect();
        assert_eq!(codes.len(), 200);
    }

    #[test]
    fn a_hash_is_of_one_code_in_one_order() {
        let order: OrderId = "K7M29-QX4TB".parse().unwrap();
        let code: ShortCode = "7KQ2-M9XT".parse().unwrap();
        let hash = code_hash(order, code);
        assert_eq!(hash, code_hash(order, "7kq2 m9xt".parse().unwrap()));
        assert_ne!(hash, code_hash(order, "7KQ2-M9XV".parse().unwrap()));
        assert_ne!(hash, code_hash("K7M29-QX4TC".parse().unwrap(), code));
    }

    /// Hashes lie in stores' databases and in frames: they never change. By Python's hashlib over the documented bytes.
    #[test]
    fn the_hash_never_changes() {
        let order: OrderId = "00000-00012".parse().unwrap();
        let hash = code_hash(order, ShortCode::from_random(0x12_3456_789A));
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "bbfd91d7beb86c80878dea089a7b21e4");
    }
}
