//! Nonces for renewals by the bound key: good for a few minutes, and known again without being kept anywhere.
//!
//! `made at: seconds, 8 bytes │ random 16 bytes │ HMAC-SHA-256 of both 32 bytes`. The key is drawn when the hub starts, so none
//! outlives it. One that is used twice proves the same for the same certificate request, which is answered alike.

use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use sync_protocol::UnixMillis;
use sync_protocol::enrolment::{NONCE_BYTES, Nonce};

const GOOD_FOR_S: u64 = 300;
const RANDOM_BYTES: usize = 16;
const HEAD_BYTES: usize = 8 + RANDOM_BYTES;
const _: () = assert!(HEAD_BYTES + 32 == NONCE_BYTES);

/// Makes and knows them.
#[derive(Debug)]
pub struct Nonces(Key);

impl Nonces {
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Nonces, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Nonces(Key::new(HMAC_SHA256, &key)))
    }

    /// A new one, and until when it is good.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn make(&self, now: UnixMillis) -> Result<(Nonce, UnixMillis), getrandom::Error> {
        let made_at = seconds(now);
        let mut nonce = [0; NONCE_BYTES];
        nonce[..8].copy_from_slice(&made_at.to_be_bytes());
        getrandom::fill(&mut nonce[8..HEAD_BYTES])?;
        let tag = sign(&self.0, &nonce[..HEAD_BYTES]);
        nonce[HEAD_BYTES..].copy_from_slice(tag.as_ref());
        let expires = i64::try_from((made_at + GOOD_FOR_S) * 1000).unwrap_or(i64::MAX);
        Ok((Nonce(nonce), UnixMillis(expires)))
    }

    /// Whether it was made here, and not too long ago.
    #[must_use]
    pub fn knows(&self, nonce: &Nonce, now: UnixMillis) -> bool {
        let (head, tag) = nonce.0.split_at(HEAD_BYTES);
        let made_at = u64::from_be_bytes(std::array::from_fn(|at| head[at]));
        verify(&self.0, head, tag).is_ok() && (made_at..=made_at + GOOD_FOR_S).contains(&seconds(now))
    }
}

fn seconds(now: UnixMillis) -> u64 {
    u64::try_from(now.0 / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_a_while_and_only_here() {
        let nonces = Nonces::new().unwrap();
        let now = UnixMillis(1_790_000_000_000);
        let (nonce, expires) = nonces.make(now).unwrap();
        assert!(nonces.knows(&nonce, now) && nonces.knows(&nonce, expires));
        assert!(!nonces.knows(&nonce, UnixMillis(expires.0 + 1000)));
        assert!(!Nonces::new().unwrap().knows(&nonce, now));
        let mut younger = nonce;
        younger.0[7] ^= 1;
        assert!(!nonces.knows(&younger, now));
        assert_ne!(nonces.make(now).unwrap().0, nonce);
    }

    #[test]
    fn made_up_nonces_are_no_nonces() {
        let nonces = Nonces::new().unwrap();
        for byte in [0, 0xff] {
            assert!(!nonces.knows(&Nonce([byte; NONCE_BYTES]), UnixMillis(0)));
        }
    }
}
