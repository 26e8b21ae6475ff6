//! The tasks that start other programs.

use crate::{place, tidy};
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Everything that is released, and what the demo and the benchmarks start.
const RELEASE_PACKAGES: [&str; 8] =
    ["-p", "store-agent", "-p", "cloud-hub", "-p", "installer", "-p", "simulators"];

/// Builds for release, then becomes the binary: its exit code and its signals are its own.
pub fn run_release(binary: &str, args: &[OsString]) -> anyhow::Result<()> {
    let mut build = cargo("build")?;
    build.args(["--release", "--bins"]).args(RELEASE_PACKAGES);
    run(build)?;
    let program = place::built("release")?.join(binary);
    let error = Command::new(&program).args(args).exec();
    Err(error).with_context(|| format!("cannot start `{}`", program.display()))
}

/// Builds these programs to be handed out, and says where they are. Where cargo-auditable is installed each of them lists its crates itself.
pub fn release_programs(names: &[&str]) -> anyhow::Result<PathBuf> {
    let asked = Command::new(place::cargo()).args(["auditable", "--version"]).output();
    let is_auditable = asked.is_ok_and(|answer| answer.status.success());
    let mut build = if is_auditable { cargo("auditable")? } else { cargo("build")? };
    if is_auditable {
        build.arg("build");
    } else {
        eprintln!(
            "note: without cargo-auditable the programs do not list their crates themselves; their SBOM does"
        );
    }
    build
        .args(["--profile", "dist"])
        .args(RELEASE_PACKAGES)
        .args(names.iter().flat_map(|name| ["--bin", name]));
    run(build)?;
    place::built("dist")
}

/// A seed that fails joins the list that the suite runs.
pub fn sim(args: &[OsString]) -> anyhow::Result<()> {
    let list = place::root()?.join("simulators/regressions/seeds.txt");
    let keep = [OsString::from("--keep-failures"), list.into_os_string()];
    run_release("sim", &[&keep, args].concat())
}

/// What must hold before anything is merged, apart from the tests.
pub fn check() -> anyhow::Result<()> {
    let mut format = cargo("fmt")?;
    format.args(["--all", "--check"]);
    run(format)?;
    let mut clippy = cargo("clippy")?;
    clippy.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
    run(clippy)?;
    tidy::run()
}

/// The end-to-end tests start the real binaries, so those are built first.
pub fn test(args: &[OsString]) -> anyhow::Result<()> {
    let mut build = cargo("build")?;
    build.args(["--workspace", "--bins"]);
    run(build)?;
    let mut test = cargo("test")?;
    test.arg("--workspace").args(args);
    run(test)
}

/// The document is generated from the handlers; the test that guards it writes it when told to.
pub fn openapi() -> anyhow::Result<()> {
    let mut test = cargo("test")?;
    test.args(["-p", "cloud-hub", "openapi"]).env("UPDATE_OPENAPI", "1");
    run(test)
}

/// Cargo, in the workspace.
pub fn cargo(subcommand: &str) -> anyhow::Result<Command> {
    let root = place::root()?;
    let mut command = Command::new(place::cargo());
    // In the folder rather than by `--manifest-path`, which has its place behind a subcommand's own subcommand.
    command.arg(subcommand).current_dir(root);
    Ok(command)
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed with {status}");
    }
    Ok(())
}
