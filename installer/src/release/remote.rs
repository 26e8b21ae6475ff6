//! A release on a web server. What is large is kept while it comes, so that the next try goes on where a broken line has left it.

use super::Artefact;
use super::source::{Source, copied};
use crate::fault::Fault;
use crate::files::{self, Access};
use crate::talk::download::Downloads;
use crate::talk::wait_for;
use std::fs::{File, OpenOptions};
use std::io::{Cursor, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Texts of a release are shorter.
const SMALL_BYTES_MAX: u64 = 1 << 20;

pub struct Remote {
    downloads: Downloads,
    /// Where beginnings of files are kept.
    kept: PathBuf,
}

impl Remote {
    #[must_use]
    pub fn new(downloads: Downloads, kept: PathBuf) -> Remote {
        Remote { downloads, kept }
    }
}

impl Source for Remote {
    fn open<'a>(&'a mut self, name: &str) -> Result<Box<dyn Read + 'a>, Fault> {
        Ok(Box::new(Cursor::new(self.small(name, SMALL_BYTES_MAX)?)))
    }

    fn small(&mut self, name: &str, bytes_max: u64) -> Result<Vec<u8>, Fault> {
        wait_for(self.downloads.small(name, bytes_max))
    }

    fn copy(&mut self, artefact: &Artefact, to: &mut File, path: &Path) -> Result<(), Fault> {
        files::make_folder(&self.kept, Access { mode: 0o700, owner: None })?;
        // Named by what it is to be: another release never goes on with the beginning of this one.
        let kept = self.kept.join(artefact.sha256.to_string());
        let opened =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&kept);
        let mut file = opened.map_err(|error| files::unwritable(&kept, error))?;
        wait_for(self.downloads.rest(artefact.file.as_str(), &mut file, artefact.size))?;
        file.rewind().map_err(|error| files::unreadable(&kept, error))?;
        let copied = copied(&mut file, artefact, to, path);
        // Used, or not what it should be: kept in neither case.
        files::remove(&kept)?;
        copied
    }
}
