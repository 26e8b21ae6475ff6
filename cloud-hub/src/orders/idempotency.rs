//! What makes a repeated request recognisable: the key its sender chose, and the fingerprint of its body.
//!
//! A key is remembered with the body's fingerprint and the answer. The same key and body get the same answer; the same key
//! with another body is somebody's mistake and is refused.

use super::codes::sha256;

/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;

/// A key under which a request is done once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Box<str>);

/// Bytes that are no idempotency key. They are not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnIdempotencyKey {
    #[error("`Idempotency-Key` is empty; give every new order a random key, such as a UUID")]
    Empty,
    #[error(
        "`Idempotency-Key` has {bytes} bytes, more than the {IDEMPOTENCY_KEY_BYTES_MAX} allowed; a UUID has 36"
    )]
    TooLong { bytes: usize },
    #[error(
        "`Idempotency-Key` has a character that is not visible ASCII; letters, digits and signs are, spaces are not"
    )]
    Character,
}

impl IdempotencyKey {
    /// Reads a header's value. It is taken as it stands: case counts, and quotation marks belong to it.
    ///
    /// # Errors
    /// What is not 1 to [`IDEMPOTENCY_KEY_BYTES_MAX`] characters of visible ASCII.
    pub fn read(value: &[u8]) -> Result<IdempotencyKey, NotAnIdempotencyKey> {
        match value.len() {
            0 => return Err(NotAnIdempotencyKey::Empty),
            bytes if bytes > IDEMPOTENCY_KEY_BYTES_MAX => return Err(NotAnIdempotencyKey::TooLong { bytes }),
            _ => {}
        }
        match std::str::from_utf8(value) {
            Ok(text) if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(IdempotencyKey(text.into())),
            _ => Err(NotAnIdempotencyKey::Character),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tells one body from another: SHA-256 over its bytes as they came, so that not even a space may differ.
///
/// Whoever knows all of an order but the customer could try out names against it: it is to go when the customer's data
/// goes.
#[must_use]
pub fn body_fingerprint(body: &[u8]) -> [u8; 32] {
    sha256(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_it_stands() {
        for key in ["x", "8e03978e-40d5-43dd-bc93-6894a57f9324", "\"quoted\"", "~!", &"k".repeat(64)] {
            assert_eq!(IdempotencyKey::read(key.as_bytes()).unwrap().as_str(), key);
        }
        assert_ne!(IdempotencyKey::read(b"a"), IdempotencyKey::read(b"A"));
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_to_do() {
        let long = [b'k'; 65];
        let cases: [(&[u8], &str); 8] = [
            (b"", "UUID"),
            (&long, "65 bytes"),
            (b" ", "visible ASCII"),
            (b"a b", "visible ASCII"),
            (b"a\n", "visible ASCII"),
            (b"\x7f", "visible ASCII"),
            ("é".as_bytes(), "visible ASCII"),
            (b"\xff", "visible ASCII"),
        ];
        for (value, expected) in cases {
            let said = IdempotencyKey::read(value).unwrap_err().to_string();
            assert!(said.contains(expected) && said.contains("Idempotency-Key"), "{value:?}: {said}");
        }
    }

    #[test]
    fn bodies_that_differ_in_a_space_differ() {
        assert_eq!(body_fingerprint(b"{}"), body_fingerprint(b"{}"));
        assert_ne!(body_fingerprint(b"{}"), body_fingerprint(b"{} "));
        assert_ne!(body_fingerprint(b""), [0; 32]);
    }
}
