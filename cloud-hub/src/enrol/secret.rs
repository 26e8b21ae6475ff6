//! Files that hold secrets: made new, never overwritten, readable by their owner only from their first moment.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// For the owner alone.
pub(super) const SECRET: u32 = 0o600;
/// For everybody to read.
pub(super) const PUBLIC: u32 = 0o644;

/// What could not be done with a file.
#[derive(Debug, thiserror::Error)]
#[error("{act} `{path}` failed", path = path.display())]
pub struct FileError {
    act: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    pub(super) fn new(act: &'static str, path: &Path, source: io::Error) -> FileError {
        FileError { act, path: path.to_owned(), source }
    }

    pub(super) fn is_already_there(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }
}

/// Makes a folder that only its owner may enter, and the folders above it where they are missing.
pub(super) fn create_private_folder(folder: &Path) -> Result<(), FileError> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| FileError::new("making", parent, e))?;
    DirBuilder::new().mode(0o700).create(folder).map_err(|e| FileError::new("making", folder, e))
}

/// Writes a file that must not be there yet, down to the disk.
pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), FileError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| FileError::new("writing", path, e))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| FileError::new("writing", folder, e))
}
