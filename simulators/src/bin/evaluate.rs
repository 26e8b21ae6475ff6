//! `cargo xtask evaluate`: which availability policy should the web shop use?

use anyhow::{Context, Result, bail};
use clap::Parser;
use simulators::clock;
use simulators::evaluate::compare::POLICIES;
use simulators::evaluate::figures::{LEGEND, tables};
use simulators::evaluate::report::{self, Report, SeasonReport};
use simulators::evaluate::season::{LINES_MIN, Recorded, Season};
use simulators::evaluate::{DAY_MS, MINUTE_MS, Model, picture};
use simulators::rng::Rng;
use simulators::scenario::generator::{Generator, Trade};
use std::io::Write;
use std::path::{Path, PathBuf};
use sync_protocol::UnixMillis;

/// From the project's root.
const SALES: &str = "../shared/data/till-sales/complete_journey_2017_q4.csv.gz";
/// Made-up sales, where there are no real ones: so many days.
const GENERATED_DAYS: i64 = 28;

/// Replays a season of till sales under four availability policies of the web shop, with stores cut off at the busiest hours
/// of each day, and counts what each policy costs whom. Exits with 1 when a policy loses goods or promises what was never granted.
#[derive(Parser)]
#[command(name = "evaluate", version)]
struct Arguments {
    /// Till sales to replay: CSV, plain or gzipped. Without a file, and without that of the project's neighbour
    /// `shared/data`, sales are made up
    #[arg(long, value_name = "FILE.csv[.gz]")]
    sales: Option<PathBuf>,
    /// The same seed gives the same shoppers, deliveries and outages
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Stores of a small supermarket's pace, each selling what all stores of the file sold; 0 leaves this season out
    #[arg(long, value_name = "N", default_value_t = 20)]
    supermarkets: usize,
    /// Fill every shelf up to so many units at least
    #[arg(long, value_name = "UNITS", default_value_t = Model::default().shelf_min)]
    shelf_min: u32,
    /// Minutes from the store's hearing of an order until somebody has picked it
    #[arg(long, value_name = "N", default_value_t = 30)]
    pick_minutes: u16,
    /// For how many hours the lines are cut
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..24))]
    cut_hours: u8,
    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE.json", default_value_os_t = in_target("report.json"))]
    report: PathBuf,
    /// Where to draw the picture
    #[arg(long, value_name = "FILE.svg", default_value_os_t = in_target("evaluation.svg"))]
    picture: PathBuf,
}

impl Arguments {
    fn model(&self) -> Model {
        Model {
            shelf_min: self.shelf_min,
            pick_ms: i64::from(self.pick_minutes) * MINUTE_MS,
            cut_hours: self.cut_hours.into(),
            ..Model::default()
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let began = clock::now();
    let (seasons, mut report) = prepare(&arguments)?;
    say(&format!("Sales: {}\n", report.sales));
    for season in &seasons {
        let found = SeasonReport::of(season, report.model, report.seed, &POLICIES);
        say(&tables(&found));
        report.seasons.push(found);
    }
    say(LEGEND);
    report.write(&arguments.report)?;
    report::write(&arguments.picture, &picture::draw(&report)?)
        .with_context(|| format!("writing the picture `{}`", arguments.picture.display()))?;
    say(&format!(
        "figures: {}, picture: {}; took {:.0} s",
        arguments.report.display(),
        arguments.picture.display(),
        began.elapsed().as_secs_f64()
    ));
    let faults: Vec<String> = report.seasons.iter().flat_map(SeasonReport::faults).collect();
    if !faults.is_empty() {
        bail!("{}", faults.join("; "));
    }
    Ok(())
}

/// The seasons to replay, and the report they will fill.
fn prepare(arguments: &Arguments) -> Result<(Vec<Season>, Report)> {
    let usual = root().join(SALES);
    let file = arguments.sales.clone().or_else(|| usual.exists().then_some(usual));
    let (recorded, sales, seasons) = match &file {
        Some(path) => {
            let recorded = Recorded::read(path)?;
            let mut seasons = vec![recorded.as_recorded("Stores of the panel, as recorded", LINES_MIN)];
            if arguments.supermarkets > 0 {
                seasons
                    .push(recorded.rotated("Stores of a small supermarket's pace", arguments.supermarkets));
            }
            (recorded, format!("{} (real)", file_name(path)), seasons)
        }
        None => {
            let recorded = generated(arguments.seed);
            let seasons = vec![recorded.as_recorded("Made-up stores", 1)];
            (recorded, format!("MADE UP: there are no real till sales at {SALES}"), seasons)
        }
    };
    let (left_out, seed, model) = (recorded.left_out, arguments.seed, arguments.model());
    Ok((seasons, Report { sales, left_out, seed, model, seasons: Vec::new() }))
}

fn generated(seed: u64) -> Recorded {
    let trade = Trade { lines_per_minute: 6.0, start: UnixMillis(1_790_812_800_000), ..Trade::default() };
    let end = UnixMillis(trade.start.0 + GENERATED_DAYS * DAY_MS);
    Recorded::of(Generator::new(trade, Rng::seeded(seed)).take_while(|basket| basket.at < end))
}

fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

fn in_target(name: &str) -> PathBuf {
    root().join("target/evaluate").join(name)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn say(text: &str) {
    // A closed pipe is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{text}");
}
