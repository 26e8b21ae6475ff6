//! The web shop's first API key, so that a new hub can be asked at once. Further keys are written by hand.

use super::secret::{FileError, SECRET, write_new};
use std::fmt::Write;
use std::path::Path;

/// Writes a file with one random key, unless there is a file already. `Ok(true)`: it was written.
///
/// # Errors
/// It can't be written, or there are no random numbers.
pub fn write_first(path: &Path) -> Result<bool, FileError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| FileError::new("drawing a key for", path, e.into()))?;
    let mut key = String::new();
    for byte in random {
        let _ = write!(key, "{byte:02x}");
    }
    let text = format!(
        "# API keys of the storefront: one `name key` per line, read again when it changes.\nwebshop {key}\n"
    );
    match write_new(path, &text, SECRET) {
        Ok(()) => Ok(true),
        Err(error) if error.is_already_there() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_key_is_random_and_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        assert!(write_first(&one).unwrap() && write_first(&other).unwrap());
        assert_ne!(std::fs::read(&one).unwrap(), std::fs::read(&other).unwrap());
        assert_eq!(one.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn keys_that_are_there_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "mine").unwrap();
        assert!(!write_first(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
}
