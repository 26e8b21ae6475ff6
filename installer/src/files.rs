//! Files and folders with their owner and mode, replaced whole and down to the disk.
//!
//! Promises: whoever reads a file sees the old text or the new one, never half of one; a file is as private as it is meant to be
//! from its first moment; what an interrupted write left behind is in nobody's way.

use crate::fault::{Code, Fault};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Nothing that storectl reads whole is longer.
const READ_BYTES_MAX: u64 = 16 << 20;

/// Whose a file is, and who may do what with it. Without an owner it belongs to whoever runs storectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    pub mode: u32,
    pub owner: Option<Owner>,
}

/// A user and its group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

impl Owner {
    fn has(self, found: &fs::Metadata) -> bool {
        (found.uid(), found.gid()) == (self.user, self.group)
    }
}

impl Access {
    /// For its owner alone.
    #[must_use]
    pub fn secret(owner: Option<Owner>) -> Access {
        Access { mode: 0o600, owner }
    }

    /// Root writes it, and the agent's user reads it. Where there is no such user it is a secret of whoever runs this.
    #[must_use]
    pub fn readable(owner: Option<Owner>) -> Access {
        match owner {
            Some(owner) => Access { mode: 0o640, owner: Some(Owner { user: 0, ..owner }) },
            None => Access::secret(None),
        }
    }

    #[must_use]
    pub fn public() -> Access {
        Access { mode: 0o644, owner: None }
    }

    #[must_use]
    pub fn folder(owner: Option<Owner>) -> Access {
        Access { mode: 0o750, owner }
    }

    /// What is different at `path`, in words. A file that is missing has no access.
    pub fn differences(&self, path: &Path) -> Result<Vec<String>, Fault> {
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(path, error)),
        };
        let mut differences = Vec::new();
        let mode = found.mode() & 0o7777;
        if mode != self.mode {
            differences.push(format!("mode of {}: {mode:o} → {:o}", path.display(), self.mode));
        }
        if let Some(owner) = self.owner.filter(|owner| !owner.has(&found)) {
            let (user, group) = (owner.user, owner.group);
            differences.push(format!(
                "owner of {}: {}:{} → {user}:{group}",
                path.display(),
                found.uid(),
                found.gid()
            ));
        }
        Ok(differences)
    }

    /// Makes owner and mode what they should be: of what is opened here, and never of what a link leads to.
    pub fn mend(&self, path: &Path) -> Result<(), Fault> {
        let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, how, Mode::empty()).map(File::from);
        let file = file.map_err(|error| unreadable(path, error.into()))?;
        let found = file.metadata().map_err(|error| unreadable(path, error))?;
        if let Some(owner) = self.owner.filter(|owner| !owner.has(&found)) {
            std::os::unix::fs::fchown(&file, Some(owner.user), Some(owner.group))
                .map_err(|error| unwritable(path, error))?;
        }
        file.set_permissions(fs::Permissions::from_mode(self.mode)).map_err(|error| unwritable(path, error))
    }
}

/// The text at `path`; `None` where there is no file.
pub fn read(path: &Path) -> Result<Option<String>, Fault> {
    Ok(bytes(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What is at `path`; `None` where there is no file.
pub fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > READ_BYTES_MAX {
        return Err(Fault::new(Code::E202, format!("`{}` is longer than 16 MiB", path.display())));
    }
    Ok(Some(bytes))
}

/// Puts `bytes` in the place of whatever is at `path`.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> Result<(), Fault> {
    let new = beside(path);
    let write = || {
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Others see it only once it has its mode and its owner.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(access.mode))?;
        // Who is the owner already may have no right to say so.
        let made = file.metadata()?;
        if let Some(owner) = access.owner.filter(|owner| !owner.has(&made)) {
            std::os::unix::fs::fchown(&file, Some(owner.user), Some(owner.group))?;
        }
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| unwritable(path, error))?;
    sync_folder_of(path)
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unwritable(path, error)),
    }
}

/// Removes a folder with everything in it, if it is there.
pub fn remove_folder(path: &Path) -> Result<(), Fault> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(unwritable(path, error)),
        _ => Ok(()),
    }
}

/// Makes a folder, and those above it where they are missing. Says which ones were made, the deepest first.
pub fn make_folder(path: &Path, access: Access) -> Result<Vec<PathBuf>, Fault> {
    let missing: Vec<PathBuf> =
        path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    if let Some(above) = path.parent() {
        let above_made = DirBuilder::new().recursive(true).mode(0o755).create(above);
        above_made.map_err(|error| unwritable(above, error))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unwritable(path, error)),
        _ => {}
    }
    access.mend(path)?;
    sync_folder_of(path)?;
    Ok(missing)
}

/// What was at a path before it was changed, to be put back.
pub struct Before {
    path: PathBuf,
    found: Option<(Vec<u8>, Access)>,
}

impl Before {
    pub fn of(path: &Path) -> Result<Before, Fault> {
        let found = match bytes(path)? {
            None => None,
            Some(bytes) => {
                let known = fs::metadata(path).map_err(|error| unreadable(path, error))?;
                let owner = Owner { user: known.uid(), group: known.gid() };
                Some((bytes, Access { mode: known.mode() & 0o7777, owner: Some(owner) }))
            }
        };
        Ok(Before { path: path.to_owned(), found })
    }

    pub fn put_back(self) -> Result<(), Fault> {
        match self.found {
            Some((bytes, access)) => replace(&self.path, &bytes, access),
            None => remove(&self.path),
        }
    }
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder_of(path: &Path) -> Result<(), Fault> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| unwritable(folder, error))
}

/// Where the new text is written until it is whole. The same name each time, so that leftovers are written over.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

pub fn unreadable(path: &Path, error: std::io::Error) -> Fault {
    failed("read", path, error)
}

pub fn unwritable(path: &Path, error: std::io::Error) -> Fault {
    failed("write", path, error)
}

fn failed(act: &str, path: &Path, error: std::io::Error) -> Fault {
    let code = if error.kind() == ErrorKind::PermissionDenied { Code::E201 } else { Code::E202 };
    Fault::caused(code, format!("cannot {act} `{}`", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_has_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.key");
        fs::write(beside(&path), "left behind by a kill").unwrap();
        replace(&path, b"one", Access::secret(None)).unwrap();
        replace(&path, b"two", Access::secret(None)).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("two"));
        assert_eq!(Access::secret(None).differences(&path).unwrap(), [""; 0]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_mode_that_is_different_is_named_and_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let said = Access::secret(None).differences(&path).unwrap();
        assert!(said[0].ends_with("666 → 600"), "{said:?}");
        Access::secret(None).mend(&path).unwrap();
        assert_eq!(Access::secret(None).differences(&path).unwrap(), [""; 0]);
    }

    #[test]
    fn a_link_in_the_place_of_a_file_leads_nobody_to_change_another() {
        let folder = tempfile::tempdir().unwrap();
        let (other, link) = (folder.path().join("other"), folder.path().join("link"));
        fs::write(&other, "x").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let mode = || fs::metadata(&other).unwrap().mode();
        let before = mode();
        Access { mode: 0o666, owner: None }.mend(&link).unwrap_err();
        assert_eq!(mode(), before);
    }

    #[test]
    fn what_was_there_before_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let (old, none) = (folder.path().join("old"), folder.path().join("none"));
        fs::write(&old, "before").unwrap();
        let (first, second) = (Before::of(&old).unwrap(), Before::of(&none).unwrap());
        replace(&old, b"after", Access::public()).unwrap();
        replace(&none, b"after", Access::public()).unwrap();
        first.put_back().unwrap();
        second.put_back().unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "before");
        assert!(!none.exists());
    }
}
