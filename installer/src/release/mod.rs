//! Releases: what head office has signed, and nothing else.
//!
//! A release is a folder, or a bundle of one, with `keys.json` (which keys may sign releases, signed by a root key), `release.json` (what is
//! in it, signed by one of those keys) and the programs. Root keys stay offline; a release key that was lost is taken out of the next `keys.json`.
//!
//! Promises: nothing is believed before its signature is checked; nothing longer than its bound is read; a name is a plain name, so that
//! nothing is read or written elsewhere; what is out of date, or older than what was seen before, is refused.

pub mod remote;
pub mod source;

use crate::fault::{Code, Fault};
use minisign_verify::{PublicKey, Signature};
use serde::Deserialize;
use source::Source;
use std::fmt;
use std::io::Read;
use sync_protocol::UnixMillis;

const MANIFEST: &str = "release.json";
const KEYS: &str = "keys.json";
/// Manifests and lists of keys; they hold a few entries.
const TEXT_BYTES_MAX: u64 = 64 << 10;
const SIGNATURE_BYTES_MAX: u64 = 4 << 10;
/// A program is some tens of megabytes.
const PROGRAM_BYTES_MAX: u64 = 512 << 20;
const ARTEFACTS_MAX: usize = 64;
const KEYS_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 64;

const MANIFEST_FORMAT: &str = "shopsmart-release/1";
const KEYS_FORMAT: &str = "shopsmart-release-keys/1";

/// The root keys that storectl was built with.
const BUILT_IN: &str = include_str!("../../release-roots.pub");

/// The programs of a release.
pub const PROGRAMS: [&str; 2] = ["store-agent", "storectl"];

/// What this machine runs, as manifests say it.
#[must_use]
pub fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// A name without any way to elsewhere: letters, digits, dots, dashes; beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct PlainName(String);

impl PlainName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PlainName {
    type Error = String;

    fn try_from(text: String) -> Result<PlainName, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        match begins && text.len() <= NAME_BYTES_MAX && text.bytes().all(plain) {
            true => Ok(PlainName(text)),
            false => Err(format!("`{}` is no plain name", text.escape_debug())),
        }
    }
}

impl fmt::Display for PlainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `release.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    pub version: PlainName,
    /// Grows with each release, whatever the version says.
    pub sequence: u64,
    expires: jiff::Timestamp,
    artefacts: Vec<Artefact>,
}

/// A file of a release.
#[derive(Debug, Clone, Deserialize)]
pub struct Artefact {
    /// The program it is.
    pub name: PlainName,
    target: String,
    /// What it is called in the release.
    pub file: PlainName,
    pub size: u64,
    pub sha256: Digest,
}

/// `keys.json`.
#[derive(Debug, Clone, Deserialize)]
struct Keys {
    sequence: u64,
    expires: jiff::Timestamp,
    /// As in the second line of a `minisign.pub`.
    keys: Vec<String>,
}

/// Read before anything else of a text, so that one of another format is told from one that is broken.
#[derive(Deserialize)]
struct Format {
    format: String,
}

/// A SHA-256, as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::ended(ring::digest::digest(&ring::digest::SHA256, bytes))
    }

    /// Of all that can be read, a piece at a time.
    pub fn of_all(from: &mut dyn Read) -> std::io::Result<Digest> {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        let mut buffer = vec![0; 64 << 10];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(Digest::ended(digest.finish())),
                count => digest.update(&buffer[..count]),
            }
        }
    }

    #[must_use]
    pub fn ended(digest: ring::digest::Digest) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Digest(bytes)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Digest, String> {
        let wrong = || format!("`{}` is no SHA-256", text.escape_debug());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = text
                .get(2 * at..2 * at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(wrong)?;
        }
        Ok(Digest(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A release whose signatures hold, whose time has not run out, and which has everything for this machine.
#[derive(Debug, Clone)]
pub struct Release {
    pub version: PlainName,
    pub sequence: u64,
    /// Of the manifest: the same release is known by it.
    pub digest: Digest,
    pub programs: Vec<Artefact>,
}

/// The keys that may sign `keys.json`.
pub struct Roots(Vec<PublicKey>);

impl Roots {
    /// Those that storectl was built with, and those of this chain.
    pub fn of(own: Option<&str>) -> Result<Roots, Fault> {
        let lines = BUILT_IN.lines().chain(own.unwrap_or_default().lines()).map(str::trim);
        let keys = lines.filter(|line| {
            !line.is_empty() && !line.starts_with('#') && !line.starts_with("untrusted comment:")
        });
        let keys: Vec<PublicKey> =
            keys.map(|line| public_key(line, "the root keys")).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(Fault::new(Code::E812, "there is no root key")) } else { Ok(Roots(keys)) }
    }
}

/// The keys that may sign a release, once a root key has signed their list.
pub struct ReleaseKeys {
    pub sequence: u64,
    keys: Vec<PublicKey>,
}

/// Reads which keys count for a release. `keys_seen`: the highest list of keys so far.
pub fn trusted(
    source: &mut dyn Source,
    roots: &Roots,
    keys_seen: u64,
    now: UnixMillis,
) -> Result<ReleaseKeys, Fault> {
    let keys: Keys = read(&signed(source, KEYS, &roots.0)?, KEYS, KEYS_FORMAT)?;
    is_current(KEYS, keys.expires, now)?;
    if keys.sequence < keys_seen {
        let says =
            format!("its list of keys is number {}, and number {keys_seen} has been here", keys.sequence);
        return Err(Fault::new(Code::E805, says));
    }
    if keys.keys.len() > KEYS_MAX {
        return Err(Fault::new(Code::E801, format!("`{KEYS}` holds more than {KEYS_MAX} keys")));
    }
    let release_keys = keys.keys.iter().map(|key| public_key(key, KEYS)).collect::<Result<_, _>>()?;
    Ok(ReleaseKeys { sequence: keys.sequence, keys: release_keys })
}

/// Reads what a release says of itself, and believes it only as far as it is signed.
pub fn verified(source: &mut dyn Source, keys: &ReleaseKeys, now: UnixMillis) -> Result<Release, Fault> {
    let text = signed(source, MANIFEST, &keys.keys)?;
    let manifest: Manifest = read(&text, MANIFEST, MANIFEST_FORMAT)?;
    is_current(MANIFEST, manifest.expires, now)?;
    let programs = manifest.for_this_machine()?;
    let (version, sequence) = (manifest.version, manifest.sequence);
    Ok(Release { version, sequence, digest: Digest::of(&text), programs })
}

impl Manifest {
    fn for_this_machine(&self) -> Result<Vec<Artefact>, Fault> {
        if self.artefacts.len() > ARTEFACTS_MAX {
            return Err(Fault::new(
                Code::E801,
                format!("`{MANIFEST}` names more than {ARTEFACTS_MAX} files"),
            ));
        }
        let target = target();
        PROGRAMS
            .map(|program| {
                let mut fits = self
                    .artefacts
                    .iter()
                    .filter(|artefact| artefact.name.as_str() == program && artefact.target == target);
                match (fits.next(), fits.next()) {
                    (Some(artefact), None) if artefact.size <= PROGRAM_BYTES_MAX => Ok(artefact.clone()),
                    (Some(artefact), None) => Err(Fault::new(
                        Code::E801,
                        format!("`{}` would have {} bytes", artefact.file, artefact.size),
                    )),
                    (None, _) => Err(Fault::new(Code::E801, format!("it has no `{program}` for {target}"))),
                    (Some(_), Some(_)) => {
                        Err(Fault::new(Code::E801, format!("it has `{program}` for {target} twice")))
                    }
                }
            })
            .into_iter()
            .collect()
    }
}

/// A text of the release, once one of `keys` has signed it.
fn signed(source: &mut dyn Source, name: &str, keys: &[PublicKey]) -> Result<Vec<u8>, Fault> {
    let text = source.small(name, TEXT_BYTES_MAX)?;
    let signature_name = format!("{name}.minisig");
    let signature = source.small(&signature_name, SIGNATURE_BYTES_MAX)?;
    let signature = std::str::from_utf8(&signature).ok().and_then(|text| Signature::decode(text).ok());
    let signature = signature
        .ok_or_else(|| Fault::new(Code::E802, format!("`{signature_name}` is no signature of minisign")))?;
    match keys.iter().any(|key| key.verify(&text, &signature, false).is_ok()) {
        true => Ok(text),
        false => Err(Fault::new(Code::E802, format!("nobody who may has signed `{name}`"))),
    }
}

fn read<T: for<'a> Deserialize<'a>>(text: &[u8], name: &str, known: &str) -> Result<T, Fault> {
    let broken = |error| Fault::caused(Code::E801, format!("`{name}` can't be read"), error);
    let Format { format } = serde_json::from_slice(text).map_err(broken)?;
    if format != known {
        let says =
            format!("`{name}` has the format `{}`, and this storectl knows `{known}`", format.escape_debug());
        return Err(Fault::new(Code::E801, says));
    }
    serde_json::from_slice(text).map_err(broken)
}

fn is_current(name: &str, expires: jiff::Timestamp, now: UnixMillis) -> Result<(), Fault> {
    match now.0 < expires.as_millisecond() {
        true => Ok(()),
        false => Err(Fault::new(Code::E804, format!("`{name}` was good until {expires:.0}"))),
    }
}

fn public_key(text: &str, of: &str) -> Result<PublicKey, Fault> {
    PublicKey::from_base64(text.trim())
        .map_err(|error| Fault::caused(Code::E801, format!("a key of {of} is none of minisign"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["0.2.0", "store-agent-x86_64-linux", "1.0.0-rc.1+7"] {
            assert_eq!(PlainName::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        for bad in
            ["", ".", "..", "../x", "a/b", "/etc/passwd", ".new", "-x", "a b", "a\0b", "é", &"a".repeat(65)]
        {
            PlainName::try_from(bad.to_owned()).unwrap_err();
        }
    }

    #[test]
    fn a_digest_is_read_and_shown_the_same() {
        let shown = Digest::of(b"milk").to_string();
        assert_eq!(Digest::try_from(shown.clone()).unwrap().to_string(), shown);
        for bad in ["", "+f", &shown[1..], &shown.replace(&shown[..1], "g"), &format!("{shown}0")] {
            Digest::try_from(bad.to_owned()).unwrap_err();
        }
    }

    #[test]
    fn root_keys_may_have_comments_and_there_has_to_be_one() {
        assert_eq!(Roots::of(Some("# none\n")).err().map(|fault| fault.code), Some(Code::E812));
        let file = "untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
        assert_eq!(Roots::of(Some(file)).unwrap().0.len(), 1);
        assert_eq!(Roots::of(Some("RWQ-no-key")).err().map(|fault| fault.code), Some(Code::E801));
    }
}
