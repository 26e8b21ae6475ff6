//! The two keys of pickup orders, kept beside the authority: the one that signs pickup codes, and the one that seals what the
//! hub knows of its customers.
//!
//! Promises: a key is made when it is missing, whole and durable before anything uses it, and what is there is never
//! overwritten. Of several that start at once, all use the same key.

use super::secret::{FileError, SECRET, sync_folder, write_new};
use crate::orders::codes::PickupKey;
use crate::orders::vault::{VAULT_KEY_BYTES, Vault};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

const PICKUP_KEY: &str = "pickup.key";
const CUSTOMERS_KEY: &str = "customers.key";

/// Why there is no key. Mostly the operator's to mend; a failing disk is the environment's.
#[derive(Debug, thiserror::Error)]
pub enum OrderKeyError {
    #[error("there is no folder `{path}` for the keys of orders; make it with `cloud-hub init`", path = path.display())]
    NoFolder { path: PathBuf },
    #[error(
        "`{path}` does not hold the key of pickup codes; put it back from a backup, or move it away to have a new one made: \
         shoppers' signed codes are refused then, their short ones are not",
        path = path.display()
    )]
    NotAPickupKey { path: PathBuf },
    #[error(
        "`{path}` does not hold the key of customers' data; put it back from a backup: without it the names and telephone \
         numbers of all orders so far are lost",
        path = path.display()
    )]
    NotACustomersKey { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("can't make a key")]
    Making(#[from] rcgen::Error),
}

impl PickupKey {
    /// The hub's key for pickup codes.
    ///
    /// # Errors
    /// When the folder is not there, or the key's file can't be read, can't be written or holds something else.
    pub fn open_or_create(pki_folder: &Path) -> Result<PickupKey, OrderKeyError> {
        let path = pki_folder.join(PICKUP_KEY);
        let text = read_or_make(&path, || Ok(KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem()))?;
        PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
            .ok()
            .and_then(|der| PickupKey::from_pkcs8(der.secret_pkcs8_der()).ok())
            .ok_or(OrderKeyError::NotAPickupKey { path })
    }
}

impl Vault {
    /// The vault of customers' data. Its key stands beside the authority and not beside the database, so that a copy of the
    /// database alone says nothing of anybody.
    ///
    /// # Errors
    /// As for [`PickupKey::open_or_create`].
    pub fn open_or_create(pki_folder: &Path) -> Result<Vault, OrderKeyError> {
        let path = pki_folder.join(CUSTOMERS_KEY);
        let text = read_or_make(&path, || customers_key(&path))?;
        let key = written_key(&text).ok_or(OrderKeyError::NotACustomersKey { path })?;
        Ok(Vault::new(&key))
    }
}

/// A new key as its file has it.
fn customers_key(path: &Path) -> Result<String, OrderKeyError> {
    let mut key = [0; VAULT_KEY_BYTES];
    getrandom::fill(&mut key).map_err(|e| FileError::new("drawing a key for", path, e.into()))?;
    let mut text = "# Seals names, telephone numbers and mail addresses in the hub's database. Keep a copy apart from it: without\n\
                    # this key nobody can read them again.\n"
        .to_owned();
    for byte in key {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    Ok(text)
}

/// The one line that is neither empty nor a comment, as bytes.
fn written_key(text: &str) -> Option<[u8; VAULT_KEY_BYTES]> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (line, None) = (lines.next()?.as_bytes(), lines.next()) else { return None };
    if line.len() != 2 * VAULT_KEY_BYTES {
        return None;
    }
    let digit = |at: usize| char::from(line[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut key = [0; VAULT_KEY_BYTES];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = digit(2 * at)? << 4 | digit(2 * at + 1)?;
    }
    Some(key)
}

fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<String, OrderKeyError>,
) -> Result<String, OrderKeyError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Never made here: `cloud-hub init` takes a folder that is there for an authority that is there.
    if !folder.is_dir() {
        return Err(OrderKeyError::NoFolder { path: folder.to_owned() });
    }
    if !path.try_exists().map_err(|e| FileError::new("looking for", path, e))? {
        put(path, &make()?)?;
        sync_folder(folder)?;
    }
    // Also after making it: what is there counts, and another process may have been quicker.
    Ok(std::fs::read_to_string(path).map_err(|e| FileError::new("reading", path, e))?)
}

/// Gives a file its name once all of it is on disk. A name that is taken meanwhile stays with the file that has it.
fn put(path: &Path, text: &str) -> Result<(), FileError> {
    // By process, so that two that start at once don't write into one file.
    let unnamed = path.with_extension(format!("new-{}", std::process::id()));
    // A start that was interrupted left this; its key was never used.
    drop(std::fs::remove_file(&unnamed));
    write_new(&unnamed, text, SECRET)?;
    let named = std::fs::hard_link(&unnamed, path);
    drop(std::fs::remove_file(&unnamed));
    match named {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(FileError::new("naming", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::vault::Customer;
    use std::os::unix::fs::PermissionsExt;
    use sync_protocol::order::OrderId;

    fn order() -> OrderId {
        "K7M29-QX4TB".parse().unwrap()
    }

    fn customer() -> Customer {
        Customer { name: "Anna Karenina".to_owned(), phone: None, email: None }
    }

    #[test]
    fn a_key_that_is_made_is_found_again() {
        let pki = tempfile::tempdir().unwrap();
        let public = PickupKey::open_or_create(pki.path()).unwrap().public();
        assert_eq!(PickupKey::open_or_create(pki.path()).unwrap().public(), public);
        let sealed = Vault::open_or_create(pki.path()).unwrap().seal(order(), &customer()).unwrap();
        assert_eq!(Vault::open_or_create(pki.path()).unwrap().open(order(), &sealed).unwrap(), customer());
    }

    #[test]
    fn two_hubs_have_two_keys() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let public = |pki: &tempfile::TempDir| PickupKey::open_or_create(pki.path()).unwrap().public();
        assert_ne!(public(&one), public(&other));
        let sealed = Vault::open_or_create(one.path()).unwrap().seal(order(), &customer()).unwrap();
        assert!(Vault::open_or_create(other.path()).unwrap().open(order(), &sealed).is_err());
    }

    #[test]
    fn keys_are_their_owners_only_and_nothing_else_is_left_behind() {
        let pki = tempfile::tempdir().unwrap();
        PickupKey::open_or_create(pki.path()).unwrap();
        Vault::open_or_create(pki.path()).unwrap();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(pki.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, [CUSTOMERS_KEY, PICKUP_KEY]);
    }

    #[test]
    fn what_is_no_key_is_refused_and_stays() {
        let ecdsa = KeyPair::generate().unwrap().serialize_pem();
        let good = customers_key(Path::new("x")).unwrap();
        let cut = &good[..good.len() - 2];
        for broken in ["", "# only a comment\n", "nonsense", &"+1".repeat(32), &ecdsa, cut, &good.repeat(2)] {
            let pki = tempfile::tempdir().unwrap();
            for name in [PICKUP_KEY, CUSTOMERS_KEY] {
                std::fs::write(pki.path().join(name), broken).unwrap();
            }
            let said = PickupKey::open_or_create(pki.path()).unwrap_err().to_string();
            assert!(said.contains(PICKUP_KEY) && said.contains("backup"), "{said}");
            let said = Vault::open_or_create(pki.path()).err().unwrap().to_string();
            assert!(said.contains(CUSTOMERS_KEY) && said.contains("backup"), "{said}");
            assert_eq!(std::fs::read_to_string(pki.path().join(PICKUP_KEY)).unwrap(), broken);
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_an_error() {
        let pki = tempfile::tempdir().unwrap();
        std::fs::write(pki.path().join(CUSTOMERS_KEY), [0xff; 32]).unwrap();
        assert!(Vault::open_or_create(pki.path()).is_err());
    }

    #[test]
    fn without_an_authority_nothing_is_made() {
        let data = tempfile::tempdir().unwrap();
        let pki = data.path().join("pki");
        let said = PickupKey::open_or_create(&pki).unwrap_err().to_string();
        assert!(said.contains("cloud-hub init"), "{said}");
        assert!(!pki.exists());
    }

    /// What a start leaves that was killed between writing the key and naming it.
    #[test]
    fn a_start_that_was_cut_short_does_no_harm() {
        let pki = tempfile::tempdir().unwrap();
        let unnamed = pki.path().join(PICKUP_KEY).with_extension(format!("new-{}", std::process::id()));
        std::fs::write(&unnamed, "-----BEGIN PRI").unwrap();
        PickupKey::open_or_create(pki.path()).unwrap();
        assert!(!unnamed.exists());
    }

    #[test]
    fn a_key_that_another_process_made_first_is_the_one() {
        let pki = tempfile::tempdir().unwrap();
        let path = pki.path().join(PICKUP_KEY);
        let make = || {
            std::fs::write(&path, "theirs").unwrap();
            Ok("ours".to_owned())
        };
        assert_eq!(read_or_make(&path, make).unwrap(), "theirs");
    }
}
