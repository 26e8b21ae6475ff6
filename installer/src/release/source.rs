//! Where a release is read from: a folder, or a bundle of one as a `.tar` file.
//!
//! Nothing is unpacked before it is known: a file is asked for by its plain name, read up to its bound, and whatever else lies
//! there is not looked at.

use super::Artefact;
use super::Digest;
use crate::fault::{Code, Fault};
use crate::files;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

const COPY_BYTES: usize = 64 << 10;

/// A release that may be anything yet.
pub trait Source {
    /// Opens one of its files.
    fn open<'a>(&'a mut self, name: &str) -> Result<Box<dyn Read + 'a>, Fault>;

    /// A whole file that may have so many bytes.
    fn small(&mut self, name: &str, bytes_max: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        self.open(name)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| unread(name, error))?;
        match bytes.len() as u64 > bytes_max {
            true => Err(Fault::new(Code::E801, format!("`{name}` is longer than {bytes_max} bytes"))),
            false => Ok(bytes),
        }
    }

    /// Copies a file whose size and digest are known; what is copied is what was signed, or there is a fault.
    fn copy(&mut self, artefact: &Artefact, to: &mut File, path: &Path) -> Result<(), Fault> {
        copied(&mut *self.open(artefact.file.as_str())?, artefact, to, path)
    }
}

/// Copies what is there to be read, and tells whether it was what was signed.
pub fn copied(from: &mut dyn Read, artefact: &Artefact, to: &mut File, path: &Path) -> Result<(), Fault> {
    let name = artefact.file.as_str();
    // One byte more than there should be is enough to know.
    let mut from = from.take(artefact.size + 1);
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let (mut buffer, mut copied) = (vec![0; COPY_BYTES], 0);
    loop {
        let count = from.read(&mut buffer).map_err(|error| unread(name, error))?;
        if count == 0 {
            break;
        }
        copied += count as u64;
        digest.update(&buffer[..count]);
        to.write_all(&buffer[..count]).map_err(|error| files::unwritable(path, error))?;
    }
    if copied != artefact.size || Digest::ended(digest.finish()) != artefact.sha256 {
        return Err(Fault::new(Code::E803, format!("`{name}` differs from what the manifest says of it")));
    }
    Ok(())
}

/// Opens what lies at `path`.
pub fn at(path: &Path) -> Result<Box<dyn Source>, Fault> {
    let known = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Fault::new(Code::E801, format!("there is no `{}`", path.display())),
        _ => files::unreadable(path, error),
    })?;
    let path = path.to_owned();
    Ok(if known.is_dir() { Box::new(Folder { path }) } else { Box::new(Bundle { path }) })
}

struct Folder {
    path: PathBuf,
}

impl Source for Folder {
    fn open<'a>(&'a mut self, name: &str) -> Result<Box<dyn Read + 'a>, Fault> {
        let path = self.path.join(name);
        // A pipe or a device has no end, and may wait for ever.
        match std::fs::metadata(&path) {
            Ok(known) if known.is_file() => {}
            Ok(_) => return Err(Fault::new(Code::E801, format!("`{}` is no file", path.display()))),
            Err(error) => return Err(unread(name, error)),
        }
        Ok(Box::new(File::open(&path).map_err(|error| unread(name, error))?))
    }
}

/// The first file of a name counts; digests hold whichever it is.
struct Bundle {
    path: PathBuf,
}

impl Source for Bundle {
    fn open<'a>(&'a mut self, name: &str) -> Result<Box<dyn Read + 'a>, Fault> {
        let broken = |error| {
            Fault::caused(Code::E801, format!("`{}` can't be read as a bundle", self.path.display()), error)
        };
        let file = File::open(&self.path).map_err(|error| files::unreadable(&self.path, error))?;
        let mut archive = tar::Archive::new(file);
        let mut place = None;
        // Raw: entries that only give another one a long name would be read into memory, whatever their size. No name here is long.
        for entry in archive.entries_with_seek().map_err(broken)?.raw(true) {
            let entry = entry.map_err(broken)?;
            let path = entry.path().map_err(broken)?;
            let is_file = entry.header().entry_type() == tar::EntryType::Regular;
            if is_file && path.strip_prefix("./").unwrap_or(&path) == Path::new(name) {
                place = Some((entry.raw_file_position(), entry.size()));
                break;
            }
        }
        let Some((at, size)) = place else {
            return Err(Fault::new(Code::E801, format!("it has no `{name}`")));
        };
        let mut file = archive.into_inner();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(at)).map_err(broken)?;
        Ok(Box::new(file.take(size)))
    }
}

fn unread(name: &str, error: std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NotFound => Fault::new(Code::E801, format!("it has no `{name}`")),
        _ => Fault::caused(Code::E801, format!("its `{name}` can't be read"), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(entries: &[(&str, tar::EntryType, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = tar::Builder::new(file.reopen().unwrap());
        for (name, kind, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            // As somebody writes it who means harm: the crate's own setters refuse such names.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *bytes).unwrap();
        }
        archive.finish().unwrap();
        file
    }

    #[test]
    fn a_bundle_gives_its_files_by_name_and_nothing_that_is_none() {
        use tar::EntryType::{Regular, Symlink};
        let file = bundle(&[
            ("../keys.json", Regular, b"elsewhere"),
            ("/keys.json", Regular, b"elsewhere"),
            ("keys.json", Symlink, b""),
            ("./release.json", Regular, b"{}"),
            ("x", Regular, b"first"),
            ("x", Regular, b"second"),
        ]);
        let mut source = at(file.path()).unwrap();
        assert_eq!(source.small("keys.json", 100).unwrap_err().code, Code::E801);
        assert_eq!(source.small("release.json", 100).unwrap(), b"{}");
        assert_eq!(source.small("x", 100).unwrap(), b"first");
        assert_eq!(source.small("x", 4).unwrap_err().code, Code::E801);
    }

    #[test]
    fn a_long_name_that_a_bundle_claims_is_not_read() {
        use tar::EntryType::{GNULongName, Regular, XHeader};
        let file = bundle(&[
            ("././@LongLink", GNULongName, b"elsewhere"),
            ("keys.json", Regular, b"{}"),
            ("x", XHeader, b"18 path=elsewhere\n"),
            ("release.json", Regular, b"{}"),
        ]);
        let mut source = at(file.path()).unwrap();
        assert_eq!(source.small("keys.json", 100).unwrap(), b"{}");
        assert_eq!(source.small("release.json", 100).unwrap(), b"{}");
    }

    #[test]
    fn what_is_no_bundle_and_what_is_no_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("release.json")).unwrap();
        assert_eq!(at(folder.path()).unwrap().small("release.json", 9).unwrap_err().code, Code::E801);
        let odd = folder.path().join("odd");
        std::fs::write(&odd, vec![7; 5_000]).unwrap();
        assert_eq!(at(&odd).unwrap().small("release.json", 9).unwrap_err().code, Code::E801);
        assert_eq!(at(&folder.path().join("none")).err().map(|fault| fault.code), Some(Code::E801));
    }
}
