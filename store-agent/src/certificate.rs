//! From when until when a certificate is valid: the one thing that people have to know of it. Nothing here decides whether it is
//! trusted.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use sync_protocol::UnixMillis;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What a certificate says of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub from: UnixMillis,
    pub until: UnixMillis,
}

/// That of the first certificate in a PEM file. `None`: there is none that can be read.
#[must_use]
pub fn validity(file: &Path) -> Option<Validity> {
    validity_of(CertificateDer::pem_file_iter(file).ok()?.next()?.ok()?.as_ref())
}

/// Certificate, its body, and there behind version, number, algorithm and issuer: from when until when.
fn validity_of(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = part(der, SEQUENCE)?;
    let (mut body, _) = part(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = any(body)?.2;
    }
    for _ in ["number", "algorithm", "issuer"] {
        body = any(body)?.2;
    }
    let (validity, _) = part(body, SEQUENCE)?;
    let (tag, text, rest) = any(validity)?;
    let from = moment(tag, str::from_utf8(text).ok()?)?;
    let (tag, text, _) = any(rest)?;
    Some(Validity { from, until: moment(tag, str::from_utf8(text).ok()?)? })
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
        wish.not_before = rcgen::date_time_ymd(2026, 9, 1);
        wish.not_after = rcgen::date_time_ymd(year, 11, 23);
        wish.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn start_and_end_are_read_in_both_ways_of_writing_them() {
        let at = |text: &str| UnixMillis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        for (year, until) in [(2031, "2031-11-23T00:00:00Z"), (2061, "2061-11-23T00:00:00Z")] {
            let expected = Validity { from: at("2026-09-01T00:00:00Z"), until: at(until) };
            assert_eq!(validity_of(&issued(year)), Some(expected), "{year}");
        }
    }

    #[test]
    fn damaged_bytes_are_no_certificate_and_never_a_panic() {
        let good = issued(2031);
        for cut in 0..good.len() {
            let _ = validity_of(&good[..cut]);
            let mut bad = good.clone();
            bad[cut] ^= 0xff;
            let _ = validity_of(&bad);
        }
        assert_eq!(validity_of(&good[..40]), None);
        assert_eq!(validity_of(b""), None);
    }

    #[test]
    fn a_file_that_holds_none_is_said_to_hold_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.pem");
        assert_eq!(validity(&path), None);
        std::fs::write(&path, "not a certificate").unwrap();
        assert_eq!(validity(&path), None);
    }
}
