//! `cargo demo`: shows ShopSmart Sync at work on this machine, and proves at the end that no cell differs.

use anyhow::{Context, Result, bail};
use clap::Parser;
use simulators::demo::options::Options;
use simulators::demo::report::Report;
use simulators::demo::run;
use simulators::demo::screen::Screen;
use simulators::fleet::Fleet;
use simulators::fleet::daemon::told_to_stop;
use std::process::ExitCode;
use tempfile::TempDir;

/// Starts a hub and a number of store agents, lets tills sell at them, cuts lines and kills agents if told to, and then compares every
/// cell at hub and store with what the tills remember. Exits with 1 when any differs.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Arguments::parse().options;
    let mut screen = Screen::default();
    match show(&options, &mut screen).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            screen.say(&format!("\nThe demo failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether everything agreed.
async fn show(options: &Options, screen: &mut Screen) -> Result<bool> {
    let folder = TempDir::with_prefix("shopsmart-demo-").context("creating a temporary folder")?;
    let path = folder.path().to_owned();
    let ran = tokio::select! {
        ran = run::run(options, &path, screen) => ran,
        () = told_to_stop() => bail!("interrupted"),
    };
    let good = ran.as_ref().is_ok_and(|(_, report)| report.is_good());
    let started = path.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if started && (options.keep || !good) {
        // What happened can be looked into.
        screen.say(&format!("databases and logs: {}", folder.keep().display()));
    }
    let (fleet, report) = ran?;
    if let Some(path) = &options.report {
        report.write(path)?;
    }
    conclude(&report, screen);
    if options.keep {
        keep_running(&fleet, screen).await?;
    }
    fleet.stop().await?;
    Ok(good)
}

fn conclude(report: &Report, screen: &mut Screen) {
    for fault in &report.faults {
        screen.say(&format!("  FAULT: {fault}"));
    }
    if report.is_good() {
        screen.say("Nothing was lost and nothing counted twice: tills, stores and hub agree on every cell.");
    } else {
        screen.say("Tills, stores and hub do NOT agree.");
    }
}

async fn keep_running(fleet: &Fleet, screen: &mut Screen) -> Result<()> {
    let hub = &fleet.hub;
    screen.say(&format!("\nStill running. Web shop: http://{}/v1/stores (key: {})", hub.http()?, hub.key()));
    for store in &fleet.stores {
        if let Some(address) = *store.address().borrow() {
            screen.say(&format!("  {}: http://{address}/v1/stock (token: {})", store.id(), store.token()));
        }
    }
    screen.say("Ctrl-C stops everything.");
    told_to_stop().await;
    Ok(())
}
