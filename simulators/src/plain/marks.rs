//! How far a process had come, and when: one line `seq,micros` per commit, on the machine's wall clock, so that two
//! processes can be compared afterwards.

use crate::clock;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Everything up to and including `seq` was done at `micros` since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub seq: u64,
    pub micros: u64,
}

impl Mark {
    #[must_use]
    pub fn now(seq: u64) -> Self {
        Self { seq, micros: u64::try_from(clock::since_1970().as_micros()).unwrap_or(u64::MAX) }
    }
}

/// Writes marks, each with one system call.
pub struct MarkWriter {
    file: File,
}

impl MarkWriter {
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("creating `{}`", path.display()))?;
        Ok(Self { file })
    }

    pub fn write(&mut self, mark: Mark) -> Result<()> {
        let line = format!("{},{}\n", mark.seq, mark.micros);
        self.file.write_all(line.as_bytes()).context("writing a mark")
    }
}

/// All complete marks of a file; none when it is not there yet.
#[must_use]
pub fn read(path: &Path) -> Vec<Mark> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Mark> {
    let (seq, micros) = line.split_once(',')?;
    Some(Mark { seq: seq.parse().ok()?, micros: micros.parse().ok()? })
}

/// How long each of the changes above `after` took from one process's mark to the other's.
#[must_use]
pub fn delays(from: &[Mark], to: &[Mark], after: u64) -> Vec<Duration> {
    let (mut delays, mut seq, mut arrivals) = (Vec::new(), after, to.iter().peekable());
    for mark in from.iter().filter(|mark| mark.seq > after) {
        while seq < mark.seq {
            seq += 1;
            while arrivals.next_if(|arrival| arrival.seq < seq).is_some() {}
            let Some(arrival) = arrivals.peek() else { return delays };
            delays.push(Duration::from_micros(arrival.micros.saturating_sub(mark.micros)));
        }
    }
    delays
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_timed_from_the_commit_that_held_it_to_the_one_that_showed_it() {
        let mark = |seq, micros| Mark { seq, micros };
        let committed = [mark(2, 100), mark(3, 200), mark(5, 300)];
        let seen = [mark(1, 110), mark(4, 320), mark(5, 330)];
        let micros = |after| -> Vec<u128> {
            delays(&committed, &seen, after).iter().map(Duration::as_micros).collect()
        };
        assert_eq!(micros(0), [10, 220, 120, 20, 30]);
        assert_eq!(micros(3), [20, 30]);
    }

    #[test]
    fn a_half_written_mark_is_left_for_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("marks");
        fs::write(&path, "1,10\n2,2").unwrap();
        assert_eq!(read(&path), [Mark { seq: 1, micros: 10 }]);
        assert_eq!(read(Path::new("/nowhere")), []);
    }
}
