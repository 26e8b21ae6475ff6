//! Programs beside each other, and the one link that says which of them are used.
//!
//! `releases/<name>/` holds the programs of one release, `current` is a link to one of these folders, and what is run
//! (`bin/store-agent`) is a link through `current`: one rename changes from one release to another, and whoever is killed in between
//! leaves the old one or the new one, never half of each. What a person gave to `install` lies in the release `installed`.

use crate::fault::{Code, Fault};
use crate::files::{self, Access};
use crate::layout::Layout;
use crate::release::source::Source;
use crate::release::{PROGRAMS, Release};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

/// The release of what a person gave to `install`. No release that is signed has this name.
pub const INSTALLED: &str = "installed";

const FOLDER: Access = Access { mode: 0o755, owner: None };
/// A release that is not whole yet.
const UNFINISHED: &str = ".new";

/// The releases of one layout.
#[derive(Debug, Clone, Copy)]
pub struct Slots<'a>(pub &'a Layout);

impl Slots<'_> {
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.0.releases().join(name)
    }

    /// A program of a release.
    #[must_use]
    pub fn program(&self, name: &str, program: &str) -> PathBuf {
        self.folder(name).join(program)
    }

    /// The release that is used; `None` where nothing is installed, or by a storectl that knew no releases.
    pub fn current(&self) -> Result<Option<String>, Fault> {
        let link = self.0.current();
        match fs::read_link(&link) {
            Ok(to) => Ok(to.file_name().map(|name| name.to_string_lossy().into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(files::unreadable(&link, error)),
        }
    }

    /// Has this release used from now on: the one rename.
    pub fn switch(&self, name: &str) -> Result<(), Fault> {
        if self.current()?.as_deref() == Some(name) {
            return Ok(());
        }
        self.holds(name, &["store-agent"])?;
        put_link(&self.0.current(), &Path::new("releases").join(name))
    }

    /// A release without its programs is not to be used.
    pub fn holds(&self, name: &str, programs: &[&str]) -> Result<(), Fault> {
        match programs.iter().map(|program| self.program(name, program)).find(|path| !path.is_file()) {
            None => Ok(()),
            Some(path) => Err(Fault::new(Code::E501, format!("there is no `{}`", path.display()))),
        }
    }

    /// What is run leads through `current`.
    pub fn link(&self, program: &str) -> Result<(), Fault> {
        let place = self.0.program_link(program);
        let to = Path::new("../current").join(program);
        if fs::read_link(&place).is_ok_and(|is| is == to) {
            return Ok(());
        }
        if let Some(folder) = place.parent() {
            files::make_folder(folder, FOLDER)?;
        }
        put_link(&place, &to)
    }

    /// Programs that lie where the links belong.
    #[must_use]
    pub fn unlinked(&self) -> Vec<&'static str> {
        let is_file = |program: &&str| {
            fs::symlink_metadata(self.0.program_link(program)).is_ok_and(|known| known.is_file())
        };
        PROGRAMS.into_iter().filter(is_file).collect()
    }

    /// Moves programs from before there were releases to where they belong. What runs goes on, and each name leads to a program at any time.
    pub fn adopt(&self) -> Result<(), Fault> {
        let unlinked = self.unlinked();
        if unlinked.is_empty() {
            return Ok(());
        }
        files::make_folder(&self.folder(INSTALLED), FOLDER)?;
        for program in PROGRAMS {
            let from = self.0.program_link(program);
            if from.exists() {
                copy_program(&from, &self.program(INSTALLED, program))?;
            }
        }
        self.switch(INSTALLED)?;
        unlinked.into_iter().try_for_each(|program| self.link(program))
    }

    /// Puts a release beside the others, whole or not at all. What lies there already is used when it is the same.
    pub fn unpack(&self, release: &Release, source: &mut dyn Source, kept: &[&str]) -> Result<(), Fault> {
        let name = release.version.as_str();
        let (place, unfinished) = (self.folder(name), self.folder(UNFINISHED));
        if name == INSTALLED {
            return Err(Fault::new(Code::E801, format!("`{name}` is no version")));
        }
        if self.is_whole(release)? {
            return Ok(());
        }
        if kept.contains(&name) {
            let says = format!("version {name} is here already, and is not the same");
            return Err(Fault::new(Code::E805, says));
        }
        files::remove_folder(&unfinished)?;
        files::make_folder(&unfinished, FOLDER)?;
        let copied = release.programs.iter().try_for_each(|artefact| {
            let path = unfinished.join(artefact.name.as_str());
            let file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
            let mut file = file.map_err(|error| files::unwritable(&path, error))?;
            source.copy(artefact, &mut file, &path)?;
            file.sync_all().map_err(|error| files::unwritable(&path, error))
        });
        let placed = copied.and_then(|()| {
            for artefact in &release.programs {
                Access { mode: 0o755, owner: None }.mend(&unfinished.join(artefact.name.as_str()))?;
            }
            files::sync_folder_of(&unfinished.join("x"))?;
            files::remove_folder(&place)?;
            fs::rename(&unfinished, &place).map_err(|error| files::unwritable(&place, error))?;
            files::sync_folder_of(&place)
        });
        if placed.is_err() {
            // A full disk gets back what was taken.
            files::remove_folder(&unfinished)?;
        }
        placed
    }

    pub fn is_whole(&self, release: &Release) -> Result<bool, Fault> {
        for artefact in &release.programs {
            let path = self.program(release.version.as_str(), artefact.name.as_str());
            match File::open(&path) {
                Ok(file) => {
                    if digest_of(file, &path)? != artefact.sha256 {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(files::unreadable(&path, error)),
            }
        }
        Ok(true)
    }

    /// Removes all releases but these.
    pub fn keep_only(&self, names: &[&str]) -> Result<(), Fault> {
        let folder = self.0.releases();
        let entries = fs::read_dir(&folder).map_err(|error| files::unreadable(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| files::unreadable(&folder, error))?;
            if !names.iter().any(|name| entry.file_name() == *name) {
                files::remove_folder(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Copies a program, down to the disk, unless it is the same already.
pub fn copy_program(from: &Path, to: &Path) -> Result<(), Fault> {
    let open = |path: &Path| File::open(path).map_err(|error| files::unreadable(path, error));
    if to.exists() && digest_of(open(from)?, from)? == digest_of(open(to)?, to)? {
        return Ok(());
    }
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unfinished = to.with_file_name(format!(".{name}.new"));
    files::remove(&unfinished)?;
    let copy = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&unfinished)?;
        std::io::copy(&mut File::open(from)?, &mut file)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        file.sync_all()?;
        fs::rename(&unfinished, to)
    };
    let copied = copy().map_err(|error| files::unwritable(to, error));
    if copied.is_err() {
        files::remove(&unfinished)?;
    }
    copied?;
    files::sync_folder_of(to)
}

fn digest_of(mut file: File, path: &Path) -> Result<crate::release::Digest, Fault> {
    crate::release::Digest::of_all(&mut file).map_err(|error| files::unreadable(path, error))
}

/// A link in the place of whatever is at `place`.
fn put_link(place: &Path, to: &Path) -> Result<(), Fault> {
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unfinished = place.with_file_name(format!(".{name}.new"));
    files::remove(&unfinished)?;
    symlink(to, &unfinished)
        .and_then(|()| fs::rename(&unfinished, place))
        .map_err(|error| files::unwritable(place, error))?;
    files::sync_folder_of(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_from_before_there_were_releases_are_moved_and_lead_on() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let slots = Slots(&layout);
        fs::create_dir_all(layout.own_program().parent().unwrap()).unwrap();
        fs::write(layout.own_program(), "agent").unwrap();
        assert_eq!((slots.current().unwrap(), slots.unlinked()), (None, vec!["store-agent"]));
        slots.adopt().unwrap();
        assert_eq!((slots.current().unwrap().as_deref(), slots.unlinked()), (Some(INSTALLED), vec![]));
        assert_eq!(fs::read_to_string(layout.own_program()).unwrap(), "agent");
        slots.adopt().unwrap();

        // An older storectl has put a program over the link.
        fs::remove_file(layout.own_program()).unwrap();
        fs::write(layout.own_program(), "another").unwrap();
        slots.adopt().unwrap();
        assert_eq!(fs::read_to_string(slots.program(INSTALLED, "store-agent")).unwrap(), "another");
    }

    #[test]
    fn switching_is_seen_by_who_runs_the_program_and_the_rest_can_go() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let slots = Slots(&layout);
        for name in ["one", "two", "three"] {
            fs::create_dir_all(slots.folder(name)).unwrap();
            fs::write(slots.program(name, "store-agent"), name).unwrap();
        }
        slots.switch("one").unwrap();
        slots.link("store-agent").unwrap();
        slots.switch("two").unwrap();
        fs::create_dir_all(slots.folder("empty")).unwrap();
        assert_eq!(slots.switch("empty").unwrap_err().code, Code::E501);
        assert_eq!(fs::read_to_string(layout.own_program()).unwrap(), "two");
        slots.keep_only(&["one", "two"]).unwrap();
        assert!(slots.folder("one").exists() && !slots.folder("three").exists());
    }
}
