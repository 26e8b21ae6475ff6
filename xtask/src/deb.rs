//! Debian packages: the programs and the files of `installer/debian`, put together by debhelper.

use crate::sbom::{self, PROGRAMS};
use crate::{commands, place};
use anyhow::{Context, bail};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What lies beside the programs when debhelper looks for it, and what it is called there.
const FILES: [(&str, &str); 10] = [
    ("installer/units/store-agent.service", "units/store-agent.service"),
    ("installer/units/shopsmart-renew.service", "units/shopsmart-renew.service"),
    ("installer/units/shopsmart-renew.timer", "units/shopsmart-renew.timer"),
    ("installer/units/shopsmart-upgrade.service", "units/shopsmart-upgrade.service"),
    ("installer/units/shopsmart-upgrade.timer", "units/shopsmart-upgrade.timer"),
    ("cloud-hub/units/cloud-hub.service", "units/cloud-hub.service"),
    ("store-agent/agent.example.toml", "doc/agent.example.toml"),
    ("cloud-hub/hub.example.toml", "doc/hub.example.toml"),
    ("README.md", "doc/README.md"),
    ("LICENSE", "debian/copyright"),
];

/// Which programs are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    Release,
    /// As they lie in the folder of the development build: large, and for tests only.
    Dev,
}

#[derive(Debug, clap::Args)]
pub struct Deb {
    /// Where the packages are put.
    #[arg(long, default_value = "target/debian")]
    out: PathBuf,
    /// Pack the development build, as it lies there.
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    /// The packages' version instead of the workspace's.
    #[arg(long)]
    version: Option<String>,
}

pub fn run(deb: &Deb) -> anyhow::Result<()> {
    let programs = match deb.profile {
        Profile::Release => commands::release_programs(&PROGRAMS.map(|(program, _)| program))?,
        Profile::Dev => place::built("debug")?,
    };
    let version = deb.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
    fs::create_dir_all(&deb.out).with_context(|| format!("cannot make `{}`", deb.out.display()))?;
    // dpkg-buildpackage puts packages into the folder above the one it works in.
    let around = deb.out.join("build");
    let work = around.join("shopsmart-sync");
    if around.exists() {
        fs::remove_dir_all(&around).with_context(|| format!("cannot clear `{}`", around.display()))?;
    }
    gather(&programs, &work, version)?;
    pack(&work, deb.profile)?;
    for entry in fs::read_dir(&around)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let to = deb.out.join(path.file_name().unwrap_or_default());
            fs::rename(&path, &to).with_context(|| format!("cannot write `{}`", to.display()))?;
            writeln!(std::io::stdout(), "{} ({} bytes)", to.display(), fs::metadata(&to)?.len())?;
        }
    }
    fs::remove_dir_all(&around)?;
    Ok(())
}

fn gather(programs: &Path, work: &Path, version: &str) -> anyhow::Result<()> {
    let root = place::root()?;
    for folder in ["debian/source", "bin", "units", "doc"] {
        fs::create_dir_all(work.join(folder))?;
    }
    let copy = |from: PathBuf, to: PathBuf| {
        fs::copy(&from, &to).map(drop).with_context(|| format!("cannot copy `{}`", from.display()))
    };
    for (name, _) in PROGRAMS {
        copy(programs.join(name), work.join("bin").join(name))?;
    }
    for (from, to) in FILES {
        copy(root.join(from), work.join(to))?;
    }
    for entry in fs::read_dir(root.join("installer/debian"))? {
        let path = entry?.path();
        copy(path.clone(), work.join("debian").join(path.file_name().unwrap_or_default()))?;
    }
    sbom::write(&work.join("sbom"))?;
    fs::write(work.join("debian/source/format"), "3.0 (native)\n")?;
    fs::write(work.join("debian/changelog"), changelog(version, &last_change(&root)?))?;
    Ok(())
}

/// debhelper takes version and date from here; what changed is told in the project's own changelog.
fn changelog(version: &str, date: &str) -> String {
    format!(
        "shopsmart-sync ({version}) unstable; urgency=medium\n\n  * Release {version}.\n\n -- ShopSmart Sync maintainers <root@localhost>  {date}\n"
    )
}

/// When the tree was last changed, so that the same tree gives the same packages.
fn last_change(root: &Path) -> anyhow::Result<String> {
    let said = |command: &mut Command| -> Option<String> {
        let output = command.current_dir(root).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    said(Command::new("git").args(["log", "-1", "--format=%aD"]))
        .or_else(|| said(Command::new("date").arg("-R")))
        .context("neither git nor `date` says a date")
}

fn pack(work: &Path, profile: Profile) -> anyhow::Result<()> {
    let compression = if profile == Profile::Dev { "-Zgzip -z1" } else { "-Zxz" };
    let mut command = Command::new("dpkg-buildpackage");
    command
        .args(["--build=binary", "--no-sign", "--no-pre-clean"])
        .env("DEB_COMPRESSION", compression)
        .current_dir(work);
    let output = command.output().context("cannot run `dpkg-buildpackage`; install the package debhelper")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("dpkg-buildpackage failed with {}:\n{said}{why}", output.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changelog_says_version_and_date_as_debian_reads_them() {
        let text = changelog("0.1.0", "Tue, 01 Dec 2026 03:00:00 +0000");
        assert!(text.starts_with("shopsmart-sync (0.1.0) unstable;"));
        assert!(text.ends_with("<root@localhost>  Tue, 01 Dec 2026 03:00:00 +0000\n"));
    }
}
