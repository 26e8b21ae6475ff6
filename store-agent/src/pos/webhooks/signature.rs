//! Who really sent it: HMAC-SHA256 over the body as it came, in base64, by one of the secrets of a file.

use crate::http::tokens::equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The old and the new, and some to spare.
const SECRETS_MAX: usize = 8;
const SECRET_BYTES_MIN: usize = 16;
const FILE_BYTES_MAX: u64 = 16 << 10;

/// The secrets of one source, read again when their file has changed.
pub struct Secrets {
    path: PathBuf,
    seen: Option<SystemTime>,
    keys: Vec<hmac::Key>,
}

/// Why a file of secrets is no use. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("cannot read the secrets file {path}; it holds one secret a line", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the secrets file {path} can be read by everyone on this machine; run `chmod 600 {path}`", path = path.display())]
    Exposed { path: PathBuf },
    #[error("{path}, line {line}: the secret is shorter than {SECRET_BYTES_MIN} characters", path = path.display())]
    Short { path: PathBuf, line: usize },
    #[error("the secrets file {path} must hold 1 to {SECRETS_MAX} secrets, one a line", path = path.display())]
    Count { path: PathBuf },
}

impl Secrets {
    pub fn load(path: &Path) -> Result<Secrets, SecretsError> {
        let (seen, keys) = read(path)?;
        Ok(Secrets { path: path.to_owned(), seen, keys })
    }

    /// Reads the file again where it has changed. One that can't be used leaves the secrets of before in force.
    pub fn refresh(&mut self) {
        let now = std::fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        if now == self.seen {
            return;
        }
        self.seen = now;
        match read(&self.path) {
            Ok((_, keys)) => self.keys = keys,
            Err(error) => tracing::error!(%error, "the secrets of before stay in force"),
        }
    }

    /// Whether `given` signs these parts. Takes as long whichever secret it was, and however much of it is right.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]], given: &[u8]) -> bool {
        let given = STANDARD.decode(given).unwrap_or_default();
        let mut is_signed = false;
        for key in &self.keys {
            let mut context = hmac::Context::with_key(key);
            parts.iter().for_each(|part| context.update(part));
            is_signed |= equal(context.sign().as_ref(), &given);
        }
        is_signed
    }
}

fn read(path: &Path) -> Result<(Option<SystemTime>, Vec<hmac::Key>), SecretsError> {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |source| SecretsError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.permissions().mode() & 0o004 != 0 {
        return Err(SecretsError::Exposed { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let secret = line.trim();
        if secret.is_empty() || secret.starts_with('#') {
            continue;
        }
        if secret.len() < SECRET_BYTES_MIN {
            return Err(SecretsError::Short { path: path.to_owned(), line: index + 1 });
        }
        keys.push(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    }
    if keys.is_empty() || keys.len() > SECRETS_MAX {
        return Err(SecretsError::Count { path: path.to_owned() });
    }
    Ok((about.modified().ok(), keys))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    const OLD: &str = "the-old-secret-0000";
    const NEW: &str = "the-new-secret-0000";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    fn signature(secret: &str, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        STANDARD.encode(hmac::sign(&key, text.as_bytes()))
    }

    #[test]
    fn a_known_signature_fits() {
        // RFC 4231, test case 2, with the key made long enough by its own rules: HMAC pads a key with zeros.
        let (_folder, path) = file("Jefe\0\0\0\0\0\0\0\0\0\0\0\0\0\n", 0o600);
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let bytes: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        let given = STANDARD.encode(bytes);
        let secrets = Secrets::load(&path).unwrap();
        assert!(secrets.sign(&[b"what do ya want ", b"for nothing?"], given.as_bytes()));
    }

    #[test]
    fn each_of_the_secrets_signs_and_nothing_else_does() {
        let (_folder, path) = file(&format!("# since May\n{NEW}\n{OLD}\n"), 0o600);
        let secrets = Secrets::load(&path).unwrap();
        for secret in [OLD, NEW] {
            let good = signature(secret, "https://x/{}");
            assert!(secrets.sign(&[b"https://x/", b"{}"], good.as_bytes()));
            assert!(!secrets.sign(&[b"https://x/", b"{ }"], good.as_bytes()));
            assert!(!secrets.sign(&[b"https://x/", b"{}"], &good.as_bytes()[..good.len() - 4]));
        }
        let other = signature("somebody-elses-0000", "{}");
        for wrong in ["", "====", other.as_str(), "AAAA"] {
            assert!(!secrets.sign(&[b"{}"], wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_leaves_the_secrets_of_before() {
        let (_folder, path) = file(&format!("{OLD}\n"), 0o600);
        let mut secrets = Secrets::load(&path).unwrap();
        let touch = |text: &str, seconds: u64| {
            std::fs::write(&path, text).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        };
        touch("short\n", 1);
        secrets.refresh();
        assert!(secrets.sign(&[b"x"], signature(OLD, "x").as_bytes()));
        touch(&format!("{NEW}\n"), 2);
        secrets.refresh();
        assert!(secrets.sign(&[b"x"], signature(NEW, "x").as_bytes()));
        assert!(!secrets.sign(&[b"x"], signature(OLD, "x").as_bytes()));
    }

    #[test]
    fn a_file_that_is_no_use_is_named_without_what_is_in_it() {
        for (text, mode, expected) in [
            (format!("{NEW}\n"), 0o644, "chmod 600"),
            ("short-secret\n".to_owned(), 0o600, "line 1"),
            ("# none\n".to_owned(), 0o600, "1 to 8"),
            (format!("{NEW}\n").repeat(9), 0o600, "1 to 8"),
        ] {
            let (_folder, path) = file(&text, mode);
            let said = Secrets::load(&path).err().unwrap().to_string();
            assert!(said.contains(expected) && !said.contains("secret-"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_sign_by_chance(given in prop::collection::vec(any::<u8>(), 0..100)) {
            let (_folder, path) = file(&format!("{NEW}\n"), 0o600);
            let is_signed = Secrets::load(&path).unwrap().sign(&[b"x"], &given);
            prop_assert!(!is_signed);
        }
    }
}
