//! Text as files hold it: brought to UTF-8, its lines counted, and never more at a time than a bound.

use crate::config::pos::Encoding;
use std::borrow::Cow;
use std::io::{self, BufRead, Read};

/// Windows-1252 from 0x80 to 0x9f; the rest is Latin-1. Five of them mean nothing and stay control characters.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn letter(byte: u8) -> char {
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// As XML names it.
pub fn encoding_named(name: &str) -> Option<Encoding> {
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Some(Encoding::Utf8),
        "windows-1252" | "cp1252" | "iso-8859-1" | "latin1" | "latin-1" => Some(Encoding::Windows1252),
        _ => None,
    }
}

/// `None`: these bytes are no text of this encoding.
pub fn decode(encoding: Encoding, bytes: &[u8]) -> Option<Cow<'_, str>> {
    match (encoding, std::str::from_utf8(bytes)) {
        (Encoding::Utf8, read) => read.ok().map(Cow::Borrowed),
        (Encoding::Windows1252, Ok(text)) if text.is_ascii() => Some(Cow::Borrowed(text)),
        (Encoding::Windows1252, _) => Some(bytes.iter().copied().map(letter).collect()),
    }
}

/// Bytes of a file on their way to a parser, as UTF-8 if its encoding is right.
#[derive(Debug)]
pub struct Lines<R> {
    inner: R,
    encoding: Encoding,
    /// What has been brought to UTF-8 and not been taken yet.
    turned: Vec<u8>,
    taken: usize,
    line: u64,
    /// How many more bytes may be taken before the next `allow`.
    allowed: usize,
}

/// Bytes that are brought to UTF-8 at a time.
const TURNED_AT_ONCE: usize = 8 * 1024;

impl<R: BufRead> Lines<R> {
    pub fn new(inner: R, encoding: Encoding) -> Lines<R> {
        Lines { inner, encoding, turned: Vec::new(), taken: 0, line: 1, allowed: 0 }
    }

    /// Lets the parser have so many bytes; one more is an error of the kind `FileTooLarge`.
    pub fn allow(&mut self, bytes: usize) {
        self.allowed = bytes;
    }

    /// The line that the parser has come to.
    pub fn line(&self) -> u64 {
        self.line
    }

    fn turn_more(&mut self) -> io::Result<()> {
        if self.taken < self.turned.len() {
            return Ok(());
        }
        self.turned.clear();
        self.taken = 0;
        let raw = self.inner.fill_buf()?;
        let raw = &raw[..raw.len().min(TURNED_AT_ONCE)];
        let mut utf8 = [0; 4];
        for byte in raw {
            self.turned.extend_from_slice(letter(*byte).encode_utf8(&mut utf8).as_bytes());
        }
        let turned = raw.len();
        self.inner.consume(turned);
        Ok(())
    }
}

impl<R: BufRead> Read for Lines<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let bytes = from.len().min(into.len());
        into[..bytes].copy_from_slice(&from[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}

impl<R: BufRead> BufRead for Lines<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let ready = match self.encoding {
            Encoding::Utf8 => self.inner.fill_buf()?,
            Encoding::Windows1252 => {
                self.turn_more()?;
                &self.turned[self.taken..]
            }
        };
        if self.allowed == 0 && !ready.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(&ready[..ready.len().min(self.allowed)])
    }

    fn consume(&mut self, bytes: usize) {
        self.allowed = self.allowed.saturating_sub(bytes);
        match self.encoding {
            Encoding::Utf8 => {
                // Already there: this is what `fill_buf` has just given out.
                if let Ok(ready) = self.inner.fill_buf() {
                    self.line += line_ends(&ready[..bytes.min(ready.len())]);
                }
                self.inner.consume(bytes);
            }
            Encoding::Windows1252 => {
                let end = (self.taken + bytes).min(self.turned.len());
                self.line += line_ends(&self.turned[self.taken..end]);
                self.taken = end;
            }
        }
    }
}

pub fn line_ends(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_letters_are_read_whole_and_broken_utf8_is_none() {
        assert_eq!(decode(Encoding::Windows1252, b"K\xe4se \x80 5").as_deref(), Some("Käse € 5"));
        assert_eq!(decode(Encoding::Windows1252, b"plain").as_deref(), Some("plain"));
        assert_eq!(decode(Encoding::Utf8, "Käse".as_bytes()).as_deref(), Some("Käse"));
        assert_eq!(decode(Encoding::Utf8, b"K\xe4se"), None);
    }

    #[test]
    fn bytes_are_turned_counted_and_bounded() {
        for (encoding, bytes) in
            [(Encoding::Utf8, "ä\nb\nc".as_bytes()), (Encoding::Windows1252, &b"\xe4\nb\nc"[..])]
        {
            let mut lines = Lines::new(bytes, encoding);
            lines.allow(100);
            let mut read = String::new();
            lines.read_to_string(&mut read).unwrap();
            assert_eq!((read.as_str(), lines.line()), ("ä\nb\nc", 3));
        }
        let mut lines = Lines::new(&b"too long"[..], Encoding::Utf8);
        lines.allow(3);
        let error = lines.read_to_string(&mut String::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
