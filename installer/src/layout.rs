//! Where everything is on a store server. The one file that names paths.
//!
//! `--root DIR` puts the same tree below `DIR`: for images, containers and tests. What is written into the agent's configuration is
//! absolute on a real system and relative below another root, so that it holds inside the image and outside.

use std::path::{Component, Path, PathBuf};

/// The paths below one root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    #[must_use]
    pub fn at(root: &Path) -> Layout {
        Layout { root: root.to_owned() }
    }

    /// The system this runs on, not an image.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn config_folder(&self) -> PathBuf {
        self.root.join("etc/shopsmart")
    }

    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.config_folder().join("agent.toml")
    }

    /// The configuration that the last change replaced.
    #[must_use]
    pub fn config_before(&self) -> PathBuf {
        self.config_folder().join("agent.toml.before")
    }

    /// A configuration that the agent has not looked at yet. It lies beside the real one, since paths in it are relative to it.
    #[must_use]
    pub fn config_candidate(&self) -> PathBuf {
        self.config_folder().join("agent.toml.candidate")
    }

    #[must_use]
    pub fn tokens(&self) -> PathBuf {
        self.config_folder().join("tokens")
    }

    #[must_use]
    pub fn state_folder(&self) -> PathBuf {
        self.root.join("var/lib/shopsmart")
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.state_folder().join("agent")
    }

    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data().join("agent.db")
    }

    #[must_use]
    pub fn people_database(&self) -> PathBuf {
        self.data().join("people.db")
    }

    /// The agent holds a lock on it while it runs.
    #[must_use]
    pub fn agent_lock(&self) -> PathBuf {
        self.data().join("agent.lock")
    }

    /// Where the agent says on which addresses it listens.
    #[must_use]
    pub fn addresses(&self) -> PathBuf {
        self.data().join("addresses.json")
    }

    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.state_folder().join("identity")
    }

    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.identity().join("ca.pem")
    }

    /// The store's certificate and its key in one file, so that both change in one step.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.identity().join("store.pem")
    }

    /// The key that speaks for this store when no certificate does.
    #[must_use]
    pub fn bound_key(&self) -> PathBuf {
        self.identity().join("bound.key")
    }

    /// A key for which a certificate is asked.
    #[must_use]
    pub fn next_key(&self) -> PathBuf {
        self.identity().join("next.key")
    }

    #[must_use]
    pub fn pickup_key(&self) -> PathBuf {
        self.identity().join("pickup.pub")
    }

    /// Where the certificate comes from and when the next one is due. No secrets.
    #[must_use]
    pub fn enrolment(&self) -> PathBuf {
        self.identity().join("enrolment.json")
    }

    #[must_use]
    pub fn installer_folder(&self) -> PathBuf {
        self.state_folder().join("installer")
    }

    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.installer_folder().join("lock")
    }

    /// There while something that the running agent has read was changed and it was not started again yet.
    #[must_use]
    pub fn restart_due(&self) -> PathBuf {
        self.installer_folder().join("restart-due")
    }

    /// On which machine this store was installed.
    #[must_use]
    pub fn machine(&self) -> PathBuf {
        self.installer_folder().join("machine")
    }

    #[must_use]
    pub fn machine_id(&self) -> PathBuf {
        self.root.join("etc/machine-id")
    }

    /// The agent's program where a package has put it; storectl leaves that one alone.
    #[must_use]
    pub fn packaged_program(&self) -> PathBuf {
        self.root.join("usr/bin/store-agent")
    }

    /// The agent's program where storectl puts it.
    #[must_use]
    pub fn own_program(&self) -> PathBuf {
        self.program_link("store-agent")
    }

    /// Nothing but storectl's programs.
    #[must_use]
    pub fn own_programs(&self) -> PathBuf {
        self.root.join("opt/shopsmart")
    }

    #[must_use]
    pub fn program(&self) -> PathBuf {
        let packaged = self.packaged_program();
        if packaged.exists() { packaged } else { self.own_program() }
    }

    #[must_use]
    pub fn own_storectl(&self) -> PathBuf {
        self.program_link("storectl")
    }

    /// What is run of a program that storectl puts here: a link to the release that is used.
    #[must_use]
    pub fn program_link(&self, program: &str) -> PathBuf {
        self.own_programs().join("bin").join(program)
    }

    /// Programs by release, beside each other.
    #[must_use]
    pub fn releases(&self) -> PathBuf {
        self.own_programs().join("releases")
    }

    /// The link to the release that is used.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.own_programs().join("current")
    }

    /// Root keys of releases beside those that storectl brings: of a chain that signs its own.
    #[must_use]
    pub fn release_roots(&self) -> PathBuf {
        self.config_folder().join("release-roots.pub")
    }

    /// How storectl itself behaves here, where a person has written that down.
    #[must_use]
    pub fn own_config(&self) -> PathBuf {
        self.config_folder().join("storectl.toml")
    }

    /// Root's alone: the agent's user must not be able to say what root shall do.
    #[must_use]
    pub fn upgrade_folder(&self) -> PathBuf {
        self.state_folder().join("upgrade")
    }

    #[must_use]
    pub fn books(&self) -> PathBuf {
        self.upgrade_folder().join("books.json")
    }

    /// Beginnings of what is being downloaded.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.upgrade_folder().join("download")
    }

    /// The databases as they were before the last upgrade.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        self.upgrade_folder().join("snapshot")
    }

    #[must_use]
    pub fn unit(&self, name: &str) -> PathBuf {
        self.root.join("etc/systemd/system").join(name)
    }

    /// What this store adds to the agent's unit, whoever brought that.
    #[must_use]
    pub fn unit_addition(&self) -> PathBuf {
        self.unit("store-agent.service.d").join("pos.conf")
    }

    #[must_use]
    pub fn passwd(&self) -> PathBuf {
        self.root.join("etc/passwd")
    }

    /// A path of this layout as it is seen from inside the root.
    #[must_use]
    pub fn inside(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(below) => Path::new("/").join(below),
            Err(_) => path.to_owned(),
        }
    }

    /// As the agent's configuration says it.
    #[must_use]
    pub fn written(&self, path: &Path) -> String {
        let text = |path: &Path| path.display().to_string();
        if let Ok(beside) = path.strip_prefix(self.config_folder()) {
            return text(beside);
        }
        if self.is_real() {
            return text(path);
        }
        match path.strip_prefix(&self.root) {
            Ok(below) => text(&Path::new("../..").join(below)),
            Err(_) => text(path),
        }
    }

    /// Which file a path in the agent's configuration means.
    #[must_use]
    pub fn meant(&self, written: &str) -> PathBuf {
        let mut path = PathBuf::new();
        for part in self.config_folder().join(written).components() {
            match part {
                Component::ParentDir => drop(path.pop()),
                Component::CurDir => {}
                part => path.push(part),
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_means_the_same_file_again() {
        for root in ["/", "/srv/image"] {
            let layout = Layout::at(Path::new(root));
            for path in [layout.data(), layout.tokens(), layout.certificate(), PathBuf::from("/elsewhere/x")]
            {
                assert_eq!(layout.meant(&layout.written(&path)), path, "{root}");
            }
        }
    }

    #[test]
    fn an_image_holds_no_path_of_the_machine_it_was_made_on() {
        let layout = Layout::at(Path::new("/srv/image"));
        assert_eq!(layout.written(&layout.data()), "../../var/lib/shopsmart/agent");
        assert_eq!(layout.inside(&layout.config()), Path::new("/etc/shopsmart/agent.toml"));
    }
}
