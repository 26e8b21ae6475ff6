//! `cargo xtask release`: a signed release out of programs that are built. docs/operating/storectl.md says how its keys are made.
//!
//! Digests and signatures are made by `sha256sum` and `minisign`, the tools people check them with; the secret key is `minisign`'s to
//! read, and it asks for its password itself.

use crate::place;
use anyhow::{Context, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// As storectl reads it.
const FORMAT: &str = "shopsmart-release/1";
const PROGRAMS: [&str; 2] = ["store-agent", "storectl"];

#[derive(Debug, clap::Args)]
pub struct Asked {
    /// Higher than that of every release before.
    #[arg(long)]
    sequence: u64,
    /// Until when it may be installed, as in 2027-06-01T00:00:00Z.
    #[arg(long)]
    expires: String,
    /// The signed list of release keys; its signature lies beside it.
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// The secret release key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the built programs are; those of `cargo build --profile dist` when it is missing.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// What the programs run on.
    #[arg(long, default_value_t = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))]
    target: String,
    /// The folder of the release; the bundle lies beside it.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(asked: &Asked) -> anyhow::Result<()> {
    ensure!(
        is_plain(&asked.target) && is_time(&asked.expires),
        "--target or --expires is not written as it should be"
    );
    fs::create_dir_all(&asked.out).with_context(|| format!("cannot make `{}`", asked.out.display()))?;
    let (mut version, mut artefacts) = (String::new(), Vec::new());
    for program in PROGRAMS {
        let from = match &asked.programs {
            Some(folder) => folder.join(program),
            None => place::built("dist")?.join(program),
        };
        let file = format!("{program}-{}", asked.target);
        let to = asked.out.join(&file);
        let size = fs::copy(&from, &to)
            .with_context(|| format!("cannot copy `{}`; is it built?", from.display()))?;
        artefacts.push(artefact(program, &asked.target, &file, size, &digest(&to)?));
        if program == "store-agent" {
            version = version_of(&to)?;
        }
    }
    for suffix in ["", ".minisig"] {
        let from = PathBuf::from(format!("{}{suffix}", asked.keys.display()));
        let to = asked.out.join(format!("keys.json{suffix}"));
        fs::copy(&from, &to).with_context(|| format!("cannot copy `{}`", from.display()))?;
    }
    let manifest = asked.out.join("release.json");
    fs::write(&manifest, text(&version, asked, &artefacts)).context("cannot write release.json")?;
    signed(&manifest, &asked.key)?;
    let bundle = bundled(&asked.out)?;
    eprintln!(
        "version {version}, number {}: {} and {}",
        asked.sequence,
        asked.out.display(),
        bundle.display()
    );
    Ok(())
}

fn text(version: &str, asked: &Asked, artefacts: &[String]) -> String {
    format!(
        "{{\n  \"format\": \"{FORMAT}\",\n  \"version\": \"{version}\",\n  \"sequence\": {},\n  \"expires\": \"{}\",\n  \"artefacts\": [\n{}\n  ]\n}}\n",
        asked.sequence,
        asked.expires,
        artefacts.join(",\n")
    )
}

fn artefact(name: &str, target: &str, file: &str, size: u64, sha256: &str) -> String {
    format!(
        "    {{ \"name\": \"{name}\", \"target\": \"{target}\", \"file\": \"{file}\", \"size\": {size}, \"sha256\": \"{sha256}\" }}"
    )
}

/// As the program itself says it: storectl compares.
fn version_of(agent: &Path) -> anyhow::Result<String> {
    let said = output(Command::new(agent).arg("version"))?;
    let version = said.trim().strip_prefix("store-agent ").unwrap_or_default().to_owned();
    ensure!(is_plain(&version), "`{} version` says `{}`", agent.display(), said.trim());
    Ok(version)
}

fn digest(file: &Path) -> anyhow::Result<String> {
    let said = output(Command::new("sha256sum").arg("--").arg(file))?;
    let digest = said.trim_start_matches('\\').split(' ').next().unwrap_or_default().to_owned();
    ensure!(digest.len() == 64, "`sha256sum` says `{}`", said.trim());
    Ok(digest)
}

fn signed(manifest: &Path, key: &Path) -> anyhow::Result<()> {
    let mut minisign = Command::new("minisign");
    minisign.arg("-S").arg("-s").arg(key).arg("-m").arg(manifest);
    let status = minisign.status().context("cannot run `minisign`; install the package of that name")?;
    if !status.success() {
        bail!("`minisign` ended with {status}");
    }
    Ok(())
}

fn bundled(folder: &Path) -> anyhow::Result<PathBuf> {
    let name = folder.file_name().context("--out has to name a folder")?.to_string_lossy().into_owned();
    let bundle = folder.with_file_name(format!("{name}.tar"));
    output(Command::new("tar").arg("-cf").arg(&bundle).arg("-C").arg(folder).arg("."))?;
    Ok(bundle)
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What goes into the manifest as it is.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
}

fn is_time(text: &str) -> bool {
    text.ends_with('Z')
        && text.contains('T')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_the_manifest() {
        assert!(is_plain("x86_64-linux") && !is_plain("") && !is_plain("a\"b") && !is_plain("a/b"));
        assert!(
            is_time("2027-06-01T00:00:00Z")
                && !is_time("soon")
                && !is_time("2027-06-01T00:00:00Z\", \"x\": \"TZ")
        );
    }
}
