//! The code that the first manager is set up with: made by the agent, read on the store server, gone once it was used.
//!
//! It lies in a file that only the agent's own user can read, so whoever sets the page up has the store server in hand.

use super::people::hex;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Digits of a code, in two groups.
const DIGITS: usize = 12;

/// Where the code is.
#[derive(Debug, Clone)]
pub struct SetupCode {
    path: PathBuf,
}

impl SetupCode {
    #[must_use]
    pub fn at(path: &Path) -> SetupCode {
        SetupCode { path: path.to_owned() }
    }

    /// The code; made if there is none yet.
    ///
    /// # Errors
    /// The file can't be read or written, or the system gives no random numbers.
    pub fn read_or_make(&self) -> std::io::Result<String> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) if text.trim().len() >= DIGITS => return Ok(text.trim().to_owned()),
            Ok(_) => std::fs::remove_file(&self.path)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut random = [0; DIGITS / 2];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let digits = hex(&random);
        let code = format!("{}-{}", &digits[..DIGITS / 2], &digits[DIGITS / 2..]);
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        writeln!(file, "{code}")?;
        file.sync_all()?;
        Ok(code)
    }

    /// Case, spaces and the hyphen don't matter.
    #[must_use]
    pub fn is(&self, typed: &str) -> bool {
        let Ok(code) = self.read_or_make() else { return false };
        crate::http::tokens::equal(plain(&code).as_bytes(), plain(typed).as_bytes())
    }

    /// It was used.
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the used set-up code could not be removed");
        }
    }
}

fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_code_stays_the_same_until_it_was_used() {
        let folder = tempfile::tempdir().unwrap();
        let setup = SetupCode::at(&folder.path().join("setup-code"));
        let code = setup.read_or_make().unwrap();
        assert_eq!(setup.read_or_make().unwrap(), code);
        let mode = folder.path().join("setup-code").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            setup.is(&code.to_uppercase().replace('-', " ")) && !setup.is("") && !setup.is("000000-000000")
        );
        setup.remove();
        assert_ne!(setup.read_or_make().unwrap(), code);
    }
}
