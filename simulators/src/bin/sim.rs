//! `cargo xtask sim`: runs seeds of the deterministic simulation, and says how to replay one that fails.

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Parser};
use simulators::clock;
use simulators::dst::coverage::{Coverage, EXPECTED};
use simulators::dst::{self, Options, Outcome, STEPS};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// From so many seeds on, a rare thing that never happened fails the run.
const COVERAGE_FROM: u64 = 2_000;

/// Many agents and one hub on virtual time, with everything that can go wrong, and checkers after every step. Exits with 1 when a
/// promise did not hold.
#[derive(Debug, Parser)]
#[command(name = "sim", version, group = ArgGroup::new("which").required(true))]
struct Arguments {
    /// One seed.
    #[arg(long, group = "which")]
    seed: Option<u64>,
    /// Seeds A to B, B not included: `1..500`.
    #[arg(long, group = "which", value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// Fresh seeds for so long: `60s`, `10m`, `8h`.
    #[arg(long = "for", group = "which", value_parser = duration)]
    lasting: Option<Duration>,
    /// How long the part with faults is, in events.
    #[arg(long, default_value_t = STEPS)]
    steps: u64,
    /// Writes what happened, line by line; with one seed only.
    #[arg(long, requires = "seed")]
    trace: Option<PathBuf>,
    /// Runs each seed twice and compares what happened.
    #[arg(long)]
    check_determinism: bool,
    /// Goes on after a failing seed.
    #[arg(long)]
    keep_going: bool,
    /// Adds failing seeds to this list.
    #[arg(long)]
    keep_failures: Option<PathBuf>,
    /// Shows what agent and hub log; with one seed only.
    #[arg(long, requires = "seed")]
    log: bool,
    /// Seeds at a time.
    #[arg(long, default_value_t = thread::available_parallelism().map_or(1, |cores| cores.get()))]
    jobs: usize,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("a range of seeds looks like `1..500`")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}` is no seed: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err(format!("there is no seed in `{text}`")) } else { Ok(range) }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let amount: u64 = digits.parse().map_err(|_| format!("`{text}` is no duration; it looks like `60s`"))?;
    match &text[digits.len()..] {
        "s" | "" => Ok(Duration::from_secs(amount)),
        "m" => Ok(Duration::from_secs(amount * 60)),
        "h" => Ok(Duration::from_secs(amount * 3_600)),
        unit => Err(format!("`{unit}` is no unit of time here; s, m and h are")),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    if arguments.log {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).without_time().init();
    }
    let started = clock::now();
    let until = arguments.lasting.map(|lasting| started + lasting);
    let seeds = match (arguments.seed, &arguments.seeds) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(seeds)) => seeds.clone(),
        (None, None) => fresh()..u64::MAX,
    };
    let tally = Mutex::new(Tally { next: seeds.start, end: seeds.end, ..Tally::default() });
    thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| work(arguments, &tally, until));
        }
    });
    let tally = tally.into_inner().context("a run panicked; its seed is named above")?;
    report(&tally, arguments, clock::now() - started)
}

/// Seeds nobody has run yet, as far as anybody knows.
fn fresh() -> u64 {
    u64::try_from(clock::since_1970().as_millis()).unwrap_or(0) << 8
}

/// What all seeds came to.
#[derive(Debug, Default)]
struct Tally {
    next: u64,
    end: u64,
    runs: u64,
    steps: u64,
    virtual_ms: u64,
    slowest: (u64, u64),
    coverage: Coverage,
    failed: BTreeMap<u64, String>,
    last_hash: u64,
}

fn work(arguments: &Arguments, tally: &Mutex<Tally>, until: Option<Instant>) {
    while let Some(seed) = next(arguments, tally, until) {
        let outcome = std::panic::catch_unwind(|| one(arguments, seed));
        let Ok(mut tally) = tally.lock() else { return };
        tally.runs += 1;
        match outcome {
            Ok(Ok(outcome)) => tally.add(&outcome),
            Ok(Err(error)) => tally.fail(seed, &format!("{error:#}")),
            Err(_) => tally.fail(seed, "a core panicked"),
        }
    }
}

fn next(arguments: &Arguments, tally: &Mutex<Tally>, until: Option<Instant>) -> Option<u64> {
    let mut tally = tally.lock().ok()?;
    let time_is_up = until.is_some_and(|until| clock::now() >= until);
    let failed = !tally.failed.is_empty() && !arguments.keep_going;
    if time_is_up || failed || tally.next >= tally.end {
        return None;
    }
    tally.next += 1;
    Some(tally.next - 1)
}

fn one(arguments: &Arguments, seed: u64) -> Result<Outcome> {
    let options = Options { steps: arguments.steps, keep_trace: arguments.trace.is_some(), sabotage: None };
    let outcome = dst::run(seed, options);
    if let Some(path) = &arguments.trace {
        write_trace(path, &outcome)?;
    }
    if arguments.check_determinism {
        let again = dst::run(seed, options);
        if again.trace_hash != outcome.trace_hash {
            bail!("two runs differ: {}", first_difference(seed, options));
        }
    }
    Ok(outcome)
}

fn write_trace(path: &Path, outcome: &Outcome) -> Result<()> {
    let mut text = outcome.trace.join("\n");
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("writing the trace to `{}`", path.display()))
}

fn first_difference(seed: u64, options: Options) -> String {
    let keep = Options { keep_trace: true, ..options };
    let (one, other) = (dst::run(seed, keep), dst::run(seed, keep));
    let differ = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
    differ
        .map_or_else(|| "not seen a second time".to_owned(), |(one, other)| format!("`{one}` and `{other}`"))
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.steps += outcome.steps;
        self.virtual_ms += outcome.virtual_ms;
        self.last_hash = outcome.trace_hash;
        self.coverage.add(&outcome.coverage);
        match &outcome.finding {
            Some(finding) => self.fail(outcome.seed, &finding.to_string()),
            None => self.slowest = self.slowest.max((outcome.converged_ms, outcome.seed)),
        }
    }

    fn fail(&mut self, seed: u64, what: &str) {
        say(&format!("seed {seed} FAILED: {what}"));
        self.failed.insert(seed, what.to_owned());
    }
}

fn report(tally: &Tally, arguments: &Arguments, took: Duration) -> Result<bool> {
    let seconds = took.as_secs_f64();
    let missing = tally.coverage.missing();
    say(&format!(
        "{} seeds, {} steps in {seconds:.1} s; {} hours of virtual time; in step again after {} s at most (seed {})",
        tally.runs,
        tally.steps,
        tally.virtual_ms / 3_600_000,
        tally.slowest.0 / 1_000,
        tally.slowest.1
    ));
    if tally.runs == 1 {
        say(&format!("trace hash {:016x}", tally.last_hash));
    } else {
        for what in EXPECTED {
            say(&format!("{:>9}  {what}", tally.coverage.count(what)));
        }
    }
    for seed in tally.failed.keys() {
        let steps =
            if arguments.steps == STEPS { String::new() } else { format!(" --steps {}", arguments.steps) };
        say(&format!("replay with: cargo xtask sim --seed {seed}{steps} --trace trace.txt"));
    }
    if let Some(path) = &arguments.keep_failures {
        keep(&tally.failed, arguments, path)?;
    }
    let uncovered = tally.runs >= COVERAGE_FROM && !missing.is_empty();
    if uncovered {
        say(&format!("never happened, so not tested: {}", missing.join("; ")));
    }
    Ok(tally.failed.is_empty() && !uncovered)
}

/// A seed of another length is another history: only those of the usual length are kept.
fn keep(failed: &BTreeMap<u64, String>, arguments: &Arguments, path: &Path) -> Result<()> {
    if failed.is_empty() || arguments.steps != STEPS {
        return Ok(());
    }
    let named = || format!("keeping failing seeds in `{}`", path.display());
    let mut list = std::fs::read_to_string(path).with_context(named)?;
    for (seed, what) in failed {
        let is_kept = list.lines().any(|line| line.split_whitespace().next() == Some(&seed.to_string()));
        if !is_kept {
            list.push_str(&format!("{seed}  {}\n", what.lines().next().unwrap_or_default()));
        }
    }
    std::fs::write(path, list).with_context(named)?;
    say(&format!("kept in {}", path.display()));
    Ok(())
}

fn say(line: &str) {
    // A closed pipe is no reason to fail.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
