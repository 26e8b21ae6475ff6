//! Who may ask: bearer tokens from a file, one line per till.
//!
//! ```text
//! # source   token                               more rights
//! till-3     9f2c0d7e8a41b6c5f03e7719d2ab4c58
//! office     51d0c2aa37e94b0fb6a8e1d97c0f4e23    items
//! till-*     c4b19e0d5f7a42838e6d0b7f1a2c3d4e
//! ```
//!
//! A token reports movements for the source it is named after and for no other; a name that ends in `*` stands for every
//! source that starts like it. `items` allows changing items, and the name `*` alone allows everything. Every token may
//! read, and work on pickup orders. The file must not be readable by everyone; it is read again when it changes. A changed
//! file that cannot be used leaves the tokens of before in force, and says so in the log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use sync_protocol::SourceId;

/// Shorter ones can be guessed; `openssl rand -hex 16` gives 32.
const TOKEN_BYTES_MIN: usize = 16;
/// One per till of the largest store, several times over.
const TOKENS_MAX: usize = 10_000;

/// Whom a token belongs to and what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    name: Arc<str>,
    items: bool,
}

impl Caller {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn may_report(&self, source: &SourceId) -> bool {
        match self.name.strip_suffix('*') {
            Some(start) => source.as_str().starts_with(start),
            None => source.as_str() == &*self.name,
        }
    }

    #[must_use]
    pub fn may_change_items(&self) -> bool {
        self.items || &*self.name == "*"
    }
}

/// The tokens in force; shared by all connections, replaced whole.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    current: RwLock<Arc<Vec<Entry>>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    token: Box<[u8]>,
    caller: Caller,
}

impl Tokens {
    pub fn load(path: &Path) -> Result<Tokens, TokensError> {
        let entries = read(path)?;
        Ok(Tokens { path: path.to_owned(), current: RwLock::new(Arc::new(entries)) })
    }

    /// Reads the file again. On an error the tokens of before stay in force.
    pub fn reload(&self) -> Result<usize, TokensError> {
        let entries = Arc::new(read(&self.path)?);
        let count = entries.len();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = entries;
        Ok(count)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes as long whichever token matches, and however much of one.
    #[must_use]
    pub fn caller(&self, token: &[u8]) -> Option<Caller> {
        let entries = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let mut found = None;
        for entry in entries.iter() {
            if equal(&entry.token, token) {
                found = Some(&entry.caller);
            }
        }
        found.cloned()
    }
}

/// Compares every byte whatever the first difference; only the length shows.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let differing = a.iter().zip(b).fold(0u8, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    std::hint::black_box(differing) == 0
}

/// Why a token file is no use.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    #[error("cannot read the token file {path}; it holds one line `source token` per till", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the token file {path} can be read by everyone on this machine; run `chmod 600 {path}`", path = path.display())]
    Exposed { path: PathBuf },
    #[error("{path}, line {line}: {message}", path = path.display())]
    Line { path: PathBuf, line: usize, message: &'static str },
    #[error("the token file {path} holds no token; add a line `source token`", path = path.display())]
    Empty { path: PathBuf },
}

fn read(path: &Path) -> Result<Vec<Entry>, TokensError> {
    let unreadable = |source| TokensError::Read { path: path.to_owned(), source };
    if readable_by_everyone(path).map_err(unreadable)? {
        return Err(TokensError::Exposed { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let entries =
        parse(&text).map_err(|(line, message)| TokensError::Line { path: path.to_owned(), line, message })?;
    if entries.is_empty() {
        return Err(TokensError::Empty { path: path.to_owned() });
    }
    Ok(entries)
}

fn readable_by_everyone(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o004 != 0)
}

fn parse(text: &str) -> Result<Vec<Entry>, (usize, &'static str)> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let said = line.trim();
        if said.is_empty() || said.starts_with('#') {
            continue;
        }
        let entry = entry(said).map_err(|message| (index + 1, message))?;
        if entries.iter().any(|known| known.token == entry.token) {
            return Err((index + 1, "this token stands on an earlier line too; give each till its own"));
        }
        if entries.len() == TOKENS_MAX {
            return Err((index + 1, "there are more than 10000 tokens"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(line: &str) -> Result<Entry, &'static str> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(token)) = (words.next(), words.next()) else {
        return Err("expected a source name, a space and a token");
    };
    let items = match (words.next(), words.next()) {
        (None, _) => false,
        (Some("items"), None) => true,
        _ => return Err("after the token only the word `items` may follow"),
    };
    if name.strip_suffix('*').unwrap_or(name).contains('*') {
        return Err("`*` may only stand at the end of the name");
    }
    if name.parse::<SourceId>().is_err() {
        return Err("the name is no source name; it is too long or has characters that are not allowed");
    }
    if token.len() < TOKEN_BYTES_MIN {
        return Err("the token is shorter than 16 characters; make one with `openssl rand -hex 16`");
    }
    Ok(Entry { token: token.as_bytes().into(), caller: Caller { name: name.into(), items } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const TILL: &str = "0123456789abcdef";
    const ANY: &str = "fedcba9876543210";
    const OFFICE: &str = "aaaaaaaaaaaaaaaa";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    fn source(name: &str) -> SourceId {
        name.parse().unwrap()
    }

    #[test]
    fn a_token_reports_for_its_own_source_only() {
        let (_folder, path) = file(&format!("# tills\ntill-3 {TILL}\n"), 0o600);
        let caller = Tokens::load(&path).unwrap().caller(TILL.as_bytes()).unwrap();
        assert!(caller.may_report(&source("till-3")));
        assert!(!caller.may_report(&source("till-30")) && !caller.may_report(&source("till-4")));
        assert!(!caller.may_change_items());
    }

    #[test]
    fn a_star_stands_for_every_source_that_starts_so() {
        let (_folder, path) = file(&format!("till-* {TILL}\n* {ANY}\noffice {OFFICE} items\n"), 0o640);
        let tokens = Tokens::load(&path).unwrap();
        let till = tokens.caller(TILL.as_bytes()).unwrap();
        assert!(till.may_report(&source("till-77")) && !till.may_report(&source("scale-1")));
        let any = tokens.caller(ANY.as_bytes()).unwrap();
        assert!(any.may_report(&source("scale-1")) && any.may_change_items());
        let office = tokens.caller(OFFICE.as_bytes()).unwrap();
        assert!(office.may_change_items() && !office.may_report(&source("till-1")));
    }

    #[test]
    fn an_unknown_token_is_nobody() {
        let (_folder, path) = file(&format!("till-3 {TILL}\n"), 0o600);
        let tokens = Tokens::load(&path).unwrap();
        for wrong in ["", "0123456789abcdeF", "0123456789abcde", "0123456789abcdef0"] {
            assert_eq!(tokens.caller(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_that_everyone_can_read_is_refused() {
        let (_folder, path) = file(&format!("till-3 {TILL}\n"), 0o644);
        let said = Tokens::load(&path).unwrap_err().to_string();
        assert!(said.contains("chmod 600"), "{said}");
    }

    #[test]
    fn a_bad_line_is_named() {
        let cases = [
            ("till-3\n", "line 1"),
            ("\n# x\ntill-3 short\n", "line 3"),
            ("t*l 0123456789abcdef\n", "only stand at the end"),
            ("till-3 0123456789abcdef admin\n", "`items`"),
            ("a 0123456789abcdef\nb 0123456789abcdef\n", "line 2"),
            ("# nothing\n", "holds no token"),
        ];
        for (text, expected) in cases {
            let (_folder, path) = file(text, 0o600);
            let said = Tokens::load(&path).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }

    #[test]
    fn a_changed_file_that_is_broken_leaves_the_old_tokens_in_force() {
        let (_folder, path) = file(&format!("till-3 {TILL}\n"), 0o600);
        let tokens = Tokens::load(&path).unwrap();
        std::fs::write(&path, "till-3\n").unwrap();
        assert!(tokens.reload().is_err());
        assert!(tokens.caller(TILL.as_bytes()).is_some());
        std::fs::write(&path, format!("till-4 {ANY}\n")).unwrap();
        assert_eq!(tokens.reload().unwrap(), 1);
        assert!(tokens.caller(TILL.as_bytes()).is_none());
        assert!(tokens.caller(ANY.as_bytes()).is_some());
    }
}
