//! A small disk of our own: a tmpfs in a private mount namespace, which only the processes put there can see.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A tmpfs of a few megabytes mounted at a folder. Goes when it is dropped.
pub struct SmallDisk {
    keeper: Child,
    mounted_at: PathBuf,
    /// Where nobody may make user namespaces, root may do without one.
    own_user: bool,
}

impl SmallDisk {
    /// `None`, with the reason on stderr, where this machine does not let us mount.
    pub fn mount(at: &Path, kilobytes: u32) -> Option<SmallDisk> {
        fs::create_dir_all(at).expect("a folder can be made");
        let disk =
            SmallDisk::try_mount(at, kilobytes, true).or_else(|| SmallDisk::try_mount(at, kilobytes, false));
        if disk.is_none() {
            eprintln!("SKIPPED: this machine lets nobody mount a small disk (mount namespaces are needed)");
        }
        disk
    }

    fn try_mount(at: &Path, kilobytes: u32, own_user: bool) -> Option<SmallDisk> {
        // The keeper holds the namespace open until its input ends, which it does with this process at the latest.
        let script = r#"mount -t tmpfs -o "size=$1k" tmpfs "$2" && echo mounted && exec cat"#;
        let user: &[&str] = if own_user { &["--user", "--map-root-user"] } else { &[] };
        let mut command = Command::new("unshare");
        command.args(user).args(["--mount", "sh", "-c", script, "sh", &kilobytes.to_string()]).arg(at);
        let keeper =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut disk = SmallDisk { keeper, mounted_at: at.to_owned(), own_user };
        let mut said = [0; 8];
        let mounted = disk.keeper.stdout.as_mut().is_some_and(|out| out.read_exact(&mut said).is_ok());
        mounted.then_some(disk)
    }

    /// The start of a command that sees this disk; the program and its arguments follow.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.keeper.id().to_string();
        let user: &[&str] = if self.own_user { &["--user", "--preserve-credentials"] } else { &[] };
        command.args(["--target", &pid, "--mount"]).args(user).arg("--").arg(program);
        command
    }

    /// A file on the disk, as seen from outside its namespace.
    pub fn outside(&self, path: &Path) -> PathBuf {
        let inside = self.mounted_at.join(path);
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(inside.strip_prefix("/").unwrap_or(&inside))
    }

    /// Leaves no free byte.
    pub fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.filler()).expect("a file can be made on the small disk");
        for block in [65_536, 4_096, 1] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("the filler can be removed");
    }

    fn filler(&self) -> PathBuf {
        self.outside(Path::new("filler"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Where a daemon lives: on the machine's own disk, or on a small one.
pub enum Ground {
    Machine,
    Small(SmallDisk),
}

impl Ground {
    /// The start of a command for a program that lives here.
    pub fn command(&self, program: &Path) -> Command {
        match self {
            Ground::Machine => Command::new(program),
            Ground::Small(disk) => disk.command(program),
        }
    }

    /// The path by which this test reaches a file of a program that lives here.
    pub fn seen(&self, path: &Path) -> PathBuf {
        match self {
            Ground::Machine => path.to_owned(),
            Ground::Small(disk) => disk.outside(path),
        }
    }

    /// The small disk; only for tests that asked for one.
    pub fn disk(&self) -> &SmallDisk {
        match self {
            Ground::Small(disk) => disk,
            Ground::Machine => panic!("this daemon does not live on a small disk"),
        }
    }
}
