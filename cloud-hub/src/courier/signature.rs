//! Secrets from files, and what they sign: webhooks carry a signature for each secret, as Standard Webhooks has it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const PREFIX: &str = "whsec_";
/// Bytes of a secret, as Standard Webhooks bounds it.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const SECRETS_MAX: usize = 8;
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Why a file of secrets can't be used. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("can't read the secrets file `{path}`", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "the secrets file `{path}` is open to every user of this machine (mode {mode:o}); run `chmod o= {path}`",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path}, line {line}: {reason}", path = path.display())]
    Line { path: PathBuf, line: usize, reason: &'static str },
    #[error("the secrets file `{path}` holds {found} secrets; {wanted}", path = path.display())]
    Count { path: PathBuf, found: usize, wanted: &'static str },
}

/// Reads the secrets out of a file's text.
type Reader = fn(&Path, &str) -> Result<Vec<Vec<u8>>, SecretError>;

/// What a request is sent with, read from a file each time, so that it is replaced without a restart. A file that can't be used
/// leaves what was last read.
#[derive(Debug)]
pub(super) struct Secrets {
    path: PathBuf,
    read: Reader,
    last: Mutex<Arc<Vec<Vec<u8>>>>,
}

impl Secrets {
    /// Lines `whsec_…`; the message carries a signature for each.
    pub(super) fn of_webhook(path: &Path) -> Result<Secrets, SecretError> {
        Secrets::open(path, signing)
    }

    /// One line: a bearer token.
    pub(super) fn of_participant(path: &Path) -> Result<Secrets, SecretError> {
        Secrets::open(path, token)
    }

    fn open(path: &Path, read: Reader) -> Result<Secrets, SecretError> {
        let first = read(path, &text_of(path)?)?;
        Ok(Secrets { path: path.to_owned(), read, last: Mutex::new(Arc::new(first)) })
    }

    /// As they are now. Reads a file.
    pub(super) fn current(&self) -> Arc<Vec<Vec<u8>>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match text_of(&self.path).and_then(|text| (self.read)(&self.path, &text)) {
            Ok(secrets) => *last = Arc::new(secrets),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "secrets stay as they were");
            }
        }
        Arc::clone(&last)
    }
}

fn text_of(path: &Path) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    if mode & 0o007 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode: mode & 0o777 });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Lines that are neither empty nor a comment, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Never repeats a secret: what is wrong with a line ends up in logs.
fn signing(path: &Path, text: &str) -> Result<Vec<Vec<u8>>, SecretError> {
    let reason = "write `whsec_` and 24 to 64 random bytes in base64, such as \
                  `echo whsec_$(openssl rand -base64 32)`";
    let decoded = |(line, secret): (usize, &str)| {
        let bytes = secret.strip_prefix(PREFIX).and_then(|secret| STANDARD.decode(secret).ok());
        bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).ok_or(SecretError::Line {
            path: path.to_owned(),
            line,
            reason,
        })
    };
    let secrets: Vec<Vec<u8>> = lines(text).map(decoded).collect::<Result<_, _>>()?;
    match secrets.len() {
        1..=SECRETS_MAX => Ok(secrets),
        found => {
            Err(SecretError::Count { path: path.to_owned(), found, wanted: "write 1 to 8, one on each line" })
        }
    }
}

fn token(path: &Path, text: &str) -> Result<Vec<Vec<u8>>, SecretError> {
    let tokens: Vec<(usize, &str)> = lines(text).collect();
    let [(line, token)] = tokens[..] else {
        let (found, wanted) = (tokens.len(), "write one line with the bearer token");
        return Err(SecretError::Count { path: path.to_owned(), found, wanted });
    };
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = "a bearer token is visible ASCII without spaces";
        return Err(SecretError::Line { path: path.to_owned(), line, reason });
    }
    Ok(vec![token.as_bytes().to_vec()])
}

/// The value of `webhook-signature`: a signature for each secret, with spaces between.
pub(super) fn signatures(secrets: &[Vec<u8>], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signature = |secret: &Vec<u8>| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    secrets.iter().map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    /// The example that the libraries of Standard Webhooks test themselves with.
    #[test]
    fn the_published_example_is_signed_as_published() {
        let (_folder, path) = written("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", 0o600);
        let secrets = Secrets::of_webhook(&path).unwrap().current();
        let signed =
            signatures(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_replaced_without_a_restart_and_a_broken_file_changes_nothing() {
        let one = format!("whsec_{}", STANDARD.encode([1; 32]));
        let (_folder, path) = written(&format!("# the shop\n{one}\n"), 0o640);
        let secrets = Secrets::of_webhook(&path).unwrap();
        std::fs::write(&path, format!("whsec_{}\n{one}\n", STANDARD.encode([2; 32]))).unwrap();
        assert_eq!(*secrets.current(), [vec![2; 32], vec![1; 32]]);
        std::fs::write(&path, "nonsense").unwrap();
        assert_eq!(secrets.current().len(), 2);
        assert_eq!(signatures(&secrets.current(), "i", 1, b"").matches("v1,").count(), 2);
    }

    #[test]
    fn what_is_no_secret_is_refused_without_repeating_it() {
        let cases = [
            ("", 0o600, "holds 0 secrets"),
            ("whsec_c2hvcnQ=", 0o600, "line 1: write `whsec_`"),
            ("\nsecret-of-ours", 0o600, "line 2: write `whsec_`"),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0o644, "mode 644"),
        ];
        for (text, mode, expected) in cases {
            let (_folder, path) = written(text, mode);
            let said = Secrets::of_webhook(&path).unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains("secret-of-ours"), "{said}");
        }
        let (_folder, path) = written("one two", 0o600);
        assert!(Secrets::of_participant(&path).unwrap_err().to_string().contains("without spaces"));
        let (_folder, path) = written("one\ntwo", 0o600);
        assert!(Secrets::of_participant(&path).unwrap_err().to_string().contains("one line"));
    }
}
