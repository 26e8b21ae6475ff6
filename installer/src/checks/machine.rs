//! The machine: disk, memory, ports, files, and whether the disk has come from another one.

use super::Finding;
use crate::clock::Stopwatch;
use crate::enrolling::fingerprint;
use crate::fault::{Code, Fault};
use crate::files::{self, Access};
use crate::layout::Layout;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Less than this, and a busy year's ledger may not fit.
const DISK_BYTES_LOW: u64 = 2 << 30;
/// Less than this, and the agent will stop taking sales soon.
const DISK_BYTES_MIN: u64 = 200 << 20;
/// The agent takes some tens of megabytes.
const MEMORY_BYTES_LOW: u64 = 100 << 20;
/// A till waits for one such write with each sale.
const WRITE_SLOW: Duration = Duration::from_millis(50);
const WRITES: usize = 5;

/// Room on the disk that holds the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub folder: PathBuf,
    pub free_bytes: u64,
}

impl Room {
    /// Of the nearest folder that is there.
    #[must_use]
    pub fn look(layout: &Layout) -> Option<Room> {
        let data = layout.data();
        let folder = data.ancestors().find(|folder| folder.exists())?.to_owned();
        let disk = rustix::fs::statvfs(&folder).ok()?;
        Some(Room { folder, free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize) })
    }

    #[must_use]
    pub fn judge(&self) -> Finding {
        let says = format!("{} MB are free at {}", self.free_bytes >> 20, self.folder.display());
        match self.free_bytes {
            ..DISK_BYTES_MIN => Finding::bad("disk space", Code::E203, says),
            DISK_BYTES_MIN..DISK_BYTES_LOW => Finding::note("disk space", Code::E203, says),
            _ => Finding::good("disk space", says),
        }
    }
}

/// How long a small write takes until it is on the disk: the middle one of some.
pub fn time_writes(folder: &Path) -> Result<Duration, Fault> {
    let path = folder.join(".storectl-write-test");
    let mut times = Vec::new();
    let write = |times: &mut Vec<Duration>| {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
        for _ in 0..WRITES {
            let watch = Stopwatch::started();
            file.write_all(&[7; 4096])?;
            file.sync_data()?;
            times.push(watch.elapsed());
        }
        std::io::Result::Ok(())
    };
    let written = write(&mut times);
    files::remove(&path)?;
    written.map_err(|error| files::unwritable(&path, error))?;
    times.sort();
    Ok(times[WRITES / 2])
}

#[must_use]
pub fn judge_writes(taken: Duration) -> Finding {
    let says = format!("a durable write takes {:.1} ms", taken.as_secs_f64() * 1000.0);
    if taken > WRITE_SLOW {
        Finding::note("disk speed", Code::E207, says)
    } else {
        Finding::good("disk speed", says)
    }
}

/// What Linux calls available.
#[must_use]
pub fn memory_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[must_use]
pub fn judge_memory(available: Option<u64>) -> Finding {
    match available {
        None => Finding::unknown("memory", "the system does not say how much is free"),
        Some(bytes) if bytes < MEMORY_BYTES_LOW => {
            Finding::note("memory", Code::E206, format!("{} MB are free", bytes >> 20))
        }
        Some(bytes) => Finding::good("memory", format!("{} MB are free", bytes >> 20)),
    }
}

/// An address the agent needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub what: &'static str,
    pub address: SocketAddr,
    /// `None`: it is free.
    pub refused: Option<String>,
    pub agent_runs: bool,
}

impl Port {
    #[must_use]
    pub fn look(what: &'static str, address: SocketAddr, agent_runs: bool) -> Port {
        let refused = if agent_runs { None } else { TcpListener::bind(address).err() };
        Port { what, address, refused: refused.map(|error| error.to_string()), agent_runs }
    }

    #[must_use]
    pub fn judge(&self) -> Finding {
        match &self.refused {
            Some(why) => {
                Finding::bad(self.what, Code::E204, format!("{} can't be used: {why}", self.address))
            }
            None if self.agent_runs => Finding::good(self.what, format!("{} is the agent's", self.address)),
            None => Finding::good(self.what, format!("{} is free", self.address)),
        }
    }
}

/// Secrets that others can read, and files that are missing their owner.
pub fn judge_access(layout: &Layout) -> Result<Finding, Fault> {
    let secrets = [layout.certificate(), layout.bound_key(), layout.next_key()];
    let mut wrong = Vec::new();
    for path in &secrets {
        wrong.extend(Access::secret(None).differences(path)?);
    }
    Ok(match wrong.as_slice() {
        [] => Finding::good("files", "keys are readable by the agent's user only"),
        wrong => Finding::bad("files", Code::E208, wrong.join("; ")),
    })
}

/// Which machine this is, and which it was when the store was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub installed_on: Option<String>,
    pub now: Option<String>,
}

impl Origin {
    pub fn look(layout: &Layout) -> Result<Origin, Fault> {
        let installed_on = files::read(&layout.machine())?.map(|text| text.trim().to_owned());
        Ok(Origin { installed_on, now: fingerprint(layout) })
    }

    #[must_use]
    pub fn judge(&self) -> Finding {
        match (&self.installed_on, &self.now) {
            (Some(then), Some(now)) if then != now => Finding::bad(
                "machine",
                Code::E210,
                "its machine-id is not the one the store was installed on",
            ),
            (Some(_), Some(_)) => Finding::good("machine", "it is the one the store was installed on"),
            (None, _) => Finding::unknown("machine", "no store is installed on it yet"),
            (_, None) => Finding::unknown("machine", "it has no machine-id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Verdict;

    #[test]
    fn a_disk_is_judged_by_the_room_that_is_left() {
        let room = |free_bytes| Room { folder: "/var".into(), free_bytes }.judge().verdict;
        assert_eq!(
            [room(1 << 20), room(1 << 30), room(9 << 30)],
            [Verdict::Bad, Verdict::Note, Verdict::Good]
        );
        assert_eq!(judge_writes(Duration::from_millis(80)).verdict, Verdict::Note);
        assert_eq!(judge_writes(Duration::from_millis(3)).verdict, Verdict::Good);
    }

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        let bytes = memory_available("MemTotal:  4000 kB\nMemAvailable:   2048 kB\n");
        assert_eq!(bytes, Some(2 << 20));
        assert_eq!(judge_memory(bytes).verdict, Verdict::Note);
        assert_eq!(judge_memory(Some(1 << 30)).verdict, Verdict::Good);
        assert_eq!(judge_memory(memory_available("")).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_port_that_somebody_else_has_is_named() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let taken = Port::look("tills' port", address, false).judge();
        assert!(taken.verdict == Verdict::Bad && taken.says.contains(&address.to_string()), "{taken:?}");
        assert_eq!(Port::look("tills' port", address, true).judge().verdict, Verdict::Good);
        drop(other);
        assert_eq!(Port::look("tills' port", address, false).judge().verdict, Verdict::Good);
    }

    #[test]
    fn a_disk_from_another_machine_is_noticed() {
        let origin = |then: Option<&str>, now: Option<&str>| {
            Origin { installed_on: then.map(str::to_owned), now: now.map(str::to_owned) }.judge().verdict
        };
        assert_eq!(origin(Some("a"), Some("b")), Verdict::Bad);
        assert_eq!(origin(Some("a"), Some("a")), Verdict::Good);
        assert_eq!(origin(None, Some("a")), Verdict::Unknown);
    }

    #[test]
    fn a_real_disk_has_room_and_a_speed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Room::look(&Layout::at(folder.path())).unwrap().free_bytes > 0);
        assert!(time_writes(folder.path()).unwrap() > Duration::ZERO);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
