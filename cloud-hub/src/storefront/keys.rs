//! API keys: who may ask, and how often.
//!
//! The keys stand in a file of lines `name key`; empty lines and lines that start with `#` are skipped. In memory there are
//! only SHA-256 hashes of them, compared without a hint at where two differ. Whoever runs the API calls
//! [`KeyRing::reload_if_changed`] now and then; a file that can't be used then leaves the keys as they were. Two lines with one name are two keys of one customer:
//! that is how a key is replaced without a gap.

use super::limit::Bucket;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Shortest key: 16 characters, so that a random one can't be guessed.
pub const KEY_BYTES_MIN: usize = 16;
/// Longest key.
pub const KEY_BYTES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 64;
const KEYS_MAX: usize = 1000;
const FILE_BYTES_MAX: u64 = 512 * 1024;

/// The keys of a file, kept up to date with it.
#[derive(Debug)]
pub struct KeyRing {
    path: PathBuf,
    keys: RwLock<Arc<Vec<Key>>>,
    stamp: Mutex<Option<Stamp>>,
}

/// A known key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    hash: [u8; 32],
    pub(super) name: Arc<str>,
    pub(super) bucket: Arc<Bucket>,
}

/// Why a keys file can't be used. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("can't read the keys file `{path}`", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "the keys file `{path}` is open to every user of this machine (mode {mode:o}); run `chmod o= {path}`",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the keys file `{path}` has more than {FILE_BYTES_MAX} bytes or {KEYS_MAX} keys", path = path.display())]
    TooLarge { path: PathBuf },
    #[error("{path}, line {line}: {reason}", path = path.display())]
    Line { path: PathBuf, line: usize, reason: String },
}

/// What tells one state of the file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl KeyRing {
    /// Reads the keys of a file. A file without any is fine: then nobody may ask.
    ///
    /// # Errors
    /// When the file can't be read, is open to everyone, or has a line that is not understood.
    pub fn load(path: &Path) -> Result<KeyRing, KeysError> {
        let (stamp, text) = read(path)?;
        let keys = parse(path, &text, &HashMap::new())?;
        Ok(KeyRing {
            path: path.to_owned(),
            keys: RwLock::new(Arc::new(keys)),
            stamp: Mutex::new(Some(stamp)),
        })
    }

    /// Looks whether the file has changed, and takes its keys if so. Costs one `stat` otherwise. `Ok(true)`: there are new
    /// keys. After an error the file is tried again once it has changed again.
    ///
    /// # Errors
    /// As for [`load`](Self::load); the keys stay as they were.
    pub fn reload_if_changed(&self) -> Result<bool, KeysError> {
        let stamp = std::fs::metadata(&self.path).ok().map(|meta| Stamp::of(&meta));
        let mut known = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == stamp {
            return Ok(false);
        }
        *known = stamp;
        let (_, text) = read(&self.path)?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let buckets = keys.iter().map(|key| (Arc::clone(&key.name), Arc::clone(&key.bucket))).collect();
        *keys = Arc::new(parse(&self.path, &text, &buckets)?);
        Ok(true)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.keys().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys().is_empty()
    }

    /// The key that was presented, if it is one. Takes as long for a near miss as for a far one.
    pub(super) fn find(&self, presented: &[u8]) -> Option<Key> {
        let hash = sha256(presented);
        let keys = self.keys();
        let mut found = None;
        for (at, key) in keys.iter().enumerate() {
            if same(&key.hash, &hash) {
                found = Some(at);
            }
        }
        found.map(|at| keys[at].clone())
    }

    fn keys(&self) -> Arc<Vec<Key>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Stamp {
    fn of(meta: &std::fs::Metadata) -> Stamp {
        // The change time also moves with the mode: closing a file that was open to everyone is a reason to try again.
        Stamp { inode: meta.ino(), bytes: meta.size(), changed: (meta.ctime(), meta.ctime_nsec()) }
    }
}

/// The file's state and text, both of the same open file.
fn read(path: &Path) -> Result<(Stamp, String), KeysError> {
    let unreadable = |source| KeysError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.mode() & 0o007 != 0 {
        return Err(KeysError::Exposed { path: path.to_owned(), mode: meta.mode() & 0o777 });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(KeysError::TooLarge { path: path.to_owned() });
    }
    Ok((Stamp::of(&meta), text))
}

type Buckets = HashMap<Arc<str>, Arc<Bucket>>;

fn parse(path: &Path, text: &str, buckets: &Buckets) -> Result<Vec<Key>, KeysError> {
    let mut keys: Vec<Key> = Vec::new();
    let mut buckets = buckets.clone();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refused = |reason| KeysError::Line { path: path.to_owned(), line: at + 1, reason };
        let (name, hash) = parse_line(line).map_err(refused)?;
        if let Some(twin) = keys.iter().find(|key| key.hash == hash) {
            return Err(refused(format!("`{name}` has the same key as `{}`", twin.name)));
        }
        if keys.len() == KEYS_MAX {
            return Err(KeysError::TooLarge { path: path.to_owned() });
        }
        let bucket = Arc::clone(buckets.entry(Arc::clone(&name)).or_default());
        keys.push(Key { hash, name, bucket });
    }
    Ok(keys)
}

/// Never repeats the key: what is wrong with a line ends up in logs.
fn parse_line(line: &str) -> Result<(Arc<str>, [u8; 32]), String> {
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(key), None) = (words.next(), words.next(), words.next()) else {
        return Err("write a name and a key, with a space between them".to_owned());
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        return Err(format!("the name must be 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`"));
    }
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!(
            "the key of `{name}` must be {KEY_BYTES_MIN} to {KEY_BYTES_MAX} visible ASCII characters; \
             `openssl rand -hex 32` makes a good one"
        ));
    }
    Ok((name.into(), sha256(key.as_bytes())))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    const OLD: &str = "0123456789abcdef";
    const NEW: &str = "fedcba9876543210";

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        write(&path, text, 0o600);
        (folder, path)
    }

    fn name(ring: &KeyRing, key: &str) -> Option<String> {
        ring.find(key.as_bytes()).map(|key| key.name.to_string())
    }

    #[test]
    fn a_key_is_known_by_its_name() {
        let (_folder, path) = file(&format!("# the shop\n\nweb  {OLD}\r\napp\t{NEW}\n"));
        let ring = KeyRing::load(&path).unwrap();
        assert_eq!(ring.len(), 2);
        assert_eq!(name(&ring, OLD).as_deref(), Some("web"));
        assert_eq!(name(&ring, NEW).as_deref(), Some("app"));
        assert_eq!(name(&ring, "0123456789abcdeF"), None);
        assert_eq!(name(&ring, ""), None);
    }

    #[test]
    fn a_file_open_to_everyone_is_refused() {
        let (_folder, path) = file("");
        write(&path, "", 0o644);
        let said = KeyRing::load(&path).unwrap_err().to_string();
        assert!(said.contains("mode 644") && said.contains("chmod o="), "{said}");
        write(&path, "", 0o640);
        assert!(KeyRing::load(&path).unwrap().is_empty());
    }

    #[test]
    fn a_bad_line_is_named_without_its_key() {
        for bad in
            ["web", "web short", "we/b 0123456789abcdefX", "web 0123456789abcdef X", "web 0123456789abcdé"]
        {
            let (_folder, path) = file(&format!("ok {NEW}\n{bad}\n"));
            let said = KeyRing::load(&path).unwrap_err().to_string();
            assert!(said.contains("line 2") && !said.contains("0123456789"), "{said}");
        }
        let (_folder, path) = file(&format!("a {OLD}\nb {OLD}\n"));
        assert!(KeyRing::load(&path).unwrap_err().to_string().contains("same key as `a`"));
    }

    #[test]
    fn a_changed_file_is_taken_and_a_broken_one_is_not() {
        let (_folder, path) = file(&format!("web {OLD}\n"));
        let ring = KeyRing::load(&path).unwrap();
        assert!(!ring.reload_if_changed().unwrap());

        write(&path, &format!("web {OLD}\nweb {NEW}\n"), 0o600);
        assert!(ring.reload_if_changed().unwrap());
        let (old, new) = (ring.find(OLD.as_bytes()).unwrap(), ring.find(NEW.as_bytes()).unwrap());
        assert!(Arc::ptr_eq(&old.bucket, &new.bucket), "two keys of one name share their limit");

        write(&path, "nonsense\n", 0o600);
        assert!(ring.reload_if_changed().is_err());
        assert!(!ring.reload_if_changed().unwrap(), "an error is reported once");
        assert_eq!(ring.len(), 2);

        fs::remove_file(&path).unwrap();
        assert!(ring.reload_if_changed().is_err());
        assert_eq!(ring.len(), 2);

        write(&path, &format!("web {NEW}\n"), 0o600);
        assert!(ring.reload_if_changed().unwrap());
        assert_eq!(name(&ring, OLD), None);
    }
}
