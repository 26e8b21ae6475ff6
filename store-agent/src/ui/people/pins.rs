//! PINs: which ones are taken, how they are kept, and how long a wrong one makes people wait.
//!
//! A PIN of four digits can be tried out by whoever has the file, whatever it is hashed with; argon2id makes that slow, and the
//! waiting makes it hopeless at the screen.

use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub const DIGITS_MIN: usize = 4;
pub const DIGITS_MAX: usize = 8;
/// KiB, passes and lanes.
type Cost = (u32, u32, u32);
/// One of the choices that OWASP names for argon2id, the one of 9 MiB, because the store server is small.
const COST: Cost = (9 << 10, 4, 1);
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// After so many wrong ones in a row it takes minutes.
pub const WRONG_BEFORE_LOCK: u32 = 5;

/// Why a PIN is no good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Not four to eight digits.
    Shape,
    /// Among those that everybody tries first.
    Guessable,
}

/// # Errors
/// Why not.
pub fn check(pin: &str) -> Result<(), Unfit> {
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&pin.len()) || !pin.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Unfit::Shape);
    }
    let digits = pin.as_bytes();
    let steps: Vec<i16> = digits.windows(2).map(|pair| i16::from(pair[1]) - i16::from(pair[0])).collect();
    let is_run = steps.iter().all(|step| *step == steps[0]) && (-1..=1).contains(&steps[0]);
    let half = pin.len() / 2;
    let is_repeated = pin.len().is_multiple_of(2) && pin[..half] == pin[half..];
    // 1984 and 2004 are years, and the first thing tried after a birthday is known.
    let is_year = pin.len() == 4 && (pin.starts_with("19") || pin.starts_with("20"));
    if is_run || is_repeated || is_year { Err(Unfit::Guessable) } else { Ok(()) }
}

/// One at a time: hashing takes memory on purpose, and a store server has little.
static TURN: Mutex<()> = Mutex::new(());

/// What is kept of a PIN.
///
/// # Errors
/// The system gives no random numbers.
pub fn kept(pin: &str) -> Result<String, getrandom::Error> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)?;
    let (memory, passes, lanes) = COST;
    let hash = hash(pin, &salt, COST).unwrap_or_default();
    Ok(format!("argon2id${memory},{passes},{lanes}${}${}", super::hex(&salt), super::hex(&hash)))
}

/// Whether this is the PIN that `kept` was made of. What can't be read fits none.
#[must_use]
pub fn fits(pin: &str, kept: &str) -> bool {
    let Some((cost, salt, expected)) = parts(kept) else { return false };
    hash(pin, &salt, cost).is_some_and(|found| crate::http::tokens::equal(&found, &expected))
}

fn parts(kept: &str) -> Option<(Cost, Vec<u8>, Vec<u8>)> {
    let mut parts = kept.strip_prefix("argon2id$")?.split('$');
    let mut cost = parts.next()?.split(',').map(str::parse::<u32>);
    let mut next = || cost.next()?.ok();
    let cost = (next()?, next()?, next()?);
    Some((cost, unhex(parts.next()?)?, unhex(parts.next()?)?))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes().chunks(2);
    bytes.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn hash(pin: &str, salt: &[u8], (memory, passes, lanes): Cost) -> Option<Vec<u8>> {
    let params = Params::new(memory, passes, lanes, Some(HASH_BYTES)).ok()?;
    let mut out = vec![0; HASH_BYTES];
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(pin.as_bytes(), salt, &mut out)
        .ok()?;
    Some(out)
}

/// How long to wait after so many wrong ones in a row.
#[must_use]
pub fn wait_after(failures: u32) -> Duration {
    Duration::from_secs(match failures {
        0 | 1 => 0,
        2 => 2,
        3 => 5,
        4 => 15,
        WRONG_BEFORE_LOCK..10 => 5 * 60,
        _ => 30 * 60,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_has_four_to_eight_digits_and_is_not_the_first_one_tried() {
        for good in ["8305", "4917", "60273", "83051294"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("830", Unfit::Shape),
            ("830512947", Unfit::Shape),
            ("83a5", Unfit::Shape),
            ("८३०५", Unfit::Shape),
            ("0000", Unfit::Guessable),
            ("1234", Unfit::Guessable),
            ("98765", Unfit::Guessable),
            ("1212", Unfit::Guessable),
            ("1984", Unfit::Guessable),
        ] {
            assert_eq!(check(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_kept_pin_fits_itself_and_no_other() {
        let one = kept("8305").unwrap();
        assert!(one.starts_with("argon2id$9216,4,1$") && !one.contains("8305"), "{one}");
        assert!(fits("8305", &one) && !fits("8306", &one) && !fits("", &one));
        assert_ne!(one, kept("8305").unwrap(), "salted");
        assert!(!fits("8305", "argon2id$x") && !fits("8305", ""));
    }

    #[test]
    fn waiting_only_grows() {
        let waits: Vec<_> = (0..20).map(wait_after).collect();
        assert!(waits.is_sorted());
        assert!(wait_after(WRONG_BEFORE_LOCK) >= Duration::from_secs(60));
    }
}
