//! `cargo xtask`: the one task runner. CI and `tests/run` call nothing else but cargo itself.
//!
//! Kept small on purpose: it is built before anything else, so it depends on nothing of the workspace.

mod commands;
mod deb;
mod place;
mod release;
mod sbom;
mod tidy;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Tasks of the ShopSmart Sync workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build for release and run the demo: one hub, many stores, their tills. `cargo demo` is short for it.
    #[command(disable_help_flag = true)]
    Demo(Passed),
    /// Build for release and run the deterministic simulation: `--seed N`, `--seeds A..B`, `--for 60s`.
    #[command(disable_help_flag = true)]
    Sim(Passed),
    /// Build for release and run the benchmarks.
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// Build for release and compare availability policies over a season of till sales.
    #[command(disable_help_flag = true)]
    Evaluate(Passed),
    /// Formatting, clippy and the tidy checks.
    Check,
    /// Build the binaries, then run every test; arguments go to `cargo test`.
    Test(Passed),
    /// Only the checks of the tree's shape: layers, packages, docs, metrics.
    Tidy,
    /// Build for release and make the Debian packages.
    Deb(deb::Deb),
    /// Write what the programs are made of (CycloneDX), and their licences.
    Sbom(sbom::Sbom),
    /// Put built programs into a signed release.
    Release(release::Asked),
    /// Write the committed OpenAPI document of the storefront API anew.
    Openapi,
}

/// Arguments handed on as they are. A leading `--` is dropped, so `cargo demo -- --stores 8` works as well.
#[derive(Debug, clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Demo(passed) => commands::run_release("demo", &passed.args),
        Task::Sim(passed) => commands::sim(&passed.args),
        Task::Bench(passed) => commands::run_release("bench", &passed.args),
        Task::Evaluate(passed) => commands::run_release("evaluate", &passed.args),
        Task::Check => commands::check(),
        Task::Test(passed) => commands::test(&passed.args),
        Task::Tidy => tidy::run(),
        Task::Deb(deb) => deb::run(&deb),
        Task::Sbom(asked) => sbom::run(&asked),
        Task::Release(asked) => release::run(&asked),
        Task::Openapi => commands::openapi(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn demo_args(line: &[&str]) -> Vec<OsString> {
        let words = ["xtask", "demo"].iter().chain(line);
        match Cli::try_parse_from(words).unwrap().task {
            Task::Demo(passed) => passed.args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_reach_the_demo_as_they_are() {
        let wanted = ["--stores", "8", "--speed", "max", "--keep"];
        assert_eq!(demo_args(&wanted), wanted);
        assert_eq!(demo_args(&["--help"]), ["--help"]);
        assert_eq!(demo_args(&["--for", "30s"]), ["--for", "30s"]);
    }

    #[test]
    fn a_double_dash_before_them_is_allowed() {
        assert_eq!(demo_args(&["--", "--stores", "8"]), ["--stores", "8"]);
        assert_eq!(demo_args(&["--"]), [""; 0]);
    }
}
