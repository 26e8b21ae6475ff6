//! A test's own folder: gone when the test passes, kept with all logs when it fails.

use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How the agents of a scene may reach their hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Auto,
    /// MQTT to a Mosquitto as the documentation has it, which the hub is a client of, too.
    Broker,
    /// The same by way of a broker that throws half of all frames away.
    Chaos,
    Mqtt,
    Quic,
}

impl Transport {
    /// As the agent's configuration says it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Auto => "auto",
            Transport::Broker | Transport::Chaos | Transport::Mqtt => "mqtt",
            Transport::Quic => "quic",
        }
    }
}

/// The folder of one test. Declare it first, so that it goes last.
pub struct Scene {
    folder: Option<TempDir>,
    transport: Transport,
}

impl Scene {
    pub fn over(transport: Transport, name: &str) -> Scene {
        let prefix = format!("shopsmart-{transport:?}-{name}-").to_lowercase();
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir();
        Scene { folder: Some(folder.expect("a temporary folder can be made")), transport }
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder is there until the scene goes").path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("the scene is kept, with every log: {}", folder.keep().display());
        }
    }
}

/// Copies a folder with everything in it, as a backup of a stopped daemon is made.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be listed") {
        let entry = entry.expect("the folder can be listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("a file can be copied");
        }
    }
}

/// Puts a backup in the place of what is there.
pub fn replace_folder(backup: &Path, place: &Path) {
    if place.exists() {
        std::fs::remove_dir_all(place).expect("the old folder can go");
    }
    copy_folder(backup, place);
}
