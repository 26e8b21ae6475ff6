//! What a process costs, as Linux counts it: resident memory and processor time, from `/proc`.

use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// Linux counts processor time for its users in hundredths of a second, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Memory a process holds right now.
pub fn rss_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{path}`"))?;
    parse_rss(&text).with_context(|| format!("finding VmRSS in `{path}`"))
}

/// Processor time a process has used, in all its threads, and its ended children that it waited for.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{path}`"))?;
    let stat = parse_stat(&text).with_context(|| format!("understanding `{path}`"))?;
    Ok(TICK * u32::try_from(stat.ticks).unwrap_or(u32::MAX))
}

/// A process and all that descend from it.
pub fn with_descendants(pid: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("reading `/proc`")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ended just now has no file any more.
        let text = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(stat) = parse_stat(&text) {
            parents.push((pid, stat.parent));
        }
    }
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    Ok(family)
}

struct Stat {
    parent: u32,
    /// User and system time, of the process and of its ended children.
    ticks: u64,
}

fn parse_rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The name in the second field may hold spaces and brackets, so counting starts behind the last bracket.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_does_not_confuse_the_count() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 0 0 10 20 30 40 20 0 8 0 100 200 300";
        let stat = parse_stat(stat).unwrap();
        assert_eq!((stat.parent, stat.ticks), (7, 100));
    }

    #[test]
    fn this_process_has_memory_and_is_its_own_descendant() {
        let pid = std::process::id();
        assert!(rss_bytes(pid).unwrap() > 1024 * 1024);
        assert!(cpu_time(pid).unwrap() < Duration::from_secs(3600));
        assert!(with_descendants(pid).unwrap().contains(&pid));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(parse_rss("VmPeak:\t 100 kB\nVmRSS:\t  2048 kB\n"), Some(2_097_152));
    }
}
