//! Until when a certificate is valid: the one thing that people have to know of it. Nothing here decides whether it is trusted.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use sync_protocol::UnixMillis;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the first certificate in a PEM file. `None`: there is none that can be read.
#[must_use]
pub fn valid_until(file: &Path) -> Option<UnixMillis> {
    not_after(CertificateDer::pem_file_iter(file).ok()?.next()?.ok()?.as_ref())
}

/// Certificate, its body, and there behind version, number, algorithm and issuer: from when until when.
fn not_after(der: &[u8]) -> Option<UnixMillis> {
    let (certificate, _) = part(der, SEQUENCE)?;
    let (mut body, _) = part(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = any(body)?.2;
    }
    for _ in ["number", "algorithm", "issuer"] {
        body = any(body)?.2;
    }
    let (validity, _) = part(body, SEQUENCE)?;
    let (_, _, rest) = any(validity)?;
    let (tag, text, _) = any(rest)?;
    moment(tag, str::from_utf8(text).ok()?)
}

fn part(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = any(der)?;
    (tag == expected).then_some((content, rest))
}

/// One element: its tag, its content, and what comes after it.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `261123050000Z`, or with all four digits of the year.
fn moment(tag: u8, text: &str) -> Option<UnixMillis> {
    let text = match tag {
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UnixMillis(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(year: i32) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wish = rcgen::CertificateParams::new(vec!["store.example".to_owned()]).unwrap();
        wish.not_after = rcgen::date_time_ymd(year, 11, 23);
        wish.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_ways_of_writing_it() {
        for (year, expected) in [(2031, "2031-11-23T00:00:00Z"), (2061, "2061-11-23T00:00:00Z")] {
            let expected: jiff::Timestamp = expected.parse().unwrap();
            assert_eq!(not_after(&issued(year)), Some(UnixMillis(expected.as_millisecond())), "{year}");
        }
    }

    #[test]
    fn damaged_bytes_are_no_certificate_and_never_a_panic() {
        let good = issued(2031);
        for cut in 0..good.len() {
            let _ = not_after(&good[..cut]);
            let mut bad = good.clone();
            bad[cut] ^= 0xff;
            let _ = not_after(&bad);
        }
        assert_eq!(not_after(&good[..40]), None);
        assert_eq!(not_after(b""), None);
    }

    #[test]
    fn a_file_that_holds_none_is_said_to_hold_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.pem");
        assert_eq!(valid_until(&path), None);
        std::fs::write(&path, "not a certificate").unwrap();
        assert_eq!(valid_until(&path), None);
    }
}
