//! `cargo xtask bench`: measures ShopSmart Sync on this machine.

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use simulators::bench::run::{self, Item, Wish};
use simulators::fleet::daemon::told_to_stop;
use simulators::plain;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::runtime::Builder;

/// Measures what ShopSmart Sync costs and gives on this machine, beside what it is meant to reach.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(flatten)]
    wish: WishArguments,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Args)]
struct WishArguments {
    /// Also measure a hand-made build in the same run: SQLite outbox, Mosquitto, PostgreSQL
    #[arg(long, value_name = "BUILD")]
    against: Option<Against>,
    /// Only these figures; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Item>,
    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Against {
    Plain,
}

/// Processes of the hand-made build, which this program starts itself.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    PlainStore {
        #[arg(long)]
        broker: SocketAddr,
        #[arg(long)]
        items: usize,
        #[arg(long)]
        folder: PathBuf,
    },
    #[command(hide = true)]
    PlainConsumer {
        #[arg(long)]
        broker: SocketAddr,
        #[arg(long)]
        database: PathBuf,
        #[arg(long)]
        marks: PathBuf,
    },
}

fn main() -> Result<()> {
    let Arguments { wish, part } = Arguments::parse();
    match part {
        Some(Part::PlainStore { broker, items, folder }) => plain::store::run(&folder, broker, items),
        Some(Part::PlainConsumer { broker, database, marks }) => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(plain::consumer::run(broker, &database, &marks))
        }
        None => Builder::new_multi_thread().enable_all().build()?.block_on(measure(wish)),
    }
}

async fn measure(wish: WishArguments) -> Result<()> {
    let program = std::env::current_exe().context("finding the running program")?;
    let wish = Wish { only: wish.only, against_plain: wish.against.is_some(), json: wish.json };
    let mut say = say;
    // A target that is missed is a finding, not a failure: the machine may be busy.
    tokio::select! {
        measured = run::run(&program, &wish, &mut say) => measured.map(drop),
        () = told_to_stop() => anyhow::bail!("interrupted"),
    }
}

fn say(text: &str) {
    // A closed pipe is no reason to stop measuring.
    let _ = writeln!(std::io::stdout(), "{text}");
}
